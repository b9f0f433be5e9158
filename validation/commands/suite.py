"""The common part of ``simbg validate`` and ``simbg leaderboard``: run and report."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from simbg.cli.console import echo, refuse
from simbg.io.safe_files import check_apart
from simbg.parallel.executors import announce, workers
from simbg.reconstruction.registry import METHODS
from simbg.simulation.library import SCENARIOS, find_scenario
from simbg.simulation.scenario import Scenario
from simbg.validation.commands.output import check_report, new_report, say
from simbg.validation.figures.rendering import render
from simbg.validation.impact.flux import FluxRequirement
from simbg.validation.leaderboard.baseline import Baseline
from simbg.validation.leaderboard.score import Score
from simbg.validation.leaderboard.table import leaderboard
from simbg.validation.leaderboard.variation import varied_scenarios
from simbg.validation.methods.candidates import Candidate
from simbg.validation.methods.command_line import hide_arguments
from simbg.validation.metrics.status import Status
from simbg.validation.pages.report.page import write_reports
from simbg.validation.pages.report.terminal import result_document, result_table
from simbg.validation.suite.exclusion import ExclusionResponse
from simbg.validation.suite.known_failures import HISTORY
from simbg.validation.suite.suite import Suite, run_suite

__all__ = []

FILES = (
    *("index.html", "results.jsonl", "junit.xml", "summary.md", "figures"),
    *("leaderboard.json", "leaderboard.md"),
)
# Number of stores from which accuracies of a baseline are measured.
BASELINE_STORES = 4


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
    memory: float,
) -> list[Candidate]:
    """The methods that the user named, in this order; by default all methods of simbg.

    Raises
    ------
    ValueError, OSError
        If one of them does not exist, or two have the same name.
    """
    names = method or (() if command or models else METHODS)
    candidates = [Candidate(name, timeout=timeout, memory=memory) for name in names]
    candidates += [Candidate.command(template, timeout, memory) for template in command]
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
    *,
    method: Sequence[str],
    command: Sequence[str],
    timeout: float,
    memory: float,
    scenario: Sequence[str],
    from_: str | None,
    seed: int,
    out: str,
    jobs: int | None,
    cluster: str,
    overwrite: bool,
    quiet: bool,
    json_: bool,
    models: Sequence[str] = (),
    baseline: str | None = None,
    update_baseline: bool = False,
    fail_above: float = 0.0,
    stores: int = 0,
    replayed: bool = False,
    require: Sequence[float | FluxRequirement] = (),
    replicates: int | None = None,
    strict: bool = False,
    figures: bool = False,
) -> int:
    """Run the suite, write its report, print failures and errors, and return the exit code.

    Parameters
    ----------
    method, command, models : sequence of str
        Methods to run; see `choose_candidates`.
    timeout : float
        Time limit for one store, s.
    memory : float
        Limit of the memory of a process of a method, GB.
    scenario : sequence of str
        Names of scenarios; all if it is empty.
    from_ : path-like or None
        File with the truth of an additional scenario.
    seed : int
        Seed of all random numbers.
    out : path-like
        Folder of the report.
    jobs : int or None
        Number of processes; None for one per core.
    cluster : str
        Where they are, see `simbg.parallel.executors.workers`.
    overwrite : bool
        Whether to replace files that the suite did not write.
    quiet, json_ : bool
        Whether nothing or one JSON document is printed.
    baseline : path-like, optional
        Folder of the stored accuracies, which are compared with those of this run.
    update_baseline : bool
        Whether the accuracies of this run are written to it.
    fail_above : float
        Largest relative increase of an accuracy.
    stores : int
        Number of stores of each scenario that are used to rank the methods; 0 for no ranks.
        Parameters of ranked scenarios are drawn.
    replayed : bool
        Whether the user chose the seed of a ranking.
    require : sequence of float or FluxRequirement
        The largest rms relative bias, and the largest error of the flux of a source.
    replicates : int, optional
        Number of replicates of each method.
    strict : bool
        Whether an undecided answer or a warning is a failure as well.
    figures : bool
        Whether each figure is written as PNG and PDF as well.
    """
    context = click.get_current_context()
    scenarios = choose_scenarios(scenario, from_)
    candidates = choose_candidates(scenarios, method, command, models, timeout, memory)
    # All methods are ranked in all scenarios.
    only = {} if method or command or models or stores else HISTORY
    if not stores:
        _refuse_without_effect(candidates, baseline)
    check_apart(out, baseline, *models, around=False)
    old = new = None
    if baseline:
        old = Baseline.read(baseline, scenarios, candidates, seed, update_baseline, only)
    check_report(out, FILES, overwrite)
    hide_arguments("validate", "leaderboard", "validation")
    if stores:
        scenarios = varied_scenarios(scenarios, seed)
    with workers(jobs, context.info_name, unit=" pieces", quiet=quiet, cluster=cluster) as executor:
        executor.plan(stages(scenarios, baseline is not None))
        judged = _requirements(require) | {"replicates": replicates, "only": only}
        suite = _run(scenarios, candidates, seed, stores, baseline, executor, judged)
        suite = replace(suite, replayed=replayed, strict=strict, history=tuple(only))
        if old:
            announce(executor, "baseline")
            new = Baseline.of(suite.outcomes, candidates, seed, executor)
            good, lines = new.changes_since(old, fail_above)
            suite = replace(suite, changes=lines, baseline_holds=good or update_baseline)
        announce(executor, "figures")
        pictures = render(suite, executor, figures)
    with new_report(out, FILES) as folder:
        write_reports(folder, suite, pictures)
    if baseline and new and update_baseline:
        new.update(baseline)
    for line in _lines(suite):
        say(line)
    for line in result_table(suite.results):
        say(line, styled=True)
    for verdict in suite.verdicts:
        say(verdict.text)
    if suite.impact:
        say(suite.impact)
    say(f"{suite.text}: {Path(out, 'index.html')}")
    if json_:
        echo(result_document(Path(out), suite))
    return 0 if suite.ok else 1


def stages(scenarios: Sequence[Scenario], baseline: bool) -> list[str]:
    """Names of the stages of a run, in order."""
    last = ["baseline"] if baseline else []
    return [*(scenario.name for scenario in scenarios), "known failures", *last, "figures"]


def _requirements(require):
    """Arguments of `run_suite`."""
    flux = [one for one in require if isinstance(one, FluxRequirement)]
    bias = [one for one in require if not isinstance(one, FluxRequirement)]
    for one in (flux, bias):
        if len(one) > 1:
            raise click.UsageError(f"--require: got {len(one)} of one kind, expected one or none")
    return {"require": next(iter(bias), None), "flux": next(iter(flux), None)}


def _refuse_without_effect(candidates, baseline):
    """Refuse options of `validate` that have no effect."""
    if not baseline:
        for option in ("update_baseline", "fail_above"):
            refuse(option, "has no effect without --baseline")
    if all(candidate.ours for candidate in candidates):
        refuse("fail_above", "has no effect if all methods are those of simbg")
    if all(candidate.kind == "files" for candidate in candidates):
        refuse("replicates", "has no effect on finished files, which are one cube")
    if all(candidate.ours or candidate.kind == "files" for candidate in candidates):
        for option in ("timeout", "memory"):
            refuse(option, "has no effect if all methods are those of simbg")


def _run(scenarios, candidates, seed, stores, baseline, executor, judged):
    """The suite; with a baseline, methods that are not ours are scored."""
    scored = stores or (BASELINE_STORES if baseline else 0) * any(not c.ours for c in candidates)
    score = Score.of if scored else None
    outcomes = run_suite(scenarios, candidates, seed, executor, scored, score, **judged)
    masked = next((scenario for scenario in scenarios if scenario.name == "source"), None)
    response = ExclusionResponse.of(masked, seed, executor) if masked else None
    return Suite(outcomes, seed, response=response, stores=stores)


def _lines(suite):
    """Lines that describe what is wrong or undecided."""
    # Warnings have their lines only if they decide on the exit code.
    described = {Status.FAIL, Status.UNDECIDED} | ({Status.WARNING} if suite.strict else set())
    for result in suite.results:
        what = f"{result.status.word:8s} {result.scenario} {result.method}"
        if result.status == Status.ERROR:
            yield f"{what}: {result.reason}"
        elif result.status in described:
            yield f"{what} {result.metric}: {result.reason}"
    if suite.stores:
        content = leaderboard(suite.outcomes, suite.seed, suite.replayed)
        yield from (*content["lines"], content["origin"])
    yield from (f"since the baseline: {line}" for line in suite.changes or ())
