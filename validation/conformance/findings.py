"""Findings on a method: whether it keeps the contract.

A method sees stores alone, in processes of its own; then each promise is judged by the cubes that
it made of them.
"""

import json
from dataclasses import asdict, dataclass
from functools import partial
from tempfile import TemporaryDirectory

from simbg import __version__
from simbg.io.safe_files import new_file
from simbg.validation.conformance.checks import CHECKS
from simbg.validation.conformance.evidence import Evidence
from simbg.validation.conformance.stores import AXES, VARIANTS, write_variant
from simbg.validation.metrics.status import Status

__all__ = ["conformance", "judge", "write_findings"]


@dataclass(frozen=True)
class Finding:
    """The outcome of a check.

    Parameters
    ----------
    name, about : str
        Of the check, and its promise.
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
        got = f"the files of {candidate.name}"
        raise ValueError(f"conformance: got {got}, expected a method or command")
    attempts = {"plain": _attempt(candidate, seed, "plain")}
    if not attempts["plain"].reason:
        stores = [*VARIANTS, "again"][1:]
        others = (executor.map if executor else map)(partial(_attempt, candidate, seed), stores)
        attempts |= zip(stores, others, strict=True)
    return judge(attempts, seed, candidate.kind)


def _attempt(candidate, seed, name):
    name = "plain" if name == "again" else name
    with TemporaryDirectory(prefix="simbg-") as folder:
        return candidate.rebuild(write_variant(folder, seed, name), VARIANTS[name], AXES)


def judge(attempts, seed, kind="method"):
    """Judge the cubes of a method.

    Parameters
    ----------
    attempts : dict of str to Attempt
        For each of the `VARIANTS` and "again", or for some; checks of others are left out.
    seed : int
    kind : {"method", "command"}
        Which files a command opens is not audited.

    Returns
    -------
    findings : list of Finding
    """
    evidence, failed = Evidence(attempts, seed), bool(attempts["plain"].reason)
    return [
        Finding(check.name, check.promise, *check(evidence))
        for check in CHECKS
        if check.store in attempts
        and not (failed and check.needs)
        and (check.name != "blind" or kind == "method")
    ]


def write_findings(path, method, seed, findings):
    """Write findings as JSON; an existing file is replaced."""
    content = {"simbg": __version__, "method": method, "seed": seed}
    content["findings"] = [asdict(finding) for finding in findings]
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
