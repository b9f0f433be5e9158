"""``simbg compare`` and ``simbg plot``."""

import json
import sys
from contextlib import nullcontext

import click

from simbg.cli.console import Command, echo, refuse, shared_option
from simbg.io.safe_files import check_apart, new_file

__all__ = []


@click.command(
    cls=Command,
    groups={"Output": "out json_ overwrite"},
    exit_codes="0 the cubes agree, 1 they differ",
)
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option(
    "--normalize",
    type=click.Choice(["none", "cube", "image"]),
    default="none",
    help="How A is scaled to B: not at all, by one factor, or by a factor for each energy.",
)
@click.option(
    "--store",
    type=click.Path(),
    help="Compare the exposures of A and B with those of their runs in this data store.",
)
@shared_option(
    "out", default=None, help="Write a page, index.html, with a figure of each pair to this folder."
)
@click.option("--json", "json_", type=click.Path(), help="Write the numbers to this file.")
@shared_option("overwrite")
def compare(
    a: str,
    b: str,
    normalize: str,
    store: str | None,
    out: str | None,
    json_: str | None,
    overwrite: bool,
) -> None:
    """Compare two cubes, or two folders of models.

    A is the reference. Cubes with different bins are converted to common bins.

    \b
    simbg compare true.fits.gz reco.fits.gz
    simbg compare models_a models_b --normalize cube --out comparison
    """
    if not (out or json_):
        refuse("overwrite", "has no effect without --out or --json")
    from simbg.models.runs import open_store
    from simbg.validation.comparison.folders import compare_paths
    from simbg.validation.pages.comparison import write_comparison
    from simbg.validation.pages.html import check_page

    check_apart(out, a, b)
    check_apart(json_, a, b, out)
    if out:
        check_page(out, overwrite)
    with new_file(json_, overwrite) if json_ else nullcontext() as numbers:
        opened = None if store is None else open_store(store)
        comparisons = compare_paths(a, b, normalize, opened)
        if numbers:
            content = {"comparisons": [comparison.to_dict() for comparison in comparisons]}
            numbers.write_text(json.dumps(content, indent=2) + "\n")
        if out:
            write_comparison(out, comparisons, a, b, normalize, overwrite)
    for comparison in comparisons:
        echo(comparison.text)
    sys.exit(0 if all(comparison.agree for comparison in comparisons) else 1)


@click.command(cls=Command, exit_codes="0 picture written")
@click.argument("file", type=click.Path())
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="PICTURE",
    help="Name that ends with .png or .pdf. Default: FILE.png in the current folder.",
)
@shared_option("overwrite")
def plot(file: str, out: str | None, overwrite: bool) -> None:
    """Draw a background file: images, spectra, radial profiles.

    FILE is a BKG_3D or BKG_2D of GADF, or a table or image of 2015.

    \b
    simbg plot models/bg_cube_model_group27_gadf.fits.gz
    simbg plot irf_file.fits --out background.pdf
    """
    from simbg.validation.figures.one_cube import plot_file

    echo(plot_file(file, out, overwrite))
