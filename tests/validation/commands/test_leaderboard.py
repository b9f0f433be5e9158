"""`simbg leaderboard`: scenarios and events are drawn, and a ranking can be replayed."""

import json
from pathlib import Path

import pytest
from support.outcomes import scored

from simbg.simulation.library import SCENARIOS
from simbg.validation.commands import suite as command
from simbg.validation.figures.rendering import Pictures


@pytest.fixture
def ranked(monkeypatch, tmp_path, run):
    """`simbg leaderboard` without methods: its scenarios and seed, what it printed and wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "render", lambda *_: Pictures({}, {}))
    monkeypatch.setattr(
        "simbg.validation.pages.report.page.write_report_page", lambda path, *_: None
    )
    given, hidden = [], []
    monkeypatch.setattr(command, "hide_arguments", lambda *words: hidden.append(words))

    def run_suite(scenarios, candidates, seed, *rest, **options):
        # Methods cannot read the command line.
        assert "leaderboard" in hidden.pop()
        given.append(([scenario.digest for scenario in scenarios], seed))
        return [scored("mine", 0.1, 0.001, stores=3)]

    monkeypatch.setattr(command, "run_suite", run_suite)
    monkeypatch.setattr(command, "write_reports", _write)

    def ranked(*words):
        how = ("--scenario", "night", "--overwrite", "--jobs", 1)
        code, out, err = run("leaderboard", *how, *words)
        assert (code, err) == (0, "")
        return *given.pop(), out, json.loads(Path("reports/leaderboard/record").read_text())

    return ranked


def _write(folder, suite, pictures):
    (folder / "record").write_text(json.dumps([suite.seed, suite.replayed]))


def test_drawn_unless_replayed(ranked):
    digests, seed, out, record = ranked()
    assert digests != [SCENARIOS["night"].digest]
    assert record == [seed, False]
    assert f"--seed {seed}" in out
    assert "replayed:" not in out
    again, same, out, record = ranked("--seed", seed)
    assert (again, same, record) == (digests, seed, [seed, True])
    assert f"seed {seed}" in out
    assert "was replayed" in out
    other, another, *_ = ranked()
    assert other != digests
    # Two draws of 53 bits are the same once in 1e16.
    assert another != seed
