"""Every error has exactly one kind, by its definition; mending a kind gives the F1 promised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointlib.errors import InputError
from pointlib.matching import match_points
from pointlib.metrics import ImageResult, score_images
from pointlib.study.errors import FARTHEST, KINDS, anatomy_table, error_anatomy

SHAPE = (40, 60)
MIDDLE = (30, 20)
CLASSES = ["crop", "weed"]
# Few whole places, two classes, radii among their distances: ties, twins and exact hits.
SIDES = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 4), st.sampled_from(CLASSES)), max_size=8
)
RADII = st.sampled_from([0.0, 1.0, 2.0, 2.5])


def image(true, found, *, shape=SHAPE, name="a.png"):
    """Return an ImageResult of rows (x, y) or (x, y, class)."""

    def side(rows):
        labels = np.array([row[2] if len(row) > 2 else "crop" for row in rows], dtype=str)
        return np.array([row[:2] for row in rows], dtype=float).reshape(-1, 2), labels

    (true, true_labels), (found, found_labels) = side(true), side(found)
    return ImageResult(name, shape, true, true_labels, found, found_labels, np.ones(len(found)))


def crowd(seed, n=60):
    """Return an ImageResult of random points of two classes, crowded: every kind occurs."""
    rng = np.random.default_rng(seed)
    sides = [rng.uniform(-0.5, [59.5, 39.5], (n, 2)) for _ in range(2)]
    labels = [rng.choice(CLASSES, n) for _ in sides]
    return ImageResult("a.png", SHAPE, sides[0], labels[0], sides[1], labels[1], np.ones(n))


def errors(result, radius):
    """Return the sorted indices of misses and false positives, class by class, as metrics has them."""
    missed, false_positives = [], []
    for name in CLASSES:
        t = np.flatnonzero(np.asarray(result.true_labels) == name)
        f = np.flatnonzero(np.asarray(result.found_labels) == name)
        match = match_points(result.true[t], result.found[f], radius=radius)
        missed += t[match.missed].tolist()
        false_positives += f[match.false_positives].tolist()
    return sorted(missed), sorted(false_positives)


def mend(result, flaws):
    """Return the image with these flaws mended: points added, removed, moved, renamed."""
    found, labels = result.found.copy(), result.found_labels.astype("U9")
    for flaw in flaws:
        if flaw.is_miss and flaw.is_false_positive:
            labels[flaw.found] = result.true_labels[flaw.true]
            if flaw.kind == "displaced":
                found[flaw.found] = result.true[flaw.true]
    gone = [flaw.found for flaw in flaws if flaw.is_false_positive and not flaw.is_miss]
    new = [flaw.true for flaw in flaws if flaw.is_miss and not flaw.is_false_positive]
    found = np.concatenate([np.delete(found, gone, axis=0), result.true[new]])
    labels = np.concatenate([np.delete(labels, gone), result.true_labels[new]])
    return result._replace(found=found, found_labels=labels, scores=np.ones(len(found)))


# --- error_anatomy ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "true", "found"),
    [
        ("missed", [MIDDLE], []),
        ("false positive", [], [MIDDLE]),
        ("doubled", [MIDDLE], [(30, 20), (32, 20)]),
        ("merged", [(29, 20), (31.5, 20)], [MIDDLE]),
        ("displaced", [MIDDLE], [(36, 20)]),
        ("displaced", [MIDDLE], [(39, 20)]),
        ("wrong class", [(30, 20, "crop")], [(31, 20, "weed")]),
        ("border", [(30, 2.5)], []),
        ("missed", [(30, 2.75)], []),
        ("border", [], [(57, 20)]),
    ],
)
def test_error_anatomy_names_each_kind(kind, true, found):
    """One plain example of each kind, radius 3, is one flaw of that kind."""
    (flaw,) = error_anatomy(image(true, found), radius=3)
    assert flaw.kind == kind


@settings(deadline=None)
@given(SIDES, SIDES, RADII)
def test_error_anatomy_takes_each_error_once(true, found, radius):
    """The flaws' misses and false positives are those of match_points, class by class, each once."""
    result = image(true, found)
    flaws = error_anatomy(result, radius=radius)
    missed = sorted(flaw.true for flaw in flaws if flaw.is_miss)
    false_positives = sorted(flaw.found for flaw in flaws if flaw.is_false_positive)
    assert (missed, false_positives) == errors(result, radius)
    assert {flaw.kind for flaw in flaws} <= set(KINDS)


