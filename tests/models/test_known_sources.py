"""Which sources are known, and which pointings lie too near them."""

import logging
import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table
from numpy.testing import assert_allclose, assert_array_equal

import simbg
from simbg.models.known_sources import Sources, known_sources

# Both sides work in double precision on angles of up to 360 deg: 360 x 2**-52 is 8e-14 deg.
ROUNDING = 1e-10

gammapy_data = pytest.mark.skipif(
    not os.environ.get("GAMMAPY_DATA"), reason="needs the public data at $GAMMAPY_DATA"
)


@pytest.fixture(autouse=True)
def _no_data(request, monkeypatch):
    """The carried table serves, unless a test asks for the data."""
    if "gammapy_data" not in request.keywords:
        monkeypatch.delenv("GAMMAPY_DATA", raising=False)


def only(*files):
    return known_sources([*files, "none"])


def far_from_sources(ra, dec, sources, *margin, **options):
    return sources.near(ra, dec, *margin, **options) < 0


def one_circle(source):
    assert len(source) == 1
    return source.ra[0], source.dec[0], source.radius[0]


# Regions: radii computed by hand


@pytest.mark.parametrize(
    ("shape", "radius"),
    [
        ("circle(80.0,20.0,1.5)", 1.5),
        ("circle(80.0,20.0,30')", 0.5),
        ('circle(5:20:00,+20:00:00,36")', 0.01),
        ("ellipse(80.0,20.0,0.3,1.2,40)", 1.2),  # DS9 has semi-axes
        ("ellipse(80.0,20.0,1.2,0.3,40)", 1.2),
        ("annulus(80.0,20.0,0.5,2.0)", 2.0),
        ("ellipse(80.0,20.0,0.1,0.2,0.6,1.2,40)", 1.2),
        ("box(80.0,20.0,3.0,4.0,40)", 2.5),  # half of the diagonal of 3 x 4
        ("box(80.0,20.0,0.6,0.8,3.0,4.0,40)", 2.5),
        ("point(80.0,20.0) # point=cross", 0.0),
        ("-circle(80.0,20.0,1.5)", 1.5),
    ],
)
def test_region_shapes(region_file, shape, radius):
    # ICRS and FK5 differ by some 0.02 arcsec
    assert_allclose(one_circle(only(region_file("fk5", shape))), (80, 20, radius), atol=1e-5)


def test_polygon(region_file):
    # a square of half side a on the equator: the corners lie at arccos(cos(a)^2) from its centre
    square = "polygon(359,-1, 1,-1, 1,1, 359,1)"
    ra, dec, radius = one_circle(only(region_file("icrs", square)))
    assert_allclose((ra + 180) % 360 - 180, 0, atol=ROUNDING)
    assert_allclose(dec, 0, atol=ROUNDING)
    assert_allclose(np.radians(radius), np.arccos(np.cos(np.radians(1)) ** 2), rtol=1e-12)


def test_a_long_galactic_polygon(region_file):
    # corners at l = 10, 11, 10 and b = 0, 0, 3 deg: in the plane the mean is (10.333, 1), and the
    # last corner the farthest, hypot(1/3, 2) deg; the sphere adds some 1e-3 of it
    source = only(region_file("galactic", "polygon(10,0, 11,0, 10,3)"))
    center = SkyCoord(source.ra[0], source.dec[0], unit="deg").galactic
    assert_allclose((center.l.deg, center.b.deg), (10 + 1 / 3, 1), atol=2e-3)
    assert_allclose(source.radius, np.hypot(1 / 3, 2), rtol=1e-3)


