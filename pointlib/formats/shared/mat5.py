"""MATLAB files of version 5 (-v6 and -v7): numbers, cells and structs, nothing else.

Read here rather than by a library: an untrusted file may declare more than it has, nest without end
or hold objects. Nothing is allocated before its bytes are there, and no object is instantiated.
Source: "MAT-File Format" (The MathWorks), chapter "Level 5". Not about what the variables mean.
"""

import math
import struct
import zlib

import numpy as np

from pointlib.errors import InputError
from pointlib.formats.shared.safe import read_bounded

MOST_BYTES = 64_000_000  # of a file, and of all its variables when decompressed
MOST_CELLS, MOST_DEPTH = 10_000, 16
HEADER = 128  # bytes
NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, OPAQUE, COMPLEX = 1, 2, 17, 0x0800
OTHERS = {3: "an object", 4: "text", 5: "a sparse matrix", 16: "a function", OPAQUE: "an object"}


class Unread(str):
    """A variable that is not read: its kind, in words."""

    __slots__ = ()


def read_mat(path):
    """Return {name: value} of a MATLAB file, or raise InputError that says what it is instead.

    Numbers are arrays of the shape that MATLAB shows; a cell array is a list of values and a struct
    a dict, or a list of dicts if there are several; anything else is an Unread.
    """
    data = memoryview(read_bounded(path, most=MOST_BYTES))
    if bytes(data[:4]) == b"\x89HDF" or b"MATLAB 7.3" in bytes(data[:HEADER]):
        raise InputError(f"{path} is a MATLAB file of version 7.3. Save it with -v7 in MATLAB.")
    order = {b"IM": "<", b"MI": ">"}.get(bytes(data[126:HEADER]))
    if order is None:
        raise InputError(f"{path} is not a MATLAB file of version 5. Save it with -v7 in MATLAB.")
    variables, left = {}, MOST_BYTES
    try:
        for outer in _elements(data[HEADER:], order):
            kind, body = outer
            if kind == COMPRESSED:
                ((kind, body),) = _elements(_inflate(body, order, left), order)
                left -= len(body)
            if kind == MATRIX:
                name, value = _matrix(body, order, 0)
                variables[name] = value
    except (ValueError, struct.error, zlib.error, StopIteration) as error:
        what = str(error) or "it ends early"
        raise InputError(
            f"{path} cannot be read as a MATLAB file ({what}). It may be cut off: copy or save it "
            "again."
        ) from error
    return variables


def _elements(data, order):
    """Yield (kind, bytes) of each element."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        small = kind >> 16  # up to four bytes are in the tag itself
        kind, size, start = (kind & 0xFFFF, small, at + 4) if small else (kind, size, at + 8)
        if start + size > len(data) or small > 4:
            raise ValueError(f"an element of {size:,} bytes has only {len(data) - start:,}")
        yield kind, data[start : start + size]
        padding = 0 if kind == COMPRESSED else -size % 8
        at = at + 8 if small else start + size + padding


def _inflate(body, order, most):
    """Return the bytes of a compressed element: as many as it declares, if not too many."""
    inflater = zlib.decompressobj()
    tag = inflater.decompress(body, 8)
    size = struct.unpack_from(f"{order}I", tag, 4)[0]
    if size > most:
        raise ValueError(f"variables of more than {MOST_BYTES / 1e6:.0f} MB")
    return memoryview(tag + inflater.decompress(inflater.unconsumed_tail, size or 1))


def _matrix(body, order, depth):
    """Return (name, value) of a matrix element."""
    if not body:  # MATLAB's shorthand for []
        return "", np.empty((0, 0))
    if depth > MOST_DEPTH:
        raise ValueError(f"cells nested deeper than {MOST_DEPTH}")
    parts = _elements(body, order)
    flags = struct.unpack_from(f"{order}I", next(parts)[1])[0]
    kind = flags & 0xFF
    if kind in OTHERS or flags & COMPLEX:
        return _unread(kind, parts)
    shape = tuple(int(n) for n in np.frombuffer(next(parts)[1], f"{order}i4"))
    name = bytes(next(parts)[1]).decode("latin-1")
    if min(shape, default=-1) < 0:
        raise ValueError(f"a shape of {shape}")
    if kind == CELL:
        return name, _values(parts, order, depth, math.prod(shape))
    if kind == STRUCT:
        return name, _structs(parts, order, depth, math.prod(shape))
    code, numbers = next(parts, (0, b""))
    if code not in NUMBERS:
        raise ValueError(f"numbers of the unknown type {code}")
    values = np.frombuffer(numbers, f"{order}{NUMBERS[code]}") if len(numbers) else np.empty(0)
    return name, values.reshape(shape, order="F")


def _unread(kind, parts):
    """Return (name, Unread) of a variable that is not read."""
    shape, name = [part for _, part in parts][:2]
    name = shape if kind == OPAQUE else name  # an opaque one has no shape
    return bytes(name).decode("latin-1"), Unread(OTHERS.get(kind, "complex numbers"))


def _values(parts, order, depth, count):
    """Return the next `count` values of a cell array or struct."""
    if count > MOST_CELLS:
        raise ValueError(f"{count:,} cells; at most {MOST_CELLS:,}")
    values = []
    for _ in range(count):
        kind, body = next(parts, (0, b""))
        if kind != MATRIX:
            raise ValueError(f"a cell of the unknown kind {kind}")
        values.append(_matrix(body, order, depth + 1)[1])
    return values


def _structs(parts, order, depth, count):
    """Return a dict {field: value}, or a list of dicts unless there is exactly one."""
    length = struct.unpack_from(f"{order}i", next(parts)[1])[0]
    if length < 1:
        raise ValueError(f"names of {length} bytes")
    packed = bytes(next(parts)[1])
    names = [packed[i : i + length].split(b"\0")[0].decode("latin-1")
             for i in range(0, len(packed), length)]  # fmt: skip
    values = _values(parts, order, depth, count * len(names))
    structs = [dict(zip(names, values[i : i + len(names)], strict=True))
               for i in range(0, len(values), len(names) or 1)]  # fmt: skip
    return structs[0] if count == 1 and structs else structs
