"""`labelstudio`, the tasks of Label Studio: its exports JSON, JSON-MIN, CSV, TSV, and its import.

Percent of the width and height stated in the file, from the image's edge (corner): the pages on the
tags say "percentage of the image size (0-100)"; that a pixel's centre is half a pixel on is how
browsers count, unverified for what is drawn. `image_rotation` must be 0.

A keypoint is its x, y (`width` is the size of its dot); a rectangle, which is rotated about its
first corner, and an ellipse are their centres, a polygon the centroid of its area. Brushes and
other shapes are refused. Results without a position (choices, texts, ratings, relations) are
ignored. A region's class is its label, in the same result or in one with the same `id`. A box that
holds keypoints is no object of its own.

A task with an annotation is labelled, even if its `result` is empty; cancelled (skipped)
annotations and drafts do not count. Of several annotations, by several people, the one marked as
ground truth is used; otherwise they are refused. Predictions come from a model, not from a person:
they are read, with their scores, only if no task in the file has an annotation.

`write` makes tasks.json, whose images Label Studio serves as local files from the folder, and
labeling_config.xml, the matching labelling interface. Points with scores become predictions. The
converter and the checks of label-studio-sdk 2.0.19 accept both; the server itself was not run.
"""

import json
import math
import re
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

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
)
from pointlib.formats.shared.labelled import names_region, regions_of_areas
from pointlib.formats.shared.parts import area_centre
from pointlib.formats.shared.safe import (
    load_json,
    need,
    parse_cell,
    points_table,
    read_numbers,
)
from pointlib.formats.shared.tables import read_table as read_cells
from pointlib.images import IMAGE_SUFFIXES, list_images
from pointlib.points import class_names

_IMAGE = re.compile(rf"({'|'.join(map(re.escape, IMAGE_SUFFIXES))})($|[?&#])", re.IGNORECASE)
TABLES = (".csv", ".tsv")
_FRAMES = ("polygon", "rectangle")  # kinds that may be regions
_DOT = 0.5  # percent of the width, of the dots written


def read(source, pictures, form):
    """Yield a Record for each task that has an annotation or, if none has, a prediction."""
    path = _file(source, pictures)
    tasks = _table_tasks(path) if path.suffix.lower() in TABLES else load_json(path)
    tasks = tasks if isinstance(tasks, list) else [tasks]
    tasks = [_task(task, f"{path}, task [{index}]") for index, task in enumerate(tasks)]
    kind = "annotations" if any(task["annotations"] for task in tasks) else "predictions"
    for task in tasks:
        if (said := _one(task[kind], task["where"])) is not None:
            image = pictures.find(_image_name(task), task["where"])
            regions = list(_regions(said, task["where"], scored=kind == "predictions"))
            sizes = {region["size"] for region in regions} - {None}
            if len(sizes) > 1:
                raise InputError(f"{task['where']}: original sizes {sorted(sizes)}; expected one.")
            stated = next(iter(sizes), None)
            shape = stated or pictures.shape(image)
            frames = [r for r in regions if r["kind"] in _FRAMES and names_region(r["label"])]
            objects = [r for r in regions if r not in frames]
            objects = _without_holders(objects, pictures)
            rows = [(*_centre(r, shape), r["label"], r["score"]) for r in objects]
            values, labels, scores = points_table(rows)
            labelled = regions_of_areas([[_corners(r)] for r in frames], form, shape)
            yield Record(image, stated, form.to_points(values, shape), labels, scores, labelled)


def write(folder, records, form):
    """Write tasks.json, a task for each image, and labeling_config.xml."""
    known = {record.name: record for record in records}
    kind = "annotations" if all(r.scores is None for r in records) else "predictions"
    tasks = []
    for image in list_images(folder / "images"):
        name = image.relative_to(folder / "images").as_posix()
        served = f"/data/local-files/?d=images/{quote(name)}"
        tasks.append({"data": {"image": served}})
        if record := known.get(name):
            tasks[-1][kind] = [{"result": list(_results(record, form))}]
    lines = ",\n".join(map(json.dumps, tasks))
    write_atomic(folder / "tasks.json", f"[\n{lines}\n]\n")
    names = class_names([record.labels for record in records])
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in names)
    control = f'<KeyPointLabels name="label" toName="image">\n{labels}  </KeyPointLabels>'
    if not any(any(record.labels) for record in records):
        control = '<KeyPoint name="point" toName="image"/>'
    shown = f'<View>\n  <Image name="image" value="$image"/>\n  {control}\n</View>\n'
    write_atomic(folder / "labeling_config.xml", shown)


