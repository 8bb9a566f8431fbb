"""Validation: how a training is doing after each epoch, in numbers and in words.

About whole images of the validation part, where thresholds are chosen. Not about the test part:
evaluation/score.py scores that at the thresholds chosen here.
"""

import math
import time

import numpy as np
import torch

from pointlib.augment import resize, warp_points
from pointlib.counts import learn_count_rule
from pointlib.dataset import PartOf, regions_of
from pointlib.heatmaps import draw_classes, gaussian_max
from pointlib.losses import mask_out, weighted_bce
from pointlib.matching import maximum_pairs, radius_of
from pointlib.metrics import count_errors, precision_recall_f1
from pointlib.predict.classes import of_classes
from pointlib.predict.points import candidates_of, run_network
from pointlib.sweep import choose_for_classes


def validate(model, dataset, *, loss_fn=weighted_bce, heatmap_fn=gaussian_max):
    """Predict images whole, choose thresholds, count what is right.

    Parameters
    ----------
    model : PointModel
    dataset : dataset
        ``dataset[i] -> image, points, labels``.
    loss_fn, heatmap_fn : callable
        Those of the training.

    Returns
    -------
    row : dict
        ``val_loss, f1, precision, recall, mae``, ``highest`` and ``mean_height`` of the heatmaps,
        ``val_seconds``.
    settings : dict
        {class: {"threshold", "min_distance"}} that give this F1.
    rules : dict
        {class: CountRule}: how to correct counts at these settings; empty for a few images.
    """
    start, info, shapes = time.monotonic(), model.info, []
    by_class, losses, highest, means = {name: [] for name in info.classes}, [], [], []
    for i in range(len(dataset)):
        (image, points, labels), regions = dataset[i], regions_of(dataset, i)
        drawn, shape = run_network(model, image), image.shape[:2]
        shapes.append(regions.labelled_shape(shape) if regions else shape)
        target = draw_classes(  # at the size at which the network sees the image
            warp_points(points, resize(shape, drawn.shape[1:])),
            labels,
            drawn.shape[1:],
            classes=info.classes,
            sigma=info.sigma * info.scale,
            heatmap_fn=heatmap_fn,
        )
        known = _known(regions, resize(shape, drawn.shape[1:]), drawn.shape[1:])
        losses.append(float(loss_fn(*mask_out(drawn[None], target[None], known))))
        logits = of_classes(drawn, info)
        heights = torch.sigmoid(logits)
        highest.append(float(heights.max()))
        means.append(float(heights.mean()))
        labels = np.asarray(labels)
        for name, found in candidates_of(logits, info.classes, shape).items():
            by_class[name].append((points[labels == name], found.within(regions)))
    options = {"radius": info.radius, "sigma": info.sigma, "exclusive": info.exclusive}
    settings = choose_for_classes(by_class, **options)
    row = {"val_loss": float(np.mean(losses))}
    counts = count_pairs(by_class, settings, radius=info.radius)
    row |= score_counts(counts)
    row |= {"highest": max(highest), "mean_height": float(np.mean(means))}
    rules = learn_count_rules(counts, shapes)
    return row | {"val_seconds": time.monotonic() - start}, settings, rules


def spread(dataset, n_images):
    """Return a part of a dataset, its images spread evenly: `n_images`, at least 3, or all."""
    n = min(len(dataset), max(3, round(n_images)))
    if n == len(dataset):
        return dataset
    return PartOf(dataset, np.linspace(0, len(dataset) - 1, n).astype(int))


def _known(regions, matrix, shape):
    """Return which pixels of a heatmap are labelled, (H, W) bool; True if all are."""
    if regions is None:
        return torch.tensor(True)
    return torch.from_numpy(regions.warped(matrix).mask(tuple(shape)))


