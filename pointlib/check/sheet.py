"""Sheet: a report of `check_folder` as text, as JSON and as one picture.

About showing a check.folder.Report. Not about finding what is wrong (folder.py).
"""

import json
from collections import Counter
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pointlib.check.folder import Report
from pointlib.check.survey import DOUBLED
from pointlib.dataset import read_started
from pointlib.errors import InputError, plural, spell_out
from pointlib.files import json_safe, write_kept
from pointlib.images import image_folder, read_image
from pointlib.matching import describe_radius, widest_radius
from pointlib.plots import (
    BLUE,
    INK,
    RED,
    class_look,
    encode_figure,
    legend_text,
    plot_sizes,
    show_image,
    show_points,
    show_sizes,
)
from pointlib.points import nearest_distances
from pointlib.sizes import describe_size
from pointlib.windows import is_cut, read_part

SHOWN = 5  # files named for each kind of finding
PICTURES, ACROSS = 12, 4  # thumbnails in total, and per row
TOP = 1  # y of titles: a fixed one saves matplotlib a search for ticks, a third of the time
CIRCLED, PART, SMALLEST = 3, 14, 96  # images with circles; shown of each: objects, least px
SIDE = 700  # px: an image is reduced to about this before it is drawn
LARGE = 2048  # px: of a picture that training cuts into pieces, so much is shown
OUTLINE = "#ffd400"  # colour of regions
SHARES = (5, 25, 50, 75, 95)  # percentiles of the distances
PROBLEM, NOTE = "#b3261e", "#8a5a00"  # colours of titles on white


def summary(report):
    """Return a report as a dict for JSON: counts, sizes, spacing, ceilings, every finding."""
    images, classes = report.images, report.classes
    readable = [seen.header for seen in images if seen.header]
    states = Counter(seen.state if seen.header else "unreadable" for seen in images)
    near = report.distances
    return {
        "folder": str(report.folder),
        "n_images": len(images),
        "n_unreadable": states["unreadable"],
        "n_decoded": sum(seen.decoded for seen in images),
        "n_labelled": states["labelled"],
        "n_empty": states["empty"],
        "n_unlabelled": states["unlabelled"],
        "n_started": _n_started(report),
        "n_points": sum(classes.values()),
        "n_with_regions": sum(bool(seen.regions) for seen in images),
        "n_outside": sum(seen.n_outside for seen in images),
        "labelled_share": _labelled_share(images),
        "classes": classes,
        "sizes": _counted(f"{header.shape[1]} x {header.shape[0]}" for header in readable),
        "depths": _counted(header.dtype.name for header in readable),
        "channels": _counted(header.n_channels for header in readable),
        "nearest": dict(zip(SHARES, np.percentile(near, SHARES), strict=True)) if len(near) else {},
        "sigma": report.sigma,
        "radius": report.radius,
        "diameters": report.size.diameter if report.size else {},
        "n_windows": report.n_windows,
        "ceilings": [
            {"sigma": s, "min_distance": d, **best._asdict()} for s, d, best in report.ceilings
        ],
        "findings": [finding._asdict() for finding in report.findings],
    }


def describe_check(report: Report) -> str:
    """Return a report as text: problems, notes, contents, and what training would choose.

    Parameters
    ----------
    report : Report
        From `check_folder`.

    Examples
    --------
    >>> from pointlib import check_folder, describe_check, draw_cells, write_image
    >>> write_image("cells/a.png", draw_cells((40, 60), n=5).image)
    >>> print(describe_check(check_folder("cells")).splitlines()[0])
    PROBLEM: nothing labelled (1)
    """
    facts = summary(report)
    blocks = [*_listed(report), _counts(facts)]
    blocks.append(_spacing(facts, report.size))
    if report.ceilings:
        blocks.append(_ceilings(report))
    blocks.append(_closing(report))
    return _printable("\n\n".join(filter(None, blocks)))


