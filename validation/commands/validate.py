"""The command line of the suite: ``simbg validate``, ``python -m validation``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from simbg.cli.completion import complete_method, complete_scenario
from simbg.cli.console import jobs_option, seed_option
from simbg.io.safe_files import finite_or_none, new_file
from simbg.models.selection import Selection, parse_group_by
from simbg.parallel import announce, workers
from simbg.reconstruction.registry import method_names
from simbg.simulation.scenarios import SCENARIOS, from_file
from simbg.validation.conformance.findings import conformance, write_findings
from simbg.validation.cross_validation.cross_validate import cross_validate, write_crossval
from simbg.validation.figures.rendering import render
from simbg.validation.leaderboard.ranking import leaderboard_lines
from simbg.validation.methods.candidates import Candidate
from simbg.validation.metrics.status import Status
from simbg.validation.pages.report import write_reports
from simbg.validation.pages.terminal import keeps_what_is_there, plan, result_document, result_table
from simbg.validation.self_check.detection import self_check
from simbg.validation.suite import baseline as gate
from simbg.validation.suite.mask_response import exclusion_response
from simbg.validation.suite.runner import run_suite
from simbg.validation.suite.suite import Suite, self_check_lines

__all__ = ["validate"]

OURS = ("histogram", "default", "michi")


@click.command()
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME|MODULE:OBJECT",
    shell_complete=complete_method,
    help="A method to validate; repeatable. Default: all of ours.",
)
@click.option(
    "--command",
    "commands",
    multiple=True,
    metavar="TEMPLATE",
    help="A command to validate: it reads the GADF store {store}, with its {regions}, and writes "
    "a BKG_3D or BKG_2D file to {output}; repeatable.",
)
@click.option(
    "--models",
    multiple=True,
    type=click.Path(),
    metavar="DIR",
    help="A folder of finished files to validate, SCENARIO.fits[.gz]; repeatable.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=Candidate.timeout,
    help="s that a method which is not ours may take for a store.",
)
@click.option(
    "--leaderboard",
    "replicates",
    type=click.IntRange(2),
    metavar="N",
    help="Also rank the methods, on N stores of each scenario; 3 or more have errors.",
)
@click.option(
    "--scenario",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_scenario,
    help="Only this scenario; repeatable.",
)
@seed_option
@jobs_option
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    default="reports",
    help="Folder of index.html and what belongs to it, which is replaced.",
)
@click.option(
    "--baseline",
    type=click.Path(),
    metavar="DIR",
    help="Also hold our methods against the losses kept there.",
)
@click.option(
    "--self-check", "check", is_flag=True, help="Also plant every defect, and run clean 504 times."
)
@click.option(
    "--conformance",
    "conforming",
    metavar="OBJECT",
    help="Instead: whether this method, or this --command by its name, keeps the contract.",
)
@click.option("--list", "list_", is_flag=True, help="List scenarios and methods.")
@click.option(
    "--from", "from_", type=click.Path(), metavar="BKG", help="Instead: the truth of this file."
)
@click.option(
    "--data",
    type=click.Path(),
    metavar="STORE",
    help="Instead: hold models of four fifths of these real runs against the others.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="FILE",
    help="With --data: regions or sources to mask besides the known ones; 'none': no catalogue.",
)
@click.option(
    "--group-by",
    default="runs:10",
    metavar="KIND:LEAST",
    help="With --data: zenith groups of at least livetime:HOURS or runs:NUMBER; or 2015.",
)
@click.option(
    "--skip-incomplete", is_flag=True, help="With --data: leave out runs that cannot be read."
)
@click.option("--quiet", is_flag=True, help="Say nothing: no progress, no table.")
@click.option(
    "--json", "json_", is_flag=True, help="Write the results to standard output as JSON, no table."
)
@keeps_what_is_there
def validate(
    methods,
    commands,
    models,
    timeout,
    replicates,
    names,
    seed,
    jobs,
    out,
    baseline,
    check,
    conforming,
    list_,
    from_,
    data,
    exclude,
    group_by,
    skip_incomplete,
    quiet,
    json_,
):
    """Compare true and rebuilt cubes of all scenarios; write a report.

    Ends with 0 if all criteria hold, and 1 if not. With --data there is no truth, and the judge
    are runs that a model has not seen.

    \b
    simbg validate
    simbg validate --scenario night --method histogram --seed 1
    simbg validate --method my_package.my_module:MyMethod --leaderboard 3
    simbg validate --command "mytool {store} {output}" --scenario night
    simbg validate --quiet --json --scenario night
    simbg validate --conformance my_package.my_module:MyMethod
    simbg validate --self-check --baseline reports/baseline
    simbg validate --from irf_file.fits
    simbg validate --data $GAMMAPY_DATA/hess-dl3-dr1
    """
    if list_:
        _list()
        return 0
    if conforming:
        ways = {way.name: way for way in (Candidate.command(text, timeout) for text in commands)}
        way = ways.get(conforming) or Candidate(conforming, timeout=timeout)
        return _say_conformance(way, seed, jobs, Path(out))
    if data:
        selection = Selection(
            exclude=tuple(exclude),
            sources="mask",
            group_by=parse_group_by(group_by),
            skip_incomplete=skip_incomplete,
        )
        return _cross_validate(data, methods, selection, out, jobs)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise ValueError(f"scenario: got {unknown[0]!r}, expected one of {', '.join(SCENARIOS)}")
    ways = _ways(methods, commands, models, timeout)
    old = gate.read_losses(baseline) if baseline else None
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    chosen = [SCENARIOS[name] for name in dict.fromkeys(names or SCENARIOS)]
    if from_:
        chosen = [from_file(from_), *(chosen if names else ())]
    with workers(jobs, "validate", unit=" pieces", quiet=quiet) as executor:
        executor.plan(plan(chosen, old is not None, check))
        outcomes = run_suite(chosen, ways, seed, executor, replicates or 0)
        masked = next((s for s in chosen if s.name == "source"), None)
        response = exclusion_response(masked, seed, executor) if masked else None
        announce(executor, "baseline")
        kept, changes = (True, None) if old is None else _gate(old, executor)
        announce(executor, "self-check")
        checked = self_check(seed, executor) if check else None
        suite = Suite(outcomes, seed, changes, kept, checked, response, replicates or 0)
        announce(executor, "figures")
        pictures = render(suite, executor)
    write_reports(out, suite, pictures)
    for result in suite.results:
        if result.status.fails:
            _say(_line(result))
    for line in leaderboard_lines(outcomes) if replicates else ():
        _say(line)
    for line in changes or ():
        _say(f"since the baseline: {line}")
    if checked is not None:
        _say_self_check(out, *checked)
    for line in result_table(suite.results):
        _say(line)
    _say(f"{suite.text}: {out / 'index.html'}")
    if json_:
        click.echo(result_document(out, suite))
    return 0 if suite.good else 1


def _say_conformance(way, seed, jobs, out):
    """Print and keep what the conformance suite finds."""
    if way.kind == "method" and ":" not in way.name and way.name not in method_names():
        known = ", ".join(method_names())
        raise ValueError(
            f"conformance: got {way.name!r}, expected one of {known}, module:Object, or the name "
            "of a --command"
        )
    out.mkdir(parents=True, exist_ok=True)
    with workers(jobs, "conformance", unit=" stores") as executor:
        findings = conformance(way, seed, executor)
    write_findings(out / "conformance.json", way.name, seed, findings)
    for finding in findings:
        _say(f"{finding.status:4s} {finding.name}: {finding.about}: {finding.text}")
    failed = sum(finding.status == Status.FAIL for finding in findings)
    _say(f"{failed or 'none'} of {len(findings)} checks failed: {out / 'conformance.json'}")
    return 1 if failed else 0


def _ways(methods, commands, models, timeout):
    """What a user named, in this order; ours if nothing. No two share a name."""
    ways = [Candidate(name, timeout=timeout) for name in methods]
    ways += [Candidate.command(template, timeout) for template in commands]
    ways += [Candidate.files(folder) for folder in models]
    ways = list(dict.fromkeys(ways or [Candidate(name) for name in OURS]))
    names = [way.name for way in ways]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"methods: got two called {min(twice)}, expected names that differ")
    return ways


def _cross_validate(data, methods, selection, out, jobs):
    good, found = True, []
    for method in methods or ("histogram",):
        quiet = click.get_current_context().params["quiet"]
        with workers(jobs, "validate", unit=" folds", quiet=quiet) as executor:
            result = cross_validate(data, selection, method, executor=executor)
        folder = Path(out) / f"data-{method.replace(':', '-')}"
        write_crossval(result, folder)
        found.append({"method": method, "good": result.agree, "folder": str(folder)})
        _say(f"{result.text}: {folder}")
        good &= result.agree
    if click.get_current_context().params["json_"]:
        click.echo(json.dumps({"good": good, "models": found}, indent=1))
    return 0 if good else 1


def _list():
    for scenario in SCENARIOS.values():
        click.echo(f"{scenario.name:12s} {scenario.title}: {scenario.why}")
    click.echo("methods: " + ", ".join(method_names()))


def _gate(old, executor):
    """Whether nothing got worse than the baseline, and what changed, in words."""
    return gate.describe(gate.changes(old, gate.measure(executor)))


def _say_self_check(out, found, clean):
    """Print and keep the self-check."""
    with new_file(out / "selfcheck.jsonl", overwrite=True) as temporary:
        records = [finite_or_none(asdict(f)) for f in found]
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records))
    for line in self_check_lines(found, clean):
        _say(line)


def _say(line):
    """To standard output, unless that is for something else or for nothing."""
    params = click.get_current_context().params
    if not (params["quiet"] or params["json_"]):
        click.echo(line)


def _line(result):
    if result.status == Status.ERROR:
        return f"{result.status.word:14s} {result.scenario} {result.method}: {result.reason}"
    return (
        f"{result.status.word:14s} {result.scenario} {result.method} {result.metric}: "
        f"{result.value:.5g} for {result.ideal:.5g} ({result.reason})"
    )
