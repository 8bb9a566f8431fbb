"""Counts: what a number of found points says about how many there are.

A count comes with an interval from images whose count is known: `count_interval`, split conformal
prediction, which assumes nothing about how the errors are distributed. Where objects overlap, the
count is too low by a rule that such images show, too: `learn_count_rule` corrects it.

Not about finding points (thresholds.py), nor about the error of counts: metrics.py.
"""

import dataclasses
import math
from numbers import Real
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field
from scipy.optimize import nnls

from pointlib.errors import InputError

ROUNDING = 1e-9  # rounding errors must not change a count by one
COVERAGE = 0.9  # of the interval that is written beside a corrected count
ENOUGH = 10  # images with known counts, for a rule
FOLDS = 20  # of the cross-validation, or one an image
MILLION = 1e6  # px: densities are in points a megapixel


class CountInterval(NamedTuple):
    """How far a count may be off: up to half_width * sqrt(found + 1)."""

    half_width: float  # inf if there are too few images
    n: int  # images it was learned from
    coverage: float  # share of new images whose true count lies inside, at least
    why: str  # if half_width is inf, what is missing; else ""

    def of(self, found):
        """Return the lowest and the highest true count in the interval for `found` points.

        Whole numbers of 0 or more; the highest is inf if half_width is.
        """
        if not found >= 0:
            raise InputError(f"found is {found!r}; expected a count of 0 or more.")
        if math.isinf(self.half_width):
            return 0, math.inf
        reach = self.half_width * math.sqrt(found + 1) + ROUNDING
        return max(math.ceil(found - reach), 0), math.floor(found + reach)


def count_interval(
    true_counts: ArrayLike, found_counts: ArrayLike, *, coverage: float = 0.9
) -> CountInterval:
    """Return how far the count of a new image may be off, from images whose count is known.

    The half-width is the k-th smallest |true - found| / sqrt(found + 1) of n images, with
    k = ceil((n + 1) coverage). The root makes the interval wide where much is found and narrow
    where little is. The true count of a new image of the same kind lies inside with a chance of at
    least `coverage`, on average over images and over draws of the n; not for each kind of image by
    itself.
    After Lei et al., "Distribution-free predictive inference for regression", 2018.

    Parameters
    ----------
    true_counts, found_counts : array of shape (n,)
        One per image. No image may have been used to train the network or to choose a threshold.
    coverage : float
        Above 0, below 1.

    Returns
    -------
    CountInterval
        If k > n, half_width is inf, and `why` says how many images are needed.

    Examples
    --------
    >>> from pointlib import count_interval
    >>> interval = count_interval([20, 35, 51, 40], [22, 33, 50, 44], coverage=0.8)
    >>> interval.of(30)
    (27, 33)
    """
    true, found = np.asarray(true_counts, float), np.asarray(found_counts, float)
    if true.ndim != 1 or true.shape != found.shape or not _are_counts(true, found):
        raise InputError(
            f"counts have shapes {true.shape} and {found.shape}; expected one number of 0 or more "
            "an image on both sides."
        )
    check_coverage(coverage)
    n = len(true)
    k = _rank(n, coverage)
    if k > n:
        return CountInterval(math.inf, n, coverage, _too_few(n, coverage))
    off = np.sort(np.abs(true - found) / np.sqrt(found + 1))
    return CountInterval(float(off[k - 1]), n, coverage, "")


@dataclasses.dataclass(frozen=True)
class CountRule:
    """How to correct the count of an image, and how far off it may then be.

    The corrected count is ``found * (ratio + bend * density)``. The density, in found points a
    megapixel, tells how much overlaps, in images of any size; beyond `densest`, the highest that
    the rule was learnt from, it counts as that.
    """

    kind: Literal["none", "ratio", "curve"]
    half_width: Annotated[float, Field(ge=0)]  # of the interval: times sqrt(corrected + 1)
    n_images: Annotated[int, Field(ge=1)]  # that it was learnt from
    ratio: Annotated[float, Field(ge=0)] = 1.0
    bend: Annotated[float, Field(ge=0)] = 0.0  # megapixels a point
    densest: Annotated[float, Field(ge=0)] = 0.0  # points a megapixel

    def correct(self, found, shape):
        """Return the corrected count, a float, for `found` points in an image of `shape` (H, W)."""
        return _corrected(found, _density(found, shape), self.ratio, self.bend, self.densest)

    def interval(self, found, shape):
        """Return the lowest and highest true count that `COVERAGE` of the images would have."""
        interval = CountInterval(self.half_width, self.n_images, COVERAGE, "")
        return interval.of(self.correct(found, shape))


