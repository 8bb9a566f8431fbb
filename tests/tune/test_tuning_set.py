"""The tuning set: every kind of source and of images, what goes wrong in the middle, threads that end."""

import io
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from conftest import Brightness
from PIL import Image

from pointlib.dataset import ImagePointDataset, MemoryDataset
from pointlib.errors import InputError
from pointlib.heatmaps import gaussian_max
from pointlib.images import write_image
from pointlib.matching import match_points
from pointlib.metrics import score_images
from pointlib.model.folder import save_model
from pointlib.model.point_model import ModelInfo, PointModel, build_model
from pointlib.points import text_path, write_points
from pointlib.predict.points import predict_heatmap, predict_points
from pointlib.thresholds import Candidates, find_candidates, find_peaks
from pointlib.tune import state as module
from pointlib.tune.state import open_tuning_set
from pointlib.tune.trial import open_trial

SHAPE = (45, 70)
PLACES = np.array([[10.3, 12.0], [40.0, 30.6], [60.2, 8.1]])


@pytest.fixture
def model():
    """Return a model whose heatmap is the grey image itself."""
    info = ModelInfo(n_channels=1, mean=(0.0,), std=(1.0,), thresholds={"point": 0.4}, radius=4.0)
    return PointModel(Brightness(), info)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of four images; the second is broken, the last not labelled."""
    for i in range(4):
        write_image(tmp_path / f"{i}.png", picture(PLACES[: i + 1]))
        if i < 3:
            write_points(text_path(tmp_path / f"{i}.png"), PLACES[: i + 1], SHAPE)
    (tmp_path / "1.png").write_bytes(b"not a picture")
    return tmp_path


@pytest.fixture
def opened():
    """Return `open_tuning_set` for what is waited for and closed in the end."""
    every = []

    def open_and_wait(*args, **options):
        every.append(open_tuning_set(*args, **options))
        every[-1].wait(60)
        return every[-1]

    yield open_and_wait
    for one in every:
        one.close()


def hills(points=PLACES, shape=SHAPE, *, sigma=2.0):
    """Return a heatmap (H, W), float32."""
    return gaussian_max(points, shape, sigma=sigma).numpy()


def picture(points=PLACES):
    """Return the heatmap of the points as a grey image."""
    return np.rint(255 * hills(points)).astype(np.uint8)


def same(one, two):
    """Say whether two Candidates are equal to the last bit."""
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


# --- sources and images -------------------------------------------------------------------------


def test_tuning_set_of_a_model_is_what_predict_finds(model, opened):
    """At the model's settings the kept candidates are those of predict_points; the rest is there."""
    data = MemoryDataset([(picture(PLACES[:n]), PLACES[:n], ["point"] * n) for n in (3, 0, 2)])
    found = opened(model, data)
    assert (found.n_ready, len(found), found.errors) == (3, 3, [""] * 3)
    assert (found.classes, found.radius, found.sigma) == (("point",), 4.0, 3.0)
    assert found.settings == {
        "thresholds": {"point": 0.4},
        "min_distances": {"point": 3.0},
        "radius": 4.0,
    }
    for i in range(3):
        kept, expected = found.candidates_kept(i, found.settings), predict_points(model, data[i][0])
        assert all(np.array_equal(a, b) for a, b in zip(kept, expected, strict=True))
        assert np.array_equal(found.heatmap(i), predict_heatmap(model, data[i][0]))
        assert found.shapes[i] == SHAPE
    assert [len(true["point"]) for true in found.truth] == [3, 0, 2]


def test_tuning_set_of_heatmaps_equals_find_peaks(opened):
    """Candidates of a heatmap give what find_peaks gives, at any setting."""
    heatmaps = [np.random.default_rng(seed).random(SHAPE) for seed in range(3)]
    heatmaps[2] = 0.6 + 1e-9 * heatmaps[2]  # float32 would see one plateau
    found = opened(heatmaps, None)
    assert not found.has_images
    for i, heatmap in enumerate(heatmaps):
        for threshold, min_distance in ((0.3, 2.0), (0.05, 0.0), (0.9, 7.5)):
            settings = {
                "thresholds": {"point": threshold},
                "min_distances": {"point": min_distance},
            }
            points, _, scores = found.candidates_kept(i, settings)
            peaks = find_peaks(heatmap, threshold=threshold, min_distance=min_distance)
            assert np.array_equal(points, peaks[0])
            assert np.array_equal(scores, peaks[1])


