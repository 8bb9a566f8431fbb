"""Reading and writing images: any depth, mode, layout and orientation becomes one kind of array.

An image is an array of shape (H, W) or (H, W, C), uint8, uint16 or float32, with its EXIF
orientation applied: what is read is what people see and click. Colours are red, green, blue;
palettes and CMYK become RGB, alpha stays last. tifffile reads TIFF, Pillow the rest.

Not about points on the image, nor about scaling values for a network (model).
"""

import io
import logging
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

from pointlib.errors import InputError, brief
from pointlib.files import need_file, need_folder, write_atomic
from pointlib.tiff import check_strips, missing_codec, open_tiff

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# subfolders that hold other pictures than a dataset's
NO_IMAGES = {"masks", "labels", "overlays", "dots", "ground_truth", "annotations"}
MOST_FOLDERS = 100_000  # searched
MAX_BYTES = 600_000_000  # of an image's pixels, all channels, computed from the header
MAX_SCANNED = 4e9  # px: a JPEG's pixels times its scans; ten are usual, each one takes time
# Pillow reads whatever it recognises, and starts Ghostscript for PostScript
PILLOW_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
ORIENTATION = 274  # EXIF and TIFF tag: 1 upright ... 8 (TIFF 6.0, page 36); from 5 on its side
_MODES = {"1": "L", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB"}
# For 16-bit colour PNG Pillow unpacks the high bytes ("raw mode" 16B); 16L, meant for the other
# byte order, gives the low ones. Grey and alpha, two bytes each, are read whole as RGBA.
_LOW_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}
_BY_PILLOW = (3, 5, 6, 8)  # TIFF's palette, CMYK, YCbCr and Lab: Pillow converts them to RGB
_bomb_check = threading.Lock()
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what matters is also raised


class ImageTooLargeError(InputError):
    """An image has more pixels than are read at once."""


class Header(NamedTuple):
    """What an image is, as `read_image` would return it."""

    shape: tuple  # (H, W), upright
    dtype: np.dtype
    n_channels: int  # with alpha
    turn: int = 1  # EXIF orientation, already applied; 1 is as stored


def image_folder(folder):
    """Return the folder of the images: `folder` itself or its `images/`."""
    folder = need_folder(folder, "dataset folder")
    return folder / "images" if (folder / "images").is_dir() else folder


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files in `folder` and below it, sorted by `relative_name`.

    Left out are hidden files and folders, models, and folders called as one of NO_IMAGES.

    Examples
    --------
    >>> from pointlib import draw_cells, list_images, write_image
    >>> for name in ("b.png", "a.png"):
    ...     write_image(name, draw_cells(n=3).image)
    >>> [path.name for path in list_images(".")]
    ['a.png', 'b.png']
    """
    folder = need_folder(folder, "folder of images")
    paths = list_files(folder, IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no image ({', '.join(IMAGE_SUFFIXES)}).{_hint(folder)}")
    check_names(relative_name(path, folder) for path in paths)
    stems = {}
    for path in paths:
        if (other := stems.setdefault(path.with_suffix(""), path)) is not path:
            raise InputError(f"{other} and {path.name} would share {path.stem}.txt. Rename one.")
    return paths


def relative_name(path, folder):
    """Return an image's name in a dataset: its path from the images' folder, with slashes."""
    return Path(path).relative_to(folder).as_posix()


def list_files(folder, suffixes):
    """Return the files of a dataset folder with one of the suffixes, sorted by `relative_name`.

    Broken links are included: opening one is an error, so that no image is missing silently.
    """
    found = [path for path in walk(folder, keep=is_read) if path.suffix.lower() in suffixes]
    return sorted((p for p in found if p.name[0] != "."), key=lambda p: relative_name(p, folder))


def walk(folder, *, keep):
    """Yield the files of a folder and of those below that `keep(path)` accepts; links count once.

    A folder that cannot be read is an OSError, so that no image is missing silently.
    """
    seen = set()  # real folders: a link may lead back to one
    for place, inside, names in os.walk(folder, onerror=_give_up, followlinks=True):
        is_new = (real := os.path.realpath(place)) not in seen
        seen.add(real)
        if len(seen) > MOST_FOLDERS:
            raise InputError(f"{folder} has over {MOST_FOLDERS:,} folders. Name the images' own.")
        inside[:] = sorted(name for name in inside if is_new and keep(Path(place, name)))
        yield from (Path(place, name) for name in names if is_new)


def _give_up(error):
    raise error


def is_read(folder):
    """Return whether images in a subfolder belong to a dataset: not hidden, masks or a model."""
    is_other = folder.name.lower() in NO_IMAGES or (folder / "pointlib.json").is_file()
    return folder.name[0] != "." and not is_other


def check_names(names):
    """Raise InputError if a name cannot be written to a text file or a table."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{name!a} is not a UTF-8 name. Rename it.") from error