def learn_count_rule(true_counts, found_counts, shapes):
    """Choose how to correct counts, by cross-validation on images whose count is known.

    Three rules are tried: no correction; one ratio of true to found points; a ratio that rises
    with the density. A richer one is taken if its mean error on images left out is lower by more
    than one standard error. These errors give the half-width of the interval too, as in
    `count_interval`.

    Parameters
    ----------
    true_counts, found_counts : array of shape (n,)
        One per image.
    shapes : list of (H, W)
        Of the images, pixels.

    Returns
    -------
    CountRule or None
        None if there are fewer than ten images.
    """
    true, found = np.asarray(true_counts, float), np.asarray(found_counts, float)
    if len(true) < ENOUGH:
        return None
    density = np.array([_density(n, shape) for n, shape in zip(found, shapes, strict=True)])
    tried = {}
    for kind in FITS:
        corrected = _left_out(kind, true, found, density)
        tried[kind] = np.abs(true - corrected) / np.sqrt(corrected + 1)
    best = "none"
    for kind in ("ratio", "curve"):
        gain = tried[best] - tried[kind]
        if gain.mean() > gain.std(ddof=1) / math.sqrt(len(gain)):
            best = kind
    ratio, bend = FITS[best](true, found, density)
    off = np.sort(tried[best])
    return CountRule(
        kind=best,
        half_width=float(off[_rank(len(off), COVERAGE) - 1]),
        n_images=len(true),
        ratio=float(ratio),
        bend=float(bend),
        densest=float(density.max()),
    )


def describe_rules(rules):
    """Return in words how {class: CountRule} correct counts, or why they do not."""
    if not rules:
        return (
            "counts are as found: no correction was learnt at these settings; it takes "
            f"{ENOUGH} validation images"
        )
    parts = [f"{name} {_in_words(rule)}" for name, rule in rules.items()]
    n = max(rule.n_images for rule in rules.values())
    return f"corrected counts, from {n} validation images: {'; '.join(parts)}"


def _in_words(rule):
    if rule.kind == "none":
        return "as found"
    if rule.kind == "ratio":
        return f"times {rule.ratio:.2f}"
    highest = rule.ratio + rule.bend * rule.densest
    return f"times {rule.ratio:.2f} to {highest:.2f}, more where they are dense"


def _density(found, shape):
    """Return points a megapixel."""
    return MILLION * found / (shape[0] * shape[1])


def _left_out(kind, true, found, density):
    """Return the corrected count of each image by the rule learnt from the other folds, (n,)."""
    fold = np.arange(len(true)) % FOLDS
    corrected = np.empty(len(true))
    for k in np.unique(fold):
        rest, here = fold != k, fold == k
        ratio, bend = FITS[kind](true[rest], found[rest], density[rest])
        densest = density[rest].max()
        corrected[here] = _corrected(found[here], density[here], ratio, bend, densest)
    return corrected


def _corrected(found, density, ratio, bend, densest):
    """Return corrected counts: the formula of `CountRule`."""
    return found * (ratio + bend * np.minimum(density, densest))


def _fit_none(*_):
    return 1.0, 0.0


def _fit_ratio(true, found, _):
    return (true.sum() / found.sum() if found.any() else 1.0), 0.0


def _fit_curve(true, found, density):
    """Return ratio and bend of least weighted squares, neither below 0: the count never falls."""
    # the spread of a count grows with its root
    weights = 1 / np.sqrt(found + 1)
    columns = np.stack([found, found * density], axis=1)
    (ratio, bend), _ = nnls(columns * weights[:, None], true * weights)
    return ratio, bend


FITS = {"none": _fit_none, "ratio": _fit_ratio, "curve": _fit_curve}


def check_coverage(coverage):
    """Raise InputError if this is no share between 0 and 1."""
    if not isinstance(coverage, Real) or not 0 < coverage < 1:
        raise InputError(f"coverage is {coverage!r}; expected a number between 0 and 1, as 0.9.")


def _rank(n, coverage):
    """Return which of n errors, from the smallest, a new image exceeds with chance 1 - coverage."""
    return math.ceil((n + 1) * coverage - ROUNDING)


def _are_counts(*sides):
    return all(np.isfinite(side).all() and (side >= 0).all() for side in sides)


def _too_few(n, coverage):
    """Return a sentence that says how many images the interval needs."""
    needed = math.ceil(coverage / (1 - coverage) - ROUNDING)
    return (
        f"An interval that holds for {coverage:.0%} of images needs {needed} labelled images that "
        f"neither trained the network nor chose the threshold; there {'is' if n == 1 else 'are'} "
        f"{n}."
    )
