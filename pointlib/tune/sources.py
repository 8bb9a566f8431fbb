"""Sources of candidates: a model, given heatmaps, or given candidates.

Each kind processes one image and returns its size, the Candidates of each channel and, if
available, pictures of the heatmaps. Torch is imported only for a model.

Not about the images (inputs.py), nor about when they are processed (state.py).
"""

import threading
from pathlib import Path

import numpy as np

from pointlib.errors import InputError
from pointlib.images import encode_image
from pointlib.matching import check_column
from pointlib.points import check_points
from pointlib.thresholds import FLOOR, Candidates, find_candidates


def open_source(source):
    """Return the source of candidates: a ModelSource, HeatmapSource or CandidateSource."""
    if isinstance(source, (str, Path)):
        from pointlib.model.folder import load_model

        return ModelSource(load_model(source), Path(source).resolve())
    if hasattr(source, "info"):
        return ModelSource(source, None)
    if isinstance(source, dict) or not hasattr(source, "__len__"):
        raise InputError(
            f"{type(source).__name__} is neither a model nor a list; expected a PointModel, its "
            "folder, or one heatmap per image. Put the heatmaps of one image into a list of one."
        )
    if np.ndim(source[0] if len(source) else 0) == 1 or not len(source):
        raise InputError(
            "the heatmaps are a single one (H, W) or an empty list; expected a list: [heatmap]."
        )
    if isinstance(source[0], dict) and source[0]:
        return CandidateSource(source)
    return HeatmapSource(source)


def grey_png(heights):
    """Return a heatmap (H, W) as a grey PNG, bytes; NaN is black."""
    grey = np.rint(255 * np.clip(np.nan_to_num(heights, posinf=0, neginf=0), 0, 1))
    return encode_image(grey.astype(np.uint8), compression=1)


class ModelSource:
    """Candidates of a trained model."""

    n_images, has_heatmaps = None, True

    def __init__(self, model, folder):
        self.model, self.folder = model, folder
        self.classes, self.n_channels = tuple(model.info.classes), len(model.info.classes)
        self.sigma, self.radius = model.info.sigma, model.info.radius
        self.exclusive = model.info.exclusive
        self.trained = set(model.info.training.get("images", {}).get("train", ()))
        self._lock = threading.Lock()  # threads would change the model's mode under each other

    def effort(self, i):
        """Return 0 for the first image, infinity for the others: they are left to the thread."""
        return 0 if i == 0 else np.inf

    def settings(self):
        """Return the model's {class: {"threshold", "min_distance"}}."""
        from pointlib.predict.points import class_settings

        return {name: class_settings(self.model.info, name) for name in self.classes}

    def look(self, _, item):
        """Return (H, W), the Candidates and the PNG of each channel."""
        from pointlib.predict.points import candidates_of, enlarge

        logits, shape = self._logits(item)
        found = candidates_of(logits, self.classes, shape)
        pngs = [grey_png(heights) for heights in enlarge(logits, shape).sigmoid().numpy()]
        return shape, list(found.values()), pngs

    def heatmap(self, _, item):
        """Predict an image again."""
        from pointlib.predict.points import enlarge

        return enlarge(*self._logits(item)).sigmoid().numpy()

    def _logits(self, item):
        """Return an image's logits, and (H, W) of the image."""
        from pointlib.predict.points import predict_logits

        with self._lock:
            image = item.load()
            return predict_logits(self.model, image), image.shape[:2]


class _Given:
    """A source without a model: nothing is known about how it was made."""

    model = folder = classes = sigma = radius = None
    exclusive = False
    trained = frozenset()

    def settings(self):
        """Return None: there are none."""
        return


