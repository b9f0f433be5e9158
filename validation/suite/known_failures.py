"""Known failures as numbers: the bias of each, kept beside the code and held against it.

A method that calculated its own excuse would always have one. So the bias that
noise-free counts give is committed, and a known failure is accepted only while
the code still gives that number.
"""

import json
from itertools import product
from pathlib import Path

import click
import numpy as np

from simbg.io.safe_files import finite_or_none, new_file
from simbg.reconstruction.contract import axes_for
from simbg.reconstruction.registry import METHODS
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.registry import METRICS
from simbg.validation.metrics.single_runs import expected_values
from simbg.validation.suite.replicates import Setting

__all__ = ["drift", "known_metrics"]

FILE = Path(__file__).with_name("known_failures.json")
SEED = 2015
# The numbers are the same on any machine to rounding; a change of the code is not that small.
RTOL, ATOL = 1e-6, 1e-9
# 2015's methods, whose neighbouring bins are correlated.
SMOOTHERS = ("default", "michi")
FLAT = "flat solid angles are too large off axis, by 1 / cos(fov_lat)"
THRESHOLD = "a bin that holds the threshold gets the whole livetime for a part of the events"
SMOOTHED = "smoothing widens the image, and reflecting borders lift its edges"
SPREAD = "smoothing fills what is narrow: a dead drawer, a ring's hole, the edge of a mask"
ONE_CUBE = "one cube for all runs knows neither their zenith angles nor their norms"
OF_SMOOTHERS = {name: SPREAD for name, metric in METRICS.items() if metric.kind == "bias"}
OF_SMOOTHERS |= dict.fromkeys(("norm", "energy_norms"), FLAT)
OF_SMOOTHERS |= dict.fromkeys(("width", "energy_widths", "ring"), SMOOTHED)
# (method, metric) → reason of a failure that a calculation predicts; for 2015's methods see
# edition2015.py.
KNOWN = {(method, name): why for method in SMOOTHERS for name, why in OF_SMOOTHERS.items()}
# michi starts at the lowest threshold, and so has no such bin where all are the same.
KNOWN |= {("default", name): f"{FLAT}; {THRESHOLD}" for name in ("norm", "energy_norms")}
for name in ("index", "center_index", "width_slope"):
    KNOWN["default", name] = f"{THRESHOLD}; {SPREAD}"
KNOWN |= {("histogram", name): ONE_CUBE for name in ("run_norms", "run_spectra")}


def known_metrics(scenario, method):
    """The metrics by which a method may be known to fail in a scenario."""
    names = [name for name, metric in METRICS.items() if metric.shows_bias and scenario.ignored]
    names += [name for known, name in KNOWN if known == method]
    return sorted({name for name in names if scenario.per_run or METRICS[name].kind != "runs"})


def calculate(job):
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
    # What there is nothing to measure of must stay so: None, not a number that is none.
    key = f"{scenario.name} {scenario.digest} {method}"
    return {f"{key} {name}": value for name, value in finite_or_none(values).items()}


def drift(scenarios, methods, executor=None):
    """Known failures whose calculated bias is not the committed one.

    Returns
    -------
    drift : dict
        (scenario, method, metric) → what was expected and what is now.
    """
    # Of a truth that a user brings nothing can be kept: its calculation has to do.
    ours = [scenario for scenario in scenarios if scenario.name in SCENARIOS]
    jobs = [(s, m) for s in ours for m in methods if m in METHODS and known_metrics(s, m)]
    calculated = (executor.map if executor else map)(calculate, jobs)
    kept, found = json.loads(FILE.read_text()), {}
    for (scenario, method), biases in zip(jobs, calculated, strict=True):
        for key, value in biases.items():
            # Null is NaN here: nothing to measure must stay so.
            now, was = np.array([value, kept.get(key)], float)
            if key not in kept:
                text = "no calculated bias of this scenario is kept; nox -s regenerate keeps one"
            elif not np.isclose(now, was, RTOL, ATOL, equal_nan=True):
                text = f"its calculated bias is {now:.6g}, and {was:.6g} was kept"
            else:
                continue
            found[scenario.name, method, key.split()[-1]] = text
    return found


def main():
    """Renew the file and print what changed."""
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
