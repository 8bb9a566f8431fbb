"""Tiles: a picture of any size through a network, piece by piece, without a seam.

A tile is a part of the heatmap; its window is what the network must see to draw it: the tile, a
margin for the peaks at its edge, and the halo of `reach.halo_of`. Windows begin at whole periods of
the network and end where the picture ends, so a tile's heatmap is that of the whole picture.

About where windows lie, and about joining the peaks of all tiles. Not about reading pixels
(windows.py), nor about thresholds (points.py).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from pointlib.augment import shrink_part, shrunk_shape, source_span
from pointlib.errors import InputError
from pointlib.images import to_channels
from pointlib.model.point_model import limits_of, pixel_depth, sample_step, scale_image
from pointlib.predict.classes import of_classes
from pointlib.predict.reach import halo_of
from pointlib.thresholds import find_maxima, rank_maxima

SIDE, SMALL, NEAR = 1024, 512, 128  # px: side of a tile; of one with a halo of at most the third
GLOBAL_HALO = 128  # px: for a network that sees the whole picture; none makes it exact
EDGE = 2  # px around a tile in which peaks are looked for, so that its own are whole
CHAIN = 8  # times sigma: as far may one object's class depend on peaks nearby


class Tile(NamedTuple):
    """A part of a heatmap: rows `top` to `bottom`, columns `left` to `right`, the ends excluded."""

    top: int
    bottom: int
    left: int
    right: int


class Maxima(NamedTuple):
    """Peaks of one class as a tile finds them, not ranked."""

    pixels: np.ndarray  # (N, 2) int: x, y in the whole heatmap
    shifts: np.ndarray  # (N, 2) float: from the pixel to the exact place
    scores: np.ndarray  # (N,) float


class Tiling:
    """How a model sees one picture in tiles.

    Parameters
    ----------
    model : PointModel
    picture : windows.Picture or ndarray of shape (H, W) or (H, W, C)
    side : int, optional
        Of a tile, pixels of the heatmap; rounded up to whole periods of the network. Default 512,
        which a processor's cache and memory like, or 1024 if the halo is wide.
    """

    def __init__(self, model, picture, *, side=None):
        self.model, self.picture = model, picture
        self.shape = tuple(picture.shape[:2])  # of the picture
        self.size = heatmap_size(self.shape, model.info)
        halo = halo_of(model) if max(self.size) > (side or SMALL) else 0
        self.halo = GLOBAL_HALO if halo is None else halo
        side = side or (SMALL if self.halo <= NEAR else SIDE)
        self.side = -(-side // model.divisor) * model.divisor
        self.limits = None
        if model.info.normalise == "percentile":
            self.limits = limits_of(self._sample(), model.info)

    @property
    def tiles(self):
        """All tiles, row after row."""
        return tiles_of(Tile(0, self.size[0], 0, self.size[1]), self.side)

    def logits(self, tile, *, extra=0):
        """Return the logits of a tile with `extra` px around it, and where they begin.

        A tensor (C, h, w) on the CPU, and its first row and column.
        """
        inner = [self._widened(*span, n, extra) for span, n in self._spans(tile)]
        outer = [self._widened(*span, n, extra + self.halo) for span, n in self._spans(tile)]
        window = [self._periods(*span, n) for span, n in zip(outer, self.size, strict=True)]
        batch = self._pixels(window)[None].to(self.model.mean.device)
        with torch.inference_mode():
            logits = self.model(batch)[0].float().cpu()
        (top, bottom), (left, right) = inner
        (y, _), (x, _) = window
        return logits[:, top - y : bottom - y, left - x : right - x], (top, left)

    def maxima(self, tile, *, floor):
        """Return {class: Maxima} of the peaks that lie in a tile."""
        info = self.model.info
        extra = EDGE
        if info.exclusive:
            extra += int(np.ceil(CHAIN * info.sigma * info.scale))
        logits, corner = self.logits(tile, extra=extra)
        logits = of_classes(logits, info)
        heights = torch.sigmoid(logits).numpy()
        logarithms = functional.logsigmoid(logits).numpy()
        found = {}
        for k, name in enumerate(info.classes):
            maxima = Maxima(*find_maxima(heights[k], log_heatmap=logarithms[k], floor=floor))
            pixels = maxima.pixels + corner[::-1]
            x, y = pixels.T
            own = (x >= tile.left) & (x < tile.right) & (y >= tile.top) & (y < tile.bottom)
            found[name] = Maxima(pixels[own], maxima.shifts[own], maxima.scores[own])
        return found

    def _spans(self, tile):
        """Return ((start, stop), length of the heatmap) of a tile's rows and of its columns."""
        return ((tile[0:2], self.size[0]), (tile[2:4], self.size[1]))

    @staticmethod
    def _widened(start, stop, n, by):
        return max(0, start - by), min(n, stop + by)

    def _periods(self, start, stop, n):
        """Return a span that begins and ends at whole periods, or at the heatmap's end."""
        period = self.model.divisor
        return start // period * period, min(n, -(-stop // period) * period)

    def _pixels(self, window):
        """Return a window of the picture as the network sees it, (C, h, w) float32."""
        (top, bottom), (left, right) = (
            source_span(n, n_new, *span)
            for n, n_new, span in zip(self.shape, self.size, window, strict=True)
        )
        image = read_part(self.picture, top, bottom, left, right)
        scaled = scale_image(
            to_channels(check_depth(image, self.model.info), self.model.info.n_channels),
            self.model.info,
            limits=self.limits,
        )
        return shrink_part(scaled, (top, left), self.shape, self.size, window)

    def _sample(self):
        """Return every n-th pixel of every n-th row, as `scale_limits` takes its sample."""
        step = sample_step(self.shape)
        rows = [
            read_part(self.picture, row, row + 1, 0, self.shape[1])[:, ::step]
            for row in range(0, self.shape[0], step)
        ]
        return to_channels(np.concatenate(rows), self.model.info.n_channels)


