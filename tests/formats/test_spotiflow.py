"""Tests of `spotiflow`: Spotiflow's and napari's tables, by the columns' names."""

import numpy as np
import pytest
from PIL import Image

from pointlib.errors import InputError
from pointlib.formats import FORMATS, convert
from pointlib.formats.shared.base import Pictures, Record

FORM = FORMATS["spotiflow"]
SHAPE = (100, 200)
POINTS = [(10.5, 20.25), (30, 40)]
# Written by napari 0.9.2 (napari_builtins.io.napari_write_points, with properties or without) and
# by napari-spotiflow 0.4.5 (_io_hooks.napari_write_points), from [[20.25, 10.5], [40, 30]].
NAPARI = "index,axis-0,axis-1\r\n0.0,20.25,10.5\r\n1.0,40.0,30.0\r\n"
NAPARI_LABELS = (
    "index,axis-0,axis-1,label,confidence\r\n0,20.25,10.5,cell,0.5\r\n1,40.0,30.0,dot,0.25\r\n"
)
NAPARI_NUMBERS = "index,axis-0,axis-1,class\r\n0.0,20.25,10.5,0.0\r\n1.0,40.0,30.0,1.0\r\n"
NAPARI_PLANE = "index,axis-0,axis-1,axis-2\r\n0.0,3.0,20.25,10.5\r\n1.0,3.0,40.0,30.0\r\n"
NAPARI_EMPTY = "index,axis-0,axis-1\r\n"
PLUGIN = "x,y\n10.5,20.25\n30.0,40.0\n"
PREDICTED = "y,x,intensity,probability\n20.25,10.5,311.27,0.912\n40.0,30.0,80.5,0.5\n"


def make(folder, tables, images=("a.png",)):
    """Return a folder of pictures 200 x 100 and tables {name: text}."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in images:
        Image.new("L", SHAPE[::-1]).save(folder / name)
    for name, text in tables.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode())
    return folder


def read(source, form=FORM):
    """Return {image name: Record}."""
    pictures = Pictures(source)
    return {record.image.name: record for record in form.read(source, pictures, form)}


@pytest.mark.parametrize(
    "text",
    [
        NAPARI,
        NAPARI_LABELS,
        NAPARI_NUMBERS,
        NAPARI_PLANE,
        PLUGIN,
        PREDICTED,
        "y,x\n20.25,10.5\n40,30\n",
        "\ufeff Y , X \r\n20.25,10.5\r\n40,30",
        ",Y,X\n0,20.25,10.5\n1,40,30\n",
        "y;x\n20.25;10.5\n40;30\n",
        "z,y,x\n7,20.25,10.5\n7,40,30\n",
    ],
)
def test_columns_count_by_their_names(tmp_path, text):
    """Each header that the tools write leads to the same two points."""
    found = read(make(tmp_path, {"a.csv": text}))["a.png"]
    assert found.points.tolist() == [list(point) for point in POINTS]


def test_brightest_pixel_is_where_numpy_finds_it(tmp_path):
    """Half a pixel, from first principles: the place of an array's maximum is the pixel's centre."""
    image = np.zeros(SHAPE, dtype=np.uint8)
    image[20, 10] = 255
    y, x = np.unravel_index(image.argmax(), image.shape)
    make(tmp_path, {"a.csv": f"y,x\n{y},{x}\n"})
    Image.fromarray(image).save(tmp_path / "a.png")
    assert read(tmp_path)["a.png"].points.tolist() == [[10, 20]]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (NAPARI, ["", ""]),
        (NAPARI_LABELS, ["cell", "dot"]),
        (NAPARI_NUMBERS, ["0", "1"]),
        ("y,x,category\n20.25,10.5,cell\n40,30,dot\n", ["cell", "dot"]),
        ("y,x,channel,class\n20.25,10.5,5,v1.0\n40,30,5,b\n", ["v1.0", "b"]),
        ("y,x,class,class_name\n20.25,10.5,0,cell\n40,30,1,dot\n", ["cell", "dot"]),
    ],
)
def test_classes_are_in_any_of_the_known_columns(tmp_path, text, labels):
    """class_name, then Spotiflow's four in its order; whole numbers lose pandas' decimals."""
    assert read(make(tmp_path, {"a.csv": text}))["a.png"].labels.tolist() == labels


def test_probability_is_the_score_and_intensity_is_not(tmp_path):
    """Of Spotiflow's predictions only one column is a score."""
    assert read(make(tmp_path, {"a.csv": PREDICTED}))["a.png"].scores.tolist() == [0.912, 0.5]
    assert read(make(tmp_path, {"a.csv": "y,x,intensity\n1,2,300\n"}))["a.png"].scores is None


@pytest.mark.parametrize("text", ["", "\n", "y,x\n", NAPARI_EMPTY, "y,x,intensity,probability\n"])
def test_table_without_points_says_nothing_there(tmp_path, text):
    """A header alone, or no byte at all, is an image that was looked at; no table is not."""
    found = read(make(tmp_path, {"a.csv": text}, images=["a.png", "b.png"]))
    assert [len(record.points) for record in found.values()] == [0]


