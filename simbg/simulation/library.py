"""Library: the scenarios that the suite runs, and what each of them tests."""

from dataclasses import replace

from simbg.simulation.scenario import Scenario
from simbg.sky.regions import circle
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.shaped import ShapedTruth
from simbg.truth.sources import GammaSource

__all__ = ["SCENARIOS"]

REALISTIC = GaussianTruth(index=2.7, event_rate=7.0, peak=(0.3, -0.5))
STEADY = replace(REALISTIC, zenith_slope=0.0)
# Where zenith angles matter, as in H.E.S.S. DR1: above 1 TeV the rate rises with them, the total
# falls.
ROLLING = ShapedTruth(replace(STEADY, event_rate=8.0), zenith_power=1.5, zenith_hardening=1.0)
# A target that culminates 17 deg from the zenith of the H.E.S.S. site, and sources near it.
TARGET = (83.0, -40.0)
SOURCES = (
    GammaSource("point", *TARGET, flux=4e-11, index=2.4),
    GammaSource("extended", 84.1, -39.3, flux=3e-11, index=2.2, extension=0.2),
)
# 2 % of a point source's events lie 0.22 deg off, 0.4 % of the extended one's 0.7 deg.
MASKS = (circle(*TARGET, 0.4), circle(84.1, -39.3, 0.75))
ANYWHERE = {"truth": REALISTIC, "alt_range": (45.0, 90.0), "az_range": (0.0, 360.0)}
ON_TARGET = {"truth": REALISTIC, "sources": SOURCES, "regions": MASKS}
ON_TARGET |= {"target": TARGET, "alt_range": (50.0, 73.0), "n_obs": 24}
PER_RUN = {"n_obs": 40, "per_run": True}
ALL = (
    Scenario(
        "seed-2015",
        "The 2015 example",
        "Index 1.5 in 2015's words is 2.5 of the rate; 300 Hz make most bins rich in events.",
        truth=GaussianTruth(index=2.5, normalization="center", event_rate=300.0),
        ontime=1800.0,
        deadtime_fraction=1 / 6,
    ),
    Scenario(
        "realistic",
        "A realistic background",
        "Index 2.7 and 7 Hz, as H.E.S.S. sees them after selection; zenith angles to 45 deg. "
        "The peak lies off the centre, as gradients of some % / deg have it, so that no flip "
        "and no swap goes unseen.",
        **ANYWHERE,
    ),
    Scenario(
        "night",
        "One night",
        "Eight runs: most bins are empty, and 2015's binning coarsens.",
        n_obs=8,
        **ANYWHERE,
    ),
    Scenario(
        "threshold-bin",
        "A threshold inside a bin",
        "20 runs from 0.15 TeV on: a bin is exposed in part, which 2015 took for the whole.",
        truth=REALISTIC,
        n_obs=20,
        energy_threshold=0.15,
    ),
    Scenario(
        "ring",
        "A ring at high energy",
        "Hollow above 5 TeV, as H.E.S.S. sees it: nothing that falls outwards fits.",
        truth=ShapedTruth(replace(REALISTIC, event_rate=20.0), ring_depth=0.94),
        n_obs=30,
    ),
    Scenario(
        "curved",
        "A curved spectrum",
        "The local index rises from 1.9 at 0.1 TeV to 3.5 at 100 TeV.",
        truth=ShapedTruth(replace(REALISTIC, event_rate=12.0), curvature=0.12),
        n_obs=30,
    ),
    Scenario(
        "gradient",
        "A gradient",
        "9 % / deg along fov_lat, 4 % along fov_lon, where real ones are steepest.",
        truth=ShapedTruth(GaussianTruth(index=2.7, event_rate=7.0), gradient=(-0.04, 0.09)),
        n_obs=30,
    ),
    Scenario(
        "dead-camera",
        "Dead drawers in the camera",
        "Two dead rectangles of the camera: a hole in the background, which smoothing fills.",
        truth=ShapedTruth(REALISTIC, dead=((-1.2, -0.45, 0.3, 1.1), (1.5, 2.1, -2.0, -0.9))),
        n_obs=30,
    ),
    Scenario(
        "zenith",
        "Zenith angles to 60 deg",
        "Above 1 TeV the rate rises with the zenith angle and the total falls: one cube for "
        "all runs is biased for each.",
        truth=ROLLING,
        alt_range=(30.0, 90.0),
        **PER_RUN,
    ),
    Scenario(
        "rolling-threshold",
        "A threshold that rolls with zenith",
        "Events turn on at 0.15 TeV overhead and 0.6 TeV at 55 deg; each run has its own "
        "threshold, mostly inside a bin.",
        truth=replace(ROLLING, turn_on_energy=0.13, turn_on_zenith=2.5, turn_on_power=6.0),
        alt_range=(35.0, 90.0),
        energy_threshold=0.26,
        threshold_power=2.5,
        **PER_RUN,
    ),
    Scenario(
        "run-scatter",
        "Runs that differ",
        "Factors with a scatter of 8.6 %, as in H.E.S.S. DR1: each run needs its own norm.",
        truth=STEADY,
        run_scatter=0.086,
        **PER_RUN,
    ),
    Scenario(
        "source",
        "Sources behind masks",
        "Wobbled runs on a point source and an extended one, both behind masks that turn "
        "through the field and overlap.",
        **ON_TARGET,
    ),
    Scenario(
        "source-ignored",
        "Sources without masks",
        "The same runs, nothing masked: the sources are taken for background.",
        ignored="nothing masks the gamma-ray sources in the field",
        must_fail=("point_source", "norm"),
        **ON_TARGET | {"regions": ()},
    ),
    Scenario(
        "mask-too-small",
        "Masks that are too small",
        "The same runs, masks of one point-spread function: a third of the events leak out.",
        ignored="the masks are as small as the point spread function",
        must_fail=("point_source",),
        **ON_TARGET | {"regions": (circle(*TARGET, 0.12), circle(84.1, -39.3, 0.3))},
    ),
    Scenario(
        "near-zenith",
        "A track through the zenith",
        "The field turns by up to 180 deg in a run; a narrow background must keep its width, "
        "and a mask its place.",
        truth=replace(STEADY, index=2.5, sigma=(1.0, 1.4), peak=(0.7, -0.4)),
        n_obs=24,
        target=(120.0, -23.6),
        wobble=0.5,
        alt_range=(86.5, 90.0),
        regions=(circle(120.0, -23.6, 0.3), circle(121.2, -22.9, 0.25)),
    ),
    Scenario(
        "drift",
        "Telescopes that stand still",
        "Drift scans: the sky, sources and masks go through the field at up to 15 deg an hour.",
        drift=True,
        **ON_TARGET,
    ),
    Scenario(
        "broken-runs",
        "Interrupted runs",
        "Three good time intervals a run, dead times of 5 to 30 %, a rate that drifts by a "
        "quarter an hour, and masks.",
        n_gti=3,
        gti_gap=240.0,
        deadtime_fraction=(0.05, 0.3),
        rate_drift=0.25,
        **ON_TARGET,
    ),
)
SCENARIOS = {scenario.name: scenario for scenario in ALL}
