"""Tests of COCO's JSON: keypoints, boxes, polygons, results, and pycocotools on what is written."""

import json
import tracemalloc

import numpy as np
import pytest
from json_sample import BY_HAND, SHAPE, make_folder, read, write_json

from pointlib.errors import InputError
from pointlib.formats import FORMATS, convert
from pointlib.formats.coco import looks
from pointlib.formats.shared.base import Record

IMAGES = [
    {"id": 7, "file_name": "a.png", "width": 200, "height": 100},
    {"id": 3, "file_name": "set/b.png", "width": 200, "height": 100},
]
POSE = {"id": 2, "name": "fly", "keypoints": ["head", "tail", "wing"]}
KINDS = [{"id": 1, "name": "cell", "supercategory": "thing"}, POSE]
ONE = {"image_id": 7, "category_id": 1}


def write(path, *marks, **sections):
    """Return a folder with pictures and a COCO file of annotations."""
    data = {"images": IMAGES, "annotations": list(marks), "categories": KINDS, **sections}
    write_json(make_folder(path) / "coco.json", data)
    return path


def point(x, y, **more):
    """Return an annotation of one keypoint."""
    return {**ONE, "keypoints": [x, y, 2], "num_keypoints": 1, "iscrowd": 0, **more}


def test_coco_keypoints_are_indices_of_pixels(tmp_path):
    """COCO's numbers are the kit's; an image without annotations was looked at."""
    folder = write(tmp_path, *(point(x, y) for x, y in BY_HAND))
    found = read("coco", folder)
    assert found["a.png"].points.tolist() == [list(place) for place in BY_HAND]
    assert found["a.png"].labels.tolist() == ["cell", "cell"]
    assert found["a.png"].shape == SHAPE
    assert found["a.png"].scores is None
    assert found["b.png"].points.shape == (0, 2)


def test_coco_boxes_and_polygons_count_from_the_edge(tmp_path):
    """The box round the first pixel alone has its middle at (0, 0), as has its outline."""
    square = [0, 0, 1, 0, 1, 1, 0, 1]
    folder = write(
        tmp_path,
        {**ONE, "bbox": [0, 0, 1, 1], "segmentation": [[50, 50, 60, 50, 60, 60]]},
        {**ONE, "segmentation": [square]},
        {**ONE, "bbox": [], "segmentation": [[10, 20, 14, 20, 14, 24, 10, 24]]},
    )
    for convention in ("centre", "corner"):
        found = read("coco", folder, convention=convention)["a.png"]
        assert np.allclose(found.points, [(0, 0), (0, 0), (11.5, 21.5)])


def test_coco_keypoints_can_be_read_from_the_corner(tmp_path):
    """A tool that exports what was clicked on a canvas: half a pixel less, the box as before."""
    folder = write(tmp_path, point(10.5, 20.25), {**ONE, "bbox": [10, 20, 4, 4]})
    found = read("coco", folder, convention="corner")["a.png"]
    assert np.allclose(found.points, [(10, 19.75), (11.5, 21.5)])


def test_coco_names_keypoints_and_leaves_out_unlabelled_ones(tmp_path):
    """Of v, 0 is not labelled, 1 is hidden, 2 is seen: one point each that has a place."""
    folder = write(
        tmp_path, {"image_id": 7, "category_id": 2, "keypoints": [1, 2, 1, 0, 0, 0, 3, 4, 2]}
    )
    found = read("coco", folder)["a.png"]
    assert found.points.tolist() == [[1, 2], [3, 4]]
    assert found.labels.tolist() == ["head", "wing"]


@pytest.mark.parametrize(
    "mark",
    [
        {
            **ONE,
            "iscrowd": 1,
            "bbox": [1, 2, 3, 4],
            "segmentation": {"counts": [5], "size": [1, 5]},
        },
        {"image_id": 7, "category_id": 2, "keypoints": [0] * 9, "bbox": [1, 2, 3, 4]},
    ],
)
def test_coco_does_not_call_an_image_empty_that_is_not(tmp_path, mark):
    """A crowd, or an instance without a keypoint, is no point; alone, nothing is known of it."""
    other = {"image_id": IMAGES[1]["id"], "category_id": 2, "bbox": [1, 2, 3, 4]}
    assert list(read("coco", write(tmp_path / "alone", mark, other))) == ["b.png"]
    found = read("coco", write(tmp_path / "both", mark, point(5, 6)))
    assert found["a.png"].points.tolist() == [[5, 6]]


