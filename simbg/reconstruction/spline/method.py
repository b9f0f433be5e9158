"""`spline`: a smooth rate by penalised likelihood, with errors, in all bins."""

import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.observations.exposure import StackedCounts, stack_observations
from simbg.observations.observation import Observation
from simbg.observations.threshold import resolve
from simbg.reconstruction.spline.basis import Basis
from simbg.reconstruction.spline.errors import RateErrors
from simbg.reconstruction.spline.fit import Fit, fit
from simbg.reconstruction.spline.penalty import Penalty
from simbg.reconstruction.spline.sharp import Factor, no_factor, sharp_factor

__all__ = ["Spline"]

# Rounds of the search for sharp features, each followed by a fit of the smooth rate; the last is
# the one that changes the prediction by less than SETTLED, in 2 ln L.
ROUNDS, SETTLED = 4, 1.0
# Index of a power law that stands for the spectrum inside of a bin.
TYPICAL_INDEX = 2.7


@dataclass(frozen=True, eq=False)
class SplineModel:
    """A fitted rate.

    Parameters
    ----------
    cube : BackgroundCube
        Rates and standard errors of all bins, exposed or not.
    extrapolated : ndarray of bool, full shape
        Bins without exposure: their rate is a prediction of the others.
    factor : Factor
        Sharp features: what the smooth rate is multiplied with.
    errors : RateErrors
        The covariance of the logarithm of the rate.
    fit : Fit
        The coefficients and strengths.
    """

    cube: BackgroundCube
    extrapolated: np.ndarray
    factor: Factor
    errors: RateErrors
    fit: Fit

    def error_of_sum(self, weight: np.ndarray | float) -> float:
        """Standard error of Σ weight · rate, such as of a band, a region or the norm.

        Parameters
        ----------
        weight : array_like
            Of each bin, or what broadcasts to the shape of the cube.

        Examples
        --------
        That of the total rate, in s-1, is ``model.error_of_sum(model.cube.axes.volume)``.
        """
        parts = np.broadcast_to(weight, self.cube.rate.shape) * self.cube.rate
        return self.errors.of_sum(parts.reshape(len(parts), -1))


