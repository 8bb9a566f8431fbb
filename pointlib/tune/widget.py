"""The tuner: a widget in the notebook in which people move thresholds and see what that does.

About what a notebook's cell sees: `Tuner`, its settings and its numbers. The browser's side is
tune.js; server.py answers its messages, trial.py reckons, state.py holds what was found.
"""

import base64
import contextlib

import anywidget
import traitlets

from pointlib.errors import InputError, suggest
from pointlib.metrics import metrics_table
from pointlib.tune.preview import snapshot
from pointlib.tune.server import TunerServer
from pointlib.tune.state import open_tuning_set
from pointlib.tune.trial import SETTINGS
from pointlib.widgets.channel import read_module, read_style

PATIENCE = 3  # s: so long the display of a cell waits for predictions
BESIDE = (
    "{name} at {threshold:g}, distance {min_distance:g} px: precision {precision:.3f}, "
    "recall {recall:.3f}, F1 {f1:.3f}, mean absolute count error {count_error:.2f}"
)


class Tuner(anywidget.AnyWidget):
    """Move thresholds and see what is found: ``Tuner("runs/my_model", "photos")``.

    What code sets appears in the browser, and the other way round. Numbers are of the labelled
    images; those that need all of them wait until all are predicted.

    Parameters
    ----------
    model_or_heatmaps : PointModel, path of a model folder, or sequence
        One heatmap an image, (H, W) or (C, H, W); or one ``{class: Candidates}`` an image.
    images : dataset, folder, sequence of arrays or of paths, or None
    points : sequence, optional
        What is true, one an image: (N, 2), (points, labels), or None where nobody marked;
        default what the dataset or the folder knows.
    radius : float, optional
        Match radius, pixels. Default the model's, else from the true points.
    classes : sequence of str, optional
        Names of the heatmaps' channels.

    Attributes
    ----------
    threshold, min_distance : float, or dict where classes differ
        Set a number for all classes, or {class: number} for some. Distances are in pixels.
    radius : float
        Match radius, pixels.
    settings : dict
        ``thresholds`` and ``min_distances``, {class: number}, and ``radius``. Settable.
    image : str
        The one that is looked at; set it by name or by number from 0.
    hold_back : float
        Share, 0 to 0.5, of the labelled images (drawn with a fixed seed) that takes part in no
        number and in no choice, but in `count_interval`, which needs such images.
    classes, images : tuple of str, list of str
    beside : dict
        Other threshold functions, by name: see `add_beside`.
    state : dict
        Settings, image and shares, as JSON can hold them. Set it to see the same again.
    height : int, pixels
    """

    _esm = read_module("tune/tune.js")
    _css = read_style()
    height = traitlets.Int(720).tag(sync=True)

    def __init__(self, model_or_heatmaps, images, points=None, *, radius=None, classes=None):
        self._is_open, self._patience = False, None
        self._tuning_set = open_tuning_set(
            model_or_heatmaps, images, points, radius=radius, classes=classes
        )
        super().__init__()
        send = lambda *parts: self.send(*parts)  # noqa: E731, PLW0108 - as it is by then
        self._server = TunerServer(self._tuning_set, send)
        self.on_msg(lambda _widget, content, _buffers: self._server.receive(content))
        self._is_open = True

    def __repr__(self):
        if not self._tuning_set.wait(self._patience):
            return f"Tuner({len(self.images)} images, predicting)"
        words = [f"threshold={_printed(self.threshold)}", f"points={sum(self._trial.counts())}"]
        if self._trial.live:
            words.append(f"f1={self.metrics()['pooled']['f1']:.2f}")
        return f"Tuner({', '.join(words)})"

    def _repr_mimebundle_(self, **kwargs):
        self._patience = PATIENCE
        try:
            data, *metadata = super()._repr_mimebundle_(**kwargs)
        finally:
            self._patience = None
        with contextlib.suppress(InputError):  # the widget itself says what is wrong here
            data["image/png"] = base64.b64encode(snapshot(self._trial)).decode()
        return data, *metadata

    # ---- settings

    _trial = property(lambda self: self._server.trial)
    classes = property(lambda self: self._tuning_set.classes)
    images = property(lambda self: list(self._tuning_set.names))
    threshold = property(
        lambda self: _one_or_each(self._trial.thresholds),
        lambda self, value: self._server.change(thresholds=value),
    )
    min_distance = property(
        lambda self: _one_or_each(self._trial.min_distances),
        lambda self, value: self._server.change(min_distances=value),
    )
    radius = property(
        lambda self: self._trial.radius, lambda self, value: self._server.change(radius=value)
    )
    hold_back = property(
        lambda self: self._trial.hold_back,
        lambda self, value: self._server.change(hold_back=value),
    )
    image = property(
        lambda self: self.images[self._trial.index],
        lambda self, value: self._server.change(index=self._index(value)),
    )
    settings = property(lambda self: self._trial.settings)
    beside = property(lambda self: self._server.beside.entries)

    @settings.setter
    def settings(self, settings):
        _check_dict(settings, "settings")
        if unknown := [key for key in settings if key not in SETTINGS]:
            raise InputError(f"settings has {unknown[0]!r}. {suggest(unknown[0], SETTINGS)}")
        self._server.change(**settings)

    @property
    def state(self):
        """What is chosen, as JSON can hold it."""
        choices = self._trial.choices
        return choices | {"image": self.images[choices.pop("index")]}

    @state.setter
    def state(self, state):
        choices = dict(_check_dict(state, "state"))
        if "image" in choices:
            choices["index"] = self._index(choices.pop("image"))
        self._server.change(**choices)

    # ---- what they give

    def best(self, goal="f1", *, most_false=0.05):
        """Return the threshold that is best at this radius and minimum distance; set nothing.

        Parameters
        ----------
        goal : str
            "f1", "count", "equal" (precision and recall), or "few false": as many hits as can be
            while at most a share `most_false` of what is found is false. "plateau" needs no
            truth: the middle of the range where the count hardly changes.
        most_false : float
            0 to 1.

        Returns
        -------
        float, or dict where there are several classes
            {class: float}. NaN where nothing can be chosen. Ties: see `sweep.best_threshold`.
        """
        best = self._all.changed(most_false=most_false).best(goal)
        return best if len(best) > 1 else next(iter(best.values()))

    def curves(self):
        """Return {class: sweep.Sweep}: counts, precision, recall and F1 at every threshold."""
        return self._all.curves()

    def points(self, image=None):
        """Return points (N, 2), pixels, best first, labels (N,) and scores (N,) of an image.

        `image` is a name or a number; default the one that is looked at.
        """
        return self._tuning_set.candidates_kept(self._there(image), self.settings)

    def match(self, image=None):
        """Return {class: Match} of a labelled image; see `metrics.match_points`.

        Indices count the image's true points of the class, and its found points of the class in
        the order of `points`.
        """
        return self._trial.match(self._there(image))

    def metrics(self):
        """Return every figure of the labelled images: see `metrics.score_images`."""
        return self._all.metrics()

    def table(self):
        """Return the numbers as text: a line a class; without truth, the counts of each image."""
        if not self._trial.lots:
            counts = zip(self.images, self._all.counts(), strict=True)
            return "\n".join(f"{n:6d}  {name}" for name, n in counts)
        rows = self._server.beside.rows(self._all)
        return "\n".join([metrics_table(self.metrics()), *(BESIDE.format(**row) for row in rows)])

    def anatomy(self):
        """Return what each kind of error costs: see `anatomy.anatomy_table`.

        With "flaws", {image: list of anatomy.Flaw}.
        """
        table, flaws = self._all.anatomy()
        return table | {"flaws": {self.images[i]: found for i, found in flaws.items()}}

    def ceiling(self):
        """Return the ceiling.Ceiling that a perfect network could reach here."""
        return self._all.ceiling()

    def rules(self):
        """Return {rule: F1} of these points by other people's rules: see `metrics.f1_by_rule`."""
        return self._all.rules()

    def reliability(self):
        """Return how many of the points of a score are true: see `trust.reliability`."""
        return self._all.reliability()

    def count_interval(self, coverage=0.9):
        """Return between which numbers a count lies: see `trust.CountInterval`.

        From the images held back alone; where there are too few, its `why` says so. Hold them back
        first, then choose the threshold.
        """
        return self._all.count_interval(coverage)

    def add_beside(self, threshold_fn, *, threshold, min_distance=0.0, name=None):
        """Show another function of thresholds.py's kind, at fixed settings, beside the numbers.

        `name` is by default the function's own; the same name again replaces it.
        """
        name = name or getattr(threshold_fn, "__name__", "function")
        self._server.beside.add(name, threshold_fn, threshold=threshold, min_distance=min_distance)
        self._server.tell_beside()

    def use(self, folder=None):
        """Write settings and numbers into the model and its folder, where predict looks.

        Prints a caution where test or training images chose them.

        Parameters
        ----------
        folder : str or Path, optional
            A model folder. Default the one that the model came from.

        Returns
        -------
        Path or None
            Of `pointlib.json`, whose older one is kept as a copy; None where there is no folder
            but a model in memory.
        """
        path, text = self._all.write(folder)
        if self._trial.caution:
            print(text)
        self._server.post({"type": "notice", "level": "info", "text": text})
        return path

    def close(self):
        """End the widget, and the predicting."""
        if self._is_open:
            self._is_open = False
            self._tuning_set.close()
            self._server.close()
        super().close()

    # ---- inside

    @property
    def _all(self):
        """The trial, once all images are predicted."""
        self._tuning_set.wait()
        return self._trial

    def _index(self, image):
        """Return an image's number, by name or by number."""
        names = self.images
        if isinstance(image, str) and image in names:
            return names.index(image)
        if isinstance(image, str) or image not in range(-len(names), len(names)):
            raise InputError(f"there is no image {image!r}. {suggest(image, names)}")
        return range(len(names))[int(image)]

    def _there(self, image):
        """Return the number of an image, default the one looked at, once it is predicted."""
        index = self._trial.index if image is None else self._index(image)
        if self._tuning_set.candidates[index] is None:
            self._tuning_set.wait()
        if self._tuning_set.errors[index]:
            raise InputError(self._tuning_set.errors[index])
        return index


def _check_dict(value, name):
    """Return a dict whose keys are texts, or raise InputError that calls it `name`."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{name} is {value!r}; expected a dict, as tuner.{name} returns it.")
    return value


def _one_or_each(values):
    """Return the number that all classes share, or {class: number}."""
    numbers = set(values.values())
    return numbers.pop() if len(numbers) == 1 else dict(values)


def _printed(values):
    """Return a threshold, or those of classes, with two decimals."""
    if isinstance(values, dict):
        return "{" + ", ".join(f"{name}: {value:.2f}" for name, value in values.items()) + "}"
    return f"{values:.2f}"
