"""What people type for a job or a trial."""

from __future__ import annotations

import pytest

from qsearch.contracts.errors import NotFound, UsageError
from qsearch.contracts.job import Job, JobSpec, JobState, ModelRef
from qsearch.contracts.target import Target
from qsearch.service.references import find_trial, target_of
from qsearch.store.memory import MemoryLedger

SPEC = JobSpec(name="demo", model=ModelRef(path="/m.onnx"), targets=(Target(name="a"), Target(name="b")))


@pytest.fixture
def job() -> Job:
    ledger = MemoryLedger()
    return ledger.create_job(SPEC, "text", "me")


def test_a_target_must_be_named_where_there_are_several(job: Job) -> None:
    assert job.state is JobState.QUEUED
    with pytest.raises(UsageError, match="2 targets: a, b"):
        target_of(job, "")
    assert target_of(job, "b") == "b"
    with pytest.raises(NotFound, match="no target 'c'; it has a, b"):
        target_of(job, "c")


@pytest.mark.parametrize("text", ["demo", "demo/", "/3"])
def test_what_names_no_trial_says_how_to_write_one(text: str) -> None:
    ledger = MemoryLedger()
    ledger.create_job(SPEC, "text", "me")
    with pytest.raises((UsageError, NotFound)):
        find_trial(ledger, text, "me")


def test_words_that_are_no_trial_are_refused_by_name() -> None:
    ledger = MemoryLedger()
    ledger.create_job(SPEC, "text", "me")
    with pytest.raises(UsageError, match="'worst:a' is no trial"):
        find_trial(ledger, "demo/worst:a", "me")
    with pytest.raises(NotFound, match="no best trial yet"):
        find_trial(ledger, "@last/best:a", "me")
    with pytest.raises(NotFound, match="has 0 members"):
        find_trial(ledger, "demo/front[0]:a", "me")
