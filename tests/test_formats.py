"""Tests of convert and of each format: exact places, facts kept, nothing overwritten."""

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pointlib.files import InputError
from pointlib.formats import FORMATS, convert, find_format
from pointlib.formats.base import Format, Pictures
from pointlib.images import list_images
from pointlib.points import label_state, read_points, text_path, write_points

SHAPE = (100, 200)
POINTS = np.array([(10.5, 20.25), (30, 40), (30, 40), (-0.5, 99.5)])
LABELS = ["cell", "dot", "cell", "cell"]


@pytest.fixture
def folder(tmp_path):
    """Return a kit dataset: `full` has points, `empty` none, nobody looked at `later`."""
    images = tmp_path / "kit" / "images"
    images.mkdir(parents=True)
    for name in ("full.png", "empty.PNG", "later.png"):
        Image.new("L", SHAPE[::-1]).save(images / name)
    write_points(images / "full.txt", POINTS, SHAPE, labels=LABELS)
    write_points(images / "empty.txt", [], SHAPE)
    (tmp_path / "kit" / "train.txt").write_text("full.png\nlater.png\n")
    return tmp_path / "kit"


def make_csv(path, points, images=None, names=("a.png", "b.png")):
    """Return a folder with pictures 200 x 100, points.csv and, if given, images.csv."""
    (path / "images").mkdir(parents=True)
    for name in names:
        Image.new("L", SHAPE[::-1]).save(path / "images" / name)
    (path / "points.csv").write_text(points)
    if images is not None:
        (path / "images.csv").write_text(images)
    return path


# what every format has to keep: a new one is tested by being in the table


@pytest.mark.parametrize("name", FORMATS)
def test_convert_there_and_back_keeps_points(folder, tmp_path, name):
    """Through every format and back, places, duplicates, lists and order in a class are kept."""
    convert(folder, tmp_path / "there", from_="txt", to=name)
    convert(tmp_path / "there", tmp_path / "back", from_=name, to="txt")
    points, labels = read_points(tmp_path / "back" / "images" / "full.txt", SHAPE)
    kept = LABELS if "labels" in FORMATS[name].carries else [""] * 4
    found, expected = (np.argsort(each, kind="stable") for each in (labels, kept))
    assert np.abs(points[found] - POINTS[expected]).max() < 2e-6
    assert sorted(labels) == sorted(kept)
    assert (tmp_path / "back" / "train.txt").read_text() == "full.png\nlater.png\n"


@pytest.mark.parametrize("name", FORMATS)
def test_convert_there_and_back_keeps_what_is_known(folder, tmp_path, name):
    """Unlabelled stays unlabelled; "nothing there" stays, or its loss is told (LESSONS 18)."""
    there = convert(folder, tmp_path / "there", from_="txt", to=name)
    convert(tmp_path / "there", tmp_path / "back", from_=name, to="txt")
    states = {p.stem: label_state(p) for p in list_images(tmp_path / "back" / "images")}
    kept = "empty" in FORMATS[name].carries
    assert states == {
        "full": "labelled", "empty": "empty" if kept else "unlabelled", "later": "unlabelled",
    }  # fmt: skip
    assert kept != any("1 images hold nothing" in sentence for sentence in there.lost)


@pytest.mark.parametrize("name", FORMATS)
def test_format_declares_what_its_numbers_mean(name):
    """from_points undoes to_points, and the place of (0, 0) follows axes, unit, convention."""
    form = FORMATS[name]
    assert np.allclose(form.to_points(form.from_points(POINTS, SHAPE), SHAPE), POINTS)
    shift = 0.5 if form.convention == "corner" else 0
    size = {"pixels": (1, 1), "fraction": (200, 100), "percent": (2, 1)}[form.unit]
    expected = (np.array([10.5, 20.25]) + shift) / size
    found = form.from_points([(10.5, 20.25)], SHAPE)[0]
    assert np.allclose(found, expected if form.axes == "xy" else expected[::-1])


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({}, (30, 40)),
        ({"axes": "yx"}, (40, 30)),
        ({"convention": "corner"}, (30.5, 40.5)),
        ({"unit": "fraction"}, (0.15, 0.4)),
        ({"unit": "percent", "convention": "corner"}, (15.25, 40.5)),
        ({"unit": "fraction", "axes": "yx"}, (0.4, 0.15)),
    ],
)
def test_format_counts_as_it_declares(options, values):
    """One point in six ways of writing it down, by hand."""
    form = Format("mine", "mine", None, None, **options)
    assert np.allclose(form.to_points([values], SHAPE), [(30, 40)])
    assert np.allclose(form.from_points([(30, 40)], SHAPE), [values])


