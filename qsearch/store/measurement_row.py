"""A row of the measurements table: the columns people ask for, the summary, the packed record."""

from __future__ import annotations

from qsearch.contracts.codec import digest_of
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import Accuracy, Latency, Measurement, Tier
from qsearch.contracts.work import Finalist, FinalResult
from qsearch.store.packing import Packed, pack_floats, summary_of


def trial_row(job: str, number: int, token: int, packed: Packed[Measurement]) -> dict[str, object]:
    """Of the measurement that a trial accepts."""
    seen = packed.record
    return {
        "job": job,
        "number": number,
        "role": "trial",
        "tier": seen.tier.value,
        "token": token,
        "digest": packed.digest,
        "size_bytes": seen.size_bytes,
        "peak_memory_bytes": seen.peak_memory_bytes,
        "artifact_sha256": seen.artifact_sha256,
        "record": packed.content,
        **_numbers(seen.latency, seen.accuracy),
        **_under(seen.circumstances),
    }


def final_row(job: str, final: FinalResult, finalist: Finalist, *, token: int, size_bytes: int) -> dict[str, object]:
    """Of one finalist; the raw samples are in the row of the final itself."""
    return {
        "job": job,
        "number": finalist.number,
        "role": "final",
        "tier": Tier.FINAL.value,
        "token": token,
        "digest": digest_of(finalist),
        "size_bytes": size_bytes,
        "peak_memory_bytes": finalist.peak_memory_bytes,
        "artifact_sha256": finalist.artifact_sha256,
        **_numbers(finalist.latency, finalist.heldout),
        **_under(final.circumstances),
    }


def _numbers(latency: Latency, accuracy: Accuracy) -> dict[str, object]:
    return {
        "verdict": latency.verdict.value,
        "ratio": latency.ratio.value,
        "ratio_low": latency.ratio.low,
        "ratio_high": latency.ratio.high,
        "sessions": latency.sessions,
        "pairs": latency.pairs,
        "median_ms": latency.median_ms,
        "reference_ms": latency.reference_ms,
        "metric": accuracy.metric,
        "split": accuracy.split,
        "samples": accuracy.n,
        "score": accuracy.score,
        "reference_score": accuracy.reference_score,
        "drop_value": accuracy.drop.value,
        "drop_low": accuracy.drop.low,
        "drop_high": accuracy.drop.high,
        "summary": summary_of(latency, accuracy),
        "outcomes": pack_floats(accuracy.outcomes),
        "weights": pack_floats(accuracy.weights),
    }


def _under(circumstances: Circumstances) -> dict[str, object]:
    return {
        "host": circumstances.host,
        "runtime": circumstances.runtime,
        "machine_key": circumstances.machine_key,
        "runtime_key": circumstances.runtime_key,
    }
