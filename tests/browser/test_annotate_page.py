"""The annotator in a browser: every gesture and key, against the real Python object."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from playwright.sync_api import expect

from browser.conftest import BLOBS
from pointlib.annotate.widget import Annotator
from pointlib.images import write_image
from pointlib.points import read_points, write_points

SHAPE = (60, 80)  # of the images in `folder`


@pytest.fixture
def annotator(folder):
    """Return an annotator of two classes on three unlabelled images."""
    return Annotator(folder, classes=("seedling", "weed"))


@pytest.fixture
def view(show, annotator):
    """Show it."""
    return show(annotator)


def near(points, wanted, tolerance=0.6):
    """Return whether points (N, 2) are those wanted, in order, within `tolerance` pixels."""
    return np.shape(points) == np.shape(wanted) and np.abs(points - wanted).max() <= tolerance


def journal(folder, key):
    """Return one value of every line that has it."""
    lines = (folder / ".pointlib" / "journal.jsonl").read_text().splitlines()
    return [line[key] for line in map(json.loads, lines) if key in line]


# ---- folders


def test_images_of_equal_names_in_two_folders_are_two(show, tmp_path):
    """Each shows its own pixels and takes its own clicks; the text is in its folder."""
    for place in ("cam1", "cam2"):
        write_image(tmp_path / place / "1.png", np.full(SHAPE, 90, np.uint8))
    view = show(Annotator(tmp_path, classes=("weed",)))
    view.click(20, 14)
    view.says("cam1/1.png (1 of 2), 1 point, saved")
    view.press("d")
    view.click(40, 30)
    view.says("cam2/1.png (2 of 2), 1 point, saved")
    view.annotator.flush()
    for place, point in (("cam1", (20, 14)), ("cam2", (40, 30))):
        points, _ = read_points(tmp_path / place / "1.txt", SHAPE)
        assert near(points, [point])


# ---- points


def test_click_adds_a_point(view, folder):
    """A click adds a point there; when it says saved, it is journalled; the text follows."""
    view.click(20, 14)
    assert near(view.saved(1), [(20, 14)])
    view.says("a.png (1 of 3), 1 point: 1 seedling, saved")
    assert journal(folder, "source") == ["hand"]
    view.annotator.flush()
    points, labels = read_points(folder / "a.txt", SHAPE)
    assert near(points, view.annotator.points, 1e-6)
    assert labels.tolist() == ["seedling"]


@pytest.mark.parametrize("scale", [1, 2])
def test_clicks_land_where_the_eye_sees_them(show, annotator, scale):
    """A click on the brightest pixels of the screen is a point on the blob, at any zoom."""
    view = show(annotator, scale=scale)
    for turn, blob in zip((0, 900, -900), BLOBS, strict=True):
        if turn:
            view.wheel(*blob, turn)
        k, ox, oy = view.read("[a.view.k, a.view.ox, a.view.oy]")
        guess = ((blob + 0.5) * k + (ox, oy)) * scale
        seen = brightest(view.pixels(0)[..., 0], guess, 4 * k * scale) / scale
        box = view.stage.bounding_box()
        view.page.mouse.click(box["x"] + seen[0], box["y"] + seen[1])
    assert near(view.saved(3), BLOBS)


def brightest(pixels, guess, radius):
    """Return the centre of the bright pixels near a guess, as x, y from the corner's edge."""
    y, x = np.nonzero(pixels > 200)
    close = np.hypot(x + 0.5 - guess[0], y + 0.5 - guess[1]) < radius
    return np.array([x[close].mean(), y[close].mean()]) + 0.5


def test_click_selects_and_drag_moves(view):
    """A click on a point selects it and adds none; a drag moves it, in one step."""
    view.click(20, 14)
    view.saved(1)
    view.click(20, 14)
    view.says("1 selected")
    view.drag((20, 14), (30, 20), (40, 25))
    assert near(view.saved(1), [(40, 25)])
    view.press("Control+z")
    view.until("a.points[0].x < 21")
    assert near(view.saved(1), [(20, 14)])


