import json
from dataclasses import replace

import pytest

from simbg.validation.metrics.status import Status
from simbg.validation.suite.results import Result


def test_the_worst_stands_for_all():
    assert Status.worst(["ok", "info", "known"]) is Status.KNOWN
    assert Status.worst(["fail", "known"]) is Status.FAIL
    assert Status.worst([]) is Status.INFO
    # Each one is worse than all that follow.
    for number, status in enumerate(Status):
        assert Status.worst(list(Status)[number:]) is status


def test_numbers_and_verbs_agree():
    for status in Status:
        one, more = status.counted(1), status.counted(2)
        assert one.split()[0] == "1"
        assert more == f"2 {status.phrase}"
        assert one.split()[1] != more.split()[1]
    assert Status.OK.counted(1) == "1 holds"


def test_marks_show_what_is_undecided():
    assert Status.marks(["ok", "warning", "undecided"]) == Status.WARNING.mark + "?"
    assert Status.marks(["undecided", "ok"]) == "?"
    assert Status.marks(["fail", "warning", "undecided"]) == Status.FAIL.mark
    assert Status.marks(["ok", "warning"]) == Status.WARNING.mark


def test_files_hold_the_plain_word():
    assert json.dumps({"status": Status.OK, Status.FAIL: 1}) == '{"status": "ok", "fail": 1}'
    one = Result("s", "0", "m", "norm", status="known")
    assert one.status is Status.KNOWN
    assert replace(one, status=Status.FAIL).status == "fail"


@pytest.mark.parametrize("attribute", ["word", "phrase"])
def test_words_are_told_apart(attribute):
    words = [getattr(status, attribute) for status in Status]
    assert len(set(words)) == len(words)
    # A style colours them, and does not tell them apart alone.
    assert all(status.style for status in Status if status.fails)
