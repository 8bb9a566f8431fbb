"""The annotator without a browser: messages in, messages out, and the same from code."""

import base64
import io
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Brightness
from PIL import Image
from stand_in import SESSION, Browser

from pointlib.annotate.steps import SUGGESTED
from pointlib.annotate.suggest import Helper, Offer, one_a_spot
from pointlib.annotate.widget import Annotator
from pointlib.errors import InputError
from pointlib.images import write_image
from pointlib.model.point_model import ModelInfo, PointModel
from pointlib.points import read_points
from pointlib.synthetic import draw_cells
from pointlib.widgets import pictures as previews

SHAPE = (40, 56)


def spots(points):
    """Return an 8-bit image of spots with sigma 2."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.full(SHAPE, 20.0)
    for px, py in points:
        image += 180 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8)
    return image.clip(0, 255).astype(np.uint8)


SPOTS = np.array([[12.3, 10.6], [40.0, 25.25]])


@pytest.fixture
def folder(tmp_path):
    """Return a folder with an image of two spots, an empty one, and a broken file between."""
    path = tmp_path / "pictures"
    path.mkdir()
    write_image(path / "a.png", spots(SPOTS))
    (path / "b.png").write_bytes(b"this is no picture")
    write_image(path / "c.png", spots([]))
    return path


@pytest.fixture
def open_annotator():
    """Return a function that opens annotators, which are closed afterwards."""
    opened = []

    def open_it(*args, **options):
        opened.append(Annotator(*args, **options))
        return opened[-1]

    yield open_it
    for annotator in opened:
        annotator.close()


@pytest.fixture
def annotator(folder, open_annotator):
    """Return an annotator of the folder."""
    return open_annotator(folder)


@pytest.fixture
def browser(annotator):
    """Return a view of it that has said hello."""
    view = Browser(annotator)
    view.ask("hello", "welcome")
    return view


def test_hello_is_answered_with_all_that_is_known(browser, annotator):
    """The welcome names images, states, counts and classes, and proves that buffers arrive."""
    welcome, buffers = browser.ask("hello", "welcome")
    assert welcome["names"] == ["a.png", "b.png", "c.png"]
    assert welcome["states"] == ["unlabelled"] * 3
    assert welcome["counts"] == [[0], [0], [0]]
    assert (welcome["classes"], welcome["key"]) == (["point"], annotator.key)
    assert (welcome["read_only"], welcome["has_model"], welcome["index"]) == ("", False, 0)
    assert buffers == [b"\1\2\3"]
    assert browser.ask("ping", "pong", t=12.5)[0] == {"type": "pong", "session": SESSION, "t": 12.5}


def test_base64_serves_where_buffers_do_not_arrive(browser, folder):
    """After a hello with base64, every message carries its bytes as text."""
    welcome, buffers = browser.ask("hello", "welcome", base64=True)
    assert [base64.b64decode(d) for d in welcome["data"]] == [b"\1\2\3"]
    assert not buffers
    content, buffers = browser.ask("image", index=0)
    assert base64.b64decode(content["data"][0]) == (folder / "a.png").read_bytes()
    assert not buffers


def test_image_comes_with_its_points_and_becomes_the_current_one(browser, annotator, folder):
    """The file itself, the points with all their fields, and code sees which image it is."""
    browser.add(10.25, 20.5)
    content, (data,) = browser.ask("image", index=0)
    assert data == (folder / "a.png").read_bytes()
    assert (content["width"], content["height"], content["mime"]) == (56, 40, "image/png")
    assert (content["channels"], content["deep"], content["error"]) == (1, False, "")
    assert (content["total"], content["state"], content["counts"]) == (1, "started", {"point": 1})
    point = {"id": "abcdef-1", "x": 10.25, "y": 20.5, "label": "point", "source": "hand"}
    assert content["points"] == [point | {"score": None}]
    browser.ask("image", index=2)
    assert annotator.image == "c.png"
    browser.ask("image", index=0, prefetch=True)
    assert annotator.image == "c.png"


def test_broken_image_is_listed_and_said_and_the_rest_works(browser, annotator):
    """Its message holds the reader's sentence and no bytes; so does its thumbnail."""
    content, buffers = browser.ask("image", index=1)
    assert "b.png cannot be read as an image" in content["error"]
    assert (content["name"], content["width"], buffers) == ("b.png", 0, [])
    assert "cannot be read" in browser.add(3, 4, "refused")["reason"]
    browser.tell("thumbs", indices=[1, 2])
    assert "cannot be read" in browser.wait("thumb", index=1)[0]["error"]
    content, (data,) = browser.wait("thumb", index=2)
    assert (content["mime"], data[:2], content["error"]) == ("image/jpeg", b"\xff\xd8", "")
    assert "image/png" not in annotator._repr_mimebundle_()[0]


