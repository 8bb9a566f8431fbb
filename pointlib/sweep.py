"""Sweep: the counts at every threshold, and which threshold to choose.

About one class: found points, hits and count errors at the score of each candidate, so that a
slider, a curve and the best settings are all look-ups. At a threshold these are the numbers that
`Candidates.select` and `match_points` give, computed once for all thresholds.

`choose_settings` chooses for one class, `choose_for_classes` for all, and `choose_by_calling` for a
thresholding function that must be called at each threshold. If the data do not tell, all of them
fall back on known settings: `default_settings`, or a model's own.

Not about which points pair at one threshold (matching.py), nor about what went wrong there
(study/errors.py).
"""

import itertools
from functools import partial
from typing import NamedTuple

import numpy as np

from pointlib.errors import InputError, suggest, user_line
from pointlib.matching import check_amount, check_column, radius_of
from pointlib.metrics import rank_images, running_sums
from pointlib.points import check_points
from pointlib.thresholds import DEFAULT_DISTANCE, DEFAULT_THRESHOLD, FLOOR, Candidates

TRIED = tuple(k / 20 for k in range(1, 20))  # thresholds for rules that must be called at each


class Sweep(NamedTuple):
    """Counts at every threshold: entry k counts all candidates of score >= thresholds[k]."""

    thresholds: np.ndarray  # (T,) float64: the distinct scores, falling
    n_found: np.ndarray  # (T,) int, rising
    tp: np.ndarray  # (T,) int: the most pairs possible, rising
    count_error: np.ndarray  # (T,) float64: mean |found - true| per image
    n_true: int
    n_images: int

    @property
    def precision(self):
        """Fraction of found points that are hits, (T,)."""
        return self.tp / self.n_found

    @property
    def recall(self):
        """Fraction of true points that are hit, (T,); NaN if there are none."""
        return self.tp / (self.n_true or np.nan)

    @property
    def f1(self):
        """Harmonic mean of precision and recall, (T,)."""
        return 2 * self.tp / (self.n_found + self.n_true)


class Settings(NamedTuple):
    """How to find points in a heatmap, and the pooled F1 that this gave."""

    threshold: float
    min_distance: float
    f1: float

    @property
    def options(self):
        """Threshold and minimum distance as the keyword arguments of thresholding functions."""
        return {"threshold": self.threshold, "min_distance": self.min_distance}


def sweep(images, *, radius, min_distance=0.0):
    """Count found points and hits at every threshold, pooled over images.

    Parameters
    ----------
    images : list of (true, candidates)
        Of one class: true points (N, 2), and candidates with `points` (M, 2), `scores` and
        `isolation` (M,).
    radius : float
        Matching radius, pixels.
    min_distance : float
        Pixels. Only candidates with a larger isolation count.

    Returns
    -------
    Sweep
        Tied scores are one entry, counted together. Without candidates there are no entries.
    """
    return _summed(rank_images(images, radius=radius, min_distance=min_distance))


def sweep_together(by_class, *, radius, min_distances):
    """Count as `sweep` does, at one threshold for all classes, each matched by itself.

    `by_class` is {class: images}, `radius` and `min_distances` are {class: pixels}. The count error
    is that of all points of an image.
    """
    of_class = [
        rank_images(images, radius=radius[name], min_distance=min_distances[name])
        for name, images in by_class.items()
    ]
    together = []
    for parts in zip(*of_class, strict=True):
        n_true, scores, gains = zip(*parts, strict=True)
        scores, gains = np.concatenate(scores), np.concatenate(gains)
        order = np.argsort(-scores, kind="stable")
        together.append((sum(n_true), scores[order], gains[order]))
    return _summed(together)


def _summed(images):
    """Return the Sweep of images as `rank_images` gives them."""
    scores, steps = [np.zeros(0)], [np.zeros((0, 3), dtype=int)]
    for n_here, ranked, gains in images:
        # as long as points are missing, each one found brings the count closer
        nearer = np.where(np.arange(len(ranked)) < n_here, -1, 1)
        scores.append(ranked)
        steps.append(np.stack([np.ones_like(gains), gains, nearer], axis=1))
    n_true = sum(n for n, *_ in images)
    thresholds, sums = running_sums(np.concatenate(scores), np.concatenate(steps))
    n_found, tp, error = sums.T
    error = (n_true + error) / max(len(images), 1)
    return Sweep(thresholds, n_found, tp, error, n_true, len(images))


def best_threshold(sweep, goal="f1", *, most_false=0.05):
    """Return the best threshold of a sweep for a goal; NaN if there is none.

    Parameters
    ----------
    sweep : Sweep
    goal : str
        ``"f1"``: the highest F1. ``"count"``: the smallest count error. ``"equal"``: as many found
        points as true ones, or as close as possible, so that precision and recall are equal.
        ``"few false"``: the most hits while at most a fraction `most_false` of the found points is
        false.
    most_false : float
        From 0 to 1.

    Returns
    -------
    float
        Equally good neighbours form a run: the middle of the widest run, or of the higher one of
        equally wide runs. A run extends down to the next lower score, or to 0.05, the lowest
        score of a candidate.
    """
    if goal not in GOALS:
        raise InputError(f"goal is {goal!r}. {suggest(goal, GOALS)}")
    worth = GOALS[goal](sweep, _check_share(most_false, "most_false")).astype(float)
    if not sweep.n_true or not len(worth) or worth.max() == -np.inf:
        return float("nan")
    low, high = _widest_run(sweep.thresholds, worth == worth.max())
    return _middle(low, high)


