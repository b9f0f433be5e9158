"""Groups of observations in altitude and azimuth: 2015's, or those that hold enough exposure."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from astropy import units as u
from astropy.table import Table

__all__ = ["Groups"]

# deg, as in 2015.
ALTITUDE_EDGES = (0, 20, 23, 27, 30, 33, 37, 40, 44, 49, 53, 58, 64, 72, 90)
AZIMUTH_EDGES = (-90, 90, 270)


@dataclass(frozen=True)
class Groups:
    """Altitude × azimuth bins; ``GROUP_ID`` counts from 0, altitude slowest.

    A bin holds its lower edge and not its upper, but for altitude 90 deg, which
    lies in the last. Azimuth is wrapped into the range of its edges.

    Parameters
    ----------
    altitude_edges, azimuth_edges : tuple of float
        deg, increasing; by default those of 2015.
    """

    altitude_edges: tuple[float, ...] = ALTITUDE_EDGES
    azimuth_edges: tuple[float, ...] = AZIMUTH_EDGES

    @classmethod
    def by_exposure(cls, observations, kind, least, azimuth_edges=(-90, 270)):
        """Groups in altitude that hold ``least`` or more each.

        Parameters
        ----------
        observations : sequence of Observation
        kind : {"livetime", "runs"}
            What is held: livetime in h, or a number of observations.
        least : float
            The last group takes what is left over, so all have enough, if all observations do.
        azimuth_edges : tuple of float
            deg
        """
        if not least > 0:
            raise ValueError(f"least exposure of a group: got {least}, expected more than 0")
        alt = np.array([observation.alt for observation in observations])
        amount = np.array([o.livetime / 3600 if kind == "livetime" else 1.0 for o in observations])
        order = np.argsort(alt, kind="stable")
        edges, held, left = [0.0], 0.0, amount.sum()
        for this, following in pairwise(order):
            held, left = held + amount[this], left - amount[this]
            if held >= least and left >= least and alt[following] > alt[this]:
                edges.append(float(0.5 * (alt[this] + alt[following])))
                held = 0.0
        return cls((*edges, 90.0), azimuth_edges)

    def assign(self, alt, az):
        """GROUP_ID of each pointing, −1 outside; alt and az in deg, shape (n,).

        Examples
        --------
        >>> Groups().assign([80.0, 60.0, 45.0], [180.0, 0.0, 359.0])
        array([27, 22, 16])
        """
        alt = np.asarray(alt, float)
        n_alt, i_az = len(self.altitude_edges) - 1, self.azimuth_bin(az)
        i_alt = np.searchsorted(self.altitude_edges, alt, side="right") - 1
        i_alt = np.where(alt == self.altitude_edges[-1], n_alt - 1, i_alt)
        inside = (i_alt >= 0) & (i_alt < n_alt) & (i_az >= 0) & np.isfinite(alt)
        return np.where(inside, i_alt * self.n_azimuth + i_az, -1)

    @property
    def n_azimuth(self):
        """Number of bins in azimuth."""
        return len(self.azimuth_edges) - 1

    def azimuth_bin(self, az):
        """Bin in azimuth, −1 outside; az in deg."""
        start = self.azimuth_edges[0]
        wrapped = (np.asarray(az, float) - start) % 360 + start
        i_az = np.searchsorted(self.azimuth_edges, wrapped, side="right") - 1
        return np.where(np.isfinite(wrapped) & (i_az < self.n_azimuth), i_az, -1)

    def split(self, observations):
        """The observations of each group that has any, a dict by GROUP_ID."""
        group_id = self.assign([o.alt for o in observations], [o.az for o in observations])
        return {
            int(group): [observations[i] for i in np.flatnonzero(group_id == group)]
            for group in np.unique(group_id[group_id >= 0])
        }

    @property
    def table(self):
        """The definitions: GROUP_ID, ALT_MIN, ALT_MAX, AZ_MIN, AZ_MAX (deg)."""
        alt, az = np.array(self.altitude_edges, float), np.array(self.azimuth_edges, float)
        n_alt, n_az = alt.size - 1, az.size - 1
        columns = {
            "ALT_MIN": np.repeat(alt[:-1], n_az),
            "ALT_MAX": np.repeat(alt[1:], n_az),
            "AZ_MIN": np.tile(az[:-1], n_alt),
            "AZ_MAX": np.tile(az[1:], n_alt),
        }
        table = Table({"GROUP_ID": np.arange(n_alt * n_az)})
        for name, values in columns.items():
            table[name] = values * u.deg
        return table