def test_deep_image_comes_with_its_range_and_obeys_limits(folder, open_annotator):
    """16 bits: limits chosen, told, and changed by the browser."""
    write_image(folder / "d.tif", spots(SPOTS).astype(np.uint16) * 20 + 1000)
    browser = Browser(open_annotator(folder))
    browser.ask("hello", "welcome")
    content, (data,) = browser.ask("image", index=3)
    assert content["deep"]
    assert content["range"][0] < content["black"] + 1 <= content["white"] <= content["range"][1]
    assert data[:4] == b"\x89PNG"
    content, (other,) = browser.ask("image", index=3, black=1000, white=60000, channel=0)
    assert (content["black"], content["white"], content["channel"]) == (1000, 60000, 0)
    assert other != data


def test_too_large_image_is_refused_with_a_way_out(browser, monkeypatch):
    """The sentence on the widget names tiles and shrinking."""
    monkeypatch.setattr(previews, "MAX_PIXELS", 1000)
    content, buffers = browser.ask("image", index=0)
    assert "56 x 40; at most 1,000 pixels can be shown. Cut it into tiles" in content["error"]
    assert not buffers


def test_edits_are_acknowledged_and_seen_from_code(browser, annotator, folder):
    """Add, move, delete, mark, undo, redo: each ack carries the change; code sees it."""
    outcome = browser.add(10.25, 20.5)
    assert (outcome["session"], outcome["edit"], outcome["total"]) == (SESSION, 1, 1)
    assert outcome["changes"][0]["point"]["x"] == 10.25
    browser.edit("move", points=[{"id": "abcdef-1", "x": 11.0, "y": 21.0}])
    assert annotator.points.tolist() == [[11.0, 21.0]]
    browser.edit("undo")
    assert annotator.points.tolist() == [[10.25, 20.5]]
    browser.edit("redo")
    browser.edit("delete", points=[{"id": "abcdef-1"}])
    assert annotator.points.shape == (0, 2)
    assert browser.edit("mark", mark="empty")["state"] == annotator.state == "empty"
    annotator.flush()
    assert (folder / "a.txt").read_text() == ""


def test_edit_sent_twice_counts_once(browser, annotator):
    """What is sent again after a silence is acknowledged as a duplicate."""
    browser.add(5, 6)
    browser.n = 0
    assert browser.add(5, 6)["duplicate"]
    assert len(annotator.points) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            {"op": "add", "points": [{"id": "abcdef-1", "x": 99, "y": 5, "label": "point"}]},
            "outside",
        ),
        (
            {"op": "add", "points": [{"id": "abcdef-1", "x": 9, "y": 5, "label": "cow"}]},
            "class 'cow'",
        ),
        ({"op": "add", "points": [{"id": "../x", "x": 9, "y": 5, "label": "point"}]}, "id"),
        ({"op": "add", "points": [{"x": "left"}], "magnet": True}, "."),
        ({"op": "undo"}, "nothing to undo"),
        ({"op": "dance"}, "dance"),
        ({"op": "mark", "mark": "empty", "image": "../c.png"}, "no image"),
    ],
)
def test_wrong_edits_are_refused_with_a_reason(browser, annotator, content, reason):
    """Nothing changes, and the sender learns which edit and why."""
    refused = browser.edit(answer="refused", **content)
    assert (refused["session"], refused["edit"]) == (SESSION, 1)
    assert reason in refused["reason"]
    assert annotator.states["a.png"] == "unlabelled"


