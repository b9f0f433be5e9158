"""The command line of the suite: ``simbg validate``, ``python -m validation``."""

from inspect import signature

import click

from simbg.cli.console import shared_option
from simbg.validation.commands import suite
from simbg.validation.commands.conformance import check_conformance
from simbg.validation.commands.cross_validate import cross_validate_store
from simbg.validation.commands.output import names_files_kept
from simbg.validation.methods.candidates import Candidate

__all__ = ["validate"]


@click.command()
@shared_option(
    "method",
    multiple=True,
    metavar="NAME|MODULE:OBJECT",
    help="A method to validate; repeatable. Default: all of ours.",
)
@click.option(
    "--command",
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
    type=click.IntRange(2),
    metavar="N",
    help="Also rank the methods, on N stores of each scenario; 3 or more have errors.",
)
@shared_option("scenario", multiple=True, metavar="NAME", help="Only this scenario; repeatable.")
@shared_option("seed")
@shared_option("jobs")
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
@names_files_kept
def validate(**options):
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
    if options["list_"]:
        return suite.list_suite()
    if options["conforming"]:
        return _call(check_conformance, options)
    if options["data"]:
        return _call(cross_validate_store, options)
    scenarios = suite.choose_scenarios(options["scenario"], options["from_"])
    candidates = _call(suite.choose_candidates, options)
    return _call(suite.run_and_report, options, scenarios, candidates)


def _call(function, options, *arguments):
    """Call a function with the options that its other parameters are called by."""
    names = list(signature(function).parameters)[len(arguments) :]
    return function(*arguments, **{name: options[name] for name in names})
