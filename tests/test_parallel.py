"""Executors: order, errors, progress bars with the time left, and interrupts."""

import io
import os
import re
import signal
import sys
from contextlib import suppress
from functools import partial

import pytest

from simbg.parallel import Inline, Watched, workers


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order_and_errors_as_they_are(jobs):
    numbers = list(range(40))
    with workers(jobs) as executor:
        assert list(executor.map(pow, numbers, [2] * 40)) == [n * n for n in numbers]
        assert list(executor.map(pow, [], [])) == []
        assert executor.submit(pow, 2, 3).result() == 8
        with pytest.raises(ValueError, match="invalid literal"):
            list(executor.map(int, ["1"] * 20 + ["x"] + ["2"] * 20))
        assert list(executor.map(int, ["3"])) == [3]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_tells_the_time_left(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    watched = Watched(Inline(), "work", " runs", 1)
    assert list(watched.map(abs, [-1, -2, -3])) == [1, 2, 3]
    watched.bar.refresh()
    assert re.search(r"work: 100% \|.*\| 3/3 runs, 00:0\d, 00:0\d left", terminal.getvalue())


def test_stages_are_told_and_end_where_they_were_planned(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    watched = Watched(Inline(), "validate", " pieces", 1)
    watched.plan({"a": 3.0, "b": 1.0, "c": 0.0})
    seen = []
    for stage, rounds in (("a", 9), ("b", 0), ("c", 2), ("unplanned", 1)):
        watched.enter(stage)
        seen.append(watched.bar.n)
        for _ in range(rounds):
            list(watched.map(abs, range(5)))
            seen.append(watched.bar.n)
    assert seen == sorted(seen)
    assert [seen[0], seen[10], seen[11]] == [0, 3, 4]
    assert seen[1] > 0
    assert seen[9] < 3
    assert watched.bar.n == watched.bar.total == 4
    assert "validate, b" in terminal.getvalue()
    assert "left" in terminal.getvalue()


def test_no_bar_in_a_log_or_when_quiet(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert list(Watched(Inline(), "work", " runs", 1, quiet=True).map(abs, [1])) == [1]
    assert terminal.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    watched = Watched(Inline(), "work", " runs", 1)
    watched.plan({"a": 1.0})
    watched.enter("a")
    assert list(watched.map(abs, [1])) == [1]
    assert sys.stderr.getvalue() == ""


def _swallow(number, done):
    """Interrupted in the second piece, by something that lets nobody know."""
    done.append(number)
    if number == 1:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_an_interrupt_that_is_swallowed_counts():
    before, done = signal.signal(signal.SIGINT, signal.default_int_handler), []
    try:
        with pytest.raises(KeyboardInterrupt), workers(1) as executor:
            list(executor.map(partial(_swallow, done=done), range(5)))
        assert done == [0, 1]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
