"""Tests of Label Studio's tasks: both exports, each shape, who annotated, and what is imported."""

import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from json_sample import BY_HAND, SHAPE, make_folder, read, write_json

from pointlib.errors import InputError
from pointlib.formats import FORMATS
from pointlib.formats.labelstudio import looks
from pointlib.formats.shared.base import Record

SIZE = {"original_width": 200, "original_height": 100, "image_rotation": 0}
UPLOAD = "/data/upload/1/a.png"
# The tasks that this kit wrote of two points and an empty image, as "JSON-MIN" of the converter in
# label-studio-sdk 2.0.19: Converter(labeling_config.xml).convert(tasks, folder, Format.JSON_MIN,
# is_dir=False). A task that nobody annotated has no annotation_id.
MINIMAL = r"""[
{"image": "\/data\/local-files\/?d=images\/a.png", "id": 1, "label": [
  {"x": 5.5, "y": 20.75, "width": 0.5, "keypointlabels": ["cell"],
   "original_width": 200, "original_height": 100},
  {"x": 15.25, "y": 40.5, "width": 0.5, "keypointlabels": ["dot"],
   "original_width": 200, "original_height": 100}],
 "annotator": 1, "annotation_id": 100, "created_at": "2024-01-01", "updated_at": "2024-01-01",
 "lead_time": 1},
{"image": "\/data\/local-files\/?d=images\/b.png", "id": 2, "annotator": 1, "annotation_id": 101,
 "created_at": "2024-01-01", "updated_at": "2024-01-01", "lead_time": 1},
{"image": "\/data\/local-files\/?d=images\/c.png", "id": 3, "annotator": null,
 "annotation_id": null, "created_at": null, "updated_at": null, "lead_time": null}
]"""


def region(kind, label="cell", **value):
    """Return a result as Label Studio exports it."""
    labels = {kind: [label]} if kind.endswith("labels") and label else {}
    return {"type": kind, "from_name": "x", "to_name": "y", **SIZE, "value": {**value, **labels}}


def task(*results, image=UPLOAD, **more):
    """Return a task of one annotation."""
    return {"data": {"image": image}, "annotations": [{"result": list(results)}], **more}


def read_tasks(path, *tasks, **changes):
    """Return {image's name: Record} of an export."""
    folder = make_folder(path)
    write_json(folder / "export.json", list(tasks))
    return read("labelstudio", folder, **changes)


def test_labelstudio_counts_in_percent_from_the_edge(tmp_path):
    """Percent of 200 x 100; the middle of the first pixel lies at a quarter and half a percent."""
    places = [(x / 2, y) for x, y in BY_HAND] + [(0.25, 0.5)]
    found = read_tasks(tmp_path, task(*(region("keypointlabels", x=x, y=y) for x, y in places)))
    expected = [(x - 0.5, y - 0.5) for x, y in BY_HAND] + [(0, 0)]
    assert np.allclose(found["a.png"].points, expected)
    assert found["a.png"].labels.tolist() == ["cell"] * 3
    assert found["a.png"].shape == SHAPE


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("rectanglelabels", {"x": 10, "y": 20, "width": 20, "height": 10}, (40, 25)),
        ("rectangle", {"x": 10, "y": 20, "width": 20, "height": 10, "rotation": 90}, (15, 40)),
        ("ellipselabels", {"x": 10, "y": 20, "radiusX": 5, "radiusY": 5, "rotation": 9}, (20, 20)),
        ("polygonlabels", {"points": [[10, 20], [30, 20], [30, 40], [10, 40]]}, (40, 30)),
        ("keypoint", {"x": 10, "y": 20, "width": 4}, (20, 20)),
    ],
)
def test_labelstudio_shapes_become_their_middles(tmp_path, kind, value, expected):
    """Boxes turn clockwise about their first corner: a quarter turn of 40 x 10 px, by hand."""
    found = read_tasks(tmp_path, task(region(kind, **value)))["a.png"]
    assert np.allclose(found.points + 0.5, [expected])


