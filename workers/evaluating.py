"""`eval`: whole model files against a prepared model's fp32, timed in one sitting and scored on the held-out split.

NOTE: a file is rehearsed before the sitting: it runs the very samples it will be timed on, alone, in a
child of its own. A sitting ends with the first arm that fails, and one file in fourteen that does not
load, has another output or wants another shape would take the others along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from qsearch.contracts.bench import EvalFailure
from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import InputError, ModelError, TaskError, Unsupported, WorkFailed
from qsearch.contracts.measurement import Accuracy, Sitting
from qsearch.contracts.work import EvalOrder, EvalResult, Evaluated
from qsearch.graph.signature import Signature, read_signature
from qsearch.measure.latency import summarise
from qsearch.quantize.assemble import Assembled, assemble
from workers.hashing import file_sha256
from workers.sitting import ChildMeter, Predicted, predict
from workers.slot_lock import machine_lock
from workers.trials import (
    REFERENCE,
    UNKNOWN_ARM_S,
    Bench,
    arm_patience_s,
    circumstances_of,
    peak_memory,
    scored_under,
)

#: what a file may take for a split: so much for starting and loading, and so many times what fp32 took
LOADING_S, SLOWER = 60.0, 20.0


def evaluate(order: EvalOrder, scratch: Path, deadline_s: float) -> EvalResult:
    """Score every file, then time those that ran against fp32 in one sitting.

    Raises:
        ModelError: not one of the files can be measured; says why for each.
        Unsupported: all of them together do not fit into this machine's memory.
        WorkFailed: fp32 itself failed, or an arm failed in the sitting after it had been rehearsed.
    """
    yard = _yard(order, scratch, deadline_s)
    found = {position: yard.outcome(position, Path(model)) for position, model in enumerate(order.models)}
    files = {position: file for position, file in found.items() if isinstance(file, _File)}
    failures = {position: file for position, file in found.items() if isinstance(file, EvalFailure)}
    if not files:
        words = "; ".join(f"{Path(order.models[at]).name}: {f.message}" for at, f in failures.items())
        raise ModelError(f"not one of the {len(order.models)} files can be measured: {words}")
    must_fit([file.rehearsal.peak_rss_bytes for file in (yard.fp32, *files.values())])
    sitting = _sat(yard, files, order)
    return EvalResult(
        reference=_evaluated(yard.fp32, sitting, REFERENCE, order),
        models={position: _evaluated(file, sitting, str(position), order) for position, file in files.items()},
        failures=failures,
        sitting=sitting,
        circumstances=scored_under(circumstances_of(sitting, REFERENCE), yard.fp32.rehearsal),
    )


def must_fit(peaks: Sequence[int]) -> None:
    """All arms of a session are in memory at once; one that the kernel kills would end the sitting.

    Args:
        peaks: bytes that each arm takes at most.

    Raises:
        Unsupported: there is not so much free.
    """
    needed, free = sum(peaks), psutil.virtual_memory().available
    if needed > free:
        raise Unsupported(
            f"{len(peaks)} models in memory at once take {needed >> 20} MiB, and {free >> 20} MiB are free",
            "Measure fewer at a time.",
        )


def rehearsed_patience_s(seconds: Sequence[float]) -> float:
    """How long an arm of the sitting may say nothing, by what each took alone.

    NOTE: never less than where nothing is known. What was rehearsed does not hang, and many arms that load
    at once are slower than one.
    """
    return max(UNKNOWN_ARM_S, arm_patience_s(max(seconds)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file that runs, and what it scores."""

    model: Assembled
    heldout: Accuracy
    #: of the run over the latency samples: what its arm will take, and which operators ran
    rehearsal: Predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Yard:
    """fp32 on the held-out split, and where files are compared with it."""

    bench: Bench
    fp32: _File
    expected: Signature
    #: fp32's outputs on the held-out split, for metrics of fidelity
    outputs: Path
    #: for one split of one file
    patience_s: float

    def outcome(self, position: int, model: Path) -> _File | EvalFailure:
        """The file's score, or why it has none; whatever is wrong with one file is no fault of the others."""
        try:
            return self._file(position, model)
        except TaskError as error:
            # fp32 was scored by the same code, so that it is the file's outputs that it cannot take
            return EvalFailure(cause=Cause.USER_ERROR, message=error.message)
        except InputError as error:
            return EvalFailure(cause=Cause.BAD_MODEL, message=error.message)
        except WorkFailed as error:
            if error.cause is Cause.DISK_FULL:
                raise
            return EvalFailure(cause=error.cause, message=error.message.removeprefix(f"{model.name}: "))

    def _file(self, position: int, model: Path) -> _File:
        signature = read_signature(model)
        signature.must_match(self.expected)
        file = Assembled(path=model, sha256=file_sha256(model), size_bytes=signature.size_bytes)
        folder = self.outputs.parent
        rehearsal = _rehearsed(self.bench, model, folder / f"rehearsal-{position}.npz", self.patience_s)
        out = folder / f"heldout-{position}.npz"
        try:
            heldout, _ = self.bench.score(model, "heldout", self.fp32.heldout, self.outputs, out, self.patience_s)
        finally:
            # one file's outputs can be a gigabyte, and nobody asks for them again
            out.unlink(missing_ok=True)
        return _File(model=file, heldout=heldout, rehearsal=rehearsal)


