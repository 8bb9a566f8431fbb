"""The command line: from a folder to points and a report, and sentences where something is wrong."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.colors import to_rgb

from pointlib import __version__
from pointlib.cli import main
from pointlib.images import read_image
from pointlib.plots import CLASS_COLORS

NINE = {
    "train": {
        "dataset_path": "dots",
        "num_epochs": 1,
        "learning_rate": 0.01,
        "batch_size": 4,
        "val_split": 0.25,
        "num_channels": 1,
        "gaussian_sigma": 2.0,
    },
    "infer": {"image_path": "dots"},
    "annotate": {"dataset_path": "dots"},
}


@pytest.fixture
def config(make_folder, tmp_path):
    """Return a config.json of the nine keys beside a folder of blobs."""
    make_folder(6)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(NINE))
    return path


def test_overlays_show_a_class_alike_whichever_others_were_found(tmp_path):
    """Weeds without seedlings keep the colour of the model's second class, and its name."""
    data, picture = Path(__file__).parents[1] / "data/field", "field_022.png"
    shutil.copytree(data / "model", tmp_path / "model")
    path = tmp_path / "model" / "pointlib.json"
    info = json.loads(path.read_text())
    info["thresholds"] |= {"seedling": 1.0}  # which none reaches
    path.write_text(json.dumps(info))
    names = {"image_path": str(data / "images" / picture), "model": "model"}
    (tmp_path / "config.json").write_text(json.dumps({"infer": names}))
    assert main(["predict", str(tmp_path / "config.json"), "--overlays"]) == 0
    overlay = read_image(tmp_path / "predictions" / "overlays" / picture)
    colours = set(map(tuple, overlay.reshape(-1, 3).tolist()))
    first, second = (to_rgb(colour) for colour in CLASS_COLORS[:2])
    assert tuple(round(255 * part) for part in second) in colours
    assert tuple(round(255 * part) for part in first) not in colours


