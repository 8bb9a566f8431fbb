"""Train Spotiflow on a bundle of images and write what it finds; run by benchmarks/accuracy.py.

Runs in an environment of its own (.venv-peers), so it imports nothing of pointlib. Everything is
Spotiflow's default but the number of channels, sigma and the length of the training. The training
goes on from its checkpoint after a kill. Points are written as candidates, with probabilities;
accuracy.py chooses threshold and distance on val for it, as for the others.
"""

import argparse
import datetime as dt
import json
import logging
import sys
import time
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import spotiflow
import torch
from lightning.pytorch.loggers import CSVLogger
from spotiflow.model import Spotiflow, SpotiflowModelConfig, SpotiflowTrainingConfig
from spotiflow.model.trainer import SpotiflowModelCheckpoint, SpotiflowTrainingWrapper

FLOOR = 0.05  # probability of the weakest candidate
MOST = 2_000  # candidates of an image, the surest
SAVE_EVERY = 60  # seconds between two checkpoints


class Trial(Spotiflow):
    """Spotiflow whose `fit` ends after some minutes and goes on from a checkpoint."""

    def fit_dataset(self, train_ds, val_ds, train_config, *, callbacks, accelerator, **_):
        """Train as Spotiflow.fit_dataset does, with its settings, a time limit and a checkpoint."""
        diary = next(callback for callback in callbacks if isinstance(callback, Diary))
        trainer = pl.Trainer(
            accelerator=accelerator,
            devices=1,
            logger=CSVLogger(diary.folder),
            callbacks=callbacks,
            deterministic=True,
            benchmark=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            max_epochs=train_config.num_epochs,
            max_time=diary.limit,
            log_every_n_steps=1,
        )
        wrapper = SpotiflowTrainingWrapper(self, train_config)
        loaders = wrapper.generate_dataloaders(train_ds, val_ds)
        trainer.fit(wrapper, *loaders, ckpt_path=diary.resume())


class Diary(pl.Callback):
    """Keeps a row an epoch, and the checkpoint."""

    def __init__(self, folder, minutes):
        self.folder = folder
        self.limit = None if minutes is None else dt.timedelta(minutes=minutes)
        self.checkpoint, self.notes = folder / "last.ckpt", folder / "history.json"
        self.rows, self.before, self.saved = [], 0.0, 0.0

    def resume(self):
        """Return the checkpoint to go on from, or None."""
        self.start = self.saved = time.monotonic()
        if not self.checkpoint.exists():
            return None
        self.rows = json.loads(self.notes.read_text())
        self.before = self.rows[-1]["seconds"]
        print(f"resuming after epoch {self.rows[-1]['epoch']}", flush=True)
        return self.checkpoint

    def on_train_epoch_end(self, trainer, module):  # noqa: ARG002 (Lightning's own arguments)
        """Write the epoch down."""
        now = time.monotonic()
        figures = {k: float(trainer.callback_metrics[k]) for k in ("val_loss", "val_f1")}
        row = {"epoch": trainer.current_epoch + 1, "steps": trainer.global_step}
        self.rows.append(row | figures | {"seconds": self.before + now - self.start})
        print(self.rows[-1], flush=True)
        if now - self.saved > SAVE_EVERY:
            trainer.save_checkpoint(self.checkpoint)
            self.notes.write_text(json.dumps(self.rows))
            self.saved = now


def read_bundle(path):
    """Return {part: (images, points as y, x)} of a file that accuracy.py wrote."""
    bundle = np.load(path)
    parts = {}
    for key in sorted(bundle):
        part, _, kind = key.split("/")
        images, points = parts.setdefault(part, ([], []))
        if kind == "image":
            images.append(bundle[key])
        else:
            points.append(bundle[key][:, ::-1].astype(np.float32))
    return parts


def train(parts, diary, arguments):
    """Return a trained model."""
    image = parts["train"][0][0]
    n_channels = 1 if image.ndim == 2 else image.shape[2]
    model = Trial(SpotiflowModelConfig(in_channels=n_channels, sigma=arguments.sigma))
    epochs = {"num_epochs": arguments.epochs or 100_000}  # the minutes end it
    config = SpotiflowTrainingConfig(**epochs)
    best = SpotiflowModelCheckpoint(diary.folder, config)
    if diary.checkpoint.exists():  # their callback forgets its best epoch
        best._best = min(row["val_loss"] for row in json.loads(diary.notes.read_text()))  # noqa: SLF001
    train_set, val_set = ([list(side) for side in parts[part]] for part in ("train", "val"))
    model.fit(*train_set, *val_set, train_config=config, logger=None, callbacks=[best, diary])
    return model


def find(model, images):
    """Return for each image the candidates (x, y, probability), the surest first."""
    rows = []
    for image in images:
        places, details = model.predict(
            image, prob_thresh=FLOOR, min_distance=1, verbose=False, device="auto"
        )
        table = np.column_stack([places[:, ::-1], details.prob])
        rows.append(table[np.argsort(-table[:, 2], kind="stable")][:MOST].round(4).tolist())
    return rows


def main():
    """Train, predict val and test, write result.json into the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sigma", type=float, default=1.0)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.getLogger("spotiflow").setLevel(logging.WARNING)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    pl.seed_everything(arguments.seed, workers=True)
    parts = read_bundle(arguments.bundle)
    diary = Diary(arguments.folder, arguments.minutes)
    model = train(parts, diary, arguments)
    on_gpu = torch.cuda.is_available()
    result = {
        "version": spotiflow.__version__,
        "history": diary.rows,
        "device": torch.cuda.get_device_name() if on_gpu else f"cpu x{torch.get_num_threads()}",
        "candidates": {part: find(model, parts[part][0]) for part in ("val", "test")},
    }
    (arguments.folder / "result.json").write_text(json.dumps(result))
    diary.checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
