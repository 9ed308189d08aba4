"""How long the piece of work under way may still take: whoever waits in it, waits no longer.

NOTE: every wait has a patience of its own (a load, a block, a call of the user's code), and their sum has
nothing to do with the time that the whole piece was given. A worker that lets its own patience run past
the deadline is killed by its parent, with its warm caches, for what one child did; one that ends the
child in time serves the next piece.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_UNTIL: ContextVar[float] = ContextVar("until", default=math.inf)


@contextmanager
def deadline(seconds: float, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """The block is a piece of work with so many seconds; inside another one, the earlier end counts."""
    before = _UNTIL.set(min(_UNTIL.get(), clock() + seconds))
    try:
        yield
    finally:
        _UNTIL.reset(before)


def within(patience_s: float, clock: Callable[[], float] = time.monotonic) -> float:
    """The patience, or what is left of the work's time where that is less; seconds, never negative."""
    return max(0.0, min(patience_s, _UNTIL.get() - clock()))
