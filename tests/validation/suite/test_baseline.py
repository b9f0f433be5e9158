"""The gate: a worse method is named, an unchanged one is silent, a foreign file is refused."""

import json
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats

from simbg.reconstruction import edition2015
from simbg.reconstruction.registry import METHODS
from simbg.simulation.library import SCENARIOS
from simbg.validation.suite import baseline
from simbg.validation.suite.baseline import Losses, stable_poisson

# Of each statistical test; the draws are the same for ever.
FALSE_ALARM = 1e-6
N_REPLICATES = 20
FILE = "losses.jsonl"
KEY = ("night", "0123", "histogram", "index")
# What `stable_poisson` drew when it was written.
DRAWS = {
    0: [4, 3, 2, 9, 5, 2, 3, 3, 0, 2, 2, 3],
    1: [3, 5, 5, 2, 5, 1, 1, 2, 6, 0, 0, 5],
    3: [0, 0, 0, 1, 7, 19, 254, 49960],
}


@pytest.fixture
def one_night(monkeypatch):
    """The gate over one small scenario and two methods."""
    monkeypatch.setattr(baseline, "SCENARIOS", {"night": SCENARIOS["night"]})
    monkeypatch.setattr(baseline, "METHODS", {n: METHODS[n] for n in ("histogram", "default")})


def changes(old, new):
    return Losses(new).changes_since(old)


def flat(*values, key=KEY):
    """Losses that scatter by a tenth about a value."""
    scatter = np.random.default_rng(3).normal(0, 0.1, (len(values), N_REPLICATES))
    return Losses(
        {
            (*key[:3], f"{key[3]}{i or ''}"): (v + row).tolist()
            for i, (v, row) in enumerate(zip(values, scatter, strict=True))
        }
    )


# Draws ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [1e-5, 0.01, 0.5, 3.3, 30.0, 1000.0])
def test_draws_are_poisson(mean):
    """100,000 draws against the distribution: χ² over its values, rare ones together."""
    counts = stable_poisson(np.full(100_000, mean), "draws", 1)
    edges = np.unique(stats.poisson.ppf(np.linspace(0, 1, 40)[1:-1], mean))
    cumulative = np.r_[0, stats.poisson.cdf(edges, mean), 1]
    expected = 100_000 * np.diff(cumulative)
    observed = np.bincount(np.searchsorted(edges, counts), minlength=edges.size + 1)
    keep = expected > 0
    assert stats.chisquare(observed[keep], expected[keep]).pvalue > FALSE_ALARM
    assert abs(counts.sum() - 1e5 * mean) < 5 * np.sqrt(1e5 * mean)


def test_draws_of_large_means():
    counts = stable_poisson(np.full(10_000, 4e6), "draws", 2)
    assert stats.kstest((counts - 4e6) / 2000, "norm").pvalue > FALSE_ALARM


def test_draws_are_the_same_for_ever():
    """From the bits of PCG64, which numpy keeps; its distributions may change."""
    means = np.array([0.0, 1e-13, 0.02, 0.7, 3.3, 19.0, 240.0, 5e4])
    assert stable_poisson(means, "a name", 3).tolist() == DRAWS[3]
    for number in (0, 1):
        assert stable_poisson(np.full(12, 3.3), "a name", number).tolist() == DRAWS[number]


def test_draws_hardly_change_with_the_expectation():
    """What makes pairs: 1 % more expected moves few counts, and none down."""
    means = np.full(10_000, 2.0)
    before, after = (stable_poisson(m, "pairs", 1) for m in (means, 1.01 * means))
    moved = after - before
    assert moved.min() == 0
    assert moved.max() == 1
    assert 100 < moved.sum() < 300


# Changes ----------------------------------------------------------------------------------


def test_unchanged_code_is_silent(one_night):
    losses = Losses.measure()
    found = changes(losses, Losses.measure(ThreadPoolExecutor(1)))
    good, lines = found.good, found.lines
    assert good
    assert len(lines) == 1
    assert str(len(losses)) in lines[0]


def test_results_do_not_depend_on_the_executor(one_night):
    with ProcessPoolExecutor(2) as pool:
        assert Losses.measure(pool) == Losses.measure()


def test_smoothing_once_more_is_found(one_night, monkeypatch, tmp_path):
    """With its name, where, what, how large and how significant; the histogram is not blamed."""
    Losses.measure().write(tmp_path)
    monkeypatch.setattr(edition2015, "n_passes", lambda n: 6)
    found = changes(Losses.read(tmp_path), Losses.measure())
    good, lines = found.good, found.lines
    assert not good
    worse = {(c.method, c.metric): c for c in found if c.status == "worse"}
    assert {
        ("default", "width"),
        ("default", "ring"),
        ("default", "lost_information"),
    } <= worse.keys()
    assert {method for method, _ in worse} == {"default"}
    change = worse["default", "width"]
    assert change.size / change.error > 6
    assert lines[0].startswith("night default ")
    (text,) = [line for line in lines if " width:" in line]
    assert "worse, loss" in text
    assert f"{change.size / change.error:+.1f} σ" in text


