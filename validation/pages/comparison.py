"""The page of a comparison: a section a group, which opens anywhere."""

from pathlib import Path

from simbg.io.safe_files import check_directory, is_ours, new_directory
from simbg.validation.comparison.compare import Comparison
from simbg.validation.comparison.measures import MEASURES
from simbg.validation.figures.style import encode
from simbg.validation.figures.two_cubes import compare_figure
from simbg.validation.pages.html import write_page

__all__ = ["check_comparison", "write_comparison"]

# Names of the files that are written, as regular expressions.
FILES = (r"index\.html", r"[^/]+\.png")
NORMALIZED = {
    "none": "as they are",
    "cube": "A scaled to the integral of B",
    "image": "each energy of A scaled to that of B: spectra are not compared",
}


def check_comparison(out, overwrite):
    """Refuse a folder that holds anything but an earlier comparison.

    Parameters
    ----------
    out : path-like
    overwrite : bool
        Without it, a folder with an earlier comparison is refused, too.

    Raises
    ------
    OSError
    """
    check_directory(out, overwrite, FILES)
    if Path(out).is_dir() and any(Path(out).iterdir()) and not is_ours(Path(out, "index.html")):
        raise FileExistsError(
            f"{out} holds files that this command did not write, expected another folder"
        )


def write_comparison(out, comparisons, a, b, normalize, overwrite=False):
    """Write ``index.html`` and a figure of each group into a folder.

    Parameters
    ----------
    out : path-like
    comparisons : sequence of Comparison or NotCompared
    a, b : path-like
        What was compared, to be named.
    normalize : {"none", "cube", "image"}
    overwrite : bool
        Replace what is there, if nothing but such files is.
    """
    check_comparison(out, overwrite)
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
        )


def _headline(comparisons):
    """The result in a line."""
    compared = [c for c in comparisons if isinstance(c, Comparison)]
    agree, number = sum(c.agree for c in compared), len(compared)
    text = f"{agree} of {number} groups agree"
    if number == 1:
        text = "the cubes agree" if agree else "the cubes differ"
    missing = len(comparisons) - number
    return text + (f", {missing} could not be compared" if missing else "")


def _group(folder, number, comparison):
    """What the page says of a group; its figure is written beside it."""
    group = {"id": f"group-{number}", "found": comparison, "status": "none"}
    if isinstance(comparison, Comparison):
        # Named after the group, or after the first of two files.
        path = folder / (Path(comparison.name.split(",")[0]).name.split(".")[0] + ".png")
        png = encode(compare_figure(comparison.a, comparison.b, title=comparison.name))
        path.write_bytes(png)
        group |= {"status": "ok" if comparison.agree else "bad", "png": png}
    return group
