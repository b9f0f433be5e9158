"""The page of a comparison, with a section for each group; it needs no other files."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simbg.axes import edition2015_axes
from simbg.io.safe_files import new_directory
from simbg.truth.edition2015_cube import edition2015_cube
from simbg.validation.comparison.compare import Comparison
from simbg.validation.comparison.measures import MEASURES
from simbg.validation.figures.rendering import named
from simbg.validation.figures.style import encode
from simbg.validation.figures.two_cubes import compare_figure, pair_2015_figure
from simbg.validation.metrics.metric import rounded, with_error
from simbg.validation.metrics.status import Status
from simbg.validation.pages.html import FILES, check_page, write_page

__all__ = ["write_comparison"]

NORMALIZED = {
    "none": "none",
    "cube": "A is scaled to the integral of B",
    "image": "each energy bin of A is scaled to that of B; spectra are not compared",
}


def write_comparison(
    out: Path | str,
    comparisons: Sequence[Any],
    a: Path | str,
    b: Path | str,
    normalize: str,
    overwrite: bool = False,
) -> None:
    """Write ``index.html`` and a figure of each group into a folder.

    Parameters
    ----------
    out : path-like
        The folder.
    comparisons : sequence of Comparison or NotCompared
        One for each group.
    a, b : path-like
        The compared files or folders, whose names are shown.
    normalize : {"none", "cube", "image"}
        See `simbg.validation.comparison.compare.compare`.
    overwrite : bool
        Whether an earlier page in this folder is replaced.

    Raises
    ------
    FileExistsError
        If the folder exists and must not be replaced, or holds other files.
    """
    check_page(out, overwrite)
    with new_directory(out, overwrite, FILES) as folder:
        write_page(
            folder / "index.html",
            "comparison.html",
            headline=_headline(comparisons),
            good=all(comparison.agree for comparison in comparisons),
            groups=[_group(folder, *item) for item in enumerate(comparisons)],
            a=a,
            b=b,
            normalized=NORMALIZED[normalize],
            measures=MEASURES,
            cells=_cells,
            with_error=with_error,
        )


def _headline(comparisons):
    """The result in one line."""
    compared = [c for c in comparisons if isinstance(c, Comparison)]
    agree, number = sum(c.agree for c in compared), len(compared)
    text = f"{agree} of {number} groups agree"
    if number == 1:
        text = compared[0].sentence
    missing = len(comparisons) - number
    return text + (f", {missing} could not be compared" if missing else "")


def _group(folder, number, comparison):
    """Content of the page for a group; its figure is written as a file."""
    group = {"id": f"group-{number}", "comparison": comparison, "status": Status.UNDECIDED}
    if isinstance(comparison, Comparison):
        # The name is that of the group, or of the first of two files.
        path = folder / (Path(comparison.name.split(",")[0]).name.split(".")[0] + ".png")
        figure = compare_figure(comparison.a, comparison.b, title=comparison.name)
        path.write_bytes(encode(figure))
        group |= {"status": Status.OK if comparison.agree else Status.FAIL}
        group |= {"picture": named(figure, "comparison", pair=comparison.name)}
        if _is_pair_2015(comparison):
            group["story"] = named(pair_2015_figure(comparison.a, comparison.b), "pair-2015")
    return group


def _cells(comparison, name):
    """Values of A and B, their difference, its error and its limit, as texts."""
    measure, statistical = comparison.measures[name], comparison.statistical
    error = measure.error if statistical else math.nan
    numbers = measure.ideal, measure.value, measure.value - measure.ideal
    texts = [rounded(x, error) for x in numbers]
    more = [f"{error:.2g}" if math.isfinite(error) else "–"] if statistical else []
    limit = "not tested" if measure.limit is None else f"{measure.limit:.2g}"
    return [*texts, *more, limit]


def _is_pair_2015(comparison):
    """Whether A is the true cube of 2015 and B has its bins, as the reconstructed one has."""
    axes = edition2015_axes()
    if not comparison.reference.axes.same_as(axes):
        return False
    true = edition2015_cube(axes, altitude=81.0, sigma=5.0, index_counts=1.5)
    return np.allclose(comparison.reference.rate, true.rate, rtol=1e-6)
