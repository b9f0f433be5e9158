"""Small reference files: what they hold, as gammapy reads it, is what their page says."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import MEV_PER_TEV
from simbg.fixtures_readme import small_sections
from simbg.fixtures_small import BKG_3D, OFFSETS, RUNS, ZENITH, energies, write_small
from simbg.io.cubes import read_cube
from simbg.io.gadf import GadfStore
from simbg.rings import ring_solid_angle
from simbg.truth_file import read_bkg_2d

# Of numbers in the files, which have 7 digits, and in the page, which has 6.
ROUNDING, PAGE = 5.1e-7, 5.1e-6
ALIVE = 0.91


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("small")
    write_small(path, 0)
    return path


@pytest.fixture(scope="module")
def page(folder):
    """Numbers of the page: section → row → list of floats; texts under "text"."""
    sections = {}
    for section in "\n".join(small_sections(folder)).split("## small/")[1:]:
        name, _, text = section.partition("\n")
        rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", text, re.MULTILINE))
        numbers = {key: numbers_in(row) for key, row in rows.items()}
        sections[name] = {"text": text, **numbers}
    return sections


def numbers_in(text):
    return [float(x) for x in re.findall(r"(?<![\w-])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text)]


@pytest.fixture(scope="module")
def gammapy():
    """Its readers, without the warnings of its own imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("gammapy")
        import gammapy.data
        import gammapy.irf
    return gammapy


def test_files_are_small(folder):
    sizes = {path.name: path.stat().st_size for path in folder.rglob("*.gz")}
    assert len(sizes) == 9
    assert max(sizes.values()) < 6000


def test_control_another_seed_makes_other_events(folder, tmp_path):
    write_small(tmp_path, 1)
    for path in folder.rglob("*.gz"):
        same = path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes()
        assert same == (path.name.startswith("bkg") or path.name == "hdu-index.fits.gz")


@pytest.mark.parametrize("name", BKG_3D)
def test_bkg_3d_is_the_truth(folder, page, name):
    align, peak = BKG_3D[name]
    cube = read_cube(folder / name)
    assert (cube.clock, cube.axes.align) == ("ontime", align)
    assert len({*cube.axes.shape}) == 3
    # Midpoints lose h²/24 of the second derivative: of slopes of 3 over 40 places, 3e-4.
    assert_allclose(cube.event_rate, ALIVE * midpoints(peak, cube.axes), rtol=5e-4)
    row = page[name]
    assert row["integral"][0] == pytest.approx(cube.total, rel=PAGE)
    mean = [
        np.average(center, weights=cube.event_rate.sum(axis=axis))
        for center, axis in ((cube.axes.fov_lon_center, (0, 2)), (cube.axes.fov_lat_center, (0, 1)))
    ]
    assert row["mean fov_lon, fov_lat"] == pytest.approx(mean, abs=5.1e-6)
    # The means tell the axes, and their signs, apart.
    assert abs(abs(mean[0]) - abs(mean[1])) > 0.01
    assert abs(mean[0] - mean[1]) > 0.1


def midpoints(peak, axes, n=40):
    """Events per s of livetime from the truth's density at n × n × n places in each bin."""
    truth = replace(RUNS.truth, peak=peak)
    result = np.empty(axes.shape)
    for index in np.ndindex(*axes.shape):
        (e0, e1), (x0, x1), (y0, y1) = (
            edges[i : i + 2]
            for i, edges in zip(index, (axes.energy, axes.fov_lon, axes.fov_lat), strict=True)
        )
        share = (np.arange(n) + 0.5) / n
        energy = e0 * (e1 / e0) ** share
        lon, lat = x0 + (x1 - x0) * share, y0 + (y1 - y0) * share
        rate = truth.rate(energy[:, None, None], lon[:, None], lat, ZENITH)
        volume = MEV_PER_TEV * energy[:, None, None] * np.log(e1 / e0) * np.cos(np.deg2rad(lat))
        volume = volume * np.deg2rad(x1 - x0) * np.deg2rad(y1 - y0)
        result[index] = (rate * volume).mean()
    return result


@pytest.mark.gammapy
@pytest.mark.parametrize("name", BKG_3D)
def test_gammapy_reads_bkg_3d(folder, page, name, gammapy):
    theirs = gammapy.irf.Background3D.read(folder / name, hdu="BACKGROUND")
    ours = read_cube(folder / name)
    assert theirs.fov_alignment.value == BKG_3D[name][0]
    assert theirs.axes.names == ["energy", "fov_lon", "fov_lat"]
    assert_array_equal(theirs.data, ours.rate)
    assert page[name]["sum of `BKG`"][0] == pytest.approx(theirs.data.sum(), rel=PAGE)
    largest, *index = page[name]["largest rate"]
    assert list(np.unravel_index(theirs.data.argmax(), theirs.data.shape)) == index
    assert theirs.data.max() == pytest.approx(largest, rel=PAGE)
    for i, (axis, unit) in enumerate((("energy", "TeV"), ("fov_lon", "deg"), ("fov_lat", "deg"))):
        edges = theirs.axes[axis].edges.to_value(unit)
        assert edges[[0, -1]] == pytest.approx(page[name][axis][1:], rel=PAGE)
        assert edges.size - 1 == theirs.data.shape[i] == page[name][axis][0]
    # A point off the diagonals, at the centre of a bin; gammapy interpolates logarithms.
    value = theirs.evaluate(
        energy=ours.axes.energy_center[1] * u.TeV,
        fov_lon=ours.axes.fov_lon_center[4] * u.deg,
        fov_lat=ours.axes.fov_lat_center[1] * u.deg,
    )
    assert value.to_value("s-1 MeV-1 sr-1") == pytest.approx(ours.rate[1, 4, 1], rel=1e-9)


