"""The tuner: a notebook widget in which people move thresholds and see the effect.

About what a notebook cell sees: `Tuner`, its settings and its metrics. The browser side is tune.js;
server.py answers its messages, trial.py computes, state.py holds the candidates.
"""

import base64
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import ArrayLike

from pointlib.errors import InputError, suggest
from pointlib.metrics import metrics_table
from pointlib.tune.preview import snapshot
from pointlib.tune.server import TunerServer
from pointlib.tune.state import open_tuning_set
from pointlib.tune.trial import SETTINGS, one_or_each
from pointlib.widgets.channel import read_module, read_style

if TYPE_CHECKING:  # torch takes seconds to import
    from pointlib.counts import CountInterval
    from pointlib.dataset import ImagePointDataset
    from pointlib.matching import Match
    from pointlib.model.point_model import PointModel
    from pointlib.study.ceiling import Ceiling
    from pointlib.study.trust import Reliability
    from pointlib.sweep import Sweep

PATIENCE = 3  # s: how long the display of a cell waits for predictions
BESIDE = (
    "{name} at {threshold:g}, distance {min_distance:g} px: precision {precision:.3f}, "
    "recall {recall:.3f}, F1 {f1:.3f}, mean absolute count error {count_error:.2f}"
)


class Tuner(anywidget.AnyWidget):
    """Move thresholds and see what is found: ``Tuner("runs/my_model", "photos")``.

    Settings made by code appear in the browser, and vice versa. Metrics are of the labelled images;
    they wait until all images are predicted.

    Parameters
    ----------
    model_or_heatmaps : PointModel, path of a model folder, or sequence
        One heatmap per image, (H, W) or (C, H, W); or one ``{class: Candidates}`` per image.
    images : dataset, folder, sequence of arrays or of paths, or None
    points : sequence, optional
        True points, one entry per image: (N, 2), (points, labels), or None if it is not
        annotated. Default: those of the dataset or the folder.
    radius : float or dict, optional
        Match radius, pixels, of all classes or {class: pixels}. Default: the model's, else chosen
        from the true points.
    classes : sequence of str, optional
        Names of the heatmaps' channels.

    Attributes
    ----------
    threshold, min_distance : float, or dict if classes differ
        Set a number for all classes, or {class: number} for some. Distances are in pixels.
    radius : float or dict
        Match radius, pixels: of all classes, or {class: pixels} if they differ.
    settings : dict
        ``thresholds`` and ``min_distances``, {class: number}, and ``radius``. Settable.
    image : str
        The current image; set it by name or by number from 0.
    hold_back : float
        Share, 0 to 0.5, of the labelled images (drawn with a fixed seed) that is kept out of all
        metrics and choices; only `count_interval`, which needs such images, uses them.
    classes, images : tuple of str, list of str
    beside : dict
        Other thresholding functions, by name: see `add_beside`.
    state : dict
        Settings, image and shares, as a dict for JSON. Set it to restore them.
    height : int
        Height of the widget, pixels, until it is changed at its corner; less in a lower window.

    Examples
    --------
    >>> from pointlib import Tuner, gaussian_max
    >>> points = [[10, 12], [30, 20]]
    >>> heatmap = gaussian_max(points, (40, 60), sigma=2)
    >>> tuner = Tuner([heatmap], None, [points], radius=3)
    >>> tuner.threshold = 0.5
    >>> tuner.points()[0].round(2).tolist()
    [[10.0, 12.0], [30.0, 20.0]]
    >>> tuner.metrics()["pooled"]["f1"]
    1.0
    >>> tuner.close()
    """

    _esm = read_module("tune/tune.js")
    _css = read_style()
    height = traitlets.Int(720).tag(sync=True)

    def __init__(
        self,
        model_or_heatmaps: "PointModel | str | Path | Sequence",
        images: "ImagePointDataset | str | Path | Sequence | None",
        points: Sequence | None = None,
        *,
        radius: float | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self._is_open, self._patience = False, None
        self._tuning_set = open_tuning_set(
            model_or_heatmaps, images, points, radius=radius, classes=classes
        )
        super().__init__()
        send = lambda *parts: self.send(*parts)  # noqa: E731, PLW0108 - looked up at each call
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
        with contextlib.suppress(InputError):  # the widget itself shows the error
            data["image/png"] = base64.b64encode(snapshot(self._trial)).decode()
        return data, *metadata

    # ---- settings

    _trial = property(lambda self: self._server.trial)
    classes = property(lambda self: self._tuning_set.classes)
    images = property(lambda self: list(self._tuning_set.names))
    threshold = property(
        lambda self: one_or_each(self._trial.thresholds),
        lambda self, value: self._server.change(thresholds=value),
    )
    min_distance = property(
        lambda self: one_or_each(self._trial.min_distances),
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
    def state(self) -> dict[str, Any]:
        """All choices, as a dict for JSON."""
        choices = self._trial.choices
        return choices | {"image": self.images[choices.pop("index")]}

    @state.setter
    def state(self, state):
        choices = dict(_check_dict(state, "state"))
        if "image" in choices:
            choices["index"] = self._index(choices.pop("image"))
        self._server.change(**choices)

    # ---- metrics

    def best(self, goal: str = "f1", *, most_false: float = 0.05) -> float | dict[str, float]:
        """Return the best threshold at this radius and minimum distance, without setting it.

        Parameters
        ----------
        goal : str
            "f1", "count", "equal" (precision and recall), or "few false": as many hits as possible
            while at most a share `most_false` of the found points is false. "plateau" needs no
            true points: the middle of the range where the count hardly changes.
        most_false : float
            0 to 1.

        Returns
        -------
        float, or dict if there are several classes
            {class: float}. NaN if nothing can be chosen. Ties: see `sweep.best_threshold`.
        """
        best = self._all.changed(most_false=most_false).best(goal)
        return best if len(best) > 1 else next(iter(best.values()))

    def curves(self) -> "dict[str, Sweep]":
        """Return {class: sweep.Sweep}: counts, precision, recall and F1 at every threshold."""
        return self._all.curves()

    def points(self, image: str | int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return points (N, 2), pixels, best first, labels (N,) and scores (N,) of an image.

        `image` is a name or a number; default: the current one.
        """
        return self._tuning_set.candidates_kept(self._there(image), self.settings)

    def match(self, image: str | int | None = None) -> "dict[str, Match]":
        """Return {class: Match} of a labelled image; see `match_points`.

        Indices are into the image's true points of the class, and into its found points of the
        class in the order of `points`.
        """
        return self._trial.match(self._there(image))

    def metrics(self) -> dict[str, Any]:
        """Return all metrics of the labelled images: see `score_images`."""
        return self._all.metrics()

    def table(self) -> str:
        """Return the metrics as text, a line per class; without true points, counts per image."""
        if not self._trial.shuffled:
            counts = zip(self.images, self._all.counts(), strict=True)
            return "\n".join(f"{n:6d}  {name}" for name, n in counts)
        rows = self._server.beside.rows(self._all)
        return "\n".join([metrics_table(self.metrics()), *(BESIDE.format(**row) for row in rows)])

    def anatomy(self) -> dict[str, Any]:
        """Return what each kind of error costs: see `anatomy_table`.

        "flaws" is added: {image: list of Flaw}.
        """
        table, flaws = self._all.anatomy()
        return table | {"flaws": {self.images[i]: found for i, found in flaws.items()}}

    def ceiling(self) -> "Ceiling":
        """Return the Ceiling that a perfect network could reach here: see `ceiling`."""
        return self._all.ceiling()

    def rules(self) -> dict[str, float]:
        """Return {rule: F1} of these points by other matching rules: see `f1_by_rule`."""
        return self._all.rules()

    def reliability(self) -> "Reliability":
        """Return what share of the points of each score is true: see `reliability`."""
        return self._all.reliability()

    def count_interval(self, coverage: float = 0.9) -> "CountInterval":
        """Return the interval in which a true count lies: see `count_interval`.

        Computed from the images held back; if they are too few, its `why` says so. Hold them back
        first, then choose the threshold.
        """
        return self._all.count_interval(coverage)

    def add_beside(
        self,
        threshold_fn: Callable[..., tuple[ArrayLike, ArrayLike]],
        *,
        threshold: float,
        min_distance: float = 0.0,
        name: str | None = None,
    ) -> None:
        """Show another function like those of thresholds.py, at fixed settings, for comparison.

        `name` defaults to the function's own; an existing name is replaced.
        """
        name = name or getattr(threshold_fn, "__name__", "function")
        self._server.beside.add(name, threshold_fn, threshold=threshold, min_distance=min_distance)
        self._server.tell_beside()

    def use(self, folder: str | Path | None = None) -> Path | None:
        """Write settings and metrics into the model and its folder, for predictions to use.

        Prints a caution if they were chosen on test or training images.

        Parameters
        ----------
        folder : str or Path, optional
            A model folder. Default: the one that the model came from.

        Returns
        -------
        Path or None
            Path of `pointlib.json`; its old version is kept as a copy. None if the model is only in
            memory.
        """
        path, text = self._all.write(folder)
        if self._trial.caution:
            print(text)
        self._server.post({"type": "notice", "level": "info", "text": text})
        return path

    def close(self) -> None:
        """Close the widget, and stop predicting."""
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
        """Return an image's number, given its name or number."""
        names = self.images
        if isinstance(image, str) and image in names:
            return names.index(image)
        if isinstance(image, str) or image not in range(-len(names), len(names)):
            raise InputError(f"there is no image {image!r}. {suggest(image, names)}")
        return range(len(names))[int(image)]

    def _there(self, image):
        """Return the number of an image, default the current one, once it is predicted."""
        index = self._trial.index if image is None else self._index(image)
        if self._tuning_set.candidates[index] is None:
            self._tuning_set.wait()
        if self._tuning_set.errors[index]:
            raise InputError(self._tuning_set.errors[index])
        return index


def _check_dict(value, name):
    """Return a dict whose keys are strings, or raise InputError that calls it `name`."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{name} is {value!r}; expected a dict, as tuner.{name} returns it.")
    return value


def _printed(values):
    """Return a threshold, or those of the classes, with two decimals."""
    if isinstance(values, dict):
        return "{" + ", ".join(f"{name}: {value:.2f}" for name, value in values.items()) + "}"
    return f"{values:.2f}"
