"""The tuner in a browser: every control, against the real Python object."""

import json
from itertools import count as count_up
from itertools import pairwise
from threading import Event

import numpy as np
import pytest
from conftest import Brightness
from playwright.sync_api import expect

from browser.harness import LIMIT
from browser.scenes import Scene, count, draw_scene
from pointlib.images import write_image
from pointlib.matching import match_points
from pointlib.model.folder import read_info, save_model
from pointlib.model.point_model import ModelInfo, PointModel, build_model
from pointlib.points import text_path, write_points
from pointlib.thresholds import Candidates, basic_threshold, find_peaks
from pointlib.tune.widget import Tuner

SHAPE = (90, 120)
RADIUS = 4.0  # px
START = {"thresholds": {"point": 0.4}, "min_distances": {"point": 2.0}, "radius": RADIUS}


@pytest.fixture
def scenes():
    """Return four scenes of one class."""
    return [draw_scene(seed, shape=SHAPE) for seed in range(4)]


@pytest.fixture
def tuner(scenes):
    """Return a tuner on them, at round settings."""
    return open_tuner(scenes)


@pytest.fixture
def view(show, tuner):
    """Show it."""
    return show(tuner)


@pytest.fixture
def folder(tmp_path, scenes):
    """Return a folder of the heatmaps as images, each with its text, for `model`."""
    path = tmp_path / "photos"
    path.mkdir()
    for i, scene in enumerate(scenes):
        write_image(path / f"{i}.png", np.rint(255 * scene.heatmap).astype(np.uint8))
        write_points(text_path(path / f"{i}.png"), scene.points, SHAPE)
    return path


@pytest.fixture
def model():
    """Return a model whose heatmap is the grey image itself."""
    info = ModelInfo(n_channels=1, mean=(0.0,), std=(1.0,), thresholds={"point": 0.4}, radius=4.0)
    return PointModel(Brightness(), info)


def open_tuner(scenes, points=..., **options):
    """Return a Tuner of scenes at the settings of START."""
    points = [scene.points for scene in scenes] if points is ... else points
    images, heatmaps = [s.image for s in scenes], [s.heatmap for s in scenes]
    tuner = Tuner(heatmaps, images, points, **{"radius": RADIUS} | options)
    if tuner.classes == ("point",):
        tuner.settings = START
    return tuner


def agree(numbers, settings, scenes):
    """Assert that numbers on the page are those counted from scratch at these settings."""
    threshold, min_distance = settings["thresholds"]["point"], settings["min_distances"]["point"]
    at = {
        "threshold": threshold,
        "min_distance": min_distance,
        "radius": settings["radius"]["point"],
    }
    n_true, n_found, tp = count(scenes, **at)
    assert (numbers["true"], numbers["found"], numbers["tp"]) == (n_true, n_found, tp), at
    for name, part, whole in (("precision", tp, n_found), ("recall", tp, n_true)):
        assert same(numbers[name], part, whole), at
    assert same(numbers["f1"], 2 * tp, n_true + n_found), at
    errors = [abs(found - true) for true, found, _ in (count([s], **at) for s in scenes)]
    assert numbers["count_error"] == pytest.approx(np.mean(errors)), at


def same(number, part, whole):
    """Return whether a number of the page is a ratio; undefined where that is."""
    return number == pytest.approx(part / whole) if whole else number is None or np.isnan(number)


def check_all(view, scenes):
    """Assert that all numbers on the page are exact where the dials stand; return the settings."""
    settings, numbers, index = view.numbers()
    agree(numbers["set"], settings, scenes)
    agree(numbers["classes"]["point"], settings, scenes)
    agree(numbers["image"], settings, scenes[index : index + 1])
    return settings


def threshold_of(view):
    """Return the threshold on the page."""
    return view.read("a.settings.thresholds.point")


def box_of(view, name):
    """Return x, y, width, height of a canvas of the page's side, by its name there."""
    canvas = view.root.locator(f"[data-is={name}]")
    canvas.scroll_into_view_if_needed()
    return canvas.bounding_box().values()


# ---- dials


@pytest.mark.parametrize(
    ("name", "key", "step"),
    [("Threshold", "thresholds", 0.01), ("Min distance", "min_distances", 0.1)],
)
def test_slider_takes_keys_wheel_and_typed_values(view, scenes, name, key, step):
    """Arrow keys and the wheel move a slider by its step, a typed value sets it; all is exact."""
    dial, at = view.dial(name), START[key]["point"]
    dial.focus()
    view.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert check_all(view, scenes)[key]["point"] == pytest.approx(at + step)
    dial.hover()
    view.page.mouse.wheel(0, 100)
    view.until(f"Math.abs(a.settings.{key}.point - {at}) < 1e-9")
    view.type(name, at + 0.055)
    assert check_all(view, scenes)[key]["point"] == pytest.approx(at + 0.055)
    assert view.told()[key]["point"] == pytest.approx(at + 0.055)


def test_match_radius_changes_hits_not_points(view, scenes):
    """A larger radius finds as many points, and no fewer of them are hits."""
    view.type("Match radius", 1)
    before = view.numbers()[1]["set"]
    view.dial("Match radius").focus()
    for _ in range(30):
        view.press("ArrowRight")
    assert check_all(view, scenes)["radius"]["point"] == pytest.approx(4)
    after = view.numbers()[1]["set"]
    assert after["found"] == before["found"]
    assert after["tp"] > before["tp"]


