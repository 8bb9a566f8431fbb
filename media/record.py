"""Record the README's films of annotator and tuner: real widgets, driven by a script in a browser.

Page and browser are those of tests/browser. `make media` runs this too.
"""

import argparse
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

from pointlib.annotate.widget import Annotator  # noqa: E402
from pointlib.points import read_points, text_path  # noqa: E402
from pointlib.splits import read_list  # noqa: E402
from pointlib.tune.widget import Tuner  # noqa: E402

FIELD = ROOT / "data" / "field"
NAMES = ("cell_001.png", "cell_002.png", "cell_003.png", "cell_004.png")
SHAPE = (192, 256)
SIZE, TUNER_SIZE = {"width": 820, "height": 640}, {"width": 940, "height": 720}  # px
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
        """Wait until all is known and drawn, then add a frame."""
        self.view.until(self.view.SETTLED)
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


def annotate(view, film, places):
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
    view.until("a.suggestions.length > 0")
    film.take(1500)
    for score in ("0.4", "0.55", "0.65"):
        view.control("Lowest score").fill(score)
        film.take(400)
    film.take(1200)
    view.press("Enter")
    film.take(2500)


def tune(view, film):
    """Drag a class's threshold down and up, take the best, look at errors, one by one."""
    film.take(1200)
    view.root.get_by_role("button", name="weed alone").click()
    film.take(700)
    drag(view, film, "threshold", [0.5, 0.4, 0.3, 0.2, 0.12, 0.06])
    film.take(700)
    drag(view, film, "threshold", [0.12, 0.3, 0.5, 0.7, 0.8, 0.88, 0.94])
    film.take(900)
    view.root.locator("[data-goal='f1']").click()
    film.take(1200)
    drag(view, film, "distance", [4, 3, 2, 1, 0])
    film.take(900)
    drag(view, film, "distance", [2, 4, 5, 6])
    view.root.get_by_role("button", name="All classes").click()
    film.take(900)
    view.tab("Errors")
    film.take(900)
    for kind in ("wrong class", "missed"):
        view.root.locator(".pl-bars button").filter(has_text=kind).click()
        film.take(500)
        examples = view.root.get_by_label("Examples").get_by_role("button")
        if examples.count():
            examples.first.click()
            film.take(1500)


def drag(view, film, name, values):
    """Drag a slider through values, a frame each."""
    slider = view.root.locator(f"input[type=range][data-is={name}]")
    low, high = (float(slider.get_attribute(end)) for end in ("min", "max"))
    box, mouse = slider.bounding_box(), view.page.mouse
    y, knob = box["y"] + box["height"] / 2, 8  # CSS pixels from the knob's middle to its edge
    for i, value in enumerate([float(slider.input_value()), *values]):
        part = (value - low) / (high - low)
        mouse.move(box["x"] + knob + part * (box["width"] - 2 * knob), y)
        if i:
            film.take(140)
        else:
            mouse.down()
    mouse.up()


def open_view(stand, widget, size):
    """Show a widget on a page of some size, with a pointer that follows the mouse."""
    view = stand.show(widget)
    view.page.set_viewport_size(size)
    view.page.evaluate(POINTER)
    return view, Film(view)


def record_annotator(stand, folder):
    """Copy some images, annotate them on a page, keep the film."""
    source = ROOT / "data" / "cells" / "images"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(source / name, folder)
    annotator = Annotator(folder)
    annotator.sigma = 4.2
    view, film = open_view(stand, annotator, SIZE)
    places, _ = read_points(text_path(source / NAMES[0]), SHAPE)
    annotate(view, film, [p for p in places.tolist() if 15 < p[0] < 240 and 15 < p[1] < 175])
    film.save(ROOT / "media" / "annotator.gif")


def record_tuner(stand, _folder):
    """Tune a small model on the validation images of its field, keep the film."""
    images = [FIELD / "images" / name for name in read_list(FIELD / "val.txt")]
    view, film = open_view(stand, Tuner(FIELD / "model", images), TUNER_SIZE)
    tune(view, film)
    film.save(ROOT / "media" / "tuner.gif")


def main():
    """Record both films, or the one that is asked for."""
    films = {"annotator": record_annotator, "tuner": record_tuner}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(films))
    only = parser.parse_args().only
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as temporary:
        stand = Stand(start_chromium(playwright))
        for name in [only] if only else films:
            films[name](stand, Path(temporary) / name)
        stand.close()


if __name__ == "__main__":
    main()
