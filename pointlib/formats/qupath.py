"""`qupath`, the GeoJSON of QuPath: one file per image, named after it (a.geojson beside a.png).

Pixels of the full image from its edge (corner), x before y, since in QuPath's ROIs the upper left
pixel runs from 0 to 1 (its file `ROITypeAdapters.java` writes a ROI's own numbers, to two decimals;
here six are written). A FeatureCollection, one Feature or a plain list of them are read. A Point or
MultiPoint gives its points, a Polygon or MultiPolygon the centroid of its area; lines and
collections are refused, as is any plane z or t but the first. Child objects (`childObjects`) are
read too. An annotation's area that has some, that contains other objects, or that is called
"labelled" or "Region*", is no point but a region: the part of the image that is labelled. The class
is `classification`: a name, {"name"}, {"names"} or, before 0.4, {"name", "parentClass"}, joined as
QuPath shows them ("Tumor: Positive"). The name of an object and the nucleus of a cell are ignored.
A collection without features means "looked, nothing there".

A measurement called score, Probability or Detection probability is the score, if it lies from 0
to 1. GeoJSON has no NaN, but QuPath writes it, and it is read as no score. Consecutive points of
one class are written as one MultiPoint, those with scores one by one. The tests read them back with
shapely; QuPath itself was not run (unverified).
"""

import json
from itertools import groupby

import numpy as np

from pointlib.errors import InputError
from pointlib.files import write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.jsons import heads, names_crs, one_each, read_table
from pointlib.formats.shared.labelled import names_region, regions_of_areas
from pointlib.formats.shared.parts import area_centre
from pointlib.formats.shared.safe import load_json, need, points_table
from pointlib.regions import Regions

_SCORES = ("score", "probability", "detection probability")
_OWN = {"objectType", "classification", "isLocked", "measurements"}  # properties that QuPath writes
SURE = 3  # how many areas inside another make it a region; a point or a detection counts as many
_POINTS, _AREAS = ("Point", "MultiPoint"), ("Polygon", "MultiPolygon")


def read(source, pictures, form):
    """Yield a Record for each file."""
    for path in one_each(source, pictures, (".geojson", ".json"), looks):
        features = list(_features(path))
        image = pictures.find(path.stem, path, near=path.parent)
        shape = pictures.shape(image)
        objects, areas = _sort(features)
        rows = [row for where, feature in objects for row in _rows(feature, where)]
        values, labels, scores = points_table(rows)
        _need_pixels(path, image, [feature for _, feature, _ in features], values, shape)
        regions = regions_of_areas(areas, form, shape)
        yield Record(image, None, form.to_points(values, shape), labels, scores, regions)


def write(folder, records, form):
    """Write a GeoJSON file beside each record's image."""
    for record in records:
        values = np.round(form.from_points(record.points, record.shape), form.decimals).tolist()
        scores = [None] * len(values) if record.scores is None else record.scores.tolist()
        rows = enumerate(zip(record.labels.tolist(), scores, values, strict=True))
        runs = groupby(rows, key=lambda row: (row[1][0], row[0] if row[1][1] is not None else None))
        features = _outlines(record, form) + [_feature([row for _, row in run]) for _, run in runs]
        text = ",\n".join(map(json.dumps, features))
        path = (folder / "images" / record.name).with_suffix(".geojson")
        write_atomic(path, f'{{"type": "FeatureCollection", "features": [\n{text}\n]}}\n')


def looks(source):
    """Return whether a file, or one in a folder or its `images`, is GeoJSON."""
    places = (source, source / "images") if source.is_dir() else (source,)
    return any(
        head[:1] in ("{", "[")
        and not names_crs(head)
        and any(f'"{word}"' in head for word in ("FeatureCollection", "Feature"))
        for place in places
        for head in heads(place, ".geojson", ".json")
    )


