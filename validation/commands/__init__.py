"""Commands of the suite, which ``simbg`` finds as entry points."""

__all__ = []
