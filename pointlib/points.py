"""Points: what their numbers mean, how they are checked, and the text files that store them.

The coordinate convention of the whole kit: `points` is an (N, 2) float64
array whose columns are x (to the right) and y (down), in pixels. The *centre* of the top-left
pixel is (0, 0), so whole numbers are pixel centres, and an image of H rows and W columns covers
x from -0.5 to W - 0.5 and y from -0.5 to H - 0.5. Resizing by a factor s moves a point to
(p + 0.5) s - 0.5; a horizontal flip to W - 1 - x. `shape` is always (H, W). Only code that indexes
an array writes [y, x].

A text file beside the image, of the same stem, has one point per line: `x,y` or `x,y,label`, as
fractions of the image from its left (top) edge, 0, to its right (bottom) edge, 1:
fraction = (p + 0.5) / size. So the file stays valid when the image is resized. An image without
a text file is not labelled yet; an empty text file says "I looked, there is nothing". Two points
at the same place are allowed.

Not about other tools' files (formats), nor about matching true and found points (matching).
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import center_of_mass
from scipy.spatial import KDTree

from pointlib.errors import InputError
from pointlib.files import LONGEST, NAME_FAULTS, is_name, need_file, write_atomic

MOST_SHOWN = 100  # characters of a line in a message
EDGE_SLACK = 1e-6  # pixels by which rounding may carry a point over the edge
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_FRACTION, _LABEL = r"(0\.[0-9]+|1\.0+)", rf"(\w(?:[\w .-]{{,{LONGEST - 2}}}\w)?)"
_PLAIN_LINE = re.compile(rf"^{_FRACTION},{_FRACTION}(?:,{_LABEL})?$", re.MULTILINE)


def check_points(
    points: ArrayLike, *, shape: tuple[int, int] | None = None, name: str = "points"
) -> np.ndarray:
    """Return `points` as an (N, 2) float64 array, or raise InputError that says what is wrong.

    An empty list is no points. If `shape` (H, W) is given, a point outside is an error; one that
    rounding carried less than `EDGE_SLACK` over the edge is moved back.

    Examples
    --------
    >>> from pointlib import check_points
    >>> check_points([[3, 4]])
    array([[3., 4.]])
    >>> check_points([[3, 40]], shape=(10, 20))
    Traceback (most recent call last):
    pointlib.errors.InputError: points[0] is [3.0, 40.0], outside the image of width 20 ...
    """
    array = _as_table(points, 2, name)
    if not np.isfinite(array).all():
        row = np.flatnonzero(~np.isfinite(array).all(axis=1))[0]
        raise InputError(f"{name}[{row}] is {array[row].tolist()}; expected finite x and y.")
    return array if shape is None else _check_inside(array, shape, name)


def to_relative(points, shape):
    """Return `points` (N, 2), pixels, as fractions of the image's edges: (p + 0.5) / (W, H)."""
    return (check_points(points) + 0.5) / _width_height(shape)


def to_pixels(relative, shape):
    """Return fractions of the image's edges (N, 2) as points in pixels: r (W, H) - 0.5."""
    return check_points(relative, name="relative") * _width_height(shape) - 0.5


