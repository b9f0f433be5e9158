"""Cubes that are right, each from one draw of the counts, for tests of false alarms and power.

All have the counts of the draw. What they make of them is known in closed form.
"""

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.truth.gaussian import GaussianTruth

AXES = Axes(np.geomspace(0.1, 50, 5), np.linspace(-3, 3, 10), np.linspace(-3, 3, 10))
TRUTH = GaussianTruth(event_rate=9.0, sigma=(1.6, 2.8), peak=(0.6, -0.3))
PIXELS = np.arange(9)
KERNEL = np.exp(-0.5 * (PIXELS[:, None] - PIXELS) ** 2)


def make_cube(predicted, error, counts, livetime, deadtime=0.1):
    """A cube with these predicted counts and their errors."""
    time = np.full(AXES.shape, float(livetime))
    exposure = time * AXES.volume
    errors = None if error is None else error / exposure
    return BackgroundCube(AXES, predicted / exposure, errors, counts, time, time / (1 - deadtime))


def smoothed(images, kernel):
    """Sums over the pixels of each image, weighted with the kernel."""
    return np.einsum("ai,bj,eij->eab", kernel, kernel, images)


def draw(kind, rng, livetime=20_000.0):
    """A cube of one kind.

    truth: without noise. raw: counts. exact: the true rate, with counts. smooth: λ Σ K n / Σ K λ
    with its errors, and no bias. template: true shape, fitted norm. half: twice the events of a
    random half. Those that end in "bare" state no errors.
    """
    expected = TRUTH.integrate(AXES) * livetime
    if kind == "truth":
        return TRUTH.cube(AXES)
    counts = rng.poisson(expected)
    kind, _, bare = kind.partition(" ")
    if kind == "raw":
        predicted, error = counts, np.sqrt(counts)
    elif kind == "exact":
        predicted, error = expected, None
    elif kind == "smooth":
        weights = expected / smoothed(expected, KERNEL)
        predicted = weights * smoothed(counts, KERNEL)
        error = weights * np.sqrt(smoothed(counts, KERNEL**2))
    elif kind == "template":
        predicted = expected * counts.sum() / expected.sum()
        error = predicted / np.sqrt(counts.sum())
    elif kind == "half":
        half = rng.binomial(counts, 0.5)
        predicted, error = 2 * half, 2 * np.sqrt(half)
    return make_cube(predicted, None if bare else error, counts, livetime)
