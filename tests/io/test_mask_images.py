"""Mask images in files and as maps of gammapy: what is masked, and the exposure of each pixel."""

import warnings
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal
from regions import CirclePixelRegion, CircleSkyRegion, PixCoord, Regions

from simbg.axes import Axes
from simbg.io.mask_images import is_mask_image, read_mask_image, regions_of_map
from simbg.models.selection import Selection
from simbg.observations.exposure import stack_observations
from simbg.observations.masked_exposure import unmasked_fraction_of_run
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.sky.regions import circle, excluded

EXPERIMENT = Experiment.of(replace(SCENARIOS["night"], target=(83.6, -22.0)), 0, 2)
AXES = Axes([0.1, 0.5, 1, 3, 100], np.linspace(-3, 3, 13), np.linspace(-2, 2, 9))
RADIUS, PIXEL = 0.8, 0.02
SOURCE = SkyCoord(83.9, -21.5, unit="deg")


def make_mask(pixel=PIXEL, radius=RADIUS):
    """A mask about the source, in galactic coordinates, and its header."""
    n = int(6 * radius / pixel)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["GLON-TAN", "GLAT-TAN"]
    wcs.wcs.crval = SOURCE.galactic.l.deg + 0.3, SOURCE.galactic.b.deg
    wcs.wcs.cdelt, wcs.wcs.crpix = (-pixel, pixel), (n / 2, n / 2)
    y, x = np.indices((n, n))
    return (wcs.pixel_to_world(x, y).separation(SOURCE).deg > radius).astype(np.int16), wcs


def write_mask(path, data=None, hdu=fits.PrimaryHDU, **options):
    mask, wcs = make_mask(**options)
    hdu = hdu(mask if data is None else data, wcs.to_header())
    hdus = [hdu] if isinstance(hdu, fits.PrimaryHDU) else [fits.PrimaryHDU(), hdu]
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture(scope="module")
def observations():
    return EXPERIMENT.observations()


@pytest.mark.parametrize("hdu", [fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU])
def test_exposure_is_that_of_the_circle(tmp_path, observations, hdu):
    """The image of a circle: its pixels cover the area to 1e-3, the border differs by a pixel."""
    path = write_mask(tmp_path / "mask.fits.gz", hdu=hdu)
    assert is_mask_image(path)
    run = observations[0]
    with_image, with_circle = (
        unmasked_fraction_of_run(AXES, replace(run, excluded=regions), run.events())
        for regions in (
            read_mask_image(path),
            (circle(SOURCE.ra.deg, SOURCE.dec.deg, RADIUS),),
        )
    )
    assert (with_circle < 1).sum() > 10
    # 0.02 deg of 0.5 deg; the sum over the field is better.
    assert_allclose(with_image, with_circle, atol=0.02)
    masked = ((1 - fractions) * AXES.solid_angle for fractions in (with_image, with_circle))
    assert_allclose(*map(np.sum, masked), rtol=2e-3)


def test_events_and_exposure_are_masked_alike(observations):
    """Rates of a flat field do not change: in each pixel, masked counts go with the exposure."""
    mask, wcs = make_mask()
    hdu = fits.PrimaryHDU(mask, wcs.to_header())
    regions = regions_of(hdu)
    ra, dec = SOURCE.ra.deg, SOURCE.dec.deg
    for run in observations:
        events = replace(run, excluded=regions).events()
        assert not excluded(*events.sky, [circle(ra, dec, RADIUS - PIXEL)]).any()
        lost = len(run.events()) - len(events)
        inside = excluded(*run.events().sky, [circle(ra, dec, RADIUS)]).sum()
        assert abs(lost - inside) < 0.05 * inside + 5


def regions_of(hdu):
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".fits") as file:
        hdu.writeto(file.name, overwrite=True)
        return read_mask_image(file.name)


@pytest.fixture
def maps():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gammapy's own imports
        return pytest.importorskip("gammapy.maps")


@pytest.mark.gammapy
def test_one_mask_an_energy(tmp_path, observations, maps):
    """Each energy bin is that of a run with its mask alone; bins over two masks have both."""
    radii = np.array([0.9, 0.6, 0.0])
    energy = maps.MapAxis.from_energy_edges([0.1, 1, 2, 100] * u.TeV)
    geom = maps.WcsGeom.create(skydir=SOURCE, width=4, binsz=0.05, frame="galactic", axes=[energy])
    away = geom.to_image().separation(SOURCE).deg
    theirs = maps.WcsNDMap(geom, data=away > radii[:, None, None])
    theirs.write(tmp_path / "mask.fits")
    regions = read_mask_image(tmp_path / "mask.fits")
    assert regions == regions_of_map(theirs)
    masked = [replace(run, excluded=regions) for run in observations]
    stack = stack_observations(masked, AXES)
    for k, radius in enumerate([0.9, 0.9, 0.6, None]):
        image = maps.WcsNDMap(geom.to_image(), data=away > (radius or 0))
        alone = [replace(run, excluded=regions_of_map(image)) for run in observations]
        expected = stack_observations(alone if radius else observations, AXES)
        assert_array_equal(stack.counts[k], expected.counts[k])
        assert_allclose(stack.livetime[k], expected.livetime[k], rtol=1e-12)
    assert stack.livetime[0].min() < stack.livetime[2].min() < stack.livetime[3].min()


