"""Train on real images and score on their test lists, beside a blob detector and Spotiflow.

    python benchmarks/accuracy.py --minutes 10
    python benchmarks/accuracy.py --minutes 10 --sets urban_trees --peers log --curve

One set of defaults for all: only the folder and the match radius change. Everything is trained on
train.txt, tuned on val.txt and scored on test.txt by `metrics.score_images`. The peers know no
classes: where there are several, compare them with pointlib's class-blind row. Spotiflow needs an
environment of its own: `uv venv .venv-peers`, then install spotiflow there; without it its rows are
left out. Rows already in OUTPUT/SET/results.json with the same settings are not made again, and a
training that was killed goes on.
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accuracy_report import curve_table, draw_curve, means, table
from log_trial import DISTANCES, FLOOR, SCALES, apply_choice, log_candidates, truth, tune

from pointlib.config import load_config
from pointlib.dataset import ImagePointDataset
from pointlib.errors import InputError
from pointlib.evaluation.score import evaluate
from pointlib.files import json_safe, need_folder, write_atomic
from pointlib.formats import convert
from pointlib.heatmaps import auto_sigma
from pointlib.metrics import score_images
from pointlib.splits import read_list
from pointlib.train.loop import train_folder

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "real"
RADII = {  # px, as the table of the data's README has them
    "urban_trees": 10,
    "oil_palms": 16,
    "bccd_blood": 24,
    "nuclei_dsb2018": 6,
    "nuclei_bbbc039_16bit": 8,
}
THREADS = torch.get_num_threads()  # before any training sets its own
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"


class Job(NamedTuple):
    """One set, and where its files go."""

    name: str
    radius: float
    folder: Path  # of this set's results
    arguments: argparse.Namespace

    @property
    def data(self):
        """The pointlib folder made of the set."""
        return self.folder / "data"

    def part(self, which):
        """Return the dataset of a list."""
        return ImagePointDataset(self.data, names=read_list(self.data / f"{which}.txt"))


def main(arguments=None):
    """Make the rows asked for and print them; returns the exit status."""
    arguments = parse(arguments)
    try:
        rows = []
        for job in find_jobs(arguments):
            for method in ([] if arguments.peers_only else ["pointlib"]) + arguments.peers:
                if method == "spotiflow" and not PEERS_PYTHON.exists():
                    print("Spotiflow is left out: no .venv-peers with it (see --help)")
                    continue
                rows.append(obtain(job, method))
        print(table(rows))
        print(means(rows))
        if arguments.curve:
            print(curve_table(rows))
            print(draw_curve(rows, arguments.output / "curve.png"))
    except (InputError, OSError) as error:
        print(f"accuracy: {error}", file=sys.stderr)
        return 2
    return 0


def parse(arguments):
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=10, help="of each training (default 10)")
    add("--sets", nargs="+", choices=RADII, default=list(RADII), metavar="SET", help="default all")
    add("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="default both; none: none")
    add("--peers-only", action="store_true", help="do not train pointlib")
    add("--epochs", type=int, help="of Spotiflow, in place of the minutes; its own default is 200")
    add("--seed", type=int, default=0)
    add("--set", dest="overrides", action="append", default=[], metavar="train.KEY=VALUE",
        help="depart from the defaults, for a search; may be repeated")  # fmt: skip
    add("--data", type=Path, default=DATA, help="folder of the sets")
    add("--output", type=Path, default=ROOT / "runs" / "accuracy")
    add("--fresh", action="store_true", help="make every row again")
    add("--curve", action="store_true", help="also F1 on val against minutes, as table and PNG")
    return parser.parse_args(arguments)


def find_jobs(arguments):
    """Return a Job a set, each with its pointlib folder made."""
    need_folder(arguments.data, "folder of real images")
    jobs = []
    for name in arguments.sets:
        job = Job(name, RADII[name], arguments.output.absolute() / name, arguments)
        if arguments.fresh and job.data.exists():
            shutil.rmtree(job.data)
        if not job.data.exists():
            convert(arguments.data / name, job.data, from_="csv", link=True)
        jobs.append(job)
    return jobs


def obtain(job, method):
    """Return the row of a method on a set: from the results where it stands there, else new."""
    describe, make = METHODS[method]
    settings = json.loads(json.dumps(describe(job)))
    path = job.folder / "results.json"
    rows = read_rows(path)
    same = [row for row in rows if (row["method"], row["settings"]) == (method, settings)]
    if same and not job.arguments.fresh:
        return same[0]
    print(f"{job.name}: {method} ...", flush=True)
    digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]
    folder = job.folder / f"{method}-{digest}"
    if job.arguments.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    row = {"set": job.name, "method": method, "settings": settings}
    row |= json_safe(make(job, folder))
    others = [other for other in read_rows(path) if other not in same]
    write_atomic(path, json.dumps([*others, row], indent=1) + "\n")
    return row


def read_rows(path):
    """Return the rows made so far."""
    return json.loads(path.read_text()) if path.exists() else []


def figures(metrics, key):
    """Return what the table shows of `score_images`, of the counts under `key`."""
    own = {name: metrics[key][name] for name in ("f1", "precision", "recall", "error_px")}
    return own | {"mae": metrics["counts"]["mae"]}


def pointlib_config(job):
    """Return the TrainConfig: the defaults, the set's folder and radius, the minutes."""
    arguments = job.arguments
    given = {"radius": job.radius, "minutes": arguments.minutes, "seed": arguments.seed}
    overrides = [f"train.{key}={value}" for key, value in given.items()]
    config = load_config(None, overrides=[*overrides, *arguments.overrides]).train
    config.dataset_path = str(job.data)
    return config


