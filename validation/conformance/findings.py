"""Findings on a method: whether it keeps the contract of methods.

A method gets stores only, in processes of its own. Each promise is checked with the resulting
cubes.
"""

import json
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from simbg import __version__
from simbg.io.files.work_places import scratch_folder
from simbg.io.safe_files import new_file
from simbg.validation.conformance.checks import CHECKS
from simbg.validation.conformance.evidence import Evidence
from simbg.validation.conformance.stores import AXES, VARIANTS, write_variant
from simbg.validation.methods.candidates import Candidate
from simbg.validation.methods.isolation import Attempt
from simbg.validation.metrics.status import Status

__all__ = ["check_attempts", "conformance", "write_findings"]


@dataclass(frozen=True)
class Finding:
    """The outcome of a check.

    Parameters
    ----------
    name, promise : str
        Name of the check, and its promise.
    status : Status or str
        "ok", "fail" or "note", which is information and not a failure.
    text : str
        The outcome in words.
    """

    name: str
    promise: str
    status: Status
    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))


def conformance(
    candidate: Candidate, seed: int = 0, executor: Executor | None = None
) -> list["Finding"]:
    """Run all checks on a method.

    Parameters
    ----------
    candidate : Candidate
        A method or a command.
    seed : int
        Seed of the stores.
    executor : concurrent.futures.Executor, optional
        Runs the stores in parallel.

    Returns
    -------
    findings : list of Finding
        Only the first ones if the method makes no cube of the plain store.

    Raises
    ------
    ValueError
        If the candidate is a folder of files.
    """
    if candidate.kind == "files":
        got = f"the files of {candidate.name}"
        raise ValueError(f"conformance: got {got}, expected a method or a command")
    attempts = {"plain": _attempt(candidate, seed, "plain")}
    if not attempts["plain"].reason:
        stores = [*VARIANTS, "again"][1:]
        others = (executor.map if executor else map)(partial(_attempt, candidate, seed), stores)
        attempts |= zip(stores, others, strict=True)
    return check_attempts(attempts, seed, candidate.kind)


def _attempt(candidate, seed, name):
    name = "plain" if name == "again" else name
    with scratch_folder() as folder:
        return candidate.reconstruct(write_variant(folder, seed, name), VARIANTS[name], AXES)


def check_attempts(attempts: dict[str, Attempt], seed: int, kind: str = "method") -> list[Finding]:
    """Check the cubes of a method.

    Parameters
    ----------
    attempts : dict of str to Attempt
        One for each of the `VARIANTS` and "again", or for some. Checks without their attempt are
        left out.
    seed : int
        Seed of the stores.
    kind : {"method", "command"}
        The files that a command opens are not audited.

    Returns
    -------
    findings : list of Finding
        One for each check.
    """
    evidence, failed = Evidence(attempts, seed), bool(attempts["plain"].reason)
    return [
        Finding(check.name, check.promise, Status(status), text)
        for check in CHECKS
        if check.store in attempts
        and not (failed and check.needs)
        and (check.name != "blind" or kind == "method")
        for status, text in [check(evidence)]
    ]


def write_findings(path: Path | str, method: str, seed: int, findings: Iterable[Finding]) -> None:
    """Write findings as JSON, replacing an existing file.

    Parameters
    ----------
    path : path-like
        The file.
    method : str
        Name of the method.
    seed : int
        Seed of the stores.
    findings : iterable of Finding
        The outcomes.
    """
    content: dict[str, Any] = {"simbg": __version__, "method": method, "seed": seed}
    content["findings"] = [
        {"about" if name == "promise" else name: value for name, value in asdict(finding).items()}
        for finding in findings
    ]
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
