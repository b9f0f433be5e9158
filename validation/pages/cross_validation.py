"""The page of a cross-validation: all methods in a table, and figures of each."""

from collections.abc import Sequence
from pathlib import Path

from simbg.validation.cross_validation.cross_validate import CrossValidation
from simbg.validation.cross_validation.ranking import compared
from simbg.validation.figures.cross_validation import crossval_figure, residual_figure
from simbg.validation.figures.rendering import draw
from simbg.validation.pages.html import write_page

__all__ = ["write_cross_validation"]

# Name in captions.toml → figure.
FIGURES = {"crossval": crossval_figure, "residuals": residual_figure}


def write_cross_validation(path: Path | str, results: Sequence[CrossValidation]) -> None:
    """Write one page, which needs no other files.

    Parameters
    ----------
    path : path-like
        The file to write.
    results : sequence of CrossValidation
        Methods that were tested with the same runs.
    """
    first = results[0]
    write_page(
        path,
        "cross_validation.html",
        store=first.store,
        split=first.split,
        n_runs=first.n_runs,
        n_left_out=len(first.left_out),
        n_skipped=first.n_skipped,
        rows=compared(results),
        methods=[
            {
                "name": result.method,
                "status": {True: "ok", False: "bad", None: "none"}[result.agree],
                "verdict": result.verdict,
                "pictures": [
                    draw(False, function, (result.runs,), name, method=result.method)
                    for name, function in FIGURES.items()
                ],
            }
            for result in results
        ],
        is_hess="hess-dl3-dr1" in first.store,
    )
