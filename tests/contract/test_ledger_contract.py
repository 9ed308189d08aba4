"""One suite for every ledger. PostgreSQL joins by one more entry in `ledger_samples.LEDGERS`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import ledger_samples as samples
import pytest
from ledger_samples import LEDGERS, Clock

from qsearch.contracts.causes import RETRIES, Cause
from qsearch.contracts.codec import digest_of
from qsearch.contracts.errors import DataError, Fenced, NotFound, UsageError
from qsearch.contracts.front import FrontEntry
from qsearch.contracts.job import JOB_MOVES, Job, JobState, Lease
from qsearch.contracts.ledger import Artifact, Ledger
from qsearch.contracts.measurement import Tier
from qsearch.contracts.trial import TRIAL_MOVES, TrialState


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    made = LEDGERS[request.param](tmp_path, clock)
    yield made
    made.close()


@pytest.fixture
def job(ledger: Ledger) -> Job:
    return ledger.create_job(samples.spec(), "name: encoder\n", "ada")


@pytest.fixture
def lease(ledger: Ledger, job: Job) -> Lease:
    return ledger.lease(job.id, "driver-1", 60)


def kinds(ledger: Ledger, job: str) -> list[str]:
    return [event.kind for event in ledger.events(job)]


def finished(ledger: Ledger, lease: Lease, count: int = 3) -> None:
    """`count` trials for the laptop, trial n at ratio 0.5 + n / 10."""
    for trial in ledger.add_trials(lease, samples.proposals(count)):
        token = ledger.start(lease, trial.number)
        assert ledger.finish(lease.job, trial.number, token, samples.measurement(0.5 + trial.number / 10))


class TestJobs:
    def test_a_job_is_read_back_as_it_was_created(self, ledger: Ledger, job: Job) -> None:
        again = ledger.job(job.id, "nobody")
        assert again == job
        assert (again.spec, again.source, again.owner) == (samples.spec(), "name: encoder\n", "ada")
        assert (again.state, again.epoch, again.ended, again.searched_s) == (JobState.QUEUED, 0, None, 0.0)
        assert kinds(ledger, job.id) == ["created"]

    def test_ids_are_short_safe_and_sortable_even_within_a_millisecond(self, ledger: Ledger, clock: Clock) -> None:
        made = [ledger.create_job(samples.spec(f"j{i}"), "", "ada").id for i in range(5)]
        clock.seconds -= 3600
        made.append(ledger.create_job(samples.spec("after the clock went back"), "", "ada").id)
        assert made == sorted(set(made))
        assert all(len(one) == 12 and one.isalnum() and one == one.lower() for one in made)
        assert [one.id for one in ledger.jobs()] == made[::-1]

    def test_references(self, ledger: Ledger) -> None:
        first = ledger.create_job(samples.spec("encoder"), "", "ada")
        newer = ledger.create_job(samples.spec("encoder"), "", "bob")
        other = ledger.create_job(samples.spec("decoder"), "", "ada")
        assert ledger.job("encoder", "ada") == newer
        assert ledger.job(first.id, "") == first
        assert ledger.job(first.id.upper(), "") == first
        assert ledger.job(other.id[:-1], "") == other
        assert ledger.job("@last", "ada") == other
        assert ledger.job("@last", "bob") == newer

    def test_an_id_wins_over_a_name_that_spells_it(self, ledger: Ledger) -> None:
        first = ledger.create_job(samples.spec("encoder"), "", "ada")
        ledger.create_job(samples.spec(first.id), "", "ada")
        assert ledger.job(first.id, "ada") == first

    @pytest.mark.parametrize(
        ("reference", "said"),
        [
            ("encodr", "encoder"),
            ("", "no job"),
            ("%", "no job"),
            ("@first", "no job"),
            ("nothing like it", "qsearch jobs"),
        ],
    )
    def test_a_reference_that_fits_nothing_names_near_misses(
        self, ledger: Ledger, job: Job, reference: str, said: str
    ) -> None:
        ledger.create_job(samples.spec("decoder"), "", "ada")
        with pytest.raises(NotFound, match=said):
            ledger.job(reference, "ada")

    def test_a_prefix_of_several_ids_names_them(self, ledger: Ledger, job: Job) -> None:
        other = ledger.create_job(samples.spec("decoder"), "", "ada")
        with pytest.raises(NotFound, match=f"begins the ids of several jobs: {job.id}, {other.id}"):
            ledger.job(job.id[:3], "ada")

    def test_last_of_a_user_without_jobs(self, ledger: Ledger, job: Job) -> None:
        with pytest.raises(NotFound, match="user eve has no jobs"):
            ledger.job("@last", "eve")

    def test_listing(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        other = ledger.create_job(samples.spec("decoder"), "", "ada")
        ledger.move(lease, JobState.PREPARING)
        assert [one.id for one in ledger.jobs()] == [other.id, job.id]
        assert [one.id for one in ledger.jobs(limit=1)] == [other.id]
        assert [one.id for one in ledger.jobs(states=[JobState.PREPARING])] == [job.id]

    def test_every_call_with_an_unknown_job_says_so(self, ledger: Ledger) -> None:
        lost = Lease(job="nojob", epoch=1, holder="x", until=ledger.create_job(samples.spec(), "", "a").created)
        calls: list[Callable[[], object]] = [
            lambda: ledger.lease("nojob", "x", 1),
            lambda: ledger.renew(lost, 1),
            lambda: ledger.move(lost, JobState.FAILED),
            lambda: ledger.note(lost, "x", {}),
            lambda: ledger.events("nojob"),
            lambda: ledger.prepared("nojob", "laptop"),
            lambda: ledger.layers("nojob"),
            lambda: ledger.add_trials(lost, samples.proposals(1)),
            lambda: ledger.trials("nojob"),
            lambda: ledger.trial("nojob", 0),
            lambda: ledger.finish("nojob", 0, 1, samples.measurement()),
            lambda: ledger.measurement("nojob", 0),
            lambda: ledger.history("nojob"),
            lambda: ledger.final("nojob", "laptop"),
            lambda: ledger.front("nojob", "laptop"),
            lambda: ledger.best("nojob", "laptop"),
        ]
        for call in calls:
            with pytest.raises(NotFound, match="nojob"):
                call()
        ledger.release(lost)


class TestLeases:
    def test_epochs_grow_and_one_holder_drives(self, ledger: Ledger, job: Job, clock: Clock) -> None:
        first = ledger.lease(job.id, "driver-1", 60)
        assert (first.epoch, first.holder) == (1, "driver-1")
        with pytest.raises(Fenced, match="driven by driver-1"):
            ledger.lease(job.id, "driver-2", 60)
        assert ledger.job(job.id, "").epoch == 1
        clock.seconds += 61
        assert ledger.lease(job.id, "driver-2", 60).epoch == 2
        assert kinds(ledger, job.id) == ["created", "leased", "leased"]

    def test_the_same_holder_may_take_it_again(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        assert ledger.lease(job.id, "driver-1", 60).epoch == 2

    def test_a_holder_that_is_known_dead_is_not_waited_for(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        with pytest.raises(Fenced):
            ledger.lease(job.id, "driver-2", 60, dead=lambda holder: holder != "driver-1")
        assert ledger.lease(job.id, "driver-2", 60, dead=lambda holder: holder == "driver-1").epoch == 2

    def test_renewing_keeps_it_and_counts_the_search(
        self, ledger: Ledger, job: Job, lease: Lease, clock: Clock
    ) -> None:
        clock.seconds += 50
        renewed = ledger.renew(lease, 60, searched_s=12.5)
        assert (renewed.epoch, (renewed.until - lease.until).total_seconds() > 40) == (1, True)
        clock.seconds += 50
        with pytest.raises(Fenced, match="driven by"):
            ledger.lease(job.id, "driver-2", 60)
        ledger.renew(renewed, 60)
        assert ledger.job(job.id, "").searched_s == 12.5

    def test_a_lapsed_lease_that_nobody_took_may_be_renewed(self, ledger: Ledger, lease: Lease, clock: Clock) -> None:
        clock.seconds += 600
        assert ledger.renew(lease, 60).epoch == 1

    def test_release_frees_it_at_once(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.release(lease)
        taken = ledger.lease(job.id, "driver-2", 60)
        ledger.release(lease)
        with pytest.raises(Fenced, match="driven by driver-2"):
            ledger.lease(job.id, "driver-3", 60)
        assert taken.epoch == 2

    def test_every_write_under_a_stale_lease_is_fenced_noted_and_changes_nothing(
        self, ledger: Ledger, job: Job, lease: Lease, clock: Clock
    ) -> None:
        ledger.add_trials(lease, samples.proposals(3))
        token = ledger.start(lease, 0)
        done = ledger.start(lease, 1)
        ledger.finish(job.id, 1, done, samples.measurement())
        clock.seconds += 61
        ledger.lease(job.id, "driver-2", 60)
        before = (ledger.job(job.id, ""), ledger.trials(job.id), len(ledger.events(job.id)))
        writes: dict[str, Callable[[], object]] = {
            "renew": lambda: ledger.renew(lease, 60, searched_s=99.0),
            "move": lambda: ledger.move(lease, JobState.PREPARING),
            "note": lambda: ledger.note(lease, "stalled", {}),
            "save_prepared": lambda: ledger.save_prepared(lease, "laptop", *samples.prepared()),
            "add_trials": lambda: ledger.add_trials(lease, samples.proposals(1)),
            "start": lambda: ledger.start(lease, 2),
            "fail": lambda: ledger.fail(lease, 0, token, Cause.INFRA, "gone", ""),
            "requeue": lambda: ledger.requeue(lease),
            "cancel_trials": lambda: ledger.cancel_trials(lease),
            "save_final": lambda: ledger.save_final(lease, "laptop", samples.final([1])),
            "set_front": lambda: ledger.set_front(lease, "laptop", []),
            "set_best": lambda: ledger.set_best(lease, samples.best(job.id, 1)),
        }
        for write in writes.values():
            with pytest.raises(Fenced, match="epoch 2, this lease is epoch 1"):
                write()
        assert (ledger.job(job.id, ""), ledger.trials(job.id)) == before[:2]
        assert ledger.prepared(job.id, "laptop") is None
        assert ledger.final(job.id, "laptop") is None
        assert ledger.best(job.id, "laptop") is None
        noted = ledger.events(job.id)[before[2] :]
        assert [(event.kind, event.epoch, event.data["write"]) for event in noted] == [
            ("fenced", 2, write) for write in writes
        ]


class TestMoves:
    @pytest.mark.parametrize("start", list(JobState))
    def test_only_the_moves_beside_the_states_are_possible(self, ledger: Ledger, start: JobState) -> None:
        for wanted in JobState:
            job = ledger.create_job(samples.spec(), "", "ada")
            lease = ledger.lease(job.id, "d", 60)
            for step in _way_to(start):
                ledger.move(lease, step)
            if wanted in JOB_MOVES[start]:
                moved = ledger.move(lease, wanted, "because")
                assert (moved.state, moved.message) == (wanted, "because")
                assert (moved.ended is not None) == wanted.ended
            else:
                with pytest.raises(UsageError, match=f"is {start} and cannot become {wanted}"):
                    ledger.move(lease, wanted)
                assert ledger.job(job.id, "").state is start

    def test_a_resumed_job_has_not_ended(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.move(lease, JobState.FAILED, "no model")
        resumed = ledger.move(lease, JobState.PREPARING)
        assert (resumed.ended, resumed.message) == (None, "")
        assert ledger.events(job.id)[-1].data == {"from": "FAILED", "to": "PREPARING", "message": ""}


def _way_to(state: JobState) -> list[JobState]:
    main = [JobState.QUEUED, JobState.PREPARING, JobState.SEARCHING, JobState.FINALIZING, JobState.DONE]
    return main[1 : main.index(state) + 1] if state in main else [state]


class TestEvents:
    def test_they_are_kept_in_order_with_epoch_and_data(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.note(lease, "stalled", {"trials": 7, "why": ["plateau", None, 0.5]})
        events = ledger.events(job.id)
        assert [event.seq for event in events] == [1, 2, 3]
        assert (events[2].kind, events[2].epoch, events[2].job) == ("stalled", 1, job.id)
        assert events[2].data == {"trials": 7, "why": ["plateau", None, 0.5]}
        assert events[0].at <= events[1].at <= events[2].at

    def test_what_is_no_plain_data_is_refused_and_changes_nothing(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        for wrong in (object(), float("nan")):
            with pytest.raises((DataError, UsageError)):
                ledger.note(lease, "odd", {"x": wrong})
        assert len(ledger.events(job.id)) == 2

    def test_a_record_handed_out_is_not_the_ledgers_own(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        data = {"list": [1]}
        ledger.note(lease, "mine", data)
        data["list"].append(2)
        handed = ledger.events(job.id)[-1].data
        handed["list"].append(3)  # type: ignore[attr-defined]
        assert ledger.events(job.id)[-1].data == {"list": [1]}


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
