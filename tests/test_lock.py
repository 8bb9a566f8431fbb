"""A lock held while a block runs. That it is honoured among annotators: test_ledger.py."""

import contextlib
import errno
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from pointlib import lock as module
from pointlib.errors import InputError
from pointlib.lock import hold


def second_comes(path):
    """Try to hold what is held."""
    with pytest.raises(
        InputError,
        match=rf"\(process {os.getpid()}\) sings\. .*end process {os.getpid()}, and try again",
    ):
        hold(path, doing="sings").__enter__()
    assert path.exists()


def test_hold_refuses_a_second_and_gives_back(tmp_path):
    """Inside the block nobody else has it; after it, and after an error in it, anybody."""
    path = tmp_path / "deep" / "lock"
    for error in (KeyboardInterrupt, ValueError):
        with contextlib.suppress(error), hold(path, doing="sings"):
            second_comes(path)
            raise error
        assert not path.exists()


def test_hold_shows_that_it_is_alive(tmp_path, monkeypatch):
    """The file is touched again and again while the block does something else."""
    monkeypatch.setattr(module, "BEAT", 0.01)
    path = tmp_path / "lock"
    with hold(path, doing="sings"):
        os.utime(path, (0, 0))
        for _ in range(1000):
            if path.stat().st_mtime > 0:
                break
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_hold_takes_over_what_a_dead_process_left(tmp_path):
    """A killed run leaves its lock; the next one on this computer need not wait."""
    path = tmp_path / "lock"
    child = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    with hold(path, doing="sings"):
        text = path.read_text()
    path.write_text(text.replace(f'"pid": {os.getpid()}', f'"pid": {int(child.stdout)}'))
    with hold(path, doing="sings") as lock:
        assert lock.trouble() == ""


def left(path, *, age, **who):
    """Leave the lock of somebody on another computer, touched `age` seconds ago."""
    who = {"host": "field-pc", "pid": 1, "session": "bbbbbb", "user": "maria"} | who
    path.write_text(json.dumps(who))
    os.utime(path, (time.time() - age, time.time() - age))


def test_lock_is_never_seen_half_written(tmp_path):
    """Whoever looks at any moment sees no lock or the whole of it."""
    path, seen, is_over = tmp_path / "lock", set(), threading.Event()

    def look():
        while not is_over.is_set():
            with contextlib.suppress(FileNotFoundError):
                seen.add(path.read_bytes()[-1:])

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(300):
        with hold(path, doing="sings"):
            pass
    is_over.set()
    watcher.join()
    assert seen <= {b"}"}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["links", "function"])
def test_lock_works_where_files_cannot_be_linked(tmp_path, monkeypatch, missing):
    """As on some network shares and memory cards."""

    def refuse(*_):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    if missing == "links":
        monkeypatch.setattr(os, "link", refuse)
    else:
        monkeypatch.delattr(os, "link")
    with hold(tmp_path / "lock", doing="sings"):
        second_comes(tmp_path / "lock")
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert not list(tmp_path.iterdir())


def test_clock_that_was_ahead_locks_nobody_out(tmp_path, monkeypatch):
    """A lock touched in the future that nobody touches any more is taken over."""
    monkeypatch.setattr(module, "WATCH", 0.1)
    left(tmp_path / "lock", age=-86_400)
    with hold(tmp_path / "lock", doing="sings") as lock:
        assert lock.trouble() == ""


def test_clock_that_is_ahead_is_respected(tmp_path, monkeypatch):
    """A lock touched in the future by somebody who is at work stays theirs."""
    path, is_over = tmp_path / "lock", threading.Event()
    left(path, age=-86_400)

    def beat():
        later = time.time() + 86_400
        while not is_over.wait(0.05):
            later += 1
            os.utime(path, (later, later))

    holder = threading.Thread(target=beat)
    holder.start()
    monkeypatch.setattr(module, "WATCH", 5.0)
    with pytest.raises(InputError, match="maria on field-pc"):
        hold(path, doing="sings").__enter__()
    is_over.set()
    holder.join()


def test_who_comes_second_is_told_when_to_try_again(tmp_path):
    """In seconds where another computer holds it, by its process where this one does."""
    left(tmp_path / "lock", age=5)
    words = r"maria on field-pc \(process 1\) sings\. If that has ended, try again in 1[456] s\."
    with pytest.raises(InputError, match=words):
        hold(tmp_path / "lock", doing="sings").__enter__()
    left(tmp_path / "lock", age=5, host=socket.gethostname(), pid=os.getppid())
    with pytest.raises(InputError, match=f"end process {os.getppid()}, and try again") as caught:
        hold(tmp_path / "lock", doing="sings").__enter__()
    assert re.search("Or name another output", str(caught.value))


@pytest.mark.parametrize("content", ["[" * 100_000, '{"pid": "x"}', "null"])
def test_a_lock_of_nonsense_is_somebodys(tmp_path, content):
    """Until it is old."""
    path = tmp_path / "lock"
    path.write_text(content)
    with pytest.raises(InputError, match="Somebody sings.*try again in"):
        hold(path, doing="sings").__enter__()
    os.utime(path, (0, 0))
    with hold(path, doing="sings"):
        pass
