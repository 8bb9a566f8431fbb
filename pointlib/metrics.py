"""Metrics: every number that follows from which found point pairs with which true one.

The rule, named wherever a number is shown: one-to-one, as many pairs as possible first, least
total distance second, no pair farther apart than `radius` pixels (equal is allowed). Classes
never mix. What is undefined is NaN: the F1 of an image where both sides are empty (a perfect
one), the mean error of no pairs. "Pooled" adds up counts over images before it divides.

Not about how points are matched (matching.py), nor about finding points (thresholds.py).
"""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from pointlib.errors import InputError
from pointlib.matching import (
    RULES,
    check_amount,
    check_column,
    check_labels,
    check_radius,
    check_sides,
    describe_radius,
    match_points,
    radii_of,
    radius_of,
    tp_curve,
)
from pointlib.points import check_points

MAX_LEVEL = 10  # of GAME: a million cells


class ImageResult(NamedTuple):
    """The true and the found points of one image. Scores may all be 1.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import ImageResult, score_images
    >>> true, found = np.array([[10.0, 10.0], [30.0, 10.0]]), np.array([[11.0, 10.0]])
    >>> result = ImageResult(
    ...     name="a.png",
    ...     shape=(40, 60),
    ...     true=true,
    ...     true_labels=np.array(["cell", "cell"]),
    ...     found=found,
    ...     found_labels=np.array(["cell"]),
    ...     scores=np.array([0.9]),
    ... )
    >>> score_images([result], radius=4, classes=("cell",))["pooled"]["f1"]
    0.6666666666666666
    """

    name: str
    shape: tuple  # (H, W)
    true: np.ndarray  # (N, 2)
    true_labels: np.ndarray  # (N,) str
    found: np.ndarray  # (M, 2)
    found_labels: np.ndarray  # (M,) str
    scores: np.ndarray  # (M,)

    def of_class(self, name):
        """Return the true and found points of one class."""
        true, found = self.true_labels == name, self.found_labels == name
        sides = self.true[true], self.true_labels[true], self.found[found], self.found_labels[found]
        return ImageResult(self.name, self.shape, *sides, self.scores[found])


class _Part(NamedTuple):
    """One image, or one class of it, matched."""

    n_true: int
    scores: np.ndarray  # (M,) best first
    gains: np.ndarray  # (M,) 1 if this found point makes one more pair possible
    distances: np.ndarray  # of the pairs


def precision_recall_f1(tp: float, fp: float, fn: float) -> tuple[float, float, float]:
    """Return precision, recall and F1 of three counts; NaN for a division by 0.

    An image with nothing true and nothing found is perfect, but all three are undefined.

    Examples
    --------
    >>> from pointlib import precision_recall_f1
    >>> precision_recall_f1(tp=6, fp=2, fn=4)
    (0.75, 0.6, 0.6666666666666666)
    """
    if min(tp, fp, fn) < 0:
        raise InputError(f"tp, fp, fn are {tp}, {fp}, {fn}; expected counts of 0 or more.")
    return _ratio(tp, tp + fp), _ratio(tp, tp + fn), _ratio(2 * tp, 2 * tp + fp + fn)


def precision_recall_curve(results, *, radius):
    """Return thresholds (falling), precision and recall, each (T,), pooled over `results`.

    One entry per distinct score, for all found points of at least that score. Each class of each
    image is matched separately. Recall is NaN if there is no true point.
    """
    results = [_check_result(result) for result in results]
    classes = sorted({str(c) for r in results for c in (*r.true_labels, *r.found_labels)})
    return _curve([_part(r.of_class(c), radius_of(radius, c)) for r in results for c in classes])


def average_precision(precision: ArrayLike, recall: ArrayLike) -> float:
    """Return the area under the curve, where each recall has the best precision at or beyond it.

    As in PASCAL VOC since 2010 ("all points"). An empty curve (nothing found) has area 0; if
    recall is undefined, so is the area: NaN.

    Examples
    --------
    >>> from pointlib import average_precision
    >>> average_precision([1.0, 0.5, 0.67], [0.5, 0.5, 1.0])
    0.835
    """
    precision, recall = np.asarray(precision, float), np.asarray(recall, float)
    if precision.shape != recall.shape or precision.ndim != 1:
        raise InputError(
            f"precision has shape {precision.shape}, recall {recall.shape}; expected two (T,)."
        )
    best_beyond = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * best_beyond))


