"""README.md of an exported folder: what the model is, and how to load it."""

from __future__ import annotations

from qsearch.contracts.job import Job
from qsearch.contracts.target import Target
from qsearch.contracts.trial import Result
from qsearch.contracts.work import Verification
from qsearch.service.export_loader import LOADERS


def readme(job: Job, result: Result, verification: Verification, target: Target) -> str:
    """README.md of an exported folder: what it is, its numbers with intervals, how to load it."""
    latency, loader = result.judged_latency, LOADERS[target.runtime]
    speed = latency.ratio.inverse()
    lines = [
        f"# {job.name}, trial {job.id}/{result.trial.number}",
        "",
        f"`model.onnx`: {verification.size_bytes} bytes, SHA-256 `{verification.sha256}`.",
        "",
        f"- Speed-up over fp32: {speed.value:.2f}× [{speed.low:.2f}, {speed.high:.2f}], {latency.verdict.value}, "
        f"{latency.sessions} sessions on {target.name} "
        f"({target.runtime}, {target.threads} thread(s), batch {target.batch}).",
    ]
    if latency.throughput is not None:
        seen = latency.throughput
        lines.append(
            f"- Offline, {seen.batch} samples at a time: {seen.arm.value:.4g} samples/s [{seen.arm.low:.4g}, "
            f"{seen.arm.high:.4g}], fp32 {seen.reference.value:.4g} in the same sitting."
        )
    for accuracy in (result.accuracy, result.heldout):
        if accuracy is not None:
            d = accuracy.drop
            lines.append(
                f"- {accuracy.metric} on the {accuracy.split} split: {accuracy.score:.4f}, fp32 "
                f"{accuracy.reference_score:.4f}; drop {d.value:.2%} [{d.low:.2%}, {d.high:.2%}], n = {accuracy.n}."
            )
    counts = ", ".join(f"{n} × {choice.value}" for choice, n in result.trial.candidate.counts().items())
    lines += [
        f"- Layers: {counts}.",
        "",
        f"Load it with `load.py` (`from load import load`), which sets the {loader.settings} it was measured with;",
        "`python load.py` compares its outputs on your machine with those seen when it was measured.",
        *loader.caution.splitlines(),
        "`manifest.json` holds hashes, intervals and the circumstances of the measurement.",
        "",
    ]
    return "\n".join(lines)