@settings(deadline=None)
@given(SIDES, SIDES, RADII)
def test_error_anatomy_keeps_to_its_definitions(true, found, radius):
    """Classes and distances of each flaw's points are those that its kind allows."""
    result = image(true, found)
    missed, false_positives = errors(result, radius)
    for kind, _, _, _, t, f, distance, _ in error_anatomy(result, radius=radius):
        if min(t, f) < 0:
            assert np.isnan(distance)
            continue
        assert distance == pytest.approx(np.linalg.norm(result.true[t] - result.found[f]))
        assert (result.true_labels[t] != result.found_labels[f]) == (kind == "wrong class")
        low, high = (radius, FARTHEST * radius) if kind == "displaced" else (-1, radius)
        assert low < distance <= high
        assert (t in missed, f in false_positives) == (kind != "doubled", kind != "merged")


@pytest.mark.parametrize("seed", range(5))
def test_error_anatomy_leaves_nothing_that_an_earlier_kind_explains(seed):
    """Of what is left alone, nothing is near the other class, a hit, 3 radii or the edge."""
    result, radius = crowd(seed, n=25), 2.0
    flaws = error_anatomy(result, radius=radius)
    for flaw in flaws:
        if flaw.kind in ("missed", "false positive"):
            side = ("found", "true")[flaw.kind == "false positive"]
            gaps = np.linalg.norm(getattr(result, side) - [flaw.x, flaw.y], axis=1)
            same = getattr(result, f"{side}_labels") == flaw.label
            alone = [
                getattr(f, side) for f in flaws if f.kind in ("missed", "false positive", "border")
            ]
            alone = np.isin(np.arange(len(gaps)), alone)
            assert (gaps[same | alone] > radius).all()
            assert (gaps[same & alone] > FARTHEST * radius).all()
            assert radius - 0.5 < flaw.x < 59.5 - radius
            assert radius - 0.5 < flaw.y < 39.5 - radius


def test_error_anatomy_asks_the_kinds_in_order():
    """A double of another class is of the wrong class; a displaced point may be at the edge."""
    true = [(30, 20, "crop"), (32, 20, "weed"), (2, 20)]
    found = [(30, 20, "crop"), (31, 20, "crop"), (2, 26)]
    flaws = error_anatomy(image(true, found), radius=3)
    assert [(flaw.kind, flaw.true, flaw.found) for flaw in flaws] == [
        ("wrong class", 1, 1),
        ("displaced", 2, 2),
    ]


def test_error_anatomy_stands_at_the_miss_or_else_at_the_false_positive():
    """Place, class and image of a flaw are those of the point that is wrong."""
    true, found = [(30, 20), (10, 10, "weed")], [(30, 20), (31, 20), (12, 10, "crop")]
    swapped, doubled = error_anatomy(image(true, found, name="b.png"), radius=3)
    assert swapped == ("wrong class", 10, 10, "weed", 1, 2, 2, "b.png")
    assert doubled == ("doubled", 31, 20, "crop", 0, 1, 1, "b.png")


