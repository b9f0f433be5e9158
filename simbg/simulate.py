"""Simulation: a truth seen by observations gives events, datasets and expected counts."""

from __future__ import annotations

from concurrent.futures import Executor
from functools import partial
from zlib import crc32

import numpy as np

from simbg.exposure import Stack, first_bin
from simbg.io import gadf, hess
from simbg.io.files import new_directory
from simbg.observations import Events, Observation

__all__ = ["SCHEMES", "expected_stack", "named_rng", "observe", "simulate_events", "write_dataset"]

SCHEMES = {"gadf": gadf, "hess": hess}


def named_rng(seed, name, *numbers):
    """A random generator of its own for a name and some numbers (run, replicate).

    Adding a scenario changes no other, and the order of work does not matter.
    """
    return np.random.default_rng(
        np.random.SeedSequence(seed, spawn_key=(crc32(name.encode()), *numbers))
    )


def simulate_events(truth, row, rng):
    """Events of one run: a Poisson number, at exact positions, energies and times.

    Parameters
    ----------
    truth : GaussianTruth
    row : mapping
        A row of `make_observation_table`.
    rng : numpy.random.Generator

    Returns
    -------
    events : Events
        In order of time.
    """
    zenith, livetime = float(row["ZEN_PNT"]), float(row["LIVETIME"])
    n_events = int(rng.poisson(truth.total_rate(zenith) * livetime))
    energy, fov_lon, fov_lat = truth.sample(n_events, rng)
    # Gaps between ordered uniform times are exponential: ordered without a sort.
    gaps = np.cumsum(rng.standard_exponential(n_events + 1))
    time = row["TSTART"] + (row["TSTOP"] - row["TSTART"]) * gaps[:-1] / gaps[-1]
    return Events(energy, fov_lon, fov_lat, time)


def observe(truth, table, seed, name, replicate=0):
    """Observations of a truth, each simulated anew whenever its events are asked for.

    Nothing is kept in memory or on disk: any number of runs can be streamed.
    """
    return [
        Observation(
            obs_id=row["OBS_ID"],
            load=partial(_simulate, truth, row, seed, name, replicate),
            livetime=row["LIVETIME"],
            ontime=row["ONTIME"],
            energy_threshold=row["SAFE_ENERGY_LO"],
            ra=row["RA_PNT"],
            dec=row["DEC_PNT"],
            alt=row["ALT_PNT"],
            az=row["AZ_PNT"],
        )
        for row in _rows(table)
    ]


def expected_stack(truth, table, axes, partial_bin=False, whole_bins=False):
    """Exact expectation of the counts that `simbg.exposure.stack_observations` makes.

    Returns
    -------
    stack : Stack
        ``counts`` are floats. With ``partial_bin`` the threshold bin holds the
        events above the threshold and the whole livetime, as there; with
        ``whole_bins``, too, all events of the bin: what its livetime claims.
    """
    counts = np.zeros(axes.shape)
    time = np.zeros((2, axes.shape[0]))
    for row in _rows(table):
        threshold = row["SAFE_ENERGY_LO"]
        first = first_bin(axes, threshold, partial_bin)
        events = truth.integrate(
            axes, row["ZEN_PNT"], energy_min=threshold if partial_bin and not whole_bins else 0.0
        )
        counts[first:] += row["LIVETIME"] * events[first:]
        time[:, first:] += np.array([[row["LIVETIME"]], [row["ONTIME"]]])
    livetime, ontime = (np.broadcast_to(t[:, None, None], axes.shape).copy() for t in time)
    return Stack(axes, counts, livetime, ontime, len(table), 0, 0)


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
):
    """Simulate runs and write them as a data store.

    Parameters
    ----------
    outdir : path-like
    truth : GaussianTruth
    table : Table
        From `make_observation_table`, in relative times, with SAFE_ENERGY_LO (TeV).
    site : Site
    seed, name
        See `named_rng`. The same make the same bytes, with any executor.
    scheme : {"gadf", "hess"}
    overwrite : bool
    executor : concurrent.futures.Executor, optional
    progress : callable
        Wraps the iteration over runs.

    Returns
    -------
    n_events : int
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme: got {scheme!r}, expected one of {sorted(SCHEMES)}")
    store = SCHEMES[scheme]
    with new_directory(outdir, overwrite, store.FILES) as folder:
        job = partial(_write_run, folder, store.write_events, truth, site, seed, name)
        rows = _rows(table)
        n_events = sum(progress((executor.map if executor else map)(job, rows)))
        store.write_index(folder, table, site)
    return n_events


def _write_run(folder, write_events, truth, site, seed, name, row):
    events = _simulate(truth, row, seed, name, 0)
    write_events(folder, row, events, site)
    return len(events)


def _simulate(truth, row, seed, name, replicate):
    return simulate_events(truth, row, named_rng(seed, name, row["OBS_ID"], replicate))


def _rows(table):
    """Rows as plain dictionaries: small, quick, and ready for another process."""
    columns = {
        key: np.asarray(table[key]).tolist()
        for key in table.colnames
        if table[key].dtype.kind in "if"
    }
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
