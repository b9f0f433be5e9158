"""Metrics of single runs: how well models predict independent events of the same runs.

A cube of many runs may be correct on average and wrong for each run. In this module, the model of
each run is compared with events that were not used for the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from simbg.cube import BackgroundCube
from simbg.models.run_norm import run_counts
from simbg.observations.observation import Observation
from simbg.validation.metrics.metric import MetricValue
from simbg.validation.metrics.poisson import chi2_z
from simbg.validation.metrics.registry import METRICS

__all__ = ["RunCounts", "expected_values", "run_values"]

# Number of energy bands of a run, and the least number of counts in a band.
N_BANDS, MIN_BAND_COUNTS = 5, 10.0


@dataclass(frozen=True, eq=False)
class RunCounts:
    """Observed and predicted counts of one run in energy bands.

    Parameters
    ----------
    counts, predicted, variance : ndarray, shape (n_band,)
        Observed counts, predicted counts, and the variance of the prediction without that of a
        norm.
    norm_variance : float
        Relative variance of a norm that was fitted to other events of the run.
    """

    counts: np.ndarray
    predicted: np.ndarray
    variance: np.ndarray
    norm_variance: float = 0.0

    @classmethod
    def of(
        cls,
        observation: Observation,
        cube: BackgroundCube,
        norm_variance: float = 0.0,
        counts: np.ndarray | None = None,
    ) -> Self:
        """Compare the events of a run with a model.

        Parameters
        ----------
        observation : Observation
            A run with events that are independent of the model.
        cube : BackgroundCube
            The model, per livetime.
        norm_variance : float
            Relative variance of a norm that was fitted to other events of the run.
        counts : ndarray, shape of the axes of the cube, optional
            Counts, for example expected ones, instead of the events of the observation.

        Returns
        -------
        run : RunCounts
            Sums over five bands of energy.
        """
        bands = np.arange(cube.axes.shape[0]) * N_BANDS // cube.axes.shape[0]
        values = run_counts(cube, observation, counts)
        n, predicted, variance = (
            np.bincount(bands, value.sum(axis=(1, 2)), N_BANDS) for value in values
        )
        return cls(n, predicted, variance, norm_variance)


def run_values(runs: Sequence[RunCounts], noise_free: bool = False) -> dict[str, MetricValue]:
    """Values of the metrics `run_norms` and `run_spectra`.

    Parameters
    ----------
    runs : sequence of RunCounts
        The runs.
    noise_free : bool
        Whether the counts are expected counts. Then the mean contribution of noise is added.

    Returns
    -------
    values : dict of str to MetricValue
        One for each metric.

    Notes
    -----
    Each is the χ² of nearly normal numbers, as a normal deviate. `run_norms` has one degree of
    freedom for each run. `run_spectra` scales the prediction to the counts of the run. In each run
    it has one degree of freedom less than there are bands.
    """
    norms, spectra, n_spectra = 0.0, 0.0, 0
    for run in runs:
        total, predicted = run.counts.sum(), run.predicted.sum()
        variance = predicted + run.variance.sum() + run.norm_variance * predicted**2
        norms += (total - predicted) ** 2 / variance + noise_free
        factor = total / predicted
        expected = factor * run.predicted
        used = expected >= MIN_BAND_COUNTS
        if np.count_nonzero(used) < 2:
            continue
        # Bands with fewer counts are not used, and the norm is that of the others.
        expected = expected * run.counts[used].sum() / expected[used].sum()
        spread = expected + factor**2 * run.variance
        spectra += float(np.sum((run.counts - expected)[used] ** 2 / spread[used]))
        free = int(np.count_nonzero(used)) - 1
        spectra += free * noise_free
        n_spectra += free
    of_spectra = (chi2_z(spectra, n_spectra, 2 * n_spectra), 1.0) if n_spectra else ()
    return {
        "run_norms": METRICS["run_norms"].value(chi2_z(norms, len(runs), 2 * len(runs)), 1.0),
        "run_spectra": METRICS["run_spectra"].value(*of_spectra),
    }


def expected_values(experiment: Any, cube: BackgroundCube) -> dict[str, MetricValue]:
    """Values of one cube for the expected counts of all runs: the bias of the cube for each run.

    Parameters
    ----------
    experiment : Experiment
        The runs and their expected counts.
    cube : BackgroundCube
        The model of all runs, per livetime.

    Returns
    -------
    values : dict of str to MetricValue
        See `run_values`.
    """
    counts = (
        replace(experiment, runs=experiment.runs[row : row + 1]).expected(cube.axes).counts
        for row in range(len(experiment.runs))
    )
    runs = zip(experiment.observations(), counts, strict=True)
    return run_values([RunCounts.of(run, cube, counts=n) for run, n in runs], noise_free=True)