def test_coco_of_crowds_alone_holds_masks_of_objects(tmp_path):
    """Programs that write each mask with iscrowd 1 mean objects: their boxes' centres, with a note."""
    mark = {**ONE, "iscrowd": 1, "bbox": [4, 6, 2, 4], "segmentation": {"counts": [5]}}
    folder = write(tmp_path / "masks", mark)
    assert read("coco", folder)["a.png"].points.tolist() == [[4.5, 7.5]]
    notes = convert(folder, tmp_path / "new").notes
    assert any("are crowds" in note for note in notes)


def test_coco_sections_come_in_any_order(tmp_path):
    """Annotations before their images and categories, numbers as ids or texts, no class."""
    folder = make_folder(tmp_path)
    marks = [{"image_id": "x", "keypoints": [1, 2, 2]}, {"image_id": 3.0, "keypoints": [3, 4, 2]}]
    images = [{**IMAGES[0], "id": "x"}, IMAGES[1]]
    write_json(folder / "coco.json", {"annotations": marks, "images": images})
    found = read("coco", folder)
    assert {name: r.points.tolist() for name, r in found.items()} == {
        "a.png": [[1, 2]],
        "b.png": [[3, 4]],
    }
    assert found["a.png"].labels.tolist() == [""]


def test_coco_scores_are_kept_where_all_have_one(tmp_path):
    """Half-scored annotations have no scores."""
    scored = read("coco", write(tmp_path / "all", point(1, 2, score=0.25), point(3, 4, score=1)))
    assert scored["a.png"].scores.tolist() == [0.25, 1]
    half = read("coco", write(tmp_path / "half", point(1, 2, score=0.25), point(3, 4)))
    assert half["a.png"].scores is None


def test_coco_does_not_invent_a_size(tmp_path):
    """Width and height may be missing, or null."""
    images = [{"id": 7, "file_name": "a.png", "width": None, "height": 0}]
    assert read("coco", write(tmp_path, point(1, 2), images=images))["a.png"].shape is None


# results


def test_coco_results_take_their_images_from_the_file_beside(tmp_path):
    """Boxes and keypoints with scores; images without results were perhaps not looked at."""
    folder = write(tmp_path)
    results = [
        {**ONE, "bbox": [10, 20, 4, 4], "score": 0.5},
        {
            "image_id": 7,
            "category_id": 2,
            "keypoints": [1, 2, 0.1, 3, 4, 0, 5, 6, 0],
            "score": 0.25,
        },
    ]
    found = read("coco", write_json(folder / "results.json", results))
    assert list(found) == ["a.png"]
    assert found["a.png"].points.tolist() == [[11.5, 21.5], [1, 2], [3, 4], [5, 6]]
    assert found["a.png"].labels.tolist() == ["cell", "head", "tail", "wing"]
    assert found["a.png"].scores.tolist() == [0.5, 0.25, 0.25, 0.25]


def test_coco_results_alone_name_images_by_name_or_number(tmp_path):
    """Without a file of images: "a" is a.png, 42 is 000042.png, the class is a number."""
    folder = make_folder(tmp_path, "a.png", "000042.png")
    results = [
        {"image_id": i, "category_id": 5, "bbox": [0, 0, 1, 1], "score": 1} for i in ("a", 42)
    ]
    found = read("coco", write_json(folder / "results.json", results))
    assert [r.labels.tolist() for r in found.values()] == [["5"], ["5"]]
    assert set(found) == {"a.png", "000042.png"}
    with pytest.raises(InputError, match=r"result\[0\]: image_id 43 names no image. Put the COCO"):
        read("coco", write_json(folder / "results.json", [{**results[1], "image_id": 43}]))


def test_coco_results_refuse_to_choose_their_images(tmp_path):
    """Two files that list images: which one the results belong to is not guessed."""
    folder = write(tmp_path)
    (folder / "other.json").write_text((folder / "coco.json").read_text())
    path = write_json(folder / "results.json", [{**ONE, "bbox": [0, 0, 1, 1], "score": 1}])
    with pytest.raises(InputError, match=r"coco\.json, other\.json beside it list images"):
        read("coco", path)


# there and back


def record(path, *places, labels=None, scores=None):
    """Return a Record of points on a picture."""
    labels = np.array(labels or ["cell"] * len(places), dtype=str)
    points = np.array(places, dtype=float).reshape(-1, 2)
    return Record(path, SHAPE, points, labels, None if scores is None else np.array(scores))


