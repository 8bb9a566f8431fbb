"""Heatmaps to points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pointlib.errors import InputError
from pointlib.heatmaps import gaussian_max
from pointlib.thresholds import (
    THRESHOLDS,
    basic_threshold,
    connected_components,
    find_candidates,
    find_peaks,
)

MAPS = npst.arrays(
    np.float32,
    npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]),
)


@pytest.mark.parametrize("phase_y", np.arange(0, 1, 0.1))
@pytest.mark.parametrize("phase_x", [0.0, 0.25, 0.5, 0.9])
def test_find_peaks_is_exact_for_a_gaussian(phase_x, phase_y):
    """One Gaussian at any sub-pixel place gives one point there, within 0.001 px."""
    place = np.array([16 + phase_x, 11 + phase_y])
    points, scores = find_peaks(gaussian_max([place], (25, 34), sigma=2.0).numpy())
    assert points.shape == (1, 2)
    assert np.abs(points - place).max() < 1e-3
    assert scores[0] > 0.9


def test_basic_threshold_doubles_what_find_peaks_finds_once():
    """Half-pixel centres: the 3x3 rule finds 2 or 4 pixels, find_peaks one point."""
    for place, n in (((16.5, 16.0), 2), ((16.5, 16.5), 4)):
        heatmap = gaussian_max([place], (32, 36), sigma=2.0).numpy()
        assert len(basic_threshold(heatmap)[0]) == n
        assert np.allclose(find_peaks(heatmap)[0], [place], atol=1e-3)


def test_find_peaks_gives_one_point_a_plateau():
    """A flat top is one point, at its first pixel in reading order, moved half a pixel at most."""
    heatmap = np.zeros((9, 12), np.float32)
    heatmap[3:6, 4:9] = 0.8
    points, scores = find_peaks(heatmap, min_distance=0)
    assert np.abs(points - [4, 3]).max() <= 0.5
    assert scores.tolist() == pytest.approx([0.8])


def test_find_peaks_passes_over_a_shoulder():
    """A flat step on the way up to a peak is not a peak of its own."""
    heatmap = np.array([[0, 0, 0, 0, 0, 0], [0.5, 0.5, 0.5, 0.7, 0.1, 0]], np.float32)
    assert len(find_peaks(heatmap, min_distance=0)[0]) == 1


@pytest.mark.parametrize("heatmap", [
    np.zeros((0, 5)), np.zeros((4, 6)), np.full((4, 6), 0.7), np.full((4, 6), np.nan), np.ones((1, 1)),
])  # fmt: skip
def test_find_peaks_of_nothing_is_empty(heatmap):
    """Empty, constant and NaN maps give no points, of the right shape."""
    points, scores = find_peaks(heatmap)
    assert points.shape == (0, 2)
    assert scores.shape == (0,)


def test_find_peaks_survives_a_nan():
    """A NaN pixel hides nothing but itself."""
    heatmap = gaussian_max([[5.3, 6.1], [20, 8]], (16, 30), sigma=1.5).numpy()
    heatmap[0, 0] = heatmap[8, 21] = np.nan
    assert len(find_peaks(heatmap)[0]) == 2


@settings(deadline=None, max_examples=60)
@given(MAPS, st.floats(0.05, 1), st.floats(0.05, 1), st.floats(0, 6), st.floats(0, 6))
def test_find_peaks_counts_never_rise(heatmap, t1, t2, d1, d2):
    """A higher threshold or a larger distance never gives more points, and only drops some."""
    low, high = sorted([t1, t2])
    near, far = sorted([d1, d2])
    many = find_peaks(heatmap, threshold=low, min_distance=near)[0]
    few = find_peaks(heatmap, threshold=high, min_distance=far)[0]
    assert {tuple(p) for p in few} <= {tuple(p) for p in many}


@settings(deadline=None, max_examples=60)
@given(MAPS, st.floats(0, 5))
def test_find_peaks_keeps_the_minimum_distance(heatmap, distance):
    """No two kept points are as near as the minimum distance."""
    points, _ = find_peaks(heatmap, threshold=0.05, min_distance=distance)
    gaps = np.linalg.norm(points[:, None] - points, axis=2)[~np.eye(len(points), dtype=bool)]
    assert (gaps > distance).all()


def test_find_candidates_isolation_equals_brute_force():
    """Isolation is the distance to the nearest candidate of higher rank."""
    heatmap = np.random.default_rng(3).random((60, 83)).astype(np.float32)
    points, scores, isolation = find_candidates(heatmap)
    assert (np.diff(scores) <= 0).all()
    for i in range(1, len(points)):
        assert isolation[i] == pytest.approx(np.linalg.norm(points[:i] - points[i], axis=1).min())
    assert np.isinf(isolation[0])


def test_find_candidates_break_ties_by_y_then_x():
    """Of equal scores the smaller y, then the smaller x comes first."""
    heatmap = np.zeros((20, 26), np.float32)
    heatmap[[4, 4, 12], [20, 6, 2]] = 0.6
    assert find_peaks(heatmap)[0].tolist() == [[6, 4], [20, 4], [2, 12]]


def test_connected_components_merge_what_touches():
    """Two hills that meet above the threshold are one piece; above their saddle they are two."""
    heatmap = gaussian_max([[10, 10], [16, 10]], (20, 30), sigma=2.0).numpy()
    assert len(connected_components(heatmap, threshold=0.2)[0]) == 1
    points, _ = connected_components(heatmap, threshold=0.6)
    assert np.allclose(np.sort(points[:, 0]), [10, 16], atol=0.1)


@pytest.mark.parametrize("name", THRESHOLDS)
def test_thresholds_refuse_bad_input(name):
    """A channel too many, text and impossible settings are sentences."""
    with pytest.raises(InputError, match=r"shape \(1, 4, 5\); expected \(H, W\). Use heatmap\[0\]"):
        THRESHOLDS[name](np.zeros((1, 4, 5)))
    with pytest.raises(InputError, match="dtype <U1; expected numbers"):
        THRESHOLDS[name](np.array([["a"]]))
    with pytest.raises(InputError, match="threshold is nan"):
        THRESHOLDS[name](np.zeros((4, 5)), threshold=np.nan)
    with pytest.raises(InputError, match="min_distance is -1"):
        THRESHOLDS[name](np.zeros((4, 5)), min_distance=-1)


def test_a_threshold_means_the_same_beside_a_bright_object():
    """A bright peak does not hide a faint one: thresholds are not relative to the maximum."""
    faint = 0.35 * gaussian_max([[8, 8]], (20, 60), sigma=1.5).numpy()
    bright = gaussian_max([[45, 10]], (20, 60), sigma=1.5).numpy()
    assert len(find_peaks(np.maximum(faint, bright), threshold=0.3)[0]) == 2


def test_find_peaks_drops_a_peak_at_exactly_the_minimum_distance():
    """Isolation must be more than the distance: 3 px apart are two at 2.9 and one at 3."""
    heatmap = np.zeros((5, 9), np.float32)
    heatmap[2, [2, 5]] = 0.9, 0.8
    assert [len(find_peaks(heatmap, min_distance=d)[0]) for d in (2.9, 3.0)] == [2, 1]


def test_find_peaks_sees_two_pixels_apart():
    """Peaks with one pixel between them are two: the neighbourhood is 3 x 3, no more."""
    heatmap = np.zeros((5, 9), np.float32)
    heatmap[2, [2, 4]] = 0.9, 0.8
    assert len(find_peaks(heatmap, min_distance=0)[0]) == 2


@pytest.mark.parametrize("rule", THRESHOLDS.values())
def test_rules_take_peaks_of_three_tenths(rule):
    """What nobody sets is the same for all rules: a peak of 0.3 counts, one of 0.29 does not."""
    heatmap = np.zeros((9, 12), np.float32)
    heatmap[2, 3], heatmap[6, 9] = 0.3, 0.29
    points, scores = rule(heatmap)
    assert points.tolist() == [[3, 2]]
    assert scores.tolist() == pytest.approx([0.3])


def test_connected_components_touch_along_corners():
    """Two pixels that share a corner are one piece, two with a pixel between them are two."""
    heatmap = np.zeros((6, 9), np.float32)
    heatmap[[1, 2, 2], [1, 2, 4]] = 0.8
    points, _ = connected_components(heatmap)
    assert points.tolist() == [[1.5, 1.5], [4, 2]]
