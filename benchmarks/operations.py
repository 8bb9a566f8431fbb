"""Time the small operations beside named peers, as ratios in one run: `make bench`.

Everything runs on one thread, ours and the peers' calls by turns. A time is the median of a call's
seconds on the processor, whatever else runs beside it. A ratio is the peer's time over pointlib's: above 1 pointlib is faster. Absolute times
depend on the machine, ratios carry over. Spotiflow is called in an environment of its own,
`.venv-peers`, by spotiflow_clock.py; where that is missing its rows say so.
"""

import argparse
import copy
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from skimage.feature import peak_local_max
from torch.nn import functional

from pointlib.config import TrainConfig
from pointlib.dataset import MemoryDataset
from pointlib.heatmaps import gaussian_max
from pointlib.images import to_channels, write_image
from pointlib.matching import match_points, tp_curve
from pointlib.model.point_model import scale_image
from pointlib.predict.folder import predict_folder
from pointlib.synthetic import draw_cells
from pointlib.thresholds import find_peaks
from pointlib.train.checkpoint import State
from pointlib.train.loop import train_epoch
from pointlib.train.prepare import prepare

SIZES = [(512, 200), (1024, 2_000), (2048, 10_000), (4096, 100_000)]
SIGMA, RADIUS = 2.0, 4.0  # px
PEERS_PYTHON = Path(__file__).resolve().parents[1] / ".venv-peers" / "bin" / "python"
TURN, LONG = 0.02, 3.0  # seconds of a turn at least; a call above LONG is made once
CROWD = """\
import re, sys, time
from pathlib import Path
import numpy as np
from pointlib.matching import match_points
true, found = (np.load(path) for path in sys.argv[2:])
start = time.process_time()
match_points(true, found, radius=float(sys.argv[1]))
kilobytes = re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]  # Linux
print(f"{time.process_time() - start:.2f} s, {int(kilobytes) / 2**20:.2f} GB")"""


def clocked(run):
    """Return a function that calls for 20 ms or more and returns the seconds of one call."""

    def call():
        start, n_calls, passed = time.process_time(), 0, 0.0
        while passed < TURN:
            run()
            n_calls, passed = n_calls + 1, time.process_time() - start
        return passed / n_calls

    return call


def medians(calls, *, seconds):
    """Return the median seconds of each of the named calls, made by turns; the first is not kept."""
    times = {name: [call()] for name, call in calls.items()}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        for name, call in calls.items():
            if times[name][0] < LONG:
                times[name].append(call())
        rounds += 1
    return {name: float(np.median(some[1:] or some)) for name, some in times.items()}


def print_rows(title, times, aims):
    """Print pointlib's time, then each peer's with its ratio and the aim."""
    own = times.pop("pointlib")
    print(f"  {title:<34}{1000 * own:10.2f} ms")
    for name, peer in times.items():
        aim = next((value for key, value in aims.items() if name.startswith(key)), None)
        words = "" if aim is None else f"  aim {aim:.3g}x{'' if peer / own >= aim else ': missed'}"
        print(
            f"    {name:<32}{1000 * peer:10.2f} ms {peer / own:8.{1 if peer > 10 * own else 2}f}x{words}"
        )


def start_spotiflow():
    """Return a function that sets up timed calls in the helper process; None where it is not."""
    if not PEERS_PYTHON.exists():
        return None
    command = [PEERS_PYTHON, Path(__file__).with_name("spotiflow_clock.py")]
    helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603

    def prepare(operation, path):
        def call():
            print(f"{operation} {SIGMA} {path}", file=helper.stdin, flush=True)
            return float(helper.stdout.readline())

        return call

    return prepare if helper.stdout.readline() == "ready\n" else None


def patch_loop(points, shape):
    """Draw Gaussians one by one into their window, by maximum, as CenterNet-style kits do."""
    heatmap, reach = np.zeros(shape, np.float32), int(4 * SIGMA)
    for x, y in points:
        left, top = max(0, int(x) - reach), max(0, int(y) - reach)
        window = heatmap[top : int(y) + reach + 2, left : int(x) + reach + 2]
        rows = np.arange(top, top + window.shape[0]) - y
        columns = np.arange(left, left + window.shape[1]) - x
        gauss = np.exp(-(rows[:, None] ** 2 + columns**2) / (2 * SIGMA**2))
        np.maximum(window, gauss, out=window)
    return heatmap


