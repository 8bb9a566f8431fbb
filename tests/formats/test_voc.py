"""Tests of voc: boxes of Pascal VOC, their half pixel, and files that mean harm."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pointlib.errors import InputError
from pointlib.formats import FORMATS, convert
from pointlib.formats.shared.base import Pictures
from pointlib.points import label_state, read_points, write_points

SHAPE = (100, 200)
FORM = FORMATS["voc"]

# Written by labelImg 1.8.6:
#   w = PascalVocWriter("img", "a.png", (100, 200, 3), local_img_path="img/a.png")
#   w.add_bnd_box(10, 20, 15, 23, "cell", 0); w.add_bnd_box(1, 1, 31, 41, "dot", 1)
LABELIMG = """<annotation>
	<folder>img</folder>
	<filename>a.png</filename>
	<path>img/a.png</path>
	<source>
		<database>Unknown</database>
	</source>
	<size>
		<width>200</width>
		<height>100</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
	<object>
		<name>cell</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>0</difficult>
		<bndbox>
			<xmin>10</xmin>
			<ymin>20</ymin>
			<xmax>15</xmax>
			<ymax>23</ymax>
		</bndbox>
	</object>
	<object>
		<name>dot</name>
		<pose>Unspecified</pose>
		<truncated>1</truncated>
		<difficult>1</difficult>
		<bndbox>
			<xmin>1</xmin>
			<ymin>1</ymin>
			<xmax>31</xmax>
			<ymax>41</ymax>
		</bndbox>
	</object>
</annotation>
"""
# Written by Datumaro 1.13.12 from Bbox(10, 20, 5, 3), which is x, y, width, height
DATUMARO = """<annotation>
  <folder></folder>
  <filename>a.png</filename>
  <source>
    <database>Unknown</database>
    <annotation>Unknown</annotation>
    <image>Unknown</image>
  </source>
  <segmented>0</segmented>
  <object>
    <name>cell</name>
    <truncated>0</truncated>
    <occluded>0</occluded>
    <difficult>0</difficult>
    <bndbox>
      <xmin>10.0</xmin>
      <ymin>20.0</ymin>
      <xmax>15.0</xmax>
      <ymax>23.0</ymax>
    </bndbox>
  </object>
</annotation>
"""
# The same box written by supervision 0.31.2 (and by Datumaro with `voc-one-based`): pixels from 1
ONE_BASED = DATUMARO.replace(">10.0<", ">11<").replace(">20.0<", ">21<")


def dataset(path, *texts, place="Annotations", names=("a.png", "b.png", "c.png")):
    """Return a folder with pictures 200 x 100 and the XML files a.xml, b.xml, ... in `place`."""
    (path / "images").mkdir(parents=True)
    for name in names:
        Image.new("L", SHAPE[::-1]).save(path / "images" / name)
    for stem, text in zip("abc", texts, strict=False):
        (path / place).mkdir(exist_ok=True)
        (path / place / f"{stem}.xml").write_text(text)
    return path


def box(xmin, ymin, xmax, ymax, more="", name="cell"):
    """Return a file with one object, and `more` beside it."""
    edges = zip(("xmin", "ymin", "xmax", "ymax"), (xmin, ymin, xmax, ymax), strict=True)
    inside = "".join(f"<{key}>{value}</{key}>" for key, value in edges)
    return (
        f"<annotation>{more}<object><name>{name}</name><bndbox>{inside}</bndbox></object>"
        "</annotation>"
    )


def records(source, form=FORM):
    """Return the records of a source, in its order."""
    return list(form.read(source, Pictures(source), form))


def test_read_finds_a_known_pixel(tmp_path):
    """The edges round pixel (12, 21) alone are 12 and 13, 21 and 22: its middle is that pixel."""
    (found,) = records(dataset(tmp_path / "new", box(12, 21, 13, 22)))
    assert found.points.tolist() == [[12, 21]]


@pytest.mark.parametrize("text", [LABELIMG, DATUMARO], ids=["labelImg", "Datumaro"])
def test_read_of_a_file_of_another_tool(tmp_path, text):
    """A box of columns 10 to 14 and rows 20 to 22, whose middle pixel is (12, 21)."""
    (found,) = records(dataset(tmp_path / "new", text))
    assert found.points[0].tolist() == [12, 21]
    assert found.shape == (SHAPE if "<size>" in text else None)


def test_read_of_pixels_counted_from_one_is_half_a_pixel_off(tmp_path):
    """What the module says of the challenge's own files: (12, 21) is read as (12.5, 21.5)."""
    (found,) = records(dataset(tmp_path / "new", ONE_BASED))
    assert found.points.tolist() == [[12.5, 21.5]]


