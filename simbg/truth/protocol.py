"""The Truth protocol: a density, its exact integrals over bins, and events drawn from it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.quantities import in_unit

__all__ = ["Truth"]


@runtime_checkable
class Truth(Protocol):
    """A true background rate.

    All three methods describe the same density, so the simulated events and the cube that they are
    compared with are consistent. Rates are per second of livetime; zenith angles are in deg. A
    truth is immutable and hashable, so that it can be sent to other processes and used in caches.

    A class that inherits from the protocol gets the method `cube`.

    Examples
    --------
    >>> from simbg.truth.gaussian import GaussianTruth
    >>> isinstance(GaussianTruth(), Truth)
    True
    """

    def rate(
        self, energy: ArrayLike, fov_lon: ArrayLike, fov_lat: ArrayLike, zenith: float = 0.0
    ) -> np.ndarray:
        """Differential rate at points.

        Parameters
        ----------
        energy, fov_lon, fov_lat : array_like or Quantity
            Energies, and positions in the field of view; bare numbers are in TeV and deg. They
            are broadcast together.
        zenith : float
            Zenith angle, deg.

        Returns
        -------
        ndarray
            Rate, s-1 MeV-1 sr-1; 0 outside of the range in which the truth is defined.

        Examples
        --------
        >>> from simbg.truth.gaussian import GaussianTruth
        >>> GaussianTruth().rate(energy=[1, 200], fov_lon=0, fov_lat=0.5)
        array([1.2161255e-05, 0.0000000e+00])
        """

    def integrate(self, axes: Axes, zenith: float = 0.0, energy_min: float = 0.0) -> np.ndarray:
        """Expected events per second of livetime in each bin, exact.

        Parameters
        ----------
        axes : Axes
            Axes of the bins.
        zenith : float
            Zenith angle, deg.
        energy_min : float
            Lower limit of the integral over the energy, TeV; it may lie inside a bin.

        Returns
        -------
        ndarray, shape of ``axes``
            Event rate, s-1.

        Examples
        --------
        >>> from simbg.truth.gaussian import GaussianTruth
        >>> axes = Axes([0.1, 1, 10], [-3, 0, 3], [-3, 3])
        >>> GaussianTruth().integrate(axes, zenith=20, energy_min=1)[:, :, 0].round(4)
        array([[0.    , 0.    ],
               [0.0241, 0.0241]])
        """

    def draw(
        self, livetime: float, zenith: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw events; their number has a Poisson distribution.

        Parameters
        ----------
        livetime : float
            Livetime, s.
        zenith : float
            Zenith angle, deg.
        rng : numpy.random.Generator
            Source of random numbers.

        Returns
        -------
        energy, fov_lon, fov_lat : ndarray, shape (n_events,)
            Energies in TeV and positions in the field of view in deg; unbinned and exact, in random
            order.

        Examples
        --------
        >>> from simbg.truth.gaussian import GaussianTruth
        >>> energy, fov_lon, fov_lat = GaussianTruth().draw(100, 20, np.random.default_rng(0))
        >>> energy.shape == fov_lon.shape == fov_lat.shape
        True
        """

    def cube(
        self, axes: Axes, zenith: float = 0.0, livetime: float | None = None
    ) -> BackgroundCube:
        """The true cube: the average rate over each bin, with exact solid angles.

        Parameters
        ----------
        axes : Axes
            Axes of the cube.
        zenith : float or Quantity
            Zenith angle; a bare number is in deg.
        livetime : float or Quantity, optional
            Livetime; a bare number is in s. If given, the cube also contains the expected counts.

        Returns
        -------
        BackgroundCube
            Per livetime, without errors.

        Examples
        --------
        >>> from simbg.axes import edition2015_axes
        >>> from simbg.truth.gaussian import GaussianTruth
        >>> cube = GaussianTruth().cube(edition2015_axes(), zenith=20.0, livetime=3600.0)
        >>> cube.rate.shape, round(cube.counts.sum())
        ((20, 60, 60), 16889)
        """
        zenith, livetime = in_unit(zenith, "deg", "zenith"), in_unit(livetime, "s", "livetime")
        events, exposure = self.integrate(axes, zenith), dict[str, Any]()
        if livetime is not None:
            full = np.full(axes.shape, float(livetime))
            exposure = {"counts": events * livetime, "livetime": full, "ontime": full}
        meta = {"METHOD": "truth", "ZENITH": float(zenith)}
        return BackgroundCube(axes, events / axes.volume, meta=meta, **exposure)
