"""Random number streams: one for each seed, name, run and replicate."""

from numbers import Integral
from zlib import crc32

import numpy as np

__all__ = ["named_rng"]


def named_rng(seed: int, name: str, *numbers: int) -> np.random.Generator:
    """An independent random generator for a seed, a name and some numbers (run, replicate).

    A new scenario changes no stream of another one, and streams do not depend on the order of work.

    Examples
    --------
    >>> int(named_rng(0, "night", 1).integers(1000)), int(named_rng(0, "night", 2).integers(1000))
    (111, 577)
    """
    if not (isinstance(seed, Integral) and seed >= 0):
        raise ValueError(f"seed: got {seed!r}, expected an integer, 0 or more")
    key = crc32(name.encode()), *numbers
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
