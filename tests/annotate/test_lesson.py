"""What teaches and what is held back, of a folder that is still being annotated."""

import numpy as np
import pytest

from pointlib.annotate.lesson import Part, divide, marked_parts
from pointlib.annotate.widget import Annotator
from pointlib.images import write_image
from pointlib.regions import Regions

SHAPE = (60, 80)


def part(points, *, areas=None, name="a.png"):
    """Return a part with points of one class."""
    points = np.array(points, dtype=float).reshape(-1, 2)
    return Part(name, f"{name}", SHAPE, points, np.full(len(points), "cell"), areas)


def mask(parts):
    """Return how often each pixel is in the areas of parts, (H, W)."""
    total = np.zeros(SHAPE, int)
    for one in parts:
        areas = [[[(-1, -1), (99, -1), (99, 99), (-1, 99)]]] if one.areas is None else one.areas
        total += Regions(areas).mask(SHAPE)
    return total


@pytest.fixture
def folder(tmp_path):
    """Return a folder of three images."""
    for name in "abc":
        write_image(tmp_path / f"{name}.png", np.zeros(SHAPE, np.uint8))
    return tmp_path


def test_only_what_is_clicked_completely_teaches(folder):
    """Done images, empty ones and regions; not what is started, skipped or untouched."""
    annotator = Annotator(folder)
    annotator.add([[3, 3], [40, 40]])
    assert marked_parts(annotator._ledger) == []
    annotator.regions = Regions.box(0, 0, 9, 9)
    annotator.goto("b.png")
    annotator.mark("empty")
    annotator.goto("c.png")
    annotator.mark("skipped")
    found = {one.name: one for one in marked_parts(annotator._ledger)}
    assert sorted(found) == ["a.png", "b.png"]
    assert np.array(found["a.png"].areas).shape == (1, 1, 4, 2)
    assert found["b.png"].areas is None
    annotator.goto("a.png")
    annotator.mark("done", whole=True)
    assert marked_parts(annotator._ledger)[0].areas is None
    annotator.close()


@pytest.mark.parametrize("seed", range(8))
def test_every_pixel_and_point_teaches_or_is_held_back(seed):
    """Whatever the polygons: the two are apart, and together they are what is marked."""
    rng = np.random.default_rng(seed)
    rings = [[rng.uniform((0, 0), SHAPE[::-1], (n, 2)).tolist()] for n in (3, 5, 4)]
    regions = Regions(rings)
    points = rng.uniform((0, 0), SHAPE[::-1], (300, 2))
    one = part(points[regions.contains(points)], areas=rings)
    teaching, kept, held = divide([one], {})
    assert len(held["a.png"]["boxes"]) == 1
    both = [Regions(side[0].areas) for side in (teaching, kept)]
    masks = [areas.mask(SHAPE) for areas in both]
    assert not (masks[0] & masks[1]).any()
    assert ((masks[0] | masks[1]) == regions.mask(SHAPE)).all()
    for side, areas in zip((teaching, kept), both, strict=True):
        assert areas.contains(side[0].points).all()
    assert len(teaching[0].points) + len(kept[0].points) == len(one.points)


def test_a_fifth_of_the_points_is_held_back_for_good():
    """What was held back stays so while more is clicked; what taught is never held back later."""
    rng = np.random.default_rng(1)
    points = rng.uniform((0, 0), (79, 59), (200, 2))
    corner = points[(points < 30).all(axis=1)]
    box = [[[[-0.5, -0.5], [30, -0.5], [30, 30], [-0.5, 30]]]]
    first, kept, held = divide([part(corner, areas=box[0:1])], {})
    assert len(kept[0].points) == round(0.2 * len(corner))
    more, still, held = divide([part(points)], held)
    once = {tuple(p) for p in kept[0].points.tolist()}
    assert once <= {tuple(p) for one in still for p in one.points.tolist()}
    taught = {tuple(p) for p in first[0].points.tolist()}
    assert taught <= {tuple(p) for one in more for p in one.points.tolist()}
    assert sum(len(one.points) for one in still) > len(once)
    assert (mask(more) + mask(still) == 1).all()


def test_a_hundred_points_are_enough_to_judge():
    """Then a new image teaches as a whole."""
    rng = np.random.default_rng(2)
    points = rng.uniform((0, 0), (79, 59), (120, 2))
    parts, held = [part(points, name=f"{i}.png") for i in range(9)], {}
    _, kept, held = divide(parts, held)
    assert 100 <= sum(len(one.points) for one in kept) < 124
    assert held["8.png"]["boxes"] == []


def test_few_points_and_none_are_not_divided():
    """Four points teach; an empty image teaches that there is nothing."""
    teaching, kept, _ = divide([part([[1, 1]] * 4), part([], name="b.png")], {})
    assert [one.areas for one in teaching] == [None, None]
    assert kept == []
