"""Blind challenges: stores of truths that nobody knows, a sealed answer, and its opening.

Truths are drawn with the entropy of the system. What is handed out holds the stores and the
SHA-256 of the answer, which a salt keeps from being guessed. The answer makes the stores again,
byte by byte, so nobody can change it later.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import tempfile
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import astropy
import numpy as np
import scipy

from simbg import __version__
from simbg.axes import Axes, edition2015_axes
from simbg.cube import BackgroundCube
from simbg.emission import GammaSource, offset_by
from simbg.exclusion import circle
from simbg.io import gadf
from simbg.io.cubes import write_cube
from simbg.io.files import new_directory, new_file
from simbg.scenarios import HESS_SITE, Scenario
from simbg.simulate import REGIONS, write_dataset
from simbg.truth import GaussianTruth
from simbg.truth_file import read_model
from simbg.truth_shaped import ShapedTruth
from validation.metrics import METRICS
from validation.pair import Pair

__all__ = ["RANGES", "draw_answer", "make_challenge", "reveal_challenge"]

SCHEMA = 1
# Parameters are uniform in these; the truths, GammaSource and Scenario say what they are.
RANGES = {
    "index": (2.4, 3.0),
    "event_rate": (8.0, 20.0),
    "sigma at 0.1 TeV": (1.6, 3.0),
    "sigma at 80 TeV, relative": (1.1, 2.0),
    "peak": (-0.8, 0.8),
    "zenith_slope": (0.2, 0.7),
    "curvature": (0.03, 0.15),
    "gradient": (-0.1, 0.1),
    "ring_depth": (0.5, 0.95),
    "ring_radius": (0.8, 1.5),
    "ring_energy": (2.0, 8.0),
    "zenith_power": (0.5, 2.0),
    "zenith_hardening": (0.2, 1.0),
    "dead, low end": (-2.0, 1.5),
    "dead, size": (0.3, 1.0),
    "lowest altitude": (38.0, 60.0),
    "deadtime_fraction": (0.03, 0.2),
    "energy_threshold": (0.1, 0.25),
    "threshold_power": (0.5, 2.0),
    "zenith of a target": (8.0, 25.0),
    "flux": (1e-11, 8e-11),
    "index of a source": (2.0, 2.8),
    "extension": (0.05, 0.2),
}
# What a truth may have besides, up to three of these.
FEATURES = {
    "curvature": lambda pick: {"curvature": pick("curvature")},
    "gradient": lambda pick: {"gradient": (pick("gradient"), pick("gradient"))},
    "ring": lambda pick: {name: pick(name) for name in RANGES if name.startswith("ring_")},
    "zenith": lambda pick: {name: pick(name) for name in ("zenith_power", "zenith_hardening")},
    "dead": lambda pick: {"dead": ((*_span(pick), *_span(pick)),)},
}
# Radii of masks, deg: 5 σ of a point source, and 3.7 σ of the widest.
MASK, WIDE_MASK = 0.4, 0.8
# Scored are bins wholly below so many TeV and within so many deg of the centre along both axes;
# of pixels that masks touch, those with this share of the largest exposure.
HIGHEST, FIELD, EXPOSED = 20.0, 2.0, 0.01
# Wider bins, in log10 E and in deg, are scored in parts.
WIDEST = 0.25
# Mean accuracies this close, relatively, are a tie.
TIE = 1e-3
# Of edges, as `simbg.exposure` has it.
ON_EDGE = 1e-9
SCORED = ("norm", "index", "width")
OURS = (
    *(rf"public/field-\d+/(?:{name})" for name in (*gadf.FILES, REGIONS)),
    r"(public|secret)/(seal|answer|scores)\.json",
    r"public/(README|scores)\.md",
    r"public/truth-field-\d+\.fits\.gz",
)


def draw_answer(n_fields, n_runs, rng=None):
    """An answer that nobody knows: plain values, of which JSON gives back every bit.

    Parameters
    ----------
    n_fields, n_runs : int
    rng : random.Random, optional
        Default: the entropy of the system.
    """
    rng = rng or secrets.SystemRandom()
    shining = rng.sample(range(n_fields), n_fields // 2 or rng.randint(0, 1))
    return {
        "schema": SCHEMA,
        "salt": f"{rng.getrandbits(256):064x}",
        # Runs are seen, so their seed is not that of the events.
        "run_seed": f"{rng.getrandbits(128):032x}",
        "event_seed": f"{rng.getrandbits(128):032x}",
        "fields": [_draw_field(rng, n_runs, k in shining) for k in range(n_fields)],
    }


def make_challenge(outdir, answer, executor=None, overwrite=False):
    """Write the stores and the seal of an answer, and, for its owner alone, the answer.

    Parameters
    ----------
    outdir : path-like
    answer : dict
        From `draw_answer`. The same makes the same bytes, with any executor.
    executor : concurrent.futures.Executor, optional
    overwrite : bool

    Returns
    -------
    digest : str
        SHA-256 of the file of the answer.
    """
    text = json.dumps(answer, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    digest = sha256(text).hexdigest()
    with new_directory(outdir, overwrite, OURS) as folder:
        public, secret = folder / "public", folder / "secret"
        public.mkdir()
        secret.mkdir(mode=0o700)
        handle = os.open(secret / "answer.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:
            file.write(text)
        _simulate(public, answer, executor)
        seal = {"schema": SCHEMA, "sha256": digest, "versions": _versions()}
        (public / "seal.json").write_text(_json(seal | {"files": _digests(public)}))
        ranges = "\n".join(f"| {name} | {a:g} | {b:g} |" for name, (a, b) in RANGES.items())
        readme = README.format(n=len(answer["fields"]), digest=digest, ranges=ranges, **LIMITS)
        (public / "README.md").write_text(readme)
    return digest


def reveal_challenge(outdir, models=(), executor=None, overwrite=False):
    """Check the answer against its seal and the stores, write the truths, and score models.

    Parameters
    ----------
    outdir : path-like
        Of `make_challenge`, or what was handed out, with the answer in it.
    models : sequence of path-like
        A folder for each group, with its name.
    executor : concurrent.futures.Executor, optional
    overwrite : bool
        Replace what an earlier reveal wrote and is not the same now.

    Returns
    -------
    scores : dict
        What scores.json has: "ranking" and "scores".

    Raises
    ------
    ValueError
        If the answer is not the one that was sealed, or a store is not its.
    """
    public = Path(outdir, "public") if Path(outdir, "public").is_dir() else Path(outdir)
    groups = _groups(models)
    text, seal = _opened(Path(outdir), public)
    _check(seal, public, f"{public}/{{}}: got other bytes than were sealed, or none")
    run = map if executor is None else executor.map
    with tempfile.TemporaryDirectory() as temporary:
        fields = _simulate(Path(temporary), json.loads(text), executor)
        versions = f"{seal['versions']}, here {_versions()}"
        _check(seal, temporary, f"answer: it makes another {{}} than was sealed with {versions}")
        jobs = [(Path(temporary, f"truth-{field[0].name}.fits.gz"), *field) for field in fields]
        written = dict(run(_truth_file, jobs)) | {"answer.json": text}
    rows = list(run(_score, [(*group, *field) for group in groups.items() for field in fields]))
    scores = {"ranking": _ranking(rows), "scores": rows}
    if groups:
        written |= {"scores.json": _json(scores).encode(), "scores.md": _markdown(scores).encode()}
    _put(public, written, overwrite)
    return scores


# The answer ---------------------------------------------------------------------------------


def _draw_field(rng, n_runs, shining):
    """A field as `_scenario` takes it."""

    def pick(name):
        return rng.uniform(*RANGES[name])

    has = rng.sample(sorted(FEATURES), rng.randint(0, 3))
    sigma = pick("sigma at 0.1 TeV")
    truth = GaussianTruth(
        index=pick("index"),
        normalization=rng.choice(("integral", "center")),
        event_rate=pick("event_rate"),
        sigma=(sigma, sigma * pick("sigma at 80 TeV, relative")),
        zenith_slope=0.0 if "zenith" in has else pick("zenith_slope"),
        peak=(pick("peak"), pick("peak")),
    )
    if has:
        shape = [item for feature in has for item in FEATURES[feature](pick).items()]
        truth = ShapedTruth(truth, **dict(shape))
    field = {
        "truth": asdict(truth),
        "n_obs": n_runs,
        "alt_range": (pick("lowest altitude"), 90.0),
        "az_range": (0.0, 360.0),
        "ontime": 1680.0,
        "deadtime_fraction": sorted(pick("deadtime_fraction") for _ in range(2)),
        "energy_threshold": pick("energy_threshold"),
        "threshold_power": pick("threshold_power"),
    }
    return field | (_draw_sources(rng, pick) if shining else {})


def _span(pick):
    low = pick("dead, low end")
    return low, low + pick("dead, size")


def _draw_sources(rng, pick):
    """One or two sources behind masks; all runs look at the first."""
    away = pick("zenith of a target")
    target = rng.uniform(0, 360), HESS_SITE.lat + rng.choice((-1, 1)) * away
    beside = map(float, offset_by(*target, rng.uniform(0, 360), rng.uniform(1.0, 1.4)))
    about = ((*target, 0.0, MASK), (*beside, pick("extension"), WIDE_MASK))[: rng.randint(1, 2)]
    sources = [
        GammaSource("masked", ra, dec, pick("flux"), pick("index of a source"), size)
        for ra, dec, size, _ in about
    ]
    return {
        "alt_range": (pick("lowest altitude"), 90 - away),
        "target": target,
        "sources": [asdict(source) for source in sources],
        "regions": [(ra, dec, radius) for ra, dec, _, radius in about],
    }


def _scenario(name, field):
    about = _tuples(field)
    truth = about["truth"]
    if "base" in truth:
        about["truth"] = ShapedTruth(**{**truth, "base": GaussianTruth(**truth["base"])})
    else:
        about["truth"] = GaussianTruth(**truth)
    about["sources"] = tuple(GammaSource(**source) for source in about.get("sources", ()))
    about["regions"] = tuple(circle(*region) for region in about.get("regions", ()))
    return Scenario(name, "", "", **about)


def _tuples(value):
    """With tuples in the place of JSON's lists."""
    if isinstance(value, dict):
        return {key: _tuples(part) for key, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


# Stores and their seal ----------------------------------------------------------------------


def _simulate(folder, answer, executor):
    """Write the stores of an answer; returns its scenarios and their runs."""
    fields = []
    for number, field in enumerate(answer["fields"], 1):
        scenario = _scenario(f"field-{number}", field)
        table = scenario.table(int(answer["run_seed"], 16))
        about = scenario.truth, table, scenario.site, int(answer["event_seed"], 16), scenario.name
        sky = {"sources": scenario.sources, "regions": scenario.regions}
        write_dataset(folder / scenario.name, *about, executor=executor, **sky)
        fields.append((scenario, table))
    return fields


def _digests(folder):
    """SHA-256 of each file of the stores."""
    files = (path for path in Path(folder).glob("field-*/**/*") if path.is_file())
    return {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in files}


def _versions():
    ours = {"simbg": __version__, "python": platform.python_version()}
    return ours | {module.__name__: module.__version__ for module in (np, scipy, astropy)}


def _json(value):
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _opened(outdir, public):
    """The text of the answer, which is the one that was sealed, and the seal."""
    path = public / "seal.json"
    try:
        seal = json.loads(path.read_text())
        schema, sealed, _, _ = (seal[key] for key in ("schema", "sha256", "versions", "files"))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: got no seal ({error!r}), expected that of a challenge"
        ) from error
    if schema != SCHEMA:
        raise ValueError(f"{path}: got schema {schema}, expected {SCHEMA}")
    paths = outdir / "secret" / "answer.json", public / "answer.json"
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"answer: got no {paths[0]} and no {paths[1]}, expected one")
    text = path.read_bytes()
    if (digest := sha256(text).hexdigest()) != sealed:
        raise ValueError(f"{path}: got SHA-256 {digest}, expected that of the seal, {sealed}")
    return text, seal


