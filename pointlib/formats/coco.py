"""`coco`, the JSON of Microsoft COCO: one file with `images`, `categories` and `annotations`.

Pixels, x before y. Keypoints are pixel indices (centre), as detectron2's page on datasets says
("integers in range [0, H-1 or W-1]", to which it adds 0.5); boxes and polygons are measured from
the image's edge (corner), whatever the keypoints do. Labelling tools that export clicks on a canvas
probably measure keypoints from the corner too (unverified): read those with the convention
"corner".

Each keypoint that COCO calls labelled (v is 1, hidden, or 2, visible) becomes a point, named after
the keypoint, or after the category if that has at most one. Without keypoints the centre of `bbox`
is the point, without that the centroid of the polygons; a mask (RLE) alone is refused. An image
without annotations counts as empty. A crowd (`iscrowd` 1: many objects in one outline) or an
instance without a labelled keypoint makes no point: an image with nothing else stays not labelled.
If all annotations are crowds, they are the masks of single objects, as some programs export them.

A list of results (`image_id`, `category_id`, `score`) names no images: they and the categories come
from the one other COCO file beside it; without one, `image_id` must be an image's name (or its
number, 42 for 000042.jpg) and the class is the category's number. Their v is ignored. Images
without results stay not labelled, since a list of results does not say which images were processed.

Each point is written as an instance with one keypoint `center`, in a box of `Format.box` pixels,
with its `score` if any. Points without a class get the category `point`. The file is read as a
stream, keeping a few numbers per point.
"""

import json
from array import array
from dataclasses import replace

import numpy as np

from pointlib.errors import InputError
from pointlib.files import write_atomic
from pointlib.formats.shared.base import Format, Record
from pointlib.formats.shared.jsons import (
    files_in,
    heads,
    one_json,
    read_score,
    read_size,
    read_table,
    stream_items,
)
from pointlib.formats.shared.parts import area_centre
from pointlib.formats.shared.safe import need, read_numbers
from pointlib.points import class_names

_LISTS = {
    "images": ("id", "file_name", "width", "height"),
    "categories": ("id", "name", "keypoints"),
}
_MARKS = ("image_id", "category_id", "keypoints", "bbox", "segmentation", "iscrowd", "score")
_WHOLE = -1  # keypoint index of a box, an area or a single keypoint: named after its category


def read(source, pictures, form):
    """Yield a Record for each image that the file lists, in its order."""
    path = one_json(source, pictures, looks)
    marks, lists = _stream(path)
    if marks.n_crowds and not marks.n_points:
        marks, lists = _stream(path, crowds=True)
        pictures.notes.append(
            f"All {marks.n_points} annotations of {path} are crowds (iscrowd 1), as some programs "
            "mark the masks of single objects: each is taken as one object."
        )
    if marks.results:
        lists = _truth(path) or _guess(marks, pictures)
    names = marks.names(lists)
    for (name, shape, where), rows in marks.by_image(lists):
        image = pictures.find(name, where)
        points = _to_kit(marks.table[rows], shape or pictures.shape(image), form)
        scores = marks.table[rows, 3]
        unscored = not rows.size or np.isnan(scores).any()
        yield Record(image, shape, points, names[marks.kind_of[rows]], None if unscored else scores)


def _stream(path, *, crowds=False):
    """Return the annotations and the lists of a file."""
    marks, lists = _Marks(path, crowds=crowds), _Lists(path)
    for section, index, item in stream_items(path, {**_LISTS, "annotations": _MARKS, "": _MARKS}):
        (lists if section in _LISTS else marks).add(section, index, item)
    return marks, lists


def write(folder, records, form):
    """Write annotations.json."""
    classes = class_names([record.labels for record in records])
    numbers = {"": 1} | {name: number for number, name in enumerate(classes, start=1)}
    images, marks = [], []
    for image, record in enumerate(records, start=1):
        name, (height, width) = record.name, record.shape
        images.append({"id": image, "file_name": name, "width": width, "height": height})
        for label, mark in _instances(record, form):
            kind = {"image_id": image, "category_id": numbers[label]}
            marks.append(json.dumps({"id": len(marks) + 1, **kind, **mark}))
    center = {"supercategory": "", "keypoints": ["center"], "skeleton": []}
    kinds = [{"id": numbers[name], "name": name, **center} for name in classes]
    lists = {"images": map(json.dumps, images), "categories": map(json.dumps, kinds)}
    lists["annotations"] = marks
    texts = [f'"{name}": [\n' + ",\n".join(items) + "\n]" for name, items in lists.items()]
    write_atomic(folder / "annotations.json", "{" + ",\n".join(texts) + "}\n")


