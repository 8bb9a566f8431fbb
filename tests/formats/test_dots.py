"""Tests of `dots`: one pixel an object, dots drawn with a brush, and where their pictures lie."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pointlib.errors import InputError
from pointlib.formats import FORMATS, convert
from pointlib.formats.dots import _solid
from pointlib.formats.shared.base import Pictures, Record
from pointlib.images import read_image, write_image

FORM = FORMATS["dots"]
SHAPE = (100, 200)
POINTS = [[10, 20], [30, 40], [199, 99]]


def draw(points=POINTS, shape=SHAPE, value=255):
    """Return a black picture (H, W) with a pixel for each x, y."""
    dots = np.zeros(shape, dtype=np.uint8)
    for x, y in points:
        dots[y, x] = value
    return dots


def red(dots):
    """Return a grey picture as red on black."""
    return np.stack([dots, 0 * dots, 0 * dots], axis=2)


def make(folder, files, images=("a.png",)):
    """Return a folder of pictures 200 x 100 and pictures {name: array}."""
    for name in images:
        write_image(folder / name, np.full(SHAPE, 90, dtype=np.uint8))
    for name, array in files.items():
        write_image(folder / name, array)
    return folder


def read(source, images=None):
    """Return {image name: sorted list of points}."""
    records = FORM.read(source, Pictures(source, images), FORM)
    return {record.image.name: sorted(record.points.tolist()) for record in records}


@pytest.mark.parametrize(
    "dots",
    [
        draw(),
        draw(value=1),
        red(draw()),
        np.dstack([red(draw()), np.full(SHAPE, 255, dtype=np.uint8)]),  # alpha is no dot
        np.dstack([draw(), np.full(SHAPE, 255, dtype=np.uint8)]),
        draw().astype(np.uint16) * 256,
        draw() > 0,
    ],
    ids=["grey", "one", "red", "RGBA", "LA", "16 bits", "1 bit"],
)
def test_pixel_above_zero_is_a_point_in_its_middle(tmp_path, dots):
    """Half a pixel, from first principles: the only lit pixel is at its own column and row."""
    assert read(make(tmp_path, {"dots/a.png": dots})) == {"a.png": POINTS}


def test_palette_counts_by_its_colours(tmp_path):
    """Number 1 may be black and number 0 red."""
    picture = Image.fromarray((draw() == 0).astype(np.uint8), mode="P")
    picture.putpalette([255, 0, 0, 0, 0, 0])
    make(tmp_path, {})
    (tmp_path / "dots").mkdir()
    picture.save(tmp_path / "dots" / "a.png")
    assert read(tmp_path) == {"a.png": POINTS}


def test_black_picture_says_nothing_there(tmp_path):
    """An image without a picture of dots is not labelled yet."""
    files = {"dots/a.png": draw([])}
    assert read(make(tmp_path, files, images=["a.png", "b.png"])) == {"a.png": []}


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("001cell.png", "001dots.png"),
        ("image-1-000001.jpg", "image-1-000001dots.png"),
        ("a.png", "a_dots.png"),
        ("a.png", "a-dots.tif"),
        ("a.png", "dots/a.png"),
        ("a.jpg", "dots/a_dots.png"),
        ("images/a.png", "dots/a.png"),
        ("images/a.png", "images/a_dots.png"),
        ("train/images/a.png", "train/dots/a.png"),
    ],
)
def test_pictures_of_dots_are_no_images(tmp_path, image, file):
    """Names and folders of VGG, TRANCOS and MBM; convert brings the images and nothing else."""
    make(tmp_path / "in", {file: draw()}, images=[image])
    found = convert(tmp_path / "in", tmp_path / "new", from_="dots")
    assert (found.n_images, found.n_labelled, found.n_points) == (1, 1, 3)
    if "train" not in image:
        assert FORM.looks(tmp_path / "in")


def test_touching_pixels_are_objects_of_their_own(tmp_path):
    """As all code counts them that sums such pictures: a row, a diagonal, an L."""
    points = [[5, 5], [6, 5], [7, 5], [20, 20], [21, 21], [40, 50], [40, 51], [41, 51]]
    assert read(make(tmp_path, {"dots/a.png": draw(points)})) == {"a.png": points}


@pytest.mark.parametrize(
    "brush", [np.ones((3, 3)), np.ones((2, 2)), ndimage.generate_binary_structure(2, 1)]
)
def test_dots_of_a_brush_are_one_object_each(tmp_path, brush):
    """At their centroid; so is a single pixel among them."""
    dots = draw([(90, 90)])
    height, width = brush.shape
    for x, y in [(10, 20), (30, 40)]:
        dots[y : y + height, x : x + width][brush > 0] = 255
    half = (width - 1) / 2
    expected = [[10 + half, 20 + half], [30 + half, 40 + half], [90, 90]]
    assert read(make(tmp_path, {"dots/a.png": dots})) == {"a.png": expected}


def test_crowded_pixels_are_no_brush(tmp_path):
    """Squares that come about by chance among many points are four objects each."""
    points = np.random.default_rng(3).uniform(0, (199, 99), (2000, 2))
    write_image(tmp_path / "images" / "a.png", np.zeros(SHAPE, dtype=np.uint8))
    record = Record(tmp_path / "images" / "a.png", SHAPE, points, np.full(2000, ""))
    FORM.write(tmp_path, [record], FORM)
    pixels = np.unique(np.rint(points), axis=0).tolist()
    assert read(tmp_path) == {"a.png": pixels}
    assert _solid(read_image(tmp_path / "dots" / "a.png")[:, :, 0] > 0).any()


def test_solid_is_a_square_or_a_cross():
    """Against a search of every place, on pictures of every density."""
    for seed in range(20):
        dots = np.random.default_rng(seed).random((9, 13)) < 0.1 + 0.04 * seed
        expected = np.zeros_like(dots)
        for y in range(9):
            for x in range(13):
                square = [(y, x), (y + 1, x), (y, x + 1), (y + 1, x + 1)]
                cross = [(y, x), (y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                for form in (square, cross):
                    inside = all(0 <= j < 9 and 0 <= i < 13 for j, i in form)
                    if inside and all(dots[j, i] for j, i in form):
                        for j, i in form:
                            expected[j, i] = True
        assert (_solid(dots) == expected).all()


def test_written_dots_are_red_and_inside(tmp_path):
    """Red 255, one pixel a point; points on the outermost edges are in the outermost pixels."""
    points = np.array([(-0.5, -0.5), (199.5, 99.5), (10.4, 20.25), (9.6, 19.75)])
    FORM.write(tmp_path, [Record(tmp_path / "a.png", SHAPE, points, np.full(4, ""))], FORM)
    dots = read_image(tmp_path / "dots" / "a.png")
    assert np.argwhere(dots[:, :, 0] == 255).tolist() == [[0, 0], [20, 10], [99, 199]]
    assert dots.sum() == 3 * 255


def test_merged_points_are_told_before_writing(tmp_path):
    """Two points in a pixel are one there; the source keeps them."""
    (tmp_path / "kit").mkdir()
    make(tmp_path / "kit", {})
    (tmp_path / "kit" / "a.txt").write_text("0.0525,0.2025\n0.0525,0.2025\n0.7,0.7\n")
    told = []
    convert(tmp_path / "kit", tmp_path / "new", from_="txt", to="dots", log=told.append)
    assert "Lost: 1 points that coincide with another." in told
    assert len(read(tmp_path / "new")["a.png"]) == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"dots/a.png": draw(shape=(100, 201))}, r"a\.png has shape \(100, 201\).*image \(100, 2"),
        ({"dots/a.png": np.full(SHAPE, 3, dtype=np.uint8)}, r"100% of its pixels above 0"),
        ({"dots/b.png": draw()}, r"b\.png: image 'b' is not in"),
        ({"b_dots.png": draw()}, r"b_dots\.png: image 'b' is not in"),
        ({}, r"has no file of points \(\.png.*nor a folder dots"),
    ],
)
def test_mistakes_are_sentences(tmp_path, files, message):
    """Each names the file, what came and what is needed."""
    with pytest.raises(InputError, match=message):
        read(make(tmp_path, files))


def test_folder_of_dots_needs_its_images(tmp_path):
    """Named as the source it leads to its images only when told where they are."""
    make(tmp_path, {"dots/a.png": draw()}, images=["photos of it/a.png"])
    with pytest.raises(InputError, match=r"in another folder. Name the images' folder with --ima"):
        read(tmp_path / "dots")
    assert read(tmp_path / "dots", tmp_path / "photos of it") == {"a.png": POINTS}


def test_broken_picture_is_a_sentence(tmp_path):
    """Cut off, or no picture at all."""
    make(tmp_path, {"dots/a.png": draw()})
    path = tmp_path / "dots" / "a.png"
    for data in (path.read_bytes()[:60], b"no picture"):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"a\.png cannot be read as an image"):
            read(tmp_path)
