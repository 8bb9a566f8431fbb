"""Other tools' files in and out: `convert` turns any format of `FORMATS` into any other.

Not about what a format looks like inside (one file each, beside this one), nor about reading a
dataset for training (dataset.py).
"""

import importlib
import os
import pkgutil
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from pointlib.files import InputError, need_place, suggest, write_atomic
from pointlib.formats.base import Format, Pictures
from pointlib.points import check_points, class_names, read_text


def _found():
    """Return {name: Format} of every module beside this one that has a FORMAT."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    formats = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {form.name: form for form in formats}


FORMATS = _found()
LISTS = ("train.txt", "val.txt", "test.txt")


class Conversion(NamedTuple):
    """What `convert` has written; as text, a sentence or two."""

    folder: Path
    n_images: int
    n_labelled: int  # images with points
    n_empty: int  # looked, nothing there
    n_points: int
    classes: tuple
    lost: tuple  # sentences: what the target format cannot carry

    def __str__(self):
        """Return the counts, the images that nobody looked at, and what was lost."""
        n_unlabelled = self.n_images - self.n_labelled - self.n_empty
        counts = (
            f"{self.folder}: {self.n_images} images, {self.n_labelled} with {self.n_points} points "
            f"({', '.join(self.classes)}), {self.n_empty} with nothing there, {n_unlabelled} not "
            "labelled yet."
        )
        return " ".join([counts, *self.lost])


def convert(source, target, *, from_, to="txt", link=False):
    """Make a new dataset folder `target` from another tool's files.

    Parameters
    ----------
    source : str or Path
        The format's file, or the folder that holds it. The images are in `images/` beside it, or
        directly there; lists train.txt, val.txt and test.txt come along.
    target : str or Path
        A folder that does not exist yet; it appears whole or not at all.
    from_, to : str or Format
        A name in FORMATS, or a Format of your own.
    link : bool
        Link to the images instead of copying them.

    Returns
    -------
    Conversion
        Images that `source` does not speak of stay unlabelled.
    """
    source, target = Path(source), Path(target)
    reader, writer = find_format(from_), find_format(to)
    if target.exists():
        raise InputError(f"{target} exists and is not overwritten. Give a new name or remove it.")
    need_place(target, "target")
    pictures = Pictures(source)
    records = _checked(reader.read(source, pictures, reader), pictures)
    classes = class_names([record.labels for record in records])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
        folder = Path(temporary) / "dataset"
        _bring_images(pictures.paths, folder / "images", link)
        writer.write(folder, records, writer)
        _bring_lists(pictures, folder)
        folder.rename(target)
    n_points = [len(record.points) for record in records]
    n_full = sum(n > 0 for n in n_points)
    counts = len(pictures.paths), n_full, len(records) - n_full, sum(n_points)
    return Conversion(target, *counts, classes, _lost(writer, records))


def find_format(name):
    """Return the Format of that name; a Format is returned as it is."""
    if isinstance(name, Format):
        return name
    if name not in FORMATS:
        raise InputError(f"format {name!r} is unknown. {suggest(name, FORMATS)}")
    return FORMATS[name]


def _checked(records, pictures):
    """Return the records as a list, each with its shape, its points inside, no image twice."""
    checked = {}
    for record in records:
        shape, name = pictures.shape(record.image), record.image.name
        if record.shape not in (None, shape):
            raise InputError(
                f"{name} is {shape[1]} x {shape[0]}, but its points were made on "
                f"{record.shape[1]} x {record.shape[0]}. Bring the image they were made on."
            )
        if record.image in checked:
            raise InputError(f"{name} comes twice in the source. Merge the two.")
        points = check_points(record.points, shape=shape, name=f"{name}: points")
        checked[record.image] = record._replace(shape=shape, points=points)
    return list(checked.values())


def _bring_images(paths, folder, link):
    folder.mkdir(parents=True)
    for path in paths:
        if link:
            os.symlink(path.resolve(), folder / path.name)
        else:
            shutil.copyfile(path, folder / path.name)


def _bring_lists(pictures, folder):
    """Copy the lists of images, unless they are some image's points or name an unknown one."""
    names = {path.name for path in pictures.paths}
    stems = {path.stem for path in pictures.paths if path.parent == pictures.home}
    for path in (pictures.home / name for name in LISTS):
        if path.is_file() and path.stem not in stems:
            listed = [line.strip() for line in read_text(path).split("\n") if line.strip()]
            if strange := [name for name in listed if name not in names]:
                raise InputError(f"{path} names {strange[0]!r}, which is not in {pictures.folder}.")
            write_atomic(folder / path.name, "".join(f"{name}\n" for name in listed))


def _lost(writer, records):
    """Return a sentence for each thing in the records that the format cannot carry."""
    lost = []
    if "labels" not in writer.carries and any(any(record.labels) for record in records):
        lost.append(f"Lost: the classes, which {writer.name} cannot carry.")
    n_empty = sum(len(record.points) == 0 for record in records)
    if "empty" not in writer.carries and n_empty:
        lost.append(f"Lost: that {n_empty} images hold nothing, which {writer.name} cannot say.")
    return tuple(lost)
