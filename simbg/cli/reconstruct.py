"""The command that makes background models from a data store: ``simbg reconstruct``."""

from pathlib import Path
from typing import Any

import click

from simbg.cli.binning import binning_options, read_binning
from simbg.cli.console import Command, echo, refuse, shared_option
from simbg.reconstruction import DEFAULT_METHOD

__all__ = []


@click.command(
    cls=Command,
    groups={
        "Runs": "scheme obs_ids exclude sources margin skip_incomplete test",
        "Models": "method group_by energy fov like energy_threshold radial per_run match covariate",
    },
    exit_codes="0 models written, 1 all are empty",
)
@click.argument("indir", type=click.Path())
@click.argument("outdir", type=click.Path())
@click.option(
    "--scheme",
    default="auto",
    type=click.Choice(["auto", "gadf", "hess"], case_sensitive=False),
    help="Format of the store.",
)
@shared_option("method", default=DEFAULT_METHOD, help="A method, or module:Object.")
@click.option("--obs-ids", metavar="IDS", help="Only these runs: 20136,20137, or a text file.")
@shared_option("exclude")
@click.option(
    "--sources",
    type=click.Choice(["drop", "mask"]),
    default="drop",
    help="Drop runs near sources, or mask.",
)
@click.option(
    "--mask-margin",
    "margin",
    type=float,
    default=0.4,
    help="Of masks, deg, + 2 x source size.",
)
@shared_option("group-by", default="2015")
@binning_options
@click.option(
    "--energy-threshold",
    metavar="E",
    help="Threshold of all runs: 300GeV, or 0.3 (in TeV).",
)
@click.option("--radial", is_flag=True, help="Also write a radial model of each group (BKG_2D).")
@click.option("--per-run", is_flag=True, help="Also write a model of each run, and an index.")
@click.option(
    "--match",
    type=click.IntRange(1),
    metavar="N",
    help="For --per-run: of the N runs most alike.",
)
@click.option(
    "--covariate",
    multiple=True,
    metavar="COLUMN",
    help="For --per-run: azimuth, or a column. Repeatable.",
)
@shared_option("skip-incomplete")
@click.option("--test", is_flag=True, help="At most 100 runs, 5 sources and 2 groups.")
@shared_option("jobs")
@shared_option("cluster")
@shared_option("resume")
@shared_option("overwrite")
def reconstruct(
    indir: str,
    outdir: str,
    scheme: str,
    method: str,
    obs_ids: str | None,
    radial: bool,
    per_run: bool,
    energy: str | None,
    fov: str | None,
    like: str | None,
    jobs: int | None,
    cluster: str,
    resume: bool,
    overwrite: bool,
    match: int | None,
    covariate: tuple[str, ...],
    **selection: Any,
) -> int:
    """Make background models from a data store.

    \b
    simbg reconstruct store models --energy 0.2:50:16 --fov 2.5:20 --radial
    simbg reconstruct store models --exclude none --exclude my_sources.reg
    simbg reconstruct store models --sources mask --group-by runs:15 --per-run
    """
    if selection["sources"] == "drop":
        refuse("margin", "has no effect without --sources mask")
    if selection["test"]:
        refuse("group_by", "has no effect with --test, which defines the groups")
    if not per_run:
        refuse("covariate", "has no effect without --per-run")
        refuse("match", "has no effect without --per-run")
    from simbg.models.selection import Selection

    selection["covariates"] = tuple(covariate)
    ids = None if obs_ids is None else _read_ids(obs_ids)
    arguments = indir, outdir, scheme, method, Selection(obs_ids=ids, **selection), overwrite
    axes, hint = read_binning(energy, fov, like), "; --sources mask uses them"
    options = {"per_run": per_run, "radial": radial, "axes": axes, "hint": hint}
    options |= {"match": match or 0, "resume": resume}
    return reconstruct_and_report(jobs, *arguments, cluster=cluster, **options)


def reconstruct_and_report(
    jobs: int | None, *arguments: Any, hint: str = "", cluster: str = "local", **options: Any
) -> int:
    """Call `reconstruct_store`, print its groups and a summary, and return the exit code."""
    from simbg.models.pipeline import reconstruct_store
    from simbg.parallel.executors import workers

    with workers(jobs, "reconstruct", cluster=cluster) as executor:
        summary = reconstruct_store(*arguments, **options | {"executor": executor})
    for group in summary.groups:
        masked = f", {group.n_masked} bins wholly masked" if group.n_masked else ""
        echo(
            f"group {group.group_id:2d}: {group.n_obs:4d} runs {group.n_events:9d} events "
            f"{group.livetime / 3600:7.1f} h{masked}"
        )
        if group.fit:
            echo(f"          {group.fit}")
    if summary.fit:
        echo(f"models of runs: {summary.fit}")
    if summary.warning:
        echo(summary.warning)
    echo(summary.text + (hint if summary.n_near else ""))
    for line in summary.noticed.lines:
        echo(line)
    return int(not any(group.n_events for group in summary.groups))


def _read_ids(given):
    """Numbers of runs: with commas, or in a file."""
    from simbg.io.files.contents import read_text

    is_list = given.replace(",", "").isdecimal() and not Path(given).exists()
    try:
        text = given if is_list else read_text(given)
        ids = tuple(int(word) for word in text.replace(",", " ").split())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"--obs-ids: got {given} ({reason}), expected run numbers separated by commas, or a "
            "text file"
        ) from error
    if not ids:
        raise ValueError(f"{given}: got no run number, expected 1 or more")
    return ids
