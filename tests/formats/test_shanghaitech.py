"""Tests of `shanghaitech`: crowd sets' MATLAB files, and what no stranger's file may do."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from pointlib.errors import InputError
from pointlib.formats import FORMATS, convert
from pointlib.formats.shared.base import Pictures, Record
from pointlib.formats.shared.mat5 import HEADER, read_mat

FORM = FORMATS["shanghaitech"]
SHAPE = (100, 200)
VALUES = np.array([(11, 20.75), (30.5, 40.5)])  # from the edge, of the points here
POINTS = [[10.5, 20.25], [30, 40]]


def cell(value):
    """Return a 1 x 1 cell array as savemat takes it."""
    array = np.empty((1, 1), dtype=object)
    array[0, 0] = value
    return array


def info(values):
    """Return what a GT_IMG file of ShanghaiTech holds: a cell with a struct location, number."""
    return {"image_info": cell({"location": values, "number": len(values)})}


def to_mat(variables, **options):
    """Return the bytes of a MATLAB file."""
    savemat(data := io.BytesIO(), variables, **options)
    return data.getvalue()


def make(folder, files, images=("IMG_1.jpg",)):
    """Return a folder of pictures 200 x 100 and files {name: bytes}."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in images:
        Image.new("L", SHAPE[::-1]).save(folder / "images" / name)
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def read(source):
    """Return {image name: list of points}."""
    pictures = Pictures(source)
    records = FORM.read(source, pictures, FORM)
    return {record.image.name: record.points.tolist() for record in records}


@pytest.mark.parametrize("do_compression", [False, True])
@pytest.mark.parametrize(
    "variables",
    [
        info(VALUES),
        {"image_info": {"location": VALUES, "number": 2}},  # no cell round it
        {"image_info": cell({"number": 2, "location": VALUES})},
        {"image_info": cell({"xy": VALUES, "number": 2})},  # another name: the first field
        {"image_info": cell(cell({"location": VALUES}))},
        {"image_info": cell({"location": VALUES[None]})},  # (1, N, 2)
        {"annPoints": VALUES, "annBoxes": np.zeros((2, 4))},
        {"locations": VALUES.astype(np.float32), "note": "text"},
    ],
)
def test_all_nestings_lead_to_the_points(tmp_path, variables, do_compression):
    """ShanghaiTech, UCF-QNRF and what others' scripts save of them, compressed or not."""
    files = {"ground_truth/GT_IMG_1.mat": to_mat(variables, do_compression=do_compression)}
    assert read(make(tmp_path, files)) == {"IMG_1.jpg": POINTS}


def test_whole_numbers_of_any_kind_are_points(tmp_path):
    """MATLAB stores doubles that are whole numbers in fewer bytes; others save them as such."""
    for kind in ("u1", "i2", "u2", "i4", "f4", "i8", "u8"):
        files = {"GT_IMG_1.mat": to_mat({"annPoints": np.array([[11, 21], [3, 4]], dtype=kind)})}
        assert read(make(tmp_path, files)) == {"IMG_1.jpg": [[10.5, 20.5], [2.5, 3.5]]}


def test_pixel_is_the_one_that_public_code_takes(tmp_path):
    """Half a pixel, from first principles: density[int(y), int(x)] = 1, whichever way it goes."""
    density = np.zeros(SHAPE)
    for values in ([[10.0, 20.0]], [[10.99, 20.99]], [[10.5, 20.5]]):
        ((x, y),) = read(make(tmp_path, {"GT_IMG_1.mat": to_mat(info(np.array(values)))}))[
            "IMG_1.jpg"
        ]
        assert (abs(x - 10), abs(y - 20)) <= (0.5, 0.5)
    assert (x, y) == (10, 20)
    record = Record(tmp_path / "images" / "IMG_1.jpg", SHAPE, np.array([(10, 20)]), np.array([""]))
    FORM.write(tmp_path, [record], FORM)
    data = loadmat(tmp_path / "ground_truth" / "GT_IMG_1.mat")
    for x, y in data["image_info"][0, 0][0, 0][0]:
        density[int(y), int(x)] = 1
    assert np.argwhere(density).tolist() == [[20, 10]]


