"""Networks by their names in segmentation_models_pytorch (smp).

About layers from image to logits, and where their weights come from. Not about how a network is
used (point_model.py), nor about model folders (folder.py).
"""

import inspect
import json
import math
import re
import reprlib
from functools import partial
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn
from torch.overrides import TorchFunctionMode

from pointlib.config import ENCODER
from pointlib.errors import InputError, brief, suggest
from pointlib.files import need_file
from pointlib.model.pretrained import packaged_file, packaged_weights

PRIOR = 0.02  # the height a new network predicts everywhere: most pixels have no point
ENCODER_DEPTH = 3
MAX_CONFIG = 20_000  # bytes of smp's config.json, usually some 350
MAX_LAYERS, MAX_WIDTH = 64, 16_384  # of a network in an untrusted file
MAX_UNUSED = 300_000_000  # weights that are built and dropped, as the deep end of a shallow U-Net


def build_network(
    n_channels: int,
    n_classes: int,
    *,
    architecture: str = "Unet",
    encoder: str = ENCODER,
    encoder_weights: str | Path | None = "auto",
) -> nn.Module:
    """Build a network without unused layers.

    Parameters
    ----------
    n_channels, n_classes : int
        Channels of images and logits.
    architecture : str
        ``Unet``, ``FPN``, ... any name of smp.
    encoder : str
        Any encoder name; ``name:depth`` sets how often it halves the image (U-Nets: 3 to 5,
        default 3).
    encoder_weights : str, optional
        ``"auto"`` takes those of an installed package, where it has some for this encoder;
        ``"imagenet"`` downloads; a path ending in .safetensors reads a file; None starts from
        random numbers.

    Returns
    -------
    torch.nn.Module
        Images (B, n_channels, H, W) to logits (B, n_classes, H, W), for H and W divisible by
        its `divisor_of`.

    Examples
    --------
    >>> import torch
    >>> from pointlib import build_network
    >>> network = build_network(3, 2, encoder="resnet18")
    >>> network(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 2, 64, 96])
    """
    encoder, _, depth = encoder.partition(":")
    options = _smp_options(architecture, encoder, depth)
    options |= {"classes": n_classes, "in_channels": n_channels}
    weights, source = _encoder_weights(encoder, encoder_weights)
    download = None if source or encoder_weights == "auto" else encoder_weights
    try:
        network = smp.create_model(architecture, encoder, download, **options)
    except Exception as error:  # smp and timm raise nearly anything
        if not download or isinstance(error, (KeyError, ValueError, TypeError)):
            what = f"cannot build {architecture} with encoder {encoder}"
            raise InputError(f"{what}: {brief(error)}. Try another encoder or depth.") from error
        raise InputError(
            f"the {download} weights of {encoder} could not be fetched "
            f"({type(error).__name__}). Set encoder_weights to null to start from random numbers, "
            "or to the path of a .safetensors file with the encoder's weights."
        ) from error
    _drop_unused(network, n_channels)
    if source:
        _fill_encoder(network.encoder, weights, source)
    network.config["encoder_weights"] = None  # loading must not download what is in the file
    _expect_little(network)
    return network


def _smp_options(architecture, encoder, depth):
    """Return the keywords smp is called with; U-Nets get a depth and a decoder to match."""
    _find_architecture(architecture, f"architecture {architecture!r}:")
    _check_encoder(encoder)
    options = {}
    if depth and not depth.isdigit():
        raise InputError(f"encoder depth {depth!r}; expected a whole number, as in {encoder}:3.")
    if architecture.lower() in ("unet", "unetplusplus", "manet"):
        depth = int(depth or ENCODER_DEPTH)
        options |= {"encoder_depth": depth, "decoder_channels": (256, 128, 64, 32, 16)[-depth:]}
    elif depth:
        options["encoder_depth"] = int(depth)
    return options


def _find_architecture(name, fault):
    """Return smp's class of this name; InputError, which begins with `fault`, if there is none."""
    known = smp.MODEL_ARCHITECTURES_MAPPING
    if name.lower() not in known:
        raise InputError(f"{fault} {suggest(name, [cls.__name__ for cls in known.values()])}")
    return known[name.lower()]


