"""Pictures for lessons and reports: an image, its points, its heatmap, its errors, and curves.

About drawing what others computed; it computes nothing itself. Each function draws on the `ax`
it is given and returns it. Without one it opens a figure by pyplot, so that a notebook shows it;
with one it never touches pyplot, so a report may draw in any thread.
Points need no shift: `imshow` puts the centre of the top-left pixel at (0, 0), as points.py does.
"""

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.patheffects import withStroke

from pointlib.errors import InputError
from pointlib.images import to_display
from pointlib.points import check_points, nearest_distances

# Chosen after Okabe and Ito (jfly.uni-koeln.de/color), so that colour-blind readers see them apart.
BLUE, YELLOW, RED, GREEN, PINK = "#56b4e9", "#f0e442", "#ff5a1f", "#2fc79a", "#f28cc8"
INK, GREY = "#0072b2", "#8a8a8a"  # for curves on white
ERROR_MARKS = {"hits": ("o", BLUE), "missed": ("s", YELLOW), "false positives": ("x", RED)}
CLASS_SHAPES, CLASS_COLORS = "os^Dv*", (BLUE, YELLOW, PINK, GREEN, RED)  # 30 pairs
HALO = [withStroke(linewidth=2.9, foreground="black")]  # keeps marks readable on bright pictures


def show_image(image, ax=None):
    """Show an image (H, W) or (H, W, C) of any depth, without axes."""
    picture = to_display(image)
    ax = _axes(ax, _picture_size(picture.shape))
    ax.imshow(picture)
    ax.autoscale(False)
    ax.set_axis_off()
    return ax


def show_points(points, labels=None, ax=None, *, marker="o", color=YELLOW):
    """Mark points, sized to the gaps between them; a new `ax` has y downwards, as images do.

    Parameters
    ----------
    points : array of shape (N, 2), x, y in pixels
    labels : array of shape (N,), optional
        Gives each class its own shape and colour, by sorted name; see `show_classes`.
    ax : Axes, optional, such as `show_image` returns
    marker, color : str
        For points without labels.
    """
    if labels is not None:
        return show_classes(points, labels, ax)
    points = check_points(points)
    ax = _point_axes(points) if ax is None else ax
    _mark(ax, points, (marker, color), _mark_size(points, ax))
    return ax


def show_classes(points, labels, ax=None, *, classes=()):
    """Mark points, each class by a shape and a colour, with a legend that counts those here.

    Parameters
    ----------
    points : array of shape (N, 2), x, y in pixels
    labels : array of shape (N,)
    ax : Axes, optional, such as `show_image` returns
    classes : sequence of str
        All there are, as `model.info.classes` holds them: so a class looks the same in each
        picture, whichever others are in it.
    """
    ax = _mark_classes(points, labels, ax, classes)
    return _legend_below(ax) if len(points) else ax


def show_heatmap(heatmap, ax=None, *, image=None, limits=(0, 1)):
    """Show a heatmap (H, W), alone or glowing over its `image` in grey.

    `limits`, the values of the darkest and brightest colour, are fixed, so that a colour means
    the same in each picture; only a density needs its own.
    """
    heatmap = _check_heatmap(heatmap)
    ax = _axes(ax, _picture_size(heatmap.shape))
    glow = None
    if image is not None:
        ax.imshow(0.6 * to_display(image).mean(axis=2), cmap="gray", vmin=0, vmax=255)
        share = (np.nan_to_num(heatmap) - limits[0]) / (limits[1] - limits[0])
        glow = np.sqrt(np.clip(share, 0, 1))
    ax.imshow(heatmap, cmap="magma", vmin=limits[0], vmax=limits[1], alpha=glow)
    ax.autoscale(False)
    ax.set_axis_off()
    return ax


def show_values(heatmap, ax=None):
    """Show a small heatmap (H, W) with each value written into its pixel, x and y beside it."""
    ax = show_heatmap(heatmap, ax)
    height, width = np.shape(heatmap)
    ax.set_axis_on()
    ax.set(xlabel="x", ylabel="y", xticks=range(width), yticks=range(height))
    for (y, x), value in np.ndenumerate(heatmap):
        ink = "black" if value > 0.6 else "white"
        ax.text(x, y, f"{value:.2f}", color=ink, ha="center", va="center", fontsize=8)
    return ax


def show_profile(heatmap, row, ax=None, *, points=None):
    """Plot one row (its y, whole) of a heatmap (H, W) as a curve.

    Of the true centres `points` (N, 2), those within one pixel of the row become dotted lines.
    """
    ax = _tidy(_axes(ax, (6, 2.6)))
    ax.plot(_check_heatmap(heatmap)[row], color=INK, marker=".")
    for x, y in check_points([] if points is None else points):
        if abs(y - row) <= 1:
            ax.axvline(x, color=RED, linestyle=":")
    ax.set(xlabel=f"x (row y = {row})", ylabel="heatmap")
    return ax


