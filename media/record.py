"""Record the README's film of the annotator: the real widget, driven by a script in a browser.

Page and browser are those of tests/browser. `make media` runs this too.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser.harness import Stand, start_chromium  # noqa: E402

from pointlib.annotate import Annotator  # noqa: E402
from pointlib.points import read_points, text_path  # noqa: E402

NAMES = ("cell_001.png", "cell_002.png", "cell_003.png", "cell_004.png")
SHAPE = (192, 256)
SIZE = {"width": 820, "height": 640}  # px
N_COLOURS = 160
POINTER = """document.body.insertAdjacentHTML("beforeend", `<svg id="pointer" width="22" height="22"
    style="position: fixed; z-index: 9; pointer-events: none; left: -50px; top: 0">
    <path d="M1 1 L1 17 L5 13 L8 20 L11 19 L8 12 L13 12 Z" fill="#fff" stroke="#000"/></svg>`);
  addEventListener("pointermove", (event) => Object.assign(
    document.getElementById("pointer").style,
    { left: event.clientX + "px", top: event.clientY + "px" }), true);"""


class Film:
    """Screenshots of a page, and how long each stays, in milliseconds."""

    def __init__(self, view):
        self.view, self.frames, self.times = view, [], []

    def take(self, milliseconds=350):
        """Wait until all is saved and drawn, then add a frame."""
        self.view.until("a.waiting === 0")
        self.view.page.wait_for_timeout(150)
        shot = Image.open(io.BytesIO(self.view.page.screenshot()))
        self.frames.append(shot.convert("RGB"))
        self.times.append(milliseconds)

    def save(self, path):
        """Write a GIF; one palette for all frames keeps it small and still."""
        width, height = self.frames[0].size
        samples = Image.new("RGB", (width, 3 * height))
        for i in range(3):
            samples.paste(self.frames[(i + 1) * (len(self.frames) - 1) // 3], (0, i * height))
        palette = samples.quantize(N_COLOURS)
        frames = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in self.frames]
        more = {"append_images": frames[1:], "duration": self.times, "loop": 0, "optimize": True}
        frames[0].save(path, save_all=True, **more)


def play(view, film, places):
    """Click, zoom, undo, go on, look at suggestions and accept them."""
    film.take(1000)
    for place in places[:4]:
        view.click(*place)
        film.take()
    view.page.mouse.move(*view.place(*places[4]))
    for _ in range(5):
        view.page.mouse.wheel(0, -200)
        film.take(120)
    view.click(*places[4])
    film.take(700)
    view.press("Control+z")
    film.take(700)
    view.press("Control+Shift+z")
    film.take(700)
    view.press("f", "d")
    film.take(900)
    view.press("g")
    view.until("a.ghosts.length > 0")
    film.take(1500)
    for score in ("0.4", "0.55", "0.65"):
        view.root.get_by_label("Lowest score of a ghost").fill(score)
        film.take(400)
    film.take(1200)
    view.press("Enter")
    film.take(2500)


def main():
    """Copy some images, annotate them on a page, keep the film."""
    source = ROOT / "data" / "cells" / "images"
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "cells"
        folder.mkdir()
        for name in NAMES:
            shutil.copy(source / name, folder)
        stand = Stand(start_chromium(playwright))
        annotator = Annotator(folder)
        annotator.sigma = 4.2
        view = stand.show(annotator)
        view.page.set_viewport_size(SIZE)
        view.page.evaluate(POINTER)
        film = Film(view)
        places, _ = read_points(text_path(source / NAMES[0]), SHAPE)
        play(view, film, [p for p in places.tolist() if 15 < p[0] < 240 and 15 < p[1] < 175])
        film.save(ROOT / "media" / "annotator.gif")
        stand.close()


if __name__ == "__main__":
    main()
