"""Sigma, and Gaussians drawn without torch."""

import numpy as np
import pytest

from pointlib import gaussians
from pointlib.errors import InputError
from pointlib.gaussians import MANY, auto_sigma, draw_hills
from pointlib.heatmaps import gaussian_max

SHAPE = (37, 52)


def test_auto_sigma_follows_the_spacing():
    """Wider spacing gives a larger sigma, within its bounds; lonely points a default."""
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), -1).reshape(-1, 2)
    assert auto_sigma([grid * 15]) == 4.5
    assert auto_sigma([grid]) == 1.5
    assert auto_sigma([grid * 500]) == 6.0
    assert 1.5 < auto_sigma([np.zeros((1, 2)), np.zeros((0, 2))]) < 6.0


def test_auto_sigma_is_half_the_radius_where_neighbours_allow_it():
    """A match radius speaks for the size of the objects, but neighbours stay apart."""
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), -1).reshape(-1, 2)
    assert auto_sigma([grid * 100], radius=24) == 12.0
    assert auto_sigma([grid * 15], radius=24) == 6.0
    assert auto_sigma([grid * 100], radius=2) == 1.5
    assert auto_sigma([np.zeros((1, 2))], radius=24) == 12.0


def test_auto_sigma_of_twins_is_the_narrowest():
    """Two points at one place are legal input (LESSONS 5)."""
    assert auto_sigma([np.array([[20.2, 9.7], [20.2, 9.7]])]) == 1.5


@pytest.mark.parametrize("sigma", [0.3, 1.5, 6, 40.0])
@pytest.mark.parametrize("shape", [SHAPE, (3, 70), (1, 1), (0, 5)])
@pytest.mark.parametrize("n", [0, 1, 60, MANY])
def test_draw_hills_draws_what_gaussian_max_draws(n, shape, sigma):
    """Few points in numpy, many in compiled code, inside and out: one and the same picture."""
    points = np.random.default_rng(n).uniform(-20, 80, (n, 2))
    drawn, taught = draw_hills(points, shape, sigma=sigma), gaussian_max(points, shape, sigma=sigma)
    assert drawn.dtype == np.float32
    assert np.allclose(drawn, taught.numpy(), rtol=0, atol=1e-6)


def test_draw_hills_reaches_as_far_as_gaussian_max():
    """Whole pixels and a reach of whole pixels: what lies at just 4 sigma is drawn by both."""
    drawn = draw_hills([[20, 18]], SHAPE, sigma=1.5)
    assert np.allclose(drawn, gaussian_max([[20, 18]], SHAPE, sigma=1.5), rtol=0, atol=1e-6)
    assert (drawn[18, [14, 26]] > 3e-4).all()
    assert (drawn[[12, 24], 20] > 3e-4).all()
    assert not drawn[18, [13, 27]].any()


def test_draw_hills_of_a_place_beyond_numbers_is_empty():
    """What lies nowhere near the frame draws nothing, and warns of nothing."""
    assert not draw_hills([[1e300, 4.0], [4.0, -1e300]], SHAPE, sigma=2.0).any()


def test_draw_hills_does_not_care_who_draws(monkeypatch):
    """The same points, drawn by the one and by the other, are the same to the last digits."""
    points = np.random.default_rng(0).uniform(0, 37, (50, 2))
    few = draw_hills(points, SHAPE, sigma=2.5)
    monkeypatch.setattr(gaussians, "MANY", 50)
    assert np.allclose(few, draw_hills(points, SHAPE, sigma=2.5), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("points", "sigma", "words"), [
    ([[1, np.nan]], 2.0, "expected finite"),
    ([[1, 2, 3]], 2.0, "shape"),
    ([[1, 2]], 0.0, "sigma is 0; expected a number above 0"),
    ([[1, 2]], np.nan, "sigma is nan"),
])  # fmt: skip
def test_draw_hills_refuses_bad_input(points, sigma, words):
    """NaN, a wrong shape and a sigma of zero are sentences."""
    with pytest.raises(InputError, match=words):
        draw_hills(points, SHAPE, sigma=sigma)
