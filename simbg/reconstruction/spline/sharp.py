"""The sharp features: a factor of the smooth rate that may jump from bin to bin."""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

__all__ = ["sharp_factor"]

# Weight in events of the prior of a split that differs from the smooth model.
EVENTS = 2.0
# Cyclic shifts of the tree in pixels; the mean over all pairs of them is the factor.
SHIFTS = (0, 5, 11)
# A factor that differs from 1 by more than this, and by 3 σ, is counted as sharp.
COUNTED = 0.1
# Steps of the iteration for the share of splits that differ.
STEPS = 8
# Evidence, in nats and over a whole tree, from which on there is a feature: found in none of
# 1,200 draws of smooth counts.
EVIDENCE = 6.0


@dataclass(frozen=True, eq=False)
class Factor:
    """The factor of the smooth rate, 1 where nothing is sharp.

    Parameters
    ----------
    factor : ndarray, shape (n_energy, n_lon, n_lat)
        Above 0.
    variance : ndarray, shape (n_energy, n_lon, n_lat)
        Of its logarithm.
    """

    factor: np.ndarray
    variance: np.ndarray

    @property
    def found(self) -> bool:
        """Whether anything is sharp."""
        return bool(np.any(self.factor != 1))

    @property
    def n_sharp(self) -> int:
        """Bins whose factor differs clearly from 1."""
        size = np.abs(np.log(self.factor))
        return int(np.sum((size > COUNTED) & (size > 3 * np.sqrt(self.variance))))


def sharp_factor(counts: np.ndarray, rate: np.ndarray) -> Factor:
    """The factor by which counts differ from a smooth prediction, where that is certain.

    Parameters
    ----------
    counts, rate : ndarray, shape (n_energy, n_lon, n_lat)
        Events, and those that the smooth model predicts.

    Returns
    -------
    factor : Factor
        What is the same in all pixels, what is the same at all energies, and the rest.

    Notes
    -----
    A tree halves the field again and again. Of the n events of a node, those in its first half
    are binomial (Kolaczyk & Nowak 2004, Ann. Statist. 32, 500), with the share q of the
    smooth prediction, or with a share of which nothing is known, Beta(cq, c(1 − q)); a share
    π of the splits of a level differs, by the maximum of its likelihood. The factor of a
    pixel is the product over its splits of the mean posterior share over q. Where all of a
    tree says less for features than `EVIDENCE`, the factor is exactly 1.
    """
    total = no_factor(rate.shape)
    for axes in ((1, 2), (0,), ()):
        n = counts.sum(axis=axes, keepdims=True)
        mu = (rate * total.factor).sum(axis=axes, keepdims=True)
        part = _one_tree(n, mu, axis=0) if axes == (1, 2) else _image_trees(n, mu)
        total = Factor(total.factor * part.factor, total.variance + part.variance)
    return total


def no_factor(shape: tuple[int, ...]) -> Factor:
    """The factor of smooth counts."""
    return Factor(np.ones(shape), np.zeros(shape))


def _one_tree(n, mu, axis):
    return _mean([_tree(n, mu, [axis])])


def _image_trees(n, mu):
    first = _tree(n, mu, [1, 2])
    if first[2] < EVIDENCE:
        return _mean([first])
    shifts = [(i, j) for i in SHIFTS for j in SHIFTS if i or j]
    return _mean([first, *(_tree(n, mu, [1, 2], s) for s in shifts)])


def _mean(trees):
    """The mean factor of some trees; 1 without evidence."""
    factor, variance, evidence = (np.array(x) for x in zip(*trees, strict=True))
    if evidence.max() < EVIDENCE:
        return no_factor(factor.shape[1:])
    mean, one = factor.mean(axis=0), variance.mean(axis=0)
    # Estimates of variance V that differ from each other by D have a mean of variance V − D; at
    # edges, where they differ by bias, that says too little.
    return Factor(mean, np.maximum(one - factor.var(axis=0) / mean**2, one / 2))


def _tree(n, mu, axes, shift=(0, 0)):
    """Factor, variance of its logarithm and evidence of one tree, halving along axes in turn."""
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
    """Of each pair of halves: share over that predicted, its variance, and evidence of all."""
    total, whole = n.sum(axis=0), mu.sum(axis=0)
    q = mu[0] / np.where(whole > 0, whole, 1)
    real = (q > 0) & (q < 1)
    q = np.where(real, q, 0.5)
    shares = np.array([q, 1 - q])
    prior = EVENTS * shares
    gain = gammaln(n + prior).sum(axis=0) - gammaln(prior).sum(axis=0)
    gain += gammaln(EVENTS) - gammaln(total + EVENTS) - (n * np.log(shares)).sum(axis=0)
    gain = np.where(real, gain, 0.0)
    pi, most = 0.1, max(int(np.count_nonzero(real)), 1)
    for _ in range(STEPS):
        differs = _weight(gain, pi) * real
        pi = np.clip(differs.sum() / most, 1 / (1 + most), 0.5)
    evidence = np.sum(np.logaddexp(np.log1p(-pi), np.log(pi) + gain)[real])
    free = (n + prior) / (total + EVENTS)
    ratio = 1 - differs + differs * free / shares
    spread = differs * (1 - free) / free / (total + EVENTS + 1)
    spread = spread + differs * (1 - differs) * np.log(free / shares) ** 2
    return ratio, spread, max(evidence, 0.0)


def _weight(gain, pi):
    return 1 / (1 + (1 - pi) / pi * np.exp(-np.clip(gain, -500, 500)))


def _halves(x, axis):
    """Neighbours along an axis, (2, ...)."""
    x = np.moveaxis(x, axis, 0)
    return np.array([np.moveaxis(x[i::2], 0, axis) for i in (0, 1)])


def _join(pair, axis):
    """The inverse of `_halves`."""
    first, second = (np.moveaxis(x, axis, 0) for x in pair)
    return np.moveaxis(np.stack([first, second], axis=1).reshape(-1, *first.shape[1:]), 0, axis)


def _double(x, axis):
    return np.repeat(x, 2, axis=axis)
