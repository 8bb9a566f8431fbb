"""Survey: read every image and text file of a folder once, without stopping at errors.

About single files: their contents, and what is wrong with them. Not about how they fit together as
a dataset: folder.py.
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
from pointlib.images import (
    IMAGE_SUFFIXES,
    Header,
    ImageTooLargeError,
    is_read,
    open_image,
    relative_name,
)
from pointlib.points import read_points, text_path
from pointlib.regions import SUFFIX, Regions, read_regions, regions_path
from pointlib.windows import picture_header

CHECK = "check.png"  # which `convert` draws beside images/
PIXEL_BYTES = 200_000_000  # of pixels decoded in one survey, if not all: takes some seconds
BATCHES = 1000  # at most, for the threads: one task per image would cost too much
TEXT_BYTES = 50_000_000  # a larger text file cannot be clicked points
DOUBLED = 0.5  # px: two points closer than this are an accidental double click
NOT_PICTURES = (".avif", ".czi", ".dcm", ".heic", ".jp2", ".lif", ".nd2", ".npy", ".svs")
PIECE = 4096  # bytes compared before whole files are
ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}  # of JPEG and PNG, by their first two bytes
NO_POINTS, NO_LABELS = np.empty((0, 2)), np.empty(0, dtype=str)


class Finding(NamedTuple):
    """One thing that is wrong, or worth knowing."""

    kind: str
    severity: str  # "problem" or "note"
    file: str  # its name in the folder; "" for the folder itself
    text: str = ""  # a sentence, if the kind does not say it all
    line: int | None = None


class Seen(NamedTuple):
    """An image and its text file, as far as they could be read."""

    path: Path
    called: str = ""  # its name in the dataset, with its folder if any
    header: Header | None = None  # None if the image cannot be read
    error: str = ""  # why the image cannot be read
    decoded: bool = False  # its pixels were read, not only its header
    flat: bool = False  # all pixels are equal
    state: str = "unlabelled"  # "empty", "labelled", or "unreadable": its text file cannot be read
    text_error: str = ""
    points: np.ndarray = NO_POINTS  # (N, 2) pixels
    labels: np.ndarray = NO_LABELS  # (N,) str
    regions: Regions | None = None  # what is labelled; None if all
    n_outside: int = 0  # points outside the regions, which are not among `points`
    part: object = None  # the dataset.Item of a piece, whose pixels `points` are in

    @property
    def name(self):
        """Name in the dataset."""
        return self.called or self.path.name

    @property
    def text_name(self):
        """Name of its text file."""
        return text_path(self.name).as_posix()

    @property
    def usable(self):
        """Whether training could use it."""
        return self.header is not None and self.state in ("empty", "labelled")


def list_entries(folder):
    """Return the `os.DirEntry`s of a folder that are not hidden, sorted by name."""
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if e.name[0] != "."), key=lambda entry: entry.name)


def files_directly(folder):
    """Return the files in a folder with an image's suffix and those with a text file's, sorted.

    Broken links are included; hidden files and folders are not.
    """
    paths = [Path(entry) for entry in list_entries(folder) if not entry.is_dir()]
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    return images, [path for path in paths if path.suffix.lower() == ".txt"]


def survey(paths, *, folder=None, every_pixel=False, on_image=None):
    """Read images and their text files.

    Parameters
    ----------
    paths : list of Path
    folder : Path, optional
        That names are relative to. Default: that of each image.
    every_pixel : bool
        Decode all images. Otherwise decode those that seem truncated and as many of the others,
        evenly spread, as `PIXEL_BYTES` allows; of the rest only the header is read.
    on_image : callable, optional
        Called with (name, number done, number of all) after each image.

    Returns
    -------
    list of Seen
        In the order of `paths`.
    """
    budget = math.inf if every_pixel else PIXEL_BYTES / max(1, len(paths))
    look, found = partial(_look, folder=folder, budget=budget), []
    step = 1 + len(paths) // BATCHES
    batches = [range(len(paths))[i : i + step] for i in range(0, len(paths), step)]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # decoders release the GIL
        for some in pool.map(lambda batch: [look(paths[k], k) for k in batch], batches):
            for seen in some:
                found.append(seen)
                if on_image:
                    on_image(seen.name, len(found), len(paths))
    return found


def file_findings(images, texts):
    """Yield what is wrong with single images and text files, as Findings.

    `images` are Seen; `texts` {path: name} all text files beside them.
    """
    for seen in images:
        name, text = seen.name, seen.text_name
        if seen.error:
            yield Finding("unreadable image", "problem", name, seen.error)
        if seen.text_error:
            outside = "outside the image" in seen.text_error
            kind = "point outside its image" if outside else "unreadable text file"
            if SUFFIX in seen.text_error:
                kind, text = "unreadable regions", regions_path(seen.path).name
            line = re.search(r", line (\d+):", seen.text_error)
            yield Finding(kind, "problem", text, seen.text_error, line and int(line[1]))
        yield from _of_regions(seen)
        if seen.flat:
            what = f"all pixels are equal; points: {len(seen.points)}"
            yield Finding("blank image", "problem" if len(seen.points) else "note", name, what)
    if not images:
        yield Finding("no image", "problem", "", "the folder has no image of a known format.")
    elif not any(seen.usable for seen in images):
        what = "no image has a readable text file: annotate first, or convert other labels."
        yield Finding("nothing labelled", "problem", "", what)
    for state, kind in (("unlabelled", "not labelled yet"), ("empty", "labelled, nothing there")):
        yield from (Finding(kind, "note", s.name) for s in images if s.state == state and s.header)
    yield from _stems(images)
    yield from _texts(texts, {text_path(seen.path) for seen in images})


def _of_regions(seen):
    """Yield points outside an image's regions, and regions outside the image."""
    if seen.n_outside:
        what = f"{seen.n_outside} points lie outside its regions and are not used."
        yield Finding("points outside the regions", "note", seen.name, what)
    if seen.regions and seen.header and not seen.regions.share(seen.header.shape):
        what = "its polygons have no pixel of the image."
        yield Finding("regions outside the image", "problem", seen.name, what)


