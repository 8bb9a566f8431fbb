"""Suggestions: points offered by the LoG or a trained model, and the click magnet.

About suggesting. People decide whether a suggestion becomes a point (widget.py). A model, and torch
with it, is loaded when first used.
"""

import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree

from pointlib.annotate.blobs import find_blobs, snap
from pointlib.cache import Cache
from pointlib.errors import InputError
from pointlib.matching import least_radius
from pointlib.thresholds import join_classes
from pointlib.widgets.pictures import check_size, pixels

BLOBS = 0.3  # the lowest score of a blob that is shown at first


class Offer(NamedTuple):
    """Suggestions for an image, best first, with what is needed to choose among them."""

    points: np.ndarray  # (N, 2) float64, x, y in pixels
    labels: np.ndarray  # (N,) str, classes of the folder
    scores: np.ndarray  # (N,) float64
    thresholds: dict  # {class of the folder: the lowest score to show at first}
    radius: float  # px, within which a point counts as the same as a suggestion

    def take(self, chosen):
        """Return the suggestions of an index or a mask."""
        columns = (column[chosen] for column in self[:3])
        return Offer(*columns, self.thresholds, self.radius)

    def above(self, threshold=None, *, offset=0.0):
        """Return those with at least a score, or else their class's threshold plus an offset."""
        least = np.full(len(self.labels), threshold, dtype=float)
        if threshold is None:
            own = [self.thresholds[label] for label in self.labels.tolist()]
            least = np.clip(np.array(own, dtype=float) + offset, 0, 1)
        return self.take(self.scores >= least)


class Finder:
    """One model, and what it found in the last images. Safe in threads.

    Parameters
    ----------
    model : Path or PointModel
        A folder is loaded when it is first needed.
    """

    def __init__(self, model):
        self.model, self._lock = model, threading.RLock()
        self._found = Cache(max_items=4)  # candidates of images

    @property
    def info(self):
        """The model's ModelInfo."""
        return self._loaded().info

    def candidates(self, path):
        """Return {class: Candidates} of an image, computed once. Takes seconds."""
        with self._lock:  # one prediction at a time
            return self._found.get(path, lambda: self._predict(path))

    def peek(self, path):
        """Return the candidates of an image if they are known, else None."""
        return self._found.peek(path)

    def _loaded(self):
        with self._lock:
            if isinstance(self.model, Path):
                from pointlib.model.folder import load_model

                self.model = load_model(self.model)
            return self.model

    def _predict(self, path):
        from pointlib.predict.points import predict_candidates

        model = self._loaded()
        check_size(path)
        return predict_candidates(model, pixels(path))


class Helper:
    """Suggests points in images: blobs of one size, or the peaks of a model's heatmaps.

    Parameters
    ----------
    model : str, Path or PointModel, optional

    Attributes
    ----------
    dark : bool or None
        Whether blobs are darker (True) or brighter (False) than their surroundings; None: either.
    """

    def __init__(self, model=None):
        self.dark, self._finder = None, None
        self.use(model)

    def use(self, model):
        """Use another model from now on, a folder or a PointModel; None: none.

        It returns at once. What is under way goes on with the model before, and its answer belongs
        to that one altogether: a finder never changes its model.
        """
        if isinstance(model, (str, Path)):
            model = Path(model).resolve()  # loaded later, maybe from another working directory
        self._finder = None if model is None else Finder(model)

    @property
    def model(self):
        """The model, or its folder until it is loaded; None if there is none."""
        finder = self._finder
        return finder and finder.model

    @property
    def default(self):
        """The default source: "model" or "blobs"."""
        return "blobs" if self._finder is None else "model"

    def suggest(self, path, source, *, sigma, classes):
        """Return the suggestions for an image file, an Offer.

        `source` is "blobs", "model" or "none". Blobs are labelled with the first class. A model
        returns all its candidates, however low, that keep its minimum distance.
        """
        finder = self._finder
        if source == "model" and finder is not None:
            return _found_by(finder, path, classes)
        if source not in ("blobs", "none"):
            raise InputError(f"no suggestions from {source!r}; expected 'blobs', or give a model.")
        points, scores = np.empty((0, 2)), np.empty(0)
        if source == "blobs":
            check_size(path)
            points, scores = find_blobs(pixels(path), sigma=sigma, dark=self.dark)
        labels = np.full(len(points), classes[0])
        return Offer(points, labels, scores, dict.fromkeys(classes, BLOBS), _ring(sigma))

    def magnet(self, path, point, *, sigma, label):
        """Return the position, (2,), of the object under a click, or None.

        If the model's candidates for the image are known, the nearest one of the class within the
        model's radius; else the blob. Quick: no model runs here.
        """
        finder, found = self._known(path)
        if found is None:
            return snap(pixels(path), point, sigma=sigma, dark=self.dark)
        points = found[label if label in found else next(iter(found))].points
        distances = np.hypot(*(points - point).T)
        near = len(points) and distances.min() <= least_radius(finder.info.radius)
        return points[distances.argmin()] if near else None

    def reach(self, path, *, sigma):
        """Return the radius, pixels, of the objects that the magnet looks for in an image."""
        finder, found = self._known(path)
        return _ring(sigma) if found is None else least_radius(finder.info.radius)

    def candidates(self, path):
        """Return {class: Candidates} of the model, computed once per image. Takes seconds."""
        return self._finder.candidates(path)

    def _known(self, path):
        """Return the finder, and what it already found in an image, or None."""
        finder = self._finder
        return finder, finder and finder.peek(path)


