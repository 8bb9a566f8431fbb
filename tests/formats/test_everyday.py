"""Files as people have them: tables in many spellings, ImageJ's, VIA's, crowd texts, zips, photos.

Images are 96 x 64; most files put points at (20, 30) and (70, 12) of the kit. Not about the formats
that have a test of their own.
"""

import io
import json
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image
from roifile import ROI_TYPE, ImagejRoi

from pointlib.cli import main
from pointlib.errors import InputError
from pointlib.formats import convert, recognise
from pointlib.formats.shared.programs import PROGRAMS, way_out
from pointlib.formats.shared.records import turn_points
from pointlib.points import label_state, read_points, text_path

SHAPE = (64, 96)
TWO = [(20.0, 30.0), (70.0, 12.0)]
ONE = TWO[:1]
HALF = [(19.5, 29.5)]  # of a box with whole edges around (20, 30)
SQUARE = [[18, 28], [22, 28], [22, 32], [18, 32]]


@pytest.fixture
def site(tmp_path):
    """Return a folder with photos/site_01.jpg and site_02.jpg."""
    (tmp_path / "photos").mkdir()
    for name in ("site_01.jpg", "site_02.jpg"):
        save(tmp_path / "photos" / name)
    return tmp_path


def save(path, turn=1):
    """Save a photo, 96 x 64 as stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[274] = turn
    Image.new("RGB", SHAPE[::-1], (90, 120, 60)).save(path, exif=exif)


def read(folder, name="site_01.jpg"):
    """Return the points of an image in a converted folder, as a list of pairs, and its classes."""
    image = folder / "images" / name
    with Image.open(image) as opened:
        turn = opened.getexif().get(274, 1)
    shape = SHAPE[::-1] if turn >= 5 else SHAPE
    points, labels = read_points(text_path(image), shape)
    return [(round(x, 3) + 0.0, round(y, 3) + 0.0) for x, y in points.tolist()], labels.tolist()


def convert_text(site, text, name="table.csv", **options):
    """Convert a table beside photos/; return the Conversion."""
    data = text if isinstance(text, bytes) else text.encode()
    (site / name).write_bytes(data)
    return convert(site / name, site / "new", images=site / "photos", picture=False, **options)


TABLES = {
    "spellings": ("Image Name,X (px),Y (px),Species\nsite_01.jpg,20,30,boar\n", ONE),
    "order": ("y,x,image\n30,20,site_01.jpg\n", ONE),
    "row and col": ("file_name,row,col\nsite_01.jpg,30,20\n", ONE),
    "index of pandas": (",image_path,x,y\n0,site_01.jpg,20,30\n1,site_01.jpg,70,12\n", TWO),
    "semicolons": ("image;x;y\nsite_01.jpg;20,0;30,0\nsite_01.jpg;70,0;12,0\n", TWO),
    "tabs": ("Filename\tX\tY\nsite_01.jpg\t20\t30\n", ONE),
    "spaces": ("image x y\nsite_01.jpg 20 30\n", ONE),
    "sep of Excel": ("sep=;\nimage;x;y\nsite_01.jpg;20;30\n", ONE),
    "byte order mark": ("\ufeffimage,x,y\nsite_01.jpg,20,30\n", ONE),
    "another language": ("Bild;Spalte;Zeile;Art\nsite_01.jpg;20;30;Bär\n", ONE),
    "a comment": ("# image,x,y\nsite_01.jpg,20,30\n# the end\n", ONE),
    "skimage's centroids": ("image,label,centroid-0,centroid-1\nsite_01.jpg,1,30,20\n", ONE),
    "numbers of images": ("image,x,y\n1,20,30\n1,70,12\n", TWO),
    "percent": ("image,x_percent,y_percent\nsite_01.jpg,21.354167,47.65625\n", ONE),
    "fractions": ("image,x,y\nsite_01.jpg,0.21354167,0.4765625\n", ONE),
    "edges": ("image_path,xmin,ymin,xmax,ymax,label\nsite_01.jpg,15,25,25,35,Tree\n", HALF),
    "x1 to y2": ("img,x1,y1,x2,y2\nsite_01.jpg,15,25,25,35\n", HALF),
    "left, top, w, h": ("image,left,top,w,h\nsite_01.jpg,15,25,10,10\n", HALF),
    "boxes named x, y": (
        "image,x,y,width,height\nsite_01.jpg,15,25,10,10\nsite_01.jpg,60,2,20,12\n",
        [*HALF, (69.5, 7.5)],
    ),
    "centres of boxes": ("image,cx,cy,w,h\nsite_01.jpg,20,30,10,10\n", ONE),
    "the image's size": ("image,x,y,width,height\nsite_01.jpg,20,30,96,64\n", ONE),
    "TensorFlow's": (
        "filename,width,height,class,xmin,ymin,xmax,ymax\nsite_01.jpg,96,64,a,15,25,25,35\n",
        HALF,
    ),
    "Open Images'": (
        (
            "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax\n"
            "site_01,bee,1,0.15625,0.26041667,0.390625,0.546875\n"
        ),
        HALF,
    ),
    "make-sense's points": ("bee,20,30,site_01.jpg,96,64\nbee,70,12,site_01.jpg,96,64\n", TWO),
    "make-sense's header": (
        (
            "label_name,point_x,point_y,image_name,image_width,image_height\n"
            "bee,20,30,site_01.jpg,96,64\n"
        ),
        ONE,
    ),
    "make-sense's boxes": ("bee,15,25,10,10,site_01.jpg,96,64\n", HALF),
    "RetinaNet's": ("photos/site_02.jpg,,,,,\nphotos/site_01.jpg,15,25,25,35,bee\n", HALF),
    "no names": ("site_01.jpg,20,30\nsite_01.jpg,70,12\n", TWO),
    "no names, y first": ("30,20,site_01.jpg\n12,70,site_01.jpg\n", TWO),
    "boxes in one cell": (
        (
            "image_id,width,height,bbox,source\n"
            'site_01,96,64,"[15.0, 25.0, 10.0, 10.0]",x\nsite_02,96,64,,x\n'
        ),
        HALF,
    ),
    "other capitals": ("image,x,y\nSITE_01.JPG,20,30\n", ONE),
    "QuPath's": (
        (
            "Image\tObject ID\tObject type\tClassification\tCentroid X px\tCentroid Y px\n"
            "site_01.jpg\t1\tDetection\tTumor\t20.5\t30.5\n"
        ),
        ONE,
    ),
    "DeepForest's empty image": (
        "image_path,xmin,ymin,xmax,ymax\nsite_01.jpg,15,25,25,35\nsite_02.jpg,0,0,0,0\n",
        HALF,
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_are_read_as_people_write_them(site, kind):
    """Names, separators, decimal commas, order and boxes as in files of many programs."""
    text, points = TABLES[kind]
    found = convert_text(site, text)
    assert found.notes[0] == "Recognised as csv."
    assert read(site / "new")[0] == points


@pytest.mark.parametrize("blank", ["", "NaN", "nan", "NA", "null"])
def test_a_row_with_an_image_alone_says_that_nothing_is_there(site, blank):
    """Blank and NaN coordinates: looked, nothing there; an image that no row names: not labelled."""
    save(site / "photos" / "site_03.jpg")
    text = f"image,x,y,label\nsite_01.jpg,20,30,bee\nsite_02.jpg,{blank},{blank},{blank}\n"
    found = convert_text(site, text)
    assert (found.n_labelled, found.n_empty, found.n_unlabelled) == (1, 1, 1)
    states = [label_state(site / "new" / "images" / f"site_0{i}.jpg") for i in (1, 2, 3)]
    assert states == ["labelled", "empty", "unlabelled"]


def test_half_a_point_is_no_empty_image(site):
    """A row with x and without y is an error, not "nothing there"."""
    with pytest.raises(InputError, match=r"line 2: '' in the column y; expected a number"):
        convert_text(site, "image,x,y,label\nsite_01.jpg,20,,bee\n")


def test_text_of_windows_is_read_with_a_note(site):
    """Windows-1252 is no UTF-8: the classes are right, and that it was guessed is said."""
    found = convert_text(site, "image;x;y;label\nsite_01.jpg;20;30;Bär\n".encode("cp1252"))
    assert read(site / "new") == (ONE, ["Bär"])
    assert any("read as Windows-1252" in note for note in found.notes)


def test_columns_can_be_named_by_name_and_number(site):
    """--columns brings a table whose columns nobody can know; a wrong one is told with the table."""
    text = "Foto,links,unten,was\nsite_01.jpg,20,30,bee\n"
    with pytest.raises(InputError, match=r"not recognised.*'Foto'.*first line is.*--columns 'imag"):
        convert_text(site, text)
    named = {"image": "foto", "x": "2", "y": "unten", "label": "was"}
    convert_text(site, text, columns=named)
    assert read(site / "new") == (ONE, ["bee"])
    with pytest.raises(InputError, match=r"has no column 'hier' for x. Its columns are 'Foto', 'l"):
        convert(site / "table.csv", site / "x", images=site / "photos", columns={"x": "hier"})
    with pytest.raises(InputError, match="--columns is for tables; coco files are none"):
        convert(site, site / "x", from_="coco", images=site / "photos", columns=named)


def test_columns_are_parsed_from_the_command_line(site, capsys):
    """The option's text names roles; an unknown one names the nearest."""
    (site / "t.csv").write_text("A,B,C\nsite_01.jpg,20,30\n")
    photos = ["--images", str(site / "photos")]
    line = ["convert", str(site / "t.csv"), str(site / "new"), *photos, "--columns"]
    assert main([*line, "image=A,x=B,y=3"]) == 0
    assert read(site / "new")[0] == ONE
    assert main([*line, "imgae=A,x=B,y=3", "--overwrite"]) == 2
    assert "'imgae' is no role. Did you mean 'image'?" in capsys.readouterr().err
    assert main([*line, "image", "--overwrite"]) == 2
    assert "expected role=name" in capsys.readouterr().err


