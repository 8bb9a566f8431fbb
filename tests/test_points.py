"""Tests of the coordinate convention, of checking points, and of the text files."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pointlib.errors import InputError
from pointlib.points import (
    _parse_lines,
    _plain_rows,
    boxes_to_points,
    check_points,
    class_names,
    label_state,
    masks_to_points,
    nearest_distances,
    read_points,
    text_path,
    to_pixels,
    to_relative,
    write_points,
)

SHAPES = [(1, 1), (3, 7), (480, 640), (20_000, 13_001)]


FRACTIONS = ["0.5", "0.05500000", "1.0", "0." + 30 * "9", "0", "1", ".5", "1.01", "-0.1", "5e-1"]
WORDS = ["nan", "0.1_2", "\u0660.5", "", "cell", "weiße Zelle", "a-1.b", "a\u00a0", "_"]
LINES = st.lists(st.sampled_from(FRACTIONS + WORDS), min_size=1, max_size=4).map(",".join)
FEW_LINES = st.lists(LINES, max_size=4).map("\n".join)
ODD_TEXT = st.text("01.,\n ae-\u00a0\u0660\x0b\x1c\u2028", max_size=20)


def random_points(shape, n=200, seed=0):
    """Return points all over an image, its corners among them."""
    height, width = shape
    low, high = (-0.5, -0.5), (width - 0.5, height - 0.5)
    inside = np.random.default_rng(seed).uniform(low, high, (n, 2))
    return np.concatenate([inside, [low, high, (low[0], high[1])]])


# convention


def test_to_relative_counts_from_the_edges():
    """The four corners of the image are 0 and 1; the first pixel's centre is half a pixel in."""
    corners = [(-0.5, -0.5), (199.5, 99.5), (0, 0), (99.5, 49.5)]
    expected = [(0, 0), (1, 1), (0.5 / 200, 0.5 / 100), (0.5, 0.5)]
    assert np.allclose(to_relative(corners, (100, 200)), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("shape", SHAPES)
def test_to_pixels_undoes_to_relative(shape):
    """There and back is exact to a millionth of a pixel, up to 20,000 of them."""
    points = random_points(shape)
    assert np.abs(to_pixels(to_relative(points, shape), shape) - points).max() < 1e-9


def test_to_pixels_moves_points_with_a_resize():
    """The same fractions in an image twice as large follow (p + 0.5) s - 0.5."""
    points = random_points((48, 64))
    larger = to_pixels(to_relative(points, (48, 64)), (96, 128))
    assert np.allclose(larger, (points + 0.5) * 2 - 0.5)


@pytest.mark.parametrize("shape", [(100,), (100, 200, 3), (0, 200)])
def test_to_relative_wants_height_and_width(shape):
    """A shape that is not (H, W) is refused, with the way out."""
    with pytest.raises(InputError, match=r"expected \(H, W\). Use image.shape\[:2\]"):
        to_relative([(1, 2)], shape)


# checking


@pytest.mark.parametrize("points", [[], np.empty((0, 2)), np.empty(0), ()])
def test_check_points_of_nothing_is_an_empty_table(points):
    """No points are (0, 2), whatever they came in."""
    found = check_points(points, shape=(10, 20))
    assert found.shape == (0, 2)
    assert found.dtype == np.float64


def test_check_points_keeps_duplicates_and_order():
    """Two points on the same pixel are legal (LESSONS 5)."""
    points = [(3, 4), (1, 2), (3, 4)]
    assert np.array_equal(check_points(points, shape=(10, 20)), points)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([1, 2], r"shape \(2,\); expected \(N, 2\)"),
        (np.zeros((2, 5)), r"shape \(2, 5\); expected \(N, 2\). Use clicks.T"),
        (np.zeros((5, 3)), r"shape \(5, 3\); expected \(N, 2\)"),
        ([(1, 2), (np.nan, 3)], r"clicks\[1\] is \[nan, 3.0\]; expected finite"),
        ([(1, np.inf)], r"clicks\[0\] is \[1.0, inf\]"),
        ([("a", "b")], "clicks is not a table of numbers"),
        ([(1, 2), (3,)], "clicks is not a table of numbers"),
        ([None], "clicks"),
    ],
)
def test_check_points_says_what_is_wrong(points, message):
    """Each wrong table has its sentence, which uses the caller's name for it."""
    with pytest.raises(InputError, match=message):
        check_points(points, name="clicks")


