"""The library that a method can import: simbg without the modules that know the truth.

It is a folder of links to the modules of simbg. The process of a method, and Python processes that
it starts, find this folder before the installed simbg. Folders of ``sys.path`` that contain a
checkout of simbg are left out.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import simbg
from simbg.validation.methods.audit import knows_truth, package_of

__all__ = []

# What is left out: commands of simbg, and results of the suite.
NEEDLESS = ("cli", "validation")
# A checkout is a folder with these files.
CHECKOUT = ("simbg/__init__.py", "pyproject.toml")
SUITE = ("__init__.py", "methods")


def import_path(folder: Path, method: str) -> tuple[list[str], dict[str, str]]:
    """Make the library of a method, and the import path of its process.

    Parameters
    ----------
    folder : Path
        Folder in which the library is made.
    method : str
        Name of the method. If its module is in a checkout of simbg, the library has a link to it.

    Returns
    -------
    path : list of str
        ``sys.path`` of the process.
    environment : dict of str to str
        The environment of the process, and of the processes that it starts.
    """
    library = folder / "library"
    source, suite = Path(simbg.__file__).parent, Path(__file__).parents[1]
    parts = [p for p in source.iterdir() if p.stem not in NEEDLESS]
    _link([p for p in parts if not knows_truth(f"simbg.{p.stem}")], library / "simbg")
    _link([suite / name for name in SUITE], library / "simbg" / "validation")
    entries = [entry or os.getcwd() for entry in sys.path]
    checkouts = [entry for entry in entries if _is_checkout(entry)]
    if (module := _module_in(checkouts, package_of(method))) is not None:
        _link([module], library)
    searched = [entry for entry in entries if entry not in checkouts]
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    named = [os.path.abspath(entry) for entry in named if entry and not _is_checkout(entry)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(library), *named])}
    return [str(library), *searched], environment


def _link(targets, folder):
    """Links to files and folders."""
    folder.mkdir(parents=True, exist_ok=True)
    for target in targets:
        (folder / target.name).symlink_to(target.absolute())


def _is_checkout(entry):
    return all(Path(entry, name).is_file() for name in CHECKOUT)


def _module_in(entries, name):
    """File or folder of the module with this name if it is in one of the entries, or None."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or name == "simbg":
        return None
    paths = [*(spec.submodule_search_locations or ()), spec.origin]
    inside = [Path(p) for p in paths if p and Path(p).parent in map(Path, entries)]
    return inside[0] if inside else None