@pytest.mark.parametrize("kind", ["numpy", "torch", "bfloat16", "stack", "bool channel first"])
def test_tuning_set_takes_heatmaps_of_any_kind(kind, opened):
    """numpy, torch with a gradient, half precision and one array for all images are the same."""
    maps = [hills(), hills(PLACES[:1])]
    given = {
        "numpy": maps,
        "torch": [torch.tensor(m, requires_grad=True) for m in maps],
        "bfloat16": [torch.tensor(m).bfloat16() for m in maps],
        "stack": np.stack(maps),
        "bool channel first": [m[None] > 0.9 for m in maps],
    }[kind]
    found = opened(given, [picture(), picture()])
    assert [len(c["point"].scores) for c in found.candidates] == [3, 1]
    assert found.heatmap(1).shape == (1, *SHAPE)
    assert found.heatmap(1).dtype == np.float32


def test_tuning_set_of_candidates_is_ranked(opened):
    """Candidates given in any order stand best first, and there is no heatmap to show."""
    peaks = find_candidates(hills())
    mixed = type(peaks)(*(column[[1, 0, 2]] for column in peaks))
    found = opened([{"a": peaks, "b": mixed}], [picture()])
    assert found.classes == ("a", "b")
    assert same(found.candidates[0]["a"], peaks)
    assert same(found.candidates[0]["b"], peaks)
    assert not found.has_heatmaps
    low = type(peaks)(peaks.points, peaks.scores * [1, 0.04, 0.04], peaks.isolation)
    assert same(opened([{"a": low}], [picture()]).candidates[0]["a"], [c[:1] for c in peaks])
    with pytest.raises(InputError, match="no heatmaps, only candidates"):
        found.heat_png(0, 0)


def test_tuning_set_of_a_folder_goes_on_after_a_broken_image(model, folder, opened):
    """A broken image has a sentence and no candidates; an unlabelled one has no truth."""
    found = opened(model, folder)
    assert found.names == ["0.png", "1.png", "2.png", "3.png"]
    assert [bool(error) for error in found.errors] == [False, True, False, False]
    assert "1.png cannot be read as an image" in found.errors[1]
    assert [c is None for c in found.candidates] == [False, True, False, False]
    assert [true is None for true in found.truth] == [False, True, False, True]
    assert [r.name for r in open_trial(found).results()] == ["0.png", "2.png"]
    assert score_images(open_trial(found).results(), radius=4, classes=["point"])["pooled"][
        "f1"
    ] == pytest.approx(1)
    with pytest.raises(InputError, match="1.png cannot be read"):
        found.image(1)
    with pytest.raises(InputError, match="1.png: .*1.png cannot be read"):
        found.candidates_kept(1, found.settings)


def test_tuning_set_leaves_out_what_the_model_was_trained_on(model, folder, opened):
    """Of a folder only; where nothing else is there, it is used and known as trained on."""
    model.info.training = {"images": {"train": ["0.png", "1.png"], "val": ["2.png"]}}
    found = opened(model, folder)
    assert (found.names, found.trained_on) == (["2.png", "3.png"], False)
    found = opened(model, ImagePointDataset(folder, names=["0.png", "2.png"]))
    assert (found.names, found.trained_on) == (["0.png", "2.png"], True)
    assert opened(model, [folder / "0.png"] * 2).trained_on  # though their names now are longer
    model.info.training["images"]["train"] = ["0.png", "1.png", "2.png", "3.png", "image 0"]
    assert opened(model, folder).trained_on
    assert not opened(model, [picture()]).trained_on  # any image in memory is "image 0"