def looks(source):
    """Return whether a JSON file, or one in a folder, has COCO's lists or is a list of results."""
    places = (source, source / "annotations") if source.is_dir() else (source,)
    return any(map(_looks, (head for place in places for head in heads(place, ".json"))))


def _looks(head):
    if head.startswith("["):
        return all(f'"{key}"' in head for key in ("image_id", "category_id", "score"))
    known = ("images", "annotations", "categories", "file_name", "image_id", "category_id")
    return head.startswith("{") and sum(f'"{key}"' in head for key in known) >= 3


class _Lists:
    """The images and the categories that a file lists, by their ids."""

    def __init__(self, path):
        self.path, self.images, self.categories = path, {}, {}

    def add(self, section, index, item):
        where = f"{self.path}, {section}[{index}]"
        identity, known = _identity(item, "id", where), getattr(self, section)
        if identity in known:
            raise InputError(f"{where}: id {identity!r} occurs twice. Make the ids unique.")
        if section == "images":
            size = read_size(item, ("height", "width"))
            known[identity] = need(item, "file_name", str, where), size, where
            return
        keypoints = item.get("keypoints") or []
        if type(keypoints) is not list or not all(type(name) is str for name in keypoints):
            raise InputError(f"{where}: keypoints is not a list of names. Export it again.")
        known[identity] = need(item, "name", str, where), keypoints


class _Marks:
    """The annotations as columns: a few numbers per point, however long its outline."""

    def __init__(self, path, *, crowds):
        self.path, self.results = path, False
        self.n_crowds, self._crowds = 0, crowds  # how many, and whether they are objects
        self.images, self.kinds = {}, {}  # {id: (code, where)}, {(category, ...): (code, where)}
        self._numbers, self._image_of, self._kind_of = array("d"), array("q"), array("q")
        self._unplaced = set()  # images with an annotation that makes no point

    def add(self, section, index, item):
        self.results = section == ""
        where = f"{self.path}, {section or 'result'}[{index}]"
        image = _identity(item, "image_id", where)
        code = self.images.setdefault(image, (len(self.images), where))[0]
        category = None if item.get("category_id") is None else item["category_id"]
        category = category if category is None else _identity(item, "category_id", where)
        score = read_score(item.get("score"), where)
        is_crowd = item.get("iscrowd") not in (0, None)
        self.n_crowds += is_crowd
        left_out = is_crowd and not self._crowds
        places = [] if left_out else _places(item, where, hidden=self.results)
        for slot, count, x, y, boxed in places:
            kind = category, slot, count
            self._kind_of.append(self.kinds.setdefault(kind, (len(self.kinds), where))[0])
            self._image_of.append(code)
            self._numbers.extend((x, y, boxed, np.nan if score is None else score))
        if not places:
            self._unplaced.add(image)

    @property
    def n_points(self):
        """Number of points so far."""
        return len(self._image_of)

    def names(self, lists):
        """Return the label of each kind of point; sets `table` and `kind_of`."""
        self.table = np.array(self._numbers, dtype=float).reshape(-1, 4)
        self.kind_of = np.array(self._kind_of, dtype=int)
        names = [_name(*kind, lists, where) for kind, (_, where) in self.kinds.items()]
        return np.array(names, dtype=str)

    def by_image(self, lists):
        """Yield (an image's entry in the lists, its rows of `table`)."""
        for image, (_, where) in self.images.items():
            if image not in lists.images:
                raise InputError(f"{where}: image_id {image!r} is not among the images. Add it.")
        codes = np.array(self._image_of, dtype=int)
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(self.images)))
        for image, listed in lists.images.items():
            code = self.images.get(image, (None,))[0]
            start = ends[code - 1] if code else 0
            rows = order[:0] if code is None else order[start : ends[code]]
            if rows.size or not (self.results or image in self._unplaced):
                yield listed, rows


def _identity(item, key, where):
    """Return an id: a number or a string."""
    return need(item, key, (int, str, float), where)


