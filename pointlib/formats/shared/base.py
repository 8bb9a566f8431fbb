"""What every format of points is made of: records, how its numbers count, where the images are.

A new format is one small file beside this one: a `read`, a `write` and a `FORMAT` that names
them; `formats/table.py` finds it. Not about any one tool's files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pointlib.errors import InputError, suggest
from pointlib.formats.shared.pictures import Pictures
from pointlib.points import check_points

__all__ = ["Format", "Pictures", "Record"]  # what a format's own file needs


class Record(NamedTuple):
    """One image that somebody looked at; without points: looked, nothing there."""

    image: Path  # as Pictures.find gives it
    shape: tuple | None  # (H, W) where the format's files say it, else None
    points: np.ndarray  # (N, 2), kit coordinates
    labels: np.ndarray  # (N,) str, "" for no class
    scores: np.ndarray | None = None  # (N,) in [0, 1]; None where somebody clicked, or nobody says


@dataclass(frozen=True)
class Format:
    """One tool's files: how their numbers count, what they can say, who reads and writes them.

    `dataclasses.replace(FORMATS["name"], convention="corner")` is the same format read otherwise.

    Attributes
    ----------
    read : read(source, pictures, form) -> iterator of Record
        `source` is the file or folder named by the user, `pictures` a Pictures, and `form` this
        Format, for its `to_points`. Images that nobody looked at are not yielded.
    write : write(folder, records, form)
        Every record has its shape; the images are in `folder`/images.
    looks : looks(source) -> bool
        Whether a file or folder is most likely this format's. Quick; never raises.
    axes : "xy" or "yx"
    unit : "pixels", "fraction" or "percent", the last two of width and height
    convention : "centre" (0 is the middle of the first pixel) or "corner" (0 is the image's edge)
    decimals : of its numbers as `write` writes them, in its unit; None for all that a float has
    carries : what survives in its files: "labels", "empty" (looked, nothing there), "scores"
    checked : the program that reads and wrote such files in the tests; "" for none: unverified
    forbids : characters that no class may have in its name, nor then a space at an end
    merges : whether points on one place (after rounding) become one in its files
    box : side in pixels of the boxes that it writes round the points; None where it has no boxes
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

    def __post_init__(self):
        """Refuse words that are not in the lists above."""
        for word, known in (
            (self.axes, ("xy", "yx")),
            (self.unit, ("pixels", "fraction", "percent")),
            (self.convention, ("centre", "corner")),
        ):
            if word not in known:
                raise InputError(f"format {self.name}: {word!r} is unknown. {suggest(word, known)}")

    def to_points(self, values, shape):
        """Return the format's numbers (N, 2), of an image of `shape` (H, W), as kit points."""
        values = check_points(values, name="values")
        values = values if self.axes == "xy" else values[:, ::-1]
        with np.errstate(over="ignore"):  # what is not finite is refused by whoever takes it
            return values * self._scale(shape) - (0.5 if self.convention == "corner" else 0)

    def from_points(self, points, shape):
        """Return kit points (N, 2) as the format's numbers; the inverse of `to_points`."""
        values = check_points(points) + (0.5 if self.convention == "corner" else 0)
        values = values / self._scale(shape)
        return values if self.axes == "xy" else values[:, ::-1]

    def _scale(self, shape):
        if self.unit == "pixels":
            return np.ones(2)
        return np.array([shape[1], shape[0]]) / (100 if self.unit == "percent" else 1)