def _hint(folder):
    """Return what a folder contains instead of images, and what to do."""
    if (folder / "pointlib.json").is_file():
        return " It is a model: name a folder of images."
    for inside in sorted(path for path in folder.iterdir() if path.is_dir()):  # passed over
        if any(path.suffix.lower() in IMAGE_SUFFIXES for path in inside.iterdir()):
            return f" Did you mean {inside}?"
    others = sorted({path.suffix for path in folder.iterdir() if path.suffix and path.is_file()})
    return f" Its files are {', '.join(others[:5])}: export them as TIFF or PNG." if others else ""


def read_image(path: str | Path) -> np.ndarray:
    """Read one image, upright: (H, W) or (H, W, C).

    uint8 and uint16 stay as stored, 1-bit becomes 0 and 255, every other type float32. InputError
    if the file is missing, empty, broken, not an image, several images or above MAX_BYTES.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import read_image, write_image
    >>> write_image("deep.tif", np.arange(6, dtype=np.uint16).reshape(2, 3))
    >>> image = read_image("deep.tif")
    >>> image.shape, image.dtype
    ((2, 3), dtype('uint16'))
    """
    with open_image(path) as (_, read):
        return np.ascontiguousarray(read())


def image_header(path):
    """Return the Header of an image, without reading pixels."""
    with open_image(path) as (header, _):
        return header


def image_shape(path):
    """Return (H, W) of the image as `read_image` would return it, from the header alone."""
    return image_header(path).shape


def check_image(image, name="image"):
    """Return `image` if it is an array of numbers (H, W) or (H, W, C), or raise InputError."""
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3) or not image.size:
        shape = getattr(image, "shape", None)
        what = type(image).__name__ + ("" if shape is None else f" of shape {tuple(shape)}")
        raise InputError(
            f"{name} is a {what}; expected an array (H, W) or (H, W, C). Read files with "
            "pointlib.images.read_image."
        )
    if image.dtype.kind not in "buif":
        raise InputError(f"{name} has dtype {image.dtype}; expected numbers.")
    return image


def to_channels(image, n_channels):
    """Return `image` as (H, W, n_channels), of the same dtype.

    If the number is right, nothing changes. The last of 2 or 4 channels is taken as alpha and
    dropped, grey is repeated, RGB becomes its luma .299 R + .587 G + .114 B (BT.601).
    """
    image = image[:, :, None] if image.ndim == 2 else image
    if image.ndim != 3:
        raise InputError(f"image has shape {image.shape}; expected (H, W) or (H, W, C).")
    n_found = image.shape[2]
    if n_found in (2, 4) and n_found != n_channels:
        image = image[:, :, :-1]
    if image.shape[2] == n_channels:
        return image
    if image.shape[2] == 1 and n_channels == 3:
        return np.repeat(image, 3, axis=2)
    if image.shape[2] == 3 and n_channels == 1:
        luma = image @ np.array([[0.299], [0.587], [0.114]])
        return (luma if image.dtype.kind == "f" else np.rint(luma)).astype(image.dtype)
    raise InputError(f"image has {n_found} channels; expected {n_channels}: set num_channels.")


