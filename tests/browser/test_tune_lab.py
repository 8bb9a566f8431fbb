"""The tuner where it is used: in JupyterLab, with a real hand on the slider."""

import json

import numpy as np
import pytest
from playwright.sync_api import expect

from browser.harness import LIMIT, TunerView
from browser.lab import write_notebook
from browser.scenes import count, draw_scene

CODE = """\
import numpy as np
from pointlib.tune.widget import Tuner
with np.load("scenes.npz") as file:
    images, heatmaps, points = (list(file[name]) for name in ("images", "heatmaps", "points"))
tuner = Tuner(heatmaps, images, points, radius=4)
tuner.settings = {"thresholds": {"point": 0.4}, "min_distances": {"point": 2.0}}
tuner"""


@pytest.fixture
def scenes():
    """Return three scenes."""
    return [draw_scene(seed) for seed in range(3)]


@pytest.fixture
def notebook(lab, place, scenes):
    """Return a notebook that shows a tuner of the scenes, run."""
    images, heatmaps, points = (np.stack(part) for part in zip(*scenes, strict=True))
    np.savez(place / "scenes.npz", images=images, heatmaps=heatmaps, points=points)
    notebook = lab.open(write_notebook(place / "work.ipynb", CODE, "tuner.threshold"))
    notebook.run_all()
    yield notebook
    notebook.close()


@pytest.fixture
def view(notebook):
    """Return the tuner in it."""
    return notebook.arrive(TunerView(notebook.page, None))


def drag(view, start, end, n_moves=40):
    """Drag the threshold's slider from one share of its length to another."""
    dial = view.dial("Threshold")
    dial.scroll_into_view_if_needed()
    box, mouse = dial.bounding_box(), view.page.mouse
    y = box["y"] + box["height"] / 2
    mouse.move(box["x"] + start * box["width"], y)
    mouse.down()
    for share in np.linspace(start, end, n_moves):
        mouse.move(box["x"] + share * box["width"], y)
    mouse.up()


def test_drag_is_followed_and_arrives_in_python(notebook, view, scenes):
    """The picture follows a dragged slider, the value is Python's, and all numbers are exact."""
    before = view.read("[a.frames, a.updates]")
    drag(view, 0.2, 0.8)
    frames, updates = np.subtract(view.read("[a.frames, a.updates]"), before)
    assert frames >= updates >= 5  # as the hand moved; how many more depends on the machine
    settings, numbers, _ = view.numbers()
    threshold = settings["thresholds"]["point"]
    assert 0.7 < threshold < 0.9
    notebook.wait(lambda: notebook.ask("tuner.threshold") == threshold)
    n_true, n_found, tp = count(scenes, threshold=threshold, min_distance=2, radius=4)
    assert [numbers["set"][key] for key in ("true", "found", "tp")] == [n_true, n_found, tp]
    f1 = 2 * tp / (n_true + n_found)
    expected = f"Tuner(threshold={threshold:.2f}, points={n_found}, f1={f1:.2f})"
    assert notebook.ask("repr(tuner)") == expected


def test_drag_while_a_cell_runs(notebook, view, scenes):
    """While the kernel is busy the numbers go on following the hand."""
    notebook.start("import time\nwhile not globals().get('over'): time.sleep(0.02)")
    drag(view, 0.2, 0.5)
    settings, numbers, _ = view.numbers()
    threshold = settings["thresholds"]["point"]
    assert 0.4 < threshold < 0.6
    _, n_found, tp = count(scenes, threshold=threshold, min_distance=2, radius=4)
    assert (numbers["set"]["found"], numbers["set"]["tp"]) == (n_found, tp)
    notebook.do("shell.currentWidget.sessionContext.session.kernel.interrupt()")


LOOK = "n.model.toJSON().cells"  # sources, types, outputs and counts of all cells
HARM = ("Escape", "Escape", "d", "d", "x", "m", "a", "b", "y", "0", "0", "Shift+Enter")
MORE = ("Control+Enter", "Control+x", "Control+v", "Control", "ArrowDown", "ArrowUp", "Control+s")
DEAD = ("[role=status]", ".pl-bar", ".pl-strip", ".pl-note", ".pl-curves", ".pl-elsewhere")


