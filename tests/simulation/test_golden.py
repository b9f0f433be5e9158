"""Tier 0 of the gate, without randomness: noise-free cubes as they were when last looked at.

The expectation of each scenario goes through each method, over axes that
nothing can mirror. ``nox -s regenerate`` renews the files.
"""

from dataclasses import replace

import numpy as np
import pytest

from simbg.axes import Axes
from simbg.reconstruction.registry import METHODS
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.truth.gaussian import GaussianTruth

# Rates reach below 1e-20 s-1 MeV-1 sr-1: any absolute tolerance would pass them all.
EXACT = {"rtol": 1e-9, "atol": 0.0}
# Runs whose zeniths and livetimes are put in by hand: no random number takes part.
ZENITHS = (3.0, 18.5, 41.0)
AXES = Axes(np.geomspace(0.1, 80, 6), np.linspace(-4, 3.5, 14), np.linspace(-3, 3.4, 12))
# One of each kind of truth and exposure. Where masks are depends on the table of the Earth's
# rotation, which changes with astropy: they are held by other tests.
KINDS = ("seed-2015", "realistic", "night", "threshold-bin", "ring", "rolling-threshold")
CASES = {
    **{name: SCENARIOS[name] for name in KINDS},
    # 0.6 TeV lies inside a bin: the first that a run with it exposes is the method's choice.
    # Three quadrants are dark: what a method says where nothing was seen is held, too.
    "threshold": replace(
        SCENARIOS["realistic"], energy_threshold=0.6, truth=GaussianTruth(quadrant=True)
    ),
}


def stack(scenario, threshold_bin, axes=AXES):
    """Expected counts at a hundredth of the scenario's runs or so, 2015's passes at 5, 4 and 3."""
    table = scenario.table(1, n_obs=len(ZENITHS))
    table["ZEN_PNT"] = ZENITHS
    table["SAFE_ENERGY_LO"] = [scenario.energy_threshold, 0.1, 0.1]
    table["LIVETIME"] = np.array([1500.0, 1400.0, 1300.0]) * scenario.n_obs / 10
    table["ONTIME"] = table["LIVETIME"] / (1 - scenario.deadtime_fraction)
    return Experiment(scenario, table, 1).expected(axes, threshold_bin)


# A fit ends within a tolerance, and its last digits depend on the processor.
NOT_FITTED = [name for name, method in METHODS.items() if not getattr(method, "costly", False)]


@pytest.mark.parametrize("name", NOT_FITTED)
@pytest.mark.parametrize("case", CASES)
def test_noise_free_cube(case, name, ndarrays_regression):
    """Rate and stated error of a method, from exact expectations."""
    method = METHODS[name]()
    cube = method.estimate(stack(CASES[case], method.threshold_bin))
    fields = {"rate": cube.rate, "rate_error": cube.rate_error}
    ndarrays_regression.check(fields, default_tolerance=EXACT)


@pytest.mark.parametrize("case", CASES)
def test_expectation(case, ndarrays_regression):
    """Exact integrals, per second and with the runs' exposure."""
    truth = CASES[case].truth
    whole, partial = (stack(CASES[case], name) for name in ("drop", "whole"))
    fields = {
        "truth": truth.integrate(AXES, zenith=33.0),
        "above_threshold": truth.integrate(AXES, zenith=33.0, energy_min=0.6),
        "counts": whole.counts,
        "counts_partial_bin": partial.counts,
        "livetime": whole.livetime[:, 0, 0],
        "livetime_partial_bin": partial.livetime[:, 0, 0],
        "ontime": whole.ontime[:, 0, 0],
    }
    ndarrays_regression.check(fields, default_tolerance=EXACT)


def test_cases_reach_every_number_of_passes():
    """2015 smooths 3, 4 or 5 times, as the counts are many or few: all three are held."""
    counts = [stack(scenario, "whole").counts.sum() for scenario in CASES.values()]
    assert set(np.searchsorted([1e5, 1e6], counts, side="right")) == {0, 1, 2}


def test_golden_axes_cannot_be_mirrored():
    assert len(set(AXES.shape)) == 3
    assert AXES.fov_lon[0] != -AXES.fov_lon[-1]
    assert AXES.fov_lat[0] != -AXES.fov_lat[-1]


def test_nothing_random_takes_part():
    scenario = SCENARIOS["night"]
    other = replace(scenario, name="another name")
    assert np.array_equal(stack(scenario, "whole").counts, stack(other, "whole").counts)
