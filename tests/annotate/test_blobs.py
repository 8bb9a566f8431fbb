"""Blobs: centres to a fraction of a pixel, in any depth, and nothing where there is nothing."""

import numpy as np
import pytest

from pointlib.annotate.blobs import find_blobs, snap
from pointlib.errors import InputError
from pointlib.images import list_images, read_image, to_channels
from pointlib.matching import match_points
from pointlib.points import label_state, read_points, text_path


def spots(points, shape=(60, 80), *, sigma=3.0, contrast=100.0, ground=40.0):
    """Return a float image of Gaussian spots on an even ground."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, float(ground))
    for px, py in points:
        image += contrast * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2))
    return image


def labelled(folder):
    """Yield image and true points of a folder's labelled images."""
    for path in list_images(folder):
        if label_state(path) == "labelled":
            image = read_image(path)
            yield image, read_points(text_path(path), image.shape[:2])[0]


@pytest.mark.parametrize("sigma", [2.0, 3.0, 4.5])
def test_snap_has_no_bias_at_any_phase(sigma):
    """At every 0.1 px phase the centre is found within 0.1 px, though the size is not exact."""
    for phase in np.arange(0, 1, 0.1):
        true = np.array([40 + phase, 30 - phase / 2])
        found = snap(spots([true]), true + [1.5, -1.0], sigma=sigma)
        assert np.abs(found - true).max() < 0.1


@pytest.mark.parametrize(
    ("kind", "scale"), [(np.uint8, 1), (np.uint16, 1), (np.uint16, 200), (np.float32, 1e-4)]
)
def test_snap_takes_every_depth(kind, scale):
    """The same spot in 8 bits, 16 bits (deep or hardly used) and small floats."""
    true = np.array([40.3, 30.7])
    image = (spots([true]) * scale).astype(kind)
    assert np.abs(snap(image, [41, 29], sigma=3) - true).max() < 0.1
    points, scores = find_blobs(image, sigma=3)
    assert np.abs(points[0] - true).max() < 0.1
    assert 0.5 < scores[0] <= 1


def test_dark_and_bright_are_told_apart():
    """Unless told, whichever stands out; told, only that."""
    bright, dark = [20.0, 30.0], [60.0, 30.0]
    image = spots([bright]) - spots([dark], ground=0)
    assert np.allclose(snap(image, bright, sigma=3), bright, atol=0.1)
    assert np.allclose(snap(image, dark, sigma=3), dark, atol=0.1)
    assert snap(image, dark, sigma=3, dark=False) is None
    assert np.allclose(find_blobs(image, sigma=3, dark=True)[0][0], dark, atol=0.1)
    assert np.allclose(find_blobs(image, sigma=3, dark=False)[0][0], bright, atol=0.1)


def test_snap_prefers_the_blob_under_the_click_to_its_brighter_neighbour():
    """A neighbour inside the reach does not steal the click."""
    near, far = [30.0, 30.0], [38.0, 30.0]
    image = spots([near]) + spots([far], contrast=150.0)
    assert np.hypot(*(snap(image, [30.5, 30.0], sigma=3) - near)) < 1


def test_snap_far_from_everything_is_none():
    """Beyond two sigma of the click nothing is meant."""
    image = spots([[20, 20]])
    assert np.allclose(snap(image, [25, 20], sigma=3), [20, 20], atol=0.1)
    assert snap(image, [60, 45], sigma=3) is None
    assert snap(np.full((40, 50, 3), 7, np.uint8), [20, 20], sigma=3) is None


@pytest.mark.parametrize(("distance", "error"), [(6.0, 0.25), (3.0, 0.8), (0.0, 3.0)])
def test_snap_near_the_edge_stays_inside(distance, error):
    """Two sigma inside nearly exact; nearer the place is drawn to the edge, never across it."""
    for true in ([distance, 30], [79 - distance, 30], [40, distance], [40, 59 - distance]):
        found = snap(spots([true]), true, sigma=3)
        assert np.hypot(*(found - true)) <= error
        assert (found >= -0.5).all()
        assert (found <= [79.5, 59.5]).all()


