"""Two cubes over the same bins and exposure: what metrics see, and whether they can see it."""

from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from hashlib import blake2b

import numpy as np

__all__ = ["MIN_COUNTS", "CubePair", "check_rates", "with_exposure"]

# Pulls of single bins are about normal where a bin expects this many counts or more.
MIN_COUNTS = 10.0
# True cubes that caches hold.
N_CACHED = 16


@dataclass(frozen=True, eq=False)
class CubePair:
    """Expected counts of the truth and of the rebuilt cube, over common bins.

    Parameters
    ----------
    true, reco : BackgroundCube
        Same axes; ``true.counts`` is expected at the exposure of ``reco``.
    error : ndarray, optional
        True standard error of the rebuilt rate, for pulls; without it, Poisson's of the truth.
    run_expected, run_counts : ndarray, shape (n_obs,), optional
        Events of each run inside the axes: expected and counted.
    noise_free : bool
        Whether the rebuilt cube comes from expected counts: a χ² then gets the mean that noise
        would add.

    Attributes
    ----------
    used : ndarray of bool
        Bins with exposure and a rate.
    exposure : ndarray
        Livetime times volume of the used bins, s MeV sr; else 0.
    expected, predicted : ndarray
        Counts in the used bins, by the truth and by the rebuilt cube; else 0.
    """

    true: object
    reco: object
    error: np.ndarray | None = None
    run_expected: np.ndarray | None = None
    run_counts: np.ndarray | None = None
    noise_free: bool = False

    def __post_init__(self):
        if not self.true.axes.same_as(self.reco.axes):
            raise ValueError(
                f"axes: got {self.reco.axes.shape} bins, expected those of the truth, "
                f"{self.true.axes.shape}, with the same edges"
            )
        used = (self.true.livetime > 0) & np.isfinite(self.reco.rate)
        exposure = np.where(used, self.true.livetime, 0.0) * self.true.axes.volume
        expected = np.where(used, self.true.counts, 0.0)
        predicted = np.where(used, self.reco.per("livetime").rate, 0.0) * exposure
        self.__dict__.update(used=used, exposure=exposure, expected=expected, predicted=predicted)

    @property
    def truth(self):
        """The true cube as a key of caches."""
        return _content(self.true)

    @property
    def stated_variance(self):
        """Variance of the predicted counts that the cube states; None if it does not."""
        return self._variance(self.reco.per("livetime").rate_error)

    @property
    def true_variance(self):
        """Variance of the predicted counts, as `error` has it."""
        return self.expected if self.error is None else self._variance(self.error)

    @cached_property
    def pulls(self):
        """Pulls, in true errors, of bins that expect `MIN_COUNTS` or more."""
        used = (self.expected >= MIN_COUNTS) & (self.true_variance > 0)
        return (self.predicted - self.expected)[used] / np.sqrt(self.true_variance[used])

    def _variance(self, error):
        return None if error is None else (np.nan_to_num(error) * self.exposure) ** 2


@dataclass(frozen=True)
class TrueCube:
    """A true cube that equals every copy of it, as other processes get them with their work.

    Parameters
    ----------
    digest : bytes
        Of its counts and edges.
    cube : BackgroundCube
    """

    digest: bytes
    cube: object = field(compare=False)


@lru_cache(maxsize=N_CACHED)
def _content(true):
    digest = blake2b(digest_size=16)
    for values in (true.counts, true.axes.energy, true.axes.fov_lon, true.axes.fov_lat):
        digest.update(np.ascontiguousarray(values))
    return TrueCube(digest.digest(), true)


def with_exposure(cube, stack, own=True):
    """A cube that may not know its exposure, or not its ``own``, with that of the runs.

    Parameters
    ----------
    cube : BackgroundCube
    stack : Stack
        Of the runs, over the same axes.
    own : bool
        Whether the cube knows its own exposure, if it states one.
    """
    if cube.axes.align != "ALTAZ":
        raise ValueError(f"got a cube aligned with {cube.axes.align}, expected ALTAZ")
    # One clock without the other converts nothing.
    if own and cube.livetime is not None and cube.ontime is not None:
        return cube
    counts = cube.counts if own else None
    return replace(cube, counts=counts, livetime=stack.livetime, ontime=stack.ontime)


def check_rates(reco, true):
    """Refuse a cube that would pass for want of anything to measure."""
    if reco.livetime is None or not np.any(reco.livetime > 0):
        raise ValueError("got a cube without livetime, expected that of each bin")
    claim, runs = reco.livetime.max(), true.livetime.max()
    # Sums of the same seconds in another order.
    if abs(claim - runs) > 1e-9 * runs:
        raise ValueError(f"got {claim:.0f} s of livetime, expected that of the runs, {runs:.0f} s")
    rate = reco.rate[true.livetime > 0]
    # No double of a rate that is no nonsense overflows when it is squared.
    bad = np.count_nonzero(~((rate >= 0) & (rate < 1e100)))
    if bad:
        raise ValueError(
            f"got {bad} rates of {rate.size} that are negative or no number, "
            "expected 0 or more wherever there is exposure"
        )
