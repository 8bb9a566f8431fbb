"""Scenes: an image with its points, and the drawing operations that all of them share.

About sub-pixel drawing. Every shape is a function of sub-pixel coordinates, averaged over each
pixel's area: a point is the centre of what was drawn, not the nearest pixel. points.py defines the
coordinates. Not about what is drawn: cells.py, field.py, cats.py.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from pointlib.errors import InputError

MARGIN = 3  # pixels between a centre and the image border
SMALLEST = 32  # pixels, minimum height and width


class Scene(NamedTuple):
    """An image, points (N, 2) of x, y in pixels, labels (N,): `point` if there is one class."""

    image: np.ndarray
    points: np.ndarray
    labels: np.ndarray


def start_drawing(shape, difficulty, seed):
    """Check the options of every scene and return its random generator."""
    if np.shape(shape) != (2,) or min(shape) < SMALLEST:
        raise InputError(f"shape is {shape}; expected (H, W), both {SMALLEST} or more.")
    if not 0 <= difficulty <= 1:
        raise InputError(f"difficulty is {difficulty}; expected a number from 0 to 1.")
    return np.random.default_rng(seed)


def to_scene(image, points, labels):
    """Return the Scene, its image rounded to 8 bits."""
    pixels = image.round().clip(0, 255).astype(np.uint8)
    return Scene(pixels, np.reshape(points, (-1, 2)).astype(float), np.array(labels, dtype=str))


def turn(x, y, angle):
    """Return x, y, numbers or arrays, rotated clockwise on the screen by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([x * c - y * s, x * s + y * c])


def scatter(rng, shape, n, *, distance, clumps=0.0, keep=()):
    """Return n random centres at a minimum distance, also from `keep`, while there is room."""
    points, high = list(keep), np.array(shape[::-1]) - 1 - MARGIN
    while len(points) < n + len(keep):
        new = rng.uniform(MARGIN, high)
        if points and rng.random() < clumps:  # next to an existing one
            step = distance * rng.uniform(1, 1.5)
            new = points[rng.integers(len(points))] + turn(step, 0, rng.uniform(0, 2 * np.pi))
        apart = np.hypot(*(np.reshape(points, (-1, 2)) - new).T)
        if (new > MARGIN).all() and (new < high).all() and (apart > distance).all():
            points.append(new)
        distance *= 0.9995  # so that this ends when there is no room
    return points[len(keep) :]


def sample(layer, centre, reach, per_pixel=3):
    """Return layer(x, y), relative to `centre`, averaged over pixels, and its corner x, y."""
    corner, n = np.floor(centre).astype(int) - reach, 2 * reach + 2
    ticks = (np.arange(n * per_pixel) + 0.5) / per_pixel - 0.5  # from the first pixel's centre
    values = layer(*np.meshgrid(*(ticks + (corner - centre)[:, None])))
    return values.reshape(n, per_pixel, n, per_pixel, *values.shape[2:]).mean((1, 3)), corner


def lay(image, patch, corner):
    """Add a patch at its corner x, y: light (h, w), or premultiplied colour and alpha (h, w, 4)."""
    (x, y), (h, w) = corner, patch.shape[:2]
    target = image[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)]
    patch = patch[max(-y, 0) :, max(-x, 0) :][: target.shape[0], : target.shape[1]]
    if patch.shape[2:]:
        target *= 1 - patch[..., 3:]
        patch = patch[..., :3]
    target += patch


def stack(layers):
    """Return pairs of alpha (h, w) and colour, the last on top, as one patch for `lay`."""
    patch = np.zeros((*layers[0][0].shape, 4))
    for alpha, colour in layers:
        patch *= 1 - alpha[..., None]
        patch[..., :3] += alpha[..., None] * colour
        patch[..., 3] += alpha
    return patch


def noise(rng, shape, scale):
    """Return smooth noise of mean 0 and deviation 1; `scale` is the blur in pixels, or (y, x)."""
    step = max(1, int(np.min(scale) / 2))  # drawn coarse, then enlarged
    coarse = rng.standard_normal([s // step + 2 for s in shape])
    coarse = ndimage.gaussian_filter(coarse, np.divide(scale, step))
    fine = ndimage.zoom(coarse, step, order=1)[: shape[0], : shape[1]]
    return (fine - fine.mean()) / fine.std()


def camera(rng, image, difficulty):
    """Return an RGB image blurred, dimmed and with noise."""
    blur = 0.45 + 0.7 * difficulty
    image = ndimage.gaussian_filter(image, (blur, blur, 0))
    image = image * (1 - 0.35 * difficulty) + 14 * difficulty
    return image + 6 * difficulty * rng.standard_normal(image.shape)
