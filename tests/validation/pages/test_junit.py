"""JUnit XML: what fails in it is what the command fails for."""

from xml.etree import ElementTree


def test_junit(folder, suite):
    root = ElementTree.parse(folder / "junit.xml").getroot()
    cases = {(c.get("classname"), c.get("name")): c for c in root.iter("testcase")}
    assert cases["seed-2015.bad.module:Method", "run"].find("error").get("message") == "no"
    statuses = {
        "ok": None,
        "warning": None,
        "undecided": "skipped",
        "known": "skipped",
        "fail": "failure",
        "error": "error",
    }
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
