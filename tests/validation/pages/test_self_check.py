"""The files of a self-check."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.pages import Page
from support.suites import make_self_check

from simbg import validation
from simbg.validation.pages.self_check import write_self_check


@pytest.mark.parametrize("found", [False, True])
def test_files(tmp_path, found):
    check = make_self_check(found)
    write_self_check(tmp_path, check, 3)
    page = Page(tmp_path / "index.html")
    assert check.text in page.text
    assert any("optimal test" in alt for alt in page.images)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "self-check.png",
        "self-check.pdf",
    }
    (record,) = map(json.loads, (tmp_path / "selfcheck.jsonl").read_text().splitlines())
    assert (record["name"], record["found"]) == ("flip", found)
    # A defect that is missed fails, as the command does.
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    failed = [c.get("name") for c in root.iter("testcase") if c.find("failure") is not None]
    assert [c.get("name") for c in root.iter("testcase")] == ["flip", "clean runs"]
    assert ("flip" in failed) != found
    assert check.ok == (not failed)
    assert int(root.get("failures")) == len(failed)


def test_every_key_is_documented(tmp_path):
    write_self_check(tmp_path, make_self_check(), 3)
    text = (Path(validation.__file__).parent / "RESULTS.md").read_text()
    check = text.split("## `selfcheck.jsonl`")[1].split("##")[0]
    record = json.loads((tmp_path / "selfcheck.jsonl").read_text())
    assert len(record) > 10
    assert record.keys() <= set(re.findall(r"`(\w+)`", check))