def test_polygon_round_the_pole(region_file):
    circle = only(region_file("icrs", "polygon(0,89, 90,89, 180,89, 270,89)"))
    # At the pole the arcsine of a double is good to its root, 1.5e-8 rad
    assert_allclose((circle.dec[0], circle.radius[0]), (90, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("frame", "where"),
    [
        ("icrs", "83.633,22.0145"),
        ("fk5", "83.633,22.0145"),
        ("fk4", "5:31:31.4,+21:58:54"),
        ("galactic", "184.5575,-5.7843"),
    ],
)
def test_the_crab_in_any_frame(region_file, frame, where):
    source = only(region_file(frame, f"circle({where},0.1)"))
    crab = SkyCoord(83.633, 22.0145, unit="deg")
    # the positions above are rounded to some arcsec
    assert SkyCoord(source.ra[0], source.dec[0], unit="deg").separation(crab) < 5 * u.arcsec


def test_region_names(region_file):
    path = region_file(
        "icrs", "circle(1,2,3) # text={My nebula}", "text(1,1) # text={a label}", "circle(4,5,6)"
    )
    assert_array_equal(only(path).name, ["My nebula", "some.reg region 3"])


@pytest.mark.parametrize("lines", [[], ["# icrs"], ["icrs", "# text(1,2) text={Crab}"]])
def test_a_region_file_without_regions(region_file, lines):
    """Nothing would be excluded, as with the file of another program or the wrong line ends."""
    with pytest.raises(ValueError, match=r"some\.reg: got no regions"):
        only(region_file(*lines))


@pytest.mark.parametrize("kind", ["pairs", "complex", "no rows", "truth values"])
def test_a_source_table_of_another_shape(tmp_path, kind):
    values = {"pairs": [[1.0, 2.0]], "complex": [1j], "no rows": [], "truth values": [True]}[kind]
    Table({"RA": [1.0][: len(values)], "DEC": values}).write(tmp_path / "t.fits")
    with pytest.raises(ValueError, match=r"t\.fits: .*expected"):
        only(tmp_path / "t.fits")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image", "circle(100,100,20)"], "region 1: .*CirclePixelRegion"),
        (["icrs", "point(1,2)", "line(1,2,3,4)"], "region 2: .*LineSkyRegion"),
        (["icrs", "panda(1,2,0,90,1,1,2,1)"], "region 1: .*panda"),
        (["physical", "circle(1,2,3)"], "region 1: .*physical"),
        (["circle(1,2,3)"], "region 1: .*frame"),
        (["icrs", "circle(1,2"], "region 1: .*TypeError"),
        (["icrs", "circle(1,2,x)"], "region 1: .*KeyError"),
        (["icrs", "circle(1,95,3)"], "region 1: .*95"),
        (["icrs", "circle(1,nan,3)"], "region 1: .*nan"),
        (["icrs", "circle(1,2,3)", "circle(1,2,181)"], "region 2: .*181"),
        (["hello"], "region 1: .*hello"),
    ],
)
def test_bad_regions(region_file, lines, message):
    with pytest.raises(ValueError, match=rf"some\.reg: {message}.*expected") as error:
        only(region_file(*lines))
    assert "\n" not in str(error.value)


# Tables


@pytest.mark.parametrize("suffix", ["ecsv", "fits", "fits.gz", "csv"])
@pytest.mark.parametrize(
    ("ra", "dec"),
    [("RA", "DEC"), ("RAJ2000", "DEJ2000"), ("ra_j2000", "Dec_J2000"), ("coord_ra", "coord_dec")],
)
def test_table_formats_and_columns(tmp_path, suffix, ra, dec):
    path = tmp_path / f"list.{suffix}"
    Table({"Source_Name": ["a", "b"], ra: [10.0, -20.0], dec: [5.0, -6.0]}).write(path)
    sources = only(path)
    assert_array_equal(sources.name, ["a", "b"])
    assert_array_equal(sources.ra, [10, 340])
    assert_array_equal(sources.dec, [5, -6])
    assert_array_equal(sources.radius, [0, 0])


def test_table_units(tmp_path):
    path = tmp_path / "list.ecsv"
    columns = {"RA": [5.5] * u.hourangle, "DEC": [0.3] * u.rad, "size": [30] * u.arcmin}
    Table(columns).write(path)
    # 5.5 h of 15 deg; 0.3 x 180 / pi
    assert_allclose(one_circle(only(path)), (82.5, 17.188733853924695, 0.5), rtol=1e-12)


def test_sexagesimal_strings(tmp_path):
    path = tmp_path / "list.ecsv"
    table = Table(
        {"ra": ["05:30:00"], "dec": ["-05:06:36"]}, units={"ra": u.hourangle, "dec": u.deg}
    )
    table.write(path)
    assert_allclose(one_circle(only(path)), (82.5, -5.11, 0), rtol=1e-12)
    path = tmp_path / "list.csv"
    path.write_text("ra,dec\n05h30m00s,-05d06m36s\n")
    assert_allclose(one_circle(only(path)), (82.5, -5.11, 0), rtol=1e-12)


