"""The self-check: the detection of planted defects, and false alarms of data sets without one."""

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple, Self

import numpy as np
from scipy import special

from simbg.simulation.seeds import named_rng
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.questions.arrival import measure_arrival
from simbg.validation.questions.bias import measure_bias
from simbg.validation.questions.directions import measure_directions
from simbg.validation.questions.families import Family, make_families
from simbg.validation.questions.honesty import measure_honesty
from simbg.validation.questions.noise import measure_noise
from simbg.validation.questions.replicates import Replicates
from simbg.validation.questions.verdict import bias_pvalue, judge_bias
from simbg.validation.self_check.asymmetric_field import MAP, asymmetric_field
from simbg.validation.self_check.defects import DEFECTS, POWER, Defect, Sample

__all__ = ["EXACT", "PROBES", "CleanRuns", "Detection", "SelfCheck", "self_check"]

# The questions, and the number of events of runs, which tests the simulation.
PROBES = "bias", "noise", "honesty", "arrival", "runs"
RATE = BUDGET / len(PROBES)
# Statistics whose p-values are uniform without a defect; the questions combine such statistics.
EXACT = "bias of all bins", "bias of smooth directions", "noise", "arrival", "runs"
# Replicates of the cube in each data set, those from which a map is predicted, and data sets of
# each size.
N_CUBES, N_MAPS, N_SETS = 12, 5, 20
# Factor between two sizes, and largest number of sizes. The search ends at a size that is not
# detected.
STEP, MAX_SIZES = 4 / 3, 48
# First size of the search, in units of the size that an optimal test detects; 2 and 1.5 follow.
START = 8 / 3
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
        Normal deviate of the p-value of each of `PROBES` at the full size, the median.
    message : str
        The first answer that is a fault at the full size, in the first data set.
    smallest : float
        Smallest detected size; NaN if none is detected.
    first : str
        The question that most often detected the smallest size; if several did, the one with the
        smallest p-values.
    limit : float
        Size that an optimal test detects with the same replicates and false-alarm rate; NaN if the
        defect does not change an expectation.
    sizes, power : tuple of float
        Sizes, and the fraction of the data sets in which each is detected.
    """

    name: str
    description: str
    unit: str
    events: float
    full: float
    detected: bool
    pulls: tuple[float, ...]
    message: str
    smallest: float
    first: str
    limit: float
    sizes: tuple[float, ...]
    power: tuple[float, ...]

    @staticmethod
    def at_full(defect: Defect, seed: int, n_sets: int = N_SETS) -> "AtFull":
        """Plant a defect at its full size.

        Parameters
        ----------
        defect : Defect
            The defect.
        seed : int
            Seed of the replicates.
        n_sets : int
            Number of data sets.
        """
        full = _answers(defect, defect.full, seed, 0, n_sets)
        # A wrong number of events is seen in the runs, too, but less clearly named.
        faults = np.flatnonzero(full[0] < np.log(RATE))
        probe = PROBES[faults[0] if faults.size else int(np.argmin(full[0]))]
        message = _message(_sample(defect, defect.full, seed, 0, 0), probe)
        pulls = tuple(_deviates(np.median(full, axis=0)).tolist())
        return AtFull(_power(full), pulls, f"{probe}: {message}")

    @property
    def ratio(self) -> float:
        """Smallest detected size over the size that an optimal test detects."""
        return self.smallest / self.limit

    @property
    def text(self) -> str:
        """The result in words, in one line."""
        size = "no smaller size"
        if math.isfinite(self.smallest):
            size = f"smallest {self.smallest:.3g}"
        bound = f" = {self.ratio:.2f} × optimal" if math.isfinite(self.ratio) else ""
        word = "detected" if self.detected else "MISSED  "
        defect = f"{word} {self.name:20s} {self.full:.3g} {self.unit}"
        return f"{defect}: {size}{bound}, by {self.first or '–'}; {self.message}"

    @classmethod
    def of(cls, seed: int, defect: Defect, n_sets: int = N_SETS) -> Self:
        """Plant a defect at its full size, and at smaller sizes until it is no longer detected.

        Parameters
        ----------
        seed : int
            Seed of the replicates.
        defect : Defect
            The defect.
        n_sets : int
            Number of data sets of each size.

        Returns
        -------
        detection : Detection
            The power at each size.
        """
        full = cls.at_full(defect, seed, n_sets)
        limit = float(defect.limit(N_CUBES, RATE))
        size = min(defect.full, START * limit) if limit > 0 else defect.full
        sizes: list[float] = []
        power: list[float] = []
        smallest, first = np.nan, ""
        for number in range(1, MAX_SIZES + 1):
            log_p = _answers(defect, size, seed, number, n_sets)
            sizes.append(float(size))
            power.append(_power(log_p))
            if power[-1] < POWER:
                break
            smallest, hits = sizes[-1], (log_p < np.log(RATE)).sum(axis=0)
            first = PROBES[np.lexsort((-log_p.mean(axis=0), hits))[-1]]
            size /= STEP
        return cls(
            defect.name,
            defect.description,
            defect.unit,
            defect.events,
            defect.full,
            full.power >= POWER,
            full.pulls,
            full.message,
            smallest,
            first,
            limit,
            tuple(sizes),
            tuple(power),
        )


class AtFull(NamedTuple):
    """Answers to a defect at its full size.

    Parameters
    ----------
    power : float
        Fraction of the data sets in which it is detected.
    pulls : tuple of float
        Normal deviate of the p-value of each of `PROBES`, the median.
    message : str
        The first answer that is a fault, in the first data set.
    """

    power: float
    pulls: tuple[float, ...]
    message: str


@dataclass(frozen=True)
class CleanRuns:
    """Data sets without a defect.

    Parameters
    ----------
    pvalues : ndarray, shape (n, n_exact)
        p-value of each data set and of each of `EXACT`.
    answers : ndarray, shape (n, n_probes)
        p-value of each data set and of each of `PROBES`.
    """

    pvalues: np.ndarray
    answers: np.ndarray

    @property
    def n(self) -> int:
        """Number of data sets."""
        return len(self.pvalues)

    @property
    def alarms(self) -> int:
        """Number of data sets with a false alarm. The expected fraction is at most ``BUDGET``."""
        return int(np.sum((self.answers < RATE).any(axis=1)))

    @property
    def tests(self) -> dict[str, float]:
        """Binomial p-values of the number of alarms, and of the number of p < 5 %.

        Too few p-values below 5 % are a fault as well. The questions are conservative where they
        combine several tests: only too many alarms are a fault.
        """
        from scipy import stats  # imported here, since it is as slow to load as astropy

        many = np.sum(self.answers < 0.05, axis=0).tolist()
        exact = np.sum(self.pvalues < 0.05, axis=0).tolist()
        tests = {"alarms": stats.binomtest(self.alarms, self.n, BUDGET, "greater").pvalue}
        for name, k in zip(PROBES, many, strict=True):
            tests[f"answers on {name}"] = stats.binomtest(k, self.n, 0.05, "greater").pvalue
        for name, k in zip(EXACT, exact, strict=True):
            tests[name] = stats.binomtest(k, self.n, 0.05).pvalue
        return tests

    @property
    def consistent(self) -> bool:
        """Whether all p-values of the tests are above 1e-3 divided by their number."""
        tests = self.tests
        return min(tests.values()) > 1e-3 / len(tests)

    @property
    def text(self) -> str:
        """Comparison of the false alarms of clean runs with the stated rate, in one line."""
        fractions = [float((column < 0.05).mean()) for column in self.pvalues.T]
        low, high = min(fractions), max(fractions)
        text = f"clean runs with p < 5 %: {low:.1%} to {high:.1%}, depending on the statistic; "
        text += f"{self.alarms} false alarms, at most {self.n * BUDGET:.1f} expected: "
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
    def probes(self) -> tuple[str, ...]:
        """The questions, in the order of `Detection.pulls`."""
        return PROBES

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
    n_sets: int = N_SETS,
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
    n_sets, n_clean : int
        Number of data sets of each size of a defect, and of clean runs.

    Returns
    -------
    check : SelfCheck
        Detections and clean runs; the same for any executor.
    """
    run = executor.map if executor else map
    search = partial(Detection.of, seed, n_sets=n_sets)
    # All defects are one list of jobs, since their durations are not known.
    detections = list(run(search, [DEFECTS[name] for name in names or DEFECTS]))
    batches = [range(i, min(i + BATCH, n_clean)) for i in range(0, n_clean, BATCH)]
    pvalues, answers = zip(*run(partial(_clean, seed), batches), strict=True)
    return SelfCheck(detections, CleanRuns(np.concatenate(pvalues), np.concatenate(answers)))


