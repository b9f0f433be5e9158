"""Methods by name: those of simbg, of installed packages, and objects of any module."""

import math
import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from importlib.util import find_spec
from pkgutil import resolve_name
from types import ModuleType
from typing import TYPE_CHECKING, Any, SupportsFloat

from simbg.errors import in_one_line, unknown_name

if TYPE_CHECKING:
    from simbg.reconstruction.contract import Reconstructor

__all__ = ["METHODS", "find_method", "method_names", "name_of"]

GROUP = "simbg.reconstructors"
# What a method can promise; see `Reconstructor`.
PROMISED = ("bias", "noise")


class Methods(Mapping[str, Any]):
    """The classes of methods by name; the module of a method is loaded when it is used.

    Parameters
    ----------
    places : dict of str to str
        Name of a method → its module and class.
    """

    def __init__(self, places: dict[str, str]) -> None:
        self.places = places

    def __getitem__(self, name: str) -> Any:
        if name not in self.places:
            raise KeyError(str(unknown_name("method", name, self.places)))
        return resolve_name(f"simbg.reconstruction.{self.places[name]}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


METHODS = Methods(
    {
        "spline": "spline.method:Spline",
        "histogram": "histogram:Histogram",
        "default": "edition2015:Default",
        "michi": "edition2015:Michi",
    }
)


def find_method(method: "str | type | Reconstructor") -> "Reconstructor":
    """A method by name or by class, or the method itself.

    Parameters
    ----------
    method : str, class or Reconstructor
        A name is a method of simbg, an entry point of the group ``simbg.reconstructors``, or
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
    from simbg.reconstruction.contract import Reconstructor

    if isinstance(method, str):
        _check_name(method)
    try:
        target = _load(method) if isinstance(method, str) else method
        instance = target() if isinstance(target, type) else target
    except (Exception, SystemExit) as error:
        hint = _hint(error)
        text = f"method {method!r} cannot be loaded: {in_one_line(error)}{hint}"
        raise ValueError(text) from error
    if not isinstance(instance, Reconstructor):
        got = type(instance).__name__
        raise ValueError(
            f"method {method!r}: got {got}, expected an object with a name and reconstruct()"
        )
    promises = getattr(instance, "promises", {})
    if not (isinstance(promises, Mapping) and all(map(_is_promise, promises.items()))):
        raise ValueError(
            f"method {method!r}: got promises {promises!r}, expected a mapping of "
            f"{' or '.join(map(repr, PROMISED))} to a finite number of 0 or more"
        )
    return instance


def name_of(method: str | type) -> str:
    """The name by which another process finds a method; nothing is loaded.

    Parameters
    ----------
    method : str or class
        A name or a class, as in `find_method`. A class is named by its module.

    Returns
    -------
    str
        A name for `find_method`.

    Raises
    ------
    ValueError
        If ``method`` is neither a name nor a class, or there is no such method or module.

    Examples
    --------
    >>> from simbg.reconstruction.histogram import Histogram
    >>> name_of(Histogram)
    'histogram'
    """
    if isinstance(method, type):
        names = [name for name, target in METHODS.items() if target is method]
        name = names[0] if names else f"{method.__module__}:{method.__qualname__}"
        if method.__module__ == "__main__":
            raise ValueError(
                f"method: got {method.__qualname__} of this script or notebook, expected a class "
                "that a new process can import; save it in my_method.py and give "
                f"'my_method:{method.__qualname__}'"
            )
    elif isinstance(method, str):
        name = method
    else:
        raise ValueError(f"method: got {method!r}, expected a name, module:Object, or a class")
    _check_name(name)
    if ":" in name and not _can_be_imported(name.partition(":")[0]):
        raise ValueError(
            f"method: got {name!r}, expected a module that can be imported{_where_modules_are()}"
        )
    return name


def _is_promise(item):
    name, value = item
    return name in PROMISED and isinstance(value, SupportsFloat) and 0 <= float(value) < math.inf


def _hint(error):
    """The next step for a method that cannot be loaded, or an empty text."""
    if isinstance(error, ModuleNotFoundError):
        return _where_modules_are()
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        near = get_close_matches(str(error.name), dir(error.obj), 1)
        return f"; did you mean {near[0]!r}?" if near else ""
    return ""


def _where_modules_are():
    """The next step for a module that is not found."""
    return f"; set PYTHONPATH to the folder of its file ('.' if that is {os.getcwd()})"


def _check_name(name):
    """Raise an error for a name that no method has, unless it is of the form module:Object."""
    if ":" not in name and name not in {*METHODS, *entry_points(group=GROUP).names}:
        raise unknown_name("method", name, method_names(), ", or module:Object")


def _can_be_imported(module):
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _load(name):
    """The object with a name: a method of simbg, an entry point, or module:Object."""
    if name in METHODS:
        return METHODS[name]
    entries = entry_points(group=GROUP, name=name)
    return next((entry.load() for entry in entries), None) or resolve_name(name)


def method_names() -> list[str]:
    """Names of simbg's methods, and of installed ones whose required modules are installed.

    The extras of an entry point, as in ``module:Object [library]``, are the modules that it needs.
    """
    entries = entry_points(group=GROUP)
    usable = [entry.name for entry in entries if all(map(find_spec, entry.extras))]
    return [*METHODS, *sorted(usable)]
