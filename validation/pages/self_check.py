"""The files of a self-check: page, figure, JUnit XML, and a record for each defect."""

import json
from dataclasses import asdict
from pathlib import Path

from simbg.io.safe_files import finite_or_none, new_file
from simbg.validation.figures.rendering import Pictures, draw_self_check, write_pictures
from simbg.validation.metrics.status import Status
from simbg.validation.pages.html import write_page
from simbg.validation.pages.junit import write_self_check_junit
from simbg.validation.self_check.detection import SelfCheck

__all__ = ["write_self_check"]

# Keys of records that differ from the names of the fields.
KEYS = {"description": "about", "detected": "found"}


def write_self_check(folder: Path, check: SelfCheck, seed: int) -> None:
    """Write the page and the files of a self-check.

    Parameters
    ----------
    folder : Path
        Folder of the report.
    check : SelfCheck
        The result.
    seed : int
        Seed of the simulations.
    """
    picture = draw_self_check(check)
    write_pictures(folder, Pictures({"self-check": [picture]}, {}))
    write_self_check_junit(folder / "junit.xml", check)
    records = (_record(detection) for detection in check.detections)
    with new_file(folder / "selfcheck.jsonl", overwrite=True) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records))
    write_page(
        folder / "index.html",
        "self_check.html",
        check=check,
        picture=picture,
        seed=seed,
        status=Status.OK if check.ok else Status.FAIL,
    )


def _record(detection):
    fields = asdict(detection).items()
    return finite_or_none({KEYS.get(name, name): value for name, value in fields})
