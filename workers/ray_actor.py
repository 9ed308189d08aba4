"""The worker's end of Ray: an actor that holds one slot and one link.

NOTE: the actor is a shell. What can crash, leak or hang happens in the link's process; so native code
that dies costs an outcome and not an actor, and Ray never has to restart or retry anything by itself.
"""

from __future__ import annotations

import json
import threading

from qsearch.contracts.causes import Cause
from qsearch.contracts.codec import canonical, from_data
from qsearch.contracts.errors import Unreachable
from qsearch.contracts.work import Outcome, Work
from workers.link import WorkerLink
from workers.wire import WorkerOptions, failed, read_work, write_hello, write_outcome

#: what Ray puts into its workers' environment that would change what is measured
RAY_SETS = ("OMP_NUM_THREADS",)


def write_options(options: WorkerOptions) -> str:
    """The options as the actor takes them."""
    return canonical(options)


class LinkActor:
    """One worker process behind JSON calls. At most one `run` at a time, `cancel` and `close` beside it.

    Args:
        options: a WorkerOptions as JSON text.
    """

    def __init__(self, options: str) -> None:
        self._wake = threading.Event()
        self._link = WorkerLink(from_data(WorkerOptions, json.loads(options)), wake=self._wake)
        # the link is used from one thread at a time: Ray calls each method on any of its threads
        self._using = threading.Lock()
        self._cancelled = ("", 0)
        self._closing = False

    def hello(self) -> str:
        """The worker's hello.

        Raises:
            Unreachable: no worker can be started here.
        """
        with self._using:
            self._await_worker()
            if self._link.slot is None:
                raise Unreachable(self._link.broken or "the worker was closed before it was ready")
            return write_hello(self._link.slot)

    def run(self, text: str) -> str:
        """The outcome of one piece of work, both as JSON text."""
        work = read_work(text)
        with self._using:
            return write_outcome(self._perform(work))

    def cancel(self, key: str, token: int) -> None:
        """Kill this attempt, if it is what runs or is about to; its `run` answers CANCELLED."""
        self._cancelled = (key, token)
        self._wake.set()

    def close(self) -> None:
        """End the worker and everything it started; a `run` that is going on ends."""
        self._closing = True
        self._wake.set()
        with self._using:
            self._link.close()

    def _perform(self, work: Work) -> Outcome:
        # a worker that has died in the work before may still be starting
        self._await_worker()
        if self._link.slot is None:
            return failed(work, Cause.INFRA, f"no worker can be started here: {self._link.broken or 'closing'}")
        self._link.send(work)
        while True:
            # cleared before looking: a cancel that comes in between is seen at the next turn
            self._wake.clear()
            outcome = self._link.poll()
            if outcome is None and (self._closing or self._cancelled == (work.key, work.token)):
                outcome = self._link.stop() or failed(work, Cause.CANCELLED, "cancelled")
            if outcome is not None:
                return outcome
            self._wake.wait(self._link.patience_s())

    def _await_worker(self) -> None:
        while self._link.slot is None and not self._link.broken and not self._closing:
            self._link.poll(1.0)
