"""Metrics of single runs: how well models predict other events of the same runs.

A cube of many runs may be right on average and wrong for each. Here every run's model
is held against events that it has not seen.
"""

from dataclasses import dataclass, replace

import numpy as np

from simbg.models.run_norm import run_counts
from simbg.validation.metrics.poisson import chi2_z
from simbg.validation.metrics.registry import METRICS

__all__ = ["RunCounts", "expected_values", "run_values"]

# Energy bands of a run, and the fewest counts that make one.
N_BANDS, FEWEST = 5, 10.0


@dataclass(frozen=True, eq=False)
class RunCounts:
    """Counts of one run in energy bands, and what a model predicts for them.

    Parameters
    ----------
    counts, predicted, variance : ndarray, shape (n_band,)
        The variance is that of the prediction, without a common norm.
    norm_variance : float
        Relative variance of a norm that was fitted to other events of the run.
    """

    counts: np.ndarray
    predicted: np.ndarray
    variance: np.ndarray
    norm_variance: float = 0.0

    @classmethod
    def of(cls, observation, cube, norm_variance=0.0, counts=None):
        """Hold a run against a model.

        Parameters
        ----------
        observation : Observation
            With events that the model has not seen.
        cube : BackgroundCube
            The model, per livetime.
        norm_variance : float
        counts : ndarray, full shape, optional
            In place of the observation's own events: expected ones.
        """
        bands = np.arange(cube.axes.shape[0]) * N_BANDS // cube.axes.shape[0]
        values = run_counts(cube, observation, counts)
        sums = [np.bincount(bands, value.sum(axis=(1, 2)), N_BANDS) for value in values]
        return cls(*sums, norm_variance)


def run_values(runs, noise_free=False):
    """Values of `run_norms` and `run_spectra`.

    χ² of about normal numbers; its mean is the number of runs, or of bands less one a run.

    Parameters
    ----------
    runs : sequence of RunCounts
    noise_free : bool
        Whether counts are expected ones: the mean that noise would add is then put in.

    Returns
    -------
    values : dict of str to MetricValue
    """
    norms, spectra, n_spectra = 0.0, 0.0, 0
    for run in runs:
        total, predicted = run.counts.sum(), run.predicted.sum()
        variance = predicted + run.variance.sum() + run.norm_variance * predicted**2
        norms += (total - predicted) ** 2 / variance + noise_free
        factor = total / predicted
        expected = factor * run.predicted
        used = expected >= FEWEST
        if np.count_nonzero(used) < 2:
            continue
        # Poorer bands are left out, and the norm is that of the others.
        expected = expected * run.counts[used].sum() / expected[used].sum()
        spread = expected + factor**2 * run.variance
        spectra += np.sum((run.counts - expected)[used] ** 2 / spread[used])
        free = np.count_nonzero(used) - 1
        spectra += free * noise_free
        n_spectra += free
    of_spectra = (chi2_z(spectra, n_spectra, 2 * n_spectra), 1.0) if n_spectra else ()
    return {
        "run_norms": METRICS["run_norms"].value(chi2_z(norms, len(runs), 2 * len(runs)), 1.0),
        "run_spectra": METRICS["run_spectra"].value(*of_spectra),
    }


def expected_values(experiment, cube):
    """Values of one cube for all runs with expected counts: how wrong it is for each run."""
    counts = (
        replace(experiment, runs=experiment.runs[row : row + 1]).expected(cube.axes).counts
        for row in range(len(experiment.runs))
    )
    runs = zip(experiment.observations(), counts, strict=True)
    return run_values([RunCounts.of(run, cube, counts=n) for run, n in runs], noise_free=True)