def test_the_largest_size_counts_and_masked_sizes_are_zero(tmp_path):
    path = tmp_path / "list.fits"
    Table(
        {
            "ra": [1.0, 2.0, 3.0, 4.0],
            "dec": [1.0, 2.0, 3.0, 4.0],
            "morph_sigma": MaskedColumn([0.3, 0.4, 9.0, 9.0], mask=[0, 0, 1, 1], unit="deg"),
            "morph_sigma2": [12.0, np.nan, 6.0, np.nan] * u.arcmin,
        }
    ).write(path)
    assert_allclose(only(path).radius, [0.3, 0.4, 0.1, 0], rtol=1e-12)


def test_2015_catalogue_columns(tmp_path):
    path = tmp_path / "tevcat.fits"
    columns = {"coord_ra": [1.0], "coord_dec": [2.0], "size_x": [0.2], "size_y": [0.7]}
    Table(columns).write(path)
    assert_array_equal(one_circle(only(path)), (1, 2, 0.7))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,dec\n1,2\n", "x, dec.*expected RA, DEC"),
        ("name,ra,dec\na,1,2\nb,nan,2\n", r"ra of row 2 \(b\).*nan"),
        ("name,ra,dec\na,1,2\nb,,2\n", r"ra of row 2 \(b\).*nan"),
        ("ra,dec\n1,95\n", r"dec of row 1 \(list.csv row 1\).*95.0"),
        ("ra,dec,size\n1,2,-1\n", r"radius of row 1.*-1.0"),
        ("ra,dec,size\n1,2,inf\n", r"radius of row 1.*inf"),
        ("ra,dec\n05:30:00,2\n", "UnitsError.*column ra"),
        ("ra,dec\nhere,2\n", "column ra"),
        ("", "expected RA, DEC"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"list\.csv: .*{message}") as error:
        only(path)
    assert "\n" not in str(error.value)


def test_masked_names(tmp_path):
    path = tmp_path / "list.ecsv"
    Table({"name": MaskedColumn(["a", "b"], mask=[0, 1]), "ra": [1, 2], "dec": [3, 4]}).write(path)
    assert_array_equal(only(path).name, ["a", "--"])


def test_a_unit_that_is_no_angle(tmp_path):
    path = tmp_path / "list.fits"
    Table({"ra": [1.0] * u.deg, "dec": [1.0] * u.s}).write(path)
    with pytest.raises(ValueError, match=r"list\.fits: .*UnitConversionError.*column dec"):
        only(path)


@pytest.mark.parametrize("name", ["list.fits", "list.ecsv", "list.unknown"])
def test_not_a_table(tmp_path, name):
    path = tmp_path / name
    path.write_text("hello\n")
    with pytest.raises(ValueError, match=f"{name}: .*expected") as error:
        only(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["missing.reg", "missing.fits"])
def test_missing_files(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=name):
        known_sources([tmp_path / name])


# What is known, and what is added


def test_files_are_added_to_the_catalogue_in_order(region_file):
    first = region_file("icrs", "circle(1,2,3)", name="first.reg")
    second = region_file("icrs", "circle(4,5,6)", name="second.reg")
    carried, sources = known_sources(), known_sources([first, second])
    assert_array_equal(sources.ra, [*carried.ra, 1, 4])
    assert_array_equal(sources.name[-2:], ["first.reg region 1", "second.reg region 1"])


def test_none_switches_the_catalogue_off(region_file):
    path = region_file("icrs", "circle(1,2,3)")
    assert len(known_sources(["none"])) == 0
    assert len(known_sources("none")) == 0
    assert len(known_sources(["none", path])) == 1
    assert len(known_sources(path)) == len(known_sources()) + 1


def test_limit_is_for_the_catalogue(region_file):
    sources = known_sources([region_file("icrs", "circle(1,2,3)")], max_sources=5)
    assert_array_equal(sources.name, [*known_sources().name[:5], "some.reg region 1"])


