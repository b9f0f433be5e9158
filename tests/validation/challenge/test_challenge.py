"""Blind challenges: nothing is known before, nothing can be changed later, scores are fair."""

import gzip
import json
import random
import re
import secrets
import shutil
import stat
import struct
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from numpy.testing import assert_allclose

from simbg.axes import Axes
from simbg.io.cubes import read_cube, write_cube
from simbg.io.gadf.store import GadfStore
from simbg.io.safe_files import write_fits
from simbg.reconstruction.histogram import Histogram
from simbg.validation.challenge.answers import draw_answer, experiments_of
from simbg.validation.challenge.scores import ranking, score_model
from simbg.validation.challenge.sealing import make_challenge, reveal_challenge
from simbg.validation.metrics.poisson import sigmas

SEED = 11
N_SIGMA = sigmas(1e-5)  # false-alarm rate of each comparison with a truth
EVENTS = "field-1/data/simbg_obs_000001.fits.gz"
# Covers what is scored, with edges on none of its ends; no two lengths are the same.
AXES = Axes(np.geomspace(0.1, 30, 12), np.linspace(-3.1, 3.2, 16), np.linspace(-3.3, 3.1, 17))


@pytest.fixture(scope="module")
def answer():
    return draw_answer(2, 2, random.Random(SEED))


