"""Screens with real children, and what is said of a series of them."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import workers.sitting
from qsearch.contracts.measurement import Latency, Sitting, Tier
from qsearch.contracts.meter import Arm
from qsearch.contracts.noise import NoiseFloor, SessionLuck
from qsearch.contracts.target import Target
from qsearch.contracts.verdict import Verdict
from qsearch.measure import protocol
from qsearch.measure.flicker import believed_flicker, with_flicker
from qsearch.measure.latency import summarise
from qsearch.measure.luck import luck_of
from qsearch.measure.noise import noise_of
from qsearch.store.repeats import repeats_of
from tests.bench.harness import spread
from workers.hashing import file_sha256
from workers.sitting import ChildMeter
from workers.slot_lock import machine_lock

TARGET = Target(name="bench")
#: names of the arms; "C" is what disturbers wait for
REFERENCE, CANDIDATE = "R", "C"
CALLED = (Verdict.FASTER, Verdict.SLOWER)


@dataclass
class Rig:
    """Sits pairs of files, and judges them by what it has learned of the machine."""

    samples: Path
    luck: tuple[SessionLuck, ...] = ()
    floor: NoiseFloor | None = None
    _seeds: Iterator[int] = field(default_factory=lambda: iter(range(1 << 30)))
    #: runtime key, file and time of every pair that was judged, as a database would keep them
    _judged: list[tuple[str, str, Latency]] = field(default_factory=list)

    def sit(self, reference: Path, candidate: Path, tier: Tier = Tier.SCREEN) -> Sitting:
        """One sitting; who starts alternates from one to the next."""
        files = {REFERENCE: reference, CANDIDATE: candidate}
        arms = [
            Arm(name=name, model=file, sha256=file_sha256(file), target=TARGET, samples=self.samples)
            for name, file in files.items()
        ]
        return ChildMeter(lock=machine_lock()).sit(arms, tier, seed=next(self._seeds))

    def judge(self, sitting: Sitting) -> Latency:
        """As the product would, knowing what was learned of equal models and of what was measured twice."""
        run = next(run for run in sitting.runs if run.arm == CANDIDATE)
        here = run.circumstances
        luck = with_flicker(self.luck, repeats_of(here.machine_key, self._judged))
        found = summarise(sitting, CANDIDATE, luck=luck)
        self._judged.append((here.runtime_key, run.model_sha256, found))
        return found

    def screen(self, reference: Path, candidate: Path, tier: Tier = Tier.SCREEN) -> Latency:
        """A sitting, judged."""
        return self.judge(self.sit(reference, candidate, tier))

    @property
    def flicker(self) -> dict[str, float]:
        """What was learned of sittings of unlike models, by what they were seen in."""
        machine = self.floor.machine_key if self.floor else ""
        known = with_flicker((), repeats_of(machine, self._judged))
        return {f"{luck.repeats} repeats": round(believed_flicker(luck), 3) for luck in known}

    def learn(self, sittings: Sequence[Sitting]) -> None:
        """What `doctor --self-test` would keep of these A/A sittings."""
        self.floor = noise_of(sittings, source="bench", model="yardstick")
        self.luck = luck_of([self.floor]) if self.floor else ()


@contextmanager
def exactly(pairs: int) -> Iterator[None]:
    """Screens of so many pairs in all, whatever their width."""
    plan = protocol.PLANS[Tier.SCREEN]
    each = pairs // plan.sessions
    fixed = replace(plan, least_pairs=each, most_pairs=each, half_width=0)
    kept = protocol.PLANS
    plans = MappingProxyType({**kept, Tier.SCREEN: fixed})
    # both names of the one table; a plan is no option of the product
    protocol.PLANS = workers.sitting.PLANS = plans  # type: ignore[misc,attr-defined]
    try:
        yield
    finally:
        protocol.PLANS = workers.sitting.PLANS = kept  # type: ignore[misc,attr-defined]


def row(what: str, found: Sequence[Latency], **more: object) -> dict[str, object]:
    """A series in one line: verdicts, ratios, widths, and the smallest difference it could have called."""
    verdicts = Counter(latency.verdict for latency in found)
    return {
        "what": what,
        "n": len(found),
        **{verdict.value: verdicts[verdict] for verdict in Verdict},
        "ratio": rounded([latency.ratio.value for latency in found]),
        "half_width": rounded([(latency.ratio.high - latency.ratio.low) / 2 for latency in found]),
        "detectable": rounded([latency.detectable for latency in found]),
        "pairs": sum(latency.pairs for latency in found),
        **more,
        "ratios": [round(latency.ratio.value, 4) for latency in found],
    }


def rounded(values: Sequence[float]) -> dict[str, float]:
    """`spread` to four digits behind the point, and the standard deviation of the logarithms where there is one."""
    told = {name: round(value, 4) for name, value in spread(values).items() if name != "n"}
    if len(values) > 1 and min(values) > 0:
        told["sd_ln"] = round(log_sd(values), 5)
    return told


def log_sd(values: Sequence[float]) -> float:
    """Standard deviation of the logarithms."""
    return statistics.stdev(math.log(value) for value in values)


def share(found: Sequence[Latency], *verdicts: Verdict) -> float:
    """Of the series that got one of these verdicts."""
    return sum(latency.verdict in verdicts for latency in found) / len(found)


class Teller:
    """Says on stderr where the bench is."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, words: str) -> None:
        """One line, with the minutes that have passed."""
        print(f"instrument: {(time.monotonic() - self._began) / 60:5.1f} min: {words}", file=sys.stderr, flush=True)
