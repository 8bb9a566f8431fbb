"""`csv`, tables of points or boxes: points.csv with image,x,y, and others that people write.

Columns are identified by their names in any order and many spellings (`image_path`, `X (px)`,
`Column`, `xmin`; NAMES in shared/columns.py), or by `--columns image=Name,x=Column,y=Row`; others
are ignored. Without names they are told by what is in them, where that is clear. They are separated
by commas, semicolons, tabs or spaces; numbers have a decimal point or, unless commas separate, a
decimal comma. A table without an image column belongs to the image with its own name, else to the
only image. Blank coordinates or a box of zeros mean "looked, nothing there".

Points are pixels from the centre of the first pixel. Boxes are measured from the pixels' edges, and
so are QuPath's centroids. If all numbers lie from 0 to 1, they are fractions of width and height
from the image's edge. TrackMate's spots have lines of names and units below the first, and their
positions in `POSITION_X` and `POSITION_Y`. In SLEAP's tables and DeepLabCut's (user guide,
"CollectedData_NAME") a row holds several body parts, the classes; blanks are not labelled.

The kit's own tables are points.csv with columns image,x,y and optional label, score; a table
images.csv beside it, with the column image and optional width,height, lists the annotated images:
one without points is empty. Without that table an image without points is not labelled yet. The
kit's predictions are such tables; there counts.csv is the list, except for images whose status is
not "ok".
"""

import csv
import io
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np

from pointlib.errors import InputError, to_cell
from pointlib.files import need_file, write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.columns import Columns, find_columns, named_columns, plain, why_not
from pointlib.formats.shared.rows import read_marks
from pointlib.formats.shared.safe import read_numbers
from pointlib.formats.shared.tables import Table, is_blank, read_head, read_table
from pointlib.images import IMAGE_SUFFIXES

SUFFIXES = (".csv", ".tsv", ".tab")
LISTS = ("images.csv", "counts.csv")  # of annotated images; the first one counts
MOST_TABLES = 5_000  # in a folder
MOST_LOOKED = 20  # of them, to recognise the format
OTHERS = {"surveyid", "axis0"}  # columns of DotDotGoose's table, and of napari's
TALL = Columns({"image": 0, "label": 1, "x": 2, "y": 3, "score": 4}, "points")
BOXES = ("bbox", "box", "boundingbox")  # that may hold four numbers in brackets
_NUMBERS = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
TRACKMATE = {"positionx", "positiony", "visibility"}
QUPATH = {"centroidx", "centroidy", "objecttype"}


def read(source, pictures, form):
    """Yield a Record for each image in the tables or their list, by name."""
    paths = [source] if source.is_file() else _tables(pictures.home, pictures.folder, form)
    listed = _listed(pictures.home if source.is_dir() else source.parent, pictures, paths)
    parts, notes = [], []
    for path in paths:
        table, columns, own = _understand(path, form)
        marks = read_marks(table, columns, pictures, own, fractions=not listed)
        parts.append(marks)
        notes += [(note.replace(str(path), "{}"), path) for note in marks.notes]
        if not listed and columns.kind == "points" and marks.form.unit == "pixels":
            pictures.note(_counted_from(marks.form), 1)
    pictures.notes += _merged(notes)
    images = {image for marks in parts for image in marks.rows}
    for image in sorted(images | listed.keys()):
        shape = listed.get(image) or pictures.shape(image)
        own = [marks.points(image, shape) for marks in parts if image in marks.rows]
        yield Record(image, listed.get(image), *_join(own))


def write(folder, records, form):
    """Write points.csv, with labels and scores if there are any, and images.csv."""
    named = any(label for record in records for label in record.labels)
    scored = any(record.scores is not None for record in records)
    points = [["image", "x", "y", *(["label"] * named), *(["score"] * scored)]]
    images = [["image", "width", "height", "n_points"]]
    for record in records:
        name = to_cell(record.name)
        images.append([name, record.shape[1], record.shape[0], len(record.points)])
        values = form.from_points(record.points, record.shape)
        scores = [""] * len(values) if record.scores is None else map(_number, record.scores)
        for pair, label, score in zip(values, record.labels, scores, strict=True):
            extras = [*([to_cell(label)] * named), *([score] * scored)]
            points.append([name, *map(_number, pair), *extras])
    for file, rows in (("points.csv", points), ("images.csv", images)):
        csv.writer(text := io.StringIO(), lineterminator="\n").writerows(rows)
        write_atomic(folder / file, text.getvalue())


