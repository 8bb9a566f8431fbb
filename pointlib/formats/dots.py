"""`dots`, a picture of dots for each image, black but for one pixel an object.

As the sets of the University of Oxford's Visual Geometry Group (001cell.png, 001dots.png, red on
black), TRANCOS (NAMEdots.png) and MBM (NAME_dots.png) have it: beside the image, or in a folder
`dots`. Pixels, their middles are whole numbers, so points round to those, and two in one pixel
become one. Any colour or value above 0 is a dot; alpha does not count. No classes. A black picture
says "looked, nothing there"; no picture, "not labelled yet".

One pixel is one object, touching others or not: so does all code count that sums such pictures
("Learning to Count Objects in Images", Lempitsky and Zisserman, 2010). But dots may have been drawn
with a brush: where most clumps of touching pixels, also over corners, hold a square of 2 x 2 or a
cross of five, each clump is one object, at its centroid.
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
MOST_DOTS = 0.5  # of a picture's pixels: above this it is no picture of dots ...
SMALL = 1000  # ... unless it has fewer pixels than this
_NAME = re.compile(r"(.+?)[-_. ]?dots?", re.IGNORECASE)


def read(source, pictures, form):
    """Yield a Record of each image that has a picture of dots."""
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
        write_image(folder / FOLDER / f"{record.image.stem}.png", dots)


def looks(source):
    """Return whether pictures called dots, or a folder of that name, are there."""
    is_own = lambda file, alone: alone or bool(_NAME.fullmatch(file.stem))  # noqa: E731
    return has_companions(source, is_own=is_own, **PLACES)


def to_pixels(points, shape):
    """Return the pixels (N, 2), x and y, that hold points of an image of `shape` (H, W)."""
    return np.rint(points).clip(0, np.array(shape[::-1]) - 1).astype(int)


def _image_names(file, alone):
    """Return what the image of a picture of dots may be called."""
    match = _NAME.fullmatch(file.stem)
    names = [match[1], f"{match[1]}cell", f"{match[1]}_cell"] if match else []
    return [file.stem, *names] if alone else names


def _find_dots(dots, file):
    """Return the points (N, 2) of a mask (H, W) of dots."""
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
    """Return where a square of 2 x 2 or a cross of five lies in a mask."""
    square = ndimage.binary_opening(dots, np.ones((2, 2)))
    cross = ndimage.binary_opening(dots, ndimage.generate_binary_structure(2, 1))
    return square | cross


FORMAT = Format(
    "dots",
    "a picture an image, one pixel an object (VGG, TRANCOS)",
    read,
    write,
    looks,
    decimals=0,
    carries=frozenset({"empty"}),
    merges=True,
)
