"""Models: built by name, any size in, saved whole, loaded safely."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file

from pointlib import files
from pointlib.errors import InputError
from pointlib.model import folder as models
from pointlib.model.folder import load_model, read_info, save_model, write_settings
from pointlib.model.point_model import ModelInfo, build_custom, build_model, scale_image

INFO = ModelInfo(
    classes=("a", "b"), n_channels=2, thresholds={"a": 0.4}, low=(0.0, 10.0), high=(1.0, 20.0)
)
CUSTOM = """
import segmentation_models_pytorch as smp
import torch

def tiny(*, in_channels, n_classes):
    return torch.nn.Conv2d(in_channels, n_classes, 3, padding=1)
"""


@pytest.mark.parametrize(("architecture", "encoder"), [
    ("Unet", "mobilenet_v2"), ("Unet", "resnet18:4"), ("FPN", "mobilenet_v2"), ("Linknet", "resnet18"),
])  # fmt: skip
@pytest.mark.parametrize("shape", [(40, 56), (33, 70)])
def test_model_takes_any_size_channels_and_classes(architecture, encoder, shape):
    """Logits have the image's own height and width and one channel a class."""
    model = build_model(INFO, architecture=architecture, encoder=encoder).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 2, *shape)).shape == (1, 2, *shape)


def test_model_pads_without_shifting():
    """What stands right of and below the frame does not move what is inside."""
    model = build_model(INFO, encoder_weights=None).eval()
    image = torch.rand(1, 2, 128, 128, generator=torch.manual_seed(0))
    with torch.no_grad():
        whole, cut = model(image), model(image[..., :124, :121])
    assert torch.allclose(whole[..., :40, :40], cut[..., :40, :40], atol=1e-3)


@pytest.mark.parametrize("weights", ["auto", None])
def test_fresh_model_predicts_little(weights):
    """In training the first heatmap is low nearly everywhere: it need not first unlearn a half."""
    torch.manual_seed(0)
    model = build_model(INFO, encoder_weights=weights)
    with torch.no_grad():
        assert torch.sigmoid(model(torch.rand(2, 2, 64, 96))).mean() < 0.1


def test_save_and_load_give_the_same_model(tmp_path):
    """The folder holds three files that bring back the same logits and the same info."""
    torch.manual_seed(0)
    model = build_model(INFO).eval()
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    image = torch.rand(1, 2, 40, 50)
    assert torch.equal(loaded(image), model(image))
    assert loaded.info == INFO
    names = {"model.safetensors", "config.json", "pointlib.json"}
    assert names <= {p.name for p in (tmp_path / "m").iterdir()}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_loading_never_downloads(tmp_path, monkeypatch):
    """A model trained from pre-trained weights loads without asking for them again."""
    model = build_model(INFO)
    model.network.config["encoder_weights"] = "imagenet"
    save_model(model, tmp_path / "m")
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", None)
    monkeypatch.setattr("socket.socket.connect", None)
    assert load_model(tmp_path / "m").info.classes == ("a", "b")


def test_unreachable_weights_are_a_sentence(monkeypatch):
    """A download that fails names both ways out."""

    def refuse(*_args, **_kwargs):
        raise OSError("no route")

    monkeypatch.setattr("segmentation_models_pytorch.create_model", refuse)
    with pytest.raises(
        InputError, match=r"encoder_weights to null .* or to the path of a .safetensors"
    ):
        build_model(INFO, encoder_weights="imagenet")


def test_encoder_weights_from_a_file(tmp_path):
    """A .safetensors file of a three-channel encoder fills it and is fitted to the channels."""
    source = build_model(ModelInfo())
    path = tmp_path / "encoder.safetensors"
    save_file(source.network.encoder.state_dict(), path)
    filled = build_model(INFO, encoder_weights=str(path))
    a, b = (list(m.network.encoder.parameters()) for m in (source, filled))
    assert torch.equal(a[1], b[1])
    assert b[0].shape[1] == 2
    save_model(filled, tmp_path / "m")
    assert load_model(tmp_path / "m").info.n_channels == 2
    with pytest.raises(InputError, match="does not fit|lacks"):
        build_model(INFO, encoder="resnet18", encoder_weights=str(path))
    path.write_bytes(b"not weights")
    with pytest.raises(InputError, match="does not fit this encoder"):
        build_model(INFO, encoder_weights=str(path))


def test_custom_model_travels_with_its_code(tmp_path):
    """Your own model is saved with its file, and loads only when its code is trusted."""
    (tmp_path / "mine.py").write_text(CUSTOM)
    model = build_custom(INFO, f"{tmp_path / 'mine.py'}:tiny", trust_code=True).eval()
    save_model(model, tmp_path / "m")
    (tmp_path / "mine.py").unlink()
    with pytest.raises(InputError, match="trust_code=True"):
        load_model(tmp_path / "m")
    image = torch.rand(1, 2, 33, 40)
    assert torch.equal(load_model(tmp_path / "m", trust_code=True)(image), model(image))


