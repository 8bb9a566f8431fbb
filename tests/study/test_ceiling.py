"""The ceiling: what drawing, reading and matching lose before any network is trained."""

from functools import partial

import numpy as np
import pytest

from pointlib.errors import InputError
from pointlib.heatmaps import gaussian_max, gaussian_sum
from pointlib.matching import match_points
from pointlib.metrics import precision_recall_f1
from pointlib.study.ceiling import ceiling
from pointlib.sweep import TRIED
from pointlib.thresholds import basic_threshold, connected_components, find_peaks

SHAPE = (48, 80)
NONE = np.zeros((0, 2))


def scatter(seed, n=30, shape=SHAPE):
    """Return random points (n, 2) of an image and its shape."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, [shape[1] - 0.5, shape[0] - 0.5], (n, 2)), shape


def apart(seed, shape=SHAPE):
    """Return points on a shaken grid, at least 6 px apart, and the shape."""
    y, x = np.mgrid[6 : shape[0] - 4 : 9, 6 : shape[1] - 4 : 9]
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    return grid + np.random.default_rng(seed).uniform(-1.5, 1.5, grid.shape), shape


def by_hand(truth, there_and_back, thresholds, *, sigma, radius):
    """Return the best pooled F1 of these thresholds, each tried from scratch."""
    (draw, find), best = there_and_back, 0
    for threshold in thresholds:
        counts = np.zeros(3, int)
        for points, shape in truth:
            heatmap = np.asarray(draw(points, shape, sigma=sigma))
            match = match_points(points, find(heatmap, threshold=threshold)[0], radius=radius)
            counts += [len(match.pairs), len(match.false_positives), len(match.missed)]
        best = max(best, np.nan_to_num(precision_recall_f1(*counts.tolist())[2]))
    return best


def noisy(points, shape, *, sigma):
    """Draw Gaussians in noise that depends on the points alone."""
    noise = np.random.default_rng(len(points)).standard_normal(shape)
    return gaussian_max(points, shape, sigma=sigma).numpy() + 0.15 * noise


@pytest.mark.parametrize("sigma", [1.5, 3, 6])
def test_ceiling_is_one_where_points_are_apart(sigma):
    """Points 6 px apart survive the maximum at every sigma, to a thousandth of a pixel."""
    best = ceiling([apart(0), apart(1)], sigma=sigma, radius=2)
    assert best[:3] == (1, 1, 1)
    assert best.error_px < 1e-3
    assert best.n_true == 2 * len(apart(0)[0])


def test_ceiling_falls_with_sigma_where_hills_add_up():
    """Added hills melt the more, the wider they are; the maximum keeps them apart."""
    truth = [scatter(0), scatter(1)]
    sums = [ceiling(truth, sigma=s, radius=3, heatmap_fn=gaussian_sum).f1 for s in (1, 3, 6)]
    assert 1 > sums[0] > sums[1] > sums[2]
    assert ceiling(truth, sigma=6, radius=3).f1 > sums[2]


def test_ceiling_counts_twins_once():
    """Two points at one place are one peak: half the recall, all the precision."""
    best = ceiling([([[9, 9], [9, 9]], SHAPE)], sigma=2, radius=3)
    assert (best.recall, best.precision, best.n_true) == (0.5, 1, 2)


def test_ceiling_feels_the_minimum_distance():
    """A minimum distance above the gap between two points loses one of them."""
    truth = [([[20, 20], [28, 20]], SHAPE)]
    tops = [ceiling(truth, sigma=2, radius=3, min_distance=d).recall for d in (0, 7.9, 8.1)]
    assert tops == [1, 1, 0.5]


@pytest.mark.parametrize("rule", [find_peaks, basic_threshold])
def test_ceiling_takes_the_best_of_all_thresholds(rule):
    """In noise it is the F1 of the best threshold, each one tried from scratch."""
    truth = [scatter(seed, n, (24, 32)) for seed, n in enumerate((4, 5, 6))]
    find = partial(rule, min_distance=0)
    found = [find(noisy(*one, sigma=2), threshold=0.05) for one in truth]
    every = np.unique(np.concatenate([scores for _, scores in found]))
    best = by_hand(truth, (noisy, find), every, sigma=2, radius=3)
    options = {"sigma": 2, "radius": 3, "heatmap_fn": noisy, "threshold_fn": rule}
    assert ceiling(truth, **options).f1 == best
    assert 0.5 < best < 1


def test_ceiling_asks_other_rules_anew_at_each_threshold():
    """Connected components: F1 is the best of the thresholds tried, not of a cut by score."""
    truth = [scatter(seed, n=20) for seed in range(2)]
    for draw in (gaussian_max, noisy):
        options = {"sigma": 2, "radius": 3}
        hand = partial(by_hand, truth, (draw, connected_components), **options)
        options |= {"heatmap_fn": draw, "threshold_fn": connected_components}
        best = ceiling(truth, **options).f1
        assert best == hand(TRIED) > hand([0.05])


def test_ceiling_reads_faint_heatmaps_down_to_the_floor():
    """Peaks of height 0.06 are all found; those of 0.04 are no candidates."""
    tops = []
    for height in (0.06, 0.04):
        faint = partial(lambda h, *place, sigma: h * gaussian_max(*place, sigma=sigma), height)
        tops.append(ceiling([apart(0)], sigma=3, radius=3, heatmap_fn=faint).f1)
    assert tops == [1, 0]


def test_ceiling_binds_rules_by_partial():
    """A rule with options of its own that is given by partial keeps them."""
    rule = partial(find_peaks, min_distance=50)
    assert ceiling([apart(0)], sigma=2, radius=3, threshold_fn=rule).f1 == 1


def test_ceiling_reads_classes_apart():
    """Two points of two classes at one place are both found; each class has its own distance."""
    truth = [([[9, 9], [9, 9], [30, 9]], ["a", "b", "b"], SHAPE), (NONE, [], SHAPE)]
    assert ceiling(truth, sigma=2, radius=3)[:3] == (1, 1, 1)
    near = ceiling(truth, sigma=2, radius=3, min_distance={"a": 0, "b": 30})
    assert near.recall == pytest.approx(2 / 3)


@pytest.mark.parametrize("turn", ["flip", "transpose"])
def test_ceiling_does_not_see_flips(turn):
    """Mirrored and transposed truth has the same ceiling."""
    plain, turned = [scatter(seed) for seed in range(4)], []
    for points, (height, width) in plain:
        if turn == "flip":
            turned.append((points * [-1, 1] + [width - 1, 0], (height, width)))
        else:
            turned.append((points[:, ::-1], (width, height)))
    tops = [ceiling(truth, sigma=3, radius=3) for truth in (plain, turned)]
    assert tops[0] == pytest.approx(tops[1], abs=1e-5)
    assert tops[0].f1 < 1


def test_ceiling_of_nothing_is_undefined():
    """No image, or none with a point: no number, and no true point; empty images change nothing."""
    for truth in ([], [(NONE, SHAPE)], [(NONE, [], SHAPE)]):
        best = ceiling(truth, sigma=2, radius=3)
        assert np.isnan(best[:4]).all()
        assert best.n_true == 0
    options = {"sigma": 3, "radius": 2}
    assert ceiling([scatter(1), (NONE, SHAPE)], **options) == ceiling([scatter(1)], **options)


def test_ceiling_of_a_flat_heatmap_is_zero():
    """A heatmap without a peak gives back nothing: F1 and recall 0, precision undefined."""
    best = ceiling(
        [scatter(0)], sigma=2, radius=3, heatmap_fn=lambda _, shape, sigma: np.ones(shape)
    )
    assert (best.f1, best.recall) == (0, 0)
    assert np.isnan([best.precision, best.error_px]).all()


def test_ceiling_refuses_truth_that_does_not_fit():
    """Points outside, labels of another number, a missing class, a bare array: errors say which."""
    wrong = [
        ([([[1, 60]], SHAPE)], r"truth\[0\]\[0\] is \[1.0, 60.0\], outside"),
        ([([[1, 1]], ["a", "b"], SHAPE)], r"truth\[0\] has 2 labels for 1 points"),
        ([np.ones((5, 2))], r"truth\[0\] has 5 parts"),
        ([([[1, 1]], (*SHAPE, 3))], r"Use image.shape\[:2\]"),
    ]
    for truth, message in wrong:
        with pytest.raises(InputError, match=message):
            ceiling(truth, sigma=2, radius=3)
    with pytest.raises(InputError, match=r"min_distance names \['b'\], but not 'point'"):
        ceiling([([[1, 1]], SHAPE)], sigma=2, radius=3, min_distance={"b": 1})


def test_ceiling_tells_a_rule_without_scores():
    """A thresholding function that returns points alone is told as elsewhere, not unpacked."""

    def bare(heatmap, *, threshold, min_distance):
        return find_peaks(heatmap, threshold=threshold, min_distance=min_distance)[0]

    needed = r"bare returned ndarray; expected threshold_fn\(heatmap, \*, threshold, min_distance\)"
    with pytest.raises(InputError, match=needed):
        ceiling([([[10, 10], [13, 10], [40, 20]], (40, 60))], sigma=3, radius=1, threshold_fn=bare)
