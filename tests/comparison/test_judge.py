"""Judge: a network that needs no training, read in several ways."""

from functools import partial

import numpy as np
import pytest
from conftest import Brightness

from pointlib.comparison.judge import Predictions, choose, count, judge, try_out
from pointlib.dataset import MemoryDataset
from pointlib.errors import InputError
from pointlib.evaluation.score import evaluate
from pointlib.heatmaps import gaussian_max
from pointlib.model.point_model import ModelInfo, PointModel
from pointlib.sweep import TRIED, distances_to_try
from pointlib.thresholds import basic_threshold, connected_components, find_peaks

SHAPE = (45, 70)
DISTANCES = distances_to_try(radius=4.0, sigma=2.0)


def picture(seed):
    """Return an image whose brightness is a heatmap of 12 points, some faint, and 3 false ones."""
    rng = np.random.default_rng(seed)
    places = rng.permutation(np.mgrid[5:66:10, 5:41:10].reshape(2, -1).T)[:15] + rng.random((15, 2))
    heights = np.concatenate([rng.uniform(0.35, 1, 12), rng.uniform(0.1, 0.3, 3)])
    maps = [
        h * gaussian_max([p], SHAPE, sigma=2.0).numpy()
        for p, h in zip(places, heights, strict=True)
    ]
    return (255 * np.max(maps, axis=0)).astype(np.uint8), places[:12], np.full(12, "point")


@pytest.fixture
def model():
    """Return a model whose heatmap is the image."""
    options = {"thresholds": {"point": 0.5}, "min_distances": {"point": 2.0}}
    info = ModelInfo(n_channels=1, mean=(0.0,), std=(1.0,), sigma=2.0, radius=4.0, **options)
    return PointModel(Brightness(), info)


@pytest.fixture
def data():
    """Return four pictures as a dataset."""
    return MemoryDataset([picture(seed) for seed in range(4)])


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_judge_counts_as_evaluate_does(model, data, scale):
    """With the default function and the model's settings, the hits are those of the report."""
    model.info.scale = scale
    images = Predictions(model, data)
    result = judge(model.info, images, None, find=find_peaks, heatmap_fn=gaussian_max)
    true, found, hits, far = np.sum(result["counts"], axis=0)
    pooled = evaluate(model, data)["pooled"]
    assert (hits, found - hits, true - hits) == (pooled["tp"], pooled["fp"], pooled["fn"])
    assert far / hits == pytest.approx(pooled["error_px"])
    assert result["settings"] == {"point": {"threshold": 0.5, "min_distance": 2.0}}
    assert result["ceiling_f1"] == 1
    assert result["test_counts"] is None
    assert result["ms_per_image"] > 0


def test_judge_lets_test_images_choose_nothing(model, data):
    """Whatever is tested on, settings and counts are those of validation; the test is counted."""
    val = Predictions(model, data)
    options = {"find": basic_threshold, "heatmap_fn": gaussian_max}
    results = []
    for seeds in ([10], [11, 12]):
        test = Predictions(model, MemoryDataset([picture(seed) for seed in seeds]))
        results.append(judge(model.info, val, test, **options))
    for key in ("settings", "counts", "ceiling_f1"):
        assert results[0][key] == results[1][key]
    assert [len(result["test_counts"]) for result in results] == [1, 2]


def f1_of(images, info, find, **settings):
    """Return the pooled F1 at a threshold and a minimum distance."""
    each = dict.fromkeys(info.classes, settings)
    true, found, hits, _ = np.sum(count(images, info, find, each)[0], axis=0)
    return 2 * hits / (true + found)


def test_choose_finds_the_best_settings_there_are(model, data):
    """Where a threshold only drops points, no threshold and distance gives more F1."""
    images = Predictions(model, data)
    f1 = partial(f1_of, images, model.info, basic_threshold)
    best = choose(images, model.info, basic_threshold)["point"]
    every = [(t / 40, d) for t in range(2, 40) for d in DISTANCES]
    assert f1(**best) >= max(f1(threshold=t, min_distance=d) for t, d in every)
    assert 0.25 < best["threshold"] < 0.45


def test_choose_tries_other_rules_by_turns(model, data):
    """No other threshold at the old distance, and no other distance beside it, gives more F1."""
    images = Predictions(model, data)
    f1 = partial(f1_of, images, model.info, connected_components)
    best = choose(images, model.info, connected_components)["point"]
    assert f1(**best) >= max(f1(threshold=t, min_distance=2.0) for t in TRIED)
    assert f1(**best) == max(f1(**best | {"min_distance": d}) for d in DISTANCES)


