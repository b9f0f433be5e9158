"""Excluded pixels of a mask image on the sky, in any projection and frame, as regions.

The image is divided into square tiles, each of which is one region: so a run uses the part of a
large image that is near its field of view, and a region is small when pickled.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import shapely
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import (
    proj_plane_pixel_scales,
    skycoord_to_pixel,
    wcs_to_celestial_frame,
)

from simbg.sky.plane import from_plane, to_plane
from simbg.sky.regions import Region

__all__ = ["PixelRegion", "pixel_regions"]

# Largest side of a tile: pixels, and deg.
TILE, WIDEST = 128, 10.0
# Projections in which a longitude is at pixels of a fixed distance.
CYLINDRICAL = ("CAR", "MER", "CEA", "CYP")


@dataclass(frozen=True)
class PixelRegion(Region):
    """The excluded pixels of a tile of an image.

    Parameters
    ----------
    header : str
        The celestial WCS of the image, as the text of a FITS header.
    corner : tuple of int
        Column and row of the first pixel of the tile in the image, from 0.
    shape : tuple of int
        Numbers of rows and columns of the tile.
    bits : bytes
        Whether each pixel is excluded, packed by `numpy.packbits`.
    energy : tuple of float
        Range of the energies to which the mask applies, TeV.
    """

    header: str
    corner: tuple[int, int]
    shape: tuple[int, int]
    bits: bytes
    energy: tuple[float, float] = (0.0, np.inf)

    @property
    def center(self) -> tuple[float, float]:
        """RA and Dec of the middle of the excluded pixels, deg, ICRS."""
        return self._circle[:2]

    @property
    def radius(self) -> float:
        """Radius of a circle about the centre that encloses the excluded pixels, deg."""
        return self._circle[2]

    @cached_property
    def _pixels(self):
        count = self.shape[0] * self.shape[1]
        bits = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=count)
        return bits.reshape(self.shape).astype(bool)

    @cached_property
    def _circle(self):
        rows, columns = np.nonzero(self._pixels)
        # The border of the rectangle that encloses the pixels; it may reach beyond the sky.
        x, y = np.arange(columns.min(), columns.max() + 2), np.arange(rows.min(), rows.max() + 2)
        across = np.concatenate([x, x, np.full(y.size, x[0]), np.full(y.size, x[-1])])
        up = np.concatenate([np.full(x.size, y[0]), np.full(x.size, y[-1]), y, y])
        sky = self._sky(across, up)
        if not np.isfinite(sky.ra.deg).all():
            corners = ((columns, [0, 1, 0, 1]), (rows, [0, 0, 1, 1]))
            sky = self._sky(*((v[:, None] + np.array(shift)).ravel() for v, shift in corners))
        middle = SkyCoord(sky.cartesian.mean(), frame="icrs")
        # The border is straight in the image, and may be curved between corners on the sky.
        return middle.ra.deg, middle.dec.deg, 1.001 * float(sky.separation(middle).deg.max())

    def _sky(self, x, y):
        """ICRS directions of the corners of pixels of the tile: (0, 0) is that of the first."""
        x, y = (np.asarray(v) + first - 0.5 for v, first in zip((x, y), self.corner, strict=True))
        wcs = _wcs(self.header)
        # `pixel_to_skycoord` makes a copy of the WCS, which checks bounds.
        lon, lat = wcs.all_pix2world(x, y, 0)
        return SkyCoord(lon, lat, unit="deg", frame=wcs_to_celestial_frame(wcs)).icrs

    def _covers(self, ra, dec):
        if not ra.size:
            return np.zeros(0, bool)
        sky = SkyCoord(ra, dec, unit="deg")
        return self._excluded(*skycoord_to_pixel(sky, _wcs(self.header)))

    def _excluded(self, x, y):
        """Which positions in pixels of the image are in an excluded pixel of the tile."""
        wcs = _wcs(self.header)
        if str(wcs.wcs.ctype[0])[-3:] in CYLINDRICAL:
            turn = 360 / abs(wcs.pixel_scale_matrix[0, 0])
            x = x + turn * np.round((self.corner[0] + self.shape[1] / 2 - x) / turn)
        with np.errstate(invalid="ignore"):
            column, row = (
                np.floor(v + 0.5 - first) for v, first in zip((x, y), self.corner, strict=True)
            )
            valid = (row >= 0) & (column >= 0) & (row < self.shape[0]) & (column < self.shape[1])
        found = np.zeros(valid.shape, bool)
        found[valid] = self._pixels[row[valid].astype(int), column[valid].astype(int)]
        return found

    def _inside(self, x, y):
        return self._covers(*from_plane(x, y, self.center))

    def _loops(self) -> Iterator[np.ndarray]:
        """The border of the union of the excluded pixels."""
        step = np.diff(np.pad(self._pixels.astype(np.int8), ((0, 0), (1, 1))), axis=1)
        (row, start), (_, stop) = np.nonzero(step == 1), np.nonzero(step == -1)
        union = shapely.union_all(shapely.box(start, row, stop, row + 1))
        # A vertex at each pixel: tiles that touch have the same vertices there.
        for ring in shapely.get_rings(shapely.get_parts(shapely.segmentize(union, 1.0))):
            sky = self._sky(*shapely.get_coordinates(ring).T)
            yield np.stack(to_plane(sky.ra.deg, sky.dec.deg, self.center))


def pixel_regions(
    excluded: np.ndarray, wcs: WCS, energy: tuple[float, float] = (0.0, np.inf)
) -> tuple[PixelRegion, ...]:
    """The excluded pixels of an image as regions.

    Parameters
    ----------
    excluded : ndarray of bool, shape (n_rows, n_columns)
        Which pixels are excluded. Those that are not on the sky are ignored.
    wcs : astropy.wcs.WCS
        The celestial WCS of the image, of any projection and frame.
    energy : tuple of float
        Range of the energies to which the mask applies, TeV.

    Returns
    -------
    tuple of PixelRegion
        One for each tile of the image with excluded pixels.
    """
    header = wcs.celestial.to_header_string()
    scale = float(proj_plane_pixel_scales(_wcs(header)).max())
    side = int(np.clip(WIDEST / scale, 1, TILE))
    found = []
    for row in range(0, excluded.shape[0], side):
        for column in range(0, excluded.shape[1], side):
            tile = excluded[row : row + side, column : column + side]
            if tile.any() and (tile := tile & _on_sky(tile.shape, row, column, header)).any():
                bits = np.packbits(tile).tobytes()
                found.append(PixelRegion(header, (column, row), tile.shape, bits, energy))
    return tuple(found)


def _on_sky(shape, row, column, header):
    """Which pixels of a tile have all of their corners on the sky."""
    y, x = np.indices((shape[0] + 1, shape[1] + 1)) - 0.5
    lon, lat = _wcs(header).all_pix2world(x + column, y + row, 0)
    valid = np.isfinite(lon + lat)
    return valid[1:, 1:] & valid[1:, :-1] & valid[:-1, 1:] & valid[:-1, :-1]


@lru_cache(maxsize=16)
def _wcs(header: str) -> Any:
    wcs = WCS(fits.Header.fromstring(header))
    # Else a cylindrical image from 0 to 360 deg would have no directions beyond 180 deg.
    wcs.wcs.bounds_check(False, False)
    return wcs
