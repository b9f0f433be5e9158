"""What a shell completes on TAB: names of scenarios and of methods."""

__all__ = []


def complete_scenario(ctx, param, incomplete):
    """Scenarios that begin so."""
    from simbg.simulation.library import SCENARIOS

    return [name for name in SCENARIOS if name.startswith(incomplete)]


def complete_method(ctx, param, incomplete):
    """Our methods and those that are installed, of names that begin so."""
    from simbg.reconstruction.registry import method_names

    return [name for name in method_names() if name.startswith(incomplete)]