def test_scale_and_pixel_size_bring_other_units_to_pixels(site):
    """Micrometres need a pixel size, and say so; a scale is its inverse; both, or 0, are errors."""
    text = "image,X (µm),Y (µm)\nsite_01.jpg,5,7.5\nsite_01.jpg,17.5,3\n"
    with pytest.raises(InputError, match=r"coordinates in µm, not in pixels.*--pixel-size"):
        convert_text(site, text)
    convert_text(site, text, pixel_size=0.25)
    assert read(site / "new")[0] == TWO
    convert_text(site, text, scale=4, overwrite=True)
    assert read(site / "new")[0] == TWO
    with pytest.raises(InputError, match="give one"):
        convert_text(site, text, scale=4, pixel_size=0.25, overwrite=True)
    with pytest.raises(InputError, match="pixel_size is 0; expected a number above 0"):
        convert_text(site, text, pixel_size=0, overwrite=True)


def test_points_in_a_corner_are_told(site):
    """All points in the upper left of their images look like another unit; a scale of 1 ends it."""
    text = "image,x,y\nsite_01.jpg,5,7.5\nsite_01.jpg,17.5,3\n"
    assert any("If they are in micrometres" in note for note in convert_text(site, text).notes)
    found = convert_text(site, text, scale=1, overwrite=True)
    assert not any("micrometres" in note for note in found.notes)
    assert read(site / "new")[0] == [(5, 7.5), (17.5, 3)]


