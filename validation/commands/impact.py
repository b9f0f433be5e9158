"""What the error of a background model does to an analysis: ``simbg impact``."""

import json
import math
from typing import Any

import click

from simbg.cli.console import Command, echo, refuse, shared_option
from simbg.io.safe_files import check_apart, finite_or_none
from simbg.validation.commands.validate import Requirement

__all__ = []

HOUR = 3600.0
LIVETIME = "Livetime.  [default: that of --require, or 50]"
# Errors of the data by which a flux error is above the allowed one: one of the 16 places is above 3
# by chance with at most 4 %.
SIGNIFICANT = 3.0


class EnergyRange(click.ParamType):
    """Two energies in TeV, as ``0.5:10``."""

    name = "energies"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, float]:
        """The two numbers of a text."""
        if isinstance(value, tuple):
            return value
        try:
            low, high = (float(part) for part in value.split(":"))
        except ValueError:
            low = high = 0.0
        if not 0 < low < high < math.inf:
            self.fail(f"got {value!r}, expected MIN:MAX in TeV, for example 0.5:10", param)
        return low, high


@click.command(
    cls=Command,
    groups={
        "Reference": "truth data exclude",
        "Analysis": "irf energy hours index shape tilt require",
        "Output": "out overwrite json_",
    },
    exit_codes="0 done, 1 the flux error is larger than required",
)
@click.argument("model", type=click.Path())
@click.option("--truth", type=click.Path(), metavar="FILE", help="True background file.")
@click.option("--data", type=click.Path(), metavar="STORE", help="Source-free runs, held out.")
@shared_option("exclude")
@click.option("--irf", type=click.Path(), metavar="FILE", help="Effective area and PSF.")
@click.option("--energy", type=EnergyRange(), default="0.5:10", metavar="MIN:MAX", help="In TeV.")
@click.option("--hours", type=click.FloatRange(0, min_open=True), metavar="H", help=LIVETIME)
@click.option("--index", type=click.FloatRange(0, 10), default=2.5, help="Index of the sources.")
@click.option(
    "--shape", type=click.Choice(["disc", "gaussian"]), default="disc", help="Of extended sources."
)
@click.option("--tilt", is_flag=True, help="The index of the background is free, too.")
@click.option(
    "--require", type=Requirement(), metavar="LIMIT", help="As flux:1% or flux:1%@50,0.5."
)
@shared_option("out", default=None, help="Write a page, index.html, and its figure to this folder.")
@shared_option("overwrite")
@shared_option("json")
def impact(
    model: str,
    truth: str | None,
    data: str | None,
    exclude: tuple[str, ...],
    irf: str | None,
    energy: tuple[float, float],
    hours: float | None,
    index: float,
    shape: str,
    tilt: bool,
    require: Any,
    out: str | None,
    overwrite: bool,
    json_: bool,
) -> int:
    """Errors of fluxes, and false sources, that a model makes.

    MODEL is a background file. The reference is its truth, or data that were not used for it, in
    which known sources are masked. A fit of a source that is not there and of the norm of the
    background gives the error of the flux.

    \b
    simbg impact model.fits.gz --truth true.fits.gz --out impact
    simbg impact model.fits.gz --data $GAMMAPY_DATA/hess-dl3-dr1 --require flux:2%
    """
    from simbg.io.cubes import read_model, read_pair
    from simbg.validation.comparison.rebinning import common_binning
    from simbg.validation.impact.flux import FluxRequirement
    from simbg.validation.impact.impact import SOURCES, measure_impact
    from simbg.validation.impact.sources import TestSource

    if (truth is None) == (data is None):
        raise click.UsageError("impact: expected one of --truth FILE and --data STORE")
    if data is None:
        refuse("exclude", "has no effect without --data")
    if out is None:
        refuse("overwrite", "has no effect without --out")
    else:
        from simbg.validation.pages.html import check_page

        check_apart(out, model, truth, irf, data)
        check_page(out, overwrite)
    if require is not None and not isinstance(require, FluxRequirement):
        raise click.UsageError("--require: got a bias, expected a flux error, for example flux:1%")
    hours = hours or (require or FluxRequirement()).hours
    if not hours < math.inf:
        raise click.UsageError(f"--hours: got {hours}, expected a number above 0")
    exposure, observed = None, None
    if truth is not None:
        true, cube = read_pair(truth, model)
        if not true.axes.same_as(cube.axes):
            common = common_binning(true, cube)
            true, cube = common.a, common.b
            echo(f"common bins: {common.text}", err=True)
        instrument = _instrument(irf, model)
    elif data is not None:
        cube = read_model(model, inside=True)
        true, exposure, observed, file = _held_out(data, cube, exclude)
        instrument = _instrument(irf, file, model)
    size = require.size if require else 0.5
    sizes = dict.fromkeys([*(source.size for source in SOURCES), size])
    sources = [TestSource(one, shape, index) for one in sorted(sizes)]
    result = measure_impact(true, cube, instrument, sources, energy, tilt, exposure, observed)
    verdict, good = None, True
    if require is not None:
        verdict = _verdict(result, TestSource(size, shape, index), require.flux)
        good = not verdict[0].fails
    if out:
        from simbg.validation.pages.impact import write_impact

        write_impact(out, result, hours, model, truth or data or "", verdict, overwrite)
    if json_:
        document = {"good": good, "model": model, "reference": truth or data}
        echo(json.dumps(finite_or_none(document | result.to_dict(hours)), indent=1))
    else:
        for line in result.lines(hours):
            echo(line)
        if verdict:
            echo(verdict[1])
    return 0 if good else 1