def test_nonsense_in_a_field_changes_nothing(view):
    """An empty field goes back to what holds; too much is as much as there can be."""
    view.type("Threshold", "")
    assert threshold_of(view) == 0.4
    view.type("Threshold", -3)
    assert threshold_of(view) == 0.05
    view.type("Threshold", 77)
    assert threshold_of(view) == 1
    expect(view.root.get_by_label("Threshold, typed")).to_have_value("1.00")


def test_keys_on_the_image_move_the_dials(view, scenes):
    """Arrows and brackets move the three settings; Shift by ten steps."""
    view.press("Shift+ArrowRight", "ArrowLeft", "ArrowUp", "ArrowUp", "]")
    settings = check_all(view, scenes)
    assert settings["thresholds"]["point"] == pytest.approx(0.49)
    assert settings["min_distances"]["point"] == pytest.approx(2.2)
    assert settings["radius"]["point"] == pytest.approx(4.1)


def test_counts_are_exact_and_monotone_while_dragging(view, scenes):
    """At every position of a drag all numbers are those from scratch, and fewer are found."""
    box, mouse, seen = view.dial("Threshold").bounding_box(), view.page.mouse, []
    y = box["y"] + box["height"] / 2
    mouse.move(box["x"] + 10, y)
    mouse.down()
    for x in np.linspace(10, box["width"] - 4, 15):
        mouse.move(box["x"] + x, y)
        settings = check_all(view, scenes)
        seen.append((settings["thresholds"]["point"], view.numbers()[1]["set"]["found"]))
    mouse.up()
    thresholds, found = np.transpose(seen)
    assert len(set(thresholds)) > 8
    assert (np.diff(found[np.argsort(thresholds)]) <= 0).all()


def test_distance_is_exact_while_dragging(view, scenes):
    """So are they while the minimum distance is dragged."""
    box, mouse, found = view.dial("Min distance").bounding_box(), view.page.mouse, []
    y = box["y"] + box["height"] / 2
    mouse.move(box["x"] + 8, y)
    mouse.down()
    for x in np.linspace(8, box["width"] - 8, 10):
        mouse.move(box["x"] + x, y)
        check_all(view, scenes)
        found.append(view.numbers()[1]["set"]["found"])
    mouse.up()
    assert len(set(found)) > 3
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("plot", ["scores", "curve"])
def test_line_in_a_plot_is_dragged(view, scenes, plot):
    """The threshold follows the pointer on the histogram and on the curve, beyond their edges."""
    x, y, width, height = box_of(view, plot)
    mouse, values = view.page.mouse, []
    mouse.move(x + width / 2, y + height / 2)
    mouse.down()
    for share in (0.5, 0.3, 0.8, 1.3):
        mouse.move(x + share * width, y + height / 2)
        values.append(check_all(view, scenes)["thresholds"]["point"])
    mouse.up()
    mouse.move(x + 0.2 * width, y + height / 2)
    assert values[1] < values[0] < values[2] < values[3] == 1
    assert threshold_of(view) == 1


# ---- marks


@pytest.mark.parametrize(
    ("name", "goal", "key"),
    [("Best F1", "f1", "b"), ("Best count", "count", "c"), ("P = R", "equal", "e")]
    + [("Few false", "few false", "l")],
)
def test_mark_is_taken_by_one_click_or_key(view, scenes, tuner, name, goal, key):
    """A mark's button takes the threshold that Python calls best; so does its key."""
    best = tuner.best(goal)
    assert best != 0.4
    button = view.root.locator(f"[data-goal='{goal}']")
    expect(button).to_contain_text(f"{name} {best:.2f}")
    button.click()
    assert check_all(view, scenes)["thresholds"]["point"] == best
    expect(button).to_have_attribute("aria-pressed", "true")
    view.type("Threshold", 0.33)
    view.stage.focus()
    view.press(key)
    assert view.told()["thresholds"]["point"] == best


def test_marks_follow_distance_and_limit(view, tuner):
    """The marks are of the distance, the radius and the share of false positives that are set."""
    view.type("Min distance", 6.5)
    view.type("Match radius", 2.2)
    field = view.root.get_by_label("False positives allowed, percent")
    field.fill("30")
    field.press("Enter")
    view.told()
    for goal in ("f1", "count", "equal", "few false"):
        best = tuner.best(goal, most_false=0.3)
        view.root.locator(f"[data-goal='{goal}']").click()
        assert threshold_of(view) == best, goal


def test_points_near_the_line_are_counted(view, tuner):
    """The note under the histogram counts the candidates within 0.05 of the threshold."""
    every = [tuner._tuning_set.candidates[i]["point"] for i in range(4)]
    scores = np.concatenate([c.scores[c.isolation > 2] for c in every])
    near = np.count_nonzero((scores >= 0.35) & (scores < 0.45))
    view.shows(f"{near} points of {len(scores)} within 0.05 of the threshold")


def test_perfect_network_and_mean_error_stand_beside_the_numbers(show, model, folder):
    """Under the F1 reached stands the ceiling's, and the status says the mean error of the hits."""
    tuner = Tuner(model, folder)
    view = show(tuner)
    ideal = view.root.get_by_role("row").filter(has_text="perfect network")
    for distance in (2, 9):
        view.type("Min distance", distance)
        view.told()
        ceiling = tuner.ceiling()
        expect(ideal).to_contain_text(f"{ceiling.recall:.3f}{ceiling.f1:.3f}")
        expect(ideal).not_to_have_class("pl-pale")
        view.says(f"mean error {tuner.match(0)['point'].distances.mean():.1f} px")


def test_heatmaps_have_no_perfect_network(view):
    """Where sigma is not known there is no such row."""
    view.until(view.SETTLED)
    expect(view.root.get_by_role("row").filter(has_text="perfect network")).to_have_count(0)


