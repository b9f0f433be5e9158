"""Test of the suite with planted defects: ``simbg self-check``."""

from pathlib import Path

import click

from simbg.cli.console import Command, shared_option
from simbg.validation.commands.output import check_report, names_files_kept, new_report, say

__all__ = []

FILES = ("index.html", "selfcheck.jsonl", "junit.xml", "figures")


@click.command(
    cls=Command,
    groups={"Report": "out overwrite quiet"},
    exit_codes="0 all defects found and false alarms as expected, 1 otherwise",
)
@shared_option("seed")
@shared_option("jobs")
@shared_option("out", default="reports/self-check")
@shared_option("overwrite")
@shared_option("quiet")
@names_files_kept
def self_check(seed: int, jobs: int | None, out: str, overwrite: bool, quiet: bool) -> int:
    """Test whether the suite finds planted defects.

    Each defect is planted in cubes that are otherwise perfect. The report states which question
    finds it, and the smallest size that is found. False alarms are counted in data sets without
    a defect. The command takes some minutes.

    \b
    simbg self-check
    simbg self-check --seed 1 --out check
    """
    from simbg.parallel.executors import workers
    from simbg.validation.pages.self_check import write_self_check
    from simbg.validation.self_check import detection

    check_report(out, FILES, overwrite)
    with workers(jobs, "self-check", unit=" pieces", quiet=quiet) as executor:
        check = detection.self_check(seed, executor)
    with new_report(out, FILES) as folder:
        write_self_check(folder, check, seed)
    for line in (*(found.text for found in check.detections), check.clean.text):
        say(line)
    say(f"{check.text}: {Path(out, 'index.html')}")
    return 0 if check.ok else 1
