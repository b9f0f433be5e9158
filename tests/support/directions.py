"""Directions on the sky, drawn around one of them."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

__all__ = ["directions_around"]


def directions_around(center, radius, n=20_000, seed=1):
    """Directions all over the surroundings of one, ra and dec."""
    rng = np.random.default_rng(seed)
    away = SkyCoord(*center, unit="deg").directional_offset_by(
        rng.uniform(0, 360, n) * u.deg, radius * np.sqrt(rng.random(n)) * u.deg
    )
    return away.ra.deg, away.dec.deg
