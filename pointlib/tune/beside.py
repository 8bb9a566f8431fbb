"""Beside the trial: other threshold functions at fixed settings, on the same heatmaps.

About comparing. Not about the functions (thresholds.py), nor about the trial's own numbers.
"""

from numbers import Real

from pointlib.errors import InputError
from pointlib.matching import check_column
from pointlib.metrics import score_images
from pointlib.points import check_points
from pointlib.thresholds import join_classes


class Beside:
    """Threshold functions by name, and what each finds.

    Parameters
    ----------
    tuning_set : state.TuningSet
        With heatmaps.
    """

    def __init__(self, tuning_set):
        self.tuning_set, self._added = tuning_set, {}  # name: (entry, {image: what it found there})

    @property
    def entries(self):
        """{name: {"threshold_fn", "threshold", "min_distance"}}."""
        return {name: entry for name, (entry, _) in self._added.items()}

    def add(self, name, threshold_fn, *, threshold, min_distance):
        """Add a function of thresholds.py's kind under a name; of one name the last counts."""
        if not callable(threshold_fn):
            raise InputError(f"threshold_fn is {threshold_fn!r}; expected a function.")
        numbers = {"threshold": threshold, "min_distance": min_distance}
        for key, value in numbers.items():
            if not isinstance(value, Real):
                raise InputError(f"{key} is {value!r}; expected a number.")
        entry = {"threshold_fn": threshold_fn, **numbers}
        self._added[name] = entry, {0: self._find(entry, 0)}  # objects at once to what cannot be

    def rows(self, trial):
        """Return a dict of numbers for each function, on the images that are live in the trial."""
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
            points, scores = threshold_fn(heatmap.copy(), **options)  # others look at it too
            points = check_points(points, name="points")
            found[name] = points, check_column(scores, len(points), "scores")
        return join_classes(found)
