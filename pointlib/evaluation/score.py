"""Scoring: a model on labelled images, or one folder of points against another.

About the numbers and where they are written. Not about the matching rule and the formulas:
metrics.py.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pointlib.dataset import (
    Dataset,
    ImagePointDataset,
    check_item,
    check_known,
    names_of,
    regions_of,
)
from pointlib.errors import InputError
from pointlib.evaluation.report import write_report
from pointlib.files import json_safe, keep_copy, write_atomic
from pointlib.images import image_folder, image_shape, list_images, read_image, relative_name
from pointlib.matching import check_reach
from pointlib.metrics import (
    ImageResult,
    average_precision,
    count_errors,
    precision_recall_curve,
    score_images,
)
from pointlib.model.point_model import PointModel
from pointlib.points import class_names, label_state, read_points, text_path
from pointlib.predict.points import (
    class_settings,
    predict_candidates,
    predict_heatmap,
    predict_points,
)
from pointlib.regions import read_regions, regions_path
from pointlib.splits import read_list
from pointlib.thresholds import join_classes

CURVE_POINTS = 500  # of the precision-recall curve stored in metrics.json


def evaluate(
    model: PointModel,
    dataset: Dataset,
    *,
    radius: float | Mapping[str, float] | None = None,
    output: str | Path | None = None,
    on_image: Callable[[str, int, int], object] | None = None,
) -> dict[str, Any]:
    """Score a model's points on labelled images, at the thresholds chosen in training.

    Parameters
    ----------
    model : PointModel
    dataset : dataset
        ``dataset[i] -> image, points, labels``.
    radius : float or dict, optional
        Match radius in pixels, for all classes or {class: pixels}; default the model's.
    output : str or Path, optional
        Folder for `metrics.json` and `report.html`.
    on_image : callable, optional
        Called with (name, true count, found count) after each image.

    Returns
    -------
    dict
        See `metrics.score_images`; with ``thresholds``, ``min_distances``, ``curve``, the
        precision-recall curve over all peaks above 0.05, and ``corrected``: see `score_corrected`.

    Examples
    --------
    >>> import torch
    >>> from pointlib import MemoryDataset, ModelInfo, build_model, evaluate, gaussian_max
    >>> model = build_model(ModelInfo(n_channels=1))
    >>> model.network = torch.nn.Identity()  # instead of training: bright spots are points
    >>> image = 255 * gaussian_max([[20, 10], [45, 30]], (40, 60), sigma=3).numpy()
    >>> dataset = MemoryDataset([(image, [[20, 10]], ["point"])])
    >>> pooled = evaluate(model, dataset)["pooled"]
    >>> pooled["tp"], pooled["fp"], pooled["fn"]
    (1, 1, 0)
    """
    info = model.info
    radius = info.radius if radius is None else radius
    check_known(dataset, info.classes)
    names = names_of(dataset)
    results, everything, areas = [], [], []
    for i, name in enumerate(names):
        (image, points, labels), regions = check_item(dataset[i], name), regions_of(dataset, i)
        found = predict_candidates(model, image)
        areas.append(regions.labelled_shape(image.shape[:2]) if regions else image.shape[:2])
        chosen, ranked = {}, {}
        for label, every in found.items():
            peaks, settings = every.within(regions), class_settings(info, label)
            chosen[label] = peaks.select(**settings)
            ranked[label] = peaks.select(threshold=0, min_distance=settings["min_distance"])
        true = (name, image.shape[:2], points, np.asarray(labels, dtype=str))
        results.append(ImageResult(*true, *join_classes(chosen)))
        everything.append(ImageResult(*true, *join_classes(ranked)))
        if on_image:
            on_image(name, len(points), len(results[-1].found))
    check_reach(radius, [result.shape for result in results])
    metrics = score_images(results, radius=radius, classes=info.classes)
    _add_curves(metrics, everything, info)
    metrics["corrected"] = score_corrected(results, info.count_rules, areas)
    if output is not None:
        place = {name: i for i, name in enumerate(names)}
        write_output(
            output,
            results,
            metrics,
            images=lambda name: dataset[place[name]][0],
            heatmaps=lambda name: predict_heatmap(model, dataset[place[name]][0]),
        )
    return metrics


def evaluate_folder(
    model, folder, *, part=None, log=print, radius=None, output=None, on_image=None
):
    """Evaluate a model on a dataset folder, or on the part of it that a list names.

    Parameters
    ----------
    model : PointModel
    folder : str or Path
    part : str, optional
        "train", "val" or "test"; default all images that the model was not trained on.
    log : callable
        Called with a line if the model was trained on some of the images.
    radius, output, on_image
        As `evaluate` takes them.
    """
    like = {"classes": model.info.classes, "n_channels": model.info.n_channels}
    if part is not None:
        names = read_list(Path(folder) / f"{part.removesuffix('.txt')}.txt")
    else:
        names = _unseen(ImagePointDataset(folder, **like).names, model.info, log)
    dataset = ImagePointDataset(folder, names=names, **like)
    return evaluate(model, dataset, radius=radius, output=output, on_image=on_image)


def _unseen(names, info, log):
    """Return the images that a model was not trained on; all if it was trained on all."""
    try:
        seen = set(info.training["images"]["train"])
    except (KeyError, TypeError):  # a model folder of another program
        seen = set()
    unseen = [name for name in names if name not in seen]
    if not unseen:
        log("warning: the model was trained on these images: the numbers are too good")
        return names
    if len(unseen) < len(names):
        log(f"{len(names) - len(unseen)} images the model was trained on are left out")
    return unseen


def image_results(model: PointModel, dataset: Dataset) -> list[ImageResult]:
    """Return the true points and those that the model finds: a metrics.ImageResult per image.

    At the thresholds chosen in training. For more than `evaluate` tells: study/errors.py,
    matching.py and study/trust.py work on such results, and on results that you have changed.

    Examples
    --------
    >>> import torch
    >>> from pointlib import MemoryDataset, ModelInfo, build_model, gaussian_max, image_results
    >>> model = build_model(ModelInfo(n_channels=1))
    >>> model.network = torch.nn.Identity()  # instead of training: bright spots are points
    >>> image = 255 * gaussian_max([[20, 10], [45, 30]], (40, 60), sigma=3).numpy()
    >>> (result,) = image_results(model, MemoryDataset([(image, [[20, 10]], ["point"])]))
    >>> len(result.true), len(result.found)
    (1, 2)
    """
    results = []
    for i, name in enumerate(names_of(dataset)):
        (image, points, labels), regions = check_item(dataset[i], name), regions_of(dataset, i)
        found = predict_points(model, image)
        if regions:
            inside = regions.contains(found[0])
            found = [column[inside] for column in found]
        results.append(ImageResult(name, image.shape[:2], points, labels, *found))
    return results


def compare_folders(
    true_folder: str | Path,
    found_folder: str | Path,
    *,
    radius: float,
    output: str | Path | None = None,
) -> dict[str, Any]:
    """Score one folder of points against another: two annotators, or another tool's points.

    Parameters
    ----------
    true_folder : str or Path
        Images and text files; its points are taken as true.
    found_folder : str or Path
        Text files of the same stems; images are not needed. A text file that is missing here
        means "not labelled": the image is left out and counted in ``n_left_out``.
    radius : float
        Match radius in pixels.
    output : str or Path, optional
        Folder for `metrics.json` and `report.html`.

    Returns
    -------
    dict
        See `metrics.score_images`.

    Examples
    --------
    >>> from pointlib import compare_folders, draw_cells, write_image, write_points
    >>> scene = draw_cells((40, 60), n=5)
    >>> write_image("mine/a.png", scene.image)
    >>> write_points("mine/a.txt", scene.points, (40, 60))
    >>> write_points("yours/a.txt", scene.points[:4], (40, 60))
    >>> compare_folders("mine", "yours", radius=3)["pooled"]["recall"]
    0.8
    """
    top, found_folder = image_folder(true_folder), image_folder(found_folder)
    paths = [path for path in list_images(top) if label_state(path) != "unlabelled"]
    if paths and found_folder.resolve() == top.resolve():
        raise InputError(f"{true_folder} is on both sides and agrees with itself. Name another.")
    names = {path: relative_name(path, top) for path in paths}
    both = [path for path in paths if text_path(found_folder / names[path]).is_file()]
    if not both:
        raise InputError(
            f"no text file of {found_folder} belongs to a labelled image of {true_folder}."
        )
    sides = ([], [])  # of (points, labels), an image each
    for side, folder in zip(sides, (top, found_folder), strict=True):
        for path in both:
            side.append(read_points(text_path(folder / names[path]), image_shape(path)))
    sides = _same_name(*sides)
    classes = {name for side in sides for name in class_names([labels for _, labels in side])}
    results = []
    for path, *both_sides in zip(both, *sides, strict=True):
        regions = read_regions(regions_path(path))
        pair = [_labelled(regions, *side) for side in both_sides]
        true, found = ((points, np.where(labels == "", "point", labels)) for points, labels in pair)
        shape, scores = image_shape(path), np.ones(len(found[0]))
        results.append(ImageResult(names[path], shape, *true, *found, scores))
    check_reach(radius, [result.shape for result in results])
    metrics = score_images(results, radius=radius, classes=tuple(sorted(classes)))
    metrics["n_left_out"] = len(paths) - len(both)
    if output is not None:
        place = {names[path]: path for path in both}
        write_output(output, results, metrics, images=lambda name: read_image(place[name]))
    return metrics


def _labelled(regions, points, labels):
    """Return the points and labels that lie inside of regions; all if there are none."""
    inside = regions.contains(points) if regions else np.full(len(points), True)
    return points[inside], labels[inside]


def _same_name(*sides):
    """If one side names a single class and the other none, give both that class."""
    named = [sorted({name for _, labels in side for name in labels.tolist()}) for side in sides]
    used = sorted({name for names in named for name in names if name})
    if len(used) == 1 and ([""] in named):
        return [[(p, np.full(len(p), used[0])) for p, _ in side] for side in sides]
    return sides


def write_output(output, results, metrics, *, images, heatmaps=None):
    """Write `metrics.json` and `report.html` into a folder; older ones are kept as copies."""
    output = Path(output)
    for name in ("metrics.json", "report.html"):
        keep_copy(output / name)
    write_atomic(output / "metrics.json", json.dumps(json_safe(metrics), indent=2) + "\n")
    write_report(output / "report.html", results, metrics, images=images, heatmaps=heatmaps)


def score_corrected(results, rules, shapes):
    """Return {class: how good its corrected counts are} for the rules that a model has.

    `shapes` are of the images, or of what of them is labelled.
    ``mae`` and ``mae_found`` are the mean absolute errors of the corrected count and of the count
    as found, ``inside`` the share of the images whose true count lies in its interval.
    """
    scores = {}
    for name, rule in rules.items():
        true = np.array([(result.true_labels == name).sum() for result in results])
        found = [int((result.found_labels == name).sum()) for result in results]
        cases = list(zip(found, shapes, strict=True))
        corrected = [rule.correct(*case) for case in cases]
        low, high = np.reshape([rule.interval(*case) for case in cases], (-1, 2)).T
        scores[name] = {
            "rule": rule.kind,
            "n_learnt_from": rule.n_images,
            "mae_found": count_errors(true, found)["mae"],
            "mae": count_errors(true, corrected)["mae"],
            "inside": float(((low <= true) & (true <= high)).mean()) if len(true) else np.nan,
        }
    return scores


def _add_curves(metrics, everything, info):
    """Add what needs every candidate, not only those above the thresholds."""
    radius = metrics["radius"]
    curve = precision_recall_curve(everything, radius=radius)
    thresholds, precision, recall = curve
    metrics["pooled"]["average_precision"] = average_precision(precision, recall)
    for name in info.classes:
        of_class = [result.of_class(name) for result in everything]
        _, *rates = precision_recall_curve(of_class, radius=radius)
        if any(len(result.true) for result in of_class):
            metrics["classes"][name]["average_precision"] = average_precision(*rates)
    some = np.unique(np.linspace(0, len(thresholds) - 1, CURVE_POINTS).astype(int))
    some = some[: len(thresholds)]
    keys = ("thresholds", "precision", "recall")
    metrics["curve"] = {k: np.asarray(v)[some].tolist() for k, v in zip(keys, curve, strict=True)}
    metrics["thresholds"] = dict(info.thresholds)
    metrics["min_distances"] = dict(info.min_distances)