def _check_encoder(name):
    """Raise InputError if smp has no such encoder, or would look for it on the internet."""
    if name not in smp.encoders.encoders and not re.fullmatch(r"tu-[\w.-]+", name):
        raise InputError(f"encoder {name!r}: {suggest(name, smp.encoders.encoders)}")


def rebuild(path, weights, n_channels, n_classes):
    """Build the network that smp described in its config.json, with random weights.

    An untrusted file may name options that smp does not write, files that timm would fetch or
    unpickle, or a network of any size: it must fit the header of the `weights` file before it is
    built.
    """
    if path.stat().st_size > MAX_CONFIG:
        raise InputError(f"{path} is larger than {MAX_CONFIG:,} bytes. Copy the model again.")
    config = json.loads(path.read_text(encoding="utf-8"))
    name = config.pop("_model_class")
    fault = f"{path} names the architecture {name!r}, which smp does not have."
    known = inspect.signature(_find_architecture(name, fault)).parameters
    _check_encoder(config["encoder_name"])
    if strange := [key for key in config if key not in known or key == "kwargs"]:
        raise InputError(f"{path} names {strange[0]!r}, which {name} does not have. Copy it again.")
    for key, wanted in (("in_channels", n_channels), ("classes", n_classes)):
        if config.get(key) != wanted:
            said = f"{path} has {key} {config.get(key)!r}, and pointlib.json {wanted}"
            raise InputError(f"{said}: two models mixed. Copy the folder again.")
    plain = dict.fromkeys({"encoder_weights", "activation", "aux_params"} & known.keys())
    _check_sizes(path, config)
    _check_header(path, partial(smp.create_model, name, **config | plain), weights)
    network = smp.create_model(name, **config | plain)
    _drop_unused(network, n_channels)
    return network


def _check_sizes(path, config):
    """Raise InputError on numbers that no network has, and on lists that long."""
    for key, value in config.items():
        values = value if isinstance(value, list) else [value]
        numbers = [v for v in values if isinstance(v, (int, float))]
        if len(values) > MAX_LAYERS or any(not 0 <= v <= MAX_WIDTH for v in numbers):
            raise InputError(
                f"{path} has {key} {reprlib.repr(value)}; expected at most {MAX_LAYERS} numbers "
                f"from 0 to {MAX_WIDTH:,}. Copy the model again."
            )


