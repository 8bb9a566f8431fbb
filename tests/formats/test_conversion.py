"""Tests of convert and of each format: exact places, facts kept, nothing overwritten."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pointlib.cli import main
from pointlib.errors import InputError
from pointlib.formats import FORMATS, convert, find_format, formats_table, recognise
from pointlib.formats.shared.base import Format, Pictures
from pointlib.images import list_images, write_image
from pointlib.points import read_points, text_path, write_points
from pointlib.regions import Regions, read_regions, write_regions
from pointlib.synthetic import draw_cells

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


# what a Format is; what each one keeps: formats/test_every_format.py


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
    assert str(found).startswith(
        f"{tmp_path / 'new'}: 3 images, 1 with 4 points (cell, dot), 1 with nothing there, 1 not "
        "labelled yet."
    )
    assert str(found).endswith(
        "Lost: the classes, which origin cannot carry. "
        "Lost: that 1 images are empty, which origin cannot express."
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
    with pytest.raises(InputError, match=r"new already exists. Give a new name"):
        convert(folder, tmp_path / "new", from_="txt")
    assert not list((tmp_path / "new").iterdir())


def test_convert_keeps_the_old_folder_on_request(folder, tmp_path):
    """With overwrite=True what stood there is beside it, whole, and the result says where."""
    first = convert(folder, tmp_path / "new", from_="txt", to="csv")
    before = {path.name: path.read_bytes() for path in (tmp_path / "new").glob("*.*")}
    again = convert(tmp_path / "new", tmp_path / "new", from_="csv", overwrite=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / "new.bak").glob("*.*")} == before
    assert again.notes[-1] == f"The old new is kept as {tmp_path / 'new.bak'}."
    assert again[2:6] == first[2:6]
    assert not (tmp_path / "new" / "points.csv").exists()


def test_convert_leaves_nothing_behind_when_it_fails(tmp_path):
    """A label that the texts cannot hold stops it half way: no target, no temporary folder."""
    source = make_csv(tmp_path / "csv", 'image,x,y,label\na.png,1,2,"a,b"\n')
    with pytest.raises(InputError, match="'a,b' has a comma.*--map 'a,b=a b'"):
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
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"images", "check.png"}


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

    with pytest.raises(InputError, match=r"empty\.PNG occurs twice in the source"):
        convert(folder, tmp_path / "new", from_=replace(FORMATS["txt"], read=twice))


# what is said before anything is written, and what is not written


def test_dry_run_tells_all_and_writes_nothing(folder, tmp_path):
    """Counts, classes, the first points both ways; the disk is as it was."""
    before = sorted(tmp_path.rglob("*"))
    found = convert(folder, tmp_path / "new", from_="txt", to="csv", dry_run=True)
    lines = found.table().split("\n")
    assert [line.split() for line in lines[:7]] == [
        ["images", "3"], ["labelled", "1"], ["empty", "1"], ["unlabelled", "1"], ["points", "4"],
        ["cell", "3"], ["dot", "1"],
    ]  # fmt: skip
    assert "(0, 0) is a pixel's corner" in lines[7]
    assert lines[8] == "full.png: 0.055, 0.2075 is x = 10.5, y = 20.25 here"
    assert sorted(tmp_path.rglob("*")) == before


def test_convert_tells_before_it_writes(folder, tmp_path):
    """What is lost is said while there is no target yet."""
    told = []

    def log(sentence):
        told.append(sentence)
        assert not (tmp_path / "new").exists()

    found = convert(folder, tmp_path / "new", from_="txt", to="origin", log=log)
    assert told == [*found.notes, *found.lost]
    assert len(found.lost) == 2


def test_convert_tells_of_each_image(folder, tmp_path):
    """on_image hears how far it is."""
    heard = []
    convert(folder, tmp_path / "new", from_="txt", on_image=lambda *event: heard.append(event))
    assert heard[-3:] == [("empty.PNG", 1, 3), ("full.png", 2, 3), ("later.png", 3, 3)]


def test_convert_recognises_a_format(folder, tmp_path):
    """Without from_ the format that fits is taken, and said."""
    found = convert(folder, tmp_path / "new")
    assert found.notes[0] == "Recognised as txt."
    source = make_csv(tmp_path / "csv", "X;Y;file\n1;2;a.png\n")
    (source / "points.csv").rename(source / "mine.csv")
    assert convert(source / "mine.csv", tmp_path / "new2").notes[0] == "Recognised as csv."


def test_recognise_asks_where_several_fit(folder, tmp_path):
    """Two that fit, or none, are a sentence that asks for --from."""
    (folder / "points.csv").write_text("image,x,y\n")
    with pytest.raises(InputError, match=r"kit may be csv or txt. Choose one: --from csv"):
        recognise(folder)
    (tmp_path / "notes.md").write_text("to do")
    with pytest.raises(InputError, match=r"notes\.md is not recognised.*--from: .*csv, "):
        recognise(tmp_path / "notes.md")
    with pytest.raises(InputError, match=r"note\.md does not exist. Did you mean notes\.md"):
        recognise(tmp_path / "note.md")


def test_recognise_tells_what_lies_inside(tmp_path):
    """A folder of datasets, or of a table by another name, leads to what can be converted."""
    make_csv(tmp_path / "all" / "train", "image,x,y\na.png,1,2\n")
    with pytest.raises(InputError, match="not recognised. train in it looks like csv: convert"):
        recognise(tmp_path / "all")
    (tmp_path / "all" / "train" / "points.csv").rename(tmp_path / "all" / "clicks.csv")
    assert recognise(tmp_path / "all").name == "csv"


def test_recognise_knows_naparis_points_by_their_columns(tmp_path):
    """A layer saved as points.csv has no column for the image: it is not csv's table."""
    (tmp_path / "points.csv").write_text("index,axis-0,axis-1\n0,2,1\n")
    Image.new("L", SHAPE[::-1]).save(tmp_path / "points.png")
    assert recognise(tmp_path).name == "spotiflow"
    assert recognise(tmp_path / "points.csv").name == "spotiflow"


