"""Beside the trial: other threshold functions at fixed settings, on the same heatmaps.

About comparing. Not about the functions (thresholds.py), nor about the trial's own numbers.
"""

from pointlib.files import InputError
from pointlib.metrics import score_images
from pointlib.thresholds import join_classes


class Beside:
    """Threshold functions by name, and what each finds.

    Parameters
    ----------
    findings : findings.Findings
        With heatmaps.
    """

    def __init__(self, findings):
        self.findings, self.entries, self._found = findings, {}, {}

    def add(self, name, threshold_fn, *, threshold, min_distance):
        """Add a function of thresholds.py's kind under a name; of one name the last counts."""
        if not callable(threshold_fn):
            raise InputError(f"threshold_fn is {threshold_fn!r}; expected a function.")
        entry = {"threshold_fn": threshold_fn, "threshold": threshold, "min_distance": min_distance}
        self._find(entry, 0)  # objects at once to what cannot be
        self._found[name] = {}
        self.entries[name] = entry

    def rows(self, trial):
        """Return a dict of numbers for each function, on the images that are live in the trial."""
        return [self._row(name, trial) for name in list(self.entries)]

    def _row(self, name, trial):
        results = [trial.result(i, self._points(name, i)) for i in trial.live]
        metrics = score_images(results, radius=trial.radius, classes=self.findings.classes)
        figures = {key: metrics["pooled"][key] for key in ("precision", "recall", "f1")}
        about = {key: self.entries[name][key] for key in ("threshold", "min_distance")}
        return {"name": name, **about, **figures, "count_error": metrics["counts"]["mae"]}

    def _points(self, name, i):
        """Return points, labels and scores that a function finds in an image; found once."""
        found = self._found[name]
        if i not in found:
            found[i] = self._find(self.entries[name], i)
        return found[i]

    def _find(self, entry, i):
        options = dict(entry)
        threshold_fn, heatmaps = options.pop("threshold_fn"), self.findings.heatmap(i)
        found = [threshold_fn(heatmap, **options) for heatmap in heatmaps]
        return join_classes(dict(zip(self.findings.classes, found, strict=True)))
