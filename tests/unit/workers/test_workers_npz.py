"""Samples without Python."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from qsearch.contracts.bench import BenchOrder
from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError
from qsearch.contracts.measurement import Tier
from qsearch.contracts.target import Target
from qsearch.contracts.work import Work, WorkKind
from workers.npz_data import npz_arrays, npz_task
from workers.worker import PERFORMER, serve


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


def _bad(folder: Path, kind: str) -> Path:
    """A file of one kind of badness."""
    path = folder / "bad.npz"
    if kind == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros((20, 2)))
    elif kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "scalar":
        np.savez(path, x=np.zeros((20, 2)), labels=np.float32(3))
    elif kind == "nothing":
        np.savez(path)
    elif kind == "text":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "hello")
    else:
        np.savez_compressed(path, x=np.random.default_rng(0).standard_normal((200, 20)))
        content = bytearray(path.read_bytes())
        if kind == "cut":
            del content[len(content) // 2 :]
        else:
            content[400:800] = bytes(400)
        path.write_bytes(content)
    return path


BAD = {
    "npy": "single array",
    "empty": "cannot be read",
    "folder": "cannot be read",
    "scalar": "'labels' is a single number",
    "nothing": "holds no array",
    "text": "is no array",
    "cut": "cannot be read",
    "damaged": "cannot be read",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match=BAD[kind]) as caught:
        npz_task(_bad(tmp_path, kind), ["x"], 0)
    assert "bad.npz" in caught.value.message


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_the_users_for_bench_too(tmp_path: Path, kind: str) -> None:
    data = str(_bad(tmp_path, kind))
    order = BenchOrder(models=(), data=data, target=Target(name="here"), tier=Tier.QUICK, seed=0)
    work = Work(kind=WorkKind.BENCH, key="b", token=1, order=order, scratch=str(tmp_path / "s"), deadline_s=60)
    outcome = serve(work, PERFORMER, "here")
    assert outcome.cause is Cause.BAD_MODEL, outcome
    assert "bad.npz" in outcome.message


def test_bytes_changed_anywhere_end_as_data_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    np.savez_compressed(path, x=np.arange(60, dtype=np.float32)[:, None], labels=np.arange(60))
    whole, draw = path.read_bytes(), np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for at in draw.integers(0, len(content), 3):
            content[at] = draw.integers(0, 256)
        path.write_bytes(content)
        try:
            npz_arrays(path)
        except DataError:
            refused += 1
    assert refused > 50
