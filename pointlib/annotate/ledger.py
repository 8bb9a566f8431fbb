"""The ledger: the current annotation of a folder, and the only way to change it.

An edit is checked, journalled, then applied; then the listeners are notified. A background thread
writes the text files within half a second, syncs the journal within one, and keeps the folder's
lock fresh. There is one ledger per folder and process, however often it is opened.

Not about which edits are valid (steps.py), nor about files (store.py), nor about the screen.
"""

import atexit
import contextlib
import logging
import re
import secrets
import threading

from pointlib.annotate.steps import edit_lines
from pointlib.annotate.store import Store
from pointlib.errors import InputError
from pointlib.images import image_folder, list_images, relative_name

TICK = 0.4  # seconds between two rounds of the background thread
MAX_WAITING = 20  # notices kept for the first listener
PUT_ASIDE = (("mark", "skipped"), ("mark", "unlabelled"))  # edits that need no picture
_open_ledgers = {}
_registry = threading.RLock()


def open_ledger(folder, *, classes=None):
    """Open the annotation of a folder of images; the same one if it is already open.

    Parameters
    ----------
    folder : str or Path
        The images, or a dataset folder with `images/`.
    classes : sequence of str, optional
        The classes that points may have; default those in the text files, or ("point",).

    Returns
    -------
    Ledger
        To be closed as often as it was opened. If the folder cannot be written, or is being
        annotated elsewhere, `read_only` says so. InputError if images or text files are invalid.
    """
    folder = image_folder(folder).resolve()
    names = [relative_name(path, folder) for path in list_images(folder)]
    with _registry:
        ledger = _open_ledgers.get(folder)
        if ledger and (ledger.read_only or ledger.names != names):  # a new folder of that name?
            ledger.end()
            ledger = None
        if ledger is None:
            ledger = _open_ledgers[folder] = Ledger(folder, classes=classes)
        elif classes is not None:
            ledger.set_classes(classes)
        ledger.n_openings += 1
        return ledger


