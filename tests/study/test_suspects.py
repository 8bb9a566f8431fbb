"""Planted label errors come first, of the right kind; right labels are left in peace."""

import numpy as np
import pytest
from conftest import Brightness

from pointlib.dataset import MemoryDataset
from pointlib.errors import InputError
from pointlib.heatmaps import gaussian_max
from pointlib.model.point_model import ModelInfo, PointModel
from pointlib.study.suspects import cross_fit, label_errors, speaks_for

SHAPE = (60, 90)
CLASSES = ("crop", "weed")
GRID = np.stack(np.meshgrid(np.arange(8, 90, 18), np.arange(8, 60, 15)), -1).reshape(-1, 2) * 1.0


def model_of(classes=("point",)):
    """Return a model whose heatmap of class k is channel k of the image."""
    info = ModelInfo(
        classes=classes,
        n_channels=len(classes),
        mean=(0.0,) * len(classes),
        std=(1.0,) * len(classes),
        thresholds=dict.fromkeys(classes, 0.5),
        radius=4.0,
    )
    return PointModel(Brightness(), info)


def item(seen, given, heights=None):
    """Return an image that shows rows (x, y, class index) at some heights, with given labels."""
    channels = [np.zeros(SHAPE), np.zeros(SHAPE)]
    for k, (x, y, c) in enumerate(seen):
        height = 1.0 if heights is None else heights[k]
        hill = height * gaussian_max([[x, y]], SHAPE, sigma=2.0).numpy()
        channels[int(c)] = np.maximum(channels[int(c)], hill)
    image = (255 * np.stack(channels, axis=-1)).astype(np.uint8)
    points = np.array([row[:2] for row in given], dtype=float).reshape(-1, 2)
    return image, points, np.array([CLASSES[int(row[2])] for row in given], dtype=str)


def suspects_of(seen, given, heights=None, **options):
    """Return the suspects of one image of two classes."""
    dataset = MemoryDataset([item(seen, given, heights)], names=["a.png"], classes=CLASSES)
    return label_errors(model_of(CLASSES), dataset, **options)


@pytest.mark.parametrize(
    ("kind", "seen", "given", "place", "label"),
    [
        ("missed", [(30, 20, 0), (60, 40, 0)], [(60, 40, 0)], (30, 20), "crop"),
        ("missed", [(2, 20, 1)], [], (2, 20), "weed"),
        ("spurious", [], [(30, 20, 0)], (30, 20), "crop"),
        ("spurious", [(30, 20, 0)], [(30, 20, 0), (32, 20, 0)], (32, 20), "crop"),
        ("displaced", [(30, 20, 0)], [(38, 20, 0)], (38, 20), "crop"),
        ("wrong class", [(30, 20, 0)], [(31, 20, 1)], (31, 20), "weed"),
    ],
)
def test_label_errors_names_the_kind(kind, seen, given, place, label):
    """Each kind of planted error is the one suspect, at its place and with its class."""
    (suspect,) = suspects_of(seen, given)
    assert (suspect.image, suspect.kind, suspect.label) == ("a.png", kind, label)
    assert (suspect.x, suspect.y) == pytest.approx(place, abs=0.1)
    assert suspect.confidence > 0.9 or len(given) == 2  # two objects may share a hill


def test_label_errors_leaves_right_labels_alone():
    """Where labels and hills agree there is no suspect, a pixel off or not."""
    rows = [(x, y, k % 2) for k, (x, y) in enumerate(GRID)]
    assert suspects_of(rows, [(x + 1, y - 1, c) for x, y, c in rows]) == []


def test_label_errors_puts_the_surest_first():
    """A high hill without a point is surer than a lower one; a low hill speaks for its point."""
    seen = [(20, 20, 0), (50, 20, 0), (70, 45, 0)]
    found = suspects_of(seen, [(70, 45, 0), (20, 45, 0)], heights=(0.6, 0.9, 0.3))
    assert [s.kind for s in found] == ["spurious", "missed", "spurious", "missed"]
    assert [s.confidence for s in found] == pytest.approx([1, 0.9, 0.7, 0.6], abs=0.02)


