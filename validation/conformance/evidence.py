"""What a method made of the stores of the conformance suite, and what it says of the method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from simbg.reconstruction.histogram import Histogram
from simbg.validation.comparison.conventions import unit_corrections
from simbg.validation.conformance.stores import LIVE, PLACE, expected
from simbg.validation.metrics.cube_pair import with_exposure

__all__ = ["GROSS", "MOVED", "SIGMAS", "Case", "turned"]

SIGMAS = 5.0
# Two cubes of the same events are the same if no more of the rate lies elsewhere: libraries
# differ by some arc seconds in where the sky is, and pixels are half a degree.
MOVED = 0.01
# No method is off by as much, and any wrong unit is, by at least the square of this.
GROSS = 1.8
# What is left of a pixel through which a mask passes, at most.
PASSED = 0.95
# Points about a place, along either axis, at which the rate is looked up (deg).
AROUND = np.array([-0.4, 0.0, 0.4])


@dataclass(frozen=True)
class Case:
    """What a method made.

    Parameters
    ----------
    made : dict of str to Attempt
        For each of the `TRIALS`, and "again", which is "plain" a second time.
    seed : int
    """

    made: dict
    seed: int

    @cached_property
    def plain(self):
        """The cube of the plain store."""
        return self.made["plain"].cube

    def true(self, name="plain"):
        """The exact stack of a store, as `simbg.simulation.simulate.expected_stack` has it."""
        return expected(self.seed, self.plain.axes, name)

    def events(self, name):
        """Events per second in each bin, by the cube of a store."""
        cube = self.made[name].cube
        if not cube.axes.same_as(self.plain.axes):
            raise ValueError(f"got {cube.axes.shape} bins, other ones than of the plain store")
        return cube.event_rate

    def ratio(self, name, where=True, weight=1.0):
        """Rate of a store over that of the plain one, over bins that both know; else NaN."""
        one, plain = (self.events(each) * weight for each in (name, "plain"))
        used = np.isfinite(one + plain) & where
        total = plain[used].sum()
        return float(one[used].sum() / total) if total > 0 else np.nan

    def moved(self, name, where=True):
        """Part of the rate that is not where the plain cube has it; infinite if other bins are."""
        one, plain = (np.where(where, self.events(each), 0.0) for each in (name, "plain"))
        if np.any(np.isnan(one) != np.isnan(plain)):
            return np.inf
        return float(np.nansum(np.abs(one - plain)) / np.nansum(plain))

    def share(self, name):
        """What the regions of a store leave of the exposure of each bin."""
        whole, left = self.true().livetime, self.true(name).livetime
        return np.divide(left, whole, out=np.zeros_like(whole), where=whole > 0)

    def pixels(self, name, norm):
        """How much pixels that a mask passes through differ from those of the plain cube.

        Parameters
        ----------
        name : str
        norm : float
            Of the cube as a whole, by the plain one.

        Returns
        -------
        rms, error, ratio : float
            The relative rms difference without that of the noise, which is binomial, the
            standard error of its square, and the ratio of all.
        """
        share, counts = self.share(name), self.true(name).counts
        one, plain = self.events(name) / norm, self.events("plain")
        known = np.isfinite(one + plain) & (share > 0) & (share < PASSED)
        image = [one * share, plain * share, counts, counts * (1 - share)]
        image = np.array([np.where(known, each, 0.0).sum(axis=0) for each in image])
        one, plain, counts, variance = image[:, image[1] > 0]
        if not counts.size:
            raise ValueError("got no rate where masks pass, expected one")
        total = np.sum(counts**2)
        square = np.sum((counts * (one / plain - 1)) ** 2 - variance) / total
        error = np.sqrt(2 * np.sum(variance**2)) / total
        return np.sqrt(max(square, 0.0)), error, one.sum() / plain.sum()

    @cached_property
    def clump(self):
        """Events per second that a clump of events adds to each bin."""
        return np.nan_to_num(self.events("clump")) - np.nan_to_num(self.events("plain"))

    @cached_property
    def clump_bins(self):
        """Energy bin in which the clump is, and that in which most of it is found."""
        centre = np.sqrt(np.prod(PLACE[0]))
        right = int(np.searchsorted(self.plain.axes.energy, centre) - 1)
        return right, int(np.argmax(self.clump.sum(axis=(1, 2))))

    @property
    def off_in_energy(self):
        """By how many bins; 0 if the clump is not seen."""
        if "clump" not in self.made or self.made["clump"].reason or not np.any(self.clump > 0):
            return 0
        return self.clump_bins[1] - self.clump_bins[0]

    def clump_at(self, turn):
        """Rate that the clump adds about the place where a flip or a swap would have it."""
        axes, which = self.plain.axes, []
        for edges, angle in zip((axes.fov_lon, axes.fov_lat), turned(turn), strict=True):
            index = np.searchsorted(edges, angle + AROUND) - 1
            which.append(index[(index >= 0) & (index < edges.size - 1)])
        image = self.clump[self.clump_bins[1]] / axes.solid_angle
        found = image[np.ix_(*which)]
        return float(found.mean()) if found.size else 0.0

    @cached_property
    def power(self):
        """Of the inverse livetime, as which the rate grows: 1 per livetime, 0 per ontime."""
        ratio = self.ratio("less alive")
        return float(np.log(ratio) / np.log(1 / LIVE)) if ratio > 0 else np.nan

    @cached_property
    def counted(self):
        """The plain cube per livetime, by the clock that it has and not that which it names."""
        true = self.true()
        share = np.divide(
            true.livetime, true.ontime, out=np.ones(self.plain.rate.shape), where=true.ontime > 0
        )
        power = round(self.power) if np.isfinite(self.power) else 1
        rate = self.plain.rate * share ** (power - 1)
        cube = replace(self.plain, rate=rate, rate_error=None, clock="livetime")
        return with_exposure(cube, true, own=False)

    @cached_property
    def cured(self):
        """Fault of the unit in words, "" if it is right, None if it is none that is known; cube."""
        if self._is_near(self.counted):
            return "", self.counted
        for name, cube in unit_corrections(self.counted):
            if self._is_near(cube):
                return name, cube
        return None, self.counted

    def _is_near(self, cube):
        """Whether it predicts about the true counts, at all energies that have many."""
        true, found = self.spectra(cube)
        rich = true >= SIGMAS**2
        ratio = found[rich] / true[rich]
        return bool(np.all((ratio > 1 / GROSS) & (ratio < GROSS)))

    def spectra(self, cube):
        """True and predicted counts of each energy, over bins that are known."""
        known, true = np.isfinite(cube.rate), self.true()
        counts = true.counts, cube.event_rate * true.livetime
        return [np.where(known, each, 0.0).sum(axis=(1, 2)) for each in counts]

    @cached_property
    def true_cube(self):
        """The truth at the exposure of the plain store."""
        return Histogram().estimate(self.true())


def turned(turn):
    """Where (swap, flip of fov_lon, flip of fov_lat) takes the middle of the clump, deg."""
    swap, lon, lat = turn
    place = [np.mean(PLACE[1]), np.mean(PLACE[2])][:: -1 if swap else 1]
    return float(place[0] * (-1) ** lon), float(place[1] * (-1) ** lat)
