"""The method `spline`: a penalised-likelihood reconstruction of a background cube.

`basis` defines the smooth functions and `penalty` the prior of their coefficients. `fit` estimates
the coefficients and the strengths of the penalties, and `errors` the covariance of the
coefficients. `sharp` finds features that are not smooth. `method` contains the method itself,
`Spline`.

Its model of all runs has a rate that depends on the zenith angle, and a norm of each run. `cells`
reads the runs, `design` defines its functions, `run_fit` fits it, and `run_models` has the cube of
each run.
"""

from pkgutil import resolve_name

__all__ = []


def __getattr__(name):
    if name != "Spline":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return resolve_name(f"{__name__}.method:{name}")
