"""Datasets: a folder of images and points, and how it is split.

About which images and points are used. Not about what the network sees of them: train/crops.py.

A dataset is anything with a length whose items are ``image, points, labels``: image (H, W, C),
points (N, 2) in pixels, labels (N,) str. Write your own and pass it wherever one is asked for.
An image without a text file is not yet labelled and is left out; one with an empty text file is
labelled, nothing there, and is kept.
"""

import contextlib
import os
from pathlib import PureWindowsPath

import numpy as np

from pointlib.files import InputError, need_file, need_folder, suggest
from pointlib.images import (
    check_image,
    image_folder,
    image_header,
    list_images,
    read_image,
    to_channels,
)
from pointlib.points import (
    check_points,
    class_names,
    label_state,
    read_points,
    read_text,
    text_path,
)

LISTS = ("train.txt", "val.txt", "test.txt")
CACHE_BYTES = 2**30  # of images kept in memory once read
SAMPLE = 64  # images that sigma and the range of the pixel values are learnt from
FEW = 5  # fewer labelled images than this are split by crops
ENOUGH = 10  # training images, of which a fifth can be held back
MANY, THIN = 20, 3  # classes, and points a class on average: with more and fewer they are none


class ImagePointDataset:
    """The labelled images of a folder.

    Parameters
    ----------
    folder : str or Path
        Images with their text files, or a folder that holds them in `images/`.
    names : sequence of str, optional
        File names to use; default all labelled ones.
    classes : sequence of str, optional
        Default the sorted labels of all files used.
    n_channels : int, optional
        Default that of the first image, without alpha.

    Attributes
    ----------
    names : list of str
    classes : tuple of str
    n_channels : int
    n_unlabelled : int
        Images of the folder that were left out for want of a text file.
    """

    def __init__(self, folder, *, names=None, classes=None, n_channels=None):
        self.folder = image_folder(folder)
        paths = {path.name: path for path in list_images(self.folder)}
        labelled = [name for name, path in paths.items() if label_state(path) != "unlabelled"]
        self.n_unlabelled = len(paths) - len(labelled)
        self.names = list(labelled if names is None else names)
        _check_names(self.names, paths, labelled, self.folder)
        self.paths = [paths[name] for name in self.names]
        headers = [image_header(path) for path in self.paths]
        _check_depths(self.paths, headers)
        shapes = [header.shape for header in headers]
        self._records = list(map(read_points, map(text_path, self.paths), shapes))
        self.classes = self._checked_classes(classes)
        self.n_channels = n_channels or n_colours(read_image(self.paths[0]))
        self._cache = {}

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        """Return image (H, W, C), points (N, 2), labels (N,)."""
        points, labels = self.points(index)
        if index not in self._cache:
            image = self._read_image(index)
            if sum(i.nbytes for i in self._cache.values()) + image.nbytes > CACHE_BYTES:
                return image, points, labels
            self._cache[index] = image
        return self._cache[index], points, labels

    def __repr__(self):
        n_points = sum(len(points) for points, _ in self._records)
        return (
            f"ImagePointDataset({len(self)} images, {n_points} points, {len(self.classes)} classes)"
        )

    def points(self, index):
        """Return points (N, 2) and labels (N,) of one image without reading its pixels."""
        points, labels = self._records[index]
        return points, np.where(labels == "", self.classes[0], labels)

    def _read_image(self, index):
        path = self.paths[index]
        try:
            return to_channels(read_image(path), self.n_channels)
        except InputError as error:
            raise InputError(
                f"{path}: {error}" if str(path) not in str(error) else error
            ) from error

    def _found_classes(self):
        named = {bool(labels[0]): i for i, (_, labels) in enumerate(self._records) if len(labels)}
        if len(named) == 2:
            label = str(self._records[named[True]][1][0])[:40]
            some, others = (text_path(self.paths[named[is_named]]) for is_named in (True, False))
            raise InputError(
                f"{some} has points of class {label!r}, {others} has points with no class. Name "
                "all, or none."
            )
        return class_names([labels for _, labels in self._records])

    def _checked_classes(self, classes):
        found = self._found_classes()
        if classes is None:
            if words := too_many_classes(found, sum(len(points) for points, _ in self._records)):
                raise InputError(f"{self.folder} has {words}")
            return found
        classes = tuple(classes)
        if not any(len(points) for points, _ in self._records):
            return classes
        if found == ("point",) and len(classes) == 1:
            return classes  # the files name no class: they are all of this one
        if unknown := [name for name in found if name not in classes]:
            raise InputError(
                f"{self.folder} has points labelled {unknown[0]!r}; "
                f"the classes are {list(classes)}. {suggest(unknown[0], classes)}"
            )
        return classes


