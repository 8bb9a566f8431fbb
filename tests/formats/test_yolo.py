"""Tests of yolo: texts of boxes, polygons and poses, names from YAML, and files that mean harm."""

import numpy as np
import pytest
from PIL import Image

from pointlib.errors import InputError
from pointlib.formats import FORMATS, convert
from pointlib.formats.shared.base import Pictures
from pointlib.points import label_state, read_points, write_points

SHAPE = (100, 200)
FORM = FORMATS["yolo"]

# Written by labelImg 1.8.6 (YOLOWriter, boxes 10, 20, 15, 23 and 1, 1, 31, 41), with classes.txt;
# Datumaro 1.13.12 writes the first line too, supervision 0.31.2 with five decimals
LABELIMG = "0 0.062500 0.215000 0.025000 0.030000\n1 0.080000 0.210000 0.150000 0.400000\n"
# data.yaml of Datumaro 1.13.12 and of supervision 0.31.2, and one of Ultralytics' docs
YAMLS = [
    "train: train.txt\nval: val.txt\nnames:\n  0: cell\n  1: dot\n",
    "nc: 2\nnames: [cell, dot]\n",
    "path: coco8 # root\ntrain: images/train\ntest: # optional\n\nnames:\n  0: cell\n  1: 'dot'\n",
]


def dataset(path, *texts, place="labels", names=("a.png", "b.png", "c.png"), **files):
    """Return a folder with pictures 200 x 100, the texts a.txt, b.txt, ... and other files."""
    (path / "images").mkdir(parents=True)
    for name in names:
        Image.new("L", SHAPE[::-1]).save(path / "images" / name)
    (path / place).mkdir(exist_ok=True, parents=True)
    for stem, text in zip("abc", texts, strict=False):
        (path / place / f"{stem}.txt").write_text(text)
    for name, text in files.items():
        (path / name.replace("_", ".")).write_text(text)
    return path


def records(source, pictures=None):
    """Return the records of a source, in its order."""
    return list(FORM.read(source, pictures or Pictures(source), FORM))


def test_read_finds_a_known_pixel(tmp_path):
    """A box round pixel (12, 21) alone, in a picture 200 x 100, has its middle at 12.5, 21.5.

    As fractions 0.0625 and 0.215; the same square as an outline has its corners at 12 and 13.
    """
    outline = "0 .06 .21 .065 .21 .065 .22 .06 .22"
    (found,) = records(dataset(tmp_path / "new", f"0 0.0625 0.215 0.005 0.01\n{outline}\n"))
    assert np.allclose(found.points, [(12, 21)] * 2, rtol=0, atol=1e-12)


@pytest.mark.parametrize("text", YAMLS, ids=["Datumaro", "supervision", "Ultralytics"])
def test_read_of_other_tools_files(tmp_path, text):
    """A box of columns 10 to 14 and rows 20 to 22; the classes by their names in data.yaml."""
    (found,) = records(dataset(tmp_path / "new", LABELIMG, data_yaml=text))
    assert np.allclose(found.points[0], (12, 21), rtol=0, atol=1e-12)
    assert found.labels.tolist() == ["cell", "dot"]
    assert found.scores is None


@pytest.mark.parametrize("name", ["classes_txt", "obj_names"])
def test_read_takes_names_from_a_list(tmp_path, name):
    """classes.txt of labelImg and obj.names of Darknet have one name a line."""
    (found,) = records(dataset(tmp_path / "new", LABELIMG, **{name: "cell\r\ndot\r\n"}))
    assert found.labels.tolist() == ["cell", "dot"]


def test_read_takes_the_number_where_there_is_no_name(tmp_path):
    """Without any list of names the number itself is the label."""
    (found,) = records(dataset(tmp_path / "new", LABELIMG))
    assert found.labels.tolist() == ["0", "1"]


