"""The Truth protocol: a density, its exact integrals over bins, and events drawn from it."""

from typing import Protocol, runtime_checkable

import numpy as np

from simbg.cube import BackgroundCube

__all__ = ["Truth"]


@runtime_checkable
class Truth(Protocol):
    """A true background rate.

    All three methods describe the same density, so a simulation and the cube that it is compared
    with cannot disagree. Rates are per second of livetime; zenith angles are in deg. A truth is
    a frozen value with a hash, which other processes and caches take.

    A class that inherits from the protocol gets `cube`.
    """

    def rate(self, energy, fov_lon, fov_lat, zenith=0.0):
        """Differential rate at points.

        Parameters
        ----------
        energy, fov_lon, fov_lat : array_like
            TeV, deg, deg; broadcast together.
        zenith : float

        Returns
        -------
        rate : ndarray
            s-1 MeV-1 sr-1; 0 outside of what the truth covers.
        """

    def integrate(self, axes, zenith=0.0, energy_min=0.0):
        """Events per second of livetime in each bin, exact.

        Parameters
        ----------
        axes : Axes
        zenith : float
        energy_min : float
            TeV; of a bin that holds it only what lies above is counted.

        Returns
        -------
        event_rate : ndarray, shape of ``axes``
            s-1
        """

    def draw(self, livetime, zenith, rng):
        """A Poisson number of events.

        Parameters
        ----------
        livetime : float
            s
        zenith : float
        rng : numpy.random.Generator

        Returns
        -------
        energy, fov_lon, fov_lat : ndarray, shape (n_events,)
            TeV, deg, deg; unbinned and exact, in random order.
        """

    def cube(self, axes, zenith=0.0, livetime=None):
        """The true cube: bin-average rate over exact solid angles.

        Parameters
        ----------
        axes : Axes
        zenith : float
        livetime : float, optional
            s; with it the cube holds the expected counts, too.

        Returns
        -------
        cube : BackgroundCube

        Examples
        --------
        >>> from simbg.axes import edition2015_axes
        >>> from simbg.truth.gaussian import GaussianTruth
        >>> cube = GaussianTruth().cube(edition2015_axes(), zenith=20.0, livetime=3600.0)
        >>> cube.rate.shape, round(cube.counts.sum())
        ((20, 60, 60), 16889)
        """
        events, exposure = self.integrate(axes, zenith), {}
        if livetime is not None:
            full = np.full(axes.shape, float(livetime))
            exposure = {"counts": events * livetime, "livetime": full, "ontime": full}
        meta = {"METHOD": "truth", "ZENITH": float(zenith)}
        return BackgroundCube(axes, events / axes.volume, meta=meta, **exposure)
