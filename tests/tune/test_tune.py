"""The tuner without a browser: messages in, messages out, and the same from code."""

import base64
import gc
import io
import json
import math
import subprocess
import sys
import threading
import weakref
from itertools import chain, pairwise

import numpy as np
import pytest
from conftest import Brightness, blobs
from PIL import Image
from stand_in import SESSION, Browser

from pointlib.dataset import MemoryDataset
from pointlib.errors import InputError
from pointlib.heatmaps import draw_classes, gaussian_max
from pointlib.images import write_image
from pointlib.matching import match_points
from pointlib.metrics import score_images
from pointlib.model.folder import read_info, save_model
from pointlib.model.point_model import ModelInfo, PointModel, build_model
from pointlib.predict.points import predict_points
from pointlib.sweep import best_threshold, sweep
from pointlib.thresholds import basic_threshold, connected_components, find_candidates, find_peaks
from pointlib.tune.preview import snapshot
from pointlib.tune.trial import Trial
from pointlib.tune.widget import Tuner

SHAPE = (48, 64)


def spots(seed, n=9):
    """Return true points, and a heatmap that puts them a little elsewhere, among noise."""
    rng = np.random.default_rng(seed)
    true = rng.uniform([2, 2], [SHAPE[1] - 3, SHAPE[0] - 3], (n, 2))
    moved = np.clip(true + rng.normal(0, 1, true.shape), 0, None)
    heights = np.asarray(gaussian_max(moved, SHAPE, sigma=1.5)) * 0.8
    return true, np.clip(heights + rng.uniform(0, 0.2, SHAPE), 0, 1).astype(np.float32)


TRUTH, HEATMAPS = zip(*(spots(seed) for seed in range(4)), strict=True)
PICTURES = [np.uint8(255 * heatmap) for heatmap in HEATMAPS]


@pytest.fixture
def open_tuner():
    """Return a function that opens tuners, which are closed afterwards."""
    opened = []

    def open_it(*args, **options):
        opened.append(Tuner(*args, **options))
        return opened[-1]

    yield open_it
    for tuner in opened:
        tuner.close()


@pytest.fixture
def tuner(open_tuner):
    """Return a tuner of four labelled images of one class."""
    return open_tuner(HEATMAPS, PICTURES, TRUTH, radius=3.0)


@pytest.fixture
def pair(open_tuner):
    """Return a tuner of two classes; of its three images the last is unlabelled."""
    heatmaps = [np.stack([HEATMAPS[i], HEATMAPS[i + 1]]) for i in range(3)]
    points = [
        (np.concatenate(TRUTH[i : i + 2]), np.repeat(["crop", "weed"], len(TRUTH[0])))
        for i in range(2)
    ]
    classes = ("crop", "weed")
    return open_tuner(heatmaps, PICTURES[:3], [*points, None], radius=3.0, classes=classes)


@pytest.fixture
def browser(tuner):
    """Return a view of it that has said hello."""
    return greeted(tuner)


def greeted(tuner, session=SESSION):
    """Return a view that has its candidates."""
    view = Browser(tuner, session)
    view.ask("hello", "candidates")
    return view


def model_of(**changes):
    """Return a model whose heatmap is the image itself, of grey uint8 images."""
    info = ModelInfo(n_channels=1, mean=(0.0,), std=(1.0,), sigma=2.0, radius=4.0, **changes)
    return PointModel(Brightness(), info)


def rows_of(message, buffers):
    """Return {image: {class: rows}} of a message with candidates, for both buffers."""
    found, true = (
        np.frombuffer(b, "<f8").reshape(-1, k) for b, k in zip(buffers, (4, 2), strict=True)
    )
    parts = []
    for rows, key in ((found, "counts"), (true, "trues")):
        ends = np.cumsum([0, *(n for image in message["images"] for n in image[key])])
        pieces = iter([rows[a:b] for a, b in pairwise(ends)])
        parts.append({im["index"]: [next(pieces) for _ in im[key]] for im in message["images"]})
    assert sum(len(r) for part in parts[0].values() for r in part) == len(found)
    return parts


# ---- hello, candidates, pictures


def test_hello_is_answered_with_all_that_is_known(tuner):
    """The welcome names classes, images, truth, settings and limits, and proves buffers arrive."""
    browser = Browser(tuner)
    welcome, buffers = browser.ask("hello", "welcome")
    assert (welcome["session"], welcome["classes"], welcome["n_images"]) == (SESSION, ["point"], 4)
    assert welcome["names"] == tuner.images
    assert (welcome["labelled"], welcome["counts_true"]) == ([True] * 4, [[9]] * 4)
    assert welcome["settings"] == tuner.settings | {"radius": {"point": tuner.radius}}
    assert (welcome["floor"], welcome["index"], welcome["hold_back"]) == (0.05, 0, 0.0)
    assert sorted(welcome["held"]) == [0, 1, 2, 3]
    assert (welcome["has_image"], welcome["has_heatmap"], welcome["can_use"]) == (True, True, "")
    assert welcome["limits"]["radius"] >= 3.0
    assert buffers == [b"\1\2\3"]


