"""Tables as people and programs write them: separators, encodings, decimal commas, blank cells.

About text and cells. Not about which column means what: columns.py.
"""

import csv
import io
import math
import re
from typing import NamedTuple

from pointlib.errors import InputError, from_cell
from pointlib.formats.shared.safe import PIECE, read_bounded
from pointlib.images import IMAGE_SUFFIXES

SIGNS = ("\t", ";", ",")
SPACES = " "  # any run of spaces or tabs
SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
MOST_SAMPLED = 50  # lines, to find the sign that separates the columns
BLANK = frozenset({"", "nan", "na", "n/a", "none", "null", "-", "--", "?"})
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?|[-+]?\d+,", re.ASCII)


class Table(NamedTuple):
    """The cells of a table.

    Attributes
    ----------
    path : Path
    header : list of str or None
        The names of the columns; None if the first line holds numbers.
    rows : list of (int, list of str)
        Number of the line, and its cells, stripped; blank lines are left out.
    sign : str
        What separates the columns.
    notes : list of str
    """

    path: object
    header: list | None
    rows: list
    sign: str
    notes: list

    @property
    def n_columns(self):
        """Number of columns of the widest line."""
        return max((len(cells) for _, cells in self.rows), default=len(self.header or ()))

    def where(self, line):
        """Return "file, line n", for messages."""
        return f"{self.path}, line {line}"


def read_table(path):
    """Return the Table in a text file; InputError if it is binary, or a quotation mark is open."""
    return parse_table(path, read_bounded(path))


def read_head(path):
    """Return the Table of the first lines of a file, or None if it is not a text table."""
    try:
        with open(path, "rb") as file:
            data = file.read(PIECE)
            cut = bool(file.read(1))
        return parse_table(path, data, cut=cut)
    except (OSError, InputError):
        return None


def parse_table(path, data, *, cut=False):
    """Return the Table of the bytes of a file; `cut`: its last line may be incomplete."""
    notes = []
    text = _decode(path, data, notes)
    text = text[: text.rfind("\n") + 1] if cut else text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    said = re.match(r"sep=(.)\n", text)  # Excel's own way to name the sign
    if said:
        text = "\n" + text[said.end() :]
    lines = [line for line in text.split("\n", MOST_SAMPLED)[:MOST_SAMPLED] if line.strip()]
    sign = said[1] if said else find_sign(lines)
    rows = list(_cells(path, text, sign))
    header = None
    if rows and not any(is_number(cell) or looks_like_image(cell) for cell in rows[0][1]):
        header = rows[0][1]
        header[0] = header[0].removeprefix("#").strip()
        rows = rows[1:]
    return Table(path, header, rows, sign, notes)


def find_sign(lines):
    """Return what separates the columns of some lines.

    It is the first of SIGNS that cuts all of them into the same number of cells, two or more, else
    the commonest in the first line, else spaces.
    """
    for sign in SIGNS:
        widths = {len(cells) for cells in _split(lines, sign)}
        if len(widths) == 1 and widths.pop() > 1:
            return sign
    first = lines[0] if lines else ""
    best = max(SIGNS, key=first.count)
    return best if best in first else SPACES


def looks_like_image(text):
    """Return whether a cell ends as the name of an image does."""
    return text.lower().partition("?")[0].endswith(IMAGE_SUFFIXES)


def is_blank(text):
    """Return whether a cell holds nothing, or a word for it, such as NaN."""
    return text.strip().lower() in BLANK


def is_number(text):
    """Return whether a cell holds a number, with a point or a comma."""
    return bool(_NUMBER.fullmatch(text) or _COMMA.fullmatch(text))


def to_number(text, where, name):
    """Return a cell as a float; a single comma is a decimal comma."""
    if is_number(text):
        number = float(text.replace(",", "."))
        if math.isfinite(number):
            return number
    raise InputError(
        f"{where}: {text[:40]!r} in the column {name}; expected a number, with a decimal point. "
        "Correct the cell, or remove the line."
    )


def _decode(path, data, notes):
    """Return text; UTF-8, UTF-16 with its mark, else what Windows writes in western Europe."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not readable UTF-16 text. Save it as UTF-8.") from error
    if b"\0" in data:
        raise InputError(f"{path} is not a text file. Save the table as CSV.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        notes.append(f"{path} is not UTF-8: read as Windows-1252. Look at the class names.")
        return data.decode("cp1252", errors="replace")


def _cells(path, text, sign):
    """Yield (line, [cell, ...]) of each line that is not blank or a comment below the first."""
    if sign == SPACES:
        rows = ((n, line.split()) for n, line in enumerate(text.split("\n"), start=1))
    else:
        rows = _read(path, text, sign)
    n_rows = 0
    for line, raw in rows:
        cells = [from_cell(cell.strip()) for cell in raw]
        if any(cells) and not (n_rows and cells[0][:1] == "#"):
            n_rows += 1
            yield line, cells


def _read(path, text, sign):
    reader = csv.reader(io.StringIO(text), delimiter=sign, skipinitialspace=sign != "\t")
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: {error}. A quotation mark may be unclosed."
        ) from error


def _split(lines, sign):
    try:
        return list(csv.reader(lines, delimiter=sign, skipinitialspace=sign != "\t"))
    except csv.Error:
        return []
