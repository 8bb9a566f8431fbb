"""Errors that users read: what was given, what is needed, what to do; and whose fault they are.

`InputError` is for bad input. `describe` puts exceptions of the disk, of memory and of the user's
own code into a sentence; any other exception is a bug of ours and keeps its traceback. Names are
also made safe here for terminals and tables. Not about files: files.py.
"""

import errno
import re
import sys
import sysconfig
import traceback
from difflib import get_close_matches
from pathlib import Path

PACKAGE = Path(__file__).parent
NOT_YOURS = (str(PACKAGE), sys.prefix, *map(sysconfig.get_path, ("stdlib", "purelib")), "<")
KEPT = "what was there is unchanged"
UNSEEN = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control characters and such
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # they reverse text
_CODES = "061c|200[ef]|202[a-e]|206[6-9]|005c"
_ESCAPED = re.compile(rf"\\u({_CODES})")
# and a backslash that would be read as the start of such a code
_ESCAPE = re.compile(rf"{_TURNING.pattern}|\\(?=u(?:{_CODES}))")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
MOST_NAMES = 20  # in a sentence that lists the known names
MOST_LETTERS = 560  # of a sentence: a line of a text file may be a megabyte long
REMEDIES = {
    errno.ENOSPC: f"Free some space, or name another disk, and run it again; {KEPT}.",
    errno.EFBIG: f"Name a disk that takes larger files; {KEPT}.",
    errno.EACCES: "Change the permissions, or name another place.",
    errno.EROFS: "Name another place that can be written to.",
    errno.ENAMETOOLONG: "Give it a shorter name.",
    errno.EMFILE: "Close other programs, or raise the limit with `ulimit -n`.",
    errno.ENOTDIR: "There is a file where a folder is needed: name another place.",
    errno.EISDIR: "There is a folder where a file is needed: name another place.",
    errno.ENOENT: "Check whether it is still there, or name another place.",
    errno.EIO: "The disk reports a fault: back up what is on it.",
}
REMEDIES |= {errno.EDQUOT: REMEDIES[errno.ENOSPC], errno.EPERM: REMEDIES[errno.EACCES]}
REMEDIES[errno.EEXIST] = REMEDIES[errno.ENOTDIR]


class InputError(ValueError):
    """The user's input cannot be used: says what was given, what is needed and what to do.

    Examples
    --------
    >>> from pointlib import InputError, read_image
    >>> try:
    ...     read_image("cat.png")
    ... except InputError as error:
    ...     print(str(error).split(". ")[0])
    image cat.png does not exist
    """

    def _render_traceback_(self):
        """Return what a notebook shows: the sentence alone, as on the command line."""
        return [f"InputError: {one_line(self)}"]


def describe(error):
    """Return a sentence about an exception that is not our fault, "" for one that is."""
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
    return f"{where} raises {brief(error)}. Fix this code." if where else ""


def brief(error):
    """Return an exception's type and message as one readable line."""
    words = " ".join(str(error).split())
    words = words if len(words) <= 300 else f"{words[:300].rsplit(' ', 1)[0]} ..."
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def spell_out(text):
    """Return text with its control characters, line breaks included, as escapes.

    Characters that reverse the text direction too: they make one name look like another.
    """
    return _TURNING.sub(_escaped, UNSEEN.sub(_escaped, str(text)))


def to_cell(text):
    """Return a name as a cell of a table that a spreadsheet may open; see `from_cell`.

    A name that begins with = + - @, tab or return would run as a formula: it gets an apostrophe.
    Characters that reverse the text direction are escaped. Only for names, not for numbers.
    """
    text = _ESCAPE.sub(_escaped, str(text))
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(cell):
    """Undo `to_cell`; a cell that it would not have changed stays as it is."""
    cell = cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell
    return _ESCAPED.sub(lambda code: chr(int(code[1], 16)), cell)


def _escaped(sign):
    return sign[0].encode("unicode_escape").decode() if sign[0] != "\\" else "\\u005c"


def one_line(text):
    """Return a sentence for a terminal: escaped, and without its middle if it is long.

    The start says what was given, the end what to do.
    """
    text, half = spell_out(text), MOST_LETTERS // 2
    return text if len(text) <= MOST_LETTERS else f"{text[:half]} ... {text[-half:]}"


def user_line(error):
    """Return "file, line n" if an exception comes from the user's code, otherwise ""."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(NOT_YOURS)]
    return f"{theirs[-1].filename}, line {theirs[-1].lineno}" if theirs else ""


def _is_memory(error):
    """Tell whether an exception means that memory has run out."""
    words = str(error).lower()
    signs = ("allocate memory", "out of memory", "failed to map segment")  # the last: of a library
    said = any(sign in words for sign in signs)
    kinds = (RuntimeError, ImportError, OSError)
    return isinstance(error, MemoryError) or (isinstance(error, kinds) and said)


def plural(n, word, form=""):
    """Return a number, formatted by `form`, and its noun: `1 point` or `2 points`."""
    return f"{n:{form}} {word}" if n == 1 else f"{n:{form}} {word}s"


def suggest(word, known):
    """Return a sentence with the known word nearest to `word`, or with all of them."""
    known = [str(k) for k in known if not str(k).startswith("__")]
    folded = {name.casefold(): name for name in reversed(known)}
    if near := get_close_matches(str(word).casefold(), folded, n=1):
        return f"Did you mean {folded[near[0]]!r}?"
    more = f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else ""
    return f"Known: {', '.join(known[:MOST_NAMES]) or 'none'}{more}."
