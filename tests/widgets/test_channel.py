"""The channel between widget and browser: modules become one text, values become JSON."""

import json
import re
import subprocess
import threading
from queue import SimpleQueue

import numpy as np
import pytest
from test_js import node

from pointlib.errors import InputError
from pointlib.files import json_safe
from pointlib.widgets import channel
from pointlib.widgets.channel import Channel, Worker, read_module


class Echo(Channel):
    """Answers one kind of message."""

    def _take_echo(self, message):
        self.post({"type": "echo", "text": message["text"]}, b"\0\xff")


@pytest.fixture
def wire():
    """Return a channel whose first hello is behind it, and the list that it sends into."""
    sent = []
    echo = Echo(lambda message, buffers: sent.append((message, buffers)))
    echo._welcome({"session": "a"}, {})
    sent.clear()
    return echo, sent


def test_messages_are_answered_by_their_type(wire):
    """Each type has its method; bytes travel beside the message."""
    echo, sent = wire
    echo.receive({"type": "echo", "text": "hm"})
    assert sent == [({"type": "echo", "text": "hm"}, [b"\0\xff"])]
    echo.receive({"type": "ping", "session": "a", "t": 1.5})
    assert sent[1] == ({"type": "pong", "session": "a", "t": 1.5}, None)


@pytest.mark.parametrize("content", [None, 3, "echo", [], {}, {"type": None}, {"type": "dance"}])
def test_unknown_messages_are_sentences(wire, content):
    """Whatever comes, somebody is told that it is not known."""
    echo, sent = wire
    echo.receive(content)
    assert "is unknown" in sent[0][0]["text"]


def test_notices_wait_for_the_first_hello():
    """What goes wrong before anybody looks is told after the welcome."""
    sent = []
    echo = Echo(lambda message, *_: sent.append(message["type"]))
    echo.receive({"type": "dance"})
    assert sent == []
    echo._welcome({"session": "a"}, {})
    assert sent == ["welcome", "notice"]


def test_unforeseen_errors_are_logged_and_told(wire, caplog):
    """A handler's own error becomes a sentence, and its traceback is in the log."""
    echo, sent = wire
    echo.receive({"type": "echo"})
    assert "Unexpected error: KeyError: 'text'" in sent[0][0]["text"]
    assert "KeyError" in caplog.text


def test_urgent_jobs_come_first_and_of_one_key_the_newest():
    """What waits is sorted by kind; a job of the same key replaces the one before."""
    gate, over, done = threading.Event(), threading.Event(), []
    worker = Worker(done.append, ("now", "later"))
    worker.put(("now", "gate"), lambda: gate.wait(60))
    for k in range(3):
        worker.put(("later", "a"), lambda k=k: done.append(f"later {k}"))
    worker.put(("now", "b"), lambda: done.append("now"))
    worker.put(("later", "z"), over.set)
    gate.set()
    assert over.wait(60)
    worker.stop()
    assert done == ["now", "later 2"]


def test_idle_threads_end_and_jobs_begin_another(monkeypatch):
    """Cells are run again and again: what waits for nothing must not stay; a stopped one is over."""
    monkeypatch.setattr(channel, "IDLE", 0.01)
    worker, done = Worker(print, ("now",)), SimpleQueue()
    for _ in range(2):
        worker.put(("now",), lambda: done.put(threading.current_thread()))
        thread = done.get(timeout=60)
        thread.join(60)
        assert not thread.is_alive()
    worker.stop()
    worker.put(("now",), lambda: done.put(None))
    assert worker._thread is None


@pytest.mark.parametrize(
    "name", sorted(p.relative_to(channel.PACKAGE).as_posix() for p in channel.PACKAGE.rglob("*.js"))
)
def test_modules_become_one_text_that_imports_nothing(name, tmp_path):
    """What the browser gets has no import left, and names each thing once: node takes it."""
    text = read_module(name)
    assert not re.search(r"^\s*import\s*[{\"'*]", text, re.MULTILINE)
    (tmp_path / "whole.mjs").write_text(text, encoding="utf-8")
    if path := node():
        done = subprocess.run(
            [path, "--check", tmp_path / "whole.mjs"], capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")


def test_siblings_stand_first_and_once(tmp_path, monkeypatch):
    """A sibling of two, imported over several lines, comes once, before both; comments stay."""
    monkeypatch.setattr(channel, "PACKAGE", tmp_path)
    (tmp_path / "a.js").write_text("export const a = 1;\n")
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\nexport const b = a;\n')
    (tmp_path / "c.js").write_text(
        '// import { z } from "./z.js";\nimport {\n  b,\n} from "./b.js";\n'
        'import { a } from "./a.js";\nexport default { a, b };\n'
    )
    assert [text for text in read_module("c.js").splitlines() if text] == [
        *("export const a = 1;", "export const b = a;"),
        *('// import { z } from "./z.js";', "export default { a, b };"),
    ]
    with pytest.raises(InputError, match="module .*y.js does not exist"):
        read_module("y.js")


def test_json_safe_is_what_json_takes():
    """NaN and infinity are null, arrays and tuples lists, numpy's numbers numbers."""
    value = {"a": [float("nan"), (1, np.float32(0.5))], "b": np.array([[1.0, np.inf]]), "c": None}
    value |= {"d": np.int64(3), "e": np.bool_(True), "f": "x", "g": np.array([2, 3])}
    expected = {"a": [None, [1, 0.5]], "b": [[1.0, None]], "c": None}
    expected |= {"d": 3, "e": True, "f": "x", "g": [2, 3]}
    assert json.loads(json.dumps(json_safe(value), allow_nan=False)) == expected
