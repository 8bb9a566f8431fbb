"""The channel between a widget and its browser side: messages, threads, errors, modules.

About what all widgets share. A subclass of `Channel` answers a message of type "x" by its method
`_take_x`. Handlers are quick, since they may run beside a busy cell on a thread of the kernel's;
what takes longer goes to a `Worker`. Not about what the messages say (annotate/server.py,
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
IDLE = 10  # s without a job, after which a thread ends: cells are run again and again
_SIBLING = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"(\.[^"]+)";[^\S\n]*\n?', re.MULTILINE)


class Channel:
    """One widget's end of the channel: takes messages, answers them, and says what went wrong.

    Parameters
    ----------
    send : callable
        ``send(message, buffers)`` brings a dict, and a list of bytes or None, to the browser.
    """

    comfort = ""  # what else to say where something unforeseen happened

    def __init__(self, send):
        self._send, self._base64, self._early = send, False, []
        self._order = threading.RLock()  # what depends on each other is told in order

    def receive(self, content):
        """Answer a message of the browser's, or say why not."""
        content = content if isinstance(content, dict) else {}
        try:
            answer = getattr(self, f"_take_{content.get('type')}", None)
            if answer is None:
                raise InputError(f"message {content.get('type')!r} is not known here.")
            answer(content)
        except Exception as error:  # whatever it is, somebody waits for an answer
            self._refuse(content, error)

    def post(self, message, *buffers):
        """Send a message to the browser; notices wait until somebody looks."""
        if message["type"] == "notice" and self._early is not None:
            self._early.append(message)
            return
        if buffers and self._base64:
            data = [base64.b64encode(buffer).decode() for buffer in buffers]
            self._send({**message, "data": data})
        else:
            self._send(message, list(buffers) or None)

    def sentence(self, error):
        """Return an error as a sentence for the widget; one nobody foresaw is logged as well."""
        if isinstance(error, InputError):
            return str(error)
        logging.getLogger(__name__).error("Unforeseen", exc_info=error)
        return f"Unforeseen: {type(error).__name__}: {error}.{self.comfort}"

    def _take_ping(self, message):
        self.post({"type": "pong", "session": message["session"], "t": message["t"]})

    def _welcome(self, message, facts):
        """Answer a hello with facts, three bytes that show whether buffers arrive, and notices."""
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
    """One daemon thread with a list of jobs: the most urgent first, of one key only the newest.

    The thread is there while there is something to do, and a little longer.

    Parameters
    ----------
    complain : callable
        Called with an exception that a job raised.
    urgency : sequence of str
        Kinds of jobs, the first come first.
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
        """Drop what waits, and wait for what runs; not for ever."""
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
            except Exception as error:  # a thread must not die unheard
                self._complain(error)

    def _next(self):
        """Return the most urgent job, once there is one; None where the thread shall end."""
        with self._condition:
            self._condition.wait_for(lambda: self._jobs or self._is_over, timeout=IDLE)
            if self._jobs:
                return self._jobs.pop(min(self._jobs, key=lambda key: self._urgency.index(key[0])))
            self._thread = None
            atexit.unregister(self.stop)
            return None


def read_module(name):
    """Return an ES module of the package as one text, after the modules that it imports.

    `name` is its path in the package, as ``tune/tune.js``.

    A widget's browser side arrives as one text and cannot import files. So each statement
    ``import { ... } from "../sibling.js";`` at the start of a line, which node and editors follow,
    is left out, and the sibling's text stands first, once: no name may be defined in two of the
    files, nor be renamed by an import.
    """
    texts = {}
    _gather(name, texts)
    return "\n".join(texts.values())


def read_style():
    """Return the widgets' style sheet as a text; of a path, anywidget would keep every widget."""
    return (PACKAGE / "widgets" / "widgets.css").read_text(encoding="utf-8")


def _gather(name, texts):
    text = need_file(PACKAGE / name, "module").read_text(encoding="utf-8")
    for sibling in _SIBLING.findall(text):
        place = posixpath.normpath(posixpath.join(posixpath.dirname(name), sibling))
        if place not in texts:
            _gather(place, texts)
    texts[name] = _SIBLING.sub("", text)
