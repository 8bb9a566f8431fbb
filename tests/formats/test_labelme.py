"""Tests of labelme's files: its own, each shape, the image meant, and what it reads again."""

import json

import numpy as np
import pytest
from json_sample import BY_HAND, SHAPE, make_folder, read, write_json

from pointlib.errors import InputError
from pointlib.formats import FORMATS
from pointlib.formats.labelme import looks
from pointlib.formats.shared.base import Record

# Written by labelme 6.3.1: labelme._label_file.write_label_file("a.json", shapes=[dict(label=...,
# points=..., group_id=..., description="", shape_type=..., flags={}, mask=None), ...],
# image_path="a.png", image_height=100, image_width=200). The same module's LabelFile(path) opened
# what this kit writes, points, labels and the empty image.
REAL = """{
  "version": "6.3.1", "flags": {}, "shapes": [
    {"label": "cell", "points": [[10.5, 20.25]], "group_id": null, "description": "",
     "shape_type": "point", "flags": {}, "mask": null},
    {"label": "dot", "points": [[20.0, 30.0], [40.0, 50.0]], "group_id": null, "description": "",
     "shape_type": "rectangle", "flags": {}, "mask": null},
    {"label": "dot", "points": [[30.0, 40.0], [33.0, 44.0]], "group_id": 1, "description": "",
     "shape_type": "circle", "flags": {}, "mask": null}],
  "imagePath": "a.png", "imageData": null, "imageHeight": 100, "imageWidth": 200
}"""


def shape(kind="point", points=((10.5, 20.25),), label="cell"):
    """Return a shape as labelme writes it."""
    return {"label": label, "points": list(points), "group_id": None, "shape_type": kind}


def read_shapes(path, *shapes, **more):
    """Return {image's name: Record} of a file of shapes beside a.png."""
    folder = make_folder(path)
    data = {"version": "5.7.0", "flags": {}, "shapes": list(shapes), "imagePath": "a.png", **more}
    write_json(folder / "images" / "a.json", data)
    return read("labelme", folder)


def test_labelme_counts_from_the_edge(tmp_path):
    """The real tool's own file: its places less half a pixel, each shape's middle."""
    folder = make_folder(tmp_path)
    write_json(folder / "images" / "a.json", REAL)
    found = read("labelme", folder)["a.png"]
    assert found.points.tolist() == [[10, 19.75], [29.5, 39.5], [29.5, 39.5]]
    assert found.labels.tolist() == ["cell", "dot", "dot"]
    assert found.shape == SHAPE


@pytest.mark.parametrize(
    ("kind", "points", "expected"),
    [
        ("rectangle", [(40, 50), (20, 30)], (30, 40)),
        ("rectangle", [(20, 30), (40, 30), (40, 50), (20, 50)], (30, 40)),
        ("oriented_rectangle", [(30, 30), (40, 40), (30, 50), (20, 40)], (30, 40)),
        ("polygon", [(0, 0), (60, 0), (0, 30)], (20, 10)),
        (None, [(0, 0), (60, 0), (0, 30)], (20, 10)),
    ],
)
def test_labelme_shapes_become_their_middles(tmp_path, kind, points, expected):
    """Corners in any order; a file from before there were kinds holds polygons."""
    found = read_shapes(tmp_path, shape(kind, points))["a.png"]
    assert np.allclose(found.points + 0.5, [expected])


def test_labelme_without_shapes_says_nothing_is_there(tmp_path):
    """The image beside, without a file, was not looked at."""
    found = read_shapes(tmp_path, imageHeight=None, imageWidth=None)
    assert {name: len(record.points) for name, record in found.items()} == {"a.png": 0}
    assert found["a.png"].shape is None


def test_labelme_finds_its_image(tmp_path):
    """By imagePath with either slash, by its own stem where that image is not there."""
    names = {"../images/b.png": "b.png", "..\\images\\b.png": "b.png", "old.png": "a.png"}
    for number, (name, expected) in enumerate([*names.items(), (None, "a.png")]):
        assert list(read_shapes(tmp_path / str(number), imagePath=name)) == [expected]


