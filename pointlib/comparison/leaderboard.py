"""Leaderboard: which combination is best, and which differences to trust, as a table and a picture.

About the counts of combinations: hits, found and true points of the same images. Not about
training or scoring: combinations.py.
"""

import csv
import io
from collections import Counter

import numpy as np
from matplotlib.figure import Figure

from pointlib.errors import to_cell
from pointlib.files import write_kept
from pointlib.metrics import count_errors, precision_recall_f1
from pointlib.plots import encode_figure, plot_leaderboard
from pointlib.study.trust import draw_f1

FEW = 5  # with fewer images a bootstrap says nothing
NUMBERS = {  # column: (head in the table, format)
    "f1": ("val F1", ".3f"),
    "test_f1": ("test F1", ".3f"),
    "precision": ("precision", ".3f"),
    "recall": ("recall", ".3f"),
    "count_error": ("count error", ".2f"),
    "error_px": ("error px", ".2f"),
    "minutes": ("minutes", ".1f"),
    "epochs": ("epochs", "d"),
    "steps": ("steps", "d"),
    "weights_m": ("M weights", ".2f"),
    "ms_per_image": ("ms/image", ".0f"),
}
EXTRA = ("f1_low", "f1_high", "like_best", "ceiling_f1", "settings", "folder", "failed")


def rank_rows(rows):
    """Add the figures to each row and sort: the highest validation F1 first, failed ones last.

    Parameters
    ----------
    rows : list of dict
        ``failed`` (a sentence, or empty) and, if it is empty, ``counts``: (n_images, 4) of true
        points, found points, hits and the sum of the hits' distances in pixels, in validation
        images, the same in each row; ``test_counts``, those of test images, or None.

    Returns
    -------
    list of dict
        With ``rank, f1, precision, recall, count_error, error_px``, pooled over validation images;
        ``f1_low, f1_high``, the middle 95 % of F1 over bootstrap samples of these images;
        ``like_best``: whether the middle 95 % of the best row's lead over this one reaches 0; NaN
        and True with fewer than 5 images; ``test_f1``, which is not used to choose, NaN without
        test images.

    Notes
    -----
    All rows share the same samples, so a hard image is hard for all of them, and their differences
    vary less than their F1 (the paired percentile bootstrap, Efron and Tibshirani 1993).
    """
    failed = [row for row in rows if row["failed"]]
    sound = [row | _figures(row) for row in rows if not row["failed"]]
    sound.sort(key=lambda row: -row["f1"])
    if sound:
        draws = draw_f1(*np.moveaxis([row["counts"] for row in sound], -1, 0)[:3])
        low, high = np.nanpercentile(draws, [2.5, 97.5], axis=1)
        behind = np.nanpercentile(draws[0] - draws, 2.5, axis=1)
        if np.shape(sound[0]["counts"])[0] < FEW:
            low, high, behind = (np.full(len(sound), value) for value in (np.nan, np.nan, 0))
    for k, row in enumerate(sound):
        row |= {"f1_low": float(low[k]), "f1_high": float(high[k]), "rank": k + 1}
        row["like_best"] = bool(behind[k] <= 0)
    return sound + failed


def leaderboard_table(rows):
    """Return ranked rows as text; ``=`` marks an F1 that cannot be told from the best one's."""
    axes = varying_axes(rows)
    numbers = {k: v for k, v in NUMBERS.items() if k != "test_f1" or rows[0]["test_counts"]}
    lines = [["", *axes, *(head for head, _ in numbers.values())]]
    for row, what in zip(rows, _names(rows, axes), strict=True):
        if row["failed"]:
            lines.append(["-", *what, f"failed: {row['failed']}"])
            continue
        cells = [format(row[k], form).replace("nan", "-") for k, (_, form) in numbers.items()]
        cells[0] += " =" if row["like_best"] else "  "
        lines.append([str(row["rank"]), *what, *cells])
    for k in range(len(lines[0])):
        left = 0 < k <= len(axes)
        column = [line for line in lines if left or len(line) == len(lines[0])]
        width = max(len(line[k]) for line in column)
        for line in column:
            line[k] = line[k].ljust(width) if left else line[k].rjust(width)
    return "\n".join(["  ".join(line).rstrip() for line in lines] + [_note(rows)])


