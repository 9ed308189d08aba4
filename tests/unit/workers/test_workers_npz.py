"""Samples without Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qsearch.contracts.errors import DataError
from workers.npz_data import npz_task


def _file(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "samples.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_samples_are_dealt_into_three_disjoint_splits(tmp_path: Path) -> None:
    path = _file(tmp_path, x=np.arange(60, dtype=np.float32)[:, None], labels=np.arange(60))
    task, labelled = npz_task(path, ["x"], seed=3)
    assert labelled
    seen = [[float(s["x"][0]) for s in split.samples] for split in (task.calibration, task.search, task.heldout)]
    assert [len(s) for s in seen] == [10, 25, 25]
    assert sorted(value for split in seen for value in split) == [float(i) for i in range(60)]
    assert [float(v) for v in task.search.labels["labels"]] == seen[1]
    again, _ = npz_task(path, ["x"], seed=3)
    assert [float(s["x"][0]) for s in again.search.samples] == seen[1]


def test_wrong_names_lengths_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data file"):
        npz_task(tmp_path / "none.npz", ["x"], 0)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        npz_task(tmp_path / "text.npz", ["x"], 0)
    with pytest.raises(DataError, match="no array 'x'; it has"):
        npz_task(_file(tmp_path, z=np.zeros((20, 2))), ["x"], 0)
    with pytest.raises(DataError, match="'extra' that is no input"):
        npz_task(_file(tmp_path, x=np.zeros((20, 2)), extra=np.zeros(20)), ["x"], 0)
    with pytest.raises(DataError, match="axis 0 counts samples"):
        npz_task(_file(tmp_path, x=np.zeros((20, 2)), labels=np.zeros(19)), ["x"], 0)
    with pytest.raises(DataError, match="at least 12"):
        npz_task(_file(tmp_path, x=np.zeros((5, 2))), ["x"], 0)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, x=np.array([{"a": 1}] * 20))
    with pytest.raises(DataError, match="cannot be read"):
        npz_task(path, ["x"], 0)