@pytest.mark.parametrize("wrong", [{"axes": "x,y"}, {"unit": "pixel"}, {"convention": "center"}])
def test_format_refuses_unknown_words(wrong):
    """A misspelt declaration is an error that names the nearest word."""
    with pytest.raises(InputError, match=r"is unknown. (Did you mean|Known)"):
        Format("mine", "mine", None, None, **wrong)


# convert


def test_convert_reports_what_it_did(folder, tmp_path):
    """The counts tell labelled, empty and not yet labelled apart; losses follow."""
    found = convert(folder, tmp_path / "new", from_="txt", to="origin")
    assert found[1:6] == (3, 1, 1, 4, ("cell", "dot"))
    assert str(found).endswith(
        "3 images, 1 with 4 points (cell, dot), 1 with nothing there, 1 not labelled yet. "
        "Lost: the classes, which origin cannot carry. "
        "Lost: that 1 images hold nothing, which origin cannot say."
    )


def test_convert_copies_images_byte_for_byte(folder, tmp_path):
    """All images come along, labelled or not; the source stays as it was."""
    before = sorted(folder.rglob("*"))
    convert(folder, tmp_path / "new", from_="txt")
    for path in list_images(folder / "images"):
        assert (tmp_path / "new" / "images" / path.name).read_bytes() == path.read_bytes()
    assert sorted(folder.rglob("*")) == before


def test_convert_links_images_on_request(folder, tmp_path, monkeypatch):
    """With link=True the images are links that reach the originals, and texts are files."""
    monkeypatch.chdir(tmp_path)
    convert("kit", "deep/new", from_="txt", link=True)
    images = tmp_path / "deep" / "new" / "images"
    assert [p.is_symlink() for p in list_images(images)] == [True] * 3
    assert (images / "full.png").resolve() == (folder / "images" / "full.png").resolve()
    assert not (images / "full.txt").is_symlink()


def test_convert_never_overwrites(folder, tmp_path):
    """A target that exists, even empty, is refused and left alone."""
    (tmp_path / "new").mkdir()
    with pytest.raises(InputError, match=r"new exists and is not overwritten. Give a new name"):
        convert(folder, tmp_path / "new", from_="txt")
    assert not list((tmp_path / "new").iterdir())


def test_convert_leaves_nothing_behind_when_it_fails(tmp_path):
    """A label that the texts cannot hold stops it half way: no target, no temporary folder."""
    source = make_csv(tmp_path / "csv", 'image,x,y,label\na.png,1,2,"a,b"\n')
    with pytest.raises(InputError, match="'a,b' has a comma"):
        convert(source, tmp_path / "new", from_="csv")
    assert [path.name for path in tmp_path.iterdir()] == ["csv"]


def test_convert_takes_the_images_folder_itself(folder, tmp_path):
    """The folder `images` stands for the dataset: its lists come along."""
    found = convert(folder / "images", tmp_path / "new", from_="txt")
    assert found.n_points == 4
    assert (tmp_path / "new" / "train.txt").exists()


def test_convert_takes_a_flat_folder(folder, tmp_path):
    """Images and texts in one folder; a text of an image called `train` is no list."""
    flat = tmp_path / "flat"
    shutil.copytree(folder / "images", flat)
    (flat / "full.png").rename(flat / "train.png")
    (flat / "full.txt").rename(flat / "train.txt")
    assert convert(flat, tmp_path / "new", from_="txt").n_points == 4
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["images"]


def test_convert_refuses_a_list_that_names_no_image(folder, tmp_path):
    """A list that has gone stale is told before training meets it."""
    (folder / "val.txt").write_text("gone.png\n")
    with pytest.raises(InputError, match=r"val\.txt names 'gone\.png', which is not in"):
        convert(folder, tmp_path / "new", from_="txt")


@pytest.mark.parametrize("option", [{"from_": "cvs"}, {"from_": "txt", "to": "cvs"}])
def test_convert_names_the_nearest_format(folder, tmp_path, option):
    """A misspelt format is an error with a hint."""
    with pytest.raises(InputError, match=r"format 'cvs' is unknown. Did you mean 'csv'"):
        convert(folder, tmp_path / "new", **option)


