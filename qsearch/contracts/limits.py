"""When what telemetry saw beside a measurement counts: above one threshold it is told, above another it rejects.

NOTE: thresholds and not verdicts of their own. A pair is dropped for what happened around it, never for
how long it took, so whoever lowers a threshold loses pairs (and gets POLLUTED) but cannot move a ratio.
None of them was derived; they are the field's usual ones where it has some, and stand in every sitting
beside what they were applied to.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """One bound per signal; None = never. Shares are fractions of the time that was watched, 0.03 = 3 %.

    The defaults are those above which a pair is dropped.
    """

    #: time the hypervisor gave to others, of the pinned CPUs
    steal: float | None = 0.03
    #: time the arm's threads were ready and waited for a CPU
    wait: float | None = 0.03
    #: work of other processes on the pinned CPUs
    foreign: float | None = 0.10
    #: time in which some task waited for a CPU (PSI): of the whole machine, so no pair is dropped for it
    pressure: float | None = None
    #: the same for memory
    memory_pressure: float | None = None
    #: time a cgroup quota held back whoever is in it
    throttled: float | None = 0.0
    #: pages read from disk during a block
    major_faults: float | None = 10.0
    #: by how much the CPUs ran slower than usual for this arm in this session
    clock: float | None = 0.15
    #: by how much the GPU's clock was below what it was set to
    gpu_clock: float | None = 0.25
    #: whether the GPU slowed itself down for heat or power supply: 1 or 0
    gpu_throttled: float | None = 0.0
    #: other processes on the GPU
    gpu_foreign: float | None = 0.0
    #: by how much the canary's time changed from before two rounds to after them
    canary: float | None = 0.25


#: thresholds that are numbers and not shares
COUNTED = ("major_faults", "gpu_throttled", "gpu_foreign")

#: above these a number is flagged, and stands
FLAGGED = Thresholds(
    steal=0.01,
    wait=0.01,
    foreign=0.03,
    pressure=0.05,
    memory_pressure=0.01,
    throttled=0.0,
    major_faults=0.0,
    clock=0.05,
    gpu_clock=0.10,
    gpu_throttled=0.0,
    gpu_foreign=0.0,
    canary=0.05,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is told of, and what is dropped."""

    #: of a block or of two rounds: above it the pairs are dropped, and kept with the reason
    reject: Thresholds = field(default_factory=Thresholds)
    #: over all blocks that were used: above it the number carries a flag
    flag: Thresholds = FLAGGED

    @property
    def lenient(self) -> bool:
        """Whether pairs stand that the defaults would have dropped."""
        return any(
            usual is not None and (mine is None or mine > usual)
            for name in Thresholds.__dataclass_fields__
            for mine, usual in ((getattr(self.reject, name), getattr(_USUAL, name)),)
        )


_USUAL = Thresholds()
