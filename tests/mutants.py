"""Break pointlib on purpose, one line at a time: a suite that cannot fail is decoration.

    python tests/mutants.py              all of them (minutes); a Markdown table, exit 1 if one lives
    python tests/mutants.py tie half     those whose name holds one of the words

Each mutant is applied to a copy of the package in a temporary folder; then the lessons and the
tests that should notice run against it, until one does. Nobody noticing marks a missing test.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from run_notebooks import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("pointlib", "tests", "notebooks", "pyproject.toml")
LINKED = ("data", "media", "benchmarks", "README.md", "Makefile")
SECONDS = 600  # a mutant that hangs is noticed too
NBVAL = [
    *("--nbval", "--nbval-current-env", "--nbval-cell-timeout=600"),
    *("--nbval-sanitize-with", "tests/nbval_sanitize.cfg"),
]


class Mutant(NamedTuple):
    """One line of pointlib, changed, and who should notice."""

    name: str
    file: str
    old: str  # must occur exactly once in the file
    new: str
    targets: tuple  # what pytest is given, in this order: "notebooks/x.ipynb", "tests/test_x.py"


def unit(*names):
    """Return the paths of test files by what they test; of one test as "file::test"."""
    pairs = (name.partition("::") for name in names)
    return tuple(f"tests/{_place(file)}.py{mark}{test}" for file, mark, test in pairs)


def _place(name):
    folder, slash, name = name.rpartition("/")
    return f"{folder}{slash}test_{name}"


TOUR, PAINT, DATA, TRAIN, CHOOSE, JUDGE, LESS = (
    f"notebooks/{name}.ipynb"
    for name in (
        "00_tour",
        "02_heatmaps",
        "03_dataset",
        "04_train",
        "05_thresholds",
        "06_evaluate",
        "08_annotate_less",
    )
)
LEAST = 15  # mutants that a lesson must notice
MUTANTS = [
    Mutant(
        "sigma's factor",
        "heatmaps.py",
        "np.exp(-0.5 * distance**2)",
        "np.exp(-1.0 * distance**2)",
        (PAINT, *unit("heatmaps")),
    ),
    Mutant(
        "centres rounded to whole pixels",
        "heatmaps.py",
        "(pixels - places[:, None]) / sigma",
        "(pixels - np.rint(places)[:, None]) / sigma",
        (PAINT, *unit("heatmaps")),
    ),
    Mutant(
        "Gaussians added, not the higher one",
        "heatmaps.py",
        "_draw(points, shape, sigma, np.maximum), like",
        "_draw(points, shape, sigma, np.add), like",
        (PAINT, *unit("heatmaps")),
    ),
    Mutant(
        "the sum not clipped",
        "heatmaps.py",
        ".clamp_(max=1.0)",
        "",
        (PAINT, *unit("heatmaps")),
    ),
    Mutant(
        "x and y swapped in drawing",
        "heatmaps.py",
        "columns, wide = _profiles(points[some, 0]",
        "columns, wide = _profiles(points[some, 1]",
        (PAINT, *unit("heatmaps")),
    ),
    Mutant(
        "Gaussians cut at 1.5 sigma", "heatmaps.py", "REACH = 4.0", "REACH = 1.5", unit("heatmaps")
    ),
    Mutant(
        "rows and columns swapped in drawing",
        "heatmaps.py",
        "rows[:, :, None] * width + columns[:, None, :]",
        "columns[:, None, :] * width + rows[:, :, None]",
        unit("heatmaps"),
    ),
    Mutant(
        "density lost at the border",
        "heatmaps.py",
        "(part / part.sum(axis=1, keepdims=True) for",
        "(part / part.sum(axis=1, keepdims=True).max() for",
        unit("heatmaps"),
    ),
    Mutant(
        "sigma two fifths of the spacing",
        "heatmaps.py",
        "SHARE, MOST = 0.3, 0.4",
        "SHARE, MOST = 0.4, 0.4",
        (PAINT, *unit("heatmaps")),
    ),
    Mutant(
        "tie rule: x before y",
        "thresholds.py",
        "np.lexsort([points[:, 0], points[:, 1], -scores])",
        "np.lexsort([points[:, 1], points[:, 0], -scores])",
        unit("thresholds"),
    ),
    Mutant(
        "a plateau gives all its pixels",
        "thresholds.py",
        "keep[first] = True",
        "keep[:] = True",
        (PAINT, *unit("thresholds")),
    ),
    Mutant(
        "a shoulder counts as a peak",
        "thresholds.py",
        "| ~is_shoulder[labels]",
        "| (labels > 0)",
        unit("thresholds"),
    ),
    Mutant(
        "parabola without the logarithm",
        "thresholds.py",
        "three = np.log(np.maximum(three, TINY))",
        "pass",
        (PAINT, *unit("thresholds")),
    ),
    Mutant(
        "parabola the wrong way",
        "thresholds.py",
        "0.5 * (before - after) / bend",
        "0.5 * (after - before) / bend",
        (PAINT, *unit("thresholds")),
    ),
    Mutant(
        "two points at the minimum distance kept",
        "thresholds.py",
        "keep = (self.scores >= threshold) & (self.isolation > min_distance)",
        "keep = (self.scores >= threshold) & (self.isolation >= min_distance)",
        unit("thresholds"),
    ),
    Mutant(
        "a peak of 5 x 5 pixels",
        "thresholds.py",
        "y, x = rows + dy, columns + dx",
        "y, x = rows + 2 * dy, columns + 2 * dx",
        (PAINT, *unit("thresholds")),
    ),
    Mutant(
        "points weigh no more than background",
        "losses.py",
        "def weighted_bce(logits: Tensor, target: Tensor, *, weight: float = 1.0)",
        "def weighted_bce(logits: Tensor, target: Tensor, *, weight: float = 0.0)",
        (TRAIN, *unit("losses")),
    ),
    Mutant(
        "background weighs nothing",
        "losses.py",
        "return 1 + weight * (target >= FLOOR)",
        "return weight * (target >= FLOOR)",
        (TRAIN, *unit("losses")),
    ),
    Mutant(
        "the target's entropy left in the loss",
        "losses.py",
        "(each - entropy)",
        "(each - 0 * entropy)",
        (TRAIN, *unit("losses")),
    ),
    Mutant(
        "absolute for squared error",
        "losses.py",
        "return (torch.sigmoid(logits) - target).square().mean()",
        "return (torch.sigmoid(logits) - target).abs().mean()",
        (TRAIN, *unit("losses")),
    ),
    Mutant(
        "focal without its nearest pixels",
        "losses.py",
        "return (target == highest) & (target >= PEAK)",
        "return target >= 1",
        (TRAIN, *unit("losses")),
    ),
    Mutant(
        "a pair at exactly the radius refused",
        "matching.py",
        "order = order[distance[order] <= (radius[i[order]] if np.ndim(radius) else radius)]",
        "order = order[distance[order] < (radius[i[order]] if np.ndim(radius) else radius)]",
        unit("metrics"),
    ),
    Mutant(
        "F1 that forgives misses",
        "metrics.py",
        "_ratio(2 * tp, 2 * tp + fp + fn)",
        "_ratio(2 * tp, 2 * tp + fp)",
        (PAINT, *unit("metrics")),
    ),
    Mutant(
        "tied scores read in the middle of their tie",
        "metrics.py",
        "last = np.flatnonzero(np.diff(scores, append=-np.inf))",
        "last = np.arange(len(scores))",
        unit("metrics", "sweep"),
    ),
    Mutant(
        "threshold at the edge of its run",
        "sweep.py",
        "middle = (high + low) / 2",
        "middle = high",
        (TOUR, *unit("sweep")),
    ),
    Mutant(
        "the lower of equally wide runs",
        "sweep.py",
        "return max(ends, key=lambda run: run[1] - run[0])",
        "return max(reversed(list(ends)), key=lambda run: run[1] - run[0])",
        unit("sweep"),
    ),
    Mutant(
        "peaks just as far apart as the distance are kept",
        "metrics.py",
        '"isolation") > min_distance',
        '"isolation") >= min_distance',
        unit("sweep"),
    ),
    Mutant(
        "finding too many brings the count nearer",
        "sweep.py",
        "np.where(np.arange(len(ranked)) < n_here, -1, 1)",
        "np.where(np.arange(len(ranked)) < n_here, -1, -1)",
        (CHOOSE, *unit("sweep")),
    ),
    Mutant(
        "false positives as a share of the hits",
        "sweep.py",
        "<= most_false * sweep.n_found",
        "<= most_false * sweep.tp",
        unit("sweep"),
    ),
    Mutant(
        "infinite heatmaps shown white",
        "tune/sources.py",
        "np.nan_to_num(heights, posinf=0, neginf=0)",
        "np.nan_to_num(heights)",
        unit("tune/tuning_set"),
    ),
    Mutant(
        "a broken image keeps its truth",
        "tune/state.py",
        "self.truth[i], self.errors[i] = None, str(error)",
        "self.errors[i] = str(error)",
        unit("tune/tuning_set"),
    ),
    Mutant(
        "images of the training are not left out",
        "tune/inputs.py",
        "if relative_name(path, top) not in seen] or paths",
        "if path.name] or paths",
        unit("tune/tuning_set"),
    ),
    Mutant(
        "no half pixel on reading",
        "points.py",
        'return check_points(relative, name="relative") * _width_height(shape) - 0.5',
        'return check_points(relative, name="relative") * _width_height(shape)',
        (DATA, *unit("points")),
    ),
    Mutant(
        "the fast reader takes points with and without a label",
        "points.py",
        'len({label == "" for *_, label in found}) > 1',
        'len({label == "" for *_, label in found}) > 2',
        unit("points"),
    ),
    Mutant(
        "no half pixel in boxes",
        "points.py",
        '/ 2 - 0.5, name="boxes"',
        '/ 2, name="boxes"',
        unit("points"),
    ),
    Mutant(
        "an empty file means not yet labelled",
        "points.py",
        '.strip() else "empty"',
        '.strip() else "unlabelled"',
        (PAINT, *unit("points")),
    ),
    Mutant(
        "the nearest other point is the point itself",
        "points.py",
        "KDTree(points).query(points, k=2)[0][:, 1]",
        "KDTree(points).query(points, k=2)[0][:, 0]",
        (PAINT, *unit("points")),
    ),
    Mutant(
        "resize about the corner",
        "augment.py",
        "0.5 * sx - 0.5",
        "0.0 * sx",
        (DATA, *unit("augment")),
    ),
    Mutant(
        "mirror about the wrong column",
        "augment.py",
        "= -1, shape[1 - axis] - 1",
        "= -1, shape[1 - axis]",
        unit("augment"),
    ),
    Mutant(
        "image half a pixel off its points",
        "augment.py",
        "(2 * x + 1) / width - 1",
        "(2 * x) / width - 1",
        (DATA, *unit("augment")),
    ),
    Mutant(
        "an orientation passed over",
        "images.py",
        "array.swapaxes(0, 1) if 5 <= turn <= 8",
        "array.swapaxes(0, 1) if 6 <= turn <= 8",
        unit("images"),
    ),
    Mutant(
        "padded on the left",
        "model/point_model.py",
        "extra = (0, -width % self.divisor, 0, -height % self.divisor)",
        "extra = (-width % self.divisor, 0, -height % self.divisor, 0)",
        unit("model/model"),
    ),
    Mutant(
        "a fresh network expects a point everywhere",
        "model/network.py",
        "PRIOR = 0.02",
        "PRIOR = 0.5",
        unit("model/model"),
    ),
    Mutant(
        "corners laid on corners in shrinking",
        "augment.py",
        "centre = (np.arange(start, stop) + 0.5) * step",
        "centre = np.arange(start, stop) * (n - 1) / max(n_new - 1, 1) + 0.5",
        (DATA, *unit("augment")),
    ),
    Mutant(
        "turned the other way",
        "augment.py",
        "[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]",
        "[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]",
        (DATA, *unit("augment")),
    ),
    Mutant(
        "random turns never scale",
        "augment.py",
        "scale=math.exp(rng.uniform(-log_scale, log_scale))",
        "scale=math.exp(0 * rng.uniform(-log_scale, log_scale))",
        (DATA, *unit("augment")),
    ),
    Mutant(
        "groups torn apart by a split",
        "splits.py",
        "groups = list(names) if groups is None else list(groups)",
        "groups = list(names)",
        (DATA, *unit("dataset")),
    ),
    Mutant(
        "images with nothing in them are left out",
        "dataset.py",
        'if label_state(path) != "unlabelled"]',
        'if label_state(path) == "labelled"]',
        (DATA, *unit("dataset")),
    ),
    Mutant(
        "points stay where they were when an image is cut in two",
        "splits.py",
        "points[~first] - offset",
        "points[~first] - 0 * offset",
        unit("dataset"),
    ),
    Mutant(
        "a cut half a pixel off",
        "splits.py",
        "first = along < cut - 0.5",
        "first = along < cut",
        unit("dataset"),
    ),
    Mutant(
        "test images are trained on",
        "splits.py",
        'rest = not_in(names, lists.get("test"))',
        'rest = not_in(names, lists.get("tests"))',
        unit("dataset"),
    ),
    Mutant(
        "points stay behind when a crop is turned",
        "train/crops.py",
        "warp_points(points, matrix),\n            labels",
        "warp_points(points, np.eye(3)),\n            labels",
        unit("train/crops"),
    ),
    Mutant(
        "images not centred on their mean",
        "model/point_model.py",
        "batch = (batch - self.mean) / self.std",
        "batch = batch / self.std",
        (TOUR, *unit("model/model")),
    ),
    Mutant(
        "the model's own thresholds are passed over",
        "predict/points.py",
        'threshold = info.thresholds.get(name, default["threshold"])',
        'threshold = default["threshold"]',
        (TOUR, *unit("predict/predict")),
    ),
    Mutant(
        "width and height swapped in counts.csv",
        "predict/folder.py",
        'counts.append([to_cell(name), shape[1], shape[0], "ok"',
        'counts.append([to_cell(name), shape[0], shape[1], "ok"',
        (TOUR, *unit("predict/predict")),
    ),
    Mutant(
        "tiles laid down with their margin",
        "predict/tiles.py",
        "return logits[:, top - y : bottom - y, left - x : right - x], (top, left)",
        "return logits[:, : bottom - top, : right - left], (top, left)",
        unit("predict/tiles"),
    ),
    Mutant(
        "every candidate counts in an evaluation",
        "evaluation/score.py",
        "chosen[label] = peaks.select(**settings)",
        "chosen[label] = peaks.select(threshold=0)",
        (TOUR, *unit("evaluation/score")),
    ),
    Mutant(
        "too few and too many cancel in a count error",
        "metrics.py",
        "error = np.abs(found - true)",
        "error = found - true",
        (JUDGE, *unit("metrics")),
    ),
    Mutant(
        "distances along y alone",
        "matching.py",
        "distance = np.sqrt(dx * dx + dy * dy)",
        "distance = np.sqrt(dy * dy)",
        (TOUR, *unit("metrics")),
    ),
    Mutant(
        "two may ask for one",
        "matching.py",
        "len(np.unique(nearest))",
        "len(nearest)",
        (JUDGE, *unit("metrics")),
    ),
    Mutant(
        "the cut comes before the sum",
        "matching.py",
        "rows, columns = linear_sum_assignment(distance)",
        "rows, columns = linear_sum_assignment(distance > radius)",
        (JUDGE, *unit("metrics")),
    ),
    Mutant(
        "equal means more found than true",
        "sweep.py",
        "-np.abs(sweep.n_found - sweep.n_true)",
        "sweep.n_found - sweep.n_true",
        (CHOOSE, *unit("sweep")),
    ),
    Mutant(
        "a plateau tells its lower end",
        "tune/trial.py",
        "sum(self.plateau(name)) / 2",
        "self.plateau(name)[0]",
        (CHOOSE, *unit("tune/tune")),
    ),
    Mutant(
        "images held back still count",
        "tune/trial.py",
        "set(self.shuffled) - set(self.held)",
        "set(self.shuffled)",
        unit("tune/tune"),
    ),
    Mutant(
        "a class at the threshold of another",
        "tune/trial.py",
        "(scores >= self.thresholds[name])",
        "(scores >= max(self.thresholds.values()))",
        (CHOOSE, *unit("tune/tuning_set")),
    ),
    Mutant(
        "components joined along edges alone",
        "thresholds.py",
        "ndimage.label((heatmap >= threshold) & (heatmap > 0), np.ones((3, 3)))",
        "ndimage.label((heatmap >= threshold) & (heatmap > 0))",
        unit("thresholds"),
    ),
    Mutant(
        "a ceiling without its threshold",
        "study/ceiling.py",
        "peaks.select(threshold=choices[k].threshold)[0]",
        "peaks.select(threshold=0)[0]",
        (PAINT, *unit("study/ceiling")),
    ),
    Mutant(
        "displaced at most one radius",
        "study/errors.py",
        "FARTHEST = 3",
        "FARTHEST = 1",
        (JUDGE, *unit("study/errors")),
    ),
    Mutant(
        "mending a false positive costs its hit",
        "study/errors.py",
        "precision_recall_f1(tp + some_fn, fp - some_fp, fn - some_fn)",
        "precision_recall_f1(tp + some_fn - some_fp, fp - some_fp, fn - some_fn)",
        (JUDGE, *unit("study/errors")),
    ),
    Mutant(
        "the border on two sides only",
        "study/errors.py",
        "np.minimum(points + 0.5, size - 0.5 - points)",
        "np.minimum(points + 0.5, points + 0.5)",
        unit("study/errors"),
    ),
    Mutant(
        "one image too few in an interval",
        "counts.py",
        "return math.ceil((n + 1) * coverage - ROUNDING)",
        "return math.ceil(n * coverage - ROUNDING)",
        (JUDGE, *unit("counts")),
    ),
    Mutant(
        "an interval as wide for few as for many",
        "counts.py",
        "np.abs(true - found) / np.sqrt(found + 1)",
        "np.abs(true - found)",
        (JUDGE, *unit("counts")),
    ),
    Mutant(
        "a score on an edge counts below it",
        "study/trust.py",
        'side="right") - 1',
        'side="left") - 1',
        unit("study/trust"),
    ),
    Mutant(
        "sure points are doubtful",
        "study/budget.py",
        "np.minimum(chances, 1 - chances).sum()",
        "chances.sum()",
        (LESS, *unit("study/budget")),
    ),
    Mutant(
        "the least doubtful first",
        "study/budget.py",
        "key=lambda row: (-row[1], row[0])",
        "key=lambda row: (row[1], row[0])",
        (LESS, *unit("study/budget")),
    ),
    Mutant(
        "a learning curve that stays where it is",
        "study/budget.py",
        "slope * (x[-1] + np.log(factor) - x.mean())",
        "slope * (x[-1] - x.mean())",
        unit("study/budget"),
    ),
    Mutant(
        "the surest suspect last",
        "study/suspects.py",
        "key=lambda s: (-s.confidence,",
        "key=lambda s: (s.confidence,",
        (LESS, *unit("study/suspects")),
    ),
    Mutant(
        "a heatmap read at y, x",
        "study/suspects.py",
        "support = heatmap[y, x].astype(float)",
        "support = heatmap[x % len(heatmap), y].astype(float)",
        unit("study/suspects"),
    ),
    Mutant(
        "what lies outside the image is learnt",
        "losses.py",
        "torch.where(valid, target, 0.0)",
        "target",
        ("tests/train/test_train.py::test_fit_learns_nothing_outside_the_image",),
    ),
    Mutant(
        "the last epoch is kept, not the best",
        "train/loop.py",
        'is_best = score >= state.best["floor"]',
        "is_best = True",
        ("tests/train/test_train.py::test_fit_keeps_the_weights_of_the_best_epoch",),
    ),
    Mutant(
        "going on from a model may end below it",
        "train/loop.py",
        'state.best["floor"] = row["f1"]',
        'state.best["floor"] = -1.0',
        ("tests/train/test_start.py::test_going_on_never_ends_below_its_start",),
    ),
    Mutant(
        "an object gets the class that is lowest there",
        "predict/classes.py",
        "[:, peaks].argmax(axis=0)",
        "[:, peaks].argmin(axis=0)",
        unit("predict/classes"),
    ),
    Mutant(
        "a rate that never falls",
        "train/loop.py",
        "setup.config.learning_rate * rise * fall",
        "setup.config.learning_rate * rise",
        unit("train/train::test_minutes_end_a_training_with_its_rate_at_zero"),
    ),
    Mutant(
        "a match radius as wide as the objects",
        "sizes.py",
        "min(diameter / 2, spacing)",
        "min(diameter, spacing)",
        unit("sizes::test_the_match_radius_is_half_the_size"),
    ),
    Mutant(
        "a class matched at the radius of another",
        "matching.py",
        "return radius[name] if isinstance(radius, dict) else radius",
        "return widest_radius(radius)",
        unit("metrics::test_each_class_may_have_its_own_radius"),
    ),
    Mutant(
        "a correction learnt from the image it is tried on",
        "counts.py",
        "rest, here = fold != k, fold == k",
        "rest, here = fold >= 0, fold == k",
        unit("counts::test_intervals_of_corrected_counts_hold"),
    ),
    Mutant(
        "a halo that lacks a period of the network",
        "predict/tiles.py",
        "extra + self.halo) for",
        "extra + max(self.halo - 8, 0)) for",
        unit("predict/tiles"),
    ),
    Mutant(
        "windows that begin between periods",
        "predict/tiles.py",
        "return start // period * period, min",
        "return start // period * period + (start > period), min",
        unit("predict/tiles"),
    ),
    Mutant(
        "limits of the pixels of each window",
        "predict/tiles.py",
        "limits=self.limits,",
        "limits=None,",
        unit("predict/tiles"),
    ),
    Mutant(
        "a window shrunk as a picture of its own",
        "augment.py",
        "centre = (np.arange(start, stop) + 0.5) * step",
        "centre = (np.arange(start, stop) + 0.5) * step + 0.1 * (start > 0)",
        unit("predict/tiles"),
    ),
    Mutant(
        "points outside a region are kept",
        "large/pictures.py",
        "inside = ((points >= [x0, y0]) & (points < [x1, y1])).all(axis=1)",
        "inside = ((points >= [x0, y0]) | (points < [x1, y1])).all(axis=1)",
        unit("large/jobs::test_a_region_has_the_points_of_the_whole_inside"),
    ),
    Mutant(
        "overlap by the count, not by the density",
        "counts.py",
        "return MILLION * found / (shape[0] * shape[1])",
        "return found",
        unit("counts::test_a_rule_holds_in_images_of_another_size"),
    ),
    Mutant(
        "what lies outside the regions is learnt",
        "train/crops.py",
        "valid &= torch.from_numpy(regions.warped(matrix).mask((self.size, self.size)))",
        "pass",
        ("tests/test_regions.py::test_crops_are_valid_inside_only",),
    ),
    Mutant(
        "points found outside the regions count in validation",
        "train/validate.py",
        "found.within(regions)",
        "found",
        ("tests/test_regions.py::test_scores_count_inside_only",),
    ),
    Mutant(
        "points found outside the regions count in scores",
        "evaluation/score.py",
        "every.within(regions)",
        "every",
        ("tests/test_regions.py::test_scores_count_inside_only",),
    ),
    Mutant(
        "a piece of a picture begins a pixel late",
        "windows.py",
        "core = Regions.box(x0 - 0.5, y0 - 0.5",
        "core = Regions.box(x0 + 0.5, y0 - 0.5",
        ("tests/test_regions.py::test_pieces_cover_what_is_labelled_once",),
    ),
    Mutant(
        "thresholds of all classes together",
        "train/validate.py",
        "append((points[labels == name], found.within(regions)))",
        "append((points, found.within(regions)))",
        unit("train/validate"),
    ),
    Mutant(
        "two clicks a pixel apart are one too many",
        "check/survey.py",
        "DOUBLED = 0.5",
        "DOUBLED = 1.5",
        unit("check/check"),
    ),
    Mutant(
        "a list that lacks a class passes for whole",
        "check/folder.py",
        "counts.items() if n >= 10 and name not in have)",
        "counts.items() if n >= 10 and name in have)",
        unit("check/check"),
    ),
    Mutant(
        "a box's edge for its middle",
        "formats/coco.py",
        "box[0] + box[2] / 2, box[1] + box[3] / 2",
        "box[0], box[1]",
        unit("formats/coco"),
    ),
    Mutant(
        "boxes from the first pixel's middle",
        "formats/voc.py",
        'convention="corner"',
        'convention="centre"',
        unit("formats/voc"),
    ),
    Mutant(
        "a polygon's centre by its corners",
        "formats/shared/parts.py",
        "centre = moment / area if area > 0 else corners.mean(axis=0)",
        "centre = corners.mean(axis=0)",
        unit("formats/parts"),
    ),
    Mutant(
        "texts of the origin from the edge",
        "formats/origin.py",
        'unit="fraction",',
        'unit="fraction", convention="corner",',
        unit("formats/conversion"),
    ),
    Mutant(
        "boxes of a table count from the middle",
        "formats/shared/rows.py",
        'form = form if columns.kind == "points" else replace(form, convention="corner")',
        "form = form",
        unit("formats/everyday"),
    ),
    Mutant(
        "fractions of a table are pixels",
        "formats/shared/rows.py",
        "if fractions and _are_fractions(marks):",
        "if False:",
        unit("formats/everyday"),
    ),
    Mutant(
        "a row without a place is passed over",
        "formats/shared/rows.py",
        "marks = found.setdefault(image, [])",
        "marks = found.setdefault(image, []) if any(cells[1:]) else []",
        unit("formats/everyday"),
    ),
    Mutant(
        "a pixel's size multiplies",
        "formats/conversion.py",
        'value if name == "scale" else 1 / value',
        "value",
        unit("formats/everyday"),
    ),
    Mutant(
        "Results count from the middle",
        "formats/imagej.py",
        'form = form if counter else replace(form, convention="corner")',
        'form = replace(form, convention="centre")',
        unit("formats/everyday"),
    ),
    Mutant(
        "points of a photo on its side stay",
        "formats/shared/records.py",
        "points = turn_points(points, stored, turn)",
        "pass",
        unit("formats/everyday"),
    ),
    Mutant(
        "a path in a zip leads out",
        "formats/shared/archives.py",
        'or ".." in parts or',
        "or",
        unit("formats/everyday"),
    ),
    Mutant(
        "equal names in two folders are one image",
        "images.py",
        "return Path(path).relative_to(folder).as_posix()",
        "return Path(path).name",
        unit("nested"),
    ),
    Mutant(
        "half a step stays in the journal",
        "annotate/journal.py",
        'if not line.get("left"):',
        'if not line.get("lefts"):',
        unit("annotate/journal"),
    ),
    Mutant(
        "an edit sent twice is done twice",
        "annotate/ledger.py",
        "if sender in store.history.seen:",
        "if sender in ():",
        unit("annotate/ledger"),
    ),
    Mutant(
        "bright spots are dark",
        "annotate/blobs.py",
        "answer = -(sigma**2) *",
        "answer = (sigma**2) *",
        unit("annotate/blobs"),
    ),
    Mutant(
        "held-back points teach too",
        "annotate/lesson.py",
        "for chosen, areas in ((~is_held, around), (is_held, within))",
        "for chosen, areas in ((is_held | True, around), (is_held, within))",
        unit("annotate/lesson"),
    ),
    Mutant(
        "what was held back is forgotten",
        "annotate/lesson.py",
        'boxes = known["boxes"] + ([box] if box else [])',
        "boxes = [box] if box else []",
        unit("annotate/lesson"),
    ),
    Mutant(
        "a click makes an image done",
        "annotate/steps.py",
        'return "started" if self.mark == "started" else "labelled"',
        'return "labelled"',
        unit("annotate/ledger"),
    ),
    Mutant(
        "a region is written and not announced",
        "annotate/store.py",
        "if text.saved != saved:",
        'if text.saved != saved and self._op(name, text) == "save":',
        unit("annotate/ledger"),
    ),
]


def source(mutant, folder=ROOT):
    """Return the path and the text that `mutant` changes; the old line must occur once."""
    path = folder / "pointlib" / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(
            f"{mutant.name}: {mutant.old!r} occurs {text.count(mutant.old)} times in {mutant.file}; "
            "expected once. Bring the table in tests/mutants.py up to date."
        )
    return path, text


def copy_project(folder):
    """Copy what the tests need into `folder`, without caches."""
    skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=skip)
        else:
            shutil.copy(ROOT / name, folder / name)
    for name in filter(lambda name: (ROOT / name).exists(), LINKED):
        (folder / name).symlink_to(ROOT / name)


def passes(target, folder):
    """Return whether pytest passes on `target` with the package of `folder`."""
    # Without byte code: two mutants of one length in one second would share a cache file.
    environment = ENVIRONMENT | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", target]
    try:
        done = subprocess.run(
            command + (NBVAL if target.endswith(".ipynb") else []),
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (
        0,
        1,
        2,
    ):  # 2: an import failed, noticed; 3..5: pytest itself could not run
        raise SystemExit(f"pytest could not run {target}:\n{done.stdout.decode()[-2000:]}")
    return done.returncode == 0


def noticed_by(mutant, folder):
    """Apply `mutant` to the copy in `folder`, and return the first target that fails, or ""."""
    path, text = source(mutant, folder)
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return next((target for target in mutant.targets if not passes(target, folder)), "")
    finally:
        path.write_text(text, encoding="utf-8")


def main(arguments=None):
    """Run the table; return the exit status."""
    parser = argparse.ArgumentParser(description="Break pointlib on purpose; something must fail.")
    parser.add_argument("words", nargs="*", help="only mutants whose name holds one of these")
    words = parser.parse_args(arguments).words
    chosen = [m for m in MUTANTS if not words or any(word in m.name for word in words)]
    for mutant in chosen:
        source(mutant)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_project(folder)
        targets = sorted({target for mutant in chosen for target in mutant.targets})
        if sick := [target for target in targets if not passes(target, folder)]:
            raise SystemExit(f"fails without any mutant: {', '.join(sick)}")
        print("| Mutant | File | Noticed by |\n|---|---|---|", flush=True)
        found = {mutant.name: _row(mutant, folder) for mutant in chosen}
    survivors = [name for name, target in found.items() if not target]
    n_lessons = sum(target.endswith(".ipynb") for target in found.values())
    n_noticed = len(found) - len(survivors)
    print(f"\n{n_noticed} of {len(found)} noticed, {n_lessons} of them by a notebook")
    if survivors:
        print(f"survived: {'; '.join(survivors)}", file=sys.stderr)
    return bool(survivors) or (not words and n_lessons < LEAST)


def _row(mutant, folder):
    """Print the mutant's line of the table; return who noticed it, or ""."""
    found = noticed_by(mutant, folder)
    print(f"| {mutant.name} | {mutant.file} | {found or '**survived**'} |", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
