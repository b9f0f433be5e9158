"""Ranks against seeds: what is said to be better stays so, and tables say what is known."""

import json
import math
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from support import browser as chromium

from simbg.axes import Axes
from simbg.cli.console import run
from simbg.reconstruction.histogram import Histogram
from simbg.simulation.experiment import Experiment
from simbg.simulation.scenarios import SCENARIOS
from simbg.validation.figures.rendering import render
from simbg.validation.leaderboard.ranking import (
    ABSENT,
    APART,
    COLUMNS,
    Rank,
    apart,
    leaderboard_lines,
    ranking,
    rows,
    said,
    why,
    write_leaderboard,
)
from simbg.validation.leaderboard.stability import main, read_board, stability
from simbg.validation.leaderboard.standing import Standing, make_standing
from simbg.validation.methods.isolation import Attempt
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.pages.report import write_report_page
from simbg.validation.suite.replicates import draw, make_setting
from simbg.validation.suite.results import Result
from simbg.validation.suite.runner import run_suite
from simbg.validation.suite.suite import Suite

VERDICTS = {"error": 0, "fail": 0, "known": 0, "ok": 1}


def rank(score, error, freedom=math.inf, method="method"):
    return Rank(method, score, error, freedom, VERDICTS)


def outcome(method, accuracy, error=0.0, scenario="night", statuses=("ok",), **more):
    standing = Standing(scenario, method, accuracy=accuracy, accuracy_error=error, **more)
    results = [Result(scenario, "", method, f"m{i}", status=s) for i, s in enumerate(statuses)]
    named = SimpleNamespace(name=scenario)
    return SimpleNamespace(scenario=named, method=method, results=results, standing=standing)


def labels(outcomes):
    return {rank.method: rank.label for rank in ranking(outcomes)}


def test_two_are_apart_by_two_errors():
    assert apart(rank(0.0, 0.03), rank(0.101, 0.04))
    assert not apart(rank(0.0, 0.03), rank(0.099, 0.04))
    assert not apart(rank(0.101, 0.04), rank(0.0, 0.03))


def test_few_stores_take_more_errors():
    """4.53 standard errors of 2 degrees of freedom are 2 of a normal, 2.87 with 4."""
    for difference, expected in ((4.6, True), (4.4, False)):
        assert apart(rank(0, 1.0, 2), rank(difference, 0.0)) is expected
    for difference, expected in ((2.9, True), (2.8, False)):
        pair = rank(0, math.sqrt(0.5), 2), rank(difference, math.sqrt(0.5), 2)
        assert apart(*pair) is expected


def test_shared_ranks_are_no_chain():
    """A is not apart from B, nor B from C, but A is from C: C cannot be first."""
    made = [
        outcome(name, 0.1 * math.exp(s), 0.005)
        for name, s in zip("ABC", (0, 0.1, 0.2), strict=True)
    ]
    made = [replace_stores(one, 1000) for one in made]
    assert labels(made) == {"A": "1–2", "B": "1–3", "C": "2–3"}
    assert labels(made[::-1]) == labels(made)
    # Another that is far off changes nobody else's rank.
    assert labels([*made, outcome("D", 0.9, 0.01, stores=1000)]) == labels(made) | {"D": "4"}


def replace_stores(one, stores):
    return SimpleNamespace(**vars(one) | {"standing": replace(one.standing, stores=stores)})


def test_a_scenario_without_a_cube_counts_as_a_rate_of_zero():
    made = [
        outcome("whole", 0.2, 0.01, "night", stores=3),
        outcome("whole", 0.2, 0.01, "ring", stores=3),
        outcome("broken", 0.1, 0.01, "night", stores=3),
        outcome("broken", math.nan, math.nan, "ring", reason="crashed"),
    ]
    first, second = ranking(made)
    assert (first.method, second.method) == ("whole", "broken")
    assert first.accuracy == pytest.approx(0.2)
    assert second.accuracy == pytest.approx(math.sqrt(0.1))
    assert first.error == pytest.approx(0.05 / math.sqrt(2))
    assert second.error == pytest.approx(0.1 / 2)
    assert first.freedom == pytest.approx(4)
    assert second.freedom == pytest.approx(2)
    assert second.verdicts == {"error": 1, "fail": 0, "known": 0, "ok": 1}


