"""Training: for real, on tiny pictures."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from pointlib import files
from pointlib.config import TrainConfig
from pointlib.dataset import ImagePointDataset, MemoryDataset
from pointlib.errors import InputError
from pointlib.evaluation.score import evaluate
from pointlib.files import owner
from pointlib.images import read_image
from pointlib.losses import mse
from pointlib.model.folder import load_model, read_info, write_settings
from pointlib.model.point_model import ModelInfo
from pointlib.predict.points import predict_heatmap, predict_points
from pointlib.splits import load_splits
from pointlib.train import checkpoint, loop
from pointlib.train.checkpoint import State, resume
from pointlib.train.crops import Shrunk, TrainingCrops
from pointlib.train.loop import fit, progress, train_epoch, train_folder
from pointlib.train.prepare import describe_data, prepare
from pointlib.train.validate import collapse_alarm, new_alarm

TINY = {"num_epochs": 2, "batch_size": 4, "crop_size": 32, "gaussian_sigma": 2.0, "threads": 1}


@pytest.fixture
def parts(make_folder):
    """Return a training and a validation set of blobs."""
    names = [f"dots_{i}.png" for i in range(5)]
    folder = make_folder(5)
    return tuple(ImagePointDataset(folder, names=part) for part in (names[:4], names[4:]))


def quiet(_line):
    """Say nothing."""


def interrupt(*_):
    """Stop as Ctrl+C does."""
    raise KeyboardInterrupt


def weights_of(model):
    """Return all weights as one tensor."""
    return torch.cat([v.flatten().float() for v in model.state_dict().values()])


def test_fit_learns_blobs(parts):
    """A few epochs on blobs find nearly all of them on an image it has not seen."""
    config = TrainConfig(**TINY | {"num_epochs": 12, "learning_rate": 0.01, "crop_size": 48})
    model = fit(*parts, config=config, log=quiet)
    history = model.info.training["history"]
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert max(row["f1"] for row in history) > 0.85
    image, true, _ = parts[1][0]
    points, labels, scores = predict_points(model, image)
    assert abs(len(points) - len(true)) <= 1
    assert set(labels) == {"point"}
    assert (np.diff(scores) <= 0).all()


def test_fit_is_the_same_for_the_same_seed(parts):
    """The same seed gives the same weights, another seed others."""
    models = [
        fit(*parts, config=TrainConfig(**TINY | {"seed": s, "num_epochs": 1}), log=quiet)
        for s in (1, 1, 2)
    ]
    first, again, other = (weights_of(model) for model in models)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_fit_shows_each_epoch_and_is_not_changed_by_a_look(parts):
    """`on_epoch` gets each epoch's model, ready to predict; looking leaves the training as it was."""
    config, film = TrainConfig(**TINY), []

    def look(epoch, model):
        film.append((epoch, predict_heatmap(model, parts[1][0][0])))
        torch.rand(3)  # the hook's own randomness is not the training's

    watched = fit(*parts, config=config, log=quiet, on_epoch=look)
    assert [epoch for epoch, _ in film] == [1, 2]
    assert film[0][1].shape == (1, 48, 64)
    assert not np.array_equal(film[0][1], film[1][1])
    assert torch.equal(weights_of(watched), weights_of(fit(*parts, config=config, log=quiet)))


def test_fit_resumes_to_the_same_end(parts, tmp_path, monkeypatch):
    """A training that breaks off in an epoch and is started again ends as if it never had."""
    config = TrainConfig(**TINY | {"num_epochs": 3})
    whole = fit(*parts, config=config, output=tmp_path / "whole", log=quiet)

    def broken(setup, state):
        if state.epoch == 2:
            setup.optimiser.param_groups[0]["lr"] = 1.0
            setup.model.network.segmentation_head[0].bias.data += 1  # half an epoch's work
            raise KeyboardInterrupt
        return train_epoch(setup, state)

    monkeypatch.setattr(loop, "train_epoch", broken)
    with pytest.raises(KeyboardInterrupt):
        fit(*parts, config=config, output=tmp_path / "broken", log=quiet)
    assert load_model(tmp_path / "broken").info.classes == ("point",)
    monkeypatch.undo()
    lines = []
    resumed = fit(*parts, config=config, output=tmp_path / "broken", log=lines.append)
    assert "resuming after epoch 2" in lines
    assert torch.equal(weights_of(resumed), weights_of(whole))
    assert resumed.info.thresholds == whole.info.thresholds
    assert not (tmp_path / "broken.checkpoint").exists()


