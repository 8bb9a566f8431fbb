"""Checkpoints: what survives if a training is killed: its progress and its best model.

The checkpoint also has the digest of the model's file: so a resumed training can tell its own model
from one that somebody else has put there.

About files. Not about how an epoch is trained (loop.py) or how a model is saved (model/folder.py).
"""

import dataclasses
import hashlib
import io
import math
from contextlib import nullcontext

import torch

from pointlib.counts import CountRule
from pointlib.errors import InputError
from pointlib.files import keep_copy, need_place, write_atomic
from pointlib.lock import hold
from pointlib.model.folder import describe_model, save_model
from pointlib.train.prepare import encoder_start
from pointlib.train.start import describe_start

NONE_YET = {"floor": -math.inf, "epoch": 0, "weights": None, "settings": {}}


@dataclasses.dataclass
class State:
    """The progress of a training."""

    history: list = dataclasses.field(default_factory=list)  # one row per epoch
    best: dict = dataclasses.field(default_factory=NONE_YET.copy)  # epoch: its row and weights
    # digests of the last two pointlib.json that we wrote
    written: list = dataclasses.field(default_factory=list)
    spent: float = 0.0  # seconds, before it was resumed
    start: dict = dataclasses.field(default_factory=dict)  # the model it went on from

    @property
    def epoch(self):
        """The number of completed epochs."""
        return len(self.history)


def hold_output(setup):
    """Return a context that keeps others from training into the same folder.

    It yields a Lock, or None if nothing is written.
    """
    if setup.output is not None:
        check_output(setup.output)
    if not setup.writes:
        return nullcontext()
    path = setup.output.with_name(f".{setup.output.name}.lock")
    return hold(path, doing=f"trains into {setup.output}")


def check_output(output):
    """Reject a folder that is not a model, and one that cannot be created; create its parent.

    An existing model is kept as a copy, but a folder of something else must not move.
    """
    need_place(output)
    if output.exists() and not (output / "pointlib.json").is_file() and any(output.iterdir()):
        raise InputError(f"{output} contains something that is not a model; name another output.")
    output.parent.mkdir(parents=True, exist_ok=True)
    need_place(output.parent)  # where copies and the checkpoint go


def check_lock(lock):
    """Raise InputError if the lock of `hold_output` is no longer ours."""
    if words := lock.trouble() if lock else "":
        raise InputError(f"{words} Run this again when it has ended: no epoch is lost.")


def resume(setup, log):
    """Return the state to start from: a checkpoint's of the same training, else a new one.

    Network and optimiser are restored too. Another training's checkpoint is kept as a copy.
    """
    fresh = State(start=describe_start(setup.config))
    if setup.output is None or not setup.checkpoint.exists():
        return fresh
    try:
        saved = torch.load(setup.checkpoint, map_location="cpu", weights_only=True)
        is_ours = saved["fingerprint"] == setup.fingerprint
        fault = "" if is_ours else "has other settings or images"
    except Exception as error:  # a truncated or foreign file: pickle, zip and torch errors
        fault = f"cannot be read ({type(error).__name__})"
    if fault:
        log(f"{keep_copy(setup.checkpoint)} {fault}: starting again")
        return fresh
    setup.model.load_state_dict(saved["model"])
    setup.optimiser.optimizer.load_state_dict(saved["optimiser"])
    written = saved.get("written", [])
    written = [written] if isinstance(written, str) else written  # the first edition's
    spent = sum(row["seconds"] + row["val_seconds"] for row in saved["history"])
    state = State(saved["history"], saved["best"], written, spent, saved["start"])
    if state.best["weights"] and digest(setup.output / "pointlib.json") in written[:-1]:
        record_best(setup, state)  # killed before our last one was written
        if setup.writes:
            write_best(setup, state)
    log(f"resuming after epoch {state.epoch}")
    return state


def record_best(setup, state):
    """Put the best epoch into the model's `info`, and the digest of its file into the state."""
    info, settings = setup.model.info, state.best["settings"]
    info.thresholds = {name: s["threshold"] for name, s in settings.items()}
    info.min_distances = {name: s["min_distance"] for name, s in settings.items()}
    rules = state.best.get("rules", {})  # none in a checkpoint of the first edition
    info.count_rules = {name: CountRule(**rule) for name, rule in rules.items()}
    keys = ("f1", "precision", "recall", "mae")
    info.metrics = {"validation": {key: state.best["row"][key] for key in keys}}
    info.training = {
        "config": setup.config.model_dump(exclude={"dataset_path", "output", "start"}),
        "best_epoch": state.best["epoch"],
        "images": setup.names,
        "history": state.history,
    }
    if start := encoder_start(setup.config):
        info.training["encoder_start"] = start
    if state.start:
        info.training["start"] = state.start
    mine = hashlib.sha256(describe_model(setup.model).encode()).hexdigest()
    if mine not in state.written[-1:]:
        state.written = [*state.written[-1:], mine]


def save(setup, state, *, is_best):
    """Write the checkpoint, then the model folder if the last epoch is the best.

    In this order, the checkpoint shows whether a kill came between the two.
    """
    if setup.writes:
        write_checkpoint(setup, state)
        if is_best:
            write_best(setup, state)


def write_checkpoint(setup, state):
    """Write everything that must survive a kill."""
    content = {
        "fingerprint": setup.fingerprint,
        "epoch": state.epoch,
        "model": setup.model.state_dict(),
        "optimiser": setup.optimiser.optimizer.state_dict(),
        "best": state.best,
        "history": state.history,
        "written": state.written,
        "start": state.start,
    }
    torch.save(content, file := io.BytesIO())
    write_atomic(setup.checkpoint, file.getbuffer())


def write_best(setup, state):
    """Write the model folder of the best epoch."""
    model = setup.model
    now = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(state.best["weights"])
    there = digest(setup.output / "pointlib.json")  # may be another's: a tuner's, a run's
    save_model(model, setup.output, keep=there not in state.written)
    model.load_state_dict(now)


def digest(path):
    """Return the SHA-256 of a file's bytes in hexadecimal, "" if there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