def test_points_stay_in_the_image(view):
    """A click outside adds nothing; a drag beyond the edge ends at the edge."""
    view.click(-3, 20)
    view.click(20, 14)
    view.drag((20, 14), (20, -4))
    assert near(view.saved(1), [(20, -0.5)], 0.6)


@pytest.mark.parametrize("key", ["Delete", "Backspace"])
def test_delete_removes_the_selection(view, folder, key):
    """Delete removes the selected point only; without points the image is unlabelled again."""
    for x in (20, 50):
        view.click(x, 14)
    view.click(20, 14)
    view.press(key)
    assert near(view.saved(1), [(50, 14)])
    view.press("Control+a", key)
    view.saved(0)
    view.says("0 points, unlabelled, saved")
    view.annotator.flush()
    assert not (folder / "a.txt").exists()


def test_shift_selects_many(view):
    """Shift-drag selects what its rectangle holds, Shift-click one more or one less."""
    for x, y in BLOBS:
        view.click(x, y)
    view.drag((10, 5), (40, 50), keys=["Shift"])
    view.says("2 selected")
    view.click(*BLOBS[1], keys=["Shift"])
    view.says("3 selected")
    view.click(*BLOBS[0], keys=["Shift"])
    view.says("2 selected")
    view.drag(BLOBS[1], BLOBS[1] + (5, 5))
    assert near(view.saved(3), BLOBS + np.array([[0, 0], [5, 5], [5, 5]]))
    view.press("Escape")
    view.until("a.selection.length === 0")


def test_control_click_adds_on_top(view):
    """Ctrl-click adds where a point is already: two at one place are legal."""
    view.click(20, 14)
    view.click(20, 14, keys=["Control"])
    assert near(view.saved(2), [(20, 14)] * 2)


def test_undo_shows_what_it_undid_off_screen(view):
    """Zoomed in elsewhere, the point that comes back is in view, and a sentence names it."""
    view.click(8, 8)
    view.saved(1)
    view.annotator.undo()
    for _ in range(4):
        view.wheel(60, 45, -300)
    assert view.read("a.view.ox + a.view.k * 8.5") < 0
    view.press("Control+Shift+z")
    view.shows("Redone, a.png: 1 point brought back.")
    at = view.read("({x: a.view.ox + a.view.k * 8.5, y: a.view.oy + a.view.k * 8.5})")
    size = view.stage.bounding_box()
    assert 0 <= at["x"] <= size["width"]
    assert 0 <= at["y"] <= size["height"]
    view.press("Control+z")
    view.shows("Undone, a.png: 1 point removed.")


def test_undo_and_redo_cross_images(view):
    """Ctrl+Z takes back step after step, in whatever image, and goes there; redo likewise."""
    view.click(20, 14)
    view.press("d")
    view.until("a.name === 'b.png'")
    view.click(30, 20)
    view.click(40, 30)
    view.saved(2)
    view.press("Control+z", "Control+z", "Control+z")
    view.says("a.png (1 of 3), 0 points")
    view.press("Control+z")
    view.shows("nothing to undo")
    view.press("Control+Shift+z", "Control+y", "Control+Shift+Z")
    view.says("b.png (2 of 3), 2 points")
    assert near(view.saved(2), [(30, 20), (40, 30)])
    assert view.annotator.counts["a.png"] == {"seedling": 1, "weed": 0}
    view.control("Undo").click()
    view.saved(1)


def test_classes_by_key(view):
    """1-9 and the brackets choose the class of new points; `r` gives it to the selection."""
    view.click(20, 14)
    view.press("2")
    view.click(50, 30)
    view.press("[")
    view.click(60, 50)
    view.saved(3)
    assert view.annotator.labels.tolist() == ["seedling", "weed", "seedling"]
    view.press("2", "Control+a", "r", "9")
    view.says("3 weed")
    view.saved(3)
    assert view.annotator.labels.tolist() == ["weed"] * 3
    expect(view.root.get_by_role("button", name="weed")).to_have_attribute("aria-pressed", "true")


# ---- view