def test_what_could_mean_two_things_is_said(site):
    """Columns without names, boxes and fractions name the other reading, and what to type."""
    found = convert_text(site, "site_01.jpg,20,30\nsite_01.jpg,40,50\n")
    assert any("read as x, y. If y comes first: --columns x=3,y=2" in n for n in found.notes)
    found = convert_text(site, "site_01.jpg,15,25,25,35\n", overwrite=True)
    assert any("read as left, top, right, bottom. If not: --columns" in n for n in found.notes)
    text = "image,x,y,width,height\nsite_01.jpg,15,25,10,10\nsite_01.jpg,50,2,20,12\n"
    found = convert_text(site, text, overwrite=True)
    assert any("If x, y is the centre: --columns 'x=x,y=y'" in note for note in found.notes)
    named = {"x": "x", "y": "y"}
    convert_text(site, text, columns=named, overwrite=True)
    assert read(site / "new")[0] == [(15, 25), (50, 2)]


@pytest.mark.parametrize("header", ["x,y\n20,30\n", "row,col\n30,20\n"])
def test_a_table_belongs_to_the_image_it_is_called_after(site, header):
    """Without an image column: the same stem, a stem that it begins with, or the only image."""
    convert_text(site, header, name="site_02_points.csv")
    assert read(site / "new", "site_02.jpg")[0] == ONE
    with pytest.raises(InputError, match=r"names no images|image 'clicks' is not in"):
        convert_text(site, header, name="clicks.csv", overwrite=True)
    (site / "photos" / "site_02.jpg").unlink()
    convert_text(site, header, name="clicks.csv", overwrite=True)
    assert read(site / "new")[0] == ONE


def test_a_folder_of_tables_is_read_beside_its_images(tmp_path):
    """row,col, and big-fish's y;x without names: one table per image."""
    for name, text in (("a", "row,col\n30,20\n12,70\n"), ("b", "30;20\n12;70\n")):
        save(tmp_path / "set" / f"{name}.jpg")
        (tmp_path / "set" / f"{name}.csv").write_text(text)
    found = convert(tmp_path / "set", tmp_path / "new", picture=False)
    assert read(tmp_path / "new", "a.jpg")[0] == read(tmp_path / "new", "b.jpg")[0] == TWO
    assert any("are read as y, x" in note for note in found.notes)


def test_many_tables_say_the_same_thing_once(tmp_path):
    """Twenty tables without names make one note, with the number of the others."""
    for number in range(20):
        save(tmp_path / "set" / f"{number}.jpg")
        (tmp_path / "set" / f"{number}.csv").write_text("20,30\n40,20\n")
    notes = convert(tmp_path / "set", tmp_path / "new", picture=False).notes
    (note,) = (note for note in notes if "are read as x, y" in note)
    assert "So are 19 other tables." in note


def test_frames_and_planes_of_one_image_are_refused(site):
    """Images are 2D: points of two slices are an error that names them, not one heap."""
    text = "image,x,y,slice\nsite_01.jpg,20,30,1\nsite_01.jpg,70,12,2\n"
    with pytest.raises(InputError, match="frames or planes 1 and 2"):
        convert_text(site, text)