def test_candidates_come_class_after_class_best_first(pair):
    """Rows x, y, score, isolation, and the true points, as Python has them; unlabelled: none."""
    message, buffers = greeted(pair).wait("candidates")
    found, true = rows_of(message, buffers)
    for i in range(3):
        for k, name in enumerate(("crop", "weed")):
            peaks = pair._tuning_set.candidates[i][name]
            expected = np.column_stack([peaks.points, peaks.scores, peaks.isolation])
            assert np.array_equal(found[i][k], expected)
            known = pair._tuning_set.truth[i][name] if i < 2 else np.zeros((0, 2))
            assert np.array_equal(true[i][k], known)


def test_base64_serves_where_buffers_do_not_arrive(tuner):
    """After a hello with base64, every message carries its bytes as text."""
    browser = Browser(tuner)
    welcome, buffers = browser.ask("hello", "welcome", base64=True)
    assert ([base64.b64decode(d) for d in welcome["data"]], buffers) == ([b"\1\2\3"], [])
    message, buffers = browser.wait("candidates")
    assert buffers == []
    assert len(base64.b64decode(message["data"][0])) == 32 * sum(
        i["counts"][0] for i in message["images"]
    )


def test_image_comes_with_its_heatmaps(pair):
    """Image first, then a grey PNG a class whose pixels are round(255 h)."""
    content, (data, *heats) = greeted(pair).ask("image", index=1)
    assert (content["index"], content["width"], content["height"]) == (1, 64, 48)
    assert (content["error"], content["heat_mimes"]) == ("", ["image/png"] * 2)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), PICTURES[1])
    for heat, heatmap in zip(heats, (HEATMAPS[1], HEATMAPS[2]), strict=True):
        assert np.abs(np.asarray(Image.open(io.BytesIO(heat))) - 255.0 * heatmap).max() <= 0.51


def test_heatmaps_alone_are_shown_too(open_tuner):
    """No image: its part is empty, size and thumbnail come from the heatmap."""
    browser = greeted(open_tuner(HEATMAPS, None))
    content, (data, heat) = browser.ask("image", index=2)
    assert (content["width"], content["height"], content["mime"], data) == (64, 48, "", b"")
    assert heat[:4] == b"\x89PNG"
    content, (data,) = browser.ask("thumbs", "thumb", indices=[3])
    assert (content["index"], content["error"], data[:2]) == (3, "", b"\xff\xd8")


def test_deep_image_comes_with_its_range_and_obeys_limits(open_tuner):
    """16 bits: limits chosen, told, and changed by the browser."""
    browser = greeted(open_tuner(HEATMAPS[:1], [PICTURES[0].astype(np.uint16) * 20 + 1000]))
    content, (data, _) = browser.ask("image", index=0)
    assert content["deep"]
    assert content["range"][0] <= content["black"] < content["white"] <= content["range"][1]
    content, (other, _) = browser.ask("image", index=0, black=1000, white=60000)
    assert (content["black"], content["white"]) == (1000, 60000)
    assert other != data


def test_files_are_passed_on_as_they_are(open_tuner, make_folder):
    """Of a folder the browser gets the files; those with truth are labelled."""
    folder = make_folder(2, shape=SHAPE)
    tuner = open_tuner(model_of(), folder)
    browser = greeted(tuner)
    content, (data, _) = browser.ask("image", index=0)
    assert data == (folder / tuner.images[0]).read_bytes()
    assert (content["name"], content["error"]) == ("dots_0.png", "")
    assert len(tuner.match()["point"].pairs) > 0


class Slow(Brightness):
    """A network that waits until it may go on, from its second image on."""

    def __init__(self):
        super().__init__()
        self.may, self.n = threading.Event(), 0

    def forward(self, batch):
        """Return logits, in time."""
        self.n += 1
        assert self.n == 1 or self.may.wait(60)
        return super().forward(batch)


@pytest.fixture
def slow(open_tuner):
    """Return a tuner whose model still thinks about the second of three images."""
    model = model_of()
    model.network = Slow()
    images, points = zip(*(blobs(SHAPE, seed=k) for k in range(3)), strict=True)
    tuner = open_tuner(model, list(images), list(points))
    yield tuner
    model.network.may.set()


def test_predictions_are_told_one_by_one(slow):
    """A view has what is there; then each image comes with the progress, and its heatmap."""
    browser = greeted(slow)
    assert [i["index"] for i in browser.wait("candidates")[0]["images"]] == [0]
    assert browser.wait("progress")[0]["ready"] == 1
    content, (data, *heats) = browser.ask("image", index=2)
    assert (data[:4], heats, content["heat_mimes"]) == (b"\x89PNG", [], [])
    browser.inbox.clear()
    slow._tuning_set.model.network.may.set()
    content, (_, heat) = browser.wait("image", heat_mimes=["image/png"])
    assert (content["index"], heat[:4]) == (2, b"\x89PNG")
    told = [m["images"][0]["index"] for m, _ in browser.inbox if m["type"] == "candidates"]
    assert told == [1, 2]
    assert browser.wait("progress", ready=3)[0]["total"] == 3


def test_display_does_not_wait_for_all_predictions(slow, monkeypatch):
    """A cell shows its widget while the model thinks; the repr waits for the number."""
    monkeypatch.setattr("pointlib.tune.widget.PATIENCE", 0.01)
    data, *_ = slow._repr_mimebundle_()
    assert data["text/plain"] == "Tuner(3 images, predicting)"
    slow._tuning_set.model.network.may.set()
    assert repr(slow).startswith("Tuner(threshold=0.30, points=")