def test_wheel_zooms_at_the_cursor(view):
    """What is under the cursor stays there, in and out."""
    origin, k = np.array(view.place(0, 0)), view.read("a.view.k")
    cursor = np.array([600, 280])  # whole pixels: a mouse knows no others
    spot = (cursor - origin) / k
    for turn in (-500, -500, 300):
        view.wheel(*spot, turn)
        assert np.allclose(view.place(*spot), cursor, atol=0.01)
    view.press("f")
    view.until("a.app.fitted")


@pytest.mark.parametrize(
    "how", [{"button": "middle"}, {"keys": ["Alt"]}, {}], ids=["middle", "Alt", "free ground"]
)
def test_drags_pan(view, how):
    """Middle-drag, Alt-drag and a drag on free ground move the image and add nothing."""
    view.wheel(40, 30, -400)
    start, end = view.place(40, 30), view.place(50, 35)
    view.drag((40, 30), (50, 35), **how)
    assert np.allclose(view.place(40, 30), end, atol=1.5)
    assert not np.allclose(start, end, atol=10)
    assert view.read("a.points.length + a.waiting") == 0


def test_zoom_keys_and_point_size(view):
    """+ and - zoom, f fits, and the points grow and shrink with it, slowly; `h` hides them."""
    view.click(20, 14)
    view.saved(1)
    drawn = []
    for key in ("f", "-", "-", "+", "+", "+"):
        view.press(key)
        drawn.append(np.count_nonzero(view.pixels(1)[..., 3]))
    assert drawn[2] < drawn[1] < drawn[0] < drawn[5]
    assert drawn[5] < 3 * drawn[0]
    view.press("h")
    assert not view.pixels(1)[..., 3].any()


def test_view_and_contrast_stay_between_images(view):
    """Zoom, place and contrast are the same on the next image; reset shows it as it is."""
    view.wheel(20, 14, -400)
    view.control("Brightness, contrast").click()
    plain = view.pixels(0)
    for label, value in (("Brightness", 40), ("Contrast", -30), ("Gamma", 0.4)):
        before = view.pixels(0)
        view.root.get_by_role("slider", name=label).fill(str(value))
        view.until("a.app.frame === 0")
        assert (view.pixels(0) != before).any(), label
    tuned, zoom = view.pixels(0), view.read("a.view")
    view.control("Brightness, contrast").click()
    view.press("d")
    view.until("a.name === 'b.png'")
    assert view.read("a.view") == pytest.approx(zoom)
    assert (view.pixels(0) == tuned).all()
    view.control("Brightness, contrast").click()
    view.control("Show the image as it is").click()
    assert (view.pixels(0) == plain).all()


def test_deep_and_many_channels(show, folder):
    """16 bits show between black and white of their own; of many channels one is chosen."""
    rows = np.linspace(300, 900, 60, dtype=np.uint16)[:, None]
    deep = np.stack([np.tile(rows, 80), np.tile(rows[::-1], 80), np.full(SHAPE, 500)], axis=2)
    write_image(folder / "0.tif", deep.astype(np.uint16))
    view = show(Annotator(folder))
    shown = view.pixels(0)[..., 0]
    assert np.ptp(shown[shown > 0]) > 200
    view.control("Brightness, contrast").click()
    view.control("Channel").select_option("2")
    view.until("a.app.entry.about.channel === 1")
    colours = view.pixels(0)
    assert (colours[..., 0] == colours[..., 2]).all()
    view.control("White").fill("5000")
    view.control("White").press("Enter")
    view.until("a.app.entry.about.white === 5000")
    assert view.pixels(0)[..., 0].max() < 60


# ---- images


def test_keys_and_strip_turn_pages(view):
    """D and a go on and back, n to the next unlabelled, a click on the strip to any."""
    for key, name in (("d", "b.png"), ("d", "c.png"), ("d", "c.png"), ("a", "b.png")):
        view.press(key)
        view.until(f"a.name === '{name}'")
    view.press("e")
    view.saved(0)
    for key, name in (("n", "c.png"), ("n", "a.png"), ("n", "c.png")):
        view.press(key)
        view.until(f"a.name === '{name}'")
    view.root.get_by_role("option", name="a.png").click()
    view.until("a.name === 'a.png'")
    assert view.annotator.image == "a.png"
    view.press("d")
    view.until("a.name === 'b.png'")


