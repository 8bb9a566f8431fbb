"""In place of Jupyter: a page with the shipped JavaScript, and a line to the real Python object.

The page makes a model as anywidget hands one to `render`, and gets module and styles as the widget
holds them, not as files: what cannot be loaded in a notebook cannot be loaded here. What the page
sends reaches the widget's message handler, what the widget sends reaches the page, buffers
included. The line can be cut.
"""

import base64
import io
import itertools
import json
import re
import shutil
import time
from collections import deque
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import expect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
]
LIMIT = 60_000  # ms; nothing here depends on speed
ORIGIN = "http://localhost"  # no server: the requests are answered by `Stand._answer`
PAGE = """<!doctype html><link rel="icon" href="data:,"><link rel="stylesheet" href="/widget.css">
<body style="margin: 0"><script type="module">
import widget from "/widget.js";
const listeners = new Set();
const model = {
  get: (name) => (VALUES)[name],
  set() {}, save_changes() {},
  on: (name, run) => name === "msg:custom" && listeners.add(run),
  off: (name, run) => listeners.delete(run),
  send: (content) => { window.toKernel(content); },
};
const view = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
async function listen() {
  for (const [content, buffers] of await window.fromKernel()) {
    for (const run of listeners) run(structuredClone(content), buffers.map(view));
  }
  setTimeout(listen, 20);
}
window.addView = () => {
  const el = document.body.appendChild(document.createElement("div"));
  const end = widget.render({ model, el });
  return () => { end(); el.remove(); };
};
window.ends = Array.from({ length: N_VIEWS }, window.addView);
listen();
</script>"""


def start_chromium(playwright):
    """Start the Chromium on PATH, else Playwright's own; return None where there is neither."""
    own = playwright.chromium.executable_path
    path = next(filter(None, map(shutil.which, NAMES)), own)
    if not Path(path).exists():
        return None
    return playwright.chromium.launch(executable_path=path, args=FLAGS)


class Kernel:
    """The line between one widget and its pages; takes the place of the widget's comm."""

    comm_id = "line"

    def __init__(self, widget):
        self.widget, self.alive, self.binary, self.mute = widget, True, True, False
        self.queues, self.held, self.numbers = {}, None, itertools.count()
        widget.comm = self

    def send(self, data=None, buffers=None, **_):
        """Take what the widget sends, on any thread."""
        if data["method"] == "custom" and self.alive and not self.mute:
            parts = [base64.b64encode(part).decode() for part in buffers or () if self.binary]
            for queue in self.queues.values():
                queue.append((data["content"], parts))

    def receive(self, content):
        """Hand over what a page sent; while the kernel is dead it is lost, or held."""
        if self.alive:
            message = {"data": {"method": "custom", "content": content}}
            self.widget._handle_msg({"content": message, "buffers": []})
        elif self.held is not None:
            self.held.append(content)

    def stop(self, *, hold=False):
        """Fall silent, as a killed kernel does; with `hold` as a busy one, that answers later."""
        self.alive, self.held = False, [] if hold else None

    def go_on(self):
        """Answer again; first what was held."""
        self.alive, held = True, self.held or []
        for content in held:
            self.receive(content)

    def on_msg(self, callback):
        """Be what ipywidgets expects of a comm."""

    def close(self, *_, **__):
        """Be what ipywidgets expects of a comm."""


