"""Regions: which part of an image is labelled, as polygons in a file beside it.

`a.regions.json` beside `a.png` is GeoJSON in pixels of the image from its upper left corner, as
QuPath writes and reads it. Inside its polygons every object is clicked; outside nothing is known,
so nothing is learnt and nothing is scored there. Without such a file the whole image is labelled.

About polygons. Not about the points in them (points.py), nor about pictures that are cut because
they are large: windows.py.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from pointlib.errors import InputError, brief
from pointlib.files import write_atomic
from pointlib.points import read_text

SUFFIX = ".regions.json"
AREAS = ("Polygon", "MultiPolygon")
TRIES, AT_ONCE = 16, 64  # of a random place: so many times, so many places
BROADCAST = 1_000_000  # points times edges that are compared at once
SMALL = 1000  # px: the larger side of the mask that `Regions.share` counts


class Regions:
    """Areas of an image, by their outlines.

    A place is inside if an odd number of an area's edges lies to its left; so an area's second
    ring is a hole. Places on a left or upper edge are inside, on a right or lower one they are not.

    Parameters
    ----------
    areas : list of list of array of shape (n, 2)
        The rings of each area, x, y in pixels; (0, 0) is the centre of the upper left pixel.
    within : Regions, optional
        Only what lies in these too counts.

    Examples
    --------
    >>> from pointlib import Regions
    >>> regions = Regions([[[[0, 0], [10, 0], [10, 5], [0, 5]]]])
    >>> regions.contains([[2, 2], [12, 2]])
    array([ True, False])
    >>> regions.mask((8, 12)).sum().item()
    50
    """

    def __init__(
        self, areas: Sequence[Sequence[ArrayLike]], *, within: "Regions | None" = None
    ) -> None:
        self.areas = [[_open(np.asarray(ring, dtype=float)) for ring in rings] for rings in areas]
        self.within = within

    @classmethod
    def box(cls, left, top, right, bottom):
        """Return the Regions of a rectangle: half a pixel outside its first and last centres."""
        corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
        return cls([[np.array(corners, dtype=float)]])

    def contains(self, points):
        """Return whether points (N, 2) are inside, (N,) bool."""
        points = np.asarray(points, dtype=float).reshape(-1, 2)
        inside = np.zeros(len(points), dtype=bool)
        for rings in self.areas:
            inside |= _surrounds(*_edges(rings), points)
        return inside if self.within is None else inside & self.within.contains(points)

    def mask(self, shape):
        """Return whether each pixel's centre is inside, (H, W) bool."""
        inside = np.zeros(shape, dtype=bool)
        for rings in self.areas:
            inside |= _fill(*_edges(rings), shape)
        return inside if self.within is None else inside & self.within.mask(shape)

    def warped(self, matrix):
        """Return the Regions moved by a matrix (3, 3), as `augment.warp_points` moves points."""
        linear, offset = np.asarray(matrix)[:2, :2], np.asarray(matrix)[:2, 2]
        areas = [[ring @ linear.T + offset for ring in rings] for rings in self.areas]
        return Regions(areas, within=self.within and self.within.warped(matrix))

    def moved(self, offset):
        """Return the Regions moved by (dx, dy) px."""
        areas = [[ring + offset for ring in rings] for rings in self.areas]
        return Regions(areas, within=self.within and self.within.moved(offset))

    def bounds(self, shape):
        """Return left, top, right, bottom: the whole pixels of an image that the areas touch.

        Right and bottom are exclusive; without an area all four are 0.
        """
        corners = [ring for rings in self.areas for ring in rings]
        if not corners:
            return 0, 0, 0, 0
        corners = np.concatenate(corners)
        limit = np.array(shape[::-1])
        start = np.clip(np.floor(corners.min(axis=0) + 0.5), 0, limit).astype(int)
        stop = np.clip(np.ceil(corners.max(axis=0) + 0.5), start, limit).astype(int)
        return (*start.tolist(), *stop.tolist())

    def share(self, shape):
        """Return how much of an image is inside, 0 to 1, to about a thousandth."""
        scale = min(1.0, SMALL / max(shape))
        size = tuple(max(1, round(side * scale)) for side in shape)
        across, down = size[1] / shape[1], size[0] / shape[0]
        shrink = [[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]]
        return float(self.warped(shrink).mask(size).mean())

    def labelled_shape(self, shape):
        """Return the shape (H, W) of an image that has as many pixels as are inside."""
        return shape[0], max(1, round(shape[1] * self.share(shape)))

    def outlines(self):
        """Return all rings as lists of numbers: what two equal Regions have in common."""
        areas = [[ring.tolist() for ring in rings] for rings in self.areas]
        return [areas, self.within and self.within.outlines()]

    def random_place(self, rng):
        """Return a random place inside, (2,): each as likely as any other of its area."""
        sizes = [np.ptp(rings[0], axis=0).prod() for rings in self.areas]
        outline = self.areas[rng.choice(len(sizes), p=np.divide(sizes, np.sum(sizes)))][0]
        for _ in range(TRIES):
            places = rng.uniform(outline.min(axis=0), outline.max(axis=0), (AT_ONCE, 2))
            inside = self.contains(places)
            if inside.any():
                return places[inside.argmax()]
        return outline.mean(axis=0)  # a sliver that none of a thousand places hits


def _open(ring):
    """Return a ring without its last corner, if that is the first again."""
    return ring[:-1] if len(ring) > 1 and (ring[0] == ring[-1]).all() else ring


