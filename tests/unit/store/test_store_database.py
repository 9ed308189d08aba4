from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import ledger_samples as samples
import pytest

from qsearch.contracts.codec import digest_of
from qsearch.contracts.errors import DataError, Unreachable
from qsearch.contracts.job import Lease
from qsearch.store.opening import open_ledger
from qsearch.store.sql_ledger import SqlLedger
from qsearch.store.transaction import Transaction

SAMPLES = str(Path(samples.__file__).parent)


@pytest.fixture
def lease(ledger: SqlLedger) -> Lease:
    job = ledger.create_job(samples.spec(), "", "ada").id
    return ledger.lease(job, "driver", 600)


def raw(url: str) -> sqlite3.Connection:
    return sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)


class TestPatience:
    def test_a_short_lock_is_waited_for(self, url: str, ledger: SqlLedger, lease: Lease) -> None:
        locker = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
        locker.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.5, lambda: locker.execute("ROLLBACK"))
        timer.start()
        ledger.note(lease, "late", {})
        timer.join()
        locker.close()
        assert ledger.events(lease.job)[-1].kind == "late"

    def test_a_long_one_is_unreachable_with_advice(self, url: str, lease: Lease) -> None:
        hasty = open_ledger(url, patience_s=0.2)
        locker = raw(url)
        locker.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unreachable, match=r"does not answer for 0\.2 s: database is locked") as error:
            hasty.note(lease, "never", {})
        assert "Another process holds it" in error.value.hint
        assert hasty.events(lease.job)[-1].kind == "leased"
        locker.execute("ROLLBACK")
        hasty.note(lease, "now", {})
        locker.close()
        hasty.close()

    def test_a_write_holds_the_lock_from_its_first_read(self, url: str, ledger: SqlLedger, lease: Lease) -> None:
        other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=0)

        def work(tx: Transaction) -> None:
            tx.job(lease.job)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")

        ledger._database.write(work)
        ledger._database.read(lambda tx: (tx.job(lease.job), other.execute("BEGIN IMMEDIATE")))
        other.close()

    def test_a_full_disk_says_so_and_loses_nothing(self, url: str, ledger: SqlLedger, lease: Lease) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        token = ledger.start(lease, 0)
        pages = ledger._database.whole(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar())
        ledger._database.whole(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages}"))
        large = samples.measurement(samples=20_000)
        with pytest.raises(Unreachable, match="full") as error:
            ledger.finish(lease.job, 0, token, large)
        assert "free some space" in error.value.hint
        ledger._database.whole(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1073741823"))
        assert ledger.finish(lease.job, 0, token, large)
        assert ledger.measurement(lease.job, 0) == large

    def test_a_read_only_file_says_so(self, url: str, ledger: SqlLedger, lease: Lease) -> None:
        ledger._database.whole(lambda c: c.exec_driver_sql("PRAGMA query_only=ON"))
        with pytest.raises(Unreachable, match="readonly"):
            ledger.note(lease, "x", {})

    def test_errors_do_not_carry_what_was_written(self, url: str, ledger: SqlLedger, lease: Lease) -> None:
        hasty = open_ledger(url, patience_s=0.05)
        locker = raw(url)
        locker.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unreachable) as error:
            hasty.note(lease, "secret", {"word": "s3cr3t"})
        assert "s3cr3t" not in f"{error.value} {error.value.__cause__}"
        locker.close()
        hasty.close()


class TestDamage:
    def test_an_edited_measurement_is_found_and_named(self, url: str, ledger: SqlLedger, lease: Lease) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        ledger.finish(lease.job, 0, ledger.start(lease, 0), samples.measurement())
        connection = raw(url)
        (digest,) = connection.execute("SELECT digest FROM measurements").fetchone()
        assert digest == digest_of(samples.measurement())
        connection.execute("UPDATE measurements SET digest = ?", ("00" * 32,))
        with pytest.raises(DataError, match=f"measurement of {lease.job}/0 in the database is damaged"):
            ledger.measurement(lease.job, 0)
        connection.execute("UPDATE measurements SET record = x'00ff'")
        with pytest.raises(DataError, match="damaged"):
            ledger.measurement(lease.job, 0)
        connection.close()

    def test_the_schema_itself_refuses_a_second_accepted_measurement(
        self, url: str, ledger: SqlLedger, lease: Lease
    ) -> None:
        ledger.add_trials(lease, samples.proposals(1))
        ledger.finish(lease.job, 0, ledger.start(lease, 0), samples.measurement())
        connection = raw(url)
        connection.execute("CREATE TEMP TABLE copy AS SELECT * FROM measurements")
        connection.execute("UPDATE copy SET id = 2, token = 2")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO measurements SELECT * FROM copy")
        connection.close()


