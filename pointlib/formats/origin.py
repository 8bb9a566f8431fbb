"""`origin`, the text files of the kit's predecessor: one x,y per line, beside each image.

Fractions of width and height from the centre of the first pixel (centre): p / size, half a pixel
off the kit's own text files, which look the same. No classes. An empty file may mean "nothing
there" or "not yet labelled": it is read as not yet labelled, so that a model does not learn that
there is nothing.
"""

import numpy as np

from pointlib.errors import InputError
from pointlib.files import write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.txt import note_strays
from pointlib.points import check_points, label_state, read_text, text_path


def read(_source, pictures, form):
    """Yield a Record for each image whose text file has points."""
    for image in pictures.paths:
        if label_state(image) == "labelled":
            points = form.to_points(_read_pairs(text_path(image)), pictures.shape(image))
            yield Record(image, None, points, np.full(len(points), ""))
    note_strays(pictures)


def write(folder, records, form):
    """Write a text file beside each record's image, without classes."""
    for record in records:
        pairs = form.from_points(record.points, record.shape)
        lines = [f"{x:.10f},{y:.10f}\n" for x, y in pairs]
        write_atomic(text_path(folder / "images" / record.name), "".join(lines))


def _read_pairs(path):
    pairs = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            try:
                x, y = map(float, line.split(","))
                check_points([[x, y]])
            except ValueError as error:
                raise InputError(f"{path}, line {number}: {line!r}; expected x,y.") from error
            pairs.append((x, y))
    return pairs


FORMAT = Format(
    "origin",
    "text files of the kit's predecessor: p / size",
    read,
    write,
    unit="fraction",
    decimals=10,
    carries=frozenset(),
)
