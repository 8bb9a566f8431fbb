"""Tests of cvat: CVAT for images 1.1, its shapes, its half pixel, and files that mean harm."""

import numpy as np
import pytest
from PIL import Image

from pointlib.errors import InputError
from pointlib.formats import FORMATS, convert
from pointlib.formats.shared.base import Pictures
from pointlib.points import label_state, read_points, write_points

SHAPE = (100, 200)
FORM = FORMATS["cvat"]

# Written by Datumaro 1.13.12, the library that CVAT itself exports with, <meta> shortened:
#   Dataset.from_iterable([DatasetItem("a", subset="train", media=..., annotations=[
#       Bbox(10, 20, 5, 3, label=0), Points([10.5, 20.25, 30, 40], label=1),
#       Polygon([40, 50, 44, 50, 44, 52, 40, 52], label=0)]), DatasetItem("b", ...)],
#       categories=["cell", "dot"]).export(folder, "cvat")
DATUMARO = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id></id>
      <name>train</name>
      <size>2</size>
      <mode>annotation</mode>
      <overlap></overlap>
      <labels>
        <label>
          <name>cell</name>
          <attributes>
          </attributes>
        </label>
      </labels>
    </task>
  </meta>
  <image id="0" name="a.png" width="200" height="100">
    <box label="cell" occluded="0" outside="0" keyframe="0" xtl="10.00" ytl="20.00" xbr="15.00" ybr="23.00" z_order="0">
    </box>
    <points label="dot" occluded="0" outside="0" keyframe="0" points="10.50,20.25;30.00,40.00" z_order="0">
    </points>
    <polygon label="cell" occluded="0" outside="0" keyframe="0" points="40.00,50.00;44.00,50.00;44.00,52.00;40.00,52.00" z_order="0">
    </polygon>
  </image>
  <image id="1" name="b.png" width="200" height="100">
  </image>
</annotations>"""
# Its docs, "XML annotation format": a skeleton nests points, which may be outside or occluded
SKELETON = """<skeleton label="bird" source="manual" z_order="0">
      <points label="beak" source="manual" outside="0" occluded="1" points="10.50,20.25">
      </points>
      <points label="tail" source="manual" outside="1" occluded="0" points="0.00,0.00">
      </points>
      <points label="eye" source="manual" outside="0" occluded="0" points="30.00,40.00">
        <attribute name="side">left</attribute>
      </points>
      <attribute name="sex">f</attribute>
    </skeleton>"""


def export(path, shapes="", *, names=("a.png", "b.png", "c.png"), text=None):
    """Return a folder with pictures 200 x 100 and annotations.xml that holds a.png's shapes."""
    (path / "images").mkdir(parents=True)
    for name in names:
        Image.new("L", SHAPE[::-1]).save(path / "images" / name)
    image = f'<image id="0" name="a.png" width="200" height="100">{shapes}</image>'
    (path / "annotations.xml").write_text(text or f"<annotations>{image}</annotations>")
    return path


def records(source):
    """Return the records of a source, in its order."""
    return list(FORM.read(source, Pictures(source), FORM))


def test_read_finds_a_known_pixel(tmp_path):
    """A box round pixel (12, 21) alone runs from 12 to 13 and 21 to 22: its middle is that pixel.

    A click on that pixel's middle is 12.5, 21.5 for the canvas, whose first pixel begins at 0.
    """
    (found,) = records(
        export(
            tmp_path / "new",
            '<box label="cell" xtl="12" ytl="21" xbr="13" ybr="22"/>'
            '<points label="cell" points="12.5,21.5"/>'
            '<ellipse label="cell" cx="12.5" cy="21.5" rx="9" ry="3" rotation="30.00"/>'
            '<polygon label="cell" points="12,21;13,21;13,22;12,22"/>',
        )
    )
    assert found.points.tolist() == [[12, 21]] * 4


def test_read_of_a_file_of_datumaro(tmp_path):
    """Its box holds columns 10 to 14 and rows 20 to 22, whose middle pixel is (12, 21)."""
    source = export(tmp_path / "new", text=DATUMARO)
    (source / "annotations.xml").rename(source / "train.xml")
    full, empty = records(source)
    assert full.points.tolist() == [[12, 21], [10, 19.75], [29.5, 39.5], [41.5, 50.5]]
    assert full.labels.tolist() == ["cell", "dot", "dot", "cell"]
    assert (full.shape, full.scores) == (SHAPE, None)
    assert (empty.image.name, len(empty.points)) == ("b.png", 0)


