"""Whether a method keeps the contract: ``simbg validate --conformance``."""

from pathlib import Path

from simbg.parallel import workers
from simbg.reconstruction.registry import method_names
from simbg.validation.commands.output import say
from simbg.validation.conformance.findings import conformance, write_findings
from simbg.validation.methods.candidates import Candidate
from simbg.validation.metrics.status import Status

__all__ = []


def check_conformance(conforming, command, timeout, seed, jobs, out):
    """Check a method, or one of the commands by its name; print and keep what was found.

    Returns the exit code.
    """
    named = {each.name: each for each in (Candidate.command(text, timeout) for text in command)}
    candidate = named.get(conforming) or Candidate(conforming, timeout=timeout)
    if conforming not in (*named, *method_names()) and ":" not in conforming:
        known = ", ".join(method_names())
        raise ValueError(
            f"conformance: got {conforming!r}, expected one of {known}, module:Object, or the name "
            "of a --command"
        )
    path = Path(out) / "conformance.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with workers(jobs, "conformance", unit=" stores") as executor:
        findings = conformance(candidate, seed, executor)
    write_findings(path, candidate.name, seed, findings)
    for finding in findings:
        say(f"{finding.status:4s} {finding.name}: {finding.about}: {finding.text}")
    failed = sum(finding.status == Status.FAIL for finding in findings)
    say(f"{failed or 'none'} of {len(findings)} checks failed: {path}")
    return 1 if failed else 0
