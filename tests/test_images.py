"""Tests of reading and writing pictures: depth, mode, layout, orientation, size, broken files."""

import math
import os
import re
import struct
import subprocess
import sys
import warnings
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import EpsImagePlugin, Image, ImageOps

from pointlib import images
from pointlib.errors import InputError
from pointlib.images import (
    encode_image,
    image_shape,
    list_images,
    open_image,
    open_picture,
    read_image,
    to_channels,
    to_display,
    write_image,
)
from pointlib.widgets.pictures import browser_picture, thumbnail

ORIENTATION = 274


def make_image(shape, dtype=np.uint8, seed=0):
    """Return random pixels over the whole range of an integer type."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def png_chunk(kind, data):
    """Return one chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(image, colour_type, *, after=b""):
    """Return a PNG of 16 bits, unfiltered, with chunks `after` the pixels."""
    height, width = image.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image)
    chunks = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(rows)), after]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")


def exif_bytes(orientation):
    """Return an EXIF block that holds an orientation alone."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes()


def smooth_image(shape=(40, 64)):
    """Return a picture of slow ramps, that JPEG keeps within a few values."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.stack([3 * x, 5 * y, 255 - 2 * x], axis=2).astype(np.uint8)


# which files


def test_list_images_returns_pictures_alone_by_name(tmp_path):
    """Upper-case suffixes count; hidden files, the side folder and texts do not."""
    for name in ("b.PNG", "a.JPeG", "c.tif", ".hidden.png", "a.txt", "notes.md"):
        (tmp_path / name).touch()
    (tmp_path / ".pointlib").mkdir()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.JPeG", "b.PNG", "c.tif"]


def test_list_images_refuses_two_images_of_one_stem(tmp_path):
    """`cat.jpg` and `cat.png` would share a text file (LESSONS 17)."""
    (tmp_path / "cat.jpg").touch()
    (tmp_path / "cat.png").touch()
    with pytest.raises(InputError, match=r"cat\.jpg and cat\.png would share cat\.txt"):
        list_images(tmp_path)


def test_list_images_names_the_suffixes_of_an_empty_folder(tmp_path):
    """A folder without images is an error that says what was looked for, and where it may be."""
    (tmp_path / "a.pdf").touch()
    with pytest.raises(InputError, match=r"holds no image \(\.bmp.*\.webp\).*files are \.pdf"):
        list_images(tmp_path)
    (tmp_path / "dots").mkdir()
    (tmp_path / "dots" / "a.png").touch()
    with pytest.raises(InputError, match="Did you mean .*dots"):
        list_images(tmp_path)


def test_list_images_of_no_folder_says_so(tmp_path):
    """A folder that does not exist is named."""
    with pytest.raises(InputError, match="does not exist"):
        list_images(tmp_path / "nowhere")


# modes and depths


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", ()), ("LA", (2,)), ("RGB", (3,)), ("RGBA", (4,))]
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_read_image_keeps_eight_bits_as_stored(tmp_path, mode, channels, suffix):
    """Grey, grey with alpha, RGB and RGBA come back value for value, non-square."""
    image = make_image((20, 30, *channels))
    Image.fromarray(image, mode=mode).save(tmp_path / f"a{suffix}")
    found = read_image(tmp_path / f"a{suffix}")
    assert found.dtype == np.uint8
    assert np.array_equal(found, image)


@pytest.mark.parametrize(("colour_type", "channels"), [(0, ()), (4, (2,)), (2, (3,)), (6, (4,))])
def test_read_image_keeps_sixteen_bits_of_png(tmp_path, colour_type, channels):
    """All 16 bits of every PNG colour type survive, where Pillow alone halves colour to 8."""
    image = make_image((20, 30, *channels), np.uint16)
    (tmp_path / "a.png").write_bytes(png_bytes(image, colour_type))
    found = read_image(tmp_path / "a.png")
    assert found.dtype == np.uint16
    assert np.array_equal(found, image)