class Stand:
    """Pages, their kernels, and what went wrong on them."""

    def __init__(self, browser):
        self.browser, self.problems, self.opened = browser, [], []

    def show(self, widget, *, like=None, is_readable=True, **options):
        """Show a widget on a page of its own and wait for its image.

        `like`: another view whose widget and browser it shares, as a second tab does.
        `is_readable`: whether there is an image to wait for. Options: those of `_open`.
        """
        context, kernel = (
            (like.page.context, like.kernel) if like else self._open(widget, **options)
        )
        page = context.new_page()
        self._connect(page, kernel)
        page.goto(f"{ORIGIN}/")
        view = VIEWS[type(widget).__name__](page, kernel)
        view.until(view.READY if is_readable else view.WELCOMED)
        view.stage.focus()
        return view

    def _open(self, widget, *, n_views=1, scale=1, touch=False, binary=True, scheme="light"):
        """Make a browser of its own, with `scale` device pixels a pixel, and a kernel."""
        kernel = Kernel(widget)
        kernel.binary = binary
        context = self.browser.new_context(
            viewport={"width": 1000, "height": 720},
            device_scale_factor=scale,
            has_touch=touch,
            color_scheme=scheme,
        )
        context.set_default_timeout(LIMIT)
        context.route(f"{ORIGIN}/**", lambda route: self._answer(route, kernel, n_views))
        self.opened.append((context, widget))
        return context, kernel

    def _connect(self, page, kernel):
        queue = kernel.queues[next(kernel.numbers)] = deque()
        page.expose_function("toKernel", kernel.receive)
        page.expose_function("fromKernel", lambda: [queue.popleft() for _ in range(len(queue))])
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._listen)

    def _listen(self, message):
        if message.type == "error":
            self.problems.append(message.text)

    def _answer(self, route, kernel, n_views):
        widget, name = kernel.widget, route.request.url.rpartition("/")[2]
        page = PAGE.replace("VALUES", json.dumps({"height": widget.height}))
        kind, body = {
            "": ("text/html; charset=utf-8", page.replace("N_VIEWS", str(n_views))),
            "widget.js": ("text/javascript; charset=utf-8", widget._esm),
            "widget.css": ("text/css; charset=utf-8", widget._css),
        }[name]
        route.fulfill(body=body, content_type=kind)

    def close(self):
        """Close all pages and all widgets."""
        for context, widget in self.opened:
            context.close()
            widget.close()


class View:
    """One display on a page; image coordinates are those of the widget.

    Of each widget: ROOT, its element; HANDLE, what tests may look at, called `a` in expressions;
    and what holds once an image is there (READY), once Python has answered (WELCOMED), and once
    nothing waits to be answered, counted or drawn (SETTLED).
    """

    def __init__(self, page, kernel, number=0):
        self.page, self.kernel, self.number = page, kernel, number
        self.widget = kernel and kernel.widget
        self.root = page.locator(self.ROOT).nth(number)
        self.stage = self.root.get_by_role("application")
        self.status = self.root.locator("[role=status]")

    def other(self, number):
        """Return another display on the same page."""
        return type(self)(self.page, self.kernel, number)

    def read(self, expression):
        """Return what an expression of `a`, the view's handle for tests, is now."""
        return self.root.evaluate(
            f"root => {{ const a = root.{self.HANDLE}; return {expression}; }}"
        )

    def until(self, expression):
        """Wait until an expression of `a` holds."""
        handle = f"document.querySelectorAll('{self.ROOT}')[{self.number}]?.{self.HANDLE}"
        test = f"() => {{ const a = {handle}; return a && ({expression}); }}"
        self.page.wait_for_function(test, polling=20)

    def says(self, text):
        """Wait until the status line contains `text`."""
        expect(self.status).to_contain_text(text, timeout=LIMIT)

    def shows(self, text):
        """Wait until the page shows `text` to people, wherever it stands."""
        expect(self.root.get_by_text(text).first).to_be_visible(timeout=LIMIT)

    def place(self, x, y):
        """Return the page coordinates of an image position."""
        self.stage.scroll_into_view_if_needed()
        at = self.read(f"a.toClient({x}, {y})")
        return at["x"], at["y"]

    def click(self, x, y, *, keys=(), button="left"):
        """Click at an image position with keys held."""
        self.drag((x, y), keys=keys, button=button)

    def drag(self, *places, keys=(), button="left"):
        """Press at the first image position, go through the others, release."""
        first, *others = [self.place(*place) for place in places]
        mouse = self.page.mouse
        for key in keys:
            self.page.keyboard.down(key)
        mouse.move(*first)
        mouse.down(button=button)
        for other in others:
            mouse.move(*other, steps=4)
        mouse.up(button=button)
        for key in keys:
            self.page.keyboard.up(key)

    def press(self, *keys):
        """Press keys where the focus is; it begins on the image."""
        for key in keys:
            self.page.keyboard.press(key)

    def wheel(self, x, y, turn):
        """Turn the wheel at an image position, towards oneself for `turn` > 0."""
        before = self.read("a.view.k")
        self.page.mouse.move(*self.place(x, y))
        self.page.mouse.wheel(0, turn)
        self.until(f"a.view.k !== {before}")

    def touch(self, *fingers):
        """Put fingers down, move each along its image positions, all at once, and lift them."""
        paths = [[self.place(*place) for place in finger] for finger in fingers]
        line = self.page.context.new_cdp_session(self.page)
        for step, kind in [(0, "touchStart"), *((i, "touchMove") for i in range(len(paths[0])))]:
            points = [{"x": p[step][0], "y": p[step][1], "id": i} for i, p in enumerate(paths)]
            line.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        line.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        line.detach()

    def pen(self, *path):
        """Draw along image positions with a pen."""
        places = [self.place(*place) for place in path]
        line = self.page.context.new_cdp_session(self.page)
        kinds = ["mousePressed", *["mouseMoved"] * (len(places) - 1), "mouseReleased"]
        for kind, (x, y) in zip(kinds, [*places, places[-1]], strict=True):
            event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            line.send("Input.dispatchMouseEvent", event | {"pointerType": "pen", "buttons": 1})
        line.detach()

    def pixels(self, layer):
        """Return what a layer shows, (H, W, 4) uint8: 0 image, 1 points, 2 what follows the hand."""
        self.until("a.app.frame === 0")
        canvas = self.root.locator("canvas.pl-layer").nth(layer)
        url = canvas.evaluate("canvas => canvas.toDataURL()")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))

    def control(self, label):
        """Return a button, slider or field by how its name begins; open the panel it is in."""
        name = re.compile(f"^{re.escape(label)}")
        closed = self.root.locator(".pl-panel[hidden]").filter(has=self.page.get_by_label(name))
        for panel in closed.evaluate_all("panels => panels.map((panel) => panel.dataset.is)"):
            self.root.locator(f"[data-opens={panel}]").click()
        return self.root.get_by_label(name)


