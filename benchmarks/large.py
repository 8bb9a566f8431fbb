"""Large pictures: peak memory of `pointlib predict`, and its CPU time beside the bare network.

    make test-large

Draws pictures of growing sides (tiled BigTIFF, three channels), predicts each with the command, and
prints what the process took. The largest one is predicted in a region only: memory must not depend
on the picture. The bare network runs on as many windows of the same size, in one thread.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
import torch

from pointlib import MemoryDataset, TrainConfig, draw_cells, fit, load_model
from pointlib.predict.reach import halo_of
from pointlib.predict.tiles import SMALL

PIECE = 512  # px, of the files' tiles
# what a process took itself: getrusage would count the peak of the process that started it too
CODE = """
import re, sys
from pathlib import Path
from pointlib.cli import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
sys.exit(status)
"""


def main():
    """Print a line for each picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 12_288])
    parser.add_argument("--huge", type=int, default=100_352, help="side of a picture read in part")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        train(folder / "model")
        bare, halo = time_bare(folder / "model")
        share = (SMALL + 2 * halo) ** 2 / SMALL**2
        print(f"a window is {share:.2f} times its tile: the halo, {halo} px")
        for side in arguments.sides:
            draw(folder / "a.tif", side)
            megabytes, seconds = measure(folder, "a.tif")
            n = (side // SMALL) ** 2
            ratio = seconds / (n * bare)
            print(f"{side:,} px: {megabytes:,.0f} MB, {ratio:.2f} of the bare network", flush=True)
        middle = arguments.huge // 2
        draw(folder / "b.tif", arguments.huge, only=(middle, middle + 2048))
        region = f"{middle},{middle},{middle + 2048},{middle + 2048}"
        megabytes, _ = measure(folder, "b.tif", "--region", region)
        print(f"{arguments.huge:,} px, a region of 2,048 px: {megabytes:,.0f} MB")


def train(folder):
    """Train a model on one scene: one that knows nothing finds millions of points in noise."""
    image, points, labels = a_scene()
    dataset = MemoryDataset([(image, points, labels)])
    config = TrainConfig(num_epochs=3, threads=1)
    fit(dataset, dataset, config=config, output=folder, log=lambda _: None)


def a_scene():
    """Return an image in colour, its points and labels."""
    scene = draw_cells((PIECE, PIECE), n=250, seed=0)
    return np.dstack([scene.image] * 3), scene.points, scene.labels


def draw(path, side, *, only=None):
    """Write a picture of this side, tile after tile; `only` part of its rows, the rest is black."""
    scene, *_ = a_scene()
    black, across = np.zeros_like(scene), side // PIECE
    start, stop = only or (0, side)
    rows = [PIECE * (i // across) for i in range(across**2)]
    tifffile.imwrite(
        path,
        (scene if start - PIECE <= row <= stop else black for row in rows),
        shape=(side, side, 3),
        dtype=np.uint8,
        tile=(PIECE, PIECE),
        photometric="rgb",
        compression="zlib",
        bigtiff=True,
    )


def measure(folder, name, *options):
    """Return the peak memory, MB, and the CPU time, s, of predicting a picture by the command."""
    before = cpu_of_children()
    chosen = [f"infer.model={folder / 'model'}", f"infer.image_path={folder / name}"]
    chosen += [f"infer.output={folder / 'out'}"]
    settings = [word for text in chosen for word in ("--set", text)]
    command = [sys.executable, "-c", CODE, "predict", *settings, *options]
    said = subprocess.run(  # noqa: S603 - our own command
        command, check=True, capture_output=True, text=True, cwd=folder
    )
    kilobytes = int(said.stdout.split()[-1])
    return kilobytes * 1024 / 1e6, cpu_of_children() - before


def cpu_of_children():
    """Return the CPU time of all processes that have ended, s."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def time_bare(folder):
    """Return the CPU time of the network on one window, s, and its halo."""
    model = load_model(folder)
    side = SMALL + 2 * halo_of(model)
    batch = torch.rand(1, model.info.n_channels, side, side)
    batch = batch.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        model(batch)
        before = os.times()
        for _ in range(20):
            model(batch)
        after = os.times()
    return (after.user + after.system - before.user - before.system) / 20, halo_of(model)


if __name__ == "__main__":
    main()
