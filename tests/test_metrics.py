"""Matching against brute force, other people's rules against published numbers, every figure."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointlib import matching as rules
from pointlib import metrics
from pointlib.errors import InputError
from pointlib.matching import match_classes, match_points, tp_curve
from pointlib.metrics import (
    ImageResult,
    average_precision,
    chamfer_distance,
    count_errors,
    f1_by_rule,
    game,
    metrics_table,
    precision_recall_curve,
    precision_recall_f1,
    score_images,
)

NONE = np.zeros((0, 2))
SHAPE = (40, 60)
# Few whole places and a radius among their distances: ties, twins and exact hits are common.
SIDES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=5)
RADII = st.sampled_from([0.0, 1.0, 2.0, 2.5])


def on_line(*x):
    """Return points (N, 2) at these x and y = 0."""
    return np.stack([np.array(x, dtype=float), np.zeros(len(x))], axis=1)


def cloud(n, *, seed, size=60.0):
    """Return n random points (n, 2)."""
    return np.random.default_rng(seed).uniform(0, size, (n, 2))


def image(true, found, *, true_labels=None, found_labels=None, scores=None, name="a.png"):
    """Return an ImageResult; one class and all scores 1 unless given."""
    true, found = np.reshape(true, (-1, 2)), np.reshape(found, (-1, 2))
    true_labels = ["point"] * len(true) if true_labels is None else true_labels
    found_labels = ["point"] * len(found) if found_labels is None else found_labels
    scores = np.ones(len(found)) if scores is None else scores
    return ImageResult(name, SHAPE, true, true_labels, found, found_labels, scores)


def brute_force(true, found, radius):
    """Return (number of pairs, least total distance) by trying every one-to-one assignment."""
    true, found = np.reshape(true, (-1, 2)), np.reshape(found, (-1, 2))
    distance = np.hypot(*(true[:, None] - found).transpose(2, 0, 1))
    if len(true) > len(found):
        distance = distance.T
    best = (0, 0.0)
    for columns in itertools.permutations(range(distance.shape[1]), distance.shape[0]):
        taken = distance[range(len(columns)), columns]
        taken = taken[taken <= radius]
        best = min(best, (-len(taken), taken.sum()))
    return -best[0], best[1]


def published(folder, letter):
    """Return [(true, found), ...] of ShanghaiTech A or B as FIDTM stores them."""

    def read(file, columns):
        rows = [np.array(line.split(), float) for line in file.read_text().splitlines() if line]
        return {int(row[0]): row[2:].reshape(-1, columns)[:, :2] for row in rows}

    true = read(folder / f"{letter}_gt.txt", 5)
    found = read(folder / f"{letter}_pred_fidt.txt", 2)
    return [(true[key], found[key]) for key in sorted(true.keys() & found.keys())]


# --- match_points -------------------------------------------------------------------------------


@given(SIDES, SIDES, RADII)
def test_match_points_is_the_brute_force_optimum(true, found, radius):
    """As many pairs as possible, then the least total distance, none beyond the radius."""
    match = match_points(true, found, radius=radius)
    n_pairs, total = brute_force(true, found, radius)
    assert len(match.pairs) == n_pairs
    assert match.distances.sum() == pytest.approx(total, abs=1e-9)
    assert (match.distances <= radius).all()


@given(SIDES, SIDES, RADII)
def test_match_points_uses_every_point_once(true, found, radius):
    """Pairs, missed and false positives share out both sides; pairs stand by rising true index."""
    match = match_points(true, found, radius=radius)
    assert sorted([*match.pairs[:, 0], *match.missed]) == list(range(len(true)))
    assert sorted([*match.pairs[:, 1], *match.false_positives]) == list(range(len(found)))
    assert (np.diff(match.pairs[:, 0]) > 0).all()
    assert len(match.pairs) == len(match.distances)


@given(SIDES, SIDES, RADII, st.data())
def test_match_classes_is_match_points_of_each_class(true, found, radius, data):
    """Never a pair across classes; within each, pairs, missed and false positives are those of it alone."""
    labels = [
        data.draw(st.lists(st.sampled_from("ab"), min_size=n, max_size=n))
        for n in map(len, (true, found))
    ]
    match = match_classes(true, labels[0], found, labels[1], radius=radius)
    sides, n_pairs = (np.reshape(true, (-1, 2)), np.reshape(found, (-1, 2))), 0
    for name in "ab":
        own = [np.flatnonzero(np.array(side, dtype=str) == name) for side in labels]
        alone = match_points(sides[0][own[0]], sides[1][own[1]], radius=radius)
        pairs = np.stack([own[0][alone.pairs[:, 0]], own[1][alone.pairs[:, 1]]], axis=1)
        here = np.isin(match.pairs[:, 0], own[0])
        assert match.pairs[here].tolist() == pairs.tolist()
        assert match.distances[here].tolist() == alone.distances.tolist()
        assert np.intersect1d(match.missed, own[0]).tolist() == own[0][alone.missed].tolist()
        assert (
            np.intersect1d(match.false_positives, own[1]).tolist()
            == own[1][alone.false_positives].tolist()
        )
        n_pairs += len(pairs)
    assert len(match.pairs) == n_pairs
    assert (np.diff(match.pairs[:, 0]) > 0).all()


@given(SIDES, SIDES, RADII, RADII, st.data())
def test_each_class_may_have_its_own_radius(true, found, one, other, data):
    """{class: radius} is `match_points` of each class at its radius; so are all its figures."""
    true, found = np.reshape(true, (-1, 2)).astype(float), np.reshape(found, (-1, 2)).astype(float)
    names = st.lists(st.sampled_from("ab"), min_size=5, max_size=5)
    labels = [np.array(data.draw(names)[: len(side)], str) for side in (true, found)]
    radius = {"a": one, "b": other}
    pairs = match_classes(true, labels[0], found, labels[1], radius=radius).pairs
    result = image(true, found, true_labels=labels[0], found_labels=labels[1])
    scores = score_images([result], radius=radius, classes=("a", "b"))
    for name, within in radius.items():
        part = result.of_class(name)
        alone = match_points(part.true, part.found, radius=within)
        assert (labels[0][pairs[:, 0]] == name).sum() == len(alone.pairs)
        assert scores["classes"][name]["tp"] == len(alone.pairs)
    assert scores["pooled"]["tp"] == len(pairs)
    of_points = np.array([radius[name] for name in labels[0].tolist()])
    blind = match_points(true, found, radius=of_points)
    assert scores["class_blind"]["tp"] == len(blind.pairs)
    assert (blind.distances <= of_points[blind.pairs[:, 0]]).all()
    assert sum(n for row in scores["confusion"].values() for n in row.values()) == len(blind.pairs)


def test_a_radius_of_each_class_is_named_wherever_f1_is():
    """Table and rule name both; a class without one is an error that says which."""
    result = image(
        [[1, 1], [9, 9]], [[1, 3], [9, 9]], true_labels=["a", "b"], found_labels=["a", "b"]
    )
    metrics_of = score_images([result], radius={"a": 2.5, "b": 1}, classes=("a", "b"))
    assert metrics_of["radius"] == {"a": 2.5, "b": 1}
    assert "within a 2.5, b 1 px;" in metrics_table(metrics_of)
    assert "at most a 2.5, b 1 px apart" in metrics_of["rule"]
    assert metrics_of["pooled"]["tp"] == 2
    with pytest.raises(InputError, match="radius names \\['a'\\], but not 'b'"):
        score_images([result], radius={"a": 2.5}, classes=("a", "b"))
    with pytest.raises(InputError, match="radius of a is -1"):
        score_images([result], radius={"a": -1, "b": 1}, classes=("a", "b"))


def test_match_classes_never_pairs_across_classes():
    """A found point of another class at the true place is a false positive, the true point is missed."""
    points = np.array([[5.0, 5], [9, 9]])
    match = match_classes(points, ["cat", "dog"], points[::-1], ["cat", "cat"], radius=2)
    assert (match.pairs.tolist(), match.missed.tolist(), match.false_positives.tolist()) == (
        [[0, 1]],
        [1],
        [0],
    )
    with pytest.raises(InputError, match="1 labels for 2 points; expected one each"):
        match_classes(points, ["cat"], points, ["cat", "dog"], radius=2)


@given(SIDES, SIDES, RADII)
def test_match_points_sparse_solver_agrees_with_dense(true, found, radius):
    """Blocks solved by the sparse solver have the same pairs and total as the full matrix."""
    dense = match_points(true, found, radius=radius)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "DENSE_CELLS", 0)
        sparse = match_points(true, found, radius=radius)
    assert len(sparse.pairs) == len(dense.pairs)
    assert sparse.distances.sum() == pytest.approx(dense.distances.sum(), abs=1e-9)


@pytest.mark.parametrize("radius", [3.0, 5.0, 8.0])
def test_match_points_solvers_agree_on_large_blocks(radius, monkeypatch):
    """On 600 points in blocks of hundreds, full matrices and the sparse solver agree too."""
    true, found = cloud(300, seed=1, size=90), cloud(320, seed=2, size=90)
    totals = []
    for cells in (0, 10**9):
        monkeypatch.setattr(rules, "DENSE_CELLS", cells)
        match = match_points(true, found, radius=radius)
        totals.append((len(match.pairs), match.distances.sum()))
    assert totals[0] == pytest.approx(totals[1], abs=1e-6)


def test_match_points_blocks_agree_with_one_full_matrix(monkeypatch):
    """Solving block by block gives what one assignment over all points gives."""
    true, found = cloud(200, seed=3), cloud(180, seed=4)
    by_block = match_points(true, found, radius=4)
    monkeypatch.setattr(
        rules, "_blocks", lambda _i, _j, n: (np.zeros(n[0], int), np.zeros(n[1], int))
    )
    at_once = match_points(true, found, radius=4)
    assert len(by_block.pairs) == len(at_once.pairs)
    assert by_block.distances.sum() == pytest.approx(at_once.distances.sum())


def test_match_points_moves_along_a_chain():
    """A found point takes its second choice where that makes one more pair possible."""
    match = match_points(on_line(0, 4), on_line(3, 6.9), radius=3)
    assert match.pairs.tolist() == [[0, 0], [1, 1]]


def test_match_points_far_pair_never_steals():
    """A pair beyond the radius counts for nothing, though it would lower the raw total."""
    match = match_points(on_line(0, 10), on_line(2.9, -20), radius=3)
    assert match.pairs.tolist() == [[0, 0]]
    assert match.missed.tolist() == [1]
    assert match.false_positives.tolist() == [1]


def test_match_points_five_on_one_is_one_pair():
    """Five found points on one true point are one pair and four false positives."""
    match = match_points(on_line(0), on_line(0, 0.1, 0.2, 0.3, 0.4), radius=3)
    assert match.pairs.tolist() == [[0, 0]]
    assert match.false_positives.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("radius", [0, 0.5])
def test_match_points_keeps_twins_apart(radius):
    """Two true points at one place need two found points, at radius 0 too."""
    twins = on_line(7, 7)
    assert len(match_points(twins, on_line(7), radius=radius).pairs) == 1
    assert match_points(twins, on_line(7, 7, 7), radius=radius).pairs.tolist() == [[0, 0], [1, 1]]


def test_match_points_at_exactly_the_radius_pairs():
    """A distance equal to the radius is near enough; a hair more is not."""
    assert len(match_points([[0, 0]], [[3, 4]], radius=5).pairs) == 1
    assert len(match_points([[0, 0]], [[3, 4]], radius=np.nextafter(5, 0)).pairs) == 0


@pytest.mark.parametrize(("n_true", "n_found"), [(0, 0), (3, 0), (0, 2)])
def test_match_points_empty_sides_have_empty_pairs(n_true, n_found):
    """Nothing matched keeps its shapes; the other side is all missed or all false positives."""
    match = match_points(cloud(n_true, seed=0), cloud(n_found, seed=1), radius=5)
    assert match.pairs.shape == (0, 2)
    assert match.distances.shape == (0,)
    assert (len(match.missed), len(match.false_positives)) == (n_true, n_found)


def test_match_points_does_not_depend_on_the_order():
    """On a grid full of ties, shuffled sides give the same pairs of places."""
    rng = np.random.default_rng(5)
    true, found = rng.integers(0, 12, (2, 60, 2))
    true, found = np.unique(true, axis=0), np.unique(found, axis=0)
    places = []
    for _ in range(4):
        true, found = rng.permutation(true), rng.permutation(found)
        i, j = match_points(true, found, radius=2).pairs.T
        places.append(sorted(np.hstack([true[i], found[j]]).tolist()))
    assert all(place == places[0] for place in places)


def test_match_points_lone_point_takes_the_first_of_equals():
    """Of found points equally near, the one with the smaller y, then x, is taken."""
    ring = [[6, 5], [5, 6], [4, 5], [5, 4]]
    assert match_points([[5, 5]], ring, radius=1).pairs.tolist() == [[0, 3]]
    assert match_points([[5, 5]], ring[:3], radius=1).pairs.tolist() == [[0, 2]]


def test_match_points_of_many_points_needs_no_full_matrix():
    """100,000 jittered points on a grid pair up; a full matrix would hold 80 GB."""
    y, x = np.mgrid[:250, :400]
    true = np.stack([x.ravel(), y.ravel()], axis=1) * 10.0
    found = true + np.random.default_rng(6).uniform(-2, 2, true.shape)
    match = match_points(true, found, radius=6)
    assert (match.pairs[:, 0] == match.pairs[:, 1]).all()
    assert len(match.pairs) == len(true)


# --- tp_curve -----------------------------------------------------------------------------------


@given(SIDES, SIDES, RADII)
def test_tp_curve_equals_matching_every_prefix(true, found, radius):
    """Entry k is the number of pairs with the first k + 1 found points."""
    curve = tp_curve(true, found, radius=radius)
    expected = [
        len(match_points(true, found[: k + 1], radius=radius).pairs) for k in range(len(found))
    ]
    assert curve.tolist() == expected


@pytest.mark.parametrize("radius", [2.0, 4.0, 7.0])
def test_tp_curve_equals_matching_prefixes_of_crowds(radius):
    """So it is where augmenting paths are long and searches fail."""
    true, found = cloud(120, seed=7), cloud(150, seed=8)
    curve = tp_curve(true, found, radius=radius)
    for k in range(0, 150, 7):
        assert curve[k] == len(match_points(true, found[: k + 1], radius=radius).pairs)


def test_tp_curve_never_falls():
    """More found points never mean fewer pairs; each adds one at most."""
    steps = np.diff(tp_curve(cloud(80, seed=9), cloud(90, seed=10), radius=5), prepend=0)
    assert set(steps.tolist()) == {0, 1}


def test_tp_curve_of_nothing_is_empty():
    """No found point, no entry; no true point, zeros."""
    assert tp_curve(on_line(1), NONE, radius=2).shape == (0,)
    assert tp_curve(NONE, on_line(1, 2), radius=2).tolist() == [0, 0]


# --- precision, recall, F1, curves --------------------------------------------------------------


def test_precision_recall_f1_of_counts():
    """3 right, 1 false positive and 3 missed: 3/4, 3/6, 6/10."""
    assert precision_recall_f1(3, 1, 3) == (0.75, 0.5, 0.6)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((0, 0, 0), (np.nan,) * 3), ((0, 2, 0), (0, np.nan, 0)), ((0, 0, 2), (np.nan, 0, 0))],
)
def test_precision_recall_f1_empty_sides(counts, expected):
    """Both sides empty is undefined, not 0; one side empty is an F1 of 0."""
    assert precision_recall_f1(*counts) == pytest.approx(expected, nan_ok=True)


def test_precision_recall_curve_reads_ties_at_their_end():
    """Tied scores are one threshold, whatever order the tied points come in."""
    scores = np.array([0.9, 0.5, 0.5, 0.5])
    for order in itertools.permutations(range(4)):
        result = image(
            on_line(0, 10), on_line(0, 10, 20, 30)[list(order)], scores=scores[list(order)]
        )
        thresholds, precision, recall = precision_recall_curve([result], radius=1)
        assert thresholds.tolist() == [0.9, 0.5]
        assert precision.tolist() == [1, 0.5]
        assert recall.tolist() == [0.5, 1]


def test_precision_recall_curve_equals_matching_at_every_threshold():
    """Pooled over images, each entry is what matching the points of that score or more gives."""
    rng = np.random.default_rng(11)
    results = [
        image(
            cloud(12, seed=s, size=35),
            cloud(15, seed=s + 50, size=35),
            scores=rng.integers(1, 8, 15) / 8,
        )
        for s in range(3)
    ]
    thresholds, precision, recall = precision_recall_curve(results, radius=5)
    for threshold, p, r in zip(thresholds, precision, recall, strict=True):
        kept = [(x.true, x.found[x.scores >= threshold]) for x in results]
        tp = sum(len(match_points(*sides, radius=5).pairs) for sides in kept)
        assert p == tp / sum(len(found) for _, found in kept)
        assert r == tp / 36


def test_precision_recall_curve_matches_classes_apart():
    """A found point of another class is no hit, though it stands on the spot."""
    result = image(on_line(5, 9), on_line(5, 9), true_labels=["a", "b"], found_labels=["a", "a"])
    _, precision, recall = precision_recall_curve([result], radius=1)
    assert (precision.tolist(), recall.tolist()) == ([0.5], [0.5])


def test_precision_recall_curve_of_nothing_is_empty():
    """Nothing found and no images are curves without entries; nothing true has no recall."""
    for results in ([], [image(on_line(1), NONE)]):
        assert [len(part) for part in precision_recall_curve(results, radius=1)] == [0, 0, 0]
    assert np.isnan(precision_recall_curve([image(NONE, on_line(1))], radius=1)[2]).all()


def test_average_precision_uses_the_best_precision_beyond():
    """A false positive, then two hits: precision 0, 1/2, 2/3; both recall steps of 1/2 have 2/3 beyond."""
    assert average_precision([0, 1 / 2, 2 / 3], [0, 1 / 2, 1]) == pytest.approx(2 / 3)
    assert average_precision([1, 1 / 2, 2 / 3], [1 / 2, 1 / 2, 1]) == pytest.approx(5 / 6)
    assert average_precision([1, 1], [0.5, 1]) == 1
    assert average_precision([], []) == 0


def test_average_precision_without_recall_is_nan():
    """Where nothing is true the area is undefined, not 0."""
    assert np.isnan(average_precision([0, 0], [np.nan, np.nan]))


# --- counts, places -----------------------------------------------------------------------------


def test_count_errors_of_three_images():
    """Errors 2, 0 and 4; the relative error leaves out the image where nothing is true."""
    assert count_errors([8, 0, 10], [10, 0, 6]) == pytest.approx(
        {"mae": 2, "rmse": (20 / 3) ** 0.5, "nae": (2 / 8 + 4 / 10) / 2}
    )


def test_count_errors_undefined_is_nan():
    """No images: all NaN. No true point anywhere: only the relative error is."""
    assert np.isnan(list(count_errors([], []).values())).all()
    errors = count_errors([0, 0], [1, 3])
    assert errors["mae"] == 2
    assert np.isnan(errors["nae"])


def test_game_asks_about_place_by_level():
    """Right count in the wrong half: level 0 sees nothing, level 1 both errors."""
    true, found = [[10, 10]], [[50, 10]]
    assert game(true, found, SHAPE, level=0) == 0
    assert game(true, found, SHAPE, level=1) == 2
    assert game(true, true, SHAPE, level=3) == 0


def test_game_level_0_is_the_count_error():
    """One cell holds every point; at any level, those on the edges are in the outer cells."""
    corners = [[-0.5, -0.5], [59.5, -0.5], [-0.5, 39.5], [59.5, 39.5]]
    assert game(corners, NONE, SHAPE, level=0) == 4
    assert game(corners, [[1, 1], [58, 1], [1, 38], [58, 38]], SHAPE, level=2) == 0
    assert game(corners, cloud(3, seed=0, size=39), SHAPE, level=0) == 1


def test_game_cells_meet_at_the_middle_of_the_image():
    """60 wide: the halves meet at x = 29.5, the edge between pixels 29 and 30."""
    assert game([[29.4, 5]], [[29.6, 5]], SHAPE, level=1) == 2
    assert game([[29.6, 5]], [[59.0, 5]], SHAPE, level=1) == 0
    assert game([[5, 19.4]], [[5, 19.6]], SHAPE, level=1) == 2


def test_game_never_falls_with_the_level():
    """Cells inside cells: a finer grid never hides an error."""
    true, found = cloud(30, seed=12, size=39), cloud(25, seed=13, size=39)
    errors = [game(true, found, SHAPE, level=level) for level in range(6)]
    assert errors == sorted(errors)


def test_chamfer_distance_adds_both_ways():
    """From a: 1 on average; from b: (1 + 1 + 9) / 3."""
    a, b = on_line(0, 10), on_line(1, 11, 19)
    assert chamfer_distance(a, b) == pytest.approx(1 + 11 / 3)
    assert chamfer_distance(b, a) == chamfer_distance(a, b)
    assert chamfer_distance(a, a) == 0


def test_chamfer_distance_of_empty_sides():
    """One side empty is infinitely far, two are undefined."""
    assert chamfer_distance(on_line(1), NONE) == chamfer_distance(NONE, on_line(1)) == np.inf
    assert np.isnan(chamfer_distance(NONE, NONE))


# --- other people's rules -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("true", "found", "expected"),
    [
        ([0, 4], [3, 6.9], (1.0, 0.5, 1.0, 1.0)),
        ([0, 100], [0, 0, 0, 0, 100], (4 / 7, 4 / 7, 4 / 7, 1.0)),
        ([0, 10], [2.9, -20], (0.5, 0.5, 0.0, 0.5)),
    ],
)
def test_f1_by_rule_on_toy_points(true, found, expected):
    """A chain, four on one beside an exact one, and a thief tell the four rules apart."""
    f1 = f1_by_rule([(on_line(*true), on_line(*found))], radius=3)
    assert list(f1) == ["maximum pairs", "greedy nearest", "nearest then cut", "not one-to-one"]
    assert tuple(f1.values()) == pytest.approx(expected)


@pytest.mark.parametrize(("n_true", "n_found", "f1"), [(0, 0, np.nan), (2, 0, 0), (0, 2, 0)])
def test_f1_by_rule_empty_sides(n_true, n_found, f1):
    """Every rule calls both sides empty undefined and one side empty 0."""
    sides = cloud(n_true, seed=0), cloud(n_found, seed=1)
    assert list(f1_by_rule([sides], radius=3).values()) == pytest.approx([f1] * 4, nan_ok=True)


@given(SIDES, SIDES, RADII)
def test_f1_by_rule_maximum_pairs_is_match_points(true, found, radius):
    """The first rule is ours, and no other one-to-one rule finds more pairs."""
    match = match_points(true, found, radius=radius)
    ours = precision_recall_f1(len(match.pairs), len(match.false_positives), len(match.missed))[2]
    f1 = f1_by_rule([(true, found)], radius=radius)
    assert f1["maximum pairs"] == pytest.approx(ours, nan_ok=True)
    assert not f1["greedy nearest"] > ours
    assert not f1["nearest then cut"] > ours


@pytest.mark.parametrize(
    ("letter", "radius", "f1"), [("A", 8, 0.776), ("A", 4, 0.586), ("B", 8, 0.835), ("B", 4, 0.647)]
)
def test_match_points_gives_published_f1(real, letter, radius, f1):
    """FIDTM's stored points on ShanghaiTech score what its authors published, pooled."""
    images = published(real / "published_points", letter)
    tp = sum(len(match_points(*sides, radius=radius).pairs) for sides in images)
    n_points = sum(len(true) + len(found) for true, found in images)
    assert 2 * tp / n_points == pytest.approx(f1, abs=1e-3)


