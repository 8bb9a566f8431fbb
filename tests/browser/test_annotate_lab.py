"""The annotator where it is used: in JupyterLab, with a kernel that can be killed."""

import json
import os
import signal

import pytest
from playwright.sync_api import expect

from browser.lab import LabView, write_notebook
from pointlib.annotate.launch import write_notebook as write_ready_notebook

CODE = """\
import os
from pathlib import Path
from pointlib.annotate.widget import Annotator
Path("kernel.pid").write_text(str(os.getpid()))
annotator = Annotator("photos")
annotator"""


@pytest.fixture
def place(place, folder):
    """Return a folder of the server's in which the images are in photos/."""
    folder.rename(place / "photos")
    return place


@pytest.fixture
def notebook(lab, place):
    """Return a notebook that shows an annotator, run."""
    notebook = lab.open(write_notebook(place / "work.ipynb", CODE, "1 + 1"))
    notebook.run_all()
    yield notebook
    notebook.close()


@pytest.fixture
def view(notebook, place):
    """Return the annotator in it."""
    return notebook.view(place / "photos")


def test_ready_notebook_annotates(lab, place):
    """The notebook that `pointlib annotate` writes shows the widget, and a click is on disk."""
    path = write_ready_notebook(place / "photos", classes=("seedling", "weed"))
    notebook = lab.open(path)
    notebook.run_all()
    view = notebook.view(place / "photos")
    view.click(20, 14)
    view.says("a.png (1 of 3), 1 point: 1 seedling, saved")
    assert len(view.kept()) == 1
    notebook.close()
    x, y, label = (place / "photos" / "a.txt").read_text().strip().split(",")
    assert abs(float(x) * 80 - 20.5) < 0.6
    assert abs(float(y) * 60 - 14.5) < 0.6
    assert label == "seedling"


LOOK = "n.model.toJSON().cells"  # sources, types, outputs and counts of all cells
HARM = ("Escape", "Escape", "d", "d", "x", "m", "a", "b", "y", "r", "0", "0", "Shift+Enter")
MORE = ("Control+Enter", "Control+x", "Control+c", "Control+v", "Control", "Shift+M", "ArrowDown")


def test_keys_do_not_reach_the_notebook(notebook, view):
    """Keys that act on cells in command mode act on the image only, before and after Escape."""
    before = notebook.read(LOOK)
    for key in (*HARM, *MORE, "c", "v", "ArrowUp", "Control+z", "Control+Shift+z", "Escape"):
        view.press(key)
        expect(view.stage).to_be_focused()
    notebook.read("n.activeCellIndex = 1")  # as code may: a key that gets through would focus it
    view.press("Control", "j", "d", "d", "x")
    expect(view.stage).to_be_focused()
    notebook.read("n.activeCellIndex = 0")
    view.press("e")
    view.says(", 0 points, empty, saved")
    assert notebook.read(LOOK) == before


DEAD = {  # what to click on, and the button that shows it
    "[role=status]": None,
    ".pl-bar": None,
    ".pl-strip": None,
    ".pl-progress": None,
    ".pl-elsewhere": None,
    "input:disabled": "Assistance: size",
    ".pl-help-head strong": "Help (?)",
    ".pl-help-body": "Help (?)",
    ".pl-panel:not([hidden])": "Brightness, contrast, channels",
}


def test_click_anywhere_takes_the_keys(notebook, view):
    """After a click on any dead area, typing in another cell before, no key acts on a cell."""
    before, mouse = notebook.read(LOOK), notebook.page.mouse
    for spot, button in DEAD.items():
        if button:
            view.control(button).click()
        notebook.page.locator(".jp-Cell .cm-content").nth(1).click()
        view.status.hover()
        part = view.root.locator(spot).first
        part.scroll_into_view_if_needed()
        box = part.bounding_box()
        mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3)
        view.until("a.app.page.root.matches(':focus-within')")
        assert view.read("a.points.length + a.waiting") == 0, spot  # no click went through
        view.press(*HARM[2:], *HARM, *MORE)
        notebook.page.keyboard.type("ddxmab")
        assert view.read("a.app.page.root.matches(':focus-within')"), spot
        assert notebook.read(LOOK) == before, spot


