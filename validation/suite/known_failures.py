"""Known failures: the calculated bias of each, which is committed and must not change.

A calculation alone would excuse any failure of a method. Therefore the biases from noise-free
counts are in known_failures.json, and a known failure is accepted only while the code still gives
the same number.
"""

import json
from collections.abc import Iterable
from concurrent.futures import Executor
from itertools import product
from pathlib import Path

import click
import numpy as np

from simbg.io.safe_files import finite_or_none, new_file
from simbg.reconstruction.contract import axes_for
from simbg.reconstruction.registry import METHODS
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.simulation.scenario import Scenario
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.registry import METRICS
from simbg.validation.metrics.single_runs import expected_values
from simbg.validation.suite.replicates import Setting

__all__ = ["changed_biases", "known_metrics"]

FILE = Path(__file__).with_name("known_failures.json")
SEED = 2015
# Rounding differs between machines by less; a change of the code changes the numbers by more.
RTOL, ATOL = 1e-6, 1e-9
# The methods of 2015, which smooth; neighbouring bins are correlated.
SMOOTHERS = ("default", "michi")
FLAT = "flat solid angles are too large off axis, by 1 / cos(fov_lat)"
THRESHOLD = "the bin with the threshold has the whole livetime but only part of the events"
SMOOTHED = "smoothing widens the image, and reflecting borders raise its edges"
SPREAD = "smoothing fills narrow gaps: a dead drawer, the hole of a ring, the edge of a mask"
ONE_CUBE = "one cube for all runs ignores their zenith angles and norms"
OF_SMOOTHERS = {name: SPREAD for name, metric in METRICS.items() if metric.kind == "bias"}
OF_SMOOTHERS |= dict.fromkeys(("norm", "energy_norms"), FLAT)
OF_SMOOTHERS |= dict.fromkeys(("width", "energy_widths", "ring"), SMOOTHED)
# (method, metric) → reason of a calculated failure; for the methods of 2015 see edition2015.py.
KNOWN = {(method, name): why for method in SMOOTHERS for name, why in OF_SMOOTHERS.items()}
# michi starts at the lowest threshold. With equal thresholds it has no bin that holds one.
KNOWN |= {("default", name): f"{FLAT}; {THRESHOLD}" for name in ("norm", "energy_norms")}
for name in ("index", "center_index", "width_slope"):
    KNOWN["default", name] = f"{THRESHOLD}; {SPREAD}"
KNOWN |= {("histogram", name): ONE_CUBE for name in ("run_norms", "run_spectra")}


def known_metrics(scenario: Scenario, method: str) -> list[str]:
    """The metrics for which a failure of a method in a scenario may be a known one.

    Parameters
    ----------
    scenario : Scenario
        The scenario.
    method : str
        Name of the method.

    Returns
    -------
    metrics : list of str
        Sorted names.
    """
    names = [name for name, metric in METRICS.items() if metric.shows_bias and scenario.ignored]
    names += [name for known, name in KNOWN if known == method]
    return sorted({name for name in names if scenario.per_run or METRICS[name].kind != "runs"})


def calculate(job: tuple[Scenario, str]) -> dict[str, float | None]:
    """Biases of one method in one scenario: {"scenario digest method metric": value}."""
    scenario, method = job
    if not (metrics := known_metrics(scenario, method)):
        return {}
    experiment, estimator = Experiment.of(scenario, SEED), METHODS[method]()
    setting = Setting.of(experiment, estimator, axes_for(estimator, experiment.observations()))
    pair = CubePair(setting.true, setting.perfect, noise_free=True)
    values = {name: METRICS[name](pair).value for name in metrics if METRICS[name].function}
    if scenario.per_run:
        measures = expected_values(experiment, setting.perfect)
        values |= {name: measures[name].value for name in metrics if name in measures}
    # None where the metric cannot be measured. This must not change either.
    key = f"{scenario.name} {scenario.digest} {method}"
    return {f"{key} {name}": value for name, value in finite_or_none(values).items()}


def changed_biases(
    scenarios: Iterable[Scenario], methods: Iterable[str], executor: Executor | None = None
) -> dict[tuple[str, str, str], str]:
    """Known failures whose calculated bias is not the committed one.

    Parameters
    ----------
    scenarios : iterable of Scenario
        Only those of the library, with unchanged parameters, have committed biases.
    methods : iterable of str
        Names of methods.
    executor : concurrent.futures.Executor, optional
        Calculates biases in parallel.

    Returns
    -------
    changed : dict
        (scenario, method, metric) → the committed and the present bias, in words.
    """
    # A truth of a user has no committed biases; only the calculation is used.
    ours = [scenario for scenario in scenarios if SCENARIOS.get(scenario.name) == scenario]
    jobs = [(s, m) for s in ours for m in methods if m in METHODS and known_metrics(s, m)]
    calculated = (executor.map if executor else map)(calculate, jobs)
    committed, changed = json.loads(FILE.read_text()), {}
    for (scenario, method), biases in zip(jobs, calculated, strict=True):
        for key, value in biases.items():
            # null in the file becomes NaN.
            now, was = np.array([value, committed.get(key)], float)
            if key not in committed:
                text = "no calculated bias of this scenario is committed; run nox -s regenerate"
            elif not np.isclose(now, was, RTOL, ATOL, equal_nan=True):
                text = f"the calculated bias is {now:.6g}, but {was:.6g} is committed"
            else:
                continue
            changed[scenario.name, method, key.split()[-1]] = text
    return changed


def main() -> None:
    """Renew known_failures.json and print the changes."""
    was = json.loads(FILE.read_text()) if FILE.is_file() else {}
    now = {}
    for job in product(SCENARIOS.values(), METHODS):
        for key, value in calculate(job).items():
            now[key] = None if value is None else float(f"{value:.12g}")
    for key in sorted(was.keys() | now.keys()):
        if was.get(key, ...) != now.get(key, ...):
            click.echo(f"{key}: {was.get(key, '–')} → {now.get(key, '–')}")
    with new_file(FILE, overwrite=True) as temporary:
        temporary.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    click.echo(f"{FILE.name}: {len(now)} calculated biases")


if __name__ == "__main__":
    main()
