"""History, finals and answers, on every ledger."""

from __future__ import annotations

import ledger_samples as samples
import pytest
from ledger_samples import finished

from qsearch.contracts.errors import UsageError
from qsearch.contracts.front import FrontEntry
from qsearch.contracts.job import Job, Lease
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.measurement import Tier


class TestHistoryAndFinals:
    def test_finished_trials_in_short(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease, 2)
        server = ledger.add_trials(lease, samples.proposals(1, "server"))[0]
        ledger.finish(job.id, 2, ledger.start(lease, 2), samples.measurement(0.7))
        ledger.add_trials(lease, samples.proposals(1))
        history = ledger.history(job.id)
        assert [result.trial.number for result in history] == [0, 1, server.number]
        seen = samples.measurement(0.6)
        assert history[1].trial == ledger.trial(job.id, 1)
        assert (history[1].latency, history[1].accuracy) == (seen.latency, seen.accuracy)
        assert (history[1].size_bytes, history[1].peak_memory_bytes) == (seen.size_bytes, seen.peak_memory_bytes)
        assert history[1].machine_key == seen.circumstances.machine_key
        assert history[1].runtime_key == seen.circumstances.runtime_key
        assert (history[1].final_latency, history[1].heldout) == (None, None)
        assert [result.trial.number for result in ledger.history(job.id, "server")] == [2]
        assert list(ledger.history(job.id, "phone")) == []

    def test_finals_are_attached_to_their_trials(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease)
        assert ledger.final(job.id, "laptop") is None
        last = samples.final([0, 2])
        ledger.save_final(lease, "laptop", last)
        events = ledger.events(job.id)
        ledger.save_final(lease, "laptop", last)
        assert ledger.events(job.id) == events
        assert ledger.final(job.id, "laptop") == last
        assert ledger.final(job.id, "server") is None
        history = ledger.history(job.id)
        assert [result.final_latency for result in history] == [
            last.finalists[0].latency,
            None,
            last.finalists[1].latency,
        ]
        assert history[2].heldout == last.finalists[1].heldout
        assert history[2].latency == samples.measurement(0.7).latency

    def test_a_finalists_measurement_has_the_numbers_of_the_final(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease)
        last = samples.final([0, 2])
        ledger.save_final(lease, "laptop", last)
        seen = ledger.measurement(job.id, 2, Tier.FINAL)
        assert seen is not None
        assert (seen.tier, seen.sitting, seen.latency) == (Tier.FINAL, last.sitting, last.finalists[1].latency)
        assert (seen.accuracy, seen.size_bytes) == (last.finalists[1].heldout, 4_000_000)
        assert ledger.measurement(job.id, 1, Tier.FINAL) is None
        assert ledger.measurement(job.id, 2) == samples.measurement(0.7)

    def test_a_newer_final_counts(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease)
        ledger.save_final(lease, "laptop", samples.final([0, 2]))
        newer = samples.final([0], 0.3)
        ledger.save_final(lease, "laptop", newer)
        assert ledger.final(job.id, "laptop") == newer
        assert ledger.history(job.id)[0].final_latency == newer.finalists[0].latency

    def test_a_finalist_must_have_been_measured(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease, 1)
        ledger.add_trials(lease, samples.proposals(1))
        for number in (1, 7):
            with pytest.raises(UsageError, match="no accepted measurement"):
                ledger.save_final(lease, "laptop", samples.final([0, number]))
        assert ledger.final(job.id, "laptop") is None
        assert ledger.history(job.id)[0].final_latency is None


class TestAnswers:
    def test_the_front_is_kept_by_rank_then_speed(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease)
        entries = [_entry(2, 0), _entry(1, 2, feasible=False, excess=0.25), _entry(0, 0)]
        ledger.set_front(lease, "laptop", entries)
        assert list(ledger.front(job.id, "laptop")) == [entries[2], entries[0], entries[1]]
        assert ledger.events(job.id)[-1].data == {"target": "laptop", "members": [0, 2], "trials": 3}
        assert list(ledger.front(job.id, "server")) == []

    def test_a_finalists_speed_is_that_of_the_final(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease)
        ledger.save_final(lease, "laptop", samples.final([2], 0.1))
        ledger.set_front(lease, "laptop", [_entry(0, 0), _entry(2, 0)])
        assert [entry.number for entry in ledger.front(job.id, "laptop")] == [2, 0]

    def test_a_new_front_replaces_the_old(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease)
        ledger.set_front(lease, "laptop", [_entry(0, 0), _entry(1, 1, tied_with=0)])
        ledger.set_front(lease, "laptop", [_entry(1, 0)])
        assert list(ledger.front(job.id, "laptop")) == [_entry(1, 0)]

    def test_a_front_holds_finished_trials_only(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease, 1)
        ledger.set_front(lease, "laptop", [_entry(0, 0)])
        with pytest.raises(UsageError, match="no accepted measurement"):
            ledger.set_front(lease, "laptop", [_entry(0, 0), _entry(1, 0)])
        assert list(ledger.front(job.id, "laptop")) == [_entry(0, 0)]

    def test_the_answer_is_kept_per_target_and_may_change(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease)
        assert ledger.best(job.id, "laptop") is None
        ledger.set_best(lease, samples.best(job.id, 0))
        assert ledger.best(job.id, "laptop") == samples.best(job.id, 0)
        ledger.set_best(lease, samples.best(job.id, 1))
        assert ledger.best(job.id, "laptop") == samples.best(job.id, 1)
        assert ledger.best(job.id, "server") is None
        decided = {"target": "laptop", "trial": f"{job.id}/1", "rule": "fastest-feasible"}
        assert ledger.events(job.id)[-1].data == decided

    def test_the_answer_of_another_job_is_refused(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        with pytest.raises(UsageError, match="another-job"):
            ledger.set_best(lease, samples.best("another-job", 0))


def _entry(
    number: int, rank: int, *, tied_with: int | None = None, feasible: bool = True, excess: float = 0.0
) -> FrontEntry:
    return FrontEntry(number=number, rank=rank, tied_with=tied_with, feasible=feasible, excess=excess)