def test_labelstudio_labels_may_stand_in_another_result(tmp_path):
    """A shape and its label are two results of one id; other results have no place."""
    place = {"x": 10, "y": 20, "width": 1}
    results = [
        {**region("keypoint", **place), "id": "r1"},
        {"id": "r1", "type": "labels", "value": {**place, "labels": ["cell"]}},
        {"id": "r1", "type": "textarea", "value": {"text": ["large"]}},
        {"type": "choices", "value": {"choices": ["sharp"]}},
        {"type": "relation", "from_id": "r1", "to_id": "r1"},
    ]
    found = read_tasks(tmp_path, task(*results))["a.png"]
    assert found.labels.tolist() == ["cell"]


def test_labelstudio_tells_empty_from_not_annotated(tmp_path):
    """An annotation without results was looked at; one that was skipped, or a draft, was not."""
    cancelled = {"result": [region("keypoint", x=1, y=1)], "was_cancelled": True}
    tasks = [
        task(image="a.png"),
        {"data": {"image": "b.png"}, "annotations": [cancelled], "drafts": [{"result": []}]},
    ]
    found = read_tasks(tmp_path, *tasks)
    assert {name: len(record.points) for name, record in found.items()} == {"a.png": 0}


def test_labelstudio_takes_one_of_several_annotations(tmp_path):
    """The ground truth, or the only one that was not cancelled; else a sentence."""
    first, other = ({"result": [region("keypoint", x=x, y=1)]} for x in (10, 20))
    for number, marked in enumerate(({"ground_truth": True}, {"was_cancelled": True})):
        said = [first, {**other, **marked}]
        found = read_tasks(
            tmp_path / str(number), {"data": {"image": "a.png"}, "annotations": said}
        )
        expected = 39.5 if number == 0 else 19.5
        assert found["a.png"].points[0, 0] == pytest.approx(expected)
    with pytest.raises(InputError, match=r"task \[0\] has 2 annotations.*Mark one as ground"):
        read_tasks(tmp_path / "both", {"data": {"image": "a.png"}, "annotations": [first, other]})


def test_labelstudio_reads_predictions_only_where_nobody_annotated(tmp_path):
    """What a model said comes with its scores; beside one annotation it is left."""
    said = [
        {**region("keypointlabels", x=1, y=1), "score": 0.25},
        region("keypointlabels", x=2, y=1),
    ]
    predicted = {"data": {"image": "b.png"}, "predictions": [{"score": 0.5, "result": said}]}
    found = read_tasks(tmp_path / "one", predicted)
    assert found["b.png"].scores.tolist() == [0.25, 0.5]
    found = read_tasks(tmp_path / "two", predicted, task(region("keypoint", x=1, y=1)))
    assert set(found) == {"a.png"}
    assert found["a.png"].scores is None


def test_labelstudio_reads_the_minimal_export(tmp_path):
    """What the real converter made of the kit's own tasks reads as what they were."""
    folder = make_folder(tmp_path, "a.png", "b.png", "c.png")
    found = read("labelstudio", write_json(folder / "min.json", MINIMAL))
    assert np.allclose(found["a.png"].points, [(10.5, 20.25), (30, 40)])
    assert found["a.png"].labels.tolist() == ["cell", "dot"]
    assert len(found["b.png"].points) == 0
    assert "c.png" not in found


def test_labelstudio_minimal_regions_of_two_controls_count_once(tmp_path):
    """A shape without and with its label is one; where they do not pair, a sentence."""
    place = {"x": 10, "y": 20, "width": 1}
    pair = {"image": "a.png", "shape": [place], "label": [{**place, "labels": ["cell"]}]}
    assert read_tasks(tmp_path / "pair", pair)["a.png"].labels.tolist() == ["cell"]
    with pytest.raises(InputError, match="regions with and without a class"):
        read_tasks(tmp_path / "odd", {**pair, "shape": [place, place]})


