"""Sharp features: a factor on the smooth rate that may change from one bin to the next."""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

__all__ = ["Factor", "no_factor", "sharp_factor"]

# Weight, in events, of the beta prior c of a split that differs from the smooth prediction.
EVENTS = 2.0
# Cyclic shifts of the tree in pixels; the factor is the mean over all pairs of shifts.
SHIFTS = (0, 5, 11)
# Number of rings from the centre of the field to the farthest pixel.
RINGS = 64
# A factor is counted as sharp if its logarithm differs from 0 by more than this and by 3 σ.
COUNTED = 0.1
# Iterations for the fraction π of splits that differ.
STEPS = 8
# Evidence in nats, summed over a tree, that is required for a feature: 2 of 1,800 draws of smooth
# counts reached it, both of 100 events.
EVIDENCE = 6.0


@dataclass(frozen=True, eq=False)
class Factor:
    """The factor on the smooth rate; it is 1 in bins without a sharp feature.

    Parameters
    ----------
    factor : ndarray, shape (n_energy, n_lon, n_lat)
        The factor, larger than 0.
    variance : ndarray, shape (n_energy, n_lon, n_lat)
        Variance of the logarithm of the factor.
    """

    factor: np.ndarray
    variance: np.ndarray

    def times(self, other: "Factor") -> "Factor":
        """The product of two factors, which are independent.

        Parameters
        ----------
        other : Factor
            Another factor.
        """
        return Factor(self.factor * other.factor, self.variance + other.variance)

    @property
    def found(self) -> bool:
        """Whether any factor differs from 1."""
        return bool(np.any(self.factor != 1))

    @property
    def n_sharp(self) -> int:
        """Number of bins whose factor differs significantly from 1."""
        size = np.abs(np.log(self.factor))
        return int(np.sum((size > COUNTED) & (size > 3 * np.sqrt(self.variance))))


def sharp_factor(counts: np.ndarray, rate: np.ndarray, offset: np.ndarray) -> Factor:
    """Estimate the factor between counts and a smooth prediction.

    Parameters
    ----------
    counts, rate : ndarray, shape (n_energy, n_lon, n_lat)
        Observed counts, and the counts that the smooth model predicts.
    offset : ndarray, shape (n_lon, n_lat)
        Offset of each pixel from the centre of the field, in any unit.

    Returns
    -------
    factor : Factor
        The product of three factors: one of energy, one of the field of view, and one of both.

    Notes
    -----
    A tree divides the bins into two halves, each half into two halves, and so on to single bins.
    If a node has n events, the number of events in its first half follows a binomial distribution
    with a probability p (Kolaczyk & Nowak 2004, Ann. Statist. 32, 500). Either p is equal to q,
    the value that the smooth model predicts, or p has the prior Beta(cq, c(1 − q)), where c is
    `EVENTS`. The second case applies to a fraction π of the splits at each level of the tree; π
    maximises the likelihood. The factor of a bin is the product of E(p)/q over its splits, where
    E(p) is the posterior mean of p (for the second half, 1 − p and 1 − q). If the evidence for
    features in a whole tree is less than `EVIDENCE`, the factor is exactly 1.

    The edge of a camera or of a trigger zone is a circle. A tree of rings about the centre of the
    field describes it with fewer splits than a tree of pixels, and therefore with less noise. The
    tree of rings is used first if it has the larger evidence; the tree of pixels then describes
    what is left.
    """
    total = no_factor(rate.shape)
    ring = (RINGS * offset / (1.001 * offset.max() or 1.0)).astype(int)
    for trees, axes in ((_energy_tree, (1, 2)), (_best_trees, 0), (_best_trees, ())):
        n = counts.sum(axis=axes, keepdims=True)
        mu = (rate * total.factor).sum(axis=axes, keepdims=True)
        total = total.times(trees(n, mu, ring))
    return total


def no_factor(shape: tuple[int, ...]) -> Factor:
    """Make the factor for counts without sharp features: 1 everywhere.

    Parameters
    ----------
    shape : tuple of int
        Shape of the cube.
    """
    return Factor(np.ones(shape), np.zeros(shape))


def _energy_tree(n, mu, _):
    return _mean([_tree(n, mu, [0])])


def _best_trees(n, mu, ring):
    """A factor of the field of view, after a factor of rings if that has the larger evidence."""
    first, rings = _tree(n, mu, [1, 2]), _ring_tree(n, mu, ring)
    if rings[2] < max(first[2], EVIDENCE):
        return _image_trees(n, mu, first)
    circles = Factor(*rings[:2])
    mu = mu * circles.factor
    return circles.times(_image_trees(n, mu, _tree(n, mu, [1, 2])))