def test_improvement_is_better():
    found = changes(flat(2.0), flat(1.0))
    (change,) = found
    assert change.status == "better"
    assert found.good
    assert found.lines == [change.text]


def test_improvement_within_the_noise_is_none():
    old = flat(1.0)
    rng = np.random.default_rng(44)
    new = {KEY: (np.array(old[KEY]) - 0.02 + rng.normal(0, 0.1, N_REPLICATES)).tolist()}
    assert changes(old, new)[0].status == "same"


def test_worse_beyond_the_margin_only():
    """Steady shifts: within a tenth of a standard error nothing fails, above it does."""
    old = flat(1.0)
    shifted = {key: [v + 0.09 for v in values] for key, values in old.items()}
    assert changes(old, shifted)[0].status == "same"
    shifted = {key: [v + 0.11 for v in values] for key, values in old.items()}
    (change,) = changes(old, shifted)
    assert change.status == "worse"
    assert change.old == pytest.approx(np.mean(old[KEY]))


def test_worse_must_be_significant():
    """Larger than the margin, but well within its scatter."""
    rng = np.random.default_rng(15)
    old = {KEY: rng.normal(1, 1, N_REPLICATES).tolist()}
    new = {KEY: (np.array(old[KEY]) + 0.2 + rng.normal(0, 1, N_REPLICATES)).tolist()}
    assert changes(old, new)[0].status == "same"


def test_margin_of_information_is_relative():
    key = (*KEY[:3], "lost_information")
    old = {key: (5e4 + np.arange(N_REPLICATES)).tolist()}
    for factor, status in ((1.009, "same"), (1.011, "worse"), (0.98, "better")):
        new = {key: (factor * np.array(old[key])).tolist()}
        assert changes(old, new)[0].status == status


def test_false_alarms_of_the_gate():
    """Methods that differ by noise alone, 150 gates of 144 losses: at most 2 at a rate of 1e-3."""
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(150):
        old = {
            (*KEY[:3], str(i)): row for i, row in enumerate(rng.normal(1, 0.6, (144, N_REPLICATES)))
        }
        new = {key: row + rng.normal(0, 0.3, N_REPLICATES) for key, row in old.items()}
        alarms += not changes(old, new).good
    assert alarms <= 2


def test_edited_scenario_has_no_baseline():
    """Another digest: what is new is new and what is gone is gone, and neither fails."""
    other = flat(9.0, key=("night", "4567", *KEY[2:]))
    kept = flat(1.0, key=("seed-2015", "89ab", *KEY[2:]))
    found = changes(flat(1.0) | kept, other | kept)
    assert sorted(c.status for c in found) == ["gone", "new", "same"]
    good, lines = found.good, found.lines
    assert good
    assert sorted(lines) == ["night histogram index: gone", "night histogram index: new"]


def test_foreign_baseline_fails():
    """A gate that has nothing to compare with holds nothing."""
    found = changes(flat(1.0, key=("night", "4567", *KEY[2:])), flat(1.0))
    good, lines = found.good, found.lines
    assert not good
    assert "--update-baseline" in lines[0]


def test_hole_in_a_baseline_fails():
    """A metric that is not kept, of a method that is: the file was cut."""
    new = flat(1.0, 1.0)
    old = {key: values for key, values in new.items() if key[3] == "index"}
    found = changes(old, new)
    good, lines = found.good, found.lines
    assert not good
    assert lines == ["night histogram index1: incomplete"]


def test_what_is_no_longer_measured_fails():
    """The same scenario, but a metric that has become NaN: lost, not gone."""
    old = flat(1.0, 1.0)
    new = {key: values for key, values in old.items() if key[3] == "index"}
    found = changes(old, new)
    good, lines = found.good, found.lines
    assert not good
    assert lines == ["night histogram index1: lost"]


def test_digest_is_in_the_key(one_night, monkeypatch):
    before = {key[1] for key in Losses.measure()}
    edited = replace(SCENARIOS["night"], ontime=1000.0)
    monkeypatch.setattr(baseline, "SCENARIOS", {"night": edited})
    assert before == {SCENARIOS["night"].digest}
    assert {key[1] for key in Losses.measure()} == {edited.digest}


def test_failures_come_first():
    old, new = flat(1.0, 1.0, key=(*KEY[:3], "b")), flat(0.5, 2.0, key=(*KEY[:3], "b"))
    assert [line.split()[2] for line in changes(old, new).lines] == ["b1:", "b:"]