def test_training_survives_a_kill(make_folder, tmp_path):
    """A process killed in the middle leaves a usable model, and the same command goes on."""
    options = {"dataset_path": str(make_folder(6)), **TINY, "num_epochs": 12}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"train": options}))
    command = [sys.executable, "-m", "pointlib.train", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "model").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    n_done = torch.load(tmp_path / "model.checkpoint", weights_only=True)["epoch"]
    assert 1 <= n_done < 12
    assert load_model(tmp_path / "model").info.sigma == 2.0
    shorter = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert f"resuming after epoch {n_done}" in shorter.stdout
    assert shorter.returncode == 0, shorter.stderr
    assert len(read_info(tmp_path / "model").training["history"]) == 12


def test_two_trainings_do_not_share_a_folder(parts, tmp_path):
    """The second one is told who is at work; nothing of the first is touched, no copy is made."""
    config, told = TrainConfig(**TINY), []

    def come_second(epoch, _model):
        names = sorted(path.name for path in tmp_path.glob("*m*"))
        with pytest.raises(InputError) as caught:
            fit(*parts, config=config, output=tmp_path / "m", log=quiet)
        told.append(str(caught.value))
        assert sorted(path.name for path in tmp_path.glob("*m*")) == names
        assert epoch <= 2

    fit(*parts, config=config, output=tmp_path / "m", log=quiet, on_epoch=come_second)
    pattern = rf"\(process {os.getpid()}\) trains into .*m\. .*try again\. Or name another output"
    assert all(re.search(pattern, words) for words in told)
    assert len(told) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"dots", "m"}


def test_two_processes_do_not_share_a_folder(make_folder, tmp_path):
    """By the command line as well, where the second one is told at its start."""
    options = {"dataset_path": str(make_folder(6)), **TINY, "num_epochs": 100_000}
    (tmp_path / "config.json").write_text(json.dumps({"train": options}))
    command = [sys.executable, "-m", "pointlib.train", str(tmp_path / "config.json")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 120
        while not (tmp_path / ".model.lock").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert second.returncode == 2, second.stdout + second.stderr
        assert f"(process {first.pid}) trains into" in second.stderr
        assert first.poll() is None
        first.kill()
    assert not list(tmp_path.glob("*.bak*"))


@pytest.mark.parametrize("after", ["write_checkpoint", "write_best"])
def test_a_killed_training_knows_its_own_model(parts, tmp_path, monkeypatch, after):
    """Wherever between checkpoint and model it ends, going on leaves no copy of its own model."""
    config, n_calls = TrainConfig(**TINY | {"num_epochs": 4}), []
    write = getattr(checkpoint, after)

    def die(setup, state):
        write(setup, state)
        n_calls.append(1)
        if len(n_calls) == 2:
            raise KeyboardInterrupt  # a kill, as far as files go: the lock aside

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, after, die)
        with pytest.raises(KeyboardInterrupt):
            fit(*parts, config=config, output=tmp_path / "m", log=quiet)
    lines = []
    model = fit(*parts, config=config, output=tmp_path / "m", log=lines.append)
    assert any("resuming after epoch" in line for line in lines)
    assert {path.name for path in tmp_path.iterdir()} == {"dots", "m"}
    alone = fit(*parts, config=config, output=tmp_path / "alone", log=quiet)
    assert torch.equal(weights_of(model), weights_of(alone))


def test_a_tuned_model_is_not_taken_for_the_trainings_own(parts, tmp_path):
    """Thresholds that somebody set between two runs are kept as a copy."""
    config = TrainConfig(**TINY | {"num_epochs": 4})
    with pytest.raises(KeyboardInterrupt):
        fit(*parts, config=config, output=tmp_path / "m", log=quiet, on_epoch=interrupt)
    write_settings(tmp_path / "m", {"point": 0.123}, {}, {})
    fit(*parts, config=config, output=tmp_path / "m", log=quiet)
    assert read_info(tmp_path / "m.bak").thresholds == {"point": 0.123}


