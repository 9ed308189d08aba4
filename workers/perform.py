"""One piece of work to its result: what a worker process does with an order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qsearch.contracts.work import Work, WorkKind, WorkResult


def perform(work: Work) -> WorkResult:
    """Do it. Rooms are imported by kind, so that a worker that only measures never loads the rest.

    Raises:
        QSearchError: whatever the work promises; the caller turns it into an outcome with a cause.
    """
    scratch = Path(work.scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    deed: Any = _deed(work.kind)
    return deed(work.order, scratch, work.deadline_s)  # type: ignore[no-any-return]


def _deed(kind: WorkKind) -> Any:
    if kind is WorkKind.PROBE:
        from workers.probing import probe

        return probe
    if kind is WorkKind.EXPORT:
        from workers.torch_exporting import export

        return export
    if kind is WorkKind.MATERIALIZE:
        from workers.materializing import materialize

        return materialize
    if kind in (WorkKind.INSPECT, WorkKind.PREPARE):
        from workers.preparing import inspect, prepare

        return inspect if kind is WorkKind.INSPECT else prepare
    if kind in (WorkKind.TRIAL, WorkKind.FINAL):
        from workers.trials import final, trial

        return trial if kind is WorkKind.TRIAL else final
    if kind is WorkKind.EVAL:
        from workers.evaluating import evaluate

        return evaluate
    if kind is WorkKind.BENCH:
        from workers.benching import bench

        return bench
    from workers.verifying import verify

    return verify