def test_keys_do_not_reach_the_notebook(notebook, view):
    """Keys that act on cells in command mode act on the tuner only, before and after Escape."""
    before = notebook.read(LOOK)
    for key in (*HARM, *MORE, "c", "v", "ArrowRight", "Escape"):
        view.press(key)
        expect(view.stage).to_be_focused()
    view.dial("Threshold").focus()
    view.press("ArrowRight", "x", "b", "Enter", "Escape", "d", "d")
    assert notebook.read(LOOK) == before


def test_click_anywhere_takes_the_keys(notebook, view):
    """After a click on any dead area, typing in another cell before, no key acts on a cell."""
    before, mouse = notebook.read(LOOK), notebook.page.mouse
    for spot in DEAD:
        notebook.page.locator(".jp-Cell .cm-content").nth(1).click()
        view.status.hover()
        part = view.root.locator(spot).first
        part.scroll_into_view_if_needed()
        box = part.bounding_box()
        mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3)
        view.until("a.app.page.root.matches(':focus-within')")
        view.press(*HARM[2:], *HARM, *MORE)
        assert view.read("a.app.page.root.matches(':focus-within')"), spot
        assert notebook.read(LOOK) == before, spot


def test_enter_takes_a_typed_value(notebook, view):
    """A typed value counts at Enter, while the field keeps the focus."""
    view.type("Threshold", 0.123456789)
    view.until("a.settings.thresholds.point === 0.123456789")
    expect(view.root.get_by_label("Threshold, typed")).to_be_focused()
    view.stage.focus()  # what the field shows is rounded, what holds is not
    notebook.wait(lambda: notebook.ask("tuner.threshold") == 0.123456789)


def test_code_in_a_cell_moves_the_page(notebook):
    """What a cell sets is on the page, and the widget shown twice is one tuner."""
    notebook.read("n.widgets[1].model.sharedModel.setSource('tuner.threshold = 0.7\\ntuner')")
    notebook.do("commands.execute('notebook:run-all-cells')")
    for number in (0, 1):
        one = notebook.arrive(TunerView(notebook.page, None, number))
        one.until("a.settings.thresholds.point === 0.7")
    one.type("Threshold", 0.33)
    notebook.arrive(TunerView(notebook.page, None)).until("a.settings.thresholds.point === 0.33")


def test_saved_notebook_stays_small_and_stable(notebook, view, scenes):
    """A saved notebook holds no widget state, but a picture and words for who has no kernel."""
    view.until(view.SETTLED)
    notebook.do("commands.execute('docmanager:save')")
    saved = json.loads(notebook.path.read_text())
    assert "widgets" not in saved["metadata"]
    data = saved["cells"][0]["outputs"][0]["data"]
    n_true, n_found, tp = count(scenes, threshold=0.4, min_distance=2, radius=4)
    f1 = 2 * tp / (n_true + n_found)
    assert data["text/plain"] == [f"Tuner(threshold=0.40, points={n_found}, f1={f1:.2f})"]
    assert len(data["image/png"]) < 4 / 3 * 120_000
    assert notebook.path.stat().st_size < 200_000


def test_reopened_notebook_says_not_connected(notebook, view):
    """A widget that a notebook kept, without its kernel, says so; a run of the cell mends it."""
    view.until(view.SETTLED)
    keep = "commands.execute('@jupyter-widgets/jupyterlab-manager:saveWidgetState')"
    notebook.do(keep)  # switches a setting of the server's
    notebook.do("commands.execute('docmanager:save')")
    notebook.do(keep)
    assert "widgets" in json.loads(notebook.path.read_text())["metadata"]
    notebook.do("shell.currentWidget.sessionContext.shutdown()")
    notebook.load()
    alert = notebook.page.locator(".pl-tuner").get_by_role("alert")
    expect(alert).to_contain_text("Not connected to a kernel: run this cell again", timeout=LIMIT)
    notebook.run_all()
    notebook.arrive(TunerView(notebook.page, None)).until("a.numbers.set.n_images === 3")
