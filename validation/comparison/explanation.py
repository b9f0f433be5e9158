"""Whether a fault explains the difference of two cubes, or whether they agree by coincidence."""

from typing import Any

import numpy as np
from scipy.special import rel_entr

from simbg.validation.comparison.matched_cubes import count_pair, exposure, is_counted
from simbg.validation.metrics.poisson import deviance

__all__ = []

# With counts, a fault must explain a difference of this many σ: ten times the limit of agreement.
EXPLAINED = 40.0
# Without counts, this fraction of the rms difference may remain after the correction. The
# approximate correction of values at bin centres leaves 1/140 or less. A wrong norm of 5 %, which
# resembles values at bin centres for three bins per decade, leaves 1/11.
UNEXPLAINED = 1 / 30
# A fault must be better than another explanation by this difference in 2 ln L: 3 σ.
DECISIVE = 9.0
# Deviance of a bin with counts and an expectation of 0.
IMPOSSIBLE = 1e12


def explains(corrected: Any, original: Any) -> bool:
    """Whether a fault explains most of the difference.

    Parameters
    ----------
    corrected, original : Comparison
        The comparison with the fault corrected, and the original one.

    Returns
    -------
    explains : bool
        Result of a comparison of their deviances.
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
        Comparison with the fault corrected, and comparison with another correction.

    Returns
    -------
    likelier : bool
        Result of a comparison of their deviances.
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

    Without counts, a million events are assumed. If both cubes have counts, the deviance is that
    of both counts for their given sum.
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
