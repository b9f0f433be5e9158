"""The registry of metrics, in the order in which results list them."""

from simbg.validation.metrics import bins, point_source, shapes
from simbg.validation.metrics.metric import Metric

__all__ = ["CUBE_METRICS", "METRICS"]

# Metrics of many replicates and of models of single runs: name, kind, ideal, unit, definition.
_OTHERS = (
    ("replicate_pull_width", "errors", 1, "", "Width of the pulls about the mean of the method."),
    # A gaussian truth has 4 parameters: norm, index, and σ at two energies.
    (
        "noise_cost",
        "quality",
        4,
        "",
        "p_eff = E[Q] − floor: number of parameters of a perfect fit.",
    ),
    ("bias_floor", "quality", 0, "", "Q without noise: the loss by bias at this exposure."),
    ("efficiency", "quality", 1, "", "Number of parameters of the truth over E[Q]."),
    ("heldout_deviance", "quality", 0, "", "Deviance of independent counts; ideal: by the truth."),
    ("heldout_missed", "quality", 0, "", "Fraction of independent counts where the cube has none."),
    ("run_norms", "runs", 0, "σ", "χ² of the events of the runs and their predictions, in σ."),
    ("run_spectra", "runs", 0, "σ", "χ² of the spectra of the runs, with a norm for each, in σ."),
)
# Metrics of one reconstructed cube and the true one.
_RECORDS = {**vars(shapes), **vars(point_source), **vars(bins)}.values()
CUBE_METRICS = {record.name: record for record in _RECORDS if isinstance(record, Metric)}
METRICS = CUBE_METRICS | {
    name: Metric(name, kind, definition, "STATISTICS.md, replicates", None, ideal, unit)
    for name, kind, ideal, unit, definition in _OTHERS
}
