"""Steps: what the journal's lines mean, as points by id, and how each is undone.

Pure: lines in, state out, the same for the running annotator, for the next opening and for the
replay of a recording. A step is what one undo takes back: each of its changes records the values
before and after. Undo restores the former only if the latter is still current.

Not about files (journal.py), nor about text files and who may edit (ledger.py).
"""

import math
import re
import sys
from collections import Counter
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from pointlib.errors import InputError, brief, plural
from pointlib.points import check_points

OUTSIDE = "outside"  # the session of changes that others made to a text file
# What journals call an accepted or rejected suggestion; kept so that all versions can read them.
SUGGESTED = "ghost"
SOURCES = ("hand", "magnet", SUGGESTED, "code")
MARKS = ("done", "started", "empty", "skipped", "unlabelled")
ALONE = ("empty", "skipped")  # marks that an image with points cannot have
_point_fields = itemgetter("x", "y", "label", "source", "score")
_REPEATED = {"session", "image", "op", "label", "source"}
SAVE_REGIONS = "save-regions"  # the op of a line on what a regions' file is to hold
LARGEST_GAP = 100  # consecutive edit numbers that may be missing because they were refused
_ID = re.compile(r"[0-9a-f]{6}-[0-9]+", re.ASCII)
_WORDS = {  # of a step's op: verb, kind of what it changed, and its noun
    "reject": ("reject", "rejected", "suggestion"),
    "region": ("draw", "regions", "region"),
    "unregion": ("remove", "regions", "region"),
}


class Point(NamedTuple):
    """One point: x, y in pixels, its class, its source, a suggestion's score or None."""

    x: float
    y: float
    label: str
    source: str
    score: float | None = None


class Change(NamedTuple):
    """One thing that a step changed: `kind` is "points", "rejected", "regions" or "mark"."""

    kind: str
    id: str
    before: Point | tuple | str | None
    after: Point | tuple | str | None


class Step(NamedTuple):
    """What one undo takes back."""

    number: int
    image: str
    op: str
    changes: tuple
    note: str = ""  # of an undo or redo: what it did

    def labels(self):
        """Return the classes of its points, before and after, as a set."""
        values = [value for change in self.changes for value in (change.before, change.after)]
        return {value.label for value in values if isinstance(value, Point)}


class Annotation:
    """The annotation of one image.

    Attributes
    ----------
    points, rejected : dict of str to Point
        By id; `rejected` are suggestions that the user rejected.
    regions : dict of str to tuple
        By id: the rings of an area in which every object is clicked, each a tuple of (x, y).
    mark : str
        "empty", "skipped" or, if there are points, "started" (more are to come) or "done"; or "".
    shape : tuple of int or None
        (H, W) of the image that the points lie in, if known.
    counts : Counter
        Points by class.
    """

    def __init__(self):
        self.points, self.rejected, self.regions = {}, {}, {}
        self.mark, self.shape, self.counts = "", None, Counter()

    @property
    def state(self):
        """One of "unlabelled", "started", "labelled", "empty", "skipped"."""
        if self.points:
            return "started" if self.mark == "started" else "labelled"
        return self.mark if self.mark in ALONE else "unlabelled"

    def copy(self):
        """Return a copy that later edits do not change."""
        other = Annotation()
        other.points, other.rejected = dict(self.points), dict(self.rejected)
        other.regions = dict(self.regions)
        other.mark, other.shape, other.counts = self.mark, self.shape, self.counts.copy()
        return other

    def get(self, kind, key):
        """Return the current value."""
        return self.mark if kind == "mark" else getattr(self, kind).get(key)

    def put(self, kind, key, value):
        """Set a point, a rejected suggestion, a region or the mark; None removes it."""
        if kind == "mark":
            self.mark = value
            return
        if kind == "points":
            if key in self.points:
                self.counts[self.points[key].label] -= 1
            if value is not None:
                self.counts[value.label] += 1
        if value is None:
            getattr(self, kind).pop(key, None)
        else:
            getattr(self, kind)[key] = value

    def exchange(self, change, old, new):
        """Replace `old` by `new`; return False if the current value is another."""
        if self.get(change.kind, change.id) != old:
            return False
        if change.kind == "mark" and new in ALONE and self.points:
            return False
        if change.kind == "points" and new and self.mark in ALONE:
            self.mark = ""  # it was set by another program meanwhile
        self.put(change.kind, change.id, new)
        return True


class ForgottenError(Exception):
    """An undo needs a step that a History no longer keeps."""