class _NumbersOfLinspace(TorchFunctionMode):
    """Keeps `torch.linspace` on the CPU: encoders read numbers from it, which meta has not."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


def _check_header(path, build, weights):
    """Raise InputError if a network would not fit its weights; it is built without memory."""
    with safe_open(weights, "pt") as file:
        held = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    try:
        with torch.device("meta"), _NumbersOfLinspace():
            needed = {key: tuple(value.shape) for key, value in build().state_dict().items()}
    except RuntimeError as error:
        raise InputError(
            f"{path} describes a network that cannot be checked before it is built "
            f"({brief(error)}). Train again with another encoder."
        ) from error
    for key in sorted(held.keys() & needed.keys()):
        if held[key] != needed[key]:
            raise InputError(
                f"{path} describes {key} as {needed[key]}, and {weights.name} has {held[key]}: "
                "two models mixed. Copy the folder again."
            )
    extra = sum(math.prod(needed[key]) for key in needed.keys() - held.keys())
    if extra > MAX_UNUSED:
        raise InputError(
            f"{path} describes {extra / 1e6:,.0f} million weights that {weights.name} does not "
            "have. Copy the folder again."
        )


def fill(network, file):
    """Load the weights of a file into a network; ValueError if they are of another kind."""
    known = network.state_dict()
    # an older file also has those of unused layers
    weights = {key: value for key, value in load_file(file).items() if key in known}
    for key, value in weights.items():
        if value.is_floating_point() != known[key].is_floating_point():
            raise ValueError(f"{key} is {value.dtype}, not {known[key].dtype}")
        if not bool(value.isfinite().all()):
            raise ValueError(f"{key} has NaN or infinite numbers")
    network.load_state_dict(weights)


def fit_outputs(network, before, classes):
    """Give a network one output a class: the earlier ones by name, new ones untrained and low.

    `before` and `classes` are names, in the order of the outputs.
    """
    if tuple(before) == tuple(classes):
        return
    head = network.segmentation_head
    *_, name = [name for name, layer in head.named_modules() if isinstance(layer, nn.Conv2d)]
    old = head.get_submodule(name)
    new = nn.Conv2d(
        old.in_channels, len(classes), old.kernel_size, stride=old.stride, padding=old.padding
    )
    head.set_submodule(name, new)
    _expect_little(network)
    with torch.no_grad():
        for place, known in enumerate(classes):
            if known in before:
                new.weight[place] = old.weight[before.index(known)]
                new.bias[place] = old.bias[before.index(known)]
    network.config["classes"] = len(classes)


def divisor_of(network):
    """Return what image sides must be divisible by: the deepest stride of the encoder."""
    encoder = network.encoder
    return max(2 ** getattr(encoder, "_depth", 5), getattr(encoder, "output_stride", 1))


def _expect_little(network):
    """Start with low heatmaps: training need not first unlearn 0.5 everywhere."""
    head = [m for m in network.segmentation_head.modules() if isinstance(m, nn.Conv2d)]
    if head and head[-1].bias is not None:
        nn.init.constant_(head[-1].bias, float(np.log(PRIOR / (1 - PRIOR))))


def _drop_unused(network, n_channels):
    """Remove the layers that no output depends on, as the deep end of a shallow U-Net's encoder.

    A gradient finds them: it reaches every layer that is used, however it is called.
    """
    side = 4 * divisor_of(network)
    was_training = network.training
    try:
        with torch.enable_grad():
            network.eval()(torch.zeros(1, n_channels, side, side)).sum().backward()
    except (RuntimeError, AssertionError):
        return  # takes images of one size only: it keeps all layers
    finally:
        network.train(was_training)
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            weights = list(layer.parameters())
            if weights and all(weight.grad is None for weight in weights):
                setattr(parent, name, _Passage())
    network.zero_grad(set_to_none=True)


class _Passage(nn.Module):
    """Replaces an unused layer."""

    def forward(self, batch, *_):
        return batch


def _encoder_weights(encoder, name):
    """Return an encoder's weights and the file they come from; {} and None where it has none."""
    if name == "auto":
        file = packaged_file(encoder)
        return (packaged_weights(encoder), file) if file else ({}, None)
    if not name or not Path(name).suffix:
        return {}, None
    file = need_file(name, "encoder weights file")
    if file.suffix != ".safetensors":
        raise InputError(f"{file} may run code when it is read; expected a .safetensors file.")
    try:
        return load_file(file), file
    except SafetensorError as error:
        raise InputError(
            f"{file} does not fit this encoder ({brief(error)}). Give the .safetensors file of "
            "just this encoder."
        ) from error


def _fill_encoder(encoder, weights, source):
    """Put published weights into an encoder, the first layer fitted to its channels."""
    known = encoder.state_dict()
    if missing := sorted(known.keys() - weights.keys()):
        raise InputError(
            f"{source} lacks {len(missing)} tensors of this encoder: {missing[0]}, ... Give the "
            "file of just this encoder."
        )
    weights = {key: _to_channels(weights[key], value.shape) for key, value in known.items()}
    try:
        encoder.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{source} does not fit this encoder ({brief(error)}). Give the .safetensors file of "
            "just this encoder."
        ) from error


def _to_channels(weight, shape):
    """Return the first layer's weight of three channels as one of any number, as smp makes it.

    One channel gets the sum of the three; more get the three by turns, so scaled that the layer
    gives outputs of the same size.
    """
    if len(shape) != 4 or weight.shape != (shape[0], 3, *shape[2:]):
        return weight
    n = shape[1]
    if n == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight[:, torch.arange(n) % 3] * (3 / n)