class HeatmapSource(_Given):
    """Candidates of given heatmaps."""

    has_heatmaps = True

    def __init__(self, heatmaps):
        self._heatmaps, self.n_images = heatmaps, len(heatmaps)
        self.n_channels = len(self.heatmap(0, None))

    def effort(self, i):
        """Return the number of pixels to process."""
        return np.prod(getattr(self._heatmaps[i], "shape", ()))

    def look(self, i, item):
        """Return (H, W), the Candidates of each channel, and no PNG: these are made on demand."""
        heatmap = self.heatmap(i, item)
        if len(heatmap) != self.n_channels:
            raise InputError(
                f"heatmap {i} has {len(heatmap)} channels, the first {self.n_channels}; expected "
                "one per class in each."
            )
        return heatmap.shape[1:], [find_candidates(heights) for heights in heatmap], None

    def heatmap(self, i, item):
        """Return the heatmaps of an image, (C, H, W) float32 or float64, checked."""
        heatmap = self._heatmaps[i]
        if hasattr(heatmap, "detach"):
            heatmap = heatmap.detach().cpu()
            heatmap = heatmap.float() if heatmap.element_size() < 4 else heatmap  # bfloat16
        heatmap = np.asarray(heatmap)
        if heatmap.ndim not in (2, 3) or not heatmap.size or heatmap.dtype.kind not in "fiub":
            raise InputError(
                f"heatmap {i} is {heatmap.dtype} of shape {heatmap.shape}; expected numbers, "
                "(H, W) or (C, H, W)."
            )
        heatmap = heatmap.astype(np.float64 if heatmap.dtype.itemsize > 4 else np.float32)
        heatmap = heatmap.reshape(-1, *heatmap.shape[-2:])
        _check_heights(heatmap, i)
        if item is not None:
            _check_shape(heatmap.shape, item)
        return heatmap


class CandidateSource(_Given):
    """Given candidates."""

    has_heatmaps = False

    def __init__(self, found):
        self._found, self.n_images = found, len(found)
        self.classes = tuple(found[0])
        self.n_channels = len(self.classes)

    def effort(self, _):
        """Return 0: there is nothing to compute."""
        return 0

    def look(self, i, item):
        """Return (H, W), the Candidates of each class, and no PNG."""
        if not isinstance(self._found[i], dict) or set(self._found[i]) != set(self.classes):
            raise InputError(
                f"candidates of {item.name} are for {list(self._found[i])}; expected "
                f"{list(self.classes)}, as in the first image."
            )
        return item.shape(), [_ranked(self._found[i][name]) for name in self.classes], None

    def heatmap(self, _i, _item):
        """Raise InputError: there are no heatmaps."""
        raise InputError("there are no heatmaps, only candidates. Give a model or heatmaps.")


def _check_heights(heatmap, i):
    """Raise InputError for values that cannot be a heatmap: logits, 8-bit images."""
    finite = heatmap[np.isfinite(heatmap)]
    if finite.size and not (finite.min() >= -1 and finite.max() <= 2):
        raise InputError(
            f"heatmap {i} runs from {finite.min():g} to {finite.max():g}; expected values from 0 "
            "to 1. Apply a sigmoid to logits; divide 8-bit images by 255."
        )


def _check_shape(heatmap_shape, item):
    """Raise InputError if a heatmap does not have its image's size, or its channels come last."""
    hint = " Move the channels first: heatmap.transpose(2, 0, 1)."
    if item.shape is None:
        if heatmap_shape[0] > heatmap_shape[2]:
            raise InputError(
                f"the heatmap of {item.name} has shape {heatmap_shape}: more channels than "
                f"columns; expected (C, H, W).{hint}"
            )
    elif heatmap_shape[1:] != (shape := tuple(item.shape())):
        raise InputError(
            f"the heatmap of {item.name} has shape {heatmap_shape[1:]}, the image {shape}; "
            f"expected the same (H, W).{hint if heatmap_shape[:2] == shape else ''}"
        )


def _ranked(found):
    """Return Candidates, checked and best first, without those below 0.05."""
    if not all(hasattr(found, name) for name in Candidates._fields):
        raise InputError(f"a class has a {type(found).__name__}; expected Candidates.")
    points = check_points(found.points, name="candidates.points")
    columns = [check_column(getattr(found, n), len(points), n) for n in ("scores", "isolation")]
    if not np.isfinite(columns[0]).all():
        raise InputError("a score is infinite; expected finite values, usually 0 to 1.")
    order = np.lexsort([points[:, 0], points[:, 1], -columns[0]])
    order = order[columns[0][order] >= FLOOR]
    return Candidates(points[order], *(column[order] for column in columns))
