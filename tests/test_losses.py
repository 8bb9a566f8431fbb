"""Losses."""

import math

import pytest
import torch

from pointlib.heatmaps import gaussian_max
from pointlib.losses import LOSSES, focal, focal_peaks, mse, weighted_bce

POINTS = [[10.3, 8.7], [22.0, 20.5], [30.9, 4.2]]


@pytest.fixture
def target():
    """Return a target (1, 1, 28, 40)."""
    return gaussian_max(POINTS, (28, 40), sigma=2.0)[None, None]


def perfect(target):
    """Return logits whose sigmoid is the target."""
    return torch.logit(target, eps=1e-7)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"focal"}))
def test_losses_are_zero_for_the_perfect_map_only(name, target):
    """The perfect heatmap has a loss of 0; shifted, scaled, empty and noisy ones have more."""
    loss = LOSSES[name]
    right = loss(perfect(target), target)
    assert float(right) == pytest.approx(0, abs=1e-5)
    noise = torch.randn(target.shape, generator=torch.manual_seed(0))
    wrong = [target.roll(1, -1), target * 0.8, target * 0, (target + 0.05).clamp(max=1)]
    for other in [*map(perfect, wrong), perfect(target) + 0.3 * noise]:
        assert loss(other, target) > right + 1e-5


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_pull_towards_the_points(name, target):
    """From an even low map, one step down the gradient lifts the points above the rest."""
    logits = torch.full_like(target, -4.0).requires_grad_()
    LOSSES[name](logits, target).backward()
    peak, far = logits.grad[0, 0, 9, 10], logits.grad[0, 0, 27, 0]
    assert peak < far
    assert peak < 0


def test_weighted_bce_counts_points_more(target):
    """The weight raises the loss of a missed point, and a weight of 0 is plain cross entropy."""
    empty = torch.full_like(target, -6.0)
    assert weighted_bce(empty, target, weight=10.0) > 5 * weighted_bce(empty, target, weight=0.0)


def test_weights_leave_the_background_its_own():
    """A false peak far from any point costs something: background counts once, not never."""
    target = torch.zeros(1, 1, 9, 12)
    peak = torch.full_like(target, -8.0)
    peak[0, 0, 4, 6] = 3.0
    for loss in (LOSSES["weighted_bce"], LOSSES["weighted_mse"]):
        assert loss(peak, target) > 10 * loss(torch.full_like(target, -8.0), target)


def test_weighted_bce_survives_certainty():
    """Targets of exactly 0 and 1 and huge logits give finite numbers."""
    target = torch.tensor([[[[0.0, 1.0]]]])
    assert float(weighted_bce(torch.tensor([[[[-50.0, 50.0]]]]), target)) == pytest.approx(0)
    assert torch.isfinite(weighted_bce(torch.tensor([[[[50.0, -50.0]]]]), target))


def test_focal_has_positives_for_sub_pixel_points(target):
    """A sub-pixel Gaussian never reaches 1, yet every point is a positive."""
    assert float(target.max()) < 1
    assert int(focal_peaks(target).sum()) >= len(POINTS)


def test_focal_prefers_certain_peaks_to_an_empty_map(target):
    """Peaks at the points cost less than nothing anywhere and than peaks elsewhere."""
    sharp = torch.where(focal_peaks(target), 8.0, -8.0)
    assert focal(sharp, target) < 0.05 * focal(torch.full_like(target, -8.0), target)
    assert focal(sharp, target) < focal(sharp.roll(7, -1), target)


def test_focal_of_an_empty_image_counts_background_only():
    """Without points the loss is finite, and higher where more is predicted."""
    target = torch.zeros(1, 1, 8, 9)
    low, high = (focal(torch.full_like(target, v), target) for v in (-6.0, 2.0))
    assert 0 <= low < high < float("inf")


def test_mse_barely_sees_a_small_point():
    """At sigma 1.5 one point in 256 x 256 is worth next to nothing: why plain MSE collapses."""
    target = gaussian_max([[128, 128]], (256, 256), sigma=1.5)[None, None]
    empty = torch.full_like(target, -20.0)
    assert mse(empty, target) < 2e-4


@pytest.mark.parametrize(("name", "times"), [("weighted_bce", 2), ("weighted_mse", 11)])
def test_weights_begin_at_a_hundredth(name, times):
    """A pixel of 0.01 counts twice or eleven times, one a little lower once."""
    heights = (0.01, 0.01 - 1e-6)
    costs = [LOSSES[name](torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), h)) for h in heights]
    assert float(costs[0] / costs[1]) == pytest.approx(times, rel=1e-3)


def test_mse_is_the_mean_of_squares():
    """Of heights 0.5 against 0 and 1 and 0.5, two are off by a half."""
    target = torch.tensor([[[[0.0, 1.0, 0.5]]]])
    assert float(mse(torch.zeros_like(target), target)) == pytest.approx(0.5 / 3)


def test_focal_is_its_formula():
    """Two peaks and two other pixels, by hand: powers, logarithms, divided by the peaks."""
    target = torch.tensor([[[[1.0, 0.3, 0.0, 0.9]]]])
    p = torch.tensor([[[[0.7, 0.4, 0.2, 0.6]]]])
    found = 0.3**3 * math.log(0.7) + 0.4**3 * math.log(0.6)
    background = 0.7**5 * 0.4**3 * math.log(0.6) + 0.2**3 * math.log(0.8)
    loss = focal(torch.logit(p), target, alpha=3.0, beta=5.0)
    assert float(loss) == pytest.approx(-(found + background) / 2, rel=1e-5)


def test_focal_peaks_are_high_maxima():
    """A pixel that no neighbour exceeds is a peak from a height of 0.6 on; its slope is none."""
    target = torch.tensor([[[[0.6, 0.2, 0.59, 0.2, 0.9, 0.8, 0.1]]]])
    assert focal_peaks(target)[0, 0, 0].tolist() == [True, *[False] * 3, True, False, False]
