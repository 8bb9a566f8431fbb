"""Where the images of another tool's files are, and which image a name in those files means.

Not about the files' contents: each format's own file.
"""

import contextlib
import os
import re
from pathlib import Path, PureWindowsPath
from urllib.parse import parse_qsl, unquote, urlsplit

from pointlib.errors import InputError, suggest
from pointlib.files import need_file, need_folder
from pointlib.images import IMAGE_SUFFIXES, check_names, list_images
from pointlib.windows import picture_header

FOLDERS = ("images", "jpegimages", "imgs", "img", "image", "frames", "photos", "pictures")
ASIDE = ("annotations", "labels", "ground_truth", "json", "xml", "gt")  # images are beside these
NO_IMAGES = {"masks", "labels", "overlays", "dots", "ground_truth", "annotations"}  # not searched
MOST_FOLDERS = 10_000  # searched
_UPLOAD = re.compile(r"[0-9a-f]{8}-")  # which Label Studio puts before an uploaded file's name


class Pictures:
    """The images that belong to a source, found by the names in its files.

    They are in `images/` (or another of FOLDERS) inside the source folder, or beside a source file;
    if there is none, directly in that folder, else below it, else in such a folder one level up.
    If a folder has no image directly, the images in its subfolders are used.

    Parameters
    ----------
    source : str or Path
        A file or a folder; `images/` itself means its parent.
    images : str or Path, optional
        The folder of the images, instead of searching for it.
    strict : bool
        Whether `find` raises if an image is missing, or notes it in `missing`.

    Attributes
    ----------
    home : Path
        The source folder, or the one that holds the source file.
    folder : Path
        The images' folder.
    paths : list of Path
        All images, by name.
    missing : dict
        ``{name: where}`` of the missing images.
    guessed : bool
        The folder was found by searching from a source file: only images that it names count.
    """

    def __init__(self, source, images=None, *, strict=True):
        source = Path(source)
        home = source if source.is_dir() else need_file(source).parent
        self.home = home.parent if home.name == "images" else home
        self.folder = need_folder(images, "folder of images") if images else _look_for(self.home)
        self.guessed = not images and source.is_file() and not _known_place(self.folder, home)
        if not images and not next(_walk(self.folder), None):
            raise InputError(
                f"{self.folder} has no images ({', '.join(IMAGE_SUFFIXES)}). Name the images' "
                "folder with --images FOLDER; export other formats as TIFF or PNG."
            )
        self.paths = _list_below(self.folder)
        self.strict, self.missing, self._absent = strict, {}, set()
        self._known = {path.stem: path for path in self.paths}
        self._known |= {path.name: path for path in self.paths}
        self._deep = any(path.is_dir() for path in self.folder.iterdir())
        self._found, self._named, self._shapes = {}, {}, {}
        self.notes = []

    def find(self, name, where):
        """Return the path of the image that a file calls `name`; `where` is for messages.

        Folders in the name count only if two images would match. Two names for one image are an
        error.
        """
        if not isinstance(name, str):
            raise InputError(f"{where}: image is {name!r:.80}; expected its name.")
        if name in self._found:
            return self._found[name]
        path = self.lookup(name)
        if path is None:
            path = self._note_missing(name, where)
        elif (other := self._named.setdefault(path, name)) != name:
            raise InputError(f"{where}: {other!r} and {name!r} both mean {path.name}. Rename one.")
        self._found[name] = path
        return path

    def lookup(self, name):
        """Return the path of the image that a file calls `name`, or None."""
        if self._deep and (path := self._below(PureWindowsPath(name).parts)):
            return path
        return next((self._known[key] for key in _keys(name) if key in self._known), None)

    def shape(self, path):
        """Return (H, W) of an image, from its header; (1, 1) for a missing one."""
        if path not in self._shapes:
            self._shapes[path] = (1, 1) if path in self._absent else picture_header(path).shape
        return self._shapes[path]

    def is_missing(self, path):
        """Return whether `find` returned this path for a missing image."""
        return path in self._absent

    def is_named(self, path):
        """Return whether the source's files name this image."""
        return path in self._named

    def note_outside(self, path, n_points, example):
        """Note that points of a file lie in none of the pictures."""
        self.notes.append(
            f"{n_points} points of {path} lie in none of the images, such as {example}: left out."
        )

    def drop(self, paths):
        """Remove pictures that are not images of the source, such as the format's own files."""
        dropped = set(paths)
        self.paths = [path for path in self.paths if path not in dropped]
        self._known = {key: path for key, path in self._known.items() if path not in dropped}

    def why_missing(self):
        """Return a sentence on the missing images, with a guess at the first."""
        (name, where), *others = self.missing.items()
        more = f", nor are {len(others)} others" if others else ""
        known = [path.name for path in self.paths][:1000]
        hint = suggest(PureWindowsPath(name).name, known)[:300]
        return f"{where}: image {name!r} is not in {self.folder}{more}. {hint}"

    def _note_missing(self, name, where):
        self.missing[name] = where
        if self.strict:
            raise InputError(self.why_missing())
        path = self.folder / f"{len(self.missing)} missing"
        self._absent.add(path)
        return path

    def _below(self, parts):
        """Return the image that the last parts of a name, with folders, lead to, or None."""
        if ".." in parts:
            return None
        inside = self.folder.resolve()
        for start in range(len(parts) - 1):
            path = self.folder.joinpath(*parts[start:])
            if parts[start].endswith(("/", "\\")) or path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if path.is_file() and path.parent.resolve().is_relative_to(inside):
                self._add(path)
                return path
        return None

    def _add(self, path):
        """Add an image in a subfolder that a name refers to."""
        if self._known.get(path.name) != path:
            other = self._known.setdefault(path.stem, path)
            _refuse_twins(other, path)
            self._known[path.name] = path
            self.paths.append(path)


