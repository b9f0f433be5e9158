"""The page of a comparison: what it says, that it needs nothing else, that names are text."""

import re
from dataclasses import replace

import numpy as np
import pytest
from support.one_draw import draw
from support.pages import Page

from simbg.axes import Axes, edition2015_axes
from simbg.io.cubes import write_cube
from simbg.observations.stacked_counts import EventRecord
from simbg.truth.edition2015_cube import edition2015_cube
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.comparison.compare import compare
from simbg.validation.comparison.folders import compare_paths
from simbg.validation.pages.comparison import write_comparison

TRUTH = GaussianTruth(event_rate=9.0, sigma=(1.6, 2.8), peak=(0.6, -0.3))
FINE = Axes(np.geomspace(0.1, 50, 9), np.linspace(-3, 3, 13), np.linspace(-3, 3, 13))
COARSE = Axes(FINE.energy[::2], FINE.fov_lon[::2], FINE.fov_lat)
SHIFTED = Axes(np.geomspace(0.1, 50, 8), FINE.fov_lon, FINE.fov_lat)
EVIL = "<script>alert(1)</script>&amp;$x_$"


def written(a, b, out, normalize="none", **options):
    """The page of a comparison, and what it is of."""
    comparisons = compare_paths(a, b, normalize)
    write_comparison(out, comparisons, a, b, normalize, **options)
    return Page(out / "index.html"), comparisons


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Of two folders with all that can happen: bytes, parsed page, folder."""
    root = tmp_path_factory.mktemp("sets")
    heavy = replace(TRUTH, event_rate=9.5)
    models = {
        "a": {"group0": (TRUTH, FINE), "group1": (TRUTH, FINE), "group2": (TRUTH, FINE)}
        | {"group4": (TRUTH, FINE), f"group5{EVIL.replace('/', '')}": (TRUTH, FINE)},
        "b": {"group0": (TRUTH, COARSE), "group1": (heavy, FINE), "group3": (TRUTH, FINE)}
        | {"group4": (TRUTH, SHIFTED)},
    }
    for folder, cubes in models.items():
        (root / folder).mkdir()
        for group, (truth, axes) in cubes.items():
            path = root / folder / f"bg_cube_model_{group}_table.fits"
            write_cube(path, truth.cube(axes), "table")
    return *written(root / "a", root / "b", root / "page"), root


def test_a_section_a_group(page):
    """What each of them says is there: verdicts, missing groups, and other binnings."""
    page, comparisons, _ = page
    sections = [attrs["id"] for attrs in page.all("section")]
    links = [attrs["href"] for attrs in page.all("a")]
    assert links == [f"#{name}" for name in sections]
    assert len(sections) == 6
    # Groups 0, 1 and 4 are in both folders, and 1 is not of the same truth.
    assert re.search(r"2 of 3 .* 3 ", page.words)
    for comparison in comparisons:
        assert comparison.to_dict()["verdict"][1:] in page.words
    binnings = [found for c in comparisons if (found := getattr(c, "binning", ""))]
    assert len(binnings) == 2
    assert all(binning in page.words for binning in binnings)


def test_it_opens_anywhere(page):
    """Pictures are inside, described, and nothing is asked of any network."""
    page, _, root = page
    images = page.all("img")
    assert len(images) == 3
    assert all(attrs["src"].startswith("data:image/svg+xml,") for attrs in images)
    assert all(len(attrs["alt"]) > 40 for attrs in images)
    for tag, attrs in page.tags:
        assert tag not in ("link", "iframe", "object")
        assert not (tag == "script" and attrs)
        for name in ("src", "href"):
            assert attrs.get(name, "#").startswith(("#", "data:image/svg"))
    assert sorted(path.name for path in (root / "page").iterdir()) == [
        "bg_cube_model_group0.png",
        "bg_cube_model_group1.png",
        "bg_cube_model_group4.png",
        "index.html",
    ]


def test_names_are_text(page):
    page, *_ = page
    assert EVIL.replace("/", "") in page.words
    assert page.all("script") == [{}]  # that of all pages


def test_same_bytes_and_nothing_replaced_unasked(page, tmp_path):
    *_, root = page
    written(root / "a", root / "b", tmp_path / "page")
    for path in (root / "page").iterdir():
        assert path.read_bytes() == (tmp_path / "page" / path.name).read_bytes()
    with pytest.raises(FileExistsError, match="--overwrite"):
        written(root / "a", root / "b", tmp_path / "page")
    (tmp_path / "page" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        written(root / "a", root / "b", tmp_path / "page", overwrite=True)


def test_two_files(tmp_path):
    """A name with a formula in it, counts in both, and other bins."""
    names = [tmp_path / "a$x_$<i>.fits", tmp_path / "b.fits"]
    for path, axes in zip(names, (FINE, COARSE), strict=True):
        cube = TRUTH.cube(axes)
        time = np.full(axes.shape, 6e4)
        counts = np.round(cube.rate * axes.volume * time)
        rate = counts / time / axes.volume
        write_cube(path, replace(cube, rate=rate, counts=counts, livetime=time), "table")
    page, (found,) = written(*names, tmp_path / "page", "image")
    assert found.agree
    assert found.name == "a$x_$<i>.fits, b.fits"
    assert found.name in page.words
    assert found.verdict[1:] in page.words
    assert not page.all("i")
    assert (tmp_path / "page" / "a$x_$<i>.png").is_file()


def test_the_first_sentence_and_what_a_reader_must_know(tmp_path):
    """The norm alone differs; one cube each; and the events of B are those of A."""
    rng = np.random.default_rng(8)
    record = EventRecord.of([(1, 10, 5)])
    for name, factor in (("a.fits", 1.0), ("b.fits", 1.1)):
        # Counts of a livetime that is longer by the factor than the one that is stated.
        cube = draw("raw", rng, 20_000.0 * factor)
        times = {"livetime": cube.livetime / factor, "ontime": cube.ontime / factor}
        cube = replace(cube, rate=factor * cube.rate, **times, made_from=record)
        write_cube(tmp_path / name, cube)
    page, (found,) = written(tmp_path / "a.fits", tmp_path / "b.fits", tmp_path / "page")
    assert found.sentence in page.words
    norm = found.measures["norm"]
    assert abs(norm.value - 1.1) < 5 * norm.error
    assert found.norm_only
    assert f"the norm, by {found.norm_only}" in page.words
    assert "from one cube each" in page.words
    assert found.notes[0] in page.words


def test_the_pair_of_2015_has_its_story(tmp_path):
    """Index 1.5 of the counts, 2.5 of the rate; pages of other pairs have one figure a group."""
    true = edition2015_cube(edition2015_axes(), altitude=81.0, index_counts=1.5)
    for name, norm in (("a.fits", 1.0), ("b.fits", 3e-3)):
        rate = norm * true.rate * true.axes.energy_center[:, None, None] ** -0.2
        cube = replace(true, rate=true.rate if norm == 1.0 else rate, counts=None)
        write_cube(tmp_path / name, cube, "image")
    page, _ = written(tmp_path / "a.fits", tmp_path / "b.fits", tmp_path / "page")
    assert len(page.images) == 2
    assert sum("1.5" in alt and "2.5" in alt for alt in page.images) == 1
    assert "00 ± 0.00" not in page.words


def test_identical_cubes_over_a_threshold(tmp_path):
    """Nothing below 1 TeV: images of what there is, no remains of rounding, no warnings."""
    axes = Axes(np.geomspace(0.1, 50, 9), FINE.fov_lon, FINE.fov_lat)
    cube = TRUTH.cube(axes)
    time = np.full(axes.shape, 6e4)
    counts = np.random.default_rng(4).poisson(cube.rate * axes.volume * time)
    counts[axes.energy[:-1] < 1] = 0
    cube = replace(cube, rate=counts / axes.volume / time, counts=counts, livetime=time)
    for name in ("a.fits", "b.fits"):
        write_cube(tmp_path / name, cube, "table")
    page, (found,) = written(tmp_path / "a.fits", tmp_path / "b.fits", tmp_path / "page")
    assert found.agree
    assert found.verdict[1:] in page.words
    assert not re.search(r"e-1[5-9]", page.words)


def test_one_bin_agrees_with_itself():
    """No widths, no indices, nothing to turn: what is there is the same."""
    axes = Axes([0.1, 100], [-2, 2], [-3, 2])
    cube = TRUTH.cube(axes)
    assert compare(cube, cube).agree
    assert not compare(cube, replace(cube, rate=1.1 * cube.rate)).agree
