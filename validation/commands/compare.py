"""``simbg compare`` and ``simbg plot``."""

import json
import sys

import click

from simbg.cli.console import shared_option
from simbg.io.safe_files import new_file

__all__ = []


@click.command()
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option(
    "--normalize",
    type=click.Choice(["none", "cube", "image"]),
    default="none",
    help="Scale A to B: not, by the whole cube, or by each energy's image.",
)
@click.option(
    "--out",
    type=click.Path(),
    help="Write a page, index.html, and a figure a pair into this folder.",
)
@click.option("--json", "json_", type=click.Path(), help="Write the numbers to this file.")
@shared_option("overwrite")
def compare(a, b, normalize, out, json_, overwrite):
    """Compare two cubes, or two folders of models, A being the reference.

    Cubes with other bins are compared on common ones. Ends with 0 if they agree and 1 if they
    differ.

    \b
    simbg compare true.fits.gz reco.fits.gz
    simbg compare models_a models_b --normalize cube --out comparison --json result.json
    """
    from simbg.validation.comparison.folders import compare_paths
    from simbg.validation.pages.comparison import write_comparison

    comparisons = compare_paths(a, b, normalize)
    if out is not None:
        write_comparison(out, comparisons, a, b, normalize, overwrite)
    if json_ is not None:
        content = {"comparisons": [comparison.to_dict() for comparison in comparisons]}
        with new_file(json_, overwrite) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n")
    for comparison in comparisons:
        click.echo(comparison.text)
    sys.exit(0 if all(comparison.agree for comparison in comparisons) else 1)


@click.command()
@click.argument("file", type=click.Path())
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="PICTURE",
    help="A .png or .pdf; default: a .png here, called as FILE.",
)
@shared_option("overwrite")
def plot(file, out, overwrite):
    """Draw a background FILE of any kind: images, spectra and radial profiles.

    \b
    simbg plot models/bg_cube_model_group27_gadf.fits.gz
    simbg plot irf_file.fits --out background.pdf
    """
    from simbg.validation.figures.one_cube import plot_file

    click.echo(plot_file(file, out, overwrite))