class Seen:
    """Which edits were applied, and to which image: a dict of (session, number) to image.

    Numbers are consecutive, so a list holds them, indexed by number.
    """

    def __init__(self):
        self._runs, self._others = {}, {}

    def __contains__(self, sender):
        return self._find(sender) is not None

    def __getitem__(self, sender):
        return self._find(sender)

    def __setitem__(self, sender, image):
        session, number = sender
        run = self._runs.setdefault(session, [])
        if not 1 <= number <= len(run) + LARGEST_GAP:
            self._others[sender] = image
            return
        run.extend([None] * (number - len(run)))  # gaps: refused, or still to come
        run[number - 1] = image

    def _find(self, sender):
        session, number = sender
        run = self._runs.get(session, ())
        if 1 <= number <= len(run) and run[number - 1] is not None:
            return run[number - 1]
        return self._others.get(sender)


class History:
    """The state of a folder, built from its journal's lines in order.

    Parameters
    ----------
    kept : int
        How many of the last steps can be undone without reading the journal again; up to twice
        as many are in memory. Default: all.

    Attributes
    ----------
    images : dict of str to Annotation
    done, undone : list of Step
        The steps to undo and to redo, the next one last.
    forgotten : int
        How many steps before `done` are only in the journal.
    seen : Seen
    saves, region_saves : dict of str to list
        The last two lines of each image on what its text file, its regions' file, is to hold.
    learnt : dict
        The last line on a model that was learnt from the folder; {} if there is none.
    changed : dict of str to int
        The number of the last line that changed each image.
    """

    def __init__(self, *, kept=math.inf):
        self.images, self.done, self.undone, self.seen = {}, [], [], Seen()
        self.kept, self.forgotten, self._images_known = kept, 0, set()
        self.saves, self.region_saves, self.learnt = {}, {}, {}
        self.changed, self.last_step, self.is_clean = {}, 0, True

    def annotation(self, image):
        """Return the annotation of an image, a new one if it has none yet."""
        if image not in self.images:
            self.images[image] = Annotation()
        return self.images[image]

    def take_all(self, lines, *, until=None):
        """Apply the lines of a journal, step by step, up to and including step `until`."""
        step = []
        for line in lines:
            if until is not None and line.get("step", 0) > until:
                break
            step.append(line)
            if not line.get("left"):
                self.take_read(step)
                step = []
        return self

    def take_read(self, step):
        """Apply the lines of one step that was read from a file; InputError if they are invalid."""
        try:
            self._check(step)
            return self.take(step)
        except InputError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            what = f"journal, line {step[-1].get('n')} makes no sense ({brief(error)})"
            raise InputError(f"{what}. Fix it, or move the file away.") from error

    def take(self, lines):
        """Apply the lines of one step; return it as a Step, or None if they are not one."""
        first = lines[0]
        self.is_clean = first["op"] in ("close", "journal")
        for line in lines:
            self._note(line)
        if "step" not in first:
            return None
        self.last_step, self.changed[first["image"]] = first["step"], lines[-1]["n"]
        if first["session"] != OUTSIDE:
            self.seen[first["session"], first["edit"]] = first["image"]
        if first["op"] in ("undo", "redo"):
            return self._turn(first)
        return self._do(lines)

    def _note(self, line):
        """Remember what a line says about files and models."""
        if line["op"] == "learnt":
            self.learnt = line
        for op, saves in (("save", self.saves), (SAVE_REGIONS, self.region_saves)):
            if line["op"] == op:
                saves[line["image"]] = [*saves.get(line["image"], []), line][-2:]

    def _check(self, lines):
        """Raise TypeError or ValueError if no edit can have written these lines."""
        for line in lines:
            image = line.get("image")
            if image is not None:
                if not isinstance(image, str):
                    raise TypeError(f"image is {image!r}")
                if image not in self._images_known:
                    _check_image(image)
                    self._images_known.add(image)
            if line["op"] in ("add", "move", "label", "reject"):
                _check_point(line)
            if line["op"] in ("region", "unregion"):
                _check_region(line)
            for key in _REPEATED & line.keys():  # shared strings need a fifth of the memory
                line[key] = sys.intern(line[key])

    def _do(self, lines):
        first, annotation = lines[0], self.annotation(lines[0]["image"])
        op = OUTSIDE if first["session"] == OUTSIDE else first["op"]
        changes = []
        for line in lines:
            for kind, key, value in _effects(line, annotation):
                changes.append(Change(kind, key, annotation.get(kind, key), value))
                annotation.put(kind, key, value)
        step = Step(first["step"], first["image"], op, tuple(changes))
        if op != OUTSIDE:
            self.done.append(step)
            self.undone.clear()
            if len(self.done) > 2 * self.kept:
                self.forgotten += len(self.done) - self.kept
                del self.done[: -self.kept]
        return step

    def _turn(self, line):
        """Undo or redo the last step, except what another program has changed since."""
        back = line["op"] == "undo"
        source, target = (self.done, self.undone) if back else (self.undone, self.done)
        number = line["undoes" if back else "redoes"]
        if back and not source and self.forgotten:
            raise ForgottenError
        if not source or source[-1].number != number:
            what = f"would {line['op']} step {number}, not the last"
            raise InputError(f"journal, line {line['n']} {what}. Fix it, or move the file away.")
        step, annotation, changes = source.pop(), self.annotation(line["image"]), []
        for change in reversed(step.changes) if back else step.changes:
            old, new = (change.after, change.before) if back else (change.before, change.after)
            if annotation.exchange(change, old, new):
                changes.append(Change(change.kind, change.id, old, new))
        note = f"{'undid' if back else 'redid'}: {describe_step(step)} in {step.image}"
        if n_left := len(step.changes) - len(changes):
            note += f", except {n_left} changed outside since"
        done = [c._replace(before=c.after, after=c.before) for c in changes[::-1]]
        target.append(step._replace(changes=tuple(done if back else changes)))
        return Step(step.number, step.image, line["op"], tuple(changes), note)


