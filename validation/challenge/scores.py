"""Scores of a challenge: what the models of each group are worth, and who is best."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.cubes import read_model
from simbg.io.safe_files import finite_or_none
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.registry import METRICS

__all__ = ["LIMITS", "find_groups", "markdown", "ranking", "score_model", "true_cube"]

# Scored are bins wholly below so many TeV and within so many deg of the centre along both axes;
# of pixels that masks touch, those with this share of the largest exposure. Wider bins, in
# log10 E and in deg, are scored in parts: three bins a decade and half a deg are in use.
LIMITS = {"highest": 20.0, "field": 3.0, "exposed": 0.01, "wide_energy": 0.35, "wide": 0.5}
# Of edges, as `simbg.observations.exposure` has it.
ON_EDGE = 1e-9
SCORED = ("norm", "index", "width")
# What a rate of 0 has; no model is no better, and none is worse.
WORST = 1.0


def find_groups(models):
    """Folders by the names of their groups."""
    groups = {}
    for folder in map(Path, models):
        if not folder.is_dir():
            raise FileNotFoundError(f"models: got {folder}, expected a folder")
        if (name := folder.resolve().name) in groups:
            raise ValueError(f"models: got two folders {name}, expected a name for each group")
        groups[name] = folder
    return groups


def true_cube(experiment, axes):
    """The true cube at the runs' own exposure; a run exposes bins wholly above its threshold."""
    stack = experiment.background(axes)
    rate = stack.counts / np.where(stack.livetime > 0, stack.livetime, np.nan) / axes.volume
    return BackgroundCube(axes, rate, None, stack.counts, stack.livetime, stack.ontime)


def score_model(group, folder, experiment):
    """What a group's model of a field is worth, or why nothing.

    Parameters
    ----------
    group : str
    folder : Path
        Of the group's models.
    experiment : Experiment
        The field and its runs.

    Returns
    -------
    row : dict
        ``group``, ``field``, ``status`` and ``reason``; if the status is "ok", the measures,
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
        # Whatever is in a foreign file, the others are to be scored.
        reason = " ".join(f"{error}".split()) or type(error).__name__
        return row | {"status": "refused", "reason": reason.replace(f"{folder}/", "")}
    q, n_events = METRICS["lost_information"](pair).value, float(pair.expected.sum())
    total = {"q": q, "n_events": n_events, "accuracy": float(np.sqrt(q / n_events))}
    # None for what there is not: some truths are flatter than any width.
    return row | finite_or_none({name: asdict(METRICS[name](pair)) for name in SCORED}) | total


def _pair(model, experiment):
    """Truth and model over those of the model's own bins that count."""
    if model.axes.align != "ALTAZ":
        raise ValueError(f"got a model aligned with {model.axes.align}, expected ALTAZ")
    threshold = float(np.max(experiment.runs["SAFE_ENERGY_LO"]))
    axes, sources = _scored_axes(model.axes, threshold)
    true = true_cube(experiment, axes)
    seen = true.livetime >= LIMITS["exposed"] * true.livetime.max()
    dark = {name: np.where(seen, getattr(true, name), 0) for name in ("counts", "livetime")}
    true, rate = replace(true, **dark), model.rate[np.ix_(*sources)]
    # No double of a rate that is no nonsense overflows when it is squared.
    if bad := np.count_nonzero(seen & ~((rate >= 0) & (rate < 1e100))):
        raise ValueError(
            f"got {bad} rates of {seen.sum()} that are negative or no number, expected 0 or more"
        )
    # The clock is turned with the runs' own times, bin by bin, whatever the file says of them.
    own = {"livetime": true.livetime, "ontime": true.ontime, "clock": model.clock}
    return CubePair(true, BackgroundCube(true.axes, rate, **own))


def _scored_axes(axes, threshold):
    """What counts of a model's axes, and the model's bin of each bin."""
    sides = -LIMITS["field"], LIMITS["field"]
    ends = np.log10((threshold, LIMITS["highest"])), sides, sides
    wide = LIMITS["wide_energy"], LIMITS["wide"], LIMITS["wide"]
    parts = []
    for name, edges, (low, high), widest in zip(
        ("log10 energy", "fov_lon", "fov_lat"),
        (np.log10(axes.energy), axes.fov_lon, axes.fov_lat),
        *(ends, wide),
        strict=True,
    ):
        if edges[0] > low + ON_EDGE or edges[-1] < high - ON_EDGE:
            got = f"got {name} from {edges[0]:.4g} to {edges[-1]:.4g}"
            raise ValueError(f"{got}, expected at least {low:.4g} to {high:.4g}")
        parts.append(_parts(edges, low, high, widest))
    (energy, lon, lat), sources = zip(*parts, strict=True)
    return Axes(10**energy, lon, lat), sources


def _parts(edges, low, high, widest):
    """Edges of the bins wholly between two ends, wide ones in parts, and the bin of each."""
    number = np.maximum(1, np.ceil(np.diff(edges) / widest - ON_EDGE)).astype(int)
    source = np.repeat(np.arange(number.size), number)
    share = (np.arange(source.size) - (np.cumsum(number) - number)[source]) / number[source]
    edges = np.append(edges[source] + share * np.diff(edges)[source], edges[-1])
    inside = np.flatnonzero((edges[:-1] >= low - ON_EDGE) & (edges[1:] <= high + ON_EDGE))
    return edges[inside[0] : inside[-1] + 2], source[inside]


def ranking(rows):
    """Groups by the geometric mean of their accuracies, the best first.

    Returns
    -------
    ranks : list of dict
        ``rank``, ``group``, ``accuracy`` and ``n_fields``, the fields that count.
    """
    groups = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row.get("accuracy"))
    means = {
        name: float(np.exp(np.mean([np.log(_at_worst(value)) for value in values])))
        for name, values in groups.items()
    }
    return [
        {
            "rank": 1 + sum(other < means[name] for other in means.values()),
            "group": name,
            "accuracy": means[name],
            "n_fields": sum(value is not None for value in groups[name]),
        }
        for name in sorted(means, key=lambda name: (means[name], name))
    ]


def _at_worst(accuracy):
    """0 has no logarithm: what is better than a double can say counts as that."""
    return WORST if accuracy is None else min(max(accuracy, 1e-15), WORST)


def markdown(ranks, rows):
    """The table of the groups, and that of all files."""
    lines = ["# Scores", "", "| rank | group | accuracy | fields |", "|---:|---|---|---|"]
    for rank in ranks:
        about = rank["rank"], rank["group"], f"{rank['accuracy']:.4g}", rank["n_fields"]
        lines.append(_line(about))
    head = ["group", "field", "status", *SCORED, "Q", "events", "accuracy"]
    lines += ["", _line(head), "|---" * len(head) + "|"]
    for row in rows:
        cells = [row["group"], row["field"], row["status"]]
        if row["status"] == "ok":
            cells += [_measured(**row[name]) for name in SCORED]
            cells += [f"{row[key]:.4g}" for key in ("q", "n_events", "accuracy")]
        else:
            cells += [row["reason"], *[""] * (len(head) - 4)]
        lines.append(_line(cells))
    return "\n".join([*lines, ""])


def _measured(value, error, ideal, unit):
    return "–" if value is None else f"{value:.4f} ± {error:.4f} for {ideal:.4f}{unit}"


def _line(cells):
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"
