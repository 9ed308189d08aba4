"""`bench`: whole model files, under one runtime or several, side by side in one sitting.

NOTE: every arm is rehearsed alone before the sitting, because a sitting ends with the first arm that
fails and would take the others along. The rehearsal runs the samples through a predicting child, which
also counts the operators. That child refuses outputs that a score could not use (not a number, no axis of
samples); such a model can be timed all the same, so that what it refuses is tried again in a short sitting
of that arm alone, which has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qsearch.contracts.bench import BenchedArm, BenchOrder, BenchResult, EvalFailure
from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError, InputError, ModelError, WorkFailed
from qsearch.contracts.measurement import Sitting, Tier
from qsearch.contracts.meter import Arm
from qsearch.contracts.task import Array, Feeds
from qsearch.graph.signature import read_signature
from qsearch.graph.yardstick import write_yardstick
from qsearch.measure.latency import summarise
from qsearch.measure.samples import read_samples, reshape_feeds, write_samples
from workers.evaluating import LOADING_S, SLOWER, must_fit, rehearsed_patience_s
from workers.hashing import file_sha256
from workers.made_up import made_up
from workers.npz_data import LABELS, npz_arrays
from workers.sitting import ChildMeter, predict
from workers.slot_lock import machine_lock
from workers.trials import circumstances_of, peak_memory

#: batches that arms cycle through
_BATCHES = 64


def bench(order: BenchOrder, scratch: Path, deadline_s: float) -> BenchResult:
    """Time whole files against the first that runs, over one set of samples.

    Raises:
        DataError: the samples lack an input of the models, or are fewer than one batch.
        ModelError: fewer than two arms can be measured; says why for each.
        Unsupported: all of them together do not fit into this machine's memory, or inputs that cannot
            be made up.
        WorkFailed: an arm failed in the sitting after it had been rehearsed, or too few can be measured
            and all that fail do so for one cause.
    """
    models = [Path(m) for m in order.models] or [write_yardstick(scratch / "yardstick.onnx")] * 2
    samples = scratch / "bench.npz"
    how = _write_samples(order, models, samples)
    arms, failures = _rehearse_all(order, models, samples, scratch, deadline_s)
    if len(arms) < 2:
        words = "; ".join(dict.fromkeys(f"{models[at].name}: {f.message}" for at, f in failures.items()))
        said = f"{len(arms)} of {len(models)} arms can be measured, which leaves nothing to compare: {words}"
        # what hangs or asks for more memory than there is may be a sound model: it keeps its name
        causes = {failure.cause for failure in failures.values()}
        if len(causes) > 1 or Cause.BAD_MODEL in causes:
            raise ModelError(said)
        raise WorkFailed(causes.pop(), said)
    must_fit([arm.peak_rss_bytes for arm in arms.values()])
    sitting = _sat(arms, order)
    reference = int(sitting.reference)
    return BenchResult(
        latencies={at: summarise(sitting, str(at), luck=order.luck) for at in arms if at != reference},
        sitting=sitting,
        circumstances=circumstances_of(sitting, sitting.reference),
        arms={at: arm.told for at, arm in arms.items()},
        failures=failures,
        made_up=how,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rehearsed:
    """An arm that runs."""

    arm: Arm
    told: BenchedArm
    peak_rss_bytes: int
    #: of the whole rehearsal
    seconds: float


def _write_samples(order: BenchOrder, models: Sequence[Path], out: Path) -> Mapping[str, str]:
    """Collate what all arms are fed; how it was made up, input by input, or nothing when it was given.

    NOTE: inputs are those of the first file that can be read; an arm that wants others fails by name. Random
    whole numbers stay within what every file can take: an id beyond a smaller table would fail a sound model.
    """
    model, *others = _readable(models)
    batch, how = order.target.batch, {}
    if order.samples or order.data:
        feeds = _stored(Path(order.samples), batch) if order.samples else _given(Path(order.data), model, batch)
    else:
        made = made_up(model, batch=batch, seed=order.seed, others=others)
        feeds, how = list(made.feeds), dict(made.how)
    if order.shapes:
        inputs = {tensor.name: (tensor.dtype, tensor.shape) for tensor in read_signature(model).inputs}
        feeds = reshape_feeds(feeds, inputs, order.shapes)
    write_samples(out, feeds[:_BATCHES], {}, [batch] * len(feeds[:_BATCHES]))
    return how


def _readable(models: Sequence[Path]) -> Sequence[Path]:
    """Those that can be read, each once; the first one's own refusal where none can be."""
    found = []
    for model in dict.fromkeys(models):
        try:
            read_signature(model)
        except ModelError:
            continue
        found.append(model)
    if not found:
        read_signature(models[0])
    return found


