"""The self-check: does the suite find what is wrong, and is it silent when nothing is?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from simbg.simulation.seeds import named_rng
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.metrics.registry import CUBE_METRICS
from simbg.validation.self_check.asymmetric_field import asymmetric_field
from simbg.validation.self_check.defects import DEFECTS

__all__ = ["PROBES", "CleanRuns", "Detection", "clean_runs", "detect", "self_check"]

# Metrics with a criterion, but for that of masks, which the field does not have.
PROBES = tuple(
    name
    for name, metric in CUBE_METRICS.items()
    if metric.kind != "quality" and name != "masked_norm"
)
RATE = BUDGET / len(PROBES)
# A size counts as found if 19 of 20 replicates show it.
N_REPLICATES, N_FOUND = 20, 19
STEP = 2**0.5
# Limits are stated for a false-alarm rate of 8e-5 and a power of 95 %.
LIMIT_SIGMA = sigmas(8e-5) + float(stats.norm.isf(0.05))
N_CLEAN = 504


@dataclass(frozen=True)
class Detection:
    """How a defect was found.

    Parameters
    ----------
    name, about, unit : str
    events : float
    full : float
    found : bool
        At its full size.
    pulls : tuple of float
        Mean pull of each of `PROBES` at full size.
    smallest : float
        Smallest size found; NaN if none.
    first : str
        The metric that found it most often at that size, or else stood out most.
    limit : float
        Cramér–Rao limit; NaN where the defect changes no expectation.
    sizes, power : tuple of float
        The power curve.
    """

    name: str
    about: str
    unit: str
    events: float
    full: float
    found: bool
    pulls: tuple
    smallest: float
    first: str
    limit: float
    sizes: tuple
    power: tuple

    @property
    def ratio(self):
        """Smallest size found over the Cramér–Rao limit."""
        return self.smallest / self.limit


@dataclass(frozen=True)
class CleanRuns:
    """Runs in which nothing is wrong.

    Parameters
    ----------
    n : int
    alarms : int
        Runs with a metric beyond its limit; ``BUDGET`` of them are expected.
    pvalues : ndarray, shape (n, n_probes)
    """

    n: int
    alarms: int
    pvalues: np.ndarray

    @property
    def tests(self):
        """Binomial p-values, both sides, of the alarms and of each metric's share below 5 %.

        A suite that never alarms is wrong, too.
        """
        counts = np.sum(self.pvalues < 0.05, axis=0)
        tests = {"alarms": stats.binomtest(self.alarms, self.n, BUDGET).pvalue}
        return tests | {
            name: stats.binomtest(int(k), self.n, 0.05).pvalue
            for name, k in zip(PROBES, counts, strict=True)
        }

    @property
    def consistent(self):
        """Whether all of these are above 1e-3 over their number."""
        return min(self.tests.values()) > 1e-3 / (len(PROBES) + 1)


def self_check(seed, executor=None, names=None):
    """Plant all defects and run clean.

    Returns
    -------
    found : list of Detection
    clean : CleanRuns
        The same for any executor.
    """
    run = executor.map if executor else map
    batches = list(range(0, N_CLEAN, 42))
    # One stream of work: the longest first would need to know which that is.
    found = list(run(partial(detect, seed), names or list(DEFECTS)))
    rows = [row for batch in run(partial(clean_runs, seed), batches) for row in batch]
    pvalues = 2 * stats.norm.sf(np.abs(np.array(rows)))
    alarms = int(np.sum((pvalues < RATE).any(axis=1)))
    return found, CleanRuns(len(rows), alarms, pvalues)


def detect(seed, name):
    """Plant one defect at its full size and at smaller ones, down to what is no longer found."""
    defect = DEFECTS[name]
    at_full = _pulls(defect, defect.full, seed, 0)
    k = sigmas(RATE)
    information = defect.information
    limit = LIMIT_SIGMA / np.sqrt(information) if information else np.nan
    sizes, power, smallest, first = [], [], np.nan, ""
    size = defect.full if not limit * 16 < defect.full else limit * 16
    for number in range(1, 40):
        pulls = np.abs(_pulls(defect, size, seed, number))
        hits = pulls > k
        share = hits.any(axis=1).mean()
        sizes.append(float(size))
        power.append(float(share))
        if share * N_REPLICATES < N_FOUND - 1e-9:
            break
        smallest, first = (
            float(size),
            PROBES[np.lexsort((pulls.mean(axis=0), hits.sum(axis=0)))[-1]],
        )
        size /= STEP
    return Detection(
        name,
        defect.about,
        defect.unit,
        defect.events,
        defect.full,
        bool((np.abs(at_full) > k).any(axis=1).sum() >= N_FOUND),
        tuple(np.nanmean(at_full, axis=0).tolist()),
        smallest,
        first,
        float(limit),
        tuple(sizes),
        tuple(power),
    )


def clean_runs(seed, start, n=42):
    """Pulls of `PROBES` in runs without a defect, shape (n, n_probes)."""
    b = asymmetric_field()
    rows = []
    for number in range(start, start + n):
        pair = b.pair(*b.draw(named_rng(seed, "clean", number), b.expected))
        rows.append([CUBE_METRICS[name](pair).pull for name in PROBES])
    return rows


def _pulls(defect, size, seed, number):
    rows = []
    for i in range(N_REPLICATES):
        pair = defect.pair(size, named_rng(seed, "defect " + defect.name, number, i))
        rows.append([CUBE_METRICS[name](pair).pull for name in PROBES])
    return np.array(rows)
