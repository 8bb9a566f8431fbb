"""Prediction in memory: an image in, its heatmaps, candidates or points out.

About running a trained model. Not about whether its points are right: evaluation/score.py says
that. Not about files: folder.py.
"""

from collections.abc import Callable
from contextlib import contextmanager
from numbers import Real

import numpy as np
import torch
from torch.nn import functional

from pointlib.errors import InputError
from pointlib.images import check_image
from pointlib.model.point_model import PointModel
from pointlib.predict.classes import of_classes
from pointlib.predict.tiles import Tiling, heatmap_size, join_maxima
from pointlib.sweep import call_rule, default_settings
from pointlib.thresholds import FLOOR, Candidates, find_candidates, find_peaks, join_classes

WHOLE = 1280  # px of the heatmap: larger pictures are predicted in tiles


def predict_logits(model, image):
    """Return the logits of each class, (C, H, W), of a whole image: `run_network`, `of_classes`."""
    return of_classes(run_network(model, image), model.info)


def run_network(model, image):
    """Run the network on a whole image.

    Parameters
    ----------
    model : PointModel
    image : ndarray of shape (H, W) or (H, W, C)
        Grey and RGB are converted into each other if the model needs it.

    Returns
    -------
    tensor of shape (C, H, W), float32
        On the CPU, at the size at which the model sees the image (its `scale`); `enlarge` resizes
        them to the image's own. Larger ones than 1280 px are predicted in tiles: see tiles.py.
    """
    check_image(image)
    with predicting(model):
        # a small picture is one tile, which needs no halo
        side = WHOLE if is_small(image.shape, model.info) else None
        rows = _rows(Tiling(model, image, side=side))
        logits = torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)
    if len(logits) != len(model.info.classes):
        raise InputError(
            f"the model draws {len(logits)} heatmaps for {len(model.info.classes)} classes: its "
            "pointlib.json belongs to another model. Copy the folder again."
        )
    return logits


@contextmanager
def predicting(model):
    """Put a model into evaluation mode, and back into the one it was in."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def is_small(shape, info):
    """Return whether a picture of `shape` (H, W, ...) goes through the network as a whole."""
    return max(heatmap_size(shape[:2], info)) <= WHOLE


def _rows(tiling):
    """Yield the logits of each row of tiles, a list."""
    row, last = [], tiling.size[1]
    for tile in tiling.tiles:
        row.append(tiling.logits(tile)[0])
        if tile.right == last:
            yield row
            row = []


def enlarge(logits, shape):
    """Return logits (C, h, w) at the size of their image, (C, *shape)."""
    if logits.shape[1:] == tuple(shape):
        return logits
    return functional.interpolate(logits[None], tuple(shape), mode="bicubic")[0]


def predict_heatmap(model: PointModel, image: np.ndarray) -> np.ndarray:
    """Return the heatmaps (C, H, W), float32 in [0, 1], of an image of that size.

    Examples
    --------
    >>> from pointlib import ModelInfo, build_model, draw_cells, predict_heatmap
    >>> model = build_model(ModelInfo(classes=("cell", "debris"), n_channels=1))
    >>> predict_heatmap(model, draw_cells((40, 60), n=5).image).shape
    (2, 40, 60)
    """
    return torch.sigmoid(enlarge(predict_logits(model, image), image.shape[:2])).numpy()


def candidates_of(logits, classes, shape, *, floor=FLOOR, reach=np.inf):
    """Return {class: Candidates} of logits (C, h, w) of an image of `shape`.

    Peaks are found at the network's own size and refined on the exact logarithm: enlarging first
    would blur them and take longer. See `thresholds.find_candidates`.
    """
    heights = torch.sigmoid(logits).numpy()
    logarithms = functional.logsigmoid(logits).numpy()
    options = {"floor": floor, "reach": reach, "shape": tuple(shape)}
    return {
        name: find_candidates(heights[i], log_heatmap=logarithms[i], **options)
        for i, name in enumerate(classes)
    }


def predict_candidates(model: PointModel, image: np.ndarray) -> dict[str, Candidates]:
    """Return {class: Candidates}: every peak above 0.05, before any threshold is chosen.

    Examples
    --------
    >>> import torch
    >>> from pointlib import ModelInfo, build_model, gaussian_max, predict_candidates
    >>> model = build_model(ModelInfo(n_channels=1))
    >>> model.network = torch.nn.Identity()  # instead of training: bright spots are points
    >>> image = 255 * gaussian_max([[20, 10], [45, 30]], (40, 60), sigma=3).numpy()
    >>> peaks = predict_candidates(model, image)["point"]
    >>> len(peaks.points), peaks.scores.round(2)
    (2, array([0.88, 0.88]))
    """
    check_image(image)
    if not is_small(image.shape, model.info):
        return tiled_candidates(Tiling(model, image))
    return candidates_of(predict_logits(model, image), model.info.classes, image.shape[:2])


def tiled_candidates(tiling, *, floor=FLOOR, reach=np.inf):
    """Return {class: Candidates} of a picture of any size, a tile at a time."""
    with predicting(tiling.model):
        parts = [tiling.maxima(tile, floor=floor) for tile in tiling.tiles]
    return join_maxima(parts, size=tiling.size, shape=tiling.shape, reach=reach)


def predict_points(
    model: PointModel,
    image: np.ndarray,
    *,
    threshold: float | None = None,
    min_distance: float | None = None,
    threshold_fn: Callable = find_peaks,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the points of an image.

    Parameters
    ----------
    model : PointModel
    image : ndarray of shape (H, W) or (H, W, C)
    threshold, min_distance : float, optional
        For every class; default those chosen in training, a class each.
    threshold_fn : callable
        See thresholds.py.

    Returns
    -------
    points : ndarray of shape (N, 2), float64
        x, y in pixels, best first.
    labels : ndarray of shape (N,), str
    scores : ndarray of shape (N,), float64

    Examples
    --------
    >>> import torch
    >>> from pointlib import ModelInfo, build_model, gaussian_max, predict_points
    >>> model = build_model(ModelInfo(n_channels=1))
    >>> model.network = torch.nn.Identity()  # instead of training: bright spots are points
    >>> image = 255 * gaussian_max([[20, 10], [45, 30]], (40, 60), sigma=3).numpy()
    >>> points, labels, scores = predict_points(model, image)
    >>> points.round().tolist(), labels.tolist(), scores.round(2)
    ([[20.0, 10.0], [45.0, 30.0]], ['point', 'point'], array([0.88, 0.88]))
    """
    check_image(image)
    settings = settings_of(model.info, threshold, min_distance)
    if threshold_fn is find_peaks and not is_small(image.shape, model.info):
        return predict_picture(model, image, settings)
    logits, found = predict_logits(model, image), {}
    for i, (name, own) in enumerate(settings.items()):
        found[name] = read_logits(logits[i : i + 1], image.shape[:2], threshold_fn, own)
    return join_classes(found)


