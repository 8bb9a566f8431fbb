"""Synthetic images whose points are known exactly: cells, seedlings in a field, pupils of cats.

About images with known points, for tests, for lessons and for the folder `data`. Not about
training on them, and not a simulator: the optics are simple.

Every shape is a function of sub-pixel coordinates, averaged over each pixel's area: a point is
the centre of what was drawn, not the nearest pixel. points.py defines the coordinates.
`python -m pointlib.synthetic data` draws the sample sets again, byte for byte.
"""

import sys
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from pointlib.errors import InputError
from pointlib.files import write_atomic
from pointlib.images import encode_image
from pointlib.points import text_path, write_points

MARGIN = 3  # pixels between a centre and the image border
SMALLEST = 32  # pixels, minimum height and width
DIVIDING = 0.06  # fraction of the cells
GREEN = np.array([112, 160, 62])
PLANTS = {  # colour; pairs of leaves: turn, length, half width, bend, share of the stalk
    "seedling": (GREEN, [(1.6, 8, 2.2, 0, 0.3), (0, 12, 3, 0.2, 0.2), (0.8, 9, 2.6, 0.2, 0.1)]),
    "round": ((74, 112, 58), [(0, 8, 2.6, 0, 0.45), (1.1, 9, 2.8, 0, 0.5), (2.1, 8, 2.6, 0, 0.45)]),
    "grass": ((138, 158, 84), [(k / 2, 8 + k, 0.9, 0.4 - 0.2 * k, 0) for k in range(5)]),
    "straw": ((196, 172, 122), [(0, 9, 0.6, 0.1, 0)]),
}
COATS = (  # colours of fur, markings and bib; pattern
    ((208, 132, 66), (150, 76, 30), (246, 226, 200), "stripes"),
    ((146, 136, 126), (70, 64, 60), (224, 216, 204), "stripes"),
    ((50, 47, 50), (30, 28, 31), (64, 60, 62), "plain"),
    ((236, 232, 226), (206, 198, 190), (250, 247, 243), "plain"),
    ((230, 210, 184), (86, 64, 54), (120, 92, 78), "points"),
    ((238, 230, 220), (206, 130, 66), (250, 246, 240), "patches"),
    ((46, 44, 47), (28, 27, 30), (244, 241, 236), "bib"),
    ((128, 134, 144), (96, 102, 114), (150, 156, 165), "plain"),
)
IRISES = ((150, 190, 70), (226, 178, 50), (196, 120, 40), (112, 170, 130))


class Scene(NamedTuple):
    """An image, points (N, 2) of x, y in pixels, labels (N,): `point` if there is one class."""

    image: np.ndarray
    points: np.ndarray
    labels: np.ndarray


def draw_cells(
    shape: tuple[int, int] = (192, 256), *, n: int = 40, difficulty: float = 0.5, seed: int = 0
) -> Scene:
    """Draw fluorescent nuclei, bright on dark; each point is its nucleus's centre of intensity.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    n : int
        Number of cells, exactly.
    difficulty : float
        0: separate, sharp and free of noise. 1: crowded, blurred, hazy, noisy, full of debris.
    seed : int
        The same seed draws the same image.

    Returns
    -------
    Scene
        image (H, W) uint8, points (n, 2).

    Examples
    --------
    >>> from pointlib import draw_cells
    >>> scene = draw_cells(n=12, seed=3)
    >>> scene.image.shape, scene.points.shape
    ((192, 256), (12, 2))
    """
    rng, points, light = _start(shape, difficulty, seed), [], np.zeros(shape)
    for centre in _scatter(rng, shape, n, distance=18 - 11 * difficulty, clumps=0.5):
        patch, corner = _sample(partial(_nucleus, rng, rng.uniform(5.5, 9)), centre, 16)
        _lay(light, 0.85 * rng.lognormal(0, 0.25) * patch, corner)
        points.append(corner + ndimage.center_of_mass(patch)[::-1])
    for centre in _scatter(rng, shape, int(difficulty * (4 + n / 2)), distance=3):  # debris
        patch, corner = _sample(partial(_nucleus, rng, rng.uniform(0.8, 2)), centre, 5)
        _lay(light, rng.uniform(0.5, 2.5) * patch, corner)
    return _scene(_microscope(rng, light, difficulty), points, ["point"] * n)


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
    rng = _start(shape, difficulty, seed)
    tilt, sun = rng.uniform(-0.16, 0.16), rng.uniform(0, 2 * np.pi)
    image = _soil(rng, shape, sun, tilt, spacing)
    for centre in _scatter(rng, shape, int(difficulty * image.size / 5000), distance=3):
        _lay(image, *_sample(_plant(rng, "straw", sun, 0), centre, 12))
    rows = _rows(rng, shape, spacing, tilt)
    places = rows + _scatter(rng, shape, n_weeds, distance=14 - 9 * difficulty, keep=rows)
    kinds = ["seedling"] * len(rows) + list(rng.choice(["round", "grass"], n_weeds))
    plants = [_plant(rng, kind, sun, difficulty) for kind in kinds]
    stamps = [_sample(plant, centre, 15) for plant, centre in zip(plants, places, strict=True)]
    shadow, offset = np.zeros(shape), np.round(_turn(3.5, 0, sun)).astype(int)
    for patch, corner in stamps:
        _lay(shadow, patch[..., 3], corner + offset)
    shadow = ndimage.gaussian_filter(shadow.clip(0, 1), 0.8)
    image *= 1 - (0.4 + 0.25 * difficulty) * shadow[..., None]
    for k in rng.permutation(len(stamps)):
        _lay(image, *stamps[k])
    labels = ["seedling"] * len(rows) + ["weed"] * n_weeds
    return _scene(_camera(rng, image, difficulty), places, labels)