def _answers(defect, size, seed, number, n_sets):
    """ln of the p-values of data sets with a defect, shape (n_sets, n_probes)."""
    samples = (_sample(defect, size, seed, number, i) for i in range(n_sets))
    return np.array([list(_ask(sample).values()) for sample in samples])


def _sample(defect, size, seed, number, i):
    return defect.sample(size, named_rng(seed, f"defect {defect.name}", number, i), N_CUBES)


def _message(sample, probe):
    """The answer to a question in words."""
    if probe == "bias":
        families = _families(sample.field.events, N_CUBES)
        return judge_bias(_replicates(sample), 0.0, RATE, families=families).worst
    if probe == "noise":
        return str(measure_noise(_replicates(sample)))
    if probe == "honesty":
        return str(measure_honesty(_replicates(sample)))
    if probe == "arrival":
        return "; ".join(map(str, _arrival(sample).findings(0.0, RATE)[:1]))
    scatter = math.sqrt(_chi2(sample) / sample.runs.size)
    return f"the number of events scatters by {scatter:.3g} times √n"


def _power(log_p):
    """Fraction of the data sets in which a question is answered with a fault."""
    return float((log_p < np.log(RATE)).any(axis=1).mean())


def _deviates(log_p):
    """Normal deviates of two-sided p-values."""
    return -special.ndtri_exp(np.minimum(log_p - np.log(2), -1e-12))


