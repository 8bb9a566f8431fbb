"""Pictures: one picture of any size, cut into pieces.

About which pieces there are, and how their peaks become points. Not about windows and seams
(predict/tiles.py), nor about processes (pool.py).
"""

import numpy as np
import torch

from pointlib.errors import InputError
from pointlib.model.folder import load_model
from pointlib.predict.points import bounds, choose_points, predicting
from pointlib.predict.tiles import (
    SIDE,
    Maxima,
    Tile,
    Tiling,
    heatmap_size,
    join_maxima,
    tiles_of,
)
from pointlib.windows import open_windows


class PictureJob:
    """What decides the points of a picture; it can be sent to a process.

    Parameters
    ----------
    model : Path
        Model folder.
    path : Path
        Of the picture.
    info : ModelInfo
    settings : dict
        {class: {"threshold", "min_distance"}}.
    level, region, piece, trust_code
        As `jobs.predict_large` takes them.
    """

    def __init__(self, model, path, info, settings, *, level, region, piece, trust_code):
        self.model, self.path, self.info, self.settings = model, path, info, settings
        self.level, self.region, self.trust_code = level, region, trust_code
        with open_windows(path, level=level) as picture:
            self.full, self.shape = picture.full, picture.shape[:2]
        if region is not None:
            _check_region(region, self.full)
        height, width = heatmap_size(self.shape, info)
        side = SIDE * max(1, -(-piece // SIDE))
        every = tiles_of(Tile(0, height, 0, width), side)
        self.pieces = [piece for piece in every if self.is_wanted(piece)]

    @property
    def n_pieces(self):
        """The number of pieces."""
        return len(self.pieces)

    def open(self):
        """Return a process's worker."""
        return _Worker(self)

    def is_wanted(self, tile):
        """Return whether a tile has a pixel in the region, or within a pixel of it."""
        if self.region is None:
            return True
        x0, y0, x1, y1 = self.region
        (fy, fx), margin = np.divide(self.full, heatmap_size(self.shape, self.info)), 1
        rows = (tile.top - margin) * fy < y1 and (tile.bottom + margin) * fy > y0
        return rows and (tile.left - margin) * fx < x1 and (tile.right + margin) * fx > x0

    def rows(self, parts):
        """Return the row of the picture for `write_tables`, in a list, and no error, {}.

        `parts` are the arrays of all pieces; points are in pixels of level 0.
        """
        parts = [
            {
                name: Maxima(*(arrays[f"{k}.{column}"] for column in Maxima._fields))
                for k, name in enumerate(self.info.classes)
            }
            for arrays in parts
        ]
        # distances are in pixels of the level that the model was shown
        options = {"shape": self.shape, "reach": bounds(self.settings)["reach"]}
        found = join_maxima(parts, size=heatmap_size(self.shape, self.info), **options)
        points, labels, scores = choose_points(found, self.settings)
        points = (points + 0.5) * np.divide(self.full, self.shape)[::-1] - 0.5
        if self.region is not None:
            x0, y0, x1, y1 = self.region
            inside = ((points >= [x0, y0]) & (points < [x1, y1])).all(axis=1)
            points, labels, scores = points[inside], labels[inside], scores[inside]
        return [(self.path.name, self.full, points, labels, scores)], {}


class _Worker:
    """A process's model and picture, opened once."""

    def __init__(self, job):
        self.job = job
        self.picture = open_windows(job.path, level=job.level)
        model = load_model(job.model, trust_code=job.trust_code)
        # windows of 600 px: nearly twice as fast on a CPU as with the channels first
        self.tiling = Tiling(model.to(memory_format=torch.channels_last), self.picture)

    def do(self, k):
        """Return the peaks of a piece, three arrays a class."""
        job, tiling = self.job, self.tiling
        floor = bounds(job.settings)["floor"]
        tiles = [t for t in tiles_of(job.pieces[k], tiling.side) if job.is_wanted(t)]
        with predicting(tiling.model):
            parts = [tiling.maxima(tile, floor=floor) for tile in tiles]
        return {
            f"{i}.{column}": np.concatenate([getattr(part[name], column) for part in parts])
            for i, name in enumerate(job.info.classes)
            for column in Maxima._fields
        }

    def close(self):
        """Close the picture."""
        self.picture.close()


def _check_region(region, full):
    x0, y0, x1, y1 = region
    height, width = full
    if not (x0 < x1 and y0 < y1 and x1 > 0 and y1 > 0 and x0 < width and y0 < height):
        raise InputError(
            f"the region {x0:g},{y0:g},{x1:g},{y1:g} has no pixel of the picture, "
            f"{width} x {height}; expected x0,y0,x1,y1 with x0 < x1 and y0 < y1."
        )
