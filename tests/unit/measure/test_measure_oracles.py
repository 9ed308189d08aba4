"""Built-in metrics and drops beside scikit-learn, jiwer, torchmetrics and scipy."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import jiwer
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn

from qsearch.contracts.errors import InputError, TaskError
from qsearch.measure.aggregates import cells, score_of
from qsearch.measure.drop import mcnemar_p, paired_drop
from qsearch.measure.metrics import metric

WORDS = ["", "a", "quantize", "quantise", "latency is a ratio", "ratio", "latency", "is a ratio"]


def score(name: str, outputs: Sequence[Any], labels: Any = None, reference: Sequence[Any] | None = None) -> float:
    """As `judge` would make it."""
    named = {} if labels is None else labels if isinstance(labels, dict) else {"labels": np.asarray(labels)}
    theirs = None if reference is None else {"y": [np.asarray(row) for row in reference]}
    found = metric(name).function({"y": [np.asarray(row) for row in outputs]}, named, theirs)
    return score_of(np.asarray(found.outcomes, np.float64), found.weights, found.aggregate)


@pytest.fixture(scope="module")
def torchmetrics() -> ModuleType:
    with warnings.catch_warnings():
        # of packages that it imports, on their way
        warnings.simplefilter("ignore")
        import torchmetrics.functional.audio
        import torchmetrics.functional.retrieval
    return torchmetrics.functional


@pytest.fixture(scope="module")
def classified() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    labels = rng.integers(0, 7, 300)
    return rng.standard_normal((300, 7)) + 1.5 * np.eye(7)[labels], labels


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_is_scikit_learns(classified: tuple[np.ndarray, np.ndarray], k: int) -> None:
    rows, labels = classified
    assert score(f"top{k}", rows, labels) == pytest.approx(
        sklearn.top_k_accuracy_score(labels, rows, k=k, labels=range(7))
    )
    assert score("top1", rows, labels) == pytest.approx(sklearn.accuracy_score(labels, rows.argmax(1)))


def test_f1_is_scikit_learns(classified: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = classified
    assert score("f1-macro", rows, labels) == pytest.approx(sklearn.f1_score(labels, rows.argmax(1), average="macro"))
    two, truth = rows[:, :2], labels % 2
    assert score("f1-binary", two, truth) == pytest.approx(sklearn.f1_score(truth, two.argmax(1)))


@pytest.mark.parametrize(
    ("predicted", "true"),
    [([1, 1, 1], [1, 1, 1]), ([0, 0, 0], [0, 0, 0]), ([0, 0, 0], [1, 1, 0]), ([2, 2, 1], [0, 0, 1]), ([1], [1])],
)
def test_f1_of_missing_classes_is_scikit_learns(predicted: list[int], true: list[int]) -> None:
    rows = np.eye(3)[predicted]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        macro = sklearn.f1_score(true, predicted, average="macro", zero_division=0)
        binary = sklearn.f1_score(true, predicted, zero_division=0) if max(predicted) < 2 else None
    assert score("f1-macro", rows, true) == pytest.approx(macro)
    if binary is not None:
        assert score("f1-binary", rows[:, :2], true) == pytest.approx(binary)


def test_cer_is_jiwers() -> None:
    rng = np.random.default_rng(12)
    wanted = [WORDS[i] for i in rng.integers(2, len(WORDS), 60)]
    read = [WORDS[i] for i in rng.integers(0, len(WORDS), 60)]
    assert score("cer", np.array(read), np.array(wanted)) == pytest.approx(jiwer.cer(wanted, read))
    assert score("exact", np.array(read), np.array(wanted)) == np.mean(
        [a == b for a, b in zip(read, wanted, strict=True)]
    )


def test_empty_texts_count_what_is_read_into_them() -> None:
    wanted, read = ["", "abc", ""], ["xy", "abc", ""]
    # edits over all characters: two letters were read where nothing is written
    assert score("cer", np.array(read), np.array(wanted)) == pytest.approx(2 / 3)
    assert score("edit-distance", np.array(read), np.array(wanted)) == pytest.approx(2 / 3)
    assert score("exact", np.array(read), np.array(wanted)) == pytest.approx(2 / 3)
    with pytest.raises(TaskError, match="all labels are empty"):
        score("cer", np.array(["a"]), np.array([""]))


def test_integer_rows_are_filled_up_with_negative_numbers() -> None:
    labels = np.array([[1, 2, 3], [4, -1, -1]])
    # a recogniser's steps: 1 1 blank 2 3, and 4 4
    steps = [np.eye(6)[[1, 1, 0, 2, 3]], np.eye(6)[[4, 4]]]
    assert score("exact", steps, labels) == 1
    assert score("cer", [np.array([1, 3]), np.array([4, -1])], labels) == pytest.approx(1 / 4)


def test_a_charset_makes_text_of_classes() -> None:
    labels = {"text": np.array(["a°C", "b"]), "charset": np.array(["", "a", "b", "°C"])}
    assert score("exact", [np.eye(4)[[1, 3]], np.eye(4)[[2, 2]]], labels) == 1
    with pytest.raises(TaskError, match='the label "charset"'):
        score("exact", [np.eye(4)[[1]]], np.array(["a"]))
    with pytest.raises(TaskError, match="names class 5, and charset has 4"):
        score("exact", [np.array([5]), np.array([1])], labels)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2, 5])
def test_retrieval_is_torchmetrics(torchmetrics: ModuleType, k: int) -> None:
    import torch

    rng = np.random.default_rng(13)
    rows, classes = rng.standard_normal((40, 6)), rng.integers(0, 12, 40)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    hits, ranks = [], []
    for asking in range(40):
        others = np.flatnonzero(np.arange(40) != asking)
        target = torch.tensor(classes[others] == classes[asking])
        if not target.any():
            continue
        # torchmetrics finds nothing at a similarity of 0 or less, so all are moved above it
        near = torch.tensor(unit[others] @ unit[asking] + 2)
        hits.append(float(torchmetrics.retrieval.retrieval_hit_rate(near, target, top_k=k)))
        ranks.append(float(torchmetrics.retrieval.retrieval_reciprocal_rank(near, target)))
    assert score(f"retrieval@{k}", rows, classes) == pytest.approx(np.mean(hits))
    assert score("mrr", rows, classes) == pytest.approx(np.mean(ranks))


def test_perplexity_by_hand() -> None:
    # log-probabilities of 1/2, 1/4 and 1/8: two bits in the mean
    likely = np.log([[0.5, 0.4, 0.1], [0.25, 0.7, 0.05], [0.125, 0.1, 0.775]])
    labels = np.array([[0, 0, 0]])
    assert score("perplexity", [likely], labels) == pytest.approx(4.0)
    assert score("perplexity", [likely], np.array([[0, -100, -100]])) == pytest.approx(2.0)
    with pytest.raises(TaskError, match="no token to predict"):
        score("perplexity", [likely], np.array([[-100, -100, -100]]))
    with pytest.raises(TaskError, match=r"token 3 to 3; the vocabulary has 3"):
        score("perplexity", [likely], np.array([[3, -100, -100]]))


@pytest.mark.slow
def test_perplexity_is_torchmetrics(torchmetrics: ModuleType) -> None:
    import torch

    rng = np.random.default_rng(14)
    logits, labels = rng.standard_normal((6, 9, 20)).astype(np.float32), rng.integers(0, 20, (6, 9))
    labels[:, 7:] = -100
    labels[3] = -100
    wanted = torchmetrics.text.perplexity(torch.tensor(logits), torch.tensor(labels), ignore_index=-100)
    assert score("perplexity", logits, labels) == pytest.approx(float(wanted), rel=1e-5)
    # shorter outputs are right where the labels beyond are not scored
    assert score("perplexity", logits[:, :7], labels) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.slow
def test_cosine_is_torchmetrics(torchmetrics: ModuleType) -> None:
    import torch

    rng = np.random.default_rng(15)
    mine, theirs = rng.standard_normal((2, 50, 8))
    wanted = torchmetrics.cosine_similarity(torch.tensor(mine), torch.tensor(theirs), reduction="mean")
    assert score("cosine-to-fp32", mine, reference=theirs) == pytest.approx(float(wanted))
    noise = torchmetrics.audio.signal_noise_ratio(torch.tensor(mine.ravel()), torch.tensor(theirs.ravel()))
    assert score("sqnr-to-fp32", mine, reference=theirs) == pytest.approx(float(noise))
    assert score("sqnr-to-fp32", theirs, reference=theirs) == pytest.approx(144.5, abs=0.01)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (6, 0), (5, 0), (12, 2), (30, 28), (2, 9), (300, 260)])
def test_mcnemar_is_scipys_binomial_test(lost: int, won: int) -> None:
    wanted = stats.binomtest(lost, lost + won).pvalue if lost + won else 1.0
    assert mcnemar_p(lost, won) == pytest.approx(wanted)


@pytest.mark.parametrize("aggregate", ["mean", "ratio", "exp-ratio"])
def test_the_paired_bootstrap_is_scipys(aggregate: str) -> None:
    rng = np.random.default_rng(16)
    weights = rng.integers(5, 30, 150).astype(np.float64)
    fp32 = rng.gamma(2, 1, 150) * (1 if aggregate == "mean" else weights)
    mine = fp32 * rng.normal(1.05, 0.1, 150)

    def points(one: np.ndarray, other: np.ndarray, heavy: np.ndarray) -> float:
        return score_of(one, heavy, aggregate) - score_of(other, heavy, aggregate)

    wanted = stats.bootstrap(
        (mine, fp32, weights), points, paired=True, vectorized=False, method="percentile", n_resamples=2000, rng=3
    ).confidence_interval
    _, found, _ = paired_drop(mine, fp32, weights, False, 0, aggregate)
    width = wanted.high - wanted.low
    assert found.value == pytest.approx(points(mine, fp32, weights))
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.12 * width)


def test_the_bootstrap_of_f1_makes_f1_again(classified: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = classified
    rng = np.random.default_rng(17)
    worse = rows + rng.standard_normal(rows.shape)
    first, second = ({"y": list(arm)} for arm in (worse, rows))
    mine, fp32 = (metric("f1-macro").function(arm, {"labels": labels}, None).outcomes for arm in (first, second))
    _, found, _ = paired_drop(mine, fp32, None, True, 0, "f1-macro")

    def points(one: np.ndarray, other: np.ndarray, true: np.ndarray) -> float:
        return score_of(cells(true, other), None, "f1-macro") - score_of(cells(true, one), None, "f1-macro")

    wanted = stats.bootstrap(
        (worse.argmax(1), rows.argmax(1), labels),
        points,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=1000,
        rng=4,
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.2 * (wanted.high - wanted.low))


def test_the_smallest_visible_drop_is_seen_four_times_in_five() -> None:
    rng = np.random.default_rng(18)
    n, reference = 500, np.ones(500)
    reference[450:] = 0
    _, _, detectable = paired_drop(reference, reference, None, True, 0)
    lost = detectable * reference.mean()
    seen = 0
    for _ in range(400):
        wrong = int((rng.random(450) < lost * n / 450).sum())
        seen += mcnemar_p(wrong, 0) <= 0.05
    assert 0.72 < seen / 400 < 0.92


@pytest.mark.parametrize("name", ["top1", "f1-macro", "mrr", "perplexity", "cer"])
def test_outputs_that_are_no_numbers_are_refused(name: str) -> None:
    rows, labels = [np.full((3, 4), np.nan)] * 2, np.zeros((2, 3), int)
    if name not in ("perplexity", "cer"):
        rows, labels = [row[0] for row in rows], labels[:, 0]
    with pytest.raises(TaskError, match="not a number"):
        score(name, rows, labels)


def test_ties_go_to_the_first_class_and_against_retrieval() -> None:
    rows = [np.array([1.0, 1.0, 0.0])] * 3
    assert score("top1", rows, [0, 1, 2]) == pytest.approx(1 / 3)
    assert score("top2", rows, [0, 1, 2]) == pytest.approx(2 / 3)
    assert score("mrr", [np.ones(2)] * 4, [0, 0, 1, 2]) == pytest.approx(1 / 3)


def test_what_is_no_built_in_metric_is_told_what_to_do() -> None:
    with pytest.raises(InputError, match="map is not built in") as refused:
        metric("map")
    assert "function of your own" in refused.value.hint
    for name in ("top0", "top", "retrieval@", "retrieval@x", "top1000000"):
        with pytest.raises(InputError, match="is not built in"):
            metric(name)
    assert metric("top3").name == "top3"
    assert metric("retrieval@20").per_sample is False
