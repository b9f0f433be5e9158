"""The figure of the leaderboard: floors that are seen, and those that are below their limits."""

import numpy as np
from numpy.testing import assert_allclose
from support.outcomes import scored

from simbg.validation.figures.suite import leaderboard_figure


def score(floor, error):
    return scored("m", 0.1, noise_cost=60.0, floor=floor, floor_error=error).score


def drawn(figure):
    """Points by whether they are filled, and the number of arrows."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() != "None"]
    points = {filled: [] for filled in (True, False)}
    for line in lines:
        points[line.get_markerfacecolor() != "none"].extend(zip(*line.get_data(), strict=True))
    return points, sum(text.arrow_patch is not None for text in figure.axes[0].texts[1:])


def test_a_floor_is_a_point_and_a_limit_has_an_arrow():
    points, arrows = drawn(leaderboard_figure({"m": [score(40.0, 1.0), score(1.0, 2.0)]}))
    # Of 10 % in all, bias is √(40 / 100) in the first and at most √(2 · 2 / 61) in the second.
    assert_allclose(points[True], [(10 * np.sqrt(0.4), 60.0)])
    assert_allclose(points[False], [(10 * np.sqrt(4 / 61), 60.0)])
    assert arrows == 1


def test_nothing_to_draw_is_no_error():
    for scores in ({}, {"m": [score(-1.0, np.nan)]}):
        points, arrows = drawn(leaderboard_figure(scores))
        assert (points, arrows) == ({True: [], False: []}, 0)