def _yard(order: EvalOrder, scratch: Path, deadline_s: float) -> _Yard:
    bench = Bench(
        prepared=Path(order.prepared),
        splits=Path(order.splits),
        materialized=order.materialized,
        folder=order.folder,
        target=order.target,
        limits=order.limits,
    )
    fp32 = assemble(bench.prepared, order.reference, scratch / "fp32")
    outputs = scratch / "heldout-fp32.npz"
    rehearsal = _rehearsed(bench, fp32.path, scratch / "rehearsal-fp32.npz", deadline_s)
    heldout, predicted = bench.score(fp32.path, "heldout", None, None, outputs, deadline_s)
    return _Yard(
        bench=bench,
        fp32=_File(model=fp32, heldout=heldout, rehearsal=rehearsal),
        expected=read_signature(fp32.path),
        outputs=outputs,
        patience_s=LOADING_S + SLOWER * predicted.seconds,
    )


def _rehearsed(bench: Bench, model: Path, out: Path, patience_s: float) -> Predicted:
    samples = bench.prepared / "latency.npz"
    rehearsal = predict(model, bench.target, samples, out, deadline_s=patience_s, lock=machine_lock())
    out.unlink()
    return rehearsal


def _sat(yard: _Yard, files: Mapping[int, _File], order: EvalOrder) -> Sitting:
    named = {REFERENCE: yard.fp32, **{str(position): file for position, file in files.items()}}
    arms = [yard.bench.arm(name, file.model) for name, file in named.items()]
    patience_s = rehearsed_patience_s([file.rehearsal.seconds for file in named.values()])
    try:
        meter = ChildMeter(lock=machine_lock(), patience_s=patience_s, limits=order.limits)
        return meter.sit(arms, order.tier, seed=order.seed)
    except WorkFailed as error:
        which = ", ".join(f"{position} is {file.model.path.name}" for position, file in files.items())
        raise WorkFailed(error.cause, f"{error.message} (arm {which})", error.tail, error.hint) from error


def _evaluated(file: _File, sitting: Sitting, arm: str, order: EvalOrder) -> Evaluated:
    return Evaluated(
        latency=None if arm == REFERENCE else summarise(sitting, arm, luck=order.luck),
        heldout=file.heldout,
        sha256=file.model.sha256,
        size_bytes=file.model.size_bytes,
        peak_memory_bytes=peak_memory(sitting, arm),
        optimised_ops=file.rehearsal.float_ops,
    )