@pytest.mark.parametrize(
    ("lists", "part"),
    [
        ({"test": "2.png", "val": "0.png 1.png 3.png"}, "test"),
        ({"train": "0.png 2.png 3.png", "val": "1.png"}, ""),
        ({"val": "0.png 1.png 2.png 3.png"}, "val"),
        ({"train": "", "test": "0.png 1.png 2.png 3.png 4.png"}, "test"),
    ],
)
def test_tuning_set_knows_the_part(lists, part, model, folder, opened):
    """The list file in which all images stand; one test image is enough; empty lists are none."""
    (folder / "images").mkdir()
    for path in list(folder.glob("?.*")):
        path.rename(folder / "images" / path.name)
    for name, words in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(words.split()))
    assert opened(model, folder).part == part


def test_tuning_set_loads_a_model_folder(tmp_path, opened):
    """The path of a model folder is loaded and remembered."""
    torch.manual_seed(0)
    saved = build_model(ModelInfo(n_channels=1, classes=("a", "b")), encoder="mobilenet_v2")
    save_model(saved, tmp_path / "model")
    found = opened(str(tmp_path / "model"), [picture()])
    assert found.folder == (tmp_path / "model").resolve()
    assert found.classes == ("a", "b")
    assert found.heatmap(0).shape == (2, *SHAPE)


def test_tuning_set_of_paths_and_arrays(model, folder, opened):
    """A list may mix both; equal names are told apart; text files beside paths are the truth."""
    found = opened(model, [folder / "0.png", picture(), str(folder / "0.png")])
    assert found.names == ["0.png (0)", "image 1 (1)", "0.png (2)"]
    assert found.truth[1] is None
    assert len(found.truth[2]["point"]) == 1
    assert found.paths == [folder / "0.png", None, folder / "0.png"]


def test_tuning_set_of_16_bit_images(tmp_path, opened):
    """A model of 16-bit images sees them at their own range, from a file and from memory."""
    info = ModelInfo(n_channels=1, mean=(0.0,), std=(1.0,), high=(60000.0,), depth="uint16")
    deep = np.rint(60000 * hills()).astype(np.uint16)
    write_image(tmp_path / "deep.tif", deep)
    found = opened(PointModel(Brightness(), info), [deep, tmp_path / "deep.tif", picture()])
    assert same(found.candidates[0]["point"], found.candidates[1]["point"])
    assert len(found.candidates[0]["point"].scores) == 3
    assert "image is uint8; this model was trained on uint16 images" in found.errors[2]


def test_tuning_set_shows_masks(opened):
    """An image of True and False is black and white, as pictures are."""
    image = opened([hills()], [picture() > 9]).image(0)
    assert (image.dtype, np.unique(image).tolist()) == (np.uint8, [0, 255])


def test_tuning_set_of_three_hundred_images(opened):
    """Many images are all looked at, in order, with the same result each time."""
    rng = np.random.default_rng(0)
    maps = [hills(rng.uniform(3, 40, (2, 2))) for _ in range(300)]
    one, two = (opened(maps, None) for _ in range(2))
    assert one.n_ready == 300
    assert all(
        same(a["point"], b["point"]) for a, b in zip(one.candidates, two.candidates, strict=True)
    )


# --- truth, classes, radius, settings -----------------------------------------------------------


def test_tuning_set_takes_points_with_and_without_labels(opened):
    """(N, 2), (points, labels) and None, an entry an image; they replace the dataset's."""
    given = [PLACES, (PLACES[:1].tolist(), ["point"]), None, []]
    data = MemoryDataset([(picture(), PLACES[:2], ["point"] * 2)] * 4)
    found = opened([hills()] * 4, data, given)
    assert [true and len(true["point"]) for true in found.truth] == [3, 1, None, 0]
    assert len(open_trial(found).results()) == 3


def test_tuning_set_names_the_channels_by_the_truth(opened):
    """Sorted labels where their number fits; else numbers; else what was said."""
    two = np.stack([hills(PLACES[:1]), hills(PLACES[1:])])
    labelled = [(PLACES, ["weed", "crop", "crop"])]
    assert opened([two], [picture()], labelled).classes == ("crop", "weed")
    assert opened([two], [picture()]).classes == ("class 1", "class 2")
    assert opened([hills()], [picture()], [(PLACES, ["cell"] * 3)]).classes == ("cell",)
    found = opened([two], [picture()], labelled, classes=["weed", "crop"])
    assert found.truth[0]["weed"].tolist() == PLACES[:1].tolist()
    results = open_trial(found).results()
    assert score_images(results, radius=3, classes=found.classes)["pooled"]["f1"] == 1


