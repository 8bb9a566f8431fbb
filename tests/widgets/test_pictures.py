"""Previews: what the browser gets has its pixels where read_image has them."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from pointlib.errors import InputError
from pointlib.images import read_image, to_display, write_image
from pointlib.widgets import pictures as previews
from pointlib.widgets.pictures import browser_picture, pixels, thumbnail

GREY = np.random.default_rng(0).integers(0, 256, (30, 44), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (30, 44, 3), dtype=np.uint8)


def shown(picture):
    """Return the pixels a browser would decode."""
    return np.asarray(Image.open(io.BytesIO(picture.data)))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
@pytest.mark.parametrize("image", [GREY, RGB], ids=["grey", "rgb"])
def test_plain_files_are_passed_on_as_they_are(tmp_path, name, image):
    """What browsers show unchanged is not touched."""
    path = tmp_path / name
    Image.fromarray(image).save(path)
    picture = browser_picture(path)
    assert picture.data == path.read_bytes()
    assert picture.mime == {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}[name[2:]]
    assert picture.shape == (30, 44)
    assert picture.channels == (1 if image.ndim == 2 and "webp" not in name else 3)
    assert (picture.deep, picture.range) == (False, None)
    assert browser_picture(path, plain=True).mime == "image/png"


def odd_files():
    """Yield name and writer of files whose pixels a browser would show otherwise, or not at all."""
    exif = Image.Exif()
    exif[274] = 6
    picture = Image.fromarray(RGB)
    yield "turned.jpg", lambda path: picture.save(path, exif=exif, quality=95)
    yield "turned.png", lambda path: picture.save(path, exif=exif)
    yield "turned.webp", lambda path: picture.save(path, exif=exif, lossless=True)
    yield "cmyk.jpg", lambda path: picture.convert("CMYK").save(path)
    yield "clear.png", lambda path: Image.fromarray(np.dstack([RGB, GREY])).save(path)
    yield "hole.png", lambda path: picture.quantize(16).save(path, transparency=3)
    yield "key.png", lambda path: picture.save(path, transparency=(1, 2, 3))
    yield "bits.png", lambda path: Image.fromarray(GREY > 99).save(path)
    yield "bitmap.bmp", picture.save
    yield "strip.tif", picture.save


@pytest.mark.parametrize(
    ("name", "write"), list(odd_files()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_other_files_are_shown_as_they_are_read(tmp_path, name, write):
    """Turned, transparent, CMYK and unusual files become a plain PNG of what read_image reads."""
    write(tmp_path / name)
    picture = browser_picture(tmp_path / name)
    image = read_image(tmp_path / name)
    assert picture.mime == "image/png"
    assert picture.shape == image.shape[:2]
    assert np.array_equal(to_display(shown(picture)), to_display(image))


def test_palette_without_surprises_is_passed_on(tmp_path):
    """Eight bits of palette mean the same everywhere."""
    Image.fromarray(RGB).quantize(256).save(tmp_path / "p.png")
    picture = browser_picture(tmp_path / "p.png")
    assert picture.data == (tmp_path / "p.png").read_bytes()
    assert np.array_equal(
        np.asarray(Image.open(tmp_path / "p.png").convert("RGB")), read_image(tmp_path / "p.png")
    )


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_deep_images_are_stretched_as_to_display_does(tmp_path, name):
    """16 bits: the same picture as to_display, with the values that are black and white."""
    image = (GREY.astype(np.uint16) * 17) + 900
    write_image(tmp_path / name, image)
    picture = browser_picture(tmp_path / name)
    assert picture.deep
    assert np.abs(shown(picture) - to_display(image)[:, :, 0].astype(int)).max() <= 1
    assert picture.range == (image.min(), image.max())
    assert (picture.black, picture.white) == pytest.approx(np.percentile(image, (0.5, 99.5)))


def test_black_and_white_choose_what_is_seen():
    """Given limits replace the percentiles; NaN is black; 8 bits may be stretched too."""
    image = np.linspace(0, 1, 30 * 44).reshape(30, 44).astype(np.float32)
    image[3, 4] = np.nan
    picture = browser_picture(image, black=0.25, white=0.75)
    values = shown(picture)
    assert (values[image < 0.25] == 0).all()
    assert (values[image > 0.75] == 255).all()
    assert values[3, 4] == 0
    assert picture.range == (0.0, 1.0)
    assert shown(browser_picture(np.uint8([[10, 20]]), black=10, white=20)).tolist() == [[0, 255]]
    assert browser_picture(np.full((4, 5), np.nan)).range == (0.0, 1.0)


def test_channels_can_be_looked_at_alone():
    """One channel in grey; of five the first three; alpha is none to choose."""
    five = np.dstack([RGB, GREY, 255 - GREY])
    assert browser_picture(five).channels == 5
    assert np.array_equal(shown(browser_picture(five)), RGB)
    assert np.array_equal(shown(browser_picture(five, channel=4)), 255 - GREY)
    assert browser_picture(np.dstack([RGB, GREY])).channels == 3
    with pytest.raises(InputError, match="channel 3 does not exist; there are 0 to 2"):
        browser_picture(np.dstack([RGB, GREY]), channel=3)


def test_large_pictures_become_jpeg_without_losing_colour(monkeypatch):
    """Above the limit JPEG, near enough, with the colours of every pixel."""
    monkeypatch.setattr(previews, "PNG_PIXELS", 100)
    smooth = np.dstack([np.add.outer(np.arange(30), np.arange(44)) * k for k in (1, 2, 3)])
    picture = browser_picture(smooth.astype(np.uint8))
    assert picture.mime == "image/jpeg"
    assert np.abs(shown(picture).astype(int) - smooth).max() < 12
    assert Image.open(io.BytesIO(picture.data)).layer[1][1:3] == (1, 1)


def test_too_large_images_are_refused_with_a_way_out(tmp_path, monkeypatch):
    """The header decides, before a pixel is read."""
    monkeypatch.setattr(previews, "MAX_PIXELS", 1000)
    write_image(tmp_path / "big.png", GREY)
    for read in (browser_picture, thumbnail):
        with pytest.raises(
            InputError,
            match="44 x 30; at most 1,000 pixels .* Cut it into tiles, or save it smaller",
        ):
            read(tmp_path / "big.png")


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg", "cut.webp"])
def test_cut_off_files_are_a_sentence(tmp_path, name):
    """A browser would show the first half; here it is an error."""
    picture = Image.fromarray(np.random.default_rng(2).integers(0, 256, (300, 200, 3), np.uint8))
    picture.save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cannot be read as an image"):
        browser_picture(tmp_path / name)
    with pytest.raises(InputError, match="cut|broken|cannot be read"):
        thumbnail(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "turned.jpg"])
def test_thumbnails_are_small_upright_and_alike(tmp_path, name):
    """At most 96 pixels, of the image's proportions, bright where it is bright."""
    image = np.zeros((300, 600, 3), np.uint8)
    image[:150, :300] = 250
    exif = Image.Exif()
    exif[274] = 3 if "turned" in name else 1  # upside down
    Image.fromarray(image[::-1, ::-1] if "turned" in name else image).save(
        tmp_path / name, exif=exif
    )
    small = np.asarray(Image.open(io.BytesIO(thumbnail(tmp_path / name))))
    assert small.shape == (48, 96, 3)
    assert small[5:20, 5:40].min() > 200
    assert small[30:, 55:].max() < 50