def test_unreadable_image_is_said_and_the_rest_works(open_tuner, make_folder):
    """Its message holds the reader's sentence; numbers are of the others."""
    folder = make_folder(3, shape=SHAPE)
    (folder / "dots_1.png").write_bytes(b"this is no picture")
    tuner = open_tuner(model_of(), folder)
    tuner._tuning_set.wait()
    message, _ = greeted(tuner).wait("candidates")
    assert ["cannot be read" in image["error"] for image in message["images"]] == [
        False,
        True,
        False,
    ]
    assert tuner.metrics()["n_images"] == 2
    with pytest.raises(InputError, match="cannot be read"):
        tuner.points("dots_1.png")
    browser = greeted(tuner)
    assert "cannot be read" in browser.ask("image", index=1)[0]["error"]
    assert "cannot be read" in browser.ask("thumbs", "thumb", indices=[1])[0]["error"]


# ---- settings, both ways


def test_what_the_browser_sets_is_seen_from_code(browser, tuner):
    """A drag's message changes all settings; every other view is told by whom."""
    settings = {"thresholds": {"point": 0.45}, "min_distances": {"point": 3.5}, "radius": 5}
    content = {"index": 2, "hold_back": 0.25, "most_false": 0.1, "seq": 7}
    answer = browser.ask("set", "settings", **settings, **content)[0]
    assert (answer["from"], answer["index"], answer["hold_back"]) == (SESSION, 2, 0.25)
    assert (tuner.threshold, tuner.min_distance, tuner.radius) == (0.45, 3.5, 5.0)
    assert (tuner.image, tuner.hold_back, tuner.settings) == ("image 2", 0.25, settings)


def test_what_code_sets_is_told_to_the_browser(browser, tuner):
    """Each setting reaches every view at once, from nobody."""
    tuner.threshold, tuner.min_distance, tuner.radius = 0.4, 2, 6
    tuner.image, tuner.hold_back = -1, 0.5
    told = browser.wait("settings", hold_back=0.5)[0]
    assert (told["thresholds"], told["min_distances"]) == ({"point": 0.4}, {"point": 2.0})
    assert (told["radius"], told["index"], told["from"]) == ({"point": 6.0}, 3, None)
    tuner.image = "image 1"
    assert browser.wait("settings", index=1)[0]["thresholds"] == {"point": 0.4}


def test_classes_that_differ_are_a_dict(pair):
    """One number sets all; a dict sets those it names; equal ones are one number again."""
    pair.threshold = 0.4
    assert pair.threshold == 0.4
    pair.threshold = {"weed": 0.5}
    assert pair.threshold == {"crop": 0.4, "weed": 0.5}
    pair.settings = {"min_distances": {"crop": 1}, "radius": 2.5}
    assert (pair.settings["min_distances"]["crop"], pair.radius) == (1.0, 2.5)


def test_each_class_may_have_its_own_radius(pair):
    """A dict sets what it names; every number is that of score_images at these radii."""
    pair.radius = {"weed": 1.5}
    assert pair.radius == {"crop": 3.0, "weed": 1.5}
    assert pair.settings["radius"] == pair.radius
    trial = pair._trial
    metrics = pair.metrics()
    assert metrics["radius"] == pair.radius
    for name, within in pair.radius.items():
        hits = [len(trial.match(i)[name].pairs) for i in trial.live]
        parts = [trial.result(i).of_class(name) for i in trial.live]
        again = [len(match_points(p.true, p.found, radius=within).pairs) for p in parts]
        assert hits == again
        assert metrics["classes"][name]["tp"] == sum(hits)
    assert trial.rules()["maximum pairs"] == pytest.approx(metrics["pooled"]["f1"])
    with pytest.raises(InputError, match="class 'cow' is not known"):
        pair.radius = {"cow": 2}
    pair.radius = 3
    assert pair.radius == 3.0


def test_classes_that_exclude_each_other_have_one_best_threshold(open_tuner):
    """A model of exclusive classes: the best for a goal is that of all classes together."""
    info = ModelInfo(classes=("a", "b"), exclusive=True, n_channels=2, sigma=2.0, radius=4.0)
    info.mean, info.std = (0.0, 0.0), (1.0, 1.0)
    rng, items = np.random.default_rng(0), []
    for _ in range(3):
        points, labels = rng.uniform(8, 56, (8, 2)), np.resize(["a", "b"], 8)
        drawn = draw_classes(points, labels, (64, 64), classes=info.classes, sigma=2.0)
        height = rng.uniform(0.3, 1)
        items.append((np.moveaxis(255 * height * drawn.numpy(), 0, 2), points[:6], labels[:6]))
    tuner = open_tuner(PointModel(Brightness(), info), MemoryDataset(items))
    browser = Browser(tuner)
    assert browser.ask("hello", "welcome")[0]["exclusive"] is True
    tuner._tuning_set.wait()  # the best of two images is not that of three
    trial = tuner._trial
    for goal in ("f1", "count", "equal"):
        best = trial.best(goal)
        assert best["a"] == best["b"] == best_threshold(trial.together(), goal)


