"""The command that writes reference files for other projects: ``simbg fixtures``."""

from pathlib import Path

import click

from simbg.cli.console import Command, shared_option

__all__ = []


@click.command(cls=Command, exit_codes="0 files written")
@click.argument("outdir", type=click.Path())
@click.option(
    "--edition",
    type=click.Choice(["2015", "current"]),
    default="current",
    help="The pair that was published in 2015, or one whose cubes have the same truth.",
)
@shared_option("overwrite")
def fixtures(outdir: str, edition: str, overwrite: bool) -> None:
    """Write reference files for the tests of other projects.

    OUTDIR gets the files, and a README.md that describes them.

    \b
    simbg fixtures out                  # both cubes have one truth; small files
    simbg fixtures out --edition 2015   # the published pair, which differs
    """
    from simbg.fixtures.editions import write_fixtures
    from simbg.parallel import workers

    with workers(1):  # no interrupt is lost there
        names = write_fixtures(outdir, edition, overwrite)
    for name in names:
        click.echo(Path(outdir) / name)