def boxes_to_points(boxes: ArrayLike) -> np.ndarray:
    """Return the centres of `boxes` (N, 4): x_min, y_min, x_max, y_max, as *edges*.

    A box around only the top-left pixel is (0, 0, 1, 1); its centre is the point (0, 0).

    Examples
    --------
    >>> from pointlib import boxes_to_points
    >>> boxes_to_points([[0, 0, 1, 1], [10, 20, 16, 24]])
    array([[ 0. ,  0. ],
           [12.5, 21.5]])
    """
    boxes = _as_table(boxes, 4, "boxes")
    wrong = np.flatnonzero(~(boxes[:, :2] <= boxes[:, 2:]).all(axis=1))
    if wrong.size:
        raise InputError(
            f"boxes[{wrong[0]}] is {boxes[wrong[0]].tolist()}; expected x_min, y_min, x_max, "
            "y_max. Convert x, y, width, height to edges first."
        )
    return check_points((boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5, name="boxes")


def masks_to_points(mask: ArrayLike) -> np.ndarray:
    """Return the mean of each object's pixel centres, (N, 2), in order of the objects' values.

    `mask` (H, W) contains integers: one value per object, 0 for the background.

    Examples
    --------
    >>> from pointlib import masks_to_points
    >>> masks_to_points([[1, 1, 1, 0], [0, 0, 0, 2]])
    array([[1., 0.],
           [3., 1.]])
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
        raise InputError(
            f"mask is {mask.dtype} of shape {mask.shape}; expected whole numbers (H, W), one value "
            "per object. For a boolean mask use scipy.ndimage.label(mask)[0]."
        )
    centres = center_of_mass(np.ones(mask.shape), labels=mask, index=np.unique(mask[mask != 0]))
    return np.array(centres, dtype=float).reshape(-1, 2)[:, ::-1].copy()


def text_path(image_path: str | Path) -> Path:
    """Return the path of an image's text file of points: `cat.JPG` -> `cat.txt`.

    Examples
    --------
    >>> from pointlib import text_path
    >>> text_path("field/cat_998.png").as_posix()
    'field/cat_998.txt'
    """
    return Path(image_path).with_suffix(".txt")


def label_state(image_path):
    """Return "unlabelled" (no text file), "empty" (looked, nothing there) or "labelled"."""
    path = text_path(image_path)
    if not os.path.lexists(path):  # a broken link is a text file that is missing
        return "unlabelled"
    return "labelled" if read_text(path).strip() else "empty"


def read_points(path: str | Path, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Read the text file `path`, see `text_path`, of an image of `shape` (H, W).

    Returns
    -------
    points : ndarray of shape (N, 2), float64
        (x, y) in pixels, in the order of the file.
    labels : ndarray of shape (N,), str
        "" if the file names no class.

    Raises
    ------
    InputError
        Names the file and the line.

    Examples
    --------
    >>> from pointlib import read_points, write_points
    >>> write_points("cat.txt", [[9.5, 4.5]], (10, 20), labels=["cat"])
    >>> points, labels = read_points("cat.txt", (10, 20))
    >>> points.tolist(), labels.tolist()
    ([[9.5, 4.5]], ['cat'])
    """
    text = read_text(path)
    if (rows := _plain_rows(text)) is None:
        rows = _parse_lines(text, path)
    relative = np.array([row[:2] for row in rows], dtype=float).reshape(-1, 2)
    return to_pixels(relative, shape), np.array([row[2] for row in rows], dtype=str)


def write_points(
    path: str | Path,
    points: ArrayLike,
    shape: tuple[int, int],
    *,
    labels: Sequence[str] | None = None,
    decimals: int = 8,
) -> None:
    """Write a text file of points, completely or not at all; no points give an empty file.

    `points` (N, 2) in pixels, `shape` (H, W), `labels` N strings: all named or all "".
    With eight decimals a point read back is off by at most 1e-8 of the image's size.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pointlib import write_points
    >>> write_points("cat.txt", [[9.5, 4.5]], (10, 20), labels=["cat"])
    >>> print(Path("cat.txt").read_text())
    0.50000000,0.50000000,cat
    """
    points = check_points(points, shape=shape)
    labels = _check_labels([""] * len(points) if labels is None else labels, len(points))
    write_atomic(path, "".join(format_points(points, labels, shape, decimals=decimals)))


def format_points(points, labels, shape, *, decimals=8):
    """Return the lines of a text file, one per point; `write_points` checks them."""
    return [
        f"{x:.{decimals}f},{y:.{decimals}f}{',' if label else ''}{label}\n"
        for (x, y), label in zip(to_relative(points, shape).tolist(), labels, strict=True)
    ]


def class_names(list_of_labels):
    """Return the classes named in several files' labels, sorted; ("point",) if none is."""
    found = {str(label) for labels in list_of_labels for label in labels}
    named = sorted(found - {""})
    if named and "" in found:
        raise InputError(f"Some points are {', '.join(named)}, some have no class. Name all.")
    return tuple(named) or ("point",)


def nearest_distances(points):
    """Return each point's distance to the nearest other, (N,) pixels; inf if it is alone."""
    points = check_points(points)
    return KDTree(points).query(points, k=2)[0][:, 1] if len(points) else np.empty(0)


def _as_table(values, n_columns, name):
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is not a table of numbers: {error}.") from error
    if array.size == 0:
        return np.empty((0, n_columns))
    if array.ndim != 2 or array.shape[1] != n_columns:
        hint = f" Use {name}.T." if array.ndim == 2 and len(array) == n_columns else ""
        raise InputError(f"{name} has shape {array.shape}; expected (N, {n_columns}).{hint}")
    return array


def _check_inside(points, shape, name):
    """Return points clipped by at most EDGE_SLACK; InputError if one lies outside."""
    size = _width_height(shape)
    clipped = np.clip(points, -0.5, size - 0.5)
    outside = np.flatnonzero((np.abs(points - clipped) > EDGE_SLACK).any(axis=1))
    if not outside.size:
        return clipped
    swapped = points[:, ::-1]
    fits = np.array_equal(swapped, np.clip(swapped, -0.5, size - 0.5))
    hint = f" With x and y swapped all would fit: use {name}[:, ::-1]." if fits else ""
    first = points[outside[0]].round(4).tolist()
    raise InputError(
        f"{name}[{outside[0]}] is {first}, outside the image of width {shape[1]} and height "
        f"{shape[0]}, as are {len(outside)} of {len(points)} points.{hint}"
    )


def _width_height(shape):
    if np.shape(shape) != (2,) or min(shape) < 1:
        raise InputError(f"shape is {shape}; expected (H, W). Use image.shape[:2].")
    return np.array([shape[1], shape[0]], dtype=float)


def read_text(path):
    """Return the text of a UTF-8 file, without a byte order mark, with LF line ends."""
    data = need_file(path, "text file of points").read_bytes()
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text. Save it as UTF-8 (from a spreadsheet: export as CSV)."
        ) from error


