"""Suggestions: at the model's own threshold, one a spot, named, reviewed; where a click will land."""

import numpy as np
import pytest
import torch

from pointlib.annotate.widget import Annotator
from pointlib.model.point_model import ModelInfo, PointModel

BLOBS = [(20.0, 14.0), (57.0, 33.0), (33.5, 40.25)]  # as in conftest.py


class Twice(torch.nn.Module):
    """Two classes: as bright as the image, and a little less."""

    def forward(self, batch):
        """Return logits."""
        bright = torch.logit(batch.clamp(0.01, 0.99))
        return torch.cat([bright, bright - 0.3], dim=1)


@pytest.fixture
def model():
    """Return a model of two classes, of which the second has the lower threshold."""
    info = ModelInfo(classes=("seedling", "weed"), n_channels=1, mean=(0.0,), std=(1.0,))
    info.sigma, info.radius = 2.0, 6.0
    info.min_distances = {"seedling": 4.0, "weed": 4.0}
    info.thresholds = {"seedling": 0.8, "weed": 0.6}
    return PointModel(Twice(), info)


@pytest.fixture
def view(show, folder, model):
    """Return an annotator that shows the model's suggestions."""
    annotator = Annotator(folder, classes=("seedling", "weed"), model=model)
    view = show(annotator)
    view.control("Suggestions").select_option("model")
    view.until("a.suggestions.length === 3")
    view.stage.focus()
    return view


def test_one_suggestion_a_spot_and_the_next_class_by_a_key(view):
    """The class farthest above its threshold is shown; c turns it; a click takes what is shown."""
    assert view.read("a.suggestions.map((s) => s.label)") == ["weed"] * 3
    view.page.mouse.move(*view.place(*BLOBS[0]))
    view.until("a.app.tip?.label === 'weed'")
    assert "or seedling" in view.read(
        "a.app.suggestionHere().others.map((o) => 'or ' + o.label).join()"
    )
    view.press("c")
    view.until("a.suggestions.filter((s) => s.label === 'seedling').length === 1")
    view.click(*BLOBS[0])
    view.saved(1)
    assert view.annotator.labels.tolist() == ["seedling"]


def test_slider_is_an_offset_from_the_models_own(view):
    """0 is the model's own; above it fewer are shown; for blobs it is a score again."""
    slider = view.control("Lowest score of a suggestion")
    assert slider.get_attribute("aria-valuetext") == "model's own"
    slider.fill("0.5")
    view.until("a.suggestions.length === 0")
    assert slider.get_attribute("aria-valuetext") == "+0.50"
    view.control("Suggestions").select_option("blobs")
    view.until("a.app.suggestions.from === 'blobs'")
    assert slider.get_attribute("aria-valuetext") == "0.30"
    assert slider.input_value() == "0.3"


def test_review_walks_through_all_and_keys_decide(view):
    """Enter accepts, x rejects, a digit gives another class; then the view is as before."""
    before = view.read("a.view")
    view.press("w")
    view.until("a.app.review && a.app.review.at === 0")
    assert view.read("a.view.k") >= before["k"]
    assert view.read(
        "Math.abs(a.app.tip.x - (a.app.size.width / 2 - a.view.ox) / a.view.k + 0.5) < 1e-6"
    )
    view.press("Enter")
    view.until("a.points.length === 1 && a.app.review.at === 1")
    view.press("x")
    view.until("a.app.review.at === 2")
    view.press("1")
    view.until("a.app.review === null && a.points.length === 2")
    assert sorted(view.annotator.labels.tolist()) == ["seedling", "weed"]
    view.shows("Review: 2 accepted, 1 rejected, 0 left")
    assert view.read("a.view") == before
    assert view.read("a.suggestions.length") == 0


def test_review_can_be_left_and_goes_back(view):
    """Points and comma step; Escape ends without a decision."""
    view.press("w", ".", ".")
    view.until("a.app.review.at === 2")
    view.press(",")
    view.until("a.app.review.at === 1")
    view.press("Escape")
    view.until("a.app.review === null")
    assert view.annotator.points.shape == (0, 2)
    assert len(view.read("a.suggestions")) == 3


def test_magnet_shows_where_a_click_lands(show, folder):
    """The cross under the pointer is where the point comes to be."""
    view = show(Annotator(folder))
    view.press("m")
    view.page.mouse.move(*view.place(22, 15))
    view.until("a.app.snap !== null")
    snap = view.read("[a.app.snap.x, a.app.snap.y]")
    assert snap == pytest.approx(BLOBS[0], abs=0.3)
    view.click(22, 15)
    assert view.saved(1)[0].tolist() == pytest.approx(snap, abs=1e-6)


def test_magnet_that_harms_says_why_and_stays_off(show, folder):
    """Clicks that it would have moved far: off, with the numbers; pressed again it is on."""
    annotator = Annotator(folder)
    around = [(x + 5 * np.cos(t), y + 5 * np.sin(t)) for x, y in BLOBS for t in range(4)]
    view = show(annotator)
    for n, (x, y) in enumerate(around, 1):
        view.click(x, y, keys=("Control",))
        view.saved(n)
    view.press("m")
    view.shows("Magnet off: it would have moved")
    view.until("a.app.magnet === false")
    view.press("m")
    view.until("a.app.magnet === true")


