"""A trial: settings that are being tried, and every number they give on what was found.

About values: a `Trial` never changes, `changed` returns another one, so that any thread may hold
one and reckon with it. It sees the images whose candidates are there by now. Not about getting
these (state.py), nor about telling anybody (server.py, widget.py).
"""

import math
from copy import copy
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from pointlib.errors import InputError, suggest
from pointlib.files import json_safe
from pointlib.matching import match_points
from pointlib.metrics import ImageResult, f1_by_rule, score_images
from pointlib.study.ceiling import ceiling
from pointlib.study.errors import anatomy_table, error_anatomy
from pointlib.study.trust import count_interval, reliability, true_scores
from pointlib.sweep import best_threshold, plateau, sweep
from pointlib.thresholds import FLOOR

SETTINGS = ("thresholds", "min_distances", "radius")
LIMITS = {  # what a number is called, the lowest and the highest
    "thresholds": ("threshold", FLOOR, math.inf),  # lower peaks are not listed
    "min_distances": ("min_distance", 0, math.inf),
    "radius": ("radius", 0, math.inf),
    "hold_back": ("hold_back", 0, 0.5),
    "most_false": ("most_false", 0, 1),
}
RULE_CELLS = 50_000_000  # of a distance matrix: other people's rules hold the whole of it