def _plain_rows(text):
    """Return (x, y, label) per line of a text as the kit writes it, or None for any other text.

    The same as `_parse_lines`, several times as fast: a folder may have ten thousand text files.
    """
    found = _PLAIN_LINE.findall(text)
    n_lines = text.count("\n") + (text[-1:] not in ("", "\n"))
    if len(found) != n_lines or len({label == "" for *_, label in found}) > 1:
        return None
    return [(float(x), float(y), label) for x, y, label in found]


def _parse_lines(text, path):
    """Return (x, y, label) per line that is not blank, or raise InputError with file and line."""
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}: {line.strip()[:MOST_SHOWN]!r}"
            rows.append(_parse_line(line, where))
            if bool(rows[-1][2]) != bool(rows[0][2]):
                has = "a label" if rows[-1][2] else "no label"
                raise InputError(f"{where} has {has}, unlike the first. Label all points, or none.")
    return rows


def _parse_line(line, where):
    """Return (x, y, label) of one line, label "" if there is none."""
    fields = [field.strip() for field in line.split(",")]
    if len(fields) not in (2, 3) or not all(map(_NUMBER.fullmatch, fields[:2])):
        raise InputError(f"{where} {_line_hint(line, fields)}")
    x, y = float(fields[0]), float(fields[1])
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise InputError(
            f"{where} lies outside the image; expected fractions of its width and height, 0 to 1. "
            "For pixels use convert."
        )
    if fields[-1] == "":
        raise InputError(f"{where} ends in an empty label. Remove the last comma.")
    if fields[2:] and not is_name(fields[2]):
        raise InputError(f"{where} has a label with {NAME_FAULTS}. Rename it.")
    return x, y, "".join(fields[2:])


def _line_hint(line, fields):
    """Return what an unreadable line looks like and what to do."""
    words = re.split(r"[,\s]+", line.strip())
    if len(words) == 5 and all(map(_NUMBER.fullmatch, words)):
        return "has five numbers: this looks like YOLO, use convert with --from yolo."
    if len(fields) == 3 and all(map(_NUMBER.fullmatch, fields[1:])):
        return "has its label first; expected x,y,label."
    return "does not read as x,y or x,y,label: fractions 0 to 1, then a label without a comma."


def _check_labels(labels, n_points):
    labels = [str(label) for label in labels]
    if len(labels) != n_points:
        raise InputError(f"{len(labels)} labels for {n_points} points; expected one each.")
    for label in set(labels) - {""}:
        if not is_name(label):
            raise InputError(f"label {label[:MOST_SHOWN]!r} has {NAME_FAULTS}. Rename it.")
    class_names([labels])  # raises if some are named and some are not
    return labels
