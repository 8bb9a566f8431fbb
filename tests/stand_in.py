"""A stand-in for a browser: what both widgets' tests send messages with."""

import json
import threading

SESSION = "abcdef"


class Browser:
    """Stands in for a view: sends messages, and keeps what comes back."""

    def __init__(self, annotator, session=SESSION):
        self.annotator, self.session, self.inbox, self.n = annotator, session, [], 0
        self.news = threading.Condition()
        annotator.send = self._hear

    def _hear(self, content, buffers=None):
        json.dumps(content, allow_nan=False)  # as the kernel would
        with self.news:
            self.inbox.append((content, buffers or []))
            self.news.notify_all()

    def tell(self, kind, **content):
        """Send a message as a front end does."""
        message = {"type": kind, "session": self.session, **content}
        data = {"method": "custom", "content": message}
        self.annotator._handle_msg({"content": {"data": data}, "buffers": []})

    def wait(self, kind, **wanted):
        """Return the newest message of a kind, with its buffers; wait for it to come."""

        def found():
            return [
                m for m in self.inbox if m[0]["type"] == kind and wanted.items() <= m[0].items()
            ]

        with self.news:
            assert self.news.wait_for(found, timeout=60), [m["type"] for m, _ in self.inbox]
            return found()[-1]

    def ask(self, kind, answer=None, **content):
        """Send a message and return the answer to it, forgetting what came before."""
        self.inbox.clear()
        self.tell(kind, **content)
        return self.wait(answer or kind)

    def edit(self, op, answer="ack", **content):
        """Send the next edit and return the answer's content."""
        self.n += 1
        content = {"image": self.annotator.image, **content}
        return self.ask("edit", answer, edit=self.n, op=op, **content)[0]

    def add(self, x, y, answer="ack", **content):
        """Click."""
        point = {"id": f"{self.session}-{self.n + 1}", "x": x, "y": y, "label": "point"}
        point |= {"source": "hand", "score": None}
        return self.edit("add", answer, points=[point], **content)