@pytest.fixture(scope="module")
def made(answer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("challenge") / "blind"
    make_challenge(folder, answer)
    return folder


@pytest.fixture
def blind(made, tmp_path):
    """A copy to spoil."""
    shutil.copytree(made, tmp_path / "blind")
    return tmp_path / "blind"


@pytest.fixture(scope="module")
def fields(answer):
    """The experiment of each field."""
    return experiments_of(answer)


def numbers(value):
    """All floats in nested plain values."""
    if isinstance(value, dict | list | tuple):
        parts = value.values() if isinstance(value, dict) else value
        return [number for part in parts for number in numbers(part)]
    return [value] if isinstance(value, float) else []


def contents(folder):
    """Each file below a folder, uncompressed."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        yield path, gzip.decompress(content) if path.suffix == ".gz" else content


# What is handed out ---------------------------------------------------------------------------


def test_answers_are_drawn_in_the_ranges_that_are_handed_out(made):
    """Also of ratios and sums of what is drawn; with and without each feature."""
    text = (made / "public" / "README.md").read_text()
    ranges = {
        name: (low, high) for name, low, high in re.findall(r"\| (.+) \| (.+) \| (.+) \|", text)
    }
    drawn = [draw_answer(4, 5, random.Random(seed)) for seed in range(30)]
    fields = [field for answer in drawn for field in answer["fields"]]
    for name in ("index", "event_rate", "zenith_slope"):
        values = np.array([field["truth"][name] for field in fields])
        low, high = map(float, ranges[name])
        values = values[values != 0]
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high
    for feature in ("curvature", "gradient", "ring_depth", "zenith_power", "dead"):
        assert 0.1 < np.mean([feature in field["shape"] for field in fields]) < 0.6
    assert all(sum("sources" in f for f in answer["fields"]) == 2 for answer in drawn)
    # Whatever is drawn makes an experiment.
    experiments = [one for answer in drawn[:10] for one in experiments_of(answer)]
    assert {len(one.runs) for one in experiments} == {5}


def test_answers_are_not_guessed():
    """Without a generator there is no seed; salt and seeds are as long as their hash needs."""
    one, other = draw_answer(1, 1), draw_answer(1, 1)
    for key in ("salt", "run_seed", "event_seed", "fields"):
        assert one[key] != other[key]
    assert [len(one[key]) for key in ("salt", "run_seed", "event_seed")] == [64, 32, 32]
    assert one["run_seed"] != one["event_seed"]
    assert draw_answer(2, 3, random.Random(1)) == draw_answer(2, 3, random.Random(1))


def test_seal_is_the_hash_of_the_answer(made, answer):
    text = (made / "secret" / "answer.json").read_bytes()
    seal = json.loads((made / "public" / "seal.json").read_text())
    assert seal["sha256"] == sha256(text).hexdigest()
    assert seal["sha256"] in (made / "public" / "README.md").read_text()
    assert json.loads(text) == json.loads(json.dumps(answer))
    assert {p.name for p in (made / "public").iterdir()} == {
        *("README.md", "seal.json", "field-1", "field-2")
    }
    assert seal["files"].keys() == {
        path.relative_to(made / "public").as_posix()
        for path in (made / "public").glob("field-*/**/*")
        if path.is_file()
    }


def test_answer_is_its_owners_alone(made):
    modes = [stat.S_IMODE((made / "secret" / name).stat().st_mode) for name in ("", "answer.json")]
    assert modes == [0o700, 0o600]


def test_no_number_of_the_truth_is_handed_out(made, answer):
    """Neither as text, as headers have it, nor as a double."""
    secret = [number for field in answer["fields"] for number in numbers(field["truth"])]
    secret += [number for field in answer["fields"] for number in numbers(field["shape"])]
    shining = [source for field in answer["fields"] for source in field.get("sources", ())]
    secret += [source[name] for source in shining for name in ("flux", "index")]
    secret = [number for number in secret if number not in (0.0, 1.0)]
    assert len(secret) > 20

    def found(number, content):
        forms = f"{number!r}"[:12].encode(), struct.pack(">d", number), struct.pack("<d", number)
        return any(form in content for form in forms)

    words = [answer[key].encode() for key in ("salt", "run_seed", "event_seed")]
    everything = [content for _, content in contents(made / "public")]
    for content in everything:
        assert not [number for number in secret if found(number, content)]
        assert not [word for word in words if word in content]
    # Control: what is no secret is found, as text and as a double.
    ra, _, _ = next(field["regions"] for field in answer["fields"] if "regions" in field)[0]
    assert any(f"{ra:.6f}".encode() in content for content in everything)
    livetime = Table.read(made / "public" / "field-1" / "obs-index.fits.gz")["LIVETIME"][0]
    assert any(found(livetime, content) for content in everything)


def test_but_for_the_events_nothing_depends_on_the_truth(made, answer, tmp_path):
    """Another truth with the same seeds: the same index and headers, and no time of making."""
    other = json.loads(json.dumps(answer))
    for field in other["fields"]:
        field["truth"] |= {"index": 2.2, "event_rate": 3.0, "peak": [0.5, 0.5]}
        field["shape"] = {"curvature": 0.4}
        for source in field.get("sources", ()):
            source |= {"flux": 1e-9, "index": 3.0}
    make_challenge(tmp_path / "other", other)
    names = [path.relative_to(made) for path, _ in contents(made / "public" / "field-1")]
    names += [path.relative_to(made) for path, _ in contents(made / "public" / "field-2")]
    for name in names:
        one, two = (folder / name for folder in (made, tmp_path / "other"))
        if "data" not in name.parts:
            assert one.read_bytes() == two.read_bytes()
            continue
        # RFC 1952: no time, and no name of a file.
        assert one.read_bytes()[3:8] == bytes(5)
        with fits.open(one) as a, fits.open(two) as b:
            assert [hdu.name for hdu in a] == ["PRIMARY", "EVENTS", "GTI", "AEFF"]
            for left, right in zip(a, b, strict=True):
                size = {"NAXIS2"} if left.name == "EVENTS" else set()
                assert {k for k in left.header if left.header[k] != right.header[k]} == size
            assert a["EVENTS"].columns.names == ["EVENT_ID", "TIME", "RA", "DEC", "ENERGY"]
            assert (a["EVENTS"].data["EVENT_ID"] == np.arange(1, len(a["EVENTS"].data) + 1)).all()
            assert (np.diff(a["EVENTS"].data["TIME"]) >= 0).all()


def test_a_field_with_sources_says_where(made, answer):
    k = next(k for k, field in enumerate(answer["fields"]) if "sources" in field)
    regions = (made / "public" / f"field-{k + 1}" / "regions.reg").read_text()
    assert regions.count("circle") == len(answer["fields"][k]["sources"])
    assert not (made / "public" / f"field-{2 - k}" / "regions.reg").exists()


# Opening --------------------------------------------------------------------------------------


def test_reveal(blind, answer, fields, tmp_path):
    """By its owner, and then by anyone who has what was handed out and the answer."""
    scores = reveal_challenge(blind)
    assert scores == {"ranking": [], "scores": []}
    public = blind / "public"
    assert json.loads((public / "answer.json").read_text()) == json.loads(json.dumps(answer))
    for field in fields:
        written = read_cube(public / f"truth-{field.scenario.name}.fits.gz").per("livetime")
        expected = field.true_cube(written.axes)
        seen = expected.livetime > 0
        assert_allclose(written.rate[seen], expected.rate[seen], rtol=1e-6)  # float32
    shutil.copytree(public, tmp_path / "handed out")
    before = dict(contents(tmp_path / "handed out"))
    reveal_challenge(tmp_path / "handed out")
    assert dict(contents(tmp_path / "handed out")) == before


def test_nothing_to_reveal(blind):
    with pytest.raises(FileNotFoundError, match=r"answer: got neither .*answer\.json"):
        reveal_challenge(blind / "public")
    with pytest.raises(FileNotFoundError, match=r"seal\.json"):
        reveal_challenge(blind / "secret")


def edit_json(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def reseal(blind):
    """As an organiser might who wants another answer, or other stores, than he sealed."""
    public = blind / "public"
    digest = sha256((blind / "secret" / "answer.json").read_bytes()).hexdigest()
    files = {
        path.relative_to(public).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in public.glob("field-*/**/*")
        if path.is_file()
    }
    edit_json(public / "seal.json", lambda seal: seal.update(sha256=digest, files=files))


def edit_events(path, change):
    with fits.open(path) as hdus:
        change(hdus["EVENTS"].data)
        content = [hdu.copy() for hdu in hdus]
        write_fits(path, content, overwrite=True)


def shift(by):
    """Of the energy of the first event."""

    def change(data):
        data["ENERGY"][0] *= 1 + by

    return change


def other_answer(blind):
    edit_json(blind / "secret" / "answer.json", lambda a: a["fields"][0]["truth"].update(index=2.5))


SPOILED = {
    "answer": (other_answer, "got SHA-256 .*, expected that of the seal"),
    "answer and seal": (lambda b: (other_answer(b), reseal(b)), "answer: got another field-1"),
    "no answer in it": (
        lambda b: ((b / "secret/answer.json").write_text("{}"), reseal(b)),
        r"answer: got invalid fields \(KeyError",
    ),
    "truth of no kind": (
        lambda b: (
            edit_json(b / "secret/answer.json", lambda a: a["fields"][0]["truth"].update(a=1)),
            reseal(b),
        ),
        r"answer: got invalid fields \(TypeError",
    ),
    **{
        f"{key} is {value}": (
            lambda b, key=key, value=value: (
                edit_json(b / "secret/answer.json", lambda a: a["fields"][0].update({key: value})),
                reseal(b),
            ),
            "answer: got",
        )
        for key, value in {
            "alt_range": None,
            "threshold_power": [],
            "energy_threshold": {},
            "n_obs": "x",
            "ontime": "x",
            "deadtime_fraction": [1, [2]],
            "truth": 1,
            "az_range": [[0], 10**300],
        }.items()
    },
    "deep nesting": (
        lambda b: ((b / "secret/answer.json").write_text("[" * 100_000), reseal(b)),
        "answer: .*JSON",
    ),
    "event": (lambda b: edit_events(b / "public" / EVENTS, shift(1e-6)), "got another file"),
    "event and seal": (
        lambda b: (edit_events(b / "public" / EVENTS, shift(1e-6)), reseal(b)),
        "answer: got another field-1/data/simbg_obs_000001",
    ),
    "file that is gone": (
        lambda b: (b / "public" / EVENTS).unlink(),
        "data/simbg_obs_000001.fits.gz: got",
    ),
    "file more": (lambda b: (b / "public/field-1/hint").touch(), "got another file"),
    "file more and seal": (
        lambda b: ((b / "public/field-1/hint").touch(), reseal(b)),
        "answer: .*another field-1/hint .*numpy",
    ),
    "seal": (lambda b: (b / "public/seal.json").write_text("[]"), "got an invalid seal"),
    "seal without files": (
        lambda b: edit_json(b / "public/seal.json", lambda s: s.update(files=3)),
        "got an invalid seal",
    ),
    "schema": (
        lambda b: edit_json(b / "public/seal.json", lambda s: s.update(schema=99)),
        "got schema 99, expected 1",
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_was_changed_is_refused(blind, case):
    """In one line, and nothing is written."""
    spoil, message = SPOILED[case]
    spoil(blind)
    before = dict(contents(blind))
    with pytest.raises(ValueError, match=message):
        reveal_challenge(blind)
    assert dict(contents(blind)) == before


def test_another_machine_may_round_and_compress_in_its_own_way(blind):
    """The last digit of an energy, and another level of gzip: still the same events."""
    edit_events(blind / "public" / EVENTS, shift(3e-16))
    path = blind / "public" / "field-1" / "obs-index.fits.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 9, mtime=0))
    reseal(blind)
    reveal_challenge(blind)


# Scores ---------------------------------------------------------------------------------------


@pytest.fixture
def judge(fields, tmp_path):
    """Score a cube, written as a file of a kind, in the first field."""

    def judge(cube, kind="gadf"):
        (tmp_path / "group").mkdir(exist_ok=True)
        write_cube(tmp_path / "group" / "field-1.fits", cube, kind, overwrite=True)
        return score_model("group", tmp_path / "group", fields[0])

    return judge


@pytest.fixture
def true(fields):
    return fields[0].true_cube(AXES)


def filled(cube):
    """Below the threshold nothing is known: a rate of 0."""
    return replace(cube, rate=np.nan_to_num(cube.rate))


def test_the_truth_itself(judge, true):
    row = judge(filled(true))
    assert row["status"] == "ok", row["reason"]
    # Some float32's, relative.
    assert row["accuracy"] < 1e-6
    for name in ("norm", "index", "width"):
        assert_allclose(row[name]["value"], row[name]["ideal"], rtol=1e-6)


@pytest.mark.parametrize("factor", [0.0, 0.9, 1.3, 1e20])
def test_a_norm_is_its_accuracy(judge, true, factor):
    cube = filled(true)
    row = judge(replace(cube, rate=factor * cube.rate))
    assert_allclose(row["accuracy"], abs(factor - 1), rtol=1e-4)  # float32 / 0.1
    assert_allclose(row["norm"]["value"], factor, rtol=1e-6)


def test_either_clock_is_the_same(judge, true):
    """BKG_3D is per observation time, 2015's table per livetime."""
    cube = filled(true)
    cube = replace(cube, rate=1.1 * cube.rate, ontime=np.maximum(cube.ontime, 1e-300))
    a, b = judge(cube), judge(cube, "table")
    assert_allclose(a["accuracy"], b["accuracy"], rtol=1e-5)  # float32 / 0.1
    # Control: the dead time is far larger than that.
    alive = cube.livetime.max() / cube.ontime.max()
    assert alive < 0.98
    slow = judge(replace(cube, ontime=cube.livetime))
    assert_allclose(slow["norm"]["value"], 1.1 / alive, rtol=1e-6)  # float32


def test_counts_cost_their_bins(made, fields, tmp_path):
    """E[Q] of raw counts is the number of bins, and its variance 2 + 1/λ a bin."""
    field = next(field for field in fields if not field.scenario.regions)
    axes = Axes(AXES.energy, np.linspace(-3.1, 3.2, 30), np.linspace(-3.3, 3.1, 31))
    store = GadfStore(made / "public" / field.scenario.name)
    cube = Histogram().reconstruct(store.observations(store.table), axes)
    write_cube(tmp_path / f"{field.scenario.name}.fits", filled(cube))
    row = score_model("counted", tmp_path, field)
    threshold = np.max(field.runs["SAFE_ENERGY_LO"])
    inside = [
        (edges[:-1] >= bottom) & (edges[1:] <= top)
        for edges, bottom, top in (
            (axes.energy, threshold, 20.0),
            (axes.fov_lon, -3.0, 3.0),
            (axes.fov_lat, -3.0, 3.0),
        )
    ]
    counts = field.true_cube(axes).counts[np.ix_(*inside)]
    counts = counts[counts > 0]
    assert_allclose(row["n_events"], counts.sum())
    assert counts.size > 1000
    assert abs(row["q"] - counts.size) < N_SIGMA * np.sqrt(np.sum(2 + 1 / counts))
    assert abs(row["norm"]["value"] - 1) < N_SIGMA / np.sqrt(counts.sum())


def test_wide_bins_are_worse(judge, fields, true):
    """The average over the whole field, exact as it is, is no model of it."""
    wide = Axes(AXES.energy, [-3.2, 0.0, 3.2], [-3.2, 0.0, 3.2])
    row = judge(filled(fields[0].true_cube(wide)))
    assert row["accuracy"] > 100 * judge(filled(true))["accuracy"]
    assert row["accuracy"] > 0.05


def one_is(value):
    def change(cube):
        rate = cube.rate.copy()
        rate[-3, 4, 5] = value
        return replace(cube, rate=rate)

    return change


REFUSED = {
    "NaN": (one_is(np.nan), r"got 1 of \d+ rates that are negative"),
    "negative": (one_is(-1e-9), r"got 1 of \d+ rates that are negative"),
    "infinite": (one_is(np.inf), r"got 1 of \d+ infinite rates"),
    "RADEC": (
        lambda c: replace(c, axes=replace(c.axes, align="RADEC")),
        "got a model aligned with RADEC, expected ALTAZ",
    ),
    "narrow": (
        lambda c: replace(c, axes=replace(c.axes, fov_lon=0.9 * c.axes.fov_lon)),
        "got fov_lon from -2.79 to 2.88, expected at least -3 to 3",
    ),
    "low": (
        lambda c: replace(c, axes=replace(c.axes, energy=0.5 * c.axes.energy)),
        "got log10 energy from -1.301 to 1.176, expected at least",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_models_that_are_refused(judge, true, case):
    change, message = REFUSED[case]
    row = judge(change(filled(true)))
    assert row["status"] == "refused"
    assert re.search(message, row["reason"]), row["reason"]
    assert "accuracy" not in row


def test_files_that_are_no_models(tmp_path, fields):
    row = score_model("g", tmp_path, fields[0])
    assert (row["status"], row["reason"]) == (
        "missing",
        "expected field-1.fits or field-1.fits.gz",
    )
    (tmp_path / "field-1.fits").write_bytes(b"SIMPLE  =                    T")
    row = score_model("g", tmp_path, fields[0])
    assert row["status"] == "refused"
    assert row["reason"].startswith("field-1.fits: ")


def row_of(group, field, accuracy=None):
    known = {} if accuracy is None else {"accuracy": accuracy}
    return {"group": group, "field": field, "status": "missing", "reason": ""} | known


def test_ranking():
    """Nothing is worse than no model, and no model is a rate of 0."""
    rows = [
        *(row_of("good", 1, 0.1), row_of("good", 2, 0.1)),
        *(row_of("same", 1, 0.1), row_of("same", 2, 0.1)),
        *(row_of("one", 1, 0.04), row_of("one", 2)),
        *(row_of("awful", 1, 30.0), row_of("awful", 2, 0.5)),
        *(row_of("none", 1), row_of("none", 2)),
        *(row_of("exact", 1, 0.0), row_of("exact", 2, 0.0)),
    ]
    ranks = ranking(rows)
    assert [(r["rank"], r["group"], r["n_fields"]) for r in ranks] == [
        (1, "exact", 2),
        (2, "good", 2),
        (2, "same", 2),
        (4, "one", 1),
        (5, "awful", 2),
        (6, "none", 0),
    ]
    assert_allclose([r["accuracy"] for r in ranks[1:]], [0.1, 0.1, 0.2, 0.5**0.5, 1.0])


# As a newcomer --------------------------------------------------------------------------------


def test_from_challenge_to_scores(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Of two runs of any field a histogram may be no better than nothing: not of these.
    monkeypatch.setattr(secrets, "SystemRandom", lambda: random.Random(SEED))
    about = ("--fields", 2, "--runs", 2, "--jobs", 1)
    code, out, _ = run("challenge", "make", "blind", *about)
    assert code == 0
    digest = json.loads((tmp_path / "blind/public/seal.json").read_text())["sha256"]
    assert digest in out
    assert "only blind/public" in out
    # Groups see no more than this.
    for name, counts in (("alice", None), ("bob|2", "nothing")):
        (tmp_path / name).mkdir()
        for k in (1, 2):
            store = GadfStore(tmp_path / "blind" / "public" / f"field-{k}")
            runs = store.observations(store.table)
            cube = filled(Histogram().reconstruct(runs, AXES))
            if counts == "nothing":
                cube = replace(cube, rate=0 * cube.rate)
            if (name, k) != ("bob|2", 2):
                write_cube(tmp_path / name / f"field-{k}.fits", cube)
    models = ("--models", "alice", "--models", "bob|2")
    code, out, _ = run("challenge", "score", "blind", *models, "--jobs", 1)
    assert code == 0
    assert re.search(r"1\. alice: accuracy 0\.\d+\n +2\. bob\|2: accuracy 1\n", out)
    assert "bob|2 field-2: missing, expected field-2.fits or field-2.fits.gz" in out
    scores = json.loads((tmp_path / "blind/public/scores.json").read_text())
    assert [line["group"] for line in scores["ranking"]] == ["alice", "bob|2"]
    table = (tmp_path / "blind/public/scores.md").read_text()
    assert "| 1 | alice |" in table
    # A name is no border of a cell.
    assert r"| bob\|2 | field-2 | missing |" in table
    # Once more it is the same; other scores replace no old ones unasked.
    assert run("challenge", "score", "blind", *models, "--jobs", 1)[0] == 0
    code, _, err = run("challenge", "score", "blind", *models[:2], "--jobs", 1)
    assert code == 2
    assert "scores.json exists and differs; " in err
    # Nor does another challenge.
    code, _, err = run("challenge", "make", "blind", *about)
    assert code == 2
    assert "blind exists; " in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("conceal", "blind"), "conceal"),
        (("make", "blind", "--models", "a"), "--models"),
        (("score", "blind", "--runs", "3"), "--runs"),
        (("score", "blind"), "blind/seal.json"),
        (("score", "blind", "--models", "nobody"), "nobody"),
    ],
)
def test_bad_usage_is_one_line(run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("challenge", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
