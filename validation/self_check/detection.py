"""The self-check: whether the metrics detect defects, and whether clean runs give false alarms."""

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import numpy as np
from scipy import special

from simbg.simulation.seeds import named_rng
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.metrics.registry import CUBE_METRICS
from simbg.validation.self_check.asymmetric_field import asymmetric_field
from simbg.validation.self_check.defects import DEFECTS, Defect

__all__ = ["PROBES", "CleanRuns", "Detection", "SelfCheck", "self_check"]

# Metrics with a criterion, except `masked_norm`, because the field has no masks.
PROBES = tuple(
    n for n, metric in CUBE_METRICS.items() if metric.kind != "quality" and n != "masked_norm"
)
RATE = BUDGET / len(PROBES)
# Replicates of each size, and the fraction that must detect it: 19 of 20.
N_REPLICATES, POWER = 20, 0.95
# Factor between two sizes, and largest number of sizes. The search ends at a size that is not
# detected.
STEP, MAX_SIZES = 2**0.5, 39
# First size of the search, in units of the Cramér–Rao bound.
START = 16
N_CLEAN, BATCH = 504, 42


@dataclass(frozen=True)
class Detection:
    """Detection of a defect.

    Parameters
    ----------
    name, description, unit : str
        Name, description and unit of the defect.
    events : float
        Expected events of the field.
    full : float
        Full size of the defect.
    detected : bool
        Whether it is detected at its full size.
    pulls : tuple of float
        Mean pull of each of `PROBES` at the full size.
    smallest : float
        Smallest detected size; NaN if none is detected.
    first : str
        The metric that most often detected the smallest size; if several did, the one with the
        largest pulls.
    limit : float
        Cramér–Rao bound; NaN if the defect does not change an expectation.
    sizes, power : tuple of float
        Sizes, and the fraction of the replicates in which each is detected.
    """

    name: str
    description: str
    unit: str
    events: float
    full: float
    detected: bool
    pulls: tuple[float, ...]
    smallest: float
    first: str
    limit: float
    sizes: tuple[float, ...]
    power: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Smallest detected size over the Cramér–Rao bound."""
        return self.smallest / self.limit

    @property
    def text(self) -> str:
        """The result in words, in one line."""
        size = "no smaller size"
        if math.isfinite(self.smallest):
            size = f"smallest {self.smallest:.3g}"
        bound = f" = {self.ratio:.2f} × Cramér–Rao bound" if math.isfinite(self.ratio) else ""
        word = "detected" if self.detected else "MISSED  "
        defect = f"{word} {self.name:20s} {self.full:.3g} {self.unit}"
        return f"{defect}: {size}{bound}, by {self.first or '–'}"

    @classmethod
    def of(cls, seed: int, defect: Defect, n_replicates: int = N_REPLICATES) -> Self:
        """Plant a defect at its full size, and at smaller sizes until it is no longer detected.

        Parameters
        ----------
        seed : int
            Seed of the replicates.
        defect : Defect
            The defect.
        n_replicates : int
            Number of replicates of each size.

        Returns
        -------
        detection : Detection
            The power at each size.
        """
        at_full = _pulls(defect, defect.full, seed, 0, n_replicates)
        limit = float(defect.limit)
        size = min(defect.full, START * limit)
        sizes: list[float] = []
        power: list[float] = []
        smallest, first = np.nan, ""
        for number in range(1, MAX_SIZES + 1):
            pulls = _pulls(defect, size, seed, number, n_replicates)
            sizes.append(float(size))
            power.append(_power(pulls))
            if power[-1] < POWER:
                break
            smallest, hits = sizes[-1], (np.abs(pulls) > sigmas(RATE)).sum(axis=0)
            first = PROBES[np.lexsort((np.abs(pulls).mean(axis=0), hits))[-1]]
            size /= STEP
        return cls(
            defect.name,
            defect.description,
            defect.unit,
            defect.events,
            defect.full,
            _power(at_full) >= POWER,
            tuple(np.nanmean(at_full, axis=0).tolist()),
            smallest,
            first,
            limit,
            tuple(sizes),
            tuple(power),
        )


@dataclass(frozen=True)
class CleanRuns:
    """Runs without a defect.

    Parameters
    ----------
    pvalues : ndarray, shape (n, n_probes)
        p-value of each run and metric.
    """

    pvalues: np.ndarray

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.pvalues)

    @property
    def alarms(self) -> int:
        """Number of runs with a false alarm. The expected fraction is ``BUDGET``."""
        return int(np.sum((self.pvalues < RATE).any(axis=1)))

    @property
    def tests(self) -> dict[str, float]:
        """Binomial p-values of the number of alarms, and of the number of p < 5 % of each metric.

        Too few false alarms are a fault as well.
        """
        from scipy import stats  # imported here, since it is as slow to load as astropy

        counts = np.sum(self.pvalues < 0.05, axis=0).tolist()
        cases = {"alarms": (self.alarms, BUDGET)}
        cases |= {name: (k, 0.05) for name, k in zip(PROBES, counts, strict=True)}
        return {name: stats.binomtest(k, self.n, p).pvalue for name, (k, p) in cases.items()}

    @property
    def consistent(self) -> bool:
        """Whether all p-values of the tests are above 1e-3 divided by their number."""
        return min(self.tests.values()) > 1e-3 / (len(PROBES) + 1)

    @property
    def text(self) -> str:
        """Comparison of the false alarms of clean runs with the stated rate, in one line."""
        fractions = [float((column < 0.05).mean()) for column in self.pvalues.T]
        low, high = min(fractions), max(fractions)
        text = f"clean runs with p < 5 %: {low:.1%} to {high:.1%}, depending on the metric; "
        text += f"{self.alarms} false alarms, {self.n * BUDGET:.1f} expected: "
        if self.consistent:
            return text + "consistent"
        tests = self.tests
        name = min(tests, key=lambda name: tests[name])
        return text + f"NOT consistent, {name} by a binomial test (p = {tests[name]:.1g})"


class SelfCheck(NamedTuple):
    """The result of a self-check.

    Parameters
    ----------
    detections : list of Detection
        One for each defect.
    clean : CleanRuns
        The clean runs.
    """

    detections: list[Detection]
    clean: CleanRuns

    @property
    def ok(self) -> bool:
        """Whether every defect is detected at its full size, and clean runs are consistent."""
        return all(detection.detected for detection in self.detections) and self.clean.consistent

    @property
    def text(self) -> str:
        """The result in one line."""
        n_detected = sum(detection.detected for detection in self.detections)
        text = f"{n_detected} of {len(self.detections)} defects detected; "
        return text + f"{self.clean.alarms} false alarms in {self.clean.n} clean runs"


def self_check(
    seed: int,
    executor: Executor | None = None,
    names: Sequence[str] | None = None,
    n_replicates: int = N_REPLICATES,
    n_clean: int = N_CLEAN,
) -> SelfCheck:
    """Plant all defects, and simulate clean runs.

    Parameters
    ----------
    seed : int
        Seed of the simulations.
    executor : concurrent.futures.Executor, optional
        Runs parts in parallel.
    names : sequence of str, optional
        Names of defects; by default all.
    n_replicates, n_clean : int
        Number of replicates of each size of a defect, and number of clean runs.

    Returns
    -------
    check : SelfCheck
        Detections and clean runs; the same for any executor.
    """
    run = executor.map if executor else map
    search = partial(Detection.of, seed, n_replicates=n_replicates)
    # All defects are one list of jobs, since their durations are not known.
    detections = list(run(search, [DEFECTS[name] for name in names or DEFECTS]))
    batches = [range(i, min(i + BATCH, n_clean)) for i in range(0, n_clean, BATCH)]
    pulls = np.concatenate(list(run(partial(_clean_pulls, seed), batches)))
    return SelfCheck(detections, CleanRuns(2 * special.ndtr(-np.abs(pulls))))


def _pulls(defect, size, seed, number, n_replicates):
    rngs = (named_rng(seed, f"defect {defect.name}", number, i) for i in range(n_replicates))
    return np.array([_probe(defect.pair(size, rng)) for rng in rngs])


def _power(pulls):
    """Fraction of the replicates in which a metric is beyond its limit."""
    return float((np.abs(pulls) > sigmas(RATE)).any(axis=1).mean())


def _clean_pulls(seed, numbers):
    """Pulls of `PROBES` in runs without a defect, shape (n, n_probes)."""
    field = asymmetric_field()
    rngs = (named_rng(seed, "clean", number) for number in numbers)
    return np.array([_probe(field.pair(*field.draw(rng, field.expected))) for rng in rngs])


def _probe(pair):
    return [CUBE_METRICS[name](pair).pull for name in PROBES]
