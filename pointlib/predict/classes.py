"""Classes that exclude each other: one object has one class.

A network of such classes draws one more heatmap than there are classes, the last: an object of any
class. It says where objects are and how surely; the others only say of which class each one is.

About that choice, hill by hill. Not about finding peaks (thresholds.py), nor about when classes
exclude each other (train/prepare.py).
"""

import numpy as np
import torch
from scipy.spatial import KDTree

NOTHING = -6.0  # the logit where a class has no object: a height of 0.002


def share_out(logits, *, reach):
    """Turn logits of classes and of an object of any class into logits of classes alone.

    The heatmap of any class falls into hills: from each pixel the steepest way up leads to one peak
    (a watershed). Each hill goes to one class as a whole, the one that is highest at its peak. A
    peak within `reach` of a higher one belongs to the same object, and takes its class. So no
    object is found once per class, whatever reads the heatmaps.

    Parameters
    ----------
    logits : tensor of shape (C + 1, H, W)
    reach : float
        Pixels of these heatmaps.

    Returns
    -------
    tensor of shape (C, H, W)
        The last channel's values, where the class has the hill, else -6.
    """
    anything = logits[-1].numpy()
    tops = summits(anything)
    peaks = np.unique(tops[anything > NOTHING])
    height, width = anything.shape
    owner = np.full(height * width, -1)
    owner[peaks] = logits[:-1].numpy().reshape(len(logits) - 1, -1)[:, peaks].argmax(axis=0)
    _follow_higher(owner, peaks, anything, reach)
    of_pixel = torch.from_numpy(owner[tops])
    classes = torch.arange(len(logits) - 1)[:, None, None]
    return torch.where(of_pixel == classes, logits[-1], torch.tensor(NOTHING))


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
