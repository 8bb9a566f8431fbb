"""Time the small operations beside named peers, as ratios in one run: `make bench`.

Each row is the median of several runs in this process, on one thread; a ratio above 1 means
pointlib is faster. Absolute times depend on the machine, ratios carry over.
"""

import time

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage.feature import peak_local_max
from torch.nn import functional

from pointlib.heatmaps import gaussian_max
from pointlib.metrics import match_points
from pointlib.thresholds import find_peaks

SIZES = [(512, 200), (1024, 2_000), (2048, 10_000), (4096, 100_000)]
SIGMA = 2.0


def median_ms(run, *, seconds=1.5):
    """Return the median milliseconds of a call, over as many runs as fit in the time."""
    run()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


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


def main():
    """Print one table an operation."""
    torch.set_num_threads(1)
    print("ratios: the peer's time over pointlib's; above 1 pointlib is faster\n")
    for side, n_points in SIZES:
        shape, rng = (side, side), np.random.default_rng(0)
        points = rng.uniform(0, side - 1, (n_points, 2))
        heatmap = gaussian_max(points, shape, sigma=SIGMA).numpy()
        found = find_peaks(heatmap)[0]
        rows = {
            "points to heatmap": (
                lambda p=points, s=shape: gaussian_max(p, s, sigma=SIGMA),
                {"patch loop": lambda p=points, s=shape: patch_loop(p, s),
                 "blurred dots (scipy)": lambda p=points, s=shape: blurred_dots(p, s)},
            ),
            "heatmap to points": (
                lambda h=heatmap: find_peaks(h),
                {"peak_local_max (scikit-image)": lambda h=heatmap: peak_local_max(h, min_distance=2, threshold_abs=0.3),
                 "max-pool (torch, unrefined)": lambda h=heatmap: max_pool_peaks(h)},
            ),
            "matching": (lambda t=points, f=found: match_points(t, f, radius=4), {}),
        }  # fmt: skip
        print(f"{side} x {side}, {n_points} points")
        for name, (own, peers) in rows.items():
            mine = median_ms(own)
            ratios = ", ".join(f"{k} {median_ms(run) / mine:.1f}x" for k, run in peers.items())
            print(f"  {name:18} {mine:9.1f} ms   {ratios}")


if __name__ == "__main__":
    main()
