"""Counts: intervals that hold as often as they say, and corrections, on fresh images."""

import math
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from pointlib.counts import CountRule, count_interval, describe_rules, learn_count_rule
from pointlib.errors import InputError
from pointlib.synthetic import draw_cells
from pointlib.thresholds import find_candidates

SHAPE = (300, 300)


def covered(true, found, interval):
    """Return which true counts lie inside, and how wide the intervals are."""
    low, high = np.transpose([interval.of(count) for count in found.tolist()])
    return (low <= true) & (true <= high), high - low


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


# --- corrected counts ---------------------------------------------------------------------------


def overlapping(n_images, *, side=300, most=160, seed=0):
    """Return true and found counts: scattered points, of which one near another is not found."""
    rng, counts = np.random.default_rng(seed), []
    for n in rng.integers(5, most, n_images):
        points, kept = rng.uniform(0, side, (n, 2)), []
        for point in points:
            if all(np.hypot(*(point - other)) > 8.5 for other in kept):
                kept.append(point)
        counts.append((n, len(kept)))
    return np.transpose(counts)


@pytest.fixture(scope="module")
def crowded():
    """Return true and found counts of 600 scenes in which nine objects of ten are found."""
    true, found = overlapping(600)
    assert 0.88 < found.sum() / true.sum() < 0.92
    return true, found


def corrected(rule, found, shape=SHAPE):
    """Return the corrected counts and the ends of their intervals, arrays."""
    ends = np.transpose([rule.interval(n, shape) for n in found.tolist()])
    return np.array([rule.correct(n, shape) for n in found.tolist()]), *ends


@pytest.mark.parametrize("n", [20, 40])
def test_a_rule_takes_two_thirds_off_the_count_error(crowded, n):
    """Where overlaps hide one object in ten, the mean error on fresh scenes falls to a third."""
    errors = []
    for seed in range(50):
        true, found = np.take(crowded, np.random.default_rng(seed).permutation(600)[: n + 100], 1)
        rule = learn_count_rule(true[:n], found[:n], [SHAPE] * n)
        better = corrected(rule, found[n:])[0]
        errors.append([abs(found[n:] - true[n:]).mean(), abs(better - true[n:]).mean()])
    before, after = np.mean(errors, axis=0)
    assert after < before / 2.5 if n == 20 else after < before / 3


@pytest.mark.parametrize("n", [10, 20, 60])
def test_intervals_of_corrected_counts_hold(crowded, n):
    """Nine fresh scenes of ten lie inside, whatever rule was chosen, and hardly more."""
    inside = []
    for seed in range(300):
        true, found = np.take(crowded, np.random.default_rng(seed).permutation(600)[: n + 100], 1)
        rule = learn_count_rule(true[:n], found[:n], [SHAPE] * n)
        _, low, high = corrected(rule, found[n:])
        inside.append(((low <= true[n:]) & (true[n:] <= high)).mean())
    assert 0.88 <= np.mean(inside) <= 0.97


def test_counts_that_are_right_are_left_alone():
    """Where as much is missed as is falsely found, no correction is chosen, nine times in ten."""
    kinds = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        true = rng.poisson(30, 20)
        found = rng.binomial(true, 0.95) + rng.poisson(1.5, 20)
        kinds.append(learn_count_rule(true, found, [SHAPE] * 20).kind)
    assert kinds.count("none") >= 80


def test_a_rule_holds_in_images_of_another_size(crowded):
    """Overlap is a matter of density: what small scenes teach corrects one of nine times the area."""
    true, found = crowded
    rule = learn_count_rule(true[:100], found[:100], [SHAPE] * 100)
    assert rule.kind == "curve"
    (large,), (seen,) = overlapping(1, side=900, most=1200, seed=8)
    assert abs(rule.correct(seen, (900, 900)) - large) < 0.35 * (large - seen)


def test_more_found_is_never_fewer_corrected(crowded):
    """The corrected count rises with the count, beyond the densest image too; 0 stays 0."""
    rule = learn_count_rule(*crowded, [SHAPE] * 600)
    values = [rule.correct(n, SHAPE) for n in range(300)]
    assert values[0] == 0
    assert min(np.diff(values)) > 0
    beyond = 2 * math.ceil(rule.densest * 0.09)
    assert rule.correct(2 * beyond, SHAPE) == pytest.approx(2 * rule.correct(beyond, SHAPE))


def test_few_images_give_no_rule():
    """Nine images are too few, ten are enough; the words say how many it takes."""
    assert learn_count_rule(range(9), range(9), [SHAPE] * 9) is None
    rule = learn_count_rule(range(10), range(10), [SHAPE] * 10)
    assert (rule.kind, rule.half_width) == ("none", 0)
    assert "it takes 10 validation images" in describe_rules({})


def test_rules_of_odd_counts():
    """Nothing found anywhere, and one lone image with points, are no division by 0."""
    rule = learn_count_rule([3] * 10, [0] * 10, [SHAPE] * 10)
    assert rule.correct(0, SHAPE) == 0
    assert rule.interval(0, SHAPE) == (0, 3)
    rule = learn_count_rule([8] + [0] * 11, [4] + [0] * 11, [SHAPE] * 12)
    assert np.isfinite(rule.correct(4, SHAPE))


def test_rules_are_described():
    """The words name class, factor and number of images."""
    rule = CountRule(kind="ratio", half_width=0.5, n_images=24, ratio=1.1)
    assert describe_rules({"cell": rule}) == (
        "corrected counts, from 24 validation images: cell times 1.10"
    )
    dense = CountRule("curve", 0.5, 24, ratio=1.0, bend=0.001, densest=300.0)
    assert "bee times 1.00 to 1.30, more where they are dense" in describe_rules({"bee": dense})
    assert describe_rules({"bee": CountRule("none", 0.5, 24)}).endswith("bee as found")
