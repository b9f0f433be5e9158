"""Predicted counts of methods that are right, on a small field, for tests of the questions."""

import numpy as np

from simbg.axes import Axes
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.questions.replicates import Replicates

# Three different lengths, and a field that nothing mirrors.
AXES = Axes(np.geomspace(0.1, 50, 4), np.linspace(-3, 3, 7), np.linspace(-2.6, 2.6, 6))
TRUTH = GaussianTruth(event_rate=9.0, sigma=(1.6, 2.8), peak=(0.3, -0.5))
# Expected counts of all bins of one replicate.
EVENTS = 3e4


def expected_counts(axes=AXES, events=EVENTS):
    """Expected counts of the truth, of all bins together ``events``."""
    shape = TRUTH.integrate(axes)
    return events * shape / shape.sum()


def whiten(axes, expected):
    """Four smooth directions: norm, index, width and its change; (n_bins, 4), orthonormal."""
    log_energy = np.log(axes.energy_center)[:, None, None]
    patterns = np.array(
        [
            np.ones(axes.shape),
            log_energy + np.zeros(axes.shape),
            axes.offset**2 + np.zeros(axes.shape),
            axes.offset**2 * log_energy,
        ]
    ).reshape(4, -1)
    return np.linalg.qr((patterns * np.sqrt(expected.ravel())).T)[0]


def raw(rng, number, expected):
    """Raw counts, with errors √n."""
    counts = rng.poisson(expected, (number, *expected.shape)).astype(float)
    return counts, np.sqrt(counts)


def fit(rng, number, expected, axes=AXES):
    """The maximum-likelihood fit of four parameters, for many counts, with its errors."""
    basis, root = whiten(axes, expected), np.sqrt(expected)
    counts = rng.poisson(expected, (number, *expected.shape))
    pulls = ((counts - expected) / root).reshape(number, -1) @ basis @ basis.T
    predicted = expected + root * pulls.reshape(counts.shape)
    errors = root * np.sqrt(np.sum(basis**2, axis=1)).reshape(expected.shape)
    return predicted, np.broadcast_to(errors, predicted.shape)


def template(rng, number, expected):
    """The true shape with a fitted norm."""
    norm = rng.poisson(expected.sum(), (number, 1, 1, 1)) / expected.sum()
    return norm * expected, np.sqrt(norm / expected.sum()) * expected


def half(rng, number, expected):
    """Half of the events, twice, with the errors of these."""
    counts = rng.poisson(expected / 2, (number, *expected.shape))
    return 2.0 * counts, 2 * np.sqrt(counts)


RIGHT = {"raw counts": raw, "fit": fit, "template": template, "half of the events": half}


def replicates(method, rng, number=20, axes=AXES, events=EVENTS, scale=1.0):
    """Replicates of a method, its predictions times ``scale``."""
    expected = expected_counts(axes, events)
    predicted, errors = method(rng, number, expected)
    return Replicates(axes, expected, scale * predicted, errors)
