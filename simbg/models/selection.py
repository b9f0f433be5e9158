"""Selection: which runs to take, what is excluded of them, and how they are grouped."""

import re
from dataclasses import dataclass, field

from simbg.io.region_files import read_regions
from simbg.models.known_sources import known_sources
from simbg.observations.groups import Groups
from simbg.sky.regions import circles

__all__ = ["Selection"]

GROUP_BY = r"2015|(livetime|runs):(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"
# What 2015's --test means, beside a number of runs.
TEST_SOURCES = 5
TEST_GROUPS = Groups(altitude_edges=(0, 45, 90), azimuth_edges=(90, 270))


@dataclass(frozen=True)
class Selection:
    """Which runs to take, and what of them.

    Parameters
    ----------
    obs_ids : sequence of int, optional
        Only these runs.
    exclude : sequence of path-like
        See `simbg.models.known_sources.known_sources`.
    groups : Groups
    group_by : str
        "2015" for ``groups``; "livetime:HOURS" or "runs:NUMBER" for groups in altitude, in place
        of its own, that hold this or more; all azimuths of ``groups`` are together then.
    test : bool
        2015's quick look: at most 100 runs, 5 sources of the catalogue, 2 groups.
    sources : {"drop", "mask"}
        What happens near what is excluded: runs are dropped, as in 2015, or regions are
        masked: those of DS9 files as they are, else circles of ``margin`` + 2 · radius.
    margin : float
        deg
    energy_threshold : float, optional
        TeV, of all runs, in place of their own.
    skip_incomplete : bool
        Leave out runs that cannot be read, for want of a file or an HDU, say, and tell,
        instead of giving up. They are read twice then.
    """

    obs_ids: tuple[int, ...] | None = None
    exclude: tuple[str, ...] = ()
    groups: Groups = field(default_factory=Groups)
    test: bool = False
    sources: str = "drop"
    margin: float = 0.4
    group_by: str = "2015"
    energy_threshold: float | None = None
    skip_incomplete: bool = False

    def __post_init__(self):
        if self.sources not in ("drop", "mask"):
            raise ValueError(f"sources: got {self.sources!r}, expected 'drop' or 'mask'")
        if not 0 < self.margin <= 30:
            raise ValueError(f"margin of masks: got {self.margin} deg, expected 0 to 30")
        if not re.fullmatch(GROUP_BY, self.group_by) or (self.test and self.group_by != "2015"):
            raise ValueError(
                f"--group-by: got {self.group_by!r}, expected livetime:HOURS, runs:N or 2015, and "
                "only this with --test"
            )
        if self.energy_threshold is not None and not self.energy_threshold > 0:
            raise ValueError(
                f"energy threshold: got {self.energy_threshold} TeV, expected more than 0"
            )

    @property
    def limit(self):
        """How many sources of the catalogue are taken; None for all."""
        return TEST_SOURCES if self.test else None

    def regions(self):
        """What is masked: regions of DS9 files as they are, and circles round sources."""
        drawn = [path for path in self.exclude if str(path).lower().endswith(".reg")]
        others = tuple(path for path in self.exclude if path not in drawn)
        round_sources = circles(known_sources(others, limit=self.limit), self.margin)
        return (*round_sources, *(r for path in drawn for r in read_regions(path, self.margin)))

    def groups_of(self, observations):
        """The groups of these observations; with ``group_by`` all azimuths are in one."""
        if self.test:
            return TEST_GROUPS
        kind, _, least = self.group_by.partition(":")
        if not least:
            return self.groups
        # Split by azimuth, too, a group would hold less.
        first, *_, last = self.groups.azimuth_edges
        return Groups.by_exposure(observations, kind, float(least), (first, last))
