"""Ctrl-C once and twice."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType


class StopSignals:
    """Counts SIGINT and SIGTERM while a job is driven, instead of letting them interrupt a write.

    The first asks for a graceful stop (running trials end, the finals run), the second for a cancel.
    Outside the main thread nothing is installed and the count stays 0.
    """

    def __init__(self, told: Callable[[int], None] = lambda count: None) -> None:
        self.count = 0
        #: number of the last signal: 2 or 15
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

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.last = number
        self._told(self.count)
