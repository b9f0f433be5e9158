"""The files of the leaderboard: Markdown to read and JSON for programs."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from simbg.io.safe_files import finite_or_none, new_file
from simbg.validation.leaderboard.table import leaderboard
from simbg.validation.pages.html import write_page
from simbg.validation.suite.method_in_scenario import Outcome
from simbg.validation.suite.results import versions

__all__ = ["write_leaderboard"]

SCHEMA = 2


def write_leaderboard(
    folder: Path, outcomes: Sequence[Outcome], seed: int, replicates: int, replayed: bool = False
) -> None:
    """Write leaderboard.md and leaderboard.json.

    Parameters
    ----------
    folder : Path
        Folder of the report.
    outcomes : sequence of Outcome
        Outcomes of all scenarios and methods.
    seed : int
        Seed of the simulations.
    replicates : int
        Number of stores of each scenario.
    replayed : bool
        Whether the user chose the seed.
    """
    content = leaderboard(outcomes, seed, replayed)
    record = {
        "schema": SCHEMA,
        "seed": seed,
        "replayed": replayed,
        "replicates": replicates,
        "versions": versions(),
        "ranking": [_record(rank) for rank in content["ranks"]],
        "standings": [
            {"verdict": row["verdict"], **_record(row["outcome"].score), "why": row["why"]}
            for row in content["rows"]
        ],
        "absent": content["absent"],
    }
    with new_file(folder / "leaderboard.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_page(folder / "leaderboard.md", "leaderboard.md", **content)


def _record(value):
    """A value for JSON: a word for infinity, null for NaN."""
    fields = asdict(value).items()
    return finite_or_none({k: "infinite" if v == math.inf else v for k, v in fields})