class AnnotatorView(View):
    """A display of the annotator."""

    ROOT, HANDLE, READY, WELCOMED = ".pl-annotator", "__annotator", "a.name", "a.app.welcomed"
    SETTLED = "a.waiting === 0"

    @property
    def annotator(self):
        """The Python side."""
        return self.widget

    def saved(self, n_points):
        """Wait until `n_points` points are there and nothing waits; return them, from Python."""
        self.until(f"a.points.length === {n_points} && a.waiting === 0")
        points = self.annotator.points
        assert len(points) == n_points
        return points


class TunerView(View):
    """A display of the tuner."""

    ROOT, HANDLE, READY, WELCOMED = ".pl-tuner", "__tuner", "a.name", "a.app.welcomed"
    SETTLED = (
        "!a.pale && !a.app.frame && (!a.app.labelled[a.index] || a.app.answered === a.app.step)"
    )

    @property
    def tuner(self):
        """The Python side."""
        return self.widget

    def dial(self, name):
        """Return a slider: "Threshold", "Min distance" or "Match radius"."""
        return self.root.get_by_role("slider", name=name)

    def type(self, name, value):
        """Type a value into the field beside a slider."""
        field = self.root.get_by_role("spinbutton", name=f"{name}, typed")
        field.fill(str(value))
        field.press("Enter")

    def tab(self, name):
        """Open a tab."""
        self.root.get_by_role("tab", name=name).click()

    def numbers(self):
        """Return settings, numbers and index that belong together, those of the dials."""
        self.until("!a.app.dirty.has('count') && !a.pale")
        return self.read("[a.settings, a.numbers, a.index]")

    def settings(self):
        """Return Python's settings as the page has them: a radius for each class."""
        return self.tuner.settings | {"radius": self.tuner._trial.radii}

    def told(self):
        """Wait until Python's settings are those of the page; return them."""
        deadline = time.monotonic() + LIMIT / 1000
        while (here := self.read("a.settings")) != self.settings():
            assert time.monotonic() < deadline, (here, self.settings())
            self.page.wait_for_timeout(20)
        return here


VIEWS = {"Annotator": AnnotatorView, "Tuner": TunerView}
