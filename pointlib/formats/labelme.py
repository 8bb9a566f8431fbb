"""`labelme`, a JSON file beside each image, with the same stem, as the tool labelme writes it.

Pixels from the image's edge (corner), x before y: labelme stores clicks on its canvas, with the
image's upper left corner at (0, 0), and applies the EXIF orientation first. Of its shapes
(`shape_type`) a point is itself, a circle its first point, a rectangle the centre of its corners, a
polygon or oriented rectangle the centroid of its area; lines, strips, masks and the rest are
refused. Before version 3 files have no `shape_type`: those are polygons. A file without shapes
means "looked, nothing there". Flags, groups and descriptions are ignored, and `imageData`, a copy
of the whole image, is never decoded.

The image is the one that `imagePath` names or, if that is missing, the one of the file's own stem.
The tests that the real tool reads our files, and the sample of what it writes, use labelme 6.3.1
(label files only, without its window).
"""

import json
from pathlib import PureWindowsPath

import numpy as np

from pointlib.errors import InputError
from pointlib.files import write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.jsons import heads, one_each, read_size, read_table
from pointlib.formats.shared.parts import area_centre
from pointlib.formats.shared.safe import load_json, need, points_table

_VERSION = "5.5.0"  # of labelme, written into the files
_KEYS = ("imagePath", "imageData", "shape_type", "lineColor")  # a file has one of these early on


def read(source, pictures, form):
    """Yield a Record for each JSON file."""
    names, stems = ({getattr(path, key) for path in pictures.paths} for key in ("name", "stem"))
    for path in one_each(source, pictures, (".json",), looks):
        data = load_json(path)
        rows = []
        for index, shape in enumerate(need(data, "shapes", list, path)):
            where = f"{path}, shapes[{index}]"
            label = need(shape, "label", (str, type(None)), where)
            rows.append((*_centre(shape, where), label, None))
        name = need(data, "imagePath", str, path) if data.get("imagePath") else path.stem
        if PureWindowsPath(name).name not in names and path.stem in stems:  # handles both slashes
            name = path.stem
        image = pictures.find(name, path, near=path.parent)
        size = read_size(data, ("imageHeight", "imageWidth"))
        values, labels, _ = points_table(rows)
        yield Record(image, size, form.to_points(values, size or pictures.shape(image)), labels)


def write(folder, records, form):
    """Write a JSON file beside each record's image."""
    rest = {"group_id": None, "description": "", "shape_type": "point", "flags": {}, "mask": None}
    for record in records:
        values = form.from_points(record.points, record.shape)
        values = np.round(values, form.decimals).tolist()
        shapes = [
            {"label": str(label), "points": [value], **rest}
            for value, label in zip(values, record.labels, strict=True)
        ]
        data = {"version": _VERSION, "flags": {}, "shapes": shapes, "imagePath": record.name}
        data |= {"imageData": None, "imageHeight": record.shape[0], "imageWidth": record.shape[1]}
        path = (folder / "images" / record.name).with_suffix(".json")
        write_atomic(path, json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def looks(source):
    """Return whether a JSON file, or one in a folder or its `images`, has labelme's shapes."""
    places = (source, source / "images") if source.is_dir() else (source,)
    return any(
        head[:1] == "{" and '"shapes"' in head and any(f'"{key}"' in head for key in _KEYS)
        for place in places
        for head in heads(place, ".json")
    )


def _centre(shape, where):
    """Return the centre (x, y) of a labelme shape."""
    kind = need(shape, "shape_type", str, where) if shape.get("shape_type") else "polygon"
    least = {"point": 1, "circle": 1, "rectangle": 2, "polygon": 3, "oriented_rectangle": 4}
    if kind not in least:
        raise InputError(
            f"{where} is a {kind:.40}; {', '.join(least)} are read. Draw one of those, or remove "
            "it."
        )
    corners = read_table(need(shape, "points", list, where), where, least=least[kind])
    if kind == "point" and len(corners) > 1:
        raise InputError(f"{where} is a point of {len(corners)} places; expected one. Split it.")
    if kind == "rectangle":
        return corners.min(axis=0) / 2 + corners.max(axis=0) / 2
    return area_centre([corners]) if least[kind] > 2 else corners[0]


FORMAT = Format(
    "labelme",
    "labelme's JSON beside each image",
    read,
    write,
    looks,
    convention="corner",
    decimals=6,
    upright=True,
    checked="labelme 6.3.1",
)
