"""The annotator in a real browser: clicks, panning, large folders, hours of clicking. `make bench`.

The page is the one of tests/browser: the shipped JavaScript and the Python object; in place of
Jupyter between them a line that the page polls every 20 ms. Ratios against a matplotlib figure drawn
anew at each click carry over to other machines; milliseconds do not.
"""

import argparse
import gc
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser.harness import Stand, start_chromium  # noqa: E402

from pointlib.annotate.widget import Annotator  # noqa: E402
from pointlib.images import write_image  # noqa: E402
from pointlib.points import text_path, write_points  # noqa: E402

SHAPE, N_POINTS = (3000, 4000), 10_000
WATCH = """root => { const outbox = root.__annotator.app.outbox, settle = outbox.settle.bind(outbox);
  let start = 0; root.waits = [];
  root.addEventListener("pointerup", () => { start = performance.now(); }, true);
  outbox.settle = (...which) => { root.waits.push(performance.now() - start);
    return settle(...which); }; }"""


def make_folder(folder, n_images, *, shape, n_points=0):
    """Write noisy images, the first with points; all the others are copies of one file."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    suffix = ".jpg" if n_images == 1 else ".png"
    first = folder / f"image_00000{suffix}"
    write_image(first, rng.integers(0, 255, (*shape, 3), dtype=np.uint8))
    if n_points:
        points = rng.uniform(0, [shape[1] - 1, shape[0] - 1], (n_points, 2))
        write_points(text_path(first), points, shape)
    data = first.read_bytes()
    for i in range(1, n_images):
        (folder / f"image_{i:05}{suffix}").write_bytes(data)
    return folder


def matplotlib_click():
    """Return the median milliseconds of a click in a figure that draws image and points anew."""
    points = np.random.default_rng(0).uniform(0, SHAPE[0], (N_POINTS, 2))
    figure = Figure(figsize=(10, 7.5), dpi=96)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(np.zeros((*SHAPE, 3), np.uint8))
    axes.plot(*points.T, "o", markersize=4)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        axes.plot([100], [100], "o")
        canvas.draw()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def pan(view, seconds):
    """Drag the image about with the middle button; return frames a second."""
    box, mouse = view.stage.bounding_box(), view.page.mouse
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse.move(x, y)
    mouse.down(button="middle")
    before, start, i = view.read("a.frames"), time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        i += 1
        mouse.move(x + 90 * np.sin(i / 9), y + 60 * np.cos(i / 9))
    frames = view.read("a.frames") - before
    mouse.up(button="middle")
    return frames / spent


def click(view, n_clicks, seed):
    """Click at random places, each acknowledged before the next; return the waits in ms."""
    rng, size = np.random.default_rng(seed), view.read("[a.app.record.width, a.app.record.height]")
    view.root.evaluate("root => { root.waits.length = 0; }")
    for x, y in (rng.uniform(0.1, 0.9, (n_clicks, 2)) * size).tolist():
        view.click(x, y, keys=["Control"])
        view.until("a.waiting === 0")
    return view.root.evaluate("root => root.waits")


def large_image(stand, folder):
    """Print frames a second and the wait for a click at 10,000 points on 12 megapixels."""
    view = stand.show(Annotator(make_folder(folder, 1, shape=SHAPE, n_points=N_POINTS)))
    view.root.evaluate(WATCH)
    print(f"panning {N_POINTS:,} points, whole image in view: {pan(view, 4):.0f} frames a second")
    for _ in range(4):
        view.press("+")
    print(f"panning, zoomed in: {pan(view, 4):.0f} frames a second")
    view.press("f")
    median, drawn = statistics.median(click(view, 40, 0)), matplotlib_click()
    print(f"click, journalled and acknowledged: median {median:.0f} ms")
    print(f"the same click as a matplotlib figure drawn anew: {drawn / median:.0f} x as long")


def large_folder(stand, folder):
    """Print how long a folder of 10,000 images takes to open, in Python and on the page."""
    make_folder(folder, 10_000, shape=(16, 24))
    start = time.perf_counter()
    annotator = Annotator(folder)
    opened = time.perf_counter() - start
    stand.show(annotator)
    shown = time.perf_counter() - start
    print(f"10,000 images: opened in {opened:.2f} s, first image shown after {shown:.2f} s")


def hours(stand, folder, n_clicks):
    """Print the memory of page and process while somebody clicks and goes on, again and again."""
    folder = make_folder(folder, 40, shape=(480, 640))
    view = stand.show(Annotator(folder))
    view.root.evaluate(WATCH)
    cdp = view.page.context.new_cdp_session(view.page)
    for part in range(8):
        waits = []
        for i in range(max(n_clicks // 8 // 20, 1)):
            waits += click(view, 20, 1000 * part + i)
            view.press("d" if (part + i) % 39 else "n")
        cdp.send("HeapProfiler.collectGarbage")
        gc.collect()
        heap = view.page.evaluate("performance.memory.usedJSHeapSize") / 1e6
        python = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        total = sum(sum(counts.values()) for counts in view.annotator.counts.values())
        print(
            f"{total:6,} clicks: page {heap:.1f} MB, Python at most {python:.0f} MB, "
            f"median wait {statistics.median(waits):.0f} ms"
        )


def main():
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clicks", type=int, default=800, help="four hours are some 14,400")
    arguments = parser.parse_args()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as temporary:
        stand, folder = Stand(start_chromium(playwright)), Path(temporary)
        hours(stand, folder / "hours", arguments.clicks)  # first: the process's peak is its own
        large_image(stand, folder / "large")
        large_folder(stand, folder / "many")
        stand.close()


if __name__ == "__main__":
    main()