def test_coco_keeps_points_classes_scores_and_the_empty_image(tmp_path):
    """Random points and their scores come back to a millionth of a pixel."""
    rng = np.random.default_rng(3)
    folder = make_folder(tmp_path)
    places = rng.uniform(-0.5, (199.5, 99.5), (50, 2))
    labels = rng.choice(["cell", "dot"], 50).tolist()
    image = folder / "images" / "a.png"
    records = [record(image, *places, labels=labels, scores=rng.random(50))]
    records.append(record(folder / "images" / "b.png"))
    FORMATS["coco"].write(folder, records, FORMATS["coco"])
    found = read("coco", folder)
    assert np.abs(found["a.png"].points - places).max() < 1e-6
    assert found["a.png"].labels.tolist() == labels
    assert np.array_equal(found["a.png"].scores, records[0].scores)
    assert len(found["b.png"].points) == 0
    assert looks(folder)


def test_coco_calls_points_without_a_class_point(tmp_path):
    """A category needs a name: the kit's own for one class without any."""
    folder = make_folder(tmp_path)
    records = [record(folder / "images" / "a.png", (1, 2), labels=[""])]
    FORMATS["coco"].write(folder, records, FORMATS["coco"])
    assert read("coco", folder)["a.png"].labels.tolist() == ["point"]


def test_coco_boxes_are_centred_on_their_points(tmp_path):
    """Of the box that is written, and read alone, the middle is the point."""
    folder = make_folder(tmp_path)
    FORMATS["coco"].write(folder, [record(folder / "images" / "a.png", *BY_HAND)], FORMATS["coco"])
    data = json.loads((folder / "annotations.json").read_text())
    for mark in data["annotations"]:
        del mark["keypoints"]
        assert mark["bbox"][2:] == [FORMATS["coco"].box] * 2
    write_json(folder / "annotations.json", data)
    assert np.allclose(read("coco", folder)["a.png"].points, BY_HAND)


# what is wrong


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ({"category_id": 1, "bbox": [1, 2, 3, 4]}, r"annotations\[0\]: 'image_id' is missing"),
        ({**ONE, "image_id": 9, "bbox": [1, 2, 3, 4]}, r"image_id 9 is not among the images"),
        ({**ONE, "image_id": [7], "bbox": [1, 2, 3, 4]}, r"'image_id' is list"),
        ({**ONE, "category_id": 9, "bbox": [1, 2, 3, 4]}, r"category_id 9 is not among the cat"),
        ({**ONE, "category_id": True, "bbox": [1, 2, 3, 4]}, r"'category_id' is bool"),
        ({**ONE, "bbox": [1, 2, 3]}, r"bbox \[1.0, 2.0, 3.0\]; expected x, y, width, height"),
        ({**ONE, "bbox": [1, 2, -3, 4]}, r"expected x, y, width, height, from 0"),
        ({**ONE, "bbox": [1, 2, "x", 4]}, r"could not convert"),
        ({**ONE, "bbox": {"x": 1}}, r"no keypoints, no bbox and no polygons|bbox"),
        ({**ONE, "keypoints": [1, 2]}, r"2 numbers as keypoints; expected x, y, v of each"),
        ({**ONE, "keypoints": [1, 2, 2, 3, 4, 2]}, r"has 2 keypoints, its category 'cell' names 0"),
        ({**ONE, "keypoints": "x"}, r"'keypoints' is str; expected a list"),
        ({**ONE, "keypoints": [1, None, 2]}, r"expected numbers x, y, v of each keypoint"),
        ({**ONE}, r"has no keypoints, no bbox and no polygons; a mask"),
        ({**ONE, "segmentation": {"counts": "abc", "size": [1, 2]}}, r"a mask .RLE. is not read"),
        ({**ONE, "segmentation": [[1, 2, 3, 4, 5]]}, r"is not a list of x, y, x, y"),
        ({**ONE, "segmentation": [[1, 2, 3, 4]]}, r"2 points; expected 3 or more"),
        (point(1, 2, score=1.5), r"annotations\[0\]: score 1.5; expected 0 to 1"),
        (point(1, 2, score="high"), r"expected numbers score"),
        (point(1e308, 1e308, bbox=[0, 0, 1, 1]) | {"keypoints": []}, None),
    ],
)
def test_coco_names_what_is_wrong(tmp_path, mark, message):
    """Each mistake is a sentence with the file and the annotation."""
    folder = write(tmp_path, mark)
    if message is None:
        assert len(read("coco", folder)["a.png"].points) == 1
        return
    with pytest.raises(InputError, match=message) as raised:
        read("coco", folder)
    assert "coco.json, annotations[0]" in str(raised.value)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"images": [*IMAGES, IMAGES[0]]}, r"images\[2\]: id 7 occurs twice"),
        ({"images": [{"id": 7}]}, r"images\[0\]: 'file_name' is missing"),
        ({"images": [{"id": 7, "file_name": "../c.png"}]}, r"image '\.\./c\.png' is not in"),
        ({"categories": [{"id": 1}]}, r"categories\[0\]: 'name' is missing"),
        ({"categories": [{"id": 1, "name": "x", "keypoints": [1]}]}, r"keypoints is not a list of"),
        ({"annotations": {}}, r"annotations\[0\] is an object; expected a list"),
    ],
)
def test_coco_names_what_is_wrong_in_its_lists(tmp_path, sections, message):
    """Images and categories are checked like annotations."""
    with pytest.raises(InputError, match=message):
        read("coco", write(tmp_path, point(1, 2), **sections))