def replay(lines, *, until=None):
    """Return the annotation that a journal's lines lead to, as a dict of image to Annotation.

    Parameters
    ----------
    lines : list of dict
        As `read_journal` returns them.
    until : int, optional
        The last step to apply; 0 applies none. Default: all.
    """
    return History().take_all(lines, until=until).images


def _check_image(name):
    """Raise ValueError if a name would lead out of the folder."""
    if not name or name[0] == "/" or ".." in name.split("/"):
        raise ValueError(f"image {name!r} is not the name of an image in this folder")


def _check_point(line):
    """Raise TypeError or ValueError if a line's point is invalid."""
    for key in ("x", "y"):
        if type(line[key]) not in (int, float) or not math.isfinite(line[key]):
            raise TypeError(f"{key} is {line[key]!r}")
    for key in ("id", "label", "source"):
        if type(line[key]) is not str:
            raise TypeError(f"{key} is {line[key]!r}")
    if type(line["score"]) not in (int, float, type(None)):
        raise TypeError(f"score is {line['score']!r}")


def _check_region(line):
    """Raise TypeError or ValueError if a line's region is invalid."""
    if type(line["id"]) is not str:
        raise TypeError(f"id is {line['id']!r}")
    try:
        check_rings(line["rings"])
    except InputError as error:
        raise ValueError(str(error)) from error


def _effects(line, annotation):
    """Yield (kind, id, value) of what one line of a step sets."""
    op = line["op"]
    if op in ("save", SAVE_REGIONS):
        return
    if op == "mark":
        yield "mark", "", "" if line["mark"] == "unlabelled" else line["mark"]
        return
    if op in ("region", "unregion"):
        yield "regions", line["id"], None if op == "unregion" else check_rings(line["rings"])
        return
    if op == "add":
        mark = line.get("mark", "" if annotation.mark in ALONE else annotation.mark)
        if mark != annotation.mark:
            yield "mark", "", mark
    point = Point(*_point_fields(line))
    kind = "rejected" if op == "reject" else "points"
    yield kind, line["id"], None if op == "delete" else point


def describe_step(step):
    """Return a step in words: `add 3 points`, `mark empty`."""
    if step.op == "mark":
        marks = [change.after for change in step.changes if change.kind == "mark"]
        return f"mark {marks[0] or 'unlabelled'}"
    verb, kind, what = _WORDS.get(step.op, (step.op, "points", "point"))
    n = sum(change.kind == kind for change in step.changes)
    return f"{verb} {plural(n, what)}"


def edit_lines(edit, annotation, *, classes):
    """Return the lines of a user's edit, checked; an empty list if nothing changes.

    Parameters
    ----------
    edit : dict
        With "op" and, as that needs them, "points" (id, x, y, label, source, score), "regions"
        (id, rings) or "mark".
    annotation : Annotation
        The current one of the image, with its shape.
    classes : tuple of str
    """
    op, points = edit.get("op"), edit.get("points")
    if op == "mark":
        return _mark_lines(edit, annotation)
    if op in ("region", "unregion"):
        return _region_lines(op, edit.get("regions"), annotation)
    if op not in _NEW:
        known = ", ".join([*_NEW, "region", "unregion", "mark", "undo", "redo"])
        raise InputError(f"op {op!r} is not known; expected {known}.")
    if not isinstance(points, list) or not points or not all(isinstance(p, dict) for p in points):
        raise InputError(f"{op} has no points; expected a list of them, each with its id.")
    known = annotation.rejected if op == "reject" else annotation.points
    _check_ids([point.get("id") for point in points], known, is_new=op in ("add", "reject"))
    if op in ("add", "move", "reject"):
        places = [(point.get("x"), point.get("y")) for point in points]
        places = check_points(places, shape=annotation.shape, name="points").tolist()
        points = [point | {"x": x, "y": y} for point, (x, y) in zip(points, places, strict=True)]
    lines = []
    for point in points:
        old = known.get(point["id"])
        new = _NEW[op](old, point)
        if new.label not in classes:
            raise InputError(f"class {new.label!r} is not one of {', '.join(classes)}.")
        if new != old or op == "delete":
            lines.append({"op": op, "id": point["id"], **new._asdict()})
    # the first point starts an image; a recording says whether it did so there
    if op == "add" and not annotation.points and edit.get("mark", "started") == "started":
        lines[0]["mark"] = "started"
    return lines


