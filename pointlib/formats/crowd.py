"""`crowd`, the files of crowd counting: NWPU's JSON, and texts with one `x y` per line.

Pixels, x before y, from the centre of the first pixel (P2PNet, DM-Count and FIDTM take them as
indices). A text has two numbers per line, separated by a space, a tab or a comma; JHU-CROWD's have
six, of which the first two are the head's centre. NWPU's JSON has `points`; its `boxes` are left
out. A file without points means "looked, nothing there", no file "not labelled yet". There are no
classes.

A file belongs to the image with its stem, beside it or in a folder gt, jsons, labels or the like.
Texts of fractions are the kit's (`txt`), of five numbers YOLO's, of eight VisDrone's.
"""

import re

import numpy as np

from pointlib.errors import InputError
from pointlib.files import write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.companions import find_companions, has_companions
from pointlib.formats.shared.jsons import read_table
from pointlib.formats.shared.safe import load_json, need, peek, read_numbers
from pointlib.points import read_text

PLACES = {
    "suffixes": (".txt", ".json"),
    "folders": (
        "jsons", "json", "gt", "ground_truth", "ground-truth", "points", "labels", "annotations"
    ),
}  # fmt: skip
WIDTHS = (2, 6)  # numbers per line
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_SPLIT = re.compile(r"[\s,;]+")
_LINE = re.compile(rf"\s*{_NUMBER}(?:[\s,;]+{_NUMBER})+[\s,;]*", re.ASCII)
MOST_LINES = 50  # looked at, to recognise a text


def read(source, pictures, form):
    """Yield a Record for each image that has a file."""
    for image, file in find_companions(source, pictures, names=_image_names, **PLACES):
        is_json = file.suffix.lower() == ".json"
        values = _read_json(file) if is_json else _read_lines(file)
        points = form.to_points(values, pictures.shape(image))
        yield Record(image, None, points, np.full(len(points), ""))


def write(folder, records, form):
    """Write a text beside each record's image."""
    for record in records:
        values = form.from_points(record.points, record.shape)
        lines = [f"{x:.{form.decimals}f} {y:.{form.decimals}f}\n" for x, y in values]
        write_atomic(folder / "images" / f"{record.stem}.txt", "".join(lines))


def looks(source):
    """Return whether there are such files for the images of a folder."""
    return has_companions(source, is_own=lambda file, _alone: _is_own(file), **PLACES)


def _is_own(file, *, by_name=False):
    """Return whether a file is such; `by_name`: it is called as an image, so fractions may be."""
    head = peek(file)
    if file.suffix.lower() == ".json":
        return '"points"' in head and ('"human_num"' in head or '"img_id"' in head)
    lines = [line for line in head.split("\n")[:-1][:MOST_LINES] or [head] if line.strip()]
    if not lines or not all(map(_LINE.fullmatch, lines)):
        return False
    rows = [_SPLIT.split(line.strip(" \t\r,;")) for line in lines]
    widths = {len(row) for row in rows}
    if len(widths) != 1 or not widths <= set(WIDTHS):
        return False
    is_large = max(float(value) for row in rows for value in row[:2]) > 1
    return is_large or by_name  # fractions are the kit's


def _image_names(file, _alone):
    """Return possible names of a file's image; [] if it is not such a file."""
    is_json = file.suffix.lower() == ".json"
    is_empty = not is_json and not peek(file).strip()
    if not is_empty and not _is_own(file, by_name=True):
        return []
    return [file.stem, file.stem.removeprefix("GT_"), file.stem.removesuffix("_ann")]


def _read_json(file):
    points = need(load_json(file), "points", list, file)
    return read_table(points, file, least=0)


def _read_lines(file):
    rows = []
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if line.strip():
            cells = _SPLIT.split(line.strip(" \t\r,;"))
            where = f"{file}, line {number}"
            if len(cells) not in WIDTHS:
                raise InputError(
                    f"{where} has {len(cells)} numbers; expected x y, in pixels, or JHU's six."
                )
            rows.append(read_numbers(cells[:2], where, ("x", "y")))
    return np.reshape(rows, (-1, 2))


FORMAT = Format(
    "crowd",
    "crowd sets: NWPU's JSON, texts of `x y` in pixels",
    read,
    write,
    looks,
    decimals=6,
    carries=frozenset({"empty"}),
)
