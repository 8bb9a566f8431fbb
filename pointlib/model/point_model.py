"""The network and what must be known to use it: channels, classes, sigma, scaling, thresholds.

About a model in memory. Not about its folder (folder.py), training it (train/) or what its heatmaps
mean (predict/).
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from pointlib.config import ENCODER
from pointlib.counts import CountRule
from pointlib.errors import InputError, suggest
from pointlib.files import load_python
from pointlib.model.network import build_network, divisor_of

SAMPLED = 2**18  # pixels that the limits of an image come from, with normalise="percentile"
# beyond these limits the 32-bit arithmetic of a network overflows or gives 0
Pixel = Annotated[float, Field(ge=-1e38, le=1e38)]
Mean = Annotated[float, Field(ge=-1e6, le=1e6)]
Spread = Annotated[float, Field(ge=1e-6, le=1e6)]
Length = Annotated[float, Field(gt=0, le=1e6)]
From0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[From0, Field(le=1)]


@dataclasses.dataclass
class ModelInfo:
    """What a model needs to be used: everything but its weights.

    Examples
    --------
    >>> from pointlib import ModelInfo
    >>> info = ModelInfo(classes=("cell", "debris"), n_channels=1, sigma=2.0, radius=4.0)
    >>> info.classes, info.low, info.high
    (('cell', 'debris'), (0.0,), (255.0,))
    """

    classes: tuple[str, ...] = ("point",)
    exclusive: bool = False  # whether an object has one class only
    n_channels: Annotated[int, Field(ge=1, le=1024)] = 3
    sigma: Length = 3.0  # px
    radius: Length | dict[str, Length] = 6.0  # px, match radius: of all classes, or {class: px}
    # images are resized by this factor; sigma and radius are in pixels of the original
    scale: Annotated[float, Field(ge=0.01, le=1)] = 1.0
    low: tuple[Pixel, ...] = (0.0,)  # pixel value that becomes 0, one per channel
    high: tuple[Pixel, ...] = (255.0,)  # pixel value that becomes 1
    mean: tuple[Mean, ...] = (0.5,)  # of the scaled images, one per channel
    std: tuple[Spread, ...] = (0.25,)
    depth: Literal["", "uint8", "uint16", "float"] = ""  # as the training images; "": any
    # "percentile": low and high from each image itself
    normalise: Literal["train", "percentile"] = "train"
    thresholds: dict[str, Share] = dataclasses.field(default_factory=dict)  # class: score
    min_distances: dict[str, From0] = dataclasses.field(default_factory=dict)  # class: px
    count_rules: dict[str, CountRule] = dataclasses.field(default_factory=dict)  # class: rule
    metrics: dict = dataclasses.field(default_factory=dict)
    training: dict = dataclasses.field(default_factory=dict)
    custom: str = ""  # "file.py:function" of a model that smp does not know


class PointModel(nn.Module):
    """A network with its `info`: any image size in, logits of the same size out.

    ``model(batch)`` takes (B, C_in, H, W) float32 scaled to 0..1 by `scale_image` and returns
    logits (B, C, H, W). It normalises, pads to a multiple of `divisor`, and crops back.
    """

    def __init__(self, network, info, *, divisor=32):
        super().__init__()
        self.network = network
        self.info = info
        self.divisor = divisor
        for name in ("mean", "std"):
            values = torch.tensor(per_channel(getattr(info, name), info.n_channels))
            self.register_buffer(name, values.view(1, -1, 1, 1), persistent=False)

    def forward(self, batch):
        """Return logits (B, C, H, W) for a batch (B, C_in, H, W)."""
        if batch.ndim != 4 or batch.shape[1] != self.info.n_channels:
            raise InputError(
                f"batch has shape {tuple(batch.shape)}; this model expects "
                f"(B, {self.info.n_channels}, H, W)."
            )
        height, width = batch.shape[-2:]
        batch = (batch - self.mean) / self.std
        extra = (0, -width % self.divisor, 0, -height % self.divisor)  # right and bottom only
        if any(extra):
            batch = functional.pad(batch, extra, mode="replicate")
        return self.network(batch)[..., :height, :width]


def build_model(
    info: ModelInfo,
    *,
    architecture: str = "Unet",
    encoder: str = ENCODER,
    encoder_weights: str | Path | None = "auto",
) -> PointModel:
    """Build a PointModel for `info`'s channels and classes.

    Parameters
    ----------
    info : ModelInfo
    architecture, encoder, encoder_weights : str
        As `network.build_network` takes them.

    Returns
    -------
    PointModel
        Images (B, C_in, H, W) of any size to logits (B, C, H, W).

    Examples
    --------
    >>> import torch
    >>> from pointlib import ModelInfo, build_model
    >>> model = build_model(ModelInfo(classes=("cell", "debris"), n_channels=1))
    >>> model(torch.zeros(1, 1, 37, 50)).shape
    torch.Size([1, 2, 37, 50])
    """
    network = build_network(
        info.n_channels,
        len(info.classes),
        architecture=architecture,
        encoder=encoder,
        encoder_weights=encoder_weights,
    )
    return PointModel(network, info, divisor=divisor_of(network))


def build_custom(info, path, *, trust_code=False):
    """Build a model of your own from ``file.py:function``.

    The function is called as ``model_fn(in_channels=..., n_classes=...)`` and returns a module
    whose output is logits (B, n_classes, H, W) for any H and W divisible by 32.
    """
    if not trust_code:
        raise InputError(
            f"{path} is code of its own. If you trust it, let it run: --trust-code on the "
            "command line, trust_code=True in Python."
        )
    file, _, name = str(path).rpartition(":")
    if not file.endswith(".py"):
        raise InputError(f"model {str(path)!r} names no function; expected file.py:function.")
    module = load_python(file)
    if not hasattr(module, name):
        raise InputError(f"{file} has no function {name}. {suggest(name, vars(module))}")
    network = getattr(module, name)(in_channels=info.n_channels, n_classes=len(info.classes))
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise InputError(f"model {path} returns a {kind}; expected a torch.nn.Module.")
    return PointModel(network, dataclasses.replace(info, custom=str(path)))


def scale_image(
    image: np.ndarray,
    info: ModelInfo,
    *,
    limits: tuple[Sequence[float], Sequence[float]] | None = None,
) -> torch.Tensor:
    """Scale an image to 0..1 as the model was trained to see it.

    Parameters
    ----------
    image : ndarray of shape (H, W) or (H, W, C)
        With the model's number of channels.
    info : ModelInfo
    limits : (low, high), optional
        From `scale_limits` of the whole image, if `image` is only a part of it.

    Returns
    -------
    tensor of shape (C, H, W), float32
        Clipped to [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import ModelInfo, scale_image
    >>> scale_image(np.array([[0, 51, 255]], np.uint8), ModelInfo(n_channels=1))
    tensor([[[0.0000, 0.2000, 1.0000]]])
    """
    image = np.atleast_3d(image)
    if image.ndim != 3 or image.shape[2] != info.n_channels:
        raise InputError(
            f"image has shape {image.shape}; expected (H, W, {info.n_channels}), the model's "
            "number of channels. See pointlib.images.to_channels."
        )
    low, high = limits or scale_limits(image, info)
    span = np.maximum(np.subtract(high, low), 1e-6).astype(np.float32)
    scaled = np.nan_to_num((image.astype(np.float32) - np.float32(low)) / span)
    return torch.from_numpy(np.ascontiguousarray(np.clip(scaled, 0, 1).transpose(2, 0, 1)))


def pixel_depth(image):
    """Return the kind of numbers in an image: "uint8", "uint16", "float"."""
    return "float" if image.dtype.kind == "f" else image.dtype.name


def scale_limits(image, info):
    """Return the pixel values that become 0 and 1, one per channel each."""
    low, high = info.low, info.high
    if info.normalise == "percentile":
        step = sample_step(image.shape)
        return limits_of(np.atleast_3d(image)[::step, ::step], info)
    return tuple(per_channel(values, info.n_channels) for values in (low, high))


def sample_step(shape):
    """Return n: every n-th pixel of every n-th row tells the limits of an image of this shape."""
    return max(1, round(math.sqrt(shape[0] * shape[1] / SAMPLED)))


def limits_of(sample, info):
    """Return the percentiles of a sample (h, w, C) that become 0 and 1, one per channel each."""
    if sample.dtype.kind == "f":
        sample = np.where(np.isfinite(sample), sample, np.nan)
    low, high = np.nanpercentile(sample, [0.5, 99.8], axis=(0, 1))
    return tuple(per_channel(values, info.n_channels) for values in (low, high))


def per_channel(values, n_channels):
    """Return one float per channel; a single value is repeated."""
    values = np.atleast_1d(np.asarray(values, dtype=np.float32))
    if len(values) not in (1, n_channels):
        raise InputError(f"{len(values)} values for {n_channels} channels; expected one or each.")
    return np.broadcast_to(values, n_channels).tolist()
