"""Tests of what the formats in JSON share: streams, numbers, areas, which file is meant."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from json_sample import make_folder, write_json

from pointlib.errors import InputError
from pointlib.formats.shared import jsons
from pointlib.formats.shared.base import Pictures
from pointlib.formats.shared.jsons import one_each, one_json, read_table, stream_items
from pointlib.formats.shared.parts import area_centre

WANTED = {"marks": ("id", "list"), "": ("id",)}
SQUARE = np.array([(0, 0), (10, 0), (10, 4), (0, 4)], dtype=float)


def stream(tmp_path, data):
    """Return what the stream of a file gives."""
    path = tmp_path / "file.json"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return list(stream_items(path, WANTED))


# streams


def test_stream_gives_what_is_wanted_of_each_object(tmp_path):
    """Other sections and keys, and objects inside, are passed over however they look."""
    text = """{"info": {"marks": [1], "id": [[]]}, "more": [1, [2], {"id": 3}], "marks": [
        {"id": 1, "else": {"id": 5, "list": [6]}, "list": [1.5, [2, "x", {"id": 7}], null]},
        {}, {"deep": [[[{"id": 8}]]], "id": "b"}], "last": null}"""
    assert stream(tmp_path, text) == [
        ("marks", 0, {"id": 1, "list": [1.5, [2, "x", {}], None]}),
        ("marks", 1, {}),
        ("marks", 2, {"id": "b"}),
    ]


def test_stream_takes_a_bare_list_and_a_byte_order_mark(tmp_path):
    """A file that is a list itself is the section ""."""
    found = stream(tmp_path, b'\xef\xbb\xbf[{"id": 1}, {"x": 2}]')
    assert found == [("", 0, {"id": 1}), ("", 1, {})]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["id", "list", "else"]),
            st.recursive(
                st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=9),
                lambda inner: st.lists(inner, max_size=3),
                max_leaves=6,
            ),
        ),
        max_size=4,
    ),
    st.integers(1, 40),
)
def test_stream_gives_what_json_gives_in_pieces_of_any_size(tmp_path_factory, items, piece):
    """Wherever a file is cut into pieces, its objects are those that the json module reads."""
    path = tmp_path_factory.mktemp("stream") / "file.json"
    write_json(path, {"marks": items})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsons, "PIECE", piece)
        found = [item for *_, item in stream_items(path, WANTED)]
    items = json.loads(path.read_text())["marks"]
    assert found == [{k: v for k, v in item.items() if k != "else"} for item in items]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "not JSON .* export it again"),
        ("{", "not JSON"),
        ('{"marks": [{"id": 1}', "not JSON"),
        ('{"marks": []} x', "not JSON"),
        ('{"marks": [{"id": NaN}]}', "not JSON"),
        ('{"marks": [{"id": 1e999}]}', "not JSON"),
        ('{"marks": [{"id": ' + "9" * 5000 + "}]}", "not JSON"),
        (b'{"marks": [{"id": "\xff"}]}', "not JSON .lexical error: invalid bytes in UTF8 string"),
        ('{"marks": []}'.encode("utf-16"), "not JSON"),
        ("[" * 100_000, r"\[0\] is list; expected an object"),
        ('{"a":' * 100_000, "nested deeper than 100"),
        ('{"marks": [{"else": ' + "[" * 100_000, r"marks\[0\]: nested deeper than 100"),
        ('{"marks": [], "marks": []}', "has 'marks' twice"),
        ('{"marks": [{"id": 1, "id": 2}]}', r"marks\[0\] is an object with 'id' twice"),
        ('{"marks": [{}, 1]}', r"marks\[1\] is int; expected an object"),
        ('{"marks": [[]]}', r"marks\[0\] is list; expected an object"),
        ('{"marks": {}}', "is an object; expected a list"),
        ('{"marks": null}', "is NoneType; expected a list"),
        ("5", "is int; expected an object"),
    ],
)
def test_stream_refuses_what_it_cannot_read(tmp_path, data, message):
    """Cut off, broken, twice the same key, no numbers, nested too deep: a sentence each."""
    with pytest.raises(InputError, match=message):
        stream(tmp_path, data)


def test_stream_bounds_what_it_holds(tmp_path, monkeypatch):
    """One endless object, or one endless text even where it is passed over, is refused."""
    monkeypatch.setattr(jsons, "MOST_ITEM", 1_000_000)
    with pytest.raises(InputError, match=r"marks\[0\] is over 1 MB. Split it"):
        stream(tmp_path, '{"marks": [{"list": [' + "1," * 1_000_000 + "1]}]}")
    with pytest.raises(InputError, match=r"else\[0\] is over 1 MB. Split it"):
        stream(tmp_path, '{"else": "' + "a" * 2_000_000 + '"}')
    long = stream(tmp_path, '{"marks": [' + '{"id": 1, "list": [1, 2]}, ' * 90_000 + "{}]}")
    assert len(long) == 90_001


# areas and tables


@pytest.mark.parametrize("turn", [1, -1])
def test_area_centre_of_shapes_known_by_hand(turn):
    """A rectangle, an L of two, one with a hole; whichever way round they are drawn."""
    other = SQUARE + (10, 0)
    hole = np.array([(0, 0), (5, 0), (5, 4), (0, 4)], dtype=float)
    assert np.allclose(area_centre([SQUARE[::turn]]), (5, 2))
    assert np.allclose(area_centre([SQUARE, other[::turn]]), (10, 2))
    assert np.allclose(area_centre([SQUARE], [hole[::turn]]), (7.5, 2))


def test_area_centre_without_area_stays_among_the_corners():
    """Corners in a line, or all the same, have their mean; nothing is divided by zero."""
    assert np.allclose(area_centre([np.array([(0, 0), (4, 0), (8, 0.0)])]), (4, 0))
    assert np.allclose(area_centre([np.full((3, 2), 7.0)]), (7, 7))


def test_area_centre_moves_with_its_polygon():
    """Far from the origin the middle is as exact as near it."""
    ring = np.array([(0, 0), (3, 1), (2, 5), (-1, 4)], dtype=float)
    near, far = area_centre([ring]), area_centre([ring + 1e6])
    assert np.allclose(near + 1e6, far, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    "values",
    [None, 5, ["ab"], [[1]], [["1", "2"]], [[True, False]], [[1, None]], [[10**400, 1]], [{}], []],
)
def test_read_table_refuses_what_is_no_list_of_places(values):
    """Texts, yes and no, and what has no two numbers are refused with a sentence."""
    with pytest.raises(InputError, match="here: .*expected (a list of .x, y.|1 or more, finite)"):
        read_table(values, "here")


# which file is meant


def looks(path):
    """Return whether a test's file holds yes."""
    return "yes" in path.read_text()