def test_tuning_set_takes_points_without_a_name_as_of_the_only_class(model, opened):
    """A model of one class, whatever its name, is meant by unnamed points."""
    model.info.classes, model.info.thresholds = ("seed",), {}
    assert len(opened(model, [picture()], [PLACES]).truth[0]["seed"]) == 3


def test_tuning_set_chooses_a_radius(opened):
    """A quarter of the usual distance between neighbours, at least 2 px; 6 where nothing is known."""
    apart = np.array([[5, 5], [45, 5], [45, 44]])
    assert opened([hills()], [picture()], [apart]).radius == pytest.approx(39.5 / 4, abs=0.26)
    assert opened([hills()], [picture()], [apart[:2] / 20]).radius == 2
    assert opened([hills()], [picture()], [apart[:1]]).radius == 6
    assert opened([hills()], [picture()]).radius == 6
    assert opened([hills()], [picture()], radius=7.5).radius == 7.5


def test_tuning_set_begins_with_the_best_settings(opened):
    """With truth the first settings are those of the best F1; without it 0.3 and 2 px."""
    low = hills(np.concatenate([PLACES, [[30.0, 40.0]]]))
    low[35:] *= 0.5  # the last is a false positive, half as high
    found = opened([low], [picture()], [PLACES])
    assert found.settings["thresholds"]["point"] == pytest.approx(0.73, abs=0.03)
    points, _, _ = found.candidates_kept(0, found.settings)
    assert len(match_points(PLACES, points, radius=found.radius).pairs) == len(points) == 3
    without = opened([low], [picture()]).settings
    assert (without["thresholds"], without["min_distances"]) == ({"point": 0.3}, {"point": 2.0})


# --- heatmaps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["model", "heatmaps"])
def test_heat_png_is_the_heatmap_in_256_steps(kind, model, opened):
    """Black is 0, white is 1, and nothing in between is off by more than half a step."""
    found = opened(model if kind == "model" else [hills()], [picture()])
    grey = np.asarray(Image.open(io.BytesIO(found.heat_png(0, 0))))
    assert grey.dtype == np.uint8
    assert np.abs(grey / 255 - found.heatmap(0)[0]).max() <= 0.5 / 255 + 1e-6


def test_nan_in_a_heatmap_counts_as_nothing(opened):
    """NaN and infinity are no peaks and are shown black; a map of NaN alone finds nothing."""
    spoilt = hills()
    spoilt[12, 10], spoilt[30, 40], spoilt[0, 0] = np.nan, np.inf, -np.inf
    found = opened([spoilt, np.full(SHAPE, np.nan)], [picture()] * 2)
    clean = find_candidates(np.where(np.isfinite(spoilt), spoilt, 0))
    assert same(found.candidates[0]["point"], clean)
    assert found.candidates[1]["point"].points.shape == (0, 2)
    grey = np.asarray(Image.open(io.BytesIO(found.heat_png(0, 0))))
    assert grey[12, 10] == grey[30, 40] == grey[0, 0] == 0


# --- what is wrong ------------------------------------------------------------------------------


