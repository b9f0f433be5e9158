"""Stores of simulated runs: the same bytes for a seed, no secrets, and constant memory."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from support.experiments import SOURCES, events_of, interrupted

from simbg.io.region_files import read_regions
from simbg.parallel.executors import workers
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.simulation.stores import REGIONS
from simbg.truth.gaussian import GaussianTruth

SCENARIO = replace(SCENARIOS["night"], name="store test", truth=GaussianTruth(event_rate=0.5))


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.fits*")
    }


def make(folder, seed=0, jobs=1, scheme="gadf"):
    with workers(jobs) as executor:
        Experiment.of(SCENARIO, seed, n_obs=5).write(folder, scheme, executor=executor)
    return digests(folder)


@pytest.mark.parametrize("scheme", ["gadf", "hess"])
def test_same_seed_same_bytes_with_any_number_of_jobs(tmp_path, scheme):
    one, two, again = (
        make(tmp_path / name, jobs=jobs, scheme=scheme)
        for name, jobs in (("one", 1), ("two", 2), ("again", 1))
    )
    assert len(one) == {"gadf": 5 + 2, "hess": 2 * 5 + 1}[scheme]
    assert one == two == again


@pytest.mark.parametrize("scheme", ["gadf", "hess"])
def test_other_seed_other_bytes(tmp_path, scheme):
    one, other = (make(tmp_path / str(seed), seed, scheme=scheme) for seed in (0, 1))
    assert one.keys() == other.keys()
    same = [name for name in one if one[name] == other[name]]
    # What is the same for all seeds: where the files are, and the threshold.
    assert all("hdu-index" in name or "aeff" in name for name in same)


def test_unknown_scheme(tmp_path):
    with pytest.raises(ValueError, match="got 'cta', expected one of"):
        Experiment.of(SCENARIO, 0, 1).write(tmp_path / "o", "cta")
    assert not list(tmp_path.iterdir())


def test_regions_are_written_if_there_are_any(tmp_path):
    masked = Experiment.of(SCENARIOS["source"], 0, 1)
    masked.write(tmp_path / "masked")
    written = read_regions(tmp_path / "masked" / REGIONS)
    assert [type(region) for region in written] == [type(r) for r in masked.scenario.regions]
    Experiment.of(SCENARIO, 0, 1).write(tmp_path / "plain")
    assert not (tmp_path / "plain" / REGIONS).exists()


SECRETS = {"TRUE_NORM": 1.2345678912, "TRUE_DRIFT": 0.0987654321}


@pytest.mark.parametrize("scheme", ["gadf", "hess"])
def test_the_truth_about_runs_never_reaches_a_store(tmp_path, scheme):
    """Neither names nor values, in headers and tables, whatever the precision."""
    experiment = interrupted(n_obs=2, sources=SOURCES[:1])
    plain = sum(map(len, events_of(experiment)))
    for name, value in SECRETS.items():
        experiment.runs[name] = np.full(2, value)
    experiment.write(tmp_path / "s", scheme)
    assert set(SECRETS) <= set(experiment.runs.colnames)
    files = [path for path in (tmp_path / "s").rglob("*") if path.is_file()]
    assert len(files) == {"gadf": 4, "hess": 5}[scheme]
    for path in files:
        with fits.open(path) as hdus:
            for hdu in hdus:
                text = hdu.header.tostring()
                assert "TRUE_" not in text
                assert "1.2345" not in text
                assert "0.0987654" not in text
                for name in () if hdu.name == "PRIMARY" else hdu.columns.names:
                    values = hdu.data[name]
                    assert not name.startswith("TRUE")
                    if values.dtype.kind == "f":
                        for value in SECRETS.values():
                            assert np.abs(values - value).min(initial=1) > 1e-7
    # The control: the factors did something.
    assert sum(map(len, events_of(experiment))) > 1.15 * plain


MEMORY = """
import json, resource, sys
from dataclasses import replace
from simbg.models.pipeline import reconstruct_store
from simbg.models.selection import Selection
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.truth.gaussian import GaussianTruth

folder, runs = sys.argv[1], int(sys.argv[2])
scenario = replace(SCENARIOS["night"], truth=GaussianTruth(event_rate=25.0))
Experiment.of(scenario, 0, runs).write(folder + "/store")
selection = Selection(exclude=("none",))
reconstruct_store(folder + "/store", folder + "/models", method="histogram", selection=selection)
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_runs(tmp_path):
    """Events of a run take 1 MB in memory: 20 runs more would take 20 MB."""
    pytest.importorskip("resource")
    peaks = []
    for runs in (5, 25):
        (tmp_path / str(runs)).mkdir()
        command = [sys.executable, "-c", MEMORY, str(tmp_path / str(runs)), str(runs)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(json.loads(done.stdout) / 1024)
    # Half of that: cubes of more runs have more bins, up to 0.6 MB each, and one run is like
    # another to 1 MB.
    assert peaks[1] - peaks[0] < 10, peaks
