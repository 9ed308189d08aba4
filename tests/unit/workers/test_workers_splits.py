"""A task's samples on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qsearch.contracts.errors import DataError, TaskError
from qsearch.contracts.task import Feeds, Split, Task
from qsearch.measure.samples import read_samples
from workers.splits import split_file, write_splits


def _task(calibration: list[Feeds], **changes: object) -> Task:
    split = Split(samples=[{"x": np.ones(3, np.float32) * i} for i in range(5)], labels={"labels": np.arange(5)})
    values: dict[str, object] = {"metric": "top1", "score": "top1", "search": split, "heldout": split} | changes
    return Task(calibration=Split(samples=calibration), **values)  # type: ignore[arg-type]


def test_splits_are_written_for_each_batch_size_and_read_back(tmp_path: Path) -> None:
    task = _task([{"x": np.zeros(3, np.float32)}])
    write_splits(task, (1, 2), tmp_path)
    single, double = (read_samples(split_file(tmp_path, "search", b)) for b in (1, 2))
    assert [f["x"].shape for f in single.feeds] == [(1, 3)] * 5
    assert list(double.sizes) == [2, 2, 1]
    assert np.array_equal(double.labels["labels"], np.arange(5))
    assert np.array_equal(np.concatenate([f["x"] for f in double.feeds])[:, 0], np.arange(5, dtype=np.float32))


def test_equal_data_have_an_equal_digest_and_other_data_another(tmp_path: Path) -> None:
    task = _task([{"x": np.zeros(3, np.float32)}])
    first, again = write_splits(task, (1,), tmp_path / "a"), write_splits(task, (1,), tmp_path / "b")
    other = write_splits(_task([{"x": np.ones(3, np.float32)}]), (1,), tmp_path / "c")
    assert first == again != other


@pytest.mark.parametrize(
    ("samples", "error", "words"),
    [
        ([], TaskError, "calibration split has no samples"),
        ([{"x": np.array([np.nan], np.float32)}], DataError, "NaN or infinity"),
        ([{"x": np.zeros(1)}, {"y": np.zeros(1)}], TaskError, r"sample 1 has the inputs \['y'\]"),
        ([{"x": np.array([None])}], TaskError, "no plain array"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, samples: list[Feeds], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        write_splits(_task(samples), (1,), tmp_path)


def test_unlike_shapes_need_a_collate(tmp_path: Path) -> None:
    ragged: list[Feeds] = [{"x": np.zeros(3, np.float32)}, {"x": np.zeros(4, np.float32)}]
    write_splits(_task(ragged), (1,), tmp_path)
    with pytest.raises(TaskError, match=r"samples 0\.\.1 of calibration cannot be collated"):
        write_splits(_task(ragged), (2,), tmp_path)


def test_a_collate_without_the_batch_axis_is_refused(tmp_path: Path) -> None:
    task = _task([{"x": np.zeros(3, np.float32)}], collate=lambda samples: samples[0])
    with pytest.raises(TaskError, match="axis 0 is the batch"):
        write_splits(task, (1,), tmp_path)
