"""Going on from an earlier model: what it keeps, what it learns anew, what may not differ."""

import numpy as np
import pytest
import torch

from pointlib.config import TrainConfig
from pointlib.dataset import ImagePointDataset, MemoryDataset
from pointlib.errors import InputError
from pointlib.images import read_image, write_image
from pointlib.model.folder import load_model, read_info
from pointlib.train import loop
from pointlib.train.loop import fit, train_epoch, train_folder

TINY = {"num_epochs": 2, "batch_size": 4, "crop_size": 32, "threads": 1, "encoder_weights": None}


def quiet(_line):
    """Say nothing."""


def weights_of(model):
    """Return all weights as one tensor."""
    return torch.cat([v.flatten().float() for v in model.state_dict().values()])


def logits_of(model):
    """Return a model's logits of one picture of noise."""
    batch = torch.rand(1, model.info.n_channels, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.eval()(batch)


@pytest.fixture
def earlier(make_folder, tmp_path):
    """Return the folder of a model trained on blobs for some epochs, and that of its images."""
    images = make_folder(6, folder="first")
    settings = TINY | {"num_epochs": 12, "gaussian_sigma": 2.0, "radius": 5.0}
    settings |= {"learning_rate": 0.01, "output": str(tmp_path / "earlier")}
    train_folder(TrainConfig(dataset_path=str(images), **settings), log=quiet)
    return tmp_path / "earlier", images


def again(earlier, images, **settings):
    """Train on from the earlier model; return the model and the lines of the log."""
    start, lines = settings.pop("start", earlier[0]), []
    config = TrainConfig(dataset_path=str(images), start=str(start), **TINY | settings)
    config.output = str(settings.get("output", earlier[0].parent / "later"))
    return train_folder(config, log=lines.append), "\n".join(lines)


def test_going_on_takes_over_what_the_model_is(earlier, make_folder):
    """Sigma, radius and range of pixels are the earlier model's; what it went on from is stored."""
    model, log = again(earlier, make_folder(6, folder="second"))
    before, info = read_info(earlier[0]), model.info
    names = ("sigma", "radius", "scale", "low", "high", "mean", "std", "classes")
    for name in names:
        assert getattr(info, name) == getattr(before, name)
    assert info.training["start"]["model"] == "earlier"
    assert len(info.training["start"]["sha256"]) == 64
    assert f"goes on from {earlier[0]}" in log
    assert "hint" not in log
    told, _ = again(earlier, earlier[1], gaussian_sigma=3.0, radius=4.0)
    assert (told.info.sigma, told.info.radius) == (3.0, 4.0)


def test_going_on_begins_where_the_model_stands(earlier):
    """At a learning rate near 0 the model stays as it is, and never ends below what it was."""
    model, log = again(earlier, earlier[1], learning_rate=1e-12, num_epochs=1)
    f1 = read_info(earlier[0]).metrics["validation"]["f1"]
    assert f"before the first epoch: F1 {f1:.3f}" in log
    assert model.info.metrics["validation"]["f1"] >= f1 > 0.8


def test_going_on_never_ends_below_its_start(earlier):
    """A learning rate that ruins the model leaves the earlier one's weights: epoch 0 is the best."""
    model, _ = again(earlier, earlier[1], learning_rate=1.0, num_epochs=1)
    assert model.info.training["best_epoch"] == 0
    assert torch.equal(weights_of(model), weights_of(load_model(earlier[0])))
    assert torch.equal(weights_of(load_model(earlier[0].parent / "later")), weights_of(model))


def test_a_start_that_knows_the_validation_images_is_not_compared(earlier):
    """Its F1 on images that it was trained on says nothing: a warning, and no epoch 0."""
    start, images = earlier
    trained = read_info(start).training["images"]["train"]
    (images / "val.txt").write_text(f"{trained[0]}\n")
    model, log = again(earlier, images, learning_rate=1.0, num_epochs=1)
    assert "warning: 1 of the 1 validation images trained the model this goes on from" in log
    assert "before the first epoch" not in log
    assert model.info.training["best_epoch"] == 1


def test_a_new_class_is_added_after_the_known_ones(make_folder, tmp_path):
    """Outputs keep their class by name; the new one starts low; a class without points stays."""
    first = make_folder(6, labels=("crop", "weed"), folder="two")
    options = {"gaussian_sigma": 2.0, "output": str(tmp_path / "two_classes")}
    train_folder(TrainConfig(dataset_path=str(first), **TINY | options), log=quiet)
    before = load_model(tmp_path / "two_classes")
    images = make_folder(6, labels=("ant", "weed"), folder="three")
    place = (tmp_path / "two_classes", None)
    model, log = again(place, images, learning_rate=1e-12, num_epochs=1)
    assert model.info.classes == ("crop", "weed", "ant")
    assert "no crop in the validation images" in log
    old, new = (m.network.segmentation_head[0].weight for m in (before, model))
    assert torch.allclose(new[:2], old, atol=1e-6)
    assert new.shape[0] == 3
    assert torch.sigmoid(logits_of(model)[:, 2]).mean() < 0.2
    loaded = load_model(tmp_path / "later")
    assert torch.allclose(logits_of(loaded), logits_of(model), atol=1e-4)
    alone, _ = again(place, make_folder(6, labels=("weed",), folder="one"))
    assert alone.info.exclusive == before.info.exclusive
    assert alone.info.exclusive  # images of one class alone do not tell
    chosen, _ = again(place, images, classes=["ant", "weed"], output=str(tmp_path / "chosen"))
    assert chosen.info.classes == ("ant", "weed")


def test_points_without_a_name_are_of_the_one_class_it_knows(make_folder, tmp_path):
    """A model of class cell goes on with text files that name no class."""
    named = make_folder(6, labels=("cell",), folder="named")
    output = str(tmp_path / "cell")
    train_folder(TrainConfig(dataset_path=str(named), output=output, **TINY), log=quiet)
    model, _ = again((tmp_path / "cell", None), make_folder(6, folder="unnamed"))
    assert model.info.classes == ("cell",)


def repaint(folder, change):
    """Write each image of a folder again, changed."""
    for path in sorted(folder.glob("*.png")):
        write_image(path, change(read_image(path)))
    return folder


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        (
            lambda i: np.dstack([i] * 3),
            {},
            "sees 1 channels, and these images have 3. Set train.num",
        ),
        (lambda i: i.astype(np.uint16) * 99, {}, "trained on uint8 pixels, .* have uint16"),
        (None, {"scale": 0.5}, "sees images at scale 1, and train.scale is 0.5"),
        (None, {"normalise": "percentile"}, "has normalise 'train', and train.normalise is 'perc"),
        (
            None,
            {"encoder": "resnet18"},
            "has the encoder tu-tf_efficientnet_lite0, and train.encoder is resnet18",
        ),
        (None, {"encoder": "mobilenet_v2:4"}, "has the encoder tu-tf_efficientnet_lite0:3, and"),
        (None, {"architecture": "FPN"}, "has the architecture Unet, and train.architecture is FPN"),
        (None, {"model": "mine.py:net"}, "is a network of smp. Leave train.model out"),
        (None, {"start": "nowhere"}, "model description nowhere/pointlib.json does not exist"),
    ],
)
def test_what_may_not_differ_is_a_sentence(earlier, make_folder, change, settings, words):
    """Channels, pixel depth, scale, normalisation and the kind of network are the model's."""
    images = make_folder(6, folder="other")
    if change:
        repaint(images, change)
    with pytest.raises(InputError, match=words):
        again(earlier, images, **settings)


