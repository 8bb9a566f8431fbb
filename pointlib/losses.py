"""Losses: how far a predicted heatmap is from the target. Torch only.

About one number for one batch. Not about which loss is chosen: train/prepare.py.

A loss has the signature ``loss_fn(logits, target) -> scalar``, both (B, C, H, W) float; `logits`
are the network's raw outputs and ``sigmoid(logits)`` is the heatmap. Write your own and pass it
wherever one is needed. Each loss here except `focal` is 0 for the perfect heatmap.
"""

import torch
from torch import Tensor
from torch.nn import functional

FLOOR = 0.01  # a pixel of this height or more belongs to a point
NOTHING = -30.0  # the logit of "surely no point"
PEAK = 0.6  # the pixel nearest to a point is at least this high for sigma >= 0.7


def weighted_bce(logits: Tensor, target: Tensor, *, weight: float = 1.0) -> Tensor:
    """Binary cross entropy with soft targets; pixels of points count `1 + weight` times.

    ``mean(w * (-t log p - (1 - t) log(1 - p) - H(t)))`` with w = 1 + weight [t >= 0.01] and H(t)
    the target's own entropy, so that 0 is perfect. The weight applies to both terms of a pixel, so
    the optimum stays at p = t (torch's `pos_weight` would move it). After Spotiflow's loss
    (Dominguez Mantes et al. 2025), whose weight of 10 found less; see benchmarks/ACCURACY.md.

    Parameters
    ----------
    logits, target : tensor of shape (B, C, H, W), float
    weight : float
        How much more a pixel of a point counts.

    Returns
    -------
    tensor, scalar

    Examples
    --------
    >>> from pointlib import gaussian_max, weighted_bce
    >>> target = gaussian_max([[8, 8]], (16, 16), sigma=2)[None, None]
    >>> perfect, flat = target.logit(eps=1e-6), target.new_full((1, 1, 16, 16), -2.0)
    >>> bool(weighted_bce(perfect, target) < weighted_bce(flat, target))
    True
    """
    entropy = -torch.xlogy(target, target) - torch.xlogy(1 - target, 1 - target)
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (_weights(target, weight) * (each - entropy)).mean()


def mse(logits: Tensor, target: Tensor) -> Tensor:
    """Mean squared error, ``mean((p - t)^2)``. Collapses to zero if points are small and rare.

    Parameters and result as for `weighted_bce`.

    Examples
    --------
    >>> from pointlib import gaussian_max, mse
    >>> target = gaussian_max([[8, 8]], (16, 16), sigma=2)[None, None]
    >>> perfect, flat = target.logit(eps=1e-6), target.new_full((1, 1, 16, 16), -2.0)
    >>> bool(mse(perfect, target) < mse(flat, target))
    True
    """
    return (torch.sigmoid(logits) - target).square().mean()


def weighted_mse(logits: Tensor, target: Tensor, *, weight: float = 10.0) -> Tensor:
    """Mean squared error; pixels of points count `1 + weight` times.

    Parameters and result as for `weighted_bce`.

    Examples
    --------
    >>> from pointlib import gaussian_max, weighted_mse
    >>> target = gaussian_max([[8, 8]], (16, 16), sigma=2)[None, None]
    >>> perfect, flat = target.logit(eps=1e-6), target.new_full((1, 1, 16, 16), -2.0)
    >>> bool(weighted_mse(perfect, target) < weighted_mse(flat, target))
    True
    """
    return (_weights(target, weight) * (torch.sigmoid(logits) - target).square()).mean()


def focal(logits: Tensor, target: Tensor, *, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    """Penalty-reduced focal loss of CornerNet (Law and Deng 2018) and CenterNet.

    ``-(1 - p)^alpha log p`` at the peaks and ``-(1 - t)^beta p^alpha log(1 - p)`` elsewhere,
    summed and divided by the number of peaks. It needs a target of exactly 1 at a peak, which a
    sub-pixel Gaussian never reaches: the 3x3 maxima of the target are taken as 1. It is 0 not for
    the target itself, but for peaks of 1 on a background of 0.

    Parameters and result as for `weighted_bce`.

    Examples
    --------
    >>> from pointlib import gaussian_max, focal
    >>> target = gaussian_max([[8, 8]], (16, 16), sigma=2)[None, None]
    >>> perfect, flat = target.logit(eps=1e-6), target.new_full((1, 1, 16, 16), -2.0)
    >>> bool(focal(perfect, target) < focal(flat, target))
    True
    """
    positive = focal_peaks(target)
    log_p = functional.logsigmoid(logits)
    log_rest = functional.logsigmoid(-logits)
    found = (log_rest.exp() ** alpha * log_p)[positive].sum()
    background = ((1 - target) ** beta * log_p.exp() ** alpha * log_rest)[~positive].sum()
    return -(found + background) / positive.sum().clamp(min=1)


def focal_peaks(target):
    """Return the mask of the pixels that `focal` takes as points, (B, C, H, W) bool."""
    highest = functional.max_pool2d(target, kernel_size=3, stride=1, padding=1)
    return (target == highest) & (target >= PEAK)


def mask_out(logits, target, valid):
    """Return logits and target with nothing to learn where `valid`, bool, is False."""
    # these logits are perfect for any loss, and their gradient is 0
    return torch.where(valid, logits, NOTHING), torch.where(valid, target, 0.0)


LOSSES = {"weighted_bce": weighted_bce, "mse": mse, "weighted_mse": weighted_mse, "focal": focal}


def _weights(target, weight):
    return 1 + weight * (target >= FLOOR)