def test_settings_that_code_holds_are_copies(tuner):
    """Changing what was returned changes nothing unsaid."""
    before = tuner.threshold
    tuner.settings["thresholds"]["point"] = 0.99
    tuner.state["thresholds"]["point"] = 0.99
    assert tuner.threshold == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": float("nan")}, "threshold is nan; expected a number, 0.05 or more"),
        ({"threshold": -0.1}, "threshold is -0.1"),
        ({"threshold": 0.01}, "threshold is 0.01; expected a number, 0.05 or more"),
        ({"threshold": "high"}, "threshold is 'high'"),
        ({"threshold": True}, "threshold is True"),
        ({"threshold": {"cow": 0.3}}, "class 'cow' is not known. Known: point"),
        ({"min_distance": -1}, "min_distance is -1; expected a number, 0 or more"),
        ({"radius": None}, "radius is None"),
        ({"hold_back": 0.6}, "hold_back is 0.6; expected a number, 0 to 0.5"),
        ({"image": "image 9"}, "no image 'image 9'. Did you mean"),
        ({"image": 4}, "no image 4"),
        ({"settings": {"treshold": 1}}, "settings has 'treshold'"),
        ({"settings": None}, "settings is None; expected a dict, as tuner.settings returns it"),
        ({"state": {"thresholds": {"point": 0.2}, "moon": 1}}, "'moon' is not a setting"),
        *(({"state": {word: 1}}, f"'{word}' is not a setting") for word in ("by", "self")),
        *(({"state": state}, "state is .*; expected a dict") for state in (None, [], {1: 2})),
    ],
)
def test_wrong_settings_are_sentences_and_change_nothing(tuner, change, message):
    """What code gets wrong is an InputError."""
    before = tuner.state
    (name, value), *_ = change.items()
    with pytest.raises(InputError, match=message):
        setattr(tuner, name, value)
    assert tuner.state == before


@pytest.mark.parametrize(
    "message",
    [
        *(None, [], "set", 3, {}, {"type": "set"}),
        {"type": "set", "session": SESSION, "thresholds": {"point": "x"}},
        {"type": "set", "session": SESSION, "radius": -1, "index": 2},
        {"type": "set", "session": SESSION, "thresholds": 0.3, "min_distances": {"cow": 1}},
        *({"type": "image", "session": SESSION, "index": i} for i in (True, 9, 1.0, "0", [])),
        {"type": "thumbs", "session": SESSION, "indices": 10**9},
        {"type": "insight", "session": SESSION, "seq": 1, "which": "future"},
        {"type": "match", "session": SESSION, "seq": 1, "index": -1},
    ],
)
def test_nonsense_changes_nothing_and_raises_nothing(browser, tuner, message):
    """Whatever a broken page sends becomes a notice, and the next message is answered as ever."""
    before = tuner.state
    browser.inbox.clear()
    data = {"method": "custom", "content": message}
    tuner._handle_msg({"content": {"data": data}, "buffers": []})
    assert browser.wait("notice")[0]["level"] == "error"
    assert tuner.state == before
    assert browser.ask("ping", "pong", t=1)[0]["t"] == 1


def test_state_makes_the_same_again(pair, open_tuner):
    """A state goes through JSON into another tuner."""
    pair.threshold, pair.image, pair.hold_back = {"weed": 0.5}, 1, 0.5
    state = json.loads(json.dumps(pair.state))
    other = open_tuner([np.stack(HEATMAPS[:2])] * 2, PICTURES[:2], classes=("crop", "weed"))
    other.state = state
    assert (other.state, other.image) == (state, "image 1")
    assert other.settings == pair.settings


# ---- numbers


@pytest.mark.parametrize("seed", range(5))
def test_points_and_matches_are_those_from_scratch(pair, seed):
    """At any settings: find_peaks on the heatmap, match_points on what it finds."""
    rng = np.random.default_rng(seed)
    threshold, distance, radius = rng.uniform([0.05, 0, 0], [1, 6, 6])
    pair.threshold, pair.min_distance, pair.radius = threshold, distance, radius
    points, labels, scores = pair.points(1)
    assert (np.diff(scores) <= 0).all()
    for k, name in enumerate(("crop", "weed")):
        expected, _ = find_peaks(HEATMAPS[1 + k], threshold=threshold, min_distance=distance)
        assert np.array_equal(points[labels == name], expected)
        match = match_points(TRUTH[1 + k], expected, radius=radius)
        for ours, scratch in zip(pair.match(1)[name], match, strict=True):
            assert np.array_equal(ours, scratch)


def test_best_is_the_sweeps_and_sets_nothing(tuner):
    """At the current radius and distance, for every goal, over all images."""
    tuner.min_distance = 2.5
    images = [(t, find_candidates(h)) for t, h in zip(TRUTH, HEATMAPS, strict=True)]
    counts, before = sweep(images, radius=3.0, min_distance=2.5), tuner.state
    for goal in ("f1", "count", "equal"):
        assert tuner.best(goal) == best_threshold(counts, goal)
    assert tuner.best("few false", most_false=0.3) == best_threshold(
        counts, "few false", most_false=0.3
    )
    assert tuner.state == before
    with pytest.raises(InputError, match="goal is 'f2'. Known: f1, count"):
        tuner.best("f2")


