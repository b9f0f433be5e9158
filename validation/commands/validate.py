"""The suite: ``simbg validate``, ``python -m validation``."""

from typing import Any

import click

from simbg.cli.console import Command, shared_option
from simbg.reconstruction.registry import method_names
from simbg.simulation.library import SCENARIOS
from simbg.validation.commands import suite

__all__ = ["validate"]


def list_suite(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print the scenarios and methods, and exit."""
    if value:
        for scenario in SCENARIOS.values():
            click.echo(f"{scenario.name:12s} {scenario.title}: {scenario.why}")
        click.echo("methods: " + ", ".join(method_names()))
        context.exit()


@click.command(
    cls=Command,
    groups={
        "Methods": "method command models timeout",
        "Scenarios": "scenario from_ seed",
        "Report": "baseline out overwrite quiet json_",
    },
    exit_codes="0 all criteria hold, 1 a criterion or a method fails",
)
@suite.suite_options
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

    A method gets simulated events only. Its cube is compared with the truth.

    \b
    simbg validate
    simbg validate --scenario night --method histogram --seed 1
    simbg validate --method my_package.my_module:MyMethod
    simbg validate --command "mytool {store} {output}" --scenario night
    simbg validate --from irf_file.fits
    simbg validate --baseline reports/baseline --quiet --json
    """
    return suite.run_and_report(**options)
