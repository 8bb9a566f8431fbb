"""The network and what must travel with it: built by name, saved whole, loaded safely.

About models as folders. Not about training them or what their heatmaps mean.

A model folder holds `model.safetensors` and `config.json`, as segmentation_models_pytorch writes
them, and `pointlib.json`: classes, sigma, radius, normalisation, thresholds and how it was
trained. Loading never unpickles and never goes to the network.
"""

import dataclasses
import glob
import json
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from pointlib.errors import InputError, brief, suggest, user_line
from pointlib.files import (
    age_of,
    copy_name,
    current_umask,
    has_owner,
    is_left,
    is_name,
    keep_copy,
    load_python,
    make_temporary,
    move,
    need_file,
    need_folder,
    owner,
    write_atomic,
)
from pointlib.model.network import build_network, divisor_of, fill, rebuild

SCHEMA = 1
CUSTOM = "custom_model.py"  # a copy of a custom model's own file
OLD = ".old."  # of a model folder that is being replaced
MAX_DESCRIPTION = 100_000_000  # bytes of pointlib.json: it names the images of the training
# beyond these the arithmetic of a network, in 32 bits, gives infinities or nothing
Pixel = Annotated[float, Field(ge=-1e38, le=1e38)]
Mean = Annotated[float, Field(ge=-1e6, le=1e6)]
Spread = Annotated[float, Field(ge=1e-6, le=1e6)]
Length = Annotated[float, Field(gt=0, le=1e6)]
From0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[From0, Field(le=1)]


@dataclasses.dataclass
class ModelInfo:
    """What a model needs to be used: everything but its weights."""

    classes: tuple[str, ...] = ("point",)
    n_channels: Annotated[int, Field(ge=1, le=1024)] = 3
    sigma: Length = 3.0  # px
    radius: Length = 6.0  # px, match radius
    scale: Annotated[float, Field(ge=0.01, le=1)] = (
        1.0  # images are seen at this share of their size; sigma and radius are not
    )
    low: tuple[Pixel, ...] = (0.0,)  # pixel value that becomes 0, one a channel
    high: tuple[Pixel, ...] = (255.0,)  # pixel value that becomes 1
    mean: tuple[Mean, ...] = (0.5,)  # of the scaled images, one a channel
    std: tuple[Spread, ...] = (0.25,)
    depth: Literal["", "uint8", "uint16", "float"] = (
        ""  # "uint8", "uint16" or "float", as the training images
    )
    normalise: Literal["train", "percentile"] = (
        "train"  # or "percentile": low and high from each image itself
    )
    thresholds: dict[str, Share] = dataclasses.field(default_factory=dict)  # class: score
    min_distances: dict[str, From0] = dataclasses.field(default_factory=dict)  # class: px
    metrics: dict = dataclasses.field(default_factory=dict)
    training: dict = dataclasses.field(default_factory=dict)
    custom: str = ""  # "file.py:function" of a model that smp does not know


class PointModel(nn.Module):
    """A network with its `info`: any image size in, logits of the same size out.

    ``model(batch)`` takes (B, C_in, H, W) float32 scaled to 0..1 by `scale_image` and returns
    logits (B, C, H, W). It normalises, pads to what the network divides by, and crops back.
    """

    def __init__(self, network, info, *, divisor=32):
        super().__init__()
        self.network = network
        self.info = info
        self.divisor = divisor
        for name in ("mean", "std"):
            values = torch.tensor(_per_channel(getattr(info, name), info.n_channels))
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


