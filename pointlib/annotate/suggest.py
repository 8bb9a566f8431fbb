"""Suggestions: points offered by the LoG or a trained model, and the click magnet.

About suggesting. People decide whether a suggestion becomes a point (widget.py). A model, and torch
with it, is loaded when first used.
"""

import threading
from pathlib import Path

import numpy as np

from pointlib.annotate.blobs import find_blobs, snap
from pointlib.cache import Cache
from pointlib.errors import InputError
from pointlib.matching import least_radius
from pointlib.thresholds import join_classes
from pointlib.widgets.pictures import check_size, pixels

BLOBS = 0.3  # the lowest score of a blob that is shown at first


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
        if isinstance(model, (str, Path)):
            model = Path(model).resolve()  # loaded later, maybe from another working directory
        self.model, self.dark, self._lock = model, None, threading.Lock()
        self._found = Cache(max_items=4)  # candidates of images

    def use(self, model):
        """Use another model from now on, a folder or a PointModel."""
        with self._lock:  # a prediction with the one before ends first
            self.model = Path(model).resolve() if isinstance(model, (str, Path)) else model
            self._found = Cache(max_items=4)

    @property
    def default(self):
        """The default source: "model" or "blobs"."""
        return "blobs" if self.model is None else "model"

    def suggest(self, path, source, *, sigma, classes):
        """Return suggestions for an image file: points (N, 2), labels, scores (N,), best first.

        `source` is "blobs", "model" or "none". Blobs are labelled with the first class. A model
        returns all its candidates, however low, that keep its minimum distance.
        """
        if source == "none":
            return np.empty((0, 2)), np.empty(0, dtype=str), np.empty(0)
        if source == "blobs":
            check_size(path)
            points, scores = find_blobs(pixels(path), sigma=sigma, dark=self.dark)
            return points, np.full(len(points), classes[0]), scores
        if source != "model" or self.model is None:
            raise InputError(f"no suggestions from {source!r}; expected 'blobs', or give a model.")
        from pointlib.predict.points import class_settings

        found, info = self.candidates(path), self.model.info
        points, labels, scores = join_classes(
            {name: found[name].select(**class_settings(info, name, 0.0)) for name in found}
        )
        return points, _in_folder_classes(labels, info.classes, classes), scores

    def thresholds(self, source, classes):
        """Return {class of the folder: the lowest score to show at first}: a model's own."""
        if source != "model":
            return dict.fromkeys(classes, BLOBS)
        from pointlib.predict.points import settings_of

        info = self.model.info  # loaded by `suggest`
        own = {name: settings["threshold"] for name, settings in settings_of(info).items()}
        names = _in_folder_classes(np.array(info.classes), info.classes, classes).tolist()
        of_folder = dict(zip(names, own.values(), strict=True))
        return {name: of_folder.get(name, max(own.values())) for name in classes}

    def radius(self, source, sigma):
        """Return the distance, pixels, within which a point counts as the same as a suggestion."""
        return least_radius(self.model.info.radius) if source == "model" else np.sqrt(2) * sigma

    def magnet(self, path, point, *, sigma, label):
        """Return the position, (2,), of the object under a click, or None.

        If the model's candidates for the image are known, the nearest one of the class within the
        model's radius; else the blob. Quick: no model runs here.
        """
        found = self._found.peek(path)
        if found is None:
            return snap(pixels(path), point, sigma=sigma, dark=self.dark)
        points = found[label if label in found else next(iter(found))].points
        distances = np.hypot(*(points - point).T)
        near = len(points) and distances.min() <= least_radius(self.model.info.radius)
        return points[distances.argmin()] if near else None

    def candidates(self, path):
        """Return {class: Candidates} of the model, computed once per image. Takes seconds."""
        with self._lock:  # one prediction at a time
            return self._found.get(path, lambda: self._predict(path))

    def _predict(self, path):
        from pointlib.predict.points import predict_candidates

        if isinstance(self.model, Path):
            from pointlib.model.folder import load_model

            self.model = load_model(self.model)
        check_size(path)
        return predict_candidates(self.model, pixels(path))


def still_open(suggestions, annotation, radius):
    """Return the suggestions not near a point, nor near a rejected one of their class."""
    points, labels, scores = suggestions
    keep = np.ones(len(points), bool)
    for known, any_class in ((annotation.points, True), (annotation.rejected, False)):
        for other in known.values():
            near = np.hypot(*(points - (other.x, other.y)).T) <= radius
            keep &= ~(near & (any_class | (labels == other.label)))
    return points[keep], labels[keep], scores[keep]


def one_a_spot(suggestions, thresholds, radius):
    """Return of suggestions within a radius of each other only the best, best first.

    The best is the one farthest above its class's threshold; of two as far, the class that comes
    first in `thresholds`, {class: score}. The browser does the same: annotate.js.
    """
    points, labels, scores = suggestions
    if not len(points):
        return suggestions
    names = list(thresholds)
    margins = scores - np.array([thresholds[label] for label in labels.tolist()])
    ranks = np.array([names.index(label) for label in labels.tolist()])
    kept = []
    for i in np.lexsort((ranks, -margins)):
        others = [j for j in kept if labels[j] != labels[i]]
        near = np.hypot(*(points[others] - points[i]).T) <= radius if others else np.zeros(0, bool)
        if not near.any():
            kept.append(i)
    return points[kept], labels[kept], scores[kept]


def _in_folder_classes(labels, theirs, ours):
    """Return a model's labels as the folder's; the one class of a model is the folder's first."""
    missing = [name for name in theirs if name not in ours]
    if missing and len(theirs) > 1:
        raise InputError(
            f"the model finds {missing[0]!r}; the classes here are {', '.join(ours)}. "
            "Open the folder with the model's classes: Annotator(folder, classes=...)."
        )
    return np.full(len(labels), ours[0]) if missing else labels
