"""Compare: tiny trainings, stopped, gone on with, failing and extended."""

import csv
import json
import os
import re
import sys
from functools import partial

import numpy as np
import pytest
import torch
from conftest import blobs

from pointlib.cli import main
from pointlib.comparison import combinations as module
from pointlib.comparison.combinations import check_axes, compare, compare_folder
from pointlib.config import TrainConfig
from pointlib.dataset import MemoryDataset
from pointlib.errors import InputError
from pointlib.losses import mse
from pointlib.thresholds import find_peaks
from pointlib.train import loop

TINY = {"num_epochs": 1, "batch_size": 4, "crop_size": 32, "gaussian_sigma": 2.0, "threads": 1}
CONFIG = TrainConfig(**TINY)
LOSSES = {"loss": ["weighted_bce", "mse"]}


def part_of(seeds):
    """Return a dataset of blobs."""
    return MemoryDataset([(*blobs((48, 64), seed=seed), np.full(5, "point")) for seed in seeds])


@pytest.fixture(scope="module")
def parts():
    """Return training, validation and test images."""
    return {"train": part_of(range(4)), "val": part_of([4]), "test": part_of(range(5, 10))}


@pytest.fixture
def trained(monkeypatch):
    """Return a list that gets the loss of each training that is started."""
    losses, fit = [], module.fit
    monkeypatch.setattr(
        module,
        "fit",
        lambda *a, config, **kw: losses.append(config.loss) or fit(*a, config=config, **kw),
    )
    return losses


@pytest.fixture
def own(monkeypatch):
    """Return a module for functions that are named `own_parts:NAME`."""
    monkeypatch.setitem(sys.modules, "own_parts", type(sys)("own_parts"))
    return sys.modules["own_parts"]


def quiet(_line):
    """Say nothing."""


def values(rows, *axes):
    """Return what rows stand for, best first."""
    return [tuple(row["what"][axis] for axis in axes) for row in rows]


