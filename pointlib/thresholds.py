"""Heatmaps back to points: numpy and scipy, no torch.

About finding peaks. Not about which of them are right: metrics.py.

A thresholding function has the signature ``threshold_fn(heatmap, *, threshold, min_distance) ->
points, scores``; write your own and pass it wherever one is needed. Points come best first. Ties
are broken by one rule everywhere: higher score, then smaller y, then smaller x.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components as graph_components
from scipy.spatial import KDTree

from pointlib.errors import InputError

FLOOR = 0.05  # lowest score that counts as a candidate
DEFAULT_THRESHOLD = 0.3  # if the data do not tell a better one; see sweep.default_settings
DEFAULT_DISTANCE = 2.0  # pixels; likewise, if sigma is unknown too
TINY = 1e-12  # keeps the logarithm of an empty pixel finite


class Candidates(NamedTuple):
    """Peaks of a heatmap before any selection, best first.

    ``isolation`` is the distance in pixels to the nearest candidate that ranks higher (inf for
    the first), so that any threshold and any minimum distance is a look-up.
    """

    points: np.ndarray  # (N, 2) float64, x, y in pixels
    scores: np.ndarray  # (N,) float64
    isolation: np.ndarray  # (N,) float64, pixels

    def select(self, *, threshold, min_distance=0.0):
        """Return points and scores where score >= threshold and isolation > min_distance."""
        keep = (self.scores >= threshold) & (self.isolation > min_distance)
        return self.points[keep], self.scores[keep]

    def within(self, regions):
        """Return those that lie inside of `regions`; all if it is None."""
        if regions is None:
            return self
        keep = regions.contains(self.points)
        return Candidates(*(column[keep] for column in self))


def find_peaks(
    heatmap: ArrayLike,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    min_distance: float = DEFAULT_DISTANCE,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the peaks of a heatmap to a fraction of a pixel.

    Parameters
    ----------
    heatmap : ndarray of shape (H, W), float
        NaN counts as 0. A constant heatmap has no peak.
    threshold : float
        Lowest height of a peak, absolute: it means the same in every image.
    min_distance : float
        In pixels. Of two peaks that are not farther apart, only the higher one is kept.

    Returns
    -------
    points : ndarray of shape (N, 2), float64
        x, y in pixels, highest score first; (0, 2) if nothing is found.
    scores : ndarray of shape (N,), float64
        The heatmap's value at the peak's pixel.

    Examples
    --------
    >>> from pointlib import find_peaks, gaussian_max
    >>> heatmap = gaussian_max([[8.3, 5.6], [20, 9]], (16, 32), sigma=2).numpy()
    >>> points, scores = find_peaks(heatmap, threshold=0.5)
    >>> points.round(2).tolist()
    [[20.0, 9.0], [8.3, 5.6]]
    """
    _check_settings(threshold, min_distance)
    return find_candidates(heatmap, floor=threshold, reach=min_distance).select(
        threshold=threshold, min_distance=min_distance
    )


def find_candidates(
    heatmap: ArrayLike,
    *,
    floor: float = FLOOR,
    log_heatmap: ArrayLike | None = None,
    reach: float = np.inf,
    shape: tuple[int, int] | None = None,
) -> Candidates:
    """Find every local maximum of at least `floor`, with its score and isolation.

    A maximum is higher than all its neighbours; equal neighbours are one plateau, which gives one
    point. Its position is refined by a parabola through the *logarithm* of the heatmap, along x
    and y, by at most half a pixel: exact for a Gaussian.

    Parameters
    ----------
    heatmap : ndarray of shape (H, W), float
    floor : float
        A lower floor gives more candidates; those above keep their isolation.
    log_heatmap : ndarray of shape (H, W), optional
        The logarithm of the heatmap if it is known more exactly (log-sigmoid of logits).
    reach : float
        The largest minimum distance that will be used, pixels: an isolation beyond it is given as
        inf, which is faster for many points.
    shape : (int, int), optional
        Height and width of the image if the heatmap has another size: positions and distances are
        those in the image.

    Returns
    -------
    Candidates

    Examples
    --------
    >>> from pointlib import find_candidates, gaussian_max
    >>> candidates = find_candidates(gaussian_max([[8, 5], [20, 9]], (16, 32), sigma=2).numpy())
    >>> candidates.isolation.round(1).tolist()
    [inf, 12.6]
    >>> candidates.select(threshold=0.5, min_distance=20)[0].tolist()
    [[8.0, 5.0]]
    """
    pixels, shifts, scores = find_maxima(heatmap, floor=floor, log_heatmap=log_heatmap)
    points = pixels + shifts
    if shape is not None:
        points = (points + 0.5) * np.divide(shape, np.shape(heatmap))[::-1] - 0.5
    return rank_maxima(points, scores, reach=reach)


