"""Training: images and points in, a model folder out.

About the loop. Not about what is settled before it (prepare.py), what is drawn (heatmaps.py),
compared (losses.py) or counted as right (metrics.py). Everything random is a function of
(seed, epoch, index): a killed run resumes after its last complete epoch and ends where it would
have ended. ``python -m pointlib.train`` runs it from the command line.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pointlib.config import TrainConfig
from pointlib.dataset import Dataset
from pointlib.errors import InputError
from pointlib.losses import mask_out
from pointlib.model.folder import read_info
from pointlib.model.point_model import PointModel
from pointlib.splits import load_splits
from pointlib.train.checkpoint import check_lock, hold_output, record_best, resume, save
from pointlib.train.prepare import describe_setup, prepare
from pointlib.train.validate import (
    describe_row,
    new_alarm,
    standard_error,
    validate,
    without_gain,
)

WARM_UP = 0.05  # share of the steps in which the learning rate rises


def fit(
    train: Dataset,
    val: Dataset,
    *,
    config: TrainConfig | None = None,
    output: str | Path | None = None,
    log: Callable[[str], object] = print,
    on_epoch: Callable[[int, PointModel], object] = lambda *_: None,
) -> PointModel:
    """Train a model.

    Parameters
    ----------
    train, val : datasets
        ``dataset[i] -> image, points, labels``; see dataset.py.
    config : TrainConfig, optional
        Its paths are not used.
    output : str or Path, optional
        The model folder. After each epoch it has the best model so far, by F1 on `val`; another
        training's is kept as a copy. None keeps the model in memory.
    log : callable
        Called with one line per epoch, and with warnings.
    on_epoch : callable, optional
        Called with (epoch, model) after each epoch, 1 for the first: predict with the model,
        but do not change it.

    Returns
    -------
    PointModel
        The best epoch's, with thresholds chosen on `val`; ``model.info.training["history"]`` has
        one dict per epoch.

    Examples
    --------
    >>> from pointlib import MemoryDataset, TrainConfig, draw_cells, fit
    >>> scenes = [draw_cells((40, 60), n=5, seed=i) for i in range(4)]
    >>> dataset = MemoryDataset([(s.image, s.points, s.labels) for s in scenes])
    >>> lines = []
    >>> model = fit(dataset, dataset, config=TrainConfig(num_epochs=1), log=lines.append)
    >>> model.info.classes, len(model.info.training["history"])
    (('point',), 1)
    """
    config = config or TrainConfig()
    setup = prepare(train, val, config, output=output)
    with hold_output(setup) as lock:
        state = resume(setup, log)
        for line in describe_setup(setup, val):
            log(line)
        if config.start and not state.history:
            score_start(setup, state, log)
        while not state.history or progress(setup, state, state.epoch) < 1:
            row = train_epoch(setup, state)
            scores, settings, rules = validate_part(setup, setup.watched)
            row |= scores
            check_lock(lock)
            is_best = keep_best(setup, state, row, settings, rules)
            save(setup, state, is_best=is_best)
            log(describe_row(row))
            on_epoch(state.epoch, setup.model)
            if words := new_alarm(state.history, n_steps=len(setup.loader)):
                log(words)
            if config.patience and without_gain(state.history) >= config.patience:
                log(f"stopped: no better F1 in {config.patience} epochs")
                break
        return finish(setup, state)


def train_epoch(setup, state):
    """Train on every crop once; return the epoch's row of the history."""
    start, epoch, losses = time.monotonic(), state.epoch, []
    setup.crops.epoch = epoch
    torch.manual_seed(setup.config.seed * 100_003 + epoch)  # for dropout
    setup.fabric_model.train()
    bar = tqdm(setup.loader, desc=f"epoch {epoch + 1}", leave=False, disable=None)
    for step, batch in enumerate(bar):
        at = epoch + step / len(setup.loader)
        if progress(setup, state, at) == 1 and losses:  # time is up
            break
        for group in setup.optimiser.param_groups:
            group["lr"] = learning_rate(setup, state, at)
        loss = loss_of(setup, *batch)
        setup.optimiser.zero_grad()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise InputError(
                f"the loss became {losses[-1]} in epoch {epoch + 1}. Lower train.learning_rate "
                f"(now {setup.config.learning_rate:g}), or check your own loss for log(0)."
            )
        setup.fabric.backward(loss)
        setup.optimiser.step()
        bar.set_postfix(loss=f"{losses[-1]:.4f}")
    return {
        "epoch": epoch + 1,
        "steps": len(losses),
        "seconds": time.monotonic() - start,
        "loss": np.mean(losses).item(),
        "learning_rate": setup.optimiser.param_groups[0]["lr"],
    }


def loss_of(setup, image, target, valid):
    """Return the loss of a batch of crops; `valid` is True inside the image and its regions."""
    logits = setup.fabric_model(image.contiguous(memory_format=torch.channels_last))
    return setup.loss_fn(*mask_out(logits, target, valid))


