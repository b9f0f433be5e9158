"""``simbg challenge``."""

from pathlib import Path

import click

from simbg.cli.console import shared_option

__all__ = []


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[reveal] OUTDIR")
@click.option("--fields", type=click.IntRange(1), help="Number of stores; default: 4.")
@click.option("--runs", type=click.IntRange(1), help="Runs of each; default: 20.")
@click.option(
    "--models",
    multiple=True,
    type=click.Path(),
    metavar="DIR",
    help="With reveal: field-K.fits[.gz] of a group, with its name; repeatable.",
)
@shared_option("jobs")
@shared_option("overwrite")
def challenge(words, fields, runs, models, jobs, overwrite):
    """Make stores of truths that nobody knows, and a sealed answer; reveal it, and score models.

    \b
    simbg challenge blind                  # hand out blind/public
    simbg challenge reveal blind --models alice --models bob
    """
    from simbg.parallel import workers
    from simbg.validation.challenge.answers import draw_answer
    from simbg.validation.challenge.sealing import make_challenge, reveal_challenge

    *verb, outdir = words
    if verb not in ([], ["reveal"]):
        raise click.UsageError(f"got {' '.join(words)}, expected OUTDIR or reveal OUTDIR")
    if (fields or runs) if verb else models:
        expected = "--models with reveal, --fields and --runs without"
        raise click.UsageError(f"got options for another command, expected {expected}")
    with workers(jobs, "challenge") as executor:
        if not verb:
            answer = draw_answer(fields or 4, runs or 20)
            digest = make_challenge(outdir, answer, executor, overwrite)
            click.echo(f"{outdir}: {fields or 4} stores; SHA-256 of the sealed answer: {digest}")
            click.echo(
                f"hand out {Path(outdir, 'public')} only: {Path(outdir, 'secret')} has the answer"
            )
            return
        scores = reveal_challenge(outdir, models, executor, overwrite)
    click.echo(f"{outdir}: the answer is the one that was sealed, and makes these stores")
    if models:
        click.echo("scores are in scores.md and scores.json, beside the stores")
    for line in scores["ranking"]:
        click.echo(f"{line['rank']:3d}. {line['group']}: accuracy {line['accuracy']:.4g}")
    for row in scores["scores"]:
        if row["status"] != "ok":
            click.echo(f"{row['group']} {row['field']}: {row['status']}, {row['reason']}")
