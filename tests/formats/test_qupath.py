"""Tests of QuPath's GeoJSON: each geometry, each way to name a class, and shapely on what is written."""

import json

import numpy as np
import pytest
from json_sample import BY_HAND, SHAPE, make_folder, read, write_json

from pointlib.errors import InputError
from pointlib.formats import FORMATS
from pointlib.formats.qupath import looks
from pointlib.formats.shared.base import Record

RING = [[20, 30], [40, 30], [40, 50], [20, 50], [20, 30]]
HOLE = [[20, 30], [30, 30], [30, 50], [20, 50], [20, 30]]


def feature(kind="Point", coordinates=(10.5, 20.25), plane=None, **properties):
    """Return an object as QuPath exports it."""
    geometry = {"type": kind, "coordinates": coordinates} | ({"plane": plane} if plane else {})
    return {"type": "Feature", "id": "0f", "geometry": geometry, "properties": properties}


def read_features(path, *features, name="a.geojson"):
    """Return the Record of a.png, of a collection of features."""
    data = {"type": "FeatureCollection", "features": list(features)}
    write_json(make_folder(path) / name, data)
    return read("qupath", path)["a.png"]


def test_qupath_counts_from_the_edge(tmp_path):
    """A point, and several: QuPath's numbers less half a pixel."""
    points = feature("MultiPoint", BY_HAND, classification={"name": "cell", "color": [1, 2, 3]})
    found = read_features(tmp_path, points, feature("Point", [0.5, 0.5, 0]))
    assert found.points.tolist() == [[10, 19.75], [29.5, 39.5], [0, 0]]
    assert found.labels.tolist() == ["cell", "cell", ""]
    assert found.shape is None
    assert found.scores is None


@pytest.mark.parametrize(
    ("kind", "coordinates", "expected"),
    [
        ("Polygon", [RING], (30, 40)),
        ("Polygon", [RING, HOLE], (35, 40)),
        ("MultiPolygon", [[RING], [[[x + 20, y] for x, y in RING]]], (40, 40)),
    ],
)
def test_qupath_areas_become_their_middles(tmp_path, kind, coordinates, expected):
    """The centroid of what is inside, holes not counted."""
    found = read_features(tmp_path, feature(kind, coordinates))
    assert np.allclose(found.points + 0.5, [expected])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"name": "Tumor", "color": [200, 0, 0]}, "Tumor"),
        ({"name": "Tumor", "colorRGB": -3670016}, "Tumor"),
        ({"names": ["Tumor", "Positive"], "color": [1, 2, 3]}, "Tumor: Positive"),
        ({"name": "Positive", "colorRGB": 1, "parentClass": {"name": "Tumor"}}, "Tumor: Positive"),
        ("Tumor", "Tumor"),
        ({}, ""),
        (None, ""),
    ],
)
def test_qupath_classes_of_all_versions(tmp_path, said, expected):
    """A name, names, a class within a class, a text, nothing."""
    assert read_features(tmp_path, feature(classification=said)).labels.tolist() == [expected]


def test_qupath_scores_are_measurements(tmp_path):
    """By name, before 0.4 as a list; NaN, which QuPath writes, or a count of 300, is no score."""
    new = feature(measurements={"Area": float("nan"), "Detection probability": 0.75})
    old = feature(measurements=[{"name": "Area", "value": 5}, {"name": "score", "value": 0.25}])
    assert read_features(tmp_path / "both", new, old).scores.tolist() == [0.75, 0.25]
    for i, value in enumerate((float("nan"), 300, "high")):
        found = read_features(tmp_path / str(i), feature(measurements={"Score": value}))
        assert found.scores is None


def test_qupath_objects_in_others_are_read(tmp_path):
    """What lies in a frame counts, in order, the frame does not; a point in a point does."""
    child = feature("Point", [2, 2], childObjects=[feature("Point", [3, 3])])
    frame = feature("Polygon", [RING], childObjects=[child, feature("Polygon", [RING])])
    root = {"type": "Feature", "properties": {"childObjects": [feature("Point", [1, 1]), frame]}}
    found = read_features(tmp_path, root, feature("Point", [5, 5]))
    assert np.allclose(found.points + 0.5, [(1, 1), (2, 2), (3, 3), (30, 40), (5, 5)])


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one, one]])
def test_qupath_takes_a_feature_or_a_list(tmp_path, wrap):
    """One object, or a bare list of them, in a .json too."""
    folder = make_folder(tmp_path)
    write_json(folder / "a.json", wrap(feature()))
    assert np.allclose(read("qupath", folder)["a.png"].points, (10, 19.75))