def build_model(info, *, architecture="Unet", encoder="mobilenet_v2", encoder_weights=None):
    """Build a PointModel for `info`'s channels and classes.

    Parameters
    ----------
    info : ModelInfo
    architecture, encoder, encoder_weights : str
        As `network.build_network` takes them.
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
    whose output are logits (B, n_classes, H, W) for any H and W that 32 divides.
    """
    if not trust_code:
        raise InputError(
            f"{path} is code of its own. Where you trust it, let it run: --trust-code on the "
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


def scale_image(image, info, *, limits=None):
    """Scale an image to 0..1 as the model was trained to see it.

    Parameters
    ----------
    image : ndarray of shape (H, W) or (H, W, C)
        With the model's number of channels.
    info : ModelInfo
    limits : (low, high), optional
        From `scale_limits` of the whole picture, where `image` is only a piece of it.

    Returns
    -------
    tensor of shape (C, H, W), float32
        Clipped to [0, 1].
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
    """Return what kind of numbers an image holds: "uint8", "uint16", "float"."""
    return "float" if image.dtype.kind == "f" else image.dtype.name


def scale_limits(image, info):
    """Return the pixel values that become 0 and 1, one a channel each."""
    low, high = info.low, info.high
    if info.normalise == "percentile":
        step = max(1, round(np.sqrt(image.shape[0] * image.shape[1] / 2**18)))
        sample = np.atleast_3d(image)[::step, ::step]
        if sample.dtype.kind == "f":
            sample = np.where(np.isfinite(sample), sample, np.nan)
        low, high = np.nanpercentile(sample, [0.5, 99.8], axis=(0, 1))
    return tuple(_per_channel(values, info.n_channels) for values in (low, high))


def save_model(model, folder, *, keep=False):
    """Write the model folder, at once or not at all.

    What stood at `folder` is replaced, or with `keep` stays as a copy, as another training's must.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = make_temporary(folder.parent)
    os.chmod(fresh, 0o777 & ~current_umask())
    try:
        if model.info.custom:
            shutil.copyfile(model.info.custom.rpartition(":")[0], fresh / CUSTOM)
            weights = {  # tensors may be shared, which the file cannot say
                key: value.contiguous().clone() for key, value in model.network.state_dict().items()
            }
            save_file(weights, fresh / "model.safetensors")
        else:
            model.network.save_pretrained(fresh)
        (fresh / "pointlib.json").write_text(describe_model(model), encoding="utf-8")
        for file in fresh.iterdir():
            file.chmod(0o666 & ~current_umask())  # safetensors keeps the weights to their owner
        _replace_folder(fresh, folder, keep=keep)
    except (SafetensorError, RuntimeError) as error:  # how its writer says that the disk is full
        raise InputError(
            f"{folder} cannot be written ({brief(error)}). Free some space, or name another output."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def load_model(folder, *, trust_code=False):
    """Load a model folder, offline.

    Parameters
    ----------
    folder : str or Path
    trust_code : bool
        A model of your own holds a Python file that runs when it is loaded: say so.

    Returns
    -------
    PointModel
        In evaluation mode, on the CPU.
    """
    _put_back(folder)
    folder = need_folder(folder, "model folder")
    info = read_info(folder)
    weights = need_file(folder / "model.safetensors", "weights file")
    weights.open("rb").close()  # one that may not be read is no missing one, as safetensors says
    try:
        if info.custom:
            path = f"{folder / info.custom}"
            model = build_custom(info, path, trust_code=trust_code)
            fill(model.network, weights)
        else:
            path = need_file(folder / "config.json", "network description")
            network = rebuild(path, weights, info.n_channels, len(info.classes))
            model = PointModel(network, info, divisor=divisor_of(network))
            fill(network, weights)
    except InputError:
        raise
    except Exception as error:  # safetensors, JSON and torch each raise their own
        if where := user_line(error):
            raise InputError(f"{where} raises {brief(error)}. Mend this code.") from error
        raise InputError(
            f"{folder} does not hold a whole model ({brief(error)}). "
            "Train again, or copy the folder again."
        ) from error
    return model.eval()


def read_info(folder):
    """Read `pointlib.json` of a model folder into a ModelInfo."""
    path = need_file(Path(folder) / "pointlib.json", "model description")
    if path.stat().st_size > MAX_DESCRIPTION:
        raise InputError(f"{path} is larger than {MAX_DESCRIPTION:,} bytes. Copy it again.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}. Copy the model folder again.") from error
    schema = data.pop("schema", None) if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"{path} has schema {schema}; this pointlib reads schema {SCHEMA}. Train again."
        )
    known = {field.name for field in dataclasses.fields(ModelInfo)}
    if unknown := sorted(set(data) - known):
        raise InputError(f"{path} has the unknown key {unknown[0]!r}. {suggest(unknown[0], known)}")
    if "classes" not in data:
        raise InputError(f"{path} names no classes: it is not whole. Copy the model folder again.")
    try:
        info = TypeAdapter(ModelInfo).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place, wanted = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Input should")
        raise InputError(
            f"{path}: {place} is {first['input']!r}; it should{wanted}. Copy the folder again."
        ) from None
    if words := _misfit(info):
        raise InputError(f"{path}: {words}. Copy the folder again.")
    return info


def _misfit(info):
    """Return what in a ModelInfo does not fit together, or ""."""
    known = set(info.classes)
    if not known or len(known) < len(info.classes) or not all(map(is_name, known)):
        return f"classes are {list(info.classes)!r:.200}; expected names, each once"
    if strange := sorted({*info.thresholds, *info.min_distances} - known):
        return f"thresholds or min_distances name {strange[0]!r}, which is no class"
    for name in ("low", "high", "mean", "std"):
        if len(getattr(info, name)) not in (1, info.n_channels):
            return f"{name} has {len(getattr(info, name))} values for {info.n_channels} channels"
    limits = (_per_channel(values, info.n_channels) for values in (info.low, info.high))
    if any(low > high for low, high in zip(*limits, strict=True)):
        return f"low {info.low} is above high {info.high}"
    if Path(info.custom).name != info.custom:
        return f"custom is {info.custom!r}; expected a file of the folder itself"
    return ""


def write_settings(folder, thresholds, min_distances, metrics):
    """Write thresholds, minimum distances and numbers into a model folder, where predict looks.

    The older `pointlib.json` is kept beside it as a copy, unless nothing in it changes.

    Parameters
    ----------
    folder : str or Path
    thresholds, min_distances : dict
        {class: score} and {class: pixels}; classes that are not named keep theirs.
    metrics : dict
        Added to those in the folder; a key that is there is replaced. No NaN: JSON has none.

    Returns
    -------
    Path
        Of `pointlib.json`. InputError where a class is not the model's, a value no number of 0 or
        more, or the folder cannot be written.
    """
    path, info = Path(folder) / "pointlib.json", read_info(folder)
    for values in (thresholds, min_distances):
        for name, value in values.items():
            if name not in info.classes:
                raise InputError(f"{path} knows no class {name!r}. {suggest(name, info.classes)}")
            if not 0 <= value < np.inf or (values is thresholds and value > 1):
                most = ", 1 at most" if values is thresholds else ""
                raise InputError(f"{name} is given {value}; expected a number, 0 or more{most}.")
    info.thresholds = info.thresholds | {k: float(v) for k, v in thresholds.items()}
    info.min_distances = info.min_distances | {k: float(v) for k, v in min_distances.items()}
    info.metrics = info.metrics | metrics
    before, text = path.read_bytes(), _described(dataclasses.asdict(info))
    if text.encode() == before:
        return path
    try:
        write_atomic(copy_name(path), before)
        write_atomic(path, text)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}). Make its folder writable, or "
            "write into a copy of it."
        ) from error
    return path