def test_convert_takes_a_format_of_your_own(tmp_path):
    """A format read otherwise, here from the pixels' corners, moves every point by half."""
    source = make_csv(tmp_path / "csv", "image,x,y\na.png,10.5,20\n")
    corner = replace(find_format("csv"), convention="corner")
    convert(source, tmp_path / "new", from_=corner)
    points, _ = read_points(tmp_path / "new" / "images" / "a.txt", SHAPE)
    assert np.allclose(points, [(10, 19.5)])


def test_convert_refuses_an_image_that_comes_twice(folder, tmp_path):
    """A reader that yields one image twice must not lose the first half of its points."""

    def twice(source, pictures, to_points):
        yield from FORMATS["txt"].read(source, pictures, to_points)
        yield from FORMATS["txt"].read(source, pictures, to_points)

    with pytest.raises(InputError, match=r"empty\.PNG comes twice in the source"):
        convert(folder, tmp_path / "new", from_=replace(FORMATS["txt"], read=twice))


# txt and origin


def test_convert_moves_the_origins_points_by_half_a_pixel(folder, tmp_path):
    """The same text means p / size there and (p + 0.5) / size here."""
    path = folder / "images" / "full.txt"
    path.write_text("0.0525,0.2025\n0.15,0.4\n")
    convert(folder, tmp_path / "new", from_="origin")
    points, _ = read_points(tmp_path / "new" / "images" / "full.txt", SHAPE)
    assert np.allclose(points, [(10.5, 20.25), (30, 40)], rtol=0, atol=1e-6)


def test_convert_reads_the_origins_clicks_outside_the_first_pixel(folder, tmp_path):
    """Left of the first pixel's middle its fractions are below zero, and legal."""
    (folder / "images" / "full.txt").write_text("-0.0025,0\n")
    convert(folder, tmp_path / "new", from_="origin")
    points, _ = read_points(tmp_path / "new" / "images" / "full.txt", SHAPE)
    assert np.allclose(points, [(-0.5, 0)])


@pytest.mark.parametrize("line", ["0.5", "0.5,0.5,cell", "0.5 0.5", "a,b"])
def test_convert_names_the_line_of_an_origin_file(folder, tmp_path, line):
    """What is not x,y is an error with file and line."""
    (folder / "images" / "full.txt").write_text(f"0.5,0.5\n{line}\n")
    with pytest.raises(InputError, match=rf"full\.txt, line 2: '{line}'; expected x,y"):
        convert(folder, tmp_path / "new", from_="origin")


def test_convert_leads_yolo_files_to_the_line(folder, tmp_path):
    """The kit's reader keeps its own errors: file, line and what it looks like."""
    (folder / "images" / "full.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(InputError, match=r"full\.txt, line 1.*looks like YOLO"):
        convert(folder, tmp_path / "new", from_="txt")


# csv


def test_convert_csv_tells_listed_from_unlisted(tmp_path):
    """images.csv says which images were looked at; without it only those with points were."""
    points, listed = "image,x,y\na.png,1,2\n", "image,n_points\na.png,1\nb.png,0\n"
    make_csv(tmp_path / "one", points)
    make_csv(tmp_path / "two", points, listed)
    first = convert(tmp_path / "one", tmp_path / "new1", from_="csv")
    second = convert(tmp_path / "two", tmp_path / "new2", from_="csv")
    assert (first.n_labelled, first.n_empty) == (1, 0)
    assert (second.n_labelled, second.n_empty) == (1, 1)


def test_convert_csv_knows_columns_by_name(tmp_path):
    """Any order, upper case, spaces, more columns (a score), CRLF and a byte order mark."""
    table = "\ufeffscore, Y ,X,label,Image\r\n0.9,20.25,10.5,cell,a.png\r\n\r\n"
    source = make_csv(tmp_path / "csv", "")
    (source / "points.csv").write_bytes(table.encode())
    convert(source, tmp_path / "new", from_="csv")
    points, labels = read_points(tmp_path / "new" / "images" / "a.txt", SHAPE)
    assert np.allclose(points, [(10.5, 20.25)])
    assert labels.tolist() == ["cell"]


def test_convert_csv_takes_the_file_itself(tmp_path):
    """A table of any name, its images beside it or in images/."""
    source = make_csv(tmp_path / "csv", "image,x,y\na.png,1,2\n")
    (source / "points.csv").rename(source / "mine.csv")
    assert convert(source / "mine.csv", tmp_path / "new", from_="csv").n_points == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", r"points\.csv has no column image, x, y among none"),
        ("image,x\n", r"has no column y among image, x"),
        ("image;x;y\na.png;1;2\n", r"no column image, x, y among image;x;y.*commas"),
        ("image,x,y\na.png,1,2\na.png,1\n", r"points\.csv, line 3 has not 3 fields: image, x, y"),
        ("image,x,y\na.png,1,2,3\n", r"line 2 has not 3 fields"),
        ("image,x,y\na.png,1,two\n", r"line 2: could not convert.*'two'; expected numbers x, y"),
        ("image,x,y\na.png,nan,2\n", r"line 2: \[nan, 2.0\]; expected finite numbers"),
        ("image,x,y\nc.png,1,2\n", r"line 2: image 'c\.png' is not in .*images. Did you mean"),
        ("image,x,y\na.png,1,2\nx/a.png,1,2\n", r"'a\.png' and 'x/a\.png' both mean a\.png"),
        ("image,x,y\na.png,200,2\n", r"a\.png: points\[0\] is .200.0, 2.0., outside the image"),
        ("image,x,y,label\na.png,1,2,\nb.png,1,2,cell\n", "Some points are cell, some have no"),
    ],
)
def test_convert_csv_names_what_is_wrong(tmp_path, table, message):
    """Each mistake is a sentence with the file and the line, or the image."""
    source = make_csv(tmp_path / "csv", table)
    with pytest.raises(InputError, match=message):
        convert(source, tmp_path / "new", from_="csv")


