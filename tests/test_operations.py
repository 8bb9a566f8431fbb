"""The bench of the small operations: its peers do the same work, so that their times compare."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from pointlib.heatmaps import gaussian_max
from pointlib.matching import match_points
from pointlib.thresholds import find_peaks


@pytest.fixture
def bench(monkeypatch):
    """Return benchmarks/operations.py as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "benchmarks"))
    yield importlib.import_module("operations")
    sys.modules.pop("operations")


def test_patch_loop_draws_the_same_heatmap(bench):
    """The loop over patches and gaussian_max differ only where they cut the Gaussian."""
    points = np.random.default_rng(0).uniform(0, 60, (40, 2))
    ours = gaussian_max(points, (64, 80), sigma=bench.SIGMA).numpy()
    assert np.abs(bench.patch_loop(points, (64, 80)) - ours).max() < 4e-4


def test_peers_find_as_many_peaks(bench):
    """Where points stand apart, max-pooling and find_peaks find each of them."""
    points = np.stack(np.meshgrid(np.arange(9.3, 80, 12), np.arange(8.1, 64, 12)), axis=-1)
    heatmap = gaussian_max(points.reshape(-1, 2), (64, 80), sigma=bench.SIGMA).numpy()
    assert len(bench.max_pool_peaks(heatmap)) == len(find_peaks(heatmap)[0]) == points.size // 2


def test_dense_matching_makes_as_many_pairs(bench):
    """The whole matrix with forbidding prices and match_points agree on a crowd."""
    true, found = bench.points_of_crowd(300, spacing=7)
    n_pairs = len(match_points(true, found, radius=bench.RADIUS).pairs)
    assert bench.dense_pairs(true, found, bench.RADIUS) == n_pairs
