"""The table of the leaderboard: what it says of scores."""

import math
from dataclasses import replace

import pytest
from support.outcomes import scored

from simbg.validation.leaderboard.table import leaderboard


def row(outcome):
    (found,) = leaderboard([outcome])["rows"]
    return found


@pytest.fixture
def outcomes():
    return [
        scored("ours", 0.1, 0.001, stores=3, norm=0.01, norm_error=0.002, floor=12.0),
        scored("ours", 0.2, 0.001, "ring", ("known", "ok"), stores=3, hours=math.inf),
        scored("theirs", 0.3, 0.001, "night", ("fail", "ok"), stores=3),
        scored("theirs", math.nan, math.nan, "ring", ("error",), reason="took more than 5 s"),
    ]


def test_numbers_that_are_rounded_to_0_have_no_sign():
    negative = scored("ours", 0.1, 0.001, stores=3, floor=-0.04, floor_error=1.5)
    assert row(negative)["texts"]["floor"] == "0.0 ± 1.5"


def test_failure_with_another_store_is_an_error_in_its_row(outcomes):
    outcomes[0].score = replace(outcomes[0].score, reason="store 2: was ended by SIGSEGV")
    assert leaderboard(outcomes)["rows"][0]["verdict"] == "error"


def test_lines_name_ranks_and_counts(outcomes):
    first, second = leaderboard(outcomes)["lines"]
    assert first.split()[:2] == ["1", "ours"]
    assert first.endswith("1 holds, 1 fails as calculated")
    assert "1 fails, 1 ends in an error" in second


def test_limits_are_told_from_numbers():
    texts = {
        key: row(scored("m", 0.1, hours=hours, at_least=limit))["texts"]["hours for 1 %"]
        for key, hours, limit in (("≥", 2591.0, True), ("=", 12.34, False), ("–", math.nan, True))
    }
    assert texts == {"≥": "≥ 2590", "=": "12.3", "–": "–"}
