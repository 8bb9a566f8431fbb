"""Setup of a training: facts about its images, the network, the device, and the fingerprint.

About everything that is fixed before the first step. Not about the steps (loop.py) or their
progress (checkpoint.py).
"""

import dataclasses
import hashlib
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch.utils.data import DataLoader

from pointlib.config import TrainConfig, find_function
from pointlib.dataset import (
    check_item,
    dataset_classes,
    names_of,
    regions_of,
    sample_indices,
    shape_of,
)
from pointlib.errors import InputError, brief, suggest
from pointlib.heatmaps import HEATMAPS, auto_sigma, density
from pointlib.losses import LOSSES
from pointlib.matching import check_radius, check_reach, describe_radius, near_pairs
from pointlib.model.point_model import ModelInfo, PointModel, build_custom, build_model
from pointlib.model.pretrained import describe_packaged
from pointlib.predict.points import WHOLE
from pointlib.predict.reach import halo_of
from pointlib.sizes import (
    describe_size,
    looked_at,
    match_radius,
    object_size,
    usual_radius,
)
from pointlib.train.crops import Shrunk, TrainingCrops, learn_range, mean_pixels
from pointlib.train.dry_run import rehearse, tried
from pointlib.train.start import go_on, start_digest
from pointlib.train.validate import spread

MINUTES = 10.0  # of a training whose epochs and time are not limited
VALIDATED = 12e6  # px, as seen by the network: after each epoch; ten times as many at the end
LARGE, SEEN = 6.0, 2.5  # px: from the first sigma on, images are shrunk until it is the second
SMALLEST = 0.1  # the lowest scale of an image
UNKNOWN = 6.0  # px: match radius where no image looked at has a point
SHARED = 0.01  # of the points: where more have a point of another class on them, classes overlap


@dataclasses.dataclass
class Setup:
    """Everything that is fixed before the first step of a training."""

    config: TrainConfig
    output: Path | None  # the model folder
    loss_fn: Callable
    heatmap_fn: Callable
    fabric: Fabric
    model: PointModel
    fabric_model: torch.nn.Module  # the same, as Fabric runs it on its devices
    optimiser: torch.optim.Optimizer
    crops: TrainingCrops
    loader: DataLoader
    watched: object  # the validation images predicted after each epoch
    judged: object  # and at the end
    names: dict  # {"train", "val"}: names of the images
    size: str  # how wide the objects look, in words; "" if the match radius is given
    began: float  # seconds, of time.monotonic
    fingerprint: str

    @property
    def minutes(self):
        """The time limit; None if only the epochs are limited."""
        return self.config.minutes or (None if self.config.num_epochs else MINUTES)

    @property
    def checkpoint(self):
        """The file of the state after the last complete epoch."""
        return self.output.with_name(f"{self.output.name}.checkpoint")

    @property
    def writes(self):
        """Whether there is an output, and this is the one process of several that writes it."""
        return self.output is not None and self.fabric.is_global_zero


def prepare(train, val, config, *, output=None):
    """Do everything before the first step: find, measure, build and rehearse.

    torch gets the threads and the seed of the configuration; nothing is written.

    Parameters
    ----------
    train, val, config, output
        As `loop.fit` takes them.

    Returns
    -------
    Setup
    """
    check_parts(train, val)
    if config.threads:
        torch.set_num_threads(config.threads)
    loss_fn, heatmap_fn = find_functions(config)
    info, size = describe_data(train, config)
    torch.manual_seed(config.seed)
    fabric = make_fabric(config)
    model = make_model(info, config)
    rehearse(model, config, loss_fn=loss_fn, heatmap_fn=heatmap_fn)
    model = model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
    fabric_model, optimiser = fabric.setup(model, optimiser)
    crops = make_crops(train, model.info, config, heatmap_fn=heatmap_fn)
    n_watched = VALIDATED / model.info.scale**2 / mean_pixels(val)
    output = None if output is None else Path(output)
    return Setup(
        config=config,
        output=output,
        loss_fn=loss_fn,
        heatmap_fn=heatmap_fn,
        fabric=fabric,
        model=model,
        fabric_model=fabric_model,
        optimiser=optimiser,
        crops=crops,
        loader=make_loader(crops, fabric, config.batch_size),
        watched=spread(val, n_watched),
        judged=spread(val, 10 * n_watched),
        names={"train": names_of(train), "val": names_of(val)},
        size=size,
        began=time.monotonic(),
        fingerprint=fingerprint(config, model.info, train, val, output=output),
    )


def check_parts(train, val):
    """Raise InputError if a part has no image, or the training images have no point."""
    for part, name in ((train, "training"), (val, "validation")):
        if not (hasattr(part, "__len__") and len(part)):
            raise InputError(f"the {name} part has no image; expected one or more.")
        check_item(part[0], f"the first of the {name} part")
    if not any(len(points_of(train, i)[0]) for i in range(len(train))):
        raise InputError(
            f"none of the {len(train)} training images has a point: there is nothing to learn. "
            "Annotate some, or name others in train.txt."
        )