def test_convert_reads_utf16(tmp_path):
    """What Windows calls Unicode is read as any other table."""
    source = make_csv(tmp_path / "csv", "")
    (source / "points.csv").write_text("image,x,y\na.png,1,2\n", encoding="utf-16")
    assert convert(source, tmp_path / "new").n_points == 1


def test_recognise_tells_a_table_of_many_images_from_one_beside_each(tmp_path):
    """Every name of the image's column that csv knows keeps a table from being one image's."""
    (tmp_path / "clicks.csv").write_text("image_path,x,y\na.png,1,2\n")
    assert recognise(tmp_path / "clicks.csv").name == "csv"


@pytest.mark.parametrize("wrong", ["txt", "origin"])
def test_convert_refuses_a_source_that_says_nothing(tmp_path, wrong):
    """The wrong format named is no dataset without a label, but a sentence with the right one."""
    source = make_csv(tmp_path / "in", "image,x,y\na.png,1,2\n")
    with pytest.raises(
        InputError, match=f"as {wrong}, .* mentions no image .* like csv: use --from csv"
    ):
        convert(source, tmp_path / "out", from_=wrong)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["txt", "origin"])
def test_convert_tells_of_a_text_without_an_image(folder, tmp_path, name):
    """Points whose image is gone are not passed over; other texts are."""
    (folder / "images" / "gone.txt").write_text("0.5,0.5\n")
    (folder / "images" / "notes.txt").write_text("seen on Monday\n")
    (folder / "images" / "full.txt").write_text("0.5,0.5\n")
    with pytest.raises(InputError, match=r"gone\.txt: image 'gone' is not in .*--skip"):
        convert(folder, tmp_path / "out", from_=name)
    assert convert(folder, tmp_path / "out", from_=name, skip=True).n_points == 1


def test_convert_tells_that_the_origins_texts_look_the_same(folder, tmp_path):
    """Half a pixel cannot be seen in a text: who did not name a format is told."""
    told = convert(folder, tmp_path / "a").notes
    assert any("--from origin" in note for note in told)
    assert not any("origin" in note for note in convert(folder, tmp_path / "b", from_="txt").notes)


