"""`dotdotgoose`, the points of the counting tool DotDotGoose: one .pnt file, JSON, for a folder.

Pixels from the image's edge (corner), x before y, since the tool stores `mapToScene` of a click and
cuts its chips at int(x) (its files `central_graphics_view.py`, `exporter.py`). Under `points` each
image has, by class, a list of x and y. The tool lists every image of a folder as soon as the folder
is opened (`Canvas.load_images`): one without a class is read as not labelled, while one with a
class and an empty list, which the tool keeps after points are deleted, is read as "looked, nothing
there". Files are written the same way: unlabelled images are listed without a class. The tool has
no points without a class: they become `point`. Order is kept only within each class of an image.

DotDotGoose ignores the EXIF orientation (plain `Image.open`): images that have one are refused. Its
table of points (Export, "survey id,image,class,x,y") is read too; it cannot express an empty image.
"""

import json

import numpy as np

from pointlib.errors import InputError
from pointlib.files import write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.jsons import files_in, heads
from pointlib.formats.shared.safe import load_json, need, points_table, read_numbers, read_rows
from pointlib.images import list_images, open_image
from pointlib.points import class_names

_COLOURS = ((230, 60, 60), (60, 120, 230), (60, 180, 75), (245, 180, 40), (145, 70, 200))
_LOOK = {
    "grid": {"size": 200, "color": [255, 255, 255]},
    "point": {"radius": 25, "color": [255, 255, 0]},
}


def read(source, pictures, form):
    """Yield a Record for each image that has a class."""
    path = _file(source, pictures)
    rows = _read_table(path) if path.suffix.lower() == ".csv" else _read_points(path)
    for name, found in rows.items():
        image = pictures.find(name, path)
        _need_upright(image)
        values, labels, _ = points_table(found)
        yield Record(image, None, form.to_points(values, pictures.shape(image)), labels)


def write(folder, records, form):
    """Write points.pnt beside the images, where the tool looks for them."""
    classes = class_names([record.labels for record in records])
    images = folder / "images"
    points = {image.relative_to(images).as_posix(): {} for image in list_images(images)}
    for record in records:
        found = points[record.name] = {name: [] for name in classes}
        values = np.round(form.from_points(record.points, record.shape), form.decimals).tolist()
        for (x, y), label in zip(values, record.labels, strict=True):
            found[str(label) or classes[0]].append({"x": x, "y": y})
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(classes)}
    data = {"classes": classes, "points": points, "colors": colours, "ui": _LOOK}
    data["metadata"] = {"survey_id": "", "coordinates": {}}
    data["custom_fields"] = {"fields": [], "data": {}}
    write_atomic(folder / "images" / "points.pnt", json.dumps(data) + "\n")


def looks(source):
    """Return whether a file, or one in a folder or its `images`, is a .pnt or its table."""
    places = (source, source / "images") if source.is_dir() else (source,)
    return any(
        (head[:1] == "{" and '"classes"' in head) or _is_table(head)
        for place in places
        for head in heads(place, ".pnt", ".csv")
    )


def _is_table(head):
    """Return whether a file begins as the table of points does; a survey's own fields are in it."""
    names = head.partition("\n")[0].strip().split(",")
    return names[:2] == ["survey id", "image"] and {"class", "x", "y"} <= set(names)


def _file(source, pictures):
    if source.is_file():
        return source
    places = (source, pictures.folder, pictures.home)
    found = next(filter(None, (files_in(place, ".pnt") for place in places)), [])
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:5])
        raise InputError(f"{source} has {len(found)} .pnt files ({names}); name the one meant.")
    return found[0]


def _read_points(path):
    """Return {image: [(x, y, class, None), ...]} for the images that have a class."""
    rows = {}
    for name, classes in need(load_json(path), "points", dict, path).items():
        where = f"{path}, image {name!r}"
        for label in need({name: classes}, name, dict, where):
            rows.setdefault(name, [])
            for index, point in enumerate(need(classes, label, list, where)):
                here = f"{where}, {label!r} [{index}]"
                pair = [need(point, key, (int, float), here) for key in "xy"]
                rows[name].append((*read_numbers(pair, here, ("x", "y")), label, None))
    return rows


def _read_table(path):
    rows = {}
    for where, row in read_rows(path, ("image", "class", "x", "y")):
        pair = read_numbers((row["x"], row["y"]), where, ("x", "y"))
        rows.setdefault(row["image"], []).append((*pair, row["class"], None))
    return rows


def _need_upright(path):
    """Refuse an image that other programs rotate by EXIF, but DotDotGoose does not."""
    if not path.is_file() or path.suffix.lower() in (".tif", ".tiff"):  # which Pillow does rotate
        return
    with open_image(path) as (header, _):
        if header.turn not in (0, 1):
            raise InputError(
                f"{path} has the EXIF orientation {header.turn}, which DotDotGoose does not apply: "
                "its points are in the wrong place. Rotate the file itself, and annotate it again."
            )


FORMAT = Format(
    "dotdotgoose",
    "DotDotGoose's points, .pnt",
    read,
    write,
    looks,
    convention="corner",
    decimals=6,
)
