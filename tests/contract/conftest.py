"""Fixtures of the ledger suites: each test runs once per implementation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ledger_samples as samples
import pytest
from ledger_samples import LEDGERS, Clock

from qsearch.contracts.job import Job, Lease
from qsearch.contracts.ledger import Ledger


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
