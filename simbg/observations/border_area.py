"""The solid angle of each pixel that is inside a border: exact for straight sides.

Notes
-----
With longitude and sine of latitude as coordinates, areas are solid angles and pixels are
rectangles. The solid angle inside the border is the area below the sides that go to larger
longitude, minus the area below those that go back: a side adds a trapezoid in the pixels that it
crosses, and its full width in the pixels below these.
"""

import numpy as np

__all__ = []


def covered_solid_angle(
    starts: np.ndarray,
    stops: np.ndarray,
    weights: np.ndarray,
    lon_edges: np.ndarray,
    height_edges: np.ndarray,
) -> np.ndarray:
    """Return the solid angle of each pixel that is inside a border, as a weighted sum over times.

    Parameters
    ----------
    starts, stops : ndarray, shape (2, n_times, n_sides)
        Longitude (rad) and sine of latitude of the ends of the sides. No side crosses a pole or
        the longitudes ±180 deg. The inside is to the right of a side; the border is closed, and
        the order of its sides is arbitrary.
    weights : ndarray, shape (n_times,)
        Weights of the times.
    lon_edges, height_edges : ndarray, shape (n_lon + 1,), (n_lat + 1,)
        Edges of the pixels: longitude (rad) and sine of latitude, increasing.

    Returns
    -------
    ndarray, shape (n_lon, n_lat)
        Solid angle, sr.
    """
    n_lon, n_lat = lon_edges.size - 1, height_edges.size - 1
    weights = np.broadcast_to(weights[:, None], starts.shape[1:]).ravel()
    starts, stops = starts.reshape(2, -1), stops.reshape(2, -1)
    column, starts, stops, side = _cut(lon_edges, starts, stops)
    inside = (column >= 0) & (column < n_lon)
    column, weights = column[inside], weights[side[inside]]
    row, starts, stops, side = _cut(height_edges, starts[::-1, inside], stops[::-1, inside])
    inside = row >= 0
    row, side, starts, stops = row[inside], side[inside], starts[:, inside], stops[:, inside]
    # One more row, for the pieces above all pixels
    pixel = column[side] * (n_lat + 1) + row
    width = (stops[1] - starts[1]) * weights[side]
    trapezoid = width * ((starts[0] + stops[0]) / 2 - height_edges[row])
    widths, trapezoids = (
        np.bincount(pixel, values, n_lon * (n_lat + 1)).reshape(n_lon, n_lat + 1)
        for values in (width, trapezoid)
    )
    above = np.cumsum(widths[:, :0:-1], axis=1)[:, ::-1]
    return trapezoids[:, :-1] + above * np.diff(height_edges)


def _cut(edges, starts, stops):
    """Cut sides (2, n) where their first coordinate is at an edge.

    Returns
    -------
    bins : ndarray of int, shape (n_pieces,)
        Bin of each piece, from -1 (below the first edge) to the number of bins (above the last).
    starts, stops : ndarray, shape (2, n_pieces)
        Ends of the pieces, in the coordinates of the sides.
    side : ndarray of int, shape (n_pieces,)
        Index of the side that the piece belongs to.
    """
    first, last = np.searchsorted(edges, starts[0]), np.searchsorted(edges, stops[0])
    pieces = np.abs(last - first) + 1
    side = np.repeat(np.arange(pieces.size), pieces)
    number = np.arange(side.size) - (np.cumsum(pieces) - pieces)[side]
    number *= np.where(last < first, -1, 1)[side]
    bins = first[side] - 1 + number
    later = np.flatnonzero(number)
    x, y = starts[:, side[later]]
    along, across = stops[:, side[later]] - [x, y]
    edge = edges[bins[later] + (number[later] < 0)]
    starts, stops = starts[:, side], stops[:, side]
    starts[:, later] = stops[:, later - 1] = edge, y + (edge - x) * (across / along)
    return bins, starts, stops, side
