"""Parts: the files that the pieces of a job leave, one each, whole or not at all.

About files. Not about who writes them: pool.py, cluster.py.
"""

import io

import numpy as np

from pointlib.files import write_atomic


def part_file(place, k):
    """Return the path of the file of a piece."""
    return place / f"{k:07d}.npz"


def save(path, arrays):
    """Write a dict of arrays, whole or not at all."""
    np.savez(file := io.BytesIO(), **arrays)
    write_atomic(path, file.getvalue())


def load(path):
    """Return the dict of arrays of a file."""
    with np.load(path, allow_pickle=False) as saved:
        return dict(saved)