def test_best_of_several_classes_is_one_each(pair):
    """A dict, and each class is chosen by itself."""
    best = pair.best()
    assert set(best) == {"crop", "weed"}
    images = [(TRUTH[i], find_candidates(HEATMAPS[i])) for i in range(2)]
    counts = sweep(images, radius=3.0, min_distance=pair.settings["min_distances"]["crop"])
    assert best["crop"] == best_threshold(counts)


def test_match_message_names_rows_that_were_sent(pair):
    """Pairs are places among all candidates, kept or not; nobody marked: no pairs."""
    browser = greeted(pair)
    settings = {"thresholds": {"crop": 0.4, "weed": 0.3}, "min_distances": {"crop": 4}, "radius": 3}
    found, true = rows_of(*browser.wait("candidates"))
    answer = browser.ask("match", seq=5, index=1, **settings)[0]
    assert (answer["seq"], answer["session"], answer["index"]) == (5, SESSION, 1)
    assert len(answer["pairs"]["crop"]) > 2
    for k, name in enumerate(("crop", "weed")):
        i, j = np.array(answer["pairs"][name]).T
        assert (found[1][k][j, 2] >= settings["thresholds"][name]).all()
        far = np.hypot(*(true[1][k][i] - found[1][k][j, :2]).T)
        assert answer["distances"][name] == pytest.approx(far)
        assert far.max() <= 3
    assert answer["error_px"] == pytest.approx(
        np.mean([*chain.from_iterable(answer["distances"].values())])
    )
    answer = browser.ask("match", seq=6, index=2, **settings)[0]
    assert (answer["pairs"], answer["error_px"]) == ({}, None)
    assert pair.radius == 3.0
    assert pair.threshold != settings["thresholds"]


def test_metrics_and_table_are_of_labelled_images(pair):
    """The same figures as evaluate's, a line a class."""
    metrics = pair.metrics()
    assert (metrics["n_images"], metrics["radius"]) == (2, 3.0)
    n_hits = sum(len(m.pairs) for i in range(2) for m in pair.match(i).values())
    assert metrics["pooled"]["tp"] == n_hits
    assert [line.split()[0] for line in pair.table().splitlines()[1:4]] == ["crop", "weed", "all"]


def test_nothing_true_leaves_counts(open_tuner):
    """Without truth: counts an image; numbers that need truth are NaN or a sentence."""
    tuner = open_tuner(HEATMAPS, PICTURES)
    tuner.threshold = 0.5
    n = [len(tuner.points(i)[0]) for i in range(4)]
    assert [line.split(maxsplit=1) for line in tuner.table().splitlines()] == [
        [str(k), f"image {i}"] for i, k in enumerate(n)
    ]
    assert repr(tuner) == f"Tuner(threshold=0.50, points={sum(n)})"
    assert math.isnan(tuner.best())
    with pytest.raises(InputError, match="image 0 is not annotated"):
        tuner.match()


def test_hold_back_leaves_images_out_of_every_number(tuner, browser):
    """Half of four: the same two each time; they alone make the interval."""
    assert "No image is held back" in tuner.count_interval().why
    tuner.hold_back = 0.5
    held = browser.ask("hello", "welcome")[0]["held"][:2]
    assert tuner.metrics()["n_images"] == 2
    live = [i for i in range(4) if i not in held]
    images = [(TRUTH[i], find_candidates(HEATMAPS[i])) for i in live]
    counts = sweep(images, radius=3.0, min_distance=tuner.min_distance)
    assert tuner.best() == best_threshold(counts)
    assert set(tuner.anatomy()["flaws"]) == {f"image {i}" for i in live}
    interval = tuner.count_interval(coverage=0.6)
    off = [abs(9 - len(tuner.points(i)[0])) / np.sqrt(len(tuner.points(i)[0]) + 1) for i in held]
    assert (interval.n, interval.half_width, interval.why) == (2, pytest.approx(max(off)), "")


def test_half_an_image_held_back_is_a_whole_one():
    """Of five images: the counts that sweep.js has in tests/js/tune.test.mjs."""
    trials = [Trial(None, (4, 3, 2, 1, 0), {}, {}, 3.0, hold_back=h) for h in (0, 0.1, 0.3, 0.5)]
    assert [len(trial.held) for trial in trials] == [0, 1, 2, 3]


def test_insights_are_what_code_gets(browser, tuner):
    """Anatomy, rules and trust by message, at the settings of the message."""
    settings = {**tuner.settings, "thresholds": {"point": 0.55}, "hold_back": 0.25}
    tuner.settings, tuner.hold_back = {**tuner.settings, "thresholds": {"point": 0.55}}, 0.25
    table, rules, bins = tuner.anatomy(), tuner.rules(), tuner.reliability()
    answers = {
        which: browser.ask("insight", seq=3, which=which, **settings)[0]
        for which in ("anatomy", "rules", "trust")
    }
    assert {(a["seq"], a["error"], a["session"]) for a in answers.values()} == {(3, "", SESSION)}
    data = answers["anatomy"]["data"]
    assert {k["kind"]: k["n"] for k in data["kinds"]} == {
        k: v["n"] for k, v in table["kinds"].items()
    }
    assert len(data["flaws"]) == sum(k["n"] for k in data["kinds"]) > 0
    n_of = [len(table["flaws"][f"image {flaw['image']}"]) for flaw in data["flaws"]]
    assert n_of == sorted(n_of, reverse=True)
    assert {row["rule"]: row["f1"] for row in answers["rules"]["data"]} == rules
    assert rules["maximum pairs"] == tuner.metrics()["pooled"]["f1"] == data["f1"]
    trust = answers["trust"]["data"]
    assert [row["n"] for row in trust["bins"]] == bins.n.tolist()
    assert (trust["interval"]["half_width"], trust["visible"]["high"]) == (None, None)
    assert "needs 9 labelled images" in trust["interval"]["why"]


