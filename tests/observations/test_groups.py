"""Groups in altitude and azimuth: 2015's, and those that hold enough exposure."""

import numpy as np
import pytest
from astropy import units as u

from simbg.observations.groups import Groups
from simbg.observations.observation import Observation


def test_groups_of_2015():
    table = Groups().table
    assert table["GROUP_ID"].tolist() == list(range(28))
    edges = [0, 20, 23, 27, 30, 33, 37, 40, 44, 49, 53, 58, 64, 72, 90]
    assert table["ALT_MIN"].tolist() == [alt for alt in edges[:-1] for _ in range(2)]
    assert table["ALT_MAX"].tolist() == [alt for alt in edges[1:] for _ in range(2)]
    assert table["AZ_MIN"].tolist() == [-90, 90] * 14
    assert table["AZ_MAX"].tolist() == [90, 270] * 14
    assert {table[name].unit for name in table.colnames[1:]} == {u.deg}


@pytest.mark.parametrize(
    ("alt", "az", "group"),
    [
        (0, 0, 0),
        (19.999, 180, 1),
        (20, 0, 2),  # an edge belongs to the bin above
        (np.nextafter(23, 0), 90, 3),
        (23, 90, 5),
        (72, 0, 26),
        (81, 180, 27),
        (90, 180, 27),  # but for the zenith, which has none
        (90, 0, 26),
        (81, 90 - 1e-9, 26),
        (81, 90, 27),
        (81, 270 - 1e-9, 27),
        (81, 270, 26),  # wrapped to −90
        (81, 359.9, 26),
        (81, 360, 26),
        (81, -90, 26),
        (81, -91, 27),
        (-0.1, 0, -1),
        (90.1, 0, -1),
        (np.nan, 0, -1),
        (50, np.nan, -1),
    ],
)
def test_group_of_a_pointing(alt, az, group):
    assert Groups().assign([alt], [az]).tolist() == [group]


def test_every_pointing_lies_within_its_group():
    rng = np.random.default_rng(5)
    alt, az = rng.uniform(0, 90, 2000), rng.uniform(0, 360, 2000)
    groups = Groups()
    rows = groups.table[groups.assign(alt, az)]
    assert np.all((rows["ALT_MIN"] <= alt) & (alt < rows["ALT_MAX"]))
    wrapped = np.where(az >= 270, az - 360, az)
    assert np.all((rows["AZ_MIN"] <= wrapped) & (wrapped < rows["AZ_MAX"]))
    assert set(rows["GROUP_ID"]) == set(range(28))


def test_groups_that_leave_azimuths_out():
    groups = Groups(altitude_edges=(0, 45, 90), azimuth_edges=(90, 270))
    assert groups.assign([30, 60, 60, 60], [100, 100, 80, 270]).tolist() == [0, 1, -1, -1]


def edges_of(alt, kind, least, livetime=None):
    """Edges in altitude of groups of runs; livetimes in h."""
    hours = np.ones(len(alt)) if livetime is None else livetime
    runs = [
        Observation(number, None, 3600 * time, 3600 * time, alt=value)
        for number, (value, time) in enumerate(zip(alt, hours, strict=True))
    ]
    return Groups.by_exposure(runs, kind, least).altitude_edges


@pytest.mark.parametrize("seed", range(5))
def test_groups_hold_enough_and_all_runs(seed):
    rng = np.random.default_rng(seed)
    alt = np.round(rng.uniform(20, 90, 80), rng.integers(0, 3))  # with runs at the same altitude
    amount = rng.uniform(0.2, 0.6, 80)
    least = rng.uniform(0.5, 8)
    edges = edges_of(alt, "livetime", least, amount)
    assert (edges[0], edges[-1]) == (0, 90)
    assert np.all(np.diff(edges) > 0)
    group = Groups(edges, (0, 360)).assign(alt, np.zeros(80))
    held = np.bincount(group, amount, len(edges) - 1)
    assert held.min() >= least
    # No group could be halved but for runs of one altitude, and what the last takes.
    most = max(np.sum(amount[alt == value]) for value in alt)
    assert held[:-1].max(initial=0) < least + most
    order = rng.permutation(80)
    assert edges_of(alt[order], "livetime", least, amount[order]) == pytest.approx(edges, rel=1e-15)


def test_groups_by_number():
    alt = [80.0, 30.0, 50.0, 40.0, 60.0, 70.0, 20.0]
    assert edges_of(alt, "runs", 2) == (0, 35, 55, 90)
    assert edges_of(alt, "runs", 3) == (0, 45, 90)
    assert edges_of(alt, "runs", 4) == (0, 90)
    assert edges_of(alt, "runs", 99) == (0, 90)
    assert edges_of([45.0] * 6, "runs", 2) == (0, 90)
    assert edges_of([45.0], "runs", 1) == (0, 90)


@pytest.mark.parametrize("least", [0.0, -1.0, np.nan])
def test_groups_of_nothing(least):
    with pytest.raises(ValueError, match=f"got {least}, expected more than 0"):
        edges_of([50.0, 60.0], "runs", least)
