"""Judge: how well a trained network does with any thresholding function.

About settings chosen on validation images, and hits counted there and on test images. Not about
one model's full report (evaluation/score.py), nor about which of several is best (leaderboard.py).
"""

import time

import numpy as np

from pointlib.cache import KEPT_BYTES, Cache
from pointlib.dataset import regions_of
from pointlib.matching import match_points, radius_of
from pointlib.predict.points import check_threshold_fn, class_settings, predict_logits, read_logits
from pointlib.study.ceiling import ceiling
from pointlib.sweep import choose_by_calling, distances_to_try
from pointlib.thresholds import ONE_PASS, find_peaks
from pointlib.train.dry_run import tried


class Predictions:
    """A model's logits of a dataset: ``points, labels, drawn, seconds`` per image.

    ``drawn`` has (logits (1, h, w), shape of the image, its regions) per class, for `look`.
    Computed when first asked for, and cached up to a gigabyte for the next thresholding function.
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
        regions = regions_of(self.dataset, index)
        drawn = [(logits[k : k + 1], image.shape[:2], regions) for k in range(len(logits))]
        return points, np.asarray(labels, str), drawn, elapsed


def judge(info, val, test, *, find, heatmap_fn):
    """Choose settings on the validation images and count what they find, there and in test images.

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
        ``settings`` of each class; ``counts``, a row per validation image: true points, found
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
    """Return {class: {"threshold", "min_distance"}} of the best F1; see `sweep.choose_by_calling`.

    For `find_peaks` training has chosen already. The distances are those that validation tries.
    Where an object has one class, one choice is for all.
    """
    settings = {name: class_settings(info, name) for name in info.classes}
    if find is find_peaks:
        return settings
    of_class = {
        name: [(points[labels == name], drawn[k]) for points, labels, drawn, _ in images]
        for k, name in enumerate(info.classes)
    }
    if info.exclusive:
        # each class of each image is matched by itself, as if it were an image
        every = [image for own in of_class.values() for image in own]
        within = [radius_of(info.radius, name) for name, own in of_class.items() for _ in own]
        known = next(iter(settings.values()))
        return dict.fromkeys(settings, _choose(every, within, info, find, known))
    for name, known in settings.items():
        radius = radius_of(info.radius, name)
        settings[name] = _choose(of_class[name], radius, info, find, known)
    return settings


def _choose(images, radius, info, find, known):
    """Return threshold and minimum distance; `radius` is one, or a list of one for each image."""
    tried = set(radius) if isinstance(radius, list) else {radius}
    return choose_by_calling(
        images,
        lambda drawn, **options: look(drawn, find, options),
        radius=radius,
        distances=sorted({d for r in tried for d in distances_to_try(radius=r, sigma=info.sigma)}),
        known=known,
        one_pass=find in ONE_PASS,
    ).options


def look(drawn, find, settings):
    """Return points and scores that a thresholding function finds in what is labelled.

    `drawn` is logits, shape and regions, as `Predictions` has them.
    """
    logits, shape, regions = drawn
    points, scores = read_logits(logits, shape, find, settings)
    inside = regions.contains(points) if regions else np.full(len(points), True)
    return points[inside], scores[inside]


def count(images, info, find, settings):
    """Return [true, found, hits, sum of their distances] of each image, and the seconds it took."""
    counts, seconds = [], []
    for points, labels, drawn, elapsed in images:
        start = time.perf_counter()
        found = [look(drawn[k], find, settings[c]) for k, c in enumerate(info.classes)]
        seconds.append(elapsed + time.perf_counter() - start)
        row = np.zeros(4)
        for name, (peaks, _) in zip(info.classes, found, strict=True):
            true = points[labels == name]
            within = radius_of(info.radius, name)
            distances = match_points(true, peaks, radius=within).distances
            row += [len(true), len(peaks), len(distances), distances.sum()]
        counts.append(row.tolist())
    return counts, seconds


def try_out(find, name):
    """Call a thresholding function once, so that a broken one is known before any training."""
    needed = "threshold_fn(heatmap, *, threshold, min_distance) -> points, scores"
    tried(lambda: check_threshold_fn(find), f"threshold {name!r}", needed)
