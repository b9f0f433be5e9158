"""Selections: what is refused, and the groups that one makes."""

import pytest

from simbg.models.selection import Selection
from simbg.observations.groups import Groups
from simbg.observations.observation import Observation

RUNS = [Observation(n, None, 1800.0, 1800.0, alt=10.0 * n, az=180.0) for n in range(1, 9)]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"sources": "keep"}, "'keep'"),
        ({"margin": 0}, "0 deg"),
        ({"margin": 31}, "31 deg"),
        ({"group_by": "moon:3"}, "'moon:3'"),
        ({"group_by": "runs"}, "'runs'"),
        ({"group_by": "runs:many"}, "'runs:many'"),
        ({"group_by": "runs:3", "test": True}, "'runs:3'"),
        ({"energy_threshold": 0}, "0 TeV"),
    ],
    ids=str,
)
def test_what_is_refused(wrong, named):
    with pytest.raises(ValueError, match=f"got {named}.* expected"):
        Selection(**wrong)


@pytest.mark.parametrize(
    ("group_by", "edges"),
    [
        ("runs:4", (0, 45, 90)),
        ("livetime:2", (0, 45, 90)),
        ("livetime:1.5", (0, 35, 90)),
        ("runs:2.e0", (0, 25, 45, 65, 90)),
        ("runs:9", (0, 90)),
    ],
)
def test_groups_that_hold_enough(group_by, edges):
    """All azimuths are together, or a group would hold less."""
    selection = Selection(group_by=group_by)
    assert selection.groups_of(RUNS) == Groups(edges, (-90, 270))


def test_groups_that_do_not_depend_on_the_runs():
    groups = Groups((0, 30, 90), (0, 360))
    assert Selection(groups=groups).groups_of(RUNS) is groups
    assert Selection().groups_of(RUNS) == Groups()
    assert Selection(test=True).groups_of(RUNS) == Groups((0, 45, 90), (90, 270))
