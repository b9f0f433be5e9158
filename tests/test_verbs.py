"""import simbg: what a user does from there, in few lines, and what is said of mistakes."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from support.sources import read_sources

import simbg
from simbg.reconstruction.histogram import Histogram
from simbg.truth.gaussian import GaussianTruth


@pytest.fixture(scope="module")
def night():
    return simbg.simulate("night", n_obs=3)


@pytest.fixture(scope="module")
def store(night, tmp_path_factory):
    folder = tmp_path_factory.mktemp("verbs") / "store"
    night.write(folder)
    return simbg.open_store(folder)


def test_no_module_takes_the_place_of_a_verb(night, tmp_path):
    """All modules are loaded first, in a process that has loaded nothing else."""
    names = sorted(name for name in read_sources() if not name.endswith(("__main__", "baccmod")))
    code = f"""
from importlib import import_module
for name in {names}:
    import_module(name)
import simbg
experiment = simbg.simulate("night", n_obs=2)
experiment.write("store")
cube = simbg.reconstruct(simbg.open_store("store"))
print(simbg.compare(cube, cube).agree, simbg.validate("histogram", "night").ok)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout == "True True\n"


def test_no_verb_has_the_name_of_a_package():
    packages = {name.split(".")[1] for name in read_sources() if name.count(".") >= 1}
    assert not packages & set(simbg.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="open_stor") as error:
        simbg.open_stor  # noqa: B018
    # With these Python itself suggests a name.
    assert (error.value.name, error.value.obj) == ("open_stor", simbg)


def test_a_store_is_a_sequence_of_observations(night, store):
    assert len(store) == len(list(store)) == len(store.observations()) == 3
    assert [run.obs_id for run in store] == store.table["OBS_ID"].tolist()
    assert "3 runs" in repr(store)
    assert "\n" not in repr(store)
    hess = store.path.with_name("hess")
    night.write(hess, "hess")
    assert len(simbg.open_store(hess).observations()) == 3
    last = simbg.Selection(exclude=("none",), obs_ids=(3,)).observations(store)
    assert [run.obs_id for run in last] == [3]


def test_some_runs_of_a_store(store):
    def ids(runs):
        return [run.obs_id for run in runs]

    assert ids(store) == [1, 2, 3]
    assert ids(store[:2]) == [1, 2]
    assert ids(store[-1:]) == [3]
    assert (store[0].obs_id, store[-1].obs_id) == (1, 3)
    assert ids(store.observations([3, 1])) == [3, 1]
    assert ids(store.observations(store.table[1:])) == [2, 3]
    for number in (2, np.int64(2)):
        assert ids(simbg.Selection(exclude="none", obs_ids=number).observations(store)) == [2]
    with pytest.raises(IndexError, match="3"):
        store[3]
    with pytest.raises(ValueError, match="no run 4"):
        store.observations([1, 4])
    assert store.obs_ids == [1, 2, 3]
    assert ids(store.observations(2)) == [2]
    for given in ("20136", 1.5, [None]):
        with pytest.raises(ValueError, match=re.escape(repr(given))):
            store.observations(given)
        with pytest.raises(ValueError, match=re.escape(repr(given))):
            simbg.Selection(obs_ids=given)


def test_paths_as_in_a_shell(night, store, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(store.path.parent))
    monkeypatch.setenv("PLACE", str(tmp_path))
    assert len(simbg.open_store("~/store")) == 3
    cube = simbg.reconstruct(night)
    cube.write("$PLACE/cube.fits")
    assert simbg.compare("${PLACE}/cube.fits", tmp_path / "cube.fits").agree
    assert simbg.BackgroundCube.read("$PLACE/cube.fits").axes.same_as(cube.axes)
    cube.plot("$PLACE/cube.png")
    night.write("$PLACE/again")
    assert {path.name for path in tmp_path.iterdir()} == {"cube.fits", "cube.png", "again"}
    (tmp_path / "my.reg").write_text("icrs\ncircle(0, 0, 1)\n")
    for exclude in ("$PLACE/my.reg", ("none", "$PLACE/my.reg")):
        assert len(simbg.Selection(exclude=exclude, sources="mask").observations(store)) == 3


