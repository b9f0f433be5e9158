"""Local features: small parts of the field with another rate, as functions that are added."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize

from simbg.axes import Axes
from simbg.reconstruction.spline.basis import Basis
from simbg.reconstruction.spline.fit import Fit

__all__ = ["LocalFeature", "find_local"]

# Widths of the features that are searched first, and the smallest and largest width, deg (σ). The
# smallest one is also this number of pixels; narrower features are sharp.
WIDTHS, NARROWEST, WIDEST, IN_PIXELS = (0.25, 0.4, 0.65), 0.2, 1.0, 0.7
# Increase of 2 ln L that is required for a feature. About 1,000 places and widths are independent:
# the largest of as many χ² of one degree of freedom exceeds this in 0.1 % of smooth fields.
NEEDED = 24.0
# Number of places at each width whose gain is computed; the largest number of steps of the search.
CANDIDATES, STEPS = 12, 60
# Number of steps of Newton's method for the size of a feature.
NEWTON = 16
# A candidate has at least this gain without the response of the smooth functions, and events.
PROMISING, FEWEST = 8.0, 20.0
# Least number of pixels along an axis.
FEWEST_PIXELS = 4
# Pixels farther than this, in widths, are not used.
REACH = 5.0


@dataclass(frozen=True)
class LocalFeature:
    """A feature: a factor exp(a g) on the rate, with a Gaussian g of the field of view.

    Parameters
    ----------
    lon, lat, width : float
        Centre and σ of the Gaussian, deg.
    gain : float
        Increase of 2 ln L.
    functions : ndarray, shape (n_pixels, 4)
        g, and its derivatives by the centre, in units of the width, and by the logarithm of the
        width: their coefficients are the errors of centre and width.
    """

    lon: float
    lat: float
    width: float
    gain: float
    functions: np.ndarray


def find_local(
    basis: Basis, fitted: Fit, counts: np.ndarray, predicted: np.ndarray, axes: Axes
) -> LocalFeature | None:
    """Find the local feature that the counts require most.

    Parameters
    ----------
    basis : Basis
        The functions of the fit.
    fitted : Fit
        A fit to these counts.
    counts, predicted : ndarray, shape (n_energy, n_pixels)
        Observed counts, and the counts that the fit predicts.
    axes : Axes
        Axes of the counts.

    Returns
    -------
    feature : LocalFeature or None
        None if no feature has the required gain.

    Notes
    -----
    The gain is that of a score test (Rao 1948, Math. Proc. Camb. Phil. Soc. 44, 50): with the
    residuals r, the predicted counts μ and the functions X of the fit, whose covariance is V, a
    function g has the gain (g'r)² / (g'μg − g'μX V X'μg). Images of g'r and g'μg for all places
    give the candidates, and the gain of the best one is then maximised over centre and width.
    """
    if min(axes.shape[1:]) < FEWEST_PIXELS:
        return None
    score = _Score(basis, fitted, counts, predicted, axes)
    start = max(score.candidates(), key=score.gain, default=None)
    if start is None:
        return None
    steps = np.vstack([np.zeros(3), np.diag([0.5, 0.5, 0.3])])
    steps[:, :2] *= np.exp(start[2])
    best = minimize(
        lambda place: -score.gain(place),
        start,
        method="Nelder-Mead",
        options={"maxfev": STEPS, "initial_simplex": start + steps},
    )
    gain = -float(best.fun) * score.of_poisson(best.x)
    if gain < NEEDED:
        return None
    lon, lat, _ = map(float, best.x)
    return LocalFeature(lon, lat, score.width(best.x), gain, score.functions(best.x))


class _Score:
    """Score tests of Gaussians; a place is (lon, lat, ln width)."""

    def __init__(self, basis, fitted, counts, predicted, axes):
        self.basis, self.covariance = basis, fitted.covariance
        self.predicted = predicted.sum(axis=0)
        self.residual = counts.sum(axis=0) - self.predicted
        # Predicted counts of each pixel, times the functions of energy.
        self.by_energy = basis.energy.T @ predicted
        self.centers = axes.fov_lon_center, axes.fov_lat_center
        self.steps = [abs(c[-1] - c[0]) / (c.size - 1) for c in self.centers]
        self.lon, self.lat = (x.ravel() for x in np.meshgrid(*self.centers, indexing="ij"))
        self.narrowest = max(NARROWEST, IN_PIXELS * max(self.steps))

    def candidates(self):
        """The most promising places, without the response of the smooth functions."""
        shape = [c.size for c in self.centers]
        residual, predicted = (x.reshape(shape) for x in (self.residual, self.predicted))
        for width in (w for w in WIDTHS if w >= self.narrowest):
            sigma = width / np.array(self.steps)
            area = 2 * np.pi * sigma.prod()
            # The square of a Gaussian is one of width σ / √2; scipy's have the sum 1.
            score = area * gaussian_filter(residual, sigma, mode="constant")
            variance = area / 2 * gaussian_filter(predicted, sigma / np.sqrt(2), mode="constant")
            gain = np.where(variance > FEWEST, score**2 / np.maximum(variance, FEWEST), 0)
            for flat in np.argsort(gain, axis=None)[: -CANDIDATES - 1 : -1]:
                if gain.flat[flat] > PROMISING:
                    yield np.array([self.lon[flat], self.lat[flat], np.log(width)])

    def gain(self, place):
        """Expected increase of 2 ln L by a Gaussian at this place, with the other functions."""
        near, values = self._gaussian(place)
        score = self.residual[near] @ values
        shared = ((self.by_energy[:, near] * values) @ self.basis.space[near]).T.ravel()
        variance = self.predicted[near] @ values**2 - shared @ self.covariance @ shared
        return score**2 / variance if variance > 0 else 0.0

    def functions(self, place):
        """The Gaussian and its derivatives in all pixels, from differences."""
        columns = [self._image(place)]
        for axis, step in enumerate([0.1 * np.exp(place[2])] * 2 + [0.1]):
            change = step * (np.arange(3) == axis)
            difference = self._image(place + change) - self._image(place - change)
            columns.append(difference / 0.2)
        return np.column_stack(columns)

    def _image(self, place):
        image = np.zeros(self.lon.size)
        near, values = self._gaussian(place)
        image[near] = values
        return image

    def width(self, place):
        """The width at a place, within its limits."""
        return float(np.clip(np.exp(place[2]), self.narrowest, max(self.narrowest, WIDEST)))

    def of_poisson(self, place):
        """Increase of 2 ln L by a Gaussian alone, over that for normal distributions, at most 1."""
        near, values = self._gaussian(place)
        predicted, residual = self.predicted[near], self.residual[near]
        score, size = residual @ values, 0.0
        for _ in range(NEWTON):
            factor = np.exp(size * values)
            slope = score - predicted @ (values * (factor - 1))
            size += np.clip(slope / (predicted @ (values**2 * factor)), -1, 1)
        gain = 2 * (size * score - predicted @ np.expm1(size * values) + size * predicted @ values)
        return min(1.0, gain * (predicted @ values**2) / score**2)

    def _gaussian(self, place):
        """The pixels near a place, and the values of the Gaussian there."""
        width = self.width(place)
        square = ((self.lon - place[0]) ** 2 + (self.lat - place[1]) ** 2) / width**2
        near = np.flatnonzero(square < REACH**2)
        return near, np.exp(-0.5 * square[near])
