"""The accuracy table: every row scored alike, none made twice, the blob detector scikit-image's."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import pdist
from skimage.feature import blob_log

from pointlib.formats import convert
from pointlib.metrics import ImageResult
from pointlib.synthetic import draw_set

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
NAME = "nuclei_dsb2018"  # any set's name will do for drawn images
PEER = """import json, sys
import numpy as np
bundle, found = np.load(sys.argv[1]), {"val": [], "test": []}
for key in sorted(bundle):
    part, _, kind = key.split("/")
    if kind == "points" and part in found:
        found[part].append([[*xy, 0.9] for xy in bundle[key].tolist()] + [[1, 1, 0.1]])
row = {"epoch": 2, "steps": 6, "seconds": 90, "val_loss": 0.1, "val_f1": 0.5}
result = {"history": [row], "version": "1", "device": "none", "candidates": found}
open(sys.argv[2] + "/result.json", "w").write(json.dumps(result))
"""


@pytest.fixture(scope="module")
def accuracy():
    """Return the script as a module."""
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("accuracy")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def blobs(accuracy):
    """Return the blob detector's module."""
    return importlib.import_module(accuracy.tune.__module__)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Return drawn cells laid out like the real sets."""
    folder = tmp_path_factory.mktemp("real")
    draw_set("cells", folder, shape=(64, 96))
    convert(folder / "cells", folder / NAME, from_="txt", to="csv")
    return folder


@pytest.fixture
def run(accuracy, drawn, tmp_path, monkeypatch, capsys):
    """Return a function that runs the script on the drawn set; it returns status and output."""
    monkeypatch.setattr(accuracy, "PEERS_PYTHON", tmp_path / "python")

    def call(*words):
        where = ["--data", str(drawn), "--output", str(tmp_path / "out")]
        status = accuracy.main(["--sets", NAME, *where, *words])
        return status, "".join(capsys.readouterr())

    return call


def test_training_and_blobs_make_a_table_and_are_not_made_twice(run, tmp_path):
    """A short training and the blob detector each give a row; asked again, nothing is trained."""
    words = ("--minutes", "0.05", "--curve")
    status, said = run(*words)
    assert status == 0
    assert "Spotiflow is left out" in said
    rows = json.loads((tmp_path / "out" / NAME / "results.json").read_text())
    assert [row["method"] for row in rows] == ["pointlib", "log"]
    assert all(0 <= row["f1"] <= 1 and row["minutes"] > 0 for row in rows)
    assert rows[0]["steps"] >= rows[0]["epochs"] >= 1
    assert (tmp_path / "out" / "curve.png").stat().st_size > 1000
    status, again = run(*words)
    assert f"{NAME}: pointlib ..." not in again
    assert again[again.index("| set") :] == said[said.index("| set") :]


def test_rows_of_other_settings_stand_beside_each_other(run, accuracy, tmp_path, monkeypatch):
    """Another seed is another row; --fresh replaces a row, and no row goes lost."""
    made = []
    figures = dict.fromkeys(("f1", "precision", "recall", "mae", "error_px"), 0.5)
    ways = (lambda job: {"seed": job.arguments.seed}, lambda *job: made.append(job) or figures)
    monkeypatch.setitem(accuracy.METHODS, "log", ways)
    for words in (("--seed", "0"), ("--seed", "1"), ("--seed", "0"), ("--seed", "0", "--fresh")):
        assert run("--peers-only", "--peers", "log", *words)[0] == 0
    rows = json.loads((tmp_path / "out" / NAME / "results.json").read_text())
    assert len(made) == 3
    assert [row["settings"] for row in rows] == [{"seed": 1}, {"seed": 0}]


def test_a_peer_in_its_own_environment_gets_the_images_and_is_scored_alike(run, tmp_path):
    """A stand-in that gives the true points back, and a doubtful one each, scores 1 and 0 px."""
    (tmp_path / "peer.py").write_text(PEER)
    script = f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/peer.py" "$2" "$3"\n'
    (tmp_path / "python").write_text(script)
    (tmp_path / "python").chmod(0o755)
    assert run("--peers-only", "--peers", "spotiflow", "--curve")[0] == 0
    (row,) = json.loads((tmp_path / "out" / NAME / "results.json").read_text())
    assert (row["f1"], row["mae"], row["epochs"], row["minutes"]) == (1, 0, 2, 1.5)
    assert row["error_px"] == pytest.approx(0, abs=1e-9)


def test_a_peer_that_fails_is_a_sentence(run, tmp_path):
    """What the other environment printed last is told, with exit status 2."""
    (tmp_path / "python").write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    status, said = run("--peers-only", "--peers", "spotiflow")
    assert status == 2
    assert "status 1: no such module" in said


def test_absent_images_are_a_sentence(accuracy, tmp_path, capsys):
    """Without the real images the script says so and ends with status 2."""
    assert accuracy.main(["--data", str(tmp_path / "real"), "--output", str(tmp_path)]) == 2
    assert "folder of real images" in capsys.readouterr().err


def test_blob_candidates_are_those_of_scikit_image(blobs):
    """Before anything is tuned, the points are those of `blob_log` with the same scales."""
    noise = gaussian_filter(np.random.default_rng(0).random((40, 56)), 2)
    image = (noise - noise.min()) / np.ptp(noise)
    points, _ = blobs.peaks(blobs.scale_space(image, [2, 2 * 2**0.5, 4]))
    options = {"threshold": blobs.FLOOR, "overlap": 1, "exclude_border": False}
    theirs = blob_log(image, min_sigma=2, max_sigma=4, num_sigma=3, log_scale=True, **options)
    assert len(points) > 10
    assert set(map(tuple, points)) == set(map(tuple, theirs[:, 1::-1]))


@pytest.mark.parametrize("radius", [3, 16])
def test_blobs_are_found_where_they_are(blobs, radius):
    """A blob's middle is found within half a pixel, or half a cell where the image is shrunk."""
    y, x = np.mgrid[:90, :130]
    image = np.exp(-((x - 80.5) ** 2 + (y - 34.5) ** 2) / (2 * radius**2))
    points, scores = blobs.log_candidates(image, radius)["bright", 4, 5]
    assert abs(points[scores.argmax()] - [80.5, 34.5]).max() <= 0.5 * max(1, radius // 8)


def test_thinned_points_stand_apart_and_the_strongest_stay(blobs):
    """No two are nearer than the distance, and each that is gone had a stronger one near."""
    rng = np.random.default_rng(1)
    points, scores = rng.uniform(0, 60, (200, 2)), rng.random(200)
    kept, heights = blobs.thin(points, scores, 5)
    assert pdist(kept).min() > 5
    gone = [i for i in range(200) if scores[i] not in heights]
    near = [np.hypot(*(kept - points[i]).T) <= 5 for i in gone]
    assert all((heights[n] > scores[i]).any() for i, n in zip(gone, near, strict=True))


def test_tuning_finds_the_option_and_threshold_of_the_best_f1(blobs):
    """Of two options the one with the true points is taken, at the score that parts them."""
    true = np.array([[10.0, 10], [30, 20], [50, 12]])
    wrong = np.array([[20.0, 30], [40, 30]])
    labels = np.full(3, "point")
    result = ImageResult("a", (40, 60), true, labels, None, None, None)
    good = np.vstack([true, wrong]), np.array([0.9, 0.8, 0.7, 0.3, 0.2])
    candidates = [{"bad": (wrong, np.ones(2)), "good": good}]
    choice = blobs.tune(candidates, [result], radius=4)
    assert (choice.option, choice.threshold, choice.f1) == ("good", 0.7, 1)
    (filled,) = blobs.apply_choice(choice, candidates, [result])
    assert filled.found == pytest.approx(true)
