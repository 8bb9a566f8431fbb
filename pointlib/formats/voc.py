"""`voc`, Pascal VOC: an XML file per image with a box around each object; points are their centres.

x to the right, y down, pixels, the box's edges from the image's edge (corner): the box around the
first pixel is 0, 0, 1, 1, and its centre (0.5, 0.5) is that pixel's centre. Datumaro and CVAT
(decimals), labelImg (truncated to integers, never below 1), globox and pylabel do it this way. The
challenge of 2005 to 2012 itself counted pixels from 1 with inclusive limits (its devkit: "the
top-left pixel has coordinates (1,1)"): the first pixel is 1, 1, 1, 1. supervision 0.31 writes that
too, as does Datumaro's `voc-one-based`. Such files look the same; read as edges, their points are
half a pixel too far right and down. If numbers are inclusive pixel indices from 0,
`convention="centre"` is right. Roboflow's own exports are integers: unverified.

Difficult, truncated and occluded objects were marked by a person and stay. Parts of an object
(head, hand) and its pose, polygon and actions are ignored. The image is the one with the XML's own
stem, as tools pair them, else the one that <filename> names, with or without its suffix. A file
without objects means "looked, nothing there"; no file, "not labelled yet".

`write` makes Annotations/ with boxes of side `box` (16 pixels), narrower at the image's edge to
keep their centre, with up to six decimals: integers would move it. Points without a class are
written as `point`.
"""

import numpy as np

from pointlib.errors import InputError
from pointlib.files import write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.parts import (
    box_centre,
    half_sides,
    head_of,
    plain,
    read_size,
    xml_text,
)
from pointlib.formats.shared.safe import parse_xml, points_table, read_numbers
from pointlib.points import class_names

FOLDER = "Annotations"
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_HEAD = """<annotation>
  <folder>images</folder>
  <filename>{}</filename>
  <size><width>{}</width><height>{}</height></size>
  <segmented>0</segmented>
"""
_OBJECT = """  <object>
    <name>{}</name>
    <pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>
    <bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>
  </object>
"""


def read(source, pictures, form):
    """Yield a Record for each XML file."""
    paths = _files(pictures.home) if source.is_dir() else [source]
    if not paths and not (pictures.home / FOLDER).is_dir():
        raise InputError(f"{pictures.home} has no .xml file. Name the folder with {FOLDER}/.")
    for path in paths:
        named, size, rows = _parse(path)
        image = _image(path, named, pictures)
        values, labels, _ = points_table(rows)
        yield Record(image, size, form.to_points(values, size or pictures.shape(image)), labels)


def write(folder, records, form):
    """Write an XML file per record, with a box around each point."""
    (folder / FOLDER).mkdir(parents=True)
    unnamed = class_names([record.labels for record in records])[0]
    for record in records:
        middles = form.from_points(record.points, record.shape)
        halves = half_sides(record.points, record.shape, form.box)
        boxes = np.hstack([middles - halves, middles + halves]).tolist()
        objects = [
            _OBJECT.format(xml_text(label or unnamed), *map(plain, box))
            for label, box in zip(record.labels.tolist(), boxes, strict=True)
        ]
        height, width = record.shape
        head = _HEAD.format(xml_text(record.name), width, height)
        text = "".join([head, *objects, "</annotation>\n"])
        write_atomic(folder / FOLDER / f"{record.stem}.xml", text)


def looks(source):
    """Return whether this is such an XML file, or a folder with one."""
    head = head_of(source, ".xml", (FOLDER, ".", "images"))
    return "<annotation" in head and "<annotations" not in head and "<filename" in head


def _files(home):
    """Return the XML files of a dataset, without those in hidden folders."""
    found = (path.relative_to(home) for path in home.rglob("*.xml"))
    return sorted(home / path for path in found if not any(p[0] == "." for p in path.parts))


def _parse(path):
    """Return <filename> or "", <size> as (H, W) or None, and the rows of the objects."""
    named, size, rows = "", None, []
    for element in parse_xml(path, tag=("filename", "size", "object")):
        if element.tag == "object":
            rows.append(_row(element, f"{path}, object {len(rows) + 1}"))
        elif element.tag == "size":
            size = read_size(_text(element, "width"), _text(element, "height"), f"{path}, size")
        else:
            named = (element.text or "").strip()
    found = 1 if rows else sum(1 for _ in parse_xml(path, tag="annotation"))
    if found != 1:
        raise InputError(
            f"{path} has {found} <annotation>; expected one, as in a file of Pascal VOC. Remove "
            "other XML files from the folder."
        )
    return named, size, rows


def _image(path, named, pictures):
    """Return the image of an XML file: the one with its stem, else the one in <filename>."""
    near = path.parent
    image = pictures.lookup(path.stem, near=near)
    other = pictures.lookup(named, near=near) if named else None
    if image is None:
        return pictures.find(named or path.stem, path, near=near)
    if other not in (None, image):
        raise InputError(
            f"{path} names {named!r}, but {image.name} is here as well. Rename the file or fix "
            "its <filename>."
        )
    return image


def _row(element, where):
    """Return (x, y, label, None) of one <object>."""
    box = element.find("bndbox")
    if box is None:
        raise InputError(f"{where} has no bndbox; expected one with {', '.join(_EDGES)}.")
    edges = read_numbers([_text(box, name) for name in _EDGES], where, _EDGES)
    return (*box_centre(edges, where), _text(element, "name"), None)


def _text(element, tag):
    """Return the stripped text of a child element; None if there is none."""
    return (element.findtext(tag) or "").strip() or None


FORMAT = Format(
    "voc",
    "Pascal VOC, an XML file of boxes per image",
    read,
    write,
    looks,
    convention="corner",
    decimals=6,
    forbids="\n",
    box=16.0,
    checked="labelImg 1.8.6, Datumaro 1.13.12, globox 2.9",
)
