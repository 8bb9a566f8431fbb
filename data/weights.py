"""Train the small models that the lessons open, `data/NAME/model`: the way in is `make weights`.

On one kind of machine the files come out the same to the byte; tests/test_weights.py says when the
code that made them has changed since.
"""

import sys
from pathlib import Path

from pointlib.config import TrainConfig
from pointlib.model import save_model
from pointlib.train import train_folder

DATA = Path(__file__).parent
# sums come out alike on more machines; a heavy loss makes clear hills in few epochs
SAME = {"radius": 6, "threads": 1, "precision": "32", "augment": "strong"}
SAME |= {"loss_options": {"weight": 10}}
MODELS = {
    "cats": SAME | {"num_epochs": 6, "gaussian_sigma": 4, "learning_rate": 0.01},
    "cells": SAME | {"num_epochs": 6, "gaussian_sigma": 3, "learning_rate": 0.01},
    "field": SAME | {"num_epochs": 8, "gaussian_sigma": 5.2},
}


def config_of(name):
    """Return how the model of `data/NAME` is trained."""
    return TrainConfig(dataset_path=str(DATA / name), **MODELS[name])


def main(names):
    """Train those named, all of them for no name, one after the other."""
    for name in names or MODELS:
        config = config_of(name).model_copy(update={"output": None})
        model = train_folder(config)
        for row in model.info.training["history"]:  # times differ from run to run
            del row["seconds"], row["val_seconds"]
        save_model(model, DATA / name / "model")
        (DATA / name / "model" / "README.md").unlink()  # a card about smp, not about this model


if __name__ == "__main__":
    main(sys.argv[1:])
