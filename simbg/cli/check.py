"""The command that checks a data store: ``simbg check``."""

import json

import click

from simbg.cli.console import Command, echo, shared_option

__all__ = []


@click.command(cls=Command, exit_codes="0 nothing found, 1 warnings")
@click.argument("store", type=click.Path())
@shared_option("json")
@shared_option("jobs")
def check(store: str, json_: bool, jobs: int | None) -> int:
    """Check a data store for contradictions.

    All runs of STORE are read. Errors are runs that `simbg reconstruct` cannot use. Warnings are
    contradictions that may change a model. Each line has the number of runs.

    \b
    simbg check store
    simbg check $GAMMAPY_DATA/hess-dl3-dr1 --json
    """
    from simbg.models.check import check_store
    from simbg.parallel.executors import workers

    with workers(jobs, "check") as executor:
        n_runs, report = check_store(store, executor=executor)
    code = 2 if report.errors else int(bool(report))
    if json_:
        found = {"store": store, "n_runs": n_runs, "findings": report.findings}
        echo(json.dumps(found, indent=1))
        return code
    for line in report.lines:
        echo(line)
    n_lines = len(report.lines)
    echo(f"{n_runs} run{'s' * (n_runs != 1)}, {n_lines} finding{'s' * (n_lines != 1)}")
    return code