def test_unknown_messages_and_failing_handlers_become_notices(browser):
    """No exception vanishes: neither in a handler nor in a thread."""
    assert "'dance' is unknown" in browser.ask("dance", "notice")[0]["text"]
    assert "image 7 does not exist" in browser.ask("image", "notice", index=7)[0]["text"]
    assert "KeyError" in browser.ask("ping", "notice")[0]["text"]
    browser.annotator._server._send_thumb = lambda index: 1 / 0
    assert "ZeroDivisionError" in browser.ask("thumbs", "notice", indices=[0])[0]["text"]


@pytest.mark.parametrize(
    "message",
    [
        *(None, [], "edit", 3, {}),
        *({"type": "image", "session": SESSION, "index": index} for index in (True, 1.0, "0", [])),
        {"type": "edit", "session": "\ud800", "edit": 1, "op": "undo"},
        {"type": "edit", "session": SESSION, "edit": True, "op": "mark", "mark": "empty"},
        {"type": "edit", "session": SESSION, "edit": 1, "op": "add", "magnet": 1, "sigma": 1e9},
        {"type": "edit", "session": SESSION, "edit": 1, "op": "add", "magnet": 1, "sigma": [2]},
        {"type": "thumbs", "session": SESSION, "indices": 10**9},
    ],
)
def test_nonsense_changes_nothing_and_raises_nothing(browser, annotator, message):
    """Whatever a broken page sends, the next message is answered as ever."""
    annotator.goto("c.png")
    data = {"method": "custom", "content": message}
    annotator._handle_msg({"content": {"data": data}, "buffers": []})
    assert (annotator.image, annotator.sigma) == ("c.png", 3.0)
    assert set(annotator.states.values()) == {"unlabelled"}
    assert browser.add(5, 6)["total"] == 1


def test_magnet_moves_a_click_to_the_blob(browser, annotator):
    """Near a spot: its centre, source magnet; on even ground the click stays."""
    outcome = browser.add(13.5, 9.5, magnet=True, sigma=2.0)
    point = outcome["changes"][0]["point"]
    assert (point["x"], point["y"]) == pytest.approx(SPOTS[0], abs=0.1)
    assert point["source"] == "magnet"
    assert annotator.sigma == 2.0
    point = browser.add(27.0, 36.0, magnet=True, sigma=2.0)["changes"][0]["point"]
    assert (point["x"], point["y"], point["source"]) == (27.0, 36.0, "hand")


def suggestions_of(browser, **content):
    """Return the suggestions' message and its rows x, y, class, score."""
    content, buffers = browser.ask("suggestions", image="a.png", **content)
    return content, np.frombuffer(b"".join(buffers), "<f4").reshape(-1, 4)


def test_blob_suggestions_come_best_first(browser):
    """Float32 rows x, y, class, score; none where none are wanted; a sentence where none can be."""
    content, rows = suggestions_of(browser, **{"from": "blobs", "sigma": 2.0})
    assert (content["n"], content["error"], content["classes"]) == (len(rows), "", ["point"])
    assert rows[np.argsort(rows[:2, 0]), :2] == pytest.approx(SPOTS, abs=0.1)
    assert (np.diff(rows[:, 3]) <= 0).all()
    assert suggestions_of(browser, **{"from": "none", "sigma": 2.0})[0]["n"] == 0
    content, rows = suggestions_of(browser, **{"from": "model", "sigma": 2.0})
    assert "give a model" in content["error"]
    assert len(rows) == 0


