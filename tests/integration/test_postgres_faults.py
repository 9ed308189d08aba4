"""What a server does to a ledger: locks, restarts, lost answers, many writers; on a server of its own."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy.event import listen

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import Fenced, Unreachable
from qsearch.contracts.job import Lease
from qsearch.contracts.trial import TrialState
from qsearch.store.opening import open_ledger
from qsearch.store.sql_ledger import SqlLedger
from qsearch.store.transaction import Transaction
from tests.contract import ledger_samples as samples
from tests.integration.cut_line import Line
from tests.postgres import PostgresServer


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    made = postgres.ledger_url()
    yield made
    postgres.give_back(made)


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    made = open_ledger(url)
    yield made
    made.close()


@pytest.fixture
def lease(ledger: SqlLedger) -> Lease:
    job = ledger.create_job(samples.spec(), "", "ada").id
    return ledger.lease(job, "driver", 600)


def raw(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.replace("+psycopg", ""))


def kinds(ledger: SqlLedger, job: str) -> list[str]:
    return [event.kind for event in ledger.events(job)]


class TestPatience:
    def test_a_short_lock_is_waited_for(self, url: str, ledger: SqlLedger, lease: Lease) -> None:
        locker = raw(url)
        locker.execute("SELECT 1 FROM jobs FOR UPDATE")
        timer = threading.Timer(0.3, locker.rollback)
        timer.start()
        ledger.note(lease, "late", {})
        timer.join()
        locker.close()
        assert kinds(ledger, lease.job)[-1] == "late"

    def test_a_long_one_is_unreachable_with_advice(self, url: str, ledger: SqlLedger, lease: Lease) -> None:
        hasty = open_ledger(url, patience_s=0.2)
        locker = raw(url)
        locker.execute("SELECT 1 FROM jobs FOR UPDATE")
        with pytest.raises(Unreachable, match=r"does not answer for 0\.2 s: .*lock timeout") as error:
            hasty.note(lease, "never", {})
        assert "Another process holds it" in error.value.hint
        assert kinds(hasty, lease.job)[-1] == "leased", "a reader is not locked out"
        locker.close()
        hasty.note(lease, "now", {})
        hasty.close()

    def test_a_driver_that_stops_inside_a_write_cannot_hold_the_job(
        self, url: str, ledger: SqlLedger, lease: Lease
    ) -> None:
        stopped, go_on = open_ledger(url, patience_s=1.0), threading.Event()

        def write(tx: Transaction) -> None:
            tx.append_event(lease.job, "paused", {})
            go_on.wait(20)

        with ThreadPoolExecutor(1) as pool:
            paused = pool.submit(stopped._database.write, write)
            ledger.note(lease, "meanwhile", {})
            go_on.set()
            paused.result()
        stopped.close()
        assert kinds(ledger, lease.job)[-2:] == ["meanwhile", "paused"], "it was thrown out, and tried again"

    @pytest.mark.parametrize(
        ("code", "advice"),
        [("53100", "free some space"), ("58030", "disk failed"), ("25006", "standby"), ("53200", "out of memory")],
    )
    def test_the_servers_own_trouble_is_named_and_nothing_is_lost(
        self, url: str, ledger: SqlLedger, lease: Lease, code: str, advice: str
    ) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        token = ledger.start(lease, 0)
        with raw(url) as connection:
            connection.execute(_FAILING.replace("00000", code))
        with pytest.raises(Unreachable, match="no luck") as error:
            ledger.finish(lease.job, 0, token, samples.measurement())
        assert advice in error.value.hint
        with raw(url) as connection:
            connection.execute("DROP FUNCTION fail_now CASCADE")
        connection.close()
        assert ledger.finish(lease.job, 0, token, samples.measurement())

    def test_errors_do_not_carry_what_was_written(self, url: str, ledger: SqlLedger, lease: Lease) -> None:
        with raw(url) as connection:
            connection.execute("ALTER TABLE job_events ADD CONSTRAINT short CHECK (data NOT LIKE '%word%')")
        with pytest.raises(Exception, match="refused a row") as error:
            ledger.note(lease, "secret", {"word": "s3cr3t"})
        assert "s3cr3t" not in str(error.value)
        with raw(url) as connection:
            connection.execute("ALTER TABLE job_events DROP CONSTRAINT short")
        connection.close()

    def test_text_that_the_server_cannot_keep(self, ledger: SqlLedger, lease: Lease) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        failed = ledger.fail(lease, 0, ledger.start(lease, 0), Cause.NATIVE_CRASH, "a\0b", "tail\0\udc80")
        assert failed.message == "a\u2400b"
        assert ledger.trial(lease.job, 0).state is TrialState.QUEUED


_FAILING = """
CREATE FUNCTION fail_now() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no luck' USING ERRCODE = '00000'; END $$;
CREATE TRIGGER failing BEFORE INSERT ON measurements FOR EACH ROW EXECUTE FUNCTION fail_now()
"""


class TestLostConnections:
    def test_between_two_writes(self, url: str, ledger: SqlLedger, lease: Lease, postgres: PostgresServer) -> None:
        _drop(postgres, url)
        ledger.note(lease, "after", {})
        assert kinds(ledger, lease.job)[-1] == "after"

    def test_inside_a_write(self, url: str, ledger: SqlLedger, lease: Lease, postgres: PostgresServer) -> None:
        drops = [True]

        def write(tx: Transaction) -> None:
            tx.append_event(lease.job, "once", {})
            if drops.pop() if drops else False:
                _drop(postgres, url)

        ledger._database.write(write)
        assert kinds(ledger, lease.job).count("once") == 1

    @pytest.mark.parametrize("moment", ["before", "after", "late"])
    def test_at_the_commit_the_work_is_done_exactly_once(
        self, url: str, ledger: SqlLedger, lease: Lease, moment: str
    ) -> None:
        """before: COMMIT never arrives; after: only its answer is lost; late: it arrives after the line broke."""
        with Line(url) as line:
            torn = open_ledger(line.url)
            measured = samples.measurement()
            for logs, write in (
                (True, lambda: len(torn.add_trials(lease, samples.proposals(2)))),
                (True, lambda: torn.start(lease, 0)),
                (True, lambda: int(torn.finish(lease.job, 0, 1, measured))),
                (True, lambda: torn.start(lease, 1)),
                (True, lambda: torn.fail(lease, 1, 1, Cause.TIMEOUT, "", "").number),
                (False, lambda: torn.renew(lease, 600).epoch),
                (True, lambda: torn.note(lease, "said", {}) or 1),
            ):
                torn.jobs()
                line.cut = moment
                assert write() in (1, 2)
                assert line.cut == "", "the line was cut"
                assert line.asked.is_set() == logs, "what writes an event asks what became of it"
            created = torn.create_job(samples.spec("other"), "", "ada")
            torn.close()
        assert [trial.state for trial in ledger.trials(lease.job)] == [TrialState.DONE, TrialState.QUEUED]
        found = kinds(ledger, lease.job)
        assert found == ["created", "leased", "asked", "started", "accepted", "started", "failed", "said"]
        assert [job.id for job in ledger.jobs()] == [created.id, lease.job]
        assert ledger.measurement(lease.job, 0) == measured

    def test_a_number_that_was_given_to_somebody_else_is_no_proof(self, ledger: SqlLedger, lease: Lease) -> None:
        number: list[int] = []
        query = "SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)"

        def write(tx: Transaction) -> None:
            tx.append_event(lease.job, "mine", {})
            number.append(tx.connection.exec_driver_sql(query).scalar_one())

        ledger._database.write(write)
        seq = ledger.events(lease.job)[-1].seq
        database = ledger._database
        assert database._kept(number[0], (lease.job, seq))
        assert not database._kept(number[0], (lease.job, seq + 1)), "committed, but without our event"
        assert not database._kept(number[0], (lease.job, seq - 1)), "the event is another transaction's"
        assert not database._kept(number[0] + 1_000_000, (lease.job, seq)), "not given to anybody yet"

    def test_the_newest_transaction_is_waited_for(self, url: str, ledger: SqlLedger, lease: Lease) -> None:
        for end, kept in (("commit", True), ("rollback", False)):
            with closing(raw(url)) as writer:
                number, event = _write_an_event(writer, lease)
                timer = threading.Timer(0.2, getattr(writer, end))
                timer.start()
                found = ledger._database._kept(number, event)
                timer.join()
            assert found == kept, end

    def test_what_is_committed_while_the_question_is_asked_is_kept(
        self, url: str, ledger: SqlLedger, lease: Lease
    ) -> None:
        with closing(raw(url)) as writer:
            number, event = _write_an_event(writer, lease)

            def commit_behind_the_snapshot(_connection: object, cursor: Any, statement: str, *_: object) -> None:
                if "pg_xact_status" in statement:
                    cursor.execute("SELECT 1")
                    writer.commit()

            listen(ledger._database.engine, "before_cursor_execute", commit_behind_the_snapshot)
            assert ledger._database._kept(number, event)


class TestRestarts:
    def test_a_killed_server_that_comes_back_loses_nothing(self) -> None:
        with PostgresServer() as server:
            ledger = open_ledger(server.fresh_url())
            job = ledger.create_job(samples.spec(), "", "ada").id
            lease = ledger.lease(job, "driver", 600)
            ledger.add_trials(lease, samples.proposals(60))
            with ThreadPoolExecutor(1) as pool:
                driver = pool.submit(_finish_all, ledger, lease, 60)
                for _ in range(2):
                    time.sleep(0.3)
                    server.kill()
                    server.start_again()
                assert driver.result(60) == 60
            accepted = [event.data["trial"] for event in ledger.events(job) if event.kind == "accepted"]
            assert accepted == list(range(60))
            server.halt()
            with pytest.raises(Unreachable, match=r"for 0\.3 s"):
                open_ledger(server.url("any"), patience_s=0.3)
            ledger.close()


class TestManyWriters:
    def test_two_drivers_never_share_an_epoch(self, url: str, ledger: SqlLedger) -> None:
        job = ledger.create_job(samples.spec(), "", "ada").id

        def fight(holder: str) -> tuple[list[int], int]:
            mine, epochs, fenced = open_ledger(url), [], 0
            for _ in range(6):
                try:
                    lease = mine.lease(job, holder, 0.0)
                    epochs.append(lease.epoch)
                    mine.add_trials(lease, samples.proposals(1))
                except Fenced:
                    fenced += 1
            mine.close()
            return epochs, fenced

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(fight, "abcd"))
        epochs = sorted(epoch for taken, _ in found for epoch in taken)
        assert epochs == list(range(1, 25))
        assert [trial.number for trial in ledger.trials(job)] == list(range(len(ledger.trials(job))))
        events = ledger.events(job)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert len(ledger.trials(job)) + sum(event.kind == "fenced" for event in events) == 24

    def test_drivers_of_different_jobs_do_not_stand_in_each_others_way(self, url: str, ledger: SqlLedger) -> None:
        def drive(name: str) -> None:
            mine = open_ledger(url)
            job = mine.create_job(samples.spec(name), "", "ada").id
            lease = mine.lease(job, "driver", 60)
            mine.remember_machine(samples.machine(), {})
            mine.save_prepared(lease, "laptop", *samples.prepared())
            for trial in mine.add_trials(lease, samples.proposals(3)):
                assert mine.finish(job, trial.number, mine.start(lease, trial.number), samples.measurement())
            mine.close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(drive, ["one", "two", "three", "four"]))
        jobs = ledger.jobs()
        assert sorted(job.name for job in jobs) == ["four", "one", "three", "two"]
        assert [job.created for job in jobs] == sorted((job.created for job in jobs), reverse=True)
        assert [len(ledger.history(job.id)) for job in jobs] == [3] * 4
        assert len(ledger.machines()) == 1

    def test_forked_and_spawned_children_have_connections_of_their_own(self, ledger: SqlLedger, lease: Lease) -> None:
        forked = multiprocessing.get_context("fork")
        children = [forked.Process(target=_note, args=(ledger, lease, f"child-{i}")) for i in range(2)]
        children.append(multiprocessing.get_context("spawn").Process(target=_note, args=(ledger, lease, "spawned")))
        for child in children:
            child.start()
        for i in range(3):
            ledger.note(lease, f"parent-{i}", {})
        for child in children:
            child.join(60)
            assert child.exitcode == 0
        assert len(set(kinds(ledger, lease.job))) == 2 + 3 + 3
        again = pickle.loads(pickle.dumps(ledger))  # noqa: S301 - our own
        assert again.uuid == ledger.uuid
        again.close()


def _write_an_event(connection: psycopg.Connection[Any], lease: Lease) -> tuple[int, tuple[str, int]]:
    """As a transaction in progress does; its number, and the event's job and number."""
    seq = connection.execute(
        "INSERT INTO job_events SELECT job, max(seq) + 1, 0, 1, 'mine', '{}' FROM job_events WHERE job = %s"
        " GROUP BY job RETURNING seq, pg_current_xact_id()::text",
        [lease.job],
    ).fetchone()
    assert seq is not None
    return int(seq[1]), (lease.job, seq[0])


def _drop(server: PostgresServer, url: str) -> None:
    database = url.rsplit("/", 1)[1]
    server.administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")


def _finish_all(ledger: SqlLedger, lease: Lease, count: int) -> int:
    seen = samples.measurement(samples=2, n=2)
    return sum(ledger.finish(lease.job, number, ledger.start(lease, number), seen) for number in range(count))


def _note(ledger: SqlLedger, lease: Lease, kind: str) -> None:
    ledger.note(lease, kind, {})
    ledger.close()
