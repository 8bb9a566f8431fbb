"""The one loop over pixels that numpy and torch cannot bring to speed, compiled by numba.

Imported where it is first needed: numba takes about a second to import and to compile or load.
What it compiled is kept beside this file, or in the user's cache folder.
"""

import math

import numpy as np
from numba import njit


@njit
def hill(distance, sigma, reach):
    """Return the Gaussian of height 1, zero beyond `reach` sigmas."""
    if not abs(distance) <= reach * sigma:  # NaN as well
        return np.float32(0)
    return np.float32(math.exp(-0.5 * (distance / sigma) ** 2))


@njit
def window(place, reach, size):
    """Return the first pixel within `reach` px of a place, and the first after it; or one more."""
    low, high = math.floor(place - reach), math.ceil(place + reach) + 1
    return int(min(max(low, 0), size)), int(min(max(high, 0), size))


def compiled(signature):
    """Compile a function, and keep the result for the next process where a folder can hold it."""

    def compile_it(function):
        try:
            return njit(signature, cache=True)(function)
        except RuntimeError:  # neither this folder nor the user's can be written to
            return njit(signature)(function)

    return compile_it


@compiled("void(f4[:, ::1], f8[:, ::1], f8[::1], f8)")
def draw_max(canvas, points, sigma, reach):
    """Raise the canvas (H, W) to a Gaussian a point, out to `reach` sigmas, in place.

    Points (N, 2) are x, y in pixels, sigma is (N,). Points of like y are best given together:
    then what is written next lies near in memory.
    """
    height, width = canvas.shape
    across = np.empty(width, np.float32)
    for i in range(len(points)):
        (x, y), s = points[i], sigma[i]
        left, right = window(x, reach * s, width)
        top, bottom = window(y, reach * s, height)
        for column in range(left, right):
            across[column] = hill(column - x, s, reach)
        for row in range(top, bottom):
            tall = hill(row - y, s, reach)
            for column in range(left, right):
                canvas[row, column] = max(canvas[row, column], tall * across[column])
