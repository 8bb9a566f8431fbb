"""Tests of `masks`: one value an object, masks of yes and no, and what is never unpickled."""

import pickle

import numpy as np
import pytest
import tifffile
from PIL import Image

from pointlib.errors import InputError
from pointlib.formats import FORMATS, convert
from pointlib.formats.shared.base import Pictures, Record
from pointlib.images import read_image, write_image

FORM = FORMATS["masks"]
SHAPE = (100, 200)
POINTS = [[10, 20], [30.5, 41], [120, 60]]


def draw(values=(1, 2, 3)):
    """Return a label image (H, W): a pixel, 2 x 3 pixels, and 5 x 5 pixels in the middle."""
    mask = np.zeros(SHAPE, dtype=np.uint16)
    mask[20, 10] = values[0]
    mask[40:43, 30:32] = values[1]
    mask[58:63, 118:123] = values[2]
    return mask


def make(folder, files, images=("a.png",)):
    """Return a folder of pictures 200 x 100 and files {name: array, or bytes}."""
    for name in images:
        write_image(folder / name, np.full(SHAPE, 90, dtype=np.uint8))
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            path.write_bytes(data)
        elif path.suffix == ".npy":
            np.save(path, data)
        elif path.suffix == ".tif":
            tifffile.imwrite(path, data)
        else:
            write_image(path, data)
    return folder


def read(source, images=None):
    """Return {image name: sorted list of points}."""
    records = FORM.read(source, Pictures(source, images), FORM)
    return {record.image.name: sorted(record.points.tolist()) for record in records}


def test_single_pixel_is_a_point_in_its_middle(tmp_path):
    """Half a pixel, from first principles: the only pixel above 0 is at its own column and row."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[20, 10] = 1
    assert read(make(tmp_path, {"masks/a.png": mask})) == {"a.png": [[10, 20]]}


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("a.png", draw().astype(np.uint8)),
        ("a.png", draw((500, 7, 65535))),
        ("a.tif", draw((500, 7, 1)).astype(np.uint32) * 1000),  # as napari saves labels
        ("a.tif", draw().astype(np.int32)),
        ("a.tif", draw().astype(np.float32)),
        ("a.npy", draw().astype(np.int64)),
        ("a.npy", draw().astype(">u2")),
        ("a.npy", np.asfortranarray(draw())),
    ],
)
def test_objects_are_the_means_of_their_pixels(tmp_path, name, mask):
    """8, 16 and 32 bits, in any order of values."""
    assert read(make(tmp_path, {f"masks/{name}": mask})) == {"a.png": POINTS}


def test_scikit_image_finds_the_same_centroids(tmp_path):
    """Of a label image of its own, and of one that was written here."""
    measure = pytest.importorskip("skimage.measure")
    data = pytest.importorskip("skimage.data")
    coins = measure.label(data.coins()[:100, :200] > 140)
    make(tmp_path, {"masks/a.png": coins.astype(np.uint16)})
    expected = sorted([x, y] for y, x in (p.centroid for p in measure.regionprops(coins)))
    assert len(expected) > 9
    assert np.allclose(read(tmp_path)["a.png"], expected, rtol=0, atol=1e-9)
    points = np.array(expected)
    FORM.write(
        tmp_path, [Record(tmp_path / "a.png", SHAPE, points, np.full(len(points), ""))], FORM
    )
    regions = measure.regionprops(read_image(tmp_path / "masks" / "a.png"))
    found = np.array(sorted(p.centroid for p in regions))[:, ::-1]
    assert np.array_equal(np.unique(found, axis=0), np.unique(np.rint(points), axis=0))


def test_colours_are_objects_and_palettes_numbers(tmp_path):
    """A colour an object, without alpha; a palette's numbers count, whatever their colours."""
    colours = np.zeros((*SHAPE, 4), dtype=np.uint8)
    colours[..., 3] = 255
    for value, colour in enumerate([(255, 0, 0), (0, 255, 0), (255, 0, 1)], start=1):
        colours[draw() == value, :3] = colour
    assert read(make(tmp_path / "rgba", {"masks/a.png": colours})) == {"a.png": POINTS}
    picture = Image.fromarray(draw().astype(np.uint8), mode="P")
    picture.putpalette([255, 255, 255] + 255 * [7, 7, 7])  # ImageJ's: white, and others alike
    make(tmp_path / "palette", {"masks/b.png": draw()})
    picture.save(tmp_path / "palette" / "masks" / "a.png")
    (tmp_path / "palette" / "masks" / "b.png").unlink()
    assert read(tmp_path / "palette") == {"a.png": POINTS}


