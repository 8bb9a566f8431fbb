"""Conversion: from another tool's files to a new dataset folder, or the other way.

About converting records, images and lists, completely or not at all. Not about which formats there
are (table.py), nor about the contents of a format (one file each, in this folder).
"""

import math
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pointlib.errors import InputError
from pointlib.files import keep_copy, make_temporary, move, need_place, write_atomic
from pointlib.formats.shared.archives import is_archive, unpacked
from pointlib.formats.shared.base import Format, Pictures
from pointlib.formats.shared.outcome import Conversion, draw_check, place, show_example
from pointlib.formats.shared.records import (
    check_records,
    drop_empty,
    find_classes,
    find_losses,
    find_oddities,
    rename_classes,
)
from pointlib.formats.table import find_format, parts_of, recognise, why_unknown
from pointlib.splits import PARTS, find_lists, read_list

OWN = ("txt", "origin")  # datasets, which have images in subfolders too
TABLES = ("csv",)  # formats whose columns a user may name


@dataclass(frozen=True)
class Options:
    """Options of `convert`.

    Attributes
    ----------
    images : folder of the images, if they are not in `images/` beside the source
    classes : {old: new} names; a new name "" drops the points of the class
    convention : "centre" or "corner", to override what the other tool's format declares: that of
        the source, or of the target if the source is the kit's own txt
    box : side, pixels, of the boxes that a box format writes
    columns : {role: name or number} of a table's columns, such as {"image": "Name", "x": "Column",
        "y": "Row"}; roles are image, x, y, label, score, left, top, right, bottom, width, height
    scale : what the file's numbers are multiplied by to give pixels
    pixel_size : size of a pixel in the file's unit, such as micrometres: the same as 1 / scale
    empty_is : "empty" or "unlabelled": what images listed without points are
    flatten : put a folder's name in front of an image's, where names are equal, and keep no folders
    unturned : points were made on images as stored, not as their EXIF orientation says
    link : link to the images instead of copying them
    overwrite : keep an existing target as TARGET.bak; otherwise it is an error
    skip : leave out missing images and points outside their images; otherwise they are errors
    dry_run : write nothing
    picture : draw check.png, the first image with its points
    log : called before writing with each sentence on what was found and what will be lost
    on_image : called with (name, number done, number of all) after each image
    """

    images: Path | None = None
    classes: dict = field(default_factory=dict)
    convention: str | None = None
    box: float | None = None
    columns: dict | None = None
    scale: float | None = None
    pixel_size: float | None = None
    empty_is: str = "empty"
    flatten: bool = False
    unturned: bool = False
    link: bool = False
    overwrite: bool = False
    skip: bool = False
    dry_run: bool = False
    picture: bool = True
    log: Callable | None = None
    on_image: Callable | None = None


def convert(
    source: str | Path,
    target: str | Path,
    *,
    from_: str | Format | None = None,
    to: str | Format = "txt",
    **options: Any,
) -> Conversion:
    """Convert another tool's files to a new dataset folder `target`, or from one format to another.

    Parameters
    ----------
    source : str or Path
        The format's file, or the folder that holds it. The lists train.txt, val.txt and test.txt
        are converted too.
    target : str or Path
        A folder that does not exist yet; it is written completely or not at all.
    from_, to : str or Format
        A name in FORMATS, or your own Format. Without `from_` the format is detected.
    **options
        `images`, the folder of the images, if not `images/` beside the source; `classes`, {old:
        new} names; and others: see `Options` in formats/conversion.py.

    Returns
    -------
    Conversion
        Images that `source` does not mention stay unlabelled.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pointlib import convert, draw_cells, text_path, write_image, write_points
    >>> scene = draw_cells((40, 60), n=5)
    >>> write_image("cells/a.png", scene.image)
    >>> write_points(text_path("cells/a.png"), scene.points, (40, 60))
    >>> result = convert("cells", "cells_coco", to="coco")
    >>> result.n_images, result.n_points, Path("cells_coco/annotations.json").is_file()
    (1, 5, True)
    """
    options = Options(**options)
    source, target = Path(source), Path(target)
    if is_archive(source):
        with unpacked(source, options.images) as (inside, images):
            return _convert(inside, target, from_, to, replace(options, images=images))
    return _convert(source, target, from_, to, options)


