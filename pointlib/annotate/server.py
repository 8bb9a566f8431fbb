"""The annotator's server: it answers the browser's messages without blocking.

About the annotator's messages. Edits go to the ledger, which journals them before it
returns; pictures and suggestions are made on two threads of the server. Errors are shown on the
widget as sentences: see widgets/channel.py.

Not about storing points (ledger.py), nor about the widget's look and keys (annotate.js).
"""

import contextlib
from pathlib import Path

import numpy as np

from pointlib.annotate.blobs import check_sigma
from pointlib.annotate.learn import Learner
from pointlib.annotate.magnet import judge_magnet
from pointlib.errors import InputError
from pointlib.widgets.channel import Worker
from pointlib.widgets.pictures import thumbnail
from pointlib.widgets.server import PictureServer, picture_for

SIGMA = 3.0  # px: default size of blobs
EDIT = ("session", "edit", "image", "op", "points", "regions", "mark", "whole")  # keys of an edit
# kinds of jobs, most urgent first
URGENCY = ("image", "snap", "magnet", "suggestions", "prefetch", "warm", "thumb")


class AnnotatorServer(PictureServer):
    """Answers one widget's messages.

    Parameters
    ----------
    ledger : Ledger
    helper : suggest.Helper
    send : callable
        ``send(message, buffers)`` sends a dict, and a list of bytes or None, to the browser.

    Attributes
    ----------
    index : int
        The current image.
    learner : Learner
    """

    reassurance = " The edits acknowledged so far are safe."

    def __init__(self, ledger, helper, send):
        super().__init__(send, URGENCY)
        self.ledger, self.helper, self.index, self.sigma = ledger, helper, 0, SIGMA
        self._thinker, self._quick = (Worker(self._complain, URGENCY) for _ in range(2))
        start = helper.model if isinstance(helper.model, Path) else None
        self.learner = Learner(ledger, self._say_learning, start=start)
        self._learnt = None  # when the model in use was learnt
        if helper.model is None:
            self._use_learnt()
        ledger.listeners.add(self.post)

    @property
    def names(self):
        """The names of the images."""
        return self.ledger.names

    @property
    def sigma(self):
        """Size of the blobs, pixels."""
        return self._sigma

    @sigma.setter
    def sigma(self, sigma):
        self._sigma = check_sigma(sigma)

    def close(self):
        """Stop listening, working and learning."""
        self.ledger.listeners.discard(self.post)
        self.learner.close()
        for worker in (self._painter, self._thinker, self._quick):
            worker.stop()

    def show(self, index):
        """Show another image, here and in the browser."""
        self.index = self._checked(index)
        self.post({"type": "goto", "index": index})

    def apply(self, edit, kind="changed"):
        """Apply an edit, and tell the browser; return the outcome.

        `kind` is the type of the message: "ack" if the browser sent the edit.
        """
        with self._order:
            outcome = self.ledger.apply(edit, by=self.post)
            self.post({**outcome, "type": kind})
        return outcome

    def _take_hello(self, message):
        ledger = self.ledger
        counts = [list(ledger.counts(name).values()) for name in ledger.names]
        facts = {
            "key": ledger.key,
            "folder": str(ledger.folder),
            "names": ledger.names,
            "states": [ledger.state(name) for name in ledger.names],
            "counts": counts,
            "classes": list(ledger.classes),
            "index": self.index,
            "read_only": ledger.read_only,
            "has_model": self.helper.model is not None,
            "sigma": self.sigma,
            "dark": self.helper.dark,
            "learning": self.learner.facts(),
        }
        self._welcome(message, facts)

    def _take_edit(self, message):
        edit = {key: message[key] for key in EDIT if key in message}
        if message.get("magnet"):
            self.sigma = message.get("sigma") or self.sigma
            self.helper.dark = message.get("dark")
            edit["points"] = [self.snapped(edit["image"], point) for point in edit["points"]]
        self.apply(edit, "ack")

    def _take_image(self, message):
        super()._take_image(message)
        if not message.get("prefetch"):
            self.index = message["index"]
            self._warm(self.ledger.path(self.names[self.index]))

    def _warm(self, path):
        """Run the model on an image ahead of time: magnet and suggestions then wait less."""
        if self.helper.model is not None:
            self._thinker.put(("warm",), lambda: self.helper.candidates(path))

    def _take_learn(self, message):
        if message.get("now"):
            self.learner.ask()
        else:
            self.learner.turn(message["on"])

    def _use_learnt(self):
        """Use the learnt model, if there is one; return whether it is another than before."""
        when = self.learner.learnt.get("time")
        if when in (None, self._learnt):
            return False
        self._learnt = when
        self.helper.use(self.learner.model)
        return True

    def _say_learning(self, facts):
        """Tell the browser how learning goes; after a lesson, use its model."""
        is_new = facts["share"] is None and self._use_learnt()
        self.post({"type": "learning", "is_new": is_new, **facts})

    def _take_suggestions(self, message):
        self.helper.dark = message.get("dark")
        self._thinker.put(
            ("suggestions", message["session"]), lambda: self._send_suggestions(message)
        )

    def _take_snap(self, message):
        """Say where a click would land; of several places only the last counts."""
        key = ("snap", message["session"])
        self._quick.put(key, lambda: self._send_snap(message))

    def _send_snap(self, message):
        head = {key: message[key] for key in ("type", "session", "image", "t")}
        point = {"x": message["x"], "y": message["y"], "label": message["label"]}
        self.helper.dark, place = message.get("dark"), None
        try:
            sigma = check_sigma(message.get("sigma") or self.sigma)
            place = self._place_of(message["image"], point, sigma=sigma)
        finally:  # the next question waits for the answer
            self.post(head | {"place": None if place is None else [float(v) for v in place]})

    def _take_magnet(self, message):
        """Say whether the magnet fits what was clicked by hand."""
        key = ("magnet", message["session"])
        self._quick.put(key, lambda: self._send_magnet(message))

    def _send_magnet(self, message):
        """Tell how many of the clicks the magnet would have moved, and by how much: magnet.py."""
        self.helper.dark = message.get("dark")
        sigma = check_sigma(message.get("sigma") or self.sigma)
        verdict = judge_magnet(self.helper, self.ledger, message["image"], sigma=sigma)
        head = {key: message[key] for key in ("type", "session", "image")}
        self.post(head | verdict._asdict() | {"harms": verdict.harms})

    def _checked(self, index):
        if type(index) is not int or index not in range(len(self.ledger.names)):
            raise InputError(f"image {index!r} does not exist; there are {len(self.ledger.names)}.")
        return index

    def snapped(self, name, point):
        """Return a point (a dict), moved to the object under it; unchanged if there is none."""
        place = self._place_of(name, point, sigma=self.sigma)
        if place is None:
            return point
        return {**point, "x": float(place[0]), "y": float(place[1]), "source": "magnet"}

    def _place_of(self, name, point, *, sigma):
        """Return the place of the object under a point (a dict), or None."""
        with contextlib.suppress(InputError):  # the ledger reports what is wrong with it
            path, label = self.ledger.path(name), point.get("label")
            return self.helper.magnet(path, (point["x"], point["y"]), sigma=sigma, label=label)
        return None

    def _refuse(self, content, error):
        """Tell the sender of an edit that it was refused; report other errors to all views."""
        if content.get("type") != "edit":
            self._complain(error)
            return
        head = {"session": content.get("session"), "edit": content.get("edit")}
        with contextlib.suppress(ValueError):  # head may not be valid JSON
            self.post({"type": "refused", **head, "reason": self.sentence(error)})

    def _post_image(self, head, message):
        """Send an image and its annotation, without the picture if the browser has it."""
        name = head["name"]
        path = self.ledger.path(name)
        about, data = {"stamp": _stamp(path)}, []
        if not about["stamp"] or message.get("have") != about["stamp"]:
            shown, *data = picture_for(path, message)
            about |= shown
        with self._order:  # an edit is in this snapshot, or is sent after it
            annotation = self.ledger.load(name)
            about |= dict(zip(("height", "width"), annotation.shape, strict=True))
            self.post(head | about | self._facts(name, annotation), *data)

    def _no_facts(self, name):
        return self._facts(name, None)

    def _facts(self, name, annotation):
        """Return what a browser needs to know of an image's annotation."""
        points, rejected = (
            [{"id": key, **point._asdict()} for key, point in found.items()]
            for found in ((annotation.points, annotation.rejected) if annotation else ({}, {}))
        )
        counts = self.ledger.counts(name)
        return {
            "points": points,
            "rejected": rejected,
            "regions": [
                {"id": key, "rings": rings}
                for key, rings in (annotation.regions.items() if annotation else ())
            ],
            "mark": annotation.mark if annotation else "",
            "state": self.ledger.state(name),
            "counts": counts,
            "total": sum(counts.values()),
        }

    def _thumbnail(self, index):
        return thumbnail(self.ledger.path(self.names[index]))

    def _send_suggestions(self, message):
        source, sigma = message["from"], message.get("sigma") or self.sigma
        head = {key: message[key] for key in ("type", "session", "image", "from")}
        classes = self.ledger.classes
        head |= {"sigma": sigma, "classes": list(classes)}
        try:
            path = self.ledger.path(message["image"])
            offer = self.helper.suggest(path, source, sigma=sigma, classes=classes)
            numbers = [classes.index(label) for label in offer.labels.tolist()]
            rows = np.column_stack([offer.points, numbers, offer.scores]).astype("<f4")
            head["radius"] = float(offer.radius)
            head["thresholds"] = list(offer.thresholds.values())
            self.post(head | {"n": len(rows), "error": ""}, rows.tobytes())
        except Exception as error:
            self.post(head | {"n": 0, "error": self.sentence(error)})


def _stamp(path):
    """Return a string that changes with the file, to know when to read it again."""
    with contextlib.suppress(OSError):
        return f"{path.stat().st_mtime_ns} {path.stat().st_size}"
    return ""