def find_maxima(heatmap, *, floor=FLOOR, log_heatmap=None):
    """Return pixels (N, 2) x, y, their shifts to the exact place, (N, 2), and scores, not ranked.

    Parameters as for `find_candidates`.
    """
    heatmap = _check_heatmap(heatmap)
    # the logarithm tells heights apart that are all rounded to 1
    source = heatmap if log_heatmap is None else np.asarray(log_heatmap)
    rows, columns = _maxima(source, (heatmap >= floor) & (heatmap > 0))
    shifts = _shifts(source, rows, columns, take_log=log_heatmap is None)
    return np.column_stack([columns, rows]), shifts, heatmap[rows, columns].astype(float)


def rank_maxima(points, scores, *, reach=np.inf):
    """Return Candidates of points (N, 2) and scores (N,): best first, each with its isolation."""
    order = _rank(points, scores)
    points, scores = points[order], scores[order]
    return Candidates(points, scores, _isolation(points, reach))


def basic_threshold(
    heatmap: ArrayLike, *, threshold: float = DEFAULT_THRESHOLD, min_distance: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Find the pixels that equal the maximum of their 3x3 neighbourhood.

    The simple rule that many kits use, kept for comparison: it doubles a peak that lies between
    pixels and returns every pixel of a plateau. Whole pixels only. Parameters and result as for
    `find_peaks`.

    Examples
    --------
    >>> from pointlib import basic_threshold, gaussian_max
    >>> heatmap = gaussian_max([[8.5, 5]], (16, 32), sigma=2).numpy()
    >>> basic_threshold(heatmap)[0].tolist()
    [[8.0, 5.0], [9.0, 5.0]]
    """
    _check_settings(threshold, min_distance)
    heatmap = _check_heatmap(heatmap)
    rows, columns, _ = _not_below(heatmap, (heatmap >= threshold) & (heatmap > 0))
    points = np.column_stack([columns, rows]).astype(float)
    return _thin(points, heatmap[rows, columns].astype(float), min_distance)


def connected_components(
    heatmap: ArrayLike, *, threshold: float = DEFAULT_THRESHOLD, min_distance: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the heatmap at `threshold` and return the weighted centre of each component.

    Pixels connect along edges and corners; peaks that meet above the threshold merge. The score is
    the component's maximum. Parameters and result as for `find_peaks`.

    Examples
    --------
    >>> from pointlib import connected_components, gaussian_max
    >>> heatmap = gaussian_max([[8, 5], [20, 9]], (16, 32), sigma=2).numpy()
    >>> connected_components(heatmap)[0].round(2).tolist()
    [[8.0, 5.0], [20.0, 9.0]]
    """
    _check_settings(threshold, min_distance)
    heatmap = _check_heatmap(heatmap)
    parts, n_parts = ndimage.label((heatmap >= threshold) & (heatmap > 0), np.ones((3, 3)))
    numbers = np.arange(1, n_parts + 1)
    centres = np.array(ndimage.center_of_mass(heatmap, parts, numbers)).reshape(-1, 2)
    scores = np.asarray(ndimage.maximum(heatmap, parts, numbers), dtype=float).reshape(-1)
    return _thin(centres[:, ::-1], scores, min_distance)


def join_classes(found):
    """Return points, labels, scores of {class: (points, scores)}: best first, then by y, then x."""
    points = np.concatenate([np.zeros((0, 2)), *(p for p, _ in found.values())])
    scores = np.concatenate([np.zeros(0), *(s for _, s in found.values())])
    labels = np.repeat(np.array(list(found), dtype=str), [len(s) for _, s in found.values()])
    order = _rank(points, scores)
    return points[order], labels[order], scores[order]


THRESHOLDS = {rule.__name__: rule for rule in (find_peaks, basic_threshold, connected_components)}
ONE_PASS = (find_peaks, basic_threshold)  # a higher threshold only drops points of lower scores


def _check_heatmap(heatmap):
    """Return the heatmap as a float array with NaN and infinity replaced by 0."""
    heatmap = np.asarray(heatmap)
    if heatmap.ndim != 2:
        hint = " Use heatmap[0]." if heatmap.ndim == 3 and len(heatmap) else ""
        raise InputError(f"heatmap has shape {heatmap.shape}; expected (H, W).{hint}")
    if heatmap.dtype.kind not in "fiub":
        raise InputError(f"heatmap has dtype {heatmap.dtype}; expected numbers.")
    heatmap = heatmap.astype(np.result_type(heatmap.dtype, np.float32), copy=False)
    finite = np.isfinite(heatmap)
    return heatmap if finite.all() else np.where(finite, heatmap, 0)


def _check_settings(threshold, min_distance):
    if not np.isfinite(threshold):
        raise InputError(f"threshold is {threshold}; expected a number, usually 0 to 1.")
    if not min_distance >= 0:
        raise InputError(f"min_distance is {min_distance}; expected 0 or more pixels.")


def _not_below(heatmap, allowed):
    """Return rows and columns of the pixels that no 8-neighbour exceeds, and which equal one.

    Only pixels that `allowed` marks. Whole arrays are compared first, which leaves few pixels to
    compare with all 8 neighbours.
    """
    mask = allowed.copy()
    for one, other in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        mask[one] &= heatmap[one] >= heatmap[other]
        mask[other] &= heatmap[other] >= heatmap[one]
    rows, columns = np.divmod(np.flatnonzero(mask), max(1, heatmap.shape[1]))  # beats nonzero
    value, highest = heatmap[rows, columns], _highest_around(heatmap, rows, columns)
    keep = value >= highest
    return rows[keep], columns[keep], (value == highest)[keep]


def _highest_around(heatmap, rows, columns):
    """Return the highest 8-neighbour of the given pixels; outside the heatmap it is -inf."""
    height, width = heatmap.shape
    highest = np.full(len(rows), -np.inf, heatmap.dtype)
    for dy, dx in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
        y, x = rows + dy, columns + dx
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        value = heatmap[np.where(inside, y, 0), np.where(inside, x, 0)]
        np.maximum(highest, value, out=highest, where=inside)
    return highest


def _maxima(heatmap, allowed):
    """Return rows and columns of the allowed regional maxima: of a plateau its first pixel."""
    rows, columns, doubtful = _not_below(heatmap, allowed)
    if len(rows) == heatmap.size:  # a constant has no peak
        return rows[:0], columns[:0]
    if not doubtful.any():
        return rows, columns
    # rare: follow the plateaus among all equal pixels, in reading order
    piece = _plateaus(heatmap, heatmap[rows[doubtful], columns[doubtful]])
    labels = piece[rows, columns]
    # a plateau with a higher neighbour is a shoulder
    is_shoulder = np.bincount(piece.ravel()) > np.bincount(labels, minlength=piece.max() + 1)
    _, first = np.unique(labels, return_index=True)
    keep = np.zeros(len(rows), bool)
    keep[first] = True
    keep[labels == 0] = True
    keep &= (labels == 0) | ~is_shoulder[labels]
    return rows[keep], columns[keep]


def _plateaus(heatmap, values):
    """Return a number for each set of equal, connected pixels of `values`; 0 elsewhere."""
    member = np.isin(heatmap, values)
    number = np.zeros(heatmap.shape, int)
    number[member] = np.arange(1, member.sum() + 1)
    height, width = heatmap.shape
    heads, tails = [], []
    for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
        here = np.s_[: height - dy, max(0, -dx) : width - max(0, dx)]
        there = np.s_[dy:, max(0, dx) : width - max(0, -dx)]
        same = member[here] & (heatmap[here] == heatmap[there])
        heads.append(number[here][same])
        tails.append(number[there][same])
    heads, tails = np.concatenate(heads), np.concatenate(tails)
    size = int(member.sum()) + 1
    graph = coo_array((np.ones(len(heads), bool), (heads, tails)), shape=(size, size))
    _, piece = graph_components(graph, directed=False)  # all other pixels, 0, are piece 0
    return piece[number]


def _shifts(values, rows, columns, *, take_log):
    """Return how far x, y of the peaks are from their pixels, (N, 2).

    Along each axis to the vertex of a parabola through three logarithms.
    """
    x = _vertex(values, rows, columns, axis=1, take_log=take_log)
    y = _vertex(values, rows, columns, axis=0, take_log=take_log)
    return np.column_stack([x, y]).astype(float).reshape(-1, 2)


def _vertex(values, rows, columns, *, axis, take_log):
    """Return the parabola's vertex along one axis, in [-0.5, 0.5]; 0 at the heatmap's edge."""
    place = (rows, columns)[axis]
    inner = (place > 0) & (place < values.shape[axis] - 1)
    r, c = rows[inner], columns[inner]
    three = np.array([values[r + k * (axis == 0), c + k * (axis == 1)] for k in (-1, 0, 1)])
    if take_log:
        three = np.log(np.maximum(three, TINY))
    before, middle, after = three.astype(float)
    bend = before - 2 * middle + after
    shift = np.zeros(len(rows))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(bend < 0, 0.5 * (before - after) / bend, 0.0)
    shift[inner] = np.clip(np.nan_to_num(found), -0.5, 0.5)
    return shift


def _rank(points, scores):
    """Return the order by the tie rule: higher score, then smaller y, then smaller x."""
    return np.lexsort([points[:, 0], points[:, 1], -scores])


def _isolation(points, reach=np.inf):
    """Return each ranked point's distance to the nearest one before it.

    It is inf for the first, and if there is none within `reach`.
    """
    distances = np.full(len(points), np.inf)
    bound = reach * (1 + 1e-9) + TINY  # exclusive, and the tree's rounding must not decide
    start = 1
    while start < len(points):  # in blocks of doubling size, so that half of a tree ranks higher
        stop = len(points) if reach < np.inf else min(max(256, 2 * start), len(points))
        order = np.lexsort(points[:stop].T)  # neighbours in space are neighbours in memory
        tree, rank = KDTree(points[order]), np.append(order, stop)
        waiting, k = order[order >= start], 6
        while len(waiting):
            k = min(k, stop)
            near, who = tree.query(points[waiting], k=k, distance_upper_bound=bound)
            higher = rank[who] < waiting[:, None]
            distances[waiting] = np.where(higher, near, np.inf).min(axis=1)
            waiting = waiting[~higher.any(axis=1) & np.isfinite(near[:, -1])]
            k *= 4
        start = stop
    return distances


def _thin(points, scores, min_distance):
    """Rank the points and drop those within `min_distance` of a higher one."""
    order = _rank(points, scores)
    points, scores = points[order], scores[order]
    keep = _isolation(points, min_distance) > min_distance
    return points[keep], scores[keep]
