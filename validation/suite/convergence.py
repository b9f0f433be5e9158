"""Convergence: the loss of a method against exposure, and the exposure for a given accuracy."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from scipy.optimize import nnls

from simbg.axes import edition2015_axes
from simbg.simulation.experiment import Experiment
from simbg.simulation.seeds import named_rng
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.registry import METRICS
from simbg.validation.suite.replicates import Setting

__all__ = ["Convergence"]

# Livetime, h.
EXPOSURES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
N_REPLICATES = 4
# Parameters of a Gaussian truth that change the cube: norm, index, two widths and the peak.
N_GAUSSIAN = 6


@dataclass(frozen=True)
class Convergence:
    """Loss of a method in a scenario against exposure.

    Parameters
    ----------
    scenario, method : str
        The names.
    hours : tuple of float
        Livetime, h.
    events : tuple of float
        Expected counts at each livetime.
    loss, loss_error : tuple of float
        Mean of Q = Σ (m − λ)² / λ and its standard error, for predicted counts m and true ones λ.
    n_parameters : int, optional
        Number of parameters of the true model, if it has few: a maximum-likelihood fit of them
        has E[Q] = n_parameters for many events, and no method without bias has less.
    """

    # Relative accuracies for which the livetime is reported.
    TARGETS: ClassVar[tuple[float, ...]] = (0.05, 0.02, 0.01)

    scenario: str
    method: str
    hours: tuple[float, ...]
    events: tuple[float, ...]
    loss: tuple[float, ...]
    loss_error: tuple[float, ...]
    n_parameters: int | None = None

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        name: str,
        method: Any,
        executor: Executor | None = None,
        exposures: Sequence[float] = EXPOSURES,
    ) -> Self:
        """Measure the loss at each exposure, with four replicates each.

        Parameters
        ----------
        experiment : Experiment
            Its runs define the mix of zenith angles; the axes are those of 2015 for 100 runs or
            more.
        name : str
            Name of the method.
        method : object
            A method with ``estimate`` and, optionally, ``threshold_bin``.
        executor : concurrent.futures.Executor, optional
            Runs exposures in parallel.
        exposures : sequence of float
            Livetimes, h.

        Returns
        -------
        convergence : Convergence
            The same for any executor.
        """
        hours = np.sum(experiment.runs["LIVETIME"]) / 3600
        setting = Setting.of(experiment, method, edition2015_axes())
        job = partial(_loss, setting, experiment.seed, hours)
        rows = np.array(list((executor.map if executor else map)(job, exposures)))
        events, loss, error = map(tuple, rows.T.tolist())
        n_parameters = N_GAUSSIAN if isinstance(experiment.scenario.truth, GaussianTruth) else None
        names = experiment.scenario.name, name
        return cls(*names, tuple(exposures), events, loss, error, n_parameters)

    @property
    def accuracy(self) -> np.ndarray:
        """Relative rms error of the rate, weighted with the true counts: √(Q / N)."""
        return np.sqrt(np.array(self.loss) / self.events)

    @property
    def limit(self) -> np.ndarray | None:
        """Accuracy of a fit of the true model, √(n_parameters / N); None if it is not known."""
        if self.n_parameters is None:
            return None
        return np.sqrt(self.n_parameters / np.array(self.events))

    @property
    def exponent(self) -> float:
        """Fitted d ln accuracy / d ln hours: −1/2 for noise alone, 0 for bias alone."""
        return float(np.polyfit(np.log(self.hours), np.log(self.accuracy), 1)[0])

    @property
    def fit(self) -> tuple[float, float]:
        """Noise cost p_eff and bias floor b of E[Q] = p_eff + b N, both not negative.

        Notes
        -----
        Non-negative least squares of the relative deviations. A method that changes with
        exposure, as the number of smoothing passes of 2015 does, has effective values.
        """
        loss = np.array(self.loss)
        design = np.stack([np.ones_like(loss), np.array(self.events)], axis=1) / loss[:, None]
        # The columns are scaled, since b is many orders of magnitude smaller than p_eff.
        scale = np.linalg.norm(design, axis=0)
        solution, _ = nnls(design / scale, np.ones_like(loss))
        cost, floor = (solution / scale).tolist()
        return cost, floor

    def hours_for(self, accuracy: float) -> float:
        """Livetime for a relative accuracy, from the fit p_eff / N + b = accuracy².

        Parameters
        ----------
        accuracy : float
            Relative rms error.

        Returns
        -------
        hours : float
            h; infinite if the bias alone is larger.
        """
        cost, floor = self.fit
        gain = (accuracy**2 - floor) * (self.events[0] / self.hours[0])
        return float(cost / gain) if gain > 0 else float("inf")


def _loss(setting, seed, hours, exposure):
    setting, q = setting.times(exposure / hours), []
    for number in range(N_REPLICATES):
        rng = named_rng(seed, f"{setting.name} convergence {exposure}", number)
        pair = CubePair(setting.true, setting.estimate(setting.draw(rng)[0]))
        q.append(METRICS["lost_information"](pair).value)
    return setting.true.counts.sum(), np.mean(q), np.std(q, ddof=1) / np.sqrt(N_REPLICATES)
