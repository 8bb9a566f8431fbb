"""Half pixels: points at every phase go through every stage and come back where they were."""

import numpy as np
import pytest
import torch
from conftest import Brightness

from pointlib import augment, points
from pointlib.dataset import ImagePointDataset
from pointlib.errors import InputError
from pointlib.heatmaps import gaussian_max
from pointlib.images import write_image
from pointlib.model.point_model import ModelInfo, PointModel
from pointlib.points import read_points, text_path, write_points
from pointlib.predict.points import predict_points

SHAPE = (67, 93)
INFO = ModelInfo(
    n_channels=1, mean=(0.0,), std=(1.0,), low=(0.0,), high=(65535.0,), thresholds={"point": 0.3}
)


def travel(true, folder):
    """Send points through the whole kit and return where they are at the end, sorted by x.

    Write, draw, save the image, read both, mirror, resize, turn, warp, pad, predict, decode,
    turn back, write and read again.
    """
    drawn = gaussian_max(true, SHAPE, sigma=2.5).numpy()
    write_image(folder / "a.png", (65535 * drawn).round().astype(np.uint16))
    write_points(text_path(folder / "a.png"), true, SHAPE)
    image, read, _ = ImagePointDataset(folder)[0]
    larger = (2 * SHAPE[0], 2 * SHAPE[1])
    matrix = augment.resize(SHAPE, larger) @ augment.flip(SHAPE)
    centre = np.array([larger[1] - 1, larger[0] - 1]) / 2
    turn = augment.shift(*(centre[::-1] - centre)) @ augment.affine(centre, rotation=-90)
    matrix = turn @ matrix
    pixels = torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1))
    warped, _ = augment.warp_image(pixels, matrix, (larger[1], larger[0]))
    model = PointModel(Brightness(), INFO)
    found, _, _ = predict_points(model, warped.numpy().transpose(1, 2, 0))
    back = augment.warp_points(found, np.linalg.inv(matrix))
    write_points(folder / "b.txt", back, SHAPE)
    (back, _), order = read_points(folder / "b.txt", SHAPE), np.argsort
    return read[order(read[:, 0])], back[order(back[:, 0])]


def bias(folder):
    """Return the largest mean error over all phases, of the read and of the found points."""
    errors = []
    for i in range(10):
        x, y = i / 10, (3 * i % 10) / 10
        true = np.array([[6 + x, 6 + y], [34 + y, 40 + x], [60 - x, 22.4 + y], [85 + y, 58 - x]])
        ends = travel(true, folder)
        assert all(len(end) == len(true) for end in ends)
        errors.append([end - true for end in ends])
    return np.abs(np.mean(errors, axis=(0, 2))).max()


def test_nothing_is_shifted_from_end_to_end(tmp_path):
    """Through every stage the mean error over all phases stays under 0.02 px."""
    assert bias(tmp_path) < 0.02


def corners(relative, shape):
    """Read fractions as if a pixel's corner were its centre."""
    return np.asarray(relative) * np.array(shape[::-1])


def corner_points(where, matrix):
    """Move points as if (0, 0) were the corner of the top-left pixel."""
    return MOVE(np.asarray(where) + 0.5, matrix) - 0.5


def rounded(draw):
    """Draw at whole pixels."""
    return lambda where, shape, *, sigma: draw(np.floor(where), shape, sigma=sigma)


def centre_resize(image, matrix, shape):
    """Move the pixels half a pixel beside the points."""
    return WARP(image, augment.shift(0.5, 0) @ matrix, shape)


def pad_left(model, batch):
    """Pad on the left and forget to crop there."""
    padded = torch.nn.functional.pad(batch, (1, 0, 0, 0), mode="replicate")
    return FORWARD(model, padded)[..., : batch.shape[-1]]


def is_noticed(folder):
    """Say whether points end up elsewhere, or are refused because they left the image."""
    try:
        return bias(folder) > 0.02
    except InputError:
        return True


WARP, MOVE, FORWARD, DRAW = (
    augment.warp_image,
    augment.warp_points,
    PointModel.forward,
    gaussian_max,
)


@pytest.mark.parametrize("wrong", ["read", "move", "draw", "warp", "pad"])
def test_each_wrong_stage_is_noticed(wrong, tmp_path, monkeypatch):
    """A half or whole pixel lost in any one stage fails the test above."""
    if wrong == "read":
        monkeypatch.setattr(points, "to_pixels", corners)
    if wrong == "move":
        monkeypatch.setattr(augment, "warp_points", corner_points)
    if wrong == "draw":
        monkeypatch.setattr(f"{__name__}.gaussian_max", rounded(DRAW))
    if wrong == "warp":
        monkeypatch.setattr(augment, "warp_image", centre_resize)
    if wrong == "pad":
        monkeypatch.setattr(PointModel, "forward", pad_left)
    assert is_noticed(tmp_path)
