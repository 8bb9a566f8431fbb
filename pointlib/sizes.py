"""Sizes: how large the objects are, from clicks and images alone.

About the scale at which clicked objects stand out most from their image. Not about where objects
are without clicks (annotate/blobs.py), nor about how wide their Gaussians should be (heatmaps.py).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from pointlib.errors import InputError
from pointlib.heatmaps import auto_sigma
from pointlib.matching import describe_radius, radii_of
from pointlib.points import nearest_distances

PER_SIGMA = 2 * np.sqrt(2)  # a disc of this diameter answers most to a Laplacian of sigma 1
SCALES = 2.0 ** np.arange(0, 7.01, 0.5)  # px, sigma of the Laplacian: diameters of 3 to 360 px
FINEST = 6.0  # px: from this sigma on an image of half the size tells as much
SIDE = 1024  # px: larger images are cut to this around the middle of their clicks
CLEAR, SURE = 0.3, 3.0  # a peak's least height in standard deviations, and in standard errors
CALM = 0.35  # of the largest standard deviation of all scales, added to that of each
ROUNDING = 1e-4  # of the brightest pixel
ALIKE = 1.5  # times: classes whose sizes differ less share a match radius
LOOKED_AT = 10  # images, for the size of objects
SPACING = 0.8  # of the distance to the nearest neighbour: a diameter where no scale stands out


class SizeEstimate(NamedTuple):
    """How large the objects of each class look, and how that was found."""

    diameter: dict  # {class: px}; NaN if neither the images nor the distances tell
    spread: dict  # {class: (low, high)}: px, quartiles of single images
    clear: dict  # {class: whether one size stands out}; else it comes from the neighbours
    diameters: np.ndarray  # (S,) px, that the curves are given for
    curves: dict  # {class: (S,)}: mean response at the clicks, in standard deviations


def object_size(
    images: Sequence[ArrayLike],
    points: Sequence[ArrayLike],
    *,
    labels: Sequence[ArrayLike] | None = None,
) -> SizeEstimate:
    """Estimate the diameter of the objects of each class from images and clicks.

    For each scale the Laplacian of Gaussian, normalised by the scale (Lindeberg 1998), of a whole
    image is compared with its values at the clicks: how many standard deviations they lie from
    its mean. A share of the largest standard deviation of all scales is added to each, for images
    without noise. The scale s with the largest mean deviation, refined by a parabola, gives the
    diameter of the disc that answers most to it, 2 sqrt(2) s. It is looked for in the mean of all
    channels and in each channel, since some objects differ from their ground in colour only.

    Parameters
    ----------
    images : sequence of arrays of shape (H, W) or (H, W, C)
        A few are enough; large ones are cut.
    points : sequence of arrays of shape (N, 2)
        x, y in pixels, one array an image.
    labels : sequence of arrays of shape (N,), optional
        Classes; without them all points are of class ``point``.

    Returns
    -------
    SizeEstimate
        A size that is not clear, because the peak lies at the end of the range or is low, is
        four fifths of the median distance to the nearest neighbour.

    Raises
    ------
    InputError
        If the numbers of images, points and labels differ, or no image has a point.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import object_size
    >>> y, x = np.mgrid[:90, :120]
    >>> centres = [[25, 30], [60, 60], [95, 25]]
    >>> image = sum((np.hypot(x - a, y - b) < 8) * 200 for a, b in centres)
    >>> size = object_size([image], [centres])
    >>> round(size.diameter["point"]), size.clear["point"]
    (15, True)
    """
    labels = [np.full(len(p), "point") for p in points] if labels is None else labels
    if not len(images) == len(points) == len(labels):
        raise InputError(
            f"{len(images)} images, {len(points)} arrays of points and {len(labels)} of labels; "
            "expected as many of each."
        )
    answers, near = {}, {}
    tables = [np.reshape(np.asarray(table, float), (-1, 2)) for table in points]
    for image, of_image, names in zip(images, tables, map(np.asarray, labels), strict=True):
        response = _responses(np.atleast_3d(image), of_image) if len(of_image) else None
        for name in np.unique(names).tolist():
            answers.setdefault(name, []).append(response[..., names == name])
            near.setdefault(name, []).append(nearest_distances(of_image[names == name]))
    if not answers:
        raise InputError("no image has a point, so no size can be seen. Click a few objects first.")
    found = {name: _estimate(answers[name], near[name]) for name in sorted(answers)}
    diameter, spread, clear, curves = ({n: f[k] for n, f in found.items()} for k in range(4))
    return SizeEstimate(diameter, spread, clear, PER_SIGMA * SCALES, curves)


def match_radius(size, points, labels, *, classes=()):
    """Return the match radius that suits these objects: half their size, rounded to 0.1 px.

    It is at most the median distance to the nearest neighbour. Where no size stands out it is 0.6
    of that distance and at most 12 px, as `heatmaps.auto_sigma` takes it.

    Parameters
    ----------
    size : SizeEstimate
    points, labels : sequence of arrays of shape (N, 2) and (N,)
        Of the same images, or of more.
    classes : sequence of str
        All classes: one without a point here gets the median radius of the others.

    Returns
    -------
    float or dict
        One for all classes; {class: pixels} if one is more than 1.5 times another.
    """
    radii, n_points = {}, {}
    for name, diameter in size.diameter.items():
        own = [np.asarray(p)[np.asarray(of) == name] for p, of in zip(points, labels, strict=True)]
        near = np.concatenate([nearest_distances(some) for some in own])
        spacing = np.median(near[np.isfinite(near)]) if np.isfinite(near).any() else np.inf
        radius = min(diameter / 2, spacing) if size.clear[name] else 2 * auto_sigma(own)
        radii[name] = round(max(float(radius), 1.0), 1)
        n_points[name] = len(near)
    if max(radii.values()) > ALIKE * min(radii.values()):
        usual = round(float(np.median(list(radii.values()))), 1)
        return {name: radii.get(name, usual) for name in classes or radii}
    return float(np.median(np.repeat(list(radii.values()), list(n_points.values()))))


def looked_at(items):
    """Return images, points and labels of some items that have points, spread evenly.

    `items` are (image, points, labels); an image may be anything that stands for one.
    """
    some = [item for item in items if len(item[1])]
    some = some[:: -(-len(some) // LOOKED_AT) or 1]
    return tuple(zip(*some, strict=True)) or ((), (), ())


def usual_radius(radius, labels):
    """Return the match radius of most of the points of these classes, a float; None of none."""
    return float(np.median(radii_of(radius, labels))) if len(labels) else None


def describe_size(size, radius):
    """Return in words how wide the objects look, and the match radius that follows."""
    seen = {name: d for name, d in size.diameter.items() if size.clear[name]}
    ending = f"match radius {describe_radius(radius)}; set train.radius to change it"
    if not seen:
        return f"no size of objects stands out: {ending}, now from the distances between points"
    if len(size.diameter) == 1:
        return f"objects look about {next(iter(seen.values())):.0f} px wide: {ending}"
    each = ", ".join(f"{name} {d:.0f}" for name, d in seen.items())
    unclear = [name for name in size.diameter if name not in seen]
    besides = f", {', '.join(unclear)} unclear" if unclear else ""
    return f"objects look about this wide: {each} px{besides}: {ending}"


def _responses(image, points):
    """Return the deviation at each point, (channels, S, N), in standard deviations of the image."""
    image, points = _cut(image.astype(np.float32), points)
    channels = np.moveaxis(image, 2, 0)
    if len(channels) > 1:
        channels = np.concatenate([channels.mean(axis=0, keepdims=True), channels])
    return np.array([_through_scales(np.nan_to_num(channel), points) for channel in channels])


def _cut(image, points):
    """Return the part of a large image around its clicks, and the points in it."""
    size = np.array(image.shape[1::-1])
    start = np.clip(np.median(points, axis=0) - SIDE / 2, 0, np.maximum(size - SIDE, 0)).astype(int)
    part = image[start[1] : start[1] + SIDE, start[0] : start[0] + SIDE]
    return part, points - start


def _through_scales(channel, points):
    """Return the deviation at each point and scale, (S, N); NaN outside, or where nothing fits."""
    rows, shrunk = np.full((len(SCALES), len(points)), np.nan), 1
    spread, brightest = np.full(len(SCALES), np.nan), float(np.abs(channel).max()) or 1.0
    inside = ((points > -1) & (points < np.array(channel.shape[::-1]))).all(axis=1)
    for k, scale in enumerate(SCALES):
        while scale / shrunk >= FINEST:
            channel, shrunk = _halve(channel), 2 * shrunk
        if min(channel.shape) * shrunk < PER_SIGMA * scale:
            break  # an object as large as the image
        sigma = scale / shrunk
        plane = sigma**2 * ndimage.gaussian_laplace(channel, sigma, mode="reflect")
        places = (points[inside] + 0.5) / shrunk - 0.5
        here = ndimage.map_coordinates(plane, places[:, ::-1].T, order=1, mode="nearest")
        rows[k, inside] = here - plane.mean()
        spread[k] = plane.std()
    # in a quiet image fine scales have so little spread that any object stands out most there
    spread = np.hypot(spread, CALM * np.nanmax(spread, initial=0.0))
    spread = np.maximum(spread, ROUNDING * brightest)  # and a flat one has only rounding errors
    return rows / spread[:, None]


def _halve(channel):
    """Return an image of half the size, each pixel the mean of four."""
    height, width = channel.shape
    even = np.pad(channel, ((0, height % 2), (0, width % 2)), mode="edge")
    return even.reshape(len(even) // 2, 2, -1, 2).mean(axis=(1, 3))


def _estimate(answers, near):
    """Return diameter, spread, whether it is clear and the curve of one class, (S,)."""
    # images may have different numbers of channels: the mean, the first, is in all
    n_channels = min(len(answer) for answer in answers)
    of_channel = np.concatenate([answer[:n_channels] for answer in answers], axis=2)
    curves = _mean(of_channel)
    channel = int(np.abs(curves).max(axis=1).argmax())
    curve = curves[channel] * np.sign(curves[channel][np.abs(curves[channel]).argmax()])
    place = int(curve.argmax())
    deviations = of_channel[channel, place]
    n = np.isfinite(deviations).sum()
    error = np.nanstd(deviations) / np.sqrt(n) if n > 1 else np.inf
    is_clear = 0 < place < len(SCALES) - 1 and curve[place] > max(CLEAR, SURE * error)
    each = [_peak(np.abs(_mean(answer[channel : channel + 1])[0])) for answer in answers]
    spread = tuple(np.percentile(each, [25, 75]).tolist())
    if is_clear:
        return _peak(curve), spread, True, curve
    distances = np.concatenate(near)
    distances = distances[np.isfinite(distances)]
    diameter = SPACING * float(np.median(distances)) if len(distances) else float("nan")
    return diameter, spread, False, curve


def _mean(answers):
    """Return the mean over points, 0 where there is none, (channels, S)."""
    known = np.isfinite(answers)
    return np.where(known, answers, 0).sum(axis=2) / np.maximum(known.sum(axis=2), 1)


def _peak(curve):
    """Return the diameter at the highest value of a curve, between scales by a parabola."""
    place = int(curve.argmax())
    offset = 0.0
    if 0 < place < len(curve) - 1:
        before, top, after = curve[place - 1 : place + 2]
        bend = before - 2 * top + after
        offset = 0.5 * (before - after) / bend if bend else 0.0
    return float(PER_SIGMA * SCALES[0] * (SCALES[1] / SCALES[0]) ** (place + offset))
