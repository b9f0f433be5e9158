"""The command that makes background models from a data store: ``simbg reconstruct``."""

from pathlib import Path

import click

from simbg.cli.console import shared_option
from simbg.reconstruction import DEFAULT_METHOD

__all__ = []


@click.command()
@click.argument("indir", type=click.Path())
@click.argument("outdir", type=click.Path())
@click.option(
    "--scheme", default="auto", type=click.Choice(["auto", "gadf", "hess"], case_sensitive=False)
)
@shared_option(
    "method", default=DEFAULT_METHOD, help="histogram, default, michi, or module:Object."
)
@click.option("--obs-ids", type=click.Path(), help="A text file of run numbers; only these.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="FILE",
    help="Region file or source table to add to the known sources; 'none': no catalogue.",
)
@click.option(
    "--sources",
    type=click.Choice(["drop", "mask"]),
    default="drop",
    help="Drop runs near them, or mask regions and correct the exposure.",
)
@click.option(
    "--mask-margin",
    "margin",
    type=float,
    default=0.4,
    help="Radius in deg of the mask round a point source; 2 x its own is added.",
)
@click.option(
    "--group-by",
    default="2015",
    metavar="KIND:LEAST",
    help="Zenith groups of at least livetime:HOURS or runs:NUMBER; or 2015, its groups.",
)
@click.option("--energy-threshold", type=float, help="TeV, in place of that of each run.")
@click.option("--per-run", is_flag=True, help="Write a model for each run, too, and an index.")
@click.option("--skip-incomplete", is_flag=True, help="Leave out runs that cannot be read.")
@click.option("--test", is_flag=True, help="A quick look: at most 100 runs, 5 sources, 2 groups.")
@shared_option("jobs")
@shared_option("overwrite")
def reconstruct(indir, outdir, scheme, method, obs_ids, per_run, jobs, overwrite, **selection):
    """Make background models from the data store INDIR and write them to OUTDIR.

    \b
    simbg reconstruct store models
    simbg reconstruct $GAMMAPY_DATA/hess-dl3-dr1 models --method default
    simbg reconstruct store models --exclude none --exclude my_sources.reg
    simbg reconstruct $GAMMAPY_DATA/hess-dl3-dr1 models --sources mask --group-by runs:15 --per-run
    """
    from simbg.models.selection import Selection

    ids = None if obs_ids is None else _read_ids(obs_ids)
    selection = Selection(obs_ids=ids, **selection)
    reconstruct_and_report(
        jobs, indir, outdir, scheme, method, selection, overwrite, per_run=per_run
    )


def reconstruct_and_report(jobs, *arguments, **options):
    """Make the models of a store, see `reconstruct_store`, and print a line a group."""
    from simbg.models.pipeline import reconstruct_store
    from simbg.parallel import workers

    with workers(jobs, "reconstruct") as executor:
        summaries = reconstruct_store(*arguments, **options, executor=executor)
    for group in summaries:
        masked = f", {group.n_masked} bins wholly masked" if group.n_masked else ""
        click.echo(
            f"group {group.group_id:2d}: {group.n_obs:4d} runs {group.n_events:9d} events "
            f"{group.livetime / 3600:7.1f} h{masked}"
        )


def _read_ids(path):
    try:
        ids = tuple(int(word) for word in Path(path).read_text().split())
    except ValueError as error:
        raise ValueError(f"{path}: expected run numbers ({error})") from error
    if not ids:
        raise ValueError(f"{path}: got no run number, expected 1 or more")
    return ids
