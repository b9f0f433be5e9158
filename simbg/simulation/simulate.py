"""Simulation: a truth seen by observations gives events, datasets and expected counts."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from zlib import crc32

import numpy as np

from simbg.io.gadf_writer import GadfWriter
from simbg.io.hess2015 import HessWriter
from simbg.io.region_files import write_regions
from simbg.io.safe_files import new_directory
from simbg.observations.exposure import Exposure
from simbg.observations.masking import unmasked_fraction
from simbg.observations.observation import Events, Observation, good_time, pointing_of
from simbg.sky.pointing import Drift
from simbg.sky.regions import excluded

__all__ = ["REGIONS", "SCHEMES", "expected_stack", "named_rng", "observe", "simulate_events"]
__all__ += ["write_dataset"]

SCHEMES = {"gadf": GadfWriter, "hess": HessWriter}
REGIONS = "regions.reg"
# Times of a run at which the points that stand for a source are placed in the field: of a tracked
# one, which turns, and of one through which the sky drifts, by 7 deg or less in a run.
N_TIMES, N_TIMES_DRIFT = 32, 256


def named_rng(seed, name, *numbers):
    """A random generator of its own for a name and some numbers (run, replicate).

    Adding a scenario changes no other, and the order of work does not matter.

    Examples
    --------
    >>> int(named_rng(0, "night", 1).integers(1000)), int(named_rng(0, "night", 2).integers(1000))
    (111, 577)
    """
    return np.random.default_rng(
        np.random.SeedSequence(seed, spawn_key=(crc32(name.encode()), *numbers))
    )


def simulate_events(truth, row, rng, sources=(), site=None):
    """Events of one run: a Poisson number, at exact positions, energies and times.

    Background is drawn in the camera, sources on the sky, each event at its own time.

    Parameters
    ----------
    truth : GaussianTruth, ShapedTruth or CubeTruth
    row : mapping
        A row of `make_observation_table`. ``TRUE_NORM`` and ``TRUE_DRIFT`` in it, where they
        are, are the run's factor on the background and its relative change per hour.
    rng : numpy.random.Generator
    sources : sequence of GammaSource
    site : Site, optional
        With it events know their pointing; sources need it.

    Returns
    -------
    events : Events
        In order of time.
    """
    gti, livetime = good_time(row), float(row["LIVETIME"])
    drift = _Drift(row, gti)
    background = truth.draw(livetime * drift.largest, float(row["ZEN_PNT"]), rng)
    time = _good_times(len(background[0]), gti, rng)
    pointing = None if site is None else pointing_of(row, site)
    events = Events(*background, time, gti=gti, pointing=pointing)
    if drift.slope:
        events = events.take(rng.random(time.size) * drift.largest < drift.norm_at(time))
    if not sources:
        return events
    parts = [events, *(_source_events(source, livetime, gti, pointing, rng) for source in sources)]
    columns = ("energy", "fov_lon", "fov_lat", "time")
    merged = [np.concatenate([getattr(part, name) for part in parts]) for name in columns]
    events = Events(*merged, gti=gti, pointing=pointing)
    return events.take(np.argsort(events.time, kind="stable"))


class _Drift:
    """The background's factor during a run: norm · (1 + slope · (hours since its middle))."""

    def __init__(self, row, gti):
        self.norm, self.slope = row.get("TRUE_NORM", 1.0), row.get("TRUE_DRIFT", 0.0)
        self.middle = 0.5 * (gti[0, 0] + gti[-1, 1])
        ends = self.norm_at(np.array([gti[0, 0], gti[-1, 1]]))
        self.largest = float(ends.max()) if self.slope else self.norm
        if ends.min() < 0:
            raise ValueError(f"TRUE_DRIFT: got {self.slope} / h, which makes a negative rate")

    def norm_at(self, time):
        return self.norm * (1 + self.slope / 3600 * (time - self.middle))

    def mean(self, gti):
        length = np.diff(gti)[:, 0]
        return float(np.average(self.norm_at(gti.mean(axis=1)), weights=length))


def _good_times(n_events, gti, rng):
    """Ordered uniform times inside of the good time intervals."""
    # Gaps between ordered uniform times are exponential: ordered without a sort.
    gaps = np.cumsum(rng.standard_exponential(n_events + 1))
    share = gaps[:-1] / gaps[-1]
    if len(gti) == 1:
        return gti[0, 0] + (gti[0, 1] - gti[0, 0]) * share
    length = np.diff(gti)[:, 0]
    start = np.cumsum(length) - length
    good = share * length.sum()
    which = np.searchsorted(start, good, side="right") - 1
    return gti[which, 0] + good - start[which]


