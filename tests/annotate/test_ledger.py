"""The ledger: what was acknowledged is there, whatever happens, and nothing is overwritten."""

import contextlib
import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

from pointlib import check_folder, describe_check
from pointlib import lock as locks
from pointlib.annotate import ledger as ledgers
from pointlib.annotate import store as stores
from pointlib.annotate.journal import read_journal
from pointlib.annotate.ledger import open_ledger
from pointlib.annotate.steps import replay
from pointlib.dataset import ImagePointDataset
from pointlib.errors import InputError
from pointlib.images import write_image
from pointlib.points import read_points, text_path
from pointlib.regions import Regions, read_regions, regions_path, write_regions
from pointlib.splits import load_splits

SHAPE = (20, 30)
CLASSES = ("seedling", "weed")


@pytest.fixture(autouse=True)
def end_ledgers():
    """Leave no thread and no lock behind."""
    yield
    for ledger in list(ledgers._open_ledgers.values()):
        ledger.end()


@pytest.fixture
def folder(tmp_path):
    """Return a folder of three small images, not square, without texts."""
    for name in "abc":
        write_image(tmp_path / f"{name}.png", np.zeros(SHAPE, dtype=np.uint8))
    return tmp_path


class Hand:
    """Somebody who clicks: builds edits, numbers them and sends them."""

    def __init__(self, ledger, session="aaaaaa"):
        self.ledger, self.session = ledger, session
        self.edits, self.ids = itertools.count(1), itertools.count(1)

    def send(self, op, image=None, **rest):
        """Apply one edit and return its outcome."""
        head = {"session": self.session, "edit": next(self.edits), "op": op}
        return self.ledger.apply(head | ({"image": image} if image else {}) | rest)

    def point(self, x, y, label="weed", **rest):
        """Return a new point as the browser sends it."""
        number = f"{self.session}-{next(self.ids)}"
        return {"id": number, "x": x, "y": y, "label": label, "source": "hand"} | rest

    def add(self, image, *places, label="weed"):
        """Add points and return their ids."""
        points = [self.point(x, y, label) for x, y in places]
        self.send("add", image, points=points)
        return [point["id"] for point in points]


@pytest.fixture
def hand(folder):
    """Return somebody who clicks in the folder."""
    return Hand(open_ledger(folder, classes=CLASSES))


def crash(ledger):
    """End a ledger as a killed process would: nothing saved, nothing closed, the lock left."""
    ledger._stop.set()
    ledger._thread.join()
    os.close(ledger._store.journal._file)
    locks._held.discard(ledger.session)
    ledgers._open_ledgers.pop(ledger.folder, None)


def reopened(hand, *, classes=CLASSES, is_crash=True):
    """Let the same hand go on after a crash or a clean end."""
    crash(hand.ledger) if is_crash else hand.ledger.end()
    hand.ledger = open_ledger(hand.ledger.folder, classes=classes)
    return hand.ledger


def places(ledger, image):
    """Return {id: (x, y, label)} of an image."""
    return {key: p[:3] for key, p in ledger.load(image).points.items()}


def text(folder, name="a.txt"):
    """Return a text file's lines, None where there is none."""
    path = folder / name
    return path.read_text().splitlines() if path.exists() else None


def journal(folder):
    """Return the lines of the folder's journal."""
    return read_journal(folder / ".pointlib" / "journal.jsonl")


def listen(ledger):
    """Return a list that fills with what the listeners are told."""
    events = []
    ledger.listeners.add(events.append)
    return events


def broken(code=errno.ENOSPC):
    """Return a function that fails like a full disk."""

    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    return fail


def wait_until(check):
    """Wait for the background thread; a hang limit, not a speed."""
    end = time.monotonic() + 30
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


# ---- edits


def test_add_is_journalled_before_it_is_acknowledged(hand, folder):
    """The outcome names the journal's line, which holds the whole edit."""
    outcome = hand.send("add", "a.png", points=[hand.point(1.1, 2.2, source="ghost", score=0.5)])
    line = journal(folder)[outcome["n"] - 1]
    point = outcome["changes"][0]["point"]  # "ghost" is what every kit's journals say
    assert point == {"x": 1.1, "y": 2.2, "label": "weed", "source": "ghost", "score": 0.5}
    assert point.items() <= line.items()
    assert (line["session"], line["edit"], line["image"]) == ("aaaaaa", 1, "a.png")
    assert outcome["state"] == "started"
    assert outcome["counts"] == {"seedling": 0, "weed": 1}
    assert (outcome["total"], outcome["duplicate"]) == (1, False)


def test_move_label_delete_change_the_named_points_only(hand):
    """Each op does what it says, on several points in one step."""
    a, b, c = hand.add("a.png", (1, 1), (2, 2), (3, 3))
    hand.send("move", "a.png", points=[{"id": a, "x": 9, "y": 8}])
    hand.send("label", "a.png", points=[{"id": b, "label": "seedling"}])
    outcome = hand.send("delete", "a.png", points=[{"id": c}])
    assert outcome["changes"] == [{"id": c, "point": None}]
    assert outcome["counts"] == {"seedling": 1, "weed": 1}
    assert places(hand.ledger, "a.png") == {a: (9, 8, "weed"), b: (2, 2, "seedling")}


def test_reject_is_kept_apart_from_points(hand):
    """A rejected suggestion is no point; undo takes the rejection back."""
    suggestion = hand.point(5, 6, score=0.4)
    outcome = hand.send("reject", "a.png", points=[suggestion])
    assert (outcome["total"], outcome["state"]) == (0, "unlabelled")
    assert outcome["rejections"][0]["point"]["source"] == "ghost"
    assert list(reopened(hand).load("a.png").rejected) == [suggestion["id"]]
    assert hand.send("undo")["rejections"] == [{"id": suggestion["id"], "point": None}]
    assert hand.ledger.load("a.png").rejected == {}


def test_same_edit_twice_is_applied_once_even_after_a_restart(hand):
    """What the browser sends again because no answer came does no harm."""
    edit = {"session": "cccccc", "edit": 1, "op": "add", "image": "a.png"}
    edit["points"] = [{"id": "cccccc-1", "x": 1, "y": 1, "label": "weed"}]
    assert not hand.ledger.apply(edit)["duplicate"]
    for is_restarted in (False, True):
        again = (reopened(hand) if is_restarted else hand.ledger).apply(edit)
        assert (again["duplicate"], again["changes"], again["total"]) == (True, [], 1)


def test_edit_that_changes_nothing_is_no_step(hand, folder):
    """A point moved to where it is, a mark set twice: acknowledged, nothing to undo."""
    (a,) = hand.add("a.png", (1, 1))
    hand.send("mark", "b.png", mark="skipped")
    n = len(journal(folder))
    assert hand.send("move", "a.png", points=[{"id": a, "x": 1, "y": 1}])["changes"] == []
    assert hand.send("mark", "b.png", mark="skipped")["mark"] == "skipped"
    assert len(journal(folder)) == n
    assert hand.send("undo")["note"] == "undid: mark skipped in b.png"


