"""Convergence: how the loss of a method falls with exposure, and how much is enough."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from simbg.axes import edition2015_axes
from simbg.simulation.seeds import named_rng
from simbg.validation.metrics.bins import lost_information
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.suite.replicates import Setting

__all__ = ["EXPOSURES", "TARGETS", "Convergence", "converge"]

# h, of livetime.
EXPOSURES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
# Relative accuracy for which hours are stated.
TARGETS = (0.05, 0.02, 0.01)
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

    scenario: str
    method: str
    hours: tuple
    events: tuple
    loss: tuple
    loss_error: tuple

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
        from scipy.optimize import nnls

        loss = np.array(self.loss)
        design = np.stack([np.ones_like(loss), np.array(self.events)], axis=1) / loss[:, None]
        # Columns of like size: a floor per event is many orders below a number of parameters.
        scale = np.linalg.norm(design, axis=0)
        solution, _ = nnls(design / scale, np.ones_like(loss))
        return tuple(float(value) for value in solution / scale)

    def hours_for(self, accuracy):
        """Hours of livetime for this relative accuracy; infinite below the floor.

        From the fit p_eff / N + b = accuracy².
        """
        cost, floor = self.fit
        rate = self.events[0] / self.hours[0]
        gain = accuracy**2 - floor
        return float(cost / (gain * rate)) if gain > 0 else float("inf")


def converge(experiment, name, method, executor=None, exposures=EXPOSURES):
    """Loss at each exposure, from a few replicates each; spread over energies they are many bins.

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

    Returns
    -------
    convergence : Convergence
    """
    hours = np.sum(experiment.runs["LIVETIME"]) / 3600
    setting = Setting.of(experiment, method, edition2015_axes())
    job = partial(_loss, setting, experiment.seed, hours)
    rows = np.array(list((executor.map if executor else map)(job, exposures)))
    columns = (tuple(column) for column in rows.T.tolist())
    return Convergence(experiment.scenario.name, name, tuple(exposures), *columns)


def _loss(setting, seed, hours, exposure):
    setting, q = setting.times(exposure / hours), []
    for number in range(N_REPLICATES):
        stack, _ = setting.draw(named_rng(seed, f"{setting.name} convergence {exposure}", number))
        q.append(lost_information(CubePair(setting.true, setting.estimate(stack))).value)
    return setting.true.counts.sum(), np.mean(q), np.std(q, ddof=1) / np.sqrt(N_REPLICATES)
