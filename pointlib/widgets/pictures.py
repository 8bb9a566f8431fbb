"""An image as bytes for a browser: the file itself if the browser can show it, else re-encoded.

Not about drawing points (plots.py), nor about reading files and its errors (images.py). Invariant:
the browser's pixels are where `read_image` has them, so the EXIF orientation is applied here and
not left to the browser.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from pointlib.cache import Cache
from pointlib.errors import InputError
from pointlib.images import (
    check_scans,
    encode_image,
    image_shape,
    open_picture,
    read_image,
    to_display,
)

MAX_PIXELS = 50_000_000  # browsers decode more, but slowly, and run out of graphics memory
PNG_PIXELS = 4_000_000  # above this, PNG takes seconds and tens of megabytes: JPEG
JPEG_SIDE = 65_500  # px: the longest side of a JPEG
_MIMES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
_ORIENTATION = 274  # EXIF tag
_images = Cache(max_items=2)


class Picture(NamedTuple):
    """What a browser shows, and what its controls need to know."""

    data: bytes
    mime: str
    shape: tuple  # (H, W)
    channels: int  # that can be chosen, without alpha
    deep: bool = False  # not 8 bits: black and white levels matter
    range: tuple | None = None  # minimum and maximum of the values shown, if `deep`
    black: float | None = None  # the values shown as black and as white
    white: float | None = None


def browser_picture(source, *, channel=None, black=None, white=None, plain=False):
    """Return a picture that any browser can show, of a file or of an image in memory.

    Upright, whole 8-bit files (PNG, JPEG, WebP; grey, RGB or palette; no transparency) are passed
    on unchanged. Others are converted by `to_display`: PNG up to 4 megapixels, above that JPEG
    (quality 95, no chroma subsampling).

    Parameters
    ----------
    source : str, Path or ndarray of shape (H, W) or (H, W, C)
    channel : int, optional
        Show only this one, in grey; default: colour, the first three of many channels.
    black, white : float, optional
        Pixel values shown as black and white. Default: 0 and 255 for 8 bits, else the 0.5th and
        99.5th percentile of what is shown.
    plain : bool
        Always re-encode: this browser could not show the file.

    Returns
    -------
    Picture
        InputError if the file cannot be read, has over 50 megapixels or lacks the channel.
    """
    image = source
    if not isinstance(source, np.ndarray):
        check_size(source)
        as_is = not plain and channel is None and black is None and white is None
        if as_is and (picture := _as_it_is(source)):
            return picture
        image = pixels(source)
    return _drawn(np.atleast_3d(image), channel, black, white)


def thumbnail(source, size=96):
    """Return a small JPEG, bytes, at most `size` pixels wide and high.

    `source` is any readable image file, or an image in memory, (H, W) or (H, W, C).
    """
    image = source
    if not isinstance(source, np.ndarray):
        check_size(source)
        if _mime(source) == "image/jpeg":
            return _jpeg_thumbnail(source, size)
        image = read_image(source)
    step = max(1, min(image.shape[:2]) // (2 * size))
    return small_jpeg(Image.fromarray(to_display(image[::step, ::step])), size)


def small_jpeg(image, size=96):
    """Return a small JPEG, bytes, of a Pillow image."""
    image = image.convert("RGB")
    image.thumbnail((size, size))
    return encode_image(image, "JPEG", quality=80)


def pixels(path):
    """Return the pixels that `read_image` reads, read-only; the last two images are cached."""
    path = Path(path)
    changed = path.stat().st_mtime_ns if path.exists() else 0
    return _images.get((path, changed), lambda: _read(path))


def check_size(path):
    """Return (H, W) from an image file's header; InputError above 50 megapixels."""
    height, width = image_shape(path)
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{path} is {width} x {height}; at most {MAX_PIXELS:,} pixels can be shown. "
            "Cut it into tiles, or save it smaller: points survive a resize."
        )
    return height, width


def _read(path):
    image = read_image(path)
    image.setflags(write=False)
    return image


def _mime(path):
    """Return the MIME type, from the first bytes, of a file that browsers can show, else ""."""
    with Path(path).open("rb") as file:
        head = file.read(4)
    return next((mime for start, mime in _MIMES.items() if head.startswith(start)), "")


def _jpeg_thumbnail(path, size):
    try:
        with open_picture(path) as image:
            check_scans(path, image)
            image.draft(None, (2 * size, 2 * size))  # decodes at as little as an eighth of the size
            return small_jpeg(ImageOps.exif_transpose(image), size)
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path} is broken ({error}). Copy or export it again.") from error


def _as_it_is(path):
    """Return the Picture of a file whose pixels browsers show as `read_image` reads them, or None.

    A truncated file is not passed on: browsers show its first part without an error.
    """
    if not (mime := _mime(path)):
        return None
    data = Path(path).read_bytes()
    with open_picture(data) as image:
        whole = {
            "image/png": b"IEND" in data[-12:] and data[24] == 8,  # bits per channel
            "image/jpeg": b"\xff\xd9" in data[-4096:],
            "image/webp": int.from_bytes(data[4:8], "little") <= len(data) - 8,
        }[mime]
        several = getattr(image, "n_frames", 1) > 1 and image.format != "MPO"
        odd = image.mode not in ("L", "RGB", "P") or "transparency" in image.info
        exif = mime != "image/png" and image.getexif()  # for PNG that would mean decoding it
        turned = exif.get(_ORIENTATION, 1) != 1 if exif else b"eXIf" in data
        if several or odd or turned or not whole:
            return None
        return Picture(data, mime, image.size[::-1], 1 if image.mode == "L" else 3)


def _drawn(image, channel, black, white):
    """Return the Picture of an image (H, W, C) in memory."""
    n_channels = image.shape[2] - (image.shape[2] in (2, 4))  # alpha is not shown
    if channel is not None and channel not in range(n_channels):
        raise InputError(f"channel {channel} does not exist; there are 0 to {n_channels - 1}.")
    shown = image[:, :, : min(n_channels, 3)] if channel is None else image[:, :, [channel]]
    picture = Picture(b"", "", image.shape[:2], n_channels, shown.dtype != np.uint8)
    if picture.deep or black is not None or white is not None:
        picture = picture._replace(**_limits(shown, black, white))
        span = (picture.white - picture.black) or 1.0
        share = (shown.astype(np.float32) - np.float32(picture.black)) / np.float32(span)
        shown = np.rint(255 * np.clip(np.nan_to_num(share), 0, 1)).astype(np.uint8)
    data, mime = _encoded(shown)
    return picture._replace(data=data, mime=mime)


def _limits(shown, black, white):
    """Return range, black and white of the pixels shown; defaults are those of `to_display`."""
    finite = shown[np.isfinite(shown)]
    finite = finite if finite.size else np.array([0.0, 1.0])
    low, high = np.percentile(finite[:: 1 + finite.size // 1_000_000], (0.5, 99.5))
    low, high = (0, 255) if shown.dtype == np.uint8 else (low, high)
    return {
        "range": (float(finite.min()), float(finite.max())),
        "black": float(low if black is None else black),
        "white": float(high if white is None else white),
    }


def _encoded(image):
    """Return the bytes and MIME type of an image: PNG, or JPEG if that takes too long."""
    height, width = image.shape[:2]
    if height * width > PNG_PIXELS and max(height, width) <= JPEG_SIDE:
        return encode_image(image, "JPEG", quality=95), "image/jpeg"
    return encode_image(image, compression=1), "image/png"