def test_a_crash_does_not_pay_where_others_are_worse_than_zero():
    made = [outcome("noisy", 1.5, 0.01, stores=3), outcome("broken", math.nan, reason="crashed")]
    assert [rank.accuracy for rank in ranking(made)] == pytest.approx([1.5, 1.5])


def test_the_truth_itself_is_first_and_not_a_failure():
    made = [outcome("truth", 0.0, 0.0, stores=3), outcome("good", 0.01, 1e-4, stores=3)]
    assert labels(made) == {"truth": "1", "good": "2"}


def test_what_has_no_error_may_have_any_rank():
    made = [outcome(name, a, 1e-4, stores=3) for name, a in (("a", 0.1), ("b", 0.2))]
    assert labels([*made, outcome("files", 0.15, math.nan, stores=1)]) == {
        "a": "1–2",
        "files": "1–3",
        "b": "2–3",
    }


# Other seeds: other runs and other events.

AXES = Axes(np.geomspace(0.1, 10, 5), np.linspace(-3, 3, 9), np.linspace(-2, 3, 8))
NAMES = ("night", "threshold-bin", "curved")
STORES, SEEDS = 3, 30
METHODS = {
    "raw": lambda n, true, _: n,
    "louder": lambda n, true, _: 1.02 * n,
    "smoothed": lambda n, true, _: (
        0.5 * n + 0.25 * (np.roll(n, 1, axis=1) + np.roll(n, -1, axis=1))
    ),
    "norm": lambda n, true, _: 1.1 * true * n.sum() / true.sum(),
    "raw again": lambda n, true, other: other,
}


def board(seed):
    """Outcomes of all methods on the same counts of each scenario, with the runs of a seed."""
    made, rng = [], np.random.default_rng(seed)
    for name in NAMES:
        scenario = replace(SCENARIOS[name], n_obs=8, ignored="no significances", energy_threshold=0)
        experiment = Experiment.of(scenario, seed)
        setting = make_setting(experiment, Histogram(), AXES)
        true, drawn = setting.true, [draw(setting, rng)[0].counts for _ in range(2 * STORES)]
        pairs = list(zip(drawn[:STORES], drawn[STORES:], strict=True))
        for method, estimate in METHODS.items():
            rates = [true.rate * estimate(a, true.counts, b) / true.counts for a, b in pairs]
            cubes = [Attempt(replace(true, rate=rate, counts=None)) for rate in rates]
            standing = make_standing(experiment, method, setting, cubes)
            made.append(outcome(method, 0.0, scenario=name))
            made[-1].standing = standing
    return made


@pytest.fixture(scope="module")
def boards():
    return [ranking(board(seed)) for seed in range(SEEDS)]


def test_order_changes_within_the_stated_errors_only(boards):
    study = stability([{r.method: r for r in ranks} for ranks in boards])
    # Methods on the same events: less than 4.6 % of all differences may exceed two errors.
    n = study.n_differences
    assert n == 10 * SEEDS * (SEEDS - 1) / 2
    assert study.beyond <= 0.0455 * n
    # What is better in one seed is not worse in another, but for two that are equal.
    assert {frozenset(pair) for pair in study.reversed} <= {frozenset(("raw", "raw again"))}
    # And it says something: these are far apart in each seed.
    for one, other in (("smoothed", "raw"), ("smoothed", "norm")):
        orders = {apart(by[one], by[other]) for by in ({r.method: r for r in b} for b in boards)}
        assert orders == {True}, (one, other)


def test_methods_that_are_equal_are_seldom_apart(boards):
    """At most 4.6 % of all seeds, and their order does change."""
    pairs = [
        ({r.method: r for r in b}["raw"], {r.method: r for r in b}["raw again"]) for b in boards
    ]
    said_apart = sum(apart(a, b) or apart(b, a) for a, b in pairs)
    p = 0.0455
    assert said_apart <= p * SEEDS + sigmas(1e-5) * math.sqrt(p * SEEDS)
    assert len({a.score < b.score for a, b in pairs}) == 2


