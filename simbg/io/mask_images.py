"""Exclusion masks as images of the sky: FITS files and maps of gammapy; 0 is excluded, 1 is not."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from simbg.io.safe_files import expanded, open_fits
from simbg.io.tables import column
from simbg.sky.pixel_mask import pixel_regions
from simbg.sky.regions import Region

__all__ = ["is_mask_image", "read_mask_image", "regions_of_map"]


def is_mask_image(path: Path | str) -> bool:
    """Whether a file is FITS with an image of the sky.

    Parameters
    ----------
    path : path-like
        Any file.
    """
    try:
        with open_fits(path) as file:
            return _image(file) is not None
    except (OSError, ValueError):
        return False


def read_mask_image(path: Path | str) -> tuple[Region, ...]:
    """The excluded regions of a mask image.

    Parameters
    ----------
    path : path-like
        FITS, compressed or not, with an image in any projection and frame, or with an image for
        each energy bin of a table ``BANDS``, as gammapy writes them. Pixels of 0 are excluded, and
        those of 1 or NaN are not, nor is what lies outside of the image.

    Returns
    -------
    tuple of Region
        They are masked; see `simbg.sky.pixel_mask.pixel_regions`.

    Raises
    ------
    ValueError
        If there is no such image, it excludes nothing, has other values, or no energies.
    """
    with open_fits(expanded(path)) as file:
        hdu = _image(file)
        if hdu is None:
            names = [each.name for each in file]
            raise ValueError(f"got HDUs {names}, expected an image of the sky with a WCS")
        data = hdu.data
        planes = data.reshape(-1, *data.shape[-2:])
        bands = None
        if data.ndim > 2 and len(planes) > 1:
            bands = _energy_bands(file, hdu, len(planes))
        found = _regions(planes, WCS(hdu.header).celestial, bands, hdu.name)
        if not found:
            raise ValueError(f"{hdu.name}: got no pixel of 0, expected a mask that excludes some")
        return found


def regions_of_map(mask: Any) -> tuple[Region, ...]:
    """The excluded regions of a map of gammapy.

    Parameters
    ----------
    mask : WcsNDMap
        The mask, as for `read_mask_image`; with an energy axis, one mask for each energy.

    Raises
    ------
    ValueError
        If it is no WCS map, has other axes or values.
    """
    geom = mask.geom
    if not getattr(geom, "wcs", None) or getattr(geom, "is_region", False):
        raise ValueError(f"mask: got a map of type {type(geom).__name__}, expected a WcsGeom")
    axes = [axis for axis in geom.axes if axis.nbin > 1]
    if len(axes) > 1 or any("energy" not in axis.name for axis in axes):
        names = [axis.name for axis in axes]
        raise ValueError(f"mask: got a map with axes {names}, expected energy or no axis")
    data = np.asarray(mask.data)
    edges = axes[0].edges.to_value("TeV") if axes else None
    bands = None if edges is None else np.stack([edges[:-1], edges[1:]], axis=1)
    return _regions(data.reshape(-1, *data.shape[-2:]), geom.wcs, bands, "mask")


def _regions(planes, wcs, bands, name):
    """Regions of a mask for each energy; ``bands`` is None for a mask for all energies."""
    values = np.nan_to_num(np.asarray(planes, float), nan=1.0)
    other = values[(values != 0) & (values != 1)]
    if other.size:
        raise ValueError(
            f"{name}: got {other.size} pixels with other values such as {other[0]:g}, expected a "
            "mask of 0 (excluded) and 1 (not excluded)"
        )
    excluded = values == 0
    if bands is None:
        return pixel_regions(excluded[0], wcs)
    # Pixels that are excluded at all energies are one mask.
    always = excluded.all(axis=0)
    found = list(pixel_regions(always, wcs))
    for plane, (low, high) in zip(excluded, bands, strict=True):
        found += pixel_regions(plane & ~always, wcs, (float(low), float(high)))
    return tuple(found)


def _image(file):
    """The first image of the sky of an open HDU list, or None."""
    for hdu in file:
        if isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU):
            header = hdu.header
            if header["NAXIS"] >= 2 and WCS(header).has_celestial:
                return hdu
    return None


def _energy_bands(file, hdu, number):
    """Energies of the planes of an image, TeV, (n, 2), from its table of gammapy."""
    name = hdu.header.get("BANDSHDU", "")
    if hdu.data.ndim != 3 or name not in file:
        raise ValueError(
            f"{hdu.name}: got an image of {hdu.data.ndim} dimensions without a table of its "
            "energies (keyword BANDSHDU), expected two dimensions, or the file of a map of gammapy"
        )
    bands = np.stack([column(file[name], end, "TeV", True) for end in ("E_MIN", "E_MAX")], axis=1)
    if len(bands) != number or np.any(bands[:, 0] >= bands[:, 1]):
        raise ValueError(
            f"{name}: got {len(bands)} energies, expected {number}, with E_MIN below E_MAX"
        )
    return bands
