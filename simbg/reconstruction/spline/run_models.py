"""Models of single runs from one model of all runs."""

import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.observations.observation import Observation
from simbg.observations.threshold import first_bin
from simbg.reconstruction.covariates import Covariates, held_out_gains
from simbg.reconstruction.spline.basis import TYPICAL_INDEX, Basis, mean_of_bin, offsets
from simbg.reconstruction.spline.cells import CELL, read_runs, track
from simbg.reconstruction.spline.design import N_ENERGY_OF_COVARIATES, Design, Zenith
from simbg.reconstruction.spline.errors import RateErrors, by_strengths
from simbg.reconstruction.spline.features.sharp import Factor, no_factor, sharp_factor
from simbg.reconstruction.spline.fit import fit
from simbg.reconstruction.spline.run_fit import RunFit, fit_all_runs

__all__ = ["fit_run_models"]

log = logging.getLogger(__name__)

# Largest number of fits; each follows a new index at thresholds and a new search for sharp
# features. They end when no index changes by more than SETTLED, and the prediction does not change.
FITS, SETTLED = 4, 0.05
# Least number of cells in the range of cos(zenith) of the runs.
N_CELLS = 24
# Range of the index.
LOWEST_INDEX, HIGHEST_INDEX = -2.0, 8.0
# A fit to fewer events gives a warning.
FEWEST_EVENTS = 10
# A run without events is not used if this many are predicted: the probability of none is e^-30.
EXPECTED = 30.0
# Largest distance, in cos(zenith), to runs that expose a bin, without being extrapolated.
NEAR = 0.02


@dataclass(frozen=True, eq=False)
class RunModels:
    """One model of all runs, with a cube for each run.

    Parameters
    ----------
    axes : Axes
        Axes of the cubes.
    zenith : Zenith
        Functions of the zenith angle.
    design : Design
        All functions.
    fit : RunFit
        Their coefficients, and the norms of the runs.
    covariance : ndarray, shape (n_coefficients, n_coefficients)
        Covariance of the coefficients, including the uncertainty of the strengths.
    factor : Factor
        Sharp features.
    level : ndarray, shape (n_energy,)
        Mean rate of an energy bin, relative to that at its centre.
    exposed : ndarray, shape (2, n_energy, n_lon, n_lat)
        Smallest and largest cos(zenith) of the runs that expose each bin.
    covariates : Covariates
        Other covariates that the model uses.
    gains : dict of str to float
        Increase of the held-out likelihood by each covariate that was requested.
    """

    axes: Axes
    zenith: Zenith
    design: Design
    fit: RunFit
    covariance: np.ndarray
    factor: Factor
    level: np.ndarray
    exposed: np.ndarray
    covariates: Covariates
    gains: dict[str, float]

    def at(self, observation: Observation) -> BackgroundCube:
        """The cube of an observation, per livetime, without its norm.

        The functions of the zenith angle are averaged over its track, as in the fit: so the model
        has no bias by their curvature for runs that are as long as those of the fit.
        Outside of the range of zenith angles of the fitted runs the model of the end of the range
        is used.

        Parameters
        ----------
        observation : Observation
            The run, which need not be one of those in the fit.
        """
        run = observation.read()
        cosines = track(run)
        functions, shape = self.zenith(cosines).mean(axis=0), self.axes.shape
        theta = np.tensordot(functions, self.design.by_degree(self.fit.theta), 1)
        values = self.covariates.functions([observation])
        for name, used in self.covariates.held(observation).items():
            text = "run %d: %s %g is far outside of the range of the fitted runs; %g is used"
            log.warning(text, run.obs_id, name, observation.covariates[name], used)
        spectrum = self.design.of_covariates(self.fit.theta, values)[0][:, None]
        # The mean of the runs' norms is exp(σ² / 2).
        constant = self.fit.constant + 0.5 * self.fit.sigma**2
        rate = np.exp(constant + spectrum + self.design.basis.log_rate(theta)).reshape(shape)
        rate *= self.level[:, None, None] * self.factor.factor
        errors = self._errors(functions, values[0])
        low, high = self.exposed
        cosine = cosines.mean()
        extrapolated = ~((low <= cosine + NEAR) & (high >= cosine - NEAR))
        return BackgroundCube(
            self.axes,
            rate,
            rate * errors.relative.reshape(shape),
            livetime=np.full(shape, run.livetime),
            ontime=np.full(shape, run.ontime),
            meta=self._meta(run, cosine),
            extrapolated=extrapolated,
            covariance=(errors.of_rate(shape),),
        )

    @property
    def text(self) -> str:
        """Description of the fit in one line."""
        fit, degree = self.fit, self.zenith.degree
        low, high = (np.degrees(np.arccos(c)) for c in (self.zenith.high, self.zenith.low))
        zenith = f"zenith angles {low:.0f} to {high:.0f} deg" if degree else "one zenith angle"
        number = fit.log_norm.size
        parts = [f"one model of {number} run{'s' * (number != 1)} at {zenith}"]
        parts.append(f"{fit.n_effective:.1f} effective parameters, {fit.n_iterations} iterations")
        parts += ["not converged"] * (not fit.converged)
        # It is not determined by one or two runs.
        parts += [f"norms of runs scatter by {fit.sigma:.1%}"] * bool(np.isfinite(fit.sigma_error))
        parts += [f"covariates (held-out ln L): {self._choice}"] * bool(self.gains)
        return "; ".join(parts)

    @property
    def _choice(self):
        """The covariates with the increase of the held-out likelihood."""
        each = (f"{n} {g:+.1f}{'' if g > 0 else ' (not used)'}" for n, g in self.gains.items())
        return ", ".join(each)

    @cached_property
    def _root(self):
        """C, for which the covariance is C C': of degrees in cos(zenith), of other covariates."""
        factor = RateErrors(self.design.basis, self.covariance, self.factor.variance).factor
        number = self.design.n_smooth
        return self.design.by_degree(factor[:number]), factor[number:]

    def _errors(self, functions, values):
        """Errors for given functions of the zenith angle and of other covariates."""
        (smooth, others), basis = self._root, self.design.basis
        both = np.tensordot(functions, smooth, 1)
        if values.size:
            others = others.reshape(values.size, -1, others.shape[1])
            both[0, : others.shape[1]] += np.tensordot(values, others, 1)
        both = both.reshape(-1, both.shape[-1])
        return RateErrors(basis, both @ both.T, self.factor.variance.reshape(len(self.level), -1))

    def _meta(self, observation, cosine):
        """Metadata of a cube."""
        meta: dict[str, Any] = {"METHOD": "spline", "ZENITH": float(np.degrees(np.arccos(cosine)))}
        meta["N_OBS"] = len(self.fit.log_norm)
        meta |= {"N_EFF": round(self.fit.n_effective, 1), "N_ITER": self.fit.n_iterations}
        meta |= {"CONVERGE": self.fit.converged, "N_SHARP": self.factor.n_sharp}
        if np.isfinite(self.fit.sigma_error):
            meta["RUN_SIG"] = round(self.fit.sigma, 4)
        if self.gains:
            meta["COVARS"] = self._choice
        low, high = self.zenith.low, self.zenith.high
        if not low - NEAR <= cosine <= high + NEAR:
            held = float(np.degrees(np.arccos(np.clip(cosine, low, high))))
            meta["ZEN_HELD"] = held
            log.warning(
                "run %d: zenith angle %.1f deg is outside of the range of the fitted runs; the "
                "model at %.1f deg is used",
                *(observation.obs_id, meta["ZENITH"], held),
            )
        return meta


