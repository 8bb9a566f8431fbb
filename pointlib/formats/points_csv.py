"""`csv`, one table for all images: points.csv with the columns image,x,y and, if any, label.

Pixels, the middle of the first pixel is (0, 0). The columns are known by their names; others are
passed over, so that the kit's predictions (image,x,y,label,score) can be read. A table images.csv
beside it, with the columns image and, if it likes, width,height, lists the images that were looked
at: one that has no points holds nothing. Without it an image without points is not labelled yet.
"""

import csv
import io

import numpy as np

from pointlib.files import InputError, need_file, write_atomic
from pointlib.formats.base import Format, Record
from pointlib.points import read_text


def read(source, pictures, to_points):
    """Yield a Record of each image in images.csv or points.csv, in the order of their names."""
    table = pictures.home / "points.csv" if source.is_dir() else source
    need_file(table, "table of points")
    found = {}
    for where, row in _rows(table, ("image", "x", "y")):
        values = _numbers(row, ("x", "y"), where)
        found.setdefault(pictures.find(row["image"], where), []).append((values, row.get("label")))
    shapes = dict.fromkeys(found) | _listed(table.with_name("images.csv"), pictures)
    for image in sorted(shapes):
        rows = found.get(image, [])
        shape = shapes[image] or pictures.shape(image)
        points = to_points([values for values, _ in rows], shape)
        labels = np.array([label or "" for _, label in rows], dtype=str)
        yield Record(image, shapes[image], points, labels)


def write(folder, records, from_points):
    """Write points.csv, with labels where there are any, and images.csv."""
    named = any(label for record in records for label in record.labels)
    points = [["image", "x", "y", "label"][: 4 if named else 3]]
    images = [["image", "width", "height", "n_points"]]
    for record in records:
        name = record.image.name
        images.append([name, record.shape[1], record.shape[0], len(record.points)])
        values = from_points(record.points, record.shape)
        for pair, label in zip(values, record.labels, strict=True):
            numbers = [np.format_float_positional(v, precision=6, trim="-") for v in pair]
            points.append([name, *numbers, *([label] if named else [])])
    for file, rows in (("points.csv", points), ("images.csv", images)):
        csv.writer(text := io.StringIO(), lineterminator="\n").writerows(rows)
        write_atomic(folder / file, text.getvalue())


def _rows(path, columns):
    """Yield ("file, line n", row by column name) of a table that has the columns."""
    reader = csv.DictReader(io.StringIO(read_text(path)), skipinitialspace=True)
    try:
        yield from _named(reader, path, columns)
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: {error}. A quotation mark may be open."
        ) from error


def _named(reader, path, columns):
    names = [name.strip().lower() for name in reader.fieldnames or []]
    if missing := [name for name in columns if name not in names]:
        raise InputError(
            f"{path} has no column {', '.join(missing)} among {', '.join(names) or 'none'}. Its "
            f"first line must name {', '.join(columns)}, with commas between."
        )
    reader.fieldnames = names
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if None in row or None in row.values():
            raise InputError(f"{where} has not {len(names)} fields: {', '.join(names)}.")
        yield where, {name: field.strip() for name, field in row.items()}


def _numbers(row, columns, where):
    try:
        values = [float(row[name]) for name in columns]
    except ValueError as error:
        raise InputError(f"{where}: {error}; expected numbers {', '.join(columns)}.") from error
    if not np.isfinite(values).all():
        raise InputError(f"{where}: {values}; expected finite numbers {', '.join(columns)}.")
    return values


def _listed(path, pictures):
    """Return {image: (H, W) or None} of images.csv, empty where there is no such table."""
    listed = {}
    for where, row in _rows(path, ("image",)) if path.exists() else ():
        sized = row.get("width") and row.get("height")
        width, height = _numbers(row, ("width", "height"), where) if sized else (0, 0)
        listed[pictures.find(row["image"], where)] = (int(height), int(width)) if sized else None
    return listed


FORMAT = Format("csv", "points.csv with image,x,y[,label], images.csv beside it", read, write)