def count_errors(true_counts, found_counts):
    """Return {"mae", "rmse", "nae"} of counts, one per image; NaN for no images.

    "nae" is the mean of |found - true| / true over images with true points. Crowd counting
    papers often call RMSE MSE.
    """
    true, found = np.asarray(true_counts, float), np.asarray(found_counts, float)
    if true.shape != found.shape or true.ndim != 1 or not np.isfinite([true, found]).all():
        raise InputError(
            f"counts have shapes {true.shape} and {found.shape}; expected one finite number per "
            "image on both sides."
        )
    error = np.abs(found - true)
    relative = error[true > 0] / true[true > 0]
    return {"mae": _mean(error), "rmse": _mean(error**2) ** 0.5, "nae": _mean(relative)}


def game(true, found, shape, *, level):
    """Return the grid average mean error: |count errors| summed over 4**level equal cells.

    For one image (H, W); average it over images. Level 0 is the plain count error; higher levels
    depend more on position. A point outside counts in the nearest cell. After
    Guerrero-Gomez-Olmedo et al., "Extremely overlapping vehicle counting", 2015.
    """
    if level not in range(MAX_LEVEL + 1):
        raise InputError(f"level is {level!r}; expected a whole number from 0 to {MAX_LEVEL}.")
    check_points([], shape=shape)  # raises if this is not a shape
    side, counts = 2 ** int(level), []
    for points in check_sides(true, found):
        cell = np.floor((points + 0.5) / np.array(shape)[::-1] * side)
        column, row = np.clip(cell, 0, side - 1).astype(int).T
        counts.append(np.bincount(row * side + column, minlength=side**2))
    return float(np.abs(counts[0] - counts[1]).sum())


def chamfer_distance(a, b):
    """Return the mean distance from `a` to the nearest of `b`, plus the same from `b` to `a`.

    Also called averaged Hausdorff distance; pixels, symmetric, no radius. Infinite if one side is
    empty, NaN if both are.
    """
    a, b = check_points(a, name="a"), check_points(b, name="b")
    if not len(a) or not len(b):
        return float("inf") if len(a) or len(b) else float("nan")
    return _mean(KDTree(b).query(a)[0]) + _mean(KDTree(a).query(b)[0])


def f1_by_rule(
    pairs_of_points: Sequence[tuple[ArrayLike, ArrayLike]], *, radius: float | Sequence[float]
) -> dict[str, float]:
    """Return {rule: F1} of the same points by our rule and by three that others use.

    "maximum pairs" is ours. `pairs_of_points` is a list of (true, found), one per image; counts
    are pooled. `radius` is one for all, or one for each entry. Shows how much "F1 at r px" depends
    on the rule.

    Examples
    --------
    >>> from pointlib import f1_by_rule
    >>> rules = f1_by_rule([([[10, 10], [14, 10]], [[12, 10]])], radius=4)
    >>> round(rules["maximum pairs"], 2), rules["not one-to-one"]
    (0.67, 1.0)
    """
    images = [check_sides(true, found) for true, found in pairs_of_points]
    each = list(radius) if isinstance(radius, Sequence) and radius else [radius] * len(images)
    within = [check_amount(one, "radius") for one in each]
    cases, f1 = list(zip(images, within, strict=True)), {}
    for name, rule in RULES.items():
        counts = np.array([rule(*sides, r) for sides, r in cases], dtype=int).reshape(-1, 3)
        f1[name] = precision_recall_f1(*counts.sum(axis=0).tolist())[2]
    return f1


