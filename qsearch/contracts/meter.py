"""The port that measures time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qsearch.contracts.measurement import Sitting, Tier
from qsearch.contracts.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One model to be timed in a child of its own."""

    #: unique in the sitting
    name: str
    model: Path
    #: what the child must report to have loaded
    sha256: str
    target: Target
    #: .npz of collated feeds (see `qsearch.measure.samples`), equal for all arms
    samples: Path


class Meter(Protocol):
    """Times arms against each other.

    Promises: never two arms busy at once; every arm of a session is a fresh process; load order and
    who starts alternate over sessions; samples are rejected by telemetry only, and every raw sample
    is kept. A child that crashes, hangs or dies for memory ends the sitting with its cause and leaves
    no process behind.
    """

    def sit(self, arms: Sequence[Arm], tier: Tier, *, seed: int) -> Sitting:
        """Measure; the first arm is the reference.

        Raises:
            WorkFailed: NATIVE_CRASH, OUT_OF_MEMORY, TIMEOUT or BAD_MODEL, with the child's last words.
        """
        ...