TRACKMATE = """LABEL,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,FRAME,RADIUS,VISIBILITY
Label,Spot ID,Track ID,Quality,X,Y,Frame,Radius,Visibility
Label,Spot ID,Track ID,Quality,X,Y,Frame,R,Visibility
,,,(quality),({unit}),({unit}),,({unit}),
ID1,11,0,3.2,{a},{b},0,2.5,1
ID2,12,1,2.9,{c},{d},0,2.5,1
"""


def test_spots_of_trackmate_are_no_classes_and_know_their_unit(site):
    """Its lines of names are passed over; micrometres that cannot be pixels need a pixel size."""
    (site / "photos" / "site_02.jpg").unlink()
    convert_text(site, TRACKMATE.format(unit="pixel", a=20, b=30, c=70, d=12))
    assert read(site / "new") == (TWO, ["", ""])
    found = convert_text(
        site, TRACKMATE.format(unit="micron", a=20, b=30, c=70, d=12), overwrite=True
    )
    assert any("in micron and taken as pixels" in note for note in found.notes)
    small = TRACKMATE.format(unit="micron", a=5, b=7.5, c=17.5, d=3)
    with pytest.raises(InputError, match="coordinates in micron.*--pixel-size"):
        convert_text(site, small, overwrite=True)
    convert_text(site, small, pixel_size=0.25, overwrite=True)
    assert read(site / "new")[0] == TWO


def test_parts_of_sleap_are_classes_and_frames_are_numbers_of_images(tmp_path):
    """Columns PART.x and PART.y; what is blank is not there; a frame is the image of that number."""
    head = "track,frame_idx,instance.score,nose.x,nose.y,nose.score,tail.x,tail.y,tail.score\n"
    rows = ",0,0.9,20,30,0.8,70,12,1.05\n,1,0.9,20,30,0.8,,,\n"
    for number in (0, 1):
        save(tmp_path / "photos" / f"frame_{number:04}.jpg")
    convert_text(tmp_path, head + rows)
    assert read(tmp_path / "new", "frame_0000.jpg") == (TWO, ["nose", "tail"])
    assert read(tmp_path / "new", "frame_0001.jpg") == (ONE, ["nose"])


