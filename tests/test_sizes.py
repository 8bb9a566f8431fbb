"""Sizes: the diameter of drawn objects comes back, from pixels and clicks alone."""

import numpy as np
import pytest

from pointlib.errors import InputError
from pointlib.heatmaps import auto_sigma
from pointlib.sizes import describe_size, looked_at, match_radius, object_size

SHAPE = (160, 220)


def discs(diameter, *, n=12, seed=0, contrast=60, noise=6):
    """Return an image of soft discs on noise, and their centres."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = rng.normal(100, noise, SHAPE)
    points = []
    while len(points) < n:
        place = rng.uniform([10, 10], [SHAPE[1] - 10, SHAPE[0] - 10])
        if all(np.hypot(*(place - p)) > 1.3 * diameter for p in points) or rng.random() < 0.01:
            points.append(place)
            image += contrast / (
                1 + np.exp(2 * (np.hypot(x - place[0], y - place[1]) - diameter / 2))
            )
    return image, np.array(points)


@pytest.mark.parametrize("diameter", [5, 8, 13, 22, 36])
@pytest.mark.parametrize("contrast", [60, -60])
def test_the_diameter_of_drawn_discs_comes_back(diameter, contrast):
    """Bright or dark, small or large: within a fifth."""
    image, points = discs(diameter, contrast=contrast)
    size = object_size([image], [points])
    assert size.clear["point"]
    assert size.diameter["point"] == pytest.approx(diameter, rel=0.2)


def test_each_class_has_its_own_size():
    """Two classes in one image; curves peak at different diameters."""
    (small, a), (large, b) = discs(7, seed=1), discs(25, n=6, seed=2)
    image, points = small + large - 100, np.vstack([a, b])
    labels = np.repeat(["small", "large"], [len(a), len(b)])
    size = object_size([image], [points], labels=[labels])
    assert size.diameter["small"] == pytest.approx(7, rel=0.3)
    assert size.diameter["large"] == pytest.approx(25, rel=0.3)
    assert size.curves["small"].argmax() < size.curves["large"].argmax()


def test_objects_that_differ_in_one_channel_are_seen():
    """Red against green of the same brightness: invisible in the mean of the channels."""
    image, points = discs(13, noise=1)
    colours = np.dstack([image, 200 - image, np.full(SHAPE, 100.0)])
    size = object_size([colours], [points])
    assert size.diameter["point"] == pytest.approx(13, rel=0.2)


def test_half_the_image_is_half_the_size():
    """An image shrunk by two has objects of half the diameter."""
    image, points = discs(26, n=8)
    half = image.reshape(80, 2, 110, 2).mean(axis=(1, 3))
    whole, small = (
        object_size([pixels], [table]).diameter["point"]
        for pixels, table in ((image, points), (half, (points + 0.5) / 2 - 0.5))
    )
    assert whole / small == pytest.approx(2, rel=0.15)


def test_noise_has_no_size_and_the_neighbours_tell():
    """Points on nothing: not clear, so four fifths of the distance to the nearest neighbour."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(20, 200, 20), np.arange(20, 150, 20)), -1).reshape(-1, 2)
    size = object_size([rng.normal(0, 1, SHAPE)], [grid])
    assert not size.clear["point"]
    assert size.diameter["point"] == pytest.approx(16)
    alone = object_size([np.zeros(SHAPE)], [grid[:1]])
    assert np.isnan(alone.diameter["point"])
    assert not alone.clear["point"]


def test_large_images_and_points_outside_the_part_looked_at():
    """An image of 60 Mpx is cut around the middle of its clicks; clicks elsewhere are left out."""
    image, points = discs(13)
    large = np.full((2500, 2600), 100.0, np.float32)
    large[1000:1160, 1200:1420] = image
    clicks = np.vstack([points + [1200, 1000], [[5, 5]]])
    size = object_size([large], [clicks])
    assert size.diameter["point"] == pytest.approx(13, rel=0.25)


