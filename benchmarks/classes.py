"""One object, one class: five classes that look alike, with and without their names.

    python benchmarks/classes.py

Draws scenes of blobs in five hues that noise nearly hides, and trains three times as long as
--minutes says: classes that exclude each other (the default here), classes alone, and no classes.
Prints found points for each true one, F1 whatever the class, and F1 class by class, on test images.
"""

import argparse

import numpy as np

from pointlib import MemoryDataset, TrainConfig, evaluate, fit

SHAPE, N_OBJECTS, RADIUS = (160, 200), 34, 5.0  # px; of the objects
HUES = np.array([[52, 44, 42], [48, 46, 42], [45, 47, 45], [43, 46, 48], [45, 44, 50]])
PARTS = {"train": range(30), "val": range(30, 40), "test": range(40, 60)}


def draw_alike(seed):
    """Return image, points and labels of a scene."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[: SHAPE[0], : SHAPE[1]]
    image, points, labels = 110 + rng.normal(0, 13, (*SHAPE, 3)), [], []
    while len(points) < N_OBJECTS:
        point = rng.uniform(8, np.array(SHAPE)[::-1] - 8)
        if any(np.hypot(*(point - other)) < 2.6 * RADIUS for other in points):
            continue
        kind = int(rng.integers(len(HUES)))
        edge = 1 / (1 + np.exp(2 * (np.hypot(x - point[0], y - point[1]) - RADIUS)))
        image += edge[..., None] * HUES[kind] * rng.uniform(0.7, 1.1)
        points.append(point)
        labels.append(f"kind {kind + 1}")
    return image.clip(0, 255).astype(np.uint8), np.array(points), np.array(labels)


def parts_of(*, named):
    """Return {part: dataset}; without names all points are of one class."""
    parts = {}
    for part, seeds in PARTS.items():
        scenes = [draw_alike(seed) for seed in seeds]
        if not named:
            scenes = [(image, points, np.full(len(points), "it")) for image, points, _ in scenes]
        parts[part] = MemoryDataset(scenes)
    return parts


def main():
    """Print a line for each training."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=2)
    minutes = parser.parse_args().minutes
    print("training                found / true  F1 whatever the class  F1 class by class")
    for name, named, exclusive in (
        ("one class an object", True, "auto"),
        ("classes alone", True, False),
        ("without classes", False, "auto"),
    ):
        parts = parts_of(named=named)
        config = TrainConfig(minutes=minutes, exclusive=exclusive, threads=1)
        model = fit(parts["train"], parts["val"], config=config, log=lambda _: None)
        metrics = evaluate(model, parts["test"], radius=RADIUS)
        blind, pooled = metrics["class_blind"], metrics["pooled"]
        n_found, n_true = blind["tp"] + blind["fp"], blind["tp"] + blind["fn"]
        row = f"{n_found / n_true:12.2f}  {blind['f1']:21.3f}  {pooled['f1']:17.3f}"
        print(f"{name:22}{row}", flush=True)


if __name__ == "__main__":
    main()
