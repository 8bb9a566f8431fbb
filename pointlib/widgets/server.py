"""The picture server: how both widgets answer requests for images and thumbnails.

About messages. Not about encoding pictures (pictures.py), nor about what else a widget sends with
an image, or answers (annotate/server.py, tune/server.py).
"""

from pointlib.widgets.channel import Channel, Worker
from pointlib.widgets.pictures import browser_picture

LOOK = ("channel", "black", "white")  # display options that a browser may send
NOTHING = {"width": 0, "height": 0, "channels": 0, "mime": "", "deep": False, "range": None}


class PictureServer(Channel):
    """A channel that sends images, encoded on a thread of its own.

    A subclass defines ``names``; ``_checked``, which validates an index; ``_post_image``, which
    sends an image; ``_no_facts``, what else to send with one that cannot be shown; and
    ``_thumbnail``.

    Parameters
    ----------
    send : callable
        As for `Channel`.
    urgency : sequence of str
        Kinds of jobs of the painter, most urgent first, with "image", "prefetch" and "thumb".
    """

    def __init__(self, send, urgency):
        super().__init__(send)
        self._painter = Worker(self._complain, urgency)

    def _take_image(self, message):
        index = self._checked(message["index"])
        # of requests for the current image only the last one counts
        which = ("prefetch", index) if message.get("prefetch") else ("image",)
        self._painter.put((*which, message["session"]), lambda: self._send_image(message))

    def _take_thumbs(self, message):
        for index in map(self._checked, message["indices"]):
            self._painter.put(("thumb", index), lambda index=index: self._send_thumb(index))

    def _send_image(self, message):
        index = message["index"]
        head = {"type": "image", "session": message["session"], "index": index}
        head |= {"name": self.names[index], "prefetch": bool(message.get("prefetch"))}
        try:
            self._post_image(head | {"error": ""}, message)
        except Exception as error:
            facts = no_picture(message) | self._no_facts(head["name"])
            self.post(head | facts | {"error": self.sentence(error)})

    def _send_thumb(self, index):
        head = {"type": "thumb", "index": index, "mime": "image/jpeg"}
        try:
            self.post(head | {"error": ""}, self._thumbnail(index))
        except Exception as error:
            self.post(head | {"error": self.sentence(error)})


def picture_for(source, message):
    """Return a picture's facts (a dict) and its bytes, of a file or array, as a message asks."""
    look = {key: message.get(key) for key in LOOK}
    facts = look | browser_picture(source, plain=bool(message.get("plain")), **look)._asdict()
    data, (height, width) = facts.pop("data"), facts.pop("shape")
    return facts | {"height": height, "width": width}, data


def no_picture(message):
    """Return the same facts for a missing picture."""
    return NOTHING | {key: message.get(key) for key in LOOK}