def test_labelme_files_lie_beside_images_or_elsewhere(tmp_path):
    """A file alone, the folder of files, or the one above; another tool's JSON is let be."""
    folder = make_folder(tmp_path)
    (folder / "labels").mkdir()
    path = write_json(folder / "labels" / "x.json", REAL)
    write_json(folder / "classes.json", ["cell"])
    assert len(read("labelme", path.rename(folder / "x.json"))["a.png"].points) == 3
    assert len(read("labelme", folder)["a.png"].points) == 3


def test_labelme_passes_over_the_copy_of_the_image(tmp_path):
    """What `imageData` holds is never unpacked, be it no image at all."""
    assert len(read_shapes(tmp_path, shape(), imageData="!" * 1_000_000)["a.png"].points) == 1


def test_labelme_keeps_points_classes_and_the_empty_image(tmp_path):
    """Random points come back to a millionth of a pixel, from files beside the images."""
    rng = np.random.default_rng(8)
    folder = make_folder(tmp_path, "a.png", "b.png", "c.png")
    points = rng.uniform(-0.5, (199.5, 99.5), (40, 2))
    labels = rng.choice(["cell", "späť"], 40)
    images = folder / "images"
    made = [Record(images / "a.png", SHAPE, points, labels)]
    made.append(Record(images / "b.png", SHAPE, np.empty((0, 2)), np.empty(0, dtype=str)))
    FORMATS["labelme"].write(folder, made, FORMATS["labelme"])
    found = read("labelme", folder)
    assert set(found) == {"a.png", "b.png"}
    assert np.abs(found["a.png"].points - points).max() < 1e-6
    assert np.array_equal(found["a.png"].labels, labels)
    assert len(found["b.png"].points) == 0
    assert looks(folder)


def test_labelme_is_written_with_the_fields_of_the_real_tool(tmp_path):
    """Field by field as in its own file, but for its version."""
    folder = make_folder(tmp_path)
    points = np.array(BY_HAND[:1]) - 0.5
    made = [Record(folder / "images" / "a.png", SHAPE, points, np.array(["cell"]))]
    FORMATS["labelme"].write(folder, made, FORMATS["labelme"])
    written, real = json.loads((folder / "images" / "a.json").read_text()), json.loads(REAL)
    real["shapes"], real["version"] = real["shapes"][:1], written["version"]
    assert written == real


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (5, r"shapes\[0\] is a int; expected an object with 'label'"),
        ({}, r"shapes\[0\]: 'points' is missing"),
        ({"label": 5}, r"'label' is int"),
        ({"label": "x"}, r"'points' is missing"),
        (shape(points=[]), "0 points; expected 1 or more"),
        (shape(points=[[1, 2], [3, 4]]), "is a point of 2 places; expected one"),
        (shape(points=[["1", "2"]]), r"not all are numbers; expected a list of \[x, y\]"),
        (shape(points=[[1]]), r"expected a list of \[x, y\]"),
        (shape(points=[[float("nan"), 1]]), "holds NaN"),
        (shape("polygon", [[1, 2], [3, 4]]), "2 points; expected 3 or more"),
        (shape("line", [[1, 2], [3, 4]]), r"is a line; point, circle, rectangle.* are read"),
        (shape("mask", [[1, 2], [3, 4]]), "is a mask; point"),
        (shape(5), r"'shape_type' is int; expected a str"),
    ],
)
def test_labelme_names_what_is_wrong(tmp_path, broken, message):
    """Each mistake is a sentence with the file and the shape."""
    with pytest.raises(InputError, match=message) as raised:
        read_shapes(tmp_path, broken)
    assert "a.json" in str(raised.value)


@pytest.mark.parametrize("text", ["", "5", "[]", "{}", '{"shapes": 5}', "[" * 100_000, REAL[:300]])
def test_labelme_refuses_what_is_no_file_of_its_own(tmp_path, text):
    """A file beside its image is not passed over: cut off, deep, of another kind."""
    folder = make_folder(tmp_path)
    write_json(folder / "images" / "a.json", text)
    with pytest.raises(InputError, match=r"a\.json"):
        read("labelme", folder)


def test_labelme_is_recognised(tmp_path):
    """A file, a folder, the folder above; not COCO's."""
    folder = make_folder(tmp_path)
    assert not looks(folder)
    path = write_json(folder / "images" / "a.json", REAL)
    assert looks(path)
    assert looks(path.parent)
    assert looks(folder)
    assert not looks(write_json(tmp_path / "coco.json", {"images": [], "annotations": []}))