# ---- pictures


def test_marks_are_told_apart_and_hidden(view):
    """Hits, false positives, missed points and pairs are drawn each in its colour, and each can be hidden."""
    view.until(view.SETTLED)
    inks = {"hits": (0x56, 0xB4, 0xE9), "false positives": (0xFF, 0x5A, 0x1F)}
    inks["missed"] = (0xF0, 0xE4, 0x42)
    for name, ink in {**inks, "pairs": (0xFF, 0xFF, 0xFF)}.items():
        button = view.root.get_by_role("button", name=f"Show {name}")
        assert drawn(view, ink) > 20, name
        button.click()
        assert drawn(view, ink) == 0, name
        expect(button).to_have_attribute("aria-pressed", "false")
    view.stage.focus()
    view.press("h", "h")
    assert not view.pixels(2)[..., 3].any()


def drawn(view, ink):
    """Return how many pixels of the layer of points have this colour."""
    return np.count_nonzero((view.pixels(2)[..., :3] == ink).all(axis=2))


@pytest.mark.parametrize("scale", [1, 2])
def test_marks_are_where_the_points_are(show, tuner, scale):
    """At the centre of each hit is a ring's hole, and its colour stands around it."""
    view = show(tuner, scale=scale)
    view.until(view.SETTLED)
    view.root.get_by_role("button", name="Show pairs").click()
    points, _, _ = tuner.points(0)
    hits = points[tuner.match(0)["point"].pairs[:, 1]]
    pixels = view.pixels(2)
    k, ox, oy = view.read("[a.view.k, a.view.ox, a.view.oy]")
    y, x = np.nonzero((pixels[..., :3] == (0x56, 0xB4, 0xE9)).all(axis=2))
    for place in (hits + 0.5) * k + (ox, oy):
        far = np.hypot((x + 0.5) / scale - place[0], (y + 0.5) / scale - place[1])
        assert far.min() > 2
        assert np.count_nonzero(far < 14) > 20


def test_many_points_are_drawn_and_exact(show):
    """Thousands of marks in view are squares of pixels, coloured by the counts, then by Python."""
    rng = np.random.default_rng(0)
    heatmap = np.zeros((310, 330), np.float32)
    heatmap[2::4, 2::4] = rng.uniform(0.06, 1, heatmap[2::4, 2::4].shape)
    y, x = np.nonzero(heatmap > rng.uniform(0, 1, heatmap.shape))
    points = np.column_stack([x, y]) + rng.uniform(-1, 1, (len(x), 2))
    scene = Scene(np.rint(255 * heatmap).astype(np.uint8), heatmap, points)
    view = show(open_tuner([scene]))
    view.type("Match radius", 4.5)
    view.type("Threshold", 0.1)
    assert view.numbers()[1]["set"]["found"] > 5000
    check_all(view, [scene])
    assert drawn(view, (0x56, 0xB4, 0xE9)) > 1000
    assert drawn(view, (0xFF, 0x5A, 0x1F)) > 1000
    view.until("a.matched.point.from === 'python'")
    n_hits = view.read("a.matched.point.pairs.length")
    assert n_hits == view.numbers()[1]["set"]["tp"]


def test_overlay_opacity_and_colours(view):
    """The overlay is switched, fades and changes its colours; the image below stays."""
    image, before = view.pixels(0), view.pixels(1)
    assert before[..., 3].any()
    slider = view.root.get_by_label("Opacity of the heatmap")
    slider.fill("0.2")
    pale = view.pixels(1)
    assert 0 < pale[..., 3].max() < before[..., 3].max()
    looks = [pale]
    for name in ("viridis", "grey"):
        view.root.get_by_label("Colour map").select_option(name)
        looks.append(view.pixels(1))
    assert all((one != two).any() for one, two in pairwise(looks))
    view.root.get_by_role("button", name="Heatmap over the image").click()
    assert not view.pixels(1)[..., 3].any()
    view.stage.focus()
    view.press("o", "m")
    assert view.pixels(1)[..., 3].any()
    assert (view.pixels(0) == image).all()


def test_zoom_pan_and_fit(view):
    """The wheel zooms at the pointer, a drag pans, `f` and the button fit; keys and buttons zoom."""
    fitted = view.read("a.view")
    place = view.place(40, 30)
    view.wheel(40, 30, -300)
    assert np.allclose(view.place(40, 30), place, atol=1)
    end = view.place(50, 40)
    view.drag((40, 30), (50, 40))
    assert np.allclose(view.place(40, 30), end, atol=1.5)
    view.press("f")
    assert view.read("a.view") == pytest.approx(fitted)
    view.press("+", "-", "+")
    view.root.get_by_role("button", name="Zoom in").click()
    assert view.read("a.view.k") > fitted["k"]
    view.root.get_by_role("button", name="Fit").click()
    assert view.read("a.view") == pytest.approx(fitted)
    assert threshold_of(view) == 0.4


def test_hover_says_score_and_error(view, tuner):
    """Pointing at a mark shows what it is, with its score, and how far it is off."""
    view.until(view.SETTLED)
    points, _, scores = tuner.points(0)
    match = tuner.match(0)["point"]
    j, far = match.pairs[0, 1], match.distances[0]
    assert hovered(view, points[j]) == f"hit, score {scores[j]:.2f}, off by {far:.1f} px"
    false = match.false_positives[0]
    assert hovered(view, points[false]) == f"false positive, score {scores[false]:.2f}"
    assert hovered(view, tuner._tuning_set.truth[0]["point"][match.missed[0]]).startswith("missed")
    before = view.pixels(3)
    view.page.mouse.move(*view.place(*points[j]))
    view.until("a.app.frame === 0")
    assert (view.pixels(3) != before).any()