class Trial(NamedTuple):
    """Settings on trial, and what they are tried on.

    Labelled images that are held back take part in no number but `count_interval`.
    """

    tuning_set: Any
    lots: tuple  # indices of the labelled images, in the order in which they are held back
    thresholds: dict  # {class: score}
    min_distances: dict  # {class: pixels}
    radius: float  # match radius, pixels
    index: int = 0  # of the image that is looked at
    hold_back: float = 0.0  # share of the labelled images
    most_false: float = 0.05  # for the goal "few false"

    @property
    def settings(self):
        """Thresholds, minimum distances and radius, as `TuningSet.settings`."""
        return {key: copy(getattr(self, key)) for key in SETTINGS}

    @property
    def choices(self):
        """All that can be changed, as a dict that JSON can hold."""
        return {key: copy(getattr(self, key)) for key in ("index", *LIMITS)}

    def changed(self, /, **changes):
        """Return a trial with other choices; one number serves all classes."""
        fresh = {}
        for key, value in changes.items():
            if key == "index":
                fresh[key] = self._check_index(value)
            elif key not in LIMITS:
                raise InputError(f"{key!r} is no setting. {suggest(key, LIMITS)}")
            elif key in ("thresholds", "min_distances"):
                fresh[key] = getattr(self, key) | self._per_class(key, value)
            else:
                fresh[key] = _check(key, value)
        return self._replace(**fresh)

    # ---- which images

    @property
    def held(self):
        """Indices of the images that are held back: so many of the first lots."""
        return self.lots[: math.floor(self.hold_back * len(self.lots) + 0.5)]  # as browsers round

    @property
    def live(self):
        """Indices of the labelled images that count: not held back, and predicted by now."""
        return self._there(sorted(set(self.lots) - set(self.held)))

    # ---- numbers

    def result(self, i, found=None):
        """Return the ImageResult of a labelled image: of what was found, or of what else was.

        `found` is points, labels and scores.
        """
        tuning_set, truth = self.tuning_set, self._truth(i)
        true = np.concatenate([np.zeros((0, 2)), *truth.values()])
        labels = np.repeat(np.array(list(truth), dtype=str), [len(p) for p in truth.values()])
        found = found or tuning_set.candidates_kept(i, self.settings)
        return ImageResult(tuning_set.names[i], tuning_set.shapes[i], true, labels, *found)

    def results(self):
        """Return the ImageResult of each live image."""
        return [self.result(i) for i in self.live]

    def mask(self, i, name):
        """Return which of an image's candidates of a class are kept, (M,) bool."""
        _, scores, isolation = self.tuning_set.candidates[i][name]
        return (scores >= self.thresholds[name]) & (isolation > self.min_distances[name])

    def counts(self):
        """Return how many points are found in each image; 0 where it cannot be used."""
        candidates = self.tuning_set.candidates
        return [0 if found is None else self.n_found(i) for i, found in enumerate(candidates)]

    def n_found(self, i):
        """Return how many points are found in an image whose candidates are there."""
        return sum(int(self.mask(i, name).sum()) for name in self.tuning_set.classes)

    def match(self, i):
        """Return {class: Match} of a labelled image; indices are those of the kept candidates."""
        truth, matches = self._truth(i), {}
        for name, peaks in self.tuning_set.peaks(i).items():
            found = peaks.points[self.mask(i, name)]
            matches[name] = match_points(truth[name], found, radius=self.radius)
        return matches

    def metrics(self):
        """Return every figure of the live images: see `metrics.score_images`."""
        return score_images(self.results(), radius=self.radius, classes=self.tuning_set.classes)

    def curves(self):
        """Return {class: Sweep} of the live images at this radius and these distances."""
        return {
            name: sweep(of_class, radius=self.radius, min_distance=self.min_distances[name])
            for name, of_class in self.tuning_set.by_class(self.live).items()
        }

    def best(self, goal):
        """Return {class: threshold} that serves a goal of `sweep.best_threshold`, or "plateau"."""
        if goal == "plateau":
            return {name: sum(self.plateau(name)) / 2 for name in self.tuning_set.classes}
        return {
            name: best_threshold(counts, goal, most_false=self.most_false)
            for name, counts in self.curves().items()
        }

    def plateau(self, name):
        """Return `sweep.plateau` of a class, labelled or not; images held back stay out."""
        shown = self._there(sorted(set(range(len(self.tuning_set.names))) - set(self.held)))
        kept = [
            self.tuning_set.candidates[i][name].select(
                threshold=0, min_distance=self.min_distances[name]
            )
            for i in shown
        ]
        return plateau(np.concatenate([np.zeros(0), *(scores for _, scores in kept)]))

    def anatomy(self):
        """Return `anatomy_table` of the live images, and their flaws: {index: list of Flaw}."""
        live = self.live  # more may be there a moment later
        results = [self.result(i) for i in live]
        flaws = [error_anatomy(result, radius=self.radius) for result in results]
        return anatomy_table(flaws, results), dict(zip(live, flaws, strict=True))

    def ceiling(self):
        """Return the Ceiling of the live images' true points at this radius and distance."""
        if self.tuning_set.sigma is None:
            raise InputError(
                "The size of the Gaussians (sigma) is unknown here: it comes with a trained model."
            )
        truth = [(r.true, r.true_labels, r.shape) for r in self.results()]
        options = {"sigma": self.tuning_set.sigma, "radius": self.radius}
        return ceiling(truth, min_distance=self.min_distances, **options)

    def rules(self):
        """Return {rule: F1} of the live images, class by class: see `metrics.f1_by_rule`."""
        parts = [r.of_class(name) for r in self.results() for name in self.tuning_set.classes]
        sides = [(part.true, part.found) for part in parts]
        if (n_cells := max((len(a) * len(b) for a, b in sides), default=0)) > RULE_CELLS:
            raise InputError(
                f"other people's rules need {n_cells:,} distances for one image; expected at most "
                f"{RULE_CELLS:,}. Look at smaller images, or at a higher threshold."
            )
        return f1_by_rule(sides, radius=self.radius)

    def reliability(self):
        """Return the Reliability of the live images' candidates, whatever the thresholds."""
        pooled = [
            true_scores(of_class, radius=self.radius, min_distance=self.min_distances[name])
            for name, of_class in self.tuning_set.by_class(self.live).items()
        ]
        return reliability(*(np.concatenate(part) for part in zip(*pooled, strict=True)))

    def count_interval(self, coverage=0.9):
        """Return the CountInterval that the images held back give; `why` also warns.

        It holds where the thresholds were chosen after these images were held back.
        """
        results = [self.result(i) for i in self._there(self.held)]
        counts = [len(r.true) for r in results], [len(r.found) for r in results]
        interval = count_interval(*counts, coverage=coverage)
        warnings = [interval.why] if interval.why else []
        if not self.hold_back:
            warnings.append("No image is held back: hold some back, then choose the threshold.")
        if self.tuning_set.trained_on:
            warnings.append("The model was trained on these images: on new ones it errs more.")
        return interval._replace(why=" ".join(warnings))

    # ---- keeping them

    @property
    def caution(self):
        """A sentence on why these images should not choose the settings, or ""."""
        if self.tuning_set.part == "test":
            return (
                "These are test images, some or all: settings chosen on them make the test's "
                "numbers too good. Choose on validation images."
            )
        if self.tuning_set.trained_on:
            return (
                "The model was trained on these images, and is better on them than on new ones. "
                "Choose on validation images."
            )
        return ""

    def write(self, folder=None):
        """Write the settings and their numbers into the model, and into its folder.

        Returns
        -------
        path : Path or None
            Of the folder's `pointlib.json`; None where the model was never saved.
        text : str
            What was done, and why it should perhaps not have been.
        """
        model, folder = self.tuning_set.model, folder or self.tuning_set.folder
        if folder is None and model is None:
            raise InputError(
                "heatmaps come without a model folder to write into. "
                'Name the model\'s: tuner.use("runs/my_model").'
            )
        path, numbers = None, {"tuned": self._numbers()}
        if folder is not None:
            from pointlib.model.folder import write_settings  # torch

            path = write_settings(folder, self.thresholds, self.min_distances, numbers)
        if model is not None:
            model.info.thresholds = dict(self.thresholds)
            model.info.min_distances = dict(self.min_distances)
            model.info.metrics = model.info.metrics | numbers
        where = f"({path})" if path else "until Python ends: save_model keeps them"
        return path, f"Predictions use these settings from now on {where}. {self.caution}".rstrip()

    def _numbers(self):
        """Return what the model folder says of the choice; None where undefined."""
        metrics = self.metrics()
        pooled = {key: metrics["pooled"][key] for key in ("f1", "precision", "recall")}
        where = {"n_images": metrics["n_images"], "part": self.tuning_set.part}
        where |= {"trained_on": self.tuning_set.trained_on, "radius": self.radius}
        return json_safe(pooled | {"mae": metrics["counts"]["mae"]} | where)

    def _truth(self, i):
        if self.tuning_set.truth[i] is None:
            name = self.tuning_set.names[i]
            raise InputError(f"nobody marked {name}: its true points are unknown.")
        return self.tuning_set.truth[i]

    def _there(self, indices):
        """Return those of the indices whose candidates are there."""
        return [i for i in indices if self.tuning_set.candidates[i] is not None]

    def _check_index(self, value):
        n_images = len(self.tuning_set.names)
        if type(value) is not int or value not in range(n_images):
            raise InputError(f"image {value!r} does not exist; there are {n_images}.")
        return value

    def _per_class(self, key, value):
        """Return {class: number}, checked, of such a dict or of one number for all."""
        classes = self.tuning_set.classes
        value = value if isinstance(value, dict) else dict.fromkeys(classes, value)
        if unknown := [name for name in value if name not in classes]:
            raise InputError(f"class {unknown[0]!r} is not known. {suggest(unknown[0], classes)}")
        return {name: _check(key, number) for name, number in value.items()}


def open_trial(tuning_set):
    """Return the trial to begin with; lots are drawn with a fixed seed."""
    labelled = [i for i, true in enumerate(tuning_set.truth) if true is not None]
    lots = np.random.default_rng(0).permutation(np.array(labelled, dtype=int)).tolist()
    start = tuning_set.settings
    thresholds = {name: max(FLOOR, t) for name, t in start["thresholds"].items()}
    return Trial(tuning_set, tuple(lots), thresholds, dict(start["min_distances"]), start["radius"])


def _check(key, value):
    name, low, high = LIMITS[key]
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        span = f"{low} or more" if high == math.inf else f"{low} to {high}"
        raise InputError(f"{name} is {value!r}; expected a number, {span}.")
    return float(value)