def _stems(images):
    """Yield images that would share a text file."""
    first = {}
    for seen in images:
        if (other := first.setdefault(seen.text_name, seen)) is not seen:
            what = f"{other.name} and {seen.name} would share {seen.text_name}. Rename one."
            yield Finding("two images with one stem", "problem", seen.name, what)


def _texts(texts, known):
    """Yield text files without an image; those with points are problems.

    `known` are the paths of the images' text files, whether they exist or not.
    """
    for path in sorted(texts.keys() - known):
        if path.suffix != ".txt" and (meant := path.with_suffix(".txt")) in known:
            what = f"it ends in {path.suffix}, expected .txt. Rename it."
            if not meant.exists():  # it is the same file where capitals do not count
                yield Finding("unreadable text file", "problem", texts[path], what)
            continue
        try:
            n_points = len(read_points(path, (1, 1))[0])
        except (InputError, OSError):
            n_points = 0
        what = f"points: {n_points}. Is its image missing, or misnamed?" if n_points else ""
        severity = "problem" if n_points else "note"
        yield Finding("text file without an image", severity, texts[path], what)


def not_looked_at(folder, place, lists):
    """Yield files that look like part of the dataset but are not read, as Findings.

    `place` in `folder` holds the images; `lists` are names of text files without points.
    """
    entries = list_entries(place)
    for entry in entries:
        if Path(entry).suffix.lower() in NOT_PICTURES:
            what = "save it as PNG or TIFF to use it."
            yield Finding("file of another format", "note", entry.name, what)
    inside = {Path(entry) for entry in entries if entry.is_dir() and not is_read(Path(entry))}
    for other in sorted({folder, *inside} - {place}):
        try:
            images, texts = files_directly(other)
        except OSError:  # an unreadable folder is not part of the dataset
            continue
        images = [path for path in images if path.name != CHECK or other != folder]
        texts = [path for path in texts if path.name not in lists]
        if images or (texts and other != folder):
            what = f"images: {len(images)}, text files: {len(texts)}; only {place} is read."
            yield Finding("images or text files elsewhere", "note", other.name, what)


def copies(paths):
    """Return the groups of identical files, each a list of paths."""
    groups = [list(paths)]
    for key in (os.path.getsize, _piece, _digest):  # cheapest first; each leaves fewer files
        split = []
        for group in groups:
            by_key = {}
            for path in group:
                by_key.setdefault(key(path), []).append(path)
            split += [same for same in by_key.values() if len(same) > 1]
        groups = split
    return groups


def _look(path, k, *, folder, budget):
    """Return Seen of the k-th image; on average `budget` bytes of pixels per image are decoded."""
    seen = Seen(path, "" if folder is None else relative_name(path, folder))
    try:
        with open_image(path) as (header, read):
            n_bytes = math.prod(header.shape) * header.n_channels * header.dtype.itemsize
            if k % math.ceil(n_bytes / budget or 1) == 0 or not _ends_whole(path):
                pixels = read()
                seen = seen._replace(decoded=True, flat=bool(pixels.min() == pixels.max()))
        seen = seen._replace(header=header)
    except ImageTooLargeError:
        return _look_at_large(seen)
    except (InputError, OSError) as error:
        seen = Seen(path, error=str(error))
    return _with_text(seen)


def _look_at_large(seen):
    """Return Seen of a picture that is read by windows: of its pixels only the header."""
    try:
        seen = seen._replace(header=picture_header(seen.path))
    except (InputError, OSError) as error:
        seen = Seen(seen.path, error=str(error))
    return _with_text(seen)


def _with_text(seen):
    """Return Seen with the points of its text file, as far as they lie in its regions."""
    text = text_path(seen.path)
    if not os.path.lexists(text):
        return seen
    try:
        regions = read_regions(regions_path(seen.path))
        if text.is_file() and text.stat().st_size > TEXT_BYTES:
            raise InputError(f"{text} has {text.stat().st_size:,} bytes; expected a few points.")
        points, labels = read_points(text, seen.header.shape if seen.header else (1, 1))
    except (InputError, OSError) as error:
        return seen._replace(state="unreadable", text_error=str(error))
    if regions:
        n, inside = len(points), regions.contains(points)
        points, labels = points[inside], labels[inside]
        seen = seen._replace(regions=regions, n_outside=n - len(points))
    state = "labelled" if len(points) else "empty"
    return seen._replace(state=state, points=points, labels=labels)


def _ends_whole(path):
    """Return False if a JPEG or PNG lacks its end marker."""
    with path.open("rb") as file:
        end = ENDS.get(file.read(2), b"")
        file.seek(-min(64, path.stat().st_size), os.SEEK_END)
        return end in file.read()


def _piece(path):
    with path.open("rb") as file:
        file.seek(max(0, os.path.getsize(path) // 2 - PIECE))  # headers may be equal
        return file.read(PIECE)


def _digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
