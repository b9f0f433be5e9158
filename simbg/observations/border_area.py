"""The solid angle of each pixel that lies inside of a border: exact for straight sides.

In longitude and sine of latitude areas are solid angles and pixels are rectangles. The inside is
what lies below the sides that go to larger longitude, less what lies below those that go back:
of the pixels on a side a trapezoid, of those below them all.
"""

import numpy as np

__all__ = []


def covered_solid_angle(starts, stops, shares, lon_edges, height_edges):
    """Return how much of each pixel is inside of a border, as a weighted sum over times.

    Parameters
    ----------
    starts, stops : ndarray, shape (2, n_times, n_sides)
        Longitude (rad) and sine of latitude of the ends of the sides, which cross no seam or
        pole. The inside is to the right of a side; without a gap, but the order does not matter.
    shares : ndarray, shape (n_times,)
        Weights of the times.
    lon_edges, height_edges : ndarray, shape (n_lon + 1,), (n_lat + 1,)
        Of the pixels, increasing.

    Returns
    -------
    ndarray, shape (n_lon, n_lat)
        sr
    """
    n_lon, n_lat = lon_edges.size - 1, height_edges.size - 1
    shares = np.broadcast_to(shares[:, None], starts.shape[1:]).ravel()
    starts, stops = starts.reshape(2, -1), stops.reshape(2, -1)
    column, starts, stops, side = _cut(lon_edges, starts, stops)
    kept = (column >= 0) & (column < n_lon)
    column, shares = column[kept], shares[side[kept]]
    row, starts, stops, side = _cut(height_edges, starts[::-1, kept], stops[::-1, kept])
    kept = row >= 0
    row, side, starts, stops = row[kept], side[kept], starts[:, kept], stops[:, kept]
    # A row more, for what is above all pixels
    place = column[side] * (n_lat + 1) + row
    width = (stops[1] - starts[1]) * shares[side]
    trapezoid = width * ((starts[0] + stops[0]) / 2 - height_edges[row])
    widths, trapezoids = (
        np.bincount(place, values, n_lon * (n_lat + 1)).reshape(n_lon, n_lat + 1)
        for values in (width, trapezoid)
    )
    above = np.cumsum(widths[:, :0:-1], axis=1)[:, ::-1]
    return trapezoids[:, :-1] + above * np.diff(height_edges)


def _cut(edges, starts, stops):
    """Cut sides (2, n) where their first coordinate is at an edge.

    Returns
    -------
    bins : ndarray of int, shape (n_pieces,)
        From -1, below the first edge, to the number of bins, above the last.
    starts, stops : ndarray, shape (2, n_pieces)
    side : ndarray of int, shape (n_pieces,)
        Whose piece it is.
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