def blurred_dots(points, shape):
    """Blur whole-pixel dots: a density, not a maximum, and no sub-pixel place."""
    dots = np.zeros(shape, np.float32)
    x, y = points.round().astype(int).T
    np.add.at(dots, (y, x), 1)
    return gaussian_filter(dots, SIGMA)


def max_pool_peaks(heatmap):
    """Find pixels that equal their 3x3 maximum, in torch: no refinement, no distance."""
    batch = torch.from_numpy(heatmap)[None, None]
    highest = functional.max_pool2d(batch, 3, stride=1, padding=1)
    return torch.nonzero((batch == highest) & (batch > 0.3))


def dense_pairs(true, found, radius):
    """Return the number of pairs: the whole matrix, with far pairs at a forbidding price."""
    distance = cdist(true, found)
    distance[distance > radius] = radius * (len(true) + 1)
    rows, columns = linear_sum_assignment(distance)
    return int((distance[rows, columns] <= radius).sum())


def points_of_crowd(n_points, *, spacing=13.0):
    """Return true points and what a fair network finds of them: some missed, some made up."""
    rng = np.random.default_rng(0)
    side = spacing * n_points**0.5
    true = rng.uniform(0, side, (n_points, 2))
    near = true[rng.random(n_points) < 0.95]
    made_up = rng.uniform(0, side, (n_points // 20, 2))
    return true, np.concatenate([near + rng.normal(0, 1, near.shape), made_up])


def heatmap_rows(sizes, seconds, spotiflow):
    """Print points to heatmap and back, at every size."""
    for side, n_points in sizes:
        points = np.random.default_rng(0).uniform(0, side - 1, (n_points, 2))
        heatmap = gaussian_max(points, (side, side), sigma=SIGMA).numpy()
        draw = {
            "pointlib": clocked(lambda p=points, h=heatmap: gaussian_max(p, h.shape, sigma=SIGMA)),
            "patch loop": clocked(lambda p=points, h=heatmap: patch_loop(p, h.shape)),
            "blurred dots (scipy)": clocked(lambda p=points, h=heatmap: blurred_dots(p, h.shape)),
        }
        find = {
            "pointlib": clocked(lambda h=heatmap: find_peaks(h)),
            "peak_local_max (scikit-image)": clocked(lambda h=heatmap: peak_local_max(h, min_distance=1, threshold_abs=0.3)),
            "max-pool (torch, unrefined)": clocked(lambda h=heatmap: max_pool_peaks(h)),
        }  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            np.savez(path := Path(folder, "arrays.npz"), points=points, heatmap=heatmap)
            if spotiflow:
                draw["Spotiflow (C++)"] = spotiflow("draw", path)
                find["Spotiflow (C++, unrefined)"] = spotiflow("peaks", path)
            print(f"\n{side} x {side}, {n_points} points, sigma {SIGMA:g} px")
            aims = {"Spotiflow": 3, "patch": 3}
            print_rows("points to heatmap", medians(draw, seconds=seconds), aims)
            aims = dict.fromkeys(find, 1)
            print_rows("heatmap to refined points", medians(find, seconds=seconds), aims)


def matching_rows(counts, seconds):
    """Print matching beside the whole matrix, and 100,000 points where that needs 80 GB."""
    print(f"\nmatching within {RADIUS:g} px, crowds of one point in 13 x 13 px")
    for n_points in counts:
        true, found = points_of_crowd(n_points)
        n_pairs = (
            dense_pairs(true, found, RADIUS),
            len(match_points(true, found, radius=RADIUS).pairs),
        )
        same = "the same number of pairs" if n_pairs[0] == n_pairs[1] else f"UNLIKE PAIRS {n_pairs}"
        calls = {
            "pointlib": clocked(lambda t=true, f=found: match_points(t, f, radius=RADIUS)),
            "dense linear_sum_assignment": clocked(lambda t=true, f=found: dense_pairs(t, f, RADIUS)),
        }  # fmt: skip
        aims = {"dense": 10} if n_points >= 5_000 else {}
        print_rows(f"{n_points} points, {same}", medians(calls, seconds=seconds), aims)
    for radius in (4, 8):
        words = crowd(radius)
        print(f"  100000 points, radius {radius} px{words:>35}  aim 2 s, 1 GB")


def crowd(radius):
    """Return the time and the memory of matching 100,000 points, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("true.npy", "found.npy")]
        for path, points in zip(paths, points_of_crowd(100_000), strict=True):
            np.save(path, points)
        command = [sys.executable, "-c", CROWD, str(radius), *paths]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603


def curve_rows(seconds, *, n_points=10_000, tried=10):
    """Print true positives at every threshold, beside one matching for each of them."""
    true, found = points_of_crowd(n_points)
    np.random.default_rng(1).shuffle(found)
    ends = np.linspace(1, len(found), tried).astype(int)

    def one_each():
        for end in ends:
            match_points(true, found[:end], radius=RADIUS)

    calls = {"pointlib": clocked(lambda: tp_curve(true, found, radius=RADIUS))}
    calls["a matching each"] = lambda: clocked(one_each)() * len(found) / tried
    print(f"\ntrue positives at all {len(found)} thresholds (matchings: {tried} timed, scaled up)")
    print_rows("one pass", medians(calls, seconds=seconds), {"a matching": 100})


def bare_epoch(network, optimiser, batches, sigma):
    """Train on the same crops as plainly as can be; the targets are drawn here too."""
    for image, places, _ in batches:
        shape = image.shape[2:]
        target = torch.stack([gaussian_max(p, shape, sigma=sigma)[None] for p in places])
        logits = network(image)
        loss = functional.binary_cross_entropy_with_logits(logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def epoch_batches(setup):
    """Return the batches of an epoch with the places of the points in each crop."""
    places = []

    def note(points, shape, *, sigma):
        places.append(points)
        return gaussian_max(points, shape, sigma=sigma)

    setup.crops.heatmap_fn = note
    size = setup.config.batch_size
    batches = [
        (image.contiguous(memory_format=torch.channels_last), len(image), valid)
        for image, _, valid in setup.loader
    ]
    setup.crops.heatmap_fn = gaussian_max
    return [
        (image, places[i * size : i * size + n], valid)
        for i, (image, n, valid) in enumerate(batches)
    ]


def network_rows(n_epochs, seconds):
    """Print a step of `fit`, and a folder predicted, beside the bare network."""
    scenes = [draw_cells((256, 256), n=40, seed=i) for i in range(8)]
    data = MemoryDataset([(s.image, s.points, s.labels) for s in scenes])
    config = TrainConfig(accelerator="cpu", precision="32", num_epochs=n_epochs + 1)
    setup, state = prepare(data, data, config), State()
    batches = epoch_batches(setup)
    network = copy.deepcopy(setup.model.network).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    times = {"pointlib": [], "bare smp loop": []}
    sigma = setup.model.info.sigma
    for _ in range(n_epochs + 1):
        times["pointlib"].append(clocked(lambda: state.history.append(train_epoch(setup, state)))())
        times["bare smp loop"].append(
            clocked(lambda: bare_epoch(network, optimiser, batches, sigma))()
        )
    print(f"\nnetworks: {config.encoder}, {len(batches)} batches of {tuple(batches[0][0].shape)}")
    steps = {name: float(np.median(some[1:])) / len(batches) for name, some in times.items()}
    print_rows("a training step, crops made too", steps, {"bare": 1 / 1.1})
    predict_rows(setup.model.eval(), scenes, seconds)


def predict_rows(model, scenes, seconds):
    """Print files in, table out, beside the network over pixels that are loaded already."""
    images = [to_channels(np.tile(s.image, (2, 2)), model.info.n_channels) for s in scenes]
    batches = [scale_image(image, model.info)[None] for image in images]

    def bare():
        with torch.inference_mode():
            for batch in batches:
                model(batch)

    with tempfile.TemporaryDirectory() as folder:
        for i, image in enumerate(images):
            write_image(Path(folder, "in", f"{i}.png"), image)
        calls = {
            "pointlib": clocked(
                lambda: predict_folder(model, Path(folder, "in"), Path(folder, "out"))
            ),
            "bare network": clocked(bare),
        }
        print_rows(
            f"a folder of {len(images)} images of {images[0].shape[:2]}",
            medians(calls, seconds=seconds),
            {"bare": 0.85},
        )


def main():
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, few calls")
    quick = parser.parse_args().quick
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    torch.set_num_threads(1)
    spotiflow = start_spotiflow()
    print("a ratio is the peer's time over pointlib's: above 1 pointlib is faster")
    if not spotiflow:
        print("Spotiflow: not installed (make .venv-peers/ready)")
    seconds = 0.3 if quick else 3.0
    heatmap_rows(SIZES[: 2 if quick else None], seconds, spotiflow)
    matching_rows([1_000] if quick else [1_000, 5_000], seconds)
    curve_rows(seconds)
    network_rows(2 if quick else 7, seconds)


if __name__ == "__main__":
    main()
