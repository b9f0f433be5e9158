"""Several methods on the same held-out runs: differences of their deviances, run by run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from simbg.validation.cross_validation.cross_validate import CrossValidation

__all__ = ["compared", "table_of"]

HEAD = """\
| method | deviance per event | excess per run | scatter of ln norm | image z | spectrum z \
| width of significances | flux of a source |
|---|---|---|---|---|---|---|---|
"""
ROW = (
    "| {method} | {deviance_per_event:.4f} | {excess} | {log_norm_scatter:.3f} | "
    "{image_z_mean:+.2f} ± {image_z_width:.2f} | {spectrum_z_mean:+.2f} ± {spectrum_z_width:.2f} | "
    "{width} | {flux} |"
)


def compared(results: Sequence[CrossValidation]) -> list[dict[str, Any]]:
    """The summary of each method, with its excess of deviance over the first method.

    Parameters
    ----------
    results : sequence of CrossValidation
        Methods that were tested with the same runs in the same bins.

    Returns
    -------
    list of dict
        ``method``, the numbers of `CrossValidation.summary`, and the mean difference of the
        deviances of a run, ``excess_per_run``, with its standard error.
    """
    first = np.array([run.deviance for run in results[0].runs])
    rows = []
    for result in results:
        excess = np.array([run.deviance for run in result.runs]) - first
        error = excess.std(ddof=1) / np.sqrt(excess.size) if excess.size > 1 else np.nan
        flux = result.flux
        numbers = {
            "excess_per_run": float(excess.mean()),
            "excess_error": float(error),
            "flux": f"{flux.rms:.1%} of the Crab (noise {flux.noise:.1%})" if flux else "",
        }
        rows.append({"method": result.method} | result.summary | numbers)
    return rows


def table_of(results: Sequence[CrossValidation]) -> str:
    """The comparison in Markdown.

    Parameters
    ----------
    results : sequence of CrossValidation
        Methods that were tested with the same runs in the same bins.
    """
    lines = []
    for number, row in enumerate(compared(results)):
        excess = "0" if not number else f"{row['excess_per_run']:+.1f} ± {row['excess_error']:.1f}"
        width = f"{row['significance_width']:.3f}" if row["n_pixels"] else "–"
        lines.append(ROW.format(**(row | {"flux": row["flux"] or "–"}), excess=excess, width=width))
    return HEAD + "\n".join(lines)