def _convert(source, target, from_, to, options):
    """Convert a file or folder, as `convert` does."""
    reader, writer, notes = _choose(source, from_, to, options)
    _check_target(target, options)
    pictures = Pictures(
        source,
        options.images,
        strict=False,
        below=reader.name in OWN,
        flatten=options.flatten,
        unturned=options.unturned,
    )
    _check_place(target, pictures, options)
    records, more = _read(source, pictures, reader, options)
    records, renamed = rename_classes(records, options.classes)
    lists, listed = _find_lists(pictures, records, options.skip)
    notes += [f"Images: {pictures.folder}.", *more, *renamed, *listed]
    notes += [*pictures.all_notes(), *find_oddities(records, reader)]
    result = _count(target, pictures, records, reader, writer)._replace(notes=tuple(notes))
    for sentence in (*result.notes, *result.lost) if options.log else ():
        options.log(sentence)
    if options.dry_run:
        return result
    if kept := _write(target, pictures, records, lists, writer=writer, options=options):
        result = result._replace(notes=(*notes, f"The old {target.name} is kept as {kept}."))
    return result


def _read(source, pictures, reader, options):
    """Return the checked records of a source, and sentences on what was found and left out."""
    records, notes = check_records(
        _records(source, pictures, reader),
        pictures,
        skip=options.skip,
        upright=reader.upright,
        on_image=options.on_image,
    )
    if pictures.guessed:
        own = {record.image for record in records}
        pictures.drop([p for p in pictures.paths if p not in own and not pictures.is_named(p)])
    if not records and not pictures.missing:
        raise InputError(
            f"read as {reader.name}, {source} mentions no image in {pictures.folder}. "
            f"Is it another format? {why_unknown(source, but=reader.name)}"
        )
    pictures.settle_names()
    records = [record._replace(called=pictures.name_of(record.image)) for record in records]
    if options.empty_is == "unlabelled":
        records, dropped = drop_empty(records)
        notes += dropped
    return records, notes


def _records(source, pictures, reader):
    """Yield the records of a source, or of each of its parts."""
    home = pictures.home
    for part in parts_of(source) or [source]:
        pictures.home = home if part == source else part
        yield from reader.read(part, pictures, reader)
    pictures.home = home


def _choose(source, from_, to, options):
    """Return the Formats to read and to write, and sentences on how they were chosen."""
    if options.empty_is not in ("empty", "unlabelled"):
        raise InputError(f"empty_is is {options.empty_is!r}; expected empty or unlabelled.")
    if options.columns and not from_:
        from_ = "csv"
    reader = find_format(from_) if from_ else recognise(source)
    writer = find_format(to)
    notes = [] if from_ else [f"Recognised as {reader.name}."]
    if not from_ and reader.name == "txt":
        notes.append("Files of the kit's predecessor look the same: --from origin reads those.")
    if options.box is not None:
        if not 0 < options.box < math.inf:
            raise InputError(f"box is {options.box}; expected a side above 0 pixels.")
        if writer.box is None:
            raise InputError(
                f"{writer.name} files have no boxes, so box has no meaning: leave it out."
            )
        writer = replace(writer, box=float(options.box))
    reader = _scaled(reader, options)
    if options.convention:
        other = writer if reader.name == "txt" else reader
        if other.name == "txt":
            raise InputError("the kit's own txt counts from the corner: leave out --convention.")
        changed = replace(other, convention=options.convention)
        reader, writer = (changed if form is other else form for form in (reader, writer))
        if changed != other:
            notes.append(f"{other.name}: (0, 0) is {place(changed)}, not {place(other)}.")
    unverified = dict.fromkeys(form.name for form in (reader, writer) if not form.checked)
    notes += [f"{name} is unverified: check before you rely on it." for name in unverified]
    return reader, writer, notes


def _scaled(reader, options):
    """Return the Format with the columns and the scale that the user names, or raise InputError."""
    if options.columns:
        if reader.name not in TABLES:
            raise InputError(
                f"--columns is for tables; {reader.name} files are none: leave it out."
            )
        reader = replace(reader, columns=options.columns)
    given = {"scale": options.scale, "pixel_size": options.pixel_size}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return reader
    if len(given) > 1:
        raise InputError("scale and pixel_size mean the same thing, 1 / each other: give one.")
    ((name, value),) = given.items()
    if not 0 < value < math.inf:
        raise InputError(f"{name} is {value}; expected a number above 0.")
    if reader.unit != "pixels":
        raise InputError(
            f"{reader.name} files hold {reader.unit} numbers, not pixels: leave out {name}."
        )
    return replace(reader, scale=value if name == "scale" else 1 / value)