def _check(seal, folder, message):
    """Refuse stores of which a file is missing, new or different."""
    files, sealed = _digests(folder), seal["files"]
    for name in sorted(files.keys() | sealed.keys()):
        if files.get(name) != sealed.get(name):
            raise ValueError(message.format(name))


def _put(folder, written, overwrite):
    """Write what is not there yet; nothing, if some of it may not be replaced."""
    paths = {folder / name: content for name, content in written.items()}
    for path in [p for p in paths if p.is_file() and p.read_bytes() == paths[p]]:
        paths.pop(path)
    if there := [path for path in paths if path.exists() and not overwrite]:
        raise FileExistsError(f"{there[0]} exists and differs; --overwrite replaces it")
    for path, content in paths.items():
        with new_file(path, overwrite) as temporary:
            temporary.write_bytes(content)


# Truth and scores ---------------------------------------------------------------------------


def _true(scenario, table, axes):
    """The true cube at the runs' own exposure; a run exposes bins wholly above its threshold."""
    stack = scenario.true(table, axes, "drop")
    rate = stack.counts / np.where(stack.livetime > 0, stack.livetime, np.nan) / axes.volume
    return BackgroundCube(axes, rate, None, stack.counts, stack.livetime, stack.ontime)


def _truth_file(job):
    path, scenario, table = job
    write_cube(path, _true(scenario, table, edition2015_axes()))
    return path.name, path.read_bytes()