@pytest.mark.gammapy
def test_files_of_gammapy_and_maps_in_memory(tmp_path, maps):
    geom = maps.WcsGeom.create(skydir=SOURCE, width=(6, 3), binsz=0.05, proj="CAR")
    theirs = maps.WcsNDMap(geom, data=geom.separation(SOURCE).deg > 0.5)
    theirs.write(tmp_path / "mask.fits.gz")
    expected = regions_of_map(theirs)
    assert read_mask_image(tmp_path / "mask.fits.gz") == expected
    selection = Selection(sources="mask", exclude=("none", theirs))
    assert selection.regions() == expected
    # gammapy's own answer at random directions.
    rng = np.random.default_rng(0)
    sky = SOURCE.directional_offset_by(
        rng.uniform(0, 360, 2000) * u.deg, rng.uniform(0, 1, 2000) * u.deg
    )
    keeps = theirs.get_by_coord(sky).astype(bool)
    assert_array_equal(excluded(sky.ra.deg, sky.dec.deg, expected), ~keeps)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (np.full((10, 10), 7.0), "7"),
        (np.full((10, 10), 0.5), "0.5"),
        (np.ones((3, 10, 10)), "energies"),
        (np.ones((10, 10)), "no pixel of 0"),
        (np.full((10, 10), np.nan), "no pixel of 0"),
    ],
)
def test_images_that_are_no_masks(tmp_path, data, named):
    path = write_mask(tmp_path / "counts.fits", data)
    with pytest.raises(ValueError, match=rf"counts\.fits: .*{named}.*expected"):
        read_mask_image(path)


def test_a_pixel_that_is_not_known_is_not_excluded(tmp_path):
    data = np.full((10, 10), np.nan)
    data[3, 4] = 0
    found = read_mask_image(write_mask(tmp_path / "mask.fits", data))
    known = write_mask(tmp_path / "known.fits", np.nan_to_num(data, nan=1))
    assert found == read_mask_image(known) != ()


def test_dropping_runs_needs_regions(tmp_path):
    path = write_mask(tmp_path / "mask.fits")
    from simbg.models.known_sources import known_sources

    with pytest.raises(ValueError, match=r"mask\.fits: .*--sources mask"):
        known_sources(("none", str(path)))


def test_regions_in_python():
    shape = CircleSkyRegion(SOURCE, 0.5 * u.deg)
    expected = (circle(SOURCE.ra.deg, SOURCE.dec.deg, 0.5),)
    for given in (shape, Regions([shape]), [shape], ("none", [shape]), expected[0]):
        regions = Selection(sources="mask", exclude=("none", given)).regions()
        assert_allclose(regions[0].center, expected[0].center)
        assert regions[0].radius == pytest.approx(0.5)
        assert len(regions) == 1
    with pytest.raises(ValueError, match=r"image coordinates.*to_sky"):
        Selection(sources="mask", exclude=CirclePixelRegion(PixCoord(1, 1), 2)).regions()
    with pytest.raises(ValueError, match="exclude: got type int"):
        Selection(exclude=3)


@pytest.mark.parametrize("name", ["a.REG", "a.ds9", "a.txt", "a.reg.gz", "a"])
def test_region_files_of_any_name(tmp_path, name):
    import gzip

    text = b"# my sources\nicrs\ncircle(83,-30,0.5)\n"
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    (region,) = Selection(sources="mask", exclude=("none", tmp_path / name)).regions()
    assert region == circle(83, -30, 0.5)


@pytest.mark.parametrize(
    ("column", "size"),
    [
        ("radius", 0.5),
        ("r39_b", 0.5),
        ("semi_major", 0.5),
        ("Rext", 0.5),
        ("Conf_95_SemiMajor", 0.0),
    ],
)
def test_sizes_by_other_names(tmp_path, caplog, column, size):
    """They are used and named; the size of the error of a position is not."""
    table = Table({"RAJ2000": [83.0] * u.deg, "DEJ2000": [-30.0] * u.deg, column: [30] * u.arcmin})
    table.write(tmp_path / "sources.fits")
    selection = Selection(sources="mask", exclude=("none", tmp_path / "sources.fits"))
    (region,) = selection.regions()
    assert region.radius == pytest.approx(selection.margin + 2 * size)
    assert (column in caplog.text) == (column in ("r39_b", "semi_major", "Rext"))


@pytest.mark.parametrize("header", ["ra dec radius", "# ra dec radius"])
def test_a_table_in_plain_text(tmp_path, header):
    (tmp_path / "sources.txt").write_text(f"{header}\n83 -30 0.5\n")
    selection = Selection(sources="mask", exclude=("none", tmp_path / "sources.txt"))
    (region,) = selection.regions()
    assert region == circle(83, -30, selection.margin + 1)


def test_a_name_that_is_nearly_right(tmp_path):
    (tmp_path / "sources.reg").write_text("icrs\ncircle(83,-30,0.5)\n")
    with pytest.raises(FileNotFoundError, match=r"source\.reg.*'sources\.reg'"):
        Selection(sources="mask", exclude=tmp_path / "source.reg").regions()
