"""Stores of the 2015 scheme: names, columns and headers as 2015's reader wants them."""

import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from numpy.testing import assert_array_equal
from support.stores import make_store

from simbg.io.hess2015 import HessStore, HessWriter
from simbg.observations.observation import Events
from simbg.truth.gaussian import GaussianTruth


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tmp_path_factory.mktemp("made") / "store"


@pytest.fixture(scope="module")
def experiment(made):
    """Of the store that was made."""
    truth = GaussianTruth(event_rate=1.0, quadrant=True)
    return make_store(made, "hess", truth=truth, ontime=600.0, energy_threshold=0.3)


@pytest.mark.parametrize(
    ("obs_id", "path"),
    [
        (1, "run000000-000199/run000001/hess_events_000001.fits.gz"),
        (199, "run000000-000199/run000199/hess_events_000199.fits.gz"),
        (200, "run000200-000399/run000200/hess_events_000200.fits.gz"),
        (23523, "run023400-023599/run023523/hess_events_023523.fits.gz"),
        (1234567, "run1234400-1234599/run1234567/hess_events_1234567.fits.gz"),
    ],
)
def test_paths_of_2015(tmp_path, experiment, obs_id, path):
    row = dict(experiment.runs[0]) | {"OBS_ID": obs_id}
    HessWriter(tmp_path).write_run(row, Events(*np.ones((3, 1))))
    assert (tmp_path / path).is_file()
    assert (tmp_path / path.replace("events", "aeff_2d")).is_file()


def test_files_as_astropy_reads_them(made, experiment):
    simulated = experiment.observations()
    for row, observation in zip(experiment.runs, simulated, strict=True):
        events, obs_id = observation.events(), row["OBS_ID"]
        folder = made / "run000000-000199" / f"run{obs_id:06d}"
        with fits.open(folder / f"hess_events_{obs_id:06d}.fits.gz") as file:
            assert file[1].columns.names == ["DETX", "DETY", "ENERGY"]
            assert file[1].columns.units == ["deg", "deg", "TeV"]
            assert file[1].header["LIVETIME"] == row["LIVETIME"]
            assert file[1].header["EUNIT"] == "TeV"
            assert_array_equal(file[1].data["DETX"], events.fov_lon)
            assert_array_equal(file[1].data["DETY"], events.fov_lat)
            assert_array_equal(file[1].data["ENERGY"], events.energy)
        with fits.open(folder / f"hess_aeff_2d_{obs_id:06d}.fits.gz") as file:
            assert file["EFFECTIVE AREA"].header["LO_THRES"] == 0.3


def test_run_list(made, experiment):
    runs = Table.read(made / "runinfo.fits")
    assert runs.colnames == [
        *("OBS_ID", "ONTIME", "LIVETIME", "TSTART", "TSTOP"),
        *("AZ", "ALT", "RA", "DEC", "N_TELS", "MUONEFF"),
    ]
    assert runs.meta["OBSERVATORY_NAME"] == "HESS"
    assert runs.meta["TIME_FORMAT"] == "relative"
    for theirs, ours in {
        "AZ": "AZ_PNT",
        "ALT": "ALT_PNT",
        "RA": "RA_PNT",
        "DEC": "DEC_PNT",
    }.items():
        assert_array_equal(runs[theirs], experiment.runs[ours])
        assert runs[theirs].unit == "deg"


def test_runs_come_back(made, experiment):
    store = HessStore(made)
    assert store.run_ids == {1, 2, 3}
    simulated = experiment.observations()
    for ours, theirs in zip(store.observations(store.table), simulated, strict=True):
        for name in ("obs_id", "livetime", "ontime", "energy_threshold", "ra", "dec", "alt", "az"):
            assert getattr(ours, name) == getattr(theirs, name), name
        for name in ("energy", "fov_lon", "fov_lat"):
            assert_array_equal(getattr(ours.events(), name), getattr(theirs.events(), name))


def test_files_of_2015_have_fewer_words(tmp_path, made, experiment):
    """No ONTIME in the list, no units but EUNIT, and energies in single precision."""
    store = shutil.copytree(made, tmp_path / "store")
    runs = Table.read(store / "runinfo.fits")
    runs.remove_columns(["ONTIME", "LIVETIME"])
    runs.meta.clear()
    runs.write(store / "runinfo.fits", overwrite=True)
    path = store / "run000000-000199/run000001/hess_events_000001.fits.gz"
    columns = [
        fits.Column(name, "E", array=np.array([0.5, 1.5], "f4"))
        for name in ("DETX", "DETY", "ENERGY")
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    hdu.header.update({"LIVETIME": 500.0, "EUNIT": "GeV"})
    hdu.header.add_blank("a card without a name is no unit")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    opened = HessStore(store)
    observation = opened.observations(opened.table[:1])[0]
    assert (observation.livetime, observation.ontime) == (500, 500)
    assert observation.events().energy.tolist() == [0.0005, 0.0015]
    assert observation.events().fov_lon.tolist() == [0.5, 1.5]


def test_run_without_events(tmp_path, experiment):
    nothing = Events(*np.empty((3, 0)))
    HessWriter(tmp_path).write_run(experiment.runs[0], nothing)
    (path,) = tmp_path.rglob("hess_events_*")
    with fits.open(path) as file:
        assert len(file[1].data) == 0