def snapshot(folder):
    """Return the bytes of all files of a folder."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_compare_ranks_a_network_that_learns_above_one_that_cannot(parts, tmp_path):
    """The leaderboard is sorted by F1 on the validation images, as table, csv and picture."""
    config = CONFIG.model_copy(update={"num_epochs": 4, "crop_size": 48, "radius": 4.0})
    axes, lines = {"learning_rate": [1e-8, 0.01]}, []
    rows = compare(parts, axes, config=config, output=tmp_path, log=lines.append)
    assert values(rows, "learning_rate") == [(0.01,), (1e-8,)]
    assert [row["label"] for row in rows] == ["0.01", "1e-08"]
    assert rows[0]["f1"] > rows[1]["f1"]
    title = "5 points in 1 validation image and 25 points in 5 test images, match radius 4 px, "
    assert f"{title}seed 0, 4 epochs each" in lines[-2]
    assert lines[-1].endswith(str(rows[0]["folder"] / "model"))
    with open(tmp_path / "leaderboard.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["learning_rate"] for row in table] == ["0.01", "1e-08"]
    assert float(table[0]["f1"]) == pytest.approx(rows[0]["f1"], abs=1e-5)
    assert (tmp_path / "leaderboard.png").read_bytes().startswith(b"\x89PNG")


def test_compare_does_nothing_twice(parts, tmp_path, trained):
    """Finished combinations are not trained again, files stay the same; a new value adds its own only."""
    for _ in range(2):
        compare(parts, LOSSES, config=CONFIG, output=tmp_path, log=quiet)
        assert trained == ["weighted_bce", "mse"]
    before = snapshot(tmp_path)
    compare(parts, LOSSES, config=CONFIG, output=tmp_path, log=quiet)
    assert snapshot(tmp_path) == before
    more = {"loss": [*LOSSES["loss"], "focal"]}
    rows = compare(parts, more, config=CONFIG, output=tmp_path, log=quiet)
    assert trained == ["weighted_bce", "mse", "focal"]
    assert len(rows) == 3
    assert (tmp_path / "leaderboard.csv.bak").read_bytes() == before[
        (tmp_path / "leaderboard.csv").relative_to(tmp_path)
    ]


def test_compare_trains_once_for_all_thresholds(parts, tmp_path, trained, own):
    """Thresholding functions share a training, a later one too."""
    axes = {"loss": ["mse"], "threshold": ["find_peaks", "basic_threshold"]}
    rows = compare(parts, axes, config=CONFIG, output=tmp_path, log=quiet)
    assert len({row["folder"] for row in rows}) == 1
    own.mine = lambda heatmap, *, threshold, min_distance: find_peaks(heatmap, threshold=0.3)
    axes["threshold"].append("own_parts:mine")
    rows = compare(parts, axes, config=CONFIG, output=tmp_path, log=quiet)
    assert len(rows) == 3
    assert trained == ["mse"]


def test_compare_takes_other_settings_and_points_for_another_trial(parts, tmp_path, trained):
    """A finished combination of other epochs or other points counts for nothing here."""
    axes = {"loss": ["mse"], "threshold": ["find_peaks", "basic_threshold"]}
    compare(parts, axes, config=CONFIG, output=tmp_path, log=quiet)
    longer = CONFIG.model_copy(update={"num_epochs": 2})
    compare(parts, axes, config=longer, output=tmp_path, log=quiet)
    edited = MemoryDataset(
        [(image, points + 1, labels) for image, points, labels in parts["train"].items]
    )
    compare(parts | {"train": edited}, axes, config=CONFIG, output=tmp_path, log=quiet)
    assert trained == ["mse"] * 3
    assert len(list((tmp_path / "trials").iterdir())) == 3


def test_compare_scores_anew_on_other_test_images(parts, tmp_path, trained):
    """Other test images need no training, but other numbers, and choose nothing."""
    axes = {"loss": ["mse"], "threshold": ["find_peaks", "basic_threshold"]}
    untested = {k: parts[k] for k in ("train", "val")}
    rows = [
        compare(some, axes, config=CONFIG, output=tmp_path, log=quiet)
        for some in (parts, parts | {"test": part_of([20, 21])}, untested)
    ]
    assert [len(best["test_counts"] or ()) for best, _ in rows] == [5, 2, 0]
    assert rows[0][0]["counts"] == rows[1][0]["counts"] == rows[2][0]["counts"]
    assert values(rows[0], "threshold") == values(rows[1], "threshold")
    assert trained == ["mse"]


def test_compare_goes_on_where_it_was_stopped(parts, tmp_path, monkeypatch, trained):
    """Ctrl+C in an epoch keeps what is done, says how to go on, and the rest follows."""
    config = CONFIG.model_copy(update={"num_epochs": 2})
    train_epoch = loop.train_epoch

    def stop(setup, state):
        if (setup.config.loss, state.epoch) == ("mse", 1):
            raise KeyboardInterrupt
        return train_epoch(setup, state)

    lines = []
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            compare(parts, LOSSES, config=config, output=tmp_path, log=lines.append)
    assert lines[-1] == "stopped in combination 2 of 2. The same command resumes there."
    assert "1  weighted_bce" in lines[-2]
    compare(parts, LOSSES, config=config, output=tmp_path, log=lines.append)
    assert trained == ["weighted_bce", "mse", "mse"]
    assert "    resuming after epoch 1" in lines


def test_compare_goes_on_past_a_failing_loss(parts, tmp_path, trained, own):
    """NaN and an exception become rows with a sentence, are tried again, and mended count."""
    own.nan = lambda logits, target: mse(logits, target) * (torch.nan if len(logits) > 2 else 1)
    own.broken = lambda logits, target: (
        mse(logits, target) + 1 / (len(logits) < 3)
    )  # at first, well
    axes = {"loss": ["own_parts:nan", "own_parts:broken", "mse"]}
    rows = compare(parts, axes, config=CONFIG, output=tmp_path, log=quiet)
    assert values(rows, "loss")[0] == ("mse",)
    assert "the loss became nan in epoch 1" in rows[1]["failed"]
    assert rows[2]["failed"].endswith("ZeroDivisionError: division by zero. Fix this code.")
    own.nan = mse
    rows = compare(parts, axes, config=CONFIG, output=tmp_path, log=quiet)
    assert [bool(row["failed"]) for row in rows] == [False, False, True]
    assert trained == [*axes["loss"], *axes["loss"][:2]]


def test_compare_goes_on_past_a_failing_threshold(parts, tmp_path, own):
    """A thresholding function that raises costs its own rows only; none left is an error."""
    own.broken = lambda heatmap, **settings: (
        find_peaks(heatmap, **settings) + (1 / (len(heatmap) < 40),)[1:]
    )
    axes = {"loss": ["mse"], "threshold": ["own_parts:broken", "find_peaks"]}
    rows = compare(parts, axes, config=CONFIG, output=tmp_path, log=quiet)
    assert values(rows, "threshold") == [("find_peaks",), ("own_parts:broken",)]
    axes = {**LOSSES, "threshold": ["own_parts:broken"]}
    with pytest.raises(
        InputError, match="every combination failed; the first one: .*ZeroDivisionError"
    ):
        compare(parts, axes, config=CONFIG, output=tmp_path, log=quiet)


@pytest.mark.parametrize(("axes", "words"), [
    ({"loss": ["mse", "mes"]}, "loss 'mes': Did you mean 'mse'"),
    ({"heatmap": ["gaussian_max", "density"]}, "heatmap is density"),
    ({"encoder": ["mobilenet_v2", "resnet19"]}, "resnet19"),
    ({"model": ["none.py:net", "none.py:other"]}, "none.py"),
    ({"threshold": ["find_peaks", "find_peeks"]}, "threshold 'find_peeks': Did you mean 'find_peaks'"),
    ({"learning_rate": [0.1, -1]}, "learning_rate is -1"),
    ({"losses": ["mse"]}, "combinations cannot differ in 'losses'. Did you mean 'loss'"),
    ({"seed": [1, 2]}, "combinations cannot differ in 'seed'"),
    ({"loss": "mse"}, "expected a list of one or more values"),
    ({"loss": ["mse", "mse"]}, "one combination cannot be compared"),
])  # fmt: skip
def test_compare_finds_what_is_wrong_before_it_trains(parts, tmp_path, trained, axes, words):
    """A wrong name, a density and a value out of range are found before the first training."""
    with pytest.raises(InputError, match=words):
        compare(parts, axes, config=CONFIG, output=tmp_path, log=quiet)
    assert trained == []


def test_compare_tries_own_thresholds_first(parts, tmp_path, trained, own):
    """A thresholding function that returns no points and scores costs no training."""
    own.bad = lambda heatmap, *, threshold, min_distance: (np.zeros(3), np.zeros(3))
    axes = {**LOSSES, "threshold": ["own_parts:bad"]}
    with pytest.raises(InputError, match="expected threshold_fn"):
        compare(parts, axes, config=CONFIG, output=tmp_path, log=quiet)
    own.bad = lambda heatmap: heatmap
    with pytest.raises(InputError, match="expected threshold_fn.*unexpected keyword"):
        compare(parts, axes, config=CONFIG, output=tmp_path, log=quiet)
    assert trained == []


def test_compare_refuses_parts_that_cannot_score(parts, tmp_path):
    """An empty part, one of unknown classes and one without a point are sentences."""
    image, points, _ = parts["val"][0]
    for name, part, words in (
        ("train", [], "the train part has no image"),
        ("val", [], "the val part has no image"),
        ("val", MemoryDataset([(image, points[:0], np.zeros(0, str))]), "val part has no point"),
        ("test", MemoryDataset([(image, points, np.full(5, "dog"))]), "class 'dog'"),
        (
            "test",
            MemoryDataset([(image, points[:0], points[:0, 0].astype(str))]),
            "test part has no point",
        ),
    ):
        with pytest.raises(InputError, match=words):
            compare(parts | {name: part}, LOSSES, config=CONFIG, output=tmp_path, log=quiet)


def test_compare_matches_at_one_radius(parts, tmp_path):
    """Another sigma is another drawing, not an easier match."""
    axes, lines = {"gaussian_sigma": [1.5, 3.0]}, []
    compare(parts, axes, config=CONFIG, output=tmp_path, log=lines.append)
    said = [radius for line in lines for radius in re.findall(r"match radius [\d.]+ px", line)]
    assert (len(said), len(set(said))) == (3, 1)


def test_compare_refuses_a_second_run_into_one_output(parts, tmp_path, trained):
    """It is told who is there; after the first one's end, and after an error, it may."""
    refused = []

    def come_second(line):
        if line.startswith("[2/2]"):
            with pytest.raises(InputError, match=r"\(process \d+\) compares into .*another output"):
                compare(parts, LOSSES, config=CONFIG, output=tmp_path, log=quiet)
            refused.append(line)

    compare(parts, LOSSES, config=CONFIG, output=tmp_path, log=come_second)
    assert len(refused) == 1
    compare(parts, LOSSES, config=CONFIG, output=tmp_path, log=quiet)
    assert trained == LOSSES["loss"]


