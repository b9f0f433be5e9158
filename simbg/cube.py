"""A background cube: the rate over energy, fov_lon and fov_lat, and what it was made from."""

from dataclasses import dataclass, field, replace

import numpy as np

from simbg.axes import Axes

__all__ = ["BackgroundCube"]

CLOCKS = ("livetime", "ontime")


@dataclass(frozen=True, eq=False)
class BackgroundCube:
    """Background rate averaged over each bin.

    Every array has the shape of ``axes``: (n_energy, n_fov_lon, n_fov_lat).

    Parameters
    ----------
    axes : Axes
    rate : ndarray
        s-1 MeV-1 sr-1, per second of ``clock``. NaN where there was no exposure.
    rate_error : ndarray, optional
        Standard error of ``rate``, same unit.
    counts : ndarray, optional
        Events in each bin (expected ones for a truth).
    livetime, ontime : ndarray, optional
        Exposure of each bin in s, without and with dead time.
    clock : {"livetime", "ontime"}
        What a second of ``rate`` is. GADF files are per ontime, 2015's per livetime.
    meta : dict
        What made it: method, group, and so on; plain values.

    Raises
    ------
    ValueError
        If a shape does not fit the axes or the clock is unknown.

    Examples
    --------
    A rate of 1e-6 everywhere, with a tenth of the time dead:

    >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
    >>> full = np.ones(axes.shape)
    >>> cube = BackgroundCube(axes, 1e-6 * full, livetime=900 * full, ontime=1000 * full)
    >>> cube.spectrum.round(4)
    array([0.0066, 0.0658])
    >>> float(cube.per("ontime").rate[0, 0, 0])
    9e-07
    """

    axes: Axes
    rate: np.ndarray
    rate_error: np.ndarray | None = None
    counts: np.ndarray | None = None
    livetime: np.ndarray | None = None
    ontime: np.ndarray | None = None
    clock: str = "livetime"
    meta: dict = field(default_factory=dict)

    def __post_init__(self):
        for name in ("rate", "rate_error", "counts", "livetime", "ontime"):
            value = getattr(self, name)
            if value is not None and np.shape(value) != self.axes.shape:
                raise ValueError(
                    f"{name} of the cube: got shape {np.shape(value)}, expected {self.axes.shape}"
                )
        if self.clock not in CLOCKS:
            raise ValueError(f"clock: got {self.clock!r}, expected one of {CLOCKS}")

    def per(self, clock):
        """The same cube with its rate per second of another clock.

        Counts are what they are, so rate(ontime) = rate(livetime) · livetime / ontime,
        bin by bin, exact also where dead times differ from run to run.
        """
        if clock not in CLOCKS:
            raise ValueError(f"clock: got {clock!r}, expected one of {CLOCKS}")
        if clock == self.clock:
            return self
        if self.livetime is None or self.ontime is None:
            raise ValueError(
                f"rate per {clock}: the cube has no livetime and ontime to convert with"
            )
        have, want = getattr(self, self.clock), getattr(self, clock)
        factor = np.divide(have, want, out=np.ones(self.axes.shape), where=want > 0)
        error = None if self.rate_error is None else self.rate_error * factor
        return replace(self, rate=self.rate * factor, rate_error=error, clock=clock)

    @property
    def event_rate(self):
        """Rate integrated over each bin, in s-1."""
        return self.rate * self.axes.volume

    @property
    def spectrum(self):
        """Rate integrated over the field of view and each energy bin, in s-1, (n_energy,)."""
        return np.nansum(self.event_rate, axis=(1, 2))

    @property
    def image(self):
        """Rate integrated over energy and each pixel, in s-1, (n_fov_lon, n_fov_lat)."""
        return np.nansum(self.event_rate, axis=0)

    @property
    def total(self):
        """Rate integrated over the whole cube, in s-1."""
        return float(np.nansum(self.event_rate))
