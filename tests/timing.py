"""How long something takes, whatever other tests have left in memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def work() -> Iterator[Callable[[], float]]:
    """Seconds of this process's work so far; objects that are there already are not searched for garbage meanwhile."""
    gc.freeze()
    start = time.process_time()
    try:
        yield lambda: time.process_time() - start
    finally:
        gc.unfreeze()
