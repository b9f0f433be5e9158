"""A true and a reconstructed cube over the same bins and exposure, which all metrics compare."""

from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from hashlib import blake2b

import numpy as np

from simbg.cube import BackgroundCube
from simbg.observations.exposure import StackedCounts

__all__ = ["MIN_COUNTS", "CubePair", "check_rates", "with_exposure"]

# Pulls of single bins are nearly normal where a bin expects this many counts or more.
MIN_COUNTS = 10.0
# Number of true cubes that a cache holds.
N_CACHED = 16


@dataclass(frozen=True, eq=False)
class CubePair:
    """Expected counts of the truth and predicted counts of the reconstruction, in common bins.

    Parameters
    ----------
    true : BackgroundCube
        The true rate; ``true.counts`` are the expected counts at the exposure of ``reco``.
    reco : BackgroundCube
        The reconstructed rate, over the same axes.
    error : ndarray, shape of the axes, optional
        True standard error of the reconstructed rate, s-1 MeV-1 sr-1, for the pulls. By default
        the Poisson error of the true counts.
    run_expected, run_counts : ndarray, shape (n_obs,), optional
        Expected and observed number of events of each run inside the axes.
    noise_free : bool
        Whether the reconstructed cube comes from expected counts. A χ² then gets the mean that
        noise would add.

    Attributes
    ----------
    used : ndarray of bool, shape of the axes
        Bins with exposure and a finite rate.
    livetime, exposure : ndarray, shape of the axes
        Livetime, s, and livetime times bin volume, s MeV sr; 0 in bins that are not used.
    expected, predicted : ndarray, shape of the axes
        Counts by the truth and by the reconstruction; 0 in bins that are not used.

    Raises
    ------
    ValueError
        If the axes of both cubes differ, or if the true cube has no livetime or no counts.
    """

    true: BackgroundCube
    reco: BackgroundCube
    error: np.ndarray | None = None
    run_expected: np.ndarray | None = None
    run_counts: np.ndarray | None = None
    noise_free: bool = False
    used: np.ndarray = field(init=False, repr=False)
    livetime: np.ndarray = field(init=False, repr=False)
    exposure: np.ndarray = field(init=False, repr=False)
    expected: np.ndarray = field(init=False, repr=False)
    predicted: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.true.axes.same_as(self.reco.axes):
            raise ValueError(
                f"axes: got {self.reco.axes.shape} bins, expected those of the truth, "
                f"{self.true.axes.shape}, with the same edges"
            )
        livetime, counts = self.true.livetime, self.true.counts
        if livetime is None or counts is None:
            raise ValueError("got a true cube without livetime or counts, expected both")
        used = (livetime > 0) & np.isfinite(self.reco.rate)
        livetime = np.where(used, livetime, 0.0)
        exposure = livetime * self.true.axes.volume
        expected = np.where(used, counts, 0.0)
        predicted = np.where(used, self.reco.per("livetime").rate, 0.0) * exposure
        self.__dict__.update(used=used, livetime=livetime, exposure=exposure)
        self.__dict__.update(expected=expected, predicted=predicted)

    @property
    def truth(self) -> "TrueCube":
        """The true cube, hashable by its content, as a key of caches."""
        return _content(self.true)

    @property
    def stated_variance(self) -> np.ndarray | None:
        """Variance of the predicted counts as the cube states it; None without stated errors."""
        return self._variance(self.reco.per("livetime").rate_error)

    @property
    def true_variance(self) -> np.ndarray:
        """Variance of the predicted counts from ``error``, or else Poisson's."""
        variance = self._variance(self.error)
        return self.expected if variance is None else variance

    @cached_property
    def pulls(self) -> np.ndarray:
        """Pulls, in true errors, of the bins that expect `MIN_COUNTS` counts or more."""
        used = (self.expected >= MIN_COUNTS) & (self.true_variance > 0)
        return (self.predicted - self.expected)[used] / np.sqrt(self.true_variance[used])

    def _variance(self, error: np.ndarray | None) -> np.ndarray | None:
        return None if error is None else (np.nan_to_num(error) * self.exposure) ** 2


@dataclass(frozen=True)
class TrueCube:
    """A true cube that is equal to each copy of it, also to one sent to another process.

    Parameters
    ----------
    digest : bytes
        Checksum of its counts and edges.
    cube : BackgroundCube
        The cube itself.
    """

    digest: bytes
    cube: BackgroundCube = field(compare=False)


@lru_cache(maxsize=N_CACHED)
def _content(true):
    digest = blake2b(digest_size=16)
    for values in (true.counts, true.axes.energy, true.axes.fov_lon, true.axes.fov_lat):
        digest.update(np.ascontiguousarray(values).tobytes())
    return TrueCube(digest.digest(), true)


def with_exposure(cube: BackgroundCube, stack: StackedCounts, own: bool = True) -> BackgroundCube:
    """A cube with the exposure of its runs, unless it states its own.

    Parameters
    ----------
    cube : BackgroundCube
        Aligned with ALTAZ.
    stack : StackedCounts
        Exposure of the runs over the same axes.
    own : bool
        Whether an exposure that the cube states is used. Without it, the counts of the cube are
        dropped as well.

    Returns
    -------
    cube : BackgroundCube
        With livetime and ontime.

    Raises
    ------
    ValueError
        If the cube is not aligned with ALTAZ.
    """
    if cube.axes.align != "ALTAZ":
        raise ValueError(f"got a cube aligned with {cube.axes.align}, expected ALTAZ")
    # Rates are converted between the clocks only with both livetime and ontime.
    if own and cube.livetime is not None and cube.ontime is not None:
        return cube
    counts = cube.counts if own else None
    return replace(cube, counts=counts, livetime=stack.livetime, ontime=stack.ontime)


def check_rates(reco: BackgroundCube, true: BackgroundCube) -> None:
    """Refuse a cube whose rates or livetimes cannot be compared with the truth.

    Parameters
    ----------
    reco : BackgroundCube
        The reconstructed cube.
    true : BackgroundCube
        The true cube, with the livetime of the runs.

    Raises
    ------
    ValueError
        If ``reco`` has no livetime, or another livetime or ontime than the runs, or if a rate is
        negative or not a number in a bin with exposure.
    """
    if true.livetime is None or reco.livetime is None or not np.any(reco.livetime > 0):
        raise ValueError("got a cube without livetime, expected the livetime of each bin")
    for name in ("livetime", "ontime"):
        times = getattr(reco, name), getattr(true, name)
        if times[0] is None or times[1] is None:
            continue
        stated, runs = (time.max() for time in times)
        # Rounding of sums of the same times in another order.
        if abs(stated - runs) > 1e-9 * runs:
            raise ValueError(
                f"got {'a livetime' if name == 'livetime' else 'an ontime'} of {stated:.0f} s, "
                f"expected that of the runs, {runs:.0f} s"
            )
    rate = reco.rate[true.livetime > 0]
    # Squares of rates below 1e100 do not overflow.
    bad = np.count_nonzero(~((rate >= 0) & (rate < 1e100)))
    if bad:
        raise ValueError(
            f"got {bad} of {rate.size} rates that are negative, infinite or not a number, "
            "expected 0 or more in each bin with exposure"
        )
