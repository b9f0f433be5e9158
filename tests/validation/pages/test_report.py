"""The report: one page for people, and files for programs, all of them the same every time."""

import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from support.pages import Page

from simbg import validation
from simbg.simulation.library import SCENARIOS
from simbg.validation.figures.rendering import render, slug
from simbg.validation.metrics.status import Status
from simbg.validation.pages.report import commit, write_report_page, write_reports
from simbg.validation.pages.summary import key_numbers
from simbg.validation.self_check.detection import CleanRuns, Detection
from simbg.validation.suite.convergence import Convergence
from simbg.validation.suite.results import Result, read_results
from simbg.validation.suite.suite import Suite, run_suite

TINY = replace(SCENARIOS["night"], name="tiny", title="Tiny", n_obs=2, ontime=600.0)
# 2015's name: its story is told and its figure drawn.
STORY = replace(TINY, name="seed-2015")
HOSTILE = '<img src=x onerror="alert(1)">&amp; \'"|`$\\frac{ ../_'
SEED = 3


def hostile(outcome):
    """The same outcome with a name in every place that a user can fill."""
    name = HOSTILE
    title = f"<script>alert(2)</script>{name}"
    scenario = replace(outcome.scenario, name=name, title=title, why=f"<b>{name}</b>")
    results = [
        replace(r, scenario=name, method=name, reason=name if r.reason else "")
        for r in outcome.results
    ]
    results[0] = replace(results[0], status="fail", reason=f"</td><script>{name}\x00\x1b[0m")
    curve = replace(outcome.convergence, method=name)
    changed = {"scenario": scenario, "method": name, "convergence": curve}
    return replace(outcome, results=tuple(results), **changed)


def told(outcome):
    """The same outcome under 2015's name, with a curve of convergence."""
    results = tuple(replace(result, scenario=STORY.name) for result in outcome.results)
    loss = (5.0, 6.0, 7.0)
    curve = Convergence(
        STORY.name, outcome.method, (1.0, 10.0, 100.0), (1e3, 1e4, 1e5), loss, (0.1,) * 3
    )
    return replace(outcome, scenario=STORY, results=results, convergence=curve)


def suite_without_check(suite):
    return replace(suite, self_check=None)


@pytest.fixture(scope="module")
def suite():
    """A run with all there is: what holds, what is known, a failure, an error, a baseline."""
    good, smooth = map(told, run_suite([TINY], ["histogram", "michi"], SEED))
    failure = Result("seed-2015", "0", "bad.module:Method", "run", status="error", reason="no")
    error = replace(
        good, method="bad.module:Method", cubes=None, results=(failure,), convergence=None
    )
    found = Detection("flip", "a flip", "", 1e6, 1.0, False, (5.0, 1e9), 0.1, "norm", 0.05, (), ())
    clean = CleanRuns(np.linspace(0.01, 1, 40).reshape(20, 2))
    changes = ("night histogram norm: worse", *(f"change {n}" for n in range(12)))
    outcomes = (good, smooth, error, hostile(smooth))
    return Suite(outcomes, SEED, changes, False, ((found,), clean))


@pytest.fixture(scope="module")
def pictures(suite):
    return render(suite_without_check(suite))


@pytest.fixture(scope="module")
def folder(suite, pictures, tmp_path_factory):
    """All files of that run."""
    folder = tmp_path_factory.mktemp("reports")
    write_reports(folder, suite_without_check(suite), pictures)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Page(folder / "index.html")


def test_everything_is_there(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("index.html", "summary.md", "results.jsonl", "junit.xml", "figures", "example.png")
    }


