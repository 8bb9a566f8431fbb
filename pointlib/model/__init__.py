"""The network and what must be known to use it: built by name, saved whole, loaded safely.

About networks by smp's names (network.py), how one is used (point_model.py) and models as
folders (folder.py). Not about training them (train/) or what their heatmaps mean (predict/).
"""

from pointlib.model.folder import load_model as load_model
from pointlib.model.folder import read_info as read_info
from pointlib.model.folder import save_model as save_model
from pointlib.model.folder import write_settings as write_settings
from pointlib.model.network import build_network as build_network
from pointlib.model.point_model import ModelInfo as ModelInfo
from pointlib.model.point_model import PointModel as PointModel
from pointlib.model.point_model import build_custom as build_custom
from pointlib.model.point_model import build_model as build_model
from pointlib.model.point_model import scale_image as scale_image
