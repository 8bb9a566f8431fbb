"""Suspects: labels that a model has reason to doubt, the likeliest errors first.

About the labels, where errors.py is about the model: the same disagreement, read the other way.
The model must not have been trained on these images, or it has learnt their errors by heart:
`cross_fit` gives each image to a model that has not seen it. A suspect is a place to check, not
an error: if the model is weak, the mistakes are its own.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from pointlib.dataset import Dataset, PartOf, check_item, check_known, names_of, regions_of
from pointlib.errors import InputError
from pointlib.matching import near_pairs, radius_of
from pointlib.metrics import ImageResult
from pointlib.model.point_model import PointModel
from pointlib.predict.points import candidates_of, class_settings, enlarge, predict_logits
from pointlib.study.errors import error_anatomy
from pointlib.thresholds import join_classes

KINDS = {"displaced": "displaced", "wrong class": "wrong class"}  # of anatomy; others by side
SHARED = 0.5  # chance that a second point on one peak is wrong: it may be a second object


class Suspect(NamedTuple):
    """A label to check. A missing one is placed where the model sees it."""

    image: str
    x: float  # pixels
    y: float
    kind: str  # "missed", "spurious", "displaced" or "wrong class"
    label: str  # the class that was given; for "missed" the one that the model sees
    confidence: float  # 0 to 1: how likely the label is wrong, were scores probabilities


def label_errors(
    model: PointModel, dataset: Dataset, *, radius: float | None = None
) -> list[Suspect]:
    """Rank suspected label errors: where confident peaks and given points disagree.

    Kinds are those of `errors.error_anatomy`, taken as errors of the labels. "missed": a peak and
    no point. "spurious": a point and no peak, or a second point on one peak. "displaced": a point
    without a peak beside a peak without a point. "wrong class": a point on another class's peak.
    With s the score of the peak and t the support for the point, the confidence is s, 1 - t, or
    s (1 - t) if there are both. t is the height of its class's heatmap at the point, or the score
    of a peak within the radius that is too low to be found; for a second point on one peak it is
    one half: two objects may share one. Northcutt et al., "Confident learning", 2021, use
    predictions out of sample in the same way.

    Parameters
    ----------
    model : PointModel
        Trained on other images.
    dataset : dataset
        ``dataset[i] -> image, points, labels``: the labels to be doubted.
    radius : float, optional
        How far a point may be from its peak, pixels; default the model's match radius. A smaller
        one finds smaller displacements.

    Returns
    -------
    list of Suspect
        Highest confidence first; ties by image, y, x.

    Examples
    --------
    >>> import torch
    >>> from pointlib import MemoryDataset, ModelInfo, build_model, gaussian_max, label_errors
    >>> model = build_model(ModelInfo(n_channels=1))
    >>> model.network = torch.nn.Identity()  # instead of training: bright spots are points
    >>> image = 255 * gaussian_max([[20, 10], [45, 30]], (40, 60), sigma=3).numpy()
    >>> dataset = MemoryDataset([(image, [[20, 10]], ["point"])])  # the second one is not labelled
    >>> [(s.kind, round(s.x), round(s.y)) for s in label_errors(model, dataset)]
    [('missed', 45, 30)]
    """
    info = model.info
    radius = info.radius if radius is None else radius
    within = {name: radius_of(radius, name) for name in info.classes}
    check_known(dataset, info.classes)
    suspects = []
    for i, name in enumerate(names_of(dataset)):
        (image, points, labels), regions = check_item(dataset[i], name), regions_of(dataset, i)
        logits, shape = predict_logits(model, image), image.shape[:2]
        found, support = {}, np.zeros(len(points))
        heatmaps = torch.sigmoid(enlarge(logits, shape)).numpy()
        candidates = candidates_of(logits, info.classes, shape)
        for heatmap, (label, every_peak) in zip(heatmaps, candidates.items(), strict=True):
            peaks, settings = every_peak.within(regions), class_settings(info, label)
            found[label] = peaks.select(**settings)
            every = peaks.select(threshold=0, min_distance=settings["min_distance"])
            low = [column[len(found[label][0]) :] for column in every]  # best come first
            own = labels == label
            support[own] = speaks_for(points[own], heatmap, low, radius=within[label])
        result = ImageResult(name, shape, points, labels, *join_classes(found))
        suspects += doubts(result, support, radius=within)
    return _ranked(suspects)


def speaks_for(points, heatmap, low, *, radius):
    """Return the height of the heatmap (H, W) at points (N, 2), or of a low peak nearby, (N,).

    `low` is the points and scores of the peaks that are too low to be found.
    """
    limits = np.array(heatmap.shape[::-1]) - 1
    x, y = np.clip(np.round(points), 0, limits).astype(int).T
    support = heatmap[y, x].astype(float)
    i, j, _ = near_pairs(points, low[0], radius)
    np.maximum.at(support, i, low[1][j])
    return support


def doubts(result, support, *, radius):
    """Return the suspects of one image, not sorted.

    Parameters
    ----------
    result : metrics.ImageResult
        Its true points are the labels in doubt, its found ones the model's.
    support : ndarray of shape (N,)
        The support for each label, 0 to 1.
    radius : float
        Pixels.
    """
    suspects = []
    for flaw in error_anatomy(result, radius=radius):
        kind = KINDS.get(flaw.kind, "spurious" if flaw.is_miss else "missed")
        seen = result.scores[flaw.found] if flaw.is_false_positive else 1.0
        unseen = 1 - support[flaw.true] if flaw.is_miss else 1.0
        if flaw.kind == "merged":
            unseen = SHARED
        confidence = float(np.clip(seen * unseen, 0, 1))
        suspects.append(Suspect(flaw.image, flaw.x, flaw.y, kind, flaw.label, confidence))
    return suspects


def cross_fit(
    dataset: Dataset,
    fit_fn: Callable[[Dataset, Dataset, int], PointModel],
    *,
    n_folds: int = 3,
    seed: int = 0,
    radius: float | None = None,
) -> list[Suspect]:
    """Rank the suspected label errors of all images, each judged by a model that has not seen it.

    Images are dealt into folds at random; each fold is judged by a model trained on the others.

    Parameters
    ----------
    dataset : dataset
        As for `label_errors`. Images of one place or day should not be spread over folds: call
        `label_errors` yourself for them.
    fit_fn : callable
        ``fit_fn(train, val, seed) -> PointModel``, as ``lambda train, val, seed: fit(train, val,
        config=config)``. `val` is the fold; only thresholds and the best epoch may come from it.
    n_folds : int
        From 2 to the number of images.
    seed : int
    radius : float, optional
        As for `label_errors`.

    Returns
    -------
    list of Suspect
        Highest confidence first; ties by image, y, x.

    Examples
    --------
    >>> import torch
    >>> from pointlib import MemoryDataset, ModelInfo, build_model, cross_fit, gaussian_max
    >>> model = build_model(ModelInfo(n_channels=1))
    >>> model.network = torch.nn.Identity()  # instead of training: bright spots are points
    >>> image = 255 * gaussian_max([[20, 10], [45, 30]], (40, 60), sigma=3).numpy()
    >>> labelled = (image, [[20, 10], [45, 30]], ["point", "point"])
    >>> dataset = MemoryDataset([labelled, (image, [[20, 10]], ["point"])])
    >>> suspects = cross_fit(dataset, lambda train, val, seed: model, n_folds=2)
    >>> [(s.image, s.kind) for s in suspects]
    [('image 1', 'missed')]
    """
    if not isinstance(n_folds, int) or not 2 <= n_folds <= len(dataset):
        raise InputError(
            f"n_folds is {n_folds!r} for {len(dataset)} images; expected a whole number from 2 to "
            "the number of images."
        )
    order = np.random.default_rng(seed).permutation(len(dataset))
    suspects = []
    for some in np.array_split(order, n_folds):
        rest, fold = PartOf(dataset, np.setdiff1d(order, some)), PartOf(dataset, np.sort(some))
        suspects += label_errors(fit_fn(rest, fold, seed), fold, radius=radius)
    return _ranked(suspects)


def _ranked(suspects):
    return sorted(suspects, key=lambda s: (-s.confidence, s.image, s.y, s.x))