@pytest.mark.parametrize("palette_alpha", [False, True])
def test_read_image_looks_up_a_palette(tmp_path, palette_alpha):
    """A palette image becomes its colours, RGBA where an entry is transparent."""
    image = Image.fromarray(make_image((20, 30)) % 4).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 9, 255])
    image.save(tmp_path / "a.png", **({"transparency": 2} if palette_alpha else {}))
    found, index = read_image(tmp_path / "a.png"), np.asarray(image)
    assert found.shape == (20, 30, 4 if palette_alpha else 3)
    assert (found[index == 3][:, :3] == (9, 9, 255)).all()
    assert not palette_alpha or (found[..., 3] == np.where(index == 2, 0, 255)).all()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_read_image_turns_one_bit_into_0_and_255(tmp_path, suffix):
    """A 1-bit image is black and white, not 0 and 1."""
    bits = make_image((20, 30)) > 127
    Image.fromarray(bits).save(tmp_path / f"a{suffix}")
    assert np.array_equal(read_image(tmp_path / f"a{suffix}"), np.where(bits, 255, 0))


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_read_image_turns_cmyk_into_rgb(tmp_path, suffix):
    """CMYK of a JPEG or TIFF shows the colours it was made from."""
    Image.fromarray(smooth_image()).convert("CMYK").save(tmp_path / f"a{suffix}")
    found = read_image(tmp_path / f"a{suffix}").astype(int)
    assert found.shape == (40, 64, 3)
    assert np.abs(found - smooth_image()).mean() < 6


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("uint8", "uint8"), ("uint16", "uint16"), ("float32", "float32"), ("float64", "float32"),
     ("int16", "float32"), ("uint32", "float32"), (">u2", "uint16")],
)  # fmt: skip
def test_read_image_reads_every_depth_of_tiff(tmp_path, dtype, expected):
    """Two integer depths stay, all else is float32, of the same values."""
    image = np.arange(20 * 30).reshape(20, 30).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", image, byteorder=">" if dtype == ">u2" else "<")
    found = read_image(tmp_path / "a.tif")
    assert found.dtype == expected
    assert np.array_equal(found, image)


def test_read_image_reads_sixteen_bit_pgm(tmp_path):
    """A 16-bit portable grey map stays 16 bits."""
    image = make_image((20, 30), np.uint16)
    (tmp_path / "a.pgm").write_bytes(b"P5 30 20 65535\n" + image.astype(">u2").tobytes())
    assert read_image(tmp_path / "a.pgm").dtype == np.uint16
    assert np.array_equal(read_image(tmp_path / "a.pgm"), image)


def test_read_image_inverts_white_is_zero(tmp_path):
    """A TIFF that counts from white comes back as it is seen."""
    image = make_image((20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", 65535 - image, photometric="miniswhite")
    assert np.array_equal(read_image(tmp_path / "a.tif"), image)


def test_read_image_refuses_complex_pixels(tmp_path):
    """Complex values are not a picture."""
    tifffile.imwrite(tmp_path / "a.tif", np.ones((20, 30), np.complex64))
    with pytest.raises(InputError, match=r"a\.tif.*complex pixels"):
        read_image(tmp_path / "a.tif")


# TIFF: layouts, pages, compressions


@pytest.mark.parametrize("axes", ["CYX", "YXC", "YXS", "TCYX"])
def test_read_image_finds_channels_by_their_axis(tmp_path, axes):
    """Channels come last whatever the file's layout; axes of length one are dropped."""
    image = make_image((20, 30, 5), np.uint16)
    order = {"CYX": (2, 0, 1), "TCYX": (2, 0, 1)}.get(axes, (0, 1, 2))
    stored = image.transpose(order)[None] if axes[0] == "T" else image.transpose(order)
    tifffile.imwrite(tmp_path / "a.tif", stored, metadata={"axes": axes})
    assert np.array_equal(read_image(tmp_path / "a.tif"), image)
    assert image_shape(tmp_path / "a.tif") == (20, 30)


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}, {"planarconfig": "separate"}])
def test_read_image_knows_imagej_ome_and_planar_files(tmp_path, options):
    """Each dialect says in its own way which axis holds the channels."""
    image = make_image((4, 20, 30), np.uint16)
    plain = {"photometric": "minisblack", "metadata": {"axes": "CYX"}}
    tifffile.imwrite(tmp_path / "a.tif", image, **plain | options)
    assert np.array_equal(read_image(tmp_path / "a.tif"), image.transpose(1, 2, 0))


