"""Every threshold at once against each one from scratch, and what is the best of them."""

import json

import numpy as np
import pytest
import sweep_cases
from sweep_cases import from_scratch, line, ranked, scene

from pointlib.errors import InputError
from pointlib.matching import match_points
from pointlib.sweep import (
    TRIED,
    Settings,
    Sweep,
    best_threshold,
    choose_by_calling,
    choose_for_classes,
    choose_settings,
    default_settings,
    distances_to_try,
    find_at_each,
    plateau,
    sweep,
    sweep_together,
)
from pointlib.thresholds import (
    FLOOR,
    ONE_PASS,
    THRESHOLDS,
    Candidates,
    basic_threshold,
    connected_components,
    find_peaks,
)

NONE = np.zeros((0, 2))
NOTHING = ranked(NONE, [])
SEEDS = range(8)


def scenes(seed, *, decimals=2):
    """Return (true, Candidates) of three images of different counts, and one without points."""
    sizes = [{"n": 20}, {"n": 3, "n_false": 9}, {"n": 9}]
    images = [scene(100 * seed + k, decimals=decimals, **size) for k, size in enumerate(sizes)]
    return [*images, (NONE, NOTHING)]


def entry(counts, threshold):
    """Return n_found, tp and count error of a sweep at any threshold."""
    k = np.count_nonzero(counts.thresholds >= threshold) - 1
    return {"n_found": counts.n_found[k], "tp": counts.tp[k], "count_error": counts.count_error[k]}


# --- sweep --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("min_distance", [0.0, 2.0])
def test_sweep_equals_each_threshold_from_scratch(seed, min_distance):
    """Found, hits and count error are those of select and match_points, to the last bit."""
    images, radius = scenes(seed), 1.0 + seed / 2
    counts = sweep(images, radius=radius, min_distance=min_distance)
    between = (counts.thresholds[1:] + counts.thresholds[:-1]) / 2
    for threshold in [*counts.thresholds, *between, 0.0]:
        assert entry(counts, threshold) == from_scratch(images, radius, threshold, min_distance)


@pytest.mark.parametrize("case", json.loads(sweep_cases.FILE.read_text()), ids=lambda c: c["name"])
def test_sweep_equals_the_shared_cases(case):
    """The numbers that the browser is held to are those of the sweep."""
    images = [
        (np.reshape(i["true"], (-1, 2)), ranked([r[:2] for r in rows], [r[2] for r in rows]))
        for i in case["images"]
        for rows in [i["candidates"]]
    ]
    counts = sweep(images, radius=case["radius"], min_distance=case["min_distance"])
    for threshold, expected in zip(case["at"], case["expected"], strict=True):
        if (counts.thresholds >= threshold).any():
            assert entry(counts, threshold) == expected
        else:
            assert (expected["n_found"], expected["tp"]) == (0, 0)


def test_shared_cases_are_up_to_date():
    """What stands in tests/js/sweeps.json is what its writer writes, and it is small."""
    for file, text in (
        (sweep_cases.FILE, sweep_cases.text()),
        (sweep_cases.CLASSES, sweep_cases.classes_text()),
    ):
        assert file.read_text(encoding="utf-8") == text
        assert len(text) < 150_000


@pytest.mark.parametrize("case", list(sweep_cases.class_cases()), ids=lambda case: case[0])
def test_sweep_together_is_counting_each_class_at_one_threshold(case):
    """At every threshold found, hits and count error are from scratch; more as it falls."""
    _, by_class, radius, distances = case
    counts = sweep_together(by_class, radius=radius, min_distances=distances)
    for threshold in counts.thresholds.tolist():
        expected = sweep_cases.classes_from_scratch(by_class, radius, threshold, distances)
        assert entry(counts, threshold) == expected
    assert (np.diff(counts.n_found) > 0).all()
    if len(by_class) == 1:
        (name,) = by_class
        alone = sweep(by_class[name], radius=radius[name], min_distance=distances[name])
        assert (counts.n_found == alone.n_found).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_sweep_is_monotone(seed):
    """More is found and hit as the threshold falls; less is found as the distance rises."""
    images, before = scenes(seed), None
    for min_distance in (0.0, 1.0, 2.5, 6.0):
        counts = sweep(images, radius=3.0, min_distance=min_distance)
        assert (np.diff(counts.thresholds) < 0).all()
        assert (np.diff(counts.n_found) > 0).all()
        assert (np.diff(counts.tp) >= 0).all()
        total = counts.n_found[-1]
        assert before is None or total <= before
        before = total


