"""The suite: ``simbg validate``, ``python -m validation``."""

from collections.abc import Callable
from typing import Any

import click

from simbg.cli.console import Command, Percent, echo, shared_option
from simbg.validation.commands.output import names_files_kept

# The suite is loaded when it runs: completion and help need only names.
__all__ = ["suite_options", "validate"]

# `simbg.validation.questions.replicates.FEWEST`.
FEWEST = 4
OPTIONS = (
    shared_option(
        "method",
        multiple=True,
        help="NAME or MODULE:OBJECT. Default: ours.",
    ),
    shared_option("command", multiple=True),
    shared_option("timeout"),
    shared_option("memory"),
    shared_option("scenario", multiple=True, help="Name of a scenario. Default: all scenarios."),
    shared_option("from", help="BKG_3D or BKG_2D file: the truth of a scenario."),
    shared_option("overwrite"),
    shared_option("quiet"),
    shared_option("json"),
    shared_option("jobs"),
    shared_option("cluster"),
    click.option("--figures", is_flag=True, help="Write each figure as PNG and PDF."),
)


def suite_options(function: Callable) -> Callable:
    """Decorate a command with the options of `validate` and `leaderboard`."""
    function = names_files_kept(function)
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def list_suite(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print the scenarios and methods, and exit."""
    if value:
        from simbg.reconstruction.registry import method_names
        from simbg.simulation.library import SCENARIOS

        for scenario in SCENARIOS.values():
            echo(f"{scenario.name:12s} {scenario.title}: {scenario.why}")
        echo("methods: " + ", ".join(method_names()))
        context.exit()


class Requirement(Percent):
    """A percentage of the bias, or ``flux:PERCENT%``, ``flux:PERCENT%@HOURS,SIZE``."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """A fraction, or a `FluxRequirement`."""
        if not (isinstance(value, str) and value.startswith("flux")):
            return super().convert(value, param, ctx)
        from simbg.validation.impact.flux import FluxRequirement

        try:
            return FluxRequirement.parse(value)
        except ValueError as error:
            self.fail(str(error), param)


@click.command(
    cls=Command,
    groups={
        "Methods": "method command models timeout memory",
        "Scenarios": "scenario from_ seed",
        "Criteria": "require replicates strict baseline update_baseline fail_above",
        "Report": "out overwrite figures quiet json_",
    },
    exit_codes="0 all criteria hold, 1 a criterion or a method fails",
)
@suite_options
@click.option(
    "--models",
    multiple=True,
    type=click.Path(),
    metavar="DIR",
    help="Folder of models SCENARIO.fits[.gz]. Repeatable.",
)
@shared_option("seed")
@click.option(
    "--baseline",
    type=click.Path(),
    metavar="DIR",
    help="Folder of stored accuracies to compare with.",
)
@click.option("--update-baseline", is_flag=True, help="Write the accuracies of this run to it.")
@click.option(
    "--fail-above",
    type=Percent(),
    metavar="PERCENT",
    default="5%",
    help="Accepted increase of an accuracy.",
)
@click.option(
    "--require",
    type=Requirement(0.01, 100),
    multiple=True,
    metavar="LIMIT",
    help="Largest bias or flux error: 2%, flux:1%. Default: 1%.",
)
@click.option(
    "--replicates",
    type=click.IntRange(FEWEST),
    metavar="N",
    help="Data sets of each method. Default: 4 to 60.",
)
@click.option("--strict", is_flag=True, help="Undecided answers and warnings fail as well.")
@shared_option("out", default="reports")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=list_suite,
    help="Print the names of scenarios and methods, and exit.",
)
def validate(**options: Any) -> int:
    """Test methods in simulated scenarios, and write a report.

    simbg validate --scenario night --method my_module:MyMethod --require 2%
    """
    from simbg.validation.commands import suite

    return suite.run_and_report(**options)