def looks(source):
    """Return whether a file is a table of points or boxes, or a folder has one for its images."""
    if not source.is_dir():
        return source.suffix.lower() in (*SUFFIXES, ".txt") and _is_table(source)
    if (source / "points.csv").is_file():
        return _is_table(source / "points.csv")
    inside = list(source.iterdir())
    stems = {path.stem for path in inside if path.suffix.lower() in IMAGE_SUFFIXES}
    tables = [path for path in inside if path.suffix.lower() in SUFFIXES and path.name not in LISTS]
    return any(_is_table(path, stems) for path in tables[:MOST_LOOKED])


def _is_table(path, stems=None):
    """Return whether a table is understood; of those that name no image, only if one of `stems`."""
    table = read_head(path)
    if table is None or not table.rows:
        return path.name == "points.csv"
    if _is_wide(table):
        return True
    if OTHERS & {plain(name) for name in table.header or ()}:
        return False
    columns = find_columns(_melted(table))
    if columns is None:
        return path.name == "points.csv"
    if "image" in columns.of:
        return True
    return path.suffix.lower() != ".txt" and (stems is None or path.stem in stems)


def _tables(home, images, form):
    """Return the tables of a folder: points.csv, or all that are understood."""
    if (home / "points.csv").is_file():
        return [home / "points.csv"]
    places = dict.fromkeys([home, images])
    found = [path for place in places for path in sorted(place.iterdir())]
    found = [path for path in found if path.suffix.lower() in SUFFIXES and path.name not in LISTS]
    if form.columns or len(found) == 1:
        return found
    known = [path for path in found[:MOST_TABLES] if _is_table(path)]
    if not known:
        why = f"{found[0].name}: {_why_not(found[0])}" if found else "It has no points.csv."
        raise InputError(f"{home} has no table of points that is understood. {why}")
    return known


def _why_not(path):
    table = read_head(path)
    return why_not(table) if table else "it is no table."


def _understand(path, form):
    """Return a Table, its Columns, and the Format that its numbers are in."""
    table = read_table(need_file(path, "table of points"))
    if _is_wide(table):
        return _unfold(table), TALL, form
    table = _melted(table)
    columns = named_columns(table, form.columns) if form.columns else find_columns(table)
    if columns is None:
        raise InputError(f"{path} has no columns of positions that are known. {why_not(table)}")
    names = {plain(name) for name in table.header or ()}
    if names >= TRACKMATE and not form.columns:  # whose labels are names of single spots
        columns = columns._replace(of={k: v for k, v in columns.of.items() if k != "label"})
    return table, columns, replace(form, convention="corner") if names >= QUPATH else form


def _merged(notes):
    """Return sentences of (sentence, table) pairs, each once, with the number of other tables."""
    tables = {}
    for note, path in notes:
        tables.setdefault(note, []).append(path)
    merged = []
    for note, paths in tables.items():
        others = f" So are {len(paths) - 1} other tables." if len(paths) > 1 else ""
        merged.append(note.replace("{}", str(paths[0])) + others)
    return merged


def _counted_from(form):
    """Return a sentence on where a table's numbers count from."""
    if form.convention == "corner":
        return "Tables whose x, y count from a pixel's corner"
    return "Tables whose x, y count from a pixel's centre (--convention corner: its corner)"


def _join(own):
    """Return points, labels and scores of an image from those of several tables."""
    points = np.concatenate([np.empty((0, 2)), *(points for points, _, _ in own)])
    labels = np.array([label for _, labels, _ in own for label in labels.tolist()], dtype=str)
    scores = [scores for points, _, scores in own if len(points)]
    if not scores or any(part is None for part in scores):
        return points, labels, None
    return points, labels, np.concatenate(scores)


def _is_wide(table):
    """Return whether a table begins as DeepLabCut's: scorer, bodyparts, coords."""
    return bool(table.header) and table.header[0] == "scorer"


