"""BAccMod 0.4.1 beside GADF (gamma-astro-data-formats 0.3): a minimal script for each finding.

Events stand where we put them, so what a model must be is known exactly. Each finding asserts
what GADF asks for and is expected to fail; the rest is what BAccMod does right.
"""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table, vstack

from simbg.axes import Axes
from simbg.io.gadf.store import GadfStore
from simbg.io.gadf.writer import GadfWriter
from simbg.observations.observation import Events, pointing_of
from simbg.reconstruction.contract import check_cube
from simbg.simulation.scenario import HESS_SITE, Scenario
from simbg.simulation.schedule import rows_of
from simbg.sky.regions import circle
from simbg.validation.conformance.findings import check_attempts
from simbg.validation.conformance.stores import AXES, VARIANTS, write_variant
from simbg.validation.methods.adapters.baccmod import Grid3D, Radial, Zenith
from simbg.validation.methods.isolation import Attempt

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of their own imports
    baccmod = pytest.importorskip("baccmod", reason="BAccMod is not installed: nox -s adapters")
    from gammapy.data import DataStore
    from gammapy.maps import MapAxis
    from regions import CircleSkyRegion, RectangleSkyRegion

pytestmark = [
    pytest.mark.gammapy,
    pytest.mark.filterwarnings("ignore"),  # theirs are about their imports and headers
]

ONTIME, DEADC = 1000.0, 0.8
ENERGY = 0.1, 1.0, 10.0, 100.0
OFFSET = np.linspace(0, 3, 7)
# Steps of the field's turn in time: finer ones change nothing here and take minutes.
QUICK = {"max_fraction_pixel_rotation_fov": 5.0, "time_resolution": 10 * u.s}
# Arithmetic of sums in float32 maps, and flat solid angles within 1.5 deg of the equator.
EXACT = 5e-4
# A place, in pixel (0, 8, 6): fov_lon 1 to 1.5, fov_lat 0 to 0.5 deg, 0.1 to 1 TeV.
PLACE, PIXEL = (1.2, 0.3, 0.5), (0, 8, 6)


def table_of(n_obs=1, az=120.0, alt=50.0, **how):
    """Runs at an altitude and azimuth, the same every time."""
    how = {"ontime": ONTIME, "deadtime_fraction": 1 - DEADC} | how
    ranges = {"az_range": (az, az + 0.01), "alt_range": (alt, alt + 0.01)}
    return Scenario("baccmod", energy_threshold=ENERGY[0], **ranges, **how).table(0, n_obs)


def write(folder, table, *runs):
    """A store in which each run has events at (fov_lon, fov_lat, energy, s since its start)."""
    writer = GadfWriter(folder, HESS_SITE)
    for row, events in zip(rows_of(table), runs, strict=True):
        lon, lat, energy, time = np.array(events, float).reshape(-1, 4).T
        writer.write_run(row, Events(energy, lon, lat, row["TSTART"] + time))
    writer.write_index(table)
    return folder


def creator(kind="Grid3D", offset=OFFSET, regions=(), **settings):
    axes = (
        MapAxis.from_energy_edges(ENERGY * u.TeV, name="energy"),
        MapAxis.from_edges(offset * u.deg, name="offset"),
    )
    regions = [
        CircleSkyRegion(SkyCoord(r.ra, r.dec, unit="deg"), r.radius * u.deg) for r in regions
    ]
    creators = {
        "Grid3D": baccmod.Grid3DAcceptanceMapCreator,
        "Radial": baccmod.RadialAcceptanceMapCreator,
    }
    return creators[kind](*axes, exclude_regions=regions, **QUICK, **settings)


def observations(folder):
    return DataStore.from_dir(folder).get_observations(required_irf="all-optional")


def build(folder, *args, **how):
    """One model of all runs."""
    return creator(*args, **how).create_acceptance_model(observations(folder))


def events_in(model, seconds):
    """What a BKG_3D predicts in each bin, by its definition: rate · time · ΔE · ΔΩ."""
    edges = [model.axes[name].edges for name in ("energy", "fov_lon", "fov_lat")]
    axes = Axes(*(e.to_value(unit) for e, unit in zip(edges, ("TeV", "deg", "deg"), strict=True)))
    return model.quantity.to_value("s-1 MeV-1 sr-1") * axes.volume * seconds