def to_display(image):
    """Return `image` as (H, W, 3) uint8 for display; of many channels the first three.

    uint8 stays. Other types are scaled from the 0.5th to the 99.5th percentile of all channels.
    """
    image = image[:, :, :3] if image.ndim == 3 and image.shape[2] > 4 else image
    image = to_channels(image, 1 if image.ndim == 2 or image.shape[2] < 3 else 3)
    if image.dtype != np.uint8:
        step = 1 + int(np.sqrt(image.size / 1e6))  # a million values are enough for percentiles
        sample = image[::step, ::step].astype(float)
        sample = sample[np.isfinite(sample)]
        low, high = np.percentile(sample, (0.5, 99.5)) if sample.size else (0, 1)
        scaled = np.nan_to_num((image.astype(np.float32) - low) / max(high - low, 1e-12))
        image = np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return to_channels(image, 3)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write `image` (H, W) or (H, W, C) to `path`, completely or not at all, by its suffix.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import read_image, write_image
    >>> write_image("grey.png", np.full((2, 3), 7, np.uint8))
    >>> read_image("grey.png").tolist()
    [[7, 7, 7], [7, 7, 7]]
    """
    suffix = Path(path).suffix.lower()
    try:
        data = encode_image(image, Image.registered_extensions()[suffix])
    except Exception as error:  # each encoder has its own exceptions
        what = f"cannot write {image.dtype} of shape {image.shape} as {suffix!r} ({error})"
        raise InputError(f"{path}: {what}. PNG takes 8 bits, or 16 if grey; TIFF all.") from error
    write_atomic(path, data)


def encode_image(image, kind="PNG", *, compression=6, quality=None, dpi=None):
    """Return an image as the bytes of a file.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, C), or Pillow's Image
        PNG takes uint8, and uint16 in grey; TIFF takes any array.
    kind : str
        Pillow's name of the file format.
    compression : int
        Of a PNG, from 1 (fast) to 9 (smallest).
    quality : int, optional
        Of a JPEG, up to 95, without chroma subsampling. Default Pillow's, 75.
    dpi : int, optional
        Pixels per inch, for printing.
    """
    file = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = image[:, :, 0] if image.shape[2:] == (1,) else image
        if kind == "TIFF":  # say what the axes are, or five channels become five pages
            colours = "rgb" if image.shape[2:] in ((3,), (4,)) else "minisblack"
            planar = "contig" if image.ndim == 3 else None
            tifffile.imwrite(file, image, photometric=colours, planarconfig=planar)
            return file.getvalue()
        image = Image.fromarray(image)
    options = {"optimize": True} if compression == 9 else {"compress_level": compression}
    options |= {} if quality is None else {"quality": quality, "subsampling": 0}
    options |= {} if dpi is None else {"dpi": (dpi, dpi)}
    image.save(file, kind, **options)
    return file.getvalue()


@contextmanager
def open_image(path):
    """Yield an image's Header and a function that reads the pixels, as for `read_image`."""
    path = need_file(path, "image")
    try:
        with path.open("rb") as file:
            is_tiff = file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
        with (_open_tiff if is_tiff else _open_pillow)(path) as (height, width, turn, kind, read):
            shape = (width, height) if 5 <= turn <= 8 else (height, width)
            yield Header(shape, plain_dtype(np.dtype(kind[0])), kind[1], turn), read
    except InputError:
        raise
    except Exception as error:  # a broken file makes decoders raise nearly anything
        what = f"cannot be read as an image ({brief(error)})"
        what = what if path.stat().st_size else "is empty (0 bytes)"
        raise InputError(f"{path} {what}. Copy or export it again, or remove it.") from error


def open_picture(file):
    """Return Pillow's image of a path or of bytes, if it is one of PILLOW_FORMATS."""
    file = io.BytesIO(file) if isinstance(file, bytes) else file
    with _bomb_check:  # our limit instead of Pillow's, which is a warning and then an error
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=PILLOW_FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def check_scans(path, image):
    """Raise InputError for a JPEG with so many scans that decoding takes minutes."""
    path, n_pixels = Path(path), image.width * image.height
    # a scan has at least ten bytes: most files are too small to need counting
    if image.format not in ("JPEG", "MPO") or path.stat().st_size * n_pixels <= 10 * MAX_SCANNED:
        return
    n_scans = path.read_bytes().count(b"\xff\xda")
    if n_scans * n_pixels > MAX_SCANNED:
        what = f"{image.width} x {image.height} in {n_scans} scans"
        raise InputError(f"{path} is a JPEG of {what}. Export it again, or cut it.")