def test_check_points_refuses_points_outside():
    """The first point outside is named, and how many there are."""
    points = [(5, 5), (20, 5), (5, -3)]
    with pytest.raises(InputError, match=r"\[1\] is \[20.0, 5.0\].*width 20 and height 10.*2 of 3"):
        check_points(points, shape=(10, 20))


def test_check_points_hints_at_swapped_axes():
    """Rows and columns in the wrong order, which fit when swapped, are recognised (LESSONS 16)."""
    points = random_points((480, 640))
    with pytest.raises(InputError, match=r"swapped all would fit: use points\[:, ::-1\]"):
        check_points(points[:, ::-1], shape=(480, 640))


@pytest.mark.parametrize("shape", SHAPES)
def test_check_points_includes_the_edges(shape):
    """The image covers -0.5 to size - 0.5, edges included."""
    assert len(check_points(random_points(shape), shape=shape)) == 203


def test_check_points_puts_rounding_back_onto_the_edge():
    """A point that arithmetic carried over the edge is moved by less than a millionth."""
    found = check_points([(-0.5 - 1e-9, 9.5 + 1e-9)], shape=(10, 20))
    assert np.array_equal(found, [(-0.5, 9.5)])


# boxes and masks


def test_boxes_to_points_gives_centres():
    """The box round one pixel has that pixel's centre; others the middle of their edges."""
    boxes = [(0, 0, 1, 1), (7, 3, 8, 4), (0, 0, 20, 10)]
    assert np.array_equal(boxes_to_points(boxes), [(0, 0), (7, 3), (9.5, 4.5)])
    assert boxes_to_points([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([(5, 5, 4, 9)], r"boxes\[0\] is \[5.0, 5.0, 4.0, 9.0\]; expected x_min"),
        ([(0, 0, np.nan, 1)], r"boxes\[0\]"),
        ([(1, 2)], r"expected \(N, 4\)"),
    ],
)
def test_boxes_to_points_refuses_what_is_no_box(boxes, message):
    """Width and height in the place of edges, where they show, and tables of other shapes."""
    with pytest.raises(InputError, match=message):
        boxes_to_points(boxes)


def test_masks_to_points_gives_centroids_by_value():
    """Objects come by rising value as (x, y), gaps in the numbers and all."""
    mask = np.zeros((6, 9), int)
    mask[1, 2:5] = 7
    mask[3:5, 8] = 2
    assert np.array_equal(masks_to_points(mask), [(8, 3.5), (3, 1)])


def test_masks_to_points_agrees_with_the_mean_of_pixels():
    """Each centroid is the plain mean of its object's pixels, for scattered objects too."""
    mask = np.random.default_rng(1).integers(0, 6, (13, 29)).astype(np.uint16)
    means = [np.argwhere(mask == value)[:, ::-1].mean(axis=0) for value in range(1, 6)]
    assert np.allclose(masks_to_points(mask), means)


def test_masks_to_points_of_background_is_empty():
    """No object, no point."""
    assert masks_to_points(np.zeros((6, 9), np.uint8)).shape == (0, 2)


@pytest.mark.parametrize(
    "mask", [np.zeros((6, 9), bool), np.zeros((6, 9)), np.zeros((6, 9, 3), int)]
)
def test_masks_to_points_refuses_what_numbers_no_objects(mask):
    """A mask of yes and no does not tell objects apart."""
    with pytest.raises(InputError, match=r"expected whole numbers \(H, W\).*ndimage.label"):
        masks_to_points(mask)


# files


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("cat.JPG", "cat.txt"),
        ("cat.jpeg", "cat.txt"),
        ("a.b.png", "a.b.txt"),
        ("x.jpg/cat.jpg", "x.jpg/cat.txt"),
        (".jpg.d/cat.jpg.png", ".jpg.d/cat.jpg.txt"),
    ],
)
def test_text_path_changes_the_last_suffix_alone(image, text):
    """Only the file's own last suffix goes, in any case, wherever else it occurs (LESSONS 17)."""
    assert text_path(image).as_posix() == text


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (None, "unlabelled"),
        (b"", "empty"),
        (b"\n\r\n  \n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"0.5,0.5", "labelled"),
    ],
)
def test_label_state_tells_not_yet_from_nothing_there(tmp_path, content, state):
    """No file and an empty file are two facts (LESSONS 18)."""
    if content is not None:
        (tmp_path / "cat.txt").write_bytes(content)
    assert label_state(tmp_path / "cat.PNG") == state


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("labels", [None, "ab"])
def test_read_points_returns_what_was_written(tmp_path, shape, labels):
    """Points come back to the eighth decimal of the size, in order, with their labels."""
    points = random_points(shape)
    labels = None if labels is None else np.resize(["WBC", "weiße Zelle"], len(points))
    write_points(tmp_path / "a.txt", points, shape, labels=labels)
    found, names = read_points(tmp_path / "a.txt", shape)
    assert np.abs(found - points).max() <= 0.51e-8 * max(shape)
    assert names.tolist() == (list(labels) if labels is not None else [""] * len(points))
    assert check_points(found, shape=shape).shape == found.shape


