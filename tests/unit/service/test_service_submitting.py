"""Handing a job in, on a cluster that is imagined: one of several hosts cannot be had in a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qsearch.cluster.ray_jobs import Passport, Standing
from qsearch.contracts.errors import Interrupted, JobFailed, Unreachable, Unsupported
from qsearch.contracts.job import JobSpec, JobState, ModelRef
from qsearch.contracts.target import Target
from qsearch.contracts.views import Progress, Submission
from qsearch.service import submitting
from qsearch.service.submitting import Submitter
from qsearch.spec.settings import load_settings
from qsearch.store.opening import open_ledger
from qsearch.store.sql_ledger import SqlLedger


class ImaginedCluster:
    """What `RayJobs` answers; a driver that is started takes the job, or says why not."""

    address = "http://10.0.0.1:8265"

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset({"10.0.0.1"})
        self.words: tuple[str, ...] = ()
        self.ended = False
        self.looks = 0
        self.started: list[tuple[str, int, Passport]] = []
        self.sent: set[str] = set()
        self.take: Callable[[str], object] = lambda job: None

    def hosts(self) -> frozenset[str]:
        return self.names

    def start(self, job: str, epoch: int, passport: Passport, folder: Path | None) -> str:
        self.started.append((job, epoch, passport))
        self.sent = {f.name for f in folder.iterdir()} if folder else set()
        self.take(job)
        return f"{job}-{epoch}"

    def look(self, submission: str) -> Standing:
        self.looks += 1
        return Standing(ended=self.ended, status="FAILED" if self.ended else "PENDING")

    def last_words(self, submission: str) -> tuple[str, ...]:
        return self.words


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> ImaginedCluster:
    made = ImaginedCluster()
    monkeypatch.setattr(submitting, "RayJobs", lambda address: made)
    return made


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    made = open_ledger(f"sqlite:///{tmp_path}/q.db")
    yield made
    made.close()


def hand_in(ledger: SqlLedger, tmp_path: Path, patience_s: float = 30.0, **changes: Any) -> Submission:
    flags = {"database_url": f"sqlite:///{tmp_path}/q.db", "ray_address": "10.0.0.1:6379"}
    spec = JobSpec(
        name="mine", model=ModelRef(path="m.onnx"), folder=str(tmp_path), targets=(Target(name="here"),), **changes
    )
    return Submitter(load_settings(flags, {}, tmp_path), ledger).submit(spec, "text", "ann", _silent, patience_s)


def test_a_file_as_database_is_refused_for_several_hosts_and_leaves_no_job(
    cluster: ImaginedCluster, ledger: SqlLedger, tmp_path: Path
) -> None:
    cluster.names = frozenset({"10.0.0.1", "10.0.0.2"})
    with pytest.raises(Unsupported, match="has 2 hosts, and sqlite:"):
        hand_in(ledger, tmp_path)
    assert list(ledger.jobs()) == []


def test_a_driver_that_takes_the_job_is_told_which_database_it_must_find(
    cluster: ImaginedCluster, ledger: SqlLedger, tmp_path: Path
) -> None:
    cluster.take = lambda job: ledger.lease(job, "elsewhere", 60)
    done = hand_in(ledger, tmp_path)
    assert (done.driven, done.head, done.submission) == (True, None, f"{done.job.id}-1")
    ((job, epoch, passport),) = cluster.started
    assert (job, epoch, passport.database, passport.travelled) == (done.job.id, 1, ledger.uuid, "no")
    assert not cluster.sent


def test_the_user_s_code_travels_and_what_stays_behind_is_said(
    cluster: ImaginedCluster, ledger: SqlLedger, tmp_path: Path
) -> None:
    (tmp_path / "mytask.py").touch()
    (tmp_path / "samples.npz").touch()
    done = hand_in(ledger, tmp_path, patience_s=0.0, task="mytask:task")
    assert not done.driven
    assert cluster.sent >= {"mytask.py"}
    assert "samples.npz" not in cluster.sent
    assert "not sent along" in done.notes[0]
    assert cluster.started[0][2].travelled == "yes"


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (("mine queued", "error: another database", "Set the right one."), "another database", "Set the right one."),
        (("Traceback", "ModuleNotFoundError: No module named 'qsearch'"), "No module named 'qsearch'", ""),
        ((), "it said nothing", ""),
    ],
)
def test_a_driver_that_ends_before_it_began_says_why(
    cluster: ImaginedCluster, ledger: SqlLedger, tmp_path: Path, words: tuple[str, ...], said: str, hint: str
) -> None:
    cluster.ended, cluster.words = True, words
    with pytest.raises(Unreachable, match=said) as refused:
        hand_in(ledger, tmp_path)
    (job,) = ledger.jobs()
    assert job.state is JobState.QUEUED
    assert hint in refused.value.hint
    assert f"qsearch resume {job.id} drives it here" in refused.value.hint


def test_a_cluster_that_is_lost_while_the_driver_works_does_not_deny_the_driver(
    cluster: ImaginedCluster, ledger: SqlLedger, tmp_path: Path
) -> None:
    def lost(job: str) -> None:
        ledger.lease(job, "elsewhere", 60)
        raise Unreachable("no Ray job server at 10.0.0.1")

    cluster.take = lost
    with pytest.raises(Unreachable) as refused:
        hand_in(ledger, tmp_path)
    assert "is driven all the same: qsearch watch" in refused.value.hint


def test_a_driver_that_could_not_begin_is_told_by_the_reason_it_left(
    cluster: ImaginedCluster, ledger: SqlLedger, tmp_path: Path
) -> None:
    def refuse(job: str) -> None:
        lease = ledger.lease(job, "elsewhere", 60)
        ledger.note(lease, "error", {"kind": "InputError", "message": "no file m.onnx", "hint": "Give one."})
        ledger.move(lease, JobState.FAILED, "no file m.onnx")

    cluster.take = refuse
    with pytest.raises(JobFailed, match=r"no file m\.onnx") as told:
        hand_in(ledger, tmp_path)
    (job,) = ledger.jobs()
    assert told.value.hint == f"Give one. Then: qsearch resume {job.id}"


def test_ray_is_asked_seldom_while_a_job_waits_for_its_turn(
    cluster: ImaginedCluster, ledger: SqlLedger, tmp_path: Path
) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    flags = {"database_url": f"sqlite:///{tmp_path}/q.db", "ray_address": "10.0.0.1:6379"}
    spec = JobSpec(name="mine", model=ModelRef(path="m.onnx"), folder=str(tmp_path), targets=(Target(name="here"),))
    submitter = Submitter(load_settings(flags, {}, tmp_path), ledger, lambda: now[0], sleep)
    assert not submitter.submit(spec, "text", "ann", _silent, 65.0).driven
    assert cluster.looks == 16, "ten in the first 5 s, then one each 10 s"


def test_ctrl_c_while_handing_in_names_the_job(cluster: ImaginedCluster, ledger: SqlLedger, tmp_path: Path) -> None:
    def interrupted(job: str) -> None:
        raise KeyboardInterrupt

    cluster.take = interrupted
    with pytest.raises(Interrupted, match="may have been started") as left:
        hand_in(ledger, tmp_path)
    (job,) = ledger.jobs()
    assert f"qsearch status {job.id}" in left.value.hint


def _silent(progress: Progress) -> None:
    """Nobody listens."""