def looks(source):
    """Return whether a file, or one in a folder, has tasks of one of the exports."""
    if any(_is_table(head) for head in heads(source, *TABLES)):
        return True
    return any(
        all(f'"{key}"' in head for key in keys) and head[0] in "[{"
        for head in heads(source, ".json")
        for keys in (("data", "result"), ("annotation_id", "lead_time"))
    )


def _is_table(head):
    names = head.partition("\n")[0]
    return all(name in names for name in ("annotation_id", "lead_time", "annotator"))


def _file(source, pictures):
    """Return the export that a user means: the file, or the one in a folder."""
    if source.is_dir():
        tables = [path for path in files_in(source, *TABLES) if looks(path)]
        if len(tables) == 1 and not files_in(source, ".json"):
            return tables[0]
    return one_json(source, pictures, looks)


def _table_tasks(path):
    """Return the rows of the export "CSV" or "TSV" as tasks of "JSON-MIN", whose cells they are."""
    table = read_cells(path)
    tasks = []
    for line, cells in table.rows:
        task = {}
        for name, cell in zip(table.header or (), cells, strict=False):
            task[name] = parse_cell(cell, name, table.where(line)) if cell[:1] == "[" else cell
        tasks.append({key: value for key, value in task.items() if value})
    return tasks


def _without_holders(regions, pictures):
    """Return regions without boxes that hold keypoints: those are no objects of their own."""
    parents = {region["parent"] for region in regions} - {None}
    places = [_centre(r, (1, 1)) for r in regions if r["kind"] == "keypoint"]
    kept = []
    for region in regions:
        is_box = region["kind"] == "rectangle" and not region["value"].get("rotation")
        holds = region["key"] in parents or (is_box and places and _contains(region, places))
        if not (is_box and holds):
            kept.append(region)
    n_left = len(regions) - len(kept)
    if n_left:
        pictures.note("Boxes that hold keypoints are no points of their own", n_left)
    return kept


def _contains(region, places):
    """Return whether a box contains one of some places, percent."""
    (left, top), _, (right, bottom), _ = _corners(region)
    return any(left <= x <= right and top <= y <= bottom for x, y in places)


def _task(task, where):
    """Return {"where", "data", valid "annotations", "predictions"} of either export."""
    if not isinstance(task, dict):
        raise InputError(f"{where} is a {type(task).__name__}; expected a task. Export as JSON.")
    if "data" not in task:
        return _minimal(task, where)
    name = "completions" if "completions" in task else "annotations"  # before version 1.0
    said = {
        key: need({key: task.get(key) or []}, key, list, where) for key in (name, "predictions")
    }
    if not all(isinstance(each, dict) for each in (*said[name], *said["predictions"])):
        raise InputError(f"{where}: {name} and predictions must hold objects. Export it again.")
    found = [each for each in said[name] if not (each.get("was_cancelled") or each.get("skipped"))]
    parts = {"annotations": found, "predictions": said["predictions"]}
    data = need(task, "data", dict, where)
    return {"where": where, "data": data, "upload": task.get("file_upload"), **parts}


def _minimal(task, where):
    """Return a task of "JSON-MIN", in which each control's name holds its regions' values."""
    values = [value for each in task.values() if isinstance(each, list) for value in each]
    values = [value for value in values if isinstance(value, dict) and _has_place(value)]
    named = [value for value in values if any(key.endswith("labels") for key in value)]
    if named and len(values) not in (len(named), 2 * len(named)):  # a shape control repeats all
        raise InputError(f"{where} has regions with and without a class. Export as JSON.")
    results = [{**value, "value": value} for value in named or values]
    looked = results or task.get("annotation_id") is not None
    task = {"where": where, "data": task, "upload": None, "predictions": []}
    _image_name(task)
    return {**task, "annotations": [{"result": results}] if looked else []}


def _has_place(value):
    return any(key in value for key in ("x", "points", "rle", "vertices", "sequence"))


def _one(said, where):
    """Return the one annotation or prediction that counts, None if there is none."""
    starred = [each for each in said if each.get("ground_truth")]
    if len(said) > 1 and len(starred) != 1:
        raise InputError(
            f"{where} has {len(said)} annotations or predictions; expected one. Mark one as ground "
            "truth, or delete the others."
        )
    return starred[0] if len(said) > 1 else next(iter(said), None)


def _image_name(task):
    """Return the name of a task's image: the string in its data with an image's suffix."""
    texts = {key: text for key, text in task["data"].items() if isinstance(text, str)}
    named = {key: text for key, text in texts.items() if _IMAGE.search(text)}
    if "image" in named:
        return named["image"]
    if not named and isinstance(task["upload"], str):
        return task["upload"]
    if len(named) != 1:
        raise InputError(
            f"{task['where']}: its data has {len(named)} images ({', '.join(named) or 'none'}); "
            "expected one, under the key image."
        )
    return next(iter(named.values()))


