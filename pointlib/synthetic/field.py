"""Seedlings in rows among weeds, from the air."""

import numpy as np
from scipy import ndimage

from pointlib.synthetic.scene import (
    MARGIN,
    Scene,
    camera,
    lay,
    noise,
    sample,
    scatter,
    stack,
    start_drawing,
    to_scene,
    turn,
)

GREEN = np.array([112, 160, 62])
PLANTS = {  # colour; pairs of leaves: turn, length, half width, bend, share of the stalk
    "seedling": (GREEN, [(1.6, 8, 2.2, 0, 0.3), (0, 12, 3, 0.2, 0.2), (0.8, 9, 2.6, 0.2, 0.1)]),
    "round": ((74, 112, 58), [(0, 8, 2.6, 0, 0.45), (1.1, 9, 2.8, 0, 0.5), (2.1, 8, 2.6, 0, 0.45)]),
    "grass": ((138, 158, 84), [(k / 2, 8 + k, 0.9, 0.4 - 0.2 * k, 0) for k in range(5)]),
    "straw": ((196, 172, 122), [(0, 9, 0.6, 0.1, 0)]),
}


def draw_field(
    shape: tuple[int, int] = (240, 320),
    *,
    spacing: float = 48,
    n_weeds: int = 14,
    difficulty: float = 0.5,
    seed: int = 0,
) -> Scene:
    """Draw rows of seedlings among weeds, from the air, in RGB: labels `seedling` and `weed`.

    Leaves are in opposite pairs: their centre of mass is the stem, which is the point.

    Parameters
    ----------
    shape, seed
        As for `draw_cells`; the image is (H, W, 3).
    spacing : float
        Pixels between two rows, which determines the number of seedlings.
    n_weeds : int
        Number of weeds, exactly.
    difficulty : float
        0: clean soil, weeds of other colours. 1: all one green, straw, dark shadows, blur, noise.

    Examples
    --------
    >>> from pointlib import draw_field
    >>> scene = draw_field(n_weeds=4)
    >>> int((scene.labels == "weed").sum())
    4
    """
    rng = start_drawing(shape, difficulty, seed)
    tilt, sun = rng.uniform(-0.16, 0.16), rng.uniform(0, 2 * np.pi)
    image = _soil(rng, shape, sun, tilt, spacing)
    for centre in scatter(rng, shape, int(difficulty * image.size / 5000), distance=3):
        lay(image, *sample(_plant(rng, "straw", sun, 0), centre, 12))
    rows = _rows(rng, shape, spacing, tilt)
    places = rows + scatter(rng, shape, n_weeds, distance=14 - 9 * difficulty, keep=rows)
    kinds = ["seedling"] * len(rows) + list(rng.choice(["round", "grass"], n_weeds))
    plants = [_plant(rng, kind, sun, difficulty) for kind in kinds]
    stamps = [sample(plant, centre, 15) for plant, centre in zip(plants, places, strict=True)]
    shadow, offset = np.zeros(shape), np.round(turn(3.5, 0, sun)).astype(int)
    for patch, corner in stamps:
        lay(shadow, patch[..., 3], corner + offset)
    shadow = ndimage.gaussian_filter(shadow.clip(0, 1), 0.8)
    image *= 1 - (0.4 + 0.25 * difficulty) * shadow[..., None]
    for k in rng.permutation(len(stamps)):
        lay(image, *stamps[k])
    labels = ["seedling"] * len(rows) + ["weed"] * n_weeds
    return to_scene(camera(rng, image, difficulty), places, labels)


def _rows(rng, shape, spacing, tilt):
    """Return the positions of seedlings in slightly tilted rows with gaps."""
    step = 27  # pixels between two seedlings
    n = int(sum(shape) / min(spacing, step)) + 1
    row, plant = np.mgrid[-n:n, -n:n] + rng.random((2, 1, 1))
    x = row * spacing + rng.normal(0, 1.5, row.shape)
    y = (plant + rng.random((2 * n, 1))) * step + rng.normal(0, 2, row.shape)  # offset per row
    x, y = turn(x, y, tilt)
    grown = noise(rng, row.shape, (0.1, 0.8)) < 1
    grown &= (np.minimum(x, y) > MARGIN) & (x < shape[1] - 1 - MARGIN) & (y < shape[0] - 1 - MARGIN)
    return list(np.transpose([x[grown], y[grown]]))


def _plant(rng, kind, sun, difficulty):
    """Return the layer of one random plant; the harder, the more weeds look like the crop."""
    colour, pairs = PLANTS[kind]
    colour = (colour + 0.9 * difficulty * (GREEN - colour)) * rng.uniform(0.8, 1.1)
    turns = rng.uniform(0, np.pi) + rng.normal(0, 0.2, len(pairs))
    sizes = rng.uniform(0.6, 1) * rng.uniform(0.9, 1.15, len(pairs))
    leaves = [
        (angle + turn, size * length, size * width, *rest)
        for angle, size, (turn, length, width, *rest) in zip(turns, sizes, pairs, strict=True)
    ]
    return lambda x, y: stack([_pair(x, y, leaf, sun, colour) for leaf in leaves])


def _pair(x, y, leaf, sun, colour):
    """Return alpha and colour of two opposite leaves with midribs, lighter towards the sun."""
    angle, length, width, bend, stalk = leaf
    s, t = turn(x, y, -angle)
    q, t = np.abs(s) / length, np.sign(s) * t + bend * s * s / length  # point symmetry
    blade = ((q - stalk) / (1 - stalk)).clip(0, 1)
    half = np.maximum(4 * width * blade * (1 - blade), 0.5 * (q < stalk + 0.1))
    lit = 0.78 + 0.3 * q - 0.16 * np.sign(s) * np.cos(angle - sun) + 0.22 * np.exp(-4 * t * t)
    return np.clip(0.5 + half - np.abs(t), 0, 1) * (q < 1), lit[..., None] * colour


def _soil(rng, shape, sun, tilt, spacing):
    """Return bare soil (H, W, 3): clods, ridges and wheel tracks lit from the side."""
    across, along = turn(*np.indices(shape)[::-1], -tilt)
    height = sum(s**0.8 * noise(rng, shape, s) for s in (1.2, 2.2, 5))
    height += 0.8 * np.cos(2 * np.pi * across / spacing)
    start = rng.uniform(-1, 1) * shape[1]
    for wheel in (start, start + 3.5 * spacing):
        off = np.abs(across - wheel)
        tread = 1.6 * np.sin(0.9 * (along + off)) - 3
        height += (8 - off).clip(0, 1) * (tread - 0.6 * height)
    slope = np.gradient(height)
    lit = 1 - 0.085 * (slope[1] * np.cos(sun) + slope[0] * np.sin(sun)) + 0.015 * height
    lit += 0.07 * noise(rng, shape, 30)
    colour = rng.uniform(120, 160) * rng.uniform((0.96, 0.76, 0.56), (1.04, 0.82, 0.66))
    return lit.clip(0.3, 1.6)[..., None] * colour