@pytest.fixture
def model():
    """Return a model whose heatmap is the image itself."""
    info = ModelInfo(n_channels=1, mean=(0.0,), std=(1.0,), sigma=2.0, radius=6.0)
    info.min_distances = {"point": 4.0}
    return PointModel(Brightness(), info)


def test_model_suggestions_and_magnet_use_its_candidates(folder, open_annotator, model):
    """Candidates of every height that keep the distance; the magnet takes the nearest."""
    browser = Browser(open_annotator(folder, model=model))
    assert browser.ask("hello", "welcome")[0]["has_model"]
    content, rows = suggestions_of(browser, **{"from": "model", "sigma": 2.0})
    assert (content["error"], content["radius"]) == ("", 6.0)
    assert rows[np.argsort(rows[:, 0]), :2] == pytest.approx(SPOTS, abs=0.25)
    point = browser.add(15.5, 13.0, magnet=True, sigma=2.0)["changes"][0]["point"]
    nearest = rows[rows[:, 0].argmin()]
    assert (point["x"], point["y"]) == pytest.approx(nearest[:2], abs=1e-4)
    assert point["source"] == "magnet"


def test_model_of_other_classes_is_a_sentence(folder, open_annotator, model):
    """A model of two classes that the folder does not have cannot help; one class is ours."""
    model.info.classes = ("cat",)
    annotator = open_annotator(folder, classes=("left", "right"), model=model)
    assert set(annotator.suggestions()[1]) == {"left"}
    model.info.classes = ("cat", "dog")
    model.network = Twice()
    other = open_annotator(folder, model=model)
    with pytest.raises(InputError, match="the model finds 'cat'; the classes here are left, right"):
        other.suggestions()


class Twice(Brightness):
    """Two classes, both as bright as the image."""

    def forward(self, batch):
        """Return logits (B, 2, H, W)."""
        return super().forward(batch).repeat(1, 2, 1, 1)


def test_accept_takes_what_is_above_the_models_own_thresholds(folder, open_annotator, model):
    """Each class's own, plus an offset; a number is used as given."""
    model.info.classes, model.network = ("left", "right"), Twice()
    model.info.min_distances = {"left": 4.0, "right": 4.0}
    annotator = open_annotator(folder, classes=("left", "right"), model=model)
    scores = annotator.suggestions()[2]
    model.info.thresholds = {"left": scores.min() - 1e-6, "right": 1.0}
    assert annotator.accept(offset=0.5) == 0
    assert annotator.accept() == len(scores)
    assert set(annotator.labels) == {"left"}
    annotator.undo()
    assert annotator.accept(scores.max() + 1e-6) == 0


def test_accept_by_a_number_takes_what_reaches_it(folder, open_annotator, model):
    """A class that is best at a spot, but too low, does not keep another from being accepted."""
    model.info.classes, model.network = ("left", "right"), Unequal()
    model.info.min_distances = {"left": 4.0, "right": 4.0}
    model.info.thresholds = {"left": 0.1, "right": 0.9}
    annotator = open_annotator(folder, classes=("left", "right"), model=model)
    assert set(annotator.suggestions()[1]) == {"left"}
    found = annotator._offer("model", None)
    lowest = found.scores[found.labels == "right"].min()
    assert annotator.accept(lowest) == 2
    assert set(annotator.labels) == {"right"}
    with pytest.raises(InputError, match="threshold is 0.5 and offset is 0.1; expected one of the"):
        annotator.accept(0.5, offset=0.1)


class Unequal(Brightness):
    """Two classes, the first less bright than the second."""

    def forward(self, batch):
        """Return logits (B, 2, H, W)."""
        logits = super().forward(batch)
        return torch.cat([logits - 1, logits], dim=1)


def an_offer(points, labels, scores, thresholds, *, radius=3.0):
    """Return an Offer of lists."""
    points = np.reshape(np.array(points, float), (-1, 2))
    return Offer(points, np.array(labels, str), np.array(scores, float), thresholds, radius)


