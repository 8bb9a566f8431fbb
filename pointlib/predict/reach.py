"""Reach: how far a network sees, so that it can be run on parts of a picture without a seam.

About one number, in pixels at the size at which the network sees images. Not about the parts
themselves: tiles.py.
"""

import math
import weakref

import torch

LONG = 2048  # px: of the strip that is tried; a network that sees half of it is taken as global
SHORT = 8  # periods of the network: its other side
SAME = 1e-4  # of the logits' spread: two answers that differ less are the same
_known = weakref.WeakKeyDictionary()  # model: its reach


def reach_of(model):
    """Return how far a pixel of the output sees in the input, pixels; None if it sees everything.

    Pixels of one period of the network are made NaN, not a number, in the middle of a long strip,
    along rows and along columns: whatever they influence is NaN too. A network that hides NaN
    would get too low a number, so a random strip is predicted whole and in part as well; where
    these differ, the network counts as one that sees everything. A network that takes the mean
    over the whole picture, as many with attention do, sees everything.

    Parameters
    ----------
    model : PointModel

    Returns
    -------
    int or None
        The same for every call; the first one takes as long as a prediction of an image of
        512 x 512 pixels.
    """
    if model not in _known:
        was_training = model.training
        model.eval()
        with torch.inference_mode():
            reaches = [_along(model, axis) for axis in (2, 3)]
            reach = None if None in reaches else max(reaches)
            if reach is not None and not _agrees(model, reach):
                reach = None
        model.train(was_training)
        _known[model] = reach
    return _known[model]


def halo_of(model):
    """Return the margin that a part needs around it: the reach, rounded up to whole periods.

    None if the network sees everything.
    """
    reach = reach_of(model)
    return None if reach is None else _whole_periods(model, reach)


def _whole_periods(model, reach):
    """Return a reach rounded up to whole periods of the network."""
    return model.divisor * math.ceil(reach / model.divisor)


def _strip(model, axis):
    """Return zeros (1, C, H, W), long along an axis."""
    shape = [1, model.info.n_channels, *[SHORT * model.divisor] * 2]
    shape[axis] = LONG
    return torch.zeros(shape, device=model.mean.device)


def _along(model, axis):
    """Return the reach along an axis; None if it goes to the strip's end."""
    strip, start = _strip(model, axis), LONG // 2
    strip.narrow(axis, start, model.divisor).fill_(math.nan)
    logits = model(strip)
    others = [k for k in range(4) if k != axis]
    touched = torch.isnan(logits).any(dim=others).nonzero().flatten()
    if not len(touched):
        return 0
    first, last = int(touched[0]), int(touched[-1])
    if first == 0 or last == LONG - 1:
        return None
    return max(start - first, last - (start + model.divisor - 1), 0)


def _agrees(model, reach):
    """Return whether a random strip has the same logits predicted whole and as a part."""
    halo = _whole_periods(model, reach)
    strip = _strip(model, 2)
    generator = torch.Generator().manual_seed(0)
    strip.copy_(torch.rand(strip.shape, generator=generator))
    start = model.divisor * (LONG // 2 // model.divisor)
    whole = model(strip)
    top = max(0, start - halo)
    part = model(strip[:, :, top : start + model.divisor + halo])
    core = slice(start - top, start - top + model.divisor)
    off = (whole[:, :, start : start + model.divisor] - part[:, :, core]).abs().max()
    return bool(off <= SAME * whole.std())