def test_f1_by_rule_on_published_points(real):
    """The same points score 0.66 to 0.84 at 8 px, by rule."""
    f1 = f1_by_rule(published(real / "published_points", "A"), radius=8)
    assert list(f1.values()) == pytest.approx([0.776, 0.757, 0.662, 0.839], abs=5e-4)


def test_score_images_per_image_f1_of_published_points(real):
    """The mean of per-image F1 is 0.767 where the pooled one is 0.776."""
    results = [
        image(true, found, name=str(k))
        for k, (true, found) in enumerate(published(real / "published_points", "A"))
    ]
    scores = score_images(results, radius=8, classes=["point"])
    assert scores["per_image_mean_f1"] == pytest.approx(0.767, abs=5e-4)
    assert scores["pooled"]["f1"] == pytest.approx(0.776, abs=5e-4)


# --- score_images -------------------------------------------------------------------------------


def test_score_images_two_classes_pool_and_blind():
    """Swapped classes are errors when matched by class and hits when labels are ignored."""
    result = image(
        on_line(0, 10, 20), on_line(0, 10), true_labels=["a", "b", "b"], found_labels=["a", "a"]
    )
    scores = score_images([result], radius=2, classes=["a", "b"])
    counts = {
        name: [scores[name][key] for key in ("tp", "fp", "fn")]
        for name in ("pooled", "class_blind")
    }
    assert counts == {"pooled": [1, 1, 2], "class_blind": [2, 0, 1]}
    assert [scores["classes"]["a"][key] for key in ("tp", "fp", "fn")] == [1, 1, 0]
    assert [scores["classes"]["b"][key] for key in ("tp", "fp", "fn")] == [0, 0, 2]


