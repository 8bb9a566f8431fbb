"""The tuner in JupyterLab beside slider + matplotlib and slider + ipympl. `make bench`.

A slider is dragged with the mouse and stepped with the arrow keys, in a real JupyterLab in a real
browser: updates a second are pictures that changed while the hand moved, step-to-pixels is the time
from a key to the next changed picture. Beside the tuner: a slider whose picture matplotlib draws
anew into an Output widget, and one that moves the points of an ipympl figure, where that is
installed. A mouse moved by a script does not fill every frame, so the page itself also gives the
tuner a new threshold at each frame. Ratios carry over to other machines; milliseconds do not.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser.harness import Stand, TunerView, start_chromium  # noqa: E402
from browser.lab import Lab, write_notebook  # noqa: E402

from pointlib.tune.widget import Tuner  # noqa: E402

SIDE, SEED = 2048, 0  # pixels
COUNTS = (1_000, 10_000, 100_000)
SECONDS, STEPS = 4, 8  # of dragging; keys pressed
SETUP = """\
import sys
sys.path.insert(0, {folder!r})
from tuner import make_scene
image, heatmap, points = make_scene({n})"""
TUNER = """\
from pointlib.tune.widget import Tuner
tuner = Tuner([heatmap], [image], [points], radius=2.0)
tuner.threshold = 0.5
tuner"""
OUTPUT = """\
import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import display
from pointlib.thresholds import find_candidates
candidates, out = find_candidates(heatmap), ipywidgets.Output()
slider = ipywidgets.FloatSlider(0.5, min=0.05, max=1, step=0.01)
def draw(_=None):
    with out:
        out.clear_output(wait=True)
        plt.figure(figsize=(6, 6))
        plt.imshow(image, cmap="gray")
        plt.plot(*candidates.select(threshold=slider.value)[0].T, "r.", markersize=3)
        plt.show()
slider.observe(draw, "value")
draw()
ipywidgets.VBox([slider, out])"""
IPYMPL = """\
%matplotlib ipympl
import ipywidgets
import matplotlib.pyplot as plt
from pointlib.thresholds import find_candidates
candidates = find_candidates(heatmap)
slider = ipywidgets.FloatSlider(0.5, min=0.05, max=1, step=0.01)
with plt.ioff():
    figure, axes = plt.subplots(figsize=(6, 6))
axes.imshow(image, cmap="gray")
(dots,) = axes.plot(*candidates.select(threshold=0.5)[0].T, "r.", markersize=3)
def draw(_):
    dots.set_data(*candidates.select(threshold=slider.value)[0].T)
    figure.canvas.draw_idle()
slider.observe(draw, "value")
ipywidgets.VBox([slider, figure.canvas])"""
PROBE = """() => {
  const probe = window.probe = { drawn: 0, pressed: 0, waits: [] };
  probe.draw = () => { probe.drawn += 1;
    if (probe.pressed) { probe.waits.push(performance.now() - probe.pressed); probe.pressed = 0; } };
  addEventListener("keydown", () => { probe.pressed = performance.now(); }, true);
  const root = document.querySelector(".pl-tuner");
  let updates = root?.__tuner.updates;
  const look = () => { if (root && root.__tuner.updates !== updates) {
      updates = root.__tuner.updates; probe.draw(); }
    requestAnimationFrame(look); };
  requestAnimationFrame(look);
  new MutationObserver((all) => { for (const { addedNodes } of all) for (const node of addedNodes) {
      const images = node.querySelectorAll?.(".jp-OutputArea img[src^=data]") ?? [];
      for (const image of images) image.decode().then(() => requestAnimationFrame(probe.draw)); }
    }).observe(document.body, { childList: true, subtree: true });
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (...parts) {
    if (this.canvas.closest?.("[class*=jupyter-matplotlib]")) requestAnimationFrame(probe.draw);
    return draw.apply(this, parts); };
}"""


FOLLOW = """async ([slider, seconds]) => {
  const start = performance.now(), before = probe.drawn;
  for (let i = 0; performance.now() - start < 1000 * seconds; i++) {
    await new Promise(requestAnimationFrame);
    slider.value = 0.5 + 0.3 * Math.sin(i / 20);
    slider.dispatchEvent(new Event("input", { bubbles: true })); }
  return 1000 * (probe.drawn - before) / (performance.now() - start);
}"""


def make_scene(n, *, side=SIDE):
    """Return an image, a heatmap with `n` peaks, and true points of which most have a peak."""
    rng = np.random.default_rng(SEED)
    n_columns = int(np.ceil(n**0.5))
    pitch = side / n_columns
    row, column = np.divmod(rng.permutation(n_columns**2)[:n], n_columns)
    free = max(pitch - 3, 1)  # px: peaks of neighbouring cells do not touch
    x, y = (((at + 0.2) * pitch + rng.uniform(0, free, n)).astype(int) for at in (column, row))
    x, y = np.minimum(x, side - 1), np.minimum(y, side - 1)
    heatmap = np.zeros((side, side), np.float32)
    heatmap[y, x] = rng.uniform(0.06, 1, n)
    is_true = rng.random(n) < heatmap[y, x]
    points = np.column_stack([x, y])[is_true] + rng.uniform(-1, 1, (is_true.sum(), 2))
    image = rng.integers(0, 90, heatmap.shape, dtype=np.uint8)
    image[y, x] = 255
    return image, heatmap, np.clip(points, 0, side - 1)


def handle_of(page):
    """Return the slider's handle of an ipywidgets slider or of the tuner."""
    own = page.locator(".pl-tuner").get_by_role("slider", name="Threshold")
    return own if own.count() else page.locator(".noUi-handle")


