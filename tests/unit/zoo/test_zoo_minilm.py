"""The demo task: sizes, disjointness, determinism and its score."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Split, Task
from qsearch.zoo import minilm

FINGERPRINT = """
import hashlib
from qsearch.zoo.minilm import task
made = task()
digest = hashlib.sha256()
for split in (made.calibration, made.search, made.heldout):
    for sample in split.samples:
        digest.update(sample["input_ids"].tobytes())
print(digest.hexdigest())
"""


@pytest.fixture(scope="module")
def made() -> Task:
    return minilm.task()


def splits(made: Task) -> dict[str, Split]:
    return {"calibration": made.calibration, "search": made.search, "heldout": made.heldout}


def test_sizes_and_shapes(made: Task) -> None:
    assert {name: len(split.samples) for name, split in splits(made).items()} == {
        "calibration": 128,
        "search": 1000,
        "heldout": 3000,
    }
    for split in splits(made).values():
        for sample in split.samples:
            assert sample["input_ids"].dtype == sample["attention_mask"].dtype == np.int64
            assert sample["input_ids"].shape == sample["attention_mask"].shape
            assert 2 < len(sample["input_ids"]) <= minilm.MOST_TOKENS
            assert sample["attention_mask"].all()
        queries, documents = split.labels["queries"], split.labels["documents"]
        assert sorted([*queries, *documents]) == list(range(len(split.samples)))
        assert max(np.bincount(split.labels["haystacks"])) <= minilm.HAYSTACK


def test_splits_share_no_sample(made: Task) -> None:
    calibration, search, heldout = (
        {sample["input_ids"].tobytes() for sample in split.samples} for split in splits(made).values()
    )
    assert calibration.isdisjoint(search)
    assert heldout.isdisjoint(calibration | search)


def test_another_process_makes_the_same_samples(made: Task) -> None:
    digest = hashlib.sha256()
    for split in splits(made).values():
        for sample in split.samples:
            digest.update(sample["input_ids"].tobytes())
    command = [sys.executable, "-c", FINGERPRINT]
    other = subprocess.run(command, env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True, timeout=60)
    assert other.stdout.strip() == digest.hexdigest()


def test_score_of_a_hand_example() -> None:
    # queries 0..2, documents 3..5: the first finds its own, the second sees it second, the third last
    vectors = [[1, 0], [1, 1], [0, 1], [2, 0], [0, 1], [-3, 0]]
    found = minilm.score({minilm.EMBEDDING: _arrays(vectors)}, _labels(3))
    # query 1 stands at 45° from documents 3 and 4: a tie counts against it
    np.testing.assert_allclose(found, [1.0, 1 / 2, 1 / 3])


def test_score_ranks_within_the_haystack() -> None:
    vectors = [[1, 0], [0, 1], [0, 1], [1, 0]]
    apart = {**_labels(2), "haystacks": np.array([0, 1])}
    np.testing.assert_allclose(minilm.score({minilm.EMBEDDING: _arrays(vectors)}, _labels(2)), [0.5, 0.5])
    np.testing.assert_allclose(minilm.score({minilm.EMBEDDING: _arrays(vectors)}, apart), [1.0, 1.0])


@pytest.mark.parametrize("value", [0.0, 1.0, float("nan")])
def test_model_that_maps_everything_to_one_point_scores_worst(value: float) -> None:
    vectors = [[value, value]] * 8
    np.testing.assert_allclose(minilm.score({minilm.EMBEDDING: _arrays(vectors)}, _labels(4)), [0.25] * 4)


def test_collate_fills_with_zeros_that_the_mask_hides() -> None:
    samples = [
        {"input_ids": np.array([101, 7, 102]), "attention_mask": np.array([1, 1, 1])},
        {"input_ids": np.array([101, 102]), "attention_mask": np.array([1, 1])},
    ]
    batch = minilm.collate(samples)
    assert batch["input_ids"].tolist() == [[101, 7, 102], [101, 102, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


def test_missing_package_says_make_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(TaskError, match="make models"):
        minilm.task()


def _arrays(vectors: list[list[float]]) -> list[np.ndarray]:
    return [np.array(vector, dtype=np.float32) for vector in vectors]


def _labels(count: int) -> dict[str, np.ndarray]:
    return {
        "queries": np.arange(count),
        "documents": np.arange(count, 2 * count),
        "haystacks": np.zeros(count, dtype=np.int64),
    }
