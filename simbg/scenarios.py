"""Scenarios: a truth, the runs that see it, and why it is worth a look."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from hashlib import sha256
from json import dumps

import numpy as np
from astropy import units as u

from simbg.fov import Site
from simbg.observations import make_observation_table
from simbg.simulate import named_rng
from simbg.truth import GaussianTruth

__all__ = ["HESS_SITE", "SCENARIOS", "Scenario"]

HESS_SITE = Site(16.5002222, -23.2717778, 1835.0)


@dataclass(frozen=True)
class Scenario:
    """A truth and the runs that see it.

    Parameters
    ----------
    name, title, why : str
    truth : GaussianTruth
    n_obs : int
    alt_range, az_range : tuple of float
        deg
    ontime : float
        s, of each run.
    deadtime_fraction : float
    energy_threshold : float
        TeV, of each run.
    """

    name: str
    title: str
    why: str
    truth: GaussianTruth = field(default_factory=GaussianTruth)
    n_obs: int = 100
    alt_range: tuple[float, float] = (72.0, 90.0)
    az_range: tuple[float, float] = (90.0, 270.0)
    ontime: float = 1680.0
    deadtime_fraction: float = 0.09
    energy_threshold: float = 0.1
    site: Site = HESS_SITE

    @property
    def digest(self):
        """Changes whenever anything that decides the outcome does."""
        facts = {key: value for key, value in asdict(self).items() if key not in ("title", "why")}
        return sha256(dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    def table(self, seed, n_obs=None):
        """The observation table of a seed, with SAFE_ENERGY_LO."""
        table = make_observation_table(
            n_obs or self.n_obs,
            named_rng(seed, self.name + " runs"),
            self.site,
            az_range=self.az_range,
            alt_range=self.alt_range,
            ontime=self.ontime,
            deadtime_fraction=self.deadtime_fraction,
        )
        table["SAFE_ENERGY_LO"] = np.full(len(table), self.energy_threshold) * u.TeV
        return table


REALISTIC = GaussianTruth(index=2.7, event_rate=7.0, peak=(0.3, -0.5))
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
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
            truth=REALISTIC,
            alt_range=(45.0, 90.0),
            az_range=(0.0, 360.0),
        ),
        Scenario(
            "night",
            "One night",
            "Eight runs: most bins are empty, and 2015's binning coarsens.",
            truth=REALISTIC,
            n_obs=8,
            alt_range=(45.0, 90.0),
            az_range=(0.0, 360.0),
        ),
        Scenario(
            "threshold-bin",
            "A threshold inside a bin",
            "20 runs from 0.15 TeV on: a bin is exposed in part, which 2015 took for the whole.",
            truth=REALISTIC,
            n_obs=20,
            energy_threshold=0.15,
        ),
    )
}
