"""Two trials that may never have met."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qsearch.contracts.comparison import Basis, PairedTest
from qsearch.contracts.errors import Incomparable
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.task import CELL, Array, Scores
from qsearch.contracts.verdict import Verdict, theta
from qsearch.measure.accuracy import judge, part_of
from qsearch.measure.comparison import THRESHOLD, met, paired, through_fp32
from qsearch.measure.metrics import METRICS, Metric
from qsearch.measure.statistics import detectable
from tests.factories import make_accuracy, make_latency


def scored(outcomes: list[float], **changes: object) -> Accuracy:
    score = float(np.mean(outcomes)) if outcomes else 0.0
    made = replace(make_accuracy(n=len(outcomes)), outcomes=tuple(outcomes), score=score)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_ratio_through_fp32_is_wider_than_either_and_turns_over_with_the_order() -> None:
    a, b = make_latency(0.8, 0.02), make_latency(0.6, 0.02)
    there, back = through_fp32(a, b), through_fp32(b, a)
    assert there.basis is Basis.INDIRECT
    assert there.ratio.value == pytest.approx(0.75)
    assert there.verdict is Verdict.FASTER
    assert back.ratio.value == pytest.approx(1 / there.ratio.value)
    assert (back.ratio.low, back.ratio.high) == pytest.approx((1 / there.ratio.high, 1 / there.ratio.low))
    width = math.log(there.ratio.high / there.ratio.low)
    for own in (a.ratio, b.ratio):
        assert width > math.log(own.high / own.low)
    assert width < math.log(a.ratio.high / a.ratio.low) + math.log(b.ratio.high / b.ratio.low)


def test_the_propagated_interval_covers_as_often_as_it_says() -> None:
    draw = np.random.default_rng(11)
    sd, truth, rounds = 0.01, math.log(0.7 / 0.9), 2000
    half = 1.959964 * sd

    def seen(log: float):
        latency = make_latency(math.exp(log))
        ratio = replace(latency.ratio, low=math.exp(log - half), high=math.exp(log + half))
        return replace(latency, ratio=ratio)

    hits = 0
    for _ in range(rounds):
        first, second = draw.normal([math.log(0.9), math.log(0.7)], sd)
        found = through_fp32(seen(float(first)), seen(float(second))).ratio
        hits += found.low <= math.exp(truth) <= found.high
    assert hits / rounds == pytest.approx(0.95, abs=0.015)


def test_equal_trials_are_never_told_apart_and_pollution_is_inherited() -> None:
    same = make_latency(0.8, 0.05)
    assert through_fp32(same, same).verdict is Verdict.UNRESOLVED
    dirty = make_latency(0.5, 0.01, verdict=Verdict.POLLUTED)
    assert through_fp32(same, dirty).verdict is Verdict.POLLUTED
    flagged = replace(same, flags=("indicative",))
    assert through_fp32(flagged, same).flags == ("indicative",)


@pytest.mark.parametrize("half", [0.001, 0.02, 0.2])
def test_the_smallest_difference_is_what_the_verdict_would_have_called(half: float) -> None:
    told = through_fp32(make_latency(1.0, half), make_latency(0.9, half))
    assert told.detectable == detectable(told.ratio, theta(10.0, THRESHOLD))


def test_twenty_microseconds_never_matter() -> None:
    tiny = replace(make_latency(1.0, 0.001), median_ms=0.05)
    told = through_fp32(tiny, make_latency(0.9, 0.001))
    assert told.verdict is Verdict.EQUIVALENT
    assert told.reference_ms == 0.05, "a reader must see that it was this, and no 2 %"


def test_arms_that_met_are_told_as_their_sitting_told_them() -> None:
    latency = make_latency(0.9, 0.01)
    told = met(latency, Basis.FINALS)
    assert (told.ratio, told.verdict, told.detectable) == (latency.ratio, latency.verdict, latency.detectable)
    assert told.reference_ms == latency.reference_ms


def test_right_and_wrong_are_compared_by_the_exact_test_on_discordant_samples() -> None:
    told = paired(scored([1.0] * 90 + [0.0] * 10), scored([1.0] * 80 + [0.0] * 10 + [1.0] + [0.0] * 9))
    assert told.test is PairedTest.MCNEMAR
    assert (told.only_first, told.only_second, told.n) == (10, 1, 100)
    # two-sided: twice the tail of Binomial(11, ½) at 1
    assert told.p == pytest.approx(2 * 12 / 2**11)
    assert told.drop_points.value == pytest.approx(0.09)
    assert told.drop.value == pytest.approx(0.09 / 0.9)
    assert 0 < told.drop.low < told.drop.high
    assert told.detectable > 0


def test_where_less_is_better_a_sample_that_only_the_first_got_right_still_counts_as_lost() -> None:
    first, second = [0.0] * 9 + [1.0], [0.0] * 5 + [1.0] * 5
    told = paired(scored(first, higher_is_better=False), scored(second, higher_is_better=False))
    assert (told.only_first, told.only_second) == (4, 0)
    assert told.drop_points.value > 0


def test_other_outcomes_are_resampled_in_pairs() -> None:
    draw = np.random.default_rng(3)
    base = draw.random(200)
    told = paired(scored(base.tolist()), scored((base - 0.05).tolist()))
    assert told.test is PairedTest.BOOTSTRAP
    assert (told.p, told.only_first) == (None, None)
    assert told.drop_points.value == pytest.approx(0.05)
    # paired: what samples have in common is gone
    assert told.drop_points.high - told.drop_points.low < 1e-9
    weighted = {"weights": tuple([1.0, 2.0] * 100)}
    assert paired(scored(base.tolist(), **weighted), scored(base.tolist(), **weighted)).drop.value == 0


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"metric": "f1"}, "metric is top1 here and f1 there"),
        ({"split": "heldout"}, "split is search here and heldout there"),
        ({"outcomes": (1.0,)}, "number of outcomes is 2 here and 1 there"),
        ({"aggregate": "f1-macro"}, "what makes the score is mean here and f1-macro there"),
        ({"higher_is_better": False}, "direction is higher is better here and lower is better there"),
        ({"weights": (1.0, 2.0)}, "weights"),
    ],
)
def test_what_cannot_be_paired_is_refused_with_both_values(changes: dict[str, object], what: str) -> None:
    with pytest.raises(Incomparable, match=what):
        paired(scored([1.0, 0.0]), replace(scored([1.0, 0.0]), **changes))  # type: ignore[arg-type]
    with pytest.raises(Incomparable, match="no outcome"):
        paired(scored([]), scored([]))


def _outputs(metric: Metric, rng: np.random.Generator, n: int) -> tuple[list[Array], dict[str, Array], list[Array]]:
    """Of a candidate, labels, and of fp32, as the metric wants them."""
    if metric.name in ("exact", "cer", "edit-distance"):
        labels = rng.integers(0, 9, (n, 6))
        mine, theirs = (np.where(rng.random((n, 6)) < wrong, 9, labels) for wrong in (0.2, 0.1))
        return list(mine), {"labels": labels}, list(theirs)
    shape = (n, 4, 8) if metric.name == "perplexity" else (n, 2 if metric.name == "f1-binary" else 8)
    fp32 = rng.standard_normal(shape)
    noisy = fp32 + 0.4 * rng.standard_normal(shape)
    labels = np.where(rng.random(shape[:-1]) < 0.7, fp32.argmax(-1), 0)
    return list(noisy), {"labels": labels}, list(fp32)


@pytest.mark.parametrize("name", METRICS)
def test_a_comparison_with_fp32_says_what_the_trial_says(name: str) -> None:
    metric = METRICS[name]
    mine, labels, theirs = _outputs(metric, np.random.default_rng(31), 120)

    def judged(outputs: list[Array], reference: Accuracy | None) -> Accuracy:
        scores: Scores = metric.function({"y": outputs}, labels, {"y": theirs})
        how = {"metric": name, "higher_is_better": metric.higher_is_better, "split": "search"}
        return judge(scores, reference=reference, **how)  # type: ignore[arg-type]

    fp32 = judged(theirs, None)
    candidate = judged(mine, fp32)
    told = paired(fp32, candidate)
    assert candidate.drop_points.value != 0
    assert (told.drop, told.drop_points, told.detectable) == (
        candidate.drop,
        candidate.drop_points,
        candidate.detectable,
    )
    assert (told.first, told.second, told.n, told.of) == (fp32.score, candidate.score, candidate.n, candidate.n)
    right_or_wrong = fp32.aggregate == "mean" and set(fp32.outcomes) | set(candidate.outcomes) <= {0.0, 1.0}
    assert (told.test is PairedTest.MCNEMAR) is right_or_wrong


def test_classes_that_look_like_right_and_wrong_are_not_counted_as_that() -> None:
    # all of class 0: cells 0 (right) and 1 (predicted as class 1)
    first = scored([0.0] * 20, aggregate="f1-macro")
    told = paired(first, scored([0.0] * 12 + [1.0] * 8, aggregate="f1-macro"))
    assert (told.test, told.p) == (PairedTest.BOOTSTRAP, None)
    assert told.drop_points.value > 0
    with pytest.raises(Incomparable, match="true classes"):
        paired(first, scored([0.0] * 19 + [float(CELL)], aggregate="f1-macro"))


def _stopped(whole: Accuracy, samples: list[int]) -> Accuracy:
    """As if a race had stopped after these samples."""
    part = part_of(whole, np.array(samples))
    return replace(part, of=len(whole.outcomes), samples=tuple(samples), looks=(len(samples),))


def test_scores_that_were_stopped_early_are_paired_on_the_samples_that_both_have() -> None:
    draw = np.random.default_rng(41)
    first, second = (scored((draw.random(80) < right).astype(float).tolist()) for right in (0.9, 0.6))
    here, there = sorted(draw.permutation(80)[:40].tolist()), sorted(draw.permutation(80)[:40].tolist())
    common = sorted(set(here) & set(there))
    assert 6 < len(common) < 40
    told = paired(_stopped(first, here), _stopped(second, there))
    wanted = paired(part_of(first, np.array(common)), part_of(second, np.array(common)))
    assert told == replace(wanted, of=80)
    assert told.n == len(common)
    assert told.first == pytest.approx(np.mean([first.outcomes[i] for i in common]))
    half = paired(first, _stopped(second, there))
    assert (half.n, half.of) == (40, 80)
    assert half.second == pytest.approx(np.mean([second.outcomes[i] for i in there]))


def test_weights_follow_the_samples_that_both_have() -> None:
    weights = tuple(float(i + 1) for i in range(20))
    whole = scored([0.5] * 20, weights=weights)
    better = scored([0.75] * 20, weights=weights)
    told = paired(_stopped(whole, list(range(12))), _stopped(better, list(range(4, 16))))
    assert (told.n, told.of) == (8, 20)
    assert told.drop_points.value == pytest.approx(-0.25)


def test_too_few_samples_in_common_are_refused_with_their_numbers() -> None:
    whole = scored([1.0, 0.0] * 20)
    first, second = _stopped(whole, list(range(10))), _stopped(whole, list(range(5, 20)))
    with pytest.raises(
        Incomparable, match="of 40 samples, the first was scored on 10, the second on 15, and both on 5"
    ):
        paired(first, second)
    with pytest.raises(Incomparable, match="number of outcomes is 40 here and 39 there"):
        paired(first, replace(second, of=39))
    with pytest.raises(Incomparable, match="10 of 40 samples were scored, and which ones was not kept"):
        paired(replace(first, samples=()), whole)
