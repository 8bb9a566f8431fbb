"""Cases that the Python and the JavaScript side of the tuner must count alike.

    python tests/sweep_cases.py          rewrites tests/js/sweeps.json and classes.json

What is expected is computed from scratch, threshold by threshold: `Candidates.select`, then
`match_points`. Numbers are rounded where they are made, and JSON keeps every bit of them; an
isolation of null is infinite. "pairs" (true index, rank among the kept points) are those of the
first image at the first threshold; where "unique" is false others are as good, and only their
number and "distance", the total, can be compared. classes.json has several classes at one
threshold, each with its own radius and minimum distance, as classes that exclude each other have.
"""

import json
import math
from pathlib import Path

import numpy as np

from pointlib.matching import best_pairs, check_amount, match_points, near_pairs
from pointlib.sweep import GOALS, best_threshold, plateau, sweep, sweep_together
from pointlib.thresholds import Candidates

FILE = Path(__file__).parent / "js" / "sweeps.json"
CLASSES = FILE.with_name("classes.json")
NONE = np.zeros((0, 2))


def ranked(points, scores):
    """Return Candidates of these points, best first (ties: smaller y, then x)."""
    points, scores = np.reshape(points, (-1, 2)).astype(float), np.asarray(scores, float)
    order = np.lexsort([points[:, 0], points[:, 1], -scores])
    points, isolation = points[order], np.full(len(points), np.inf)
    for k in range(1, len(points)):
        isolation[k] = round(min(math.dist(points[k], p) for p in points[:k]), 6)
    return Candidates(points, scores[order], isolation)


