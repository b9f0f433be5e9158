"""The self-check: do the metrics detect what is wrong, and are they silent when nothing is?"""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import special

from simbg.simulation.seeds import named_rng
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.metrics.registry import CUBE_METRICS
from simbg.validation.self_check.asymmetric_field import asymmetric_field
from simbg.validation.self_check.defects import DEFECTS

__all__ = ["PROBES", "CleanRuns", "Detection", "SelfCheck", "self_check"]

# Metrics with a criterion, but for that of masks, which the field does not have.
PROBES = tuple(
    n for n, metric in CUBE_METRICS.items() if metric.kind != "quality" and n != "masked_norm"
)
RATE = BUDGET / len(PROBES)
# Part of the replicates that must show a size: 19 of 20.
N_REPLICATES, POWER = 20, 0.95
# A smaller size is tried, and again, down to one that is not found.
STEP, MAX_SIZES = 2**0.5, 39
# Where the search begins, in limits: none finds less than one.
START = 16
N_CLEAN, BATCH = 504, 42


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

    @property
    def text(self):
        """In words, one line."""
        size = "no smaller size"
        if math.isfinite(self.smallest):
            size = f"smallest {self.smallest:.3g}"
        limit = f" = {self.ratio:.2f} × limit" if math.isfinite(self.ratio) else ""
        what = f"{'found ' if self.found else 'MISSED'} {self.name:20s} {self.full:.3g} {self.unit}"
        return f"{what}: {size}{limit}, by {self.first or '–'}"

    @classmethod
    def of(cls, seed, defect, n_replicates=N_REPLICATES):
        """Plant one defect at its full size and at smaller ones, down to what is no longer found.

        Parameters
        ----------
        seed : int
        defect : Defect
        n_replicates : int
        """
        at_full = _pulls(defect, defect.full, seed, 0, n_replicates)
        limit = float(defect.limit)
        size = min(defect.full, START * limit)
        sizes, power, smallest, first = [], [], np.nan, ""
        for number in range(1, MAX_SIZES + 1):
            pulls = _pulls(defect, size, seed, number, n_replicates)
            sizes.append(float(size))
            power.append(_power(pulls))
            if power[-1] < POWER:
                break
            smallest, hits = sizes[-1], (np.abs(pulls) > sigmas(RATE)).sum(axis=0)
            first = PROBES[np.lexsort((np.abs(pulls).mean(axis=0), hits))[-1]]
            size /= STEP
        facts = defect.name, defect.about, defect.unit, defect.events, defect.full
        pulls, found = tuple(np.nanmean(at_full, axis=0).tolist()), _power(at_full) >= POWER
        return cls(*facts, found, pulls, smallest, first, limit, tuple(sizes), tuple(power))


@dataclass(frozen=True)
class CleanRuns:
    """Runs in which nothing is wrong.

    Parameters
    ----------
    pvalues : ndarray, shape (n, n_probes)
    """

    pvalues: np.ndarray

    @property
    def n(self):
        """Number of runs."""
        return len(self.pvalues)

    @property
    def alarms(self):
        """Runs with a metric beyond its limit; ``BUDGET`` of them are expected."""
        return int(np.sum((self.pvalues < RATE).any(axis=1)))

    @property
    def tests(self):
        """Binomial p-values, both sides, of the alarms and of each metric's share below 5 %.

        A suite that never alarms is wrong, too.
        """
        from scipy import stats  # here, since it takes as long to load as all of astropy

        counts = np.sum(self.pvalues < 0.05, axis=0).tolist()
        cases = {"alarms": (self.alarms, BUDGET)}
        cases |= {name: (k, 0.05) for name, k in zip(PROBES, counts, strict=True)}
        return {name: stats.binomtest(k, self.n, p).pvalue for name, (k, p) in cases.items()}

    @property
    def consistent(self):
        """Whether all of these are above 1e-3 over their number."""
        return min(self.tests.values()) > 1e-3 / (len(PROBES) + 1)

    @property
    def text(self):
        """Whether they alarm as often as is stated, neither more nor less, in one line."""
        part = [float((column < 0.05).mean()) for column in self.pvalues.T]
        text = f"clean runs below p = 5 %: {min(part):.1%} to {max(part):.1%}, metric by metric; "
        text += f"{self.alarms} alarms where {self.n * BUDGET:.1f} are stated: "
        if self.consistent:
            return text + "consistent, both sides"
        name = min(self.tests, key=self.tests.get)
        return text + f"NOT consistent, {name} by a binomial test (p = {self.tests[name]:.1g})"


class SelfCheck(NamedTuple):
    """The defects that were planted, and the clean runs."""

    detections: list[Detection]
    clean: CleanRuns

    @property
    def ok(self):
        """Whether every defect is found at its full size, and clean runs alarm as is stated."""
        return all(f.found for f in self.detections) and self.clean.consistent

    @property
    def text(self):
        """The result in one line."""
        found = sum(f.found for f in self.detections)
        text = f"{found} of {len(self.detections)} defects found; "
        return text + f"{self.clean.alarms} false alarms in {self.clean.n} clean runs"


def self_check(seed, executor=None, names=None, n_replicates=N_REPLICATES, n_clean=N_CLEAN):
    """Plant defects and run clean.

    Parameters
    ----------
    seed : int
    executor : concurrent.futures.Executor, optional
    names : list of str, optional
        Of defects; default: all.
    n_replicates, n_clean : int
        Replicates of each size of a defect, and runs without any.

    Returns
    -------
    check : SelfCheck
        The same for any executor.
    """
    run = executor.map if executor else map
    search = partial(Detection.of, seed, n_replicates=n_replicates)
    # One stream of work: the longest first would need to know which that is.
    detections = list(run(search, [DEFECTS[name] for name in names or DEFECTS]))
    batches = [range(i, min(i + BATCH, n_clean)) for i in range(0, n_clean, BATCH)]
    pulls = np.concatenate(list(run(partial(_clean_pulls, seed), batches)))
    return SelfCheck(detections, CleanRuns(2 * special.ndtr(-np.abs(pulls))))


def _pulls(defect, size, seed, number, n_replicates):
    rngs = (named_rng(seed, f"defect {defect.name}", number, i) for i in range(n_replicates))
    return np.array([_probe(defect.pair(size, rng)) for rng in rngs])


def _power(pulls):
    """Share of the replicates in which a metric is beyond its limit."""
    return float((np.abs(pulls) > sigmas(RATE)).any(axis=1).mean())


def _clean_pulls(seed, numbers):
    """Pulls of `PROBES` in runs without a defect, shape (n, n_probes)."""
    field = asymmetric_field()
    rngs = (named_rng(seed, "clean", number) for number in numbers)
    return np.array([_probe(field.pair(*field.draw(rng, field.expected))) for rng in rngs])


def _probe(pair):
    return [CUBE_METRICS[name](pair).pull for name in PROBES]