def show_errors(image, true, found, match, ax=None):
    """Show an image with its hits (ring), misses (square), false positives (cross) and a legend.

    Parameters
    ----------
    image : ndarray of shape (H, W) or (H, W, C)
    true, found : array of shape (N, 2) and (M, 2), x, y in pixels
    match : metrics.Match
        A hit's ring stands at the found point; a thin line joins it to its true point.
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


def show_suspect(image, points, suspect, ax=None, *, reach=20):
    """Show the surroundings of a suspected label error, `reach` pixels each way.

    The given `points` (N, 2) are rings; the suspect, of `suspects.label_errors`, is a red square.
    """
    ax = show_points(points, ax=show_image(image, ax))
    marks = _mark(ax, np.array([[suspect.x, suspect.y]]), ("s", RED), 14)
    marks.set(gid="suspect")
    ax.set(xlim=(suspect.x - reach, suspect.x + reach), ylim=(suspect.y + reach, suspect.y - reach))
    ax.set_title(f"{suspect.kind} {suspect.confidence:.2f}")
    return ax


def draw_overlay(image, points, labels, *, classes=()):
    """Return a picture, (h, w, 3) uint8, of an image with its points, for a file.

    Its longer side is the image's, but 800 to 2,400 pixels. Where there are several `classes`, as
    `show_classes` takes them, or several labels here, a legend inside names those here.
    """
    side = float(np.clip(max(image.shape[:2]), 800, 2400))
    ax = show_image(image, picture_axes(image.shape, side))
    _mark_classes(points, labels, ax, classes)
    if len(points) and len({*classes, *labels}) > 1:
        ax.legend(loc="upper left", framealpha=0.7)
    ax.figure.canvas.draw()
    return np.array(ax.figure.canvas.buffer_rgba())[:, :, :3]


def picture_axes(shape, side):
    """Return the one ax that fills a new figure, `side` pixels on its longer side, no pyplot."""
    size = [max(5 * length / max(shape[:2]), 0.2) for length in shape[1::-1]]
    figure = Figure(figsize=size, dpi=side / 5, facecolor="black", layout="none")
    FigureCanvasAgg(figure)
    return figure.add_axes((0, 0, 1, 1))


def class_look(k):
    """Return the shape and the colour of class number `k`, from 0: 30 differ."""
    return CLASS_SHAPES[k % 6], CLASS_COLORS[k % 5]


def legend_text(name):
    """Return a name that a legend shows as it is: `$` begins a formula there, `_` hides it."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def to_png(ax):
    """Return the picture of `ax` as a PNG file, bytes, as a widget that shows images takes it.

    Closes its figure, so that a notebook does not show it a second time.
    """
    from matplotlib import pyplot as plt  # only here, as in _axes

    data = encode_figure(ax.figure)
    plt.close(ax.figure)
    return data


def encode_figure(figure, kind="png", **options):
    """Return a figure as the bytes of a file; `options` as matplotlib's `savefig` takes them."""
    file = io.BytesIO()
    figure.savefig(file, format=kind, **options)
    return file.getvalue()


def plot_pr_curve(precision, recall, ax=None, *, at=None):
    """Plot precision (M,) against recall (M,) over lines of equal F1.

    `at` is the precision and recall where the detector works, to be marked.
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


def plot_f1_curve(thresholds, precision, recall, ax=None, *, at=None):
    """Plot F1, precision and recall (M,) against the threshold (M,); mark the one in use, `at`.

    Takes what `metrics.precision_recall_curve` gives: what holds where score >= threshold.
    """
    order = np.argsort(thresholds)
    t, p, r = (np.asarray(values, float)[order] for values in (thresholds, precision, recall))
    ax = _tidy(_axes(ax, (4.6, 4)))
    # Between two scores the upper one decides what is accepted: hence "steps-pre".
    f1 = 2 * p * r / np.where(p + r > 0, p + r, 1)
    ax.plot(t, f1, color=INK, label="F1", drawstyle="steps-pre", linewidth=2)
    ax.plot(t, p, color=GREY, label="precision", drawstyle="steps-pre", linestyle="--")
    ax.plot(t, r, color=GREY, label="recall", drawstyle="steps-pre", linestyle=":")
    if at is not None:
        ax.axvline(at, color=RED, linewidth=1, label=f"in use: {at:.2f}")
    ax.set(xlabel="threshold", xlim=(0, 1), ylim=(0, 1.02))
    ax.legend(fontsize=8, frameon=False)
    return ax


def plot_counts(true_counts, found_counts, ax=None):
    """Plot found against true counts, one dot an image, with the line of right counts."""
    ax = _tidy(_axes(ax, (4.2, 4)))
    top = 1.08 * max([1, *true_counts, *found_counts])
    ax.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1, gid="diagonal")
    ax.scatter(true_counts, found_counts, s=26, color=INK, alpha=0.5, linewidths=0, gid="counts")
    ax.set(xlabel="true count", ylabel="found count", aspect="equal")
    ax.set(xlim=(-0.03 * top, top), ylim=(-0.03 * top, top))
    return ax


def plot_distances(distances, ax=None, *, radius):
    """Plot how far hits lie from their true points: a histogram up to the match radius."""
    ax = _tidy(_axes(ax, (4.6, 4)))
    ax.hist(distances, bins=20, range=(0, radius), color=BLUE, edgecolor="white")
    if len(distances):
        middle = np.median(distances)
        ax.axvline(middle, color=RED, linewidth=1, label=f"median {middle:.2f} px")
        ax.legend(fontsize=8, frameon=False)
    ax.set(xlabel="distance from true point (px)", ylabel="hits", xlim=(0, radius))
    return ax


def plot_anatomy(table, ax=None):
    """Plot what each kind of error costs: the F1 that mending it would give back, and how many.

    `table` is what `anatomy.anatomy_table` gives; the costliest kind stands on top.
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


