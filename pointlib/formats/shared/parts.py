"""What several formats share: centres of shapes, boxes round points, text and sizes in XML.

In the numbers of the format that calls, or as kit points where it says so. Not about any format's
fields, nor about reading safely (formats/shared/safe.py).
"""

import re
from itertools import islice
from xml.sax.saxutils import escape

import numpy as np

from pointlib.errors import InputError
from pointlib.formats.shared.safe import peek, read_numbers

MOST_LISTED = 100  # names of a folder that are looked at for it

# XML 1.0, section 2.2: no other character can stand in a document, not even escaped
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def box_centre(edges, where):
    """Return the middle (x, y) of a box given by its edges: left, top, right, bottom."""
    left, top, right, bottom = edges
    if left > right or top > bottom:
        raise InputError(
            f"{where}: the box from {left:g}, {top:g} to {right:g}, {bottom:g} ends before it "
            "begins; expected left, top, right, bottom."
        )
    return left + (right - left) / 2, top + (bottom - top) / 2


def area_centre(outlines, holes=()):
    """Return the centroid (x, y) of the area inside polygons, each (N, 2), less that of holes.

    Source: the shoelace formula, from a corner of each, since far from zero the digits would
    cancel. Where there is no area, or an outline crosses itself so that this falls outside, the
    mean of the corners.
    """
    signed = [(sign, ring) for sign, some in ((1, outlines), (-1, holes)) for ring in some]
    rings = [(sign, np.asarray(ring, dtype=float).reshape(-1, 2)) for sign, ring in signed]
    corners = np.concatenate([ring for sign, ring in rings if sign > 0])
    area, moment = 0.0, np.zeros(2)
    with np.errstate(all="ignore"):  # numbers too large end as NaN, which is not let through
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
    """Return half the width and height (N, 2), pixels, of boxes of `side` round kit points.

    A box that would leave the image of `shape` (H, W) is narrowed on both sides alike, so that
    its middle stays where it is: on the very edge it has no width.
    """
    room = np.minimum(points + 0.5, np.array(shape[::-1]) - 0.5 - points)
    return np.clip(room, 0, side / 2)


def read_size(width, height, where):
    """Return (H, W) from two texts; None where one is missing or 0, as tools write "unknown"."""
    if width is None or height is None:
        return None
    width, height = read_numbers((width, height), where, ("width", "height"))
    return (int(height), int(width)) if width and height else None


def xml_text(text):
    """Return a text as it stands in XML, between tags or in double quotes."""
    text = str(text)
    if wrong := _NOT_XML.search(text):
        raise InputError(f"{text!r} has the character {wrong[0]!r}, which XML cannot hold. Rename.")
    return escape(text, {'"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})


def plain(number):
    """Return a number with at most six decimals and no noughts at its end."""
    return f"{round(number, 6) + 0.0:.6f}".rstrip("0").rstrip(".")  # 0.0 takes the sign from -0


def head_of(source, suffix, places=(".",), *, but=()):
    """Return the first text of a file, or of the first of that suffix in places of a folder.

    Empty files and the names in `but` do not count. "" where there is none or it cannot be read:
    for `looks`, which never raises.
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
