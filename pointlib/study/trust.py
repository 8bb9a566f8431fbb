"""Trust: what a score means, and intervals for counts and F1.

A score is the height of a peak, not a probability: `reliability` says how many points of such a
score are true. F1 comes with an interval: `f1_interval`.

Not about choosing a threshold (sweep.py), nor about intervals for counts (counts.py).
Images used for that choice, or in training, must not be used for an interval.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pointlib.counts import check_coverage
from pointlib.errors import InputError
from pointlib.matching import check_column
from pointlib.metrics import rank_images

DRAWS = 1000  # bootstrap samples of the images, for an interval of F1


class Reliability(NamedTuple):
    """Points sorted into bins by score. Bin k is edges[k] to edges[k+1], the latter excluded."""

    edges: np.ndarray  # (B + 1,) float64, rising from 0 to 1
    score: np.ndarray  # (B,) mean score; NaN if the bin is empty
    share: np.ndarray  # (B,) share of the points that are true; NaN if the bin is empty
    n: np.ndarray  # (B,) int: number of points


def true_scores(images, *, radius, min_distance=0.0):
    """Return the score of each candidate, and whether it is true, all images together.

    True means: in falling order of score, it makes one more pair possible. So for every t, as
    many candidates with a score of at least t are true as there are hits at threshold t.

    Parameters
    ----------
    images : list of (true, candidates)
        Of one class: true points (N, 2), and candidates with `points` (M, 2), `scores` and
        `isolation` (M,).
    radius : float
        Matching radius, pixels.
    min_distance : float
        Pixels. Only candidates whose isolation is larger are used.

    Returns
    -------
    scores : ndarray of shape (K,), float64
        Image after image, best first.
    is_true : ndarray of shape (K,), bool
    """
    images = rank_images(images, radius=radius, min_distance=min_distance)
    scores = np.concatenate([np.zeros(0), *(ranked for _, ranked, _ in images)])
    return scores, np.concatenate([np.zeros(0), *(gains for *_, gains in images)]) > 0


def reliability(scores: ArrayLike, is_true: ArrayLike, *, n_bins: int = 10) -> Reliability:
    """Sort points into bins of equal width by score; say how many of each are true.

    Parameters
    ----------
    scores : array of shape (K,)
        Usually 0 to 1; the outer bins take what lies beyond.
    is_true : array of shape (K,), bool
        As from `true_scores`.
    n_bins : int

    Returns
    -------
    Reliability
        After DeGroot and Fienberg, "The comparison and evaluation of forecasters", 1983.

    Examples
    --------
    >>> from pointlib import reliability
    >>> bins = reliability([0.2, 0.3, 0.7, 0.9], [False, True, True, True], n_bins=2)
    >>> bins.n, bins.share
    (array([2, 2]), array([0.5, 1. ]))
    """
    scores = check_column(scores, np.size(scores), "scores")
    is_true = np.asarray(is_true, bool)
    if is_true.shape != scores.shape:
        raise InputError(f"is_true has shape {is_true.shape}; expected {scores.shape}, as scores.")
    if not isinstance(n_bins, int) or n_bins < 1:
        raise InputError(f"n_bins is {n_bins!r}; expected a whole number of 1 or more.")
    edges = np.linspace(0, 1, n_bins + 1)
    of_bin = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, n_bins - 1)
    n = np.bincount(of_bin, minlength=n_bins)
    sums = [np.bincount(of_bin, weights=w, minlength=n_bins) for w in (scores, is_true)]
    score, share = sums / np.where(n > 0, n, np.nan)
    return Reliability(edges, score, share, n)


def draw_f1(n_true, n_found, tp, *, seed=0):
    """Return the pooled F1 of 1000 bootstrap samples of the images, an array (..., DRAWS).

    NaN if a sample has no point. After Efron, "Bootstrap methods: another look at the
    jackknife", 1979.

    Parameters
    ----------
    n_true, n_found, tp : array of shape (..., n_images)
        True points, found points and hits of each image; rows share their samples.
    seed : int
    """
    n = np.shape(tp)[-1]
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), DRAWS)
    n_true, n_found, tp = (np.asarray(part, float) @ times.T for part in (n_true, n_found, tp))
    points = n_true + n_found
    return 2 * tp / np.where(points > 0, points, np.nan)


def f1_interval(
    rows: Sequence[Mapping], *, coverage: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return an interval for the F1 of other images like these: (low, high).

    1000 times, as many images as there are rows are drawn with replacement, and their hits, false
    positives and misses summed. Samples of very few images are too much alike, so the interval is
    too narrow. Samples without any point are left out; if all are, the interval is 0 to 0. See
    `draw_f1`.

    Parameters
    ----------
    rows : sequence of dict
        ``tp``, ``fp`` and ``fn`` of an image, as in ``score_images(...)["images"]``.
    coverage : float
        Above 0, below 1.
    seed : int

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> from pointlib import f1_interval
    >>> rows = [{"tp": 18, "fp": 2, "fn": 1}, {"tp": 9, "fp": 4, "fn": 6}] * 5
    >>> low, high = f1_interval(rows)
    >>> low < 0.8 < high
    True
    """
    check_coverage(coverage)
    if not len(rows):
        raise InputError("there is no image; expected one row or more.")
    tp, fp, fn = np.array([[row[key] for key in ("tp", "fp", "fn")] for row in rows]).T
    f1 = draw_f1(tp + fn, tp + fp, tp, seed=seed)
    if np.isnan(f1).all():
        return 0.0, 0.0
    low, high = np.nanquantile(f1, [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)