def test_what_a_kill_leaves_is_swept_at_the_next_start(parts, tmp_path):
    """Half a checkpoint and half a model folder, of a process that has ended; others' stay."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here, pid, sign, _ = owner().split("-")
    mine = [f".pointlib-{here}-{ended.pid}-{sign}-x.tmp", f".pointlib-{here}-{pid}-0000-x.tmp"]
    others = [f".pointlib-{owner()}x.tmp", f".pointlib-00000000-{pid}-{sign}-x.tmp"]
    for name in mine + others:
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".pointlib-abcd1234.tmp").write_bytes(b"half")  # the first edition's
    os.utime(tmp_path / ".pointlib-abcd1234.tmp", (0, 0))
    files._swept.clear()
    fit(*parts, config=TrainConfig(**TINY), output=tmp_path / "m", log=quiet)
    assert {path.name for path in tmp_path.iterdir()} == {"dots", "m", *others}


def test_fit_keeps_the_model_that_stood_there(parts, tmp_path):
    """Another training's model is kept as a copy; another training's checkpoint too."""
    config = TrainConfig(**TINY | {"num_epochs": 1})
    for _ in range(2):
        fit(*parts, config=config, output=tmp_path / "m", log=quiet)
    assert sorted(p.name for p in tmp_path.glob("m*")) == ["m", "m.bak"]
    (tmp_path / "m.checkpoint").write_bytes(b"not a checkpoint")
    lines = []
    fit(*parts, config=config, output=tmp_path / "m", log=lines.append)
    assert any("m.checkpoint.bak cannot be read" in line for line in lines)


@pytest.mark.parametrize("name", ["pointlib.json", "notes.txt"])
def test_fit_keeps_what_came_into_its_folder_meanwhile(name, parts, tmp_path):
    """Another run's or a tuner's settings, and files of one's own, are not replaced unheard."""

    def meddle(epoch, _model):
        if epoch == 1:
            (tmp_path / "m" / name).write_text("mine")

    config = TrainConfig(**TINY | {"num_epochs": 2})
    fit(*parts, config=config, output=tmp_path / "m", log=quiet, on_epoch=meddle)
    assert [path.read_text() for path in tmp_path.glob(f"m.bak*/{name}")] == ["mine"]


def test_time_that_is_over_at_once_is_one_step(parts):
    """However few the minutes, a model comes of them."""
    config = TrainConfig(**TINY | {"num_epochs": None, "minutes": 1e-9})
    history = fit(*parts, config=config, log=quiet).info.training["history"]
    assert [row["steps"] for row in history] == [1]


def test_fit_stops_when_patience_ends(parts):
    """Epochs without a better F1 end the training early."""
    lines = []
    config = TrainConfig(**TINY | {"num_epochs": 30, "patience": 1, "learning_rate": 1e-6})
    model = fit(*parts, config=config, log=lines.append)
    assert len(model.info.training["history"]) < 30
    assert any(line.startswith("stopped: no better F1 in 1 epochs") for line in lines)


@pytest.mark.parametrize(("last", "best"), [(0.5, 2), (0.8, 3), (0.9, 3)])
def test_fit_keeps_the_weights_of_the_best_epoch(parts, monkeypatch, last, best):
    """F1 rises, then falls: the weights of the highest come back, or of a later one as good.

    On five points the standard error is 0.15, so 0.8 is as good as 0.9.
    """
    told, seen = [0.2, 0.9, last], []
    real = loop.validate

    def validate(*args, **options):
        row, *found = real(*args, **options)
        return row | {"f1": told[min(len(seen), 2)], "n_true": 5}, *found

    monkeypatch.setattr(loop, "validate", validate)
    model = fit(
        *parts,
        config=TrainConfig(**TINY | {"num_epochs": 3}),
        log=quiet,
        on_epoch=lambda epoch, model: seen.append(weights_of(model).clone()),
    )
    assert model.info.training["best_epoch"] == best
    assert torch.equal(weights_of(model), seen[best - 1])
    assert not torch.equal(seen[1], seen[2])


def test_fit_learns_nothing_outside_the_image(parts):
    """Where crops reach beyond the image, hills and logits there are silenced before the loss."""
    setup = prepare(*parts, TrainConfig(**TINY | {"augment": False}))
    edge = np.array([[23.0, 10.0]])  # half of its hill lies outside
    setup.crops.dataset = MemoryDataset([(np.zeros((20, 24), np.uint8), edge, np.array(["point"]))])
    valid, given = setup.crops[0][2][0], []
    setup.loss_fn = lambda x, t: given.append((x.detach().sigmoid(), t)) or x.square().mean()
    train_epoch(setup, State())
    assert valid.sum() == 480
    for heights, target in given:
        assert float(target[..., valid].max()) > 0.9
        assert not target[..., ~valid].any()
        assert float(heights[..., ~valid].max()) < 1e-6
        assert float(heights[..., valid].min()) > 1e-6


