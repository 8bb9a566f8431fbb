"""Augmentation: one 3x3 matrix moves the image and its points together.

About geometry in pixel-centre coordinates, and about changes of light. Not about which images
are used: dataset.py.

A matrix maps source to result, ``[x', y', 1] = M [x, y, 1]``, and is used for both the points and
the pixels, so that they cannot drift apart. Geometry is ours because public libraries move image
and points differently by up to a pixel; changes of light come from torchvision.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from pointlib.errors import InputError

# warped: the share of crops that `random_affine` moves; the others get flips and quarter turns
STRENGTH = {"warped": 0.25, "rotation": 180.0, "scale": 1.2, "shear": 5.0}
STRENGTH |= {"light": 0.1, "noise": 0.01}
STRONG = STRENGTH | {"warped": 0.5, "light": 0.2, "noise": 0.03}


def shift(dx, dy):
    """Return the matrix that moves by (dx, dy) px."""
    return np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]], dtype=float)


def resize(shape: tuple[int, int], new_shape: tuple[int, int]) -> np.ndarray:
    """Return the matrix that resizes an image: p' = (p + 0.5) s - 0.5 along each axis.

    Examples
    --------
    >>> from pointlib import resize, warp_points
    >>> warp_points([[0, 0], [19, 9]], resize((10, 20), (5, 10))).tolist()
    [[-0.25, -0.25], [9.25, 4.25]]
    """
    sy, sx = new_shape[0] / shape[0], new_shape[1] / shape[1]
    return np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1]])


def flip(shape: tuple[int, int], *, horizontal: bool = True) -> np.ndarray:
    """Return the matrix that flips an image: x' = W - 1 - x, or y' = H - 1 - y.

    Examples
    --------
    >>> from pointlib import flip, warp_points
    >>> warp_points([[0, 4]], flip((10, 20))).tolist()
    [[19.0, 4.0]]
    """
    matrix = np.eye(3)
    axis = 0 if horizontal else 1
    matrix[axis, axis], matrix[axis, 2] = -1, shape[1 - axis] - 1
    return matrix


def affine(
    centre: Sequence[float], *, rotation: float = 0.0, scale: float = 1.0, shear: float = 0.0
) -> np.ndarray:
    """Return the matrix that rotates, scales and shears about a centre, which stays in place.

    Parameters
    ----------
    centre : (float, float)
        x, y in pixels.
    rotation, shear : float
        Degrees; y points down, so a positive rotation is clockwise on the screen.
    scale : float

    Examples
    --------
    >>> from pointlib import affine, warp_points
    >>> warp_points([[10, 5], [12, 5]], affine((10, 5), rotation=90)).round(6).tolist()
    [[10.0, 5.0], [10.0, 7.0]]
    """
    angle, slant = math.radians(rotation), math.tan(math.radians(shear))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2] = scale * turn @ np.array([[1, slant], [0, 1]])
    return shift(*centre) @ matrix @ shift(-centre[0], -centre[1])


def warp_points(points: ArrayLike, matrix: np.ndarray) -> np.ndarray:
    """Move points (N, 2) by a matrix; they may land outside the image.

    Examples
    --------
    >>> from pointlib import affine, warp_points
    >>> warp_points([[1, 2]], affine((0, 0), scale=3)).tolist()
    [[3.0, 6.0]]
    """
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def warp_image(
    image: Tensor, matrix: np.ndarray, shape: tuple[int, int], *, fill: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Move an image by a matrix, with bilinear interpolation.

    Parameters
    ----------
    image : tensor of shape (C, H, W), float
    matrix : ndarray of shape (3, 3)
        Source to result.
    shape : (int, int)
        Height and width of the result.
    fill : float
        The value outside the source.

    Returns
    -------
    image : tensor of shape (C, *shape), float
    valid : tensor of shape (*shape), bool
        False outside the source: leave these pixels out of the loss.

    Examples
    --------
    >>> import torch
    >>> from pointlib import flip, warp_image
    >>> image = torch.tensor([[[1.0, 2.0, 3.0]]])
    >>> flipped, valid = warp_image(image, flip((1, 3)), (1, 3))
    >>> flipped.tolist(), bool(valid.all())
    ([[[3.0, 2.0, 1.0]]], True)
    """
    if image.ndim != 3:
        raise InputError(f"image has shape {tuple(image.shape)}; expected (C, H, W).")
    height, width = image.shape[1:]
    back = np.linalg.inv(matrix)
    rows, columns = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij"
    )
    x = back[0, 0] * columns + back[0, 1] * rows + back[0, 2]
    y = back[1, 0] * columns + back[1, 1] * rows + back[1, 2]
    valid = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    result = functional.grid_sample(
        image[None], grid[None].to(image.dtype), padding_mode="border", align_corners=False
    )[0]
    return torch.where(valid, result, torch.as_tensor(fill, dtype=image.dtype)), valid


def shrink(image: Tensor, scale: float) -> Tensor:
    """Return an image (C, H, W) at `scale` times its size, antialiased.

    The new shape is rounded to whole pixels; `resize` of the two shapes is the points' matrix.

    Examples
    --------
    >>> import torch
    >>> from pointlib import shrink
    >>> shrink(torch.rand(3, 40, 60), 0.5).shape
    torch.Size([3, 20, 30])
    """
    shape, new_shape = image.shape[1:], shrunk_shape(image.shape[1:], scale)
    return shrink_part(image, (0, 0), shape, new_shape, ((0, new_shape[0]), (0, new_shape[1])))


