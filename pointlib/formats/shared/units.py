"""Whether the numbers of a file are pixels, and which pixels.

A microscope's programs write micrometres where an image is calibrated. Not about any one format.
"""

import numpy as np

from pointlib.errors import InputError
from pointlib.tiff import open_tiff

MICRONS = {"µm", "μm", "um", "micron", "microns", "micrometer", "micrometers", "micrometre"}
LENGTHS = MICRONS | {"micrometres", "nm", "nanometer", "mm", "cm", "m", "inch", "inches"}
CORNER = 0.25  # share of the images' area in which points are suspicious
CHANCE = 1e-3  # that evenly spread points lie there


def is_length(unit):
    """Return whether a unit is one of length."""
    return unit.lower() in LENGTHS


def in_corner(parts):
    """Return how far right and down all points reach, as fractions, if that is suspiciously little.

    `parts` are (points (N, 2), shape (H, W)) of images. None if the points fill their images: if
    evenly spread ones would lie in such a corner more often than once in a thousand.
    """
    shares = [(points + 0.5) / (shape[1], shape[0]) for points, shape in parts if len(points)]
    if not shares:
        return None
    every = np.concatenate(shares)
    x, y = every.max(axis=0)
    if every.min() < 0 or not 0 < x * y <= CORNER or (x * y) ** len(every) > CHANCE:
        return None
    return float(x), float(y)


def need_pixels(where, unit):
    """Raise InputError for coordinates in a unit of length, if the user gives no pixel size."""
    raise InputError(
        f"{where} has coordinates in {unit}, not in pixels. Give the size of a pixel, in {unit}: "
        "--pixel-size 0.25, say; or --scale 1 if a pixel is 1 of them."
    )


def refuse_corner(where, reach):
    """Raise InputError for points that lie in the upper left corner of their images."""
    raise InputError(
        f"{where}: all points lie in the left {reach[0]:.0%} and upper {reach[1]:.0%} of their "
        "images, as if they were in micrometres. Give the size of a pixel: --pixel-size 0.25, say; "
        "or --scale 1 if they are pixels."
    )


def calibration_of(path):
    """Return (size of a pixel, its unit) that an image of ImageJ says, or None if it says none."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    try:
        with open_tiff(path) as tiff:
            unit = str((tiff.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ")
            across = tiff.pages[0].tags.get("XResolution")
            if across is None or not is_length(unit):
                return None
            count, length = across.value
            return (length / count, unit) if count > 0 and count != length else None
    except Exception:  # a broken picture is told when it is read
        return None
