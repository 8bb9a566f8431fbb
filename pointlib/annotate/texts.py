"""Text files as the annotator sees them: who wrote an image's file, and how it differs.

A file is identified by the SHA-1 of its bytes, "" if there is none. Its time, size and inode,
which are cheap to read, tell whether it may have changed.

Not about writing it, nor about what a difference leads to: store.py.
"""

import hashlib
import os
from codecs import BOM_UTF8
from collections import Counter
from typing import NamedTuple

from pointlib.errors import InputError
from pointlib.files import NAME_FAULTS, is_name
from pointlib.points import format_points, text_path


class Saved(NamedTuple):
    """Content of a text file: its digest, and the number of the last journal line in it."""

    digest: str = ""
    upto: int = 0


class Text:
    """What is known about one text file, or regions' file.

    Parameters
    ----------
    lines : list of dict
        The last two "save" lines of the journal on this file.
    is_clean : bool
        Whether the file is known to have been written after the last of them.

    Attributes
    ----------
    disk, saved : Saved
        What is on disk, and what should be. They differ while the file is being written.
    signature, picture : tuple or None
        Of the text file and of the image, when last read.
    error : str
        "", or why the file cannot be used.
    is_theirs : bool
        Whether another program wrote what is on disk.
    """

    def __init__(self, lines=(), *, is_clean=True):
        saves = [Saved(), *(Saved(line["digest"], line["upto"]) for line in lines)]
        self.saved = saves[-1]
        self.disk = self.saved if is_clean else saves[-2:][0]
        self.signature, self.picture, self.error = None, None, ""
        self.is_theirs = False

    def is_foreign(self, path):
        """Return whether another program wrote the file since the last look, or it is invalid."""
        now = signature(path)
        if now == self.signature:
            return bool(self.error)
        found = digest(read_bytes(path))
        if found not in (self.disk.digest, self.saved.digest):
            return True
        self.disk = self.saved if found == self.saved.digest else self.disk
        self.signature, self.error = now, ""
        return False


def signature(path):
    """Return a tuple that changes when a file is written; () if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_bytes(path):
    """Return a file's bytes, None if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error


def digest(data):
    """Return the SHA-1 of bytes in hexadecimal, "" for None."""
    return "" if data is None else hashlib.sha1(data, usedforsecurity=False).hexdigest()


def read_labels(paths):
    """Return {name: (state, label counts)} of the images that have a text file; none is parsed."""
    found = {}
    for name, path in paths.items():
        if (data := read_bytes(text_path(path))) is not None:
            lines = data.removeprefix(BOM_UTF8).splitlines()
            rows = [line.split(b",") for line in lines if line.strip()]
            labels, counts = Counter(b"".join(r[2:]) for r in rows if len(r) in (2, 3)), Counter()
            for label, n in labels.items():
                counts[label.decode(errors="replace").strip()] += n
            found[name] = "labelled" if rows else "empty", counts
    return found


def check_classes(classes, labels):
    """Return the classes as a tuple, after checking that every label is one of them.

    Parameters
    ----------
    classes : sequence of str or None
        None: those of the labels, or ("point",). A folder with only this class has no labels.
    labels : dict of Path to set of str
        Those in each file.
    """
    if classes is None:
        classes = sorted(set().union(*labels.values()) - {"", "point"}) or ["point"]
    classes = (classes,) if isinstance(classes, str) else tuple(dict.fromkeys(classes))
    if not classes or not all(map(is_name, classes)):
        raise InputError(
            f"classes are {list(classes)}; expected at least one name, without {NAME_FAULTS}."
        )
    known = {*classes, ""} if classes == ("point",) else {*classes}
    for path, found in labels.items():
        if found - known:
            raise wrong_label(path, min(found - known), classes)
    return classes


def wrong_label(path, label, classes):
    """Return an InputError about a label that is not one of the classes."""
    known = ", ".join(classes)
    if not label:
        return InputError(f"{path} has points without a class; expected {known}. Name each.")
    if classes == ("point",):
        what = f"{path} has class {label!r} in a folder without classes"
        return InputError(f"{what}. Open it with classes=(...).")
    return InputError(f"{path} has class {label!r}; expected {known}. Name this class too.")


def text_lines(points, shape, *, has_labels):
    """Return the line of each Point in a text file."""
    labels = [p.label if has_labels else "" for p in points]
    return format_points([(p.x, p.y) for p in points], labels, shape)


def difference(found, annotation, base, *, has_labels):
    """Return the points that are new in a text file, and the ids of those missing from it.

    Parameters
    ----------
    found : list of Point
        The current content of the text file.
    annotation, base : Annotation
        The image's current one, and the one last saved to the file. What changed between the two
        is not in the file yet, so a point missing there was deleted only if `base` had it.
    """
    waiting = {}
    for owner in (annotation,) if base is annotation else (annotation, base):
        lines = text_lines(owner.points.values(), annotation.shape, has_labels=has_labels)
        for (key, point), line in zip(owner.points.items(), lines, strict=True):
            if owner is annotation or annotation.points.get(key) != point:
                waiting.setdefault(line, []).append(key)
    kept, added = set(), []
    lines = text_lines(found, annotation.shape, has_labels=has_labels)
    for point, line in zip(found, lines, strict=True):
        if waiting.get(line):
            kept.add(waiting[line].pop(0))
        else:
            added.append(point)
    return added, [key for key in base.points if key in annotation.points and key not in kept]
