"""The method `spline`: a smooth rate in all bins with its errors, by penalised likelihood."""

import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.observations.exposure import StackedCounts, stack_observations
from simbg.observations.observation import Observation
from simbg.observations.threshold import resolve
from simbg.reconstruction.spline.basis import mean_of_bin
from simbg.reconstruction.spline.errors import RateErrors
from simbg.reconstruction.spline.features.sharp import Factor
from simbg.reconstruction.spline.features.turns import fit_with_features
from simbg.reconstruction.spline.fit import Fit
from simbg.reconstruction.spline.run_models import RunModels, fit_run_models

__all__ = ["Spline"]

log = logging.getLogger(__name__)

# A fit to fewer events, or with sharp features in a larger fraction of the bins, gives a warning.
FEWEST_EVENTS, MOST_SHARP = 10, 0.25


@dataclass(frozen=True, eq=False)
class SplineModel:
    """A fitted rate.

    Parameters
    ----------
    cube : BackgroundCube
        Rates and errors of all bins, with and without exposure, with their covariance.
    factor : Factor
        Sharp features: the factor by which the smooth rate is multiplied.
    errors : RateErrors
        The covariance of the coefficients.
    fit : Fit
        The fitted coefficients and strengths.
    """

    cube: BackgroundCube
    factor: Factor
    errors: RateErrors
    fit: Fit