@pytest.mark.parametrize("seed", SEEDS)
def test_sweep_does_not_see_flips_and_order(seed):
    """Mirrored and transposed images, and images in another order, give the same counts."""
    images = scenes(seed, decimals=8)

    def turned(points):
        return points[:, ::-1] * [-1, 1]

    other = [(turned(true), found._replace(points=turned(found.points))) for true, found in images]
    one, two = (sweep(i, radius=3.0, min_distance=1.0) for i in (images, other[::-1]))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_sweep_rates_are_those_of_the_counts():
    """Precision, recall and F1 by hand: a hit, a false positive, a hit, of three true points."""
    found = Candidates(line(0, 50, 10), np.array([0.9, 0.8, 0.7]), np.full(3, np.inf))
    counts = sweep([(line(0, 10, 20), found)], radius=1)
    assert counts.precision == pytest.approx([1, 1 / 2, 2 / 3])
    assert counts.recall == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert counts.f1 == pytest.approx([1 / 2, 2 / 5, 2 / 3])
    assert counts.count_error.tolist() == [2, 1, 0]


def test_sweep_of_nothing_is_empty():
    """No image or no candidate: no entries; nothing true: recall is not defined."""
    for images in ([], [(line(3), NOTHING)], [(NONE, NOTHING)]):
        counts = sweep(images, radius=1)
        assert counts.thresholds.shape == counts.f1.shape == counts.count_error.shape == (0,)
        assert counts.n_images == len(images)
    untrue = sweep([(NONE, ranked(line(1, 9), [0.5, 0.4]))], radius=1)
    assert np.isnan(untrue.recall).all()
    assert untrue.precision.tolist() == untrue.f1.tolist() == [0, 0]


# --- best_threshold -----------------------------------------------------------------------------


def least(seed, cost):
    """Return a sweep, and the best of `cost(n_found, tp, count_error, n_true)` over its entries."""
    counts = sweep(scenes(seed), radius=2.5, min_distance=1.0)
    rows = zip(counts.n_found, counts.tp, counts.count_error, strict=True)
    return counts, min(cost(*row, counts.n_true) for row in rows)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("goal", "cost"),
    [
        ("f1", lambda found, tp, error, true: -2 * tp / (found + true)),
        ("count", lambda found, tp, error, true: error),
        ("equal", lambda found, tp, error, true: abs(found - true)),
        ("few false", lambda found, tp, error, true: -tp if found - tp <= 0.2 * found else 0),
    ],
)
def test_best_threshold_reaches_its_goal(seed, goal, cost):
    """No entry is better than what its threshold gives, counted from scratch."""
    counts, best = least(seed, cost)
    threshold = best_threshold(counts, goal, most_false=0.2)
    got = from_scratch(scenes(seed), 2.5, threshold, 1.0)
    assert cost(got["n_found"], got["tp"], got["count_error"], counts.n_true) == best


def test_best_threshold_takes_the_higher_of_equally_wide_runs():
    """Least error in (0.75, 1] and in (0.25, 0.5]: the first; where the second is wider, that."""
    counts = Sweep(
        thresholds=np.array([1, 0.75, 0.5, 0.25]),
        n_found=np.array([1, 2, 3, 4]),
        tp=np.array([1, 1, 1, 1]),
        count_error=np.array([0.0, 1.0, 0.0, 1.0]),
        n_true=2,
        n_images=2,
    )
    assert best_threshold(counts, "count") == (1 + 0.75) / 2
    wider = counts._replace(thresholds=np.array([1, 0.75, 0.5, 0.125]))
    assert best_threshold(wider, "count") == (0.5 + 0.125) / 2


