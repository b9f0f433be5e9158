"""Arrival: counts that an analysis with gammapy predicts from a cube, divided by true counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.validation.questions.directions import Finding, sidak
from simbg.validation.questions.gammapy_rule import fill_missing, integrated_rate

__all__ = ["measure_arrival"]

# Number of rings of the map; they have equal widths.
N_RINGS = 4
# Relative differences below this are attributed to rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Arrival:
    """Ratio of predicted to true counts of a map, for each energy bin and each ring.

    Parameters
    ----------
    energy : ndarray, shape (n_energy + 1,)
        Edges of the energy axis of the map, TeV.
    radius : ndarray, shape (n_rings + 1,)
        Edges of the rings around the centre of the field, deg.
    expected : ndarray, shape (n_energy, n_rings)
        True counts.
    binning : ndarray, shape (n_energy, n_rings)
        Counts predicted from the true cube, divided by the true counts: the effect of the binning
        and of the interpolation rule.
    method : ndarray, shape (R, n_energy, n_rings)
        Counts predicted from each cube of the method, divided by those from the true cube: the
        effect of the method. NaN where the true cube predicts no counts.
    """

    energy: np.ndarray
    radius: np.ndarray
    expected: np.ndarray
    binning: np.ndarray
    method: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """Mean ratio of predicted to true counts, shape (n_energy, n_rings)."""
        return self.binning * self.method.mean(axis=0)

    def findings(self, require: float = 0.01, false_alarm: float = 1e-3) -> list[Finding]:
        """Find where the effect of the method is larger than allowed, the largest effect first.

        Parameters
        ----------
        require : float
            The largest relative difference that is allowed in an energy bin of a ring.
        false_alarm : float
            Probability that a method that meets the requirement has a finding.

        Raises
        ------
        ValueError
            If there is only one cube, so that the scatter cannot be estimated.

        Notes
        -----
        The test is Student's test of the mean of `method` − 1. Its values are first limited to the
        range −1 to 1, because empty bins give a ratio of 1e98 in some replicates, which would
        determine the mean. If a value of a cell is limited, the p-value of the cell is at least
        that of a sign test, 2^(1 − R). The p-values are corrected for the number of cells (Šidák
        1967, doi:10.1080/01621459.1967.10482935).
        """
        number = len(self.method)
        if number < 2:
            raise ValueError("arrival: got 1 cube, expected 2 or more replicates")
        excess = np.clip(np.nan_to_num(self.method, nan=1.0) - 1, -1, 1)
        mean, error = excess.mean(axis=0), excess.std(axis=0, ddof=1) / np.sqrt(number)
        beyond = np.maximum(np.abs(mean) - max(require, ROUNDING), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(beyond > 0, beyond / error, 0.0)
            log_p = np.log(np.minimum(2 * special.stdtr(number - 1, -t), 1.0))
        # Limited values have no scatter: only their sign is used.
        cut = np.any(np.abs(excess) == 1, axis=0)
        log_p = np.where(cut, np.maximum(log_p, (1 - number) * np.log(2)), log_p)
        fraction = self.expected / self.expected.sum()
        found = []
        trials = int(np.count_nonzero(self.expected > 0))
        for e, k in np.argwhere(self.expected > 0):
            pvalue = float(np.exp(sidak(max(float(log_p[e, k]), -700.0), trials)))
            if pvalue < false_alarm:
                name = f"{self.energy[e]:.3g} to {self.energy[e + 1]:.3g} TeV, "
                name += f"{self.radius[k]:.2f} to {self.radius[k + 1]:.2f} deg"
                size = float(mean[e, k]), float(error[e, k])
                found.append(Finding(name, "arrival", *size, pvalue, float(fraction[e, k])))
        return sorted(found, key=lambda finding: -abs(finding.relative) * finding.share)

    @property
    def method_error(self) -> np.ndarray:
        """Standard error of the mean of `method`; NaN for one cube."""
        number = len(self.method)
        if number < 2:
            return np.full(self.expected.shape, np.nan)
        return self.method.std(axis=0, ddof=1) / np.sqrt(number)


def measure_arrival(
    cubes: Sequence[BackgroundCube],
    true: BackgroundCube,
    expected: np.ndarray,
    map_axes: Axes,
    ontime: float,
    interpolate_missing: bool = True,
) -> Arrival:
    """Predict counts from cubes and from the true cube by gammapy's rule.

    Parameters
    ----------
    cubes : sequence of BackgroundCube
        One for each replicate.
    true : BackgroundCube
        The true rate in the same bins.
    expected : ndarray, shape of map_axes
        True counts of each bin of the map, from exact integrals.
    map_axes : Axes
        Energy bins and pixels of the map. gammapy evaluates a cube at the edges of these energies
        and at the centres of these pixels.
    ontime : float
        Observation time of the map, s.
    interpolate_missing : bool
        Whether empty bins are first interpolated along the energy, as in `MapDatasetMaker`.

    Notes
    -----
    n_pred = ontime · Ω · ∫ rate dE, by the rule of `integrated_rate`, summed over rings.
    """
    offset = map_axes.offset
    radius = np.linspace(0, offset.max() * (1 + 1e-9), N_RINGS + 1)
    ring = np.digitize(offset, radius) - 1
    lon, lat = map_axes.fov_lon_center[:, None], map_axes.fov_lat_center

    def in_rings(values):
        return np.stack([values[:, ring == k].sum(axis=1) for k in range(N_RINGS)], axis=1)

    def predicted(cube):
        cube = cube.per("ontime")
        rate = fill_missing(cube.rate) if interpolate_missing else cube.rate
        rates = integrated_rate(rate, cube.axes, map_axes.energy, lon, lat)
        return in_rings(rates * map_axes.solid_angle * ontime)

    counts, ideal = in_rings(np.asarray(expected, float)), predicted(true)
    with np.errstate(divide="ignore", invalid="ignore"):
        method = np.array([predicted(cube) / ideal for cube in cubes])
        binning = ideal / counts
    return Arrival(map_axes.energy, radius, counts, binning, method)
