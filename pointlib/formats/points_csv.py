"""`csv`, one table for all images: points.csv with the columns image,x,y and, if any, label.

Pixels, the middle of the first pixel is (0, 0). The columns are known by their names; others are
passed over, so that the kit's predictions (image,x,y,label,score) can be read. A table images.csv
beside it, with the columns image and, if it likes, width,height, lists the images that were looked
at: one that has no points holds nothing. Without it an image without points is not labelled yet.
"""

import csv
import io

import numpy as np

from pointlib.files import need_file, write_atomic
from pointlib.formats.base import Format, Record
from pointlib.formats.safe import read_numbers, read_rows


def read(source, pictures, form):
    """Yield a Record of each image in images.csv or points.csv, in the order of their names."""
    table = pictures.home / "points.csv" if source.is_dir() else source
    need_file(table, "table of points")
    found = {}
    for where, row in read_rows(table, ("image", "x", "y")):
        values = read_numbers((row["x"], row["y"]), where, ("x", "y"))
        found.setdefault(pictures.find(row["image"], where), []).append((values, row.get("label")))
    shapes = dict.fromkeys(found) | _listed(table.with_name("images.csv"), pictures)
    for image in sorted(shapes):
        rows = found.get(image, [])
        shape = shapes[image] or pictures.shape(image)
        points = form.to_points([values for values, _ in rows], shape)
        labels = np.array([label or "" for _, label in rows], dtype=str)
        yield Record(image, shapes[image], points, labels)


def write(folder, records, form):
    """Write points.csv, with labels where there are any, and images.csv."""
    named = any(label for record in records for label in record.labels)
    points = [["image", "x", "y", "label"][: 4 if named else 3]]
    images = [["image", "width", "height", "n_points"]]
    for record in records:
        name = record.image.name
        images.append([name, record.shape[1], record.shape[0], len(record.points)])
        values = form.from_points(record.points, record.shape)
        for pair, label in zip(values, record.labels, strict=True):
            numbers = [np.format_float_positional(v, precision=6, trim="-") for v in pair]
            points.append([name, *numbers, *([label] if named else [])])
    for file, rows in (("points.csv", points), ("images.csv", images)):
        csv.writer(text := io.StringIO(), lineterminator="\n").writerows(rows)
        write_atomic(folder / file, text.getvalue())


def _listed(path, pictures):
    """Return {image: (H, W) or None} of images.csv, empty where there is no such table."""
    listed = {}
    for where, row in read_rows(path, ("image",)) if path.exists() else ():
        sized = row.get("width"), row.get("height")
        width, height = read_numbers(sized, where, ("width", "height")) if all(sized) else (0, 0)
        listed[pictures.find(row["image"], where)] = (
            (int(height), int(width)) if all(sized) else None
        )
    return listed


FORMAT = Format("csv", "points.csv with image,x,y[,label], images.csv beside it", read, write)
