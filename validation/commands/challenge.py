"""A blind challenge: ``simbg challenge make`` and ``simbg challenge score``."""

from collections.abc import Sequence
from pathlib import Path

import click

from simbg.cli.console import Command, echo, shared_option

__all__ = []


@click.group()
def challenge() -> None:
    """Make and score a blind challenge.

    \b
    simbg challenge make blind
    simbg challenge score blind --models alice --models bob
    """


@challenge.command(cls=Command, exit_codes="0 stores written")
@click.argument("outdir", type=click.Path())
@click.option("--fields", type=click.IntRange(1), default=4, help="Number of stores.")
@click.option("--runs", type=click.IntRange(1), default=20, help="Number of runs of each store.")
@shared_option("jobs")
@shared_option("overwrite")
def make(outdir: str, fields: int, runs: int, jobs: int | None, overwrite: bool) -> None:
    """Make data stores with secret truths, and a sealed answer.

    Give OUTDIR/public to the groups. OUTDIR/secret contains the answer.

    \b
    simbg challenge make blind
    simbg challenge make blind --fields 8 --runs 50
    """
    from simbg.parallel.executors import workers
    from simbg.validation.challenge.answers import draw_answer
    from simbg.validation.challenge.sealing import make_challenge

    with workers(jobs, "challenge") as executor:
        answer = draw_answer(fields, runs)
        digest = make_challenge(outdir, answer, executor, overwrite)
    echo(f"{outdir}: {fields} stores; SHA-256 of the sealed answer: {digest}")
    public, secret = Path(outdir, "public"), Path(outdir, "secret")
    echo(f"give only {public} to the groups; {secret} contains the answer")


@challenge.command(cls=Command, exit_codes="0 the answer agrees with the seal")
@click.argument("outdir", type=click.Path())
@click.option(
    "--models",
    multiple=True,
    type=click.Path(),
    metavar="DIR",
    help="Folder with the models of a group, field-K.fits[.gz]. Its name is the name of the group. "
    "Repeatable.",
)
@shared_option("jobs")
@shared_option("overwrite")
def score(outdir: str, models: Sequence[str], jobs: int | None, overwrite: bool) -> None:
    """Check and publish the sealed answer, and score models.

    OUTDIR is the folder of `simbg challenge make`, or a copy of its public part that contains
    the answer.

    \b
    simbg challenge score blind
    simbg challenge score blind --models alice --models bob
    """
    from simbg.parallel.executors import workers
    from simbg.validation.challenge.sealing import reveal_challenge

    with workers(jobs, "challenge") as executor:
        scores = reveal_challenge(outdir, models, executor, overwrite)
    echo(f"{outdir}: the answer agrees with the seal, and reproduces the stores")
    if models:
        echo("the scores are in scores.md and scores.json, in the folder of the stores")
    for line in scores["ranking"]:
        echo(f"{line['rank']:3d}. {line['group']}: accuracy {line['accuracy']:.4g}")
    for row in scores["scores"]:
        if row["status"] != "ok":
            echo(f"{row['group']} {row['field']}: {row['status']}, {row['reason']}")
