"""Learning while people click: when a lesson is due, the process that learns, and its model.

A lesson is due after some twenty points, and again as points come and are corrected. It is taught
in a process of its own, which can be stopped at any time: clicking never waits for it. The model
is the folder `.pointlib/learnt` beside the images, as any training writes it.

Not about what a lesson holds (lesson.py), nor about how it is taught (teach.py).
"""

import atexit
import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from pointlib.annotate.lesson import divide, marked_parts
from pointlib.errors import InputError, plural
from pointlib.files import move

FIRST = 20  # points: from then on there is something to learn
CHANGED = 10  # points that changed since the last lesson,
SHARE = 0.2  # and at least this share of all: the next one is due
SECONDS = 25.0  # of a lesson
QUIET = 2.0  # s without an edit before a lesson begins by itself
CODE = "from pointlib.annotate.teach import main; main()"
BELOW = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)  # Windows has no nice()
FACTS = ("points", "images", "f1", "error", "n_held", "time")  # of the last lesson


class Learner:
    """Learns from a folder that is being annotated.

    Parameters
    ----------
    ledger : Ledger
    tell : callable
        Called with what `facts` returns whenever that changes, from any thread.
    start : Path, optional
        A model folder that the first lesson goes on from.
    seconds : float
        How long a lesson takes.

    Attributes
    ----------
    is_on : bool
        Whether lessons begin by themselves.
    model : Path
        The model's folder; it exists after the first lesson.
    """

    def __init__(self, ledger, tell, *, start=None, seconds=SECONDS):
        self.ledger, self.start, self.seconds, self.is_on = ledger, start, seconds, False
        self.model = ledger.folder / ".pointlib" / "learnt"
        self._tell, self._school = tell, School(self.model.with_name("learn.log"))
        self._state = threading.Condition()  # guards what follows
        self._is_asked = self._is_stirred = self._is_busy = self._is_over = False
        self._edited, self._thread = 0.0, None
        self._share, self._why, self._taught = None, "", None

    @property
    def learnt(self):
        """What the last lesson came to, a dict; {} if there is no model."""
        return self.ledger.learnt if self.model.is_dir() else {}

    def facts(self):
        """Return what people want to know, a dict of JSON's kinds.

        is_on; share of the lesson that is being taught, or None; why, a sentence on what is
        missing or went wrong, or ""; and of the last lesson: points, images, f1, error, n_held,
        time.
        """
        learnt = self.learnt
        facts = {"is_on": self.is_on, "share": self._share, "why": self._why}
        return facts | {key: learnt.get(key) for key in FACTS}

    def turn(self, is_on):
        """Begin to learn, or stop: a lesson that is being taught is given up."""
        self.is_on = bool(is_on) and not self.ledger.read_only
        self._why = self.ledger.read_only if is_on else ""
        if self.is_on:
            self.ledger.listeners.add(self._listen)
            self._wake(is_stirred=True)
        else:
            self.ledger.listeners.discard(self._listen)
            self._school.close()
        self._tell(self.facts())

    def ask(self):
        """Begin a lesson now, whether or not one is due."""
        self._wake(is_asked=True)

    def wait(self, timeout=None):
        """Wait until no lesson is taught or asked for; return whether that is so."""
        with self._state:
            return self._state.wait_for(lambda: not (self._is_busy or self._is_asked), timeout)

    def close(self):
        """End; a lesson that is being taught is given up."""
        self.is_on = False
        self.ledger.listeners.discard(self._listen)
        with self._state:
            self._is_over, self._is_asked = True, False
            self._state.notify_all()
        self._school.close()
        if self._thread not in (None, threading.current_thread()):
            self._thread.join(timeout=10)

    def _listen(self, event):
        if event["type"] == "changed":
            self._edited = time.monotonic()
            self._wake(is_stirred=True)

    def _wake(self, *, is_asked=False, is_stirred=False):
        with self._state:
            self._is_asked |= is_asked
            self._is_stirred |= is_stirred
            if self._thread is None and not self._is_over:
                self._thread = threading.Thread(target=self._run, daemon=True, name="learner")
                self._thread.start()
            self._state.notify_all()

    def _run(self):
        """Teach what is due until the end; a thread must not die silently."""
        while self._next():
            try:
                self._look()
            except Exception as error:
                self._say(f"{error}" if isinstance(error, InputError) else f"{error!r}")
            with self._state:
                self._is_busy = False
                self._state.notify_all()

    def _next(self):
        """Wait until a lesson is asked for, or edits have come to rest; False at the end."""
        with self._state:
            self._state.wait_for(lambda: self._is_asked or self._is_stirred or self._is_over)
            while not (self._is_asked or self._is_over):
                left = self._edited + QUIET - time.monotonic()
                if left <= 0:
                    break
                self._state.wait(left)
            self._is_stirred, self._is_busy = False, not self._is_over
            return self._is_busy

    def _look(self):
        """Teach a lesson if it is asked for, or due."""
        is_asked, self._is_asked = self._is_asked, False
        if not (is_asked or self.is_on):
            return
        parts = marked_parts(self.ledger)
        points = _points_of(parts)
        if is_asked or self._is_due(points):
            self._lesson(parts, points)

    def _is_due(self, points):
        """Return whether enough is new since the last lesson."""
        n_taught = self.learnt.get("points", 0)
        if not n_taught:
            return len(points) >= FIRST
        # after a restart only the number of points that were taught is known
        n_new = abs(len(points) - n_taught) if self._taught is None else len(points ^ self._taught)
        return n_new >= max(CHANGED, SHARE * len(points))

    def _lesson(self, parts, points):
        """Teach a lesson, and keep its model."""
        if not points:
            self._say(
                "Nothing is clicked completely yet: mark an image done, or draw a region around "
                "what is."
            )
            return
        learnt = self.learnt
        teaching, held, boxes = divide(parts, learnt.get("held", {}))
        fresh = self.model.with_name("learnt.new")
        shutil.rmtree(fresh, ignore_errors=True)
        start = self.model if learnt else self.start
        lesson = {
            "teaching": [_plain(part) for part in teaching],
            "held": [_plain(part) for part in held],
            "classes": self._classes(parts),
            "start": start and str(start),
            "output": str(fresh),
            "seconds": self.seconds,
        }
        self._progress(0.0)
        try:
            answer = self._school.teach(lesson, on_progress=self._progress)
            if answer:
                _replace(self.model, fresh)
                facts = {"points": len(points), "images": len(parts), "held": boxes}
                self.ledger.note_learnt(facts | answer)
                self._taught = points
            self._share, self._why = None, ""
        finally:
            self._share = None
        self._tell(self.facts())

    def _classes(self, parts):
        """Return the folder's classes that have points."""
        found = {label for part in parts for label in part.labels.tolist()}
        return [name for name in self.ledger.classes if name in found]

    def _progress(self, share):
        self._share, self._why = share, ""
        self._tell(self.facts())

    def _say(self, why):
        self._share, self._why = None, why
        self._tell(self.facts())


