"""Windows: parts of a picture, whatever its file, are the parts of the whole."""

import json

import numpy as np
import pytest
import tifffile

from pointlib.errors import InputError
from pointlib.images import read_image, write_image
from pointlib.windows import fits_whole, is_zarr, open_windows

zarr = pytest.importorskip("zarr")
SPANS = [(0, 7, 0, 9), (30, 64, 17, 90), (63, 150, 0, 211), (149, 150, 210, 211)]


def picture(shape, dtype=np.uint8, *, seed=0):
    """Return an image of noise."""
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def agree(path, whole, **options):
    """Assert that windows of a file are those of an array."""
    with open_windows(path, **options) as opened:
        assert opened.shape == whole.shape
        height, width = whole.shape[:2]
        for top, low, left, far in SPANS:
            bottom, right = min(low, height), min(far, width)
            part = opened.read(top, bottom, left, right)
            assert part.dtype == opened.dtype == whole.dtype
            assert np.array_equal(part, whole[top:bottom, left:right])


@pytest.mark.parametrize("shape", [(150, 211), (150, 211, 3), (150, 211, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("options", [{"tile": (64, 48)}, {"rowsperstrip": 7}, {"bigtiff": True}])
def test_windows_of_a_tiff_are_parts_of_the_image(tmp_path, shape, dtype, options):
    """Tiles, strips and BigTIFF, of any depth and number of channels."""
    image, path = picture(shape, dtype), tmp_path / "a.tif"
    kind = "rgb" if shape[2:] == (3,) else "minisblack"
    extra = {"planarconfig": "contig"} if len(shape) == 3 else {}
    tifffile.imwrite(path, image, photometric=kind, compression="zlib", **options, **extra)
    agree(path, read_image(path))


def test_windows_of_planes_and_of_white_is_zero(tmp_path):
    """Channels first come last; a file whose white is 0 is inverted, as read_image has it."""
    planes = picture((3, 150, 211))
    tifffile.imwrite(tmp_path / "p.tif", planes, photometric="rgb", planarconfig="separate")
    agree(tmp_path / "p.tif", np.moveaxis(planes, 0, 2))
    tifffile.imwrite(tmp_path / "w.tif", picture((150, 211)), photometric="miniswhite")
    agree(tmp_path / "w.tif", read_image(tmp_path / "w.tif"))


def test_levels_of_a_pyramid(tmp_path):
    """An OME-TIFF with subresolutions: each level is its own picture, the full size is known."""
    full, path = picture((160, 224)), tmp_path / "a.ome.tif"
    half = full.reshape(80, 2, 112, 2).mean(axis=(1, 3)).astype(np.uint8)
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(full, subifds=1, tile=(64, 64), metadata={"axes": "YX"})
        file.write(half, subfiletype=1, tile=(64, 64))
    agree(path, full)
    agree(path, half, level=1)
    with open_windows(path, level=1) as opened:
        assert (opened.full, opened.n_levels) == ((160, 224), 2)
    with pytest.raises(InputError, match=r"has 2 level\(s\); level 2 is not one"):
        open_windows(path, level=2)


@pytest.mark.parametrize("version", [2, 3])
def test_windows_of_an_ome_zarr(tmp_path, version):
    """Both layouts: axes t, c, z, y, x with one plane; the channels come last."""
    planes, path = picture((1, 3, 1, 150, 211)), tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=version)
    for name, array in (("0", planes), ("1", planes[..., ::2, ::2])):
        chunks = (1, 1, 1, 64, 64)
        made = group.create_array(name, shape=array.shape, chunks=chunks, dtype=array.dtype)
        made[:] = array
    scales = [{"axes": [{"name": a} for a in "tczyx"], "datasets": [{"path": "0"}, {"path": "1"}]}]
    group.attrs.update(
        {"multiscales": scales} if version == 2 else {"ome": {"multiscales": scales}}
    )
    assert is_zarr(path)
    agree(path, np.moveaxis(planes[0, :, 0], 0, 2))
    agree(path, np.moveaxis(planes[0, :, 0, ::2, ::2], 0, 2), level=1)


def test_other_files_are_read_whole(tmp_path):
    """A PNG has windows too; it is one level."""
    image = picture((150, 211, 3))
    write_image(tmp_path / "a.png", image)
    agree(tmp_path / "a.png", image)
    assert fits_whole(tmp_path / "a.png")
    with pytest.raises(InputError, match="level 1 is not one"):
        open_windows(tmp_path / "a.png", level=1)


def test_a_picture_beyond_the_limit_is_for_windows(tmp_path, monkeypatch):
    """What read_image refuses for its size is read in parts; what is broken stays an error."""
    image, path = picture((150, 211)), tmp_path / "a.tif"
    tifffile.imwrite(path, image, tile=(64, 64))
    monkeypatch.setattr("pointlib.images.MAX_BYTES", 1000)
    assert not fits_whole(path)
    agree(path, image)
    (tmp_path / "b.tif").write_bytes(b"II*\0 nothing")
    assert fits_whole(tmp_path / "b.tif")


def test_files_that_cannot_be_read_in_parts_say_so(tmp_path, monkeypatch):
    """One huge strip, several images, a turned one, a folder that is no OME-Zarr: a sentence each."""
    one = tmp_path / "one.tif"
    tifffile.imwrite(one, picture((150, 211)), rowsperstrip=150)
    monkeypatch.setattr("pointlib.windows.MAX_CHUNK", 10_000)
    agree(one, read_image(one))  # small enough to be read whole
    monkeypatch.setattr("pointlib.images.MAX_BYTES", 1000)
    with pytest.raises(InputError, match=r"in pieces of 0 MB instead of tiles of 256 or 512 px"):
        open_windows(one)
    monkeypatch.undo()
    two = tmp_path / "two.tif"
    with tifffile.TiffWriter(two) as file:
        file.write(picture((150, 211)))
        file.write(picture((90, 90)))
    with pytest.raises(InputError, match="has 2 images"):
        open_windows(two)
    turned = tmp_path / "turned.tif"
    tifffile.imwrite(turned, picture((150, 211)), extratags=[(274, "H", 1, 6, True)])
    agree(turned, read_image(turned))
    monkeypatch.setattr("pointlib.images.MAX_BYTES", 1000)
    with pytest.raises(InputError, match=r"stored turned \(orientation 6\)"):
        open_windows(turned)
    monkeypatch.undo()
    palette = tmp_path / "palette.tif"
    colours = np.arange(3 * 256, dtype=np.uint16).reshape(3, 256)
    tifffile.imwrite(palette, picture((150, 211)), photometric="palette", colormap=colours)
    agree(palette, read_image(palette))
    (tmp_path / "odd.zarr").mkdir()
    (tmp_path / "odd.zarr" / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
    with pytest.raises(InputError, match="is no OME-Zarr"):
        open_windows(tmp_path / "odd.zarr")


def test_without_zarr_small_files_are_read_whole_and_large_ones_say_what_is_missing(
    tmp_path, monkeypatch
):
    """A plain install has no zarr: the sentence has the command."""
    image, path = picture((150, 211)), tmp_path / "a.tif"
    tifffile.imwrite(path, image)
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    agree(path, image)
    monkeypatch.setattr("pointlib.images.MAX_BYTES", 1000)
    with pytest.raises(InputError, match=r"needs zarr: pip install 'pointlib\[large\]'"):
        open_windows(path)


def test_windows_name_the_package_for_a_compression(tmp_path, monkeypatch):
    """A codec that is missing is no broken file: the sentence names imagecodecs."""
    zarr = pytest.importorskip("zarr")
    image = np.arange(48 * 64 * 3, dtype=np.uint16).reshape(48, 64, 3)
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(16, 16), compression="zlib")

    def refuse(*_, **__):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(zarr.Array, "__getitem__", refuse)
    with open_windows(tmp_path / "a.tif") as picture:
        if picture.read.__qualname__.startswith("_open_whole"):
            pytest.skip("a small picture is read whole")
        with pytest.raises(InputError, match="which needs imagecodecs: pip install"):
            picture.read(0, 16, 0, 16)
