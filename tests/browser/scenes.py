"""Images with truth and a heatmap as a half-trained network would draw it: no training, no torch."""

from typing import NamedTuple

import numpy as np

from pointlib.matching import match_points
from pointlib.thresholds import find_peaks

SIGMA = 2.0  # px, of every hill


class Scene(NamedTuple):
    """One image of one class."""

    image: np.ndarray  # (H, W) uint8
    heatmap: np.ndarray  # (H, W) float32
    points: np.ndarray  # (N, 2)


def draw_hills(points, heights, shape):
    """Return the highest of Gaussian hills at each pixel, (H, W) float32."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    hills = np.zeros(shape)
    for (px, py), height in zip(points, heights, strict=True):
        hill = height * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * SIGMA**2))
        hills = np.maximum(hills, hill)
    return hills.astype(np.float32)


def draw_scene(seed, *, n=24, shape=(90, 120)):
    """Draw `n` true points; some are missed, displaced or doubled, and there are false positives."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(3, np.array(shape)[::-1] - 4, (n, 2))
    seen = (points + rng.normal(0, 1, (n, 2)))[rng.random(n) < 0.9]
    doubled = points[: n // 8] + 4.5
    false = rng.uniform(3, np.array(shape)[::-1] - 4, (n // 3, 2))
    found = np.concatenate([seen, doubled, false])
    heights = np.concatenate(
        [rng.uniform(0.25, 0.98, len(seen)), rng.uniform(0.1, 0.7, len(doubled) + len(false))]
    )
    image = np.rint(30 + 180 * draw_hills(points, np.ones(n), shape)).astype(np.uint8)
    return Scene(image, draw_hills(found, heights, shape), points)


def count(scenes, *, threshold, min_distance, radius):
    """Return n_true, n_found, tp summed over scenes, each thresholded and matched from scratch."""
    total = np.zeros(3, dtype=int)
    for scene in scenes:
        found, _ = find_peaks(scene.heatmap, threshold=threshold, min_distance=min_distance)
        pairs = match_points(scene.points, found, radius=radius).pairs
        total += len(scene.points), len(found), len(pairs)
    return tuple(total.tolist())