def _features(path):
    """Yield (where, feature, whether others are inside) of all objects in a file."""
    data = load_json(path, nan=True)
    if isinstance(data, dict):
        whole = data.get("type") == "FeatureCollection"
        data = need(data, "features", list, path) if whole else [data]
    if not isinstance(data, list):
        raise InputError(f"{path} is a {type(data).__name__}; expected GeoJSON. Export it again.")
    waiting = [(f"{path}, features[{index}]", each) for index, each in enumerate(data)][::-1]
    while waiting:
        where, feature = waiting.pop()
        inside = _properties(feature, where).get("childObjects") or []
        if not isinstance(inside, list):
            raise InputError(f"{where}: childObjects is not a list. Export it again.")
        waiting += [(f"{where} {index}", each) for index, each in enumerate(inside)][::-1]
        rooted = inside and feature.get("geometry") is None
        kind = "" if rooted else need(need(feature, "geometry", dict, where), "type", str, where)
        if not rooted:
            yield where, feature, bool(inside) and kind in _AREAS


def _need_pixels(path, image, features, values, shape):
    """Raise InputError for map coordinates: of another program, and outside or hardly apart."""
    known = [feature.get("properties") or {} for feature in features]
    if not len(values) or any(_OWN & properties.keys() for properties in known):
        return
    outside = ((values < 0) | (values > shape[::-1])).any(axis=1).all()
    degrees = (np.abs(values) <= (180, 90)).all() and (np.round(values, 4) != values).any()
    alike = degrees and len(values) > 1 and np.ptp(values, axis=0).max() < 1
    if outside or alike:
        place = ", ".join(f"{value:.10g}" for value in values[0])
        raise InputError(
            f"{path}: {place} is no pixel of {image.name}, {shape[1]} x {shape[0]}, and the file "
            "is not QuPath's: it looks like map coordinates. Give the GeoTIFF with --images, and "
            "the points with their reference system: GeoPackage, or GeoJSON with `crs`, as QGIS "
            "writes them; or --from geojson for longitude and latitude."
        )


def _sort(features):
    """Return the (where, feature) that are objects, and the areas of labelled regions.

    An annotation's area is a region if it is named so, has child objects, or contains a detection,
    a clicked point or three other areas. What else has child objects, as a cell may, is neither.
    """
    areas = [_area(feature, where) for where, feature, _ in features]
    weights, places = [], []
    for (where, feature, holds), rings in zip(features, areas, strict=True):
        places.append([] if holds else _places(feature["geometry"], where))
        weight = 1 if rings and _is_annotation(feature, where) else SURE
        weights += [weight] * len(places[-1])
    every = np.reshape([place for own in places for place in own], (-1, 2))
    objects, regions = [], []
    for (where, feature, holds), rings, own in zip(features, areas, places, strict=True):
        is_region = rings and _is_annotation(feature, where)
        if is_region and not (holds or _names_region(feature, where)):
            outline = Regions(rings)
            n_inside = np.dot(outline.contains(every), weights) - outline.contains(own).sum()
            is_region = n_inside >= SURE
        if is_region:
            regions += rings
        elif not holds:
            objects.append((where, feature))
    return objects, regions


def _area(feature, where):
    """Return the areas of a feature, each a list of rings; none if it is no polygon."""
    geometry = need(feature, "geometry", dict, where)
    return _rings(geometry, where) if geometry.get("type") in _AREAS else []


def _is_annotation(feature, where):
    """Return whether an object is an annotation, rather than a cell or another detection."""
    return _properties(feature, where).get("objectType", "annotation") == "annotation"


def _names_region(feature, where):
    """Return whether the name or the class of an object says that it is a labelled region."""
    properties = _properties(feature, where)
    name = properties.get("name")
    label = _label(properties.get("classification"), where)
    return names_region(label) or (isinstance(name, str) and names_region(name))


def _outlines(record, form):
    """Return a feature, as JSON, for each area of a record's regions."""
    features = []
    for area in record.regions.areas if record.regions else ():
        rings = [form.from_points(np.vstack([r, r[:1]]), record.shape) for r in area]
        properties = {"objectType": "annotation", "name": "labelled"}
        places = [np.round(ring, form.decimals).tolist() for ring in rings]
        geometry = {"type": "Polygon", "coordinates": places}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return features


