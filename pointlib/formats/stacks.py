"""Stacks of images, such as a microscope's focus series, as single images to annotate and train on.

A stack becomes its maximum projection, the brightest pixel of all planes, or one of its pages. Not
about points, nor about channels, which stay.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pointlib.errors import InputError
from pointlib.files import make_temporary, move, need_file, need_place
from pointlib.images import ORIENTATION, list_images, turn_upright, write_image
from pointlib.points import text_path
from pointlib.tiff import check_strips, missing_codec, open_tiff

DEPTH = "ZIQR"  # axes of tifffile: depth, and pages without a name
PLANE = "YXCS"  # axes of one image


def flatten_stacks(
    source: str | Path,
    target: str | Path,
    *,
    page: int | None = None,
    on_image: Callable | None = None,
) -> int:
    """Write each stack of a folder as one image, and copy what is no stack; return their number.

    Parameters
    ----------
    source : str or Path
        A folder of images, or one file. Text files of points beside them are copied too.
    target : str or Path
        A folder that does not exist yet; it is written completely or not at all. Names stay.
    page : int, optional
        Which page to take, from 1; the channels of a plane are one page. Default: the maximum over
        all.
    on_image : callable, optional
        Called with (name, number done, number of all) after each image.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> from pointlib import read_image
    >>> from pointlib.formats.stacks import flatten_stacks
    >>> stack = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    >>> tifffile.imwrite("cells.tif", stack, metadata={"axes": "ZYX"})
    >>> flatten_stacks("cells.tif", "flat")
    1
    >>> int(read_image("flat/cells.tif").max())
    23
    """
    source, target = Path(source), Path(target)
    paths = list_images(source) if source.is_dir() else [need_file(source, "image or folder")]
    top = source if source.is_dir() else source.parent
    if target.exists():
        raise InputError(f"{target} already exists. Give the name of a new folder.")
    need_place(target, "target")
    if page is not None and page < 1:
        raise InputError(f"page is {page}; expected a number from 1.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = make_temporary(target.parent)
    try:
        folder, n_stacks = temporary / "images", 0
        for number, path in enumerate(paths, start=1):
            place = folder / path.relative_to(top)
            place.parent.mkdir(parents=True, exist_ok=True)
            n_stacks += _flatten(path, place, page)
            if on_image:
                on_image(path.name, number, len(paths))
        move(folder, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return n_stacks


def read_stack(path: str | Path, *, page: int | None = None) -> np.ndarray | None:
    """Return a stack's maximum projection or one page, (H, W) or (H, W, C); None if it is no stack.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> from pointlib.formats.stacks import read_stack
    >>> tifffile.imwrite("cells.tif", np.arange(24).reshape(2, 3, 4), metadata={"axes": "ZYX"})
    >>> read_stack("cells.tif", page=1).shape
    (3, 4)
    """
    path = Path(path)
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    with open_tiff(path) as tiff:
        series, *others = [part for part in tiff.series if not part.keyframe.is_reduced]
        if others:
            raise InputError(
                f"{path} holds {len(others) + 1} images, of {series.shape}, {others[0].shape} and "
                "so on, which are no stack. Save one as its own file."
            )
        axes, shape = series.axes, series.shape
        deep = [i for i, name in enumerate(axes) if name not in PLANE and shape[i] > 1]
        if not deep:
            return None
        _need_depth(path, [axes[i] for i in deep], shape, page)
        turn = int(getattr(series.keyframe.tags.get(ORIENTATION), "value", 1))
        return turn_upright(_planes(path, series, deep, page), turn)


def _flatten(path, place, page):
    """Write one image and its points; return whether it was a stack."""
    image = read_stack(path, page=page)
    if image is None:
        shutil.copyfile(path, place)
    else:
        write_image(place, image)
    if text_path(path).is_file():
        shutil.copyfile(text_path(path), text_path(place))
    return image is not None


def _need_depth(path, names, shape, page):
    """Raise InputError if a maximum would mix times, or a page is not there."""
    if page is None and any(name not in DEPTH for name in names):
        raise InputError(
            f"{path} has axes {''.join(names)} besides its planes, of {shape}: a maximum over time "
            "or the like would mix them. Take one page: --page N."
        )


def _planes(path, series, deep, page):
    """Return the maximum of the planes of a stack, or one of them."""
    for part in series:
        if part is None:
            break  # planes follow each other in the file, and have no header of their own
        check_strips(part)
    try:
        stack = series.asarray(out="memmap")  # a temporary file: stacks may not fit in memory
    except (ValueError, ImportError) as error:
        told = missing_codec(path, series.keyframe, error)
        raise InputError(told) if told else error from error
    stack = np.moveaxis(stack, deep, range(len(deep)))
    planes = stack.reshape(-1, *stack.shape[len(deep) :])
    if page is not None:
        if page > len(planes):
            raise InputError(f"{path} has {len(planes)} pages; there is no page {page}.")
        return _one(planes[page - 1], series.axes, deep)
    highest = np.array(planes[0])
    for plane in planes[1:]:
        np.maximum(highest, plane, out=highest)
    return _one(highest, series.axes, deep)


def _one(plane, axes, deep):
    """Return a plane as (H, W) or (H, W, C)."""
    names = [name for i, name in enumerate(axes) if i not in deep]
    order = [names.index("Y"), names.index("X")]
    order += [i for i, name in enumerate(names) if name in "CS" and plane.shape[i] > 1]
    rest = [i for i in range(plane.ndim) if i not in order]
    plane = np.array(plane).transpose(order + rest)
    return plane.reshape(plane.shape[: len(order)])
