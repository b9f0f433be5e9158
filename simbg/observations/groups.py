"""Groups of observations in altitude and azimuth: those of 2015, or of a minimum exposure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from simbg.observations.observation import Observation
from simbg.quantities import convert_fields, in_unit

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Groups"]

# deg, as in 2015.
ALTITUDE_EDGES = (0, 20, 23, 27, 30, 33, 37, 40, 44, 49, 53, 58, 64, 72, 90)
AZIMUTH_EDGES = (-90, 90, 270)


@dataclass(frozen=True)
class Groups:
    """Bins in altitude × azimuth; ``GROUP_ID`` counts from 0, azimuth fastest.

    A bin includes its lower edge and not its upper one; altitude 90 deg belongs to the last
    bin. Azimuth is wrapped into the range of the azimuth edges.

    Parameters
    ----------
    altitude_edges, azimuth_edges : tuple of float or Quantity
        Edges, increasing; bare numbers are in deg. By default those of 2015.

    Examples
    --------
    >>> groups = Groups(altitude_edges=(0, 45, 90), azimuth_edges=(-90, 270))
    >>> groups.assign([80.0, 30.0, -5.0], [180.0, 0.0, 0.0])
    array([ 1,  0, -1])
    """

    altitude_edges: tuple[float, ...] = field(default=ALTITUDE_EDGES, metadata={"unit": "deg"})
    azimuth_edges: tuple[float, ...] = field(default=AZIMUTH_EDGES, metadata={"unit": "deg"})

    def __post_init__(self) -> None:
        convert_fields(self, "groups: ")

    @classmethod
    def by_exposure(
        cls,
        observations: Sequence[Observation],
        kind: str,
        minimum: float,
        azimuth_edges: tuple[float, ...] = (-90, 270),
    ) -> Groups:
        """Groups in altitude with at least a minimum exposure each.

        Parameters
        ----------
        observations : sequence of Observation
            The observations to group.
        kind : {"livetime", "runs"}
            Measure of exposure: livetime in h, or number of observations.
        minimum : float
            Smallest exposure of a group. The observations that remain at the end belong to the last
            group, so each group has enough exposure if all observations together have.
        azimuth_edges : tuple of float
            Edges in azimuth, deg.

        Returns
        -------
        Groups
            With edges halfway between the altitudes of neighbouring observations.

        Raises
        ------
        ValueError
            If ``minimum`` is not positive.

        Examples
        --------
        >>> from simbg.simulation.experiment import Experiment
        >>> from simbg.simulation.library import SCENARIOS
        >>> observations = Experiment.of(SCENARIOS["night"], seed=0).observations()
        >>> groups = Groups.by_exposure(observations, "runs", 4)
        >>> len(groups.table), len(groups.split(observations))
        (2, 2)
        """
        if not minimum > 0:
            raise ValueError(f"minimum exposure of a group: got {minimum}, expected more than 0")
        alt = np.array([observation.alt for observation in observations])
        amount = np.array([o.livetime / 3600 if kind == "livetime" else 1.0 for o in observations])
        order = np.argsort(alt, kind="stable")
        edges, in_group, remaining = [0.0], 0.0, amount.sum()
        for this, following in pairwise(order):
            in_group, remaining = in_group + amount[this], remaining - amount[this]
            if min(in_group, remaining) >= minimum and alt[following] > alt[this]:
                edges.append(float(0.5 * (alt[this] + alt[following])))
                in_group = 0.0
        return cls((*edges, 90.0), azimuth_edges)

    def assign(self, alt: ArrayLike, az: ArrayLike) -> np.ndarray:
        """GROUP_ID of each pointing, −1 outside of all groups; alt and az in deg, shape (n,).

        Examples
        --------
        >>> Groups().assign([80.0, 60.0, 45.0], [180.0, 0.0, 359.0])
        array([27, 22, 16])
        """
        alt, az = in_unit(alt, "deg", "altitude"), in_unit(az, "deg", "azimuth")
        alt = np.asarray(alt, float)
        n_alt, i_az = len(self.altitude_edges) - 1, self.azimuth_bin(az)
        i_alt = np.searchsorted(self.altitude_edges, alt, side="right") - 1
        i_alt = np.where(alt == self.altitude_edges[-1], n_alt - 1, i_alt)
        inside = (i_alt >= 0) & (i_alt < n_alt) & (i_az >= 0) & np.isfinite(alt)
        return np.where(inside, i_alt * self.n_azimuth + i_az, -1)

    @property
    def n_azimuth(self) -> int:
        """Number of bins in azimuth.

        Examples
        --------
        >>> Groups(azimuth_edges=(-90, 90, 270)).n_azimuth
        2
        """
        return len(self.azimuth_edges) - 1

    def azimuth_bin(self, az: ArrayLike) -> np.ndarray:
        """Index of the bin in azimuth, −1 outside of all bins; az in deg.

        Examples
        --------
        >>> Groups(azimuth_edges=(-90, 90, 270)).azimuth_bin([0.0, 180.0, 359.0])
        array([0, 1, 0])
        """
        start = self.azimuth_edges[0]
        wrapped = (np.asarray(az, float) - start) % 360 + start
        i_az = np.searchsorted(self.azimuth_edges, wrapped, side="right") - 1
        return np.where(np.isfinite(wrapped) & (i_az < self.n_azimuth), i_az, -1)

    def split(self, observations: Sequence[Observation]) -> dict[int, list[Observation]]:
        """The observations of each group that has any, as a dict by GROUP_ID.

        Examples
        --------
        >>> from simbg.simulation.experiment import Experiment
        >>> from simbg.simulation.library import SCENARIOS
        >>> observations = Experiment.of(SCENARIOS["night"], seed=0).observations()
        >>> groups = Groups(altitude_edges=(0, 45, 90), azimuth_edges=(-90, 270))
        >>> {group: len(members) for group, members in groups.split(observations).items()}
        {1: 8}
        """
        group_id = self.assign([o.alt for o in observations], [o.az for o in observations])
        return {
            int(group): [observations[i] for i in np.flatnonzero(group_id == group).tolist()]
            for group in np.unique(group_id[group_id >= 0])
        }

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Definitions of the groups: GROUP_ID, ALT_MIN, ALT_MAX, AZ_MIN, AZ_MAX (deg).

        Examples
        --------
        >>> groups = Groups(altitude_edges=(0, 45, 90), azimuth_edges=(-90, 270))
        >>> groups.columns["ALT_MAX"].tolist()
        [45.0, 90.0]
        """
        alt, az = np.array(self.altitude_edges, float), np.array(self.azimuth_edges, float)
        n_alt, n_az = alt.size - 1, az.size - 1
        return {
            "GROUP_ID": np.arange(n_alt * n_az),
            "ALT_MIN": np.repeat(alt[:-1], n_az),
            "ALT_MAX": np.repeat(alt[1:], n_az),
            "AZ_MIN": np.tile(az[:-1], n_alt),
            "AZ_MAX": np.tile(az[1:], n_alt),
        }

    @property
    def table(self) -> Table:
        """`columns` as a table of astropy, with units.

        Examples
        --------
        >>> groups = Groups(altitude_edges=(0, 45, 90), azimuth_edges=(-90, 270))
        >>> groups.table["ALT_MAX"].tolist()
        [45.0, 90.0]
        """
        from astropy.table import Table

        table = Table(self.columns)
        for name in table.colnames[1:]:
            table[name].unit = "deg"
        return table