def test_every_program_of_the_table_is_named_with_a_way_out(tmp_path):
    """A file that looks like a program's is told by its name, and what to do instead."""
    samples = {
        "Datumaro's JSON": (".json", ('{"categories": {}, "items": [{"annotations": '
                            '[{"label_id": 0}]}]}')),
        "FiftyOne's dataset": (".json", '{"samples": [{"filepath": "a", "detections": []}]}'),
        "Supervisely's JSON": (".json", '{"objects": [{"classTitle": "a"}]}'),
        "Labelbox's export": (".ndjson", '{"data_row": {"id": 1}}'),
        "dlib's imglab XML": (".xml", "<dataset><images><image file='a.jpg'/></images></dataset>"),
        "TrackMate's XML": (".xml", '<TrackMate version="7"/>'),
        "DOTA's texts": (".txt", "imagesource:G\ngsd:0.1\n1 2 3 2 3 4 1 4 ship 0\n"),
        "VisDrone's texts": (".txt", "15,25,10,10,1,4,0,0\n65,7,10,10,1,4,0,0\n"),
        "an Excel workbook": (".xlsx", "PK\x03\x04"),
        "numpy's array": (".npy", "x"),
        "a shapefile": (".shp", "x"),
        "SLEAP's file": (".slp", "x"),
    }  # fmt: skip
    for number, (name, (suffix, text)) in enumerate(samples.items()):
        path = tmp_path / str(number) / f"a{suffix}"
        path.parent.mkdir()
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(InputError, match="is not recognised. This looks like") as error:
            recognise(path)
        assert name in str(error.value)
        assert name in way_out(path.parent)
    (tmp_path / "data.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert "DeepLabCut" in way_out(tmp_path / "data.h5")
    assert len({program.name for program in PROGRAMS}) > 30
    assert all(program.way for program in PROGRAMS)


RESULTS = " ,Label,Area,X,Y,Slice\n1,{a},0,20.5,30.5,1\n2,{b},0,70.5,12.5,1\n"


def test_results_of_imagej_count_from_the_corner(site):
    """X, Y of a click on a pixel are half more; `Label` is the image, and no class."""
    found = convert_text(site, RESULTS.format(a="site_01.jpg", b="site_01.jpg:0012-0070"))
    assert found.notes[0] == "Recognised as imagej."
    assert read(site / "new") == (TWO, ["", ""])


def test_results_of_several_images_stay_on_their_images(tmp_path):
    """A table named as one image, of two images: by its labels, not by its name."""
    for name in ("site_01.jpg", "site_02.jpg"):
        save(tmp_path / "set" / name)
    text = RESULTS.format(a="site_01.jpg", b="site_02.jpg")
    (tmp_path / "set" / "site_01.csv").write_text(text)
    convert(tmp_path / "set", tmp_path / "new", picture=False)
    assert read(tmp_path / "new", "site_02.jpg")[0] == TWO[1:]


@pytest.mark.parametrize("header", [" ,X,Y\n", " \tArea\tX\tY\n".replace("\t", ",")])
def test_results_without_labels_belong_to_the_only_image(site, header):
    """With two images it is unclear whose they are: an error, never a guess."""
    area = "0," if "Area" in header else ""
    text = f"{header}1,{area}20.5,30.5\n2,{area}70.5,12.5\n"
    with pytest.raises(InputError, match="names no images"):
        convert_text(site, text)
    (site / "photos" / "site_02.jpg").unlink()
    convert_text(site, text)
    assert read(site / "new")[0] == TWO


def test_calibrated_results_need_a_pixel_size(tmp_path):
    """The image's own calibration, or points in a corner, tell it; then pixels are exact."""
    (tmp_path / "photos").mkdir()
    tifffile.imwrite(
        tmp_path / "photos" / "a.tif",
        np.zeros(SHAPE, np.uint8),
        imagej=True,
        resolution=(4, 4),
        metadata={"unit": "um"},
    )
    text = " ,Label,Area,X,Y\n1,a.tif,0,5.125,7.625\n2,a.tif,0,20.125,15.125\n"
    with pytest.raises(InputError, match=r"a\.tif is calibrated.*in um: add --pixel-size 0\.25"):
        convert_text(tmp_path, text)
    convert_text(tmp_path, text, pixel_size=0.25)
    points, _ = read_points(tmp_path / "new" / "images" / "a.txt", SHAPE)
    np.testing.assert_allclose(points, [(20, 30), (80, 60)], atol=1e-5)
    save(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "a.tif").unlink()
    with pytest.raises(InputError, match="as if they were in micrometres.*--scale 1"):
        convert_text(tmp_path, text.replace("20.125,15.125", "17.6,3.1"), overwrite=True)


def test_markers_of_cell_counter_have_their_types_as_classes(site):
    """Markers are whole pixels; a type's name counts if it is no number; the image is named."""
    marker = "<Marker><MarkerX>{}</MarkerX><MarkerY>{}</MarkerY><MarkerZ>1</MarkerZ></Marker>"
    name = "<Image_Properties><Image_Filename>site_01.jpg</Image_Filename></Image_Properties>"
    kinds = (
        f"<Marker_Type><Type>1</Type><Name>Type 1</Name>{marker.format(20, 30)}</Marker_Type>"
        f"<Marker_Type><Type>2</Type><Name>dead</Name>{marker.format(70, 12)}</Marker_Type>"
        "<Marker_Type><Type>3</Type></Marker_Type>"
    )
    xml = f"<CellCounter_Marker_File>{name}<Marker_Data>{kinds}</Marker_Data></CellCounter_Marker_File>"
    convert_text(site, xml, name="CellCounter_x.xml")
    assert read(site / "new") == (TWO, ["1", "dead"])
    planes = xml.replace("<MarkerZ>1", "<MarkerZ>2", 1)
    with pytest.raises(InputError, match="points of slices 1 and 2"):
        convert_text(site, planes, name="CellCounter_y.xml", overwrite=True)


def roi(points, kind=ROI_TYPE.POINT, name=""):
    """Return the bytes of a region of ImageJ; whole numbers are stored as such."""
    made = ImagejRoi.frompoints(np.asarray(points), name=name)
    made.roitype = kind
    return made.tobytes()


def zip_of(files):
    """Return the bytes of a zip of {name: bytes or text}."""
    with zipfile.ZipFile(data := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def test_regions_of_imagej_are_points_or_centres(site):
    """Whole indices count from the centre, fractions from the corner; an area is its centre."""
    whole = roi(np.array(TWO, dtype=int))
    parts = np.array([(20.5, 30.5), (70.5, 12.5)], dtype=np.float32)
    for number, data in enumerate((whole, roi(parts))):
        convert_text(site, data, name="site_01.roi", overwrite=bool(number))
        assert read(site / "new") == (TWO, ["", ""])
    square = roi(np.array(SQUARE, np.float32) + 0.5, ROI_TYPE.POLYGON, "0012-0034")
    archive = zip_of({"0012-0034.roi": square, "cell.roi": roi(parts[1:], name="cell")})
    (site / "photos" / "site_02.jpg").unlink()
    with pytest.raises(InputError, match="Some points are cell, some have no"):
        convert_text(site, archive, name="RoiSet.zip", overwrite=True)
    convert_text(site, archive, name="RoiSet.zip", classes={"": "area"}, overwrite=True)
    assert read(site / "new") == (TWO, ["area", "cell"])
    with pytest.raises(InputError, match="is no region of ImageJ"):
        convert_text(site, b"Iout" + bytes(20), name="site_01.roi", overwrite=True)


def test_via_is_read_from_csv_json_and_project(site):
    """A point, and a box's centre; the class is the attribute; images without regions are told."""
    regions = [
        ({"name": "point", "cx": 20, "cy": 30}, {"kind": "seedling"}),
        ({"name": "rect", "x": 65, "y": 7, "width": 11, "height": 11}, {"kind": {"weed": True}}),
    ]
    entries = [{"shape_attributes": shape, "region_attributes": own} for shape, own in regions]
    image = {"filename": "site_01.jpg", "size": 4, "file_attributes": {}, "regions": entries}
    other = {"filename": "site_02.jpg", "size": 5, "file_attributes": {}, "regions": []}
    images = {"site_01.jpg4": image, "site_02.jpg5": other}
    old = {**images, "site_01.jpg4": {**image, "regions": dict(enumerate(entries))}}
    cells = [[json.dumps(part).replace('"', '""') for part in region] for region in regions]
    head = "filename,file_size,region_count,region_id,region_shape_attributes,region_attributes\n"
    rows = "".join(f'site_01.jpg,4,2,{i},"{a}","{b}"\n' for i, (a, b) in enumerate(cells))
    files = {
        "via.csv": f'{head}{rows}site_02.jpg,5,0,0,"{{}}","{{}}"\n',
        "via.json": json.dumps(images),
        "via1.json": json.dumps(old),
        "via_project.json": json.dumps({"_via_settings": {}, "_via_img_metadata": images}),
    }
    for name, text in files.items():
        found = convert_text(site, text, name=name, overwrite=True)
        assert found.notes[0] == "Recognised as via."
        assert read(site / "new") == (TWO, ["seedling", "weed"])
        assert any("never opened: --empty-is unlabelled" in note for note in found.notes)


def test_crowd_sets_are_read_from_json_and_texts(tmp_path):
    """NWPU's JSON, x y, and JHU's six numbers; fractions stay the kit's own texts."""
    nwpu = {"img_id": "a.jpg", "human_num": 2, "points": TWO, "boxes": [[0, 0, 1, 1]] * 2}
    texts = {
        "jsons/a.json": json.dumps(nwpu),
        "images/a.txt": "20 30\n70.0\t12\n",
        "gt/a.txt": "20 30 9 9 1 0\n70 12 9 9 1 0\n",
    }
    for number, (name, text) in enumerate(texts.items()):
        folder = tmp_path / str(number)
        save(folder / "images" / "a.jpg")
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        found = convert(folder, tmp_path / f"new{number}", picture=False)
        assert found.notes[0] == "Recognised as crowd."
        assert read(tmp_path / f"new{number}", "a.jpg") == (TWO, ["", ""])
    (tmp_path / "1" / "images" / "a.txt").write_text("0.2,0.3\n")
    assert recognise(tmp_path / "1").name == "txt"


def test_label_studios_csv_and_boxes_that_hold_keypoints(site):
    """Its CSV holds JSON in cells; a box around keypoints is no point of its own, and that is said."""
    eye = {"x": 21.354167, "y": 47.65625, "width": 0.4, "keypointlabels": ["eye"]}
    sized = {**eye, "original_width": 96, "original_height": 64}
    cell = json.dumps([sized]).replace('"', '""')
    head = "annotation_id,annotator,created_at,id,img,kp,lead_time,updated_at\n"
    convert_text(site, f'{head}1,1,now,1,/data/upload/3/1a2b3c4d-site_01.jpg,"{cell}",5,now\n')
    assert read(site / "new") == (ONE, ["eye"])
    box = {"x": 10, "y": 10, "width": 70, "height": 60, "rotation": 0, "rectanglelabels": ["cat"]}
    size = {"original_width": 96, "original_height": 64, "image_rotation": 0}
    for parent in ({"parentID": "b"}, {}):
        result = [
            {"id": "b", "type": "rectanglelabels", "value": box, **size},
            {"id": "k", "type": "keypointlabels", "value": eye, **size, **parent},
        ]
        task = {"data": {"img": "site_01.jpg"}, "annotations": [{"result": result}]}
        found = convert_text(site, json.dumps([task]), name="tasks.json", overwrite=True)
        assert read(site / "new") == (ONE, ["eye"])
        assert any("no points of their own: 1" in note for note in found.notes)


CVAT = (
    "<annotations><image id='0' name='{}' width='96' height='64'>"
    "<points label='bee' points='20.5,30.5;70.5,12.5'/></image></annotations>"
)


def test_zips_are_unpacked_within_limits(site):
    """A zip of CVAT, also in another zip; a path that leads out, or too much, is refused."""
    xml = CVAT.format("site_01.jpg")
    inner = zip_of({"annotations.xml": xml})
    for files in ({"annotations.xml": xml}, {"job_5_annotations.zip": inner}):
        convert_text(site, zip_of(files), name="task.zip", overwrite=True)
        assert read(site / "new")[0] == TWO
    with pytest.raises(InputError, match=r"'\.\./x' , which leads|'\.\./x', which leads out"):
        convert_text(site, zip_of({"../x": "1"}), name="bad.zip", overwrite=True)
    assert not (site.parent / "x").exists()
    huge = zip_of({"a.xml": bytes(80_000_000)})
    with pytest.raises(InputError, match="at most .* are unpacked"):
        convert_text(site, huge, name="huge.zip", overwrite=True)
    with pytest.raises(InputError, match=r"broken\.zip/annotations\.xml, line 1: not XML"):
        convert_text(site, zip_of({"annotations.xml": "<annotations><image "}), name="broken.zip",
                     overwrite=True)  # fmt: skip


def test_a_zip_of_roboflow_keeps_its_split(tmp_path):
    """train/ and valid/, each with its own COCO file: one dataset with its lists."""
    photo = io.BytesIO()
    Image.new("RGB", SHAPE[::-1]).save(photo, "JPEG")
    files = {}
    for part, name in (("train", "a.jpg"), ("valid", "b.jpg")):
        mark = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [15, 25, 10, 10], "iscrowd": 0}
        image = {"id": 0, "file_name": name, "width": 96, "height": 64}
        kinds = [{"id": 1, "name": "bee"}]
        data = {"images": [image], "annotations": [mark], "categories": kinds}
        files |= {f"{part}/_annotations.coco.json": json.dumps(data)}
        files |= {f"{part}/{name}": photo.getvalue()}
    (tmp_path / "export.zip").write_bytes(zip_of(files))
    convert(tmp_path / "export.zip", tmp_path / "new", picture=False)
    assert read(tmp_path / "new", "a.jpg") == read(tmp_path / "new", "b.jpg") == (HALF, ["bee"])
    assert (tmp_path / "new" / "train.txt").read_text() == "a.jpg\n"
    assert (tmp_path / "new" / "val.txt").read_text() == "b.jpg\n"


def test_images_never_opened_can_be_left_unlabelled(site):
    """COCO lists all images: those without annotations are told, and unlabelled on request."""
    images = [{"id": i, "file_name": f"site_0{i}.jpg", "width": 96, "height": 64} for i in (1, 2)]
    mark = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [15, 25, 10, 10], "iscrowd": 0}
    data = {"images": images, "annotations": [mark], "categories": [{"id": 1, "name": "bee"}]}
    found = convert_text(site, json.dumps(data), name="coco.json")
    assert (found.n_empty, found.n_unlabelled) == (1, 0)
    assert any("1 images are listed without points" in note for note in found.notes)
    found = convert_text(
        site, json.dumps(data), name="coco.json", empty_is="unlabelled", overwrite=True
    )
    assert (found.n_empty, found.n_unlabelled) == (0, 1)
    assert label_state(site / "new" / "images" / "site_02.jpg") == "unlabelled"
    with pytest.raises(InputError, match="expected empty or unlabelled"):
        convert_text(site, json.dumps(data), empty_is="nothing", overwrite=True)


