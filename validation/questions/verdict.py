"""The verdict on the bias of a method: unbiased, biased or undecided."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from simbg.validation.questions.bias import EXACT, Bias, allowed, measure_bias
from simbg.validation.questions.directions import (
    Finding,
    combined,
    find_biases,
    measure_directions,
    sidak,
)
from simbg.validation.questions.families import Family, make_families
from simbg.validation.questions.replicates import Replicates

__all__ = ["Decision", "bias_pvalue", "judge_bias"]

# The rms relative bias that CTAO plans with.
REQUIRE = 0.01
FALSE_ALARM, POWER = 1e-3, 0.95
# Fraction of the false-alarm rate for the test of all bins, of the other parts, of all directions.
SHARE_ALL, SHARE_PARTS, SHARE_DIRECTIONS = 0.25, 0.25, 0.5
# Number of replicates that is not realistic to compute.
MANY = 1_000_000


class Decision(StrEnum):
    """The possible results of a verdict."""

    UNBIASED = "unbiased"
    BIASED = "biased"
    UNDECIDED = "undecided"


@dataclass(frozen=True, eq=False)
class Verdict:
    """The result of the test of the bias of a method.

    Parameters
    ----------
    decision : Decision
        Whether the method is unbiased, biased or undecided.
    require : float
        The largest rms relative bias that is allowed.
    false_alarm : float
        Largest probability that a method that meets the requirement is called biased.
    power : float
        Least probability that a method with twice the allowed bias in all bins is not called
        unbiased.
    pvalue : float
        p-value of the requirement, over all parts and directions.
    biases : list of Bias
        Biases of all bins, of energy bands, and of the image.
    findings : list of Finding
        Biases along named directions, in the order in which they were found.
    more : int
        Number of additional replicates that would give a decision; 0 unless undecided.
    """

    decision: Decision
    require: float
    false_alarm: float
    power: float
    pvalue: float
    biases: list[Bias]
    findings: list[Finding]
    more: int

    @property
    def worst(self) -> str:
        """Description of the biases; empty unless the method is biased."""
        if self.decision is not Decision.BIASED:
            return ""
        if self.findings:
            return "; ".join(map(str, self.findings))
        # The smallest p-values can be equal: 0.
        part = min(
            self.biases,
            key=lambda b: (b.pvalue(self.require), -b.square / max(b.square_error, 1e-300)),
        )
        return f"{part.name}: {part.rms:.2%} rms, in no named direction"

    def __str__(self) -> str:
        whole = self.biases[0]
        text = f"{self.decision.value}: {whole.rms:.2%} rms, below {whole.upper(self.power):.2%} "
        text += f"({self.power:.0%} confidence); required: {100 * self.require:.4g}%"
        text += f"; {self.worst}" if self.worst else ""
        if self.decision is Decision.UNDECIDED:
            text += f"; p = {self.pvalue:.1g}, biased below {self.false_alarm:.0e}"
        if not self.more:
            return text
        return (
            f"{text}; {self.more if self.more < MANY else 'very many'} more replicates would decide"
        )


def judge_bias(
    replicates: Replicates,
    require: float = REQUIRE,
    false_alarm: float = FALSE_ALARM,
    power: float = POWER,
    families: list[Family] | None = None,
) -> Verdict:
    """Decide whether a method meets a requirement.

    Parameters
    ----------
    replicates : Replicates
        Replicates of one method.
    require : float
        The largest rms relative bias that is allowed: in all bins, in the image, and in the bins
        of each band of energy and of each named direction that have 1 % of the counts or more. For
        parts with fewer counts, the bias that contributes a tenth of it to the rms of all bins.
    false_alarm : float
        Probability that a method that meets the requirement is called biased.
    power : float
        Probability that a method with twice the allowed bias in all bins is not called unbiased.
    families : list of Family, optional
        The result of `make_families` for the same bins, if it is already available.

    Notes
    -----
    *Biased*: the p-value of the requirement is below the false-alarm rate. A quarter of this rate
    is used for all bins, a quarter for the parts, and one half for the directions (Šidák 1967,
    doi:10.1080/01621459.1967.10482935). *Unbiased*: not biased, and the upper limit of the rms of
    all bins, at the confidence of the power, is below twice the requirement. *Undecided* otherwise.

    Examples
    --------
    >>> from simbg.axes import Axes
    >>> axes = Axes.regular(energy=(0.1, 10, 2), fov=(2, 4))
    >>> expected, rng = np.full(axes.shape, 1e4), np.random.default_rng(1)
    >>> draws = rng.poisson(expected, (20, *axes.shape))
    >>> judge_bias(Replicates(axes, expected, draws)).decision.value
    'unbiased'
    >>> judge_bias(Replicates(axes, expected, 1.05 * draws)).findings[0].name
    'norm'
    """
    families = make_families(replicates) if families is None else families
    biases = measure_bias(replicates)
    pvalue = bias_pvalue(replicates, require, families, biases)
    decision, more = Decision.UNDECIDED, 0
    if pvalue < false_alarm:
        decision = Decision.BIASED
    elif biases[0].upper(power) < 2 * max(require, EXACT):
        decision = Decision.UNBIASED
    else:
        whole = biases[0]
        square = float(allowed(require, whole.total, whole.whole)) ** 2
        needed = whole.products.replicates_to_decide(square, SHARE_ALL * false_alarm, 1 - power)
        more = max(needed - replicates.number, 1)
    findings = []
    if decision is Decision.BIASED:
        findings = find_biases(replicates, require, SHARE_DIRECTIONS * false_alarm, families)
    return Verdict(decision, require, false_alarm, power, pvalue, biases, findings, more)


def bias_pvalue(
    replicates: Replicates,
    require: float = REQUIRE,
    families: list[Family] | None = None,
    biases: list[Bias] | None = None,
) -> float:
    """The p-value of the requirement, over all parts and directions.

    Parameters
    ----------
    replicates : Replicates
        Replicates of one method.
    require : float
        The largest rms relative bias that is allowed, as for `judge_bias`.
    families : list of Family, optional
        The result of `make_families` for the same bins, if it is already available.
    biases : list of Bias, optional
        The result of `measure_bias`, if it is already available.
    """
    families = make_families(replicates) if families is None else families
    biases = measure_bias(replicates) if biases is None else biases
    first, *parts = (np.log(max(bias.pvalue(require), 1e-300)) for bias in biases)
    directions = combined(measure_directions(replicates, require, families))
    tests = (
        sidak(first, 1 / SHARE_ALL),
        sidak(min(parts), len(parts) / SHARE_PARTS),
        sidak(np.log(max(directions, 1e-300)), 1 / SHARE_DIRECTIONS),
    )
    return float(np.exp(min(tests)))