def test_score_images_pooled_sums_the_classes():
    """Pooled counts are the sums over classes, and over the rows of the images."""
    labels = np.random.default_rng(14).choice(["a", "b"], (4, 20))
    results = [
        image(
            cloud(20, seed=s, size=39),
            cloud(20, seed=s + 9, size=39),
            true_labels=labels[s],
            found_labels=labels[-s],
        )
        for s in range(4)
    ]
    scores = score_images(results, radius=6, classes=["a", "b"])
    for key in ("tp", "fp", "fn"):
        assert scores["pooled"][key] == sum(scores["classes"][c][key] for c in "ab")
        assert scores["pooled"][key] == sum(row[key] for row in scores["images"])
    assert scores["class_blind"]["tp"] >= scores["pooled"]["tp"] > 0


def test_score_images_pooled_and_per_image_differ():
    """1 of 1 and 1 of 3 found: pooled F1 is 2/3, the mean over images 3/4; empty ones count not."""
    results = [
        image(on_line(0), on_line(0)),
        image(on_line(0, 9, 18), on_line(0)),
        image(NONE, NONE),
    ]
    scores = score_images(results, radius=1, classes=["point"])
    assert scores["pooled"]["f1"] == pytest.approx(2 / 3)
    assert scores["per_image_mean_f1"] == pytest.approx(3 / 4)
    assert (scores["n_images"], scores["n_f1_images"]) == (3, 2)


