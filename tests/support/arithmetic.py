"""What machines disagree on: the last bits of exp, log, powers, sin and sums of products."""

import hashlib

import numpy as np

__all__ = ["arithmetic"]


def arithmetic():
    """A digest of such bits."""
    values = np.random.default_rng(0).uniform(0.1, 9, 10_000)
    results = np.exp(values), np.log(values), values**1.3, np.sin(values), values @ values
    return hashlib.sha256(b"".join(np.asarray(r).tobytes() for r in results)).hexdigest()
