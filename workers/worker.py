"""The worker process: `python -m workers.worker` reads work and answers outcomes, one JSON line each.

It says hello with its slot, then performs one piece of work after another until stdin closes. What
it does with work is one function, `workers.perform.perform`, which is imported with the first piece:
a worker that was only asked who it is has loaded no model library.

NOTE: the end of stdin is the death of the parent, however it died: the worker ends in the middle of
work, and its guard takes along whatever it has started. PR_SET_PDEATHSIG is not used: it fires when
the *thread* that started the worker ends.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO, cast

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import (
    DataError,
    InputError,
    TaskError,
    Unsupported,
    UsageError,
    WorkFailed,
)
from qsearch.contracts.pool import Slot
from qsearch.contracts.work import WORK_TYPES, Outcome, Work, WorkResult
from qsearch.measure.full_disk import full_disk_named, temporary_folder
from workers.bounds import limit_memory
from workers.deadline import deadline
from workers.guard import start_guard
from workers.offspring import adopt_orphans, end_orphans
from workers.stdout import guarded_stdout
from workers.wire import failed, read_work, write_hello, write_outcome

Performer = Callable[[Work], WorkResult]

PERFORMER = "workers.perform:perform"
#: runtime → distributions that bring it; looked up without importing any
_DISTRIBUTIONS = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stdin closes; the exit status."""
    chosen = _parser().parse_args(arguments)
    answers = guarded_stdout()
    if chosen.cpus:
        _set_cpus(chosen.cpus)
    if chosen.niceness is not None:
        _set_niceness(chosen.niceness)
    slot = probe(dict(chosen.label))
    _say(answers, write_hello(slot))
    if chosen.probe:
        return 0
    orders = _orders()
    while True:
        work = read_work(orders.get())
        outcome = serve(work, chosen.performer, slot.machine.host)
        _say(answers, _sendable(work, outcome))


def probe(labels: Mapping[str, str]) -> Slot:
    """What this machine offers; `labels` win over those that the machine shows by itself."""
    from qsearch.measure import fingerprint

    machine = fingerprint.this_machine()
    return Slot(machine=machine, labels={**fingerprint.labels(machine), **labels}, runtimes=_runtimes())


def serve(work: Work, performer: str, host: str) -> Outcome:
    """Perform one piece of work; whatever it raises becomes the outcome's cause."""
    started = time.monotonic()
    try:
        limit_memory(os.getpid())
        with deadline(work.deadline_s), full_disk_named(Path(work.scratch), temporary_folder()):
            Path(work.scratch).mkdir(parents=True, exist_ok=True)
            result = _resolve(performer)(work)
        outcome = Outcome(kind=work.kind, key=work.key, token=work.token, result=result)
        _must_fit(outcome)
    except WorkFailed as error:
        outcome = failed(work, error.cause, str(error), error.tail)
    except TaskError as error:
        outcome = failed(work, Cause.USER_ERROR, str(error))
    except (InputError, UsageError) as error:
        outcome = failed(work, Cause.BAD_MODEL, str(error))
    except MemoryError as error:
        outcome = failed(work, Cause.OUT_OF_MEMORY, f"the worker ran out of memory: {error}", traceback.format_exc())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a bug of ours must come back as an outcome, not silence
        outcome = failed(work, Cause.INFRA, f"{type(error).__name__}: {error}", traceback.format_exc())
    end_orphans()
    return replace(outcome, host=host, seconds=time.monotonic() - started)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers.worker", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--performer",
        metavar="MODULE:FUNCTION",
        default=PERFORMER,
        help="called with each Work, returns its result; for tests and for other kinds of work (default: %(default)s)",
    )
    parser.add_argument(
        "--label",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=_label,
        help="a label that targets may ask for, beside those the machine shows by itself; repeatable",
    )
    parser.add_argument("--niceness", metavar="N", type=int, help="run at this niceness or not at all")
    parser.add_argument("--cpus", metavar="N,N...", type=_cpus, help="may use these CPUs, whatever its parent keeps to")
    parser.add_argument("--probe", action="store_true", help="say hello and end")
    return parser


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {text!r}")
    return name, value


def _cpus(text: str) -> frozenset[int]:
    try:
        return frozenset(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected numbers of CPUs such as 0,1,2, found {text!r}") from error


def _set_cpus(wanted: frozenset[int]) -> None:
    """Before anything is counted: `Machine.cores` and with it the machine's class is what this process may use."""
    try:
        os.sched_setaffinity(0, wanted)
    except (OSError, ValueError) as error:
        raise Unsupported(f"the worker must be able to use the CPUs {sorted(wanted)}: {error}") from error


def _set_niceness(wanted: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, wanted)
    except PermissionError as error:
        found = os.getpriority(os.PRIO_PROCESS, 0)
        raise Unsupported(
            f"the worker must run at niceness {wanted}, it runs at {found} and may not change it",
            "Start Ray with RAY_worker_niceness=0 in its environment (qsearch worker join does).",
        ) from error


def _orders() -> queue.SimpleQueue[str]:
    """Lines of stdin as they come; the end of stdin ends the process."""
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()
    source = os.fdopen(os.dup(0), encoding="utf-8")
    # neither user code nor children may read our orders
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    start_guard(source.fileno())
    adopt_orphans()
    threading.Thread(target=_listen, args=(source, orders), daemon=True).start()
    return orders


def _listen(source: TextIO, orders: queue.SimpleQueue[str]) -> None:
    for line in source:
        orders.put(line)
    os._exit(0)


def _runtimes() -> dict[str, str]:
    """Runtimes that are installed, and that this version can drive → version."""
    from qsearch.measure.runtimes import runtime_named

    found: dict[str, str] = {}
    for runtime, distributions in _DISTRIBUTIONS.items():
        for distribution in distributions:
            try:
                runtime_named(runtime)
                found.setdefault(runtime, importlib.metadata.version(distribution))
            except (importlib.metadata.PackageNotFoundError, Unsupported):
                continue
    return found


def _resolve(name: str) -> Performer:
    module, _, function = name.partition(":")
    try:
        return cast(Performer, getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"--performer: expected MODULE:FUNCTION that can be imported, found {name!r}: {error}"
        ) from error


def _must_fit(outcome: Outcome) -> None:
    expected = WORK_TYPES[outcome.kind][1]
    if not isinstance(outcome.result, expected):
        found = type(outcome.result).__name__
        raise TypeError(f"{outcome.kind} must bring a {expected.__name__}, the performer returned a {found}")


def _sendable(work: Work, outcome: Outcome) -> str:
    try:
        return write_outcome(outcome)
    except DataError as error:
        refused = failed(work, Cause.BAD_MODEL, error.message, host=outcome.host, seconds=outcome.seconds)
        return write_outcome(refused)


def _say(answers: TextIO, line: str) -> None:
    answers.write(line + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