def _check_bytes(path, size, kind, *, most=None):
    """Raise InputError if the pixels take more than `most` bytes, as stored or as read.

    `size` is (height, width), `kind` dtype and number of channels; `most` is MAX_BYTES by default.
    """
    (height, width), dtype, n_channels = size, np.dtype(kind[0]), kind[1]
    most = most or MAX_BYTES
    if not height * width * n_channels:
        raise InputError(f"{path} is {width} x {height} x {n_channels}: empty. Export it again.")
    n_bytes = height * width * n_channels * max(dtype.itemsize, plain_dtype(dtype).itemsize)
    if n_bytes > most:
        channels = f" with {n_channels} channels" if n_channels > 1 else ""
        raise ImageTooLargeError(
            f"{path} is {width} x {height}{channels} of {dtype}, {n_bytes / 1e6:,.0f} MB of "
            f"pixels; at most {most / 1e6:,.0f} MB are read at once. Save it as a TIFF in tiles of "
            "256 or 512 px, which is read in parts, or save it smaller."
        )


def plain_upright(array, turn):
    """Return the array in a dtype of the kit, rotated and flipped by EXIF orientation `turn`."""
    if array.dtype.kind == "c":
        raise TypeError("complex pixels; expected real ones, save the magnitude")
    array = array * np.uint8(255) if array.dtype.kind == "b" else array
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, taken as missing
        array = array.astype(plain_dtype(array.dtype), copy=not array.flags.writeable)
    if array.dtype.kind == "f" and not np.isfinite(array).any():
        raise ValueError("no finite pixel: all are NaN or infinite")
    return turn_upright(array, turn)


def turn_upright(array, turn):
    """Return an array rotated and flipped by EXIF orientation `turn`."""
    array = array.swapaxes(0, 1) if 5 <= turn <= 8 else array
    array = array[::-1] if turn in (3, 4, 7, 8) else array
    return array[:, ::-1] if turn in (2, 3, 6, 7) else array


def plain_dtype(dtype):
    """Return the dtype of the kit for another dtype: uint8, uint16 or float32."""
    whole = dtype.kind == "b" or (dtype.kind == "u" and dtype.itemsize <= 2)
    return np.dtype(f"u{dtype.itemsize}" if whole else np.float32)


@contextmanager
def _open_tiff(path):
    with open_tiff(path) as tiff:
        series, *others = [part for part in tiff.series if not part.keyframe.is_reduced]
        axes, shape = series.axes, series.shape
        more = [i for i, name in enumerate(axes) if name not in "YX" and shape[i] > 1]
        if others or "".join(axes[i] for i in more) not in ("", "C", "S"):
            what = f"{len(tiff.pages)} pages, axes {axes} of {shape}; expected YX, CYX or YXC"
            raise InputError(
                f"{path} has {what}. `pointlib pages FOLDER OUT` makes a maximum projection of "
                "each stack, or takes its --page N; channels need an axis of that name."
            )
        y, x = axes.index("Y"), axes.index("X")
        turn = int(getattr(series.keyframe.tags.get(ORIENTATION), "value", 1))
        pillow = series.keyframe.photometric in _BY_PILLOW
        kind = (np.uint8, 3) if pillow else (series.dtype, shape[more[0]] if more else 1)
        _check_bytes(path, (shape[y], shape[x]), kind)
        yield shape[y], shape[x], turn, kind, lambda: _read_tiff(path, series, [y, x, *more], turn)


