"""Teaching: a process of its own that trains a model on what is marked so far.

It reads lessons, a line of JSON each, from its standard input, and answers in lines of JSON on its
standard output: "progress", then "learnt" or "failed". It has the lowest priority and one thread:
whoever clicks must not notice it. It ends with its input.

About one lesson. Not about when it is time for one (learn.py), nor about what is in it (lesson.py).
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from pointlib.cache import KEPT_BYTES, Cache
from pointlib.dataset import cut_items, n_colours
from pointlib.errors import InputError
from pointlib.images import to_channels
from pointlib.regions import Regions
from pointlib.windows import picture_header

NICE = 15  # of a process: how far it stands back
OTHER = 1.5  # times as large or as small: another size of objects
SURE = 50  # points that choose a threshold well
SCORES = ("f1", "precision", "recall")


def main():
    """Answer lessons until the input ends."""
    _stand_back()
    out, sys.stdout = sys.stdout, sys.stderr  # what others print must not come between

    def say(**facts):
        print(json.dumps(facts), file=out, flush=True)

    spent = 0.0  # s: the first lesson is charged with the imports too
    for line in sys.stdin:
        lesson = json.loads(line)
        try:
            facts = teach(lesson, on_progress=lambda share: say(type="progress", share=share))
            say(type="learnt", **facts, cpu_seconds=time.process_time() - spent)
        except InputError as error:
            say(type="failed", why=str(error))
        except Exception as error:  # whatever it is, somebody waits for an answer
            say(type="failed", why=f"Unexpected error: {type(error).__name__}: {error}.")
        spent = time.process_time()


def _stand_back():
    if hasattr(os, "nice"):  # on Windows learn.py asks for it
        os.nice(NICE)


def teach(lesson, *, on_progress=lambda _share: None):
    """Train on a lesson; write the model folder; return facts about how well it does.

    Parameters
    ----------
    lesson : dict
        "teaching" and "held", lists of the parts of `lesson.divide` as dicts; "classes"; "start",
        a model folder to go on from, or None; "output", the folder to write; "seconds".
    on_progress : callable
        Called with the share that is done, 0 to 1.

    Returns
    -------
    dict
        f1, error (its standard error) and n_held, the points held back that it was scored on: f1
        is None if there is none; is_new, whether it started anew.
    """
    from pointlib.config import TrainConfig
    from pointlib.model.folder import save_model
    from pointlib.train.loop import fit

    began, seconds = time.monotonic(), lesson["seconds"]
    classes = tuple(lesson["classes"])
    teaching = Marked(lesson["teaching"], classes=classes)
    held = Marked(lesson["held"], classes=classes)
    # a threshold that a handful of points choose is chance: then those that teach choose too
    is_few = held.n_points < SURE
    judges = Marked(lesson["held"] + lesson["teaching"], classes=classes) if is_few else held
    config = TrainConfig(classes=list(classes), minutes=seconds / 60, threads=1)
    config.start = _fitting(lesson.get("start"), teaching, config)
    model = fit(
        teaching,
        judges,
        config=config,
        log=_log,
        on_epoch=lambda *_: on_progress(min(1.0, (time.monotonic() - began) / seconds)),
    )
    facts = _score(model, held)
    save_model(model, lesson["output"])
    return facts | {"is_new": config.start is None}


def _fitting(start, teaching, config):
    """Return a model folder to go on from, None if it does not fit what is marked now.

    The size of the objects was found in the first few clicks: where more clicks tell another, or
    the images are of another kind, the model is learnt anew.
    """
    from pointlib.matching import radius_of
    from pointlib.train.prepare import describe_data
    from pointlib.train.start import go_on

    if start is None:
        return None
    info, _ = describe_data(teaching, config)
    try:
        before = go_on(config.model_copy(update={"start": start}), info).info
    except InputError as error:
        _log(f"learns anew: {error}")
        return None
    for name in info.classes:
        ratio = radius_of(info.radius, name) / radius_of(before.radius, name)
        if not 1 / OTHER <= ratio <= OTHER:
            _log(f"learns anew: {name} is {ratio:.1f} times as large as it seemed")
            return None
    return start


def _log(words):
    print(words, file=sys.stderr)


def _score(model, held):
    """Return how well a model does on what was held back, and note it in its `info`."""
    from pointlib.evaluation.score import image_results
    from pointlib.metrics import score_images
    from pointlib.train.validate import standard_error

    if not held.n_points:
        model.info.metrics = {}
        return {"f1": None, "error": None, "n_held": 0}
    info, results = model.info, image_results(model, held)
    scores = score_images(results, radius=info.radius, classes=info.classes)
    row = {key: float(np.nan_to_num(scores["pooled"][key])) for key in SCORES}
    info.metrics = {"validation": row | {"mae": scores["counts"]["mae"]}}
    error = standard_error({"f1": row["f1"], "n_true": held.n_points})
    return {"f1": row["f1"], "error": error, "n_held": held.n_points}


class Marked:
    """Parts of images as a dataset: see dataset.py."""

    def __init__(self, parts, *, classes):
        self._items = [item for part in parts for item in _items(part)]
        self.names = [item.name for item in self._items]
        self.classes, self._images = classes, Cache(max_bytes=KEPT_BYTES)
        self.n_channels = n_colours(self._items[0].read()) if self._items else 0
        self.n_points = sum(len(item.points) for item in self._items)

    def __len__(self):
        return len(self._items)

    def __getitem__(self, index):
        """Return image (H, W, C), points (N, 2), labels (N,)."""
        return self._images.get(index, lambda: self._read(index)), *self.points(index)

    def _read(self, index):
        return to_channels(self._items[index].read(), self.n_channels)

    def points(self, index):
        """Return points (N, 2) and labels (N,)."""
        return self._items[index].points, self._items[index].labels

    def shape(self, index):
        """Return (H, W) of an item, without reading its pixels."""
        return self._items[index].shape

    def regions(self, index):
        """Return the Regions of an item, in its pixels, or None if all of it is labelled."""
        return self._items[index].piece.regions


def _items(part):
    """Return the dataset's items of a part, a dict."""
    path = Path(part["path"])
    regions = None if part["areas"] is None else Regions(part["areas"])
    points = np.array(part["points"], dtype=float).reshape(-1, 2)
    labels = np.array(part["labels"], dtype=str)
    return cut_items(path, picture_header(path), regions, points, labels, name=part["name"])
