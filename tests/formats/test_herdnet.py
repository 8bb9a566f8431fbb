"""Tests of `herdnet`: one table of points or boxes, whole numbers, classes from 1."""

import numpy as np
import pytest
from PIL import Image

from pointlib.errors import InputError
from pointlib.formats import FORMATS, convert
from pointlib.formats.shared.base import Pictures, Record

FORM = FORMATS["herdnet"]
SHAPE = (100, 200)
# HerdNet's README, "Dataset Format"; its detections are a pandas table with blanks where an image
# has none (eval/metrics.py, _store_detections).
POINTS = "images,x,y,labels\na.JPG,10,20,2\na.JPG,30,40,1\n"
BOXES = "images,x_min,y_min,x_max,y_max,labels\na.JPG,10,20,11,21,4\na.JPG,0,0,200,100,1\n"
DETECTIONS = (
    "images,labels,scores,dscores,x,y,count_1,species\n"
    "a.JPG,1.0,0.75,0.5,10.0,20.0,1,cow\nb.JPG,,,,,,0,\n"
)


def make(folder, tables, images=("a.JPG", "b.JPG")):
    """Return a folder of pictures 200 x 100 and tables {name: text}."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in images:
        Image.new("RGB", SHAPE[::-1]).save(folder / name, format="JPEG")
    for name, text in tables.items():
        (folder / name).write_text(text)
    return folder


def read(source):
    """Return {image name: Record}."""
    pictures = Pictures(source)
    return {record.image.name: record for record in FORM.read(source, pictures, FORM)}


def write(folder, points, labels, scores=None):
    """Return the text of the table with these points of one image."""
    record = Record(folder / "images" / "a.JPG", SHAPE, np.array(points), np.array(labels), scores)
    FORM.write(folder, [record], FORM)
    return (folder / "gt.csv").read_text()


def test_points_are_pixels_and_labels_are_classes(tmp_path):
    """Whole numbers are pixels' middles; an image without a line is not labelled yet."""
    found = read(make(tmp_path, {"gt.csv": POINTS}))
    assert set(found) == {"a.JPG"}
    assert found["a.JPG"].points.tolist() == [[10, 20], [30, 40]]
    assert found["a.JPG"].labels.tolist() == ["2", "1"]
    assert found["a.JPG"].scores is None


def test_detection_of_a_pixel_is_its_middle(tmp_path):
    """Half a pixel, from first principles: HerdNet's places are those of its map's maxima."""
    heatmap = np.zeros(SHAPE)
    heatmap[20, 10] = 1
    ((y, x),) = np.argwhere(heatmap == heatmap.max())
    make(tmp_path, {"gt.csv": f"images,x,y,labels\na.JPG,{x},{y},1\n"})
    assert read(tmp_path)["a.JPG"].points.tolist() == [[10, 20]]


def test_boxes_become_their_centres(tmp_path):
    """Edges: the box that crops pixel (10, 20) alone, and the whole image's."""
    crop = Image.fromarray(np.arange(20000).reshape(SHAPE).astype(np.int32)).crop((10, 20, 11, 21))
    assert crop.size == (1, 1)
    assert crop.getpixel((0, 0)) == 20 * 200 + 10
    found = read(make(tmp_path, {"gt.csv": BOXES}))["a.JPG"]
    assert found.points.tolist() == [[10, 20], [99.5, 49.5]]
    assert found.labels.tolist() == ["4", "1"]


def test_detections_carry_scores_names_and_images_without_any(tmp_path):
    """`species` names the class; a line of blanks says that nothing was found."""
    found = read(make(tmp_path, {"detections.csv": DETECTIONS}))
    assert found["a.JPG"].labels.tolist() == ["cow"]
    assert found["a.JPG"].scores.tolist() == [0.75]
    assert len(found["b.JPG"].points) == 0
    only = DETECTIONS.replace("species", "note").replace("scores,dscores", "old,dscores")
    found = read(make(tmp_path, {"detections.csv": only}))["a.JPG"]
    assert (found.labels.tolist(), found.scores.tolist()) == (["1"], [0.5])


