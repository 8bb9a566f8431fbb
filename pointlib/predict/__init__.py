"""Prediction: one image, a list of images or a folder -> points.

About running a trained model, in memory (points.py) and to files (folder.py). Not about whether its
points are right: evaluation/ says that.
"""

from pointlib.predict.folder import predict_folder as predict_folder
from pointlib.predict.points import predict_candidates as predict_candidates
from pointlib.predict.points import predict_heatmap as predict_heatmap
from pointlib.predict.points import predict_logits as predict_logits
from pointlib.predict.points import predict_points as predict_points
