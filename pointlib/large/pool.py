"""Pool: pieces of work, by one process or several, each leaving a file: a stop is no loss.

A file is written whole or not at all: where it exists, the piece is done. Every process uses one
thread, so the numbers in a file do not depend on how many there are.

About processes and files. Not about what a piece is: pictures.py, folders.py.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import torch

from pointlib.errors import InputError
from pointlib.large.cluster import run_on_cluster
from pointlib.large.parts import load, part_file, save

LOST = 3  # times in a row that processes may end without a piece done


def run(job, place, *, workers, on_piece, scheduler=None):
    """Do the pieces of a job that have no file yet; return the arrays of all, in order.

    Parameters
    ----------
    job : object
        With ``n_pieces``, and ``open()``, which gives a worker: ``worker.do(k)`` returns a dict of
        arrays, ``worker.close()`` ends it. It is sent to the processes.
    place : Path
        Folder of the files, made if needed.
    workers : int
        Number of processes.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers do the pieces instead: see cluster.py.
    on_piece : callable
        Called with (pieces done, pieces in all), at the start too.
    """
    place.mkdir(parents=True, exist_ok=True)

    def left():
        done = {path.name for path in place.iterdir()}  # a million are listed in seconds
        return [k for k in range(job.n_pieces) if part_file(place, k).name not in done]

    def note(n_left):
        on_piece(job.n_pieces - n_left, job.n_pieces)

    waiting = left()
    note(len(waiting))
    if scheduler is not None and waiting:
        run_on_cluster(job, place, waiting, scheduler, note)
    elif workers > 1:
        _by_workers(job, place, left, workers, note)
    elif waiting:
        _by_one(job, place, waiting, note)
    return [load(part_file(place, k)) for k in range(job.n_pieces)]


def _by_one(job, place, waiting, note):
    """Do the pieces in this process, with one thread as the others have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    worker = job.open()
    try:
        for n_done, k in enumerate(waiting, 1):
            save(part_file(place, k), worker.do(k))
            note(len(waiting) - n_done)
    finally:
        worker.close()
        torch.set_num_threads(before)


def _by_workers(job, place, left, workers, note):
    """Do the pieces in several processes; the piece of one that is killed is done again."""
    lost = 0
    while waiting := left():
        options = {"mp_context": multiprocessing.get_context("spawn"), "initializer": _begin}
        with ProcessPoolExecutor(
            min(workers, len(waiting)), initargs=(job, place), **options
        ) as pool:
            try:
                futures = [pool.submit(_do, k) for k in waiting]
                for n_done, future in enumerate(as_completed(futures), 1):
                    future.result()
                    note(len(waiting) - n_done)
            except BrokenProcessPool:
                pass  # a process was killed: a new pool does what is left
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        lost = lost + 1 if len(left()) == len(waiting) else 0
        if lost == LOST:
            raise InputError(
                f"workers end before a piece is done, {LOST} times in a row: probably the memory "
                "is too small for so many, or a script lacks `if __name__ == '__main__':`. Use "
                "fewer workers; what is done stays."
            )


_own = []  # of this process: its worker, and the folder of the files


def _begin(job, place):
    torch.set_num_threads(1)
    _own[:] = job.open(), place


def _do(k):
    worker, place = _own
    save(part_file(place, k), worker.do(k))