def test_nine_keys_train_predict_and_evaluate(config, tmp_path, capsys):
    """The origin's nine keys alone go from a folder to a model, points, counts and a report."""
    assert main(["train", str(config), "--set", "train.crop_size=32"]) == 0
    assert main(["predict", str(config), "--text", "--overlays"]) == 0
    out = tmp_path / "predictions"
    with open(out / "counts.csv", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["ok"] * 6
    assert (
        len(list((out / "text").glob("*.txt"))) == len(list((out / "overlays").glob("*.png"))) == 6
    )
    arguments = [
        str(tmp_path / "model"),
        str(tmp_path / "dots"),
        "--output",
        str(tmp_path / "eval"),
    ]
    assert main(["evaluate", *arguments]) == 0
    assert "precision" in capsys.readouterr().out
    assert (tmp_path / "eval" / "report.html").exists()
    both = [str(out / "text"), str(tmp_path / "dots"), "--radius", "4"]
    assert main(["evaluate", *both, "--output", str(tmp_path / "eval2")]) == 0


@pytest.mark.parametrize(
    "module", ["pointlib", "pointlib.train", "pointlib.predict", "pointlib.annotate"]
)
def test_modules_run_with_m(module):
    """Python -m works for the package and for the commands of config.json, and prints help."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Usage" in done.stdout


@pytest.mark.parametrize(("arguments", "words"), [
    (["train", "no.json"], "config file no.json does not exist"),
    (["train", "--set", "train.num_epoch=3"], "unknown key 'train.num_epoch'. Did you mean 'num_epochs'"),
    (["train"], "train.dataset_path is not set"),
    (["predict"], "infer.image_path is not set"),
    (["annotate"], "no folder to annotate: name one"),
    (["annotate", "photoz"], "dataset folder photoz does not exist"),
    (["annotate", "a", "b"], "one folder at a time; got also b"),
    (["predict", "--set", "infer.image_path=x.png"], "model folder .*model does not exist"),
    (["evaluate", ".", "true"], "give --radius"),
    (["evaluate", "modle", "true"], "folder of a model or of points modle does not exist"),
    (["tran"], "No such command 'tran'"),
    (["train", "--fast"], "No such option"),
])  # fmt: skip
def test_what_is_wrong_is_a_sentence(arguments, words, tmp_path, monkeypatch, capsys):
    """What the user got wrong is exit status 2 and a sentence on stderr, no traceback."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert re.search(words, error)
    assert "Traceback" not in error


def test_version_is_printed(capsys):
    """`pointlib version` prints the package's version."""
    assert main(["version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_ctrl_c_is_quiet(monkeypatch, capsys, config):
    """Stopping by hand says so, without a traceback."""

    def stop(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("pointlib.train.loop.train_folder", stop)
    assert main(["train", str(config)]) == 130
    assert capsys.readouterr().err == "pointlib: stopped\n"


def test_help_comes_without_torch():
    """The command line answers without importing torch."""
    code = "import sys, pointlib.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ).returncode == 0


def test_evaluate_leaves_out_what_was_trained_on(config, tmp_path, capsys):
    """Without --list a model is scored on images it has not learnt from."""
    assert main(["train", str(config), "--set", "train.crop_size=32"]) == 0
    arguments = [str(tmp_path / "model"), str(tmp_path / "dots"), "--output", str(tmp_path / "e")]
    assert main(["evaluate", *arguments]) == 0
    assert "4 images the model was trained on are left out" in capsys.readouterr().out
    assert json.loads((tmp_path / "e" / "metrics.json").read_text())["n_images"] == 2


@pytest.fixture
def launched(monkeypatch):
    """Return what `annotate` launched: the notebook's code and the options; nothing starts."""
    found = {}

    def launch(notebook, **options):
        cells = json.loads(notebook.read_text())["cells"]
        found.update(options, code=cells[1]["source"])

    monkeypatch.setattr("pointlib.annotate.launch.launch", launch)
    return found


def test_annotate_takes_a_folder_or_a_config(config, tmp_path, launched, capsys):
    """A folder and a config.json come to the same notebook; options win over the config."""
    assert main(["annotate", str(config)]) == 0
    assert launched.pop("code").endswith(f"Annotator({str(tmp_path / 'dots')!r})")
    assert launched == {"port": None, "browser": True, "options": ()}
    assert "annotate.ipynb opens in JupyterLab" in capsys.readouterr().out
    config.write_text(json.dumps({"annotate": NINE["annotate"] | {"classes": ["c"]}}))
    main(["annotate", str(config)])
    assert "classes=('c',)" in launched["code"]
    main(["annotate", str(config), "--classes", "a, b", "--no-browser", "--port", "9"])
    assert "classes=('a', 'b')" in launched["code"]
    main(["annotate", str(tmp_path / "dots"), "--", "--ip=0.0.0.0"])
    assert launched["code"].endswith(f"Annotator({str(tmp_path / 'dots')!r})")
    assert launched["options"] == ["--ip=0.0.0.0"]


EVIL = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
from pointlib.heatmaps import gaussian_max as heatmap
from pointlib.losses import mse as loss
from pointlib.thresholds import find_peaks as find
from pointlib.model.network import build_network

def model(*, in_channels, n_classes):
    return build_network(in_channels, n_classes)
"""


@pytest.fixture
def evil(make_folder, tmp_path, monkeypatch):
    """Go into a folder whose config.json names code; return a function that writes that file."""
    make_folder(6)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL)
    base = {"dataset_path": "dots", "num_epochs": 1, "crop_size": 32, "batch_size": 4}
    base |= {"gaussian_sigma": 2.0, "threads": 1}

    def write(**named):
        train = {key: value for key, value in named.items() if key != "thresholding"}
        infer = {"image_path": "dots", "model": "trained"}
        infer |= {key: value for key, value in named.items() if key == "thresholding"}
        (tmp_path / "config.json").write_text(json.dumps({"train": base | train, "infer": infer}))
        return tmp_path / "ran"

    return write


@pytest.mark.parametrize("key", ["heatmap", "loss", "model"])
def test_train_runs_no_code_of_a_config_that_nobody_named(evil, key, capsys):
    """A config.json found in the folder asks for --trust-code; whose code it is stands there."""
    ran = evil(**{key: f"evil.py:{key}"})
    for command in (["train"], ["compare", "--encoder", "mobilenet_v2,resnet18:3"]):
        if (command[0], key) == ("compare", "model"):
            continue  # the encoders stand in its place
        assert main(command) == 2
        words = capsys.readouterr().err
        assert re.search(
            rf"config\.json .*code of its own, .*evil\.py:{key} \(train\.{key}\)", words
        )
        assert "--trust-code" in words
    assert main(["predict", "--set", "infer.model=nowhere"]) == 2  # it is none of predict's keys
    assert "code of its own" not in capsys.readouterr().err
    assert not ran.exists()


@pytest.mark.parametrize(
    "trust", [["--trust-code"], ["config.json"], ["--set=train.loss=evil.py:loss"]]
)
def test_train_runs_code_that_somebody_named_and_says_so(evil, trust, capsys, tmp_path):
    """By --trust-code, by the file's name, or by the code's own name on the command line."""
    ran = evil(loss="mse" if "=" in trust[0] else "evil.py:loss")
    assert main(["train", *trust]) == 0
    assert f"runs {tmp_path / 'evil.py'}:loss (train.loss)" in capsys.readouterr().out
    assert ran.exists()


def test_predict_runs_no_code_of_a_config_that_nobody_named(evil, capsys):
    """A thresholding function asks as well, and compare's own value stands in its place."""
    ran = evil(thresholding="evil.py:find")
    assert main(["train", "--set", "train.output=trained"]) == 0
    assert main(["predict"]) == 2
    assert re.search(r"evil\.py:find \(infer\.thresholding\)", capsys.readouterr().err)
    assert main(["compare", "--loss", "mse,focal"]) == 2
    assert not ran.exists()
    assert main(["compare", "--threshold", "find_peaks,basic_threshold"]) == 0
    assert not ran.exists()
    assert main(["predict", "--trust-code"]) == 0
    assert ran.exists()
