"""One Ray actor as a seat of the pool."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray
import ray.exceptions

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError, Unreachable, UsageError
from qsearch.contracts.pool import Slot
from qsearch.contracts.work import Outcome, Work
from workers.wire import failed, read_hello, read_outcome, write_work

#: how often an actor may be lost before it has said hello, in a row
STARTS = 3
#: seconds that an actor has at most to take the place of one that served. Another driver may have been
#: given the freed slot, and may keep it for hours: better to end, and be resumed, than to sit out the budget.
AGAIN_S = 120.0
#: seconds that a dead or partitioned node may add to a piece's deadline; the actor keeps the deadline itself
GRACE_S = 30.0


class RaySeat:
    """An actor that holds one `qsearch_slot`, replaced when it or its node dies.

    Args:
        summon: starts a new actor (`workers.ray_actor.LinkActor`) and returns its handle.
        start_s: seconds that an actor has to be placed and to say hello; AGAIN_S at most once one has served.
        clock: monotonic seconds.
    """

    def __init__(
        self, summon: Callable[[], Any], *, start_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._summon = summon
        self._patience_s = start_s
        self._clock = clock
        self._slot: Slot | None = None
        self._busy: Work | None = None
        self._broken = ""
        self._losses = 0
        self._actor: Any = None
        self._begin()

    @property
    def slot(self) -> Slot | None:
        """What its machine offers; None until the actor has said hello."""
        return self._slot

    @property
    def busy(self) -> Work | None:
        """What it is doing."""
        return self._busy

    @property
    def broken(self) -> str:
        """Why it will never serve again; empty while it may."""
        return self._broken

    @property
    def pending(self) -> Any | None:
        """The Ray reference it waits for, to be waited for together with others'."""
        return self._pending

    def patience_s(self) -> float:
        """Seconds after which `poll` must look again even when nothing has come."""
        return max(0.0, self._until - self._clock()) if self._pending is not None else 3600.0

    def send(self, work: Work) -> None:
        """Give it something to do.

        Raises:
            DataError: the order holds something that is no data.
            UsageError: it is not ready.
        """
        if self._slot is None or self._busy is not None:
            raise UsageError(f"{work.key}: this actor is not ready for work")
        self._pending = self._actor.run.remote(write_work(work))
        self._busy = work
        self._until = self._clock() + work.deadline_s + GRACE_S

    def poll(self) -> Outcome | None:
        """Take in what has come, without waiting."""
        if self._pending is None or self._broken:
            return None
        if not ray.wait([self._pending], timeout=0)[0]:
            return self._overdue() if self._clock() >= self._until else None
        try:
            text = ray.get(self._pending)
        except ray.exceptions.RayTaskError as error:
            return self._refused(error)
        except ray.exceptions.RayError as error:
            return self._lost(f"the actor or its node died: {_first_line(error)}")
        if self._busy is not None:
            return self._answered(text, self._busy)
        self._greet(text)
        return None

    def stop(self) -> Outcome | None:
        """Kill what runs; its outcome, CANCELLED unless it had already come."""
        work = self._busy
        if work is None:
            return None
        self._actor.cancel.remote(work.key, work.token)
        ray.wait([self._pending], timeout=10.0)
        return self.poll() or self._lost("cancelled; its actor did not answer and was killed", Cause.CANCELLED)

    def give_up(self, why: str) -> None:
        """It will never serve again; without waiting for its actor, which may not even be placed."""
        self._broken = why
        self._busy = self._slot = self._pending = None
        ray.kill(self._actor, no_restart=True)

    def close(self) -> None:
        """End the actor, its worker and everything that started. Idempotent."""
        self._broken = self._broken or "closed"
        self._busy = self._slot = self._pending = None
        actor, self._actor = self._actor, None
        if actor is None or not ray.is_initialized():
            return
        # first politely: a killed actor's worker ends by itself, but a moment after we have returned
        ray.wait([actor.close.remote()], timeout=10.0)
        ray.kill(actor, no_restart=True)

    def _begin(self) -> None:
        self._busy = self._slot = None
        self._actor = self._summon()
        self._pending = self._actor.hello.remote()
        self._until = self._clock() + self._patience_s

    def _greet(self, text: str) -> None:
        try:
            self._slot = read_hello(text)
        except Unreachable as error:
            self.give_up(str(error))
            return
        self._pending = None
        self._losses = 0
        self._patience_s = min(self._patience_s, AGAIN_S)

    def _answered(self, text: str, work: Work) -> Outcome:
        self._busy = self._pending = None
        try:
            return read_outcome(text)
        except DataError as error:
            return failed(work, Cause.INFRA, f"the actor's answer cannot be read: {error}", host=self._host())

    def _refused(self, error: ray.exceptions.RayTaskError) -> Outcome | None:
        """The actor lives and raised: no worker can be started there, or our own bug."""
        work = self._busy
        if work is None:
            self.give_up(_first_line(error.cause or error))
            return None
        self._busy = self._pending = None
        return failed(work, Cause.INFRA, f"the actor raised {_first_line(error.cause or error)}", str(error))

    def _overdue(self) -> Outcome | None:
        if self._busy is not None:
            return self._lost(f"its host did not answer, not even {GRACE_S:g} s after the deadline")
        self.give_up(f"no node gave a free qsearch_slot and a worker within {self._patience_s:g} s")
        return None

    def _lost(self, how: str, cause: Cause = Cause.INFRA) -> Outcome | None:
        """The actor is gone or is given up; a new one is summoned."""
        work, host = self._busy, self._host()
        ray.kill(self._actor, no_restart=True)
        if self._slot is None:
            self._losses += 1
        if self._losses >= STARTS:
            self.give_up(f"{how}; {STARTS} times in a row")
        else:
            self._begin()
        return failed(work, cause, how, host=host) if work is not None else None

    def _host(self) -> str:
        return self._slot.machine.host if self._slot is not None else ""


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