def test_pictures_that_are_not_there_are_asked_for(tmp_path):
    """Without any image the remedy is --images, whatever files there are."""
    (tmp_path / "points.csv").write_text("image,x,y\na.png,1,2\n")
    with pytest.raises(InputError, match="has no images .* with --images FOLDER"):
        convert(tmp_path, tmp_path / "out")


def test_convert_draws_the_first_image_that_has_points(folder, tmp_path):
    """check.png shows it, at most 1,200 pixels wide; where there are no points there is none."""
    convert(folder, tmp_path / "new", from_="txt")
    with Image.open(tmp_path / "new" / "check.png") as picture:
        assert picture.size[0] <= 1200
        yellow = np.array(picture.convert("RGB"))[..., 2].astype(int) < 100
        assert yellow.any()
    (folder / "images" / "full.txt").unlink()
    convert(folder, tmp_path / "bare", from_="txt")
    assert not (tmp_path / "bare" / "check.png").exists()


@pytest.mark.parametrize("label", ["$x", "_hidden", "$a_{b$", "\u4e2d\u6587", r"\frac"])
def test_convert_draws_classes_of_any_name(tmp_path, label):
    """Formulas, underscores and letters that the font has not are no error."""
    source = make_csv(tmp_path / "csv", f"image,x,y,label\na.png,1,2,{label}\n")
    found = convert(source, tmp_path / "new")
    assert found.classes == (label,)
    assert (tmp_path / "new" / "check.png").exists()


def test_convert_draws_nothing_of_a_broken_image(tmp_path):
    """An image whose pixels cannot be read costs the picture, and not the points."""
    source = make_csv(tmp_path / "csv", "image,x,y\na.png,1,2\n")
    data = (source / "images" / "a.png").read_bytes()
    (source / "images" / "a.png").write_bytes(data[:45])
    assert convert(source, tmp_path / "new").n_points == 1
    assert not (tmp_path / "new" / "check.png").exists()


def test_convert_takes_another_convention(folder, tmp_path):
    """The source's (0, 0) is moved, or the target's where the source is the kit's own txt."""
    source = make_csv(tmp_path / "csv", "image,x,y\na.png,10.5,20\n")
    found = convert(source, tmp_path / "new", convention="corner")
    points, _ = read_points(tmp_path / "new" / "images" / "a.txt", SHAPE)
    assert np.allclose(points, [(10, 19.5)])
    assert "csv: (0, 0) is a pixel's corner, not a pixel's centre." in found.notes
    convert(folder, tmp_path / "out", from_="txt", to="csv", convention="corner")
    assert "full.png,11,20.75,cell" in (tmp_path / "out" / "points.csv").read_text()
    same = convert(source, tmp_path / "same", convention="centre")
    assert not any("and not" in note for note in same.notes)


def test_convert_gives_the_box_to_the_writer(folder, tmp_path):
    """`box` reaches a writer as form.box."""
    seen = []
    form = replace(FORMATS["yolo"], write=lambda _folder, _records, form: seen.append(form.box))
    convert(folder, tmp_path / "new", from_="txt", to=form, box=9)
    assert seen == [9.0]
    with pytest.raises(InputError, match="csv files have no boxes"):
        convert(folder, tmp_path / "other", from_="txt", to="csv", box=9)


def test_convert_takes_numbers_from_0_to_1_as_fractions(tmp_path):
    """They are never written as pixels, and that is said; with a scale of 1 they are pixels."""
    source = make_csv(tmp_path / "csv", "image,x,y\na.png,0.25,0.5\nb.png,0.9,0.1\n")
    found = convert(source, tmp_path / "new")
    assert any("are taken as fractions" in note for note in found.notes)
    points, _ = read_points(tmp_path / "new" / "images" / "a.txt", SHAPE)
    np.testing.assert_allclose(points, [[0.25 * SHAPE[1] - 0.5, 0.5 * SHAPE[0] - 0.5]], atol=1e-5)
    convert(source, tmp_path / "whole", scale=1)
    points, _ = read_points(tmp_path / "whole" / "images" / "a.txt", SHAPE)
    np.testing.assert_allclose(points, [[0.25, 0.5]], atol=1e-5)