def _edges(rings):
    """Return the ends of all edges that are not level, (n, 2) each, the upper end first."""
    one = np.concatenate(rings)
    other = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    falls = one[:, 1] < other[:, 1]
    upper, lower = (np.where(falls[:, None], *pair) for pair in ((one, other), (other, one)))
    slanted = upper[:, 1] < lower[:, 1]
    return upper[slanted], lower[slanted]


def _crossing(upper, lower, y):
    """Return x where edges cross a height."""
    slope = (lower[..., 0] - upper[..., 0]) / (lower[..., 1] - upper[..., 1])
    return upper[..., 0] + (y - upper[..., 1]) * slope


def _surrounds(upper, lower, points):
    """Return whether an odd number of edges lies left of each point, (N,) bool."""
    inside = np.zeros(len(points), dtype=bool)
    step = max(1, BROADCAST // max(1, len(upper)))
    for start in range(0, len(points), step):
        x, y = points[start : start + step, :, None].transpose(1, 0, 2)
        beside = (upper[:, 1] <= y) & (y < lower[:, 1])
        left = beside & (_crossing(upper, lower, y) <= x)
        inside[start : start + step] = left.sum(axis=1) % 2 == 1
    return inside


def _fill(upper, lower, shape):
    """Return the pixels that an odd number of edges lies left of, (H, W) bool."""
    height, width = shape
    first, stop = (np.clip(np.ceil(ends[:, 1]), 0, height).astype(int) for ends in (upper, lower))
    n_rows = stop - first
    edge = np.repeat(np.arange(len(upper)), n_rows)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows) + first[edge]
    x = _crossing(upper[edge], lower[edge], row)
    column = np.clip(np.ceil(x), 0, width).astype(int)
    toggles = np.zeros((height, width + 1), dtype=np.uint8)
    np.add.at(toggles, (row, column), 1)
    # uint8 wraps at 256, which is even: odd stays odd
    return np.cumsum(toggles, axis=1, dtype=np.uint8)[:, :width] % 2 == 1


def regions_path(image_path: str | Path) -> Path:
    """Return the path of an image's regions: `a.regions.json` of `a.png`.

    Examples
    --------
    >>> from pointlib import regions_path
    >>> regions_path("field/a.png").name
    'a.regions.json'
    """
    return Path(image_path).with_suffix(SUFFIX)


def read_regions(path: str | Path) -> Regions | None:
    """Read the regions of a file; None if there is no such file: then all is labelled.

    Parameters
    ----------
    path : str or Path
        Of the `.regions.json`.

    Raises
    ------
    InputError
        If it is not GeoJSON, holds other shapes than polygons, or none at all.

    Examples
    --------
    >>> from pointlib import Regions, read_regions, write_regions
    >>> write_regions("a.regions.json", Regions.box(9.5, 9.5, 99.5, 59.5))
    >>> read_regions("a.regions.json").bounds((200, 300))
    (10, 10, 100, 60)
    >>> read_regions("b.regions.json") is None
    True
    """
    path = Path(path)
    if not path.is_file():
        return None
    try:
        data = json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({brief(error)}). Write it again.") from error
    areas = [area for geometry in _geometries(data, path) for area in _areas(geometry, path)]
    if not areas:
        raise InputError(
            f"{path} has no polygon. Delete it if the whole image is labelled; an image of which "
            "nothing is labelled has no text file."
        )
    return Regions(areas)


def write_regions(path: str | Path, regions: Regions) -> None:
    """Write regions as GeoJSON, which QuPath opens as annotations.

    Examples
    --------
    >>> from pointlib import Regions, write_regions
    >>> write_regions("a.regions.json", Regions([[[[0, 0], [10, 0], [5, 8]]]]))
    """
    write_atomic(path, format_regions(regions))


def format_regions(regions):
    """Return the text of a regions' file."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [_closed(ring) for ring in rings]},
            "properties": {"objectType": "annotation", "name": "labelled"},
        }
        for rings in regions.areas
    ]
    text = ",\n".join(map(json.dumps, features))
    return f'{{"type": "FeatureCollection", "features": [\n{text}\n]}}\n'


def _closed(ring):
    """Return a ring as GeoJSON has it: from the image's corner, its first corner again last."""
    return np.round(np.vstack([ring, ring[:1]]) + 0.5, 6).tolist()


def _geometries(data, path):
    """Return the geometries of GeoJSON: a collection, a feature, a list of them, or one alone."""
    if isinstance(data, dict) and data.get("type") == "FeatureCollection":
        data = data.get("features")
    features = data if isinstance(data, list) else [data]
    found = [f.get("geometry", f) if isinstance(f, dict) else None for f in features]
    for geometry in found:
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        if kind not in AREAS:
            what = f"a {kind!s:.40}" if kind else "something else"
            raise InputError(
                f"{path} has {what}; expected GeoJSON of {' or '.join(AREAS)}, the parts of the "
                "image in which every object is clicked."
            )
    return found


def _areas(geometry, path):
    """Return the areas of a geometry, each a list of rings."""
    coordinates = geometry.get("coordinates")
    areas = [coordinates] if geometry["type"] == "Polygon" else coordinates
    try:
        areas = [[np.array(ring, dtype=float)[:, :2] - 0.5 for ring in rings] for rings in areas]
        good = all(len(ring) >= 3 and np.isfinite(ring).all() for rings in areas for ring in rings)
        if not (good and all(areas)):
            raise ValueError("a polygon has three corners or more, all of them numbers")
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: {brief(error)}. Draw it again.") from error
    return areas