def describe_pointlib(job):
    """Return every setting of the training, so that a changed default is trained again."""
    config = pointlib_config(job)
    settings = config.model_dump(exclude={"dataset_path", "output"})
    return settings | {"device": device_name(config)}


def run_pointlib(job, folder):
    """Train and evaluate through the public functions."""
    config, lines = pointlib_config(job), []
    config.output = str(folder)

    def log(line):
        lines.append(line)
        print(f"  {line}", flush=True)

    model = train_folder(config, log=log)
    history = model.info.training["history"]
    per_epoch = re.search(r"(\d+) steps an epoch", "\n".join(lines))
    metrics = evaluate(model, job.part("test"), radius=job.radius)
    classes = metrics["classes"] if len(metrics["classes"]) > 1 else {}
    return figures(metrics, "pooled") | {
        "blind": figures(metrics, "class_blind") if classes else None,
        "classes": {name: figures(metrics | {"own": own}, "own") for name, own in classes.items()},
        "minutes": minutes_of(history)[-1],
        "steps": int(per_epoch[1]) * len(history) if per_epoch else None,
        "epochs": len(history),
        "device": device_name(config),
        "curve": [
            [minute, row["f1"]]
            for minute, row in zip(minutes_of(history), history, strict=True)
            if "f1" in row
        ],
    }


def minutes_of(history):
    """Return the minutes after each epoch of a training, validation included."""
    seconds = [row["seconds"] + row.get("val_seconds", 0) for row in history]
    return (np.cumsum(seconds) / 60).tolist()


def device_name(config):
    """Return what a training computes on."""
    if config.accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    if config.accelerator != "cpu" and torch.backends.mps.is_available():
        return "mps"
    return f"cpu x{config.threads or THREADS}"


def describe_log(job):
    """Return what the blob detector chooses from."""
    options = {"scales": SCALES.tolist(), "distances": DISTANCES, "floor": FLOOR}
    return {"radius": job.radius, **options}


def run_log(job, _):
    """Tune the blob detector on val, score it on test."""
    start, candidates = time.monotonic(), {}
    for part in ("val", "test"):
        dataset = job.part(part)
        images = (dataset[i][0] for i in range(len(dataset)))
        candidates[part] = [log_candidates(image, job.radius) for image in images]
    row = choose_and_score(job, candidates)
    minutes = (time.monotonic() - start) / 60
    return row | {"minutes": minutes, "device": "cpu x1"}


def choose_and_score(job, candidates):
    """Return the figures on test of candidates (val and test) whose settings are chosen on val."""
    val, test = (truth(job.part(part)) for part in ("val", "test"))
    choice = tune(candidates["val"], val, radius=job.radius)
    results = apply_choice(choice, candidates["test"], test)
    metrics = score_images(results, radius=job.radius, classes=("point",))
    return figures(metrics, "pooled") | {"chosen_on_val": choice._asdict()}


def describe_spotiflow(job):
    """Return the few settings of Spotiflow that are not its own; sigma is that of our targets."""
    train, arguments = job.part("train"), job.arguments
    sigma = auto_sigma([train.points(i)[0] for i in range(len(train))])
    length = {"epochs": arguments.epochs} if arguments.epochs else {"minutes": arguments.minutes}
    return {"radius": job.radius, "sigma": sigma, "seed": arguments.seed, **length}


def run_spotiflow(job, folder):
    """Train Spotiflow in its own environment, tune what it finds on val, score it on test."""
    folder.mkdir(parents=True, exist_ok=True)
    bundle, log = folder / "bundle.npz", folder / "log.txt"
    write_bundle(job, bundle)
    options = {k: v for k, v in describe_spotiflow(job).items() if k != "radius"}
    script = [PEERS_PYTHON, ROOT / "benchmarks" / "spotiflow_trial.py", bundle, folder]
    command = [*map(str, script), *(f"--{key}={value}" for key, value in options.items())]
    with log.open("a") as file:
        done = subprocess.run(command, stdout=file, stderr=file, check=False)  # noqa: S603
    if done.returncode:
        *_, last = ["nothing said", *log.read_text().strip().splitlines()]
        raise InputError(f"Spotiflow ended with status {done.returncode}: {last}. See {log}.")
    result = json.loads((folder / "result.json").read_text())
    bundle.unlink()
    history, candidates = result["history"], {}
    for part, images in result["candidates"].items():
        tables = [np.reshape(image, (-1, 3)) for image in images]
        candidates[part] = [{"default": (table[:, :2], table[:, 2])} for table in tables]
    return choose_and_score(job, candidates) | {
        "minutes": history[-1]["seconds"] / 60,
        "steps": history[-1]["steps"],
        "epochs": history[-1]["epoch"],
        "device": result["device"],
        "version": result["version"],
        "curve": [[row["seconds"] / 60, row["val_f1"]] for row in history],
    }


def write_bundle(job, path):
    """Write the images and points of all three lists into one file that needs only numpy."""
    arrays = {}
    for part in ("train", "val", "test"):
        dataset = job.part(part)
        for i in range(len(dataset)):
            image, points, _ = dataset[i]
            arrays[f"{part}/{i:05}/image"] = image[..., 0] if image.shape[2] == 1 else image
            arrays[f"{part}/{i:05}/points"] = points
    np.savez(path, **arrays)


METHODS = {
    "pointlib": (describe_pointlib, run_pointlib),
    "log": (describe_log, run_log),
    "spotiflow": (describe_spotiflow, run_spotiflow),
}
PEERS = ("log", "spotiflow")


if __name__ == "__main__":
    sys.exit(main())
