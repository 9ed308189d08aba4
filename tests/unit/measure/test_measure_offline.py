"""Throughput from the blocks of a sitting, with nothing but arithmetic between the two."""

from __future__ import annotations

import pytest

from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import ArmRun, Block, Sitting, Tier
from qsearch.contracts.scenario import Scenario
from qsearch.contracts.target import Target
from qsearch.measure.fingerprint import circumstances
from qsearch.measure.latency import TAILS, summarise


def _sitting(under: Circumstances, times_ns: dict[str, int], rejected: str = "") -> Sitting:
    """Three sessions of six rounds; every inference of an arm takes the same time, a little more each session."""
    blocks = [
        Block(
            arm=arm,
            session=session,
            round=number,
            order=number,
            samples_ns=(time + 1000 * session,) * 50,
            rejected=rejected if number == 0 else "",
        )
        for session in range(3)
        for number in range(6)
        for arm, time in times_ns.items()
    ]
    runs = [
        ArmRun(
            arm=arm, session=session, model_sha256="0", load_ms=1, first_ms=1, warmup_s=1, steady=True,
            peak_rss_bytes=1, circumstances=under,
        )
        for session in range(3)
        for arm in times_ns
    ]  # fmt: skip
    return Sitting(tier=Tier.SCREEN, reference="R", runs=tuple(runs), blocks=tuple(blocks), seconds=1.0)


def test_offline_tells_samples_per_second_of_both_arms_and_no_tails() -> None:
    under = circumstances(
        Target(name="t", batch=8, scenario="offline"), "onnxruntime 1.32.0", facts={"shapes": "x 8×4"}
    )
    latency = summarise(_sitting(under, {"R": 8_000_000, "C": 4_000_000}), "C")
    seen = latency.throughput
    assert seen is not None
    assert (latency.scenario, latency.tails, latency.tails_need) == (Scenario.OFFLINE, {}, {})
    assert seen.batch == 8
    assert seen.reference.value == pytest.approx(1000, rel=1e-3)
    assert seen.reference.low < seen.reference.value < seen.reference.high
    assert seen.arm.value == pytest.approx(seen.reference.value / latency.ratio.value)
    assert seen.arm.low == pytest.approx(seen.reference.value / latency.ratio.high)
    assert latency.shapes == under.shapes != ""


def test_a_batch_without_a_word_is_offline_and_one_sample_is_latency_with_tails() -> None:
    batch = circumstances(Target(name="t", batch=8), "onnxruntime 1.32.0")
    assert summarise(_sitting(batch, {"R": 8_000_000, "C": 4_000_000}), "C").throughput is not None
    one = circumstances(Target(name="t"), "onnxruntime 1.32.0")
    latency = summarise(_sitting(one, {"R": 8_000_000, "C": 4_000_000}), "C")
    assert latency.throughput is None
    assert latency.scenario is Scenario.SINGLE_STREAM
    assert set(latency.tails) == set(TAILS)


def test_rejected_blocks_have_no_say_in_it() -> None:
    under = circumstances(Target(name="t", batch=8), "onnxruntime 1.32.0")
    clean = summarise(_sitting(under, {"R": 8_000_000, "C": 4_000_000}), "C").throughput
    fouled = _sitting(under, {"R": 8_000_000, "C": 4_000_000}, rejected="steal")
    assert clean is not None
    assert summarise(fouled, "C").throughput is not None
