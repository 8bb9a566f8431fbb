"""A trial: settings being tried, and all metrics that they give on the tuning set.

A `Trial` is immutable: `changed` returns another one, so any thread may compute with it. It covers
the images whose candidates are ready. Not about finding these (state.py), nor about messages
(server.py, widget.py).
"""

import math
from copy import copy
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from pointlib.counts import count_interval
from pointlib.errors import InputError, suggest
from pointlib.files import json_safe
from pointlib.matching import match_points, radius_of
from pointlib.metrics import ImageResult, f1_by_rule, score_images
from pointlib.study.ceiling import ceiling
from pointlib.study.errors import anatomy_table, error_anatomy
from pointlib.study.trust import reliability, true_scores
from pointlib.sweep import best_threshold, plateau, sweep, sweep_together
from pointlib.thresholds import FLOOR

SETTINGS = ("thresholds", "min_distances", "radius")
LIMITS = {  # setting: its name in messages, minimum and maximum
    "thresholds": ("threshold", FLOOR, math.inf),  # lower peaks are not candidates
    "min_distances": ("min_distance", 0, math.inf),
    "radius": ("radius", 0, math.inf),
    "hold_back": ("hold_back", 0, 0.5),
    "most_false": ("most_false", 0, 1),
}
RULE_CELLS = 50_000_000  # of a distance matrix, which some matching rules need in full