@pytest.mark.parametrize(
    "place", ["", "images/", "spotiflow_results/"], ids=["source", "beside", "results"]
)
def test_tables_are_found_where_the_tools_put_them(tmp_path, place):
    """In the source folder, beside the image, or in Spotiflow's folder of results."""
    make(tmp_path / "images", {})
    make(tmp_path, {f"{place}a.csv": PLUGIN}, images=[])
    assert len(read(tmp_path)["a.png"].points) == 2


def test_results_do_not_stand_beside_the_truth(tmp_path):
    """Where Spotiflow has predicted on its own training folder, the tables beside images count."""
    make(tmp_path, {"a.csv": "y,x\n1,2\n", "spotiflow_results/a.csv": PREDICTED})
    assert read(tmp_path)["a.png"].points.tolist() == [[2, 1]]


def test_tables_of_other_things_are_passed_over(tmp_path):
    """A table that is of no image, and is none of points, stays where it is."""
    tables = {"a.csv": PLUGIN, "metadata.csv": "who,when\nme,today\n", "points.csv": "image,x,y\n"}
    assert set(read(make(tmp_path, tables))) == {"a.png"}
    make(tmp_path, {"lost.csv": PLUGIN})
    with pytest.raises(InputError, match=r"lost\.csv: image 'lost' is not in"):
        read(tmp_path)


def test_names_may_have_dots(tmp_path):
    """Spotiflow drops `.ome`; a stem may hold a point; a name may come with its suffix."""
    tables = {"a.csv": PLUGIN, "b.1.csv": PLUGIN, "c.png.csv": PLUGIN}
    images = ["a.ome.png", "b.1.png", "c.png"]
    assert set(read(make(tmp_path, tables, images))) == set(images)


def test_one_table_can_be_the_source(tmp_path):
    """A table of its own brings its image; the others stay unlabelled."""
    make(tmp_path, {"a.csv": PLUGIN, "b.csv": PLUGIN}, images=["a.png", "b.png"])
    assert set(read(tmp_path / "a.csv")) == {"a.png"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("z,y,x\n1,2,3\n2,3,4\n", r"a\.csv, line 3: z is \[2.0\], but \[1.0\] before.*one plane"),
        ("x\n1\n", r"a\.csv has no column y among x"),
        ("y,x\n1\n", r"a\.csv, line 2 does not have 2 fields"),
        ("y,x\n1,two\n", r"line 2: could not convert.*'two'"),
        ("y,x\n1,nan\n", r"line 2: \[1.0, nan\]; expected finite"),
        ('y,x\n"1,2\n', r"a\.csv"),
        ("index,shape-type,vertex-index,axis-0,axis-1\n", r"Shapes layer of napari"),
        ("axis-0\n1\n", r"no column y, x among axis-0"),
        ("y,x,probability\n1,2,high\n", r"line 2: could not convert.*'high'.*probability"),
    ],
)
def test_mistakes_are_sentences(tmp_path, text, message):
    """Each names the file and the line, what came and what is needed."""
    with pytest.raises(InputError, match=message):
        read(make(tmp_path, {"a.csv": text}))


def test_spotiflow_gets_numbers_and_the_kit_names(tmp_path):
    """Its reader turns `class` into whole numbers from 0: names stand in a column of their own."""
    (tmp_path / "images").mkdir()
    points, labels = np.array(POINTS), np.array(["dot", "cell"])
    record = Record(tmp_path / "images" / "a.png", SHAPE, points, labels, np.array([0.5, 1]))
    FORM.write(tmp_path, [record], FORM)
    assert (tmp_path / "images" / "a.csv").read_text() == (
        "y,x,probability,class,class_name\n"
        "20.250000,10.500000,0.500000,1,dot\n40.000000,30.000000,1.000000,0,cell\n"
    )
    FORM.write(tmp_path, [record._replace(labels=np.array(["0", "1"]), scores=None)], FORM)
    assert (tmp_path / "images" / "a.csv").read_text().startswith("y,x,class\n20.250000,10.5")
    FORM.write(tmp_path, [record._replace(labels=np.array(["", ""]), scores=None)], FORM)
    assert (tmp_path / "images" / "a.csv").read_text().startswith("y,x\n20.250000,10.500000\n")


def test_folder_is_recognised_by_its_tables(tmp_path):
    """Tables beside images or in the source; not those that name images, nor other files."""
    make(tmp_path / "one", {"a.csv": NAPARI})
    make(tmp_path / "two" / "images", {"a.csv": PLUGIN})
    make(tmp_path / "not", {"points.csv": "image,x,y\na.png,1,2\n", "b.csv": "a,b\n"})
    assert FORM.looks(tmp_path / "one")
    assert FORM.looks(tmp_path / "two")
    assert FORM.looks(tmp_path / "one" / "a.csv")
    assert not FORM.looks(tmp_path / "not")
    assert not FORM.looks(tmp_path / "one" / "a.png")
    assert not FORM.looks(tmp_path / "nowhere")


def test_convert_brings_a_folder_of_spotiflow(tmp_path):
    """Recognised, read and counted, from the folder that Spotiflow trains on."""
    make(tmp_path / "in", {"a.csv": PLUGIN, "b.csv": ""}, images=["a.png", "b.png", "c.png"])
    found = convert(tmp_path / "in", tmp_path / "new")
    assert (found.n_labelled, found.n_empty, found.n_unlabelled) == (1, 1, 1)
