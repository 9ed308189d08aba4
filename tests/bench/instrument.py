"""Whether the instrument tells the truth, on this machine, with real children.

    python -m tests.bench.instrument [--json] [--strict] [--quick] [--screens N]

1. Equal models: how many of N screens call a difference, and the machine's A/A floor.
2. Work put in: a model with 10 % (5 %) more layers must be called SLOWER. How much more it really is was
   measured beforehand, in six sessions, and stands in the row.
3. Disturbers: a busy neighbour on another core all the time; a busy process on the measured core, only while
   the candidate is on turn.
4. The ratio of one int8 file, twenty times, and in turn the usual way (ten warm-ups, the mean of twenty runs,
   one model after the other, a process each).
5. Seconds of a screen of 8 and of 32 pairs, children included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from qsearch.contracts.errors import DataError
from qsearch.contracts.measurement import Latency, Tier
from qsearch.contracts.verdict import Verdict
from qsearch.measure.samples import write_samples
from tests.bench.harness import Found, Goal, document
from tests.bench.instrument_load import another_cpu, busy, busy_while_on_turn
from tests.bench.instrument_models import images, quantized, with_more_work, yardstick
from tests.bench.instrument_rig import CALLED, TARGET, Rig, Teller, exactly, log_sd, rounded, row, share
from tests.bench.instrument_usual import usual_ratio

#: layers put in to see what one costs
PROBE_LAYERS = 40
#: work put in is what was meant when it is off by no more than this
CALIBRATED = 0.01
#: with a floor above this, 5 % more work need not be found
FLOOR_FOR_5 = 0.015


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How often each part is repeated."""

    screens: int = 100
    #: A/A sittings from which the machine's luck is learned, before anything is judged
    self_test: int = 6
    injected: int = 20
    disturbed: int = 20
    repeated: int = 20
    timed: int = 5
    #: sittings that may find out how much work was put in
    calibrations: int = 3
    #: of those
    tier: Tier = Tier.FINAL


QUICK = Counts(screens=4, self_test=1, injected=2, disturbed=2, repeated=3, timed=1, calibrations=1, tier=Tier.SCREEN)
#: seconds that a screen takes about, for telling how long all of it will
SCREEN_S = 7.0


