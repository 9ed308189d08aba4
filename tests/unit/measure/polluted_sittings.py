"""Simulated sittings with telemetry, judged as a meter judges them; the truth about times and load is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import islice

import numpy as np

from qsearch.contracts.limits import Limits
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import ArmRun, Block, CanaryReading, Sitting, Tier
from qsearch.measure.pollution import judged
from qsearch.measure.protocol import PLANS, rounds

BLOCK_MS = 60.0
CALM = {"elapsed_ms": BLOCK_MS, "own_ms": BLOCK_MS, "wait_ms": 0.2, "steal_ms": 0.0, "foreign_ms": 0.0}
_PLACE = Circumstances(machine_key="m", host="h", runtime="memory 1", runtime_key="r")

#: arm, session, round → (how many times slower the block runs, what telemetry sees beside `CALM`)
Load = Callable[[str, int, int], tuple[float, Mapping[str, float]]]
#: session, complete rounds → nanoseconds of the canary
Canary = Callable[[int, int], int]


def calm(arm: str, session: int, number: int) -> tuple[float, Mapping[str, float]]:
    """Nothing happens."""
    return 1.0, {}


def sit(
    load: Load = calm,
    *,
    seed: int = 0,
    tier: Tier = Tier.SCREEN,
    limits: Limits | None = None,
    canary: Canary = lambda session, done: 80_000,
    pairs: int = 8,
) -> Sitting:
    """Two equal arms of 5 ms under a load, rejected as telemetry and the canary have it."""
    rng, held, sessions = np.random.default_rng(seed), limits or Limits(), PLANS[tier].sessions
    blocks: list[Block] = []
    for session in range(sessions):
        luck = {arm: math.exp(rng.normal(0, 0.003)) for arm in "RC"}
        for number, order in enumerate(islice(rounds("RC", session, seed), pairs)):
            for place, arm in enumerate(order):
                slower, seen = load(arm, session, number)
                samples = 5e6 * luck[arm] * slower * np.exp(rng.normal(0, 0.01, 12))
                blocks.append(
                    Block(
                        arm=arm,
                        session=session,
                        round=number,
                        order=2 * number + place,
                        samples_ns=tuple(int(s) for s in samples),
                        telemetry={**CALM, **seen},
                    )
                )
    readings = tuple(
        CanaryReading(session=s, rounds=n, typical_ns=canary(s, n))
        for s in range(sessions)
        for n in range(0, pairs + 1, 2)
    )
    return Sitting(
        tier=tier,
        reference="R",
        runs=tuple(_run(arm, session) for session in range(sessions) for arm in "RC"),
        blocks=judged(blocks, readings, held, 1),
        seconds=1.0,
        cpus=(1,),
        limits=held,
        canary=readings,
    )


def _run(arm: str, session: int) -> ArmRun:
    return ArmRun(
        arm=arm,
        session=session,
        model_sha256="0" * 64,
        load_ms=1,
        first_ms=1,
        warmup_s=0.5,
        steady=True,
        peak_rss_bytes=1,
        circumstances=_PLACE,
    )