def find_functions(config):
    """Return the loss and the heatmap function that the configuration names."""
    loss_fn = find_function(config.loss, LOSSES, what="loss")
    if config.loss_options:
        loss_fn = partial(loss_fn, **config.loss_options)
    heatmap_fn = find_function(config.heatmap, HEATMAPS, what="heatmap")
    if heatmap_fn is density:
        raise InputError(
            "train.heatmap is density: its peaks are far below 1, so no threshold finds them. "
            "Use gaussian_max; density is for counting by sums, in your own loop."
        )
    return loss_fn, heatmap_fn


def describe_data(train, config):
    """Return a ModelInfo from the training images, and in words how wide their objects look.

    The words are "" if the configuration gives a match radius.
    """
    some = sample_indices(len(train), shape_of(train, 0))
    every = [check_item(train[int(i)], f"train[{i}]") for i in some]
    n_channels = np.atleast_3d(every[0][0]).shape[2]
    classes = tuple(config.classes or dataset_classes(train))
    radius, size = choose_radius(every, classes, config)
    sigma = config.gaussian_sigma
    if sigma == "auto":
        of_class = [p[np.asarray(labels) == c] for _, p, labels in every for c in classes]
        labels = np.concatenate([np.asarray(labels, str) for _, _, labels in every])
        sigma = auto_sigma(of_class, radius=usual_radius(radius, labels))
    exclusive = config.exclusive
    if exclusive == "auto":
        exclusive = is_exclusive(every, sigma)
    info = ModelInfo(
        classes=classes,
        exclusive=len(classes) > 1 and exclusive,
        n_channels=n_channels,
        sigma=float(sigma),
        radius=radius,
        normalise=config.normalise,
        scale=auto_scale(sigma) if config.scale == "auto" else config.scale,
    )
    return learn_range([np.atleast_3d(image) for image, _, _ in every], info), size


def choose_radius(items, classes, config):
    """Return the match radius, one for all or {class: pixels}, and words if it is not given.

    `items` are (image, points, labels) of the training part.
    """
    given = config.radius
    if config.diameter is not None:
        if given is not None:
            raise InputError("train.radius and train.diameter are both set; leave one out.")
        given = _half(config.diameter)
    if given is not None:
        if isinstance(given, dict):
            given = _each(given, classes)
        check_reach(given, [image.shape for image, _, _ in items])
        return given, ""
    images, points, labels = looked_at(items)
    if not images:
        return UNKNOWN, ""
    size = object_size(images, points, labels=labels)
    radius = match_radius(size, points, labels, classes=classes)
    return radius, describe_size(size, radius)


def _half(diameter):
    """Return the radius of a diameter, or of each class's."""
    if isinstance(diameter, dict):
        return {name: pixels / 2 for name, pixels in diameter.items()}
    return diameter / 2


def _each(values, classes):
    """Return {class: pixels} of a setting that names classes: just these."""
    if unknown := [name for name in values if name not in classes]:
        raise InputError(f"a radius is given for {unknown[0]!r}. {suggest(unknown[0], classes)}")
    return check_radius(dict(values), classes)


def is_exclusive(items, sigma):
    """Return whether points of different classes never share a place: objects have one class.

    A few may, by a slip: at most one point in a hundred has a point of another class within sigma.
    """
    n_shared = n_points = 0
    for _, points, labels in items:
        i, j, _ = near_pairs(points, points, sigma)
        n_shared += len(np.unique(i[labels[i] != labels[j]]))
        n_points += len(points)
    return n_shared <= SHARED * n_points


def auto_scale(sigma):
    """Return the scale at which images are best seen: sigma is 2.5 px there, if it is 6 or more.

    A small network sees only a few dozen pixels around each pixel, so it sees more of a large
    object in a smaller image; and a quarter of the pixels takes a quarter of the time. Below 6 px
    the sharpness lost costs more than that gains.
    """
    return 1.0 if sigma < LARGE else round(max(SEEN / sigma, SMALLEST), 3)


def make_model(info, config):
    """Return the network that the configuration names; naming your own code is trusting it."""
    if config.start:
        return go_on(config, info)
    if config.model:
        what, needed = f"train.model {config.model!r}", "model_fn(*, in_channels, n_classes)"
        return tried(lambda: build_custom(info, config.model, trust_code=True), what, needed)
    named = config.model_dump(include={"architecture", "encoder", "encoder_weights"})
    return build_model(info, **named)


