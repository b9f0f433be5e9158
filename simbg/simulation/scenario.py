"""Scenario: a true background and sources, the runs that see them, and why they are worth it."""

from dataclasses import dataclass, field, fields
from hashlib import sha256
from json import dumps
from pathlib import Path

import numpy as np

from simbg.errors import bounded, check_fields
from simbg.simulation.schedule import observation_table
from simbg.sky.pointing import Site
from simbg.truth.from_file import CubeTruth
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.protocol import Truth

__all__ = ["HESS_SITE", "Scenario"]

HESS_SITE = Site(16.5002222, -23.2717778, 1835.0)


@dataclass(frozen=True)
class Scenario:
    """A truth and the runs that see it.

    Parameters
    ----------
    name, title, why : str
    truth : Truth
    n_obs : int
    alt_range, az_range : tuple of float
        deg; horizontal pointing at mid-run.
    ontime : float
        s, of each run.
    deadtime_fraction : float or tuple of float
        1 − livetime / ontime. Two numbers: uniform between them, run by run.
    energy_threshold, threshold_power : float
        That of a run is ``energy_threshold`` · cos(zenith)^−``threshold_power``, TeV.
    site : Site
    target : tuple of float, optional
        RA and Dec (deg, ICRS) that all runs look at.
    wobble : float
        deg; runs on a target point as far north, east, south and west of it in turn.
    n_gti, gti_gap : int, float
        Good time intervals of a run, and the s between them, by which the run is longer.
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

    Raises
    ------
    ValueError
        If a range is empty or outside what it can be.

    Examples
    --------
    >>> from simbg.simulation.library import SCENARIOS
    >>> night = SCENARIOS["night"]
    >>> len(night.table(seed=0)), night.truth.index
    (8, 2.7)
    """

    name: str
    title: str = ""
    why: str = ""
    truth: Truth = field(default_factory=GaussianTruth)
    n_obs: int = 100
    alt_range: tuple[float, float] = bounded((72.0, 90.0), 0, 90)
    az_range: tuple[float, float] = (90.0, 270.0)
    ontime: float = bounded(1680.0, 1e-3, 1e9)
    deadtime_fraction: float | tuple[float, float] = 0.09
    energy_threshold: float = 0.1
    threshold_power: float = 0.0
    site: Site = HESS_SITE
    target: tuple[float, float] | None = None
    wobble: float = bounded(0.7, 0, 90)
    n_gti: int = bounded(1, 1, 1e6)
    gti_gap: float = bounded(0.0, 0, 1e9)
    sources: tuple = ()
    regions: tuple = ()
    run_scatter: float = 0.0
    rate_drift: float = 0.0
    drift: bool = False
    per_run: bool = False
    ignored: str = ""
    must_fail: tuple[str, ...] = ()

    def __post_init__(self):
        (east, west), (ra, dec) = self.az_range, self.target or (0.0, 0.0)
        dead = np.atleast_1d(self.deadtime_fraction)
        check_fields(
            self,
            alt_range=(np.diff(self.alt_range) > 0, "two increasing deg"),
            az_range=(east < west <= east + 360, "increasing deg over at most 360"),
            deadtime_fraction=(0 <= dead[0] <= dead[-1] < 1, "0 or more and less than 1"),
            target=(0 <= ra <= 360 and -90 <= dec <= 90, "deg on the sky"),
        )

    @classmethod
    def from_file(cls, path, n_obs=30):
        """A scenario whose truth is a background file: BKG_3D, BKG_2D or 2015's."""
        return cls(
            "from-file",
            f"The truth of {Path(path).name}",
            "Any background model serves as a truth: its rate, constant over its pixels and a "
            "power law over its energy bins.",
            truth=CubeTruth.read(path),
            n_obs=n_obs,
            alt_range=(60.0, 90.0),
        )

    @property
    def digest(self):
        """Changes whenever anything that decides the outcome does."""
        # The drift is younger than the numbers that are kept of the others.
        texts = "title", "why", "ignored", "must_fail", *([] if self.drift else ["drift"])
        facts = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in texts}
        return sha256(dumps(facts, sort_keys=True, default=_plain).encode()).hexdigest()[:12]

    def table(self, seed, n_obs=None):
        """The observation table of a seed; see `simbg.simulation.schedule.observation_table`."""
        return observation_table(self, seed, self.n_obs if n_obs is None else n_obs)


def _plain(value):
    """What a digest is made of: fields of dataclasses, or the digest that a thing has itself."""
    if hasattr(value, "digest"):
        return value.digest
    return {"type": type(value).__name__} | {f.name: getattr(value, f.name) for f in fields(value)}