def test_gammacat_is_preferred_and_its_unplaced_sources_dropped(tmp_path, monkeypatch, caplog):
    path = tmp_path / "catalogs" / "gammacat" / "gammacat.fits.gz"
    path.parent.mkdir(parents=True)
    table = Table(
        {
            "common_name": ["here", "nowhere", "there"],
            "ra": np.array([10, np.nan, 30], np.float32) * u.deg,
            "dec": np.array([1, 2, 3], np.float32) * u.deg,
            "pos_ra": [0.0, 0.0, 0.0],
            "morph_sigma": MaskedColumn([0.5, 9.0, 9.0], mask=[0, 1, 1], unit="deg"),
        }
    )
    table.write(path)
    with caplog.at_level(logging.INFO):
        sources = known_sources(data_dir=tmp_path)
    assert_array_equal(sources.name, ["here", "there"])
    assert_array_equal([sources.ra, sources.dec, sources.radius], [[10, 30], [1, 3], [0.5, 0]])
    assert f"2 known sources in {path}" in caplog.text
    monkeypatch.setenv("GAMMAPY_DATA", str(tmp_path))
    assert len(known_sources()) == 2
    # the same rows from a user are an error
    with pytest.raises(ValueError, match=r"ra of row 2 \(nowhere\)"):
        only(path)


def test_the_carried_table(tmp_path):
    sources = known_sources(data_dir=tmp_path)
    assert 60 <= len(sources) <= 200
    assert len(set(sources.name)) == len(sources)
    assert np.all(np.diff(sources.ra) >= 0)
    assert np.all(sources.radius <= 3)
    text = " ".join(
        Table.read(Path(simbg.__file__).parent / "models" / "tev_sources.ecsv").meta["comments"]
    )
    assert "compiled for this project" in text.lower()
    assert "run selection only" in text


@pytest.mark.parametrize(
    ("name", "position"),
    [
        ("Crab nebula", "05h34m31.9s +22d00m52s"),
        ("Markarian 421", "11h04m27.3s +38d12m32s"),
        ("PKS 2155-304", "21h58m52.1s -30d13m32s"),
        ("Galactic Centre (HESS J1745-290)", "17h45m40.0s -29d00m28s"),
        ("Cassiopeia A", "23h23m24s +58d48m54s"),
    ],
)
def test_carried_positions(name, position):
    sources = known_sources()
    index = list(sources.name).index(name)
    found = SkyCoord(sources.ra[index], sources.dec[index], unit="deg")
    assert found.separation(SkyCoord(position)) < 0.1 * u.deg


# Where gamma-cat (2018) and the literature disagree, or it holds no such source.
NOT_AS_GAMMACAT = {
    "IC 443": "gamma-cat is 0.3 deg off: MAGIC and VERITAS have 94.2, 22.5",
    "Vela X": "gamma-cat's ra, dec are 0.5 deg off its pos_ra, pos_dec, the measured centroid",
    "Gamma Cygni SNR": "gamma-cat has the star",
    "Boomerang (SNR G106.3+2.7)": "gamma-cat has the pulsar wind nebula, VERITAS the tail",
    "VER J2019+368": "gamma-cat has the position of VER J2016+371",
    "TXS 0210+515": "not in gamma-cat",
    "TXS 0506+056": "not in gamma-cat",
    "LMC P3": "not in gamma-cat",
    "PKS 0625-354": "not in gamma-cat",
    "OJ 287": "not in gamma-cat",
    "Eta Carinae": "not in gamma-cat",
    "3C 264": "not in gamma-cat",
    "PKS 1441+25": "not in gamma-cat",
    "RS Ophiuchi": "not in gamma-cat",
    "SS 433": "not in gamma-cat",
}


@pytest.mark.gammapy_data
@gammapy_data
def test_carried_table_against_gammacat():
    """Within 0.3 deg or its size of a gamma-cat source: all but those named above."""
    carried = known_sources(data_dir=Path("nowhere"))
    gammacat = known_sources()
    where = SkyCoord(carried.ra, carried.dec, unit="deg")
    index, separation, _ = where.match_to_catalog_sky(
        SkyCoord(gammacat.ra, gammacat.dec, unit="deg")
    )
    size = np.maximum(carried.radius, gammacat.radius[index])
    agree = separation.deg <= np.maximum(0.3, size)
    assert {*carried.name[~agree]} == {*NOT_AS_GAMMACAT}
    assert agree.mean() > 0.9


@pytest.mark.gammapy_data
@gammapy_data
def test_gammacat_is_read_whole():
    gammacat = known_sources()
    assert len(gammacat) == 162
    index = list(gammacat.name).index("Vela Junior")
    assert gammacat.radius[index] == 1
    assert_array_equal(known_sources(max_sources=5).name, gammacat.name[:5])


@pytest.mark.gammapy_data
@gammapy_data
def test_both_catalogues_drop_much_the_same():
    """Of the whole sky each drops some 8 %; they disagree on 2 % at most."""
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(0, 360, 20_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 20_000)))
    far = far_from_sources(ra, dec, known_sources(data_dir=Path("nowhere")))
    assert np.mean(far != far_from_sources(ra, dec, known_sources())) < 0.02