def hovered(view, point):
    """Return what the view says when the mouse is at an image position."""
    view.page.mouse.move(*view.place(*point))
    return view.read("a.app.under(a.app.pointer)?.text ?? ''")


def test_pairs_are_those_of_match_points(view, scenes):
    """The browser's own pairs while the hand moves, and Python's when it rests, are the rule's."""
    view.kernel.stop()
    for threshold in (0.2, 0.3, 0.5):
        view.type("Threshold", threshold)
        view.numbers()
        assert view.read("a.matched.point.from") == "browser"
        own = view.read("a.matched.point.pairs")
        found, _ = find_peaks(scenes[0].heatmap, threshold=threshold, min_distance=2)
        match = match_points(scenes[0].points, found, radius=RADIUS)
        assert sorted(map(tuple, own)) == sorted(map(tuple, match.pairs.tolist()))
    view.kernel.go_on()
    view.type("Threshold", 0.4)
    view.until("a.matched.point.from === 'python'")
    pairs = sorted(map(tuple, view.read("a.matched.point.pairs")))
    assert pairs == sorted(map(tuple, view.tuner.match(0)["point"].pairs.tolist()))


def test_error_keys_step_through_the_image(view, tuner):
    """Full stop and comma go to the errors of the image, one by one, and say what they are."""
    view.until(view.SETTLED)
    match = tuner.match(0)["point"]
    n_errors = len(match.missed) + len(match.false_positives)
    view.press(".")
    view.shows(f"1 of {n_errors} errors")
    view.press(",")
    view.shows(f"{n_errors} of {n_errors} errors")


# ---- images


def test_strip_shows_worst_first_and_goes_there(view, tuner):
    """The image with the most errors comes first; a click on the strip looks at it."""
    rows = tuner.metrics()["images"]
    wrong = [row["fp"] + row["fn"] for row in rows]
    view.until(f"a.order[0] === {int(np.argmax(wrong))}")
    strip = view.root.get_by_role("listbox").get_by_role("option")
    row = rows[int(np.argmax(wrong))]
    words = f"{row['name']}: {row['found']} found, {row['true']} true: {row['tp']} hits"
    assert strip.first.get_attribute("aria-label").startswith(words)
    strip.nth(3).click()
    index = view.read("a.order[3]")
    view.until(f"a.name === 'image {index}'")
    view.told()
    assert tuner.image == f"image {index}"


def test_order_by_name(view):
    """The strip can be in order of names, and a and d go through it."""
    view.root.get_by_label("Order").select_option("name")
    assert view.read("a.order") == [0, 1, 2, 3]
    view.stage.focus()
    for key, name in (("d", "image 1"), ("d", "image 2"), ("a", "image 1")):
        view.press(key)
        view.until(f"a.name === '{name}'")
    view.press("w")
    assert view.read("a.order") != [0, 1, 2, 3]


def test_numbers_of_each_image_are_exact(view, scenes):
    """On every image the numbers are those of that image, and those of the set stay."""
    for i in range(4):
        view.tuner.image = i
        view.until(f"a.name === 'image {i}'")
        check_all(view, scenes)
        view.says(f"image {i} ({i + 1} of 4): ")


# ---- tabs


def test_errors_tab_shows_kinds_and_goes_to_examples(view, tuner):
    """A kind of error lists its examples; a click on one shows the place, near enough."""
    view.tab("Errors")
    kinds = tuner.anatomy()["kinds"]
    some = [kind for kind, row in kinds.items() if row["n"]]
    assert len(some) >= 3
    for kind in some:
        bar = view.root.locator(".pl-bars button").filter(has_text=kind)
        expect(bar).to_contain_text(f"{kinds[kind]['n']} \u00b7")
        bar.click()
        expect(bar).to_have_attribute("aria-pressed", "true")
        examples = view.root.get_by_label("Examples").get_by_role("button")
        expect(examples).to_have_count(kinds[kind]["n"])
        examples.last.click()
        view.until("a.app.spot && !a.app.target")
        flaw = [view.read("[a.app.spot.x, a.app.spot.y, a.index]"), kind]
        assert flaw in [
            [[f.x, f.y, i], f.kind]
            for i, name in enumerate(tuner.images)
            for f in tuner.anatomy()["flaws"][name]
        ]
        x, y = view.place(*flaw[0][:2])
        box = view.stage.bounding_box()
        assert box["x"] < x < box["x"] + box["width"]
        assert box["y"] < y < box["y"] + box["height"]


def test_errors_tab_follows_the_dials(view, tuner):
    """After a change, once the hand rests, the anatomy is that of the new settings."""
    view.tab("Errors")
    panel = view.root.get_by_role("tabpanel", name="Errors")
    expect(panel).to_contain_text(f"{tuner.anatomy()['f1']:.3f}", timeout=LIMIT)
    tuner.threshold = 0.6
    expect(panel).to_contain_text(f"{tuner.anatomy()['f1']:.3f}", timeout=LIMIT)


def test_trust_tab_tells_how_many_images_it_needs(view, tuner):
    """Held-back images leave the numbers, and the interval says when there are too few."""
    view.tab("Trust")
    view.shows("No image is held back")
    slider = view.root.get_by_label("Share of labelled images held back")
    slider.fill("0.5")
    view.until("a.numbers.set.n_images === 2 && !a.pale")
    view.told()
    view.shows(tuner.count_interval().why)
    assert tuner.hold_back == 0.5
    found = view.numbers()[1]["set"]["found"]
    assert found == tuner.metrics()["pooled"]["tp"] + tuner.metrics()["pooled"]["fp"]


