"""`imagej`, what ImageJ and Fiji save: Results tables, Cell Counter's XML, .roi and RoiSet.zip.

Pixels from the image's corner, x before y: a click on the first pixel is measured as 0.5, 0.5.
Points in a .roi without sub-pixel resolution are whole pixel indices, as are Cell Counter's
markers: those count from the pixel's centre (ij/gui/PointRoi.java and ij/io/RoiDecoder.java, where
an area's corners lie between pixels; roifile decodes them).

A Results table has the columns X and Y, else the centre of mass XM, YM, else BX, BY, Width, Height.
Its images' names are in `Label` (up to a colon: what follows is the region or the slice); without
that column the table belongs to the image with its name, or to the only one. `Counter`, or Cell
Counter's `Type`, is the class if there are several. In Cell Counter's XML the class is the type's
name, else its number. A region of a point or of an area is one object, its class the region's name,
unless ImageJ made that up from the position.

**A calibrated image is measured in its unit**, and the table does not say so: if an image's own
header or where the points lie tells it, the table is refused until `--pixel-size` is given.
Points of several slices are refused: images are 2D.

`write` makes rois/NAME_RoiSet.zip, a multi-point region for each class, which ImageJ opens by
dropping it on the image. Tested with roifile; ImageJ itself was not run.
"""

import io
import re
import zipfile
from dataclasses import replace

import numpy as np
from roifile import ROI_TYPE, ImagejRoi

from pointlib.errors import InputError, brief
from pointlib.files import write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.columns import IMAGEJ_PLACES, Columns, is_results
from pointlib.formats.shared.jsons import files_in
from pointlib.formats.shared.parts import area_centre
from pointlib.formats.shared.rows import image_of, read_marks
from pointlib.formats.shared.safe import need_small, parse_xml, peek, points_table, read_numbers
from pointlib.formats.shared.tables import is_blank, read_head, read_table
from pointlib.formats.shared.units import calibration_of, in_corner, refuse_corner

FOLDER = "rois"
FOLDERS = (FOLDER, "roi", "roisets", "roi_sets")
TABLES = (".csv", ".tsv", ".txt", ".xls")  # an .xls of ImageJ is text
SUFFIXES = (*TABLES, ".xml", ".roi", ".zip")
CLASSES = ("Counter", "Type")
_MADE_UP = re.compile(r"\d+(-\d+)+|Point( \d+)?|roi[-_ ]?\d*|", re.IGNORECASE)
MOST_ROIS, MOST_ROI_BYTES = 100_000, 200_000_000


def read(source, pictures, form):
    """Yield a Record for each image with points, by name."""
    found = {}
    for file in [source] if source.is_file() else _files(source, pictures):
        kind = {".roi": _read_regions, ".zip": _read_regions, ".xml": _read_counter}
        reader = kind.get(file.suffix.lower(), _read_results)
        for image, part in reader(file, pictures, form):
            found.setdefault(image, []).append(part)
    for image in sorted(found):
        points = np.concatenate([points for points, _ in found[image]])
        labels = [label for _, labels in found[image] for label in labels]
        yield Record(image, None, points, np.array(labels, dtype=str))


def write(folder, records, form):
    """Write rois/NAME_RoiSet.zip for each image with points."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for record in records:
        if not len(record.points):
            continue
        values = np.round(form.from_points(record.points, record.shape), form.decimals)
        with zipfile.ZipFile(data := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            for number, label in enumerate(dict.fromkeys(record.labels.tolist()), start=1):
                own = values[record.labels == label].astype(np.float32)
                roi = ImagejRoi.frompoints(own, name=label or f"Point {number}")
                roi.roitype = ROI_TYPE.POINT
                entry = zipfile.ZipInfo(f"{number:04}.roi")
                archive.writestr(entry, roi.tobytes())
        write_atomic(folder / FOLDER / f"{record.stem}_RoiSet.zip", data.getvalue())


def looks(source):
    """Return whether a file is one of ImageJ's, or a folder has one."""
    if not source.is_dir():
        return _is_own(source)
    places = [source, *(path for name in FOLDERS if (path := source / name).is_dir())]
    return any(_is_own(path) for place in places for path in files_in(place, *SUFFIXES, most=50))