@pytest.mark.parametrize("value", [1, 255])
def test_yes_and_no_are_told_apart_into_pieces(tmp_path, value):
    """One value in several pieces; pixels that touch over a corner are one piece."""
    mask = draw((value, value, value))
    mask[63:65, 123] = value
    found = read(make(tmp_path, {"masks/a.png": mask}))["a.png"]
    assert found[:2] == POINTS[:2]
    assert len(found) == 3


def test_one_object_is_one_object(tmp_path):
    """A mask of one value in one piece has one; so have two values, one of them in two pieces."""
    assert read(make(tmp_path, {"masks/a.png": draw((0, 0, 9))})) == {"a.png": POINTS[2:]}
    make(tmp_path, {"masks/a.png": draw((5, 5, 9))})
    assert len(read(tmp_path)["a.png"]) == 2


def test_colours_that_keep_neighbours_apart_are_no_numbers(tmp_path):
    """As BBBC039's: two values, eleven pieces; those that touch differ in value."""
    mask = np.zeros((*SHAPE, 4), dtype=np.uint8)
    for i in range(10):
        mask[10:15, 18 * i : 18 * i + 5, 0] = 1 + i % 2
    mask[15:20, 0:5, 0] = 2
    found = read(make(tmp_path, {"masks/a.png": mask}))["a.png"]
    assert found == [[2, 12], [2, 17]] + [[18 * i + 2, 12] for i in range(1, 10)]


def test_black_mask_says_nothing_there(tmp_path):
    """An image without a mask is not labelled yet."""
    files = {"masks/a.png": np.zeros(SHAPE, dtype=np.uint8)}
    assert read(make(tmp_path, files, images=["a.png", "b.png"])) == {"a.png": []}


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("a.tif", "a_cp_masks.png"),
        ("a.tif", "a_cp_masks.tif"),
        ("a.png", "a_mask.png"),
        ("a.png", "a_masks.tif"),
        ("a.png", "a_masks.npy"),
        ("a_img.png", "a_masks.png"),  # Cellpose's own training set
        ("a.jpg", "labels/a.png"),
        ("images/a.tif", "masks/a.tif"),
        ("images/a.png", "masks/a_mask.png"),
        ("images/img_7.png", "masks/mask_7.png"),
        ("images/7.png", "masks/mask7.png"),
        ("train/images/a.png", "train/masks/a.png"),
    ],
)
def test_masks_are_no_images(tmp_path, image, file):
    """Names and folders of Cellpose, StarDist and others; convert brings images and nothing else."""
    make(tmp_path / "in", {file: draw()}, images=[image])
    found = convert(tmp_path / "in", tmp_path / "new", from_="masks")
    assert (found.n_images, found.n_labelled, found.n_points) == (1, 1, 3)
    if "train" not in image:
        assert FORM.looks(tmp_path / "in")


def test_folder_of_masks_alone_is_recognised(tmp_path):
    """The folder `masks` itself may be named, with that of its images."""
    make(tmp_path, {"masks/a.png": draw(), "images/a.png": draw()}, images=[])
    with pytest.raises(InputError, match="Name the images' folder with --images"):
        convert(tmp_path / "masks", tmp_path / "new")
    found = convert(tmp_path / "masks", tmp_path / "new", images=tmp_path / "images")
    assert (found.n_images, found.n_points) == (1, 3)


def test_folder_of_cellpose_brings_its_images(tmp_path):
    """What Cellpose leaves beside an image: a pickle, flows, outlines and a picture of them all."""
    grey = np.full(SHAPE, 9, dtype=np.uint8)
    files = {"a_cp_masks.png": draw(), "a_seg.npy": pickle.dumps({"masks": 1})}
    files |= {"a_flows.tif": grey, "a_outlines.png": grey, "a_cp_output.png": grey}
    make(tmp_path / "in", files, images=["a.png", "b_flows.png"])
    found = convert(tmp_path / "in", tmp_path / "new")
    assert (found.n_images, found.n_points) == (2, 3)


