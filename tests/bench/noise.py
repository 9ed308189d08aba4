"""Whether the scale tells the truth about equal things: fp32 MiniLM-L3 against itself, sitting after sitting.

Each sitting is one of the search's own (two sessions in fresh children). Beside it, from the same raw
samples, stands what a naive bench would report: the ratio of the two arms' medians of the first session
only, with no interval.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from qsearch.contracts.measurement import Sitting, Tier
from qsearch.contracts.meter import Arm
from qsearch.contracts.target import Target
from qsearch.contracts.verdict import Verdict
from qsearch.measure.latency import summarise
from qsearch.measure.samples import write_samples
from tests.bench.harness import Found, Goal, bench
from tests.bench.models import minilm, token_batches
from workers.hashing import file_sha256
from workers.sitting import ChildMeter
from workers.slot_lock import machine_lock


def measure(quick: bool) -> Found:
    """False verdicts and interval widths over A/A sittings."""
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples.npz"
        feeds = token_batches(16)
        write_samples(samples, feeds, {}, [1] * len(feeds))
        sha256, target = file_sha256(minilm()), Target(name="bench")
        arms = [Arm(name=n, model=minilm(), sha256=sha256, target=target, samples=samples) for n in ("a", "b")]
        sittings = [ChildMeter(lock=machine_lock()).sit(arms, Tier.SCREEN, seed=s) for s in range(6 if quick else 30)]
    rows: list[dict[str, object]] = [_row(sitting) for sitting in sittings]
    called = sum(row["verdict"] in (Verdict.FASTER, Verdict.SLOWER) for row in rows)
    widths = [float(str(row["half_width"])) for row in rows]
    naive = [abs(float(str(row["naive_ratio"])) - 1) for row in rows]
    return Found(
        rows=[*rows, {"naive ratio off by at most": max(naive), "n": len(naive)}],
        goals=[
            Goal(name="false verdicts on equal models", value=called, unit="verdicts", goal="<= 0"),
            Goal(name="median half-width of a screen", value=statistics.median(widths), unit="ratio", goal="<= 0.05"),
        ],
    )


def _row(sitting: Sitting) -> dict[str, object]:
    latency = summarise(sitting, "b")
    first = {arm: [s for b in sitting.blocks if b.session == 0 and b.arm == arm for s in b.samples_ns] for arm in "ab"}
    return {
        "ratio": round(latency.ratio.value, 4),
        "low": round(latency.ratio.low, 4),
        "high": round(latency.ratio.high, 4),
        "half_width": round((latency.ratio.high - latency.ratio.low) / 2, 4),
        "verdict": latency.verdict.value,
        "pairs": latency.pairs,
        "naive_ratio": round(statistics.median(first["b"]) / statistics.median(first["a"]), 4),
        "seconds": round(sitting.seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(bench("noise", 4, 1, measure))
