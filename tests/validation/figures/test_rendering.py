"""All figures of a run: there twice, under names that are names, the same bytes every time."""

import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest
from PIL import Image
from support.suites import HOSTILE

from simbg.validation.figures.rendering import render, slug


def test_hostile_names_make_no_paths(folder):
    names = sorted(path.name for path in (folder / "figures").iterdir())
    assert len(names) == len({name.lower() for name in names})
    assert all(re.fullmatch(r"[A-Za-z0-9_~][A-Za-z0-9_.~-]*\.(png|pdf)", name) for name in names)
    assert any("onerror" in name for name in names)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a-b", "c"), ("a", "b-c")),
        (("a--b",), ("a", "b")),
        (("a:b",), ("a-b",)),
        (("a-", "b"), ("a", "-b")),
        (("~3a~",), (":",)),
        (("..",), ("_.",)),
    ],
)
def test_what_differs_has_other_addresses(one, other):
    assert slug(*one) != slug(*other)
    assert not slug(*one).startswith(".")


def test_figures_are_there_twice(folder, pictures):
    for picture in pictures.all:
        path = folder / "figures" / f"{picture.name}.png"
        with Image.open(path) as image:
            assert image.width > 400
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    names = {picture.name for picture in pictures.all}
    kinds = ("center", "off-axis", "radial", "pulls", "pit", "coverage", "convergence")
    assert {slug("seed-2015", kind) for kind in kinds} < names
    assert slug("seed-2015", "histogram", "maps") in names
    with Image.open(folder / "example.png") as image:
        assert image.width > 800


def test_same_bytes_in_other_processes(suite, pictures):
    with ProcessPoolExecutor(2) as executor:
        again = render(replace(suite, outcomes=suite.outcomes[3:]), executor, files=True)
    assert len(again.all) == 11
    for old, new in zip(pictures.scenarios[HOSTILE], again.scenarios[HOSTILE], strict=True):
        assert old == new
    assert again.maps[HOSTILE, HOSTILE] == pictures.maps[HOSTILE, HOSTILE]