@pytest.mark.parametrize("options", [{}, {"metadata": {"axes": "ZYX"}}])
def test_read_image_refuses_many_pages(tmp_path, options):
    """A stack is refused with its axes named: no page is chosen in silence."""
    tifffile.imwrite(tmp_path / "a.tif", make_image((5, 20, 30), np.uint16), **options)
    with pytest.raises(
        InputError, match=r"a\.tif has 5 pages, axes .YX.*expected YX.*pointlib pages"
    ):
        read_image(tmp_path / "a.tif")
    with pytest.raises(InputError, match="has 5 pages"):
        image_shape(tmp_path / "a.tif")


@pytest.mark.parametrize("channels", [3, 4])
def test_read_image_passes_over_a_thumbnail(tmp_path, channels):
    """A reduced copy behind the picture, RGB or (by Pillow) CMYK, is not a second picture."""
    image = make_image((20, 30, channels))
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(image, photometric="rgb" if channels == 3 else "separated", metadata=None)
        tiff.write(image[::2, ::2, 0], subfiletype=1, metadata=None)
    assert read_image(tmp_path / "a.tif").shape == (20, 30, 3)
    assert image_shape(tmp_path / "a.tif") == (20, 30)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_read_image_undoes_usual_compressions(tmp_path, compression, dtype):
    """LZW, which tifffile alone does not know, comes from Pillow; values stay."""
    image = make_image((20, 30), dtype)
    Image.fromarray(image).save(tmp_path / "a.tif", compression=compression)
    assert np.array_equal(read_image(tmp_path / "a.tif"), image)


@pytest.mark.parametrize(
    "error", [ValueError("requires the 'imagecodecs' package"), ModuleNotFoundError("compression")]
)
def test_read_image_loses_no_bits_to_a_compression(tmp_path, monkeypatch, error):
    """What tifffile cannot undo and Pillow would halve: the package is named, the file is whole."""
    tifffile.imwrite(tmp_path / "a.tif", make_image((20, 30, 3), np.uint16), compression="zlib")

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", refuse)
    needed = r"a\.tif is compressed with \w+ \(48 bits a pixel\), which needs imagecodecs: pip inst"
    with pytest.raises(InputError, match=needed) as told:
        read_image(tmp_path / "a.tif")
    assert "again" not in str(told.value)


@pytest.mark.parametrize(
    ("compression", "shape"),
    [
        *product(["lzw", "zstd", "lerc", "jpeg2000"], [(40, 56), (40, 56, 3)]),
        ("webp", (40, 56, 3)),
    ],
)
def test_read_image_undoes_other_compressions_with_the_extra(tmp_path, compression, shape):
    """What microscopes and maps use, of 16 bits where the compression has them, to the last bit."""
    pytest.importorskip("imagecodecs")
    image = make_image(shape, np.uint8 if compression == "webp" else np.uint16)
    exact = {"jpeg2000": {"reversible": True}, "webp": {"lossless": True}}.get(compression)
    colours = "rgb" if len(shape) == 3 else "minisblack"
    options = {"compression": compression, "compressionargs": exact, "photometric": colours}
    tifffile.imwrite(tmp_path / "a.tif", image, **options)
    assert np.array_equal(read_image(tmp_path / "a.tif"), image)


def test_read_image_reads_a_jpeg_inside_a_tiff(tmp_path):
    """YCbCr in a TIFF becomes RGB."""
    Image.fromarray(smooth_image()).save(tmp_path / "a.tif", compression="jpeg")
    assert np.abs(read_image(tmp_path / "a.tif").astype(int) - smooth_image()).mean() < 6


# orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "lzw.tif"])
def test_read_image_applies_orientation(tmp_path, kind, orientation):
    """All eight orientations of PNG, JPEG and TIFF are as Pillow's exif_transpose has them."""
    path, picture = tmp_path / f"a.{kind}", Image.fromarray(smooth_image())
    if "tif" in kind:
        compression = "tiff_lzw" if kind == "lzw.tif" else None
        picture.save(path, tiffinfo={ORIENTATION: orientation}, compression=compression)
    else:
        picture.save(path, exif=exif_bytes(orientation))
    picture.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(picture)).astype(int)
    assert image_shape(path) == expected.shape[:2]
    assert np.abs(read_image(path) - expected).mean() < (6 if kind == "jpg" else 1e-9)


@pytest.mark.parametrize("colour_type", [0, 2])
def test_read_image_finds_an_orientation_behind_the_pixels(tmp_path, colour_type):
    """A PNG whose EXIF follows the pixels is turned, and its shape read alike."""
    image = make_image((20, 30) if colour_type == 0 else (20, 30, 3), np.uint16)
    exif = png_chunk(b"eXIf", exif_bytes(6)[6:])
    (tmp_path / "a.png").write_bytes(png_bytes(image, colour_type, after=exif))
    assert image_shape(tmp_path / "a.png") == (30, 20)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(image, -1))


def test_read_image_turns_sixteen_bit_tiff(tmp_path):
    """Orientation is applied to scientific TIFF too, which tifffile by itself leaves lying."""
    image = make_image((20, 30), np.uint16)
    tag = (ORIENTATION, "H", 1, 8, True)
    tifffile.imwrite(tmp_path / "a.tif", image, extratags=[tag])
    assert np.array_equal(read_image(tmp_path / "a.tif"), np.rot90(image))
    assert image_shape(tmp_path / "a.tif") == (30, 20)


# size, and files that are not what they seem


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((2000, 3000), np.uint8, "3000 x 2000 of uint8, 6 MB of pixels"),
        ((1000, 2000, 3), np.uint8, "2000 x 1000 with 3 channels of uint8, 6 MB"),
        ((1000, 3000), np.uint16, "3000 x 1000 of uint16, 6 MB"),
    ],
)
def test_read_image_refuses_more_bytes_than_the_limit(
    tmp_path, monkeypatch, name, shape, dtype, expected
):
    """The limit counts channels and depth; it is checked in the header and named."""
    write_image(tmp_path / name, np.zeros(shape, dtype))
    assert image_shape(tmp_path / name) == shape[:2]
    monkeypatch.setattr(images, "MAX_BYTES", 5_999_999)
    for look in (read_image, image_shape):
        with pytest.raises(InputError, match=rf"{name} is {expected}.*; at most 6 MB are read"):
            look(tmp_path / name)


def test_webp_may_be_half_as_large(tmp_path, monkeypatch):
    """Its decoder holds the whole picture twice more."""
    Image.fromarray(make_image((20, 30, 3))).save(tmp_path / "a.webp")
    monkeypatch.setattr(images, "MAX_BYTES", 3600)
    assert read_image(tmp_path / "a.webp").shape == (20, 30, 3)
    monkeypatch.setattr(images, "MAX_BYTES", 3599)
    with pytest.raises(InputError, match=r"a\.webp is 30 x 20"):
        read_image(tmp_path / "a.webp")


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".tif", ".bmp"])
def test_read_image_holds_an_image_less_than_four_times(tmp_path, suffix):
    """So the largest one that is read, 600 MB, takes less than 2 GB: told by the system itself."""
    picture = Image.new("L" if suffix in (".png", ".bmp") else "RGB", (6000, 5000))
    picture.save(tmp_path / f"a{suffix}")
    code = (
        "from pathlib import Path\nfrom pointlib.images import read_image\n"
        "def peak():\n    words = Path('/proc/self/status').read_text().split()\n"
        "    return 1000 * int(words[words.index('VmHWM:') + 1])\n"
        f"before = peak()\nimage = read_image({str(tmp_path / f'a{suffix}')!r})\n"
        "print((peak() - before) / image.nbytes)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.8 < float(done.stdout) < 3.6


def test_read_image_refuses_a_jpeg_of_endless_scans(tmp_path, monkeypatch):
    """Ten lines more in a small file, each a scan over all pixels, would take minutes."""
    Image.fromarray(smooth_image()).save(tmp_path / "a.jpg", progressive=True)
    data = (tmp_path / "a.jpg").read_bytes()
    last = data[data.rindex(b"\xff\xda") : -2]
    (tmp_path / "a.jpg").write_bytes(data[:-2] + 100 * last + b"\xff\xd9")
    assert read_image(tmp_path / "a.jpg").shape == (40, 64, 3)
    monkeypatch.setattr(images, "MAX_SCANNED", 40 * 64 * 100)
    for look in (read_image, thumbnail):
        with pytest.raises(InputError, match=r"a\.jpg is a JPEG of 64 x 40 in 110 scans. Export"):
            look(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "photo.tif"])
