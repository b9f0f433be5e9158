"""Cubes without empty bins, for programs that interpolate the logarithm of the rate.

gammapy does: a bin with the rate 0 removes most of the background between its centre and those of
its neighbours, and at the ends of the axes the extrapolated rate can be infinite.
"""

from dataclasses import replace

import numpy as np

from simbg.cube import BackgroundCube

__all__ = []

# Events within the kernel of a mean. An image with fewer events in a pixel is smoothed as a whole.
ENOUGH = 1.0
# Reach of the kernel in units of its width, and the rate beyond, in units of the smallest one.
REACH, FAR = 3.0, 1e-2


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
    An empty bin gets λ / (1 + λ) events, with the mean λ of the pixels around it at its energy,
    weighted with a Gaussian of a width of one pixel. An image with less than one event in a pixel
    is smoothed as a whole, with a Gaussian that has an event within. The sum of events around each
    pixel is kept, and so is that of the energy. Bins far from any event get a small rate. An energy
    without events between others is interpolated, logarithmically in rate and energy.
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
        image = _filled(rate[k], weight[k])
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


def _filled(rate, weight):
    """An image with a rate above 0 in all pixels."""
    from scipy.ndimage import gaussian_filter

    def around(values, width):
        return gaussian_filter(values, width, mode="constant", truncate=REACH)

    def ratio(a, b):
        return np.divide(a, b, out=np.zeros(rate.shape), where=b > 0)

    if (rate > 0).all():
        return rate
    events = rate * weight
    used = around((events > 0).astype(float), 2.0) > 0
    mean = events.sum() / used.sum()
    width = max(1.0, np.sqrt(ENOUGH / (4 * np.pi * mean)))
    smooth = ratio(around(events, width), around(weight, width))
    filled = smooth
    if mean > ENOUGH:
        # The mean of a rate with an exponential prior about λ events, of which none was seen.
        filled = np.where(events > 0, rate, smooth / (1 + smooth * weight))
    # Around each pixel the sum of events is kept.
    filled *= ratio(around(events, 2 * width), around(filled * weight, 2 * width))
    return np.maximum(filled, FAR * filled[filled > 0].min())
