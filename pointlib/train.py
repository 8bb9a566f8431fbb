"""Training: images and points in, a model folder out.

About the loop. Not about what is drawn (heatmaps.py), compared (losses.py) or counted as right
(metrics.py). Everything random is a function of (seed, epoch, index): a run that was killed goes
on from its last whole epoch and ends where it would have ended. ``python -m pointlib.train`` does
it from the command line.
"""

import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader
from tqdm import tqdm

from pointlib.config import TrainConfig, find_function
from pointlib.crops import TrainingCrops, learn_range
from pointlib.dataset import dataset_classes, load_splits
from pointlib.files import InputError, keep_copy
from pointlib.heatmaps import HEATMAPS, auto_sigma
from pointlib.losses import LOSSES
from pointlib.model import ModelInfo, build_custom, build_model, save_model
from pointlib.validate import collapse_alarm, describe_row, validate

WARM_UP = 0.05  # share of the steps in which the learning rate rises
NOTHING = -30.0  # the logit of "surely no point", put where a crop saw no image
SAMPLE = 64  # images read to learn the range of the pixel values


def fit(train, val, *, config=None, output=None, log=print):
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

    Returns
    -------
    PointModel
        The best epoch's, with thresholds chosen on `val`; ``model.info.training["history"]`` has
        a dict an epoch.
    """
    config = config or TrainConfig()
    if config.threads:
        torch.set_num_threads(config.threads)
    run = Run(train, val, config, output)
    run.resume(log)
    log(run.describe())
    for epoch in range(run.epoch, config.num_epochs):
        row = run.train_epoch(epoch)
        row |= run.validate()
        run.keep(row)
        log(describe_row(row))
        if words := run.alarm():
            log(words)
        if epoch + 1 - run.best["epoch"] >= config.patience:
            log(f"stopped: no better F1 in {config.patience} epochs")
            break
    return run.finish()


def train_folder(config, *, log=print):
    """Train on a dataset folder as config.json's `train` section says; returns the model."""
    if not config.dataset_path:
        raise InputError("train.dataset_path is not set: name the folder of images and points.")
    train, val, how = load_splits(
        config.dataset_path,
        val_split=config.val_split,
        seed=config.seed,
        classes=config.classes,
        n_channels=config.num_channels,
    )
    log(how)
    if config.encoder_weights is None and config.model is None and len(train) < 50:
        log('hint: with few images, pre-trained weights help: "encoder_weights": "imagenet"')
    return fit(train, val, config=config, output=config.output, log=log)


