"""The report: one page for people, and files for programs, all of them the same every time."""

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from support.pages import Page
from support.suites import HOSTILE

from simbg import validation
from simbg.validation.figures.rendering import Pictures, render, slug
from simbg.validation.metrics.status import Status
from simbg.validation.pages.report.page import commit, write_reports
from simbg.validation.questions.honesty import TOLERANCE
from simbg.validation.suite.known_failures import known_questions
from simbg.validation.suite.results import Result


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
    places = {slug("seed-2015", "michi"), slug(HOSTILE, HOSTILE), "matrix", "response", "made"}
    assert places <= set(page.ids)


def test_images_have_alternative_texts(page):
    assert all(len(alt) > 40 for alt in page.images)
    assert len(set(page.images)) == len(page.images)


def test_what_scrolls_can_be_reached_by_keyboard(page):
    regions = [a for _, a in page.tags if a.get("class") == "scroll"]
    assert len(regions) > 5
    assert all(a.get("tabindex") == "0" and a.get("aria-label") for a in regions)


def test_verdict_and_changes_come_first(page, suite):
    """Then a row for each method, then the matrix."""
    biases = [verdict.bias for verdict in suite.verdicts if verdict.bias != "–"]
    assert len(biases) >= 2
    places = [page.text.index(text) for text in (suite.text, suite.changes[0], *biases)]
    places.append(page.text.index("Tiny", places[-1]))
    assert places == sorted(places)
    # What is beyond the first few changes can be opened.
    assert all(change in page.text for change in suite.changes)
    assert Status.ERROR.word in page.text


def test_hostile_names_are_text(page, folder):
    """No tag comes from a name; the names are there to be read."""
    # In the matrix's row, the section's heading, and more.
    assert page.text.count(HOSTILE) >= 5
    assert page.text.count("<script>alert(2)</script>") >= 2
    assert not [a for _, a in page.tags if "onerror" in a]
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "b" in [tag for tag, _ in page.tags]  # ours, in the glossary: the count below can fail
    assert not re.search(r"<b>[^<]*onerror", (folder / "index.html").read_text())


def test_results_come_back(folder, suite):
    assert len(Result.read(folder / "results.jsonl")) == len(suite.results)


def test_same_files_at_another_time(suite, pictures, folder, tmp_path):
    """Only the stamp of the page differs."""
    write_reports(tmp_path, suite, pictures)
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".html"):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path.name
    pages = [(where / "index.html").read_text().splitlines() for where in (folder, tmp_path)]
    without = [[line for line in page if 'id="stamp"' not in line] for page in pages]
    assert without[0] == without[1]
    assert [len(page) - len(lines) for page, lines in zip(pages, without, strict=True)] == [1, 1]


def test_figures_are_files_only_on_request(suite, pictures, tmp_path):
    """Without --figures those of an earlier report are gone, and the page has all."""
    write_reports(tmp_path, suite, pictures)
    drawn = [replace(p, png=b"", pdf=b"") for p in pictures.scenarios["seed-2015"]]
    response = replace(pictures.response, png=b"", pdf=b"")
    few = Pictures({"seed-2015": drawn}, {}, response=response)
    write_reports(tmp_path, suite, few)
    assert not (tmp_path / "figures").exists()
    assert len(Page(tmp_path / "index.html").images) >= len(drawn)


def test_stale_figures_go_and_foreign_files_stay(suite, pictures, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old--pulls.png").write_bytes(b"")
    write_reports(tmp_path, suite, pictures)
    assert not (tmp_path / "figures" / "old--pulls.png").exists()
    (tmp_path / "figures" / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        write_reports(tmp_path, suite, pictures)
    assert (tmp_path / "figures" / "thesis.tex").read_text() == "mine"


def test_no_figures_at_all(suite, tmp_path):
    """A run in which every method ends in an error has a page, too."""
    only = replace(suite, outcomes=suite.outcomes[2:3], changes=None, baseline_holds=True)
    write_reports(tmp_path, only, render(only))
    page = Page(tmp_path / "index.html")
    assert f"{Status.FAIL.mark} {only.text}" in page.text
    assert [v.word for v in only.verdicts] == ["not judged"]
    assert not only.ok


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


def test_page_is_small(folder):
    """3 MB for 17 scenarios, of which most have fewer figures than the two sections of this one."""
    assert (folder / "index.html").stat().st_size < 3 * 3e6 / 17


def test_words_that_need_a_reason_have_one(folder, suite, pictures, tmp_path):
    """Below the matrix: those of known failures and warnings of any method."""
    html = (folder / "index.html").read_text()
    explained = re.findall("<dt>([^<]*)</dt><dd>", html)
    words = set(re.findall(r'<a class="(?:known|warning)"[^>]*>\S+ ([^<]*)</a>', html))
    assert len(words) >= 2
    assert [word for word in words if not any(known in word for known in explained)] == []
    # A warning that is not there is not explained.
    quiet = [r for r in suite.results if r.status is not Status.WARNING]
    only = replace(suite.outcomes[0], results=tuple(r for r in quiet if r.method == "histogram"))
    write_reports(tmp_path, replace(suite, outcomes=[only]), pictures)
    assert "wrong counts" in explained
    assert "<dt>wrong counts</dt>" not in (tmp_path / "index.html").read_text()


def test_a_known_bias_has_its_reason_beside_the_verdict(page, suite):
    (verdict,) = (v for v in suite.verdicts if v.method == "michi")
    reason = known_questions("michi")["bias"]
    assert verdict.bias_reason == reason
    assert reason in page.words.partition("Scenarios and methods")[0]
    assert [v.bias_reason for v in suite.verdicts if v.method == "histogram"] == [""]


def test_what_is_allowed_is_in_the_units_of_the_value(page, suite):
    ends = f"≥ {1 - TOLERANCE:.4g} × scatter, ≤ {1 + TOLERANCE:.4g} × distance"
    honest = [r for r in suite.results if r.metric == "honesty" and r.status is Status.OK]
    assert honest
    assert page.text.count(ends) >= len(honest)
    assert "≤ 1 %" in page.text


def test_a_method_that_a_table_leaves_out_is_named(suite, tmp_path):
    """With a link to the scenario where its convergence was measured."""
    first, second, *_ = suite.outcomes
    scenario = replace(first.scenario, name="other", title="Other")
    others = [
        replace(first, scenario=scenario),
        replace(second, scenario=scenario, convergence=None),
    ]
    whole = replace(suite, outcomes=[first, second, *others], response=None)
    write_reports(tmp_path, whole, Pictures({}, {}))
    section = (tmp_path / "index.html").read_text().split(' id="other--"')[1].split("<section")[0]
    assert re.search(f"{second.method} takes long .*#seed-2015", section)
    assert f"{first.method} takes long" not in section
