"""At the terminal: the table of the suite, with colours where they belong."""

import os
import re
import subprocess
import sys

import click
import pytest
from support.results import RESULTS

from simbg.validation.pages.report.terminal import result_table

ESCAPE = "\x1b["


def test_table_shows_the_worst_of_each_pair():
    lines = [click.unstyle(line) for line in result_table(RESULTS)]
    assert [re.split(r"  +", line) for line in lines] == [
        ["scenario", "histogram", "default", "mine"],
        ["one", "holds", "known failure (1)", "–"],
        ["two <b>", "FAILS (2)", "–", "ERROR"],
    ]
    # Columns stand below each other whatever the colours.
    assert (
        len(
            {line.index(word) for line, word in zip(lines, ("hist", "holds", "FAILS"), strict=True)}
        )
        == 1
    )


ECHO = f"""
from types import SimpleNamespace
import click
from simbg.validation.metrics.status import Status
RESULTS = [
    SimpleNamespace(scenario=s, method=m, status=Status(t))
    for s, m, t in {[(r.scenario, r.method, str(r.status)) for r in RESULTS]}
]
from simbg.cli.console import run
from simbg.validation.pages.report.terminal import result_table

@click.command()
def show():
    for line in result_table(RESULTS):
        click.echo(line)

run(show, "show")([])
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_colours_on_a_terminal_only_and_not_where_nobody_wants_them():
    import pty

    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    program = [sys.executable, "-c", ECHO]
    shown = {}
    for name, more in (("terminal", {}), ("NO_COLOR", {"NO_COLOR": "1"})):
        ours, theirs = pty.openpty()
        subprocess.run(program, env=environment | more, stdout=theirs, check=True)
        os.close(theirs)
        shown[name] = read_all(ours).replace("\r\n", "\n")
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    assert ESCAPE in shown["terminal"]
    assert ESCAPE not in done.stdout + shown["NO_COLOR"]
    assert done.stdout == shown["NO_COLOR"] == click.unstyle(shown["terminal"])
    # The failure is red and bold, what holds is neither.
    assert "\x1b[31m\x1b[1mFAILS (2)" in shown["terminal"]
    assert "\x1b[32mholds" in shown["terminal"]


def read_all(descriptor):
    parts = []
    try:
        while part := os.read(descriptor, 4096):
            parts.append(part)
    except OSError:  # On Linux the end of a terminal that nobody writes to any more.
        pass
    os.close(descriptor)
    return b"".join(parts).decode()