def test_fit_uses_the_loss_it_is_told(parts):
    """The named loss is the one computed: a custom one is called, and its value is the history's."""
    calls = []

    def mine(logits, target):
        calls.append(logits.shape)
        return mse(logits, target) * 0 + 7.0

    config = TrainConfig(**TINY | {"num_epochs": 1})
    config.loss = "pointlib.losses:mse"
    plain = fit(*parts, config=config, log=quiet).info.training["history"][0]["loss"]
    sys.modules["pointlib_test_loss"] = type(sys)("pointlib_test_loss")
    sys.modules["pointlib_test_loss"].mine = mine
    config.loss = "pointlib_test_loss:mine"
    own = fit(*parts, config=config, log=quiet).info.training["history"][0]["loss"]
    assert calls
    assert own == 7.0 != plain


def test_fit_gives_the_loss_its_options(parts):
    """`loss_options` reach the loss: points that count elevenfold cost more than twice as much."""
    losses = []
    for weight in (1, 10):
        config = TrainConfig(**TINY | {"num_epochs": 1, "loss_options": {"weight": weight}})
        losses.append(fit(*parts, config=config, log=quiet).info.training["history"][0]["loss"])
    assert losses[1] > 2 * losses[0]


def test_fit_says_when_the_loss_is_not_a_number(parts):
    """NaN ends the training with a sentence that names the learning rate."""
    config = TrainConfig(**TINY)
    sys.modules["pointlib_test_loss"] = type(sys)("pointlib_test_loss")
    sys.modules["pointlib_test_loss"].bad = lambda logits, target: logits.sum() * torch.nan
    config.loss = "pointlib_test_loss:bad"
    with pytest.raises(
        InputError, match="the loss became nan in epoch 1. Lower train.learning_rate"
    ):
        fit(*parts, config=config, log=quiet)


def test_fit_trains_classes_apart():
    """Two classes of different brightness each get their own channel, threshold and points."""
    items = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        points = rng.permutation(np.mgrid[6:60:12, 6:44:12].reshape(2, -1).T)[:10].astype(float)
        labels = np.where(np.arange(10) % 2, "dark", "light")
        image = np.full((48, 64), 120, np.uint8)
        for (x, y), label in zip(points.astype(int), labels, strict=True):
            image[y - 2 : y + 3, x - 2 : x + 3] = 220 if label == "light" else 20
        items.append((image, points, labels))
    config = TrainConfig(**TINY | {"num_epochs": 12, "learning_rate": 0.01, "crop_size": 48})
    model = fit(MemoryDataset(items[:5]), MemoryDataset(items[5:]), config=config, log=quiet)
    assert model.info.classes == ("dark", "light")
    assert set(model.info.thresholds) == {"dark", "light"}
    assert model.info.metrics["validation"]["f1"] > 0.8


def test_train_folder_says_how_it_splits(make_folder, tmp_path):
    """The log says the split, the hint, the sizes, and a line an epoch."""
    lines = []
    config = TrainConfig(
        **TINY | {"num_epochs": 1}, dataset_path=str(make_folder(3)), output=str(tmp_path / "m")
    )
    train_folder(config, log=lines.append)
    text = "\n".join(lines)
    for words in (
        "only 3 labelled images",
        "sigma 2 px",
        "epoch   1  loss",
    ):
        assert words in text


def test_describe_data_learns_the_range_of_16_bit_images():
    """Deep images are scaled by the range they use, not by what their type could hold."""
    rng = np.random.default_rng(0)
    items = [
        (rng.integers(300, 900, (160, 200)).astype(np.uint16), np.zeros((0, 2)), np.zeros(0, str))
    ] * 2
    info, _ = describe_data(MemoryDataset(items), TrainConfig(gaussian_sigma=2))
    assert 290 <= info.low[0] <= 310
    assert 890 <= info.high[0] <= 910
    assert info.mean[0] == pytest.approx(0.5, abs=0.05)


ROW = {"loss": 0.5, "f1": 0.6, "highest": 0.9, "mean_height": 0.05}


