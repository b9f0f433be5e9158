"""What a shell completes on TAB: names of scenarios and of methods."""

import click

__all__ = []


def complete_scenario(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Scenarios that begin so."""
    from simbg.simulation import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def complete_method(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Our methods and those that are installed, of names that begin so."""
    from simbg.reconstruction.registry import method_names

    return [name for name in method_names() if name.startswith(incomplete)]
