"""The annotator: a notebook widget in which people click points on a folder's images.

About what a notebook cell sees: `Annotator`, its points and its edits. The browser side is
annotate.js; server.py answers its messages, ledger.py stores the points.
"""

import base64
import contextlib
import secrets
import time
from collections.abc import Sequence
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import ArrayLike
from PIL import Image

from pointlib.annotate.journal import read_journal
from pointlib.annotate.ledger import open_ledger
from pointlib.annotate.server import EDIT, AnnotatorServer
from pointlib.annotate.steps import OUTSIDE, SUGGESTED, Point
from pointlib.annotate.suggest import Helper, one_a_spot, still_open
from pointlib.errors import InputError, plural, suggest
from pointlib.files import need_file
from pointlib.images import encode_image, open_picture
from pointlib.points import check_points
from pointlib.regions import Regions
from pointlib.widgets.channel import read_module, read_style
from pointlib.widgets.pictures import check_size, thumbnail

if TYPE_CHECKING:  # torch takes seconds to import
    from pointlib.model.point_model import PointModel

PREVIEW = 400  # px: the longer side of the picture for viewers without widgets


class Annotator(anywidget.AnyWidget):
    """Click points on a folder's images: ``Annotator("photos", classes=("crop", "weed"))``.

    Every edit is journalled before it is acknowledged, and can be undone: see annotate/ledger.py.
    Changes made by code appear in the browser, and vice versa.

    Parameters
    ----------
    folder : str or Path
        Folder of images, or a dataset folder with `images/`.
    classes : sequence of str, optional
        Default: those in the folder's text files, else the one class "point".
    model : str, Path or PointModel, optional
        A trained model, for suggestions and the click magnet.
    learn : bool
        Learn a model from what is done while people click: see annotate/learn.py. It goes on from
        `model`, if that is a folder. The button in the browser turns it on and off too.
    height : int
        Height of the widget, pixels, until it is changed at its corner; less in a lower window.

    Attributes
    ----------
    sigma : float
        Size of the blobs that magnet and suggestions look for, pixels: see annotate/blobs.py. The
        slider in the browser sets it too.
    dark : bool or None
        Whether those blobs are darker (True) or brighter (False) than their surroundings; None:
        either.
    folder, key : Path, str
        The images' folder, and the journal's id.
    classes, images : tuple of str, list of str
    image : str
        The current image; `points`, `labels` and `state` are of this image.
    learnt_model : Path
        The folder of the model that is learnt here; it exists after the first lesson.
    read_only : str
        "", or a sentence on why edits are refused.
    state : str
        "unlabelled", "started" (points, more to come), "labelled" (done: all are clicked), "empty"
        (looked, nothing here) or "skipped".
    states, counts : dict
        Of all images: {image: state}, {image: {class: number of points}}.

    Examples
    --------
    >>> from pointlib import Annotator, draw_cells, write_image
    >>> write_image("cells/a.png", draw_cells((40, 60), n=5).image)
    >>> annotator = Annotator("cells")
    >>> annotator.add([[10, 12], [30.5, 20]])
    >>> annotator.points.tolist()
    [[10.0, 12.0], [30.5, 20.0]]
    >>> annotator.mark("done")
    >>> annotator.states
    {'a.png': 'labelled'}
    >>> annotator.close()
    """

    _esm = read_module("annotate/annotate.js")
    _css = read_style()
    height = traitlets.Int(640).tag(sync=True)

    def __init__(
        self,
        folder: str | Path,
        *,
        classes: Sequence[str] | None = None,
        model: "str | Path | PointModel | None" = None,
        learn: bool = False,
        height: int = 640,
    ) -> None:
        self._is_open = False
        self._ledger = open_ledger(folder, classes=classes)
        super().__init__(height=height)
        send = lambda *parts: self.send(*parts)  # noqa: E731, PLW0108 - looked up at each call
        self._server = AnnotatorServer(self._ledger, Helper(model), send)
        self._session, self._edits, self._ids = secrets.token_hex(3), count(1), count(1)
        self.on_msg(lambda _widget, content, _buffers: self._server.receive(content))
        self._is_open = True
        if learn:
            self._server.learner.turn(True)

    def __repr__(self):
        n_points = sum(sum(counts.values()) for counts in self.counts.values())
        words = [plural(len(self.images), "image"), plural(n_points, "point")]
        return f"Annotator({', '.join(words)})"

    def _repr_mimebundle_(self, **kwargs):
        data, *metadata = super()._repr_mimebundle_(**kwargs)
        with contextlib.suppress(InputError):  # the widget itself shows the error
            data["image/png"] = base64.b64encode(self._preview()).decode()
        return data, *metadata

    # ---- for code

    sigma = property(
        lambda self: self._server.sigma, lambda self, sigma: setattr(self._server, "sigma", sigma)
    )
    dark = property(
        lambda self: self._server.helper.dark,
        lambda self, dark: setattr(self._server.helper, "dark", dark),
    )
    folder = property(lambda self: self._ledger.folder)
    key = property(lambda self: self._ledger.key)
    classes = property(lambda self: self._ledger.classes)
    read_only = property(lambda self: self._ledger.read_only)
    images = property(lambda self: list(self._ledger.names))
    image = property(lambda self: self._ledger.names[self._server.index])
    state = property(lambda self: self._ledger.state(self.image))
    states = property(lambda self: {name: self._ledger.state(name) for name in self.images})
    counts = property(lambda self: {name: self._ledger.counts(name) for name in self.images})

    @property
    def points(self) -> np.ndarray:
        """The points of this image, (N, 2) float64: x, y in pixels, in the order added."""
        places = [(p.x, p.y) for p in self._ledger.load(self.image).points.values()]
        return np.array(places, dtype=float).reshape(-1, 2)

    @property
    def labels(self) -> np.ndarray:
        """The class of each of the `points`, (N,) str."""
        return np.array([p.label for p in self._ledger.load(self.image).points.values()], dtype=str)

    def goto(self, image: str | int | None = None, *, step: int = 0) -> None:
        """Show an image: by name, by number from 0, or `step` images on (negative: back)."""
        names = self.images
        if image is None:
            image = min(max(self._server.index + step, 0), len(names) - 1)
        if isinstance(image, str) and image in names:
            image = names.index(image)
        if isinstance(image, str) or image not in range(-len(names), len(names)):
            raise InputError(f"{self.folder} has no image {image!r}. {suggest(image, names)}")
        self._server.show(range(len(names))[image])

    def add(
        self,
        points: ArrayLike,
        *,
        label: str | Sequence[str] | None = None,
        magnet: bool = False,
    ) -> None:
        """Add points (N, 2), pixels, to this image.

        `label` is one class or N of them; default: the first class. With `magnet` each point moves
        to the blob under it, if there is one.
        """
        points = check_points(points)
        labels = [label or self.classes[0]] * len(points) if np.ndim(label) == 0 else label
        if len(labels) != len(points):
            raise InputError(f"{len(labels)} labels for {len(points)} points; expected one each.")
        self._add(points, labels, "code", magnet=magnet)

    def delete(self, indices: ArrayLike) -> None:
        """Delete points of this image by index into `points`: a number, several, or a mask."""
        ids = np.array(list(self._ledger.load(self.image).points), dtype=str)
        try:
            chosen = np.atleast_1d(ids[indices])
        except IndexError as error:
            raise InputError(f"{self.image} has {len(ids)} points: {error}.") from error
        if chosen.size:
            self._edit("delete", points=[{"id": key} for key in chosen.tolist()])

    @property
    def regions(self) -> Regions | None:
        """The areas of this image in which every object is clicked; None: there are none."""
        areas = self._ledger.load(self.image).regions
        return Regions(list(areas.values())) if areas else None

    @regions.setter
    def regions(self, regions: Regions | None) -> None:
        areas = self._ledger.load(self.image).regions
        if areas:
            self._edit("unregion", regions=[{"id": key} for key in areas])
        if regions is not None:
            ids = (f"{self._session}-{next(self._ids)}" for _ in regions.areas)
            rings = [[ring.tolist() for ring in area] for area in regions.areas]
            areas = [{"id": k, "rings": r} for k, r in zip(ids, rings, strict=True)]
            self._edit("region", regions=areas)

    def mark(self, mark: str, *, whole: bool = False) -> None:
        """Mark this image "done", "started", "empty" (looked, nothing here) or "skipped".

        "done" holds for the image's regions if it has some; with `whole` it holds for all of the
        image, and they are removed. "unlabelled" takes "empty" and "skipped" back.
        """
        self._edit("mark", mark=mark, whole=whole)

    def undo(self) -> None:
        """Undo the last step in this folder, in whatever image, and go there."""
        self.goto(self._edit("undo")["image"])

    def redo(self) -> None:
        """Redo the step that was undone last, and go there."""
        self.goto(self._edit("redo")["image"])

    def suggestions(
        self, source: str | None = None, *, sigma: float | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return suggestions for this image: points (N, 2), labels (N,), scores (N,), best first.

        `source` is "blobs" or "model" (the default if there is one); `sigma` is the blobs' size.
        Those near a point, or near a rejected one of their class, are left out; of those of
        several classes at one spot the best is kept, which is farthest above its class's threshold.
        """
        offer = one_a_spot(self._offer(source, sigma))
        return offer.points, offer.labels, offer.scores

    def accept(
        self,
        threshold: float | None = None,
        *,
        offset: float = 0.0,
        source: str | None = None,
        sigma: float | None = None,
    ) -> int:
        """Add the suggestions whose score is high enough, one a spot; return how many.

        Parameters
        ----------
        threshold : float, optional
            The lowest score, used as given. Default: the threshold that the model has for each
            class, 0.3 for blobs.
        offset : float
            Added to those thresholds; the sums stay within 0 and 1.
        source, sigma
            As for `suggestions`.
        """
        if threshold is not None and offset:
            raise InputError(
                f"threshold is {threshold} and offset is {offset}; expected one of the two: an "
                "offset is added to the model's own thresholds."
            )
        good = one_a_spot(self._offer(source, sigma).above(threshold, offset=offset))
        self._add(good.points, good.labels, SUGGESTED, scores=good.scores.tolist())
        return len(good.points)

    def learn(self) -> dict[str, Any]:
        """Learn now from what is done or in regions; wait, and return what it came to.

        The model is in the folder `learnt_model`, as any training writes it.

        Returns
        -------
        dict
            ``points`` and ``images`` it learnt from; ``f1``, its standard ``error`` and ``n_held``,
            the points held back that it was scored on: f1 is None if there are none; and
            ``cpu_seconds``.
        """
        learner = self._server.learner
        learner.ask()
        learner.wait()
        if why := learner.facts()["why"]:
            raise InputError(why)
        keys = ("points", "images", "f1", "error", "n_held", "cpu_seconds")
        return {key: learner.learnt[key] for key in keys}

    learnt_model = property(lambda self: self._server.learner.model)

    def play(self, journal_path: str | Path, *, pause: float = 0.0) -> int:
        """Replay the steps of a journal in this folder; return their number.

        A step already made here, by its session and number, is not made twice. What other
        programs wrote into text files is not replayed: start from the same text files.
        `pause` is the time between two steps, seconds.
        """
        edits = recorded_edits(read_journal(need_file(journal_path, "journal")))
        for edit in edits:
            if edit["image"] != self.image:
                self.goto(edit["image"])
            self._server.apply(edit)
            time.sleep(pause)
        return len(edits)

    def flush(self) -> None:
        """Write everything to disk: the journal and all text files."""
        self._ledger.flush()

    def close(self) -> None:
        """Close the widget: write the text files and release the folder's lock."""
        if self._is_open:
            self._is_open = False
            self._server.close()
            self._ledger.close()
        super().close()

    def _add(self, points, labels, source, *, scores=None, magnet=False):
        scores = scores or [None] * len(points)
        rows = [
            {"id": f"{self._session}-{next(self._ids)}", "x": x, "y": y, "label": str(label)}
            | {"source": source, "score": score}
            for (x, y), label, score in zip(points.tolist(), labels, scores, strict=True)
        ]
        rows = [self._server.snapped(self.image, row) for row in rows] if magnet else rows
        if rows:
            self._edit("add", points=rows)

    def _edit(self, op, **parts):
        head = {"session": self._session, "edit": next(self._edits), "image": self.image}
        return self._server.apply({**head, "op": op, **parts})

    def _offer(self, source, sigma):
        """Return all suggestions for this image that are still open."""
        helper = self._server.helper
        source = source or helper.default
        found = helper.suggest(self._path, source, sigma=sigma or self.sigma, classes=self.classes)
        return still_open(found, self._ledger.load(self.image))

    @property
    def _path(self):
        return self._ledger.path(self.image)

    def _preview(self):
        """Return a small PNG, bytes, of this image with its points."""
        from pointlib.plots import draw_overlay  # matplotlib takes a second

        height, width = check_size(self._path)
        picture = np.asarray(open_picture(thumbnail(self._path, PREVIEW)))
        points = (self.points + 0.5) * np.divide(picture.shape[1::-1], (width, height)) - 0.5
        drawn = Image.fromarray(draw_overlay(picture, points, self.labels, classes=self.classes))
        drawn.thumbnail((PREVIEW, PREVIEW))
        # few colours: it is stored in the notebook
        return encode_image(drawn.quantize(64, kmeans=1), compression=9, dpi=72)


def recorded_edits(lines):
    """Return the edits that a journal's lines record, in order, without those from outside.

    Each is a dict as for `Ledger.apply`, with its own session and number.
    """
    own = [line for line in lines if "step" in line and line["session"] != OUTSIDE]
    edits = []
    for _, step in groupby(own, key=lambda line: line["step"]):
        points = list(step)
        first = {key: points[0][key] for key in EDIT if key in points[0]}
        edits.append(first | _parts(first["op"], points))
    return edits


def _parts(op, lines):
    """Return the parts of an edit, a dict, from the lines of its step."""
    if op == "mark":
        return {"whole": len(lines) > 1}  # the others take its regions away
    if op in ("region", "unregion"):
        return {"regions": [{key: line[key] for key in ("id", "rings")} for line in lines]}
    if op in ("undo", "redo"):
        return {}
    points = [{key: line[key] for key in ("id", *Point._fields)} for line in lines]
    return {"points": points, "mark": lines[0].get("mark", "")}