def test_one_json_is_the_one_that_looks_right(tmp_path):
    """Of several files the one that fits, wherever such folders have it; else a sentence."""
    make_folder(tmp_path)
    pictures = Pictures(tmp_path)
    with pytest.raises(InputError, match=r"holds 0 JSON files .*none at all.*Name the file"):
        one_json(tmp_path, pictures, looks)
    (tmp_path / "annotations").mkdir()
    only = write_json(tmp_path / "annotations" / "only.json", "no")
    assert one_json(tmp_path, pictures, looks) == only
    right, _ = write_json(tmp_path / "x.json", "yes"), write_json(tmp_path / "y.json", "no")
    assert one_json(tmp_path, pictures, looks) == right
    write_json(tmp_path / "z.json", "yes")
    with pytest.raises(InputError, match=r"holds 2 JSON files .*x\.json, z\.json"):
        one_json(tmp_path, pictures, looks)


def test_one_each_takes_what_is_named_like_an_image(tmp_path):
    """A broken file beside its image is not passed over; one of another kind elsewhere is."""
    make_folder(tmp_path)
    beside = write_json(tmp_path / "images" / "a.json", "broken")
    write_json(tmp_path / "other.json", "no")
    write_json(tmp_path / "images" / ".a.json", "yes")
    assert one_each(tmp_path, Pictures(tmp_path), (".json",), looks) == [beside]
    with pytest.raises(InputError, match=r"holds no file of this format \(.geo, .json\)"):
        one_each(tmp_path, Pictures(tmp_path), (".geo", ".json"), looks)


def test_nothing_is_listed_of_what_is_no_folder(tmp_path):
    """Looking at what is not there finds nothing."""
    assert not jsons.files_in(tmp_path / "nowhere", ".json")
    assert not list(jsons.heads(tmp_path / "nowhere", ".json"))


def test_read_size_is_two_whole_numbers_or_none():
    """Height first; a size of zero, a text or infinity is no size."""
    data = SimpleNamespace(get={"h": 100.0, "w": 200, "zero": 0, "text": "9", "far": 1e308}.get)
    assert jsons.read_size(data, ("h", "w")) == (100, 200)
    for name in ("zero", "text", "far", "missing"):
        assert jsons.read_size(data, ("h", name)) is None