def test_read_of_pixels_counted_from_nought_is_the_centre_convention(tmp_path):
    """Columns 10 to 14 named by their numbers, both inside: convention="centre" is exact."""
    source = dataset(tmp_path / "new", box(10, 20, 14, 22))
    (found,) = records(source, replace(FORM, convention="centre"))
    assert found.points.tolist() == [[12, 21]]


def test_read_keeps_difficult_objects(tmp_path):
    """Somebody marked them: they stay, with their class."""
    (found,) = records(dataset(tmp_path / "new", LABELIMG))
    assert found.labels.tolist() == ["cell", "dot"]


def test_read_passes_over_parts(tmp_path):
    """A person's head is a part of the object, no object of its own."""
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    (found,) = records(dataset(tmp_path / "new", LABELIMG.replace("</object>", part, 1)))
    assert len(found.points) == 2


@pytest.mark.parametrize("place", ["Annotations", "images", "labels", "."])
def test_read_finds_files_where_tools_put_them(tmp_path, place):
    """In Annotations/, beside the images, in a folder of labels or above them."""
    (found,) = records(dataset(tmp_path / "new", LABELIMG, place=place))
    assert found.image.name == "a.png"


def test_read_takes_one_file(tmp_path):
    """Named itself, a file is read alone."""
    source = dataset(tmp_path / "new", LABELIMG, box(1, 2, 3, 4), place=".")
    assert [record.image.name for record in records(source / "b.xml")] == ["b.png"]


@pytest.mark.parametrize("named", ["a", "a.jpg", "b.png", "C:\\x\\a.png", ""])
def test_read_goes_by_the_stem_of_the_file(tmp_path, named):
    """<filename> may lack its suffix, have another, a path, or be left from a renamed image."""
    text = box(1, 2, 3, 4, f"<filename>{named}</filename>")
    (found,) = records(dataset(tmp_path / "new", text, names=("a.png",)))
    assert found.image.name == "a.png"


def test_read_goes_by_the_name_where_there_is_no_such_stem(tmp_path):
    """A file that is called otherwise names its image."""
    source = dataset(tmp_path / "new", box(1, 2, 3, 4, "<filename>b.png</filename>"))
    (source / "Annotations" / "a.xml").rename(source / "Annotations" / "000001.xml")
    assert records(source)[0].image.name == "b.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (box(1, 2, 3, 4, "<filename>b.png</filename>"), r"a\.xml names 'b\.png', but a\.png is"),
        (box(3, 2, 1, 4), r"a\.xml, object 1: the box from 3, 2 to 1, 4 ends before it begins"),
        (box(1, 2, "three", 4), r"object 1: could not convert.*three"),
        (box(1, 2, "nan", 4), r"expected finite numbers xmin, ymin, xmax, ymax"),
        (box(1, 2, "", 4), r"object 1: .*NoneType.*; expected numbers xmin"),
        (box(0, 0, 1e308, 1e308), r"a\.png: points\[0\].*outside the image"),
        (box(-1e308, 0, 1e308, 1), r"object 1|finite"),
        (LABELIMG.replace("bndbox", "robndbox"), r"object 1 has no bndbox; expected one with xmin"),
        (LABELIMG.replace(">200<", ">100<"), r"a\.png is 200 x 100, but.*made on 100 x 100"),
        (LABELIMG.replace(">200<", ">wide<"), r"a\.xml, size: could not convert.*wide"),
        (LABELIMG[:500], r"a\.xml, line \d+: not XML"),
        ("<annotations/>", r"a\.xml has 0 <annotation>; expected one"),
        ("<x><annotation/><annotation/></x>", r"a\.xml has 2 <annotation>; expected one"),
        (f'<!DOCTYPE x [<!ENTITY a "{"l" * 99}">]>{LABELIMG}', r"document type \(DTD\)"),
        (box(1, 2, 3, 4).replace("cell", "&a;"), "undefined entity"),
        ("<a>" * 100_000, "not XML"),
    ],
)
def test_convert_names_what_is_wrong(tmp_path, text, message):
    """Each mistake, innocent or not, is a sentence with the file and the object."""
    source = dataset(tmp_path / "new", text)
    with pytest.raises(InputError, match=message):
        convert(source, tmp_path / "out", from_="voc")
    assert not (tmp_path / "out").exists()