@pytest.mark.parametrize("goal", ["f1", "count", "equal", "few false"])
def test_best_threshold_is_nan_where_nothing_is_to_choose(goal):
    """No image, no candidate or no truth."""
    for images in ([], [(line(1), NOTHING)], [(NONE, ranked(line(1), [0.5]))]):
        assert np.isnan(best_threshold(sweep(images, radius=1), goal))


def test_best_threshold_is_nan_where_too_much_is_false():
    """The best candidate is false: no threshold keeps false ones below a twentieth, one a half."""
    counts = sweep([(line(0), ranked(line(50, 0), [0.9, 0.8]))], radius=1)
    assert np.isnan(best_threshold(counts, "few false"))
    assert best_threshold(counts, "few false", most_false=0.5) == pytest.approx((0.8 + 0.05) / 2)


# --- plateau ------------------------------------------------------------------------------------


def brute_plateau(scores, slack):
    """Return the widest range by trying every pair of steps; ties: the higher."""
    steps = [*np.unique(scores)[::-1], FLOOR]
    best = (-1.0, -1.0, 0.0)
    for a, high in enumerate(steps[:-1]):
        for b in range(a, len(steps) - 1):
            few, many = (np.count_nonzero(scores >= steps[k]) for k in (a, b))
            if many <= (1 + slack) * few:
                best = max(best, (high - steps[b + 1], high, steps[b + 1]))
    return best[2], best[1]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("slack", [0, 0.05, 0.3])
def test_plateau_is_the_widest_range(seed, slack):
    """No other pair of thresholds is farther apart with so small a change of the count."""
    scores = np.random.default_rng(seed).uniform(0.05, 1, 60).round(2)
    assert plateau(scores, slack=slack) == brute_plateau(scores, slack)


def test_plateau_lies_between_two_heaps():
    """Objects near 0.9, noise below 0.2: the count stands still in between."""
    rng = np.random.default_rng(0)
    low, high = plateau(np.concatenate([rng.uniform(0.8, 1, 90), rng.uniform(0.05, 0.2, 50)]))
    assert low < 0.21
    assert high > 0.79


def test_plateau_of_nothing_is_nan():
    """No score, or none that counts as a candidate."""
    assert np.isnan(plateau([])).all()
    assert np.isnan(plateau([0.01])).all()
    assert plateau([0.5]) == (0.05, 0.5)


# --- choose_settings ----------------------------------------------------------------------------


def pooled_f1(images, radius, threshold, distance):
    """Return the F1 of the candidates kept at these settings, by matching them."""
    tp = n_points = 0
    for true, found in images:
        kept = found.points[(found.scores >= threshold) & (found.isolation > distance)]
        tp += len(match_points(true, kept, radius=radius).pairs)
        n_points += len(true) + len(kept)
    return 2 * tp / n_points if n_points else 0.0