def draw_cats(
    shape: tuple[int, int] = (240, 320), *, n: int = 2, difficulty: float = 0.5, seed: int = 0
) -> Scene:
    """Draw cat faces, in RGB; the points are the centres of the pupils, two per face.

    Parameters
    ----------
    shape, seed
        As for `draw_cells`; the image is (H, W, 3).
    n : int
        Number of faces, exactly; the more, the smaller.
    difficulty : float
        0: large, upright, bright and sharp. 1: small, tilted, dark, blurred, dark irises, noise.

    Examples
    --------
    >>> from pointlib import draw_cats
    >>> scene = draw_cats(n=2)
    >>> scene.image.shape, len(scene.points)
    ((240, 320, 3), 4)
    """
    rng, points = _start(shape, difficulty, seed), []
    image = _room(rng, shape)
    largest = min(0.2 * min(shape), (0.08 * shape[0] * shape[1] / max(n, 1)) ** 0.5)
    reach = largest * (1 - 0.3 * difficulty)
    inner = (shape[0] - 2.6 * reach, shape[1] - 2.2 * reach)
    centres = _scatter(rng, inner, n, distance=2.5 * reach)
    for place in sorted(centres, key=lambda xy: xy[1]):  # lower ones are in front
        centre = place + reach * np.array([1.1, 1.4])
        cat = _cat(rng, reach * rng.uniform(0.85, 1.1), difficulty)
        _lay(image, *_sample(partial(_fur, cat), centre, int(3.3 * cat.size), per_pixel=1))
        for side in (-1, 1):
            points.append(centre + _turn(side * 0.42 * cat.size, -0.06 * cat.size, cat.tilt))
            _lay(image, *_sample(partial(_eye, cat, side), points[-1], int(0.3 * cat.size) + 2))
    return _scene(_camera(rng, image, difficulty), points, ["point"] * len(points))


def _start(shape, difficulty, seed):
    """Check the options of every scene and return its random generator."""
    if np.shape(shape) != (2,) or min(shape) < SMALLEST:
        raise InputError(f"shape is {shape}; expected (H, W), both {SMALLEST} or more.")
    if not 0 <= difficulty <= 1:
        raise InputError(f"difficulty is {difficulty}; expected a number from 0 to 1.")
    return np.random.default_rng(seed)


def _scene(image, points, labels):
    """Return the Scene, its image rounded to 8 bits."""
    pixels = image.round().clip(0, 255).astype(np.uint8)
    return Scene(pixels, np.reshape(points, (-1, 2)).astype(float), np.array(labels, dtype=str))


