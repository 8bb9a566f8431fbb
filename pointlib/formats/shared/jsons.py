"""What the JSON formats share: choosing the file, reading numbers, streaming objects.

Not about the fields of any tool.
"""

import os
from itertools import islice
from pathlib import Path

import ijson
import numpy as np

from pointlib.errors import InputError
from pointlib.files import need_file
from pointlib.formats.shared.safe import read_numbers
from pointlib.regions import SUFFIX

HEAD = 65_536  # bytes of a file that are read to recognise it
MOST_LISTED = 2_000  # names in a folder that are checked to recognise it
PIECE = 262_144  # bytes of JSON parsed at once
MOST_DEPTH = 100  # of nested lists and objects
MOST_ITEM = 64_000_000  # bytes of one object, or of one string in it
_BOM = b"\xef\xbb\xbf"
_LIST = object()  # marks a list whose elements are yielded one by one


def heads(source, *suffixes):
    """Yield the first 64 kB, as text, of a file or of the first three such files of a folder."""
    source = Path(source)
    try:
        for path in [source] if source.is_file() else files_in(source, *suffixes, most=3):
            if path.suffix.lower() in suffixes:
                with path.open("rb") as file:
                    yield file.read(HEAD).decode("utf-8", errors="replace").lstrip("\ufeff \r\n\t")
    except OSError:
        return


def names_crs(head):
    """Return whether a GeoJSON that begins so names a reference system: map coordinates."""
    return "FeatureCollection" in head and '"crs"' in head


def files_in(folder, *suffixes, most=None):
    """Return the files in a folder with one of the suffixes, by name.

    Hidden ones and the kit's own regions are left out.
    """
    if not Path(folder).is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in (islice(entries, MOST_LISTED) if most else entries)]
    names = [name for name in names if name[0] != "." and not name.endswith(SUFFIX)]
    paths = [Path(folder, name) for name in sorted(names)]
    return [path for path in paths if path.suffix.lower() in suffixes and path.is_file()][:most]


def one_json(source, pictures, looks):
    """Return the JSON file that a user means: `source`, or the one in it that `looks` accepts."""
    if source.is_file():
        return source
    places = (source, pictures.home, pictures.home / "annotations", pictures.folder)
    found = next(filter(None, (files_in(place, ".json") for place in places)), [])
    fitting = found if len(found) == 1 else [path for path in found if looks(path)]
    if len(fitting) != 1:
        names = ", ".join(path.name for path in (fitting or found)[:5])
        raise InputError(
            f"{source} holds {len(fitting)} JSON files of this format ({names or 'none at all'}); "
            "expected one. Name the file itself."
        )
    return fitting[0]


def one_each(source, pictures, suffixes, looks):
    """Return the files that a tool keeps beside its images.

    They have the first suffix and an image's name, or one of the suffixes and `looks` accepts them.
    """
    if source.is_file():
        return [source]
    places = {source: 0, pictures.home: 0} | dict.fromkeys(path.parent for path in pictures.paths)
    stems = {name for path in pictures.paths for name in (path.stem, path.name)}
    found = [path for place in places for path in files_in(place, *suffixes)]
    own = suffixes[0]
    found = [p for p in found if (p.stem in stems and p.suffix.lower() == own) or looks(p)]
    if not found:
        raise InputError(f"{source} holds no file of this format ({', '.join(suffixes)}).")
    return found


def read_size(data, names):
    """Return (H, W) if a JSON object has the keys `names`, height first, else None."""
    sizes = [data.get(name) for name in names]
    whole = all(type(size) in (int, float) and 1 <= size < 1e9 for size in sizes)
    return tuple(int(size) for size in sizes) if whole else None


def read_score(value, where):
    """Return a score in [0, 1], or None if there is none."""
    if value is None:
        return None
    (score,) = read_numbers((value,), where, ("score",))
    if not 0 <= score <= 1:
        raise InputError(f"{where}: score {score}; expected 0 to 1. Scale the scores.")
    return score


def read_table(values, where, *, least=1):
    """Return (N, 2) floats from a JSON list of lists [x, y, ...]; what follows y is ignored."""
    try:
        rows = [(x, y) for x, y, *_ in values]
        if not all(type(value) in (int, float) for row in rows for value in row):
            raise TypeError("not all are numbers")
        table = np.array(rows, dtype=float).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: {error}; expected a list of [x, y].") from error
    if len(table) < least or not np.isfinite(table).all():
        raise InputError(f"{where}: {len(table)} points; expected {least} or more, finite.")
    return table


