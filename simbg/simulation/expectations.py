"""Expected counts and exact exposure of a stack of observations."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from astropy.table import Table

from simbg.axes import Axes
from simbg.observations.exposure import Exposure, StackedCounts
from simbg.observations.masked_exposure import unmasked_fraction
from simbg.observations.observation import good_time, pointing_of
from simbg.simulation.events import BackgroundFactor, times_at
from simbg.simulation.scenario import Scenario
from simbg.simulation.schedule import rows_of
from simbg.sky.pointing import Drift
from simbg.sky.regions import excluded

__all__ = []

# Times of a run at which the points that represent a source are converted to the field of view:
# for a tracked field, which rotates, and in drift mode, in which a source moves by up to 7 deg.
N_TIMES, N_TIMES_DRIFT = 32, 256


def expected_stack(
    scenario: Scenario,
    runs: Table,
    axes: Axes,
    threshold_bin: str = "drop",
    claimed: bool = False,
    vary: bool = True,
) -> StackedCounts:
    """Exact expectation of the counts from `simbg.observations.exposure.stack_observations`.

    Parameters and result are those of `simbg.simulation.experiment.Experiment.expected`.
    """
    exposure, counts, run_counts = (
        Exposure(axes, threshold_bin),
        np.zeros(axes.shape),
        list[float](),
    )
    rule = exposure.rule
    for row in rows_of(runs):
        threshold = row["SAFE_ENERGY_LO"]
        first = rule.first_counted(axes, threshold)
        energy_min = threshold if rule.counts and not (claimed and rule.exposes) else 0.0
        rate = scenario.truth.integrate(axes, row["ZEN_PNT"], energy_min)
        above = None
        if claimed and rule.counts and not rule.exposes and first < axes.shape[0]:
            above = _fraction_above(scenario.truth, axes, row, first, rate)
        events, unmasked = _expected_events(scenario, row, axes, rate, energy_min, vary)
        events[:first] = 0
        counts += events
        run_counts.append(float(events.sum()))
        exposure.add(threshold, (row["LIVETIME"], row["ONTIME"]), events, unmasked, above)
    return exposure.stack(counts, len(runs), 0, run_counts)


def _fraction_above(truth, axes, row, k, above):
    """Fraction of the events of bin k that are above the threshold, pixel by pixel."""
    bins = replace(axes, energy=axes.energy[k : k + 2])
    whole = truth.integrate(bins, row["ZEN_PNT"])[0]
    return np.divide(above[k], whole, out=np.zeros_like(whole), where=whole > 0)


def _expected_events(scenario, row, axes, rate, energy_min, vary):
    """Expected events of a run, and the unmasked fraction of its pixels (or None if no masks)."""
    gti, livetime = good_time(row), row["LIVETIME"]
    pointing, factor = pointing_of(row, scenario.site), BackgroundFactor(row, gti)
    field = tuple(axes.fov_lon), tuple(axes.fov_lat), pointing, tuple(map(tuple, gti))
    events, unmasked = livetime * rate * (factor.mean(gti) if vary else 1.0), None
    if regions := tuple(scenario.regions):
        unmasked = _of_field(unmasked_fraction, *field, regions)
        # If the rate changes, the times at which a pixel is unmasked have different weights.
        weighted = factor.slope and vary
        of_rate = (axes, pointing, gti, regions, factor.at)
        events *= unmasked_fraction(*of_rate) if weighted else unmasked
    edges = np.maximum(axes.energy, energy_min)
    for source in scenario.sources:
        of_source = livetime * source.event_rate(edges[:-1], edges[1:])
        events += of_source[:, None, None] * _of_field(_source_image, *field, regions, source)
    return events, unmasked


@lru_cache(maxsize=2048)
def _of_field(function, fov_lon, fov_lat, pointing, gti, *more):
    """An image over the pixels of a run; cached, since each method needs it."""
    return function(Axes(np.array([1.0, 2.0]), fov_lon, fov_lat), pointing, np.array(gti), *more)


def _source_image(axes, pointing, gti, regions, source):
    """Fraction of a source's events in each pixel and outside of the regions, over a run."""
    ra, dec, weight = source.points()
    outside = ~excluded(ra, dec, regions) if regions else np.ones(ra.size, bool)
    n_times = N_TIMES_DRIFT if isinstance(pointing, Drift) else N_TIMES
    time = times_at((np.arange(n_times) + 0.5) / n_times, gti)
    lon, lat = pointing.sky_to_fov(ra[outside], dec[outside], time[:, None])
    weight = np.broadcast_to(weight[outside] / n_times, lon.shape)
    edges = axes.fov_lon, axes.fov_lat
    return np.histogram2d(lon.ravel(), lat.ravel(), edges, weights=weight.ravel())[0]