def test_rules_tab_shows_rules_ceiling_and_beside(show, model, folder, scenes):
    """The same points by other rules, the ceiling beside, and another threshold function."""
    tuner = Tuner(model, folder)
    tuner.add_beside(basic_threshold, threshold=0.4, name="plain")
    view = show(tuner)
    view.tab("Rules")
    for rule, f1 in tuner.rules().items():
        expect(view.root.locator(".pl-row").filter(has_text=rule)).to_contain_text(f"{f1:.3f}")
    ceiling = view.root.locator(".pl-row").filter(has_text="ceiling")
    expect(ceiling).to_contain_text(f"{tuner.ceiling().f1:.3f}")
    found = [basic_threshold(np.rint(255 * s.heatmap) / 255, threshold=0.4)[0] for s in scenes]
    tp = sum(
        len(match_points(s.points, f, radius=4).pairs) for s, f in zip(scenes, found, strict=True)
    )
    f1 = 2 * tp / sum(len(s.points) + len(f) for s, f in zip(scenes, found, strict=True))
    expect(view.root.get_by_role("row").filter(has_text="plain, 0.4")).to_contain_text(f"{f1:.3f}")


def test_reached_follows_the_dials_beside_the_ceiling(show, model, folder):
    """The ceiling does not depend on the threshold, but the F1 beside it does."""
    tuner = Tuner(model, folder)
    view = show(tuner)
    view.tab("Rules")
    for threshold in (0.4, 0.7):
        view.type("Threshold", threshold)
        view.told()
        reached = view.root.locator(".pl-row").filter(has_text="reached")
        expect(reached).to_contain_text(f"{tuner.metrics()['pooled']['f1']:.3f}")


def test_interval_keeps_its_warnings(show):
    """A warning is shown beside an interval, too."""
    tuner = open_tuner([draw_scene(seed, n=8, shape=(40, 52)) for seed in range(20)])
    tuner._tuning_set.trained_on, tuner.hold_back = True, 0.5
    view = show(tuner)
    view.tab("Trust")
    view.shows(
        "with 90 % coverage (from 10 images held back). The model was trained on these images"
    )


def test_tabs_say_that_they_wait(view):
    """A tab whose numbers do not come yet is not blank."""
    view.kernel.stop()
    view.tab("Errors")
    view.shows("Computing")


def test_tabs_by_keyboard(view):
    """Arrow keys go through the tabs, and only the open one's panel is shown."""
    view.tab("Numbers")
    view.root.get_by_role("tab", name="Numbers").focus()
    for name in ("Errors", "Trust", "Rules", "Numbers"):
        view.press("ArrowRight")
        expect(view.root.get_by_role("tab", name=name)).to_be_focused()
        expect(view.root.get_by_role("tabpanel")).to_have_count(1)
        expect(view.root.get_by_role("tabpanel", name=name)).to_be_visible()


# ---- keeping it


def test_use_these_writes_into_the_model_folder(show, folder, tmp_path):
    """One click writes what stands on the page, even when it was moved just before."""
    info = ModelInfo(n_channels=1, mean=(0.0,), std=(1.0,), thresholds={"point": 0.4})
    save_model(build_model(info), tmp_path / "model")
    view = show(Tuner(tmp_path / "model", folder))
    view.root.evaluate("""root => { const { app } = root.__tuner;
        for (const value of [0.3, 0.35, 0.37]) app.set("threshold", value);
        app.page.use.click(); }""")
    view.shows("Predictions use these settings from now on")
    assert read_info(tmp_path / "model").thresholds == {"point": 0.37}
    assert view.tuner._tuning_set.model.info.thresholds == {"point": 0.37}


def test_test_images_ask_to_confirm(show, model, folder):
    """On images of the test list nothing is written until somebody says so."""
    (folder / "test.txt").write_text("".join(f"{i}.png\n" for i in range(4)))
    view = show(Tuner(model, folder))
    use = view.root.get_by_role("button", name="Write thresholds")
    view.shows("These are test images: choose on validation images")
    view.type("Threshold", 0.37)
    for answer, kept in (("Cancel", 0.4), ("Use anyway", 0.37)):
        use.click()
        dialog = view.root.get_by_role("alertdialog")
        expect(dialog).to_contain_text("too good")
        dialog.get_by_role("button", name=answer).click()
        expect(dialog).to_be_hidden()
        view.page.wait_for_timeout(100)
        if answer != "Cancel":
            view.shows("Predictions use these settings from now on")
        assert model.info.thresholds == {"point": kept}


def test_use_is_not_offered_for_heatmaps(view):
    """Heatmaps have no model to write into."""
    expect(view.root.get_by_role("button", name="Write thresholds")).to_have_count(0)


# ---- code and browser


def test_code_moves_the_page(view, scenes, tuner):
    """What code sets is on the page at once, and what the page counts is what Python counts."""
    tuner.threshold = 0.55
    view.until("a.settings.thresholds.point === 0.55")
    tuner.settings = {"min_distances": {"point": 5.5}, "radius": 2.5}
    view.until("a.settings.radius.point === 2.5")
    check_all(view, scenes)
    expect(view.dial("Threshold")).to_have_value("0.55")
    tuner.image = 2
    view.until("a.name === 'image 2'")
    numbers, pooled = view.numbers()[1]["set"], tuner.metrics()["pooled"]
    assert numbers["f1"] == pytest.approx(pooled["f1"])
    assert f"f1={pooled['f1']:.2f}" in repr(tuner)


