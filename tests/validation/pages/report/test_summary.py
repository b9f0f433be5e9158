"""The summary: the numbers that matter, and names that stay text."""

import re


def test_hostile_names_in_the_summary(folder):
    text = (folder / "summary.md").read_text()
    assert not re.search(r"(?<!\\)<(img|script)", text)
    assert "&lt;img src=x" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    # A | in a name makes no column.
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6, 7}  # scenarios, and methods


def test_verdicts_come_before_the_table_of_scenarios(folder, suite):
    """A row for each method, with its bias and its accuracy."""
    text = (folder / "summary.md").read_text()
    places = [text.index(v.bias) for v in suite.verdicts if v.method in ("histogram", "michi")]
    assert len(places) == 2
    assert max(places) < text.index("| scenario |")
