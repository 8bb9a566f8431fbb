"""Cluster: pieces of work by the workers of a Dask scheduler, on this machine or on many.

A worker writes the file of its piece, as a process of pool.py does, so that nothing but a number
goes over the network: the folder of the output, the model and the pictures must be seen by all
machines under the same path.

About sending pieces. Not about what a piece is: pictures.py, folders.py.
"""

import collections

import torch

from pointlib.errors import InputError, brief
from pointlib.large.parts import part_file, save

AHEAD = 2  # pieces that each worker has been sent, so that it never waits for the next
PATIENCE = 60  # seconds to wait for a scheduler, and for its first worker
LOST = 3  # times that a piece may lose its worker
NEEDS_CLUSTER = "pip install 'pointlib[cluster]'"


def run_on_cluster(job, place, waiting, address, note):
    """Do pieces of a job on a Dask cluster.

    Parameters
    ----------
    job, place
        As `pool.run` takes them.
    waiting : list of int
        The pieces to do.
    address : str
        Of the scheduler, such as ``tcp://node1:8786``.
    note : callable
        Called with the number of pieces left, after each.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise InputError(f"a Dask scheduler needs distributed: {NEEDS_CLUSTER}") from None
    try:
        client = Client(address, timeout=PATIENCE)
    except Exception as error:  # of the network, or an address that is none
        raise InputError(
            f"there is no Dask scheduler at {address} ({brief(error)}). Start one: dask scheduler"
        ) from error
    with client:
        _wait_for_worker(client, address)
        queue, lost = collections.deque(waiting), collections.Counter()
        sent, running, pieces = client.scatter(job, broadcast=True), as_completed(), {}
        while queue or pieces:
            while queue and len(pieces) < AHEAD * max(1, len(client.nthreads())):
                k = queue.popleft()
                future = client.submit(do_piece, sent, place, k, pure=False)
                pieces[future] = k
                running.add(future)
            future = next(running)
            k = pieces.pop(future)
            if _is_done(future, place, k):
                note(len(queue) + len(pieces))
                continue
            lost[k] += 1
            _check_losses(client, address, k, lost[k])
            queue.append(k)
            sent = client.scatter(job, broadcast=True)  # the workers that had it may be gone


def _check_losses(client, address, k, n_lost):
    """Raise InputError if the scheduler is gone, or a piece has lost too many workers."""
    if client.status != "running":
        raise InputError(
            f"the scheduler at {address} is gone. Start it again and repeat the command: what is "
            "done stays."
        )
    if n_lost == LOST:
        raise InputError(
            f"piece {k} lost its worker {LOST} times: probably the memory of the workers is too "
            "small. What is done stays."
        )


def _wait_for_worker(client, address):
    """Wait until there is a worker."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise InputError(
            f"the scheduler at {address} has no worker. Start some: dask worker {address}"
        ) from None


def _is_done(future, place, k):
    """Return whether a piece is done; False if its worker was lost. Its own errors are raised."""
    from distributed import CancelledError, KilledWorker

    try:
        future.result()
    except (KilledWorker, CancelledError):
        return False
    if not part_file(place, k).is_file():
        raise InputError(
            f"a worker has done a piece, but {place} is empty here: workers and this machine must "
            "see the output under the same path, as on a shared disk."
        )
    return True


_opened = {}  # of this process: {folder of a job: its worker}


def do_piece(job, place, k):
    """Do a piece in a process of the cluster, unless its file is there already."""
    if part_file(place, k).is_file():
        return
    torch.set_num_threads(1)
    if place not in _opened:
        for worker in _opened.values():
            worker.close()
        _opened.clear()
        _opened[place] = job.open()
    save(part_file(place, k), _opened[place].do(k))
