"""Datasets: images with points and labels, from a folder or from memory.

About which images and points are used. Not about how they are split (splits.py), nor about what
the network sees of them (train/crops.py).

A dataset is anything with a length whose items are ``image, points, labels``: image (H, W, C),
points (N, 2) in pixels, labels (N,) str. Write your own and pass it wherever one is needed.
An image without a text file is not yet labelled and is left out; one with an empty text file is
labelled as empty and is kept. Where only a part of an image is labelled (regions.py), or a picture
is large (windows.py), its items are pieces: names such as `a.tif#xywh=0,0,1664,1664` say which.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath
from typing import NamedTuple, Protocol

import numpy as np

from pointlib.cache import KEPT_BYTES, Cache
from pointlib.errors import InputError, suggest
from pointlib.images import (
    check_image,
    image_folder,
    list_images,
    read_image,
    relative_name,
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
from pointlib.regions import Regions, read_regions, regions_path
from pointlib.windows import SIDE, Piece, is_cut, picture_header, pieces_of, read_part

SAMPLE = 64  # images that sigma and the range of the pixel values are estimated from
SAMPLE_PIXELS = 50e6  # or fewer, if they are larger than this together
AT = "#xywh="  # between a file and the place of a piece, as in W3C's media fragments
EDGE = 1e-6  # px: how far inside a point on the right or lower edge of an image counts as being
# beside the images: those that somebody began to click and did not say to be done
STARTED = Path(".pointlib") / "started.txt"
MANY, THIN = 20, 3  # more classes with fewer points each are not classes but scores or numbers


class ImagePointDataset:
    """The labelled images of a folder.

    Parameters
    ----------
    folder : str or Path
        Images with their text files, or a folder with these in `images/`.
    names : sequence of str, optional
        File names to use, or names of pieces; default all labelled ones.
    classes : sequence of str, optional
        Default the sorted labels of all files used.
    n_channels : int, optional
        Default that of the first image, without alpha.

    Attributes
    ----------
    names : list of str
        File names; of a piece with its place: `a.tif#xywh=0,0,1664,1664`.
    files, paths : list of str, list of Path
        The image file of each item.
    classes : tuple of str
    n_channels : int
    n_unlabelled : int
        Images of the folder that were left out because they have no text file.
    n_started : int
        Images that are used as they are, though the annotator knows that more points are to come.
    n_outside : int
        Points that were left out because they lie outside their image's regions.

    Examples
    --------
    >>> from pointlib import ImagePointDataset, draw_cells, text_path, write_image, write_points
    >>> scene = draw_cells((40, 60), n=5)
    >>> write_image("cells/a.png", scene.image)
    >>> write_points(text_path("cells/a.png"), scene.points, (40, 60))
    >>> dataset = ImagePointDataset("cells")
    >>> dataset
    ImagePointDataset(1 images, 5 points, 1 classes)
    >>> image, points, labels = dataset[0]
    >>> image.shape, points.shape, labels[0].item()
    ((40, 60, 1), (5, 2), 'point')
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        names: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        n_channels: int | None = None,
    ) -> None:
        self.folder = image_folder(folder)
        paths = {relative_name(p, self.folder): p for p in list_images(self.folder)}
        labelled = [name for name, path in paths.items() if label_state(path) != "unlabelled"]
        self.n_unlabelled = len(paths) - len(labelled)
        _need_small_letters(paths[name] for name in paths.keys() - set(labelled))
        started = read_started(self.folder)
        names = labelled if names is None else list(names)
        files = list(dict.fromkeys(map(file_name, names)))
        _check_names(files, paths, labelled, self.folder)
        self.n_started = sum(file in started for file in files)
        items, dtypes, self.n_outside = {}, [], 0
        for file in files:
            dtype, items[file], n_outside = open_items(paths[file], name=file)
            dtypes.append((paths[file], dtype))
            self.n_outside += n_outside
        _check_depths(dtypes)
        items |= {item.name: [item] for own in list(items.values()) for item in own}
        if missing := [name for name in names if name not in items]:
            raise InputError(
                f"{missing[0]} is listed, but {file_name(missing[0])} is not cut there: its "
                "regions have changed. List the file."
            )
        self._items = [item for name in names for item in items[name]]
        self.names = [item.name for item in self._items]
        self.files = [file_name(name) for name in self.names]
        self.paths = [item.path for item in self._items]
        self._n_points = sum(len(item.points) for item in self._items)
        self.classes = self._checked_classes(classes)
        self.n_channels = n_channels or n_colours(self._items[0].read())
        # windows of a large picture are read again fast, and training keeps the last few
        is_cut = any(item.is_part and min(item.shape) >= SIDE for item in self._items)
        self._images = Cache(max_bytes=KEPT_BYTES // 8 if is_cut else KEPT_BYTES)

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        """Return image (H, W, C), points (N, 2), labels (N,)."""
        points, labels = self.points(index)
        return self._images.get(index, lambda: self._read_image(index)), points, labels

    def __repr__(self):
        counts = f"{len(self)} images, {self._n_points} points, {len(self.classes)} classes"
        return f"ImagePointDataset({counts})"

    def points(self, index):
        """Return points (N, 2) and labels (N,) of one image without reading its pixels."""
        item = self._items[index]
        return item.points, np.where(item.labels == "", self.classes[0], item.labels)

    def shape(self, index):
        """Return (H, W) of an item, without reading its pixels."""
        return self._items[index].shape

    def regions(self, index):
        """Return the Regions of an item, in its pixels, or None if all of it is labelled."""
        return self._items[index].piece.regions

    def _read_image(self, index):
        try:
            return to_channels(self._items[index].read(), self.n_channels)
        except InputError as error:
            raise InputError(f"{self.paths[index]}: {error}") from error

    def _found_classes(self):
        named = {bool(item.labels[0]): item for item in self._items if len(item.labels)}
        if len(named) == 2:
            label = str(named[True].labels[0])[:40]
            some, others = (text_path(named[is_named].path) for is_named in (True, False))
            raise InputError(
                f"{some} has points of class {label!r}, {others} has points without a class. Name "
                "all, or none."
            )
        return class_names([item.labels for item in self._items])

    def _checked_classes(self, classes):
        found = self._found_classes()
        if classes is None:
            if words := too_many_classes(found, self._n_points):
                raise InputError(f"{self.folder} has {words}")
            return found
        classes = tuple(classes)
        if not self._n_points:
            return classes
        if found == ("point",) and len(classes) == 1:
            return classes  # the files name no class: all points are of this one
        if unknown := [name for name in found if name not in classes]:
            raise InputError(
                f"{self.folder} has points labelled {unknown[0]!r}; "
                f"the classes are {list(classes)}. {suggest(unknown[0], classes)}"
            )
        return classes


def read_started(folder):
    """Return the names of a folder's images that are started in the annotator, and not done."""
    try:
        return set(read_text(folder / STARTED).splitlines())
    except InputError:  # there is no such list
        return set()


class Item(NamedTuple):
    """An image, or a piece of one, and its points."""

    name: str
    path: Path
    shape: tuple  # (H, W)
    piece: Piece
    is_part: bool
    points: np.ndarray
    labels: np.ndarray

    def read(self):
        """Return the pixels."""
        return read_part(self.path, self.piece.box) if self.is_part else read_image(self.path)


def open_items(path, *, name):
    """Return an image's dtype, its items, and how many of its points are in none of them."""
    header, regions = picture_header(path), read_regions(regions_path(path))
    points, labels = read_points(text_path(path), header.shape)
    items = cut_items(path, header, regions, points, labels, name=name)
    if not items:
        raise InputError(
            f"{regions_path(path)} has no pixel of {path.name}, {header.shape[1]} x "
            f"{header.shape[0]}. Its polygons are in pixels from the upper left corner."
        )
    n_outside = len(points) - sum(len(item.points) for item in items)
    return header.dtype.name, items, n_outside


def cut_items(path, header, regions, points, labels, *, name):
    """Return the items of an image with these regions, points and labels: itself, or its pieces."""
    pieces = pieces_of(header.shape, regions, side=SIDE if is_cut(path, header) else None)
    items = []
    for piece in pieces:
        start, stop = np.array(piece.box[:2]), np.array(piece.box[2:])
        width, height = (stop - start).tolist()
        shape, (left, top) = (height, width), piece.box[:2]
        is_part = shape != header.shape
        own = f"{name}{AT}{left},{top},{width},{height}" if is_part else name
        near = np.flatnonzero(((points >= start - 1) & (points <= stop)).all(axis=1))
        if piece.regions:
            places = _off_edges(points[near], header.shape)
            near = near[piece.regions.contains(places - start)]
        items.append(Item(own, path, shape, piece, is_part, points[near] - start, labels[near]))
    return items


def _off_edges(points, shape):
    """Return points with those on the right and lower edge of an image just inside it."""
    return np.minimum(points, np.array(shape[::-1]) - 0.5 - EDGE)


def file_name(name):
    """Return the file name of an item's name, which may be that of a piece."""
    return name.partition(AT)[0]


class MemoryDataset:
    """Images and points you already have: ``MemoryDataset([(image, points, labels), ...])``.

    Examples
    --------
    >>> from pointlib import MemoryDataset, draw_cells
    >>> scenes = [draw_cells((40, 60), n=5, seed=i) for i in range(3)]
    >>> dataset = MemoryDataset([(s.image, s.points, s.labels) for s in scenes])
    >>> len(dataset), dataset.classes
    (3, ('point',))
    """

    def __init__(
        self,
        items: Iterable[tuple],
        *,
        names: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        regions: Sequence[Regions | None] | None = None,
    ) -> None:
        items = list(items)
        self._regions = list(regions) if regions else [None] * len(items)
        if not items:
            raise InputError("there is no image; expected at least one (image, points, labels).")
        self.items = [check_item(item, f"item {i}") for i, item in enumerate(items)]
        self.names = list(names) if names else names_of(self.items)
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

    def regions(self, index):
        """Return the Regions of an item, or None if all of it is labelled."""
        return self._regions[index]


class PartOf:
    """Some items of a dataset, by their indices, with its names and its classes."""

    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, [int(i) for i in indices]
        names = names_of(dataset)
        self.names = [names[i] for i in self.indices]

    def shape(self, index):
        """Return (H, W) of an item."""
        return shape_of(self.dataset, self.indices[index])

    @property
    def classes(self):
        """The classes of the whole dataset."""
        return dataset_classes(self.dataset)

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.dataset[self.indices[index]]

    def regions(self, index):
        """Return the Regions of an item, or None if all of it is labelled."""
        return regions_of(self.dataset, self.indices[index])


class Dataset(Protocol):
    """What a dataset has: a length, and items ``image, points, labels``."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...


def regions_of(dataset, index):
    """Return the Regions of an item; None if all is labelled or the dataset has no regions."""
    return dataset.regions(index) if hasattr(dataset, "regions") else None


def shape_of(dataset, index):
    """Return (H, W) of an item, without reading its pixels if the dataset knows it."""
    if hasattr(dataset, "shape"):
        return dataset.shape(index)
    return np.shape(dataset[index][0])[:2]


def names_of(dataset):
    """Return the names of a dataset's images; `image 0`, `image 1`, ... if it has none."""
    names = getattr(dataset, "names", None)
    if names is None:
        return [image_name(i) for i in range(len(dataset))]
    return [str(name) for name in names]


def image_name(index):
    """Return the name of an image without one: `image 0` is the first."""
    return f"image {index}"


def check_item(item, name):
    """Return image (H, W, C), points (N, 2), labels (N,) of an item, or raise InputError."""
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
    """Return an image's number of channels without alpha."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    return {2: 1, 4: 3}.get(channels, channels)


def dataset_classes(dataset):
    """Return a dataset's classes: its own `classes`, or the sorted labels of all its items."""
    if hasattr(dataset, "classes"):
        return tuple(dataset.classes)
    return class_names([np.asarray(dataset[i][2], dtype=str) for i in range(len(dataset))])


def check_known(dataset, classes):
    """Raise InputError if a dataset has points of a class that a model does not know."""
    if unknown := sorted(set(dataset_classes(dataset)) - set(classes)):
        raise InputError(
            f"the images have points of class {unknown[0]!r}; the model knows {list(classes)}."
        )


def too_many_classes(names, n_points):
    """Return what is wrong if nearly every point has its own class, as scores would, or ""."""
    if len(names) <= max(MANY, n_points / THIN):
        return ""
    return (
        f"{len(names)} classes, such as {min(names)!r}, for {n_points} points. The third value in "
        "a line is a class, not a score or a point's number: drop it, or set train.classes."
    )


def sample_indices(n_images, shape):
    """Return the indices of up to 64 of some images, evenly spaced: the sample for estimates.

    If they are large, as `shape` (H, W) of the first tells, there are fewer, but at least four.
    """
    n_fit = max(4, int(SAMPLE_PIXELS / np.prod(shape)))
    return np.linspace(0, n_images - 1, min(n_images, SAMPLE, n_fit)).astype(int)


def _check_depths(dtypes):
    """Raise InputError if images, (path, dtype) each, differ: no range of values fits both."""
    first = {dtype: path for path, dtype in dtypes}
    if len(first) > 1:
        raise InputError(
            f"the images mix {' and '.join(sorted(first))} pixels, as in {first[min(first)]} and "
            f"{first[max(first)]}; convert them to one kind."
        )


def _elsewhere(folder):
    """Return what to do if no image has a text file; they may lie elsewhere."""
    for pattern in ("*/*.txt", "../labels/*.txt"):
        for path in sorted(folder.glob(pattern))[:1]:
            return f"Found {path}: text files belong beside the images and end in .txt."
    return "Annotate first, or convert another tool's labels."


def _need_small_letters(paths):
    """Raise InputError if an image without a text file has one that ends in .TXT."""
    for path in sorted(paths):
        capital = path.with_suffix(".TXT")
        if capital.exists():
            raise InputError(
                f"{capital} ends in .TXT, expected .txt, so {path.name} would count as not "
                "labelled. Rename it."
            )


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
