"""Exclusive classes: one object is found once, and named by the class that is highest there."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from pointlib.heatmaps import draw_classes, gaussian_max
from pointlib.predict.classes import NOTHING, any_class, share_out, summits
from pointlib.predict.points import candidates_of
from pointlib.thresholds import find_candidates, join_classes

SHAPE = (40, 60)
NAMES = ("a", "b", "c")


def logits_of(heights):
    """Return logits of heights in [0, 1]."""
    return torch.logit(torch.stack([torch.as_tensor(h) for h in heights]).float(), eps=1e-6)


def drawn(points, labels, *, sigma=2.0):
    """Return the logits that a perfect network of three exclusive classes draws."""
    options = {"classes": NAMES, "sigma": sigma}
    return logits_of(draw_classes(points, labels, SHAPE, **options))


def test_a_perfect_network_finds_each_point_once_with_its_class():
    """Points of three classes, some near each other, come back with their labels."""
    points = np.array([[10, 10], [17, 11], [30, 20], [50, 30], [44, 31.0]])
    labels = np.array(["a", "b", "c", "a", "a"])
    logits = share_out(drawn(points, labels), reach=2.0)
    found = candidates_of(logits, NAMES, SHAPE, floor=0.5)
    got = {(*np.round(p).tolist(), name) for name, peaks in found.items() for p in peaks.points}
    assert got == {(*p, name) for p, name in zip(points.tolist(), labels.tolist(), strict=True)}


def test_an_object_that_two_classes_claim_is_found_once():
    """Two class maps rise on one object: the higher names it, and there is no second point."""
    hill = gaussian_max([[20, 15]], SHAPE, sigma=2).numpy()
    logits = logits_of([0.5 * hill, 0.4 * hill, 0.1 * hill])
    found = candidates_of(share_out(logits, reach=2.0), NAMES, SHAPE)
    assert [len(found[name].points) for name in NAMES] == [1, 0, 0]
    assert found["a"].scores[0] == pytest.approx(1 - 0.5 * 0.6 * 0.9, abs=1e-3)


def test_a_peak_beside_a_higher_one_takes_its_class():
    """A doubled peak on one object cannot be of another class; farther away it can."""
    hills = [gaussian_max([[px, 20]], SHAPE, sigma=1).numpy() for px in (20, 23)]
    logits = logits_of([0.9 * hills[0], 0.8 * hills[1], 0 * hills[0]])
    apart, together = (share_out(logits, reach=reach) for reach in (2.5, 3.5))
    assert [len(c.points) for c in candidates_of(apart, NAMES, SHAPE).values()] == [1, 1, 0]
    assert [len(c.points) for c in candidates_of(together, NAMES, SHAPE).values()] == [2, 0, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.0, 1.5, 4.0]))
def test_classes_share_out_the_peaks_of_any_class(seed, reach):
    """Whatever a network draws: the peaks of all classes are those of an object of any class."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(-2, 2, (3, 24, 30)).astype(np.float32))
    shared = share_out(logits, reach=reach)
    assert shared.shape == (3, 24, 30)
    found = candidates_of(shared, NAMES, (24, 30))
    together = any_class(logits)
    heights = torch.sigmoid(together).numpy()
    every = find_candidates(heights, log_heatmap=functional.logsigmoid(together).numpy())
    points, _, scores = join_classes({n: (c.points, c.scores) for n, c in found.items()})
    assert np.allclose(np.sort(scores), np.sort(every.scores), atol=1e-6)
    assert len(points) == len(every.points)
    # at most one class has a pixel, and there it has the height of any class
    n_owners = (shared > NOTHING).sum(dim=0)
    assert n_owners.max() <= 1
    assert torch.equal(shared.max(dim=0).values[n_owners == 1], together[n_owners == 1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_flips_change_nothing(seed):
    """Mirrored logits give mirrored classes."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(-2, 2, (3, 18, 25)).astype(np.float32))
    for axis in (1, 2):
        flipped = share_out(logits.flip(axis), reach=2.0).flip(axis)
        assert torch.equal(flipped, share_out(logits, reach=2.0))


def test_any_class_is_not_none_of_them():
    """1 minus the product of what is left, for large and small heights alike."""
    heights = torch.tensor([[0.2, 0.999, 1e-6], [0.5, 0.9, 1e-6]])[:, None]
    expected = (1 - (1 - heights.double()).prod(dim=0)).float()
    assert torch.allclose(torch.sigmoid(any_class(torch.logit(heights))), expected, rtol=1e-3)
    assert any_class(torch.full((2, 1, 1), 40.0)).isfinite().all()


def test_a_picture_with_nothing_in_it_has_no_class():
    """Heatmaps of nothing at all stay so."""
    shared = share_out(torch.full((3, 12, 15), -20.0), reach=2.0)
    assert (shared == NOTHING).all()


def test_the_way_up_ends_on_the_peak():
    """On two hills each pixel leads to the top of its own."""
    heights = gaussian_max([[10, 10], [30, 20]], SHAPE, sigma=4).numpy().astype(float)
    tops = summits(np.log(heights + 1e-300))
    assert set(np.unique(tops[heights > 0.01])) == {10 * 60 + 10, 20 * 60 + 30}
    assert tops[12, 11] == 10 * 60 + 10