@dataclass(frozen=True)
class Spline:
    """A smooth rate by penalised likelihood: near the smallest error that any method can have.

    ln rate is a sum of smooth functions of energy and of the field of view; how smooth each is
    follows from the counts (`simbg.reconstruction.spline.fit`). Where counts jump from bin to
    bin, as at a dead part of the camera, the smooth rate is multiplied with a factor
    (`simbg.reconstruction.spline.sharp`). Bins that no run exposes are predicted, with an error
    that grows with the distance to what is known. The exposure of a bin that holds an energy
    threshold is as in `histogram`. ``meta`` of the cube says what was found: N_EFF effective
    parameters, N_ITER iterations, CONVERGE, N_SHARP bins with a sharp factor, and N_EXTRAP bins
    that are extrapolated. A fit that has not converged gives a warning.

    Parameters
    ----------
    executor : concurrent.futures.Executor, optional
        Fills runs in parallel.

    Examples
    --------
    >>> from simbg.axes import Axes
    >>> from simbg.observations.observation import Events, Observation
    >>> axes = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 1])
    >>> events = Events(np.array([0.2, 2.0, 3.0]), np.zeros(3), np.zeros(3))
    >>> run = Observation.in_memory(events, obs_id=1, livetime=900.0, ontime=1000.0)
    >>> cube = Spline().reconstruct([run], axes)
    >>> bool((cube.rate > 0).all()), float(round(cube.total * 900, 1))
    (True, 3.0)
    """

    executor: Executor | None = None
    name = "spline"
    threshold_bin = "partial"

    def reconstruct(self, observations: Sequence[Observation], axes: Axes) -> BackgroundCube:
        """Rate per livetime over exact solid angles, in s-1 MeV-1 sr-1."""
        return self.estimate(
            stack_observations(observations, axes, self.threshold_bin, self.executor)
        )

    def estimate(self, stack: StackedCounts) -> BackgroundCube:
        """The cube of some counts and exposures."""
        return self.model(stack).cube

    def model(self, stack: StackedCounts) -> SplineModel:
        """The fitted rate of some counts and exposures, with the covariance of its errors.

        Raises
        ------
        ValueError
            If counts or exposures are negative or not finite, or no bin has an exposure.
        """
        stack = resolve(stack)
        _check(stack)
        axes, shape = stack.axes, (stack.axes.shape[0], -1)
        level = np.exp(_mean_of_bin(axes.energy))[:, None, None]
        exposure = (stack.livetime * axes.volume * level).reshape(shape)
        counts = np.where(exposure > 0, stack.counts.reshape(shape), 0).astype(float)
        basis = Basis.of(axes)
        penalty = Penalty.of(basis)
        fitted, factor = _fit_with_features(basis, penalty, counts, exposure, axes.shape)
        errors = RateErrors.of(basis, penalty, fitted, factor.variance.reshape(shape))
        rate = fitted.rate(basis).reshape(axes.shape) * level * factor.factor
        extrapolated = ~(stack.livetime > 0)
        meta = {"METHOD": self.name, "N_OBS": stack.n_obs, "N_EVENTS": stack.n_selected}
        meta |= {"N_EFF": round(fitted.n_effective, 1), "N_ITER": fitted.n_iterations}
        meta |= {"CONVERGE": fitted.converged, "N_EXTRAP": int(extrapolated.sum())}
        meta["N_SHARP"] = factor.n_sharp
        error = rate * errors.of_log_rate.reshape(axes.shape)
        times = stack.livetime, stack.ontime
        cube = BackgroundCube(axes, rate, error, stack.counts, *times, meta=meta)
        if not fitted.converged:
            warnings.warn(
                f"method spline: not converged after {fitted.n_iterations} iterations with "
                f"{counts.sum():.0f} events: do not trust its rates",
                stacklevel=2,
            )
        return SplineModel(cube, extrapolated, factor, errors, fitted)


def _fit_with_features(basis, penalty, counts, exposure, shape):
    """The smooth fit, and the factor of sharp features, in turns."""
    fitted, last = fit(basis, penalty, counts, exposure), None
    for _ in range(ROUNDS):
        smooth = exposure * fitted.rate(basis)
        factor = sharp_factor(counts.reshape(shape), smooth.reshape(shape))
        if last is None and not (factor.found and fitted.converged):
            return fitted, no_factor(shape)
        multiplier = factor.factor.reshape(counts.shape)
        # The first fit took sharp features for smooth ones: its strengths are of no use.
        fitted = fit(
            basis, penalty, counts, exposure * multiplier, None if last is None else fitted
        )
        rate = fitted.rate(basis) * multiplier
        if last is not None and np.sum(exposure * rate * np.log(rate / last) ** 2) < SETTLED:
            break
        last = rate
    return fitted, factor


def _check(stack):
    for name, values in (("counts", stack.counts), ("livetime", stack.livetime)):
        bad = np.count_nonzero(~(np.isfinite(values) & (values >= 0)))
        if bad:
            raise ValueError(
                f"method spline, {name}: got {bad} bins of {np.size(values)} that are negative or "
                "not finite, expected 0 or more"
            )
    if not np.any(stack.livetime > 0):
        raise ValueError(
            "method spline: got no exposure in any bin, expected some: compare the energy "
            "thresholds of the runs and their excluded regions with the axes"
        )


def _mean_of_bin(energy):
    """ln of the mean of a typical power law over each bin, relative to that at its centre."""
    low, high = energy[:-1], energy[1:]
    power = 1 - TYPICAL_INDEX
    center = np.sqrt(low * high)
    mean = ((high / center) ** power - (low / center) ** power) / power / ((high - low) / center)
    return np.log(mean)
