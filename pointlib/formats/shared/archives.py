"""Zip archives, as labelling programs export them: unpacked within limits, for one conversion.

Not about what is in them. ImageJ's RoiSet.zip is a file of its own: imagej.py.
"""

import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pointlib.errors import InputError, brief
from pointlib.formats.shared.pictures import Pictures
from pointlib.images import IMAGE_SUFFIXES

MOST_BYTES = 8_000_000_000  # of all files, unpacked
MOST_FILES = 200_000
MOST_RATIO = 200  # of all files to the archive; photographs and texts stay far below
SMALL = 50_000_000  # bytes, unpacked, of which no ratio is asked
MOST_NESTED = 20  # archives in an archive
PIECE = 1 << 20


def is_archive(source):
    """Return whether a file is a zip of a program's export; not if it holds ImageJ's regions."""
    if source.suffix.lower() != ".zip" or not zipfile.is_zipfile(source):
        return False
    try:
        with zipfile.ZipFile(source) as archive:
            return not all(name.lower().endswith(".roi") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


@contextmanager
def unpacked(source, images):
    """Yield the folder, or the one file, that a zip is unpacked into, and the images' folder.

    `images` is the folder that the user names, if any. If the zip holds no image, the images are
    looked for beside it. Sentences of InputErrors name the zip instead of the folder.
    """
    folder = Path(tempfile.mkdtemp(prefix="pointlib-"))
    try:
        _unpack(source, folder)
        for path in sorted(folder.rglob("*.zip"))[:MOST_NESTED]:
            if is_archive(path):
                _unpack(path, path.with_suffix(""))
                path.unlink()
        if images is None and not _has_images(folder):
            images = Pictures(source).folder
        yield _inmost(folder), images
    except InputError as error:
        raise InputError(str(error).replace(str(folder), str(source))) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(source, folder):
    """Unpack a zip; InputError if a name leaves the folder, or it grows beyond the limits."""
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            limit = _check(source, entries)
            for entry in entries:
                place = _place(source, folder, entry.filename)
                if place is not None:
                    limit -= _copy(archive, entry, place, limit, source)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{source} cannot be unpacked ({brief(error)}). Unpack it yourself, or download it "
            "again."
        ) from error


def _check(source, entries):
    """Return how many bytes the files may have, or raise InputError if they say more."""
    total = sum(entry.file_size for entry in entries)
    limit = min(MOST_BYTES, max(SMALL, MOST_RATIO * source.stat().st_size))
    if len(entries) > MOST_FILES or total > limit:
        raise InputError(
            f"{source} holds {len(entries):,} files of {total / 1e6:,.0f} MB; at most "
            f"{MOST_FILES:,} of {limit / 1e6:,.0f} MB are unpacked. Unpack it yourself, and "
            "convert the folder."
        )
    return limit


def _place(source, folder, name):
    """Return where a file of a zip goes; None for what macOS adds."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0]:
        raise InputError(
            f"{source} holds {name!r}, which leads out of its folder. Do not trust it."
        )
    if parts[0] == "__MACOSX" or parts[-1].startswith("._"):
        return None
    return folder.joinpath(*parts)


def _copy(archive, entry, place, limit, source):
    """Write one file, and return its size; what the zip says of its size is not trusted."""
    place.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with archive.open(entry) as read, place.open("wb") as file:
        while piece := read.read(PIECE):
            size += len(piece)
            if size > limit:
                raise InputError(f"{source} grows beyond what it says. Do not trust it.")
            file.write(piece)
    return size


def _inmost(folder):
    """Return the one folder or file in a folder, and in that, until there are several."""
    inside = list(folder.iterdir())
    while len(inside) == 1 and inside[0].is_dir() and inside[0].name.lower() != "images":
        folder = inside[0]
        inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_file() else folder


def _has_images(folder):
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.rglob("*"))