def test_bad_input_is_a_sentence():
    """Numbers that differ, and no point at all."""
    image = np.zeros((20, 20))
    with pytest.raises(InputError, match="1 images, 2 arrays of points and 2 of labels"):
        object_size([image], [[[1, 1]], [[2, 2]]])
    with pytest.raises(InputError, match="no image has a point"):
        object_size([image], [np.zeros((0, 2))])


def estimate(*pairs, labels=None):
    """Return the SizeEstimate of (image, points) pairs, the points and their labels."""
    images, points = zip(*pairs, strict=True)
    labels = labels or [np.full(len(p), "point") for p in points]
    return object_size(images, points, labels=labels), points, labels


def test_the_match_radius_is_half_the_size():
    """Half the diameter, in steps of 0.1 px; the words name both, and the key to change it."""
    size, points, labels = estimate(discs(13))
    radius = match_radius(size, points, labels)
    assert radius == round(size.diameter["point"] / 2, 1)
    words = describe_size(size, radius)
    assert words.startswith(f"objects look about {size.diameter['point']:.0f} px wide")
    assert words.endswith(f"match radius {radius:g} px; set train.radius to change it")


def test_classes_of_like_size_share_a_radius_and_others_have_their_own():
    """7 and 25 px are two radii, 12 and 14 px are one: that of most points."""
    (small, a), (large, b) = discs(7, seed=1), discs(25, n=6, seed=2)
    names = [np.repeat(["small", "large"], [len(a), len(b)])]
    size, points, labels = estimate((small + large - 100, np.vstack([a, b])), labels=names)
    radius = match_radius(size, points, labels)
    assert radius == {name: round(d / 2, 1) for name, d in size.diameter.items()}
    assert "this wide: large 2" in describe_size(size, radius)
    (one, a), (two, b) = discs(12, seed=1), discs(14, n=5, seed=2)
    names = [np.repeat(["a", "b"], [len(a), len(b)])]
    size, points, labels = estimate((one + two - 100, np.vstack([a, b])), labels=names)
    assert match_radius(size, points, labels) == round(size.diameter["a"] / 2, 1)


def test_a_class_that_was_not_seen_has_the_radius_of_the_others():
    """Every class has a radius where they differ, also one without a point in these images."""
    (small, a), (large, b) = discs(7, seed=1), discs(25, n=6, seed=2)
    names = [np.repeat(["small", "large"], [len(a), len(b)])]
    size, points, labels = estimate((small + large - 100, np.vstack([a, b])), labels=names)
    radius = match_radius(size, points, labels, classes=["large", "rare", "small"])
    assert list(radius) == ["large", "rare", "small"]
    assert radius["small"] < radius["rare"] < radius["large"]


def test_an_unclear_size_leaves_the_radius_to_the_neighbours():
    """Clicks on noise: twice the sigma that the distances give, and the words say so."""
    rng = np.random.default_rng(0)
    size, points, labels = estimate((rng.normal(size=SHAPE), rng.uniform(20, 140, (40, 2))))
    assert not size.clear["point"]
    radius = match_radius(size, points, labels)
    assert radius == 2 * auto_sigma(points)
    assert "no size of objects stands out" in describe_size(size, radius)
    assert "distances between points" in describe_size(size, radius)


def test_the_radius_stays_within_the_neighbours():
    """A shade far wider than the clicks are apart is no object's size."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = 200 * np.exp(-((x - 110) ** 2 + (y - 80) ** 2) / 1500)
    grid = np.stack(np.meshgrid(np.arange(98, 123, 4.0), np.arange(70, 91, 4.0)), -1)
    size, points, labels = estimate((image, grid.reshape(-1, 2)))
    assert match_radius(size, points, labels) <= 4


def test_images_without_points_are_not_looked_at():
    """Ten of those with points, spread evenly; none at all is three empty lists."""
    items = [(i, np.zeros((i % 2, 2)), np.full(i % 2, "a")) for i in range(50)]
    images, points, labels = looked_at(items)
    assert len(images) == len(points) == len(labels) <= 10
    assert all(i % 2 for i in images)
    assert images[-1] - images[0] > 35
    assert looked_at(items[:1]) == ((), (), ())