def test_convert_tells_swapped_axes(tmp_path):
    """Most points outside, and inside with x and y swapped: said, over all images."""
    rows = "".join(f"{name}.png,{20 + 10 * i},{110 + 10 * i}\n" for name in "ab" for i in range(4))
    source = make_csv(tmp_path / "csv", f"image,x,y\n{rows}")
    with pytest.raises(InputError, match="as are 8 of all 8 points. With x and y swapped all w"):
        convert(source, tmp_path / "new")


def test_convert_leaves_out_points_outside_on_request(tmp_path):
    """skip=True drops them, and says how many; nothing else is moved."""
    source = make_csv(tmp_path / "csv", "image,x,y\na.png,1,2\na.png,201,2\nb.png,-3,2\n")
    with pytest.raises(InputError, match=r"points\[1\] is \[201.0, 2.0\].*Leave them out with"):
        convert(source, tmp_path / "new")
    found = convert(source, tmp_path / "new", skip=True)
    assert (found.n_points, found.n_empty) == (1, 1)
    assert "Left out: 2 points outside their images." in found.notes


# classes


CLASSES = "image,x,y,label\na.png,1,2,cell\na.png,3,4,ignore\nb.png,5,6,ignore\n"


def test_convert_renames_classes(tmp_path):
    """Old names become new ones, at once: two can be swapped."""
    source = make_csv(tmp_path / "csv", CLASSES)
    found = convert(source, tmp_path / "new", classes={"cell": "ignore", "ignore": "cell"})
    assert found.counts == {"cell": 2, "ignore": 1}
    assert "Renamed: cell is ignore." in found.notes


def test_convert_leaves_a_class_out(tmp_path):
    """A class renamed to nothing is left out with its points; what that empties is said."""
    source = make_csv(tmp_path / "csv", CLASSES)
    found = convert(source, tmp_path / "new", classes={"ignore": ""})
    assert found[2:6] == (1, 1, 1, ("cell",))
    assert "Left out: 2 points of ignore." in found.notes
    assert "1 images have no points left: nothing there." in found.notes


def test_convert_names_what_has_no_class(tmp_path):
    """Where some have a class and some none, `=name` names those."""
    source = make_csv(tmp_path / "csv", "image,x,y,label\na.png,1,2,\nb.png,1,2,cell\n")
    with pytest.raises(InputError, match="Name all. --map =NAME names those"):
        convert(source, tmp_path / "new")
    assert convert(source, tmp_path / "new", classes={"": "dot"}).classes == ("cell", "dot")


def test_convert_lists_the_classes_there_are(tmp_path):
    """A class to rename that nobody has is an error."""
    source = make_csv(tmp_path / "csv", CLASSES)
    with pytest.raises(InputError, match="'cel' .* classes are 'cell', 'ignore'. Did you mean"):
        convert(source, tmp_path / "new", classes={"cel": "a"})


# predictions, as `pointlib predict` writes them


