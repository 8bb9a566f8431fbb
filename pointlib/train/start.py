"""Going on: a training that starts from an earlier model, on other images or with a new class.

About what the new model takes over from the earlier one, and what may not differ. Not about the
pretrained encoders that a training of its own starts from: model/pretrained.py.
"""

import dataclasses
import hashlib
from pathlib import Path

from pointlib.errors import InputError
from pointlib.matching import radius_of
from pointlib.model.folder import load_model, read_info
from pointlib.model.network import fill, fit_outputs
from pointlib.model.point_model import PointModel, build_custom

TAKEN = ("scale", "normalise", "low", "high", "mean", "std", "depth")


def go_on(config, info):
    """Return the model of `train.start`, made ready for other images.

    It keeps its network, the scale at which it sees images and how it scales their pixels; its
    sigma and match radius too, unless the configuration gives others. Classes that it does not
    know come after its own, as untrained outputs.

    Parameters
    ----------
    config : TrainConfig
    info : ModelInfo
        What `describe_data` finds in the new images.

    Returns
    -------
    PointModel

    Raises
    ------
    InputError
        If channels, pixel depth, scale, normalisation or network differ from what the images or
        the configuration ask for.
    """
    before = read_info(config.start)
    taken = {name: getattr(before, name) for name in TAKEN}
    if config.gaussian_sigma == "auto":
        taken["sigma"] = before.sigma
    new = [name for name in info.classes if name not in before.classes]
    taken["classes"] = tuple(config.classes or (*before.classes, *new))
    is_given = config.radius is not None or config.diameter is not None
    taken["radius"] = _radius_for(taken["classes"], before, info, prefer_new=is_given)
    if config.exclusive == "auto" and len(info.classes) == 1:  # one class alone cannot tell
        taken["exclusive"] = before.exclusive
    joined = dataclasses.replace(info, **taken)
    _refuse(config, next(_misfits(config, before, info, joined.classes), ""))
    if before.custom:
        model = build_custom(joined, config.model, trust_code=True)
        fill(model.network, Path(config.start) / "model.safetensors")
        return model
    model = load_model(config.start)
    _refuse(config, next(_other_network(config, model.network), ""))
    fit_outputs(model.network, before.classes, joined.classes)
    return PointModel(model.network, joined, divisor=model.divisor)


def _radius_for(classes, before, info, *, prefer_new):
    """Return the match radius: the earlier model's, or the new one where that is given.

    Where these have one for each class, a class that it does not know has that of the other.
    """
    first, second = (info, before) if prefer_new else (before, info)
    if not isinstance(first.radius, dict):
        return first.radius
    known = {name: radius_of(first.radius, name) for name in first.classes}
    other = {name: radius_of(second.radius, name) for name in second.classes}
    return {name: (other | known)[name] for name in classes}


def _refuse(config, words):
    """Raise InputError with words about the start, if there are any."""
    if words:
        raise InputError(f"train.start {config.start} {words}, or start anew.")


def _misfits(config, before, info, classes):
    """Yield in words what a model cannot take over to these images and settings."""
    if before.n_channels != info.n_channels:
        yield (
            f"sees {before.n_channels} channels, and these images have {info.n_channels}. Set "
            f"train.num_channels to {before.n_channels}"
        )
    if before.depth not in ("", info.depth):
        yield (
            f"was trained on {before.depth} pixels, and these images have {info.depth}. Convert "
            "them to that kind"
        )
    if config.scale not in ("auto", before.scale):
        yield (
            f"sees images at scale {before.scale:g}, and train.scale is {config.scale:g}. Leave it "
            "out"
        )
    if "normalise" in config.model_fields_set and config.normalise != before.normalise:
        yield (
            f"has normalise {before.normalise!r}, and train.normalise is {config.normalise!r}. "
            "Leave it out"
        )
    if before.custom and not config.model:
        yield "is a custom model. Name its code as train.model too"
    if config.model and not before.custom:
        yield "is a network of smp. Leave train.model out"
    if before.custom and classes != before.classes:
        yield f"is a custom model and keeps its classes, {', '.join(before.classes)}. Set them"


def _other_network(config, network):
    """Yield in words how the network that the configuration asks for is another than this one."""
    encoder, depth = network.config["encoder_name"], network.config.get("encoder_depth")
    has = {"architecture": type(network).__name__, "encoder": encoder}
    if ":" in config.encoder:
        has["encoder"] = f"{encoder}:{depth}"
    for key, value in has.items():
        asked = getattr(config, key)
        if key in config.model_fields_set and asked.lower() != value.lower():
            yield f"has the {key} {value}, and train.{key} is {asked}. Leave it out"


def describe_start(config):
    """Return folder name and weights' digest of the model that a training goes on from, or {}."""
    if not config.start:
        return {}
    return {"model": Path(config.start).name, "sha256": start_digest(config.start)}


def start_digest(folder):
    """Return the SHA-256 of a model's weights in hexadecimal."""
    return hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()