def test_one_suggestion_a_spot_is_the_best_of_its_class():
    """Farthest above its own threshold, of equals the first class; another spot is another."""
    points = np.array([[10.0, 10], [11, 10], [12, 10], [40, 40], [41, 40]])
    labels, scores = np.array(["a", "b", "c", "b", "a"]), np.array([0.6, 0.55, 0.3, 0.5, 0.5])
    thresholds = {"a": 0.5, "b": 0.3, "c": 0.1}
    assert one_a_spot(an_offer(points, labels, scores, thresholds)).labels.tolist() == ["b", "b"]
    tie = dict.fromkeys("abc", 0.25)
    tied = an_offer(points[3:], labels[3:], scores[3:], tie)
    assert one_a_spot(tied).labels.tolist() == ["a"]
    assert len(one_a_spot(an_offer([], [], [], thresholds)).points) == 0


def test_what_is_left_out_at_a_spot_leaves_nothing_out():
    """In a row of three, too far from end to end, the middle goes and both ends stay."""
    offer = an_offer([[0, 0], [2, 0], [4, 0]], ["a", "b", "a"], [0.9, 0.8, 0.7], {"a": 0, "b": 0})
    assert one_a_spot(offer).points[:, 0].tolist() == [0, 4]


def test_one_a_spot_is_as_if_each_was_compared_with_all():
    """Many suggestions of three classes: the same as the rule carried out step by step."""
    rng = np.random.default_rng(0)
    points, scores = rng.uniform(0, 60, (300, 2)), rng.random(300).round(2)
    labels = np.array(list("abc"))[rng.integers(0, 3, 300)]
    thresholds = {"a": 0.1, "b": 0.3, "c": 0.2}
    kept = []
    margins = [round(s - thresholds[c], 2) for s, c in zip(scores, labels, strict=True)]
    for i in sorted(range(300), key=lambda i: (-margins[i], labels[i])):
        near = [
            j for j in kept if np.hypot(*(points[j] - points[i])) <= 3 and labels[j] != labels[i]
        ]
        kept += [] if near else [i]
    found = one_a_spot(an_offer(points, labels, scores, thresholds))
    assert sorted(found.points.tolist()) == sorted(points[kept].tolist())


def test_a_model_is_replaced_while_another_answers(folder, model):
    """What is under way ends with the model it began with; afterwards the new one answers."""
    helper, began, gate = Helper(model), threading.Event(), threading.Event()
    predict = model.network.forward
    model.network.forward = lambda batch: began.set() or (gate.wait(60) and predict(batch))
    offers = []
    options = {"sigma": 2.0, "classes": ("point",)}
    ask = lambda: offers.append(helper.suggest(folder / "a.png", "model", **options))  # noqa: E731
    thread = threading.Thread(target=ask)
    thread.start()
    assert began.wait(60)
    helper.use("another")
    gate.set()
    thread.join(60)
    assert offers[0].radius == 6.0
    assert helper.model == Path("another").resolve()
    helper.use(None)
    assert (helper.model, helper.default) == (None, "blobs")


def test_page_is_told_the_thresholds_of_the_classes(folder, open_annotator, model):
    """In the order of the folder's classes; blobs have one for all."""
    model.info.thresholds = {"point": 0.4}
    browser = Browser(open_annotator(folder, model=model))
    assert suggestions_of(browser, **{"from": "model", "sigma": 2.0})[0]["thresholds"] == [0.4]
    assert suggestions_of(browser, **{"from": "blobs", "sigma": 2.0})[0]["thresholds"] == [0.3]


def test_place_of_a_click_is_told_before_it(browser):
    """The same place as the click's; none on even ground."""
    look = {"image": "a.png", "label": "point", "sigma": 2.0, "dark": None}
    told, _ = browser.ask("snap", x=13.5, y=9.5, t=1, **look)
    assert (told["t"], told["place"]) == (1, pytest.approx(SPOTS[0], abs=0.1))
    assert browser.ask("snap", x=27.0, y=36.0, t=2, **look)[0]["place"] is None
    point = browser.add(13.5, 9.5, magnet=True, sigma=2.0)["changes"][0]["point"]
    assert (point["x"], point["y"]) == pytest.approx(told["place"])


