"""`simbg truth` and `simbg simulate`."""

import numpy as np
import pytest
from support.command_lines import left

from simbg.axes import edition2015_axes
from simbg.io.cubes import read_cube
from simbg.simulation.library import SCENARIOS


def test_simulate_and_reconstruct(place, run):
    code, out, err = run("simulate", "store", "--scenario", "night", "--runs", 2, "--seed", 3)
    assert (code, err) == (0, "")
    assert out.startswith("store: 2 runs, ")
    n_events = int(out.split()[3])
    counts = []
    for scheme in ("gadf", "hess"):
        run("simulate", scheme, "--scenario", "night", "--runs", 2, "--seed", 3, "--scheme", scheme)
        code, out, err = run("reconstruct", scheme, f"m-{scheme}", "--exclude", "none")
        assert (code, err) == (0, "")
        groups = [line.split() for line in out.splitlines() if line.startswith("group")]
        counts.append(sum(int(words[4]) for words in groups))
    # Both schemes hold the same events; the cubes end before the simulation does.
    assert counts[0] == counts[1]
    assert 0.5 * n_events < counts[0] < n_events
    assert left() == ["gadf", "hess", "m-gadf", "m-hess", "store"]


@pytest.mark.parametrize("format", ["gadf", "table", "image"])
def test_truth(place, run, format):
    arguments = ["--model", "seed-2015", "--format", format, "--zenith", 30]
    assert run("truth", "t.fits.gz", *arguments) == (0, "", "")
    truth = SCENARIOS["seed-2015"].truth.cube(edition2015_axes(), zenith=30)
    # GADF is per observation time: its runs are dead for a sixth of it.
    factor = 5 / 6 if format == "gadf" else 1
    np.testing.assert_allclose(read_cube("t.fits.gz").rate, factor * truth.rate, rtol=1e-15)
    assert left() == ["t.fits.gz"]


def test_truth_of_2015(place, run):
    assert run("truth", "t.fits", "--model", "edition2015", "--zenith", 9)[0] == 0
    # At the centre of the lowest energy bin, from the formula, altitude 81 deg.
    axes = edition2015_axes()
    energy, lon = axes.energy_center[0], axes.fov_lon_center[30]
    width = 2.5 * (energy / 0.1) ** (np.log(2) / np.log(800))
    counts = 0.95 * np.exp(-2 * lon**2 / width**2) * energy**-2.7
    expected = counts / axes.flat_volume[0, 30, 30]
    assert read_cube("t.fits").rate[0, 30, 30] == pytest.approx(expected, rel=1e-12)
