"""The result of a conversion: counts, sentences, an example, and a picture to check."""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pointlib.errors import InputError
from pointlib.files import write_atomic
from pointlib.images import read_image

EXAMPLES = 3  # points
NAMES = 20  # classes in a sentence
SIDE, DOTS = 8, 150  # inches of the picture's longer side, dots per inch


class Conversion(NamedTuple):
    """What `convert` has written, or would write; `str` gives a few sentences."""

    folder: Path
    n_images: int
    n_labelled: int  # images with points
    n_empty: int  # looked, nothing there
    n_points: int
    classes: tuple
    lost: tuple  # sentences: what the target format cannot carry
    notes: tuple = ()  # sentences: what was recognised, renamed, left out
    counts: dict = {}  # noqa: RUF012 - {class: points}; a NamedTuple's default, never written to
    example: tuple = ()  # lines: the first points, in the file's coordinates and in the kit's

    @property
    def counted(self):
        """All counts in one sentence, unlabelled images included."""
        named = ", ".join(self.classes[:NAMES]) + (" ..." if len(self.classes) > NAMES else "")
        return (
            f"{self.folder}: {self.n_images} images, {self.n_labelled} with {self.n_points} points "
            f"({named}), {self.n_empty} with nothing there, {self.n_unlabelled} not labelled yet."
        )

    @property
    def n_unlabelled(self):
        """Images that the source does not mention."""
        return self.n_images - self.n_labelled - self.n_empty

    def __str__(self):
        """Return what was counted, done and lost."""
        return " ".join([self.counted, *self.notes, *self.lost])

    def table(self):
        """Return what would be written, one number per line."""
        rows = [
            ("images", self.n_images),
            ("labelled", self.n_labelled),
            ("empty", self.n_empty),
            ("unlabelled", self.n_unlabelled),
            ("points", self.n_points),
            *((f"  {name}", n) for name, n in self.counts.items()),
        ]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:{width}} {n:8,}" for name, n in rows]
        return "\n".join([*lines, *self.example, f"Nothing is written to {self.folder}."])


def show_example(records, form):
    """Return lines with the first points of records: in the format's coordinates and the kit's."""
    record = next((record for record in records if len(record.points)), None)
    order = f"{form.axes[0]}, {form.axes[1]}"
    lines = [f"{form.name}: {order} in {form.unit}, (0, 0) is {place(form)}"]
    if record is not None and form.unit != "map":
        points = record.points[:EXAMPLES]
        values = form.from_points(points, record.shape)
        lines += [
            f"{record.name}: {a:.6g}, {b:.6g} is x = {x:.6g}, y = {y:.6g} here"
            for (a, b), (x, y) in zip(values, points, strict=True)
        ]
    return tuple(lines)


def place(form):
    """Return where a format's (0, 0) is."""
    if form.unit == "map":
        return "the CRS's origin"
    return "a pixel's centre" if form.convention == "centre" else "a pixel's corner"


def draw_check(path, records):
    """Write a picture of the first record that has points; return None if there is none."""
    record = next((record for record in records if len(record.points)), None)
    if record is None:
        return None
    from matplotlib.figure import Figure  # takes a second: only if needed

    from pointlib.plots import encode_figure, show_image, show_points

    try:
        image = read_image(record.image)
    except InputError:  # the conversion is fine without a picture
        return None
    step = int(np.ceil(max(image.shape[:2]) / (2 * SIDE * DOTS)))
    height, width = np.array(image.shape[:2]) / max(image.shape[:2])
    figure = Figure((max(SIDE * width, 3), max(SIDE * height, 1) + 1), DOTS, layout="constrained")
    labels = np.where(record.labels == "", "point", record.labels)
    ax = show_image(image[::step, ::step], figure.subplots())
    show_points(record.points / step, labels, ax)
    ax.set_title(f"{record.name}: {len(labels)} points", parse_math=False)
    with warnings.catch_warnings(action="ignore"):  # about characters missing from the font
        data = encode_figure(figure, dpi=DOTS)
    write_atomic(path, data)
    return path
