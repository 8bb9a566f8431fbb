"""Windows: a picture of any size, read part by part.

TIFF and BigTIFF with their pyramids (SVS and OME-TIFF too) and OME-Zarr are read by windows, with
zarr; so memory does not grow with the picture. Other files are read whole, up to the limit of
images.py. `pieces_of` cuts a picture that is large, or labelled in part, into images to train on.

About pixels of parts. Not about images that fit into memory (images.py), nor about a network's
tiles (predict/tiles.py).
"""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pointlib.errors import InputError, brief
from pointlib.images import Header, ImageTooLargeError, image_header, plain_dtype, read_image
from pointlib.regions import Regions
from pointlib.tiff import missing_codec, open_tiff

MAX_CHUNK = 256_000_000  # bytes of one tile or strip, which is decoded whole
TIFFS = (".tif", ".tiff", ".svs")
COLOURS = {"S", "C"}  # axes of channels
INDIRECT = (3, 5, 8)  # TIFF's palette, CMYK and Lab: not red, green and blue
NEEDS_LARGE = "pip install 'pointlib[large]'"
CUT = 100_000_000  # bytes of pixels: larger TIFFs are cut into pieces to train on
SIDE, CONTEXT = 1536, 128  # px: of a piece, and how much more is shown on each side of it


