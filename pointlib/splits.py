"""Splits: which images are for training, validation and testing, by lists or at random.

About train.txt, val.txt and test.txt, what happens without them, and group.txt, which says which
images stay together. Not about the images themselves: dataset.py.
"""

import contextlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pointlib.dataset import (
    ImagePointDataset,
    MemoryDataset,
    dataset_classes,
    file_name,
    regions_of,
)
from pointlib.errors import InputError
from pointlib.files import need_file, need_folder
from pointlib.images import image_folder, list_images, relative_name
from pointlib.points import read_text, text_path

PARTS = ("train", "val", "test")
DEPTH = 4  # folders above an image that may hold the lists that name it
GROUPS = "group.txt"
LISTS = (*(f"{part}.txt" for part in PARTS), GROUPS)
FEW = 5  # fewer labelled images than this are split by crops
ENOUGH = 10  # training images, of which a fifth can be held back


def read_list(path: str | Path, *, may_be_empty: bool = False) -> list[str]:
    r"""Return the file names of a list such as train.txt, one a line, each once.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pointlib import read_list
    >>> _ = Path("test.txt").write_text("a.png\nb.png\n")
    >>> read_list("test.txt")
    ['a.png', 'b.png']
    """
    lines = read_text(need_file(path, "list")).splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names and not may_be_empty:
        raise InputError(f"{path} is empty; expected one file name a line, or no such file.")
    return list(dict.fromkeys(names))


def find_lists(folder, images=()):
    """Return {part: path} of the lists in a folder.

    `images` are paths: the text file beside an image test.png has its points and is not a list.
    """
    texts = {text_path(path) for path in images}
    paths = {part: folder / f"{part}.txt" for part in PARTS}
    # a broken link is a missing list: reading it raises an error
    return {p: path for p, path in paths.items() if os.path.lexists(path) and path not in texts}