def test_insight_that_cannot_be_is_a_sentence(browser, tuner):
    """Heatmaps have no sigma, so there is no ceiling."""
    answer = browser.ask("insight", seq=1, which="ceiling", **tuner.settings)[0]
    assert (answer["data"], answer["seq"]) == (None, 1)
    assert "sigma" in answer["error"]
    with pytest.raises(InputError, match="sigma"):
        tuner.ceiling()


def test_ceiling_of_a_model_is_above_what_it_reaches(open_tuner):
    """With the model's sigma; by message the same."""
    images, points = zip(*(blobs(SHAPE, seed=k) for k in range(2)), strict=True)
    tuner = open_tuner(model_of(), list(images), list(points))
    ceiling = tuner.ceiling()
    assert ceiling.f1 >= tuner.metrics()["pooled"]["f1"]
    assert (ceiling.f1, ceiling.n_true) == (1.0, 10)
    data = greeted(tuner).ask("insight", seq=1, which="ceiling", **tuner.settings)[0]["data"]
    assert (data["f1"], data["sigma"]) == (1.0, 2.0)


def test_others_stand_beside_at_fixed_settings(tuner, browser):
    """A row equals that function's points scored by evaluate's figures; the slider moves it not."""
    tuner.add_beside(connected_components, threshold=0.4, min_distance=1.0)
    tuner.add_beside(basic_threshold, threshold=0.5, name="plain")
    rows = {row["name"]: row for row in browser.wait("beside")[0]["rows"]}
    result = tuner._trial.result(0)
    results = []
    for true, heatmap in zip(TRUTH, HEATMAPS, strict=True):
        found, scores = connected_components(heatmap, threshold=0.4, min_distance=1.0)
        labels = np.full(len(true), "point"), np.full(len(found), "point")
        results.append(
            result._replace(
                true=true, true_labels=labels[0], found=found, found_labels=labels[1], scores=scores
            )
        )
    expected = score_images(results, radius=3.0, classes=("point",))
    tuner.threshold = 0.9
    rows = {row["name"]: row for row in browser.ask("hello", "beside")[0]["rows"]}
    assert list(rows) == list(tuner.beside) == ["connected_components", "plain"]
    row = rows["connected_components"]
    assert row["f1"] == expected["pooled"]["f1"]
    assert (row["count_error"], row["threshold"]) == (expected["counts"]["mae"], 0.4)
    assert "plain at 0.5, distance 0 px: precision" in tuner.table()


def test_functions_of_ones_own_may_return_lists_and_write_into_the_heatmap(tuner):
    """Nothing found may be two empty lists; nobody else sees what a function did to the heatmap."""

    def nothing(heatmap, **_):
        heatmap[:] = 0
        return [], []

    before = tuner._tuning_set.heatmap(0).copy()
    tuner.add_beside(nothing, threshold=0.3)
    assert "nothing at 0.3, distance 0 px: precision nan, recall 0.000" in tuner.table()
    assert np.array_equal(tuner._tuning_set.heatmap(0), before)


def test_others_follow_the_radius(tuner, browser):
    """Another radius, other numbers, told without being asked."""
    tuner.add_beside(find_peaks, threshold=0.3, min_distance=2.0)
    before = browser.wait("beside")[0]["rows"][0]["f1"]
    browser.inbox.clear()
    tuner.radius = 0.5
    assert browser.wait("beside")[0]["rows"][0]["f1"] < before


def test_what_cannot_stand_beside_is_refused(tuner, open_tuner):
    """No function, wrong settings, no heatmaps: a sentence, and nothing is added."""
    with pytest.raises(InputError, match="threshold_fn is 'find_peaks'; expected a function"):
        tuner.add_beside("find_peaks", threshold=0.3)
    with pytest.raises(InputError, match="threshold is nan"):
        tuner.add_beside(find_peaks, threshold=float("nan"))
    with pytest.raises(InputError, match="threshold is 'auto'; expected a number"):
        tuner.add_beside(lambda _, **options: ([], []), threshold="auto")
    with pytest.raises(InputError, match=r"scores has shape \(2,\) for 1 found"):
        tuner.add_beside(lambda _, **options: ([[1, 2]], [0.5, 0.6]), threshold=0.3)
    assert tuner.beside == {}
    found = open_tuner([{"point": find_candidates(HEATMAPS[0])}], PICTURES[:1])
    with pytest.raises(InputError, match="no heatmaps"):
        found.add_beside(find_peaks, threshold=0.3)