def random_images(seed, *, n_images=3):
    """Return (true, candidates) of several images; scores with ties, distances that matter."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(n_images):
        true, n = rng.uniform(0, 30, (6, 2)), 12
        points = np.concatenate([true + rng.normal(0, 1.5, true.shape), rng.uniform(0, 30, (6, 2))])
        scores = rng.integers(2, 12, n) / 12 + np.repeat([0.1, 0], 6)
        images.append((true, Candidates(points, scores, rng.choice([1.0, 2.0, 5.0, np.inf], n))))
    return images


@pytest.mark.parametrize("seed", range(12))
def test_choose_settings_is_the_brute_force_optimum(seed):
    """No threshold and distance score better, and the F1 returned is what the settings give."""
    images, distances = random_images(seed), [0.0, 1.0, 3.0, 6.0]
    best = choose_settings(images, radius=3, distances=distances)
    thresholds = np.unique(np.concatenate([found.scores for _, found in images]))
    grid = [pooled_f1(images, 3, t, d) for t in thresholds for d in distances]
    assert best.f1 == max(grid)
    assert pooled_f1(images, 3, best.threshold, best.min_distance) == best.f1


def test_choose_settings_threshold_stands_between_scores():
    """Hits at 0.9 and 0.8, a false positive at 0.4: the threshold is half way, 0.6, and no edge."""
    found = Candidates(line(0, 10, 20), np.array([0.9, 0.8, 0.4]), np.full(3, np.inf))
    best = choose_settings([(line(0, 10), found)], radius=1, distances=[0.0])
    assert best == pytest.approx((0.6, 0.0, 1.0))


def test_choose_settings_of_a_perfect_map_goes_down_to_the_floor():
    """Where nothing lower was seen, the run ends where candidates end, at 0.05."""
    found = Candidates(line(0, 10), np.array([0.9, 0.85]), np.full(2, np.inf))
    best = choose_settings([(line(0, 10), found)], radius=1, distances=[0.0])
    assert best.threshold == pytest.approx((0.85 + 0.05) / 2)


def test_choose_settings_takes_the_widest_of_equal_runs():
    """F1 2/3 in (0.8, 0.9] and again in (0.05, 0.7]: the wide run wins, at its middle."""
    found = Candidates(line(0, 20, 30, 10), np.array([0.9, 0.8, 0.8, 0.7]), np.full(4, np.inf))
    best = choose_settings([(line(0, 10), found)], radius=1, distances=[0.0])
    assert best == pytest.approx(((0.7 + 0.05) / 2, 0.0, 2 / 3))


def test_choose_settings_takes_the_smallest_of_equal_distances():
    """Distances that change nothing are not used; one that removes a double is."""
    alone = Candidates(line(0), np.array([0.9]), np.array([np.inf]))
    assert choose_settings([(line(0), alone)], radius=1, distances=[4, 2, 3]).min_distance == 2
    double = Candidates(line(0, 2), np.array([0.9, 0.9]), np.array([np.inf, 2.0]))
    assert choose_settings([(line(0), double)], radius=1, distances=[0, 1, 2, 3]).min_distance == 2


def test_choose_settings_adjacent_floats_stay_apart():
    """Where no number lies between two scores, the threshold is the upper one."""
    low, high = 0.5, np.nextafter(0.5, 1)
    found = Candidates(line(0, 10), np.array([high, low]), np.full(2, np.inf))
    best = choose_settings([(line(0), found)], radius=1, distances=[0.0])
    assert best.threshold == high


@pytest.mark.parametrize(
    ("true", "n_found", "f1"),
    [(NONE, 2, np.nan), (NONE, 0, np.nan), (line(50), 0, 0), (line(50), 2, 0)],
)
def test_choose_settings_has_a_default(true, n_found, f1):
    """Nothing true, no candidate or none in reach: that of `default_settings`."""
    found = Candidates(
        np.random.default_rng(0).uniform(0, 9, (n_found, 2)),
        np.full(n_found, 0.3),
        np.full(n_found, np.inf),
    )
    best = choose_settings([(true, found)], radius=1, distances=[3.0, 1.0])
    assert best == pytest.approx((0.3, 2.0, f1), nan_ok=True)
    best = choose_settings([(true, found)], radius=1, distances=[3.0], sigma=1.7)
    assert best.options == default_settings(1.7)
    assert choose_settings([], radius=1, distances=[1.0])[:2] == (0.3, 2.0)


def test_default_settings_are_those_of_find_peaks():
    """One threshold for all; two peaks nearer than sigma are one, where sigma is known."""
    assert default_settings() == find_peaks.__kwdefaults__
    assert default_settings(4.5) == {**default_settings(), "min_distance": 4.5}
    assert {find.__kwdefaults__["threshold"] for find in THRESHOLDS.values()} == {0.3}


def test_distances_to_try_go_from_hills_to_objects():
    """From half a sigma to one and a half match radii, rising, each once; by the radius alone."""
    assert distances_to_try(sigma=2.0, radius=4.0) == [1, 2, 3, 4, 6]
    assert distances_to_try(sigma=2.0, radius=10.0) == [1, 2, 3, 4, 7.5, 10, 15]
    assert distances_to_try(radius=4.0) == [1, 2, 4]


def test_choose_for_classes_is_the_choice_of_each():
    """One class changes nothing for another; distances are those to try."""
    by_class = {"a": random_images(0), "b": random_images(1), "c": [(NONE, NOTHING)]}
    chosen = choose_for_classes(by_class, radius=3, sigma=1.7)
    distances = distances_to_try(radius=3, sigma=1.7)
    for name in "ab":
        alone = choose_settings(by_class[name], radius=3, distances=distances)
        assert alone.f1 > 0
        assert chosen[name] == alone.options
    assert chosen["c"] == default_settings(1.7)


# --- any threshold function ---------------------------------------------------------------------


def noisy_heatmaps(seed, *, n_images=2):
    """Return (true, heatmap) of images of six hills each, in noise."""
    rng, images = np.random.default_rng(seed), []
    y, x = np.mgrid[:40, :50]
    for _ in range(n_images):
        true = rng.uniform(4, 36, (6, 2))
        hills = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8) for a, b in true]
        heights = rng.uniform(0.3, 1, (6, 1, 1))
        images.append((true, np.max(heights * hills, axis=0) + 0.1 * rng.random((40, 50))))
    return images


@pytest.mark.parametrize("find", THRESHOLDS.values())
def test_ask_gives_what_is_found_at_each_threshold(find):
    """One pass tells what any threshold finds; other functions are asked at each, once."""
    images, one_pass = noisy_heatmaps(0), find in ONE_PASS
    runs = find_at_each(iter(images), find, one_pass=one_pass)
    assert list(runs) == ([FLOOR] if one_pass else list(TRIED))
    for threshold in TRIED:
        run = runs[FLOOR if one_pass else threshold]
        for (_, heatmap), (_, found) in zip(images, run, strict=True):
            expected, _ = find(heatmap, threshold=threshold)
            assert np.array_equal(found.select(threshold=threshold)[0], expected)


def asked_f1(images, find, **settings):
    """Return the F1 of a threshold function at a threshold and a distance, asked from scratch."""
    pairs = [(true, find(heatmap, **settings)[0]) for true, heatmap in images]
    tp = sum(len(match_points(*pair, radius=3).pairs) for pair in pairs)
    return 2 * tp / sum(len(side) for pair in pairs for side in pair)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("find", [basic_threshold, connected_components])
def test_choose_by_calling_is_the_best_of_what_it_tries(seed, find):
    """One pass: of all there is. By turns: of thresholds at the known distance, then distances."""
    images, distances = noisy_heatmaps(seed), [1.0, 4.0]
    options = {"known": {"threshold": 0.9, "min_distance": 2.0}, "one_pass": find in ONE_PASS}
    best = choose_by_calling(images, find, radius=3, distances=distances, **options)
    assert asked_f1(images, find, **best.options) == best.f1 > 0
    pairs = [(best.threshold, d) for d in distances] + [(t, 2.0) for t in TRIED]
    if find in ONE_PASS:
        pairs = [(t, d) for t in np.arange(0.05, 1, 0.01) for d in distances]
    assert best.f1 >= max(asked_f1(images, find, threshold=t, min_distance=d) for t, d in pairs)
    assert find in ONE_PASS or best.threshold in TRIED


@pytest.mark.parametrize("one_pass", [True, False])
@pytest.mark.parametrize(("true", "f1"), [(NONE, np.nan), (line(-300), 0.0)])
def test_choose_by_calling_keeps_what_is_known(one_pass, true, f1):
    """Where nothing is true, or nothing found can be paired, nothing is learned."""
    images = [(true, heatmap) for _, heatmap in noisy_heatmaps(0)]
    options = {"known": {"threshold": 0.7, "min_distance": 1.2}, "one_pass": one_pass}
    best = choose_by_calling(images, basic_threshold, radius=3, distances=[1.0, 2.0], **options)
    assert best == pytest.approx(Settings(0.7, 1.2, f1), nan_ok=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: choose_settings([], radius=-2, distances=[0]), "radius is -2"),
        (lambda: choose_settings([], radius=2, distances=[]), "distances is empty"),
        (lambda: choose_settings([], radius=2, distances=[-1]), "a distance is -1"),
        (lambda: sweep([], radius="8"), "radius is '8'"),
        (lambda: sweep([], radius=2, min_distance=np.nan), "min_distance is nan"),
        (lambda: sweep([([[1, np.inf]], NOTHING)], radius=2), r"true\[0\]"),
        (lambda: best_threshold(sweep([], radius=1), "f2"), "goal is 'f2'. Known: f1, count"),
        (
            lambda: best_threshold(sweep([], radius=1), most_false=5),
            "most_false is 5; expected a f",
        ),
        (lambda: plateau([0.5], slack=-1), "slack is -1"),
        (lambda: plateau([0.5, np.nan]), r"scores\[1\] is NaN"),
    ],
)
def test_sweep_refuses_bad_input(call, message):
    """Each says what came and what is needed."""
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(("column", "value"), [("scores", [0.5]), ("isolation", [1.0, np.nan])])
def test_choose_settings_refuses_bad_candidates(column, value):
    """Scores and isolations are one number a candidate."""
    found = Candidates(line(1, 2), np.ones(2), np.ones(2))._replace(**{column: value})
    with pytest.raises(InputError, match=column):
        choose_settings([(line(1), found)], radius=1, distances=[0.0])


@pytest.mark.parametrize("seed", SEEDS)
def test_each_class_is_chosen_at_its_own_radius(seed):
    """{class: radius} chooses for each class what that radius alone chooses; equal ones are one."""
    by_class = {"a": scenes(seed), "b": scenes(seed + 50)}
    chosen = choose_for_classes(by_class, radius={"a": 3.0, "b": 6.0}, sigma=2.0)
    for name, radius in (("a", 3.0), ("b", 6.0)):
        alone = choose_for_classes({name: by_class[name]}, radius=radius, sigma=2.0)
        assert chosen[name] == alone[name]
    equal, one = ({"a": 3.0, "b": 3.0}, 3.0)
    for exclusive in (True, False):
        options = {"sigma": 2.0, "exclusive": exclusive}
        assert choose_for_classes(by_class, radius=equal, **options) == choose_for_classes(
            by_class, radius=one, **options
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_exclusive_classes_share_the_threshold_of_the_best_f1_of_any_class(seed):
    """Choosing for exclusive classes is choosing for one class that has the points of all."""
    by_class = {"a": scenes(seed), "b": scenes(seed + 50)}
    chosen = choose_for_classes(by_class, radius=3.0, sigma=2.0, exclusive=True)
    assert chosen["a"] == chosen["b"]
    together = []
    for (true_a, a), (true_b, b) in zip(*by_class.values(), strict=True):
        joined = (np.concatenate(pair) for pair in zip(a, b, strict=True))
        together.append((np.vstack([true_a, true_b]), Candidates(*joined)))
    options = {"radius": 3.0, "distances": distances_to_try(radius=3.0, sigma=2.0)}
    best = choose_settings(together, sigma=2.0, **options)
    f1 = {}
    for name, settings in (("shared", chosen["a"]), ("best", best.options)):
        counts = sweep(together, radius=3.0, min_distance=settings["min_distance"])
        found = entry(counts, settings["threshold"])
        n_true = sum(len(true) for true, _ in together)
        f1[name] = 2 * found["tp"] / (found["n_found"] + n_true)
    assert f1["shared"] == pytest.approx(f1["best"])
