"""Inputs: images and their true points, in whatever form they are given, as one kind of list.

About datasets, folders, lists of paths and arrays in memory. Pixels are read on demand.
Not about what is found in them (state.py).
"""

import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pointlib.dataset import file_name, image_name, names_of, regions_of, shape_of
from pointlib.errors import InputError, suggest
from pointlib.images import (
    check_image,
    image_folder,
    image_shape,
    list_images,
    read_image,
    relative_name,
)
from pointlib.points import check_points, label_state, nearest_distances, read_points, text_path
from pointlib.regions import Regions, read_regions, regions_path

RADIUS = 6.0  # px: match radius if no image has two true points


class Item(NamedTuple):
    """One image, which is read on demand."""

    name: str
    path: Path | None
    load: object  # () -> array; None if there is no image
    shape: object  # () -> (H, W), without reading pixels if possible
    truth: tuple | None  # points, labels; later {class: points}
    error: str = ""
    regions: Regions | None = None  # what of it is labelled; None if all


def list_items(images, *, has_points=False, trained=()):
    """Return an Item for each image.

    Parameters
    ----------
    images : dataset, path of a folder or of an image, sequence of arrays or of paths
        The pixels of a dataset with ``points(i)`` and ``paths`` are not read here.
    has_points : bool
        The true points are given separately: look for none.
    trained : set of str
        File names to leave out of a folder, if it has others.
    """
    if isinstance(images, (str, os.PathLike)):
        folder = Path(images)
        top = folder.parent if folder.is_file() else image_folder(folder)
        paths = [folder] if folder.is_file() else list_images(top)
        seen = set(map(file_name, trained))  # of images labelled in part, pieces are named
        paths = [path for path in paths if relative_name(path, top) not in seen] or paths
        items = [
            _file_item(path, relative_name(path, top), has_points=has_points) for path in paths
        ]
    elif _is_dataset(images):
        names = names_of(images)
        items = [_dataset_item(images, i, names[i], has_points) for i in range(len(images))]
    elif _is_one_picture(images):
        raise InputError(f"images is one array of shape {images.shape}; expected a list: [image].")
    elif isinstance(images, dict) or not hasattr(images, "__iter__"):
        raise InputError(
            f"images is a {type(images).__name__}; expected a dataset, a folder, or a list of "
            "arrays or paths."
        )
    else:
        items = [_given_item(image, i, has_points) for i, image in enumerate(images)]
    if not items:
        raise InputError("there are no images; expected at least one.")
    return _distinct(items)


def with_points(items, points):
    """Return the items with the given true points."""
    is_list = np.iterable(points) and not isinstance(points, (str, dict))
    points = list(points) if is_list else points
    if not is_list or len(points) != len(items):
        came = f"has {len(points)} entries" if is_list else f"is a {type(points).__name__}"
        raise InputError(
            f"points {came} for {len(items)} images; expected one entry per image: (N, 2), "
            "(points, labels), or None if it is not annotated. For one image: [points]."
        )
    return [
        item._replace(truth=_given_truth(entry, f"points[{i}]"), error="")
        for i, (item, entry) in enumerate(zip(items, points, strict=True))
    ]


def by_class(item, classes):
    """Return {class: points} of an item's true points; no label means the only class."""
    if item.truth is None:
        return None
    points, labels = item.truth
    if len(classes) == 1:
        labels = np.where(np.isin(labels, ("", "point")), classes[0], labels)
    if unknown := sorted(set(labels.tolist()) - set(classes)):
        what, hint = "without a class", "Give (points, labels)."
        if unknown[0]:
            what = f"of class {unknown[0]!r}"
            hint = f"{suggest(unknown[0], classes)} Name the heatmaps' channels: classes=[...]."
        raise InputError(
            f"{item.name} has points {what}; the classes found are {list(classes)}. {hint}"
        )
    return {name: points[labels == name] for name in classes}


def choose_radius(items):
    """Return a quarter of the median distance between neighbours, at least 2 px; 6 without any."""
    truth = [np.concatenate(list(i.truth.values())) for i in items if i.truth is not None]
    near = np.concatenate([np.zeros(0), *(nearest_distances(points) for points in truth)])
    near = near[np.isfinite(near)]
    return max(2.0, round(float(np.median(near)) / 4, 1)) if len(near) else RADIUS


def _is_dataset(images):
    """Return whether items are (image, points, labels), unlike a list of images."""
    if isinstance(images, (list, tuple)):
        return bool(images) and isinstance(images[0], tuple) and len(images[0]) == 3
    return hasattr(images, "__len__") and not (hasattr(images, "ndim") or isinstance(images, dict))


def _is_one_picture(images):
    """Return whether an array is one image rather than a stack of them."""
    n_axes = getattr(images, "ndim", 3)
    return n_axes < 3 or (n_axes == 3 and getattr(images, "shape", (9,))[-1] <= 4)


def _file_item(path, name, *, has_points):
    truth, error, regions = None, "", None
    try:
        regions = read_regions(regions_path(path))
        if not has_points and label_state(path) != "unlabelled":
            points, labels = read_points(text_path(path), image_shape(path))
            inside = regions.contains(points) if regions else np.full(len(points), True)
            truth = points[inside], labels[inside]
    except InputError as reason:
        error = str(reason)
    read, shape = partial(read_image, path), partial(image_shape, path)
    return Item(name, path, read, shape, truth, error, regions)


def _dataset_item(dataset, i, name, has_points):
    """Return an item of a dataset, which is read for its points if it has no `points(i)`."""
    path = Path(dataset.paths[i]) if hasattr(dataset, "paths") else None

    def load():
        return _checked_image(dataset[i][0], name)

    shape = partial(shape_of, dataset, i)
    truth, error = None, ""
    try:
        if not has_points:
            quick = callable(getattr(dataset, "points", None))
            points, labels = dataset.points(i) if quick else dataset[i][1:]
            truth = _checked_truth(points, labels, f"points of {name}")
    except Exception as reason:  # a user's dataset may raise anything
        error = str(reason) if isinstance(reason, InputError) else f"{name}: {reason!r}"
    return Item(name, path, load, shape, truth, error, regions_of(dataset, i))


def _given_item(image, i, has_points):
    if isinstance(image, (str, os.PathLike)):
        return _file_item(Path(image), Path(image).name, has_points=has_points)
    name = image_name(i)
    image = _checked_image(image, name)
    return Item(name, None, lambda: image, lambda: image.shape[:2], None)


def _checked_image(image, name):
    """Return a checked image; a boolean mask becomes black and white."""
    check_image(image, name)
    return image.astype(np.uint8) * 255 if image.dtype == bool else image


def _given_truth(entry, name):
    """Return (points, labels), or None, from an entry: (N, 2), (points, labels) or None."""
    if entry is None:
        return None
    if isinstance(entry, tuple) and len(entry) == 2 and np.iterable(entry[0]):
        points, labels = entry
        if all(map(np.iterable, points)):  # else the two are points themselves
            return _checked_truth(points, labels, name)
    points = check_points(entry, name=name)
    return points, np.full(len(points), "")


def _checked_truth(points, labels, name):
    points, labels = check_points(points, name=name), np.asarray(labels, dtype=str)
    if labels.shape != (len(points),):
        what = f"{labels.size} labels for {len(points)} points"
        raise InputError(f"{name}: {what}; expected one each.")
    return points, labels


def _distinct(items):
    """Return the items; if two share a name, all get their number appended."""
    if len({item.name for item in items}) == len(items):
        return items
    return [item._replace(name=f"{item.name} ({i})") for i, item in enumerate(items)]