def test_score_images_empty_images_are_undefined():
    """A set with nothing true and nothing found has no precision, recall, F1, area or error."""
    pooled = score_images([image(NONE, NONE)], radius=3, classes=["point"])["pooled"]
    assert [pooled[key] for key in ("tp", "fp", "fn")] == [0, 0, 0]
    assert np.isnan(
        [pooled[k] for k in ("precision", "recall", "f1", "average_precision", "error_px")]
    ).all()


def test_score_images_without_images():
    """No images are no error: zero counts, undefined figures."""
    scores = score_images([], radius=3, classes=["a", "b"])
    assert (scores["n_images"], scores["n_f1_images"], scores["images"]) == (0, 0, [])
    assert np.isnan([scores["pooled"]["f1"], scores["counts"]["mae"], scores["chamfer_px"]]).all()


def test_score_images_error_is_the_mean_distance_of_pairs():
    """1 px and 2 px off: 1.5 px; the false positive far away does not count."""
    scores = score_images([image(on_line(0, 10), on_line(1, 12, 40))], radius=3, classes=["point"])
    assert scores["pooled"]["error_px"] == pytest.approx(1.5)
    row = scores["images"][0]
    assert (row["name"], row["true"], row["found"], row["error_px"]) == ("a.png", 2, 3, 1.5)