def _clean(seed, numbers):
    """p-values of `EXACT` and of `PROBES` in data sets without a defect."""
    field, exact, answers = asymmetric_field(), [], []
    for number in numbers:
        rng = named_rng(seed, "clean", number)
        sample = Sample.raw(field, *field.draw(rng, field.expected, N_CUBES))
        found = _ask(sample)
        answers.append([np.exp(log_p) for log_p in found.values()])
        replicates = _replicates(sample)
        shape, *_ = measure_directions(replicates, 0.0, _families(field.events, N_CUBES))
        exact.append(
            [
                measure_bias(replicates)[0].pvalue(),
                np.exp(shape.log_best),
                measure_noise(replicates).pvalue,
                np.exp(found["arrival"]),
                np.exp(found["runs"]),
            ]
        )
    return np.array(exact), np.array(answers)


def _replicates(sample: Sample) -> Replicates:
    field = sample.field
    return Replicates(
        field.axes,
        field.expected,
        sample.predicted,
        sample.errors,
        livetime=field.true.livetime,
    )


@lru_cache(maxsize=2)
def _families(events: float, number: int) -> list[Family]:
    """The families of the field; they depend on the replicates only by their number."""
    field = asymmetric_field(events)
    counts = field.expected * np.linspace(1, 2, number).reshape(-1, 1, 1, 1)
    return make_families(Replicates(field.axes, field.expected, counts))


def _ask(sample: Sample) -> dict[str, float]:
    """ln of the p-value for each of `PROBES`."""
    field, replicates = sample.field, _replicates(sample)
    families = _families(field.events, replicates.number)
    return {
        "bias": _log(bias_pvalue(replicates, 0.0, families)),
        "noise": _log(measure_noise(replicates).pvalue),
        "honesty": _log(measure_honesty(replicates).pvalue),
        "arrival": _log(_arrival(sample).pvalue(0.0)),
        "runs": _log(_runs_pvalue(sample)),
    }


def _arrival(sample):
    field = sample.field
    cubes = [field.cube(predicted, ontime=sample.ontime) for predicted in sample.predicted[:N_MAPS]]
    return measure_arrival(cubes, field.true, field.map_counts, MAP, field.ontime)


def _runs_pvalue(sample):
    """Two-sided, of χ² with its exact mean and variance, by a gamma distribution."""
    size = sample.runs.size
    variance = len(sample.runs) * float(np.sum(2 + 1 / sample.field.run_events))
    shape, value = size**2 / variance, _chi2(sample) * size / variance
    tails = special.gammainc(shape, value), special.gammaincc(shape, value)
    return 2 * float(min(tails))


def _chi2(sample):
    """Σ (n − μ)²/μ of the events of the runs of all replicates."""
    expected = sample.field.run_events
    return float(np.sum((sample.runs - expected) ** 2 / expected))


def _log(pvalue):
    return math.log(max(pvalue, 1e-300))