def _turn(x, y, angle):
    """Return x, y, numbers or arrays, rotated clockwise on the screen by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([x * c - y * s, x * s + y * c])


def _scatter(rng, shape, n, *, distance, clumps=0.0, keep=()):
    """Return n random centres at a minimum distance, also from `keep`, while there is room."""
    points, high = list(keep), np.array(shape[::-1]) - 1 - MARGIN
    while len(points) < n + len(keep):
        new = rng.uniform(MARGIN, high)
        if points and rng.random() < clumps:  # next to an existing one
            step = distance * rng.uniform(1, 1.5)
            new = points[rng.integers(len(points))] + _turn(step, 0, rng.uniform(0, 2 * np.pi))
        apart = np.hypot(*(np.reshape(points, (-1, 2)) - new).T)
        if (new > MARGIN).all() and (new < high).all() and (apart > distance).all():
            points.append(new)
        distance *= 0.9995  # so that this ends when there is no room
    return points[len(keep) :]


def _sample(layer, centre, reach, per_pixel=3):
    """Return layer(x, y), relative to `centre`, averaged over pixels, and its corner x, y."""
    corner, n = np.floor(centre).astype(int) - reach, 2 * reach + 2
    ticks = (np.arange(n * per_pixel) + 0.5) / per_pixel - 0.5  # from the first pixel's centre
    values = layer(*np.meshgrid(*(ticks + (corner - centre)[:, None])))
    return values.reshape(n, per_pixel, n, per_pixel, *values.shape[2:]).mean((1, 3)), corner


def _lay(image, patch, corner):
    """Add a patch at its corner x, y: light (h, w), or premultiplied colour and alpha (h, w, 4)."""
    (x, y), (h, w) = corner, patch.shape[:2]
    target = image[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)]
    patch = patch[max(-y, 0) :, max(-x, 0) :][: target.shape[0], : target.shape[1]]
    if patch.shape[2:]:
        target *= 1 - patch[..., 3:]
        patch = patch[..., :3]
    target += patch


def _stack(layers):
    """Return pairs of alpha (h, w) and colour, the last on top, as one patch for `_lay`."""
    patch = np.zeros((*layers[0][0].shape, 4))
    for alpha, colour in layers:
        patch *= 1 - alpha[..., None]
        patch[..., :3] += alpha[..., None] * colour
        patch[..., 3] += alpha
    return patch


def _noise(rng, shape, scale):
    """Return smooth noise of mean 0 and deviation 1; `scale` is the blur in pixels, or (y, x)."""
    step = max(1, int(np.min(scale) / 2))  # drawn coarse, then enlarged
    coarse = rng.standard_normal([s // step + 2 for s in shape])
    coarse = ndimage.gaussian_filter(coarse, np.divide(scale, step))
    fine = ndimage.zoom(coarse, step, order=1)[: shape[0], : shape[1]]
    return (fine - fine.mean()) / fine.std()


def _camera(rng, image, difficulty):
    """Return an RGB image blurred, dimmed and with noise."""
    blur = 0.45 + 0.7 * difficulty
    image = ndimage.gaussian_filter(image, (blur, blur, 0))
    image = image * (1 - 0.35 * difficulty) + 14 * difficulty
    return image + 6 * difficulty * rng.standard_normal(image.shape)


def _nucleus(rng, size, x, y):
    """Return the intensity of a nucleus, a bent textured oval; a few are dividing."""
    dividing = rng.random() < DIVIDING
    a, b = size * rng.uniform(1, 1.2), size * (0.4 if dividing else rng.uniform(0.65, 0.95))
    u, v = _turn(x, y, rng.uniform(0, np.pi))
    v = v + rng.uniform(0, 0.2) * (u * u / a - a / 3)  # bent
    angle = np.arctan2(v / b, u / a)
    rim = 1 + sum(rng.normal(0, 0.035) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3))
    rho = np.hypot(u / a, v / b) / rim
    grain = 1 + 0.12 * _noise(rng, x.shape, 3) + 0.1 * _noise(rng, x.shape, 7)
    inside = np.clip(0.5 + (1 - rho) * b / 1.2, 0, 1) * (1 - 0.25 * rho.clip(0, 1) ** 2)
    return (1 + 0.6 * dividing) * inside * grain.clip(0.2)


def _microscope(rng, light, difficulty):
    """Return grey values: glow, blur, haze, uneven light, shot and read noise."""
    haze = 0.8 * ndimage.gaussian_filter(light, 16) + 0.05 * np.abs(_noise(rng, light.shape, 20))
    glow = 0.1 * ndimage.gaussian_filter(light, 5) + difficulty * haze
    light = ndimage.gaussian_filter(light, 0.5 + 1.2 * difficulty) + glow
    y, x = (np.indices(light.shape).T / light.shape).T - rng.uniform(0.25, 0.75, (2, 1, 1))
    light *= 1 - 0.9 * difficulty * (x * x + y * y)
    grey = 14 + 120 * (1 - 0.4 * difficulty) * light
    return grey + difficulty * np.sqrt(4 + 0.8 * grey) * rng.standard_normal(light.shape)


def _rows(rng, shape, spacing, tilt):
    """Return the positions of seedlings in slightly tilted rows with gaps."""
    step = 27  # pixels between two seedlings
    n = int(sum(shape) / min(spacing, step)) + 1
    row, plant = np.mgrid[-n:n, -n:n] + rng.random((2, 1, 1))
    x = row * spacing + rng.normal(0, 1.5, row.shape)
    y = (plant + rng.random((2 * n, 1))) * step + rng.normal(0, 2, row.shape)  # offset per row
    x, y = _turn(x, y, tilt)
    grown = _noise(rng, row.shape, (0.1, 0.8)) < 1
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
    return lambda x, y: _stack([_pair(x, y, leaf, sun, colour) for leaf in leaves])


def _pair(x, y, leaf, sun, colour):
    """Return alpha and colour of two opposite leaves with midribs, lighter towards the sun."""
    angle, length, width, bend, stalk = leaf
    s, t = _turn(x, y, -angle)
    q, t = np.abs(s) / length, np.sign(s) * t + bend * s * s / length  # point symmetry
    blade = ((q - stalk) / (1 - stalk)).clip(0, 1)
    half = np.maximum(4 * width * blade * (1 - blade), 0.5 * (q < stalk + 0.1))
    lit = 0.78 + 0.3 * q - 0.16 * np.sign(s) * np.cos(angle - sun) + 0.22 * np.exp(-4 * t * t)
    return np.clip(0.5 + half - np.abs(t), 0, 1) * (q < 1), lit[..., None] * colour


def _soil(rng, shape, sun, tilt, spacing):
    """Return bare soil (H, W, 3): clods, ridges and wheel tracks lit from the side."""
    across, along = _turn(*np.indices(shape)[::-1], -tilt)
    height = sum(s**0.8 * _noise(rng, shape, s) for s in (1.2, 2.2, 5))
    height += 0.8 * np.cos(2 * np.pi * across / spacing)
    start = rng.uniform(-1, 1) * shape[1]
    for wheel in (start, start + 3.5 * spacing):
        off = np.abs(across - wheel)
        tread = 1.6 * np.sin(0.9 * (along + off)) - 3
        height += (8 - off).clip(0, 1) * (tread - 0.6 * height)
    slope = np.gradient(height)
    lit = 1 - 0.085 * (slope[1] * np.cos(sun) + slope[0] * np.sin(sun)) + 0.015 * height
    lit += 0.07 * _noise(rng, shape, 30)
    colour = rng.uniform(120, 160) * rng.uniform((0.96, 0.76, 0.56), (1.04, 0.82, 0.66))
    return lit.clip(0.3, 1.6)[..., None] * colour


def _cat(rng, size, difficulty):
    """Return a random cat; `size` is half the width of its head in pixels."""
    *colours, pattern = COATS[rng.integers(len(COATS))]
    iris = (96, 160, 214) if pattern == "points" else IRISES[rng.integers(len(IRISES))]
    fur, marks, bib, iris = (np.array(colour, float) for colour in (*colours, iris))
    iris *= 1 - 0.45 * difficulty * rng.random()
    tilt, slit = rng.normal(0, 0.08 + 0.3 * difficulty), rng.uniform(0.04, 0.1)
    tufts = ndimage.gaussian_filter1d(rng.standard_normal(512), 1.5, mode="wrap")
    look = {"fur": fur, "marks": marks, "bib": bib, "iris": iris, "pattern": pattern}
    return SimpleNamespace(**look, size=size, tilt=tilt, slit=slit, tufts=tufts)


def _edge(scale, distance, soft=0.0):
    """Return the alpha at a signed distance from an edge; one unit is `scale` pixels."""
    return np.clip(0.5 - distance / (1 / scale + soft), 0, 1)


def _oval(u, v, at, axes):
    """Return the approximate signed distance to an ellipse, negative inside."""
    return (np.hypot((u - at[0]) / axes[0], (v - at[1]) / axes[1]) - 1) * min(axes)


def _lens(u, v, a, b):
    """Return the signed distance to a lens of two arcs, with half axes a along u and b along v."""
    r = (a * a + b * b) / (2 * b)
    return np.hypot(u, np.abs(v) + r - b) - r


def _fur(cat, x, y):
    """Return the patch of a body and a head without eyes; (0, 0) is between the eyes."""
    u, v = _turn(x, y, -cat.tilt) / cat.size
    w, theta, r = np.abs(u), np.arctan2(v - 0.2, u), np.hypot(u, v - 0.2)
    tufts = cat.tufts[(81.5 * theta + 5 * np.sin(5 * r + 2 * theta)).astype(int) % 512]
    coat = _pattern(cat, u, v) * (1 + 0.12 * tufts)[..., None]
    light = (1.05 - 0.3 * (u * u + v * v) - 0.1 * u - 0.08 * v).clip(0.5)[..., None]
    body = _oval(x / cat.size, y / cat.size, (0, 1.75), (1, 1.4))
    ear = _lens(*_turn(w - 0.58, v + 0.6, 1.1), 0.8, 0.35)
    head = np.minimum(_oval(u, v, (0, 0), (0.98, 0.84)), _oval(u, v, (0, 0.24), (1.06, 0.54)))
    head += 0.05 * cat.tufts[(40.7 * theta).astype(int) % 512] * (0.4 + w)
    puff = np.minimum(_oval(w, v, (0.15, 0.4), (0.21, 0.16)), _oval(u, v, (0, 0.55), (0.17, 0.1)))
    smile = np.abs(v - 0.42 - 0.07 * np.sin(4 * np.pi * w)) + w // 0.25
    mouth, edge = np.minimum(smile, w + np.abs(v - 0.37) // 0.06), partial(_edge, cat.size)
    layers = [
        (edge(body, 0.12), coat * (0.5 + 0.14 * (v - 0.4).clip(0, 2))[..., None]),
        (edge(ear), (cat.marks if cat.pattern == "points" else cat.fur) * light),
        (edge(ear + 0.13, 0.2), (100, 72, 68) + 0.4 * cat.fur),
        (edge(head), coat * light),
        (edge(puff, 0.1), cat.bib * light),
        (edge(_oval(u, v, (0, 0.25), (0.13, 0.075))), (90, 50, 48) + 0.5 * cat.bib * (1, 0.5, 0.5)),
        (edge(mouth - 0.014), cat.marks * 0.55),
    ]
    for k in (-1, 0, 1):  # whiskers
        line = 0.4 + 0.09 * k + (0.26 * k - 0.1) * (w - 0.2) + 0.12 * (w - 0.2) ** 2
        reach = np.clip(5 * (w - 0.22), 0, 1) * np.clip(3 * (1.45 - w), 0, 0.7)
        layers.append((reach * edge(np.abs(v - line) - 0.007), (240, 238, 232)))
    return _stack(layers)


def _pattern(cat, u, v):
    """Return the colours (..., 3) of the coat."""
    w, mark, other = np.abs(u), np.zeros_like(u), cat.marks
    if cat.pattern == "stripes":
        brow = (2 * np.cos(17 * w + 2.5 * v) - 0.4) * (-5 * v - 1.6).clip(0, 1)
        mark = np.maximum(brow, (2 * np.cos(19 * v - 6.6 * w) - 0.5) * (8 * w - 4.4).clip(0, 1))
    elif cat.pattern == "points":
        mark = np.exp(-((4 * u * u + 3.3 * (v - 0.25) ** 2) ** 1.5))
    elif cat.pattern == "patches":
        p, q = 99 * cat.tufts[:2]  # two random numbers of this cat
        mark = 8 * (np.sin(2.3 * u + p) + np.sin(2.9 * v + q) + 0.5 * np.sin(5 * u * v)) - 2
    elif cat.pattern == "bib":
        mark, other = 9 * (0.06 + 0.5 * (v - 0.1).clip(0) - w), cat.bib
    return cat.fur + mark.clip(0, 1)[..., None] * (other - cat.fur)


def _eye(cat, side, x, y):
    """Return the patch of an eye: outline, iris, slit pupil at (0, 0), highlight."""
    u, v = _turn(x, y, -cat.tilt) / cat.size
    almond, edge = _lens(*_turn(u * side, v, 0.2), 0.25, 0.19), partial(_edge, cat.size)
    layers = [
        (edge(almond - 0.035), cat.marks * 0.3),
        (edge(almond), (0.85 + 0.9 * v).clip(0.3)[..., None] * cat.iris),
        (edge(_lens(v, u, 0.16, cat.slit)), (12, 10, 12)),
        (edge(np.hypot(u + 0.05, v + 0.07) - 0.032), (250, 250, 250)),
    ]
    return _stack(layers)


def _room(rng, shape):
    """Return the background, out of focus: planks, a woven blanket, or a lawn."""
    s, t = _turn(*np.indices(shape)[::-1], rng.uniform(-0.4, 0.4))
    kind, width = rng.integers(3), rng.uniform(24, 40)
    if kind == 0:
        plank = rng.normal(0, 0.08, 512)[(t // width).astype(int) % 512]
        lit = 1 + plank + 0.06 * _noise(rng, shape, (0.6, 7)) - 0.4 * (t % width // 1.5 == 0)
    elif kind == 1:
        lit = 1 + 0.1 * np.sign(np.sin(s * 6.3 / width)) + 0.1 * np.sign(np.sin(t * 6.3 / width))
    else:
        lit = 1 + 0.16 * _noise(rng, shape, (2.2, 0.8)) + 0.1 * _noise(rng, shape, 9)
    colour = ((168, 124, 84), rng.uniform(80, 170, 3), (98, 138, 66))[kind]
    lit = ndimage.gaussian_filter(lit + 0.1 * _noise(rng, shape, 60), 1.5).clip(0.2, 1.5)
    return lit[..., None] * np.array(colour)


PARTS = ("train", "val", "test", "unlabelled")
SETS = {  # function, (H, W), option that varies, its range, difficulty; number of images per part
    "cells": (draw_cells, (192, 256), "n", 25, 45, (0.4, 0.95), (24, 8, 8, 2)),
    "field": (draw_field, (240, 320), "n_weeds", 6, 26, (0.2, 0.65), (18, 6, 6, 0)),
    "cats": (draw_cats, (240, 320), "n", 1, 4, (0.05, 0.35), (18, 6, 6, 0)),
}
ABOUT = {
    "cells": "Fluorescent nuclei and their centres. The small bright specks are no cells.",
    "field": "Seedlings in rows and weeds, from the air in RGB, and where their stems are.",
    "cats": "Faces of cats, in RGB, and the centres of their pupils.",
}
README = """# {name}

