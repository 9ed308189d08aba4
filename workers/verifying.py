"""`verify`: a written model file, loaded as a user would load it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qsearch.contracts.errors import Incomparable
from qsearch.contracts.machine import Scored
from qsearch.contracts.measurement import Accuracy, Measurement, Tier
from qsearch.contracts.target import Target
from qsearch.contracts.task import Array
from qsearch.contracts.work import Verification, VerifyOrder
from qsearch.measure.runtimes import settings_of
from qsearch.measure.samples import read_samples, write_samples
from qsearch.quantize.assemble import assemble, write_model
from workers.sitting import predict, read_outputs
from workers.slot_lock import machine_lock
from workers.splits import split_file
from workers.trials import Bench, fp32_like, measure

#: extra slack on the ratio when a written file is measured again: a second sitting, another load
RATIO_SLACK = 0.05
#: batches stored with an exported model, inputs and outputs
CHECK_BATCHES = 4


def verify(order: VerifyOrder, scratch: Path, deadline_s: float) -> Verification:
    """Write `export/model.onnx`; if asked, load that file, compare outputs bit by bit and measure it."""
    bench = Bench(
        prepared=Path(order.prepared),
        splits=Path(order.splits),
        materialized=order.materialized,
        folder=order.folder,
        target=order.target,
        fp32_s=order.fp32_s,
        limits=order.limits,
    )
    written = write_model(bench.prepared, order.candidate, scratch / "export" / "model.onnx")
    trial = assemble(bench.prepared, order.candidate, scratch / "candidate")
    samples = split_file(bench.splits, "search", order.target.batch)
    _write_check(trial.path, order.target, samples, scratch / "export" / "check.npz", deadline_s)
    session = {**settings_of(order.target), **order.target.options}
    if not order.measure:
        return Verification(
            sha256=written.sha256, size_bytes=written.size_bytes, measured=None, disagreements=(), session=session
        )
    fp32 = assemble(bench.prepared, fp32_like(order.candidate), scratch / "fp32")
    predict(trial.path, order.target, samples, scratch / "trial.npz", deadline_s=deadline_s, lock=machine_lock())
    measured = measure(
        bench, fp32, written, order.reference, Tier.SCREEN, order.seed, scratch, deadline_s, luck=order.luck
    )
    differing = _differing(read_outputs(scratch / "trial.npz"), read_outputs(scratch / "outputs.npz"))
    return Verification(
        sha256=written.sha256,
        size_bytes=written.size_bytes,
        measured=measured,
        disagreements=(*differing, *_disagreements(order.expected, measured, order.materialized.digest)),
        session=session,
    )


def _write_check(model: Path, target: Target, samples: Path, out: Path, deadline_s: float) -> None:
    """A few batches with the outputs the trial's model gives: what load.py compares with elsewhere.

    In a child like everything that is measured: the runtime may be in another environment than this one.
    """
    few, given = read_samples(samples, limit=CHECK_BATCHES), out.with_name("check-given.npz")
    write_samples(given, few.feeds, {}, few.sizes)
    found = out.with_name("check-found.npz")
    predict(model, target, given, found, deadline_s=deadline_s, lock=machine_lock())
    stored: dict[str, Array] = {"count": np.array(len(few.feeds))}
    for i, (feed, outputs) in enumerate(zip(few.feeds, read_samples(found).feeds, strict=True)):
        stored |= {f"in:{i}:{name}": np.asarray(value) for name, value in feed.items()}
        stored |= {f"out:{i}:{name}": value for name, value in outputs.items()}
    given.unlink()
    found.unlink()
    np.savez(out, **stored)  # type: ignore[arg-type]


def _differing(trial: dict[str, list[Array]], written: dict[str, list[Array]]) -> tuple[str, ...]:
    words = []
    for name, expected in trial.items():
        unequal = sum(not np.array_equal(a, b, equal_nan=True) for a, b in zip(expected, written[name], strict=True))
        if unequal:
            words.append(f"output {name!r} differs from the trial's on {unequal} of {len(expected)} samples")
    return tuple(words)


def _disagreements(expected: Measurement, measured: Measurement, data: str) -> tuple[str, ...]:
    words = []
    if expected.circumstances.machine_key != measured.circumstances.machine_key:
        words.append(
            f"measured on machine class {measured.circumstances.machine_key}, "
            f"the trial on {expected.circumstances.machine_key}: its numbers do not hold here"
        )
    if expected.circumstances.runtime_key != measured.circumstances.runtime_key:
        words.append(f"ran on {measured.circumstances.runtime}, the trial on {expected.circumstances.runtime}")
    try:
        _scored(measured, data).must_agree(_scored(expected, data))
    except Incomparable as error:
        words.append(error.message)
    else:
        if not _same_outcomes(expected.accuracy, measured.accuracy):
            words.append(f"scores {measured.accuracy.score:.6g}, the trial {expected.accuracy.score:.6g}")
    if not measured.latency.ratio.overlaps(expected.latency.ratio, RATIO_SLACK):
        now, then = measured.latency.ratio, expected.latency.ratio
        words.append(
            f"takes {now.value:.3f} [{now.low:.3f}, {now.high:.3f}] of fp32's time, "
            f"the trial {then.value:.3f} [{then.low:.3f}, {then.high:.3f}]"
        )
    return tuple(words)


def _same_outcomes(expected: Accuracy, measured: Accuracy) -> bool:
    """Sample by sample; a trial that was stopped early is compared on the samples it has."""
    seen = [measured.outcomes[i] for i in expected.samples] if expected.truncated else measured.outcomes
    return tuple(seen) == expected.outcomes


def _scored(seen: Measurement, data: str) -> Scored:
    """A trial is verified on the samples it was scored on, so that the data of both are the order's."""
    return Scored(metric=seen.accuracy.metric, data=data, circumstances=seen.circumstances)
