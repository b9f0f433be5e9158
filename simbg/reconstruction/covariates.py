"""Covariates of runs besides the zenith angle, and which of them predict the rates of runs."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simbg.errors import in_brief
from simbg.observations.observation import Observation

__all__ = ["AZIMUTH", "Covariates", "held_out_gains", "most_probable_norms"]

log = logging.getLogger(__name__)

# The name of the covariate that is an angle.
AZIMUTH = "azimuth"
# Parts of the runs for the held-out likelihood, and the fewest runs for it.
N_PARTS, FEWEST = 10, 20
# Precision of the coefficients, steps of the fit, and the start and range of σ of ln norm.
PRECISION, STEPS, SIGMA = 1.0, 30, (0.01, 0.1, 3.0)
# Largest number of Newton steps for the norms of runs with given rates.
NORM_STEPS = 60


@dataclass(frozen=True)
class Covariates:
    """Standardised functions of the covariates of runs.

    Parameters
    ----------
    names : tuple of str
        Names of the covariates.
    low, high, center, scale : tuple of float
        For each covariate the range, the mean and the standard deviation of the fitted runs.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from simbg.observations.observation import Events
    >>> run = Observation.in_memory(Events(*np.empty((3, 0))), obs_id=1, livetime=1.0, ontime=1.0)
    >>> runs = [replace(run, covariates={"MUONEFF": x}) for x in (0.6, 0.7, 0.8)]
    >>> covariates = Covariates.of(runs)
    >>> covariates.functions(runs[1:]).round(3).tolist()  # the mean is 0
    [[0.0], [1.225]]
    """

    names: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @classmethod
    def of(cls, observations: Sequence[Observation]) -> "Covariates":
        """All covariates of some runs, without those that are constant.

        Parameters
        ----------
        observations : sequence of Observation
            The runs.

        Raises
        ------
        ValueError
            If a run has no value of a covariate.

        Examples
        --------
        >>> Covariates.of([]).names
        ()
        """
        names = list(dict.fromkeys(name for run in observations for name in run.covariates))
        columns = {}
        for name in names:
            values = _values(observations, name)
            if np.ptp(values) > 1e-9 * np.abs(values).max():
                columns[name] = values
            else:
                log.warning("covariate %s is %g in all runs: it is not used", name, values[0])
        numbers = [(v.min(), v.max(), v.mean(), v.std()) for v in columns.values()]
        each = np.array(numbers).reshape(-1, 4).T.tolist()
        return cls(tuple(columns), *map(tuple, each))

    def functions(self, observations: Sequence[Observation]) -> np.ndarray:
        """Values of the functions, shape (n_runs, n_functions).

        An azimuth has two functions, its cosine and sine; another covariate has one, which is
        linear in the range of the fitted runs and constant outside of it.

        Parameters
        ----------
        observations : sequence of Observation
            The runs, which need not be those of the fit.

        Raises
        ------
        ValueError
            If a run has no value of a covariate.

        Examples
        --------
        >>> Covariates().functions([]).shape
        (0, 0)
        """
        columns = []
        for name, *numbers in zip(
            self.names, self.low, self.high, self.center, self.scale, strict=True
        ):
            values = _values(observations, name)
            if name == AZIMUTH:
                columns += [np.cos(np.radians(values)), np.sin(np.radians(values))]
            else:
                low, high, center, scale = numbers
                columns.append((np.clip(values, low, high) - center) / scale)
        return np.stack(columns, axis=1) if columns else np.zeros((len(observations), 0))

    def held(self, observation: Observation) -> dict[str, float]:
        """Covariates of a run that are far from those of the fitted runs, and the values used.

        That is, by more than a standard deviation outside of their range.

        Parameters
        ----------
        observation : Observation
            The run.

        Examples
        --------
        >>> from dataclasses import replace
        >>> from simbg.observations.observation import Events
        >>> run = Observation.in_memory(Events(*np.empty((3, 0))), obs_id=1, livetime=1, ontime=1)
        >>> fitted = Covariates(("a",), (0.0,), (1.0,), (0.5,), (0.3,))
        >>> [fitted.held(replace(run, covariates={"a": value})) for value in (0.5, 1.2, 9.0)]
        [{}, {}, {'a': 1.0}]
        """
        found = {}
        for name, low, high, scale in zip(self.names, self.low, self.high, self.scale, strict=True):
            value = _values([observation], name)[0]
            if name != AZIMUTH and not low - scale <= value <= high + scale:
                found[name] = low if value < low else high
        return found

    def only(self, names: Sequence[str]) -> "Covariates":
        """Some of the covariates.

        Parameters
        ----------
        names : sequence of str
            Their names.

        Examples
        --------
        >>> Covariates(("a", "b"), (0, 0), (1, 1), (0.5, 0.5), (1, 1)).only(["b"]).names
        ('b',)
        """
        rows = [row for row in zip(*vars(self).values(), strict=True) if row[0] in names]
        return Covariates(*zip(*rows, strict=True)) if rows else Covariates()


def _values(observations, name):
    """Values of a covariate."""
    values = np.array([_number(run.covariates.get(name)) for run in observations])
    bad = [run for run, value in zip(observations, values, strict=True) if not np.isfinite(value)]
    if bad:
        value = bad[0].covariates.get(name)
        got = "" if value is None else f" ({in_brief(repr(value))})"
        raise ValueError(
            f"covariate {name}: got no finite number for {len(bad)} of {len(values)} runs, such as "
            f"run {bad[0].obs_id}{got}, expected one for each run"
        )
    return values


def _number(value):
    """A value as a number, or NaN."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def held_out_gains(
    covariates: Covariates,
    functions: dict[str, np.ndarray],
    counts: np.ndarray,
    predicted: np.ndarray,
    energy: np.ndarray,
) -> dict[str, float]:
    """Increase of the held-out likelihood by each covariate, and the choice of those that help.

    Covariates are added one by one, the best first, while the held-out likelihood increases.

    Parameters
    ----------
    covariates : Covariates
        The covariates to try.
    functions : dict of str to ndarray, shape (n_runs, n)
        The functions of each covariate.
    counts, predicted : ndarray, shape (n_runs, n_energy)
        Counts of each run, and those that a model without covariates predicts.
    energy : ndarray, shape (n_energy, n_i)
        Functions of energy that are multiplied with those of a covariate.

    Returns
    -------
    dict of str to float
        Name → increase of ln L when it is added to those before it; the first ones, whose value is
        positive, are those to use.

    Notes
    -----
    The counts of a run in the part that is left out have the likelihood
    ∫ Π_e P(n_e | p_e exp(ν + Σ γ q E)) N(ν | 0, σ²) dν, in Laplace's approximation, where γ and σ
    are fitted to the runs of the other parts. Parts are consecutive runs, because runs of a night
    are alike.

    Examples
    --------
    A factor that follows a covariate, and another covariate that has no effect:

    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 60, 1))
    >>> counts = rng.poisson(100 * np.exp(0.2 * x) * np.ones(4))
    >>> both = Covariates(("x", "y"), (-3, -3), (3, 3), (0, 0), (1, 1))
    >>> predicted, energy = np.full((60, 4), 100.0), np.ones((4, 1))
    >>> gains = held_out_gains(both, {"x": x, "y": y}, counts, predicted, energy)
    >>> gains["x"] > 10, gains["y"] < 1
    (True, True)
    """
    chosen: list[str] = []
    gains: dict[str, float] = {}
    rest = list(covariates.names)
    if len(counts) < FEWEST:
        return dict.fromkeys(rest, 0.0)
    one = np.ones((len(counts), 1))
    best = _held_out(one, counts, predicted, energy)
    while rest:
        trials = {
            name: _held_out(
                np.hstack([one, *(functions[n] for n in (*chosen, name))]),
                *(counts, predicted, energy),
            )
            for name in rest
        }
        name = max(rest, key=lambda n: trials[n])
        if trials[name] <= best:
            return gains | {n: trials[n] - best for n in rest}
        gains[name], best = trials[name] - best, trials[name]
        chosen.append(name)
        rest.remove(name)
    return gains


