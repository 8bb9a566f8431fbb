"""config.json: the settings of a run, checked before it starts.

About names, types and defaults. Not about what is done with them: train/, predict/ and annotate/.
The nine keys of the original kit are enough; all others have defaults. Paths are relative to the
file's folder.
"""

import importlib
import json
import os
import reprlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)
from pydantic_core import PydanticCustomError

from pointlib.errors import InputError, brief, suggest
from pointlib.files import NAME_FAULTS, is_name, load_python, need_file

ENCODER = "tu-tf_efficientnet_lite0"  # of a U-Net: small, and its weights come as a package
# a JSON schema in words
KINDS = {"integer": "a whole number", "number": "a number", "string": "a string"}
KINDS |= {"boolean": "true or false", "object": "keys and values", "null": "null"}
LIMITS = {"minimum": "of at least", "exclusiveMinimum": "above"}
LIMITS |= {"maximum": "at most", "exclusiveMaximum": "below"}


def _class_names(names):
    """Return names of classes that a text file can have, or raise ValueError."""
    if not names:
        raise ValueError("at least 1 name")
    if not all(map(is_name, names)):
        raise ValueError(f"at least 1 name, in UTF-8 without {NAME_FAULTS}")
    if len(set(names)) < len(names):
        raise ValueError("each name once")
    return names


def name_function(value):
    """Return the name that `find_function` finds a function by; other values as they are."""
    if not callable(value):
        return value
    name = getattr(value, "__qualname__", "<none>")
    if not name.isidentifier():  # a lambda, a partial, a method, a function within a function
        raise InputError(f"{value!r} cannot be found by name; define it with def in a module.")
    home = str(value.__module__)
    ours = vars(sys.modules[home]) if home.startswith("pointlib.") else {}
    tables = [ours.get(table, {}) for table in ("HEATMAPS", "LOSSES", "THRESHOLDS")]
    if any(table.get(name) is value for table in tables):
        return name  # as config.json names it
    return f"{home}:{name}"


def _function(value):
    """Return the name of a function, or raise ValueError in words that fit after "expected"."""
    try:
        return name_function(value)
    except InputError:
        raise ValueError("one that can be found by name: define it with def in a module") from None


Pixels = Annotated[float, Field(ge=0.1)]
Classes = Annotated[list[str], AfterValidator(_class_names)]
Function = Annotated[str, BeforeValidator(_function)]  # a name; in Python, also the function