def stream_items(path, wanted):
    """Yield (section, index, object) of the lists in a JSON file, keeping one object in memory.

    Parameters
    ----------
    path : Path
        A JSON object with lists of objects in it, or such a list.
    wanted : dict
        ``{section: keys}``: the lists ("" for a file that is a list) and the keys to keep of their
        objects: numbers, strings and lists; a nested object is kept as an empty one.
    """
    items, held = _Items(path, wanted), 0
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, use_float=True)
    with need_file(path).open("rb") as file:
        piece = file.read(PIECE).removeprefix(_BOM)
        while piece:
            _parse(parser.send, piece, path)
            items.take(events)
            held = 0 if items.done or (events and not items.inside()) else held + len(piece)
            if held > MOST_ITEM:
                raise InputError(f"{path}, {items.place()} is over {held / 1e6:.0f} MB. Split it.")
            del events[:]
            yield from items.done
            items.done = []
            piece = file.read(PIECE)
        _parse(lambda _: parser.close(), None, path)
    items.take(events)
    yield from items.done


def _parse(send, piece, path):
    try:
        send(piece)
    except (ijson.JSONError, ValueError, OverflowError, RecursionError) as error:
        why = str(error).removeprefix("b'").split("\n")[0].split("\\n")[0]
        raise InputError(
            f"{path}: not JSON ({why:.80}). It may be cut off: export it again."
        ) from error


class _Items:
    """Objects in a file's lists, built from a parser's events; `done` holds complete ones."""

    def __init__(self, path, wanted):
        self.path, self.wanted, self.seen = path, wanted, set()
        self.stack, self.level, self.done = [], 2, []  # open containers; None if not kept
        self.section, self.keys, self.index, self.key, self._fill = "", (), 0, None, None

    def take(self, events):
        """Process (event, value) pairs from `ijson.basic_parse`."""
        stack, fill = self.stack, self._fill
        for event, value in events:
            if event == "number" and fill:  # most events of a file with long outlines
                fill(value)
            elif event == "map_key":
                self._name(value)
            elif event in ("number", "string", "boolean", "null"):
                stack[-1].append(value) if stack and type(stack[-1]) is list else self._put(value)
            else:
                self._close() if event[:3] == "end" else self._open(event == "start_array")
                fill = stack[-1].append if stack and type(stack[-1]) is list else None
        self._fill = fill

    def inside(self):
        """Return whether an object is incomplete."""
        return len(self.stack) > self.level

    def place(self):
        """Return the current element, for messages."""
        return f"{self.section}[{self.index}]"

    def _name(self, key):
        if len(self.stack) == 1:
            self.section, self.keys, self.index = key, self.wanted.get(key, ()), 0
            if self.keys and key in self.seen:
                raise InputError(f"{self.path} has {key!r} twice. Export it again.")
            self.seen.add(key) if self.keys else None
        elif type(self.stack[-1]) is dict:
            self.key = key

    def _open(self, is_list):
        new, depth = [] if is_list else {}, len(self.stack)
        if depth > MOST_DEPTH:
            raise InputError(f"{self.path}, {self.place()}: nested deeper than {MOST_DEPTH}.")
        if depth == 0:
            self.level = 1 if type(new) is list else 2
            self.keys = self.wanted.get("", ()) if self.level == 1 else ()
        if depth == self.level - 1:
            if self.keys and type(new) is dict:
                self._refuse("an object", "a list")
            self.stack.append(_LIST if self.keys else None)
        elif depth < self.level:
            self.stack.append(None)
        else:
            self.stack.append(self._put(new))

    def _close(self):
        top = self.stack.pop()
        if type(top) is dict and len(self.stack) == self.level:
            self.done.append((self.section, self.index, top))
            self.index += 1

    def _put(self, value):
        """Add a value to the open container if its key is wanted; return it if it is a list."""
        parent = self.stack[-1] if self.stack else _LIST
        if parent is _LIST:
            if type(value) is not dict or not self.stack:
                self._refuse(type(value).__name__, "an object")
            return value
        if type(parent) is list:
            parent.append(value)
        elif type(parent) is dict and self.key in self.keys:
            if self.key in parent:
                self._refuse(f"an object with {self.key!r} twice", "it once")
            parent[self.key] = value
        else:
            if parent is None and len(self.stack) == 1 and self.keys:
                self._refuse(type(value).__name__, "a list")
            return None
        return value if type(value) is list else None

    def _refuse(self, came, needed):
        raise InputError(f"{self.path}, {self.place()} is {came}; expected {needed}.")
