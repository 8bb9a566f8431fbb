"""Evaluation: a model on labelled images, and two sets of points against each other."""

import json
import shutil

import numpy as np
import pytest
from conftest import Brightness

from pointlib.counts import CountRule
from pointlib.dataset import MemoryDataset
from pointlib.errors import InputError
from pointlib.evaluation.score import compare_folders, evaluate, image_results
from pointlib.heatmaps import gaussian_max
from pointlib.metrics import metrics_table, score_images
from pointlib.model.point_model import ModelInfo, PointModel
from pointlib.points import read_points, write_points

SHAPE = (45, 70)


@pytest.fixture
def model():
    """Return a model whose heatmap is the grey image itself."""
    info = ModelInfo(n_channels=1, mean=(0.0,), std=(1.0,), thresholds={"point": 0.5}, radius=4.0)
    return PointModel(Brightness(), info)


def item(seen, true=None):
    """Return an image that shows `seen`, and `true` as its points."""
    image = (255 * gaussian_max(seen, SHAPE, sigma=2.0).numpy()).astype(np.uint8)
    points = np.array(seen if true is None else true, dtype=float).reshape(-1, 2)
    return image, points, np.full(len(points), "point")


def test_evaluate_counts_hits_misses_and_false_positives(model):
    """A miss, a false positive and a hit are counted as what they are, and counts are compared."""
    items = [
        item([[10, 10], [50, 30]], true=[[10, 11], [30, 20]]),
        item([]),
        item([[20, 20]]),
    ]
    metrics = evaluate(model, MemoryDataset(items))
    pooled = metrics["pooled"]
    assert (pooled["tp"], pooled["fp"], pooled["fn"]) == (2, 1, 1)
    assert pooled["f1"] == pytest.approx(2 / 3)
    assert pooled["error_px"] == pytest.approx(0.5, abs=0.05)
    assert metrics["counts"]["mae"] == 0
    assert metrics["radius"] == 4.0


def test_evaluate_knows_the_whole_curve(model):
    """The curve goes on below the threshold: a faint true point is on it, not among the hits."""
    image, points, labels = item([[10, 10], [50, 30]])
    image[:, 35:] = image[:, 35:] // 3
    metrics = evaluate(model, MemoryDataset([(image, points, labels)]))
    assert metrics["pooled"]["recall"] == 0.5
    assert max(metrics["curve"]["recall"]) == 1.0
    assert metrics["pooled"]["average_precision"] == pytest.approx(1.0)
    assert metrics["thresholds"] == {"point": 0.5}


def test_image_results_score_as_evaluate_says(model):
    """The results hold the points that evaluate counts, an image each, and go by its name."""
    items = MemoryDataset([item([[10, 10], [50, 30]], true=[[10, 11], [30, 20]]), item([])])
    results = image_results(model, items)
    assert [result.name for result in results] == ["image 0", "image 1"]
    assert results[0].shape == SHAPE
    pooled = score_images(results, radius=4, classes=["point"])["pooled"]
    assert pooled["tp"] == 1
    assert pooled == pytest.approx(
        evaluate(model, items)["pooled"] | {"average_precision": pooled["average_precision"]}
    )


def test_evaluate_writes_numbers_and_a_page(model, tmp_path):
    """metrics.json has no NaN, report.html is one page; older ones are kept."""
    for _ in range(2):
        evaluate(model, MemoryDataset([item([])], classes=("point",)), output=tmp_path)
    data = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert data["pooled"]["f1"] is None
    assert "<html" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "report.html.bak").exists()


def test_evaluate_scores_corrected_counts_too(model, tmp_path):
    """Half of the points are seen and the rule doubles: no count error is left; the page says so."""
    data = MemoryDataset([item([[20, 10]], true=[[20, 10], [40, 20]])] * 2)
    assert evaluate(model, data, output=tmp_path)["corrected"] == {}
    assert "Counts are not corrected" in (tmp_path / "report.html").read_text()
    model.info.count_rules = {"point": CountRule("ratio", 0.1, 12, ratio=2.0)}
    metrics = evaluate(model, data, output=tmp_path)
    assert metrics["corrected"] == {
        "point": {"rule": "ratio", "n_learnt_from": 12, "mae_found": 1, "mae": 0, "inside": 1}
    }
    assert "mean absolute error 0.00 instead of 1.00; 100% of" in metrics_table(metrics)
    assert "<h2>Corrected counts</h2>" in (tmp_path / "report.html").read_text()


def test_evaluate_refuses_classes_the_model_does_not_know(model):
    """A class the model has no channel for is a sentence."""
    data = MemoryDataset([item([[5, 5]])[:2] + (np.array(["bee"]),)])
    with pytest.raises(InputError, match="points of class 'bee'; the model knows \\['point'\\]"):
        evaluate(model, data)


def test_compare_folders_scores_two_annotators(make_folder, tmp_path):
    """The same points are perfect; shifted ones are off by the shift; what one lacks is left out."""
    first = make_folder(3, folder="first")
    second = tmp_path / "second"
    shutil.copytree(first, second, ignore=shutil.ignore_patterns("*.png"))
    assert compare_folders(first, second, radius=3)["pooled"]["f1"] == 1
    points, _ = read_points(first / "dots_0.txt", (48, 64))
    write_points(second / "dots_0.txt", points + [1.5, 0], (48, 64))
    (second / "dots_1.txt").unlink()
    metrics = compare_folders(first, second, radius=3, output=tmp_path / "out")
    assert (metrics["n_images"], metrics["n_left_out"]) == (2, 1)
    assert metrics["pooled"]["error_px"] == pytest.approx(0.75)
    assert metrics["pooled"]["f1"] == 1
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_compare_folders_needs_something_in_common(make_folder, tmp_path):
    """A folder of other texts is a sentence."""
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="no text file of .*other belongs to a labelled image"):
        compare_folders(make_folder(1), tmp_path / "other", radius=3)


def test_compare_folders_takes_unnamed_points_as_of_the_only_class(make_folder):
    """One side names a single class, the other none: they are the same things."""
    named = make_folder(2, labels=("cell",), folder="named")
    unnamed = make_folder(2, folder="unnamed")
    assert compare_folders(named, unnamed, radius=1)["pooled"]["f1"] == 1


def test_compare_folders_sorts_the_classes(make_folder):
    """The order of classes is that of the alphabet, not of chance."""
    labels = ("worm", "cell", "egg", "ant", "fly")
    one, two = (make_folder(1, labels=labels, folder=name) for name in ("one", "two"))
    assert list(compare_folders(one, two, radius=1)["classes"]) == sorted(labels)
