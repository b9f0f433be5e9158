"""Folders of models, compared group by group, and two files."""

from dataclasses import replace

import numpy as np
import pytest

from simbg.axes import Axes
from simbg.io.cubes import write_cube
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.comparison.compare import Comparison
from simbg.validation.comparison.folders import compare_paths

AXES = Axes(np.geomspace(0.1, 50, 9), np.linspace(-3, 3, 11), np.linspace(-3, 3, 11))
TRUTH = GaussianTruth(event_rate=9.0, sigma=(1.6, 2.8), peak=(0.6, -0.3))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Models of two reconstructions: a group alike, one that differs, others that lack."""
    root = tmp_path_factory.mktemp("models")
    same, other = TRUTH.cube(AXES), replace(TRUTH, event_rate=9.5).cube(AXES)
    coarse = TRUTH.cube(replace(AXES, energy=np.geomspace(0.1, 50, 7)))
    models = {
        "a": {0: same, 1: same, 2: same, 10: same},
        "b": {0: same, 1: other, 3: same, 10: coarse},
    }
    for folder, cubes in models.items():
        (root / folder).mkdir()
        for group, cube in cubes.items():
            # GADF wants to know an observation time.
            second = np.ones(cube.axes.shape)
            path = root / folder / f"bg_cube_model_group{group}_gadf.fits.gz"
            write_cube(path, replace(cube, livetime=second, ontime=second), "gadf")
    return root


def test_folders(folders):
    found = compare_paths(folders / "a", folders / "b")
    assert [f.name.split("group")[1] for f in found] == ["0", "1", "2", "3", "10"]
    assert [f.agree for f in found] == [True, False, False, False, True]
    assert [isinstance(f, Comparison) for f in found] == [True, True, False, False, True]
    assert found[2].reason == f"only in {folders / 'a'}"
    assert found[3].reason == f"only in {folders / 'b'}"
    assert "on 6 × 10 × 10 common bins (A has 8 × 10 × 10, B has 6 × 10 × 10)" in found[4].text
    assert "an approximation" in found[4].binning
    assert [f.to_dict()["agree"] for f in found] == [f.agree for f in found]
    assert all(f.text.startswith(f.name) for f in found)


def test_groups_without_common_bins_are_not_compared(tmp_path):
    """Named with the reason, and no error: other groups may well be."""
    for folder, start in (("a", 0.1), ("b", 100.0)):
        cube = TRUTH.cube(replace(AXES, energy=start * np.geomspace(1, 100, 9)))
        (tmp_path / folder).mkdir()
        write_cube(tmp_path / folder / "bg_cube_model_group0_table.fits", cube, "table")
    (found,) = compare_paths(tmp_path / "a", tmp_path / "b")
    assert not found.agree
    assert found.reason.startswith("not compared")


def test_folder_and_file(folders, tmp_path):
    file = folders / "a" / "bg_cube_model_group0_gadf.fits.gz"
    with pytest.raises(ValueError, match="expected two files or two folders"):
        compare_paths(folders / "a", file)
    (found,) = compare_paths(file, file)
    assert found.agree
    with pytest.raises(FileNotFoundError, match="bg_cube_model"):
        compare_paths(tmp_path, folders / "a")
