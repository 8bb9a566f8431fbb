"""Plots for lessons and reports: an image, its points, its heatmap, its errors, and curves.

About drawing results; not about computing them (metrics.py, study). Each function draws on the
`ax` it is given and returns it. Without one it opens a figure by pyplot, so that a notebook shows
it; with one it never touches pyplot, so a report may draw in any thread.
Points need no shift: `imshow` puts the centre of the top-left pixel at (0, 0), as points.py does.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import ScalarFormatter
from numpy.typing import ArrayLike

from pointlib.errors import InputError
from pointlib.images import to_display
from pointlib.matching import Match, check_labels
from pointlib.points import check_points, nearest_distances

# After Okabe and Ito (jfly.uni-koeln.de/color): colour-blind readers can distinguish them.
BLUE, YELLOW, RED, GREEN, PINK = "#56b4e9", "#f0e442", "#ff5a1f", "#2fc79a", "#f28cc8"
INK, GREY = "#0072b2", "#8a8a8a"  # for curves on white
ERROR_MARKS = {"hits": ("o", BLUE), "missed": ("s", YELLOW), "false positives": ("x", RED)}
CLASS_SHAPES, CLASS_COLORS = "os^Dv*", (BLUE, YELLOW, PINK, GREEN, RED)  # 30 pairs
Ax = Axes | None  # to draw on; None is a new one
HALO = [withStroke(linewidth=2.9, foreground="black")]  # keeps marks visible on bright images


def show_image(image: np.ndarray, ax: Ax = None) -> Axes:
    """Show an image (H, W) or (H, W, C) of any depth, without axes.

    Examples
    --------
    >>> from pointlib import draw_cells, plots
    >>> plots.show_image(draw_cells((40, 60), n=5).image).images[0].get_size()
    (40, 60)
    """
    return _show(ax, to_display(image))


def show_points(
    points: ArrayLike,
    labels: ArrayLike | None = None,
    ax: Ax = None,
    *,
    marker: str = "o",
    color: str = YELLOW,
) -> Axes:
    """Mark points, sized by the gaps between them; a new `ax` has y downwards, as for images.

    Parameters
    ----------
    points : array of shape (N, 2), x, y in pixels
    labels : array of shape (N,), optional
        Gives each class its own shape and colour, by sorted name; see `show_classes`.
    ax : Axes, optional, such as `show_image` returns
    marker, color : str
        For points without labels.

    Examples
    --------
    >>> from pointlib import draw_cells, plots
    >>> scene = draw_cells((40, 60), n=5)
    >>> ax = plots.show_points(scene.points, ax=plots.show_image(scene.image))
    >>> len(ax.collections[0].get_offsets())
    5
    """
    if labels is not None:
        return show_classes(points, labels, ax)
    points = check_points(points)
    ax = _point_axes(points) if ax is None else ax
    _mark(ax, points, (marker, color), _mark_size(points, ax))
    return ax


def show_classes(
    points: ArrayLike, labels: ArrayLike, ax: Ax = None, *, classes: Sequence[str] = ()
) -> Axes:
    """Mark points, each class by a shape and a colour, with a legend that counts them.

    Parameters
    ----------
    points : array of shape (N, 2), x, y in pixels
    labels : array of shape (N,)
    ax : Axes, optional, such as `show_image` returns
    classes : sequence of str
        All classes, such as `model.info.classes`, so that each looks the same in every picture,
        whichever others are in it.

    Examples
    --------
    >>> from pointlib import plots
    >>> ax = plots.show_classes([[3, 4], [9, 8], [20, 5]], ["cell", "cell", "dirt"])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['cell (2)', 'dirt (1)']
    """
    ax = _mark_classes(points, labels, ax, classes)
    return _legend_below(ax) if len(points) else ax


def show_heatmap(
    heatmap: ArrayLike, ax: Ax = None, *, image: ArrayLike | None = None, limits: ArrayLike = (0, 1)
) -> Axes:
    """Show a heatmap (H, W), alone or over its `image` in grey.

    `limits`, the values of the darkest and brightest colour, are fixed, so that a colour means
    the same in each picture; only a density needs its own.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import plots
    >>> plots.show_heatmap(np.eye(20)).images[0].get_clim()
    (0.0, 1.0)
    """
    heatmap = _check_heatmap(heatmap)
    look = {"cmap": "magma", "vmin": limits[0], "vmax": limits[1]}
    if image is not None:
        ax = _show(ax, 0.6 * to_display(image).mean(axis=2), cmap="gray", vmin=0, vmax=255)
        share = (np.nan_to_num(heatmap) - limits[0]) / (limits[1] - limits[0])
        look["alpha"] = np.sqrt(np.clip(share, 0, 1))
    return _show(ax, heatmap, **look)


def show_values(heatmap: ArrayLike, ax: Ax = None) -> Axes:
    """Show a small heatmap (H, W) with each value written in its pixel, and x and y axes.

    Examples
    --------
    >>> from pointlib import plots
    >>> [text.get_text() for text in plots.show_values([[0.37, 0.61], [0.61, 1]]).texts]
    ['0.37', '0.61', '0.61', '1.00']
    """
    ax = show_heatmap(heatmap, ax)
    height, width = np.shape(heatmap)
    ax.set_axis_on()
    ax.set(xlabel="x", ylabel="y", xticks=range(width), yticks=range(height))
    for (y, x), value in np.ndenumerate(heatmap):
        ink = "black" if value > 0.6 else "white"
        ax.text(x, y, f"{value:.2f}", color=ink, ha="center", va="center", fontsize=8)
    return ax


def show_profile(heatmap: ArrayLike, row: int, ax: Ax = None, *, points: ArrayLike = ()) -> Axes:
    """Plot one row (its integer y) of a heatmap (H, W) as a curve.

    True centres `points` (N, 2) within one pixel of the row become dotted lines.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import plots
    >>> ax = plots.show_profile(np.eye(20), 9, points=[[9, 9]])
    >>> len(ax.lines[0].get_xdata()), len(ax.lines)
    (20, 2)
    """
    ax = _tidy(_axes(ax, (6, 2.6)))
    ax.plot(_check_heatmap(heatmap)[row], color=INK, marker=".")
    for x, y in check_points(points):
        if abs(y - row) <= 1:
            ax.axvline(x, color=RED, linestyle=":")
    ax.set(xlabel=f"x (row y = {row})", ylabel="heatmap")
    return ax


def show_errors(
    image: np.ndarray, true: ArrayLike, found: ArrayLike, match: Match, ax: Ax = None
) -> Axes:
    """Show an image with its hits (ring), misses (square), false positives (cross) and a legend.

    Parameters
    ----------
    image : ndarray of shape (H, W) or (H, W, C)
    true, found : array of shape (N, 2) and (M, 2), x, y in pixels
    match : matching.Match
        A hit's ring is at the found point; a thin line joins it to its true point.

    Examples
    --------
    >>> from pointlib import draw_cells, match_points, plots
    >>> scene = draw_cells((40, 60), n=5)
    >>> found = scene.points[:4] + 0.5
    >>> match = match_points(scene.points, found, radius=2)
    >>> ax = plots.show_errors(scene.image, scene.points, found, match)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['hits (4)', 'missed (1)', 'false positives (0)']
    """
    true, found = check_points(true, name="true"), check_points(found, name="found")
    pairs, missed, false_positives = (np.asarray(part, int) for part in (match[0], *match[2:]))
    start, end = true[pairs.reshape(-1, 2)[:, 0]], found[pairs.reshape(-1, 2)[:, 1]]
    ax = show_image(image, ax)
    lines = LineCollection(np.stack([start, end], axis=1), colors=BLUE, linewidths=1, gid="pairs")
    ax.add_collection(lines).set_path_effects(HALO)
    size = _mark_size(np.concatenate([true, found[false_positives]]), ax)
    for kind, points in zip(ERROR_MARKS, (end, true[missed], found[false_positives]), strict=True):
        marks = _mark(ax, points, ERROR_MARKS[kind], size)
        marks.set(gid=kind, label=f"{kind} ({len(points)})")
    return _legend_below(ax)


def show_suspect(
    image: np.ndarray, points: ArrayLike, suspect: Any, ax: Ax = None, *, reach: float = 20
) -> Axes:
    """Show the surroundings of a suspected label error, `reach` pixels each way.

    The given `points` (N, 2) are rings; the suspect, from `label_errors`, is a red square.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from pointlib import draw_cells, plots
    >>> scene = draw_cells((40, 60), n=5)
    >>> suspect = SimpleNamespace(x=30, y=20, kind="missing", confidence=0.9)
    >>> plots.show_suspect(scene.image, scene.points, suspect).get_title()
    'missing 0.90'
    """
    ax = show_points(points, ax=show_image(image, ax))
    marks = _mark(ax, np.array([[suspect.x, suspect.y]]), ("s", RED), 14)
    marks.set(gid="suspect")
    ax.set(xlim=(suspect.x - reach, suspect.x + reach), ylim=(suspect.y + reach, suspect.y - reach))
    ax.set_title(f"{suspect.kind} {suspect.confidence:.2f}")
    return ax


def show_sizes(
    points: ArrayLike,
    size: Any,
    ax: Ax = None,
    *,
    labels: ArrayLike | None = None,
    classes: Sequence[str] = (),
) -> Axes:
    """Draw a circle around each point, as wide as objects of its class look.

    Parameters
    ----------
    points : array of shape (N, 2), x, y in pixels
    size : SizeEstimate
        From `object_size`.
    ax : Axes, optional, such as `show_image` returns
    labels : array of shape (N,), optional
        Classes; without them all points are of class ``point``.
    classes : sequence of str
        All classes, so that each has the same colour in every picture.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import object_size, plots
    >>> y, x = np.mgrid[:90, :120]
    >>> image, centre = (np.hypot(x - 60, y - 45) < 8) * 200, [[60, 45]]
    >>> ax = plots.show_sizes(centre, object_size([image], [centre]), plots.show_image(image))
    >>> round(2 * ax.patches[0].radius)
    15
    """
    points = check_points(points)
    labels = np.full(len(points), "point") if labels is None else np.asarray(labels, str)
    ax = _point_axes(points) if ax is None else ax
    for k, name in enumerate(classes or sorted(set(labels.tolist()))):
        if name not in size.diameter:  # none of the images looked at has a point of it
            continue
        for point in points[labels == name]:
            look = {"color": class_look(k)[1], "fill": False, "linewidth": 1.4}
            ring = Circle(point, size.diameter[name] / 2, path_effects=HALO, **look)
            ax.add_patch(ring)
    return ax


def draw_overlay(
    image: np.ndarray, points: ArrayLike, labels: ArrayLike, *, classes: Sequence[str] = ()
) -> np.ndarray:
    """Return a picture, (h, w, 3) uint8, of an image with its points, to be saved.

    Its longer side is the image's, but 800 to 2,400 pixels. With several `classes`, as for
    `show_classes`, or several labels in the image, a legend names those in the image.

    Examples
    --------
    >>> from pointlib import draw_cells, plots
    >>> scene = draw_cells((40, 60), n=5)
    >>> plots.draw_overlay(scene.image, scene.points, scene.labels).shape
    (533, 800, 3)
    """
    side = float(np.clip(max(image.shape[:2]), 800, 2400))
    ax = show_image(image, picture_axes(image.shape, side))
    _mark_classes(points, labels, ax, classes)
    if len(points) and len({*classes, *labels}) > 1:
        ax.legend(loc="upper left", framealpha=0.7)
    ax.figure.canvas.draw()
    return np.array(ax.figure.canvas.buffer_rgba())[:, :, :3]


def picture_axes(shape: tuple[int, ...], side: float) -> Axes:
    """Return an ax that fills a new figure, `side` pixels on its longer side, without pyplot.

    Examples
    --------
    >>> from pointlib import plots
    >>> plots.picture_axes((40, 60), 300).get_window_extent().size.tolist()
    [300.0, 200.0]
    """
    size = [max(5 * length / max(shape[:2]), 0.2) for length in shape[1::-1]]
    figure = Figure(figsize=size, dpi=side / 5, facecolor="black", layout="none")
    FigureCanvasAgg(figure)
    return figure.add_axes((0, 0, 1, 1))


def class_look(k: int) -> tuple[str, str]:
    """Return the shape and the colour of class number `k`, from 0; the first 30 differ.

    Examples
    --------
    >>> from pointlib import plots
    >>> plots.class_look(0), plots.class_look(1)
    (('o', '#56b4e9'), ('s', '#f0e442'))
    """
    return CLASS_SHAPES[k % 6], CLASS_COLORS[k % 5]


def legend_text(name: str) -> str:
    r"""Return a name escaped for a legend, where `$` begins a formula and a leading `_` hides it.

    Examples
    --------
    >>> from pointlib import plots
    >>> plots.legend_text("_cell"), plots.legend_text("cell")
    (' _cell', 'cell')
    """
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def to_png(ax: Axes) -> bytes:
    """Return the figure of `ax` as the bytes of a PNG, as image widgets take it.

    Closes the figure, so that a notebook does not show it a second time.

    Examples
    --------
    >>> from pointlib import draw_cells, plots
    >>> plots.to_png(plots.show_image(draw_cells((40, 60), n=5).image))[1:4]
    b'PNG'
    """
    from matplotlib import pyplot as plt  # only here, as in _axes

    data = encode_figure(ax.figure)
    plt.close(ax.figure)
    return data


def encode_figure(figure: Figure, kind: str = "png", **options: Any) -> bytes:
    """Return a figure as the bytes of a file; `options` as for matplotlib's `savefig`.

    Examples
    --------
    >>> from pointlib import plots
    >>> plots.encode_figure(plots.picture_axes((40, 60), 300).figure)[1:4]
    b'PNG'
    """
    file = io.BytesIO()
    figure.savefig(file, format=kind, **options)
    return file.getvalue()


def plot_pr_curve(
    precision: ArrayLike, recall: ArrayLike, ax: Ax = None, *, at: Sequence[float] | None = None
) -> Axes:
    """Plot precision (M,) against recall (M,) over lines of equal F1.

    `at` is the precision and recall at the threshold in use, to be marked.

    Examples
    --------
    >>> from pointlib import plots
    >>> ax = plots.plot_pr_curve([1.0, 0.8, 0.6], [0.3, 0.6, 0.8], at=(0.8, 0.6))
    >>> ax.texts[-1].get_text()
    'P 0.80, R 0.60'
    """
    ax = _tidy(_axes(ax, (4.2, 4)))
    for f1 in (0.2, 0.4, 0.6, 0.8):  # F1 = 2 P R / (P + R), solved for P
        r = np.linspace(f1 / (2 - f1), 1, 100)
        ax.plot(r, f1 * r / (2 * r - f1), color="#d5d5d5", linewidth=0.8, gid="iso-F1")
        ax.text(1.01, f1 / (2 - f1), f"F1 {f1}", color=GREY, fontsize=7, va="center")
    ax.plot(recall, precision, color=INK, gid="curve")
    if at is not None and np.all(np.isfinite(at)):
        ax.plot(at[1], at[0], "o", color=RED, markeredgecolor="black", gid="working point")
        note = f"P {at[0]:.2f}, R {at[1]:.2f}"
        ax.text(at[1] - 0.02, at[0] - 0.03, note, ha="right", va="top", fontsize=8)
    ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1.005), ylim=(0, 1.02), aspect="equal")
    return ax


def plot_f1_curve(
    thresholds: ArrayLike,
    precision: ArrayLike,
    recall: ArrayLike,
    ax: Ax = None,
    *,
    at: float | None = None,
) -> Axes:
    """Plot F1, precision and recall (M,) against the threshold (M,); mark the one in use, `at`.

    Takes the result of `metrics.precision_recall_curve`, for points of score >= threshold.

    Examples
    --------
    >>> from pointlib import plots
    >>> ax = plots.plot_f1_curve([0.9, 0.5, 0.2], [1.0, 0.8, 0.6], [0.3, 0.6, 0.8], at=0.5)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['F1', 'precision', 'recall', 'in use: 0.50']
    """
    order = np.argsort(thresholds)
    t, p, r = (np.asarray(values, float)[order] for values in (thresholds, precision, recall))
    ax = _tidy(_axes(ax, (4.6, 4)))
    # between two scores the higher one decides what is accepted: hence "steps-pre"
    f1 = 2 * p * r / np.where(p + r > 0, p + r, 1)
    ax.plot(t, f1, color=INK, label="F1", drawstyle="steps-pre", linewidth=2)
    ax.plot(t, p, color=GREY, label="precision", drawstyle="steps-pre", linestyle="--")
    ax.plot(t, r, color=GREY, label="recall", drawstyle="steps-pre", linestyle=":")
    if at is not None:
        ax.axvline(at, color=RED, linewidth=1, label=f"in use: {at:.2f}")
    ax.set(xlabel="threshold", xlim=(0, 1), ylim=(0, 1.02))
    ax.legend(fontsize=8, frameon=False)
    return ax


def plot_counts(true_counts: ArrayLike, found_counts: ArrayLike, ax: Ax = None) -> Axes:
    """Plot found against true counts, one dot per image, with the line of correct counts.

    Examples
    --------
    >>> from pointlib import plots
    >>> len(plots.plot_counts([3, 7, 12], [4, 7, 10]).collections[0].get_offsets())
    3
    """
    ax = _tidy(_axes(ax, (4.2, 4)))
    top = 1.08 * max([1, *true_counts, *found_counts])
    ax.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1, gid="diagonal")
    ax.scatter(true_counts, found_counts, s=26, color=INK, alpha=0.5, linewidths=0, gid="counts")
    ax.set(xlabel="true count", ylabel="found count", aspect="equal")
    ax.set(xlim=(-0.03 * top, top), ylim=(-0.03 * top, top))
    return ax


def plot_distances(distances: ArrayLike, ax: Ax = None, *, radius: float) -> Axes:
    """Plot a histogram of the distances of hits from their true points, up to the match radius.

    Examples
    --------
    >>> from pointlib import plots
    >>> ax = plots.plot_distances([0.5, 1.0, 2.5], radius=4)
    >>> ax.get_legend().get_texts()[0].get_text()
    'median 1.00 px'
    """
    ax = _tidy(_axes(ax, (4.6, 4)))
    ax.hist(distances, bins=20, range=(0, radius), color=BLUE, edgecolor="white")
    if len(distances):
        middle = np.median(distances)
        ax.axvline(middle, color=RED, linewidth=1, label=f"median {middle:.2f} px")
        ax.legend(fontsize=8, frameon=False)
    ax.set(xlabel="distance from true point (px)", ylabel="hits", xlim=(0, radius))
    return ax


def plot_sizes(size: Any, ax: Ax = None) -> Axes:
    """Plot how much the objects of each class stand out at each diameter, and which one it is.

    A dotted line is a size that is not clear: it comes from the distances between points.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import object_size, plots
    >>> y, x = np.mgrid[:90, :120]
    >>> size = object_size([(np.hypot(x - 60, y - 45) < 8) * 200], [[[60, 45]]])
    >>> ax = plots.plot_sizes(size)
    >>> ax.get_legend().get_texts()[0].get_text()
    'point: 15 px'
    """
    ax = _tidy(_axes(ax, (4.6, 4)))
    for k, (name, curve) in enumerate(size.curves.items()):
        look = {"color": class_look(k)[1]}
        ax.plot(size.diameters, curve, marker=".", **look)
        if np.isfinite(diameter := size.diameter[name]):
            words = f"{diameter:.0f} px" + ("" if size.clear[name] else ", not clear")
            style = "-" if size.clear[name] else ":"
            label = legend_text(f"{name}: {words}")
            ax.axvline(diameter, linestyle=style, linewidth=1, label=label, **look)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.set(xlabel="diameter (px)", ylabel="how much clicks stand out")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=8, frameon=False)
    return ax


def plot_anatomy(table: Mapping[str, Any], ax: Ax = None) -> Axes:
    """Plot what each kind of error costs: the F1 to gain by fixing it, and how many there are.

    `table` is the result of `anatomy_table`; the most expensive kind is on top.

    Examples
    --------
    >>> from pointlib import plots
    >>> kinds = {"missed": {"n": 5, "f1_gain": 0.1}, "doubled": {"n": 2, "f1_gain": 0.02}}
    >>> plots.plot_anatomy({"f1": 0.75, "kinds": kinds}).get_xlabel()
    'F1 to gain (now 0.750)'
    """
    ax = _tidy(_axes(ax, (5, 3.2)))
    kinds = list(table["kinds"].items())[::-1]  # barh counts from below
    kinds.sort(key=lambda row: np.nan_to_num(row[1]["f1_gain"]))
    gains = [np.nan_to_num(row["f1_gain"]) for _, row in kinds]
    bars = ax.barh([kind for kind, _ in kinds], gains, color=INK)
    ax.bar_label(bars, [row["n"] for _, row in kinds], padding=3, color=GREY, fontsize=8)
    now = "" if np.isnan(table["f1"]) else f" (now {table['f1']:.3f})"
    ax.set(xlabel=f"F1 to gain{now}", xlim=(0, 1.15 * max([0.01, *gains])))
    return ax


def plot_reliability(bins: Any, ax: Ax = None) -> Axes:
    """Plot the fraction of true points against the score: one dot per bin, with its count.

    `bins` is the result of `reliability`. On the dashed line a score is a probability.

    Examples
    --------
    >>> import numpy as np
    >>> from pointlib import plots, reliability
    >>> bins = reliability(np.array([0.2, 0.9, 0.95]), np.array([False, True, True]), n_bins=2)
    >>> [text.get_text() for text in plots.plot_reliability(bins).texts]
    ['1', '2']
    """
    ax = _tidy(_axes(ax, (4.2, 4)))
    some = np.flatnonzero(bins.n)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, gid="diagonal")
    ax.plot(bins.score[some], bins.share[some], "o", color=INK, gid="bins")
    for score, share, n in zip(*(values[some] for values in bins[1:]), strict=True):
        ax.text(score + 0.02, share - 0.02, f"{n}", color=GREY, fontsize=8, va="top")
    ax.set(xlabel="score", ylabel="share that is true", aspect="equal")
    ax.set(xlim=(0, 1.05), ylim=(-0.06, 1.05))
    return ax


def plot_history(history: Sequence[Mapping[str, Any]], ax: Ax = None) -> Axes:
    """Plot losses (left axis) and F1 (right axis) by epoch.

    `history` is a list of dicts: "epoch" and any of "loss", "val_loss", "f1"; None is a gap.

    Examples
    --------
    >>> from pointlib import plots
    >>> rows = [{"epoch": k, "loss": 1 / k, "val_loss": 2 / k, "f1": 0.1 * k} for k in (1, 2, 3)]
    >>> ax = plots.plot_history(rows)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['training loss', 'validation loss', 'validation F1']
    """
    ax = _tidy(_axes(ax, (6, 3.4)))
    epochs = [row["epoch"] for row in history]
    loss, val_loss, f1 = (
        np.array([row.get(key) for row in history], float) for key in ("loss", "val_loss", "f1")
    )
    right = ax.twinx()
    lines = ax.plot(epochs, loss, color=GREY, linestyle="--", label="training loss")
    lines += ax.plot(epochs, val_loss, color=INK, label="validation loss")
    lines += right.plot(epochs, f1, color=RED, marker=".", label="validation F1")
    right.set(ylabel="F1", ylim=(0, 1.02))
    right.spines["top"].set_visible(False)
    ax.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    ax.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    return ax


def plot_learning_curve(curve: Any, ax: Ax = None, *, forecast: Any = None) -> Axes:
    """Plot F1 against clicks: the mean of the repetitions, and the band from worst to best.

    `curve` is the result of `learning_curve`, `forecast` that of `extrapolate`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from pointlib import plots
    >>> clicks, f1 = np.array([[20, 24], [80, 90]]), np.array([[0.5, 0.6], [0.8, 0.82]])
    >>> ax = plots.plot_learning_curve(SimpleNamespace(clicks=clicks, f1=f1))
    >>> [tick.get_text() for tick in ax.get_xticklabels()]
    ['22', '85']
    """
    ax = _tidy(_axes(ax, (5, 3.4)))
    clicks, f1 = curve.clicks.mean(axis=1), curve.f1
    ax.fill_between(clicks, f1.min(axis=1), f1.max(axis=1), color=BLUE, alpha=0.3, linewidth=0)
    ax.plot(clicks, f1.mean(axis=1), "o-", color=INK, label="mean, worst to best", gid="curve")
    if forecast is not None:
        reach = [[forecast.f1 - forecast.low], [forecast.high - forecast.f1]]
        look = {"color": RED, "capsize": 4, "label": "forecast"}
        ax.errorbar([forecast.clicks], [forecast.f1], reach, fmt="D", **look)
    ax.set(xlabel="clicks", ylabel="F1", xscale="log")
    ax.set_xticks(clicks, [f"{n:.0f}" for n in clicks])
    ax.minorticks_off()
    ax.legend(frameon=False, loc="lower right")
    return ax


def plot_leaderboard(rows: Sequence[Mapping[str, Any]], ax: Ax = None) -> Axes:
    """Plot the F1 of ranked combinations: a dot, its 95 % interval and a tick at the ceiling.

    `rows` is the result of `compare`, best first. Rows not distinguishable from the best are
    filled, the others hollow; a diamond is the F1 on test images.

    Examples
    --------
    >>> from pointlib import plots
    >>> row = {"label": "mse", "failed": "", "like_best": True, "f1": 0.8, "f1_low": 0.7}
    >>> row |= {"f1_high": 0.9, "ceiling_f1": 0.95, "test_f1": float("nan")}
    >>> [tick.get_text() for tick in plots.plot_leaderboard([row]).get_yticklabels()]
    ['mse']
    """
    ax = _tidy(_axes(ax, (8, 1.2 + 0.36 * len(rows))))
    sound = [row for row in rows if not row["failed"]]
    tested = not np.isnan([row["test_f1"] for row in sound]).all()
    looks = {True: ("o-", INK, INK), False: ("o-", GREY, "white"), None: ("|", RED, RED)}
    looks |= {"test": ("D", "black", YELLOW)} if tested else {}
    words = {True: "not distinguishable from the best", False: "worse", None: "ceiling"}
    words |= {"test": "on test, not used to choose"}
    for kind, (mark, color, fill) in looks.items():
        ax.plot([], [], mark, color=color, markerfacecolor=fill, markersize=7, label=words[kind])
    ax.axvspan(sound[0]["f1_low"], sound[0]["f1_high"], color=BLUE, alpha=0.12, linewidth=0)
    for y, row in enumerate(sound):
        _, color, fill = looks[row["like_best"]]
        ax.plot([row["f1_low"], row["f1_high"]], [y, y], color=color, linewidth=2, gid="interval")
        ax.plot(row["f1"], y, "o", color=color, markerfacecolor=fill, markersize=7, gid="F1")
        ax.plot(row["ceiling_f1"], y, "|", color=RED, markersize=11, markeredgewidth=2)
        ax.plot(row["test_f1"], y, "D", color="black", markerfacecolor=YELLOW, markersize=4)
    columns = [["val", *("failed" if row["failed"] else f"{row['f1']:.3f}" for row in rows)]]
    columns += [["test", *(f"{row['test_f1']:.3f}" for row in sound)]] if tested else []
    look = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
    for k, column in enumerate(columns):
        for y, words in enumerate(column, start=-1):
            ax.annotate(words, (1, y), xytext=(8 + 44 * k, 0), **look)
    ax.set_yticks(range(len(rows)), [row["label"] for row in rows], parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("F1 on validation images (lines: 95 % interval, images resampled)")
    ax.set_ylim(len(rows) - 0.4, -0.6)
    look = {"ncols": 4, "frameon": False, "fontsize": 9, "columnspacing": 1.2}
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), **look)
    return ax


def _point_axes(points):
    """Return a new ax around the points, with y downwards, as for images."""
    ax = _axes(None, (5, 5))
    ax.set_aspect("equal")
    ax.invert_yaxis()
    ax.update_datalim(points)
    ax.autoscale_view()
    return ax


def _mark_classes(points, labels, ax, classes):
    """Mark each class in the image, ready for a legend, and return the ax; see `show_classes`."""
    points = check_points(points)
    labels = check_labels(labels, len(points))
    ax = _point_axes(points) if ax is None else ax
    size, here = _mark_size(points, ax), np.unique(labels).tolist()
    for k, name in enumerate(dict.fromkeys([*classes, *here])):
        if name in here:
            marks = _mark(ax, some := points[labels == name], class_look(k), size)
            marks.set(gid=name, label=legend_text(f"{name} ({len(some)})"))
    return ax


def _mark(ax, points, style, size):
    shape = MarkerStyle(style[0], fillstyle="none")
    look = {"color": style[1], "linewidths": 1.4, "path_effects": HALO}
    return ax.scatter(*points.T, s=size**2, marker=shape, **look)


def _mark_size(points, ax):
    """Return a mark's width in typographic points: 0.6 of the median gap, but 4 to 11."""
    gap = np.median(nearest_distances(points)) if len(points) else np.inf
    box = ax.get_window_extent()
    scale = min(box.width / np.ptp(ax.get_xlim()), box.height / np.ptp(ax.get_ylim()))
    return float(np.clip(0.6 * gap * scale * 72 / ax.figure.dpi, 4, 11))


