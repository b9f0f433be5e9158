"""Methods by name: ours, entry points, objects of modules, and what is none."""

import sys
import types
from typing import ClassVar

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from support.runs import BLOB_AXES, blob_runs

from simbg.reconstruction.contract import Reconstructor
from simbg.reconstruction.histogram import Histogram
from simbg.reconstruction.registry import METHODS, find_method, method_names


@pytest.mark.parametrize("name", METHODS)
def test_our_methods_have_names(name):
    method = find_method(name)
    assert isinstance(method, METHODS[name])
    assert isinstance(method, Reconstructor)
    assert method.name == name


class Mine:
    """Conforms, and imports nothing to do so."""

    name = "mine"

    def reconstruct(self, observations, axes):
        return Histogram().reconstruct(observations, axes)


class Nameless:
    """Refused before it is ever called."""

    def reconstruct(self, observations, axes):
        return None


@pytest.fixture
def module(monkeypatch):
    """A module of a user, under a name that can be imported."""
    module = types.ModuleType("users_module")
    module.Mine, module.instance, module.Nameless, module.number = Mine, Mine(), Nameless, 5
    module.inner = types.SimpleNamespace(Mine=Mine)
    monkeypatch.setitem(sys.modules, "users_module", module)
    return module


@pytest.mark.parametrize("attribute", ["Mine", "instance", "inner.Mine"])
def test_method_of_a_module(module, attribute):
    method = find_method(f"users_module:{attribute}")
    assert isinstance(method, Mine)
    cube = method.reconstruct(list(blob_runs(400)), BLOB_AXES)
    assert_array_equal(cube.rate, Histogram().reconstruct(blob_runs(400), BLOB_AXES).rate)


def test_misspelt_object_of_a_module(module):
    with pytest.raises(ValueError, match="'Nameless'"):
        find_method("users_module:Nameles")


def test_method_of_an_entry_point(module, tmp_path, monkeypatch):
    """It is listed where the modules that it needs are installed, and found anyway."""
    points = {
        "theirs": "Mine",
        "broken": "Nothing",
        "with-numpy": "Mine [numpy]",
        "with-other": "Mine [numpy,no_such_library]",
    }
    lines = [f"{name} = users_module:{target}" for name, target in points.items()]
    folder = tmp_path / "theirs-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: theirs\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("\n".join(["[simbg.reconstructors]", *lines]))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert isinstance(find_method("theirs"), Mine)
    assert isinstance(find_method("with-other"), Mine)
    assert set(method_names()) & set(points) == {"theirs", "broken", "with-numpy"}
    with pytest.raises(ValueError, match=r"'broken' cannot be loaded: AttributeError"):
        find_method("broken")
    with pytest.raises(ValueError, match=r"'other', expected one of .*michi,.* theirs, with-numpy"):
        find_method("other")


class Exits:
    def __init__(self):
        raise SystemExit("two\nlines")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "got 'nothing', expected one of spline, histogram, default, michi, "),
        ("", "got ''"),
        ("no_such_module:Mine", "ModuleNotFoundError"),
        ("users_module:Yours", "AttributeError"),
        ("users_module:", "got module, expected .*name and reconstruct"),
        (":Mine", "ValueError"),
        ("users_module:number", "got int, expected .*name and reconstruct"),
        ("users_module:Nameless", "got Nameless, expected .*name"),
        ("users_module:Exits", "SystemExit: two lines"),
    ],
)
def test_what_is_no_method_is_an_error_in_one_line(module, name, message):
    module.Exits = Exits
    with pytest.raises(ValueError, match=f"^method.*{message}") as error:
        find_method(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "promises",
    [{"bias": "1%"}, {"bias": -1}, {"noise": float("nan")}, {"bais": 0.01}, ["bias"], None],
)
def test_promises_that_nothing_can_be_judged_by_are_refused(promises):
    class Promising(Mine):
        pass

    Promising.promises = promises
    with pytest.raises(ValueError, match=r"'bias'.*'noise'"):
        find_method(Promising)


def test_promises_are_numbers_of_any_type():
    class Promising(Mine):
        promises: ClassVar = {"bias": np.float32(0.002), "noise": 0}

    assert isinstance(find_method(Promising), Promising)
