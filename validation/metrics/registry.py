"""The registry of metrics, in the order in which results list them."""

from simbg.validation.metrics import bins, point_source, shapes
from simbg.validation.metrics.metric import Metric

__all__ = ["CUBE_METRICS", "METRICS"]

# Questions about a method, and metrics of models of single runs: name, kind, ideal, unit and
# definition.
_OTHERS = (
    ("bias", "question", 0, "%", "Rms relative bias of the rate in all bins, without noise."),
    ("noise", "question", 0, "", "Σ Var(m) / λ over bins, divided by that of raw counts."),
    ("accuracy", "quality", 0, "%", "Rms error of the rate, √(E[Σ (m − λ)² / λ] / Σ λ)."),
    ("flux", "question", 0, "%", "Rms flux error of a source of 0.5 deg, in % of the Crab."),
    ("honesty", "question", 1, "", "Stated errors of bins over their scatter."),
    ("arrival", "question", 0, "%", "Largest relative bias of the counts that gammapy predicts."),
    ("same_cube", "question", 0, "%", "Difference of the cube of a user and that of replicates."),
    ("run_norms", "runs", 0, "σ", "χ² of the events of the runs and their predictions, in σ."),
    ("run_spectra", "runs", 0, "σ", "χ² of the spectra of the runs, with a norm for each, in σ."),
)
# Metrics of one reconstructed cube and the true one.
_RECORDS = {**vars(shapes), **vars(point_source), **vars(bins)}.values()
CUBE_METRICS = {record.name: record for record in _RECORDS if isinstance(record, Metric)}
METRICS = CUBE_METRICS | {
    name: Metric(name, kind, definition, "STATISTICS.md, questions", None, ideal, unit)
    for name, kind, ideal, unit, definition in _OTHERS
}
