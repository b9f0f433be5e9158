"""The conformance suite: methods that keep the contract do, and each that breaks it is named."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from support import odd_methods

from simbg.axes import MEV_PER_TEV
from simbg.cli.main import main
from simbg.io.cubes import write_cube
from simbg.io.gadf.store import GadfStore
from simbg.observations.exposure import stack_observations
from simbg.observations.observation import Events
from simbg.reconstruction.contract import check_cube
from simbg.reconstruction.edition2015 import Default, Michi
from simbg.reconstruction.histogram import Histogram
from simbg.reconstruction.registry import find_method
from simbg.validation.conformance.checks import CHECKS
from simbg.validation.conformance.findings import check_attempts, conformance
from simbg.validation.conformance.stores import AXES, VARIANTS, expected_counts, write_variant
from simbg.validation.methods.candidates import Candidate
from simbg.validation.methods.isolation import Attempt

SEEDS = 0, 1
NAMES = [check.name for check in CHECKS]


class Once:
    """Reads a file once for all methods."""

    def __init__(self, load):
        self.read = cache(load)

    def __call__(self):
        return self.read()


class Stores:
    """The stores of a seed, and what `histogram` makes of them, once for all methods."""

    def __init__(self, folder, seed):
        self.seed, self.runs = seed, {}
        for name, variant in VARIANTS.items():
            store = GadfStore(write_variant(folder, seed, name))
            self.runs[name] = [
                replace(run, excluded=variant.regions, load=Once(run.load))
                for run in store.observations(store.table)
            ]
        self.runs["again"] = self.runs["plain"]
        self.histogram = {name: rebuilt(Histogram(), runs) for name, runs in self.runs.items()}

    def of(self, method):
        """Findings by name, of a method or of what spoils a cube of `histogram`."""
        if callable(method):
            made = {name: spoilt(method, one) for name, one in self.histogram.items()}
        else:
            made = {name: rebuilt(method, runs) for name, runs in self.runs.items()}
        return {finding.name: finding for finding in check_attempts(made, self.seed)}


def rebuilt(method, runs, axes=AXES):
    """As in a process, without one."""
    try:
        cube = check_cube(method.reconstruct(runs, axes), axes, runs)
        return Attempt(cube, seconds=0, megabytes=0)
    except Exception as error:
        return Attempt(None, f"{type(error).__name__}: {error}")


def spoilt(spoil, one):
    return one if one.cube is None else replace(one, cube=spoil(one.cube))


@pytest.fixture(scope="module", params=SEEDS)
def stores(request, tmp_path_factory):
    return Stores(tmp_path_factory.mktemp("stores"), request.param)


def failed(findings):
    return {name for name, finding in findings.items() if finding.status == "fail"}


def notes(findings):
    return {name for name, finding in findings.items() if finding.status == "note"}


# Methods that conform -----------------------------------------------------------------------


class Alone:
    """Imports nothing of ours: counts, livetimes, and places in the sky from what it is given."""

    name = "alone"

    def reconstruct(self, observations, axes):
        if not observations:
            raise ValueError("got no runs")
        counts, seconds = np.zeros(axes.shape), np.zeros(axes.shape)
        edges = axes.energy, axes.fov_lon, axes.fov_lat
        for run in observations:
            events = run.events()
            bins = axes.energy[:-1] > 0.999 * run.energy_threshold
            points = np.transpose([events.energy, events.fov_lon, events.fov_lat])
            counts[bins] += np.histogramdd(points, edges)[0][bins]
            seconds[bins] += run.ontime * self.seen(run, events, axes)
        with np.errstate(invalid="ignore"):
            rate = counts / np.where(seconds > 0, seconds, np.nan) / axes.volume
        rate = (rate * u.Unit("s-1 MeV-1 sr-1")).to("s-1 GeV-1 deg-2")
        return SimpleNamespace(rate=rate, clock="ontime")

    def seen(self, run, events, axes, n=8):
        """Share of each pixel that no region hides, over points in it and good times."""
        if not run.excluded:
            return 1.0
        part = (np.arange(n) + 0.5) / n
        lon, lat = (
            (edges[:-1, None] + np.diff(edges)[:, None] * part).ravel()
            for edges in (axes.fov_lon, axes.fov_lat)
        )
        lon, lat = np.meshgrid(lon, lat, indexing="ij")
        times = (events.gti[:, :1] + np.diff(events.gti) * part).ravel()
        seen = np.zeros(lon.shape)
        for time in times:
            place = events.pointing.fov_to_sky(lon, lat, np.full(lon.shape, time))
            hidden = sum(region.contains(*place) for region in run.excluded) > 0
            seen += ~hidden / times.size
        shape = axes.shape[1], n, axes.shape[2], n
        return seen.reshape(shape).mean(axis=(1, 3))


def test_histogram_conforms_wholly(stores):
    findings = stores.of(Histogram())
    assert list(findings) == NAMES
    assert {finding.status for finding in findings.values()} == {"ok"}


def test_nobody_needs_our_classes(stores):
    """Another unit, the other clock, no exposure, no class of ours."""
    findings = stores.of(Alone())
    assert {finding.status for finding in findings.values()} == {"ok"}
    assert findings["clock"].text.startswith("per ontime")


def test_the_example_of_a_package_conforms(stores, monkeypatch):
    """It is noisier than raw counts, which is a note."""
    source = Path(__file__).parents[2] / "support" / "examples" / "package" / "src"
    monkeypatch.syspath_prepend(str(source))
    findings = stores.of(find_method("simbg_half:Half"))
    assert (failed(findings), notes(findings)) == (set(), {"shape"})


def test_a_method_may_refuse_masks(stores):
    """It says itself that it cannot mask, which is no silence."""
    findings = stores.of(odd_methods.Separable())
    assert failed(findings) == set()
    assert notes(findings) == {"masks", "turning masks"}


@pytest.mark.parametrize("method", [Default(), Michi()], ids=["default", "michi"])
def test_those_of_2015(stores, method):
    """They smooth, which is no fault of the contract, and fill what they know nothing of."""
    findings = stores.of(method)
    assert failed(findings) == {"no runs"}
    assert "rates" in findings["no runs"].text
    assert notes(findings) == {"shape"}
    assert "width × 1." in findings["shape"].text


def test_a_command_may_choose_its_axes(stores):
    """But the same for all stores."""
    axes = replace(AXES, energy=AXES.energy[:-1])
    made = {name: rebuilt(Histogram(), runs, axes) for name, runs in stores.runs.items()}
    findings = {finding.name: finding for finding in check_attempts(made, stores.seed, "command")}
    assert (failed(findings), notes(findings)) == (set(), {"axes"})
    made = stores.histogram | {"reversed": made["reversed"]}
    findings = {finding.name: finding for finding in check_attempts(made, stores.seed)}
    assert failed(findings) == {"order"}


# Methods that do not ------------------------------------------------------------------------


def rates(change, **more):
    """Spoils the rates of a cube: (rate, axes) → rate."""
    return lambda cube: replace(cube, rate=change(cube.rate, cube.axes), rate_error=None, **more)


def taken_for(clock, other):
    return lambda cube: replace(cube.per(clock), clock=other)


def twice(cube):
    return replace(cube, rate=cube.rate * (cube.ontime / np.maximum(cube.livetime, 1)))


def moved_energy(step):
    """The rates of another energy bin."""

    def change(rate, axes):
        rate = np.roll(rate, step, axis=0)
        rate[0 if step > 0 else -1] = np.nan
        return rate

    return rates(change)


class Odd:
    """`histogram` of runs that are not what they should be."""

    name = "odd"

    def __init__(self, of_run, of_cubes=None):
        self.of_run, self.of_cubes = of_run, of_cubes

    def reconstruct(self, observations, axes):
        odd = Histogram().reconstruct(list(map(self.of_run, observations)), axes)
        if self.of_cubes is None:
            return odd
        return self.of_cubes(odd, Histogram().reconstruct(observations, axes))


def swapped(run):
    def load():
        events = run.load()
        columns = ("energy", "fov_lat", "fov_lon", "time", "ra", "dec", "gti", "pointing")
        return Events(*(getattr(events, name) for name in columns))

    return replace(run, load=load)


def from_start_to_stop(run):
    gti = run.load().gti
    longer = (gti[-1, 1] - gti[0, 0]) / run.ontime
    return replace(run, livetime=run.livetime * longer, ontime=run.ontime * longer)


def without_gti(run):
    """All events of the file."""

    def load():
        good = run.load()
        table = Table.read(run.store / "data" / f"simbg_obs_{run.obs_id:06d}.fits.gz", hdu="EVENTS")
        energy, time, ra, dec = (
            np.asarray(table[name], float) for name in ("ENERGY", "TIME", "RA", "DEC")
        )
        lon, lat = good.pointing.sky_to_fov(ra, dec, time)
        return Events(energy, lon, lat, time, ra, dec, good.gti, good.pointing)

    return replace(run, load=load)


def first_gti(run):
    """Masks are placed in the first good time alone."""

    def load():
        events = run.load()
        return replace(events, gti=events.gti[:1]) if run.excluded else events

    return replace(run, load=load)


def without_threshold(run):
    return replace(run, energy_threshold=0.0)


def without_masks(run):
    return replace(run, excluded=())


def exposure_alone(odd, right):
    """The exposure is right, what is counted is not."""
    livetime = np.where(right.livetime > 0, right.livetime, np.nan)
    return replace(right, rate=odd.counts / livetime / right.axes.volume)


def counts_alone(odd, right):
    """What is counted is right, the exposure is not."""
    livetime = np.where(right.livetime > 0, odd.livetime, np.nan)
    return replace(right, rate=right.counts / livetime / right.axes.volume)


class Skips:
    """Leaves out what it cannot read, and says nothing."""

    def reconstruct(self, observations, axes):
        return Histogram().reconstruct(list(filter(self.reads, observations)), axes)

    def reads(self, run):
        try:
            return bool(len(run.load()))
        except (OSError, ValueError):
            return False


class Needs:
    """Fails where a bin is empty."""

    def reconstruct(self, observations, axes):
        cube = Histogram().reconstruct(observations, axes)
        if np.any(cube.counts.sum(axis=(1, 2)) < 10):
            raise RuntimeError("the fit did not converge")
        return cube


class Divides:
    """By an exposure of 0 where a bin is always masked; it has a prior of 0.01 events."""

    def reconstruct(self, observations, axes):
        stack = stack_observations(observations, axes)
        with np.errstate(divide="ignore"):
            rate = (stack.counts + 0.01) / stack.livetime / axes.volume
        return SimpleNamespace(rate=rate)


def fills(cube):
    return replace(cube, rate=np.nan_to_num(cube.rate, nan=1e-9))


def noise(cube, rng=np.random.default_rng(1)):  # noqa: B008
    return replace(cube, rate=cube.rate * rng.uniform(0.999, 1.001, cube.rate.shape))


CHECKED = {
    # Conventions.
    "fov_lon flipped": (
        rates(lambda rate, axes: rate[:, ::-1]),
        {"field": "fov_lon is flipped: events at fov_lon 2.25, fov_lat -1 deg are at -2.25, -1"},
    ),
    "fov_lat flipped": (
        rates(lambda rate, axes: rate[:, :, ::-1]),
        {"field": "fov_lat is flipped"},
    ),
    "turned": (
        rates(lambda rate, axes: rate[:, ::-1, ::-1]),
        {"field": "fov_lon and fov_lat are flipped"},
    ),
    # What is swapped are events, and not the exposure that masks leave.
    "swapped": (
        Odd(swapped),
        {"field": "fov_lon and fov_lat are swapped", "masks": "", "turning masks": ""},
    ),
    "energy up": (moved_energy(1), {"energy": "+1 bin: events of 4 to 6 TeV"}),
    "energy down": (moved_energy(-1), {"energy": "-1 bin"}),
    "energy reversed": (
        rates(lambda rate, axes: rate[::-1]),
        {"energy": "-2 bin"},
    ),
    "livetime for ontime": (
        taken_for("livetime", "ontime"),
        {"clock": "is per livetime, but the cube states per ontime"},
    ),
    "ontime for livetime": (
        taken_for("ontime", "livetime"),
        {"clock": "is per ontime, but the cube states per livetime"},
    ),
    "per square root of the livetime": (
        lambda cube: replace(cube, rate=cube.rate * np.sqrt(cube.livetime.max() / 2700)),
        {"clock": "1.414"},
    ),
    "dead time twice": (twice, {"clock": "twice for the dead time"}),
    "ontime stated for livetime": (
        lambda cube: replace(cube, livetime=cube.ontime),
        {"exposure": "s of livetime"},
    ),
    "per TeV": (rates(lambda rate, axes: 1e6 * rate), {"unit": "per TeV"}),
    "per GeV": (rates(lambda rate, axes: 1e3 * rate), {"unit": "per GeV"}),
    "per deg2": (
        rates(lambda rate, axes: rate * np.radians(1) ** 2),
        {"unit": "per deg2"},
    ),
    "per pixel": (
        rates(lambda rate, axes: rate * axes.solid_angle),
        {"unit": "per pixel"},
    ),
    "per energy bin": (
        rates(lambda rate, axes: rate * MEV_PER_TEV * np.diff(axes.energy)[:, None, None]),
        {"unit": "per energy bin"},
    ),
    "per bin": (
        rates(lambda rate, axes: rate * axes.volume),
        {"unit": "per bin"},
    ),
    "no unit": (
        rates(lambda rate, axes: 7 * rate),
        {"unit": "no known unit"},
    ),
    "a norm": (rates(lambda rate, axes: 1.2 * rate), {"norm": "is 1."}),
    # What happens to runs.
    "GTIs ignored in the time": (
        Odd(from_start_to_stop),
        {"gaps": "0.714", "good time": "0.714"},
    ),
    "GTIs ignored in events": (Odd(without_gti), {"good time": "2.000"}),
    "thresholds ignored": (
        Odd(without_threshold),
        {"thresholds": "exposed below"},
    ),
    "events below thresholds": (
        Odd(without_threshold, exposure_alone),
        {"thresholds": "events below"},
    ),
    "masks ignored": (
        Odd(without_masks),
        {"masks": "masked events are counted", "turning masks": "masked events are counted"},
    ),
    "masked exposure ignored": (
        Odd(without_masks, counts_alone),
        {"masks": "exposed", "turning masks": "exposed"},
    ),
    "masks that do not turn": (Odd(first_gti), {"turning masks": "wrong position"}),
    "0 in hidden bins": (
        lambda cube: replace(cube, rate=np.where(cube.livetime > 0, cube.rate, 0.0)),
        {
            "masks": "20 masked bins",
            "turning masks": "20 masked bins",
            "no runs": "rates",
        },
    ),
    "a rate of no runs": (
        lambda cube: cube if cube.counts.any() else fills(cube),
        {"no runs": "rates"},
    ),
    "infinite in hidden bins": (
        Divides(),
        {
            "masks": "20 of 600 rates that are infinite",
            "turning masks": "20 of them have no exposure",
        },
    ),
    "skips what it cannot read": (Skips(), {"broken file": "rates"}),
    "fails of few events": (Needs(), {"few events": "RuntimeError: the fit did not converge"}),
    "other each time": (noise, {"deterministic": "another rate"}),
}


@pytest.mark.parametrize("name", CHECKED)
def test_each_fault_is_named_by_its_check(stores, name):
    method, texts = CHECKED[name]
    findings = stores.of(method)
    assert failed(findings) == set(texts)
    for check, text in texts.items():
        assert text in findings[check].text


# As a user runs it --------------------------------------------------------------------------


def simbg(*words):
    """Run a command line; its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code