def shrunk_shape(shape, scale):
    """Return (H, W) of an image of `shape` (H, W) at `scale` times its size, whole pixels."""
    return tuple(max(1, round(n * scale)) for n in shape)


def source_span(n, n_new, start, stop):
    """Return the first pixel, and one after the last, that pixels `start` to `stop` come from."""
    index, _ = _taps(n, n_new, start, stop)
    return int(index[0, 0]), int(index[-1].max()) + 1


def shrink_part(part, corner, shape, new_shape, spans):
    """Return a part of a shrunken image, the same to the bit as if the whole were shrunk.

    Each new pixel is the mean of the old ones around it, weighted by a triangle, as
    `torch.nn.functional.interpolate` with ``antialias=True`` has it; but weights and order of the
    sums depend on the pixel's place in the whole image alone.

    Parameters
    ----------
    part : tensor of shape (C, h, w)
        At least the pixels that `source_span` names.
    corner : (int, int)
        Row and column of its first pixel in the whole image.
    shape, new_shape : (int, int)
        Height and width of the whole image, and of the shrunken one.
    spans : ((int, int), (int, int))
        First row and one after the last of the part wanted, in the shrunken image; same of columns.
    """
    if tuple(shape) == tuple(new_shape):
        (top, bottom), (left, right) = spans
        y, x = corner
        return part[:, top - y : bottom - y, left - x : right - x]
    rows = _weighted(part.permute(1, 2, 0), corner[0], shape[0], new_shape[0], spans[0])
    columns = _weighted(rows.transpose(0, 1), corner[1], shape[1], new_shape[1], spans[1])
    return columns.permute(2, 1, 0).contiguous()


def _weighted(rows, first, n, n_new, span):
    """Return the weighted means of rows (h, w, C), the first of which is row `first` of `n`."""
    index, weights = _taps(n, n_new, *span)
    # a sum in one order for every pixel, and ten times as fast as gathering row by row
    means = functional.embedding_bag(
        torch.from_numpy(index - first),
        rows.reshape(len(rows), -1),
        per_sample_weights=torch.from_numpy(weights),
        mode="sum",
    )
    return means.view(len(index), *rows.shape[1:])


def _taps(n, n_new, start, stop):
    """Return which pixels of `n` each of the new ones `start` to `stop` is the mean of, weighted.

    Both (stop - start, K): indices, and float32 weights that are 0 where there are fewer.
    """
    step = n / n_new
    centre = (np.arange(start, stop) + 0.5) * step
    first = np.maximum(np.floor(centre - step + 0.5), 0).astype(int)
    end = np.minimum(np.floor(centre + step + 0.5), n).astype(int)
    index = first[:, None] + np.arange((end - first).max())
    weights = np.maximum(1 - np.abs(index + 0.5 - centre[:, None]) / step, 0)
    weights[index >= end[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    return np.minimum(index, end[:, None] - 1), weights.astype(np.float32)


def random_affine(
    rng: np.random.Generator, centre: Sequence[float], *, strength: Mapping[str, float] = STRENGTH
) -> np.ndarray:
    """Return the matrix of a random rotation, scale, shear and flip about `centre`.

    Parameters
    ----------
    rng : numpy.random.Generator
    centre : (float, float)
        x, y in pixels; stays in place.
    strength : dict
        Limits: rotation and shear in degrees either way, scale as a factor either way.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import random_affine, warp_points
    >>> matrix = random_affine(np.random.default_rng(0), (30, 20))
    >>> warp_points([[30, 20]], matrix).round(6).tolist()
    [[30.0, 20.0]]
    """
    log_scale = math.log(strength["scale"])
    matrix = affine(
        centre,
        rotation=rng.uniform(-strength["rotation"], strength["rotation"]),
        scale=math.exp(rng.uniform(-log_scale, log_scale)),
        shear=rng.uniform(-strength["shear"], strength["shear"]),
    )
    if rng.random() < 0.5:
        matrix = shift(2 * centre[0], 0) @ np.diag([-1.0, 1.0, 1.0]) @ matrix
    return matrix


def random_light(image, seed, *, strength=STRENGTH):
    """Change brightness, contrast, colour, sharpness and noise; move nothing.

    Parameters
    ----------
    image : tensor of shape (C, H, W), float in [0, 1]
        Three channels are taken as colours; any other number is changed channel by channel.
    seed : int
        The same seed gives the same change.
    """
    colourful = len(image) == 3
    batch = image if colourful else image[:, None]  # a batch of grey images
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed each GPU too
        for step in _light_steps(strength["light"], strength["noise"], colourful):
            batch = step(batch)
    return batch.reshape(image.shape)


@cache
def _light_steps(light, noise, colourful):
    """Return torchvision's steps, without hue: it costs more time than it gains."""
    return [
        v2.ColorJitter(light, light, light if colourful else 0),
        v2.RandomApply([v2.GaussianBlur(3, sigma=(0.1, 1.0))], p=0.2),
        v2.RandomApply([v2.GaussianNoise(sigma=noise)], p=0.3),
    ]
