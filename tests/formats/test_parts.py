"""Tests of what several formats share: centres of shapes, boxes round points, text in XML."""

import numpy as np
import pytest

from pointlib.errors import InputError
from pointlib.formats.shared.parts import (
    area_centre,
    box_centre,
    half_sides,
    head_of,
    plain,
    read_size,
    xml_text,
)


def test_area_centre_of_a_known_shape():
    """An L of three unit squares: the mean of their middles, not of its corners."""
    corners = np.array([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)])
    expected = np.mean([(0.5, 0.5), (1.5, 0.5), (0.5, 1.5)], axis=0)
    assert np.allclose(area_centre([np.array(corners)]), expected)
    assert np.allclose(area_centre([np.array(corners[::-1])]), expected)
    assert np.allclose(area_centre([np.array([*corners, corners[0]])]), expected)


def test_area_centre_moves_with_the_polygon():
    """Far from zero no digit is lost, as it would be if the triangles met there."""
    corners = np.array([(0, 0), (3, 0), (3, 2), (0, 2)])
    assert np.allclose(
        area_centre([np.array(corners + 1e7)]), (1e7 + 1.5, 1e7 + 1), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    "corners",
    [[(3, 4)], [(0, 0), (2, 4)], [(1, 1), (2, 2), (3, 3)], [(0, 0), (2, 2), (2, 0), (0, 2)]],
)
def test_area_centre_without_area_is_the_mean_of_its_corners(corners):
    """A point, a line and an outline that crosses itself have no area to go by."""
    assert np.allclose(area_centre([np.array(corners)]), np.mean(corners, axis=0))


def test_area_centre_lies_among_its_corners():
    """Whatever the corners, crossing or not, it never flies off."""
    rng = np.random.default_rng(3)
    for n_corners in range(1, 30):
        corners = rng.normal(size=(n_corners, 2)) * 10 ** rng.uniform(-3, 6)
        centre = area_centre([np.array(corners)])
        assert (corners.min(axis=0) <= centre).all()
        assert (centre <= corners.max(axis=0)).all()


def test_box_centre_refuses_a_box_the_wrong_way_round():
    """Sides in the wrong order are told with the four numbers."""
    assert box_centre((1, 2, 4, 8), "here") == (2.5, 5)
    with pytest.raises(InputError, match=r"here: the box from 1, 8 to 4, 2 ends before it begins"):
        box_centre((1, 8, 4, 2), "here")


def test_half_sides_never_leave_the_image():
    """Point and half a side lie between the edges, and no side is longer than asked for."""
    points = np.random.default_rng(4).uniform(-0.5, [199.5, 99.5], (500, 2))
    halves = half_sides(points, (100, 200), 16)
    assert (points - halves >= -0.5).all()
    assert (points + halves <= [199.5, 99.5]).all()
    assert halves.max() == 8
    assert (halves[np.abs(points - [99.5, 49.5]).max(axis=1) < 40] == 8).all()


def test_read_size_is_height_first():
    """Width comes first in every file, height in every shape (LESSONS 16); 0 is unknown."""
    assert read_size("200", "100", "here") == (100, 200)
    assert read_size("0", "100", "here") is None
    assert read_size(None, "100", "here") is None
    with pytest.raises(InputError, match="here: .*expected numbers width, height"):
        read_size("wide", "100", "here")


def test_plain_writes_what_a_person_would():
    """Six decimals at most, and no noughts at the end."""
    assert [plain(v) for v in (10.5, 30.0, 0.1 + 0.2, 1 / 3, 100.0, -1e-9)] == [
        "10.5", "30", "0.3", "0.333333", "100", "0",
    ]  # fmt: skip


def test_xml_text_escapes_what_would_end_it():
    """Markup, quotes and line ends are written so that a parser gives them back."""
    assert xml_text('<a&"b">\n') == "&lt;a&amp;&quot;b&quot;&gt;&#10;"
    with pytest.raises(InputError, match="which XML cannot hold"):
        xml_text("a\ufffe")


def test_head_of_skips_empty_files_and_named_ones(tmp_path):
    """It is the first file that can tell; nothing is told of what is not there."""
    (tmp_path / "classes.txt").write_text("cell")
    (tmp_path / "a.txt").write_text("")
    assert head_of(tmp_path, ".txt", but=("classes.txt",)) == ""
    (tmp_path / "b.txt").write_text("0 1")
    assert head_of(tmp_path, ".txt", but=("classes.txt",)) == "0 1"
    assert head_of(tmp_path / "nowhere", ".txt") == ""