def test_magnet_is_asked_whether_it_fits_what_was_clicked(browser, annotator):
    """Ten clicks beside the spots: most would move far, so it harms; few clicks tell nothing."""
    for i in range(5):
        browser.add(SPOTS[0][0] + 3.2, SPOTS[0][1] - 1 + i / 2)
    look = {"image": "a.png", "sigma": 2.0, "dark": None}
    assert not browser.ask("magnet", **look)[0]["harms"]
    for i in range(5):
        browser.add(SPOTS[0][0] - 3.2, SPOTS[0][1] - 1 + i / 2)
    told, _ = browser.ask("magnet", **look)
    assert (told["harms"], told["n"]) == (True, 10)
    assert told["far"] > 2
    assert annotator.points.shape == (10, 2)


def test_accept_adds_good_suggestions_once(annotator):
    """Those above the threshold, with source and score; what has a point is suggested no more."""
    assert annotator.accept(0.5, sigma=2.0) == 2
    assert annotator.points[np.argsort(annotator.points[:, 0])] == pytest.approx(SPOTS, abs=0.1)
    points = annotator._ledger.load("a.png").points.values()
    assert {p.source for p in points} == {SUGGESTED}
    assert min(p.score for p in points) >= 0.5
    assert annotator.accept(0.5, sigma=2.0) == 0


def test_rejected_suggestions_stay_away(browser, annotator):
    """What was turned down is not suggested again."""
    best = annotator.suggestions("blobs", sigma=2.0)[0][0]
    point = {"id": "abcdef-1", "x": best[0], "y": best[1], "label": "point", "score": 0.9}
    assert browser.edit("reject", points=[point])["rejections"][0]["id"] == "abcdef-1"
    rest = annotator.suggestions("blobs", sigma=2.0)[0]
    assert np.hypot(*(rest - best).T).min() > 2
    assert browser.ask("image", index=0)[0]["rejected"][0]["id"] == "abcdef-1"


def test_edits_from_code_appear_in_the_browser(browser, annotator):
    """Add, delete, mark, undo, redo and goto from code reach every view at once."""
    browser.inbox.clear()
    annotator.add([[5, 6], [7.5, 8]])
    changed = browser.wait("changed")[0]
    assert [c["point"]["source"] for c in changed["changes"]] == ["code"] * 2
    annotator.delete(0)
    assert annotator.points.tolist() == [[7.5, 8.0]]
    annotator.delete([True])
    annotator.goto("c.png")
    assert browser.wait("goto")[0]["index"] == 2
    annotator.mark("skipped")
    assert annotator.states == {"a.png": "unlabelled", "b.png": "unlabelled", "c.png": "skipped"}
    annotator.undo()
    annotator.undo()
    assert (annotator.image, annotator.points.tolist()) == ("a.png", [[7.5, 8.0]])
    annotator.redo()
    assert annotator.counts["a.png"] == {"point": 0}


def test_code_has_the_magnet_and_classes(folder, open_annotator):
    """A label for all or each; with the magnet, centres."""
    annotator = open_annotator(folder, classes=("dot", "spot"))
    annotator.sigma = 2.0
    annotator.add(SPOTS + 1, label=["spot", "dot"], magnet=True)
    assert annotator.points == pytest.approx(SPOTS, abs=0.1)
    assert annotator.labels.tolist() == ["spot", "dot"]
    annotator.add([[30, 30]])
    assert annotator.counts["a.png"] == {"dot": 2, "spot": 1}
    annotator.flush()
    assert read_points(folder / "a.txt", SHAPE)[1].tolist() == ["spot", "dot", "dot"]


