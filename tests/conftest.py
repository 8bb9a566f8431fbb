"""What all tests share: one thread, the real images where they are, small datasets."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pointlib.images import write_image
from pointlib.points import text_path, write_points

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real():
    """Return the folder of real images beside the project; skip where it is absent."""
    if not REAL.is_dir():
        pytest.skip(f"real images are not here ({REAL.name}/ beside the project)")
    return REAL


@pytest.fixture
def make_folder(tmp_path):
    """Return a function that writes a labelled folder of blobs and returns its path."""

    def make(n_images=4, *, shape=(48, 64), labels=("",), folder="dots"):
        path = tmp_path / folder
        path.mkdir()
        for i in range(n_images):
            image, points = blobs(shape, seed=i)
            name = np.resize(np.array(labels, dtype=str), len(points))
            write_image(path / f"dots_{i}.png", image)
            write_points(
                text_path(path / f"dots_{i}.png"), points, shape, labels=name if labels[0] else None
            )
        return path

    return make


def blobs(shape, *, n=5, seed=0):
    """Return a grey uint8 image of `n` bright blobs and their centres (N, 2)."""
    rng = np.random.default_rng(seed)
    height, width = shape
    points = rng.uniform([4, 4], [width - 5, height - 5], (n, 2))
    y, x = np.mgrid[:height, :width]
    square = (x - points[:, 0, None, None]) ** 2 + (y - points[:, 1, None, None]) ** 2
    image = 180 * np.exp(-square / 8).max(axis=0) + rng.normal(30, 4, shape)
    return np.clip(image, 0, 255).astype(np.uint8), points


class Brightness(torch.nn.Module):
    """A network that needs no training: a bright pixel is a high heatmap."""

    def forward(self, batch):
        """Return logits of the pixel values, one channel a class."""
        return torch.logit(batch, eps=1e-6)
