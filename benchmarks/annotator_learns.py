"""Clicks that the annotator saves while it learns, on real images whose points are known.

    python benchmarks/annotator_learns.py FOLDER --radius 16 [--images 6] [--seed 0]

Somebody annotates the images of FOLDER/images that train.txt names, in a random order; points.csv
(image,x,y) has the truth, the clicks come from it. A corner of the first image, thirty points, is
clicked and drawn as a region, and a first lesson is learnt. From then on all suggestions of an
image are accepted at once, wrong ones are deleted, missing ones clicked, the image is marked done,
and the next lesson is learnt. An object is found if a suggestion is within --radius of it.

Beside it: nothing but clicks; blobs of the size and sign that fit the first image best; and the
model of the first image, learnt once. Prints clicks and deletions for each, what they save, the
lessons' CPU time, and which image had the half of its points accepted first.
"""

import argparse
import csv
import shutil
import tempfile
from pathlib import Path

import numpy as np

from pointlib import Regions, match_points, read_image
from pointlib.annotate import Annotator
from pointlib.annotate.blobs import find_blobs
from pointlib.annotate.suggest import BLOBS

CORNER = 30  # points that are clicked before the first lesson
SIZES = (2, 3, 4, 6, 8, 11, 15, 20, 30)  # px: sigmas of blobs that are tried
WAYS = ("nothing", "blobs", "learnt once", "learning")


def main():
    """Print a line for each way to be helped."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--radius", type=float, required=True, help="px: the same object")
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    arguments = parser.parse_args()
    print(f"{arguments.folder.name}, {arguments.images} images, seed {arguments.seed}")
    for way in arguments.ways:
        with tempfile.TemporaryDirectory() as place:
            work = Work(arguments, Path(place), way)
            try:
                work.go()
            finally:
                work.annotator.close()
        print(work.words(), flush=True)


class Work:
    """One person with one way to be helped, and what is counted."""

    def __init__(self, arguments, place, way):
        self.way, self.radius, self.truth = way, arguments.radius, read_truth(arguments)
        for name in self.truth:
            shutil.copy(arguments.folder / "images" / name, place / name)
        self.annotator = Annotator(place)
        self.rows, self.lessons = [], []  # an image: points, accepted, deleted; a lesson: CPU s

    def go(self):
        """Annotate all images."""
        for number, name in enumerate(self.truth):
            self.annotator.goto(name)
            if number == 0 and self.way == "learning":
                self.click_corner(name)
                self.learn()
            self.annotate(name, is_helped=number > 0 or self.way == "learning")
            self.annotator.mark("done", whole=True)
            if number == 0 and self.way == "blobs":
                self.fit_blobs(name)
            if self.way == "learning" or (number == 0 and self.way == "learnt once"):
                self.learn()

    def click_corner(self, name):
        """Click the points nearest to the upper left corner, and draw a region around them."""
        truth = self.truth[name]
        reach = np.sort(truth.max(axis=1))
        side = reach[CORNER - 1 : CORNER + 1].mean() if len(truth) > CORNER else np.inf
        self.annotator.add(truth[truth.max(axis=1) < side])
        self.annotator.regions = Regions.box(-0.5, -0.5, min(side, 1e6), min(side, 1e6))

    def annotate(self, name, *, is_helped):
        """Accept what is suggested, delete what is wrong, click what is missing."""
        truth, before = self.truth[name], self.annotator.points
        left = truth[np.delete(np.arange(len(truth)), self.pairs(truth, before)[0])]
        if is_helped and self.way != "nothing":
            self.annotator.accept(source="blobs" if self.way == "blobs" else "model")
        new = self.annotator.points[len(before) :]
        found, right = self.pairs(left, new)
        wrong = np.delete(np.arange(len(new)), right)
        self.annotator.delete(len(before) + wrong)
        missing = np.delete(left, found, axis=0)
        self.annotator.add(missing)
        self.rows.append((len(truth), len(found), len(wrong)))

    def pairs(self, truth, found):
        """Return the indices of both sides of the pairs."""
        pairs = np.array(match_points(truth, found, radius=self.radius).pairs, int).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def fit_blobs(self, name):
        """Set size and sign of the blobs to those that find most of the first image's points."""
        image, truth = read_image(self.annotator.folder / name), self.truth[name]

        def f1(sigma, dark):
            found, scores = find_blobs(image, sigma=sigma, dark=dark)
            found = found[scores >= BLOBS]
            return 2 * len(self.pairs(truth, found)[0]) / (len(truth) + len(found))

        best = max(((s, dark) for s in SIZES for dark in (False, True)), key=lambda one: f1(*one))
        self.annotator.sigma, self.annotator.dark = best

    def learn(self):
        """Learn a lesson; note its CPU time."""
        self.lessons.append(self.annotator.learn()["cpu_seconds"])

    def words(self):
        """Return what was counted, in a line."""
        points, accepted, deleted = np.array(self.rows).T
        clicks = points.sum() - accepted.sum()
        saved = 1 - (clicks + deleted.sum()) / points.sum()
        so_far = np.cumsum(accepted) / np.cumsum(points)
        words = (
            f"{self.way:12} {points.sum():5} points: {accepted.sum():5} accepted "
            f"({so_far[-1]:.0%}; after three images {so_far[min(2, len(so_far) - 1)]:.0%}), "
            f"{deleted.sum():4} deleted, {clicks:5} clicked; {saved:.0%} of all clicks saved"
        )
        if self.lessons:
            words += f"; {len(self.lessons)} lessons of at most {max(self.lessons):.0f} CPU s"
        return words


def read_truth(arguments):
    """Return {image: points (N, 2)} of some of the training images, in a random order."""
    points = {}
    with (arguments.folder / "points.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            points.setdefault(row["image"], []).append((float(row["x"]), float(row["y"])))
    names = [n for n in (arguments.folder / "train.txt").read_text().split() if n in points]
    chosen = np.random.default_rng(arguments.seed).permutation(names)[: arguments.images]
    return {name: np.array(points[name]) for name in chosen.tolist()}


if __name__ == "__main__":
    main()
