"""What benchmarks/accuracy.py shows: its table, and the curve of F1 against minutes."""

import numpy as np
from matplotlib.figure import Figure

COLUMNS = ("set", "method", "F1", "precision", "recall", "MAE", "error px", "minutes", "steps",
           "epochs", "device")  # fmt: skip
NAMES = {"pointlib": "pointlib", "log": "LoG (scikit-image)", "spotiflow": "Spotiflow"}
MARKS = (0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 60, 120, 240)  # minutes, of the curve's table


def name_of(row):
    """Return what a curve is called."""
    return f"{row['set']}, {NAMES[row['method']]}"


def table(rows):
    """Return the rows as a Markdown table, with lines for classes and class-blind scores."""
    lines = [COLUMNS]
    for row in rows:
        lines.append(line(row, NAMES[row["method"]], row))
        for name, own in (row.get("classes") or {}).items():
            lines.append(line(row, f"- {name}", {key: own[key] for key in own if key != "mae"}))
        if row.get("blind"):
            lines.append(line(row, "- class-blind", row["blind"]))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = (map(str.ljust, cells, widths) for cells in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)


def line(row, name, own):
    """Return the cells of one line; what is unknown is a dash."""
    shown = {"f1": 3, "precision": 3, "recall": 3, "mae": 2, "error_px": 2, "minutes": 1}
    cells = ["-" if own.get(k) is None else f"{own[k]:.{n}f}" for k, n in shown.items()]
    rest = (own.get(key) for key in ("steps", "epochs", "device"))
    return [row["set"], name, *cells, *("-" if value is None else str(value) for value in rest)]


def means(rows):
    """Return each method's mean F1 over the sets."""
    f1 = {}
    for row in rows:
        f1.setdefault(NAMES[row["method"]], []).append(row["f1"])
    parts = [f"{name} {np.mean(own):.3f} ({len(own)})" for name, own in f1.items()]
    return "mean F1 (over so many sets): " + ", ".join(parts)


def curve_table(rows):
    """Return the best F1 on val so far after some minutes, one line a training."""
    rows = [row for row in rows if row.get("curve")]
    marks = [m for m in MARKS if any(m <= row["curve"][-1][0] for row in rows)]
    lines = [f"{'best F1 on val after minutes:':35} " + " ".join(f"{mark:>6g}" for mark in marks)]
    for row in rows:
        best = [[f1 for minute, f1 in row["curve"] if minute <= mark and f1] for mark in marks]
        cells = " ".join(f"{max(f1):6.3f}" if f1 else "     -" for f1 in best)
        lines.append(f"{name_of(row):35} {cells}")
    return "\n".join(lines)


def draw_curve(rows, path):
    """Draw F1 on val against minutes, pointlib's lines solid, Spotiflow's dashed.

    Spotiflow's is by its own rule: within 2 sigma + 1 px, at probability 0.5, on crops.
    """
    figure = Figure(figsize=(6, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    sets = list(dict.fromkeys(row["set"] for row in rows))
    for row in rows:
        if row.get("curve"):
            minutes, f1 = np.transpose(np.array(row["curve"], float))
            colour = f"C{sets.index(row['set'])}"
            dashes = "-" if row["method"] == "pointlib" else "--"
            axes.plot(minutes, f1, dashes, color=colour, lw=1, label=name_of(row))
    axes.set(xscale="log", xlabel="minutes", ylabel="F1 on val", ylim=(0, 1))
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=6)
    figure.savefig(path)
    return f"curve: {path}"