def drag(page, seconds):
    """Drag the slider to and fro; return pictures a second."""
    box, mouse = handle_of(page).bounding_box(), page.mouse
    is_bar = box["width"] > 60  # an input, whose box is the whole bar
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    reach = 0.4 * box["width"] if is_bar else 50
    mouse.move(x, y)
    mouse.down()
    before, start = page.evaluate("probe.drawn"), time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        for side in (reach, -reach):
            mouse.move(x + side, y, steps=30)  # in one go: this script must not set the pace
    n_drawn = page.evaluate("probe.drawn") - before
    mouse.up()
    return n_drawn / spent


def step(page, handle, n_steps):
    """Press an arrow again and again, each drawn before the next; return the median ms."""
    handle.focus()
    rest(page)
    page.evaluate("probe.waits.length = 0")
    for i in range(n_steps):
        page.keyboard.press("ArrowLeft" if i % 2 else "ArrowRight")
        page.wait_for_function(f"probe.waits.length > {i}", polling="raf")
        rest(page)
    return statistics.median(page.evaluate("probe.waits"))


def rest(page):
    """Wait until nothing has been drawn for half a second."""
    drawn = None
    while drawn != (drawn := page.evaluate("probe.drawn")):
        page.wait_for_timeout(500)


def measure(lab, name, code, n):
    """Return updates a second and median step-to-pixels in ms of one design with `n` candidates."""
    path = lab.root / f"{name}-{n}.ipynb"
    setup = SETUP.format(folder=str(Path(__file__).parent), n=n)
    notebook = lab.open(write_notebook(path, f"{setup}\n{code}"))
    notebook.run_all()
    if name == "tuner":
        notebook.arrive(TunerView(notebook.page, None))
    handle = handle_of(notebook.page)
    handle.wait_for()
    handle.scroll_into_view_if_needed()
    notebook.page.evaluate(PROBE)
    rest(notebook.page)
    numbers = drag(notebook.page, SECONDS), step(notebook.page, handle, STEPS)
    more = tuner_alone(notebook.page, n) if name == "tuner" else []
    notebook.close()
    return numbers, more


def tuner_alone(page, n):
    """Return lines on what is measured of the tuner only."""
    rate = page.evaluate(FOLLOW, [handle_of(page).element_handle(), SECONDS])
    lines = [f"a new threshold every frame at {n:,} candidates: {rate:.0f} updates a second"]
    for name in ("Min distance", "Match radius") if n == 10_000 else ():
        wait = step(page, page.locator(".pl-tuner").get_by_role("slider", name=name), STEPS)
        lines.append(f"a step of {name.lower()} at {n:,} candidates: {wait:.0f} ms to pixels")
    return lines


def compare(browser, folder):
    """Print the tuner beside the others."""
    designs = {"tuner": TUNER, "matplotlib": OUTPUT, "ipympl": IPYMPL}
    if importlib.util.find_spec("ipympl") is None:
        print("ipympl is NOT installed: its column is left out. `pip install ipympl` adds it.")
        del designs["ipympl"]
    lab, lines, alone = Lab(folder, browser), [], []
    for n in COUNTS:
        rows = {}
        for name, code in designs.items():
            rows[name], more = measure(lab, name, code, n)
            alone += more
        for name in list(designs)[1:]:
            rate, wait = np.divide(rows["tuner"], rows[name])
            print(
                f"{n:7,} candidates: {rate:.0f} x the updates of slider + {name}, {1 / wait:.0f} x as soon"
            )
        lines += [
            f"{n:7,} {name:11} {rate:5.1f} /s {wait:6.0f} ms" for name, (rate, wait) in rows.items()
        ]
    print("candidates, design, updates a second while dragging, key to pixels", *lines, sep="\n")
    print("the tuner alone", *alone, sep="\n")
    lab.close()


def opening(stand):
    """Print how long 50 images of 1 megapixel take until all numbers are there."""
    scenes = [make_scene(400, side=1000)] * 50
    images, heatmaps, points = (list(parts) for parts in zip(*scenes, strict=True))
    start = time.perf_counter()
    tuner = Tuner(heatmaps, images, points, radius=2.0)
    made = time.perf_counter() - start
    view = stand.show(tuner)
    shown = time.perf_counter() - start
    view.until("a.app.ready === 50 && !a.pale")
    spent = time.perf_counter() - start
    print(
        f"50 images of 1 megapixel: Tuner() {made:.2f} s, first image {shown:.2f} s, all {spent:.2f} s"
    )


def main():
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["compare", "opening"])
    only = parser.parse_args().only
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as temporary:
        browser = start_chromium(playwright)
        if only != "opening":
            compare(browser, Path(temporary))
        if only != "compare":
            stand = Stand(browser)
            opening(stand)
            stand.close()


if __name__ == "__main__":
    main()