P = {"id": "aaaaaa-9", "x": 1, "y": 1, "label": "weed", "source": "hand", "score": None}
R = {"id": "aaaaaa-9", "rings": [[[1, 1], [9, 1], [9, 9]]]}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"points": [P | {"id": "aaaaaa-1"}]}, "already in use"),
        ({"points": [P, P]}, "occurs twice"),
        ({"points": [P | {"id": "../etc"}]}, "is invalid; expected six hex digits"),
        ({"points": [P | {"id": ["a"]}]}, "is invalid; expected six hex digits"),
        ({"points": [P | {"x": float("nan")}]}, "finite"),
        ({"points": [P | {"x": None}]}, "points"),
        ({"points": [P | {"x": 29.6}]}, "outside the image of width 30 and height 20"),
        ({"points": [P | {"label": "tree"}]}, "class 'tree' is not one of seedling, weed"),
        ({"points": [P | {"label": None}]}, "class None is not one of"),
        ({"points": [P | {"source": "dream"}]}, "source 'dream'"),
        ({"points": [P | {"score": float("inf")}]}, "score is inf"),
        ({"points": [P | {"score": "high"}]}, "score is 'high'"),
        ({"points": []}, "has no points"),
        ({"points": ["a"]}, "has no points"),
        ({"op": "move", "points": [P]}, "aaaaaa-9 is not in this image"),
        ({"op": "delete", "points": [{"id": "bbbbbb-1"}]}, "bbbbbb-1 is not in this image"),
        ({"op": "label", "points": [{"id": "aaaaaa-1", "label": "x"}]}, "class 'x'"),
        ({"op": "paint"}, "op 'paint' is not known"),
        ({"op": "redo"}, "nothing to redo"),
        ({"op": "mark", "mark": "over"}, "mark 'over' is not known; expected done, started"),
        ({"op": "mark", "mark": "unlabelled"}, "1 point here: delete it first"),
        ({"op": "mark", "mark": "started", "image": "b.png"}, "no point here: this image is not"),
        ({"op": "region"}, "region has no regions; expected a list"),
        ({"op": "region", "regions": [R | {"id": 3}]}, "is invalid; expected six hex digits"),
        ({"op": "region", "regions": [R | {"rings": [[[0, 0], [9, 9]]]}]}, "three or more corners"),
        ({"op": "region", "regions": [R | {"rings": [[[0, 0], [9, 0], [9, "x"]]]}]}, "corners"),
        ({"op": "region", "regions": [R | {"rings": [[[40, 0], [90, 0], [90, 9]]]}]}, "a pixel"),
        ({"op": "unregion", "regions": [R]}, "aaaaaa-9 is not in this image"),
        ({"op": "mark", "mark": "empty"}, r"1 point here: delete it first \(Ctrl\+A, Delete\)"),
        ({"image": "a.pgn"}, "no image 'a.pgn'. Did you mean 'a.png'"),
        ({"image": None}, "no image None"),
        ({"session": "Robert'"}, "session"),
        ({"edit": 0}, "edit 0"),
    ],
)
def test_bad_edit_is_refused_and_changes_nothing(hand, folder, edit, reason):
    """Each wrong edit gets a sentence; state and journal stay; the number is free again."""
    hand.add("a.png", (3, 4))
    before, n = places(hand.ledger, "a.png"), len(journal(folder))
    edit = {"session": "aaaaaa", "edit": 2, "op": "add", "image": "a.png", "points": [P]} | edit
    with pytest.raises(InputError, match=reason):
        hand.ledger.apply(edit)
    assert places(hand.ledger, "a.png") == before
    assert len(journal(folder)) == n
    hand.send("delete", "a.png", points=[{"id": "aaaaaa-1"}])
    assert hand.ledger.state("a.png") == "unlabelled"


def test_point_carried_over_the_edge_by_arithmetic_is_put_back(hand):
    """A drag to the very edge is no error."""
    outcome = hand.send("add", "a.png", points=[hand.point(-0.5 - 1e-9, 19.5 + 1e-9)])
    assert (outcome["changes"][0]["point"]["x"], outcome["changes"][0]["point"]["y"]) == (
        -0.5,
        19.5,
    )


# ---- marks and states


def test_unlabelled_never_becomes_empty_without_a_mark(hand, folder):
    """Looking, adding and deleting the last point, undoing and reopening leave no empty file."""
    hand.ledger.load("b.png")
    (a,) = hand.add("a.png", (1, 1))
    hand.ledger.flush()
    assert text(folder) == ["0.05000000,0.07500000,weed"]
    hand.send("delete", "a.png", points=[{"id": a}])
    for is_crash in (None, True, False):
        ledger = hand.ledger if is_crash is None else reopened(hand, is_crash=is_crash)
        ledger.flush()
        assert [ledger.state(name) for name in ledger.names] == ["unlabelled"] * 3
        assert not list(folder.glob("*.txt"))
    assert {line["mark"] for line in journal(folder) if "mark" in line} == {"started"}


def test_mark_empty_writes_an_empty_file_and_skipped_none(hand, folder):
    """The two marks, their files, and that taking the mark back takes the file away."""
    hand.send("mark", "a.png", mark="empty")
    hand.send("mark", "b.png", mark="skipped")
    hand.ledger.flush()
    assert (text(folder, "a.txt"), text(folder, "b.txt")) == ([], None)
    ledger = reopened(hand)
    assert [ledger.state(name) for name in ledger.names] == ["empty", "skipped", "unlabelled"]
    assert hand.send("mark", "a.png", mark="unlabelled")["state"] == "unlabelled"
    ledger.flush()
    assert text(folder) is None


def test_adding_clears_the_mark_in_the_same_step(hand, folder):
    """A point in an image marked empty: one undo brings the mark back."""
    hand.send("mark", "a.png", mark="empty")
    hand.add("a.png", (1, 1), (2, 2))
    assert hand.ledger.load("a.png").mark == "started"
    outcome = hand.send("undo")
    assert (outcome["mark"], outcome["state"], outcome["total"]) == ("empty", "empty", 0)
    hand.ledger.flush()
    assert text(folder) == []


# ---- done, and regions

BOX = [[[2.0, 3.0], [20.0, 3.0], [20.0, 15.0], [2.0, 15.0]]]
BOX_AREAS = [[np.array(BOX[0])]]


def draw(hand, image="a.png", rings=BOX):
    """Draw a region; return its id."""
    key = hand.point(0, 0)["id"]
    hand.send("region", image, regions=[{"id": key, "rings": rings}])
    return key


def regions_of(folder, name="a.png"):
    """Return the outlines in an image's regions' file, None where there is none."""
    found = read_regions(regions_path(folder / name))
    return found and [ring.tolist() for rings in found.areas for ring in rings]


def test_a_point_starts_an_image_and_done_is_said(hand):
    """A click makes no image labelled; "done" does, later clicks leave it so, undo takes it back."""
    hand.add("a.png", (1, 1))
    assert hand.ledger.state("a.png") == "started"
    assert hand.send("mark", "a.png", mark="done")["state"] == "labelled"
    hand.add("a.png", (2, 2))
    assert reopened(hand).state("a.png") == "labelled"
    hand.send("undo")
    assert hand.send("undo")["note"] == "undid: mark done in a.png"
    assert hand.ledger.state("a.png") == "started"
    assert hand.send("redo")["state"] == "labelled"
    assert hand.send("mark", "a.png", mark="started")["state"] == "started"


def test_done_without_a_point_is_empty(hand, folder):
    """Looked, nothing here: the same as the mark of that name, with its empty file."""
    assert hand.send("mark", "a.png", mark="done")["state"] == "empty"
    hand.ledger.flush()
    assert text(folder) == []


def test_points_that_others_wrote_make_an_image_labelled(hand, folder):
    """Another program's text file says nothing of points to come."""
    (folder / "b.txt").write_text("0.5,0.5,weed\n")
    hand.ledger.load("b.png")
    assert hand.ledger.state("b.png") == "labelled"
    hand.add("b.png", (3, 3))
    assert hand.ledger.state("b.png") == "labelled"


def test_region_is_drawn_changed_removed_and_undone(hand, folder):
    """Each is a step, survives a kill, and is in the file that trainings read."""
    key = draw(hand)
    hand.ledger.flush()
    assert regions_of(folder) == BOX
    wider = [[[0.0, 0.0], [25.0, 0.0], [25.0, 19.0]]]
    outcome = hand.send("region", "a.png", regions=[{"id": key, "rings": wider}])
    assert [r["id"] for r in outcome["regions"]] == [key]
    ledger = reopened(hand)
    assert np.array(ledger.load("a.png").regions[key]).tolist() == wider
    hand.send("unregion", "a.png", regions=[{"id": key}])
    ledger.flush()
    assert regions_of(folder) is None
    assert hand.send("undo")["note"] == "undid: remove 1 region in a.png"
    hand.send("undo")
    ledger.flush()
    assert regions_of(folder) == BOX
    assert ledger.state("a.png") == "unlabelled"


