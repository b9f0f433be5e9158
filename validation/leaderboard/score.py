"""The score of a method in one scenario: bias, noise, accuracy, hours and cost.

Replicates of a scenario have the same runs and other events. With d = m − λ for the
counts m that a cube predicts, E[Σ d²/λ] is noise and bias together, and between two
replicates E[Σ d d'/λ] is bias alone: no noise is in common. So cost and floor need nothing
of a method but its cubes.

Errors are those of a jackknife over replicates. Its variance is right on average for E[Q], and
so for accuracy and efficiency; for a floor and what depends on it, it is never too small on average
(Efron & Stein 1981): right where bias dominates, 4 times too large for an unbiased method of
three replicates, and twice for one of many. So an error of three is twice what it need be there.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from simbg.cube import BackgroundCube
from simbg.truth.from_file import CubeTruth
from simbg.validation.cross_validation.empty_field import significance_width
from simbg.validation.metrics.cube_pair import CubePair, check_rates, with_exposure
from simbg.validation.metrics.registry import METRICS

__all__ = ["Score"]

# Relative accuracy for which hours are stated.
TARGET = 0.01
# A floor is seen if it is so many standard errors above 0.
SEEN = 2.0


@dataclass(frozen=True)
class Score:
    """The score of a method in a scenario; NaN where nothing is known, errors for each.

    Parameters
    ----------
    scenario, method : str
    reason : str
        Why the method has no cube; then there are no numbers but the time.
    norm, index : float
        Bias of norm (relative) and of the index, mean over replicates.
    noise_cost, floor : float
        What noise and bias cost, in 2 ln L: p_eff parameters, and T b.
    efficiency : float
        Parameters of a perfect fit over E[Q].
    accuracy : float
        Relative rms error of the rate, √(E[Q] / N).
    hours : float
        Livetime for an accuracy of 1 %; infinite if bias alone is more.
    at_least : bool
        Whether that is a lower limit, from noise alone: the floor is not seen above its error.
    significance_width : float
        Of pixels of held-out runs on an empty field, after a norm for each; 1 is right.
    seconds, megabytes : float
        Of its process, mean and largest.
    known : dict of str to str
        What the method says of itself.
    stores : int
        How many it rebuilt.
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
    known: dict = None
    stores: int = 0

    @classmethod
    def of(cls, experiment, candidate, attempts, setting=None, common=None, reason=""):
        """The score of a method.

        Parameters
        ----------
        experiment : Experiment
        candidate : Candidate
        attempts : sequence of Attempt
            One a replicate.
        setting : Setting, optional
            The exact stacks over the axes of its cubes; not needed if there is a reason.
        common : Setting, optional
            Over the axes that all methods are held to, if its cubes are over others: few large bins
            cost little and see nothing. Norm and index are those over its own.
        reason : str
            Why the method has no valid cube.

        Returns
        -------
        score : Score
        """
        facts = {"scenario": experiment.scenario.name, "method": candidate.name}
        if attempts:
            facts |= {
                "seconds": float(np.mean([attempt.seconds for attempt in attempts])),
                "megabytes": float(np.max([attempt.megabytes for attempt in attempts])),
                "known": next((attempt.known for attempt in attempts if attempt.known), None),
            }
        cubes, reasons = ([], [reason]) if reason else _cubes(setting, attempts, candidate.kind)
        if reasons:
            return cls(**facts, reason=reasons[0])
        pairs = [CubePair(setting.true, cube) for cube in cubes]
        facts |= {"stores": len(pairs)} | _biases(pairs)
        if common is not None:
            setting, cubes = common, [_resampled(cube, common) for cube in cubes]
            pairs = [CubePair(setting.true, cube) for cube in cubes]
        facts |= _accuracies(pairs, setting, float(np.sum(experiment.runs["LIVETIME"])))
        # Runs of a replicate that no method has seen.
        unseen = replace(experiment, replicate=len(attempts))
        return cls(**facts, **significance_width(unseen, pairs[0].reco))


def _biases(pairs):
    """Mean bias of norm and index, and their errors."""
    numbers = {}
    for name in ("norm", "index"):
        measures = [METRICS[name](pair) for pair in pairs]
        values = np.array([m.value - m.ideal for m in measures])
        error = values.std(ddof=1) / math.sqrt(values.size) if values.size > 1 else math.nan
        numbers |= {name: float(values.mean()), f"{name}_error": float(error)}
    return numbers


def _accuracies(pairs, setting, livetime):
    """What noise and bias cost, and the hours that 1 % takes."""
    losses, expected = _losses(pairs), float(setting.true.counts.sum())
    numbers = _of_losses("noise_cost", losses, lambda q, floor: q - floor)
    numbers |= _of_losses("floor", losses, lambda q, floor: floor)
    numbers |= _of_losses("efficiency", losses, lambda q, floor: METRICS["noise_cost"].ideal / q)
    numbers |= _of_losses("accuracy", losses, lambda q, floor: np.sqrt(q / expected))
    seen = numbers["floor"] > SEEN * numbers["floor_error"]
    gain = TARGET**2 - (numbers["floor"] / expected if seen else 0.0)
    hours = livetime / 3600 * max(numbers["noise_cost"], 0.0) / expected
    if not math.isfinite(numbers["floor_error"]):
        return numbers  # whether there is a floor decides the hours
    return numbers | {"hours": hours / gain if gain > 0 else math.inf, "at_least": not seen}


def _cubes(setting, attempts, kind):
    """The cubes, and why there are fewer than stores."""
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


def _resampled(cube, common):
    """A cube over other axes, taken as any file: constant over pixels, a power law over bins."""
    axes = common.claimed.axes
    rate = CubeTruth.from_cube(cube).integrate(axes) / axes.volume
    return with_exposure(BackgroundCube(axes, rate), common.claimed)


def _losses(pairs):
    """Σ d d'/λ of all pairs of replicates, a symmetric matrix."""
    used = np.all([pair.expected > 0 for pair in pairs], axis=0)
    scale = np.sqrt(pairs[0].expected[used])
    d = np.array([(pair.predicted - pair.expected)[used] / scale for pair in pairs])
    return d @ d.T


def _cost_and_floor(losses):
    """E[Q] and floor: of all replicates first, then without each of them."""
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
