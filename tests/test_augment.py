"""Image and points move together."""

import math

import numpy as np
import pytest
import torch

from pointlib import augment
from pointlib.errors import InputError
from pointlib.heatmaps import gaussian_max
from pointlib.thresholds import find_peaks

SHAPE = (41, 64)


def drawn(points, shape=SHAPE, sigma=2.0):
    """Return an image (1, H, W) of blobs at the points."""
    return gaussian_max(points, shape, sigma=sigma)[None]


def peaks(image):
    """Return where the blobs are, in reading order of x."""
    points, _ = find_peaks(image[0].numpy(), threshold=0.2, min_distance=3)
    return points[np.argsort(points[:, 0])]


def quarter_turns(shape, n_turns):
    """Return the matrix of `n_turns` times 90 degrees, as np.rot90 turns the array (H, W)."""
    old = np.array([shape[1] - 1, shape[0] - 1]) / 2
    new = old[::-1] if n_turns % 2 else old
    return augment.shift(*(new - old)) @ augment.affine(old, rotation=-90 * n_turns)


MOVES = {
    "shift": augment.shift(2.4, -1.7),
    "mirror": augment.flip(SHAPE),
    "upside down": augment.flip(SHAPE, horizontal=False),
    "quarter turn": quarter_turns(SHAPE, 1),
    "three quarter turns": quarter_turns(SHAPE, 3),
    "rotation": augment.affine((31.5, 20), rotation=30),
    "shear": augment.affine((31.5, 20), shear=8),
    "wider": augment.resize(SHAPE, (41, 96)),
    "larger": augment.resize(SHAPE, (82, 128)),
}


@pytest.mark.parametrize("move", MOVES)
def test_warp_moves_image_and_points_together(move):
    """Blobs in the warped image lie where the warped points say: no half pixel is lost."""
    bias, matrix, shape = [], MOVES[move], tuple(int(n) for n in np.add(SHAPE, 60))
    for i in range(100):  # all phases of x, each with many of y
        x, y = i % 10 / 10, i // 10 / 10
        points = np.array([[18 + x, 14 + y], [33 + y, 25 + x], [44 - x, 15 + y]])
        warped, _ = augment.warp_image(drawn(points), matrix, shape)
        expected = augment.warp_points(points, matrix)
        bias.append(peaks(warped) - expected[np.argsort(expected[:, 0])])
    assert np.abs(np.mean(bias, axis=(0, 1))).max() < 0.02


@pytest.mark.parametrize("wrong", [
    np.diag([2.0, 2.0, 1.0]),  # resizes corners like centres: half a pixel off
    augment.shift(0.5, 0.5) @ augment.resize(SHAPE, (82, 128)),
])  # fmt: skip
def test_a_wrong_resize_is_noticed(wrong):
    """The test above fails for resizing without the half pixel."""
    points = np.array([[18.3, 14.3], [44.6, 25.8]])
    warped, _ = augment.warp_image(drawn(points), augment.resize(SHAPE, (82, 128)), (82, 128))
    assert np.abs(peaks(warped) - augment.warp_points(points, wrong)).mean() > 0.2


@pytest.mark.parametrize("n_turns", [0, 1, 2, 3, 5])
def test_quarter_turns_equals_rot90(n_turns):
    """Quarter turns and mirror images move whole pixels exactly as numpy does."""
    image = torch.rand(2, *SHAPE, generator=torch.manual_seed(1))
    expected = np.rot90(image.numpy(), n_turns, axes=(1, 2))
    warped, valid = augment.warp_image(image, quarter_turns(SHAPE, n_turns), expected.shape[1:])
    assert np.allclose(warped.numpy(), expected, atol=1e-5)
    assert valid.all()


def test_flip_equals_numpy():
    """A mirror image is x' = W - 1 - x for pixels and points."""
    image = torch.rand(1, *SHAPE, generator=torch.manual_seed(2))
    warped, _ = augment.warp_image(image, augment.flip(SHAPE), SHAPE)
    assert np.allclose(warped.numpy(), image.numpy()[:, :, ::-1], atol=1e-5)
    assert augment.warp_points([[0, 3]], augment.flip(SHAPE)).tolist() == [[63, 3]]


def test_warp_image_marks_what_the_source_does_not_cover():
    """Outside the source stand the fill and False."""
    image = torch.ones(1, 10, 14)
    warped, valid = augment.warp_image(image, augment.shift(4, 0), (10, 14), fill=0.25)
    assert not valid[:, :4].any()
    assert valid[:, 4:].all()
    assert warped[0, :, :4].unique().item() == 0.25


def test_random_affine_keeps_its_centre_and_its_seed():
    """The centre stays in place, and the same generator gives the same matrix."""
    centre = (12.5, 30.0)
    for seed in range(20):
        a, b = (augment.random_affine(np.random.default_rng(seed), centre) for _ in range(2))
        assert np.array_equal(a, b)
        assert np.allclose(augment.warp_points([centre], a), [centre])


def test_random_affine_stays_within_its_strength():
    """Areas grow or shrink by 1.2 squared at most; turns go all round; every other is mirrored."""
    rng = np.random.default_rng(0)
    linear = np.array([augment.random_affine(rng, (12.5, 30.0))[:2, :2] for _ in range(400)])
    area = np.linalg.det(linear)
    assert 1 / 1.44 < np.abs(area).min() < 0.75
    assert 1.35 < np.abs(area).max() < 1.44
    assert 0.4 < (area < 0).mean() < 0.6
    quadrant = (linear[:, 0, 0] > 0) * 2 + (linear[:, 1, 0] > 0)
    assert (np.bincount(quadrant) > 70).all()
    lean = np.abs((linear[:, :, 0] * linear[:, :, 1]).sum(axis=1) / np.abs(area))
    assert 0.9 * math.tan(math.radians(5)) < lean.max() <= math.tan(math.radians(5))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_random_light_takes_any_channels(channels):
    """Light changes values, within 0 to 1, for any number of channels, the same for a seed."""
    image = torch.rand(channels, 20, 31, generator=torch.manual_seed(0))
    a, b, c = (augment.random_light(image, seed) for seed in (1, 1, 2))
    assert a.shape == image.shape
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.min() >= 0
    assert a.max() <= 1


def test_random_light_leaves_the_global_generator_alone():
    """Changing the light draws nothing from torch's own random numbers."""
    image = torch.rand(3, 8, 9)
    before = torch.get_rng_state()
    augment.random_light(image, 3)
    assert torch.equal(before, torch.get_rng_state())


def test_warp_image_refuses_a_flat_array():
    """A missing channel axis is a sentence."""
    with pytest.raises(InputError, match=r"expected \(C, H, W\)"):
        augment.warp_image(torch.zeros(4, 5), np.eye(3), (4, 5))
