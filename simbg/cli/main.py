"""The command ``simbg``: the commands of this package, and those of entry points."""

from importlib.metadata import entry_points

import click

from simbg import __version__
from simbg.cli.console import log_to_stderr, run
from simbg.cli.fixtures import fixtures
from simbg.cli.reconstruct import reconstruct
from simbg.cli.simulate import simulate, truth

__all__ = ["main"]

COMMANDS = "simbg.commands"


class Commands(click.Group):
    """Commands of this package, and those that are installed as entry points ``simbg.commands``."""

    def list_commands(self, ctx):
        """All names, in order."""
        return sorted({*super().list_commands(ctx), *entry_points(group=COMMANDS).names})

    def get_command(self, ctx, name):
        """The command of a name; one of an entry point is loaded when it is asked for."""
        entries = entry_points(group=COMMANDS, name=name)
        return super().get_command(ctx, name) or next((entry.load() for entry in entries), None)


@click.group(cls=Commands, commands=[truth, simulate, reconstruct, fixtures])
@click.version_option(__version__, prog_name="simbg")
@click.option(
    "-v", "--verbose", count=True, show_default=False, help="Say more; -vv for everything."
)
def simbg(verbose):
    """Is your gamma-ray background model right? Make truth, simulate, reconstruct, compare."""
    log_to_stderr({0: "warning", 1: "info"}.get(verbose, "debug"))


main = run(simbg, "simbg")
