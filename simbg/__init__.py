"""simbg: is your gamma-ray background model right?

One truth makes cubes and events; a reconstruction sees the events alone; a
comparison says how well it did.
"""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("simbg")