def test_read_takes_words_of_yaml_as_they_stand(tmp_path):
    """A class called no, or 7, or null has that name: YAML's own types do not come in."""
    text = "names:\n  0: no\n  1: 7.0\n  2: null\n"
    (found,) = records(dataset(tmp_path / "new", "0 .1 .1 0 0\n1 .1 .1 0 0\n", data_yaml=text))
    assert found.labels.tolist() == ["no", "7.0"]


def test_read_takes_a_sixth_number_as_score(tmp_path):
    """Predictions of Ultralytics end in the confidence."""
    (found,) = records(dataset(tmp_path / "new", "0 0.5 0.5 0.1 0.1 0.875\n"))
    assert found.scores.tolist() == [0.875]


@pytest.mark.parametrize(
    ("shape", "line", "points", "labels"),
    [
        ("[1, 2]", "0 .5 .5 .1 .1 .0625 .215", [(12, 21)], ["bird"]),
        ("[1, 3]", "0 .5 .5 .1 .1 .0625 .215 2", [(12, 21)], ["bird"]),
        ("[1, 3]", "0 .5 .5 .1 .1 .0625 .215 1 .75", [(12, 21)], ["bird"]),
        ("[2, 3]", "0 .5 .5 .1 .1 .0625 .215 1 0 0 0", [(12, 21)], ["beak"]),
        ("[2, 2]", "0 .5 .5 .1 .1 -1 -1 .0625 .215", [(12, 21)], ["tail"]),
        ("[1, 3]", "0 .5 .5 .1 .1 0 0 0", [], []),
    ],
)
def test_read_of_a_pose_takes_its_keypoints(tmp_path, shape, line, points, labels):
    """One keypoint is the point; of several each is one; those that are not there are left out."""
    text = f"names: [bird]\nkpt_shape: {shape}\nkpt_names:\n  0: [beak, tail]\n"
    (found,) = records(dataset(tmp_path / "new", line, data_yaml=text))
    assert np.allclose(found.points, np.reshape(points, (-1, 2)), rtol=0, atol=1e-12)
    assert found.labels.tolist() == labels


def test_read_of_several_keypoints_without_names_takes_the_class(tmp_path):
    """Where kpt_names is absent the keypoints are of the line's class."""
    source = dataset(
        tmp_path / "new", "0 .5 .5 .1 .1 .1 .1 .2 .2", data_yaml="names: [bird]\nkpt_shape: [2, 2]"
    )
    assert records(source)[0].labels.tolist() == ["bird", "bird"]


@pytest.mark.parametrize("place", ["labels", "images"])
def test_read_finds_texts_in_labels_or_beside_the_images(tmp_path, place):
    """labels/ counts where it is there; else the texts lie beside the images."""
    assert len(records(dataset(tmp_path / "new", LABELIMG, "", place=place))) == 2


@pytest.mark.parametrize(
    ("images", "labels"),
    [("images/train", "labels/train"), ("train/images", "train/labels"), ("obj_train_data",) * 2],
)
def test_convert_finds_splits(tmp_path, images, labels):
    """As Ultralytics, Roboflow and Darknet lay them out, with lists of paths."""
    for folder in (images, images.replace("train", "val")):
        (tmp_path / "new" / folder).mkdir(parents=True)
        stem = folder.replace("/", "_")
        Image.new("L", SHAPE[::-1]).save(tmp_path / "new" / folder / f"{stem}.png")
        text = tmp_path / "new" / (labels if folder == images else labels.replace("train", "val"))
        text.mkdir(parents=True, exist_ok=True)
        (text / f"{stem}.txt").write_text("0 0.0625 0.215 0.1 0.1\n")
    stem = images.replace("/", "_")
    (tmp_path / "new" / "train.txt").write_text(f"./{images}/{stem}.png\n")
    convert(tmp_path / "new", tmp_path / "out", from_="yolo")
    for name in (stem, stem.replace("train", "val")):
        points, _ = read_points(tmp_path / "out" / "images" / f"{name}.txt", SHAPE)
        assert np.allclose(points, [(12, 21)], rtol=0, atol=1e-5)
    assert (tmp_path / "out" / "train.txt").read_text() == f"{stem}.png\n"


