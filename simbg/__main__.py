"""A door to the command ``simbg``: ``python -m simbg``."""

__all__ = []


def _door():
    from simbg.cli import start

    start()


if __name__ == "__main__":
    _door()
