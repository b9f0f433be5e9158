"""Check of the interface of a method: ``simbg conformance``."""

from pathlib import Path

import click

from simbg.cli.console import Command, shared_option
from simbg.validation.commands.output import check_report, names_files_kept, say

__all__ = []

FILE = "conformance.json"


@click.command(
    cls=Command,
    groups={"Method": "command timeout memory seed", "Report": "out overwrite quiet"},
    exit_codes="0 no check fails, 1 a check fails",
)
@click.argument("method", required=False)
@shared_option("command")
@shared_option("timeout")
@shared_option("memory")
@shared_option("seed")
@shared_option("out", default="reports/conformance")
@shared_option("overwrite")
@shared_option("quiet")
@shared_option("jobs")
@names_files_kept
def conformance(
    method: str | None,
    command: str | None,
    timeout: float,
    memory: float,
    seed: int,
    jobs: int | None,
    out: str,
    overwrite: bool,
    quiet: bool,
) -> int:
    """Check the interface of a method.

    METHOD is a name or MODULE:OBJECT. For a program, use --command instead. The method
    reconstructs small stores in separate processes. The checks are listed in
    validation/METHODS.md, section "The contract".

    \b
    simbg conformance histogram
    simbg conformance my_package.my_module:MyMethod
    simbg conformance --command "mytool {store} {output}"
    """
    from simbg.parallel.executors import workers
    from simbg.validation.conformance.findings import conformance as find
    from simbg.validation.conformance.findings import write_findings
    from simbg.validation.methods.candidates import Candidate
    from simbg.validation.metrics.status import Status

    if method and not command:
        candidate = Candidate(method, timeout=timeout, memory=memory)
    elif command and not method:
        candidate = Candidate.command(command, timeout, memory)
    else:
        raise click.UsageError("conformance: expected either METHOD or --command")
    candidate.check()
    check_report(out, [FILE], overwrite)
    with workers(jobs, "conformance", unit=" stores", quiet=quiet) as executor:
        findings = find(candidate, seed, executor)
    path = Path(out, FILE)
    write_findings(path, candidate.name, seed, findings)
    for finding in findings:
        say(f"{finding.status:4s} {finding.name}: {finding.promise}: {finding.text}")
    failed = sum(finding.status == Status.FAIL for finding in findings)
    say(f"{failed or 'none'} of {len(findings)} checks failed: {path}")
    return 1 if failed else 0