def test_read_of_a_file_of_globox(tmp_path):
    """Another program's boxes, written as it likes, have their middles where it says."""
    globox = pytest.importorskip("globox")
    box = globox.BoundingBox(label="cell", xmin=10, ymin=20, xmax=15, ymax=23)
    images = [globox.Annotation("a.png", (200, 100), [box]), globox.Annotation("b.png", (200, 100))]
    source = export(tmp_path / "new")
    globox.AnnotationSet(images).save_cvat(source / "annotations.xml")
    full, empty = records(source)
    assert full.points.tolist() == [[box.xmid - 0.5, box.ymid - 0.5]] == [[12, 21]]
    assert len(empty.points) == 0


def test_read_takes_a_skeletons_points(tmp_path):
    """They carry their own labels; what is outside the picture is left out, hidden is not."""
    (found,) = records(export(tmp_path / "new", SKELETON))
    assert found.points.tolist() == [[10, 19.75], [29.5, 39.5]]
    assert found.labels.tolist() == ["beak", "eye"]


def test_read_calls_a_skeletons_only_point_by_the_skeleton(tmp_path):
    """A skeleton of one point is a point of the skeleton's class."""
    one = '<skeleton label="bird"><points label="1" outside="0" points="10.5,20.5"/></skeleton>'
    (found,) = records(export(tmp_path / "new", one))
    assert found.labels.tolist() == ["bird"]


def test_read_passes_over_tags_and_attributes(tmp_path):
    """A tag speaks of the image, an attribute of a class: neither is a place."""
    shapes = '<tag label="sharp"/><points label="cell" points="1,1"><attribute name="a"/></points>'
    (found,) = records(export(tmp_path / "new", shapes))
    assert found.labels.tolist() == ["cell"]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ('<polyline label="a" points="1,1;2,2"/>', r"image 1 \('a\.png'\), polyline 1: a polyline"),
        ('<mask label="a" rle="1" left="0"/>', "a mask has no centre that can be read; expected"),
        ("<skeleton><box/></skeleton>", r"skeleton 1 has a box; expected points"),
        ('<points label="a"/>', r"points 1: ''; expected points x,y;x,y"),
        ('<points points="1,2;3"/>', r"'1,2;3'; expected points x,y;x,y"),
        ('<points points="1,nan"/>', r"points 1: \[1\.0, nan\]; expected finite numbers x, y"),
        ('<points points="1,two"/>', r"could not convert.*two.*; expected numbers x, y"),
        ('<box xtl="1" ytl="2" xbr="3"/>', r"box 1: .*None.*; expected numbers xtl, ytl, xbr, ybr"),
        ('<box xtl="3" ytl="2" xbr="1" ybr="4"/>', r"from 3, 2 to 1, 4 ends before it begins"),
        ('<points points="1e308,1e308"/>', r"a\.png: points\[0\] is .*outside the image"),
        ('<polygon points="1e308,0;1e308,9;9,1e308"/>', r"expected finite x and y"),
        ('<points points="200.6,1"/>', r"points\[0\] is .200\.1, 0\.5., outside the image"),
        ('<points points="../a,/etc/b"/>', "could not convert"),
    ],
)
def test_convert_names_what_is_wrong(tmp_path, shapes, message):
    """Each mistake is a sentence with the image and the shape."""
    source = export(tmp_path / "new", shapes)
    with pytest.raises(InputError, match=message):
        convert(source, tmp_path / "out", from_="cvat")


BOMB = "".join(f'<!ENTITY {b} "&{a};&{a};">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'<!DOCTYPE x [<!ENTITY a "lol">{BOMB}]><annotations/>', r"document type \(DTD\)"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><annotations/>', r"document type \(DTD\)"),
        ('<annotations><image name="a.png">&a;</image></annotations>', "undefined entity"),
        (DATUMARO[:900], r"annotations\.xml, line \d+: not XML .*cut off"),
        ("<a>" * 100_000, "not XML"),
        ('<?xml version="1.0" encoding="no-such"?><a/>', "Save it as UTF-8"),
        ('<?xml version="1.0" encoding="shift_jis"?><a/>', "Save it as UTF-8"),
        ("<html/>", r"has no <annotations>. Export it as CVAT for images 1\.1"),
        ("<annotations><track id='0'/></annotations>", "has tracks of a video"),
        ("<annotations><image/></annotations>", "image 1 has no name"),
        ("<annotations><image name='../../x.png'/></annotations>", r"'\.\./\.\./x\.png' is not in"),
        ("<annotations><image name='a.png' width='x' height='1'/></annotations>", "width, height"),
        ("<annotations><image name='a.png' width='9' height='7'/></annotations>", "made on 9 x 7"),
        ("<annotations><image name='a.png'/><image name='a.png'/></annotations>", "occurs twice"),
    ],
)
def test_convert_refuses_a_hostile_file(tmp_path, text, message):
    """Entities, other files, half files and names that climb out are sentences (LESSONS 27)."""
    source = export(tmp_path / "new", text=text)
    with pytest.raises(InputError, match=message):
        convert(source, tmp_path / "out", from_="cvat")
    assert not (tmp_path / "out").exists()


