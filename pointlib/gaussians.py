"""Gaussians without torch: how wide they should be, and a picture of them for a few points.

For what must start in a second, such as the check of a folder. Not about what a network is taught
(heatmaps.py), which draws the same faster, on any device, once torch and numba are loaded.
"""

import numpy as np

from pointlib.errors import InputError
from pointlib.points import check_points, nearest_distances

REACH = 4.0  # sigmas; beyond it a Gaussian counts as zero
SHARE, MOST = 0.3, 0.4  # of the distance to the nearest neighbour: sigma, and at most
NARROWEST, WIDEST = 1.5, 6.0  # px: the limits of a sigma for which no match radius speaks
MANY = 300  # points of an image: from here on a second spent on loading numba comes back


def auto_sigma(points_of_images, *, radius=None):
    """Choose sigma from the match radius and from how near points stand to each other.

    Half the radius; without one 0.3 of the median distance to the nearest neighbour, but no more
    than 6 px, since points that stand far apart may still be small. In any case at most 0.4 of
    that distance, so that neighbours stay apart, and at least 1.5 px. How these shares were found
    is told in benchmarks/ACCURACY.md.

    Parameters
    ----------
    points_of_images : sequence of arrays of shape (N, 2)
        One class of one image each.
    radius : float, optional
        Match radius, pixels.

    Returns
    -------
    float
        Pixels, rounded to 0.1. Where no image holds two points and there is no radius, the middle
        between 1.5 and 6.
    """
    each = [nearest_distances(points) for points in points_of_images]
    distances = np.concatenate([np.zeros(0), *each])
    distances = distances[np.isfinite(distances)]
    if not len(distances):
        return round(max(NARROWEST, radius / 2 if radius else (NARROWEST + WIDEST) / 2), 1)
    spacing = float(np.median(distances))
    wanted = radius / 2 if radius else min(SHARE * spacing, WIDEST)
    return round(max(NARROWEST, min(wanted, MOST * spacing)), 1)


def draw_hills(points, shape, *, sigma):
    """Draw what `heatmaps.gaussian_max` draws, of points (N, 2) with one sigma, as an array.

    Returns
    -------
    ndarray of shape (H, W), float32
        In [0, 1].
    """
    points, canvas = check_points(points), np.zeros(shape, np.float32)
    if not 0 < sigma < np.inf:
        raise InputError(f"sigma is {sigma:g}; expected a number above 0, in pixels.")
    if len(points) >= MANY:
        from pointlib.kernels import draw_max

        draw_max(canvas, points[points[:, 1].argsort()], np.full(len(points), float(sigma)), REACH)
        return canvas
    columns, across = _profiles(points[:, 0], sigma, shape[1])
    rows, tall = _profiles(points[:, 1], sigma, shape[0])
    for row, column, high, wide in zip(rows, columns, tall, across, strict=True):
        part = canvas[row, column]
        np.maximum(part, high[row, None] * wide[column], out=part)
    return canvas


def _profiles(places, sigma, size):
    """Return the slice of an axis that each place reaches, and the Gaussians (N, size) along it."""
    low, high = np.clip([places - REACH * sigma, places + REACH * sigma + 1], 0, size)
    slices = map(slice, np.ceil(low).astype(int).tolist(), np.ceil(high).astype(int).tolist())
    distance = np.arange(size) - places[:, None]
    with np.errstate(over="ignore"):  # of places far away, which are cut below
        profile = np.exp(-0.5 * (distance / sigma) ** 2).astype(np.float32)
    return slices, np.where(np.abs(distance) <= REACH * sigma, profile, np.float32(0))