{about}
{shape[1]} x {shape[0]} pixels, PNG. Match radius: 6 px.
Images: {images}. Points: {points}.
No text file means not labelled yet; an empty one means labelled, nothing there.

Drawn by pointlib's own code, free to use like the rest of it. To draw it again, byte for byte:
`python -m pointlib.synthetic data`.
"""


def draw_sample(name: str, index: int, *, shape: tuple[int, int] | None = None) -> Scene:
    """Return Scene `index` (0, 1, ...) of the sample set `name`, in its own or another shape.

    Examples
    --------
    >>> from pointlib import draw_sample
    >>> draw_sample("cells", 0).image.shape
    (192, 256)
    """
    draw, own_shape, option, low, high, difficulty, _ = SETS[name]
    rng = np.random.default_rng([index, *name.encode()])
    options = {"difficulty": rng.uniform(*difficulty), "seed": int(rng.integers(2**31))}
    options[option] = 0 if (index - 3) % 13 == 0 else int(rng.integers(low, high + 1))
    scene = draw(shape or own_shape, **options)
    step = 5 if scene.image.shape[2:] else 1  # fewer colours: smaller files
    return scene._replace(image=step * np.round(scene.image / step).astype(np.uint8))


def draw_set(name, folder, *, shape=None):
    """Write the sample set `name` to folder/name: images, text files of points, lists, README."""
    home, files, count = Path(folder) / name, {part: [] for part in PARTS}, Counter()
    for index, part in enumerate(np.repeat(PARTS, SETS[name][-1])):
        path = home / "images" / f"{name.rstrip('s')}_{index + 1:03d}.png"
        scene = draw_sample(name, index, shape=shape)
        write_atomic(path, encode_image(scene.image, compression=9))
        files[part].append(path.name)
        if part != "unlabelled":
            labels = ["" if label == "point" else label for label in scene.labels]
            # the models in data/, and the lessons' outputs, depend on the last digit
            options = {"labels": labels, "decimals": 9}
            write_points(text_path(path), scene.points, scene.image.shape[:2], **options)
            count.update(scene.labels)
    for part in PARTS[:3]:
        write_atomic(home / f"{part}.txt", "".join(f"{file}\n" for file in files[part]))
    images = ", ".join(f"{len(found)} {part}" for part, found in files.items())
    points = ", ".join(f"{n} of class {label}" for label, n in sorted(count.items()))
    text = {"name": name, "about": ABOUT[name], "images": images, "points": points}
    write_atomic(home / "README.md", README.format(**text, shape=scene.image.shape))


def main(folder):
    """Draw every sample set into `folder`."""
    for name in SETS:
        draw_set(name, folder)


if __name__ == "__main__":
    main(*sys.argv[1:] or ["data"])