def test_read_finds_the_names_above_a_split(tmp_path):
    """Of a data set with train/images, train/labels and data.yaml, train alone can be read."""
    source = dataset(tmp_path / "set" / "train", LABELIMG)
    (tmp_path / "set" / "data.yaml").write_text("names: [cell, dot]")
    assert records(source)[0].labels.tolist() == ["cell", "dot"]


def test_read_finds_the_names_above_a_splits_labels(tmp_path):
    """Where the folder of texts itself is named, its data.yaml lies two levels up."""
    source = dataset(tmp_path / "set" / "train", LABELIMG) / "labels"
    (tmp_path / "set" / "data.yaml").write_text("names: [cell, dot]")
    assert records(source)[0].labels.tolist() == ["cell", "dot"]


def test_read_takes_texts_of_images_that_lie_elsewhere(tmp_path):
    """A folder of texts alone, its images given apart."""
    images = dataset(tmp_path / "new") / "images"
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text(LABELIMG)
    found = convert(tmp_path / "texts", tmp_path / "out", from_="yolo", images=images)
    assert (found.n_points, found.n_images) == (2, 3)


def test_read_takes_a_yaml_or_a_text_by_name(tmp_path):
    """A YAML of any name stands for its folder; a text named itself is read alone."""
    source = dataset(tmp_path / "new", LABELIMG, "", mine_yaml=YAMLS[0])
    assert len(records(source / "mine.yaml")) == 2
    assert records(source / "mine.yaml")[0].labels.tolist() == ["cell", "dot"]
    assert [
        record.image.name for record in records(source / "labels" / "a.txt", Pictures(source))
    ] == ["a.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.5 0.5 0.1\n", r"a\.txt, line 1 has 4 numbers; expected those of a box, 5 \(6 with"),
        ("\n0 .5 .5 .1 .1 1 1 2\n", r"a\.txt, line 2 has 8 numbers; expected those of a box"),
        ("0 0.5 0.5 0.1 x\n", r"line 1: could not convert.*'x'; expected numbers class, x, y"),
        ("0 0.5 nan 0.1 0.1\n", r"line 1: .*expected finite numbers class"),
        ("0.5 0.5 0.5 0.1 0.1\n", r"line 1: 0\.5; expected a whole number from 0"),
        ("-1 0.5 0.5 0.1 0.1\n", r"line 1: -1\.0; expected a whole number from 0"),
        ("1e300 0.5 0.5 0.1 0.1\n", r"line 1: 1e\+300; expected a whole number from 0"),
        ("0 50 20 4 4\n", r"line 1: 50; expected fractions of the image, 0 to 1"),
        ("0 0.5 0.5 0.1 1e308\n", r"line 1: 1e\+308; expected fractions"),
        ("0 .1 .1 .2 .2 .3 1e308\n", r"line 1: 1e\+308; expected fractions"),
        ("0 0.5 0.5 0.1 0.1 1.5\n", r"line 1: the score 1\.5; expected 0 to 1"),
        ("0.5,0.5\n", r"line 1: could not convert.*'0\.5,0\.5'"),
        ("0 1.005 0.5 0 0\n", r"a\.png: points\[0\] is .*outside the image"),
    ],
)
def test_convert_names_the_line(tmp_path, text, message):
    """Each mistake in a text is a sentence with the file and the line."""
    source = dataset(tmp_path / "new", text)
    with pytest.raises(InputError, match=message):
        convert(source, tmp_path / "out", from_="yolo")
    assert not (tmp_path / "out").exists()


BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abc", "bcd", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{BOMB}names: *d\n",
            r"data\.yaml, line 2: aliases, and lists more than 20 deep, are not",
        ),
        (f"names: {'[' * 50_000}", "lists more than 20 deep, are not read"),
        (f"names: {'{a: ' * 25}", "lists more than 20 deep, are not read"),
        ("names: !!python/object/apply:os.system ['echo']\nx: [", r"data\.yaml is not YAML"),
        ('names: ["\\U00110000"]', r"data\.yaml is not YAML"),
        ("names: [a\x00]", r"data\.yaml is not YAML"),
        ("? [a]\n: b\n", r"data\.yaml is not YAML"),
        ("- a\n- b\n", r"data\.yaml is a list; expected a mapping with `names`"),
        ("", r"data\.yaml is a NoneType; expected a mapping"),
        ("names: cell", r"names: cell; expected a name for each number"),
        ("names: {a: cell}", r"data\.yaml: names: could not convert.*'a'"),
        ("names: [[cell]]", r"names: \[\['cell'\]\]; expected a name for each number"),
        ("names: [cell]", r"a\.txt, line 2: class 1 is not among the 1 names. Add its name"),
        (
            "names: [a, b]\nkpt_shape: 3",
            r"kpt_shape is 3; expected \[number of keypoints, 2 or 3\]",
        ),
        ("names: [a, b]\nkpt_shape: [x, 3]", r"kpt_shape: could not convert.*'x'"),
        ("names: [a, b]\nkpt_shape: [1, 3]", r"line 1 has 5 numbers; expected those of a pose, 8"),
        (f"names: [cell]\n#{'x' * 100_000}", r"at most 0\.1 MB are read"),
    ],
)
def test_convert_refuses_yaml_that_means_harm(tmp_path, text, message):
    """Aliases, depth, code and what is no list of names are sentences (LESSONS 27)."""
    source = dataset(tmp_path / "new", LABELIMG, data_yaml=text)
    with pytest.raises(InputError, match=message):
        convert(source, tmp_path / "out", from_="yolo")


def test_read_runs_no_code_of_yaml(tmp_path):
    """A tag that would make a Python object makes a plain list of texts."""
    text = "names: !!python/object/apply:os.system [echo, dot]\n"
    (found,) = records(dataset(tmp_path / "new", LABELIMG, data_yaml=text))
    assert found.labels.tolist() == ["echo", "dot"]


def test_read_follows_no_path_of_yaml(tmp_path):
    """Where data.yaml says the images are does not count: paths cannot leave the folder."""
    text = "path: /\ntrain: ../../etc\nnames: [cell, dot]\n"
    assert len(records(dataset(tmp_path / "new", LABELIMG, data_yaml=text))) == 1


def test_convert_tells_of_a_text_without_an_image(tmp_path):
    """Labels whose picture is missing are told, not passed over; --skip leaves them out."""
    source = dataset(tmp_path / "new", LABELIMG, LABELIMG, names=("a.png",))
    with pytest.raises(InputError, match=r"labels/b\.txt: image 'b' is not in .*images"):
        convert(source, tmp_path / "out", from_="yolo")
    assert convert(source, tmp_path / "out", from_="yolo", skip=True).n_labelled == 1


def test_convert_tells_of_a_text_without_an_image_in_a_split(tmp_path):
    """A split's own labels/ is asked for the images of its texts too."""
    dataset(tmp_path / "new" / "train", LABELIMG, LABELIMG, names=("a.png",))
    with pytest.raises(InputError, match=r"train/labels/b\.txt: image 'b' is not in"):
        convert(tmp_path / "new", tmp_path / "out", from_="yolo")


def test_convert_refuses_a_text_in_the_wrong_split(tmp_path):
    """A text in labels/val whose image lies elsewhere would be lost: it is an error."""
    source = dataset(tmp_path / "new", names=("a.png",))
    (source / "labels" / "val").mkdir()
    (source / "labels" / "val" / "a.txt").write_text(LABELIMG)
    with pytest.raises(InputError, match=r"a\.txt has no image, but .*a\.png has that name"):
        convert(source, tmp_path / "out", from_="yolo")


def test_convert_tells_empty_from_unlabelled(tmp_path):
    """An empty text says "nothing there"; no text "not labelled yet", no background."""
    convert(dataset(tmp_path / "new", LABELIMG, "\n"), tmp_path / "out", from_="yolo")
    images = sorted((tmp_path / "out" / "images").glob("*.png"))
    assert [label_state(path) for path in images] == ["labelled", "empty", "unlabelled"]


