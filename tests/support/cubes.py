"""Cubes of fields that nothing can mirror, true or counted, for the tests of comparisons."""

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.observations.exposure import StackedCounts
from simbg.reconstruction.histogram import Histogram
from simbg.truth.gaussian import GaussianTruth

# Two bins a decade, so that centres are far from averages.
ENERGY = np.geomspace(0.1, 50, 7)
# Three different lengths.
AXES = Axes(ENERGY, np.linspace(-3, 3, 15), np.linspace(-2.6, 2.6, 12))
SQUARE = Axes(ENERGY, np.linspace(-3, 3, 13), np.linspace(-3, 3, 13))
TRUTH = GaussianTruth(event_rate=9.0, sigma=(1.6, 2.8), peak=(0.3, -0.5))


def gradient(fov_lon):
    """With it no mirror maps the field to itself: the direction of its slope goes with energy."""
    return 1 + 0.1 * fov_lon


def at_centers(mean="logarithmic", axes=AXES):
    """Rates at the centres of bins, by either mean of their energies."""
    low, high = axes.energy[:-1], axes.energy[1:]
    energy = np.sqrt(low * high) if mean == "logarithmic" else (low + high) / 2
    return at_places(axes.fov_lon_center[:, None], axes.fov_lat_center, axes, energy)


def at_places(fov_lon, fov_lat, axes=SQUARE, energy=None):
    """Rates at places, and at the logarithmic centres of energies or others."""
    energy = axes.energy_center if energy is None else energy
    rate = TRUTH.rate(energy[:, None, None], fov_lon, fov_lat) * gradient(fov_lon)
    return BackgroundCube(axes, rate)


def both_fields(latitude=-23.27, hour_angle=-25.0, dec=14.0):
    """RADEC places of the pixels of ALTAZ, from directions alone, and the parallactic angle.

    Axes: x to the meridian, y to the west, z to the pole, hour angle the longitude; up is the
    zenith or the pole, and fov_lon goes with decreasing azimuth or right ascension: in the first
    case to the left of up seen from inside of the sphere, in the second to the right.
    """

    def unit(lon, lat):
        lon, lat = np.deg2rad(lon), np.deg2rad(lat)
        return np.array(
            [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) + 0 * lon]
        )

    ahead, zenith, pole = unit(hour_angle, dec), unit(0, latitude), np.array([0, 0, 1.0])

    def frame(up, sign):
        up = up - (up @ ahead) * ahead
        up /= np.linalg.norm(up)
        return ahead, sign * np.cross(up, ahead), up

    # On the meridian, y × z is x: with the pole up and x ahead, z × x = y is the west.
    radec, altaz = frame(pole, 1), frame(zenith, -1)
    pixels = unit(SQUARE.fov_lon_center[:, None], SQUARE.fov_lat_center)
    places = np.tensordot(np.transpose(altaz), pixels, axes=1)
    right, left, up = np.tensordot(radec, places, axes=1)
    h, phi, delta = np.deg2rad([hour_angle, latitude, dec])
    q = np.arctan2(np.sin(h), np.tan(phi) * np.cos(delta) - np.sin(delta) * np.cos(h))
    return np.rad2deg(np.arctan2(left, right)), np.rad2deg(np.arcsin(up)), np.rad2deg(q)


def stacked(axes, counts, livetime, deadtime=0.1):
    """The histogram of counts; livetime is a number or that of each bin."""
    time = np.broadcast_to(livetime, axes.shape).astype(float)
    return Histogram().estimate(StackedCounts(axes, counts, time, time / (1 - deadtime), 1, 0, 0))


def measured(rng, truth, axes, livetime):
    """The histogram of Poisson counts of a truth."""
    return stacked(axes, rng.poisson(truth.integrate(axes) * livetime), livetime)
