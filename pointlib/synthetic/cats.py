"""Faces of cats, whose pupils are the points."""

from functools import partial
from types import SimpleNamespace

import numpy as np
from scipy import ndimage

from pointlib.synthetic.scene import (
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
    rng, points = start_drawing(shape, difficulty, seed), []
    image = _room(rng, shape)
    largest = min(0.2 * min(shape), (0.08 * shape[0] * shape[1] / max(n, 1)) ** 0.5)
    reach = largest * (1 - 0.3 * difficulty)
    inner = (shape[0] - 2.6 * reach, shape[1] - 2.2 * reach)
    centres = scatter(rng, inner, n, distance=2.5 * reach)
    for place in sorted(centres, key=lambda xy: xy[1]):  # lower ones are in front
        centre = place + reach * np.array([1.1, 1.4])
        cat = _cat(rng, reach * rng.uniform(0.85, 1.1), difficulty)
        lay(image, *sample(partial(_fur, cat), centre, int(3.3 * cat.size), per_pixel=1))
        for side in (-1, 1):
            points.append(centre + turn(side * 0.42 * cat.size, -0.06 * cat.size, cat.tilt))
            lay(image, *sample(partial(_eye, cat, side), points[-1], int(0.3 * cat.size) + 2))
    return to_scene(camera(rng, image, difficulty), points, ["point"] * len(points))


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
    u, v = turn(x, y, -cat.tilt) / cat.size
    w, theta, r = np.abs(u), np.arctan2(v - 0.2, u), np.hypot(u, v - 0.2)
    tufts = cat.tufts[(81.5 * theta + 5 * np.sin(5 * r + 2 * theta)).astype(int) % 512]
    coat = _pattern(cat, u, v) * (1 + 0.12 * tufts)[..., None]
    light = (1.05 - 0.3 * (u * u + v * v) - 0.1 * u - 0.08 * v).clip(0.5)[..., None]
    body = _oval(x / cat.size, y / cat.size, (0, 1.75), (1, 1.4))
    ear = _lens(*turn(w - 0.58, v + 0.6, 1.1), 0.8, 0.35)
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
    return stack(layers)


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
    u, v = turn(x, y, -cat.tilt) / cat.size
    almond, edge = _lens(*turn(u * side, v, 0.2), 0.25, 0.19), partial(_edge, cat.size)
    layers = [
        (edge(almond - 0.035), cat.marks * 0.3),
        (edge(almond), (0.85 + 0.9 * v).clip(0.3)[..., None] * cat.iris),
        (edge(_lens(v, u, 0.16, cat.slit)), (12, 10, 12)),
        (edge(np.hypot(u + 0.05, v + 0.07) - 0.032), (250, 250, 250)),
    ]
    return stack(layers)


def _room(rng, shape):
    """Return the background, out of focus: planks, a woven blanket, or a lawn."""
    s, t = turn(*np.indices(shape)[::-1], rng.uniform(-0.4, 0.4))
    kind, width = rng.integers(3), rng.uniform(24, 40)
    if kind == 0:
        plank = rng.normal(0, 0.08, 512)[(t // width).astype(int) % 512]
        lit = 1 + plank + 0.06 * noise(rng, shape, (0.6, 7)) - 0.4 * (t % width // 1.5 == 0)
    elif kind == 1:
        lit = 1 + 0.1 * np.sign(np.sin(s * 6.3 / width)) + 0.1 * np.sign(np.sin(t * 6.3 / width))
    else:
        lit = 1 + 0.16 * noise(rng, shape, (2.2, 0.8)) + 0.1 * noise(rng, shape, 9)
    colour = ((168, 124, 84), rng.uniform(80, 170, 3), (98, 138, 66))[kind]
    lit = ndimage.gaussian_filter(lit + 0.1 * noise(rng, shape, 60), 1.5).clip(0.2, 1.5)
    return lit[..., None] * np.array(colour)
