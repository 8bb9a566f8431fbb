"""A snapshot of a trial's image with its hits and errors, for viewers without widgets.

About one small PNG. Not about how points are drawn (plots.py).
"""

import numpy as np
from PIL import Image

from pointlib.images import encode_image, open_picture
from pointlib.matching import match_classes

SIDES = (400, 280, 180)  # px: the longer side, the largest that fits
MARKS = 5_000  # more cannot be told apart in a small image, and take seconds to draw
MOST = 90_000  # bytes: the notebook stores it as base64, a third longer


def snapshot(trial):
    """Return a PNG, bytes, of a trial's current image."""
    drawn = Image.fromarray(_drawn(trial))
    for side in SIDES:
        small = drawn.copy()
        small.thumbnail((side, side))
        data = encode_image(small.quantize(64), compression=9, dpi=72)
        if len(data) <= MOST:
            break
    return data


def _drawn(trial):
    """Return the image, (h, w, 3) uint8, with all marks."""
    from pointlib.plots import picture_axes, show_errors, show_image, show_points  # takes a second

    tuning_set, i = trial.tuning_set, trial.index
    if tuning_set.has_images:
        picture = tuning_set.image(i)
    else:
        picture = np.asarray(open_picture(tuning_set.heat_png(i, 0)))
    step = max(1, max(picture.shape[:2]) // (2 * SIDES[0]))
    picture = picture[::step, ::step]
    ax = picture_axes(picture.shape, 2 * SIDES[0])
    if tuning_set.candidates[i] is None or _n_marks(trial, i) > MARKS:
        show_image(picture, ax)
    elif tuning_set.truth[i] is None:
        show_points(
            tuning_set.candidates_kept(i, trial.settings)[0] / step, ax=show_image(picture, ax)
        )
    else:
        r = trial.result(i)
        sides = r.true, r.true_labels, r.found, r.found_labels
        match = match_classes(*sides, radius=trial.radius)
        show_errors(picture, r.true / step, r.found / step, match, ax).get_legend().remove()
    ax.figure.canvas.draw()
    return np.array(ax.figure.canvas.buffer_rgba())[:, :, :3]


def _n_marks(trial, i):
    """Return how many points there are to draw."""
    truth = trial.tuning_set.truth[i] or {}
    return trial.n_found(i) + sum(len(points) for points in truth.values())
