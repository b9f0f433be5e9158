"""False-alarm rates and power of the questions (run as ``python -m``, see ``--help``).

Right methods are asked on a small field, many times, and in all scenarios. Then defects are planted
in two scenarios, at multiples of the size that an optimal test finds.
"""

from collections.abc import Callable, Iterator

import click
import numpy as np
from scipy import special

from simbg.axes import Axes, edition2015_axes
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.simulation.seeds import named_rng
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.questions.bias import measure_bias
from simbg.validation.questions.directions import measure_directions
from simbg.validation.questions.families import Family, make_families
from simbg.validation.questions.honesty import measure_honesty
from simbg.validation.questions.noise import measure_noise
from simbg.validation.questions.replicates import Replicates
from simbg.validation.questions.verdict import bias_pvalue

__all__ = ["METHODS", "null_pvalues", "optimal_size", "power"]

FALSE_ALARM, POWER = 1e-3, 0.95
N_REPLICATES = 20
LEVELS = 0.1, 0.05, 0.01, 0.001
SMALL = Axes(np.geomspace(0.1, 50, 4), np.linspace(-3, 3, 7), np.linspace(-2.6, 2.6, 6))
TRUTH = GaussianTruth(event_rate=9.0, sigma=(1.6, 2.8), peak=(0.3, -0.5))
Prediction = tuple[np.ndarray, np.ndarray]
Method = Callable[[np.random.Generator, int, np.ndarray], Prediction]


def raw_counts(rng: np.random.Generator, number: int, expected: np.ndarray) -> Prediction:
    """Raw counts, with errors √n."""
    counts = rng.poisson(expected, (number, *expected.shape)).astype(float)
    return counts, np.sqrt(counts)


def half_of_the_events(rng: np.random.Generator, number: int, expected: np.ndarray) -> Prediction:
    """Twice the counts of one half of the events, with their errors."""
    counts, errors = raw_counts(rng, number, expected / 2)
    return 2 * counts, 2 * errors


def template(rng: np.random.Generator, number: int, expected: np.ndarray) -> Prediction:
    """The true shape with a fitted norm."""
    norm = rng.poisson(expected.sum(), (number, *[1] * expected.ndim)) / expected.sum()
    return norm * expected, np.sqrt(norm / expected.sum()) * expected


