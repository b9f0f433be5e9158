"""The conformance suite: whether a method keeps its contract, on stores made to show it.

The truth is the same in all of them and asymmetric; what differs is what happened to the runs.
A method sees stores alone, in processes of its own. Each check says in words what it found.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from simbg.axes import Axes
from simbg.exclusion import circle
from simbg.io.files import write_fits
from simbg.io.gadf import write_index
from simbg.reconstruct.histogram import Histogram
from simbg.scenarios import HESS_SITE
from simbg.schedule import make_observation_table
from simbg.simulate import expected_stack, named_rng, write_dataset
from simbg.truth import GaussianTruth
from validation.comparison import compare
from validation.isolated import run_command, run_method
from validation.metrics import METRICS
from validation.pair import Pair
from validation.standing import with_exposure

__all__ = ["CHECKS", "Check", "Finding", "conformance"]

# Three different lengths, and pixels of half a degree in both directions.
AXES = Axes(np.geomspace(0.2, 20, 6), np.linspace(-3, 3, 13), np.linspace(-2.5, 2.5, 11))
# The peak lies off the centre: no flip and no swap is the same. No run differs from the others
# by its zenith angle.
TRUTH = GaussianTruth(index=2.5, event_rate=40.0, peak=(0.6, -0.9), zenith_slope=0.0)
TARGET = (83.0, -40.0)
RUNS = {
    "ontime": 600.0,
    "deadtime_fraction": (0.1, 0.4),
    "alt_range": (55.0, 73.0),
    "target": TARGET,
}
HIGH_THRESHOLD = AXES.energy[2]
MASK = circle(*TARGET, 1.2)
# A norm is right within 5 of its standard errors and this much: what smoothing may take from a
# peaked image, and far less than any fault of a clock, a good time or a threshold here.
MARGIN = 0.03
SIGMAS = 5.0


@dataclass(frozen=True)
class Check:
    """One promise of the contract.

    Parameters
    ----------
    name, about : str
        ``about`` says what is promised.
    judge : callable
        (case) → Finding, see `_Case`.
    change : callable
        Changes the table of runs before they are simulated.
    spoil : callable
        (store, table) → table, changes the store afterwards.
    regions : tuple
    truth : GaussianTruth
    run : dict
        Options of `run_method`.
    """

    name: str
    about: str
    judge: Callable
    change: Callable = lambda table: table
    spoil: Callable = lambda store, table: table
    regions: tuple = ()
    truth: object = TRUTH
    run: tuple = ()


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Parameters
    ----------
    name, about : str
    status : {"ok", "fail", "note"}
        A note is worth knowing and breaks no promise.
    text : str
    """

    name: str
    about: str
    status: str
    text: str


@dataclass(frozen=True)
class _Case:
    """A check that was run: what the method made, and what is true."""

    check: Check
    made: object
    table: object

    def finding(self, status, text):
        return Finding(self.check.name, self.check.about, status, text)

    @property
    def regions(self):
        return {"site": HESS_SITE, "regions": self.check.regions}

    def claimed(self, axes, rule):
        """The exact stack at the exposure that the method claims."""
        about = self.check.truth, self.table, axes, rule
        return expected_stack(*about, claimed=True, **self.regions)

    @property
    def pair(self):
        stack = self.claimed(self.made.cube.axes, self.made.threshold_bin)
        return Pair(Histogram().estimate(stack), with_exposure(self.made.cube, stack))


def conformance(way, folder, seed=0, executor=None):
    """Run all checks on a method.

    Parameters
    ----------
    way : Way
    folder : path-like
        Where stores are made.
    seed : int
    executor : concurrent.futures.Executor, optional

    Returns
    -------
    findings : list of Finding
        If the method makes no cube of the plain store, that is the only one.
    """
    job = partial(_find, way, Path(folder), seed)
    first = job(CHECKS[0])
    if first.status == "fail" and first.name == "runs":
        return [first]
    return [first, *(executor.map if executor else map)(job, CHECKS[1:])]


def _find(way, folder, seed, check):
    store = folder / check.name.replace(" ", "-")
    try:
        table = check.change(_runs(seed))
        about = check.truth, table, HESS_SITE, seed, "conformance"
        write_dataset(store, *about, regions=check.regions)
        table = check.spoil(store, table)
        case = _Case(check, _rebuild(way, store, check), table)
        if check.judge not in (_refuses, _runs_at_all) and case.made.reason:
            return case.finding("fail", case.made.reason)
        if check.judge is _same_again:
            return _same_again(case, _rebuild(way, store, check))
        return check.judge(case)
    finally:
        shutil.rmtree(store, ignore_errors=True)


def _rebuild(way, store, check):
    if way.kind == "command":
        return run_command(way.text, store, way.timeout)
    options = {"regions": check.regions, "timeout": way.timeout, **dict(check.run)}
    return run_method(way.name, store, AXES, **options)


def _runs(seed):
    table = make_observation_table(6, named_rng(seed, "conformance runs"), HESS_SITE, **RUNS)
    table["SAFE_ENERGY_LO"] = np.full(len(table), AXES.energy[0])
    return table


# Judges -------------------------------------------------------------------------------------


def _runs_at_all(case):
    made = case.made
    if made.reason:
        return case.finding("fail", made.reason)
    return case.finding("ok", f"a cube in {made.seconds:.1f} s, {made.megabytes:.0f} MB")