def plateau(scores, *, slack=0.05):
    """Return the widest range of thresholds over which the count hardly changes. Needs no truth.

    Parameters
    ----------
    scores : array of shape (M,)
        Of all candidates kept at the minimum distance, all images together.
    slack : float
        The fraction by which the count at the low end may exceed that at the high end.

    Returns
    -------
    low, high : float
        At least one point is found at `high`; the range excludes `low` and includes `high`. Of
        equally wide ranges the higher; NaN if no score is 0.05 or more.
    """
    slack = _check_share(slack, "slack")
    scores = check_column(scores, np.size(scores), "scores")
    scores = scores[scores >= FLOOR]
    if not len(scores):
        return float("nan"), float("nan")
    distinct, n_found = running_sums(scores, np.ones(len(scores), dtype=int))
    last = np.searchsorted(n_found, (1 + slack) * n_found, side="right") - 1
    low = np.append(distinct[1:], FLOOR)[last]
    widest = np.argmax(distinct - low)
    return float(low[widest]), float(distinct[widest])


def default_settings(sigma=None):
    """Return the threshold and minimum distance to use if the data do not tell better, a dict.

    Two peaks closer than sigma, the width of the Gaussians in pixels, are hardly two objects; if
    sigma is unknown too, the distance is that of `find_peaks`.
    """
    return {"threshold": DEFAULT_THRESHOLD, "min_distance": sigma or DEFAULT_DISTANCE}


def distances_to_try(*, radius, sigma=None):
    """Return the minimum distances to choose from, pixels, rising, without repeats.

    `radius` is the match radius and `sigma` the width of the Gaussians, if it is known.
    """
    if sigma is None:  # heatmaps from elsewhere: the width of their peaks is unknown
        return [round(radius * share, 2) for share in (0.25, 0.5, 1)]
    # from what separates two Gaussians up to what separates two objects
    tried = [sigma * f for f in (0.5, 1, 1.5, 2)] + [radius * f for f in (0.75, 1, 1.5)]
    return sorted({round(d, 2) for d in tried})


def choose_settings(images, *, radius, distances, sigma=None):
    """Return the threshold and minimum distance with the best pooled F1 of one class.

    Exact: every score is tried as a threshold, with every distance. Ties: the smaller distance,
    then as in `best_threshold`.

    Parameters
    ----------
    images, radius
        As for `sweep`.
    distances : sequence of float
        Minimum distances to try, pixels.
    sigma : float, optional
        Of the Gaussians, pixels: for `default_settings`.

    Returns
    -------
    Settings
        If no candidate can be paired: `default_settings`, and F1 0 (NaN if there is no true point).
    """
    distances = sorted(check_amount(d, "a distance") for d in distances)
    if not distances:
        raise InputError("distances is empty; expected at least one, for example [0.0].")
    if not isinstance(radius, list):  # one for each true point, of exclusive classes
        radius = check_amount(radius, "radius")
    best = Settings(**default_settings(sigma), f1=0.0)
    if not any(np.size(true) for true, _ in images):
        return best._replace(f1=np.nan)
    for distance in distances:
        counts = sweep(images, radius=radius, min_distance=distance)
        if (f1 := counts.f1.max(initial=0)) > best.f1:
            best = Settings(best_threshold(counts), distance, float(f1))
    return best


def choose_for_classes(by_class, *, radius, sigma=None, exclusive=False):
    """Return {class: {"threshold", "min_distance"}} with the best F1 of each class.

    `by_class` is {class: images}, `radius` one for all or {class: pixels}; the rest is as for
    `choose_settings`. Classes that exclude each other share one threshold, that of the best F1
    whatever the class.
    """
    within = {name: radius_of(radius, name) for name in by_class}
    if exclusive:
        together = list(map(_together, zip(*by_class.values(), strict=True)))
        tried = [distances_to_try(radius=one, sigma=sigma) for one in within.values()]
        distances = sorted(set(itertools.chain(*tried)))
        of_points = [
            np.repeat(list(within.values()), [len(true) for true, _ in of_classes])
            for of_classes in zip(*by_class.values(), strict=True)
        ]
        best = choose_settings(together, radius=of_points, distances=distances, sigma=sigma)
        return dict.fromkeys(by_class, best.options)
    return {
        name: choose_settings(
            images,
            radius=within[name],
            distances=distances_to_try(radius=within[name], sigma=sigma),
            sigma=sigma,
        ).options
        for name, images in by_class.items()
    }


