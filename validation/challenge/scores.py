"""Scores of a challenge: the accuracy of the models of each group, and their ranking."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.errors import in_markdown
from simbg.io.cubes import read_model
from simbg.io.safe_files import finite_or_none
from simbg.simulation.experiment import Experiment
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.registry import METRICS

__all__ = ["ranking", "score_model"]

# Scored bins are below "highest" TeV and within "field" deg of the centre along both axes, with at
# least the fraction "exposed" of the largest exposure. Bins that are wider, in log10 E or deg, are
# divided: models with three bins per decade and 0.5 deg are not.
LIMITS = {"highest": 20.0, "field": 3.0, "exposed": 0.01, "wide_energy": 0.35, "wide": 0.5}
# Tolerance of edges, as in `simbg.observations.exposure`.
ON_EDGE = 1e-9
SCORED = ("norm", "index", "width")
# The accuracy of a rate of 0, and the score of a missing model.
WORST = 1.0


def find_groups(models: Iterable[Path | str]) -> dict[str, Path]:
    """Folders by the names of their groups.

    Parameters
    ----------
    models : iterable of path-like
        A folder for each group.

    Returns
    -------
    groups : dict of str to Path
        Name → folder.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If two folders have the same name.
    """
    groups: dict[str, Path] = {}
    for folder in map(Path, models):
        if not folder.is_dir():
            raise FileNotFoundError(f"models: got {folder}, expected an existing folder")
        if (name := folder.resolve().name) in groups:
            raise ValueError(
                f"models: got two folders {name}, expected a different name for each group"
            )
        groups[name] = folder
    return groups


def score_model(group: str, folder: Path, experiment: Experiment) -> dict[str, Any]:
    """The score of the model of one group for one field.

    Parameters
    ----------
    group : str
        Name of the group.
    folder : Path
        Folder with the models of the group.
    experiment : Experiment
        The field and its runs.

    Returns
    -------
    row : dict
        ``group``, ``field``, ``status`` and ``reason``; if the status is "ok" also the measures,
        ``q``, ``n_events`` and ``accuracy``.
    """
    field = experiment.scenario.name
    row = {"group": group, "field": field, "status": "ok", "reason": ""}
    names = f"{field}.fits", f"{field}.fits.gz"
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        return row | {"status": "missing", "reason": f"expected {names[0]} or {names[1]}"}
    try:
        pair = _pair(read_model(path, inside=True), experiment)
    except Exception as error:
        # Any error is possible in a file of a group. It must not stop the scoring of other files.
        reason = " ".join(f"{error}".split()) or type(error).__name__
        return row | {"status": "refused", "reason": reason.replace(f"{folder}/", "")}
    q, n_events = METRICS["lost_information"](pair).value, float(pair.expected.sum())
    total = {"q": q, "n_events": n_events, "accuracy": float(np.sqrt(q / n_events))}
    # A number may be missing (None): some truths have no width.
    return row | finite_or_none({name: asdict(METRICS[name](pair)) for name in SCORED}) | total


def _pair(model, experiment):
    """Truth and model in the scored bins of the model."""
    if model.axes.align != "ALTAZ":
        raise ValueError(f"got a model aligned with {model.axes.align}, expected ALTAZ")
    threshold = float(np.max(experiment.runs["SAFE_ENERGY_LO"]))
    axes, bins = _scored_axes(model.axes, threshold)
    true = experiment.true_cube(axes)
    exposed = true.livetime >= LIMITS["exposed"] * true.livetime.max()
    arrays = {name: np.where(exposed, getattr(true, name), 0) for name in ("counts", "livetime")}
    true, rate = replace(true, **arrays), model.rate[np.ix_(*bins)]
    # Squares of rates below 1e100 do not overflow.
    if bad := np.count_nonzero(exposed & ~((rate >= 0) & (rate < 1e100))):
        got = f"got {bad} of {exposed.sum()} rates that are negative, infinite or not a number"
        raise ValueError(f"{got}, expected 0 or more")
    # The clock is converted with the times of the runs; those in the file are ignored.
    own = {"livetime": true.livetime, "ontime": true.ontime, "clock": model.clock}
    return CubePair(true, BackgroundCube(true.axes, rate, **own))


def _scored_axes(axes, threshold):
    """The scored part of the axes of a model, and the original bin of each bin of each axis."""
    field, wide = LIMITS["field"], LIMITS["wide"]
    low, high = np.log10((threshold, LIMITS["highest"]))
    parts = [
        _parts("log10 energy", np.log10(axes.energy), low, high, LIMITS["wide_energy"]),
        _parts("fov_lon", axes.fov_lon, -field, field, wide),
        _parts("fov_lat", axes.fov_lat, -field, field, wide),
    ]
    (energy, lon, lat), bins = zip(*parts, strict=True)
    return Axes(10**energy, lon, lat), bins


def _parts(name, edges, low, high, widest):
    """Edges of the bins between two ends, with wide bins divided, and the original bin of each."""
    if edges[0] > low + ON_EDGE or edges[-1] < high - ON_EDGE:
        got = f"got {name} from {edges[0]:.4g} to {edges[-1]:.4g}"
        raise ValueError(f"{got}, expected at least {low:.4g} to {high:.4g}")
    number = np.maximum(1, np.ceil(np.diff(edges) / widest - ON_EDGE)).astype(int)
    bins = np.repeat(np.arange(number.size), number)
    fraction = (np.arange(bins.size) - (np.cumsum(number) - number)[bins]) / number[bins]
    edges = np.append(edges[bins] + fraction * np.diff(edges)[bins], edges[-1])
    inside = np.flatnonzero((edges[:-1] >= low - ON_EDGE) & (edges[1:] <= high + ON_EDGE))
    return edges[inside[0] : inside[-1] + 2], bins[inside]


def ranking(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Groups in the order of the geometric mean of their accuracies, the best first.

    Parameters
    ----------
    rows : iterable of dict
        From `score_model`, for all groups and fields.

    Returns
    -------
    ranks : list of dict
        ``rank``, ``group``, ``accuracy`` and ``n_fields``, the number of fields with a valid model.
    """
    accuracies: dict[str, list[float | None]] = {}
    for row in rows:
        accuracies.setdefault(row["group"], []).append(row.get("accuracy"))
    n_fields = {group: sum(a is not None for a in values) for group, values in accuracies.items()}
    logs = {group: [np.log(_limited(a)) for a in values] for group, values in accuracies.items()}
    means = {group: float(np.exp(np.mean(values))) for group, values in logs.items()}
    ranks: list[dict[str, Any]] = []
    for group, mean in sorted(means.items(), key=lambda item: item[::-1]):
        facts = {"group": group, "accuracy": mean, "n_fields": n_fields[group]}
        ranks.append({"rank": 1 + sum(other < mean for other in means.values())} | facts)
    return ranks