def finding(reason, raises=AssertionError):
    """Expected to fail, and as it is said: any other error is one of this file."""
    return pytest.mark.xfail(strict=True, reason=reason, raises=raises)


# What it does right.


def test_axes_signs_and_units(tmp_path):
    """GADF: fov_lon grows with decreasing azimuth, fov_lat with altitude; s-1 MeV-1 sr-1."""
    places = {(1.2, 0.3, 0.5): (0, 8, 6), (-2.2, 1.3, 3.0): (1, 1, 8), (0.3, -2.7, 30.0): (2, 6, 0)}
    events = [(*place, 10 * k) for k, place in enumerate(places) for _ in range(k + 1)]
    model = build(write(tmp_path, table_of(), events))
    assert list(model.axes.names) == ["energy", "fov_lon", "fov_lat"]
    assert model.fov_alignment.value == "ALTAZ"
    found, expected = events_in(model, ONTIME * DEADC), np.zeros((3, 12, 12))
    for k, pixel in enumerate(places.values()):
        expected[pixel] = k + 1
    np.testing.assert_allclose(found, expected, rtol=2e-3)  # pixels are flat: 0.11 % at 2.7 deg
    for wrong in (found[:, ::-1], found[:, :, ::-1], found.swapaxes(1, 2), found[::-1]):
        assert not np.allclose(wrong, expected, rtol=2e-3)


def test_dead_time_of_each_run(tmp_path):
    """Runs of different dead time are weighed by their livetimes."""
    table = table_of(2)
    table["DEADC"], table["LIVETIME"] = [0.9, 0.3], np.array([900.0, 300.0]) * u.s
    model = build(write(tmp_path, table, [(*PLACE, 5)] * 3, [(*PLACE, 5)]))
    assert events_in(model, 1200.0)[PIXEL] == pytest.approx(4, rel=EXACT)


def test_what_is_excluded_is_not_known_and_what_is_empty_is_0(tmp_path):
    """A mask stays where it is in the sky while the field turns; nothing is said behind it."""
    table = table_of()
    [row] = rows_of(table)
    ra, dec = pointing_of(row, HESS_SITE).fov_to_sky(-1.25, 2.25, row["TSTART"] + ONTIME / 2)
    region = circle(float(ra), float(dec), 0.6)
    model = build(write(tmp_path, table, [(*PLACE, 5), (-1.25, 2.25, 0.5, 500)]), regions=[region])
    found = events_in(model, ONTIME * DEADC)
    unknown = np.isnan(found)
    assert unknown[:, 3, 10].all()
    assert unknown.sum() == 3
    assert found[PIXEL] == pytest.approx(1, rel=EXACT)
    assert np.count_nonzero(found[~unknown]) == 1


def test_good_time_counts_as_it_is_without_masks(tmp_path):
    """GADF: the time of a run is the sum of its good time intervals."""
    table = table_of(n_gti=3, gti_gap=600.0)
    events = [(*PLACE, time) for time in (100, 1200, 2100)]
    assert events_in(build(write(tmp_path, table, events)), ONTIME * DEADC)[PIXEL] == (
        pytest.approx(3, rel=EXACT)
    )


def test_runs_without_events_count_as_exposure(tmp_path):
    folder = write(tmp_path, table_of(2), [], [(*PLACE, 5)] * 4)
    assert events_in(build(folder), 2 * ONTIME * DEADC)[PIXEL] == pytest.approx(4, rel=EXACT)


def test_regions_that_it_cannot_exclude_are_refused(tmp_path):
    """Not GADF's matter: circles and ellipses are all, and it says so."""
    maker = creator()
    center = SkyCoord(10.0, 20.0, unit="deg")
    maker.exclude_regions = [RectangleSkyRegion(center, 1 * u.deg, 2 * u.deg)]
    folder = write(tmp_path, table_of(), [(*PLACE, 5)])
    with pytest.raises(Exception, match=r"RectangleSkyRegion.* region type not supported"):
        maker.create_acceptance_model(observations(folder))


# What it does not.


