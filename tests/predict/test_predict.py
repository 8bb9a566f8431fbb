"""Prediction: images in, points and counts out."""

import csv

import numpy as np
import pytest
from conftest import Brightness

from pointlib.counts import CountRule
from pointlib.errors import InputError
from pointlib.heatmaps import gaussian_max
from pointlib.images import read_image, write_image
from pointlib.model.point_model import ModelInfo, PointModel
from pointlib.points import read_points
from pointlib.predict import points as predict
from pointlib.predict.folder import find_images, predict_folder
from pointlib.thresholds import basic_threshold


@pytest.fixture
def model():
    """Return a model whose heatmap is the grey image itself."""
    info = ModelInfo(n_channels=1, mean=(0.0,), std=(1.0,), thresholds={"point": 0.5}, sigma=2.0)
    return PointModel(Brightness(), info)


def picture(points, shape=(45, 70)):
    """Return a grey image that is the heatmap of the points."""
    return (255 * gaussian_max(points, shape, sigma=2.0).numpy()).round().astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two good images, one in a subfolder, and one broken."""
    root = tmp_path / "in"
    (root / "deep").mkdir(parents=True)
    write_image(root / "a.png", picture([[10.3, 12.0], [40.0, 30.6]]))
    write_image(root / "deep" / "b.png", picture([]))
    (root / "broken.png").write_bytes(b"not a picture")
    return root


def rows(path):
    """Return a csv file's rows as dicts."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_predict_points_finds_them_to_a_fraction_of_a_pixel(model):
    """Reading, scaling, padding, network and decoding shift nothing."""
    for phase in np.arange(0, 1, 0.1):
        true = np.array([[10 + phase, 12.5], [40.2, 30 + phase]])
        points, labels, scores = predict.predict_points(model, picture(true))
        error = points[np.argsort(points[:, 0])] - true
        assert np.abs(error).max() < 0.06  # 8 bits of height
        assert labels.tolist() == ["point"] * 2
        assert (scores > 0.5).all()


def test_predict_points_refuses_a_network_of_fewer_classes(model):
    """A custom network that draws one heatmap where two classes are named is a sentence."""
    model.info.classes = ("point", "weed")
    with pytest.raises(InputError, match="the model draws 1 heatmaps for 2 classes"):
        predict.predict_points(model, picture([]))


def test_predict_points_uses_the_models_settings_unless_told(model):
    """The stored threshold counts; a given one replaces it; another rule may be passed."""
    image = (0.4 * picture([[20, 20]])).astype(np.uint8)
    assert len(predict.predict_points(model, image)[0]) == 0
    assert len(predict.predict_points(model, image, threshold=0.3)[0]) == 1
    doubled = picture([[20.5, 20.0]])
    assert (
        len(predict.predict_points(model, doubled, min_distance=0, threshold_fn=basic_threshold)[0])
        == 2
    )


def test_predict_takes_other_channels_where_it_can(model):
    """An RGB image goes into a grey model; six channels are a sentence."""
    grey = picture([[20, 20]])
    assert len(predict.predict_points(model, np.stack([grey] * 3, axis=2))[0]) == 1
    with pytest.raises(InputError, match="6 channels"):
        predict.predict_points(model, np.zeros((40, 50, 6), np.uint8))


def test_predict_folder_writes_points_and_counts(model, folder, tmp_path):
    """Found none and unreadable are told apart; names are relative; the rest goes on."""
    seen = []
    summary = predict_folder(
        model, folder, tmp_path / "out", on_image=lambda name, n, error: seen.append((name, n))
    )
    assert summary == {"n_images": 3, "n_unreadable": 1, "n_points": 2}
    assert seen == [("a.png", 2), ("broken.png", None), ("deep/b.png", 0)]
    points = rows(tmp_path / "out" / "points.csv")
    assert [p["image"] for p in points] == ["a.png", "a.png"]
    assert sorted(float(p["x"]) for p in points) == pytest.approx([10.3, 40.0], abs=0.06)
    counts = {row["image"]: row for row in rows(tmp_path / "out" / "counts.csv")}
    assert (counts["a.png"]["width"], counts["a.png"]["height"]) == ("70", "45")
    assert [counts[n]["status"] for n in ("a.png", "broken.png", "deep/b.png")] == [
        "ok",
        "unreadable",
        "ok",
    ]
    assert (counts["deep/b.png"]["point"], counts["broken.png"]["point"]) == ("0", "")


