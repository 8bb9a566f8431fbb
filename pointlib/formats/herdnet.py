"""`herdnet`, one table for all images: images,x,y,labels, as HerdNet (`animaloc`) reads it.

Pixels, the centre of the first pixel is (0, 0): HerdNet's own detections are rows and columns of
its map. It requires integers from 0 (`data/types.py`), so those are written. Boxes, with
images,x_min,y_min,x_max,y_max,labels, are measured from the pixels' edges and become their centres.

A label is a number from 1; 0 is HerdNet's background, not an object, and refused. Its name, if any,
is in the column `species`, as `tools/infer.py` writes it; HerdNet keeps other columns. Points
without a class are written as 1, `point`. A score is in `scores` (of the class, by which HerdNet
ranks), else in `dscores` (of the position). An image without a line is not labelled yet; one whose
line has no x and y, as in HerdNet's detections, is empty. HerdNet does not read such lines, so they
are not written.
"""

import csv
import io
import re
from dataclasses import replace

import numpy as np

from pointlib.errors import InputError, to_cell
from pointlib.files import need_file, write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.safe import peek, points_table, read_numbers, read_rows

DELIMITERS = ",;\t"
EDGES = ["x_min", "y_min", "x_max", "y_max"]
SCORES = ("scores", "dscores")
TABLE = "gt.csv"  # the name that HerdNet's patcher uses
MOST_TABLES = 100  # opened, to find the one


def read(source, pictures, form):
    """Yield a Record for each image in the table, by name."""
    table = _one_table(source) if source.is_dir() else need_file(source, "table of points")
    boxes = not {"x", "y"} <= set(_header(table))
    found = {}
    for where, row in read_rows(table, ["images", *(EDGES if boxes else "xy")],
                                delimiters=DELIMITERS):  # fmt: skip
        points = found.setdefault(pictures.find(row["images"], where), [])
        points += [_point(row, where, EDGES if boxes else ["x", "y"])]
    form = replace(form, convention="corner") if boxes else form
    for image in sorted(found):
        values, labels, scores = points_table([point for point in found[image] if point])
        yield Record(image, None, form.to_points(values, pictures.shape(image)), labels, scores)


def write(folder, records, form):
    """Write gt.csv, with class names and scores if there are any."""
    classes = sorted({label or "point" for record in records for label in record.labels.tolist()})
    named = not all(re.fullmatch("[1-9][0-9]*", name) for name in classes)
    numbers = {name: i + 1 if named else name for i, name in enumerate(classes)}
    scored = any(record.scores is not None for record in records)
    rows = [["images", "x", "y", "labels", *(["species"] * named), *(["scores"] * scored)]]
    for record in records:
        values = np.rint(form.from_points(record.points, record.shape))
        values = values.clip(0, np.array(record.shape[::-1]) - 1).astype(int).tolist()
        scores = [""] * len(values) if record.scores is None else record.scores.tolist()
        for pair, label, score in zip(values, record.labels.tolist(), scores, strict=True):
            name = label or "point"
            row = [to_cell(record.name), *pair, numbers[name], *([to_cell(name)] * named)]
            rows.append([*row, *([f"{score:.6f}" if score != "" else ""] * scored)])
    csv.writer(text := io.StringIO(), lineterminator="\n").writerows(rows)
    write_atomic(folder / TABLE, text.getvalue())


def looks(source):
    """Return whether a table's first line, or that of one table in a folder, is HerdNet's."""
    try:
        return bool(_tables(source)) if source.is_dir() else _is_table(source)
    except OSError:
        return False


def _one_table(folder):
    """Return the one table of points in a folder, or raise InputError."""
    tables = _tables(folder)
    if len(tables) == 1:
        return tables[0]
    what = ", ".join(path.name for path in tables) or "no table images,x,y,labels"
    raise InputError(f"{folder} has {what}; expected one. Name the file.")


def _tables(folder):
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv")
    return [path for path in paths[:MOST_TABLES] if path.is_file() and _is_table(path)]


def _is_table(path):
    names = set(_header(path))
    return "images" in names and ({"x", "y"} <= names or set(EDGES) <= names)


def _header(path):
    line = peek(path).partition("\n")[0].lower()
    sign = max(DELIMITERS, key=line.count)
    return [name.strip().strip('"') for name in line.split(sign)]


def _point(row, where, columns):
    """Return (x, y, label, score) of a line; None if it marks an empty image."""
    texts = [row[name] for name in columns]
    if not any(texts):
        return None
    numbers = read_numbers(texts, where, columns)
    if len(numbers) == 4:
        if numbers[0] > numbers[2] or numbers[1] > numbers[3]:
            raise InputError(f"{where}: box {numbers}; expected x_min, y_min, x_max, y_max.")
        numbers = [sum(numbers[0::2]) / 2, sum(numbers[1::2]) / 2]
    score = next((row[name] for name in SCORES if row.get(name)), None)
    score = score and read_numbers([score], where, ["scores"])[0]
    return *numbers, row.get("species") or _class(row.get("labels", ""), where), score


def _class(label, where):
    """Return a label as text (pandas' 1.0 as 1); InputError if it is background."""
    whole = label.removesuffix(".0")
    if set(whole) == {"0"}:
        raise InputError(
            f"{where}: labels is 0, which is HerdNet's background, not an object. Number "
            "classes from 1, or remove the line."
        )
    return whole if whole.isdecimal() else label


FORMAT = Format(
    "herdnet",
    "HerdNet's table images,x,y,labels, or of boxes",
    read,
    write,
    looks,
    decimals=0,
    carries=frozenset({"labels", "scores"}),
    forbids="\r\n",
)
