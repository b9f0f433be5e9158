"""The page of the impact of a model: its answer stands first, it needs nothing else."""

from dataclasses import replace

import pytest
from support.pages import Page

from simbg.axes import Axes
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.impact.impact import measure_impact
from simbg.validation.impact.sources import TestSource
from simbg.validation.metrics.status import Status
from simbg.validation.pages.impact import write_impact

AXES = Axes.regular(energy=(0.5, 10, 4), fov=(2.5, 20))
TRUE = GaussianTruth().cube(AXES, livetime=3600)
MODEL = replace(TRUE, rate=TRUE.rate * (1 + 0.05 * AXES.fov_lon_center[:, None]))
SOURCES = TestSource(), TestSource(0.5)


@pytest.fixture(scope="module")
def impact():
    return measure_impact(TRUE, MODEL, sources=SOURCES)


@pytest.fixture(scope="module")
def folder(impact, tmp_path_factory):
    folder = tmp_path_factory.mktemp("impact") / "page"
    write_impact(folder, impact, 20, "<i>model</i>.fits", "true.fits")
    return folder


def test_the_answer_stands_first_and_all_numbers_follow(impact, folder):
    page = Page(folder / "index.html")
    worst = impact.worst(SOURCES[1]).flux
    size, hours = f"{worst.bias:+.2%}", f"{worst.hours:.3g} h"
    answer, _, rest = page.words.partition("reference")
    assert (size in answer, hours in answer, "<i>model</i>.fits" in answer) == (True, True, True)
    numbers = [f"{impact.rms(source):.2%}" for source in SOURCES]
    numbers += [f"{number:.2g}" for _, *both in impact.false_sources(20) for number in both]
    numbers += [f"{worst.error / 20**0.5:.2%}", "true.fits", " in 20 h"]
    assert [text for text in numbers if text not in rest] == []


def test_it_opens_anywhere_and_is_written_whole(folder, tmp_path):
    page = Page(folder / "index.html")
    assert [to[:18] for to in page.addresses] == ["data:image/svg+xml"]
    assert len(page.images[0]) > 40
    assert page.all("i") == []
    names = ["impact.pdf", "impact.png", "index.html"]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_a_verdict_and_its_status(impact, folder, tmp_path):
    verdict = Status.FAIL, "larger than required: 2% allowed"
    write_impact(tmp_path / "page", impact, 50, "model.fits", "true.fits", verdict)
    page = Page(tmp_path / "page" / "index.html")
    assert page.all("h1") == [{"class": "fail"}]
    assert f"✗ L{verdict[1][1:]}" in page.words
    assert impact.sentence()[1:] in page.words
    with pytest.raises(FileExistsError):
        write_impact(tmp_path / "page", impact, 50, "model.fits", "true.fits")
    (tmp_path / "page" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        write_impact(tmp_path / "page", impact, 50, "model.fits", "true.fits", overwrite=True)


def test_nothing_is_wider_than_a_telephone(browser, folder):
    browser.complaints.clear()
    browser.open(folder / "index.html", 400)
    assert browser.evaluate("document.documentElement.scrollWidth") == 400
    assert browser.evaluate("document.images[0].naturalWidth") > 0
    assert browser.complaints == []
