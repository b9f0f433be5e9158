"""The leaderboard in files and in the page: what is written is what the table says."""

import json
import math
from dataclasses import replace

import pytest
from support import browser as chromium
from support.candidates import InMemory
from support.outcomes import scored

from simbg.simulation.library import SCENARIOS
from simbg.validation.figures.rendering import Pictures
from simbg.validation.leaderboard.ranking import Rank
from simbg.validation.leaderboard.score import Score
from simbg.validation.leaderboard.table import leaderboard
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.pages.report.leaderboard import write_leaderboard
from simbg.validation.pages.report.page import write_reports
from simbg.validation.suite.suite import Suite, run_suite

ABSENT, COLUMNS = (leaderboard([])[name] for name in ("absent", "columns"))


@pytest.fixture(scope="module")
def measured():
    """A method of ours, one that says why it fails, and one that crashes; on four stores."""
    scenario = replace(SCENARIOS["night"], n_obs=2, ontime=600.0)
    louder, raises = "support.odd_methods:Louder", "support.odd_methods:Raises"
    methods = (InMemory("histogram"), louder, InMemory(raises))
    *outcomes, _ = run_suite([scenario], methods, 3, stores=4, score=Score.of)
    return outcomes


def test_a_crash_is_a_row_and_the_others_go_on(measured):
    by = {one.method: one for one in measured}
    ours, louder, raises = (
        by["histogram"],
        by["support.odd_methods:Louder"],
        by["support.odd_methods:Raises"],
    )
    ranks = {rank.method: rank for rank in Rank.ranked(measured)}
    assert ranks.keys() == by.keys()
    assert ranks[raises.method].score == max(rank.score for rank in ranks.values())
    assert ranks[raises.method].verdicts["error"] == 1
    why = {row["outcome"].method: row["why"] for row in leaderboard(measured)["rows"]}
    assert why[raises.method] == "RuntimeError: no such thing"
    assert louder.score.seconds > 0
    assert louder.score.megabytes > 10
    # 20 % of norm, with an error of three counts' worth.
    error = 1.2 / math.sqrt(ours.cubes.expected.sum())
    assert abs(louder.score.norm - 0.2) < sigmas(1e-5) * error
    assert "bias" in why[louder.method]


@pytest.fixture(scope="module")
def page(measured, tmp_path_factory):
    """The page of these and of one more, with hours that are infinite and that are not known."""
    hours = {"histogram": math.inf, "support.odd_methods:Louder": 98.5}
    made = [
        replace(one, score=replace(one.score, hours=hours.get(one.method, math.nan)))
        for one in [*measured, replace(measured[0], method="other")]
    ]
    made[-1] = replace(made[-1], score=replace(made[-1].score, method="other", hours=100.5))
    suite, folder = Suite(made, 3, stores=2), tmp_path_factory.mktemp("page")
    write_reports(folder, suite, Pictures({}, {}))
    assert {"leaderboard.md", "leaderboard.json"} < {path.name for path in folder.iterdir()}
    return folder / "index.html"


def test_the_page_has_what_can_be_sorted(measured, page):
    text = page.read_text()
    board = text[text.index('id="leaderboard"') :]
    table = board[board.index('class="sortable"') :].split("</table>")[0]
    n_rows = len(measured) + 1
    assert table.count("<tr>") == 1 + n_rows
    # A number to sort by in each cell of numbers.
    assert table.count("data-key=") == len(COLUMNS) * n_rows
    for word in ("no such thing", *ABSENT):
        assert word in board


SORT = """
(name => {
  const table = document.querySelector("#leaderboard table.sortable");
  const heads = [...table.querySelectorAll("th")];
  const column = heads.findIndex(head => head.textContent === name);
  const text = row => row.cells[column].dataset.key ?? row.cells[1].textContent;
  return [1, 2].map(() => {
    heads[column].querySelector("button").click();
    return [...table.tBodies[0].rows].map(text);
  });
})
"""


@pytest.mark.skipif(chromium.find() is None, reason="no chromium on the path")
def test_tables_are_sorted_in_the_page(measured, page, tmp_path):
    """Numbers as such, infinity the largest, what is not known last both ways."""
    with chromium.browser(tmp_path / "profile") as browser:
        browser.open(page, 1600, False)
        up, down = browser.evaluate(f'{SORT}("hours for 1 %")')
        names = browser.evaluate(f'{SORT}("method")')
        browser.open(page, 400, False)
        assert browser.evaluate("document.documentElement.scrollWidth") == 400
        assert browser.complaints == []
    assert up == ["98.5", "100.5", "inf", "nan"]
    assert down == ["inf", "100.5", "98.5", "nan"]
    methods = sorted([*(one.method for one in measured), "other"])
    assert names == [methods, methods[::-1]]


# Files.


@pytest.fixture
def outcomes():
    return [
        scored("ours", 0.1, 0.001, stores=3, norm=0.01, norm_error=0.002, floor=12.0),
        scored("ours", 0.2, 0.001, "ring", ("known", "ok"), stores=3, hours=math.inf),
        scored("theirs", 0.3, 0.001, "night", ("fail", "ok"), stores=3),
        scored("theirs", math.nan, math.nan, "ring", ("error",), reason="took more than 5 s"),
    ]


def test_files_say_everything(tmp_path, outcomes):
    outcomes[2].results[0] = replace(outcomes[2].results[0], metric="norm")
    write_leaderboard(tmp_path, outcomes, 7, 3)
    text = (tmp_path / "leaderboard.md").read_text()
    for word in (
        *("same 3 stores", "| 1 | ours |", "| 2 | theirs |", "1.00 ± 0.20 %", "never"),
        *("took more than 5 s", *ABSENT, *COLUMNS),
    ):
        assert word in text
    # A table is one: as many cells in each row.
    table = text[text.index("| scenario |") :].split("\n\n")[0].splitlines()
    assert {line.count("|") for line in table} == {len(COLUMNS) + 5}
    record = json.loads((tmp_path / "leaderboard.json").read_text())
    assert (record["seed"], record["replicates"]) == (7, 3)
    assert [r["method"] for r in record["ranking"]] == ["ours", "theirs"]
    verdicts = [s["verdict"] for s in record["standings"]]
    assert verdicts == ["ok", "known", "fail", "error"]
    assert record["standings"][1]["hours"] == "infinite"
    assert record["standings"][3]["accuracy"] is None
    # Ranks as they are, numbers to the last bit.
    scores = [r["score"] for r in record["ranking"]]
    assert scores == [r.score for r in Rank.ranked(outcomes)]


@pytest.mark.parametrize("replayed", [False, True])
def test_a_replayed_ranking_says_so(tmp_path, outcomes, replayed):
    write_leaderboard(tmp_path, outcomes, 7, 3, replayed)
    text = (tmp_path / "leaderboard.md").read_text()
    assert ("was replayed" in text) == replayed
    assert "seed 7" in text
    assert json.loads((tmp_path / "leaderboard.json").read_text())["replayed"] == replayed


def test_apart_is_said_in_the_text(tmp_path, outcomes):
    write_leaderboard(tmp_path, outcomes, 0, 3)
    assert "more than 2 standard errors" in (tmp_path / "leaderboard.md").read_text()
