"""Files: paths, writing that never loses what was there, and removing what killed processes left.

About single files. Not about their content: points.py, images.py and config.py.
"""

import contextlib
import importlib.util
import math
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
import time
import zlib
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from pointlib.errors import KEPT, UNSEEN, InputError, brief, user_line

DAY = 86_400  # seconds
_WAITS = (0.05, 0.1, 0.2, 0.5, 1.2) if os.name == "nt" else ()  # seconds between tries to move
_HERE = f"{zlib.crc32(socket.gethostname().encode()):08x}"  # this computer
_SIGN = secrets.token_hex(2)  # this process, among all that have had its PID
_OWNER = re.compile(r"([0-9a-f]{8})-(\d{1,9})-([0-9a-f]{4})-")
_TEMPORARY = re.compile(rf"\.pointlib-(?:{_OWNER.pattern})?\w+\.tmp")
_swept = set()  # folders
LONGEST = 200  # characters of a class's name
NAME_FAULTS = "a comma, a line break or control character, a space at either end or over "
NAME_FAULTS += f"{LONGEST} characters"


def need_file(path, what="file"):
    """Return `path` as a Path, or raise InputError if it is not a file."""
    path = _as_path(path, what)
    if not path.is_file():
        raise _wrong_kind(path, what)
    return path


def need_folder(path, what="folder"):
    """Return `path` as a Path, or raise InputError if it is not a folder."""
    path = _as_path(path, what)
    if not path.is_dir():
        raise _wrong_kind(path, what)
    return path


def need_place(path, what="output"):
    """Return `path` as a Path if it is a folder or can be made one, or raise InputError.

    What cannot be foreseen, such as a full disk, is still an OSError when it is written.
    """
    path = Path(path)
    there = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        kind = "file" if there.exists() else "broken link"
        raise InputError(f"{there} is a {kind}; expected a folder there. Name another {what}.")
    if not os.access(there, os.W_OK):
        raise InputError(f"{there} cannot be written to; name another {what}.")
    return path


def write_atomic(path, content):
    """Write text or bytes so that a reader sees the old file or the new one, never half of it.

    Parameters
    ----------
    path : str or Path
        Its folder is made if it does not exist.
    content : str or bytes
        Text is written as UTF-8 with LF line endings.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        data = content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError as error:
        word = error.object[error.start - 20 : error.end + 20]
        raise InputError(f"{path}: {word!a} cannot be written as UTF-8. Rename it.") from error
    _remove_leftovers_once(path.parent)
    handle, temporary = tempfile.mkstemp(".tmp", f".pointlib-{owner()}", path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, path.stat().st_mode if path.exists() else 0o666 & ~current_umask())
        move(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # not the temporary one
        raise


def make_temporary(folder):
    """Make a folder in a folder, for what is moved into place once it is complete.

    Returns
    -------
    Path
        If this process is killed, the next one that writes there removes it.
    """
    _remove_leftovers_once(folder)
    return Path(tempfile.mkdtemp(".tmp", f".pointlib-{owner()}", folder))


def remove_leftovers(folder):
    """Remove the temporary files and folders that killed processes left in a folder.

    Those of this computer are recognized at once, those of other computers after a day.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and is_left(entry):
                with contextlib.suppress(OSError):
                    is_folder = entry.is_dir(follow_symlinks=False)
                    (shutil.rmtree if is_folder else os.unlink)(entry.path)


def move(source, target):
    """Rename a file or folder, replacing a file at `target`; return the new Path.

    Windows refuses while another program has it open: retried for two seconds, then InputError.
    """
    for wait in (*_WAITS, None):
        try:
            os.replace(source, target)
            break
        except PermissionError as error:
            if not _WAITS:
                raise
            if wait is None:
                raise InputError(
                    f"{target} cannot be written: another program has it open, or {source}. Close "
                    f"it there and run this again; {KEPT}."
                ) from error
            time.sleep(wait)
    return Path(target)


def has_ended(pid):
    """Tell whether a process of this computer is known to have ended; a zombie has."""
    if os.name != "posix":  # on Windows os.kill would end it
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's
        return False
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])
    return False


