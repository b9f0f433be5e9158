"""Features that the smooth functions of `spline` do not describe.

`sharp` finds changes from one bin to the next, and `local` features of some tenths of a degree.
`turns` fits the rate with both.
"""

__all__ = []
