"""Regions as the annotator sees them: the outlines in an image's file, and how it differs.

An area is a tuple of rings, a ring a tuple of (x, y), to a thousandth of a pixel.

Not about who wrote the file (texts.py), nor about what a region means: regions.py.
"""

import numpy as np

from pointlib.errors import InputError
from pointlib.regions import Regions, format_regions, read_regions


def areas_content(regions):
    """Return the bytes of a regions' file, of areas by id; None if there should be none."""
    if not regions:
        return None
    return format_regions(Regions(list(regions.values()))).encode()


def read_areas(path, shape):
    """Return the areas of a regions' file, a list; InputError if none of them is on the image."""
    found = read_regions(path)
    if found is None:
        return []
    left, top, right, bottom = found.bounds(shape)
    if left == right or top == bottom:
        raise InputError(
            f"{path} has no pixel of its image, {shape[1]} x {shape[0]}. Its polygons are in "
            "pixels from the upper left corner."
        )
    return [tuple(map(_ring, rings)) for rings in found.areas]


def scaled_rings(rings, scale):
    """Return the rings of an area in an image that was resized by (across, down)."""
    across_down = np.array(scale)
    return tuple(_ring((np.array(ring) + 0.5) * across_down - 0.5) for ring in rings)


def areas_difference(found, regions, base):
    """Return the areas that are new in a file, and the ids of those missing from it.

    Parameters
    ----------
    found : list of areas
        The current content of the file.
    regions, base : dict of str to area
        The image's current ones, and those last saved to the file. What changed between the two is
        not in the file yet, so an area missing there was deleted only if `base` had it.
    """
    waiting = {}
    for owner in (regions, base):
        for key, rings in owner.items():
            if owner is regions or regions.get(key) != rings:
                waiting.setdefault(_same(rings), set()).add(key)
    kept, added = set(), []
    for rings in found:
        if keys := waiting.get(_same(rings)):
            kept.update(keys)
        else:
            added.append(rings)
    return added, [key for key in base if key in regions and key not in kept]


def _ring(corners):
    return tuple(map(tuple, np.round(corners, 3).tolist()))


def _same(rings):
    """Return what two equal areas have in common, however their numbers were written."""
    return tuple(map(_ring, rings))