def _read_tiff(path, series, order, turn):
    page = series.keyframe
    for part in series:
        if part is None:
            raise EOFError("it lists planes that it does not contain")
        check_strips(part)
    pillow = page.photometric in _BY_PILLOW
    told = ""
    try:
        array = None if pillow else series.asarray()
    except (ValueError, ImportError) as error:  # a compression that Pillow may know
        told = missing_codec(path, page, error)
        if page.bitspersample * page.samplesperpixel > 32:  # Pillow would lose bits or bands
            raise InputError(told) if told else error from error
        pillow = True
    if pillow:
        return _read_by_pillow(path, told)
    array = array.transpose(order + [i for i in range(array.ndim) if i not in order])
    array = array.reshape([series.shape[axis] for axis in order])
    if page.photometric == 0 and array.dtype.kind == "u":  # white is zero
        array = np.iinfo(array.dtype).max - array
    return plain_upright(array, turn)


def _read_by_pillow(path, told):
    """Return a TIFF's pixels; `told` is a sentence if Pillow does not know its compression."""
    try:
        with _open_pillow(path) as (*_, read):
            return read()
    except OSError as error:
        raise InputError(told) if told else error from error


@contextmanager
def _open_pillow(path):
    with open_picture(path) as image:
        n_frames = getattr(image, "n_frames", 1)
        if n_frames > 1 and image.format not in ("MPO", "TIFF"):  # MPO: a photo and its previews
            raise InputError(f"{path} has {n_frames} frames. Save one as its own file.")
        turn, kind = _orientation(path, image), _pillow_kind(image)
        n_copies = 2 if image.format == "WEBP" else 1  # its decoder keeps the whole image
        _check_bytes(path, image.size[::-1], kind, most=MAX_BYTES // n_copies)
        yield *image.size[::-1], turn, kind, lambda: _read_pillow(path, image)


def _pillow_kind(image):
    """Return the dtype and number of channels that `_read_pillow` gives, from the header."""
    mode, raw = image.mode, image.tile[0][3] if image.format == "PNG" else None
    if raw in _LOW_BYTES:
        return np.uint16, 2 if raw == "LA;16B" else Image.getmodebands(mode)
    if mode == "P":
        mode = "RGBA" if "transparency" in image.info else getattr(image.palette, "mode", "RGB")
    wide = mode[:4] == "I;16" or (mode == "I" and image.format in ("PNG", "PPM"))
    dtype = np.uint16 if wide else np.float32 if mode in "IF" else np.uint8
    return dtype, Image.getmodebands(_MODES.get(mode, mode))


def _read_pillow(path, image):
    check_scans(path, image)
    raw = image.tile[0][3] if image.format == "PNG" else None
    if raw and any(place + size > path.stat().st_size for _, place, size in _png_chunks(path)):
        raise EOFError("truncated")  # Pillow would allocate as much memory as the chunk says
    is_own = image.mode == "P" or image.mode in _MODES
    array = np.asarray(image.convert(_MODES.get(image.mode)) if is_own else image)
    if raw in _LOW_BYTES:
        with PngImagePlugin.PngImageFile(path) as other:
            other.tile = [(*other.tile[0][:3], _LOW_BYTES[raw])]
            low = np.asarray(other)
        array = low.view(">u2") if raw == "LA;16B" else np.uint16(256) * array + low
    if image.mode == "I" and image.format in ("PNG", "PPM"):  # 16 bits stored as 32
        array = array.astype(np.uint16)
    turn = _orientation(path, image)  # Pillow may have rotated a TIFF by now
    image.close()  # before the next copy: three of a large image take too much memory
    return plain_upright(array, turn)


def _orientation(path, image):
    """Return the EXIF orientation; a PNG, which may have it after the pixels, is not decoded."""
    if image.format != "PNG":
        return image.getexif().get(ORIENTATION, 1)
    exif = Image.Exif()
    for kind, place, size in _png_chunks(path):
        if kind == b"eXIf":
            with path.open("rb") as file:
                file.seek(place)
                exif.load(file.read(size))
    return exif.get(ORIENTATION, 1)


def _png_chunks(path):
    """Yield type, position and size of each chunk of a PNG, as far as the file goes."""
    place, end = 8, path.stat().st_size
    with path.open("rb") as file:
        while place + 8 <= end:
            file.seek(place)
            size, kind = int.from_bytes(file.read(4)), file.read(4)
            yield kind, place + 8, size
            if kind == b"IEND":  # what follows is not part of the PNG
                return
            place += size + 12
