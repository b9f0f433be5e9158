"""Library: the scenarios of the validation suite, and what each of them tests."""

from dataclasses import replace
from typing import Any

from simbg.errors import Names, unknown_name
from simbg.simulation.scenario import Scenario
from simbg.sky.regions import circle
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.shaped import ShapedTruth
from simbg.truth.sources import GammaSource

__all__ = ["SCENARIOS", "find_scenario"]

REALISTIC = GaussianTruth(index=2.7, event_rate=7.0, peak=(0.3, -0.5))
STEADY = replace(REALISTIC, zenith_slope=0.0)
# Dependence on the zenith angle as in H.E.S.S. DR1: with increasing zenith angle the rate above
# 1 TeV rises and the total rate falls.
ROLLING = ShapedTruth(replace(STEADY, event_rate=8.0), zenith_power=1.5, zenith_hardening=1.0)
# A target that culminates 17 deg from the zenith of the H.E.S.S. site, and sources near it.
TARGET = (83.0, -40.0)
SOURCES = (
    GammaSource("point", *TARGET, flux=4e-11, index=2.4),
    GammaSource("extended", 84.1, -39.3, flux=3e-11, index=2.2, extension=0.2),
)
# 2 % of the events of a point source are outside of 0.22 deg, and 0.4 % of the events of the
# extended source are outside of 0.7 deg.
MASKS = (circle(*TARGET, 0.4), circle(84.1, -39.3, 0.75))
ANYWHERE: dict[str, Any] = {"truth": REALISTIC, "alt_range": (45.0, 90.0), "az_range": (0.0, 360.0)}
ON_TARGET: dict[str, Any] = {"truth": REALISTIC, "sources": SOURCES, "regions": MASKS}
ON_TARGET |= {"target": TARGET, "alt_range": (50.0, 73.0), "n_obs": 24}
PER_RUN: dict[str, Any] = {"n_obs": 40, "per_run": True}
ALL = (
    Scenario(
        "seed-2015",
        "The 2015 example",
        "The index 1.5 as defined in 2015 is an index of 2.5 of the rate; with 300 Hz most bins "
        "have many events.",
        truth=GaussianTruth(index=2.5, normalization="center", event_rate=300.0),
        ontime=1800.0,
        deadtime_fraction=1 / 6,
    ),
    Scenario(
        "realistic",
        "A realistic background",
        "Index 2.7 and 7 Hz, as in H.E.S.S. data after event selection; zenith angles up to 45 "
        "deg. The peak is not at the centre, as with gradients of a few % / deg, so that flipped "
        "or swapped axes are detected.",
        **ANYWHERE,
    ),
    Scenario(
        "night",
        "One night",
        "Eight runs: most bins are empty, and the method of 2015 uses coarser bins.",
        n_obs=8,
        **ANYWHERE,
    ),
    Scenario(
        "threshold-bin",
        "A threshold inside a bin",
        "20 runs with a threshold of 0.15 TeV, inside a bin: a part of this bin is exposed. The "
        "method of 2015 assumes that the whole bin is exposed.",
        truth=REALISTIC,
        n_obs=20,
        energy_threshold=0.15,
    ),
    Scenario(
        "ring",
        "A ring at high energy",
        "Above 5 TeV the rate is lower at the centre, as in H.E.S.S. data: no function that "
        "decreases with the offset fits.",
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
        "9 % / deg along fov_lat and 4 % / deg along fov_lon, as steep as the largest real "
        "gradients.",
        truth=ShapedTruth(GaussianTruth(index=2.7, event_rate=7.0), gradient=(-0.04, 0.09)),
        n_obs=30,
    ),
    Scenario(
        "dead-camera",
        "Dead drawers in the camera",
        "Two rectangles of the camera record no events; smoothing would fill these holes.",
        truth=ShapedTruth(REALISTIC, dead=((-1.2, -0.45, 0.3, 1.1), (1.5, 2.1, -2.0, -0.9))),
        n_obs=30,
    ),
    Scenario(
        "zenith",
        "Zenith angles to 60 deg",
        "With increasing zenith angle the rate above 1 TeV rises and the total rate falls: one "
        "cube for all runs is biased for each run.",
        truth=ROLLING,
        alt_range=(30.0, 90.0),
        **PER_RUN,
    ),
    Scenario(
        "rolling-threshold",
        "A threshold that rises with zenith",
        "The detection threshold is 0.15 TeV at zenith and 0.6 TeV at 55 deg; each run has its "
        "own energy threshold, in most cases inside a bin.",
        truth=replace(ROLLING, turn_on_energy=0.13, turn_on_zenith=2.5, turn_on_power=6.0),
        alt_range=(35.0, 90.0),
        energy_threshold=0.26,
        threshold_power=2.5,
        **PER_RUN,
    ),
    Scenario(
        "run-scatter",
        "Runs that differ",
        "The rate varies by 8.6 % between runs, as in H.E.S.S. DR1: each run needs its own norm.",
        truth=STEADY,
        run_scatter=0.086,
        **PER_RUN,
    ),
    Scenario(
        "source",
        "Sources behind masks",
        "Wobble runs on a point source and an extended one. Both are masked; the masks rotate in "
        "the field of view and overlap.",
        **ON_TARGET,
    ),
    Scenario(
        "source-ignored",
        "Sources without masks",
        "The same runs without masks: events of the sources are treated as background.",
        ignored="nothing masks the gamma-ray sources in the field",
        **ON_TARGET | {"regions": ()},
    ),
    Scenario(
        "mask-too-small",
        "Masks that are too small",
        "The same runs with masks as small as the point spread function: a third of the events "
        "are outside of them.",
        ignored="the masks are as small as the point spread function",
        **ON_TARGET | {"regions": (circle(*TARGET, 0.12), circle(84.1, -39.3, 0.3))},
    ),
    Scenario(
        "near-zenith",
        "A track through the zenith",
        "The field of view rotates by up to 180 deg in a run; the width of a narrow background "
        "and the positions of masks must be correct.",
        truth=replace(STEADY, index=2.5, sigma=(1.0, 1.4), peak=(0.7, -0.4)),
        n_obs=24,
        target=(120.0, -23.6),
        wobble=0.5,
        alt_range=(86.5, 90.0),
        regions=(circle(120.0, -23.6, 0.3), circle(121.2, -22.9, 0.25)),
    ),
    Scenario(
        "drift",
        "Drift mode",
        "The telescopes do not move: sources and masks cross the field of view at up to 15 deg "
        "per hour.",
        drift=True,
        **ON_TARGET,
    ),
    Scenario(
        "broken-runs",
        "Interrupted runs",
        "Three good time intervals per run, dead times of 5 to 30 %, a rate that changes by 25 % "
        "per hour, and masks.",
        n_gti=3,
        gti_gap=240.0,
        deadtime_fraction=(0.05, 0.3),
        rate_drift=0.25,
        **ON_TARGET,
    ),
)


class Library(Names[Any]):
    """Scenarios by name; its repr has one line for each scenario.

    Examples
    --------
    >>> SCENARIOS["night"].title
    'One night'
    """

    def __repr__(self) -> str:
        return "\n".join(f"{name:18s} {scenario.title}" for name, scenario in self.items())


SCENARIOS = Library("scenario", ((scenario.name, scenario) for scenario in ALL))


def find_scenario(scenario: str | Scenario) -> Scenario:
    """The scenario with this name; a `Scenario` is returned unchanged.

    Parameters
    ----------
    scenario : str or Scenario
        A name in `SCENARIOS`, or a scenario.

    Returns
    -------
    Scenario
        The scenario.

    Raises
    ------
    ValueError
        If no scenario has the name.
    """
    if isinstance(scenario, Scenario):
        return scenario
    known = isinstance(scenario, str) and scenario in SCENARIOS  # type: ignore[redundant-expr]
    if not known:
        raise unknown_name("scenario", scenario, SCENARIOS)
    return SCENARIOS[scenario]
