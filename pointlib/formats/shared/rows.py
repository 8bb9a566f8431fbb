"""The rows of a table as marks on images: which image, where, which class.

About one table whose columns are known (columns.py). Not about which tables there are.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pointlib.errors import InputError
from pointlib.formats.shared.base import Format
from pointlib.formats.shared.parts import box_centre
from pointlib.formats.shared.safe import points_table, read_numbers
from pointlib.formats.shared.tables import is_blank, is_number, to_number
from pointlib.formats.shared.units import in_corner, is_length, need_pixels

MOST_HEADS = 4  # lines of names and units below a table's first line
FEW = 20  # points that may well have a class each


class Marks(NamedTuple):
    """What one table says.

    Attributes
    ----------
    form : Format
        How its numbers are to be read.
    rows : dict
        ``{image: [(x, y, label, score), ...]}``; no row: looked, nothing there.
    notes : list of str
    """

    form: Format
    rows: dict
    notes: list

    def points(self, image, shape):
        """Return points (N, 2), labels (N,) and scores (N,) or None of an image."""
        values, labels, scores = points_table(self.rows[image])
        return self.form.to_points(values, shape), labels, scores


def read_marks(table, columns, pictures, form, *, fractions=True):
    """Return the Marks of a Table with these Columns.

    Parameters
    ----------
    fractions : bool
        Whether numbers from 0 to 1 are fractions of the image.
    """
    unit, rows = _below_units(table, columns)
    form = form if columns.kind == "points" else replace(form, convention="corner")
    notes = [*table.notes, *columns.notes]
    columns = _by_frames(table, columns, pictures)
    default = None if "image" in columns.of else image_of(table.path, pictures, notes)
    found, frames, known = {}, {}, {}
    for line, cells in rows:
        where = table.where(line)
        _check_width(table, cells, columns, where)
        name = "" if default else _cell(cells, columns.of["image"])
        image = known.get(name) or default or _image(name, pictures, where, notes)
        known[name] = image
        marks = found.setdefault(image, [])
        if (mark := _mark(cells, columns, where)) is not None:
            marks.append(mark)
            _check_frame(cells, columns, frames.setdefault(image, set()), where)
    marks = Marks(form, _without_names(found, notes), notes)
    if table.header is None and columns.kind == "points":
        marks = _ordered(table, columns, marks, pictures)
    if columns.unit == "%":
        return marks._replace(form=replace(form, unit="percent", convention="corner"))
    if fractions and _are_fractions(marks):
        notes.append(
            f"{table.path}: all numbers lie from 0 to 1 and are taken as fractions of the images' "
            "width and height. If they are pixels: --scale 1."
        )
        return marks._replace(form=replace(form, unit="fraction", convention="corner"))
    _check_unit(table, marks, pictures, said=columns.unit, below=unit)
    return marks


def _by_frames(table, columns, pictures):
    """Return Columns whose frames name the images, if only those can: by their numbers."""
    index = columns.of.get("frame")
    is_one = pictures.only() is not None or pictures.has(table.path.stem)
    if "image" in columns.of or index is None or is_one:
        return columns
    numbers = {cells[index].removesuffix(".0") for _, cells in table.rows if index < len(cells)}
    if not all(n.isdecimal() and pictures.numbered(int(n)) for n in numbers):
        return columns
    of = {role: at for role, at in columns.of.items() if role != "frame"}
    return columns._replace(of={**of, "image": index})


def image_of(file, pictures, notes):
    """Return the image that a file without an image's name belongs to; InputError if unclear.

    It is the image with its stem; else the one whose stem its own begins with; else the only one.
    """
    stem, near = file.stem, file.parent
    if pictures.has(stem):
        return pictures.find(stem, file, near=near)
    if begun := pictures.begun(stem):
        return pictures.find(begun, file, near=near)
    image = pictures.only()
    if image is None:
        raise InputError(
            f"{file} names no images, and is not called as one of them "
            f"({', '.join(path.name for path in pictures.paths[:3])}, ...). Call the file as its "
            "image, or, in a table, name the column of images: --columns image=NAME."
        )
    notes.append(f"{file.name} is taken for {image.name}, the only image.")
    return pictures.find(image.name, file)


def _check_width(table, cells, columns, where):
    """Raise InputError for a row with more cells than columns, or too few for its numbers."""
    names = table.header or cells
    lacks = max(columns.of[role] for role in columns.places) >= len(cells)
    if any(cells[len(names) :]) or (lacks and any(map(is_number, cells))):
        raise InputError(
            f"{where} does not have {len(names)} fields: {', '.join(names)[:200]}. A comma in a "
            "name or number may be the reason."
        )


def _cell(cells, index):
    return cells[index] if index is not None and index < len(cells) else ""


def _image(name, pictures, where, notes):
    """Return the image that a row names, by its name or, if that is a number, by its number."""
    if is_blank(name):
        raise InputError(f"{where} names no image. Fill the cell, or remove the line.")
    if not pictures.has(name) and name.removesuffix(".0").isdecimal():
        numbered = pictures.numbered(int(name.removesuffix(".0")))
        if numbered is not None:
            note = f"Images are named by numbers: {name} is taken for {numbered.name}"
            if not any(text.startswith("Images are named by numbers") for text in notes):
                notes.append(f"{note}, and so on.")
            return numbered
    return pictures.find(name, where)


def _mark(cells, columns, where):
    """Return (x, y, label, score) of a row; None if it says that there is nothing."""
    texts = [_cell(cells, columns.of[role]) for role in columns.places]
    if all(map(is_blank, texts)):
        return None
    numbers = [
        to_number(text, where, role) for text, role in zip(texts, columns.places, strict=True)
    ]
    if columns.kind != "points":
        if not any(numbers):  # DeepForest's way to say that an image has nothing
            return None
        if columns.kind == "spans":
            numbers[2] += numbers[0]
            numbers[3] += numbers[1]
        numbers = box_centre(numbers, where)
    label = _cell(cells, columns.of.get("label"))
    score = _cell(cells, columns.of.get("score"))
    score = (
        None if is_blank(score) else read_numbers([score.replace(",", ".")], where, ["score"])[0]
    )
    return *numbers, "" if label.lower() == "nan" else label, score


def _check_frame(cells, columns, seen, where):
    """Raise InputError if an image has points in several frames or planes."""
    index = columns.of.get("frame")
    if index is None or index >= len(cells) or is_blank(cells[index]):
        return
    seen.add(cells[index])
    if len(seen) > 1:
        first, second = sorted(seen)[:2]
        raise InputError(
            f"{where}: the image has points of frames or planes {first} and {second}. Images are "
            "2D here: keep the points of one, or name an image for each row. If the column means "
            "something else, name the others: --columns image=...,x=...,y=..."
        )


def _ordered(table, columns, marks, pictures):
    """Return Marks of columns without names, y first if only so all points are in their images."""
    first, second = columns.of["x"] + 1, columns.of["y"] + 1
    swapped = {i: [(y, x, *rest) for x, y, *rest in rows] for i, rows in marks.rows.items()}
    swapped = marks._replace(rows=swapped)
    marks.notes.append(f"{table.path}: the columns {first} and {second} are read as x, y.")
    if _fits(marks, pictures) or not _fits(swapped, pictures):
        marks.notes[-1] += f" If y comes first: --columns x={second},y={first}."
        return marks
    marks.notes[-1] = (
        f"{table.path}: the columns {first} and {second} are read as y, x: the other way round "
        "points would be outside their images."
    )
    return swapped


def _fits(marks, pictures):
    """Return whether all points are in their images."""
    for image in marks.rows:
        shape = pictures.shape(image)
        points, _, _ = marks.points(image, shape)
        if not pictures.is_missing(image) and (points > (shape[1] - 0.5, shape[0] - 0.5)).any():
            return False
    return True


def _below_units(table, columns):
    """Return the unit in the lines of names and units below the first, and the other rows."""
    unit, rows = "", table.rows
    index = columns.of[columns.places[0]]
    for _ in range(MOST_HEADS):
        cells = rows[0][1] if rows else []
        text = cells[index] if index < len(cells) else ""
        if is_blank(text) or any(map(is_number, cells)):
            break
        unit = text.strip("()[] ")
        rows = rows[1:]
    return unit, rows


def _without_names(found, notes):
    """Return rows without labels that are a name for each point, rather than a class."""
    labels = [label for rows in found.values() for *_, label, _ in rows]
    if len(labels) < FEW or len(set(labels)) < len(labels):
        return found
    notes.append(f"Each of the {len(labels)} points has a label of its own: not taken as classes.")
    return {image: [(x, y, "", s) for x, y, _, s in rows] for image, rows in found.items()}


def _are_fractions(marks):
    """Return whether all numbers lie from 0 to 1, and not all are whole; never with a scale."""
    values = np.array([row[:2] for rows in marks.rows.values() for row in rows])
    if not values.size or marks.form.scale is not None or marks.form.unit != "pixels":
        return False
    return bool((values >= 0).all() and (values <= 1).all() and (values % 1 > 0).any())


def _check_unit(table, marks, pictures, *, said, below):
    """Raise InputError if coordinates are in a unit of length and no pixel size is given."""
    if marks.form.scale is not None:
        return
    if said:
        need_pixels(table.path, said)
    if not is_length(below):
        return
    shapes = {image: pictures.shape(image) for image in marks.rows}
    parts = [(marks.points(image, shape)[0], shape) for image, shape in shapes.items()]
    outside = any((p > (shape[1], shape[0])).any() for p, shape in parts)
    if outside or in_corner(parts):
        need_pixels(table.path, below)
    marks.notes.append(
        f"{table.path}: positions are in {below} and taken as pixels. If a pixel has another size: "
        "--pixel-size."
    )