def test_score_images_counts_and_rule_are_named():
    """Counts stand beside F1; the rule is a sentence with the radius in it."""
    scores = score_images(
        [image(on_line(5, 10), on_line(50, 55, 58))], radius=2.5, classes=["point"]
    )
    assert scores["counts"] == {"mae": 1, "rmse": 1, "nae": 0.5, "game1": 5, "game2": 5}
    assert scores["radius"] == 2.5
    assert "2.5 px" in scores["rule"]
    assert "one-to-one" in scores["rule"]


def test_score_images_area_uses_the_scores():
    """A false positive that scores lowest costs no area; one that scores highest costs half."""
    true, found = on_line(0, 10), on_line(0, 10, 20)
    for scores, area in (([0.9, 0.8, 0.1], 1.0), ([0.8, 0.8, 0.9], 2 / 3)):
        figures = score_images([image(true, found, scores=scores)], radius=1, classes=["point"])
        assert figures["pooled"]["average_precision"] == pytest.approx(area)


def test_score_images_does_not_depend_on_the_order_of_points():
    """Shuffled true and found points score the same."""
    rng, result = (
        np.random.default_rng(15),
        image(cloud(30, seed=16, size=39), cloud(30, seed=17, size=39)),
    )
    shuffled = result._replace(
        true=rng.permutation(result.true), found=rng.permutation(result.found)
    )
    a, b = (score_images([r], radius=5, classes=["point"])["pooled"] for r in (result, shuffled))
    assert a == pytest.approx(b)


