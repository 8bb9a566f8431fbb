"""Done, regions and learning, as a hand finds them in the annotator."""

import numpy as np
import pytest

from pointlib.annotate import learn as learning
from pointlib.annotate.widget import Annotator
from pointlib.images import write_image
from pointlib.regions import Regions
from pointlib.synthetic import draw_cells


def areas(view):
    """Return the corners of each region of the image, from Python, as arrays."""
    view.until("a.waiting === 0")
    found = view.annotator.regions
    return [ring for rings in found.areas for ring in rings] if found else []


def test_rectangle_is_drawn_shaped_removed_and_undone(show, folder):
    """Drag: a region; drag a corner: it stays a rectangle; click its edge and Delete; Ctrl+Z."""
    view = show(Annotator(folder))
    view.press("b")
    view.drag((10, 10), (40, 30))
    view.until("a.app.record.regions.size === 1")
    (ring,) = areas(view)
    assert ring.min(axis=0) == pytest.approx((10, 10), abs=0.6)
    assert ring.max(axis=0) == pytest.approx((40, 30), abs=0.6)
    view.drag(tuple(ring[2]), (60, 50))
    view.until("a.app.record.regions.size === 1 && a.waiting === 0")
    (ring,) = areas(view)
    assert ring.max(axis=0) == pytest.approx((60, 50), abs=0.6)
    assert len({*ring[:, 0].tolist()}) == len({*ring[:, 1].tolist()}) == 2
    view.click(35, ring[0, 1])
    view.until("a.app.chosenRegion !== null")
    view.press("Delete")
    view.until("a.app.record.regions.size === 0")
    assert areas(view) == []
    view.press("Control+z")
    view.until("a.app.record.regions.size === 1")
    assert len(areas(view)) == 1
    assert view.annotator.points.shape == (0, 2)  # no click became a point


def test_polygon_is_clicked_and_closed_by_enter(show, folder):
    """Corners one by one; Delete takes the last back; Escape puts the tool down."""
    view = show(Annotator(folder))
    view.press("p")
    for place in [(10, 10), (70, 12), (60, 50), (5, 5)]:
        view.click(*place)
    view.until("a.app.corners.length === 4")
    view.press("Delete", "Enter")
    view.until("a.app.record.regions.size === 1")
    (ring,) = areas(view)
    assert ring == pytest.approx(np.array([(10, 10), (70, 12), (60, 50)]), abs=0.6)
    view.press("Escape")
    view.until("a.app.tool === 'points'")
    view.click(20, 14)
    view.saved(1)


def test_regions_darken_the_rest(show, folder):
    """What is outside is seen to be outside."""
    annotator = Annotator(folder)
    annotator.regions = Regions.box(9.5, 9.5, 60.5, 40.5)
    view = show(annotator)
    view.until("a.app.record.regions.size === 1")
    layer = view.pixels(1)
    box = view.stage.bounding_box()

    def alpha(x, y):
        left, top = view.place(x, y)
        return layer[int(top - box["y"]), int(left - box["x"]), 3]

    assert alpha(70, 50) > 40
    assert alpha(30, 25) == 0


def test_done_is_said_by_a_key_and_taken_back(show, folder):
    """A click starts an image; v finishes it; n passes over it; v again takes it back."""
    view = show(Annotator(folder))
    view.click(20, 14)
    view.saved(1)
    assert view.annotator.state == "started"
    view.press("v")
    view.says("1 point, done, saved")
    assert view.annotator.state == "labelled"
    view.press("d", "n")
    view.until("a.name === 'c.png'")
    view.press("n")
    view.until("a.name === 'b.png'")
    view.press("a", "v")
    view.until("a.name === 'a.png' && a.waiting === 0 && a.app.record.state === 'started'")
    view.press("d")
    view.until("a.name === 'b.png'")
    view.press("v")
    view.says("0 points, empty, saved")


