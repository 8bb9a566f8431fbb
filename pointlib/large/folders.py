"""Folders: many images, some hundred a piece.

About which images a piece has, and what it leaves. Not about one image (predict/folder.py), nor
about processes (pool.py).
"""

import numpy as np
import torch

from pointlib.errors import InputError, one_line
from pointlib.model.folder import load_model
from pointlib.predict.folder import predict_file

IMAGES = 200  # a piece


class FolderJob:
    """What decides the points of many images; it can be sent to a process.

    Parameters
    ----------
    model : Path
        Model folder.
    sources : list of (path, name)
        As `predict.folder.find_images` gives them.
    settings : dict
        ``threshold``, ``min_distance`` and ``threshold_fn``, as `predict_points` takes them.
    trust_code : bool
    """

    def __init__(self, model, sources, settings, *, trust_code):
        self.model, self.sources = model, sources
        self.settings, self.trust_code = settings, trust_code
        self.n_each = IMAGES

    @property
    def n_pieces(self):
        """The number of pieces."""
        return -(-len(self.sources) // self.n_each)

    def images(self, k):
        """Return (path, name) of the images of a piece."""
        return self.sources[k * self.n_each : (k + 1) * self.n_each]

    def open(self):
        """Return a process's worker."""
        return _Worker(self)

    def rows(self, parts):
        """Return a row of each image for `write_tables`, and {name: why} of the unreadable ones.

        `parts` are the arrays of all pieces.
        """
        rows, unreadable = [], {}
        for k, arrays in enumerate(parts):
            ends = np.cumsum(arrays["n"])[:-1]
            columns = [np.split(arrays[key], ends) for key in ("points", "labels", "scores")]
            for i, (_, name) in enumerate(self.images(k)):
                shape = tuple(arrays["shapes"][i].tolist())
                if error := str(arrays["errors"][i]):
                    shape, unreadable[name] = None, error
                rows.append((name, shape, *(column[i] for column in columns)))
        return rows, unreadable


class _Worker:
    """A process's model."""

    def __init__(self, job):
        self.job = job
        network = load_model(job.model, trust_code=job.trust_code)
        self.network = network.to(memory_format=torch.channels_last)  # a fifth faster on a CPU

    def do(self, k):
        """Return what is found in the images of a piece, one after the other."""
        found = [self._look(path) for path, _ in self.job.images(k)]
        shapes, points, labels, scores, errors = zip(*found, strict=True)
        return {
            "n": np.array([len(own) for own in points]),
            "shapes": np.array(shapes),
            "points": np.concatenate(points),
            "labels": np.concatenate(labels),
            "scores": np.concatenate(scores),
            "errors": np.array(errors, str),
        }

    def _look(self, path):
        """Return shape, points, labels, scores and error of an image; "" if there is none."""
        try:
            _, shape, found = predict_file(self.network, path, self.job.settings)
        except InputError as error:
            return (0, 0), np.zeros((0, 2)), np.zeros(0, str), np.zeros(0), one_line(error)
        return shape, *found, ""

    def close(self):
        """Nothing is open."""