def _together(of_classes):
    """Return (true, candidates) of an image whatever the class; `of_classes` has one per class."""
    true = np.concatenate([np.reshape(true, (-1, 2)) for true, _ in of_classes])
    columns = zip(*(found for _, found in of_classes), strict=True)
    return true, Candidates(*map(np.concatenate, columns))  # `sweep` ranks them


def call_rule(threshold_fn, heatmap, **settings):
    """Return the points and scores of a thresholding function; InputError if they do not fit."""
    name, found = getattr(threshold_fn, "__name__", threshold_fn), None
    try:
        found = threshold_fn(heatmap, **settings)
        points, scores = found
        points = check_points(points, shape=heatmap.shape)
        scores = check_column(scores, len(points), "scores")
    except (TypeError, ValueError) as error:
        if user_line(error):  # its own fault inside
            raise
        kind = "something unfit" if isinstance(error, InputError) else type(found).__name__
        raise InputError(
            f"thresholding: {name} returned {kind}; expected threshold_fn(heatmap, *, threshold, "
            f"min_distance) -> points, scores ({error})."
        ) from error
    return points, scores


def find_at_each(images, find, *, one_pass, thresholds=TRIED):
    """Call any thresholding function, and return what it finds as input for `sweep`.

    Parameters
    ----------
    images : iterable of (true, heatmap)
        True points (N, 2), and whatever `find` takes. Iterated over once.
    find : callable
        ``find(heatmap, *, threshold) -> points, scores``.
    one_pass : bool
        Whether a higher threshold only drops points of lower scores, as for `thresholds.ONE_PASS`:
        the points at 0.05 then tell those at any threshold. Other rules are called at each one.
    thresholds : sequence of float
        Where to call it if one pass is not enough.

    Returns
    -------
    dict
        {threshold: images as `sweep` takes them}.
    """
    runs = {threshold: [] for threshold in ((FLOOR,) if one_pass else thresholds)}
    for true, heatmap in images:
        for threshold, run in runs.items():
            points, scores = find(heatmap, threshold=threshold)
            if not one_pass:  # selecting by score would not be the same as this rule
                scores = np.full(len(points), threshold)
            run.append((true, Candidates(points, scores, np.full(len(points), np.inf))))
    return runs


def choose_by_calling(images, find, *, radius, distances, known, one_pass):
    """Return the settings with the best F1 of one class, for any thresholding function.

    In one pass every threshold is tried with each distance. Other rules take two steps: the best of
    0.05, 0.10, ... 0.95 at the known distance, then the best distance at this threshold.

    Parameters
    ----------
    images : list of (true, heatmap)
    find : callable
        ``find(heatmap, *, threshold, min_distance) -> points, scores``.
    radius : float
        Matching radius, pixels.
    distances : sequence of float
        Minimum distances to try, pixels.
    known : dict
        ``threshold`` and ``min_distance`` chosen earlier, for another function.
    one_pass : bool
        As for `find_at_each`.

    Returns
    -------
    Settings
        `known` if no found point can be paired.
    """
    if not any(len(true) for true, _ in images):
        return Settings(**known, f1=np.nan)

    def best_at(distance, thresholds=TRIED):
        found = partial(find, min_distance=distance)
        for asked, run in find_at_each(
            images, found, one_pass=one_pass, thresholds=thresholds
        ).items():
            best = choose_settings(run, radius=radius, distances=[0.0])
            yield Settings(best.threshold if one_pass else asked, distance, best.f1)

    thresholds = TRIED
    if not one_pass:
        distances = [known["min_distance"], *distances]
        tried = list(best_at(distances[0]))
        top = max(one.f1 for one in tried)
        good = [one.threshold for one in tried if one.f1 == top]
        thresholds = [good[len(good) // 2]]  # as far as possible from worse ones
    tried = [one for distance in distances for one in best_at(distance, thresholds)]
    best = max(tried, key=lambda one: one.f1)
    return best if best.f1 else Settings(**known, f1=0.0)


def _few_false(sweep, most_false):
    allowed = sweep.n_found - sweep.tp <= most_false * sweep.n_found
    return np.where(allowed, sweep.tp, -np.inf)


GOALS = {  # the value of each entry, (T,): the highest is best; -inf is excluded
    "f1": lambda sweep, _: sweep.f1,
    "count": lambda sweep, _: -sweep.count_error,
    "equal": lambda sweep, _: -np.abs(sweep.n_found - sweep.n_true),
    "few false": _few_false,
}


def _widest_run(thresholds, good):
    """Return the ends (low, high] of the widest run of good entries (ties: the higher)."""
    lower = np.append(thresholds[1:], min(FLOOR, thresholds[-1]))
    good = np.flatnonzero(good)
    runs = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)
    ends = ((lower[run[-1]], thresholds[run[0]]) for run in runs)
    return max(ends, key=lambda run: run[1] - run[0])


def _middle(low, high):
    middle = (high + low) / 2
    return float(middle if middle > low else high)  # adjacent floats have none in between


def _check_share(value, name):
    if not np.isscalar(value) or isinstance(value, str) or not 0 <= value <= 1:
        raise InputError(f"{name} is {value!r}; expected a fraction from 0 to 1.")
    return value
