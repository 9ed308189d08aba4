"""What sittings of a model against itself show of the machine."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from qsearch.contracts.errors import DataError
from qsearch.contracts.measurement import ArmRun, Sitting, Tier
from qsearch.contracts.noise import EqualSession, NoiseFloor, SessionLuck
from qsearch.measure.latency import alike, clean_pairs
from qsearch.measure.luck import between_sessions, learn, luck_of, student, typical_pair_sd
from qsearch.measure.mix import typical_ns
from qsearch.measure.protocol import PLANS
from qsearch.measure.signed_rank import hodges_lehmann


def equal_sessions(sitting: Sitting) -> tuple[EqualSession, ...]:
    """The sessions in which an arm had the very file of the reference, under the same runtime; often none.

    Of several such arms the first counts: they all share the reference's luck. A session with fewer than
    two clean pairs tells nothing of its own noise and is passed over.
    """
    arm = _equal_arm(sitting)
    if not arm:
        return ()
    try:
        sessions = clean_pairs(sitting, arm, sitting.reference)
    except DataError:
        return ()
    return tuple(
        EqualSession(shift=hodges_lehmann(pairs).value, pairs=len(pairs), pair_sd=statistics.stdev(pairs))
        for pairs in sessions
        if len(pairs) > 1
    )


def noise_of(
    sittings: Sequence[Sitting], *, source: str, model: str, known: Sequence[NoiseFloor] = ()
) -> NoiseFloor | None:
    """What these A/A sittings show; None when nothing in them was equal, or nothing was left of it.

    Args:
        sittings: of one model on one machine under one runtime.
        source: who sat; see `NoiseFloor`.
        model: what sat, in words.
        known: what was kept of the machine earlier; the floor is that of a screen which knows all of it.
    """
    seen = [sitting for sitting in sittings if equal_sessions(sitting)]
    if not seen:
        return None
    sessions = tuple(session for sitting in seen for session in equal_sessions(sitting))
    first = _reference(seen[0])
    sd, _ = learn([sessions])
    found = NoiseFloor(
        machine_key=first.circumstances.machine_key,
        host=first.circumstances.host,
        runtime=first.circumstances.runtime,
        runtime_key=first.circumstances.runtime_key,
        source=source,
        model=model,
        model_sha256=first.model_sha256,
        sittings=len(seen),
        sessions=sessions,
        session_sd=sd,
        pair_sd=typical_pair_sd(sessions),
        floor=0.0,
        median_ms=statistics.median(_median_ms(sitting) for sitting in seen),
    )
    return _with_floor(found, [floor for floor in known if floor.source != source])


def screen_floor(luck: SessionLuck | None, pair_sd: float, pairs: float) -> float:
    """Half of a screen's 95 % interval, relative: what a difference must exceed to be seen in one screen.

    Args:
        luck: what is known of the machine; None = assumed.
        pair_sd: standard deviation of pairs, ln ratio.
        pairs: of one session.
    """
    sessions = PLANS[Tier.SCREEN].sessions
    variance, weight = between_sessions(luck)
    outer = student(weight + sessions - 1) * math.sqrt(variance / sessions)
    inner = student(sessions * pairs - 1) * pair_sd / math.sqrt(sessions * pairs)
    return math.expm1(math.hypot(outer, inner))


def _with_floor(found: NoiseFloor, known: Sequence[NoiseFloor]) -> NoiseFloor:
    same = [f for f in known if (f.machine_key, f.runtime_key) == (found.machine_key, found.runtime_key)]
    (luck,) = luck_of([found, *same])
    pairs = statistics.fmean(session.pairs for session in found.sessions)
    return replace(found, floor=screen_floor(luck, found.pair_sd, pairs))


def _equal_arm(sitting: Sitting) -> str:
    """The first arm that is the reference under another name; empty when there is none."""
    others = dict.fromkeys(run.arm for run in sitting.runs if run.arm != sitting.reference)
    return next((arm for arm in others if alike(sitting, arm, sitting.reference)), "")


def _reference(sitting: Sitting) -> ArmRun:
    return next(run for run in sitting.runs if run.arm == sitting.reference)


def _median_ms(sitting: Sitting) -> float:
    blocks = [block for block in sitting.blocks if block.arm == sitting.reference]
    return typical_ns([block for block in blocks if not block.rejected] or blocks) / 1e6
