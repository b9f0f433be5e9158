"""A door to ``simbg validate``: ``python -m validation`` in a checkout."""

import sys

from simbg.cli import one_thread

__all__ = []

if __name__ == "__main__":
    one_thread()
    from simbg.cli.console import run
    from simbg.validation.commands.validate import validate

    run(validate, "simbg validate")(sys.argv[1:])