def keep_copy(path):
    """Move what is at `path` aside to the first free `NAME.bak`, `NAME.bak2`, ...

    Returns
    -------
    Path or None
        Where it is now; None if nothing was there.
    """
    path = Path(path)
    return move(path, copy_name(path)) if path.exists() else None


def write_kept(path, content):
    """Write text or bytes; if `path` has other content, that is kept as a copy."""
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() != data:
        keep_copy(path)
    write_atomic(path, data)


def copy_name(path):
    """Return the first free name for a copy of `path`: `NAME.bak`, `NAME.bak2`, ..."""
    number = 1
    while (copy := path.with_name(f"{path.name}.bak{number if number > 1 else ''}")).exists():
        number += 1
    return copy


def load_python(path):
    """Import a Python file by its path, which runs its code. InputError if that fails."""
    path = need_file(path, "Python file")
    name = f"pointlib_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # data loaders in other processes look it up here
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        where = user_line(error) or path
        raise InputError(f"{where} raises {brief(error)}. Fix this code.") from error
    return module


def is_name(text):
    """Tell whether a class may have this name: visible, and without what NAME_FAULTS lists."""
    plain = text == text.strip() and "," not in text and not UNSEEN.search(text)
    return plain and 0 < len(text) <= LONGEST


def owner():
    """Return the part of a temporary file's name that says whose it is: computer, PID, token."""
    return f"{_HERE}-{os.getpid()}-{_SIGN}-"


def has_owner(entry):
    """Tell whether a temporary file's name says whose it is; in the first edition it did not."""
    return bool(_OWNER.search(entry.name))


def is_left(entry):
    """Tell whether a temporary file or folder, a Path or DirEntry, has been left behind.

    Its name says whose it is, see `owner`; without that, or from another computer, age decides.
    """
    here, pid, sign = found.groups() if (found := _OWNER.search(entry.name)) else ("", 0, "")
    if here == _HERE and int(pid) == os.getpid():
        return sign != _SIGN  # in a restarted container PIDs repeat
    if here == _HERE and has_ended(int(pid)):
        return True
    return age_of(entry) > DAY


def age_of(path):
    """Return the seconds since a file or folder was last written; 0 if it is gone."""
    try:
        return time.time() - os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _remove_leftovers_once(folder):
    """Sweep a folder the first time that this process writes there."""
    folder = os.path.abspath(folder)
    if folder not in _swept:
        _swept.add(folder)
        remove_leftovers(folder)


def _as_path(path, what):
    if not isinstance(path, (str, os.PathLike)):
        kind = type(path).__name__
        raise InputError(f"the path of the {what} is of type {kind}; expected text or a Path.")
    return Path(path)


def _wrong_kind(path, what):
    """Return the InputError for a path that is not the file or folder needed."""
    a = "an" if what[0] in "aeiou" else "a"
    if path.is_file():
        return InputError(f"{path} is a file; expected {a} {what}. It lies in {path.parent}.")
    if path.is_dir():
        return InputError(f"{path} is a folder; expected {a} {what}. Name one file.")
    if path.is_symlink() and not path.exists():
        return InputError(f"{path} is a link to {os.readlink(path)}, which is missing. Fix it.")
    if path.exists():
        return InputError(f"{path} is neither a file nor a folder; expected {a} {what}.")
    return InputError(f"{what} {path} does not exist.{_nearest(path)}")


def _nearest(path):
    """Return a hint: a file of a similar name, or that the folder is missing."""
    parent = path.parent
    if parent.is_file():
        return f" {parent} is a file."
    if not parent.is_dir():
        return f" Its folder {parent} does not exist either."
    names = [name for name in os.listdir(parent) if name[0] != "." or path.name[0] == "."]
    near = get_close_matches(path.name, names, n=1)
    return f" Did you mean {near[0]}?" if near else f" Looked in {parent.resolve()}."


def current_umask():
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def json_safe(value):
    """Return a value as JSON allows it: NaN and infinity as None, arrays and tuples as lists."""
    if isinstance(value, dict):
        return {key: json_safe(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(v) for v in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return json_safe(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
