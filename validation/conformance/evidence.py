"""Evidence on a method: what the cubes that it made of the conformance stores say."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

import numpy as np

from simbg.reconstruction.histogram import Histogram
from simbg.validation.comparison.conventions import unit_corrections
from simbg.validation.conformance.stores import CLUMP, LIVE, expected_counts
from simbg.validation.metrics.cube_pair import with_exposure

__all__ = []

SIGMAS = 5.0
# Two cubes of the same events are the same if no more of the rate lies elsewhere: libraries
# differ by some arc seconds in where the sky is, and pixels are half a degree.
MAX_DISPLACED = 0.01
# No method is off by this factor, and any wrong unit is, by at least its square.
MAX_FACTOR = 1.8
# A mask passes through a pixel if no more than this fraction is unmasked.
PARTIAL = 0.95
# Points about a place, along either axis, at which the rate is looked up (deg).
AROUND = np.array([-0.4, 0.0, 0.4])


@dataclass(frozen=True)
class Evidence:
    """The cubes of a method, and measures of how they differ.

    Parameters
    ----------
    attempts : dict of str to Attempt
        For each of the `VARIANTS`, and "again", which is "plain" a second time.
    seed : int
    """

    attempts: dict
    seed: int

    @cached_property
    def plain(self):
        """The cube of the plain store."""
        return self.attempts["plain"].cube

    def expected(self, store="plain"):
        """The exact expectation for a store, as `StackedCounts`."""
        return expected_counts(self.seed, self.plain.axes, store)

    def event_rate(self, store):
        """Events per second in each bin, by the cube of a store."""
        cube = self.attempts[store].cube
        if not cube.axes.same_as(self.plain.axes):
            raise ValueError(f"got {cube.axes.shape} bins, other ones than of the plain store")
        return cube.event_rate

    def ratio(self, store, where=True):
        """Rate of a store over that of the plain one, in bins that both know; else NaN."""
        rate, plain = self.event_rate(store), self.event_rate("plain")
        used = np.isfinite(rate + plain) & where
        total = plain[used].sum()
        return float(rate[used].sum() / total) if total > 0 else np.nan

    def displaced(self, store):
        """Fraction of the rate in other bins than in the plain cube; infinite if bins are NaN."""
        rate, plain = self.event_rate(store), self.event_rate("plain")
        if np.any(np.isnan(rate) != np.isnan(plain)):
            return np.inf
        return float(np.nansum(np.abs(rate - plain)) / np.nansum(plain))

    def unmasked_fraction(self, store):
        """Fraction of the exposure of each bin that the regions of a store leave."""
        whole, left = self.expected().livetime, self.expected(store).livetime
        return np.divide(left, whole, out=np.zeros_like(whole), where=whole > 0)

    def partly_masked(self, store, norm):
        """Compare pixels that a mask passes through with those of the plain cube.

        Parameters
        ----------
        store : str
        norm : float
            Ratio to the plain cube in bins without masks.

        Returns
        -------
        rms, error, ratio : float
            The relative rms difference beyond noise, which is binomial; the standard error of
            its square; and the ratio of the sums.
        """
        fraction, counts = self.unmasked_fraction(store), self.expected(store).counts
        rate, plain = self.event_rate(store) / norm, self.event_rate("plain")
        used = np.isfinite(rate + plain) & (fraction > 0) & (fraction < PARTIAL)
        bins = np.array([rate * fraction, plain * fraction, counts, counts * (1 - fraction)])
        pixels = np.where(used, bins, 0.0).sum(axis=1)
        rate, plain, counts, variance = pixels[:, pixels[1] > 0]
        if not counts.size:
            raise ValueError("got no rate where masks pass, expected one")
        total = np.sum(counts**2)
        square = np.sum((counts * (rate / plain - 1)) ** 2 - variance) / total
        error = np.sqrt(2 * np.sum(variance**2)) / total
        return np.sqrt(max(square, 0.0)), error, rate.sum() / plain.sum()

    @cached_property
    def clump(self):
        """Events per second that the clump of events adds to each bin."""
        return np.nan_to_num(self.event_rate("clump")) - np.nan_to_num(self.event_rate("plain"))

    @cached_property
    def clump_bin(self):
        """The energy bin that holds most of the clump."""
        return int(np.argmax(self.clump.sum(axis=(1, 2))))

    @property
    def energy_offset(self):
        """Number of bins by which energies are off; 0 if the clump is not seen."""
        attempt = self.attempts.get("clump")
        if not attempt or attempt.reason or not self.clump.max() > 0:
            return 0
        center = np.sqrt(np.prod(CLUMP[0]))
        return self.clump_bin - int(np.searchsorted(self.plain.axes.energy, center) - 1)

    def clump_at(self, turn):
        """Mean rate that the clump adds about `turned_center` of a flip or a swap."""
        axes, index = self.plain.axes, []
        for edges, angle in zip((axes.fov_lon, axes.fov_lat), turned_center(turn), strict=True):
            bins = np.searchsorted(edges, angle + AROUND) - 1
            index.append(bins[(bins >= 0) & (bins < edges.size - 1)])
        rates = (self.clump[self.clump_bin] / axes.solid_angle)[np.ix_(*index)]
        return float(rates.mean()) if rates.size else 0.0

    @cached_property
    def livetime_power(self):
        """The power of the inverse livetime in the rate: 1 per livetime, 0 per ontime."""
        ratio = self.ratio("less alive")
        return float(np.log(ratio) / -np.log(LIVE)) if ratio > 0 else np.nan

    @cached_property
    def per_livetime(self):
        """The plain cube per livetime, by the clock that it has, whatever clock it names."""
        expected = self.expected()
        live, ontime = expected.livetime, expected.ontime
        fraction = np.divide(live, ontime, out=np.ones(live.shape), where=ontime > 0)
        power = round(self.livetime_power) if np.isfinite(self.livetime_power) else 1
        rate = self.plain.rate * fraction ** (power - 1)
        cube = replace(self.plain, rate=rate, rate_error=None, clock="livetime")
        return with_exposure(cube, expected, own=False)

    @cached_property
    def corrected(self):
        """Fault of the unit in words ("": none; None: unknown), and the cube without it."""
        cubes = chain([("", self.per_livetime)], unit_corrections(self.per_livetime))
        near = ((fault, cube) for fault, cube in cubes if self._is_near(cube))
        return next(near, (None, self.per_livetime))

    def _is_near(self, cube):
        """Whether a cube predicts about the true counts, at all energies that have many."""
        true, predicted = self.spectra(cube)
        many = true >= SIGMAS**2
        ratio = predicted[many] / true[many]
        return bool(np.all((ratio > 1 / MAX_FACTOR) & (ratio < MAX_FACTOR)))

    def spectra(self, cube):
        """True and predicted counts of each energy, over bins with a rate."""
        known, expected = np.isfinite(cube.rate), self.expected()
        counts = expected.counts, cube.event_rate * expected.livetime
        return [np.where(known, each, 0.0).sum(axis=(1, 2)) for each in counts]

    @cached_property
    def true_cube(self):
        """The truth at the exposure of the plain store."""
        return Histogram().estimate(self.expected())


def turned_center(turn):
    """Where (swap, flip of fov_lon, flip of fov_lat) moves the centre of the clump, deg."""
    swap, *flips = turn
    center = [np.mean(ends) for ends in CLUMP[1:]][:: -1 if swap else 1]
    return tuple(float(angle) * (-1) ** flip for angle, flip in zip(center, flips, strict=True))
