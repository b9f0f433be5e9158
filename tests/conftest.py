"""Shared fixtures: fields that nothing can mirror, and the public data where it is.

A tolerance of 1e-9 or less in a test, or none, is for rounding; any other says where it comes from.
"""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.utils import iers

from simbg.axes import Axes
from simbg.cli.main import main
from simbg.cube import BackgroundCube


@pytest.fixture
def axes():
    """Three different lengths, nothing symmetric: a swap or a flip must show."""
    return Axes(np.geomspace(0.1, 20, 5), np.linspace(-3, 2, 7), np.linspace(-1, 4, 9))


@pytest.fixture
def cube(axes):
    """A cube in which every bin differs, with different dead times in each energy."""
    rate = 1e-6 * (1 + np.arange(np.prod(axes.shape)).reshape(axes.shape))
    livetime = np.broadcast_to(1000.0 + 100 * np.arange(4)[:, None, None], axes.shape).copy()
    ontime = np.broadcast_to(np.array([1100.0, 1300, 1400, 1700])[:, None, None], axes.shape).copy()
    counts = np.round(rate * livetime * axes.volume)
    return BackgroundCube(axes, rate, 0.1 * rate, counts, livetime, ontime)


@pytest.fixture
def run(capsys):
    """Run a command line here; its exit code and what it printed."""

    def run(*arguments, command=main):
        with pytest.raises(SystemExit) as end:
            command([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


@pytest.fixture
def region_file(tmp_path):
    """Write lines into a DS9 region file; its path."""

    def write(*lines, name="some.reg"):
        path = tmp_path / name
        path.write_text("# Region file format: DS9 version 4.1\n" + "\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture
def gammapy_data():
    """The folder of public data; the test is skipped, visibly, where there is none."""
    folder = os.environ.get("GAMMAPY_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("GAMMAPY_DATA is not set to a folder")
    return Path(folder)


@pytest.fixture
def fixtures_2015():
    """Folder of the published cubes; the test is skipped, visibly, where there is none."""
    folder = os.environ.get("SIMBG_FIXTURES_2015")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SIMBG_FIXTURES_2015 is not set to a folder with gammapy-extra's cubes")
    return Path(folder)


@pytest.fixture(autouse=True)
def _offline():
    """No test reaches for the network: astropy takes the table of the Earth's rotation it has.

    However old it is: with a list of leap seconds that has expired it would warn.
    """
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        yield


@pytest.fixture(autouse=True)
def _log_level():
    """Command lines set the level of all logging; each test begins with Python's own."""
    logging.getLogger().setLevel(logging.WARNING)
