"""The tuner's server: it sends the browser candidates, pictures, pairs and insights.

About the tuner's messages. Candidates are sent once, image by image, as the model finds them; from
then on the browser counts by itself, and asks Python for what takes longer: pairs and insights.
Every answer is computed on one of three threads, so a long one delays no picture.

Not about the numbers (trial.py), nor about how the widget looks (tune.js).
"""

import math

import numpy as np

from pointlib.cache import Cache
from pointlib.errors import InputError, suggest
from pointlib.files import json_safe
from pointlib.images import open_picture
from pointlib.thresholds import FLOOR
from pointlib.tune.beside import Beside
from pointlib.tune.trial import LIMITS, open_trial
from pointlib.widgets.channel import Worker
from pointlib.widgets.pictures import small_jpeg, thumbnail
from pointlib.widgets.server import PictureServer, no_picture, picture_for

PICTURES = ("candidates", "image", "prefetch", "thumb")  # kinds of jobs, most urgent first
NUMBERS = ("use", "insight", "beside")
N_EXAMPLES = 70  # of each kind of error: nobody clicks through more


class TunerServer(PictureServer):
    """Answers one tuner's messages, and tells the browser what changes.

    Parameters
    ----------
    tuning_set : state.TuningSet
    send : callable
        As for `Channel`.

    Attributes
    ----------
    trial : trial.Trial
        The current settings. Change them with `change`.
    beside : beside.Beside
    """

    def __init__(self, tuning_set, send):
        super().__init__(send, PICTURES)
        self.names, self.tuning_set = tuning_set.names, tuning_set
        self.trial, self.beside = open_trial(tuning_set), Beside(tuning_set)
        self._insights = INSIGHTS | {"ceiling": self._kept_ceiling}
        self._ceilings = Cache(max_items=1)
        self._blank = {}  # requests for images whose heatmaps are not computed yet
        self._matcher = Worker(self._complain, ("match",))
        self._thinker = Worker(self._complain, NUMBERS)
        tuning_set.listeners.add(self._tell_image)

    def close(self):
        """Stop listening and working."""
        self.tuning_set.listeners.discard(self._tell_image)
        for worker in (self._painter, self._matcher, self._thinker):
            worker.stop()

    def change(self, by=None, /, **changes):
        """Change settings, here and in every view except the one that sent them."""
        with self._order:
            before, self.trial = self.trial, self.trial.changed(**changes)
            self.post(
                {"type": "settings", **self.trial.choices, "radius": self.trial.radii, "from": by}
            )
        if (before.radius, before.hold_back) != (self.trial.radius, self.trial.hold_back):
            self.tell_beside()

    def tell_beside(self):
        """Send the metrics of the functions for comparison, once they are computed."""
        if self.beside.entries:
            self._thinker.put(("beside",), lambda: self.post(self._rows()))

    def post(self, message, *buffers):
        """Send a message; undefined numbers become null."""
        super().post(json_safe(message), *buffers)

    # ---- messages

    def _take_hello(self, message):
        tuning_set, trial, classes = self.tuning_set, self.trial, self.tuning_set.classes
        facts = {
            "classes": list(classes),
            "names": list(tuning_set.names),
            "n_images": len(tuning_set.names),
            "shapes": tuning_set.shapes,
            "labelled": [true is not None for true in tuning_set.truth],
            "counts_true": [true and [len(true[c]) for c in classes] for true in tuning_set.truth],
            "settings": trial.settings | {"radius": trial.radii},
            "exclusive": self.tuning_set.exclusive,
            "index": trial.index,
            "hold_back": trial.hold_back,
            "most_false": trial.most_false,
            "held": trial.shuffled,
            "floor": FLOOR,
            "limits": _limits(trial),
            "has_image": tuning_set.has_images,
            "has_heatmap": tuning_set.has_heatmaps,
            "can_use": "folder" if tuning_set.folder else "model" if tuning_set.model else "",
            "folder": str(tuning_set.folder or ""),
            "part": tuning_set.part,
            "trained_on": tuning_set.trained_on,
            "beside": [],
        }
        self._welcome(message, facts)
        # as a job: a view that got no answer while a cell ran has sent many hellos
        session = message["session"]
        self._painter.put(("candidates", session), lambda: self._send_candidates(session))
        self.tell_beside()

    def _take_set(self, message):
        known = ("index", *LIMITS)
        changes = {key: message[key] for key in known if message.get(key) is not None}
        self.change(message["session"], **changes)

    def _take_match(self, message):
        trial = self._trial_of(message)
        self._matcher.put(("match", message["session"]), lambda: self._send_match(message, trial))

    def _take_insight(self, message):
        trial, which = self._trial_of(message), message["which"]
        if which not in self._insights:
            raise InputError(f"insight {which!r}: {suggest(which, self._insights)}")
        key = ("insight", message["session"], which)
        self._thinker.put(key, lambda: self._send_insight(message, trial))

    def _take_use(self, message):
        head = {"type": "used", "session": message["session"], "path": "", "needs_sure": False}
        if self.trial.caution and not message.get("sure"):
            self.post(head | {"text": self.trial.caution, "needs_sure": True})
            return
        trial = self.trial
        self._thinker.put(("use", message["session"]), lambda: self._send_used(head, trial))

    def _checked(self, index):
        return self.trial.changed(index=index).index

    def _trial_of(self, message):
        """Return the trial with the settings that a message carries."""
        keys = ("index", *LIMITS)
        return self.trial.changed(**{key: message[key] for key in keys if key in message})

    # ---- answers, on threads

    def _send_candidates(self, session):
        """Send a new view all that is ready; what comes later goes to all views."""
        with self._order:
            self._post_candidates(range(len(self.tuning_set.names)), session=session)
            self.post(self._progress())

    def _tell_image(self, i):
        """Send every view an image's candidates."""
        with self._order:
            self._post_candidates([i])
            self.post(self._progress(i))
            waiting = [m for (_, index), m in self._blank.items() if index == i]
        for message in waiting:
            self._take_image(message)
        if self.tuning_set.n_ready == len(self.tuning_set.names):
            self.tell_beside()

    def _progress(self, i=None):
        tuning_set = self.tuning_set
        error = "" if i is None else tuning_set.errors[i]
        ready, total = tuning_set.n_ready, len(tuning_set.names)
        return {"type": "progress", "ready": ready, "total": total, "error": error}

    def _post_candidates(self, indices, **head):
        """Send candidates and true points of those of the images that are ready."""
        tuning_set, rows, found, true = self.tuning_set, [], [np.zeros((0, 4))], [np.zeros((0, 2))]
        for i in indices:
            peaks, truth = tuning_set.candidates[i] or {}, tuning_set.truth[i] or {}
            if not peaks and not tuning_set.errors[i]:
                continue
            found += [np.column_stack([p.points, p.scores, p.isolation]) for p in peaks.values()]
            true += list(truth.values())
            counts = [len(peaks[c].scores) if peaks else 0 for c in tuning_set.classes]
            trues = [len(truth[c]) if truth else 0 for c in tuning_set.classes]
            about = {"error": tuning_set.errors[i], "shape": tuning_set.shapes[i]}
            rows.append({"index": i, "counts": counts, "trues": trues, **about})
        if rows:
            data = [np.concatenate(part).astype("<f8").tobytes() for part in (found, true)]
            self.post({"type": "candidates", **head, "images": rows}, *data)

    def _post_image(self, head, message):
        """Send an image with its heatmaps, or only these."""
        index, tuning_set = message["index"], self.tuning_set
        about, data = no_picture(message), b""
        if tuning_set.has_images:
            about, data = picture_for(self._source(index), message)
        heats = self._heats(message)
        if not tuning_set.has_images and (shape := tuning_set.shapes[index]):
            about |= dict(zip(("height", "width"), shape, strict=True))
        about["heat_mimes"] = ["image/png"] * len(heats)
        self.post(head | about, data, *heats)

    def _no_facts(self, _name):
        return {"heat_mimes": []}

    def _heats(self, message):
        """Return the heatmaps of an image as PNG; if not ready, the request is repeated later."""
        index, session, tuning_set = message["index"], message["session"], self.tuning_set
        with self._order:
            self._blank.pop((session, index), None)
            if tuning_set.candidates[index] is None and not tuning_set.errors[index]:
                self._blank[session, index] = message
        if not tuning_set.has_heatmaps or tuning_set.candidates[index] is None:
            return []
        return [tuning_set.heat_png(index, k) for k in range(len(tuning_set.classes))]

    def _thumbnail(self, index):
        """Return a small JPEG of an image, or of the first heatmap if there is no image."""
        if not self.tuning_set.has_images:
            return small_jpeg(open_picture(self.tuning_set.heat_png(index, 0)))
        return thumbnail(self._source(index))

    def _source(self, index):
        """Return an image's file, or the image itself if it has none."""
        return self.tuning_set.paths[index] or self.tuning_set.image(index)

    def _send_match(self, message, trial):
        """Send the pairs, as indices into the rows that were sent."""
        index, pairs, distances = message["index"], {}, {}
        if None not in (self.tuning_set.truth[index], self.tuning_set.candidates[index]):
            for name, match in trial.match(index).items():
                kept = np.flatnonzero(trial.mask(index, name))
                true, found = match.pairs.T
                pairs[name] = np.stack([true, kept[found]], axis=1)
                distances[name] = match.distances
        far = np.concatenate([np.zeros(0), *distances.values()])
        head = {key: message.get(key) for key in ("type", "session", "seq", "index")}
        error_px = far.mean() if len(far) else None
        self.post(head | {"pairs": pairs, "distances": distances, "error_px": error_px})

    def _send_insight(self, message, trial):
        head = {key: message.get(key) for key in ("type", "session", "seq", "which")}
        try:
            data = self._insights[message["which"]](trial)
            self.post(head | {"data": data, "error": ""})
        except Exception as error:
            self.post(head | {"data": None, "error": self.sentence(error)})

    def _kept_ceiling(self, trial):
        """Return the ceiling; it does not depend on thresholds, so it is cached while they move."""
        key = str((trial.radius, trial.min_distances, trial.live))
        return self._ceilings.get(key, lambda: _ceiling(trial))

    def _send_used(self, head, trial):
        try:
            self.tuning_set.wait()
            path, text = trial.write()
            self.post(head | {"path": str(path or ""), "text": text})
        except Exception as error:
            self.post(head | {"text": self.sentence(error)})

    def _rows(self):
        return {"type": "beside", "rows": self.beside.rows(self.trial)}


