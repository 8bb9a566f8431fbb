"""The doors to the disk: the error that users read, and writing that never loses what was there.

About single files. Not about what is in them: points.py, images.py and config.py know that.
"""

import contextlib
import importlib.util
import math
import os
import sys
import tempfile
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from pointlib.blame import UNSEEN, brief, one_line, user_line

MOST_NAMES = 20  # in a sentence that lists what is known
LONGEST = 200  # letters of a class's name
NAME_FAULTS = f"a comma, a line end or control sign, a space at an end or over {LONGEST} letters"


class InputError(ValueError):
    """Something the user gave cannot be used: says what came, what is needed, what to do."""

    def _render_traceback_(self):
        """Return what a notebook shows: the sentence alone, as the command line does."""
        return [f"InputError: {one_line(self)}"]


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
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".pointlib-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, path.stat().st_mode if path.exists() else 0o666 & ~current_umask())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # not the temporary one
        raise


def keep_copy(path):
    """Move what stands at `path` aside to the first free `NAME.bak`, `NAME.bak2`, ...

    Returns
    -------
    Path or None
        Where it is now; None where nothing stood there.
    """
    path = Path(path)
    return path.rename(copy_name(path)) if path.exists() else None


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


def suggest(word, known):
    """Return a sentence that names the known word nearest to `word`, or lists them all."""
    known = [str(k) for k in known if not str(k).startswith("__")]
    folded = {name.casefold(): name for name in reversed(known)}
    if near := get_close_matches(str(word).casefold(), folded, n=1):
        return f"Did you mean {folded[near[0]]!r}?"
    more = f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else ""
    return f"Known: {', '.join(known[:MOST_NAMES]) or 'none'}{more}."


def is_name(text):
    """Tell whether a class may be called so: it must fit into a line of a text, and be seen."""
    plain = text == text.strip() and "," not in text and not UNSEEN.search(text)
    return plain and 0 < len(text) <= LONGEST


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
    near = get_close_matches(path.name, os.listdir(parent), n=1)
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