@pytest.mark.parametrize(("change", "words"), [
    ({"highest": 0.03}, "gone to zero: its highest value is 0.03.*weighted_bce"),
    ({"mean_height": 0.8}, "saturated: its mean is 0.80"),
    ({"f1": 0.0}, "stopped learning"),
    ({}, "^$"),
])  # fmt: skip
def test_collapse_alarm_says_what_is_wrong(change, words):
    """Zero, saturated and stuck trainings are told apart in words; a sound one is not disturbed."""
    assert re.search(words, collapse_alarm([ROW | change] * 6, n_steps=100))
    assert collapse_alarm([ROW | change] * 2, n_steps=10) == ""


def test_fit_warns_of_a_collapse(parts, monkeypatch):
    """A training that goes to zero says so when 100 steps have shown it, and not again."""
    lines, config = [], TrainConfig(**TINY | {"num_epochs": 15, "batch_size": 2})
    row = ROW | {"highest": 0.02, "precision": 0, "recall": 0, "mae": 0, "n_true": 0}
    row |= {"val_loss": 1, "val_seconds": 0}
    settings = {"point": {"threshold": 0.3, "min_distance": 2.0}}
    monkeypatch.setattr(loop, "validate", lambda *_args, **_options: (row, settings, {}))
    fit(*parts, config=config, log=lines.append)
    told = [i for i, line in enumerate(lines) if "gone to zero" in line]
    assert [lines[i - 1][:9] for i in told] == ["epoch  13"]  # of 8 steps each
    history = [ROW | {"highest": 0.02}] * 40
    assert "gone to zero" in new_alarm(history[:25], n_steps=4)
    assert "gone to zero" in collapse_alarm(history, n_steps=4)
    assert new_alarm(history, n_steps=4) == ""


def test_missing_device_is_a_sentence(parts):
    """A device that is not there names the way out."""
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(InputError, match="accelerator 'cuda' .* train.accelerator=auto or cpu"):
        fit(*parts, config=TrainConfig(**TINY, accelerator="cuda"), log=quiet)


def test_fit_keeps_what_it_learnt_of_a_custom_model(parts, tmp_path):
    """Your own model's folder holds thresholds and metrics like any other's."""
    (tmp_path / "mine.py").write_text(
        "import torch\n\n\ndef net(*, in_channels, n_classes):\n"
        "    return torch.nn.Conv2d(in_channels, n_classes, 5, padding=2)\n"
    )
    config = TrainConfig(**TINY | {"num_epochs": 1}, model=f"{tmp_path / 'mine.py'}:net")
    fit(*parts, config=config, output=tmp_path / "m", log=quiet)
    info = load_model(tmp_path / "m", trust_code=True).info
    assert set(info.thresholds) == {"point"}
    assert "f1" in info.metrics["validation"]


def test_fit_without_validation_points_goes_by_the_loss(parts):
    """No true point to validate on: said aloud, and the best epoch is that of the lowest loss."""
    image, _, _ = parts[1][0]
    empty = MemoryDataset([(image, np.zeros((0, 2)), np.zeros(0, str))], classes=("point",))
    lines = []
    config = TrainConfig(**TINY | {"num_epochs": 3, "learning_rate": 0.01})
    info = fit(parts[0], empty, config=config, log=lines.append).info
    losses = [row["val_loss"] for row in info.training["history"]]
    assert info.training["best_epoch"] == 1 + int(np.argmin(losses))
    assert "warning: no point in the validation images: its threshold will be the default" in lines
    with pytest.raises(InputError, match="the validation part has no image"):
        fit(parts[0], [], config=config, log=quiet)


