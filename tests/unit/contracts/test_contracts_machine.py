"""Which numbers may be compared: times and scores, with both values in the refusal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qsearch.contracts.errors import Incomparable
from qsearch.contracts.machine import Circumstances, Scored
from qsearch.contracts.target import Target
from qsearch.measure.fingerprint import circumstances, runtime_key

HERE = Circumstances(
    machine_key="m1",
    host="h",
    runtime="onnxruntime 1.32.0",
    runtime_key="r1",
    details={"threads": "1", "batch": "1", "nice": "0"},
    shapes="s1",
    numerics="n1",
)


def test_times_of_like_circumstances_may_be_compared_whatever_else_was_seen() -> None:
    HERE.must_agree(replace(HERE, host="other", numerics="n2", details={"nice": "5"}))
    HERE.must_agree(replace(HERE, shapes=""))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"machine_key": "m2"}, "machine_key is m1 .* and m2"),
        ({"shapes": "s2"}, "shapes is s1 .* and s2"),
        (
            {"runtime_key": "r2", "details": {"threads": "2", "batch": "1"}},
            "runtime_key is r1 .* and r2 .*: threads 1 here, 2 there",
        ),
    ],
)
def test_times_of_unlike_circumstances_are_refused_with_both_values(change: dict, said: str) -> None:
    with pytest.raises(Incomparable, match=said):
        HERE.must_agree(replace(HERE, **change))


def test_scores_of_two_classes_of_machines_need_one_class_of_arithmetic() -> None:
    mine = Scored(metric="top1", data="d" * 64, circumstances=HERE)
    elsewhere = replace(HERE, machine_key="m2", runtime_key="r2")
    mine.must_agree(replace(mine, circumstances=elsewhere))
    mine.must_agree(replace(mine, circumstances=replace(HERE, numerics="")))
    for numerics, told in (("n2", "n2"), ("", "unknown")):
        with pytest.raises(Incomparable, match=f"m1 computes in numerics class n1 here, m2 in {told} there"):
            mine.must_agree(replace(mine, circumstances=replace(elsewhere, numerics=numerics)))
    unknown = replace(mine, circumstances=replace(HERE, numerics=""))
    with pytest.raises(Incomparable, match="unknown"):
        unknown.must_agree(replace(unknown, circumstances=replace(elsewhere, numerics="")))


def test_scores_on_other_samples_or_by_another_metric_are_refused() -> None:
    mine = Scored(metric="top1", data="d" * 64, circumstances=HERE)
    with pytest.raises(Incomparable, match="metric is top1 here and mrr there"):
        mine.must_agree(replace(mine, metric="mrr"))
    with pytest.raises(Incomparable, match=r"data is d{16} here and e{16} there"):
        mine.must_agree(replace(mine, data="e" * 64))


def test_the_runtime_key_holds_scenario_and_provider_options_and_not_the_interpreters_path() -> None:
    plain = Target(name="a")
    key = runtime_key(plain, "onnxruntime 1.32.0")
    assert key == runtime_key(replace(plain, python="/x/bin/python", scenario="single_stream"), "onnxruntime 1.32.0")
    for other in (replace(plain, scenario="offline"), replace(plain, provider_options={"device_id": "0"})):
        assert runtime_key(other, "onnxruntime 1.32.0") != key
    found = circumstances(replace(plain, python="/x/bin/python"), "onnxruntime 1.32.0", facts={"shapes": "x 1×8"})
    assert found.details["interpreter"] == "/x/bin/python"
    assert len(found.shapes) == 16
    assert found.shapes != circumstances(plain, "onnxruntime 1.32.0", facts={"shapes": "x 8×8"}).shapes
