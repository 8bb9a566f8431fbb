"""A blob detector for the accuracy table: scikit-image's Laplacian of Gaussian, tuned on val.

The candidates are those of `skimage.feature.blob_log` with log_scale=True and overlap=1: peaks of
the same scale space by the same `peak_local_max` (a test compares the two). What follows is kinder
to it than its own pruning, which goes by size: of two blobs too near, the stronger stays. Bright or
dark, the span of scales, the distance and the threshold are chosen on val for F1.

Not about pointlib's own blobs (pointlib/blobs.py); nothing of it is used here.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_laplace
from scipy.spatial import KDTree
from skimage.feature import peak_local_max
from skimage.transform import downscale_local_mean

from pointlib.images import to_channels
from pointlib.metrics import ImageResult, precision_recall_curve

SCALES = 2.0 ** np.arange(-2, 2, 0.5)  # sigma over the match radius
SPANS = (1, 3, len(SCALES))  # neighbouring scales searched together
DISTANCES = (0, 0.5, 0.75, 1, 1.5, 2, 3)  # between two points, over the match radius
FLOOR = 0.01  # of the image's range: nothing weaker is a candidate
MOST = 2_000  # candidates of an image, the strongest
SHRUNK_RADIUS = 8  # larger match radii: images are averaged down to about this one


class Choice(NamedTuple):
    """What was tuned on val."""

    option: object  # the key of the candidates chosen
    distance: float  # px
    threshold: float
    f1: float  # on val


def log_candidates(image, radius):
    """Return {(polarity, first scale, end scale): (points (N, 2), scores (N,))} of one image."""
    grey = to_channels(image, 1)[..., 0] if image.ndim == 3 else image
    low, high = np.percentile(grey, [1, 99.8])
    grey = ((grey - low) / max(high - low, 1e-9)).clip(0, 1)
    factor = max(1, int(radius / SHRUNK_RADIUS))
    shape = [side // factor * factor for side in grey.shape]  # the mean of cells cut off is biased
    grey = downscale_local_mean(grey[: shape[0], : shape[1]], factor)
    cube = scale_space(grey, SCALES * radius / factor)
    found = {}
    for span in SPANS:
        for first in range(len(SCALES) - span + 1):
            part = cube[..., first : first + span]
            for polarity, sign in (("bright", 1), ("dark", -1)):
                points, scores = peaks(sign * part)
                points = factor * points + (factor - 1) / 2
                found[polarity, first, first + span] = points, scores
    return found


def scale_space(image, sigmas):
    """Return (H, W, S): how much of a bright blob of each sigma every pixel is the middle of."""
    return np.stack([-gaussian_laplace(image, s) * s**2 for s in sigmas], axis=-1)


def peaks(cube):
    """Return points (N, 2) and heights (N,) of a scale space's maxima, the strongest first."""
    places = peak_local_max(
        cube, threshold_abs=FLOOR, footprint=np.ones((3, 3, 3)), exclude_border=False
    )[:MOST]
    return places[:, 1::-1].astype(float), cube[tuple(places.T)]


def thin(points, scores, distance):
    """Drop every point that has a stronger one within `distance`; returns points and scores."""
    order = np.argsort(-scores, kind="stable")
    points, scores = points[order], scores[order]
    if not len(points) or not distance:
        return points, scores
    kept = np.ones(len(points), bool)
    for i, near in enumerate(KDTree(points).query_ball_point(points, distance)):
        if kept[i]:
            kept[[j for j in near if j > i]] = False
    return points[kept], scores[kept]


def tune(candidates, results, *, radius):
    """Choose the option, the minimum distance and the threshold of the best F1.

    Parameters
    ----------
    candidates : list of dict
        {option: (points, scores)}, one an image.
    results : list of ImageResult
        What is true in these images.
    radius : float
        Match radius, pixels.

    Returns
    -------
    Choice
    """
    choices = []
    for option in candidates[0]:
        for distance in np.multiply(DISTANCES, radius).tolist():
            found = [thin(*of_image[option], distance) for of_image in candidates]
            filled = [fill(*pair) for pair in zip(results, found, strict=True)]
            choices.append(Choice(option, distance, *best_f1(filled, radius=radius)))
    return max(choices, key=lambda choice: choice.f1)


def best_f1(results, *, radius):
    """Return the threshold of the best F1 and that F1; (inf, 0) where nothing was found."""
    thresholds, precision, recall = precision_recall_curve(results, radius=radius)
    if not len(thresholds):
        return np.inf, 0.0
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    best = int(np.argmax(f1))
    return float(thresholds[best]), float(f1[best])


def apply_choice(choice, candidates, results):
    """Return the results filled with the points that a Choice keeps."""
    filled = []
    for of_image, result in zip(candidates, results, strict=True):
        points, scores = thin(*of_image[choice.option], choice.distance)
        kept = scores >= choice.threshold
        filled.append(fill(result, (points[kept], scores[kept])))
    return filled


def truth(dataset):
    """Return an ImageResult an image with its true points, class-blind, and nothing found."""
    nothing, results = (np.zeros((0, 2)), np.zeros(0)), []
    for i, name in enumerate(dataset.names):
        image, points, _ = dataset[i]
        labels = np.full(len(points), "point")
        empty = ImageResult(name, image.shape[:2], points, labels, None, None, None)
        results.append(fill(empty, nothing))
    return results


def fill(result, found):
    """Return an ImageResult with found points, all of the class "point"."""
    points, scores = found
    labels = np.full(len(points), "point")
    return result._replace(found=points, found_labels=labels, scores=scores)