def test_metrics_table_has_a_line_a_class():
    """Two classes give two lines, their sum and that of any class, with the rule's radius."""
    result = image(
        line := on_line(0, 10), line, true_labels=["weed", "crop"], found_labels=["weed", "crop"]
    )
    lines = metrics_table(score_images([result], radius=2.5, classes=["crop", "weed"])).splitlines()
    assert [row.split()[0] for row in lines] == ["class", "crop", "weed", "all", "any", "2", "1"]
    assert lines[3].split() == ["all", "2", "2", "2", "1.000", "1.000", "1.000", "0.00"]
    assert lines[5] == "2 of 2 objects found have the right class"
    assert "within 2.5 px" in lines[-1]


def test_confusion_counts_which_class_was_found_for_which():
    """Pairs are matched without regard to labels; what is missed or false is in no cell."""
    result = image(
        on_line(0, 10, 20, 40),
        on_line(0, 10, 20, 80),
        true_labels=["crop", "crop", "weed", "weed"],
        found_labels=["crop", "weed", "weed", "crop"],
    )
    metrics = score_images([result], radius=2.5, classes=["crop", "weed"])
    assert metrics["confusion"] == {"crop": {"crop": 1, "weed": 1}, "weed": {"crop": 0, "weed": 1}}
    words = "2 of 3 objects found have the right class; most often mixed up: 1 crop called weed"
    assert words in metrics_table(metrics)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [-1, np.nan, np.inf, "8", None])
