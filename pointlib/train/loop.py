"""Training: images and points in, a model folder out.

About the loop. Not about what is drawn (heatmaps.py), compared (losses.py) or counted as right
(metrics.py). Everything random is a function of (seed, epoch, index): a run that was killed goes
on from its last whole epoch and ends where it would have ended. ``python -m pointlib.train`` does
it from the command line.
"""

import dataclasses
import hashlib
import io
import math
import os
import sys
import time
from contextlib import nullcontext
from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from pointlib.config import TrainConfig, find_function
from pointlib.dataset import check_item, names_of
from pointlib.errors import InputError
from pointlib.files import keep_copy, need_place, write_atomic
from pointlib.heatmaps import HEATMAPS, density
from pointlib.lock import hold
from pointlib.losses import LOSSES
from pointlib.model.folder import describe_model, save_model
from pointlib.splits import load_splits
from pointlib.train.crops import Shrunk, TrainingCrops, mean_pixels
from pointlib.train.dry_run import rehearse
from pointlib.train.prepare import (
    classes_without_points,
    describe_data,
    fingerprint,
    make_fabric,
    make_model,
    points_of,
)
from pointlib.train.validate import collapse_alarm, describe_row, spread, validate

MINUTES = 10.0  # of a training that is told neither its epochs nor its time
VALIDATED = 12e6  # px, as seen: validated after each epoch; ten times as many at the end
WARM_UP = 0.05  # share of the steps in which the learning rate rises
NOTHING = -30.0  # the logit of "surely no point", put where a crop saw no image


def fit(train, val, *, config=None, output=None, log=print, on_epoch=lambda *_: None):
    """Train a model.

    Parameters
    ----------
    train, val : datasets
        ``dataset[i] -> image, points, labels``; see dataset.py.
    config : TrainConfig, optional
        Its paths are not used.
    output : str or Path, optional
        The model folder. The best model by validation F1 stands there after each epoch; another
        training's is kept as a copy. None keeps the model in memory.
    log : callable
        Called with one line an epoch, and with warnings in words.
    on_epoch : callable, optional
        Called with (epoch, model) after each epoch, 1 for the first: predict with it, keep what
        you see, leave it as it is.

    Returns
    -------
    PointModel
        The best epoch's, with thresholds chosen on `val`; ``model.info.training["history"]`` has
        a dict an epoch.
    """
    config = config or TrainConfig()
    for part, name in ((train, "training"), (val, "validation")):
        if not (hasattr(part, "__len__") and len(part)):
            raise InputError(f"the {name} part holds no image; expected one or more.")
        check_item(part[0], f"the first of the {name} part")
    if not any(len(points_of(train, i)[0]) for i in range(len(train))):
        raise InputError(
            f"none of the {len(train)} training images has a point: there is nothing to learn. "
            "Annotate some, or name others in train.txt."
        )
    run = Run(train, val, config, output)
    with run.lock() as lock:
        _train(run, log, on_epoch, lock)
        return run.finish()


def _train(run, log, on_epoch, lock):
    """Train epoch by epoch until the time is over, from where an earlier run was stopped."""
    config, val = run.config, run.val
    run.resume(log)
    log(run.describe())
    if config.gaussian_sigma == "auto" and not config.radius:
        log("hint: a train.radius, how far off still counts, tells how large the objects are")
    for name in classes_without_points(val, run.info.classes):
        log(f"warning: no {name} in the validation images: its threshold will be a default")
    while not run.history or run.progress(run.epoch) < 1:
        row = run.train_epoch(run.epoch)
        row |= run.validate()
        if words := lock.trouble() if lock else "":
            raise InputError(f"{words} Run this again when it has ended: no epoch is lost.")
        run.keep(row)
        log(describe_row(row))
        on_epoch(row["epoch"], run.model.module)
        if words := run.alarm():
            log(words)
        if config.patience and run.epoch - run.best["epoch"] >= config.patience:
            log(f"stopped: no better F1 in {config.patience} epochs")
            break