def test_page_loads_nothing(page):
    """Every address is a place in the page or the data themselves."""
    assert len(page.images) > 10
    assert all(address.startswith(("#", "data:image/")) for address in page.addresses)
    policy = next(a["content"] for _, a in page.tags if "content" in a and "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy


def test_links_lead_somewhere(page):
    links = [address[1:] for address in page.addresses if address.startswith("#")]
    assert len(links) > 20
    assert set(links) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert {slug("seed-2015", "michi"), slug(HOSTILE, HOSTILE), "matrix", "made"} <= set(page.ids)


def test_images_have_alternative_texts(page):
    assert all(len(alt) > 40 for alt in page.images)
    assert len(set(page.images)) == len(page.images)


def test_what_scrolls_can_be_reached_by_keyboard(page):
    regions = [a for _, a in page.tags if a.get("class") == "scroll"]
    assert len(regions) > 5
    assert all(a.get("tabindex") == "0" and a.get("aria-label") for a in regions)


def test_verdict_and_changes_come_first(page):
    """Then three numbers, then the matrix."""
    places = [
        page.text.index(text)
        for text in ("criteria hold", "night histogram norm: worse", "of its limit", "scenario\n")
        if text in page.text
    ]
    assert len(places) >= 3
    assert places == sorted(places)
    assert "worse than the baseline" in page.text
    assert "ERROR" in page.text


def test_hostile_names_are_text(page, folder):
    """No tag comes from a name; the names are there to be read."""
    # In the matrix's row, the section's heading, and more.
    assert page.text.count(HOSTILE) >= 5
    assert page.text.count("<script>alert(2)</script>") >= 2
    assert not [a for _, a in page.tags if "onerror" in a]
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "b" in [tag for tag, _ in page.tags]  # ours, in the glossary: the count below can fail
    assert not re.search(r"<b>[^<]*onerror", (folder / "index.html").read_text())


def test_hostile_names_in_the_summary(folder):
    text = (folder / "summary.md").read_text()
    assert not re.search(r"(?<!\\)<(img|script)", text)
    assert "&lt;img src=x" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    # A | in a name makes no column.
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


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


def test_junit(folder, suite):
    root = ElementTree.parse(folder / "junit.xml").getroot()
    cases = {(c.get("classname"), c.get("name")): c for c in root.iter("testcase")}
    assert cases["seed-2015.bad.module:Method", "run"].find("error").get("message") == "no"
    statuses = {"ok": None, "known": "skipped", "fail": "failure", "error": "error"}
    for result in suite.results[: -len(suite.outcomes[-1].results)]:
        case = cases.get((f"{result.scenario}.{result.method}", result.metric))
        assert (case is None) == (result.status == "info")
        if case is not None and statuses[result.status]:
            assert case.find(statuses[result.status]).get("message") == result.reason
        elif case is not None:
            assert len(case) == 0
    failures = [c for c in cases.values() if c.find("failure") is not None]
    assert len(failures) == int(root.get("failures")) == 2
    assert cases["baseline", "nothing got worse"].find("failure") is not None
    # An escape sequence and a zero byte are no XML.
    assert any("�" in c.find("failure").get("message") for c in failures)


def test_junit_of_a_self_check(tmp_path, suite):
    """A defect that is missed fails, as the command does."""
    from simbg.validation.pages.junit import write_junit
    from simbg.validation.self_check.detection import PROBES

    (found,), _ = suite.self_check
    clean = CleanRuns(np.linspace(0.01, 1, 20 * len(PROBES)).reshape(20, -1))
    checked = replace(suite, outcomes=(), changes=None, kept=True, self_check=((found,), clean))
    write_junit(tmp_path / "junit.xml", checked)
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert [c.get("name") for c in root.iter("testcase")] == ["flip", "clean runs"]
    assert int(root.get("failures")) >= 1
    assert not checked.good
    quiet = replace(checked, self_check=((replace(found, found=True),), clean))
    assert quiet.good == clean.consistent


def test_results_come_back(folder, suite):
    assert len(read_results(folder / "results.jsonl")) == len(suite.results)


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


def test_same_seed_same_bytes(suite, pictures, folder, tmp_path):
    """In other processes and another time: only the stamp of the page differs."""
    with ProcessPoolExecutor(2) as executor:
        again = render(replace(suite, outcomes=suite.outcomes[3:], self_check=None), executor)
    assert len(again.all) == 8
    for old, new in zip(pictures.scenarios[HOSTILE], again.scenarios[HOSTILE], strict=True):
        assert old == new
    assert again.maps[HOSTILE, HOSTILE] == pictures.maps[HOSTILE, HOSTILE]
    write_reports(tmp_path, suite_without_check(suite), pictures)
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".html"):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path.name
    pages = [(where / "index.html").read_text().splitlines() for where in (folder, tmp_path)]
    without = [[line for line in page if 'id="stamp"' not in line] for page in pages]
    assert without[0] == without[1]
    assert [len(page) - len(lines) for page, lines in zip(pages, without, strict=True)] == [1, 1]