def write_leaderboard(folder, rows, *, title):
    """Write `leaderboard.csv` and `leaderboard.png`; older ones that differ are kept as copies."""
    axes = list(dict.fromkeys(axis for row in rows for axis in row["what"]))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["rank", *axes, *NUMBERS, *EXTRA])
    for row in rows:
        names = {"settings": _read_at(row), "folder": row["folder"].name, "failed": row["failed"]}
        names |= {axis: v for axis, v in row["what"].items() if isinstance(v, str)}
        values = row | row["what"] | {key: to_cell(name) for key, name in names.items()}
        writer.writerow(_cell(values.get(key)) for key in ("rank", *axes, *NUMBERS, *EXTRA))
    write_kept(folder / "leaderboard.csv", table.getvalue())
    rows = label_rows(rows)
    size = 6.5 + 0.08 * max(len(row["label"]) for row in rows), 1.6 + 0.36 * len(rows)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    plot_leaderboard(rows, figure.add_subplot())
    figure.suptitle(title, fontsize=10)
    picture = encode_figure(figure, dpi=150, metadata={"Software": None})
    write_kept(folder / "leaderboard.png", picture)


def label_rows(rows):
    """Return ranked rows, each with its "label": its values on the axes in which rows differ."""
    names = _names(rows, varying_axes(rows))
    return [row | {"label": " · ".join(own)} for row, own in zip(rows, names, strict=True)]


def varying_axes(rows):
    """Return the axes in which rows differ; the first one if none does."""
    axes = list(dict.fromkeys(axis for row in rows for axis in row["what"]))
    return [a for a in axes if len({str(row["what"].get(a)) for row in rows}) > 1] or axes[:1]


def short_name(value):
    """Return a setting as it is shown: without folders, a long name without its middle.

    A function of the notebook itself, `__main__:mine`, goes by its own name.
    """
    name = str(value).rpartition("/")[2].removeprefix("__main__:")
    return name if len(name) <= 40 else f"{name[:22]}...{name[-15:]}"


def _read_at(row):
    """Return the threshold and the minimum distance of each class in words."""
    return "; ".join(
        f"{name}: threshold {own['threshold']:.3f}, {own['min_distance']:g} px"
        for name, own in row.get("settings", {}).items()
    )


def _note(rows):
    """Return what a reader must know to read the marks."""
    n_images = len(rows[0]["counts"])
    marks = (
        f"=  not distinguishable from the best: over bootstrap samples of these {n_images}\n"
        "   validation images, the middle 95 % of the differences in F1 reaches 0. Another seed\n"
        "   would add to the differences.\n"
    )
    if n_images < FEW:
        marks = f"{n_images} validation images are too few to tell the rows apart.\n"
    marks += f"1  uses {rows[0]['what']['threshold']}; {_read_at(rows[0])}.\n"
    chosen = "Epochs, thresholds, distances and ranks are chosen by validation F1"
    if rows[0]["test_counts"]:
        return f"{marks}{chosen}; test F1 was not used to choose: expect it of new images."
    return f"{marks}{chosen}: expect less of new images. A test.txt would show how much."


def _names(rows, axes):
    """Return each row's values of some axes as they are shown; longer if two look alike."""
    columns = []
    for axis in axes:
        values = [str(row["what"][axis]) for row in rows]
        seen = Counter(map(short_name, set(values)))
        columns.append([v[-40:] if seen[short_name(v)] > 1 else short_name(v) for v in values])
    return list(zip(*columns, strict=True))


def _figures(row):
    """Return the pooled figures of one row."""
    counts = np.array(row["counts"], float)
    precision, recall, f1 = _pooled(counts)
    tp, distance = counts[:, 2:].sum(axis=0)
    return {
        "f1": f1,
        "test_f1": _pooled(np.reshape(row["test_counts"] or [], (-1, 4)))[2],
        "precision": precision,
        "recall": recall,
        "count_error": count_errors(counts[:, 0], counts[:, 1])["mae"],
        "error_px": float(distance / tp) if tp else float("nan"),
    }


def _pooled(counts):
    """Return precision, recall and F1 of counts (n_images, 4)."""
    n_true, n_found, tp, _ = counts.sum(axis=0)
    return precision_recall_f1(tp, n_found - tp, n_true - tp)


def _cell(value):
    """Return a value as the csv has it: six decimals, nothing for NaN."""
    if not isinstance(value, float):
        return value
    return "" if np.isnan(value) else f"{value:.6g}"
