"""The sample sets in data/: which scenes they have, and writing them, the same to the byte."""

from collections import Counter
from pathlib import Path

import numpy as np

from pointlib.files import write_atomic
from pointlib.images import encode_image
from pointlib.points import text_path, write_points
from pointlib.synthetic.cats import draw_cats
from pointlib.synthetic.cells import draw_cells
from pointlib.synthetic.field import draw_field
from pointlib.synthetic.scene import Scene

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