def test_convert_refuses_a_name_that_climbs_out(tmp_path):
    """A path in <filename> reaches no other folder (LESSONS 27)."""
    source = dataset(tmp_path / "new", box(1, 2, 3, 4, "<filename>../../z.png</filename>"))
    (source / "Annotations" / "a.xml").rename(source / "Annotations" / "000001.xml")
    with pytest.raises(InputError, match=r"image '\.\./\.\./z\.png' is not in .*images"):
        convert(source, tmp_path / "out", from_="voc")


def test_convert_refuses_a_folder_without_files(tmp_path):
    """A wrong folder is told, not read as images that nobody labelled."""
    source = dataset(tmp_path / "new")
    with pytest.raises(InputError, match=r"has no \.xml file. Name the folder with Annotations"):
        convert(source, tmp_path / "out", from_="voc")


def test_convert_tells_empty_from_unlabelled(tmp_path):
    """A file without objects says "nothing there", no file "not labelled yet"."""
    source = dataset(
        tmp_path / "new", LABELIMG, "<annotation><filename>b.png</filename></annotation>"
    )
    convert(source, tmp_path / "out", from_="voc")
    images = sorted((tmp_path / "out" / "images").glob("*.png"))
    assert [label_state(path) for path in images] == ["labelled", "empty", "unlabelled"]


@pytest.mark.parametrize("side", [16, 1, 1000])
def test_convert_there_and_back_is_exact_to_six_decimals(tmp_path, side):
    """Random points, the frame's corners among them, whatever the side of the boxes."""
    rng = np.random.default_rng(side)
    points = np.vstack([rng.uniform(-0.5, [199.5, 99.5], (200, 2)), [(-0.5, -0.5), (199.5, 99.5)]])
    source = dataset(tmp_path / "kit")
    write_points(source / "images" / "a.txt", points, SHAPE)
    kept, _ = read_points(source / "images" / "a.txt", SHAPE)
    convert(source, tmp_path / "there", from_="txt", to=replace(FORM, box=side))
    (found,) = records(tmp_path / "there")
    assert np.abs(found.points - kept).max() <= 0.5e-6 + 1e-9


def test_write_draws_boxes_that_stay_in_the_image(tmp_path):
    """16 pixels wide, but narrower on both sides alike where the frame is nearer."""
    source = dataset(tmp_path / "kit")
    write_points(source / "images" / "a.txt", [(12, 21), (1.5, 99)], SHAPE)
    convert(source, tmp_path / "there", from_="txt", to="voc")
    text = (tmp_path / "there" / "Annotations" / "a.xml").read_text()
    assert "<xmin>4.5</xmin><ymin>13.5</ymin><xmax>20.5</xmax><ymax>29.5</ymax>" in text
    assert "<xmin>0</xmin><ymin>99</ymin><xmax>4</xmax><ymax>100</ymax>" in text


def test_write_is_read_by_globox(tmp_path):
    """Another program finds the middles half a pixel on, as it counts from the edge."""
    globox = pytest.importorskip("globox")
    source = dataset(tmp_path / "kit")
    write_points(source / "images" / "a.txt", [(12, 21), (10.25, 3)], SHAPE, labels=["b & c", "d"])
    convert(source, tmp_path / "there", from_="txt", to="voc")
    (found,) = globox.AnnotationSet.from_pascal_voc(tmp_path / "there" / "Annotations")
    assert [(b.xmid, b.ymid, b.label) for b in found.boxes] == [
        (12.5, 21.5, "b & c"), (10.75, 3.5, "d"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"), [(LABELIMG, True), ("<annotations><image/></annotations>", False)]
)
@pytest.mark.parametrize("place", ["Annotations", "images", "."])
def test_looks_knows_its_file_and_its_folder(tmp_path, text, expected, place):
    """A file with <annotation> and <filename> is known, CVAT's <annotations> is not."""
    source = dataset(tmp_path / "new", text, place=place)
    assert FORM.looks(source) is expected
    assert FORM.looks(source / place / "a.xml") is expected
    assert FORM.looks(tmp_path / "nowhere") is False
