"""Tiles: a picture predicted in pieces is the picture predicted whole."""

import numpy as np
import pytest
import torch
from torch import nn

from pointlib.errors import InputError
from pointlib.heatmaps import draw_classes
from pointlib.model.point_model import ModelInfo, PointModel, build_model
from pointlib.predict import points as predict
from pointlib.predict.points import (
    predict_candidates,
    predict_heatmap,
    predict_points,
    predicting,
    run_network,
    tiled_candidates,
)
from pointlib.predict.reach import halo_of, reach_of
from pointlib.predict.tiles import Maxima, Tile, Tiling, join_maxima, tiles_of

LOCAL = {  # what these see, by counting NaN, was measured before this module was written
    ("Unet", "mobilenet_v2:3"): 47,
    ("Unet", "mobilenet_v2:4"): 175,
    ("Unet", "resnet18:3"): 71,
    ("Unet", "resnet34:5"): 543,
    ("UnetPlusPlus", "resnet18:3"): 71,
    ("Unet", "vgg11_bn:3"): 63,
}
# of the logits' spread: sums of float32 are in another order; 1e-5 here, a seam is 1e-2 or more
ROUNDING = 5e-5
GLOBAL = [("FPN", "resnet18:5"), ("MAnet", "resnet18:3"), ("Unet", "se_resnet50:3")]


def network(architecture, encoder, *, seed=0, **info):
    """Return a model of random weights, in evaluation mode."""
    torch.manual_seed(seed)
    info = ModelInfo(**{"n_channels": 1} | info)
    options = {"architecture": architecture, "encoder": encoder, "encoder_weights": None}
    return build_model(info, **options).eval()


def noise(shape, *, seed=0):
    """Return an image of noise."""
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


@pytest.fixture(scope="module")
def small():
    """Return the default network with random weights."""
    return network("Unet", "tu-tf_efficientnet_lite0:3")


def whole_and_tiled(model, image, side, monkeypatch):
    """Return the logits of an image in one piece and in tiles."""
    monkeypatch.setattr(predict, "WHOLE", 10_000)
    whole = run_network(model, image)
    tiling = Tiling(model, image, side=side)
    with predicting(model):
        rows = list(predict._rows(tiling))
    return whole, torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)


# --- reach --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "expected"), LOCAL.items(), ids=str)
def test_reach_of_networks_of_smp(names, expected):
    """How far each sees, in pixels; the halo is that in whole periods of the network."""
    model = network(*names)
    assert reach_of(model) == expected
    assert halo_of(model) % model.divisor == 0
    assert expected <= halo_of(model) < expected + model.divisor


@pytest.mark.parametrize("names", GLOBAL, ids=str)
def test_networks_with_a_mean_over_the_picture_see_everything(names):
    """Pyramid pooling, attention and squeeze-excitation have no reach."""
    assert reach_of(network(*names)) is None


class Hiding(nn.Module):
    """Swallows NaN, and adds the mean of the whole picture."""

    def forward(self, batch):
        """Return the batch with its mean added."""
        clean = torch.nan_to_num(batch)
        return clean + clean.mean(dim=(2, 3), keepdim=True)


def test_a_network_that_hides_nan_is_tried_on_a_random_strip():
    """By NaN it sees nothing beyond a pixel; whole and part differ, so it sees everything."""
    assert reach_of(PointModel(Hiding(), ModelInfo(n_channels=1))) is None


def test_reach_leaves_the_model_as_it_was(small):
    """Mode and weights are the same afterwards; a second call computes nothing."""
    before = [weight.clone() for weight in small.parameters()]
    small.train()
    reach_of(small)
    assert small.training
    small.eval()
    assert all(map(torch.equal, before, small.parameters()))


# --- seams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [*LOCAL][:3] + [*LOCAL][4:], ids=str)
def test_tiles_have_the_logits_of_the_whole(names, monkeypatch):
    """Tiles of 64 px of a picture whose sides are no multiple of them."""
    whole, tiled = whole_and_tiled(network(*names), noise((230, 331)), 64, monkeypatch)
    assert (whole - tiled).abs().max() <= ROUNDING * whole.std()


def test_a_deep_network_has_no_seam_either(monkeypatch):
    """ResNet-34 at depth 5 sees 543 px: a picture of 1,300 px in tiles of 64."""
    whole, tiled = whole_and_tiled(
        network("Unet", "resnet34:5"), noise((96, 1300)), 96, monkeypatch
    )
    assert (whole - tiled).abs().max() <= ROUNDING * whole.std()


@pytest.mark.parametrize("scale", [0.312, 0.5, 0.8])
@pytest.mark.parametrize("normalise", ["train", "percentile"])
def test_tiles_of_shrunken_pictures_have_no_seam(scale, normalise, monkeypatch):
    """The phase of the shrinking and the limits of the pixels are those of the whole picture."""
    model = network("Unet", "tu-tf_efficientnet_lite0:3", scale=scale, normalise=normalise)
    image = noise((411, 530))
    image[:200] //= 3  # a part alone has other limits
    whole, tiled = whole_and_tiled(model, image, 64, monkeypatch)
    assert (whole - tiled).abs().max() <= ROUNDING * whole.std()