@dataclasses.dataclass
class Picture:
    """A picture that is read by windows, upright, in the dtypes of the kit."""

    path: Path
    shape: tuple  # (H, W) or (H, W, C) of this level
    dtype: np.dtype
    full: tuple  # (H, W) of the largest level
    n_levels: int
    read: Callable  # read(top, bottom, left, right) -> (h, w) or (h, w, C)
    close: Callable = lambda: None

    @property
    def header(self):
        """The images.Header of this level."""
        return Header(self.shape[:2], self.dtype, self.shape[2] if len(self.shape) > 2 else 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def open_windows(path, *, level=0):
    """Open a picture to read parts of it.

    Parameters
    ----------
    path : str or Path
        An image file, or the folder of an OME-Zarr.
    level : int
        Of a pyramid; 0 is the largest.

    Returns
    -------
    Picture
        Close it, or use it in a ``with`` block.

    Raises
    ------
    InputError
        If the file cannot be read, has no such level, or needs a package that is not installed.
    """
    path = Path(path)
    if is_zarr(path):
        return _open_zarr(path, level)
    if path.suffix.lower() in TIFFS:
        try:
            return _open_tiff(path, level)
        except InputError:
            raise
        except Exception as error:  # a broken file makes decoders raise nearly anything
            raise InputError(f"{path} cannot be read by windows ({brief(error)}).") from error
    return _open_whole(path, level)


def is_zarr(path):
    """Return whether a path is the folder of a Zarr."""
    return any((Path(path) / name).is_file() for name in (".zgroup", ".zattrs", "zarr.json"))


def fits_whole(path):
    """Return whether a file is for `images.read_image`, rather than to be read by windows."""
    if is_zarr(path) or Path(path).suffix.lower() == ".svs":
        return False
    try:
        image_header(path)
    except ImageTooLargeError:
        return False
    except InputError:  # which `read_image` tells
        return True
    return True


class Piece(NamedTuple):
    """A part of a picture, as an image of its own."""

    box: tuple  # left, top, right, bottom; the last two exclusive
    regions: Regions | None  # what of it is labelled, in its own pixels; None if all


def pieces_of(shape, regions=None, *, side=None, context=CONTEXT):
    """Cut a picture into pieces that cover what is labelled, each place once.

    Parameters
    ----------
    shape : (H, W)
    regions : Regions, optional
        What is labelled; default everything.
    side : int, optional
        Of what a piece is labelled in, at most; default no limit.
    context : int
        How much more of the picture a piece shows on each side, where there is more.

    Returns
    -------
    list of Piece
        In reading order. Without regions and side it is one, the whole picture.
    """
    height, width = shape
    left, top, right, bottom = regions.bounds(shape) if regions else (0, 0, width, height)
    pieces = []
    for (y0, y1), (x0, x1) in itertools.product(
        _spans(top, bottom, side), _spans(left, right, side)
    ):
        start, stop = (
            np.maximum([x0, y0], context) - context,
            np.minimum([x1 + context, y1 + context], [width, height]),
        )
        core = Regions.box(x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5)
        labelled = Regions(core.areas, within=regions).moved(-start)
        if not regions and (x1 - x0, y1 - y0) == (width, height):
            labelled = None
        elif regions and not labelled.mask((stop - start)[::-1]).any():
            continue
        pieces.append(Piece((*start.tolist(), *stop.tolist()), labelled))
    return pieces


def _spans(start, stop, side):
    """Return (start, stop) of equal parts of a length, each at most `side` long."""
    n_parts = 1 if side is None else max(1, -(-(stop - start) // side))
    edges = np.linspace(start, stop, n_parts + 1).round().astype(int).tolist()
    return list(itertools.pairwise(edges))


def picture_header(path):
    """Return the images.Header of a picture of any size."""
    try:
        return image_header(path)
    except ImageTooLargeError:
        with open_windows(path) as picture:
            return picture.header


def read_part(path, box):
    """Read a part of a picture: `box` is left, top, right, bottom in pixels."""
    left, top, right, bottom = box
    with open_windows(path) as picture:
        return picture.read(top, bottom, left, right)


def is_cut(path, header):
    """Return whether a picture is so large that it is cut into pieces to train on."""
    n_bytes = np.prod(header.shape, dtype=float) * header.n_channels * header.dtype.itemsize
    return path.suffix.lower() in TIFFS and n_bytes > CUT


def _open_whole(path, level):
    """Return the Picture of a file that is read whole."""
    _need_level(path, level, 1)
    image = read_image(path)

    def read(top, bottom, left, right):
        return image[top:bottom, left:right].copy()  # who keeps it must not keep the whole

    return Picture(path, image.shape, image.dtype, image.shape[:2], 1, read)


def _need_level(path, level, n_levels):
    if level not in range(n_levels):
        raise InputError(f"{path} has {n_levels} level(s); level {level} is not one of them.")


def _open_tiff(path, level):
    """Return the Picture of a TIFF: its first image, at a level of its pyramid."""
    try:
        zarr = _zarr(path)
    except InputError:
        if level == 0 and fits_whole(path):
            return _open_whole(path, level)
        raise
    tiff = open_tiff(path)
    try:
        series = tiff.series[0]
        others = [s for s in tiff.series[1:] if not s.keyframe.is_reduced and not tiff.is_svs]
        if others:
            what = f"{len(tiff.series)} images, of {series.shape} and {others[0].shape}"
            raise InputError(f"{path} has {what}. Save one as its own file.")
        _need_level(path, level, len(series.levels))
        chosen = series.levels[level]
        page = chosen.keyframe
        if odd := _why_whole(series.keyframe, page):
            if level == 0 and fits_whole(path):
                tiff.close()
                return _open_whole(path, level)
            raise InputError(f"{path} {odd}, and so is not read in parts. Save it anew.")
        array = zarr.open(series.aszarr(level=level), mode="r")
        order = _order(path, chosen.axes, chosen.shape)
        read = _slicer(path, array, order, page=page)
        full = _layout(series.levels[0].shape, _order(path, series.axes, series.shape))
        return Picture(
            path=path,
            shape=_layout(chosen.shape, order),
            dtype=plain_dtype(np.dtype(chosen.dtype)),
            full=full[:2],
            n_levels=len(series.levels),
            read=read,
            close=tiff.close,
        )
    except BaseException:
        tiff.close()
        raise


def _why_whole(first, page):
    """Return why parts of a TIFF are not its pixels or take too much memory, or ""."""
    turn = int(getattr(first.tags.get(274), "value", 1))
    if turn != 1:
        return f"is stored turned (orientation {turn})"
    n_bytes = int(np.prod(page.chunks, dtype=float)) * page.dtype.itemsize
    if n_bytes > MAX_CHUNK:
        return f"is stored in pieces of {n_bytes / 1e6:,.0f} MB instead of tiles of 256 or 512 px"
    if page.photometric in INDIRECT:
        return f"has colours as {page.photometric.name}"
    return ""


def _open_zarr(path, level):
    """Return the Picture of an OME-Zarr at a level of its pyramid."""
    zarr = _zarr(path)
    try:
        group = zarr.open_group(path, mode="r")
        attributes = dict(group.attrs)
        (scales, *_) = attributes.get("ome", attributes)["multiscales"]
        paths = [dataset["path"] for dataset in scales["datasets"]]
        axes = "".join((a if isinstance(a, str) else a["name"])[0].upper() for a in scales["axes"])
    except Exception as error:  # no group, no attributes, or others than these
        raise InputError(
            f"{path} is no OME-Zarr ({brief(error)}): it has no multiscales with axes and datasets."
        ) from error
    _need_level(path, level, len(paths))
    array, largest = group[paths[level]], group[paths[0]]
    order = _order(path, axes, array.shape)
    _check_chunk(path, array.chunks, array.dtype)
    return Picture(
        path=path,
        shape=_layout(array.shape, order),
        dtype=plain_dtype(np.dtype(array.dtype)),
        full=_layout(largest.shape, order)[:2],
        n_levels=len(paths),
        read=_slicer(path, array, order),
    )


def _zarr(path):
    """Return the package zarr, which reads windows."""
    try:
        import zarr
    except ImportError:
        raise InputError(f"{path} is read by windows, which needs zarr: {NEEDS_LARGE}") from None
    return zarr


def _check_chunk(path, chunks, dtype):
    """Raise InputError if one tile or strip takes too much memory."""
    n_bytes = int(np.prod(chunks, dtype=float)) * np.dtype(dtype).itemsize
    if n_bytes > MAX_CHUNK:
        raise InputError(
            f"{path} is stored in pieces of {n_bytes / 1e6:,.0f} MB, which are read whole; at most "
            f"{MAX_CHUNK / 1e6:,.0f} MB. Save it in tiles of 256 or 512 px."
        )


def _order(path, axes, shape):
    """Return the indices of the axes Y, X and, if there is one, of the channels."""
    more = [i for i, name in enumerate(axes) if name not in "YX" and shape[i] > 1]
    if {"Y", "X"} - set(axes) or len(more) > 1 or {axes[i] for i in more} - COLOURS:
        raise InputError(
            f"{path} has axes {axes} of {tuple(shape)}; expected YX, YXC or CYX. `pointlib pages "
            "FOLDER OUT` makes a maximum projection, or takes one --page N."
        )
    return [axes.index("Y"), axes.index("X"), *more]


def _layout(shape, order):
    """Return the shape of a picture, (H, W) or (H, W, C)."""
    return tuple(int(shape[axis]) for axis in order)


def _slicer(path, array, order, *, page=None):
    """Return read(top, bottom, left, right) of a zarr array; `page` is that of a TIFF."""
    invert = page is not None and page.photometric == 0

    def read(top, bottom, left, right):
        index = [0] * array.ndim
        for axis, span in zip(order, ((top, bottom), (left, right), (0, None)), strict=False):
            index[axis] = slice(*span)
        try:
            part = np.asarray(array[tuple(index)])
        except Exception as error:  # decoders raise their own kinds
            if page is not None and (told := missing_codec(path, page, error)):
                raise InputError(told) from error
            what = f"{path} cannot be read ({brief(error)})"
            raise InputError(f"{what}. Copy or export it again.") from error
        kept = sorted(order)
        part = part.transpose([kept.index(axis) for axis in order])
        if part.dtype.kind == "b":
            part = part * np.uint8(255)
        if invert and part.dtype.kind == "u":
            part = np.iinfo(part.dtype).max - part
        return np.ascontiguousarray(part.astype(plain_dtype(part.dtype), copy=False))

    return read
