"""Compare: losses, heatmaps, thresholding functions and networks over one split and one seed.

About combinations: which there are, training each once, and resuming after a stop. Not about how
one is scored (judge.py), nor about which is best and by how much (leaderboard.py).
"""

import hashlib
import inspect
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from pointlib.comparison.judge import Predictions, judge, try_out
from pointlib.comparison.leaderboard import (
    label_rows,
    leaderboard_table,
    rank_rows,
    short_name,
    write_leaderboard,
)
from pointlib.config import TrainConfig, explain, find_function, name_function
from pointlib.dataset import Dataset, ImagePointDataset, dataset_classes, names_of
from pointlib.errors import InputError, brief, describe, plural, suggest
from pointlib.files import json_safe, need_place, write_atomic
from pointlib.heatmaps import HEATMAPS
from pointlib.images import image_folder
from pointlib.lock import hold
from pointlib.matching import describe_radius
from pointlib.model.folder import CUSTOM, load_model
from pointlib.splits import read_lists
from pointlib.thresholds import THRESHOLDS
from pointlib.train.loop import fit, load_parts
from pointlib.train.prepare import describe_data, make_fabric, points_of, prepare

SHARED = {
    *("dataset_path", "output", "radius", "diameter", "classes", "num_channels", "val_split"),
    *("seed", "accelerator", "devices", "threads"),
}
NETWORK = ("encoder", "model")  # one axis: a custom model has no encoder


class Combination(NamedTuple):
    """One combination to train; any thresholding function reads its heatmaps."""

    config: TrainConfig
    what: dict  # {axis: value}
    folder: Path
    facts: dict  # limits of minutes and epochs, or None; millions of weights

    @property
    def done(self):
        """Whether its training is complete."""
        needed = ("model/pointlib.json", "model/model.safetensors")
        return bool(_kept(self.folder / "training.json")) and all(
            (self.folder / name).is_file() for name in needed
        )

    def __str__(self):
        return ", ".join(short_name(value) for value in self.what.values())


def compare(
    parts: Mapping[str, Dataset],
    axes: Mapping[str, Sequence],
    *,
    config: TrainConfig | None = None,
    output: str | Path = "comparison",
    log: Callable[[str], object] = print,
) -> list[dict[str, Any]]:
    """Train every combination on the same images and rank them.

    A thresholding function needs no training: each trained model is read with all of them, at the
    threshold and minimum distance that are best on the validation images. What is finished is not
    done again: the same call resumes, and one with more values trains only what is new.

    Parameters
    ----------
    parts : dict of datasets
        ``train``, ``val`` and, if there is one, ``test``. Combinations are ranked by their
        F1 on ``val``; their F1 on ``test`` is shown beside it, not used to choose. See dataset.py.
    axes : dict
        {axis: values}. ``threshold`` (see thresholds.py), and any setting of a training: ``loss``,
        ``heatmap``, ``encoder``, ``model`` (your own, tried beside the encoders),
        ``learning_rate``, ... Functions are given by name, as in config.json, or as functions.
    config : TrainConfig, optional
        What all share; its ``minutes`` are for each, and a stopped training resumes with those
        that are left. The match radius is the same for all.
    output : str or Path
        Folder for ``trials/``, ``leaderboard.csv`` and ``leaderboard.png``. One run at a time: a
        second one is an InputError.
    log : callable
        Called with lines.

    Returns
    -------
    list of dict
        The rows of the leaderboard, best first, as `plot_leaderboard` takes them; see
        `leaderboard.rank_rows`. A combination that failed is a row with a sentence in
        ``failed``, and is tried again the next time.

    Examples
    --------
    >>> from pointlib import MemoryDataset, TrainConfig, compare, draw_cells
    >>> scenes = [draw_cells((40, 60), n=5, seed=i) for i in range(4)]
    >>> dataset = MemoryDataset([(s.image, s.points, s.labels) for s in scenes])
    >>> parts, axes = {"train": dataset, "val": dataset}, {"loss": ["mse", "focal"]}
    >>> lines = []
    >>> rows = compare(parts, axes, config=TrainConfig(num_epochs=1), log=lines.append)
    >>> [row["rank"] for row in rows], sorted(row["what"]["loss"] for row in rows)
    ([1, 2], ['focal', 'mse'])
    """
    axes = check_axes({"threshold": ["find_peaks"], **axes})
    names = map(str, axes.pop("threshold"))
    finds = {name: find_function(name, THRESHOLDS, what="threshold") for name in names}
    for name, find in finds.items():
        try_out(find, name)
    output = need_place(output)
    combinations = plan_combinations(parts, axes, config or TrainConfig(), output)
    if len(combinations) * len(finds) < 2:
        raise InputError(
            "one combination cannot be compared; name two values, as --loss mse,focal."
        )
    with hold(need_place(output / "trials") / "lock", doing=f"compares into {output}") as lock:
        rows = _run_combinations(combinations, parts, finds, lock=lock, log=log)
        rows = label_rows(rank_rows(rows))
        if all(row["failed"] for row in rows):
            raise InputError(f"every combination failed; the first one: {rows[0]['failed']}")
        title = _title(parts, combinations)
        write_leaderboard(output, rows, title=title)
    log(f"\n{title}\n{leaderboard_table(rows)}\n{output / 'leaderboard.png'}")
    log(f"model of the best: {rows[0]['folder'] / 'model'}")
    return rows


