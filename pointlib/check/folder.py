"""Check a dataset folder: what is in it and what is wrong with it, before training.

All findings are collected, while training stops at the first error. A *problem* makes training fail
or go wrong; a *note* is worth knowing. Nothing in the folder is written or changed. Not about the
contents of single files (survey.py), nor about how findings are shown (sheet.py).
From the command line: ``pointlib check FOLDER``.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pointlib.check.survey import (
    DOUBLED,
    Finding,
    copies,
    file_findings,
    not_looked_at,
    survey,
)
from pointlib.dataset import n_colours, open_items, sample_indices, too_many_classes
from pointlib.errors import InputError
from pointlib.files import need_folder
from pointlib.heatmaps import auto_sigma
from pointlib.images import (
    IMAGE_SUFFIXES,
    image_folder,
    list_files,
    read_image,
    relative_name,
)
from pointlib.matching import check_reach
from pointlib.points import nearest_distances, text_path
from pointlib.sizes import SizeEstimate, looked_at, match_radius, object_size, usual_radius
from pointlib.splits import (
    GROUPS,
    LISTS,
    divide,
    find_lists,
    place_cut,
    read_groups,
    read_list,
    stray_list,
    why_stray,
    with_pieces,
)
from pointlib.study.ceiling import ceiling
from pointlib.windows import is_cut

UNEVEN = 4  # ratio of image sizes above which they get a note
CROWDED = 10  # times the median number of points gets a note
TYPO = 50  # times: how much more common a label must be for a rare one to be its misspelling
RARE = 0.01  # of the most common class's points: a class with fewer is rare
WINDOW, WINDOWS = 384, 12  # px, and number of windows that the ceiling is measured on
SIGMAS = (0.5, 1.0, 1.5, 2.0)  # times the chosen sigma


class Report(NamedTuple):
    """What `check_folder` found."""

    folder: Path  # of the images
    images: list  # of survey.Seen, by name
    findings: list  # of Finding: problems first, grouped by kind
    distances: np.ndarray  # to the nearest neighbour of the same class, px, sorted
    sigma: float  # that training would choose, px; NaN without points
    radius: float | dict  # match radius, px: of all classes, or {class: px}
    size: SizeEstimate | None  # how wide objects look; None without points
    ceilings: list  # of (sigma, minimum distance, ceiling.Ceiling)
    n_windows: int  # that the ceilings are measured on

    @property
    def n_problems(self):
        """The number of kinds of problem."""
        return len({f.kind for f in self.findings if f.severity == "problem"})

    @property
    def classes(self):
        """{class: number of points} in the usable images, sorted."""
        used = (seen.labels.tolist() for seen in self.images if seen.usable)
        return dict(sorted(Counter(name or "point" for names in used for name in names).items()))


def check_folder(
    folder: str | Path,
    *,
    radius: float | None = None,
    every_pixel: bool = False,
    on_image: Callable[[str, int, int], object] | None = None,
) -> Report:
    """Check a dataset folder.

    Parameters
    ----------
    folder : str or Path
        Images with their text files, or a folder with these in `images/`.
    radius : float, optional
        Match radius, pixels. Default: that of training, half of how wide the objects look.
    every_pixel : bool
        Decode every image. Otherwise a sample, and all that seem truncated; of the rest the header.
    on_image : callable, optional
        Called with (name, number done, number of all) after each image.

    Returns
    -------
    Report

    Examples
    --------
    >>> from pointlib import check_folder, draw_cells, text_path, write_image, write_points
    >>> for name in ("a.png", "b.png"):
    ...     scene, path = draw_cells((40, 60), n=5), f"cells/{name}"
    ...     write_image(path, scene.image)
    ...     write_points(text_path(path), scene.points, (40, 60))
    >>> report = check_folder("cells")
    >>> report.n_problems, report.classes
    (0, {'point': 10})
    >>> report.findings[0].kind, report.findings[0].text
    ('copy of another image', 'b.png is identical to a.png.')
    """
    folder = need_folder(folder, "dataset folder")
    place = image_folder(folder)
    paths, texts = (list_files(place, suffixes) for suffixes in (IMAGE_SUFFIXES, (".txt",)))
    images = survey(paths, folder=place, every_pixel=every_pixel, on_image=on_image)
    if radius:
        check_reach(radius, [seen.header.shape for seen in images if seen.header])
    lists, findings = _read_lists(folder, {seen.name: seen for seen in images})
    texts = {path: relative_name(path, place) for path in texts if path.name not in LISTS}
    files = file_findings(images, texts)
    if stray := stray_list(folder, {seen.name for seen in images}):
        findings.append(
            Finding("list that is not read", "problem", stray.name, f"it {why_stray(stray)}")
        )
    findings = [*files, *_classes(images), *_kinds(images), *findings]
    near = [_near(seen) for seen in images]
    findings += [*_copies(images, lists), *_lacking(images, lists), *_points(images, near)]
    findings += [*not_looked_at(folder, place, LISTS)]
    findings.sort(key=lambda finding: finding.severity != "problem")
    near = np.sort(np.concatenate([np.empty(0), *near]))
    near = near[np.isfinite(near)]
    return Report(
        place, images, findings, near, *_outlook(*_training(images, lists, folder), radius)
    )


def _points(images, near):
    """Yield points on top of each other, and images with far more points than usual."""
    usual = np.median([len(seen.points) for seen in images if len(seen.points)] or [0])
    for seen, distances in zip(images, near, strict=True):
        n, name = len(seen.points), seen.name
        if n > max(50, CROWDED * usual):
            what = f"{n:,} points; the median is {usual:g}."
            yield Finding("far more points than usual", "note", name, what)
        same = distances < DOUBLED
        mixed = seen.usable and len(np.unique(seen.labels)) > 1
        other = (nearest_distances(seen.points) < DOUBLED) & ~same if mixed else ~same & same
        for kind, some in (("doubled point", same), ("place with two classes", other)):
            if some.any():
                x, y = seen.points[some][0]
                close = f"{some.sum()} points within {DOUBLED} px of another"
                what = f"{close}, as at {x:.1f}, {y:.1f}."
                yield Finding(kind, "note", text_path(name).name, what)


def _classes(images):
    """Yield labels that are missing, misspelt or rare."""
    used = [seen for seen in images if seen.usable and len(seen.points)]
    named = [seen for seen in used if seen.labels[0]]
    if 0 < len(named) < len(used):
        fewer = 2 * len(named) < len(used)
        for seen in named if fewer else [seen for seen in used if not seen.labels[0]]:
            what = (
                f"its points have {'a' if fewer else 'no'} class, unlike most. Label all, or none."
            )
            yield Finding("points with and without a class", "problem", seen.name, what)
    counts, first, folded = Counter(), {}, {}
    for seen in named:
        counts.update(seen.labels.tolist())
        first = dict.fromkeys(seen.labels.tolist(), seen.text_name) | first
    if words := too_many_classes(counts, counts.total()):
        yield Finding("labels that are not classes", "problem", first[min(counts)], words)
        return
    for label, n in counts.most_common():
        others = [name for name, m in counts.most_common(99) if m >= max(TYPO * n, 10)]
        twin = folded.setdefault(label.casefold(), label)
        near = [twin] if twin != label else get_close_matches(label, others, n=1, cutoff=0.8)
        if near:
            what = f"{label!r}, {n} times; did you mean {near[0]!r}, {counts[near[0]]:,} times?"
            yield Finding("label like another", "note", first[label], what)
        elif n < RARE * max(counts.values()):
            what = f"{label!r} has {n} of {counts.total():,} points: hard to learn."
            yield Finding("rare class", "note", first[label], what)


def _kinds(images):
    """Yield images whose depth, channels or size differ from the rest."""
    readable = [seen for seen in images if seen.header]
    used = [seen for seen in readable if seen.usable] or readable
    for kind, what_of in (("depth", _depth), ("channels", _channels)):
        usual = Counter(map(what_of, used)).most_common(1)
        for seen in readable:
            if (value := what_of(seen)) == usual[0][0]:
                continue
            fits = kind == "channels" and {value, usual[0][0]} <= {1, 3}
            severity = "problem" if seen.usable and not fits else "note"
            what = f"{value}; most have {usual[0][0]}." + ("" if fits else " Convert them.")
            yield Finding(f"other {kind}", severity, seen.name, what)
    by_side = sorted(readable, key=lambda seen: max(seen.header.shape))
    if readable and max(by_side[-1].header.shape) > UNEVEN * max(by_side[0].header.shape):
        for seen, word in ((by_side[0], "smallest"), (by_side[-1], "largest")):
            height, width = seen.header.shape
            what = f"the {word}: {width} x {height}. Objects should be about the same size in all."
            yield Finding("sizes far apart", "note", seen.name, what)


def _depth(seen):
    return seen.header.dtype.name


def _channels(seen):
    return n_colours(np.empty((0, 0, seen.header.n_channels)))


def _read_lists(folder, images):
    """Return {part: names} of train.txt, val.txt and test.txt, and the findings about them."""
    lists, findings = {}, []
    for part, path in find_lists(folder, [seen.path for seen in images.values()]).items():
        try:
            lists[part] = read_list(path)
        except (InputError, OSError) as error:
            findings.append(Finding("unreadable list", "problem", path.name, str(error)))
    try:
        read_groups(folder, [])
    except (InputError, OSError) as error:
        findings.append(Finding("unreadable list", "problem", GROUPS, str(error)))
    for part, names in lists.items():
        for name in names:
            seen = images.get(name)
            if seen is None or seen.state == "unlabelled":
                what = f"{name} has no text file." if seen else f"{name} is not in the folder."
                finding = Finding("listed, but not there", "problem", f"{part}.txt", what)
                findings.append(finding)
    for one, other in combinations(lists, 2):
        for name in sorted(set(lists[one]) & set(lists[other])):
            what = f"in {one}.txt and in {other}.txt. Remove it from one."
            findings.append(Finding("image in two lists", "problem", name, what))
    return lists, findings


def _copies(images, lists):
    """Yield images that are identical files; in two lists they make the score too good."""
    parts = {name: f"{part}.txt" for part, names in lists.items() for name in names}
    names = {seen.path: seen.name for seen in images}
    for group in copies([seen.path for seen in images if seen.header]):
        first, *others = (names[path] for path in group)
        listed = sorted({parts[names[path]] for path in group if names[path] in parts})
        severity = "problem" if len(listed) > 1 else "note"
        lies = f": they are in {' and '.join(listed)}" if len(listed) > 1 else ""
        for name in others:
            what = f"{name} is identical to {first}{lies}."
            yield Finding("copy of another image", severity, name, what)


def _lacking(images, lists):
    """Yield lists without any point of a class that has ten or more."""
    used = {seen.name: seen.labels.tolist() for seen in images if seen.usable}
    counts = Counter(label for labels in used.values() for label in labels)
    for part, names in lists.items():
        have = {label for name in names for label in used.get(name, ())}
        missing = sorted(name for name, n in counts.items() if n >= 10 and name not in have)
        if any(missing):
            what = f"no point of class {', '.join(missing)}"
            yield Finding("list without a class", "note", f"{part}.txt", what)


def _training(images, lists, folder):
    """Return the images that training would use, as `load_splits` chooses them, and is_halved.

    `is_halved` is whether each is cut in two, and the longer part trains.
    """
    used = {name: part for seen in images if seen.usable for name, part in _parts(seen)}
    lists = {part: with_pieces(names, used) for part, names in lists.items()}
    try:
        names, val, _ = divide(list(used), lists, folder)
    except InputError:  # told elsewhere, or nothing can be trained
        return [], False
    chosen = [used[name] for name in names if name in used]
    return (chosen, False) if val else ([_longer_part(seen) for seen in chosen], True)


def _parts(seen):
    """Return (name, Seen) of an image, or of the pieces that training cuts it into."""
    if seen.regions is None and not is_cut(seen.path, seen.header):
        return [(seen.name, seen)]
    try:
        _, items, _ = open_items(seen.path, name=seen.name)
    except InputError:  # told elsewhere
        return []
    parts = []
    for item in items:
        header = seen.header._replace(shape=item.shape)
        own = {"points": item.points, "labels": item.labels, "regions": item.piece.regions}
        parts.append((item.name, seen._replace(header=header, part=item, **own)))
    return parts


def _longer_part(seen):
    """Return the training part of an image cut in two, as `split_by_crops` does."""
    axis, cut = place_cut(seen.header.shape, seen.regions)
    first = seen.points[:, 1 - axis] < cut - 0.5
    return seen._replace(points=seen.points[first], labels=seen.labels[first])


def _near(seen):
    """Return the distance to the nearest point of the same class, (N,) pixels."""
    distances = np.full(len(seen.points), np.inf)
    for name in np.unique(seen.labels) if seen.usable else ():
        some = seen.labels == name
        distances[some] = nearest_distances(seen.points[some])
    return distances


def _outlook(images, is_halved, radius):
    """Return sigma, radius, size, ceilings and the number of windows they are measured on."""
    if not any(len(seen.points) for seen in images):
        return float("nan"), radius or float("nan"), None, [], 0
    sample = [images[i] for i in sample_indices(len(images), images[0].header.shape)]
    of_class = [s.points[s.labels == c] for s in sample for c in np.unique(s.labels)]
    items = [(s, s.points, _named(s.labels)) for s in sample]
    classes = sorted({name for s in images for name in _named(s.labels).tolist()})
    size, from_size = _size(items, is_halved, classes)
    radius = radius or from_size or 2 * auto_sigma(of_class)
    labels = np.concatenate([_named(s.labels) for s in sample])
    sigma = auto_sigma(of_class, radius=usual_radius(radius, labels))
    windows = _windows([seen for seen in images if len(seen.points)])
    return sigma, radius, size, _ceilings(windows, sigma, radius), len(windows)


def _size(items, is_halved, classes):
    """Return SizeEstimate and match radius of (Seen, points, labels); None if none can be read."""
    read = []
    for seen, points, labels in zip(*looked_at(items), strict=True):
        with suppress(InputError):  # told elsewhere
            image = seen.part.read() if seen.part else read_image(seen.path)
            if is_halved:
                axis, cut = place_cut(image.shape, seen.regions)
                image = np.split(image, [cut], axis=axis)[0]
            read.append((image, points, labels))
    if not read:
        return None, None
    images, points, labels = zip(*read, strict=True)
    size = object_size(images, points, labels=labels)
    return size, match_radius(size, points, labels, classes=classes)


def _named(labels):
    """Return labels with the name of the class of points that have none."""
    return np.where(labels == "", "point", labels)


def _windows(images):
    """Return (points, labels, shape) of windows around a point, one in each of some images."""
    windows = []
    for i in np.unique(np.linspace(0, len(images) - 1, WINDOWS).astype(int)):
        seen = images[i]
        size = np.minimum(seen.header.shape[::-1], WINDOW)  # x, y
        middle = seen.points[len(seen.points) // 2]
        corner = np.clip(np.round(middle - size / 2), 0, seen.header.shape[::-1] - size)
        points = seen.points - corner
        inside = ((points >= -0.5) & (points <= size - 0.5)).all(axis=1)
        labels = _named(seen.labels[inside])
        windows.append((points[inside], labels, tuple(size[::-1].tolist())))
    return windows


def _ceilings(windows, sigma, radius):
    """Return (sigma, minimum distance, Ceiling) for sigmas and distances around those chosen."""
    sigmas = [round(float(sigma * times), 2) for times in SIGMAS]
    labels = np.concatenate([labels for _, labels, _ in windows])
    distances = dict.fromkeys((0.0, sigma, usual_radius(radius, labels)))
    return [
        (s, d, ceiling(windows, sigma=s, radius=radius, min_distance=d))
        for s in sigmas
        for d in distances
    ]