def test_qupath_files_are_named_after_their_images(tmp_path):
    """By stem or by name; no features is nothing there; no file is not looked at."""
    folder = make_folder(tmp_path, "a.png", "b.ome.tif", "c.png")
    for name in ("a.png.geojson", "b.ome.geojson"):
        write_json(folder / name, {"type": "FeatureCollection", "features": []})
    found = read("qupath", folder)
    assert {name: len(record.points) for name, record in found.items()} == {
        "a.png": 0,
        "b.ome.tif": 0,
    }


def test_qupath_keeps_points_classes_scores_and_the_empty_image(tmp_path):
    """Random points come back to a millionth of a pixel, in order."""
    rng = np.random.default_rng(9)
    folder = make_folder(tmp_path, "a.png", "b.png", "c.png")
    images, (places, more) = folder / "images", rng.uniform(-0.5, (199.5, 99.5), (2, 40, 2))
    labels = rng.choice(["cell", "dot", "dot"], 40)
    made = [Record(images / "a.png", SHAPE, places, labels)]
    made.append(Record(images / "b.png", SHAPE, np.empty((0, 2)), np.empty(0, dtype=str)))
    made.append(Record(images / "c.png", SHAPE, more, labels, rng.random(40)))
    FORMATS["qupath"].write(folder, made, FORMATS["qupath"])
    found = read("qupath", folder)
    assert len(found) == 3
    for record in made:
        again = found[record.image.name]
        assert np.allclose(again.points, record.points, rtol=0, atol=1e-6)
        assert np.array_equal(again.labels, record.labels)
    assert found["a.png"].scores is None
    assert np.array_equal(found["c.png"].scores, made[2].scores)
    assert looks(folder)


def test_shapely_reads_what_is_written(tmp_path):
    """Points in a row of one class are one MultiPoint, half a pixel on from the kit's numbers."""
    shapely = pytest.importorskip("shapely")
    folder = make_folder(tmp_path)
    labels = np.array(["cell", "cell", "dot"])
    made = [Record(folder / "images" / "a.png", SHAPE, np.array([*BY_HAND, (0, 0)]), labels)]
    FORMATS["qupath"].write(folder, made, FORMATS["qupath"])
    data = json.loads((folder / "images" / "a.geojson").read_text())
    found = [shapely.from_geojson(json.dumps(each["geometry"])) for each in data["features"]]
    assert [each.geom_type for each in found] == ["MultiPoint", "Point"]
    assert shapely.get_coordinates(found).tolist() == [[11, 20.75], [30.5, 40.5], [0.5, 0.5]]
    assert [each["properties"]["classification"]["name"] for each in data["features"]] == [
        "cell",
        "dot",
    ]


def test_shapely_agrees_on_middles(tmp_path):
    """The centroid of random polygons, with a hole, is shapely's."""
    shapely = pytest.importorskip("shapely")
    turn = np.sort(np.random.default_rng(4).uniform(0, 2 * np.pi, 12))
    ring = np.c_[100 + 60 * np.cos(turn), 50 + 40 * np.sin(turn)]
    area = shapely.Polygon(ring, [(ring * 0.2 + (75, 40)).tolist()])
    shape = json.loads(shapely.to_geojson(area))
    found = read_features(tmp_path, feature(shape["type"], shape["coordinates"]))
    assert np.allclose(found.points + 0.5, [area.centroid.coords[0]])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (5, r"features\[0\] is not a Feature"),
        ({"type": "Point", "coordinates": [1, 2]}, r"features\[0\] is not a Feature"),
        ({"type": "Feature"}, r"'geometry' is missing"),
        ({"type": "Feature", "geometry": None}, r"'geometry' is NoneType"),
        (feature("LineString", [[1, 2], [3, 4]]), r"is a LineString; Point, MultiPoint, Polygon"),
        (feature("Point", []), r"expected a list of \[x, y\]"),
        (feature("Point", ["a", "b"]), "not all are numbers"),
        (feature("Point", [1e999, 1]), "holds Infinity|finite"),
        (feature("Polygon", []), "a Polygon without corners|expected 3 or more"),
        (feature("Polygon", [[]]), "0 points; expected 3 or more"),
        (feature("MultiPolygon", [[]]), "a MultiPolygon without corners"),
        (feature("Polygon", RING), r"expected a list of \[x, y\]"),
        (feature(plane={"c": -1, "z": 2, "t": 0}), "in a plane z or t other than the first"),
        (feature(classification=5), "classification has other things than names"),
        (feature(classification={"name": 5}), "classification has other things than names"),
        (feature(measurements="x"), "measurements is not an object of numbers"),
        (feature(childObjects={"a": 1}), "childObjects is not a list"),
        (feature(childObjects=[5]), r"features\[0\] 0 is not a Feature"),
    ],
)
def test_qupath_names_what_is_wrong(tmp_path, broken, message):
    """Each mistake is a sentence with the file and the feature."""
    with pytest.raises(InputError, match=message) as raised:
        read_features(tmp_path, broken)
    assert "a.geojson" in str(raised.value)


