"""Training: images and points in, a model folder out.

About the loop (loop.py) and what it needs. Not about networks (model/) or prediction (predict/).
"""

from pointlib.train.loop import fit, load_parts, train_folder

__all__ = ["fit", "load_parts", "train_folder"]