def _look_for(home):
    """Return the folder that holds the images of files in `home`."""
    if (inside := _known_folder(home)) or _has_image(home):
        return inside or home
    if next(_walk(home), None):
        return home
    above = home.absolute().parent
    with contextlib.suppress(OSError):  # it may not be readable
        return _known_folder(above) or (above if home.absolute().name.lower() in ASIDE else home)
    return home


def _known_folder(place):
    """Return the first of FOLDERS in a folder that has an image in it, however deep, or None."""
    inside = {path.name.lower(): path for path in place.iterdir() if path.is_dir()}
    folders = (inside[name] for name in FOLDERS if name in inside)
    return next((folder for folder in folders if next(_walk(folder), None)), None)


def _known_place(folder, home):
    return folder.name.lower() in FOLDERS or (folder == home and _has_image(home))


def _has_image(folder):
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())


def _list_below(folder):
    """Return the images directly in a folder, by name; if there are none, those below it."""
    paths = [] if _has_image(folder) else sorted(_walk(folder), key=lambda path: (path.name, path))
    if not paths:
        return list_images(folder)
    check_names(str(path.relative_to(folder)) for path in paths)
    seen = {}
    for path in paths:
        _refuse_twins(seen.setdefault(path.stem, path), path)
    return paths


def _walk(folder):
    """Yield the images below a folder; hidden folders and NO_IMAGES are left out."""
    for n_folders, (place, subfolders, files) in enumerate(os.walk(folder)):
        if n_folders > MOST_FOLDERS:
            raise InputError(
                f"{folder} has more than {MOST_FOLDERS:,} folders. Name the images' folder: "
                "--images FOLDER."
            )
        subfolders[:] = sorted(
            name for name in subfolders if name[0] != "." and name.lower() not in NO_IMAGES
        )
        for name in sorted(files):
            if name[0] != "." and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(place, name)


def _refuse_twins(path, other):
    if path != other:
        raise InputError(
            f"{path} and {other} would collide in a flat folder. Convert one folder at a time, as "
            f"--images {path.parent}, or rename one."
        )


def _keys(name):
    """Yield possible names of the image that a file calls `name`, likeliest first."""
    names = [name, *(PureWindowsPath(spelling).name for spelling in _spellings(name))]
    names += [_UPLOAD.sub("", key, count=1) for key in names if _UPLOAD.match(key)]
    yield from names
    stems = (PureWindowsPath(key) for key in names)
    yield from (path.stem for path in stems if path.suffix.lower() in IMAGE_SUFFIXES)


def _spellings(name):
    """Yield a name as it is and, for a URL, its path and the value of `d` in its query."""
    yield name
    try:
        address = urlsplit(name) if "://" in name or "?d=" in name else None
    except ValueError:  # brackets, but not of a URL
        return
    if address:
        yield from (value for key, value in parse_qsl(address.query) if key == "d")
    yield unquote(address.path if address else name)
