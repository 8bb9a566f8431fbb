"""Jobs: a picture predicted in pieces, by one process or several, which a stop does not lose.

Each piece leaves a file, written whole or not at all: where it exists, the piece is done. The files
lie in a folder named after a digest of all that decides the result: model, picture, settings. So
the same command goes on where it was stopped, and another one starts anew. Every process uses one
thread and the network sees the same windows, so the result is the same to the byte, however many
work on it and however they were stopped.

About pieces and processes. Not about windows and seams: predict/tiles.py.
"""

import hashlib
import io
import json
import multiprocessing
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import torch

from pointlib.errors import InputError
from pointlib.files import need_file, need_place, write_atomic
from pointlib.images import image_header
from pointlib.model.folder import load_model, read_info
from pointlib.predict.folder import rules_in_use, write_tables
from pointlib.predict.points import WHOLE, bounds, choose_points, predicting, settings_of
from pointlib.predict.tiles import SIDE, Maxima, Tile, Tiling, heatmap_size, join_maxima, tiles_of
from pointlib.windows import fits_whole, is_zarr, open_windows

PARTS = ".parts"  # in the output, while a job runs
VERSION = 1  # of the files of the pieces
LOST = 3  # times in a row that a worker may end without a piece done


def predict_large(
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
    trust_code: bool = False,
    on_piece: Callable[[int, int], object] = lambda *_: None,
) -> dict[str, int]:
    """Predict one picture of any size and write `points.csv` and `counts.csv`.

    Stopped, the same call goes on: pieces that are done stay.

    Parameters
    ----------
    model_folder, path, output : str or Path
        The picture is an image file or the folder of an OME-Zarr.
    threshold, min_distance : float, optional
        For every class; default the model's.
    level : int
        Of the picture's pyramid. Points are in pixels of the largest level, 0, at any level.
    region : (x0, y0, x1, y1), optional
        Only points inside, in pixels of level 0. The network sees what is around it too.
    piece : int
        Side of a piece, pixels of the heatmap, rounded up to a multiple of 1024: pieces of any size
        give the same points.
    workers : int
        Number of processes, one thread each.
    trust_code : bool
        As `load_model` takes it.
    on_piece : callable
        Called with (pieces done, pieces in all).

    Returns
    -------
    dict
        ``n_images``, ``n_unreadable``, ``n_points``.
    """
    path, output = Path(path), need_place(output)
    info = read_info(model_folder)
    settings = settings_of(info, threshold, min_distance)
    with open_windows(path, level=level) as picture:
        full, shape = picture.full, picture.shape[:2]
    job = Job(model_folder, path, level, settings, trust_code, piece, region, full, shape)
    place = output / PARTS / job.digest()
    place.mkdir(parents=True, exist_ok=True)
    n_pieces = len(job.pieces())
    todo = [k for k in range(n_pieces) if not part_file(place, k).is_file()]
    on_piece(n_pieces - len(todo), n_pieces)

    def note():
        on_piece(sum(part_file(place, k).is_file() for k in range(n_pieces)), n_pieces)

    if workers > 1:
        _by_workers(job, place, todo, workers, note)
    else:
        _by_one(job, place, todo, note)
    points, labels, scores = job.join([_load(part_file(place, k)) for k in range(n_pieces)])
    rules = rules_in_use(info, threshold=threshold, min_distance=min_distance)
    rules = {} if level or region else rules  # they were learnt from whole pictures
    write_tables(output, [(path.name, full, points, labels, scores)], info.classes, rules)
    shutil.rmtree(output / PARTS)
    return {"n_images": 1, "n_unreadable": 0, "n_points": len(points)}


def is_large(path, info):
    """Return whether a path is one picture that is better predicted in pieces."""
    path = Path(path)
    if is_zarr(path):
        return True
    if not path.is_file() or not fits_whole(path):
        return path.is_file()
    try:
        size = heatmap_size(image_header(path).shape, info)
    except InputError:  # told where it is read
        return False
    return max(size) > WHOLE


