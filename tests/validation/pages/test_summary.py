"""The summary: the numbers that matter, and names that stay text."""

import re

import numpy as np
import pytest

from simbg.validation.pages.summary import key_numbers


def test_hostile_names_in_the_summary(folder):
    text = (folder / "summary.md").read_text()
    assert not re.search(r"(?<!\\)<(img|script)", text)
    assert "&lt;img src=x" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    # A | in a name makes no column.
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


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