def test_usual_line_of_code_reads_what_is_written(tmp_path):
    """mat["image_info"][0, 0][0, 0][0] is (N, 2), [1] the count; also of one point and of none."""
    for n in (0, 1, 2):
        record = Record(tmp_path / "a.png", SHAPE, np.array(POINTS)[:n], np.full(n, ""))
        FORM.write(tmp_path / str(n), [record], FORM)
        info = loadmat(tmp_path / str(n) / "ground_truth" / "GT_a.mat")["image_info"][0, 0][0, 0]
        assert info[0].tolist() == VALUES[:n].tolist()
        assert info[0].shape == (n, 2)
        assert info[1].item() == n


@pytest.mark.parametrize(
    "name",
    [
        "ground_truth/GT_IMG_1.mat",
        "ground-truth/GT_IMG_1.mat",
        "GT_IMG_1.mat",
        "images/IMG_1_ann.mat",
        "gt/IMG_1.mat",
        "images/IMG_1.jpg.mat",
        "mats/IMG_1.mat",
    ],
)
def test_files_are_found_where_the_sets_have_them(tmp_path, name):
    """Folders and names of ShanghaiTech, UCF-QNRF and NWPU."""
    make(tmp_path, {name: to_mat(info(VALUES))}, images=["IMG_1.jpg", "IMG_2.jpg"])
    assert read(tmp_path) == {"IMG_1.jpg": POINTS}
    assert FORM.looks(tmp_path)


def test_folder_of_truth_can_be_the_source(tmp_path):
    """Its images lie beside it."""
    make(tmp_path, {"ground-truth/GT_IMG_1.mat": to_mat(info(VALUES))})
    assert read(tmp_path / "ground-truth") == {"IMG_1.jpg": POINTS}
    assert read(tmp_path / "ground-truth" / "GT_IMG_1.mat") == {"IMG_1.jpg": POINTS}


@pytest.mark.parametrize("values", [np.empty((0, 0)), np.empty((0, 2)), np.empty((1, 0))])
def test_file_without_points_says_nothing_there(tmp_path, values):
    """MATLAB's [] and its like."""
    make(tmp_path, {"GT_IMG_1.mat": to_mat({"annPoints": values})})
    assert read(tmp_path) == {"IMG_1.jpg": []}


class Thing:
    """Something that a pickle or a MATLAB object could be."""


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"other": VALUES}, r"GT_IMG_1\.mat has other; expected image_info, annPoints"),
        ({"annPoints": VALUES.T[:, [0, 1, 1]]}, r"shape \(2, 3\); expected \(N, 2\). Transpose it"),
        ({"annPoints": np.zeros((3, 4))}, r"shape \(3, 4\); expected \(N, 2\)"),
        ({"annPoints": np.zeros((2, 3, 2))}, r"shape \(2, 3, 2\); expected"),
        ({"annPoints": [[1, np.nan]]}, r"a point is NaN or infinite"),
        ({"annPoints": [[1, 2j]]}, r"annPoints is complex numbers; expected numbers"),
        ({"annPoints": "text"}, r"annPoints is text; expected numbers"),
        ({"image_info": cell("text")}, r"image_info is text"),
    ],
)
def test_what_is_no_table_of_points_is_a_sentence(tmp_path, variables, message):
    """Each names the file, what came and what is needed."""
    make(tmp_path, {"GT_IMG_1.mat": to_mat(variables)})
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def element(kind, body, order="<"):
    """Return one element of a MATLAB file, padded."""
    return struct.pack(f"{order}II", kind, len(body)) + body + b"\0" * (-len(body) % 8)


def matrix(kind, shape, *parts, name=b"annPoints", order="<", flags=0):
    """Return a matrix element of a class and shape, with its parts."""
    head = element(6, struct.pack(f"{order}II", kind | flags, 0), order)
    head += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, head + element(1, name, order) + b"".join(parts), order)


def header(sign=b"IM", text=b"MATLAB 5.0 MAT-file"):
    """Return the 128 bytes that come first."""
    return text.ljust(124) + (b"\0\1" if sign == b"IM" else b"\1\0") + sign


def test_either_order_of_bytes_is_read(tmp_path):
    """By hand, as the description of the format has it: a matrix of doubles, little and big."""
    for order, sign in (("<", b"IM"), (">", b"MI")):
        numbers = element(9, VALUES.T.astype(f"{order}f8").tobytes(), order)
        path = tmp_path / "a.mat"
        path.write_bytes(header(sign) + matrix(6, (2, 2), numbers, order=order))
        assert read_mat(path)["annPoints"].tolist() == VALUES.tolist()