def test_a_picture_never_starts_ghostscript(tmp_path, monkeypatch, name):
    """PostScript in a picture's name is refused, whatever program called gs there is."""
    program, sign = tmp_path / "gs", tmp_path / "started"
    program.write_text(f"#!/bin/sh\ntouch {sign}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # as before the first look
    text = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / name).write_text(text)
    with Image.open(tmp_path / name) as picture, pytest.raises(OSError, match="."):
        picture.load()  # the stub draws nothing, but Pillow starts it
    assert sign.exists()
    sign.unlink()
    for look in (read_image, image_shape, thumbnail, browser_picture):
        with pytest.raises(InputError, match=rf"{name} cannot be read as an image"):
            look(tmp_path / name)
    assert not sign.exists()


def test_pictures_are_opened_in_one_place_only():
    """Pillow's own `open` takes any format: only `open_picture` may call it, with a list."""
    for path in sorted(Path(images.__file__).parent.rglob("*.py")):
        n_calls = len(re.findall(r"\bImage\.open\(", path.read_text(encoding="utf-8")))
        assert n_calls == (path.name == "images.py"), path.name


def test_image_shape_does_not_meet_pillows_own_limit(tmp_path, monkeypatch):
    """361 million pixels are legal, 900 million are not, whatever Pillow's limit, which stays."""
    for side in (19_000, 30_000):
        header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
        pixels = png_chunk(b"IDAT", b"")
        (tmp_path / f"{side}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image_shape(tmp_path / "19000.png") == (19_000, 19_000)
    with pytest.raises(InputError, match="900 MB of pixels; at most 600 MB are read"):
        read_image(tmp_path / "30000.png")
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_header_tells_what_the_pixels_will_be(tmp_path, suffix, channels, dtype):
    """Shape, depth and channels are known before a pixel is read."""
    path = tmp_path / f"a{suffix}"
    image = make_image((20, 30, *channels), dtype)
    if suffix == ".png" and channels and dtype == np.uint16:
        path.write_bytes(png_bytes(image, {3: 2, 4: 6}[channels[0]]))
    else:
        write_image(path, image)
    with open_image(path) as (header, read):
        assert header == ((20, 30), dtype, math.prod(channels), 1)
        np.testing.assert_array_equal(read(), image)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".gif", ".webp"])
@pytest.mark.parametrize("part", [0.03, 0.3, 0.6, 0.95])
def test_read_image_names_a_file_cut_short(tmp_path, suffix, part):
    """A truncated file is an InputError with its name, whatever the decoder raised."""
    path = tmp_path / f"a{suffix}"
    write_image(path, make_image((60, 90, 3)))
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(InputError, match=rf"a\{suffix} cannot be read.*Copy or export it again"):
        read_image(path)


def test_read_image_notices_channels_cut_off(tmp_path):
    """Channels in pages of their own: the missing end of the last one is not made up."""
    image = make_image((5, 64, 50), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", image, metadata={"axes": "CYX"})
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: int(0.99 * len(data))])
    with pytest.raises(InputError, match=r"a\.tif cannot be read"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "content", [b"not a picture at all", b"II*\0garbage", b"\x89PNG\r\n\x1a\n"]
)
@pytest.mark.parametrize("reader", [read_image, image_shape])
def test_read_image_names_a_file_that_is_no_image(tmp_path, content, reader):
    """Text, or a magic number and nothing behind it, is an InputError with the file's name."""
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png cannot be read as an image"):
        reader(tmp_path / "a.png")


