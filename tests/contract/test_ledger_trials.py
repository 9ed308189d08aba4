"""Preparation, trials and what is accepted for them, on every ledger."""

from __future__ import annotations

import threading
from dataclasses import replace

import ledger_samples as samples
import pytest
from ledger_samples import Clock, finished, kinds

from qsearch.contracts.causes import RETRIES, Cause
from qsearch.contracts.codec import digest_of
from qsearch.contracts.errors import DataError, Fenced, NotFound, UsageError
from qsearch.contracts.job import Job, Lease
from qsearch.contracts.ledger import Artifact, Ledger
from qsearch.contracts.measurement import Tier
from qsearch.contracts.trial import TRIAL_MOVES, TrialState


class TestPreparation:
    def test_what_was_prepared_is_read_back_per_target(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        assert ledger.prepared(job.id, "laptop") is None
        assert list(ledger.layers(job.id)) == []
        server = samples.prepared(2, "44" * 32)
        laptop = samples.prepared(3)
        ledger.save_prepared(lease, "server", *server)
        assert list(ledger.layers(job.id)) == list(server[1].layers)
        ledger.save_prepared(lease, "laptop", *laptop)
        assert ledger.prepared(job.id, "laptop") == laptop
        assert ledger.prepared(job.id, "server") == server
        assert list(ledger.layers(job.id)) == list(laptop[1].layers)
        assert kinds(ledger, job.id)[-2:] == ["prepared", "prepared"]

    def test_preparing_again_replaces(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.save_prepared(lease, "laptop", *samples.prepared(3))
        again = samples.prepared(2, "55" * 32)
        ledger.save_prepared(lease, "laptop", *again)
        assert ledger.prepared(job.id, "laptop") == again
        assert list(ledger.layers(job.id)) == list(again[1].layers)

    def test_a_target_that_the_job_lacks_is_named(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        with pytest.raises(NotFound, match="no target 'phone'; it has: laptop, server"):
            ledger.save_prepared(lease, "phone", *samples.prepared())
        with pytest.raises(NotFound, match="phone"):
            ledger.add_trials(lease, samples.proposals(1, "phone"))
        assert list(ledger.trials(job.id)) == []

    def test_machines_are_one_row_per_host_and_class(self, ledger: Ledger) -> None:
        ledger.remember_machine(samples.machine("beta"), {"isa": "avx2"})
        ledger.remember_machine(samples.machine("alpha"), {})
        newer = replace(samples.machine("beta"), details={"kernel": "6.9"})
        ledger.remember_machine(newer, {"isa": "avx2,fma"})
        assert list(ledger.machines()) == [samples.machine("alpha"), newer]

    def test_artifacts_are_found_by_kind_and_key(self, ledger: Ledger) -> None:
        kept = Artifact(kind="splits", key="k", sha256="aa", size_bytes=2**40, facts={"digest": "d", "n": [1, 2]})
        ledger.keep_artifact(kept)
        assert ledger.artifact("splits", "k") == kept
        assert ledger.artifact("prepared", "k") is None
        ledger.keep_artifact(replace(kept, sha256="bb"))
        assert ledger.artifact("splits", "k") == replace(kept, sha256="bb")


class TestTrials:
    def test_they_are_numbered_on(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        asked = samples.proposals(3)
        first = ledger.add_trials(lease, asked[:2])
        second = ledger.add_trials(lease, asked[2:])
        assert [trial.number for trial in (*first, *second)] == [0, 1, 2]
        assert list(ledger.trials(job.id)) == [*first, *second]
        read = ledger.trial(job.id, 1)
        assert (read.candidate, read.target, read.origin) == (asked[1].candidate, "laptop", "random 1")
        assert (read.state, read.token, read.failures, read.ended) == (TrialState.QUEUED, 0, {}, None)
        assert list(ledger.add_trials(lease, [])) == []
        assert kinds(ledger, job.id)[2:] == ["asked", "asked"]

    def test_a_trial_that_is_not_there(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.add_trials(lease, samples.proposals(2))
        for number in (2, -1):
            with pytest.raises(NotFound, match=f"no trial {number}; it has 0 to 1"):
                ledger.trial(job.id, number)
            with pytest.raises(NotFound):
                ledger.start(lease, number)
            with pytest.raises(NotFound):
                ledger.finish(job.id, number, 1, samples.measurement())
            with pytest.raises(NotFound):
                ledger.measurement(job.id, number)

    def test_start_gives_a_token_and_only_once(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        assert ledger.start(lease, 0) == 1
        assert ledger.trial(job.id, 0).state is TrialState.RUNNING
        with pytest.raises(UsageError, match="is RUNNING and cannot become RUNNING"):
            ledger.start(lease, 0)
        assert ledger.trial(job.id, 0).token == 1
        assert ledger.events(job.id)[-1].data == {"trial": 0, "token": 1}

    @pytest.mark.parametrize("cause", list(Cause))
    def test_failures_are_counted_by_cause_against_their_budget(
        self, ledger: Ledger, job: Job, lease: Lease, cause: Cause
    ) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        for attempt in range(1, RETRIES[cause] + 1):
            retried = ledger.fail(lease, 0, ledger.start(lease, 0), cause, f"failure {attempt}", "tail")
            assert (retried.state, retried.failures, retried.token) == (TrialState.QUEUED, {cause: attempt}, attempt)
            assert retried.ended is None
        ended = ledger.fail(lease, 0, ledger.start(lease, 0), cause, "the last", "tail")
        assert (ended.state, ended.cause, ended.message) == (TrialState.FAILED, cause, "the last")
        assert ended.failures == {cause: RETRIES[cause] + 1}
        assert ended.ended is not None
        assert ledger.trial(job.id, 0) == ended
        with pytest.raises(UsageError, match="is FAILED"):
            ledger.start(lease, 0)

    def test_a_trial_that_was_measured_at_last_has_no_cause(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        ledger.fail(lease, 0, ledger.start(lease, 0), Cause.POLLUTED, "others ran", "tail")
        assert ledger.finish(job.id, 0, ledger.start(lease, 0), samples.measurement())
        done = ledger.trial(job.id, 0)
        assert (done.state, done.cause, done.message) == (TrialState.DONE, None, "")
        assert done.failures == {Cause.POLLUTED: 1}

    def test_causes_do_not_share_a_budget(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.add_trials(lease, samples.proposals(2))
        for cause in (Cause.TIMEOUT, Cause.OUT_OF_MEMORY, Cause.INFRA, Cause.INFRA):
            assert ledger.fail(lease, 0, ledger.start(lease, 0), cause, "", "").state is TrialState.QUEUED
        counted = {Cause.TIMEOUT: 1, Cause.OUT_OF_MEMORY: 1, Cause.INFRA: 2}
        assert [trial.failures for trial in ledger.trials(job.id)] == [counted, {}]
        assert ledger.fail(lease, 0, ledger.start(lease, 0), Cause.TIMEOUT, "", "").state is TrialState.FAILED

    def test_a_failure_of_an_attempt_that_is_not_current_is_fenced(
        self, ledger: Ledger, job: Job, lease: Lease
    ) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        old = ledger.start(lease, 0)
        ledger.fail(lease, 0, old, Cause.INFRA, "", "")
        for _ in range(2):
            with pytest.raises(Fenced, match="token 1, this is token 1"):
                ledger.fail(lease, 0, old, Cause.INFRA, "", "")
        ledger.start(lease, 0)
        with pytest.raises(Fenced, match="token 2, this is token 1"):
            ledger.fail(lease, 0, old, Cause.INFRA, "", "")
        assert ledger.trial(job.id, 0).failures == {Cause.INFRA: 1}
        assert kinds(ledger, job.id).count("fenced") == 3

    def test_requeue_takes_back_what_ran_under_earlier_epochs(
        self, ledger: Ledger, job: Job, lease: Lease, clock: Clock
    ) -> None:
        ledger.add_trials(lease, samples.proposals(4))
        finishing = ledger.start(lease, 0)
        ledger.finish(job.id, 0, finishing, samples.measurement())
        ledger.start(lease, 1)
        clock.seconds += 61
        newer = ledger.lease(job.id, "driver-2", 60)
        ledger.start(newer, 2)
        back = ledger.requeue(newer)
        assert [(trial.number, trial.state, trial.failures) for trial in back] == [(1, TrialState.QUEUED, {})]
        states = [trial.state for trial in ledger.trials(job.id)]
        assert states == [TrialState.DONE, TrialState.QUEUED, TrialState.RUNNING, TrialState.QUEUED]
        assert list(ledger.requeue(newer)) == []
        assert kinds(ledger, job.id).count("requeued") == 1
        assert ledger.start(newer, 1) == 2

    def test_cancel_leaves_what_has_ended(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease, 1)
        ledger.add_trials(lease, samples.proposals(2))
        token = ledger.start(lease, 1)
        assert ledger.cancel_trials(lease) == 2
        assert ledger.cancel_trials(lease) == 0
        states = [TrialState.DONE, TrialState.CANCELLED, TrialState.CANCELLED]
        assert [trial.state for trial in ledger.trials(job.id)] == states
        assert all(trial.ended for trial in ledger.trials(job.id))
        with pytest.raises(Fenced, match="is CANCELLED"):
            ledger.finish(job.id, 1, token, samples.measurement())
        assert ledger.measurement(job.id, 1) is None

    def test_listing_by_state(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease, 2)
        ledger.add_trials(lease, samples.proposals(1))
        assert [trial.number for trial in ledger.trials(job.id, [TrialState.DONE])] == [0, 1]
        assert [trial.number for trial in ledger.trials(job.id, [TrialState.QUEUED, TrialState.FAILED])] == [2]

    @pytest.mark.parametrize("state", [TrialState.DONE, TrialState.FAILED, TrialState.CANCELLED])
    def test_nothing_leaves_an_ended_state(self, ledger: Ledger, job: Job, lease: Lease, state: TrialState) -> None:
        assert TRIAL_MOVES[state] == ()
        ledger.add_trials(lease, samples.proposals(1))
        token = ledger.start(lease, 0)
        if state is TrialState.DONE:
            ledger.finish(job.id, 0, token, samples.measurement())
        elif state is TrialState.FAILED:
            ledger.fail(lease, 0, token, Cause.BAD_MODEL, "NaN", "")
        else:
            ledger.cancel_trials(lease)
        with pytest.raises(UsageError):
            ledger.start(lease, 0)
        with pytest.raises(Fenced):
            ledger.fail(lease, 0, token, Cause.INFRA, "", "")
        assert (ledger.cancel_trials(lease), list(ledger.requeue(lease))) == (0, [])
        assert ledger.trial(job.id, 0).state is state


class TestFinish:
    def test_it_is_accepted_once_and_kept_whole(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        token = ledger.start(lease, 0)
        seen = samples.measurement()
        assert ledger.measurement(job.id, 0) is None
        assert ledger.finish(job.id, 0, token, seen) is True
        assert ledger.measurement(job.id, 0) == seen
        assert ledger.measurement(job.id, 0, Tier.QUICK) == seen
        assert ledger.measurement(job.id, 0, Tier.FINAL) is None
        done = ledger.trial(job.id, 0)
        assert (done.state, done.token, done.ended is not None) == (TrialState.DONE, token, True)
        event = ledger.events(job.id)[-1]
        assert (event.kind, event.data) == ("accepted", {"trial": 0, "token": token, "digest": digest_of(seen)})

    def test_the_same_again_is_a_no_op(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease, 1)
        before = ledger.events(job.id)
        assert ledger.finish(job.id, 0, 1, samples.measurement(0.5)) is False
        assert ledger.events(job.id) == before

    def test_whole_numbers_are_the_floats_they_become_on_a_pipe(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        token = ledger.start(lease, 0)
        seen = samples.measurement()
        whole = replace(seen, accuracy=replace(seen.accuracy, score=1, outcomes=(1, 0, 1)), seconds={"sit": 3})
        floats = replace(
            seen, accuracy=replace(seen.accuracy, score=1.0, outcomes=(1.0, 0.0, 1.0)), seconds={"sit": 3.0}
        )
        assert ledger.finish(job.id, 0, token, whole) is True
        assert ledger.finish(job.id, 0, token, floats) is False

    def test_another_measurement_for_the_same_attempt_is_fenced(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        finished(ledger, lease, 1)
        with pytest.raises(Fenced, match="accepted measurement"):
            ledger.finish(job.id, 0, 1, samples.measurement(0.9))
        assert ledger.measurement(job.id, 0) == samples.measurement(0.5)
        assert kinds(ledger, job.id)[-2:] == ["accepted", "fenced"]

    def test_a_stale_token_is_fenced_even_with_the_accepted_measurement(
        self, ledger: Ledger, job: Job, lease: Lease
    ) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        old = ledger.start(lease, 0)
        ledger.fail(lease, 0, old, Cause.INFRA, "lost", "")
        with pytest.raises(Fenced, match="is QUEUED with token 1"):
            ledger.finish(job.id, 0, old, samples.measurement())
        token = ledger.start(lease, 0)
        with pytest.raises(Fenced, match="is RUNNING with token 2, this is token 1"):
            ledger.finish(job.id, 0, old, samples.measurement())
        with pytest.raises(Fenced, match="this is token 3"):
            ledger.finish(job.id, 0, token + 1, samples.measurement())
        assert ledger.finish(job.id, 0, token, samples.measurement())
        with pytest.raises(Fenced, match="is DONE with token 2, this is token 1"):
            ledger.finish(job.id, 0, old, samples.measurement())
        assert [kind for kind in kinds(ledger, job.id) if kind in ("fenced", "accepted")] == [
            "fenced",
            "fenced",
            "fenced",
            "accepted",
            "fenced",
        ]

    def test_whoever_brings_the_current_attempt_is_heard_whatever_the_epoch(
        self, ledger: Ledger, job: Job, lease: Lease, clock: Clock
    ) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        token = ledger.start(lease, 0)
        clock.seconds += 61
        ledger.lease(job.id, "driver-2", 60)
        assert ledger.finish(job.id, 0, token, samples.measurement())

    def test_a_queued_trial_accepts_nothing(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        with pytest.raises(Fenced, match="is QUEUED with token 0"):
            ledger.finish(job.id, 0, 0, samples.measurement())

    def test_not_a_number_is_refused_and_changes_nothing(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        token = ledger.start(lease, 0)
        with pytest.raises(DataError, match="finite"):
            ledger.finish(job.id, 0, token, samples.measurement(float("nan")))
        assert ledger.trial(job.id, 0).state is TrialState.RUNNING

    def test_of_many_writers_one_is_accepted(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        token = ledger.start(lease, 0)
        answers: list[str] = []

        def bring(ratio: float) -> None:
            try:
                answers.append(str(ledger.finish(job.id, 0, token, samples.measurement(ratio))))
            except Fenced:
                answers.append("Fenced")

        threads = [threading.Thread(target=bring, args=(0.5 + i % 2 / 10,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == ["False", "False", "Fenced", "Fenced", "Fenced", "True"]
        assert kinds(ledger, job.id).count("accepted") == 1
