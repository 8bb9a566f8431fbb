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
from pointlib.images import (
    IMAGE_SUFFIXES,
    NO_IMAGES,
    check_names,
    list_images,
)
from pointlib.windows import picture_header

FOLDERS = ("images", "jpegimages", "imgs", "img", "image", "frames", "photos", "pictures")
ASIDE = ("annotations", "labels", "ground_truth", "json", "xml", "gt")  # images are beside these
MOST_FOLDERS = 10_000  # searched
_LAST_DIGITS = re.compile(r"\d{1,15}$")
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
    below : bool
        Images below the folder belong to it even if some are directly in it, as in the kit's own
        datasets. Otherwise they are passed over then, which a note says.
    flatten : bool
        Where images of two folders have the same name, give all of them the folder's name in front
        (cam1_0001.jpg), instead of keeping the folders (cam1/0001.jpg).
    unturned : bool
        Points were made on the images as stored, not as their EXIF orientation says.

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
    turned : list of Path
        Images whose points were made on them as stored, and have been turned with them.
    guessed : bool
        The folder was found by searching from a source file: only images that it names count.
    """

    def __init__(
        self, source, images=None, *, strict=True, below=False, flatten=False, unturned=False
    ):
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
        self.unturned, self.turned = unturned, []
        self.strict, self.missing, self._absent = strict, {}, set()
        self._found, self._named, self._headers, self._known = {}, {}, {}, {}
        self.notes, self.paths, self._listed = [], [], set()
        self._flat, self._numbers = True, None
        self._folded, self._n_folded = {}, 0
        self._flatten, self._counted = flatten, {}
        for path in self._list(below=below):
            self._add(path)
        self._deep = any(path.is_dir() for path in self.folder.iterdir())

    def find(self, name, where, *, near=None):
        """Return the path of the image that a file calls `name`; `where` is for messages.

        Folders in the name count only if two images would match; then that one counts whose folder
        is `near`, or has its name. Two names for one image are an error.
        """
        if not isinstance(name, str):
            raise InputError(f"{where}: image is {name!r:.80}; expected its name.")
        if (name, near) in self._found:
            return self._found[name, near]
        path = self.lookup(name, near=near)
        if path is None:
            path = self._note_missing(name, where)
        elif (other := self._named.setdefault(path, name)) != name:
            raise InputError(f"{where}: {other!r} and {name!r} both mean {path.name}. Rename one.")
        self._found[name, near] = path
        return path

    def lookup(self, name, *, near=None):
        """Return the path of the image that a file calls `name`, or None; `near` as in `find`."""
        if self._deep and (path := self._below(PureWindowsPath(name).parts)):
            return path
        found = self._candidates(name)
        if len(found) > 1 and near is not None:
            found = [path for path in found if self._is_near(path, near)] or found
        elif (
            len(found) > 1
        ):  # a name without folder is that of an image at the top, if there is one
            found = [path for path in found if path.parent == self.folder] or found
        if len(found) > 1:
            named = " or ".join(path.relative_to(self.folder).as_posix() for path in found[:3])
            raise InputError(
                f"{name!r} may be {named}. The names in the file need their folders; or convert "
                f"one folder at a time, as --images {found[0].parent}."
            )
        return found[0] if found else None

    def has(self, name):
        """Return whether some image may be called `name`."""
        return bool(self._candidates(name))

    def begun(self, stem):
        """Return the longest stem of an image that a file's stem begins with, or None."""
        stems = {path.stem for path in self.paths if path.stem and stem.startswith(path.stem)}
        whole = [own for own in stems if not stem[len(own) :][:1].isalnum()]
        return max(whole, key=len, default=None)

    def numbered(self, number):
        """Return the only image whose name ends in a number, or None."""
        if self._numbers is None:
            self._numbers = {}
            for path in self.paths:
                if found := _LAST_DIGITS.search(path.stem):
                    self._numbers.setdefault(int(found[0]), []).append(path)
        found = self._numbers.get(number, [])
        return found[0] if len(found) == 1 else None

    def only(self):
        """Return the only image, or None if there are several."""
        return self.paths[0] if len(self.paths) == 1 else None

    def name_of(self, path):
        """Return the name of an image in a new dataset; with its folder where names are equal."""
        if self._flat:
            return path.name
        name = path.relative_to(self.folder)
        return "_".join(name.parts) if self._flatten else name.as_posix()

    def settle_names(self):
        """Decide whether names need their folders; InputError where two would be equal."""
        stems = [path.stem for path in self.paths]
        self._flat = len(set(stems)) == len(stems)
        seen = {}
        for path in self.paths:
            stem = Path(self.name_of(path)).with_suffix("").as_posix()
            _refuse_twins(seen.setdefault(stem, path), path)
        if not self._flat and not self._flatten:
            self.notes.append("Images in different folders have equal names: folders are kept.")

    def shape(self, path):
        """Return (H, W) of an image, from its header; (1, 1) for a missing one.

        Upright, or as stored if `unturned`.
        """
        shape = self.upright(path)
        return shape[::-1] if self.unturned and self.turn(path) >= 5 else shape

    def upright(self, path):
        """Return (H, W) of an image as it is shown, with its EXIF orientation applied."""
        return (1, 1) if path in self._absent else self._header(path).shape

    def turn(self, path):
        """Return the EXIF orientation of an image, 1 if it has none."""
        return 1 if path in self._absent else self._header(path).turn

    def is_missing(self, path):
        """Return whether `find` returned this path for a missing image."""
        return path in self._absent

    def is_named(self, path):
        """Return whether the source's files name this image."""
        return path in self._named

    def note(self, sentence, number):
        """Add a number to a note that may come up with each image."""
        self._counted[sentence] = self._counted.get(sentence, 0) + number

    def all_notes(self):
        """Return the notes, those with numbers last."""
        return self.notes + [f"{text}: {number}." for text, number in self._counted.items()]

    def note_outside(self, path, n_points, example):
        """Note that points of a file lie in none of the pictures."""
        self.notes.append(
            f"{n_points} points of {path} lie in none of the images, such as {example}: left out."
        )

    def drop(self, paths):
        """Remove pictures that are not images of the source, such as the format's own files."""
        dropped = set(paths)
        self.paths = [path for path in self.paths if path not in dropped]
        for key, known in self._known.items():
            self._known[key] = [path for path in known if path not in dropped]

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
        """Add an image: listed, or in a subfolder that a name refers to."""
        for key in dict.fromkeys((path.stem, path.name)):
            known = self._known.setdefault(key, [])
            if path not in known:
                known.append(path)
        if path not in self._listed:
            self.paths.append(path)
            self._listed.add(path)

    def _candidates(self, name):
        """Return the images that a file may call `name`; capitals count only if they must."""
        keys = list(_keys(name))
        found = next((self._known[key] for key in keys if self._known.get(key)), [])
        if found:
            return found
        if self._n_folded != len(self._known):
            self._n_folded = len(self._known)
            self._folded = {own.casefold(): own for own in self._known}
        folded = (self._folded.get(key.casefold()) for key in keys)
        return next((self._known[key] for key in folded if key and self._known.get(key)), [])

    def _is_near(self, path, near):
        """Return whether a folder is that of an image, or ends in the names of its folders."""
        parts = path.parent.relative_to(self.folder).parts
        return path.parent == near or near.parts[len(near.parts) - len(parts) :] == parts

    def _header(self, path):
        if path not in self._headers:
            self._headers[path] = picture_header(path)
        return self._headers[path]

    def _list(self, *, below):
        """Return the images directly in the folder, by name; if there are none, those below it."""
        if _has_image(self.folder) and not below:
            self._note_passed_over()
            return _need_own_stems(sorted(_walk(self.folder, deep=False)), self.folder)
        paths = sorted(_walk(self.folder), key=lambda path: (path.name, path))
        if not paths:
            return list_images(self.folder)  # which says what is there instead
        return _need_own_stems(paths, self.folder)

    def _note_passed_over(self):
        """Note images in folders below one that has images itself."""
        with contextlib.suppress(InputError):  # too many folders to count
            others = [path for path in _walk(self.folder) if path.parent != self.folder]
            if others:
                self.notes.append(
                    f"{len(others)} images below {self.folder} are passed over, such as "
                    f"{others[0]}: convert that folder by itself."
                )


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