def _stored(file: Path, batch: int) -> list[Feeds]:
    """Full batches, evenly over the file, so that sorted data are timed in their own mix."""
    found = read_samples(file)
    full = [feeds for feeds, size in zip(found.feeds, found.sizes, strict=True) if size == batch]
    if not full:
        raise DataError(f"there are {sum(found.sizes)} samples, fewer than one batch of {batch}")
    wanted = min(len(full), _BATCHES)
    return [full[i * len(full) // wanted] for i in range(wanted)]


def _given(file: Path, model: Path, batch: int) -> list[Feeds]:
    arrays = npz_arrays(file)
    names = [tensor.name for tensor in read_signature(model).inputs]
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(
            f"{file} has no array {missing[0]!r}; it has {sorted(set(arrays) - {LABELS})}",
            f"Save one array per model input: np.savez({file.name!r}, {', '.join(names)}=...)",
        )
    picked: dict[str, Array] = {name: arrays[name] for name in names}
    counts = {name: len(array) for name, array in picked.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"{file}: axis 0 counts samples, and the arrays have unlike numbers of them: {counts}")
    rows = next(iter(counts.values())) // batch
    if not rows:
        raise DataError(f"{file} has {next(iter(counts.values()))} samples, fewer than one batch of {batch}")
    wanted = min(rows, _BATCHES)
    starts = [i * rows // wanted * batch for i in range(wanted)]
    return [{name: np.ascontiguousarray(a[s : s + batch]) for name, a in picked.items()} for s in starts]


def _rehearse_all(
    order: BenchOrder, models: Sequence[Path], samples: Path, scratch: Path, deadline_s: float
) -> tuple[dict[int, _Rehearsed], dict[int, EvalFailure]]:
    targets = order.targets or (order.target,) * len(models)
    arms: dict[int, _Rehearsed] = {}
    failures: dict[int, EvalFailure] = {}
    known: dict[tuple[str, str], _Rehearsed] = {}
    patience_s = deadline_s
    for at, (model, target) in enumerate(zip(models, targets, strict=True)):
        try:
            sha256 = file_sha256(model)
            twin = known.get((sha256, target.digest))
            arm = Arm(name=str(at), model=model, sha256=sha256, target=target, samples=samples)
            told = BenchedArm(sha256=sha256, size_bytes=read_signature(model).size_bytes)
            out = scratch / f"rehearsal-{at}.npz"
            # a model against itself is rehearsed once
            arms[at] = replace(twin, arm=arm) if twin else _rehearsed(arm, told, out, patience_s, order.seed)
            known[sha256, target.digest] = arms[at]
        except InputError as error:
            failures[at] = EvalFailure(cause=Cause.BAD_MODEL, message=error.message)
        except WorkFailed as error:
            if error.cause is Cause.DISK_FULL:
                raise
            message = error.message.removeprefix(f"arm {at}: ").removeprefix(f"{model.name}: ")
            failures[at] = EvalFailure(cause=error.cause, message=message)
        if len(arms) == 1:
            patience_s = min(deadline_s, LOADING_S + SLOWER * next(iter(arms.values())).seconds)
    return arms, failures


def _rehearsed(arm: Arm, told: BenchedArm, out: Path, patience_s: float, seed: int) -> _Rehearsed:
    try:
        seen = predict(arm.model, arm.target, arm.samples, out, deadline_s=patience_s, lock=machine_lock())
    except WorkFailed as error:
        if error.cause is not Cause.BAD_MODEL:
            raise
        return _alone(arm, told, error, patience_s, seed)
    finally:
        out.unlink(missing_ok=True)
    told = replace(told, optimised_ops=seen.float_ops)
    return _Rehearsed(arm=arm, told=told, peak_rss_bytes=seen.peak_rss_bytes, seconds=seen.seconds)


def _alone(arm: Arm, told: BenchedArm, refusal: WorkFailed, patience_s: float, seed: int) -> _Rehearsed:
    """The arm in a short sitting of its own: what cannot be scored may still be timed."""
    sitting = ChildMeter(lock=machine_lock(), patience_s=patience_s).sit([arm], Tier.QUICK, seed=seed)
    note = refusal.message.removeprefix(f"{arm.model.name}: ")
    return _Rehearsed(
        arm=arm,
        told=replace(told, notes=(note,)),
        peak_rss_bytes=peak_memory(sitting, arm.name),
        seconds=sitting.seconds,
    )


def _sat(arms: Mapping[int, _Rehearsed], order: BenchOrder) -> Sitting:
    try:
        patience_s = rehearsed_patience_s([a.seconds for a in arms.values()])
        meter = ChildMeter(lock=machine_lock(), patience_s=patience_s, limits=order.limits)
        return meter.sit([a.arm for a in arms.values()], order.tier, seed=order.seed)
    except WorkFailed as error:
        which = ", ".join(f"{at} is {a.arm.model.name} on {a.arm.target.name}" for at, a in arms.items())
        raise WorkFailed(error.cause, f"{error.message} (arm {which})", error.tail, error.hint) from error
