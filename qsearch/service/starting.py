"""`init` and `inspect`: work on a model file without a job."""

from __future__ import annotations

import shutil
from pathlib import Path

from qsearch.contracts.choices import UNTIMED
from qsearch.contracts.errors import ModelError, UsageError
from qsearch.contracts.job import ModelRef
from qsearch.contracts.layer import Inspection
from qsearch.contracts.work import InspectOrder, WorkKind
from qsearch.service.preparing import INSPECT_DEADLINE_S, expect
from qsearch.service.workplace import Workplace
from qsearch.spec.targets import find_target
from qsearch.spec.template import write_example, write_spec

#: the target whose op × choice table `inspect` shows
HERE = "this-machine"


def init(place: Workplace, model: str, *, data: str, metric: str, example: str, out: Path) -> Path:
    """Write a runnable spec for a model file, or copy a packaged example."""
    if bool(model) == bool(example):
        raise UsageError("give a model file or --example NAME, and not both", "qsearch init model.onnx --data x.npz")
    if example:
        return write_example(example, out)
    path = _file(model)
    samples = None if not data else _file(data)
    return write_spec(out, model=path, data=samples, metric=metric, inspection=inspect(place, model))


def inspect(place: Workplace, model: str, target: str = "") -> Inspection:
    """Layers, sizes and inputs of a model file, and what a target's runtime can do for each layer."""
    where = find_target(target or HERE, Path.cwd() if target else None)
    order = InspectOrder(model=ModelRef(path=str(_file(model))), target=where, choices=UNTIMED)
    result, scratch = place.workshop().do(WorkKind.INSPECT, "inspect", order, where, INSPECT_DEADLINE_S)
    shutil.rmtree(scratch, ignore_errors=True)
    return expect(result, Inspection)


def _file(name: str) -> Path:
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise ModelError(f"no file {path}", "Give the path of an existing file.")
    return path
