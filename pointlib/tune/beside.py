"""Other thresholding functions at fixed settings, on the same heatmaps, for comparison.

About comparing. Not about the functions (thresholds.py), nor about the trial's metrics (trial.py).
"""

from numbers import Real

from pointlib.errors import InputError
from pointlib.matching import check_column
from pointlib.metrics import score_images
from pointlib.points import check_points
from pointlib.thresholds import join_classes


class Beside:
    """Thresholding functions by name, and what each finds.

    Parameters
    ----------
    tuning_set : state.TuningSet
        With heatmaps.
    """

    def __init__(self, tuning_set):
        self.tuning_set, self._added = tuning_set, {}  # name: (entry, {image: points found there})

    @property
    def entries(self):
        """{name: {"threshold_fn", "threshold", "min_distance"}}."""
        return {name: entry for name, (entry, _) in self._added.items()}

    def add(self, name, threshold_fn, *, threshold, min_distance):
        """Add a function like those of thresholds.py; an existing name is replaced."""
        if not callable(threshold_fn):
            raise InputError(f"threshold_fn is {threshold_fn!r}; expected a function.")
        numbers = {"threshold": threshold, "min_distance": min_distance}
        for key, value in numbers.items():
            if not isinstance(value, Real):
                raise InputError(f"{key} is {value!r}; expected a number.")
        entry = {"threshold_fn": threshold_fn, **numbers}
        self._added[name] = entry, {0: self._find(entry, 0)}  # raises now if it fails

    def rows(self, trial):
        """Return a dict of metrics for each function, on the trial's live images."""
        return [self._row(name, *added, trial) for name, added in list(self._added.items())]

    def _row(self, name, entry, known, trial):
        for i in (live := trial.live):
            if i not in known:
                known[i] = self._find(entry, i)
        results = [trial.result(i, known[i]) for i in live]
        metrics = score_images(results, radius=trial.radius, classes=self.tuning_set.classes)
        figures = {key: metrics["pooled"][key] for key in ("precision", "recall", "f1")}
        about = {key: entry[key] for key in ("threshold", "min_distance")}
        return {"name": name, **about, **figures, "count_error": metrics["counts"]["mae"]}

    def _find(self, entry, i):
        """Return points, labels and scores that a function finds in an image."""
        options, found = dict(entry), {}
        threshold_fn, heatmaps = options.pop("threshold_fn"), self.tuning_set.heatmap(i)
        for name, heatmap in zip(self.tuning_set.classes, heatmaps, strict=True):
            points, scores = threshold_fn(heatmap.copy(), **options)  # a copy: it is shared
            points = check_points(points, name="points")
            found[name] = points, check_column(scores, len(points), "scores")
        return join_classes(found)