def test_ranks_hold_those_of_the_means(boards):
    """The order of the mean scores, which is the true one where these are apart."""
    scores = {name: [] for name in METHODS}
    for ranks in boards:
        for one in ranks:
            scores[one.method].append(one.score)
    mean = {name: np.mean(values) for name, values in scores.items()}
    error = {name: np.std(values, ddof=1) / math.sqrt(SEEDS) for name, values in scores.items()}
    for ranks in boards:
        for one in ranks:
            better = sum(
                mean[other] < mean[one.method] - 4 * math.hypot(error[other], error[one.method])
                for other in METHODS
            )
            worse = sum(
                mean[other] > mean[one.method] + 4 * math.hypot(error[other], error[one.method])
                for other in METHODS
            )
            # "Raw" and its twin may be either way round.
            assert one.best <= len(METHODS) - worse
            assert one.worst >= 1 + better


def test_too_small_errors_are_found(boards):
    """The control: the same scores with errors of a fifth."""
    small = [{r.method: replace(r, error=r.error / 5) for r in ranks} for ranks in boards]
    assert stability(small).beyond > 0.0455 * stability(small).n_differences


# On the bench.


@pytest.fixture(scope="module")
def benched():
    """A method of ours, one that says why it fails, and one that crashes; on two stores."""
    scenario = replace(SCENARIOS["night"], n_obs=2, ontime=600.0)
    methods = ("histogram", "support.odd_methods:Knows", "support.odd_methods:Raises")
    return run_suite([scenario], methods, 3, replicates=2)


def test_a_crash_is_a_row_and_the_bench_goes_on(benched):
    by = {one.method: one for one in benched}
    ours, knows, raises = (
        by["histogram"],
        by["support.odd_methods:Knows"],
        by["support.odd_methods:Raises"],
    )
    ranks = {rank.method: rank for rank in ranking(benched)}
    assert ranks.keys() == by.keys()
    assert ranks[raises.method].score == max(rank.score for rank in ranks.values())
    assert ranks[raises.method].verdicts["error"] == 1
    assert why(raises) == "RuntimeError: no such thing"
    assert raises.standing.seconds > 0
    assert raises.standing.megabytes > 10
    # 20 % of norm, with an error of three counts' worth.
    error = 1.2 / math.sqrt(ours.pair.expected.sum())
    assert abs(knows.standing.norm - 0.2) < sigmas(1e-5) * error
    assert "norm (it is louder by design)" in why(knows)


def test_the_page_has_what_can_be_sorted(benched, tmp_path):
    suite = Suite(benched, 3, replicates=2)
    write_report_page(tmp_path / "index.html", suite, render(suite))
    page = (tmp_path / "index.html").read_text()
    board = page[page.index('id="leaderboard"') :]
    table = board[board.index('class="sortable"') :].split("</table>")[0]
    assert table.count("<tr>") == 1 + len(benched)
    # A number to sort by in each cell of numbers.
    assert table.count("data-key=") == len(COLUMNS) * len(benched)
    for word in ("no such thing", "What is known of support.odd_methods:Knows", *ABSENT):
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
def test_tables_are_sorted_in_the_page(benched, tmp_path):
    """Numbers as such, infinity the largest, what is not known last both ways."""
    hours = {"histogram": math.inf, "support.odd_methods:Knows": 98.5}
    made = [
        replace(one, standing=replace(one.standing, hours=hours.get(one.method, math.nan)))
        for one in [*benched, replace(benched[0], method="other")]
    ]
    made[-1] = replace(made[-1], standing=replace(made[-1].standing, method="other", hours=100.5))
    suite = Suite(made, 3, replicates=2)
    write_report_page(tmp_path / "index.html", suite, render(suite))
    with chromium.browser(tmp_path / "profile") as browser:
        browser.open(tmp_path / "index.html", 1600, False)
        up, down = browser.evaluate(f'{SORT}("hours for 1 %")')
        names = browser.evaluate(f'{SORT}("method")')
        browser.open(tmp_path / "index.html", 400, False)
        assert browser.evaluate("document.documentElement.scrollWidth") == 400
        assert browser.complaints == []
    assert up == ["98.5", "100.5", "inf", "nan"]
    assert down == ["inf", "100.5", "98.5", "nan"]
    methods = sorted(one.method for one in made)
    assert names == [methods, methods[::-1]]