def test_unknown_pixels_are_neither_blobs_nor_poison():
    """NaN pixels yield no blob, and one beside a spot hardly moves it."""
    image = spots([[20.0, 20.0], [60.0, 40.0]])
    image[18, 22] = np.nan
    image[45:, :30] = np.nan
    points, scores = find_blobs(image, sigma=3)
    strong = points[scores > 0.5]
    assert len(strong) == 2
    assert match_points([[20, 20], [60, 40]], strong, radius=0.3)[1].max() < 0.3
    assert len(find_blobs(np.full((20, 30), np.nan), sigma=3)[0]) == 0


def test_find_blobs_in_an_even_image_finds_none():
    """Nothing in, nothing out, in the right shapes."""
    for image in (np.zeros((30, 40)), np.full((30, 40, 3), 255, np.uint8), np.full((1, 1), 3.0)):
        points, scores = find_blobs(image, sigma=2)
        assert points.shape == (0, 2)
        assert scores.shape == (0,)


def test_find_blobs_are_ranked_apart_and_limited():
    """Scores fall, ties go by y then x, no two are nearer than sqrt(2) sigma, n_most cuts."""
    image = spots([[20, 40], [60, 15], [20, 15], [60, 40]])
    image += np.random.default_rng(0).normal(0, 0.5, image.shape)
    points, scores = find_blobs(image, sigma=3)
    assert (np.diff(scores) <= 0).all()
    assert scores[3] > 0.8
    assert scores[4:].max(initial=0) < 0.5
    gaps = np.hypot(*(points[:, None] - points).transpose(2, 0, 1)) + 99 * np.eye(len(points))
    assert gaps.min() > np.sqrt(2) * 3
    assert np.array_equal(find_blobs(image, sigma=3, n_most=2)[0], points[:2])


def test_score_rises_with_contrast_and_falls_with_noise():
    """The score is a monotone function of the answer over its noise."""
    noise = np.random.default_rng(1).normal(0, 1, (60, 80))
    true = [[40, 30]]
    by_contrast = [find_blobs(spots(true, contrast=c) + noise, sigma=3)[1][0] for c in (5, 20, 80)]
    by_noise = [find_blobs(spots(true) + n * noise, sigma=3)[1][0] for n in (1, 4, 16)]
    assert by_contrast == sorted(by_contrast)
    assert by_noise == sorted(by_noise, reverse=True)


def test_colours_count_where_the_luma_is_even():
    """A red spot as bright as its green ground is a blob; alpha is not looked at."""
    hill = spots([[40, 30]], contrast=100, ground=50)
    red_on_green = np.stack([hill, 150 - hill * 0.299 / 0.587, np.full(hill.shape, 20.0)], axis=2)
    assert np.ptp(to_channels(red_on_green, 1)) < 0.01
    assert np.allclose(find_blobs(red_on_green, sigma=3)[0][0], [40, 30], atol=0.1)
    assert np.allclose(snap(red_on_green, [41, 30], sigma=3), [40, 30], atol=0.1)
    alpha = np.stack([np.full(hill.shape, 9.0), hill], axis=2)
    assert len(find_blobs(alpha, sigma=3)[0]) == 0


def test_find_blobs_finds_most_drawn_cells():
    """On the sample cells, of mixed sizes and touching, at one sigma: most, and near the centre."""
    n_true = n_hit = n_found = 0
    distances = []
    for image, true in labelled("data/cells/images"):
        points, _ = find_blobs(image, sigma=4.2)
        match = match_points(true, points, radius=6)
        n_true, n_hit = n_true + len(true), n_hit + len(match.pairs)
        n_found += len(points)
        distances += list(match.distances)
    assert n_hit / n_true > 0.8
    assert n_hit / n_found > 0.6
    assert np.median(distances) < 1.5


@pytest.mark.parametrize("sigma", [0, -1, np.nan, 1000])
def test_wrong_sigma_is_a_sentence(sigma):
    """A width that is none is refused by name."""
    with pytest.raises(InputError, match="sigma is .* expected 0.5 to 100 pixels"):
        find_blobs(np.zeros((9, 9)), sigma=sigma)


def test_wrong_shapes_are_sentences():
    """An image that is none, and a click outside."""
    with pytest.raises(InputError, match=r"image has shape \(0, 5\)"):
        find_blobs(np.zeros((0, 5)), sigma=2)
    with pytest.raises(InputError, match="outside the image of width 9"):
        snap(np.zeros((8, 9)), [9, 3], sigma=2)
