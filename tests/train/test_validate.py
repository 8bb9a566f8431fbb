"""What a training says of itself: losses, choices and counts of the validation images."""

import numpy as np
import pytest
from conftest import Brightness

from pointlib.dataset import MemoryDataset
from pointlib.heatmaps import gaussian_max
from pointlib.model.point_model import ModelInfo, PointModel
from pointlib.thresholds import Candidates
from pointlib.train.validate import (
    count_pairs,
    describe_row,
    score_counts,
    spread,
    validate,
)

POINTS = np.array([[20.4, 30.0], [90.0, 61.3], [131.0, 12.2]])
LABELS = np.full(3, "point")


def model_of(**options):
    """Return a model whose heatmap is the grey image itself, 255 being 1."""
    return PointModel(Brightness(), ModelInfo(n_channels=1, mean=(0.0,), std=(1.0,), **options))


def painted(points, *, sigma):
    """Return a dataset of one image (90, 140): the heatmap of the points."""
    image = 255 * gaussian_max(points, (90, 140), sigma=sigma).numpy()
    return MemoryDataset([(image, POINTS, LABELS)])


def ranked(points, scores):
    """Return Candidates that are alone."""
    points = np.reshape(points, (-1, 2)).astype(float)
    return Candidates(points, np.array(scores, float), np.full(len(scores), np.inf))


def test_validate_of_a_perfect_network():
    """Who paints the target has no loss, finds all and counts right."""
    row, settings, rules = validate(model_of(sigma=3.0), painted(POINTS, sigma=3.0))
    assert row["val_loss"] == pytest.approx(0, abs=1e-4)
    assert [row[key] for key in ("f1", "precision", "recall", "mae", "n_true")] == [1, 1, 1, 0, 3]
    assert row["highest"] > 0.95
    assert row["mean_height"] == pytest.approx(3 * 2 * np.pi * 9 / (90 * 140), rel=0.1)
    assert 0 < settings["point"]["threshold"] < 1
    assert rules == {}  # one image is too few


def test_validate_draws_the_target_at_the_size_the_network_sees():
    """At half the size target and heatmap still agree, to less than half a pixel of the image."""
    model = model_of(sigma=6.0, scale=0.5)
    losses = [
        validate(model, painted(POINTS + shift, sigma=6.0))[0]["val_loss"]
        for shift in ([0, 0], [0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5])
    ]
    assert min(losses) == losses[0] < 0.01


def test_count_pairs_and_score_counts_by_hand():
    """One image finds a false positive, one misses two of three; classes are matched apart."""
    first = np.array([[5.0, 5.0]]), ranked([[5, 6], [40, 40]], [0.9, 0.6])
    second = np.array([[5.0, 5.0], [20, 20]]), ranked([[5, 5], [20, 20]], [0.9, 0.4])
    nothing = np.zeros((0, 2)), ranked([], [])
    missed = np.array([[30.0, 30.0]]), ranked([[5, 5]], [0.2])
    by_class = {"a": [first, second], "b": [nothing, missed]}
    settings = {name: {"threshold": 0.5, "min_distance": 1.0} for name in "ab"}
    got = score_counts(count_pairs(by_class, settings, radius=2.0))
    assert got == pytest.approx(
        {"f1": 4 / 7, "precision": 2 / 3, "recall": 1 / 2, "n_true": 4, "mae": 1.5}
    )
    assert score_counts(count_pairs({"a": [], "b": []}, settings, radius=2.0))["f1"] == 0


def test_validate_learns_to_correct_counts_from_ten_images():
    """A network that overlooks every fifth point: the corrected count is as many as there are."""
    scenes = []
    for n in range(5, 16):
        places = [[10 + 12 * (i % 10), 20 + 40 * (i // 10)] for i in range(n)]
        seen = [place for i, place in enumerate(places) if i % 5]
        image = 255 * gaussian_max(seen, (90, 140), sigma=3.0).numpy()
        scenes.append((image, np.array(places, float), np.full(n, "point")))
    _, _, rules = validate(model_of(sigma=3.0), MemoryDataset(scenes))
    assert rules["point"].n_images == 11
    assert rules["point"].kind != "none"
    assert rules["point"].correct(8, (90, 140)) == pytest.approx(10, abs=0.7)
    assert validate(model_of(sigma=3.0), MemoryDataset(scenes[:9]))[2] == {}


def test_validate_gives_each_class_its_own():
    """Each class is read where its own false positives end; one without points at 0.3 and sigma."""
    places = {"a": [[15, 15], [90, 60]], "b": [[55, 15], [120, 60]], "c": [[15, 75]]}
    heights = {"a": (0.9, 0.7), "b": (0.3, 0.1), "c": (0.9,)}
    maps = [
        sum(
            h * gaussian_max([p], (90, 140), sigma=3.0)
            for p, h in zip(at, heights[name], strict=True)
        )
        for name, at in places.items()
    ]
    info = ModelInfo(
        classes=tuple(places), n_channels=3, mean=(0.0,) * 3, std=(1.0,) * 3, sigma=3.0
    )
    image = 255 * np.stack([np.asarray(one) for one in maps], axis=2)
    points, labels = np.array([[15.0, 15], [55, 15]]), np.array(["a", "b"])
    data = MemoryDataset([(image, points, labels)], classes=list(places))
    _, chosen, _ = validate(PointModel(Brightness(), info), data)
    assert chosen["a"]["threshold"] == pytest.approx(0.8, abs=0.01)
    assert chosen["b"]["threshold"] == pytest.approx(0.2, abs=0.01)
    assert chosen["c"] == {"threshold": 0.3, "min_distance": 3.0}


def test_spread_takes_images_from_end_to_end():
    """Three at least, evenly; all of them where that is not fewer."""
    dataset = list(range(10))
    for n_images in (0.2, 3.4):
        assert list(spread(dataset, n_images)) == [0, 4, 9]
    assert list(spread(dataset, 3.6)) == [0, 3, 6, 9]
    assert spread(dataset, 10) is dataset
    assert spread(dataset[:2], 1) == dataset[:2]


def test_describe_row_says_every_number():
    """An epoch is one line, with the seconds of training and validating together."""
    row = {"epoch": 7, "loss": 0.12345, "val_loss": 0.2, "f1": 0.5, "precision": 0.25}
    row |= {"recall": 0.75, "mae": 3.14, "seconds": 5.0, "val_seconds": 2.0}
    words = " ".join(describe_row(row).split())
    assert words == (
        "epoch 7 loss 0.1235 val loss 0.2000 F1 0.500 precision 0.250 recall 0.750 count error "
        "3.1 7 s"
    )