class Job:
    """What decides the result, and how the work is cut into pieces; it can be sent to a process."""

    def __init__(self, model, path, level, settings, trust_code, piece, region, full, shape):
        self.model, self.path, self.level = Path(model), Path(path), level
        self.settings, self.trust_code = settings, trust_code
        self.piece, self.region = max(1, -(-piece // SIDE)), region
        self.full, self.shape = tuple(full), tuple(shape)
        self.info = read_info(model)
        if region is not None:
            _check_region(region, self.full)

    def digest(self):
        """Return a digest of model, picture and settings, 16 hexadecimal digits."""
        weights = need_file(self.model / "model.safetensors", "weights file").read_bytes()
        files = sorted(self.path.rglob("*")) if is_zarr(self.path) else [self.path]
        stats = [(str(f.name), s.st_size, s.st_mtime_ns) for f in files for s in [f.stat()]]
        what = [VERSION, stats, self.level, self.settings, self.piece, self.region]
        digest = hashlib.sha256(weights + (self.model / "pointlib.json").read_bytes())
        digest.update(json.dumps(what).encode())
        return digest.hexdigest()[:16]

    def pieces(self):
        """Return the pieces in reading order, each a large Tile; only those in the region."""
        height, width = heatmap_size(self.shape, self.info)
        every = tiles_of(Tile(0, height, 0, width), SIDE * self.piece)
        return [piece for piece in every if self._is_wanted(piece)]

    def _is_wanted(self, tile):
        """Return whether a tile has a pixel in the region, or within a pixel of it."""
        if self.region is None:
            return True
        x0, y0, x1, y1 = self.region
        (fy, fx), margin = np.divide(self.full, heatmap_size(self.shape, self.info)), 1
        rows = (tile.top - margin) * fy < y1 and (tile.bottom + margin) * fy > y0
        return rows and (tile.left - margin) * fx < x1 and (tile.right + margin) * fx > x0

    def do(self, tiling, k):
        """Return {class: Maxima} of a piece."""
        floor = bounds(self.settings)["floor"]
        with predicting(tiling.model):
            tiles = [t for t in tiles_of(self.pieces()[k], tiling.side) if self._is_wanted(t)]
            parts = [tiling.maxima(tile, floor=floor) for tile in tiles]
        names = self.info.classes
        columns = {name: zip(*(part[name] for part in parts), strict=True) for name in names}
        return {name: Maxima(*map(np.concatenate, own)) for name, own in columns.items()}

    def join(self, parts):
        """Return points (in pixels of level 0), labels and scores of all pieces."""
        size = heatmap_size(self.shape, self.info)
        reach = bounds(self.settings)["reach"]
        # distances are in pixels of the level that the model was shown
        found = join_maxima(parts, size=size, shape=self.shape, reach=reach)
        points, labels, scores = choose_points(found, self.settings)
        points = (points + 0.5) * np.divide(self.full, self.shape)[::-1] - 0.5
        if self.region is not None:
            x0, y0, x1, y1 = self.region
            inside = ((points >= [x0, y0]) & (points < [x1, y1])).all(axis=1)
            points, labels, scores = points[inside], labels[inside], scores[inside]
        return points, labels, scores


def part_file(place, k):
    """Return the path of the file of a piece."""
    return place / f"{k:07d}.npz"


def _check_region(region, full):
    x0, y0, x1, y1 = region
    height, width = full
    if not (x0 < x1 and y0 < y1 and x1 > 0 and y1 > 0 and x0 < width and y0 < height):
        raise InputError(
            f"the region {x0:g},{y0:g},{x1:g},{y1:g} has no pixel of the picture, "
            f"{width} x {height}; expected x0,y0,x1,y1 with x0 < x1 and y0 < y1."
        )


def _by_one(job, place, todo, note):
    """Do the pieces in this process, with one thread as a worker has."""
    before = torch.get_num_threads()
    worker = None
    torch.set_num_threads(1)
    try:
        for k in todo:
            worker = worker or Worker(job, place)
            worker.do(k)
            note()
    finally:
        torch.set_num_threads(before)
        if worker:
            worker.close()


def _by_workers(job, place, todo, workers, note):
    """Do the pieces in several processes; the piece of one that is killed is done again."""
    lost = 0
    while todo:
        n_before = len(todo)
        context = multiprocessing.get_context("spawn")
        options = {"mp_context": context, "initializer": _begin, "initargs": (job, place)}
        with ProcessPoolExecutor(min(workers, len(todo)), **options) as pool:
            try:
                for future in as_completed([pool.submit(_do, k) for k in todo]):
                    future.result()
                    note()
            except BrokenProcessPool:
                pass
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        todo = [k for k in todo if not part_file(place, k).is_file()]
        lost = lost + 1 if len(todo) == n_before else 0
        if lost == LOST:
            raise InputError(
                f"workers end before a piece is done, {LOST} times in a row: probably the memory "
                "is too small for so many. Use fewer --workers; what is done stays."
            )


class Worker:
    """A process's model and picture, opened once."""

    def __init__(self, job, place):
        self.job, self.place = job, place
        self.picture = open_windows(job.path, level=job.level)
        model = load_model(job.model, trust_code=job.trust_code)
        self.tiling = Tiling(model, self.picture)

    def do(self, k):
        """Predict a piece and write its file."""
        _save(part_file(self.place, k), self.job.do(self.tiling, k))

    def close(self):
        """Close the picture."""
        self.picture.close()


_worker = None  # of this process


def _begin(job, place):
    global _worker  # noqa: PLW0603 - a pool's initialiser has no other place
    torch.set_num_threads(1)
    _worker = Worker(job, place)


def _do(k):
    _worker.do(k)


def _save(path, maxima):
    """Write {class: Maxima} whole or not at all."""
    arrays = {
        f"{k}.{column}": value
        for k, own in enumerate(maxima.values())
        for column, value in own._asdict().items()
    }
    np.savez(file := io.BytesIO(), names=np.array(list(maxima), str), **arrays)
    write_atomic(path, file.getvalue())


def _load(path):
    """Return {class: Maxima} of a piece's file."""
    with np.load(path, allow_pickle=False) as saved:
        return {
            str(name): Maxima(*(saved[f"{k}.{column}"] for column in Maxima._fields))
            for k, name in enumerate(saved["names"])
        }