@dataclass(frozen=True)
class Spline:
    """A smooth rate by penalised likelihood, with an error near the statistical limit.

    ln rate is a sum of smooth functions of energy and of the field of view; the smoothness
    of each function is estimated from the counts (`simbg.reconstruction.spline.fit`). Where counts
    change abruptly between bins, as at a defective part of the camera, the smooth rate is
    multiplied by a factor (`simbg.reconstruction.spline.features.sharp`). Where a place of some
    tenths of a degree has another rate, a function that describes it is added
    (`simbg.reconstruction.spline.features.local`). In bins without exposure the rate is
    extrapolated; its error increases with the distance to bins with exposure. The exposure of a
    bin that contains an energy threshold is computed as in `histogram`. The ``meta`` of the
    cube contains N_EFF (effective parameters), N_ITER (iterations), CONVERGE (whether the fit
    converged), N_SHARP (bins with a sharp factor), N_LOCAL (local features), N_EXTRAP
    (extrapolated bins), E_EXTRAP (energies at which all bins are extrapolated) and FIT (all of
    these in a line). A fit that has not converged, has fewer than 10 events, or finds sharp
    features in more than a quarter of the bins
    gives a warning.

    Parameters
    ----------
    executor : concurrent.futures.Executor, optional
        Executor that fills the counts of runs in parallel.

    Notes
    -----
    For new truths of 1e6 events, with a feature of 0.5 deg, a break of the spectrum or an
    asymmetry at high energies, 63 to 70 % of the bins were within 1 σ of the truth and 91 to 96
    % within 2 σ (means of six truths each; the lowest of all 18 was 58 %). Errors were found to
    be too small in the response file of CTA's first data challenge, where a third of the bins
    has no events and the field of view ends at another offset at each energy: 55 to 62 % of its
    bins are within 1 σ. There, Σ (m − λ)² / λ is 30 to 50 % of that of the best kernel. With
    1e7 events the strengths do not settle in 60 iterations, while the coefficients do.

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
    costly = True
    threshold_bin = "partial"

    def reconstruct(self, observations: Sequence[Observation], axes: Axes) -> BackgroundCube:
        """Reconstruct the rate per livetime, with exact solid angles of the bins.

        Parameters
        ----------
        observations : sequence of Observation
            The runs.
        axes : Axes
            Axes of the cube.

        Returns
        -------
        cube : BackgroundCube
            Rates and standard errors in s-1 MeV-1 sr-1.
        """
        return self.estimate(
            stack_observations(observations, axes, self.threshold_bin, self.executor)
        )

    def fit(self, observations: Sequence[Observation], axes: Axes) -> RunModels:
        """Fit one model to all runs, in which the rate depends on the zenith angle.

        Each run has a norm of its own, a random effect. The result has ``at(observation)``.

        Parameters
        ----------
        observations : sequence of Observation
            The runs, each with an altitude or a pointing.
        axes : Axes
            Axes of the cubes.

        Examples
        --------
        >>> from simbg.axes import Axes
        >>> from simbg.simulation.experiment import Experiment
        >>> from simbg.simulation.library import SCENARIOS
        >>> observations = Experiment.of(SCENARIOS["zenith"], seed=0, n_obs=4).observations()
        >>> axes = Axes.regular(energy=(0.2, 20, 4), fov=(3, 6))
        >>> Spline().fit(observations, axes).at(observations[0]).rate.shape
        (4, 6, 6)
        """
        return fit_run_models(observations, axes, self.executor)

    def estimate(self, stack: StackedCounts) -> BackgroundCube:
        """Reconstruct the cube from counts and exposures.

        Parameters
        ----------
        stack : StackedCounts
            Counts and exposures of all runs.
        """
        return self.model(stack).cube

    def model(self, stack: StackedCounts) -> SplineModel:
        """Fit the rate to counts and exposures, with the covariance of its errors.

        Parameters
        ----------
        stack : StackedCounts
            Counts and exposures of all runs.

        Raises
        ------
        ValueError
            If counts or exposures are negative or not finite, or no bin has an exposure.
        """
        stack = resolve(stack)
        _check(stack)
        axes, shape = stack.axes, (stack.axes.shape[0], -1)
        level = np.exp(mean_of_bin(axes.energy))[:, None, None]
        exposure = (stack.livetime * axes.volume * level).reshape(shape)
        counts = np.where(exposure > 0, stack.counts.reshape(shape), 0).astype(float)
        done = fit_with_features(counts, exposure, axes)
        errors = RateErrors.of(done.basis, done.fit, done.factor.variance.reshape(shape))
        rate = done.fit.rate(done.basis).reshape(axes.shape) * level * done.factor.factor
        extrapolated = ~(stack.livetime > 0)
        error = rate * errors.relative.reshape(axes.shape)
        cube = BackgroundCube(
            *(axes, rate, error, stack.counts, stack.livetime, stack.ontime),
            meta=_diagnostics(self.name, stack, done, extrapolated),
            extrapolated=extrapolated,
            covariance=(errors.of_rate(axes.shape),),
            made_from=stack.made_from,
        )
        _warn(cube)
        return SplineModel(cube, done.factor, errors, done.fit)


def _diagnostics(name, stack, done, extrapolated):
    """Metadata of the cube: keywords of the file, and FIT, a line for the terminal."""
    fitted, factor = done.fit, done.factor
    meta = {"METHOD": name, "N_OBS": stack.n_obs, "N_EVENTS": stack.n_selected}
    meta |= {"N_EFF": round(fitted.n_effective, 1), "N_ITER": fitted.n_iterations}
    meta |= {"CONVERGE": fitted.converged, "N_SHARP": factor.n_sharp}
    meta["N_EXTRAP"] = int(extrapolated.sum())
    parts = [f"{meta['N_EFF']} effective parameters", f"{meta['N_ITER']} iterations"]
    parts += ["not converged"] * (not fitted.converged)
    parts += [f"sharp features in {factor.n_sharp} bins"] * bool(factor.n_sharp)
    meta["N_LOCAL"] = len(done.local)
    if done.local:
        places = ", ".join(f"({one.lon:.2g}, {one.lat:.2g})" for one in done.local)
        parts.append(f"local features at {places} deg")
    if energies := _ranges(stack.axes.energy, extrapolated.all(axis=(1, 2))):
        meta["E_EXTRAP"] = f"{energies} TeV"
        parts.append(f"extrapolated at {meta['E_EXTRAP']}")
    meta["FIT"] = ", ".join(parts)
    return meta


def _ranges(edges, chosen):
    """Ranges of the chosen bins, such as "0.1-0.3, 50-100"."""
    step = np.diff(np.concatenate([[0], chosen, [0]]))
    ends = zip(edges[step == 1], edges[step == -1], strict=True)
    return ", ".join(f"{low:.3g}-{high:.3g}" for low, high in ends)


def _warn(cube):
    """Warn in one line if the fit cannot be trusted."""
    meta, reasons = cube.meta, []
    n_used = np.count_nonzero(~cube.extrapolated)
    events = int(cube.counts[~cube.extrapolated].sum())
    if not meta["CONVERGE"]:
        reasons.append(f"not converged after {meta['N_ITER']} iterations with {events} events")
    if events < FEWEST_EVENTS:
        reasons.append(f"got {events} events, expected {FEWEST_EVENTS} or more")
    if meta["N_SHARP"] > MOST_SHARP * n_used:
        reasons.append(
            f"sharp features in {meta['N_SHARP']} of {n_used} bins: are gamma-ray sources in the "
            "field not excluded?"
        )
    if reasons:
        log.warning("method %s: do not trust its rates: %s", meta["METHOD"], "; ".join(reasons))


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
            "method spline: got no exposure in any bin, expected at least one bin with exposure: "
            "compare the energy thresholds of the runs and their excluded regions with the axes"
        )