def _properties(feature, where):
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise InputError(f"{where} is not a Feature. Export it from QuPath as GeoJSON.")
    return need(feature, "properties", dict, where) if feature.get("properties") else {}


def _rows(feature, where):
    """Return (x, y, class, score) for each position of a feature."""
    properties = _properties(feature, where)
    label, score = _label(properties.get("classification"), where), _score(properties, where)
    return [(x, y, label, score) for x, y in _places(need(feature, "geometry", dict, where), where)]


def _places(geometry, where):
    """Return (N, 2): the points of a geometry, or the centroid of its area."""
    kind, plane = need(geometry, "type", str, where), geometry.get("plane") or {}
    if not isinstance(plane, dict) or any(plane.get(axis) not in (None, 0) for axis in "zt"):
        raise InputError(f"{where} is in a plane z or t other than the first. Export one plane.")
    if kind not in _POINTS + _AREAS:
        known = ", ".join(_POINTS + _AREAS)
        raise InputError(f"{where} is a {kind:.40}; {known} are read. Remove it.")
    if kind in _POINTS:
        parts = need(geometry, "coordinates", list, where)
        return read_table(parts if kind == "MultiPoint" else [parts], where, least=0)
    rings = _rings(geometry, where)
    holes = [hole for _, *inner in rings for hole in inner]
    return [area_centre([outline for outline, *_ in rings], holes)]


def _rings(geometry, where):
    """Return the areas of a Polygon or MultiPolygon, each a list of rings, (n, 2)."""
    parts = need(geometry, "coordinates", list, where)
    parts = parts if geometry["type"] == "MultiPolygon" else [parts]
    if not parts or not all(isinstance(area, list) and area for area in parts):
        raise InputError(f"{where}: a {geometry['type']} without corners. Remove it.")
    return [[read_table(ring, where, least=3) for ring in area] for area in parts]


def _label(found, where):
    """Return the class that a `classification` of any version names, "" if it names none."""
    names = []
    while isinstance(found, dict):
        name = found.get("names") or found.get("name") or []
        names = [*(name if isinstance(name, list) else [name]), *names]
        found = found.get("parentClass")
    names = [found, *names] if isinstance(found, str) else names
    if not (found is None or isinstance(found, str)) or not all(isinstance(n, str) for n in names):
        raise InputError(f"{where}: classification has other things than names. Export it again.")
    return ": ".join(names)


def _score(properties, where):
    """Return the measurement that is a score, None if there is none."""
    found = properties.get("measurements") or {}
    if isinstance(found, list):  # before 0.4
        pairs = [(each.get("name"), each.get("value")) for each in found if isinstance(each, dict)]
        found = {name: value for name, value in pairs if isinstance(name, str)}
    elif not isinstance(found, dict):
        raise InputError(f"{where}: measurements is not an object of numbers. Export it again.")
    named = {name.lower(): value for name, value in found.items()}
    score = next((named[name] for name in _SCORES if name in named), None)
    fits = type(score) in (int, float) and 0 <= score <= 1
    return float(score) if fits else None


def _feature(rows):
    """Return a feature of rows (class, score, [x, y]): several of one class, or one."""
    label, score, first = rows[0]
    geometry = {"type": "Point", "coordinates": first}
    if len(rows) > 1:
        geometry = {"type": "MultiPoint", "coordinates": [place for *_, place in rows]}
    properties = {"objectType": "annotation"}
    if label:
        properties["classification"] = {"name": label, "color": [255, 0, 0]}
    if score is not None:
        properties["measurements"] = {"score": score}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


FORMAT = Format(
    "qupath",
    "QuPath's GeoJSON, a file per image",
    read,
    write,
    looks,
    convention="corner",
    decimals=6,
    carries=frozenset({"labels", "empty", "scores", "regions"}),
    checked="shapely",
)
