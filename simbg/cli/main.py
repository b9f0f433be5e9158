"""The command ``simbg``: the commands of this package, and those of entry points."""

from importlib.metadata import entry_points
from pathlib import Path

import click

from simbg import __version__
from simbg.cli.check import check
from simbg.cli.console import log_to_stderr, run
from simbg.cli.fixtures import fixtures
from simbg.cli.reconstruct import reconstruct
from simbg.cli.simulate import simulate, truth
from simbg.errors import unknown_name

__all__ = ["main"]

ENTRY_POINTS = "simbg.commands"
# The commands in the order of their use. The help shows these lines without loading the commands.
FLOW = {
    "Make": {
        "truth": "Write the true background cube of a model.",
        "simulate": "Simulate runs and write them as a data store.",
        "fixtures": "Write reference files for the tests of other projects.",
    },
    "Reconstruct": {
        "check": "Check a data store for contradictions.",
        "reconstruct": "Make background models from a data store.",
    },
    "Look and compare": {
        "plot": "Draw a background file: images, spectra, radial profiles.",
        "compare": "Compare two cubes, or two folders of models.",
        "impact": "Errors of fluxes, and false sources, that a model makes.",
    },
    "Validate": {
        "validate": "Test methods in simulated scenarios, and write a report.",
        "leaderboard": "Rank methods by accuracy.",
        "conformance": "Check the interface of a method.",
        "cross-validate": "Test models of real runs with runs not used for the models.",
        "self-check": "Test whether the suite finds planted defects.",
        "challenge": "Make and score a blind challenge.",
    },
}


class Commands(click.Group):
    """Commands of this package, and those that are installed as entry points ``simbg.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of `FLOW`; then those of other packages."""
        names = {*super().list_commands(ctx), *entry_points(group=ENTRY_POINTS).names}
        flow = [name for section in FLOW.values() for name in section if name in names]
        return [*flow, *sorted(names.difference(flow))]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command with this name. The command of an entry point is loaded only here."""
        entries = entry_points(group=ENTRY_POINTS, name=name)
        return super().get_command(ctx, name) or next((entry.load() for entry in entries), None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names."""
        if args[0] not in (names := self.list_commands(ctx)):
            raise click.UsageError(str(unknown_name("command", args[0], names)), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command, in sections. Commands of other packages are named last."""
        names, shown = self.list_commands(ctx), {n for lines in FLOW.values() for n in lines}
        other = {
            e.name: f"From {e.dist.name}." if e.dist else ""
            for e in entry_points(group=ENTRY_POINTS)
        }
        sections = {**FLOW, "Other packages": {n: other[n] for n in names if n not in shown}}
        for title, lines in sections.items():
            if rows := [(name, text) for name, text in lines.items() if name in names]:
                with formatter.section(title):
                    formatter.write_dl(rows, col_spacing=max(2, 16 - max(len(r[0]) for r in rows)))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say where the documentation is: in the package, or as a site in a clone."""
        guide = Path(__file__).parents[1] / "GUIDE.md"
        formatter.write(f"\nGuide: {guide}\n`nox -s docs` in a clone of simbg builds a site.\n")


@click.group(cls=Commands, commands=[truth, simulate, check, reconstruct, fixtures])
@click.version_option(__version__, prog_name="simbg")
@click.option("-v", "--verbose", count=True, show_default=False, help="Log more.")
@click.option("--debug", is_flag=True, help="Log everything, with the traceback of an error.")
def simbg(verbose: int, debug: bool) -> None:
    """Is your gamma-ray background model right? Simulate, reconstruct and compare cubes.

    `simbg COMMAND --help` shows the options and examples of a command.
    """
    level = {0: "warning", 1: "info"}.get(verbose, "debug")
    log_to_stderr("debug" if debug else level)


main = run(simbg, "simbg")
