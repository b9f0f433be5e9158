"""Options, help, exit codes and error messages of all commands.

The exit codes are those of ``diff``. 0: the cubes agree, or all criteria hold. 1: the cubes
differ, or a criterion fails. 2: there was an error.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from functools import wraps
from typing import Any

import click

from simbg.cli.completion import complete_method, complete_scenario
from simbg.errors import in_one_line, printable
from simbg.parallel.clusters import mpi_ranks
from simbg.parallel.interrupts import interrupts_noted

__all__ = ["Command", "Percent", "echo", "refuse", "run", "shared_option"]

TROUBLE = 2
# Options that several commands have.
SHARED: dict[str, dict[str, Any]] = {
    "cluster": {
        "metavar": "WHERE",
        "default": "local",
        "show_default": False,
        "help": "local (default), dask, mpi, or tcp://HOST:PORT.",
    },
    "command": {
        "metavar": "TEMPLATE",
        "help": "Reads {store} (GADF), writes {output} (BKG).",
    },
    "energy": {
        "metavar": "BINS",
        "help": "MIN:MAX:N or edges E0,E1,...; TeV, or with units.",
    },
    "exclude": {
        "multiple": True,
        "metavar": "FILE",
        "help": "DS9 regions, source table or mask image. 'none': no known sources.",
    },
    "fov": {
        "metavar": "BINS",
        "help": "HALF:N, or LON:N,LAT:N; half width in deg.",
    },
    "from": {"type": click.Path(), "metavar": "BKG"},
    "group-by": {
        "metavar": "KIND:LEAST",
        "help": "2015: in altitude and azimuth. livetime:HOURS, runs:NUMBER: in zenith angle, with "
        "at least this livetime or number.",
    },
    "jobs": {
        "type": click.IntRange(1, 1024),  # all are started at once
        "metavar": "N",
        "help": "Number of processes. Default: one per core.",
    },
    "json": {"is_flag": True, "help": "Print one JSON document."},
    "like": {
        "type": click.Path(),
        "metavar": "FILE",
        "help": "Use the bins of this background file.",
    },
    "memory": {
        "type": click.FloatRange(0, min_open=True),
        "default": 8.0,
        "metavar": "GB",
        "help": "Memory limit of a process.",
    },
    "method": {"shell_complete": complete_method, "metavar": "NAME"},
    "out": {
        "type": click.Path(file_okay=False),
        "metavar": "DIR",
        "help": "Folder of the report.",
    },
    "overwrite": {"is_flag": True, "help": "Replace files that exist."},
    "quiet": {"is_flag": True, "help": "Print nothing."},
    "resume": {
        "is_flag": True,
        "help": "Keep finished parts for a later --resume, and use them.",
    },
    "scenario": {"shell_complete": complete_scenario, "metavar": "NAME"},
    "seed": {
        "type": click.IntRange(0),
        "default": 0,
        "metavar": "N",
        "help": "Seed of all random numbers.",
    },
    "timeout": {
        "type": click.FloatRange(0, min_open=True),
        "default": 600.0,
        "metavar": "SECONDS",
        "help": "Time limit for one store.",
    },
    "skip-incomplete": {"is_flag": True, "help": "Leave out runs that cannot be read."},
}
# Options whose name is also a name in Python, and the names of their parameters.
PARAMETERS = {"from": "from_", "json": "json_"}
SIGNALLED = 128  # + the number of the signal, as in a shell
# Errors of the input or of its use, which have a message for the user. Others are unexpected.
FORESEEN = (ValueError, OSError, BrokenExecutor)
# Settings of click for a command and its subcommands.
SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100}


class Percent(click.ParamType):
    """A percentage, as "5%"; its value is the fraction, 0.05.

    Parameters
    ----------
    least, most : float
        Smallest and largest accepted percentage.
    """

    name = "percent"

    def __init__(self, least: float = 0.0, most: float = float("inf")) -> None:
        self.least, self.most = least, most

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """The fraction of a text with a percent sign; a number is returned unchanged."""
        if not isinstance(value, str):
            return value
        try:
            percent = float(value.removesuffix("%"))
        except ValueError:
            percent = -1.0
        inside = self.least <= percent <= self.most and percent < float("inf")
        if not (value.endswith("%") and inside):
            most = f"to {self.most:g}%" if self.most < float("inf") else "or more"
            text = f"expected a percentage of {self.least:g} {most}, for example 5%"
            self.fail(f"got {value!r}, {text}", param)
        return percent / 100


class Command(click.Command):
    """A command whose help shows its options in named groups, and its exit codes at the end.

    Parameters
    ----------
    groups : dict of str to str, optional
        Title of a group → names of its parameters, separated by blanks.
    exit_codes : str
        Meaning of the codes other than 2.
    """

    def __init__(self, *args, groups=None, exit_codes="0 done", **settings):
        super().__init__(*args, **settings)
        self.groups, self.exit_codes = groups or {}, exit_codes

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an empty text, as of a shell variable that is not set, is refused."""
        for param in self.params:
            value = ctx.params.get(param.name or "")
            if "" in (value if isinstance(value, tuple) else (value,)):
                raise click.BadParameter("got an empty text", ctx, param)
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group; those in no group come last."""
        params = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        options = {param.name: param for param in params}
        groups = {title: names.split() for title, names in self.groups.items()}
        grouped = {name for names in groups.values() for name in names}
        groups["Other options" if groups else "Options"] = [n for n in options if n not in grouped]
        for title, names in groups.items():
            rows = [row for name in names if (row := options[name].get_help_record(ctx))]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes."""
        formatter.write_paragraph()
        formatter.write_text(f"Exit codes: {self.exit_codes}, {TROUBLE} error.")


