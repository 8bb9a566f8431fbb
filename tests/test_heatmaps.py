"""Points to heatmaps."""

import numpy as np
import pytest
import torch

from pointlib.errors import InputError
from pointlib.heatmaps import (
    auto_sigma,
    density,
    draw_classes,
    draw_gaussians,
    gaussian_max,
    gaussian_sum,
)
from pointlib.thresholds import basic_threshold, find_peaks

SHAPE = (37, 52)


def naive(points, shape, sigma):
    """Return the maximum of full Gaussians, pixel by pixel."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    each = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in points]
    return np.max(each, axis=0) if each else np.zeros(shape)


def random_points(n, *, seed=0, shape=SHAPE):
    """Return n points anywhere in the image."""
    rng = np.random.default_rng(seed)
    return rng.uniform([-0.5, -0.5], [shape[1] - 0.5, shape[0] - 0.5], (n, 2))


@pytest.mark.parametrize("sigma", [0.6, 1.5, 4.0])
def test_gaussian_max_equals_the_formula(sigma):
    """The scattered windows give what the formula says, up to the cut at 4 sigma."""
    points = random_points(30)
    difference = gaussian_max(points, SHAPE, sigma=sigma).numpy() - naive(points, SHAPE, sigma)
    assert np.abs(difference).max() < 4e-4


def test_density_does_not_depend_on_chunks(monkeypatch):
    """Drawing in many small chunks gives what drawing at once gives."""
    points = random_points(100)
    whole = density(points, SHAPE, sigma=2.0)
    monkeypatch.setattr("pointlib.heatmaps.CHUNK", 1000)
    assert torch.allclose(density(points, SHAPE, sigma=2.0), whole, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.3, 1.5, 6, 40.0, 1e6])
@pytest.mark.parametrize("shape", [SHAPE, (3, 70), (1, 1), (0, 5)])
@pytest.mark.parametrize("n", [0, 1, 60, 2000])
def test_draw_gaussians_equals_the_formula_cut_at_4_sigma(n, shape, sigma):
    """Points inside and out, few and many, wide and narrow: as pixel by pixel, to the last bit."""
    points = np.random.default_rng(n).uniform(-20, 80, (n, 2))
    wanted = np.zeros(shape, np.float32)
    across, down = (
        [np.where(np.abs(d) <= 4, np.exp(-0.5 * d**2), 0).astype(np.float32) for d in distances]
        for distances in ((np.arange(shape[1 - k]) - points[:, [k]]) / sigma for k in (0, 1))
    )
    for wide, tall in zip(across, down, strict=True):
        wanted = np.maximum(wanted, tall[:, None] * wide)
    drawn = draw_gaussians(points, shape, sigma=sigma)
    assert drawn.dtype == np.float32
    assert np.array_equal(drawn, wanted)
    assert np.array_equal(gaussian_max(points, shape, sigma=sigma).numpy(), wanted)


def test_a_tensor_of_points_is_drawn_as_an_array_is():
    """Points as a tensor of 32 or 64 bits, sigma as one too: the same heatmap."""
    points = np.round(random_points(20) * 8) / 8
    sigma = torch.linspace(1, 3, 20)
    wanted = gaussian_max(points, SHAPE, sigma=sigma.numpy())
    for dtype in (torch.float32, torch.float64):
        assert torch.equal(
            gaussian_max(torch.tensor(points, dtype=dtype), SHAPE, sigma=sigma), wanted
        )


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


def test_draw_gaussians_reaches_4_sigma():
    """Whole pixels and a reach of whole pixels: what lies at just 4 sigma is drawn, no more."""
    drawn = draw_gaussians([[20, 18]], SHAPE, sigma=1.5)
    assert (drawn[18, [14, 26]] > 3e-4).all()
    assert (drawn[[12, 24], 20] > 3e-4).all()
    assert not drawn[18, [13, 27]].any()


@pytest.mark.parametrize("place", [1e300, -1e300, np.nan])
def test_gaussian_max_of_a_place_beyond_numbers_is_empty(place):
    """A tensor is taken as it is: what lies nowhere near the frame, or nowhere, draws nothing."""
    points = torch.tensor([[place, 4.0], [4.0, place]], dtype=torch.float64)
    assert not gaussian_max(points, SHAPE, sigma=2.0).any()


def test_gaussian_max_draws_the_shade_of_points_outside():
    """A centre outside the frame still casts its Gaussian into it, and a far one nothing."""
    near, far = (
        gaussian_max([[-3.0, 10.0], [1e6, -1e6]], SHAPE, sigma=2.0),
        naive([[-3, 10]], SHAPE, 2),
    )
    assert near[10, 0] == pytest.approx(far[10, 0], abs=1e-6)
    assert near[10, 0] > 0.3


def test_gaussian_max_turns_with_the_points():
    """Mirroring the points mirrors the heatmap, to the last digits."""
    points = random_points(20)
    mirrored = np.column_stack([SHAPE[1] - 1 - points[:, 0], points[:, 1]])
    a, b = (gaussian_max(p, SHAPE, sigma=2.5) for p in (points, mirrored))
    assert torch.allclose(a, b.flip(1), atol=1e-6)


def test_gaussian_max_takes_a_sigma_a_point():
    """Each point may have its own sigma."""
    both = gaussian_max([[10, 10], [40, 20]], SHAPE, sigma=[1.0, 4.0])
    assert both[10, 12] == pytest.approx(np.exp(-2))
    assert both[20, 44] == pytest.approx(np.exp(-0.5))


@pytest.mark.parametrize("draw", [gaussian_max, gaussian_sum, density])
def test_heatmaps_of_no_points_are_empty(draw):
    """No points give a map of zeros of the right shape."""
    heatmap = draw(np.zeros((0, 2)), SHAPE, sigma=2.0)
    assert heatmap.shape == SHAPE
    assert heatmap.dtype == torch.float32
    assert not heatmap.any()


def test_gaussian_sum_of_near_points_cannot_be_decoded():
    """Two points 10 px apart, sigma 5: the clipped sum decodes to many points, the maximum to 2."""
    points = [[20.0, 18.0], [30.0, 18.0]]
    clipped, highest = (f(points, SHAPE, sigma=5.0).numpy() for f in (gaussian_sum, gaussian_max))
    assert len(basic_threshold(clipped)[0]) > 20
    assert len(basic_threshold(highest)[0]) == 2
    assert len(find_peaks(highest)[0]) == 2


@pytest.mark.parametrize("gap", [2, 3, 5, 8])
def test_gaussian_max_keeps_whole_pixel_neighbours_apart(gap):
    """Whole-pixel points 2 px or more apart stay two peaks, whatever sigma."""
    points = [[20.0, 18.0], [20.0 + gap, 18.0]]
    for sigma in (1.0, 3.0, 6.0):
        assert (
            len(find_peaks(gaussian_max(points, SHAPE, sigma=sigma).numpy(), min_distance=1)[0])
            == 2
        )


def test_density_counts_every_point_even_at_the_border():
    """Density sums to the number of points inside: corner, border and middle weigh the same."""
    points = [[0.0, 0.0], [-0.4, 20.3], [51.4, 36.4], [25.2, 18.7]]
    assert float(density(points, SHAPE, sigma=4.0).sum()) == pytest.approx(4, abs=1e-4)
    assert float(density([[-3.0, 4.0]], SHAPE, sigma=4.0).sum()) == 0


def test_draw_classes_keeps_classes_apart():
    """One channel a class, in the given order; an empty class is an empty channel."""
    points, labels = np.array([[10.0, 10.0], [30.0, 20.0]]), np.array(["b", "a"])
    maps = draw_classes(points, labels, SHAPE, classes=("a", "b", "c"), sigma=2.0)
    assert maps.shape == (3, *SHAPE)
    assert [m.argmax().item() for m in maps[:2]] == [20 * SHAPE[1] + 30, 10 * SHAPE[1] + 10]
    assert not maps[2].any()


def test_draw_classes_refuses_an_unknown_label():
    """A label outside the classes is an error that names it."""
    with pytest.raises(InputError, match="label 'weed' is not among the classes"):
        draw_classes([[1, 1]], ["weed"], SHAPE, classes=("crop",), sigma=2.0)


@pytest.mark.parametrize(("points", "sigma", "words"), [
    ([[1, np.nan]], 2.0, "expected finite"),
    ([[1, 2, 3]], 2.0, "shape"),
    ([[1, 2]], 0.0, "sigma is 0; expected a number above 0"),
    ([[1, 2]], np.nan, "sigma is nan"),
])  # fmt: skip
def test_heatmaps_refuse_bad_input(points, sigma, words):
    """NaN, a wrong shape and a sigma of zero are sentences."""
    with pytest.raises(InputError, match=words):
        gaussian_max(points, SHAPE, sigma=sigma)


def test_gaussian_max_takes_the_same_point_twice():
    """Two points at one place are legal input and make one hill; density counts both."""
    twice = [[20.2, 9.7], [20.2, 9.7]]
    assert torch.equal(
        gaussian_max(twice, SHAPE, sigma=2.0), gaussian_max(twice[:1], SHAPE, sigma=2.0)
    )
    assert float(density(twice, SHAPE, sigma=2.0).sum()) == pytest.approx(2, abs=1e-4)
