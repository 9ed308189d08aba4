"""What was measured and what was answered, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from qsearch.contracts.errors import UsageError
from qsearch.contracts.front import Best, FrontEntry
from qsearch.contracts.job import Lease
from qsearch.contracts.measurement import Measurement, Tier
from qsearch.contracts.noise import Repeat
from qsearch.contracts.trial import Result
from qsearch.contracts.work import FinalResult
from qsearch.store import rules
from qsearch.store.memory_state import MemoryJob, MemoryState
from qsearch.store.packing import normal, pack, unpack
from qsearch.store.repeats import REMEMBERED, repeats_of


class MemoryResults:
    """The results' and answers' part of the twin; promises as in `qsearch.contracts.ledger`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def measurement(self, job: str, number: int, tier: Tier = Tier.SCREEN) -> Measurement | None:
        with self._state.lock:
            found = self._state.job(job)
            accepted = found.trial(number).accepted
            if accepted is None:
                return None
            own = unpack(Measurement, accepted[1].content)
            if tier is not Tier.FINAL:
                return own
            final = found.final_of(number)
        return rules.final_measurement(own, number, final) if final else None

    def history(self, job: str, target: str = "") -> Sequence[Result]:
        with self._state.lock:
            found = self._state.job(job)
            numbers = [t.record.number for t in found.trials if t.accepted and target in ("", t.record.target)]
            return deepcopy([result for number in numbers for result in _results(found, number)])

    def repeats(self, machine_key: str) -> Sequence[Repeat]:
        with self._state.lock:
            every = [seen for job in self._state.jobs.values() for seen in _measured(job)]
        mine = [seen for seen in every if seen.circumstances.machine_key == machine_key][-REMEMBERED:]
        return repeats_of(machine_key, [(s.circumstances.runtime_key, s.artifact_sha256, s.latency) for s in mine])

    def save_final(self, lease: Lease, target: str, final: FinalResult) -> None:
        packed = pack(FinalResult, final)
        with self._state.lock:
            found = self._state.hold(lease, "save_final")
            found.check_target(target)
            kept = found.finals.setdefault(target, [])
            if packed.digest in [earlier.digest for earlier in kept]:
                return
            finalists = [finalist.number for finalist in packed.record.finalists]
            for number in finalists:
                _check_finished(found, number, "a finalist")
            kept.append(packed)
            told = {"target": target, "trials": finalists, "digest": packed.digest}
            self._state.append_event(lease.job, "final", told)

    def final(self, job: str, target: str) -> FinalResult | None:
        with self._state.lock:
            kept = self._state.job(job).finals.get(target, [])
        return unpack(FinalResult, kept[-1].content) if kept else None

    def set_front(self, lease: Lease, target: str, entries: Sequence[FrontEntry]) -> None:
        with self._state.lock:
            found = self._state.hold(lease, "set_front")
            found.check_target(target)
            for entry in entries:
                _check_finished(found, entry.number, "on a front")
            found.fronts[target] = tuple(normal(FrontEntry, entry) for entry in entries)
            members = sorted(entry.number for entry in entries if entry.rank == 0)
            told = {"target": target, "members": members, "trials": len(entries)}
            self._state.append_event(lease.job, "front", told)

    def front(self, job: str, target: str) -> Sequence[FrontEntry]:
        with self._state.lock:
            found = self._state.job(job)
            entries = found.fronts.get(target, ())
            return sorted(entries, key=lambda entry: (entry.rank, _ratio(found, entry.number), entry.number))

    def set_best(self, lease: Lease, best: Best) -> None:
        if best.job != lease.job:
            raise UsageError(f"the answer of job {best.job} cannot be kept under the lease of job {lease.job}")
        packed = pack(Best, best)
        with self._state.lock:
            found = self._state.hold(lease, "set_best")
            found.check_target(best.target)
            found.bests[best.target] = packed
            told = {"target": best.target, "trial": best.trial, "rule": best.rule}
            self._state.append_event(lease.job, "decided", told)

    def best(self, job: str, target: str) -> Best | None:
        with self._state.lock:
            kept = self._state.job(job).bests.get(target)
        return unpack(Best, kept.content) if kept else None


def _measured(found: MemoryJob) -> list[Measurement]:
    """Everything that was accepted: of trials, then of finals."""
    own = {trial.record.number: trial.accepted[1].record for trial in found.trials if trial.accepted}
    finals = [final.record for kept in found.finals.values() for final in kept]
    finished = [(final, finalist.number) for final in finals for finalist in final.finalists]
    return [*own.values(), *(rules.final_measurement(own[number], number, final) for final, number in finished)]


def _results(found: MemoryJob, number: int) -> list[Result]:
    trial = found.trial(number)
    if trial.accepted is None:
        return []
    own = trial.accepted[1].record
    final = found.final_of(number)
    last = rules.final_measurement(own, number, final) if final else None
    result = Result(
        trial=trial.record,
        latency=own.latency,
        accuracy=own.accuracy,
        size_bytes=own.size_bytes,
        peak_memory_bytes=own.peak_memory_bytes,
        machine_key=own.circumstances.machine_key,
        runtime_key=own.circumstances.runtime_key,
        final_latency=last.latency if last else None,
        heldout=last.accuracy if last else None,
    )
    return [result]


def _check_finished(found: MemoryJob, number: int, role: str) -> None:
    if number not in range(len(found.trials)) or found.trials[number].accepted is None:
        raise rules.unfinished(found.record.id, number, role)


def _ratio(found: MemoryJob, number: int) -> float:
    (result,) = _results(found, number)
    return (result.final_latency or result.latency).ratio.value