class Trial(NamedTuple):
    """Settings being tried, and the tuning set.

    Labelled images that are held back are used only by `count_interval`.
    """

    tuning_set: Any
    shuffled: tuple  # indices of the labelled images in random order; the first are held back
    thresholds: dict  # {class: score}
    min_distances: dict  # {class: pixels}
    radii: dict  # {class: match radius, pixels}
    index: int = 0  # of the current image
    hold_back: float = 0.0  # share of the labelled images
    most_false: float = 0.05  # for the goal "few false"

    @property
    def settings(self):
        """Thresholds, minimum distances and radius, like `TuningSet.settings`."""
        return {key: copy(getattr(self, key)) for key in SETTINGS}

    @property
    def radius(self):
        """The match radius of all classes, or {class: pixels} if they differ."""
        return one_or_each(self.radii)

    @property
    def choices(self):
        """All that can be changed, as a dict for JSON."""
        return {key: copy(getattr(self, key)) for key in ("index", *LIMITS)}

    def changed(self, /, **changes):
        """Return a trial with other choices; a single number applies to all classes."""
        fresh = {}
        for key, value in changes.items():
            if key == "index":
                fresh[key] = self._check_index(value)
            elif key not in LIMITS:
                raise InputError(f"{key!r} is not a setting. {suggest(key, LIMITS)}")
            elif key in SETTINGS:
                place = "radii" if key == "radius" else key
                fresh[place] = getattr(self, place) | self._per_class(key, value)
            else:
                fresh[key] = _check(key, value)
        return self._replace(**fresh)

    # ---- which images

    @property
    def held(self):
        """Indices of the images that are held back: the first ones of `shuffled`."""
        n = math.floor(self.hold_back * len(self.shuffled) + 0.5)  # half up, as sweep.js does
        return self.shuffled[:n]

    @property
    def live(self):
        """Indices of the labelled images that count: not held back, and already predicted."""
        return self._there(sorted(set(self.shuffled) - set(self.held)))

    # ---- numbers

    def result(self, i, found=None):
        """Return the ImageResult of a labelled image, at these settings or with other found points.

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
        """Return the number of points found in each image; 0 if it cannot be used."""
        candidates = self.tuning_set.candidates
        return [0 if found is None else self.n_found(i) for i, found in enumerate(candidates)]

    def n_found(self, i):
        """Return the number of points found in an image whose candidates are ready."""
        return sum(int(self.mask(i, name).sum()) for name in self.tuning_set.classes)

    def match(self, i):
        """Return {class: Match} of a labelled image; indices are those of the kept candidates."""
        truth, matches = self._truth(i), {}
        for name, peaks in self.tuning_set.peaks(i).items():
            found = peaks.points[self.mask(i, name)]
            matches[name] = match_points(truth[name], found, radius=self.radii[name])
        return matches

    def metrics(self):
        """Return all metrics of the live images: see `metrics.score_images`."""
        return score_images(self.results(), radius=self.radius, classes=self.tuning_set.classes)

    def curves(self):
        """Return {class: Sweep} of the live images at this radius and these distances."""
        return {
            name: sweep(of_class, radius=self.radii[name], min_distance=self.min_distances[name])
            for name, of_class in self.tuning_set.by_class(self.live).items()
        }

    def together(self):
        """Return the Sweep of the live images at one threshold for all classes."""
        by_class = self.tuning_set.by_class(self.live)
        return sweep_together(by_class, radius=self.radii, min_distances=self.min_distances)

    def best(self, goal):
        """Return {class: threshold}, the best for a goal of `best_threshold`, or for "plateau"."""
        if goal == "plateau":
            return {name: sum(self.plateau(name)) / 2 for name in self.tuning_set.classes}
        if self.tuning_set.exclusive:
            best = best_threshold(self.together(), goal, most_false=self.most_false)
            return dict.fromkeys(self.tuning_set.classes, best)
        return {
            name: best_threshold(counts, goal, most_false=self.most_false)
            for name, counts in self.curves().items()
        }

    def plateau(self, name):
        """Return `sweep.plateau` of a class over all images, labelled or not, but not held back."""
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
        live = self.live  # more may be ready a moment later
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
        classes, results = self.tuning_set.classes, self.results()
        parts = [r.of_class(name) for r in results for name in classes]
        sides = [(part.true, part.found) for part in parts]
        if (n_cells := max((len(a) * len(b) for a, b in sides), default=0)) > RULE_CELLS:
            raise InputError(
                f"other matching rules need {n_cells:,} distances for one image; expected at most "
                f"{RULE_CELLS:,}. Use smaller images, or a higher threshold."
            )
        within = [self.radii[name] for name in classes] * len(results)
        return f1_by_rule(sides, radius=within)

    def reliability(self):
        """Return the Reliability of the live images' candidates, whatever the thresholds."""
        pooled = [
            true_scores(of_class, radius=self.radii[name], min_distance=self.min_distances[name])
            for name, of_class in self.tuning_set.by_class(self.live).items()
        ]
        return reliability(*(np.concatenate(part) for part in zip(*pooled, strict=True)))

    def count_interval(self, coverage=0.9):
        """Return the CountInterval of the images held back; `why` also carries warnings.

        Valid if the thresholds were chosen after these images were held back.
        """
        results = [self.result(i) for i in self._there(self.held)]
        counts = [len(r.true) for r in results], [len(r.found) for r in results]
        interval = count_interval(*counts, coverage=coverage)
        warnings = [interval.why] if interval.why else []
        if not self.hold_back:
            warnings.append("No image is held back: hold some back, then choose the threshold.")
        if self.tuning_set.trained_on:
            warnings.append("The model was trained on these images: it errs more on new ones.")
        return interval._replace(why=" ".join(warnings))

    # ---- writing them

    @property
    def caution(self):
        """A sentence on why these images should not choose the settings, or ""."""
        if self.tuning_set.part == "test":
            return (
                "Some or all of these are test images: settings chosen on them make the test "
                "metrics too good. Choose on validation images."
            )
        if self.tuning_set.trained_on:
            return (
                "The model was trained on these images, and does better on them than on new ones. "
                "Choose on validation images."
            )
        return ""

    def write(self, folder=None):
        """Write the settings and their metrics into the model, and into its folder.

        Returns
        -------
        path : Path or None
            Of the folder's `pointlib.json`; None if the model was never saved.
        text : str
            What was done, with a caution if needed.
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
        where = f"({path})" if path else "until Python ends; save_model keeps them"
        return path, f"Predictions use these settings from now on {where}. {self.caution}".rstrip()

    def _numbers(self):
        """Return the metrics stored in the model folder; None for undefined ones."""
        metrics = self.metrics()
        pooled = {key: metrics["pooled"][key] for key in ("f1", "precision", "recall")}
        where = {"n_images": metrics["n_images"], "part": self.tuning_set.part}
        where |= {"trained_on": self.tuning_set.trained_on, "radius": self.radius}
        return json_safe(pooled | {"mae": metrics["counts"]["mae"]} | where)

    def _truth(self, i):
        if self.tuning_set.truth[i] is None:
            name = self.tuning_set.names[i]
            raise InputError(f"{name} is not annotated: its true points are unknown.")
        return self.tuning_set.truth[i]

    def _there(self, indices):
        """Return the indices whose candidates are ready."""
        return [i for i in indices if self.tuning_set.candidates[i] is not None]

    def _check_index(self, value):
        n_images = len(self.tuning_set.names)
        if type(value) is not int or value not in range(n_images):
            raise InputError(f"image {value!r} does not exist; there are {n_images}.")
        return value

    def _per_class(self, key, value):
        """Return {class: number}, checked, from such a dict or one number for all."""
        classes = self.tuning_set.classes
        value = value if isinstance(value, dict) else dict.fromkeys(classes, value)
        if unknown := [name for name in value if name not in classes]:
            raise InputError(f"class {unknown[0]!r} is not known. {suggest(unknown[0], classes)}")
        return {name: _check(key, number) for name, number in value.items()}


def open_trial(tuning_set):
    """Return the initial trial; labelled images are shuffled with a fixed seed."""
    labelled = [i for i, true in enumerate(tuning_set.truth) if true is not None]
    shuffled = np.random.default_rng(0).permutation(np.array(labelled, dtype=int)).tolist()
    start = tuning_set.settings
    thresholds = {name: max(FLOOR, t) for name, t in start["thresholds"].items()}
    distances = dict(start["min_distances"])
    radii = {name: radius_of(start["radius"], name) for name in tuning_set.classes}
    return Trial(tuning_set, tuple(shuffled), thresholds, distances, radii)


def one_or_each(values):
    """Return the number that all classes share, else {class: number}."""
    numbers = set(values.values())
    return numbers.pop() if len(numbers) == 1 else dict(values)


def _check(key, value):
    name, low, high = LIMITS[key]
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        span = f"{low} or more" if high == math.inf else f"{low} to {high}"
        raise InputError(f"{name} is {value!r}; expected a number, {span}.")
    return float(value)