def _groups(models):
    """Folders by the names of their groups."""
    groups = {}
    for folder in map(Path, models):
        if not folder.is_dir():
            raise FileNotFoundError(f"models: got {folder}, expected a folder")
        if (name := folder.resolve().name) in groups:
            raise ValueError(f"models: got two folders {name}, expected a name for each group")
        groups[name] = folder
    return groups


def _score(job):
    """What a model is worth, or why nothing."""
    group, folder, scenario, table = job
    row = {"group": group, "field": scenario.name}
    names = f"{scenario.name}.fits", f"{scenario.name}.fits.gz"
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        return row | {"status": "missing", "reason": f"expected {names[0]} or {names[1]}"}
    try:
        model = read_model(path)
    except Exception as error:
        reason = " ".join(str(error).split()).replace(f"{folder}/", "")
        return row | {"status": "unreadable", "reason": reason}
    pair, status, reason = _pair(model, scenario, table)
    if pair is None:
        return row | {"status": status, "reason": reason}
    measures = {name: asdict(METRICS[name](pair)) for name in SCORED}
    lost, n_events = METRICS["lost_information"](pair).value, float(pair.expected.sum())
    total = {"q": lost, "n_events": n_events, "accuracy": float(np.sqrt(lost / n_events))}
    return row | {"status": "ok", "reason": ""} | measures | total