def compare_folder(
    config: TrainConfig,
    axes: Mapping[str, Sequence],
    *,
    output: str | Path = "comparison",
    log: Callable[[str], object] = print,
) -> list[dict[str, Any]]:
    """Compare on a dataset folder, split as `train_folder` would split it; see `compare`.

    Examples
    --------
    >>> from pointlib import TrainConfig, compare_folder, draw_cells, text_path, write_image
    >>> from pointlib import write_points
    >>> for i in range(5):
    ...     scene = draw_cells((40, 60), n=5, seed=i)
    ...     write_image(f"cells/{i}.png", scene.image)
    ...     write_points(text_path(f"cells/{i}.png"), scene.points, (40, 60))
    >>> config, lines = TrainConfig(dataset_path="cells", num_epochs=1), []
    >>> axes = {"threshold": ["find_peaks", "basic_threshold"]}
    >>> rows = compare_folder(config, axes, log=lines.append)
    >>> sorted(row["what"]["threshold"] for row in rows)
    ['basic_threshold', 'find_peaks']
    """
    train, val, how = load_parts(config)
    if image_folder(config.dataset_path).resolve() == Path(output).resolve():
        raise InputError(f"{output} has the images, and the leaderboard is one too. Name another.")
    log(how)
    parts = {"train": train, "val": val}
    if names := read_lists(Path(config.dataset_path)).get("test"):
        like = {"classes": train.classes, "n_channels": train.n_channels}
        parts["test"] = ImagePointDataset(config.dataset_path, names=names, **like)
    return compare(parts, axes, config=config, output=output, log=log)


def check_axes(axes):
    """Return {axis: names}: functions by the names they are imported by, each value once."""
    known = [key for key in (*TrainConfig.model_fields, "threshold") if key not in SHARED]
    for axis, values in axes.items():
        if axis not in known:
            raise InputError(f"combinations cannot differ in {axis!r}. {suggest(axis, known)}")
        if not isinstance(values, (list, tuple)) or not values:
            raise InputError(f"{axis} is {values!r}; expected a list of one or more values.")
    named = {axis: list(map(name_function, values)) for axis, values in axes.items()}
    return {axis: list({repr(v): v for v in values}.values()) for axis, values in named.items()}


