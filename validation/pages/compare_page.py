"""The page of a comparison: a section a group, which opens anywhere."""

from __future__ import annotations

import base64
import math
from pathlib import Path

from jinja2 import Environment, PackageLoader, select_autoescape

from simbg.validation.comparison.compare import TESTED, Comparison
from simbg.validation.figures.plot_cube import save_figure
from simbg.validation.figures.plots import compare_figure
from simbg.validation.suite.results import versions

__all__ = ["OURS", "write_page"]

# Names of the files that are written, as regular expressions.
OURS = (r"index\.html", r"[^/]+\.png")
NORMALIZED = {
    "none": "as they are",
    "cube": "A scaled to the integral of B",
    "image": "each energy of A scaled to that of B: spectra are not compared",
}


def write_page(folder, comparisons, a, b, normalize):
    """Write ``index.html`` and a figure a group into a folder.

    Parameters
    ----------
    folder : Path
    comparisons : sequence of Comparison or Missing
    a, b : path-like
        What was compared, to be named.
    normalize : str
    """
    groups = []
    for number, comparison in enumerate(comparisons):
        compared = isinstance(comparison, Comparison)
        name = _file_name(comparison.name)
        if compared:
            save_figure(_figure(comparison), folder / name, dpi=100)
        groups.append(
            {
                "id": f"group-{number}",
                "status": ("ok" if comparison.agree else "bad") if compared else "none",
                "found": comparison,
                "compared": compared,
                "png": base64.b64encode((folder / name).read_bytes()).decode() if compared else "",
            }
        )
    environment = Environment(
        loader=PackageLoader("simbg.validation.pages", "."), autoescape=select_autoescape(["html"])
    )
    environment.filters["number"] = _number
    page = environment.get_template("compare.html").render(
        headline=headline(comparisons),
        good=all(comparison.agree for comparison in comparisons),
        groups=groups,
        a=a,
        b=b,
        normalized=NORMALIZED[normalize],
        tested=TESTED,
        versions=versions(),
    )
    (folder / "index.html").write_text(page, encoding="utf-8")


def headline(comparisons):
    """The result in a line."""
    compared = [c for c in comparisons if isinstance(c, Comparison)]
    agree, number = sum(c.agree for c in compared), len(compared)
    text = f"{agree} of {number} groups agree"
    if number == 1:
        text = "the cubes agree" if agree else "the cubes differ"
    missing = len(comparisons) - number
    return text + (f", {missing} could not be compared" if missing else "")


def _figure(comparison):
    figure = compare_figure(comparison.a, comparison.b, title=" ")
    # A name is text: a dollar in it begins no formula.
    figure.suptitle(comparison.name, parse_math=False)
    return figure


def _number(value):
    # What is zero but for rounding is zero.
    return f"{value if abs(value) > 1e-12 else 0:.5g}" if math.isfinite(value) else "–"


def _file_name(name):
    """Of the group, or of the first of two files."""
    return Path(name.split(",")[0]).name.split(".")[0] + ".png"