@pytest.mark.gammapy
def test_gammapy_reads_bkg_2d(folder, page, gammapy):
    theirs, row = gammapy.irf.Background2D.read(folder / "bkg_2d.fits.gz"), page["bkg_2d.fits.gz"]
    assert theirs.axes.names == ["energy", "offset"]
    assert theirs.data.shape == (4, 5)
    assert str(theirs.unit) == "1 / (MeV s sr)"
    energy, offset = (theirs.axes[axis].edges.value for axis in theirs.axes.names)
    assert_allclose(energy, energies(), rtol=2e-15)
    assert_array_equal(offset, OFFSETS)
    assert row["offset"] == list(OFFSETS)
    assert row["sum of `BKG`"][0] == pytest.approx(theirs.data.sum(), rel=PAGE)
    assert row["first and last of `BKG`"] == pytest.approx(theirs.data[[0, -1], [0, -1]], rel=PAGE)
    volume = MEV_PER_TEV * np.diff(energy)[:, None] * ring_solid_angle(offset)
    (integral,) = [row[key][-1] for key in row if key.startswith("integral")]
    assert integral == pytest.approx((theirs.data * volume).sum(), rel=PAGE)
    # Falling outwards and with energy, so that a swap shows.
    assert np.all(np.diff(theirs.data, axis=0) < 0)
    assert np.all(np.diff(theirs.data, axis=1) < 0)


def test_bkg_2d_and_3d_are_of_one_truth(folder):
    """Densities at the peak, in the first bin of energy: rings and bins are small against σ."""
    radial, cube = (
        read_bkg_2d(folder / "bkg_2d.fits.gz"),
        read_cube(folder / "bkg_3d_altaz.fits.gz"),
    )
    # Bins of 0.75 × 1 deg lose 3 to 6 % at σ of 1.5 deg.
    assert 0.93 < cube.rate[0].max() / radial.rate[0].max() < 1


@pytest.mark.gammapy
def test_gammapy_reads_events(folder, page, gammapy):
    theirs = gammapy.data.EventList.read(folder / "events.fits.gz")
    gti = gammapy.data.GTI.read(folder / "events.fits.gz")
    check_events(theirs, gti, page["events.fits.gz"])


def check_events(theirs, gti, row):
    table = theirs.table
    assert row["events"] == [len(table)]
    energy = theirs.energy.to_value("TeV")
    assert row["energies"] == pytest.approx([energy.min(), energy.max(), energy.sum()], rel=PAGE)
    radec = [theirs.radec.ra.deg.mean(), theirs.radec.dec.deg.mean()]
    assert row["mean RA, Dec"] == pytest.approx(radec, abs=5.1e-6)
    # Of times of 1e8 s, to 0.01 s: astropy's days lose less than 1e-6 s.
    start, stop, time = (
        (t - gti.time_ref).to_value("s") for t in (gti.time_start, gti.time_stop, theirs.time)
    )
    assert row["good time"][:2] == pytest.approx([start[0], stop[0]], abs=1e-5)
    assert row["first and last event"] == pytest.approx([time[0], time[-1]], abs=1e-5)
    assert start[0] < time[0] < time[-1] < stop[0]
    assert np.all(np.diff(time) >= 0)


@pytest.mark.gammapy
def test_gammapy_reads_the_store(folder, page, gammapy):
    store = gammapy.data.DataStore.from_dir(folder / "store")
    observations = store.get_observations(required_irf=["aeff"])
    assert len(observations) == 3
    rows = page["store/"]
    assert f"{sum(rows['events']):g} events in all" in rows["text"]
    n = {key: len(values) // 3 for key, values in rows.items() if key != "text"}
    for k, obs in enumerate(observations):
        row = {key: rows[key][k * n[key] : (k + 1) * n[key]] for key in n}
        check_events(obs.events, obs.gti, row)
        times = obs.observation_time_duration, obs.observation_live_time_duration
        assert row["observation time, livetime"] == pytest.approx([t.to_value("s") for t in times])
        pointing = obs.pointing.fixed_icrs
        assert row["pointing RA, Dec"] == pytest.approx([pointing.ra.deg, pointing.dec.deg])


def test_our_reader_takes_the_store(folder):
    """Numbers of events are Poisson numbers of the truth: within 4 σ, and the seed is fixed."""
    store = GadfStore(folder / "store")
    observations = store.observations(store.table)
    assert [obs.obs_id for obs in observations] == [1, 2, 3]
    for obs in observations:
        expected = RUNS.truth.total_rate(90 - obs.alt) * obs.livetime
        assert abs(len(obs.load()) - expected) < 4 * np.sqrt(expected)
