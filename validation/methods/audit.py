"""The audit of a method's process: which modules it loads and which files it opens.

Files of the store, of Python and its packages, of the method's own package and of the system
are allowed. Any other file is not, and neither are modules that know the truth.
"""

import os
import sys
import sysconfig
from contextlib import suppress
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

__all__ = ["knows_truth"]

# Packages that know the truth; the layering test reads this list, too.
KNOWS_TRUTH = (
    *(f"simbg.{name}" for name in ("truth", "simulation", "fixtures")),
    *(f"simbg.validation.{name}" for name in ("suite", "leaderboard", "challenge", "conformance")),
)
TOP = ("bin", "dev", "etc", "lib", "lib64", "nix", "opt", "proc", "run", "sbin", "sys", "usr")
SYSTEM = tuple(f"/{name}/" for name in TOP)
# Code, what Python writes beside code, and what lists the installed packages.
CODE = (".py", ".pyc", ".so", ".pth")
PACKAGING = ("/__pycache__/", ".dist-info/", ".egg-info/")


def knows_truth(module):
    """Whether a module, by its full name, knows the truth."""
    return f"{module}.".startswith(tuple(f"{name}." for name in KNOWS_TRUTH))


class Audit:
    """A hook of `sys.addaudithook` that notes what a method may not do.

    Parameters
    ----------
    folder : Path
        The working folder of the process, with the store.
    method : str
        Name of the method, as `simbg.reconstruction.registry.find_method` takes it.

    Attributes
    ----------
    active : bool
    violations : list of str
        One line for each.

    Raises
    ------
    RuntimeError
        If a module that knows the truth is loaded already.
    """

    def __init__(self, folder, method):
        self.active, self.violations = True, []
        package = package_of(method)
        paths = [Path(entry) / name for entry in sys.path for name in ("simbg", package)]
        paths += [entry for entry in sys.path if "site-packages" in entry]
        paths += [*package_folders(package), folder]
        paths += [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()]
        # Settings of libraries are in files and folders at home that begin with a dot.
        settings = f"{os.path.realpath(os.path.expanduser('~'))}/."
        self.allowed = (*SYSTEM, *{f"{os.path.realpath(path)}/" for path in paths}, settings)
        if any(knows_truth(name) for name in sys.modules):
            raise RuntimeError("a module that knows the truth is loaded")
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        """Note a violation; called by Python for each of its audit events."""
        if not self.active:
            return
        if event == "import" and knows_truth(arguments[0]):
            self.violations.append(f"it loads {arguments[0]}, which knows the truth")
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            code = path.endswith(CODE) or any(part in path for part in PACKAGING)
            if not (code or path.startswith(self.allowed)):
                self.violations.append(f"it opens {path}, outside of its store")


def package_of(method):
    """Name of the top package of a method, whose folder may hold data."""
    named = entry_points(group="simbg.reconstructors", name=method)
    return next((entry.value for entry in named), method).partition(":")[0].partition(".")[0]


def package_folders(package):
    """Folders of a package; an editable install may be in no folder of ``sys.path``."""
    with suppress(ImportError, ValueError):
        if spec := find_spec(package):
            return list(spec.submodule_search_locations or ())
    return []
