"""The summary: the verdict on each method, and a table of all scenarios, for a pull request."""

from collections import Counter
from pathlib import Path

from simbg.errors import in_markdown
from simbg.validation.metrics.status import Status
from simbg.validation.pages.html import write_page
from simbg.validation.suite.suite import Suite

__all__ = []

# Largest number of failures and of changes; the page has all of them.
N_LINES = 12


def write_summary(path: Path, suite: Suite) -> None:
    """Write the summary as Markdown, in which special characters of names are escaped."""
    bad = [r for r in suite.results if r.status in (Status.FAIL, Status.ERROR)]
    cells = {(o.scenario.name, o.method): _cell(o.results) for o in suite.outcomes}
    facts = {"suite": suite, "bad": bad, "cells": cells}
    more = {"Status": Status, "n_lines": N_LINES, "plain": in_markdown}
    write_page(path, "summary.md", **facts, **more)


def _cell(results):
    counts = Counter(result.status for result in results)
    worst = Status.worst(counts)
    number = f" {counts[worst]}" if worst in (Status.KNOWN, Status.FAIL) else ""
    return Status.marks(counts) + number