@pytest.mark.parametrize("wrapped", [False, True])
def test_pickles_are_never_loaded(tmp_path, wrapped):
    """Cellpose's _seg.npy alone: a sentence that says what to save instead (LESSONS 27)."""

    class Bomb:
        def __reduce__(self):
            return (tmp_path / "touched").touch, ()

    make(tmp_path, {"a_seg.npy": np.array(Bomb()) if wrapped else pickle.dumps(Bomb())})
    with pytest.raises(InputError, match=r"a_seg\.npy is not a plain array.*save the masks as PNG"):
        read(tmp_path)
    assert not (tmp_path / "touched").exists()


def test_one_mask_an_object(tmp_path):
    """As the Data Science Bowl has it: all masks of a folder are of the one image beside it."""
    for name in ("one", "two"):
        masks = {f"{name}/masks/{i:x}f3a.png": 255 * (draw() == i).astype("u1") for i in (1, 2, 3)}
        make(tmp_path, masks, images=[f"{name}/images/{name}.png"])
    assert read(tmp_path) == {"one.png": POINTS, "two.png": POINTS}


def test_written_masks_have_a_value_each(tmp_path):
    """One pixel an object, values from 1; points on the outermost edges are in the outermost."""
    points = np.array([(-0.5, -0.5), (199.5, 99.5), (10.4, 20.25), (9.6, 19.75)])
    FORM.write(tmp_path, [Record(tmp_path / "a.png", SHAPE, points, np.full(4, ""))], FORM)
    mask = read_image(tmp_path / "masks" / "a.png")
    assert mask.dtype == np.uint16
    assert np.argwhere(mask).tolist() == [[0, 0], [20, 10], [99, 199]]
    assert sorted(mask[mask > 0]) == [1, 2, 3]


def test_more_objects_than_16_bits_hold(tmp_path):
    """A TIFF of 32 bits, read back whole."""
    shape = (300, 310)
    y, x = np.divmod(np.arange(0, 2 * 300 * 155, 1), 310)
    write_image(tmp_path / "images" / "a.png", np.zeros(shape, dtype=np.uint8))
    points = np.column_stack([x, y])
    record = Record(tmp_path / "images" / "a.png", shape, points, np.full(len(points), ""))
    FORM.write(tmp_path, [record], FORM)
    (found,) = FORM.read(tmp_path, Pictures(tmp_path), FORM)
    assert np.array_equal(np.unique(found.points, axis=0), np.unique(points, axis=0))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"masks/a.png": np.zeros((100, 201), "u1")}, r"has shape \(100, 201\).*its image \(100, 2"),
        ({"masks/a.npy": np.zeros((3, *SHAPE), "u1")}, r"has shape \(3, 100, 200\)"),
        ({"masks/a.npy": np.zeros(SHAPE)}, r"not a plain array of whole numbers \(float64\)"),
        ({"masks/a.npy": draw().astype(np.int32) - 1}, r"values from -1 to 2; expected 0 to 16777"),
        ({"masks/a.npy": b"PK\x03\x04"}, r"a\.npy is not a plain array of whole numbers"),
        ({"masks/a.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<u2', 'fortran_order': False, "
          b"'shape': (100000, 100000), }".ljust(128)}, r"a\.npy is not a plain array"),
        ({"masks/a.tif": draw().astype(np.float32) / 2}, r"a\.tif has fractions"),
        ({"masks/a.tif": draw().astype(np.float32) * 2**24}, r"values from 0 to .*expected 0 to 16"),
        ({"masks/a.png": b"no picture"}, r"a\.png cannot be read as an image"),
        ({"masks/b.png": draw()}, r"b\.png: image 'b' is not in"),
        ({"a_mask.png": draw(), "a_label.png": draw()}, r"both belong to a\.png. Remove one"),
        ({}, r"has no file of points \(\.png.*nor a folder masks"),
    ],
)  # fmt: skip
def test_mistakes_are_sentences(tmp_path, files, message):
    """Each names the file, what came and what is needed."""
    with pytest.raises(InputError, match=message):
        read(make(tmp_path, files))


def test_folder_of_masks_needs_its_images(tmp_path):
    """Named as the source it leads to its images only when told where they are."""
    make(tmp_path, {"masks/a.png": draw()}, images=["pictures of it/a.png"])
    for source in (tmp_path / "masks", tmp_path / "masks" / "a.png"):
        with pytest.raises(InputError, match=r"--images|image 'a' is not in"):
            read(source)
        assert read(source, tmp_path / "pictures of it") == {"a.png": POINTS}