def _pair(model, scenario, table):
    """Truth and model over the model's own bins, or None, a status and the reason."""
    axes, threshold = model.axes, float(np.max(table["SAFE_ENERGY_LO"]))
    if axes.align != "ALTAZ":
        return None, "misaligned", f"got {axes.align}, expected ALTAZ"
    space = -FIELD, FIELD
    parts = []
    for name, edges, ends in (
        ("log10 energy", np.log10(axes.energy), np.log10((threshold, HIGHEST))),
        ("fov_lon", axes.fov_lon, space),
        ("fov_lat", axes.fov_lat, space),
    ):
        if edges[0] > ends[0] + ON_EDGE or edges[-1] < ends[1] - ON_EDGE:
            got = f"{name}: got {edges[0]:.4g} to {edges[-1]:.4g}"
            return None, "too small", f"{got}, expected {ends[0]:.4g} to {ends[1]:.4g}"
        parts.append(_parts(edges, *ends))
    (energy, lon, lat), sources = zip(*parts, strict=True)
    true = _true(scenario, table, Axes(10**energy, lon, lat))
    seen = true.livetime >= EXPOSED * true.livetime.max()
    dark = {name: np.where(seen, getattr(true, name), 0) for name in ("counts", "livetime")}
    true, rate = replace(true, **dark), model.rate[np.ix_(*sources)]
    if bad := np.count_nonzero(seen & ~(np.isfinite(rate) & (rate >= 0))):
        text = f"got {bad} rates of {seen.sum()} that are negative or NaN, expected 0 or more"
        return None, "no number", text
    # The clock is turned with the runs' own times, bin by bin, whatever the file says of them.
    own = {"livetime": true.livetime, "ontime": true.ontime, "clock": model.clock}
    return Pair(true, BackgroundCube(true.axes, rate, **own)), "ok", ""


def _parts(edges, low, high):
    """Edges of the bins wholly between two ends, wide ones in parts, and the bin of each."""
    number = np.maximum(1, np.ceil(np.diff(edges) / WIDEST - ON_EDGE)).astype(int)
    source = np.repeat(np.arange(number.size), number)
    share = (np.arange(source.size) - (np.cumsum(number) - number)[source]) / number[source]
    edges = np.append(edges[source] + share * np.diff(edges)[source], edges[-1])
    inside = np.flatnonzero((edges[:-1] >= low - ON_EDGE) & (edges[1:] <= high + ON_EDGE))
    return edges[inside[0] : inside[-1] + 2], source[inside]