@pytest.mark.parametrize("radius", [4.0, {"a": 4.0, "b": 2.0}])
@pytest.mark.parametrize("find", [basic_threshold, connected_components])
def test_choose_has_one_choice_where_an_object_has_one_class(find, radius):
    """Both classes get the threshold and the distance of the best F1 over both."""
    info = ModelInfo(classes=("a", "b"), exclusive=True, n_channels=2, sigma=2.0, radius=radius)
    info.mean, info.std = (0.0, 0.0), (1.0, 1.0)
    items = []
    for seed in range(3):
        (one, first, _), (two, second, _) = picture(seed), picture(seed + 10)
        labels = np.repeat(["a", "b"], [len(first), len(second)])
        items.append((np.dstack([one, two // 2]), np.vstack([first, second]), labels))
    images = Predictions(PointModel(Brightness(), info), MemoryDataset(items))
    settings = choose(images, info, find)
    assert settings["a"] == settings["b"]
    f1 = partial(f1_of, images, info, find)
    best = max(f1(threshold=t, min_distance=settings["a"]["min_distance"]) for t in TRIED)
    assert f1(**settings["a"]) >= best - 0.02


def test_choose_takes_the_middle_of_equally_good_thresholds(model):
    """Where any threshold will do, it is not the one at the edge."""
    image = (255 * gaussian_max([[20.0, 20.0]], SHAPE, sigma=2.0).numpy()).astype(np.uint8)
    data = MemoryDataset([(image, np.array([[20.0, 20.0]]), np.array(["point"]))])
    chosen = choose(Predictions(model, data), model.info, connected_components)["point"]
    assert chosen == {"threshold": 0.5, "min_distance": 2.0}


def test_choose_has_a_default_without_points(model):
    """A class without a true point keeps what the training gave it."""
    data = MemoryDataset([(picture(0)[0], np.zeros((0, 2)), np.zeros(0, str))], classes=["point"])
    chosen = choose(Predictions(model, data), model.info, basic_threshold)
    assert chosen == {"point": {"threshold": 0.5, "min_distance": 2.0}}


@pytest.mark.parametrize("find", [basic_threshold, connected_components])
def test_choose_keeps_what_it_knows_where_nothing_is_hit(model, find):
    """True points that no found one can be paired with teach nothing."""
    image, far = picture(0)[0], np.array([[-400.0, -400.0]])
    images = Predictions(model, MemoryDataset([(image, np.zeros((0, 2)), np.zeros(0, str))]))
    images.kept = {0: (far, np.array(["point"]), *images[0][2:])}
    assert choose(images, model.info, find) == {"point": {"threshold": 0.5, "min_distance": 2.0}}


def test_count_pairs_points_within_their_class(model, data):
    """A found point of another class is a false positive, though it lies on a true one."""
    predicted = Predictions(model, data)
    images = [(points, labels, 2 * drawn, 0.0) for points, labels, drawn, _ in predicted]
    model.info.classes = ("cat", "point")
    settings = {name: {"threshold": 0.3, "min_distance": 2.0} for name in model.info.classes}
    counts, _ = count(images, model.info, find_peaks, settings)
    true, found, hits, _ = np.sum(counts, axis=0)
    assert (true, found, hits) == (48, 96, 48)


def test_predictions_are_made_once(model, data, monkeypatch):
    """Two thresholding functions share one prediction an image; without room it is made again."""
    calls = []
    monkeypatch.setattr(model, "forward", lambda batch: calls.append(1) or Brightness()(batch))
    images = Predictions(model, data)
    for find in (find_peaks, basic_threshold):
        judge(model.info, images, None, find=find, heatmap_fn=gaussian_max)
    assert len(calls) == 4
    monkeypatch.setattr("pointlib.comparison.judge.KEPT_BYTES", 0)
    list(Predictions(model, data))
    list(Predictions(model, data))
    assert len(calls) == 12


def test_try_out_blames_a_function_that_cannot_read():
    """One that takes or returns other things, or raises, is a sentence that says what it must."""
    for points, scores in ((3, 3), ((3, 2), 2)):
        with pytest.raises(InputError, match=r"returned .*; expected .*points.* scores"):
            try_out(lambda *_, n=points, m=scores, **__: (np.zeros(n), np.zeros(m)), "mine")
    with pytest.raises(InputError, match="expected threshold_fn.*unexpected keyword"):
        try_out(lambda heatmap: heatmap, "mine")
    with pytest.raises(InputError, match="'mine' fails: .*test_judge.py.*ZeroDivision.* Fix this"):
        try_out(lambda heatmap, **_: 1 / 0, "mine")
    try_out(find_peaks, "find_peaks")
