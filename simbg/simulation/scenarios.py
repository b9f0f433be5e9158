"""Scenarios: a truth, the runs that see it, and why it is worth a look."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from json import dumps
from pathlib import Path

import numpy as np
from astropy import units as u

from simbg.simulation.schedule import make_observation_table
from simbg.simulation.simulate import expected_stack, named_rng, observe
from simbg.sky.pointing import Site
from simbg.sky.regions import circle
from simbg.truth.from_file import CubeTruth
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.shaped import ShapedTruth
from simbg.truth.sources import GammaSource

__all__ = ["HESS_SITE", "SCENARIOS", "Scenario", "from_file"]

HESS_SITE = Site(16.5002222, -23.2717778, 1835.0)


@dataclass(frozen=True)
class Scenario:
    """A truth and the runs that see it.

    Parameters
    ----------
    name, title, why : str
    truth : GaussianTruth, ShapedTruth or CubeTruth
    n_obs : int
    alt_range, az_range : tuple of float
        deg
    ontime : float
        s, of each run.
    deadtime_fraction : float or tuple of float
        Two numbers: uniform between them, run by run.
    energy_threshold, threshold_power : float
        That of a run is ``energy_threshold`` · cos(zenith)^−``threshold_power``, TeV.
    site : Site
    target, wobble, n_gti, gti_gap
        See `simbg.simulation.schedule.make_observation_table`.
    sources : tuple of GammaSource
        What shines besides the background.
    regions : tuple of simbg.sky.regions.Region
        What is excluded from the reconstruction.
    run_scatter : float
        σ of the logarithm of the runs' factors on the background.
    rate_drift : float
        Relative change of the rate per hour, in each run.
    drift : bool
        The telescopes stand still: the sky drifts through, and the target is there at mid-run.
    per_run : bool
        Whether runs differ so much that each needs a model of its own.
    ignored : str
        An effect that the reconstruction ignores here, so that it fails as is calculated.
    must_fail : tuple of str
        The metrics that must say so.

    Examples
    --------
    >>> night = SCENARIOS["night"]
    >>> table = night.table(seed=0)
    >>> len(table), night.truth.index
    (8, 2.7)
    >>> runs = night.observe(table, seed=0)
    >>> len(runs)
    8
    """

    name: str
    title: str = ""
    why: str = ""
    truth: object = field(default_factory=GaussianTruth)
    n_obs: int = 100
    alt_range: tuple[float, float] = (72.0, 90.0)
    az_range: tuple[float, float] = (90.0, 270.0)
    ontime: float = 1680.0
    deadtime_fraction: float | tuple[float, float] = 0.09
    energy_threshold: float = 0.1
    threshold_power: float = 0.0
    site: Site = HESS_SITE
    target: tuple[float, float] | None = None
    wobble: float = 0.7
    n_gti: int = 1
    gti_gap: float = 0.0
    sources: tuple = ()
    regions: tuple = ()
    run_scatter: float = 0.0
    rate_drift: float = 0.0
    drift: bool = False
    per_run: bool = False
    ignored: str = ""
    must_fail: tuple[str, ...] = ()

    @property
    def digest(self):
        """Changes whenever anything that decides the outcome does."""
        facts = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in ("title", "why", "ignored", "must_fail")
        }
        if not self.drift:  # younger than the numbers that are kept of the others
            del facts["drift"]
        return sha256(dumps(facts, sort_keys=True, default=_plain).encode()).hexdigest()[:12]

    def table(self, seed, n_obs=None):
        """The observation table of a seed, with SAFE_ENERGY_LO and what is not for all eyes."""
        table = make_observation_table(
            n_obs or self.n_obs,
            named_rng(seed, self.name + " runs"),
            self.site,
            az_range=self.az_range,
            alt_range=self.alt_range,
            ontime=self.ontime,
            deadtime_fraction=self.deadtime_fraction,
            target=self.target,
            wobble=self.wobble,
            n_gti=self.n_gti,
            gti_gap=self.gti_gap,
        )
        cosine = np.cos(np.deg2rad(np.asarray(table["ZEN_PNT"])))
        table["SAFE_ENERGY_LO"] = self.energy_threshold * cosine**-self.threshold_power * u.TeV
        if self.run_scatter:
            normal = named_rng(seed, self.name + " norms").standard_normal(len(table))
            table["TRUE_NORM"] = np.exp(self.run_scatter * normal - 0.5 * self.run_scatter**2)
        if self.rate_drift:
            table["TRUE_DRIFT"] = np.full(len(table), self.rate_drift)
        if self.drift:
            table["OBS_MODE"] = ["DRIFT"] * len(table)
        return table

    @property
    def sky(self):
        """What shines and what is excluded, and where that is seen from."""
        return {"sources": self.sources, "site": self.site, "regions": self.regions}

    def observe(self, table, seed, replicate=0):
        """Observations of some runs; see `simbg.simulation.simulate.observe`."""
        return observe(self.truth, table, seed, self.name, replicate, **self.sky)

    def expected(self, table, axes, threshold_bin):
        """Expected stack of some runs."""
        return expected_stack(self.truth, table, axes, threshold_bin, **self.sky)

    def true(self, table, axes, threshold_bin):
        """The background alone at the exposure that a method claims, without sources."""
        sky = {**self.sky, "sources": ()}
        return expected_stack(self.truth, table, axes, threshold_bin, claimed=True, **sky)


def _plain(value):
    """What a digest is made of: fields of dataclasses, or the digest that a thing has itself."""
    if hasattr(value, "digest"):
        return value.digest
    return {"type": type(value).__name__} | {f.name: getattr(value, f.name) for f in fields(value)}


REALISTIC = GaussianTruth(index=2.7, event_rate=7.0, peak=(0.3, -0.5))
# Where zenith angles matter, as in H.E.S.S. DR1: above 1 TeV the rate rises with them, the total
# falls.
ROLLING = ShapedTruth(
    replace(REALISTIC, zenith_slope=0.0, event_rate=8.0), zenith_power=1.5, zenith_hardening=1.0
)
# A target that culminates 17 deg from the zenith of the H.E.S.S. site, and sources near it.
TARGET = (83.0, -40.0)
SOURCES = (
    GammaSource("point", *TARGET, flux=4e-11, index=2.4),
    GammaSource("extended", 84.1, -39.3, flux=3e-11, index=2.2, extension=0.2),
)
# 2 % of a point source's events lie 0.22 deg off, 0.4 % of the extended one's 0.7 deg.
MASKS = (circle(*TARGET, 0.4), circle(84.1, -39.3, 0.75))
WOBBLE = {"target": TARGET, "alt_range": (50.0, 73.0), "n_obs": 24}


def _scenarios():
    yield Scenario(
        "seed-2015",
        "The 2015 example",
        "Index 1.5 in 2015's words is 2.5 of the rate; 300 Hz make most bins rich in events.",
        truth=GaussianTruth(index=2.5, normalization="center", event_rate=300.0),
        ontime=1800.0,
        deadtime_fraction=1 / 6,
    )
    yield Scenario(
        "realistic",
        "A realistic background",
        "Index 2.7 and 7 Hz, as H.E.S.S. sees them after selection; zenith angles to 45 deg. "
        "The peak lies off the centre, as gradients of some % / deg have it, so that no flip "
        "and no swap goes unseen.",
        truth=REALISTIC,
        alt_range=(45.0, 90.0),
        az_range=(0.0, 360.0),
    )
    yield Scenario(
        "night",
        "One night",
        "Eight runs: most bins are empty, and 2015's binning coarsens.",
        truth=REALISTIC,
        n_obs=8,
        alt_range=(45.0, 90.0),
        az_range=(0.0, 360.0),
    )
    yield Scenario(
        "threshold-bin",
        "A threshold inside a bin",
        "20 runs from 0.15 TeV on: a bin is exposed in part, which 2015 took for the whole.",
        truth=REALISTIC,
        n_obs=20,
        energy_threshold=0.15,
    )
    yield Scenario(
        "ring",
        "A ring at high energy",
        "Hollow above 5 TeV, as H.E.S.S. sees it: nothing that falls outwards fits.",
        truth=ShapedTruth(replace(REALISTIC, event_rate=20.0), ring_depth=0.94),
        n_obs=30,
    )
    yield Scenario(
        "curved",
        "A curved spectrum",
        "The local index rises from 1.9 at 0.1 TeV to 3.5 at 100 TeV.",
        truth=ShapedTruth(replace(REALISTIC, event_rate=12.0), curvature=0.12),
        n_obs=30,
    )
    yield Scenario(
        "gradient",
        "A gradient",
        "9 % / deg along fov_lat, 4 % along fov_lon, where real ones are steepest.",
        truth=ShapedTruth(GaussianTruth(index=2.7, event_rate=7.0), gradient=(-0.04, 0.09)),
        n_obs=30,
    )
    yield Scenario(
        "dead-camera",
        "Drawers that sleep",
        "Two dead rectangles of the camera: a hole in the background, which smoothing fills.",
        truth=ShapedTruth(REALISTIC, dead=((-1.2, -0.45, 0.3, 1.1), (1.5, 2.1, -2.0, -0.9))),
        n_obs=30,
    )
    yield Scenario(
        "zenith",
        "Zenith angles to 60 deg",
        "Above 1 TeV the rate rises with the zenith angle and the total falls: one cube for "
        "all is right for none.",
        truth=ROLLING,
        n_obs=40,
        alt_range=(30.0, 90.0),
        per_run=True,
    )
    yield Scenario(
        "rolling-threshold",
        "A threshold that rolls with zenith",
        "Events turn on at 0.15 TeV overhead and 0.6 TeV at 55 deg; each run has its own "
        "threshold, mostly inside a bin.",
        truth=replace(ROLLING, turn_on_energy=0.13, turn_on_zenith=2.5, turn_on_power=6.0),
        n_obs=40,
        alt_range=(35.0, 90.0),
        energy_threshold=0.26,
        threshold_power=2.5,
        per_run=True,
    )
    yield Scenario(
        "run-scatter",
        "Runs that differ",
        "Factors with a scatter of 8.6 %, as in H.E.S.S. DR1: each run needs its own norm.",
        truth=replace(REALISTIC, zenith_slope=0.0),
        n_obs=40,
        run_scatter=0.086,
        per_run=True,
    )
    yield Scenario(
        "source",
        "Sources behind masks",
        "Wobbled runs on a point source and an extended one, both behind masks that turn "
        "through the field and overlap.",
        truth=REALISTIC,
        sources=SOURCES,
        regions=MASKS,
        **WOBBLE,
    )
    yield Scenario(
        "source-ignored",
        "Sources without masks",
        "The same runs, nothing masked: the sources are taken for background.",
        truth=REALISTIC,
        sources=SOURCES,
        ignored="nothing masks the gamma-ray sources in the field",
        must_fail=("point_source", "norm"),
        **WOBBLE,
    )
    yield Scenario(
        "mask-too-small",
        "Masks that are too small",
        "The same runs, masks of one point-spread function: a third of the events leak out.",
        truth=REALISTIC,
        sources=SOURCES,
        regions=(circle(*TARGET, 0.12), circle(84.1, -39.3, 0.3)),
        ignored="the masks are as small as the point spread function",
        must_fail=("point_source",),
        **WOBBLE,
    )
    yield Scenario(
        "near-zenith",
        "A track through the zenith",
        "The field turns by up to 180 deg in a run; a narrow background must keep its width, "
        "and a mask its place.",
        truth=GaussianTruth(
            index=2.5, event_rate=7.0, sigma=(1.0, 1.4), peak=(0.7, -0.4), zenith_slope=0.0
        ),
        n_obs=24,
        target=(120.0, -23.6),
        wobble=0.5,
        alt_range=(86.5, 90.0),
        regions=(circle(120.0, -23.6, 0.3), circle(121.2, -22.9, 0.25)),
    )
    yield Scenario(
        "drift",
        "Telescopes that stand still",
        "Drift scans: the sky, sources and masks go through the field at up to 15 deg an hour.",
        truth=REALISTIC,
        drift=True,
        sources=SOURCES,
        regions=MASKS,
        **WOBBLE,
    )
    yield Scenario(
        "broken-runs",
        "Interrupted runs",
        "Three good time intervals a run, dead times of 5 to 30 %, a rate that drifts by a "
        "quarter an hour, and masks.",
        truth=REALISTIC,
        n_gti=3,
        gti_gap=240.0,
        deadtime_fraction=(0.05, 0.3),
        rate_drift=0.25,
        sources=SOURCES,
        regions=MASKS,
        **WOBBLE,
    )


def from_file(path, n_obs=30):
    """A scenario whose truth is a background file: BKG_3D, BKG_2D or 2015's."""
    return Scenario(
        "from-file",
        f"The truth of {Path(path).name}",
        "Any background model serves as a truth: its rate, constant over its pixels and a power "
        "law over its energy bins.",
        truth=CubeTruth.read(path),
        n_obs=n_obs,
        alt_range=(60.0, 90.0),
    )


SCENARIOS = {scenario.name: scenario for scenario in _scenarios()}