def test_what_is_no_store_is_named(night, tmp_path):
    store = tmp_path / "store"
    night.write(store)
    (tmp_path / "empty").mkdir()

    def said(path):
        with pytest.raises((FileNotFoundError, ValueError)) as error:
            simbg.open_store(path)
        assert "\n" not in str(error.value)
        return str(error.value)

    names = "nothing", "empty", "store/data", "store/obs-index.fits.gz", "."
    texts = [said(tmp_path / name) for name in names] + [said(3)]
    assert len({text.split(":")[-1] for text in texts}) == 5
    assert [f"{store} is" in text for text in texts] == [False, False, True, True, True, False]


def test_reconstruct_takes_observations_in_any_way(night, store):
    axes = simbg.Axes.regular(("100 GeV", "50 TeV", 5), (3, 10))
    expected = simbg.METHODS["spline"]().reconstruct(store.observations(), axes)
    for observations in (store, store.observations(), iter(store), tuple(store)):
        assert_array_equal(simbg.reconstruct(observations, axes).rate, expected.rate)
    # Stores keep six digits and more: a few events lie on the other side of an edge.
    cube = simbg.reconstruct(night, axes)
    assert abs(cube.counts.sum() - expected.counts.sum()) < 3
    assert simbg.reconstruct(night).axes.same_as(simbg.edition2015_axes(3))


@pytest.mark.parametrize("method", ["michi", simbg.METHODS["michi"], simbg.METHODS["michi"]()])
def test_a_method_by_name_by_class_or_as_it_is(night, method):
    assert simbg.reconstruct(night, method=method).meta["METHOD"] == "michi"


def test_one_default_method(night, store, tmp_path):
    """In Python as on the command line."""
    from click.testing import CliRunner

    from simbg.cli.main import main
    from simbg.models.pipeline import reconstruct_store

    assert simbg.reconstruct(night).meta["METHOD"] == "spline"
    arguments = ["reconstruct", str(store.path), str(tmp_path / "a"), "--exclude", "none"]
    assert CliRunner().invoke(main.command, arguments).exit_code == 0
    selection = simbg.Selection(exclude=("none",))
    reconstruct_store(store.path, tmp_path / "b", selection=selection)
    for folder in ("a", "b"):
        path = next((tmp_path / folder).glob("*_gadf.fits.gz"))
        assert b"spline" in simbg_header(path)


def simbg_header(path):
    from astropy.io import fits

    return fits.getheader(path, "BACKGROUND")["METHOD"].encode()


def test_compare_takes_cubes_and_files(night, tmp_path):
    cube = simbg.reconstruct(night, method="histogram")
    truth = night.true_cube(cube.axes)
    agreement = simbg.compare(truth, cube)
    assert agreement.agree
    truth.write(tmp_path / "true.fits")
    cube.write(tmp_path / "cube.fits")
    of_files = simbg.compare(tmp_path / "true.fits", str(tmp_path / "cube.fits"))
    assert of_files.agree
    assert of_files.measures["norm"].value == pytest.approx(agreement.measures["norm"].value)
    twice = simbg.compare(truth, replace(cube, rate=2 * cube.rate, counts=2 * cube.counts))
    assert not twice.agree
    assert "norm" in twice.differs_in
    for comparison in (agreement, twice):
        assert comparison.verdict in repr(comparison)
        assert len(repr(comparison).splitlines()) < 12


def test_validate_a_method_in_a_scenario():
    suite = simbg.validate("histogram", "night")
    assert suite.ok
    assert {result.scenario for result in suite.results} == {"night"}
    lines = repr(suite).splitlines()
    assert suite.text == lines[0]
    assert len(lines) < 30
    assert any("bias" in line for line in lines)
    two = simbg.validate([Histogram, "michi"], [simbg.SCENARIOS["night"]])
    assert two.methods == ["histogram", "michi"]
    # Of more than one only what fails: the bias of 2015.
    assert "michi is biased" in repr(two)
    assert len(repr(two).splitlines()) < 10


def test_energies_in_the_wrong_unit_are_noticed(night, caplog):
    axes = simbg.Axes.regular((90, 50_000, 4), (3, 6))  # meant as GeV
    assert not caplog.messages
    simbg.reconstruct(night, axes, method="histogram")
    (message,) = caplog.messages
    energy = night.observations()[0].load().energy
    assert f"{energy.max():.3g} TeV" in message
    caplog.clear()
    simbg.reconstruct(night, simbg.Axes.regular((0.1, 50, 4), (3, 6)))
    assert not caplog.messages
    simbg.Axes.regular((100, 50_000, 4), (3, 6))
    simbg.Selection(energy_threshold=300)
    GaussianTruth(energy_range=(100, 50_000))
    simbg.Selection(energy_threshold="300 GeV")
    assert len(caplog.messages) == 3