def _ring_tree(n, mu, ring):
    """A tree of rings about the centre of the field."""
    rings = ([np.bincount(ring.ravel(), image.ravel(), RINGS) for image in x] for x in (n, mu))
    n, mu = (np.array(x)[:, :, None] for x in rings)
    *maps, evidence = _tree(n, mu, [1])
    return *(x[:, ring, 0] for x in maps), evidence


def _image_trees(n, mu, first):
    if first[2] < EVIDENCE:
        return _mean([first])
    shifts = [(i, j) for i in SHIFTS for j in SHIFTS if i or j]
    return _mean([first, *(_tree(n, mu, [1, 2], s) for s in shifts)])


def _mean(trees):
    """The mean factor of some trees; 1 if the evidence is not sufficient."""
    factor, variance, evidence = (np.array(x) for x in zip(*trees, strict=True))
    if evidence.max() < EVIDENCE:
        return no_factor(factor.shape[1:])
    mean, one = factor.mean(axis=0), variance.mean(axis=0)
    # The mean has less noise than one estimate. But all estimates share a bias at edges, which is
    # about as large as this difference, so the variance of one estimate is that of the mean.
    return Factor(mean, one)


def _tree(n, mu, axes, shift=(0, 0)):
    """Factor, variance of its logarithm and evidence of one tree; the axes are halved in turn."""
    shape = n.shape
    size = [2 ** int(np.ceil(np.log2(s))) if a in axes else s for a, s in enumerate(shape)]
    pad = [(0, big - s) for big, s in zip(size, shape, strict=True)]
    levels = [[np.roll(np.pad(x, pad), shift, (1, 2)) for x in (n, mu)]]
    order = []
    while any(levels[-1][0].shape[a] > 1 for a in axes):
        for a in axes:
            if levels[-1][0].shape[a] > 1:
                order.append(a)
                levels.append([_halves(x, a).sum(axis=0) for x in levels[-1]])
    factor, variance, evidence = np.ones(levels[-1][0].shape), np.zeros(levels[-1][0].shape), 0.0
    for a, (n, mu) in zip(order[::-1], levels[-2::-1], strict=True):
        ratio, spread, gain = _split(_halves(n, a), _halves(mu, a))
        factor, variance = (_double(x, a) for x in (factor, variance))
        factor = factor * _join(ratio, a)
        variance = variance + _join(spread, a)
        evidence += gain
    cut = tuple(slice(0, s) for s in shape)
    back = [np.roll(x, [-s for s in shift], (1, 2))[cut] for x in (factor, variance)]
    return *back, evidence


def _split(n, mu):
    """Factor of each half, variance of its logarithm, and evidence summed over all pairs."""
    total, whole = n.sum(axis=0), mu.sum(axis=0)
    q = mu[0] / np.where(whole > 0, whole, 1)
    real = (q > 0) & (q < 1)
    q = np.where(real, q, 0.5)
    fractions = np.array([q, 1 - q])
    prior = EVENTS * fractions
    gain = gammaln(n + prior).sum(axis=0) - gammaln(prior).sum(axis=0)
    gain += gammaln(EVENTS) - gammaln(total + EVENTS) - (n * np.log(fractions)).sum(axis=0)
    gain = np.where(real, gain, 0.0)
    pi, most = 0.1, max(int(np.count_nonzero(real)), 1)
    for _ in range(STEPS):
        differs = _weight(gain, pi) * real
        pi = np.clip(differs.sum() / most, 1 / (1 + most), 0.5)
    evidence = np.sum(np.logaddexp(np.log1p(-pi), np.log(pi) + gain)[real])
    free = (n + prior) / (total + EVENTS)
    ratio = 1 - differs + differs * free / fractions
    spread = differs * (1 - free) / free / (total + EVENTS + 1)
    spread = spread + differs * (1 - differs) * np.log(free / fractions) ** 2
    return ratio, spread, max(evidence, 0.0)


def _weight(gain, pi):
    return 1 / (1 + (1 - pi) / pi * np.exp(-np.clip(gain, -500, 500)))


def _halves(x, axis):
    """Even and odd bins along an axis, shape (2, ...)."""
    x = np.moveaxis(x, axis, 0)
    return np.array([np.moveaxis(x[i::2], 0, axis) for i in (0, 1)])


def _join(pair, axis):
    """The inverse of `_halves`."""
    first, second = (np.moveaxis(x, axis, 0) for x in pair)
    return np.moveaxis(np.stack([first, second], axis=1).reshape(-1, *first.shape[1:]), 0, axis)


def _double(x, axis):
    return np.repeat(x, 2, axis=axis)
