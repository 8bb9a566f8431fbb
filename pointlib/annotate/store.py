"""The store: keeps a folder's history, journal, text files and regions' files consistent.

A change is journalled, then applied; its files follow when `save` is called. Before an image is
shown, edited or saved, `look` checks whether another program wrote one of them: the file wins, and
the difference becomes a step of the journal that cannot be undone. The journal records a file's
digest ("save", "save-regions") before the file is written, so that our own writing is never
mistaken for another program's, whenever the process ends.

Not about users' edits, threads and listeners: ledger.py.
"""

import itertools
import os
import shutil
import threading
from collections import Counter

from pointlib.annotate.areas import areas_content, areas_difference, read_areas, scaled_rings
from pointlib.annotate.journal import Journal, read_steps
from pointlib.annotate.steps import (
    OUTSIDE,
    SAVE_REGIONS,
    Annotation,
    ForgottenError,
    History,
    Point,
)
from pointlib.annotate.texts import (
    Saved,
    Text,
    check_classes,
    difference,
    digest,
    read_bytes,
    read_labels,
    signature,
    text_lines,
    wrong_label,
)
from pointlib.dataset import STARTED
from pointlib.errors import InputError, plural, suggest
from pointlib.files import keep_copy, move, write_atomic
from pointlib.images import check_names, image_shape, list_images, relative_name
from pointlib.points import read_points, text_path
from pointlib.regions import regions_path

KEPT = 10_000  # steps kept in memory for undo; for older ones the journal is read again


