"""Methods by name: those of simbg, of installed packages, and objects of any module."""

from importlib.metadata import entry_points
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any

from simbg.errors import in_one_line
from simbg.reconstruction.contract import Reconstructor
from simbg.reconstruction.edition2015 import Default, Michi
from simbg.reconstruction.histogram import Histogram

__all__ = ["METHODS", "find_method", "method_names"]

GROUP = "simbg.reconstructors"
METHODS: dict[str, Any] = {"histogram": Histogram, "default": Default, "michi": Michi}


def find_method(name: str) -> Reconstructor:
    """The method with this name.

    Parameters
    ----------
    name : str
        A method of simbg, an entry point of the group ``simbg.reconstructors``, or
        ``module:Object``.

    Returns
    -------
    Reconstructor
        An instance: a class is called without arguments.

    Raises
    ------
    ValueError
        If there is no such method, it cannot be loaded, or it does not keep the contract.

    Examples
    --------
    >>> find_method("histogram").name
    'histogram'
    >>> find_method("simbg.reconstruction.edition2015:Michi").name
    'michi'
    """
    if name in METHODS:
        return METHODS[name]()
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in installed and ":" not in name:
        known = ", ".join(method_names())
        raise ValueError(f"method: got {name!r}, expected one of {known}, or module:Object")
    try:
        target = installed[name].load() if name in installed else resolve_name(name)
        method = target() if isinstance(target, type) else target
    except (Exception, SystemExit) as error:
        raise ValueError(f"method {name!r} cannot be loaded: {in_one_line(error)}") from error
    if not isinstance(method, Reconstructor):
        got = type(method).__name__
        raise ValueError(
            f"method {name!r}: got {got}, expected an object with a name and reconstruct()"
        )
    return method


def method_names() -> list[str]:
    """Names of simbg's methods, and of installed ones whose required modules are installed.

    The extras of an entry point, as in ``module:Object [library]``, are the modules that it needs.
    """
    entries = entry_points(group=GROUP)
    usable = [entry.name for entry in entries if all(map(find_spec, entry.extras))]
    return [*METHODS, *sorted(usable)]
