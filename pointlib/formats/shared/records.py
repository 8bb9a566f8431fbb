"""Processing of a source's records before anything is written.

They are checked against the images, classes are renamed, and what the target format cannot carry
is reported. Not about reading or writing files.
"""

import re
from collections import Counter

import numpy as np

from pointlib.errors import InputError, suggest
from pointlib.formats.shared.units import in_corner
from pointlib.points import EDGE_SLACK, check_points, class_names
from pointlib.regions import Regions

SEEN = 0.005  # px: smaller shifts are not reported
SIGNS = {",": "a comma", "\r": "a line end", "\n": "a line end", '"': "a quotation mark"}


def check_records(records, pictures, *, skip=False, upright=None, on_image=None):
    """Return records with their images' shapes and all points inside, and sentences on the rest.

    Parameters
    ----------
    records : iterable of Record
    pictures : Pictures
        Not strict, so that all missing images are counted.
    skip : bool
        Leave out missing images and points outside, instead of raising.
    upright : bool, optional
        Whether the source's program applies the EXIF orientation; None if that is not known.
    on_image : callable, optional
        Called with (name, number done, number of all) after each.
    """
    kept, doubtful = {}, []
    for record in records:
        if pictures.is_missing(record.image):
            continue
        if record.image in kept:
            raise InputError(f"{record.name} occurs twice in the source. Merge the two.")
        turn = pictures.turn(record.image)
        told = record.shape is not None and turn >= 5
        if turn > 1 and not told and len(record.points):
            doubtful.append(record.image)
        kept[record.image] = _check_record(record, pictures)
        if on_image:
            on_image(record.name, len(kept), len(pictures.paths))
    notes = []
    if pictures.missing:
        if not skip:
            raise InputError(
                f"{pictures.why_missing()} Add it, name its folder with --images FOLDER, or "
                "leave it out with --skip."
            )
        notes.append(f"Left out: {len(pictures.missing)} missing images.")
    notes += _of_turns(pictures.turned, [] if upright else doubtful)
    records, n_outside = _put_inside(list(kept.values()), skip)
    notes += [f"Left out: {n_outside} points outside their images."] if n_outside else []
    return records, notes


def rename_classes(records, names):
    """Return records whose classes are renamed by {old: new}, and sentences on what it did.

    A new name "" drops the class with its points; an old name "" means points without a class.
    """
    found = Counter(label for record in records for label in record.labels.tolist())
    for old in names:
        if old not in found:
            listed = ", ".join(map(repr, sorted(found))) or "none"
            raise InputError(
                f"class {old!r} is to be renamed, but is not in the source. Its classes are "
                f"{listed:.300}. {suggest(old, found)}"
            )
    gone = [old for old, new in names.items() if not new]
    notes = [f"Renamed: {old or 'no class'} is {new}." for old, new in names.items() if new]
    notes += [f"Left out: {found[old]} points of {old or 'no class'}." for old in gone]
    renamed = [_rename(record, names, gone) for record in records]
    n_bare = sum(
        len(old.points) > len(new.points) == 0 for old, new in zip(records, renamed, strict=True)
    )
    notes += [f"{n_bare} images have no points left: nothing there."] if n_bare else []
    return renamed, notes


def find_classes(records, writer):
    """Return the classes of records, sorted, or raise InputError where `writer` cannot hold one."""
    try:
        names = class_names([record.labels for record in records])
    except InputError as error:
        raise InputError(f"{error} --map =NAME names those that have none.") from error
    for name in names if writer.forbids and "labels" in writer.carries else ():
        if name != name.strip() or any(sign in name for sign in writer.forbids):
            signs = dict.fromkeys(SIGNS.get(sign, repr(sign)) for sign in writer.forbids)
            plain = " ".join(re.sub(f"[{re.escape(writer.forbids)}]", " ", name).split())
            raise InputError(
                f"class {name!r} has {', '.join(signs)} or a space at an end, which "
                f"{writer.name} cannot hold. Rename it: --map '{name}={plain or 'NAME'}'."
            )
    return names