def fit_run_models(
    observations: Sequence[Observation],
    axes: Axes,
    executor: Executor | None = None,
    width: float | None = None,
) -> RunModels:
    """Fit one model to all runs.

    Parameters
    ----------
    observations : sequence of Observation
        The runs.
    axes : Axes
        Axes of the cubes.
    executor : concurrent.futures.Executor, optional
        Reads runs in parallel.
    width : float, optional
        Width of a cell in cos(zenith); by default 1/24 of the range of the runs, or 1/64.
    """
    requested = Covariates.of(observations)
    if width is None:
        spread = np.ptp(np.sin(np.radians([run.alt for run in observations])))
        width = float(min(CELL, max(spread, CELL) / N_CELLS)) if np.isfinite(spread) else CELL
    runs = read_runs(observations, axes, executor, width)
    return _models(observations, runs, requested)


def _models(observations, runs, requested):
    """The models of some runs from their statistics, with those of the covariates that help."""
    axes = runs.axes
    zenith = Zenith.of(runs.cosines)
    basis = Basis.of(axes)
    functions = zenith(runs.cosines).mean(axis=1)
    in_cells = _in_cells(runs, functions)
    offset, image = functions - in_cells[runs.cell], runs.counts.sum(axis=(0, 1))
    level = np.exp(mean_of_bin(axes.energy))
    design = Design.of(basis, in_cells, image)
    found = _fit(design, runs, offset, np.zeros((runs.n_runs, 0)), level)
    silent = _silent(observations, runs, found[0])
    if silent.any():
        used = [observations[i] for i in np.flatnonzero(~silent).tolist()]
        return _models(used, runs.without(silent), requested)
    gains = _gains(requested, observations, runs, found[0], basis)
    covariates = requested.only([name for name, gain in gains.items() if gain > 0])
    if covariates.names:
        values = covariates.functions(observations)
        design = Design.of(basis, in_cells, image, values.shape[1])
        found = _fit(design, runs, offset, values, level, *found)
    fitted, factor, _ = found
    covariance = fitted.covariance
    for information, response in zip(fitted.information, fitted.response, strict=True):
        covariance = covariance + by_strengths(information, response)
    events = int(runs.counts.sum())
    if not fitted.converged or events < FEWEST_EVENTS:
        text = "method spline: do not trust its rates: %d events, %d iterations, %sconverged"
        log.warning(text, events, fitted.n_iterations, "" if fitted.converged else "not ")
    return RunModels(
        *(axes, zenith, design, fitted, covariance, factor, level, _exposed(runs)),
        *(covariates, gains),
    )


