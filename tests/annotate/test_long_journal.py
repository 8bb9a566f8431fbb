"""Journals that are long, damaged or a stranger's: little memory, exact undo, a sentence."""

import json
import subprocess
import sys

import numpy as np
import pytest
from test_ledger import CLASSES, SHAPE, Hand, act_at_random, end_ledgers, places_of_all  # noqa: F401

from pointlib.annotate import store as stores
from pointlib.annotate.journal import read_journal
from pointlib.annotate.ledger import open_ledger
from pointlib.annotate.steps import LARGEST_GAP, Seen, replay
from pointlib.errors import InputError
from pointlib.images import write_image

HEAD = {"n": 1, "op": "journal", "version": 1, "id": "0123456789ab"}
STEP = {"session": "aaaaaa", "edit": 1, "step": 1, "left": 0, "image": "a.png", "op": "add"}
POINT = {"id": "aaaaaa-1", "x": 3.0, "y": 4.0, "label": "weed", "source": "hand", "score": None}


@pytest.fixture
def folder(tmp_path):
    """Return a folder of three small images without texts."""
    for name in "abc":
        write_image(tmp_path / f"{name}.png", np.zeros(SHAPE, dtype=np.uint8))
    return tmp_path


def write_lines(folder, lines):
    """Write a journal of lines, numbered, and return its path."""
    path = folder / ".pointlib" / "journal.jsonl"
    path.parent.mkdir(exist_ok=True)
    lines = [json.dumps({"n": n} | line) for n, line in enumerate([HEAD, *lines], start=1)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": None}, "x is None"),
        ({"y": "4"}, "y is '4'"),
        ({"x": float("inf")}, "x is inf"),
        ({"x": True}, "x is True"),
        ({"label": None}, "label is None"),
        ({"id": 7}, "id is 7"),
        ({"source": []}, r"source is \[\]"),
        ({"score": "high"}, "score is 'high'"),
        ({"image": "../a.png"}, r"image '\.\./a\.png' is not the name of an image in this folder"),
        ({"image": "/etc/a.png"}, "image '/etc/a.png' is not the name"),
        ({"image": "x/../../a.png"}, "is not the name"),
        ({"image": ["a.png"]}, r"image is \['a\.png'\]"),
        ({"edit": "one"}, "TypeError"),
        ({"session": 3}, "TypeError"),
        ({"op": "undo"}, "KeyError"),
    ],
)
def test_nonsense_in_a_line_is_named_with_its_line(folder, change, words):
    """Whatever a hand or a program wrote there: a sentence, and nothing is changed."""
    path = write_lines(folder, [STEP | POINT | change])
    before = path.read_bytes()
    for open_it in (lambda: open_ledger(folder), lambda: replay(read_journal(path))):
        with pytest.raises(InputError, match=rf"line 2 makes no sense .*{words}.*Fix it"):
            open_it()
    assert path.read_bytes() == before
    assert not (folder / ".pointlib" / "lock").exists()


def test_deep_nesting_in_a_journal_is_a_broken_line(folder):
    """At its end it is moved aside, as half a line is; before good lines it is named."""
    deep = "[" * 200_000 + "]" * 200_000
    path = write_lines(folder, [STEP | POINT])
    good = path.read_text()
    path.write_text(good + deep + "\n")
    ledger = open_ledger(folder)
    assert len(ledger.load("a.png").points) == 1
    ledger.end()
    assert deep in path.with_name("journal.jsonl.cut").read_text()
    path.write_text(good + deep + "\n" + json.dumps({"n": 4, "op": "close"}) + "\n")
    with pytest.raises(InputError, match="line 3: .*valid lines follow"):
        open_ledger(folder)


def test_a_folder_in_the_journals_place_is_a_sentence(folder):
    """Nothing is written into it, and the lock is free."""
    (folder / ".pointlib" / "journal.jsonl").mkdir(parents=True)
    with pytest.raises(InputError, match=r"journal\.jsonl is a folder.*Move it away"):
        open_ledger(folder)
    assert not (folder / ".pointlib" / "lock").exists()


@pytest.mark.parametrize("kept", [1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_undo_is_exact_beyond_what_is_kept_in_memory(folder, monkeypatch, kept, seed):
    """However few steps memory holds, undo goes back to the empty folder, redo forth again."""
    monkeypatch.setattr(stores, "KEPT", kept)
    hand, rng = Hand(open_ledger(folder, classes=CLASSES)), np.random.default_rng(seed)
    states = [places_of_all(hand.ledger)]
    for _ in range(60):
        before = hand.ledger._store.history.last_step
        op, *_ = act_at_random(hand, rng)
        if op == "undo":
            states.pop()
        elif hand.ledger._store.history.last_step > before:  # it changed something
            states.append(places_of_all(hand.ledger))
        assert places_of_all(hand.ledger) == states[-1]
        if rng.random() < 0.1:  # a new session goes on with the same journal
            hand.ledger.end()
            hand.ledger = open_ledger(folder, classes=CLASSES)
    changes = len(states) - 1
    for before in reversed(states[:-1]):
        hand.send("undo")
        assert places_of_all(hand.ledger) == before
    with pytest.raises(InputError, match="nothing to undo"):
        hand.send("undo")
    hand.ledger.end()  # a history that goes back further than memory is read again
    hand.ledger = open_ledger(folder, classes=CLASSES)
    for after in states[1:]:
        hand.send("redo")
        assert places_of_all(hand.ledger) == after
    assert changes == len(states) - 1


def test_seen_is_a_dict_of_edits():
    """In order, with gaps, out of order, far apart: what was noted is found, nothing else."""
    rng, seen, plain = np.random.default_rng(0), Seen(), {}
    numbers = [*range(1, 50), *range(60, 70), 10**9, 500, *rng.integers(1, 3 * LARGEST_GAP, 200)]
    for number in map(int, numbers):
        sender = ("abcdef"[number % 3] * 6, number)
        seen[sender] = plain[sender] = f"{number}.png"
    for number in (*range(1, 400), 10**9, 10**9 + 1):
        for session in ("aaaaaa", "bbbbbb", "cccccc", "dddddd"):
            assert ((session, number) in seen) == ((session, number) in plain)
            assert seen[session, number] == plain.get((session, number))


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM")
def test_opening_a_long_journal_takes_little_memory(tmp_path):
    """200,000 edits of 200,000 points, Python and numpy included: below 200 MB."""
    for i in range(20):
        write_image(tmp_path / f"image_{i}.png", np.zeros((20, 30), np.uint8))
    rows = (
        {**STEP, **POINT, "edit": i, "step": i, "image": f"image_{i % 20}.png", "id": f"aaaaaa-{i}"}
        for i in range(1, 200_000)
    )
    write_lines(tmp_path, rows)
    code = (
        "from pathlib import Path\nfrom pointlib.annotate.ledger import open_ledger\n"
        f"ledger = open_ledger({str(tmp_path)!r}, classes=('weed',))\n"
        "words = Path('/proc/self/status').read_text().split()\n"
        "print(sum(sum(ledger.counts(name).values()) for name in ledger.names))\n"
        "print(int(words[words.index('VmHWM:') + 1]) // 1000, flush=True)\n"
        "import os; os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    n_points, megabytes = map(int, done.stdout.split())
    assert n_points == 199_999
    assert megabytes < 200