def test_marks_need_a_key_and_no_points(view, folder):
    """`e` marks empty, `s` skips and goes on; with points both are refused, nothing else marks."""
    view.click(20, 14)
    view.press("e")
    view.shows("1 point here: delete them first")
    view.press("Control+a", "Delete", "e")
    view.says("a.png (1 of 3), 0 points, empty, saved")
    view.press("d")
    view.until("a.name === 'b.png'")
    view.press("s")
    view.says("c.png (3 of 3), 0 points, unlabelled")
    view.until("a.waiting === 0")
    assert list(view.annotator.states.values()) == ["empty", "skipped", "unlabelled"]
    view.annotator.flush()
    assert [path.name for path in folder.glob("*.txt")] == ["a.txt"]
    assert (folder / "a.txt").read_bytes() == b""


def test_strip_shows_states_counts_and_progress(view):
    """Each thumbnail says its state in words and the number of points per class."""
    view.click(20, 14)
    view.press("2")
    view.click(40, 14)
    view.press("d")
    view.until("a.name === 'b.png'")
    view.press("e")
    view.saved(0)
    strip = view.root.get_by_role("listbox").get_by_role("option")
    assert [image.get_attribute("aria-label") for image in strip.all()] == [
        "a.png: 2 points (1 seedling, 1 weed), not done",
        "b.png: empty",
        "c.png: unlabelled",
    ]
    view.shows("1 of 3 done")
    expect(view.root.locator("img[src^=blob]")).to_have_count(3)


def test_broken_image_is_said_and_others_go_on(show, folder):
    """An image that cannot be read says why, in its place; the next one works."""
    (folder / "0.png").write_bytes(b"nonsense")
    view = show(Annotator(folder), is_readable=False)
    view.shows("0.png cannot be read as an image")
    view.press("d")
    view.until("a.name === 'a.png'")
    view.click(20, 14)
    view.saved(1)


# ---- keyboard, touch, pen


def test_arrows_and_space_do_without_a_mouse(view):
    """Arrows move a crosshair, or the selection, Shift by ten; Space adds at the crosshair."""
    view.press("ArrowRight")
    x, y = view.read("[a.app.crosshair.x, a.app.crosshair.y]")
    view.press("Shift+ArrowLeft", "ArrowUp", "ArrowUp", " ")
    assert near(view.saved(1), [(x - 10, y - 2)], 1e-9)
    view.press(".", "ArrowDown", "ArrowDown", "Shift+ArrowRight")
    view.until(f"a.points[0].x === {x} && a.points[0].y === {y}")
    assert near(view.saved(1), [(x, y)], 1e-9)


def test_keyboard_alone_annotates(view):
    """Tab reaches everything and is never trapped; the whole of an image's work needs no mouse."""
    view.press("ArrowUp", " ", "2", "Shift+ArrowDown", "Control+ ", ",")
    view.says("2 points: 1 seedling, 1 weed, 1 selected")
    view.press("Delete", "Escape", "Shift+Tab")
    assert not view.read("a.app.page.top.matches(':focus')")
    seen = set()
    for _ in range(40):
        seen.add(
            view.page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.tagName")
        )
        view.press("Tab")
    assert {"BODY", "Undo (Ctrl+Z)", "Images", "Suggestions: points to accept (g)"} <= seen
    assert len(view.saved(1)) == 1


def test_every_control_has_a_name(view):
    """A screen reader has a name for everything that can be reached."""
    view.control("Brightness, contrast").click()
    line = view.page.context.new_cdp_session(view.page)
    nodes = line.send("Accessibility.getFullAXTree")["nodes"]
    reached = [
        node
        for node in nodes
        if any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", ()))
        and node["role"]["value"] != "RootWebArea"
    ]
    assert len(reached) > 15
    assert [node["role"]["value"] for node in reached if not node["name"]["value"].strip()] == []


# ---- room


