"""Convergence: how the loss of a method falls with exposure, and how much is enough."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from scipy.optimize import nnls

from simbg.axes import edition2015_axes
from simbg.simulation.seeds import named_rng
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.registry import METRICS
from simbg.validation.suite.replicates import Setting

__all__ = ["Convergence"]

# h, of livetime.
EXPOSURES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
N_REPLICATES = 4


@dataclass(frozen=True)
class Convergence:
    """Loss of a method in a scenario against exposure.

    Parameters
    ----------
    scenario, method : str
    hours : tuple of float
        Livetime.
    events : tuple of float
        Expected counts.
    loss, loss_error : tuple of float
        E[Q] and its error, Q = Σ (λ̂ − λ)² / λ.
    """

    # Relative accuracies for which hours are stated.
    TARGETS: ClassVar = (0.05, 0.02, 0.01)

    scenario: str
    method: str
    hours: tuple
    events: tuple
    loss: tuple
    loss_error: tuple

    @classmethod
    def of(cls, experiment, name, method, executor=None, exposures=EXPOSURES):
        """Loss at each exposure, from a few replicates each; over energies they are many bins.

        Parameters
        ----------
        experiment : Experiment
            The mix of zeniths of its runs is kept; the axes are those of 100 runs and more.
        name : str
            Of the method.
        method : object with ``estimate`` and ``threshold_bin``
        executor : concurrent.futures.Executor, optional
        exposures : sequence of float
            h
        """
        hours = np.sum(experiment.runs["LIVETIME"]) / 3600
        setting = Setting.of(experiment, method, edition2015_axes())
        job = partial(_loss, setting, experiment.seed, hours)
        rows = np.array(list((executor.map if executor else map)(job, exposures)))
        return cls(experiment.scenario.name, name, tuple(exposures), *map(tuple, rows.T.tolist()))

    @property
    def accuracy(self):
        """Relative rms error of the rate, weighted with the true counts: √(Q / N)."""
        return np.sqrt(np.array(self.loss) / self.events)

    @property
    def exponent(self):
        """d ln accuracy / d ln hours, fitted: −1/2 for noise alone, 0 at a floor."""
        return float(np.polyfit(np.log(self.hours), np.log(self.accuracy), 1)[0])

    @property
    def fit(self):
        """p_eff and b of E[Q] = p_eff + b N: noise cost and floor per event, both ≥ 0.

        Least squares of relative deviations. A method that changes with exposure,
        as 2015's number of passes does, has effective values over the range.
        """
        loss = np.array(self.loss)
        design = np.stack([np.ones_like(loss), np.array(self.events)], axis=1) / loss[:, None]
        # Columns of like size: a floor per event is many orders below a number of parameters.
        scale = np.linalg.norm(design, axis=0)
        solution, _ = nnls(design / scale, np.ones_like(loss))
        return tuple((solution / scale).tolist())

    def hours_for(self, accuracy):
        """Hours of livetime for this relative accuracy; infinite below the floor.

        From the fit p_eff / N + b = accuracy².
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