@pytest.mark.parametrize("turn", range(1, 9))
def test_points_are_turned_as_their_pixels(turn):
    """A pixel of the stored image lands where the upright image has it, for each orientation."""
    stored = np.arange(12).reshape(3, 4)
    exif = Image.Exif()
    exif[274] = turn
    upright = stored.T if turn >= 5 else stored
    upright = upright[::-1] if turn in (3, 4, 7, 8) else upright
    upright = upright[:, ::-1] if turn in (2, 3, 6, 7) else upright
    points = np.array([(x, y) for y in range(3) for x in range(4)], dtype=float)
    turned = turn_points(points, stored.shape, turn).astype(int)
    assert [upright[y, x] for x, y in turned] == stored.ravel().tolist()


def test_swapped_sizes_mean_that_points_were_made_on_the_stored_image(tmp_path):
    """CVAT's file of a photo that is stored on its side: points are turned with it, and told."""
    save(tmp_path / "photos" / "site_01.jpg", turn=6)
    found = convert_text(tmp_path, CVAT.format("site_01.jpg"), name="annotations.xml")
    assert read(tmp_path / "new")[0] == [(33, 20), (51, 70)]
    assert any("are turned with them" in note for note in found.notes)


def test_where_no_size_is_told_a_turned_photo_is_a_note(tmp_path):
    """YOLO says no size: taken as shown, with a note; --unturned takes the stored image."""
    save(tmp_path / "set" / "site_01.jpg", turn=6)
    (tmp_path / "set" / "site_01.txt").write_text(f"0 {20.5 / 96} {30.5 / 64} 0.1 0.1\n")
    found = convert(tmp_path / "set", tmp_path / "new", from_="yolo", picture=False)
    assert any("which way up" in note and "--unturned" in note for note in found.notes)
    convert(tmp_path / "set", tmp_path / "turned", from_="yolo", unturned=True, picture=False)
    assert read(tmp_path / "turned")[0] == [(33, 20)]