@pytest.mark.parametrize("n_classes", [1, 2, 9])
def test_tools_are_one_row(show, folder, n_classes):
    """At 1000 pixels the tools are one row with 230 to spare, and every class can be reached."""
    view = show(Annotator(folder, classes=[f"kind {i}" for i in range(1, n_classes + 1)]))
    bar = view.root.get_by_role("group", name="Tools")
    assert bar.bounding_box()["height"] < 40
    bar.evaluate(
        "bar => bar.append(Object.assign(document.createElement('div'), { style: 'width: 222px' }))"
    )
    assert bar.bounding_box()["height"] < 40
    view.press(str(n_classes))
    slot, last = view.root.locator(".pl-slot"), view.control(f"kind {n_classes}:")
    outer, inner = slot.bounding_box(), last.bounding_box()
    assert outer["y"] <= inner["y"] < inner["y"] + inner["height"] <= outer["y"] + outer["height"]
    assert inner["x"] + inner["width"] <= outer["x"] + outer["width"]
    before = view.stage.bounding_box()
    slot.hover()
    for i in range(1, n_classes + 1):
        view.control(f"kind {i}:").click()
        view.until(f"a.app.label === {i - 1}")
    assert view.stage.bounding_box() == before
    assert view.read("a.points.length + a.waiting") == 0


def test_rare_tools_are_in_a_panel(view):
    """Size, brightness and score are behind a button; one panel is open at a time, Escape closes it."""
    size = view.root.get_by_label("Size of the objects")
    expect(size).to_be_hidden()
    view.root.get_by_role("button", name="Assistance").click()
    expect(size).to_be_focused()
    view.control("Brightness, contrast").click()
    expect(size).to_be_hidden()
    expect(view.root.get_by_role("slider", name="Gamma")).to_be_visible()
    view.press("Escape")
    expect(view.root.get_by_role("slider", name="Gamma")).to_be_hidden()
    expect(view.stage).to_be_focused()


def test_all_is_visible_in_a_small_window(show, view):
    """The default height fits the window, as it is and as it becomes; room comes back."""
    for height, wanted in ((560, 544), (657, 640), (400, 384), (900, 640)):
        view.page.set_viewport_size({"width": 1366, "height": height})
        view.until(f"a.app.page.root.offsetHeight === {wanted}")
    view.page.set_viewport_size({"width": 1366, "height": 560})
    second = show(view.annotator, like=view)
    second.page.set_viewport_size({"width": 1366, "height": 560})
    second.until("a.app.page.root.offsetHeight === 544")
    assert second.page.evaluate("Object.keys(localStorage).length") == 0


def test_height_made_by_hand_is_remembered(view):
    """After a drag at the corner the next view has that height, where there is room."""
    box, mouse = view.root.bounding_box(), view.page.mouse
    mouse.move(box["width"] - 4, box["height"] - 4)
    mouse.down()
    mouse.move(box["width"] - 4, box["height"] - 104, steps=4)
    mouse.up()
    view.until("Math.abs(a.app.page.root.offsetHeight - 540) < 4")
    height = view.root.bounding_box()["height"]
    view.until("a.app.habits.height > 0")
    view.page.reload()
    view.until("a.name")
    assert view.root.bounding_box()["height"] == height
    view.page.set_viewport_size({"width": 1000, "height": 500})
    view.until("a.app.page.root.offsetHeight === 484")


def test_tools_and_strip_fold(view):
    """Buttons and z fold tools and thumbnails for the image's good, and the next view has it so."""
    tools, strip = view.root.get_by_role("group", name="Tools"), view.root.get_by_role("listbox")
    before = view.stage.bounding_box()["height"]
    view.control("Fold the thumbnails").click()
    expect(strip).to_be_hidden()
    expect(tools).to_be_visible()
    expect(view.stage).to_be_focused()
    view.press("z")
    expect(tools).to_be_hidden()
    view.until(f"a.app.size.height > {before} + 90")
    view.page.reload()
    view.until("a.name")
    expect(strip).to_be_hidden()
    view.press("d")
    view.until("a.name === 'b.png'")
    view.press("z")
    expect(tools).to_be_visible()
    expect(strip.get_by_role("option", name="b.png")).to_have_attribute("aria-selected", "true")
    view.control("Undo").focus()
    view.press("z")
    expect(view.stage).to_be_focused()
    view.press("2")
    view.click(20, 14)
    view.press("Control+z")
    view.saved(0)
    expect(tools).to_be_hidden()


