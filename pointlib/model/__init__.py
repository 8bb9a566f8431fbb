"""The network and what must be known to use it: built by name, saved whole, loaded safely.

About networks by smp's names (network.py), how one is used (point_model.py) and models as
folders (folder.py). Not about training them (train/) or what their heatmaps mean (predict/).
"""

from pointlib.model.folder import load_model, read_info, save_model, write_settings
from pointlib.model.network import build_network
from pointlib.model.point_model import ModelInfo, PointModel, build_custom, build_model, scale_image

__all__ = [
    "ModelInfo",
    "PointModel",
    "build_custom",
    "build_model",
    "build_network",
    "load_model",
    "read_info",
    "save_model",
    "scale_image",
    "write_settings",
]
