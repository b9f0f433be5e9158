"""The registry of metrics: one record each, in the order in which results have them."""

from __future__ import annotations

from simbg.validation.metrics import bins, point_source, shapes, single_runs
from simbg.validation.metrics.metric import Metric

__all__ = ["CUBE_METRICS", "METRICS"]


def _of_replicates(name, kind, definition, ideal=0.0):
    return Metric(name, kind, definition, "STATISTICS.md, replicates", ideal=ideal)


_RECORDS = (
    shapes.norm,
    shapes.index,
    shapes.center_index,
    shapes.width,
    shapes.width_slope,
    shapes.lon_gradient,
    shapes.lat_gradient,
    shapes.energy_norms,
    shapes.energy_widths,
    shapes.ring,
    point_source.point_source,
    shapes.masked_norm,
    bins.pull_mean,
    bins.pull_width,
    bins.coverage_68,
    bins.coverage_95,
    bins.count_deviance,
    bins.pit,
    single_runs.run_dispersion,
    bins.zero_mass,
    bins.lost_information,
    _of_replicates(
        "replicate_pull_width",
        "errors",
        "Width of pulls about the method's own expectation, in stated errors.",
        1.0,
    ),
    _of_replicates(
        "noise_cost",
        "quality",
        "p_eff: what noise costs, E[Q] less the floor; parameters of a perfect fit.",
        # Index, σ at two energies and norm make a gaussian truth.
        4.0,
    ),
    _of_replicates(
        "bias_floor", "quality", "T b: what is lost at this exposure even without noise."
    ),
    _of_replicates(
        "efficiency",
        "quality",
        "Parameters of the truth over E[Q]: 1 for a perfect fit of the right family.",
        1.0,
    ),
    _of_replicates(
        "heldout_deviance",
        "quality",
        "Deviance of other counts against the cube; the ideal is the truth's own.",
    ),
    _of_replicates(
        "heldout_missed",
        "quality",
        "Share of the other counts in bins where the cube predicts none.",
    ),
    single_runs.NORMS,
    single_runs.SPECTRA,
)
METRICS = {record.name: record for record in _RECORDS}
# Those of one rebuilt cube and the true one.
CUBE_METRICS = {name: record for name, record in METRICS.items() if record.function}