def _silent(observations, runs, fitted):
    """Runs without events for which many are predicted: something is wrong with their data.

    The logarithm of their norm would be −∞, and the scatter of all norms as large.
    """
    predicted = fitted.spectra.sum(axis=1)
    silent = (runs.spectra.sum(axis=1) == 0) & (predicted > EXPECTED)
    for i in np.flatnonzero(silent).tolist():
        text = "run %d: got no events, expected about %.0f: the model of all runs is without it"
        log.warning(text, observations[i].obs_id, predicted[i])
    return silent


def _gains(requested, observations, runs, fitted, basis):
    """Increase of the held-out likelihood by each covariate, which is reported."""
    functions = {n: requested.only([n]).functions(observations) for n in requested.names}
    energy = basis.energy[:, :N_ENERGY_OF_COVARIATES]
    gains = held_out_gains(requested, functions, runs.spectra, fitted.spectra, energy)
    for name, gain in gains.items():
        used = "used" if gain > 0 else "not used"
        log.info("covariate %s: held-out ln L %+.1f, %s", name, gain, used)
    return gains


def _fit(design, runs, offset, values, level, fitted=None, factor=None, index=None):
    """The fit, with the index at thresholds and the factor of sharp features, in turns."""
    shape, per_second = runs.axes.shape, runs.axes.volume * level[:, None, None]
    factor = factor or no_factor(shape)
    if index is None:
        index = np.full((runs.counts.shape[1], shape[0]), TYPICAL_INDEX)
    for _ in range(FITS):
        seconds = runs.seconds(index)
        exposure = (per_second * factor.factor).reshape(shape[0], -1)
        start = fitted
        if start is None:
            total = runs.exposure(seconds).sum(axis=1)
            if not total.any():
                raise ValueError(
                    "method spline: got no exposure in any bin, expected at least one bin with "
                    "exposure: compare the energy thresholds of the runs and their excluded "
                    "regions with the axes"
                )
            first = design.blocks[0].penalty
            start = fit(design.basis, first, runs.counts.sum(axis=1), total * exposure)
        fitted = fit_all_runs(design, runs, offset, values, seconds, exposure, start)
        new = _index(design, fitted, runs.axes)
        changed = np.abs(new - index)[_with_threshold(runs)].max(initial=0.0)
        smooth = fitted.predicted.reshape(shape) / factor.factor
        counts = runs.counts.sum(axis=1).reshape(shape)
        found = sharp_factor(counts, smooth, offsets(runs.axes))
        if changed < SETTLED and _same(found, factor, smooth):
            break
        if found.found and not factor.found:
            fitted = None
        index, factor = new, found
    return fitted, factor, index


def _with_threshold(runs):
    """Bins of each cell that contain the threshold of a run, (n_cells, n_energy)."""
    found = np.zeros((runs.counts.shape[1], runs.counts.shape[0]), bool)
    for cell, threshold in zip(runs.cell, runs.threshold, strict=True):
        first, whole = (first_bin(runs.axes, threshold, partial) for partial in (True, False))
        found[cell, first:whole] = True
    return found


def _index(design, fitted, axes):
    """Spectral index of the model in each bin, from the two bins above it, (n_cells, n_energy).

    In these bins a run whose threshold is in the bin is exposed for its whole livetime.
    """
    rate = np.exp(design.log_rate(fitted.theta)) @ axes.solid_angle.ravel()
    if len(rate) < 2:
        return np.full(rate.T.shape, TYPICAL_INDEX)
    index = -np.diff(np.log(rate), axis=0) / np.diff(np.log(axes.energy_center))[:, None]
    above = np.minimum(np.arange(len(rate)) + 1, len(index) - 1)
    return np.clip(index[above].T, LOWEST_INDEX, HIGHEST_INDEX)


def _same(found, factor, smooth):
    """Whether two factors predict the same, within the noise of the counts."""
    change = np.log(found.factor / factor.factor)
    return bool(np.sum(smooth * change**2) < 1)


def _in_cells(runs, functions):
    """Mean of the functions of each cell over its runs, weighted with livetime."""
    n_cells = runs.counts.shape[1]
    total = np.bincount(runs.cell, runs.livetime, n_cells)
    columns = [np.bincount(runs.cell, runs.livetime * column, n_cells) for column in functions.T]
    return np.stack(columns, axis=1) / total[:, None]


def _exposed(runs):
    """Smallest and largest cos(zenith) of the runs that expose each bin."""
    exposed = runs.exposure(runs.seconds(np.full(runs.counts.shape[1::-1], TYPICAL_INDEX))) > 0
    cosine, n_cells = runs.cosines.mean(axis=1), runs.counts.shape[1]
    mine = [cosine[runs.cell == cell] for cell in range(n_cells)]
    low, high = np.array([(one.min(), one.max()) for one in mine]).T[:, :, None]
    smallest = np.where(exposed, low, np.inf).min(axis=1)
    largest = np.where(exposed, high, -np.inf).max(axis=1)
    return np.stack([smallest, largest]).reshape(2, *runs.axes.shape)
