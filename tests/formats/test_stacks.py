"""Stacks as single images: maximum projections and pages, axes, folders."""

import numpy as np
import pytest
import tifffile

from pointlib.cli import main
from pointlib.errors import InputError
from pointlib.formats.stacks import flatten_stacks, read_stack
from pointlib.images import read_image, write_image
from pointlib.points import read_points, text_path, write_points

STACK = np.random.default_rng(1).integers(0, 60_000, (5, 24, 32), dtype=np.uint16)


@pytest.mark.parametrize("options", [{}, {"metadata": {"axes": "ZYX"}}, {"compression": "zlib"},
                                     {"imagej": True, "metadata": {"axes": "ZYX"}}])  # fmt: skip
def test_a_stack_becomes_its_maximum_or_one_page(tmp_path, options):
    """Each pixel is the brightest of its column, or the page's, from 1; the dtype stays."""
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack", **options)
    assert np.array_equal(read_stack(tmp_path / "a.tif"), STACK.max(axis=0))
    for page in (1, 5):
        assert np.array_equal(read_stack(tmp_path / "a.tif", page=page), STACK[page - 1])
    with pytest.raises(InputError, match=r"a\.tif has 5 pages; there is no page 6"):
        read_stack(tmp_path / "a.tif", page=6)


def test_values_of_a_stack_stay(tmp_path):
    """32-bit integers, which float32 cannot hold, come through to the last bit."""
    stack = np.array([[[16_777_217, 5]], [[3, 9]]], dtype=np.int32)
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata={"axes": "ZYX"}, photometric="minisblack")
    flatten_stacks(tmp_path / "a.tif", tmp_path / "flat")
    assert tifffile.imread(tmp_path / "flat" / "a.tif").tolist() == [[16_777_217, 9]]


def test_pages_of_different_sizes_are_no_stack(tmp_path):
    """Two sizes in one file are refused, not halved or copied."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for plane in (*STACK[:2], STACK[0, :12], STACK[1, :12]):
            file.write(plane, photometric="minisblack")
    with pytest.raises(InputError, match="images, of .*which are no stack"):
        flatten_stacks(tmp_path / "a.tif", tmp_path / "flat")


def test_channels_of_a_stack_stay(tmp_path):
    """ZCYX becomes (H, W, C), each channel its own maximum."""
    stack = np.stack([STACK, STACK[::-1] // 2], axis=1)
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata={"axes": "ZCYX"}, photometric="minisblack")
    found = read_stack(tmp_path / "a.tif")
    assert np.array_equal(found, np.moveaxis(stack.max(axis=0), 0, 2))


def test_a_maximum_over_time_is_refused(tmp_path):
    """Times are no depth: what moves would be there twice; one page is taken on request."""
    tifffile.imwrite(tmp_path / "a.tif", STACK, metadata={"axes": "TYX"}, photometric="minisblack")
    with pytest.raises(InputError, match="a maximum over time or the like would mix them"):
        read_stack(tmp_path / "a.tif")
    assert np.array_equal(read_stack(tmp_path / "a.tif", page=2), STACK[1])


def test_a_folder_of_stacks_becomes_a_folder_of_images(tmp_path, capsys):
    """Stacks are flattened, others and texts of points copied; nothing is written over."""
    folder = tmp_path / "stacks"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", STACK, metadata={"axes": "ZYX"}, photometric="minisblack")
    write_image(folder / "b.png", STACK[0])
    write_points(text_path(folder / "a.tif"), [(3, 4)], STACK.shape[1:])
    assert main(["pages", str(folder), str(tmp_path / "flat")]) == 0
    assert "1 stacks (maximum projections)" in capsys.readouterr().out
    assert np.array_equal(read_image(tmp_path / "flat" / "a.tif"), STACK.max(axis=0))
    assert np.array_equal(read_image(tmp_path / "flat" / "b.png"), STACK[0])
    points, _ = read_points(tmp_path / "flat" / "a.txt", STACK.shape[1:])
    np.testing.assert_allclose(points, [(3, 4)], atol=1e-6)
    assert main(["pages", str(folder), str(tmp_path / "flat")]) == 2
    assert "already exists. Give the name of a new folder" in capsys.readouterr().err


def test_a_stack_that_fails_leaves_nothing_behind(tmp_path):
    """All or nothing: a page that one of two stacks lacks makes no folder."""
    folder = tmp_path / "stacks"
    folder.mkdir()
    for name, n_pages in (("a", 5), ("b", 3)):
        tifffile.imwrite(folder / f"{name}.tif", STACK[:n_pages], photometric="minisblack")
    with pytest.raises(InputError, match=r"b\.tif has 3 pages"):
        flatten_stacks(folder, tmp_path / "flat", page=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stacks"]
    with pytest.raises(InputError, match="page is 0; expected a number from 1"):
        flatten_stacks(folder, tmp_path / "flat", page=0)
