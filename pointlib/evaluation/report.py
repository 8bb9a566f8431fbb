"""One page that shows how good the found points are: numbers, curves, and the worst images first.

The page is a single html file with its pictures inside. It needs no network and no script, and
reads well in a light or dark browser and on a phone.
About showing. Not about the numbers and the matching rule: metrics.py.
"""

import base64
import html
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pointlib import plots
from pointlib.counts import COVERAGE, ENOUGH
from pointlib.errors import InputError, plural, spell_out
from pointlib.files import write_atomic
from pointlib.matching import describe_radius, match_classes, widest_radius
from pointlib.metrics import precision_recall_curve

MAX_PICTURES = 24
PICTURE_BYTES = 4_800_000  # of all; base64 adds a third, and the page must stay below 8 MB
SIDES = (900, 720, 560, 420, 300, 200)  # of a picture, in pixels; the first that is light enough

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>True points and found points</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --page: #fafaf7; --card: #fff; --ink: #22262a; --soft: #666c72;
  --line: #e2e2dc }
@media (prefers-color-scheme: dark) { :root { --page: #15181b; --card: #1e2226; --ink: #e6e6e2;
  --soft: #9aa1a8; --line: #33383d } .chart img { filter: invert(.88) hue-rotate(180deg) } }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 72rem; margin: auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.7rem } h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem }
.note, .tiles span, figcaption, .legend { color: var(--soft); font-size: .875rem }
.tiles, .charts, .cases, .pair { display: grid; gap: 1rem }
.tiles { grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)) }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)) }
.narrow { grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)) }
.pair { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: .5rem }
.tiles div, figure { background: var(--card); border: 1px solid var(--line); border-radius: 8px }
.tiles div { padding: .75rem 1rem } .tiles * { display: block } .tiles b { font-size: 1.9rem }
figure { margin: 0; padding: .75rem; overflow-wrap: anywhere } figure b { color: var(--ink) }
img { display: block; width: 100%; max-width: 45rem; margin-bottom: .5rem; border-radius: 4px }
.legend, .legend span { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem .5rem }
.legend { column-gap: 1.5rem; margin: 1rem 0 }
.ramp { background: linear-gradient(90deg, #000004, #51127c, #b73779, #fc8961, #fcfdbf);
  width: 5em; height: .8em }
.table { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line) }
th { font-weight: 600; font-size: .8125rem; color: var(--soft); white-space: nowrap }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; min-width: 7rem }
</style></head><body><main>
"""
MARKS = {  # the legend's outlines of what plots.show_errors draws, in a square of 22 pixels
    "hits": ("M4 11a7 7 0 1 0 14 0a7 7 0 1 0-14 0", "hit, joined to its true point"),
    "missed": ("M4 4h14v14h-14z", "missed: true, not found"),
    "false positives": ("M4 4l14 14M18 4l-14 14", "false positive: found, not true"),
}


def write_report(path, results, metrics, *, images, heatmaps=None):
    """Write one html page about `results` and return its path.

    Parameters
    ----------
    path : str or Path
        Such as "report.html"; replaced if it exists.
    results : list of metrics.ImageResult
    metrics : dict
        What `metrics.score_images` gave for these results. Two keys may be added: "thresholds",
        {class: float}, to mark a single class's; and "curve", a dict of "thresholds", "precision"
        and "recall" over all candidates. Without it the curves come from `results`, and so end
        at the threshold in use.
    images : callable
        images(name) -> image (H, W) or (H, W, C), asked for the pictures shown only.
    heatmaps : callable, optional
        heatmaps(name) -> (C, H, W) in [0, 1], or None if there is none.
    """
    if [row["name"] for row in metrics["images"]] != [result.name for result in results]:
        raise InputError("metrics and results name different images. Score these results again.")
    matches = [
        match_classes(r.true, r.true_labels, r.found, r.found_labels, radius=metrics["radius"])
        for r in results
    ]
    cases = sorted(
        zip(metrics["images"], results, matches, strict=True),
        key=lambda case: (-case[0]["fp"] - case[0]["fn"], case[0]["name"]),
    )
    body = [
        _headline(metrics),
        _charts(results, metrics, matches),
        _class_table(metrics),
        _confusion_table(metrics),
        _count_table(metrics),
        _corrected_table(metrics),
        _pictures(cases, images, heatmaps),
        _image_table([row for row, _, _ in cases]),
    ]
    write_atomic(path, HEAD + "\n".join(body) + "</main></body></html>\n")
    return Path(path)


def escape(text):
    """Return text for HTML, with what would turn it round spelt out."""
    return html.escape(spell_out(text))


def _headline(metrics):
    pooled = metrics["pooled"]
    tiles = [
        ("F1", pooled["f1"], f"at {describe_radius(metrics['radius'])}"),
        ("precision", pooled["precision"], "of the found points are true"),
        ("recall", pooled["recall"], "of the true points are found"),
        ("count error", metrics["counts"]["mae"], "points an image (MAE)"),
        ("distance", pooled["error_px"], "px, mean over hits"),
    ]
    cards = (f"<div><span>{a}</span><b>{_number(b)}</b><span>{c}</span></div>" for a, b, c in tiles)
    true, found = pooled["tp"] + pooled["fn"], pooled["tp"] + pooled["fp"]
    return (
        f"<h1>True points and found points</h1><p>{metrics['n_images']} images, {true} true "
        f'points, {found} found.</p><div class="tiles">{"".join(cards)}</div>'
        f'<p class="note">Matching: {escape(metrics["rule"])}.</p>'
    )


def _charts(results, metrics, matches):
    radius, curve = metrics["radius"], metrics.get("curve")
    steps = precision_recall_curve(results, radius=radius)
    if curve:
        steps = [np.array(curve[key], float) for key in ("thresholds", "precision", "recall")]
    at = metrics["pooled"]["precision"], metrics["pooled"]["recall"]
    charts = [_chart("Precision and recall", partial(plots.plot_pr_curve, *steps[1:], at=at))]
    if len(np.unique(steps[0])) > 1:
        used = list(metrics.get("thresholds", {}).values())
        mark = used[0] if len(used) == 1 else None
        charts.append(_chart("F1 by threshold", partial(plots.plot_f1_curve, *steps, at=mark)))
    counts = [[row[key] for row in metrics["images"]] for key in ("true", "found")]
    charts.append(_chart("Counts, a dot an image", partial(plots.plot_counts, *counts)))
    far = np.concatenate([[], *(match.distances for match in matches)])
    charts.append(
        _chart("Distances", partial(plots.plot_distances, far, radius=widest_radius(radius)))
    )
    return f'<h2>Curves</h2><div class="charts">{"".join(charts)}</div>'


def _class_table(metrics):
    rows = dict(metrics["classes"])
    if len(rows) > 1:
        rows["all, class by class"] = metrics["pooled"]
        rows["all, classes ignored"] = metrics["class_blind"]
    header = "class,true,found,hits,missed,false positives,precision,recall,F1"
    header += ",average precision,distance px"
    keys = ("tp", "fn", "fp", "precision", "recall", "f1", "average_precision", "error_px")
    cells = [
        [name, m["tp"] + m["fn"], m["tp"] + m["fp"], *(m[key] for key in keys)]
        for name, m in rows.items()
    ]
    return f"<h2>Classes</h2>{_table(header, cells)}"


def _confusion_table(metrics):
    table = metrics["confusion"]
    if len(table) < 2:
        return ""
    # a comma separates the columns' names
    header = ",".join(["true"] + ["found: " + name.replace(",", ";") for name in table])
    cells = [[true, *row.values()] for true, row in table.items()]
    return (
        f"<h2>Which class for which</h2>{_table(header, cells)}"
        '<p class="note">Of the objects found, whatever their class.</p>'
    )


def _count_table(metrics):
    counts = [metrics["counts"][key] for key in ("mae", "rmse", "nae", "game1", "game2")]
    row = [metrics["n_images"], *counts, metrics["chamfer_px"], metrics["per_image_mean_f1"]]
    header = "images,MAE,RMSE,NAE,GAME 1,GAME 2,Chamfer px,mean F1 of images"
    return (
        f"<h2>Counts and averages</h2>{_table(header, [row])}"
        f'<p class="note">The mean F1 is over {metrics["n_f1_images"]} images: one with no true '
        "and no found point is perfect, but has no F1.</p>"
    )


def _corrected_table(metrics):
    if "corrected" not in metrics:  # points of another program
        return ""
    if not metrics["corrected"]:
        return (
            f'<p class="note">Counts are not corrected: that takes {ENOUGH} validation images and '
            "the thresholds chosen in training.</p>"
        )
    keys = ("rule", "n_learnt_from", "mae_found", "mae")
    rows = metrics["corrected"].items()
    cells = [[name, *(row[key] for key in keys), f"{row['inside']:.0%}"] for name, row in rows]
    header = "class,correction,validation images,MAE as found,MAE corrected,inside the interval"
    return (
        f"<h2>Corrected counts</h2>{_table(header, cells)}"
        f'<p class="note">Learnt from the validation images, at the thresholds chosen there. The '
        f"interval should hold the true count of {COVERAGE:.0%} of images like them.</p>"
    )


def _pictures(cases, images, heatmaps):
    shown = cases[:MAX_PICTURES]
    limit = PICTURE_BYTES // (2 * len(shown) or 1)
    figures = "".join(_case(case, images, heatmaps, limit) for case in shown)
    ramp = '<span>heatmap, highest of all classes: 0 <i class="ramp"></i> 1</span>'
    legend = "".join(
        f'<span><svg width="22" height="22" fill="none"><path d="{outline}" stroke="#000" '
        f'stroke-width="4.4"/><path d="{outline}" stroke="{plots.ERROR_MARKS[kind][1]}" '
        f'stroke-width="2.2"/></svg>{text}</span>'
        for kind, (outline, text) in MARKS.items()
    )
    return (
        f"<h2>Images, worst first</h2><p>{len(shown)} of {len(cases)} images, those with the most "
        'misses and false positives first; the table below has all of them.</p><div class="legend">'
        f"{legend}{ramp if heatmaps else ''}</div>"
        f'<div class="cases{"" if heatmaps else " narrow"}">{figures}</div>'
    )


def _case(case, images, heatmaps, limit):
    """Return the figure of one image: errors, heatmap, numbers."""
    row, result, match = case
    name, image = escape(row["name"]), images(row["name"])
    false_positives = plural(row["fp"], "false positive")
    text = f"{plural(row['tp'], 'hit')}, {row['fn']} missed, {false_positives}"
    draw = partial(plots.show_errors, image, result.true, result.found, match)
    shown = _picture(draw, result.shape, limit, f"{name} with {text}")
    heat = heatmaps(row["name"]) if heatmaps else None
    if heat is not None:
        draw = partial(plots.show_heatmap, np.max(heat, axis=0))
        shown += _picture(draw, result.shape, limit, f"heatmap of {name}")
    return (
        f'<figure><div class="pair">{shown}</div><figcaption><b>{name}</b> '
        f"{row['true']} true, {row['found']} found: {text}. F1 {_number(row['f1'])}, "
        f"distance {_number(row['error_px'])} px.</figcaption></figure>"
    )


def _image_table(rows):
    header = "image,true,found,count error,hits,missed,false positives,F1,distance px"
    cells = [
        [row["name"], row["true"], row["found"], f"{row['found'] - row['true']:+d}"]
        + [row[key] for key in ("tp", "fn", "fp", "f1", "error_px")]
        for row in rows
    ]
    return f"<h2>All images</h2>{_table(header, cells)}"


def _chart(title, draw):
    figure = Figure(figsize=(3.6, 3.3), layout="constrained", facecolor="white")
    draw(figure.add_subplot())
    source = _source(figure, "png", dpi=170)
    picture = f'<img alt="{title}" src="{source}">'
    return f'<figure class="chart"><figcaption>{title}</figcaption>{picture}</figure>'


def _picture(draw, shape, limit, alt):
    """Return an img tag of at most about `limit` bytes; `alt` is escaped already."""
    for side in SIDES:
        ax = draw(plots.picture_axes(shape, side))
        if ax.get_legend():  # the page has one for all
            ax.get_legend().remove()
        source = _source(ax.figure, "jpeg", pil_kwargs={"quality": 85, "subsampling": 0})
        if len(source) * 3 / 4 <= limit:
            break
    return f'<img alt="{alt}" src="{source}">'


def _source(figure, kind, **options):
    data = plots.encode_figure(figure, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _table(header, rows):
    """Return an html table: `header` with commas, floats with two decimals, every cell escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header.split(","))
    lines = ("".join(f"<td>{escape(_number(cell))}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return f'<div class="table"><table><tr>{head}</tr>\n{body}</table></div>'


def _number(value):
    """Return a float with two decimals, a dash for NaN, anything else as it is."""
    if not isinstance(value, float):
        return str(value)
    return "\u2013" if np.isnan(value) else f"{value:.2f}"