@pytest.mark.parametrize("reader", [read_image, image_shape])
def test_read_image_names_an_empty_and_a_missing_file(tmp_path, reader):
    """Zero bytes and no file at all have sentences of their own."""
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match=r"a\.png is empty \(0 bytes\)"):
        reader(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"image .*b\.png does not exist. Did you mean a\.png"):
        reader(tmp_path / "b.png")


def test_read_image_refuses_a_film(tmp_path):
    """Of several frames none is chosen in silence."""
    frames = [Image.fromarray(make_image((20, 30), seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=r"a\.gif has 3 frames"):
        read_image(tmp_path / "a.gif")


def test_read_image_takes_the_photo_of_a_camera_file(tmp_path):
    """A JPEG with previews behind the photo (MPO, many telephones) is the photo."""
    frames = [Image.fromarray(smooth_image()), Image.fromarray(smooth_image()[::2, ::2])]
    frames[0].save(tmp_path / "a.JPG", format="MPO", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.JPG").shape == (40, 64, 3)


def test_read_image_looks_into_the_file_not_at_its_suffix(tmp_path):
    """A TIFF named .png, and a JPEG named .tif, are read as what they are."""
    image = make_image((20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "a.png", image)
    Image.fromarray(smooth_image()).save(tmp_path / "b.tif", format="JPEG")
    assert np.array_equal(read_image(tmp_path / "a.png"), image)
    assert read_image(tmp_path / "b.tif").shape == (40, 64, 3)


# channels and display


@pytest.mark.parametrize(
    ("channels", "wanted", "kept"),
    [(1, 1, [0]), (3, 3, [0, 1, 2]), (4, 4, [0, 1, 2, 3]), (5, 5, [0, 1, 2, 3, 4]),
     (2, 2, [0, 1]), (2, 1, [0]), (4, 3, [0, 1, 2]), (1, 3, [0, 0, 0]), (2, 3, [0, 0, 0])],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_to_channels_picks_and_repeats(channels, wanted, kept, dtype):
    """Channels asked for stay, alpha goes, grey is repeated; the dtype stays."""
    image = make_image((20, 30, channels)).astype(dtype)
    found = to_channels(image, wanted)
    assert found.dtype == dtype
    assert np.array_equal(found, image[:, :, kept])


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_to_channels_takes_the_luma_of_colour(channels, dtype):
    """Grey of RGB lies within rounding of BT.601, and grey stays grey exactly."""
    image = make_image((20, 30, channels), dtype)
    luma = 0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]
    assert np.abs(to_channels(image, 1)[..., 0] - luma).max() <= 0.5 + 1e-6
    grey = np.repeat(image[..., :1], 3, axis=2)
    assert np.array_equal(to_channels(grey, 1), grey[..., :1])


def test_to_channels_makes_a_flat_image_three_dimensional():
    """(H, W) becomes (H, W, 1) or (H, W, 3)."""
    assert to_channels(np.zeros((20, 30)), 1).shape == (20, 30, 1)
    assert to_channels(np.zeros((20, 30)), 3).shape == (20, 30, 3)


@pytest.mark.parametrize(("shape", "wanted"), [((20, 30, 5), 3), ((20, 30), 4), ((20, 30, 3), 5)])
def test_to_channels_refuses_what_it_would_have_to_invent(shape, wanted):
    """Five channels are not three, and the error says which setting to change."""
    with pytest.raises(InputError, match=rf"expected {wanted}: set num_channels"):
        to_channels(np.zeros(shape, np.uint8), wanted)


def test_to_channels_refuses_a_batch():
    """Four dimensions are no image."""
    with pytest.raises(InputError, match=r"shape \(1, 20, 30, 3\); expected \(H, W\)"):
        to_channels(np.zeros((1, 20, 30, 3)), 3)


@pytest.mark.parametrize("channels", [(), (1,), (2,), (3,), (4,), (7,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
def test_to_display_always_gives_rgb_bytes(channels, dtype):
    """Whatever came, (H, W, 3) uint8 goes out; uint8 colours untouched."""
    image = make_image((20, 30, *channels)).astype(dtype)
    found = to_display(image)
    assert found.shape == (20, 30, 3)
    assert found.dtype == np.uint8
    if dtype == np.uint8 and channels in ((3,), (4,), (7,)):
        assert np.array_equal(found, image[..., :3])


def test_to_display_stretches_between_percentiles():
    """A dim 16-bit ramp fills black to white, in rising order, outliers clipped."""
    image = np.linspace(200, 900, 20 * 30).astype(np.uint16).reshape(20, 30)
    image[0, 0] = 65535
    found = to_display(image)[..., 0].ravel()[1:]
    assert (found.min(), found.max()) == (0, 255)
    assert (np.diff(found.astype(int)) >= 0).all()


@pytest.mark.parametrize("value", [0.0, 7.5, np.nan, np.inf])
def test_to_display_survives_flat_and_broken_values(value):
    """A constant image, and one of no number at all, is shown without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert to_display(np.full((20, 30), value, np.float32)).shape == (20, 30, 3)


# writing


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("a.png", (20, 30), np.uint8),
        ("a.png", (20, 30, 3), np.uint8),
        ("a.bmp", (20, 30, 3), np.uint8),
        ("a.png", (20, 30, 4), np.uint8),
        ("a.PNG", (20, 30), np.uint16),
        ("a.tif", (20, 30), np.uint16),
        ("a.tif", (20, 30, 3), np.uint16),
        ("a.tiff", (20, 30, 5), np.uint16),
    ],
)
def test_write_image_is_read_back(tmp_path, name, shape, dtype):
    """What PNG and TIFF take comes back value for value."""
    image = make_image(shape, dtype)
    write_image(tmp_path / "new" / name, image)
    assert np.array_equal(read_image(tmp_path / "new" / name), image)


def test_write_image_says_which_file_takes_what(tmp_path):
    """Sixteen bits of colour do not fit Pillow's PNG: no file, and a way out."""
    with pytest.raises(InputError, match=r"a\.png: cannot write uint16.*TIFF all"):
        write_image(tmp_path / "a.png", make_image((20, 30, 3), np.uint16))
    with pytest.raises(InputError, match=r"as '\.xyz'"):
        write_image(tmp_path / "a.xyz", make_image((20, 30)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_write_image_takes_a_single_channel(tmp_path, name):
    """(H, W, 1), as to_channels makes it, is written as grey."""
    image = make_image((20, 30, 1))
    write_image(tmp_path / name, image)
    assert np.array_equal(read_image(tmp_path / name), image[:, :, 0])


@pytest.mark.parametrize("quality", [None, 95])
def test_encode_image_says_how_a_jpeg_keeps_colours(quality):
    """A quality that is asked for keeps colours of single pixels, which a JPEG usually mixes."""
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, ::2, 0] = image[:, 1::2, 2] = 200
    read = np.asarray(open_picture(encode_image(image, "JPEG", quality=quality))).astype(int)
    assert (np.abs(read - image).mean() < 10) == (quality == 95)


def test_encode_image_takes_arrays_and_pillows_images_alike():
    """The same bytes of both; more compression makes them fewer and changes no pixel."""
    image = make_image((20, 30, 3))
    sizes = {}
    for compression in (1, 6, 9):
        data = encode_image(image, compression=compression)
        assert data == encode_image(Image.fromarray(image), compression=compression)
        assert np.array_equal(open_picture(data), image)
        sizes[compression] = len(data)
    assert sizes[9] == min(sizes.values())
    assert open_picture(encode_image(image, dpi=72)).info["dpi"] == pytest.approx((72, 72), 1e-3)


# real


def test_read_image_agrees_with_the_list_of_real_images(real):
    """Sizes of 16-bit microscopy read from the header and the pixels are the listed ones."""
    folder = real / "nuclei_bbbc039_16bit" / "images"
    for path in list_images(folder)[:3]:
        image = read_image(path)
        assert image.dtype == np.uint16
        assert image.shape == image_shape(path) == (520, 696)