def test_coco_keeps_few_numbers_of_long_outlines(tmp_path):
    """Of what lies between the annotations nothing is kept: a file of any length can be read."""
    outline = json.dumps([list(range(4000))])
    mark = f'{{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "segmentation": {outline}}}'
    lists = f'"images": {json.dumps(IMAGES)}, "categories": {json.dumps(KINDS)}'
    folder = make_folder(tmp_path)
    text = f'{{{lists}, "annotations": [{", ".join([mark] * 500)}]}}'
    path = write_json(folder / "coco.json", text)
    tracemalloc.start()
    found = read("coco", path)["a.png"].points
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 500
    assert len(text) > 9_000_000
    assert peak < 30_000_000  # the json module needs 100 MB


# recognised


def test_coco_is_recognised(tmp_path):
    """A file, its folder or `annotations/` in it, results; not other tools' JSON."""
    folder = write(tmp_path / "one", point(1, 2))
    assert looks(folder / "coco.json")
    assert looks(folder)
    (folder / "annotations").mkdir()
    (folder / "coco.json").rename(folder / "annotations" / "x.json")
    assert looks(folder)
    results = [{"image_id": 1, "category_id": 1, "score": 1, "bbox": [1, 2, 3, 4]}]
    assert looks(write_json(tmp_path / "results.json", results))
    assert not looks(write_json(tmp_path / "other.json", {"shapes": [], "imagePath": "a.png"}))
    assert not looks(tmp_path / "nowhere.json")


# driven by pycocotools


@pytest.fixture
def coco_tools():
    """Return pycocotools' COCO class, or skip."""
    return pytest.importorskip("pycocotools.coco").COCO


def test_pycocotools_reads_what_is_written(coco_tools, tmp_path, capsys):
    """Its index, its images without annotations, its keypoint score of the file against itself."""
    from pycocotools.cocoeval import COCOeval

    source = make_folder(tmp_path / "csv", "a.png", "b.png")
    (source / "points.csv").write_text("image,x,y,label\na.png,10.5,20.25,cell\na.png,30,40,dot\n")
    (source / "images.csv").write_text("image\na.png\nb.png\n")
    convert(source, tmp_path / "coco", from_="csv", to="coco")
    coco = coco_tools(tmp_path / "coco" / "annotations.json")
    marks = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [mark["keypoints"] for mark in marks] == [[10.5, 20.25, 2], [30, 40, 2]]
    assert [coco.loadCats(mark["category_id"])[0]["name"] for mark in marks] == ["cell", "dot"]
    assert coco.loadImgs(2)[0]["file_name"] == "b.png"
    assert not coco.getAnnIds(imgIds=[2])
    kept = ("image_id", "category_id", "keypoints")
    results = coco.loadRes([{key: mark[key] for key in kept} | {"score": 1.0} for mark in marks])
    judge = COCOeval(coco, results, "keypoints")
    judge.params.kpt_oks_sigmas = np.array([0.1])
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert judge.stats[0] == pytest.approx(1)
    capsys.readouterr()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own way with numpy
def test_pycocotools_masks_have_their_middle_where_polygons_are_read(coco_tools, tmp_path, capsys):
    """The mean of a mask's pixels, which count from 0, is the middle that is read of its outline."""
    outline = [20, 30, 60, 30, 60, 50, 40, 50, 40, 70, 20, 70]
    folder = write(tmp_path, {**ONE, "id": 1, "segmentation": [outline]})
    coco = coco_tools(folder / "coco.json")
    rows, columns = np.nonzero(coco.annToMask(coco.anns[1]))
    capsys.readouterr()
    assert np.allclose(read("coco", folder)["a.png"].points, [(columns.mean(), rows.mean())])