def _same_again(case, again):
    if again.reason:
        return case.finding("fail", f"the second time: {again.reason}")
    names = ("rate", "rate_error", "counts")
    pairs = [(getattr(case.made.cube, name), getattr(again.cube, name)) for name in names]
    if all(np.array_equal(a, b, equal_nan=a is not None) for a, b in pairs):
        return case.finding("ok", "the same cube twice, bit by bit")
    return case.finding("fail", "got another cube the second time, expected the same")


def _right_axes(case):
    axes = case.made.cube.axes
    if axes.same_as(AXES):
        return case.finding("ok", f"{axes.shape} bins, as asked")
    return case.finding("note", f"got {axes.shape} bins of its own, asked for {AXES.shape}")


def _conventions(case):
    """Axis order, signs, units, density and clock, named by the comparison with the truth."""
    pair = case.pair
    counts = np.round(pair.true.counts)
    reco = replace(pair.reco, counts=counts) if pair.reco.counts is None else pair.reco
    found = compare(replace(pair.true, rate_error=None), reco)
    if found.fault:
        return case.finding("fail", found.fault)
    if found.agree:
        return case.finding("ok", "signs, order of axes, units, density and clock are right")
    return case.finding("note", f"no fault of convention, but {found.verdict}")


def _norm(case):
    measure = METRICS["norm"](case.pair)
    return _judged(case, measure, "the rate")


def _masked(case):
    """Wholly excluded pixels have no rate, partly excluded ones the right one."""
    pair = case.pair
    hidden = pair.true.livetime == 0
    known = hidden & np.isfinite(pair.reco.rate)
    if np.any(known & (pair.reco.rate == 0)):
        n = int(np.sum(known & (pair.reco.rate == 0)))
        return case.finding("fail", f"got a rate of 0 in {n} wholly excluded bins, expected NaN")
    found = _judged(case, METRICS["masked_norm"](pair), "the rate where a mask passes")
    if known.any() and found.status == "ok":
        return case.finding("note", f"{found.text}; fills {int(known.sum())} wholly excluded bins")
    return found


def _judged(case, measure, what):
    off = abs(measure.value - measure.ideal)
    text = f"{what} is {measure.value:.4f} ± {measure.error:.4f} of the true one"
    if not np.isfinite(off):
        return case.finding("note", "nothing to measure")
    return case.finding("ok" if off <= SIGMAS * measure.error + MARGIN else "fail", text)


def _refuses(case):
    if case.made.reason:
        return case.finding("ok", case.made.reason)
    return case.finding("fail", "got a cube, expected an error")


# What happens to runs -----------------------------------------------------------------------


def _gaps(table):
    table["N_GTI"], table["GTI_GAP"] = 3, 120.0
    table["TSTOP"] = table["TSTOP"] + 240.0 * table["TSTOP"].unit
    return table


def _high_thresholds(table):
    table["SAFE_ENERGY_LO"][::2] = HIGH_THRESHOLD
    return table


def _bad_times(store, table):
    """Good time ends half-way, events go on."""
    for row in table:
        path = store / "data" / f"simbg_obs_{row['OBS_ID']:06d}.fits.gz"
        with fits.open(path) as file:
            hdus = [hdu.copy() for hdu in file]
        hdus[2].data["STOP"] = row["TSTART"] + row["ONTIME"] / 2
        for name in ("ONTIME", "LIVETIME"):
            hdus[1].header[name] = row[name] / 2
        write_fits(path, hdus, overwrite=True)
    for name in ("ONTIME", "LIVETIME"):
        table[name] = table[name] / 2
    (store / "obs-index.fits.gz").unlink()
    (store / "hdu-index.fits.gz").unlink()
    write_index(store, table, HESS_SITE)
    table = table.copy()
    table["TSTOP"] = table["TSTART"] + table["ONTIME"]
    return table


def _below_threshold(store, table):
    """Runs hold nothing below their thresholds."""
    for row in table:
        path = store / "data" / f"simbg_obs_{row['OBS_ID']:06d}.fits.gz"
        with fits.open(path) as file:
            hdus = [hdu.copy() for hdu in file]
        header = hdus[1].header
        events = Table(hdus[1].data)
        kept = events[events["ENERGY"] >= row["SAFE_ENERGY_LO"]]
        hdus[1] = fits.BinTableHDU(kept.as_array(), header, name="EVENTS")
        write_fits(path, hdus, overwrite=True)
    return table


def _cut_short(store, table):
    path = store / "data" / f"simbg_obs_{table['OBS_ID'][2]:06d}.fits.gz"
    path.write_bytes(path.read_bytes()[:4000])
    return table


CHECKS = (
    Check("runs", "makes a cube, reads its store alone and leaves it as it is", _runs_at_all),
    Check("axes", "returns the axes that it was given", _right_axes),
    Check("conventions", "order of axes, signs, units, density and clock", _conventions),
    Check("deterministic", "the same store gives the same cube", _same_again),
    Check("order of runs", "runs in another order give the same rate", _norm, lambda t: t[::-1]),
    Check("gaps", "several good time intervals a run", _norm, _gaps),
    Check("good time", "events outside of good time do not count", _norm, spoil=_bad_times),
    Check(
        "thresholds",
        "a run exposes no energy below its threshold",
        _norm,
        _high_thresholds,
        _below_threshold,
    ),
    Check("masks", "excluded regions take exposure with them", _masked, regions=(MASK,)),
    Check(
        "sparse",
        "few events are no reason to fail",
        _norm,
        truth=replace(TRUTH, event_rate=0.3),
    ),
    Check("no runs", "an error, not a cube", _refuses, run=(("n_runs", 0),)),
    Check("broken file", "an error, not a cube", _refuses, spoil=_cut_short),
)
