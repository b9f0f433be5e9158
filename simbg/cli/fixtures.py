"""The command that writes reference files for other projects: ``simbg fixtures``."""

from pathlib import Path

import click

from simbg.cli.console import Command, echo, shared_option

__all__ = []


@click.command(cls=Command, exit_codes="0 files written")
@click.argument("outdir", type=click.Path())
@click.option(
    "--edition",
    type=click.Choice(["2015", "current"]),
    default="current",
    help="2015: the pair of cubes published in 2015. current: a pair with the same truth.",
)
@shared_option("overwrite")
def fixtures(outdir: str, edition: str, overwrite: bool) -> None:
    """Write reference files for the tests of other projects.

    The files, and a README.md that describes them, are written to OUTDIR.

    \b
    simbg fixtures out                  # cubes with the same truth
    simbg fixtures out --edition 2015   # cubes that do not agree
    """
    from simbg.fixtures.editions import write_fixtures

    for name in write_fixtures(outdir, edition, overwrite):
        echo(Path(outdir) / name)