def plan_combinations(parts, axes, config, output):
    """Return every Combination, each prepared up to its first step and discarded.

    So an error in the last one is found before the first one is trained.
    """
    for part in dict.fromkeys(("train", "val", *parts)):
        if not len(parts.get(part, ())):
            raise InputError(f"the {part} part has no image; expected one or more.")
    info, _ = describe_data(parts["train"], config)
    for part, dataset in parts.items():
        if unknown := sorted(set(dataset_classes(dataset)) - set(info.classes)):
            raise InputError(f"the {part} part has points of class {unknown[0]!r}; train has none.")
        if not _count_points(dataset):
            raise InputError(f"the {part} part has no point; label some, or use other images.")
    # the same for every sigma
    config = config.model_copy(update={"radius": info.radius, "diameter": None})
    encoders = [{"encoder": name, "model": None} for name in axes.get("encoder", ())]
    networks = encoders + [{"model": name} for name in axes.get("model", ())] or [{}]
    others = [[{axis: value} for value in axes[axis]] for axis in axes if axis not in NETWORK]
    combinations = [
        _make_ready(parts, config, {key: one[key] for one in chosen for key in one}, output)
        for chosen in itertools.product(*others, networks)
    ]
    return list({one.folder: one for one in combinations}.values())  # 0.1 and 0.10 are one


def _make_ready(parts, config, changes, output):
    """Return the Combination of a configuration; InputError if it cannot be trained."""
    config = config.model_copy()
    try:
        for key, value in changes.items():
            setattr(config, key, value)
        setup = prepare(parts["train"], parts["val"], config)
    except ValidationError as error:
        raise InputError(explain(error, "compare", TrainConfig.model_json_schema())) from None
    what = {"loss": config.loss, "heatmap": config.heatmap}
    what["network"] = config.model or config.encoder
    own = [_code_of(setup.loss_fn, config.loss), _code_of(setup.heatmap_fn, config.heatmap)]
    if config.model:
        own.append(Path(config.model.rpartition(":")[0]).read_text(encoding="utf-8"))
    folder = output / "trials" / f"{_slug(*what.values())}-{_digest(setup.fingerprint, own)}"
    what |= {key: getattr(config, key) for key in changes if key not in (*what, *NETWORK)}
    weights_m = round(sum(p.numel() for p in setup.model.parameters()) / 1e6, 3)
    facts = {"minutes": setup.minutes, "epochs": config.num_epochs, "weights_m": weights_m}
    return Combination(config, what, folder, facts)


def _run_combinations(combinations, parts, finds, *, lock, log):
    """Return the rows of all combinations; if stopped, log those that are done."""
    rows = []
    for k, combination in enumerate(combinations, start=1):
        if words := lock.trouble():
            raise InputError(f"{words} Run this again when it has ended: nothing done is lost.")
        log(f"[{k}/{len(combinations)}] {combination}{_time_left(rows, combinations[k - 1 :])}")
        try:
            rows += _run_combination(combination, parts, finds, log)
        except KeyboardInterrupt:
            if not all(row["failed"] for row in rows):
                log(f"\n{leaderboard_table(rank_rows(rows))}")
            where = f"combination {k} of {len(combinations)}"
            log(f"stopped in {where}. The same command resumes there.")
            raise
    return rows


def _run_combination(combination, parts, finds, log):
    """Train if it is not done, then score every thresholding function; one row each."""
    try:
        facts = _train(combination, parts, log)
    except Exception as error:  # your own loss may raise anything; the other combinations go on
        words = _sentence(error)
        log(f"    failed: {words}")
        return [_row(combination, name, failed=words) for name in finds]
    predicted, rows = {}, []
    for name, find in finds.items():
        try:
            scores = _scores(combination, parts, predicted, name=name, find=find)
            rows.append(_row(combination, name, **facts, **scores))
            log(f"    {name}: val F1 {rank_rows(rows[-1:])[0]['f1']:.3f}")
        except Exception as error:  # your own thresholding function, likewise
            rows.append(_row(combination, name, failed=_sentence(error)))
            log(f"    {name} failed: {rows[-1]['failed']}")
    return rows


def _train(combination, parts, log):
    """Return the facts of a training, after it."""
    path = combination.folder / "training.json"
    if combination.done:
        return _kept(path)
    model = fit(
        parts["train"],
        parts["val"],
        config=combination.config,
        output=combination.folder / "model",
        log=lambda line: log(f"    {line}"),
    )
    history = model.info.training["history"]
    seconds = sum(row["seconds"] + row["val_seconds"] for row in history)
    facts = {"minutes": round(seconds / 60, 2), "epochs": len(history)}
    facts["steps"] = sum(row["steps"] for row in history)
    facts["weights_m"] = combination.facts["weights_m"]
    write_atomic(path, json.dumps(facts, indent=2) + "\n")
    return facts