def test_a_command_that_does_not_look(tmp_path, capsys):
    """The true model, whatever the store holds: right in all that stores do not change."""
    write_cube(tmp_path / "true.fits", Histogram().estimate(expected_counts(0, AXES)))
    command, out = f"cp {tmp_path}/true.fits {{output}} --suffix={{store}}", tmp_path / "out"
    assert simbg("conformance", "--command", command, "--out", out, "--jobs", 1) == 1
    lines = capsys.readouterr().out.splitlines()
    content = json.loads((out / "conformance.json").read_text())
    assert list(out.iterdir()) == [out / "conformance.json"]
    assert (content["method"], content["seed"]) == ("cp true.fits", 0)
    # A line and a record a check; nobody sees what a command opens.
    assert [finding["name"] for finding in content["findings"]] == [
        n for n in NAMES if n != "blind"
    ]
    for line, finding in zip(lines, content["findings"], strict=False):
        status, rest = line.split(maxsplit=1)
        assert status == finding["status"]
        assert rest == f"{finding['name']}: {finding['about']}: {finding['text']}"
    found = {finding["name"]: finding for finding in content["findings"]}
    assert {name for name, f in found.items() if f["status"] == "fail"} == {
        *("field", "few events", "no runs", "broken file")
    }
    assert "200 more events" in found["field"]["text"]
    assert "20 masked bins have a rate" in found["masks"]["text"]
    assert "4 of 20 checks failed" in lines[-1]
    assert str(out / "conformance.json") in lines[-1]


