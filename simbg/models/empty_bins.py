"""Cubes without empty bins, for programs that interpolate the logarithm of the rate.

gammapy does: a bin with the rate 0 removes most of the background between its centre and those of
its neighbours, and at the ends of the axes the extrapolated rate can be infinite.
"""

from dataclasses import replace

import numpy as np

from simbg.cube import BackgroundCube

__all__ = ["without_empty_bins"]

# Events within the kernel of a mean, at least, if the cube has counts.
ENOUGH = 1.0


def without_empty_bins(cube: BackgroundCube) -> BackgroundCube:
    """The cube with a rate above 0 in all bins of the energies between the first and last event.

    Parameters
    ----------
    cube : BackgroundCube
        Any cube. One without empty bins is returned as it is.

    Returns
    -------
    BackgroundCube
        Its spectrum is that of the cube, but for energies without any event.

    Notes
    -----
    An empty bin gets the mean rate of the pixels around it at its energy, with Gaussian weights of
    the smallest width of 1, 2, 4, ... pixels that contains an event, in units of the exposure. Then
    all bins of the energy are multiplied by a common factor, so that their sum does not change. An
    energy without events between others is interpolated, logarithmically in rate and energy.
    """
    rate = np.nan_to_num(cube.rate)
    with_events = np.flatnonzero((rate > 0).any(axis=(1, 2)))
    if not with_events.size or (rate[with_events[0] : with_events[-1] + 1] > 0).all():
        return cube
    known = np.isfinite(cube.rate)
    exposure = getattr(cube, cube.clock)
    weight = known * cube.axes.volume * (1.0 if exposure is None else exposure)
    filled = rate.copy()
    for k in with_events.tolist():
        image = _filled(rate[k], weight[k], exposure is not None)
        total = (rate[k] * cube.axes.volume[k]).sum()
        inside = (image * cube.axes.volume[k])[known[k]].sum()
        filled[k] = image * (total / inside)
    energy = np.log(cube.axes.energy_center)
    for k in range(int(with_events[0]), int(with_events[-1])):
        if k not in with_events:
            low, high = with_events[with_events < k][-1], with_events[with_events > k][0]
            part = (energy[k] - energy[low]) / (energy[high] - energy[low])
            filled[k] = filled[low] ** (1 - part) * filled[high] ** part
    outside = np.ones(rate.shape[0], bool)
    outside[with_events[0] : with_events[-1] + 1] = False
    filled[outside] = cube.rate[outside]
    return replace(cube, rate=filled)


def _filled(rate, weight, is_exposure):
    """An image with a rate above 0 in all pixels."""
    from scipy.ndimage import gaussian_filter

    rate = rate.copy()
    events, width = rate * weight, 1.0
    while not (rate > 0).all():
        around, sum_of_weights = (
            gaussian_filter(values, width, mode="constant", truncate=4.0)
            for values in (events, weight)
        )
        enough = around * 4 * np.pi * width**2 >= (ENOUGH if is_exposure else 0)
        mean = np.divide(around, sum_of_weights, out=np.zeros(rate.shape), where=sum_of_weights > 0)
        if width > max(rate.shape):
            enough, mean = True, np.where(mean > 0, mean, events.sum() / weight.sum())
        rate = np.where((rate <= 0) & enough, mean, rate)
        width *= 2
    return rate