def test_done_keeps_regions_unless_it_is_the_whole_image(hand, folder):
    """Done says something of the regions, or of all; then they go, in one step."""
    draw(hand)
    hand.add("a.png", (4, 4))
    hand.send("mark", "a.png", mark="done")
    assert len(hand.ledger.load("a.png").regions) == 1
    outcome = hand.send("mark", "a.png", mark="done", whole=True)
    assert [r["rings"] for r in outcome["regions"]] == [None]
    hand.ledger.flush()
    assert regions_of(folder) is None
    hand.send("undo")
    assert len(hand.ledger.load("a.png").regions) == 1


def test_corners_are_put_onto_the_image(hand):
    """A rectangle drawn past the edge ends at the edge."""
    key = draw(hand, rings=[[[-9, -9], [99, -9], [99, 99], [-9, 99]]])
    rings = hand.ledger.load("a.png").regions[key]
    assert rings == (((-0.5, -0.5), (29.5, -0.5), (29.5, 19.5), (-0.5, 19.5)),)


def test_regions_of_another_program_are_taken_over(hand, folder):
    """Its file wins, as a text file does; what was there is not lost."""
    events = listen(hand.ledger)
    write_regions(regions_path(folder / "a.png"), Regions(BOX_AREAS))
    assert len(hand.ledger.load("a.png").regions) == 1
    (key,) = hand.ledger.load("a.png").regions
    hand.ledger.flush()
    write_regions(regions_path(folder / "a.png"), Regions.box(0.5, 0.5, 9.5, 9.5))
    hand.ledger.load("a.png")
    assert any("1 region added, 1 removed" in event.get("text", "") for event in events)
    assert key not in hand.ledger.load("a.png").regions
    assert len(reopened(hand).load("a.png").regions) == 1


def test_file_that_another_program_wrote_is_kept_before_it_is_replaced(hand, folder):
    """It may hold names and colours that are not read."""
    path = regions_path(folder / "a.png")
    write_regions(path, Regions(BOX_AREAS))
    theirs = path.read_text().replace("labelled", "my region")
    path.write_text(theirs)
    draw(hand, rings=[[[21, 1], [25, 1], [25, 9]]])
    hand.ledger.flush()
    assert len(regions_of(folder)) == 2
    assert (folder / "a.regions.json.bak").read_text() == theirs


@pytest.mark.parametrize(
    ("content", "words"),
    [("nonsense", "is not JSON"), ('{"type": "Point", "coordinates": [1, 2]}', "has a Point")],
)
def test_regions_that_cannot_be_read_refuse_edits_until_mended(hand, folder, content, words):
    """They are not overwritten; a mended file goes on."""
    path = regions_path(folder / "a.png")
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        hand.add("a.png", (1, 1))
    assert path.read_text() == content
    path.unlink()
    hand.add("a.png", (1, 1))
    assert hand.ledger.state("a.png") == "started"


def test_resized_image_keeps_its_regions_in_place(hand, folder):
    """Twice the size, twice the outline, from pixel corners."""
    key = draw(hand)
    hand.ledger.flush()
    write_image(folder / "a.png", np.zeros((40, 60), dtype=np.uint8))
    rings = np.array(hand.ledger.load("a.png").regions[key])
    assert np.allclose(rings + 0.5, 2 * (np.array(BOX) + 0.5))


