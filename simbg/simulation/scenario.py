"""Scenario: a true background and sources, the runs that observe them, and its purpose."""

from dataclasses import dataclass, field, fields
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simbg.errors import bounded, check_fields
from simbg.quantities import convert_fields
from simbg.sky.pointing import Site
from simbg.sky.regions import Region
from simbg.truth.from_file import CubeTruth
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.protocol import Truth
from simbg.truth.sources import GammaSource

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["HESS_SITE", "Scenario"]

# More expected events of a background file in one run than this do not fit in memory.
MOST_EVENTS = 1e8
HESS_SITE = Site(16.5002222, -23.2717778, 1835.0)


@dataclass(frozen=True)
class Scenario:
    """A truth and the runs that observe it.

    Parameters
    ----------
    name, title, why : str
        Short name, title, and purpose of the scenario.
    truth : Truth
        The true background.
    n_obs : int
        Number of runs.
    alt_range, az_range : tuple of float
        Ranges of the horizontal pointing at mid-run, deg.
    ontime : float
        Ontime of each run, s.
    deadtime_fraction : float or tuple of float
        1 − livetime / ontime. With two numbers, it is uniform between them, run by run.
    energy_threshold, threshold_power : float
        The threshold of a run is ``energy_threshold`` · cos(zenith)^−``threshold_power``, TeV.
    site : Site
        Position of the telescopes.
    target : tuple of float, optional
        RA and Dec (deg, ICRS) of the target of all runs.
    wobble : float
        Offset, deg; runs on a target point to the north, east, south and west of it in turn.
    n_gti, gti_gap : int, float
        Number of good time intervals of a run, and the gaps between them in s, which make the run
        longer.
    sources : tuple of GammaSource
        Gamma-ray sources, whose events are added to the background.
    regions : tuple of simbg.sky.regions.Region
        Regions that the reconstruction excludes.
    run_scatter : float
        σ of the logarithm of the runs' factors on the background.
    rate_drift : float
        Relative change of the rate per hour, in each run.
    drift : bool
        Whether runs are taken in drift mode: the telescopes do not move, and the target is at the
        pointing at mid-run.
    per_run : bool
        Whether runs differ so much that each needs its own model.
    ignored : str
        An effect that the reconstruction ignores in this scenario, so that it must be biased.

    Raises
    ------
    ValueError
        If a range is empty or a value is out of range.

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
    alt_range: tuple[float, float] = bounded((72.0, 90.0), 0, 90, "deg")
    az_range: tuple[float, float] = bounded((90.0, 270.0), None, None, "deg")
    ontime: float = bounded(1680.0, 1e-3, 1e9, "s")
    deadtime_fraction: float | tuple[float, float] = 0.09
    energy_threshold: float = bounded(0.1, 0, 1e9, "TeV")
    threshold_power: float = 0.0
    site: Site = HESS_SITE
    target: tuple[float, float] | None = bounded(None, None, None, "deg")
    wobble: float = bounded(0.7, 0, 90, "deg")
    n_gti: int = bounded(1, 1, 1e6)
    gti_gap: float = bounded(0.0, 0, 1e9, "s")
    sources: tuple[GammaSource, ...] = ()
    regions: tuple[Region, ...] = ()
    run_scatter: float = 0.0
    rate_drift: float = 0.0
    drift: bool = False
    per_run: bool = False
    ignored: str = ""

    def __post_init__(self) -> None:
        convert_fields(self, f"scenario {self.name}: ")
        (east, west), (ra, dec) = self.az_range, self.target or (0.0, 0.0)
        dead = np.atleast_1d(self.deadtime_fraction)
        check_fields(
            self,
            alt_range=(np.diff(self.alt_range) > 0, "two increasing values in deg"),
            az_range=(east < west <= east + 360, "two increasing values in deg over 360 or less"),
            deadtime_fraction=(0 <= dead[0] <= dead[-1] < 1, "0 or more and less than 1"),
            target=(
                0 <= ra <= 360 and -90 <= dec <= 90,
                "ra from 0 to 360 and dec from -90 to 90 deg",
            ),
        )

    def __repr__(self) -> str:
        return f"<Scenario {self.name}: {self.n_obs} runs; {self.title or 'no title'}>"

    @classmethod
    def from_file(cls, path: Path | str, n_obs: int = 30) -> "Scenario":
        """A scenario whose truth is a background file: BKG_3D, BKG_2D or the format of 2015.

        Examples
        --------
        >>> import tempfile
        >>> from simbg.axes import Axes
        >>> axes = Axes.regular(energy=(0.1, 50, 4), fov=(3, 6))
        >>> truth = GaussianTruth().cube(axes, livetime=3600)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     truth.write(f"{folder}/cube.fits")
        ...     Scenario.from_file(f"{folder}/cube.fits", n_obs=8)
        <Scenario from-file: 8 runs; The truth of cube.fits>
        """
        truth = CubeTruth.read(path)
        scenario = cls(
            "from-file",
            f"The truth of {Path(path).name}",
            "A background model is used as the truth: its rate is constant over each pixel and a "
            "power law over each energy bin.",
            truth=truth,
            n_obs=n_obs,
            alt_range=(60.0, 90.0),
        )
        events = scenario.ontime * float(np.sum(truth.average * truth.axes.volume))
        if events > MOST_EVENTS:
            raise ValueError(
                f"{path}: got {events:.3g} expected events in a run of {scenario.ontime:g} s, "
                f"expected {MOST_EVENTS:.0e} or less; is the unit of the rate right? (a rate per "
                "TeV that is given as per MeV is too large by 1e6)"
            )
        return scenario

    @property
    def digest(self) -> str:
        """A hash of all parameters that change a result; texts are not part of it.

        Examples
        --------
        >>> from dataclasses import replace
        >>> scenario = Scenario("mine")
        >>> same, other = replace(scenario, title="Mine"), replace(scenario, n_obs=8)
        >>> scenario.digest == same.digest, scenario.digest == other.digest
        (True, False)
        """
        # ``drift`` was added later: without drift mode the digest is that of stored results.
        texts = "title", "why", "ignored", *([] if self.drift else ["drift"])
        parameters = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in texts}
        return sha256(dumps(parameters, sort_keys=True, default=_plain).encode()).hexdigest()[:12]

    def table(self, seed: int, n_obs: int | None = None) -> "Table":
        """The observation table of a seed; see `simbg.simulation.schedule.observation_table`.

        Examples
        --------
        >>> Scenario("mine").table(seed=0, n_obs=2)["OBS_ID"].tolist()
        [1, 2]
        """
        # Imported here, as where else astropy's tables are used: the names of scenarios need none.
        from simbg.simulation.schedule import observation_table

        return observation_table(self, seed, self.n_obs if n_obs is None else n_obs)


def _plain(value):
    """Value for the digest: the fields of a dataclass, or the digest of an object that has one."""
    if hasattr(value, "digest"):
        return value.digest
    return {"type": type(value).__name__} | {f.name: getattr(value, f.name) for f in fields(value)}