def _source_events(source, livetime, gti, pointing, rng):
    energy, ra, dec = source.draw(livetime, rng)
    time = _good_times(energy.size, gti, rng)
    return Events(energy, *pointing.sky_to_fov(ra, dec, time), time)


def observe(truth, table, seed, name, replicate=0, sources=(), site=None, regions=()):
    """Observations of a truth, each simulated anew whenever its events are asked for.

    Nothing is kept in memory or on disk: any number of runs can be streamed.
    ``regions`` is what the observations exclude.

    Examples
    --------
    >>> from simbg.simulation.scenarios import SCENARIOS
    >>> night = SCENARIOS["night"]
    >>> runs = observe(night.truth, night.table(seed=0), seed=0, name=night.name)
    >>> len(runs), len(runs[0].load())
    (8, 10558)
    """
    return [
        Observation(
            obs_id=row["OBS_ID"],
            load=partial(_simulate, truth, row, seed, name, replicate, sources, site),
            livetime=row["LIVETIME"],
            ontime=row["ONTIME"],
            energy_threshold=row["SAFE_ENERGY_LO"],
            ra=row["RA_PNT"],
            dec=row["DEC_PNT"],
            alt=row["ALT_PNT"],
            az=row["AZ_PNT"],
            excluded=tuple(regions),
        )
        for row in rows_of(table)
    ]


def expected_stack(
    truth,
    table,
    axes,
    threshold_bin="drop",
    claimed=False,
    sources=(),
    site=None,
    regions=(),
    vary=True,
):
    """Exact expectation of the counts that `simbg.observations.exposure.stack_observations` makes.

    Parameters
    ----------
    truth, table, axes, threshold_bin
        See there and `simulate_events`.
    claimed : bool
        Make counts and livetime fit in the threshold bin. With "whole" it holds all events
        of the bin, which is what its livetime claims; with "share" it has the true share
        of the livetime, where a stack of events leaves that to be estimated.
    sources, site, regions
        What shines, seen from where, and what is excluded.
    vary : bool
        Whether the runs' own factors, TRUE_NORM and TRUE_DRIFT, are in it.

    Returns
    -------
    stack : StackedCounts
        ``counts`` and ``run_counts`` are floats.

    Examples
    --------
    >>> from simbg.axes import edition2015_axes
    >>> from simbg.simulation.scenarios import SCENARIOS
    >>> night = SCENARIOS["night"]
    >>> stack = expected_stack(night.truth, night.table(seed=0), edition2015_axes(8))
    >>> stack.n_obs, stack.counts.shape, round(stack.counts.sum())
    (8, (10, 20, 20), 52492)
    """
    exposure, counts, runs = Exposure(axes, threshold_bin), np.zeros(axes.shape), []
    regions, rule = tuple(regions), exposure.rule
    for row in rows_of(table):
        threshold, livetime, gti = row["SAFE_ENERGY_LO"], row["LIVETIME"], good_time(row)
        first = rule.first_counted(axes, threshold)
        cut = threshold if rule.counts and not (claimed and rule.exposes) else 0.0
        rate = truth.integrate(axes, row["ZEN_PNT"], energy_min=cut)
        share = None
        if claimed and rule.counts and not rule.exposes and first < axes.shape[0]:
            share = _true_share(truth, axes, row, first, rate)
        drift = _Drift(row, gti)
        pointing = None if site is None else pointing_of(row, site)
        kept = _memo(unmasked_fraction, axes, pointing, gti, regions) if regions else None
        events = livetime * rate * (drift.mean(gti) if vary else 1.0)
        if kept is not None:
            # A rate that changes weighs the times at which a pixel is seen.
            if drift.slope and vary:
                kept_events = unmasked_fraction(axes, pointing, gti, regions, drift.norm_at)
            else:
                kept_events = kept
            events *= kept_events
        for source in sources:
            place = _memo(_source_image, axes, pointing, gti, source, regions)
            edges = np.maximum(axes.energy, cut)
            of_source = livetime * source.event_rate(edges[:-1], edges[1:])
            events = events + of_source[:, None, None] * place
        events[:first] = 0
        counts += events
        runs.append(float(events.sum()))
        exposure.add(threshold, (livetime, row["ONTIME"]), events, kept, share)
    return exposure.stack(counts, len(table), 0, runs)