def test_convert_csv_notices_another_size(tmp_path):
    """Points made on another picture than the one here (LESSONS 16: width comes first)."""
    listed = "image,width,height\na.png,100,200\n"
    source = make_csv(tmp_path / "csv", "image,x,y\na.png,1,2\n", listed)
    with pytest.raises(InputError, match=r"a\.png is 200 x 100, but.*made on 100 x 200"):
        convert(source, tmp_path / "new", from_="csv")


def test_convert_csv_keeps_six_decimals(tmp_path):
    """A table through the kit and out again has the digits it came with."""
    source = make_csv(tmp_path / "csv", "image,x,y\na.png,10.123456,0.1\n")
    convert(source, tmp_path / "new", from_="csv", to="csv")
    assert (tmp_path / "new" / "points.csv").read_text() == "image,x,y\na.png,10.123456,0.1\n"


def test_convert_csv_writes_plain_numbers(folder, tmp_path):
    """Numbers carry no noise of the round trip, and labels a column."""
    convert(folder, tmp_path / "new", from_="txt", to="csv")
    text = (tmp_path / "new" / "points.csv").read_text()
    assert text.startswith("image,x,y,label\nfull.png,10.5,20.25,cell\nfull.png,30,40,dot\n")
    listed = (tmp_path / "new" / "images.csv").read_text()
    assert listed == "image,width,height,n_points\nempty.PNG,200,100,0\nfull.png,200,100,4\n"


def test_convert_csv_keeps_labels_that_look_like_code(tmp_path):
    """A cell is text, never evaluated (LESSONS 27)."""
    label = "__import__('os').remove('a')"
    source = make_csv(tmp_path / "csv", f"image,x,y,label\na.png,1,2,{label}\n")
    assert convert(source, tmp_path / "new", from_="csv").classes == (label,)


# finding the images


def test_pictures_find_names_without_suffix_and_folder(folder):
    """A tool may name an image by its stem, or with folders of either slash."""
    assert Pictures(folder).find("full", "here").name == "full.png"
    assert Pictures(folder).find("images/full.png", "here").name == "full.png"
    assert Pictures(folder).find("C:\\data\\full.png", "here").name == "full.png"


def test_pictures_refuse_a_source_that_is_not_there(tmp_path):
    """A missing source is named."""
    with pytest.raises(InputError, match=r"nowhere does not exist"):
        Pictures(tmp_path / "nowhere")


# real


@pytest.mark.parametrize("name", ["bccd_blood", "nuclei_bbbc039_16bit"])
def test_convert_of_real_points_is_exact(real, tmp_path, name):
    """Every published point, class and list is there, to a millionth of a pixel."""
    found = convert(real / name, tmp_path / "new", from_="csv", link=True)
    with (real / name / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert found.n_points == len(rows)
    for path in list_images(tmp_path / "new" / "images")[:12]:
        own = [row for row in rows if row["image"] == path.name]
        with Image.open(path) as image:
            points, labels = read_points(text_path(path), image.size[::-1])
        assert (
            np.abs(points - [(float(row["x"]), float(row["y"])) for row in own]).max() < 1e-5
        )  # eight decimals of 700 px
        assert labels.tolist() == [row.get("label", "") for row in own]
    assert (tmp_path / "new" / "val.txt").read_text() == (real / name / "val.txt").read_text()