def describe_model(model):
    """Return the text of `pointlib.json` that `save_model` writes for a model."""
    info = dataclasses.asdict(model.info)
    if info["custom"]:
        info["custom"] = f"{CUSTOM}:{info['custom'].rpartition(':')[2]}"
    return _described(info)


def _described(info):
    """Return the text of `pointlib.json`, of a ModelInfo as a dict."""
    return json.dumps({"schema": SCHEMA, **info}, indent=2) + "\n"


def _per_channel(values, n_channels):
    """Return one float a channel; a single one serves all."""
    values = np.atleast_1d(np.asarray(values, dtype=np.float32))
    if len(values) not in (1, n_channels):
        raise InputError(f"{len(values)} values for {n_channels} channels; expected one or each.")
    return np.broadcast_to(values, n_channels).tolist()


def _put_back(folder):
    """Put a model back that a kill found out of its place, while a newer one came into it."""
    folder = Path(str(folder))
    for old in _left_behind(folder):
        if not folder.exists() and (old / folder.name).is_dir():
            move(old / folder.name, folder)
            old.rmdir()


def _left_behind(folder):
    """Return the places out of which kills kept a model from being replaced or thrown away."""
    places = sorted(folder.parent.glob(f".{glob.escape(folder.name)}{OLD}*/"))
    # where it cannot be known who is alive, a rename does not take a minute
    long = math.inf if os.name == "posix" else 60
    return [p for p in places if is_left(p) or age_of(p) > long or not has_owner(p)]


def _replace_folder(fresh, folder, *, keep):
    """Put `fresh` where `folder` is; at any moment one of them is whole."""
    _put_back(folder)
    for old in _left_behind(folder):
        shutil.rmtree(old, ignore_errors=True)
    names = {path.name for path in fresh.iterdir()}
    if keep or (folder.is_dir() and any(path.name not in names for path in folder.iterdir())):
        keep_copy(folder)  # somebody else's files as well: not ours to delete
    if not folder.exists():
        move(fresh, folder)
        return
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}{OLD}{owner()}"))
    move(folder, old / folder.name)
    move(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)