def test_match_points_refuses_a_bad_radius(radius):
    """The radius is a number of 0 or more; the error says what came."""
    with pytest.raises(InputError, match=r"radius is .*; expected a number of pixels, 0 or more"):
        match_points(on_line(1), on_line(1), radius=radius)
    with pytest.raises(InputError, match="2 radii for 1 true points; expected one each"):
        match_points(on_line(1), on_line(1), radius=[3, 4])


@pytest.mark.parametrize(
    ("true", "found", "message"),
    [
        ([[1, np.nan]], NONE, r"true\[0\]"),
        (NONE, [[1, 2, 3]], "found"),
        ([1, 2], NONE, "true"),
    ],
)
@pytest.mark.parametrize("function", [match_points, tp_curve])
def test_matching_refuses_bad_points(function, true, found, message):
    """NaN and wrong shapes are named by side."""
    with pytest.raises(InputError, match=message):
        function(true, found, radius=3)


def test_match_points_refuses_a_radius_that_floods(monkeypatch):
    """So many near pairs that memory would run out are counted first, and refused."""
    monkeypatch.setattr(rules, "MAX_NEAR_PAIRS", 99)
    with pytest.raises(InputError, match=r"radius 90 brings 100 pairs .* Use a smaller radius"):
        match_points(cloud(10, seed=0), cloud(10, seed=1), radius=90)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [1.0]}, r"a.png: scores has shape \(1,\) for 2 found points"),
        ({"scores": [1.0, np.nan]}, r"a.png: scores\[1\] is NaN"),
        ({"true_labels": ["point"]}, "a.png: 1 labels for 2 points"),
        ({"found_labels": ["point", "pint"]}, r"a.png: label 'pint' is not one of the classes"),
        ({"true": [[np.nan, 1], [2, 2]]}, r"a.png: true\[0\]"),
        ({"found": [1, 2]}, "a.png: found"),
    ],
)
def test_score_images_names_the_image_at_fault(change, message):
    """Lengths that disagree, NaN and unknown classes: an error with the image's name."""
    result = image(on_line(1, 2), on_line(1, 2))._replace(**change)
    with pytest.raises(InputError, match=message):
        score_images([result], radius=3, classes=["point"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: precision_recall_f1(-1, 0, 0), "expected counts of 0 or more"),
        (lambda: average_precision([1, 0.5], [1]), r"precision has shape \(2,\), recall \(1,\)"),
        (lambda: count_errors([1, 2], [1]), "one finite number per image"),
        (lambda: count_errors([1], [np.nan]), "one finite number per image"),
        (lambda: game(NONE, NONE, SHAPE, level=-1), "level is -1"),
        (lambda: game(NONE, NONE, SHAPE, level=1.5), "level is 1.5"),
        (lambda: game(NONE, NONE, (40, 60, 3), level=1), "shape"),
        (lambda: chamfer_distance([[np.inf, 1]], NONE), r"a\[0\]"),
        (lambda: f1_by_rule([(NONE, NONE)], radius=-2), "radius is -2"),
        (lambda: score_images([], radius=-2, classes=[]), "radius is -2"),
    ],
)
def test_metrics_refuse_bad_input(call, message):
    """Each says what came and what is needed."""
    with pytest.raises(InputError, match=message):
        call()


def test_metrics_exports_what_rules_names():
    """The rules shown by `f1_by_rule` are the ones that rules.py lists."""
    assert list(metrics.f1_by_rule([], radius=1)) == list(rules.RULES)