def test_page_moves_the_code(view, tuner):
    """What the hand sets is what code reads; the same state again shows the same."""
    view.type("Threshold", 0.61)
    view.type("Min distance", 3.3)
    view.stage.focus()
    view.press("d")
    view.told()
    assert (tuner.threshold, tuner.min_distance) == (0.61, 3.3)
    state = json.loads(json.dumps(tuner.state))
    tuner.settings = START
    view.until("a.settings.thresholds.point === 0.4")
    tuner.state = state
    view.until("a.settings.thresholds.point === 0.61 && a.settings.min_distances.point === 3.3")
    assert tuner.state == state


def test_two_views_are_one_tuner(show, tuner, scenes):
    """Two displays and a second tab show what each other sets; each looks at its own image."""
    view = show(tuner, n_views=2)
    views = [view, view.other(1), show(tuner, like=view)]
    views[1].until("a.name")
    for value, one in zip((0.3, 0.5, 0.7), views, strict=True):
        one.page.bring_to_front()
        one.type("Threshold", value)
        for other in views:
            other.until(f"a.settings.thresholds.point === {value}")
            check_all(other, scenes)
    views[0].page.bring_to_front()
    views[0].root.get_by_role("option", name="image 2").click()
    views[0].until("a.name === 'image 2'")
    assert views[2].read("a.index") == 0


# ---- nothing is lost, and nothing is pretended


def test_dead_kernel_goes_on_counting_and_is_said(view, scenes, tuner):
    """Without Python the dials and numbers go on; it says so, and tells Python afterwards."""
    view.kernel.stop()
    view.type("Threshold", 0.25)
    banner = view.root.get_by_role("alert")
    expect(banner).to_contain_text("No answer from the kernel", timeout=LIMIT)
    view.type("Threshold", 0.66)
    check_all(view, scenes)
    assert tuner.threshold == 0.4
    view.kernel.go_on()
    assert view.told()["thresholds"]["point"] == 0.66
    expect(banner).to_be_hidden()


def test_base64_where_binary_parts_do_not_arrive(show, tuner, scenes):
    """A front end that drops buffers shows images, heatmaps, thumbnails and numbers all the same."""
    view = show(tuner, binary=False)
    view.until(view.SETTLED)
    check_all(view, scenes)
    assert view.pixels(0)[..., 3].any()
    assert view.pixels(1)[..., 3].any()
    expect(view.root.locator("img[src^=blob]")).to_have_count(4)
    view.tab("Rules")
    for rule, f1 in tuner.rules().items():
        expect(view.root.locator(".pl-row").filter(has_text=rule)).to_contain_text(f"{f1:.3f}")


def test_closing_a_display_leaves_nothing_behind(view):
    """The clean-up that `render` returns ends timers and listeners; another display goes on."""
    view.page.evaluate("window.addView(); window.ends[0]()")
    view.until("a.name")
    view.type("Threshold", 0.5)
    assert view.told()["thresholds"]["point"] == 0.5


# ---- unusual cases


def test_no_candidates(show, scenes):
    """Flat heatmaps: nothing is found, precision is undefined, all is missed, nothing breaks."""
    flat = [scene._replace(heatmap=np.full(SHAPE, 0.02, np.float32)) for scene in scenes]
    view = show(open_tuner(flat))
    check_all(view, flat)
    view.says("0 found, 24 true: 0 hits, 0 false positives, 24 missed")
    for name in ("Errors", "Trust", "Rules", "Numbers"):
        view.tab(name)
    for goal in ("f1", "few false"):
        view.root.locator(f"[data-goal='{goal}']").click()
    assert threshold_of(view) == 0.4


def test_no_truth_in_marked_images(show, scenes):
    """Images marked as empty: all that is found is false; recall is undefined."""
    empty = [scene._replace(points=np.zeros((0, 2))) for scene in scenes]
    view = show(open_tuner(empty))
    check_all(view, empty)
    for name in ("Errors", "Trust", "Rules"):
        view.tab(name)
        view.page.wait_for_timeout(50)
    view.says(" 0 true: 0 hits")


def test_without_points_counts_and_plateau(show, scenes):
    """Where nobody marked anything there are counts and the plateau, and no marks."""
    view = show(open_tuner(scenes, None))
    view.until("!a.pale")
    n_found = [count([s], threshold=0.4, min_distance=2, radius=4)[1] for s in scenes]
    assert view.numbers()[1]["set"]["found"] == sum(n_found)
    view.says(f"{n_found[0]} found, image not annotated")
    expect(view.root.locator("[data-goal]:visible")).to_have_count(0)
    view.root.get_by_role("button", name="The middle of the widest range").click()
    assert threshold_of(view) != 0.4
    view.told()
    assert view.tuner.table()
    for name in ("Errors", "Trust", "Rules"):
        view.tab(name)
        expect(view.root.get_by_role("tabpanel")).to_have_text(
            "This needs true points, and none of these images is annotated.",
            use_inner_text=True,
        )


def test_some_images_without_points(show, scenes):
    """Unmarked images among marked ones take part in no number but their own count."""
    points = [scenes[0].points, None, scenes[2].points, None]
    view = show(open_tuner(scenes, points))
    settings, numbers, _ = view.numbers()
    agree(numbers["set"], settings, [scenes[0], scenes[2]])
    view.tuner.image = 1
    view.says("image not annotated")


