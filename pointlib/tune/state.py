"""The tuning set: images, their true points and every candidate found, computed once.

About the tuner's data: a model, heatmaps or candidates on one side, a dataset, a folder or a list
of images on the other. The first image is processed at once, the rest in a thread, so that there is
something to show before the last prediction. Torch is imported only for a model.

Not about choosing settings (sweep.py), nor about showing anything (widget.py).
"""

import atexit
import logging
import threading

import numpy as np

from pointlib.cache import Cache
from pointlib.dataset import image_name
from pointlib.errors import InputError
from pointlib.matching import check_radius
from pointlib.points import check_points
from pointlib.splits import part_of
from pointlib.sweep import choose_for_classes
from pointlib.thresholds import join_classes
from pointlib.tune.inputs import Item, by_class, choose_radius, list_items, with_points
from pointlib.tune.sources import grey_png, open_source

AT_ONCE = 50_000_000  # heatmap pixels processed before the constructor returns: takes a second


def open_tuning_set(source, images, points=None, *, radius=None, classes=None):
    """Find the candidates in all images.

    Parameters
    ----------
    source : PointModel, path of a model folder, or sequence
        One heatmap per image, (H, W) or (C, H, W), numpy or torch, values from 0 to 1; or one
        ``{class: Candidates}`` per image.
    images : dataset, path of a folder, sequence of arrays or of paths, or None
        In a folder, images that the model was trained on are left out if there are others. None
        if there are only heatmaps.
    points : sequence, optional
        True points, one entry per image: (N, 2), (points, labels), or None if it is not
        annotated. Default: those of the dataset, or of the text files beside the images.
    radius : float, optional
        Match radius, pixels. Default: the model's, else a quarter of the median distance between
        neighbouring true points (at least 2 px), else 6.
    classes : sequence of str, optional
        Names of the heatmaps' channels. Default: the model's, else those of the true points.

    Returns
    -------
    TuningSet
        InputError if an argument or the first image is invalid. Errors of later images are kept
        in ``errors``.
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
            f"{source.n_images} heatmaps for {len(items)} images; expected one per image, in the "
            "same order. Put the heatmaps of one image into a list of one."
        )
    if items[0].error:
        raise InputError(items[0].error)
    if source.model is None and source.has_heatmaps:
        source.heatmap(0, items[0])  # checks the size before channels are counted
    classes = _choose_classes(source, items, images, classes)
    items = [item._replace(truth=by_class(item, classes)) for item in items]
    if radius is None:
        radius = source.radius or choose_radius(items)
    return TuningSet(source, items, classes, check_radius(radius, classes))


class TuningSet:
    """Images with their true points and candidates; made by `open_tuning_set`.

    Attributes
    ----------
    names : list of str
    classes : tuple of str
    paths : list of Path or None
        The image files, if there are any.
    shapes : list of (H, W) or None
        None if an image is not processed yet.
    truth : list of {class: (N, 2) float64} or None
        None if the image is not annotated, or cannot be used.
    candidates : list of {class: Candidates} or None
        None if an image is not processed yet, or cannot be used.
    errors : list of str
        Why an image cannot be used; "" if it can.
    n_ready : int
        Number of images processed so far, the first ones.
    radius : float
        Match radius, pixels.
    sigma : float or None
        The model's.
    settings : dict
        Initial ``thresholds`` and ``min_distances``, {class: number}, and ``radius``.
    model : PointModel or None
    folder : Path or None
        The model's.
    exclusive : bool
        Whether an object has one class only: then one threshold serves all.
    part : str
        "test" if any image is in the test list of its dataset folder; "train" or "val" if all
        are in that list; else "".
    trained_on : bool
        Whether the model was trained on some of the images.
    has_images, has_heatmaps : bool
    listeners : set of callable
        Called, from the thread, with the index of each image processed there.
    """

    def __init__(self, source, items, classes, radius):
        self._source, self._items, n = source, items, len(items)
        self.names, self.paths = [item.name for item in items], [item.path for item in items]
        self.classes, self.radius, self.sigma = classes, radius, source.sigma
        self.truth, self.errors = [item.truth for item in items], [item.error for item in items]
        self.shapes, self.candidates, self._pngs = [None] * n, [None] * n, [None] * n
        self.model, self.folder = source.model, source.folder
        self.exclusive = source.exclusive and len(classes) > 1
        self.part = part_of(self.paths)
        self.trained_on = not source.trained.isdisjoint(_own_names(items))
        self.has_images, self.has_heatmaps = items[0].load is not None, source.has_heatmaps
        self.listeners, self.n_ready = set(), 0
        self._is_over, self._lock = threading.Event(), threading.Lock()
        self._heatmaps = Cache(max_items=2)  # so that the current image is not predicted again
        self._process(0)
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
        return f"TuningSet({len(self)} images, {self.n_ready} processed)"

    def image(self, index):
        """Return an image, (H, W) or (H, W, C), or raise InputError if it cannot be read."""
        if not self.has_images:
            raise InputError("there are no images, only heatmaps. Give images to see them.")
        return self._items[index].load()

    def heatmap(self, index):
        """Return the heatmaps of an image, (C, H, W) float; a model predicts them again."""
        with self._lock:  # one prediction at a time
            item = self._items[index]
            return self._heatmaps.get(index, lambda: self._source.heatmap(index, item))

    def heat_png(self, index, channel):
        """Return one heatmap of an image as the bytes of a grey PNG: 0 is black, 1 is white."""
        if self._pngs[index] is not None:
            return self._pngs[index][channel]
        return grey_png(self.heatmap(index)[channel])

    def wait(self, timeout=None):
        """Wait up to `timeout` seconds for all images; return whether all are processed."""
        self._thread.join(timeout)
        return self.n_ready == len(self)

    def close(self):
        """Stop; the image being processed is finished first."""
        atexit.unregister(self.close)
        self._is_over.set()
        self.listeners.clear()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    def peaks(self, index):
        """Return {class: Candidates} of an image, or raise InputError if there are none."""
        if self.candidates[index] is None:
            closed = "closed before it was processed. Open it again."
            waiting = closed if self._is_over.is_set() else "not processed yet. Call wait() first."
            raise InputError(f"{self.names[index]}: {self.errors[index] or waiting}")
        return self.candidates[index]

    def by_class(self, indices):
        """Return {class: list of (true points, Candidates)} of processed, labelled images."""
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
        """Process the rest of the images, one by one."""
        for i in range(self.n_ready, len(self)):
            if self._is_over.is_set():
                return
            self._try(i)
            for listener in list(self.listeners):
                try:
                    listener(i)
                except Exception:  # a failing listener must not stop the others
                    logging.getLogger(__name__).exception("Unexpected error")
        atexit.unregister(self.close)

    def _try(self, i):
        """Process an image; keep an error as a sentence."""
        try:
            self._process(i)
        except InputError as error:
            self.truth[i], self.errors[i] = None, str(error)
        except Exception as error:  # users' models and datasets may raise anything
            logging.getLogger(__name__).exception("Unexpected error")
            self.truth[i], self.errors[i] = None, f"{type(error).__name__}: {error}"
        self.n_ready = i + 1

    def _process(self, i):
        item = self._items[i]
        if item.error:
            raise InputError(item.error)
        shape, found, pngs = self._source.look(i, item)
        for points in (self.truth[i] or {}).values():
            check_points(points, shape=shape, name=f"points of {item.name}")
        self.shapes[i], self._pngs[i] = tuple(shape), pngs
        found = [peaks.within(item.regions) for peaks in found]
        self.candidates[i] = dict(zip(self.classes, found, strict=True))

    def _first_settings(self):
        """Return the model's settings, or the best ones for the images processed so far."""
        ready = range(self.n_ready)
        usable = [i for i in ready if self.truth[i] is not None and self.candidates[i] is not None]
        chosen = self._source.settings() or choose_for_classes(
            self.by_class(usable), radius=self.radius
        )
        thresholds = {name: own["threshold"] for name, own in chosen.items()}
        distances = {name: own["min_distance"] for name, own in chosen.items()}
        return {"thresholds": thresholds, "min_distances": distances, "radius": self.radius}


def _own_names(items):
    """Return the names that identify images; "image 0" is the name of any image in memory."""
    names = {item.name for i, item in enumerate(items) if item.name != image_name(i)}
    return names | {item.path.name for item in items if item.path}


def _without_images(source):
    """Return an Item for each heatmap."""
    if not source.has_heatmaps or source.n_images is None:
        raise InputError("images is None, which works only with heatmaps. Give the images.")
    return [Item(image_name(i), None, None, None, None) for i in range(source.n_images)]


def _choose_classes(source, items, images, classes):
    """Return the channels' names: those given, the source's, the true points', or numbered ones."""
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
        raise InputError(f"classes is {list(classes)}; expected {n} names, one per channel.")
    return classes