@finding("the rate is divided by the livetime, GTIs times DEADC: 1 / DEADC too large")
def test_rate_is_per_observation_time(tmp_path):
    """GADF: a background rate is per observation time, with no correction of dead time."""
    model = build(write(tmp_path, table_of(), [(*PLACE, 5)] * 8))
    assert events_in(model, ONTIME)[PIXEL] == pytest.approx(8, rel=EXACT)


@finding("pixels are ΔDETX · ΔDETY: the rate is cos(fov_lat) too small, 0.24 % at 4 deg")
def test_solid_angle_is_that_of_the_sphere(tmp_path):
    """GADF: fov_lon and fov_lat are spherical coordinates about the pointing; rates are per sr."""
    offset = np.linspace(0, 4, 5)
    model = build(write(tmp_path, table_of(), [(0.5, 3.5, 0.5, 5)] * 8), offset=offset)
    # Sums of float32: 1e-5.
    assert events_in(model, ONTIME * DEADC)[0, 4, 7] == pytest.approx(8, rel=1e-4)


@finding("events are counted between edges rounded to 0.001 deg, rates made between the others")
def test_events_are_counted_between_the_edges_of_the_model(tmp_path):
    """GADF: a bin is what lies between its own DETX_LO and DETX_HI."""
    offset = 0.2504 * np.arange(9)
    model = build(write(tmp_path, table_of(), [(0.2502, 0.1, 0.5, 5)] * 8), offset=offset)
    assert np.argwhere(model.data > 0).tolist() == [[0, 8, 8]]


@finding("all events of the file are counted, those outside of its GTIs, too")
def test_events_outside_of_good_time_do_not_count(tmp_path):
    """GADF: what counts of the events is what lies in the good time intervals of the run."""
    table = table_of(n_gti=2, gti_gap=600.0)
    events = [(*PLACE, time) for time in (-50, 100, 800, 1400, 1700)]
    model = build(write(tmp_path, table, events))
    assert events_in(model, ONTIME * DEADC)[PIXEL] == pytest.approx(2, rel=EXACT)


@finding("masks are placed between the start and stop of the first GTI alone: the rate is infinite")
def test_masks_turn_through_all_good_time(tmp_path):
    """GADF: all good time intervals of a run are exposure, not the first alone."""
    table = table_of(alt=80.0, n_gti=2, gti_gap=3600.0)
    [row] = rows_of(table)
    pointing = pointing_of(row, HESS_SITE)
    first, last = row["TSTART"] + 250.0, row["TSTOP"] - 250.0
    ra, dec = map(float, pointing.fov_to_sky(1.25, 0.25, first))
    # It is there in the first interval, and far away in the second.
    lon, lat = pointing.sky_to_fov(ra, dec, last)
    assert np.hypot(lon - 1.25, lat - 0.25) > 0.6 + 0.5
    events = [(*PLACE, last - row["TSTART"])] * 4
    model = build(write(tmp_path, table, events), regions=[circle(ra, dec, 0.6)])
    # Half of the time is exposed.
    assert events_in(model, ONTIME * DEADC)[PIXEL] == pytest.approx(8, rel=0.01)


@finding("thresholds are ignored: a run is taken for exposed where it has no events by choice")
def test_no_exposure_below_the_threshold_of_a_run(tmp_path):
    """GADF: below LO_THRES the response of a run is not to be used, as SAFE_ENERGY_LO says here."""
    table = table_of(2)
    table["SAFE_ENERGY_LO"] = np.array([0.1, 1.0]) * u.TeV
    model = build(write(tmp_path, table, [(*PLACE, 5)] * 4, []))
    assert events_in(model, ONTIME * DEADC)[PIXEL] == pytest.approx(4, rel=EXACT)


@finding("the map of counts is made about fixed_icrs, which a drifting run has not: all is 0")
def test_radial_model_of_a_drifting_run(tmp_path):
    """GADF: with OBS_MODE DRIFT the pointing is ALT_PNT and AZ_PNT; a run is a run."""
    table = table_of()
    table["OBS_MODE"] = ["DRIFT"]
    folder = write(tmp_path, table, [(*PLACE, time) for time in range(50, 950, 100)])
    assert events_in(build(folder), ONTIME * DEADC)[PIXEL] == pytest.approx(9, rel=EXACT)
    assert build(folder, "Radial").data.sum() > 0