class School:
    """The process that is taught; it is started with the first lesson, and kept for the next."""

    def __init__(self, log):
        self._log, self._process = log, None
        self._lock, self._reading = threading.Lock(), threading.Lock()

    def teach(self, lesson, *, on_progress):
        """Return the facts that a lesson came to; None if it was given up: see `close`."""
        with self._reading:
            process = self._open()
            with contextlib.suppress(OSError, ValueError):  # it was closed: the answer says so
                print(json.dumps(lesson), file=process.stdin, flush=True)
            for line in process.stdout:
                answer = json.loads(line)
                kind = answer.pop("type")
                if kind == "learnt":
                    return answer
                if kind == "failed":
                    raise InputError(f"Not learnt: {answer['why']}")
                on_progress(answer["share"])
        if self._process is process:  # nobody closed it
            self.close()
            raise InputError(f"Not learnt: the process ended. {self._log} says why.")
        return None

    def close(self):
        """Stop the process at once."""
        with self._lock:
            process, self._process = self._process, None
        if process:
            atexit.unregister(self.close)
            process.kill()
            process.wait()
            with self._reading:  # until the end of what it said
                for pipe in (process.stdin, process.stdout):
                    with contextlib.suppress(OSError):  # half a lesson may wait in it
                        pipe.close()

    def _open(self):
        with self._lock:
            if self._process is None:
                with self._log.open("w", encoding="utf-8") as log:
                    self._process = _start(log)
                atexit.register(self.close)
            return self._process


def _start(log):
    """Start the process that reads lessons from its standard input."""
    home = str(Path(__file__).parents[2])  # where this package is, installed or not
    paths = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        start_new_session=True,  # Ctrl+C and the kernel's interrupt are not for it
        creationflags=BELOW,
    )


def _points_of(parts):
    """Return the points of parts as a set of (name, x, y, label)."""
    return {
        (part.name, *place, label)
        for part in parts
        for place, label in zip(part.points.tolist(), part.labels.tolist(), strict=True)
    }


def _plain(part):
    """Return a part as JSON's kinds."""
    arrays = {"points": part.points.tolist(), "labels": part.labels.tolist()}
    return part._asdict() | arrays | {"path": str(part.path)}


def _replace(folder, fresh):
    """Put a fresh folder in the place of another."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        move(folder, old)
    move(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def in_words(facts):
    """Return a sentence on what was learnt last, and how well: for people.

    >>> in_words({"points": 96, "images": 3, "f1": 0.84, "error": 0.04, "n_held": 31})
    'learnt from 96 points in 3 images; F1 0.84 ± 0.04 on 31 points held back'
    """
    what = f"learnt from {plural(facts['points'], 'point')} in {plural(facts['images'], 'image')}"
    if facts["f1"] is None:
        return f"{what}; nothing is held back yet to say how well"
    score = f"F1 {facts['f1']:.2f} ± {facts['error']:.2f}"
    return f"{what}; {score} on {plural(facts['n_held'], 'point')} held back"
