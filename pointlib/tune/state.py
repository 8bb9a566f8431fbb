"""The tuning set: images, their true points and every candidate found, computed once.

About what the tuner looks at: a model, heatmaps or candidates on one side, a dataset, a folder or
a list of images on the other. The first image is looked at at once, the rest in a thread, so that
a picture stands before the last prediction is made. Torch is imported where a model comes.

Not about choosing settings (sweep.py), nor about showing anything (widget.py).
"""

import atexit
import logging
import threading

import numpy as np

from pointlib.cache import Cache
from pointlib.dataset import image_name
from pointlib.errors import InputError
from pointlib.matching import check_amount
from pointlib.points import check_points
from pointlib.splits import part_of
from pointlib.sweep import choose_for_classes
from pointlib.thresholds import join_classes
from pointlib.tune.inputs import Item, by_class, choose_radius, list_items, with_points
from pointlib.tune.sources import grey_png, open_source

AT_ONCE = 50_000_000  # heatmap pixels that are looked at before the constructor returns: a second


def open_tuning_set(source, images, points=None, *, radius=None, classes=None):
    """Look for every candidate in every image.

    Parameters
    ----------
    source : PointModel, path of a model folder, or sequence
        One heatmap an image, (H, W) or (C, H, W), numpy or torch, heights from 0 to 1; or one
        ``{class: Candidates}`` an image.
    images : dataset, path of a folder, sequence of arrays or of paths, or None
        Of a folder, images that the model was trained on are left out where there are others.
        None where heatmaps are all there is.
    points : sequence, optional
        What is true, one an image: (N, 2), (points, labels), or None where nobody marked. Default
        what the dataset knows, or the text files beside the images.
    radius : float, optional
        Match radius, pixels. Default the model's, else a quarter of the median distance between
        neighbouring true points (at least 2 px), else 6.
    classes : sequence of str, optional
        Names of the heatmaps' channels; default the model's, else those of the true points.

    Returns
    -------
    TuningSet
        InputError where an argument or the first image is wrong. What is wrong with a later image
        is kept in ``errors``.
    """
    source = open_source(source)
    if images is None:
        items = _without_images(source)
    else:
        items = list_items(images, has_points=points is not None, trained=source.trained)
    if points is not None:
        items = with_points(items, points)
    if source.n_images not in (None, len(items)):
        raise InputError(
            f"{source.n_images} heatmaps for {len(items)} images; expected one an image, in the "
            "same order. The heatmaps of one image go into a list of one."
        )
    if items[0].error:
        raise InputError(items[0].error)
    if source.model is None and source.has_heatmaps:
        source.heatmap(0, items[0])  # objects to another size before channels are counted
    classes = _choose_classes(source, items, images, classes)
    items = [item._replace(truth=by_class(item, classes)) for item in items]
    if radius is None:
        radius = source.radius or choose_radius(items)
    return TuningSet(source, items, classes, check_amount(radius, "radius"))