def _need_own_stems(paths, folder):
    """Return the paths of images, or raise InputError if two would share a text file."""
    check_names(str(path.relative_to(folder)) for path in paths)
    stems = {}
    for path in paths:
        if (other := stems.setdefault(path.with_suffix(""), path)) is not path:
            raise InputError(f"{other} and {path.name} would share {path.stem}.txt. Rename one.")
    return paths


def _known_place(folder, home):
    return folder.name.lower() in FOLDERS or (folder == home and _has_image(home))


def _has_image(folder):
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())


def _walk(folder, *, deep=True):
    """Yield the images in a folder and below; hidden folders and NO_IMAGES are left out."""
    for n_folders, (place, subfolders, files) in enumerate(os.walk(folder)):
        if n_folders > MOST_FOLDERS:
            raise InputError(
                f"{folder} has more than {MOST_FOLDERS:,} folders. Name the images' folder: "
                "--images FOLDER."
            )
        subfolders[:] = sorted(
            name for name in subfolders if deep and name[0] != "." and name.lower() not in NO_IMAGES
        )
        for name in sorted(files):
            if name[0] != "." and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(place, name)


def _refuse_twins(path, other):
    if path != other:
        raise InputError(
            f"{path} and {other} would have the same name in the new folder. Convert one folder at "
            f"a time, as --images {path.parent}, or rename one."
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