@dataclass
class Bench:
    """One run: where the files are, and what was found so far."""

    folder: Path
    counts: Counts
    rig: Rig
    base: Path
    tell: Teller = field(default_factory=Teller)
    rows: list[dict[str, object]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def run(self) -> Found:
        """All parts, one after the other."""
        self.equal()
        heavier = self.calibrated()
        self.injected(heavier)
        self.neighbour(heavier[10])
        self.same_core()
        self.repeated()
        self.seconds()
        return Found(rows=self.rows, goals=self.goals)

    def equal(self) -> None:
        """Part 1; also learns what the other parts are judged with."""
        self.tell(f"self-test, {self.counts.self_test} sittings")
        learned = [self.rig.sit(self.base, self.base) for _ in range(self.counts.self_test)]
        self.rig.learn(learned)
        self.tell(f"equal models, {self.counts.screens} screens")
        sittings = [self.rig.sit(self.base, self.base) for _ in range(self.counts.screens)]
        found = [self.rig.judge(sitting) for sitting in sittings]
        known = self.rig.luck
        self.rig.learn([*learned, *sittings])
        floor = self.rig.floor
        self.rows.append(
            row(
                "equal models",
                found,
                learned_sessions=known[0].sessions if known else 0,
                floor=round(floor.floor, 4) if floor else None,
                session_sd=round(floor.session_sd, 5) if floor else None,
                pair_sd=round(floor.pair_sd, 5) if floor else None,
                median_ms=round(floor.median_ms, 3) if floor else None,
            )
        )
        # what was thrown away was not judged, and says nothing of the judge
        called = None if share(found, Verdict.POLLUTED) > 0.5 else 100 * share(found, *CALLED)
        self._goal("equal models called different", called, "of 100 screens", "<= 4")

    def calibrated(self) -> Mapping[int, Path]:
        """Percent of work put in → file; each measured against the base in a sitting of its own."""
        self.tell("calibrating work")
        probe = with_more_work(self.base, PROBE_LAYERS, self.folder / "probe.onnx")
        each = (self.rig.screen(self.base, probe).ratio.value - 1) / PROBE_LAYERS
        if each <= 0:
            raise DataError(f"{PROBE_LAYERS} more layers took no more time ({each:+.4f} each); is the machine asleep?")
        files = {}
        for percent in (10, 5):
            layers, found = max(1, round(percent / 100 / each)), list[Latency]()
            file = self.folder / f"more{percent}.onnx"
            for _ in range(self.counts.calibrations):
                with_more_work(self.base, layers, file)
                found.append(self.rig.screen(self.base, file, self.counts.tier))
                off = found[-1].ratio.value - 1 - percent / 100
                if abs(off) <= CALIBRATED or len(found) == self.counts.calibrations:
                    break
                layers = max(1, round(layers - off / each))
            files[percent] = file
            true = {"layers": layers, "tier": self.counts.tier.value, "true_ratio": round(found[-1].ratio.value, 4)}
            self.rows.append(row(f"calibration of +{percent} %", found, **true))
        return files

    def injected(self, heavier: Mapping[int, Path]) -> None:
        """Part 2."""
        for percent, file in heavier.items():
            self.tell(f"+{percent} % work, {self.counts.injected} screens")
            found = [self.rig.screen(self.base, file) for _ in range(self.counts.injected)]
            floor = self.rig.floor.floor if self.rig.floor else None
            asked = percent == 10 or (floor is not None and floor <= FLOOR_FOR_5)
            self.rows.append(row(f"+{percent} % work", found, asked=asked))
            if asked:
                self._goal(f"+{percent} % work called SLOWER", share(found, Verdict.SLOWER), "share", ">= 0.8")

    def neighbour(self, heavier: Path) -> None:
        """Part 3, on another core; half of the screens are of equal models, half of one with more work."""
        cpu, names = another_cpu(), ("wrong verdicts beside a busy neighbour", "resolved beside a busy neighbour")
        if cpu is None:
            self.rows.append({"what": "a busy neighbour on another core", "n": 0, "why": "there is one CPU only"})
            self._goal(names[0], None, "verdicts", "<= 0")
            self._goal(names[1], None, "share", ">= 0.6")
            return
        self.tell(f"a busy neighbour on CPU {cpu}, {self.counts.disturbed} screens")
        with busy(cpu):
            equal = [self.rig.screen(self.base, self.base) for _ in range(self.counts.disturbed // 2)]
            more = [self.rig.screen(self.base, heavier) for _ in range(self.counts.disturbed // 2)]
        self.rows.append(row("a busy neighbour, equal models", equal, cpu=cpu))
        self.rows.append(row("a busy neighbour, +10 % work", more, cpu=cpu))
        wrong = sum(found.verdict in CALLED for found in equal)
        wrong += sum(found.verdict in (Verdict.FASTER, Verdict.EQUIVALENT) for found in more)
        self._goal(names[0], wrong, "verdicts", "<= 0")
        self._goal(names[1], share([*equal, *more], *CALLED, Verdict.EQUIVALENT), "share", ">= 0.6")

    def same_core(self) -> None:
        """Part 3, on the measured core while the candidate is on turn."""
        self.tell(f"a busy process during the candidate's blocks, {self.counts.disturbed} screens")
        with busy_while_on_turn("C"):
            found = [self.rig.screen(self.base, self.base) for _ in range(self.counts.disturbed)]
        self.rows.append(row("load on the candidate's blocks only, equal models", found))
        seen = sum(latency.verdict is Verdict.POLLUTED or "many_rejected" in latency.flags for latency in found)
        self._goal("screens in which telemetry saw the load", seen / len(found), "share", ">= 0.8")
        wrong = sum(latency.verdict in CALLED for latency in found)
        self._goal("wrong verdicts under load on one arm", wrong, "verdicts", "<= 0")

    def repeated(self) -> None:
        """Part 4: ours and the usual way in turn."""
        self.tell(f"one int8 file, {self.counts.repeated} times each way")
        files = quantized(self.base, self.folder / "job", TARGET)
        ours, usual = [], []
        for _ in range(self.counts.repeated):
            ours.append(self.rig.screen(files.fp32, files.int8))
            usual.append(usual_ratio(files.fp32, files.int8, self.rig.samples))
        values = [latency.ratio.value for latency in ours]
        middle = statistics.median(values)
        near = sum(abs(value / middle - 1) <= 0.03 for value in values) / len(values)
        held = sum(latency.ratio.low <= middle <= latency.ratio.high for latency in ours) / len(ours)
        self.rows.append(row("one int8 file", ours, flicker=self.rig.flicker))
        ratios = [round(value, 4) for value in usual]
        told = {"what": "one int8 file, the usual way", "n": len(usual), "ratio": rounded(usual), "ratios": ratios}
        self.rows.append(told)
        self._goal("ratios within 3 % of their median", near, "share", ">= 0.95")
        self._goal("intervals that hold the median", held, "share", ">= 0.9")
        self._goal("spread against the usual way's", log_sd(values) / log_sd(usual), "ratio", "<= 0.5")

    def seconds(self) -> None:
        """Part 5; from the call to the answer, children's start and end included."""
        for pairs, limit in ((8, 6), (32, 12)):
            self.tell(f"screens of {pairs} pairs, {self.counts.timed} times")
            taken, found = [], []
            with exactly(pairs):
                for _ in range(self.counts.timed):
                    began = time.monotonic()
                    found.append(self.rig.screen(self.base, self.base))
                    taken.append(time.monotonic() - began)
            self.rows.append(row(f"screens of {pairs} pairs", found, seconds=rounded(taken)))
            self._goal(f"seconds of a screen of {pairs} pairs", statistics.median(taken), "s", f"<= {limit}")

    def _goal(self, name: str, value: float | None, unit: str, goal: str) -> None:
        self.goals.append(Goal(name=name, value=None if value is None else round(value, 4), unit=unit, goal=goal))


def main() -> int:
    """Measure all parts; print the document; 1 when --strict and a goal is unmet."""
    asked = _arguments()
    counts = QUICK if asked.quick else Counts()
    if asked.screens:
        counts = replace(counts, screens=asked.screens)
    screens = counts.screens + counts.self_test + 2 * counts.injected + 2 * counts.disturbed
    screens += counts.repeated + 3 * counts.timed + 8
    print(f"instrument: about {screens * SCREEN_S / 60:.0f} min", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples, feeds = folder / "samples.npz", images()
        write_samples(samples, feeds, {}, [1] * len(feeds))
        found = Bench(folder=folder, counts=counts, rig=Rig(samples=samples), base=yardstick(folder)).run()
    told = {**document("instrument", found), "counts": asdict(counts)}
    print(json.dumps(told, indent=None if asked.json else 2))
    return 1 if asked.strict and not all(goal.met for goal in found.goals) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.instrument", description=main.__doc__)
    parser.add_argument("--json", action="store_true", help="print the document on one line")
    parser.add_argument("--quick", action="store_true", help="few of each: shows that it works, proves nothing")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is unmet")
    parser.add_argument("--screens", type=int, default=0, metavar="N", help="screens of equal models; default 100")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
