"""The suite, all scenarios with all methods, and its report: ``simbg validate`` without a mode."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from simbg.io.safe_files import finite_or_none, new_file
from simbg.parallel import announce, workers
from simbg.reconstruction.registry import METHODS, method_names
from simbg.simulation.library import SCENARIOS
from simbg.simulation.scenario import Scenario
from simbg.validation.commands.output import say
from simbg.validation.figures.rendering import render
from simbg.validation.leaderboard.score import Score
from simbg.validation.leaderboard.table import leaderboard
from simbg.validation.methods.candidates import Candidate
from simbg.validation.metrics.status import Status
from simbg.validation.pages.report import write_reports
from simbg.validation.pages.terminal import result_document, result_table
from simbg.validation.self_check.detection import self_check
from simbg.validation.suite.baseline import Losses
from simbg.validation.suite.exclusion import ExclusionResponse
from simbg.validation.suite.suite import Suite, run_suite

__all__ = []

# Work that is no scenario, in runs of one: a scenario's known failures and figures, the baseline,
# the self-check.
FAILURES, FIGURES, BASELINE, SELF_CHECK = 6, 4, 60, 600


def list_suite():
    """Print the scenarios and methods there are."""
    for scenario in SCENARIOS.values():
        click.echo(f"{scenario.name:12s} {scenario.title}: {scenario.why}")
    click.echo("methods: " + ", ".join(method_names()))


def choose_scenarios(names, from_file=None):
    """Those named, or all; the truth of a file comes first, and alone if none is named."""
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise ValueError(f"scenario: got {unknown[0]!r}, expected one of {', '.join(SCENARIOS)}")
    chosen = [SCENARIOS[name] for name in dict.fromkeys(names)]
    if from_file:
        return [Scenario.from_file(from_file), *chosen]
    return chosen or list(SCENARIOS.values())


def choose_candidates(method, command, models, timeout):
    """What a user named, in this order; ours if nothing. No two share a name."""
    candidates = [Candidate(name, timeout=timeout) for name in method]
    candidates += [Candidate.command(template, timeout) for template in command]
    candidates += [Candidate.files(folder) for folder in models]
    candidates = list(dict.fromkeys(candidates or [Candidate(name) for name in METHODS]))
    names = [candidate.name for candidate in candidates]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"methods: got two called {min(twice)}, expected names that differ")
    return candidates


def run_and_report(
    scenarios, candidates, seed, leaderboard, baseline, check, out, jobs, quiet, json_
):
    """Run the suite, write its report, print what is wrong; return the exit code."""
    old = Losses.read(baseline) if baseline else None
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with workers(jobs, "validate", unit=" pieces", quiet=quiet) as executor:
        executor.plan(plan(scenarios, old is not None, check))
        suite = _run(scenarios, candidates, seed, leaderboard or 0, old, check, executor)
        announce(executor, "figures")
        pictures = render(suite, executor)
    write_reports(out, suite, pictures)
    if suite.self_check:
        _write_self_check(out / "selfcheck.jsonl", suite.self_check[0])
    for line in _lines(suite):
        say(line)
    say(f"{suite.text}: {out / 'index.html'}")
    if json_:
        click.echo(result_document(out, suite))
    return 0 if suite.ok else 1


def plan(scenarios, baseline, self_check):
    """Stages of a validation and how long each takes, roughly, to tell the time left."""
    once = {"baseline": BASELINE * bool(baseline), "self-check": SELF_CHECK * bool(self_check)}
    each = {"known failures": FAILURES, "figures": FIGURES}
    each = {stage: weight * len(scenarios) for stage, weight in each.items()}
    return {scenario.name: scenario.n_obs for scenario in scenarios} | once | each


def _run(scenarios, candidates, seed, replicates, old, check, executor):
    """The suite, with what else was asked for; ``old`` are the losses of a baseline."""
    score = Score.of if replicates else None
    outcomes = run_suite(scenarios, candidates, seed, executor, replicates, score)
    masked = next((scenario for scenario in scenarios if scenario.name == "source"), None)
    response = ExclusionResponse.of(masked, seed, executor) if masked else None
    announce(executor, "baseline")
    kept, changes = True, None
    if old is not None:
        changes = Losses.measure(executor).changes_since(old)
        kept, changes = changes.good, changes.lines
    announce(executor, "self-check")
    checked = self_check(seed, executor) if check else None
    return Suite(outcomes, seed, changes, kept, checked, response, replicates)


def _write_self_check(path, detections):
    """Write what was found of each defect, a line each; NaN becomes null."""
    records = (finite_or_none(asdict(detection)) for detection in detections)
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records))


def _lines(suite):
    """What is wrong, line by line, and the table of all results."""
    for result in suite.results:
        what = f"{result.status.word:14s} {result.scenario} {result.method}"
        if result.status == Status.ERROR:
            yield f"{what}: {result.reason}"
        elif result.status.fails:
            values = f"{result.value:.5g} for {result.ideal:.5g}"
            yield f"{what} {result.metric}: {values} ({result.reason})"
    if suite.replicates:
        yield from leaderboard(suite.outcomes)["lines"]
    yield from (f"since the baseline: {line}" for line in suite.changes or ())
    yield from suite.self_check_lines
    yield from result_table(suite.results)
