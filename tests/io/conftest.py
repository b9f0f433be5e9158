"""A GADF store that tests of reading and of writing share, and its events as simulated."""

import shutil
from dataclasses import replace

import pytest

from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.sky.pointing import Site
from simbg.truth.gaussian import GaussianTruth

# A quarter of a field of view and no symmetry: a swap or a flip shows.
TRUTH = GaussianTruth(event_rate=2.0, quadrant=True)
# North of the equator and east of Greenwich: no sign of the site is left to chance.
SITE = Site(38.0, 27.0, 900.0)
SCENARIO = replace(
    SCENARIOS["night"],
    name="gadf test",
    truth=TRUTH,
    n_obs=3,
    site=SITE,
    ontime=600.0,
    energy_threshold=0.3,
)


@pytest.fixture(scope="package")
def experiment():
    return Experiment.of(SCENARIO, 4)


@pytest.fixture(scope="package")
def table(experiment):
    return experiment.runs


@pytest.fixture(scope="package")
def made(tmp_path_factory, experiment):
    folder = tmp_path_factory.mktemp("made") / "store"
    experiment.write(folder)
    return folder


@pytest.fixture
def store(tmp_path, made):
    """A copy to spoil."""
    return shutil.copytree(made, tmp_path / "store")


@pytest.fixture(scope="package")
def simulated(experiment):
    """The events as simulated, without a file in between."""
    return [observation.events() for observation in experiment.observations()]