def predict_picture(model, picture, settings):
    """Return points, labels and scores of a picture of any size, an array or read by windows.

    `settings` is {class: {"threshold", "min_distance"}}.
    """
    return choose_points(tiled_candidates(Tiling(model, picture), **bounds(settings)), settings)


def settings_of(info, threshold=None, min_distance=None):
    """Return {class: {"threshold", "min_distance"}}: those given, else the model's."""
    return {name: class_settings(info, name, threshold, min_distance) for name in info.classes}


def bounds(settings):
    """Return the floor and the reach of candidates that {class: settings} ask for."""
    floor = min(own["threshold"] for own in settings.values())
    return {"floor": floor, "reach": max(own["min_distance"] for own in settings.values())}


def choose_points(candidates, settings):
    """Return points, labels and scores of {class: Candidates} at {class: settings}."""
    return join_classes({name: candidates[name].select(**own) for name, own in settings.items()})


def read_logits(logits, shape, threshold_fn, settings):
    """Return points and scores that a thresholding function finds in one class's logits.

    `logits` (1, h, w) are of an image of `shape`; `settings` has threshold and min_distance.
    """
    if threshold_fn is find_peaks:
        reach = {"floor": settings["threshold"], "reach": settings["min_distance"]}
        return candidates_of(logits, ["it"], shape, **reach)["it"].select(**settings)
    return call_rule(threshold_fn, torch.sigmoid(enlarge(logits, shape)[0]).numpy(), **settings)


def class_settings(info, name, threshold=None, min_distance=None):
    """Return the threshold and minimum distance of a class: those given, else the model's."""
    for what, value in (("threshold", threshold), ("min_distance", min_distance)):
        if not (value is None or (isinstance(value, Real) and 0 <= value < np.inf)):
            raise InputError(f"{what} is {value!r}; expected a number, 0 or more.")
    default = default_settings(info.sigma)
    if threshold is None:
        threshold = info.thresholds.get(name, default["threshold"])
    if min_distance is None:
        min_distance = info.min_distances.get(name, default["min_distance"])
    return {"threshold": threshold, "min_distance": min_distance}


def check_threshold_fn(threshold_fn):
    """Call a thresholding function on one peak; InputError if what it returns does not fit."""
    y, x = np.mgrid[:32, :40]
    peak = np.exp(-((x - 25) ** 2 + (y - 9) ** 2) / 8).astype(np.float32)
    points, _ = call_rule(threshold_fn, peak, **default_settings())
    right, swapped = (np.abs(points - p).sum(axis=1).min(initial=1e9) for p in ((25, 9), (9, 25)))
    if swapped < right:
        name = getattr(threshold_fn, "__name__", threshold_fn)
        raise InputError(
            f"thresholding: {name} finds a point at x 25, y 9 at x 9, y 25. Only arrays are "
            "[y, x]; points are x, y: return points[:, ::-1]."
        )
