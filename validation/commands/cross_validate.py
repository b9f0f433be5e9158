"""Cross-validation of the models of a store of real runs: ``simbg validate --data``."""

import json
from pathlib import Path

import click

from simbg.models.selection import Selection
from simbg.parallel import workers
from simbg.validation.commands.output import say
from simbg.validation.cross_validation.cross_validate import cross_validate
from simbg.validation.figures.cross_validation import crossval_figure
from simbg.validation.figures.style import encode

__all__ = []


def cross_validate_store(data, method, exclude, group_by, skip_incomplete, out, jobs, quiet, json_):
    """Cross-validate each method, write and print what was found; return the exit code."""
    choices = {"exclude": exclude, "group_by": group_by, "skip_incomplete": skip_incomplete}
    selection = Selection(sources="mask", **choices)
    models = []
    for name in method or ("histogram",):
        with workers(jobs, "validate", unit=" folds", quiet=quiet) as executor:
            result = cross_validate(data, selection, name, executor=executor)
        folder = Path(out) / f"data-{name.replace(':', '-')}"
        result.write(folder, encode(crossval_figure(result.runs)))
        models.append({"method": name, "good": result.agree, "folder": str(folder)})
        say(f"{result.text}: {folder}")
    good = all(model["good"] for model in models)
    if json_:
        click.echo(json.dumps({"good": good, "models": models}, indent=1))
    return 0 if good else 1
