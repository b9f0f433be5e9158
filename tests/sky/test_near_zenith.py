"""A feature narrow in the camera, seen near the zenith, where the sky turns fast under it.

A sky map averaged over a run mixes the camera's orientations: events drawn from it, each taken
back to the camera at its own time, are spread along an arc. This is why the simulation draws
events in the camera, each at its own time. gammapy's sampler, which draws from such a map, is
measured beside it.
"""

import warnings
from functools import cache

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, SkyOffsetFrame
from astropy.io import fits
from astropy.time import Time
from astropy.utils import iers
from scipy.stats import chi2

from simbg.io.gadf.store import GadfStore
from simbg.observations.observation import MJDREF
from simbg.simulation.experiment import Experiment
from simbg.simulation.scenario import Scenario
from simbg.sky.pointing import Site, Tracking
from simbg.truth.gaussian import GaussianTruth

# Of each assertion about ours, for a seed not chosen after looking.
FALSE_ALARM = 1e-4
SIGMA, PEAK, INDEX = 0.25, (1.0, 0.5), 2.7
TRUTH = GaussianTruth(index=INDEX, event_rate=3.0, sigma=(SIGMA, SIGMA), peak=PEAK)
RUN = 1680.0  # s
SITES = {"south": Site(16.5002, -23.2718, 1835.0), "north": Site(-17.8920, 28.7622, 2200.0)}


def one_run(zenith, site, seed=7):
    """One run that culminates in the south at its middle, at this zenith angle."""
    pointing = {"az_range": (180, 180 + 1e-6), "alt_range": (90 - zenith - 1e-6, 90 - zenith)}
    scenario = Scenario("near zenith", truth=TRUTH, n_obs=1, ontime=RUN, site=site, **pointing)
    return Experiment(scenario, scenario.table(7), seed)


def simulate(folder, zenith, site, seed):
    """Write our run; return the path of its file and the events as the store has them."""
    one_run(zenith, site, seed).write(folder)
    store = GadfStore(folder)
    return store.hdu_index.place(1, "events")[0], store.observations(store.table)[0].events()


@cache
def iers_table():
    return iers.IERS_A.open(iers.IERS_A_FILE)


def camera_by_astropy(path):
    """fov_lon and fov_lat in deg of a file's events, by astropy's frames alone."""
    with fits.open(path) as file:
        header, data = file["EVENTS"].header, file["EVENTS"].data
        time, ra, dec = (np.asarray(data[name], float) for name in ("TIME", "RA", "DEC"))
    zero = Time(header["MJDREFI"], header["MJDREFF"], format="mjd", scale="tt")
    where = EarthLocation.from_geodetic(
        header["GEOLON"] * u.deg, header["GEOLAT"] * u.deg, header["ALTITUDE"] * u.m
    )
    frame = AltAz(obstime=zero + time * u.s, location=where)
    with iers.earth_orientation_table.set(iers_table()):
        pointing = SkyCoord(header["RA_PNT"] * u.deg, header["DEC_PNT"] * u.deg)
        offset = SkyOffsetFrame(origin=pointing.transform_to(frame))
        seen = SkyCoord(ra * u.deg, dec * u.deg).transform_to(frame).transform_to(offset)
    return -seen.lon.wrap_at("180d").deg, seen.lat.deg


def width(lon, lat):
    """One σ along each direction about the true peak, deg; of ours to 1 / (2 √n)."""
    return np.sqrt(0.5 * np.mean((lon - PEAK[0]) ** 2 + (lat - PEAK[1]) ** 2))


def has_own_width(lon, lat):
    """Whether the width is the truth's, which is χ² of 2 n degrees of freedom."""
    n = len(lon)
    low, high = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], 2 * n)
    return low < 2 * n * (width(lon, lat) / SIGMA) ** 2 < high


def has_own_place(lon, lat):
    """Whether the centre is the truth's, which is χ² of 2 degrees of freedom."""
    moved = np.square(lon.mean() - PEAK[0]) + np.square(lat.mean() - PEAK[1])
    return len(lon) * moved / SIGMA**2 < chi2.ppf(1 - FALSE_ALARM, 2)


@pytest.mark.parametrize("hemisphere", SITES)
@pytest.mark.parametrize("zenith", [0.5, 3.0, 20.0])
def test_ours_keeps_its_width(tmp_path, zenith, hemisphere):
    """With 4100–4600 events the width is known to 0.8 %; one wrong by 4 % fails, 9 times in 10."""
    path, events = simulate(tmp_path / "store", zenith, SITES[hemisphere], seed=1)
    assert len(events) > 3500
    assert has_own_width(events.fov_lon, events.fov_lat)
    assert has_own_place(events.fov_lon, events.fov_lat)
    # The same without a line of ours on the way back.
    lon, lat = camera_by_astropy(path)
    assert has_own_width(lon, lat)
    assert has_own_place(lon, lat)
    # The control: one time for all events. At 20 deg this makes 0.260, too little to be sure of.
    if zenith <= 3:
        smeared = events.pointing.sky_to_fov(events.ra, events.dec, events.gti.mean())
        assert not has_own_width(*smeared)
        assert width(*smeared) > 1.5 * SIGMA  # 1.9 at zenith 3 deg, 3.6 at 0.5


