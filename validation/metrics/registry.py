"""The registry of metrics: one record each, in the order in which results have them."""

from simbg.validation.metrics import bins, point_source, shapes
from simbg.validation.metrics.metric import Metric

__all__ = ["CUBE_METRICS", "METRICS"]

# Of many replicates, and of models of single runs: name, kind, ideal, unit, definition.
_OTHERS = (
    ("replicate_pull_width", "errors", 1, "", "Width of pulls about the method's own expectation."),
    # Index, σ at two energies and norm make a gaussian truth: 4 parameters.
    ("noise_cost", "quality", 4, "", "p_eff: E[Q] less the floor; parameters of a perfect fit."),
    ("bias_floor", "quality", 0, "", "T b: what is lost at this exposure even without noise."),
    ("efficiency", "quality", 1, "", "Parameters of the truth over E[Q]: 1 for a perfect fit."),
    ("heldout_deviance", "quality", 0, "", "Deviance of other counts; ideal: the truth's own."),
    ("heldout_missed", "quality", 0, "", "Share of other counts in bins where the cube has none."),
    ("run_norms", "runs", 0, "σ", "Scatter of the runs' events about their models', χ² as σ."),
    ("run_spectra", "runs", 0, "σ", "Scatter of the runs' spectra, at their own norms, χ² as σ."),
)
# Those of one rebuilt cube and the true one.
_RECORDS = {**vars(shapes), **vars(point_source), **vars(bins)}.values()
CUBE_METRICS = {record.name: record for record in _RECORDS if isinstance(record, Metric)}
METRICS = CUBE_METRICS | {
    name: Metric(name, kind, definition, "STATISTICS.md, replicates", None, ideal, unit)
    for name, kind, ideal, unit, definition in _OTHERS
}