@pytest.mark.parametrize("text", ["", "5", "{}", '{"type": "FeatureCollection"}', "[" * 100_000])
def test_qupath_refuses_what_is_no_geojson(tmp_path, text):
    """A file beside its image is not passed over: cut off, deep, of another kind."""
    folder = make_folder(tmp_path)
    write_json(folder / "a.geojson", text)
    with pytest.raises(InputError, match=r"a\.geojson"):
        read("qupath", folder)


def test_qupath_refuses_a_file_that_is_named_after_no_image(tmp_path):
    """The name is all that tells which image is meant."""
    folder = make_folder(tmp_path)
    write_json(folder / "z.geojson", {"type": "FeatureCollection", "features": []})
    with pytest.raises(InputError, match=r"z\.geojson: image 'z' is not in"):
        read("qupath", folder)


def test_qupath_is_recognised(tmp_path):
    """A collection, a list, a folder; not COCO's."""
    folder = make_folder(tmp_path)
    assert not looks(folder)
    path = write_json(folder / "images" / "a.geojson", [feature()])
    assert looks(path)
    assert looks(folder)
    assert not looks(write_json(tmp_path / "coco.json", {"images": [], "annotations": []}))


def polygon(left, top, right, bottom, **properties):
    """Return a rectangle as QuPath exports it."""
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return feature("Polygon", [ring], **properties)


@pytest.mark.parametrize(
    ("frame", "inside"),
    [
        ({"objectType": "annotation"}, [{"objectType": "detection"}]),
        ({"objectType": "annotation", "name": "labelled"}, []),
        ({"objectType": "annotation", "classification": {"name": "Region*"}}, []),
        ({"objectType": "annotation"}, [{"objectType": "annotation"}] * 3),
        ({}, ["point"]),
    ],
)
def test_areas_around_objects_are_regions(tmp_path, frame, inside):
    """An annotation that contains a detection, a click or three areas is no point: it is labelled."""
    objects = [
        feature("Point", [10 + k, 12]) if own == "point" else polygon(10, 10, 14, 14, **own)
        for k, own in enumerate(inside)
    ]
    found = read_features(tmp_path, polygon(4, 4, 34, 24, **frame), *objects)
    assert len(found.points) == len(inside)
    assert found.regions.bounds(SHAPE) == (4, 4, 34, 24)


@pytest.mark.parametrize(
    "objects",
    [
        [polygon(4, 4, 34, 24), polygon(10, 10, 14, 14)],  # a cell and its nucleus, say
        [polygon(4, 4, 34, 24, objectType="cell"), polygon(10, 10, 14, 14, objectType="detection")],
    ],
)
def test_areas_that_are_objects_stay_points(tmp_path, objects):
    """One area in another does not make a region, nor is a detection ever one."""
    found = read_features(tmp_path, *objects)
    assert len(found.points) == 2
    assert found.regions is None


def test_regions_are_written_and_read_again(tmp_path):
    """What the kit writes as labelled comes back, hole and all."""
    from pointlib.regions import Regions

    hole = [[10.0, 10.0], [12.0, 10.0], [12.0, 13.0]]
    regions = Regions([[[[3.5, 3.5], [30.0, 3.5], [30.0, 20.0]], hole]])
    folder = make_folder(tmp_path)
    record = Record(folder / "a.png", SHAPE, np.array([[5.0, 4.0]]), np.array([""]), None, regions)
    (folder / "images").mkdir(exist_ok=True)
    FORMATS["qupath"].write(folder, [record], FORMATS["qupath"])
    (folder / "images" / "a.geojson").rename(folder / "a.geojson")
    found = read("qupath", folder)["a.png"]
    assert found.points.tolist() == [[5.0, 4.0]]
    assert found.regions.outlines() == regions.outlines()