class TuningSet:
    """Images with their truth and their candidates; made by `open_tuning_set`.

    Attributes
    ----------
    names : list of str
    classes : tuple of str
    paths : list of Path or None
        The image files, where there are any.
    shapes : list of (H, W) or None
        None where an image is not looked at yet.
    truth : list of {class: (N, 2) float64} or None
        None where nobody marked the image, or it cannot be used.
    candidates : list of {class: Candidates} or None
        None where an image is not looked at yet, or cannot be used.
    errors : list of str
        Why an image cannot be used; "" where it can.
    n_ready : int
        The first so many images are looked at.
    radius : float
        Match radius, pixels.
    sigma : float or None
        The model's.
    settings : dict
        ``thresholds`` and ``min_distances``, {class: number}, and ``radius``, to begin with.
    model : PointModel or None
    folder : Path or None
        The model's.
    part : str
        "test" where some images stand in the test list of their dataset folder; "train" or "val"
        where all stand in that list; else "".
    trained_on : bool
        Whether the model was trained on some of the images.
    has_images, has_heatmaps : bool
    listeners : set of callable
        Called with the index of each image looked at in the thread, from the thread.
    """

    def __init__(self, source, items, classes, radius):
        self._source, self._items, n = source, items, len(items)
        self.names, self.paths = [item.name for item in items], [item.path for item in items]
        self.classes, self.radius, self.sigma = classes, radius, source.sigma
        self.truth, self.errors = [item.truth for item in items], [item.error for item in items]
        self.shapes, self.candidates, self._pngs = [None] * n, [None] * n, [None] * n
        self.model, self.folder = source.model, source.folder
        self.part = part_of(self.paths)
        self.trained_on = not source.trained.isdisjoint(_own_names(items))
        self.has_images, self.has_heatmaps = items[0].load is not None, source.has_heatmaps
        self.listeners, self.n_ready = set(), 0
        self._is_over, self._lock = threading.Event(), threading.Lock()
        self._heatmaps = Cache(max_items=2)  # lest an image looked at be predicted again
        self._look_at(0)
        self.n_ready, effort = 1, source.effort(0)
        while self.n_ready < n and (effort := effort + source.effort(self.n_ready)) <= AT_ONCE:
            self._try(self.n_ready)
        self.settings = self._first_settings()
        self._thread = threading.Thread(target=self._run, daemon=True, name="tuning set")
        atexit.register(self.close)
        self._thread.start()

    def __len__(self):
        return len(self.names)

    def __repr__(self):
        return f"TuningSet({len(self)} images, {self.n_ready} looked at)"

    def image(self, index):
        """Return an image, (H, W) or (H, W, C), or raise InputError where it cannot be read."""
        if not self.has_images:
            raise InputError("there are no images, only heatmaps. Give images to see them.")
        return self._items[index].load()

    def heatmap(self, index):
        """Return the heatmaps of an image, (C, H, W) float; a model runs again for them."""
        with self._lock:  # one prediction at a time
            item = self._items[index]
            return self._heatmaps.get(index, lambda: self._source.heatmap(index, item))

    def heat_png(self, index, channel):
        """Return one heatmap of an image as the bytes of a grey PNG: 0 is black, 1 is white."""
        if self._pngs[index] is not None:
            return self._pngs[index][channel]
        return grey_png(self.heatmap(index)[channel])

    def wait(self, timeout=None):
        """Wait until every image is looked at, at most `timeout` seconds; return whether it is."""
        self._thread.join(timeout)
        return self.n_ready == len(self)

    def close(self):
        """Look at no more images; the one that is looked at is finished first."""
        atexit.unregister(self.close)
        self._is_over.set()
        self.listeners.clear()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    def peaks(self, index):
        """Return {class: Candidates} of an image, or raise InputError where there are none."""
        if self.candidates[index] is None:
            closed = "closed before it was looked at. Open it again."
            waiting = closed if self._is_over.is_set() else "not looked at yet. Call wait() first."
            raise InputError(f"{self.names[index]}: {self.errors[index] or waiting}")
        return self.candidates[index]

    def by_class(self, indices):
        """Return {class: list of (true points, Candidates)} of labelled images, looked at."""
        return {
            name: [(self.truth[i][name], self.candidates[i][name]) for i in indices]
            for name in self.classes
        }

    def candidates_kept(self, index, settings):
        """Return points (N, 2), labels (N,) and scores (N,) of an image at `settings`."""
        return join_classes(
            {
                name: found.select(
                    threshold=settings["thresholds"][name],
                    min_distance=settings["min_distances"][name],
                )
                for name, found in self.peaks(index).items()
            }
        )

    def _run(self):
        """Look at the rest of the images, one after the other."""
        for i in range(self.n_ready, len(self)):
            if self._is_over.is_set():
                return
            self._try(i)
            for listener in list(self.listeners):
                try:
                    listener(i)
                except Exception:  # who listens badly must not stop the others
                    logging.getLogger(__name__).exception("Unforeseen")
        atexit.unregister(self.close)

    def _try(self, i):
        """Look at an image; what is wrong with it is kept as a sentence."""
        try:
            self._look_at(i)
        except InputError as error:
            self.truth[i], self.errors[i] = None, str(error)
        except Exception as error:  # models and datasets of users raise anything
            logging.getLogger(__name__).exception("Unforeseen")
            self.truth[i], self.errors[i] = None, f"{type(error).__name__}: {error}"
        self.n_ready = i + 1

    def _look_at(self, i):
        item = self._items[i]
        if item.error:
            raise InputError(item.error)
        shape, found, pngs = self._source.look(i, item)
        for points in (self.truth[i] or {}).values():
            check_points(points, shape=shape, name=f"points of {item.name}")
        self.shapes[i], self._pngs[i] = tuple(shape), pngs
        self.candidates[i] = dict(zip(self.classes, found, strict=True))

    def _first_settings(self):
        """Return the model's settings, or the best for the images looked at so far."""
        ready = range(self.n_ready)
        usable = [i for i in ready if self.truth[i] is not None and self.candidates[i] is not None]
        chosen = self._source.settings() or choose_for_classes(
            self.by_class(usable), radius=self.radius
        )
        thresholds = {name: own["threshold"] for name, own in chosen.items()}
        distances = {name: own["min_distance"] for name, own in chosen.items()}
        return {"thresholds": thresholds, "min_distances": distances, "radius": self.radius}


def _own_names(items):
    """Return names that tell images apart; "image 0" is what any image in memory is called."""
    names = {item.name for i, item in enumerate(items) if item.name != image_name(i)}
    return names | {item.path.name for item in items if item.path}


def _without_images(source):
    """Return an Item for each heatmap."""
    if not source.has_heatmaps or source.n_images is None:
        raise InputError("images is None; that is enough beside heatmaps only. Give the images.")
    return [Item(image_name(i), None, None, None, None) for i in range(source.n_images)]


def _choose_classes(source, items, images, classes):
    """Return the names of the channels: those given, the source's, the truth's, or numbers."""
    n = source.n_channels
    if classes is not None:
        classes = tuple(map(str, np.atleast_1d(classes)))
    if source.classes is not None:
        if classes not in (None, source.classes):
            raise InputError(f"classes is {list(classes)}; the source has {list(source.classes)}.")
        return source.classes
    if classes is None:
        used = {name for item in items if item.truth for name in item.truth[1].tolist()}
        known = (tuple(getattr(images, "classes", ())), tuple(sorted(used - {""})))
        spare = ("point",) if n == 1 else tuple(f"class {k}" for k in range(1, n + 1))
        return next((names for names in known if len(names) == n), spare)
    if len(classes) != n or len(set(classes)) != n:
        raise InputError(f"classes is {list(classes)}; expected {n} names, one a heatmap channel.")
    return classes