def _limits(trial):
    """Return the upper limits of the sliders for minimum distance and radius, pixels."""
    farthest = max(
        10, 4 * max(trial.radii.values()), *(2 * d for d in trial.min_distances.values())
    )
    return dict.fromkeys(("min_distance", "radius"), math.ceil(farthest))


def _anatomy(trial):
    """Return F1, what each kind of error costs, and examples: those of the worst images first."""
    table, flaws = trial.anatomy()
    left, examples = dict.fromkeys(table["kinds"], N_EXAMPLES), []
    for i in sorted(flaws, key=lambda i: -len(flaws[i])):
        for flaw in flaws[i]:
            left[flaw.kind] -= 1
            if left[flaw.kind] >= 0:
                about = {"kind": flaw.kind, "x": flaw.x, "y": flaw.y, "label": flaw.label}
                examples.append({"image": i, **about})
    kinds = [{"kind": kind, **values} for kind, values in table["kinds"].items()]
    return {"f1": table["f1"], "kinds": kinds, "flaws": examples}


def _ceiling(trial):
    """Return what a perfect network could reach, and the sigma."""
    return trial.ceiling()._asdict() | {"sigma": trial.tuning_set.sigma}


def _rules(trial):
    """Return the F1 of the same points by each rule."""
    return [{"rule": rule, "f1": f1} for rule, f1 in trial.rules().items()]


def _trust(trial):
    """Return the reliability of scores, and the interval of counts.

    "visible" is the interval of the current image, None until it is predicted.
    """
    bins, interval, visible = trial.reliability(), trial.count_interval(), None
    columns = {"low": bins.edges[:-1], "high": bins.edges[1:]}
    columns |= {"score": bins.score, "share": bins.share, "n": bins.n}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if trial.tuning_set.candidates[trial.index] is not None:
        ends = interval.of(trial.n_found(trial.index))
        visible = dict(zip(("low", "high"), ends, strict=True))
    return {"bins": rows, "interval": interval._asdict(), "visible": visible}


INSIGHTS = {"anatomy": _anatomy, "ceiling": _ceiling, "rules": _rules, "trust": _trust}