def count_pairs(by_class, settings, *, radius):
    """Return {class: (images, 3)}: tp, fp, fn of each image at the chosen settings.

    `by_class` is {class: list of (true, Candidates), one per image}, `settings` what is chosen.
    """
    counts = {}
    for name, images in by_class.items():
        kept = [(true, found.select(**settings[name])[0]) for true, found in images]
        pairs = [maximum_pairs(*sides, radius_of(radius, name)) for sides in kept]
        counts[name] = np.array(pairs, int).reshape(-1, 3)
    return counts


def learn_count_rules(counts, shapes):
    """Return {class: CountRule} of the classes that have points, from `count_pairs`."""
    rules = {}
    for name, (tp, fp, fn) in ((name, of_class.T) for name, of_class in counts.items()):
        rule = learn_count_rule(tp + fn, tp + fp, shapes) if (tp + fn).any() else None
        if rule:
            rules[name] = rule
    return rules


def score_counts(counts):
    """Return pooled precision, recall and F1 and the count error, from `count_pairs`."""
    counts = sum(counts.values())
    precision, recall, f1 = precision_recall_f1(*counts.sum(axis=0).tolist())
    values = {"f1": f1, "precision": precision, "recall": recall}
    values = {key: float(np.nan_to_num(value)) for key, value in values.items()}
    tp, fp, fn = counts.T
    return values | {"n_true": int((tp + fn).sum()), "mae": count_errors(tp + fn, tp + fp)["mae"]}


def standard_error(row):
    """Return the standard error of an epoch's F1, as if it were the share of true points found.

    Two hits and two misses are added, so that it is not 0 where all or none are found (Agresti and
    Coull 1998).
    """
    n = row["n_true"] + 4
    share = (row["f1"] * row["n_true"] + 2) / n
    return math.sqrt(share * (1 - share) / n)


def without_gain(history):
    """Return the number of epochs since the one with the highest F1 (the first of several)."""
    return len(history) - 1 - int(np.argmax([row["f1"] for row in history]))


def describe_row(row):
    """Return an epoch as one line."""
    return (
        f"epoch {row['epoch']:3d}  loss {row['loss']:.4f}  val loss {row['val_loss']:.4f}  "
        f"F1 {row['f1']:.3f}  precision {row['precision']:.3f}  recall {row['recall']:.3f}  "
        f"count error {row['mae']:.1f}  {row['seconds'] + row['val_seconds']:.0f} s"
    )


def new_alarm(history, *, n_steps):
    """Return the sentence of `collapse_alarm` the first time for each kind of trouble, else ""."""
    words = collapse_alarm(history, n_steps=n_steps)
    before = collapse_alarm(history[:-1], n_steps=n_steps)
    return words if words and words[:20] != before[:20] else ""


def collapse_alarm(history, *, n_steps=100):
    """Say in words when a training has gone to zero, saturated or stopped learning.

    Parameters
    ----------
    history : list of dict
        Rows with ``epoch, loss, f1, highest, mean_height`` (height of the validation heatmaps).
    n_steps : int
        Steps per epoch: no alarm before 100 steps.

    Returns
    -------
    str
        Empty if all is well.
    """
    if not history or len(history) * n_steps < 100 or len(history) < 3:
        return ""
    last = history[-1]
    if last["highest"] < 0.1:
        return (
            f"The heatmap has gone to zero: its highest value is {last['highest']:.2f}. Predicting "
            "nothing is cheap where points are small and rare. Use train.loss=weighted_bce, a "
            "larger train.gaussian_sigma or a larger train.learning_rate."
        )
    if last["mean_height"] > 0.5:
        return (
            f"The heatmap is saturated: its mean is {last['mean_height']:.2f}. Use a smaller "
            "train.gaussian_sigma or a smaller train.learning_rate, and check the points."
        )
    recent = [row["loss"] for row in history[-6:]]
    is_flat = len(recent) == 6 and min(recent[1:]) > 0.99 * recent[0]
    if is_flat and last["f1"] < 0.1 and last.get("n_true", 1):
        return (
            f"It has stopped learning: the loss stays near {last['loss']:.3f} and F1 below 0.1. "
            "Use another train.learning_rate, and check that the points lie on the objects."
        )
    return ""
