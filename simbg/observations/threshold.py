"""Exposure of the energy bin that contains a run's threshold, for the part above the threshold.

Notes
-----
A run with threshold T is exposed in the part of a bin (a, b) above T only. Its rate is estimated
as if the whole bin were exposed for the fraction ∫_T^b E^−Γ dE / ∫_a^b E^−Γ dE of the livetime.
The index Γ is measured with the same runs: from the ratio of their counts in the two bins above,
pixel by pixel, smoothed over the scale on which the background changes.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from simbg.axes import Axes
from simbg.observations.stacked_counts import StackedCounts

__all__ = ["first_bin", "fraction_above", "resolve"]

# A threshold this close to an edge (relative) is taken to be on the edge.
ON_EDGE = 1e-9

# Fractions are stored for these indices, the Chebyshev nodes of −2 to 8, and interpolated: with
# nine nodes the error is below 1e-7 in bins of Δ ln E = 1/3 (see tests). So the runs are read once.
N_INDICES, LOWEST, HIGHEST = 9, -2.0, 8.0
INDICES = 0.5 * (LOWEST + HIGHEST) + 0.5 * (HIGHEST - LOWEST) * np.cos(
    np.pi * (np.arange(N_INDICES) + 0.5) / N_INDICES
)
# Typical index of the background, used if there are too few counts to measure it.
TYPICAL = 2.7
SMOOTHING = 1.0  # deg, σ of the Gaussian kernel
ENOUGH = 50.0  # minimum counts in each of the two bins, within the kernel or in the whole field


@dataclass(frozen=True)
class ThresholdRule:
    """Treatment of the energy bin that contains a run's threshold.

    Parameters
    ----------
    counts : bool
        Whether events in the part of the bin above the threshold are counted.
    exposes : bool
        Whether the bin gets the whole livetime. If not, and if its events are counted, it gets the
        livetime of the part above the threshold.
    """

    counts: bool
    exposes: bool

    @staticmethod
    def of(name: str) -> "ThresholdRule":
        """The rule with this name.

        "drop": the bin gets neither events nor exposure, since only a part of it is exposed.
        "whole": it gets the events above the threshold and the whole livetime, as in 2015.
        "partial": it gets the events above the threshold and the exposure of that part.

        Raises
        ------
        ValueError
            If there is no rule with this name.
        """
        if name not in RULES:
            raise ValueError(f"threshold_bin: got {name!r}, expected one of {', '.join(RULES)}")
        return RULES[name]

    def first_counted(self, axes: Axes, energy_threshold: float) -> int:
        """Index of the lowest energy bin whose events are counted; the threshold is in TeV."""
        return first_bin(axes, energy_threshold, partial_bin=self.counts)

    def first_exposed(self, axes: Axes, energy_threshold: float) -> int:
        """Index of the lowest energy bin with the whole livetime; the threshold is in TeV."""
        return first_bin(axes, energy_threshold, partial_bin=self.exposes)


RULES = {
    "drop": ThresholdRule(counts=False, exposes=False),
    "whole": ThresholdRule(counts=True, exposes=True),
    "partial": ThresholdRule(counts=True, exposes=False),
}


def first_bin(axes: Axes, energy_threshold: float, partial_bin: bool) -> int:
    """Index of the lowest energy bin that a run with this threshold (TeV) exposes.

    If ``partial_bin``, this is the bin that contains the threshold, as in 2015; if not, it is the
    first bin that is completely above the threshold.
    """
    if partial_bin:
        above = axes.energy[1:] > energy_threshold * (1 + ON_EDGE)
    else:
        above = axes.energy[:-1] >= energy_threshold * (1 - ON_EDGE)
    return int(np.argmax(above)) if above.any() else above.size


def fraction_above(index: ArrayLike, low: float, high: float, threshold: float) -> np.ndarray:
    """Fraction of a power law's events between two energies that are above a threshold.

    Notes
    -----
    ∫_T^b E^−Γ dE / ∫_a^b E^−Γ dE, with index Γ, energies a = ``low`` and b = ``high``, and T the
    larger of ``threshold`` and a; of the shape of ``index``.

    Examples
    --------
    >>> fraction_above([0.0, 2.0], low=1.0, high=2.0, threshold=1.5).round(4)
    array([0.5   , 0.3333])
    """
    gamma = np.asarray(index, float)

    def integral(a, b):
        k, span = 1 - gamma, np.log(b / a)
        with np.errstate(divide="ignore", invalid="ignore"):
            return a**k * np.where(np.abs(k) < 1e-9, span, np.expm1(k * span) / k)

    return integral(max(low, threshold), high) / integral(low, high)


def resolve(stack: StackedCounts) -> StackedCounts:
    """Add the partial exposure of threshold bins to livetime and ontime.

    Parameters
    ----------
    stack : StackedCounts
        A stack of observations with the rule "partial".

    Returns
    -------
    StackedCounts
        A stack without partial exposure.
    """
    if stack.partial_exposure is None:
        return stack
    # Imported here: few stacks need it, and the import takes a third of a second.
    from scipy.interpolate import BarycentricInterpolator

    times = np.array([stack.livetime, stack.ontime])
    # Without its weights, scipy computes them in a random order: results would not be reproducible.
    others = np.subtract.outer(INDICES, INDICES) + np.eye(N_INDICES)
    weights = BarycentricInterpolator(INDICES, np.eye(N_INDICES), wi=1 / others.prod(axis=1))
    for k in range(stack.axes.shape[0]):
        part = stack.partial_exposure[:, :, k]
        if part.any():
            index = np.clip(_index(stack, k), LOWEST, HIGHEST)
            times[:, k] += np.einsum("xyn,ncxy->cxy", weights(index), part)
    resolved = {"livetime": times[0], "ontime": times[1]}
    return replace(stack, **resolved, partial_exposure=None, counts_above=None)


def _index(stack, k):
    """Index of each pixel in bin k, from the two bins above in the runs with a threshold in k.

    Notes
    -----
    The two bins have the same exposure, so the ratio of the rates r is that of counts over bin
    widths: Γ = −ln(r2 / r1) / ln(E2 / E1), with the logarithmic centres E of the bins.
    """
    axes, counts = stack.axes, stack.counts_above[:, k]
    index = np.full(axes.shape[1:], TYPICAL)
    if k + 2 >= axes.shape[0]:
        return index

    span = np.diff(np.log(axes.energy_center[k + 1 : k + 3]))[0]
    wider = np.diff(np.log(np.diff(axes.energy[k + 1 : k + 4])))[0]
    field = counts.sum(axis=(1, 2))
    if field.min() >= ENOUGH:
        index[...] = (wider - np.log(field[1] / field[0])) / span
    smooth = _smooth(axes, counts)
    enough = smooth.min(axis=0) * _kernel_pixels(axes) >= ENOUGH
    index[enough] = (wider - np.log(smooth[1, enough] / smooth[0, enough])) / span
    return index


def _widths(axes):
    return [SMOOTHING / np.mean(np.diff(edges)) for edges in (axes.fov_lon, axes.fov_lat)]


def _kernel_pixels(axes):
    """Effective number of pixels in a mean with the kernel: 4π σx σy, σ in pixels."""
    return 4 * np.pi * np.prod(_widths(axes))


def _smooth(axes, images):
    from scipy import ndimage

    return ndimage.gaussian_filter(
        np.asarray(images, float), (0, *_widths(axes)), mode="constant", truncate=4
    )
