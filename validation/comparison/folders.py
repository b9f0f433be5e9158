"""Comparison of two files, or of the models of two folders, group by group."""

from dataclasses import dataclass
from pathlib import Path

from simbg.io.cubes import read_cube
from simbg.validation.comparison.compare import compare
from simbg.validation.comparison.rebinning import Incomparable

__all__ = ["compare_paths"]


@dataclass(frozen=True)
class NotCompared:
    """A group that could not be compared, and why."""

    name: str
    reason: str
    agree = False

    @property
    def text(self):
        """In words."""
        return f"{self.name}: {self.reason}"

    def to_dict(self):
        """Plain values."""
        return {"name": self.name, "agree": False, "verdict": self.reason}


def compare_paths(a, b, normalize="none"):
    """Compare two files, or the models of two folders group by group.

    Parameters
    ----------
    a, b : path-like
        The reference, and what is compared with it.
    normalize : {"none", "cube", "image"}
        As `compare` has it.

    Returns
    -------
    comparisons : list of Comparison or NotCompared

    Raises
    ------
    ValueError
        If one is a folder and the other is not, or two files have nothing in common.
    FileNotFoundError
        If a folder holds no models.
    """
    a, b = Path(a), Path(b)
    if a.is_dir() != b.is_dir():
        raise ValueError(f"got {a} and {b}, expected two files or two folders")
    if not a.is_dir():
        return [compare(read_cube(a), read_cube(b), normalize, f"{a.name}, {b.name}")]
    in_a, in_b = _models(a), _models(b)
    names = sorted(in_a.keys() | in_b.keys(), key=lambda name: (len(name), name))
    return [_compare_group(name, in_a, in_b, a, b, normalize) for name in names]


def _compare_group(name, in_a, in_b, a, b, normalize):
    if name not in in_a or name not in in_b:
        return NotCompared(name, f"only in {a if name in in_a else b}")
    try:
        return compare(read_cube(in_a[name]), read_cube(in_b[name]), normalize, name)
    except Incomparable as error:
        return NotCompared(name, f"not compared, {str(error).removeprefix(f'{name}: ')}")


def _models(folder):
    """Cube files of a folder by group: 2015's tables, or GADF's where there are none."""
    for ending in ("table", "gadf"):
        paths = sorted(folder.glob(f"bg_cube_model_*_{ending}.fits*"))
        if paths:
            return {path.name.split(f"_{ending}.")[0]: path for path in paths}
    raise FileNotFoundError(f"{folder}: no bg_cube_model_*_table.fits.gz in it")
