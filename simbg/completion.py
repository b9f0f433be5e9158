"""What a shell completes on TAB: names of scenarios and of methods."""

from __future__ import annotations

from importlib.metadata import entry_points

__all__ = ["method_names", "scenario_names"]


def scenario_names(ctx, param, incomplete):
    """Scenarios that begin so."""
    from simbg.scenarios import SCENARIOS

    return [name for name in SCENARIOS if name.startswith(incomplete)]


def method_names(ctx, param, incomplete):
    """Our methods and those that are installed, of names that begin so."""
    from simbg.reconstruct import METHODS

    installed = sorted(point.name for point in entry_points(group="simbg.reconstructors"))
    return [name for name in (*METHODS, *installed) if name.startswith(incomplete)]