def _unfold(table):
    """Return the Table with a line for each point of DeepLabCut's, which has one for each image."""
    heads, rows = {"scorer": table.header}, []
    for line, cells in table.rows:
        if len(cells) != len(table.header):
            raise InputError(
                f"{table.where(line)} has {len(cells)} fields, unlike the first. Export it again."
            )
        if "coords" not in heads:
            heads[cells[0]] = cells
            continue
        coords, parts = heads["coords"], heads.get("bodyparts")
        starts = [i for i, name in enumerate(coords) if name == "x"]
        if not starts or not parts:
            break
        image = "/".join(cells[: starts[0]])
        for start, end in pairwise([*starts, len(coords)]):
            row = dict(zip(coords[start:end], cells[start:end], strict=True))
            x, y = row["x"], row.get("y", "")
            if not (is_blank(x) and is_blank(y)):
                rows.append((line, [image, parts[start], x, y, row.get("likelihood", "")]))
    if not {"scorer", "bodyparts", "coords"} <= heads.keys() or "x" not in heads["coords"]:
        raise InputError(
            f"{table.path} begins like a table of DeepLabCut, but lacks its lines bodyparts and "
            "coords with x and y. Export it again, or start the table with image,x,y."
        )
    return table._replace(header=["image", "label", "x", "y", "score"], rows=rows)


def _spread(table):
    """Return the Table with four columns in place of one that holds [x, y, width, height]."""
    names = list(map(plain, table.header or ()))
    index = next((names.index(name) for name in BOXES if name in names), None)
    if index is None:
        return table
    rows = []
    for line, cells in table.rows:
        text = cells[index] if index < len(cells) else ""
        numbers = _NUMBERS.findall(text) if text[:1] in ("[", "(") else []
        if not (is_blank(text) or len(numbers) == 4):
            return table
        rows.append((line, [*cells[:index], *cells[index + 1 :], *(numbers or [""] * 4)]))
    header = [*table.header[:index], *table.header[index + 1 :], "left", "top", "bboxw", "bboxh"]
    note = f"{table.path}: {table.header[index]} is read as left, top, width, height."
    return table._replace(header=header, rows=rows, notes=[*table.notes, note])


def _melted(table):
    """Return the Table with a line for each point of SLEAP's, with columns PART.x, PART.y."""
    table = _spread(table)
    names = table.header or []
    parts = [name[:-2] for name in names if name.endswith(".x") and f"{name[:-2]}.y" in names]
    if not parts:
        return table
    others = [i for i, name in enumerate(names) if "." not in name and plain(name) != "track"]
    header = [*(names[i] for i in others), "label", "x", "y", "score"]
    rows = []
    for line, cells in table.rows:
        cell = dict(zip(names, cells, strict=False))
        kept = [cells[i] if i < len(cells) else "" for i in others]
        for part in parts:
            x, y, score = (cell.get(f"{part}.{key}", "") for key in ("x", "y", "score"))
            if not (is_blank(x) and is_blank(y)):
                rows.append((line, [*kept, part, x, y, _within(score)]))
    return Table(table.path, header, rows, table.sign, table.notes)


def _within(score):
    """Return a score, at most 1: SLEAP's may be a little above."""
    try:
        return str(min(float(score), 1.0))
    except ValueError:
        return ""


def _listed(folder, pictures, tables):
    """Return {image: (H, W) or None} of the list in a folder, empty if there is none."""
    paths = [folder / name for name in LISTS if (folder / name).is_file()]
    paths = [path for path in paths if path not in tables]
    listed = {}
    for where, row in _rows_of(paths[0]) if paths else ():
        if row.get("status", "ok") == "ok":
            sized = row.get("width"), row.get("height")
            size = read_numbers(sized, where, ("width", "height")) if all(sized) else None
            listed[pictures.find(row["image"], where)] = size and (int(size[1]), int(size[0]))
    return listed


def _rows_of(path):
    """Yield (where, {column: cell}) of a list of images."""
    table = read_table(path)
    names = [name.lower() for name in table.header or ()]
    if "image" not in names:
        raise InputError(f"{path} has no column image among {', '.join(names)[:300] or 'none'}.")
    for line, cells in table.rows:
        yield table.where(line), dict(zip(names, cells, strict=False))


def _number(value):
    return np.format_float_positional(value, precision=6, trim="-")


FORMAT = Format(
    "csv",
    "tables of points or boxes: image,x,y[,label][,score] and other spellings",
    read,
    write,
    looks,
    decimals=6,
    carries=frozenset({"labels", "empty", "scores"}),
    checked="pandas",
)
