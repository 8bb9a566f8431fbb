"""Scores against truth, and count intervals that hold as often as they say, on fresh images."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pointlib.errors import InputError
from pointlib.matching import match_points
from pointlib.study.trust import count_interval, f1_interval, reliability, true_scores
from pointlib.synthetic import draw_cells
from pointlib.thresholds import Candidates, find_candidates

NONE = np.zeros((0, 2))
PLACES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=6)
SCORES = st.lists(st.sampled_from([0.2, 0.4, 0.9]), min_size=6, max_size=6)


def candidates(points, scores, isolation=math.inf):
    """Return Candidates, best first."""
    points, scores = np.reshape(points, (-1, 2)).astype(float), np.array(scores, float)
    order = np.lexsort((*points.T, -scores))
    return Candidates(points[order], scores[order], np.full(len(points), isolation))


def covered(true, found, interval):
    """Return which true counts lie inside, and how wide the intervals are."""
    low, high = np.transpose([interval.of(count) for count in found.tolist()])
    return (low <= true) & (true <= high), high - low


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


# --- count_interval -----------------------------------------------------------------------------


@pytest.mark.parametrize(("coverage", "k"), [(0.9, 90), (0.901, 91), (0.55, 55), (0.5, 50)])
def test_count_interval_takes_the_right_residual(coverage, k):
    """Of 99 images, k = 100 coverage, rounded up: the k-th |true - found| / sqrt(found + 1)."""
    found = np.arange(99)
    true = found + np.random.default_rng(0).permutation(99)
    interval = count_interval(true, found, coverage=coverage)
    off = np.sort(abs(true - found) / np.sqrt(found + 1))
    assert interval == (off[k - 1], 99, coverage, "")


def test_count_interval_covers_its_own_images():
    """At least k of the n images it was learned from lie inside, whatever was rounded."""
    rng = np.random.default_rng(2)
    for coverage in (0.5, 0.8, 0.9, 0.95):
        true, found = rng.poisson(20, 50), rng.poisson(20, 50)
        interval = count_interval(true, found, coverage=coverage)
        assert covered(true, found, interval)[0].sum() >= math.ceil(51 * coverage)


def test_count_interval_speaks_in_whole_counts():
    """Ends are the outermost whole counts inside, not below 0; an exact one stays where it is."""
    interval = count_interval([12] * 9, [15] * 9)  # off by 3 at 15 found: 3 / 4 a root
    assert interval.half_width == 0.75
    assert interval.of(15) == (12, 18)
    assert interval.of(1) == (0, 2)
    assert interval.of(99) == (92, 106)
    assert all(isinstance(end, int) for end in interval.of(7))
    for found in range(60):  # roots and back: rounding must not cost a point
        for off in (1, 7, 10, 14):
            interval = count_interval([found + off] * 9, [found] * 9)
            assert interval.of(found) == (max(found - off, 0), found + off)


def test_count_interval_of_perfect_counts_has_no_width():
    """Where every count was right, the interval is the count."""
    assert count_interval([3, 0, 7] * 5, [3, 0, 7] * 5).of(20) == (20, 20)


@pytest.mark.parametrize(
    ("coverage", "needed"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)]
)
def test_count_interval_says_how_many_images_it_needs(coverage, needed):
    """With one image too few the width is infinite, and `why` names the number; with all it is not."""
    counts = np.arange(needed)
    enough = count_interval(counts, counts, coverage=coverage)
    assert (enough.half_width, enough.why) == (0, "")
    few = count_interval(counts[1:], counts[1:], coverage=coverage)
    assert few.of(5) == (0, math.inf)
    assert f"{coverage:.0%} of images needs {needed} labelled" in few.why
    assert few.n == needed - 1


def test_count_interval_refuses_what_is_no_count():
    """Sides of two lengths, NaN, negative counts and a coverage of 1 are errors."""
    for wrong in ([1], [1, np.nan], [1, -1], [1, np.inf]):
        with pytest.raises(InputError, match="counts have shapes"):
            count_interval(wrong, [1, 2])
    for wrong in (1, None, "most"):
        with pytest.raises(InputError, match=f"coverage is {wrong!r}"):
            count_interval([1], [1], coverage=wrong)
    with pytest.raises(InputError, match="found is nan"):
        count_interval([1] * 9, [1] * 9).of(math.nan)


@pytest.mark.parametrize("n", [9, 20, 100])
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_count_interval_holds_on_fresh_counts(n, coverage):
    """Over 400 draws of n images, a fresh one lies inside as often as said, hardly oftener."""
    inside = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        true = rng.negative_binomial(2, 0.05, n + 50)
        found = rng.binomial(true, 0.9) + rng.poisson(3, n + 50)
        interval = count_interval(true[:n], found[:n], coverage=coverage)
        inside.append(covered(true[n:], found[n:], interval)[0].mean())
    assert coverage - 0.01 <= np.mean(inside) <= coverage + 0.1  # whole counts: a little wide


@pytest.fixture(scope="module")
def cell_counts():
    """Return true counts (120,), found counts (120, 9): cells, and peaks of their noisy blur."""
    rng, true, found = np.random.default_rng(5), [], []
    for seed in range(120):
        scene = draw_cells((48, 64), n=int(rng.integers(0, 20)), difficulty=0.7, seed=seed)
        noise = ndimage.gaussian_filter(rng.standard_normal((48, 64)), 1.5)
        heatmap = ndimage.gaussian_filter(scene.image / 255, 2) + 0.1 * noise
        peaks = find_candidates(heatmap)
        kept = partial(peaks.select, min_distance=3)
        true.append(len(scene.points))
        found.append([len(kept(threshold=t)[0]) for t in np.arange(1, 10) / 10])
    return np.array(true), np.array(found)


def test_count_interval_holds_on_fresh_images(cell_counts):
    """Threshold from 30 images, interval from 30 others: it holds on the 60 that are left.

    The draw is a permutation, so the 60 are as new as any; over 300 of them the share inside is
    0.9 or more. The interval is no wider than useful: far from "0 to 20, whatever is found".
    """
    true, found = cell_counts
    inside, width = [], []
    for seed in range(300):
        choose, learn, fresh = np.split(np.random.default_rng(seed).permutation(120), [30, 60])
        best = np.abs(found[choose] - true[choose, None]).mean(axis=0).argmin()
        interval = count_interval(true[learn], found[learn, best])
        hits, widths = covered(true[fresh], found[fresh, best], interval)
        inside.append(hits.mean())
        width.append(widths.mean())
    assert 0.9 - 0.01 <= np.mean(inside) <= 0.97
    assert np.mean(width) < 0.6 * np.ptp(true)


def test_count_interval_adapts_to_the_count(cell_counts):
    """Images with few points get a narrower interval than those with many."""
    true, found = cell_counts
    interval = count_interval(true, found[:, 2])
    widths = [np.subtract(*interval.of(n)[::-1]) for n in (0, 5, 20)]
    assert widths[0] < widths[1] < widths[2]


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