def _limited(accuracy):
    """The accuracy, limited to 1e-15 (0 has no logarithm) and the accuracy of a missing model."""
    return WORST if accuracy is None else min(max(accuracy, 1e-15), WORST)


def markdown(ranks: Iterable[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]) -> str:
    """The table of the groups and the table of all files, in Markdown."""
    heads = ["group", "field", "status", *SCORED, "Q", "events", "accuracy"]
    ranked = [[r["rank"], r["group"], f"{r['accuracy']:.4g}", r["n_fields"]] for r in ranks]
    lines = ["# Scores", "", "| rank | group | accuracy | fields |", "|---:|---|---|---|"]
    lines += [*map(_line, ranked), "", _line(heads), "|---" * len(heads) + "|"]
    for row in rows:
        cells = [row["group"], row["field"], row["status"]]
        if row["status"] == "ok":
            cells += [_measured(**row[name]) for name in SCORED]
            cells += [f"{row[key]:.4g}" for key in ("q", "n_events", "accuracy")]
        else:
            cells += [row["reason"], *[""] * (len(heads) - 4)]
        lines.append(_line(cells))
    return "\n".join([*lines, ""])


def _measured(value, error, ideal, unit):
    return "–" if value is None else f"{value:.4f} ± {error:.4f} for {ideal:.4f}{unit}"


def _line(cells):
    return f"| {' | '.join(map(in_markdown, cells))} |"
