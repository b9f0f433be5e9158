"""Ranks of methods: ``simbg leaderboard``."""

from collections.abc import Sequence
from typing import Any

import click

from simbg.cli.console import Command, shared_option
from simbg.validation.commands import suite
from simbg.validation.commands.output import names_files_kept

__all__ = []


@click.command(
    cls=Command,
    groups={**suite.GROUPS, "Report": "stores out overwrite quiet json_"},
    exit_codes="0 all criteria hold, 1 a criterion or a method fails",
)
@suite.suite_options
@click.option(
    "--stores",
    type=click.IntRange(2),
    metavar="N",
    default=3,
    help="Number of stores of each scenario. Errors of the ranks need 3 or more.",
)
@shared_option("out", default="reports/leaderboard")
@shared_option("overwrite")
@shared_option("quiet")
@shared_option("json")
@shared_option("jobs")
@names_files_kept
def leaderboard(
    method: Sequence[str],
    command: Sequence[str],
    models: Sequence[str],
    timeout: float,
    scenario: Sequence[str],
    from_: str | None,
    seed: int,
    quiet: bool,
    json_: bool,
    **report: Any,
) -> int:
    """Rank methods by accuracy.

    Accuracy is the relative error of the rate. Each method reconstructs the same stores, in a
    separate process. The report is that of `simbg validate` with tables of ranks.

    \b
    simbg leaderboard
    simbg leaderboard --method my_package.my_module:MyMethod --method histogram
    simbg leaderboard --stores 5 --command "mytool {store} {output}"
    """
    scenarios = suite.choose_scenarios(scenario, from_)
    candidates = suite.choose_candidates(scenarios, method, command, models, timeout)
    return suite.run_and_report(scenarios, candidates, seed, **report)