class Store:
    """The annotation of one folder. All methods except `save` require `lock` to be held.

    Attributes
    ----------
    paths : dict of str to Path
        The images by name, sorted.
    classes : tuple of str
    history : History
    journal : Journal
    unsaved : set of str
        Images of which a file is out of date.
    news : list of dict
        Events for the listeners; whoever sends them clears the list.
    """

    def __init__(self, folder, session, classes):
        self.folder, self.lock, self.unsaved, self.news = folder, threading.RLock(), set(), []
        self.paths = {relative_name(path, folder): path for path in list_images(folder)}
        check_names((str(folder), *self.paths))
        self._texts, self._areas = {}, {}  # what is known about the files of each image
        self._listed = -1  # the step up to which the list of started images holds
        self.history = History(kept=KEPT)
        try:
            self.journal = Journal(folder, session, on_step=self.history.take_read)
        except ForgottenError:  # a session undid more steps than that
            self.history = History()
            self.journal = Journal(folder, session, on_step=self.history.take_read)
        try:
            known = self._journalled()
            new = {n: p for n, p in self.paths.items() if n not in known}
            new = {n: p for n, p in new.items() if os.path.lexists(text_path(p))}
            self._raw = read_labels(new)
            self.set_classes(classes)
            self._open(session)
        except BaseException:
            self.journal.close(is_clean=False)
            raise

    def remember(self):
        """Read the steps to undo that are no longer in memory from the journal."""
        if self.history.forgotten:
            whole = History()
            read_steps(self.journal.path, whole.take_read)
            self.history.done, self.history.forgotten = whole.done, 0
            self.history.kept = whole.kept

    def set_classes(self, classes):
        """Change the classes that points may have; InputError if some have another."""
        found = {text_path(self.paths[n]): set(counts) for n, (_, counts) in self._raw.items()}
        annotations = self.history.images.items()
        found |= {self.paths[n]: set(+r.counts) for n, r in annotations if n in self.paths}
        self.classes = check_classes(classes, found)

    def check_name(self, name):
        """Return the name of an image, or raise InputError if there is no such image."""
        if name not in self.paths:
            raise InputError(f"{self.folder} has no image {name!r}. {suggest(name, self.paths)}")
        return name

    def summary(self, name):
        """Return state and counts of an image, loaded or not."""
        if name in self._raw:
            state, counts = self._raw[name]
            return state, counts if self._has_labels else Counter(point=counts.total())
        annotation = self.history.images.get(name)
        return (annotation.state, annotation.counts) if annotation else ("unlabelled", Counter())

    def outcome(self, sender, name, op, *, step=None, is_duplicate=False):
        """Return the outcome of an edit, as `Ledger.apply` describes it."""
        state, counts = self.summary(name)
        of = {"points": {}, "rejected": {}, "regions": {}, "mark": {}}
        for change in step.changes if step else ():
            of[change.kind][change.id] = change.after
        changes, rejections = (
            [{"id": key, "point": point and point._asdict()} for key, point in of[kind].items()]
            for kind in ("points", "rejected")
        )
        return {
            "session": sender[0],
            "edit": sender[1],
            "n": self.journal.n,
            "image": name,
            "op": op,
            "changes": changes,
            "rejections": rejections,
            "regions": [{"id": key, "rings": rings} for key, rings in of["regions"].items()],
            "mark": self.history.images[name].mark if name in self.history.images else "",
            "state": state,
            "counts": {label: counts[label] for label in self.classes},
            "total": counts.total(),
            "note": step.note if step else "",
            "duplicate": is_duplicate,
        }

    def notice(self, level, text):
        """Queue a notice for the listeners; `level` is "info", "warning" or "error"."""
        self.news.append({"type": "notice", "level": level, "text": text})

    def commit(self, name, lines, sender):
        """Journal the lines of one step, then apply them; return the Step."""
        step, last = self.history.last_step + 1, len(lines) - 1
        head = {"session": sender[0], "edit": sender[1], "step": step}
        lines = [{**head, "left": last - i, "image": name, **x} for i, x in enumerate(lines)]
        step = self._write(lines)
        if name in self.paths:
            self.unsaved.add(name)
        return step

    def note(self, line):
        """Journal a line that is no step."""
        self._write([line])

    def look(self, name):
        """Return the annotation of an image, updated with what others did to it and its files.

        InputError if the image or one of its files cannot be used.
        """
        text, path = self._texts.setdefault(name, Text()), text_path(self.paths[name])
        areas, outlines = self._areas.setdefault(name, Text()), regions_path(self.paths[name])
        annotation = self.history.annotation(name)
        if (picture := signature(self.paths[name])) != text.picture:
            shape = image_shape(self.paths[name])
            if annotation.shape not in (None, shape):
                self._resize(name, annotation, text, shape)
            annotation.shape, text.picture = shape, picture
        if text.is_foreign(path):
            self._take_over(name, annotation, text, path)
        if areas.is_foreign(outlines):
            self._take_over_regions(name, annotation, areas, outlines)
        self._raw.pop(name, None)
        return annotation

    def save(self, name):
        """Write an image's files: each to a temporary file, its line in the journal, then the move.

        Holds the lock only briefly, so that edits need not wait. InputError or OSError if one
        cannot be written: the image then stays unsaved.
        """
        with self.lock:
            if self._is_put_aside(name):
                self.unsaved.discard(name)
                return
            annotation, upto = self.look(name).copy(), self.history.changed.get(name, 0)
            self.unsaved.discard(name)
        text, areas, image = self._texts[name], self._areas[name], self.paths[name]
        try:
            content, outlines = self._content(annotation), areas_content(annotation.regions)
            self._save_file(name, annotation, text, text_path(image), content, upto)
            if digest(outlines) != areas.disk.digest or areas.disk != areas.saved:
                self._save_file(name, annotation, areas, regions_path(image), outlines, upto)
        except (InputError, OSError):
            self.unsaved.add(name)
            raise

    def list_started(self):
        """Write the names of images that are started and have no regions: trainings say so."""
        with self.lock:
            step, images = self.history.last_step, self.history.images
            if step == self._listed:
                return
            self._listed = step
            known = ((name, images[name]) for name in self.paths if name in images)
            names = [n for n, one in known if one.state == "started" and not one.regions]
        path = self.folder / STARTED
        if names or path.exists():
            write_atomic(path, "".join(f"{name}\n" for name in names))

    def _save_file(self, name, annotation, text, path, content, upto):
        """Bring one of an image's files up to date."""
        saved, ready = Saved(digest(content), upto), self._ready(path)
        is_new = text.disk.digest != saved.digest
        if is_new and content is not None:
            write_atomic(ready, content)
        with self.lock:
            self._announce(name, annotation, text, saved)
        self.journal.sync()
        if signature(path) != text.signature:
            self.unsaved.add(name)  # another program just wrote it: look at it first, next time
            return
        self.journal.check()  # a last check that the journal is still ours
        if is_new:
            if text.is_theirs:  # it may say more than we read
                keep_copy(path)
            _put(ready, path, is_wanted=content is not None)
        with self.lock:
            text.disk, text.signature = saved, None  # None: look compares digests next
            text.is_theirs = False

    def _ready(self, path):
        """Return where a file is written before it is put in its place: beside the journal."""
        own = relative_name(path, self.folder).replace("/", "%2F")  # one name for each
        return self.journal.path.with_name(own)

    def _is_put_aside(self, name):
        """Return whether an image was skipped and has no file: there is nothing to write."""
        annotation = self.history.annotation(name)
        files = [known.get(name, Text()).saved.digest for known in (self._texts, self._areas)]
        is_bare = not (annotation.points or annotation.regions or any(files))
        return annotation.mark in ("", "skipped") and is_bare

    def _journalled(self):
        return self.history.changed.keys() | self.history.saves.keys()

    def _open(self, session):
        """Journal the opening, and check the text files of all images that the journal knows."""
        is_clean = self.history.is_clean and not self.journal.read_only
        if self.journal.repaired:
            self.notice("warning", self.journal.repaired)
        if not self.journal.read_only:
            self._write([{"session": session, "op": "open"}])
        for name in sorted(self._journalled() & self.paths.keys()):
            lines = self.history.saves.get(name, [])
            text = self._texts[name] = Text(lines, is_clean=is_clean)
            annotation = self.history.annotation(name)
            outlines = self.history.region_saves.get(name, [])
            areas = self._areas[name] = Text(outlines, is_clean=is_clean)
            if lines:
                annotation.shape = lines[-1]["height"], lines[-1]["width"]
            try:
                foreign = [
                    one
                    for one, path_of in ((text, text_path), (areas, regions_path))
                    if one.is_foreign(path_of(self.paths[name]))
                ]
                for one in foreign:
                    one.disk = one.saved  # most likely changed by others after our last save
                is_late = self.history.changed.get(name, 0) > text.disk.upto
                if is_late or text.disk != text.saved or areas.disk != areas.saved:
                    self.unsaved.add(name)
                if foreign:
                    self.look(name)
            except InputError as error:
                self.unsaved.add(name)  # checked again until it is fixed
                self.notice("error", str(error))

    def _write(self, lines):
        """Journal lines and add them to the history; only the latter if read-only."""
        try:
            if self.journal.read_only:
                lines = [{"n": 0, **line} for line in lines]
            else:
                lines = self.journal.append(lines)
            return self.history.take(lines)
        except InputError:
            raise
        except BaseException:  # Ctrl+C between the two: the history may lag behind the journal
            self.journal.read_only = "An edit was interrupted. Run this cell again."
            raise

    def _announce(self, name, annotation, text, saved):
        """Journal what a file is going to hold, so that it is recognised as ours.

        If a save failed, its current content is journalled first: the last two lines count as ours.
        """
        if text.saved != saved:
            both = [saved] if text.disk == text.saved else [text.disk, saved]
            op = self._op(name, text)
            self._write([{"image": name, **_save_line(annotation, one, op)} for one in both])
            text.saved = saved

    def _op(self, name, text):
        """Return the op of the journal's lines on a file."""
        return "save" if text is self._texts[name] else SAVE_REGIONS

    def _take_over(self, name, annotation, text, path):
        """Journal and apply what another program wrote into the text file of an image."""
        now = signature(path)
        if text.error and now == text.signature:
            raise InputError(text.error)
        found = digest(read_bytes(path))
        try:
            points = self._read(path, annotation.shape) if found else []
        except InputError as error:
            text.error, text.signature = f"{error} Until then {name} cannot be edited.", now
            raise InputError(text.error) from error
        is_waiting = name in self.unsaved
        base = self._base(name, text, annotation) if is_waiting else annotation
        added, gone = difference(points, annotation, base, has_labels=self._has_labels)
        lines = [{"op": "delete", "id": key, **annotation.points[key]._asdict()} for key in gone]
        if not points and not is_waiting:
            mark = "empty" if found else "" if annotation.mark == "empty" else annotation.mark
            lines += [{"op": "mark", "mark": mark or "unlabelled"}] * (mark != annotation.mark)
        ids = _new_ids(digest(f"{name} {found}".encode()), annotation.points)
        adds = [{"op": "add", "id": next(ids), **point._asdict()} for point in added]
        if adds and not annotation.points:
            adds[0]["mark"] = ""  # that program says nothing of more points to come
        lines += adds
        self._commit_outside(name, lines, text, found)
        text.signature, text.error = now, ""
        if lines and name not in self._raw:
            moved = f"{len(added)} points added, {len(gone)} removed"
            change = moved if added or gone else f"now {lines[0]['mark']}"
            self.notice(
                "warning",
                f"{relative_name(path, self.folder)} was changed by another program: {change}.",
            )

    def _take_over_regions(self, name, annotation, areas, path):
        """Journal and apply what another program wrote into the regions' file of an image."""
        now = signature(path)
        if areas.error and now == areas.signature:
            raise InputError(areas.error)
        found = digest(read_bytes(path))
        try:
            outlines = read_areas(path, annotation.shape)
        except InputError as error:
            areas.error, areas.signature = f"{error} Until then {name} cannot be edited.", now
            raise InputError(areas.error) from error
        is_waiting = name in self.unsaved
        base = self._base(name, areas, annotation) if is_waiting else annotation
        added, gone = areas_difference(outlines, annotation.regions, base.regions)
        kept = annotation.regions
        lines = [{"op": "unregion", "id": key, "rings": kept[key]} for key in gone]
        ids = _new_ids(digest(f"{name} regions {found}".encode()), kept)
        lines += [{"op": "region", "id": next(ids), "rings": rings} for rings in added]
        is_first = not areas.saved.digest
        self._commit_outside(name, lines, areas, found)
        areas.signature, areas.error, areas.is_theirs = now, "", bool(found)
        if lines and not is_first:
            change = f"{plural(len(added), 'region')} added, {len(gone)} removed"
            self.notice(
                "warning",
                f"{relative_name(path, self.folder)} was changed by another program: {change}.",
            )

    def _resize(self, name, annotation, text, shape):
        """Move the points of an image that was resized; its text file (fractions) stays valid."""
        (height, width), lines = annotation.shape, []
        for op, points in (("move", annotation.points), ("reject", annotation.rejected)):
            for key, p in points.items():
                x, y = (p.x + 0.5) * shape[1] / width - 0.5, (p.y + 0.5) * shape[0] / height - 0.5
                lines.append({"op": op, "id": key, **p._replace(x=x, y=y)._asdict()})
        scale = shape[1] / width, shape[0] / height
        for key, rings in annotation.regions.items():
            lines.append({"op": "region", "id": key, "rings": scaled_rings(rings, scale)})
        if not lines:
            return
        annotation.shape = shape
        try:
            self._commit_outside(name, lines, text, text.disk.digest)
        except InputError:
            annotation.shape = height, width
            raise
        is_alike = abs(shape[0] - shape[1] * height / width) <= 1
        what = "was resized" if is_alike else "has different proportions now (rotated? cropped?)"
        self.notice("warning", f"{name} {what}; its points keep their relative positions.")

    def _commit_outside(self, name, lines, text, found):
        """Journal what others did, with the digest of their file; notify the listeners.

        Unsaved edits are not in that file, so its `upto` stays.
        """
        is_waiting, annotation = name in self.unsaved, self.history.annotation(name)
        saved = Saved(found, text.disk.upto if is_waiting else self.journal.n + len(lines) + 1)
        said = _save_line(annotation, saved, self._op(name, text))
        step = self.commit(name, [*lines, said], (OUTSIDE, None))
        text.disk = text.saved = saved
        if not is_waiting:
            self.unsaved.discard(name)
        if name not in self._raw:
            outcome = self.outcome((OUTSIDE, None), name, OUTSIDE, step=step)
            self.news.append({"type": "changed", **outcome})

    def _read(self, path, shape):
        """Return the Points of a text file; a class new to the folder is added to its classes."""
        places, labels = read_points(path, shape)
        labels = labels.tolist() if self._has_labels else [name or "point" for name in labels]
        if new := sorted(set(labels) - set(self.classes)):
            if not self._has_labels or not new[0]:
                raise wrong_label(path, new[0], self.classes)
            self.classes += tuple(new)
            self.notice(
                "warning", f"{relative_name(path, self.folder)} has a new class: {', '.join(new)}."
            )
        rows = zip(places.tolist(), labels, strict=True)
        return [Point(x, y, str(label), OUTSIDE) for (x, y), label in rows]

    def _base(self, name, text, annotation):
        """Return the annotation of an image as it was when its text file was last saved."""
        then = History()
        read_steps(self.journal.path, then.take_read, until=text.disk.upto)
        base = then.images.get(name, Annotation())
        base.shape = annotation.shape
        return base

    def _content(self, annotation):
        """Return the bytes of an image's text file, None if there should be none."""
        if not annotation.points:
            return b"" if annotation.mark == "empty" else None
        points = annotation.points.values()
        return "".join(text_lines(points, annotation.shape, has_labels=self._has_labels)).encode()

    @property
    def _has_labels(self):
        return self.classes != ("point",)


def _put(ready, path, *, is_wanted):
    """Move the temporary file over the text file, or delete the text file."""
    if not is_wanted:
        path.unlink(missing_ok=True)
        return
    if path.exists():
        shutil.copymode(path, ready)
    move(ready, path)


def _new_ids(text, known):
    """Yield ids that depend only on `text`, so that a recording can be replayed on a copy."""
    ids = (f"{text[:6]}-{i}" for i in itertools.count(1))
    return (key for key in ids if key not in known)


def _save_line(annotation, saved, op):
    height, width = annotation.shape
    return {"op": op, **saved._asdict(), "width": width, "height": height}
