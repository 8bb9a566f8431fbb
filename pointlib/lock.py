"""The lock: one file that says who may write into a folder, and that its holder is still alive.

The holder touches it every BEAT seconds. It counts as left behind when its process has ended on
this computer, or when nobody has touched it for STALE seconds; whoever finds it so takes it over.

Not about what is written under it: journal.py.
"""

import contextlib
import getpass
import json
import os
import socket
import threading
import time
from datetime import UTC, datetime
from uuid import uuid4

from pointlib.files import InputError

BEAT = 2.0
STALE = 20.0
SETTLE = 0.05  # seconds in which another who takes over the same lock shows up
_BINARY = getattr(os, "O_BINARY", 0)  # only Windows has it
_held = set()  # sessions of this process: the number of an ended one may have become ours


class Lock:
    """The lock file `path`, taken where it is free; OSError where it cannot be written.

    `doing` is what a holder does, as the one who comes second is told.

    Attributes
    ----------
    reason : str
        "", or a sentence on who else holds it.
    """

    def __init__(self, path, session, *, doing="is annotating this folder"):
        self._path, self._session, self._pid, self._beat = path, session, os.getpid(), 0.0
        who = {"host": socket.gethostname(), "pid": self._pid, "session": session, "user": _user()}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._mine = json.dumps(who | {"time": now}).encode()
        holder = self._take()
        self.reason = f"{_name(holder)} {doing}." if holder else ""
        if not holder:
            _held.add(session)

    def trouble(self):
        """Return a sentence where the lock is not ours any more, otherwise ""."""
        if os.getpid() != self._pid:
            return "This is a copy of the process that annotates."
        try:
            holder = self._path.read_bytes()
        except OSError as error:
            return f"The lock {self._path} is gone ({error.strerror or error})."
        return "" if holder == self._mine else f"{_name(holder)} took this folder over."

    def beat(self):
        """Show others, at most every BEAT seconds, that we are alive."""
        if time.monotonic() - self._beat > BEAT:
            self._beat = time.monotonic()
            os.utime(self._path)

    def release(self):
        """Give the lock back where it is ours."""
        _held.discard(self._session)
        if not self.trouble():
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _take(self):
        """Make the lock file; return b"", or the content of the one that holds it."""
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        except FileExistsError:
            return self._take_over()
        try:
            os.write(handle, self._mine)
        except OSError:
            self._path.unlink()
            raise
        finally:
            os.close(handle)
        return b""

    def _take_over(self):
        """Put ours in the place of one left behind; of two at once the later one has it."""
        beside = self._path.with_name(f"lock.{self._session}")
        try:
            beside.write_bytes(self._mine)
            holder = self._path.read_bytes()
            age = beside.stat().st_mtime - self._path.stat().st_mtime  # by the file system's clock
            if age < STALE and not _is_dead(holder):
                return holder or b"{}"
            os.replace(beside, self._path)
            time.sleep(SETTLE)
            holder = self._path.read_bytes()
        except FileNotFoundError:  # given back this moment
            return self._take()
        finally:
            beside.unlink(missing_ok=True)
        return b"" if holder == self._mine else holder


@contextlib.contextmanager
def hold(path, *, doing):
    """Hold the lock `path` while a block runs, which is given the Lock; a thread shows it alive.

    InputError where somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, is_over = Lock(path, uuid4().hex[:8], doing=doing), threading.Event()
    if lock.reason:
        raise InputError(f"{lock.reason} Wait for its end, or name another output.")

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
    except (KeyError, ImportError, OSError):  # a number without a name, as in many containers
        return "somebody"


def _name(holder):
    try:
        return "{user} on {host} (process {pid})".format(**json.loads(holder))
    except (ValueError, LookupError, TypeError):
        return "Somebody"


def _is_dead(holder):
    """Tell whether the process that wrote this lock is known to have ended."""
    try:
        who = json.loads(holder)
        if os.name != "posix" or who["host"] != socket.gethostname():
            return False
        if who["pid"] == os.getpid():
            return who["session"] not in _held
        os.kill(who["pid"], 0)  # asks only
        return _is_zombie(who["pid"])
    except ProcessLookupError:
        return True
    except (ValueError, LookupError, TypeError, OSError):
        return False


def _is_zombie(pid):
    """Tell whether a process has ended and only its parent does not know yet, where /proc says."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])
    return False
