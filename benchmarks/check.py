"""`pointlib check` on a folder of 10,000 images with some 300,000 points. `make bench`.

A process of its own, as a user starts it: Python, imports, the look at every file, the picture.
The files were written a moment ago, so the system still has them in memory, as those of a folder
that somebody works on. Seconds do not carry over to other machines.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from pointlib.heatmaps import draw_gaussians
from pointlib.points import format_points, text_path

SHAPE, FIELD, N_POINTS = (192, 256), (1536, 2048), 1900  # 30 points an image


def make_folder(folder, n_images):
    """Write cut-outs of one noisy field, PNG and JPEG in turn; return the number of points."""
    rng = np.random.default_rng(0)
    places = rng.uniform(0, [FIELD[1] - 1, FIELD[0] - 1], (N_POINTS, 2))
    grey = 40 + 160 * draw_gaussians(places, FIELD, sigma=3) + rng.normal(0, 6, FIELD)
    field = np.stack([grey, 30 + grey / 2, 240 - grey], axis=2).clip(0, 255).astype(np.uint8)
    folder.mkdir()
    n_points = 0
    for i in range(n_images):
        top, left = rng.integers(0, np.subtract(FIELD, SHAPE) + 1)
        points = places - [left, top]
        points = points[((points >= -0.5) & (points <= np.subtract(SHAPE[::-1], 0.5))).all(axis=1)]
        path = folder / f"image_{i:05}{('.png', '.jpg')[i % 2]}"
        options = ({"compress_level": 3}, {"quality": 90})[i % 2]
        image = field[top : top + SHAPE[0], left : left + SHAPE[1]]
        Image.fromarray(image).save(path, **options)
        text_path(path).write_text("".join(format_points(points, [""] * len(points), SHAPE)))
        n_points += len(points)
    return n_points


def main():
    """Make the folder, check it, print how long that took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    n_images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as temporary:
        folder, output = Path(temporary) / "many", Path(temporary) / "check"
        n_points = make_folder(folder, n_images)
        command = [sys.executable, "-m", "pointlib", "check", folder, "--output", output]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        wall = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"pointlib check, {n_images:,} images of {SHAPE[1]} x {SHAPE[0]}, {n_points:,} points: "
        f"{wall:.1f} s on {os.cpu_count()} cores; of their time {used.ru_utime:.1f} s for the "
        f"program and {used.ru_stime:.1f} s for the system"
    )


if __name__ == "__main__":
    main()