@finding("its counts come from a maker that asks the effective area for its meta", AttributeError)
def test_radial_model_needs_no_effective_area(tmp_path):
    """GADF: the rate is one of counts; it has nothing to do with the effective area."""
    folder = write(tmp_path, table_of(), [(*PLACE, 5)])
    index = Table.read(folder / "hdu-index.fits.gz")
    assert build(folder, "Radial").data.sum() > 0
    index = index[[kind.strip() != "aeff" for kind in index["HDU_TYPE"]]]
    index.write(folder / "hdu-index.fits.gz", overwrite=True)
    assert build(folder).data.sum() > 0
    assert build(folder, "Radial").data.sum() > 0


@finding("a ring is the sum of the pixels that have their centre in it: off by up to 0.6 %")
def test_radial_model_of_a_flat_field_is_flat(tmp_path):
    """GADF: the rate between THETA_LO and THETA_HI is per solid angle of this ring."""
    step = 0.025  # deg: each pixel of BAccMod's map has four events
    places = step * (np.arange(-100, 100) + 0.5)
    lon, lat = (values.ravel() for values in np.meshgrid(places, places))
    events = np.transpose([lon, lat, np.full(lon.size, 0.5), np.linspace(1, 999, lon.size)])
    model = build(write(tmp_path, table_of(), events), "Radial", offset=OFFSET[:5])
    mev = 1e6 * (ENERGY[1] - ENERGY[0])
    expected = 1 / (np.radians(step) ** 2 * mev * ONTIME * DEADC)
    # A flat field in fov_lon and fov_lat is one on the sky to 1 / cos(2 deg).
    np.testing.assert_allclose(model.quantity.to_value("s-1 MeV-1 sr-1")[0], expected, rtol=1e-3)


@finding("models of runs that cross the meridian are merged without their alignment: RADEC")
def test_merged_model_is_still_aligned_with_altaz(tmp_path):
    """GADF: FOVALIGN says in which frame a model is; this one is made in ALTAZ."""
    tables = [table_of(az=az) for az in (120.0, 180.0, 240.0)]
    for number, table in enumerate(tables, start=1):
        table["OBS_ID"] = number
    events = [(*PLACE, time) for time in (5, 200, 700, 900)]
    folder = write(tmp_path, vstack(tables), events, events, events)
    models = creator(azimuth_east_west_splitting=True).create_acceptance_map_per_observation(
        observations(folder), runwise_normalisation=False
    )
    assert [models[n].fov_alignment.value for n in (1, 2, 3)] == ["ALTAZ"] * 3


@finding("where a model has empty bins the fit of a run's norm fails, and 0 is taken for it")
def test_model_of_a_run_predicts_its_events(tmp_path):
    """GADF: the model of a run is its absolute rate; BAccMod fits its norm to the run's events."""
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-2, 2, (2, 200))
    events = np.transpose([lon, lat, np.full(200, 0.5), np.linspace(1, 999, 200)])
    folder = write(tmp_path, table_of(2), events, events)
    models = creator().create_acceptance_map_per_observation(observations(folder))
    # A fitted norm makes the sum right; gammapy's interpolation may take its part.
    assert events_in(models[1], ONTIME).sum() == pytest.approx(200, rel=0.5)


@finding("a line through two bins of zenith is cut at 0: 2 % too many events in all")
def test_models_of_runs_predict_all_events(tmp_path):
    """GADF: the models of runs are their rates, so together they predict what was counted."""
    tables = [table_of(alt=alt, ontime=2500.0) for alt in (50.0, 52.0, 68.0, 70.0)]
    for number, table in enumerate(tables, start=1):
        table["OBS_ID"] = number
    # Two bins of an hour and more; what is seen is seen in the lower.
    folder = write(tmp_path, vstack(tables), *[[(*PLACE, 5)] * 4] * 2, [], [])
    models = creator().create_acceptance_map_per_observation(
        observations(folder), zenith_interpolation=True, runwise_normalisation=False
    )
    found = sum(events_in(model, 2500.0 * DEADC)[PIXEL] for model in models.values())
    assert found == pytest.approx(8, rel=EXACT)


