"""Results as JSON lines: what is written comes back, and what is foreign is refused."""

import json
import math
from dataclasses import replace

import pytest

from simbg.validation.metrics.status import Status
from simbg.validation.suite.results import Result, versions

FULL = Result(
    scenario="night",
    digest="0123456789ab",
    method="histogram",
    metric="index",
    value=2.71,
    error=0.01,
    ideal=2.7,
    unit="",
    predicted=2.7,
    limit=0.04,
    upper=0.056,
    false_alarm_rate=6.25e-5,
    status="ok",
    reason="σ, “quotes” and \n a line break",
    seed=7,
)
EMPTY = Result("night", "0", "my.module:Method", "run", status="error", reason="ValueError: no")


def same(a, b):
    return all(
        x == y or (x != x and y != y)
        for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


def test_round_trip(tmp_path):
    """Every field, and the NaN of what was not measured."""
    path = tmp_path / "results.jsonl"
    Result.write(path, [FULL, EMPTY])
    read = Result.read(path)
    assert len(read) == 2
    assert same(read[0], FULL)
    assert same(read[1], EMPTY)
    assert math.isnan(read[1].value)


def test_lines_are_strict_json(tmp_path):
    path = tmp_path / "results.jsonl"
    Result.write(path, [EMPTY])

    def refuse(constant):
        raise AssertionError(constant)

    (line,) = path.read_text().splitlines()
    record = json.loads(line, parse_constant=refuse)
    assert record["value"] is None
    assert record["schema"] == 3
    assert record["versions"] == versions()


def test_infinity_has_no_name_in_json(tmp_path):
    """A deviance of counts where none can be is infinite; what it means is kept."""
    path = tmp_path / "results.jsonl"
    Result.write(path, [Result("s", "0", "m", "count_deviance", math.inf, 1.0, 0.0, status="fail")])
    assert "Infinity" not in path.read_text()
    assert Result.read(path)[0].status == "fail"


def test_writing_replaces(tmp_path):
    path = tmp_path / "results.jsonl"
    Result.write(path, [FULL, FULL])
    Result.write(path, [EMPTY])
    assert len(Result.read(path)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["results.jsonl"]


def test_files_of_earlier_schemas_are_read(tmp_path):
    """As they were written before there was `ignored`, and while there was `must_fail`."""
    path = tmp_path / "results.jsonl"
    Result.write(path, [FULL])
    record = json.loads(path.read_text()) | {"schema": 1, "must_fail": True, "smallest": 0.1}
    del record["ignored"], record["upper"]
    path.write_text(json.dumps(record) + "\n")
    (read,) = Result.read(path)
    assert same(replace(read, schema=3), replace(FULL, ignored="", upper=math.nan))


@pytest.mark.parametrize("status", ["passed", "", None, "OK"])
def test_unknown_status(status):
    with pytest.raises(ValueError, match="expected one of"):
        Result("s", "0", "m", "norm", status=status)


@pytest.mark.parametrize("status", list(Status))
def test_known_status(status):
    assert Result("s", "0", "m", "norm", status=status).status == status


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 99}', r"line 1: got schema 99, expected 3"),
        ("{}", r"line 1: got schema None"),
        ("[1, 2]", r"line 1: got schema None"),
        ("not json", r"line 1: got 'not json', expected JSON"),
        ('{"schema": 3, "scenario": "s"}', r"line 1: .*missing"),
        ('{"schema": 3, "colour": "red"}', r"line 1: .*unexpected keyword argument"),
        (
            '{"schema":2,"scenario":"s","digest":"","method":"m","metric":"n","status":"great"}',
            r"line 1: status: got 'great'",
        ),
        (
            '{"schema":3,"scenario":"s","digest":"","method":{},"metric":"n"}',
            r"line 1: method: got",
        ),
        (
            '{"schema":3,"scenario":"s","digest":"","method":"m","metric":"n","value":"1"}',
            r"line 1: value: got",
        ),
        ("[" * 100_000, r"line 1: .*expected JSON"),
    ],
)
def test_foreign_files_are_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "results.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(ValueError, match=message) as caught:
        Result.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