class MemoryDataset:
    """Images and points you already have: ``MemoryDataset([(image, points, labels), ...])``."""

    def __init__(self, items, *, names=None, classes=None):
        items = list(items)
        if not items:
            raise InputError("there is no image; expected one (image, points, labels) at least.")
        self.items = [check_item(item, f"item {i}") for i, item in enumerate(items)]
        self.names = list(names) if names else [f"image {i}" for i in range(len(self.items))]
        self.classes = tuple(classes or dataset_classes(self.items))
        self.items = [
            (image, points, np.where(np.asarray(labels) == "", self.classes[0], labels))
            for image, points, labels in self.items
        ]
        self.n_channels = self.items[0][0].shape[2]
        self.n_unlabelled = 0

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class PartOf:
    """Some items of a dataset, by their indices, with its names and its classes."""

    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, [int(i) for i in indices]
        names = names_of(dataset)
        self.names = [names[i] for i in self.indices]
        self.classes = dataset_classes(dataset)

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.dataset[self.indices[index]]


def names_of(dataset):
    """Return the names of a dataset's images, or numbers where it has none."""
    return [str(name) for name in getattr(dataset, "names", range(len(dataset)))]


def check_item(item, name):
    """Return image (H, W, C), points (N, 2), labels (N,) of a dataset's item, or InputError."""
    try:
        image, points, labels = item
    except (TypeError, ValueError) as error:
        kind = type(item).__name__
        raise InputError(f"{name} is a {kind}; expected (image, points, labels).") from error
    image = np.atleast_3d(check_image(image, f"image of {name}"))
    points = check_points(points, shape=image.shape[:2], name=f"points of {name}")
    if np.shape(labels) != (len(points),):
        raise InputError(f"{name} has {len(points)} points and {np.size(labels)} labels.")
    return image, points, np.asarray(labels, dtype=str)


def n_colours(image):
    """Return an image's number of channels, not counting alpha."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    return {2: 1, 4: 3}.get(channels, channels)


def dataset_classes(dataset):
    """Return a dataset's classes: its own `classes`, or the sorted labels of all its items."""
    if hasattr(dataset, "classes"):
        return tuple(dataset.classes)
    return class_names([np.asarray(dataset[i][2], dtype=str) for i in range(len(dataset))])


def too_many_classes(names, n_points):
    """Return what is wrong where nearly every point has a class of its own, as scores do, or ""."""
    if len(names) <= max(MANY, n_points / THIN):
        return ""
    return (
        f"{len(names)} classes, as {min(names)!r}, for {n_points} points. What stands third in a "
        "line is a class, not a score or a number of the point: drop it, or set train.classes."
    )


def read_list(path):
    """Return the file names of a list such as train.txt, one a line."""
    names = [line.strip() for line in read_text(need_file(path, "list")).splitlines()]
    if not any(names):
        raise InputError(f"{path} is empty; expected one file name a line, or no such file.")
    return list(dict.fromkeys(name for name in names if name))


def split_names(names, *, fraction=0.2, groups=None, seed=0):
    """Split names at random into training and validation.

    Parameters
    ----------
    names : sequence of str
    fraction : float
        Share of the names (or groups) for validation; each part gets one at least.
    groups : sequence of str, optional
        One a name: all names of a group (a place, a day, a patient) stay together.
    seed : int

    Returns
    -------
    train, val : list of str
        In the order given.
    """
    if not 0 < fraction < 1:
        raise InputError(f"fraction is {fraction}; expected a number between 0 and 1.")
    groups = list(names) if groups is None else list(groups)
    if len(groups) != len(names):
        raise InputError(f"{len(groups)} groups for {len(names)} names; expected one each.")
    kinds = sorted(set(groups))
    if len(kinds) < 2:
        raise InputError(f"{len(kinds)} image(s) or group(s) cannot be split; expected 2 or more.")
    n_val = min(max(1, round(fraction * len(kinds))), len(kinds) - 1)
    chosen = set(np.random.default_rng(seed).permutation(kinds)[:n_val].tolist())
    train = [name for name, group in zip(names, groups, strict=True) if group not in chosen]
    return train, not_in(names, train)


