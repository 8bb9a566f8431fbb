"""The table of formats: which there are, how they are recognised, and what each can carry.

Not about the contents of a format (one file each, in this folder), nor about converting
(conversion.py).
"""

import importlib
import os
import pkgutil
from itertools import islice
from pathlib import Path

from pointlib.errors import InputError, suggest
from pointlib.files import need_file
from pointlib.formats.shared.base import Format
from pointlib.formats.shared.columns import why_not
from pointlib.formats.shared.outcome import place
from pointlib.formats.shared.programs import way_out
from pointlib.formats.shared.tables import SUFFIXES as TABLES
from pointlib.formats.shared.tables import read_head
from pointlib.splits import PARTS

OTHERS = {"conversion", "shared", "table"}  # modules that are not formats


def _found():
    """Return {name: Format} of every module beside this one that has a FORMAT."""
    names = {module.name for module in pkgutil.iter_modules([Path(__file__).parent])}
    modules = [importlib.import_module(f"{__package__}.{name}") for name in sorted(names - OTHERS)]
    formats = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {form.name: form for form in sorted(formats, key=lambda form: form.name)}


FORMATS = _found()
DEEP = ("crowd", "imagej", "labelme", "qupath", "spotiflow", "voc")  # a file per image
GENERAL = "csv"  # reads tables of all kinds, where no other format knows better
MOST_LISTED, MOST_TRIED = 10_000, 30  # of a folder's entries, to suggest their format
MOST_FOLDERS = 50  # below a folder, to recognise its format
COLUMNS = ("format", "files", "axes", "unit", "(0, 0) is")
CARRIED = {"empty": "empty images", "labels": "classes", "scores": "scores", "regions": "regions"}


def find_format(name):
    """Return the Format of that name; a Format is returned as it is."""
    if isinstance(name, Format):
        return name
    if name not in FORMATS:
        raise InputError(f"format {name!r} is unknown. {suggest(name, FORMATS)}")
    return FORMATS[name]


def recognise(source):
    """Return the Format of a file or folder, or raise InputError if it is unclear."""
    source = Path(source)
    if not source.is_dir():
        need_file(source, "file or folder of points")
    parts = parts_of(source)
    names = _looks_like(parts[0] if parts else source)
    if len(names) == 1:
        return FORMATS[names[0]]
    if names:
        raise InputError(f"{source} may be {' or '.join(names)}. Choose one: --from {names[0]}.")
    raise InputError(f"{source} is not recognised. {why_unknown(source)}")


def parts_of(source):
    """Return the folders train, valid, test and the like in a folder, each of one same format.

    Roboflow's exports are such. [] if the folder itself is recognised, or they are not.
    """
    if not source.is_dir():
        return []
    inside = sorted(path for path in source.iterdir() if path.is_dir())
    parts = [path for path in inside if path.name.lower().startswith(PARTS)]
    if len(parts) < 2 or any(form.looks(source) for form in FORMATS.values()):
        return []
    kinds = {tuple(_looks_like(path)) for path in parts}
    return parts if len(kinds) == 1 and len(kinds.pop()) == 1 else []


def formats_table(*, markdown=False):
    """Return the table of all formats as text, or in Markdown."""
    rows = [(*COLUMNS, *CARRIED.values(), "checked with")]
    for form in FORMATS.values():
        carried = ["kept" if word in form.carries else "lost" for word in CARRIED]
        what = (form.name, form.about, ", ".join(form.axes), form.unit, place(form))
        rows.append((*what, *carried, form.checked or "unverified"))
    if markdown:
        rows.insert(1, ["---"] * len(rows[0]))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _looks_like(source):
    """Return the names of the formats that a source may be of; tables of a program come first."""
    names = [form.name for form in FORMATS.values() if form.looks(source)]
    if not names and source.is_dir():
        names = _looks_below(source)
    if source.is_dir() and (source / "points.csv").is_file():  # the kit's own table
        return names
    return [name for name in names if name != GENERAL] or names


def _looks_below(folder):
    """Return the names of formats of a file per image that lie in a folder's subfolders."""
    for top, subfolders, _ in islice(os.walk(folder), MOST_FOLDERS):
        subfolders[:] = sorted(name for name in subfolders if name[0] != ".")
        below = Path(top)
        names = [name for name in DEEP if below != folder and FORMATS[name].looks(below)]
        if names:
            return names
    return []


def why_unknown(source, but=None):
    """Return a hint for a source of unknown format: its entries may be of a known one."""
    if names := [name for name in _looks_like(source) if name != but]:
        return f"It looks like {' or '.join(names)}: use --from {names[0]}."
    if told := way_out(source):
        return told
    if source.is_file() and source.suffix.lower() in TABLES and (table := read_head(source)):
        return why_not(table)
    inside = [source]
    if source.is_dir():
        inside = sorted(islice(source.iterdir(), MOST_LISTED))
        found = {path.name: _looks_like(path) for path in inside[:MOST_TRIED]}
        told = [f"{name} in it looks like {' or '.join(own)}" for name, own in found.items() if own]
        if told:
            return f"{', '.join(told[:5])}: convert {'each' if told[1:] else 'that'} by itself."
    for path in inside[:MOST_TRIED]:
        if path.suffix.lower() in TABLES[:3] and (table := read_head(path)):
            return f"{path.name}: {why_not(table)}"
    return f"Name its format with --from: {', '.join(FORMATS)}. `pointlib formats` describes them."