TWO = [hills(), hills()]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((TWO, [picture()]), {}, "2 heatmaps for 1 images; expected one per image"),
        ((hills(), [picture()]), {}, r"expected a list: \[heatmap\]"),
        (([], []), {}, r"expected a list: \[heatmap\]"),
        (([hills()], []), {}, "there are no images"),
        (([hills()], picture()), {}, r"images is one array of shape \(45, 70\); expected a list"),
        (([hills()], np.zeros((45, 70, 3))), {}, r"images is one array of shape \(45, 70, 3\)"),
        (([hills()], 7), {}, "images is a int; expected a dataset, a folder, or a list"),
        (([hills()], ["nowhere.png"]), {}, "image nowhere.png does not exist"),
        (([hills()], [hills().astype(str)]), {}, "image 0 has dtype <U32; expected numbers"),
        (([hills()], [[[1, 2], [3, 4]]]), {}, r"image 0 is a list; expected an array \(H, W\)"),
        (
            ([hills()[:, :-1]], [picture()]),
            {},
            r"image 0 has shape \(45, 69\), the image \(45, 70\)",
        ),
        (
            ([np.dstack([hills()] * 2)], [picture()]),
            {},
            "Move the channels first",
        ),
        (
            ([100 * hills()], [picture()]),
            {},
            "heatmap 0 runs from 0 to 99.*expected values from 0",
        ),
        (([np.array([["a"]])], None), {}, "heatmap 0 is <U1 of shape"),
        (([1j * hills()], None), {}, "heatmap 0 is complex64 of shape"),
        (([np.zeros((0, 5))], None), {}, r"heatmap 0 is float64 of shape \(0, 5\)"),
        (([hills()], [picture()], [PLACES, PLACES]), {}, "points has 2 entries for 1 images"),
        (([hills()], [picture()], PLACES), {}, r"points has 3 entries.*For one image: \[points\]"),
        (([hills()], [picture()], 5), {}, "points is a int for 1 images; expected one entry"),
        (([hills()], [picture()], {"a": PLACES}), {}, "points is a dict for 1 images"),
        (([hills()], [picture()], [PLACES + 90]), {}, "points of image 0.*outside the image"),
        (([hills()], [picture()], [(PLACES, ["a"])]), {}, r"points\[0\]: 1 labels for 3"),
        (([hills()], [picture()], [(PLACES, ["a", "b", "b"])]), {}, "points of class 'a'.*'point'"),
        (([hills()], [picture()], [(PLACES, [3, 4, 4])]), {}, "class '3'.* channels: classes="),
        (([np.dstack([hills()] * 2)], None), {}, "more channels than columns.*Move the channels"),
        (([np.stack(TWO)], [picture()], [PLACES]), {}, r"without a class.*Give \(points, labels\)"),
        (([np.stack(TWO)], [picture()]), {"classes": ["a"]}, "expected 2 names, one per channel"),
        (([np.stack(TWO)], [picture()]), {"classes": ["a", "a"]}, "expected 2 names"),
        (([hills()], [picture()]), {"radius": -1}, "radius is -1"),
        (({"point": hills()}, [picture()]), {}, "dict is neither a model nor a list"),
        (([{"a": 5}], [picture()]), {}, "a class has a int; expected Candidates"),
        (([{"a": find_candidates(hills())}], None), {}, "images is None"),
        (([{"a": Candidates([[1, 2]], [np.inf], [9.0])}], [picture()]), {}, "score is infinite"),
        (("nowhere", [picture()]), {}, "model folder nowhere does not exist"),
    ],
)
def test_open_tuning_set_says_what_is_wrong(arguments, options, message):
    """Wrong arguments and a wrong first image are sentences at once."""
    with pytest.raises(InputError, match=message):
        open_tuning_set(*arguments, **options)


def test_open_tuning_set_needs_the_models_classes(model):
    """Other names than the model's, points of a class it does not know, and no images."""
    with pytest.raises(InputError, match=r"classes is \['a'\]; the source has \['point'\]"):
        open_tuning_set(model, [picture()], classes=["a"])
    with pytest.raises(InputError, match="points of class 'bee'; the classes found are"):
        open_tuning_set(model, [picture()], [(PLACES, ["bee"] * 3)])
    with pytest.raises(InputError, match="images is None"):
        open_tuning_set(model, None)


def test_what_is_wrong_with_a_later_image_stays_with_it(opened):
    """Another size, other channels, points outside, unreadable data: each has its own sentence."""
    wrong = [hills()[1:], np.stack(TWO), hills(), np.array([["a"]])]
    points = [PLACES, PLACES, PLACES, PLACES + 90, None, PLACES]
    found = opened([hills(), *wrong, hills()], [picture()] * 6, points)
    for error, part in zip(
        found.errors[1:5],
        ["shape (44, 70), the image (45, 70)", "2 channels, the first 1", "outside", "<U1"],
        strict=True,
    ):
        assert part in error
    assert found.errors[0] == found.errors[5] == ""
    for column in (found.candidates, found.truth):
        assert [value is None for value in column] == [False, *[True] * 4, False]
    assert [r.name for r in open_trial(found).results()] == ["image 0", "image 5"]