def test_compare_ends_where_another_took_its_lock(parts, tmp_path, trained):
    """A run that was suspended until another took over does not go on beside it."""
    lock = tmp_path / "trials" / "lock"

    def lose(line):
        if line.startswith("[1/2]"):
            lock.write_text("{}")

    with pytest.raises(InputError, match="took this folder over"):
        compare(parts, LOSSES, config=CONFIG, output=tmp_path, log=lose)
    assert trained == LOSSES["loss"][:1]
    assert lock.read_text() == "{}"


def test_compare_takes_two_spellings_of_a_number_for_one(parts, tmp_path):
    """0.1 and "0.10" are one combination, which has no rival."""
    with pytest.raises(InputError, match="one combination cannot be compared"):
        compare(parts, {"learning_rate": [0.1, "0.10"]}, config=CONFIG, output=tmp_path, log=quiet)


def test_own_files_are_compared_by_what_is_in_them(parts, tmp_path, trained):
    """An own model stands beside encoders; an own loss that was edited is trained again."""
    (tmp_path / "net.py").write_text(
        "import torch\n\n\ndef net(*, in_channels, n_classes):\n"
        "    return torch.nn.Conv2d(in_channels, n_classes, 5, padding=2)\n"
    )
    path = tmp_path / "own_loss.py"
    axes = {
        "encoder": ["mobilenet_v2"],
        "model": [f"{tmp_path / 'net.py'}:net"],
        "loss": [f"{path}:f"],
    }
    for factor in (1, 2, 2):
        path.write_text(
            f"def f(logits, target):\n    return {factor} * (logits - target).abs().mean()\n"
        )
        os.utime(path, (factor, factor))  # Python takes a file of the same age for the same
        rows = compare(parts, axes, config=CONFIG, output=tmp_path / "out", log=quiet)
    assert len(trained) == 4
    assert sorted(value.rpartition("/")[2] for (value,) in values(rows, "network")) == [
        "mobilenet_v2",
        "net.py:net",
    ]


