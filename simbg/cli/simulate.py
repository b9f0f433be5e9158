"""Commands that know the truth: ``simbg truth`` and ``simbg simulate``."""

from dataclasses import replace

import click

from simbg.cli.completion import complete_scenario
from simbg.cli.console import shared_option

__all__ = []


@click.command()
@click.argument("out", type=click.Path())
@click.option(
    "--model",
    default="realistic",
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
@click.option("--format", default="gadf", type=click.Choice(["gadf", "table", "image"]))
@click.option("--zenith", type=click.FloatRange(0, 90), default=20.0, help="deg")
@click.option(
    "--like", type=click.Path(), metavar="CUBE", help="Take the axes of this cube; default: 2015's."
)
@shared_option("overwrite")
def truth(out, model, from_, format, zenith, like, overwrite):
    """Write the true background cube of a model to the FITS file OUT.

    \b
    simbg truth true.fits.gz
    simbg truth true.fits --model seed-2015 --format table
    simbg truth true.fits --like models/bg_cube_model_group27_gadf.fits.gz --zenith 9
    """
    import numpy as np

    from simbg.axes import edition2015_axes
    from simbg.io.cubes import read_cube, write_cube
    from simbg.truth.edition2015_cube import edition2015_cube
    from simbg.truth.from_file import CubeTruth

    _one_of(from_, "model")
    axes = read_cube(like).axes if like else None
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
    write_cube(out, cube, format, overwrite=overwrite)


@click.command()
@click.argument("outdir", type=click.Path())
@shared_option("scenario", default="realistic")
@click.option("--from", "from_", type=click.Path(), metavar="BKG", help="Or a truth from a file.")
@click.option("--runs", type=click.IntRange(1), help="Number of runs; default: the scenario's.")
@click.option("--scheme", default="gadf", type=click.Choice(["gadf", "hess"]))
@shared_option("seed")
@shared_option("jobs")
@shared_option("overwrite")
def simulate(outdir, scenario, from_, runs, scheme, seed, jobs, overwrite):
    """Simulate observations and write a data store to OUTDIR.

    \b
    simbg simulate store
    simbg simulate store --scenario night --runs 20 --seed 1 --scheme hess
    simbg simulate store --from irf_file.fits
    """
    from simbg.parallel import workers
    from simbg.simulation.experiment import Experiment
    from simbg.simulation.scenario import Scenario

    _one_of(from_, "scenario")
    scenario = Scenario.from_file(from_) if from_ else _scenario(scenario)
    with workers(jobs, "simulate") as executor:
        experiment = Experiment.of(scenario, seed, runs)
        n_events = experiment.write(outdir, scheme, overwrite, executor)
    click.echo(f"{outdir}: {runs or scenario.n_obs} runs, {n_events} events")


def _scenario(name):
    from simbg.simulation.library import SCENARIOS

    if name not in SCENARIOS:
        raise ValueError(f"scenario: got {name!r}, expected one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


def _one_of(from_, option):
    context = click.get_current_context()
    if from_ and context.get_parameter_source(option).name == "COMMANDLINE":
        raise ValueError(f"{context.info_name}: got --from and --{option}, expected one of them")
