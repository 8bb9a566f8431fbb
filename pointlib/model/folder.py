"""Model folders: saved whole, loaded safely, restored after a kill.

A model folder holds `model.safetensors` and `config.json`, as segmentation_models_pytorch writes
them, and `pointlib.json`: classes, sigma, radius, normalisation, thresholds and how it was
trained. Loading never unpickles and never goes to the network.

Not about the network and how it is used: point_model.py.
"""

import dataclasses
import glob
import json
import math
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file

from pointlib.config import explain
from pointlib.errors import InputError, brief, suggest, user_line
from pointlib.files import (
    age_of,
    copy_name,
    current_umask,
    has_owner,
    is_left,
    is_name,
    keep_copy,
    make_temporary,
    move,
    need_file,
    need_folder,
    owner,
    write_atomic,
)
from pointlib.model.network import divisor_of, fill, rebuild
from pointlib.model.point_model import ModelInfo, PointModel, build_custom, per_channel

SCHEMA = 1
CUSTOM = "custom_model.py"  # a copy of a custom model's own file
OLD = ".old."  # of a model folder that is being replaced
MAX_DESCRIPTION = 100_000_000  # bytes of pointlib.json: it names the images of the training


def save_model(model: PointModel, folder: str | Path, *, keep: bool = False) -> None:
    """Write the model folder, whole or not at all.

    An existing `folder` is replaced; with `keep` it stays as a copy, as another training's must.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pointlib import ModelInfo, build_model, save_model
    >>> save_model(build_model(ModelInfo(n_channels=1)), "model")
    >>> (Path("model") / "pointlib.json").is_file()
    True
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = make_temporary(folder.parent)
    os.chmod(fresh, 0o777 & ~current_umask())
    try:
        if model.info.custom:
            shutil.copyfile(model.info.custom.rpartition(":")[0], fresh / CUSTOM)
            # tensors may share memory, which the file cannot express
            weights = {k: v.contiguous().clone() for k, v in model.network.state_dict().items()}
            save_file(weights, fresh / "model.safetensors")
        else:
            model.network.save_pretrained(fresh)
        (fresh / "pointlib.json").write_text(describe_model(model), encoding="utf-8")
        for file in fresh.iterdir():
            file.chmod(0o666 & ~current_umask())  # safetensors lets only the owner read
        _replace_folder(fresh, folder, keep=keep)
    except (SafetensorError, RuntimeError) as error:  # what its writer raises on a full disk
        raise InputError(
            f"{folder} cannot be written ({brief(error)}). Free some space, or name another output."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def load_model(folder: str | Path, *, trust_code: bool = False) -> PointModel:
    """Load a model folder, offline.

    Parameters
    ----------
    folder : str or Path
    trust_code : bool
        Needed for a custom model: its folder has a Python file, which runs when it is loaded.

    Returns
    -------
    PointModel
        In evaluation mode, on the CPU.

    Examples
    --------
    >>> from pointlib import ModelInfo, build_model, load_model, save_model
    >>> save_model(build_model(ModelInfo(classes=("cell",), n_channels=1)), "model")
    >>> model = load_model("model")
    >>> model.info.classes, model.training
    (('cell',), False)
    """
    _put_back(folder)
    folder = need_folder(folder, "model folder")
    info = read_info(folder)
    weights = need_file(folder / "model.safetensors", "weights file")
    weights.open("rb").close()  # unreadable is not missing, as safetensors says
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
            raise InputError(f"{where} raises {brief(error)}. Fix this code.") from error
        raise InputError(
            f"{folder} is not a complete model ({brief(error)}). "
            "Train again, or copy the folder again."
        ) from error
    return model.eval()


def read_info(folder: str | Path) -> ModelInfo:
    """Read `pointlib.json` of a model folder into a ModelInfo.

    Examples
    --------
    >>> from pointlib import ModelInfo, build_model, read_info, save_model
    >>> save_model(build_model(ModelInfo(n_channels=1, sigma=2.5)), "model")
    >>> read_info("model").sigma
    2.5
    """
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
        raise InputError(f"{path} names no classes: it is incomplete. Copy the model folder again.")
    try:
        info = TypeAdapter(ModelInfo).validate_python(data)
    except ValidationError as error:
        words = explain(error, path, TypeAdapter(ModelInfo).json_schema())
        raise InputError(f"{words} Copy the folder again.") from None
    if words := _misfit(info):
        raise InputError(f"{path}: {words}. Copy the folder again.")
    return info


def _unknown_class(info, known):
    """Return what names a class that the model does not have, or lacks one, or ""."""
    radii = info.radius if isinstance(info.radius, dict) else {}
    named = {"thresholds or min_distances name": {*info.thresholds, *info.min_distances}}
    named |= {"count_rules names": set(info.count_rules), "radius names": set(radii)}
    for words, names in named.items():
        if strange := sorted(names - known):
            return f"{words} {strange[0]!r}, which is not a class"
    if radii and (missing := sorted(known - set(radii))):
        return f"radius lacks {missing[0]!r}, which is a class"
    return ""


def _misfit(info):
    """Return what is inconsistent in a ModelInfo, or ""."""
    known = set(info.classes)
    if not known or len(known) < len(info.classes) or not all(map(is_name, known)):
        return f"classes are {list(info.classes)!r:.200}; expected names, each once"
    if words := _unknown_class(info, known):
        return words
    for name in ("low", "high", "mean", "std"):
        if len(getattr(info, name)) not in (1, info.n_channels):
            return f"{name} has {len(getattr(info, name))} values for {info.n_channels} channels"
    limits = (per_channel(values, info.n_channels) for values in (info.low, info.high))
    if any(low > high for low, high in zip(*limits, strict=True)):
        return f"low {info.low} is above high {info.high}"
    if Path(info.custom).name != info.custom:
        return f"custom is {info.custom!r}; expected a file in the model folder"
    return ""


def write_settings(folder, thresholds, min_distances, metrics):
    """Write thresholds, minimum distances and metrics into a model folder, for prediction.

    The older `pointlib.json` is kept beside it as a copy, unless nothing in it changes.

    Parameters
    ----------
    folder : str or Path
    thresholds, min_distances : dict
        {class: score} and {class: pixels}; other classes keep theirs.
    metrics : dict
        Added to those in the folder; an existing key is replaced. No NaN: JSON has none.

    Returns
    -------
    Path
        Of `pointlib.json`.

    Raises
    ------
    InputError
        If a class is not the model's, a value is not a number of 0 or more, or the folder cannot
        be written.
    """
    path, info = Path(folder) / "pointlib.json", read_info(folder)
    for values in (thresholds, min_distances):
        for name, value in values.items():
            if name not in info.classes:
                raise InputError(f"{path} has no class {name!r}. {suggest(name, info.classes)}")
            if not 0 <= value < np.inf or (values is thresholds and value > 1):
                most = ", 1 at most" if values is thresholds else ""
                raise InputError(f"{name} is given {value}; expected a number, 0 or more{most}.")
    earlier = info.thresholds, info.min_distances
    info.thresholds = info.thresholds | {k: float(v) for k, v in thresholds.items()}
    info.min_distances = info.min_distances | {k: float(v) for k, v in min_distances.items()}
    if earlier != (info.thresholds, info.min_distances):
        info.count_rules = {}  # they were learnt at the earlier settings
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


def _put_back(folder):
    """Restore a model that a killed save had moved aside to make room for a newer one."""
    folder = Path(str(folder))
    for old in _left_behind(folder):
        if not folder.exists() and (old / folder.name).is_dir():
            move(old / folder.name, folder)
            old.rmdir()


def _left_behind(folder):
    """Return the folders in which killed saves left the model that was to be replaced."""
    places = sorted(folder.parent.glob(f".{glob.escape(folder.name)}{OLD}*/"))
    # if nobody can tell which process is alive: a rename takes less than a minute
    long = math.inf if os.name == "posix" else 60
    return [p for p in places if is_left(p) or age_of(p) > long or not has_owner(p)]


def _replace_folder(fresh, folder, *, keep):
    """Replace `folder` with `fresh`; at any moment one of them is complete."""
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
