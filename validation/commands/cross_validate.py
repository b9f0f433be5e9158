"""Test of models of real runs with other runs: ``simbg cross-validate``."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from simbg.cli.binning import binning_options, read_binning
from simbg.cli.console import Command, echo, shared_option
from simbg.io.safe_files import check_apart, check_directory, finite_or_none, is_ours
from simbg.reconstruction import DEFAULT_METHOD
from simbg.validation.commands.output import names_files_kept, new_report, say

__all__ = []

# Numbers of a method for which a limit can be required; a z has the limit on both sides of 0.
MEASURES = (
    *("deviance_per_event", "excess_per_run", "log_norm_scatter", "image_z_mean", "image_z_width"),
    *("spectrum_z_mean", "spectrum_z_width", "significance_mean", "significance_width"),
)


class _Requirement(click.ParamType):
    """NAME=LIMIT, for example spectrum_z_width=1.3."""

    name = "requirement"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, float]:
        """The measure and its limit."""
        name, _, limit = str(value).partition("=")
        if name not in MEASURES:
            self.fail(f"got {name!r}, expected NAME=LIMIT with a NAME of {', '.join(MEASURES)}")
        try:
            number = float(limit)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.fail(f"{name}: got the limit {limit!r}, expected a number, such as {name}=1.3")
        return name, number


@click.command(
    cls=Command,
    groups={
        "Models": "method exclude margin split covariates group_by energy fov like skip_incomplete",
        "Report": "require out quiet json_",
    },
    exit_codes="0 counts agree, or requirements are met, 1 not",
)
@click.argument("store", type=click.Path())
@shared_option(
    "method",
    multiple=True,
    default=[DEFAULT_METHOD],
    help="Name, or MODULE:OBJECT; spline:groups: of zenith groups; spline:match: of runs most "
    "alike; published: of the store.",
)
@shared_option("exclude")
@click.option(
    "--split",
    type=click.Choice(["run", "night"]),
    default="run",
    help="Folds of runs, or of nights.",
)
@click.option(
    "--mask-margin", "margin", type=float, default=0.5, help="Of masks, deg, plus 2 x source size."
)
@click.option(
    "--covariate", "covariates", multiple=True, metavar="COLUMN", help="azimuth, or a column."
)
@shared_option("group-by", default="runs:10")
@binning_options
@shared_option("skip-incomplete")
@click.option(
    "--require",
    type=_Requirement(),
    multiple=True,
    metavar="NAME=LIMIT",
    help="Decides, as log_norm_scatter=0.14.",
)
@shared_option("out", default="reports/cross-validation")
@shared_option("quiet")
@shared_option("json")
@shared_option("jobs")
@shared_option("cluster")
@names_files_kept
def cross_validate(
    store: str,
    method: Sequence[str],
    energy: str | None,
    fov: str | None,
    like: str | None,
    out: str,
    jobs: int | None,
    cluster: str,
    quiet: bool,
    json_: bool,
    split: str,
    require: Sequence[tuple[str, float]],
    **choices: Any,
) -> int:
    """Test models of real runs with runs not used for the models.

    STORE is a GADF store. Models made from four fifths of its runs predict the counts of the
    others, in turn. Known sources are masked.

    \b
    simbg cross-validate $GAMMAPY_DATA/hess-dl3-dr1 --split night
    simbg cross-validate store --method spline --method published
    """
    from simbg.models.selection import Selection
    from simbg.parallel.executors import workers
    from simbg.validation.cross_validation.cross_validate import (
        FILES,
        check_method,
        compare_methods,
    )

    check_apart(out, store, like)
    axes = read_binning(energy, fov, like)
    names = list(dict.fromkeys(method))
    folders = [Path(out, name.replace(":", "-")) for name in names]
    for name, folder in zip(names, folders, strict=True):
        check_method(name)
        check_directory(folder, True, FILES)
    page = Path(out, "index.html")
    if page.exists() and not is_ours(page):
        raise FileExistsError(f"{page} was not written by simbg; use --out for another folder")
    choices["covariates"] = tuple(choices["covariates"])
    selection = Selection(sources="mask", **choices)
    with workers(jobs, "cross-validate", unit=" folds", quiet=quiet, cluster=cluster) as executor:
        results = compare_methods(store, selection, names, executor, axes, split)
    return _report(results, Path(out), folders, require, json_)


def _report(results, out, folders, require, json_):
    """Write the files of a cross-validation, print its results, and return the exit code."""
    from simbg.validation.cross_validation.published import PUBLISHED
    from simbg.validation.cross_validation.ranking import compared, table_of
    from simbg.validation.figures.cross_validation import crossval_figure
    from simbg.validation.figures.style import encode
    from simbg.validation.pages.cross_validation import write_cross_validation

    pictures = [encode(crossval_figure(result.runs)) for result in results]
    models: list[dict[str, Any]] = []
    rows = compared(results)
    out.mkdir(parents=True, exist_ok=True)
    with new_report(str(out)) as new:
        for result, folder, picture in zip(results, folders, pictures, strict=True):
            result.write(new / folder.name, picture)
        write_cross_validation(new / "index.html", results)
    for result, folder, row in zip(results, folders, rows, strict=True):
        models.append({"method": result.method, "good": result.agree, "folder": str(folder)})
        models[-1]["summary"] = finite_or_none(row)
        missed = _missed(row, require)
        if require:
            models[-1] |= {"good": not missed, "missed": missed}
        say(f"{result.text}: {folder}")
        for line in missed:
            say(f"{result.method}: {line}")
    if len(results) > 1:
        say("\n" + table_of(results))
    # The models of the store are not judged.
    good = all(model["good"] is not False for model in models if model["method"] != PUBLISHED)
    if json_:
        echo(json.dumps({"good": good, "models": models}, indent=1))
    return 0 if good else 1


def _missed(row: Mapping[str, Any], required: Sequence[tuple[str, float]]) -> list[str]:
    """The requirements that a method does not meet; a number that is not known meets none."""
    found = [
        (name, limit, abs(row[name]) if name.endswith("_mean") else row[name])
        for name, limit in required
    ]
    return [
        f"{name}: got {row[name]:.4g}, required at most {limit:g}"
        for name, limit, value in found
        if not value <= limit
    ]