def split_names(
    names: Sequence[str],
    *,
    fraction: float = 0.2,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[list[str], list[str]]:
    """Split names at random into training and validation.

    Parameters
    ----------
    names : sequence of str
    fraction : float
        Share of the names (or groups) for validation; each part gets at least one.
    groups : sequence of str, optional
        One per name: all names of a group (a place, a day, a patient) stay together.
    seed : int

    Returns
    -------
    train, val : list of str
        In the given order.

    Examples
    --------
    >>> from pointlib import split_names
    >>> train, val = split_names([f"{i}.png" for i in range(10)], fraction=0.3)
    >>> len(train), len(val)
    (7, 3)
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
    """Return the names that are not among others, in their order; None has no names."""
    others = set(others or ())
    return [name for name in names if name not in others]


def split_by_crops(dataset, *, fraction=0.2):
    """Cut each image in two: the end of its longer side is for validation, the rest for training.

    For a handful of images, if leaving out a whole one would leave too few for training.

    Returns
    -------
    train, val : MemoryDataset
    """
    parts, regions = ([], []), ([], [])
    for i in range(len(dataset)):
        (image, points, labels), own = dataset[i], regions_of(dataset, i)
        axis, cut = place_cut(image.shape, own, fraction=fraction)
        along = points[:, 1 - axis]
        first = along < cut - 0.5
        pixels = np.split(image, [cut], axis=axis)
        offset = np.array([cut, 0.0] if axis else [0.0, cut])
        parts[0].append((pixels[0], points[first], labels[first]))
        parts[1].append((pixels[1], points[~first] - offset, labels[~first]))
        regions[0].append(own)
        regions[1].append(own and own.moved(-offset))
    classes = dataset_classes(dataset)
    return tuple(
        MemoryDataset(part, names=dataset.names, classes=classes, regions=own)
        for part, own in zip(parts, regions, strict=True)
    )


def place_cut(shape, regions=None, *, fraction=0.2):
    """Return the axis along which `split_by_crops` cuts an image (1 is x) and the position.

    Where only a part is labelled, that part is cut.
    """
    height, width = shape[:2]
    left, top, right, bottom = regions.bounds(shape[:2]) if regions else (0, 0, width, height)
    axis = int(right - left >= bottom - top)
    start, stop = (left, right) if axis else (top, bottom)
    return axis, start + round((stop - start) * (1 - fraction))


def load_splits(
    folder: str | Path,
    *,
    val_split: float = 0.2,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    n_channels: int | None = None,
) -> tuple:
    """Load the training and validation parts of a dataset folder.

    Its `train.txt`, `val.txt` and `test.txt` decide, as far as they exist. `val.txt` alone leaves
    the other images to train on, `train.txt` alone those to validate on; images in `test.txt` are
    in neither part. Where that leaves nothing to validate on, as `train.txt` and `test.txt` do, a
    part of the training images is held back. What no list decides is split at random, fewer than
    five labelled images by crops. Images of one group in `group.txt` are never split.

    Returns
    -------
    train, val : datasets
    how : str
        One sentence that says how they were split.

    Examples
    --------
    >>> from pointlib import draw_cells, load_splits, text_path, write_image, write_points
    >>> for i in range(12):
    ...     scene, path = draw_cells((40, 60), n=5, seed=i), f"cells/{i:02}.png"
    ...     write_image(path, scene.image)
    ...     write_points(text_path(path), scene.points, scene.image.shape[:2])
    >>> train, val, how = load_splits("cells")
    >>> how
    '10 images for training and 2 for validation, split at random (seed 0)'
    """
    folder = need_folder(folder, "dataset folder")
    lists = read_lists(folder)
    whole = ImagePointDataset(folder, classes=classes, n_channels=n_channels)
    lists = {part: with_pieces(names, whole.names) for part, names in lists.items()}
    part_of_whole = partial(
        ImagePointDataset, folder, classes=whole.classes, n_channels=whole.n_channels
    )
    train, val, how = divide(whole.names, lists, folder, fraction=val_split, seed=seed)
    if not val:
        few = part_of_whole(names=train)
        return *split_by_crops(few, fraction=val_split), how + _left_out(whole, lists, train)
    what = "images" if whole.names == whole.files else "pieces of images"
    counts = f"{len(train)} {what} for training and {len(val)} for validation"
    how = f"{counts}, {how}{_left_out(whole, lists, train + val)}"
    return part_of_whole(names=train), part_of_whole(names=val), how


def with_pieces(files, names):
    """Return the names of a dataset's items that belong to files; a file without stays itself."""
    items = {}
    for name in names:
        items.setdefault(file_name(name), []).append(name)
    return [name for file in files for name in items.get(file, [file])]


def divide(names, lists, folder, *, fraction=0.2, seed=0):
    """Divide labelled images into training and validation.

    Parameters
    ----------
    names : list of str
        Of images, or of pieces of them, which stay together if there are five images or more.
    lists : dict
        {part: names} as `read_lists` gives it.
    folder : Path
        Where `group.txt` may be.
    fraction, seed
        As `split_names` takes them.

    Returns
    -------
    train, val : list of str
        No name in `val`: there are too few, and each image is to be cut in two.
    how : str
        In words.
    """
    train, val, how = _listed_parts(names, lists, folder)
    if val:
        return train, val, how
    if len(train) < FEW:
        what = "images in train.txt" if "train" in lists else "labelled images"
        how = f"only {len(train)} {what}: each is cut in two, for training and validation"
        return train, [], how
    groups, said = read_groups(folder, train)
    train, val = split_names(train, fraction=fraction, groups=groups, seed=seed)
    return train, val, f"{how} at random (seed {seed}){said}"


def _listed_parts(names, lists, folder):
    """Return the names to train and to validate on, and in words why; no `val`: not decided."""
    rest = not_in(names, lists.get("test"))
    if "val" in lists:
        train = lists.get("train") or not_in(rest, lists["val"])
        if not train:
            used = " and ".join(f"{part}.txt" for part in lists)
            raise InputError(
                f"with {used} of {folder} no image is left to train. Name fewer there."
            )
        how = "as train.txt and val.txt say" if "train" in lists else "as val.txt says"
        return train, lists["val"], how
    if "train" in lists:
        train = lists["train"]
        # with a test list too, an image that neither names was left out on purpose
        val = [] if "test" in lists else not_in(names, train)
        return train, val, "as train.txt says" if val else "held back from train.txt"
    if not rest:
        raise InputError(f"test.txt of {folder} names every labelled image: none is left to train.")
    return rest, [], "split"


def _left_out(whole, lists, used):
    """Return in words which images are in no part, "" if none."""
    unnamed = len(not_in(whole.names, [*used, *lists.get("test", ())]))
    words = f"; {unnamed} images that no list names are left out" if unnamed else ""
    if whole.n_unlabelled:
        words += f"; {whole.n_unlabelled} images without a text file are left out"
    if whole.n_started:
        words += f"; {whole.n_started} images are started in the annotator and not marked done: "
        words += "what is not clicked there counts as nothing"
    if whole.n_outside:
        words += f"; {whole.n_outside} points outside their image's regions are left out"
    return words


def read_groups(folder, names):
    """Return the group of each image, and words about it; without `group.txt` see `_by_file`.

    It has lines ``image,group``, such as ``a.png,field 3``. An image that it does not name is a
    group of its own.
    """
    path, files = folder / GROUPS, list(map(file_name, names))
    if not os.path.lexists(path):
        return _by_file(names), ""
    if path in map(text_path, list_images(image_folder(folder))):  # points of group.png
        return _by_file(names), ""
    groups = {}
    for number, line in enumerate(read_list(path), 1):
        name, comma, group = (part.strip() for part in line.rpartition(","))
        if not (comma and name and group):
            raise InputError(
                f"{path}, line {number}: {line[:80]!r} is not an image, a comma and its group, "
                "such as a.png,field 3."
            )
        if groups.setdefault(name, group) != group:
            raise InputError(f"{path} has {name} in two groups. Keep one line.")
    alone = not_in(files, groups)
    words = f", groups of {GROUPS} kept together"
    if alone:
        words += f" ({len(alone)} images that it does not name each on their own)"
    return [groups.get(file, f"{file},") for file in files], words


def _by_file(names):
    """Return the file of each name, as its group; None for the pieces of a few pictures."""
    files = list(map(file_name, names))
    return files if len(set(files)) >= FEW else None


def load_three(folder: str | Path, *, seed: int = 0, **options: Any) -> tuple:
    """Load a dataset folder in three parts: training, validation and test.

    `test.txt` names the test images. Without it a fifth of the training images is held back at
    random if there are ten or more; otherwise the validation images also test, and `how` says so.

    Parameters
    ----------
    folder, seed, **options
        As `load_splits` takes them.

    Returns
    -------
    train, val, test : datasets
    how : str
        One sentence that says how they were split.

    Examples
    --------
    >>> from pointlib import draw_cells, load_three, text_path, write_image, write_points
    >>> for i in range(12):
    ...     scene, path = draw_cells((40, 60), n=5, seed=i), f"cells/{i:02}.png"
    ...     write_image(path, scene.image)
    ...     write_points(text_path(path), scene.points, scene.image.shape[:2])
    >>> train, val, test, how = load_three("cells")
    >>> len(train), len(val), len(test)
    (8, 2, 2)
    """
    train, val, how = load_splits(folder, seed=seed, **options)
    same = {"classes": train.classes, "n_channels": train.n_channels}
    if names := read_lists(need_folder(folder)).get("test"):
        how += f"; {len(names)} for testing, as test.txt says"
    elif len(train) < ENOUGH:
        return train, val, val, f"{how}; too few to hold any back: validation images also test"
    else:
        groups, _ = read_groups(need_folder(folder), train.names)
        rest, names = split_names(train.names, groups=groups, seed=seed)
        train = ImagePointDataset(folder, names=rest, **same)
        how += f"; {len(names)} of those for training are held back for testing"
    return train, val, ImagePointDataset(folder, names=names, **same), how


def read_lists(folder):
    """Return {part: names} of train.txt, val.txt, test.txt; no image may be in two of them."""
    images = list_images(image_folder(folder))
    lists = {part: read_list(path) for part, path in find_lists(folder, images).items()}
    top = image_folder(folder)
    if stray := stray_list(folder, {relative_name(path, top) for path in images}):
        raise InputError(f"{stray} {why_stray(stray)}")
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        if both := sorted(set(lists.get(one, ())) & set(lists.get(other, ()))):
            raise InputError(f"{both[0]} is in {one}.txt and {other}.txt of {folder}. Drop one.")
    return lists


def stray_list(folder, names):
    """Return a list of these images that is not read, for its place or its capitals, or None.

    Otherwise the images that it holds back for testing would be trained on silently.
    """
    places = {folder, image_folder(folder)}
    if (above := folder.resolve()).name == "images":
        places.add(above.parent)
    for path in (path for place in sorted(places) for path in sorted(place.iterdir())):
        if path.name.lower() in LISTS and not (path.parent == folder and path.name in LISTS):
            with contextlib.suppress(InputError, OSError):
                first = read_list(path)[0]
                if first in names or first.rpartition(",")[0] in names:
                    return path
    return None


def why_stray(path):
    """Return why the list at `path`, of `stray_list`, is not read, and what to do."""
    if (path.parent / "images").is_dir() and path.name in LISTS:
        return f"is not read if images/ is named. Name the folder above it: {path.parent}"
    return "is not read: lists belong beside images/, in lower case. Move or rename it."


def part_of(paths):
    """Return "test" if a test list names any of the files, else the list that names all, or ""."""
    lists = {}
    named = [set() if path is None else _parts_naming(path, lists) for path in paths]
    if any("test" in parts for parts in named):
        return "test"
    return next((part for part in PARTS if all(part in parts for parts in named)), "")


def _parts_naming(path, lists):
    """Return the parts whose lists name a file; `lists` keeps those of folders seen before."""
    parts = set()
    for folder in list(path.absolute().parents)[:DEPTH]:
        if folder not in lists:
            lists[folder] = _lists(folder)
        name = relative_name(path.absolute(), folder)
        parts |= {part for part in PARTS if name in lists[folder][part]}
    return parts


def _lists(folder):
    """Return {part: file names} of the lists in a folder, and above it if it is `images/`."""
    folder, lists = folder.absolute(), {part: set() for part in PARTS}
    for top in (folder, folder.parent) if folder.name == "images" else (folder,):
        for part, path in find_lists(top).items():
            if path.is_file():
                lists[part].update(read_list(path, may_be_empty=True))
    return lists
