"""Ranks of methods: ``simbg leaderboard``."""

import secrets
from typing import Any

import click

from simbg.cli.console import Command, shared_option
from simbg.validation.commands.validate import suite_options

__all__ = []

# A number in JSON has no more bits.
SEED_BITS = 53


@click.command(
    cls=Command,
    groups={
        "Methods": "method command timeout memory",
        "Scenarios": "scenario from_ stores seed",
        "Report": "out overwrite figures quiet json_",
    },
    exit_codes="0 all criteria hold, 1 a criterion or a method fails",
)
@suite_options
@click.option(
    "--stores",
    type=click.IntRange(2),
    metavar="N",
    default=3,
    help="Number of stores of each scenario. Errors of the ranks need 3 or more.",
)
@shared_option("seed", default=None, help="Replay the ranking that printed this seed.")
@shared_option("out", default="reports/leaderboard")
def leaderboard(seed: int | None, **options: Any) -> int:
    """Rank methods by accuracy.

    Accuracy is the relative error of the rate. Parameters of the scenarios and all events are drawn
    when the ranking starts. Each method reconstructs the same stores, in a separate process. The
    report is that of `simbg validate` with tables of ranks.

    \b
    simbg leaderboard
    simbg leaderboard --method my_package.my_module:MyMethod --method histogram
    simbg leaderboard --stores 5 --command "mytool {store} {output}"
    """
    from simbg.validation.commands import suite

    replayed = seed is not None
    seed = secrets.randbits(SEED_BITS) if seed is None else seed
    return suite.run_and_report(seed=seed, replayed=replayed, **options)
