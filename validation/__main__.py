"""A door to ``simbg validate``: ``python -m validation`` in a checkout."""

import sys

from simbg.cli.console import run
from simbg.validation.commands.validate import validate

__all__ = []

if __name__ == "__main__":
    run(validate, "simbg validate")(sys.argv[1:])
