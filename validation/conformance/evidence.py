"""Evidence on a method: measures of its cubes of the conformance stores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from simbg.cube import BackgroundCube
from simbg.observations.exposure import StackedCounts
from simbg.reconstruction.histogram import Histogram
from simbg.validation.comparison.conventions import unit_corrections
from simbg.validation.conformance.stores import CLUMP, LIVE, expected_counts
from simbg.validation.methods.isolation import Attempt
from simbg.validation.metrics.cube_pair import with_exposure

__all__ = []

SIGMAS = 5.0
# Largest fraction of the rate in other bins for cubes of the same events. Directions of different
# libraries differ by some arcsec, and pixels are half a degree wide.
MAX_DISPLACED = 0.01
# Errors of a method are smaller than this factor; those of a wrong unit larger than its square.
MAX_FACTOR = 1.8
# Largest unmasked fraction of a partly masked pixel.
PARTIAL = 0.95
# Offsets along both axes at which the rate near a position is averaged, deg.
AROUND = np.array([-0.4, 0.0, 0.4])


@dataclass(frozen=True)
class Evidence:
    """The cubes of a method, and measures of their differences.

    Parameters
    ----------
    attempts : dict of str to Attempt
        One for each of the `VARIANTS`, and "again", a second one of "plain".
    seed : int
        Seed of the stores.
    """

    attempts: dict[str, Attempt]
    seed: int

    @cached_property
    def plain(self) -> BackgroundCube:
        """The cube of the plain store."""
        return self.cube("plain")

    def cube(self, store: str) -> BackgroundCube:
        """The cube of a store.

        Raises
        ------
        ValueError
            If there is none.
        """
        if (cube := self.attempts[store].cube) is None:
            raise ValueError(f"got no cube of the store {store!r}, expected one")
        return cube

    def expected(self, store: str = "plain") -> StackedCounts:
        """Exact expectation for a store, in the axes of the plain cube."""
        return expected_counts(self.seed, self.plain.axes, store)

    def event_rate(self, store: str) -> np.ndarray:
        """Events per second in each bin, by the cube of a store.

        Raises
        ------
        ValueError
            If its axes are not those of the plain cube.
        """
        cube = self.cube(store)
        if not cube.axes.same_as(self.plain.axes):
            raise ValueError(f"got {cube.axes.shape} bins, expected those of the plain store")
        return cube.event_rate

    def ratio(self, store: str, where: Any = True) -> float:
        """Rate of a store over that of the plain one, in bins that both know; NaN if none."""
        rate, plain = self.event_rate(store), self.event_rate("plain")
        used = np.isfinite(rate + plain) & where
        total = plain[used].sum()
        return float(rate[used].sum() / total) if total > 0 else np.nan

    def displaced(self, store: str) -> float:
        """Fraction of the rate in other bins than for the plain store; infinite if bins are NaN."""
        rate, plain = self.event_rate(store), self.event_rate("plain")
        if np.any(np.isnan(rate) != np.isnan(plain)):
            return np.inf
        return float(np.nansum(np.abs(rate - plain)) / np.nansum(plain))

    def unmasked_fraction(self, store: str) -> np.ndarray:
        """Unmasked fraction of the exposure of each bin of a store."""
        whole, unmasked = self.expected().livetime, self.expected(store).livetime
        return np.divide(unmasked, whole, out=np.zeros_like(whole), where=whole > 0)

    def partly_masked(self, store: str, norm: float) -> tuple[float, float, float]:
        """Compare partly masked pixels with those of the plain cube.

        Parameters
        ----------
        store : str
            Name of the store.
        norm : float
            Ratio to the plain cube in bins without masks.

        Returns
        -------
        rms, error, ratio : float
            Relative rms difference beyond binomial noise, the standard error of its square, and the
            ratio of the sums.

        Raises
        ------
        ValueError
            If there is no such pixel with a rate.
        """
        fraction, counts = self.unmasked_fraction(store), self.expected(store).counts
        rate, plain = self.event_rate(store) / norm, self.event_rate("plain")
        used = np.isfinite(rate + plain) & (fraction > 0) & (fraction < PARTIAL)
        bins = np.array([rate * fraction, plain * fraction, counts, counts * (1 - fraction)])
        pixels = np.where(used, bins, 0.0).sum(axis=1)
        rate, plain, counts, variance = pixels[:, pixels[1] > 0]
        if not counts.size:
            raise ValueError("got no rate in any partly masked pixel, expected rates")
        total = np.sum(counts**2)
        square = np.sum((counts * (rate / plain - 1)) ** 2 - variance) / total
        error = np.sqrt(2 * np.sum(variance**2)) / total
        return np.sqrt(max(square, 0.0)), error, rate.sum() / plain.sum()

    @cached_property
    def clump(self) -> np.ndarray:
        """Events per second that the clump of events adds to each bin."""
        return np.nan_to_num(self.event_rate("clump")) - np.nan_to_num(self.event_rate("plain"))

    @cached_property
    def clump_bin(self) -> int:
        """The energy bin that holds most of the clump."""
        return int(np.argmax(self.clump.sum(axis=(1, 2))))

    @property
    def energy_offset(self) -> int:
        """Number of bins by which energies are wrong; 0 if the clump is not seen."""
        attempt = self.attempts.get("clump")
        if not attempt or attempt.reason or not self.clump.max() > 0:
            return 0
        center = np.sqrt(np.prod(CLUMP[0]))
        return self.clump_bin - int(np.searchsorted(self.plain.axes.energy, center) - 1)

    def clump_at(self, turn: Sequence[int]) -> float:
        """Mean rate of the clump near the position of `turned_center`."""
        axes, index = self.plain.axes, []
        for edges, angle in zip((axes.fov_lon, axes.fov_lat), turned_center(turn), strict=True):
            bins = np.searchsorted(edges, angle + AROUND) - 1
            index.append(bins[(bins >= 0) & (bins < edges.size - 1)])
        rates = (self.clump[self.clump_bin] / axes.solid_angle)[np.ix_(*index)]
        return float(rates.mean()) if rates.size else 0.0

    @cached_property
    def livetime_power(self) -> float:
        """Power of the inverse livetime in the rate: 1 per livetime, 0 per ontime."""
        ratio = self.ratio("less alive")
        return float(np.log(ratio) / -np.log(LIVE)) if ratio > 0 else np.nan

    @cached_property
    def per_livetime(self) -> BackgroundCube:
        """The plain cube per livetime, by its measured clock instead of the stated one."""
        expected = self.expected()
        live, ontime = expected.livetime, expected.ontime
        fraction = np.divide(live, ontime, out=np.ones(live.shape), where=ontime > 0)
        power = round(self.livetime_power) if np.isfinite(self.livetime_power) else 1
        rate = self.plain.rate * fraction ** (power - 1)
        cube = replace(self.plain, rate=rate, rate_error=None, clock="livetime")
        return with_exposure(cube, expected, own=False)

    @cached_property
    def corrected(self) -> tuple[str | None, BackgroundCube]:
        """Fault of the unit in words (empty: none; None: not known), and the cube without it."""
        cubes = chain([("", self.per_livetime)], unit_corrections(self.per_livetime))
        near = ((fault, cube) for fault, cube in cubes if self._is_near(cube))
        return next(near, (None, self.per_livetime))

    def _is_near(self, cube):
        """Whether a cube predicts nearly the true counts at all energies with many counts."""
        true, predicted = self.spectra(cube)
        many = true >= SIGMAS**2
        ratio = predicted[many] / true[many]
        return bool(np.all((ratio > 1 / MAX_FACTOR) & (ratio < MAX_FACTOR)))

    def spectra(self, cube: BackgroundCube) -> list[np.ndarray]:
        """True and predicted counts of each energy, in the bins with a rate."""
        known, expected = np.isfinite(cube.rate), self.expected()
        counts = expected.counts, cube.event_rate * expected.livetime
        return [np.where(known, each, 0.0).sum(axis=(1, 2)) for each in counts]

    @cached_property
    def true_cube(self) -> BackgroundCube:
        """The truth at the exposure of the plain store."""
        return Histogram().estimate(self.expected())


def turned_center(turn: Sequence[int]) -> tuple[float, ...]:
    """Centre of the clump (deg) after a swap, a flip of fov_lon, and a flip of fov_lat."""
    swap, *flips = turn
    center = [np.mean(ends) for ends in CLUMP[1:]][:: -1 if swap else 1]
    return tuple(float(angle) * (-1) ** flip for angle, flip in zip(center, flips, strict=True))
