"""Known failures: the calculated bias of our methods, which is committed and must not change.

A calculation alone would excuse any failure of a method. Therefore the biases from noise-free
counts are in known_failures.json, and a known failure is accepted only while the code still gives
the same numbers.
"""

import json
from collections.abc import Iterable
from concurrent.futures import Executor
from itertools import product
from pathlib import Path

import click
import numpy as np

from simbg.io.safe_files import new_file
from simbg.reconstruction.contract import axes_for
from simbg.reconstruction.registry import METHODS
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.simulation.scenario import Scenario
from simbg.validation.questions.bias import measure_bias
from simbg.validation.suite.replicates import Setting

__all__ = ["HISTORY", "changed_biases", "known_questions"]

FILE = Path(__file__).with_name("known_failures.json")
SEED = 2015
# Rounding differs between machines by less; a change of the code changes the numbers by more.
RTOL, ATOL = 1e-6, 1e-9
FLAT = "flat solid angles are too large off axis, by 1 / cos(fov_lat)"
THRESHOLD = "the bin with the threshold has the whole livetime but only part of the events"
SMOOTHED = "smoothing widens the image, raises its edges and fills narrow gaps"
PARTIAL = "the part of a threshold bin above the threshold is estimated by a power law"
ONE_MODEL = f"the cubes from which the models of runs are made are biased: {SMOOTHED}"
# (method, question) → reason of a calculated failure; for the methods of 2015 see edition2015.py.
# michi starts at the lowest threshold. With equal thresholds it has no bin that holds one.
KNOWN = {
    ("default", "bias"): f"{FLAT}; {SMOOTHED}; {THRESHOLD}",
    ("michi", "bias"): f"{FLAT}; {SMOOTHED}",
}
KNOWN |= {(method, "arrival"): SMOOTHED for method in ("default", "michi")}
KNOWN["histogram", "arrival"] = PARTIAL
KNOWN |= {
    (method, question): ONE_MODEL
    for method in ("default", "michi")
    for question in ("run_norms", "run_spectra")
}
# Methods that are run for their history, and the scenarios that tell it: smoothing of a field with
# many events, few events in coarse bins, a threshold inside a bin, and gaps that smoothing fills.
# They run in all scenarios if the user names them.
HISTORY = dict.fromkeys(
    ("default", "michi"), ("seed-2015", "night", "threshold-bin", "dead-camera")
)
# Methods whose bias is calculated from noise-free counts: those that are linear in the counts, and
# those with known failures.
CALCULATED = {m for m, c in METHODS.items() if getattr(c, "linear", False)} | {m for m, _ in KNOWN}


def known_questions(method: str) -> dict[str, str]:
    """The questions that a method is known to fail.

    Parameters
    ----------
    method : str
        Name of the method.

    Returns
    -------
    reasons : dict of str to str
        Question → reason.
    """
    return {question: reason for (name, question), reason in KNOWN.items() if name == method}


def calculate(job: tuple[Scenario, str]) -> dict[str, float]:
    """Biases of one method in one scenario: {"scenario digest method part": rms}."""
    scenario, method = job
    experiment, estimator = Experiment.of(scenario, SEED), METHODS[method]()
    setting = Setting.of(experiment, estimator, axes_for(estimator, experiment.observations()))
    key = f"{scenario.name} {scenario.digest} {method}"
    biases = measure_bias(setting.calculated)
    return {f"{key} {bias.name}": bias.rms for bias in biases}


def jobs_of(pairs: Iterable[tuple[Scenario, str]]) -> list[tuple[Scenario, str]]:
    """The scenarios and methods with a calculated bias."""
    # A truth of a user has no committed biases; only the calculation is used.
    return [(s, m) for s, m in pairs if m in CALCULATED and SCENARIOS.get(s.name) == s]


def changed_biases(
    pairs: Iterable[tuple[Scenario, str]], executor: Executor | None = None
) -> dict[tuple[str, str], str]:
    """Calculated biases that are not the committed ones.

    Parameters
    ----------
    pairs : iterable of (Scenario, str)
        Scenarios with the names of methods. Only scenarios of the library, with unchanged
        parameters, have committed biases.
    executor : concurrent.futures.Executor, optional
        Calculates biases in parallel.

    Returns
    -------
    changed : dict
        (scenario, method) → the committed and the present bias, in words.
    """
    jobs = jobs_of(pairs)
    calculated = (executor.map if executor else map)(calculate, jobs)
    committed = json.loads(FILE.read_text())
    changed: dict[tuple[str, str], str] = {}
    for (scenario, method), biases in zip(jobs, calculated, strict=True):
        for key, now in biases.items():
            if key not in committed:
                text = "no calculated bias of this scenario is committed; run nox -s regenerate"
            elif not np.isclose(now, committed[key], RTOL, ATOL):
                part = key.removeprefix(f"{scenario.name} {scenario.digest} {method} ")
                text = f"the calculated bias of {part} is {now:.6g}, but "
                text += f"{committed[key]:.6g} is committed"
            else:
                continue
            changed.setdefault((scenario.name, method), text)
    return changed


def main() -> None:
    """Renew known_failures.json and print the changes."""
    was: dict[str, float] = json.loads(FILE.read_text()) if FILE.is_file() else {}
    now: dict[str, float] = {}
    for job in jobs_of(product(SCENARIOS.values(), METHODS)):
        now |= {key: float(f"{value:.12g}") for key, value in calculate(job).items()}
    for key in sorted(was.keys() | now.keys()):
        if was.get(key, ...) != now.get(key, ...):
            click.echo(f"{key}: {was.get(key, '–')} → {now.get(key, '–')}")
    with new_file(FILE, overwrite=True) as temporary:
        temporary.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    click.echo(f"{FILE.name}: {len(now)} calculated biases")


if __name__ == "__main__":
    main()
