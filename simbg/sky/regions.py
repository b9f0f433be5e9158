"""Regions of the sky: which directions are inside, and their outlines.

A region is defined in the gnomonic plane about its centre, in which great circles are straight:
the sides of rectangles and polygons are great circles, and an ellipse is an ellipse in the plane,
as DS9 draws it in a TAN image. Half a width is the angle from the centre to the border along the
axis. A circle therefore holds exactly the directions within a great-circle distance.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simbg.sky.plane import from_plane, to_plane
from simbg.sky.vectors import separation

__all__ = ["Ellipse", "Polygon", "Rectangle", "Region", "applies", "circle", "circles", "excluded"]

MAX_RADIUS = 60.0  # deg; the plane ends at 90
# A chord of an outline is 2.6e-4 deg or less from its arc, and zero on average
CHORDS = 140  # for a radius of 1 deg; proportional to the square root of the radius
FEWEST_CHORDS = 48
SLIVER = 1e-6  # of a side's length: a polygon without an inside this far from its sides is empty


@dataclass(frozen=True)
class Region(ABC):
    """A part of the sky; regions are frozen, hashable and small when pickled.

    Attributes
    ----------
    center : tuple of float
        RA and Dec of the middle, deg, ICRS.
    radius : float
        Radius of the circle about the centre that encloses the region, deg.
    energy : tuple of float
        Range of the energies to which the region applies, TeV.
    """

    energy = (0.0, np.inf)

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
        """Return which directions lie inside.

        Parameters
        ----------
        ra, dec : array_like
            Directions, deg, ICRS. They broadcast; NaN is outside of every region.

        Returns
        -------
        ndarray of bool
            In the broadcast shape.
        """
        ras, decs = np.broadcast_arrays(np.asarray(ra, float), np.asarray(dec, float))
        inside = np.zeros(ras.size, bool)
        near = self.near(ras.ravel(), decs.ravel())
        inside[near] = self._covers(ras.ravel()[near], decs.ravel()[near])
        return inside.reshape(ras.shape)

    def near(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Indices of the directions that may be inside.

        Most events are too far away in declination or RA alone: no trigonometry for these.

        Parameters
        ----------
        ra, dec : ndarray, shape (n,)
            Directions, deg, ICRS.
        """
        near = np.flatnonzero(np.abs(dec - self.center[1]) <= self.radius)
        east = (ra[near] - self.center[0] + 180) % 360 - 180
        return near[np.abs(east) <= self._reach]

    @cached_property
    def outline(self) -> tuple[np.ndarray, ...]:
        """The border: closed loops of ICRS directions, each an ndarray (2, n) of ra, dec in deg.

        The last vertex repeats the first. A direction is inside if an odd number of loops enclose
        it. Vertices are joined by great circles; an ellipse becomes a polygon of the same area.
        """
        return tuple(np.stack(from_plane(x, y, self.center)) for x, y in self._loops())

    @property
    @abstractmethod
    def center(self) -> tuple[float, float]:
        """RA and Dec of the middle, deg, ICRS."""

    @property
    @abstractmethod
    def radius(self) -> float:
        """Radius of the circle about the centre that encloses the region, deg."""

    def _covers(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Which directions near the region are inside."""
        return self._inside(*to_plane(ra, dec, self.center))

    @abstractmethod
    def _inside(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Which positions in the plane are inside."""

    @abstractmethod
    def _loops(self) -> Iterator[np.ndarray]:
        """The border in the plane: closed loops, each (2, n)."""

    @cached_property
    def _reach(self):
        """Largest distance in RA from the centre to the border, deg."""
        dec = abs(self.center[1])
        if dec + self.radius >= 90:
            return 180.0
        ratio = np.sin(np.radians(self.radius)) / np.cos(np.radians(dec))
        return np.degrees(np.arcsin(ratio)) + 1e-9  # so that rounding removes nothing at the border

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Centred(Region):
    """A shape with a width axis and a height axis, and optionally a hole in its middle.

    Parameters
    ----------
    ra, dec : float
        Centre, deg, ICRS.
    width, height : float
        Full lengths, deg.
    angle : float
        Direction of the width axis, deg: 0 is west and 90 north, counter-clockwise if east is
        left. This is DS9's convention; the position angle of the width axis is 90 deg less.
    inner_width, inner_height : float
        Full lengths of a hole of the same shape and angle, deg; 0 for no hole.

    Raises
    ------
    ValueError
        If a value is not finite, or the region is empty or reaches beyond 60 deg.
    """

    ra: float
    dec: float
    width: float
    height: float
    angle: float = 0.0
    inner_width: float = 0.0
    inner_height: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, float(getattr(self, field.name)))
        _check_positions([self.ra], [self.dec])
        if not np.isfinite(self.angle):
            raise ValueError(f"angle: got {self.angle} deg, expected a finite value")
        for name in ("width", "height"):
            inner, outer = getattr(self, f"inner_{name}"), getattr(self, name)
            if not 0 <= inner < outer <= 2 * MAX_RADIUS:
                raise ValueError(
                    f"{name}: got {outer} deg with a hole of {inner} deg, expected a {name} larger "
                    f"than the hole's and {2 * MAX_RADIUS:g} deg or less"
                )
        _check_radius(self.radius)

    @property
    def center(self) -> tuple[float, float]:
        return self.ra, self.dec

    @cached_property
    def _halves(self):
        """Half axes in the plane: those of the shape and, if there is one, those of its hole."""
        sizes = (self.width, self.height), (self.inner_width, self.inner_height)
        return [np.tan(np.radians(size) / 2) for size in sizes if min(size) > 0]

    @cached_property
    def _axis(self):
        return np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))

    @staticmethod
    @abstractmethod
    def _within(along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Which positions are inside, in units of the half axes."""

    @abstractmethod
    def _border(self) -> np.ndarray:
        """Vertices of the border, (2, n), in units of the half axes."""

    def _inside(self, x, y):
        cos, sin = self._axis
        along, across = x * cos + y * sin, y * cos - x * sin
        inside, *hole = (self._within(along / a, across / b) for a, b in self._halves)
        return inside & ~hole[0] if hole else inside

    def _loops(self):
        cos, sin = self._axis
        for a, b in self._halves:
            along, across = self._border() * [[a], [b]]
            yield along * cos - across * sin, along * sin + across * cos


class Ellipse(Centred):
    """An ellipse, or an elliptical annulus; the parameters are those of `Centred`."""

    @property
    def radius(self) -> float:
        return max(self.width, self.height) / 2

    @staticmethod
    def _within(along, across):
        return along**2 + across**2 <= 1

    def _border(self):
        n = max(FEWEST_CHORDS, int(np.ceil(CHORDS * np.sqrt(self.radius))))
        turn = 2 * np.pi / n
        vertices = np.append(np.arange(n), 0) * turn
        return np.sqrt(turn / np.sin(turn)) * np.stack([np.cos(vertices), np.sin(vertices)])


class Rectangle(Centred):
    """A rectangle, or a rectangular annulus; the parameters are those of `Centred`."""

    @property
    def radius(self) -> float:
        return np.degrees(np.arctan(np.hypot(*self._halves[0])))

    @staticmethod
    def _within(along, across):
        return np.maximum(np.abs(along), np.abs(across)) <= 1

    def _border(self):
        return np.array([[-1.0, 1, 1, -1, -1], [-1, -1, 1, 1, -1]])


@dataclass(frozen=True)
class Polygon(Region):
    """The region enclosed by great circles between vertices, by the even-odd rule.

    Parameters
    ----------
    ra, dec : tuple of float
        Vertices, deg, ICRS; the last is joined to the first.

    Raises
    ------
    ValueError
        If there are fewer than 3 vertices, one is not finite, or the region is empty or reaches
        beyond 60 deg from the mean of its vertices.
    """

    ra: tuple[float, ...]
    dec: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("ra", "dec"):
            values = np.array(getattr(self, name), float).ravel()
            object.__setattr__(self, name, tuple(values.tolist()))
        if len(self.ra) != len(self.dec) or len(self.ra) < 3:
            got = f"{len(self.ra)} ra, {len(self.dec)} dec"
            raise ValueError(f"vertices: got {got}, expected equal numbers of each, 3 or more")
        _check_positions(self.ra, self.dec)
        _check_radius(self.radius)
        starts, stops = self._vertices[:, :-1], self._vertices[:, 1:]
        middle, aside = (starts + stops) / 2, SLIVER * (stops - starts)[::-1] * [[-1], [1]]
        if not self._inside(*np.hstack([middle + aside, middle - aside])).any():
            raise ValueError("polygon: got an area of 0, expected more than 0")

    @cached_property
    def center(self) -> tuple[float, float]:
        lon, lat = np.radians([self.ra, self.dec])
        vertices = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
        x, y, z = np.mean(vertices, axis=1)
        return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))

    @cached_property
    def radius(self) -> float:
        center, vertices = np.radians(self.center), np.radians([self.ra, self.dec])
        return float(np.degrees(separation(*center, *vertices).max()))

    @cached_property
    def _vertices(self):
        """Vertices of the closed loop in the plane, shape (2, n + 1)."""
        vertices = np.stack(to_plane(np.array(self.ra), np.array(self.dec), self.center))
        return np.hstack([vertices, vertices[:, :1]])

    def _inside(self, x, y):
        inside = np.zeros(x.shape, bool)
        for (x0, y0), (x1, y1) in pairwise(self._vertices.T.tolist()):
            if y0 != y1:
                inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0)))
        return inside

    def _loops(self):
        yield self._vertices


def applies(region: Region, low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """Whether a region applies to some of the energies between two values, TeV; they broadcast.

    A part in 1e9 is the rounding of an edge.
    """
    first, last = region.energy
    return (np.asarray(high) > first * (1 + 1e-9)) & (np.asarray(low) < last * (1 - 1e-9))


def excluded(ra: ArrayLike, dec: ArrayLike, regions: Iterable[Region]) -> np.ndarray:
    """Return which directions lie inside any of the regions.

    Parameters
    ----------
    ra, dec : array_like
        Directions, deg, ICRS. They broadcast; NaN is outside of every region.
    regions : iterable of Region
        Parts of the sky, which may overlap.

    Returns
    -------
    ndarray of bool
        In the broadcast shape.

    Examples
    --------
    >>> excluded([83.63, 85.0], [22.01, 22.01], [circle(83.633, 22.014, 0.4)])
    array([ True, False])
    """
    inside = np.zeros(np.broadcast_shapes(np.shape(ra), np.shape(dec)), bool)
    for region in regions:
        inside |= region.contains(ra, dec)
    return inside


def circle(ra: float, dec: float, radius: float, inner: float = 0.0) -> Ellipse:
    """A circle, or an annulus from ``inner`` to ``radius``, about a direction; deg, ICRS."""
    return Ellipse(ra, dec, 2 * radius, 2 * radius, 0.0, 2 * inner, 2 * inner)


def circles(sources: Any, margin: float = 0.4) -> tuple[Ellipse, ...]:
    """A circle of radius ``margin + 2 * radius`` (deg) about each of the `Sources`, as a tuple."""
    rows = zip(sources.ra, sources.dec, margin + 2 * sources.radius, strict=True)
    return tuple(circle(*row) for row in rows)


def _check_positions(ras, decs):
    for ra, dec in zip(ras, decs, strict=True):
        if not (np.isfinite(ra) and abs(dec) <= 90):
            raise ValueError(
                f"position: got ra {ra}, dec {dec} deg, expected a finite ra and dec from -90 to 90"
            )


def _check_radius(radius):
    if not radius <= MAX_RADIUS:
        raise ValueError(f"radius: got {radius:g} deg, expected {MAX_RADIUS:g} deg or less")
