"""Results as JUnit XML, which continuous integration shows as tests."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from simbg.io.safe_files import new_file
from simbg.validation.metrics.status import Status
from simbg.validation.suite.suite import self_check_lines

__all__ = ["write_junit"]

# What XML 1.0 has no way to write.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path, suite):
    """Write a test suite a scenario, and one each for the baseline and the self-check.

    A criterion is a test: one that fails as is known is skipped with its reason; metrics
    without a criterion are no tests. The file fails where the command ends with 1.
    """
    root = ElementTree.Element("testsuites", name="simbg validate")
    for name in suite.scenarios:
        cases = [
            _case(outcome, result)
            for outcome in suite.outcomes
            for result in outcome.results
            if outcome.scenario.name == name and result.status != Status.INFO
        ]
        root.append(_suite(name, cases))
    if suite.changes is not None:
        text = "\n".join(suite.changes)
        root.append(_suite("baseline", [_one("baseline", "nothing got worse", suite.kept, text)]))
    if suite.self_check is not None:
        found, clean = suite.self_check
        *lines, about, _ = self_check_lines(found, clean)
        cases = [
            _one("self-check.defects", f.name, f.found, line)
            for f, line in zip(found, lines, strict=True)
        ]
        cases.append(_one("self-check", "clean runs", clean.consistent, about))
        root.append(_suite("self-check", cases))
    for kind in ("tests", "failures", "errors", "skipped"):
        root.set(kind, str(sum(int(child.get(kind)) for child in root)))
    ElementTree.indent(root)
    with new_file(path, overwrite=True) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def _suite(name, cases):
    element = ElementTree.Element("testsuite", name=_text(name), tests=str(len(cases)))
    for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(kind, str(sum(case.find(tag) is not None for case in cases)))
    element.extend(cases)
    return element


def _case(outcome, result):
    where = {"classname": _text(f"{result.scenario}.{outcome.method}"), "name": result.metric}
    case = ElementTree.Element("testcase", where)
    if tag := result.status.junit:
        about = f"{result.value:.5g} for {result.ideal:.5g} ± {result.limit:.2g} {result.unit}"
        child = ElementTree.SubElement(case, tag, message=_text(result.reason))
        child.text = None if result.status == Status.ERROR else _text(about.strip())
    return case


def _one(classname, name, good, text):
    case = ElementTree.Element("testcase", classname=classname, name=_text(name))
    if good:
        ElementTree.SubElement(case, "system-out").text = _text(text)
    else:
        ElementTree.SubElement(case, "failure", message=_text(text.split("\n")[0])).text = _text(
            text
        )
    return case


def _text(text):
    return FORBIDDEN.sub("�", str(text))