def train_folder(config, *, log=print):
    """Train on a dataset folder as config.json's `train` section says; returns the model."""
    train, val, how = load_parts(config)
    log(how)
    if config.encoder_weights is None and config.model is None and len(train) < 50:
        log('hint: with few images, pre-trained weights help: "encoder_weights": "imagenet"')
    return fit(train, val, config=config, output=config.output, log=log)


def load_parts(config):
    """Return the parts to train and to validate on, and how they were split: `load_splits`."""
    if not config.dataset_path:
        raise InputError("train.dataset_path is not set: name the folder of images and points.")
    return load_splits(
        config.dataset_path,
        val_split=config.val_split,
        seed=config.seed,
        classes=config.classes,
        n_channels=config.num_channels,
    )


class Run:
    """One training: its parts, and what of it must survive a kill."""

    def __init__(self, train, val, config, output):
        if config.threads:
            torch.set_num_threads(config.threads)
        self.val, self.config = val, config
        self.loss_fn = find_function(config.loss, LOSSES, what="loss")
        if config.loss_options:
            self.loss_fn = partial(self.loss_fn, **config.loss_options)
        self.heatmap_fn = find_function(config.heatmap, HEATMAPS, what="heatmap")
        if self.heatmap_fn is density:
            raise InputError(
                "train.heatmap is density: its hills are far below 1, so no threshold finds them. "
                "Use gaussian_max; density is for counting by sums, in your own loop."
            )
        self.info = describe_data(train, config)
        torch.manual_seed(config.seed)
        self.fabric = make_fabric(config)
        model = make_model(self.info, config)
        self.info = model.info  # a custom model carries its own
        rehearse(model, config, loss_fn=self.loss_fn, heatmap_fn=self.heatmap_fn)
        model = model.to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
        self.model, self.optimiser = self.fabric.setup(model, optimiser)
        self.crops = TrainingCrops(
            train if self.info.scale == 1 else Shrunk(train, self.info.scale),
            dataclasses.replace(self.info, sigma=self.info.sigma * self.info.scale),
            size=config.crop_size,
            heatmap_fn=self.heatmap_fn,
            seed=config.seed,
            augment=config.augment,
        )
        self.loader = self.fabric.setup_dataloaders(self.make_loader())
        n_watched = VALIDATED / self.info.scale**2 / mean_pixels(val)
        self.watched, self.judged = spread(val, n_watched), spread(val, 10 * n_watched)
        self.output = None if output is None else check_output(output)
        self.epoch, self.history = 0, []
        self.written = []  # digests of pointlib.json: the one before last and the last of ours
        both = config.num_epochs, config.minutes
        self.n_epochs, self.minutes = (None, MINUTES) if both == (None, None) else both
        self.began, self.spent = time.monotonic(), 0.0  # seconds, before it was resumed
        self.best = {"score": -math.inf, "epoch": 0, "weights": None, "settings": {}}
        self.fingerprint = fingerprint(config, self.info, train, val)
        self.names = {"train": names_of(train), "val": names_of(val)}

    def make_loader(self):
        """Return the loader of crops; other processes make them where a GPU would wait."""
        forks = self.fabric.device.type != "cpu" and sys.platform == "linux"
        size = self.config.batch_size
        return DataLoader(
            self.crops,
            batch_size=size,
            # a last batch of one has no spread for a network to normalise by
            drop_last=len(self.crops) > size and len(self.crops) % size == 1,
            num_workers=min(8, os.cpu_count() or 1) if forks else 0,
            multiprocessing_context="fork" if forks else None,
        )

    @property
    def checkpoint(self):
        """Where the state after the last whole epoch stands."""
        return self.output.with_name(f"{self.output.name}.checkpoint")

    @property
    def writes(self):
        """Whether files are asked for, and it is this process of several that writes them."""
        return self.output is not None and self.fabric.is_global_zero

    def lock(self):
        """Return a context that keeps others from training into the same folder."""
        if not self.writes:
            return nullcontext()
        path = self.output.with_name(f".{self.output.name}.lock")
        return hold(path, doing=f"trains into {self.output}")

    def describe(self):
        """Return a line on what is trained on what."""
        n_weights = sum(p.numel() for p in self.model.parameters())
        return (
            f"{self.config.model or self.config.encoder} with {n_weights / 1e6:.1f} M weights on "
            f"{self.fabric.device.type}; classes {', '.join(self.info.classes)}; sigma "
            f"{self.info.sigma:g} px, match radius {self.info.radius:g} px; "
            f"{len(self.loader)} steps an epoch"
        )

    def train_epoch(self, epoch):
        """Show every crop once; returns the epoch's row of the history."""
        start = time.monotonic()
        self.crops.epoch = epoch
        torch.manual_seed(self.config.seed * 100_003 + epoch)  # for dropout
        self.model.train()
        losses = []
        bar = tqdm(self.loader, desc=f"epoch {epoch + 1}", leave=False, disable=None)
        for step, (image, target, valid) in enumerate(bar):
            at = epoch + step / len(self.loader)
            if self.progress(at) == 1 and losses:  # the time is over
                break
            self.set_rate(at)
            loss = self.loss_of(image, target, valid)
            self.optimiser.zero_grad()
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise InputError(
                    f"the loss became {losses[-1]} in epoch {epoch + 1}. Lower train.learning_rate "
                    f"(now {self.config.learning_rate:g}), or check your own loss for log(0)."
                )
            self.fabric.backward(loss)
            self.optimiser.step()
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
        return {
            "epoch": epoch + 1,
            "steps": len(losses),
            "seconds": time.monotonic() - start,
            "loss": np.mean(losses).item(),
            "learning_rate": self.optimiser.param_groups[0]["lr"],
        }

    def loss_of(self, image, target, valid):
        """Return the loss of a batch of crops; `valid` tells where they saw an image."""
        logits = self.model(image.contiguous(memory_format=torch.channels_last))
        # outside the picture there is nothing to learn: perfect there for any loss
        logits = torch.where(valid, logits, NOTHING)
        return self.loss_fn(logits, torch.where(valid, target, 0.0))

    def progress(self, epoch):
        """Return how much of the training is over after so many epochs, 0 to 1.

        By epochs, or by time where `minutes` limits it: whichever is over first.
        """
        done = epoch / self.n_epochs if self.n_epochs else 0.0
        if self.minutes:
            seconds = self.spent + time.monotonic() - self.began
            done = max(done, seconds / (60 * self.minutes))
        return min(1.0, done)

    def set_rate(self, epoch):
        """Let the learning rate rise for a moment, then fall to zero along a half cosine."""
        rise = min(1.0, self.progress(epoch + 1 / len(self.loader)) / WARM_UP)
        fall = 0.5 * (1 + math.cos(math.pi * self.progress(epoch)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * rise * fall

    def validate(self, part=None):
        """Predict validation images whole; returns what the epoch's row says of them."""
        options = {"loss_fn": self.loss_fn, "heatmap_fn": self.heatmap_fn}
        row, self.settings = validate(self._bare, part or self.watched, **options)
        return row

    def keep(self, row):
        """Remember the epoch: the checkpoint, then the model where it beats all before.

        In this order a kill between the two is known by what the checkpoint says of the model.
        """
        self.history.append(row)
        # without a true point in the validation images there is no F1 to go by
        score = row["f1"] if row["n_true"] else -row["val_loss"]
        is_best = score > self.best["score"]
        if is_best:
            weights = {k: v.detach().cpu().clone() for k, v in self._bare.state_dict().items()}
            self.best = {"score": score, "epoch": row["epoch"], "weights": weights}
            self.best |= {"settings": self.settings, "row": row}
            self._describe_best()
        self.epoch = row["epoch"]
        self._write_checkpoint()
        if is_best:
            self._write_best()

    def resume(self, log):
        """Go on from a checkpoint of the same training; keep another one's aside."""
        if not (self.output and self.checkpoint.exists()):
            return
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            theirs = state["fingerprint"]
        except Exception as error:  # a cut-off or foreign file: pickle, zip and torch errors
            kind = type(error).__name__
            log(f"{keep_copy(self.checkpoint)} cannot be read ({kind}): starting anew")
            return
        if theirs != self.fingerprint:
            log(f"{keep_copy(self.checkpoint)} is of other settings or images: starting anew")
            return
        self._bare.load_state_dict(state["model"])
        self.optimiser.optimizer.load_state_dict(state["optimiser"])
        self.epoch, self.best, self.history = state["epoch"], state["best"], state["history"]
        written = state.get("written", [])
        self.written = [written] if isinstance(written, str) else written  # the first edition's
        self.spent = sum(row["seconds"] + row["val_seconds"] for row in self.history)
        if self.best["weights"] and digest(self.output / "pointlib.json") in self.written[:-1]:
            self._describe_best()  # killed before the last one of ours was there
            self._write_best()
        log(f"resuming after epoch {self.epoch}")

    def alarm(self):
        """Return a sentence where the training goes wrong, once for each kind."""
        words = collapse_alarm(self.history, n_steps=len(self.loader))
        before = collapse_alarm(self.history[:-1], n_steps=len(self.loader))
        return words if words and words[:20] != before[:20] else ""

    def finish(self):
        """Return the best model and clear the checkpoint."""
        model = self._bare
        model.load_state_dict(self.best["weights"])
        if len(self.judged) > len(self.watched):
            row = self.validate(self.judged)
            self.best |= {"settings": self.settings, "row": row}
        self._describe_best()
        self._write_checkpoint()
        self._write_best()
        if self.writes:
            self.checkpoint.unlink(missing_ok=True)
        return model.eval().cpu()

    @property
    def _bare(self):
        """The model without Fabric's wrapper."""
        return self.model.module

    def _describe_best(self):
        """Write what is known of the best epoch into `info`, and what its file will be."""
        settings = self.best["settings"]
        self.info.thresholds = {name: s["threshold"] for name, s in settings.items()}
        self.info.min_distances = {name: s["min_distance"] for name, s in settings.items()}
        keys = ("f1", "precision", "recall", "mae")
        self.info.metrics = {"validation": {key: self.best["row"][key] for key in keys}}
        self.info.training = {
            "config": self.config.model_dump(exclude={"dataset_path", "output"}),
            "best_epoch": self.best["epoch"],
            "images": self.names,
            "history": self.history,
        }
        mine = hashlib.sha256(describe_model(self._bare).encode()).hexdigest()
        if mine not in self.written[-1:]:
            self.written = [*self.written[-1:], mine]

    def _write_checkpoint(self):
        """Write all that must survive a kill."""
        if not self.writes:
            return
        state = {
            "fingerprint": self.fingerprint,
            "epoch": self.epoch,
            "model": self._bare.state_dict(),
            "optimiser": self.optimiser.optimizer.state_dict(),
            "best": self.best,
            "history": self.history,
            "written": self.written,
        }
        torch.save(state, content := io.BytesIO())
        write_atomic(self.checkpoint, content.getbuffer())

    def _write_best(self):
        """Write the model folder of the best epoch."""
        if not self.writes:
            return
        now = {k: v.clone() for k, v in self._bare.state_dict().items()}
        self._bare.load_state_dict(self.best["weights"])
        there = digest(self.output / "pointlib.json")  # another may have come: a tuner's, a run's
        save_model(self._bare, self.output, keep=there not in self.written)
        self._bare.load_state_dict(now)


def check_output(output):
    """Return the output as a Path; refuse a folder that is no model, and one that cannot be made.

    A model that stands there is kept as a copy, but a folder of something else must not move.
    """
    output = need_place(output)
    if output.exists() and not (output / "pointlib.json").is_file() and any(output.iterdir()):
        raise InputError(f"{output} holds something that is not a model; name another output.")
    output.parent.mkdir(parents=True, exist_ok=True)
    need_place(output.parent)  # where copies and the checkpoint go
    return output


def digest(path):
    """Return the SHA-256 of a file's bytes in hexadecimal letters, "" where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
