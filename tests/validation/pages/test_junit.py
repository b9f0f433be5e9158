"""JUnit XML: what fails in it is what the command fails for."""

from dataclasses import replace
from xml.etree import ElementTree

from support.suites import with_self_check

from simbg.validation.figures.rendering import render
from simbg.validation.pages.report import write_reports


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
    checked = with_self_check(replace(suite, outcomes=(), changes=None, kept=True))
    write_reports(tmp_path, checked, render(checked))
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert [c.get("name") for c in root.iter("testcase")] == ["flip", "clean runs"]
    assert int(root.get("failures")) >= 1
    assert not checked.ok
    quiet = with_self_check(checked, found=True)
    assert quiet.ok == quiet.self_check[1].consistent