def test_what_vanishes_under_the_focus_gives_it_to_the_image(notebook, view):
    """A focused control that goes or is disabled leaves the keys to the image, not to a cell."""
    before = notebook.read(LOOK)
    view.read("a.app.say('Look here.', 'warning')")
    view.control("Close").first.focus()
    view.press("Enter", "d", "d", "x")
    view.control("Suggestions").select_option("blobs")
    view.control("Lowest score").focus()
    view.press("g")  # to none: the slider is disabled
    view.until("a.app.page.top.matches(':focus')")
    view.press("x", "d", "d", "b")
    assert notebook.read(LOOK) == before


def test_tab_leaves_at_both_ends(view):
    """Tab and Shift+Tab lead out of the widget in fewer steps than there are controls."""
    inside = "a.app.page.root.matches(':focus-within')"
    n_controls = view.read("a.app.page.root.querySelectorAll('button, input, select').length")
    for key in ("Tab", "Shift+Tab"):
        view.stage.focus()
        for _ in range(n_controls + 3):
            view.press(key)
            if not view.read(inside):
                break
        assert not view.read(inside)


def test_opening_takes_the_keys(lab, place):
    """After Shift+Enter on its cell the widget has the keys; Escape, d, d deletes nothing."""
    notebook = lab.open(write_notebook(place / "work.ipynb", CODE, "1 + 1"))
    notebook.page.locator(".jp-Cell .cm-content").first.click()
    notebook.page.keyboard.press("Shift+Enter")
    view = LabView(notebook.page, place / "photos")
    view.until(view.READY)
    expect(view.stage).to_be_focused()
    before = notebook.read(LOOK)
    view.press("Escape", "d", "d", "Escape", "x")
    view.says("c.png (3 of 3)")
    assert notebook.read(LOOK) == before
    notebook.close()


def test_opening_leaves_who_types_alone(lab, place):
    """Who types in another cell when the image comes goes on typing there."""
    notebook = lab.open(write_notebook(place / "work.ipynb", CODE, "1 + 1"))
    editor = notebook.page.locator(".jp-Cell .cm-content").nth(1)
    editor.click()
    notebook.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-above'); }")
    editor.click()
    view = LabView(notebook.page, place / "photos")
    view.until(view.READY)
    expect(editor).to_be_focused()
    notebook.page.keyboard.type("x")
    assert "x" in notebook.read("n.model.toJSON().cells[1].source")
    notebook.close()


REFUSE = """() => {
    Element.prototype.requestFullscreen = () => Promise.reject(new TypeError("not here"));
}"""


def test_all_is_visible_on_a_small_laptop(notebook, view):
    """In a window of 1366 x 657 the widget fits the notebook's visible part, and fills the window."""
    notebook.page.set_viewport_size({"width": 1366, "height": 657})
    view.until("a.app.page.root.offsetHeight < 560")
    view.root.evaluate("root => root.scrollIntoView({ block: 'end' })")
    part = notebook.page.locator(".jp-WindowedPanel-outer").filter(
        has=notebook.page.locator(".pl-widget")
    )
    outer, inner = part.bounding_box(), view.root.bounding_box()
    assert outer["y"] <= inner["y"] + 0.5
    assert inner["y"] + inner["height"] <= outer["y"] + outer["height"] + 0.5
    before = notebook.read(LOOK)
    notebook.page.evaluate(REFUSE)  # as in a frame that may not
    view.press("Shift+F")
    view.until("a.app.page.root.offsetHeight === innerHeight")
    assert view.root.bounding_box() == {"x": 0, "y": 0, "width": 1366, "height": 657}
    view.press("x", "Escape", "Escape", "d", "d", "x")
    view.until("!a.app.page.root.matches('.pl-full')")
    assert view.root.bounding_box()["height"] == inner["height"]
    assert notebook.read(LOOK) == before