def _held_out(values, counts, predicted, energy):
    """ln L of all runs, each in a part that is not used for the fit."""
    part = np.arange(len(counts)) * N_PARTS // len(counts)
    total = 0.0
    for number in range(N_PARTS):
        inside, out = part != number, part == number
        gamma, sigma = _fitted(values[inside], counts[inside], predicted[inside], energy)
        total += _likelihood(values[out], counts[out], predicted[out], energy, gamma, sigma)
    return total


def _fitted(values, counts, predicted, energy):
    """Coefficients and σ of ln norm by Newton's method with free norms."""
    n_q, n_i = values.shape[1], energy.shape[1]
    gamma, sigma = np.zeros((n_q, n_i)), SIGMA[1]
    for _ in range(STEPS):
        norm, expected = _norms(values, counts, predicted, energy, gamma, sigma)
        total = expected.sum(axis=1)
        slope = (values.T @ (counts - expected) @ energy).ravel() - PRECISION * gamma.ravel()
        each = np.einsum("rq,re,ei->rqi", values, expected, energy).reshape(len(values), -1)
        pairs = np.einsum("rq,rs,re->qse", values, values, expected)
        gram = np.einsum("qse,ei,ej->qisj", pairs, energy, energy).reshape(2 * (n_q * n_i,))
        gram -= each.T @ (each / (total + sigma**-2)[:, None])
        change = np.linalg.solve(gram + PRECISION * np.eye(len(gram)), slope)
        gamma = gamma + np.clip(change, -1, 1).reshape(gamma.shape)
        variance = np.mean(norm**2 + 1 / (total + sigma**-2))
        sigma, last = float(np.clip(np.sqrt(variance), SIGMA[0], SIGMA[2])), sigma
        if slope @ change < 1e-3 and abs(sigma - last) < 1e-3 * sigma:
            break
    return gamma, sigma


