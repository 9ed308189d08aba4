"""Built-in metrics on answers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from qsearch.contracts.errors import InputError, TaskError
from qsearch.measure.metrics import METRICS, metric

ROWS = {"logits": [np.array(row, np.float32) for row in ([0, 1, 2], [5, 4, 3], [1, 1, 0])]}

ONE = {"price": [np.array([value]) for value in (0.2, 3.0, -1.0)]}


def _score(name: str, outputs: dict, labels: dict | None = None, reference: dict | None = None) -> list[float]:
    return metric(name).function(outputs, labels or {}, reference).outcomes.tolist()


def test_top_k_counts_the_right_class() -> None:
    labels = {"labels": np.array([2, 1, 0])}
    assert _score("top1", ROWS, labels) == [1, 0, 1]
    assert _score("top5", ROWS, labels) == [1, 1, 1]
    assert _score("top1", ROWS, {"whatever": np.array([[2], [1], [0]])}) == [1, 0, 1]


def test_fidelity_of_fp32_to_itself_is_perfect() -> None:
    rng = np.random.default_rng(0)
    outputs = {n: [rng.standard_normal((4, 7)).astype(np.float32) for _ in range(5)] for n in ("a", "b")}
    assert _score("cosine-to-fp32", outputs, reference=outputs) == [1.0] * 5
    assert _score("agreement-to-fp32", outputs, reference=outputs) == [1.0] * 5
    assert _score("mse-to-fp32", outputs, reference=outputs) == [0.0] * 5


def test_fidelity_by_hand() -> None:
    mine, theirs = {"y": [np.array([1.0, 0.0])]}, {"y": [np.array([1.0, 1.0])]}
    assert _score("cosine-to-fp32", mine, reference=theirs) == pytest.approx([2**-0.5])
    assert _score("mse-to-fp32", mine, reference=theirs) == [0.5]
    assert _score("cosine-to-fp32", {"y": [np.zeros(2)]}, reference=theirs) == [0.0]
    tokens = {"y": [np.array([[1, 0], [0, 1]])]}, {"y": [np.array([[1, 0], [1, 0]])]}
    assert _score("agreement-to-fp32", tokens[0], reference=tokens[1]) == [0.5]


def test_one_short_sample_among_longer_ones_is_scored() -> None:
    outputs = {"y": [np.ones(1), np.ones(4)]}
    assert _score("cosine-to-fp32", outputs, reference=outputs) == [1.0, 1.0]
    assert _score("agreement-to-fp32", outputs, reference=outputs) == [1.0, 1.0]


def test_retrieval_ranks_by_cosine_and_ties_count_against() -> None:
    rows = {"e": [np.array(v, float) for v in ([1, 0], [0, 1], [9, 1], [1, 1], [-1, 0])]}
    labels = {"query": np.array([0, 1]), "document": np.array([2, 4])}
    assert _score("mrr", rows, labels) == [1.0, 0.5]
    labels = {"query": np.array([0, 1, 0]), "document": np.array([2, 3, 4])}
    assert _score("mrr", rows, labels) == pytest.approx([1, 1, 1 / 3])
    assert _score("retrieval@1", rows, labels) == [1, 1, 0]
    assert _score("retrieval@5", rows, labels) == [1, 1, 1]
    same = {"e": [np.ones(2)] * 4}
    assert _score("mrr", same, {"query": np.array([0]), "document": np.array([1])}) == [1.0]
    assert _score("mrr", same, {"query": np.array([0, 0]), "document": np.array([1, 2])}) == [0.5, 0.5]


def test_many_queries_are_ranked_in_slices() -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((1300, 4))
    labels = {"query": np.arange(650), "document": np.arange(650, 1300)}
    near = (rows / np.linalg.norm(rows, axis=1, keepdims=True))[:650] @ (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
    )[650:].T
    expected = 1 / (near >= np.diag(near)[:, None]).sum(axis=1)
    np.testing.assert_allclose(_score("mrr", {"e": list(rows)}, labels), expected)


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_says_what_it_needs(name: str) -> None:
    found = metric(name)
    assert found.name == name
    assert found.needs_labels is not found.needs_reference
    assert found.higher_is_better is (name not in ("mse-to-fp32", "cer", "edit-distance", "perplexity"))
    assert found.per_sample is (name[:2] not in ("f1", "mr", "re"))


def test_an_unknown_metric_has_a_neighbour() -> None:
    with pytest.raises(InputError, match="Did you mean cosine-to-fp32"):
        metric("cosine-to-fp23")


@pytest.mark.parametrize(
    ("name", "outputs", "labels", "reference", "said"),
    [
        ("top1", ROWS, {}, None, 'expected "labels"'),
        ("top1", ROWS, {"labels": np.zeros(2, int)}, None, "expected 3 class numbers"),
        ("top1", {"y": [np.zeros((2, 3)), np.zeros((2, 3))]}, {"labels": np.zeros(2, int)}, None, "one vector"),
        ("mrr", ROWS, {"query": np.array([0])}, None, 'labels "query" and "document"'),
        ("mrr", ROWS, {"query": np.array([0]), "document": np.array([3])}, None, "samples 0 to 2"),
        ("mrr", ROWS, {"query": np.array([0]), "document": np.array([1, 2])}, None, "one document per query"),
        ("cosine-to-fp32", ROWS, {}, None, "needs the outputs of fp32"),
        ("cosine-to-fp32", ROWS, {}, {"other": ROWS["logits"]}, "fp32's other"),
        ("mse-to-fp32", ROWS, {}, {"logits": [np.zeros(4)] * 3}, r"output is \[3\], fp32's \[4\]"),
        ("mse-to-fp32", ROWS, {}, {"logits": [np.zeros(3)]}, "fp32 has outputs of 1"),
        ("cosine-to-fp32", ONE, {}, ONE, r"found one.*(.|\n)*sqnr-to-fp32 or mse-to-fp32"),
        ("agreement-to-fp32", ONE, {}, ONE, r"scores on the last axis.*(.|\n)*sqnr-to-fp32"),
        ("top1", ONE, {"labels": np.zeros(3, int)}, None, "a score for each class"),
    ],
)
def test_what_cannot_be_scored_is_said(
    name: str, outputs: dict, labels: dict, reference: dict | None, said: str
) -> None:
    with pytest.raises(TaskError, match=said):
        metric(name).function(outputs, labels, reference)