def test_label_errors_sees_smaller_displacements_with_a_smaller_radius():
    """3 pixels off is right at radius 4 and displaced at radius 1.5."""
    pair = [(30, 20, 0)], [(33, 20, 0)]
    assert suspects_of(*pair) == []
    assert [s.kind for s in suspects_of(*pair, radius=1.5)] == ["displaced"]


def planted(seed):
    """Return a dataset of 6 images with 12 planted errors, and where they are."""
    rng, items, errors = np.random.default_rng(seed), [], []
    for k in range(6):
        seen = GRID + rng.uniform(-1, 1, GRID.shape)
        heights = rng.uniform(0.4, 1.0, len(seen))  # some true ones are below the threshold
        gone = rng.integers(len(seen))
        extra = np.minimum(seen[(gone + 10) % 20] + [9, 7.5], [87, 58])  # far from the other one
        heights[gone] = 0.95
        errors += [(str(k), *seen[gone]), (str(k), *extra)]
        given = [(x, y, 0) for x, y in [*np.delete(seen, gone, axis=0), extra]]
        items.append(item([(x, y, 0) for x, y in seen], given, heights))
    return MemoryDataset(items, names=[str(k) for k in range(6)], classes=CLASSES), errors


def hits(suspects, errors):
    """Return which suspects stand at a planted error."""
    return [
        any(s.image == name and np.hypot(s.x - x, s.y - y) < 2 for name, x, y in errors)
        for s in suspects
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_label_errors_finds_planted_errors_first(seed):
    """With 12 errors planted the first 12 suspects hold at least 11 of them, and all come up."""
    dataset, errors = planted(seed)
    suspects = label_errors(model_of(CLASSES), dataset)
    right = hits(suspects, errors)
    assert len(suspects) > 12
    assert sum(right[:12]) >= 11
    assert sum(right) == 12


def test_cross_fit_judges_each_image_by_a_model_that_has_not_seen_it():
    """Every image is in one fold, never in its own training part; the ranking is that of one model."""
    dataset, errors = planted(2)
    seen = []

    def fit_fn(train, val, seed):
        assert seed == 5
        assert not set(train.names) & set(val.names)
        assert sorted(train.names + val.names) == dataset.names
        assert train.classes == CLASSES
        seen.extend(val.names)
        return model_of(CLASSES)

    suspects = cross_fit(dataset, fit_fn, n_folds=4, seed=5)
    assert sorted(seen) == dataset.names
    assert suspects == label_errors(model_of(CLASSES), dataset)
    assert sum(hits(suspects, errors)) == 12


def test_bad_inputs_are_sentences():
    """Folds that cannot be, and classes that the model does not know, are said."""
    dataset, _ = planted(0)
    with pytest.raises(InputError, match="n_folds is 7 for 6 images; expected a whole number"):
        cross_fit(dataset, None, n_folds=7)
    with pytest.raises(InputError, match="class 'crop'; the model knows"):
        label_errors(model_of(("other", "weed")), dataset)
    with pytest.raises(InputError, match="radius is -1"):
        label_errors(model_of(CLASSES), dataset, radius=-1)


def test_speaks_for_reads_the_pixel_under_the_point():
    """The column is x, rounded, and points outside read the nearest pixel."""
    heatmap = np.arange(12.0).reshape(3, 4) / 100
    points = np.array([[3.0, 0.4], [0.6, 2.0], [9.0, 9.0], [-3.0, -3.0]])
    nothing = np.zeros((0, 2)), np.zeros(0)
    assert speaks_for(points, heatmap, nothing, radius=2).tolist() == [0.03, 0.09, 0.11, 0.0]


def test_speaks_for_takes_a_low_hill_as_near_as_the_radius():
    """The best of several low hills counts, as far as the radius, and the pixel where it is more."""
    low = np.array([[5.0, 2.0], [3.0, 2.0], [9.1, 2.0]]), np.array([0.2, 0.3, 0.9])
    heatmap = np.full((5, 20), 0.1)
    heatmap[4, 15] = 0.5
    points = np.array([[5.0, 4.0], [15.0, 4.0]])
    assert speaks_for(points, heatmap, low, radius=3).tolist() == [0.3, 0.5]
    assert speaks_for(points, heatmap, low, radius=2).tolist() == [0.2, 0.5]
