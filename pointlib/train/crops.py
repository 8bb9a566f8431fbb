"""The network's input: augmented crops with their target heatmaps, and the range of pixels.

About the training images. Validation images are predicted whole: validate.py.
"""

import math

import numpy as np
import torch

from pointlib.augment import (
    STRENGTH,
    STRONG,
    affine,
    random_affine,
    random_light,
    resize,
    shift,
    shrink,
    shrunk_shape,
    warp_image,
    warp_points,
)
from pointlib.cache import KEPT_BYTES, Cache
from pointlib.dataset import regions_of, shape_of
from pointlib.errors import InputError
from pointlib.heatmaps import draw_classes, gaussian_max
from pointlib.model.point_model import pixel_depth, scale_image, scale_limits

MOST_CROPS = 2_000  # per epoch
NEAR_POINT = 0.8  # share of the crops that are placed at a point
RUN, TOGETHER = 25, 16  # crops per image, of so many images at a time, if memory is too small


class TrainingCrops(torch.utils.data.Dataset):
    """Augmented crops with their target heatmaps; each a function of (seed, epoch, index).

    An epoch has about as many pixels as the images, but at least 16 crops and at most 2,000, of
    other images each time, so that a validation is due every few minutes. Four crops in five are
    placed at a point, of rare classes as often as of common ones; the others anywhere.

    Parameters
    ----------
    dataset : dataset
    info : ModelInfo
        Classes and scaling; sigma in pixels of the dataset's images.
    size : int
        Side of the crops, pixels.
    heatmap_fn : callable
    seed : int
    augment : bool or "strong"
        Whether crops are rotated, scaled and changed in brightness, and how much.
    """

    def __init__(self, dataset, info, *, size=128, heatmap_fn=gaussian_max, seed=0, augment=True):
        self.dataset, self.info, self.size, self.heatmap_fn = dataset, info, size, heatmap_fn
        self.seed, self.augment = seed, augment
        self.strength = STRONG if augment == "strong" else STRENGTH
        self.epoch = 0
        n_pixels = mean_pixels(dataset)
        self.large = len(dataset) * n_pixels * dataset[0][0][0, 0].nbytes > KEPT_BYTES
        self.recent = Cache(max_items=TOGETHER)
        # validation predicts whole images: an epoch has enough crops to cover them
        per_image = n_pixels / size**2 / getattr(dataset, "scale", 1)
        self.repeats = max(1, round(max(16 / len(dataset), per_image)))

    def __len__(self):
        return min(len(self.dataset) * self.repeats, MOST_CROPS)

    def __getitem__(self, index):
        """Return image (C_in, S, S) in [0, 1], target (C, S, S) and valid (1, S, S) bool."""
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)  # on small tensors threads only wait for each other
        try:
            return self._crop(index)
        finally:
            torch.set_num_threads(n_threads)

    def _crop(self, index):
        seed = (self.seed, self.epoch, index)
        rng = np.random.default_rng(seed)
        place = int(self._order()[index])
        (image, points, labels), regions = self._item(place), regions_of(self.dataset, place)
        matrix = self._matrix(rng, image.shape[:2], points, labels, regions)
        piece, corner = _piece(image, matrix, self.size)
        piece = scale_image(piece, self.info, limits=scale_limits(image, self.info))
        onto_crop = matrix @ shift(*corner)
        crop, valid = warp_image(piece, onto_crop, (self.size, self.size))
        if regions:  # outside nothing is known, and nothing is learnt
            valid &= torch.from_numpy(regions.warped(matrix).mask((self.size, self.size)))
        if self.augment:
            crop = random_light(crop, int(rng.integers(2**31)), strength=self.strength)
        target = draw_classes(
            warp_points(points, matrix),
            labels,
            (self.size, self.size),
            classes=self.info.classes,
            sigma=self.info.sigma,
            heatmap_fn=self.heatmap_fn,
        )
        return crop, target, valid[None]

    def _item(self, place):
        """Return an item of the dataset; the last few are cached if not all are."""
        if not self.large:
            return self.dataset[place]
        return self.recent.get(place, lambda: self.dataset[place])

    def _order(self):
        """Return the image of each crop of the epoch, at random.

        If the images do not fit into memory, a few at a time give many crops each: reading a
        large image takes longer than learning from a crop of it.
        """
        rng = np.random.default_rng((self.seed, self.epoch))
        n, n_images = len(self), len(self.dataset)
        if not self.large:
            return rng.permutation(np.repeat(np.arange(n_images), self.repeats))[:n]
        images = rng.permutation(n_images)[: math.ceil(n / RUN)]
        times = math.ceil(n / len(images))
        groups = np.split(images, range(TOGETHER, len(images), TOGETHER))
        return np.concatenate([rng.permutation(np.repeat(some, times)) for some in groups])[:n]

    def _matrix(self, rng, shape, points, labels, regions=None):
        """Return the matrix that maps a random place of the image to the crop's centre."""
        middle = (self.size - 1) / 2
        centre = self._centre(rng, shape, points, labels, regions)
        matrix = np.eye(3)
        if self.augment and rng.random() < self.strength["warped"]:
            matrix = random_affine(rng, centre, strength=self.strength)
        elif self.augment:
            matrix = _quarter_turned(rng, centre)
        return shift(middle - centre[0], middle - centre[1]) @ matrix

    def _centre(self, rng, shape, points, labels, regions):
        """Return the crop's centre, at a half pixel, so that a straight crop is not resampled."""
        height, width = shape
        place = rng.uniform([0, 0], [width - 1, height - 1])
        if regions:
            place = regions.random_place(rng)
        if len(points) and rng.random() < NEAR_POINT:
            among = points[labels == rng.choice(np.unique(labels))]
            place = among[rng.integers(len(among))] + rng.uniform(-0.4, 0.4, 2) * self.size
        half = (self.size - 1) / 2
        lowest, highest = half, np.array([width, height]) - 1 - half
        inside = np.clip(place, lowest, np.maximum(highest, lowest))
        inside = np.where(highest < lowest, (np.array([width, height]) - 1) / 2, inside)
        return np.floor(inside - half) + half


