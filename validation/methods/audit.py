"""Audit of the process of a method: the modules that it loads and the files that it opens.

A method may open files of the store, of Python and its packages, of its own package and of the
system. Any other file, any module that knows the truth, and the command line, environment or memory
of another process is a violation.
"""

import os
import re
import sys
import sysconfig
from contextlib import suppress
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import simbg

__all__ = ["knows_truth"]

# Packages that know the truth. The test of the layers reads this list as well.
KNOWS_TRUTH = (
    *(f"simbg.{name}" for name in ("truth", "simulation", "fixtures")),
    *(f"simbg.validation.{name}" for name in ("suite", "leaderboard", "challenge", "conformance")),
)
TOP = ("bin", "dev", "etc", "lib", "lib64", "nix", "opt", "proc", "run", "sbin", "sys", "usr")
SYSTEM = tuple(f"/{name}/" for name in TOP)
# Files that describe another process.
PROCESS = re.compile(r"/proc/(\d+)/(cmdline|environ|mem)$")
# Code, compiled code, and the lists of installed packages.
CODE = (".py", ".pyc", ".so", ".pth")
PACKAGING = ("/__pycache__/", ".dist-info/", ".egg-info/")

# The library and the suite, whose folders are links where methods are isolated.
LIBRARY, SUITE = (Path(os.path.realpath(file)).parent for file in (simbg.__file__, __file__))
TRUTH_FOLDERS = tuple(
    f"{SUITE.parent / name.split('.')[2] if name.count('.') == 2 else LIBRARY / name[6:]}/"
    for name in KNOWS_TRUTH
)


def knows_truth(module: str) -> bool:
    """Whether a module is of a package that knows the truth.

    Parameters
    ----------
    module : str
        Full name of the module.

    Returns
    -------
    knows : bool
        True also for modules inside such a package.
    """
    return f"{module}.".startswith(tuple(f"{name}." for name in KNOWS_TRUTH))


class Audit:
    """A hook for `sys.addaudithook` that records forbidden actions of a method.

    Parameters
    ----------
    folder : Path
        Working folder of the process.
    method : str
        Name of the method, as `simbg.reconstruction.registry.find_method` takes it.

    Attributes
    ----------
    folder : Path
        As above; a fork of the process has its own.
    active : bool
        Whether violations are recorded.
    violations : list of str
        One line for each violation.

    Raises
    ------
    RuntimeError
        If a module that knows the truth is loaded before the audit begins.
    """

    def __init__(self, folder: Path, method: str) -> None:
        self.folder, self.active, self.violations = folder, True, list[str]()
        package = package_of(method)
        paths: list[str | Path] = [
            Path(entry) / name for entry in sys.path for name in ("simbg", package)
        ]
        paths += [entry for entry in sys.path if "site-packages" in entry]
        paths += package_folders(package)
        paths += [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()]
        # Libraries keep their settings in hidden files and folders of the home folder.
        settings = f"{os.path.realpath(os.path.expanduser('~'))}/."
        self.allowed = (*SYSTEM, *{f"{os.path.realpath(path)}/" for path in paths}, settings)
        if any(knows_truth(name) for name in sys.modules):
            raise RuntimeError("audit: a module that knows the truth is already loaded")
        sys.addaudithook(self)

    @property
    def reason(self) -> str:
        """The first violation, as a reason why there is no valid cube; empty if there is none."""
        return f"forbidden access: {self.violations[0]}" if self.violations else ""

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Record a violation; Python calls this for each of its audit events."""
        if not self.active:
            return
        if event == "import" and knows_truth(arguments[0]):
            self.violations.append(f"it loads {arguments[0]}, which knows the truth")
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if why := self._violation(path):
                self.violations.append(f"it opens {path}, {why}")

    def _violation(self, path):
        """Why a method may not open a file; empty if it may."""
        if path.startswith(TRUTH_FOLDERS):
            return "which knows the truth"
        if (match := PROCESS.match(path)) and int(match[1]) != os.getpid():
            return "of another process"
        code = path.endswith(CODE) or any(part in path for part in PACKAGING)
        allowed = (*self.allowed, f"{os.path.realpath(self.folder)}/")
        return "" if code or path.startswith(allowed) else "outside its store"


def package_of(method: str) -> str:
    """Name of the top package of a method. Its folder may contain data."""
    named = entry_points(group="simbg.reconstructors", name=method)
    return next((entry.value for entry in named), method).partition(":")[0].partition(".")[0]


def package_folders(package: str) -> list[str]:
    """Folders of a package. An editable install may be in no folder of ``sys.path``."""
    with suppress(ImportError, ValueError):
        if spec := find_spec(package):
            return list(spec.submodule_search_locations or ())
    return []
