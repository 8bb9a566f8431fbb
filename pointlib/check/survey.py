"""Survey: look at every image and text of a folder once, and stop at none of them.

About single files: what they hold, and what is wrong with them. Not about how they fit together
as a dataset: folder.py judges that.
"""

import hashlib
import math
import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pointlib.errors import InputError
from pointlib.images import IMAGE_SUFFIXES, Header, open_image
from pointlib.points import read_points, text_path

PIXEL_BYTES = 200_000_000  # of pixels decoded in one survey, if not all: some seconds
LOTS = 1000  # that threads take in turn, of one image or more: handing over takes time
TEXT_BYTES = 50_000_000  # a text above that holds no points that anyone clicked
DOUBLED = 0.5  # px: two points nearer than that are one click too many
NOT_PICTURES = (".avif", ".czi", ".dcm", ".heic", ".jp2", ".lif", ".nd2", ".npy", ".svs")
PIECE = 4096  # bytes compared before two files are read whole
ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}  # of JPEG and PNG, by their first two bytes
NO_POINTS, NO_LABELS = np.empty((0, 2)), np.empty(0, dtype=str)


class Finding(NamedTuple):
    """One thing that is wrong, or worth knowing."""

    kind: str
    severity: str  # "problem" or "note"
    file: str  # its name in the folder; "" for the folder itself
    text: str = ""  # a sentence, unless the kind says it all
    line: int | None = None


class Seen(NamedTuple):
    """An image and its text, as far as they could be read."""

    path: Path
    header: Header | None = None  # None where the image cannot be read
    error: str = ""  # why not
    decoded: bool = False  # its pixels were read, not its header alone
    flat: bool = False  # all pixels read are alike
    state: str = "unlabelled"  # "empty", "labelled", or "unreadable": its text cannot be read
    text_error: str = ""
    points: np.ndarray = NO_POINTS  # (N, 2) pixels
    labels: np.ndarray = NO_LABELS  # (N,) str

    @property
    def usable(self):
        """Whether a training could take it."""
        return self.header is not None and self.state in ("empty", "labelled")


def list_entries(folder):
    """Return the `os.DirEntry`s of a folder that are not hidden, sorted by name."""
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if e.name[0] != "."), key=lambda entry: entry.name)


def list_files(folder):
    """Return what bears an image's suffix and what bears a text's, sorted; hidden ones not.

    Links to nothing are in; folders are not.
    """
    paths = [Path(entry) for entry in list_entries(folder) if not entry.is_dir()]
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    return images, [path for path in paths if path.suffix.lower() == ".txt"]


def survey(paths, *, every_pixel=False, on_image=None):
    """Look at images and their texts.

    Parameters
    ----------
    paths : list of Path
    every_pixel : bool
        Decode all images. Otherwise those that end as a cut-off file does, and of the others as
        many, evenly spread, as `PIXEL_BYTES` allows; of the rest the header is read.
    on_image : callable, optional
        Called with (name, number done, number of all) after each.

    Returns
    -------
    list of Seen
        In the order of `paths`.
    """
    budget = math.inf if every_pixel else PIXEL_BYTES / max(1, len(paths))
    look, found = partial(_look, budget=budget), []
    step = 1 + len(paths) // LOTS
    lots = [range(len(paths))[i : i + step] for i in range(0, len(paths), step)]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # decoders let go of the GIL
        for some in pool.map(lambda lot: [look(paths[k], k) for k in lot], lots):
            for seen in some:
                found.append(seen)
                if on_image:
                    on_image(seen.path.name, len(found), len(paths))
    return found


def file_findings(images, texts):
    """Yield what is wrong with single images and texts, as Findings.

    `images` are Seen; `texts` paths of all texts beside them.
    """
    for seen in images:
        name, text = seen.path.name, text_path(seen.path).name
        if seen.error:
            yield Finding("unreadable image", "problem", name, seen.error)
        if seen.text_error:
            outside = "outside the image" in seen.text_error
            kind = "point outside its image" if outside else "unreadable text"
            line = re.search(r", line (\d+):", seen.text_error)
            yield Finding(kind, "problem", text, seen.text_error, line and int(line[1]))
        if seen.flat:
            what = f"every pixel is alike; points: {len(seen.points)}"
            yield Finding("blank image", "problem" if len(seen.points) else "note", name, what)
    if not images:
        yield Finding("no image", "problem", "", "the folder holds no image of a known kind.")
    elif not any(seen.usable for seen in images):
        what = "no image has a text file that can be read: annotate first, or convert other labels."
        yield Finding("nothing labelled", "problem", "", what)
    for state, kind in (("unlabelled", "not labelled yet"), ("empty", "labelled, nothing there")):
        yield from (
            Finding(kind, "note", s.path.name) for s in images if s.state == state and s.header
        )
    yield from _stems([seen.path for seen in images])
    yield from _texts(texts, {text_path(seen.path) for seen in images})


