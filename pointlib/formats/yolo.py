"""`yolo`, text files beside the images or in labels/, with a box `class x y width height` per line.

x to the right, y down, fractions of width and height from the image's edge (corner): a box around
the first pixel of an image 200 wide has x = 0.5 / 200. Docs of Ultralytics, "object detection
datasets": normalised xywh, a box from edge to edge.

A sixth number is the score, as in predictions (Ultralytics `save_txt` with `save_conf`). An odd
number of them, seven or more, is the outline of a polygon or rotated box, read as the centroid of
its area. If data.yaml has `kpt_shape`, lines are poses: a single keypoint is the point, of several
each is one, named by `kpt_names` if given; v = 0 means "not there" and is left out. Class names
come from data.yaml (`names`, a list or by number; its paths are not followed), else from
classes.txt or obj.names; without these the number itself is the label.

The text file of images/train/a.png is labels/train/a.txt (Ultralytics `img2label_paths`); if there
is no folder `labels`, it is beside the image. An empty file means "looked, nothing there". **No
file is read as "not labelled yet"**; Ultralytics would train on such an image as background.

`write` makes labels/ with eight decimals, with boxes of side `box` (16 pixels), narrower at the
image's edge to keep their centre, and data.yaml, whose `train` and `val` are the same images.
Ultralytics refuses to train on lines with a score. Points without a class become class `point`.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
import yaml

from pointlib.errors import InputError
from pointlib.files import write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.parts import area_centre, half_sides, head_of
from pointlib.formats.shared.safe import points_table, read_bounded, read_numbers
from pointlib.points import class_names

YAMLS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
LISTS = ("classes.txt", "obj.names")
OTHERS = (*LISTS, "train.txt", "val.txt", "valid.txt", "test.txt")  # that belong to no image
MOST_YAML = 100_000  # bytes: YAML is slow to parse, and names are short
MOST_DEPTH = 20  # of nested lists
MOST_CLASSES = 1_000_000
SLACK = 0.01  # Ultralytics accepts fractions this far over the edge (`verify_image_label`)


class Pose(NamedTuple):
    """What data.yaml says about the keypoints after a box."""

    n_points: int
    n_each: int  # 2: x, y; 3: and visibility
    names: dict  # {class number as a string: [name]}


def read(source, pictures, form):
    """Yield a Record for each image that has a text file."""
    texts = _texts(source, pictures)
    names, pose = _names(source, pictures, {path.parent for path in texts.values()})
    for image, path in texts.items():
        if path.is_file():
            rows = []
            for number, line in enumerate(_lines(path), start=1):
                if fields := line.split():
                    rows.extend(_rows(fields, f"{path}, line {number}", names, pose))
            values, labels, scores = points_table(rows)
            points = form.to_points(values, pictures.shape(image))
            yield Record(image, None, points, labels, scores)


def write(folder, records, form):
    """Write labels/ and data.yaml."""
    names = class_names([record.labels for record in records])
    number = {"": 0} | {name: i for i, name in enumerate(names)}
    for record in records:
        size = np.array(record.shape[::-1])
        values = form.from_points(record.points, record.shape)
        sides = 2 * half_sides(record.points, record.shape, form.box) / size
        classes = [number[label] for label in record.labels.tolist()]
        lines = [
            f"{i} {x:.8f} {y:.8f} {w:.8f} {h:.8f}"
            for i, (x, y), (w, h) in zip(classes, values.tolist(), sides.tolist(), strict=True)
        ]
        if record.scores is not None:
            scored = zip(lines, record.scores.tolist(), strict=True)
            lines = [f"{line} {score:.6f}" for line, score in scored]
        path = folder / "labels" / f"{record.stem}.txt"
        write_atomic(path, "".join(f"{line}\n" for line in lines))
    data = {"train": "images", "val": "images", "names": dict(enumerate(names))}
    text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    write_atomic(folder / "data.yaml", f"# val is train: split before you train\n{text}")


def looks(source):
    """Return whether this is a data.yaml, or a folder with one or with text files of numbers."""
    if not source.is_dir():
        return source.name in YAMLS and "names:" in head_of(source, "")
    if any((source / name).is_file() for name in (*YAMLS, "obj.data", "obj.names")):
        return True
    places = ("labels", "labels/train", ".", "images", "obj_train_data")
    words = head_of(source, ".txt", places, but=OTHERS).split("\n")[0].split()
    return len(words) >= 5 and all(map(_is_number, words))


def _texts(source, pictures):
    """Return {image: path of its text file, existing or not}; note files without an image."""
    if source.is_file() and source.suffix.lower() == ".txt" and source.name not in OTHERS:
        return {pictures.find(source.stem, source): source}
    folders = {folder: _folder(folder, pictures) for folder in {p.parent for p in pictures.paths}}
    texts = {image: folders[image.parent] / f"{image.stem}.txt" for image in pictures.paths}
    texts = {image: _in_capitals(path) for image, path in texts.items()}
    texts = _by_stem(texts, pictures)
    expected = set(texts.values())
    tops = {pictures.home / "labels", *(f for f in folders.values() if "labels" in f.parts[-2:])}
    for path in sorted({path for top in tops for path in top.rglob("*.txt")}):
        if path not in expected and path.name not in OTHERS:
            if image := pictures.lookup(path.stem, near=path.parent):
                raise InputError(f"{path} has no image, but {image} has that name. Move one.")
            pictures.find(path.stem, path, near=path.parent)  # notes that it is missing
    return texts


def _by_stem(texts, pictures):
    """Return {image: text}, of images elsewhere by stem, in whatever folder below labels/.

    Exports without their images have labels/train/a.txt for any a.jpg.
    """
    if pictures.folder.is_relative_to(pictures.home):
        return texts
    below = {}
    for path in (pictures.home / "labels").rglob("*.txt"):
        below.setdefault(path.stem, []).append(path)
    taken = {path for path in texts.values() if path.is_file()}
    stems = Counter(image.stem for image in texts)
    found = {}
    for image, path in texts.items():
        others = [other for other in below.get(image.stem, ()) if other not in taken]
        is_clear = not path.is_file() and stems[image.stem] == len(others) == 1
        found[image] = others[0] if is_clear else path
    return found


def _in_capitals(path):
    """Return the path of a text file, NAME.TXT if only that exists."""
    capital = path.with_suffix(".TXT")
    return capital if not path.exists() and capital.exists() else path


def _folder(folder, pictures):
    """Return the folder of the text files for a folder of images: labels/, or itself."""
    home, places = pictures.home, []
    if folder.is_relative_to(home):
        parts = folder.relative_to(home).parts
        if "images" in parts:
            last = len(parts) - 1 - parts[::-1].index("images")
            places.append(home.joinpath(*parts[:last], "labels", *parts[last + 1 :]))
    if folder.is_relative_to(pictures.folder):
        places.append(home / "labels" / folder.relative_to(pictures.folder))
    places.append(home / "labels")
    places += [folder] if folder.is_relative_to(home) else [home / "obj_train_data", home]
    return next((place for place in places if place.is_dir()), places[-1])


def _names(source, pictures, folders):
    """Return {number: class} or None, and a Pose or None; the nearest file counts."""
    home = pictures.home
    places = [home, *sorted(folders), home.parent]  # Roboflow's splits are beside their data.yaml
    places += [home.parent.parent] if "labels" in (home.name, home.parent.name) else []
    paths = [place / name for place in places for name in (*YAMLS, *LISTS)]
    if source.suffix in (".yaml", ".yml"):
        paths = [source]
    for path in (path for path in paths if path.is_file()):
        if path.name in LISTS:
            return dict(enumerate(line.strip() for line in _lines(path))), None
        data = _load_yaml(path)
        if "names" in data:
            return _numbered(data["names"], f"{path}: names"), _pose(data, path)
    return None, None


def _load_yaml(path):
    """Return the mapping in a YAML file: strings, lists and mappings, ignoring tags.

    Aliases, which let a short file grow without bound, and deep nesting are refused.
    """
    text = read_bounded(path, most=MOST_YAML).decode("utf-8", errors="replace")
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.BaseLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > MOST_DEPTH:
                line = event.start_mark.line + 1
                raise InputError(
                    f"{path}, line {line}: aliases, and lists more than {MOST_DEPTH} deep, are not "
                    "read. Write the names out."
                )
        data = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  which makes only strings
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} is a {type(data).__name__}; expected a mapping with `names`.")
    return data


def _numbered(names, where):
    """Return {number: name} from a YAML list or mapping with strings as leaves."""
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    found = {_whole(number, where): name for number, name in pairs}
    if isinstance(names, str) or not all(isinstance(name, str) for name in found.values()):
        raise InputError(f"{where}: {str(names)[:60]}; expected a name for each number.")
    return found


def _pose(data, path):
    """Return the Pose that data.yaml describes, or None."""
    if "kpt_shape" not in data:
        return None
    shape, names = data["kpt_shape"], data.get("kpt_names")
    if not isinstance(shape, list) or len(shape) != 2 or shape[1] not in ("2", "3"):
        raise InputError(
            f"{path}: kpt_shape is {str(shape)[:60]}; expected [number of keypoints, 2 or 3]."
        )
    names = names if isinstance(names, dict) else {}
    return Pose(_whole(shape[0], f"{path}: kpt_shape"), int(shape[1]), names)


def _rows(fields, where, names, pose):
    """Return [(x, y, label, score)] of one line, in fractions."""
    numbers = read_numbers(fields, where, ("class", "x", "y", "width", "height"))
    key, count = _whole(numbers[0], where), len(numbers)
    if names is not None and key not in names:
        raise InputError(f"{where}: class {key} is not among the {len(names)} names. Add its name.")
    label = str(key) if names is None else names[key]
    n_numbers = 5 + (pose.n_points * pose.n_each if pose else 0)
    fractions, score = numbers[1:5], None
    if count in (n_numbers, n_numbers + 1):
        parts = _keypoints(numbers[5:], key, label, pose) if pose else [(*fractions[:2], label)]
        score = numbers[n_numbers] if count > n_numbers else None
    elif count >= 7 and count % 2 and not pose:
        fractions = numbers[1:]
        parts = [(*area_centre([fractions]), label)]
    else:
        kinds = f"a pose, {n_numbers}" if pose else "a box, 5 (6 with its score), or a polygon"
        raise InputError(f"{where} has {count} numbers; expected those of {kinds}.")
    fractions = fractions + [value for part in parts for value in part[:2]]
    if wrong := [value for value in fractions if not -SLACK <= value <= 1 + SLACK]:
        raise InputError(f"{where}: {wrong[0]:g}; expected fractions of the image, 0 to 1.")
    if score is not None and not 0 <= score <= 1:
        raise InputError(f"{where}: the score {score:g}; expected 0 to 1.")
    return [(*part, score) for part in parts]


def _keypoints(numbers, key, label, pose):
    """Return (x, y, label) of each visible keypoint; Ultralytics hides negative ones too."""
    names = pose.names.get(str(key))
    named = isinstance(names, list) and pose.n_points > 1
    parts = []
    for i in range(pose.n_points):
        x, y, *seen = numbers[i * pose.n_each : (i + 1) * pose.n_each]
        if seen != [0] and x >= 0 and y >= 0:
            own = names[i] if named and i < len(names) else label
            parts.append((x, y, own if isinstance(own, str) else label))
    return parts


def _whole(value, where):
    """Return a class number, or a count, as an int."""
    (number,) = read_numbers((value,), where, ("class",))
    if not number.is_integer() or not 0 <= number <= MOST_CLASSES:
        raise InputError(f"{where}: {value}; expected a whole number from 0.")
    return int(number)


def _lines(path):
    try:
        return read_bounded(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text. Export it again.") from error


def _is_number(word):
    try:
        return float(word) >= 0
    except ValueError:
        return False


FORMAT = Format(
    "yolo",
    "YOLO's text files of boxes, data.yaml with the classes",
    read,
    write,
    looks,
    unit="fraction",
    convention="corner",
    decimals=8,
    box=16.0,
    carries=frozenset({"labels", "empty", "scores"}),
    checked="labelImg 1.8.6, Datumaro 1.13.12, supervision 0.31.2, globox 2.9",
)