def two_times(tracking, n_events, rng):
    """The camera's places of events drawn at one time of the run and recorded at another.

    This is what a sampler from a map averaged over the run makes.
    """
    lon, lat = (peak + SIGMA * rng.standard_normal(n_events) for peak in PEAK)
    drawn, recorded = rng.uniform(0, RUN, (2, n_events))
    return tracking.sky_to_fov(*tracking.fov_to_sky(lon, lat, drawn), recorded)


def background_irf():
    """The feature as a gammapy background, aligned with ALTAZ."""
    from gammapy.irf import Background3D
    from gammapy.maps import MapAxis

    energy = MapAxis.from_energy_bounds("0.1 TeV", "100 TeV", 3)
    edges = np.linspace(-2.5, 2.5, 51)
    axes = [MapAxis.from_edges(edges, unit="deg", name=f"fov_{name}") for name in ("lon", "lat")]
    lon, lat = (axis.center.value - peak for axis, peak in zip(axes, PEAK, strict=True))
    feature = np.exp(-0.5 * (lon[:, None] ** 2 + lat**2) / SIGMA**2)
    spectrum = energy.center.value[:, None, None] ** -INDEX
    return Background3D(
        [energy, *axes], data=spectrum * feature, unit="s-1 MeV-1 sr-1", fov_alignment="ALTAZ"
    )


def gammapy_observation(tracking, zero):
    from gammapy.data import FixedPointingInfo, Observation
    from gammapy.irf import EffectiveAreaTable2D
    from gammapy.maps import MapAxis

    energy = MapAxis.from_energy_bounds("0.1 TeV", "100 TeV", 3, name="energy_true")
    site = tracking.site
    where = EarthLocation.from_geodetic(site.lon * u.deg, site.lat * u.deg, site.height * u.m)
    return Observation.create(
        pointing=FixedPointingInfo(fixed_icrs=SkyCoord(tracking.ra, tracking.dec, unit="deg")),
        location=where,
        tstart=0 * u.s,
        tstop=RUN * u.s,
        reference_time=zero,
        irfs={
            "bkg": background_irf(),
            "aeff": EffectiveAreaTable2D.from_parametrization(energy),  # its map maker wants one
        },
    )


def gammapy_events(zenith, n_events=4000, seed=3):
    """A `Tracking`, and places in its camera of events by gammapy's own sampler, deg."""
    from gammapy.datasets import MapDataset, MapDatasetEventSampler
    from gammapy.makers import MapDatasetMaker
    from gammapy.maps import MapAxis, WcsGeom

    row = one_run(zenith, SITES["south"]).runs[0]
    zero = Time(MJDREF + row["TSTART"] / 86400, format="mjd", scale="tt")
    tracking = Tracking(float(row["RA_PNT"]), float(row["DEC_PNT"]), SITES["south"], zero.mjd)
    observation = gammapy_observation(tracking, zero)
    energy = MapAxis.from_energy_bounds("0.2 TeV", "50 TeV", 2)
    pointing = observation.pointing.fixed_icrs
    geom = WcsGeom.create(skydir=pointing, binsz=0.1, width=5, axes=[energy])
    true = MapAxis.from_energy_bounds("0.2 TeV", "50 TeV", 2, name="energy_true")
    empty = MapDataset.create(geom, energy_axis_true=true, name="near zenith")
    maker = MapDatasetMaker(selection=["background"], fov_rotation_step=2 * u.deg)
    dataset = maker.run(empty, observation)
    dataset.background.data *= n_events / dataset.background.data.sum()
    sampler = MapDatasetEventSampler(random_state=seed, keep_mc_id=False)
    table = sampler.sample_background(dataset)
    ra, dec = (table[name].quantity.to_value("deg") for name in ("RA", "DEC"))
    time = (Time(table["TIME"]) - zero).to_value("s")
    return tracking, tracking.sky_to_fov(ra, dec, time)


@pytest.mark.gammapy
@pytest.mark.parametrize("zenith", [3.0, 40.0])
def test_gammapy_smears_near_the_zenith(zenith):
    """Of 0.25 deg it makes 0.61 at zenith 3 deg and 0.26 at 40: measured, not required.

    (And 1.06 at 0.5 deg, 0.46 at 5, 0.32 at 10, 0.27 at 20, 3 seeds each.)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gammapy's own imports
        pytest.importorskip("gammapy.datasets")
        tracking, places = gammapy_events(zenith)
    measured = width(*places)
    if zenith == 3:
        assert measured > 2 * SIGMA
    else:
        assert measured < 1.08 * SIGMA
    # The reason, in numbers: 1 % for 4000 events, 1 % for the map's pixels of 0.1 deg.
    expected = width(*two_times(tracking, 100_000, np.random.default_rng(4)))
    assert measured == pytest.approx(expected, rel=0.05)
