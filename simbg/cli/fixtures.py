"""The command that writes reference files for other projects: ``simbg fixtures``."""

from pathlib import Path

import click

from simbg.cli.console import shared_option

__all__ = []


@click.command()
@click.argument("outdir", type=click.Path())
@click.option("--edition", type=click.Choice(["2015", "current"]), default="current")
@shared_option("overwrite")
def fixtures(outdir, edition, overwrite):
    """Write reference files for other projects' tests to OUTDIR; README.md there describes them.

    \b
    simbg fixtures out                  # one truth for both cubes: they match; and small files
    simbg fixtures out --edition 2015   # the published pair, which does not match
    """
    from simbg.fixtures.editions import write_fixtures
    from simbg.parallel import workers

    with workers(1):  # no interrupt is lost there
        names = write_fixtures(outdir, edition, overwrite)
    for name in names:
        click.echo(Path(outdir) / name)
