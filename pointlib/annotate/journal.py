"""The journal: an append-only file of JSON lines, one for each change.

A step (what one undo takes back) is one or more lines, written in one call: `left` counts the
lines still to come. So the next reading detects a line cut off by a crash, or a step whose last
line is missing, and moves it aside. Appending refuses rather than guesses: the file must be the
one that was opened, with the size we left it at, and the lock must be ours.

Not about what the lines mean: steps.py.
"""

import contextlib
import json
import math
import os
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path

from pointlib.errors import InputError
from pointlib.lock import Lock

VERSION = 1
PIECE = 262_144  # bytes read at once
_BINARY = getattr(os, "O_BINARY", 0)  # only Windows has it
_LOOK_ONLY = "It can be viewed here, not edited."
_AGAIN = "Edits are refused here; all acknowledged ones are in the journal. Run this cell again."


class Journal:
    """The journal of one folder, opened for writing, or for reading if it cannot be written.

    Parameters
    ----------
    folder : Path
        The folder of images; the journal is kept in its `.pointlib`.
    session : str
        Name of this opening, six hexadecimal digits.
    on_step : callable, optional
        Called with the lines of each complete step as it is read: `lines` then stays empty, and a
        journal of any length takes little memory.

    Attributes
    ----------
    lines : list of dict
        What was read on opening.
    key : str
        Id of the journal, 12 hexadecimal digits.
    n : int
        The number of the last line.
    read_only, repaired : str
        "", or a sentence on why nothing can be written, and on what was moved aside.
    """

    def __init__(self, folder, session, *, on_step=None):
        self.path = Path(folder) / ".pointlib" / "journal.jsonl"
        self.lines, self.n, self.read_only, self.repaired = [], 0, "", ""
        self._lock = self._file = None
        self._on_step, self.key = on_step or self.lines.extend, secrets.token_hex(6)
        self._size, self._is_dirty, self._syncing = 0, False, threading.Lock()
        self._writing = threading.RLock()
        try:
            self._open(session)
        except OSError as error:
            self.read_only = f"{folder} cannot be written ({error.strerror or error}). {_LOOK_ONLY}"
        except BaseException:
            self._let_go()
            raise
        if self.read_only:
            self._let_go()
            if not self.n:
                self._read()

    def append(self, lines):
        """Append dicts as lines: all of them or, with InputError, none.

        Returns
        -------
        list of dict
            The lines as written, with their numbers and the time.
        """
        with self._writing:
            self.check()
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            lines = [{"n": self.n + i, "time": now, **x} for i, x in enumerate(lines, start=1)]
            self._write("".join(map(_text, lines)).encode())
            self.n += len(lines)
            return lines

    def check(self):
        """Raise InputError, and stay read-only, if the file or the lock is no longer ours."""
        with self._writing:  # or a line being written would look like another process's
            if not self.read_only and (trouble := self._trouble()):
                self.read_only = trouble
                self._put_back()
                self._lock.release()
        if self.read_only:
            raise InputError(self.read_only)

    def sync(self):
        """Flush new lines to disk (fsync)."""
        with self._syncing:  # a second caller waits until the data is on disk
            if self._is_dirty:
                self._is_dirty = False
                try:
                    os.fsync(self._file)
                except OSError:
                    self._is_dirty = True
                    raise

    def beat(self):
        """Refresh the lock, so that others see that it is in use."""
        self._lock.beat()

    def close(self, *, is_clean):
        """Write the closing line if `is_clean`, and release the lock."""
        if not self.read_only:
            with contextlib.suppress(InputError, OSError):
                if is_clean:
                    self.append([{"op": "close"}])
                self.sync()
        self.read_only = self.read_only or f"This folder's annotation is closed. {_AGAIN}"
        self._let_go()

    def _open(self, session):
        """Take the lock, read the lines, move a broken end aside, write the first line."""
        self.path.parent.mkdir(exist_ok=True)
        self._lock = Lock(self.path.with_name("lock"), session)
        if self._lock.reason:
            self.read_only = f"{self._lock.reason} {_LOOK_ONLY}"
            return
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | _BINARY
        self._file = os.open(self.path, flags, 0o666)
        self._read()
        os.lseek(self._file, self._size, os.SEEK_SET)
        if tail := _read_all(self._file):
            cut = self.path.with_name("journal.jsonl.cut")
            with cut.open("ab") as file:
                file.write(tail + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.ftruncate(self._file, self._size)
            self.repaired = f"{self.path} ended in half an edit ({len(tail)} bytes), now in {cut}."
        if not self.n:
            first = {"op": "journal", "version": VERSION, "id": self.key}
            try:
                self._on_step(self.append([first]))
            except InputError as error:
                self.read_only = f"{error} {_LOOK_ONLY}"

    def _read(self):
        """Pass the steps to `on_step`; note the journal's id and how far it is valid."""

        def take(step):
            if step[0]["n"] == 1:
                self.key = step[0]["id"]
            self._on_step(step)

        self.n, self._size = read_steps(self.path, take)

    def _write(self, data):
        """Append bytes in one call: all of them or none."""
        try:
            is_whole, reason = os.write(self._file, data) == len(data), "disk full"
        except OSError as error:
            is_whole, reason = False, error.strerror or error
        if not is_whole:
            with contextlib.suppress(OSError):  # the size shows the rest; it is cut off later
                os.ftruncate(self._file, self._size)
            raise InputError(f"Not saved: {self.path} cannot be written ({reason}). Free space.")
        self._size, self._is_dirty = self._size + len(data), True
        if os.fstat(self._file).st_size != self._size:  # others took over while the computer slept
            self.check()

    def _trouble(self):
        """Return why this process must not write, "" if it may."""
        try:
            there, here = os.stat(self.path), os.fstat(self._file)
        except OSError as error:
            return f"{self.path} is gone ({error.strerror or error}). {_AGAIN}"
        if trouble := self._lock.trouble():
            return f"{trouble} {_AGAIN}"
        if not os.path.samestat(there, here) or here.st_size != self._size:
            return f"{self.path} was changed by another program. {_AGAIN}"
        return ""

    def _put_back(self):
        """Write the journal again if it was deleted while open."""
        with contextlib.suppress(OSError):
            if os.fstat(self._file).st_nlink == 0:
                os.lseek(self._file, 0, os.SEEK_SET)
                self.path.parent.mkdir(exist_ok=True)
                with self.path.open("xb") as file:
                    file.write(os.read(self._file, self._size))
                    file.flush()
                    os.fsync(file.fileno())

    def _let_go(self):
        if self._lock:
            self._lock.release()
        if self._file is not None:
            os.close(self._file)
        self._lock = self._file = None


def _text(line):
    return json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"


def read_journal(path):
    """Return the lines of a journal's complete steps, a list of dicts; the file is not changed."""
    lines = []
    read_steps(path, lines.extend)
    return lines


def read_steps(path, on_step, *, until=math.inf):
    """Pass the complete steps of a journal to a function, one by one; the file is not changed.

    Parameters
    ----------
    path : str or Path
        If there is no file, there is no step.
    on_step : callable
        Called with the lines of a step, a list of dicts.
    until : int
        Stop after this line.

    Returns
    -------
    int, int
        How many lines and bytes the steps take. InputError if valid lines follow a broken one.
    """
    n = size = n_read = n_bytes = 0
    step, pieces = [], _pieces(path)
    for texts in pieces:
        lines = _load_all(texts)
        for i, line in enumerate(lines):
            if not line or line.get("n") != n_read + 1:
                rest = [*lines[i:], *(other for more in pieces for other in _load_all(more))]
                _check_rest(rest, n_read, path, texts[i])
                return n, size
            n_read, n_bytes = n_read + 1, n_bytes + len(texts[i])
            step.append(line)
            if n_read == 1 and (line.get("op"), line.get("version")) != ("journal", VERSION):
                raise InputError(
                    f"{path} is not a journal of version {VERSION}. Use a newer pointlib."
                )
            if not line.get("left"):
                if n_read > until:
                    return n, size
                on_step(step)
                n, size, step = n_read, n_bytes, []
    return n, size


def _pieces(path):
    """Yield the lines of a file, some thousand at a time, without an unterminated last one."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder, but the journal must be a file. Move it away.")
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return
    with file:
        while texts := file.readlines(PIECE):
            if not texts[-1].endswith(b"\n"):
                texts.pop()
            yield texts


def _read_all(handle):
    """Return the rest of an open file."""
    pieces = []
    while piece := os.read(handle, PIECE):
        pieces.append(piece)
    return b"".join(pieces)


def _check_rest(rest, n, path, text):
    """Raise InputError if valid lines follow a broken one, unless they were written too late."""
    if any(rest) and not _is_late(rest, n):
        raise InputError(
            f"{path}, line {n + 1}: {text[:60]!r} is not line {n + 1} of a journal, but "
            "valid lines follow. Fix it, or move the file away: the text files of the images stay."
        )


def _is_late(lines, n):
    """Return whether lines after `n` are one step that a suspended process wrote too late."""
    numbers = [line.get("n") if line else 0 for line in lines]
    is_behind = all(isinstance(x, int) and x < i for i, x in enumerate(numbers, start=n + 1))
    return is_behind and len({line.get("step") for line in lines if line}) == 1


def _load_all(texts):
    """Return each line as a dict, or None if it is not one."""
    with contextlib.suppress(ValueError, RecursionError):  # all at once takes a third of the time
        lines = json.loads(b"[" + b",".join(texts) + b"]")
        if len(lines) == len(texts) and all(isinstance(line, dict) for line in lines):
            return lines
    return [_load(text) for text in texts]


def _load(text):
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None
