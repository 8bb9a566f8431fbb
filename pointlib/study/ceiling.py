"""Ceiling: the F1 that a perfect network could reach with these points and settings.

The true points are drawn as targets of a training, found again by thresholding, and matched. No
image is used: what is lost here, no training recovers.

Not about what a real network reaches (evaluation/score.py), nor about choosing sigma
(heatmaps.py).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from pointlib.errors import InputError
from pointlib.heatmaps import draw_gaussians
from pointlib.matching import check_amount, match_points, radius_of
from pointlib.metrics import precision_recall_f1
from pointlib.points import check_points
from pointlib.sweep import call_rule, choose_settings, find_at_each
from pointlib.thresholds import ONE_PASS, find_peaks


class Ceiling(NamedTuple):
    """The best possible scores after drawing and thresholding; NaN if undefined."""

    f1: float
    precision: float
    recall: float
    error_px: float  # mean distance of a hit, pixels
    n_true: int


def ceiling(
    truth: Sequence[tuple],
    *,
    sigma: float,
    radius: float | dict[str, float],
    min_distance: float | dict[str, float] = 0.0,
    heatmap_fn: Callable = draw_gaussians,
    threshold_fn: Callable = find_peaks,
) -> Ceiling:
    """Draw the true points, find them again and match them, a class at a time.

    Each class has the threshold that gives the best F1 over all images: of all thresholds, if a
    higher one only drops points of lower scores (`find_peaks`, `basic_threshold`); of 0.05, 0.10,
    ... 0.95 for other rules, which takes longer. Heights below 0.05 are ignored, so the ceiling of
    a density means nothing.

    Parameters
    ----------
    truth : list of (points, shape) or (points, labels, shape)
        One per image: points (N, 2) in pixels, labels (N,) str, shape (H, W).
    sigma : float
        Of the Gaussians, pixels.
    radius : float or dict
        Matching radius, pixels, for all classes or {class: pixels}.
    min_distance : float or dict
        Pixels, for all classes or {class: pixels}.
    heatmap_fn, threshold_fn : callable
        As in heatmaps.py and thresholds.py; `draw_gaussians` draws what `gaussian_max` does. A
        `heatmap_fn` that adds noise shows what a network that is nearly perfect could reach.

    Returns
    -------
    Ceiling
        Pooled over classes and images.

    Examples
    --------
    >>> from pointlib import ceiling, gaussian_sum
    >>> truth = [([[10, 10], [13, 10], [40, 20]], (40, 60))]
    >>> ceiling(truth, sigma=3, radius=1).recall
    1.0
    >>> round(ceiling(truth, sigma=3, radius=1, heatmap_fn=gaussian_sum).recall, 2)
    0.33
    """
    images = [_check_image(one, k) for k, one in enumerate(truth)]
    one_pass = getattr(threshold_fn, "func", threshold_fn) in ONE_PASS
    matches = []
    for name in sorted({str(label) for _, labels, _ in images for label in labels}):
        distance = _distance_of(name, min_distance)
        find = partial(call_rule, threshold_fn, min_distance=distance)
        of_class = [(points[labels == name], shape) for points, labels, shape in images]
        drawn = ((own, np.asarray(heatmap_fn(own, shape, sigma=sigma))) for own, shape in of_class)
        runs = list(find_at_each(drawn, find, one_pass=one_pass).values())
        within = radius_of(radius, name)
        choices = [choose_settings(run, radius=within, distances=[0.0]) for run in runs]
        k = max(range(len(runs)), key=lambda k: choices[k].f1)
        found = [(true, peaks.select(threshold=choices[k].threshold)[0]) for true, peaks in runs[k]]
        matches += [match_points(*sides, radius=within) for sides in found]
    distances = np.concatenate([np.zeros(0), *(match.distances for match in matches)])
    fp, fn = (sum(len(match[side]) for match in matches) for side in (3, 2))
    precision, recall, f1 = precision_recall_f1(len(distances), fp, fn)
    error = float(distances.mean()) if len(distances) else float("nan")
    return Ceiling(f1, precision, recall, error, len(distances) + fn)


def _distance_of(name, min_distance):
    """Return the minimum distance of a class."""
    if isinstance(min_distance, dict):
        if name not in min_distance:
            raise InputError(f"min_distance names {list(min_distance)}, but not {name!r}. Add it.")
        min_distance = min_distance[name]
    return check_amount(min_distance, "min_distance")


def _check_image(one, k):
    """Return points, labels and shape of one image; errors name its number."""
    if len(one) not in (2, 3):
        raise InputError(f"truth[{k}] has {len(one)} parts; expected points, (labels), shape.")
    points, *labels, shape = one
    points = check_points(points, shape=shape, name=f"truth[{k}]")
    labels = np.asarray(labels[0] if labels else np.full(len(points), "point"), str)
    if labels.shape != (len(points),):
        raise InputError(
            f"truth[{k}] has {labels.size} labels for {len(points)} points; expected one each."
        )
    return points, labels, tuple(shape)