def test_colour_images_can_be_seen_in_grey(earlier, make_folder):
    """The way out that the error names works: num_channels 1."""
    images = repaint(make_folder(6, folder="colour"), lambda image: np.dstack([image] * 3))
    model, _ = again(earlier, images, num_channels=1)
    assert model.info.n_channels == 1


@pytest.mark.parametrize("output", ["later", "earlier"])
def test_a_broken_off_training_ends_the_same(earlier, monkeypatch, output):
    """Killed and resumed: the same bytes, into another folder and into that of the start itself."""
    start, images = earlier
    dataset = ImagePointDataset(images)
    whole = start.parent / "whole"
    config = TrainConfig(start=str(start), **TINY | {"num_epochs": 4})
    fit(dataset, dataset, config=config, output=whole, log=quiet)

    def broken(setup, state):
        if state.epoch == 3:
            raise KeyboardInterrupt
        return train_epoch(setup, state)

    monkeypatch.setattr(loop, "train_epoch", broken)
    with pytest.raises(KeyboardInterrupt):
        fit(dataset, dataset, config=config, output=start.parent / output, log=quiet)
    monkeypatch.undo()
    lines = []
    fit(dataset, dataset, config=config, output=start.parent / output, log=lines.append)
    assert "resuming after epoch 3" in lines
    read = [(place / "model.safetensors").read_bytes() for place in (whole, start.parent / output)]
    assert read[0] == read[1]
    infos = [read_info(place).training for place in (whole, start.parent / output)]
    assert infos[0]["start"] == infos[1]["start"]
    kept = [path.name for path in start.parent.glob("earlier*") if path.is_dir()]
    assert len(kept) == (2 if output == "earlier" else 1)  # the earlier model stays as a copy


def test_a_model_of_your_own_goes_on(make_folder, tmp_path):
    """A custom model is named again, so its code is trusted, and its weights are taken over."""
    code = tmp_path / "mine.py"
    code.write_text(
        "import torch\n\n\ndef net(*, in_channels, n_classes):\n"
        "    return torch.nn.Conv2d(in_channels, n_classes, 3, padding=1)\n"
    )
    images = make_folder(6)
    options = TINY | {"model": f"{code}:net", "gaussian_sigma": 2.0}
    output = str(tmp_path / "own")
    first = train_folder(TrainConfig(dataset_path=str(images), output=output, **options), log=quiet)
    place = (tmp_path / "own", None)
    with pytest.raises(InputError, match="is a custom model. Name its code as train.model too"):
        again(place, images)
    later, _ = again(place, images, model=f"{code}:net", learning_rate=1e-12, num_epochs=1)
    assert torch.allclose(weights_of(later), weights_of(first), atol=1e-5)


def test_in_memory_the_start_counts_too():
    """`fit` on datasets of one's own takes config.start as train_folder does."""
    image = np.zeros((40, 40), np.uint8)
    dataset = MemoryDataset([(image, [[20, 20]], ["point"])])
    with pytest.raises(InputError, match="model description"):
        fit(dataset, dataset, config=TrainConfig(start="nowhere", **TINY), log=quiet)