def test_custom_model_can_be_loaded_and_saved_again(tmp_path):
    """A loaded custom model knows where its code is."""
    (tmp_path / "mine.py").write_text(CUSTOM)
    save_model(build_custom(INFO, f"{tmp_path / 'mine.py'}:tiny", trust_code=True), tmp_path / "m")
    save_model(load_model(tmp_path / "m", trust_code=True), tmp_path / "n")
    assert load_model(tmp_path / "n", trust_code=True).info.classes == ("a", "b")


def test_custom_model_may_share_its_weights(tmp_path):
    """Two layers of one weight are saved, though the file knows no sharing, and load as they were."""
    code = CUSTOM + "\ndef twice(**sizes):\n    return torch.nn.Sequential(*[tiny(**sizes)] * 2)\n"
    (tmp_path / "mine.py").write_text(code)
    info = ModelInfo(classes=("a", "b"), n_channels=2)
    model = build_custom(info, f"{tmp_path / 'mine.py'}:twice", trust_code=True).eval()
    save_model(model, tmp_path / "m")
    image = torch.rand(1, 2, 33, 40)
    assert torch.equal(load_model(tmp_path / "m", trust_code=True)(image), model(image))


@pytest.mark.parametrize(("options", "words"), [
    ({"encoder": "mobilnet_v2"}, "Did you mean 'mobilenet_v2'"),
    ({"architecture": "Unett"}, "Did you mean 'Unet'"),
    ({"encoder": "resnet18:x"}, "encoder depth 'x'"),
    ({"encoder": "resnet18:9"}, "cannot build Unet"),
])  # fmt: skip
def test_build_model_refuses_unknown_names(options, words):
    """A wrong architecture, encoder or depth is a sentence that names the nearest one."""
    with pytest.raises(InputError, match=words):
        build_model(INFO, **options)


def test_load_model_refuses_what_is_not_a_model(tmp_path):
    """A missing folder, a cut-off file, another schema and an unknown key are sentences."""
    with pytest.raises(InputError, match="model folder .* does not exist"):
        load_model(tmp_path / "m")
    save_model(build_model(INFO), tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="is not a complete model"):
        load_model(tmp_path / "m")
    path = tmp_path / "m" / "pointlib.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"sgima": 3}))
    with pytest.raises(InputError, match="unknown key 'sgima'. Did you mean 'sigma'"):
        read_info(tmp_path / "m")
    path.write_text(json.dumps(data | {"schema": 99}))
    with pytest.raises(InputError, match="has schema 99; this pointlib reads schema 1"):
        read_info(tmp_path / "m")
    path.write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        read_info(tmp_path / "m")


@pytest.mark.parametrize(("key", "value", "words"), [
    ("in_channels", 1, "has in_channels 1, and pointlib.json 2: two models mixed"),
    ("classes", 5, "has classes 5, and pointlib.json 2: two models mixed"),
    ("depth", 5, "names 'depth', which Unet does not have"),
    ("_model_class", "Unett", "names the architecture 'Unett', which smp does not have"),
])  # fmt: skip
def test_load_model_refuses_the_network_of_another(tmp_path, key, value, words):
    """A config.json that does not belong to its pointlib.json, or is not smp's, is a sentence."""
    save_model(build_model(INFO), tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InputError, match=words):
        load_model(tmp_path / "m")


def test_write_settings_is_what_the_next_load_reads(tmp_path):
    """Named classes get new values, others keep theirs; weights and the older file stay."""
    save_model(build_model(INFO), tmp_path / "m")
    path, weights = tmp_path / "m" / "pointlib.json", tmp_path / "m" / "model.safetensors"
    before = path.read_bytes(), weights.read_bytes()
    assert write_settings(tmp_path / "m", {"b": 0.25}, {"a": 3}, {"tuned": {"f1": 0.5}}) == path
    info = load_model(tmp_path / "m").info
    assert info.thresholds == {"a": 0.4, "b": 0.25}
    assert (info.min_distances, info.metrics) == ({"a": 3.0}, {"tuned": {"f1": 0.5}})
    assert (info.low, info.classes) == (INFO.low, INFO.classes)
    assert ((tmp_path / "m" / "pointlib.json.bak").read_bytes(), weights.read_bytes()) == before


def test_write_settings_twice_is_once(tmp_path):
    """Where nothing changes the file is not written and no copy is made."""
    save_model(build_model(INFO), tmp_path / "m")
    for _ in range(3):
        write_settings(tmp_path / "m", {"a": 0.3}, {}, {"validation": {"f1": 1.0}})
    assert len(list((tmp_path / "m").glob("pointlib.json*"))) == 2


