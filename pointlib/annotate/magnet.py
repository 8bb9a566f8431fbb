"""Whether the click magnet fits: what it would have done to points that people placed by hand.

About judging the magnet. Not about where it puts a click: suggest.py, blobs.py.

A click lies within a pixel or two of what was meant. So a move beyond half the radius of the ring,
and beyond 3 px, mostly ends on something else: a part of the object, or its neighbour. Measured on
the three example data sets, at seven sizes each, with clicks 1.9 px off on average: in 14 of the 21
cases more than a quarter of the clicks move that far, and in 13 of these 14 the points end up
farther from the centres than the clicks were, by up to 19 px. It is no guarantee: with rings of
28 px on the field a fifth moves that far, and points end up 5 px off.
"""

import contextlib
from itertools import islice
from typing import NamedTuple

import numpy as np

from pointlib.errors import InputError

FAR = 3.0  # px: a shorter move is what the magnet is for
SHARE = 0.25  # of the clicks: if more move far, it does harm
FEW, MOST = 10, 50  # clicks that tell something; clicks to look at
IMAGES = 3  # at most to look at: an image may take a second to read


class Verdict(NamedTuple):
    """How many of `n` clicks the magnet would have moved by more than `px` pixels."""

    n: int
    far: int
    px: float

    @property
    def harms(self):
        """Whether it fits something else than what was clicked."""
        return self.n >= FEW and self.far > SHARE * self.n


def judge_magnet(helper, ledger, name, *, sigma):
    """Return a Verdict on the magnet, from the clicks in an image and in those beside it.

    Parameters
    ----------
    helper : suggest.Helper
    ledger : Ledger
    name : str
        The image that is annotated; its clicks count first, the newest of them.
    sigma : float
        Size of the blobs, pixels.
    """
    reach = helper.reach(ledger.path(name), sigma=sigma)
    px = max(FAR, float(reach) / 2)
    moves = [
        _move(helper, path, point, sigma)
        for path, point in islice(_clicks(helper, ledger, name, sigma, reach), MOST)
    ]
    return Verdict(n=len(moves), far=sum(move > px for move in moves), px=px)


def _clicks(helper, ledger, name, sigma, reach):
    """Yield path and Point of each click: of this image, then of the nearest with some."""
    here = ledger.names.index(name)
    beside = sorted(range(len(ledger.names)), key=lambda index: abs(index - here))
    n_images = 0
    for other in (ledger.names[index] for index in beside):
        path = ledger.path(other)
        # where the model is known the magnet goes by it, elsewhere by blobs: not to be mixed
        if helper.reach(path, sigma=sigma) != reach:
            continue
        clicks = _by_hand(ledger, other)
        n_images += bool(clicks)
        yield from ((path, point) for point in clicks)
        if n_images == IMAGES:
            return


def _by_hand(ledger, name):
    """Return the points that were placed by hand in an image, the newest first."""
    if not any(ledger.counts(name).values()):
        return []
    with contextlib.suppress(InputError):  # an image that cannot be read tells nothing
        points = ledger.load(name).points.values()
        return [point for point in points if point.source == "hand"][::-1]
    return []


def _move(helper, path, point, sigma):
    """Return how far the magnet would move a click, pixels."""
    with contextlib.suppress(InputError):
        place = helper.magnet(path, (point.x, point.y), sigma=sigma, label=point.label)
        if place is not None:
            return float(np.hypot(place[0] - point.x, place[1] - point.y))
    return 0.0
