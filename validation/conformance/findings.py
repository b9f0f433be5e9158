"""The conformance suite: whether a method keeps the contract.

A method sees stores alone, in processes of its own; then each promise is judged by the cubes
that it made of them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from tempfile import TemporaryDirectory

from simbg import __version__
from simbg.io.safe_files import new_file
from simbg.validation.conformance.checks import CHECKS, FIRST, LAST, is_error
from simbg.validation.conformance.evidence import Case
from simbg.validation.conformance.stores import AXES, TRIALS, write_trial
from simbg.validation.metrics.status import Status

__all__ = ["Finding", "conformance", "judge", "write_findings"]


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Parameters
    ----------
    name, about : str
    status : Status or str
        "ok", "fail" or "note".
        A note is worth knowing and breaks no promise.
    text : str
    """

    name: str
    about: str
    status: Status
    text: str

    def __post_init__(self):
        object.__setattr__(self, "status", Status(self.status))


def conformance(candidate, seed=0, executor=None):
    """Run all checks on a method.

    Parameters
    ----------
    candidate : Candidate
        A method or a command.
    seed : int
    executor : concurrent.futures.Executor, optional

    Returns
    -------
    findings : list of Finding
        Only the first few if the method makes no cube of the plain store.
    """
    if candidate.kind == "files":
        raise ValueError(
            f"conformance: got the files of {candidate.name}, expected a method or command"
        )
    made = {"plain": _rebuild(candidate, seed, "plain")}
    if not made["plain"].reason:
        others = [name for name in (*TRIALS, "again") if name != "plain"]
        found = (executor.map if executor else map)(partial(_rebuild, candidate, seed), others)
        made |= dict(zip(others, found, strict=True))
    return judge(made, seed, candidate.kind)


def _rebuild(candidate, seed, name):
    trial = "plain" if name == "again" else name
    with TemporaryDirectory(prefix="simbg-") as folder:
        return candidate.rebuild(write_trial(folder, seed, trial), TRIALS[trial], AXES)


def judge(made, seed, kind="method"):
    """Judge what a method made.

    Parameters
    ----------
    made : dict of str to Isolated
        For each of the `TRIALS` and "again", or for some; checks of others are left out.
    seed : int
    kind : {"method", "command"}
        Nobody watches which files a command opens.

    Returns
    -------
    findings : list of Finding
    """
    case = Case(made, seed)
    checks = FIRST if made["plain"].reason else CHECKS
    checks = [check for check in checks if check.trial in made]
    checks = [check for check in checks if kind == "method" or check.name != "blind"]
    return [Finding(check.name, check.about, *_judged(case, check)) for check in checks]


def _judged(case, check):
    reason = case.made[check.trial].reason
    if reason and check not in (*FIRST, *LAST):
        # A method need not know how to mask.
        masks = check.trial in TRIALS and TRIALS[check.trial].regions
        return ("note" if masks and is_error(reason) else "fail"), reason
    try:
        if check.by_energy and case.off_in_energy:
            return "note", "not judged: energy is off"
        return check.judge(case)
    except ValueError as error:
        return "fail", str(error)


def write_findings(path, method, seed, findings):
    """Write what was found as JSON; a file that is there is replaced."""
    content = {"simbg": __version__, "method": method, "seed": seed}
    content["findings"] = [asdict(finding) for finding in findings]
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