def test_every_class_can_be_had_by_a_key_also_those_not_found(view):
    """After the classes found at a spot c gives the folder's others, and then the first again."""
    view.page.mouse.move(*view.place(*BLOBS[1]))
    view.read("a.app.classes.push('stone')")
    here = "a.app.suggestionHere()"
    for label, score in (("seedling", "number"), ("stone", "object"), ("weed", "number")):
        view.press("c")
        view.until(f"{here}.label === '{label}' && typeof {here}.score === '{score}'")
    assert view.read("a.app.wordsOf(a.app.tip)").startswith("weed 0.")


def test_blobs_are_named_and_taken_as_the_class_that_is_meant(show, folder):
    """A blob is of the chosen class, in words too; in a review a digit, or c, gives it another."""
    view = show(Annotator(folder, classes=("seedling", "weed")))
    view.control("Size of the objects").fill("2")
    view.control("Suggestions").select_option("blobs")
    view.until("a.suggestions.length === 3")
    view.stage.focus()
    view.press("2")
    view.page.mouse.move(*view.place(*BLOBS[0]))
    view.until("a.app.tip && a.app.wordsOf(a.app.tip).startsWith('weed 0.')")
    view.press("w", "1")
    view.until("a.points.length === 1 && a.app.review.at === 1")
    view.press("c", "Enter")
    view.until("a.points.length === 2 && a.app.review.at === 2")
    view.press("Enter")
    view.shows("Review: 3 accepted, 0 rejected, 0 left")
    view.saved(3)
    assert view.annotator.labels.tolist() == ["seedling", "seedling", "weed"]


def test_words_leave_with_what_they_are_about(view):
    """Once a suggestion is rejected nothing is named there, though the pointer stays."""
    view.page.mouse.move(*view.place(*BLOBS[0]))
    view.until("a.app.tip !== null")
    view.press("x")
    view.until("a.suggestions.length === 2 && a.app.tip === null")


def test_crosshair_names_what_it_is_on(view):
    """Without a mouse the crosshair does what the pointer does."""
    view.press("ArrowUp")
    x, y = view.read("[a.app.crosshair.x, a.app.crosshair.y]")
    goal = BLOBS[2]
    view.press(*["ArrowRight" if goal[0] > x else "ArrowLeft"] * round(abs(goal[0] - x)))
    view.press(*["ArrowDown" if goal[1] > y else "ArrowUp"] * round(abs(goal[1] - y)))
    view.until("a.app.tip?.label === 'weed'")
    view.press(" ")
    view.saved(1)
    assert view.annotator.labels.tolist() == ["weed"]


def test_review_counts_what_became_of_each(view):
    """A click on what is in review decides too; what was undone is left; then the view is back."""
    view.press("w")
    view.until("a.app.review.at === 0")
    x, y = view.read("[a.app.tip.x, a.app.tip.y]")
    view.click(x, y)
    view.until("a.points.length === 1 && a.app.review.at === 1 && a.waiting === 0")
    view.press("Control+z")
    view.until("a.points.length === 0 && a.waiting === 0")
    view.press("x")
    view.until("a.app.review.at === 2")
    view.press("w")
    view.shows("Review: 0 accepted, 1 rejected, 2 left")


def test_mark_of_the_magnet_is_never_that_of_another_place(show, folder):
    """Once the pointer moves the mark is gone, and an answer about where it was is not shown."""
    view = show(Annotator(folder))
    view.press("m")
    view.until("a.app.magnet")
    view.page.mouse.move(*view.place(22, 15))
    view.until("a.app.snap !== null")
    view.kernel.stop(hold=True)
    view.page.mouse.move(*view.place(55, 34))
    view.until("a.app.snap === null && a.app.landing.waiting > 0")
    view.page.mouse.move(*view.place(34, 39))
    view.kernel.go_on()
    view.until("a.app.snap !== null")
    snap = view.read("[a.app.snap.x, a.app.snap.y]")
    assert snap == pytest.approx(BLOBS[2], abs=0.3)
    view.wheel(34, 39, -300)
    view.until(f"a.app.snap !== null && Math.abs(a.app.snap.x - {snap[0]}) < 0.5")
    view.page.mouse.move(*view.place(22, 15))
    view.press("m")
    view.until("!a.app.magnet && a.app.snap === null")


def test_magnet_waits_for_the_word_that_it_fits(show, folder):
    """Until Python has compared it with the clicks it is off: no click is moved unasked."""
    view = show(Annotator(folder))
    view.kernel.stop(hold=True)
    view.press("m")
    view.click(22, 15)
    view.kernel.go_on()
    view.until("a.app.magnet")
    assert view.saved(1)[0].tolist() == pytest.approx((22, 15), abs=0.6)
