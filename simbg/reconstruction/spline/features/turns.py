"""The fit of a smooth rate with its sharp and local features."""

from dataclasses import dataclass

import numpy as np

from simbg.axes import Axes
from simbg.reconstruction.spline.basis import Basis, offsets
from simbg.reconstruction.spline.features.local import LocalFeature, find_local
from simbg.reconstruction.spline.features.sharp import Factor, no_factor, sharp_factor
from simbg.reconstruction.spline.fit import Fit, fit
from simbg.reconstruction.spline.penalty import Penalty

__all__ = ["fit_with_features"]

# Largest number of rounds; each is a search for sharp features and a fit of the smooth rate. Rounds
# end when the prediction changes by less than SETTLED, in 2 ln L.
ROUNDS, SETTLED = 4, 1.0
# Largest number of local features.
MOST = 6
# A sharp factor that increases 2 ln L by this times the gain of a local feature is fitted first.
SHARPER = 1.5


@dataclass(frozen=True, eq=False)
class FeaturedFit:
    """A fitted rate: smooth functions with local features, times a factor of sharp features.

    Parameters
    ----------
    basis : Basis
        The functions, including those of local features.
    fit : Fit
        The fitted coefficients and strengths.
    factor : Factor
        The sharp features.
    local : tuple of LocalFeature
        The local features.
    """

    basis: Basis
    fit: Fit
    factor: Factor
    local: tuple[LocalFeature, ...] = ()


def fit_with_features(counts: np.ndarray, exposure: np.ndarray, axes: Axes) -> FeaturedFit:
    """Fit a rate to counts, with the features that the counts require.

    Parameters
    ----------
    counts, exposure : ndarray, shape (n_energy, n_pixels)
        Observed counts and exposure; a bin with an exposure of 0 is not used.
    axes : Axes
        Axes of the counts.

    Notes
    -----
    Sharp and local features are found in the residuals of the smooth fit. If it has both, that with
    the larger increase of 2 ln L is fitted first, and the other one is searched again. Without
    features the smooth fit is the result.
    """
    basis = Basis.of(axes)
    fitted = fit(basis, Penalty.of(basis), counts, exposure)
    start = FeaturedFit(basis, fitted, no_factor(axes.shape))
    factor = _sharp(start, counts, exposure, axes)
    predicted = exposure * fitted.rate(basis)
    local = _local(start, counts, exposure, axes)
    if factor.found and _gain(factor, counts, predicted) > SHARPER * (local.gain if local else 0):
        done = _in_turns(start, factor, counts, exposure, axes)
        return _with_local(done, _local(done, counts, exposure, axes), counts, exposure, axes)
    if local is None:
        return start
    done = _with_local(start, local, counts, exposure, axes)
    factor = _sharp(done, counts, exposure, axes)
    return _in_turns(done, factor, counts, exposure, axes) if factor.found else done


def _sharp(done, counts, exposure, axes):
    """The sharp features in the residuals of a fit."""
    smooth = exposure * done.fit.rate(done.basis)
    return sharp_factor(counts.reshape(axes.shape), smooth.reshape(axes.shape), offsets(axes))


def _gain(factor, counts, predicted):
    """Increase of 2 ln L by a factor."""
    values = factor.factor.reshape(counts.shape)
    return 2 * np.sum(counts * np.log(values) - predicted * (values - 1))


def _local(done, counts, exposure, axes):
    """The local feature that the residuals of a fit require, or None."""
    predicted = exposure * done.fit.rate(done.basis) * done.factor.factor.reshape(counts.shape)
    return find_local(done.basis, done.fit, counts, predicted, axes)


def _with_local(done, feature, counts, exposure, axes):
    """The fit with local features, which are added one after the other."""
    multiplier = done.factor.factor.reshape(counts.shape)
    while feature and len(done.local) < MOST:
        basis = done.basis.with_local(feature.functions)
        start = done.fit.extended(basis)
        fitted = fit(basis, Penalty.of(basis), counts, exposure * multiplier, start)
        done = FeaturedFit(basis, fitted, done.factor, (*done.local, feature))
        feature = _local(done, counts, exposure, axes)
    return done


def _in_turns(done, factor, counts, exposure, axes):
    """The smooth fit, and the factor of sharp features, in turns."""
    basis = done.basis
    last: np.ndarray | None = None
    for number in range(ROUNDS):
        if number:
            factor = _sharp(done, counts, exposure, axes)
        multiplier = factor.factor.reshape(counts.shape)
        # The first fit described sharp features by smooth functions: its strengths are not reused.
        start = None if last is None else done.fit
        fitted = fit(basis, Penalty.of(basis), counts, exposure * multiplier, start)
        done = FeaturedFit(basis, fitted, factor, done.local)
        rate = fitted.rate(basis) * multiplier
        if last is not None and np.sum(exposure * rate * np.log(rate / last) ** 2) < SETTLED:
            break
        last = rate
    return done
