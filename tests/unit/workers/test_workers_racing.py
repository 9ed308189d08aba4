"""Racing with the real runtime: what is ruined is stopped, what is not scores as if it had not been raced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import UNTIMED, Choice
from qsearch.contracts.errors import TaskError
from qsearch.contracts.job import DataRef, DropLimit, ModelRef
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.racing import Racing
from qsearch.contracts.target import Target
from qsearch.contracts.work import Materialized, MaterializeOrder, Prepared, PrepareOrder
from qsearch.quantize.assemble import assemble
from tests.acceptance.conftest import write_classifier
from workers.materializing import materialize
from workers.preparing import prepare
from workers.racing import Track
from workers.splits import split_file

RACING = Racing(limit=DropLimit(amount=0.01, relative=True), seed=3)
USER = """
from pathlib import Path
import numpy as np
from qsearch.contracts.task import Split, Task

def task():
    with np.load(Path(__file__).with_name("samples.npz")) as found:
        x, labels = found["x"], found["labels"]
    def part(a, b):
        return Split(samples=[{"x": row} for row in x[a:b]], labels={"labels": labels[a:b], "weight": np.ones(1)})
    return Task(metric="mine", score=score, calibration=part(0, 120), search=part(120, 420), heldout=part(420, 720),
                per_sample=True)

def score(outputs, labels):
    assert len(outputs["logits"]) == len(labels["labels"]) and labels["weight"].shape == (1,)
    return np.array([float(row.argmax() == label) for row, label in zip(outputs["logits"], labels["labels"])])[CUT]
"""


def _track(folder: Path, *, metric: str = "top1", task: str = "", batch: int = 1) -> Track:
    """A classifier and its samples, ready to be raced; models are assembled from `prepared` below the folder."""
    write_classifier(folder / "model.onnx", folder / "samples.npz", classes=20, count=720)
    target, model = Target(name="here", batch=batch), ModelRef(path=str(folder / "model.onnx"))
    order = MaterializeOrder(
        model=model,
        task=f"{folder.name}:task" if task else "",
        folder=str(folder),
        data=None if task else DataRef(path=str(folder / "samples.npz")),
        metric=metric,
        seed=0,
        batches=(batch,),
    )
    if task:
        (folder / f"{folder.name}.py").write_text(task)
    found = materialize(order, folder, 60)
    assert isinstance(found, Materialized)
    preparing = PrepareOrder(
        model=model,
        splits=str(folder / "splits"),
        materialized=found,
        folder=str(folder),
        choices=UNTIMED,
        target=target,
    )
    prepared = prepare(preparing, folder, 60)
    assert isinstance(prepared, Prepared)
    return Track(
        samples=split_file(folder / "splits", "search", batch),
        reference=prepared.reference,
        reference_outputs=folder / "prepared" / "reference.npz",
        materialized=found,
        folder=str(folder),
        target=target,
        racing=RACING,
    )


def _race(track: Track, choice: Choice, scratch: Path) -> Accuracy:
    scratch.mkdir()
    candidate = Candidate(choices=dict.fromkeys(("hidden", "head"), choice))
    model = assemble(track.reference_outputs.parent, candidate, scratch / "candidate")
    found, predicted = track.race(model.path, scratch, 60)
    assert predicted.float_ops
    assert not list(scratch.glob("look-*")), "parts were left behind"
    return found


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory) -> Track:
    return _track(tmp_path_factory.mktemp("raced"))


def test_what_ruins_the_accuracy_is_stopped_at_the_first_look(track: Track, tmp_path: Path) -> None:
    found = _race(track, Choice.TERNARY, tmp_path / "ternary")
    assert found.truncated
    assert (found.n, found.of, found.looks) == (38, 300, (38,))
    assert list(found.samples) == sorted(set(found.samples))
    assert len(found.outcomes) == 38
    assert found.drop.low > 0.01
    expected = np.mean([track.reference.outcomes[i] for i in found.samples])
    assert found.reference_score == pytest.approx(expected)
    assert found == _race(track, Choice.TERNARY, tmp_path / "again")


def test_what_is_good_scores_as_it_would_unraced(track: Track, tmp_path: Path) -> None:
    found = _race(track, Choice.FP32, tmp_path / "whole")
    assert not found.truncated
    assert (found.n, found.of, found.looks, found.samples) == (300, 300, (38, 150, 300), ())
    assert found.outcomes == track.reference.outcomes
    assert found.drop.value == 0


def test_fidelity_and_batches_are_raced_too(tmp_path: Path) -> None:
    track = _track(tmp_path, metric="cosine-to-fp32", batch=3)
    # 100 batches: too few in the first look for Student's bound
    ruined = _race(track, Choice.TERNARY, tmp_path / "ternary")
    assert ruined.truncated
    assert (ruined.n, ruined.of) == (150, 300)
    assert _race(track, Choice.FP32, tmp_path / "whole").outcomes == (1.0,) * 300


def test_a_users_score_is_called_on_the_part_with_its_labels(tmp_path: Path) -> None:
    track = _track(tmp_path, metric="", task=USER.replace("CUT", "slice(None)"))
    assert track.materialized.per_sample
    ruined = _race(track, Choice.TERNARY, tmp_path / "ternary")
    assert ruined.truncated
    assert (ruined.n, ruined.metric) == (38, "mine")
    assert _race(track, Choice.FP32, tmp_path / "whole").outcomes == track.reference.outcomes


def test_a_promise_that_is_not_kept_is_told(tmp_path: Path) -> None:
    track = _track(tmp_path, metric="", task=USER.replace("CUT", "slice(1, None)"))
    with pytest.raises(TaskError, match="per_sample promises one outcome per sample, found 299 for 300"):
        _race(track, Choice.TERNARY, tmp_path / "ternary")


def test_retrieval_and_f1_are_not_raced(tmp_path: Path) -> None:
    for metric in ("f1-macro", "mrr"):
        folder = tmp_path / metric
        folder.mkdir()
        assert not _track(folder, metric=metric).materialized.per_sample