def test_labelstudio_reads_old_exports_and_a_single_task(tmp_path):
    """Before version 1.0 annotations were completions, and sizes were not told."""
    old = {"type": "keypointlabels", "value": {"x": 5.5, "y": 20.75, "keypointlabels": ["cell"]}}
    data = {"data": {"text": "none"}, "file_upload": "a.png", "completions": [{"result": [old]}]}
    folder = make_folder(tmp_path)
    found = read("labelstudio", write_json(folder / "0.json", data))["a.png"]
    assert np.allclose(found.points, [(10.5, 20.25)])
    assert found.shape is None


# there and back


def records(folder, scores=None):
    """Return Records of random points on a.png and of none on b.png."""
    rng = np.random.default_rng(5)
    points = rng.uniform(-0.5, (199.5, 99.5), (40, 2))
    labels = rng.choice(["cell", "dot"], 40)
    images = folder / "images"
    none = Record(images / "b.png", SHAPE, np.empty((0, 2)), np.empty(0, dtype=str))
    return [Record(images / "a.png", SHAPE, points, labels, scores), none]


@pytest.mark.parametrize("scored", [False, True])
def test_labelstudio_keeps_points_classes_scores_and_the_empty_image(tmp_path, scored):
    """What is written comes back; the third picture stays a task to be done."""
    folder = make_folder(tmp_path, "a.png", "b.png", "c.png")
    made = records(folder, np.random.default_rng(6).random(40) if scored else None)
    FORMATS["labelstudio"].write(folder, made, FORMATS["labelstudio"])
    found = read("labelstudio", folder)
    assert set(found) == {"a.png", "b.png"}
    assert np.abs(found["a.png"].points - made[0].points).max() < 2e-8
    assert np.array_equal(found["a.png"].labels, made[0].labels)
    assert (found["a.png"].scores is not None) == scored
    assert not scored or np.array_equal(found["a.png"].scores, made[0].scores)
    assert len(found["b.png"].points) == 0
    assert len(json.loads((folder / "tasks.json").read_text())) == 3
    assert looks(folder)


def test_labelstudio_writes_the_interface_that_fits(tmp_path):
    """Each result names a control and an image of the interface, whatever is in a label."""
    folder = make_folder(tmp_path)
    points, labels = np.array([(1, 2.0), (3, 4)]), np.array(['a "<b>&', "dot"])
    made = [Record(folder / "images" / "a.png", SHAPE, points, labels)]
    FORMATS["labelstudio"].write(folder, made, FORMATS["labelstudio"])
    view = ET.parse(folder / "labeling_config.xml").getroot()  # noqa: S314 (our own)
    results = json.loads((folder / "tasks.json").read_text())[0]["annotations"][0]["result"]
    control, image = view.find("KeyPointLabels"), view.find("Image")
    assert {label.get("value") for label in control} == set(labels)
    assert {r["from_name"] for r in results} == {control.get("name")}
    assert {r["to_name"] for r in results} == {image.get("name")}
    assert image.get("value") == "$image"


def test_labelstudio_keeps_points_without_a_class(tmp_path):
    """A keypoint of its own control, without labels."""
    folder = make_folder(tmp_path)
    made = [Record(folder / "images" / "a.png", SHAPE, np.array([(1, 2.0)]), np.array([""]))]
    FORMATS["labelstudio"].write(folder, made, FORMATS["labelstudio"])
    assert read("labelstudio", folder)["a.png"].labels.tolist() == [""]
    assert '<KeyPoint name="point"' in (folder / "labeling_config.xml").read_text()


# what is wrong

