"""The command of gammapy in 2015, ``gammapy-make-bg-cube-models``."""

import click

from simbg.cli.console import Command, log_to_stderr, run, shared_option
from simbg.cli.reconstruct import reconstruct_and_report

__all__ = ["main"]


@click.command(cls=Command, exit_codes="0 models written")
@click.argument("indir", type=click.Path())
@click.argument("scheme", type=click.Choice(["HESS", "GADF"], case_sensitive=False))
@click.argument("outdir", type=click.Path())
@click.option("--test", is_flag=True, help="Quick test: at most 100 runs, 5 sources, 2 groups.")
@shared_option("overwrite")
@click.option(
    "--method",
    type=click.Choice(["default", "michi"]),
    default="default",
    help="Method of 2015; 'michi' smooths more.",
)
@click.option(
    "-l",
    "--loglevel",
    type=click.Choice(["debug", "info", "warning", "error", "critical"]),
    default="info",
    help="Lowest level of the messages that are logged.",
)
def make_bg_cube_models(
    indir: str, scheme: str, outdir: str, test: bool, overwrite: bool, method: str, loglevel: str
) -> None:
    """Make background cube models from the data in INDIR, as gammapy did in 2015.

    \b
    gammapy-make-bg-cube-models /path/to/data HESS models
    gammapy-make-bg-cube-models $GAMMAPY_DATA/hess-dl3-dr1 GADF models --test --overwrite
    """
    log_to_stderr(loglevel)
    from simbg.models.selection import Selection

    selection = Selection(test=test)
    reconstruct_and_report(None, indir, outdir, scheme, method, selection, overwrite)


main = run(make_bg_cube_models, "gammapy-make-bg-cube-models")