def _ranking(rows):
    """Groups by the geometric mean of their accuracies."""
    known = {(row["group"], row["field"]): row["accuracy"] for row in rows if "accuracy" in row}
    names, fields = ({row[key]: 0 for row in rows} for key in ("group", "field"))
    # No model is no better than the worst, nor than a rate of 0.
    worst = {f: max([1.0, *(a for (_, g), a in known.items() if g == f)]) for f in fields}
    means = {
        name: float(np.exp(np.mean([np.log(known.get((name, f), worst[f])) for f in fields])))
        for name in names
    }
    lines = [
        {
            "rank": 1 + sum(other < mean * (1 - TIE) for other in means.values()),
            "group": name,
            "accuracy": mean,
            "n_fields": sum(group == name for group, _ in known),
        }
        for name, mean in means.items()
    ]
    return sorted(lines, key=lambda line: (line["rank"], line["group"]))


def _markdown(scores):
    """The table of the groups, and that of all files."""
    lines = ["# Scores", "", "| rank | group | accuracy | fields |", "|---|---|---|---|"]
    for line in scores["ranking"]:
        rank, group, mean, number = (line[k] for k in ("rank", "group", "accuracy", "n_fields"))
        lines.append(f"| {rank} | {_cell(group)} | {mean:.4g} | {number} |")
    head = ["group", "field", "status", *SCORED, "Q", "events", "accuracy"]
    lines += ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in scores["scores"]:
        cells = [_cell(row[key]) for key in ("group", "field", "status")]
        if row["status"] == "ok":
            measured = [row[name] for name in SCORED]
            cells += [f"{m['value']:.4f} ± {m['error']:.4f} for {m['ideal']:.4f}" for m in measured]
            cells += [f"{row[key]:.4g}" for key in ("q", "n_events", "accuracy")]
        else:
            cells += [_cell(row["reason"]), *[""] * 5]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _cell(text):
    return text.replace("|", r"\|")


LIMITS = {"highest": HIGHEST, "field": FIELD, "exposed": EXPOSED, "widest": WIDEST, "tie": TIE}
README = """# A blind challenge: background models

{n} fields, each a GADF data store of simulated runs. Nobody knows their truths: they were drawn at
random, and `seal.json` holds the SHA-256 of the answer,

    {digest}

and that of each file of the stores.

## What is asked

For each `field-K` one background model for all of its runs: `field-K.fits` or `field-K.fits.gz`, in
a folder called by the name of your group. `BKG_3D`, `BKG_2D` (per observation time) or the table
or image of 2015 (per livetime); ALTAZ-aligned; over axes of your own, which reach from the highest
`SAFE_ENERGY_LO` of the runs to {highest:g} TeV and to ±{field:g} deg. It is the rate of the background
alone, averaged over the exposure of the runs. In a field with a `regions.reg` gamma-ray sources
shine: they are inside of these regions of the sky, and nowhere else.

## How it is scored

λ are the true counts, m those of the model, over the model's own bins that lie wholly in that range,
at the exposure that the runs and regions leave there; a rate per observation time is turned with
the runs' own dead times. Bins wider than {widest:g} in log10 E or {widest:g} deg are cut, with the
same rate in each part. Pixels with less than {exposed:g} of the largest exposure do not count.

- norm, index, width: as in simbg's `validation/STATISTICS.md`, with the error that the best unbiased
  model of these runs would have, and the true value.
- Q = Σ (m − λ)²/λ over the bins with λ > 0: for an unbiased fit the number of its parameters, for
  raw counts that of the bins. Accuracy is √(Q / Σλ), the relative rms error of the rate.
- The rank is that of the geometric mean of the accuracies of all fields, the smallest first. A file
  that is missing, unreadable, misaligned, too small or without a number in a scored bin counts as the
  worst accuracy of any group in the field, and as 1 at least, which a rate of 0 has. A rank is one
  more than the number of groups that are better by more than {tie:g} of their mean accuracy.

## What was drawn

Of these ranges, uniformly: an index, a rate in Hz, widths and a place of the peak in deg, and up to
three of a curvature, a gradient, a ring, a zenith dependence and a dead rectangle of the camera; half
of the fields have sources (cm-2 s-1 TeV-1, deg). simbg's `ShapedTruth`, `GammaSource` and `Scenario`
say what they mean.

| parameter | from | to |
|---|---|---|
{ranges}

## Afterwards

The organisers run `simbg challenge reveal`, which adds `answer.json`, the true cubes, and the scores.
With these anyone can run `simbg challenge reveal` on this folder: it holds the answer against the
seal (`sha256sum answer.json`), and makes the stores again and compares all bytes, for which it
wants the versions in `seal.json`.
"""
