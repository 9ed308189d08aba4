"""What is asked of a target: by MLPerf Inference's names (Reddi et al., 2020)."""

from __future__ import annotations

from enum import StrEnum


class Scenario(StrEnum):
    """How inferences are asked for, and therefore what is reported."""

    #: one sample at a time: latency, its ratio to fp32's, and tails
    SINGLE_STREAM = "single_stream"
    #: batches back to back: samples per second at a batch size; no tails
    OFFLINE = "offline"
    MULTI_STREAM = "multi_stream"
    SERVER = "server"


#: Scenarios that this version can measure.
MEASURED: tuple[Scenario, ...] = (Scenario.SINGLE_STREAM, Scenario.OFFLINE)


def scenario_of(asked: str, batch: int) -> Scenario:
    """The scenario of a target that says `asked`, or nothing, at a batch size.

    NOTE: a batch of several samples is throughput by its nature, so that a target with `batch: 8` and no
    word means `offline`, which keeps every target valid that was written before the word existed. One
    sample at a time means `single_stream`, unless the target says that its throughput is wanted.
    """
    return Scenario(asked) if asked else Scenario.SINGLE_STREAM if batch == 1 else Scenario.OFFLINE


def scenario_objection(asked: str, batch: int) -> str:
    """Why a scenario cannot be measured at a batch size, in one clause; empty when it can."""
    if asked and asked not in tuple(Scenario):
        return f'unknown scenario "{asked}"; available: {", ".join(MEASURED)}'
    scenario = scenario_of(asked, batch)
    if scenario not in MEASURED:
        return f"{scenario} is not available in this version; available: {', '.join(MEASURED)}"
    if scenario is Scenario.SINGLE_STREAM and batch != 1:
        return f"single_stream is one sample at a time, found batch {batch}; write offline, or batch: 1"
    return ""