def test_fit_refuses_to_move_what_is_no_model(parts, tmp_path):
    """An output folder of something else is not moved aside."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    with pytest.raises(
        InputError, match="contains something that is not a model; name another output"
    ):
        fit(*parts, config=TrainConfig(**TINY), output=tmp_path / "thesis", log=quiet)


def test_fit_starts_anew_when_points_were_edited(parts, tmp_path, monkeypatch):
    """A checkpoint of other points is not gone on from, though the images have the same names."""
    config = TrainConfig(**TINY | {"num_epochs": 2})
    monkeypatch.setattr(loop, "finish", lambda *_: None)
    fit(*parts, config=config, output=tmp_path / "m", log=quiet)
    monkeypatch.undo()
    item = parts[0]._items[0]
    parts[0]._items[0] = item._replace(points=item.points + 1)
    lines = []
    fit(*parts, config=config, output=tmp_path / "m", log=lines.append)
    assert any("has other settings or images: starting again" in line for line in lines)


def test_fit_survives_nan_pixels():
    """A pixel without data is taken as dark; it does not spoil the training."""
    rng = np.random.default_rng(0)
    items = [
        (rng.random((40, 50)).astype(np.float32), np.array([[20.0, 20.0]]), np.array(["point"]))
    ] * 2
    items[0][0][::7, ::5] = np.nan
    data = MemoryDataset(items)
    model = fit(data, data, config=TrainConfig(**TINY | {"num_epochs": 1}), log=quiet)
    assert np.isfinite(model.info.training["history"][0]["loss"])


def test_describe_data_refuses_mixed_depths():
    """8 and 16 bits in one folder are a sentence."""
    items = [(np.zeros((9, 12), kind), np.zeros((0, 2)), np.zeros(0, str)) for kind in ("u1", "u2")]
    with pytest.raises(InputError, match="the images mix uint16 and uint8 pixels"):
        describe_data(MemoryDataset(items), TrainConfig(gaussian_sigma=2))


def test_fit_refuses_density(parts):
    """Density is far below 1 everywhere: a sentence instead of a training that cannot work."""
    with pytest.raises(InputError, match="train.heatmap is density"):
        fit(*parts, config=TrainConfig(**TINY, heatmap="density"), log=quiet)


def test_fit_at_half_the_size_finds_points_of_the_whole(parts):
    """train.scale sees images smaller; points stay in pixels of the image."""
    config = TrainConfig(**TINY | {"num_epochs": 12, "learning_rate": 0.01}, scale=0.5)
    model = fit(*parts, config=config, log=quiet)
    assert model.info.sigma == 2.0
    assert max(row["f1"] for row in model.info.training["history"]) > 0.7


@pytest.fixture
def ticking(monkeypatch):
    """Let a second pass each time the training looks at the clock."""
    seconds = iter(range(100_000))
    monkeypatch.setattr("pointlib.train.loop.time.monotonic", lambda: float(next(seconds)))


@pytest.mark.usefixtures("ticking")
def test_minutes_end_a_training_with_its_rate_at_zero(parts):
    """train.minutes ends a training, and the learning rate falls to nothing by then."""
    config = TrainConfig(**TINY | {"num_epochs": None, "minutes": 0.5})
    history = fit(*parts, config=config, log=quiet).info.training["history"]
    rates = [row["learning_rate"] for row in history]
    assert 2 <= len(history) < 30
    assert max(rates) > 0.2 * config.learning_rate
    assert rates[-1] < 0.02 * config.learning_rate


@pytest.mark.usefixtures("ticking")
def test_minutes_go_on_where_they_were(parts, tmp_path):
    """A resumed training has only the time left that the first one had not used."""
    config = TrainConfig(**TINY | {"num_epochs": None, "minutes": 1})

    def stop(epoch, _model):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(*parts, config=config, output=tmp_path / "m", log=quiet, on_epoch=stop)
    setup = prepare(*parts, config, output=tmp_path / "m")
    before = progress(setup, State(), 0)
    state = resume(setup, quiet)
    assert progress(setup, state, state.epoch) > before + 0.2


def test_no_limit_is_ten_minutes(parts):
    """With neither epochs nor minutes a training takes 10 minutes; with epochs, no limit."""
    assert prepare(*parts, TrainConfig(**TINY | {"num_epochs": None})).minutes == 10
    assert prepare(*parts, TrainConfig(**TINY)).minutes is None


@pytest.mark.parametrize(("radius", "scale"), [(6, 1.0), (10, 1.0), (16, 0.312), (80, 0.1)])
def test_large_objects_are_seen_smaller(radius, scale):
    """The scale follows the match radius where it is large, and is 1 where it is not."""
    points = np.stack(np.meshgrid(np.arange(3.0), np.arange(2.0)), -1).reshape(-1, 2) * 250
    item = (np.zeros((300, 600), np.uint8), points, np.array(["point"] * 6))
    info, _ = describe_data(MemoryDataset([item]), TrainConfig(radius=radius))
    assert (info.sigma, info.scale) == (radius / 2, scale)


def two_classes(distance):
    """Return a dataset of 120 pairs of a and b, `distance` px from each other."""
    first = np.stack(np.meshgrid(np.arange(20, 320, 25), np.arange(20, 220, 20)), -1).reshape(-1, 2)
    points = np.vstack([first, first + [distance, 0]]).astype(float)
    labels = np.repeat(["a", "b"], len(first))
    return MemoryDataset([(np.zeros((240, 340), np.uint8), points, labels)])


@pytest.mark.parametrize(
    ("distance", "told", "expected"),
    [(8, "auto", True), (1, "auto", False), (1, True, True), (8, False, False)],
)
def test_classes_exclude_each_other_where_points_never_share_a_place(distance, told, expected):
    """Points of two classes on each other tell that an object may have two; the key overrides."""
    config = TrainConfig(radius=6, exclusive=told)
    assert describe_data(two_classes(distance), config)[0].exclusive is expected


def test_a_slip_or_one_class_does_not_decide():
    """One point in a hundred may lie on another class; one class has nothing to exclude."""
    image, points, labels = two_classes(8)[0]
    points[0] = points[60]
    slip = MemoryDataset([(image, points, np.where(np.arange(240) == 0, "b", labels))])
    assert describe_data(slip, TrainConfig(radius=6))[0].exclusive
    alone = MemoryDataset([(image, points, np.full(240, "a"))])
    assert not describe_data(alone, TrainConfig(radius=6, exclusive=True))[0].exclusive


def test_exclusive_classes_are_said_stored_and_share_a_threshold(make_folder, tmp_path):
    """A line of the log, a key of pointlib.json that comes back, one setting for all classes."""
    folder, lines = make_folder(6, labels=("a", "b")), []
    config = TrainConfig(dataset_path=str(folder), output=str(tmp_path / "m"), **TINY)
    model = train_folder(config, log=lines.append)
    assert any(line.startswith("classes exclude each other") for line in lines)
    assert load_model(tmp_path / "m").info.exclusive
    assert len(set(model.info.thresholds.values())) == 1
    assert len(set(model.info.min_distances.values())) == 1
    found, _, _ = predict_points(model, read_image(folder / "dots_0.png"), threshold=0.05)
    assert len(np.unique(found.round(1), axis=0)) == len(found)


def test_a_training_without_radius_takes_half_the_size_of_the_objects(parts):
    """Blobs of sigma 2 look like discs of 3 to 7 px; the log says so; a radius given says nothing."""
    config = TrainConfig(**TINY | {"num_epochs": 1, "gaussian_sigma": "auto"})
    lines = []
    model = fit(*parts, config=config, log=lines.append)
    (said,) = [line for line in lines if line.startswith("objects look")]
    assert re.search(r"about [3-7] px wide: match radius [1-4][.\d]* px; set train.radius", said)
    assert 1.5 <= model.info.radius <= 3.5
    lines.clear()
    fit(*parts, config=config.model_copy(update={"radius": 4.0}), log=lines.append)
    assert not any("objects look" in line for line in lines)


def test_the_size_needs_no_point_in_every_image(parts):
    """Clicks in one image of thirty are enough; clicks in none that is looked at are no error."""
    empty, blob = (np.zeros((0, 2)), np.zeros(0, str)), parts[0][0]
    items = [(blob[0], *empty)] * 29
    info, words = describe_data(MemoryDataset([*items[:7], blob, *items[7:]]), TrainConfig())
    assert "px wide: match radius" in words
    nothing = MemoryDataset(items, classes=("point",))
    assert (describe_data(nothing, TrainConfig())[0].radius, info.radius < 4) == (6, True)


def test_radius_or_diameter_one_for_all_or_each_class():
    """A diameter is twice a radius; classes may have their own; sigma is that of most points."""
    data = two_classes(8)
    wide = describe_data(data, TrainConfig(diameter=9))[0]
    assert (wide.radius, wide.sigma) == (4.5, 2.2)
    each = describe_data(data, TrainConfig(radius={"a": 4, "b": 7}))[0]
    assert each.radius == {"a": 4.0, "b": 7.0}
    assert describe_data(data, TrainConfig(diameter={"a": 8, "b": 14}))[0].radius == each.radius
    assert describe_data(data, TrainConfig(gaussian_sigma=3, radius=4))[0].radius == 4
    for wrong, words in (
        ({"radius": 4, "diameter": 8}, "train.radius and train.diameter are both set"),
        ({"radius": {"a": 4}}, "radius names \\['a'\\], but not 'b'"),
        ({"radius": {"a": 4, "c": 4}}, "a radius is given for 'c'. Known: a, b"),
    ):
        with pytest.raises(InputError, match=words):
            describe_data(data, TrainConfig(**wrong))


def test_a_radius_of_each_class_is_stored_and_used(make_folder, tmp_path):
    """It comes back from the model folder, scores the validation and is what evaluate names."""
    folder = make_folder(6, labels=("a", "b"))
    radius = {"a": 2.0, "b": 5.0}
    config = TrainConfig(
        dataset_path=str(folder), output=str(tmp_path / "m"), radius=radius, **TINY
    )
    lines = []
    train_folder(config, log=lines.append)
    assert any("match radius a 2, b 5 px" in line for line in lines)
    model = load_model(tmp_path / "m")
    assert model.info.radius == radius
    val = load_splits(folder, seed=config.seed)[1]
    metrics = evaluate(model, val)
    assert metrics["radius"] == radius
    assert metrics["pooled"]["f1"] == pytest.approx(model.info.metrics["validation"]["f1"])


def test_small_scales_have_longer_epochs():
    """Images seen at half their size give half as many crops an epoch, not a quarter."""
    item = (np.zeros((128, 256), np.uint8), np.zeros((0, 2)), np.zeros(0, str))
    dataset, info = MemoryDataset([item] * 4), ModelInfo(n_channels=1)
    whole, half = (TrainingCrops(part, info, size=32) for part in (dataset, Shrunk(dataset, 0.5)))
    assert (len(whole), len(half)) == (4 * 32, 4 * 16)


def test_fit_trains_in_half_precision_where_it_is_told(parts):
    """train.precision=bf16 gives other weights, of the same kind, and still learns."""
    config = TrainConfig(**TINY | {"num_epochs": 6, "learning_rate": 0.01})
    full, half = (
        fit(*parts, config=config.model_copy(update={"precision": kind}), log=quiet)
        for kind in ("32", "bf16")
    )
    assert not torch.equal(weights_of(full), weights_of(half))
    assert {v.dtype for v in half.network.parameters()} == {torch.float32}
    history = half.info.training["history"]
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]


def test_large_sets_have_short_epochs():
    """An epoch shows 2,000 crops at most, of other images each time."""
    item = (np.zeros((64, 96), np.uint8), np.zeros((0, 2)), np.zeros(0, str))
    crops = TrainingCrops(MemoryDataset([item] * 900), ModelInfo(n_channels=1), size=32)
    assert len(crops) == 2_000
    first = crops._order()
    crops.epoch = 1
    assert not np.array_equal(first, crops._order())


def test_many_validation_images_are_looked_at_in_part(parts, monkeypatch):
    """After an epoch some of many validation images count; at the end more of them choose."""
    train, val = parts
    many = MemoryDataset([val[0]] * 30)
    pixels = np.prod(val[0][0].shape[:2])
    monkeypatch.setattr("pointlib.train.prepare.VALIDATED", 2.4 * pixels)
    seen = []
    whole = loop.validate

    def note(model, part, **options):
        seen.append(len(part))
        return whole(model, part, **options)

    monkeypatch.setattr(loop, "validate", note)
    model = fit(train, many, config=TrainConfig(**TINY), log=quiet)
    assert seen == [3] * TINY["num_epochs"] + [24]
    assert set(model.info.metrics["validation"]) == {"f1", "precision", "recall", "mae"}


def test_images_beyond_memory_are_read_seldom(monkeypatch):
    """Where the images do not fit into memory, each one read gives many crops."""
    monkeypatch.setattr("pointlib.train.crops.KEPT_BYTES", 1000)
    item = (np.zeros((64, 96, 1), np.uint8), np.zeros((0, 2)), np.zeros(0, str))

    class Counted:
        n_read = 0

        def __len__(self):
            return 300

        def __getitem__(self, index):
            self.n_read += 1
            return item

    dataset = Counted()
    crops = TrainingCrops(dataset, ModelInfo(n_channels=1, mean=(0.5,), std=(1.0,)), size=32)
    dataset.n_read = 0
    order = crops._order()
    assert (len(order), len(crops), len(set(order.tolist()))) == (1800, 1800, 72)
    assert len(set(order[:8].tolist())) > 3
    for index in range(64):
        crops[index]
    assert dataset.n_read <= 16