# Which pointings are far


def circles(*rows):
    ra, dec, radius = np.reshape(rows, (-1, 3)).T
    return Sources([f"source {row}" for row in range(len(ra))], ra, dec, radius)


def test_the_rule_along_a_meridian_and_the_equator():
    # 3 deg + 2 x 0.5 deg; exact on great circles
    sources = circles((0, 0, 0.5))
    for side in (-1, 1):
        assert far_from_sources(0, side * (4 + ROUNDING), sources)
        assert not far_from_sources(0, side * (4 - ROUNDING), sources)
        assert far_from_sources(side * (4 + ROUNDING), 0, sources)
        assert not far_from_sources(side * (4 - ROUNDING), 0, sources)


def test_ra_wraps():
    sources = circles((359.0, 0, 0))
    assert_array_equal(
        far_from_sources([1, 361, -358.5, 2.1, 355.9], [0] * 5, sources), [0, 0, 0, 1, 1]
    )


def test_at_the_poles():
    # any RA is near; across the pole 1 + 1.5 and 1 + 2.5 deg
    sources = circles((0, 89, 0), (0, -89, 0))
    ra = [0, 120, 240, 180, 180]
    dec = np.array([90, 90, 90, 88.5, 87.5])
    assert_array_equal(far_from_sources(ra, dec, sources), [0, 0, 0, 0, 1])
    assert_array_equal(far_from_sources(ra, -dec, sources), [0, 0, 0, 0, 1])


@pytest.mark.parametrize("distance", [1e-9, 1e-6, 1e-3])
def test_small_angles(distance):
    # arccos would see nothing below 1e-6 deg
    source = circles((120, 40, 0))
    assert not far_from_sources(120, 40 + distance, source, margin=1.01 * distance)
    assert far_from_sources(120, 40 + distance, source, margin=0.99 * distance)


def test_against_skycoord():
    rng = np.random.default_rng(1)
    n_sources, n_pointings = 162, 79
    sources = circles(
        *zip(
            rng.uniform(0, 360, n_sources),
            np.degrees(np.arcsin(rng.uniform(-1, 1, n_sources))),
            rng.uniform(0, 2, n_sources),
            strict=True,
        )
    )
    ra = rng.uniform(0, 360, n_pointings)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, n_pointings)))
    separation = SkyCoord(ra, dec, unit="deg")[:, None].separation(
        SkyCoord(sources.ra, sources.dec, unit="deg")
    )
    depth = 3 + 2 * sources.radius - separation.deg
    far = far_from_sources(ra, dec, sources)
    assert 0 < far.sum() < n_pointings
    assert_array_equal(far, depth.max(axis=1) < 0)
    assert_array_equal(sources.near(ra, dec), np.where(far, -1, depth.argmax(axis=1)))


def test_near_names_the_reason():
    sources = circles((10, 0, 0), (12, 0, 0), (50, 0, 5))
    # the first is nearer, the second one deeper in; then only the third, which is large
    assert_array_equal(sources.near([10.9, 11.1, 37.5, 100], [0] * 4), [0, 1, 2, -1])


def test_units_shapes_and_no_sources():
    sources = circles((90, 0, 0))
    ra, dec = np.array([[80, 88, 90], [92, 94, 96]]) * u.deg, 0 * u.deg
    expected = [[True, False, False], [False, True, True]]
    assert_array_equal(far_from_sources(ra, dec, sources), expected)
    assert_array_equal(far_from_sources(ra.to(u.hourangle), dec, sources, 180 * u.arcmin), expected)
    assert_array_equal(far_from_sources(ra.value, 0, sources), expected)
    assert_array_equal(far_from_sources(ra, dec, known_sources("none")), np.ones((2, 3), bool))
    assert far_from_sources([], [], sources).shape == (0,)


def test_pointings_must_be_finite():
    with pytest.raises(ValueError, match=r"\[1\]"):
        far_from_sources([1, np.nan], [2, 3], known_sources())


def test_sources_are_checked():
    with pytest.raises(ValueError, match="shapes"):
        Sources(["a"], [1, 2], [3, 4], [0, 0])
    with pytest.raises(ValueError, match=r"radius of row 2 \(b\).*nan"):
        Sources(["a", "b"], [1, 2], [3, 4], [0, np.nan])
