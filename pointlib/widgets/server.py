"""The server of pictures: how both widgets answer who asks for an image or for thumbnails.

About messages. How a picture becomes bytes, pictures.py knows; what else a widget says of an image,
and what else it answers: annotate/server.py, tune/server.py.
"""

from pointlib.widgets.channel import Channel, Worker
from pointlib.widgets.pictures import browser_picture

LOOK = ("channel", "black", "white")  # what a browser may ask for
NOTHING = {"width": 0, "height": 0, "channels": 0, "mime": "", "deep": False, "range": None}


class PictureServer(Channel):
    """A widget's end of the line that shows images, made on a thread of its own.

    A subclass has ``names``, checks an index by ``_checked``, answers for an image by
    ``_post_image``, says by ``_no_facts`` what else it tells of one that cannot be shown, and
    makes thumbnails by ``_thumbnail``.

    Parameters
    ----------
    send : callable
        As for `Channel`.
    urgency : sequence of str
        Kinds of jobs of the painter, the first come first; "image", "prefetch", "thumb" are in it.
    """

    def __init__(self, send, urgency):
        super().__init__(send)
        self._painter = Worker(self._complain, urgency)

    def _take_image(self, message):
        index = self._checked(message["index"])
        # of those somebody looks at only the last one counts
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
    """Return a picture's facts, as a dict, and its bytes, of a file or array as a message asks."""
    look = {key: message.get(key) for key in LOOK}
    facts = look | browser_picture(source, plain=bool(message.get("plain")), **look)._asdict()
    data, (height, width) = facts.pop("data"), facts.pop("shape")
    return facts | {"height": height, "width": width}, data


def no_picture(message):
    """Return the same facts where there is no picture."""
    return NOTHING | {key: message.get(key) for key in LOOK}