NESTED = matrix(6, (0, 0), element(9, b""), name=b"")
for _ in range(60):
    NESTED = matrix(1, (1, 1), NESTED, name=b"annPoints")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a MATLAB file of version 5. Save it with -v7"),
        (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF", "version 7.3. Save it with -v7"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "version 7.3. Save it with -v7"),
        (to_mat({"annPoints": VALUES}, format="4"), "is not a MATLAB file of version 5"),
        (header() + matrix(1, (30_000, 30_000)), "900,000,000 cells; at most 10,000"),
        (header() + matrix(1, (9_999, 1)), "cell of the unknown kind 0"),
        (header() + matrix(1, (-1, 3)), r"a shape of \(-1, 3\)"),
        (header() + matrix(2, (1, 1), element(5, struct.pack("i", 0))), "names of 0 bytes"),
        (header() + matrix(6, (2**31 - 1, 2**31 - 1), element(9, b"")), "cannot reshape"),
        (header() + matrix(6, (1, 1), element(99, bytes(8))), "unknown type 99"),
        (header() + matrix(6, (1, 1)), "unknown type 0"),
        (header() + element(14, b"\1"), "requires a buffer"),
        (header() + struct.pack("II", 14, 2**31) + bytes(64), "of 2,147,483,648 bytes has only 64"),
        (header() + NESTED, "cells nested deeper than 16"),
        (header() + struct.pack("II", 15, 8) + b"notzlib!", "incorrect header check"),
        (header() + matrix(16, (1, 1)), "annPoints is a function"),
        (header() + matrix(5, (1, 1)), "annPoints is a sparse matrix"),
        (header() + matrix(3, (1, 1)), "annPoints is an object"),
    ],
)
def test_hostile_files_are_sentences(tmp_path, data, message):
    """Nothing is made before its bytes are there, and no object comes to life (LESSONS 27)."""
    make(tmp_path, {"GT_IMG_1.mat": data})
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_opaque_objects_are_not_read(tmp_path):
    """What MATLAB writes of a table or a string: flags, name, maker, class, and its own code."""
    body = element(6, struct.pack("<II", 17, 0)) + element(1, b"annPoints") + element(1, b"MCOS")
    body += element(1, b"table") + matrix(13, (1, 1), element(6, bytes(4)))
    make(tmp_path, {"GT_IMG_1.mat": header() + element(14, body)})
    with pytest.raises(InputError, match="annPoints is an object; expected numbers"):
        read(tmp_path)


def test_bombs_are_not_inflated(tmp_path):
    """A variable that declares too much is refused by its first eight bytes, many by their sum."""
    huge = element(14, bytes(8))[:4] + struct.pack("<I", 2**31) + bytes(10**6)
    packed = zlib.compress(huge)
    make(tmp_path, {"GT_IMG_1.mat": header() + struct.pack("<II", 15, len(packed)) + packed})
    with pytest.raises(InputError, match="variables of more than 64 MB"):
        read(tmp_path)
    zeros = zlib.compress(matrix(9, (40_000_000, 1), element(2, bytes(40_000_000))))
    twice = 2 * (struct.pack("<II", 15, len(zeros)) + zeros)
    make(tmp_path, {"GT_IMG_1.mat": header() + twice})
    with pytest.raises(InputError, match="variables of more than 64 MB"):
        read(tmp_path)


@pytest.mark.parametrize("do_compression", [False, True])
def test_damaged_files_raise_nothing_else(tmp_path, do_compression):
    """Every byte may be another one, every length too: an InputError, or numbers."""
    data = to_mat(info(VALUES) | {"note": "text"}, do_compression=do_compression)
    rng, path = random.Random(3), tmp_path / "a.mat"  # noqa: S311
    for _ in range(400):
        broken = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            broken[rng.randrange(HEADER, len(data))] = rng.choice([0, 1, 5, 14, 255, 128])
        path.write_bytes(broken[: rng.choice([len(data), rng.randrange(len(data))])])
        try:
            read_mat(path)
        except InputError:
            continue


def test_points_outside_can_be_left_out(tmp_path):
    """As ShanghaiTech has some: an error that names the way out."""
    values = np.vstack([VALUES, [(1125, 50), (200, 100)]])
    make(tmp_path / "in", {"ground_truth/GT_IMG_1.mat": to_mat(info(values))})
    with pytest.raises(InputError, match=r"IMG_1\.jpg: points\[2\].*Leave them out with --skip"):
        convert(tmp_path / "in", tmp_path / "new")
    found = convert(tmp_path / "in", tmp_path / "new", skip=True)
    assert (found.n_points, found.classes) == (3, ("point",))