def test_check_axes_names_functions():
    """A function itself stands for its name, a built-in's the short one; a value twice for one."""
    axes = {"loss": [mse, "focal", "mse", quiet_mse], "threshold": [find_peaks, "find_peaks"]}
    own = f"{__name__}:quiet_mse"
    assert check_axes(axes) == {"loss": ["mse", "focal", own], "threshold": ["find_peaks"]}


def quiet_mse(logits, target):
    """Return mse under another name."""
    return mse(logits, target)


@pytest.mark.parametrize("function", [lambda a, b: a, partial(mse)])
def test_check_axes_refuses_what_no_name_finds(function):
    """A lambda and a partial would not be found again, nor told from another one."""
    with pytest.raises(InputError, match="cannot be found by name; define it with def"):
        check_axes({"loss": [function]})


def test_command_compares_a_folder(make_folder, tmp_path, capsys):
    """Lists, repeated options and other settings become axes; test.txt is what is scored."""
    folder = make_folder(6)
    for part, numbers in {"train": (0, 1, 2), "val": (3,), "test": (4, 5)}.items():
        (folder / f"{part}.txt").write_text("".join(f"dots_{i}.png\n" for i in numbers))
    settings = [f"train.{key}={value}" for key, value in TINY.items()]
    options = [word for setting in settings for word in ("--set", setting)]
    options += ["--set", f"train.dataset_path={folder}", "--output", str(tmp_path / "out")]
    axes = [
        "--loss",
        "mse,focal",
        "--threshold",
        "find_peaks",
        "--vary",
        "learning_rate=0.001,0.01",
    ]
    assert main(["compare", *options, *axes]) == 0
    out = capsys.readouterr().out
    assert "[4/4] focal, gaussian_max, tu-tf_efficientnet_lite0, 0.01" in out
    assert "10 points in 2 test images" in out
    assert "find_peaks; point: threshold" in out
    assert "each" in out
    axes = ["--vary", "batch_size=4", "--vary", "batch_size=8, 4", "--threshold", "5"]
    assert main(["compare", *options, *axes]) == 2
    assert "threshold '5': Known" in capsys.readouterr().err
    assert main(["compare", *options, "--loss", "mse,fokal"]) == 2
    assert "Did you mean 'focal'" in capsys.readouterr().err