def find_losses(records, writer):
    """Return a sentence for each thing in the records that the format cannot carry."""
    lost = []
    if "labels" not in writer.carries and any(any(record.labels) for record in records):
        lost.append(f"Lost: the classes, which {writer.name} cannot carry.")
    if "scores" not in writer.carries and any(record.scores is not None for record in records):
        lost.append(f"Lost: the scores, which {writer.name} cannot carry.")
    n_empty = sum(len(record.points) == 0 for record in records)
    if "empty" not in writer.carries and n_empty:
        lost.append(f"Lost: that {n_empty} images are empty, which {writer.name} cannot express.")
    n_parts = sum(record.regions is not None for record in records)
    if "regions" not in writer.carries and n_parts:
        lost.append(
            f"Lost: that of {n_parts} images only a part is labelled, which {writer.name} cannot "
            "express."
        )
    if writer.decimals is None:
        return lost
    moved, n_merged = _round(records, writer)
    if moved > SEEN:
        digits = f"{writer.decimals} decimals" if writer.decimals else "whole numbers"
        lost.append(
            f"Lost: the finest digits; {writer.name} holds {digits}: points move by up to "
            f"{moved:.2g} px."
        )
    if n_merged:
        lost.append(f"Lost: {n_merged} points that coincide with another.")
    return lost


def drop_empty(records):
    """Return records without those that have no points, and sentences on it."""
    full = [record for record in records if len(record.points) or record.regions]
    n_dropped = len(records) - len(full)
    return full, [f"{n_dropped} images without points are taken as not labelled yet."]


def find_oddities(records, reader):
    """Return sentences on what is valid but looks wrong, or should be known."""
    notes = []
    n_empty = sum(not len(record.points) and not record.regions for record in records)
    if reader.lists_all and n_empty:
        notes.append(
            f"{n_empty} images are listed without points and taken as looked at, nothing there. If "
            "they were never opened: --empty-is unlabelled."
        )
    if n_parts := sum(record.regions is not None for record in records):
        notes.append(
            f"{n_parts} images are labelled in part, by areas around their points: regions."
        )
    return [*notes, *_odd_points(records, reader)]


def _odd_points(records, reader):
    """Return a sentence on points that look like fractions, or are in a corner."""
    if reader.unit != "pixels" or reader.scale:
        return []
    points = np.concatenate([np.empty((0, 2)), *(record.points for record in records)])
    if len(points) > 1 and (points >= -0.5).all() and points.max() <= 1:
        return ["All points are in the first pixel: the file may hold fractions, not pixels."]
    if reach := in_corner([(record.points, record.shape) for record in records]):
        note = (
            f"All points lie in the left {reach[0]:.0%} and upper {reach[1]:.0%} of their images. "
            "If they are in micrometres, give the size of a pixel: --pixel-size 0.25, say; if they "
            "were made on images of another size: --scale."
        )
        return [note]
    return []


def _check_record(record, pictures):
    """Return a record with its image's shape and its points upright, or raise InputError."""
    name, image = record.name, record.image
    shape, turn = pictures.upright(image), pictures.turn(image)
    made_on = pictures.shape(image) if record.shape is None else tuple(record.shape)
    stored = shape[::-1] if turn >= 5 else shape
    unturned = turn > 1 and made_on == stored and (pictures.unturned or stored != shape)
    if made_on != shape and not unturned:
        raise InputError(
            f"{name} is {shape[1]} x {shape[0]}, but its points were made on "
            f"{made_on[1]} x {made_on[0]}. Use the image they were made on."
        )
    points = check_points(record.points, name=f"{name}: points")
    scores = None if record.scores is None else np.asarray(record.scores, dtype=float)
    if scores is not None and len(wrong := scores[~((scores >= 0) & (scores <= 1))]):
        raise InputError(f"{name}: score {wrong[0]:g}; expected 0 to 1. Rescale or remove them.")
    regions = record.regions
    if unturned:
        points = turn_points(points, stored, turn)
        pictures.turned.append(image)
        if regions:
            areas = [[turn_points(ring, stored, turn) for ring in area] for area in regions.areas]
            regions = Regions(areas)
    labels = np.asarray(record.labels, dtype=str)
    return record._replace(
        shape=shape, points=points, labels=labels, scores=scores, regions=regions
    )


