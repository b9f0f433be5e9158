"""Executors: order, errors, progress bars, and interrupts."""

import io
import os
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest

from simbg.parallel.executors import announce, workers


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
    with workers(1, "work") as executor:
        assert list(executor.map(abs, [-1, -2, -3])) == [1, 2, 3]
        executor.bar.refresh()
    assert re.search(r"work: 100% \|.*\| 3/3 runs, 00:0\d, 00:0\d left", terminal.getvalue())


def test_stages_are_counted_and_so_are_the_pieces_of_each(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    seen = []
    with workers(1, "validate", unit=" pieces") as executor:
        executor.plan(["a", "b", "c"])
        for stage, rounds in (("a", 9), ("unplanned", 1), ("b", 0), ("c", 2)):
            announce(executor, stage)
            for _ in range(rounds):
                list(executor.map(abs, range(5)))
            seen.append(executor.bar.n)
            executor.bar.refresh()
        assert executor.bar.total == 3
    # A stage counts once the next one begins.
    assert seen == [0, 0, 1, 2]
    last = terminal.getvalue().split("\r")
    assert any(re.search(r"validate, a .* 0 of 3 .*\b45 pieces", line) for line in last)
    assert any(re.search(r"validate, c .* 2 of 3 .*\b10 pieces", line) for line in last)
    # How long a stage takes is not known.
    assert "left" not in last[-2]


def test_the_name_of_a_stage_does_not_steer_the_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with workers(1, "work") as executor:
        executor.plan(["a\x1b]0;title\x07"])
        announce(executor, "a\x1b]0;title\x07")
    assert "title" in terminal.getvalue()
    assert "\x1b]" not in terminal.getvalue()


@pytest.mark.parametrize("where", ["terminal", "log"])
def test_no_bar_in_a_log_or_when_quiet(monkeypatch, where):
    stream = Terminal() if where == "terminal" else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with workers(1, "work", quiet=where == "terminal") as executor:
        executor.plan(["a"])
        announce(executor, "a")
        assert list(executor.map(abs, [1])) == [1]
    assert stream.getvalue() == ""


def test_stages_are_nothing_to_another_executor():
    announce(None, "a")
    announce(ThreadPoolExecutor(1), "a")


class Destructor:
    """Interrupted where nobody can catch it."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def _swallow(number, done, how):
    """Interrupted in the second piece, by something that lets nobody know."""
    done.append(number)
    if number == 1:
        with suppress(KeyboardInterrupt):
            Destructor() if how == "destructor" else signal.raise_signal(signal.SIGINT)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("how", ["caught", "destructor"])
@pytest.mark.parametrize("pieces", [2, 5])
def test_an_interrupt_that_is_swallowed_counts(how, pieces, capsys):
    before, done = signal.signal(signal.SIGINT, signal.default_int_handler), []
    hook = sys.unraisablehook
    try:
        with pytest.raises(KeyboardInterrupt), workers(1) as executor:
            list(executor.map(partial(_swallow, done=done, how=how), range(pieces)))
        assert done == [0, 1]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert sys.unraisablehook is hook
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == ""
