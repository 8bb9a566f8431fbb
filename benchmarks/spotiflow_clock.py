"""Spotiflow's C++ functions, run one call at a time for operations.py.

Runs in an environment of its own (.venv-peers), so it imports nothing of pointlib. Each line on
standard input names an operation and a file of arrays; the answer is a line with the seconds of
processor time that one call took.
"""

import sys
import time
from functools import cache

import numpy as np
from spotiflow.utils import points_to_prob, prob_to_points

TURN = 0.02  # seconds, as in operations.py


@cache
def arrays(path):
    """Return the points as Spotiflow has them, y before x, and the heatmap."""
    with np.load(path) as bundle:
        return np.ascontiguousarray(bundle["points"][:, ::-1]), bundle["heatmap"]


def draw(points, heatmap, sigma):
    """Draw the points."""
    points_to_prob(points, heatmap.shape, sigma=sigma)


def peaks(_, heatmap, __):
    """Find the peaks, whole pixels only, at the quickest minimum distance."""
    prob_to_points(heatmap, prob_thresh=0.3, min_distance=1)


def main():
    """Answer until the input ends."""
    print("ready", flush=True)
    for line in sys.stdin:
        operation, sigma, path = line.rstrip("\n").split(" ", 2)
        given = *arrays(path), float(sigma)
        start, n_calls, passed = time.process_time(), 0, 0.0
        while passed < TURN:
            {"draw": draw, "peaks": peaks}[operation](*given)
            n_calls, passed = n_calls + 1, time.process_time() - start
        print(passed / n_calls, flush=True)


if __name__ == "__main__":
    main()
