"""Comparison of two files, or of the models of two folders, group by group."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simbg.io.cubes import read_pair
from simbg.observations.store import Store
from simbg.validation.comparison.compare import Comparison, compare
from simbg.validation.comparison.rebinning import Incomparable

__all__ = ["compare_paths"]


@dataclass(frozen=True)
class NotCompared:
    """A group that could not be compared.

    Parameters
    ----------
    name : str
        Name of the group.
    reason : str
        Why it was not compared.
    """

    name: str
    reason: str
    agree = False

    @property
    def text(self) -> str:
        """Name and reason."""
        return f"{self.name}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `Comparison.to_dict` has them."""
        return {"name": self.name, "agree": False, "verdict": self.reason}


def compare_paths(
    a: Path | str, b: Path | str, normalize: str = "none", store: Store | None = None
) -> list[Comparison | NotCompared]:
    """Compare two files, or the models of two folders group by group.

    Parameters
    ----------
    a, b : path-like
        The reference, and the file or folder to compare with it.
    normalize : {"none", "cube", "image"}
        See `simbg.validation.comparison.compare.compare`.
    store : Store, optional
        The data store of the runs, whose exposures are compared with those of the cubes.

    Returns
    -------
    comparisons : list of Comparison or NotCompared
        One for each group.

    Raises
    ------
    ValueError
        If only one of both is a folder, or if two files have no common range.
    FileNotFoundError
        If a folder holds no models.
    """
    one, other = Path(a), Path(b)
    if one.is_dir() != other.is_dir():
        raise ValueError(f"got {one} and {other}, expected two files or two folders")
    if not one.is_dir():
        name = f"{one.name}, {other.name}"
        return [compare(*read_pair(one, other), normalize, name, store)]
    in_a, in_b = _models(one), _models(other)
    names = sorted(in_a.keys() | in_b.keys(), key=lambda name: (len(name), name))
    return [_compare_group(name, in_a, in_b, one, other, normalize, store) for name in names]


def _compare_group(name, in_a, in_b, a, b, normalize, store):
    if name not in in_a or name not in in_b:
        return NotCompared(name, f"only in {a if name in in_a else b}")
    try:
        return compare(*read_pair(in_a[name], in_b[name]), normalize, name, store)
    except Incomparable as error:
        return NotCompared(name, f"not compared, {str(error).removeprefix(f'{name}: ')}")


def _models(folder):
    """Cube files of a folder by group: tables of 2015, or files of GADF if there are no tables."""
    for ending in ("table", "gadf"):
        paths = sorted(folder.glob(f"bg_cube_model_*_{ending}.fits*"))
        if paths:
            return {path.name.split(f"_{ending}.")[0]: path for path in paths}
    raise FileNotFoundError(f"{folder}: got no file bg_cube_model_*_table.fits.gz, expected one")
