"""The page of the impact of a model on an analysis; it needs no other files."""

from pathlib import Path

from simbg.io.safe_files import new_directory
from simbg.validation.figures.impact import impact_figure
from simbg.validation.figures.rendering import named
from simbg.validation.figures.style import encode
from simbg.validation.impact.impact import FIELD, THRESHOLD, Impact
from simbg.validation.metrics.status import Status
from simbg.validation.pages.html import FILES, check_page, write_page

__all__ = ["write_impact"]

# Keys of `Impact.rows` and headings of their columns.
COLUMNS = {
    "error": "flux error",
    "place": "at (fov_lon, fov_lat)",
    "rms": "rms of all places",
    "statistical": "statistical error in {hours:g} h",
    "equal": "both are equal after",
    "stated": "stated by the model",
}


def write_impact(
    out: Path | str,
    impact: Impact,
    hours: float,
    model: Path | str,
    reference: Path | str,
    verdict: tuple[Status, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write ``index.html`` and its figure, as PNG and PDF, into a folder.

    Parameters
    ----------
    out : path-like
        The folder.
    impact : Impact
        What the error of a model does to an analysis.
    hours : float
        Livetime of the analysis, h.
    model, reference : path-like
        The background file, and the truth or the data store, whose names are shown.
    verdict : (Status, str), optional
        Whether a requirement is met, in words.
    overwrite : bool
        Whether an earlier page in this folder is replaced.

    Raises
    ------
    FileExistsError
        If the folder exists and must not be replaced, or holds other files.
    """
    check_page(out, overwrite)
    figure = impact_figure(impact, hours, Path(model).name)
    kind = "impact-data" if impact.observed else "impact"
    with new_directory(out, overwrite, FILES) as folder:
        for ending in ("png", "pdf"):
            (folder / f"impact.{ending}").write_bytes(encode(figure, ending))
        write_page(
            folder / "index.html",
            "impact.html",
            impact=impact,
            hours=hours,
            model=model,
            reference=reference,
            verdict=verdict,
            sentence=impact.sentence(),
            columns={key: text.format(hours=hours) for key, text in COLUMNS.items()},
            picture=named(figure, kind, model=Path(model).name),
            threshold=THRESHOLD,
            radius=FIELD,
        )