def write_sheet(report, output):
    """Write `check.json` and `check.png` into a folder; existing ones are kept as copies."""
    text = json.dumps(json_safe(summary(report)), indent=2) + "\n"
    write_kept(Path(output) / "check.json", text)
    write_kept(Path(output) / "check.png", draw_sheet(report))


def draw_sheet(report):
    """Return a PNG, bytes: distributions, then the most informative images with their points."""
    chosen, classes = _telling(report), list(report.classes)
    shapes = [seen.header.shape for seen, _, _ in chosen] or [(1, 1)]
    high = 3.4 * np.clip(np.median([height / width for height, width in shapes]), 0.4, 1.5) + 0.7
    heights = [4, 4.5 if report.size else 0.1, high * -(-max(1, len(chosen)) // ACROSS)]  # inches
    figure = Figure(figsize=(14, sum(heights) + 0.4), dpi=100, layout="constrained")
    figure.suptitle(_printable(f"{report.folder}: {_closing(report)}"), parse_math=False)
    charts, circles, pictures = figure.subfigures(3, 1, height_ratios=heights)
    if report.size:
        _draw_circles(report, circles)
    for plot, ax in zip(CHARTS, charts.subplots(1, len(CHARTS)), strict=True):
        plot(report, ax)
    axes = pictures.subplots(-(-max(1, len(chosen)) // ACROSS), ACROSS, squeeze=False)
    for one, ax in zip_longest(chosen, axes.ravel()):
        _thumbnail(one, classes, ax)
    if len(classes) > 1:
        pictures.legend(handles=_legend(classes), loc="outside lower center", ncols=8)
    return encode_figure(figure, pil_kwargs={"compress_level": 3})


def _draw_circles(report, figure):
    """Show a part of three images with circles as wide as their objects look."""
    words = _printable(describe_size(report.size, report.radius))
    figure.suptitle(words, fontsize=11, parse_math=False)
    some = [seen for seen in report.images if seen.usable and len(seen.points)]
    chosen = [some[i] for i in np.unique(np.linspace(0, len(some) - 1, CIRCLED).astype(int))]
    for seen, ax in zip_longest(chosen, figure.subplots(1, CIRCLED)):
        ax.set_axis_off()
        if seen is not None:
            with suppress(InputError):  # unreadable: told elsewhere
                _circled(*_around(seen), report, ax)


def _around(seen):
    """Return Seen and the pixels of an image; of a large one only of a part around a point."""
    if not is_cut(seen.path, seen.header):
        return seen, read_image(seen.path)
    size = np.array(seen.header.shape[::-1])
    middle = seen.points[len(seen.points) // 2] if len(seen.points) else size / 2
    start = np.clip(middle - LARGE / 2, 0, np.maximum(size - LARGE, 0)).astype(int)
    stop = np.minimum(start + LARGE, size)
    inside = ((seen.points > start) & (seen.points < stop - 1)).all(axis=1)
    own = {"points": seen.points[inside] - start, "labels": seen.labels[inside]}
    own["regions"] = seen.regions and seen.regions.moved(-start)
    return seen._replace(**own), read_part(seen.path, (*start.tolist(), *stop.tolist()))


def _circled(seen, image, report, ax):
    """Show the part of an image around one of its points, with circles."""
    widest = np.nanmax([*report.size.diameter.values(), 0.0])
    side = int(np.clip(PART * widest, SMALLEST, max(image.shape[:2])))
    middle, room = seen.points[len(seen.points) // 2], np.array(image.shape[1::-1]) - side
    corner = np.clip(middle - side / 2, 0, np.maximum(room, 0)).astype(int)
    left, top = corner.tolist()
    part = image[top : top + side, left : left + side]
    inside = ((seen.points > corner) & (seen.points < corner + side)).all(axis=1)
    labels = np.where(seen.labels == "", "point", seen.labels)[inside]
    points, classes = seen.points[inside] - corner, list(report.classes)
    show_sizes(points, report.size, show_image(part, ax), labels=labels, classes=classes)
    height, width = part.shape[:2]
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    ax.set_title(_printable(_short(seen.name)), fontsize=10, parse_math=False, y=TOP)


def _closing(report):
    """Return the numbers of kinds of problem and of note, in words."""
    n_notes = len({f.kind for f in report.findings if f.severity == "note"})
    return f"{plural(report.n_problems, 'problem', ',')}, {plural(n_notes, 'note', ',')}"


def _listed(report):
    """Return the findings as blocks of text, one per kind, shortened."""
    groups = {}
    for finding in report.findings:
        groups.setdefault((finding.severity, finding.kind), []).append(finding)
    blocks = []
    for (severity, kind), findings in groups.items():
        lines = [spell_out(_sentence(finding, report.folder)) for finding in findings[:SHOWN]]
        if len(findings) > SHOWN:
            lines.append(f"... and {len(findings) - SHOWN:,} more; all in check.json")
        if not any(finding.text for finding in findings):
            lines = [", ".join(lines).replace(", ...", " ...")]
        head = f"{severity.upper() if severity == 'problem' else severity}: {kind}"
        blocks.append("\n    ".join([f"{head} ({len(findings):,})", *lines]))
    return blocks


def _sentence(finding, folder):
    """Return a finding as one line, without the common folder."""
    text = finding.text.replace(f"{folder}/", "")
    place = finding.file + (f", line {finding.line}" if finding.line else "")
    if not finding.file or text.startswith(finding.file):
        return text
    return f"{place}: {text}" if text else place


def _counts(facts):
    """Return what the folder contains, one line per subject."""
    classes = {name: f"{n:,}" for name, n in facts["classes"].items()}
    rows = {
        "folder": facts["folder"],
        "images": "{n_images:,}: {n_labelled:,} labelled, {n_empty:,} with nothing there, "
        "{n_unlabelled:,} not labelled yet, {n_unreadable:,} unreadable (image or text)".format(
            **facts
        ),
        "points": f"{facts['n_points']:,}" + (f": {_said(classes)}" if len(classes) > 1 else ""),
        "sizes": _said(facts["sizes"]),
        "depths": _said(facts["depths"]),
        "channels": _said(facts["channels"]),
        "labelled": _regions_said(facts),
        "started": _started_said(facts),
        "pixels": "of {n_decoded:,} of {n_images:,} images decoded".format(**facts),
    }
    if facts["n_decoded"] < sum(facts["sizes"].values()):
        rows["pixels"] += "; of the others only the header is read (--pixels reads all)"
    return "\n".join(f"{name:<10}{row}" for name, row in rows.items() if row)


def _regions_said(facts):
    """Return how much of the labelled images lies in regions, "" where no image has any."""
    if not facts["n_with_regions"]:
        return ""
    share = f"{facts['labelled_share']:.1%} of the pixels of the labelled images"
    outside = f"; {facts['n_outside']:,} points outside" if facts["n_outside"] else ""
    return f"{share}, by the regions of {facts['n_with_regions']:,}{outside}"


def _n_started(report):
    """Return how many labelled images are started in the annotator, and not marked done."""
    started = read_started(image_folder(report.folder))
    return sum(seen.state == "labelled" and seen.name in started for seen in report.images)


def _started_said(facts):
    """Return how many images are started and not done, "" where none is."""
    n = facts["n_started"]
    what = "in the annotator and not marked done: what is not clicked there counts as nothing"
    return f"{plural(n, 'image')} {what}" if n else ""


def _labelled_share(images):
    """Return the share of the labelled images' pixels that is labelled; None without images."""
    shapes = [(seen.header.shape, seen.regions) for seen in images if seen.usable]
    areas = [np.prod(regions.labelled_shape(s) if regions else s) for s, regions in shapes]
    return float(np.sum(areas) / np.sum([np.prod(s) for s, _ in shapes])) if shapes else None


def _spacing(facts, size):
    """Return sizes, distances between neighbours, and what training would choose, as text."""
    shares = "  ".join(f"{share}%: {value:.1f}" for share, value in facts["nearest"].items())
    lines = [f"nearest neighbour of the same class, px   {shares}"] if shares else []
    if size:
        lines.append(describe_size(size, facts["radius"]))
    if facts["ceilings"]:
        sigma, radius = f"{facts['sigma']:g} px", describe_radius(facts["radius"])
        lines.append(f"training would choose sigma {sigma}; match radius {radius}")
    return "\n".join(lines)


def _ceilings(report):
    """Return the table of what a perfect network could reach."""
    n_points = report.ceilings[0][2].n_true
    distances = list(dict.fromkeys(d for _, d, _ in report.ceilings))
    sample = f"{n_points:,} points in {plural(report.n_windows, 'window', ',')}"
    heads = "".join(f"{f'{d:g} px':>14}" for d in distances)
    lines = [
        f"ceiling: F1 and error (px) of a perfect network, on {sample}",
        f"    sigma   minimum distance{heads}",
    ]
    for sigma in dict.fromkeys(s for s, _, _ in report.ceilings):
        of_row = [best for s, _, best in report.ceilings if s == sigma]
        cells = "".join(f"{best.f1:>8.3f} {best.error_px:5.2f}" for best in of_row)
        lines.append(f"{sigma:>9g}{'':19}{cells}{'  <-' if sigma == report.sigma else ''}")
    return "\n".join(lines)


def _telling(report):
    """Return (Seen, kind, colour) of images: flagged ones, each kind in turn, then others."""
    by_name = {name: seen for seen in report.images for name in _names(seen)}
    queues = {}
    for f in report.findings:
        if f.file in by_name and by_name[f.file].header:
            queues.setdefault((f.severity, f.kind), []).append(by_name[f.file])
    chosen, rank = {}, 0
    while len(chosen) < PICTURES - ACROSS and any(len(queue) > rank for queue in queues.values()):
        for (severity, kind), queue in queues.items():
            if rank < len(queue) and len(chosen) < PICTURES - ACROSS:
                color = PROBLEM if severity == "problem" else NOTE
                chosen.setdefault(queue[rank].path, (queue[rank], kind, color))
        rank += 1
    flagged = {f.file for f in report.findings}
    plain = [s for s in report.images if s.state == "labelled" and flagged.isdisjoint(_names(s))]
    plain = sorted(plain, key=lambda seen: len(seen.points))
    n = PICTURES - len(chosen)
    for i in np.unique(np.linspace(0, len(plain) - 1, min(n, len(plain))).astype(int)):
        chosen.setdefault(plain[i].path, (plain[i], "typical", "black"))
    return list(chosen.values())


def _names(seen):
    return {seen.name, seen.text_name}


def _thumbnail(one, classes, ax):
    """Show (Seen, kind, colour): an image with its points, coloured by class; doubled ones red."""
    ax.set_axis_off()
    if one is None:
        return
    seen, kind, color = one
    n_points = f", {plural(len(seen.points), 'point', ',')}" if seen.usable else ""
    title = _printable(f"{kind}\n{_short(seen.name)}{n_points}")
    ax.set_title(title, color=color, fontsize=10, parse_math=False, y=TOP)
    try:
        seen, image = _around(seen)
    except InputError:
        return
    step = max(1, max(image.shape[:2]) // SIDE)
    show_image(image[::step, ::step], ax)
    for rings in seen.regions.areas if seen.regions else ():
        for ring in rings:
            ax.plot(*np.vstack([ring, ring[:1]]).T / step, color=OUTLINE, linewidth=1.5)
    if not seen.usable:
        return
    for k, name in enumerate(classes):
        some = seen.points[np.where(seen.labels == "", "point", seen.labels) == name]
        if len(some):
            marker, color = class_look(k)
            show_points(some / step, ax=ax, marker=marker, color=color)
    if (doubled := nearest_distances(seen.points) < DOUBLED).any():
        show_points(seen.points[doubled] / step, ax=ax, marker="s", color=RED)


def _legend(classes):
    """Return a legend entry for each class of the thumbnails."""
    common = {"linestyle": "", "markersize": 9, "markeredgecolor": "black"}
    marks = []
    for k, name in enumerate(classes):
        marker, color = class_look(k)
        label = legend_text(_printable(name))
        marks.append(Line2D([], [], marker=marker, color=color, label=label, **common))
    return marks


def _plot_near(report, ax):
    """Plot the distances to the nearest neighbour, with sigma and the radius."""
    near = report.distances
    _titled(ax, "nearest neighbour", "px, same class", "points")
    if len(near):
        radius = widest_radius(report.radius)
        top = max(np.percentile(near, 99), 1.1 * radius)
        ax.hist(near, bins=40, range=(0, top), color=BLUE)
    if len(near) and report.ceilings:
        ax.axvline(report.sigma, color=RED, label=f"sigma {report.sigma:g}")
        ax.axvline(radius, color=INK, linestyle="--", label=f"radius {radius:g}")
        ax.legend(fontsize=9, frameon=False)


def _plot_counts(report, ax):
    """Plot the number of points in the labelled images."""
    counts = [len(seen.points) for seen in report.images if seen.usable]
    _titled(ax, "points per image", "points", "images")
    if counts:
        bins = np.linspace(0, max(counts) + 1, min(max(counts) + 1, 30) + 1)
        ax.hist(counts, bins=bins, color=BLUE)


def _plot_sizes(report, ax):
    """Plot width against height, a dot per size; its area is the number of images."""
    sizes = Counter(seen.header.shape[::-1] for seen in report.images if seen.header)
    _titled(ax, "sizes", "width, px", "height, px")
    if sizes:
        most = max(sizes.values())
        area = [30 + 300 * n / most for n in sizes.values()]
        ax.scatter(*np.transpose(list(sizes)), s=area, color=INK, alpha=0.5, linewidths=0)
        ax.set(xlim=(0, 1.15 * max(w for w, _ in sizes)), ylim=(0, 1.15 * max(h for _, h in sizes)))


def _plot_ceilings(report, ax):
    """Plot the F1 of a perfect network against sigma, a line per minimum distance."""
    _titled(ax, "ceiling", "sigma, px", "F1 of a perfect network")
    for k, distance in enumerate(dict.fromkeys(d for _, d, _ in report.ceilings)):
        line = [(s, best.f1) for s, d, best in report.ceilings if d == distance]
        label = f"minimum distance {distance:g} px"
        look = {"marker": "osv"[k], "color": (INK, BLUE, RED)[k], "markersize": 9 - 3 * k}
        ax.plot(*np.transpose(line), label=label, **look)
    if report.ceilings:
        ax.set_ylim(min(0.9, min(best.f1 for *_, best in report.ceilings) - 0.03), 1.01)
        ax.legend(fontsize=9, frameon=False, loc="lower left")


def _plot_objects(report, ax):
    """Plot how much the clicked objects stand out at each diameter."""
    _titled(ax, "size of objects", "", "")
    if report.size:
        plot_sizes(report.size, ax)


CHARTS = (_plot_near, _plot_objects, _plot_counts, _plot_sizes, _plot_ceilings)


def _titled(ax, title, x, y):
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(title, fontsize=11, loc="left", y=TOP)
    ax.set(xlabel=x, ylabel=y)


def _counted(values):
    """Return {value: count} with string keys, most common first."""
    return {str(value): n for value, n in Counter(values).most_common()}


def _said(counts):
    """Return counts in one line: the only value alone, else the five most common."""
    if len(counts) == 1:
        return next(iter(counts))
    more = f" and {len(counts) - SHOWN} others" if len(counts) > SHOWN else ""
    return ", ".join(f"{value} ({n})" for value, n in list(counts.items())[:SHOWN]) + more


def _short(name):
    return name if len(name) < 30 else f"{name[:14]}...{name[-12:]}"


def _printable(text):
    """Return text that any terminal can print: file names may hold bytes that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
