"""`spotiflow`, a table of points for each image, beside it: the files of Spotiflow and of napari.

Pixels, y before x, the centre of the first pixel is (0, 0), as napari counts. Columns are
identified by name, never by order: `y,x`, or `axis-0,axis-1` as napari saves a Points layer
(`napari_builtins.io.write_csv`, with a column `index`); napari-spotiflow's own writer puts `x`
first. A table without rows, or an empty file, means "looked, nothing there"; no table, "not
labelled yet". `probability` is the score; `intensity` and the rest are ignored. A class is in
`class_name`, else in `class`, `label`, `category` or `channel`, as in Spotiflow's
`read_coords_csv`. There classes are numbers from 0, so a number is written, and its name in
`class_name`, which Spotiflow ignores. Further axes (`z`, `t`) must be constant: images are 2D.

A table belongs to the image with its stem (Spotiflow omits `.ome`), beside it, in the source folder
or, if there is none, in `spotiflow_results`. Spotiflow's `from_folder` pairs images and tables by
order, so it needs one for every image.
"""

import csv
import io
import re
from functools import partial

from pointlib.errors import InputError, to_cell
from pointlib.files import write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.columns import RANKS, is_results, plain
from pointlib.formats.shared.companions import find_companions, has_companions
from pointlib.formats.shared.safe import peek, points_table, read_numbers, read_rows
from pointlib.formats.shared.tables import looks_like_image, read_head

PLACES = {"suffixes": (".csv",), "folders": ("spotiflow_results", "points", "csv", "images")}
DELIMITERS = ",;\t"
CLASSES = ("class_name", "class", "label", "category", "channel")
SCORES = ("probability", "score")
# columns of other programs' tables: of the image (not those that may be anything), and ImageJ's
OTHERS = RANKS["image"].keys() - {"name", "path"} | {"scorer", "slice", "area", "positionx"}


def read(source, pictures, form):
    """Yield a Record for each image that has a table."""
    names = partial(_image_names, pictures)
    for image, file in find_companions(source, pictures, names=names, **PLACES):
        values, labels, scores = points_table(list(_rows(file)))
        points = form.to_points(values, pictures.shape(image))
        yield Record(image, None, points, labels, scores)


def write(folder, records, form):
    """Write a table beside each record's image, with classes and scores if there are any."""
    classes = sorted({label for record in records for label in record.labels.tolist()} - {""})
    numbers = {name: number for number, name in enumerate(classes)}
    if set(classes) == {str(number) for number in numbers.values()}:
        numbers = {name: int(name) for name in classes}
    named = any(name != str(number) for name, number in numbers.items())
    for record in records:
        scored = record.scores is not None
        head = ["y", "x", *(["probability"] * scored)]
        head += [*(["class"] * bool(classes)), *(["class_name"] * named)]
        columns = [*form.from_points(record.points, record.shape).T]
        columns += [record.scores] * scored
        rows = [
            [f"{value:.6f}" for value in values]
            + [numbers.get(label)] * bool(classes)
            + [to_cell(label)] * named
            for *values, label in zip(*columns, record.labels.tolist(), strict=True)
        ]
        csv.writer(text := io.StringIO(), lineterminator="\n").writerows([head, *rows])
        write_atomic((folder / "images" / record.name).with_suffix(".csv"), text.getvalue())


def looks(source):
    """Return whether there are tables of y and x, without an image column, beside images."""
    return has_companions(source, is_own=lambda file, _alone: _is_table(file), **PLACES)


def _image_names(pictures, file, _alone):
    """Return possible names of a table's image; [] if it is not a table of points."""
    names = [file.stem, f"{file.stem}.ome"]
    if any(map(pictures.has, names)):
        return [] if _is_foreign(file) else names
    if not _is_table(file):
        return []
    if begun := pictures.begun(file.stem):
        return [begun]
    only = pictures.only()  # napari calls its tables Points.csv
    is_taken = only is None or (file.parent / f"{only.stem}.csv").exists()
    return names if is_taken else [*names, only.name]


def _is_table(file):
    names = set(_header(file))
    has_both = bool(names & {"y", "axis-0"}) and bool(names & {"x", "axis-1"})
    return has_both and not _is_foreign(file)


def _is_foreign(file):
    """Return whether a table has columns of other programs."""
    if set(map(plain, _header(file))) & OTHERS:
        return True
    table = read_head(file)
    if table is None or not table.rows:
        return False
    return is_results(table) or any(map(looks_like_image, table.rows[0][1]))


def _header(file):
    """Return the names of a table's columns, lower case; [] if it has none."""
    line = peek(file).strip().partition("\n")[0].lower()
    return [name.strip().strip('"') for name in re.split(f"[{DELIMITERS}]", line)] if line else []


def _rows(file):
    """Yield (y, x, label, score) from a table; "" and None if not given."""
    names = _header(file)
    if "shape-type" in names:
        raise InputError(f"{file} is a Shapes layer of napari. Save a Points layer.")
    axes = sorted((name for name in names if re.fullmatch(r"axis-\d{1,2}", name)), key=_number)
    axes = axes if len(axes) > 1 else [name for name in ("t", "z") if name in names] + ["y", "x"]
    label = next((name for name in CLASSES if name in names), None)
    score = next((name for name in SCORES if name in names), None)
    first = None
    for where, row in read_rows(file, axes, delimiters=DELIMITERS) if names else ():
        *plane, y, x = read_numbers([row[name] for name in axes], where, axes)
        first = plane if first is None else first
        if plane != first:
            raise InputError(
                f"{where}: {', '.join(axes[:-2])} is {plane}, but {first} before. Images are 2D "
                "here: keep the points of one plane."
            )
        value = row[score] if score else ""
        value = read_numbers([value], where, [score])[0] if value else None
        yield y, x, _plain(row[label]) if label else "", value


def _number(name):
    return int(name.removeprefix("axis-"))


def _plain(label):
    """Return a class unchanged, except integers that pandas or napari wrote as 1.0."""
    whole = label.removesuffix(".0")
    return whole if whole.isdecimal() else label


FORMAT = Format(
    "spotiflow",
    "Spotiflow's and napari's tables y,x, one beside each image",
    read,
    write,
    looks,
    axes="yx",
    decimals=6,
    carries=frozenset({"labels", "empty", "scores"}),
    checked="napari",
    forbids="\r\n",
)
