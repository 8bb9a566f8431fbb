"""`dots`, a dot image for each image, black except for one pixel per object.

As in the datasets of Oxford's Visual Geometry Group (001cell.png, 001dots.png, red on black),
TRANCOS (NAMEdots.png) and MBM (NAME_dots.png): beside the image, or in a folder `dots`. Pixel
centres are whole numbers, so points are rounded to those, and two in one pixel become one. Any
colour or value above 0 is a dot; alpha is ignored. No classes. A black dot image means "looked,
nothing there"; none means "not labelled yet".

Each pixel is one object, even if it touches others: code that sums such images counts this way
("Learning to Count Objects in Images", Lempitsky and Zisserman, 2010). But dots may have been drawn
with a brush: if most 8-connected components contain a 2 x 2 square or a cross of five pixels, each
component is one object, at its centroid.
"""

import re

import numpy as np
from scipy import ndimage

from pointlib.errors import InputError
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.companions import find_companions, has_companions, read_layer
from pointlib.images import write_image
from pointlib.points import masks_to_points

FOLDER = "dots"
PLACES = {
    "suffixes": (".png", ".tif", ".tiff", ".bmp", ".gif", ".pgm", ".ppm"),
    "folders": (FOLDER, "dot_annotations", "dotted"),
}
MOST_DOTS = 0.5  # of all pixels: above this it is not a dot image ...
SMALL = 1000  # ... unless it has fewer pixels than this
_NAME = re.compile(r"(.+?)[-_. ]?dots?", re.IGNORECASE)


def read(source, pictures, form):
    """Yield a Record for each image that has a dot image."""
    for image, file in find_companions(source, pictures, names=_image_names, **PLACES):
        if not pictures.is_missing(image):
            dots = read_layer(file, pictures.shape(image)) > 0
            points = form.to_points(_find_dots(dots, file), dots.shape)
            yield Record(image, dots.shape, points, np.full(len(points), ""))


def write(folder, records, form):
    """Write dots/NAME.png for each record's image, red on black."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for record in records:
        height, width = record.shape
        x, y = to_pixels(form.from_points(record.points, record.shape), record.shape).T
        dots = np.zeros((height, width, 3), dtype=np.uint8)
        dots[y, x, 0] = 255
        write_image(folder / FOLDER / f"{record.stem}.png", dots)


def looks(source):
    """Return whether there are dot images, or a folder of them."""
    is_own = lambda file, alone: alone or bool(_NAME.fullmatch(file.stem))  # noqa: E731
    return has_companions(source, is_own=is_own, **PLACES)


def to_pixels(points, shape):
    """Return the pixels (N, 2), x and y, that contain points of an image of `shape` (H, W)."""
    return np.rint(points).clip(0, np.array(shape[::-1]) - 1).astype(int)


def _image_names(file, alone):
    """Return possible names of a dot image's image."""
    match = _NAME.fullmatch(file.stem)
    names = [match[1], f"{match[1]}cell", f"{match[1]}_cell"] if match else []
    return [file.stem, *names] if alone else names


def _find_dots(dots, file):
    """Return the points (N, 2) in a mask (H, W) of dots."""
    if dots.size > SMALL and np.count_nonzero(dots) > MOST_DOTS * dots.size:
        raise InputError(
            f"{file} has {np.count_nonzero(dots) / dots.size:.0%} of its pixels above 0; expected "
            "black with one pixel for each object."
        )
    clumps, n_clumps = ndimage.label(dots, np.ones((3, 3)))
    if 2 * len(np.unique(clumps[_solid(dots)])) > n_clumps:
        return masks_to_points(clumps)
    return np.argwhere(dots)[:, ::-1]


def _solid(dots):
    """Return the parts of a mask covered by a 2 x 2 square or a cross of five pixels."""
    square = ndimage.binary_opening(dots, np.ones((2, 2)))
    cross = ndimage.binary_opening(dots, ndimage.generate_binary_structure(2, 1))
    return square | cross


FORMAT = Format(
    "dots",
    "a dot image per image, one pixel per object (VGG, TRANCOS)",
    read,
    write,
    looks,
    decimals=0,
    carries=frozenset({"empty"}),
    merges=True,
    nests=False,
)
