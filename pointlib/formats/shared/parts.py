"""What several formats share: centres of shapes, boxes around points, text and sizes in XML.

In the caller's coordinates, or in kit points if it says so. Not about any format's fields, nor
about reading safely (safe.py).
"""

import re
from itertools import islice
from xml.sax.saxutils import escape

import numpy as np

from pointlib.errors import InputError
from pointlib.formats.shared.safe import peek, read_numbers

MOST_LISTED = 100  # names in a folder that `head_of` checks

# XML 1.0, section 2.2: no other character is allowed in a document, not even escaped
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def box_centre(edges, where):
    """Return the centre (x, y) of a box given by its edges: left, top, right, bottom."""
    left, top, right, bottom = edges
    if left > right or top > bottom:
        raise InputError(
            f"{where}: the box from {left:g}, {top:g} to {right:g}, {bottom:g} ends before it "
            "begins; expected left, top, right, bottom."
        )
    return left + (right - left) / 2, top + (bottom - top) / 2


def area_centre(outlines, holes=()):
    """Return the centroid (x, y) of the area inside polygons, each (N, 2), without holes.

    Source: the shoelace formula, relative to a corner of each, to avoid cancellation far from the
    origin. If there is no area, or a self-crossing outline puts the centroid outside, the mean of
    the corners.
    """
    signed = [(sign, ring) for sign, some in ((1, outlines), (-1, holes)) for ring in some]
    rings = [(sign, np.asarray(ring, dtype=float).reshape(-1, 2)) for sign, ring in signed]
    corners = np.concatenate([ring for sign, ring in rings if sign > 0])
    area, moment = 0.0, np.zeros(2)
    with np.errstate(all="ignore"):  # overflow ends as NaN, which is refused later
        for sign, ring in rings:
            near = ring - ring[0]
            after = np.roll(near, -1, axis=0)
            cross = near[:, 0] * after[:, 1] - after[:, 0] * near[:, 1]
            part = cross.sum() / 2
            turn = sign * np.sign(part)
            area += turn * part
            moment += turn * (((near + after) * cross[:, None]).sum(axis=0) / 6 + part * ring[0])
        centre = moment / area if area > 0 else corners.mean(axis=0)
        inside = (corners.min(axis=0) <= centre) & (centre <= corners.max(axis=0))
        return centre if inside.all() else corners.mean(axis=0)


def half_sides(points, shape, side):
    """Return half the width and height (N, 2), pixels, of boxes of `side` around kit points.

    A box that would leave the image of `shape` (H, W) is narrowed equally on both sides, so that
    its centre stays: exactly on the edge it has no width.
    """
    room = np.minimum(points + 0.5, np.array(shape[::-1]) - 0.5 - points)
    return np.clip(room, 0, side / 2)


def read_size(width, height, where):
    """Return (H, W) from two strings; None if one is missing or 0, which means unknown."""
    if width is None or height is None:
        return None
    width, height = read_numbers((width, height), where, ("width", "height"))
    return (int(height), int(width)) if width and height else None


def xml_text(text):
    """Return a text escaped for XML, between tags or in double quotes."""
    text = str(text)
    if wrong := _NOT_XML.search(text):
        raise InputError(f"{text!r} has the character {wrong[0]!r}, which XML cannot hold. Rename.")
    return escape(text, {'"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})


def plain(number):
    """Return a number with at most six decimals and no trailing zeros."""
    return f"{round(number, 6) + 0.0:.6f}".rstrip("0").rstrip(".")  # adding 0.0 turns -0 into 0


def head_of(source, suffix, places=(".",), *, but=()):
    """Return the beginning of a file, or of the first one with that suffix in `places` of a folder.

    Empty files and the names in `but` are ignored. "" if there is none or it cannot be read: for
    `looks`, which never raises.
    """
    if not source.is_dir():
        return peek(source)
    try:
        folders = (source / place for place in places if (source / place).is_dir())
        paths = [path for folder in folders for path in islice(folder.iterdir(), MOST_LISTED)]
    except OSError:
        return ""
    paths = (path for path in paths if path.suffix.lower() == suffix and path.name not in but)
    return next(filter(None, map(peek, paths)), "")