# Tables and files.


@pytest.fixture
def outcomes():
    known = {"norm": "it is louder by design", "gti": "a | b"}
    return [
        outcome("ours", 0.1, 0.001, stores=3, norm=0.01, norm_error=0.002, floor=12.0),
        outcome("ours", 0.2, 0.001, "ring", ("known", "ok"), stores=3, hours=math.inf),
        outcome("theirs", 0.3, 0.001, "night", ("fail", "ok"), stores=3, known=known),
        outcome("theirs", math.nan, math.nan, "ring", ("error",), reason="took more than 5 s"),
    ]


def test_files_say_everything(tmp_path, outcomes):
    outcomes[2].results[0] = replace(outcomes[2].results[0], metric="norm")
    write_leaderboard(tmp_path, outcomes, 7, 3)
    text = (tmp_path / "leaderboard.md").read_text()
    for word in (
        *("same 3 stores", "| 1 | ours |", "| 2 | theirs |", "1.00 ± 0.20 %", "never"),
        *("norm (it is louder by design)", "took more than 5 s", "What is known of theirs:"),
        *("- gti: a | b", *ABSENT, *COLUMNS),
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
    assert said(outcomes) == {"theirs": {"norm": "it is louder by design", "gti": "a | b"}}
    # What is read again are the ranks that were written.
    assert read_board(tmp_path / "leaderboard.json") == {r.method: r for r in ranking(outcomes)}


def test_failure_with_another_store_is_an_error_in_its_row(outcomes):
    outcomes[0].standing = replace(outcomes[0].standing, reason="store 2: was ended by SIGSEGV")
    (_, verdict, _, _), *_ = rows(outcomes)
    assert verdict == "error"


def test_lines_name_ranks_and_counts(outcomes):
    first, second = leaderboard_lines(outcomes)
    assert first.split()[:2] == ["1", "ours"]
    assert first.endswith("1 hold, 1 fail as known")
    assert "1 fail, 1 end in an error" in second


def test_limits_are_told_from_numbers():
    texts = {
        key: rows([outcome("m", 0.1, hours=hours, at_least=limit)])[0][2]["hours for 1 %"]
        for key, hours, limit in (("≥", 2591.0, True), ("=", 12.34, False), ("–", math.nan, True))
    }
    assert texts == {"≥": "≥ 2590", "=": "12.3", "–": "–"}


def test_apart_is_said_in_the_text(tmp_path, outcomes):
    write_leaderboard(tmp_path, outcomes, 0, 3)
    assert f"more than {APART:g} standard errors" in (tmp_path / "leaderboard.md").read_text()


def test_foreign_boards_are_refused(tmp_path):
    path = tmp_path / "leaderboard.json"
    path.write_text('{"schema": 1}')
    with pytest.raises(ValueError, match="got schema 1, expected 2"):
        read_board(path)


def test_boards_of_two_seeds_are_held_against_each_other(tmp_path, capsys):
    folders, paths = [], []
    for seed in (0, 1):
        folders.append(tmp_path / str(seed))
        folders[seed].mkdir()
        write_leaderboard(folders[seed], board(seed), seed, STORES)
        paths.append(str(folders[seed] / "leaderboard.json"))
    with pytest.raises(SystemExit) as end:
        run(main, "stability")(paths)
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert "10 differences of two methods between two seeds" in said
    # The other way round with certainty: the best is the worst in another.
    record = json.loads((folders[1] / "leaderboard.json").read_text())
    record["ranking"][0]["score"] = 10.0
    (folders[1] / "leaderboard.json").write_text(json.dumps(record))
    with pytest.raises(SystemExit) as end:
        run(main, "stability")(paths)
    assert end.value.code == 1
    assert "NOT stable: " in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        run(main, "stability")(paths[:1])
    assert end.value.code == 2
    assert capsys.readouterr().err == "stability: boards: got 1, expected 2 or more\n"


def test_all_pairs_are_looked_at(boards):
    by = [{r.method: r for r in ranks} for ranks in boards[:3]]
    assert stability(by).n_differences == 3 * len(list(combinations(METHODS, 2)))
