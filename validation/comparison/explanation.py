"""Whether a fault explains the difference of two cubes, or whether they agree by coincidence."""

from typing import Any

import numpy as np
from scipy.special import rel_entr

from simbg.validation.comparison.matched_cubes import count_pair, exposure, is_counted
from simbg.validation.metrics.poisson import deviance

__all__ = []

# With counts a fault must explain this many σ: ten times what may remain.
EXPLAINED = 40.0
# Without counts this fraction of the rms difference may remain. Approximate corrections (of bin
# centres, from their neighbours) leave 1/140 or less. A norm of 5 %, which resembles the effect of
# bin centres for three bins per decade, leaves 1/11.
UNEXPLAINED = 1 / 30
# Least difference in 2 ln L to an explanation by no fault: 3 σ.
DECISIVE = 9.0
# Deviance of a bin with counts and an expectation of 0.
IMPOSSIBLE = 1e12


def explains(corrected: Any, original: Any) -> bool:
    """Whether a fault explains most of the difference.

    Parameters
    ----------
    corrected, original : Comparison
        Without and with the fault.

    Returns
    -------
    explains : bool
        By the deviance of both.
    """
    after, before = _deviances(corrected, original)
    if corrected.statistical:
        return before - after >= EXPLAINED**2
    return after <= UNEXPLAINED**2 * before


def is_likelier(comparison: Any, rival: Any) -> bool:
    """Whether a comparison agrees better than a rival by 3 σ, or the rival does not agree.

    Parameters
    ----------
    comparison, rival : Comparison
        Of cubes without a fault, and with another correction.

    Returns
    -------
    likelier : bool
        By the deviance of both.
    """
    if not rival.agree:
        return True
    this, other = _deviances(comparison, rival)
    return other - this >= DECISIVE


def _deviances(*comparisons):
    """Deviance of two comparisons in the bins that both have."""
    energies = [comparison.a.axes.energy for comparison in comparisons]
    # Bins between the first and the last common edge; edges may differ by rounding.
    ends = np.array([max(e[0] for e in energies), min(e[-1] for e in energies)]) * (1 - 1e-6)
    common = [slice(*np.searchsorted(energy, ends)) for energy in energies]
    parts = [_deviance(c.a, c.b)[bins] for c, bins in zip(comparisons, common, strict=True)]
    used = np.isfinite(sum(parts))
    return [part[used].sum() for part in parts]


def _deviance(a, b):
    """Deviance of the counts of b from those of a in each bin; NaN where a cube has no rate.

    Without counts a million events are assumed. If both were counted, the deviance is that of the
    counts of both, given their sum.
    """
    if is_counted(a):
        a, b = b, a
    pair = count_pair(a, b, (False, is_counted(b)))
    result = deviance(pair.predicted, pair.expected)
    if is_counted(a):
        times = np.array([exposure(b), exposure(a)])
        counts = np.array([pair.predicted, np.nan_to_num(a.event_rate) * exposure(a)])
        total = times.sum(axis=0)
        fractions = np.divide(times, total, out=np.zeros(times.shape), where=total > 0)
        result = 2 * rel_entr(counts, counts.sum(axis=0) * fractions).sum(axis=0)
    return np.where(pair.used, np.minimum(result, IMPOSSIBLE), np.nan)