def _files(source, pictures):
    """Return ImageJ's files in a folder, beside the images and in folders of regions."""
    tops = [source, pictures.home, *(path.parent for path in pictures.paths)]
    own = [top / name for top in tops for name in FOLDERS if (top / name).is_dir()]
    deep = [path for top in own for path in [top, *sorted(top.rglob("*"))] if path.is_dir()]
    found = [path for top in dict.fromkeys([*tops, *deep]) for path in files_in(top, *SUFFIXES)]
    found = [path for path in found if _is_own(path)]
    if not found and not own:
        raise InputError(
            f"{source} has no file of ImageJ: no Results table with X and Y, no Cell Counter XML, "
            "no .roi and no zip of them. Name the file."
        )
    return found


def _is_own(path):
    suffix = path.suffix.lower()
    if suffix == ".roi":
        return peek(path, 4) == "Iout"
    if suffix == ".zip":
        return bool(_names(path))
    if suffix == ".xml":
        return "<CellCounter_Marker_File" in peek(path)
    table = read_head(path) if suffix in TABLES else None
    return table is not None and is_results(table)


def _names(path):
    """Return the names of the regions in a zip, [] if something else is in it too."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return []
    return names if all(name.lower().endswith(".roi") for name in names) else []


def _read_results(file, pictures, form):
    """Yield (image, (points, labels)) of a Results table."""
    table = read_table(file)
    header = table.header or []
    if not is_results(table):
        raise InputError(
            f"{file} is not a Results table with X and Y (Analyze > Set Measurements: centroid)."
        )
    places = next(own for own in IMAGEJ_PLACES if set(own) <= set(header))
    roles = ("x", "y") if len(places) == 2 else ("left", "top", "width", "height")
    of = {role: header.index(name) for role, name in zip(roles, places, strict=True)}
    if "Label" in header:
        of["image"] = header.index("Label")
        table = _named(table, of["image"], pictures)
    for role, name in (("frame", "Slice"), ("label", _class_column(table))):
        if name and name in header:
            of[role] = header.index(name)
    counter = {"Type", "Value"} <= set(header)  # Cell Counter's table of markers: pixel indices
    form = form if counter else replace(form, convention="corner")
    kind = "points" if len(places) == 2 else "spans"
    marks = read_marks(table, Columns(of, kind), pictures, form, fractions=False)
    pictures.notes += marks.notes
    parts = {image: marks.points(image, pictures.shape(image))[:2] for image in marks.rows}
    if form.scale is None and not counter:
        _need_uncalibrated(file, parts, pictures)
    yield from parts.items()


def _named(table, index, pictures):
    """Return a Table whose labels are the images' names only, without region and slice."""
    rows = []
    for line, cells in table.rows:
        label = cells[index]
        name = label if pictures.has(label) else label.split(":")[0]
        rows.append((line, [*cells[:index], name, *cells[index + 1 :]]))
    return table._replace(rows=rows)


def _class_column(table):
    """Return the name of the column that is the class: one that has several values."""
    for name in CLASSES:
        if name in table.header:
            index = table.header.index(name)
            values = {cells[index] for _, cells in table.rows if len(cells) > index}
            if len({value for value in values if not is_blank(value)}) > 1:
                return name
    return ""


def _need_uncalibrated(file, parts, pictures):
    """Raise InputError if the images, or where the points lie, say that they are no pixels."""
    for image in parts:
        if not pictures.is_missing(image) and (found := calibration_of(image)):
            size, unit = found
            raise InputError(
                f"{file}: {image.name} is calibrated, so ImageJ measures it in {unit}: add "
                f"--pixel-size {size:.6g}; or --scale 1 if the table is in pixels."
            )
    shaped = [(points, pictures.shape(image)) for image, (points, _) in parts.items()]
    if reach := in_corner(shaped):
        refuse_corner(file, reach)


def _read_counter(file, pictures, form):
    """Yield (image, (points, labels)) of Cell Counter's markers."""
    elements = {}
    for element in parse_xml(need_small(file), tag=("Image_Filename", "Marker_Type")):
        elements.setdefault(element.tag, []).append(element)
    named = elements.get("Image_Filename", [None])[0]
    name = (named.text or "").strip() if named is not None else ""
    notes = []
    known = bool(name) and pictures.has(name)
    image = pictures.find(name, file) if known else image_of(file, pictures, notes)
    pictures.notes += notes
    rows, planes = [], set()
    for element in elements.get("Marker_Type", ()):
        number = (element.findtext("Type") or "").strip()
        own = (element.findtext("Name") or "").strip()
        label = own if own and own != f"Type {number}" else number
        for index, marker in enumerate(element.iter("Marker"), start=1):
            where = f"{file}, type {number}, marker {index}"
            names = ("MarkerX", "MarkerY", "MarkerZ")
            x, y, z = read_numbers([marker.findtext(n, "1") for n in names], where, names)
            planes.add(z)
            rows.append((x, y, label, None))
    _need_one_plane(planes, file)
    values, labels, _ = points_table(rows)
    form = replace(form, convention="centre", scale=None)
    yield image, (form.to_points(values, pictures.shape(image)), labels.tolist())


