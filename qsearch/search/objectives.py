"""The objectives by name, and which results may be compared at all. Everything is minimised."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from qsearch.contracts.errors import Incomparable, Unsupported
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import Verdict
from qsearch.search.space import is_fp32

#: name → what is minimised, from the numbers every finished trial has
OBJECTIVES: dict[str, Callable[[Result], float]] = {
    "latency": lambda result: result.latency.ratio.value,
    "drop": lambda result: result.accuracy.drop.value,
    "size": lambda result: float(result.size_bytes),
    "memory": lambda result: float(result.peak_memory_bytes),
}


def checked(objectives: Sequence[str]) -> tuple[str, str]:
    """The two objectives, or a refusal.

    Raises:
        Unsupported: an unknown name, one named twice, or not two of them.
    """
    unknown = [name for name in objectives if name not in OBJECTIVES]
    if unknown:
        raise Unsupported(f'unknown objective "{unknown[0]}"; available: {", ".join(OBJECTIVES)}')
    if len(objectives) != 2 or objectives[0] == objectives[1]:
        found = ", ".join(objectives) or "none"
        raise Unsupported(f"expected two different objectives, found {found}; available: {', '.join(OBJECTIVES)}")
    return objectives[0], objectives[1]


def values(result: Result, objectives: Sequence[str]) -> tuple[float, ...]:
    """Point estimates of the screening numbers, in the order of the objectives; ratio, fraction, bytes, bytes."""
    return tuple(OBJECTIVES[name](result) for name in objectives)


def was_seated(result: Result) -> bool:
    """Whether the trial sat in the finals: it has a held-out score, whatever became of its latency there."""
    return result.heldout is not None


def choosing_values(result: Result, objectives: Sequence[str]) -> tuple[float, ...]:
    """The same with the final ratio of a finalist, and never its held-out drop.

    NOTE: the held-out split accepts or refuses what was chosen without it. Ordering by its drops would
    make it a second search split, and its drop of the winner as optimistic as any other that was
    selected for being small.
    """
    return tuple(
        result.judged_latency.ratio.value if name == "latency" else OBJECTIVES[name](result) for name in objectives
    )


def is_usable(result: Result) -> bool:
    """Whether the trial says something: its latency was not polluted, and its numbers are finite.

    fp32 against itself is 1 whatever the noise, so a polluted sitting does not take it away: it is what
    everything falls back on.
    """
    if result.latency.verdict is Verdict.POLLUTED and not is_fp32(result.trial.candidate):
        return False
    return all(math.isfinite(read(result)) for read in OBJECTIVES.values())


def must_be_comparable(history: Sequence[Result]) -> None:
    """Refuse results of unlike machines or runtimes: their numbers must not meet on one front.

    Raises:
        Incomparable: names the key and both values.
    """
    for name in ("machine_key", "runtime_key"):
        found = sorted({getattr(result, name) for result in history})
        if len(found) > 1:
            raise Incomparable(
                f"cannot compare the trials: {name} is {found[0]} for some and {found[1]} for others",
                "Give the target labels that only one class of machines carries, for example isa.",
            )
    # records from before shapes were kept have none
    shapes = sorted({result.latency.shapes for result in history} - {""})
    if len(shapes) > 1:
        raise Incomparable(
            f"cannot compare the trials: inputs of shapes {shapes[0]} were timed for some and {shapes[1]} for others",
            "The samples were chosen anew in between; run the job again from its start.",
        )
