"""The models that the lessons open are those that the code here would train."""

import importlib.util
import json
from pathlib import Path

import pytest

from pointlib.model.folder import load_model
from pointlib.splits import load_splits
from pointlib.train.checkpoint import State
from pointlib.train.loop import train_epoch
from pointlib.train.prepare import prepare

DATA = Path(__file__).resolve().parents[1] / "data"
SPEC = importlib.util.spec_from_file_location("weights", DATA / "weights.py")
weights = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(weights)


@pytest.mark.parametrize("name", weights.MODELS)
def test_weights_are_as_new_as_the_code(name):
    """The fresh network's loss is the stored one: else run `make weights`, then the lessons.

    After an epoch processors differ by 5 % (AVX2 and AVX-512 on one machine), so it tells less.
    """
    stored = json.loads(weights.UNTRAINED.read_text())[name]
    assert weights.untrained_loss(name) == pytest.approx(stored, rel=1e-4)
    config = weights.config_of(name)
    first = load_model(DATA / name / "model").info.training["history"][0]
    train, val, _ = load_splits(DATA / name)
    row = train_epoch(prepare(train, val, config), State())
    assert row["loss"] == pytest.approx(first["loss"], rel=0.15)


@pytest.mark.parametrize("name", weights.MODELS)
def test_weights_are_small_and_say_what_they_saw(name):
    """A shipped model is below 5 MB, was trained on the train list only, and holds no timing."""
    folder = DATA / name / "model"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5e6
    training = load_model(folder).info.training
    assert training["images"]["train"] == (DATA / name / "train.txt").read_text().split()
    assert "seconds" not in training["history"][0]
