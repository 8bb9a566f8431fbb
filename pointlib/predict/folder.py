"""Prediction to files: many images in, tables, text files and overlays out.

About which images are read, and what is written where. Not about finding points in one image:
points.py.
``python -m pointlib.predict`` runs it from the command line.
"""

import csv
import io
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pointlib.errors import InputError, to_cell
from pointlib.files import keep_copy, move, need_file, need_place, write_atomic
from pointlib.images import IMAGE_SUFFIXES, check_names, read_image, walk, write_image
from pointlib.model.point_model import PointModel
from pointlib.points import write_points
from pointlib.predict.points import (
    check_threshold_fn,
    predict_picture,
    predict_points,
    settings_of,
)
from pointlib.thresholds import find_peaks
from pointlib.windows import fits_whole, open_windows

NOTHING_FOUND = np.zeros((0, 2)), np.zeros(0, str), np.zeros(0)  # of a picture that is unreadable


def find_images(path):
    """Return [(image path, its name relative to the input)] of an image, a list or a folder.

    A folder is searched with all its subfolders; hidden ones are left out. A list is a sequence
    of paths.
    """
    if not isinstance(path, (str, os.PathLike)):
        paths = [Path(p) for p in path] if np.iterable(path) else []
        if not paths:
            raise InputError("there is no image; expected a path, a folder or a list of paths.")
        top = Path(os.path.commonpath([p.absolute().parent for p in paths]))
        return [(p, p.absolute().relative_to(top).as_posix()) for p in paths]
    path = Path(path)
    if not path.is_dir():
        return [(need_file(path, "image or folder"), path.name)]
    found = [p for p in walk(path, keep=lambda p: p.name[0] != ".") if _is_image(p.name)]
    if not found:
        raise InputError(f"{path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    check_names(str(p) for p in found)
    return [(p, p.relative_to(path).as_posix()) for p in sorted(found)]


def predict_folder(
    model: PointModel,
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    threshold: float | None = None,
    min_distance: float | None = None,
    threshold_fn: Callable = find_peaks,
    text: bool = False,
    overlay: Callable | None = None,
    on_image: Callable | None = None,
) -> dict[str, int]:
    """Predict many images and write `points.csv` and `counts.csv`.

    An unreadable image is reported in `counts.csv`, and the others are predicted. A name that a
    spreadsheet would run as a formula is written with an apostrophe before it, as `errors.to_cell`
    says.

    If the model has learnt from its validation images how far off its counts are, `counts.csv` has
    the corrected count of each class too, and the interval in which the true count of nine images
    in ten lies: see counts.py. Where other thresholds than the model's are given it has not, since
    they find other numbers of points.

    Parameters
    ----------
    model : PointModel
    inputs : str, Path or sequence of paths
        See `find_images`.
    output : str or Path
        Folder; existing files of the same names are kept as copies.
    threshold, min_distance, threshold_fn
        As `predict_points` takes them.
    text : bool
        Write the kit's text files into ``output/text`` too.
    overlay : callable, optional
        ``(image, points, labels) -> picture``: pictures are written into ``output/overlays``.
    on_image : callable, optional
        Called with (name, number of points or None if unreadable, error or None).

    Returns
    -------
    dict
        ``n_images``, ``n_unreadable``, ``n_points``.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from pointlib import ModelInfo, build_model, gaussian_max, predict_folder, write_image
    >>> model = build_model(ModelInfo(n_channels=1))
    >>> model.network = torch.nn.Identity()  # instead of training: bright spots are points
    >>> spots = gaussian_max([[20, 10], [45, 30]], (40, 60), sigma=3).numpy()
    >>> write_image("images/a.png", np.uint8(255 * spots))
    >>> predict_folder(model, "images", "predictions")
    {'n_images': 1, 'n_unreadable': 0, 'n_points': 2}
    """
    output = Path(output)
    sources = sources_of(inputs, output)
    if text or overlay:
        _check_stems([name for _, name in sources])
    need_place(output)
    settings = {"threshold": threshold, "min_distance": min_distance}
    settings["threshold_fn"] = threshold_fn
    model.to(memory_format=torch.channels_last)  # a fifth faster on a CPU
    try_settings(model, settings)
    rows = []
    for path, name in sources:
        try:
            image, shape, found = predict_file(model, path, settings)
        except InputError as error:
            rows.append((name, None, *NOTHING_FOUND))
            if on_image:
                on_image(name, None, error)
            continue
        points, labels, _ = found
        rows.append((name, shape, *found))
        if text:
            _write_text(output / "text" / name, points, labels, shape)
        if overlay and image is not None:
            _write_overlay(output / "overlays" / name, overlay(image, points, labels))
        if on_image:
            on_image(name, len(points), None)
    write_tables(output, rows, model.info.classes, rules_in_use(model.info, **settings))
    n_unreadable = sum(shape is None for _, shape, *_ in rows)
    n_points = sum(len(points) for _, _, points, *_ in rows)
    return {"n_images": len(rows), "n_unreadable": n_unreadable, "n_points": n_points}


def sources_of(inputs, output):
    """Return `find_images` without what an earlier run wrote into the output."""
    own = {(output / "overlays").resolve(), (output / "text").resolve()}
    kept = [s for s in find_images(inputs) if own.isdisjoint(s[0].resolve().parents)]
    if not kept:
        raise InputError(f"all of {inputs} is where {output} is written; name another output.")
    return kept


def try_settings(model, settings):
    """Try settings on synthetic images: what fails there is a wrong setting, no wrong image."""
    threshold_fn = settings.get("threshold_fn", find_peaks)
    if threshold_fn is not find_peaks:
        check_threshold_fn(threshold_fn)
    predict_points(model, _blank(model.info), **settings)


def predict_file(model, path, settings):
    """Return image, its shape (H, W) and what is found; no image if it is read in parts.

    `settings` has threshold, min_distance and threshold_fn, as `predict_points` takes them.
    """
    own = {key: settings[key] for key in ("threshold", "min_distance")}
    if settings["threshold_fn"] is find_peaks and not fits_whole(path):
        with open_windows(path) as picture:
            found = predict_picture(model, picture, settings_of(model.info, **own))
            return None, picture.shape[:2], found
    image = read_image(path)
    return image, image.shape[:2], predict_points(model, image, **settings)


def write_tables(output, rows, classes, rules):
    """Write `points.csv` and `counts.csv`; older ones that differ are kept as copies.

    Parameters
    ----------
    output : Path
    rows : list of (name, shape, points, labels, scores)
        Of each picture; its shape (H, W) is None if it could not be read.
    classes : sequence of str
    rules : dict
        {class: CountRule} of the counts that are corrected.
    """
    table, counts, columns = [], [], count_columns(classes, rules)
    for name, shape, points, labels, scores in rows:
        if shape is None:
            counts.append([to_cell(name), "", "", "unreadable", *("" for _ in columns)])
            continue
        table += [
            [to_cell(name), f"{x:.3f}", f"{y:.3f}", to_cell(label), f"{score:.4f}"]
            for (x, y), label, score in zip(points, labels, scores, strict=True)
        ]
        cells = count_cells(labels, classes, rules, shape)
        counts.append([to_cell(name), shape[1], shape[0], "ok", *cells])
    _write_csv(output / "points.csv", ["image", "x", "y", "label", "score"], table)
    header = ["image", "width", "height", "status", *map(to_cell, columns)]
    _write_csv(output / "counts.csv", header, counts)


def rules_in_use(info, *, threshold=None, min_distance=None, threshold_fn=find_peaks):
    """Return {class: CountRule} of a model, {} with other settings than it was validated with."""
    chosen = threshold is None and min_distance is None and threshold_fn is find_peaks
    return info.count_rules if chosen else {}


def count_columns(classes, rules):
    """Return the names of the columns of counts: the classes, then what their rules add."""
    added = ("corrected", "lowest", "highest")
    return [*classes, *(f"{name} {word}" for name in classes if name in rules for word in added)]


def count_cells(labels, classes, rules, shape):
    """Return the number of points of each class, then each corrected count and its interval."""
    found = {name: int((labels == name).sum()) for name in classes}
    cells = list(found.values())
    for name in classes:
        if rule := rules.get(name):
            corrected = f"{rule.correct(found[name], shape):.1f}"
            cells += [corrected, *rule.interval(found[name], shape)]
    return cells


def _blank(info):
    """Return a blank image of the kind that a model was trained on."""
    kind = "float32" if info.depth == "float" else info.depth or "uint8"
    return np.zeros((64, 64, info.n_channels), kind)


def _is_image(name):
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def _check_stems(names):
    """Raise InputError if two images have one stem, and so would share a text file."""
    seen = {}
    for name in names:
        stem = Path(name).with_suffix("")
        if stem in seen:
            raise InputError(
                f"{seen[stem]} and {name} would share one text file or overlay; rename one."
            )
        seen[stem] = name


def _write_text(path, points, labels, shape):
    """Write the kit's text file of one image; without names if the only class is `point`."""
    path = path.with_suffix(".txt")
    named = None if set(labels) <= {"point"} else labels
    _replace(path, partial(write_points, path, points, shape, labels=named))


def _write_overlay(path, picture):
    """Write the picture of one image with its points, a PNG."""
    path = path.with_suffix(".png")
    _replace(path, partial(write_image, path, picture))


def _write_csv(path, header, rows):
    """Write a table; an existing one that differs is kept as a copy."""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([header, *rows])
    _replace(path, lambda: write_atomic(path, table.getvalue()))


def _replace(path, write):
    """Write a file; an existing one that differs is kept as a copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = keep_copy(path)  # first: a kill may come between the two
    try:
        write()
    except BaseException:
        if kept:
            move(kept, path)
        raise
    if kept and kept.is_file() and kept.read_bytes() == path.read_bytes():
        kept.unlink()
