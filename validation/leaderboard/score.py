"""The score of a method in one scenario: bias, noise, accuracy, hours and cost.

Notes
-----
Replicates of a scenario have the same runs and independent events. With d = m − λ for the predicted
counts m of a cube, E[Σ d²/λ] is the sum of noise and bias, and E[Σ d d'/λ] of two replicates is the
bias alone, since their noise is independent. Therefore noise cost and bias floor follow from the
cubes of any method.

Errors are from a jackknife over replicates. On average its variance is correct for E[Q], and
therefore for accuracy and efficiency. For the floor it is on average never too small (Efron & Stein
1981, doi:10.1214/aos/1176345462). It is correct if bias dominates. For an unbiased method it is too
large by a factor of 4 with three replicates, and of 2 with many: with three replicates, the error
is too large by a factor of 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from simbg.simulation.experiment import Experiment
from simbg.validation.cross_validation.empty_field import significance_width
from simbg.validation.methods.candidates import Candidate
from simbg.validation.methods.isolation import Attempt
from simbg.validation.metrics.cube_pair import CubePair, check_rates, with_exposure
from simbg.validation.metrics.registry import METRICS
from simbg.validation.suite.replicates import Setting, resampled

__all__ = ["Score"]

# Relative accuracy for which the livetime is stated.
TARGET = 0.01
# Number of parameters of a gaussian truth: norm, index, and the width at two energies.
PARAMETERS = 4
# A floor is significant if it exceeds 0 by this number of standard errors.
SIGNIFICANT = 2.0


@dataclass(frozen=True)
class Score:
    """The score of a method in a scenario. Each value has an error; NaN if it is not known.

    Parameters
    ----------
    scenario, method : str
        The names.
    reason : str
        Why the method has no cube. Then only time and memory are known.
    norm, index : float
        Relative bias of the norm and bias of the index, mean over replicates.
    norm_error, index_error : float
        Their standard errors.
    noise_cost, floor : float
        Cost of noise (p_eff parameters) and of bias, in 2 ln L.
    noise_cost_error, floor_error : float
        Their standard errors.
    efficiency : float
        Number of parameters of the truth over E[Q].
    efficiency_error : float
        Its standard error.
    accuracy : float
        Relative rms error of the rate, √(E[Q] / N).
    accuracy_error : float
        Its standard error.
    hours : float
        Livetime for an accuracy of 1 %, h; infinite if the bias alone is larger.
    at_least : bool
        Whether ``hours`` is a lower limit from noise alone, because the floor is not significant.
    significance_width : float
        Width of the significances of pixels of independent runs on an empty field, with a fitted
        norm for each run; ideally 1.
    significance_width_error : float
        Its standard error.
    seconds, megabytes : float
        Mean time and largest memory of the process.
    stores : int
        Number of reconstructed stores.
    """

    scenario: str
    method: str
    reason: str = ""
    norm: float = math.nan
    norm_error: float = math.nan
    index: float = math.nan
    index_error: float = math.nan
    noise_cost: float = math.nan
    noise_cost_error: float = math.nan
    floor: float = math.nan
    floor_error: float = math.nan
    efficiency: float = math.nan
    efficiency_error: float = math.nan
    accuracy: float = math.nan
    accuracy_error: float = math.nan
    hours: float = math.nan
    at_least: bool = False
    significance_width: float = math.nan
    significance_width_error: float = math.nan
    seconds: float = math.nan
    megabytes: float = math.nan
    stores: int = 0

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        candidate: Candidate,
        attempts: Sequence[Attempt],
        setting: Setting | None = None,
        common: Setting | None = None,
        reason: str = "",
    ) -> Self:
        """Calculate the score of a method.

        Parameters
        ----------
        experiment : Experiment
            The scenario.
        candidate : Candidate
            The method.
        attempts : sequence of Attempt
            One for each replicate.
        setting : Setting, optional
            Exact expectations over the axes of the cubes; not needed with a reason.
        common : Setting, optional
            Exact expectations over the common axes of all methods, if those of the cubes differ.
            Accuracy is measured with these: a few large bins have little noise but no detail.
            Norm and index are measured in the axes of the cubes.
        reason : str
            Why the method has no valid cube.

        Returns
        -------
        score : Score
            Without numbers if a cube is missing.
        """
        facts: dict[str, Any] = {"scenario": experiment.scenario.name, "method": candidate.name}
        if attempts:
            facts |= {
                "seconds": float(np.mean([attempt.seconds for attempt in attempts])),
                "megabytes": float(np.max([attempt.megabytes for attempt in attempts])),
            }
        if reason or setting is None:
            return cls(**facts, reason=reason)
        cubes, reasons = _cubes(setting, attempts, candidate.kind)
        if reasons:
            return cls(**facts, reason=reasons[0])
        pairs = [CubePair(setting.true, cube) for cube in cubes]
        facts |= {"stores": len(pairs)} | _biases(pairs)
        if common is not None:
            setting, cubes = common, [resampled(cube, common.claimed) for cube in cubes]
            pairs = [CubePair(setting.true, cube) for cube in cubes]
        facts |= _accuracies(pairs, setting, float(np.sum(experiment.runs["LIVETIME"])))
        # Runs of a replicate that was not given to any method.
        unseen = replace(experiment, replicate=len(attempts))
        return cls(**facts | significance_width(unseen, pairs[0].reco))


def _biases(pairs):
    """Mean bias of norm and index, and their errors."""
    numbers: dict[str, float] = {}
    for name in ("norm", "index"):
        measures = [METRICS[name](pair) for pair in pairs]
        values = np.array([m.value - m.ideal for m in measures])
        error = values.std(ddof=1) / math.sqrt(values.size) if values.size > 1 else math.nan
        numbers |= {name: float(values.mean()), f"{name}_error": float(error)}
    return numbers


def _accuracies(pairs, setting, livetime):
    """Noise cost, bias floor, efficiency, accuracy, and the livetime for 1 %."""
    losses, expected = _losses(pairs), float(setting.true.counts.sum())
    numbers = _of_losses("noise_cost", losses, lambda q, floor: q - floor)
    numbers |= _of_losses("floor", losses, lambda q, floor: floor)
    numbers |= _of_losses("efficiency", losses, lambda q, floor: PARAMETERS / q)
    numbers |= _of_losses("accuracy", losses, lambda q, floor: np.sqrt(q / expected))
    significant = numbers["floor"] > SIGNIFICANT * numbers["floor_error"]
    gain = TARGET**2 - (numbers["floor"] / expected if significant else 0.0)
    hours = livetime / 3600 * max(numbers["noise_cost"], 0.0) / expected
    if not math.isfinite(numbers["floor_error"]):
        return numbers  # the livetime depends on whether the floor is significant
    hours = hours / gain if gain > 0 else math.inf
    return numbers | {"hours": hours, "at_least": not significant}


def _cubes(setting, attempts, kind):
    """The cubes, and the reasons why stores have none."""
    cubes, reasons = [], []
    for number, attempt in enumerate(attempts):
        try:
            if attempt.reason:
                raise ValueError(attempt.reason)
            cube = with_exposure(attempt.cube, setting.claimed, kind == "method")
            check_rates(cube, setting.true)
            cubes.append(cube)
        except ValueError as error:
            reasons.append(f"store {number}: {error}")
    return cubes, reasons


def _losses(pairs):
    """Σ d d'/λ of all pairs of replicates, a symmetric matrix."""
    used = np.all([pair.expected > 0 for pair in pairs], axis=0)
    scale = np.sqrt(pairs[0].expected[used])
    d = np.array([(pair.predicted - pair.expected)[used] / scale for pair in pairs])
    return d @ d.T


def _cost_and_floor(losses):
    """E[Q] and floor, of all replicates and without each of them."""
    n, own, row = len(losses), np.diag(losses), losses.sum(axis=1)
    size = np.append(n, np.full(n, n - 1))
    trace = np.append(own.sum(), own.sum() - own)
    cross = np.append(row.sum(), row.sum() - 2 * row + own) - trace
    with np.errstate(invalid="ignore", divide="ignore"):
        return trace / size, cross / (size * (size - 1))


def _of_losses(name, losses, function):
    """A function of E[Q] and the floor, with its jackknife error."""
    with np.errstate(invalid="ignore", divide="ignore"):
        value, *left_out = function(*_cost_and_floor(losses))
        n = len(left_out)
        error = math.sqrt(n - 1) * np.std(left_out) if n > 2 else math.nan
    return {name: float(value), f"{name}_error": float(error)}
