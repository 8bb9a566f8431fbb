"""Suggestions: points that the LoG or a trained model offers, and the click magnet.

About suggesting. Whether a suggestion becomes a point, people decide (widget.py). A model is loaded
when it is first used, and torch with it.
"""

import threading
from pathlib import Path

import numpy as np

from pointlib.annotate.blobs import find_blobs, snap
from pointlib.cache import Cache
from pointlib.errors import InputError
from pointlib.thresholds import join_classes
from pointlib.widgets.pictures import check_size, pixels


class Helper:
    """What suggests points in images: blobs of a size, or the peaks of a model's heatmaps.

    Parameters
    ----------
    model : str, Path or PointModel, optional

    Attributes
    ----------
    dark : bool or None
        Whether blobs are darker (True) or brighter (False) than what is around them; None: either.
    """

    def __init__(self, model=None):
        if isinstance(model, (str, Path)):
            model = Path(model).resolve()  # it is loaded later, perhaps in another working folder
        self.model, self.dark, self._lock = model, None, threading.Lock()
        self._found = Cache(max_items=4)  # candidates of images

    @property
    def default(self):
        """What suggests where nobody chose: "model" or "blobs"."""
        return "blobs" if self.model is None else "model"

    def suggest(self, path, source, *, sigma, classes):
        """Return suggestions for an image file: points (N, 2), labels, scores (N,), best first.

        `source` is "blobs", "model" or "none". Blobs are labelled with the first class. A model
        is asked for all its candidates, however low, that keep its minimum distance.
        """
        if source == "none":
            return np.empty((0, 2)), np.empty(0, dtype=str), np.empty(0)
        if source == "blobs":
            check_size(path)
            points, scores = find_blobs(pixels(path), sigma=sigma, dark=self.dark)
            return points, np.full(len(points), classes[0]), scores
        if source != "model" or self.model is None:
            raise InputError(f"no suggestions from {source!r}; expected blobs, or give a model.")
        from pointlib.predict.points import class_settings

        found, info = self.candidates(path), self.model.info
        points, labels, scores = join_classes(
            {name: found[name].select(**class_settings(info, name, 0.0)) for name in found}
        )
        return points, _in_our_words(labels, info.classes, classes), scores

    def radius(self, source, sigma):
        """Return how near a point is the same thing as a suggestion, pixels."""
        return self.model.info.radius if source == "model" else np.sqrt(2) * sigma

    def magnet(self, path, point, *, sigma, label):
        """Return the place, (2,), of what is under a click, or None.

        The model's nearest candidate of the class, within its radius, where the image's candidates
        are known by now; else the blob. Quick: no model runs here.
        """
        found = self._found.peek(path)
        if found is None:
            return snap(pixels(path), point, sigma=sigma, dark=self.dark)
        points = found[label if label in found else next(iter(found))].points
        distances = np.hypot(*(points - point).T)
        near = len(points) and distances.min() <= self.model.info.radius
        return points[distances.argmin()] if near else None

    def candidates(self, path):
        """Return {class: Candidates} of the model, computed once an image. Takes seconds."""
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
    """Return the suggestions that are near no point, and near no rejected one of their class."""
    points, labels, scores = suggestions
    keep = np.ones(len(points), bool)
    for known, any_class in ((annotation.points, True), (annotation.rejected, False)):
        for other in known.values():
            near = np.hypot(*(points - (other.x, other.y)).T) <= radius
            keep &= ~(near & (any_class | (labels == other.label)))
    return points[keep], labels[keep], scores[keep]


def _in_our_words(labels, theirs, ours):
    """Return a model's labels as the folder's; a model of one class means the folder's first."""
    missing = [name for name in theirs if name not in ours]
    if missing and len(theirs) > 1:
        raise InputError(
            f"the model finds {missing[0]!r}; the classes here are {', '.join(ours)}. "
            "Open the folder with the model's classes: Annotator(folder, classes=...)."
        )
    return np.full(len(labels), ours[0]) if missing else labels
