"""Examples run: those of docstrings, of the README and of the pages beside the code."""

import doctest
import importlib
from pathlib import Path

import pytest

import simbg

ROOT = Path(simbg.__file__).resolve().parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# What a user calls has an example.
SHOWN = {
    *("simbg.axes", "simbg.cube", "simbg.truth", "simbg.scenarios", "simbg.simulate"),
    *("simbg.exposure", "simbg.reconstruct", "simbg.reconstruct.histogram", "simbg.io.cubes"),
    *("validation.metrics", "validation.statistics"),
}


def modules_with_examples():
    found = []
    for path in sorted(
        p for package in ("simbg", "validation") for p in (ROOT / package).rglob("*.py")
    ):
        if ">>> " in path.read_text(encoding="utf-8"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def run_examples(module):
    """Number of failures and of examples."""
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    for test in doctest.DocTestFinder().find(module):
        runner.run(test)
    return runner.summarize(verbose=False)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run_examples(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
    assert list(tmp_path.iterdir()) == []
