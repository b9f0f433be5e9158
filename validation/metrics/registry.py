"""The registry of metrics, in the order in which results list them."""

from simbg.validation.metrics import bins, point_source, shapes
from simbg.validation.metrics.metric import Metric

__all__ = ["CUBE_METRICS", "METRICS"]


def _other(name, unit, title, definition, ideal=0, kind="question"):
    """A metric that is no function of two cubes."""
    source = "STATISTICS.md, questions"
    return Metric(name, kind, definition, source, None, ideal, unit, title=title)


# Questions about a method, and metrics of models of single runs.
_OTHERS = (
    _other("bias", "%", "bias", "Rms relative bias of the rate in all bins, without noise."),
    _other(
        *("noise", "", "noise, relative to raw counts"),
        "Σ Var(m) / λ over bins, divided by that of raw counts.",
    ),
    _other(
        *("accuracy", "%", "accuracy: bias and noise"),
        "Rms error of the rate, √(E[Σ (m − λ)² / λ] / Σ λ).",
        kind="quality",
    ),
    _other(
        *("flux", "%", "flux error of a source"),
        "Rms flux error of a source of 0.5 deg, in % of the Crab.",
    ),
    _other(
        *("honesty", "", "stated errors, relative to the scatter"),
        "Stated errors of bins over their scatter.",
        ideal=1,
    ),
    _other(
        *("arrival", "%", "bias of the counts that gammapy predicts"),
        "Largest relative bias of the counts that gammapy predicts.",
    ),
    _other(
        *("same_cube", "%", "difference of two ways to the same cube"),
        "Difference of the cube of a user and that of replicates.",
    ),
    _other(
        *("run_norms", "σ", "events of new runs"),
        "χ² of the events of the runs and their predictions, in σ.",
        kind="runs",
    ),
    _other(
        *("run_spectra", "σ", "spectra of new runs"),
        "χ² of the spectra of the runs, with a norm for each, in σ.",
        kind="runs",
    ),
)
# Metrics of one reconstructed cube and the true one.
_RECORDS = {**vars(shapes), **vars(point_source), **vars(bins)}.values()
CUBE_METRICS = {record.name: record for record in _RECORDS if isinstance(record, Metric)}
METRICS = CUBE_METRICS | {record.name: record for record in _OTHERS}