def heatmap_size(shape, info):
    """Return (H, W) of the heatmap of a picture of `shape` (H, W)."""
    return shrunk_shape(shape, info.scale)


def tiles_of(part, side):
    """Return the tiles of a part of a heatmap, a Tile itself, row after row."""
    return [
        Tile(top, min(top + side, part.bottom), left, min(left + side, part.right))
        for top in range(part.top, part.bottom, side)
        for left in range(part.left, part.right, side)
    ]


def read_part(picture, top, bottom, left, right):
    """Return a part of an array, or of a picture that is read by windows."""
    if isinstance(picture, np.ndarray):
        return picture[top:bottom, left:right]
    return picture.read(top, bottom, left, right)


def check_depth(image, info):
    """Return an image of the depth that a model was trained on, or raise InputError."""
    if info.depth and pixel_depth(image) != info.depth:
        raise InputError(
            f"image is {pixel_depth(image)}; this model was trained on {info.depth} images. "
            "Convert the image to the same depth and range."
        )
    return image


def join_maxima(parts, *, size, shape, reach=np.inf):
    """Return {class: Candidates} of a picture from {class: Maxima} of each of its tiles.

    Parameters
    ----------
    parts : list of dict
        In the order of the tiles.
    size, shape : (int, int)
        Height and width of the heatmap, and of the picture.
    reach : float
        As `thresholds.find_candidates` takes it.
    """
    joined = {}
    for name in parts[0] if parts else ():
        columns = zip(*(part[name] for part in parts), strict=True)
        maxima = _once(Maxima(*map(np.concatenate, columns)))
        points = (maxima.pixels + maxima.shifts + 0.5) * np.divide(shape, size)[::-1] - 0.5
        joined[name] = rank_maxima(points, maxima.scores, reach=reach)
    return joined


def _once(maxima):
    """Return peaks without the second halves of plateaus that lie across a seam.

    Neighbouring pixels of the same height are one plateau: its first pixel stands for it.
    """
    order = np.lexsort((*maxima.pixels.T,))  # in reading order
    (x, y), scores = maxima.pixels[order].T.astype(np.int64), maxima.scores[order]
    stride = x.max(initial=0) + 3  # so that x - 1 and x + 1 never are places of another row
    places = y * stride + x + 1
    keep = np.ones(len(places), bool)
    for before in (1, stride - 1, stride, stride + 1):  # left, and the three above
        k = np.searchsorted(places, places - before)  # never beyond the end: they are smaller
        keep &= ~((places[k] == places - before) & (scores[k] == scores))
    return Maxima(*(column[order][keep] for column in maxima))
