"""The contract: what a method may return, and how what it returns or raises is taken."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from numpy.testing import assert_allclose, assert_array_equal
from support.runs import BLOB_AXES, blob_runs

from simbg.axes import edition2015_axes
from simbg.cube import BackgroundCube
from simbg.observations.exposure import stack_observations
from simbg.reconstruction.contract import axes_for, check_cube, reconstruct
from simbg.reconstruction.edition2015 import Michi
from simbg.reconstruction.histogram import Histogram

RUNS = list(blob_runs(4000))
CUBE = Histogram().reconstruct(RUNS, BLOB_AXES)


@dataclass(frozen=True)
class Returns:
    """A method that returns this, or raises it."""

    what: object
    executor: object = None
    name = "foreign"

    def reconstruct(self, observations, axes):
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what(self) if callable(self.what) else self.what


def taken(what, **options):
    return reconstruct(Returns(what), RUNS, BLOB_AXES, **options)


def test_a_cube_is_taken_as_it_is():
    assert taken(CUBE) is CUBE
    assert check_cube(CUBE, BLOB_AXES) is CUBE


def test_anything_with_a_rate_is_a_cube():
    """In any unit, with masks for NaN; counts and exposure are added."""
    rate = np.ma.masked_invalid(CUBE.rate)
    edges = {name: getattr(BLOB_AXES, name) for name in ("energy", "fov_lon", "fov_lat")}
    returned = SimpleNamespace(
        rate=u.Quantity(CUBE.rate, "s-1 MeV-1 sr-1").to("h-1 TeV-1 deg-2"),
        rate_error=rate,
        axes=SimpleNamespace(**edges),
    )
    cube = taken(returned)
    assert_allclose(cube.rate, CUBE.rate, rtol=1e-14)
    assert_array_equal(cube.rate_error, CUBE.rate)
    # Bins that hold a threshold are left out where a method does not say what it does with them.
    assert cube.counts.sum() < CUBE.counts.sum()
    assert_array_equal(cube.livetime[-1], CUBE.livetime[-1])
    assert_array_equal(cube.ontime[-1], CUBE.ontime[-1])
    assert cube.clock == "livetime"


def test_units_and_masks_of_a_cube_are_heeded():
    cube = taken(replace(CUBE, rate=u.Quantity(CUBE.rate, "s-1 MeV-1 sr-1")))
    assert type(cube.rate) is np.ndarray
    masked = np.ma.masked_array(np.nan_to_num(CUBE.rate), CUBE.rate == 0)
    assert_array_equal(np.isnan(taken(replace(CUBE, rate=masked)).rate), CUBE.rate == 0)


NAN = np.full(BLOB_AXES.shape, np.nan)
OTHER = replace(BLOB_AXES, fov_lon=BLOB_AXES.fov_lon + 0.1)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (5, "int"),
        (None, "NoneType"),
        (BackgroundCube(BLOB_AXES, NAN), "finite rate"),
        (replace(CUBE, rate=np.where(CUBE.rate > 0, CUBE.rate, np.inf)), "infinite"),
        (replace(CUBE, rate_error=-1 - np.nan_to_num(CUBE.rate)), "negative errors"),
        (replace(CUBE, axes=OTHER), str(BLOB_AXES.shape)),
        (SimpleNamespace(rate=CUBE.rate[1:]), str(BLOB_AXES.shape)),
        (SimpleNamespace(rate=CUBE.rate + 0j), "complex rate"),
    ],
)
def test_what_is_no_cube_is_refused(wrong, named):
    with pytest.raises(ValueError, match=re.escape(named)) as error:
        taken(wrong)
    assert "expected" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stated", [True, False])
def test_infinite_rates_are_told_with_their_bins_and_their_exposure(stated):
    """With an exposure that the method states, or that of its runs."""
    threshold = float(BLOB_AXES.energy[2])
    runs = [replace(run, energy_threshold=threshold) for run in RUNS]
    livetime = stack_observations(runs, BLOB_AXES).livetime
    exposed = np.arange(BLOB_AXES.shape[0])[:, None, None] >= 2 + 0 * livetime
    with np.errstate(divide="ignore"):
        rate = 1 / exposed.astype(float)
    rate[-1, 2, 3] = np.inf
    spoilt = replace(CUBE, rate=rate, livetime=livetime) if stated else SimpleNamespace(rate=rate)
    with pytest.raises(ValueError, match="infinite") as error:
        reconstruct(Returns(spoilt), runs, BLOB_AXES)
    n, size, first, last = re.match(
        r"method returned (\d+) of (\d+) rates .* at (\S+) to (\S+) TeV", str(error.value)
    ).groups()
    assert (int(n), int(size)) == (np.isinf(rate).sum(), rate.size)
    (without,) = re.findall(r"(\d+) of them have no exposure", str(error.value))
    assert int(without) == np.count_nonzero(~exposed)
    bins = np.flatnonzero(np.isinf(rate).any(axis=(1, 2)))
    edges = BLOB_AXES.energy[[bins[0], bins[-1] + 1]]
    assert_allclose([float(first), float(last)], edges, rtol=5e-3)  # three digits


def test_a_cube_without_exposure_may_have_no_rate():
    nothing = np.zeros(BLOB_AXES.shape)
    cube = BackgroundCube(BLOB_AXES, NAN, livetime=nothing, ontime=nothing)
    assert taken(cube) is cube


@pytest.mark.parametrize("raised", [RuntimeError("two\nlines"), SystemExit(3), TypeError("no")])
def test_what_a_method_raises_is_one_line_with_its_name(raised):
    expected = " ".join(f"{type(raised).__name__}: {raised}".split())
    with pytest.raises(ValueError, match=f"^method 'foreign': {expected}$"):
        taken(raised)


@pytest.mark.parametrize("raised", [ValueError("mine"), FileNotFoundError("gone")])
def test_errors_of_input_are_as_they_are(raised):
    with pytest.raises(type(raised)) as error:
        taken(raised)
    assert error.value is raised


def test_a_method_gets_the_executor_it_has_a_field_for():
    inline, seen = ThreadPoolExecutor(1), []
    taken(lambda method: seen.append(method.executor) or CUBE, executor=inline)
    assert seen == [inline]
    cube = reconstruct(Histogram(), RUNS, BLOB_AXES, executor=inline)
    assert_array_equal(cube.rate, CUBE.rate)


def test_axes_are_those_that_a_method_prefers():
    lowest = min(run.energy_threshold for run in RUNS)
    assert axes_for(Michi(), RUNS).energy[0] == pytest.approx(lowest)
    assert axes_for(Histogram(), RUNS).same_as(edition2015_axes(len(RUNS)))
    assert reconstruct(Michi(), RUNS).axes.same_as(axes_for(Michi(), RUNS))