def make_fabric(config):
    """Return Fabric on the device asked for; mixed precision if the device gains from it."""
    try:
        if config.devices > 1 and config.accelerator == "cpu":
            raise ValueError("a CPU is one device; train.threads sets its threads.")
        fabric = Fabric(accelerator=config.accelerator, devices=config.devices)
        kind = fabric.device.type
        if config.precision == "bf16" or (config.precision == "auto" and _has_bf16(kind)):
            half = MixedPrecision("bf16-mixed", kind)  # given by name, Fabric would log it
            fabric = Fabric(accelerator=kind, devices=config.devices, plugins=half)
    except Exception as error:  # Fabric raises its own kinds for each missing device
        raise InputError(
            f"accelerator {config.accelerator!r} with {config.devices} device(s) is not "
            f"available: {brief(error)} Use train.accelerator=auto or cpu, and train.devices=1."
        ) from error
    fabric.launch()
    return fabric


def _has_bf16(kind):
    """Return whether a device multiplies 16-bit floats faster than 32-bit ones."""
    # torch before 2.10 cannot say; there CPUs compute in 32 bits unless told otherwise
    able = getattr(torch.cpu, "get_capabilities", dict)() if kind == "cpu" else {}
    return kind == "cuda" or able.get("avx512_bf16", False) or able.get("amx_bf16", False)


def make_crops(train, info, config, *, heatmap_fn):
    """Return the crops to train on, at the size at which the network sees the images."""
    return TrainingCrops(
        train if info.scale == 1 else Shrunk(train, info.scale),
        dataclasses.replace(info, sigma=info.sigma * info.scale),
        size=config.crop_size,
        heatmap_fn=heatmap_fn,
        seed=config.seed,
        augment=config.augment,
    )


def make_loader(crops, fabric, batch_size):
    """Return the loader of crops; other processes make them if a GPU would wait."""
    forks = fabric.device.type != "cpu" and sys.platform == "linux"
    loader = DataLoader(
        crops,
        batch_size=batch_size,
        # batch normalisation needs more than one crop
        drop_last=len(crops) > batch_size and len(crops) % batch_size == 1,
        num_workers=min(8, os.cpu_count() or 1) if forks else 0,
        multiprocessing_context="fork" if forks else None,
    )
    return fabric.setup_dataloaders(loader)


def describe_setup(setup, val):
    """Yield lines that describe the training, and what its images lack."""
    config, info = setup.config, setup.model.info
    n_weights = sum(p.numel() for p in setup.model.parameters())
    radius = describe_radius(info.radius)
    yield (
        f"{config.model or config.encoder} with {n_weights / 1e6:.1f} M weights on "
        f"{setup.fabric.device.type}; classes {', '.join(info.classes)}; sigma "
        f"{info.sigma:g} px, match radius {radius}; {len(setup.loader)} steps an epoch"
    )
    if info.exclusive:
        yield "classes exclude each other: each object is found once; train.exclusive=false if not"
    if halo_of(setup.model) is None:
        yield (
            "the network looks at a whole picture at once: pictures larger than "
            f"{WHOLE / info.scale:,.0f} px are validated and predicted in windows, which are not "
            "quite what it would see whole"
        )
    if start := encoder_start(config):
        yield f"the encoder starts from {start}"
    if config.start:
        yield (
            f"goes on from {config.start}: its network, sigma, scale {info.scale:g} and range of "
            "pixels stay, unless set here"
        )
    if setup.size and not config.start:
        yield setup.size
    for name in classes_without_points(val, info.classes):
        yield f"warning: no {name} in the validation images: its threshold will be the default"


def encoder_start(config):
    """Return what encoder_weights "auto" starts from, "" if it is not asked for or not used."""
    if config.encoder_weights != "auto" or config.model or config.start:
        return ""
    return describe_packaged(config.encoder.partition(":")[0])


def points_of(dataset, index):
    """Return points and labels of an image, without reading its pixels if possible."""
    points, labels = dataset.points(index) if hasattr(dataset, "points") else dataset[index][1:]
    return np.asarray(points, dtype=float), np.asarray(labels, dtype=str)


def classes_without_points(dataset, classes):
    """Return the classes that no point of a dataset has."""
    present = {label for i in range(len(dataset)) for label in points_of(dataset, i)[1].tolist()}
    return [name for name in classes if name not in present]


def fingerprint(config, info, train, val, *, output):
    """Return a digest of what makes a training the same one: settings, names, points, start."""
    elsewhere = {"output", "start", "threads", "accelerator", "devices"}
    settings = config.model_dump(exclude=elsewhere)
    digest = hashlib.sha256(repr((settings, dataclasses.astuple(info))).encode())
    # a training into its own start finds another model there after a kill
    if config.start and not (output and Path(config.start).resolve() == output.resolve()):
        digest.update(start_digest(config.start).encode())
    for part in (train, val):
        for i, name in enumerate(names_of(part)):
            points, labels = points_of(part, i)
            digest.update(repr((name, points.tolist(), labels.tolist())).encode())
            if regions := regions_of(part, i):
                digest.update(repr(regions.outlines()).encode())
    return digest.hexdigest()
