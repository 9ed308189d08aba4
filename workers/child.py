"""The disposable measuring child: one model, one process, then gone.

    python -I path/to/workers/child.py          orders on stdin, answers on stdout (qsearch.measure.wire)

Started by path, possibly by the Python of another virtual environment, so it imports the standard
library, numpy and its runtime only.

NOTE: of the folder that QSearch lies in, the package `qsearch` is taken and nothing else; the folder does
not come onto the import path. The numpy and the runtime of the chosen environment must win, and where that
environment lacks one, the worker's own must not be found in their place (QSearch may be installed beside
them). Nor may another `qsearch` of that environment be taken for this one.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

if "qsearch" not in sys.modules:
    _folder = Path(__file__).resolve().parent.parent / "qsearch"
    _spec = importlib.util.spec_from_file_location(
        "qsearch", _folder / "__init__.py", submodule_search_locations=[str(_folder)]
    )
    if _spec is None or _spec.loader is None:
        raise ImportError(f"QSearch is not in {_folder}")
    sys.modules["qsearch"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["qsearch"])

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import InputError, ModelError, QSearchError, Unsupported, WorkFailed
from qsearch.contracts.runtime import Loaded
from qsearch.contracts.target import Target
from qsearch.contracts.task import Array, Feeds
from qsearch.measure import protocol, wire
from qsearch.measure.full_disk import full_disk_named, temporary_folder
from qsearch.measure.mix import whole_cycles
from qsearch.measure.nvml import open_gpu
from qsearch.measure.runtimes import runtime_named
from qsearch.measure.samples import SampleWriter, read_samples, stream_feeds
from qsearch.measure.telemetry import Probe, between

_PR_SET_PDEATHSIG = 1
_clock = time.perf_counter_ns
#: text of the shapes of inputs, characters; beyond that a hash stands for it
_LONGEST = 300


def main() -> int:
    """Answer one order; 0 when it was carried out, 1 when a Failure was sent instead."""
    orders, answers = _take_over_pipes()
    _die_with_parent()
    try:
        order = wire.decode(orders.readline(wire.LONGEST_LINE))
        if isinstance(order, wire.ArmOrder):
            _serve(order, orders, answers)
        elif isinstance(order, wire.PredictOrder):
            _settle_in(order.target, order.cpus)
            with full_disk_named(Path(order.out).parent, temporary_folder()):
                _predict(order, orders, answers)
        elif isinstance(order, wire.RuntimeOrder):
            _send(answers, _found(order.target))
        else:
            raise Unsupported(f"a child carries out an ArmOrder or a PredictOrder, found {type(order).__name__}")
    except WorkFailed as error:
        _send(answers, wire.Failure(cause=error.cause, message=error.message, hint=error.hint))
        return 1
    except InputError as error:
        _send(answers, wire.Failure(cause=Cause.BAD_MODEL, message=error.message, hint=error.hint))
        return 1
    except MemoryError as error:
        _send(answers, wire.Failure(cause=Cause.OUT_OF_MEMORY, message=f"out of memory in Python: {error}"))
        return 1
    return 0


def _take_over_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move both pipes away from descriptors 0 and 1.

    Native libraries print to descriptor 1; from here on that is stderr, which nobody parses.
    """
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return orders, answers


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent is gone, even inside native code."""
    parent = os.getppid()
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        return  # not Linux; the end of stdin still ends the child between two blocks
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _serve(order: wire.ArmOrder, orders: BinaryIO, answers: BinaryIO) -> None:
    """Load, warm up, then time a block for every turn until the orders end."""
    _settle_in(order.target, order.cpus)
    feeds, cycle = _inputs(order)
    digest = _digest(order.model)
    before = _clock()
    version, loaded = _load(order.model, order.target)
    load_ms = (_clock() - before) / 1e6
    run = _runner(loaded, feeds)
    first_ms = protocol.timed(run, _clock, 0, 1)[0] / 1e6
    warmth = protocol.warm_up(run, _clock, order.warmup_cap_s, cycle)
    ready = wire.Warm(
        model_sha256=digest,
        runtime=version,
        load_ms=load_ms,
        first_ms=first_ms,
        warmup_s=warmth.seconds,
        steady=warmth.steady,
        typical_ns=warmth.typical_ns,
        cycle=cycle,
        facts={**_facts(), **loaded.facts(), "shapes": _shapes(feeds, cycle)},
    )
    _send(answers, ready)
    probe = Probe(cpus=order.cpus, clock=_clock, gpu=open_gpu(order.target.provider))
    while line := orders.readline(wire.LONGEST_LINE):
        turn = wire.decode(line)
        if not isinstance(turn, wire.Turn):
            raise Unsupported(f"an arm waits for a Turn, found {type(turn).__name__}")
        _send(answers, _block(run, turn, probe))


def _inputs(order: wire.ArmOrder) -> tuple[tuple[Feeds, ...], int]:
    """The batches to cycle through, and after how many of them their shapes repeat."""
    feeds = read_samples(Path(order.samples), limit=order.batches).feeds
    if not feeds:
        raise ModelError(f"{order.samples} holds no samples to measure with")
    # Cut to whole cycles: with three shapes, 64 batches would hold one of the first shape too many.
    kept, cycle = whole_cycles([tuple(sorted((n, np.shape(a)) for n, a in batch.items())) for batch in feeds])
    return feeds[:kept], cycle


def _shapes(feeds: tuple[Feeds, ...], cycle: int) -> str:
    """The shapes of one cycle of inputs: written out where they are few, else how many and their hash."""
    words = ["; ".join(f"{n} {'×'.join(map(str, np.shape(a)))}" for n, a in sorted(f.items())) for f in feeds[:cycle]]
    text = " | ".join(words)
    return text if len(text) <= _LONGEST else f"{cycle} in turn, {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _found(target: Target) -> wire.RuntimeFound:
    runtime = runtime_named(target.runtime)
    return wire.RuntimeFound(
        runtime=runtime.version(),
        python=sys.version.split()[0],
        numpy=np.__version__,
        providers=tuple(runtime.providers()),
    )


def _block(run: Callable[[int], object], turn: wire.Turn, probe: Probe) -> wire.Times:
    protocol.settle(run, _clock, turn.first)
    before = probe.read()
    samples = protocol.timed(run, _clock, turn.first, turn.runs, turn.group)
    return wire.Times(
        samples_ns=tuple(samples), telemetry=between(before, probe.read()), peak_rss_bytes=_peak_rss_bytes()
    )


def _predict(order: wire.PredictOrder, orders: BinaryIO, answers: BinaryIO) -> None:
    """Run the batches that are asked for, and more until the orders end; memory holds one batch at a time."""
    digest = _digest(order.model)
    version, loaded = _load(order.model, order.target)
    shapes: dict[str, tuple[int, str]] = {}
    _run_batches(loaded, order.samples, order.batches, order.out, shapes)
    # Before the operators are counted: that loads the model a second time.
    peak, facts = _peak_rss_bytes(), {**_facts(), **loaded.facts()}
    told = wire.Predictions(
        model_sha256=digest, runtime=version, float_ops=loaded.float_ops(), peak_rss_bytes=peak, facts=facts
    )
    _send(answers, told)
    while line := orders.readline(wire.LONGEST_LINE):
        more = wire.decode(line)
        if not isinstance(more, wire.More):
            raise Unsupported(f"a predicting child waits for More, found {type(more).__name__}")
        _run_batches(loaded, order.samples, more.batches, more.out, shapes)
        _send(answers, told)


def _run_batches(
    loaded: Loaded, samples: str, batches: tuple[int, ...], out: str, shapes: dict[str, tuple[int, str]]
) -> None:
    done = 0
    with SampleWriter(Path(out)) as writer:
        for size, feeds in stream_feeds(Path(samples), batches or None):
            outputs = loaded.run(feeds)
            for name, array in outputs.items():
                _check_output(name, array, size, done, shapes)
            writer.add(outputs, size)
            done += size
        writer.finish({})


def _check_output(name: str, array: Array, size: int, done: int, shapes: dict[str, tuple[int, str]]) -> None:
    found = list(np.shape(array))
    if not found or found[0] != size:
        raise WorkFailed(Cause.BAD_MODEL, f"output {name}: expected {size} samples on its first axis, found {found}")
    kind = (len(found), array.dtype.name)
    if shapes.setdefault(name, kind) != kind:
        raise WorkFailed(
            Cause.BAD_MODEL,
            f"output {name} changed from {shapes[name][1]} of {shapes[name][0]} axes to {kind[1]} of {kind[0]}",
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        bad = int(np.flatnonzero(np.isnan(array).reshape(size, -1).any(axis=1))[0])
        raise WorkFailed(Cause.BAD_MODEL, f"output {name} is not a number for sample {done + bad}")


def _load(model: str, target: Target) -> tuple[str, Loaded]:
    runtime = runtime_named(target.runtime)
    # Importing a runtime may start threads of its own; the ones that count are those of the model.
    version, before = runtime.version(), _threads()
    loaded = runtime.load(Path(model), target)
    _check_threads(target, loaded.threads() or _counted(before, _threads()))
    _check_affinity(target)
    return version, loaded


def _counted(before: int, after: int) -> int:
    """Threads that a model runs with, the caller's among them, by the process's before and after; 0 = not told."""
    return 1 + after - before if after else 0


def _check_threads(target: Target, runs_with: int) -> None:
    """Refuse a model that runs with another number of threads than asked, whatever its options read.

    Other providers than the CPU have helpers of their own, and 0 means that neither the runtime nor the
    system tells: neither can be judged.
    """
    on_cpu = target.provider.lower().removesuffix("executionprovider") == "cpu"
    if runs_with and on_cpu and runs_with != target.threads:
        raise Unsupported(
            f"target {target.name} asks for {target.threads} threads; {target.runtime} runs with {runs_with} here",
            "What it measured would be filed under another thread count than its own.",
        )


def _check_affinity(target: Target) -> None:
    """Refuse a runtime whose threads went to other CPUs than the child was pinned to."""
    mine = os.sched_getaffinity(0)
    for task in _tasks():
        try:
            found = os.sched_getaffinity(task)
        except ProcessLookupError:
            continue
        if not found <= mine:
            raise Unsupported(
                f"target {target.name}: a thread of {target.runtime} may run on the CPUs {sorted(found)}, "
                f"the child was pinned to {sorted(mine)}",
                "Take out the option that pins the runtime's threads.",
            )


def _runner(loaded: Loaded, feeds: tuple[Feeds, ...]) -> Callable[[int], object]:
    count, run = len(feeds), loaded.run
    return lambda index: run(feeds[index % count])


def _settle_in(target: Target, cpus: tuple[int, ...]) -> None:
    """The CPUs, ordinary niceness and the thread counts of the target, before the runtime makes its threads.

    Raises:
        Unsupported: more threads than CPUs, a CPU that cannot be had, or an environment that says
            something else than the target.
    """
    if target.threads > len(cpus):
        raise Unsupported(f"target {target.name} asks for {target.threads} threads on {len(cpus)} CPUs: {list(cpus)}")
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said and said != str(target.threads):
        raise Unsupported(
            f"target {target.name} asks for {target.threads} threads, OMP_NUM_THREADS is {said} in the child",
            "Something between the worker and its child sets it: look at the interpreter's start-up.",
        )
    os.environ["OMP_NUM_THREADS"] = str(target.threads)
    try:
        # Every thread: numpy's library may have started some, which keep the CPUs they were born with.
        for task in _tasks():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(task, cpus)
        pinned = os.sched_getaffinity(0)
    except (OSError, ValueError) as error:
        raise Unsupported(f"cannot pin to the CPUs {list(cpus)}: {error}") from error
    if pinned != set(cpus):
        # the kernel leaves out what a cpuset forbids, without a word
        raise Unsupported(f"cannot pin to the CPUs {list(cpus)}: the system left {sorted(pinned)}")
    try:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    except PermissionError:
        return  # lowered by whoever started us: told among the facts, and every latency is flagged for it


def _facts() -> Mapping[str, str]:
    return {
        "affinity": ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(0))),
        "nice": str(os.getpriority(os.PRIO_PROCESS, 0)),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS", ""),
        "process_threads": str(_threads() or ""),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
    }


def _threads() -> int:
    """Threads of this process; 0 where the kernel does not say."""
    tasks = _tasks()
    return 0 if tasks == [0] else len(tasks)


def _tasks() -> list[int]:
    """Numbers of this process's threads; 0, the calling one, where the kernel does not say."""
    try:
        return [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:
        return [0]


def _peak_rss_bytes() -> int:
    """Largest resident memory of this process so far.

    NOTE: the kernel's `ru_maxrss` survives exec: a child started by a parent of 2 GB reports 2 GB.
    The high-water mark of the address space starts anew, so it goes first.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _digest(model: str) -> str:
    try:
        with open(model, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {model}: {error.strerror}") from error


def _send(answers: BinaryIO, message: wire.Message) -> None:
    answers.write(wire.encode(message))


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except QSearchError as error:
        # Our own words were not understood: versions differ. Said on stderr, read by the parent.
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
