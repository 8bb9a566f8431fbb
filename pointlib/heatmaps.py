"""Points to heatmaps: what the network learns to draw, and how wide its Gaussians should be.

About targets. Not about finding points in a heatmap (thresholds.py).

A heatmap function has the signature ``heatmap_fn(points, shape, *, sigma) -> (H, W)``; write your
own and pass it wherever one is needed. Points may lie outside the image: the part of their
Gaussian that is inside is drawn. A Gaussian is cut off at 4 sigma, where it is down to 0.0003.

numpy draws and torch wraps the result, so that code without a network does not load torch.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pointlib.errors import InputError
from pointlib.points import check_points, nearest_distances

if TYPE_CHECKING:  # torch takes seconds to import
    from torch import Tensor

REACH = 4.0  # sigmas; beyond it a Gaussian counts as zero
CHUNK = 100_000  # window pixels drawn at once: they fit into the processor's cache
SHARE, MOST = 0.3, 0.4  # sigma as a share of the distance to the nearest neighbour, and its maximum
NARROWEST, WIDEST = 1.5, 6.0  # px: the limits of sigma without a match radius


def auto_sigma(points_of_images: Sequence[ArrayLike], *, radius: float | None = None) -> float:
    """Choose sigma from the match radius and from how close points are to each other.

    Half the radius; without one 0.3 of the median distance to the nearest neighbour, but no more
    than 6 px, since objects that are far apart may still be small. In any case at most 0.4 of
    that distance, so that neighbours stay apart, and at least 1.5 px. benchmarks/ACCURACY.md says
    how these shares were found.

    Parameters
    ----------
    points_of_images : sequence of arrays of shape (N, 2)
        Each of one class of one image.
    radius : float, optional
        Match radius, pixels.

    Returns
    -------
    float
        Pixels, rounded to 0.1. If no image has two points and there is no radius, the middle
        between 1.5 and 6.

    Examples
    --------
    >>> from pointlib import auto_sigma
    >>> auto_sigma([[[0, 0], [20, 0], [40, 0]]])
    6.0
    >>> auto_sigma([[[0, 0], [20, 0], [40, 0]]], radius=10)
    5.0
    """
    each = [nearest_distances(points) for points in points_of_images]
    distances = np.concatenate([np.zeros(0), *each])
    distances = distances[np.isfinite(distances)]
    if not len(distances):
        return round(max(NARROWEST, radius / 2 if radius else (NARROWEST + WIDEST) / 2), 1)
    spacing = float(np.median(distances))
    wanted = radius / 2 if radius else min(SHARE * spacing, WIDEST)
    return round(max(NARROWEST, min(wanted, MOST * spacing)), 1)


def gaussian_max(points: ArrayLike, shape: tuple[int, int], *, sigma: ArrayLike) -> "Tensor":
    """Draw each point as a Gaussian of height 1; where two overlap, the higher value counts.

    ``h(q) = max_p exp(-|q - p|^2 / (2 sigma^2))``, as in CenterNet (Zhou et al. 2019), but at the
    sub-pixel position. Neighbours 2 px or more apart on whole pixels stay two peaks.

    Parameters
    ----------
    points : array_like or tensor of shape (N, 2), float
        x, y in pixels.
    shape : (int, int)
        Height and width of the heatmap.
    sigma : float or array_like of shape (N,)
        Standard deviation in pixels, one for all or one per point.

    Returns
    -------
    tensor of shape (H, W), float32
        In [0, 1]; on the device of `points` if that is a tensor.

    Examples
    --------
    >>> from pointlib import gaussian_max
    >>> heatmap = gaussian_max([[2, 1]], (3, 5), sigma=1)
    >>> heatmap[1].numpy().round(2)
    array([0.14, 0.61, 1.  , 0.61, 0.14], dtype=float32)
    """
    return _as_tensor(_draw(points, shape, sigma, np.maximum), like=points)


def gaussian_sum(points: ArrayLike, shape: tuple[int, int], *, sigma: ArrayLike) -> "Tensor":
    """Draw each point as a Gaussian of height 1, add them up and clip at 1.

    Kept to show why it fails: points closer than about 3 sigma merge into one plateau that cannot
    be turned back into points. Parameters and result as for `gaussian_max`.

    Examples
    --------
    >>> from pointlib import gaussian_sum
    >>> heatmap = gaussian_sum([[2, 1], [3, 1]], (3, 6), sigma=1)
    >>> heatmap[1].numpy().round(2)
    array([0.15, 0.74, 1.  , 1.  , 0.74, 0.15], dtype=float32)
    """
    return _as_tensor(_draw(points, shape, sigma, np.add), like=points).clamp_(max=1.0)


def density(points: ArrayLike, shape: tuple[int, int], *, sigma: ArrayLike) -> "Tensor":
    """Draw each point inside the image as a Gaussian of unit mass, so that the sum is the count.

    Each one is scaled by its mass inside the image, so that a point at the border still counts
    as one (a zero-padded blur loses half of it). Points outside are not counted.
    Parameters and result as for `gaussian_max`, but values may exceed 1.

    Examples
    --------
    >>> from pointlib import density
    >>> float(density([[2, 1], [30, 20]], (40, 60), sigma=3).sum().round(decimals=3))
    2.0
    """
    return _as_tensor(_draw(points, shape, sigma, np.add, unit_mass=True), like=points)


HEATMAPS = {"gaussian_max": gaussian_max, "gaussian_sum": gaussian_sum, "density": density}


def draw_classes(points, labels, shape, *, classes, sigma, heatmap_fn=gaussian_max):
    """Draw one heatmap per class.

    Parameters
    ----------
    points : array_like of shape (N, 2), float
    labels : array_like of shape (N,), str
    shape : (int, int)
        Height and width.
    classes : sequence of str
        In the order of the channels. A label that is not among them is an error.
    sigma : float
        In pixels.

    Returns
    -------
    tensor of shape (C, H, W), float32
    """
    import torch

    labels = np.asarray(labels, dtype=str)
    if unknown := sorted(set(labels.tolist()) - set(classes)):
        raise InputError(f"label {unknown[0]!r} is not among the classes {list(classes)}.")
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    maps = [heatmap_fn(points[labels == name], shape, sigma=sigma) for name in classes]
    return torch.stack([torch.as_tensor(m, dtype=torch.float32) for m in maps])


def draw_gaussians(points, shape, *, sigma):
    """Draw the heatmap of `gaussian_max` as an array (H, W), float32, without loading torch."""
    return _draw(points, shape, sigma, np.maximum)


def _draw(points, shape, sigma, combine, *, unit_mass=False):
    """Combine the points' windows on a canvas (H, W) by a ufunc: np.maximum or np.add.

    A window contains all pixels within 4 sigma; at the border it is shifted inside.
    """
    points, sigma = _checked(points, sigma)
    height, width = (int(n) for n in shape)
    canvas = np.zeros(height * width, np.float32)
    radius = math.ceil(REACH * sigma.max(initial=0))
    near = _is_near(points, (height, width), 0 if unit_mass else radius + 0.5)
    points, sigma = points[near], sigma[near]
    by_row = points[:, 1].argsort()  # successive windows are close in memory
    window = min(2 * radius + 1, height) * min(2 * radius + 1, width)
    step = max(1, CHUNK // max(1, window))
    for start in range(0, len(by_row), step):
        some = by_row[start : start + step]
        rows, tall = _profiles(points[some, 1], sigma[some], radius, height)
        columns, wide = _profiles(points[some, 0], sigma[some], radius, width)
        if unit_mass:
            tall, wide = (part / part.sum(axis=1, keepdims=True) for part in (tall, wide))
        pixels = rows[:, :, None] * width + columns[:, None, :]
        values = tall[:, :, None] * wide[:, None, :]
        combine.at(canvas, pixels.ravel(), values.ravel())
    return canvas.reshape(height, width)


def _is_near(points, shape, margin):
    """Return which points lie within the image or `margin` px around it, (N,) bool."""
    limit = np.array(shape[::-1]) - 0.5 + margin
    return ((points >= -0.5 - margin) & (points <= limit)).all(axis=1)


def _profiles(places, sigma, radius, size):
    """Return the windows' pixels along one axis, (N, side) int, and the Gaussians there."""
    side = min(2 * radius + 1, size)
    first = np.clip(np.rint(places).astype(np.intp) - radius, 0, size - side)
    pixels = first[:, None] + np.arange(side)
    distance = (pixels - places[:, None]) / sigma[:, None]
    profile = np.exp(-0.5 * distance**2).astype(np.float32)
    profile[np.abs(distance) > REACH] = 0
    return pixels, profile


def _checked(points, sigma):
    """Return points (N, 2) and sigma (N,), float64; points in a tensor are not checked."""
    if hasattr(points, "detach"):
        points = points.detach().cpu().double().numpy()
    else:
        points = check_points(points)
    if hasattr(sigma, "detach"):
        sigma = sigma.detach().cpu().double()
    sigma = np.broadcast_to(np.asarray(sigma, dtype=float), len(points))
    wrong = sigma[~((sigma > 0) & (sigma < np.inf))]
    if len(wrong):
        raise InputError(f"sigma is {wrong[0]:g}; expected a number above 0, in pixels.")
    return points, sigma


def _as_tensor(array, *, like):
    """Return an array as a tensor, on the device of `like` if that is a tensor."""
    import torch

    return torch.from_numpy(array).to(getattr(like, "device", "cpu"))
