"""`via`, the VGG Image Annotator 2 (and 1): its CSV, its JSON, and its project.

Pixels, x before y. A click is stored in whole pixels (`Math.round` in via.js), which is taken as
the pixel's centre: unverified to half a pixel. A point, circle or ellipse is its cx, cy; a
rectangle and a polygon are their centre, measured from the pixels' edges; lines are refused. The
class is the region's attribute: of several, one that is called class, label, name or the like, else
the first. Of checkboxes it is the name that is ticked.

**An image without regions is read as "looked, nothing there".** VIA lists every image that was
opened as a file, even those that nobody looked at.

`write` makes via_project.json, a project of VIA 2 whose images are in images/. VIA 3 has other
files: export COCO there.
"""

import json
from dataclasses import replace

import numpy as np

from pointlib.errors import InputError
from pointlib.files import write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.columns import RANKS, plain
from pointlib.formats.shared.jsons import files_in, heads
from pointlib.formats.shared.parts import area_centre
from pointlib.formats.shared.safe import (
    load_json,
    need,
    parse_cell,
    points_table,
    read_numbers,
)
from pointlib.formats.shared.tables import read_table
from pointlib.points import class_names

FILE = "via_project.json"
SUFFIXES = (".json", ".csv")
COLUMNS = ("filename", "region_shape_attributes", "region_attributes")
ATTRIBUTE = "class"


def read(source, pictures, form):
    """Yield a Record for each image in the file, by name."""
    path = source if source.is_file() else _file(source, pictures)
    entries = list(_rows(path) if path.suffix.lower() == ".csv" else _entries(path))
    attribute = _attribute(entries, pictures)
    found = {}
    for name, where, shape, attributes in entries:
        marks = found.setdefault(pictures.find(name, where), [])
        if shape:
            x, y, on_edges = _centre(shape, where)
            marks.append((x, y, _value(attributes.get(attribute), where), float(on_edges)))
    edges = replace(form, convention="corner")
    for image in sorted(found):
        values, labels, on_edges = points_table(found[image])
        shape = pictures.shape(image)
        points = form.to_points(values, shape)
        if on_edges is not None:
            points = np.where(on_edges[:, None] > 0, edges.to_points(values, shape), points)
        yield Record(image, None, points, labels)


def write(folder, records, form):
    """Write via_project.json."""
    images, classes = {}, class_names([record.labels for record in records])
    for record in records:
        values = np.round(form.from_points(record.points, record.shape), form.decimals).tolist()
        regions = [
            {
                "shape_attributes": {"name": "point", "cx": x, "cy": y},
                "region_attributes": {ATTRIBUTE: label or classes[0]},
            }
            for (x, y), label in zip(values, record.labels.tolist(), strict=True)
        ]
        size = (folder / "images" / record.name).stat().st_size
        images[f"{record.name}{size}"] = {
            "filename": record.name, "size": size, "regions": regions, "file_attributes": {}
        }  # fmt: skip
    options = {"type": "dropdown", "description": "", "options": dict.fromkeys(classes, "")}
    data = {
        "_via_settings": {"core": {"default_filepath": "images/"}},
        "_via_img_metadata": images,
        "_via_attributes": {"region": {ATTRIBUTE: options}, "file": {}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": list(images),
    }
    write_atomic(folder / FILE, json.dumps(data, ensure_ascii=False) + "\n")


def looks(source):
    """Return whether a file, or one in a folder, is VIA's."""
    for head in heads(source, *SUFFIXES):
        first = head.partition("\n")[0]
        if "region_shape_attributes" in first and "filename" in first:
            return True
        if head[:1] == "{" and '"regions"' in head and '"file_attributes"' in head:
            return True
    return False


def _file(source, pictures):
    """Return the one file of VIA in a folder."""
    places = dict.fromkeys([source, pictures.home, pictures.folder])
    found = [path for place in places for path in files_in(place, *SUFFIXES) if looks(path)]
    found = list(dict.fromkeys(found))
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:5]) or "none"
        raise InputError(f"{source} holds {len(found)} files of VIA ({names}). Name the one meant.")
    return found[0]


