"""Tests of DotDotGoose's points: places, what was looked at, turned photographs, its table."""

import json

import numpy as np
import pytest
from json_sample import BY_HAND, SHAPE, make_folder, read, write_json
from PIL import Image

from pointlib.errors import InputError
from pointlib.formats import FORMATS
from pointlib.formats.dotdotgoose import looks
from pointlib.formats.shared.base import Record

# Fields as `Canvas.package_points` of DotDotGoose puts them together; by hand, not by the tool.
LAYOUT = {
    "classes": ["cell"],
    "points": {"a.png": {"cell": [{"x": x, "y": y} for x, y in BY_HAND]}, "b.png": {}},
    "colors": {"cell": [255, 0, 0]},
    "metadata": {"survey_id": "", "coordinates": {"a.png": {"x": "", "y": ""}}},
    "custom_fields": {"fields": [], "data": {}},
    "ui": {
        "grid": {"size": 200, "color": [255, 255, 255]},
        "point": {"radius": 25, "color": [255, 255, 0]},
    },
}


def read_points(path, points, *names):
    """Return {image's name: Record} of a file of points."""
    folder = make_folder(path, *names)
    return read("dotdotgoose", write_json(folder / "survey.pnt", {**LAYOUT, "points": points}))


def test_dotdotgoose_counts_from_the_edge(tmp_path):
    """The tool's numbers less half a pixel, whether the file or its folder is named."""
    folder = make_folder(tmp_path)
    path = write_json(folder / "images" / "survey.pnt", LAYOUT)
    for source in (path, folder, path.parent):
        found = read("dotdotgoose", source)["a.png"]
        assert found.points.tolist() == [[10, 19.75], [29.5, 39.5]]
        assert found.labels.tolist() == ["cell", "cell"]


def test_dotdotgoose_lists_images_that_nobody_looked_at(tmp_path):
    """Without a class an image was only listed; with an empty one it was looked at."""
    found = read_points(tmp_path, {"a.png": {}, "b.png": {"cell": []}})
    assert {name: len(record.points) for name, record in found.items()} == {"b.png": 0}


def test_dotdotgoose_refuses_photographs_that_it_shows_unturned(tmp_path):
    """A point on a photograph with an orientation would lie elsewhere; upright is none."""
    exif = Image.Exif()
    for turn in (6, 1):
        exif[274] = turn
        folder = make_folder(tmp_path / str(turn))
        Image.new("L", SHAPE[::-1]).save(folder / "images" / "p.jpg", exif=exif)
        path = write_json(folder / "survey.pnt", {**LAYOUT, "points": {"p.jpg": {"cell": []}}})
        if turn == 1:
            assert list(read("dotdotgoose", path)) == ["p.jpg"]
            return
        with pytest.raises(InputError, match=r"p\.jpg has the EXIF orientation 6.*Rotate the file"):
            read("dotdotgoose", path)


def test_dotdotgoose_reads_its_table(tmp_path):
    """The export of points, whose first line is the tool's; other columns may follow."""
    folder = make_folder(tmp_path)
    text = (
        "survey id,image,class,x,y,chip name\ns1,a.png,cell,10.5,20.25,0.png\ns1,b.png,dot,30,40,"
    )
    path = write_json(folder / "points.csv", text)
    found = read("dotdotgoose", path)
    assert found["a.png"].points.tolist() == [[10, 19.75]]
    assert found["b.png"].labels.tolist() == ["dot"]
    assert looks(path)


def test_dotdotgoose_keeps_points_classes_and_the_empty_image(tmp_path):
    """Random points come back to a millionth of a pixel, in order within a class."""
    rng = np.random.default_rng(2)
    folder = make_folder(tmp_path, "a.png", "b.png", "c.png")
    points, images = rng.uniform(-0.5, (199.5, 99.5), (40, 2)), folder / "images"
    labels = np.sort(rng.choice(["cell", "dot"], 40))
    made = [Record(images / "a.png", SHAPE, points, labels)]
    made.append(Record(images / "b.png", SHAPE, np.empty((0, 2)), np.empty(0, dtype=str)))
    FORMATS["dotdotgoose"].write(folder, made, FORMATS["dotdotgoose"])
    found = read("dotdotgoose", folder)
    assert set(found) == {"a.png", "b.png"}
    assert np.allclose(found["a.png"].points, points, rtol=0, atol=1e-6)
    assert np.array_equal(found["a.png"].labels, labels)
    assert len(found["b.png"].points) == 0
    assert looks(folder)


def test_dotdotgoose_is_written_with_the_fields_of_the_tool(tmp_path):
    """All that the tool asks for when it opens a file, and a colour for each class."""
    folder = make_folder(tmp_path)
    made = [Record(folder / "images" / "a.png", SHAPE, np.array([(1, 2.0)]), np.array([""]))]
    FORMATS["dotdotgoose"].write(folder, made, FORMATS["dotdotgoose"])
    data = json.loads((folder / "images" / "points.pnt").read_text())
    assert set(data) == set(LAYOUT)
    assert data["classes"] == list(data["colors"]) == ["point"]
    assert data["points"] == {"a.png": {"point": [{"x": 1.5, "y": 2.5}]}, "b.png": {}}
    assert data["ui"] == LAYOUT["ui"]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (5, r"'points' is int; expected a dict"),
        ({"a.png": 5}, r"'a\.png' is int; expected a dict"),
        ({"a.png": {"cell": 5}}, r"image 'a\.png': 'cell' is int; expected a list"),
        ({"a.png": {"cell": [5]}}, r"'cell' \[0\] is a int; expected an object with 'x'"),
        ({"a.png": {"cell": [{"x": 1}]}}, r"'y' is missing"),
        ({"a.png": {"cell": [{"x": "1", "y": 2}]}}, r"'x' is str"),
        ({"a.png": {"cell": [{"x": 10**400, "y": 2}]}}, "too large.*expected numbers x, y"),
        ({"a.png": {"cell": [{"x": float("nan"), "y": 2}]}}, "holds NaN"),
        ({"../c.png": {"cell": []}}, r"image '\.\./c\.png' is not in"),
    ],
)
def test_dotdotgoose_names_what_is_wrong(tmp_path, points, message):
    """Each mistake is a sentence with the file, the image, the class and the point."""
    with pytest.raises(InputError, match=message) as raised:
        read_points(tmp_path, points)
    assert "survey.pnt" in str(raised.value)


@pytest.mark.parametrize("text", ["", "5", "[]", "{}", "[" * 100_000, json.dumps(LAYOUT)[:99]])
def test_dotdotgoose_refuses_what_is_no_file_of_its_own(tmp_path, text):
    """Cut off, deep, of another kind."""
    folder = make_folder(tmp_path)
    with pytest.raises(InputError, match=r"survey\.pnt"):
        read("dotdotgoose", write_json(folder / "survey.pnt", text))


def test_dotdotgoose_refuses_to_choose_a_file(tmp_path):
    """None, or two in one folder."""
    folder = make_folder(tmp_path)
    with pytest.raises(InputError, match=r"has 0 \.pnt files"):
        read("dotdotgoose", folder)
    for name in ("one.pnt", "two.pnt"):
        write_json(folder / name, LAYOUT)
    with pytest.raises(InputError, match=r"has 2 \.pnt files \(one\.pnt, two\.pnt\)"):
        read("dotdotgoose", folder)
    assert looks(folder)