class Moody:
    """A dataset of somebody's own, which fails in its own way."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        if i == 1:
            raise OSError("the disk is tired")
        return picture(), PLACES, np.array(["point"] * 3)


def test_tuning_set_of_a_dataset_that_raises(model, opened, caplog):
    """What somebody's dataset raises becomes a sentence, and the rest goes on."""
    found = opened(model, Moody())
    assert "the disk is tired" in found.errors[1]
    assert [c is None for c in found.candidates] == [False, True, False]
    found = opened(model, Moody(), [PLACES, PLACES, None])
    assert found.errors[1] == "OSError: the disk is tired"
    assert "Unexpected error" in caplog.text


# --- threads ------------------------------------------------------------------------------------


class Gate(Brightness):
    """A network that lets the first image through, and others when it is told."""

    def __init__(self):
        super().__init__()
        self.n_calls, self.is_open = 0, threading.Event()

    def forward(self, batch):
        """Wait at the gate."""
        self.n_calls += 1
        assert self.n_calls == 1 or self.is_open.wait(30)
        return super().forward(batch)


def test_the_first_image_is_there_at_once_and_the_rest_follows(model):
    """Listeners hear of each later image, from the thread; wait returns when all are there."""
    gate = Gate()
    found, heard = open_tuning_set(PointModel(gate, model.info), [picture()] * 4), []
    found.listeners.add(lambda i: heard.append((i, threading.current_thread().name)))
    assert (found.n_ready, found.candidates[1], found.shapes[1]) == (1, None, None)
    assert not found.wait(0.01)
    with pytest.raises(InputError, match="image 3: not processed yet"):
        found.candidates_kept(3, found.settings)
    gate.is_open.set()
    assert found.wait(30)
    assert heard == [(i, "tuning set") for i in (1, 2, 3)]
    found.close()


def test_close_ends_the_thread(model):
    """What is being looked at is finished, the rest is not begun; closing twice is fine."""
    gate = Gate()
    found = open_tuning_set(PointModel(gate, model.info), [picture()] * 9)
    deadline = time.monotonic() + 30
    while gate.n_calls < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    found._is_over.set()
    gate.is_open.set()
    found.close()
    found.close()
    assert not found._thread.is_alive()
    assert found.n_ready == gate.n_calls == 2
    assert not found.wait()


def test_a_listener_that_fails_stops_nobody(model, caplog):
    """It is logged; the images go on."""
    gate = Gate()
    found = open_tuning_set(PointModel(gate, model.info), [picture()] * 3)
    found.listeners.add(lambda i: 1 / 0)
    gate.is_open.set()
    assert found.wait(30)
    assert "ZeroDivisionError" in caplog.text
    found.close()


def test_many_heatmaps_are_left_to_the_thread(monkeypatch, opened):
    """Above a second's work the constructor does not wait; the result is the same."""
    monkeypatch.setattr(module, "AT_ONCE", 2 * hills().size)
    found = open_tuning_set([hills()] * 5, None)
    assert found.wait(30)
    assert len(found.candidates[4]["point"].scores) == 3
    found.close()
    monkeypatch.setattr(module, "AT_ONCE", 0)
    assert same(opened([hills()] * 5, None).candidates[4]["point"], found.candidates[4]["point"])


def test_tuning_set_of_numpy_heatmaps_needs_no_torch():
    """Heatmaps of numpy are tuned on a laptop without waiting for torch."""
    code = """
import sys, numpy as np
from pointlib.tune.state import open_tuning_set
from pointlib.tune.trial import open_trial
found = open_tuning_set([np.random.rand(20, 30)], [np.zeros((20, 30))], [[[3, 4]]])
found.wait()
found.candidates_kept(0, found.settings), open_trial(found).results(), found.heat_png(0, 0)
sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
