"""What the first edition wrote is read as it read it; see tests/first_edition/README.md."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pointlib.annotate.journal import read_journal
from pointlib.annotate.ledger import open_ledger
from pointlib.annotate.steps import replay
from pointlib.config import load_config
from pointlib.dataset import ImagePointDataset
from pointlib.evaluation.score import evaluate
from pointlib.formats import convert
from pointlib.model import load_model, read_info
from pointlib.points import read_points
from pointlib.predict import predict_folder

HOME = Path(__file__).parent / "first_edition"
EXPECTED = json.loads((HOME / "expected.json").read_text(encoding="utf-8"))
SHAPE = (96, 128)


@pytest.fixture
def copy(tmp_path):
    """Return a copy of all of it that may be written to."""
    return shutil.copytree(HOME, tmp_path / "first")


@pytest.fixture
def ledger(copy):
    """Return the annotation of the copy, opened and in the end closed."""
    ledger = open_ledger(copy / "field")
    yield ledger
    ledger.end()


def rows_of(path):
    """Return the lines of a table as lists of texts."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def assert_same_points(path, other):
    """Two points.csv name the same points in the same order; processors differ in a last digit."""
    (head, *rows), (other_head, *others) = rows_of(path), rows_of(other)
    assert head == other_head
    assert len(rows) == len(others)
    for row, like in zip(rows, others, strict=True):
        assert (row[0], row[3]) == (like[0], like[3])
        found, wanted = (np.array([line[1], line[2], line[4]], float) for line in (row, like))
        np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_journal_leads_to_the_same_points_and_states(ledger):
    """Each image has the points, with ids and scores, the rejected ones and the state it had."""
    assert list(ledger.classes) == EXPECTED["classes"]
    assert ledger.names == list(EXPECTED["images"])
    for name, wanted in EXPECTED["images"].items():
        annotation = ledger.load(name)
        assert ledger.state(name) == wanted["state"]
        for kind in ("points", "rejected"):
            found = {key: list(point) for key, point in getattr(annotation, kind).items()}
            assert found == wanted[kind], (name, kind)


def test_edits_that_a_kill_left_out_of_the_texts_come_into_them(ledger):
    """After opening, every text holds what it held, and `bed_9.txt` its three points."""
    assert not (HOME / "field/images/bed_9.txt").exists()
    ledger.flush()
    images = ledger.folder
    found = {path.name: path.read_bytes().decode() for path in sorted(images.glob("*.txt"))}
    assert found == EXPECTED["texts"]


def test_undo_goes_back_into_the_first_edition(ledger):
    """The last step of the old session can be taken back, and the ones before it."""
    for number, image in enumerate(["bed_9.png", "bed_6.png", "bed_6.png"], start=1):
        outcome = ledger.apply({"session": "abcdef", "edit": number, "op": "undo"})
        assert outcome["image"] == image
    assert ledger.state("bed_9.png") == ledger.state("bed_6.png") == "unlabelled"
    assert not ledger.load("bed_6.png").rejected


def test_old_lines_stay_in_the_journal_to_the_byte(copy):
    """Opening, editing and closing only append; what was half a line is kept beside."""
    path = copy / "field/images/.pointlib/journal.jsonl"
    whole, _, half = path.read_bytes().rpartition(b"\n")
    ledger = open_ledger(copy / "field")
    ledger.apply({"session": "abcdef", "edit": 1, "op": "undo"})
    ledger.end()
    assert path.read_bytes().startswith(whole + b"\n")
    assert half in path.with_name("journal.jsonl.cut").read_bytes()
    assert replay(read_journal(path))["bed_9.png"].points == {}


def test_dataset_is_read_as_it_was():
    """Training sees the points of the texts, and leaves out what has none."""
    dataset = ImagePointDataset(HOME / "field")
    texts = sorted(path.with_suffix(".png").name for path in (HOME / "field/images").glob("*.txt"))
    assert dataset.names == texts
    for i, name in enumerate(dataset.names):
        _, points, labels = dataset[i]
        old = EXPECTED["images"][name]["points"].values()
        wanted = sorted((label, round(x, 4), round(y, 4)) for x, y, label, *_ in old)
        found = [
            (str(label), round(x, 4), round(y, 4))
            for (x, y), label in zip(points, labels, strict=True)
        ]
        assert sorted(found) == wanted, name


def test_config_is_read_as_it_was():
    """Every key of the old config.json is known and holds what it says."""
    config = load_config(HOME / "config.json")
    for section, keys in json.loads((HOME / "config.json").read_text()).items():
        for key, value in keys.items():
            found = getattr(getattr(config, section), key)
            is_path = key in ("dataset_path", "image_path", "model", "output")
            assert found == (str(HOME / value) if is_path else value), key


def test_model_predicts_the_same_tables(tmp_path):
    """points.csv, counts.csv and texts of the old model are those that the old code wrote."""
    config = load_config(HOME / "config.json").infer
    model = load_model(config.model)
    options = {"min_distance": config.min_distance, "text": True}
    predict_folder(model, config.image_path, tmp_path, **options)
    assert_same_points(tmp_path / "points.csv", HOME / "predictions/points.csv")
    assert rows_of(tmp_path / "counts.csv") == rows_of(HOME / "predictions/counts.csv")
    for path in sorted((HOME / "predictions/text").iterdir()):
        points, labels = read_points(tmp_path / "text" / path.name, SHAPE)
        wanted, wanted_labels = read_points(path, SHAPE)
        np.testing.assert_allclose(points, wanted, atol=2e-3)
        assert labels.tolist() == wanted_labels.tolist()


def test_model_scores_as_its_training_said():
    """An evaluation on the old validation list gives the numbers in the model's folder."""
    model = load_model(HOME / "model")
    names = ["bed_5.png"]
    metrics = evaluate(model, ImagePointDataset(HOME / "field", names=names))
    said = read_info(HOME / "model").metrics["validation"]
    assert metrics["pooled"]["f1"] == pytest.approx(said["f1"], abs=1e-6)


def test_predictions_convert_back_to_the_same_points(tmp_path):
    """The old tables are read as csv, scores and all, beside their images."""
    source = tmp_path / "predictions"
    source.mkdir()
    for name in ("points.csv", "counts.csv"):
        shutil.copy(HOME / "predictions" / name, source)
    images = HOME / "field/images"
    convert(source, tmp_path / "again", images=images, to="csv")
    assert_same_points(tmp_path / "again/points.csv", HOME / "predictions/points.csv")
