"""What every format of points consists of: records, its coordinates, where the images are.

A new format is one small file in the folder above: a `read`, a `write`, a `FORMAT` that names
them and, to be recognised, a `looks`; `formats/table.py` finds it. Not about any one tool's files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from pointlib.errors import InputError, suggest
from pointlib.formats.shared.pictures import Pictures
from pointlib.points import check_points
from pointlib.regions import Regions

__all__ = ["Format", "Pictures", "Record"]  # what a format's own file needs


class Record(NamedTuple):
    """One annotated image; without points: looked, nothing there."""

    image: Path  # from Pictures.find
    shape: tuple | None  # (H, W) if the format's files state it, else None
    points: np.ndarray  # (N, 2), kit coordinates
    labels: np.ndarray  # (N,) str, "" for no class
    scores: np.ndarray | None = None  # (N,) in [0, 1]; None if clicked or not stated
    regions: Regions | None = None  # what of the image is labelled; None if all, or not stated
    called: str = ""  # the image's name in the new dataset, with folders if any; "" for its own

    @property
    def name(self):
        """The image's name in the new dataset."""
        return self.called or self.image.name

    @property
    def stem(self):
        """That name without its suffix."""
        return self.name[: len(self.name) - len(PurePosixPath(self.name).suffix)]


@dataclass(frozen=True)
class Format:
    """One tool's files: their coordinates, what they can carry, how to read and write them.

    `dataclasses.replace(FORMATS["name"], convention="corner")` reads the format differently.

    Attributes
    ----------
    read : read(source, pictures, form) -> iterator of Record
        `source` is the file or folder named by the user, `pictures` a Pictures, and `form` this
        Format, for its `to_points`. Images that nobody annotated are not yielded.
    write : write(folder, records, form)
        Every record has its shape; the images are in `folder`/images.
    looks : looks(source) -> bool
        Whether a file or folder is most likely of this format. Quick; never raises.
    axes : "xy" or "yx"
    unit : "pixels", "fraction" or "percent" (of width and height), or "map" (of the picture's CRS)
    convention : "centre" (0 is the centre of the first pixel) or "corner" (0 is the image's edge)
    decimals : that `write` writes, in its unit; None for full float precision
    carries : what its files can store: "labels", "empty" (looked, nothing there), "scores",
        "regions" (which part of an image is labelled)
    checked : the program that reads and wrote such files in the tests; "" if unverified
    forbids : characters not allowed in class names; if any, so are spaces at either end
    merges : whether points with equal (rounded) positions become one in its files
    brings_images : whether the images are copied beside its files
    box : side, pixels, of the boxes that it writes around points; None if it has no boxes
    nests : whether its files can follow images into folders of equal names
    lists_all : whether its files list images that nobody may have looked at, so that "without
        points" may mean "never opened"
    upright : whether its program applies the EXIF orientation; None if that is not known
    columns : {role: name or number} of a table, as the user names them; None if they do not
    scale : what the file's numbers are multiplied by to give pixels; None if the user gives none
    """

    name: str
    about: str
    read: Callable
    write: Callable
    looks: Callable = lambda _source: False
    axes: str = "xy"
    unit: str = "pixels"
    convention: str = "centre"
    decimals: int | None = None
    carries: frozenset = frozenset({"labels", "empty"})
    checked: str = ""
    forbids: str = ""
    merges: bool = False
    box: float | None = None
    brings_images: bool = True
    nests: bool = True
    lists_all: bool = False
    upright: bool | None = None
    columns: dict | None = None
    scale: float | None = None

    def __post_init__(self):
        """Raise InputError for values that are not listed above."""
        for word, known in (
            (self.axes, ("xy", "yx")),
            (self.unit, ("pixels", "fraction", "percent", "map")),
            (self.convention, ("centre", "corner")),
        ):
            if word not in known:
                raise InputError(f"format {self.name}: {word!r} is unknown. {suggest(word, known)}")

    def to_points(self, values, shape):
        """Return the format's numbers (N, 2), of an image of `shape` (H, W), as kit points."""
        values = check_points(values, name="values")
        values = values if self.axes == "xy" else values[:, ::-1]
        with np.errstate(over="ignore"):  # infinite values are refused later
            return values * self._size(shape) - (0.5 if self.convention == "corner" else 0)

    def from_points(self, points, shape):
        """Return kit points (N, 2) as the format's numbers; the inverse of `to_points`."""
        values = check_points(points) + (0.5 if self.convention == "corner" else 0)
        values = values / self._size(shape)
        return values if self.axes == "xy" else values[:, ::-1]

    def _size(self, shape):
        if self.unit == "pixels":
            return np.full(2, self.scale or 1.0)
        return np.array([shape[1], shape[0]]) / (100 if self.unit == "percent" else 1)
