"""Prediction: one image, a list of images or a folder -> points.

About running a trained model, in memory (points.py) and to files (folder.py). Not about whether its
points are right: evaluation/ says that.
"""

from pointlib.predict.folder import predict_folder
from pointlib.predict.points import (
    predict_candidates,
    predict_heatmap,
    predict_logits,
    predict_points,
)

__all__ = [
    "predict_candidates",
    "predict_folder",
    "predict_heatmap",
    "predict_logits",
    "predict_points",
]
