"""Commands that know the truth: ``simbg truth`` and ``simbg simulate``."""

from dataclasses import replace

import click

from simbg.cli.binning import binning_options, read_binning
from simbg.cli.completion import complete_scenario
from simbg.cli.console import Command, echo, refuse, shared_option

__all__ = []


@click.command(
    cls=Command, groups={"Model": "model from_ zenith", "File": "format energy fov like overwrite"}
)
@click.argument("out", type=click.Path())
@click.option(
    "--model",
    default="realistic",
    metavar="NAME",
    shell_complete=complete_scenario,
    help="Name of a scenario, or edition2015 for the model of 2015.",
)
@shared_option("from", help="Background file whose rate is the truth: BKG_3D, BKG_2D or 2015.")
@click.option("--zenith", type=click.FloatRange(0, 90), default=20.0, help="Zenith angle, deg.")
@click.option(
    "--format",
    default="gadf",
    type=click.Choice(["gadf", "table", "image"]),
    help="Format of OUT: BKG_3D of GADF, or table or image of 2015.",
)
@binning_options
@shared_option("overwrite")
def truth(
    out: str,
    model: str,
    from_: str | None,
    format: str,
    zenith: float,
    energy: str | None,
    fov: str | None,
    like: str | None,
    overwrite: bool,
) -> None:
    """Write the true background cube of a model.

    OUT is the FITS file to write. It is compressed if its name ends with .gz. The bins are those
    of the --from file, or those of 2015, unless you choose others.

    \b
    simbg truth true.fits.gz
    simbg truth true.fits --model seed-2015 --energy 0.2:50:16 --fov 2.5:20
    simbg truth true.fits --like models/bg_cube_model_group27_gadf.fits.gz
    simbg truth true.fits --from irf_file.fits
    """
    if from_:
        refuse("model", "has no effect with --from, which gives the truth")
        refuse("zenith", "has no effect with --from: that truth is the same at all zenith angles")
    import numpy as np

    from simbg.axes import choose_axes, edition2015_axes
    from simbg.errors import unknown_name
    from simbg.io.cubes import write_cube
    from simbg.io.safe_files import check_apart
    from simbg.simulation.library import SCENARIOS
    from simbg.truth.edition2015_cube import edition2015_cube
    from simbg.truth.from_file import CubeTruth

    check_apart(out, from_, like)
    binning = read_binning(energy, fov, like)
    axes = choose_axes(binning, edition2015_axes)
    if from_:
        truth = CubeTruth.read(from_)
        axes = choose_axes(binning, lambda: truth.axes)
        cube = truth.cube(axes, zenith, livetime=1.0)
    elif model == "edition2015":
        cube = edition2015_cube(axes, altitude=90 - zenith)
    else:
        if model not in SCENARIOS:
            raise unknown_name("model", model, [*SCENARIOS, "edition2015"])
        scenario = SCENARIOS[model]
        cube = scenario.truth.cube(axes, zenith, livetime=1.0)
        # GADF rates are per observation time. The dead time is that of the runs of the scenario.
        alive = 1 - float(np.mean(scenario.deadtime_fraction))
        cube = replace(cube, ontime=cube.livetime / alive)
    write_cube(out, cube, format, overwrite=overwrite)


@click.command(
    cls=Command, groups={"Model": "scenario from_ runs seed", "Store": "scheme overwrite"}
)
@click.argument("outdir", type=click.Path())
@shared_option("scenario", default="realistic", help="The scenario to simulate.")
@shared_option("from", help="Background file whose rate is the truth: BKG_3D, BKG_2D or 2015.")
@click.option("--runs", type=click.IntRange(1), help="Number of runs. Default: as in the scenario.")
@shared_option("seed")
@click.option(
    "--scheme",
    default="gadf",
    type=click.Choice(["gadf", "hess"]),
    help="Format of the data store: GADF, or H.E.S.S. files of 2015.",
)
@shared_option("overwrite")
@shared_option("jobs")
@shared_option("cluster")
@shared_option("resume")
def simulate(
    outdir: str,
    scenario: str,
    from_: str | None,
    runs: int | None,
    scheme: str,
    seed: int,
    jobs: int | None,
    cluster: str,
    resume: bool,
    overwrite: bool,
) -> None:
    """Simulate runs and write them as a data store.

    OUTDIR is the folder of the data store.

    \b
    simbg simulate store
    simbg simulate store --scenario night --runs 20 --seed 1 --scheme hess
    simbg simulate store --from irf_file.fits
    """
    if from_:
        refuse("scenario", "has no effect with --from, which gives the truth")
    from simbg.io.safe_files import check_apart
    from simbg.parallel.executors import workers
    from simbg.simulation.experiment import Experiment
    from simbg.simulation.library import find_scenario
    from simbg.simulation.scenario import Scenario

    check_apart(outdir, from_)
    chosen = Scenario.from_file(from_) if from_ else find_scenario(scenario)
    with workers(jobs, "simulate", cluster=cluster) as executor:
        experiment = Experiment.of(chosen, seed, runs)
        n_events = experiment.write(outdir, scheme, overwrite, executor, resume)
    n_runs = runs or chosen.n_obs
    echo(f"{outdir}: {n_runs} run{'s' * (n_runs != 1)}, {n_events} events")