def _read_regions(file, pictures, form):
    """Yield (image, (points, labels)) of a .roi, or of a zip of them."""
    notes, points, labels, planes = [], [], [], set()
    image = image_of(file, pictures, notes)
    pictures.notes += notes
    shape = pictures.shape(image)
    form = replace(form, scale=None)  # regions are in pixels, whatever the calibration
    for where, data in _region_bytes(file):
        roi = _decode(where, data)
        values, convention = _centres(roi, where)
        points.append(replace(form, convention=convention).to_points(values, shape))
        labels += _labels(roi, len(values), image)
        own = roi.counter_positions if roi.counter_positions is not None else [roi.position]
        planes |= {int(plane) for plane in np.ravel(own)} - {0}  # 0: on all
    _need_one_plane(planes, file)
    yield image, (np.concatenate([np.empty((0, 2)), *points]), labels)


def _region_bytes(file):
    """Yield (where, bytes) of the regions in a file, within limits."""
    if file.suffix.lower() == ".roi":
        yield file, need_small(file, most=MOST_ROI_BYTES).read_bytes()
        return
    try:
        with zipfile.ZipFile(need_small(file, most=MOST_ROI_BYTES)) as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if len(entries) > MOST_ROIS or size > MOST_ROI_BYTES:
                raise InputError(
                    f"{file} holds {len(entries):,} regions of {size / 1e6:,.0f} MB; at most "
                    f"{MOST_ROIS:,} of {MOST_ROI_BYTES / 1e6:,.0f} MB are read. Split it."
                )
            for entry in entries:
                yield f"{file}, {entry.filename}", archive.read(entry)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{file} is damaged ({brief(error)}). Save it again.") from error


def _decode(where, data):
    try:
        return ImagejRoi.frombytes(data)
    except Exception as error:  # a damaged file makes the decoder raise nearly anything
        raise InputError(
            f"{where} is no region of ImageJ ({brief(error)}). Save it again."
        ) from error


def _centres(roi, where):
    """Return the positions (N, 2) of a region, and where they count from."""
    kind = roi.roitype
    if kind == ROI_TYPE.POINT:
        whole = roi.subpixel_coordinates is None
        return np.asarray(roi.coordinates(), float), "centre" if whole else "corner"
    if kind in (ROI_TYPE.RECT, ROI_TYPE.OVAL):
        if roi.subpixelrect:
            return np.array([[roi.xd + roi.widthd / 2, roi.yd + roi.heightd / 2]]), "corner"
        return np.array([[(roi.left + roi.right) / 2, (roi.top + roi.bottom) / 2]]), "corner"
    if kind in (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED):
        corners = np.asarray(roi.coordinates(), float)
        if len(corners) >= 3:
            return np.array([area_centre([corners])]), "corner"
    raise InputError(
        f"{where} is a {kind.name.lower()}; points, rectangles, ovals and polygons are read. "
        "Remove it from the list."
    )


def _labels(roi, n_points, image):
    """Return the classes of a region's points: its counters, else its name."""
    counters = roi.counters
    if counters is not None and len(counters) == n_points and len(set(counters.tolist())) > 1:
        return [str(number) for number in counters.tolist()]
    name = (roi.name or "").strip().removesuffix(".roi")
    made_up = _MADE_UP.fullmatch(name) or name == image.stem
    return [("" if made_up else name)] * n_points


def _need_one_plane(planes, file):
    if len(planes) > 1:
        first, second = sorted(planes)[:2]
        raise InputError(
            f"{file} has points of slices {first:g} and {second:g}. Images are 2D here: keep the "
            "points of one slice."
        )


FORMAT = Format(
    "imagej",
    "ImageJ's Results tables, Cell Counter XML, .roi and RoiSet.zip",
    read,
    write,
    looks,
    convention="corner",
    decimals=3,
    carries=frozenset({"labels"}),
    forbids="\r\n",
    checked="roifile 2026.2.10",
)