def test_folding_needs_no_storage(show, annotator):
    """Where the browser stores nothing, and where it stores nonsense, all of it works."""
    view = show(annotator)
    view.page.evaluate(
        'localStorage.setItem(\'pointlib-habits:annotator\', \'{"height": "x", "folded": 3}\')'
    )
    view.page.reload()
    view.until("a.name")
    expect(view.root.get_by_role("listbox")).to_be_visible()
    refuse = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } })"
    view.page.context.add_init_script(refuse)
    view.page.reload()
    view.until("a.name")
    view.press("z")
    expect(view.root.get_by_role("listbox")).to_be_hidden()
    view.click(20, 14)
    view.saved(1)


REFUSE = """() => {
    Element.prototype.requestFullscreen = () => Promise.reject(new TypeError("not here"));
}"""


@pytest.mark.parametrize("how", ["allowed", "refused", "refused, no popovers"])
def test_full_screen(view, how):
    """Shift+F and a button fill the screen, or the window, and give it back; points stay put."""
    if how != "allowed":
        view.page.evaluate(REFUSE)
    if "popovers" in how:
        view.page.evaluate("delete HTMLElement.prototype.showPopover")
    view.page.set_viewport_size({"width": 1000, "height": 900})
    view.page.evaluate("document.body.style.padding = '40px'")
    before = view.root.bounding_box()
    whole = (
        "a.app.page.root.offsetHeight === innerHeight && a.app.page.root.offsetWidth === innerWidth"
    )
    button = view.control("Full screen")
    view.press("Shift+F")
    view.until(f"{whole} && a.app.size.height > 640")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(view.stage).to_be_focused()
    assert view.read("a.app.page.root.matches(':fullscreen')") == (how == "allowed")
    view.click(20, 14)
    assert near(view.saved(1), [(20, 14)])
    button.click()
    view.until("!a.app.page.root.matches('.pl-full, :fullscreen')")
    assert view.root.bounding_box() == before
    button.click()
    view.until(whole)
    if how == "allowed":
        view.page.evaluate("document.exitFullscreen()")  # what the browser does at Escape
    else:
        view.click(20, 14)
        view.press("Escape")
        assert view.read("a.selection.length") == 0
        assert view.read(whole)
        view.press("Escape")
    view.until("!a.app.page.root.matches('.pl-full, :fullscreen')")
    expect(button).to_have_attribute("aria-pressed", "false")
    view.press("f")
    view.until("a.app.fitted")
    expect(view.stage).to_be_focused()


def test_strip_says_when_keys_go_elsewhere(view):
    """Over an image whose keys go elsewhere a strip says so; a click on it adds no point."""
    told = view.root.get_by_text("Keys go elsewhere")
    view.status.hover()
    expect(told).to_be_hidden()
    size = view.stage.bounding_box()
    view.page.evaluate("document.body.append(document.createElement('input'))")
    view.page.locator("body > input").focus()
    expect(told).to_be_visible()
    assert view.stage.bounding_box() == size
    view.page.mouse.move(500, 700)
    expect(told).to_be_hidden()
    view.status.hover()
    told.click()
    expect(view.stage).to_be_focused()
    expect(told).to_be_hidden()
    assert view.read("a.points.length + a.waiting") == 0


def test_help_lists_all_keys(view):
    """`?` shows every gesture and key; Escape closes it."""
    view.press("?")
    for words in ("add a point", "Ctrl+Shift+Z", "mark empty", "magnet", "reject the suggestion"):
        view.shows(words)
    view.press("Escape")
    expect(view.root.get_by_role("dialog")).to_have_count(0)