class Run:
    """One training: its parts, and what of it must survive a kill."""

    def __init__(self, train, val, config, output):
        self.val, self.config = val, config
        self.loss_fn = find_function(config.loss, LOSSES, what="loss")
        self.heatmap_fn = find_function(config.heatmap, HEATMAPS, what="heatmap")
        self.info = describe_data(train, config)
        torch.manual_seed(config.seed)
        self.fabric = make_fabric(config)
        model = make_model(self.info, config)
        model = model.to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
        self.model, self.optimiser = self.fabric.setup(model, optimiser)
        self.crops = TrainingCrops(
            train,
            self.info,
            size=config.crop_size,
            heatmap_fn=self.heatmap_fn,
            options={"seed": config.seed, "augment": config.augment},
        )
        on_cpu = self.fabric.device.type == "cpu"
        self.loader = self.fabric.setup_dataloaders(
            DataLoader(
                self.crops,
                batch_size=config.batch_size,
                num_workers=0 if on_cpu else min(8, os.cpu_count() or 1),
            )
        )
        self.output = None if output is None else Path(output)
        self.epoch, self.history, self.owned = 0, [], False
        self.best = {"f1": -1.0, "epoch": 0, "weights": None, "settings": {}}
        self.fingerprint = fingerprint(config, train, val)

    @property
    def checkpoint(self):
        """Where the state after the last whole epoch stands."""
        return self.output.with_name(f"{self.output.name}.checkpoint")

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
        self.epoch = self.crops.epoch = epoch
        torch.manual_seed(self.config.seed * 100_003 + epoch)  # for dropout
        self.model.train()
        losses = []
        bar = tqdm(self.loader, desc=f"epoch {epoch + 1}", leave=False, disable=None)
        for step, (image, target, valid) in enumerate(bar):
            self.set_rate(epoch * len(self.loader) + step)
            logits = self.model(image.contiguous(memory_format=torch.channels_last))
            # outside the picture there is nothing to learn: perfect there for any loss
            logits = torch.where(valid, logits, NOTHING)
            loss = self.loss_fn(logits, torch.where(valid, target, 0.0))
            self.optimiser.zero_grad()
            self.fabric.backward(loss)
            self.optimiser.step()
            losses.append(float(loss.detach()))
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
        if not np.isfinite(losses).all():
            raise InputError(
                f"the loss became {losses[-1]} in epoch {epoch + 1}. Lower train.learning_rate "
                f"(now {self.config.learning_rate:g}), or check your own loss for log(0)."
            )
        rate = self.optimiser.param_groups[0]["lr"]
        seconds = time.monotonic() - start
        return {
            "epoch": epoch + 1,
            "seconds": seconds,
            "loss": np.mean(losses).item(),
            "learning_rate": rate,
        }

    def set_rate(self, step):
        """Let the learning rate rise for a moment, then fall to zero along a half cosine."""
        n_steps = self.config.num_epochs * len(self.loader)
        rise = min(1.0, (step + 1) / max(1, WARM_UP * n_steps))
        fall = 0.5 * (1 + math.cos(math.pi * step / n_steps))
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * rise * fall

    def validate(self):
        """Predict the validation images whole; returns what the epoch's row says of them."""
        row, self.settings = validate(
            self.model.module, self.val, loss_fn=self.loss_fn, heatmap_fn=self.heatmap_fn
        )
        return row

    def keep(self, row):
        """Remember the epoch: the model where it is the best one, then the checkpoint."""
        self.history.append(row)
        if row["f1"] > self.best["f1"]:
            weights = {k: v.detach().cpu().clone() for k, v in self._bare.state_dict().items()}
            self.best = {"f1": row["f1"], "epoch": row["epoch"], "weights": weights}
            self.best["settings"] = self.settings
            self._save_best()
        self.epoch = row["epoch"]
        if self.output and self.fabric.is_global_zero:
            state = {
                "fingerprint": self.fingerprint,
                "epoch": self.epoch,
                "model": self._bare.state_dict(),
                "optimiser": self.optimiser.optimizer.state_dict(),
                "best": self.best,
                "history": self.history,
            }
            temporary = self.checkpoint.with_name(f".{self.checkpoint.name}.tmp")
            torch.save(state, temporary)
            os.replace(temporary, self.checkpoint)

    def resume(self, log):
        """Go on from a checkpoint of the same training; keep another one's aside."""
        if not (self.output and self.checkpoint.exists()):
            return
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # a cut-off or foreign file: pickle, zip and torch errors
            kind = type(error).__name__
            log(f"{keep_copy(self.checkpoint)} cannot be read ({kind}): starting anew")
            return
        if state["fingerprint"] != self.fingerprint:
            log(f"{keep_copy(self.checkpoint)} is of other settings or images: starting anew")
            return
        self._bare.load_state_dict(state["model"])
        self.optimiser.optimizer.load_state_dict(state["optimiser"])
        self.epoch, self.best, self.history = state["epoch"], state["best"], state["history"]
        self.owned = True
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
        self._save_best()
        if self.output and self.fabric.is_global_zero:
            self.checkpoint.unlink(missing_ok=True)
        return model.eval().cpu()

    @property
    def _bare(self):
        """The model without Fabric's wrapper."""
        return self.model.module

    def _save_best(self):
        """Write what is known of the best epoch into `info`, and the model folder."""
        settings = self.best["settings"]
        self.info.thresholds = {name: s["threshold"] for name, s in settings.items()}
        self.info.min_distances = {name: s["min_distance"] for name, s in settings.items()}
        row = self.history[self.best["epoch"] - 1]
        keys = ("f1", "precision", "recall", "mae")
        self.info.metrics = {"validation": {key: row[key] for key in keys}}
        self.info.training = {
            "config": self.config.model_dump(exclude={"dataset_path", "output"}),
            "best_epoch": self.best["epoch"],
            "history": self.history,
        }
        if not (self.output and self.fabric.is_global_zero):
            return
        if not self.owned:
            keep_copy(self.output)
            self.owned = True
        now = {k: v.clone() for k, v in self._bare.state_dict().items()}
        self._bare.load_state_dict(self.best["weights"])
        save_model(self._bare, self.output)
        self._bare.load_state_dict(now)


def describe_data(train, config):
    """Return a ModelInfo from the training images: classes, channels, sigma, pixel range."""
    every = [train[int(i)] for i in np.linspace(0, len(train) - 1, min(len(train), SAMPLE))]
    n_channels = np.atleast_3d(every[0][0]).shape[2]
    classes = tuple(config.classes or dataset_classes(train))
    sigma = config.gaussian_sigma
    if sigma == "auto":
        sigma = auto_sigma([p[np.asarray(labels) == c] for _, p, labels in every for c in classes])
    info = ModelInfo(
        classes=classes,
        n_channels=n_channels,
        sigma=float(sigma),
        radius=float(config.radius or 2 * sigma),
        normalise=config.normalise,
    )
    return learn_range([np.atleast_3d(image) for image, _, _ in every], info)


def make_model(info, config):
    """Return the network that the configuration names; naming your own code is trusting it."""
    if config.model:
        return build_custom(info, config.model, trust_code=True)
    return build_model(
        info,
        architecture=config.architecture,
        encoder=config.encoder,
        encoder_weights=config.encoder_weights,
    )


def make_fabric(config):
    """Return Fabric on the device asked for; mixed precision where the device gains from it."""
    try:
        fabric = Fabric(accelerator=config.accelerator, devices=config.devices)
        on_cuda = fabric.device.type == "cuda"
        if on_cuda:
            fabric = Fabric(accelerator="cuda", devices=config.devices, precision="bf16-mixed")
    except Exception as error:  # Fabric raises its own kinds for each missing device
        raise InputError(
            f"accelerator {config.accelerator!r} with {config.devices} device(s) is not to be had "
            f"here: {error} Use train.accelerator=auto or cpu."
        ) from error
    fabric.launch()
    return fabric


def fingerprint(config, train, val):
    """Return what must be equal for a training to be the same one."""
    settings = config.model_dump(exclude={"output", "threads", "accelerator", "devices"})
    names = [list(getattr(part, "names", range(len(part)))) for part in (train, val)]
    return json.dumps([settings, names], sort_keys=True, default=str)


if __name__ == "__main__":
    import sys

    from pointlib.cli import main

    sys.exit(main(["train", *sys.argv[1:]]))