def not_in(names, others):
    """Return the names that are not among others, in their order; None holds no name."""
    others = set(others or ())
    return [name for name in names if name not in others]


def sample_indices(dataset):
    """Return the places of 64 items, spread evenly: what a look at the data learns from."""
    return np.linspace(0, len(dataset) - 1, min(len(dataset), SAMPLE)).astype(int)


def split_by_crops(dataset, *, fraction=0.2):
    """Cut each image in two: the end of its longer side validates, the rest trains.

    For a handful of images, where leaving one out whole would leave too little to learn from.

    Returns
    -------
    train, val : MemoryDataset
    """
    parts = ([], [])
    for i in range(len(dataset)):
        image, points, labels = dataset[i]
        axis, cut = place_cut(image.shape, fraction=fraction)
        along = points[:, 1 - axis]
        first = along < cut - 0.5
        pixels = np.split(image, [cut], axis=axis)
        offset = np.array([cut, 0.0] if axis else [0.0, cut])
        parts[0].append((pixels[0], points[first], labels[first]))
        parts[1].append((pixels[1], points[~first] - offset, labels[~first]))
    classes = dataset_classes(dataset)
    return tuple(MemoryDataset(part, names=dataset.names, classes=classes) for part in parts)


def place_cut(shape, *, fraction=0.2):
    """Return the axis along which `split_by_crops` cuts an image, 1 being x, and where."""
    axis = int(shape[1] >= shape[0])
    return axis, round(shape[axis] * (1 - fraction))


def load_splits(folder, *, val_split=0.2, seed=0, classes=None, n_channels=None):
    """Load the training and validation part of a dataset folder.

    Its `train.txt` and `val.txt` decide where they stand (one alone leaves the rest to the other
    part), and what `test.txt` names is used for neither; else images are split at random, and
    fewer than five labelled images are split by crops.

    Returns
    -------
    train, val : datasets
    how : str
        One sentence that says how they were split.
    """
    folder = need_folder(folder, "dataset folder")
    lists = read_lists(folder)
    whole = ImagePointDataset(folder, classes=classes, n_channels=n_channels)
    options = {"classes": whole.classes, "n_channels": whole.n_channels}
    rest = not_in(whole.names, lists.get("test"))
    left_out = f"; {whole.n_unlabelled} images without a text file are left out"
    left_out = left_out if whole.n_unlabelled else ""
    if not rest and "train" not in lists:
        raise InputError(f"test.txt of {folder} names every labelled image: none is left to train.")
    if "train" in lists or "val" in lists:
        train = lists.get("train") or not_in(rest, lists["val"])
        val = lists.get("val") or not_in(rest, lists["train"])
        found = " and ".join(f"{part}.txt" for part in ("train", "val") if part in lists)
        say = "say" if "and" in found else "says"
        how = f"{len(train)} images train and {len(val)} validate, as {found} {say}"
    elif len(rest) < FEW:
        few = ImagePointDataset(folder, names=rest, **options)
        how = f"only {len(few)} labelled images: each is cut in two to train and validate"
        return *split_by_crops(few, fraction=val_split), how + left_out
    else:
        train, val = split_names(rest, fraction=val_split, seed=seed)
        how = f"{len(train)} images train and {len(val)} validate, split at random (seed {seed})"
    if not (train and val):
        used = " and ".join(f"{part}.txt" for part in lists)
        part = "validate" if train else "train"
        raise InputError(f"with {used} of {folder} no image is left to {part}. Name fewer there.")
    sets = (ImagePointDataset(folder, names=part, **options) for part in (train, val))
    return *sets, how + left_out


