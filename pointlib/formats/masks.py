"""`masks`, a label image for each image: one value per object, 0 for the background.

As Cellpose (NAME_cp_masks.png or .tif), StarDist, napari and ImageJ write them, in a folder `masks`
or `labels`, or beside the image NAME or NAME_img, as NAME_mask, NAME_masks or NAME_label: PNG or
TIFF of 8, 16 or 32 bits, or .npy of integers. An object's point is the mean of its pixels' centres,
which are whole numbers. In an image with a palette, the indices count, else each colour. No
classes. All 0 means "looked, nothing there"; no mask, "not labelled yet".

If there are at least twice as many connected components as values, the values do not number the
objects but are yes and no, or colours that separate neighbours (BBBC039): then each 8-connected
component of one value is an object. In a folder with one image in `images` and several `masks`, as
in the Data Science Bowl of 2018, each mask is one object of that image.

`write` makes a 16-bit PNG, or a 32-bit TIFF if there are more objects, with one pixel per object:
points are rounded to whole pixels, and two in one pixel become one. Cellpose's _seg.npy is a
pickle, which can run code and is not read.
"""

import re
from functools import partial

import numpy as np
from scipy import ndimage

from pointlib.errors import InputError
from pointlib.formats.dots import to_pixels
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.companions import find_companions, has_companions, read_layer
from pointlib.images import write_image
from pointlib.points import masks_to_points

FOLDER = "masks"
PLACES = {
    "suffixes": (".png", ".tif", ".tiff", ".npy", ".bmp", ".gif", ".pgm", ".ppm"),
    "folders": (FOLDER, "mask", "labels", "label", "ground_truth", "gt"),
}
EXACT = 2**24  # read_image turns 32 bits into float32, which is exact below this
MOST_COLOURS = 255
IMAGE_WORDS = ("", "image", "img", "im")  # images/img_1.png and masks/mask_1.png
_MARK = r"(?:cp[-_])?(?:masks?|labels?|instances?|seg)"
_LAST = re.compile(rf"(.+?)[-_. ]{_MARK}", re.IGNORECASE)
_WORD = re.compile(rf"(?<![a-z]){_MARK}(?![a-z])", re.IGNORECASE)
_BY_PRODUCT = re.compile(r"(.+?)_(?:cp_output|outlines|flows)(?:_.*)?")  # files of Cellpose


def read(source, pictures, form):
    """Yield a Record for each image that has a mask."""
    lone = _lone_images(pictures)
    names = partial(_image_names, lone)
    found = find_companions(source, pictures, names=names, **PLACES)
    pictures.drop([path for path in pictures.paths if _is_by_product(path, pictures)])
    masks = {}
    for image, file in _without_pickles(found):
        if image in masks and image not in lone.values():
            raise InputError(
                f"{file} and {masks[image][0]} both belong to {image.name}. Remove one."
            )
        masks.setdefault(image, []).append(file)
    for image, files in masks.items():
        if not pictures.is_missing(image):
            shape = pictures.shape(image)
            find = _centres if len(files) == 1 else _centre
            points = form.to_points(np.vstack([find(file, shape) for file in files]), shape)
            yield Record(image, shape, points, np.full(len(points), ""))


def write(folder, records, form):
    """Write masks/NAME.png or .tif for each record's image, one pixel per object."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for record in records:
        pixels = to_pixels(form.from_points(record.points, record.shape), record.shape)
        x, y = np.unique(pixels, axis=0).T
        wide = len(x) >= 2**16
        mask = np.zeros(record.shape, dtype=np.uint32 if wide else np.uint16)
        mask[y, x] = np.arange(1, len(x) + 1)
        name = f"{record.stem}{'.tif' if wide else '.png'}"
        write_image(folder / FOLDER / name, mask)


def looks(source):
    """Return whether there are images called masks, or a folder of that name."""
    is_own = lambda file, alone: alone or bool(_LAST.fullmatch(file.stem))  # noqa: E731
    return has_companions(source, is_own=is_own, **PLACES)


def _image_names(lone, file, alone):
    """Return possible names of a mask's image; `lone` is from `_lone_images`."""
    last = _LAST.fullmatch(file.stem)
    names = [last[1], f"{last[1]}_img"] if last else []
    if not alone:
        return names
    word = _WORD.search(file.stem)
    names += [(file.stem[: word.start()] + other + file.stem[word.end() :]).strip("-_. ")
              for other in IMAGE_WORDS] if word else []  # fmt: skip
    only = lone.get(file.parent.parent)
    return [file.stem, *names, *([only.name] if only else [])]


def _lone_images(pictures):
    """Return {folder: image} where the image is the only one in the folder's `images`."""
    found = {}
    for path in pictures.paths:
        found.setdefault(path.parent, []).append(path)
    return {
        place.parent: paths[0]
        for place, paths in found.items()
        if len(paths) == 1 and place.name.lower() == "images"
    }


def _without_pickles(found):
    """Return (image, file) without Cellpose's _seg.npy if an image has another file."""
    others = {image for image, file in found if not file.name.endswith("_seg.npy")}
    return [(image, file) for image, file in found
            if image not in others or not file.name.endswith("_seg.npy")]  # fmt: skip


def _is_by_product(path, pictures):
    match = _BY_PRODUCT.fullmatch(path.stem)
    return bool(match and pictures.has(match[1]))


def _centre(file, shape):
    """Return the centroid (1, 2) of a mask of one object; (0, 2) if it is empty."""
    mask = read_layer(file, shape, indexed=True) != 0
    return masks_to_points(mask.astype(np.uint8))


def _centres(file, shape):
    """Return the centroids (N, 2) of the objects in a mask."""
    mask = _whole(read_layer(file, shape, indexed=True), file)
    values = np.unique(mask)
    values = values[values != 0]
    n_pieces = ndimage.label(mask, np.ones((3, 3)))[1]
    if n_pieces < 2 * len(values) or len(values) > MOST_COLOURS:
        return masks_to_points(mask)
    parts = [masks_to_points(ndimage.label(mask == value, np.ones((3, 3)))[0]) for value in values]
    return np.vstack([np.empty((0, 2)), *parts])


def _whole(mask, file):
    """Return a mask as integers from 0, or raise InputError that says what it has."""
    low, high = mask.min(), mask.max()
    if mask.dtype.kind == "f" and not (np.isfinite(mask).all() and (mask == np.rint(mask)).all()):
        raise InputError(f"{file} has fractions; expected a whole number for each object.")
    if low < 0 or high >= (EXACT if mask.dtype.kind == "f" else 2**62):
        raise InputError(
            f"{file} has values from {low:g} to {high:g}; expected 0 to {EXACT - 1}. Renumber the "
            "objects, with 0 for the background."
        )
    return mask.astype(np.int32 if high < 2**31 else np.int64)


FORMAT = Format(
    "masks",
    "a label image per image, one value per object",
    read,
    write,
    looks,
    decimals=0,
    carries=frozenset({"empty"}),
    checked="scikit-image",
    merges=True,
    nests=False,
)
