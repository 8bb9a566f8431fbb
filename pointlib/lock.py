"""The lock: one file that says who may write to a folder, and that its holder is still alive.

The holder touches it every BEAT seconds. It is stale when its process has ended on this computer,
or when nobody has touched it for STALE seconds; whoever finds it stale takes it over. A lock with
a time in the future, from a clock ahead of ours, is watched: it is alive if its time changes.

Not about what is written under it: annotate/journal.py.
"""

import contextlib
import getpass
import json
import math
import os
import socket
import threading
import time
from datetime import UTC, datetime
from uuid import uuid4

from pointlib.errors import InputError
from pointlib.files import has_ended, move, owner

BEAT = 2.0
STALE = 20.0
WATCH = 3 * BEAT  # seconds in which a holder with a clock ahead of ours must touch its lock
SETTLE = 0.05  # seconds in which somebody else who takes over the same lock shows up
_held = set()  # sessions of this process: we may have the PID of one that has ended


class Lock:
    """The lock file `path`, taken if it is free; OSError if it cannot be written.

    `doing` says what a holder does, for the message to whoever comes second.

    Attributes
    ----------
    reason : str
        "", or a sentence that says who else holds it.
    """

    def __init__(self, path, session, *, doing="is annotating this folder"):
        self._path, self._session, self._pid, self._beat = path, session, os.getpid(), 0.0
        who = {"host": socket.gethostname(), "pid": self._pid, "session": session, "user": _user()}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._mine = json.dumps(who | {"time": now}).encode()
        self._age = 0.0  # of another's lock, seconds
        holder = self._take()
        self.reason = f"{_name(holder)} {doing}. {self._when(holder)}" if holder else ""
        if not holder:
            _held.add(session)

    def trouble(self):
        """Return a sentence if the lock is no longer ours, otherwise ""."""
        if os.getpid() != self._pid:
            return "This is a copy of the process that annotates."
        try:
            holder = self._path.read_bytes()
        except OSError as error:
            return f"The lock {self._path} is gone ({error.strerror or error})."
        return "" if holder == self._mine else f"{_name(holder)} took this folder over."

    def beat(self):
        """Show others that we are alive, at most every BEAT seconds."""
        if time.monotonic() - self._beat > BEAT:
            self._beat = time.monotonic()
            os.utime(self._path)

    def release(self):
        """Release the lock if it is ours."""
        _held.discard(self._session)
        if not self.trouble():
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _take(self):
        """Make the lock file in one step; return b"", or the content of its holder's."""
        beside = self._path.with_name(f".pointlib-{owner()}{self._session}.tmp")
        try:
            beside.write_bytes(self._mine)
            try:
                os.link(beside, self._path)
            except FileExistsError:
                return self._take_over(beside)
            except (OSError, AttributeError):  # no links on this file system, or in this Python
                return self._take_bare(beside)
        finally:
            beside.unlink(missing_ok=True)
        return b""

    def _take_bare(self, beside):
        """Do the same if files cannot be linked: for a moment the lock is empty."""
        try:
            file = self._path.open("xb", buffering=0)
        except FileExistsError:
            return self._take_over(beside)
        try:
            with file:
                file.write(self._mine)
        except OSError:
            self._path.unlink()
            raise
        return b""

    def _take_over(self, beside):
        """Replace a stale lock by ours; of two processes at once the later one gets it."""
        try:
            holder = self._path.read_bytes()
            if not _is_dead(holder) and self._is_alive(beside):
                return holder or b"{}"
            move(beside, self._path)
            time.sleep(SETTLE)
            holder = self._path.read_bytes()
        except FileNotFoundError:  # released just now
            return self._take()
        return b"" if holder == self._mine else holder

    def _is_alive(self, beside):
        """Tell whether the lock has been touched lately, by the file system's clock."""
        before = self._path.stat().st_mtime
        self._age = beside.stat().st_mtime - before
        if self._age > -STALE:
            return self._age < STALE
        end = time.monotonic() + WATCH
        while time.monotonic() < end:
            if self._path.stat().st_mtime != before:
                return True
            time.sleep(WATCH / 50)
        return False

    def _when(self, holder):
        """Return when to try again."""
        who = _read(holder)
        if who.get("host") == socket.gethostname() and isinstance(who.get("pid"), int):
            return f"Close it there, or end process {who['pid']}, and try again."
        seconds = math.ceil(STALE - min(max(self._age, 0.0), STALE - 1))
        return f"If that has ended, try again in {seconds} s."


@contextlib.contextmanager
def hold(path, *, doing):
    """Hold the lock `path` while a block runs, and yield the Lock; a thread keeps it alive.

    InputError if somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, is_over = Lock(path, uuid4().hex[:8], doing=doing), threading.Event()
    if lock.reason:
        raise InputError(f"{lock.reason} Or name another output.")

    def beat():
        while not is_over.wait(BEAT):
            with contextlib.suppress(OSError):
                lock.beat()

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield lock
    finally:
        is_over.set()
        lock.release()


def _user():
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):  # a UID without a name, as in many containers
        return "somebody"


def _read(holder):
    """Return what a lock says about its holder, an empty dict if nothing."""
    try:
        who = json.loads(holder)
    except (ValueError, RecursionError):
        return {}
    return who if isinstance(who, dict) else {}


def _name(holder):
    who = _read(holder)
    if not {"user", "host", "pid"} <= who.keys():
        return "Somebody"
    return f"{who['user']} on {who['host']} (process {who['pid']})"


def _is_dead(holder):
    """Tell whether the process that wrote this lock is known to have ended."""
    who = _read(holder)
    if who.get("host") != socket.gethostname() or not isinstance(who.get("pid"), int):
        return False
    if who["pid"] == os.getpid():
        return who.get("session") not in _held
    return has_ended(who["pid"])
