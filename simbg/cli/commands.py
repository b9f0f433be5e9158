"""The command lines: ``simbg`` and 2015's ``gammapy-make-bg-cube-models``."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import click

from simbg import __version__
from simbg.cli.completion import complete_method, complete_scenario
from simbg.cli.console import jobs_option, log_to_stderr, overwrite_option, run, seed_option

__all__ = ["main", "make_bg_cube_models", "simbg"]

COMMANDS = "simbg.commands"


class _Commands(click.Group):
    """Commands of this package, and those that are installed as entry points ``simbg.commands``."""

    def list_commands(self, ctx):
        """All names, in order."""
        return sorted({*super().list_commands(ctx), *entry_points(group=COMMANDS).names})

    def get_command(self, ctx, name):
        """The command of a name; one of an entry point is loaded when it is asked for."""
        found = super().get_command(ctx, name)
        entries = entry_points(group=COMMANDS, name=name)
        return found or next((entry.load() for entry in entries), None)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="simbg")
@click.option("-v", "--verbose", count=True, help="Say more; -vv for everything.")
def simbg(verbose):
    """Is your gamma-ray background model right? Make truth, simulate, reconstruct, compare."""
    log_to_stderr({0: "warning", 1: "info"}.get(verbose, "debug"))


@simbg.command()
@click.argument("out", type=click.Path())
@click.option(
    "--model",
    default="realistic",
    show_default=True,
    shell_complete=complete_scenario,
    help="A scenario, or edition2015.",
)
@click.option(
    "--from",
    "from_",
    type=click.Path(),
    metavar="BKG",
    help="Take the truth from this BKG_3D, BKG_2D or 2015 file; over its axes without --like.",
)
@click.option(
    "--format",
    "format_",
    default="gadf",
    show_default=True,
    type=click.Choice(["gadf", "table", "image"]),
)
@click.option("--zenith", type=click.FloatRange(0, 90), default=20.0, show_default=True, help="deg")
@click.option(
    "--like", type=click.Path(), metavar="CUBE", help="Take the axes of this cube; default: 2015's."
)
@overwrite_option
def truth(out, model, from_, format_, zenith, like, overwrite):
    """Write the true background cube of a model to the FITS file OUT.

    \b
    simbg truth true.fits.gz
    simbg truth true.fits --model seed-2015 --format table
    simbg truth true.fits --like models/bg_cube_model_group27_gadf.fits.gz --zenith 9
    """
    import numpy as np

    from simbg.axes import edition2015_axes
    from simbg.io.cubes import read_cube, write_cube
    from simbg.truth.from_file import CubeTruth
    from simbg.truth.gaussian import edition2015_cube

    axes = read_cube(like).axes if like else None
    _one_of(from_, "model")
    if from_:
        truth = CubeTruth.read(from_)
        cube = truth.cube(axes or truth.axes, zenith, livetime=1.0)
    elif model == "edition2015":
        cube = edition2015_cube(axes or edition2015_axes(), altitude=90 - zenith)
    else:
        scenario = _scenario(model)
        cube = scenario.truth.cube(axes or edition2015_axes(), zenith, livetime=1.0)
        # GADF is per observation time: the dead time is that of the scenario's runs.
        alive = 1 - float(np.mean(scenario.deadtime_fraction))
        cube = replace(cube, ontime=cube.livetime / alive)
    write_cube(out, cube, format_, overwrite=overwrite)


@simbg.command()
@click.argument("outdir", type=click.Path())
@click.option(
    "--scenario", "name", default="realistic", show_default=True, shell_complete=complete_scenario
)
@click.option("--from", "from_", type=click.Path(), metavar="BKG", help="Or a truth from a file.")
@click.option("--runs", type=click.IntRange(1), help="Number of runs; default: the scenario's.")
@click.option("--scheme", default="gadf", show_default=True, type=click.Choice(["gadf", "hess"]))
@seed_option
@jobs_option
@overwrite_option
def simulate(outdir, name, from_, runs, scheme, seed, jobs, overwrite):
    """Simulate observations and write a data store to OUTDIR.

    \b
    simbg simulate store
    simbg simulate store --scenario night --runs 20 --seed 1 --scheme hess
    simbg simulate store --from irf_file.fits
    """
    from simbg.parallel import workers
    from simbg.simulation.experiment import Experiment
    from simbg.simulation.scenarios import from_file

    _one_of(from_, "name", "--scenario")
    scenario = from_file(from_) if from_ else _scenario(name)
    with workers(jobs, "simulate") as executor:
        experiment = Experiment.of(scenario, seed, runs)
        n_events = experiment.write(outdir, scheme, overwrite, executor)
    click.echo(f"{outdir}: {runs or scenario.n_obs} runs, {n_events} events")


@simbg.command()
@click.argument("indir", type=click.Path())
@click.argument("outdir", type=click.Path())
@click.option(
    "--scheme",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "gadf", "hess"], case_sensitive=False),
)
@click.option(
    "--method",
    default="histogram",
    show_default=True,
    shell_complete=complete_method,
    help="histogram, default, michi, or module:Object.",
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
    show_default=True,
    help="Drop runs near them, or mask regions and correct the exposure.",
)
@click.option(
    "--mask-margin",
    "margin",
    type=float,
    default=0.4,
    show_default=True,
    help="Radius in deg of the mask round a point source; 2 x its own is added.",
)
@click.option(
    "--group-by",
    metavar="KIND:LEAST",
    help="Zenith groups of at least livetime:HOURS or runs:NUMBER; default: 2015, its groups.",
)
@click.option("--energy-threshold", type=float, help="TeV, in place of that of each run.")
@click.option("--per-run", is_flag=True, help="Write a model for each run, too, and an index.")
@click.option("--skip-incomplete", is_flag=True, help="Leave out runs that cannot be read.")
@click.option("--test", is_flag=True, help="A quick look: at most 100 runs, 5 sources, 2 groups.")
@jobs_option
@overwrite_option
def reconstruct(
    indir, outdir, scheme, method, obs_ids, per_run, group_by, jobs, overwrite, **selection
):
    """Make background models from the data store INDIR and write them to OUTDIR.

    \b
    simbg reconstruct store models
    simbg reconstruct $GAMMAPY_DATA/hess-dl3-dr1 models --method default
    simbg reconstruct store models --exclude none --exclude my_sources.reg
    simbg reconstruct $GAMMAPY_DATA/hess-dl3-dr1 models --sources mask --group-by runs:15 --per-run
    """
    from simbg.models.selection import Selection, parse_group_by

    ids = None if obs_ids is None else _read_ids(obs_ids)
    groups = None if group_by is None else parse_group_by(group_by)
    selection = Selection(obs_ids=ids, group_by=groups, **selection)
    _reconstruct(indir, outdir, scheme, method, selection, jobs, overwrite, per_run)


@simbg.command()
@click.argument("outdir", type=click.Path())
@click.option(
    "--edition", type=click.Choice(["2015", "current"]), default="current", show_default=True
)
@overwrite_option
def fixtures(outdir, edition, overwrite):
    """Write reference files for other projects' tests to OUTDIR; README.md there describes them.

    \b
    simbg fixtures out                  # one truth for both cubes: they match; and small files
    simbg fixtures out --edition 2015   # the published pair, which does not match
    """
    from simbg.fixtures.editions import write_fixtures

    for name in write_fixtures(outdir, edition, overwrite):
        click.echo(Path(outdir) / name)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("indir", type=click.Path())
@click.argument("scheme", type=click.Choice(["HESS", "GADF"], case_sensitive=False))
@click.argument("outdir", type=click.Path())
@click.option("--test", is_flag=True, help="A quick look: at most 100 runs, 5 sources, 2 groups.")
@overwrite_option
@click.option(
    "--method", type=click.Choice(["default", "michi"]), default="default", show_default=True
)
@click.option(
    "-l",
    "--loglevel",
    type=click.Choice(["debug", "info", "warning", "error", "critical"]),
    default="info",
    show_default=True,
)
def _make_bg_cube_models(indir, scheme, outdir, test, overwrite, method, loglevel):
    """Make background cube models from the data in INDIR, as gammapy did in 2015.

    \b
    gammapy-make-bg-cube-models /path/to/data HESS models
    gammapy-make-bg-cube-models $GAMMAPY_DATA/hess-dl3-dr1 GADF models --test --overwrite
    """
    log_to_stderr(loglevel)
    from simbg.models.selection import Selection

    _reconstruct(indir, outdir, scheme, method, Selection(test=test), None, overwrite)


def _reconstruct(indir, outdir, scheme, method, selection, jobs, overwrite, per_run=False):
    from simbg.models.pipeline import reconstruct_store
    from simbg.parallel import workers

    with workers(jobs, "reconstruct") as executor:
        summaries = reconstruct_store(
            indir, outdir, scheme, method, selection, overwrite, executor, per_run
        )
    for group in summaries:
        masked = f", {group.n_masked} bins wholly masked" if group.n_masked else ""
        click.echo(
            f"group {group.group_id:2d}: {group.n_obs:4d} runs {group.n_events:9d} events "
            f"{group.livetime / 3600:7.1f} h{masked}"
        )


def _scenario(name):
    from simbg.simulation.scenarios import SCENARIOS

    if name not in SCENARIOS:
        raise ValueError(f"scenario: got {name!r}, expected one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


def _one_of(from_, name, option="--model"):
    context = click.get_current_context()
    if from_ and context.get_parameter_source(name).name == "COMMANDLINE":
        raise ValueError(f"{context.info_name}: got --from and {option}, expected one of them")


def _read_ids(path):
    try:
        ids = tuple(int(word) for word in Path(path).read_text().split())
    except ValueError as error:
        raise ValueError(f"{path}: expected run numbers ({error})") from error
    if not ids:
        raise ValueError(f"{path}: got no run number, expected 1 or more")
    return ids


main = run(simbg, "simbg")
make_bg_cube_models = run(_make_bg_cube_models, "gammapy-make-bg-cube-models")