@pytest.mark.parametrize("heatmap", [np.zeros(SHAPE), np.full(SHAPE, np.nan), HEATMAPS[0] * np.nan])
@pytest.mark.parametrize("true", [np.zeros((0, 2)), TRUTH[0]])
def test_nothing_found_and_nothing_true(open_tuner, heatmap, true):
    """0 candidates, 0 truth, NaN: every number and message is there, undefined ones are null."""
    tuner = open_tuner([heatmap], PICTURES[:1], [true], radius=3.0)
    browser = greeted(tuner)
    assert tuner.points()[0].shape == (0, 2)
    assert math.isnan(tuner.best("count"))
    assert "points=0" in repr(tuner)
    answer = browser.ask("match", seq=1, index=0, **tuner.settings)[0]
    assert (answer["pairs"], answer["error_px"]) == ({"point": []}, None)
    for which in ("anatomy", "rules", "trust"):
        assert browser.ask("insight", seq=1, which=which, **tuner.settings)[0]["error"] == ""
    assert browser.ask("image", index=0)[0]["error"] == ""


# ---- keeping them


@pytest.fixture
def saved(tmp_path):
    """Return a saved model's folder, whose network has learned nothing."""
    info = ModelInfo(n_channels=1, thresholds={"point": 0.9}, metrics={"validation": {"f1": 0.5}})
    save_model(build_model(info), tmp_path / "m")
    return tmp_path / "m"


def test_use_is_what_predict_uses(saved, open_tuner, make_folder):
    """Written into the folder and the model; training's numbers and the older file stay."""
    tuner = open_tuner(saved, make_folder(2, shape=SHAPE))
    tuner.threshold, tuner.min_distance = 0.125, 3
    assert tuner.use() == saved / "pointlib.json"
    info = read_info(saved)
    assert (info.thresholds, info.min_distances) == ({"point": 0.125}, {"point": 3.0})
    assert info.metrics["validation"] == {"f1": 0.5}
    assert info.metrics["tuned"]["n_images"] == 2
    assert (saved / "pointlib.json.bak").exists()
    image = blobs(SHAPE, seed=0)[0]
    expected = predict_points(tuner._tuning_set.model, image, threshold=0.125, min_distance=3)
    assert np.array_equal(predict_points(tuner._tuning_set.model, image)[2], expected[2])


def test_use_by_the_browser_says_what_it_did(saved, open_tuner, make_folder):
    """Not sure is sure enough where the images may choose."""
    browser = greeted(open_tuner(saved, make_folder(2, shape=SHAPE)))
    browser.tell("set", thresholds={"point": 0.25}, seq=1)
    content = browser.ask("use", "used", sure=False, most_false=0.05)[0]
    assert (content["path"], content["needs_sure"]) == (str(saved / "pointlib.json"), False)
    assert content["text"].startswith("Predictions use these settings from now on")
    assert read_info(saved).thresholds == {"point": 0.25}


def test_test_images_may_choose_only_after_a_question(saved, open_tuner, make_folder, capsys):
    """The widget asks first; code prints the caution; both record the part."""
    folder = make_folder(2, shape=SHAPE)
    (folder / "test.txt").write_text("dots_0.png\ndots_1.png\n")
    tuner = open_tuner(saved, folder)
    browser = greeted(tuner)
    asked = browser.ask("use", "used", sure=False)[0]
    assert (asked["needs_sure"], asked["path"]) == (True, "")
    assert "Some or all of these are test images" in asked["text"]
    assert "tuned" not in read_info(saved).metrics
    assert "test images" in browser.ask("use", "used", sure=True)[0]["text"]
    assert read_info(saved).metrics["tuned"]["part"] == "test"
    tuner.use()
    assert "Choose on validation images" in capsys.readouterr().out


def test_training_images_are_cautioned_against(open_tuner, make_folder):
    """A model that saw these images says so, and that an interval from them is no guarantee."""
    model = model_of(training={"images": {"train": ["dots_0.png", "dots_1.png"]}})
    tuner = open_tuner(model, make_folder(2, shape=SHAPE))
    browser = greeted(tuner)
    assert "was trained on these images" in browser.ask("use", "used", sure=False)[0]["text"]
    tuner.hold_back = 0.5
    assert "trained on these images" in tuner.count_interval(0.4).why


def test_model_in_memory_keeps_settings_without_a_folder(open_tuner, capsys):
    """Its info is changed; there is no path to return."""
    image, points = blobs(SHAPE)
    model = model_of()
    tuner = open_tuner(model, [image], [points])
    tuner.threshold = 0.75
    assert tuner.use() is None
    assert model.info.thresholds == {"point": 0.75}
    assert (model.info.metrics["tuned"]["radius"], capsys.readouterr().out) == (4.0, "")


def test_heatmaps_have_no_folder_unless_named(tuner, saved, browser):
    """A sentence, from code and by message; a folder that is named serves."""
    with pytest.raises(InputError, match="without a model folder"):
        tuner.use()
    content = browser.ask("use", "used", sure=True)[0]
    assert ("without a model folder" in content["text"], content["path"]) == (True, "")
    assert tuner.use(saved) == saved / "pointlib.json"
    assert read_info(saved).thresholds == tuner.settings["thresholds"]


# ---- display and end


def test_repr_is_stable_and_short(tuner, pair):
    """Threshold, points of all images, F1; classes that differ are listed."""
    tuner.threshold = 0.5
    n_points, f1 = sum(len(tuner.points(i)[0]) for i in range(4)), tuner.metrics()["pooled"]["f1"]
    assert repr(tuner) == f"Tuner(threshold=0.50, points={n_points}, f1={f1:.2f})"
    pair.threshold = {"crop": 0.3, "weed": 0.45}
    assert repr(pair).startswith("Tuner(threshold={crop: 0.30, weed: 0.45}, points=")


