"""Reading untrusted files: JSON, XML, tables and numbers, within limits and never run as code.

A file raises InputError if it is too large, truncated, nested too deeply, of the wrong kind, or
defines XML entities. Not about the fields of any format.
"""

import csv
import io
import json
import math
import xml.etree.ElementTree as ET
from functools import partial
from xml.parsers import expat

import numpy as np

from pointlib.errors import InputError, from_cell
from pointlib.files import need_file
from pointlib.points import read_text

MOST_BYTES = 500_000_000  # of a file that is read whole
PIECE = 65_536  # bytes of XML parsed at once
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def read_bounded(path, *, most=MOST_BYTES):
    """Return the bytes of a file, or raise InputError if it is larger than `most`."""
    return need_small(path, most=most).read_bytes()


def need_small(path, *, most=MOST_BYTES):
    """Return `path` if it is a file of at most `most` bytes, else raise InputError."""
    path = need_file(path)
    if (size := path.stat().st_size) > most:
        raise InputError(
            f"{path} has {size / 1e6:,.1f} MB; at most {most / 1e6:,.1f} MB are read. Split it."
        )
    return path


def load_json(path, *, nan=False):
    """Return the contents of a JSON file; NaN and infinity, not valid JSON, only with `nan`."""
    data = read_bounded(path)
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=float if nan else _no_constant)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text, as JSON is. Export it again.") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}, line {error.lineno}: not JSON ({error.msg}). It may be cut off: export it "
            "again."
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not readable JSON: {error}. Export it again.") from None


def parse_cell(text, name, where):
    """Return the JSON in a cell of a table, in the column `name`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: {name} is not JSON ({error}). Export it again.") from error


def parse_xml(path, *, tag):
    """Yield each outermost element with a given tag (or tags), complete, and free it afterwards.

    A document type, and so any entity, is refused: it can grow without bound or refer to files.
    """
    elements = _Elements(tag)
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = elements.start, elements.end
    parser.CharacterDataHandler, parser.buffer_text = elements.text, True
    parser.StartDoctypeDeclHandler = partial(_no_doctype, path)
    with need_file(path).open("rb") as file:
        try:
            while piece := file.read(PIECE):
                parser.Parse(piece)
                yield from elements.finished()
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise InputError(
                f"{path}, line {error.lineno}: not XML ({error}). It may be cut off: export it "
                "again."
            ) from error
        except InputError:
            raise
        except (LookupError, ValueError) as error:  # an encoding that Python does not know
            raise InputError(f"{path}: {error}. Save it as UTF-8.") from error


class _Elements:
    """Elements with some tags, built from a parser's events."""

    def __init__(self, tag):
        self.tags = {tag} if isinstance(tag, str) else set(tag)
        self.depth, self.done, self.builder = 0, [], None

    def start(self, name, attributes):
        if not self.depth and name in self.tags:
            self.builder = ET.TreeBuilder()
        if self.depth or name in self.tags:
            self.depth += 1
            self.builder.start(name, attributes)

    def text(self, text):
        if self.depth:
            self.builder.data(text)

    def end(self, name):
        if self.depth:
            self.depth -= 1
            self.builder.end(name)
            if not self.depth:
                self.done.append(self.builder.close())

    def finished(self):
        """Return the elements completed since the last call."""
        done, self.done = self.done, []
        return done


def peek(path, size=PIECE):
    """Return the first bytes of a file as text, for a format's `looks`; "" if it is not a file."""
    try:
        with open(path, "rb") as file:
            return file.read(size).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""


def read_rows(path, columns, *, delimiters=","):
    """Yield ("file, line n", {column: text}) of a table whose first line names its columns.

    Case and surrounding spaces of names are ignored; of two equal names, the first counts. The one
    of `delimiters` that is most common in the first line separates the columns.
    """
    cells = read_cells(path, delimiters=delimiters)
    names = [name.lower() for name in next(cells, ("", []))[1]]
    if missing := [name for name in columns if name not in names]:
        raise InputError(
            f"{path} has no column {', '.join(missing)} among {', '.join(names)[:300] or 'none'}. "
            f"Its first line must name {', '.join(columns)}, with "
            f"{' or '.join(DELIMITERS[sign] for sign in delimiters)} between."
        )
    for where, fields in cells:
        if len(fields) != len(names):
            raise InputError(
                f"{where} does not have {len(names)} fields: {', '.join(names)}. A comma in a name "
                "or number may be the reason."
            )
        yield where, dict(zip(reversed(names), reversed(fields), strict=True))


def read_cells(path, *, delimiters=","):
    """Yield ("file, line n", [text, ...]) of each line of a table that is not blank.

    What `errors.to_cell` escaped is restored.
    """
    text = read_text(need_small(path))
    delimiter = max(delimiters, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text), skipinitialspace=True, delimiter=delimiter)
    try:
        for fields in reader:
            if fields:
                where = f"{path}, line {reader.line_num}"
                yield where, [from_cell(field.strip()) for field in fields]
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: {error}. A quotation mark may be unclosed."
        ) from error


def read_numbers(values, where, names):
    """Return finite floats from strings or numbers, or raise InputError that says where."""
    try:
        if any(isinstance(value, bool) for value in values):
            raise TypeError("true and false are not numbers")
        numbers = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError) as error:
        comma = any(isinstance(value, str) and "," in value for value in values)
        hint = " Write them with a decimal point." if comma else ""
        raise InputError(f"{where}: {error}; expected numbers {', '.join(names)}.{hint}") from error
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"{where}: {numbers}; expected finite numbers {', '.join(names)}.")
    return numbers


def need(data, key, kind, where):
    """Return ``data[key]`` of a dict from JSON, or raise InputError if it is not a `kind`."""
    if not isinstance(data, dict):
        raise InputError(f"{where} is a {type(data).__name__}; expected an object with {key!r}.")
    value = data.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        kinds = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        came = type(value).__name__ if key in data else "missing"
        raise InputError(f"{where}: {key!r} is {came}; expected a {kinds}.")
    return value


def points_table(rows):
    """Return points (N, 2), labels (N,) and scores (N,) or None of (x, y, label, score) rows."""
    points = np.array([row[:2] for row in rows], dtype=float).reshape(-1, 2)
    labels = np.array([row[2] or "" for row in rows], dtype=str)
    scores = [row[3] for row in rows]
    if not rows or any(score is None for score in scores):
        return points, labels, None
    return points, labels, np.array(scores, dtype=float)


def _no_doctype(path, *_):
    raise InputError(f"{path} has a document type (DTD), which is not read. Remove it.")


def _no_constant(word):
    raise ValueError(f"it holds {word}, which JSON does not have")