def _mark_lines(edit, annotation):
    """Return the lines of a mark; "whole" says of "done" that it holds outside the regions too."""
    mark, n = edit.get("mark"), len(annotation.points)
    if mark not in MARKS:
        raise InputError(f"mark {mark!r} is not known; expected {', '.join(MARKS)}.")
    if mark == "done" and not n:
        mark = "empty"  # looked, nothing here
    if n and mark in (*ALONE, "unlabelled"):
        what = "1 point here: delete it" if n == 1 else f"{n:,} points here: delete them"
        raise InputError(f"{what} first (Ctrl+A, Delete).")
    if mark == "started" and not n:
        raise InputError("There is no point here: this image is not started yet.")
    is_new = annotation.state != {"done": "labelled"}.get(mark, mark)
    lines = [{"op": "mark", "mark": mark}] if is_new else []
    return lines + (_unregion_all(annotation) if edit.get("whole") else [])


def _unregion_all(annotation):
    return [{"op": "unregion", "id": key, "rings": r} for key, r in annotation.regions.items()]


def _region_lines(op, regions, annotation):
    if not isinstance(regions, list) or not all(isinstance(r, dict) for r in regions):
        raise InputError(f"{op} has no regions; expected a list of them, each with its id.")
    known = annotation.regions
    ids = [region.get("id") for region in regions]
    if op == "unregion":
        _check_ids(ids, known, is_new=False)
        return [{"op": op, "id": key, "rings": known[key]} for key in ids]
    _check_ids([key for key in ids if key not in known], known, is_new=True)
    lines = []
    for key, region in zip(ids, regions, strict=True):
        rings = _inside(check_rings(region.get("rings")), annotation.shape)
        if rings != known.get(key):
            lines.append({"op": op, "id": key, "rings": rings})
    return lines


def check_rings(rings):
    """Return an area's rings as tuples of (x, y) floats; InputError if they are not rings."""
    try:
        rings = tuple(tuple((float(x), float(y)) for x, y in ring) for ring in rings)
        good = rings and all(len(ring) >= 3 and np.isfinite(ring).all() for ring in rings)
    except (TypeError, ValueError):
        good = False
    if not good:
        raise InputError("a region's outline is invalid; expected three or more corners (x, y).")
    return rings


def _inside(rings, shape):
    """Return rings with their corners moved onto the image, to a thousandth of a pixel."""
    if shape is None:
        return rings
    limit = np.array(shape[::-1]) - 0.5
    moved = [np.clip(np.round(ring, 3), -0.5, limit) for ring in rings]
    if any(np.ptp(ring, axis=0).min() < 1 for ring in moved):
        raise InputError("This region is less than a pixel wide. Draw it again, larger.")
    return tuple(tuple(map(tuple, ring.tolist())) for ring in moved)


def _check_ids(ids, known, *, is_new):
    for key in ids:
        if not isinstance(key, str) or not _ID.fullmatch(key):
            raise InputError(f"id {key!r} is invalid; expected six hex digits, a dash, a number.")
        if is_new == (key in known):
            raise InputError(f"id {key} is {'already in use' if is_new else 'not in this image'}.")
    if len(set(ids)) < len(ids):
        raise InputError("An id occurs twice in one edit; expected each once.")


def _new_point(_, point):
    source, score = point.get("source", "hand"), point.get("score")
    if source not in SOURCES:
        raise InputError(f"source {source!r} is not one of {', '.join(SOURCES)}.")
    if score is not None and not (isinstance(score, int | float) and math.isfinite(score)):
        raise InputError(f"score is {score!r}; expected a number or None.")
    return Point(point["x"], point["y"], point.get("label"), source, score)


_NEW = {  # for each op: the new point, from the old one and the edit
    "add": _new_point,
    "reject": lambda old, new: _new_point(old, {**new, "source": SUGGESTED}),
    "move": lambda old, new: old._replace(x=new["x"], y=new["y"]),
    "label": lambda old, new: old._replace(label=new.get("label")),
    "delete": lambda old, _: old,
}
