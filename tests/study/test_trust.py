"""Scores against truth, and an interval for F1."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointlib.errors import InputError
from pointlib.matching import match_points
from pointlib.study.trust import f1_interval, reliability, true_scores
from pointlib.thresholds import Candidates

NONE = np.zeros((0, 2))
PLACES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=6)
SCORES = st.lists(st.sampled_from([0.2, 0.4, 0.9]), min_size=6, max_size=6)


def candidates(points, scores, isolation=math.inf):
    """Return Candidates, best first."""
    points, scores = np.reshape(points, (-1, 2)).astype(float), np.array(scores, float)
    order = np.lexsort((*points.T, -scores))
    return Candidates(points[order], scores[order], np.full(len(points), isolation))


# --- true_scores --------------------------------------------------------------------------------


@settings(deadline=None)
@given(PLACES, PLACES, SCORES)
def test_true_scores_are_the_hits_at_each_threshold(true, found, scores):
    """Of the scores of at least t, ties included, as many are true as match_points pairs."""
    peaks = candidates(found, scores[: len(found)])
    got, is_true = true_scores([(true, peaks)], radius=1.5)
    for t in (0.2, 0.4, 0.9):
        match = match_points(true, peaks.select(threshold=t)[0], radius=1.5)
        assert is_true[got >= t].sum() == len(match.pairs)


@settings(deadline=None)
@given(PLACES, PLACES, SCORES)
def test_true_scores_do_not_see_flips(true, found, scores):
    """A transposed and a mirrored image has as many true points of each score, ties or not."""
    true, scores = np.reshape(true, (-1, 2)), scores[: len(found)]
    sides = np.reshape(found, (-1, 2))
    plain = true_scores([(true, candidates(sides, scores))], radius=1.5)
    turned = [(7 - true[:, ::-1], candidates(7 - sides[:, ::-1], scores))]
    turned = true_scores(turned, radius=1.5)
    assert sorted(zip(*plain, strict=True)) == sorted(zip(*turned, strict=True))


def test_true_scores_keep_to_the_minimum_distance():
    """A candidate whose isolation is the minimum distance, or less, takes no part."""
    peaks = Candidates(np.array([[0.0, 0], [2, 0]]), np.array([0.9, 0.5]), np.array([math.inf, 2]))
    for distance, scores in ((1.9, [0.9, 0.5]), (2, [0.9])):
        got, is_true = true_scores([([[2, 0]], peaks)], radius=1, min_distance=distance)
        assert got.tolist() == scores
        assert is_true.tolist() == [False, True][: len(scores)]


def test_true_scores_pool_images_and_take_empty_ones():
    """Images stand one after the other; those without truth or candidates add what they have."""
    images = [(NONE, candidates([[1, 1]], [0.3])), ([[1, 1]], candidates([], []))]
    images.append(([[1, 1]], candidates([[1, 1], [1, 2]], [0.5, 0.9])))
    scores, is_true = true_scores(images, radius=2)
    assert (scores.tolist(), is_true.tolist()) == ([0.3, 0.9, 0.5], [False, True, False])
    scores, is_true = true_scores([], radius=2)
    assert scores.shape == is_true.shape == (0,)
    with pytest.raises(InputError, match="radius is -1"):
        true_scores(images, radius=-1)


# --- reliability --------------------------------------------------------------------------------


def test_reliability_puts_each_score_into_its_bin():
    """Bins are closed below and open above; the last one holds 1, the outer ones what lies out."""
    bins = reliability([-0.1, 0, 0.25, 0.49, 0.5, 1, 1.3], [0, 0, 0, 1, 1, 1, 0], n_bins=4)
    assert bins.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert bins.n.tolist() == [2, 2, 1, 2]
    assert bins.score == pytest.approx([-0.05, 0.37, 0.5, 1.15])
    assert bins.share.tolist() == [0, 0.5, 1, 0.5]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=30), st.integers(1, 12))
def test_reliability_counts_every_point_once(scores, n_bins):
    """Bins add up to all points and all true ones; an empty bin is NaN, never 0."""
    is_true = np.arange(len(scores)) % 3 == 0
    bins = reliability(scores, is_true, n_bins=n_bins)
    assert bins.n.sum() == len(scores)
    assert np.nansum(bins.share * bins.n) == pytest.approx(is_true.sum())
    assert np.nansum(bins.score * bins.n) == pytest.approx(sum(scores))
    assert (np.isnan(bins.share) == (bins.n == 0)).all()


def test_reliability_finds_the_curve_that_made_the_points():
    """Points that are true with chance score**2 show that share in each bin."""
    rng = np.random.default_rng(1)
    scores = rng.uniform(0, 1, 40_000)
    bins = reliability(scores, rng.random(40_000) < scores**2)
    assert bins.share == pytest.approx(bins.score**2, abs=0.03)


def test_reliability_refuses_what_it_cannot_sort():
    """NaN scores, sides of two lengths and no bins are errors."""
    with pytest.raises(InputError, match=r"scores\[1\] is NaN"):
        reliability([0.1, np.nan], [True, True])
    with pytest.raises(InputError, match=r"is_true has shape \(1,\); expected \(2,\)"):
        reliability([0.1, 0.2], [True])
    with pytest.raises(InputError, match="n_bins is 0"):
        reliability([0.1], [True], n_bins=0)


# --- f1_interval --------------------------------------------------------------------------------


def test_f1_interval_holds_the_f1_of_all_images_and_narrows_with_more():
    """It lies about 2 tp / (2 tp + fp + fn); four times the images make it half as wide."""
    counts = np.random.default_rng(3).integers([5, 0, 0], [20, 6, 9], (160, 3))
    rows = [dict(zip(("tp", "fp", "fn"), row, strict=True)) for row in counts.tolist()]
    widths = []
    for some, (tp, fp, fn) in ((rows[:40], counts[:40].sum(axis=0)), (rows, counts.sum(axis=0))):
        low, high = f1_interval(some)
        assert low < 2 * tp / (2 * tp + fp + fn) < high
        widths.append(high - low)
    assert 0.35 < widths[1] / widths[0] < 0.65
    assert f1_interval(rows, coverage=0.5)[1] - f1_interval(rows, coverage=0.5)[0] < widths[1]


def test_f1_interval_of_nothing():
    """Nothing true and nothing found is 0, without a warning; no image is an error."""
    nothing = {"tp": 0, "fp": 0, "fn": 0}
    assert f1_interval([nothing]) == (0, 0)
    assert f1_interval([nothing] * 9 + [{"tp": 5, "fp": 0, "fn": 0}]) == (1, 1)
    with pytest.raises(InputError, match="coverage is 95; expected a number between 0 and 1"):
        f1_interval([nothing], coverage=95)
    with pytest.raises(InputError, match="there is no image"):
        f1_interval([])
