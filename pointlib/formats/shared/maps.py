"""Maps: where the pixels of a georeferenced picture lie, and files of points in map coordinates.

A picture's transform maps the corner of its first pixel from (0, 0), so the centre of that pixel,
(0, 0) of the kit, is at ``transform * (0.5, 0.5)``. GDAL does the reading and writing (rasterio,
pyogrio), PROJ the change from one reference system to another (pyproj).

About coordinates. Not about which program writes such files: geojson.py, gpkg.py.
"""

import struct
import warnings
from typing import NamedTuple

import numpy as np

from pointlib.errors import InputError, brief
from pointlib.formats.shared.base import Record
from pointlib.formats.shared.parts import area_centre
from pointlib.windows import picture_header

NEEDS_GEO = "pip install 'pointlib[geo]'"
LAYER, DRIVER = "points", "GTiff"
WKB_POINT, WKB_POLYGON, WKB_PARTS = 1, 3, (4, 6)  # OGC 06-103r4, table 7


class Place(NamedTuple):
    """Where a picture lies: its reference system, and how its pixels map to it."""

    crs: object  # pyproj's
    matrix: np.ndarray  # (2, 3): pixels from the corner -> map
    shape: tuple  # (H, W)

    def to_map(self, points):
        """Return kit points (N, 2) in map coordinates."""
        return (points + 0.5) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def to_pixels(self, places):
        """Return map coordinates (N, 2) as kit points."""
        return (places - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T - 0.5


def place_of(path, shape):
    """Return the Place of a picture of `shape` (H, W), or None if it has no georeference."""
    rasterio, pyproj = _packages("rasterio", "pyproj")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        try:
            # TIFF only: other drivers of GDAL open files that a picture names
            with rasterio.open(path, driver=DRIVER) as picture:
                crs, transform = picture.crs, picture.transform
        except rasterio.errors.RasterioError:  # no TIFF: it has no place
            return None
    if crs is None or transform.is_identity:  # without a transform GDAL gives the identity
        return None
    if (turn := picture_header(path).turn) != 1:
        raise InputError(
            f"{path} is stored turned (orientation {turn}), and its transform is of the pixels as "
            "stored, not as they are shown and clicked. Save it upright, as gdalwarp does."
        )
    return Place(pyproj.CRS.from_user_input(crs), np.reshape(transform[:6], (2, 3)), shape)


def need_place(path, shape, why):
    """Return the Place of a picture, or raise InputError that begins with `why`."""
    place = place_of(path, shape)
    if place is None:
        raise InputError(
            f"{why}, but {path} has no georeference (coordinate reference system and transform). "
            "Give the GeoTIFF that it was made from with --images, or use points in pixels."
        )
    return place


def read_places(path, pictures):
    """Yield a Record for each picture that a point of a file of map coordinates lies in."""
    crs, places, names, labels, scores = _read(path)
    if not len(places):
        raise InputError(f"{path} has no point. Export it again.")
    pyproj = _packages("pyproj")[0]
    what = f"{path} is in map coordinates, {crs.name}, such as {_said(places[0])}"
    used = np.zeros(len(places), bool)
    for image in pictures.paths:
        shape = pictures.shape(image)
        place = need_place(image, shape, what)
        change = pyproj.Transformer.from_crs(crs, place.crs, always_xy=True)
        points = place.to_pixels(np.column_stack(change.transform(*places.T)))
        limit = np.array(shape[::-1]) - 0.5
        inside = ((points >= -0.5) & (points <= limit)).all(axis=1)
        inside &= np.isin(names, ("", image.name))
        used |= inside
        if inside.any():
            pictures.find(image.name, path)
            own = scores[inside]
            own = None if np.isnan(own).any() else own  # as other formats: all of an image or none
            yield Record(image, None, points[inside], labels[inside], own)
    if not used.all() and not used.any():
        raise InputError(f"{what}; none of its {len(used)} points lies in {pictures.folder}.")
    if not used.all():
        pictures.note_outside(path, int((~used).sum()), _said(places[~used][0]))


def write_places(path, records, driver):
    """Write the points of records in map coordinates, all in the system of the first picture."""
    pyogrio, pyproj = _packages("pyogrio", "pyproj")
    why = f"{path.name} is to have map coordinates"
    full = [record for record in records if len(record.points)] or records[:1]
    placed = [(need_place(record.image, record.shape, why), record) for record in full]
    (first, _), *_ = placed
    parts = []
    for place, record in placed:
        change = pyproj.Transformer.from_crs(place.crs, first.crs, always_xy=True)
        parts.append(np.column_stack(change.transform(*place.to_map(record.points).T)))
    places = np.concatenate(parts)
    n_each = [len(part) for part in parts]
    names = np.repeat([record.name for record in full], n_each)
    scores = [np.full(len(r.points), np.nan) if r.scores is None else r.scores for r in full]
    fields = {
        "image": names.astype(object),
        "label": np.concatenate([record.labels for record in full]).astype(object),
        "score": np.concatenate(scores),
    }
    code = first.crs.to_authority()
    if driver == "GeoJSON" and code is None:
        raise InputError(
            f"{full[0].image} has the reference system {first.crs.name!r}, which has no code, and "
            "GeoJSON names systems by their code. Use --to gpkg."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    pyogrio.raw.write(
        path,
        np.array([struct.pack("<BIdd", 1, WKB_POINT, x, y) for x, y in places], dtype=object),
        field_data=list(fields.values()),
        fields=list(fields),
        geometry_type="Point",
        crs=":".join(code) if code else first.crs.to_wkt(),
        driver=driver,
        layer=LAYER,
    )


def _read(path):
    """Return CRS, places (N, 2), names of images, labels (N,) and scores (N,) of a file."""
    pyogrio, pyproj = _packages("pyogrio", "pyproj")
    try:
        meta, _, shapes, columns = pyogrio.raw.read(path, force_2d=True)
    except Exception as error:  # GDAL's own kinds
        raise InputError(f"{path} cannot be read ({brief(error)}). Export it again.") from error
    if not meta["crs"]:
        raise InputError(f"{path} does not say its reference system (CRS). Export it with one.")
    table = {name.lower(): column for name, column in zip(meta["fields"], columns, strict=True)}
    found = [[] if shape is None else _decode(shape)[0] for shape in shapes]
    rows = np.repeat(np.arange(len(found)), [len(own) for own in found])
    places = np.reshape([place for own in found for place in own], (-1, 2)).astype(float)
    names, labels = (_texts(table.get(key), rows) for key in ("image", "label"))
    scores = _scores(table.get("score"), rows)
    return pyproj.CRS.from_user_input(meta["crs"]), places, names, labels, scores


def _texts(column, rows):
    """Return a column of texts for these rows, "" where there is none."""
    if column is None:
        return np.full(len(rows), "", dtype=str)
    return np.array(["" if v is None else str(v) for v in column], dtype=str)[rows]


def _scores(column, rows):
    """Return a column of scores for these rows, NaN where there is none in [0, 1]."""
    values = np.full(len(rows), np.nan) if column is None else np.asarray(column, float)[rows]
    return np.where((values >= 0) & (values <= 1), values, np.nan)


def _decode(wkb, start=0):
    """Return the places of the well-known binary geometry at a byte, and the byte after it.

    A place is a point, or the centroid of an area.
    """
    order = "<" if wkb[start] else ">"
    kind, at = struct.unpack_from(f"{order}I", wkb, start + 1)[0], start + 5
    if kind == WKB_POINT:
        x, y = struct.unpack_from(f"{order}dd", wkb, at)
        return ([] if np.isnan(x) else [(x, y)]), at + 16
    n, at = struct.unpack_from(f"{order}I", wkb, at)[0], at + 4
    if kind == WKB_POLYGON:
        rings = []
        for _ in range(n):
            n_corners = struct.unpack_from(f"{order}I", wkb, at)[0]
            corners = np.frombuffer(wkb, f"{order}f8", 2 * n_corners, at + 4).reshape(-1, 2)
            rings.append(corners)
            at += 4 + 16 * n_corners
        return ([area_centre(rings[:1], rings[1:])] if rings else []), at
    if kind not in WKB_PARTS:
        raise InputError(f"a geometry of kind {kind} is no point and no area. Remove lines.")
    places = []
    for _ in range(n):
        own, at = _decode(wkb, at)
        places += own
    return places, at


def _said(place):
    """Return a place in words."""
    return ", ".join(f"{value:.10g}" for value in place)


def _packages(*names):
    """Return the modules of the extra `geo`."""
    import importlib

    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise InputError(f"map coordinates need {error.name}: {NEEDS_GEO}") from None
