"""A recording answers what was recorded, wherever it is replayed, and refuses the rest by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qsearch.cluster.memory import IMAGINED, MemoryPool
from qsearch.cluster.recording import Recording, RecordingPool, work_digest
from qsearch.contracts.candidate import Candidate
from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import DataError, NotFound, Unreachable, UsageError, WorkFailed
from qsearch.contracts.job import ModelRef
from qsearch.contracts.measurement import Accuracy, Tier
from qsearch.contracts.target import Target
from qsearch.contracts.verdict import Interval
from qsearch.contracts.work import (
    InspectOrder,
    Materialized,
    MaterializeOrder,
    Order,
    Outcome,
    TrialOrder,
    Work,
    WorkKind,
)

TARGET = Target(name="here")
FACTS = Materialized(digest="d", metric="mrr", higher_is_better=True, score="mrr", samples={"search": 4})


def test_materialized_files_and_records_come_back_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "rec" / "run.jsonl"
    recorded = _materialize(tmp_path / "one")
    with_recording = RecordingPool(MemoryPool(_write_splits), file)
    with_recording.submit(recorded, TARGET)
    assert [outcome.result for outcome in with_recording.results(0.0)] == [FACTS]
    with_recording.close()
    with_recording.close()

    elsewhere = replace(_materialize(tmp_path / "two"), key="OTHER/materialize", token=9)
    recording = Recording(file)
    pool = MemoryPool(recording.answer, recording.slots)
    pool.submit(elsewhere, TARGET)
    (outcome,) = pool.results(0.0)
    assert (outcome.key, outcome.token, outcome.result) == ("OTHER/materialize", 9, FACTS)
    assert (tmp_path / "two" / "splits" / "search.npz").read_text() == "tensors"
    assert pool.capacity() == (IMAGINED,)


def test_failures_are_replayed_in_order_and_the_last_answer_repeats(tmp_path: Path) -> None:
    attempts = iter([Cause.INFRA, None])

    def answer(work: Work) -> Outcome:
        cause = next(attempts)
        if cause is not None:
            raise WorkFailed(cause, "the worker died")
        return _write_splits(work)

    file = tmp_path / "run.jsonl"
    pool = RecordingPool(MemoryPool(answer), file)
    for token in (1, 2):
        pool.submit(replace(_materialize(tmp_path / "a"), token=token), TARGET)
        pool.results(0.0)
    pool.close()
    again = Recording(file)
    asked = [replace(_materialize(tmp_path / "b"), token=9, failures=failures) for failures in (0, 0, 1, 2)]
    assert [again.answer(work).cause for work in asked] == [Cause.INFRA, Cause.INFRA, None, None]


def test_what_was_never_recorded_is_refused_by_name(tmp_path: Path) -> None:
    file = _recorded(tmp_path)
    order = replace(_materialize(tmp_path).order, seed=99)  # type: ignore[type-var]
    with pytest.raises(NotFound, match=r"JOB/materialize: this materialize was never recorded in .*run\.jsonl"):
        Recording(file).answer(replace(_materialize(tmp_path), order=order))


def test_a_cancelled_piece_is_recorded_too(tmp_path: Path) -> None:
    pool = RecordingPool(MemoryPool(_write_splits), tmp_path / "run.jsonl")
    pool.submit(_materialize(tmp_path), TARGET)
    pool.cancel("JOB/materialize")
    outcomes: Sequence[Outcome] = pool.results(0.0)
    pool.close()
    assert [outcome.cause for outcome in outcomes] == [Cause.CANCELLED]
    assert Recording(tmp_path / "run.jsonl").answer(_materialize(tmp_path)).cause is Cause.CANCELLED


@pytest.mark.parametrize(
    ("line", "text", "found"),
    [
        (1, "{", ":1: expected a recorded piece"),
        (1, '{"recording": 2}', "format 1"),
        (2, '{"work": {}}', ":2: expected a recorded piece"),
        (2, "[]", ":2: expected a recorded piece"),
    ],
)
def test_damaged_recording_is_named_with_its_line(tmp_path: Path, line: int, text: str, found: str) -> None:
    file = _recorded(tmp_path)
    lines = file.read_text().splitlines()
    lines[line - 1] = text
    file.write_text("\n".join(lines))
    with pytest.raises(DataError, match=found):
        Recording(file)


def test_absent_and_empty_recordings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no recording"):
        Recording(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="is empty"):
        Recording(tmp_path / "empty")


def test_digest_sees_what_is_asked_and_not_where_or_when() -> None:
    work = _trial("/data/a/prepared", Choice.FP32, seed=1)
    same = replace(_trial("/elsewhere/prepared", Choice.FP32, seed=2), key="x", token=5, scratch="/s", deadline_s=9.0)
    assert work_digest(work) == work_digest(same)
    assert work_digest(work) != work_digest(_trial("/data/a/prepared", Choice.TERNARY, seed=1))
    longer = replace(work.order, fp32_s=9.0, scoring_s=2.0)  # type: ignore[type-var]
    assert work_digest(replace(work, order=longer)) == work_digest(work), "how long it is waited for is not asked"
    wide = replace(work.order, target=Target(name="here", threads=2))
    assert work_digest(work) != work_digest(replace(work, order=wide))
    one, two = (InspectOrder(model=ModelRef(path=p), target=TARGET, choices=()) for p in ("/a/m.onnx", "/b/n.onnx"))
    assert work_digest(_inspect(one)) != work_digest(_inspect(two))


def _recorded(tmp_path: Path) -> Path:
    file = tmp_path / "run.jsonl"
    pool = RecordingPool(MemoryPool(_write_splits), file)
    pool.submit(_materialize(tmp_path), TARGET)
    pool.results(0.0)
    pool.close()
    assert json.loads(file.read_text().splitlines()[0])["recording"] == 1
    return file


def _write_splits(work: Work) -> Outcome:
    (Path(work.scratch) / "splits").mkdir(parents=True, exist_ok=True)
    (Path(work.scratch) / "splits" / "search.npz").write_text("tensors")
    return Outcome(kind=work.kind, key=work.key, token=work.token, result=FACTS, host="memory", seconds=0.1)


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for file in (tmp_path / "file" / "run.jsonl", tmp_path):
        with pytest.raises(UsageError, match="--record: cannot write"):
            RecordingPool(MemoryPool(_write_splits), file)


def test_a_recording_that_cannot_go_on_is_no_bug(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    (tmp_path / "run.jsonl.files").write_text("in the folder's place")
    pool = RecordingPool(MemoryPool(_write_splits), file)
    pool.submit(_materialize(tmp_path / "one"), TARGET)
    with pytest.raises(Unreachable, match="cannot be written any more"):
        pool.results(0.0)
    pool.close()


def _materialize(scratch: Path) -> Work:
    order = MaterializeOrder(
        model=ModelRef(package="p", file="m.onnx"),
        task="a:b",
        folder=str(scratch / "spec"),
        data=None,
        metric="",
        seed=3,
        batches=(1,),
    )
    return _work(WorkKind.MATERIALIZE, "JOB/materialize", order, str(scratch))


def _trial(prepared: str, choice: Choice, seed: int) -> Work:
    nothing = Interval(value=0.0, low=0.0, high=0.0)
    reference = Accuracy(
        metric="mrr",
        higher_is_better=True,
        split="search",
        n=1,
        score=1.0,
        reference_score=1.0,
        drop=nothing,
        drop_points=nothing,
        detectable=0.1,
        outcomes=(1.0,),
    )
    order = TrialOrder(
        prepared=prepared,
        splits=prepared.replace("prepared", "splits"),
        materialized=FACTS,
        folder="/home",
        candidate=Candidate(choices={"a": choice}),
        target=TARGET,
        tier=Tier.SCREEN,
        reference=reference,
        seed=seed,
    )
    return _work(WorkKind.TRIAL, "JOB/1", order, "/scratch")


def _inspect(order: InspectOrder) -> Work:
    return _work(WorkKind.INSPECT, "JOB/inspect", order, "/scratch")


def _work(kind: WorkKind, key: str, order: Order, scratch: str) -> Work:
    return Work(kind=kind, key=key, token=1, order=order, scratch=scratch, deadline_s=60.0)


def test_a_line_that_was_cut_short_is_dropped_before_more_is_written(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    for name in "ab":
        pool = RecordingPool(MemoryPool(_write_splits), file)
        pool.submit(_materialize(tmp_path / name), TARGET)
        pool.results(0.0)
        pool.close()
        with file.open("a") as lines:
            lines.write('{"outcome":{"cut')
    RecordingPool(MemoryPool(_write_splits), file).close()
    assert len(file.read_text().splitlines()) == 3
    assert Recording(file).answer(_materialize(tmp_path / "c")).result == FACTS


def test_a_file_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"weights")
    with pytest.raises(UsageError, match="is no recording"):
        RecordingPool(MemoryPool(_write_splits), file)
    assert file.read_bytes() == b"weights"