def test_nan_in_a_heatmap_is_nothing(show, scenes):
    """NaN finds nothing and hides nothing else."""
    scenes[0].heatmap[20:40, 30:70] = np.nan
    view = show(open_tuner(scenes))
    check_all(view, scenes)
    assert view.pixels(1)[..., 3].any()


def test_heatmaps_alone(show, scenes):
    """Without images the heatmap is the picture."""
    heatmaps = [scene.heatmap for scene in scenes]
    view = show(Tuner(heatmaps, None))
    assert np.ptp(view.pixels(1)[..., 0]) > 100
    expect(view.root.locator("img[src^=blob]")).to_have_count(4)
    view.says("image 0 (1 of 4)")


def test_candidates_alone(show, scenes):
    """Candidates without heatmaps: all but the overlay."""
    found = [find_peaks(s.heatmap, threshold=0.05, min_distance=0) for s in scenes]
    found = [{"point": Candidates(p, s, np.full(len(p), np.inf))} for p, s in found]
    tuner = Tuner(found, [s.image for s in scenes], [s.points for s in scenes], radius=RADIUS)
    view = show(tuner)
    assert not view.pixels(1)[..., 3].any()
    assert view.numbers()[1]["set"]["f1"] == pytest.approx(tuner.metrics()["pooled"]["f1"])


def test_deep_images(show, scenes):
    """16-bit images show in limits of their own."""
    deep = [s._replace(image=(s.image.astype(np.uint16) * 11 + 300)) for s in scenes]
    view = show(open_tuner(deep))
    shown = view.pixels(0)
    assert np.ptp(shown[..., 0][shown[..., 3] > 0]) > 180


def test_a_broken_image_is_said_and_others_go_on(show, model, folder):
    """An image that cannot be read says why, in its place; the others have numbers."""
    (folder / "1.png").write_bytes(b"nonsense")
    view = show(Tuner(model, folder))
    view.until("a.numbers.set.n_images === 3 && !a.pale")
    view.tuner.image = 1
    view.shows("1.png cannot be read as an image")
    view.tuner.image = 2
    view.until("a.name === '2.png'")


def test_numbers_grow_while_the_model_predicts(show, model, folder):
    """The first image is there at once; the others come with heatmap and numbers, one by one."""
    gate, predict = Event(), model.forward

    def wait_and_predict(batch):
        assert next(calls) == 0 or gate.wait(LIMIT / 1000)
        return predict(batch)

    calls, model.forward = count_up(), wait_and_predict
    view = show(Tuner(model, folder))
    view.until("a.numbers.set.n_images === 1 && a.pale")
    expect(view.root.get_by_label("Images predicted")).to_be_visible()
    view.tuner.image = 3
    view.says("not predicted yet")
    view.until("a.name === '3.png'")
    assert not view.pixels(1)[..., 3].any()
    gate.set()
    view.until("a.numbers.set.n_images === 4 && !a.pale && a.app.entry.heats.length")
    assert view.pixels(1)[..., 3].any()
    expect(view.root.get_by_label("Images predicted")).to_be_hidden()
    assert view.numbers()[1]["set"]["f1"] == pytest.approx(view.tuner.metrics()["pooled"]["f1"])


def test_several_classes(show):
    """Chips choose whose threshold moves; each class is counted by itself, and all together."""
    scenes = {
        c: [draw_scene(10 * k + i, shape=SHAPE) for i in range(3)] for k, c in enumerate("ab")
    }
    heatmaps = [np.stack([scenes[c][i].heatmap for c in "ab"]) for i in range(3)]
    points = [np.concatenate([scenes[c][i].points for c in "ab"]) for i in range(3)]
    points = [(p, ["a"] * 24 + ["b"] * 24) for p in points]
    images = [scene.image for scene in scenes["a"]]
    tuner = Tuner(heatmaps, images, points, radius=RADIUS, classes=("a", "b"))
    tuner.settings = {"thresholds": {"a": 0.3, "b": 0.3}, "min_distances": {"a": 2.0, "b": 2.0}}
    view = show(tuner)
    view.root.get_by_role("button", name="b alone").click()
    view.type("Threshold", 0.6)
    view.root.get_by_role("button", name="a alone").click()
    view.type("Min distance", 5)
    view.root.get_by_role("button", name="All classes").click()
    settings, numbers, _ = view.numbers()
    assert settings["thresholds"] == {"a": 0.3, "b": 0.6}
    assert settings["min_distances"] == {"a": 5, "b": 2}
    view.stage.focus()
    view.press("ArrowRight", "ArrowLeft")
    view.shows("Threshold 0.30 to 0.60")
    assert view.numbers()[0]["thresholds"] == {"a": 0.3, "b": 0.6}
    total = np.zeros(3, dtype=int)
    for c, (threshold, distance) in {"a": (0.3, 5), "b": (0.6, 2)}.items():
        counts = count(scenes[c], threshold=threshold, min_distance=distance, radius=RADIUS)
        assert tuple(numbers["classes"][c][k] for k in ("true", "found", "tp")) == counts
        total += counts
    assert [numbers["set"][k] for k in ("true", "found", "tp")] == total.tolist()
    view.told()
    assert "threshold={a: 0.30, b: 0.60}" in repr(tuner)
    view.type("Threshold", 0.5)
    assert view.told()["thresholds"] == {"a": 0.5, "b": 0.5}
    view.shows("All classes now have the same value")
    view.root.locator("[data-goal='f1']").click()
    assert view.told()["thresholds"] == tuner.best("f1")


