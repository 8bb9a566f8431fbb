"""Files with the points of one image each, matched to the images by name.

They are beside their images or in a folder of their own, and may be images themselves. Not about
their contents.
"""

import warnings
from itertools import islice

import numpy as np

from pointlib.errors import InputError
from pointlib.images import image_shape, open_picture, read_image

MOST_LISTED = 2000  # of a folder's files, to recognise a format


def find_companions(source, pictures, *, suffixes, folders, names):
    """Return (image, file) for each file with one image's points.

    The source folder and the images' folders are searched; if there are none, folders of such files
    in these. A source file is used alone. Files that are images themselves are removed from
    `pictures`.

    Parameters
    ----------
    source : Path
    pictures : Pictures
    suffixes : tuple of str
        Lower case, such as ".csv".
    folders : tuple of str
        Names of folders of such files, lower case.
    names : names(file, alone) -> list of str
        Possible names of a file's image, likeliest first; [] if it is not such a file. `alone`:
        there are no images in its folder.
    """
    parents = list(dict.fromkeys([pictures.folder, *(path.parent for path in pictures.paths)]))
    home = source if source.is_dir() else source.parent
    near = _claim(dict.fromkeys([home, *parents]), parents, suffixes, names)
    pictures.drop([*near, source])
    if source.is_file():
        found = {source: near.get(source) or names(source, True) or [source.stem]}
    else:
        above = [path.parent for path in parents if path.parent.is_relative_to(home)]
        places = [own for top in dict.fromkeys([home, pictures.home, *parents, *above])
                  for own in _own_folders(top, folders)]  # fmt: skip
        found = near or _claim(dict.fromkeys(places), parents, suffixes, names)
    if not found and source.is_dir() and not places:
        raise InputError(_why_none(home, pictures, suffixes, folders))
    return [(pictures.find(_likeliest(keys, pictures), str(file), near=file.parent), file)
            for file, keys in found.items()]  # fmt: skip


def has_companions(source, *, suffixes, folders, is_own):
    """Return whether a source is probably such a file, or a folder of them; never raises.

    `is_own(file, alone)` decides for a file with one of the suffixes.
    """
    try:
        if source.is_file():
            return source.suffix.lower() in suffixes and is_own(source, False)
        inside = [source / "images"] if (source / "images").is_dir() else []
        own = list(_own_folders(source, folders))
        # a folder of that name with text files or tables is a dataset's
        kinds = {path.suffix.lower() for path in islice(source.iterdir(), MOST_LISTED)}
        own += [source] if source.name.lower() in folders and kinds <= {*suffixes, ""} else []
        return any(
            is_own(file, place in own)
            for place in [source, *inside, *own]
            for file in _files(place, suffixes, most=MOST_LISTED)
        )
    except OSError:
        return False


def read_layer(file, shape, *, indexed=False):
    """Return a label image or .npy for an image of `shape`, (H, W); each colour becomes a number.

    With a palette and `indexed`, the palette's indices instead. Another shape, by the header,
    raises InputError, as does an .npy of anything but integers.
    """
    array = _open_npy(file) if file.suffix.lower() == ".npy" else None
    found = image_shape(file) if array is None else array.shape
    if found != shape:
        raise InputError(
            f"{file} has shape {found} (height, width), its image {shape}. Use the image that it "
            "was made on."
        )
    if array is not None:
        return np.array(array)
    layer = _read_indices(file) if indexed else None
    if layer is not None and layer.shape == shape:
        return layer
    return _one_channel(read_image(file), file)


def _open_npy(file):
    """Return an .npy file as a memory-mapped array, or raise InputError; never unpickles."""
    try:
        array = np.lib.format.open_memmap(file, mode="r")
        if array.dtype.kind in "bui":
            return array
        what = f"{array.dtype}"
    except Exception as error:  # a broken header makes numpy raise nearly anything
        what = str(error).partition("\n")[0]
    raise InputError(
        f"{file} is not a plain array of whole numbers ({what}). Pickled objects can run code and "
        "are not read; if this is Cellpose's _seg.npy, save the masks as PNG in Cellpose."
    )


def _read_indices(file):
    """Return the indices (H, W) of an image with a palette, None for other images."""
    try:
        with warnings.catch_warnings(action="ignore"), open_picture(file) as picture:
            return np.asarray(picture) if picture.mode == "P" else None
    except Exception:  # read_image may open what Pillow cannot
        return None


def _one_channel(image, file):
    """Return an image (H, W) or (H, W, C) as (H, W), without alpha, each colour a number."""
    if image.ndim == 2:
        return image
    n_channels = image.shape[2]
    if n_channels == 2:
        return image[:, :, 0]
    if n_channels > 4 or image.dtype.kind == "f":
        raise InputError(
            f"{file} has {n_channels} channels of {image.dtype}; expected grey or RGB."
        )
    return image[:, :, :3].astype(np.int64) @ np.array([2**32, 2**16, 1])


def _claim(places, parents, suffixes, names):
    """Return {file: possible names of its image} for the files in `places`."""
    found = {}
    for place in places:
        alone = not any(parent.is_relative_to(place) for parent in parents)
        for file in _files(place, suffixes):
            if keys := names(file, alone):
                found[file] = keys
    return found


def _files(place, suffixes, *, most=None):
    """Return the files of a folder with one of the suffixes, by name, without hidden ones."""
    paths = [path for path in islice(place.iterdir(), most) if path.suffix.lower() in suffixes]
    return sorted(path for path in paths if path.name[0] != "." and path.is_file())


def _own_folders(top, folders):
    """Yield the folders in `top` with a name in `folders`, in that order."""
    inside = {path.name.lower(): path for path in top.iterdir() if path.is_dir()}
    yield from (inside[name] for name in folders if name in inside)


def _likeliest(keys, pictures):
    return next((key for key in keys if pictures.has(key)), keys[0])


def _why_none(home, pictures, suffixes, folders):
    own = home.name.lower() in folders and pictures.folder == home
    return (
        f"{home} has no file of points ({', '.join(suffixes)}) that belongs to an image"
        + (" in another folder. Name the images' folder with --images." if own else
           f", nor a folder {', '.join(folders)} with such files.")
    )  # fmt: skip
