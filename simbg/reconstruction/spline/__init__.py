"""The method `spline`: a penalised-likelihood reconstruction of a background cube.

`basis` has the functions, `penalty` what they cost, `fit` finds coefficients and strengths,
`errors` their covariance, `sharp` finds what is not smooth, and `method` makes a cube of it:
`Spline`, which a user names ``simbg.reconstruction.spline:Spline``.
"""

from pkgutil import resolve_name

__all__ = []


def __getattr__(name):
    if name != "Spline":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return resolve_name(f"{__name__}.method:{name}")
