"""The channel between a widget and its browser side: messages, threads, errors, modules.

About what all widgets share. A subclass of `Channel` handles a message of type "x" in its method
`_take_x`. Handlers must be quick, since they may run on a kernel thread while a cell is busy; what
takes longer goes to a `Worker`. Not about what the messages mean (annotate/server.py,
tune/server.py).
"""

import atexit
import base64
import logging
import posixpath
import re
import threading
from pathlib import Path

from pointlib.errors import InputError
from pointlib.files import need_file

PACKAGE = Path(__file__).parents[1]
IDLE = 10  # s without a job after which a thread ends: cells are often run again
_SIBLING = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"(\.[^"]+)";[^\S\n]*\n?', re.MULTILINE)


class Channel:
    """One widget's end of the channel: receives messages, answers them and reports errors.

    Parameters
    ----------
    send : callable
        ``send(message, buffers)`` sends a dict, and a list of bytes or None, to the browser.
    """

    reassurance = ""  # added to the message of an unexpected error

    def __init__(self, send):
        self._send, self._base64, self._early = send, False, []
        self._order = threading.RLock()  # dependent messages are sent in order

    def receive(self, content):
        """Answer a message from the browser, or report an error."""
        content = content if isinstance(content, dict) else {}
        try:
            answer = getattr(self, f"_take_{content.get('type')}", None)
            if answer is None:
                raise InputError(f"message {content.get('type')!r} is unknown.")
            answer(content)
        except Exception as error:  # whatever it is, the browser waits for an answer
            self._refuse(content, error)

    def post(self, message, *buffers):
        """Send a message to the browser; notices wait for the first view."""
        if message["type"] == "notice" and self._early is not None:
            self._early.append(message)
            return
        if buffers and self._base64:
            data = [base64.b64encode(buffer).decode() for buffer in buffers]
            self._send({**message, "data": data})
        else:
            self._send(message, list(buffers) or None)

    def sentence(self, error):
        """Return an error as a sentence for the widget; an unexpected one is logged too."""
        if isinstance(error, InputError):
            return str(error)
        logging.getLogger(__name__).error("Unexpected error", exc_info=error)
        return f"Unexpected error: {type(error).__name__}: {error}.{self.reassurance}"

    def _take_ping(self, message):
        self.post({"type": "pong", "session": message["session"], "t": message["t"]})

    def _welcome(self, message, facts):
        """Answer a hello with facts, three bytes that test whether buffers arrive, and notices."""
        self._base64 |= bool(message.get("base64"))
        head = {"type": "welcome", "session": message["session"], "binary": True}
        self.post(head | facts, b"\1\2\3")
        early, self._early = self._early or [], None
        for notice in early:
            self.post(notice)

    def _refuse(self, _content, error):
        self._complain(error)

    def _complain(self, error):
        self.post({"type": "notice", "level": "error", "text": self.sentence(error)})


class Worker:
    """A daemon thread with a queue of jobs: the most urgent first, only the newest for each key.

    The thread runs while there are jobs, and a little longer.

    Parameters
    ----------
    complain : callable
        Called with an exception that a job raised.
    urgency : sequence of str
        Kinds of jobs, most urgent first.
    """

    def __init__(self, complain, urgency):
        self._jobs, self._condition, self._complain = {}, threading.Condition(), complain
        self._urgency, self._thread, self._is_over = urgency, None, False

    def put(self, key, job):
        """Queue a job; `key` is a tuple that starts with its kind."""
        with self._condition:
            if self._is_over:
                return
            self._jobs[key] = job
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, daemon=True, name="pointlib widget"
                )
                atexit.register(self.stop)
                self._thread.start()
            self._condition.notify()

    def stop(self):
        """Drop waiting jobs, and wait up to 10 s for the running one."""
        with self._condition:
            self._jobs.clear()
            self._is_over, thread = True, self._thread
            self._condition.notify()
        if thread not in (None, threading.current_thread()):
            thread.join(timeout=10)

    def _run(self):
        while job := self._next():
            try:
                job()
            except Exception as error:  # a thread must not die silently
                self._complain(error)

    def _next(self):
        """Wait for the most urgent job and return it; None if the thread should end."""
        with self._condition:
            self._condition.wait_for(lambda: self._jobs or self._is_over, timeout=IDLE)
            if self._jobs:
                return self._jobs.pop(min(self._jobs, key=lambda key: self._urgency.index(key[0])))
            self._thread = None
            atexit.unregister(self.stop)
            return None


def read_module(name):
    """Return an ES module of the package, bundled with the modules that it imports, as a string.

    `name` is its path in the package, such as ``tune/tune.js``.

    A widget's browser side is a single string and cannot import files. So each statement
    ``import { ... } from "../sibling.js";`` at the start of a line, which node and editors follow,
    is removed, and the sibling's source comes first, once: no name may be defined in two of the
    files, nor be renamed by an import.
    """
    texts = {}
    _gather(name, texts)
    return "\n".join(texts.values())


def read_style():
    """Return the widgets' style sheet as a string; given a path, anywidget keeps every widget."""
    return (PACKAGE / "widgets" / "widgets.css").read_text(encoding="utf-8")


def _gather(name, texts):
    text = need_file(PACKAGE / name, "module").read_text(encoding="utf-8")
    for sibling in _SIBLING.findall(text):
        place = posixpath.normpath(posixpath.join(posixpath.dirname(name), sibling))
        if place not in texts:
            _gather(place, texts)
    texts[name] = _SIBLING.sub("", text)
