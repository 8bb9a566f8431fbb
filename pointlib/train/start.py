"""Going on: a training that starts from an earlier model, on other images or with a new class.

About what the new model takes over from the earlier one, and what may not differ. Not about the
pretrained encoders that a training of its own starts from: model/pretrained.py.
"""

import dataclasses
import hashlib
from pathlib import Path

from pointlib.errors import InputError
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
    _check_same(config, before, info)
    taken = {name: getattr(before, name) for name in TAKEN}
    if config.gaussian_sigma == "auto":
        taken["sigma"] = before.sigma
    if config.radius is None:
        taken["radius"] = before.radius
    new = [name for name in info.classes if name not in before.classes]
    taken["classes"] = tuple(config.classes or (*before.classes, *new))
    info = dataclasses.replace(info, **taken)
    if before.custom:
        model = build_custom(info, config.model, trust_code=True)
        fill(model.network, Path(config.start) / "model.safetensors")
        return model
    model = load_model(config.start)
    _check_network(config, model.network)
    fit_outputs(model.network, before.classes, info.classes)
    return PointModel(model.network, info, divisor=model.divisor)


def _check_same(config, before, info):
    """Raise InputError on what a model cannot take over to these images and settings."""
    fault = f"train.start {config.start}"
    if before.n_channels != info.n_channels:
        raise InputError(
            f"{fault} sees {before.n_channels} channels, and these images have "
            f"{info.n_channels}. Set train.num_channels to {before.n_channels}, or start anew."
        )
    if before.depth and before.depth != info.depth:
        raise InputError(
            f"{fault} was trained on {before.depth} pixels, and these images have {info.depth}. "
            "Convert them to the same kind, or start anew."
        )
    if config.scale not in ("auto", before.scale):
        raise InputError(
            f"{fault} sees images at scale {before.scale:g}, and train.scale is "
            f"{config.scale:g}. Leave it out, or start anew."
        )
    if "normalise" in config.model_fields_set and config.normalise != before.normalise:
        raise InputError(
            f"{fault} has normalise {before.normalise!r}, and train.normalise is "
            f"{config.normalise!r}. Leave it out, or start anew."
        )
    if bool(before.custom) != bool(config.model):
        needed = "name its code as train.model too" if before.custom else "leave train.model out"
        raise InputError(
            f"{fault} is {'a custom model' if before.custom else 'a network of smp'}: {needed}."
        )
    if before.custom and tuple(config.classes or before.classes) != before.classes:
        raise InputError(
            f"{fault} is a custom model with classes {', '.join(before.classes)}: it keeps them."
        )


def _check_network(config, network):
    """Raise InputError if the configuration asks for another network than the model's."""
    encoder = network.config["encoder_name"]
    name, _, depth = config.encoder.partition(":")
    if depth:
        encoder += f":{network.config.get('encoder_depth')}"
    wanted = f"{name}:{depth}" if depth else name
    architecture = type(network).__name__
    for key, asked, has in (
        ("encoder", wanted, encoder),
        ("architecture", config.architecture, architecture),
    ):
        if key in config.model_fields_set and asked.lower() != has.lower():
            raise InputError(
                f"train.start {config.start} has the {key} {has}, and train.{key} is {asked}. "
                "Leave it out, or start anew."
            )


def describe_start(config):
    """Return folder name and weights' digest of the model that a training goes on from, or {}."""
    if not config.start:
        return {}
    return {"model": Path(config.start).name, "sha256": start_digest(config.start)}


def start_digest(folder):
    """Return the SHA-256 of a model's weights in hexadecimal."""
    return hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()