class Shrunk:
    """A dataset seen at `scale` times its size: images and points move together."""

    def __init__(self, dataset, scale):
        self.dataset, self.scale, self._kept = dataset, scale, Cache(max_bytes=KEPT_BYTES)

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        """Return image (H, W, C) float32, points and labels; cached while memory lasts."""
        return self._kept.get(index, lambda: self._shrink(index))

    def shape(self, index):
        """Return (H, W) of an item, shrunk."""
        return shrunk_shape(shape_of(self.dataset, index), self.scale)

    def regions(self, index):
        """Return the Regions of an item, shrunk; None if all of it is labelled."""
        regions = regions_of(self.dataset, index)
        if regions is None:
            return None
        return regions.warped(resize(shape_of(self.dataset, index), self.shape(index)))

    def _shrink(self, index):
        image, points, labels = self.dataset[index]
        pixels = torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1))
        small = shrink(pixels, self.scale).numpy().transpose(1, 2, 0)
        matrix = resize(image.shape[:2], small.shape[:2])
        return small, warp_points(points, matrix), labels


def mean_pixels(dataset):
    """Return the mean number of pixels of an image, over 32 spread evenly."""
    some = np.linspace(0, len(dataset) - 1, min(len(dataset), 32)).astype(int)
    return float(np.mean([np.prod(shape_of(dataset, int(i))) for i in some]))


def _piece(image, matrix, size):
    """Return the part of the image that a crop sees, and its corner (x, y): scaling is slow."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) - 0.5
    seen = warp_points(corners, np.linalg.inv(matrix))
    limit = np.array([image.shape[1], image.shape[0]])
    start = np.clip(np.floor(seen.min(axis=0)) - 2, 0, limit - 1).astype(int)
    stop = np.clip(np.ceil(seen.max(axis=0)) + 3, start + 1, limit).astype(int)
    return image[start[1] : stop[1], start[0] : stop[0]], start


def _quarter_turned(rng, centre):
    """Return a random mirror image and quarter turn about a centre, which stays in place."""
    turn = np.round(affine((0, 0), rotation=90.0 * rng.integers(4)))
    mirror = np.diag([rng.choice([-1.0, 1.0]), 1.0, 1.0])
    return shift(*centre) @ mirror @ turn @ shift(-centre[0], -centre[1])


def learn_range(images, info):
    """Set which pixel values become 0 and 1, and mean and standard deviation after that."""
    depths = sorted({pixel_depth(image) for image in images})
    if len(depths) > 1:
        raise InputError(f"the images mix {' and '.join(depths)} pixels; convert them to one kind.")
    info.depth = depths[0]
    if info.depth == "uint8":
        info.low, info.high = (0.0,), (255.0,)
    else:  # 16 bit and float use any part of their range
        pixels = np.concatenate([im[::4, ::4].reshape(-1, info.n_channels) for im in images])
        if info.depth == "float":
            pixels = pixels[np.isfinite(pixels).all(axis=1)]
        if not len(pixels):
            raise InputError("the images have no finite pixels: all are NaN or infinite.")
        info.low, info.high = (
            tuple(map(float, v)) for v in np.nanpercentile(pixels, [0.1, 99.9], axis=0)
        )
    scaled = []
    for image in images:
        low, high = (np.array(v) for v in scale_limits(image, info))
        unit = (image[::4, ::4].reshape(-1, info.n_channels) - low) / np.maximum(high - low, 1e-6)
        scaled.append(np.clip(unit, 0, 1))
    scaled = np.concatenate(scaled)
    info.mean = tuple(map(float, np.nanmean(scaled, axis=0)))
    info.std = tuple(map(float, np.maximum(np.nanstd(scaled, axis=0), 1e-3)))
    return info