PLACE = {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (5, r"task \[0\] is a int; expected a task"),
        ({"data": []}, r"'data' is list; expected a dict"),
        ({"data": {}, "annotations": 5}, r"'annotations' is int; expected a list"),
        ({"data": {}, "annotations": [5]}, "annotations and predictions must hold objects"),
        ({"data": {}, "annotations": [{}]}, r"its data has 0 images .none."),
        ({"foo": 1}, r"its data has 0 images .none."),
        ({"data": {"x": "a.png", "y": "b.png"}, "annotations": [{}]}, "has 2 images .x, y."),
        (task(image="../c.png"), r"image '\.\./c\.png' is not in"),
        ({"data": {"image": "a.png"}, "annotations": [{}]}, r"'result' is missing"),
        (task(5), r"result \[0\] is a int; expected an object"),
        (task({"value": 5}), r"'value' is int; expected a dict"),
        (task(region("keypoint", x=None, y=1)), "expected numbers x, y"),
        (task(region("keypoint", x=float("nan"), y=1)), "holds NaN, which JSON does not have"),
        (task(region("rectangle", x=1, y=1)), "expected numbers x, y, width, height, rotation"),
        (task(region("polygon", points=[[1, 2]])), "1 points; expected 3 or more"),
        (task(region("brushlabels", rle=[1, 2], format="rle")), r"is a brush; keypoints, rect"),
        (task(region("vector", vertices=[])), r"is a vector; keypoints, rectangles"),
        (task(region("keypoint", **PLACE) | {"image_rotation": 90}), r"rotated image .image_rot"),
        (task(region("keypoint", **PLACE) | {"item_index": 1}), r"one of several .item_index"),
        (task(region("keypoint", **PLACE, labels=["a", "b"])), "several labels; expected one"),
        (task(region("keypoint", **PLACE, labels=[[]])), "several labels; expected one string"),
        (
            task(region("keypoint", **PLACE), region("keypoint", **PLACE) | {"original_width": 9}),
            "original sizes .*; expected one",
        ),
        (
            {
                "data": {"image": "a.png"},
                "predictions": [{"score": 7, "result": [region("x", **PLACE)]}],
            },
            "score 7.0; expected 0 to 1",
        ),
    ],
)
def test_labelstudio_names_what_is_wrong(tmp_path, broken, message):
    """Each mistake is a sentence with the file, the task and the result."""
    with pytest.raises(InputError, match=message):
        read_tasks(tmp_path, broken)


@pytest.mark.parametrize("text", ["", "5", '"x"', "[" * 100_000, '[{"data": {'])
def test_labelstudio_refuses_what_is_no_export(tmp_path, text):
    """Cut off, nested without end, no task at all."""
    folder = make_folder(tmp_path)
    with pytest.raises(InputError, match=r"tasks\.json"):
        read("labelstudio", write_json(folder / "tasks.json", text))


def test_labelstudio_is_recognised(tmp_path):
    """Both exports; not COCO's annotations."""
    whole = [task(region("keypoint", **PLACE))]
    assert looks(write_json(tmp_path / "whole.json", whole))
    assert looks(write_json(tmp_path / "minimal.json", MINIMAL))
    assert not looks(write_json(tmp_path / "coco.json", {"images": [], "annotations": []}))
    assert not looks(write_json(tmp_path / "empty.json", ""))
    assert not looks(tmp_path / "nowhere")


def test_areas_called_region_are_what_is_labelled(tmp_path):
    """A rectangle or polygon of the class ROI is no point."""
    box = {"x": 10, "y": 20, "width": 50, "height": 40, "rotation": 0, "rectanglelabels": ["ROI"]}
    points = [[10, 10], [60, 10], [60, 50]]
    polygon = {"points": points, "polygonlabels": ["region"]}
    dot = {"x": 30, "y": 30, "width": 0.5, "keypointlabels": ["cell"]}
    kinds = ("rectanglelabels", "polygonlabels", "keypointlabels")
    result = [
        {"id": kind, "type": kind, "value": value}
        for kind, value in zip(kinds, (box, polygon, dot), strict=True)
    ]
    task = {"data": {"image": "a.png"}, "annotations": [{"result": result}]}
    write_json(make_folder(tmp_path) / "tasks.json", [task])
    found = read("labelstudio", tmp_path)["a.png"]
    height, width = SHAPE
    assert found.labels.tolist() == ["cell"]
    corners = np.array([[10, 20], [60, 20], [60, 60], [10, 60]]) / 100 * [width, height] - 0.5
    np.testing.assert_allclose(found.regions.areas[0][0], corners)
    assert len(found.regions.areas) == 2
