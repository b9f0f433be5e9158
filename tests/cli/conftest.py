"""Stores to spoil, and an empty folder to work in."""

import shutil

import pytest
from support.command_lines import SCENARIO

from simbg.simulation.experiment import Experiment


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    """A store of each scheme, with three runs."""
    folder = tmp_path_factory.mktemp("stores")
    for scheme in ("gadf", "hess"):
        Experiment.of(SCENARIO, 0, 3).write(folder / scheme, scheme)
    return folder


@pytest.fixture
def place(tmp_path, made, monkeypatch):
    """An empty place to work in, with a copy of both stores to spoil."""
    shutil.copytree(made, tmp_path / "stores")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "stores"