def _axes(ax, size):
    """Return `ax`, or a new one of `size` inches that a notebook shows."""
    if ax is None:
        from matplotlib import pyplot as plt  # only here: it has global state and picks a backend

        ax = plt.subplots(figsize=size, layout="constrained")[1]
    return ax


def _show(ax, picture, **look):
    """Show a picture (h, w, ...) without axes; `look` as for `imshow`."""
    sides = picture.shape[1::-1]
    ax = _axes(ax, [max(6 * side / max(sides), 2) for side in sides])
    ax.imshow(picture, **look)
    ax.autoscale(False)
    ax.set_axis_off()
    return ax


def _tidy(ax):
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _legend_below(ax):
    """Add a legend of up to three columns, of fewer if they would take the image's space."""
    labels = ax.get_legend_handles_labels()[1]
    room = ax.get_window_extent().width / ax.figure.dpi  # inches
    ncols = max((n for n in (2, 3) if _legend_width(labels, n) <= room), default=1)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=ncols, frameon=False)
    return ax


def _legend_width(labels, ncols):
    """Return the approximate width of a legend, inches: per column a mark and its longest label."""
    columns = np.array_split(labels, ncols)
    return sum(0.06 * (8 + max(map(len, column), default=0)) for column in columns)


def _check_heatmap(heatmap):
    """Return the heatmap of one class as an array, or raise InputError."""
    if np.ndim(heatmap) != 2:
        raise InputError(f"heatmap has shape {np.shape(heatmap)}; expected (H, W). Use heatmap[0].")
    return np.asarray(heatmap)