# Files ------------------------------------------------------------------------------------


def test_round_trip(tmp_path):
    """To ten digits, in an order of its own; writing again gives the same bytes."""
    losses = flat(1.0, 1 / 3, 12345.678)
    losses.write(tmp_path / "new")
    read = Losses.read(tmp_path / "new")
    assert read.keys() == losses.keys()
    for key, values in losses.items():
        np.testing.assert_allclose(read[key], values, rtol=1e-9)
    text = (tmp_path / "new" / FILE).read_bytes()
    Losses(reversed(read.items())).write(tmp_path / "new")
    assert (tmp_path / "new" / FILE).read_bytes() == text
    assert_array_equal(list(read), sorted(read))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such baseline") as caught:
        Losses.read(tmp_path)
    assert "\n" not in str(caught.value)


def line(**change):
    names = ("scenario", "digest", "method", "metric")
    record = {"schema": 1, **dict(zip(names, KEY, strict=True)), "losses": [1.0] * N_REPLICATES}
    return json.dumps({k: v for k, v in {**record, **change}.items() if v is not None})


def test_numbered_replicates_are_pairs():
    """Of a longer and a shorter list, those with the same numbers are compared."""
    old = {KEY: [1.0, 2.0, 3.0, 4.0, 9.0, 9.0]}
    (change,) = Losses({KEY: [1.5, 2.5, 3.5, 4.5]}).changes_since(Losses(old))
    assert (change.old, change.new, change.size) == (2.5, 3.0, 0.5)
    assert change.status == "worse"


def test_line_is_good(tmp_path):
    (tmp_path / FILE).write_text(line() + "\n")
    assert Losses.read(tmp_path) == {KEY: [1.0] * N_REPLICATES}


@pytest.mark.parametrize(
    ("text", "message"),
    {
        "schema": (line(schema=7), "line 1: got schema 7, expected 1"),
        "no schema": (line(schema=None), "line 1: got schema None, expected 1"),
        "truncated": (line()[:50], "line 1: got .*, expected JSON"),
        "foreign": ("SIMPLE  =  T", "line 1: got 'SIMPLE  =  T', expected JSON"),
        "binary": ("\x00\x01", "line 1: got .*, expected JSON"),
        "no method": (line(method=None), "line 1: got KeyError.*method"),
        "no losses": (line(losses=None), "line 1: got KeyError.*losses"),
        "text": (line(losses=["a"] * N_REPLICATES), "line 1: .*losses"),
        "too few": (line(losses=[1.0]), "line 1: expected .* finite losses"),
        "NaN": (line(losses=[float("nan")] * N_REPLICATES), "line 1: expected .* finite losses"),
        "empty": ("", "got an empty file"),
        "400 digits": (line().replace("1.0", "1" + "0" * 400, 1), "line 1: .*JSON"),
        "larger than any float": (line(losses=[10**309] * N_REPLICATES), "line 1: .*JSON"),
        "a method that is no text": (line(method={}), "line 1: .*losses"),
        "deep nesting": ("[" * 100_000, "line 1: .*JSON"),
    }.values(),
    ids=lambda value: None,
)
def test_foreign_files_are_refused_in_one_line(tmp_path, text, message):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Losses.read(tmp_path)
    assert "\n" not in str(caught.value)
    assert FILE in str(caught.value)


def test_results_file_is_no_baseline(tmp_path):
    from simbg.validation.suite.results import Result

    Result.write(tmp_path / FILE, [Result("s", "0", "m", "norm")])
    with pytest.raises(ValueError, match="line 1: got schema 3, expected 1"):
        Losses.read(tmp_path)


def test_committed_baseline_is_of_this_suite():
    """It reads, and has every scenario and method of ours; of costly methods few scenarios."""
    from pathlib import Path

    folder = Path(__file__).parents[3] / "reports" / "baseline"
    found = {key[:3] for key in Losses.read(folder)}
    expected = {
        (n, s.digest, method)
        for n, s in SCENARIOS.items()
        for method, cls in METHODS.items()
        if not s.ignored and (n in baseline.OF_COSTLY or not getattr(cls, "costly", False))
    }
    assert found == expected


def test_renewing_shows_what_changed(one_night, tmp_path, capsys):
    """Also where there was nothing, or nothing that can be read."""
    baseline.main(tmp_path)
    assert "no comparison with an earlier baseline" in capsys.readouterr().out
    baseline.main(tmp_path)
    assert "no change in " in capsys.readouterr().out
    (tmp_path / FILE).write_text("SIMPLE  =  T")
    baseline.main(tmp_path)
    assert "no comparison with an earlier baseline" in capsys.readouterr().out
    assert Losses.read(tmp_path)
