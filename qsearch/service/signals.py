"""Ctrl-C once and twice, here or asked from another process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

from qsearch.contracts.job import Request

#: what a request weighs, in signals
_WEIGHT = {None: 0, Request.STOP: 1, Request.CANCEL: 2}


class StopSignals:
    """Counts SIGINT and SIGTERM while a job is driven, instead of letting them interrupt a write.

    The first asks for a graceful stop (running trials end, the finals run), the second for a cancel.
    Outside the main thread nothing is installed and the count stays 0.
    """

    def __init__(self, told: Callable[[int], None] = lambda count: None) -> None:
        self.count = 0
        #: number of the last signal: 2 or 15; 0 when none came
        self.last = 0
        self._told = told
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    def heed(self, request: Request | None) -> None:
        """What another process has asked counts like the signals that say the same."""
        if _WEIGHT[request] > self.count:
            self.count = _WEIGHT[request]
            self._told(self.count)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.last = number
        self._told(self.count)
