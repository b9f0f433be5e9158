"""Seeds: a stream of random numbers for each name, run and replicate."""

from zlib import crc32

import numpy as np

__all__ = ["named_rng"]


def named_rng(seed, name, *numbers):
    """A random generator of its own for a name and some numbers (run, replicate).

    Adding a scenario changes no other, and the order of work does not matter.

    Examples
    --------
    >>> int(named_rng(0, "night", 1).integers(1000)), int(named_rng(0, "night", 2).integers(1000))
    (111, 577)
    """
    key = crc32(name.encode()), *numbers
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
