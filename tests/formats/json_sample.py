"""What the tests of the formats in JSON share: pictures 200 x 100 and a short way to read."""

import json
from dataclasses import replace

from PIL import Image

from pointlib.formats import FORMATS
from pointlib.formats.shared.base import Pictures

SHAPE = (100, 200)
BY_HAND = [(10.5, 20.25), (30, 40)]  # x, y in a tool's own numbers


def make_folder(path, *names):
    """Return a folder with `images/` that holds pictures of these names, 200 x 100."""
    (path / "images").mkdir(parents=True)
    for name in names or ("a.png", "b.png"):
        Image.new("L", SHAPE[::-1]).save(path / "images" / name)
    return path


def write_json(path, data):
    """Write data, or text as it is, and return the path."""
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def read(name, source, **changes):
    """Return {image's name: Record} of a source; `changes` are a Format's."""
    form = replace(FORMATS[name], **changes)
    return {r.image.name: r for r in form.read(source, Pictures(source), form)}
