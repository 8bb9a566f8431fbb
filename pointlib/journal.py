"""The journal: a file that only grows, one line of JSON an edit.

A step (what one undo takes back) is one line or several, written by one call: `left` counts the
lines of it still to come. So a line that power or process cut off, and a step whose last line is
missing, are told at the next reading and moved aside. Appending refuses rather than guesses: the
file must be the one that was opened, of the size it was left at, and the lock must be ours.

Not about what the lines mean: steps.py.
"""

import contextlib
import json
import os
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path

from pointlib.files import InputError
from pointlib.lock import Lock

VERSION = 1
_BINARY = getattr(os, "O_BINARY", 0)  # only Windows has it
_LOOK_ONLY = "It can be looked at here, not edited."
_AGAIN = "Edits are refused here; all acknowledged ones are in the journal. Run this cell again."


class Journal:
    """The journal of one folder, opened for writing, or for reading where that cannot be.

    Parameters
    ----------
    folder : Path
        The folder of images; the journal is kept in its `.pointlib`.
    session : str
        Six letters 0-f that name this opening.

    Attributes
    ----------
    lines : list of dict
        What was read at opening.
    key : str
        The journal's own name, 12 letters 0-f.
    n : int
        The number of the last line.
    read_only, repaired : str
        "", or a sentence on why nothing can be written; on what was moved aside.
    """

    def __init__(self, folder, session):
        self.path = Path(folder) / ".pointlib" / "journal.jsonl"
        self.lines, self.n, self.read_only, self.repaired = [], 0, "", ""
        self._lock = self._file = None
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
            self.lines = read_journal(self.path)
        self.n = len(self.lines)
        self.key = self.lines[0]["id"] if self.lines else secrets.token_hex(6)

    def append(self, lines):
        """Write dicts as the next lines, all of them or, with InputError, none.

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
        """Raise InputError, and stay read-only, where file or lock are not ours any more."""
        with self._writing:  # or a line on its way would look like somebody else's
            if not self.read_only and (trouble := self._trouble()):
                self.read_only = trouble
                self._put_back()
                self._lock.release()
        if self.read_only:
            raise InputError(self.read_only)

    def sync(self):
        """Bring what was written to the disk itself, where there is anything new."""
        with self._syncing:  # who comes second waits until it is there
            if self._is_dirty:
                self._is_dirty = False
                try:
                    os.fsync(self._file)
                except OSError:
                    self._is_dirty = True
                    raise

    def beat(self):
        """Show others that we are alive."""
        self._lock.beat()

    def close(self, *, is_clean):
        """Write the closing line where nothing is left to do, and give the lock back."""
        if not self.read_only:
            with contextlib.suppress(InputError, OSError):
                if is_clean:
                    self.append([{"op": "close"}])
                self.sync()
        self.read_only = self.read_only or f"This folder's annotation is closed. {_AGAIN}"
        self._let_go()

    def _open(self, session):
        """Take the lock, read the lines, move a broken end aside, write a first line."""
        self.path.parent.mkdir(exist_ok=True)
        self._lock = Lock(self.path.with_name("lock"), session)
        if self._lock.reason:
            self.read_only = f"{self._lock.reason} {_LOOK_ONLY}"
            return
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | _BINARY
        self._file = os.open(self.path, flags, 0o666)
        data = _read(self.path)
        self.lines, self._size = _whole_lines(data, self.path)
        if tail := data[self._size :]:
            cut = self.path.with_name("journal.jsonl.cut")
            with cut.open("ab") as file:
                file.write(tail + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.ftruncate(self._file, self._size)
            self.repaired = f"{self.path} ended in half an edit ({len(tail)} bytes): now in {cut}."
        self.n = len(self.lines)
        if not self.lines:
            first = {"op": "journal", "version": VERSION, "id": secrets.token_hex(6)}
            try:
                self.lines = self.append([first])
            except InputError as error:
                self.read_only = f"{error} {_LOOK_ONLY}"

    def _write(self, data):
        """Append bytes by one call; where they do not all go in, none stay."""
        try:
            is_whole, reason = os.write(self._file, data) == len(data), "disk full"
        except OSError as error:
            is_whole, reason = False, error.strerror or error
        if not is_whole:
            with contextlib.suppress(OSError):  # what stays is seen by the size, and cut off later
                os.ftruncate(self._file, self._size)
            raise InputError(f"Not kept: {self.path} cannot be written ({reason}). Make room.")
        self._size, self._is_dirty = self._size + len(data), True
        if os.fstat(self._file).st_size != self._size:  # the computer slept, others took over
            self.check()

    def _trouble(self):
        """Return a sentence where this process should not write, "" where it may."""
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
        """Write the journal anew where somebody deleted it while it was open."""
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
    """Return the whole steps of a journal as a list of dicts; the file stays as it is."""
    return _whole_lines(_read(path), path)[0]


def _read(path):
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _whole_lines(data, path):
    """Return the lines up to the last whole step, and the number of bytes they take."""
    texts = data.split(b"\n")[:-1]
    lines = _load_all(texts)
    n = next((i for i, line in enumerate(lines) if not line or line.get("n") != i + 1), len(lines))
    if any(lines[n:]) and not _is_late(lines[n:], n):
        raise InputError(
            f"{path}, line {n + 1}: {texts[n][:60]!r} is not line {n + 1} of a journal, though "
            "good ones follow. Mend it, or move the file away: the texts beside the images stay."
        )
    while n and lines[n - 1].get("left"):
        n -= 1
    if n and (lines[0].get("op"), lines[0].get("version")) != ("journal", VERSION):
        raise InputError(f"{path} is no journal of version {VERSION}. Use a newer pointlib.")
    return lines[:n], sum(map(len, texts[:n])) + n


def _is_late(lines, n):
    """Tell whether these, behind line `n`, are a step of one who was taken over while he slept."""
    numbers = [line.get("n") if line else 0 for line in lines]
    is_behind = all(isinstance(x, int) and x < i for i, x in enumerate(numbers, start=n + 1))
    return is_behind and len({line.get("step") for line in lines if line}) == 1


def _load_all(texts):
    """Return each line as a dict, None where it is none."""
    with contextlib.suppress(ValueError):  # all at once takes a third of the time
        lines = json.loads(b"[" + b",".join(texts) + b"]")
        if len(lines) == len(texts) and all(isinstance(line, dict) for line in lines):
            return lines
    return [_load(text) for text in texts]


def _load(text):
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