@pytest.mark.parametrize("to", ["txt", "coco", "csv", "cvat", "yolo", "voc", "labelme", "qupath",
                                "spotiflow", "via", "crowd", "imagej", "labelstudio",
                                "dotdotgoose"])  # fmt: skip
def test_equal_names_in_two_folders_go_there_and_back(tmp_path, to):
    """cam1/0001.jpg and cam2/0001.jpg stay two images through each format that can hold them."""
    for place in ("cam1", "cam2"):
        save(tmp_path / "photos" / place / "0001.jpg")
    images = "".join(
        f"<image id='{i}' name='cam{i + 1}/0001.jpg' width='96' height='64'>"
        f"<points label='bee' points='{x + 0.5},{y + 0.5}'/></image>"
        for i, (x, y) in enumerate(TWO)
    )
    (tmp_path / "a.xml").write_text(f"<annotations>{images}</annotations>")
    convert(tmp_path / "a.xml", tmp_path / "there", images=tmp_path / "photos", to=to)
    convert(tmp_path / "there", tmp_path / "back", picture=False)
    for number, place in enumerate(("cam1", "cam2")):
        points, _ = read(tmp_path / "back", f"{place}/0001.jpg")
        np.testing.assert_allclose(points, TWO[number : number + 1], atol=2e-3)
    convert(tmp_path / "there", tmp_path / "flat", flatten=True, picture=False)
    assert read(tmp_path / "flat", "cam2_0001.jpg")[0]