def test_write_settings_says_that_a_folder_is_read_only(tmp_path, monkeypatch):
    """A sentence with a way out, and the file is as before."""
    save_model(build_model(ModelInfo(n_channels=1)), tmp_path / "m")
    before = (tmp_path / "m" / "pointlib.json").read_bytes()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pointlib.model.folder.write_atomic", refuse)
    with pytest.raises(InputError, match=r"cannot be written \(Permission denied\). Make"):
        write_settings(tmp_path / "m", {"point": 0.3}, {}, {})
    assert (tmp_path / "m" / "pointlib.json").read_bytes() == before


def test_write_settings_refuses_what_predict_could_not_use(tmp_path):
    """An unknown class, NaN, a negative distance and a missing folder are sentences."""
    save_model(build_model(INFO), tmp_path / "m")
    before = (tmp_path / "m" / "pointlib.json").read_bytes()
    with pytest.raises(InputError, match="has no class 'c'. Known: a, b"):
        write_settings(tmp_path / "m", {"c": 0.3}, {}, {})
    with pytest.raises(InputError, match="a is given nan; expected a number, 0 or more"):
        write_settings(tmp_path / "m", {"a": float("nan")}, {}, {})
    with pytest.raises(InputError, match="a is given 1.5; expected a number, 0 or more, 1 at most"):
        write_settings(tmp_path / "m", {"a": 1.5}, {}, {})
    with pytest.raises(InputError, match="b is given -1"):
        write_settings(tmp_path / "m", {}, {"b": -1}, {})
    with pytest.raises(InputError, match="model description .* does not exist"):
        write_settings(tmp_path / "n", {"a": 0.3}, {}, {})
    assert (tmp_path / "m" / "pointlib.json").read_bytes() == before


def test_scale_image_uses_the_stored_range():
    """Each channel is scaled by its own stored limits and clipped to 0..1."""
    image = np.stack([np.full((3, 5), 0.5), np.full((3, 5), 25.0)], axis=2)
    scaled = scale_image(image, INFO)
    assert scaled.shape == (2, 3, 5)
    assert scaled[:, 0, 0].tolist() == [0.5, 1.0]


def test_scale_image_by_percentile_ignores_exposure():
    """With normalise="percentile" twice the exposure gives the same picture."""
    info = ModelInfo(n_channels=1, normalise="percentile")
    image = np.random.default_rng(0).integers(100, 3000, (40, 60)).astype(np.uint16)
    assert torch.allclose(scale_image(image, info), scale_image(image * 2, info), atol=1e-5)