def test_display_holds_widget_text_and_a_small_picture(tuner, pair, open_tuner):
    """Viewers without widgets show the image with its errors, or the points, or the heatmap."""
    data, *_ = tuner._repr_mimebundle_()
    assert data["text/plain"] == repr(tuner)
    assert "application/vnd.jupyter.widget-view+json" in data
    pair.image = 2
    for other in (tuner, pair, open_tuner(HEATMAPS, None)):
        picture = base64.b64decode(other._repr_mimebundle_()[0]["image/png"])
        assert Image.open(io.BytesIO(picture)).size == (400, 300)
        assert len(picture) <= 90_000
    tuner.threshold = 1
    assert tuner._repr_mimebundle_()[0]["image/png"] != data["image/png"]


def test_noisy_picture_is_made_small(open_tuner):
    """What does not fit into 120 kB of text is shown smaller."""
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3)).astype(np.uint8)
    tuner = open_tuner([np.zeros((900, 1200))], [noise])
    assert len(tuner._repr_mimebundle_()[0]["image/png"]) <= 120_000


def test_crowds_are_shown_without_marks(tuner, monkeypatch):
    """Marks by the thousand take half a minute to draw and tell nothing: the image stands alone."""
    marked = snapshot(tuner._trial)
    monkeypatch.setattr("pointlib.tune.preview.MARKS", 10)
    plain = snapshot(tuner._trial)
    assert plain != marked
    tuner.threshold = 1
    assert snapshot(tuner._trial) != plain  # 9 misses are few enough


def test_newer_requests_replace_those_that_wait(browser, tuner):
    """Of images asked for in a hurry the last one comes for certain, and not each on the way."""
    gate, began, seen = threading.Event(), threading.Event(), []
    server = tuner._server
    server._painter.put(("image", "other"), lambda: began.set() or gate.wait())
    assert began.wait(60)
    server._send_image = lambda message: seen.append(message["index"])
    for index in (0, 1, 2, 0, 3):
        browser.tell("image", index=index)
    gate.set()
    browser.ask("thumbs", "thumb", indices=[0])
    assert seen == [3]


def test_close_ends_everything_and_twice_does_no_harm(slow):
    """Threads stop; what was found stays readable."""
    slow._tuning_set.model.network.may.set()
    slow.close()
    slow.close()
    assert not slow._tuning_set.listeners
    assert len(slow.points(0)[0]) > 0


def test_closed_before_an_image_was_predicted(slow):
    """Its points and pairs are a sentence, and a view that asks for the pairs gets none."""
    browser = greeted(slow)
    assert browser.ask("match", seq=1, index=2, **slow.settings)[0]["pairs"] == {}
    slow._tuning_set._is_over.set()
    slow._tuning_set.model.network.may.set()
    slow.close()
    for ask in (slow.points, slow.match):
        with pytest.raises(InputError, match="image 2: closed before it was processed. Open it"):
            ask(2)


def test_closed_tuners_are_forgotten():
    """Neither threads nor memory pile up where a cell is run again and again."""
    tuner = Tuner(HEATMAPS, PICTURES, TRUTH)
    greeted(tuner).ask("match", seq=1, index=0, **tuner.settings)
    tuner.close()
    tuning_set = weakref.ref(tuner._tuning_set)
    del tuner
    gc.collect()
    assert tuning_set() is None


def test_process_ends_cleanly_with_work_under_way(tmp_path):
    """No crash and no hang at exit, no torch for heatmaps, though nobody closed anything."""
    np.save(tmp_path / "heatmaps.npy", np.stack(HEATMAPS))
    code = (
        "import sys, numpy as np\nfrom pointlib.tune.widget import Tuner\n"
        "t = Tuner(list(np.load(sys.argv[1])), None)\n"
        "t._server.receive({'type': 'hello', 'session': 'abcdef'})\n"
        "t._server.receive({'type': 'thumbs', 'session': 'abcdef', 'indices': [0, 1, 2]})\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    path = str(tmp_path / "heatmaps.npy")
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_large_files_are_refused_with_a_way_out(open_tuner, make_folder, monkeypatch):
    """The sentence on the widget names tiles and shrinking; the numbers go on."""
    browser = greeted(open_tuner(model_of(), make_folder(1, shape=SHAPE)))
    monkeypatch.setattr("pointlib.widgets.pictures.MAX_PIXELS", 1000)
    content, buffers = browser.ask("image", index=0)
    assert "64 x 48; at most 1,000 pixels can be shown. Cut it into tiles" in content["error"]
    assert not buffers


def test_three_hundred_images_are_one_message(open_tuner, tmp_path):
    """Many images: candidates of all in one message, and the names in the welcome."""
    write_image(tmp_path / "a.png", PICTURES[0])
    tuner = open_tuner([HEATMAPS[0][:20, :30]] * 300, None)
    tuner._tuning_set.wait()
    browser = Browser(tuner)
    assert len(browser.ask("hello", "welcome")[0]["names"]) == 300
    assert len(browser.wait("candidates")[0]["images"]) == 300
