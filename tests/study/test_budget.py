"""Which image next is what it says it is; a learning curve grows, repeats and is led on honestly."""

import numpy as np
import pytest
from conftest import Brightness, blobs

from pointlib.dataset import MemoryDataset
from pointlib.errors import InputError
from pointlib.heatmaps import gaussian_max
from pointlib.images import write_image
from pointlib.model.point_model import ModelInfo, PointModel
from pointlib.study.budget import (
    LearningCurve,
    extrapolate,
    learning_curve,
    rank_at_random,
    rank_by_uncertainty,
    unlabelled_images,
)

SHAPE = (45, 70)
PLACES = [[10.0, 10.0], [50.0, 30.0], [30.0, 22.0]]


@pytest.fixture
def model():
    """Return a model whose heatmap is the grey image itself."""
    info = ModelInfo(n_channels=1, mean=(0.0,), std=(1.0,), thresholds={"point": 0.5}, radius=4.0)
    return PointModel(Brightness(), info)


def picture(*heights):
    """Return an image with a hill of each height."""
    places = PLACES[: len(heights)]
    hills = [
        h * gaussian_max([p], SHAPE, sigma=2.0).numpy()
        for h, p in zip(heights, places, strict=True)
    ]
    return np.round(255 * np.max([np.zeros(SHAPE), *hills], axis=0)).astype(np.uint8)


# --- which image next ---------------------------------------------------------------------------


def test_rank_by_uncertainty_adds_up_doubts(model):
    """The score is the sum of min(p, 1 - p); sure images come last, ties by name."""
    images = {
        "b": picture(0.9, 0.2),
        "c": picture(0.5, 0.4),
        "a": picture(0.9, 0.2),
        "d": picture(),
    }
    ranked = rank_by_uncertainty(model, images.items())
    assert [name for name, _ in ranked] == ["c", "a", "b", "d"]
    assert [score for _, score in ranked] == pytest.approx([0.9, 0.3, 0.3, 0], abs=0.01)


def test_rank_by_uncertainty_takes_calibrated_chances(model):
    """Where a score of 0.4 is known to mean "surely", the doubt is gone; chances stay in 0..1."""
    images = [("faint", picture(0.4, 0.4)), ("other", picture(0.2))]
    ranked = rank_by_uncertainty(model, images, calibrate=lambda s: np.where(s > 0.3, 1.2, s))
    assert [name for name, _ in ranked] == ["other", "faint"]
    assert ranked[1][1] == 0


def test_rank_at_random_is_a_seeded_shuffle():
    """All names once, the same for a seed whatever order they come in, another for another."""
    names = [f"{k}.png" for k in range(20)]
    order = rank_at_random(names, seed=3)
    assert sorted(order) == sorted(names)
    assert order == rank_at_random(names[::-1], seed=3) != rank_at_random(names, seed=4)


def test_unlabelled_images_are_those_without_a_text(make_folder):
    """An image with an empty text file is labelled; one without is not."""
    folder = make_folder(3)
    (folder / "dots_0.txt").write_text("")
    write_image(folder / "new.png", blobs((40, 56))[0])
    ((name, image),) = unlabelled_images(folder)
    assert name == "new.png"
    assert image.shape[:2] == (40, 56)


# --- learning curve -----------------------------------------------------------------------------


def dataset_of(n):
    """Return n images, image k with k + 1 points."""
    items = [
        (np.zeros((30, 40), np.uint8), np.full((k + 1, 2), 5.0), ["a"] * (k + 1)) for k in range(n)
    ]
    return MemoryDataset(items)


def test_learning_curve_trains_on_growing_parts(model):
    """Per seed each part holds the smaller ones; clicks are counted; all is scored on `val`."""
    val = MemoryDataset([(picture(1, 1), PLACES[:2], ["point"] * 2)])
    train, parts = dataset_of(8), {}

    def fit_fn(part, scored, seed):
        assert scored is val
        parts.setdefault(seed, []).append(part)
        return model

    curve = learning_curve(train, val, fit_fn, shares=(1, 0.25, 0.5), seeds=(0, 7))
    assert curve.n_images.tolist() == [2, 4, 8]
    assert curve.f1.shape == (3, 2)
    assert (curve.f1 == 1).all()
    for k, seed in enumerate((0, 7)):
        names = [set(part.names) for part in parts[seed]]
        assert names[0] < names[1] < names[2]
        sums = [sum(len(part[i][1]) for i in range(len(part))) for part in parts[seed]]
        assert curve.clicks[:, k].tolist() == sums
    assert set(parts[0][0].names) != set(parts[7][0].names)


def test_learning_curve_trains_on_one_image_at_least(model):
    """A share of next to nothing is one image, and two shares of one size are one point."""
    val = MemoryDataset([(picture(1, 1), PLACES[:2], ["point"] * 2)])
    curve = learning_curve(
        dataset_of(8), val, lambda *_: model, shares=(0.01, 0.1, 0.3), seeds=(0,)
    )
    assert curve.n_images.tolist() == [1, 2]


def curve_of(*, a=2.0, power=0.5, offset=0.0):
    """Return a curve whose error is a n ** -power, its second repetition worse by `offset`."""
    clicks = np.array([[100, 100], [200, 200], [400, 400]])
    error = a * clicks ** -float(power) * (1 + np.array([0, offset]))
    return LearningCurve(np.array([5, 10, 20]), clicks, 1 - error)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_extrapolate_is_exact_for_a_power_law(factor):
    """Where the error is a power of the clicks, the forecast is that power."""
    forecast = extrapolate(curve_of(), factor=factor)
    assert forecast.clicks == 400 * factor
    assert forecast.f1 == pytest.approx(1 - 2 * (400 * factor) ** -0.5)
    assert forecast.low == pytest.approx(forecast.high)


def test_extrapolate_has_the_band_of_the_repetitions():
    """Repetitions that disagree make the band wide; the forecast lies inside it."""
    forecast = extrapolate(curve_of(offset=0.5))
    assert forecast.low < forecast.f1 < forecast.high
    assert forecast.high == pytest.approx(1 - 2 * 800**-0.5)


def test_extrapolate_promises_nothing_from_a_flat_curve():
    """A curve that no longer rises stays where it is, a perfect one too, never above 1."""
    assert extrapolate(curve_of(a=0.3, power=0)).f1 == pytest.approx(0.7)
    assert 0.99 < extrapolate(curve_of(a=0)).f1 <= 1


def test_bad_inputs_are_sentences():
    """What cannot be drawn or led on is said."""
    data = dataset_of(2)
    with pytest.raises(InputError, match=r"shares are \(0, 1\); expected numbers above 0"):
        learning_curve(data, data, None, shares=(0, 1))
    with pytest.raises(InputError, match="seeds is empty"):
        learning_curve(data, data, None, seeds=())
    with pytest.raises(InputError, match="the curve has 1 size; expected 2 or more"):
        extrapolate(LearningCurve(*(column[:1] for column in curve_of())))
    with pytest.raises(InputError, match="factor is 0.5; expected a number of 1 or more"):
        extrapolate(curve_of(), factor=0.5)
    with pytest.raises(InputError, match="undefined F1"):
        extrapolate(curve_of(a=np.nan))
