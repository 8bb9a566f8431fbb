"""Budget: which image to click next, and what more clicks would bring.

Active learning in its simplest form, its baseline (a random order), and a learning curve with its
band. Not about wrong labels: suspects.py.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pointlib.dataset import Dataset, PartOf
from pointlib.errors import InputError
from pointlib.evaluation.score import evaluate
from pointlib.images import image_folder, list_images, read_image, relative_name
from pointlib.model.point_model import PointModel
from pointlib.points import label_state
from pointlib.predict.points import class_settings, predict_candidates

LEAST_ERROR = 1e-3  # the error of an F1 of 1 has no logarithm


class LearningCurve(NamedTuple):
    """F1 after training on S growing parts of the labelled images, K times each."""

    n_images: np.ndarray  # (S,) int, rising
    clicks: np.ndarray  # (S, K) int: points in the part
    f1: np.ndarray  # (S, K) float64


class Forecast(NamedTuple):
    """Where a learning curve leads, if it goes on as it has."""

    clicks: float  # mean over the repetitions
    f1: float  # median over the repetitions
    low: float  # lowest of the repetitions
    high: float  # highest of the repetitions


def unlabelled_images(folder):
    """Yield (name, image) of the images of a dataset folder that have no text file yet."""
    top = image_folder(folder)
    for path in list_images(top):
        if label_state(path) == "unlabelled":
            yield relative_name(path, top), read_image(path)


def rank_by_uncertainty(
    model: PointModel,
    images: Iterable[tuple[str, np.ndarray]],
    *,
    calibrate: Callable[[np.ndarray], np.ndarray] | None = None,
) -> list[tuple[str, float]]:
    """Rank images by how unsure a model is of them, the most doubtful first.

    The score of an image is the sum of min(p, 1 - p) over its candidates: how many wrong
    decisions to expect, were each candidate with p above one half accepted and p its chance of
    being true. What the model confidently overlooks does not count. This is uncertainty
    sampling after Lewis and Gale, "A sequential algorithm for training text classifiers", 1994;
    a sum prefers images with much in them, which also take longer to click.

    Parameters
    ----------
    model : PointModel
    images : iterable of (str, ndarray)
        Name and image (H, W) or (H, W, C), as from `unlabelled_images`.
    calibrate : callable, optional
        ``calibrate(scores) -> chances``, arrays of shape (M,); default: scores are taken as
        chances. `trust.reliability` on validation images gives one: ``lambda s: np.interp(s,
        bins.score, bins.share)``, its empty bins left out.

    Returns
    -------
    list of (str, float)
        Name and score, highest first; ties by name.

    Examples
    --------
    >>> import torch
    >>> from pointlib import ModelInfo, build_model, gaussian_max, rank_by_uncertainty
    >>> model = build_model(ModelInfo(n_channels=1))
    >>> model.network = torch.nn.Identity()  # instead of training: bright spots are points
    >>> bright = 255 * gaussian_max([[20, 10], [45, 30]], (40, 60), sigma=3).numpy()
    >>> ranked = rank_by_uncertainty(model, [("a.png", bright), ("b.png", 0.6 * bright)])
    >>> [name for name, _ in ranked]
    ['b.png', 'a.png']
    """
    rows = []
    for name, image in images:
        unsure = 0.0
        for label, peaks in predict_candidates(model, image).items():
            distance = class_settings(model.info, label)["min_distance"]
            _, chances = peaks.select(threshold=0, min_distance=distance)
            chances = chances if calibrate is None else np.clip(calibrate(chances), 0, 1)
            unsure += float(np.minimum(chances, 1 - chances).sum())
        rows.append((name, unsure))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def rank_at_random(names: Iterable[str], *, seed: int) -> list[str]:
    """Return names in random order, the same for the same seed: the baseline to beat.

    Examples
    --------
    >>> from pointlib import rank_at_random
    >>> names = rank_at_random(["a.png", "b.png", "c.png"], seed=0)
    >>> sorted(names)
    ['a.png', 'b.png', 'c.png']
    """
    return np.random.default_rng(seed).permutation(sorted(names)).tolist()


def learning_curve(
    train: Dataset,
    val: Dataset,
    fit_fn: Callable[[Dataset, Dataset, int], PointModel],
    *,
    shares: Sequence[float] = (0.25, 0.5, 1.0),
    seeds: Sequence[int] = (0, 1, 2),
) -> LearningCurve:
    """Train on growing parts of the labelled images and score each on the same images.

    For each seed the images are shuffled once, and a larger part contains the smaller ones.

    Parameters
    ----------
    train, val : dataset
        ``dataset[i] -> image, points, labels``. F1 is measured on `val`, at the model's own
        thresholds; if these were chosen on `val`, it is a little too high, for all sizes alike.
    fit_fn : callable
        ``fit_fn(train, val, seed) -> PointModel``. Give each size the same number of steps,
        as by ``minutes``: with equal epochs the curve would show more steps, not more clicks.
    shares : sequence of float
        Parts of the images, above 0 and at most 1; each is at least one image.
    seeds : sequence of int
        One repetition each, at least 2 for a band.

    Returns
    -------
    LearningCurve

    Examples
    --------
    >>> import torch
    >>> from pointlib import MemoryDataset, ModelInfo, build_model, gaussian_max, learning_curve
    >>> model = build_model(ModelInfo(n_channels=1))
    >>> model.network = torch.nn.Identity()  # instead of training: bright spots are points
    >>> image = 255 * gaussian_max([[20, 10]], (40, 60), sigma=3).numpy()
    >>> dataset = MemoryDataset([(image, [[20, 10]], ["point"])] * 4)
    >>> curve = learning_curve(dataset, dataset, lambda train, val, seed: model, seeds=(0, 1))
    >>> curve.n_images, curve.f1.shape
    (array([1, 2, 4]), (3, 2))
    """
    if not len(shares) or not all(0 < share <= 1 for share in shares):
        raise InputError(f"shares are {shares!r}; expected numbers above 0 and at most 1.")
    if not len(seeds):
        raise InputError("seeds is empty; expected one or more, as (0, 1, 2).")
    sizes = sorted({max(1, round(share * len(train))) for share in shares})
    clicks, f1 = (np.zeros((len(sizes), len(seeds)), kind) for kind in (int, float))
    for k, seed in enumerate(seeds):
        order = np.random.default_rng(seed).permutation(len(train))
        for s, size in enumerate(sizes):
            part = PartOf(train, np.sort(order[:size]))
            clicks[s, k] = sum(len(part[i][1]) for i in range(size))
            f1[s, k] = evaluate(fit_fn(part, val, seed), val)["pooled"]["f1"]
    return LearningCurve(np.array(sizes), clicks, f1)


def extrapolate(curve: LearningCurve, *, factor: float = 2.0) -> Forecast:
    """Return what F1 to expect from `factor` times as many clicks as the largest part had.

    The error 1 - F1 is taken to fall as a power of the clicks, as Hestness et al., "Deep learning
    scaling is predictable, empirically", 2017, found for many tasks: a straight line through the
    logarithms, by least squares, one for each repetition. The band is the spread of the
    repetitions. It does not cover that the law may be wrong: near the ceiling that the labels set,
    F1 rises less than predicted. So do not extrapolate beyond 2 or 4 times.

    Parameters
    ----------
    curve : LearningCurve
        Of at least two sizes.
    factor : float
        1 or more.

    Returns
    -------
    Forecast

    Examples
    --------
    >>> import torch
    >>> from pointlib import MemoryDataset, ModelInfo, build_model, extrapolate, gaussian_max
    >>> from pointlib import learning_curve
    >>> model = build_model(ModelInfo(n_channels=1))
    >>> model.network = torch.nn.Identity()  # instead of training: bright spots are points
    >>> image = 255 * gaussian_max([[20, 10], [45, 30]], (40, 60), sigma=3).numpy()
    >>> dataset = MemoryDataset([(image, [[20, 10]], ["point"])] * 4)
    >>> forecast = extrapolate(learning_curve(dataset, dataset, lambda train, val, seed: model))
    >>> forecast.clicks, round(forecast.f1, 2)  # one that no click improves
    (8.0, 0.67)
    """
    if len(curve.n_images) < 2:
        raise InputError(f"the curve has {len(curve.n_images)} size; expected 2 or more.")
    if not 1 <= factor < np.inf:
        raise InputError(f"factor is {factor!r}; expected a number of 1 or more.")
    if not np.isfinite(curve.f1).all():
        raise InputError("the curve has an undefined F1: the scored images have no true point.")
    promises = []
    for clicks, f1 in zip(curve.clicks.T, curve.f1.T, strict=True):
        x, y = np.log(np.maximum(clicks, 1)), np.log(np.maximum(1 - f1, LEAST_ERROR))
        spread = x - x.mean()
        slope = (spread @ y) / max(spread @ spread, LEAST_ERROR)
        promises.append(1 - np.exp(y.mean() + slope * (x[-1] + np.log(factor) - x.mean())))
    promises = np.clip(promises, 0, 1)
    clicks = factor * curve.clicks[-1].mean()
    return Forecast(*map(float, (clicks, np.median(promises), promises.min(), promises.max())))