def _check_target(target, options):
    if target.exists() and not options.overwrite:
        raise InputError(
            f"{target} already exists. Give a new name, or keep the old one as "
            f"{target.name}.bak with --overwrite."
        )
    need_place(target, "target")


def _check_place(target, pictures, options):
    """Raise InputError if links would point into a folder that is about to be moved."""
    inside = target.resolve() in (pictures.folder.resolve(), *pictures.folder.resolve().parents)
    if options.link and inside:
        raise InputError(f"{pictures.folder} is in {target}, which is moved. Leave out --link.")


def _count(target, pictures, records, reader, writer):
    """Return the Conversion of records from one format to another, without notes."""
    n_points = [len(record.points) for record in records]
    n_full = sum(n > 0 for n in n_points)
    classes = find_classes(records, writer)
    counts = Counter(label or "point" for record in records for label in record.labels.tolist())
    return Conversion(
        target,
        len(pictures.paths),
        n_full,
        len(records) - n_full,
        sum(n_points),
        classes,
        tuple(find_losses(records, writer)),
        counts={name: counts[name] for name in classes},
        example=show_example(records, reader),
    )


def _write(target, pictures, records, lists, *, writer, options):
    """Write everything beside `target`, then move it there; return the path of the old copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = make_temporary(target.parent)
    try:
        folder = temporary / "dataset"
        if writer.brings_images:
            _bring_images(pictures, folder / "images", options)
        _check_folders(records, writer)
        writer.write(folder, records, writer)
        for name, names in lists.items():
            write_atomic(folder / f"{name}.txt", "".join(f"{line}\n" for line in names))
        if options.picture:
            draw_check(folder / "check.png", records)
        kept = keep_copy(target)
        move(folder, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return kept


def _check_folders(records, writer):
    """Raise InputError if names have folders, and the format's files lie in one folder."""
    deep = next((record.name for record in records if "/" in record.name), None)
    if deep and not writer.nests:
        raise InputError(
            f"{deep} is in a folder, and {writer.name} files lie in one folder: --flatten puts the "
            "folders' names in front of the images'."
        )


def _bring_images(pictures, folder, options):
    folder.mkdir(parents=True)
    can_link = options.link
    for number, path in enumerate(pictures.paths, start=1):
        place = folder / pictures.name_of(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if can_link:
            can_link = _link(path, place, options)
        if not can_link:
            shutil.copyfile(path, place)
        if options.on_image:
            options.on_image(path.name, number, len(pictures.paths))


def _link(path, target, options):
    """Link to an image; return False if that is not allowed, as on most Windows systems."""
    try:
        os.symlink(path.resolve(), target)
    except OSError as error:
        if options.log:
            options.log(
                f"Links cannot be created here ({error.strerror or error}): images are copied."
            )
        return False
    return True


def _find_lists(pictures, records, skip):
    """Return {"train": [names], ...}, and a sentence if they come from folders' names.

    They are the source's own lists, unless such a file holds an image's points; without lists, and
    if all labelled images are in folders called train, val and test, these folders.
    """
    paths = find_lists(pictures.home, pictures.paths)
    lists = {p: _listed(path, pictures, skip) for p, path in paths.items() if path.is_file()}
    if lists:
        return lists, []
    parts = {record.image: _part(record.image, pictures.folder) for record in records}
    if None in parts.values() or len(set(parts.values())) < 2:
        return {}, []
    for part in PARTS:
        lists[part] = [pictures.name_of(path) for path, own in parts.items() if own == part]
    told = ", ".join(f"{len(names)} in {part}.txt" for part, names in lists.items() if names)
    return {part: names for part, names in lists.items() if names}, [f"Split by folders: {told}."]


def _listed(path, pictures, skip):
    """Return the images' names in a list, or raise InputError if one is missing."""
    found = {name: pictures.lookup(name) for name in read_list(path, may_be_empty=True)}
    strange = [name for name, image in found.items() if image is None]
    if strange and not skip:
        raise InputError(f"{path} names {strange[0]!r}, which is not in {pictures.folder}.")
    return [pictures.name_of(image) for image in found.values() if image is not None]


def _part(path, folder):
    """Return "train", "val" or "test" if a folder above an image has a name starting with it."""
    names = path.relative_to(folder).parts[:-1]
    return next((part for name in names for part in PARTS if name.lower().startswith(part)), None)