def test_predict_folder_corrects_counts_only_at_the_settings_they_were_learnt_at(
    model, folder, tmp_path
):
    """Corrected count and interval stand after the counts; another threshold finds another count."""
    model.info.count_rules = {"point": CountRule("ratio", 0.5, 20, ratio=1.25)}
    out = tmp_path / "out"
    predict_folder(model, folder, out)
    counts = {row["image"]: row for row in rows(out / "counts.csv")}
    assert list(counts["a.png"])[4:] == [
        "point",
        "point corrected",
        "point lowest",
        "point highest",
    ]
    assert list(counts["a.png"].values())[4:] == ["2", "2.5", "2", "3"]
    assert list(counts["deep/b.png"].values())[4:] == ["0", "0.0", "0", "0"]
    assert list(counts["broken.png"].values())[4:] == ["", "", "", ""]
    for other in ({"threshold": 0.4}, {"min_distance": 1.0}, {"threshold_fn": basic_threshold}):
        predict_folder(model, folder, out, **other)
        assert list(rows(out / "counts.csv")[0])[4:] == ["point"]


def test_predict_folder_writes_texts_and_overlays_apart(model, folder, tmp_path):
    """Texts and pictures go into the output, never beside the inputs."""
    before = sorted(folder.rglob("*"))
    options = {
        "text": True,
        "overlay": lambda image, points, labels: np.zeros((45, 70, 3), np.uint8),
    }
    predict_folder(model, folder, tmp_path / "out", **options)
    points, _ = read_points(tmp_path / "out" / "text" / "a.txt", (45, 70))
    assert len(points) == 2
    assert (tmp_path / "out" / "text" / "deep" / "b.txt").read_text() == ""
    assert read_image(tmp_path / "out" / "overlays" / "deep" / "b.png").shape == (45, 70, 3)
    assert sorted(folder.rglob("*")) == before


def test_predict_folder_keeps_older_results(model, folder, tmp_path):
    """A table of another run is kept as a copy; an equal one is not copied."""
    for threshold in (0.5, 0.5, 1.1):
        predict_folder(model, folder, tmp_path / "out", threshold=threshold)
    assert len(rows(tmp_path / "out" / "points.csv")) == 0
    assert len(rows(tmp_path / "out" / "points.csv.bak")) == 2
    assert not (tmp_path / "out" / "points.csv.bak2").exists()


def test_predict_folder_leaves_its_own_output_out(model, folder):
    """Overlays written inside the input folder are not predicted the next time."""
    options = {"overlay": lambda image, points, labels: image}
    for _ in range(2):
        summary = predict_folder(model, folder, folder / "out", **options)
    assert summary["n_images"] == 3


def test_find_images_takes_one_a_list_and_a_folder(folder, tmp_path):
    """One image, a list of images and a folder with subfolders, in a fixed order."""
    assert [n for _, n in find_images(folder / "a.png")] == ["a.png"]
    assert [n for _, n in find_images([folder / "broken.png", folder / "a.png"])] == [
        "broken.png",
        "a.png",
    ]
    assert [n for _, n in find_images(folder)] == ["a.png", "broken.png", "deep/b.png"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        find_images(tmp_path / "none")
    with pytest.raises(InputError, match="does not exist. Did you mean a.png"):
        find_images(folder / "aa.png")


def test_predict_folder_refuses_texts_that_would_overwrite_each_other(model, folder, tmp_path):
    """Two images of one stem cannot both have a text file."""
    write_image(folder / "a.tif", picture([]))
    with pytest.raises(InputError, match="would share one text file or overlay; rename one"):
        predict_folder(model, folder, tmp_path / "out", text=True)


@pytest.mark.parametrize("scale", [0.5, 0.31, 0.2])
def test_predict_points_seen_smaller_are_in_pixels_of_the_image(model, scale):
    """A model that sees images smaller gives points of the whole image, unshifted."""
    model.info.scale = scale
    errors = []
    for phase in np.arange(0, 1, 0.1):
        true = np.array([[60 + phase, 57.5], [201.2, 144 + phase]])
        heatmap = gaussian_max(true, (267, 305), sigma=2.5 / scale).numpy()
        points, _, _ = predict.predict_points(model, (255 * heatmap).round().astype(np.uint8))
        errors.append(points[np.argsort(points[:, 0])] - true)
    assert np.abs(errors).max() < 0.06
    assert np.abs(np.mean(errors, axis=(0, 1))).max() < 0.02


def test_predict_folder_keeps_texts_that_were_edited(model, folder, tmp_path):
    """A text file corrected by hand is kept as a copy when the same folder is predicted again."""
    for _ in range(2):
        predict_folder(model, folder, tmp_path / "out", text=True)
        (tmp_path / "out" / "text" / "a.txt").write_text("0.5,0.5\n")
    assert (tmp_path / "out" / "text" / "a.txt.bak").read_text() == "0.5,0.5\n"


def test_predict_folder_writes_beside_its_input(model, folder):
    """An output folder that holds the input finds the images all the same."""
    assert predict_folder(model, folder, folder.parent)["n_images"] == 3


def test_predict_refuses_another_depth(model):
    """A 16-bit picture for a model of 8-bit ones is a sentence, not a white image."""
    model.info.depth = "uint8"
    with pytest.raises(InputError, match="image is uint16; this model was trained on uint8 images"):
        predict.predict_points(model, np.zeros((40, 50), np.uint16))
