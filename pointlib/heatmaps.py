"""Points to heatmaps: what the network learns to draw.

About targets, on any torch device. Not about choosing sigma (gaussians.py), nor about finding
points in a heatmap (thresholds.py).

A heatmap function has the shape ``heatmap_fn(points, shape, *, sigma) -> (H, W)``; write your own
and pass it wherever one is asked for. Points need not lie inside: a centre just outside the frame
still casts its shade into it. A Gaussian is drawn out to 4 sigma, where it is down to 0.0003.
"""

import math

import numpy as np
import torch

from pointlib.errors import InputError
from pointlib.gaussians import REACH
from pointlib.points import check_points

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
    points, sigma = _tensors(points, sigma)
    if points.device.type != "cpu":
        return _draw(points, shape, sigma, "amax")
    from pointlib.kernels import draw_max

    canvas = torch.zeros(*(int(n) for n in shape))
    points, sigma = points.numpy(), sigma.numpy()
    order = points[:, 1].argsort()
    draw_max(canvas.numpy(), points[order], sigma[order], REACH)
    return canvas


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


def _tensors(points, sigma):
    """Return points (N, 2) and sigma (N,) as float64 tensors of one device, checked."""
    if not isinstance(points, torch.Tensor):
        points = torch.from_numpy(check_points(points))
    # MPS has no float64; float32 places a point in a 4000 px image to 0.0003 px
    dtype = torch.float32 if points.device.type == "mps" else torch.float64
    points = points.to(dtype)
    sigma = torch.as_tensor(sigma, dtype=dtype, device=points.device).expand(len(points))
    if not bool(((sigma > 0) & sigma.isfinite()).all()):
        wrong = float(sigma[~((sigma > 0) & sigma.isfinite())][0])
        raise InputError(f"sigma is {wrong:g}; expected a number above 0, in pixels.")
    return points, sigma


def _draw(points, shape, sigma, reduce, *, unit_mass=False):
    """Bring the points' windows onto the canvas; at the frame a window is pushed back inside."""
    points, sigma = _tensors(points, sigma)
    height, width = (int(n) for n in shape)
    radius = math.ceil(REACH * float(sigma.max())) if len(points) else 0
    frame = torch.tensor([width, height], device=points.device)
    near = ((points > -radius - 1) & (points < frame + radius)).all(dim=1)
    points, sigma = points[near], sigma[near]
    canvas = torch.zeros(height, width, device=points.device)
    each = torch.arange(len(points), device=points.device)
    for some in each.split(max(1, CHUNK // (2 * radius + 1) ** 2)):
        rows, y_part = _profile(points[some, 1], sigma[some], radius, height)
        columns, x_part = _profile(points[some, 0], sigma[some], radius, width)
        if unit_mass:
            y_part, x_part = (part / part.sum(dim=1, keepdim=True) for part in (y_part, x_part))
        _scatter(canvas, (rows, columns), (y_part, x_part), reduce)
    return canvas


def _profile(places, sigma, radius, size):
    """Return the windows' first pixels (N,) and the Gaussians along one axis (N, side)."""
    side = min(2 * radius + 1, size)
    first = (places.round().long() - radius).clamp(0, size - side)
    pixels = first[:, None] + torch.arange(side, device=places.device)
    distance, sigma = pixels - places[:, None], sigma[:, None]
    profile = torch.exp(-0.5 * (distance / sigma) ** 2)
    return first, torch.where(distance.abs() <= REACH * sigma, profile, 0.0).float()


def _scatter(canvas, first, parts, reduce):
    """Add the windows to the canvas, or raise it to them, pixel by pixel; on any device."""
    rows, columns = (
        at[:, None] + torch.arange(part.shape[1], device=at.device)
        for at, part in zip(first, parts, strict=True)
    )
    index = rows[:, :, None] * canvas.shape[1] + columns[:, None, :]
    values = parts[0][:, :, None] * parts[1][:, None, :]
    canvas.view(-1).scatter_reduce_(0, index.reshape(-1), values.reshape(-1), reduce)