def test_full_screen_in_the_notebook(notebook, view):
    """Real full screen from within an output, points included; the browser's way out is noticed."""
    view.control("Full screen").click()
    view.until(
        "a.app.page.root.matches(':fullscreen') && a.app.page.root.offsetHeight === innerHeight"
    )
    view.click(20, 14)
    view.says("1 point, saved")
    notebook.page.evaluate("document.exitFullscreen()")
    view.until("!a.app.page.root.matches('.pl-full, :fullscreen')")
    expect(view.control("Full screen")).to_have_attribute("aria-pressed", "false")
    expect(view.stage).to_be_focused()


def test_answers_while_a_cell_runs(notebook, view, place):
    """Clicks are kept while the kernel is busy with a cell."""
    busy, over = place / "busy", place / "over"
    notebook.start(
        "import time\nPath('busy').touch()\nwhile not Path('over').exists(): time.sleep(0.02)"
    )
    notebook.wait(busy.exists)
    view.click(20, 14)
    view.says("1 point, saved")
    assert len(view.kept()) == 1
    over.touch()


def test_killed_kernel_loses_no_click(notebook, view, place):
    """Kill the kernel amid clicks: the acknowledged are on disk, the waiting arrive afterwards."""
    context = "window.jupyterapp.shell.currentWidget.sessionContext"
    notebook.page.evaluate(
        f"() => {{ {context}.statusChanged.connect((_, now) => (window.was ??= []).push(now)); }}"
    )
    for x in range(5, 30, 5):
        view.click(x, 14)
    acknowledged = 5 - view.read("a.waiting")
    os.kill(int((place / "kernel.pid").read_text()), signal.SIGKILL)
    for x in range(30, 75, 5):  # until JupyterLab's own message covers the page
        view.click(x, 14)
    expect(view.root.get_by_role("alert")).to_contain_text("No answer from the kernel")
    clicked = view.read("a.points.map((point) => [point.x, point.y])")
    assert len(clicked) > 5
    assert view.read("a.waiting") >= len(clicked) - 5
    assert len(view.kept()) >= acknowledged
    notebook.page.wait_for_function(
        f"window.was?.includes('autorestarting') && {context}.session.kernel.status === 'idle'"
    )
    notebook.run_all()
    view = notebook.view(place / "photos")
    view.until(f"a.waiting === 0 && a.points.length === {len(clicked)}")
    assert view.kept() == [tuple(point) for point in clicked]


def test_reloaded_page_goes_on(notebook, view, place):
    """After the page is loaded again the widget is there, without running a cell, with its points."""
    view.click(20, 14)
    view.says("1 point, saved")
    notebook.do("commands.execute('docmanager:save')")
    notebook.load()
    view = notebook.view(place / "photos")
    view.says("1 point, saved")
    view.click(50, 14)
    view.says("2 points, saved")
    view.press("Control+z", "Control+z")
    view.says("0 points, unlabelled, saved")
    assert view.kept() == []


def test_second_display_and_second_run_are_the_same(notebook, view, place):
    """The widget shown twice, and the cell run again, go on with the same points."""
    notebook.do("commands.execute('notebook:run-all-cells')")
    view = notebook.view(place / "photos")
    view.click(20, 14)
    view.says("1 point, saved")
    notebook.read("n.widgets[1].model.sharedModel.setSource('annotator')")
    notebook.run_all()
    second = notebook.view(place / "photos", 1)
    second.says("1 point, saved")
    second.click(50, 14)
    notebook.view(place / "photos", 0).says("2 points, saved")
    assert len(view.kept()) == 2


def test_saved_notebook_stays_small(notebook, view):
    """A saved notebook holds no widget state, but a picture and words for who has no kernel."""
    view.click(20, 14)
    view.says("1 point, saved")
    notebook.do("commands.execute('docmanager:save')")
    saved = json.loads(notebook.path.read_text())
    assert "widgets" not in saved["metadata"]
    data = saved["cells"][0]["outputs"][0]["data"]
    assert data["text/plain"] == ["Annotator(3 images, 0 points)"]
    assert any(kind.startswith("image/") for kind in data)
    assert notebook.path.stat().st_size < 100_000
