"""Matching: which found point pairs with which true one, by our rule and by other people's.

Use `match_points`, or `match_classes` if points have labels.

Our rule has two steps: `near_pairs` lists every pair within the radius, `best_pairs` takes as many
of them as possible, one-to-one, with the least total distance; `growing_pairs` only counts, as
found points are added one by one. The rules of others show what the same points score elsewhere;
they need the whole distance matrix, so they are for thousands of points, not more.

Not about scores or images, nor about the numbers that follow from a match: metrics.py.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from pointlib.errors import InputError
from pointlib.points import check_points

DENSE_CELLS = 40_000  # up to this size (true x found) a dense matrix is faster than a sparse one
MAX_NEAR_PAIRS = 50_000_000  # about 3 GB while they are sorted


class Match(NamedTuple):
    """Which points pair: indices of true and found points."""

    pairs: np.ndarray  # (M, 2) int: true index, found index; by rising true index
    distances: np.ndarray  # (M,) float64, pixels
    missed: np.ndarray  # (K,) int: unpaired true points
    false_positives: np.ndarray  # (L,) int: unpaired found points


def match_points(true: ArrayLike, found: ArrayLike, *, radius: ArrayLike) -> Match:
    """Match found points to true ones: most pairs first, then least total distance.

    Ties: both sides are sorted by y, then x, so the same points give the same pairs in any order.
    Several points at the same place are allowed.

    Parameters
    ----------
    true, found : (N, 2) and (M, 2) array
        x, y in pixels.
    radius : float or array of shape (N,)
        The largest distance of a pair, pixels: for all, or for each true point.

    Returns
    -------
    Match

    Notes
    -----
    Only points within the radius can pair, so each connected component of that graph is solved
    separately. 100,000 true and found points take about a second if components are small. If the
    radius joins nearly everything into one component, time grows with its square.

    Examples
    --------
    >>> from pointlib import match_points
    >>> match = match_points([[10, 10], [30, 10]], [[11, 10], [50, 10]], radius=4)
    >>> match.pairs.tolist(), match.distances.tolist()
    ([[0, 0]], [1.0])
    """
    true, found = check_sides(true, found)
    if not np.ndim(radius):
        return _match(true, found, radius=check_amount(radius, "radius"))
    if len(radius) != len(true):
        raise InputError(f"{len(radius)} radii for {len(true)} true points; expected one each.")
    radii = np.array([check_amount(pixels, "a radius") for pixels in radius], dtype=float)
    return _match(true, found, radius=radii)


def match_classes(true, true_labels, found, found_labels, *, radius):
    """Match found points to true ones of the same class, never across: see `match_points`.

    Parameters
    ----------
    true, found : (N, 2) and (M, 2) array
        x, y in pixels.
    true_labels, found_labels : (N,) and (M,) array of str
    radius : float or dict
        The largest distance of a pair, pixels: for all, or {class: pixels}.

    Returns
    -------
    Match
        Of all classes together: the result of `match_points` for each, with indices of all points.
    """
    true, found = check_sides(true, found)
    true_labels = check_labels(true_labels, len(true))
    found_labels = check_labels(found_labels, len(found))
    radius = radii_of(radius, true_labels)
    return _match(true, found, radius=radius, labels=(true_labels, found_labels))


def _match(true, found, *, radius, labels=None):
    """Match checked points; with labels, of the same class only."""
    true_order, found_order = np.lexsort(true.T), np.lexsort(found.T)
    radius = radius[true_order] if np.ndim(radius) else radius
    i, j, distance = near_pairs(true[true_order], found[found_order], radius)
    if labels:
        same = labels[0][true_order[i]] == labels[1][found_order[j]]
        i, j, distance = i[same], j[same], distance[same]
    chosen = best_pairs(i, j, distance, (len(true), len(found)))
    pairs = np.stack([true_order[i[chosen]], found_order[j[chosen]]], axis=1)
    by_true = np.argsort(pairs[:, 0])
    return Match(
        pairs[by_true],
        distance[chosen][by_true],
        np.setdiff1d(np.arange(len(true)), pairs[:, 0]),
        np.setdiff1d(np.arange(len(found)), pairs[:, 1]),
    )


def tp_curve(true, found, *, radius):
    """Return (M,) int: the most pairs possible with the first k + 1 found points, best first.

    Each value is the number of pairs that `match_points` gives for these points.
    """
    true, found = check_sides(true, found)
    i, j, _ = near_pairs(true, found, radius)
    gains = np.zeros(len(found), dtype=int)
    gains[growing_pairs(i, j)] = 1
    return np.cumsum(gains)


def near_pairs(true, found, radius):
    """Return indices i, j and distances of all pairs within the radius, by rising i, then j.

    `radius` is a number, or one for each true point, (N,).
    """
    farthest = np.max(radius, initial=0)
    reach = farthest * (1 + 1e-9)  # rounding in the tree must not decide
    true_tree, found_tree = KDTree(true), KDTree(found)
    if (n_pairs := true_tree.count_neighbors(found_tree, reach)) > MAX_NEAR_PAIRS:
        raise InputError(
            f"radius {farthest:g} brings {n_pairs:,} pairs of true and found points within reach; "
            f"expected at most {MAX_NEAR_PAIRS:,}. Use a smaller radius."
        )
    near = true_tree.sparse_distance_matrix(found_tree, reach, output_type="ndarray")
    i, j = near["i"], near["j"]
    dx, dy = (true[i] - found[j]).T
    distance = np.sqrt(dx * dx + dy * dy)  # the same operations as in the browser, unlike hypot
    order = np.lexsort((j, i))
    order = order[distance[order] <= (radius[i[order]] if np.ndim(radius) else radius)]
    return i[order], j[order], distance[order]


def best_pairs(i, j, distance, shape):
    """Return the indices of the near pairs that form the best matching."""
    if not len(i):
        return np.zeros(0, dtype=int)
    of_true, of_found = _blocks(i, j, shape)
    n_blocks = max(of_true.max(), of_found.max()) + 1
    n_true, n_found = (np.bincount(of, minlength=n_blocks) for of in (of_true, of_found))
    block = of_true[i]
    order = np.lexsort((distance, block))
    nearest = order[np.flatnonzero(np.diff(block[order], prepend=-1))]  # one per block
    lone = np.minimum(n_true, n_found) == 1  # one point and one or several: take the nearest
    chosen = [nearest[lone[block[nearest]]]]
    row, column = _places(of_true)[i], _places(of_found)[j]
    rest = np.flatnonzero(~lone[block])
    rest = rest[np.argsort(block[rest], kind="stable")]
    for edges in np.split(rest, np.flatnonzero(np.diff(block[rest])) + 1) if len(rest) else ():
        size = n_true[block[edges[0]]], n_found[block[edges[0]]]
        chosen.append(edges[_solve_block(row[edges], column[edges], distance[edges], size)])
    return np.concatenate(chosen)


def growing_pairs(i, j):
    """Return the found points, ascending, that each make one more pair possible.

    Found points are added by rising j. The number of pairs never falls: a true point may get
    another partner, but always keeps one.
    """
    near = {}
    for true, found in zip(i.tolist(), j.tolist(), strict=True):
        near.setdefault(found, []).append(true)
    owner, partner, closed = {}, {}, set()
    return [start for start in sorted(near) if _add_point(start, near, owner, partner, closed)]


def maximum_pairs(true, found, radius):
    """Return tp, fp, fn by our rule, also that of NWPU-Crowd: as many pairs as possible."""
    i, j, _ = near_pairs(true, found, radius)
    return _one_to_one(len(growing_pairs(i, j)), (len(true), len(found)))


def greedy_nearest(true, found, radius):
    """Return tp, fp, fn by HerdNet's rule: each true point may pair with its nearest found point.

    If several have the same one, the closest gets it; the others have no second choice.
    """
    distance = cdist(true, found)
    if not distance.size:
        return _one_to_one(0, distance.shape)
    nearest = distance.argmin(axis=1)[distance.min(axis=1) <= radius]
    return _one_to_one(len(np.unique(nearest)), distance.shape)


def nearest_then_cut(true, found, radius):
    """Return tp, fp, fn by sleap-nn's rule: least total distance of all points, then the radius.

    The radius is applied too late: a distant pair can take a point from a good one.
    """
    distance = cdist(true, found)
    rows, columns = linear_sum_assignment(distance)
    return _one_to_one((distance[rows, columns] <= radius).sum(), distance.shape)


def not_one_to_one(true, found, radius):
    """Return tp, fp, fn by Ribera's rule: a found point is a hit if any true one is near.

    Five found points on one true point are five hits.
    """
    near = cdist(true, found) <= radius
    tp = int(near.any(axis=0).sum())
    return tp, len(found) - tp, len(true) - int(near.any(axis=1).sum())


def _blocks(i, j, shape):
    """Return the number of the connected component of each true point, and of each found one."""
    n = sum(shape)
    graph = csr_array((np.ones(len(i), dtype=bool), (i, j + shape[0])), shape=(n, n))
    _, block = connected_components(graph, directed=False)
    return block[: shape[0]], block[shape[0] :]


def _places(block):
    """Return for each point how many points of its block precede it."""
    order = np.argsort(block, kind="stable")
    place = np.empty(len(block), dtype=int)
    place[order] = np.arange(len(block)) - np.searchsorted(block[order], block[order])
    return place


def _solve_block(row, column, distance, size):
    """Return which near pairs (a mask) to take in one block of `size` true and found points.

    A forbidden pair costs more than all allowed ones together, so none is taken if an allowed one
    is possible. The sparse solver needs a partner for every row, and checking that may take minutes
    (scipy issue 26147). Each row has its own dummy column at that price, so the check is fast. All
    costs are raised by 1 because the solver drops stored zeros.
    """
    (n, m), price = size, distance.max() * (min(size) + 1) + 1
    if n * m <= DENSE_CELLS:
        cost = np.full(size, price)
        cost[row, column] = distance
        rows, columns = linear_sum_assignment(cost)
    else:
        cost = np.concatenate([distance, np.full(n, price)]) + 1
        at = np.concatenate([row, np.arange(n)]), np.concatenate([column, m + np.arange(n)])
        rows, columns = min_weight_full_bipartite_matching(csr_array((cost, at), shape=(n, m + n)))
    partner = np.full(n, -1)
    partner[rows] = columns
    return partner[row] == column


def _add_point(start, near, owner, partner, closed):
    """Give found point `start` a true point, by moving others if needed; True if that works.

    Breadth-first search for an augmenting path. After a failed search the true points it reached
    are closed for good: their owners can never move.
    """
    reached, queue = {}, [start]
    for found in queue:
        for true in near[found]:
            if true in closed or true in reached:
                continue
            reached[true] = found
            if true not in owner:
                _move_owners(true, reached, owner, partner)
                return True
            queue.append(owner[true])
    closed.update(reached)
    return False


def _move_owners(true, reached, owner, partner):
    """Give each true point on the path back to the found point that reached it."""
    while true is not None:
        found = owner[true] = reached[true]
        partner[found], true = true, partner.get(found)


def _one_to_one(n_pairs, shape):
    """Return tp, fp, fn for a number of pairs of shape[0] true and shape[1] found points."""
    return int(n_pairs), shape[1] - int(n_pairs), shape[0] - int(n_pairs)


RULES = {
    "maximum pairs": maximum_pairs,
    "greedy nearest": greedy_nearest,
    "nearest then cut": nearest_then_cut,
    "not one-to-one": not_one_to_one,
}


def check_amount(value, name):
    """Return `value` as a float of 0 or more, pixels, or raise InputError that names it `name`."""
    if not np.isscalar(value) or isinstance(value, str) or not 0 <= value < np.inf:
        raise InputError(f"{name} is {value!r}; expected a number of pixels, 0 or more.")
    return float(value)


def check_radius(radius, classes=()):
    """Return a match radius as a float, or {class: float}, or raise InputError.

    Of a dict, the radii of `classes` are required.
    """
    if not isinstance(radius, Mapping):
        return check_amount(radius, "radius")
    if missing := [name for name in classes if name not in radius]:
        raise InputError(f"radius names {list(radius)}, but not {missing[0]!r}. Add it.")
    return {name: check_amount(pixels, f"radius of {name}") for name, pixels in radius.items()}


def radius_of(radius, name):
    """Return the match radius of a class: `radius` is one for all, or {class: pixels}."""
    radius = check_radius(radius, [name])
    return radius[name] if isinstance(radius, dict) else radius


def radii_of(radius, labels):
    """Return the match radius of true points of these classes, (N,), or the one for all."""
    radius = check_radius(radius, np.unique(labels).tolist())
    if not isinstance(radius, dict):
        return radius
    return np.array([radius[name] for name in labels.tolist()], dtype=float)


def widest_radius(radius):
    """Return the largest match radius of any class."""
    return max(radius.values()) if isinstance(radius, dict) else radius


def least_radius(radius):
    """Return the smallest match radius of any class."""
    return min(radius.values()) if isinstance(radius, dict) else radius


def describe_radius(radius):
    """Return a match radius in words: "6 px", or "RBC 40, WBC 80 px"."""
    if not isinstance(radius, Mapping):
        return f"{radius:g} px"
    if len(different := set(radius.values())) == 1:
        return f"{different.pop():g} px"
    return f"{', '.join(f'{name} {pixels:g}' for name, pixels in radius.items())} px"


def check_reach(radius, shapes):
    """Raise InputError if a match radius is as long as the images of `shapes` (H, W, ...)."""
    radius = widest_radius(check_radius(radius))
    side = max((max(shape[:2]) for shape in shapes), default=np.inf)
    if radius >= side > 1:
        raise InputError(
            f"the match radius is {radius:g} px, and no image is over {side} px long: any point "
            "would match any other. Give about half the size of the objects, in pixels."
        )


def check_column(values, n_points, name):
    """Return one number per found point, (n_points,) float64, or raise InputError."""
    values = np.asarray(values, dtype=float)
    if values.shape != (n_points,):
        raise InputError(
            f"{name} has shape {values.shape} for {n_points} found points; expected one number "
            "each. Give ones if there are no scores."
        )
    if np.isnan(values).any():
        raise InputError(f"{name}[{np.isnan(values).argmax()}] is NaN; expected numbers.")
    return values


def check_labels(labels, n_points, classes=None):
    """Return one class per point, (n_points,) str, or raise InputError; `classes` are allowed."""
    labels = np.asarray(labels, dtype=str)
    if labels.shape != (n_points,):
        raise InputError(f"{labels.size} labels for {n_points} points; expected one each.")
    unknown = [] if classes is None else sorted(set(labels.tolist()) - set(classes))
    if unknown:
        raise InputError(f"label {unknown[0]!r} is not one of the classes {list(classes)}.")
    return labels


def check_sides(true, found):
    """Return true and found points as arrays (N, 2), or raise InputError."""
    return check_points(true, name="true"), check_points(found, name="found")
