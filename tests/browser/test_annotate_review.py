"""What four hours a day of annotating asks for beyond gestures and keys."""

import numpy as np
import pytest

from pointlib.annotate.widget import Annotator
from pointlib.images import read_image, write_image


@pytest.fixture
def pictures():
    """Return a function that lists, from now on, which images are sent as pictures to a view."""

    def watch(view):
        sent, send = [], view.kernel.send

        def listen(data=None, buffers=None, **rest):
            if data.get("content", {}).get("type") == "image" and buffers:
                sent.append(data["content"]["name"])
            send(data, buffers, **rest)

        view.kernel.send = listen
        return sent

    return watch


def test_undo_is_heard_while_an_image_opens(show, folder):
    """Ctrl+Z before the next image is there is not lost."""
    view = show(Annotator(folder))
    view.click(20, 14)
    view.saved(1)
    view.kernel.stop(hold=True)
    view.press("d", "d", "Control+z")
    view.kernel.go_on()
    view.until("a.name === 'a.png' && a.points.length === 0")


def test_a_known_picture_is_not_sent_again(show, folder, pictures):
    """Paging back costs the points only; what changed meanwhile is there."""
    view = show(Annotator(folder))
    view.press("d")
    view.until("a.name === 'b.png' && a.app.cache.size === 3")
    sent = pictures(view)
    view.annotator.goto("a.png")
    view.until("a.name === 'a.png'")
    view.annotator.add([(5, 6)])
    view.press("d", "a")
    view.saved(1)
    assert sent == []


def test_a_changed_picture_is_sent_again(show, folder):
    """An image file that was written anew is seen on the next visit."""
    view = show(Annotator(folder))
    before = view.read("a.app.entry.about.stamp")
    view.press("d")
    view.until("a.name === 'b.png'")
    write_image(folder / "a.png", 255 - read_image(folder / "a.png"))
    view.press("a")
    view.until(f"a.name === 'a.png' && a.app.entry.about.stamp !== '{before}' && !a.app.frame")
    shown = view.pixels(0)
    assert np.median(shown[shown[..., 3] > 0][:, 0]) > 127


def test_dark_blobs_are_chosen(show, folder):
    """Blobs darker than around are found only where they are asked for."""
    image = read_image(folder / "a.png")
    write_image(folder / "a.png", 255 - image)
    view = show(Annotator(folder))
    view.control("Size of the objects").fill("2")
    view.control("Suggestions").select_option("blobs")
    best = (
        "a.suggestions.some((g) => Math.hypot(g.x - 57, g.y - 33) < 1)"  # one of the folder's blobs
    )
    view.until(best)
    view.control("Blobs brighter").select_option("bright")
    view.until(f"!{best}")
    view.control("Blobs brighter").select_option("dark")
    view.until(best)
    assert view.annotator.dark is True


@pytest.mark.parametrize("width", [500, 1000])
def test_saved_is_in_sight_under_any_name(show, folder, width):
    """However long the file's name is, whether all is saved can be read."""
    write_image(folder / f"{'a' * 120}.png", np.zeros((20, 30), np.uint8))
    view = show(Annotator(folder))
    view.page.set_viewport_size({"width": width, "height": 720})
    view.says("saved")
    last = view.status.locator("span").last
    assert last.inner_text().endswith("saved")
    box, foot = last.bounding_box(), view.status.bounding_box()
    assert box["width"] > 30
    assert box["x"] + box["width"] <= foot["x"] + foot["width"] + 1


def test_suggestions_say_what_to_do_with_them(show, folder):
    """When suggestions were asked for, their number and the three ways to answer are said."""
    view = show(Annotator(folder))
    view.control("Size of the objects").fill("2")
    view.press("Escape", "g")
    view.shows("click accepts one, Enter all in view, x rejects")


def test_keys_work_after_a_slider_was_moved(show, folder):
    """With the focus on the score slider Enter accepts, arrows still move the slider."""
    view = show(Annotator(folder))
    view.press("g")
    view.until("a.suggestions.length > 0")
    view.control("Lowest score").fill("0.1")
    view.press("ArrowRight")
    view.until("a.app.suggestionScore === 0.11")
    view.press("Enter")
    view.until("a.points.length > 0 && a.waiting === 0")
    assert view.annotator.state == "started"