def test_convert_takes_predictions(tmp_path):
    """Scores come along; images found empty are empty, unreadable ones are not labelled."""
    images = tmp_path / "field" / "deep"
    images.mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png"):
        Image.new("L", SHAPE[::-1]).save(images / name)
    out = tmp_path / "predictions"
    (out / "overlays").mkdir(parents=True)
    Image.new("RGB", (400, 800)).save(out / "overlays" / "a.png")
    (out / "points.csv").write_text("image,x,y,label,score\ndeep/a.png,1.5,2,cell,0.75\n")
    (out / "counts.csv").write_text(
        "image,width,height,status,cell\ndeep/a.png,200,100,ok,1\ndeep/b.png,200,100,ok,0\n"
        "deep/c.png,,,unreadable,\n"
    )
    found = convert(out, tmp_path / "new", to="csv", images=tmp_path / "field")
    assert found[1:6] == (3, 1, 1, 1, ("cell",))
    text = (tmp_path / "new" / "points.csv").read_text()
    assert text == "image,x,y,label,score\na.png,1.5,2,cell,0.75\n"
    lost = convert(out, tmp_path / "kit", images=tmp_path / "field").lost
    assert lost == ("Lost: the scores, which txt cannot carry.",)


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
        ("", r"points\.csv has no columns of positions that are known.*it has no line"),
        ("image,x\n", r"Its columns are 'image', 'x'; it has no line. Name them: --columns"),
        ("a,b,c\nd,1,2\n", r"first line is 'd | 1 | 2'. Name them: --columns 'image=a,x=b,y=c'"),
        ('image,x,y\na.png,"1,5,2",2\n', r"line 2: '1,5,2' in the column x; expected a number"),
        (
            "image,x,y\na.png,1,2\na.png,1\n",
            r"points\.csv, line 3 does not have 3 fields: image, x, y",
        ),
        ("image,x,y\na.png,1,2,3\n", r"line 2 does not have 3 fields"),
        ("image,x,y\na.png,1,two\n", r"line 2: 'two' in the column y; expected a number"),
        ("image,x,y\na.png,nan,2\n", r"line 2: 'nan' in the column x; expected a number"),
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


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_convert_csv_knows_other_names_and_signs(tmp_path, sign):
    """Common names of columns, an index without a name, semicolons and tabs."""
    rows = [("", "filename", "x", "y", "Class", "Confidence"), ("0", "a.png", "1.5", "2", "c", "1")]
    source = make_csv(tmp_path / "csv", "".join(f"{sign.join(row)}\n" for row in rows))
    found = convert(source, tmp_path / "new", to="csv")
    assert found.classes == ("c",)
    assert "a.png,1.5,2,c,1\n" in (tmp_path / "new" / "points.csv").read_text()


def test_convert_csv_prefers_the_own_names(tmp_path):
    """Where a table has both `label` and a synonym, `label` is the class."""
    source = make_csv(tmp_path / "csv", "species,image,x,y,label\nb,a.png,1,2,c\n")
    assert convert(source, tmp_path / "new").classes == ("c",)


# as deeplabcut 2.3 writes CollectedData_me.csv, and as analyze_videos does, with a likelihood
COLLECTED = """scorer,,,me,me,me,me
bodyparts,,,snout,snout,tail,tail
coords,,,x,y,x,y
labeled-data,v,a.png,10.5,20.25,30.0,40.0
labeled-data,v,b.png,,,12.0,14.0
"""
ANALYSED = """scorer,net,net,net
individuals,one,one,one
bodyparts,snout,snout,snout
coords,x,y,likelihood
a.png,10.5,20.25,0.5
"""


def test_convert_csv_takes_tables_of_deeplabcut(tmp_path):
    """A class a bodypart, blanks are not there, a likelihood is a score."""
    found = convert(make_csv(tmp_path / "csv", COLLECTED), tmp_path / "new", to="csv")
    assert found.counts == {"snout": 1, "tail": 2}
    text = (tmp_path / "new" / "points.csv").read_text()
    assert text.endswith("a.png,10.5,20.25,snout\na.png,30,40,tail\nb.png,12,14,tail\n")
    convert(make_csv(tmp_path / "csv2", ANALYSED), tmp_path / "new2", to="csv")
    text = (tmp_path / "new2" / "points.csv").read_text()
    assert text == "image,x,y,label,score\na.png,10.5,20.25,snout,0.5\n"