def test_convert_takes_many_points(tmp_path):
    """A hundred thousand lines come through in order."""
    values = [(x % 200 / 200, x % 97 / 100) for x in range(100_000)]
    text = "".join(f"0 {x} {y} 0 0\n" for x, y in values)
    (found,) = records(dataset(tmp_path / "new", text))
    assert np.allclose(found.points, np.array(values) * (200, 100) - 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_convert_there_and_back_is_exact_to_eight_decimals(tmp_path, seed):
    """Random points, the frame's corners among them, come back to half of the last digit."""
    rng = np.random.default_rng(seed)
    points = np.vstack([rng.uniform(-0.5, [199.5, 99.5], (200, 2)), [(-0.5, -0.5), (199.5, 99.5)]])
    source = dataset(tmp_path / "kit")
    labels = rng.choice(["cell", "dot: #1", "no", "é"], len(points))
    write_points(source / "images" / "a.txt", points, SHAPE, labels=labels)
    kept, _ = read_points(source / "images" / "a.txt", SHAPE)
    convert(source, tmp_path / "there", from_="txt", to="yolo")
    (found,) = records(tmp_path / "there")
    assert (np.abs(found.points - kept) <= 0.5e-8 * np.array([200, 100]) + 1e-9).all()
    assert found.labels.tolist() == labels.tolist()


def test_convert_keeps_scores(tmp_path):
    """Predictions stay predictions, to six decimals."""
    source = dataset(tmp_path / "new", "0 0.5 0.5 0.1 0.1 0.875\n0 0.1 0.1 0 0 0.123457\n")
    convert(source, tmp_path / "there", from_="yolo", to="yolo")
    assert records(tmp_path / "there")[0].scores.tolist() == [0.875, 0.123457]


def test_write_draws_boxes_that_stay_in_the_image(tmp_path):
    """16 pixels wide, but narrower on both sides alike where the frame is nearer."""
    source = dataset(tmp_path / "kit")
    write_points(source / "images" / "a.txt", [(12, 21), (1.5, 99)], SHAPE)
    convert(source, tmp_path / "there", from_="txt", to="yolo")
    assert (tmp_path / "there" / "labels" / "a.txt").read_text() == (
        "0 0.06250000 0.21500000 0.08000000 0.16000000\n"
        "0 0.01000000 0.99500000 0.02000000 0.01000000\n"
    )
    assert "names:\n  0: point\n" in (tmp_path / "there" / "data.yaml").read_text()


def test_write_is_read_by_globox(tmp_path):
    """Another program finds the middles half a pixel on, as it counts from the edge."""
    globox = pytest.importorskip("globox")
    source = dataset(tmp_path / "kit", names=("a.png",))
    write_points(source / "images" / "a.txt", [(12, 21), (10.25, 3)], SHAPE, labels=["c", "b"])
    there = tmp_path / "there"
    convert(source, there, from_="txt", to="yolo")
    (found,) = globox.AnnotationSet.from_yolo_v5(
        there / "labels", image_folder=there / "images", image_extension=".png"
    )
    assert np.allclose([(b.xmid, b.ymid) for b in found.boxes], [(12.5, 21.5), (10.75, 3.5)])
    assert [b.label for b in found.boxes] == ["1", "0"]


@pytest.mark.parametrize(
    ("text", "files", "expected"),
    [
        (LABELIMG, {}, True),
        ("0.5,0.5\n", {}, False),
        ("", {"data_yaml": YAMLS[1]}, True),
        ("", {"obj_names": "cell"}, True),
        ("10.5 20.25\n", {}, False),
        ("", {}, False),
    ],
)
def test_looks_knows_its_folder(tmp_path, text, files, expected):
    """Texts of five numbers, data.yaml or obj.names tell; the kit's own texts do not."""
    source = dataset(tmp_path / "new", text, **files)
    assert FORM.looks(source) is expected
    assert FORM.looks(source / "data.yaml") is ("data_yaml" in files)
    assert FORM.looks(tmp_path / "nowhere") is False
