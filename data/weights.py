"""Train the small models that the lessons open, `data/NAME/model`: the way in is `make weights`.

On one kind of machine the files come out the same to the byte; tests/test_weights.py says when the
code that made them has changed since.
"""

from pathlib import Path

from pointlib.config import TrainConfig
from pointlib.model import save_model
from pointlib.train import train_folder

DATA = Path(__file__).parent
MODELS = {  # threads and precision: sums of floats come out alike on more machines
    "field": {
        "num_epochs": 8,
        "radius": 6,
        "gaussian_sigma": 5.2,
        "threads": 1,
        "precision": "32",
    },
}


def config_of(name):
    """Return how the model of `data/NAME` is trained."""
    return TrainConfig(dataset_path=str(DATA / name), **MODELS[name])


def main():
    """Train all of them, one after the other."""
    for name in MODELS:
        config = config_of(name).model_copy(update={"output": None})
        model = train_folder(config)
        for row in model.info.training["history"]:  # times differ from run to run
            del row["seconds"], row["val_seconds"]
        save_model(model, DATA / name / "model")
        (DATA / name / "model" / "README.md").unlink()  # a card about smp, not about this model


if __name__ == "__main__":
    main()