def test_unreadable_image_can_be_put_aside(hand, folder):
    """Skipped without a picture, taken back, and nothing is written beside it."""
    (folder / "b.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="b.png"):
        hand.add("b.png", (1, 1))
    assert hand.send("mark", "b.png", mark="skipped")["state"] == "skipped"
    hand.ledger.flush()
    assert reopened(hand, is_crash=False).state("b.png") == "skipped"
    assert hand.send("mark", "b.png", mark="unlabelled")["state"] == "unlabelled"
    assert text(folder, "b.txt") is None


def test_trainings_hear_of_images_that_are_only_started(hand, folder):
    """Until they are done, or a region says what is complete; check says so too."""
    for name in ("a.png", "b.png"):
        hand.add(name, (3, 3), (20, 12))
    hand.ledger.flush()
    assert ImagePointDataset(folder).n_started == 2
    assert "2 images in the annotator and not marked done" in describe_check(check_folder(folder))
    assert "2 images are started in the annotator and not" in load_splits(folder)[2]
    draw(hand, "a.png")
    hand.send("mark", "b.png", mark="done")
    hand.ledger.flush()
    assert ImagePointDataset(folder).n_started == 0
    assert "in the annotator" not in describe_check(check_folder(folder))


def test_equal_names_in_two_folders_are_two_images(tmp_path):
    """Points go into their own text, survive a crash, are undone; the other's text stays."""
    for place in ("cam1", "cam2"):
        write_image(tmp_path / place / "1.png", np.zeros(SHAPE, dtype=np.uint8))
    (tmp_path / "cam1" / "1.txt").write_text("0.5,0.5,weed\n")
    before = (tmp_path / "cam1" / "1.txt").read_bytes()
    hand = Hand(open_ledger(tmp_path, classes=CLASSES))
    assert hand.ledger.names == ["cam1/1.png", "cam2/1.png"]
    hand.add("cam2/1.png", (3, 4))
    reopened(hand)
    assert [place[:2] for place in places(hand.ledger, "cam2/1.png").values()] == [(3, 4)]
    hand.add("cam1/1.png", (1, 1))
    draw(hand, "cam2/1.png")
    hand.ledger.flush()
    assert len(text(tmp_path, "cam2/1.txt")) == 1
    assert len(text(tmp_path, "cam1/1.txt")) == 2
    assert regions_path(tmp_path / "cam2" / "1.png").is_file()
    for _ in range(3):
        hand.send("undo")
    hand.ledger.flush()
    assert (tmp_path / "cam1" / "1.txt").read_bytes() == before.replace(
        b"0.5,0.5", b"0.50000000,0.50000000"
    )
    assert text(tmp_path, "cam2/1.txt") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pointlib", "cam1", "cam2"]


def test_what_a_model_learnt_from_is_remembered(hand):
    """The last such line is there after a restart; it is no step, and undo passes over it."""
    hand.add("a.png", (1, 1))
    hand.ledger.note_learnt({"points": 20, "images": 1})
    hand.ledger.note_learnt({"points": 40, "images": 2})
    assert reopened(hand).learnt["points"] == 40
    hand.send("undo")
    assert hand.ledger.load("a.png").points == {}


# ---- undo


def test_undo_goes_over_images_and_a_new_step_clears_redo(hand):
    """Undo is the folder's: it takes the last step, wherever, and says which."""
    hand.add("a.png", (1, 1))
    hand.add("b.png", (2, 2), (3, 3))
    outcome = hand.send("undo")
    assert (outcome["image"], outcome["op"], outcome["total"]) == ("b.png", "undo", 0)
    assert outcome["note"] == "undid: add 2 points in b.png"
    assert hand.send("undo")["image"] == "a.png"
    with pytest.raises(InputError, match="nothing to undo"):
        hand.send("undo")
    assert hand.send("redo")["note"] == "redid: add 1 point in a.png"
    hand.add("c.png", (1, 1))
    with pytest.raises(InputError, match="nothing to redo"):
        hand.send("redo")


def test_undo_leaves_alone_what_was_changed_outside_since(hand, folder):
    """Of two points one was moved by another program: only the other is taken back."""
    a, b = hand.add("a.png", (1, 1), (10, 10))
    hand.ledger.flush()
    _, second = text(folder)
    (folder / "a.txt").write_text(f"0.5,0.5,weed\n{second}\n")
    outcome = hand.send("undo")
    assert outcome["changes"] == [{"id": b, "point": None}]
    assert outcome["note"] == "undid: add 2 points in a.png, except 1 changed outside since"
    assert [p[:3] for p in places(hand.ledger, "a.png").values()] == [(14.5, 9.5, "weed")]
    assert [c["id"] for c in hand.send("redo")["changes"]] == [b]
    assert a not in places(hand.ledger, "a.png")


def test_undo_clears_a_mark_from_outside(hand, folder):
    """A point that comes back is not in an "empty" image, nor does deleting it make one."""
    (a,) = hand.add("a.png", (3, 4))
    hand.send("delete", "a.png", points=[{"id": a}])
    hand.ledger.flush()
    (folder / "a.txt").write_text("")
    assert hand.ledger.load("a.png").state == "empty"
    assert hand.send("undo")["mark"] == ""
    hand.send("delete", "a.png", points=[{"id": a}])
    assert hand.ledger.state("a.png") == "unlabelled"


def test_undo_does_not_bring_back_a_class_that_was_given_up(hand):
    """The folder's classes hold; the way out is said, and works."""
    (a,) = hand.add("a.png", (3, 4))
    hand.send("delete", "a.png", points=[{"id": a}])
    reopened(hand, classes=["seedling"], is_crash=False)
    with pytest.raises(InputError, match="undo needs class 'weed'"):
        hand.send("undo")
    reopened(hand, is_crash=False)
    assert hand.send("undo")["total"] == 1


def test_undo_and_redo_survive_restarts(hand):
    """Each step is taken back in turn, with a crash after each, and put back again."""
    (a,) = hand.add("a.png", (1, 1))
    hand.send("move", "a.png", points=[{"id": a, "x": 5, "y": 5}])
    hand.send("label", "a.png", points=[{"id": a, "label": "seedling"}])
    hand.send("delete", "a.png", points=[{"id": a}])
    states = [{a: (5, 5, "seedling")}, {a: (5, 5, "weed")}, {a: (1, 1, "weed")}, {}]
    for expected in states:
        reopened(hand)
        hand.send("undo")
        assert places(hand.ledger, "a.png") == expected
    for expected in [*states[2::-1], {}]:
        reopened(hand, is_crash=False)
        hand.send("redo")
        assert places(hand.ledger, "a.png") == expected


def test_undo_of_an_image_that_is_gone_does_not_block(hand, folder):
    """A step in an image that was deleted since is passed over."""
    hand.add("a.png", (1, 1))
    hand.add("b.png", (2, 2))
    hand.ledger.end()
    (folder / "b.png").unlink()
    hand.ledger = open_ledger(folder, classes=CLASSES)
    assert hand.send("undo")["image"] == "b.png"
    assert hand.send("undo")["image"] == "a.png"
    hand.ledger.flush()
    assert text(folder) is None


# ---- text files


def test_text_is_written_by_itself(hand, folder):
    """The background thread writes the text and syncs; nobody needs to ask."""
    hand.add("a.png", (14.5, 9.5))
    wait_until(lambda: text(folder) == ["0.50000000,0.50000000,weed"])
    save = journal(folder)[-1]
    assert (save["op"], save["upto"], save["width"], save["height"]) == ("save", 3, 30, 20)
    wait_until(lambda: not hand.ledger._store.journal._is_dirty)


def test_texts_without_labels_stay_without(folder):
    """A folder of the one class "point" keeps its plain texts."""
    (folder / "a.txt").write_text("0.5,0.5\n")
    hand = Hand(open_ledger(folder))
    assert hand.ledger.classes == ("point",)
    assert hand.ledger.counts("a.png") == {"point": 1}
    hand.add("a.png", (-0.5, -0.5), label="point")
    hand.ledger.flush()
    assert text(folder) == ["0.50000000,0.50000000", "0.00000000,0.00000000"]
    assert reopened(hand, classes=None).classes == ("point",)


def test_classes_come_from_the_texts(folder):
    """Where no classes are given, those of the texts are taken, sorted."""
    (folder / "a.txt").write_text("0.5,0.5,weed\n0.1,0.1,crop\n")
    (folder / "b.txt").write_text("0.5,0.5,weed\n")
    ledger = open_ledger(folder)
    assert ledger.classes == ("crop", "weed")
    assert ledger.counts("a.png") == {"crop": 1, "weed": 1}
    assert ledger.state("b.png") == "labelled"
    assert ledger.names == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize(
    ("lines", "classes", "reason"),
    [
        ("0.5,0.5,tree\n", CLASSES, r"a\.txt has class 'tree'; expected seedling, weed"),
        ("0.5,0.5\n", CLASSES, r"a\.txt has points without a class"),
        ("0.5,0.5,tree\n0.1,0.1\n", None, r"a\.txt has points without a class"),
        ("0.5,0.5,tree\n", ("point",), r"a\.txt has class 'tree' in a folder without classes"),
        ("0.5,0.5,tree\n", ("tree,",), "at least one name, without a comma"),
        ("0.5,0.5,tree\n", (), "at least one name"),
    ],
)
def test_classes_that_do_not_fit_the_texts_are_refused(folder, lines, classes, reason):
    """Labels and classes must agree at opening; the file is named, and no lock stays."""
    (folder / "a.txt").write_text(lines)
    with pytest.raises(InputError, match=reason):
        open_ledger(folder, classes=classes)
    assert not (folder / ".pointlib" / "lock").exists()


def test_texts_of_windows_editors_are_counted_as_they_are_read(folder):
    """A byte order mark is no point, and a hard space no part of a label."""
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbf")
    (folder / "b.txt").write_bytes("\ufeff0,0,Gräser\r\n1,1,\u00a0Gräser\r\n".encode())
    ledger = open_ledger(folder)
    assert ledger.classes == ("Gräser",)
    assert (ledger.state("a.png"), ledger.counts("b.png")) == ("empty", {"Gräser": 2})
    assert ledger.load("a.png").state == "empty"
    corners = [(-0.5, -0.5, "Gräser"), (29.5, 19.5, "Gräser")]
    assert list(places(ledger, "b.png").values()) == corners


def test_text_that_is_a_folder_is_a_sentence(folder):
    """What cannot be read at all is named."""
    (folder / "a.txt").mkdir()
    with pytest.raises(InputError, match=r"a\.txt cannot be read"):
        open_ledger(folder)


def test_points_of_a_text_have_the_same_ids_in_a_copy(folder):
    """So a recording of what was done to them can be played there."""
    (folder / "a.txt").write_text("0.5,0.5\n0.5,0.5\n0.25,0.25\n")
    (folder / "b.txt").write_text("0.5,0.5\n0.5,0.5\n0.25,0.25\n")
    first = open_ledger(folder)
    found = {name: list(first.load(name).points) for name in ("a.png", "b.png")}
    first.end()
    shutil.rmtree(folder / ".pointlib")
    assert {name: list(open_ledger(folder).load(name).points) for name in found} == found
    assert not {*found["a.png"]} & {*found["b.png"]}


def test_classes_may_grow_when_opened_again(hand, folder):
    """The cell run again with one class more: allowed; with one less that is in use: not."""
    hand.add("a.png", (1, 1))
    assert open_ledger(folder, classes=(*CLASSES, "crop")) is hand.ledger
    hand.add("a.png", (2, 2), label="crop")
    with pytest.raises(InputError, match="'crop'"):
        open_ledger(folder, classes=CLASSES)
    assert hand.ledger.classes == (*CLASSES, "crop")


def test_texts_of_before_are_adopted_and_not_undoable(folder):
    """Points that were there are journalled as from outside when their image is first shown."""
    (folder / "a.txt").write_text("0.5,0.5,weed\n0.5,0.5,weed\n")
    (folder / "b.txt").write_text("")
    hand = Hand(open_ledger(folder))
    events = listen(hand.ledger)
    assert [hand.ledger.state(name) for name in ["a.png", "b.png"]] == ["labelled", "empty"]
    assert len(journal(folder)) == 2
    annotation = hand.ledger.load("a.png")
    assert [(p.x, p.y, p.source) for p in annotation.points.values()] == [
        (14.5, 9.5, "outside")
    ] * 2
    assert annotation.shape == SHAPE
    with pytest.raises(InputError, match="nothing to undo"):
        hand.send("undo")
    hand.ledger.flush()
    assert (folder / "a.txt").read_text() == "0.5,0.5,weed\n0.5,0.5,weed\n"
    assert events == []


@pytest.mark.parametrize("is_open", [True, False])
def test_outside_edit_wins_and_is_journalled(hand, folder, is_open):
    """Changed while open or between: the text's points, same ids where unchanged, and a notice."""
    a, b = hand.add("a.png", (1, 1), (2, 2))
    hand.ledger.flush()
    if not is_open:
        hand.ledger.end()
    first, _ = text(folder)
    (folder / "a.txt").write_text(f"{first}\n0.5,0.5,weed\n")
    if not is_open:
        hand.ledger = open_ledger(folder, classes=CLASSES)
    events = listen(hand.ledger)
    found = places(hand.ledger, "a.png")
    assert found.pop(a) == (1, 1, "weed")
    assert list(found.values()) == [(14.5, 9.5, "weed")]
    outside = [line for line in journal(folder) if line.get("session") == "outside"]
    assert [line["op"] for line in outside] == ["delete", "add", "save"]
    wait_until(lambda: events)
    assert events[-1]["text"] == "a.txt was changed by another program: 1 points added, 1 removed."
    if is_open:
        assert events[0]["type"] == "changed"
        assert {c["id"] for c in events[0]["changes"]} == {b, *found}


def test_text_emptied_or_removed_outside_is_taken_so(hand, folder):
    """An empty file means empty, no file means unlabelled; the points stay in the journal."""
    for name in "ab":
        hand.add(f"{name}.png", (1, 1))
    hand.send("mark", "c.png", mark="empty")
    hand.ledger.flush()
    (folder / "a.txt").write_text("")
    (folder / "b.txt").unlink()
    (folder / "c.txt").unlink()
    names = hand.ledger.names
    states = ["empty", "unlabelled", "unlabelled"]
    assert [hand.ledger.load(name).state for name in names] == states
    assert [reopened(hand).state(name) for name in names] == states
    assert sum(line["op"] == "delete" for line in journal(folder)) == 2


def test_mark_changed_outside_is_named(hand, folder):
    """Where an empty text came or went and no point did, the notice says what it means."""
    (folder / "a.txt").touch()
    events = listen(hand.ledger)
    hand.ledger.load("a.png")
    (folder / "a.txt").unlink()
    hand.ledger.load("a.png")
    said = [event["text"] for event in events if event["type"] == "notice"]
    told = "a.txt was changed by another program: now"
    assert said == [f"{told} empty.", f"{told} unlabelled."]


def test_outside_edit_spares_what_was_not_yet_saved(hand, folder, monkeypatch):
    """What was acknowledged after the last save is not in the text: it is not taken for deleted."""
    a, b, c = hand.add("a.png", (1, 1), (2, 2), (3, 3))
    hand.ledger.flush()
    lines = text(folder)
    with monkeypatch.context() as patch:
        patch.setattr(stores, "write_atomic", broken())
        (d,) = hand.add("a.png", (4, 4))
        hand.send("delete", "a.png", points=[{"id": b}])
        hand.send("move", "a.png", points=[{"id": c, "x": 9, "y": 9}])
        (folder / "a.txt").write_text("\n".join([*lines[1:], "0.5,0.5,weed\n"]))
        found = places(hand.ledger, "a.png")
        assert found.keys() & {a, b, c, d} == {c, d}
        (folder / "a.txt").write_text("\n".join([*lines[1:], "0.5,0.5,weed", "0.4,0.4,weed\n"]))
        assert len(places(hand.ledger, "a.png")) == len(found) + 1
    hand.ledger.flush()
    assert len(text(folder)) == 4
    assert places(reopened(hand), "a.png").keys() & {a, b, c, d} == {c, d}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("0.5;0.5\n", r"a\.txt, line 1"),
        ("1 0.5 0.5 0.1 0.1\n", "looks like YOLO"),
        ("0.5,0.5\n", "without a class"),
    ],
)
def test_text_that_cannot_be_read_stops_edits_until_it_is_mended(hand, folder, lines, reason):
    """The image says why, nothing is overwritten, other images go on, and mending helps."""
    (a,) = hand.add("a.png", (1, 1))
    hand.ledger.flush()
    good = (folder / "a.txt").read_text()
    (folder / "a.txt").write_text(lines)
    for _ in range(2):
        with pytest.raises(InputError, match=reason):
            hand.ledger.load("a.png")
        with pytest.raises(InputError, match=r"Until then a\.png cannot be edited"):
            hand.add("a.png", (2, 2))
    hand.add("b.png", (2, 2))
    hand.ledger.flush()
    assert (folder / "a.txt").read_text() == lines
    (folder / "a.txt").write_text(good)
    assert places(hand.ledger, "a.png") == {a: (1, 1, "weed")}