def progress(setup, state, epoch):
    """Return the share of the training that is done after `epoch` epochs, 0 to 1.

    By epochs or by time, if it is limited: whichever is further.
    """
    n_epochs, minutes = setup.config.num_epochs, setup.minutes
    done = epoch / n_epochs if n_epochs else 0.0
    if minutes:
        seconds = state.spent + time.monotonic() - setup.began
        done = max(done, seconds / (60 * minutes))
    return min(1.0, done)


def learning_rate(setup, state, epoch):
    """Return the learning rate: it rises briefly, then falls to 0 along a half cosine."""
    rise = min(1.0, progress(setup, state, epoch + 1 / len(setup.loader)) / WARM_UP)
    fall = 0.5 * (1 + math.cos(math.pi * progress(setup, state, epoch)))
    return setup.config.learning_rate * rise * fall


def validate_part(setup, part):
    """Predict validation images whole; return what `validate` returns."""
    return validate(setup.model, part, loss_fn=setup.loss_fn, heatmap_fn=setup.heatmap_fn)


def score_start(setup, state, log):
    """Score the model that a training goes on from; only an epoch as good is kept in its place.

    As good is: by less than a standard error worse, as between epochs.

    Where it was trained on images that validate now, its score says nothing, and it is not kept.
    """
    trained = read_info(setup.config.start).training.get("images", {}).get("train", ())
    if seen := set(trained) & set(setup.names["val"]):
        log(
            f"warning: {len(seen)} of the {len(setup.names['val'])} validation images trained the "
            "model this goes on from, so the two are not compared; keep val.txt the same to do so"
        )
        return
    row, *found = validate_part(setup, setup.watched)
    remember(setup, state, row | {"epoch": 0}, *found)
    state.best["floor"] = row["f1"] - standard_error(row)
    log(f"before the first epoch: F1 {row['f1']:.3f}, count error {row['mae']:.1f}")


def keep_best(setup, state, row, settings, rules):
    """Add an epoch to the history; if it is the best, keep its weights and return True.

    The best is the latest whose F1 is at most one standard error below the highest: on few points
    the highest F1 is luck, and later epochs have learnt more, at a lower rate.
    """
    state.history.append(row)
    # without a true point in the validation images there is no F1 to go by
    score, error = (row["f1"], standard_error(row)) if row["n_true"] else (-row["val_loss"], 0.0)
    is_best = score >= state.best["floor"]
    if is_best:
        remember(setup, state, row, settings, rules)
    state.best["floor"] = max(state.best["floor"], score - error)
    return is_best


def remember(setup, state, row, settings, rules):
    """Keep the weights of an epoch, and how to find and count points with them."""
    weights = {k: v.detach().cpu().clone() for k, v in setup.model.state_dict().items()}
    state.best |= {"epoch": row["epoch"], "weights": weights}
    note(setup, state, row, settings, rules)


def note(setup, state, row, settings, rules):
    """Note the scores of the best epoch, and how to find and count points with it."""
    rules = {name: dataclasses.asdict(rule) for name, rule in rules.items()}
    state.best |= {"row": row, "settings": settings, "rules": rules}
    record_best(setup, state)


def finish(setup, state):
    """Return the best model, thresholds chosen on more images; write it, delete the checkpoint."""
    setup.model.load_state_dict(state.best["weights"])
    if len(setup.judged) > len(setup.watched):
        note(setup, state, *validate_part(setup, setup.judged))
    record_best(setup, state)
    save(setup, state, is_best=True)
    if setup.writes:
        setup.checkpoint.unlink(missing_ok=True)
    return setup.model.eval().cpu()


def train_folder(config: TrainConfig, *, log: Callable[[str], object] = print) -> PointModel:
    """Train on a dataset folder as config.json's `train` section says; return the model.

    Examples
    --------
    >>> from pointlib import TrainConfig, draw_cells, text_path, train_folder, write_image
    >>> from pointlib import write_points
    >>> for i in range(5):
    ...     scene = draw_cells((40, 60), n=5, seed=i)
    ...     write_image(f"cells/{i}.png", scene.image)
    ...     write_points(text_path(f"cells/{i}.png"), scene.points, (40, 60))
    >>> lines = []
    >>> model = train_folder(TrainConfig(dataset_path="cells", num_epochs=1), log=lines.append)
    >>> model.info.classes, len(model.info.training["images"]["train"])
    (('point',), 4)
    """
    train, val, how = load_parts(config)
    log(how)
    return fit(train, val, config=config, output=config.output, log=log)


def load_parts(config):
    """Return the parts to train and to validate on, and how they were split: `load_splits`."""
    if not config.dataset_path:
        raise InputError("train.dataset_path is not set: name the folder of images and points.")
    load = partial(
        load_splits,
        config.dataset_path,
        val_split=config.val_split,
        seed=config.seed,
        n_channels=config.num_channels,
    )
    parts = load(classes=config.classes)
    if config.start and not config.classes and parts[0].classes == ("point",):
        known = read_info(config.start).classes
        if len(known) == 1:  # points without a name are of the one class that it knows
            return load(classes=known)
    return parts
