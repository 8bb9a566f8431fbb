"""Lessons: what a model may learn from a folder that is still being annotated.

Only what is clicked completely teaches: images that are done, and regions. The end of each image,
up to a hundred points in all, is held back for good: no model learns from it, so that it tells how
well they do.

About which part of which image. Not about learning from it: teach.py.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

HELD = 0.2  # share of an image's points that are held back
ENOUGH = 100  # points held back: from then on a new image teaches as a whole
FEWEST = 5  # points in an image of which some can be held back
MOST = 300  # images in a lesson, those that were changed last


class Part(NamedTuple):
    """An image, or a part of it: all points in its areas are known."""

    name: str
    path: Path
    shape: tuple  # (H, W)
    points: np.ndarray  # (N, 2)
    labels: np.ndarray  # (N,)
    areas: list | None  # each a list of rings of (x, y); None: the whole image


def marked_parts(ledger):
    """Return the parts of a folder's images that are clicked completely, the last changed first."""
    changed = ledger.changed
    names = [name for name in ledger.names if name in changed or ledger.state(name) != "unlabelled"]
    names.sort(key=lambda name: -changed.get(name, 0))
    parts = (_marked_part(ledger, name) for name in names)
    return [part for part, _ in zip(filter(None, parts), range(MOST), strict=False)]


def _marked_part(ledger, name):
    """Return the Part of an image, None if nothing of it is clicked completely."""
    annotation = ledger.load_readable(name)
    if annotation is None or annotation.state == "skipped":
        return None
    is_whole = annotation.state in ("labelled", "empty")
    if not (annotation.regions or is_whole):
        return None
    points = np.array([p[:2] for p in annotation.points.values()], dtype=float).reshape(-1, 2)
    labels = np.array([p.label for p in annotation.points.values()], dtype=str)
    areas = [list(rings) for rings in annotation.regions.values()] or None
    return Part(name, ledger.path(name), annotation.shape, points, labels, areas)


def divide(parts, held):
    """Divide parts into those that teach and those that are held back.

    Parameters
    ----------
    parts : list of Part
    held : dict
        {name: {"boxes", "bounds"}} of the images of earlier lessons: what is held back of each,
        and how far it was marked, as left, top, right, bottom in pixels.

    Returns
    -------
    teaching, kept : list of Part
    held : dict
        With the boxes of what is new.
    """
    held, teaching, kept = dict(held), [], []
    n_held = sum(len(_cut(p, held[p.name]["boxes"])[1].points) for p in parts if p.name in held)
    for part in parts:
        known = held.get(part.name, {"boxes": [], "bounds": None})
        box = _new_box(part, known["bounds"]) if n_held < ENOUGH else None
        boxes = known["boxes"] + ([box] if box else [])
        held[part.name] = {"boxes": boxes, "bounds": _bounds(part)}
        rest, end = _cut(part, boxes)
        n_held += len(end.points) - len(_cut(part, known["boxes"])[1].points)
        teaching.append(rest)
        kept.append(end)
    return [p for p in teaching if p.areas != []], [p for p in kept if p.areas], held


def _bounds(part):
    """Return left, top, right, bottom of a part."""
    corners = np.concatenate([np.array(ring) for rings in _areas(part) for ring in rings])
    return [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()]


def _new_box(part, before):
    """Return the end of a part's longer side with a fifth of its points; None if they are few.

    Only where no earlier lesson was: beyond `before`, how far the part was marked then.
    """
    left, top, right, bottom = _bounds(part)
    axis = 0 if right - left >= bottom - top else 1
    along = np.sort(part.points[:, axis])
    along = along if before is None else along[along > before[2 + axis]]
    if len(along) < FEWEST:
        return None
    first = len(along) - max(1, round(HELD * len(along)))
    cut = float((along[first - 1] + along[first]) / 2)
    return [cut, top, right, bottom] if axis == 0 else [left, cut, right, bottom]


def _areas(part):
    """Return the areas of a part; of a whole image the one of its corners."""
    if part.areas is not None:
        return part.areas
    right, bottom = part.shape[1] - 0.5, part.shape[0] - 0.5
    return [[[(-0.5, -0.5), (right, -0.5), (right, bottom), (-0.5, bottom)]]]


def _cut(part, boxes):
    """Return a part without boxes, and what of it is in them; no areas: nothing is left."""
    if not boxes:
        return part, part._replace(points=part.points[:0], labels=part.labels[:0], areas=[])
    is_held = np.zeros(len(part.points), dtype=bool)
    within, around = [], _areas(part)
    for box in boxes:
        start, stop = np.reshape(box, (2, 2))
        is_held |= ((part.points >= start) & (part.points < stop)).all(axis=1)
        within += [piece for area in around for piece in _within(area, start, stop)]
        around = [piece for area in around for piece in _around(area, start, stop)]
    rest, end = (
        part._replace(points=part.points[chosen], labels=part.labels[chosen], areas=areas)
        for chosen, areas in ((~is_held, around), (is_held, within))
    )
    return rest, end


def _within(area, start, stop):
    """Return what of an area is between two corners of a box: a list of none or one area."""
    for axis in (0, 1):
        area = _clip(_clip(area, axis, start[axis], side=1), axis, stop[axis], side=-1)
    return [area] if area else []


def _around(area, start, stop):
    """Return what of an area is outside a box: left, right, above and below of it."""
    left, right = _clip(area, 0, start[0], side=-1), _clip(area, 0, stop[0], side=1)
    middle = _clip(_clip(area, 0, start[0], side=1), 0, stop[0], side=-1)
    above, below = _clip(middle, 1, start[1], side=-1), _clip(middle, 1, stop[1], side=1)
    return [piece for piece in (left, right, above, below) if piece]


def _clip(area, axis, limit, *, side):
    """Return an area's rings on one side of a line: below `limit` (-1) or above it (1).

    Sutherland and Hodgman (1974): walk around each ring, keep the corners on that side, and add
    one wherever an edge crosses the line.
    """
    rings = []
    for ring in (np.asarray(ring, dtype=float) for ring in area):
        away = side * (ring[:, axis] - limit)
        kept = []
        for i, j in zip(range(-1, len(ring) - 1), range(len(ring)), strict=True):
            if (away[i] > 0) != (away[j] > 0):
                share = away[i] / (away[i] - away[j])
                kept.append(ring[i] + share * (ring[j] - ring[i]))
            if away[j] > 0:
                kept.append(ring[j])
        if len(kept) >= 3:
            rings.append(np.array(kept).tolist())
    return rings