def _true_share(truth, axes, row, k, above):
    """Share of the events of bin k above the threshold, pixel by pixel."""
    bins = replace(axes, energy=axes.energy[k : k + 2])
    whole = truth.integrate(bins, row["ZEN_PNT"])[0]
    return np.divide(above[k], whole, out=np.zeros_like(whole), where=whole > 0)


# What regions leave of a run, and where sources are in it, is asked for by each method again.
_MEMO = {}
N_MEMO = 2048


def _memo(function, axes, pointing, gti, *about):
    edges = axes.fov_lon.tobytes(), axes.fov_lat.tobytes()
    key = (function, *edges, pointing, gti.tobytes(), *about)
    if key not in _MEMO:
        if len(_MEMO) >= N_MEMO:
            _MEMO.clear()
        _MEMO[key] = function(axes, pointing, gti, *about)
    return _MEMO[key]


def _source_image(axes, pointing, gti, source, regions):
    """Share of a source's events in each pixel and outside of the regions, over a run."""
    ra, dec, weight = source.points()
    outside = ~excluded(ra, dec, regions) if regions else np.ones(ra.size, bool)
    n_times = N_TIMES_DRIFT if isinstance(pointing, Drift) else N_TIMES
    share = (np.arange(n_times) + 0.5) / n_times
    length = np.diff(gti)[:, 0]
    start = np.cumsum(length) - length
    good = share * length.sum()
    which = np.searchsorted(start, good, side="right") - 1
    time = gti[which, 0] + good - start[which]
    lon, lat = pointing.sky_to_fov(ra[outside], dec[outside], time[:, None])
    weight = np.broadcast_to(weight[outside] / n_times, lon.shape)
    edges = axes.fov_lon, axes.fov_lat
    return np.histogram2d(lon.ravel(), lat.ravel(), edges, weights=weight.ravel())[0]


def write_dataset(
    outdir,
    truth,
    table,
    site,
    seed,
    name,
    scheme="gadf",
    overwrite=False,
    executor: Executor | None = None,
    progress=iter,
    sources=(),
    regions=(),
    replicate=0,
):
    """Simulate runs and write them as a data store.

    Parameters
    ----------
    outdir : path-like
    truth : GaussianTruth, ShapedTruth or CubeTruth
    table : Table
        From `make_observation_table`, in relative times, with SAFE_ENERGY_LO (TeV). What it
        has in columns TRUE_... is not written.
    site : Site
    seed, name
        See `named_rng`. The same make the same bytes, with any executor.
    scheme : {"gadf", "hess"}
    overwrite : bool
    executor : concurrent.futures.Executor, optional
    progress : callable
        Wraps the iteration over runs.
    sources : sequence of GammaSource
    regions : sequence of Region
        What is to be excluded; written as regions.reg, a DS9 file, if there are any.
    replicate : int
        See `observe`.

    Returns
    -------
    n_events : int

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from simbg.simulation.scenarios import SCENARIOS
    >>> night = SCENARIOS["night"]
    >>> table = night.table(seed=0, n_obs=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Path(folder, "store")
    ...     n_events = write_dataset(store, night.truth, table, night.site, 0, night.name)
    ...     sorted(path.name for path in store.iterdir())
    ['data', 'hdu-index.fits.gz', 'obs-index.fits.gz']
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme: got {scheme!r}, expected one of {sorted(SCHEMES)}")
    writer_of = SCHEMES[scheme]
    with new_directory(outdir, overwrite, (*writer_of.FILES, REGIONS)) as folder:
        writer = writer_of(folder, site)
        about = truth, site, seed, name, replicate, sources
        job = partial(_write_run, writer, about)
        n_events = sum(progress((executor.map if executor else map)(job, rows_of(table))))
        secret = [column for column in table.colnames if column.startswith("TRUE_")]
        public = table.copy()
        public.remove_columns(secret)
        writer.write_index(public)
        if regions:
            write_regions(folder / REGIONS, regions)
    return n_events


def _write_run(writer, about, row):
    truth, site, seed, name, replicate, sources = about
    events = _simulate(truth, row, seed, name, replicate, sources, site)
    writer.write_run(row, events)
    return len(events)


def _simulate(truth, row, seed, name, replicate, sources, site):
    rng = named_rng(seed, name, row["OBS_ID"], replicate)
    return simulate_events(truth, row, rng, sources, site)


def rows_of(table):
    """Rows as plain dictionaries: small, quick, and ready for another process."""
    columns = {
        key: np.asarray(table[key]).tolist()
        for key in table.colnames
        if table[key].dtype.kind in "ifU"
    }
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