def test_formats_of_one_folder_ask_to_flatten(tmp_path):
    """Dots lie in one folder: equal names are an error that names the option."""
    for place in ("cam1", "cam2"):
        save(tmp_path / "photos" / place / "0001.png")
    rows = "".join(f"cam{i}/0001.png,20,30\n" for i in (1, 2))
    (tmp_path / "t.csv").write_text(f"image,x,y\n{rows}")
    options = {"images": tmp_path / "photos", "to": "dots", "picture": False}
    with pytest.raises(InputError, match="--flatten"):
        convert(tmp_path / "t.csv", tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()
    convert(tmp_path / "t.csv", tmp_path / "new", flatten=True, **options)
    assert (tmp_path / "new" / "dots" / "cam1_0001.png").is_file()


def test_geojson_of_a_map_is_told_from_qupaths(site):
    """Coordinates of a map are named as such, and never left out as points outside."""

    def collection(*places):
        features = [
            {"type": "Feature", "properties": {},
             "geometry": {"type": "Point", "coordinates": place}} for place in places
        ]  # fmt: skip
        return json.dumps({"type": "FeatureCollection", "features": features})

    for places in ([[450123.4, 5412345.6]], [[13.40123, 52.51234], [13.40128, 52.51238]]):
        with pytest.raises(InputError, match="it looks like map coordinates. Give the GeoTIFF"):
            convert_text(site, collection(*places), name="site_01.geojson", skip=True)
    convert_text(site, collection([20.5, 30.5]), name="site_01.geojson")
    assert read(site / "new")[0] == ONE


def test_a_files_name_is_no_class(tmp_path):
    """`Label` that holds images' names, in a table called as an image, tells the images."""
    for name in ("a.jpg", "b.jpg"):
        save(tmp_path / "set" / name)
    (tmp_path / "set" / "a.csv").write_text("Label,X,Y\na.jpg,20,30\nb.jpg,70,12\n")
    convert(tmp_path / "set", tmp_path / "new", picture=False)
    assert read(tmp_path / "new", "a.jpg") == (ONE, [""])
    assert read(tmp_path / "new", "b.jpg") == (TWO[1:], [""])


def test_napari_saves_points_csv_beside_the_only_image(tmp_path):
    """Its default name is no image's: the only image is meant."""
    save(tmp_path / "set" / "nuclei.png")
    (tmp_path / "set" / "Points.csv").write_text("index,axis-0,axis-1\n0,30,20\n1,12,70\n")
    convert(tmp_path / "set", tmp_path / "new", picture=False)
    assert read(tmp_path / "new", "nuclei.png")[0] == TWO


def test_yolo_texts_of_a_split_find_images_elsewhere(site):
    """labels/train/a.txt without images beside: by stem, as in exports without images."""
    files = {"data.yaml": "names: [bee]", "labels/train/site_01.txt": "0 0.21354167 0.4765625 1 1"}
    (site / "export.zip").write_bytes(zip_of(files))
    convert(site / "export.zip", site / "new", images=site / "photos", picture=False)
    assert read(site / "new") == (ONE, ["bee"])


def test_yolo_texts_in_capitals_are_read(tmp_path):
    """A.TXT with Windows' line ends, beside A.JPG."""
    save(tmp_path / "set" / "A.JPG")
    (tmp_path / "set" / "A.TXT").write_bytes(b"0 0.21354167 0.4765625 0.1 0.1\r\n")
    convert(tmp_path / "set", tmp_path / "new", from_="yolo", picture=False)
    assert read(tmp_path / "new", "A.JPG")[0] == ONE
