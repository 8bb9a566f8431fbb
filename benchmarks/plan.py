"""What grows with the number of pieces: a job of up to a million, on a hundred workers, simulated.

    python benchmarks/plan.py

No network runs and no picture is read. The list of pieces, the files of the pieces and the joining
of their peaks are those of `pointlib predict`; only the workers are simulated, a clock each: one in
a hundred pieces loses its worker and is done again. Printed are seconds and megabytes of each step.
"""

import argparse
import heapq
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from pointlib.large.parts import load, part_file, save
from pointlib.predict.tiles import SIDE, Maxima, Tile, join_maxima, tiles_of

LOST = 0.01  # of the pieces, whose worker ends before they are done
SECONDS = 2.0  # of a piece, on average
PEAKS = 3  # a piece


def main():
    """Print a row for each number of pieces."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pieces", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--files", type=int, default=5_000, help="that are really written and read")
    arguments = parser.parse_args()
    written, read = time_files(arguments.files)
    print(f"a file is written in {1e3 * written:.2f} ms and read in {1e3 * read:.2f} ms")
    print(
        f"{'pieces':>10} {'list, s':>8} {'work, h':>8} {'ideal, h':>8} {'again':>7} "
        f"{'join, s':>8} {'peaks':>10} {'MB so far':>9}"
    )
    for n in arguments.pieces:
        print(plan(n, arguments.workers), flush=True)


def time_files(n):
    """Return the seconds that it takes to write and to read the file of a piece."""
    maxima = peaks_of(Tile(0, SIDE, 0, SIDE), np.random.default_rng(0))
    arrays = {f"0.{name}": column for name, column in maxima._asdict().items()}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for k in range(n):
            save(part_file(Path(folder), k), arrays)
        middle = time.perf_counter()
        for k in range(n):
            load(part_file(Path(folder), k))
        return (middle - start) / n, (time.perf_counter() - middle) / n


def peaks_of(tile, rng):
    """Return random peaks in a tile, as a network's heatmap would have them."""
    pixels = rng.integers((tile.left, tile.top), (tile.right, tile.bottom), (PEAKS, 2))
    return Maxima(pixels, rng.uniform(-0.5, 0.5, (PEAKS, 2)), rng.uniform(0.1, 1.0, PEAKS))


def plan(n_pieces, n_workers):
    """Return a row of the table for a square picture of so many pieces."""
    start = time.perf_counter()
    side = round(n_pieces**0.5) * SIDE
    tiles = tiles_of(Tile(0, side, 0, side), SIDE)
    listed = time.perf_counter() - start
    hours, n_again = work(len(tiles), n_workers)
    rng = np.random.default_rng(1)
    parts = [{"point": peaks_of(tile, rng)} for tile in tiles]
    start = time.perf_counter()
    found = join_maxima(parts, size=(side, side), shape=(side, side), reach=5.0)["point"]
    joined = time.perf_counter() - start
    ideal = len(tiles) * SECONDS / n_workers / 3600
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"{len(tiles):>10,} {listed:>8.1f} {hours:>8.2f} {ideal:>8.2f} {n_again:>7,} "
        f"{joined:>8.1f} {len(found.points):>10,} {megabytes:>9,.0f}"
    )


def work(n_pieces, n_workers):
    """Return the hours until all pieces are done, and how many were begun again."""
    rng = np.random.default_rng(0)
    clocks = [0.0] * n_workers  # when each worker is free
    n_left, n_again, end = n_pieces, 0, 0.0
    while n_left:
        free = heapq.heappop(clocks)
        seconds = SECONDS * rng.uniform(0.5, 1.5)
        if rng.random() < LOST:
            n_again += 1
            free += rng.uniform(0, seconds)
        else:
            n_left -= 1
            free += seconds
        end = max(end, free)
        heapq.heappush(clocks, free)
    return end / 3600, n_again


if __name__ == "__main__":
    main()
