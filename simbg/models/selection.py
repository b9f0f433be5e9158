"""Selection: which runs are used, which regions are excluded, and how runs are grouped."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simbg.io.region_files import read_regions
from simbg.io.safe_files import expanded
from simbg.models.known_sources import known_sources
from simbg.models.runs import runs_of
from simbg.observations.groups import Groups
from simbg.observations.observation import Observation
from simbg.observations.store import Store, run_numbers
from simbg.quantities import convert_fields, warn_of_gev
from simbg.sky.regions import Region, circles

__all__ = ["Selection"]

GROUP_BY = r"2015|(livetime|runs):(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"
# Limits of 2015's --test, in addition to a number of runs.
TEST_SOURCES = 5
TEST_GROUPS = Groups(altitude_edges=(0, 45, 90), azimuth_edges=(90, 270))


@dataclass(frozen=True)
class Selection:
    """Which runs are used, which regions are excluded, and how runs are grouped.

    Parameters
    ----------
    obs_ids : int, or tuple of int, optional
        Use these runs only.
    exclude : path-like, or tuple of these
        Additional sources and regions, see `simbg.models.known_sources.known_sources`.
    groups : Groups
        Groups in altitude and azimuth.
    test : bool
        2015's quick test: at most 100 runs, 5 sources of the catalogue, 2 groups.
    sources : {"drop", "mask"}
        Treatment of known sources: runs near them are dropped, as in 2015, or regions are
        masked. Regions of DS9 files are masked as they are, other sources as circles of radius
        ``margin`` + 2 · radius.
    margin : float or Quantity
        Margin of masks; a bare number is in deg.
    group_by : str
        "2015" for ``groups``. "livetime:HOURS" or "runs:NUMBER" for groups in altitude with this
        minimum each, instead of the altitude bins of ``groups``; they include all azimuths.
    energy_threshold : float or Quantity, optional
        Energy threshold of all runs instead of their own; a bare number is in TeV.
    skip_incomplete : bool
        Skip runs that cannot be read, with a warning, instead of raising an error. The events are
        then read twice.

    Raises
    ------
    ValueError
        If a value is not allowed.

    Examples
    --------
    Mask the known sources instead of dropping runs near them:

    >>> import tempfile
    >>> import simbg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n_events = simbg.simulate("source", n_obs=2).write(folder)
    ...     store = simbg.open_store(folder)
    ...     selection = simbg.Selection(sources="mask", exclude=(f"{folder}/regions.reg",))
    ...     runs = selection.observations(store)
    >>> [len(run.excluded) > 0 for run in runs]
    [True, True]
    """

    obs_ids: tuple[int, ...] | None = None
    exclude: tuple[Path | str, ...] = ()
    groups: Groups = field(default_factory=Groups)
    test: bool = False
    sources: str = "drop"
    margin: float = field(default=0.4, metadata={"unit": "deg"})
    group_by: str = "2015"
    energy_threshold: float | None = field(default=None, metadata={"unit": "TeV"})
    skip_incomplete: bool = False

    def __post_init__(self) -> None:
        if self.obs_ids is not None:
            object.__setattr__(self, "obs_ids", run_numbers(self.obs_ids, "obs_ids"))
        files = self.exclude if isinstance(self.exclude, list | tuple) else (self.exclude,)
        object.__setattr__(self, "exclude", tuple(str(expanded(path)) for path in files))
        convert_fields(self, "selection: ")
        if self.sources not in ("drop", "mask"):
            raise ValueError(f"sources: got {self.sources!r}, expected 'drop' or 'mask'")
        if not 0 < self.margin <= 30:
            raise ValueError(f"margin of masks: got {self.margin} deg, expected 0 to 30")
        if not re.fullmatch(GROUP_BY, self.group_by) or (self.test and self.group_by != "2015"):
            raise ValueError(
                f"group_by (--group-by): got {self.group_by!r}, expected livetime:HOURS, runs:N "
                "or 2015 (with test=True, --test: 2015)"
            )
        if self.energy_threshold is not None and not self.energy_threshold > 0:
            raise ValueError(
                f"energy threshold: got {self.energy_threshold} TeV, expected more than 0"
            )
        warn_of_gev(self.energy_threshold or 0, "energy threshold")

    def observations(self, store: Store) -> list[Observation]:
        """The selected observations of a store, with their excluded regions.

        Parameters
        ----------
        store : Store
            From `simbg.open_store`.

        Returns
        -------
        list of Observation
            The observations that belong to a group.

        Raises
        ------
        ValueError
            If no run remains, or a run cannot be read and ``skip_incomplete`` is not set.

        Examples
        --------
        >>> import tempfile
        >>> import simbg
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     n_events = simbg.simulate("night", n_obs=2).write(folder)
        ...     Selection(obs_ids=(1,), exclude="none").observations(simbg.open_store(folder))
        [<Observation 1: 1529 s of livetime, 0.1 TeV threshold, alt 55.2, az 131.1 deg>]
        """
        return runs_of(store, self).observations

    @property
    def max_sources(self) -> int | None:
        """Maximum number of catalogue sources; None for all.

        Examples
        --------
        >>> Selection(test=True).max_sources
        5
        """
        return TEST_SOURCES if self.test else None

    def regions(self) -> tuple[Region, ...]:
        """The masked regions: those of DS9 files as they are, and circles about sources.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "crab.reg")
        ...     n = path.write_text("icrs; circle(83.633, 22.014, 0.5)")
        ...     [region.center for region in Selection(exclude=("none", path)).regions()]
        [(83.633, 22.014)]
        """
        files = [path for path in self.exclude if str(path).lower().endswith(".reg")]
        others = tuple(path for path in self.exclude if path not in files)
        about_sources = circles(known_sources(others, max_sources=self.max_sources), self.margin)
        return (*about_sources, *(r for path in files for r in read_regions(path, self.margin)))

    def groups_of(self, observations: Sequence[Observation]) -> Groups:
        """The groups for these observations, see ``group_by``.

        Examples
        --------
        >>> import simbg
        >>> observations = simbg.simulate("night", n_obs=4).observations()
        >>> groups = Selection(group_by="runs:2").groups_of(observations)
        >>> [len(runs) for runs in groups.split(observations).values()]
        [2, 2]
        """
        if self.test:
            return TEST_GROUPS
        kind, _, minimum = self.group_by.partition(":")
        if not minimum:
            return self.groups
        # One bin in azimuth: if groups were split in azimuth, they would have less exposure.
        first, *_, last = self.groups.azimuth_edges
        return Groups.by_exposure(observations, kind, float(minimum), (first, last))
