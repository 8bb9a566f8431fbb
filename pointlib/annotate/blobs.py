"""Blobs: round spots brighter or darker than their surroundings, found without training.

About the Laplacian of a Gaussian (LoG): a weighted centre minus a ring around it. Its response to a
Gaussian spot of contrast A and of its own width sigma is A / 2, in any image. It knows only size
and contrast, not what deserves a point: people and models decide that.

In a colour image it uses the channel in which blobs stand out most, not the luma: red spots on a
green background of the same brightness are blobs too. Alpha is ignored.
"""

import numpy as np
from scipy import ndimage

from pointlib.errors import InputError
from pointlib.points import check_points
from pointlib.thresholds import find_candidates

REACH = 2.0  # sigmas from the click to the farthest blob considered
FAINT = 2.0  # times the noise: the weakest blob
HALF = 5.0  # times the noise: gets the score 0.5
_SPAN = 4.0  # sigmas: radius of the filter


def snap(image, point, *, sigma, dark=None):
    """Find the sub-pixel centre of the blob under a click.

    Only a window around the click is processed, so the size of the image does not matter.

    Parameters
    ----------
    image : ndarray of shape (H, W) or (H, W, C)
        Any bit depth; NaN counts as unknown.
    point : (x, y), pixels
    sigma : float
        Size of the blobs, pixels: the standard deviation of a Gaussian spot, about 0.7 times
        the radius of a disc.
    dark : bool, optional
        True: darker than the surroundings; False: brighter; None: whichever stands out more.

    Returns
    -------
    ndarray of shape (2,), float64, or None
        None if nothing within 2 sigma of the click stands out from the window's noise.
    """
    sigma, image = check_sigma(sigma), np.asarray(image)
    point = check_points([point], shape=image.shape[:2])[0]
    size = int(np.ceil((2 * REACH + _SPAN) * sigma)) + 1
    left, top = np.maximum(np.rint(point).astype(int) - size, 0)
    right, bottom = np.rint(point).astype(int) + size + 1
    best, nearest = 0.0, None
    for answer in _answers(image[top:bottom, left:right], sigma, dark):
        peaks = find_candidates(answer, floor=FAINT)
        points = peaks.points + np.array([left, top])
        distance = np.hypot(*(points - point).T) / sigma
        # The blob near the click wins, unless one farther away stands out much more.
        weight = peaks.scores * np.exp(-(distance**2) / 4) * (distance <= REACH)
        if weight.max(initial=0) > best:
            best, nearest = weight.max(), points[weight.argmax()]
    return nearest


def find_blobs(image, *, sigma, dark=None, n_most=10_000):
    """Find the blobs of one size in the whole image.

    Parameters
    ----------
    image, sigma, dark
        As for `snap`; one channel, and bright or dark, is used for the whole image.
    n_most : int
        Return at most this many, the best ones.

    Returns
    -------
    points : ndarray of shape (N, 2), float64
        x, y in pixels, best first, more than sqrt(2) sigma apart.
    scores : ndarray of shape (N,), float64
        z / (z + 5), where z >= 2 is the LoG's response in units of its noise: 1.4826 times the
        median of its absolute value. So 0.5 is five times the noise, whatever the contrast.
    """
    answers = _answers(np.asarray(image), check_sigma(sigma), dark)
    answer = max(answers, key=lambda a: np.percentile(a, 99))
    peaks = find_candidates(answer, floor=FAINT)
    points, z = peaks.select(threshold=FAINT, min_distance=np.sqrt(2) * sigma)
    return points[:n_most], (z / (z + HALF))[:n_most]


def _answers(image, sigma, dark):
    """Return the LoG's response over its noise, (H, W), for each channel and sign."""
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise InputError(f"image has shape {image.shape}; expected (H, W) or (H, W, C).")
    planes = np.atleast_3d(image)
    n_planes = planes.shape[2] - (planes.shape[2] in (2, 4))
    signs = {None: (1, -1), False: (1,), True: (-1,)}[dark]
    answers = (_answer(planes[:, :, i], sigma) for i in range(n_planes))
    return [sign * answer for answer in answers for sign in signs]


def _answer(plane, sigma):
    """Return the LoG of one channel in units of its noise; bright is positive, unknown is 0."""
    known = np.isfinite(plane)
    values = plane[known].astype(np.float32)
    if not values.size or values.min() == values.max():
        return np.zeros(plane.shape, np.float32)
    plane = np.where(known, plane - np.median(values), 0).astype(np.float32)
    if not known.all():  # fill the gaps from their surroundings
        weight = ndimage.gaussian_filter(known.astype(np.float32), sigma)
        around = ndimage.gaussian_filter(plane, sigma) / np.maximum(weight, 1e-6)
        plane = np.where(known, plane, around)
    answer = -(sigma**2) * ndimage.gaussian_laplace(plane, sigma, mode="nearest", truncate=_SPAN)
    noise = 1.4826 * np.median(np.abs(answer))
    floor = 1e-3 * np.ptp(values)  # a synthetic image has no noise of its own
    return np.where(known, answer / max(noise, floor), 0)


def check_sigma(sigma):
    """Return `sigma` as a float, or raise InputError if it is not a valid blob size."""
    if not 0.5 <= sigma <= 100:
        raise InputError(f"sigma is {sigma}; expected 0.5 to 100 pixels.")
    return float(sigma)