class Section(BaseModel):
    """A section of the configuration; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_empty_text(cls, value, info):
        """Reject values that would be misread: "" as the path of a folder, true as 1."""
        if value == "":
            raise ValueError("a value; leave the key out for its default")
        kind = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool) and bool not in (kind, *get_args(kind)):
            raise PydanticCustomError("no_bool", "no true or false here")
        return value


class TrainConfig(Section):
    """How to train. Paths stay as written here; `load_config` makes them absolute.

    Examples
    --------
    >>> from pointlib import TrainConfig
    >>> config = TrainConfig(num_epochs=5, loss="mse")
    >>> config.num_epochs, config.loss, config.learning_rate
    (5, 'mse', 0.004)
    """

    dataset_path: str | None = None
    num_epochs: int | None = Field(None, ge=1, le=1_000_000)
    minutes: float | None = Field(None, gt=0)  # the first limit reached; both null: 10 minutes
    learning_rate: float = Field(4e-3, gt=0, le=1)
    batch_size: int = Field(8, ge=1, le=65_536)
    val_split: float = Field(0.2, gt=0, lt=1)
    num_channels: int | None = Field(None, ge=1, le=1024)  # of the input; null: of the first image
    gaussian_sigma: Annotated[float, Field(gt=0, le=256)] | Literal["auto"] = "auto"  # pixels
    output: str = "model"
    start: str | None = None  # an earlier model folder, to go on from
    # match radius, px, or {class: px}; null: half of how wide the objects look
    radius: Pixels | dict[str, Pixels] | None = None
    diameter: Pixels | dict[str, Pixels] | None = None  # of the objects: instead of radius
    classes: Classes | None = None  # null: the labels found
    exclusive: bool | Literal["auto"] = "auto"  # one object, one class; auto: as the points tell
    seed: int = Field(0, ge=0, lt=2**32)
    architecture: str = "Unet"
    encoder: str = ENCODER  # "name" or "name:depth"
    encoder_weights: str | None = "auto"  # or "imagenet" or a .safetensors file; null: random
    model: str | None = None  # your own: "file.py:function"
    heatmap: Function = "gaussian_max"
    loss: Function = "weighted_bce"
    # keyword arguments of the loss, such as {"weight": 10}
    loss_options: dict[str, Annotated[float, Field(strict=True)]] = {}
    scale: Annotated[float, Field(ge=0.01, le=1)] | Literal["auto"] = "auto"  # images are shrunk
    normalise: Literal["train", "percentile"] = "train"
    crop_size: int = Field(128, ge=32, le=8192)
    augment: bool | Literal["strong"] = True
    patience: int | None = Field(None, ge=1)  # stop after this many epochs without a better F1
    accelerator: str = "auto"  # cpu, cuda, mps
    precision: Literal["auto", "32", "bf16"] = "auto"  # auto: bf16 if the device is built for it
    devices: int = Field(1, ge=1, le=1024)
    threads: int | None = Field(None, ge=1, le=1024)  # CPU threads; null: as torch chooses


class InferConfig(Section):
    """How to predict."""

    image_path: str | None = None
    model: str = "model"
    output: str = "predictions"
    threshold: float | None = Field(None, ge=0, le=1)  # null: as chosen in training
    min_distance: float | None = Field(None, ge=0)
    thresholding: Function = "find_peaks"


class AnnotateConfig(Section):
    """How to annotate."""

    dataset_path: str | None = None
    classes: Classes | None = None  # null: the labels found
    model: str | None = None  # model folder, for suggestions and the magnet
    learn: bool = False  # learn a model while people click


class Config(Section):
    """The whole of config.json."""

    train: TrainConfig = TrainConfig()
    infer: InferConfig = InferConfig()
    annotate: AnnotateConfig = AnnotateConfig()


PATHS = {
    "train": ("dataset_path", "output", "start"),
    "infer": ("image_path", "model", "output"),
    "annotate": ("dataset_path", "model"),
}


CODE = {"train": ("heatmap", "loss", "model"), "infer": ("thresholding",)}


def named_code(config, sections):
    """Return {"section.key": name} of the functions that are not built in: their code will run."""
    keys = [(section, key) for section in sections for key in CODE[section]]
    named = {f"{section}.{key}": getattr(getattr(config, section), key) for section, key in keys}
    return {key: name for key, name in named.items() if name and ":" in name}


def load_config(path: str | Path | None, *, overrides: Sequence[str] = ()) -> Config:
    """Read a config.json and check it.

    Parameters
    ----------
    path : str or Path, optional
        None starts from the defaults, relative to the working folder.
    overrides : sequence of str
        ``"train.num_epochs=5"``: read as JSON if possible, else as text.

    Returns
    -------
    Config
        With absolute paths.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pointlib import load_config
    >>> _ = Path("config.json").write_text('{"train": {"dataset_path": "cells"}}')
    >>> config = load_config("config.json", overrides=["train.num_epochs=5"])
    >>> config.train.num_epochs, Path(config.train.dataset_path).is_absolute()
    (5, True)
    """
    data, folder = {}, Path.cwd()
    if path is not None:
        if Path(path).is_dir():
            raise InputError(f"{path} is a folder, not a config.json. {_images_hint(path)}")
        path = need_file(path, "config file")
        folder = path.resolve().parent
        data = _read_json(path)
    for override in overrides:
        _apply(data, override)
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        schema = {"properties": {name: part.model_json_schema() for name, part in Config()}}
        raise InputError(explain(error, path or "--set", schema)) from None
    for name, section in config:
        for key, value in section:
            if value and (key in PATHS[name] or _is_file(value)):
                place = os.path.expanduser(value)  # an unknown ~user stays
                setattr(section, key, str(folder / place))
    return config


def find_function(name, builtins, *, what="function"):
    """Return the function a configuration names.

    Parameters
    ----------
    name : str or callable
        A built-in's name, ``package.module:function`` or ``file.py:function``.
    builtins : dict
        Name to function.
    what : str
        What an error calls it.
    """
    if callable(name):
        return name
    if name in builtins:
        return builtins[name]
    where, colon, function = name.rpartition(":")
    if not colon:
        raise InputError(
            f"{what} {name!r}: {suggest(name, builtins)} "
            "Name your own as package.module:function or file.py:function."
        )
    module = load_python(where) if where.endswith(".py") else _import(where, f"{what} {name!r}")
    known = [key for key, value in vars(module).items() if callable(value)]
    if function not in known:
        raise InputError(f"{what} {name!r}: no function {function}. {suggest(function, known)}")
    return getattr(module, function)


def _import(module, what):
    try:
        return importlib.import_module(module)
    except Exception as error:  # a module runs when it is imported, and may raise anything
        raise InputError(
            f"{what} cannot be imported ({brief(error)}). Expected package.module:function of "
            "an installed package, or file.py:function."
        ) from error


def _read_json(path):
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        hint = "Save it as UTF-8." if path.suffix == ".json" else _images_hint(path)
        raise InputError(f"{path} is not UTF-8 text, as a config.json must be. {hint}") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}, line {error.lineno}: not JSON ({error.msg}). Look for an extra or "
            "missing comma, and for names without double quotes; JSON has no comments."
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} is a {type(data).__name__}; expected {{'train': ...}}.")
    return data


def _images_hint(path):
    return f"Name images with --set train.dataset_path={path} or --set infer.image_path={path}."


def _once(pairs):
    """Return the pairs of a JSON object as a dict; no key may come twice."""
    keys = [key for key, _ in pairs]
    if double := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"it names {double[0]!r} twice; keep one")
    return dict(pairs)


def _apply(data, override):
    """Set one ``section.key=value`` in the raw data."""
    left, equals, right = override.partition("=")
    section, dot, key = left.strip().partition(".")
    if not (equals and dot and key):
        raise InputError(
            f"--set {override!r}; expected section.key=value, such as train.num_epochs=5."
        )
    part = data.setdefault(section, {})
    if not isinstance(part, dict):
        raise InputError(
            f"section {section!r} is a {type(part).__name__}; expected keys and values."
        )
    part[key] = read_value(right)


def read_value(text):
    """Return a value of the command line: parsed if it is JSON, else as text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def explain(error, source, schema):
    """Return one sentence for the first thing that is wrong.

    Parameters
    ----------
    error : pydantic.ValidationError
    source : str or Path
        What an error names as the value's source.
    schema : dict
        The JSON schema of what was checked: it says what is expected.
    """
    first, path = error.errors()[0], []
    for part in first["loc"]:
        if not (inner := _inside(schema, part)):
            break  # a key that is not known, or pydantic's name of an alternative
        path, schema = [*path, str(part)], inner
    if first["type"] == "extra_forbidden":
        key = ".".join([*path, first["loc"][-1]])
        return f"{source}: unknown key {key!r}. {suggest(first['loc'][-1], schema['properties'])}"
    wanted = str(first["ctx"]["error"]) if first["type"] == "value_error" else _in_words(schema)
    if first["type"] == "finite_number":
        wanted = wanted.replace("a number", "a finite number")
    return f"{source}: {'.'.join(path)} is {reprlib.repr(first['input'])}; expected {wanted}."


def _inside(schema, part):
    """Return the schema of a key or an item within a schema, None if it has none."""
    schema = schema.get("anyOf", [schema])[0]  # the other one is null
    rest = "items" if isinstance(part, int) else "additionalProperties"
    return schema.get("properties", {}).get(part) or schema.get(rest)


def _in_words(schema):
    """Return what a schema accepts, such as "null or a number above 0"."""
    if "anyOf" in schema:
        return " or ".join(sorted(map(_in_words, schema["anyOf"]), key=len))
    if names := schema.get("enum", [schema["const"]] if "const" in schema else []):
        *others, last = map(repr, names)
        return f"{', '.join(others)} or {last}" if others else last
    if schema["type"] == "array":
        return f"a list of {KINDS[schema['items']['type']].removeprefix('a ')}s"
    limits = [f"{word} {schema[key]:,}" for key, word in LIMITS.items() if key in schema]
    return f"{KINDS[schema['type']]} {' and '.join(limits)}".rstrip()


def _is_file(value):
    """Tell whether a setting is a `file.py:function` or a weights file, not a name."""
    return isinstance(value, str) and (".py:" in value or value.endswith(".safetensors"))