def test_write_points_writes_the_documented_lines(tmp_path):
    """Lines hold x first, as fractions of the edges, with eight decimals and LF line ends."""
    path, points = tmp_path / "a.txt", [(10.5, 20.25), (-0.5, 99.5)]
    write_points(path, points, (100, 200), labels=["cell", "dot"])
    assert path.read_bytes() == b"0.05500000,0.20750000,cell\n0.00000000,1.00000000,dot\n"
    write_points(path, read_points(path, (100, 200))[0], (100, 200))
    assert path.read_bytes() == b"0.05500000,0.20750000\n0.00000000,1.00000000\n"


def test_write_points_is_stable_over_rewriting(tmp_path):
    """Reading and writing again changes no byte, so that saving does not wear points away."""
    path = tmp_path / "a.txt"
    write_points(path, random_points((480, 641)), (480, 641))
    before = path.read_bytes()
    write_points(path, read_points(path, (480, 641))[0], (480, 641))
    assert path.read_bytes() == before


def test_write_points_of_nothing_says_nothing_there(tmp_path):
    """No points make an empty file, which reads as labelled and empty."""
    write_points(tmp_path / "a.txt", [], (100, 200))
    assert label_state(tmp_path / "a.png") == "empty"
    points, labels = read_points(tmp_path / "a.txt", (100, 200))
    assert (points.shape, labels.shape) == ((0, 2), (0,))


def test_write_points_keeps_duplicates(tmp_path):
    """Two points at one place stay two (LESSONS 5 and 13)."""
    write_points(tmp_path / "a.txt", [(3, 4), (3, 4)], (10, 20))
    assert len(read_points(tmp_path / "a.txt", (10, 20))[0]) == 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"], "1 labels for 2 points"),
        (["a", ""], "Some points are a, some have no class"),
        (["a,b", "c"], r"'a,b' has a comma"),
        (["a\n", "c"], "a line break"),
        ([" a", "c"], "a space at either end"),
    ],
)
def test_write_points_refuses_labels_it_could_not_read_back(tmp_path, labels, message):
    """Such labels are an error, and what stood in the file stays."""
    write_points(tmp_path / "a.txt", [(1, 1)], (10, 20))
    before = (tmp_path / "a.txt").read_bytes()
    with pytest.raises(InputError, match=message):
        write_points(tmp_path / "a.txt", [(1, 1), (2, 2)], (10, 20), labels=labels)
    assert (tmp_path / "a.txt").read_bytes() == before


def test_write_points_refuses_points_outside(tmp_path):
    """Nothing is written that could not be read."""
    with pytest.raises(InputError, match="outside the image"):
        write_points(tmp_path / "a.txt", [(1, 15)], (10, 20))
    assert not (tmp_path / "a.txt").exists()


@settings(max_examples=300, deadline=None)
@given(st.one_of(FEW_LINES, FEW_LINES.map("{}\n".format), ODD_TEXT))
@example("0.5,0.5,a\n0.5,0.5\n")
@example("0.5,0.5\n\n0.5,0.5")
@example("0.5,0.5,a\x1c\n")
def test_plain_texts_are_read_alike_fast_and_line_by_line(text):
    """The fast way gives what the careful one gives, or leaves the text to it; never an error."""
    if (rows := _plain_rows(text)) is not None:
        assert rows == _parse_lines(text, "a.txt")


