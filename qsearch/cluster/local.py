"""The pool of one machine: worker processes, no Ray."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from qsearch.cluster.seats import SeatedPool
from workers.link import WorkerLink
from workers.wire import WorkerOptions


class LocalPool(SeatedPool):
    """Worker processes on this machine.

    NOTE: one worker unless told otherwise, because one machine is one measuring slot: two
    measurements at once would each be the other's noise.

    Args:
        workers: how many pieces run at once.
        scratch: folder the workers run in, made when absent; each piece names its own folder for files.
        options: how the workers are started; `folder` is set here.
    """

    def __init__(self, workers: int = 1, *, scratch: Path, options: WorkerOptions | None = None) -> None:
        self._wake = threading.Event()
        settings = replace(options or WorkerOptions(), folder=str(scratch))
        self._links = [WorkerLink(settings, wake=self._wake) for _ in range(workers)]
        super().__init__(self._links)

    def _wait(self, timeout_s: float) -> None:
        self._wake.wait(min(timeout_s, *(link.patience_s() for link in self._links)))
        # cleared before the links are looked at: what comes in between sets it again
        self._wake.clear()
