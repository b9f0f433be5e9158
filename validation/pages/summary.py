"""The summary: the three most important numbers, for a pull request."""

import html
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from simbg.validation.metrics.status import Status
from simbg.validation.pages.html import write_page
from simbg.validation.suite.method_in_scenario import Outcome
from simbg.validation.suite.suite import Suite

__all__ = ["key_numbers"]

# The scenario whose accuracy is reported, if it is part of the run.
MAIN = "realistic"
# Largest number of failures and of changes; the page has all of them.
N_LINES = 12


@dataclass(frozen=True)
class KeyNumber:
    """A number, its description, and the scenario and method that it belongs to.

    Parameters
    ----------
    value : str
        The number.
    label : str
        Its description.
    scenario, method : str
        Names.
    """

    value: str
    label: str
    scenario: str
    method: str


def key_numbers(outcomes: Sequence[Outcome]) -> list[KeyNumber]:
    """The largest deviation, the sensitivity to an error of the norm, and the best accuracy.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Outcomes of all scenarios and methods.

    Returns
    -------
    numbers : list of KeyNumber
        Those that could be measured.
    """
    results = [result for outcome in outcomes for result in outcome.results]
    titles = {outcome.scenario.name: f"“{outcome.scenario.title}”" for outcome in outcomes}
    numbers = _closest(results, titles), _sensitivity(results, titles), _accuracy(outcomes, titles)
    return [number for number in numbers if number is not None]


def write_summary(path: Path, suite: Suite) -> None:
    """Write the summary as Markdown, in which special characters of names are escaped."""
    bad = [r for r in suite.results if r.status in (Status.FAIL, Status.ERROR)]
    cells = {(o.scenario.name, o.method): _cell(o.results) for o in suite.outcomes}
    facts = {"suite": suite, "numbers": key_numbers(suite.outcomes), "bad": bad, "cells": cells}
    more = {"Status": Status, "n_lines": N_LINES, "plain": _plain}
    write_page(path, "summary.md", **facts, **more)


def _closest(results, titles):
    """The largest deviation relative to its limit."""
    aims = [(r, r.predicted if r.status == Status.KNOWN else r.ideal) for r in results]
    sizes = [(abs(r.value - aim) / r.limit, r) for r, aim in aims if r.limit > 0]
    sizes = [(size, r) for size, r in sizes if math.isfinite(size)]
    if not sizes:
        return None
    size, r = max(sizes, key=itemgetter(0))
    where = f"{r.metric} of {r.method} in {titles[r.scenario]}"
    label = f"of the limit: the largest of {len(sizes)} deviations, {where}"
    return KeyNumber(f"{100 * size:.0f} %", label, r.scenario, r.method)


def _sensitivity(results, titles):
    """The smallest error of the norm that is detected in all scenarios."""
    sizes = [(r.smallest, r) for r in results if r.metric == "norm" and math.isfinite(r.smallest)]
    if not sizes:
        return None
    (size, r), (best, other) = (extreme(sizes, key=itemgetter(0)) for extreme in (max, min))
    label = "error of the norm is detected with a probability of 95 % in the least sensitive "
    label += f"scenario, {titles[r.scenario]}"
    if other.scenario != r.scenario:
        label += f"; {100 * best:.2g} % in the most sensitive one, {titles[other.scenario]}"
    return KeyNumber(f"{100 * size:.2g} %", label, r.scenario, r.method)


def _accuracy(outcomes, titles):
    """Relative rms error of the rate of each method, √(Q / N), in the main scenario."""
    errors: dict[str, list[tuple[float, str]]] = {}
    for outcome in outcomes:
        for r in outcome.results:
            if r.metric == "lost_information" and math.isfinite(r.value):
                error = math.sqrt(r.value / outcome.cubes.expected.sum())
                errors.setdefault(r.scenario, []).append((error, r.method))
    if not errors:
        return None
    name = MAIN if MAIN in errors else next(iter(errors))
    (error, method), *others = sorted(errors[name])
    worse = "; " * bool(others) + ", ".join(f"{100 * e:.2g} % by {m}" for e, m in others)
    label = f"rms error of the rate by {method} in {titles[name]}{worse}"
    return KeyNumber(f"{100 * error:.2g} %", label, name, method)


def _cell(results):
    counts = Counter(result.status for result in results)
    worst = Status.worst(counts)
    number = f" {counts[worst]}" if worst in (Status.KNOWN, Status.FAIL) else ""
    return worst.mark + number


def _plain(text):
    """Text in one line, with the special characters of Markdown and HTML escaped."""
    text = " ".join(html.escape(str(text), quote=False).split())
    return re.sub(r"([\\`*_\[\]|~#@])", r"\\\1", text)
