"""The options ``--energy``, ``--fov`` and ``--like``: the bins of a cube."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from simbg.cli.console import shared_option

__all__ = ["binning_options", "read_binning"]

# Expected forms, in error messages.
ENERGY = (
    "MIN:MAX:BINS or edges E0,E1,..., such as 0.2:50:16 or 200GeV,1TeV,10TeV (in TeV without unit)"
)
FOV = "HALF:BINS or LON:BINS,LAT:BINS, such as 2.5:20 or 2.5:20,2:16 (deg; field from -2.5 to 2.5)"
NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?"


def binning_options(command: Callable) -> Callable:
    """Add the three options to a command; `read_binning` converts their values."""
    for name in ("like", "fov", "energy"):
        command = shared_option(name)(command)
    return command


def read_binning(energy: str | None, fov: str | None, like: str | None) -> Any:
    """The axes that the options ask for.

    Parameters
    ----------
    energy, fov, like : str, optional
        Values of the options; ``like`` is a background file.

    Returns
    -------
    Axes, callable or None
        With ``like``, or with both other options, the axes. With one of these, a function that
        replaces the energies, or the field of view, of default axes. Without any option, None.

    Raises
    ------
    ValueError
        If a value has another form, a unit is wrong, or edges do not increase.
    click.UsageError
        If ``like`` is combined with another option.
    """
    from simbg.axes import Axes

    if like:
        if energy or fov:
            option = "--energy" if energy else "--fov"
            raise click.UsageError(f"got --like and {option}, expected one of both")
        from simbg.io.cubes import read_model

        return read_model(like).axes
    parts: dict[str, Any] = {}
    if energy:
        parts["energy"] = _energy_edges(energy)
    if fov:
        parts["fov_lon"], parts["fov_lat"] = _field_edges(fov)
    if len(parts) == 3:
        return Axes(**parts)
    return partial_axes(parts) if parts else None


def partial_axes(parts: dict[str, Any]) -> Callable:
    """A function that replaces some edges of axes."""

    def change(axes):
        return replace(axes, **parts)

    return change


def _energy_edges(text):
    """Edges in TeV."""
    import numpy as np  # imported here and below: help does not need it

    words = text.split(":")
    if len(words) == 1:
        return _numbers(text.split(","), "TeV", "--energy", text, ENERGY)
    if len(words) != 3:
        raise ValueError(f"--energy: got {text!r}, expected {ENERGY}")
    low, high = _numbers(words[:2], "TeV", "--energy", text, ENERGY)
    number = _count(words[2], "--energy", text, ENERGY)
    if not 0 < low < high:
        raise ValueError(f"--energy: got {low} to {high} TeV, expected 0 < min < max")
    return np.geomspace(low, high, number + 1)


def _field_edges(text):
    """Edges of fov_lon and of fov_lat, deg."""
    import numpy as np

    pairs = [word.split(":") for word in text.split(",")]
    if len(pairs) > 2 or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"--fov: got {text!r}, expected {FOV}")
    edges = []
    for width, number in pairs:
        (half,) = _numbers([width], "deg", "--fov", text, FOV)
        if not 0 < half <= 90:
            raise ValueError(f"--fov: got {text!r}, expected half widths above 0, up to 90 deg")
        edges.append(np.linspace(-half, half, _count(number, "--fov", text, FOV) + 1))
    return edges[0], edges[-1]


def _numbers(words, unit, option, text, expected):
    """Numbers in a unit; if only the last word has a unit, it is the unit of all."""
    import numpy as np

    from simbg.quantities import in_unit

    words = [word.strip() for word in words]
    last = re.sub(NUMBER, "", words[-1], count=1, flags=re.IGNORECASE).strip()
    if last and all(re.fullmatch(NUMBER, word, re.IGNORECASE) for word in words[:-1]):
        words = [f"{word} {last}" for word in words[:-1]] + words[-1:]
    try:
        return np.array(in_unit(words, unit, option), float)
    except ValueError as error:
        raise ValueError(f"{option}: got {text!r}, expected {expected}") from error


def _count(word, option, text, expected):
    if not (word.strip().isdecimal() and int(word) > 0):
        raise ValueError(f"{option}: got {text!r}, expected {expected}")
    return int(word)
