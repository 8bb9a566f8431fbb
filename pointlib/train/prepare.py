"""What a training is made of: facts of its images, a network, a device, and what makes it the same.

About all that is settled before the first step. Not about the steps: loop.py.
"""

import dataclasses
import hashlib

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision

from pointlib.dataset import check_item, dataset_classes, names_of, sample_indices
from pointlib.errors import InputError, brief
from pointlib.heatmaps import auto_sigma
from pointlib.matching import check_reach
from pointlib.model.point_model import ModelInfo, build_custom, build_model
from pointlib.train.crops import learn_range
from pointlib.train.dry_run import tried

LARGE, SEEN = 6.0, 2.5  # px: from this sigma on images are shrunk, until it is that
SMALLEST = 0.1  # share of its size at which an image is seen at least


def describe_data(train, config):
    """Return a ModelInfo from the training images: classes, channels, sigma, pixel range."""
    every = [check_item(train[int(i)], f"train[{i}]") for i in sample_indices(train)]
    n_channels = np.atleast_3d(every[0][0]).shape[2]
    if config.radius:
        check_reach(config.radius, [image.shape for image, _, _ in every])
    classes = tuple(config.classes or dataset_classes(train))
    sigma = config.gaussian_sigma
    if sigma == "auto":
        of_class = [p[np.asarray(labels) == c] for _, p, labels in every for c in classes]
        sigma = auto_sigma(of_class, radius=config.radius)
    info = ModelInfo(
        classes=classes,
        n_channels=n_channels,
        sigma=float(sigma),
        radius=float(config.radius or 2 * sigma),
        normalise=config.normalise,
        scale=auto_scale(sigma) if config.scale == "auto" else config.scale,
    )
    return learn_range([np.atleast_3d(image) for image, _, _ in every], info)


def auto_scale(sigma):
    """Return how small images are best seen: so that sigma is 2.5 px, where it is 6 or more.

    A small network overlooks no more than some dozen pixels, and a quarter of the pixels is a
    quarter of the time. Below 6 px the sharpness lost costs more than that gains.
    """
    return 1.0 if sigma < LARGE else round(max(SEEN / sigma, SMALLEST), 3)


def make_model(info, config):
    """Return the network that the configuration names; naming your own code is trusting it."""
    if config.model:
        what, needed = f"train.model {config.model!r}", "model_fn(*, in_channels, n_classes)"
        return tried(lambda: build_custom(info, config.model, trust_code=True), what, needed)
    return build_model(
        info,
        architecture=config.architecture,
        encoder=config.encoder,
        encoder_weights=config.encoder_weights,
    )


def make_fabric(config):
    """Return Fabric on the device asked for; mixed precision where the device gains from it."""
    try:
        if config.devices > 1 and config.accelerator == "cpu":
            raise ValueError("a CPU is one device, whose cores train.threads shares out.")
        fabric = Fabric(accelerator=config.accelerator, devices=config.devices)
        kind = fabric.device.type
        if config.precision == "bf16" or (config.precision == "auto" and _has_bf16(kind)):
            half = MixedPrecision("bf16-mixed", kind)  # by its name, Fabric would log it
            fabric = Fabric(accelerator=kind, devices=config.devices, plugins=half)
    except Exception as error:  # Fabric raises its own kinds for each missing device
        raise InputError(
            f"accelerator {config.accelerator!r} with {config.devices} device(s) is not to be had "
            f"here: {brief(error)} Use train.accelerator=auto or cpu, and train.devices=1."
        ) from error
    fabric.launch()
    return fabric


def _has_bf16(kind):
    """Return whether a device multiplies 16-bit floats faster than 32-bit ones."""
    # torch before 2.10 cannot say; there CPUs compute in 32 bits unless told otherwise
    able = getattr(torch.cpu, "get_capabilities", dict)() if kind == "cpu" else {}
    return kind == "cuda" or able.get("avx512_bf16", False) or able.get("amx_bf16", False)


def points_of(dataset, index):
    """Return points and labels of an image, without reading its pixels where that can be."""
    _, points, labels = (
        (None, *dataset.points(index)) if hasattr(dataset, "points") else dataset[index]
    )
    return np.asarray(points, dtype=float), np.asarray(labels, dtype=str)


def classes_without_points(dataset, classes):
    """Return the classes that no point of a dataset has."""
    present = {label for i in range(len(dataset)) for label in points_of(dataset, i)[1].tolist()}
    return [name for name in classes if name not in present]


def fingerprint(config, info, train, val):
    """Return what must be equal for a training to be the same one: settings, names, points."""
    settings = config.model_dump(exclude={"output", "threads", "accelerator", "devices"})
    digest = hashlib.sha256(repr((settings, dataclasses.astuple(info))).encode())
    for part in (train, val):
        for i, name in enumerate(names_of(part)):
            points, labels = points_of(part, i)
            digest.update(repr((name, points.tolist(), labels.tolist())).encode())
    return digest.hexdigest()
