"""Fluorescent nuclei under a microscope."""

from functools import partial

import numpy as np
from scipy import ndimage

from pointlib.synthetic.scene import (
    Scene,
    lay,
    noise,
    sample,
    scatter,
    start_drawing,
    to_scene,
    turn,
)

DIVIDING = 0.06  # fraction of the cells


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
    rng, points, light = start_drawing(shape, difficulty, seed), [], np.zeros(shape)
    for centre in scatter(rng, shape, n, distance=18 - 11 * difficulty, clumps=0.5):
        patch, corner = sample(partial(_nucleus, rng, rng.uniform(5.5, 9)), centre, 16)
        lay(light, 0.85 * rng.lognormal(0, 0.25) * patch, corner)
        points.append(corner + ndimage.center_of_mass(patch)[::-1])
    for centre in scatter(rng, shape, int(difficulty * (4 + n / 2)), distance=3):  # debris
        patch, corner = sample(partial(_nucleus, rng, rng.uniform(0.8, 2)), centre, 5)
        lay(light, rng.uniform(0.5, 2.5) * patch, corner)
    return to_scene(_microscope(rng, light, difficulty), points, ["point"] * n)


def _nucleus(rng, size, x, y):
    """Return the intensity of a nucleus, a bent textured oval; a few are dividing."""
    dividing = rng.random() < DIVIDING
    a, b = size * rng.uniform(1, 1.2), size * (0.4 if dividing else rng.uniform(0.65, 0.95))
    u, v = turn(x, y, rng.uniform(0, np.pi))
    v = v + rng.uniform(0, 0.2) * (u * u / a - a / 3)  # bent
    angle = np.arctan2(v / b, u / a)
    rim = 1 + sum(rng.normal(0, 0.035) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3))
    rho = np.hypot(u / a, v / b) / rim
    grain = 1 + 0.12 * noise(rng, x.shape, 3) + 0.1 * noise(rng, x.shape, 7)
    inside = np.clip(0.5 + (1 - rho) * b / 1.2, 0, 1) * (1 - 0.25 * rho.clip(0, 1) ** 2)
    return (1 + 0.6 * dividing) * inside * grain.clip(0.2)


def _microscope(rng, light, difficulty):
    """Return grey values: glow, blur, haze, uneven light, shot and read noise."""
    haze = 0.8 * ndimage.gaussian_filter(light, 16) + 0.05 * np.abs(noise(rng, light.shape, 20))
    glow = 0.1 * ndimage.gaussian_filter(light, 5) + difficulty * haze
    light = ndimage.gaussian_filter(light, 0.5 + 1.2 * difficulty) + glow
    y, x = (np.indices(light.shape).T / light.shape).T - rng.uniform(0.25, 0.75, (2, 1, 1))
    light *= 1 - 0.9 * difficulty * (x * x + y * y)
    grey = 14 + 120 * (1 - 0.4 * difficulty) * light
    return grey + difficulty * np.sqrt(4 + 0.8 * grey) * rng.standard_normal(light.shape)