def test_numbers_are_written_whole_and_inside(tmp_path):
    """HerdNet asks for numbers from 0: the image's outermost edges are in its outermost pixels."""
    points = [(10.4, 20.25), (-0.5, -0.5), (199.5, 99.5), (29.6, 40)]
    table = write(tmp_path, points, ["2", "1", "1", "10"])
    assert table == (
        "images,x,y,labels\na.JPG,10,20,2\na.JPG,0,0,1\na.JPG,199,99,1\na.JPG,30,40,10\n"
    )


def test_names_of_classes_stand_beside_their_numbers(tmp_path):
    """From 1, in the names' order; no class is one class."""
    assert write(tmp_path, [(1, 2), (3, 4)], ["dot", "cell"], np.array([0.5, 1])) == (
        "images,x,y,labels,species,scores\na.JPG,1,2,2,dot,0.500000\na.JPG,3,4,1,cell,1.000000\n"
    )
    assert write(tmp_path, [(1, 2)], [""]) == "images,x,y,labels,species\na.JPG,1,2,1,point\n"
    assert write(tmp_path, [(1, 2)], ["0"]) == "images,x,y,labels,species\na.JPG,1,2,1,0\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (POINTS + "a.JPG,1,2,0\n", r"gt\.csv, line 4: labels is 0, which is HerdNet's background"),
        (POINTS + "a.JPG,1,2,0.0\n", r"line 4: labels is 0"),
        (POINTS + "a.JPG,1,,1\n", r"line 4: could not convert"),
        (POINTS + "a.JPG,1,2\n", r"line 4 does not have 4 fields"),
        (POINTS + "c.JPG,1,2,1\n", r"line 4: image 'c\.JPG' is not in"),
        (POINTS + "../../a.JPG,1,2,1\n", r"'a\.JPG' and '../../a\.JPG' both mean"),
        (POINTS + "a.JPG,inf,2,1\n", r"line 4: \[inf, 2.0\]; expected finite"),
        (BOXES + "a.JPG,9,0,8,1,1\n", r"line 4: box \[9.0, 0.0, 8.0, 1.0\]; expected x_min"),
        ("images,x,labels\na.JPG,1,1\n", r"no column x_min, y_min, x_max, y_max among"),
    ],
)
def test_mistakes_are_sentences(tmp_path, text, message):
    """Each names the file and the line, what came and what is needed."""
    make(tmp_path, {"gt.csv": text})
    with pytest.raises(InputError, match=message):
        read(tmp_path / "gt.csv")


def test_label_of_endless_digits_is_a_label(tmp_path):
    """What Python refuses to turn into a number stays a text."""
    make(tmp_path, {"gt.csv": f"images,x,y,labels\na.JPG,1,2,{'9' * 5000}\n"})
    assert len(read(tmp_path)["a.JPG"].labels[0]) == 5000


def test_folder_must_hold_one_such_table(tmp_path):
    """Its name does not matter; of two the user says which."""
    make(tmp_path, {"other.csv": "a,b\n", "mine.csv": POINTS})
    assert FORM.looks(tmp_path)
    assert len(read(tmp_path)) == 1
    make(tmp_path, {"test.csv": BOXES})
    with pytest.raises(InputError, match=r"has mine\.csv, test\.csv; expected one. Name the"):
        read(tmp_path)
    make(tmp_path / "no", {"other.csv": "a,b\n"})
    with pytest.raises(InputError, match=r"has no table images,x,y,labels; expected one"):
        read(tmp_path / "no")
    assert not FORM.looks(tmp_path / "no")
    assert not FORM.looks(tmp_path / "nowhere")


def test_convert_brings_a_table_of_herdnet(tmp_path):
    """Recognised, read and counted; what HerdNet's files cannot say is told on the way back."""
    make(tmp_path / "in", {"detections.csv": DETECTIONS})
    found = convert(tmp_path / "in" / "detections.csv", tmp_path / "new", to="herdnet")
    assert (found.n_labelled, found.n_empty, found.classes) == (1, 1, ("cow",))
    assert "Lost: that 1 images are empty, which herdnet cannot express." in found.lost
