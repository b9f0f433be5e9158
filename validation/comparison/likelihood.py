"""Whether a fault explains what is seen: agreement without it might be a coincidence."""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from simbg.validation.comparison.measures import exposure, is_measured, make_pair
from simbg.validation.metrics.poisson import deviance

__all__ = ["beats", "explains"]

# With counts a fault must explain this many σ: what agrees within 4 σ then leaves open a tenth.
EXPLAINED = 40.0
# Without counts it must explain all but this share of the rms difference. What undoes a fault only
# nearly (bin centres, estimated from neighbours) leaves 1 in 140 or less; a norm of 5 %, which is
# near what bin centres do at three bins a decade, leaves 1 in 11.
UNEXPLAINED = 1 / 30
# 2 ln L by which it must be likelier than what is no fault but makes the cubes agree as well: 3 σ.
DECISIVE = 9.0
# Deviance of a bin with counts where none are expected.
IMPOSSIBLE = 1e12


def explains(found, seen):
    """Whether a fault is most of what is seen.

    Parameters
    ----------
    found, seen : Comparison
        Without the fault and with it.
    """
    before, after = _common(seen, found)
    if found.scatter:
        return before - after >= EXPLAINED**2
    return after <= UNEXPLAINED**2 * before


def beats(found, rival):
    """Whether one comparison agrees better than a rival by 3 σ, or the rival does not agree."""
    if not rival.agree:
        return True
    theirs, ours = _common(rival, found)
    return theirs - ours >= DECISIVE


def _common(one, other):
    """Deviance of both in the bins that both have."""
    axes = [found.a.axes for found in (one, other)]
    # Edges between the first and the last in common, and the same to a rounding.
    ends = max(a.energy[0] for a in axes), min(a.energy[-1] for a in axes)
    rows = [slice(*np.searchsorted(a.energy, np.array(ends) * (1 - 1e-6))) for a in axes]
    parts = [_deviance(found)[part] for found, part in zip((one, other), rows, strict=True)]
    used = np.isfinite(sum(parts))
    return [part[used].sum() for part in parts]


def _deviance(found):
    """Deviance of b's rates as counts, given a's, in each bin; NaN where one knows nothing.

    Of a million events if none are counted; if both are, of both, given their sum.
    """
    a, b = (found.b, found.a) if is_measured(found.a) else (found.a, found.b)
    pair = make_pair(a, b, False, is_measured(b))
    result = deviance(pair.predicted, pair.expected)
    if is_measured(a):
        time = np.array([exposure(b), exposure(a)])
        counts = pair.predicted, np.nan_to_num(a.event_rate) * exposure(a)
        share = np.divide(time, time.sum(axis=0), out=np.zeros(time.shape), where=time > 0)
        result = 2 * sum(
            xlogy(n, n) - xlogy(n, sum(counts) * p) for n, p in zip(counts, share, strict=True)
        )
    return np.where(pair.used, np.minimum(result, IMPOSSIBLE), np.nan)