def _entries(path):
    """Yield (image, where, shape or None, attributes) of each region of a JSON file."""
    data = load_json(path)
    if not isinstance(data, dict):
        raise InputError(f"{path} is a {type(data).__name__}; expected VIA's object of images.")
    images = need(data, "_via_img_metadata", dict, path) if "_via_img_metadata" in data else data
    for key, entry in images.items():
        where = f"{path}, image {key!r:.80}"
        name = need(entry, "filename", str, where)
        regions = entry.get("regions") or []
        regions = list(regions.values()) if isinstance(regions, dict) else regions  # VIA 1
        yield name, where, None, {}
        for index, region in enumerate(need({"regions": regions}, "regions", list, where)):
            here = f"{where}, region {index}"
            shape = need(region, "shape_attributes", dict, here)
            yield name, here, shape, region.get("region_attributes") or {}


def _rows(path):
    """Yield the same of each row of a CSV file."""
    table = read_table(path)
    names = [name.lower() for name in table.header or ()]
    if missing := [name for name in COLUMNS if name not in names]:
        raise InputError(f"{path} has no column {', '.join(missing)}. Export it from VIA as CSV.")
    for line, cells in table.rows:
        row = dict(zip(names, cells, strict=False))
        where = table.where(line)
        shape, attributes = (_parsed(row.get(name, ""), name, where) for name in COLUMNS[1:])
        yield row["filename"], where, shape or None, attributes


def _parsed(text, name, where):
    value = parse_cell(text or "{}", name, where)
    if not isinstance(value, dict):
        raise InputError(f"{where}: {name} is a {type(value).__name__}; expected an object.")
    return value


def _attribute(entries, pictures):
    """Return the name of the attribute that is the class."""
    names = dict.fromkeys(
        key
        for *_, attributes in entries
        if isinstance(attributes, dict)
        for key, value in attributes.items()
        if value
    )
    known = RANKS["label"]
    ranked = sorted(names, key=lambda name: known.get(plain(name), len(known)))  # keeps their order
    if len(names) > 1:
        others = ", ".join(name for name in names if name != ranked[0])
        pictures.notes.append(f"The class is the attribute {ranked[0]}; not read: {others}.")
    return ranked[0] if ranked else ""


def _value(value, where):
    """Return a class as text; of checkboxes the one that is ticked."""
    if isinstance(value, dict):
        ticked = [name for name, is_on in value.items() if is_on]
        if len(ticked) > 1:
            raise InputError(f"{where} has several classes: {', '.join(ticked)}. Choose one.")
        value = ticked[0] if ticked else ""
    return str(value).strip() if value is not None else ""


def _centre(shape, where):
    """Return (x, y, whether they are measured from the edges) of a shape."""
    kind = shape.get("name")
    if kind in ("point", "circle", "ellipse"):
        return *read_numbers([shape.get("cx"), shape.get("cy")], where, ("cx", "cy")), False
    if kind == "rect":
        names = ("x", "y", "width", "height")
        x, y, width, height = read_numbers([shape.get(name) for name in names], where, names)
        return x + width / 2, y + height / 2, True
    if kind == "polygon":
        rows = [need(shape, f"all_points_{axis}", list, where) for axis in "xy"]
        if len(rows[0]) != len(rows[1]) or len(rows[0]) < 3:
            raise InputError(f"{where}: a polygon of {len(rows[0])} corners. Remove it.")
        corners = [read_numbers(pair, where, ("x", "y")) for pair in zip(*rows, strict=True)]
        return *area_centre([corners]), True
    raise InputError(
        f"{where} is a {str(kind)[:40]}; points, circles, ellipses, rectangles and polygons are "
        "read. Remove it."
    )


FORMAT = Format(
    "via",
    "VGG Image Annotator 2: CSV, JSON, project",
    read,
    write,
    looks,
    decimals=6,
    lists_all=True,
)
