"""Tests of the one bounded cache: what stays, what is made again, threads, forks and pickles."""

import multiprocessing
import pickle
import sys
import threading
import time

import numpy as np
import pytest
from torch.utils.data import DataLoader

from pointlib import cache as module
from pointlib.cache import Cache, n_bytes
from pointlib.dataset import ImagePointDataset
from pointlib.train.crops import Shrunk


def filled(cache, keys, made):
    """Ask for keys in turn; whatever is made is noted in `made` and takes 100 bytes."""
    for key in keys:
        cache.get(key, lambda key=key: made.append(key) or np.full(100, key, np.uint8))
    return cache


def test_what_came_first_stays():
    """Within bytes: passes over more than fit make only what did not fit, however many."""
    made = []
    filled(Cache(max_bytes=250), [*range(5)] * 3, made)
    assert made == [0, 1, 2, 3, 4, 2, 3, 4, 2, 3, 4]


def test_what_fits_is_kept_though_a_larger_one_did_not():
    """A large value is passed on; a smaller one after it still finds room."""
    cache, made = Cache(max_bytes=250), []
    assert len(cache.get("large", lambda: np.zeros(300, np.uint8))) == 300
    filled(cache, [1, 2, 1, 2], made)
    assert (cache.peek("large"), made) == (None, [1, 2])


def test_of_few_the_last_used_stay():
    """Within items: the one not used for longest goes, and asking is using."""
    made = []
    filled(Cache(max_items=2), [0, 1, 0, 2, 0, 1], made)
    assert made == [0, 1, 2, 1]


def test_peeking_makes_nothing_and_is_no_use():
    """A look says what is there, and the next one to go stays the next one."""
    cache = filled(Cache(max_items=2), [0, 1], [])
    assert cache.peek(0)[0] == 0
    filled(cache, [2], [])
    assert cache.peek(0) is None


def test_what_is_none_or_fails():
    """None is a value like any other; what raised is made again."""
    cache, made = Cache(max_items=2), []
    assert [cache.get("none", lambda: made.append(1)) for _ in range(2)] == [None, None]
    assert made == [1]
    with pytest.raises(ZeroDivisionError):
        cache.get("broken", lambda: 1 / 0)
    assert cache.get("broken", lambda: 7) == 7


def test_n_bytes_counts_arrays_in_tuples_and_lists():
    """Numpy's and torch's arrays count, wherever they stand; words and numbers do not."""
    import torch

    drawn = [(torch.zeros(1, 4, 6), (8, 12))]
    assert n_bytes((np.zeros(10, np.float32), "name", drawn, 0.5)) == 40 + 96


def test_threads_may_share_a_cache():
    """Each gets the value of its key, the bounds hold, and who looks waits for nobody who makes."""
    cache, wrong = Cache(max_items=3, max_bytes=250), []

    def ask(seed):
        for key in np.random.default_rng(seed).integers(0, 6, 3_000).tolist():
            got = cache.get(key, lambda key=key: np.full(100, key, np.uint8))
            wrong.extend(got[got != key])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask, args=[seed]) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
    assert sum(cache.peek(key) is not None for key in range(6)) == 2
    assert cache.get("outer", lambda: cache.peek("inner")) is None


@pytest.mark.skipif(sys.platform != "linux", reason="fork")
def test_no_fork_inherits_a_held_lock():
    """A child is forked only while no thread holds the lock: it must not wait for ever."""
    hold, held = threading.Event(), threading.Event()

    def keep():
        with module._lock:
            held.set()
            hold.wait(0.2)

    thread = threading.Thread(target=keep)
    thread.start()
    held.wait()
    child = multiprocessing.get_context("fork").Process(
        target=Cache(max_items=1).get, args=[0, time.time]
    )
    child.start()
    child.join(60)
    thread.join()
    assert child.exitcode == 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_loaders_processes_take_a_dataset_along(make_folder, method):
    """Images come alike from workers, forked or started afresh, some of them kept by then."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork here")
    dataset = ImagePointDataset(make_folder(4))
    small = Shrunk(dataset, 0.5)
    expected = [small[index][0] for index in range(4)]
    small = pickle.loads(pickle.dumps(small))  # noqa: S301 - what spawn does
    loader = DataLoader(small, 1, num_workers=1, multiprocessing_context=method, collate_fn=list)
    for [(image, _, _)], same in zip(loader, expected, strict=True):
        assert np.array_equal(image, same)
