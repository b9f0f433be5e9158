"""What all command lines share: options, exit codes, and one line for whatever is wrong.

Exit codes as ``diff`` has them: 0 agree or all criteria hold, 1 they differ or
accuracy is lost, 2 trouble.
"""

import logging
import os
import sys
from concurrent.futures import BrokenExecutor
from functools import wraps

import click

from simbg.cli.completion import complete_method, complete_scenario

__all__ = ["run", "shared_option"]

TROUBLE = 2
# Options that several commands have.
SHARED = {
    "jobs": {
        "type": click.IntRange(1),
        "help": "Processes; default: one a core. Results are the same.",
    },
    "method": {"shell_complete": complete_method},
    "overwrite": {"is_flag": True, "help": "Replace what is there."},
    "scenario": {"shell_complete": complete_scenario},
    "seed": {"type": click.IntRange(0), "default": 0},
}
INTERRUPTED = 130  # as a shell has it: 128 + SIGINT
# Of a command and of those in it.
SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100}


def shared_option(name, **settings):
    """The option ``--name`` as other commands have it, see `SHARED`, with more settings."""
    return click.option(f"--{name}", **SHARED[name], **settings)


def log_to_stderr(level):
    """Log to standard error from a level on, given by name."""
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(message)s", force=True)


def run(command, name):
    """A console script: one line and exit code 2 for whatever is wrong with usage or input.

    An interrupt that says what was kept is asked for by `KeyboardInterrupt(text)`. The attribute
    ``command`` of the script is the click command.
    """

    @wraps(command)
    def script(arguments=None):
        try:
            # Colours on a terminal, unless it is asked to have none (https://no-color.org).
            color = False if os.environ.get("NO_COLOR") else None
            code = command.main(arguments, name, standalone_mode=False, color=color, **SETTINGS)
        except click.ClickException as error:
            message = error.format_message()
            # No argument at all: the message is the help.
            click.echo(message if "\n" in message else f"{name}: {message}", err=True)
            code = TROUBLE
        except (ValueError, OSError, BrokenExecutor) as error:
            logging.getLogger(__name__).debug("", exc_info=True)
            click.echo(f"{name}: {_one_line(error)}", err=True)
            code = TROUBLE
        except (KeyboardInterrupt, click.Abort) as error:
            # click makes an Abort of an interrupt.
            said = (error.__cause__ or error).args
            kept = said[0] if said else "nothing was left half-written"
            click.echo(f"{name}: interrupted; {kept}", err=True)
            code = INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)

    script.command = command
    return script


def _one_line(error):
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
