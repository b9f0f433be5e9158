"""Figures of the impact of a background model."""

import numpy as np
import pytest

from simbg.validation.figures.impact import flux_figure
from simbg.validation.impact.flux import FluxErrors
from simbg.validation.impact.sources import TestSource


def test_a_perfect_model_has_no_line_on_a_logarithmic_axis():
    source = TestSource(0.5)
    errors = np.full(3, 0.04)
    fluxes = {"perfect": np.zeros((2, 3)), "other": np.full((2, 3), 0.02)}
    figure = flux_figure({k: FluxErrors(source, values, errors) for k, values in fluxes.items()})
    (axes,) = figure.axes
    # The statistical error, and the other model at 2 %.
    levels = [line.get_ydata()[0] for line in axes.lines[1:]]
    assert levels == pytest.approx([2.0])
