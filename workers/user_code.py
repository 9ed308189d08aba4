"""The child that runs the user's own code: the task once per job, the scoring function per trial.

`python -m workers.user_code` answers one JSON line per JSON line. Requests:

    {"do": "materialize", "task": "module:function", "folder": DIR, "batches": [1], "out": DIR}
    {"do": "export", "factory": "module:function", "folder": DIR, "out": DIR, "beside": DIR}
    {"do": "score", "score": "module:function", "folder": DIR, "samples": NPZ, "outputs": NPZ, "out": NPZ}

NOTE: user code is arbitrary code. It gets a process of its own, in the job's folder, with no open
database and without QSearch's and Ray's settings in its environment, and everything it prints goes to
stderr: only the answers use the real stdout. The job's folder comes onto the import path with the first
request, when everything of ours has been imported: a numpy.py there shadows nothing that we use.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from qsearch.contracts.errors import QSearchError, TaskError
from qsearch.contracts.task import Array, Scores, Task
from qsearch.contracts.torch_model import TorchModel
from qsearch.measure.samples import read_samples
from workers.sitting import read_outputs
from workers.splits import write_splits
from workers.stdout import guarded_stdout

# held here: what user code makes of `json` and `traceback` concerns nobody else
_read, _write, _trace = json.loads, json.dumps, traceback.format_exc
#: longest message taken over from what user code raised, characters
_LONGEST = 2000


def main() -> None:
    """Serve requests until stdin closes."""
    answers, me, here = guarded_stdout(), os.getpid(), os.getcwd()
    for line in sys.stdin:
        request = _read(line)
        # user code may have gone elsewhere with the last one
        os.chdir(here)
        answer = _write({**_answered(request), "id": request["id"]})
        if os.getpid() != me:
            os._exit(0)  # a fork of the user's that came back from the function: one answer is enough
        answers.write(answer + "\n")
        answers.flush()


def _answered(request: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = _DEEDS[request["do"]](request)
        _write(answer)
    except BaseException as error:  # noqa: BLE001 - user code may raise anything, SystemExit included
        memory = isinstance(error, MemoryError)
        return {"error": _story(error, request.get("folder", "")), "tail": _trace()[-4000:], "memory": memory}
    return answer


def materialize(request: dict[str, Any]) -> dict[str, Any]:
    """Call the task function and write its three splits for each batch size."""
    task = _named(request["task"], request["folder"])()
    if not isinstance(task, Task):
        raise TaskError(f"{request['task']} returned {type(task).__name__}; expected qsearch.contracts.task.Task")
    digest = write_splits(task, tuple(request["batches"]), Path(request["out"]))
    return {
        "digest": digest,
        "metric": task.metric,
        "higher_is_better": task.higher_is_better,
        "score": task.score if isinstance(task.score, str) else _name_of(task.score),
        "per_sample": task.per_sample,
        "samples": {name: len(getattr(task, name).samples) for name in ("calibration", "search", "heldout")},
    }


def score(request: dict[str, Any]) -> dict[str, Any]:
    """Call the scoring function on outputs and labels and write its per-sample outcomes."""
    function = _named(request["score"], request["folder"])
    outputs = read_outputs(Path(request["outputs"]))
    scores = function(outputs, read_samples(Path(request["samples"])).labels)
    if not isinstance(scores, Scores):
        scores = Scores(outcomes=scores)
    outcomes = _numbers(scores.outcomes, request["score"], "outcomes")
    if not np.isfinite(outcomes).all() and _finite(outputs):
        # where the model's own outputs are not finite, its scores need not be: that is the model's fault
        first = int(np.flatnonzero(~np.isfinite(outcomes))[0])
        raise TaskError(
            f"{request['score']} returned outcomes that are not finite, number {first} is {outcomes[first]}, "
            "for outputs that all are"
        )
    weights = np.ones(0) if scores.weights is None else _numbers(scores.weights, request["score"], "weights")
    np.savez(request["out"], outcomes=outcomes, weights=weights)
    return {"n": len(outcomes), "aggregate": scores.aggregate}


def export(request: dict[str, Any]) -> dict[str, Any]:
    """Call the torch factory, export its module, and leave the example and torch's own outputs for comparison."""
    from qsearch.quantize.torch_export import export_torch

    model = _named(request["factory"], request["folder"])()
    if not isinstance(model, TorchModel):
        raise TaskError(
            f"{request['factory']} returned {type(model).__name__}; expected qsearch.contracts.torch_model.TorchModel"
        )
    out, beside = Path(request["out"]), Path(request["beside"])
    found = export_torch(model, out)
    np.savez(beside / "feeds.npz", allow_pickle=False, **model.inputs)
    np.savez(beside / "expected.npz", allow_pickle=False, **found.expected)
    return {"torch": found.version, "tied": dict(found.parameters)}


_DEEDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "materialize": materialize,
    "export": export,
    "score": score,
}


def _numbers(values: Any, function: str, what: str) -> Array:
    """Float64 [m], m ≥ 1, of what the user's function returned."""
    try:
        found = np.asarray(values)
        if found.dtype.kind not in "biuf":
            raise TaskError(
                f"{function} returned {what} of {type(values).__name__} ({found.dtype}); expected numbers [m]"
            )
    except ValueError as error:
        raise TaskError(f"{function} returned {what} that are no array: {error}") from error
    if found.ndim != 1 or not len(found):
        raise TaskError(f"{function} returned {what} of shape {found.shape}; expected [m], m ≥ 1")
    return found.astype(np.float64)


def _finite(outputs: dict[str, list[Array]]) -> bool:
    floats = (array for arrays in outputs.values() for array in arrays if array.dtype.kind == "f")
    return all(bool(np.isfinite(array).all()) for array in floats)


def _named(name: str, folder: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.startswith(error.name):
            raise TaskError(f"no module {error.name!r} beside the spec ({folder}) or installed") from error
        raise
    function = getattr(module, function_name, None)
    if not callable(function):
        raise TaskError(f"module {module_name!r} has no function {function_name!r}")
    return function  # type: ignore[no-any-return]


def _name_of(function: Callable[..., Any]) -> str:
    name = f"{function.__module__}:{function.__qualname__}"
    if "<" in name:
        raise TaskError(f"the scoring function {name} is local; make it a function at the top of its module")
    return name


def _story(error: BaseException, folder: str) -> str:
    """One line: what was raised and where in the user's code."""
    if isinstance(error, QSearchError):
        return error.message
    frames = traceback.extract_tb(error.__traceback__)
    mine = [f for f in frames if folder and f.filename.startswith(folder)] or frames
    where = f" at {Path(mine[-1].filename).name}:{mine[-1].lineno}" if mine else ""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - user code's own __str__
        said = "(its words cannot be read)"
    return f"{type(error).__name__}: {said[:_LONGEST]}{where}"


if __name__ == "__main__":
    main()