def test_a_method_that_fails_at_once_is_tried_no_more():
    findings = {f.name: f for f in conformance(Candidate("support.odd_methods:LooksForTheTruth"))}
    assert set(findings) == {"runs", "blind", "input"}
    assert failed(findings) == {"blind"}
    assert "simbg.simulation.library, which knows the truth" in findings["blind"].text


def test_a_command_that_hangs(tmp_path, capsys):
    command = ("--command", "sh -c 'sleep 600' {store} {output}")
    assert simbg("conformance", *command, "--timeout", 1, "--out", tmp_path) == 1
    assert "took more than 1 s" in capsys.readouterr().out


def test_a_method_that_writes_to_its_store():
    plain = Attempt(None, "wrote to its input: data/simbg_obs_000001.fits.gz")
    findings = {finding.name: finding for finding in check_attempts({"plain": plain}, 0)}
    assert set(findings) == {"runs", "blind", "input"}
    assert failed(findings) == {"input"}
    assert plain.reason in findings["input"].text


def test_later_stores_are_watched_too(stores):
    """And a crash is no refusal."""
    crash, peek = (
        "was ended by SIGSEGV",
        "forbidden access: it opens /answer, outside its store",
    )
    broken = {"no runs": crash, "masks": crash, "gaps": peek, "less alive": "KeyError: 3"}
    made = stores.histogram | {name: Attempt(None, reason) for name, reason in broken.items()}
    findings = {finding.name: finding for finding in check_attempts(made, stores.seed)}
    assert failed(findings) == {*broken, "blind", "clock", "unit", "norm", "shape"} - {"less alive"}
    assert findings["blind"].text == f"{peek} (store: gaps)"
    assert findings["clock"].text == "KeyError: 3"


@pytest.mark.parametrize("name", ["Raises", "OtherAxes", "WrongShape", "NotANumber"])
def test_no_cube_of_the_plain_store(stores, name):
    plain = rebuilt(getattr(odd_methods, name)(), stores.runs["plain"])
    findings = {finding.name: finding for finding in check_attempts({"plain": plain}, stores.seed)}
    assert set(findings) == {"runs", "blind", "input"}
    assert failed(findings) == {"runs"}
    assert findings["runs"].text == plain.reason


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("histgram",), "did you mean 'histogram'"),
        (("nosuch:Method",), "'nosuch:Method'"),
        (("--command", "mytool {store}"), "{output}"),
        (("--command", "nosuch {store} {output}"), "nosuch"),
        (("histogram", "--command", "cp {store} {output}"), "--command"),
        ((), "METHOD"),
    ],
)
def test_what_is_no_method(tmp_path, capsys, words, message):
    assert simbg("conformance", *words, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_finished_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"got the files of .*"):
        conformance(Candidate.files(tmp_path))
