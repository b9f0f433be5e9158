"""The short version: the three numbers that matter, and what a pull request shows."""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass

from simbg.io.safe_files import new_file
from simbg.validation.metrics.status import Status
from simbg.validation.suite.suite import self_check_lines

__all__ = ["KeyNumber", "key_numbers", "write_summary"]

# The scenario whose accuracy stands at the top, where it is in the run.
MAIN = "realistic"
# Of failures and of changes: more are in the page.
N_LINES = 12


@dataclass(frozen=True)
class KeyNumber:
    """A number, what it says, and the scenario and method where it is found."""

    value: str
    label: str
    scenario: str
    method: str


def key_numbers(outcomes):
    """How near to failing, how small an error would be found, how good the best method is.

    Returns
    -------
    numbers : list of KeyNumber
        Those that can be had.
    """
    results = [result for outcome in outcomes for result in outcome.results]
    titles = {outcome.scenario.name: outcome.scenario.title for outcome in outcomes}
    found = (_closest(results, titles), _sensitivity(results, titles), _accuracy(outcomes))
    return [number for number in found if number is not None]


def write_summary(path, suite):
    """Write the summary as Markdown; whatever a name holds appears as text."""
    lines = [f"## {(Status.OK if suite.good else Status.FAIL).mark} {_plain(suite.text)}", ""]
    for change in (suite.changes or ())[:N_LINES]:
        lines.append(f"- since the baseline: {_plain(change)}")
    lines += _rest(suite.changes or ())
    for number in key_numbers(suite.outcomes):
        lines.append(f"- **{_plain(number.value)}** {_plain(number.label)}")
    if suite.self_check is not None:
        lines.append(f"- self-check: {_plain(self_check_lines(*suite.self_check)[-1])}")
    lines += ["", *_matrix(suite), "", *_failures(suite.results)]
    legend = ", ".join(f"{s.mark} {s.word}" for s in reversed(Status) if s.style)
    lines += [f"{legend}. Seed {suite.seed}.", ""]
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


def _closest(results, titles):
    """The largest deviation in units of what is allowed."""
    shares = []
    for r in results:
        aim = r.predicted if r.status == Status.KNOWN else r.ideal
        if r.limit > 0 and math.isfinite(r.value - aim):
            shares.append((abs(r.value - aim) / r.limit, r))
    if not shares:
        return None
    share, r = max(shares, key=lambda pair: pair[0])
    where = f"{r.metric} of {r.method} in “{titles[r.scenario]}”"
    label = f"of its limit is the largest deviation of {len(shares)}: {where}"
    return KeyNumber(f"{100 * share:.0f} %", label, r.scenario, r.method)


def _sensitivity(results, titles):
    """The error of the norm that would be found wherever it was."""
    sizes = [(r.smallest, r) for r in results if r.metric == "norm" and math.isfinite(r.smallest)]
    if not sizes:
        return None
    size, r = max(sizes, key=lambda pair: pair[0])
    best, other = min(sizes, key=lambda pair: pair[0])
    label = f"is the largest error of a norm that may go unseen, in “{titles[r.scenario]}”"
    if other.scenario != r.scenario:
        label += f"; {100 * best:.2g} % in “{titles[other.scenario]}”"
    label += " (found with a power of 95 %)"
    return KeyNumber(f"{100 * size:.2g} %", label, r.scenario, r.method)


def _accuracy(outcomes):
    """Relative rms error of the rate of each method, √(Q / N), in the main scenario."""
    with_cube = [outcome for outcome in outcomes if outcome.pair is not None]
    names = list(dict.fromkeys(outcome.scenario.name for outcome in with_cube))
    if not names:
        return None
    name = MAIN if MAIN in names else names[0]
    found = []
    for outcome in with_cube:
        q = [r.value for r in outcome.results if r.metric == "lost_information"]
        if outcome.scenario.name == name and q and math.isfinite(q[0]):
            error = math.sqrt(q[0] / outcome.pair.expected.sum())
            found.append((error, outcome.method, outcome.scenario.title))
    if not found:
        return None
    found.sort()
    (error, method, title), *others = found
    label = f"rms error of the rate by {method} in “{title}”"
    if others:
        label += "; " + ", ".join(f"{100 * e:.2g} % by {m}" for e, m, _ in others)
    return KeyNumber(f"{100 * error:.2g} %", label, name, method)


def _matrix(suite):
    methods = suite.methods
    yield f"| scenario | {' | '.join(_plain(method) for method in methods)} |"
    yield f"|---|{'---|' * len(methods)}"
    cells = {(o.scenario.name, o.method): _cell(o.results) for o in suite.outcomes}
    for name, scenario in suite.scenarios.items():
        row = [cells.get((name, method), "–") for method in methods]
        yield f"| {_plain(scenario.title)} | {' | '.join(row)} |"


def _cell(results):
    status = Status.worst(result.status for result in results)
    n = sum(result.status == status for result in results)
    return f"{status.mark} {n}" if status in (Status.KNOWN, Status.FAIL) else status.mark


def _failures(results):
    bad = [r for r in results if r.status in (Status.FAIL, Status.ERROR)]
    for r in bad[:N_LINES]:
        where = f"{r.scenario} {r.method} {r.metric}"
        yield f"- {r.status.mark} {_plain(where)}: {_plain(r.reason)}"
    yield from _rest(bad)
    if bad:
        yield ""


def _rest(lines):
    return [f"- and {len(lines) - N_LINES} more"] if len(lines) > N_LINES else []


def _plain(text):
    """Text that Markdown, and the HTML in it, leave as it is; in one line."""
    text = " ".join(html.escape(str(text), quote=False).split())
    return re.sub(r"([\\`*_\[\]|~#@])", r"\\\1", text)
