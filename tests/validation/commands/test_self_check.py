"""`simbg self-check`: what it prints, writes, and ends with."""

import pytest
from support.suites import make_self_check

from simbg.validation.self_check import detection


@pytest.mark.parametrize("found", [True, False])
def test_self_check(run, monkeypatch, tmp_path, found):
    monkeypatch.chdir(tmp_path)
    check = make_self_check(found)
    monkeypatch.setattr(detection, "self_check", lambda seed, executor: check)
    code, out, err = run("self-check", "--jobs", 1)
    assert (code, err) == (0 if check.ok else 1, "")
    assert len(out.splitlines()) == len(check.detections) + 2
    folder = tmp_path / "reports/self-check"
    names = {"index.html", "selfcheck.jsonl", "junit.xml", "figures"}
    assert {path.name for path in folder.iterdir()} == names
    # An earlier one is replaced.
    assert run("self-check", "--jobs", 1, "--quiet") == (code, "", "")
