"""A database that an older QSearch has filled is brought up to date with what it holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event

sys.path.insert(0, str(Path(__file__).parents[2] / "contract"))

import ledger_samples as samples

from qsearch.contracts.job import Request
from qsearch.store import schema
from qsearch.store.opening import open_ledger


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_what_an_older_revision_holds_is_kept(tmp_path: Path, revision: str) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = open_ledger(url)
    uuid, job = ledger.uuid, ledger.create_job(samples.spec(), "text", "ada")
    lease = ledger.lease(job.id, "driver-1", 60)
    ledger.add_trials(lease, samples.proposals(2))
    ledger.request(job.id, Request.STOP)
    ledger.save_noise(samples.noise())
    before, trials = ledger.job(job.id, ""), ledger.trials(job.id)
    ledger.close()
    _down(url, revision)
    again = open_ledger(url)
    now = again.job(job.id, "")
    assert (again.uuid, again.trials(job.id)) == (uuid, trials)
    assert (now.epoch, now.spec, now.state) == (before.epoch, before.spec, before.state)
    # the first one knew no requests
    assert now.requested is (None if revision == "0001" else Request.STOP)
    assert again.noise(samples.noise().machine_key) == [], "both knew nothing of noise"
    again.save_noise(samples.noise())
    assert again.request(job.id, Request.CANCEL).requested is Request.CANCEL
    again.close()


def _down(url: str, revision: str) -> None:
    engine = create_engine(url)
    # sqlite3 would commit before the first change of the schema
    event.listen(engine, "connect", lambda connection, record: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        schema.downgrade(connection, revision)
        assert schema.current(connection) == revision
    engine.dispose()
