"""`txt`, the kit's own files: a text file beside each image, described in points.py.

One x,y[,label] per line, fractions from the image's edges (corner). An empty file means "looked,
nothing there"; no file, "not labelled yet". Regions lie beside it: regions.py.
"""

import re
from itertools import islice

from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.safe import peek
from pointlib.images import IMAGE_SUFFIXES
from pointlib.points import label_state, read_points, text_path, write_points
from pointlib.regions import read_regions, regions_path, write_regions

MOST_LISTED, MOST_READ = 2000, 10  # of a folder's files, to recognise it
_LINE = re.compile(r"\s*([01]?\.\d+|[01])\s*,\s*([01]?\.\d+|[01])\s*(,[^,]+)?", re.ASCII)


def read(_source, pictures, _form):
    """Yield a Record for each image that has a text file."""
    for image in pictures.paths:
        if label_state(image) != "unlabelled":
            shape = pictures.shape(image)
            regions = read_regions(regions_path(image))
            yield Record(image, None, *read_points(text_path(image), shape), regions=regions)
    note_strays(pictures)


def write(folder, records, _form):
    """Write a text file beside each record's image."""
    for record in records:
        path = text_path(folder / "images" / record.name)
        write_points(path, record.points, record.shape, labels=record.labels)
        if record.regions:
            write_regions(regions_path(path), record.regions)


def note_strays(pictures):
    """Tell `pictures` of text files of points whose image is missing."""
    texts = {text_path(image) for image in pictures.paths}
    for folder in sorted({path.parent for path in texts}):
        for path in sorted(set(folder.glob("*.txt")) - texts):
            if _LINE.fullmatch(peek(path).strip().partition("\n")[0]):
                pictures.find(path.stem, path, near=folder)


def looks(source):
    """Return whether a folder has images whose text files begin with x,y[,label] from 0 to 1."""
    folder = source / "images" if (source / "images").is_dir() else source
    if not folder.is_dir():
        return False
    entries = list(islice(folder.rglob("*"), MOST_LISTED))
    images = {p.with_suffix("") for p in entries if p.suffix.lower() in IMAGE_SUFFIXES}
    texts = [p for p in entries if p.suffix == ".txt" and p.with_suffix("") in images]
    lines = [peek(path).strip().partition("\n")[0] for path in texts[:MOST_READ]]
    return any(lines) and all(map(_LINE.fullmatch, filter(None, lines)))


FORMAT = Format(
    "txt",
    "the kit's text files beside the images",
    read,
    write,
    looks,
    unit="fraction",
    convention="corner",
    decimals=8,
    carries=frozenset({"labels", "empty", "regions"}),
    checked="pointlib",
    upright=True,
    forbids=",\r\n",
)