def test_convert_csv_takes_what_pandas_writes(tmp_path):
    """Tables of pandas: with its index, and with several heads as DeepLabCut's."""
    pandas = pytest.importorskip("pandas")
    source = make_csv(tmp_path / "csv", "")
    pandas.DataFrame({"image": ["a.png"], "x": [1.5], "y": [2]}).to_csv(source / "points.csv")
    assert convert(source, tmp_path / "new").n_points == 1
    columns = pandas.MultiIndex.from_product(
        [["me"], ["snout", "tail"], ["x", "y"]], names=["scorer", "bodyparts", "coords"]
    )
    for index in (
        ["a.png", "b.png"],
        [("labeled-data", "v", "a.png"), ("labeled-data", "v", "b.png")],
    ):
        values = [[10.5, 20.25, 30, 40], [None, None, 12, 14]]
        rows = pandas.MultiIndex.from_tuples(index) if isinstance(index[0], tuple) else index
        pandas.DataFrame(values, rows, columns).to_csv(source / "points.csv")
        found = convert(source, tmp_path / "new", overwrite=True)
        assert found.counts == {"snout": 1, "tail": 2}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("scorer,me,me\nbodyparts,a,a\na.png,1,2\n", "lacks its lines bodyparts and coords"),
        ("scorer,me,me\ncoords,x,y\na.png,1,2\n", "lacks its lines bodyparts and coords"),
        (COLLECTED + "labeled-data,v,c.png,1,2\n", "line 6 has 5 fields, unlike the first"),
        (COLLECTED.replace("10.5", "left"), "line 4: 'left' in the column x; expected a n"),
        (COLLECTED.replace("20.25", ""), "line 4: '' in the column y; expected a num"),
    ],
)
def test_convert_csv_names_what_is_wrong_in_deeplabcuts(tmp_path, table, message):
    """A half table, a field too few, half a point."""
    with pytest.raises(InputError, match=message):
        convert(make_csv(tmp_path / "csv", table), tmp_path / "new", from_="csv")


# finding the images


def make_images(folder, *names):
    """Save pictures of one size under names with folders."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", SHAPE[::-1]).save(folder / name)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "full", "full.png", "images/full.png", "C:\\data\\full.png", "full.tif", "/a/b/full.png",
        "https://host/x/full.png?token=a.png#b.png", "http://host/data/upload/1/0a1b2c3d-full.png",
        "/data/upload/7/0a1b2c3d-full.png", "/data/local-files/?d=set%2Ffull.png", "../../full.png",
    ],
)  # fmt: skip
def test_pictures_find_the_names_that_tools_give(folder, name):
    """Folders of either slash, no suffix or another, web addresses, Label Studio's uploads."""
    assert Pictures(folder).find(name, "here").name == "full.png"


def test_pictures_unquote_names(tmp_path):
    """%20 is a space where no image has that very name."""
    make_images(tmp_path, "images/a b.png", "images/c%20d.png", "images/c d.png")
    pictures = Pictures(tmp_path)
    assert pictures.find("a%20b.png", "here").name == "a b.png"
    assert pictures.find("c%20d.png", "here").name == "c%20d.png"


def test_pictures_do_not_leave_the_folder(tmp_path):
    """A name that leads out of the folder finds nothing there."""
    make_images(tmp_path, "other.png", "set/images/a.png", "set/images/deep/b.png")
    (tmp_path / "set" / "images" / "out").symlink_to(tmp_path)
    for name in ("../../other.png", str(tmp_path / "other.png"), "out/other.png", "deep/../x.png"):
        with pytest.raises(InputError, match="is not in"):
            Pictures(tmp_path / "set").find(name, "here")


@pytest.mark.parametrize(
    ("source", "images"),
    [
        ("set", "set/images"),
        ("set/points.csv", "set/JPEGImages"),
        ("set/points.csv", "set"),
        ("set/Annotations", "set/JPEGImages"),
        ("set/annotations/a.json", "set/val2017"),
        ("out/points.csv", "images"),
        ("set", "set/images/train"),
        ("set", "set/train/images"),
        ("set", "set/somewhere/else"),
        ("set/a.json", "set/frames/x"),
    ],
)
def test_pictures_are_looked_for_where_tools_put_them(tmp_path, source, images):
    """In, beside or below the source, under the names that tools give such folders."""
    make_images(tmp_path, f"{images}/a.png")
    source = tmp_path / source
    (source.parent if source.suffix else source).mkdir(parents=True, exist_ok=True)
    if source.suffix:
        source.write_text("{}")
    assert [path.relative_to(tmp_path).as_posix() for path in Pictures(source).paths] == [
        f"{images}/a.png"
    ]


