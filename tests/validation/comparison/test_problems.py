"""Cubes that contradict themselves, each other, or their store; and cubes of the same events."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from support.one_draw import AXES, draw

import simbg
from simbg.cli.main import main
from simbg.observations.stacked_counts import EventRecord
from simbg.validation.comparison.compare import compare
from simbg.validation.comparison.folders import compare_paths

BASES = "raw", "smooth", "template", "half"


def problems(a, b, **options):
    return compare(a, b, **options).problems


def wrong_ontime(cube, factor):
    """The cube with its rate per another observation time, and this time."""
    cube = cube.per("ontime")
    return replace(cube, rate=cube.rate / factor, ontime=factor * cube.ontime)


@pytest.mark.parametrize("base", [*BASES, "exact"])
def test_right_cubes_have_no_problems(base):
    rng = np.random.default_rng(3)
    for livetime in (300.0, 3e3, 6e4):
        cube = draw(base, rng, livetime)
        assert problems(draw("raw", rng), cube) == problems(cube, draw("truth", rng)) == ()


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_counts_that_do_not_belong_to_the_rate(base, factor):
    """Rates that are wrong by 10 %, in either cube; counts and exposure are right."""
    rng = np.random.default_rng(5)
    truth, cube = draw("truth", rng), draw(base, rng, 6e4)
    wrong = replace(cube, rate=factor * cube.rate)
    for label, pair in (("A: ", (wrong, truth)), ("B: ", (truth, wrong))):
        (problem,) = problems(*pair)
        assert problem.startswith(label)
        assert "counts that do not belong to the rate" in compare(*pair).verdict


def test_a_factor_of_few_raw_counts_is_exact():
    """2,000 events do not show a norm off by 5 %, but m/n is 1.05 in each bin."""
    rng = np.random.default_rng(6)
    cube = draw("raw", rng, 230.0)
    (problem,) = problems(draw("truth", rng), replace(cube, rate=1.05 * cube.rate))
    assert "1.05 ×" in problem


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_rate_per_a_wrong_observation_time(base, factor):
    """The rate per livetime is right: against a measurement, and a truth with both times."""
    rng = np.random.default_rng(7)
    other, cube = draw("raw", rng), draw(base, rng)
    truth = replace(draw("truth", rng), livetime=other.livetime, ontime=other.ontime)
    wrong = wrong_ontime(cube, factor) if factor > 1 else wrong_ontime(cube, 0.9001)
    for reference in (other, truth):
        found = problems(reference, wrong)
        assert any("observation time" in problem for problem in found)
        assert problems(reference, cube) == ()


def test_a_livetime_above_the_observation_time():
    rng = np.random.default_rng(8)
    cube = draw("raw", rng)
    wrong = replace(cube, ontime=0.99 * cube.livetime)
    assert any("324 bins" in problem for problem in problems(draw("truth", rng), wrong))


# Runs -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A store of four runs, and files of cubes from its runs."""
    folder = tmp_path_factory.mktemp("runs")
    night = simbg.simulate("night", seed=3, n_obs=4)
    night.write(folder / "store")
    store = simbg.open_store(folder / "store")
    sets = {"all": store.obs_ids, "three": store.obs_ids[1:], "one": store.obs_ids[:1]}
    for name, runs in sets.items():
        simbg.reconstruct(store.observations(runs), AXES).write(folder / f"{name}.fits.gz")
    other = simbg.simulate("night", seed=4, n_obs=4)
    simbg.reconstruct(other, AXES).write(folder / "other.fits.gz")
    cube = simbg.BackgroundCube.read(folder / "all.fits.gz")
    for factor in (0.95, 1.1):
        wrong_ontime(cube, factor).write(folder / f"ontime{factor}.fits.gz")
    return folder


@pytest.mark.parametrize(("a", "b"), [("all", "three"), ("three", "all"), ("all", "all")])
def test_cubes_of_the_same_events_are_told(models, a, b):
    """All runs of the smaller cube are in the other one."""
    (found,) = compare_paths(models / f"{a}.fits.gz", models / f"{b}.fits.gz")
    (note,) = found.notes
    assert "the same events (100% of the runs" in note
    assert note in found.verdict
    assert found.agree
    assert found.to_dict()["notes"] == [note]


def test_other_events_with_the_same_numbers_of_runs_are_independent(models):
    for a, b in (("all", "other"), ("three", "one")):
        (found,) = compare_paths(models / f"{a}.fits.gz", models / f"{b}.fits.gz")
        assert found.notes == ()


def test_fraction_of_the_runs():
    """Two of three runs of the smaller record, in cubes with the same exposure."""
    rng = np.random.default_rng(1)
    one, other = (
        replace(draw("raw", rng), made_from=EventRecord.of((k, 10, 5 * k) for k in runs))
        for runs in ((1, 2, 3, 4), (3, 4, 5))
    )
    (note,) = compare(one, other).notes
    assert "(67% of the runs" in note


def test_exposures_of_the_same_runs():
    cube = replace(draw("raw", np.random.default_rng(2)), made_from=EventRecord.of([(1, 10, 5)]))
    times = {"livetime": 1.1 * cube.livetime, "ontime": 1.1 * cube.ontime}
    longer = replace(cube, rate=cube.rate / 1.1, **times)
    assert any("same runs" in problem for problem in problems(cube, longer))


@pytest.mark.parametrize("factor", [0.95, 1.1])
def test_exposures_are_checked_against_the_store(models, factor):
    """5 % less passes for another dead time, but not for that of its runs."""
    store = simbg.open_store(models / "store")
    right, wrong = models / "all.fits.gz", models / f"ontime{factor}.fits.gz"
    assert compare_paths(right, models / "three.fits.gz", store=store)[0].problems == ()
    (found,) = compare_paths(models / "other.fits.gz", wrong, store=store)
    assert any(problem.startswith("B: ") and "store" in problem for problem in found.problems)
    arguments = ["compare", str(right), str(wrong), "--store", str(models / "store")]
    result = CliRunner().invoke(main.command, arguments)
    assert result.exit_code == 1
    assert "in the store" in result.output


def test_runs_that_are_not_in_the_store(models):
    rng = np.random.default_rng(2)
    cube = replace(draw("raw", rng), made_from=EventRecord.of([(99, 10, 5)]))
    store = simbg.open_store(models / "store")
    (problem,) = problems(draw("truth", rng), cube, store=store)
    assert "99" in problem