def shared_option(name: str, **settings: Any) -> Callable:
    """The option ``--name`` of several commands (see `SHARED`), with more settings."""
    words = [f"--{name}", *filter(None, [PARAMETERS.get(name)])]
    settings = SHARED[name] | settings
    if settings.get("multiple"):
        settings["help"] += " Repeatable."
    return click.option(*words, **settings)


def refuse(parameter: str, reason: str) -> None:
    """Refuse an option of the current command if the user gave it.

    Parameters
    ----------
    parameter : str
        Name of the parameter.
    reason : str
        Why the option has no effect. The message is the option followed by this reason.

    Raises
    ------
    click.UsageError
        If the user gave the option.
    """
    context = click.get_current_context()
    if context.get_parameter_source(parameter).name == "COMMANDLINE":
        (option,) = (p.opts[0] for p in context.command.params if p.name == parameter)
        raise click.UsageError(f"{context.info_name}: {option} {reason}")


def echo(text: Any, err: bool = False, styled: bool = False) -> None:
    """Print a text; control characters, as a foreign file may contain them, are replaced.

    Parameters
    ----------
    text : object
        The text.
    err : bool
        Whether to print to standard error.
    styled : bool
        Whether it has colours of `click.style`, and no control characters else.
    """
    click.echo(text if styled else printable(str(text)), err=err)


class Lines(logging.Formatter):
    """Log messages without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record."""
        return printable(super().format(record))


def log_to_stderr(level: str) -> None:
    """Log to standard error, from the level with this name upwards."""
    logging.basicConfig(level=level.upper(), force=True)
    for handler in logging.root.handlers:
        handler.setFormatter(Lines("%(levelname)s %(message)s"))


def run(command: click.Command, name: str) -> Callable:
    """A console script: one line and exit code 2 for all errors.

    A command that is interrupted can raise `KeyboardInterrupt(text)`; the text says which files
    were written. The attribute ``command`` of the script is the click command.
    """

    command.context_settings |= SETTINGS

    @wraps(command)
    def script(arguments=None):
        code: Any = 0
        with interrupts_noted() as signals:
            try:
                with mpi_ranks(arguments) as here:
                    if here:
                        code = _code(command, name, arguments, signals)
            except ValueError as error:
                code = _ended(error, name, signals)
        sys.exit(code if isinstance(code, int) else 0)

    vars(script)["command"] = command
    return script


def _code(command, name, arguments, signals):
    """Run a command, and return its exit code."""
    output = sys.stdout
    try:
        # Colours on a terminal, unless NO_COLOR is set (https://no-color.org).
        color = False if os.environ.get("NO_COLOR") else None
        code = command.main(arguments, name, standalone_mode=False, color=color)
        sys.stdout.flush()
        return code
    except click.ClickException as error:
        message = error.format_message()
        # Without any argument, the message is the help.
        echo(message if "\n" in message else f"{name}: {message}", err=True)
        return TROUBLE
    except SystemExit as end:
        # If nobody reads the output, click replaces it and ends with 1, as for differing cubes.
        return end.code if sys.stdout is output else TROUBLE
    except BaseException as error:
        return _ended(error, name, signals)


def _ended(error, name, signals):
    """Print one line on what ended a command, and return its exit code."""
    # click raises Abort for an interrupt; its lowest version names no cause. After an interrupt,
    # any other error can be its consequence.
    if isinstance(error, KeyboardInterrupt | click.Abort) or signals:
        if isinstance(error, click.Abort):
            error = error.__context__
        said = error.args if isinstance(error, KeyboardInterrupt) else ()
        kept = said[0] if said else "nothing was left half-written"
        _remove_scratch()
        echo(f"{name}: interrupted; {kept}", err=True)
        return SIGNALLED + (signals[0] if signals else signal.SIGINT)
    logging.getLogger(__name__).debug("", exc_info=True)
    echo(f"{name}: {_one_line(error)}", err=True)
    return TROUBLE


def _remove_scratch():
    """Remove temporary folders of workers that were ended: a new one removes them at its start."""
    from simbg.io.files.work_places import scratch_folder

    with suppress(OSError), scratch_folder():
        pass


def _one_line(error):
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    if isinstance(error, MemoryError):
        return f"got {in_one_line(error)}, expected enough memory"
    if not isinstance(error, FORESEEN):
        return f"got an unexpected {in_one_line(error)}; the option --debug shows where"
    return " ".join(str(error).split()) or type(error).__name__
