"""Test of models of real runs with other runs: ``simbg cross-validate``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from simbg.cli.binning import binning_options, read_binning
from simbg.cli.console import Command, echo, shared_option
from simbg.io.safe_files import check_apart, check_directory
from simbg.models.selection import Selection
from simbg.parallel import workers
from simbg.reconstruction import DEFAULT_METHOD
from simbg.reconstruction.registry import find_method
from simbg.validation.commands.output import names_files_kept, say
from simbg.validation.cross_validation.cross_validate import FILES
from simbg.validation.cross_validation.cross_validate import cross_validate as predict
from simbg.validation.figures.cross_validation import crossval_figure
from simbg.validation.figures.style import encode

__all__ = []


@click.command(
    cls=Command,
    groups={
        "Models": "method exclude group_by energy fov like skip_incomplete",
        "Report": "out quiet json_",
    },
    exit_codes="0 predicted and observed counts agree, or there are too few, 1 they differ",
)
@click.argument("store", type=click.Path())
@shared_option(
    "method",
    multiple=True,
    default=[DEFAULT_METHOD],
    help="Name of a method, or MODULE:OBJECT.",
)
@shared_option("exclude")
@shared_option("group-by", default="runs:10")
@binning_options
@shared_option("skip-incomplete")
@shared_option("out", default="reports/cross-validation")
@shared_option("quiet")
@shared_option("json")
@shared_option("jobs")
@names_files_kept
def cross_validate(
    store: str,
    method: Sequence[str],
    energy: str | None,
    fov: str | None,
    like: str | None,
    out: str,
    jobs: int | None,
    quiet: bool,
    json_: bool,
    **choices: Any,
) -> int:
    """Test models of real runs with runs not used for the models.

    STORE is a GADF store. Its runs are divided into five parts. Models made from four parts
    predict the counts of the runs of the fifth part that are far from known sources. This is
    repeated for each part. Known sources are masked. The truth is not needed.

    \b
    simbg cross-validate $GAMMAPY_DATA/hess-dl3-dr1
    simbg cross-validate store --method michi --exclude my_sources.reg
    """
    check_apart(out, store, like)
    axes = read_binning(energy, fov, like)
    folders = {name: Path(out, name.replace(":", "-")) for name in dict.fromkeys(method)}
    for name, folder in folders.items():
        find_method(name)
        check_directory(folder, True, FILES)
    models = []
    for name, folder in folders.items():
        with workers(jobs, "cross-validate", unit=" folds", quiet=quiet) as executor:
            selection = Selection(sources="mask", **choices)
            result = predict(store, selection, name, executor, axes)
        result.write(folder, encode(crossval_figure(result.runs)))
        models.append({"method": name, "good": result.agree, "folder": str(folder)})
        say(f"{result.text}: {folder}")
    good = all(model["good"] is not False for model in models)
    if json_:
        echo(json.dumps({"good": good, "models": models}, indent=1))
    return 0 if good else 1