def _scores(combination, parts, predicted, *, name, find):
    """Return what `judge` says of a combination and a thresholding function; kept in a file."""
    test = parts.get("test", ())  # val is in the name of the folder
    truth = [[part.tolist() for part in points_of(test, i)] for i in range(len(test))]
    mark = _digest(_code_of(find, name), {"test": (names_of(test), truth)})
    path = combination.folder / f"{_slug(name)}-{mark}.json"
    if scores := _kept(path):
        return scores
    if not predicted:
        model = load_model(combination.folder / "model", trust_code=_is_own_code(combination))
        model = model.to(make_fabric(combination.config).device)
        predicted |= {"info": model.info, "val": Predictions(model, parts["val"])}
        predicted["test"] = Predictions(model, test) if "test" in parts else None
    heatmap_fn = find_function(combination.config.heatmap, HEATMAPS, what="heatmap")
    scores = json_safe(judge(**predicted, find=find, heatmap_fn=heatmap_fn))
    write_atomic(path, json.dumps(scores) + "\n")
    return scores


def _is_own_code(combination):
    """Tell whether the code in a model folder is the file that the configuration names."""
    if not combination.config.model:
        return False
    named = Path(combination.config.model.rpartition(":")[0])
    return (combination.folder / "model" / CUSTOM).read_bytes() == named.read_bytes()


def _kept(path):
    """Return the dict that an earlier run left in a file, or None if there is none."""
    with suppress(OSError, ValueError, RecursionError):
        data = json.loads(path.read_text(encoding="utf-8"))
        return data if isinstance(data, dict) else None
    return None


def _row(combination, threshold, *, failed="", **numbers):
    what = combination.what | {"threshold": threshold}
    return {"what": what, "folder": combination.folder, "failed": failed, **numbers}


def _time_left(rows, combinations):
    """Return the time left as the first of these combinations starts, in words."""
    if combinations[0].done:
        return ": trained before"
    minutes = [row["minutes"] for row in rows if not row["failed"]]
    minutes = minutes or [combinations[0].facts["minutes"]]
    if not minutes[0]:
        return ""
    left = np.mean(minutes) * sum(not one.done for one in combinations)
    return f": about {left:.0f} min left" if left >= 1 else ": less than a minute left"


def _title(parts, combinations):
    """Return what all rows of the leaderboard have in common."""
    scored = " and ".join(
        f"{plural(_count_points(parts[part]), 'point')} in {plural(len(parts[part]), word)}"
        for part, word in (("val", "validation image"), ("test", "test image"))
        if part in parts
    )
    words = ("epoch", "minute")
    limits = {(word, one.facts[f"{word}s"]) for word in words for one in combinations}
    told = sorted(pair for pair in limits if pair[1])
    each = " or ".join(plural(n, word, "g") for word, n in told)
    radius, seed = combinations[0].config.radius, combinations[0].config.seed
    return f"{scored}, match radius {describe_radius(radius)}, seed {seed}, {each} each"


def _count_points(dataset):
    return sum(len(points_of(dataset, i)[0]) for i in range(len(dataset)))


def _code_of(function, name):
    """Return the source of your own function's file: if it changes, combinations are new."""
    if ":" not in name:
        return ""
    function = getattr(function, "func", function)  # of one with options
    for look in (lambda f: Path(inspect.getfile(f)).read_text(encoding="utf-8"), inspect.getsource):
        with suppress(OSError, TypeError):  # a notebook's cell is in no file
            return look(function)
    return ""


def _slug(*names):
    return "-".join(re.sub(r"\W+", "_", short_name(name)) for name in names)


def _digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def _sentence(error):
    """Return an error as the sentence of a row, whoever is to blame for it."""
    return str(error) if isinstance(error, InputError) else describe(error) or brief(error)