def test_stale_figures_go_and_foreign_files_stay(suite, pictures, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old--pulls.png").write_bytes(b"")
    write_reports(tmp_path, suite_without_check(suite), pictures)
    assert not (tmp_path / "figures" / "old--pulls.png").exists()
    (tmp_path / "figures" / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        write_reports(tmp_path, suite_without_check(suite), pictures)
    assert (tmp_path / "figures" / "thesis.tex").read_text() == "mine"


def test_no_figures_at_all(suite, tmp_path):
    """A run in which every method ends in an error has a page, too."""
    only = replace(suite, outcomes=suite.outcomes[2:3], self_check=None, changes=None, kept=True)
    write_reports(tmp_path, only, render(only))
    page = Page(tmp_path / "index.html")
    assert "✗ 1 error; 0 of 0 criteria hold" in page.text
    assert key_numbers(only.outcomes) == []
    assert not only.good


def test_key_numbers(suite):
    """Of a run without failures none is beyond its limit; the best method is named."""
    closest, _, _ = key_numbers(suite.outcomes[:1])
    assert 0 < float(closest.value.split()[0]) <= 100
    _, unseen, accuracy = key_numbers(suite.outcomes[:2])
    (norm, *_) = [r for r in suite.outcomes[0].results if r.metric == "norm"]
    assert float(unseen.value.split()[0]) == pytest.approx(100 * norm.smallest, rel=0.06)
    pair = suite.outcomes[0].cubes
    seen = pair.expected > 0
    loss = ((pair.predicted - pair.expected)[seen] ** 2 / pair.expected[seen]).sum()
    assert accuracy.method == "michi"
    assert f"{100 * np.sqrt(loss / pair.expected.sum()):.2g} % by histogram" in accuracy.label


def test_commit_is_that_of_the_sources(monkeypatch, tmp_path):
    root = Path(validation.__file__).resolve().parents[1]
    inside = (root / ".git").exists()
    assert bool(re.match(r"[0-9a-f]{12}\b", commit())) == inside
    # Installed below another project's repository.
    assert commit(root / "validation") == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() == ""


def test_every_field_is_documented():
    """RESULTS.md is the schema that programs rest on."""
    text = (Path(validation.__file__).parent / "RESULTS.md").read_text()
    table = text.split("## `results.jsonl`")[1].split("## `junit.xml`")[0]
    documented = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    names = [*(f.name for f in fields(Result)), *(set(Status) - {Status.NOTE})]
    assert sorted(documented) == sorted(names)
    check = text.split("## `selfcheck.jsonl`")[1].split("##")[0]
    assert {f.name for f in fields(Detection)} <= set(re.findall(r"`(\w+)`", check))


def test_page_is_small(folder):
    """15 MB for 16 scenarios of three methods: this one has two sections."""
    assert (folder / "index.html").stat().st_size < 2 * 15e6 / 16


def test_self_check_has_its_matrix(suite, tmp_path):
    from simbg.validation.self_check.detection import PROBES

    (found,), _ = suite.self_check
    found = replace(found, pulls=tuple(np.linspace(0, 9, len(PROBES))))
    clean = CleanRuns(np.linspace(0.01, 1, 20 * len(PROBES)).reshape(20, -1))
    checked = replace(suite, outcomes=suite.outcomes[2:3], self_check=((found,), clean))
    write_report_page(tmp_path / "index.html", checked, render(checked))
    page = Page(tmp_path / "index.html")
    assert "0 of 1 defects found" in page.text
    assert any("Cramér–Rao" in alt for alt in page.images)
