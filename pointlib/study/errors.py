"""Anatomy of errors: what kind of mistake each one is, and what it costs.

The counts FP and FN say how many errors there are, not what to do about them. Here each error is
of exactly one of seven kinds, and each kind says how much F1 would rise if it alone were fixed.
Hits are those of metrics.py: class by class, most pairs first, then least total distance.

Not about which pairs are hits (metrics.py), nor about thresholds (sweep.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pointlib.errors import InputError
from pointlib.matching import (
    check_labels,
    check_radius,
    match_classes,
    match_points,
    near_pairs,
    radii_of,
    radius_of,
)
from pointlib.metrics import ImageResult, precision_recall_f1
from pointlib.points import check_points

KINDS = ("missed", "false positive", "doubled", "merged", "displaced", "wrong class", "border")
FARTHEST = 3  # match radii: a miss and a false positive no farther apart are one displaced point


class Flaw(NamedTuple):
    """One error. Its place is that of its missed point, or else of its false positive."""

    kind: str  # one of KINDS
    x: float
    y: float
    label: str  # class of the point at this place
    true: int  # index of the true point, -1 if there is none
    found: int  # index of the found point, -1 if there is none
    distance: float  # between the two, pixels; NaN if one is missing
    image: str  # name of the image

    @property
    def is_miss(self):
        """True if the true point has no partner; "doubled" names one that has."""
        return self.true >= 0 and self.kind != "doubled"

    @property
    def is_false_positive(self):
        """True if the found point has no partner; "merged" names one that has."""
        return self.found >= 0 and self.kind != "merged"


def error_anatomy(result: ImageResult, *, radius: float | Mapping[str, float]) -> list[Flaw]:
    """Sort one image's errors into kinds: each miss and false positive is in exactly one flaw.

    Kinds are assigned in this order; each error is assigned once.

    1. "wrong class": a miss and a false positive within the radius of each other. They are of two
       classes, since two of one class would have been a hit. Paired by `match_points` without
       labels.
    2. "doubled": a false positive within the radius of a true point of its class, which has its
       hit already.
    3. "merged": a miss within the radius of a found point of its class, which is the hit of
       another.
    4. "displaced": a miss and a false positive of one class, more than one radius apart and at most
       three. Paired by `match_points`.
    5. "border": a miss or a false positive that is left, within the radius of the image's edge
       or beyond.
    6. "missed" and "false positive": what is left.

    Parameters
    ----------
    result : metrics.ImageResult
    radius : float or dict
        Match radius, pixels: for all classes, or {class: pixels}.

    Returns
    -------
    list of Flaw
        Each miss and each false positive once. "doubled" and "merged" also name the nearest point,
        one that has a partner, which they would have matched.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import ImageResult, error_anatomy
    >>> true, found = np.array([[10.0, 10.0], [30.0, 20.0]]), np.array([[30.0, 20.0], [31.0, 22.0]])
    >>> names = np.array(["cell", "cell"])
    >>> result = ImageResult("a.png", (40, 60), true, names, found, names, np.ones(2))
    >>> [(flaw.kind, flaw.x, flaw.y) for flaw in error_anatomy(result, radius=4)]
    [('doubled', 31.0, 22.0), ('missed', 10.0, 10.0)]
    """
    errors = _Errors(result)
    classes = sorted({str(name) for labels in errors.labels for name in labels})
    radius = check_radius(radius, classes)
    within = {name: radius_of(radius, name) for name in classes}
    errors.take("hit", errors.pair(within))
    errors.take("wrong class", errors.pair(within, across=True))
    for name in classes:
        (true, _), (_, unmatched) = errors.of_class(name), errors.open_of_class(name)
        errors.take("doubled", errors.nearest(true, unmatched, within[name], each=1))
    for name in classes:
        (_, found), (missed, _) = errors.of_class(name), errors.open_of_class(name)
        errors.take("merged", errors.nearest(missed, found, within[name], each=0))
    errors.take("displaced", errors.pair({name: FARTHEST * r for name, r in within.items()}))
    errors.take_rest(within)
    return [errors.flaw(*row) for row in errors.rows if row[0] != "hit"]


def anatomy_table(
    flaws_of_images: Sequence[Sequence[Flaw]], results: Sequence[ImageResult]
) -> dict[str, Any]:
    """Count each kind, and say how much F1 would rise if it alone were fixed.

    Fixing a miss turns it into a hit: fn - 1, tp + 1. Fixing a false positive removes it: fp - 1.
    A "displaced" point or one of the "wrong class" is both, and is moved or renamed: fn - 1,
    fp - 1, tp + 1. The other hits do not change, so these are the numbers of a new match.

    Parameters
    ----------
    flaws_of_images : list of list of Flaw
        What `error_anatomy` gave for each of `results`.
    results : list of metrics.ImageResult
        The same images, in the same order.

    Returns
    -------
    dict
        ``"f1"``: now, pooled over classes and images. ``"kinds"``: {kind: {"n", "f1_gain"}}, all
        seven, n the number of flaws. NaN if F1 is undefined, before or after.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import ImageResult, anatomy_table, error_anatomy
    >>> true, found = np.array([[10.0, 10.0], [30.0, 20.0]]), np.array([[30.0, 20.0], [31.0, 22.0]])
    >>> names = np.array(["cell", "cell"])
    >>> result = ImageResult("a.png", (40, 60), true, names, found, names, np.ones(2))
    >>> table = anatomy_table([error_anatomy(result, radius=4)], [result])
    >>> table["f1"], table["kinds"]["missed"]["n"], round(table["kinds"]["missed"]["f1_gain"], 2)
    (0.5, 1, 0.3)
    """
    if len(flaws_of_images) != len(results):
        raise InputError(
            f"flaws of {len(flaws_of_images)} images came with {len(results)} results; expected "
            "one list for each."
        )
    flaws = [flaw for of_image in flaws_of_images for flaw in of_image]
    fn, fp = _count_sides(flaws)
    tp = sum(len(result.true) for result in results) - fn
    f1, kinds = precision_recall_f1(tp, fp, fn)[2], {}
    for kind in KINDS:
        some = [flaw for flaw in flaws if flaw.kind == kind]
        some_fn, some_fp = _count_sides(some)
        mended = precision_recall_f1(tp + some_fn, fp - some_fp, fn - some_fn)[2]
        kinds[kind] = {"n": len(some), "f1_gain": mended - f1}
    return {"f1": f1, "kinds": kinds}


class _Errors:
    """The points of one image, and which of them have no kind yet (`open`).

    Selections of points are arrays of indices; pairs to take are given as true index, found
    index and distance, three arrays of one length.
    """

    def __init__(self, result):
        self.name, self.shape = result.name, result.shape
        self.points = check_points(result.true), check_points(result.found)
        try:
            sides = zip((result.true_labels, result.found_labels), self.points, strict=True)
            self.labels = tuple(check_labels(labels, len(points)) for labels, points in sides)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from error
        self.open = [np.arange(len(points)) for points in self.points]
        self.rows = []  # kind, true index, found index, distance

    def of_class(self, name):
        return [np.flatnonzero(labels == name) for labels in self.labels]

    def open_of_class(self, name):
        sides = zip(self.open, self.labels, strict=True)
        return [left[labels[left] == name] for left, labels in sides]

    def pair(self, radius, *, across=False):
        """Match the open points one to one: class after class, or across classes."""
        (places, others), (true, found), labels = self.open, self.points, self.labels
        names = labels[0][places]
        if across:
            match = match_points(true[places], found[others], radius=radii_of(radius, names))
        else:
            sides = true[places], names, found[others], labels[1][others]
            match = match_classes(*sides, radius=radius)
        pairs, distances = match.pairs, match.distances
        order = np.arange(len(pairs)) if across else np.argsort(names[pairs[:, 0]], kind="stable")
        return places[pairs[order, 0]], others[pairs[order, 1]], distances[order]

    def nearest(self, some_true, some_found, radius, *, each):
        """Give each true (each=0) or found (each=1) point the nearest of the other side."""
        true, found = self.points[0][some_true], self.points[1][some_found]
        i, j, distance = near_pairs(true, found, radius)
        who = (i, j)[each]
        order = np.lexsort((distance, who))
        first = order[np.flatnonzero(np.diff(who[order], prepend=-1))]
        return some_true[i[first]], some_found[j[first]], distance[first]

    def take(self, kind, pairs):
        self.rows += [(kind, *row) for row in zip(*(part.tolist() for part in pairs), strict=True)]
        self.open = [np.setdiff1d(self.open[side], pairs[side]) for side in (0, 1)]

    def take_rest(self, radius):
        """Take what is left: at the border, or inside the image."""
        for side, kind in enumerate(("missed", "false positive")):
            points = self.points[side][self.open[side]]
            size = np.array(self.shape[::-1])
            within = [[radius[name]] for name in self.labels[side][self.open[side]].tolist()]
            within = np.reshape(within, (-1, 1))
            at_border = (np.minimum(points + 0.5, size - 0.5 - points) <= within).any(axis=1)
            for index, border in zip(self.open[side].tolist(), at_border, strict=True):
                where = (index, -1) if side == 0 else (-1, index)
                self.rows.append(("border" if border else kind, *where, float("nan")))

    def flaw(self, kind, true, found, distance):
        at = Flaw(kind, 0.0, 0.0, "", true, found, distance, self.name)
        side, index = (0, true) if at.is_miss else (1, found)
        x, y = self.points[side][index].tolist()
        return at._replace(x=x, y=y, label=str(self.labels[side][index]))


def _count_sides(flaws):
    """Return how many true points and how many found points of `flaws` have no partner."""
    return sum(flaw.is_miss for flaw in flaws), sum(flaw.is_false_positive for flaw in flaws)