def test_unreadable_text_found_at_opening_is_told(hand, folder):
    """Broken between two sessions: the folder opens, the listeners hear of it."""
    hand.add("a.png", (1, 1))
    hand.ledger.end()
    (folder / "a.txt").write_text("what?\n")
    hand.ledger = open_ledger(folder, classes=CLASSES)
    events = listen(hand.ledger)
    wait_until(lambda: events)
    assert "cannot be edited" in events[0]["text"]
    assert (folder / "a.txt").read_text() == "what?\n"


def test_new_class_from_outside_is_appended(hand, folder):
    """A label that nobody named becomes a class, with a notice; labelled folders only."""
    events = listen(hand.ledger)
    (folder / "a.txt").write_text("0.5,0.5,tree\n")
    hand.ledger.load("a.png")
    assert hand.ledger.classes == (*CLASSES, "tree")
    assert "has a new class: tree" in events[0]["text"]
    assert hand.ledger.counts("b.png") == {"seedling": 0, "weed": 0, "tree": 0}


def test_image_that_was_resized_takes_its_points_along(hand, folder):
    """Texts survive a resize, so the ledger's points do: p' = (p + 0.5) s - 0.5."""
    (a,) = hand.add("a.png", (1, 2))
    hand.ledger.flush()
    before = text(folder)
    for is_crash in (False, True):
        size = (40, 90) if is_crash else (40, 60)
        write_image(folder / "a.png", np.zeros(size, dtype=np.uint8))
        reopened(hand, is_crash=is_crash)
        x = 1.5 * size[1] / 30 - 0.5
        assert places(hand.ledger, "a.png") == {a: (pytest.approx(x), 4.5, "weed")}
        hand.add("b.png", (1, 1))
        hand.ledger.flush()
        assert text(folder) == before


def test_resize_that_cannot_be_journalled_is_made_up_for(hand, folder, monkeypatch):
    """A full disk at the wrong moment leaves no point at its old place in a new image."""
    (a,) = hand.add("a.png", (1, 2))
    hand.ledger.flush()
    write_image(folder / "a.png", np.zeros((40, 60), dtype=np.uint8))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", broken())
        with pytest.raises(InputError, match="Free space"):
            hand.ledger.load("a.png")
    assert places(hand.ledger, "a.png") == {a: (2.5, 4.5, "weed")}


@pytest.mark.parametrize(("size", "words"), [((40, 60), "resized"), ((30, 20), "proportions")])
def test_new_proportions_are_not_called_a_resize(hand, folder, size, words):
    """An image that was turned or cut: the user is told to look, though texts stay true."""
    hand.add("a.png", (1, 2))
    events = listen(hand.ledger)
    write_image(folder / "a.png", np.zeros(size, dtype=np.uint8))
    hand.ledger.load("a.png")
    assert words in events[-1]["text"]