def load_three(folder, *, seed=0, **options):
    """Load a dataset folder in three parts: to learn from, to choose by, and to judge by.

    What `test.txt` names judges. Without it a fifth of the training images is held back, at random,
    where there are ten or more; else the validation images must judge as well, and `how` says so.

    Parameters
    ----------
    folder, seed, **options
        As `load_splits` takes them.

    Returns
    -------
    train, val, test : datasets
    how : str
        One sentence that says how they were split.
    """
    train, val, how = load_splits(folder, seed=seed, **options)
    same = {"classes": train.classes, "n_channels": train.n_channels}
    if names := read_lists(need_folder(folder)).get("test"):
        how += f"; {len(names)} judge, as test.txt says"
    elif len(train) < ENOUGH:
        return train, val, val, f"{how}; too few to hold any back: those that validate also judge"
    else:
        rest, names = split_names(train.names, seed=seed)
        train = ImagePointDataset(folder, names=rest, **same)
        how += f"; {len(names)} of those that train are held back to judge"
    return train, val, ImagePointDataset(folder, names=names, **same), how


def read_lists(folder):
    """Return {part: names} of train.txt, val.txt, test.txt; no image may stand in two of them."""
    paths = {part: folder / f"{part}.txt" for part in ("train", "val", "test")}
    inside = image_folder(folder)
    images = list_images(inside)
    stems = {path.stem for path in images} if inside == folder else ()
    lists = {  # the text of an image test.png is no list
        part: read_list(path)
        for part, path in paths.items()
        if os.path.lexists(path) and part not in stems
    }
    if stray := stray_list(folder, {path.name for path in images}):
        raise InputError(f"{stray} {why_stray(stray)}")
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        if both := sorted(set(lists.get(one, ())) & set(lists.get(other, ()))):
            raise InputError(
                f"{both[0]} stands in both {one}.txt and {other}.txt of {folder}. Drop one."
            )
    return lists


def stray_list(folder, names):
    """Return a list of these images that is not read, for its place or its letters, or None.

    Nobody would hear that the images which it holds back for a test are trained on.
    """
    places = {folder, image_folder(folder)}
    if (above := folder.resolve()).name == "images":
        places.add(above.parent)
    for path in (path for place in sorted(places) for path in sorted(place.iterdir())):
        if path.name.lower() in LISTS and not (path.parent == folder and path.name in LISTS):
            with contextlib.suppress(InputError, OSError):
                if read_list(path)[0] in names:
                    return path
    return None


def why_stray(path):
    """Return why the list at `path`, of `stray_list`, is not read, and what to do."""
    if (path.parent / "images").is_dir() and path.name in LISTS:
        return f"is not read where images/ is named. Name the folder above it: {path.parent}"
    return "is not read: lists stand beside images/, named in small letters. Move or rename it."


def _check_depths(paths, headers):
    """Raise InputError where images hold different kinds of numbers: no range would fit both."""
    first = {header.dtype.name: path for path, header in zip(paths, headers, strict=True)}
    if len(first) > 1:
        raise InputError(
            f"the images mix {' and '.join(sorted(first))} pixels, as {first[min(first)]} and "
            f"{first[max(first)]}; convert them to one kind."
        )


def _elsewhere(folder):
    """Return what to do where no image has its text, which may lie elsewhere."""
    for pattern in ("*.TXT", "*/*.txt", "../labels/*.txt"):
        for path in sorted(folder.glob(pattern))[:1]:
            return f"Found {path}: texts belong beside the images, and end in .txt."
    return "Annotate first, or convert another tool's labels."


def _check_names(names, paths, labelled, folder):
    if not names:
        raise InputError(
            f"none of the {len(paths)} images in {folder} is labelled: no text file of the same "
            f"stem beside any of them. {_elsewhere(folder)}"
        )
    for name in names:
        if name not in paths:
            hint = suggest(PureWindowsPath(name).name, paths)  # knows both kinds of slash
            raise InputError(f"{name} is listed but not in {folder}. {hint}")
    if missing := sorted(set(names) - set(labelled)):
        raise InputError(
            f"{missing[0]} is listed but has no text file {text_path(missing[0]).name}: annotate "
            "it, or take it out of the list."
        )