@pytest.mark.parametrize("labels", [None, ["WBC", "weiße Zelle", "a-1.b", "_"]])
@pytest.mark.parametrize("n", [0, 4])
def test_written_texts_go_the_fast_way(tmp_path, labels, n):
    """What the kit writes is plain; a line that is not takes the careful way to its error."""
    points = random_points((100, 200))[-n:] if n else []
    write_points(tmp_path / "a.txt", points, (100, 200), labels=labels and labels[:n])
    text = (tmp_path / "a.txt").read_text(encoding="utf-8")
    assert len(_plain_rows(text)) == n
    for line in ("1.01,0.5", "nan,0.5", "0.5", "0.5,0.5,", "0.5,0.5,a,b", "-0.5,0.5"):
        assert _plain_rows(f"{text}{line}\n") is None


def test_read_points_takes_what_editors_make_of_a_file(tmp_path):
    """A byte order mark, CRLF, spaces, blank lines, exponents and a missing last line end."""
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf0.5,2.5e-1, cell \r\n\r\n 1, .5,dot\r0,0.,x")
    points, labels = read_points(tmp_path / "a.txt", (100, 200))
    assert np.allclose(points, [(99.5, 24.5), (199.5, 49.5), (-0.5, -0.5)])
    assert labels.tolist() == ["cell", "dot", "x"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1.01,0.5", "outside the image; expected fractions"),
        ("0.5,-0.01", "outside the image"),
        ("135,270", "For pixels use convert"),
        ("nan,0.5", "does not read as x,y"),
        ("0.5,inf", "does not read as x,y"),
        ("x,y", "does not read as x,y"),
        ("0.5", "does not read as x,y"),
        ("0.5 0.5", "does not read as x,y"),
        ("0.1_2,0.5", "does not read as x,y"),
        ("0.5,0.5,a,b", "a label without a comma"),
        ("0.5,0.5,", "empty label. Remove the last comma"),
        ("cell,0.5,0.5", "label first; expected x,y,label"),
        ("0 0.5 0.5 0.1 0.1", "this looks like YOLO, use convert"),
        ("0,0.5,0.5,0.1,0.1", "this looks like YOLO, use convert"),
        ("0.3,0.3", "no label, unlike the first"),
    ],
)
def test_read_points_names_file_and_line(tmp_path, line, message):
    """Every line that cannot be meant is an error with the file, the line and what it says."""
    (tmp_path / "a.txt").write_text(f"0.2,0.2,cell\n{line}\n")
    with pytest.raises(InputError, match=rf"a\.txt, line 2: '{line}'.*{message}"):
        read_points(tmp_path / "a.txt", (100, 200))


def test_read_points_names_a_label_that_came_late(tmp_path):
    """The other way round: labels that begin below."""
    (tmp_path / "a.txt").write_text("0.2,0.2\n0.3,0.3,cell\n")
    with pytest.raises(InputError, match=r"line 2: .* has a label, unlike the first"):
        read_points(tmp_path / "a.txt", (100, 200))


def test_read_points_refuses_what_is_no_text(tmp_path):
    """The image in the place of its text, and a file that is not there."""
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(InputError, match=r"a\.png is not UTF-8 text"):
        read_points(tmp_path / "a.png", (100, 200))
    with pytest.raises(InputError, match=r"b\.txt does not exist"):
        read_points(tmp_path / "b.txt", (100, 200))


# classes and distances


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([list("hgfe"), [], list("dcbah")], tuple("abcdefgh")),
        ([["", ""], [""]], ("point",)),
        ([[], []], ("point",)),
        ([], ("point",)),
    ],
)
def test_class_names_are_sorted_or_point(labels, classes):
    """Named classes come sorted; files that name none have one class, "point"."""
    assert class_names([np.array(part, dtype=str) for part in labels]) == classes


def test_class_names_refuses_a_mixture():
    """Some points named and some not, over files too, is an error that shows the names."""
    with pytest.raises(InputError, match=r"Some points are a, b, some have no class"):
        class_names([["b", "a"], [""]])


def test_nearest_distances_match_a_plain_search():
    """Each is the least distance to any other point."""
    points = random_points((48, 64), n=40)
    table = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(table, np.inf)
    assert np.allclose(nearest_distances(points), table.min(axis=1))


def test_nearest_distances_of_few_points_are_defined():
    """None, one alone, and two at one place (LESSONS 5)."""
    assert nearest_distances([]).shape == (0,)
    assert nearest_distances([(3, 4)]).tolist() == [np.inf]
    assert nearest_distances([(3, 4), (3, 4), (6, 8)]).tolist() == [0, 0, 5]