def plot_reliability(bins, ax=None):
    """Plot the share of true points against their score: a dot a bin, and how many it stands for.

    `bins` is what `trust.reliability` gives. On the dashed line a score is a probability.
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


def plot_history(history, ax=None):
    """Plot losses (left scale) and F1 (right scale) by epoch.

    `history` is a list of dicts: "epoch" and any of "loss", "val_loss", "f1"; None stays a gap.
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


def plot_learning_curve(curve, ax=None, *, forecast=None):
    """Plot F1 against clicks: the mean of the repetitions, and the band from worst to best.

    `curve` is what `budget.learning_curve` gives, `forecast` what `budget.extrapolate` makes of it.
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


def plot_leaderboard(rows, ax=None):
    """Plot the F1 of ranked combinations: a dot, its 95 % interval, a tick where the ceiling is.

    `rows` is what `compare` gives: those of `leaderboard.rank_rows`, each with its "label". Rows
    that cannot be told from the best are filled, the others hollow; a diamond is the F1 on test
    images.
    """
    ax = _tidy(_axes(ax, (8, 1.2 + 0.36 * len(rows))))
    sound = [row for row in rows if not row["failed"]]
    tested = not np.isnan([row["test_f1"] for row in sound]).all()
    looks = {True: ("o-", INK, INK), False: ("o-", GREY, "white"), None: ("|", RED, RED)}
    looks |= {"test": ("D", "black", YELLOW)} if tested else {}
    words = {True: "not to be told from the best", False: "behind it", None: "ceiling"}
    words |= {"test": "on test, which chose nothing"}
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
    ax.set(
        xlabel="F1 on validation images (lines: 95 % of it with them drawn anew)",
        ylim=(len(rows) - 0.4, -0.6),
    )
    look = {"ncols": 4, "frameon": False, "fontsize": 9, "columnspacing": 1.2}
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), **look)
    return ax


def _point_axes(points):
    """Return a new ax that holds the points, y downwards, as images have it."""
    ax = _axes(None, (5, 5))
    ax.set_aspect("equal")
    ax.invert_yaxis()
    ax.update_datalim(points)
    ax.autoscale_view()
    return ax


def _mark_classes(points, labels, ax, classes):
    """Mark each class that is here, ready for a legend, and return the ax; see `show_classes`."""
    points, labels = check_points(points), np.asarray(labels)
    if labels.shape != (len(points),):
        raise InputError(f"labels has shape {labels.shape}; expected ({len(points)},).")
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
    """Return a mark's width in typographic points: 0.6 of the usual gap, but 4 to 11."""
    gap = np.median(nearest_distances(points)) if len(points) else np.inf
    box = ax.get_window_extent()
    scale = min(box.width / np.ptp(ax.get_xlim()), box.height / np.ptp(ax.get_ylim()))
    return float(np.clip(0.6 * gap * scale * 72 / ax.figure.dpi, 4, 11))


def _axes(ax, size):
    """Return `ax`, or a new one of `size` inches that a notebook will show."""
    if ax is None:
        from matplotlib import pyplot as plt  # only here: it holds global state, picks a backend

        ax = plt.subplots(figsize=size, layout="constrained")[1]
    return ax


def _picture_size(shape):
    return tuple(max(6 * side / max(shape[:2]), 2) for side in shape[1::-1])


def _tidy(ax):
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _legend_below(ax):
    """Add a legend of up to three columns; of fewer where the image would get no room."""
    labels = ax.get_legend_handles_labels()[1]
    room = ax.get_window_extent().width / ax.figure.dpi  # inches
    ncols = max((n for n in (2, 3) if _legend_width(labels, n) <= room), default=1)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=ncols, frameon=False)
    return ax


def _legend_width(labels, ncols):
    """Return about how wide a legend is, inches: in each column marks and the longest label."""
    columns = np.array_split(labels, ncols)
    return sum(0.06 * (8 + max(map(len, column), default=0)) for column in columns)


def _check_heatmap(heatmap):
    """Return one class's heatmap as an array, or raise InputError."""
    if np.ndim(heatmap) != 2:
        raise InputError(f"heatmap has shape {np.shape(heatmap)}; expected (H, W). Use heatmap[0].")
    return np.asarray(heatmap)
