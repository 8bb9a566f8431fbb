"""`csv`, one table for all images: points.csv with columns image,x,y and optional label, score.

Pixels, the centre of the first pixel is (0, 0). Columns are identified by name, in any order, with
the synonyms in SYNONYMS; others are ignored. They are separated by commas, semicolons or tabs;
numbers have a decimal point. A table images.csv beside it, with the column image and optional
width,height, lists the annotated images: one without points is empty. Without that table an image
without points is not labelled yet. The kit's predictions are such tables; there counts.csv is the
list, except for images whose status is not "ok".

DeepLabCut's tables (user guide, "CollectedData_NAME.csv"; pandas columns of scorer, individuals,
bodyparts, coords) are read too: one class per body part; blanks are not labelled. Its labelling
tools, napari and formerly matplotlib, count from the centre of the first pixel.
"""

import csv
import io
from itertools import pairwise

import numpy as np

from pointlib.errors import InputError, to_cell
from pointlib.files import need_file, write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.safe import peek, points_table, read_cells, read_numbers, read_rows

DELIMITERS = ",;\t"
SYNONYMS = (
    dict.fromkeys(("filename", "file", "file_name", "image_name", "img", "image_path"), "image")
    | dict.fromkeys(("class", "class_name", "category", "species"), "label")
    | dict.fromkeys(("confidence", "probability", "likelihood"), "score")
)
LISTS = ("images.csv", "counts.csv")  # of annotated images; the first one counts


def read(source, pictures, form):
    """Yield a Record for each image in the list or in points.csv, by name."""
    table = pictures.home / "points.csv" if source.is_dir() else source
    need_file(table, "table of points")
    found = {}
    wide = peek(table)[:7] == "scorer,"
    for where, row in _read_wide(table) if wide else _read_tall(table):
        x, y = read_numbers((row["x"], row["y"]), where, ("x", "y"))
        score = row.get("score") or None
        score = score and read_numbers([score], where, ["score"])[0]
        image = pictures.find(row["image"], where)
        found.setdefault(image, []).append((x, y, row.get("label"), score))
    shapes = dict.fromkeys(found) | _listed(table.parent, pictures)
    for image in sorted(shapes):
        values, labels, scores = points_table(found.get(image, []))
        points = form.to_points(values, shapes[image] or pictures.shape(image))
        yield Record(image, shapes[image], points, labels, scores)


def write(folder, records, form):
    """Write points.csv, with labels and scores if there are any, and images.csv."""
    named = any(label for record in records for label in record.labels)
    scored = any(record.scores is not None for record in records)
    points = [["image", "x", "y", *(["label"] * named), *(["score"] * scored)]]
    images = [["image", "width", "height", "n_points"]]
    for record in records:
        name = to_cell(record.image.name)
        images.append([name, record.shape[1], record.shape[0], len(record.points)])
        values = form.from_points(record.points, record.shape)
        scores = [""] * len(values) if record.scores is None else map(_number, record.scores)
        for pair, label, score in zip(values, record.labels, scores, strict=True):
            extras = [*([to_cell(label)] * named), *([score] * scored)]
            points.append([name, *map(_number, pair), *extras])
    for file, rows in (("points.csv", points), ("images.csv", images)):
        csv.writer(text := io.StringIO(), lineterminator="\n").writerows(rows)
        write_atomic(folder / file, text.getvalue())


def looks(source):
    """Return whether a folder has points.csv, or a table's first line names image, x and y."""
    if source.is_dir():
        return (source / "points.csv").is_file() and looks(source / "points.csv")
    first = peek(source).partition("\n")[0].lower()
    delimiter = max(DELIMITERS, key=first.count)
    names = [name.strip().strip('"') for name in first.split(delimiter)]
    columns = {SYNONYMS.get(name, name) for name in names}
    if source.name == "points.csv" and "axis-0" not in columns:  # which napari's tables have
        return True
    return names[0] == "scorer" or columns >= {"image", "x", "y"}


def _read_tall(table):
    """Yield ("file, line n", {column: text}) of a table with one point per line."""
    return read_rows(table, ("image", "x", "y"), delimiters=DELIMITERS, synonyms=SYNONYMS)


def _read_wide(table):
    """Yield the same from a table with one image per line, as DeepLabCut and pandas write it."""
    heads = {}
    for where, fields in read_cells(table):
        if heads and len(fields) != len(heads["scorer"]):
            raise InputError(
                f"{where} has {len(fields)} fields, unlike the first. Export it again."
            )
        if "coords" not in heads:
            heads[fields[0]] = fields
            continue
        coords, parts = heads["coords"], heads.get("bodyparts")
        starts = [i for i, name in enumerate(coords) if name == "x"]
        if not starts or not parts:
            break
        for start, end in pairwise([*starts, len(coords)]):
            row = dict(zip(coords[start:end], fields[start:end], strict=True))
            if row["x"] or row.get("y"):
                row |= {"image": "/".join(fields[: starts[0]]), "label": parts[start]}
                yield where, {"y": "", "score": row.get("likelihood")} | row
    if not {"scorer", "bodyparts", "coords"} <= heads.keys() or "x" not in heads["coords"]:
        raise InputError(
            f"{table} begins like a table of DeepLabCut, but lacks its lines bodyparts and coords "
            "with x and y. Export it again, or start the table with image,x,y."
        )


def _listed(folder, pictures):
    """Return {image: (H, W) or None} of the list in a folder, empty if there is none."""
    paths = [folder / name for name in LISTS if (folder / name).is_file()]
    listed = {}
    for where, row in read_rows(paths[0], ("image",), delimiters=DELIMITERS) if paths else ():
        if row.get("status", "ok") == "ok":
            sized = row.get("width"), row.get("height")
            size = read_numbers(sized, where, ("width", "height")) if all(sized) else None
            listed[pictures.find(row["image"], where)] = size and (int(size[1]), int(size[0]))
    return listed


def _number(value):
    return np.format_float_positional(value, precision=6, trim="-")


FORMAT = Format(
    "csv",
    "points.csv with image,x,y[,label][,score], images.csv beside it",
    read,
    write,
    looks,
    decimals=6,
    carries=frozenset({"labels", "empty", "scores"}),
    checked="pandas",
)