def test_pictures_of_other_kinds_are_no_images(tmp_path):
    """Masks, overlays and hidden folders beside the images are not taken for images."""
    make_images(tmp_path, "raw/a.png", "masks/a.png", "overlays/a.png", ".cache/a.png")
    assert [path.parent.name for path in Pictures(tmp_path).paths] == ["raw"]


def test_pictures_of_one_name_keep_their_folders(tmp_path):
    """Equal names in two subfolders are told apart by folder, and by nothing less."""
    make_images(tmp_path, "images/train/a.png", "images/val/a.png", "images/val/b.png")
    pictures = Pictures(tmp_path)
    pictures.settle_names()
    names = [pictures.name_of(path) for path in pictures.paths]
    assert names == ["train/a.png", "val/a.png", "val/b.png"]
    assert pictures.find("set/val/a.png", "here").parent.name == "val"
    with pytest.raises(InputError, match=r"'a\.png' may be train/a\.png or val/a\.png"):
        pictures.find("a.png", "here")
    assert pictures.lookup("a.png", near=tmp_path / "labels" / "val").parent.name == "val"
    assert len(Pictures(tmp_path, tmp_path / "images" / "val").paths) == 2


def test_pictures_of_one_name_are_flattened_on_request(tmp_path):
    """With flatten the folder's name is put in front; two that then collide are refused."""
    make_images(tmp_path, "images/train/a.png", "images/val/a.png")
    pictures = Pictures(tmp_path, flatten=True)
    pictures.settle_names()
    assert [pictures.name_of(path) for path in pictures.paths] == ["train_a.png", "val_a.png"]
    make_images(tmp_path, "images/train_a.png")
    pictures = Pictures(tmp_path, below=True, flatten=True)
    with pytest.raises(InputError, match="would have the same name in the new folder"):
        pictures.settle_names()


def test_pictures_of_subfolders_are_found_by_their_whole_name(tmp_path):
    """Beside images at the top, those below are found by folder and name; a note tells of them."""
    make_images(tmp_path, "images/a.png", "images/deep/b.png", "images/deep/a.png")
    pictures = Pictures(tmp_path)
    assert len(pictures.paths) == 1
    assert "2 images below" in pictures.notes[0]
    assert pictures.find("set/deep/b.png", "here").parent.name == "deep"
    assert len(pictures.paths) == 2
    assert pictures.find("deep/a.png", "here").parent.name == "deep"
    assert pictures.find("a.png", "here").parent.name == "images"


def test_convert_takes_only_the_named_images_from_a_guessed_folder(tmp_path):
    """Images somewhere below a table, and not in a folder called images, may be another set's."""
    make_images(tmp_path, "x/a.png", "y/b.png")
    (tmp_path / "mine.csv").write_text("image,x,y\na.png,1,2\n")
    assert convert(tmp_path / "mine.csv", tmp_path / "new").n_images == 1


def test_convert_makes_lists_of_folders(tmp_path):
    """Images in train/ and valid/ become train.txt and val.txt, and that is said."""
    make_images(
        tmp_path,
        *(f"images/{part}/{part[0]}{i}.png" for part in ("train", "valid") for i in range(2)),
    )
    rows = "".join(f"{name}.png,1,2\n" for name in ("t0", "t1", "v0"))
    (tmp_path / "points.csv").write_text(f"image,x,y\n{rows}")
    found = convert(tmp_path, tmp_path / "new", from_="csv")
    assert "Split by folders: 2 in train.txt, 1 in val.txt." in found.notes
    assert (tmp_path / "new" / "val.txt").read_text() == "v0.png\n"


def test_convert_reads_lists_of_paths(folder, tmp_path):
    """A list may name its images with folders, as YOLO's do."""
    (folder / "train.txt").write_text("./images/full.png\n")
    convert(folder, tmp_path / "new", from_="txt")
    assert (tmp_path / "new" / "train.txt").read_text() == "full.png\n"