def test_touch_adds_pans_and_pinches(show, annotator):
    """A tap adds, one finger pans, two zoom about what is between them."""
    view = show(annotator, touch=True)
    view.touch([(20, 14)])
    assert near(view.saved(1), [(20, 14)])
    view.touch([(35, 28), (30, 25), (25, 22)], [(45, 32), (50, 35), (55, 38)])
    view.until("a.view.k > 8")
    before = view.place(40, 30)
    view.touch([(40, 30), (43, 33), (46, 34)])
    assert not np.allclose(view.place(40, 30), before, atol=10)
    assert len(view.saved(1)) == 1


def test_pen_adds_and_moves(view):
    """A pen adds by a tap and moves a point by a stroke."""
    view.pen((20, 14))
    assert near(view.saved(1), [(20, 14)])
    view.pen((20, 14), (24, 18), (30, 22))
    assert near(view.saved(1), [(30, 22)])


# ---- help from the machine


def test_magnet_snaps_to_the_blob(view, folder):
    """With the magnet on, a click beside a blob is a point on its centre, and is told apart."""
    view.press("m")
    view.until("a.app.magnet")
    view.control("Size of the objects").fill("2")
    view.click(*BLOBS[2] + (1.4, -1.2))
    assert near(view.saved(1), BLOBS[2:], 0.1)
    view.press("m")
    view.click(*BLOBS[0] + (1.4, -1.2))
    assert near(view.saved(2)[1:], BLOBS[:1] + (1.4, -1.2))
    assert journal(folder, "source") == ["magnet", "hand"]


def test_suggestions_are_accepted_and_rejected(view, folder):
    """A click accepts one suggestion, `x` rejects one, Enter takes the rest in view."""
    view.press("g")
    view.control("Size of the objects").fill("2")
    view.until("a.suggestions.length === 3")
    view.control("Lowest score").fill("1")
    view.until("a.suggestions.length < 3")
    view.control("Lowest score").fill("0.2")
    view.stage.focus()
    view.click(*BLOBS[0])
    assert near(view.saved(1), BLOBS[:1], 0.3)
    view.page.mouse.move(*view.place(*BLOBS[1]))
    view.press("x")
    view.until("a.suggestions.length === 1 && a.waiting === 0")
    view.press("Enter")
    assert near(view.saved(2), BLOBS[[0, 2]], 0.3)
    ops = [op for op in journal(folder, "op") if op in ("add", "reject")]
    assert ops == ["add", "reject", "add"]
    assert journal(folder, "source") == ["ghost"] * 3
    view.press("Control+z", "Control+z")
    view.until("a.suggestions.length === 2 && a.waiting === 0")


# ---- nothing is lost, and nothing is pretended


def test_dead_kernel_is_said_and_edits_arrive_later(view, folder):
    """Without an answer it says so within 3 s and how many edits wait; later they arrive."""
    view.page.clock.install()
    view.kernel.stop()
    view.click(20, 14)
    view.click(50, 14)
    view.says("2 edits waiting")
    view.page.clock.run_for(3000)
    banner = view.root.get_by_role("alert")
    expect(banner).to_contain_text("No answer from the kernel")
    expect(banner).to_contain_text("2 edits waiting")
    assert len(view.annotator.points) == 0
    view.kernel.go_on()
    assert near(view.saved(2), [(20, 14), (50, 14)])
    expect(banner).to_be_hidden()
    assert journal(folder, "edit") == [1, 2]


def test_busy_kernel_shows_edits_pale_until_kept(view):
    """Edits that wait are drawn paler; those that a busy kernel held arrive once."""
    view.kernel.stop(hold=True)
    view.click(20, 14)
    view.says("1 edit waiting")
    pale = view.pixels(1)[..., 3].sum()
    view.kernel.go_on()
    view.saved(1)
    view.until("a.app.frame === 0")
    assert view.pixels(1)[..., 3].sum() > 1.2 * pale


def test_lost_answers_do_not_double_edits(view):
    """What arrived but was not answered is sent again, and kept once."""
    view.kernel.mute = True
    view.click(20, 14)
    view.press("Control+a", "2", "r")
    view.says("2 edits waiting")
    view.kernel.mute = False
    view.page.reload()
    view.until("a.name")
    assert near(view.saved(1), [(20, 14)])
    assert view.annotator.labels.tolist() == ["weed"]