def test_image_that_cannot_be_read_is_an_error_of_its_own(hand, folder):
    """One broken picture: a sentence for it, nothing for the others."""
    (folder / "a.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="cannot be read as an image"):
        hand.add("a.png", (1, 1))
    assert hand.ledger.state("a.png") == "unlabelled"
    hand.add("b.png", (1, 1))


# ---- full disks, read-only folders, other writers


@pytest.mark.parametrize("part", [0, 0.5])
def test_full_disk_refuses_edits_and_later_takes_them(hand, folder, monkeypatch, part):
    """Nothing changes while there is no room, not even the undo stack; then all goes on."""
    (a,) = hand.add("a.png", (1, 1))
    hand.ledger.flush()
    before, write = (folder / ".pointlib" / "journal.jsonl").read_bytes(), os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda f, d: write(f, d[: len(d) // 2]) if part else broken()())
        for op, rest in [("undo", {}), ("delete", {"image": "a.png", "points": [{"id": a}]})]:
            with pytest.raises(InputError, match="Not saved: .*Free space"):
                hand.send(op, **rest)
    assert (folder / ".pointlib" / "journal.jsonl").read_bytes() == before
    assert places(hand.ledger, "a.png") == {a: (1, 1, "weed")}
    assert not hand.ledger.read_only
    assert hand.send("undo")["total"] == 0


def test_texts_that_cannot_be_written_are_told_once_and_retried(hand, folder, monkeypatch):
    """Edits go on in the journal; one notice; with room again all texts are written."""
    events = listen(hand.ledger)
    with monkeypatch.context() as patch:
        patch.setattr(stores, "write_atomic", broken())
        for name in "abc":
            hand.add(f"{name}.png", (1, 1))
        for _ in range(2):
            with pytest.raises(InputError, match="No space left"):
                hand.ledger.flush()
    notices = [event["text"] for event in events if event["type"] == "notice"]
    assert len(notices) == 1
    assert "The journal has all edits" in notices[0]
    hand.ledger.flush()
    assert len(list(folder.glob("*.txt"))) == 3


@pytest.mark.parametrize("part", ["write_atomic", "_put"])
@pytest.mark.parametrize("is_crash", [True, False])
def test_texts_never_written_lose_no_edit(hand, folder, monkeypatch, is_crash, part):
    """Several saves that failed leave an old text, which must not win at the next opening."""
    ids = hand.add("a.png", (0, 0))
    hand.ledger.flush()
    with monkeypatch.context() as patch:
        patch.setattr(stores, part, broken())
        for x in range(1, 5):
            ids += hand.add("a.png", (x, x))
            with pytest.raises(InputError, match="No space left"):
                hand.ledger.flush()
        assert len(text(folder)) == 1
        crash(hand.ledger) if is_crash else hand.ledger.end()
    hand.ledger = open_ledger(folder, classes=CLASSES)
    assert list(places(hand.ledger, "a.png")) == ids
    hand.ledger.flush()
    assert len(text(folder)) == 5


def test_read_only_folder_can_be_looked_at(hand, folder, monkeypatch):
    """Points are shown, edits refused with the reason, and opening again later helps."""
    (a,) = hand.add("a.png", (1, 1))
    hand.ledger.end()
    (folder / "b.txt").write_text("0.5,0.5,weed\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", broken(errno.EROFS))
        hand.ledger = open_ledger(folder, classes=CLASSES)
        assert "Read-only file system" in hand.ledger.read_only
        assert places(hand.ledger, "a.png") == {a: (1, 1, "weed")}
        assert len(places(hand.ledger, "b.png")) == 1
        with pytest.raises(InputError, match="Read-only file system"):
            hand.send("undo")
        hand.ledger.flush()
    again = open_ledger(folder, classes=CLASSES)
    assert again is not hand.ledger
    assert again.read_only == ""
    hand.ledger = again
    assert hand.send("undo")["total"] == 0


def test_who_lost_the_lock_is_told_and_writes_nothing(hand, folder):
    """Taken over by another: a notice, edits refused, no text written any more."""
    hand.add("a.png", (1, 1))
    hand.ledger.flush()
    events = listen(hand.ledger)
    lock = folder / ".pointlib" / "lock"
    lock.write_text(json.dumps({"host": "x", "pid": 3, "session": "bbbbbb", "user": "jan"}))
    wait_until(lambda: hand.ledger.read_only)
    wait_until(lambda: events)
    assert "jan on x (process 3) took this folder over" in events[0]["text"]
    with pytest.raises(InputError, match="took this folder over"):
        hand.add("a.png", (2, 2))
    n = len(journal(folder))
    hand.ledger.end()
    assert len(journal(folder)) == n
    assert lock.exists()


def test_error_in_the_thread_becomes_a_notice(hand, monkeypatch):
    """What nobody foresaw is told and does not stop the thread."""
    events = listen(hand.ledger)
    with monkeypatch.context() as patch:
        patch.setattr(hand.ledger._store, "save", broken(errno.EIO))
        patch.setattr(hand.ledger._store.journal, "sync", lambda: 1 / 0)
        wait_until(lambda: events)
    assert "ZeroDivisionError" in events[0]["text"]
    hand.add("a.png", (1, 1))
    wait_until(lambda: text(hand.ledger.folder) is not None)


def test_interrupted_edit_is_settled_by_opening_again(hand, folder, monkeypatch):
    """Ctrl+C between journal and memory: the journal decides, after running the cell again."""
    with monkeypatch.context() as patch:
        patch.setattr(
            hand.ledger._store.history, "take", lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            hand.add("a.png", (1, 1))
    with pytest.raises(InputError, match="interrupted"):
        hand.add("a.png", (2, 2))
    again = open_ledger(folder, classes=CLASSES)
    assert len(places(again, "a.png")) == 1
    assert again.read_only == ""


# ---- opening, listeners, replay


def test_open_ledger_returns_the_same_one_until_closed_as_often(folder):
    """Two openings of one folder share a ledger; the second close ends it."""
    first = open_ledger(folder)
    (folder / "sub").mkdir()
    assert open_ledger(folder / "sub" / "..") is first
    first.close()
    Hand(first).add("a.png", (1, 1), label="point")
    first.close()
    assert not (folder / ".pointlib" / "lock").exists()
    assert text(folder) == ["0.05000000,0.07500000"]
    with pytest.raises(InputError, match="closed"):
        Hand(first, "cccccc").send("undo")
    second = open_ledger(folder)
    assert (second.key, second.session == first.session) == (first.key, False)
    first.close()
    assert second.read_only == ""


def test_open_again_finds_new_images(hand, folder):
    """Pictures copied into the folder since are there when the cell is run again."""
    (a,) = hand.add("a.png", (3, 4))
    write_image(folder / "d.png", np.zeros(SHAPE, dtype=np.uint8))
    again = open_ledger(folder)
    assert again.names == ["a.png", "b.png", "c.png", "d.png"]
    assert list(again.load("a.png").points) == [a]
    assert again.read_only == ""


def test_renamed_folder_opens_at_once_under_its_new_name(hand, folder):
    """The lock in it is our own; the old opening says that it is over."""
    hand.add("a.png", (3, 4))
    moved = folder.rename(folder.with_name("moved"))
    with pytest.raises(InputError, match="is gone"):
        hand.add("a.png", (5, 5))
    ledger = open_ledger(moved)
    assert (ledger.read_only, ledger.counts("a.png")["weed"]) == ("", 1)


def test_interrupted_end_gives_the_lock_back(hand, folder, monkeypatch):
    """Ctrl+C while the texts are saved: nothing is lost, and the folder opens at once."""
    (a,) = hand.add("a.png", (3, 4))

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(hand.ledger, "_save_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        hand.ledger.end()
    ledger = open_ledger(folder)
    assert ledger.read_only == ""
    assert list(ledger.load("a.png").points) == [a]


def test_saving_many_texts_keeps_the_lock_young(hand, monkeypatch):
    """A slow disk must not make others think that nobody is here."""
    beats = []
    monkeypatch.setattr(hand.ledger._store.journal, "beat", lambda: beats.append(1))
    hand.ledger._stop.set()
    hand.ledger._thread.join()
    for name in hand.ledger.names:
        hand.add(name, (3, 4))
    beats.clear()
    hand.ledger.flush()
    assert len(beats) == 3


def test_journal_line_without_its_numbers_is_named(hand, folder):
    """A journal that somebody edited by hand: a sentence with the line, and the lock is free."""
    hand.add("a.png", (3, 4))
    hand.ledger.end()
    path = folder / ".pointlib" / "journal.jsonl"
    path.write_text(path.read_text().replace('"x": 3.0, ', ""))
    with pytest.raises(InputError, match="line 3 makes no sense"):
        open_ledger(folder)
    assert not (folder / ".pointlib" / "lock").exists()


def test_file_name_that_is_not_utf8_is_a_sentence(folder):
    """No message could carry it, and no journal."""
    try:
        os.link(folder / "a.png", os.fsencode(folder) + b"/caf\xe9.png")
    except OSError:
        pytest.skip("this file system knows no such names")
    with pytest.raises(InputError, match="not a UTF-8 name"):
        open_ledger(folder)


def test_dataset_folder_means_its_images(tmp_path):
    """Of a folder with images/ the images are meant."""
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "a.png", np.zeros(SHAPE, dtype=np.uint8))
    ledger = open_ledger(tmp_path)
    assert ledger.folder == (tmp_path / "images").resolve()
    assert open_ledger(tmp_path / "images") is ledger
    assert repr(ledger) == "Ledger(images, 1 images)"


def test_clean_end_is_written_down(hand, folder):
    """Opening and closing leave their lines."""
    hand.ledger.end()
    assert [line["op"] for line in journal(folder)] == ["journal", "open", "close"]


def test_listeners_hear_of_changes_but_the_one_who_made_them(hand):
    """Everybody else is told, outside the lock; one who fails disturbs nobody."""
    mine, others = [], listen(hand.ledger)
    hear = mine.append
    hand.ledger.listeners |= {hear, lambda event: 1 / 0}
    points = [hand.point(1, 1)]
    edit = {"session": "aaaaaa", "edit": 1, "op": "add", "image": "a.png", "points": points}
    outcome = hand.ledger.apply(edit, by=hear)
    assert mine == []
    assert others == [{"type": "changed", **outcome}]
    hand.ledger.apply(edit)
    assert len(others) == 1


def test_repair_is_told_to_the_first_listener(hand, folder):
    """A journal cut off by a crash is repaired, and the first who listens hears of it."""
    hand.add("a.png", (1, 1))
    crash(hand.ledger)
    with (folder / ".pointlib" / "journal.jsonl").open("ab") as file:
        file.write(b'{"n": 99')
    hand.ledger = open_ledger(folder, classes=CLASSES)
    events = listen(hand.ledger)
    wait_until(lambda: events)
    assert "half an edit (8 bytes)" in events[0]["text"]
    assert len(places(hand.ledger, "a.png")) == 1


def test_load_returns_a_copy(hand):
    """What a caller does to an annotation is his own affair."""
    hand.add("a.png", (1, 1))
    annotation = hand.ledger.load("a.png")
    annotation.points.clear()
    assert len(hand.ledger.load("a.png").points) == 1


def test_replay_gives_the_state_and_each_earlier_one(hand, folder):
    """All lines give what is now; up to a step they give what was then."""
    rng = np.random.default_rng(5)
    steps = {}
    for _ in range(60):
        act_at_random(hand, rng)
        steps[journal(folder)[-1].get("step", 0)] = {
            n: places(hand.ledger, n) for n in hand.ledger.names
        }
    lines = journal(folder)
    for until, expected in [*steps.items(), (None, places_of_all(hand.ledger))]:
        records = replay(lines, until=until)
        found = {n: {k: p[:3] for k, p in r.points.items()} for n, r in records.items()}
        assert {n: found.get(n, {}) for n in expected} == expected
    assert replay(lines, until=0) == {}


def places_of_all(ledger):
    """Return {image: {id: (x, y, label)}}."""
    return {name: places(ledger, name) for name in ledger.names}


# ---- at random


def region_at_random(hand, rng, image, regions):
    """Draw, change or remove a region; return (op, image, regions)."""
    if regions and rng.random() < 0.4:
        removed = [{"id": str(rng.choice(list(regions)))}]
        hand.send("unregion", image, regions=removed)
        return "unregion", image, removed
    left, top = rng.uniform((-0.5, -0.5), (15, 10)).round(3).tolist()
    right, bottom = rng.uniform((18, 12), (29.5, 19.5)).round(3).tolist()
    is_change = regions and rng.random() < 0.5
    key = str(rng.choice(list(regions))) if is_change else hand.point(0, 0)["id"]
    drawn = [{"id": key, "rings": [[[left, top], [right, top], [right, bottom]]]}]
    hand.send("region", image, regions=drawn)
    return "region", image, drawn


def act_at_random(hand, rng):
    """Send one random edit that should be accepted; return (op, image, points or mark)."""
    image = str(rng.choice(hand.ledger.names))
    annotation = hand.ledger._store.history.images.get(image)
    keys = list(annotation.points) if annotation else []
    ops = ["add", "add", "move", "label", "delete", "delete", "mark", "region", "undo", "redo"]
    op = str(rng.choice(ops))
    if op == "region":
        return region_at_random(hand, rng, image, annotation.regions if annotation else {})
    history = hand.ledger._store.history
    if op in ("undo", "redo") and (history.done if op == "undo" else history.undone):
        hand.send(op)
        return op, None, None
    if op == "mark":
        marks = ["done", "started"] if keys else ["empty", "skipped", "unlabelled"]
        mark = str(rng.choice(marks))
        hand.send("mark", image, mark=mark)
        return "mark", image, mark
    if op not in ("move", "label", "delete") or not keys:
        points = [
            hand.point(*rng.uniform((-0.5, -0.5), (29.5, 19.5)), label=str(rng.choice(CLASSES)))
            for _ in range(rng.integers(1, 4))
        ]
        hand.send("add", image, points=points)
        return "add", image, points
    chosen = rng.choice(keys, size=min(len(keys), 2), replace=False)
    points = [{"id": str(key)} for key in chosen]
    for point in points:
        if op == "move":
            point["x"], point["y"] = rng.uniform((-0.5, -0.5), (29.5, 19.5))
        elif op == "label":
            point["label"] = str(rng.choice(CLASSES))
    hand.send(op, image, points=points)
    return op, image, points


class Lists:
    """The plain model: points and regions an image, and a copy of everything before each step."""

    def __init__(self, names):
        self.now, self.done, self.undone = dict.fromkeys(names, ("", (), ())), [], []

    def do(self, op, image, what):
        """Do what the ledger was told."""
        if op in ("undo", "redo"):
            source, target = (self.done, self.undone) if op == "undo" else (self.undone, self.done)
            target.append(self.now)
            self.now = source.pop()
            return
        mark, points, regions = self.now[image]
        rows, areas = {row[0]: list(row) for row in points}, dict(regions)
        if op == "mark" and state(mark, points) != {"done": "labelled"}.get(what, what):
            mark = "" if what == "unlabelled" else what
        if op in ("region", "unregion"):
            areas |= {region["id"]: region.get("rings") for region in what}
            areas = {key: rings for key, rings in areas.items() if rings}
        for point in what if op in ("add", "delete", "move", "label") else []:
            if op == "add":
                mark = mark if points else "started"
                rows[point["id"]] = [point[k] for k in ("id", "x", "y", "label")]
            elif op == "delete":
                del rows[point["id"]]
            elif op == "move":
                rows[point["id"]][1:3] = point["x"], point["y"]
            else:
                rows[point["id"]][3] = point["label"]
        new = (mark, tuple(map(tuple, rows.values())), tuple(areas.items()))
        is_same = mark == self.now[image][0] and sorted(new[1]) == sorted(points)
        if not is_same or areas != dict(regions):
            self.done.append(self.now)
            self.undone = []
            self.now = self.now | {image: new}

    def state(self):
        """Return {image: (mark, points sorted, regions sorted)}."""
        return {
            name: (mark, sorted(points), sorted(regions))
            for name, (mark, points, regions) in self.now.items()
        }


def state(mark, points):
    """Return the state of an image with a mark and points."""
    if points:
        return "started" if mark == "started" else "labelled"
    return mark if mark in ("empty", "skipped") else "unlabelled"


def state_of(ledger):
    """Return the ledger's state in the form of the model's."""
    return {name: plain(ledger.load(name)) for name in ledger.names}


def plain(annotation):
    """Return an annotation in the form of the model's."""
    points = sorted((key, *p[:3]) for key, p in annotation.points.items())
    regions = sorted(
        (key, [[list(corner) for corner in ring] for ring in rings])
        for key, rings in annotation.regions.items()
    )
    return annotation.mark, points, regions


def check_texts(folder, model):
    """Compare the files with the model: as many points, there, of that class; the regions."""
    for name, (mark, points, areas) in model.now.items():
        found = read_regions(regions_path(folder / name))
        drawn = [np.array(rings[0]).tolist() for _, rings in areas]
        kept = [np.round(rings[0], 3).tolist() for rings in found.areas] if found else []
        assert sorted(kept) == sorted(drawn)
        path = text_path(folder / name)
        if not points:
            assert path.exists() == (mark == "empty")
            continue
        xy, labels = read_points(path, SHAPE)
        rows = sorted((round(x, 4), round(y, 4), label) for _, x, y, label in points)
        found = sorted(zip(xy.round(4).tolist(), labels.tolist(), strict=True))
        assert [label for _, _, label in rows] == [label for _, label in found]
        assert np.allclose([row[:2] for row in rows], [xy for xy, _ in found], atol=2e-4)


def kill_at_random(hand, rng, patch):
    """End the process at a random place: between edits, within one, or while texts are written."""
    path = hand.ledger.folder / ".pointlib" / "journal.jsonl"
    how = rng.integers(4)
    if how == 0:  # within a step that nobody was told of
        hand.ledger._stop.set()
        hand.ledger._thread.join()  # it would bring that step to the text, and to the disk first
        size = path.stat().st_size
        act_at_random(hand, rng)
        crash(hand.ledger)
        os.truncate(path, rng.integers(size, max(path.stat().st_size, size + 1)))
    elif how == 1:  # the line on the text is there, the text is not
        with patch.context() as broken_disk, contextlib.suppress(InputError):
            broken_disk.setattr(stores, "_put", broken())
            hand.ledger.flush()
        crash(hand.ledger)
    elif how == 2:
        hand.ledger.flush()
        crash(hand.ledger)
    else:
        crash(hand.ledger)


def test_ten_thousand_random_edits_agree_with_plain_lists(tmp_path, monkeypatch):
    """After every kill and every clean end, all that was acknowledged is there, undo included.

    POINTLIB_KILLS sets how often an edit in a thousand is followed by one: 43 gives 300 kills.
    """
    rng, n_kills = np.random.default_rng(11), 0
    often = int(os.environ.get("POINTLIB_KILLS", "3")) / 1000
    monkeypatch.setattr(locks, "SETTLE", 0.0)
    for i in range(6):
        write_image(tmp_path / f"i{i}.png", np.zeros(SHAPE, dtype=np.uint8))
    hand = Hand(open_ledger(tmp_path, classes=CLASSES))
    model = Lists(hand.ledger.names)
    for number in range(1, 10_001):
        model.do(*act_at_random(hand, rng))
        if rng.random() < often:
            is_kill = rng.random() < 0.7
            n_kills += is_kill
            kill_at_random(hand, rng, monkeypatch) if is_kill else hand.ledger.end()
            hand.ledger = open_ledger(tmp_path, classes=CLASSES)
            assert state_of(hand.ledger) == model.state(), number
    kinds = Counter(line["op"] for line in journal(tmp_path))
    print(n_kills, "kills;", dict(kinds))
    assert min(kinds[op] for op in ("mark", "region", "unregion", "save-regions")) > 0
    assert hand.ledger._store.history.done
    hand.ledger.flush()
    check_texts(tmp_path, model)
    hand.ledger.end()
    records = replay(journal(tmp_path))
    assert {name: plain(record) for name, record in records.items()} == model.state()
    for path in (tmp_path / ".pointlib").glob("*.cut"):
        assert path.stat().st_size > 0


def edit_outside(folder, name, rng):
    """Change a text as another program would; return its points as [(x, y, label)]."""
    path = text_path(folder / name)
    lines = path.read_text().splitlines() if path.exists() else []
    keep = [line for line in lines if rng.random() < 0.8]
    keep += [f"{x:.5f},{y:.5f},weed" for x, y in rng.uniform(0, 1, (rng.integers(1, 3), 2))]
    path.write_text("".join(line + "\n" for line in keep))
    xy, labels = read_points(path, SHAPE)
    return [(x, y, label) for (x, y), label in zip(xy.tolist(), labels.tolist(), strict=True)]


def test_random_edits_from_inside_and_outside_agree(folder, monkeypatch):
    """Texts changed by others at random, before and after kills: the text's points are adopted."""
    rng = np.random.default_rng(12)
    hand = Hand(open_ledger(folder, classes=CLASSES))
    model = Lists(hand.ledger.names)
    for number in range(1, 1_001):
        if rng.random() > 0.1:
            if model.done or not hand.ledger._store.history.done:
                model.do(*act_at_random(hand, rng))
            else:  # undo of what was done before the outside edit is a test of its own
                model.do("add", "a.png", add_one(hand))
        else:
            hand.ledger.flush()
            is_kill = rng.random() < 0.5
            if is_kill:
                kill_at_random(hand, rng, monkeypatch)
            name = str(rng.choice(hand.ledger.names))
            expected = edit_outside(folder, name, rng)
            if is_kill:
                hand.ledger = open_ledger(folder, classes=CLASSES)
            annotation = hand.ledger.load(name)
            found = sorted((*p[:2], p.label) for p in annotation.points.values())
            assert np.allclose(
                [r[:2] for r in found], [r[:2] for r in sorted(expected)], atol=1e-5
            ), number
            rows = tuple((key, *p[:3]) for key, p in annotation.points.items())
            mark, before, regions = model.now[name]
            mark = (mark if before else "") if rows else "empty"
            model.now = model.now | {name: (mark, rows, regions)}
            model.done, model.undone = [], []
        assert state_of(hand.ledger) == model.state(), number


def add_one(hand):
    """Add a point to a.png; return it in a list."""
    points = [hand.point(3.0, 3.0)]
    hand.send("add", "a.png", points=points)
    return points


# ---- other processes

CLICKS = """
import sys
from pointlib.annotate.ledger import open_ledger
ledger = open_ledger(sys.argv[1])
assert not ledger.read_only, ledger.read_only
for k in range(1, 100_000):
    point = {"id": f"bbbbbb-{k}", "x": k % 29, "y": k % 19, "label": "point", "source": "hand"}
    head = {"session": "bbbbbb", "edit": k, "image": ledger.names[k % 3]}
    if k % 5:
        ledger.apply({**head, "op": "add", "points": [point]})
    else:
        rings = [[[1, 1], [2 + k % 20, 1], [9, 9]]]
        ledger.apply({**head, "op": "region", "regions": [{"id": f"bbbbbb-{k}", "rings": rings}]})
    print(k, flush=True)
"""

WAITS = """
import sys
from pointlib.annotate.ledger import open_ledger
ledger = open_ledger(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


def start(code, folder):
    """Start Python code on a folder in a process of its own."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], **pipes)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_process_loses_no_acknowledged_edit(folder):
    """SIGKILL in the middle of a stream of points and regions: the acknowledged ones are there."""
    with start(CLICKS, folder) as process:
        told = [int(process.stdout.readline()) for _ in range(700)]
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().splitlines()]
    assert (folder / ".pointlib" / "lock").exists()
    hand = Hand(open_ledger(folder), session="bbbbbb")
    assert hand.ledger.read_only == ""
    images = [hand.ledger.load(name) for name in hand.ledger.names]
    found = {key for image in images for key in (*image.points, *image.regions)}
    assert {f"bbbbbb-{k}" for k in told} <= found
    assert len(found) - len(told) in (0, 1)
    again = hand.send("add", "b.png", points=[hand.point(1, 1, "point")])
    assert again["duplicate"]
    for _ in found:
        hand.edits = itertools.count(200_000 + next(hand.edits))
        hand.send("undo")
    images = [hand.ledger.load(name) for name in hand.ledger.names]
    assert not any(image.points or image.regions for image in images)


def test_second_process_looks_on_and_says_whom(folder):
    """While another process annotates, this one is read-only and names it; afterwards it is not."""
    with start(WAITS, folder) as process:
        assert process.stdout.readline() == "ready\n"
        ledger = open_ledger(folder)
        assert f"(process {process.pid}) is annotating this folder" in ledger.read_only
        assert ledger.load("a.png").points == {}
        with pytest.raises(InputError, match=f"process {process.pid}"):
            Hand(ledger).add("a.png", (1, 1), label="point")
        ledger.close()
        assert (folder / ".pointlib" / "lock").exists()
        process.communicate()
    assert [line["op"] for line in journal(folder)] == ["journal", "open", "close"]
    assert open_ledger(folder).read_only == ""