def _ring(sigma):
    """Return the radius, pixels, of the disc to which the LoG of a size responds most."""
    return np.sqrt(2) * sigma


def _found_by(finder, path, classes):
    """Return what a model suggests, an Offer, in the classes of the folder."""
    from pointlib.predict.points import class_settings, settings_of

    found, info = finder.candidates(path), finder.info
    points, labels, scores = join_classes(
        {name: found[name].select(**class_settings(info, name, 0.0)) for name in found}
    )
    own = [settings["threshold"] for settings in settings_of(info).values()]
    names = _in_folder_classes(np.array(info.classes), info.classes, classes).tolist()
    known = dict(zip(names, own, strict=True))
    thresholds = {name: known.get(name, max(own)) for name in classes}
    labels = _in_folder_classes(labels, info.classes, classes)
    return Offer(points, labels, scores, thresholds, least_radius(info.radius))


def still_open(offer, annotation):
    """Return the suggestions not near a point, nor near a rejected one of their class."""
    keep = np.ones(len(offer.points), bool)
    for known, any_class in ((annotation.points, True), (annotation.rejected, False)):
        for other in known.values():
            near = np.hypot(*(offer.points - (other.x, other.y)).T) <= offer.radius
            keep &= ~(near & (any_class | (offer.labels == other.label)))
    return offer.take(keep)


def one_a_spot(offer):
    """Return of suggestions of several classes within the radius only the best, best first.

    The best is the one farthest above its class's threshold; of two as far, the class that comes
    first in the folder. One that is left out leaves no other out. The browser does the same:
    `oneASpot` of annotate.js.
    """
    if not len(offer.points):
        return offer
    names = list(offer.thresholds)
    ranks = np.array([names.index(label) for label in offer.labels.tolist()])
    margins = offer.scores - np.array(list(offer.thresholds.values()))[ranks]
    order = np.lexsort((ranks, -margins))
    offer, ranks = offer.take(order), ranks[order]
    keep = np.ones(len(ranks), bool)
    for better, worse in _rivals(offer.points, ranks, offer.radius):
        keep[worse] &= ~keep[better]  # what can leave `better` out came before
    return offer.take(keep)


def _rivals(points, ranks, radius):
    """Return the pairs within a radius of two classes, (N, 2), by their first member."""
    if (ranks == ranks[0]).all():
        return np.empty((0, 2), int)
    pairs = np.sort(KDTree(points).query_pairs(radius, output_type="ndarray"), axis=1)
    pairs = pairs[ranks[pairs[:, 0]] != ranks[pairs[:, 1]]]
    return pairs[np.argsort(pairs[:, 0], kind="stable")]


def _in_folder_classes(labels, theirs, ours):
    """Return a model's labels as the folder's; the one class of a model is the folder's first."""
    missing = [name for name in theirs if name not in ours]
    if missing and len(theirs) > 1:
        raise InputError(
            f"the model finds {missing[0]!r}; the classes here are {', '.join(ours)}. "
            "Open the folder with the model's classes: Annotator(folder, classes=...)."
        )
    return np.full(len(labels), ours[0]) if missing else labels
