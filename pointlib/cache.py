"""A bounded cache: values that take long to make are made once and kept in memory.

About values by key. Not about how a value is made, nor about files.
"""

import math
import os
import threading

KEPT_BYTES = 2**30  # of a dataset's images, or of a model's predictions of one

# One lock for all caches, held briefly: a cache with its own could not be pickled. It is also held
# around a fork: a child forked while another thread has it could never acquire it.
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


class Cache:
    """Values by key, each made at its first use. Safe in threads and across forks.

    Parameters
    ----------
    max_bytes : int, optional
        Of the arrays in all values. What does not fit is not kept, and older values stay: if all
        values are read in turn, over and over, evicting the oldest would never give a hit.
    max_items : int, optional
        Beyond it, the least recently used value is evicted.
    """

    def __init__(self, *, max_bytes=math.inf, max_items=math.inf):
        self.max_bytes, self.max_items = max_bytes, max_items
        self._n_bytes, self._kept = 0, {}  # in order of use

    def get(self, key, make):
        """Return the value of a key, made by `make()` if it is not kept.

        Two threads that miss it at the same time both make it, so that neither waits.
        """
        with _lock:
            if key in self._kept:
                self._kept[key] = self._kept.pop(key)
                return self._kept[key]
        value = make()
        size = n_bytes(value)
        with _lock:
            if key not in self._kept and self._n_bytes + size <= self.max_bytes:
                self._kept[key] = value
                self._n_bytes += size
            if len(self._kept) > self.max_items:
                oldest = next(iter(self._kept))
                self._n_bytes -= n_bytes(self._kept.pop(oldest))
        return value

    def peek(self, key):
        """Return the value of a key, or None if it is not kept."""
        with _lock:
            return self._kept.get(key)


def n_bytes(value):
    """Return how many bytes the arrays in a value take, also those in tuples and lists."""
    if isinstance(value, (tuple, list)):
        return sum(map(n_bytes, value))
    return getattr(value, "nbytes", 0)