@finding("what the runs of one bin of zenith never see is unknown in the models of all runs")
def test_models_know_what_their_runs_have_seen(tmp_path):
    """GADF has no word for unknown: a model of NaN predicts nothing where its run has events."""
    tables = [table_of(alt=alt, ontime=2500.0) for alt in (50.0, 52.0, 68.0, 70.0)]
    for number, table in enumerate(tables, start=1):
        table["OBS_ID"] = number
    folder = write(tmp_path, vstack(tables), *[[(-1.25, 2.25, 0.5, 5)] * 4] * 2, [], [])
    regions = []
    for row in rows_of(vstack(tables[2:])):
        middle = row["TSTART"] + 1250.0
        ra, dec = pointing_of(row, HESS_SITE).fov_to_sky(-1.25, 2.25, middle)
        regions.append(circle(float(ra), float(dec), 1.2))
    maker = creator(regions=regions)
    # The runs that see the pixel do know it by themselves.
    seen = maker.create_acceptance_model(observations(folder)[:2])
    assert events_in(seen, 5000.0 * DEADC)[0, 3, 10] == pytest.approx(8, rel=2e-3)
    models = maker.create_acceptance_map_per_observation(
        observations(folder), zenith_interpolation=True, runwise_normalisation=False
    )
    found = sum(events_in(models[number], 2500.0 * DEADC)[0, 3, 10] for number in (1, 2))
    assert np.isfinite(found)


@finding("the way of the edge is taken π times too long, so that steps are π times too many")
def test_steps_in_time_are_as_long_as_asked_for(tmp_path):
    """Not GADF but its manual: how far, in pixels, the field may turn in one step."""
    folder = write(tmp_path, table_of(az=179.0, alt=70.0), [(*PLACE, 5)])
    [observation] = observations(folder)
    maker = creator()
    times = maker._compute_time_intervals_based_on_fov_rotation(observation)
    [row] = rows_of(table_of(az=179.0, alt=70.0))
    pointing = pointing_of(row, HESS_SITE)
    ra, dec = pointing.fov_to_sky(0.0, OFFSET[-1], row["TSTART"])
    lon, lat = pointing.sky_to_fov(ra, dec, np.linspace(row["TSTART"], row["TSTOP"], 100))
    way = np.hypot(np.diff(lon), np.diff(lat)).sum()
    step = QUICK["max_fraction_pixel_rotation_fov"] * maker.spatial_bin_size.to_value("deg")
    assert len(times) - 1 <= np.ceil(way / step) + 1


# What the conformance suite says of it: the scripts above are its findings, one by one.


TRIED = ("plain", "less alive", "strays", "thresholds", "turning masks")
WHY = {
    "clock": "the rate is per livetime, but the cube states per ontime",
    "good time": "the rate is 2.000 of",
    "thresholds": "exposed below its threshold",
    "turning masks": "wrong position",
}


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    """Runs of some stores of the suite."""
    folder, runs = tmp_path_factory.mktemp("trials"), {}
    for name in TRIED:
        store = GadfStore(write_variant(folder, 0, name))
        opened = store.observations(store.table)
        runs[name] = [replace(run, excluded=VARIANTS[name].regions) for run in opened]
    return runs


@pytest.mark.parametrize("method", [Grid3D(), Radial(), Zenith()], ids=lambda method: method.name)
def test_what_the_conformance_suite_finds(trials, method):
    made = {
        name: Attempt(check_cube(method.reconstruct(runs, AXES), AXES), "", 0.0, 0.0)
        for name, runs in trials.items()
    }
    failed = {f.name: f.text for f in check_attempts(made, 0) if f.status == "fail"}
    # Rings are too wide for a mask to be seen turning.
    expected = WHY if method.name != "baccmod-radial" else {k: WHY[k] for k in list(WHY)[:3]}
    assert set(failed) == set(expected)
    for name, text in expected.items():
        assert text in failed[name]
    # By the clock that it has it is right.
    made = {name: replace(m, cube=replace(m.cube, clock="livetime")) for name, m in made.items()}
    assert {f.name for f in check_attempts(made, 0) if f.status == "fail"} == set(expected) - {
        "clock"
    }