def test_error_anatomy_names_the_nearest_hit():
    """A double belongs to the nearest of the true points within the radius."""
    result = image([(28, 20), (31, 20)], [(28, 20), (31, 20), (30, 20)])
    (flaw,) = error_anatomy(result, radius=3)
    assert (flaw.kind, flaw.true, flaw.found, flaw.distance) == ("doubled", 1, 2, 1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("turn", ["flip", "transpose"])
def test_error_anatomy_does_not_see_flips(seed, turn):
    """A mirrored or a transposed image has the same flaws between the same points."""
    result = crowd(seed)

    def turned(points):
        return points[:, ::-1] if turn == "transpose" else points * [-1, 1] + [SHAPE[1] - 1, 0]

    other = result._replace(true=turned(result.true), found=turned(result.found))
    other = other._replace(shape=SHAPE[::-1] if turn == "transpose" else SHAPE)
    flaws = [error_anatomy(r, radius=3) for r in (result, other)]
    names = [sorted((f.kind, f.true, f.found, f.label) for f in some) for some in flaws]
    assert names[0] == names[1]
    assert {flaw.kind for flaw in flaws[0]} >= {"doubled", "merged", "wrong class", "displaced"}


def test_error_anatomy_of_empty_sides():
    """Nothing true and nothing found has no flaw; a perfect image has none either."""
    assert error_anatomy(image([], []), radius=3) == []
    assert error_anatomy(image([MIDDLE, MIDDLE], [MIDDLE, MIDDLE]), radius=0) == []


def test_error_anatomy_takes_points_beyond_the_edge():
    """A found point outside the image is at the border."""
    (flaw,) = error_anatomy(image([], [(-3, 20)]), radius=1)
    assert (flaw.kind, flaw.x, flaw.true) == ("border", -3, -1)


def test_error_anatomy_refuses_labels_of_another_number():
    """Two labels for one point are an error that names the image."""
    wrong = image([MIDDLE], [])._replace(true_labels=["crop", "weed"])
    with pytest.raises(InputError, match=r"a.png: 2 labels for 1 points"):
        error_anatomy(wrong, radius=3)
    with pytest.raises(InputError, match=r"radius is -1"):
        error_anatomy(image([], []), radius=-1)


# --- anatomy_table ------------------------------------------------------------------------------


def table_of(results, radius):
    """Return the flaws of each image and their table."""
    flaws = [error_anatomy(result, radius=radius) for result in results]
    return flaws, anatomy_table(flaws, results)


def pooled(results, radius):
    """Return the pooled figures of a new match."""
    return score_images(results, radius=radius, classes=CLASSES)["pooled"]


@pytest.mark.parametrize("radius", [1.5, 4.0, {"crop": 1.5, "weed": 4.0}])
def test_anatomy_table_promises_what_mending_gives(radius):
    """For each kind alone: the points mended and matched anew have F1 now + its gain."""
    results = [crowd(seed, n) for seed, n in enumerate((10, 60, 150))]
    flaws, table = table_of(results, radius)
    for kind, row in table["kinds"].items():
        some = [[flaw for flaw in of_image if flaw.kind == kind] for of_image in flaws]
        mended = [mend(*pair) for pair in zip(results, some, strict=True)]
        assert pooled(mended, radius)["f1"] == pytest.approx(table["f1"] + row["f1_gain"])
        assert row["n"] == sum(map(len, some)) > 0


@settings(deadline=None, max_examples=50)  # each one is matched eight times
@given(SIDES, SIDES, RADII)
def test_anatomy_table_holds_on_ties_and_twins(true, found, radius):
    """On whole places with twins too, mending each kind gives the F1 promised."""
    result = image(true, found)
    (flaws,), table = table_of([result], radius)
    for kind, row in table["kinds"].items():
        mended = mend(result, [flaw for flaw in flaws if flaw.kind == kind])
        now = pooled([mended], radius)["f1"]
        assert now == pytest.approx(table["f1"] + row["f1_gain"], nan_ok=True)


def test_anatomy_table_mending_all_is_perfect():
    """With every flaw mended, F1 is 1."""
    result = crowd(7)
    assert pooled([mend(result, error_anatomy(result, radius=3))], 3)["f1"] == 1


def test_anatomy_table_adds_up():
    """F1 now is the pooled F1; the kinds' numbers are FP + FN, where two make one flaw, once."""
    results = [crowd(seed) for seed in range(4)]
    _, table = table_of(results, 3)
    figures, kinds = pooled(results, 3), table["kinds"]
    both = kinds["displaced"]["n"] + kinds["wrong class"]["n"]
    assert table["f1"] == figures["f1"]
    assert sum(row["n"] for row in kinds.values()) == figures["fp"] + figures["fn"] - both
    assert tuple(kinds) == KINDS
    assert all(row["f1_gain"] > 0 for row in kinds.values())


def test_anatomy_table_is_nan_where_f1_is():
    """Nothing true: mending the false positives leaves 0/0, so that gain is NaN; without images all are."""
    table = table_of([image([], [MIDDLE])], 3)[1]
    assert table["f1"] == table["kinds"]["missed"]["f1_gain"] == 0
    assert np.isnan(table["kinds"]["false positive"]["f1_gain"])
    table = anatomy_table([], [])
    assert np.isnan([table["f1"], *(row["f1_gain"] for row in table["kinds"].values())]).all()


def test_anatomy_table_refuses_lists_of_two_lengths():
    """Flaws of one image with two results are an error."""
    with pytest.raises(InputError, match=r"flaws of 1 images came with 2 results"):
        anatomy_table([[]], [image([], [])] * 2)