def score_images(
    results: Sequence[ImageResult],
    *,
    radius: float | Mapping[str, float],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Return all metrics of a set of images, as stored in metrics.json (NaN = undefined).

    Parameters
    ----------
    results : list of ImageResult
    radius : float or dict
        Matching radius, pixels: for all classes, or {class: pixels}.
    classes : sequence of str
        All classes; any other label is an error.

    Returns
    -------
    dict
        "pooled" sums the classes' counts, each matched separately; "class_blind" ignores labels;
        "confusion" is {class of a true point: {class of the point found there: number}}, matched
        without regard to labels, within the radius of the true point's class;
        "per_image_mean_f1" is over the "n_f1_images" images whose F1 is defined. Counts, GAME and
        "chamfer_px" ignore labels; the last is over images with points on both sides.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import ImageResult, score_images
    >>> true, found = np.array([[10.0, 10.0], [30.0, 10.0]]), np.array([[11.0, 10.0]])
    >>> result = ImageResult(
    ...     name="a.png",
    ...     shape=(40, 60),
    ...     true=true,
    ...     true_labels=np.array(["cell", "cell"]),
    ...     found=found,
    ...     found_labels=np.array(["cell"]),
    ...     scores=np.array([0.9]),
    ... )
    >>> metrics = score_images([result], radius=4, classes=("cell",))
    >>> metrics["pooled"]["precision"], metrics["pooled"]["recall"]
    (1.0, 0.5)
    """
    radius = check_radius(radius, classes)
    results = [_check_result(result, classes) for result in results]
    parts = {
        name: [_part(r.of_class(name), radius_of(radius, name)) for r in results]
        for name in classes
    }
    every = [part for of_class in parts.values() for part in of_class]
    blind = every
    if len(parts) > 1:
        blind = [_part(r, radii_of(radius, r.true_labels)) for r in results]
    rows = [_image_row(r, list(own)) for r, *own in zip(results, *parts.values(), strict=True)]
    f1 = [row["f1"] for row in rows if not np.isnan(row["f1"])]
    return {
        "rule": "one-to-one, most pairs first, then least total distance, at most "
        f"{describe_radius(radius)} apart, class by class; counts summed over images",
        "radius": radius,
        "n_images": len(results),
        "pooled": _figures(every),
        "class_blind": _figures(blind),
        "classes": {name: _figures(of_class) for name, of_class in parts.items()},
        "confusion": confusion(results, radius=radius, classes=classes),
        "per_image_mean_f1": _mean(f1),
        "n_f1_images": len(f1),
        "counts": _count_figures(results),
        "chamfer_px": _mean(
            [chamfer_distance(r.true, r.found) for r in results if len(r.true) and len(r.found)]
        ),
        "images": rows,
    }


def confusion(results, *, radius, classes):
    """Return {true class: {found class: number of pairs}}, matched without regard to labels."""
    table = {true: dict.fromkeys(classes, 0) for true in classes}
    for result in results:
        within = radii_of(radius, result.true_labels)
        pairs = match_points(result.true, result.found, radius=within).pairs
        for i, j in pairs.tolist():
            table[str(result.true_labels[i])][str(result.found_labels[j])] += 1
    return table


def metrics_table(metrics: Mapping[str, Any]) -> str:
    """Return the numbers of `score_images` as a small text table, one line per class.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import ImageResult, metrics_table, score_images
    >>> true, found = np.array([[10.0, 10.0], [30.0, 10.0]]), np.array([[11.0, 10.0]])
    >>> result = ImageResult(
    ...     name="a.png",
    ...     shape=(40, 60),
    ...     true=true,
    ...     true_labels=np.array(["cell", "cell"]),
    ...     found=found,
    ...     found_labels=np.array(["cell"]),
    ...     scores=np.array([0.9]),
    ... )
    >>> print(metrics_table(score_images([result], radius=4, classes=("cell",))))
    class      true  found   hits  precision  recall     F1  error px
    cell          2      1      1      1.000   0.500  0.667      1.00
    1 images; matched one to one within 4 px; mean absolute count error 1.00 an image
    """
    width = max(8, *(len(name) for name in metrics["classes"]))
    lines = [f"{'class':{width}}   true  found   hits  precision  recall     F1  error px"]
    rows = dict(metrics["classes"])
    if len(rows) > 1:
        rows |= {"all": metrics["pooled"], "any class": metrics["class_blind"]}
    for name, values in rows.items():
        row = SimpleNamespace(**values)
        lines.append(
            f"{name:{width}} {row.tp + row.fn:6d} {row.tp + row.fp:6d} {row.tp:6d}  "
            f"{row.precision:9.3f}  {row.recall:6.3f}  {row.f1:5.3f}  {row.error_px:8.2f}"
        )
    if len(metrics["classes"]) > 1:
        lines.append(_named(metrics["confusion"]))
    lines.append(
        f"{metrics['n_images']} images; matched one to one within "
        f"{describe_radius(metrics['radius'])}; "
        f"mean absolute count error {metrics['counts']['mae']:.2f} an image"
    )
    for name, row in metrics.get("corrected", {}).items():
        of = f" of {name}" if len(metrics["classes"]) > 1 else ""
        lines.append(
            f"corrected counts{of}: mean absolute error {row['mae']:.2f} instead of "
            f"{row['mae_found']:.2f}; {row['inside']:.0%} of the images inside their interval"
        )
    return "\n".join(lines)


def _named(table):
    """Return in words how many of the found objects have the right class, and the worst mix-up."""
    pairs = [(n, true, found) for true, row in table.items() for found, n in row.items()]
    n_pairs = sum(n for n, _, _ in pairs)
    n_right = sum(n for n, true, found in pairs if true == found)
    words = f"{n_right} of {n_pairs} objects found have the right class"
    n_worst, true, found = max(pairs, key=lambda pair: (pair[1] != pair[2]) * pair[0])
    if n_right < n_pairs:
        words += f"; most often mixed up: {n_worst} {true} called {found}"
    return words


def rank_gains(true, found, scores, radius):
    """Return scores, best first (ties: smaller y, then x), and 1 for each that adds a pair."""
    order = np.lexsort((*found.T, -scores))
    tp = tp_curve(true, found[order], radius=radius)
    return scores[order], np.diff(tp, prepend=0)


def rank_images(images, *, radius, min_distance=0.0):
    """Return for each image the number of true points, and `rank_gains` of its candidates.

    `images` are (true, Candidates) of one class; candidates with an isolation above `min_distance`
    count. `radius` is one for all, or a list of arrays, one for each true point of each image.
    """
    if not isinstance(radius, list):
        radius = [check_amount(radius, "radius")] * len(images)
    min_distance = check_amount(min_distance, "min_distance")
    rows = []
    for (true, candidates), within in zip(images, radius, strict=True):
        known, found = check_points(true, name="true"), check_points(candidates[0], name="found")
        scores = check_column(candidates[1], len(found), "scores")
        kept = check_column(candidates[2], len(found), "isolation") > min_distance
        rows.append((len(known), *rank_gains(known, found[kept], scores[kept], within)))
    return rows


def running_sums(scores, steps):
    """Return the distinct scores (T,), falling, and the sums of `steps` (M, ...) down to each."""
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    last = np.flatnonzero(np.diff(scores, append=-np.inf))  # tied scores: the end of their tie
    return scores[last], np.cumsum(steps[order], axis=0)[last]


def _part(result, radius):
    """Match the points of one image, or of one class of it; labels are ignored."""
    true, found, scores = result.true, result.found, result.scores
    distances = match_points(true, found, radius=radius).distances
    return _Part(len(true), *rank_gains(true, found, scores, radius), distances)


def _curve(parts):
    """Return thresholds, precision and recall of matched parts."""
    scores = np.concatenate([np.zeros(0), *(part.scores for part in parts)])
    gains = np.concatenate([np.zeros(0, int), *(part.gains for part in parts)])
    thresholds, sums = running_sums(scores, np.stack([gains, np.ones_like(gains)], axis=1))
    tp, n_found = sums.T
    return thresholds, tp / n_found, tp / (sum(part.n_true for part in parts) or np.nan)


def _figures(parts):
    """Return the metrics of matched parts, pooled."""
    distances = [distance for part in parts for distance in part.distances.tolist()]
    tp, n_true = len(distances), sum(part.n_true for part in parts)
    fp, fn = sum(len(part.scores) for part in parts) - tp, n_true - tp
    names, rates = ("precision", "recall", "f1"), precision_recall_f1(tp, fp, fn)
    area = average_precision(*_curve(parts)[1:]) if n_true else float("nan")
    figures = {"tp": tp, "fp": fp, "fn": fn, **dict(zip(names, rates, strict=True))}
    return figures | {"average_precision": area, "error_px": _mean(distances)}


def _image_row(result, parts):
    """Return the row of one image in metrics.json."""
    figures = _figures(parts)
    row = {"name": result.name, "true": len(result.true), "found": len(result.found)}
    return row | {key: figures[key] for key in ("tp", "fp", "fn", "f1", "error_px")}


def _count_figures(results):
    """Return the count errors, and GAME with 4 and with 16 cells per image."""
    errors = count_errors([len(r.true) for r in results], [len(r.found) for r in results])
    for level in (1, 2):
        cells = [game(r.true, r.found, r.shape, level=level) for r in results]
        errors[f"game{level}"] = _mean(cells)
    return errors


def _check_result(result, classes=None):
    """Return the ImageResult with its arrays checked; errors name the image."""
    try:
        true, found = check_sides(result.true, result.found)
        scores = check_column(result.scores, len(found), "scores")
        true_labels = check_labels(result.true_labels, len(true), classes)
        found_labels = check_labels(result.found_labels, len(found), classes)
    except InputError as error:
        raise InputError(f"{result.name}: {error}") from error
    return ImageResult(result.name, result.shape, true, true_labels, found, found_labels, scores)


def _ratio(part, whole):
    return float(part / whole) if whole else float("nan")


def _mean(values):
    return float(np.mean(values)) if len(values) else float("nan")
