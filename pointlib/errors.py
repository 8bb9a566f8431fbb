"""Errors: what users read. What came, what is needed, what to do; and whose fault an exception is.

`InputError` is for what a user gave. Exceptions of the disk, of memory and of the user's own code
get a sentence by `describe`; for any other the fault is ours, and its traceback is right. Names are
made safe to print and to put into tables here too. Not about files: files.py.
"""

import errno
import re
import sys
import sysconfig
import traceback
from difflib import get_close_matches
from pathlib import Path

PACKAGE = Path(__file__).parent
NOT_YOURS = (
    str(PACKAGE),
    sys.prefix,
    *{sysconfig.get_path(name) for name in ("stdlib", "purelib")},
)
KEPT = "what stood there is as it was"
UNSEEN = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # what a terminal may obey
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # what turns text round
_CODES = "061c|200[ef]|202[a-e]|206[6-9]|005c"
_ESCAPED = re.compile(rf"\\u({_CODES})")
# and a backslash that would be read as the beginning of such a code
_ESCAPE = re.compile(rf"{_TURNING.pattern}|\\(?=u(?:{_CODES}))")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
MOST_NAMES = 20  # in a sentence that lists what is known
MOST_LETTERS = 560  # of a sentence: a line of a text may be a megabyte long
REMEDIES = {
    errno.ENOSPC: f"Free some space, or name another disk, and run it again; {KEPT}.",
    errno.EDQUOT: f"Free some space, or name another disk, and run it again; {KEPT}.",
    errno.EFBIG: f"Name a disk that takes larger files; {KEPT}.",
    errno.EACCES: "Change the permissions, or name another place.",
    errno.EPERM: "Change the permissions, or name another place.",
    errno.EROFS: "Name another place, one that can be written to.",
    errno.ENAMETOOLONG: "Give it a shorter name.",
    errno.EMFILE: "Close other programs, or raise the limit with `ulimit -n`.",
    errno.ENOTDIR: "A file stands where a folder is needed: name another place.",
    errno.EEXIST: "A file stands where a folder is needed: name another place.",
    errno.EISDIR: "A folder stands where a file is needed: name another place.",
    errno.ENOENT: "Look whether it is still there, or name another place.",
    errno.EIO: "The disk does not answer as it should: save what is on it.",
}


class InputError(ValueError):
    """Something the user gave cannot be used: says what came, what is needed, what to do."""

    def _render_traceback_(self):
        """Return what a notebook shows: the sentence alone, as the command line does."""
        return [f"InputError: {one_line(self)}"]


def describe(error):
    """Return a sentence on an exception that is not our fault, "" on one that is."""
    if _is_memory(error):
        return (
            f"there is not enough memory ({brief(error)}). Lower train.batch_size, train.crop_size "
            "or the size of the images, or use another computer."
        )
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}. {REMEDIES.get(error.errno, '')}".rstrip()
    if isinstance(error, OSError):
        return brief(error)
    where = user_line(error)
    return f"{where} raises {brief(error)}. Mend this code." if where else ""


def brief(error):
    """Return an exception's kind and words as one line that can be read."""
    words = " ".join(str(error).split())
    words = words if len(words) <= 300 else f"{words[:300].rsplit(' ', 1)[0]} ..."
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def spell_out(text):
    """Return text with the signs that a terminal would obey, line ends too, as escapes.

    Those that turn the direction of reading as well: they make a name look like another.
    """
    return _TURNING.sub(_escaped, UNSEEN.sub(_escaped, str(text)))


def to_cell(text):
    """Return a name for a cell of a table that is to be opened in a spreadsheet; see `from_cell`.

    What begins with = + - @, tab or return would be run as a formula: an apostrophe comes before
    it. Signs that turn the direction of reading are spelt out. Numbers are no names: leave them.
    """
    text = _ESCAPE.sub(_escaped, str(text))
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(cell):
    """Return the name that `to_cell` made a cell of; what it would have left alone stays."""
    cell = cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell
    return _ESCAPED.sub(lambda code: chr(int(code[1], 16)), cell)


def _escaped(sign):
    return sign[0].encode("unicode_escape").decode() if sign[0] != "\\" else "\\u005c"


def one_line(text):
    """Return a sentence for a terminal: spelt out, and where it is long without its middle.

    It begins with what came and ends with what to do.
    """
    text, half = spell_out(text), MOST_LETTERS // 2
    return text if len(text) <= MOST_LETTERS else f"{text[:half]} ... {text[-half:]}"


def user_line(error):
    """Return "file, line n" of the user's code where an exception came from, "" of any other's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if _is_users(frame.filename)]
    return f"{mine[-1].filename}, line {mine[-1].lineno}" if mine else ""


def _is_users(filename):
    return not filename.startswith((*NOT_YOURS, "<"))


def _is_memory(error):
    """Tell whether an exception is somebody's way of saying that memory is short."""
    words = str(error).lower()
    signs = ("allocate memory", "out of memory", "failed to map segment")  # a library's, the last
    said = any(sign in words for sign in signs)
    kinds = (RuntimeError, ImportError, OSError)
    return isinstance(error, MemoryError) or (isinstance(error, kinds) and said)


def plural(n, word, form=""):
    """Return a number, written as `form` says, and its word: `1 point` or `2 points`."""
    return f"{n:{form}} {word}" if n == 1 else f"{n:{form}} {word}s"


def suggest(word, known):
    """Return a sentence that names the known word nearest to `word`, or lists them all."""
    known = [str(k) for k in known if not str(k).startswith("__")]
    folded = {name.casefold(): name for name in reversed(known)}
    if near := get_close_matches(str(word).casefold(), folded, n=1):
        return f"Did you mean {folded[near[0]]!r}?"
    more = f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else ""
    return f"Known: {', '.join(known[:MOST_NAMES]) or 'none'}{more}."
