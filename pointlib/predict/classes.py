"""Classes that exclude each other: one object has one class.

Each class has a heatmap of its own, so peaks found class by class can name one object twice. About
sharing objects out among classes, before any peak is looked for. Not about finding peaks
(thresholds.py), nor about when classes exclude each other (train/prepare.py).
"""

import numpy as np
import torch
from scipy.spatial import KDTree
from torch.nn import functional

NOTHING = -6.0  # the logit where a class has no object: a height of 0.002


def of_classes(logits, info):
    """Return the logits of each class; where classes exclude each other, an object has one."""
    if not info.exclusive or len(logits) < 2:
        return logits
    return share_out(logits, reach=info.sigma * info.scale)


def share_out(logits, *, reach):
    """Share objects out among classes that exclude each other.

    The heatmap of an object of any class, `any_class`, falls into hills: from each pixel the
    steepest way up leads to one peak (a watershed). Each hill goes to one class as a whole, the one
    that is highest at its peak. A peak within `reach` of a higher one belongs to the same object,
    and takes its class. So an object is found once, whatever reads the heatmaps.

    Parameters
    ----------
    logits : tensor of shape (C, H, W)
    reach : float
        Pixels of these heatmaps.

    Returns
    -------
    tensor of shape (C, H, W)
        That of any class where the class has the hill, else -6.
    """
    together = any_class(logits)
    heights = together.numpy()
    tops = summits(heights)
    peaks = np.unique(tops[heights > NOTHING])
    owner = np.full(heights.size, -1)
    owner[peaks] = logits.numpy().reshape(len(logits), -1)[:, peaks].argmax(axis=0)
    _follow_higher(owner, peaks, heights, reach)
    of_pixel = torch.from_numpy(owner[tops])
    classes = torch.arange(len(logits))[:, None, None]
    return torch.where(of_pixel == classes, together, torch.tensor(NOTHING))


def any_class(logits):
    """Return the logits (H, W) of an object of any class: 1 - (1 - p_1) (1 - p_2) ...

    Where classes look alike, each is unsure, but not whether there is an object.
    """
    none = functional.logsigmoid(-logits.double()).sum(dim=0)  # the logarithm of the product
    return (torch.log(-torch.expm1(none)) - none).float()


def summits(heights):
    """Return for each pixel (H, W) the flat index of the peak that the steepest way up leads to."""
    height, width = heights.shape
    padded = np.pad(heights, 1, constant_values=-np.inf)
    best, ups = heights.copy(), np.arange(height * width).reshape(height, width)
    own = ups.copy()
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            near = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
            higher = near > best
            best[higher] = near[higher]
            ups[higher] = own[higher] + dy * width + dx
    ups = ups.ravel()
    while not np.array_equal(further := ups[ups], ups):
        ups = further
    return ups.reshape(height, width)


def _follow_higher(owner, peaks, heights, reach):
    """Give each peak the owner of the nearest higher peak within reach, the highest peak first."""
    width, flat = heights.shape[1], heights.ravel()
    ranked = peaks[np.lexsort((peaks, -flat[peaks]))]
    places = np.column_stack(np.divmod(ranked, width)).astype(float)
    high, low = KDTree(places).query_pairs(reach, output_type="ndarray").T
    distances = np.hypot(*(places[low] - places[high]).T)
    order = np.lexsort((high, distances, low))
    lows, first = np.unique(low[order], return_index=True)
    for one, nearest in zip(lows, high[order][first], strict=True):
        owner[ranked[one]] = owner[ranked[nearest]]