def _stems(paths):
    """Yield images that would share one text file."""
    first = {}
    for path in paths:
        if (other := first.setdefault(path.stem, path)) is not path:
            what = f"{other.name} and {path.name} would share {path.stem}.txt. Rename one."
            yield Finding("two images of one stem", "problem", path.name, what)


def _texts(texts, known):
    """Yield texts that belong to no image; those that hold points were meant for one."""
    for path in sorted(set(texts) - known):
        try:
            n_points = len(read_points(path, (1, 1))[0])
        except (InputError, OSError):
            n_points = 0
        what = f"points: {n_points}. Is its image missing, or called otherwise?" if n_points else ""
        yield Finding("text without an image", "problem" if n_points else "note", path.name, what)


def not_looked_at(folder, place, lists):
    """Yield what looks like a part of the dataset but is none, as Findings.

    `place` in `folder` holds the images; `lists` are names of texts that are no points.
    """
    entries = list_entries(place)
    for entry in entries:
        if Path(entry).suffix.lower() in NOT_PICTURES:
            what = "save it as PNG or TIFF to use it."
            yield Finding("file of another kind", "note", entry.name, what)
    for other in sorted({folder, *(Path(entry) for entry in entries if entry.is_dir())} - {place}):
        try:
            images, texts = list_files(other)
        except OSError:  # a folder we may not look into is none of ours
            continue
        texts = [path for path in texts if path.name not in lists]
        if images or (texts and other != folder):
            what = f"images: {len(images)}, texts: {len(texts)}; only {place} is looked at."
            yield Finding("images or texts elsewhere", "note", other.name, what)


def copies(paths):
    """Return the groups of files that are identical to the byte, each a list of paths."""
    groups = [list(paths)]
    for key in (os.path.getsize, _piece, _digest):  # dearer and dearer, of fewer and fewer
        split = []
        for group in groups:
            by_key = {}
            for path in group:
                by_key.setdefault(key(path), []).append(path)
            split += [same for same in by_key.values() if len(same) > 1]
        groups = split
    return groups


def _look(path, k, *, budget):
    """Return Seen of the k-th image; `budget` bytes of pixels an image are decoded on average."""
    seen = Seen(path)
    try:
        with open_image(path) as (header, read):
            n_bytes = math.prod(header.shape) * header.n_channels * header.dtype.itemsize
            if k % math.ceil(n_bytes / budget or 1) == 0 or not _ends_whole(path):
                pixels = read()
                seen = seen._replace(decoded=True, flat=bool(pixels.min() == pixels.max()))
        seen = seen._replace(header=header)
    except (InputError, OSError) as error:
        seen = Seen(path, error=str(error))
    text = text_path(path)
    if not os.path.lexists(text):
        return seen
    try:
        if text.is_file() and text.stat().st_size > TEXT_BYTES:
            raise InputError(f"{text} has {text.stat().st_size:,} bytes; expected some points.")
        points, labels = read_points(text, seen.header.shape if seen.header else (1, 1))
    except (InputError, OSError) as error:
        return seen._replace(state="unreadable", text_error=str(error))
    state = "labelled" if len(points) else "empty"
    return seen._replace(state=state, points=points, labels=labels)


def _ends_whole(path):
    """Return False where a JPEG or PNG does not end as such a file should."""
    with path.open("rb") as file:
        end = ENDS.get(file.read(2), b"")
        file.seek(-min(64, path.stat().st_size), os.SEEK_END)
        return end in file.read()


def _piece(path):
    with path.open("rb") as file:
        file.seek(max(0, os.path.getsize(path) // 2 - PIECE))  # headers are alike, the middle not
        return file.read(PIECE)


def _digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
