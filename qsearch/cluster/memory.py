"""The pool without machines: answers come from a function or a recording, at once and always the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qsearch.cluster.waiting import Waiting
from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import UsageError, WorkFailed
from qsearch.contracts.machine import Machine
from qsearch.contracts.pool import Slot
from qsearch.contracts.target import Target
from qsearch.contracts.work import Outcome, Work
from workers.wire import failed

Answer = Callable[[Work], Outcome]

#: the one machine there is when nobody says otherwise
IMAGINED = Slot(
    machine=Machine(host="memory", cpu="imagined", isa=("avx2",), cores=64, virtualisation="none"),
    labels={"isa": "avx2"},
    runtimes={"onnxruntime": "0"},
)


class MemoryPool:
    """The port `Pool` without processes, clock or disk: the twin for tests and for `--pool replay:FILE`.

    As many pieces come back from one `results` as there are slots, in the order in which they were
    submitted, so a driver sees work queued, running and done as with a real pool. Time is simulated:
    an answer whose `seconds` exceed the deadline is a TIMEOUT. `results` never waits.

    Args:
        answer: the outcome of a piece; a WorkFailed that it raises becomes one.
        slots: the machines to imagine.
    """

    def __init__(self, answer: Answer, slots: Sequence[Slot] = (IMAGINED,)) -> None:
        self._answer = answer
        self._slots = tuple(slots)
        self._waiting = Waiting()
        self._cancelled: list[Outcome] = []
        self._closed = False

    def capacity(self) -> Sequence[Slot]:
        """The imagined machines."""
        self._must_be_open()
        return self._slots

    def submit(self, work: Work, target: Target) -> None:
        """Queue it; see the port."""
        self._must_be_open()
        self._waiting.add(work, target, self._slots)

    def results(self, timeout_s: float) -> Sequence[Outcome]:
        """What the slots can finish in one go; `timeout_s` is not needed."""
        self._must_be_open()
        found, self._cancelled = self._cancelled, []
        for slot in self._slots:
            work = self._waiting.take(slot)
            if work is not None:
                found.append(self._perform(work, slot))
        return found

    def cancel(self, key: str) -> None:
        """What has not come back is CANCELLED; see the port."""
        self._cancelled += [failed(work, Cause.CANCELLED, "cancelled") for work in self._waiting.drop(key)]

    def close(self) -> None:
        """Idempotent; nothing is running."""
        self._closed = True

    def _perform(self, work: Work, slot: Slot) -> Outcome:
        try:
            outcome = self._answer(work)
        except WorkFailed as error:
            return failed(work, error.cause, str(error), error.tail, host=slot.machine.host)
        if outcome.seconds > work.deadline_s:
            late = f"not finished within {work.deadline_s:g} s"
            return failed(work, Cause.TIMEOUT, late, host=slot.machine.host, seconds=work.deadline_s)
        return outcome

    def _must_be_open(self) -> None:
        if self._closed:
            raise UsageError("this pool is closed")