def test_closed_tab_leaves_edits_to_the_next(show, view):
    """Edits that waited in a closed tab arrive when the annotator is opened again."""
    view.kernel.stop()
    view.click(20, 14)
    view.press("d")
    view.says("1 edit waiting")
    view.page.close()
    view.kernel.go_on()
    other = show(view.annotator, like=view)
    assert near(other.saved(1), [(20, 14)])
    assert other.page.evaluate("Object.keys(localStorage).length") == 0


def test_base64_where_binary_parts_do_not_arrive(show, annotator):
    """A front end that drops buffers shows images, thumbnails and suggestions all the same."""
    view = show(annotator, binary=False)
    view.control("Size of the objects").fill("2")
    view.control("Suggestions").select_option("blobs")
    view.until("a.suggestions.length === 3")
    expect(view.root.locator("img[src^=blob]")).to_have_count(3)
    view.click(5, 5)
    view.saved(1)


def test_read_only_folder_is_said(show, folder):
    """Where the folder takes no files, it says so and no edit is made."""
    (folder / ".pointlib").write_text("in the way")
    view = show(Annotator(folder))
    view.shows("cannot be written")
    view.click(20, 14)
    assert view.read("a.points.length + a.waiting") == 0


def test_second_annotator_is_told_who_has_the_folder(show, folder):
    """While another process annotates the folder this one only looks, and names the other."""
    (folder / ".pointlib").mkdir()
    other = {"host": "elsewhere", "pid": 7, "session": "abcdef", "user": "kim", "time": ""}
    (folder / ".pointlib" / "lock").write_text(json.dumps(other))
    view = show(Annotator(folder))
    view.shows("kim on elsewhere (process 7) is annotating this folder")
    view.click(20, 14)
    assert view.read("a.points.length + a.waiting") == 0


def test_outside_edit_appears(view, folder):
    """A text that another program wrote wins, and is seen when the image is."""
    view.click(20, 14)
    view.saved(1)
    view.annotator.flush()
    write_points(folder / "a.txt", [(20, 14), (70, 50)], SHAPE, labels=["seedling", "weed"])
    view.press("d", "a")
    view.shows("a.txt was changed by another program")
    view.until("a.points.length === 2")
    assert view.saved(2)[1].round(4).tolist() == [70, 50]


def test_full_disk_refuses_edits(view, monkeypatch):
    """What cannot be written is taken back and said; when there is room it goes on."""

    def full(_handle, _data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pointlib.annotate.journal.os", SimpleNamespace(**vars(os) | {"write": full}))
        view.click(20, 14)
        view.shows("No space left on device")
        view.saved(0)
    view.click(50, 14)
    assert near(view.saved(1), [(50, 14)])


def test_two_displays_are_one_annotator(show, annotator):
    """Two displays of one widget, and a second tab, show each other's edits at once."""
    view = show(annotator, n_views=2)
    views = [view, view.other(1), show(annotator, like=view)]
    views[1].until("a.name")
    for x, one in zip((10, 30, 50), views, strict=True):
        one.page.bring_to_front()
        one.click(x, 14)
        one.until("a.waiting === 0")
    for one in views:
        assert near(one.saved(3), [(10, 14), (30, 14), (50, 14)])
    views[1].press("Control+z")
    views[2].until("a.points.length === 2")


def test_code_moves_the_page(view):
    """What code adds, takes back and looks at appears in the browser."""
    view.annotator.add([(10, 10), (20, 20)], label="weed")
    view.says("2 points: 2 weed")
    view.annotator.undo()
    view.says("0 points")
    view.annotator.goto("c.png")
    view.says("c.png (3 of 3)")


def test_closing_a_display_leaves_nothing_behind(view):
    """The clean-up that `render` returns ends timers and listeners; another display goes on."""
    view.page.evaluate("window.addView(); window.ends[0]()")
    view.until("a.name")
    view.click(20, 14)
    view.saved(1)
