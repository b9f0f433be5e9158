"""Whether a fault explains what differs: agreement without it might be a coincidence."""

import numpy as np
from scipy.special import rel_entr

from simbg.validation.comparison.matched_cubes import count_pair, exposure, is_counted
from simbg.validation.metrics.poisson import deviance

__all__ = []

# With counts a fault must explain this many σ: what agrees within 4 σ then leaves open a tenth.
EXPLAINED = 40.0
# Without counts it must explain all but this part of the rms difference. Corrections that are only
# approximate (bin centres, estimated from neighbours) leave 1 in 140 or less; a norm of 5 %, which
# is near what bin centres do at three bins a decade, leaves 1 in 11.
UNEXPLAINED = 1 / 30
# 2 ln L by which it must be likelier than what is no fault but makes the cubes agree as well: 3 σ.
DECISIVE = 9.0
# Deviance of a bin with counts where none are expected.
IMPOSSIBLE = 1e12


def explains(corrected, original):
    """Whether a fault is most of the difference.

    Parameters
    ----------
    corrected, original : Comparison
        Without the fault and with it.
    """
    after, before = _deviances(corrected, original)
    if corrected.statistical:
        return before - after >= EXPLAINED**2
    return after <= UNEXPLAINED**2 * before


def is_likelier(comparison, rival):
    """Whether a comparison agrees better than a rival by 3 σ, or the rival does not agree."""
    if not rival.agree:
        return True
    this, other = _deviances(comparison, rival)
    return other - this >= DECISIVE


def _deviances(*comparisons):
    """Deviance of two comparisons in the bins that both have."""
    energies = [comparison.a.axes.energy for comparison in comparisons]
    # Edges between the first and the last in common, and the same to a rounding.
    ends = np.array([max(e[0] for e in energies), min(e[-1] for e in energies)]) * (1 - 1e-6)
    common = [slice(*np.searchsorted(energy, ends)) for energy in energies]
    parts = [_deviance(c.a, c.b)[bins] for c, bins in zip(comparisons, common, strict=True)]
    used = np.isfinite(sum(parts))
    return [part[used].sum() for part in parts]


def _deviance(a, b):
    """Deviance of b's rates as counts, given a's, in each bin; NaN where one knows nothing.

    Of a million events if none are counted; if both are, of both, given their sum.
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
