"""The file of samples: what goes in comes out, byte for byte the same file, and nothing is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from qsearch.contracts.errors import DataError
from qsearch.measure.samples import read_samples, stream_feeds, write_samples

FEEDS = [
    {"ids": np.arange(6, dtype=np.int64).reshape(2, 3), "mask/0:x": np.ones((2, 3), np.bool_)},
    {"ids": np.arange(4, dtype=np.int64).reshape(1, 4), "mask/0:x": np.zeros((1, 4), np.bool_)},
]
LABELS = {"labels": np.array([1, 0, 2]), "text": np.array(["a", "bc", ""])}


def test_round_trip_keeps_values_types_and_order(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.npz", FEEDS, LABELS, [2, 1])
    file = read_samples(tmp_path / "s.npz")
    assert file.sizes == (2, 1)
    assert list(file.labels) == ["labels", "text"]
    for name, label in LABELS.items():
        np.testing.assert_array_equal(file.labels[name], label)
    for wrote, read in zip(FEEDS, file.feeds, strict=True):
        assert list(wrote) == list(read)
        for name, array in wrote.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name], array)


def test_equal_values_are_equal_bytes_whatever_the_memory_layout(tmp_path: Path) -> None:
    write_samples(tmp_path / "a.npz", FEEDS, LABELS, [2, 1])
    turned = [{n: np.asfortranarray(a) for n, a in batch.items()} for batch in FEEDS]
    write_samples(tmp_path / "b.npz", turned, LABELS, [2, 1])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_numpy_reads_the_file_too(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.npz", FEEDS, LABELS, [2, 1])
    with np.load(tmp_path / "s.npz", allow_pickle=False) as found:
        np.testing.assert_array_equal(found["feeds/000001/ids"], FEEDS[1]["ids"])


def test_a_limit_and_a_stream_read_batches_one_by_one(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.npz", FEEDS, {}, [2, 1])
    assert read_samples(tmp_path / "s.npz", limit=1).sizes == (2,)
    assert [(size, batch["ids"].shape) for size, batch in stream_feeds(tmp_path / "s.npz")] == [
        (2, (2, 3)),
        (1, (1, 4)),
    ]


def test_no_batches_and_scalar_labels_are_fine(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.npz", [], {"one": np.float64(3.5)}, [])
    file = read_samples(tmp_path / "s.npz")
    assert file.feeds == ()
    assert file.labels["one"].shape == ()


@pytest.mark.parametrize(
    ("feeds", "sizes", "said"),
    [
        ([{"x": np.zeros((2, 1))}], [], "one size per batch"),
        ([{"x": np.zeros((2, 1))}], [3], r"expected 3 samples first, found \[2, 1\]"),
        ([{"x": np.array([{"a": 1}], object)}], [1], "found an array of object"),
        ([{}], [1], "is empty"),
    ],
)
def test_wrong_batches_are_refused_and_leave_nothing(tmp_path: Path, feeds: list, sizes: list, said: str) -> None:
    with pytest.raises(DataError, match=said):
        write_samples(tmp_path / "s.npz", feeds, {}, sizes)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_such_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a file of samples"):
        read_samples(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match="not a file of samples"):
        read_samples(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(DataError, match=r"lacks sizes\.npy"):
        read_samples(tmp_path / "other.npz")


def test_a_truncated_or_damaged_file_is_said(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.npz", FEEDS, LABELS, [2, 1])
    whole = (tmp_path / "s.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError):
        read_samples(tmp_path / "cut.npz")
    (tmp_path / "bad.npz").write_bytes(whole.replace(b"\x93NUMPY", b"\x93NUMPX"))
    with pytest.raises(DataError):
        read_samples(tmp_path / "bad.npz")


def test_a_missing_batch_is_said(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.npz", FEEDS, {}, [2, 1])
    with zipfile.ZipFile(tmp_path / "s.npz") as old, zipfile.ZipFile(tmp_path / "less.npz", "w") as new:
        for name in old.namelist():
            if "000001" not in name:
                new.writestr(name, old.read(name))
    with pytest.raises(DataError, match="lacks batch 1 of 2"):
        read_samples(tmp_path / "less.npz")