def test_command_reads_values_as_set_does(monkeypatch):
    """Values of one axis add up and are JSON where they can be; minutes take the epochs' place."""
    calls = []
    monkeypatch.setattr(module, "compare_folder", lambda *call, **_: calls.append(call))
    words = [
        "--loss",
        "mse",
        "--loss",
        "focal",
        "--vary",
        "patience=4",
        "--vary",
        "patience=8,null",
    ]
    for more in ([], ["--set", "train.num_epochs=2"]):
        assert main(["compare", *words, "--minutes", "3", "--set", "train.patience=7", *more]) == 0
    assert [(config.minutes, config.num_epochs) for config, _ in calls] == [(3, None), (3, 2)]
    axes = {"loss": ["mse", "focal"], "patience": [4, 8, None], "threshold": ["find_peaks"]}
    assert calls[0][1] == axes


def test_compare_folder_takes_the_text_of_an_image_for_no_list(make_folder, monkeypatch):
    """An image called test.png has its points in test.txt."""
    folder = make_folder(6)
    for suffix in ("png", "txt"):
        (folder / f"dots_5.{suffix}").rename(folder / f"test.{suffix}")
    monkeypatch.setattr(module, "compare", lambda parts, *_, **__: parts)
    parts = compare_folder(TrainConfig(dataset_path=str(folder)), LOSSES, log=quiet)
    assert sorted(parts) == ["train", "val"]
    assert sum(map(len, parts.values())) == 6


def test_compare_folder_needs_a_folder():
    """Without a dataset there is a sentence."""
    with pytest.raises(InputError, match="train.dataset_path is not set"):
        compare_folder(TrainConfig(), LOSSES)


def test_compare_runs_no_code_that_lies_in_a_trial(parts, tmp_path):
    """A combination's folder may come from a stranger: only the file that the configuration names runs."""
    compare(parts, {"loss": ["mse", "focal"]}, config=CONFIG, output=tmp_path, log=quiet)
    for folder in (tmp_path / "trials").glob("*-*"):
        described = folder / "model" / "pointlib.json"
        data = json.loads(described.read_text()) | {"custom": "custom_model.py:f"}
        described.write_text(json.dumps(data))
        (folder / "model" / "custom_model.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        for scores in folder.glob("find_peaks-*.json"):
            scores.unlink()
    with pytest.raises(InputError, match=r"every combination failed.*is code of its own"):
        compare(parts, {"loss": ["mse", "focal"]}, config=CONFIG, output=tmp_path, log=quiet)
    assert not (tmp_path / "ran").exists()
