"""`cvat`, "CVAT for images 1.1": annotations.xml with every image of a task and its shapes.

x to the right, y down, pixels from the image's edge (corner): the centre of the first pixel is
(0.5, 0.5). CVAT's docs do not say so, its source does: shapes are SVG over the image, one unit per
pixel (cvat-canvas, `translateToSVG`), kept between 0 and the width and height themselves
(cvat-core, `fitPoints`), and a box is as wide as the difference of its sides (`checkShapeArea`).
CVAT itself writes two decimals; six are written here.

Points, one or more in an element, are one point each. Boxes and ellipses, rotated or not, give
their centre, polygons the centroid of their area. A skeleton's points have their own labels, but a
single one has the skeleton's. `outside="1"` means "not in the image": such a point is left out. An
occluded one was placed by a person and stays. Lines, cuboids and masks are refused. Tags (of the
whole image) and attributes (of an object) are ignored: the kit has no place for either.

**An image without shapes is read as "looked, nothing there".** CVAT exports every image of a task,
even those that nobody has opened, and its file does not distinguish them: export finished jobs, or
remove unfinished images from the file. Points without a class are written as `point`.
"""

from pointlib.errors import InputError
from pointlib.files import need_file, write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.labelled import names_region, regions_of_areas
from pointlib.formats.shared.parts import (
    area_centre,
    box_centre,
    head_of,
    plain,
    read_size,
    xml_text,
)
from pointlib.formats.shared.safe import parse_xml, points_table, read_numbers
from pointlib.points import class_names

FILE = "annotations.xml"
_EDGES = ("xtl", "ytl", "xbr", "ybr")
_HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <size>{size}</size>
      <mode>annotation</mode>
      <labels>
{labels}      </labels>
    </task>
  </meta>
"""


def read(source, pictures, form):
    """Yield a Record for each <image>."""
    for path in _files(source, pictures):
        if next(parse_xml(path, tag="track"), None) is not None:
            raise InputError(f"{path} has tracks of a video. Export it as CVAT for images 1.1.")
        element = None
        for number, element in enumerate(parse_xml(path, tag="image"), start=1):
            yield _record(element, f"{path}, image {number}", pictures, form)
        if element is None and next(parse_xml(path, tag="annotations"), None) is None:
            raise InputError(f"{path} has no <annotations>. Export it as CVAT for images 1.1.")


def write(folder, records, form):
    """Write annotations.xml with the classes and one <points> per point."""
    classes = class_names([record.labels for record in records])
    names = {name: xml_text(name) for name in classes}
    names.setdefault("", names[classes[0]])
    labels = "".join(
        f"        <label><name>{names[name]}</name><attributes></attributes></label>\n"
        for name in classes
    )
    lines = [_HEAD.format(size=len(records), labels=labels)]
    for number, record in enumerate(records):
        name, (height, width) = xml_text(record.name), record.shape
        lines.append(f'  <image id="{number}" name="{name}" width="{width}" height="{height}">\n')
        lines.extend(_polygons(record, form))
        values = form.from_points(record.points, record.shape).tolist()
        lines.extend(
            f'    <points label="{names[label]}" source="manual" occluded="0" '
            f'points="{plain(x)},{plain(y)}" z_order="0"></points>\n'
            for (x, y), label in zip(values, record.labels.tolist(), strict=True)
        )
        lines.append("  </image>\n")
    write_atomic(folder / FILE, "".join([*lines, "</annotations>\n"]))


def _polygons(record, form):
    """Yield a line for each area of a record's regions; CVAT's polygons have no holes."""
    for outline, *_ in record.regions.areas if record.regions else ():
        corners = form.from_points(outline, record.shape).tolist()
        points = ";".join(f"{plain(x)},{plain(y)}" for x, y in corners)
        yield (
            f'    <polygon label="labelled" source="manual" occluded="0" points="{points}" '
            'z_order="0"></polygon>\n'
        )


def looks(source):
    """Return whether this is such an XML file, or a folder with one."""
    head = head_of(source, ".xml")
    return "<annotations" in head and ("<image" in head or "<meta>" in head)


def _files(source, pictures):
    """Return the source, annotations.xml in it, or all XML files there (Datumaro's splits)."""
    path = pictures.home / FILE if source.is_dir() else source
    others = [] if path.exists() else sorted(pictures.home.glob("*.xml"))
    return others or [need_file(path, "CVAT export")]


def _record(element, where, pictures, form):
    """Return the Record of one <image>."""
    name = element.get("name")
    if not name:
        raise InputError(f"{where} has no name. Export it as CVAT for images 1.1.")
    where = f"{where} ({name!r})"
    image = pictures.find(name, where)
    size = read_size(element.get("width"), element.get("height"), where)
    rows, areas = [], []
    for number, shape in enumerate(element, start=1):
        here = f"{where}, {shape.tag} {number}"
        if shape.tag in ("polygon", "box") and names_region(shape.get("label", "")):
            areas.append([_outline(shape, here)])
        else:
            rows.extend(_rows(shape, here))
    values, labels, _ = points_table(rows)
    known = size or pictures.shape(image)
    regions = regions_of_areas(areas, form, known)
    return Record(image, size, form.to_points(values, known), labels, regions=regions)


def _outline(shape, where):
    """Return the corners (x, y) of a polygon or a box."""
    if shape.tag == "polygon":
        return _pairs(shape, where)
    left, top, right, bottom = read_numbers([shape.get(n) for n in _EDGES], where, _EDGES)
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _rows(shape, where):
    """Yield (x, y, label, None) for each point that a CVAT shape represents."""
    label = shape.get("label", "")
    if shape.tag == "skeleton":
        parts = [part for part in shape if part.tag != "attribute"]
        for part in parts:
            if part.tag != "points":
                raise InputError(f"{where} has a {part.tag}; expected points. Remove it.")
            for x, y, own, score in _rows(part, where):
                yield x, y, label if len(parts) == 1 else own, score
    elif shape.tag != "tag" and shape.get("outside") != "1":
        for x, y in _centres(shape, where):
            yield x, y, label, None


def _centres(shape, where):
    """Return the (x, y) of a shape other than a skeleton."""
    if shape.tag == "points":
        return _pairs(shape, where)
    if shape.tag == "polygon":
        return [tuple(area_centre([_pairs(shape, where)]))]
    names = {"box": _EDGES, "ellipse": ("cx", "cy")}.get(shape.tag)
    if names is None:
        raise InputError(
            f"{where}: a {shape.tag} has no centre that can be read; expected points, a skeleton, "
            "box, ellipse or polygon. Remove it."
        )
    numbers = read_numbers([shape.get(name) for name in names], where, names)
    return [box_centre(numbers, where) if shape.tag == "box" else numbers]


def _pairs(shape, where):
    """Return the pairs of numbers in an attribute `points`: x,y;x,y."""
    pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise InputError(f"{where}: {shape.get('points', '')[:60]!r}; expected points x,y;x,y.")
    return [read_numbers(pair, where, ("x", "y")) for pair in pairs]


FORMAT = Format(
    "cvat",
    "CVAT for images 1.1, annotations.xml",
    read,
    write,
    looks,
    convention="corner",
    decimals=6,
    lists_all=True,
    carries=frozenset({"labels", "empty", "regions"}),
    checked="Datumaro 1.13.12, globox 2.9",
)
