"""Results as JUnit XML, which continuous integration shows as tests."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from simbg.io.safe_files import new_file
from simbg.validation.metrics.status import Status
from simbg.validation.self_check.detection import SelfCheck
from simbg.validation.suite.suite import Suite

__all__ = ["write_junit"]

# Characters that XML 1.0 cannot contain.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, suite: Suite) -> None:
    """Write a test suite for each scenario, and one for the baseline.

    A criterion is a test. A known failure and an undecided answer are skipped, with the reason.
    Metrics without a criterion are not tests. Without the option --strict, a test fails if and only
    if the command ends with exit code 1.

    Parameters
    ----------
    path : Path
        The file.
    suite : Suite
        The run.
    """
    root = Element("testsuites", name="simbg validate")
    for name in suite.scenarios:
        results = [r for o in suite.outcomes if o.scenario.name == name for r in o.results]
        _add_suite(root, name, [_criterion(r) for r in results if r.status != Status.INFO])
    if suite.changes is not None:
        text = "\n".join(suite.changes)
        check = _check("baseline", "nothing got worse", suite.baseline_holds, text)
        _add_suite(root, "baseline", [check])
    _write(path, root)


def write_self_check_junit(path: Path, check: SelfCheck) -> None:
    """Write a test for each defect, and one for the clean runs."""
    root = Element("testsuites", name="simbg self-check")
    cases = [_check("self-check.defects", d.name, d.detected, d.text) for d in check.detections]
    cases.append(_check("self-check", "clean runs", check.clean.consistent, check.clean.text))
    _add_suite(root, "self-check", cases)
    _write(path, root)


def _write(path, root):
    for kind in ("tests", "failures", "errors", "skipped"):
        root.set(kind, str(sum(int(child.get(kind, 0)) for child in root)))
    indent(root)
    with new_file(path, overwrite=True) as temporary:
        ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def _add_suite(root, name, cases):
    element = SubElement(root, "testsuite", name=_text(name), tests=str(len(cases)))
    for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(kind, str(sum(case.find(tag) is not None for case in cases)))
    element.extend(cases)


def _criterion(result):
    numbers = f"{result.value:.5g} ± {result.error:.2g}, limit {result.limit:.2g} {result.unit}"
    text = None if result.status == Status.ERROR else numbers.strip()
    where = f"{result.scenario}.{result.method}", result.metric
    return _case(*where, result.status.junit, text, message=result.reason)


def _check(classname, name, good, text):
    if good:
        return _case(classname, name, "system-out", text)
    return _case(classname, name, "failure", text, message=text.split("\n")[0])


def _case(classname, name, tag, text, **more):
    """A test, with an element for its outcome unless ``tag`` is None."""
    case = Element("testcase", classname=_text(classname), name=_text(name))
    if tag:
        child = SubElement(case, tag, {key: _text(value) for key, value in more.items()})
        child.text = None if text is None else _text(text)
    return case


def _text(text):
    return FORBIDDEN.sub("�", str(text))