def test_add_takes_labels_as_arrays(folder, open_annotator):
    """Labels come as predictions and datasets give them, an array of one each; also of none."""
    annotator = open_annotator(folder, classes=("dot", "spot"))
    annotator.add(SPOTS, label=np.array(["spot", "dot"]))
    annotator.add(np.empty((0, 2)), label=np.empty(0, dtype=str))
    assert annotator.labels.tolist() == ["spot", "dot"]


def test_delete_of_none_is_no_step(annotator):
    """A mask that chooses no point changes nothing, and undo goes to the step before."""
    annotator.add(SPOTS)
    annotator.delete(annotator.points[:, 0] < 0)
    annotator.undo()
    annotator.delete(slice(None))
    assert annotator.points.tolist() == []


def test_goto_goes_by_name_number_and_step(annotator):
    """Steps stop at the ends; numbers count from the end as in lists."""
    for where, name in ((2, "c.png"), (-1, "c.png"), ("b.png", "b.png"), (0, "a.png")):
        annotator.goto(where)
        assert annotator.image == name
    annotator.goto(step=1)
    assert annotator.image == "b.png"
    annotator.goto(step=-5)
    assert annotator.image == "a.png"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: a.goto("d.png"), "no image 'd.png'"),
        (lambda a: a.goto(3), "no image 3"),
        (lambda a: a.add([[99, 3]]), "outside the image"),
        (lambda a: a.add([[9, 3]], label="cow"), "class 'cow'"),
        (lambda a: a.add([[9, 3]], label=["point", "point"]), "2 labels for 1 points"),
        (lambda a: a.delete(5), "a.png has 0 points"),
        (lambda a: a.undo(), "nothing to undo"),
        (lambda a: a.suggestions("model"), "give a model"),
        (lambda a: a.play("none.jsonl"), "does not exist"),
    ],
)
def test_wrong_calls_are_sentences(annotator, call, message):
    """What code gets wrong is an InputError."""
    with pytest.raises(InputError, match=message):
        call(annotator)


def test_repr_counts_images_and_points(annotator, tmp_path, open_annotator):
    """Stable, so that a notebook can be compared; one is singular."""
    assert repr(annotator) == "Annotator(3 images, 0 points)"
    (tmp_path / "one").mkdir()
    write_image(tmp_path / "one" / "a.png", spots([]))
    other = open_annotator(tmp_path / "one")
    other.add([[1, 1]])
    assert repr(other) == "Annotator(1 image, 1 point)"


def test_display_holds_widget_text_and_a_small_picture(annotator):
    """Viewers without widgets show the image with its points."""
    bare = annotator._repr_mimebundle_()[0]
    annotator.add(SPOTS)
    data, *_ = annotator._repr_mimebundle_()
    assert data["text/plain"] == "Annotator(3 images, 2 points)"
    assert "application/vnd.jupyter.widget-view+json" in data
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.size == (400, round(400 * 40 / 56))
    assert data["image/png"] != bare["image/png"]


def test_preview_keeps_grey_grey(annotator, folder):
    """Where there are no points, a grey image does not take their colour."""
    scene = draw_cells((96, 128), n=12, seed=2)
    write_image(folder / "c.png", scene.image)
    annotator.goto("c.png")
    annotator.add(scene.points[scene.points[:, 0] < 50])
    data = annotator._repr_mimebundle_()[0]["image/png"]
    picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    assert np.ptp(np.asarray(picture, int)[:, 200:], axis=2).max() < 10


def test_two_annotators_of_a_folder_are_one(annotator, browser, folder, open_annotator):
    """Opened twice in a process: the same points, told to both, and the first close ends neither."""
    other = open_annotator(folder)
    view = Browser(other, session="fedcba")
    browser.inbox.clear()
    view.add(5, 6)
    assert browser.wait("changed")[0]["session"] == "fedcba"
    assert other.points.tolist() == annotator.points.tolist() == [[5, 6]]
    assert not [m for m, _ in view.inbox if m["type"] == "changed"]
    other.close()
    annotator.add([[1, 2]])
    assert len(annotator.points) == 2