def test_read_survives_shapes_nested_deep(tmp_path):
    """Children of shapes are not followed down."""
    deep = f'<points points="1,1">{"<a>" * 50_000}{"</a>" * 50_000}</points>'
    (found,) = records(export(tmp_path / "new", deep))
    assert len(found.points) == 1


def test_convert_takes_many_points(tmp_path):
    """A hundred thousand points, one element each, come through in order."""
    pairs = [(x % 200, x % 97) for x in range(100_000)]
    shapes = "".join(f'<points label="a" points="{x},{y}"/>' for x, y in pairs)
    (found,) = records(export(tmp_path / "new", shapes))
    assert np.array_equal(found.points, np.array(pairs) - 0.5)


def test_convert_reads_an_image_without_shapes_as_empty(tmp_path):
    """Listed without shapes: looked, nothing there; not listed: not labelled yet."""
    source = export(tmp_path / "new", text=DATUMARO)
    convert(source, tmp_path / "out", from_="cvat")
    images = sorted((tmp_path / "out" / "images").glob("*.png"))
    assert [label_state(path) for path in images] == ["labelled", "empty", "unlabelled"]


@pytest.mark.parametrize("seed", range(3))
def test_convert_there_and_back_is_exact_to_six_decimals(tmp_path, seed):
    """Random points, the frame's corners among them, come back to half of the last digit."""
    rng = np.random.default_rng(seed)
    points = np.vstack([rng.uniform(-0.5, [199.5, 99.5], (200, 2)), [(-0.5, -0.5), (199.5, 99.5)]])
    source = export(tmp_path / "kit")
    write_points(source / "images" / "a.txt", points, SHAPE)
    kept, _ = read_points(source / "images" / "a.txt", SHAPE)
    convert(source, tmp_path / "there", from_="txt", to="cvat")
    (found,) = records(tmp_path / "there")
    assert np.abs(found.points - kept).max() <= 0.5e-6 + 1e-9


def test_write_keeps_names_that_xml_must_escape(tmp_path):
    """Quotes, ampersands and angle brackets in a label come back as they were."""
    source = export(tmp_path / "kit")
    label = "a \"b\" 'c' <d> & é\u4e2d"
    write_points(source / "images" / "a.txt", [(1, 2)], SHAPE, labels=[label])
    convert(source, tmp_path / "there", from_="txt", to="cvat")
    assert records(tmp_path / "there")[0].labels.tolist() == [label]


def test_write_refuses_what_xml_cannot_hold(tmp_path):
    """A character in a label that XML has no place for is a sentence before there is a file."""
    source = export(tmp_path / "kit")
    write_points(source / "images" / "a.txt", [(1, 2)], SHAPE, labels=["a\ufffe"])
    with pytest.raises(InputError, match="which XML cannot hold. Rename"):
        convert(source, tmp_path / "there", from_="txt", to="cvat")


def test_write_names_the_class_of_points_without_one(tmp_path):
    """CVAT has no shape without a label: such points are of the class `point`."""
    source = export(tmp_path / "kit")
    write_points(source / "images" / "a.txt", [(1, 2)], SHAPE)
    convert(source, tmp_path / "there", from_="txt", to="cvat")
    text = (tmp_path / "there" / "annotations.xml").read_text()
    assert '<points label="point"' in text
    assert "<name>point</name>" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [(DATUMARO, True), ("<annotation><filename>a</filename></annotation>", False), ("", False)],
)
def test_looks_knows_its_file_and_its_folder(tmp_path, text, expected):
    """annotations.xml and the folder that holds it are known, other XML is not."""
    source = export(tmp_path / "new", text=text or " ")
    assert FORM.looks(source) is expected
    assert FORM.looks(source / "annotations.xml") is expected
    assert FORM.looks(tmp_path / "nowhere") is False
