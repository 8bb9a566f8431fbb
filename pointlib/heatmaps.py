"""Points to heatmaps: what the network learns to draw.

About targets, on any torch device. Not about finding points in a heatmap: thresholds.py does that.

A heatmap function has the shape ``heatmap_fn(points, shape, *, sigma) -> (H, W)``; write your own
and pass it wherever one is asked for. Points need not lie inside: a centre just outside the frame
still casts its shade into it. A Gaussian is drawn out to 4 sigma, where it is down to 0.0003.
"""

import math

import numpy as np
import torch

from pointlib.files import InputError
from pointlib.points import check_points, nearest_distances

REACH = 4.0  # sigmas; beyond it a Gaussian counts as zero
WIDEST = 6.0  # px: the largest sigma chosen by itself; a network sees only so far
CHUNK = 4_000_000  # window pixels handled at once: bounds memory at 100,000 points


def gaussian_max(points, shape, *, sigma):
    """Draw each point as a Gaussian of height 1; where two overlap, the higher one counts.

    ``h(q) = max_p exp(-|q - p|^2 / (2 sigma^2))``, as in CenterNet (Zhou et al. 2019), but at the
    sub-pixel place. Neighbours 2 px or more apart on whole pixels stay two peaks.

    Parameters
    ----------
    points : array_like or tensor of shape (N, 2), float
        x, y in pixels. A tensor stays on its device.
    shape : (int, int)
        Height and width of the heatmap.
    sigma : float or array_like of shape (N,)
        Standard deviation in pixels, one for all or one a point.

    Returns
    -------
    tensor of shape (H, W), float32
        In [0, 1].
    """
    return _draw(points, shape, sigma, "amax")


def gaussian_sum(points, shape, *, sigma):
    """Draw each point as a Gaussian of height 1, add them up and clip at 1.

    Kept to show why it fails: points nearer than about 3 sigma melt into one plateau that cannot
    be turned back into points. Parameters and result as for `gaussian_max`.
    """
    return _draw(points, shape, sigma, "sum").clamp_(max=1.0)


def density(points, shape, *, sigma):
    """Draw each point inside the frame as a Gaussian of unit mass, so that the sum is the count.

    Each one is scaled by its mass inside the frame, so that a point at the border still counts
    as one (a zero-padded blur loses half of it). Points outside are not counted.
    Parameters and result as for `gaussian_max`, but values are not bound by 1.
    """
    points, sigma = _tensors(points, sigma)
    height, width = shape
    limit = torch.tensor([width, height], device=points.device) - 0.5
    inside = ((points >= -0.5) & (points <= limit)).all(dim=1)
    return _draw(points[inside], shape, sigma[inside], "sum", unit_mass=True)


HEATMAPS = {"gaussian_max": gaussian_max, "gaussian_sum": gaussian_sum, "density": density}


def draw_classes(points, labels, shape, *, classes, sigma, heatmap_fn=gaussian_max):
    """Draw one heatmap a class.

    Parameters
    ----------
    points : array_like of shape (N, 2), float
    labels : array_like of shape (N,), str
    shape : (int, int)
        Height and width.
    classes : sequence of str
        The order of the channels. A label that is not among them is an error.
    sigma : float
        In pixels.

    Returns
    -------
    tensor of shape (C, H, W), float32
    """
    labels = np.asarray(labels, dtype=str)
    if unknown := sorted(set(labels.tolist()) - set(classes)):
        raise InputError(f"label {unknown[0]!r} is not among the classes {list(classes)}.")
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    maps = [heatmap_fn(points[labels == name], shape, sigma=sigma) for name in classes]
    return torch.stack([torch.as_tensor(m, dtype=torch.float32) for m in maps])


def auto_sigma(points_of_images, *, share=0.2, lowest=1.5, highest=WIDEST):
    """Choose sigma from how near points stand to each other.

    A fifth of the median distance to the nearest neighbour, within [1.5, 6] px: wide enough to
    learn from, narrow enough that neighbours stay apart.

    Parameters
    ----------
    points_of_images : sequence of arrays of shape (N, 2)

    Returns
    -------
    float
        Pixels, rounded to 0.1. The middle of the range where no image holds two points.
    """
    each = [nearest_distances(points) for points in points_of_images]
    distances = np.concatenate(each) if each else np.zeros(0)
    distances = distances[np.isfinite(distances)]
    if not len(distances):
        return round((lowest + highest) / 2, 1)
    return round(float(np.clip(share * np.median(distances), lowest, highest)), 1)


def _tensors(points, sigma):
    """Return points (N, 2) and sigma (N,) as float64 tensors of one device, checked."""
    if not isinstance(points, torch.Tensor):
        points = torch.from_numpy(check_points(points))
    # MPS has no float64; float32 places a point in a 4000 px image to 0.0003 px
    dtype = torch.float32 if points.device.type == "mps" else torch.float64
    points = points.to(dtype)
    sigma = torch.as_tensor(sigma, dtype=dtype, device=points.device).expand(len(points))
    if len(sigma) and not bool((sigma > 0).all()):
        raise InputError(f"sigma is {float(sigma.min()):g}; expected a number above 0, in pixels.")
    return points, sigma


def _draw(points, shape, sigma, reduce, *, unit_mass=False):
    """Scatter the points' windows onto a padded canvas and cut the frame out of it."""
    points, sigma = _tensors(points, sigma)
    height, width = (int(n) for n in shape)
    radius = math.ceil(REACH * float(sigma.max())) if len(points) else 0
    frame = torch.tensor([width, height], device=points.device)
    near = ((points > -radius - 1) & (points < frame + radius)).all(dim=1)
    points, sigma = points[near], sigma[near]
    pad = 2 * radius + 2  # a window of a point `radius` outside still fits
    canvas = torch.zeros(height + 2 * pad, width + 2 * pad, device=points.device)
    side = 2 * radius + 1
    for some in torch.arange(len(points), device=points.device).split(max(1, CHUNK // side**2)):
        base, x_part, y_part = _windows(points[some], sigma[some], radius)
        if unit_mass:
            x_part = _share(x_part, base[:, 0], radius, width)
            y_part = _share(y_part, base[:, 1], radius, height)
        values = y_part[:, :, None] * x_part[:, None, :]
        steps = torch.arange(side, device=points.device)
        rows = base[:, 1, None] - radius + pad + steps
        columns = base[:, 0, None] - radius + pad + steps
        index = rows[:, :, None] * canvas.shape[1] + columns[:, None, :]
        canvas.view(-1).scatter_reduce_(0, index.reshape(-1), values.reshape(-1), reduce)
    return canvas[pad : pad + height, pad : pad + width].contiguous()


def _windows(points, sigma, radius):
    """Return the nearest pixels (N, 2) and the Gaussians' profiles along x and y (N, side)."""
    base = points.round().long()
    offsets = torch.arange(-radius, radius + 1, device=points.device)
    distance = (base - points)[:, :, None] + offsets  # (N, 2, side)
    sigma = sigma[:, None, None]
    profile = torch.exp(-0.5 * (distance / sigma) ** 2)
    profile = torch.where(distance.abs() <= REACH * sigma, profile, 0.0).float()
    return base, profile[:, 0], profile[:, 1]


def _share(profile, base, radius, size):
    """Cut a profile at the frame and scale what is left to a sum of 1."""
    place = base[:, None] + torch.arange(-radius, radius + 1, device=profile.device)
    profile = torch.where((place >= 0) & (place < size), profile, 0.0)
    return profile / profile.sum(dim=1, keepdim=True)