class Grey(nn.Module):
    """Returns the channels themselves as logits: 128 is a height of one half."""

    def forward(self, batch):
        """Return logits."""
        return 12 * (batch - 0.5)


def grey_model(n_classes=1, **info):
    """Return a model whose heatmaps are the channels of the image."""
    info = {"n_channels": n_classes, "classes": tuple("abc"[:n_classes]), "sigma": 2.0} | info
    return PointModel(Grey(), ModelInfo(**info, mean=(0.0,), std=(1.0,)), divisor=8)


def hills(n, shape, *, classes, seed=0):
    """Return an image with a channel a class, of hills at random places."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, np.array(shape)[::-1], (n, 2))
    labels = rng.choice(list(classes), n)
    drawn = draw_classes(points, labels, shape, classes=classes, sigma=2.0).numpy()
    return np.uint8(255 * np.moveaxis(drawn, 0, 2))


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("side", [32, 40, 64, 104])
def test_peaks_of_tiles_are_the_peaks_of_the_whole(side, exclusive, monkeypatch):
    """Same points, scores and isolation, to the bit, whatever the tiles, of classes alone or not."""
    model = grey_model(2, exclusive=exclusive)
    image = hills(250, (210, 330), classes=model.info.classes)
    monkeypatch.setattr(predict, "WHOLE", 10_000)
    whole = predict_candidates(model, image)
    tiled = tiled_candidates(Tiling(model, image, side=side))
    for name, candidates in whole.items():
        for one, other in zip(candidates, tiled[name], strict=True):
            assert np.array_equal(one, other)
    assert sum(len(own.points) for own in whole.values()) > 100


def test_a_plateau_across_a_seam_is_one_point():
    """Four equal pixels about the corner of four tiles: one point, as in the whole picture."""
    image = np.full((64, 64), 20, np.uint8)
    image[31:33, 31:33] = 220
    (candidates,) = tiled_candidates(Tiling(grey_model(), image, side=32)).values()
    assert len(candidates.points) == 1
    assert candidates.points.tolist() == [[31.5, 31.5]] or candidates.points[0].max() <= 32


def test_two_peaks_about_a_seam_know_of_each_other():
    """Isolation is asked over all tiles: of two hills 6 px apart across a seam one is near."""
    model = grey_model()
    points = np.array([[29.0, 20.0], [35.0, 20.0]])
    drawn = draw_classes(points, np.array(["a", "a"]), (64, 64), classes=("a",), sigma=1.5)
    image = np.uint8(255 * drawn[0].numpy())
    image[:, 32:] = image[:, 32:] * 0.9
    (candidates,) = tiled_candidates(Tiling(model, image, side=32)).values()
    assert candidates.isolation[0] == np.inf
    assert candidates.isolation[1] == pytest.approx(6, abs=0.1)


def test_large_images_are_predicted_in_tiles(monkeypatch):
    """predict_points and predict_heatmap of an image beyond WHOLE are those of a small one."""
    model = grey_model()
    image = hills(60, (150, 210), classes=("a",))
    points, heatmap = predict_points(model, image, threshold=0.5), predict_heatmap(model, image)
    monkeypatch.setattr(predict, "WHOLE", 64)
    monkeypatch.setattr("pointlib.predict.tiles.SMALL", 48)
    assert all(map(np.array_equal, points, predict_points(model, image, threshold=0.5)))
    assert np.allclose(heatmap, predict_heatmap(model, image), atol=1e-6)


def test_tiles_cover_every_pixel_once():
    """Tiles of a part lie side by side; the last ones are smaller."""
    seen = np.zeros((70, 50), int)
    for tile in tiles_of(Tile(8, 70, 0, 50), 32):
        seen[tile.top : tile.bottom, tile.left : tile.right] += 1
    assert (seen[8:] == 1).all()
    assert (seen[:8] == 0).all()


def test_the_network_never_sees_more_than_a_window(small):
    """Tall or wide: no window is larger than a tile with its halo, so memory stays small."""
    seen, halo = [], halo_of(small)
    hook = small.network.register_forward_hook(
        lambda _net, given, _out: seen.append(given[0].shape)
    )
    tiled_candidates(Tiling(small, noise((64, 700)), side=64))
    hook.remove()
    assert len(seen) == 11
    assert max(max(shape[2:]) for shape in seen) <= 64 + 2 * (halo + small.divisor)


def test_other_depths_are_refused():
    """A picture of another depth than the training's is a sentence."""
    model = grey_model(depth="uint16")
    with pytest.raises(InputError, match="image is uint8; this model was trained on uint16"):
        tiled_candidates(Tiling(model, noise((64, 64)), side=32))


def test_join_maxima_of_no_tile_is_empty():
    """Nothing predicted is no class; nothing found is an empty array of the right shape."""
    assert join_maxima([], size=(8, 8), shape=(8, 8)) == {}
    none = Maxima(np.zeros((0, 2), int), np.zeros((0, 2)), np.zeros(0))
    (candidates,) = join_maxima([{"a": none}], size=(8, 8), shape=(8, 8)).values()
    assert candidates.points.shape == (0, 2)