def _norms(values, counts, predicted, energy, gamma, sigma):
    """The most probable ln norm of each run, and the expected counts with it."""
    expected = predicted * np.exp(np.clip(values @ gamma @ energy.T, -30, 30))
    observed, total = counts.sum(axis=1), expected.sum(axis=1)
    norm = most_probable_norms(observed, total, sigma)
    return norm, expected * np.exp(norm)[:, None]


def _likelihood(values, counts, predicted, energy, gamma, sigma):
    norm, expected = _norms(values, counts, predicted, energy, gamma, sigma)
    used = expected > 0
    terms = np.where(used, counts * np.log(np.where(used, expected, 1)) - expected, 0.0)
    spread = np.log1p(sigma**2 * expected.sum(axis=1))
    return float(terms.sum() - 0.5 * np.sum(norm**2) / sigma**2 - 0.5 * spread.sum())


def most_probable_norms(observed: np.ndarray, predicted: np.ndarray, sigma: float) -> np.ndarray:
    """The zero of N − P exp(ν) − ν / σ² for each run.

    Parameters
    ----------
    observed, predicted : ndarray, shape (n_runs,)
        Counts N, and counts P that are predicted for a norm of 1.
    sigma : float
        Standard deviation of ν.

    Examples
    --------
    >>> most_probable_norms(np.array([110.0]), np.array([100.0]), sigma=10.0).round(4)  # ln 1.1
    array([0.0953])
    """
    ratio = np.maximum(observed, 1e-300) / np.maximum(predicted, 1e-300)
    # From this side of the zero, Newton steps approach it without crossing it.
    log_norm = np.where(observed > predicted, np.log(ratio), 0.0)
    for _ in range(NORM_STEPS):
        expected = predicted * np.exp(log_norm)
        step = (observed - expected - log_norm / sigma**2) / (expected + sigma**-2)
        log_norm = log_norm + step
        if np.all(np.abs(step) < 1e-13):
            break
    return log_norm
