"""Jobs, leases, moves and events, on every ledger."""

from __future__ import annotations

from collections.abc import Callable

import ledger_samples as samples
import pytest
from ledger_samples import Clock, kinds

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError, Fenced, NotFound, UsageError
from qsearch.contracts.job import JOB_MOVES, Job, JobState, Lease, Request
from qsearch.contracts.ledger import Ledger


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
            lambda: ledger.leased("nojob"),
            lambda: ledger.request("nojob", Request.STOP),
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

    def test_who_drives_is_told_until_it_is_given_back_or_lapses(self, ledger: Ledger, job: Job, clock: Clock) -> None:
        assert ledger.leased(job.id) is None
        first = ledger.lease(job.id, "driver-1", 60)
        assert ledger.leased(job.id) == first
        clock.seconds += 61
        assert ledger.leased(job.id) is None
        ledger.release(ledger.lease(job.id, "driver-2", 60))
        assert ledger.leased(job.id) is None

    def test_a_driver_that_was_started_for_one_epoch_takes_no_other(self, ledger: Ledger, job: Job) -> None:
        with pytest.raises(Fenced, match="at epoch 0; this driver was started to take it as epoch 2"):
            ledger.lease(job.id, "late", 60, epoch=2)
        ledger.release(ledger.lease(job.id, "in time", 60, epoch=1))
        with pytest.raises(Fenced, match="at epoch 1"):
            ledger.lease(job.id, "late", 60, epoch=1)
        assert kinds(ledger, job.id) == ["created", "leased"]

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


class TestRequests:
    def test_anybody_may_ask_and_a_cancel_outlasts_a_stop(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        assert ledger.job(job.id, "").requested is None
        assert ledger.request(job.id, Request.STOP).requested is Request.STOP
        ledger.request(job.id, Request.CANCEL)
        assert ledger.request(job.id, Request.STOP).requested is Request.CANCEL
        assert ledger.renew(lease, 60).epoch == 1
        assert ledger.job(job.id, "").requested is Request.CANCEL
        asked = [event.data["request"] for event in ledger.events(job.id) if event.kind == "requested"]
        assert asked == ["stop", "cancel", "stop"]

    def test_the_next_driver_was_not_asked(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.request(job.id, Request.CANCEL)
        ledger.release(lease)
        assert ledger.job(job.id, "").requested is Request.CANCEL
        ledger.lease(job.id, "driver-2", 60)
        assert ledger.job(job.id, "").requested is None

    def test_a_job_that_has_ended_cannot_be_asked(self, ledger: Ledger, job: Job, lease: Lease) -> None:
        ledger.move(lease, JobState.CANCELLED, "enough")
        with pytest.raises(UsageError, match="is CANCELLED and cannot be asked to stop"):
            ledger.request(job.id, Request.STOP)
        assert ledger.job(job.id, "").requested is None


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
