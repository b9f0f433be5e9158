"""The command line of the suite: ``simbg validate``, ``python -m validation``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from simbg.cli import jobs_option, run, seed_option
from simbg.scenarios import SCENARIOS
from simbg.workers import workers
from validation.report import WORDS, figures, verdict, write_report
from validation.results import write_results
from validation.run import run_suite

__all__ = ["validate"]

OURS = ("histogram", "default", "michi")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME|MODULE:OBJECT",
    help="A method to validate; repeatable. Default: all of ours.",
)
@click.option(
    "--scenario", "names", multiple=True, metavar="NAME", help="Only this scenario; repeatable."
)
@seed_option
@jobs_option
@click.option(
    "--out",
    type=click.Path(),
    default="reports",
    show_default=True,
    help="Folder of index.html and results.jsonl, which are replaced.",
)
@click.option("--list", "list_", is_flag=True, help="List scenarios and methods.")
def validate(methods, names, seed, jobs, out, list_):
    """Compare true and rebuilt cubes of all scenarios; write a report.

    Ends with 0 if all criteria hold, and 1 if not.

    \b
    simbg validate
    simbg validate --scenario night --method histogram --seed 1
    simbg validate --method my_package.my_module:MyMethod
    """
    if list_:
        for scenario in SCENARIOS.values():
            click.echo(f"{scenario.name:12s} {scenario.title}: {scenario.why}")
        click.echo("methods: " + ", ".join(OURS))
        return 0
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise ValueError(f"scenario: got {unknown[0]!r}, expected one of {', '.join(SCENARIOS)}")
    Path(out).mkdir(parents=True, exist_ok=True)
    chosen = [SCENARIOS[name] for name in names or SCENARIOS]
    with workers(jobs, "validate", unit=" pieces") as executor:
        outcomes = run_suite(chosen, methods or OURS, seed, executor)
        images = executor.map(figures, outcomes)
        pictures = {
            (outcome.scenario.name, outcome.method): image
            for outcome, image in zip(outcomes, images, strict=True)
        }
    results = [result for outcome in outcomes for result in outcome.results]
    write_results(Path(out) / "results.jsonl", results)
    write_report(Path(out) / "index.html", outcomes, seed, pictures)
    for result in results:
        if result.status in ("fail", "error", "known"):
            click.echo(
                f"{WORDS[result.status]:14s} {result.scenario} {result.method} {result.metric}: "
                f"{result.value:.5g} for {result.ideal:.5g} ({result.reason})"
            )
    good, text = verdict(results)
    click.echo(f"{text}: {Path(out) / 'index.html'}")
    return 0 if good else 1


if __name__ == "__main__":
    run(validate, "simbg validate")(sys.argv[1:])