def _regions(said, where, *, scored):
    """Yield {"kind", "value", "where", "size", "label", "score"} of the results with a position."""
    places, names = {}, {}
    for index, result in enumerate(need(said, "result", list, where)):
        here = f"{where}, result [{index}]"
        if not isinstance(result, dict):
            raise InputError(f"{here} is a {type(result).__name__}; expected an object.")
        if "value" not in result:  # a relation between two regions
            continue
        value = need(result, "value", dict, here)
        key = result["id"] if isinstance(result.get("id"), str) else index
        if _has_place(value):
            places.setdefault(key, (here, result, value))
        if (label := _label(value, here)) and names.setdefault(key, label) != label:
            raise InputError(f"{here} is {label!r} and {names[key]!r}; expected one class.")
    for key, (here, result, value) in places.items():
        if result.get("image_rotation") not in (None, 0) or result.get("item_index") not in (
            None,
            0,
        ):
            raise InputError(
                f"{here} was made on a rotated image (image_rotation) or on one of several "
                "(item_index); neither is read. Rotate it back, or split the task."
            )
        score = read_score(result.get("score", said.get("score")), here) if scored else None
        size = read_size(result, ("original_height", "original_width"))
        place = {"kind": _kind(result, value), "value": value, "where": here, "size": size}
        place |= {"key": key, "parent": result.get("parentID")}
        yield {**place, "label": names.get(key, ""), "score": score}


def _label(value, where):
    """Return the class in a value, "" if it has none."""
    found = [value[key] for key in value if key.endswith("labels") and value[key]]
    found = [each if isinstance(each, list) else [each] for each in found]
    if len(found) > 1 or any(len(each) > 1 or not isinstance(each[0], str) for each in found):
        raise InputError(f"{where} has several labels; expected one string. Choose one class.")
    return found[0][0] if found else ""


def _kind(result, value):
    """Return the shape of a region, from its type or else from its value."""
    named = str(result.get("type", "")).lower().removesuffix("labels")
    signs = {"rle": "brush", "points": "polygon", "radiusX": "ellipse", "height": "rectangle"}
    return named or next((kind for key, kind in signs.items() if key in value), "keypoint")


def _centre(region, shape):
    """Return the centre (x, y) of a region, percent, on an image of `shape` (H, W)."""
    kind, value, where = region["kind"], region["value"], region["where"]
    if kind in ("keypoint", "ellipse"):
        return read_numbers((value.get("x"), value.get("y")), where, ("x", "y"))
    if kind == "rectangle":
        names = ("x", "y", "width", "height", "rotation")
        value = {"rotation": 0, **value}
        x, y, width, height, turn = read_numbers([value.get(n) for n in names], where, names)
        right, down = width * shape[1] / 200, height * shape[0] / 200  # half sides, in pixels
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        x += (right * cos - down * sin) * 100 / shape[1]
        return x, y + (right * sin + down * cos) * 100 / shape[0]
    if kind == "polygon":
        return area_centre([read_table(need(value, "points", list, where), where, least=3)])
    raise InputError(
        f"{where} is a {kind:.40}; keypoints, rectangles, ellipses and polygons are read. Draw "
        "those, or remove it."
    )


def _corners(region):
    """Return the corners (x, y), percent, of a polygon or of a rectangle that is not turned."""
    value, where = region["value"], region["where"]
    if region["kind"] == "polygon":
        return read_table(need(value, "points", list, where), where, least=3)
    if value.get("rotation"):
        raise InputError(f"{where} is a turned rectangle as a region. Draw it as a polygon.")
    names = ("x", "y", "width", "height")
    x, y, width, height = read_numbers([value.get(n) for n in names], where, names)
    return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]


def _results(record, form):
    """Yield the result object of each point."""
    values = np.round(form.from_points(record.points, record.shape), form.decimals).tolist()
    size = {"original_width": record.shape[1], "original_height": record.shape[0]}
    for i, ((x, y), label) in enumerate(zip(values, record.labels, strict=True)):
        kind, names = ("keypointlabels", [str(label)]) if label else ("keypoint", None)
        result = {"id": f"p{i}", "type": kind, "from_name": "label" if label else "point"}
        result |= {"to_name": "image", **size, "image_rotation": 0}
        result["value"] = {"x": x, "y": y, "width": _DOT} | ({kind: names} if label else {})
        scored = record.scores is not None
        yield result | ({"score": float(record.scores[i])} if scored else {})


FORMAT = Format(
    "labelstudio",
    "Label Studio's tasks: exports JSON, JSON-MIN, CSV",
    read,
    write,
    looks,
    unit="percent",
    convention="corner",
    decimals=8,
    carries=frozenset({"labels", "empty", "scores"}),
    checked="label-studio-sdk 2.0.19",
)
