"""A pool over seats: the part that processes and Ray actors have in common.

NOTE: who gets which work, what a cancelled or stranded piece becomes and when nobody can be reached
is decided once, here. `local` and `ray_pool` say only what a seat is and how to wait for several.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from qsearch.cluster.waiting import Waiting
from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError, Unreachable, UsageError
from qsearch.contracts.pool import Slot
from qsearch.contracts.target import Target
from qsearch.contracts.work import Outcome, Work
from workers.wire import failed


class Seat(Protocol):
    """One worker, wherever it is. Every piece sent comes back exactly once, from `poll` or `stop`."""

    @property
    def slot(self) -> Slot | None:
        """What it offers; None while its worker starts."""
        ...

    @property
    def busy(self) -> Work | None: ...

    @property
    def broken(self) -> str:
        """Why it will never serve again; empty while it may."""
        ...

    def send(self, work: Work) -> None: ...

    def poll(self) -> Outcome | None:
        """Look, without waiting."""
        ...

    def stop(self) -> Outcome | None:
        """Kill what runs; its outcome, CANCELLED unless it had already come."""
        ...

    def close(self) -> None: ...


class SeatedPool(ABC):
    """The port `Pool` over seats; a kind of pool says what a seat is and how to wait for several."""

    def __init__(self, seats: Sequence[Seat]) -> None:
        self._seats = tuple(seats)
        self._waiting = Waiting()
        self._ready: list[Outcome] = []
        # a seat whose worker is being replaced still counts with what it offered
        self._known: dict[int, Slot] = {}
        self._closed = False

    def capacity(self) -> Sequence[Slot]:
        """The machines there are now; see the port."""
        self._must_be_open()
        while True:
            self._look()
            if self._newcomers():
                self._wait(1.0)
                continue
            slots = self._slots()
            if not slots:
                reasons = dict.fromkeys(seat.broken for seat in self._seats if seat.broken)
                raise Unreachable("no worker can be started: " + ("; ".join(reasons) or "the pool has no slot"))
            return slots

    def ready(self, timeout_s: float) -> bool:
        """Whether there is a machine, after waiting up to `timeout_s` for the first. Raises Unreachable."""
        self._must_be_open()
        self._look()
        if not self._slots() and self._newcomers():
            self._wait(timeout_s)
            self._look()
        if self._slots() or self._newcomers():
            return bool(self._slots())
        return bool(self.capacity())

    def complete(self, timeout_s: float) -> bool:
        """Whether no machine is still to come for the first time, after waiting up to `timeout_s` for the next."""
        self._must_be_open()
        self._look()
        if self._newcomers():
            self._wait(timeout_s)
            self._look()
        return not self._newcomers()

    def submit(self, work: Work, target: Target) -> None:
        """Queue it; see the port."""
        self._waiting.add(work, target, self._slots() or self.capacity())
        self._assign()

    def results(self, timeout_s: float) -> Sequence[Outcome]:
        """Outcomes since the last call; see the port."""
        self._must_be_open()
        until = time.monotonic() + timeout_s
        while True:
            self._look()
            self._assign()
            left = until - time.monotonic()
            if self._ready or left <= 0:
                found, self._ready = self._ready, []
                return found
            self._wait(left)

    def cancel(self, key: str) -> None:
        """Kill the work with this key; see the port."""
        self._ready += [failed(work, Cause.CANCELLED, "cancelled before it began") for work in self._waiting.drop(key)]
        for seat in self._seats:
            if seat.busy is not None and seat.busy.key == key:
                outcome = seat.stop()
                if outcome is not None:
                    self._ready.append(outcome)

    def close(self) -> None:
        """Kill what runs, end the workers. Idempotent."""
        self._closed = True
        for seat in self._seats:
            seat.close()

    @abstractmethod
    def _wait(self, timeout_s: float) -> None:
        """Until a seat may have something new, or `timeout_s` seconds."""

    def _look(self) -> None:
        for number, seat in enumerate(self._seats):
            outcome = seat.poll()
            if outcome is not None:
                self._ready.append(outcome)
            if seat.slot is not None:
                self._known[number] = seat.slot
            if seat.broken:
                self._known.pop(number, None)
        if not any(seat.slot is None and not seat.broken for seat in self._seats):
            for work, why in self._waiting.stranded(self._slots()):
                self._ready.append(failed(work, Cause.INFRA, f"nobody is left who could do it: {why}{self._griefs()}"))

    def _assign(self) -> None:
        for seat in self._seats:
            if seat.slot is None or seat.busy is not None:
                continue
            work = self._waiting.take(seat.slot)
            if work is None:
                continue
            try:
                seat.send(work)
            except DataError as error:
                self._ready.append(failed(work, Cause.BAD_MODEL, f"the order cannot be sent: {error}"))

    def _newcomers(self) -> list[Seat]:
        """Seats of which it is not known yet what they offer, or whether they ever will."""
        return [s for n, s in enumerate(self._seats) if s.slot is None and not s.broken and n not in self._known]

    def _slots(self) -> list[Slot]:
        return [self._known[number] for number in sorted(self._known)]

    def _griefs(self) -> str:
        return "".join(f"; {grief}" for grief in dict.fromkeys(seat.broken for seat in self._seats) if grief)

    def _must_be_open(self) -> None:
        if self._closed:
            raise UsageError("this pool is closed")