def scene(seed, *, n=30, size=(60, 40), noise=1.5, decimals=4, n_false=20):
    """Return one image: true points, and candidates near most of them and elsewhere."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, size, (n, 2)).round(3)
    seen = true[rng.random(n) < 0.85]
    points = np.concatenate(
        [seen + rng.normal(0, noise, seen.shape), rng.uniform(0, size, (n_false, 2))]
    )
    scores = np.concatenate([rng.beta(5, 2, len(seen)), rng.beta(2, 3, n_false)])
    return true, ranked(points.round(3), np.clip(scores, 0.05, 1).round(decimals))


def grid(seed, *, n=24, width=8, height=5):
    """Return one image of whole coordinates, where distances often are the radius to the bit."""
    rng = np.random.default_rng(seed)
    places = rng.integers(0, [width, height], (2, n, 2))
    return places[0].astype(float), ranked(places[1], rng.integers(1, 10, n) / 10)


def cases():
    """Yield (name, [(true, Candidates), ...], radius, min_distance)."""
    empty = (NONE, ranked(NONE, []))
    for seed, radius in enumerate([2.0, 3.5, 6.0]):
        yield f"random, radius {radius:g}", [scene(seed)], radius, (0.0, 1.0, 2.5)[seed]
    yield "ties in scores", [scene(3, decimals=1), scene(4, decimals=1)], 3.0, 0.0
    twins = np.repeat([[5.0, 5.0], [20.0, 9.0]], 2, axis=0)
    yield "twins", [(twins, ranked([*twins, [6.0, 5.0]], [0.9, 0.8, 0.7, 0.6, 0.5]))], 2.0, 0.0
    yield "twins closer than the distance", [(twins, ranked(twins, [0.9, 0.9, 0.7, 0.6]))], 2.0, 1.0
    yield "empty image", [empty], 3.0, 0.0
    yield "an empty image beside another", [empty, scene(5)], 3.0, 1.0
    yield "no truth", [(NONE, scene(6)[1])], 3.0, 0.0
    yield "no candidates", [(scene(7)[0], ranked(NONE, []))], 3.0, 0.0
    yield "all too near", [(twins, ranked(twins, [0.9, 0.8, 0.7, 0.6]))], 2.0, 90.0
    yield "nothing in reach", [(twins, ranked(twins + 30, [0.9, 0.8, 0.7, 0.6]))], 2.0, 0.0
    yield "one crowd block", [scene(8, n=110, size=(40, 25), n_false=60)], 4.0, 0.5
    yield (
        "three images of different counts",
        [scene(9, n=40), scene(10, n=3, n_false=2), scene(11, n=12)],
        3.0,
        1.5,
    )
    yield (
        "more than one chain",
        [(line(0, 4, 8, 12), ranked(line(3, 6.9, 10.9, 15), [0.9, 0.8, 0.7, 0.6]))],
        3.0,
        0.0,
    )
    for seed, radius in enumerate([1.0, 2.0, 5.0]):
        yield f"whole places, radius {radius:g}", [grid(seed), grid(seed + 10)], radius, 0.0
    yield "radius 0", [grid(20)], 0.0, 0.0
    three_four_five = line(0, 100), ranked([[3, 4], [103, 4.001]], [0.9, 0.8])
    yield "a distance of exactly the radius", [three_four_five], 5.0, 0.0


def line(*x):
    """Return points (N, 2) at these x and y = 0."""
    return np.stack([np.array(x, dtype=float), np.zeros(len(x))], axis=1)


def from_scratch(images, radius, threshold, min_distance):
    """Return n_found, tp and count error at one threshold, by selecting and matching."""
    n_found = tp = error = 0
    for true, found in images:
        points, _ = found.select(threshold=threshold, min_distance=min_distance)
        tp += len(match_points(true, points, radius=radius).pairs)
        n_found += len(points)
        error += abs(len(points) - len(true))
    return {"n_found": n_found, "tp": tp, "count_error": error / max(len(images), 1)}


def is_only_best(true, found, radius):
    """Say whether no other matching has as many pairs and as small a total distance."""
    i, j, distance = near_pairs(true, found, check_amount(radius, "radius"))
    best = best_pairs(i, j, distance, (len(true), len(found)))
    for pair in best:
        rest = np.arange(len(i)) != pair
        other = best_pairs(i[rest], j[rest], distance[rest], (len(true), len(found)))
        if len(other) == len(best) and distance[rest][other].sum() < distance[best].sum() + 1e-9:
            return False
    return True


def thresholds_of(images):
    """Return thresholds to look at: one in the middle, then scores, places between, the ends."""
    scores = np.unique(np.concatenate([found.scores for _, found in images]))
    some = (
        scores[np.unique(np.linspace(0, len(scores) - 1, 9).astype(int))] if len(scores) else scores
    )
    between = (some[1:] + some[:-1]) / 2
    return [0.4, *some.tolist(), *between.round(6).tolist(), 0.05, 1.0]


def describe(name, images, radius, min_distance):
    """Return one case as it stands in the file."""
    at, counts = thresholds_of(images), sweep(images, radius=radius, min_distance=min_distance)
    true, found = images[0]
    kept, _ = found.select(threshold=at[0], min_distance=min_distance)
    match = match_points(true, kept, radius=radius)
    pooled = [f.scores[f.isolation > min_distance] for _, f in images]
    steady = plateau(np.concatenate(pooled))
    rows = [np.column_stack(found).tolist() for _, found in images]
    return {
        "name": name,
        "images": [
            {
                "true": true.tolist(),
                "candidates": [[None if v == math.inf else v for v in r] for r in row],
            }
            for (true, _), row in zip(images, rows, strict=True)
        ],
        "radius": radius,
        "min_distance": min_distance,
        "at": at,
        "expected": [from_scratch(images, radius, t, min_distance) for t in at],
        "best": {goal: none_if_nan(best_threshold(counts, goal)) for goal in GOALS},
        "plateau": None if math.isnan(steady[0]) else list(steady),
        "pairs": match.pairs.tolist(),
        "distance": float(match.distances.sum()),
        "unique": is_only_best(true, kept, radius),
    }


def class_cases():
    """Yield (name, {class: [(true, Candidates), ...]}, {class: radius}, {class: distance})."""
    two = {"a": [scene(1), scene(2, n=4)], "b": [scene(3, n=12), scene(4)]}
    yield "two classes", two, {"a": 3.0, "b": 3.0}, {"a": 1.0, "b": 1.0}
    yield "each its own radius", two, {"a": 1.5, "b": 5.0}, {"a": 0.0, "b": 2.0}
    tied = {"a": [scene(5, decimals=1)], "b": [scene(6, decimals=1)], "c": [scene(7, decimals=1)]}
    yield "ties across classes", tied, dict.fromkeys("abc", 2.5), dict.fromkeys("abc", 0.5)
    empty = (NONE, ranked(NONE, []))
    lone = {"a": [empty, scene(8)], "b": [empty, empty]}
    yield "a class that is nowhere", lone, {"a": 3.0, "b": 3.0}, {"a": 0.0, "b": 0.0}
    yield "one class", {"a": [scene(9)]}, {"a": 3.0}, {"a": 1.0}


def classes_from_scratch(by_class, radius, threshold, min_distance):
    """Return n_found, tp and count error at one threshold for all classes."""
    n_images = len(next(iter(by_class.values())))
    parts = {name: [] for name in by_class}
    for name, images in by_class.items():
        for true, found in images:
            points, _ = found.select(threshold=threshold, min_distance=min_distance[name])
            pairs = match_points(true, points, radius=radius[name]).pairs
            parts[name].append((len(points), len(pairs), len(true)))
    each = np.sum(list(parts.values()), axis=0)
    n_found, tp, _ = each.sum(axis=0).tolist()
    error = float(np.abs(each[:, 0] - each[:, 2]).sum()) / n_images
    return {"n_found": n_found, "tp": tp, "count_error": error}


def describe_classes(name, by_class, radius, min_distance):
    """Return one case of several classes as it stands in the file."""
    at = thresholds_of([image for images in by_class.values() for image in images])
    counts = sweep_together(by_class, radius=radius, min_distances=min_distance)
    classes = {}
    for label, images in by_class.items():
        rows = [np.column_stack(found).tolist() for _, found in images]
        classes[label] = [
            {
                "true": true.tolist(),
                "candidates": [[None if v == math.inf else v for v in r] for r in row],
            }
            for (true, _), row in zip(images, rows, strict=True)
        ]
    return {
        "name": name,
        "classes": classes,
        "radius": radius,
        "min_distance": min_distance,
        "at": at,
        "expected": [classes_from_scratch(by_class, radius, t, min_distance) for t in at],
        "best": {goal: none_if_nan(best_threshold(counts, goal)) for goal in GOALS},
    }


def none_if_nan(value):
    """Return None for NaN: JSON has none."""
    return None if math.isnan(value) else value


def text():
    """Return what sweeps.json should hold: a case a line."""
    return lines_of(describe(*case) for case in cases())


def classes_text():
    """Return what classes.json should hold: a case a line."""
    return lines_of(describe_classes(*case) for case in class_cases())


def lines_of(rows):
    """Return rows as JSON, one a line."""
    lines = [json.dumps(row, separators=(",", ":"), allow_nan=False) for row in rows]
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    CLASSES.write_text(classes_text(), encoding="utf-8")
    for file in (FILE, CLASSES):
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")
