"""Train the small models that the lessons open, `data/NAME/model`: the way in is `make weights`.

On one kind of machine the files come out the same to the byte; tests/test_weights.py says when the
code that made them has changed since.
"""

import json
import sys
from pathlib import Path

import torch

from pointlib.config import TrainConfig
from pointlib.model.folder import save_model
from pointlib.splits import load_splits
from pointlib.train.loop import loss_of, train_folder
from pointlib.train.prepare import prepare

DATA = Path(__file__).parent
UNTRAINED = DATA / "untrained.json"  # {name: its loss before the first step}
# sums come out alike on more machines
SAME = {"radius": 6, "threads": 1, "precision": "32", "learning_rate": 0.01}
# a heavy loss makes clear hills in few epochs, but classes take longer to be told apart
HEAVY = {"loss_options": {"weight": 10}, "augment": "strong"}
MODELS = {
    "cats": SAME | HEAVY | {"num_epochs": 6, "gaussian_sigma": 4},
    "cells": SAME | HEAVY | {"num_epochs": 6, "gaussian_sigma": 3},
    "field": SAME | {"num_epochs": 5, "gaussian_sigma": 5.2},
}


def config_of(name):
    """Return how the model of `data/NAME` is trained."""
    return TrainConfig(dataset_path=str(DATA / name), **MODELS[name])


def untrained_loss(name):
    """Return the mean loss of the fresh network over the crops of its first epoch.

    It changes with nearly all that a training is made of, and all processors agree on it, which
    they do not on the loss after an epoch: small differences grow.
    """
    train, val, _ = load_splits(DATA / name)
    setup = prepare(train, val, config_of(name))
    setup.crops.epoch = 0
    with torch.no_grad():
        return sum(float(loss_of(setup, *batch)) for batch in setup.loader) / len(setup.loader)


def main(names):
    """Train those named, all of them for no name, one after the other."""
    known = json.loads(UNTRAINED.read_text()) if UNTRAINED.is_file() else {}
    for name in names or MODELS:
        known[name] = round(untrained_loss(name), 6)
        UNTRAINED.write_text(json.dumps(known, indent=2) + "\n")
        config = config_of(name).model_copy(update={"output": None})
        model = train_folder(config)
        for row in model.info.training["history"]:  # times differ from run to run
            del row["seconds"], row["val_seconds"]
        save_model(model, DATA / name / "model")
        (DATA / name / "model" / "README.md").unlink()  # a card about smp, not about this model


if __name__ == "__main__":
    main(sys.argv[1:])
