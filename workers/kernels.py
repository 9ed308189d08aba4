"""Which choices a runtime elsewhere really has kernels for, found out by running each once.

NOTE: a runtime's table was read off one version of it. An older one in another environment, or another
device, may lack a kernel, and each trial with such a choice would fail. So each choice is assembled once
into a tiny model of every operator, by the code that assembles trials, and run there; what is refused is
taken out of the table, operator by operator. A kernel that crashes or hangs is refused like one that is
lacking: it says nothing about the others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import Choice
from qsearch.contracts.codec import canonical
from qsearch.contracts.errors import Unsupported, WorkFailed
from qsearch.contracts.layer import Layer
from qsearch.contracts.runtime import Runtime
from qsearch.contracts.target import Target
from qsearch.graph.every_operator import ROWS, TIME, every_operator_feeds, write_every_operator
from qsearch.measure.samples import write_samples
from qsearch.quantize.assemble import assemble
from qsearch.quantize.prepare import prepare_model
from workers.cpus import choose_cpus
from workers.deadline import within
from workers.interpreters import IMPORT_S, python_of, tried

Table = Mapping[str, Sequence[Choice]]
#: seconds for a choice on the tiny model: fp32 has run just before, so that no disk is cold
_CHOICE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """What a target's runtime runs of a table."""

    table: Table
    #: why it is less: "target t runs no int8-dynamic for MatMul: model.onnx died by SIGSEGV (native-crash)"
    notes: tuple[str, ...] = ()


#: target → its kernels, as found by this process
_known: dict[str, Kernels] = {}


def kernels_of(target: Target, table: Table, runtime: Runtime) -> Kernels:
    """The table less what the target's runtime refuses; asked once per target while this process lives.

    Args:
        target: whose runtime is tried, where it is.
        table: what it may have at most.
        runtime: of this process, to calibrate with.

    Raises:
        Unsupported: it refuses even the float model.
        WorkFailed: its child could not be started; it hung or crashed with the float model; the time of the work
            under way was over.
    """
    key = canonical([target, table])
    if key not in _known:
        with tempfile.TemporaryDirectory(prefix="qsearch-") as place:
            _known[key] = _tried(target, table, runtime, Path(place))
    return _known[key]


def _tried(target: Target, table: Table, runtime: Runtime, folder: Path) -> Kernels:
    write_samples(folder / "samples.npz", [every_operator_feeds()], {}, [ROWS])
    layers = prepare_model(
        write_every_operator(folder / "tiny.onnx"),
        folder / "prepared",
        calibration=[every_operator_feeds(time) for time in (0.0, 1.0)],
        runtime=runtime,
        target=target,
        choices=tuple(dict.fromkeys(c for choices in table.values() for c in choices)),
        time_input=TIME,
    ).inspection.layers
    if said := _refusal(folder, target, layers, Choice.FP32, ""):
        raise Unsupported(
            f"target {target.name}: {python_of(target)} refuses a small fp32 model: {said}",
            "If it is older than the models that QSearch writes, install a newer one there.",
        )
    lacking: dict[tuple[str, Choice], str] = {}
    for choice in (c for c in Choice if c is not Choice.FP32 and any(c in layer.choices for layer in layers)):
        if _refusal(folder, target, layers, choice, ""):
            ops = [layer.op for layer in layers if choice in layer.choices]
            lacking |= {(op, choice): why for op in ops if (why := _refusal(folder, target, layers, choice, op))}
    return Kernels(
        table={op: tuple(c for c in choices if (op, c) not in lacking) for op, choices in table.items()},
        notes=tuple(
            f"target {target.name} runs no {choice.value} for {op}: {why}" for (op, choice), why in lacking.items()
        ),
    )


def _refusal(folder: Path, target: Target, layers: Sequence[Layer], choice: Choice, op: str) -> str:
    """Why the runtime does not run the model with a choice in all layers, or in those of one operator; or empty."""
    got = {layer.id: choice if choice in layer.choices and op in ("", layer.op) else Choice.FP32 for layer in layers}
    model = assemble(folder / "prepared", Candidate(choices=got), folder / f"{choice.value}-{op}")
    patience_s = IMPORT_S if choice is Choice.FP32 else _CHOICE_S
    cpus = choose_cpus(target.threads)
    try:
        tried(target, model.path, folder / "samples.npz", folder / "out.npz", cpus, patience_s)
    except WorkFailed as error:
        if error.cause is Cause.BAD_MODEL:
            return error.message
        # a timeout at the end of the work under way is no kernel's doing
        if choice is Choice.FP32 or error.cause not in (Cause.NATIVE_CRASH, Cause.TIMEOUT) or not within(1.0):
            raise
        return f"{error.message} ({error.cause.value})"
    return ""
