"""Crops: pieces of the image as they are, or turned; what they are placed at; the pixels' range."""

import numpy as np
import pytest
import torch

from pointlib import augment
from pointlib.dataset import MemoryDataset
from pointlib.heatmaps import gaussian_max
from pointlib.model.point_model import ModelInfo
from pointlib.train.crops import TrainingCrops, _piece, learn_range

SHAPE = (70, 110)


def counted():
    """Return an image in which every pixel has its own number, and points in it."""
    image = np.arange(SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE)
    points = np.array([[3.2, 4.1], [60.0, 33.3], [105.5, 64.0]])
    return image, points, np.full(3, "point")


def test_straight_crops_are_pieces_of_the_image():
    """Without augmentation a crop is the image's own pixels, and its target is of their points."""
    image, points, labels = counted()
    info = ModelInfo(n_channels=1, sigma=2.0, low=(0.0,), high=(float(image.size),))
    crops = TrainingCrops(MemoryDataset([(image, points, labels)]), info, size=32, augment=False)
    corners = set()
    for crop, target, valid in (crops[i] for i in range(len(crops))):
        y, x = divmod(round(float(crop[0, 0, 0]) * image.size), SHAPE[1])
        assert valid.all()
        assert np.allclose(crop[0] * image.size, image[y : y + 32, x : x + 32], atol=0.1)
        expected = gaussian_max(points - [x, y], (32, 32), sigma=2.0)
        assert np.allclose(target[0], expected, atol=1e-6)
        corners.add((x, y))
    assert len(crops) == 16
    assert len(corners) > 8


def test_crops_ask_for_rare_classes_as_often_as_for_common_ones():
    """Fifty points of one class in a corner, one of another: two fifths of the crops hold that."""
    points = np.vstack([np.random.default_rng(0).uniform(0, 60, (50, 2)), [[400.0, 300.0]]])
    labels = np.array(["common"] * 50 + ["rare"])
    data = MemoryDataset([(np.zeros((400, 500), np.uint8), points, labels)])
    info = ModelInfo(classes=("common", "rare"), n_channels=1)
    crops = TrainingCrops(data, info, size=40, augment=False)
    shares = np.mean([(crops[i][1] > 0.9).any(dim=2).any(dim=1).tolist() for i in range(120)], 0)
    assert (shares > 0.27).all()
    assert (shares < 0.55).all()


def test_a_piece_holds_all_that_a_crop_sees():
    """Warping the piece alone gives, to the last pixel, what warping the whole image gives."""
    image, points, labels = counted()
    image = np.random.default_rng(0).random((*SHAPE, 2)).astype(np.float32)
    data = MemoryDataset([(image, points, labels)])
    crops = TrainingCrops(data, ModelInfo(n_channels=2), size=40)
    for seed in range(40):
        matrix = crops._matrix(np.random.default_rng(seed), SHAPE, points, labels)
        piece, corner = _piece(image, matrix, 40)
        whole, part = (torch.from_numpy(np.array(a.transpose(2, 0, 1))) for a in (image, piece))
        onto = matrix @ augment.shift(*corner)
        expected, valid = augment.warp_image(whole, matrix, (40, 40))
        got, covered = augment.warp_image(part, onto, (40, 40))
        assert torch.equal(valid, covered)
        assert torch.allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize(("how", "share"), [(True, 0.75), ("strong", 0.5)])
def test_some_crops_are_turned_by_any_angle(how, share):
    """The others are mirrored and quarter-turned, each way as often; no pixel is between two."""
    image, points, labels = counted()
    data = MemoryDataset([(image, points, labels)])
    crops, rng = (
        TrainingCrops(data, ModelInfo(n_channels=1), size=40, augment=how),
        np.random.default_rng(0),
    )
    linear = np.array([crops._matrix(rng, SHAPE, points, labels)[:2, :2] for _ in range(400)])
    straight = np.isin(linear, (-1, 0, 1)).all(axis=(1, 2))
    assert straight.mean() == pytest.approx(share, abs=0.1)
    kinds, n = np.unique(linear[straight].reshape(-1, 4) + 0.0, axis=0, return_counts=True)
    assert len(kinds) == 8
    assert n.min() > 10


def test_learn_range_keeps_the_range_of_8_bits():
    """0 and 255 stay the ends; mean and spread are of what lies between, as fractions."""
    image = np.zeros((16, 24, 1), np.uint8)
    image[:, 12:] = 51
    info = learn_range([image], ModelInfo(n_channels=1))
    assert (info.low, info.high, info.depth) == ((0.0,), (255.0,), "uint8")
    assert info.mean + info.std == pytest.approx((0.1, 0.1))


def test_learn_range_cuts_a_thousandth_of_16_bits():
    """Deeper images, a channel each, run from the 0.1st to the 99.9th percentile."""
    ramp = np.arange(0, 40_000, 4, dtype=np.uint16).reshape(100, 100, 1)
    ramp = ramp.repeat(4, axis=0).repeat(4, axis=1)  # one pixel in sixteen is looked at
    info = learn_range([np.concatenate([ramp, ramp // 2], axis=2)], ModelInfo(n_channels=2))
    assert info.low == pytest.approx((40, 20), abs=50)
    assert info.high == pytest.approx((39_960, 19_980), abs=50)
    assert info.mean == pytest.approx((0.5, 0.5), abs=0.01)
    assert info.std == pytest.approx((0.289, 0.289), abs=0.01)


def test_learn_range_of_a_flat_image_divides_by_something():
    """One value everywhere: a spread of a thousandth, so that nothing becomes infinite."""
    info = learn_range([np.full((8, 8, 1), 90, np.uint8)], ModelInfo(n_channels=1))
    assert info.std == (1e-3,)