def of_main(kind):
    """A class as one that is defined in a script."""
    return type(kind.__name__, (kind,), {"__module__": "__main__"})


def test_a_wrong_name_of_a_dict_has_a_suggestion():
    for names, wrong, right in ((simbg.SCENARIOS, "nigth", "night"), (simbg.METHODS, "x", "michi")):
        with pytest.raises(KeyError, match=right):
            names[wrong]
        assert names.get(wrong) is None
        assert wrong not in names


def test_other_objects_of_gammapy_are_no_observations():
    theirs = type("EventList", (), {"__module__": "gammapy.data.event_list"})()
    with pytest.raises(ValueError, match=r"got type EventList.*expected"):
        simbg.reconstruct([theirs])


MISTAKES = {
    "scenario": (lambda night: simbg.simulate("nigth"), "'nigth'.*night.*mean 'night'"),
    "scenario of a number": (lambda night: simbg.simulate(3), "scenario: got 3"),
    "method": (lambda night: simbg.reconstruct(night, method="histgram"), "mean 'histogram'"),
    "no method": (lambda night: simbg.reconstruct(night, method=3), "method 3: got int"),
    "validate": (lambda night: simbg.validate("histogramm"), "mean 'histogram'"),
    "validate an object": (lambda night: simbg.validate(Histogram()), "got Histogram"),
    "validate a module": (lambda night: simbg.validate("no_module:X"), "no_module:X"),
    "validate nothing": (
        lambda night: simbg.validate("support.odd_methods:NoSuch"),
        "support.odd_methods:NoSuch",
    ),
    "validate where": (lambda night: simbg.validate("histogram", ["night", "nihgt"]), "nihgt"),
    "no axes": (lambda night: simbg.reconstruct(night, (1, 2)), "axes: got .*tuple"),
    "no observations": (lambda night: simbg.reconstruct([]), "got none"),
    "no observation": (lambda night: simbg.reconstruct([np.ones(3)]), "got .*ndarray"),
    "one observation": (lambda night: simbg.reconstruct(3), "got .*int"),
    "path": (lambda night: simbg.reconstruct("store"), "'store'.*open_store"),
    "no cube": (lambda night: simbg.compare(night, night.true_cube()), "got .*Experiment"),
    "axes of a truth": (lambda night: night.true_cube((1, 2)), "axes: got .*tuple"),
    "axes of a stack": (lambda night: simbg.stack_observations(night, (1, 2)), "axes: got .*tuple"),
    "axes of a cube": (lambda night: simbg.BackgroundCube((1, 2), np.ones(3)), "axes: got .*tuple"),
    "half an observation": (lambda night: simbg.simulate("night", n_obs=2.5), "got 2.5"),
    "executor": (lambda night: simbg.reconstruct(night, executor=2), "executor: got 2"),
    "executor of a suite": (
        lambda night: simbg.validate("histogram", executor=2),
        "executor: got 2",
    ),
    "seed": (lambda night: simbg.simulate("night", seed=-1), "seed: got -1"),
    "seed of a suite": (lambda night: simbg.validate("histogram", seed=-1), "seed: got -1"),
    "method of a script": (lambda night: simbg.validate(of_main(Histogram)), "my_method:Histogram"),
    "long edges": (lambda night: simbg.Axes(np.ones(999), [0, 1], [0, 1]), "energy edges: got"),
    "wide field": (lambda night: simbg.Axes([1, 2], [0, 181], [0, 1]), "got .*181"),
    "normalize": (lambda night: simbg.compare(*[night.true_cube()] * 2, "all"), "'all'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_end_at_once_in_one_line(night, name):
    call, message = MISTAKES[name]
    with pytest.raises(ValueError, match=message) as error:
        call(night)
    assert "\n" not in str(error.value)


def test_what_simbg_shows_is_short(night):
    for value in (night, night.scenario, night.observations()[0], night.true_cube()):
        assert len(repr(value)) < 300
    assert len(night) == len(list(night)) == 3
    assert set(simbg.SCENARIOS) <= set(repr(simbg.SCENARIOS).split())
