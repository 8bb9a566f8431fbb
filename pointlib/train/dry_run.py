"""Dry run: a blank batch through network, heatmap and loss, before any image is used.

The parts that a configuration names may not fit together: an architecture may take images of one
size only, a custom loss may return one number per pixel. Such errors are reported here, in words,
not deep inside the first epoch. Not about whether training goes well: validate.py watches that.
"""

from functools import partial

import torch

from pointlib.errors import InputError, brief, user_line
from pointlib.heatmaps import draw_classes
from pointlib.thresholds import FLOOR


def rehearse(model, config, *, loss_fn, heatmap_fn):
    """Run one step of training on a blank batch; raise InputError if it fails.

    Parameters
    ----------
    model : PointModel
        It is not changed.
    config : TrainConfig
    loss_fn, heatmap_fn : callable
        Those that `config` names.
    """
    size, info = config.crop_size, model.info
    batch = torch.zeros(min(config.batch_size, 2), info.n_channels, size, size)
    target = _draw(config, info, heatmap_fn)
    logits = _run(model, batch, config)
    what = f"train.loss {config.loss!r}"
    keywords = "".join(f", {key}=..." for key in config.loss_options)
    needed = f"loss_fn(logits, target{keywords})" if keywords or ":" in config.loss else ""
    if keywords:
        what += f" with train.loss_options {config.loss_options}"
    loss = tried(lambda: loss_fn(logits, target.expand_as(logits)), what, needed)
    is_one = isinstance(loss, torch.Tensor) and loss.ndim == 0 and loss.is_floating_point()
    if not is_one or (logits.requires_grad and not loss.requires_grad):
        raise InputError(
            f"{what} returns {_look(loss)}; expected a scalar tensor that torch can "
            "differentiate, one number per batch, as .mean() gives."
        )


def _draw(config, info, heatmap_fn):
    """Return the target (C, S, S) of one point, after checking one in an oblong frame."""
    what = f"train.heatmap {config.heatmap!r}"
    needed = "heatmap_fn(points, shape, *, sigma) -> (H, W)" if ":" in config.heatmap else ""
    sigma = info.sigma * info.scale
    options = {"classes": info.classes, "sigma": sigma, "heatmap_fn": heatmap_fn}

    def drawn(place, shape):
        call = partial(draw_classes, [place], info.classes[:1], shape, **options)
        return _checked(tried(call, what, needed), shape, what)

    heights = drawn((25.3, 9.4), (32, 40))[0]
    if not heights.max() > FLOOR:
        raise InputError(
            f"{what} draws a point of sigma {sigma:g} px no higher than "
            f"{float(heights.max()):.3f}, which no threshold finds. Use a larger "
            "train.gaussian_sigma or train.scale, or draw points up to 1."
        )
    if heights[9, 25] < heights[25, 9]:
        raise InputError(
            f"{what} draws a point at x 25, y 9 at x 9, y 25. Only arrays are [y, x]; points are "
            "x, y: swap the two."
        )
    return drawn((10, 10), (config.crop_size, config.crop_size))


def _checked(target, shape, what):
    """Return a target (C, H, W); InputError if its shape is another or heights are not 0 to 1."""
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
    if not any(weight.requires_grad for weight in model.parameters()):
        raise InputError(f"{what} has no weights to train. Give it a layer of torch.nn.")
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
    """Return what a call returns; InputError if it fails, unless it runs our code only.

    `what` names it; `needed` is what the user's own function must take, "" if it is ours.
    """
    if not needed:
        return call()
    try:
        return call()
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # the user's code, or a network not made for this
        where, fault = user_line(error), f"{what} fails: "
        if where:
            raise InputError(f"{fault}{where} raises {brief(error)}. Fix this code.") from error
        raise InputError(f"{fault}{brief(error)}. It must take {needed}.") from error


def _look(value):
    """Return what a value is, in a word or two."""
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" + ("" if shape is None else f" of shape {tuple(shape)}")
