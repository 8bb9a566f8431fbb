"""Break pointlib on purpose, one line at a time: a suite that cannot fail is decoration.

    python tests/mutants.py              all of them (minutes); a Markdown table, exit 1 if one lives
    python tests/mutants.py tie half     those whose name holds one of the words

Each mutant is applied to a copy of the package in a temporary folder; then the tests and the
lessons that should notice run against it. A mutant that nothing notices marks a missing test.
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
LINKED = ("data", "media")
SECONDS = 600  # a mutant that hangs is noticed too
NBVAL = [
    *("--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"),
    *("--nbval-sanitize-with", "tests/nbval_sanitize.cfg"),
]


class Mutant(NamedTuple):
    """One line of pointlib, changed, and who should notice."""

    name: str
    file: str
    old: str  # must occur exactly once in the file
    new: str
    targets: tuple  # what pytest is given: "tests/test_x.py::test_y" or "notebooks/02_x.ipynb"


def unit(*names):
    """Return the paths of test files by what they test."""
    return tuple(f"tests/test_{name}.py" for name in names)


PAINT, TRAIN = "notebooks/02_heatmaps.ipynb", "notebooks/04_train.ipynb"
MUTANTS = [
    Mutant(
        "sigma's factor",
        "heatmaps.py",
        "torch.exp(-0.5 * (distance / sigma) ** 2)",
        "torch.exp(-1.0 * (distance / sigma) ** 2)",
        (*unit("heatmaps"), PAINT),
    ),
    Mutant(
        "centres rounded to whole pixels",
        "kernels.py",
        "hill(column - x, s, reach)",
        "hill(column - round(x), s, reach)",
        (*unit("heatmaps"), PAINT),
    ),
    Mutant(
        "hills added, not the higher one",
        "kernels.py",
        "max(canvas[row, column], tall * across[column])",
        "canvas[row, column] + tall * across[column]",
        (*unit("heatmaps"), PAINT),
    ),
    Mutant(
        "the sum not clipped",
        "heatmaps.py",
        ".clamp_(max=1.0)",
        "",
        (*unit("heatmaps"), PAINT),
    ),
    Mutant(
        "x and y swapped in drawing",
        "kernels.py",
        "(x, y), s = points[i], sigma[i]",
        "(y, x), s = points[i], sigma[i]",
        (*unit("heatmaps"), PAINT),
    ),
    Mutant(
        "hills cut at 1.5 sigma", "gaussians.py", "REACH = 4.0", "REACH = 1.5", unit("heatmaps")
    ),
    Mutant(
        "rows and columns swapped in drawing without torch",
        "gaussians.py",
        "part = canvas[row, column]",
        "part = canvas[column, row]",
        unit("gaussians"),
    ),
    Mutant(
        "density lost at the border",
        "heatmaps.py",
        "(part / part.sum(dim=1, keepdim=True) for",
        "(part / part.sum(dim=1, keepdim=True).max() for",
        unit("heatmaps"),
    ),
    Mutant(
        "sigma two fifths of the spacing",
        "gaussians.py",
        "SHARE, MOST = 0.3, 0.4",
        "SHARE, MOST = 0.4, 0.4",
        (*unit("gaussians"), PAINT),
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
        (*unit("thresholds"), PAINT),
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
        (*unit("thresholds"), PAINT),
    ),
    Mutant(
        "parabola the wrong way",
        "thresholds.py",
        "0.5 * (before - after) / bend",
        "0.5 * (after - before) / bend",
        (*unit("thresholds"), PAINT),
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
        (*unit("thresholds"), PAINT),
    ),
    Mutant(
        "points weigh no more than background",
        "losses.py",
        "def weighted_bce(logits, target, *, weight=1.0)",
        "def weighted_bce(logits, target, *, weight=0.0)",
        (*unit("losses"), TRAIN),
    ),
    Mutant(
        "background weighs nothing",
        "losses.py",
        "return 1 + weight * (target >= FLOOR)",
        "return weight * (target >= FLOOR)",
        (*unit("losses"), TRAIN),
    ),
    Mutant(
        "the target's entropy left in the loss",
        "losses.py",
        "(each - entropy)",
        "(each - 0 * entropy)",
        (*unit("losses"), TRAIN),
    ),
    Mutant(
        "absolute for squared error",
        "losses.py",
        "return (torch.sigmoid(logits) - target).square().mean()",
        "return (torch.sigmoid(logits) - target).abs().mean()",
        (*unit("losses"), TRAIN),
    ),
    Mutant(
        "focal without its nearest pixels",
        "losses.py",
        "return (target == highest) & (target >= PEAK)",
        "return target >= 1",
        (*unit("losses"), TRAIN),
    ),
    Mutant(
        "a pair at exactly the radius refused",
        "rules.py",
        "order = order[distance[order] <= radius]",
        "order = order[distance[order] < radius]",
        unit("metrics"),
    ),
    Mutant(
        "F1 that forgives misses",
        "metrics.py",
        "_ratio(2 * tp, 2 * tp + fp + fn)",
        "_ratio(2 * tp, 2 * tp + fp)",
        (*unit("metrics"), PAINT),
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
        unit("sweep"),
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
        unit("sweep"),
    ),
    Mutant(
        "ghosts as a share of the hits",
        "sweep.py",
        "<= most_false * sweep.n_found",
        "<= most_false * sweep.tp",
        unit("sweep"),
    ),
    Mutant(
        "infinite heatmaps shown white",
        "sources.py",
        "np.nan_to_num(heights, posinf=0, neginf=0)",
        "np.nan_to_num(heights)",
        unit("findings"),
    ),
    Mutant(
        "a broken image keeps its truth",
        "findings.py",
        "self.truth[i], self.errors[i] = None, str(error)",
        "self.errors[i] = str(error)",
        unit("findings"),
    ),
    Mutant(
        "images of the training are not left out",
        "inputs.py",
        "if path.name not in trained] or paths",
        "if path.name] or paths",
        unit("findings"),
    ),
    Mutant(
        "no half pixel on reading",
        "points.py",
        'return check_points(relative, name="relative") * _width_height(shape) - 0.5',
        'return check_points(relative, name="relative") * _width_height(shape)',
        unit("points"),
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
        (*unit("points"), PAINT),
    ),
    Mutant(
        "the nearest other point is the point itself",
        "points.py",
        "KDTree(points).query(points, k=2)[0][:, 1]",
        "KDTree(points).query(points, k=2)[0][:, 0]",
        (*unit("points"), PAINT),
    ),
    Mutant(
        "resize about the corner",
        "augment.py",
        "0.5 * sx - 0.5",
        "0.0 * sx",
        unit("augment"),
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
        unit("augment"),
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
        "model.py",
        "extra = (0, -width % self.divisor, 0, -height % self.divisor)",
        "extra = (-width % self.divisor, 0, -height % self.divisor, 0)",
        unit("model"),
    ),
    Mutant(
        "a fresh network expects a point everywhere",
        "model.py",
        "PRIOR = 0.02",
        "PRIOR = 0.5",
        unit("model"),
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
    """Apply `mutant` to the copy in `folder`, and return the targets that fail."""
    path, text = source(mutant, folder)
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return [target for target in mutant.targets if not passes(target, folder)]
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
        survivors = [mutant.name for mutant in chosen if not _row(mutant, folder)]
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} noticed")
    if survivors:
        print(f"survived: {'; '.join(survivors)}", file=sys.stderr)
    return bool(survivors)


def _row(mutant, folder):
    """Print the mutant's line of the table; return whether anything noticed it."""
    found = noticed_by(mutant, folder)
    print(f"| {mutant.name} | {mutant.file} | {', '.join(found) or '**survived**'} |", flush=True)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