def test_thumbnails_of_arrays_are_those_of_their_files(tmp_path):
    """An image in memory looks as its file does."""
    write_image(tmp_path / "a.png", GREY)
    assert thumbnail(GREY) == thumbnail(tmp_path / "a.png")


def test_thumbnails_of_deep_images_can_be_seen(tmp_path):
    """A dark 16-bit image fills the range."""
    write_image(tmp_path / "deep.tif", GREY.astype(np.uint16) + 300)
    small = np.asarray(Image.open(io.BytesIO(thumbnail(tmp_path / "deep.tif"))))
    assert small.max() > 200
    assert small.min() < 50


def test_pixels_are_kept_until_the_file_changes(tmp_path):
    """The same array twice, protected; a new one after a new file."""
    write_image(tmp_path / "a.png", GREY)
    first = pixels(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png") is first
    assert not first.flags.writeable
    write_image(tmp_path / "a.png", 255 - GREY)
    assert np.array_equal(pixels(tmp_path / "a.png"), 255 - GREY)
    with pytest.raises(InputError, match="does not exist"):
        pixels(tmp_path / "none.png")


def test_no_torch_is_needed():
    """Showing pictures must not wait for torch."""
    import subprocess

    code = "import sys, pointlib.widgets.pictures, pointlib.annotate.blobs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
