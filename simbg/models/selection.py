"""Selection: which runs are used, which regions are excluded, and how runs are grouped."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from simbg.io.safe_files import expanded
from simbg.models.known_sources import is_image, known_sources
from simbg.models.runs import runs_of
from simbg.observations.groups import Groups
from simbg.observations.observation import Observation
from simbg.observations.store import Store, run_numbers
from simbg.quantities import convert_fields, warn_of_gev
from simbg.sky.regions import Region, circles

__all__ = ["Selection", "exclusions"]

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
    exclude : path-like, regions.Regions, WcsNDMap, Region, or tuple of these
        Additional sources and regions: files (DS9 regions, source tables, mask images) or objects;
        see `simbg.models.known_sources.known_sources` and `simbg.io.mask_images.read_mask_image`.
    groups : Groups
        Groups in altitude and azimuth.
    test : bool
        2015's quick test: at most 100 runs, 5 sources of the catalogue, 2 groups.
    sources : {"drop", "mask"}
        Treatment of known sources: runs near them are dropped, as in 2015, or regions are
        masked. Regions and the pixels of mask images are masked as they are, other sources as
        circles of radius ``margin`` + 2 · radius. Mask images need "mask".
    margin : float or Quantity
        Margin of masks; a bare number is in deg.
    group_by : str
        "2015" for ``groups``. "livetime:HOURS" or "runs:NUMBER" for groups in altitude with this
        minimum each, instead of the altitude bins of ``groups``; they include all azimuths.
    energy_threshold : float or Quantity, optional
        Energy threshold of all runs instead of their own; a bare number is in TeV.
    covariates : tuple of str
        Columns of the observation table, or "azimuth", on which the background of a run may depend.
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
    exclude: tuple[Any, ...] = ()
    groups: Groups = field(default_factory=Groups)
    test: bool = False
    sources: str = "drop"
    margin: float = field(default=0.4, metadata={"unit": "deg"})
    group_by: str = "2015"
    energy_threshold: float | None = field(default=None, metadata={"unit": "TeV"})
    skip_incomplete: bool = False
    covariates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.obs_ids is not None:
            object.__setattr__(self, "obs_ids", run_numbers(self.obs_ids, "obs_ids"))
        object.__setattr__(self, "exclude", exclusions(self.exclude))
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
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "crab.reg")
        ...     n = path.write_text("icrs; circle(83.633, 22.014, 0.5)")
        ...     [region.center for region in Selection(exclude=("none", path)).regions()]
        [(83.633, 22.014)]
        """
        from simbg.io.region_files import is_region_file  # imported here: it is slow

        tables = [one for one in self.exclude if isinstance(one, str) and not is_image(one)]
        tables = [path for path in tables if not is_region_file(path)]
        about_sources = circles(known_sources(tables, max_sources=self.max_sources), self.margin)
        others = [one for one in self.exclude if not (isinstance(one, str) and one in tables)]
        return (*about_sources, *(region for one in others for region in self._shapes(one)))

    def _shapes(self, one):
        """The regions of a region file or mask image, or of an object."""
        from simbg.io.mask_images import read_mask_image
        from simbg.io.region_files import read_regions, regions_of

        if isinstance(one, Region):
            return (one,)
        if not isinstance(one, str):
            return regions_of(one, self.margin)
        return read_mask_image(one) if is_image(one) else read_regions(one, self.margin)

    @property
    def without_images(self) -> tuple[Any, ...]:
        """``exclude`` without mask images, for `simbg.models.known_sources.known_sources`.

        Examples
        --------
        >>> Selection(exclude=("none", "mine.reg")).without_images
        ('none', 'mine.reg')
        """
        return tuple(one for one in self.exclude if not is_image(one))

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


def exclusions(given: Any) -> tuple[Any, ...]:
    """What is to be excluded, as a flat tuple: paths as text, maps as regions, other objects.

    Parameters
    ----------
    given : path-like, regions.Regions, WcsNDMap, Region, or nested lists or tuples of these
        Files, the word ``none``, and objects.

    Raises
    ------
    ValueError
        If there is another object.

    Examples
    --------
    >>> exclusions(["none", ("a.reg", "b.fits")])
    ('none', 'a.reg', 'b.fits')
    """
    if isinstance(given, list | tuple):
        return tuple(one for part in given for one in exclusions(part))
    if isinstance(given, str | PathLike):
        return (str(expanded(str(given))),)
    if isinstance(given, Region):
        return (given,)
    if hasattr(given, "geom") and hasattr(given, "data"):
        from simbg.io.mask_images import regions_of_map

        return regions_of_map(given)
    if type(given).__module__.partition(".")[0] == "regions":
        return (given,)
    raise ValueError(
        f"exclude: got type {type(given).__name__}, expected a file, regions.Regions, a WcsNDMap "
        "of gammapy, or a tuple of these"
    )
