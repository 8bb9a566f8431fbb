"""Jobs: a picture of any size, or many images, predicted in pieces that a stop does not lose.

The files of the pieces lie in a folder named after a digest of all that decides the result: model,
pictures, settings. So the same command goes on where it was stopped, and another one starts anew.

About the command. Not about processes (pool.py) nor about pieces (pictures.py, folders.py).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pointlib.errors import InputError
from pointlib.files import need_file, need_place
from pointlib.images import image_header
from pointlib.large.folders import IMAGES, FolderJob
from pointlib.large.pictures import PictureJob
from pointlib.large.pool import run
from pointlib.model.folder import CUSTOM, load_model, read_info
from pointlib.predict.folder import (
    find_images,
    rules_in_use,
    sources_of,
    try_settings,
    write_tables,
)
from pointlib.predict.points import is_small, settings_of
from pointlib.predict.tiles import SIDE
from pointlib.thresholds import find_peaks
from pointlib.windows import fits_whole, is_zarr

PARTS = ".parts"  # in the output, while a job runs
VERSION = 1  # of the files of the pieces


def predict_large(  # noqa: PLR0913 - an option each
    model_folder: str | Path,
    path: str | Path,
    output: str | Path,
    *,
    threshold: float | None = None,
    min_distance: float | None = None,
    level: int = 0,
    region: tuple[float, float, float, float] | None = None,
    piece: int = SIDE,
    workers: int = 1,
    scheduler: str | None = None,
    trust_code: bool = False,
    on_piece: Callable[[int, int], object] = lambda *_: None,
) -> dict[str, Any]:
    """Predict a picture of any size, or many images, and write `points.csv` and `counts.csv`.

    Stopped, the same call goes on: pieces that are done stay.

    Parameters
    ----------
    model_folder, path, output : str or Path
        The picture is an image file or the folder of an OME-Zarr; or a folder of images.
    threshold, min_distance : float, optional
        For every class; default the model's.
    level : int
        Of the picture's pyramid. Points are in pixels of the largest level, 0, at any level.
    region : (x0, y0, x1, y1), optional
        Only points inside, in pixels of level 0. The network sees what is around it too.
    piece : int
        Side of a picture's pieces, pixels of the heatmap, rounded up to a multiple of 1024: pieces
        of any size give the same points.
    workers : int
        Number of processes, one CPU thread each. A script that asks for more than one needs
        ``if __name__ == "__main__":`` about its own work, since each of them imports it.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``tcp://node1:8786``, whose workers do the pieces. They
        must see model, pictures and output under the same paths.
    trust_code : bool
        As `load_model` takes it.
    on_piece : callable
        Called with (pieces done, pieces in all).

    Returns
    -------
    dict
        ``n_images``, ``n_unreadable``, ``n_points``, and ``unreadable``, {name: why}.

    Examples
    --------
    >>> from pointlib import ModelInfo, build_model, draw_cells, predict_large, save_model
    >>> from pointlib import write_image
    >>> save_model(build_model(ModelInfo(n_channels=1)), "model")
    >>> write_image("slide.png", draw_cells((40, 60), n=5).image)
    >>> predict_large("model", "slide.png", "predictions")["n_images"]
    1
    """
    # absolute paths: the workers of a cluster start in folders of their own
    path, model_folder = (Path(os.path.abspath(given)) for given in (path, model_folder))
    output = Path(os.path.abspath(need_place(output)))
    info = read_info(model_folder)
    own = {"threshold": threshold, "min_distance": min_distance}
    own = {key: None if value is None else float(value) for key, value in own.items()}
    region = None if region is None else tuple(map(float, region))
    model = load_model(model_folder, trust_code=trust_code)  # here, what is wrong with it is said
    try_settings(model, own)
    rules = rules_in_use(info, **own)
    if is_folder(path):
        if level or region is not None:
            raise InputError(f"{path} is a folder; a level or a region is of one picture. Name it.")
        sources = sources_of(path, output)
        settings = own | {"threshold_fn": find_peaks}
        job = FolderJob(model_folder, sources, settings, trust_code=trust_code)
        what = [own, [(name, *_stat(source)) for source, name in sources]]
    else:
        settings = settings_of(info, **own)
        options = {"level": level, "region": region, "piece": piece, "trust_code": trust_code}
        job = PictureJob(model_folder, path, info, settings, **options)
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        what = [settings, level, region, job.pieces, [(f.name, *_stat(f)) for f in files]]
        rules = {} if level or region is not None else rules  # they were learnt from whole pictures
    place = output / PARTS / _digest(model_folder, what)
    parts = run(job, place, workers=workers, on_piece=on_piece, scheduler=scheduler)
    rows, unreadable = job.rows(parts)
    write_tables(output, rows, info.classes, rules)
    shutil.rmtree(place)
    with suppress(OSError):  # another job's parts are there too
        place.parent.rmdir()
    n_points = sum(len(points) for _, _, points, *_ in rows)
    summary = {"n_images": len(rows), "n_unreadable": len(unreadable), "n_points": n_points}
    return summary | {"unreadable": unreadable}


def is_large(path, info):
    """Return whether a path is better predicted in pieces: a large picture, or many images."""
    path = Path(path)
    if is_folder(path):
        return len(find_images(path)) > IMAGES
    if is_zarr(path):
        return True
    if not path.is_file() or not fits_whole(path):
        return path.is_file()
    try:
        return not is_small(image_header(path).shape, info)
    except InputError:  # told where it is read
        return False


def is_folder(path):
    """Return whether a path is a folder of images, not that of an OME-Zarr."""
    return Path(path).is_dir() and not is_zarr(path)


def _digest(model, what):
    """Return a digest of a model folder and of what else decides the result."""
    weights = need_file(model / "model.safetensors", "weights file").read_bytes()
    digest = hashlib.sha256(weights)
    for name in ("pointlib.json", "config.json", CUSTOM):
        if (model / name).is_file():
            digest.update((model / name).read_bytes())
    digest.update(json.dumps([VERSION, what]).encode())
    return digest.hexdigest()[:16]


def _stat(file):
    """Return size and time of the last change."""
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns
