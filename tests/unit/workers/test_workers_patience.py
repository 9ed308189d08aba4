"""How long one part of a trial may say nothing, by what fp32 took."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qsearch.contracts.target import Target
from qsearch.contracts.work import Materialized
from workers.trials import SPLIT_S, UNKNOWN_ARM_S, UNKNOWN_SCORING_S, Bench

MADE = Materialized(digest="d", metric="m", higher_is_better=True, score="a:b", samples={})
BENCH = Bench(prepared=Path("p"), splits=Path("s"), materialized=MADE, folder="", target=Target(name="t"))


def test_where_fp32_was_measured_a_hang_is_known_long_before_the_deadline() -> None:
    bench = replace(BENCH, fp32_s=1.5, scoring_s=0.1)
    assert bench.arm_patience_s == 60.0
    assert bench.patience_s("search", 1200.0) == 135.0
    assert bench.patience_s("search", 10.0) == 10.0
    assert bench.scoring_patience_s(1200.0) == SPLIT_S + 5.0


def test_slow_models_and_slow_scores_get_more() -> None:
    bench = replace(BENCH, fp32_s=100.0, scoring_s=30.0)
    assert bench.arm_patience_s > 30 * 60
    assert bench.scoring_patience_s(10.0) == SPLIT_S + 1500.0


def test_where_nobody_knows_the_deadline_decides() -> None:
    assert BENCH.arm_patience_s == UNKNOWN_ARM_S
    assert BENCH.patience_s("search", 1200.0) == 1200.0
    assert replace(BENCH, fp32_s=1.0).patience_s("heldout", 1200.0) == 1200.0
    assert (BENCH.scoring_patience_s(10.0), BENCH.scoring_patience_s(1e3)) == (UNKNOWN_SCORING_S, 1e3)