def test_model_refuses_other_channel_counts():
    """Too many channels are a sentence, in the image and in the batch."""
    with pytest.raises(InputError, match=r"image has shape \(4, 5, 3\); expected \(H, W, 2\)"):
        scale_image(np.zeros((4, 5, 3)), INFO)
    with pytest.raises(InputError, match=r"this model expects \(B, 2, H, W\)"):
        build_model(INFO)(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize("encoder", ["mobilenet_v2:3", "efficientnet-b0:3", "resnet18:4"])
def test_layers_that_nothing_depends_on_are_left_out(encoder, monkeypatch):
    """Without the encoder's unused deep end the network is smaller and says the same."""
    small, n_small = build_seeded(encoder), n_weights(build_seeded(encoder))
    monkeypatch.setattr("pointlib.model.network._drop_unused", lambda *_: None)
    whole = build_seeded(encoder)
    image = torch.rand(1, 2, 70, 90, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        assert torch.equal(small(image), whole(image))
    assert n_small < 0.6 * n_weights(whole)


def test_weights_file_with_unused_layers_still_loads(tmp_path, monkeypatch):
    """A folder saved before the unused layers were left out gives the same model."""
    monkeypatch.setattr("pointlib.model.network._drop_unused", lambda *_: None)
    whole = build_seeded("mobilenet_v2:3")
    save_model(whole, tmp_path / "old")
    monkeypatch.undo()
    image = torch.rand(1, 2, 48, 64, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        assert torch.equal(load_model(tmp_path / "old")(image), whole(image))


def build_seeded(encoder):
    """Return a fresh network of two channels, always the same, ready to predict."""
    torch.manual_seed(1)
    return build_model(ModelInfo(n_channels=2), encoder=encoder).eval()


def n_weights(model):
    """Return how many numbers a model has learnt."""
    return sum(weight.numel() for weight in model.parameters())


@pytest.fixture
def stranger(tmp_path):
    """Return a function that changes a file of a model folder and returns the folder."""
    save_model(build_model(INFO), tmp_path / "model")

    def change(file, **values):
        path = tmp_path / "model" / file
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
        return tmp_path / "model"

    return change


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"mean": [1e308, 0.5]},
            r"mean\.0 is 1e\+308; expected a number of at least -1,000,000.0 and at most 1,000,000",
        ),
        ({"mean": [-1e300]}, r"mean\.0 is -1e\+300; expected a number of at least"),
        ({"std": [1e-308]}, r"std\.0 is 1e-308; expected a number of at least 1e-06"),
        ({"std": [1e300, 1.0]}, r"std\.0 is 1e\+300"),
        ({"low": [1e300]}, r"low\.0 is 1e\+300"),
        ({"sigma": 1e300}, r"sigma is 1e\+300"),
        ({"radius": 1e300}, r"radius is 1e\+300"),
    ],
)
def test_numbers_that_no_image_can_have_are_refused(stranger, values, words):
    """They would make heatmaps of NaN, or of nothing, without a word."""
    with pytest.raises(InputError, match=words):
        load_model(stranger("pointlib.json", **values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"decoder_channels": [16_000, 16_000, 16_000]}, "two models mixed"),
        ({"decoder_channels": [10**9, 8, 8]}, "expected at most 64 numbers from 0 to 16,384"),
        ({"decoder_channels": [8] * 65}, "expected at most 64 numbers"),
        ({"encoder_name": "efficientnet-b7", "encoder_depth": 3}, "two models mixed"),
        ({"encoder_name": "resnext101_32x32d"}, "describes .* million weights|two models mixed"),
        ({"encoder_name": "tu-resnet152"}, "describes .* million weights|two models mixed"),
        ({"x" * 30_000: 1}, "larger than 20,000 bytes"),
    ],
)
def test_a_network_that_does_not_fit_its_weights_is_not_built(stranger, monkeypatch, values, words):
    """A stranger's config.json may describe gigabytes: the weights' header is asked before."""
    folder, devices, create = stranger("config.json", **values), [], smp.create_model

    def watch(*args, **options):
        devices.append(torch.get_default_device().type)
        return create(*args, **options)

    monkeypatch.setattr(smp, "create_model", watch)
    with pytest.raises(InputError, match=words):
        load_model(folder)
    assert set(devices) <= {"meta"}


def test_a_transformer_that_does_not_fit_its_weights_is_not_built(tmp_path):
    """Its encoder reads numbers from a tensor: it is looked at all the same."""
    info = dataclasses.replace(INFO, n_channels=3, low=(0.0,), high=(1.0,))
    save_model(build_model(info, encoder="mit_b0:5"), tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text()) | {"decoder_channels": [9000, 9000, 9000, 9000, 9000]}
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match="two models mixed"):
        load_model(tmp_path / "model")


def test_many_classes_without_their_weights_are_refused(stranger):
    """A million classes in both texts are no million in the weights."""
    classes = [f"c{i}" for i in range(10_000)]
    stranger("config.json", classes=10_000)
    folder = stranger("pointlib.json", classes=classes, thresholds={}, min_distances={})
    with pytest.raises(
        InputError, match=r"describes segmentation_head.*\(10000,.*two models mixed"
    ):
        load_model(folder)


def test_a_description_beyond_all_bounds_is_not_read(stranger, monkeypatch):
    """pointlib.json names the images of a training, and is some kilobytes."""
    monkeypatch.setattr(models, "MAX_DESCRIPTION", 1000)
    with pytest.raises(InputError, match=r"pointlib\.json is larger than 1,000 bytes"):
        load_model(stranger("pointlib.json", training={"x": "y" * 1000}))


@pytest.mark.parametrize("encoder", ["mit_b0:5", "tu-resnet18:4", "resnet18:5"])
def test_every_kind_of_encoder_is_loaded_again(tmp_path, encoder):
    """Those too that cannot be looked at without memory."""
    info = dataclasses.replace(INFO, n_channels=3, low=(0.0,), high=(1.0,))
    model = build_model(info, encoder=encoder).eval()
    save_model(model, tmp_path / "model")
    batch = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(batch), load_model(tmp_path / "model")(batch))


@pytest.mark.parametrize("is_first_edition", [True, False])
def test_a_model_that_a_kill_left_out_of_its_place_is_put_back(tmp_path, is_first_edition):
    """Between two renames the old one stands beside: loading finds it, saving tidies up."""
    save_model(build_model(INFO), tmp_path / "model")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here, _, sign, _ = files.owner().split("-")
    middle = "" if is_first_edition else f"{here}-{ended.pid}-{sign}-"
    old = tmp_path / f".model.old.{middle}abcd"
    old.mkdir()
    (tmp_path / "model").rename(old / "model")
    assert load_model(tmp_path / "model").info.classes == INFO.classes
    (old / "model").mkdir(parents=True)
    save_model(build_model(INFO), tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
