"""A lock held while a block runs. That it is honoured among annotators: test_ledger.py."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

from pointlib import lock as module
from pointlib.files import InputError
from pointlib.lock import hold


def second_comes(path):
    """Try to hold what is held."""
    with pytest.raises(InputError, match=rf"\(process {os.getpid()}\) sings\. Wait for its end"):
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