def test_outside_changes_are_told(browser, annotator, folder):
    """A text written by somebody else wins, and the browser hears of it."""
    browser.add(5, 6)
    annotator.flush()
    browser.inbox.clear()
    (folder / "a.txt").write_text("0.5,0.5\n0.25,0.25\n")
    content = browser.ask("image", index=0)[0]
    assert [(p["x"], p["y"]) for p in content["points"]] == [(27.5, 19.5), (13.5, 9.5)]
    assert content["points"][0]["source"] == "outside"


def test_played_journal_makes_the_same_points(annotator, browser, folder, tmp_path, open_annotator):
    """A recording, played in a copy of the folder, ends in the same points; twice is once."""
    fresh = tmp_path / "fresh"
    shutil.copytree(folder, fresh, ignore=shutil.ignore_patterns(".pointlib"))
    browser.add(5.123456789, 6)
    annotator.accept(0.5, sigma=2.0)
    browser.edit("move", points=[{"id": "abcdef-1", "x": 7.25, "y": 8.125}])
    browser.edit("undo")
    annotator.delete(-1)
    annotator.goto("c.png")
    annotator.mark("empty")
    annotator.flush()
    other = open_annotator(fresh)
    view = Browser(other)
    view.ask("hello", "welcome")
    assert other.play(folder / ".pointlib" / "journal.jsonl") == 6
    assert (other.image, other.state) == ("c.png", "empty")
    assert view.wait("goto")[0]["index"] == 2
    assert other.play(folder / ".pointlib" / "journal.jsonl") == 6
    for name in ("a.png", "c.png"):
        assert other._ledger.load(name).points == annotator._ledger.load(name).points
    other.flush()
    assert (fresh / "a.txt").read_bytes() == (folder / "a.txt").read_bytes()


def test_newer_requests_replace_those_that_wait(browser, annotator):
    """Of images asked for in a hurry the last one comes for certain, and not each on the way."""
    gate, began, seen = threading.Event(), threading.Event(), []
    server = annotator._server
    server._painter.put(("image", "other"), lambda: began.set() or gate.wait())
    assert began.wait(60)
    server._send_image = lambda message: seen.append(message["index"])
    for index in (0, 1, 2, 0, 2):
        browser.tell("image", index=index)
    gate.set()
    browser.ask("thumbs", "thumb", indices=[0])
    assert seen == [2]


def test_close_saves_and_frees_the_folder(folder):
    """Afterwards the text is there and the lock is gone; closing twice does no harm."""
    annotator = Annotator(folder)
    annotator.add([[10, 10]])
    annotator.close()
    annotator.close()
    assert len(read_points(folder / "a.txt", SHAPE)[0]) == 1
    assert not (folder / ".pointlib" / "lock").exists()
    assert "closed" in annotator.read_only.lower()


def test_process_ends_cleanly_with_work_under_way(folder):
    """No crash and no hang at exit, edits saved, though nobody closed anything."""
    code = (
        "import sys\nfrom pointlib.annotate.widget import Annotator\n"
        "a = Annotator(sys.argv[1])\na.add([[10, 10]])\n"
        "a._server.receive({'type': 'thumbs', 'session': 'abcdef', 'indices': [0, 1, 2]})\n"
        "a._server.receive({'type': 'suggestions', 'session': 'abcdef', 'image': 'a.png', 'from': 'blobs', 'sigma': 2})\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(read_points(folder / "a.txt", SHAPE)[0]) == 1
    assert not (folder / ".pointlib" / "lock").exists()


def test_model_is_found_after_the_working_folder_changed(tmp_path, monkeypatch):
    """A model folder is named from where the annotator was made, though it is loaded later."""
    monkeypatch.chdir(tmp_path)
    helper = Helper("model")
    monkeypatch.chdir("/")
    assert helper.model == tmp_path / "model"
