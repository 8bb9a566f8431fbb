"""Rehearsal: a blank batch through network, heatmap and loss, before any image is shown.

What a configuration names may not fit together: an architecture that takes images of one size
only, a loss of one's own that returns a number a pixel. It is told here, in words, and not deep
inside the first epoch. Not about whether training goes well: validate.py watches that.
"""

import torch

from pointlib.blame import brief, user_line
from pointlib.files import InputError
from pointlib.heatmaps import draw_classes


def rehearse(model, config, *, loss_fn, heatmap_fn):
    """Do what a step of the training does, on a blank batch; raise InputError where it fails.

    Parameters
    ----------
    model : PointModel
        It is left as it was.
    config : TrainConfig
    loss_fn, heatmap_fn : callable
        Those that `config` names.
    """
    size, info = config.crop_size, model.info
    batch = torch.zeros(min(config.batch_size, 2), info.n_channels, size, size)
    target = _draw(config, info, heatmap_fn)
    logits = _run(model, batch, config)
    what = f"train.loss {config.loss!r}"
    needed = "loss_fn(logits, target)" if ":" in config.loss else ""
    loss = tried(lambda: loss_fn(logits, target.expand_as(logits)), what, needed)
    is_one = isinstance(loss, torch.Tensor) and loss.ndim == 0
    if not is_one or (logits.requires_grad and not loss.requires_grad):
        raise InputError(
            f"{what} returns {_look(loss)}; expected a tensor without axes that torch can derive, "
            "one number a batch, as .mean() gives."
        )


def _draw(config, info, heatmap_fn):
    """Return the target (C, S, S) of one point."""
    shape, what = (config.crop_size, config.crop_size), f"train.heatmap {config.heatmap!r}"
    options = {"classes": info.classes, "sigma": info.sigma, "heatmap_fn": heatmap_fn}
    points, labels = [[10.0, 10.0]], [info.classes[0]]
    needed = "heatmap_fn(points, shape, *, sigma) -> (H, W)" if ":" in config.heatmap else ""
    target = tried(lambda: draw_classes(points, labels, shape, **options), what, needed)
    if target.shape[1:] != shape:
        raise InputError(
            f"{what} returns {_look(target[0])} for a shape of {shape}; expected (H, W)."
        )
    if not bool(((target >= 0) & (target <= 1)).all()):
        span = f"from {float(target.min()):g} to {float(target.max()):g}"
        raise InputError(f"{what} returns values {span}; expected heights of 0 to 1.")
    return target


def _run(model, batch, config):
    """Return the network's logits of a batch, in training mode; its statistics stay as they are."""
    what = f"train.model {config.model!r}"
    if not config.model:
        what = f"train.architecture {config.architecture!r} with encoder {config.encoder!r}"
    before = {key: value.clone() for key, value in model.state_dict().items()}
    needed = (
        f"a batch of {tuple(batch.shape)}. Try another train.batch_size (2 or more), "
        "train.crop_size or train.architecture"
    )
    logits = tried(lambda: model.train()(batch), what, needed)
    model.load_state_dict(before)
    wanted = (len(batch), len(model.info.classes), *batch.shape[2:])
    if not isinstance(logits, torch.Tensor) or logits.shape != wanted:
        raise InputError(
            f"{what} returns {_look(logits)} for a batch of {tuple(batch.shape)}; expected logits "
            f"(B, n_classes, H, W), here {wanted}."
        )
    return logits


def tried(call, what, needed):
    """Return what a call returns; InputError where it fails, unless nothing of the user's is in it.

    `what` names it; `needed` is what the user's own function must take, "" where it is ours.
    """
    if not needed:
        return call()
    try:
        return call()
    except InputError:
        raise
    except Exception as error:  # the user's code, or a network that was not made for this
        where, fault = user_line(error), f"{what} fails: "
        if where:
            raise InputError(f"{fault}{where} raises {brief(error)}. Mend this code.") from error
        raise InputError(f"{fault}{brief(error)}. It must take {needed}.") from error


def _look(value):
    """Return what a value is, in a word or two."""
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" + ("" if shape is None else f" of shape {tuple(shape)}")