class TestProcesses:
    def test_a_forked_child_has_connections_of_its_own(self, ledger: SqlLedger, lease: Lease) -> None:
        context = multiprocessing.get_context("fork")
        engine = id(ledger._database.engine)
        children = [context.Process(target=_note, args=(ledger, lease, f"child-{i}", engine)) for i in range(3)]
        for child in children:
            child.start()
        for i in range(5):
            ledger.note(lease, f"parent-{i}", {})
        for child in children:
            child.join(30)
            assert child.exitcode == 0
        assert len({event.kind for event in ledger.events(lease.job)}) == 2 + 5 + 3
        assert _integrity(ledger) == "ok"

    def test_a_ledger_travels_to_a_spawned_child(self, ledger: SqlLedger, lease: Lease) -> None:
        child = multiprocessing.get_context("spawn").Process(target=_note, args=(ledger, lease, "spawned"))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert ledger.events(lease.job)[-1].kind == "spawned"

    def test_it_can_be_pickled(self, ledger: SqlLedger) -> None:
        again = pickle.loads(pickle.dumps(ledger))  # noqa: S301 - our own
        assert again.uuid == ledger.uuid
        again.close()

    def test_writers_of_several_processes_all_get_through(self, url: str, ledger: SqlLedger) -> None:
        context = multiprocessing.get_context("spawn")
        children = [context.Process(target=_drive_a_job, args=(url, i)) for i in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join(90)
            assert child.exitcode == 0
        for job in ledger.jobs():
            assert len(ledger.history(job.id)) == 5
            assert [event.kind for event in ledger.events(job.id)].count("accepted") == 5

    @pytest.mark.parametrize("seed", range(4))
    def test_every_acknowledged_finish_survives_a_kill(
        self, url: str, ledger: SqlLedger, lease: Lease, seed: int
    ) -> None:
        ledger.add_trials(lease, samples.proposals(400))
        child = subprocess.Popen(
            [sys.executable, "-c", _FINISHER, url, lease.job, SAMPLES], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        acknowledged = [child.stdout.readline().strip() for _ in range(5 + 7 * seed)]
        time.sleep(0.003 * seed)
        os.kill(child.pid, signal.SIGKILL)
        acknowledged += child.stdout.read().split()
        child.stdout.close()
        child.wait()
        assert len(acknowledged) >= 5
        accepted = [event.data for event in ledger.events(lease.job) if event.kind == "accepted"]
        digests = {f"{data['trial']}:{data['digest']}" for data in accepted}
        assert set(acknowledged) <= digests
        assert 0 <= len(accepted) - len(acknowledged) <= 1
        for result in ledger.history(lease.job):
            found = ledger.measurement(lease.job, result.trial.number)
            assert f"{result.trial.number}:{digest_of(found)}" in digests
        assert len(ledger.history(lease.job)) == len(accepted)
        assert _integrity(ledger) == "ok"


_FINISHER = """
import sys
sys.path.insert(0, sys.argv[3])
import ledger_samples as samples
from qsearch.contracts.codec import digest_of
from qsearch.store.opening import open_ledger
ledger = open_ledger(sys.argv[1])
lease = ledger.lease(sys.argv[2], "driver", 600)
for number in range(400):
    seen = samples.measurement(0.5 + number / 1000, samples=200)
    assert ledger.finish(lease.job, number, ledger.start(lease, number), seen)
    print(f"{number}:{digest_of(seen)}", flush=True)
"""


def _integrity(ledger: SqlLedger) -> object:
    return ledger._database.whole(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar())


def _note(ledger: SqlLedger, lease: Lease, kind: str, inherited: int = 0) -> None:
    assert id(ledger._database.engine) != inherited
    ledger.note(lease, kind, {})


def _drive_a_job(url: str, seed: int) -> None:
    ledger = open_ledger(url)
    job = ledger.create_job(samples.spec(f"job{seed}"), "", "ada").id
    lease = ledger.lease(job, "driver", 60)
    for trial in ledger.add_trials(lease, samples.proposals(5)):
        ledger.finish(job, trial.number, ledger.start(lease, trial.number), samples.measurement())
    ledger.close()