def test_three_hundred_images(show):
    """300 small images: the strip, the worst first, and exact numbers of all."""
    scenes = [draw_scene(seed, n=6, shape=(40, 52)) for seed in range(300)]
    view = show(open_tuner(scenes))
    view.until("!a.pale && a.app.ready === 300")
    check_all(view, scenes)
    options = view.root.get_by_role("listbox").get_by_role("option")
    assert options.count() < 60
    assert options.first.get_attribute("aria-setsize") == "300"
    view.root.get_by_role("listbox").focus()
    view.press("End")
    view.until("a.index === a.order[299] && a.name")


# ---- for everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(show, tuner, scheme):
    """In both schemes text stands out from its ground, plots included; the console stays clean."""
    view = show(tuner, scheme=scheme)
    for name in ("Errors", "Trust", "Rules", "Numbers"):
        view.tab(name)
        view.page.wait_for_timeout(100)
    ground, text = view.root.evaluate(
        "root => [getComputedStyle(root).backgroundColor, getComputedStyle(root).color]"
    )
    values = [np.mean([int(v) for v in c[4:-1].split(",")[:3]]) for c in (ground, text)]
    assert (values[0] > values[1] + 100) == (scheme == "light")
    assert abs(values[0] - values[1]) > 100


def test_every_control_has_a_name(view):
    """A screen reader has a name for everything that can be reached, on every tab."""
    line = view.page.context.new_cdp_session(view.page)
    for tab in ("Numbers", "Errors", "Trust", "Rules"):
        view.tab(tab)
        view.until("a.waiting === 0")
        nodes = line.send("Accessibility.getFullAXTree")["nodes"]
        reached = [
            node
            for node in nodes
            if any(
                p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", ())
            )
            and node["role"]["value"] != "RootWebArea"
        ]
        assert len(reached) > 20
        assert [n["role"]["value"] for n in reached if not n["name"]["value"].strip()] == []


def test_keyboard_alone_reaches_everything(view):
    """Tab goes through all controls and is never trapped."""
    view.press("Tab")
    seen = set()
    for _ in range(60):
        seen.add(
            view.page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.tagName")
        )
        view.press("Tab")
    assert {"BODY", "Threshold", "Min distance", "Match radius", "Images"} <= seen


def test_help_lists_the_keys(view):
    """`?` shows every gesture and key; Escape closes it."""
    view.press("?")
    for words in ("threshold, by 0.01", "worst first", "precision equal to recall"):
        view.shows(words)
    view.press("Escape")
    expect(view.root.get_by_role("dialog")).to_have_count(0)


def test_narrow_page_puts_the_numbers_below(view, scenes):
    """Under 760 pixels of width the side stands below the image, and works."""
    view.page.set_viewport_size({"width": 600, "height": 900})
    view.until("a.app.page.root.classList.contains('pl-narrow')")
    stage, dial = view.stage.bounding_box(), view.dial("Threshold").bounding_box()
    assert dial["y"] >= stage["y"] + stage["height"]
    view.dial("Threshold").focus()
    view.press("ArrowRight")
    check_all(view, scenes)


def test_plots_are_described_before_the_settings_are_there(view):
    """A page that rests while Python is still busy has no threshold to name, and no error either."""
    view.read(
        "Object.assign(a.app, { settings: { thresholds: {}, min_distances: {}, radius: 0 } })"
    )
    view.read("a.app.rest()")
    assert " at these thresholds" in view.read("a.app.page.curve.ariaLabel")


@pytest.mark.parametrize("width", [780, 860, 940, 1060, 1200])
def test_bar_hides_no_button(view, width):
    """Where the bar is one row, its last button, help, is inside it at every width."""
    view.page.set_viewport_size({"width": width, "height": 800})
    bar, button = view.root.get_by_role("group", name="View"), view.root.get_by_title("Help (?)")
    outer, inner = bar.bounding_box(), button.bounding_box()
    assert inner["x"] + inner["width"] <= outer["x"] + outer["width"]


def test_room_for_the_image(view, scenes):
    """The tuner fits a small window; z folds bar and strip, Shift+F fills the window, both back."""
    view.page.set_viewport_size({"width": 1366, "height": 536})
    view.until("a.app.page.root.offsetHeight === 520")
    before = view.stage.bounding_box()
    strip, bar = view.root.get_by_role("listbox"), view.root.get_by_role("group", name="View")
    view.press("z")
    expect(strip).to_be_hidden()
    expect(bar).to_be_hidden()
    assert view.stage.bounding_box()["height"] > before["height"] + 100
    view.press("Shift+F")
    view.until("a.app.page.root.offsetHeight === innerHeight")
    check_all(view, scenes)
    view.control("Fold the tools").click()
    expect(bar).to_be_visible()
    view.press("Shift+F", "z", "z")
    view.until(f"a.app.page.root.offsetHeight === 520 && a.app.size.height === {before['height']}")
    assert view.stage.bounding_box() == before


def test_nothing_sticks_out_of_a_phone(view):
    """At 360 pixels of width all controls and the whole status line are inside the widget."""
    view.page.set_viewport_size({"width": 360, "height": 900})
    view.until("a.app.page.root.classList.contains('pl-narrow') && a.waiting === 0")
    outside = """root => [...root.querySelectorAll("button, input, select, [role=status] span")]
        .filter((e) => e.offsetParent && !e.closest("[role=listbox]"))
        .filter((e) => e.getBoundingClientRect().right > root.getBoundingClientRect().right
            || e.scrollWidth > e.clientWidth + 1 && e.matches("span"))
        .map((e) => e.outerHTML)"""
    assert view.root.evaluate(outside) == []