def test_moving_on_offers_to_mark_done(show, folder):
    """The offer marks the image that was left, from where one is now."""
    view = show(Annotator(folder))
    view.click(20, 14)
    view.saved(1)
    view.press("d")
    view.until("a.name === 'b.png'")
    view.root.get_by_role("button", name="It is done").click()
    view.until("a.waiting === 0 && a.app.states[0] === 'labelled'")
    assert view.annotator.states["a.png"] == "labelled"
    assert view.read("a.name") == "b.png"


@pytest.mark.parametrize(("answer", "n_regions"), [("Only the regions", 1), ("The whole image", 0)])
def test_done_asks_whether_regions_or_all(show, folder, answer, n_regions):
    """An image with regions: what is done is said, not guessed."""
    annotator = Annotator(folder)
    annotator.regions = Regions.box(9.5, 9.5, 60.5, 40.5)
    annotator.add([[20, 14]])
    view = show(annotator)
    view.press("v")
    view.root.get_by_role("button", name=answer).click()
    view.until(
        f"a.waiting === 0 && a.app.record.state === 'labelled' && a.app.record.regions.size === {n_regions}"
    )
    assert (annotator.regions is not None) == bool(n_regions)


def test_unreadable_image_is_put_aside(show, folder):
    """Skip and v work without a picture, and n does not come back to it."""
    (folder / "b.png").write_bytes(b"broken")
    view = show(Annotator(folder))
    view.press("d")
    view.until("a.app.entry?.error && a.app.index === 1")
    view.press("s")
    view.until("a.name === 'c.png' && a.waiting === 0")
    assert view.annotator.states["b.png"] == "skipped"
    view.press("n")
    view.until("a.name === 'a.png'")


@pytest.fixture
def cells(tmp_path):
    """Return a folder of two drawn images, and the points of the first."""
    scenes = [draw_cells((160, 200), n=40, seed=i) for i in range(2)]
    for i, scene in enumerate(scenes):
        write_image(tmp_path / "cells" / f"{i}.png", scene.image)
    return tmp_path / "cells", scenes[0].points


def test_clicks_propose_a_region_and_a_lesson_brings_suggestions(show, cells, monkeypatch):
    """Learn, click, confirm the rectangle: a line says what was learnt, suggestions appear."""
    monkeypatch.setattr(learning, "QUIET", 0.0)
    folder, points = cells
    annotator = Annotator(folder, learn=True)
    annotator._server.learner.seconds = 2.0
    view = show(annotator)
    view.shows("Learns from 20 points on")
    corner = points[points[:, 0] < 120]
    annotator.add(corner)
    view.until("a.app.question === 'proposal'")
    ring = np.array(view.read("a.app.proposal"))
    assert (ring.min(axis=0) < corner.min(axis=0)).all()
    assert (ring.max(axis=0) > corner.max(axis=0)).all()
    view.root.get_by_role("button", name="Yes, learn from it").click()
    assert len(areas(view)) == 1
    view.shows(f"Learnt from {len(corner)} points in 1 image")
    view.until("a.app.suggestionFrom === 'model' && a.app.suggestions.list.length > 0")
    view.press("l")
    view.until("a.app.learning.is_on === false")


def test_proposal_is_declined_until_half_as_many_points_more(show, cells, monkeypatch):
    """Not yet: the question goes, and comes again when there is something new."""
    monkeypatch.setattr(learning, "QUIET", 1e6)
    folder, points = cells
    annotator = Annotator(folder, learn=True)
    view = show(annotator)
    annotator.add(points[:22])
    view.until("a.app.question === 'proposal'")
    view.press("Escape")
    view.until("a.app.question === null && a.app.proposal === null")
    annotator.add(points[22:24])
    view.until("a.points.length === 24")
    assert view.read("a.app.question") is None
    annotator.add(points[24:])
    view.until("a.app.question === 'proposal'")
    assert annotator.regions is None