def test_convert_counts_missing_images(tmp_path):
    """All that are missing are counted, the nearest name told; skip=True leaves them out."""
    rows = "".join(f"{name}.png,1,2\n" for name in ("a", "aa", "c", "d"))
    source = make_csv(tmp_path / "csv", f"image,x,y\n{rows}")
    words = r"line 3: image 'aa\.png' is not in .*, nor are 2 others. Did you mean 'a\.png'.*--skip"
    with pytest.raises(InputError, match=words):
        convert(source, tmp_path / "new")
    found = convert(source, tmp_path / "new", skip=True)
    assert found.n_points == 1
    assert "Left out: 3 missing images." in found.notes


def test_pictures_can_be_dropped(folder):
    """A format's own pictures are no images of the dataset."""
    pictures = Pictures(folder)
    pictures.drop([path for path in pictures.paths if path.stem == "later"])
    assert len(pictures.paths) == 2
    assert pictures.lookup("later") is None


def test_pictures_refuse_a_source_that_is_not_there(tmp_path):
    """A missing source is named."""
    with pytest.raises(InputError, match=r"nowhere does not exist"):
        Pictures(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [None, 3, ["a.png"], {}])
def test_pictures_refuse_what_is_no_name(folder, name):
    """A file may hold anything in place of a name."""
    with pytest.raises(InputError, match="here: image is .*; expected its name"):
        Pictures(folder).find(name, "here")


# the table of formats


def test_table_of_formats_is_the_readmes():
    """The README shows what `pointlib formats --markdown` prints."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert formats_table(markdown=True) in readme


def test_commands_show_the_table(capsys):
    """`pointlib formats` and `pointlib convert --help` name every format."""
    assert main(["formats"]) == 0
    assert main(["convert", "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(printed.count(f"{name}") >= 2 for name in FORMATS)
    assert len(formats_table().split("\n")) == len(FORMATS) + 1
    widths = {row.count("|") for row in formats_table(markdown=True).split("\n")}
    assert widths == {11}


def test_command_converts(folder, tmp_path, capsys):
    """The command takes every option, tells what it found, and points to the picture."""
    options = ["--map", "dot=", "--images", str(folder / "images"), "--link", "--skip"]
    assert main(["convert", str(folder), str(tmp_path / "new"), *options]) == 0
    printed = capsys.readouterr().out
    assert "Recognised as txt." in printed
    assert "Left out: 1 points of dot." in printed
    assert f"look at {tmp_path / 'new' / 'check.png'}" in printed
    assert main(["convert", str(folder), str(tmp_path / "new2"), "--dry-run"]) == 0
    assert "Nothing is written" in capsys.readouterr().out
    assert not (tmp_path / "new2").exists()


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


@pytest.mark.parametrize("name", sorted(n for n, f in FORMATS.items() if "regions" in f.carries))
def test_regions_survive_a_conversion(tmp_path, name):
    """There and back, the same part of the image is labelled; other formats say what is lost."""
    folder = tmp_path / "set"
    scene = draw_cells((60, 80), n=9)
    write_image(folder / "a.png", scene.image)
    write_points(folder / "a.txt", scene.points, (60, 80))
    regions = Regions([[[[3.5, 3.5], [70.25, 3.5], [60.0, 50.0]]]])
    write_regions(folder / "a.regions.json", regions)
    convert(folder, tmp_path / "there", from_="txt", to=name)
    convert(tmp_path / "there", tmp_path / "back", from_=name)
    found = read_regions(tmp_path / "back" / "images" / "a.regions.json")
    np.testing.assert_allclose(found.areas[0][0], regions.areas[0][0], atol=1e-6)


def test_formats_without_regions_say_so(tmp_path):
    """COCO cannot express that only a part is labelled."""
    scene = draw_cells((60, 80), n=9)
    write_image(tmp_path / "set" / "a.png", scene.image)
    write_points(tmp_path / "set" / "a.txt", scene.points, (60, 80))
    write_regions(tmp_path / "set" / "a.regions.json", Regions.box(3, 3, 50, 40))
    lines = []
    convert(tmp_path / "set", tmp_path / "out", from_="txt", to="coco", log=lines.append)
    assert any("only a part is labelled, which coco cannot express" in line for line in lines)
