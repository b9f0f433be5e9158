"""The common part of ``simbg validate`` and ``simbg leaderboard``: options, run and report."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from simbg.cli.console import shared_option
from simbg.io.safe_files import check_apart
from simbg.parallel import announce, workers
from simbg.reconstruction.registry import METHODS
from simbg.simulation.library import SCENARIOS, find_scenario
from simbg.simulation.scenario import Scenario
from simbg.validation.commands.output import check_report, new_report, say
from simbg.validation.figures.rendering import render
from simbg.validation.leaderboard.score import Score
from simbg.validation.leaderboard.table import leaderboard
from simbg.validation.methods.candidates import Candidate
from simbg.validation.metrics.status import Status
from simbg.validation.pages.report import write_reports
from simbg.validation.pages.terminal import result_document, result_table
from simbg.validation.suite.baseline import Losses
from simbg.validation.suite.exclusion import ExclusionResponse
from simbg.validation.suite.suite import Suite, run_suite

__all__ = []

FILES = ("index.html", "results.jsonl", "junit.xml", "summary.md", "figures")
OPTIONS = (
    shared_option(
        "method",
        multiple=True,
        help="NAME or MODULE:OBJECT. Default: all of simbg.",
    ),
    shared_option("command", multiple=True),
    click.option(
        "--models",
        multiple=True,
        type=click.Path(),
        metavar="DIR",
        help="Folder of models SCENARIO.fits[.gz]. Repeatable.",
    ),
    shared_option("timeout"),
    shared_option("scenario", multiple=True, help="Name of a scenario. Default: all scenarios."),
    shared_option("from", help="BKG_3D or BKG_2D file: the truth of a scenario."),
    shared_option("seed"),
)
GROUPS = {
    "Methods": "method command models timeout",
    "Scenarios": "scenario from_ seed",
}


def suite_options(function: Callable) -> Callable:
    """Decorate a command with the options that say which methods and scenarios to run."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def choose_scenarios(names: Sequence[str], from_file: str | None = None) -> list[Scenario]:
    """The named scenarios, or all. With ``from_file``: its scenario, then the named ones."""
    chosen = [find_scenario(name) for name in dict.fromkeys(names)]
    if from_file:
        return [Scenario.from_file(from_file), *chosen]
    return chosen or list(SCENARIOS.values())


def choose_candidates(
    scenarios: Sequence[Scenario],
    method: Sequence[str],
    command: Sequence[str],
    models: Sequence[str],
    timeout: float,
) -> list[Candidate]:
    """The methods that the user named, in this order; by default all methods of simbg.

    Raises
    ------
    ValueError, OSError
        If one of them does not exist, or two have the same name.
    """
    names = method or (() if command or models else METHODS)
    candidates = [Candidate(name, timeout=timeout) for name in names]
    candidates += [Candidate.command(template, timeout) for template in command]
    candidates += [Candidate.files(folder) for folder in models]
    candidates = list(dict.fromkeys(candidates))
    names = [candidate.name for candidate in candidates]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(
            f"methods: got two methods with the name {min(twice)}, expected different names"
        )
    for candidate in candidates:
        candidate.check(scenarios)
    return candidates


def run_and_report(
    scenarios: Sequence[Scenario],
    candidates: Sequence[Candidate],
    seed: int,
    out: str,
    jobs: int | None,
    overwrite: bool,
    baseline: str | None = None,
    stores: int = 0,
) -> int:
    """Run the suite, write its report, print failures and errors, and return the exit code.

    Parameters
    ----------
    scenarios : sequence of Scenario
        Scenarios to run.
    candidates : sequence of Candidate
        Methods to run.
    seed : int
        Seed of all random numbers.
    out : path-like
        Folder of the report.
    jobs : int or None
        Number of processes; None for one per core.
    overwrite : bool
        Whether to replace files that the suite did not write.
    baseline : path-like, optional
        Folder of the stored losses, which are compared with those of this run.
    stores : int
        Number of stores of each scenario that are used to rank the methods; 0 for no ranks.
    """
    folders = [candidate.text for candidate in candidates if candidate.kind == "files"]
    check_apart(out, baseline, *folders, around=False)
    old = Losses.read(baseline) if baseline else None
    check_report(out, FILES, overwrite)
    context = click.get_current_context()
    quiet, as_json = context.params["quiet"], context.params["json_"]
    with workers(jobs, context.info_name, unit=" pieces", quiet=quiet) as executor:
        executor.plan(stages(scenarios, baseline is not None))
        suite = _run(scenarios, candidates, seed, stores, old, executor)
        announce(executor, "figures")
        pictures = render(suite, executor)
    with new_report(out) as folder:
        write_reports(folder, suite, pictures)
    for line in _lines(suite):
        say(line)
    say(f"{suite.text}: {Path(out, 'index.html')}")
    if as_json:
        click.echo(result_document(Path(out), suite))
    return 0 if suite.ok else 1


def stages(scenarios: Sequence[Scenario], baseline: bool) -> list[str]:
    """Names of the stages of a run, in order."""
    last = ["baseline"] if baseline else []
    return [*(scenario.name for scenario in scenarios), "known failures", *last, "figures"]


def _run(scenarios, candidates, seed, stores, old, executor):
    """The suite; ``old`` are the losses of a baseline, or None."""
    outcomes = run_suite(
        scenarios, candidates, seed, executor, stores, Score.of if stores else None
    )
    masked = next((scenario for scenario in scenarios if scenario.name == "source"), None)
    response = ExclusionResponse.of(masked, seed, executor) if masked else None
    changes = None
    if old is not None:
        announce(executor, "baseline")
        changes = Losses.measure(executor).changes_since(old)
    good, lines = (True, None) if changes is None else (changes.good, changes.lines)
    return Suite(outcomes, seed, lines, good, response, stores)


def _lines(suite):
    """Lines that describe the failures and errors, and the table of all results."""
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
    yield from result_table(suite.results)
