"""Files: paths, and writing that never loses what was there; what a kill leaves is swept.

About single files. Not about what is in them: points.py, images.py and config.py know that.
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
_SIGN = secrets.token_hex(2)  # this process, among those that have had its number
_OWNER = re.compile(r"([0-9a-f]{8})-(\d{1,9})-([0-9a-f]{4})-")
_TEMPORARY = re.compile(rf"\.pointlib-(?:{_OWNER.pattern})?\w+\.tmp")
_swept = set()  # folders
LONGEST = 200  # letters of a class's name
NAME_FAULTS = f"a comma, a line end or control sign, a space at an end or over {LONGEST} letters"


def need_file(path, what="file"):
    """Return `path` as a Path, or raise InputError where it is no file."""
    path = _as_path(path, what)
    if path.is_file():
        return path
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected a {what}. Name one file.")
    raise _absent(path, what)


def need_folder(path, what="folder"):
    """Return `path` as a Path, or raise InputError where it is no folder."""
    path = _as_path(path, what)
    if path.is_dir():
        return path
    if path.is_file():
        raise InputError(f"{path} is a file; expected a {what}. Its own folder is {path.parent}.")
    raise _absent(path, what)


def need_place(path, what="output"):
    """Return `path` as a Path where a folder stands or can be made, or raise InputError.

    What this cannot foresee, such as a full disk, still comes as OSError when it is written.
    """
    path = Path(path)
    there = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        kind = "file" if there.exists() else "link to nowhere"
        raise InputError(f"{there} is a {kind}; expected a folder there. Name another {what}.")
    if not os.access(there, os.W_OK):
        raise InputError(f"{there} cannot be written to; name another {what}.")
    return path


def write_atomic(path, content):
    """Write text or bytes so that a reader meets the old file or the new one, never a half.

    Parameters
    ----------
    path : str or Path
        Its folder is made where it is missing.
    content : str or bytes
        Text is written as UTF-8 with LF line ends.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        data = content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError as error:
        word = error.object[error.start - 20 : error.end + 20]
        raise InputError(f"{path}: {word!a} cannot be written as UTF-8. Rename it.") from error
    _sweep_once(path.parent)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".pointlib-{owner()}", suffix=".tmp"
    )
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
    """Make a folder in a folder, for what is moved to its place when it is whole.

    Returns
    -------
    Path
        Where a kill leaves it behind, the next start that writes there takes it away.
    """
    _sweep_once(folder)
    return Path(tempfile.mkdtemp(dir=folder, prefix=f".pointlib-{owner()}", suffix=".tmp"))


def sweep(folder):
    """Take away what killed processes have left of `write_atomic` and `make_temporary`.

    On this computer that is known at once; what other computers left, after a day.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and is_left(entry):
                with contextlib.suppress(OSError):
                    _take_away(entry)


def move(source, target):
    """Rename a file or folder, in the place of a file that stands there; return the new Path.

    Windows refuses that while another program has it open: it is tried for two seconds, then
    InputError.
    """
    for wait in _WAITS:
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(wait)
        else:
            return Path(target)
    try:
        os.replace(source, target)
    except PermissionError as error:
        if not _WAITS:
            raise
        raise InputError(
            f"{target} cannot be written: another program has it open, or {source}. Close it there "
            f"and run this again; {KEPT}."
        ) from error
    return Path(target)


def has_ended(pid):
    """Tell whether a process of this computer is known to have ended; a zombie has."""
    if os.name != "posix":  # there asking would end it
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
    """Move what stands at `path` aside to the first free `NAME.bak`, `NAME.bak2`, ...

    Returns
    -------
    Path or None
        Where it is now; None where nothing stood there.
    """
    path = Path(path)
    return move(path, copy_name(path)) if path.exists() else None


def write_kept(path, content):
    """Write text or bytes; where something else stands at `path`, it is kept as a copy."""
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
    """Import a Python file by its path; its code runs. InputError where that fails."""
    path = need_file(path, "Python file")
    name = f"pointlib_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # data loaders in other processes look it up here
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        where = user_line(error) or path
        raise InputError(f"{where} raises {brief(error)}. Mend this code.") from error
    return module


def is_name(text):
    """Tell whether a class may be called so: it must fit into a line of a text, and be seen."""
    plain = text == text.strip() and "," not in text and not UNSEEN.search(text)
    return plain and 0 < len(text) <= LONGEST


def owner():
    """Return what names of this process's temporary files hold: computer, number, a sign."""
    return f"{_HERE}-{os.getpid()}-{_SIGN}-"


def has_owner(entry):
    """Tell whether a temporary name says whose it is; the first edition's did not."""
    return bool(_OWNER.search(entry.name))


def is_left(entry):
    """Tell whether nobody works on a temporary file or folder any more, a Path or DirEntry.

    Whose it is, its name says, see `owner`; without that, or on another computer, its age does.
    """
    here, pid, sign = found.groups() if (found := _OWNER.search(entry.name)) else ("", 0, "")
    if here == _HERE and int(pid) == os.getpid():
        return sign != _SIGN  # in a container the numbers begin anew
    if here == _HERE and has_ended(int(pid)):
        return True
    return age_of(entry) > DAY


def age_of(path):
    """Return for how many seconds nobody has written a file or folder; 0 where it is gone."""
    try:
        return time.time() - os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _sweep_once(folder):
    """Sweep a folder where this process writes for the first time."""
    folder = os.path.abspath(folder)
    if folder not in _swept:
        _swept.add(folder)
        sweep(folder)


def _take_away(entry):
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path)
    else:
        os.unlink(entry.path)


def _as_path(path, what):
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"{type(path).__name__} came for the path of a {what}.")
    return Path(path)


def _absent(path, what):
    """Return the InputError on a path that is neither file nor folder."""
    if path.is_symlink() and not path.exists():
        return InputError(f"{path} is a link to {os.readlink(path)}, which is not there. Mend it.")
    if path.exists():
        return InputError(f"{path} is neither file nor folder; expected a {what}.")
    return InputError(f"{what} {path} does not exist.{_nearest(path)}")


def _nearest(path):
    """Return a hint: a neighbour of nearly that name, or the first parent that is missing."""
    parent = path.parent
    if parent.is_file():
        return f" {parent} is a file."
    if not parent.is_dir():
        return f" Its folder {parent} does not exist either."
    names = [name for name in os.listdir(parent) if name[0] != "." or path.name[0] == "."]
    near = get_close_matches(path.name, names, n=1)
    return f" Did you mean {near[0]}?" if near else f" Looked in {parent.resolve()}."


def current_umask():
    """Return the process's umask (reading it means setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def json_safe(value):
    """Return a value as JSON has it: NaN and infinity as None, arrays and tuples as lists."""
    if isinstance(value, dict):
        return {key: json_safe(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(v) for v in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return json_safe(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