def _places(item, where, *, hidden):
    """Return [(keypoint, number of keypoints, x, y, measured from the edge)] of an annotation."""
    if item.get("keypoints"):
        return _keypoints(need(item, "keypoints", list, where), where, hidden=hidden)
    if item.get("bbox"):
        box = read_numbers(need(item, "bbox", list, where), where, ("x, y, width, height",))
        if len(box) != 4 or min(box[2:]) < 0:
            raise InputError(f"{where}: bbox {box[:9]}; expected x, y, width, height, from 0.")
        return [(_WHOLE, 0, box[0] + box[2] / 2, box[1] + box[3] / 2, True)]
    outlines = item.get("segmentation")
    if type(outlines) is not list or not outlines:
        raise InputError(
            f"{where} has no keypoints, no bbox and no polygons; a mask (RLE) is not read. Export "
            "it with bbox."
        )
    rings = [_ring(outline, f"{where}, segmentation") for outline in outlines]
    return [(_WHOLE, 0, *area_centre(rings), True)]


def _ring(outline, where):
    """Return (N, 2) corners of a polygon [x, y, x, y, ...]."""
    if type(outline) is not list or len(outline) % 2:
        raise InputError(f"{where} is not a list of x, y, x, y. Export it again.")
    return read_table(zip(outline[::2], outline[1::2], strict=True), where, least=3)


def _keypoints(values, where, *, hidden):
    values = read_numbers(values, where, ("x, y, v of each keypoint",))
    if len(values) % 3:
        raise InputError(f"{where}: {len(values)} numbers as keypoints; expected x, y, v of each.")
    count = len(values) // 3
    triples = enumerate(zip(values[::3], values[1::3], values[2::3], strict=True))
    return [
        (_WHOLE if count == 1 else slot, count, x, y, False)
        for slot, (x, y, visible) in triples
        if visible > 0 or hidden
    ]


def _name(category, slot, count, lists, where):
    """Return the label of a keypoint, or of a whole instance of a category."""
    if category is None and slot == _WHOLE:
        return ""
    if category not in lists.categories:
        raise InputError(f"{where}: category_id {category!r} is not among the categories. Add it.")
    name, keypoints = lists.categories[category]
    if count > 1 and len(keypoints) != count:
        raise InputError(
            f"{where} has {count} keypoints, its category {name!r} names {len(keypoints)}. Name "
            "each in the category."
        )
    return name if slot == _WHOLE else keypoints[slot]


def _to_kit(rows, shape, form):
    """Return kit points of rows (x, y, whether from edges, ...)."""
    edges = replace(form, convention="corner")
    boxed = rows[:, 2:3] > 0
    return np.where(boxed, edges.to_points(rows[:, :2], shape), form.to_points(rows[:, :2], shape))


def _truth(path):
    """Return the lists of the one other COCO file beside a file of results, or None."""
    others = [other for other in files_in(path.parent, ".json") if other != path]
    others = [other for other in others for head in heads(other, ".json") if head[:1] == "{"]
    others = [other for other in others if looks(other)]
    if not others:
        return None
    if len(others) > 1:
        raise InputError(
            f"{path} is a list of results; {', '.join(other.name for other in others[:5])} beside "
            "it list images. Keep only the one that it belongs to."
        )
    lists = _Lists(others[0])
    for section, index, item in stream_items(others[0], _LISTS):
        lists.add(section, index, item)
    return lists


def _guess(marks, pictures):
    """Return lists from the results alone: images by name or number, no class names."""
    lists = _Lists(marks.path)
    numbered = [path for path in pictures.paths if path.stem.isdecimal()]
    names = {int(path.stem): path.name for path in numbered}
    for image, (_, where) in marks.images.items():
        name = image if type(image) is str else names.get(image)
        if name is None or len(names) < len(numbered):
            raise InputError(
                f"{where}: image_id {image!r} names no image. Put the COCO file with the images "
                "beside these results."
            )
        lists.images[image] = name, None, where
    lists.categories = {kind[0]: (str(kind[0]), []) for kind in marks.kinds}
    return lists


def _instances(record, form):
    """Yield (label, JSON object) for each point."""
    points = np.round(form.from_points(record.points, record.shape), form.decimals)
    centres = replace(form, convention="corner").from_points(record.points, record.shape)
    corners = np.round(centres - form.box / 2, form.decimals)
    for i, label in enumerate(record.labels):
        mark = {"keypoints": [*points[i].tolist(), 2], "num_keypoints": 1, "iscrowd": 0}
        mark |= {"bbox": [*corners[i].tolist(), form.box, form.box], "area": form.box**2}
        yield label, mark if record.scores is None else mark | {"score": float(record.scores[i])}


FORMAT = Format(
    "coco",
    "COCO's JSON: keypoints, or the centres of boxes",
    read,
    write,
    looks,
    decimals=6,
    lists_all=True,
    carries=frozenset({"labels", "empty", "scores"}),
    checked="pycocotools",
    box=16.0,
)