def maximum_likelihood(rng: np.random.Generator, number: int, expected: np.ndarray) -> Prediction:
    """The fit of ln rate by four smooth functions, for many counts, with its errors."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in expected.shape), indexing="ij")
    radius = grid[1] ** 2 + grid[2] ** 2
    patterns = np.array([np.ones(expected.shape), grid[0], radius, radius * grid[0]])
    root = np.sqrt(expected)
    basis = np.linalg.qr((patterns * root).reshape(4, -1).T)[0]
    pulls = rng.poisson(expected, (number, *expected.shape)) - expected
    pulls = np.divide(pulls, root, out=np.zeros(pulls.shape), where=root > 0)
    fitted = (pulls.reshape(number, -1) @ basis @ basis.T).reshape(pulls.shape)
    errors = root * np.sqrt(np.sum(basis**2, axis=1)).reshape(expected.shape)
    return expected + root * fitted, np.broadcast_to(errors, pulls.shape)


METHODS: dict[str, Method] = {
    function.__name__.replace("_", " "): function
    for function in (raw_counts, maximum_likelihood, template, half_of_the_events)
}
# What the methods promise for their noise, if it is more than that of raw counts.
NOISE: dict[Method, float] = {half_of_the_events: 2.0}


def null_pvalues(
    axes: Axes, expected: np.ndarray, method: Method, number: int, draws: int, seed: int
) -> dict[str, np.ndarray]:
    """p-values of a right method, with nothing allowed.

    Parameters
    ----------
    axes : Axes
        The bins.
    expected : ndarray, shape of the axes
        Expected counts.
    method : callable
        Function of a generator, the number of replicates and the expected counts, which returns
        predicted counts and errors.
    number : int
        Number of replicates.
    draws : int
        Number of p-values.
    seed : int
        Seed of the draws.

    Returns
    -------
    pvalues : dict of str to ndarray
        Question → p-values.
    """
    families: list[Family] | None = None
    found: list[dict[str, float]] = []
    for i in range(draws):
        predicted, errors = method(named_rng(seed, "null", i), number, expected)
        replicates = Replicates(axes, expected, predicted, errors)
        families = make_families(replicates) if families is None else families
        shape, *_ = measure_directions(replicates, 0.0, families)
        biases = measure_bias(replicates)
        found.append(
            {
                "bias": bias_pvalue(replicates, 0.0, families, biases),
                "bias of all bins": biases[0].pvalue(),
                "smooth directions": float(np.exp(shape.log_best)),
                "noise": measure_noise(replicates, allowed=NOISE.get(method, 1.0)).pvalue,
                "errors": measure_honesty(replicates).bins.pvalue,
                "honesty": measure_honesty(replicates).pvalue,
            }
        )
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def defects(axes: Axes, expected: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
    """Patterns h of defects λ → λ (1 + s h), and the number of their unknown numbers.

    Parameters
    ----------
    axes : Axes
        The bins.
    expected : ndarray, shape of the axes
        Expected counts.
    """
    lon, lat = axes.fov_lon_center[:, None], axes.fov_lat_center
    log_energy = np.log(axes.energy_center)[:, None, None]
    n_pixels = int(np.prod(axes.shape[1:]))
    rng, radius = np.random.default_rng(1), lon**2 + lat**2
    high = axes.energy[:-1, None, None] >= 30 * (1 - 1e-9)
    row, column = axes.shape[2] // 3, axes.shape[1] // 4
    pixel = np.zeros(axes.shape[1:])
    pixel[axes.shape[1] // 2, axes.shape[2] // 2] = 1
    at_energy = np.maximum(expected.sum(axis=(1, 2), keepdims=True), 1e-300)
    width = radius - np.sum(radius * expected, axis=(1, 2), keepdims=True) / at_energy
    source = np.exp(-0.5 * ((lon - 0.7) ** 2 + (lat - 0.4) ** 2) / 0.1**2)
    patterns: dict[str, tuple[np.ndarray, int]] = {
        "norm": (np.ones(axes.shape), 1),
        "index": (np.average(log_energy + 0 * expected, weights=expected) - log_energy, 1),
        "width": (radius - np.average(radius + 0 * expected, weights=expected), 1),
        "width slope": (width * np.log(axes.energy_center / 0.3)[:, None, None], 1),
        "gradient": (lon + 0 * lat, 1),
        "diagonal gradient": (lon + lat, 1),
        "quadrupole": (lon**2 - lat**2, 1),
        "ring": (np.exp(-0.5 * ((axes.offset - 2) / 0.3) ** 2), 1),
        "row of pixels": (1.0 * (np.arange(axes.shape[2]) == row), 1),
        "column of pixels": (1.0 * (np.arange(axes.shape[1]) == column)[:, None], 1),
        "pixel": (pixel, 1),
        "point source": (source / np.maximum(expected.sum(axis=0), 1e-300), 1),
        "nothing above 30 TeV": (1.0 * high, 1),
        "gains of pixels": (rng.choice([-1.0, 1.0], axes.shape[1:]), n_pixels),
        "gains of bins": (rng.choice([-1.0, 1.0], axes.shape), int(np.sum(expected > 0))),
    }
    return {name: (h * np.ones(axes.shape), n) for name, (h, n) in patterns.items()}


def optimal_size(pattern: np.ndarray, unknown: int, expected: np.ndarray, number: int) -> float:
    """Size that a χ² test of the unknown numbers finds with a power of 95 %, at 0.001.

    Parameters
    ----------
    pattern : ndarray, shape of the axes
        The pattern h.
    unknown : int
        Number of its unknown numbers.
    expected : ndarray, shape of the axes
        Expected counts.
    number : int
        Number of replicates.
    """
    border = special.chdtri(unknown, FALSE_ALARM)
    information = number * float(np.sum(pattern**2 * expected))
    return float(np.sqrt(special.chndtrinc(border, unknown, 1 - POWER) / information))


def power(
    axes: Axes, expected: np.ndarray, number: int, sets: int, seed: int
) -> Iterator[tuple[str, float, float]]:
    """Fraction of data sets of raw counts in which each defect is found.

    Parameters
    ----------
    axes : Axes
        The bins.
    expected : ndarray, shape of the axes
        Expected counts.
    number : int
        Number of replicates.
    sets : int
        Number of data sets.
    seed : int
        Seed of the draws.

    Yields
    ------
    name : str
        Name of the defect.
    multiple : float
        Its size divided by the optimal one.
    fraction : float
        Fraction of data sets with p < 0.001.
    """
    families: list[Family] | None = None
    for name, (pattern, unknown) in defects(axes, expected).items():
        size = optimal_size(pattern, unknown, expected, number)
        for multiple in (1.0, 1.5, 2.0):
            change, found = multiple * size * pattern, 0
            if np.any(change < -1) or (name.startswith("nothing") and multiple * size > 1):
                continue
            sign = -1.0 if name.startswith("nothing") else 1.0
            for i in range(sets):
                rng = named_rng(seed, name, i, round(10 * multiple))
                counts = rng.poisson(expected * (1 + sign * change), (number, *expected.shape))
                replicates = Replicates(axes, expected, counts)
                families = make_families(replicates) if families is None else families
                found += bias_pvalue(replicates, 0.0, families) < FALSE_ALARM
            yield name, multiple, found / sets


@click.command()
@click.option("--draws", default=5000, help="Draws of each method on the small field.")
@click.option("--runs", default=5, help="Draws of each method in each scenario.")
@click.option("--sets", default=20, help="Data sets of each defect and size.")
@click.option("--part", type=click.Choice(["small", "scenarios", "power"]), multiple=True)
@click.option("--scenario", multiple=True, help="For defects. Default: night and realistic.")
@click.option("--seed", default=1)
def main(
    draws: int,
    runs: int,
    sets: int,
    part: tuple[str, ...],
    scenario: tuple[str, ...],
    seed: int,
) -> None:
    """Measure false-alarm rates and power of the questions."""
    parts = part or ("small", "scenarios", "power")
    if "small" in parts:
        expected = TRUTH.integrate(SMALL)
        expected *= 3e4 / expected.sum()
        for name, method in METHODS.items():
            _show(name, null_pvalues(SMALL, expected, method, N_REPLICATES, draws, seed))
    if "scenarios" in parts:
        for name, pvalues in scenario_pvalues(runs, seed).items():
            _show(f"all scenarios, {name}", pvalues)
    if "power" in parts:
        for name in scenario or ("night", "realistic"):
            axes, expected = _field(name, seed)
            for defect, multiple, fraction in power(axes, expected, N_REPLICATES, sets, seed):
                click.echo(f"{name}: {defect} at {multiple:g} × optimal: {fraction:.0%} found")


def scenario_pvalues(runs: int, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """p-values of right methods in all scenarios.

    Parameters
    ----------
    runs : int
        Number of p-values of each method in each scenario.
    seed : int
        Seed of the draws.

    Returns
    -------
    pvalues : dict of str to dict
        Method → question → p-values, and those of all methods together.
    """
    found: dict[str, list[dict[str, np.ndarray]]] = {}
    for k, name in enumerate(SCENARIOS):
        axes, expected = _field(name, seed)
        for m, (label, method) in enumerate(METHODS.items()):
            own = 1000 * seed + len(METHODS) * k + m
            pvalues = null_pvalues(axes, expected, method, N_REPLICATES, runs, own)
            for title in (label, "all methods"):
                found.setdefault(title, []).append(pvalues)
    return {
        title: {question: np.concatenate([p[question] for p in parts]) for question in parts[0]}
        for title, parts in found.items()
    }


def _field(name, seed):
    """Axes and expected counts of a scenario."""
    experiment = Experiment.of(SCENARIOS[name], seed)
    axes = edition2015_axes(len(experiment))
    return axes, experiment.background(axes).counts


def _show(name, pvalues):
    for question, p in pvalues.items():
        text = ", ".join(f"{np.mean(p < level):.4g} below {level:g}" for level in LEVELS)
        click.echo(f"{name}, {question}: {text} ({p.size} draws)")


if __name__ == "__main__":
    main()
