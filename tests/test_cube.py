"""A cube: shapes, clocks, projections."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from numpy.testing import assert_allclose, assert_array_equal

from simbg.cube import BackgroundCube


def test_clock_is_converted_bin_by_bin(cube):
    """Counts are what they are: rate × time is the same on both clocks."""
    other = cube.per("ontime")
    assert other.clock == "ontime"
    # Two roundings.
    assert_allclose(other.rate * cube.ontime, cube.rate * cube.livetime, rtol=1e-15)
    assert_allclose(other.rate_error * cube.ontime, cube.rate_error * cube.livetime, rtol=1e-15)
    # Typed in: 1000 s of 1100 s in the first energy bin, 1300 of 1700 in the last.
    ratio = other.rate / cube.rate
    assert_allclose(ratio[0], 1000 / 1100, rtol=1e-15)
    assert_allclose(ratio[3], 1300 / 1700, rtol=1e-15)
    for name in ("counts", "livetime", "ontime"):
        assert_array_equal(getattr(other, name), getattr(cube, name))


def test_clock_there_and_back(cube):
    back = cube.per("ontime").per("livetime")
    assert_allclose(back.rate, cube.rate, rtol=1e-15)
    assert back.clock == "livetime"
    assert cube.per("livetime") is cube


def test_clock_without_an_error_and_without_exposure(cube):
    time = cube.livetime.copy(), cube.ontime.copy()
    rate = cube.rate.copy()
    time[0][0], time[1][0], rate[0] = 0, 0, np.nan
    bare = replace(cube, rate=rate, rate_error=None, livetime=time[0], ontime=time[1])
    other = bare.per("ontime")
    assert other.rate_error is None
    assert np.all(np.isnan(other.rate[0]))
    assert_allclose(other.rate[1:], cube.per("ontime").rate[1:], rtol=1e-15)


@pytest.mark.parametrize("missing", ["livetime", "ontime"])
def test_clock_needs_both_times(cube, missing):
    with pytest.raises(ValueError, match="no livetime and ontime"):
        replace(cube, **{missing: None}).per("ontime")


def test_unknown_clock(cube):
    with pytest.raises(ValueError, match="'deadtime'"):
        cube.per("deadtime")
    with pytest.raises(ValueError, match="'deadtime'"):
        replace(cube, clock="deadtime")


@pytest.mark.parametrize("name", ["rate", "rate_error", "counts", "livetime", "ontime"])
def test_shapes_must_fit_the_axes(cube, name):
    wrong = getattr(cube, name).transpose(0, 2, 1)
    with pytest.raises(ValueError, match=rf"^{name} .*\(4, 8, 6\).*\(4, 6, 8\)"):
        replace(cube, **{name: wrong})


def test_projections(cube):
    """Against loops; sums of 200 doubles agree to 1e-13."""
    volume = cube.axes.volume
    spectrum, image = np.zeros(4), np.zeros((6, 8))
    for i, j, k in np.ndindex(cube.axes.shape):
        rate = cube.rate[i, j, k] * volume[i, j, k]
        spectrum[i] += rate
        image[j, k] += rate
    assert_allclose(cube.spectrum, spectrum, rtol=1e-13)
    assert_allclose(cube.image, image, rtol=1e-13)
    assert cube.total == pytest.approx(spectrum.sum(), rel=1e-13)
    assert_allclose(cube.event_rate, cube.rate * volume, rtol=0)


def test_projections_leave_out_what_was_not_exposed(cube):
    rate = cube.rate.copy()
    rate[1], rate[2, 3, 4] = np.nan, np.nan
    hole = replace(cube, rate=rate)
    assert_array_equal(np.isnan(hole.spectrum), [False, True, False, False])
    assert_array_equal(np.isnan(hole.spectrum_error), [False, True, False, False])
    assert hole.total == pytest.approx(np.nansum(rate * cube.axes.volume), rel=1e-13)
    assert hole.image.shape == (6, 8)
    assert np.all(np.isfinite(hole.image))


def test_a_rate_is_enough(axes):
    cube = BackgroundCube(axes, np.ones(axes.shape))
    assert cube.clock == "livetime"
    assert cube.counts is None
    # 19.9 TeV on (5 deg) × (sin 4 deg + sin 1 deg)
    expected = 19.9e6 * np.deg2rad(5) * (np.sin(np.deg2rad(4)) + np.sin(np.deg2rad(1)))
    assert cube.total == pytest.approx(expected, rel=1e-13)


def test_quantities_of_any_unit(cube):
    other = replace(
        cube,
        rate=cube.rate * 1e6 * u.Unit("s-1 TeV-1 sr-1"),
        rate_error=cube.rate_error * 60 * u.Unit("min-1 MeV-1 sr-1"),
        livetime=cube.livetime / 3600 * u.h,
    )
    for name in ("rate", "rate_error", "livetime"):
        assert type(getattr(other, name)) is np.ndarray
        assert_allclose(getattr(other, name), getattr(cube, name), rtol=1e-14)
    with pytest.raises(ValueError, match=r"^cube: rate: .*s-1 MeV-1 sr-1$"):
        replace(cube, rate=cube.rate * u.Unit("s-1 sr-1"))


def test_spectrum_error_is_that_of_independent_bins(cube):
    """Against a loop; sums of 48 doubles agree to 1e-13."""
    expected = [
        sum(
            (cube.rate_error[i, j, k] * cube.axes.volume[i, j, k]) ** 2 for j, k in np.ndindex(6, 8)
        )
        for i in range(4)
    ]
    assert_allclose(cube.spectrum_error, np.sqrt(expected), rtol=1e-13)
    error = cube.rate_error.copy()
    error[0, 0, 0] = error[1] = np.nan
    hole = replace(cube, rate_error=error)
    assert 0 < hole.spectrum_error[0] < cube.spectrum_error[0]
    assert np.isnan(replace(cube, rate_error=None).spectrum_error).all()


def test_slice_by_energy(cube):
    low, high = cube.axes.energy[1] * 1e3 * u.GeV, cube.axes.energy[3] * u.TeV
    part = cube.slice_by_energy(low, high)
    assert part.axes.shape == (2, 6, 8)
    assert_array_equal(part.axes.energy, cube.axes.energy[1:4])
    for name in ("rate", "rate_error", "counts", "livetime", "ontime"):
        assert_array_equal(getattr(part, name), getattr(cube, name)[1:3])
    assert_allclose(part.spectrum, cube.spectrum[1:3], rtol=1e-15)
    bare = replace(cube, counts=None, rate_error=None).slice_by_energy(low, high)
    assert bare.counts is None


def test_slice_by_number(cube):
    expected = cube.slice_by_energy(cube.axes.energy[1], cube.axes.energy[3])
    for part in (cube[1:3], cube[-3:-1]):
        assert part.same_as(expected)
    assert cube[:].same_as(cube)
    for wrong in (0, slice(3, 3), slice(0, 4, 2)):
        with pytest.raises(ValueError, match="cube"):
            cube[wrong]
    with pytest.raises(TypeError):
        iter(cube)


@pytest.mark.parametrize("name", ["rate", "rate_error", "counts", "livetime", "ontime"])
def test_same_as(cube, name):
    values = getattr(cube, name).copy()
    values[0, 0, 0] = np.nan
    hole = replace(cube, **{name: values})
    assert cube.same_as(replace(cube, **{name: getattr(cube, name) * (1 + 1e-12)}))
    assert hole.same_as(replace(hole, **{name: values.copy()}))
    for other in (hole, replace(cube, **{name: getattr(cube, name) * (1 + 1e-6)})):
        assert not cube.same_as(other)
    assert not cube.same_as(cube.per("ontime"))
    assert not cube.same_as(replace(cube, rate_error=None))


def test_cube_shows_in_a_few_words(cube):
    text = repr(replace(cube, meta={"METHOD": "mine"}))
    assert len(text) < 300
    for part in ("4 × 6 × 8", "0.1 to 20 TeV", "livetime", "mine"):
        assert part in text


@pytest.mark.parametrize("format", ["gadf", "table", "image"])
def test_read_and_write(tmp_path, cube, format):
    path = tmp_path / "cube.fits.gz"
    cube.write(path, format)
    again = BackgroundCube.read(path)
    assert_allclose(again.rate, cube.per(again.clock).rate, rtol=4e-16, atol=0)
    with pytest.raises(FileExistsError, match=r"cube\.fits\.gz"):
        cube.write(path)
    cube.write(path, overwrite=True)


def test_plot_is_a_figure(cube, tmp_path):
    figure = cube.plot(title="some cube")
    assert len(figure.axes) > 4
    cube.plot(tmp_path / "cube.pdf")
    assert (tmp_path / "cube.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(FileExistsError, match=r"cube\.pdf"):
        cube.plot(tmp_path / "cube.pdf")
    with pytest.raises(ValueError, match=r"cube\.gif"):
        cube.plot(tmp_path / "cube.gif")


def test_lists_become_arrays(axes):
    cube = BackgroundCube(axes, np.ones(axes.shape).tolist())
    assert type(cube.rate) is np.ndarray
    assert cube.rate.dtype == float