def _verdict(result, source, allowed):
    """Whether a source's flux error is as small as required, if data can decide; and the words."""
    from simbg.validation.impact.flux import WITHIN
    from simbg.validation.metrics.status import Status

    hours = result.observed or math.inf
    worst = result.worst(source, WITHIN)
    size, noise = abs(worst.flux.bias), worst.flux.noise / math.sqrt(hours)
    above = [
        abs(place.flux.bias) - SIGNIFICANT * place.flux.noise / math.sqrt(hours) > allowed
        for place in result.of(source, WITHIN)
    ]
    if any(above):
        status, word = Status.FAIL, "larger than required"
    elif size + SIGNIFICANT * noise <= allowed:
        status, word = Status.OK, "as required"
    else:
        status, word = Status.UNDECIDED, "not decided by the data"
    error = f" ± {noise:.2%}" if result.observed else ""
    text = f"{source.name} within {WITHIN:g} deg: {size:.2%}{error} of the Crab"
    return status, f"{word}: {text}, {allowed:.2%} allowed"


def _instrument(*files):
    """The instrument of the first file that has an effective area, else that of the simulation."""
    from simbg.validation.impact.instrument import Instrument

    chosen, *others = files
    return Instrument.read(chosen) if chosen else Instrument.first_of(others)


def _held_out(store, model, exclude):
    """The cube of the data, its exposure in relation to an hour, hours, and a file with IRFs."""
    from simbg.models.runs import open_store, runs_of
    from simbg.models.selection import Selection
    from simbg.observations.exposure import stack_observations
    from simbg.parallel.executors import workers
    from simbg.reconstruction.histogram import Histogram

    opened = open_store(store)
    runs = runs_of(opened, Selection(exclude=exclude, sources="mask", group_by="runs:1"))
    held_out = list(runs.observations)
    with workers(None, "impact", quiet=True) as executor:
        stack = stack_observations(held_out, model.axes, executor=executor)
        same = set()
        if model.made_from and stack.made_from:
            same = set(model.made_from.common(stack.made_from).tolist())
        if same:
            held_out = [one for one in held_out if one.obs_id not in same]
            if not held_out:
                got = f"{store}: got only runs from which the model was made, expected others"
                raise ValueError(f"{got}; simbg cross-validate makes models without them")
            text = f"{len(held_out)} of {len(runs.observations)} runs: those not in the model"
            echo(text, err=True)
            stack = stack_observations(held_out, model.axes, executor=executor)
    longest = float(stack.livetime.max())
    if not longest > 0:
        raise ValueError(f"{store}: got no exposure in the bins of the model, expected some")
    place = None
    if hasattr(opened, "hdu_index"):
        place = opened.hdu_index.place(held_out[0].obs_id, "aeff")
    cube = Histogram().estimate(stack)
    return cube, stack.livetime / longest, longest / HOUR, place and place[0]
