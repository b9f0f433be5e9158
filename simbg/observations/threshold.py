"""The bin that holds an energy threshold: the exposure of its part above, by the spectrum.

A run with threshold T sees of a bin (a, b) what lies above T. Its rate is estimated
as if the whole bin had been seen for the share ∫_T^b E^−Γ dE / ∫_a^b E^−Γ dE of the
livetime. Γ is that of the same runs: the ratio of their counts in the two bins above,
pixel by pixel, smoothed as widely as the background changes.
"""

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["first_bin", "resolve"]

# A threshold this close to an edge (relative) lies on it.
ON_EDGE = 1e-9

# Shares are kept for these indices, Chebyshev's nodes of −2 to 8, and interpolated: with nine the
# error is below 1e-7 in bins of a third of e (see tests), so one pass over the runs is enough.
N_INDICES, LOWEST, HIGHEST = 9, -2.0, 8.0
INDICES = 0.5 * (LOWEST + HIGHEST) + 0.5 * (HIGHEST - LOWEST) * np.cos(
    np.pi * (np.arange(N_INDICES) + 0.5) / N_INDICES
)
# A typical index of the background, where there are too few counts to measure one.
TYPICAL = 2.7
SMOOTHING = 1.0  # deg, one σ
ENOUGH = 50.0  # counts in either bin under the kernel, or in the field


@dataclass(frozen=True)
class ThresholdRule:
    """What becomes of the energy bin that holds a run's threshold.

    Parameters
    ----------
    counts : bool
        Whether the events of the bin above the threshold count.
    exposes : bool
        Whether the bin gets the whole livetime; else, if its events count, it gets the livetime
        of the part above the threshold.
    """

    counts: bool
    exposes: bool

    @staticmethod
    def of(name):
        """The rule of a name.

        "drop": the bin is left out, events and exposure, since only a part of it is exposed.
        "whole": it gets the events above the threshold and the whole livetime, as in 2015.
        "share": it gets the events above the threshold, and the exposure of that part.
        """
        if name not in RULES:
            raise ValueError(f"threshold_bin: got {name!r}, expected one of {', '.join(RULES)}")
        return RULES[name]

    def first_counted(self, axes, energy_threshold):
        """Index of the lowest energy bin whose events count."""
        return first_bin(axes, energy_threshold, partial_bin=self.counts)

    def first_exposed(self, axes, energy_threshold):
        """Index of the lowest energy bin with the whole livetime."""
        return first_bin(axes, energy_threshold, partial_bin=self.exposes)


RULES = {
    "drop": ThresholdRule(counts=False, exposes=False),
    "whole": ThresholdRule(counts=True, exposes=True),
    "share": ThresholdRule(counts=True, exposes=False),
}


def first_bin(axes, energy_threshold, partial_bin):
    """Index of the lowest energy bin that a run with this threshold (TeV) exposes.

    With ``partial_bin`` that is the bin which holds the threshold, as in 2015;
    without, the first bin that lies above it as a whole.
    """
    if partial_bin:
        above = axes.energy[1:] > energy_threshold * (1 + ON_EDGE)
    else:
        above = axes.energy[:-1] >= energy_threshold * (1 - ON_EDGE)
    return int(np.argmax(above)) if above.any() else above.size


def share_above(index, low, high, threshold):
    """Share of a power law's events between two energies that lies above a threshold."""
    index = np.asarray(index, float)

    def integral(a, b):
        k, span = 1 - index, np.log(b / a)
        with np.errstate(divide="ignore", invalid="ignore"):
            return a**k * np.where(np.abs(k) < 1e-9, span, np.expm1(k * span) / k)

    return integral(max(low, threshold), high) / integral(low, high)


def resolve(stack):
    """A stack whose livetime and ontime hold the shares of the threshold bins, too.

    Parameters
    ----------
    stack : StackedCounts
        Of observations with "share".

    Returns
    -------
    stack : StackedCounts
    """
    if stack.shared is None:
        return stack
    # Imported here: few stacks come so far, and it takes a third of a second.
    from scipy.interpolate import BarycentricInterpolator

    times = np.array([stack.livetime, stack.ontime])
    weights = BarycentricInterpolator(INDICES, np.eye(N_INDICES))
    for k in range(stack.axes.shape[0]):
        part = stack.shared[:, :, k]
        if part.any():
            index = np.clip(_index(stack, k), LOWEST, HIGHEST)
            times[:, k] += np.einsum("xyn,ncxy->cxy", weights(index), part)
    return replace(stack, livetime=times[0], ontime=times[1], shared=None, above=None)


def _index(stack, k):
    """Index of each pixel in bin k, from the two bins above in the runs with a threshold in k."""
    axes, counts = stack.axes, stack.above[:, k]
    index = np.full(axes.shape[1:], TYPICAL)
    if k + 2 >= axes.shape[0]:
        return index
    # The two have the same exposure: their rates differ as counts over bin widths do.
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
    """Number of pixels that a mean under the kernel is about as good as."""
    return 4 * np.pi * np.prod(_widths(axes))


def _smooth(axes, images):
    from scipy import ndimage

    return ndimage.gaussian_filter(
        np.asarray(images, float), (0, *_widths(axes)), mode="constant", truncate=4
    )
