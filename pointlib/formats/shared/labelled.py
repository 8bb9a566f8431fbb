"""What other tools' areas say about which part of an image is labelled.

An area whose class is one of NAMES is a region (regions.py), not an object. Not about the shapes
that a format has.
"""

import numpy as np

from pointlib.regions import Regions

NAMES = frozenset({"labelled", "labeled", "annotated", "region", "region*", "regions", "roi"})


def names_region(label):
    """Return whether a class says that an area is a labelled region."""
    return label.strip().lower() in NAMES


def regions_of_areas(areas, form, shape):
    """Return the Regions of areas, or None if there are none.

    `areas` are lists of rings, (n, 2) each, in the numbers of `form` for an image of `shape`.
    """
    areas = [[form.to_points(np.asarray(ring), shape) for ring in rings] for rings in areas]
    return Regions(areas) if areas else None