class Ledger:
    """The annotation of one folder; made by `open_ledger`.

    Attributes
    ----------
    folder : Path
        Where the images are.
    names : list of str
        The image files, sorted.
    session : str
        Name of this opening, six hexadecimal digits.
    listeners : set of callables
        Each is called with a dict: `type` "changed" and what `apply` returns, or `type` "notice",
        `level` ("info", "warning", "error") and `text`. Calls may come from any thread.
    """

    def __init__(self, folder, *, classes=None):
        self.folder, self.listeners, self.n_openings = folder, set(), 0
        self.session, self._told = secrets.token_hex(3), set()
        self._store = Store(folder, self.session, classes)
        self.names, self._lock = list(self._store.paths), self._store.lock
        self._saving, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._tend, daemon=True, name="ledger")
        self._thread.start()

    def __repr__(self):
        return f"Ledger({self.folder.name}, {len(self.names)} images)"

    @property
    def key(self):
        """Id of the journal: 12 hexadecimal digits."""
        return self._store.journal.key

    @property
    def classes(self):
        """The classes that points may have, as a tuple."""
        return self._store.classes

    @property
    def read_only(self):
        """Why edits are refused, "" if they are not."""
        return self._store.journal.read_only

    def path(self, name):
        """Return the path of an image; InputError if there is none of that name."""
        return self._store.paths[self._store.check_name(name)]

    def state(self, name):
        """Return "unlabelled", "started", "labelled", "empty" or "skipped"."""
        with self._lock:
            return self._store.summary(self._store.check_name(name))[0]

    def counts(self, name):
        """Return the number of points of each class, without reading the image."""
        with self._lock:
            counts = self._store.summary(self._store.check_name(name))[1]
            return {label: counts[label] for label in self.classes}

    def load(self, name):
        """Return a copy of the current Annotation of an image.

        InputError if the image or its text file cannot be used.
        """
        with self._telling():
            return self._store.look(self._store.check_name(name)).copy()

    def load_readable(self, name):
        """Return the same, or None if the image or its text file cannot be used."""
        try:
            return self.load(name)
        except InputError:
            return None

    @property
    def changed(self):
        """The number of the last line of the journal that changed each image, a dict."""
        with self._lock:
            return dict(self._store.history.changed)

    def apply(self, edit, *, by=None):
        """Check, journal and apply one edit. InputError: refused, nothing changed.

        Parameters
        ----------
        edit : dict
            "session" and "edit" (1, 2, ...) identify it: an edit is applied only once. "op" is
            add, move, label, delete or reject, with "image" and "points"; region or unregion, with
            "image" and "regions"; mark, with "image" and "mark" (and "whole": what is done is the
            whole image, not its regions); undo or redo, of the folder's last step.
        by : callable, optional
            The listener that is not notified of this change.

        Returns
        -------
        dict
            session, edit, n (the journal's last line), image, op, changes and rejections (dicts of
            id and point, None if it is gone), regions (of id and rings), mark ("" if there is
            none), state, counts, total, note (what was undone), duplicate.
        """
        sender, op, store = _sender(edit), edit.get("op"), self._store
        with self._telling():
            if sender in store.history.seen:
                name = store.history.seen[sender]
                return store.outcome(sender, name, op, is_duplicate=True)
            store.journal.check()
            name, lines = (self._turn if op in ("undo", "redo") else self._edit)(edit)
            step = store.commit(name, lines, sender) if lines else None
            store.history.seen[sender] = name
            outcome = store.outcome(sender, name, op, step=step)
        if step:
            self._tell({"type": "changed", **outcome}, but=by)
        return outcome

    @property
    def learnt(self):
        """What was said last of a model that was learnt from the folder, a dict; {} if nothing."""
        return dict(self._store.history.learnt)

    def note_learnt(self, facts):
        """Journal facts about a model that was learnt from the folder, a dict of JSON's kinds."""
        with self._telling():
            self._store.journal.check()
            self._store.note({"session": self.session, "op": "learnt", **facts})

    def flush(self):
        """Write journal and text files to disk; InputError if that fails."""
        failed = self.read_only if self._store.unsaved else ""
        if not self.read_only:
            failed = self._save_all()
            self._store.journal.sync()
        if failed:
            raise InputError(failed)

    def close(self):
        """Undo one `open_ledger`; the last call saves, and releases the lock."""
        with _registry:
            self.n_openings -= 1
            if self.n_openings <= 0:
                self.end()

    def end(self):
        """End it for all who opened it: save, close the files, release the lock."""
        with _registry:
            if _open_ledgers.get(self.folder) is self:
                del _open_ledgers[self.folder]
        failed = True
        try:
            self._stop.set()
            self._thread.join()
            failed = not self.read_only and self._save_all()
        finally:  # Ctrl+C must not leave the lock behind
            with self._lock:
                self._store.journal.close(is_clean=not failed)

    def set_classes(self, classes):
        """Change the classes that points may have; InputError if some have another."""
        with self._lock:
            self._store.set_classes(classes)

    def _edit(self, edit):
        """Return the image of an edit and the lines of its step; no lines if nothing changes."""
        name = self._store.check_name(edit.get("image"))
        try:
            annotation = self._store.look(name)
        except InputError:  # an image that cannot be read may be put aside
            if (edit.get("op"), edit.get("mark")) not in PUT_ASIDE:
                raise
            annotation = self._store.history.annotation(name)
        return name, edit_lines(edit, annotation, classes=self.classes)

    def _turn(self, edit):
        """Return the image and the line of an undo or redo."""
        op, history = edit["op"], self._store.history
        if op == "undo" and not history.done:
            self._store.remember()
        stack = history.done if op == "undo" else history.undone
        if not stack:
            raise InputError(f"nothing to {op}")
        step = stack[-1]
        if missing := step.labels() - {*self.classes}:
            what = f"{op} needs class {min(missing)!r}, which was removed"
            raise InputError(f"{what}. Open the folder with it: classes=(...).")
        if step.image in self._store.paths:
            self._store.look(step.image)
        return step.image, [{"op": op, f"{op}es": step.number}]

    def _tend(self):
        """Sync, save and refresh the lock until the end; report each problem once."""
        journal = self._store.journal
        while not self._stop.wait(TICK):
            trouble = ""
            try:
                journal.check()
                journal.beat()
                journal.sync()
                self._save_all()
            except InputError as error:
                trouble = str(error)
            except Exception as error:  # a thread must not die silently
                trouble = f"The journal is not synced ({getattr(error, 'strerror', 0) or error!r})."
            with self._telling():
                self._tell_once(trouble)

    def _save_all(self):
        """Write the text file of each image that changed; return why one failed, or ""."""
        failed = ""
        with self._saving:
            for name in tuple(self._store.unsaved):
                try:
                    self._store.journal.beat()  # saving all of them may take long
                    self._store.save(name)
                except InputError as error:
                    failed = str(error)
                except OSError as error:
                    reason = error.strerror or error
                    failed = f"Text files cannot be written ({reason}). The journal has all edits."
                with self._telling():
                    self._tell_once(failed)
            if not failed:
                self._told.clear()
                with contextlib.suppress(InputError, OSError):  # trainings go on without
                    self._store.list_started()
        return failed

    def _tell_once(self, trouble):
        if trouble and trouble not in self._told:
            self._told.add(trouble)
            self._store.notice("error", trouble)

    @contextlib.contextmanager
    def _telling(self):
        """Hold the lock; on leaving, notify the listeners of what happened meanwhile."""
        events = []
        try:
            with self._lock:
                try:
                    yield
                finally:
                    news = self._store.news
                    events = news if self.listeners else []
                    # notices from before the first listener wait for it
                    waiting = [] if events else [e for e in news if e["type"] == "notice"]
                    self._store.news = waiting[-MAX_WAITING:]
        finally:
            for event in events:
                self._tell(event)

    def _tell(self, event, *, but=None):
        for listener in self.listeners - {but}:
            try:
                listener(event)
            except Exception:  # the edit is kept even if a listener fails
                logging.getLogger(__name__).exception("a listener of the ledger failed")


def _sender(edit):
    """Return session and number of an edit."""
    session, number = edit.get("session"), edit.get("edit")
    if not isinstance(session, str) or not re.fullmatch("[0-9a-f]{6}", session):
        raise InputError(f"session {session!r} is invalid; expected six hexadecimal digits.")
    if type(number) is not int or number < 1:
        raise InputError(f"edit {number!r} is invalid; expected a number: 1, 2, ...")
    return session, number


@atexit.register
def _end_all():
    for ledger in tuple(_open_ledgers.values()):
        ledger.end()
