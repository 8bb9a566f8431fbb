"""Judge: how well a trained network does, its heatmaps read by any thresholding function.

About settings chosen on validation images, and hits counted there and on test images. Not about
one model's full report (evaluation/score.py), nor about which of several is best (leaderboard.py).
"""

import time

import numpy as np

from pointlib.cache import KEPT_BYTES, Cache
from pointlib.matching import match_points, tp_curve
from pointlib.metrics import precision_recall_f1
from pointlib.predict.points import class_settings, find_one, predict_logits, read_logits
from pointlib.study.ceiling import ONE_PASS, TRIED, ceiling
from pointlib.sweep import choose_settings
from pointlib.thresholds import FLOOR, Candidates, find_peaks
from pointlib.train.dry_run import tried
from pointlib.train.validate import distances_to_try


class Predictions:
    """A model's logits of a dataset: ``points, labels, drawn, seconds`` an image.

    ``drawn`` has (logits (1, h, w), shape of the image) a class, as `read_logits` takes them.
    Made when they are first asked for, and kept in memory up to a gigabyte: the next thresholding
    function finds them predicted.
    """

    def __init__(self, model, dataset):
        self.model, self.dataset, self._kept = model, dataset, Cache(max_bytes=KEPT_BYTES)

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError(index)  # this ends a for loop
        return self._kept.get(index, lambda: self._predict(index))

    def _predict(self, index):
        image, points, labels = self.dataset[index]
        start = time.perf_counter()
        logits, elapsed = predict_logits(self.model, image), time.perf_counter() - start
        drawn = [(logits[k : k + 1], image.shape[:2]) for k in range(len(logits))]
        return points, np.asarray(labels, str), drawn, elapsed


def judge(info, val, test, *, find, heatmap_fn):
    """Choose settings on the validation images and count what they find, there and in others.

    Parameters
    ----------
    info : ModelInfo
    val : Predictions
    test : Predictions or None
    find : callable
        A thresholding function.
    heatmap_fn : callable
        That of the training, for the ceiling.

    Returns
    -------
    dict
        ``settings`` of each class; ``counts``, a row a validation image: true points, found
        points, hits and the sum of the hits' distances in pixels; ``test_counts``, those of the
        test images or None; ``ceiling_f1``, what a perfect network could reach on the validation
        images with the same heatmap, function and distances; ``ms_per_image``, the median.
    """
    settings = choose(val, info, find)
    counts, seconds = count(val, info, find, settings)
    of_test, more = (None, []) if test is None else count(test, info, find, settings)
    best = ceiling(
        [(points, labels, drawn[0][1]) for points, labels, drawn, _ in val],
        sigma=info.sigma,
        radius=info.radius,
        min_distance={name: own["min_distance"] for name, own in settings.items()},
        heatmap_fn=heatmap_fn,
        threshold_fn=find,
    )
    numbers = {"ceiling_f1": best.f1, "ms_per_image": 1000 * float(np.median(seconds + more))}
    return {"settings": settings, "counts": counts, "test_counts": of_test, **numbers}


def choose(images, info, find):
    """Return {class: {"threshold", "min_distance"}} of the best F1.

    For `find_peaks` the training has chosen already. Where a higher threshold only drops points
    of lower scores, any threshold is tried with each minimum distance that validation tries. Other
    rules must be asked anew each time: the best of 0.05, 0.10, ... 0.95 at the distance chosen in
    training, then the best distance at this threshold.
    """
    settings = {name: class_settings(info, name) for name in info.classes}
    for k, name in enumerate(info.classes):
        of_class = [(points[labels == name], drawn[k]) for points, labels, drawn, _ in images]
        if find is find_peaks or not any(len(true) for true, _ in of_class):
            continue
        if find in ONE_PASS:
            best = _best_of_all(of_class, find, info)
        else:
            best = _best_by_turns(of_class, find, info, settings[name]["min_distance"])
        settings[name] = dict(zip(("threshold", "min_distance"), best, strict=True))
    return settings


def count(images, info, find, settings):
    """Return [true, found, hits, sum of their distances] of each image, and the seconds it took."""
    counts, seconds = [], []
    for points, labels, drawn, elapsed in images:
        start = time.perf_counter()
        found = [read_logits(*drawn[k], find, settings[c]) for k, c in enumerate(info.classes)]
        seconds.append(elapsed + time.perf_counter() - start)
        row = np.zeros(4)
        for name, (peaks, _) in zip(info.classes, found, strict=True):
            true = points[labels == name]
            distances = match_points(true, peaks, radius=info.radius).distances
            row += [len(true), len(peaks), len(distances), distances.sum()]
        counts.append(row.tolist())
    return counts, seconds


def try_out(find, name):
    """Let a thresholding function find a point: one that cannot is known before any training."""
    needed = "threshold_fn(heatmap, *, threshold, min_distance) -> points, scores"
    tried(lambda: find_one(find), f"threshold {name!r}", needed)


def _best_of_all(images, find, info):
    """Return the threshold and distance of best F1 of one class, (points, drawn) an image."""
    choices = []
    for distance in distances_to_try(info):
        settings = {"threshold": FLOOR, "min_distance": distance}
        found = [(true, *read_logits(*drawn, find, settings)) for true, drawn in images]
        run = [(true, Candidates(p, s, np.full(len(p), np.inf))) for true, p, s in found]
        best = choose_settings(run, radius=info.radius, distances=[0.0])
        choices.append((best.f1, best.threshold, distance))
    return max(choices, key=lambda choice: choice[0])[1:]


def _best_by_turns(images, find, info, distance):
    """Return a threshold and a distance, each the best beside the other as it then was."""
    f1 = np.array([_f1_at(images, find, (t, distance), info.radius) for t in TRIED])
    best = np.flatnonzero(f1 == f1.max())
    threshold = TRIED[best[len(best) // 2]]  # as far from the edges of what is good as can be
    f1_of = {d: _f1_at(images, find, (threshold, d), info.radius) for d in distances_to_try(info)}
    f1_of = {distance: f1.max()} | f1_of
    return threshold, max(f1_of, key=f1_of.get)


def _f1_at(images, find, settings, radius):
    """Return the pooled F1 of one class at a threshold and a minimum distance."""
    tp = n_found = n_true = 0
    settings = dict(zip(("threshold", "min_distance"), settings, strict=True))
    for true, drawn in images:
        points, _ = read_logits(*drawn, find, settings)
        tp += int(tp_curve(true, points, radius=radius)[-1]) if len(points) else 0
        n_found, n_true = n_found + len(points), n_true + len(true)
    return precision_recall_f1(tp, n_found - tp, n_true - tp)[2]