def turn_points(points, shape, turn):
    """Return points (N, 2) of an image as stored, of `shape` (H, W), as they are when upright.

    `turn` is the EXIF orientation, 1 to 8. Source: TIFF 6.0, page 36: from 5 on rows and columns
    are exchanged; then 3, 4, 7 and 8 count from the bottom, 2, 3, 6 and 7 from the right.
    """
    x, y = points.T
    height, width = shape
    if turn >= 5:
        x, y, height, width = y, x, width, height
    if turn in (3, 4, 7, 8):
        y = height - 1 - y
    if turn in (2, 3, 6, 7):
        x = width - 1 - x
    return np.column_stack([x, y])


def _of_turns(turned, doubtful):
    """Return sentences on images with an EXIF orientation: how their points were taken."""
    note = ""
    if turned:
        note = (
            f"{len(turned)} images, such as {turned[0].name}, are stored turned (EXIF), and their "
            "points were made on them as stored: they are turned with them."
        )
    elif doubtful:
        note = (
            f"{len(doubtful)} images, such as {doubtful[0].name}, are stored turned (EXIF), and "
            "the file does not say which way up its points were made: taken as shown. If they are "
            "elsewhere in check.png: --unturned."
        )
    return [note] if note else []


def _put_inside(records, skip):
    """Return records without points outside, and their number; raise unless `skip`."""
    outside = [_outside(record.points, record.shape) for record in records]
    n_outside = sum(map(np.count_nonzero, outside))
    if n_outside and not skip:
        raise InputError(_why_outside(records, outside))
    records = [_select(record, ~out) for record, out in zip(records, outside, strict=True)]
    return [r._replace(points=check_points(r.points, shape=r.shape)) for r in records], n_outside


def _outside(points, shape):
    high = np.array([shape[1], shape[0]]) - 0.5
    return (np.abs(points - np.clip(points, -0.5, high)) > EDGE_SLACK).any(axis=1)


def _why_outside(records, outside):
    """Return a sentence on the first point outside, with a hint from all of them."""
    first = next(i for i, out in enumerate(outside) if out.any())
    record, row = records[first], np.flatnonzero(outside[first])[0]
    n_outside, n_all = sum(map(np.count_nonzero, outside)), sum(map(len, outside))
    swapped = sum(np.count_nonzero(_outside(r.points[:, ::-1], r.shape)) for r in records)
    hint = ""
    if swapped < n_outside / 2:
        rest = f"all but {swapped}" if swapped else "all"
        hint = f" With x and y swapped {rest} would fit: does the file count y first?"
    return (
        f"{record.name}: points[{row}] is {record.points[row].tolist()}, outside the image "
        f"of width {record.shape[1]} and height {record.shape[0]}, as are {n_outside} of all "
        f"{n_all} points.{hint} Leave them out with --skip."
    )


def _rename(record, names, gone):
    kept = ~np.isin(record.labels, gone) if gone else np.ones(len(record.labels), dtype=bool)
    record = _select(record, kept)
    labels = [names.get(label, label) for label in record.labels.tolist()]
    return record._replace(labels=np.array(labels, dtype=str))


def _select(record, kept):
    if kept.all():
        return record
    scores = None if record.scores is None else record.scores[kept]
    return record._replace(points=record.points[kept], labels=record.labels[kept], scores=scores)


def _round(records, form):
    """Return how far (px) rounding moves points, and how many then coincide."""
    moved, n_merged = 0.0, 0
    for record in records:
        if len(record.points):
            values = form.from_points(record.points, record.shape).round(form.decimals)
            back = form.to_points(values, record.shape)
            moved = max(moved, float(np.abs(back - record.points).max()))
            n_merged += len(values) - len(np.unique(values, axis=0)) if form.merges else 0
    return moved, n_merged
